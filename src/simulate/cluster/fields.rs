//! Turns objects into the paths of their fields, and such paths into values, words and `fieldsV1`.
//! It must not know owners; it knows maps, keyed lists and leaves.
//! Which lists are keyed is decided here alone, since merge, ownership and messages must agree on it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

/// The way to a field, each step written as in `fieldsV1`: `f:data`, `k:{"name":"web"}`, or `.` for a list item itself.
pub(super) type Path = Vec<String>;

/// Metadata that the server or the address of a request decides, and nobody owns.
const UNOWNED: [&str; 11] = [
    "name",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generateName",
    "selfLink",
    "managedFields",
];

/// Finds a keyed list that names an item twice, as the words of a typed error.
pub(super) fn duplicate_item(config: &Value) -> Option<String> {
    fn search(path: &mut Path, value: &Value) -> Option<String> {
        match value {
            Value::Object(fields) => fields.iter().find_map(|(name, value)| {
                path.push(format!("f:{name}"));
                let found = search(path, value);
                path.pop();
                found
            }),
            Value::Array(items) => {
                let keys = list_keys(path.last()?.strip_prefix("f:")?, items)?;
                let mut seen = BTreeSet::new();
                items.iter().find_map(|item| {
                    let key = item_key(keys, item);
                    if !seen.insert(key.clone()) {
                        let item = display(&[key]);
                        return Some(format!(
                            "{}: duplicate entries for key {item}",
                            display(path)
                        ));
                    }
                    path.push(key);
                    let found = search(path, item);
                    path.pop();
                    found
                })
            }
            _ => None,
        }
    }
    search(&mut Vec::new(), config)
}

/// Writes a path as messages do: `.spec.template.spec.containers[name="web"].image`.
pub(super) fn display(path: &[String]) -> String {
    let step = |step: &String| match (step.strip_prefix("f:"), step.strip_prefix("k:")) {
        (Some(field), _) => format!(".{field}"),
        (_, Some(key)) => {
            let key: Map<String, Value> = serde_json::from_str(key).unwrap_or_default();
            let parts: Vec<String> = key
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            format!("[{}]", parts.join(","))
        }
        _ => String::new(),
    };
    path.iter().map(step).collect()
}

/// Tells whether a path means a list item itself.
pub(super) fn is_item(path: &Path) -> bool {
    path.last().is_some_and(|step| step == ".")
}

/// Returns the path above.
pub(super) fn parent(path: &[String]) -> &[String] {
    path.split_last().map_or(&[], |(_, parent)| parent)
}

/// Returns the key fields of a list, if it is one of the keyed ones.
pub(super) fn list_keys(field: &str, items: &[Value]) -> Option<&'static [&'static str]> {
    let keys: &[&str] = match field {
        "containers" | "initContainers" | "env" | "volumes" => &["name"],
        "ports" if items.iter().any(|item| item.get("containerPort").is_some()) => {
            &["containerPort", "protocol"]
        }
        "ports" => &["port", "protocol"],
        _ => return None,
    };
    items.iter().all(Value::is_object).then_some(keys)
}

/// Writes the step that leads to a list item.
pub(super) fn item_key(keys: &[&str], item: &Value) -> String {
    let part = |key: &&str| {
        let given = item.get(*key).cloned();
        let value = given.unwrap_or_else(|| {
            if *key == "protocol" {
                "TCP".into()
            } else {
                "".into()
            }
        });
        format!("\"{key}\":{value}")
    };
    format!(
        "k:{{{}}}",
        keys.iter().map(part).collect::<Vec<_>>().join(",")
    )
}

/// Returns the owned fields of an object with their values.
pub(super) fn leaves(object: &Value) -> BTreeMap<Path, Value> {
    let mut found = BTreeMap::new();
    for (name, value) in object.as_object().into_iter().flatten() {
        let at = format!("f:{name}");
        match name.as_str() {
            "apiVersion" | "kind" | "status" => {}
            "metadata" => {
                for (name, value) in value.as_object().into_iter().flatten() {
                    if !UNOWNED.contains(&name.as_str()) {
                        collect(
                            &mut vec![at.clone(), format!("f:{name}")],
                            name,
                            value,
                            &mut found,
                        );
                    }
                }
            }
            _ => collect(&mut vec![at], name, value, &mut found),
        }
    }
    found
}

fn collect(path: &mut Path, field: &str, value: &Value, found: &mut BTreeMap<Path, Value>) {
    match value {
        Value::Null => {}
        Value::Object(fields) if !fields.is_empty() => {
            for (name, value) in fields {
                path.push(format!("f:{name}"));
                collect(path, name, value, found);
                path.pop();
            }
        }
        Value::Array(items) if !items.is_empty() && list_keys(field, items).is_some() => {
            let keys = list_keys(field, items).unwrap_or_default();
            for item in items {
                path.push(item_key(keys, item));
                path.push(".".to_owned());
                found.insert(path.clone(), Value::Null);
                path.pop();
                collect(path, "", item, found);
                path.pop();
            }
        }
        leaf => {
            found.insert(path.clone(), leaf.clone());
        }
    }
}

/// Returns the value at a path.
/// Returns the value at a path.
pub(super) fn find<'a>(object: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter()
        .try_fold(object, |at, step| match step.strip_prefix("f:") {
            Some(field) => at.get(field),
            None => at.as_array()?.iter().find(|item| has_key(item, step)),
        })
}

/// Returns the value at a path, to change it.
/// Returns the value at a path, to change it.
pub(super) fn find_mut<'a>(object: &'a mut Value, path: &[String]) -> Option<&'a mut Value> {
    path.iter()
        .try_fold(object, |at, step| match step.strip_prefix("f:") {
            Some(field) => at.get_mut(field),
            None => at
                .as_array_mut()?
                .iter_mut()
                .find(|item| has_key(item, step)),
        })
}

/// Tells whether a list item is the one that a step leads to.
pub(super) fn has_key(item: &Value, step: &str) -> bool {
    let key: Option<Map<String, Value>> = step
        .strip_prefix("k:")
        .and_then(|key| serde_json::from_str(key).ok());
    key.is_some_and(|key| {
        let keys: Vec<&str> = key.keys().map(String::as_str).collect();
        item_key(&keys, item) == step
    })
}

/// Writes paths as `fieldsV1`.
pub(super) fn fields_v1(fields: &BTreeSet<Path>) -> Value {
    let mut tree = json!({});
    for path in fields {
        let mut at = &mut tree;
        for step in path {
            // Every node of this tree was made as a map just here.
            let Some(node) = at.as_object_mut() else {
                break;
            };
            at = node.entry(step.clone()).or_insert_with(|| json!({}));
        }
    }
    tree
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_key_is_named_like_the_server_does() {
        let twice = json!({"spec": {"template": {"spec": {"containers": [
            {"name": "c", "ports": [{"containerPort": 80}, {"containerPort": 80, "protocol": "TCP"}]}]}}}});
        let text = duplicate_item(&twice);
        let expected = ".spec.template.spec.containers[name=\"c\"].ports: \
                        duplicate entries for key [containerPort=80,protocol=\"TCP\"]";
        assert_eq!(text.as_deref(), Some(expected));
        assert_eq!(
            duplicate_item(&json!({"spec": {"containers": [{"name": "a"}, {"name": "b"}]}})),
            None
        );
    }
}
