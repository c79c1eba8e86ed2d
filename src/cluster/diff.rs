//! Turns a set into what deploying it would change, by dry runs against what lives.
//! It must not write anything, and shows no value of a Secret, nor of anything else that is one by its name.
//! The server itself merges and defaults, so that nothing is shown as changed that a deploy would leave alone.

use super::{
    Cluster,
    answer::{Class, Refusal},
    apply::WIDTH,
    applyset,
    call::Call,
    error::ClusterError,
    existing::Existing,
    kinds::{self, Kind},
    outcome::{Difference, Differs, FieldChange},
    recreate,
};
use crate::{
    manifests::{Manifest, ManifestSet},
    names::{Namespace, is_confidential, is_place},
};
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::Value;
use std::collections::BTreeSet;

/// The longest value that is shown.
const LONGEST: usize = 200;

/// What is shown in place of a Secret's value, and of what is a secret by its name.
const HIDDEN: &str = "(hidden)";

/// Annotations that controllers and other tools write; the second holds whole objects, Secrets included.
const THEIRS: [&str; 2] = [
    "deployment.kubernetes.io/revision",
    "kubectl.kubernetes.io/last-applied-configuration",
];

impl Cluster {
    /// What deploying a set would do, object by object, the objects that would be removed last.
    pub async fn diff(
        &self,
        namespace: &Namespace,
        set: &ManifestSet,
        known: &Existing,
    ) -> Result<Vec<Difference>, ClusterError> {
        let mut differences: Vec<Difference> = stream::iter(&set.objects)
            .map(|manifest| self.difference(namespace, manifest))
            .buffered(WIDTH)
            .try_collect()
            .await?;
        let leaving = self.would_go(namespace, set, known);
        differences.extend(leaving.into_iter().map(|id| Difference {
            id,
            origin: None,
            differs: Differs::Removed,
        }));
        Ok(differences)
    }

    async fn difference(
        &self,
        namespace: &Namespace,
        manifest: &Manifest,
    ) -> Result<Difference, ClusterError> {
        let id = &manifest.id;
        let difference = |differs| Difference {
            id: id.clone(),
            origin: Some(manifest.origin.clone()),
            differs,
        };
        let Some(kind) = Kind::of(id) else {
            let problem = "is of no kind that a preview may hold".into();
            return Ok(difference(Differs::Refused(problem)));
        };
        let object = applyset::member(&manifest.object, &applyset::id(namespace));
        let mut notes = Vec::new();
        let (live, tried) = tokio::join!(
            self.whole(kind, namespace, &id.name),
            self.write(kind, namespace, &object, true, &mut notes)
        );
        let live = live?;
        Ok(difference(match (tried, live) {
            (Ok(_), None) => Differs::Added,
            (Ok(answer), Some(live)) => compare(kind, &live, &answer.body),
            (Err(error), _) if error.refuses_dry_runs() => Differs::Refused(format!(
                "nothing is known of it, because a webhook of the cluster takes no dry runs ({error}); a deploy may succeed"
            )),
            (Err(error), live) => match error.refusal() {
                Some(refusal) if says_no_to_the_object(refusal) => {
                    let immutable = refusal.class == Class::Immutable;
                    let makes_way =
                        live.is_some_and(|live| recreate::allowed(kind, &object, &live));
                    if immutable && makes_way {
                        Differs::Recreated(fields(refusal))
                    } else {
                        Differs::Refused(refusal.message.clone())
                    }
                }
                _ => return Err(error),
            },
        }))
    }

    /// An object as it lives, whole; it never leaves this module but in parts, and a Secret's without values.
    async fn whole(
        &self,
        kind: &'static Kind,
        namespace: &Namespace,
        name: &str,
    ) -> Result<Option<Value>, ClusterError> {
        let call = if kind == &kinds::SECRET {
            Call::look(kind, namespace, name)?
        } else {
            Call::get(kind, Some(namespace), name)?
        };
        match self.send(call).await {
            Ok(answer) if answer.code == 201 => Ok(None),
            Ok(answer) => Ok(Some(answer.body)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Refusals that a deploy would meet as well, and that say something about the object.
fn says_no_to_the_object(refusal: &Refusal) -> bool {
    matches!(
        refusal.class,
        Class::BadManifest
            | Class::Immutable
            | Class::Admission
            | Class::Quota
            | Class::KindUnknown
    )
}

fn fields(refusal: &Refusal) -> Vec<String> {
    let named = refusal.fields.iter().map(|fault| fault.field.clone());
    let named: BTreeSet<_> = named.filter(|field| !field.is_empty()).collect();
    named.into_iter().collect()
}

/// Compares what people wrote: neither status nor what the server keeps of its own.
fn compare(kind: &Kind, live: &Value, wanted: &Value) -> Differs {
    let mut changes = Vec::new();
    let (live, wanted) = (written(live), written(wanted));
    walk("", &live, &wanted, false, &mut changes);
    if kind == &kinds::SECRET {
        for change in &mut changes {
            let shown = ["metadata.labels.", "type"];
            if !shown.iter().any(|part| change.field.starts_with(part)) {
                change.before = change.before.take().map(|_| HIDDEN.into());
                change.after = change.after.take().map(|_| HIDDEN.into());
            }
        }
    }
    if changes.is_empty() {
        Differs::Unchanged
    } else {
        Differs::Changed(changes)
    }
}

fn written(object: &Value) -> Value {
    let mut object = object.clone();
    let metadata = object["metadata"].take();
    let mut kept = serde_json::Map::new();
    for (place, theirs) in [
        ("labels", &[applyset::PART_OF][..]),
        ("annotations", &THEIRS[..]),
    ] {
        let mut values = metadata[place].as_object().cloned().unwrap_or_default();
        values.retain(|name, _| !theirs.contains(&name.as_str()));
        if !values.is_empty() {
            kept.insert(place.into(), values.into());
        }
    }
    object["metadata"] = kept.into();
    if let Some(fields) = object.as_object_mut() {
        for field in ["status", "kind", "apiVersion"] {
            fields.remove(field);
        }
    }
    object
}

/// Whether an object's field is a secret by its name, or the value of what is one by its `name`, as variables are.
fn is_hidden(object: &serde_json::Map<String, Value>, field: &str) -> bool {
    let named = || object.get("name").and_then(Value::as_str);
    is_confidential(field) || field == "value" && named().is_some_and(is_confidential)
}

fn walk(path: &str, before: &Value, after: &Value, hidden: bool, changes: &mut Vec<FieldChange>) {
    match (before, after) {
        (before, after) if before == after => {}
        (Value::Object(old), Value::Object(new)) => {
            let names: BTreeSet<_> = old.keys().chain(new.keys()).collect();
            for name in names {
                let path = if path.is_empty() {
                    name.clone()
                } else if name.contains(['.', '/']) {
                    format!("{path}[{name:?}]")
                } else {
                    format!("{path}.{name}")
                };
                let of = |fields: &serde_json::Map<String, Value>| {
                    fields.get(name).cloned().unwrap_or_default()
                };
                let hidden = hidden && !is_place(name);
                let hidden = hidden || is_hidden(old, name) || is_hidden(new, name);
                walk(&path, &of(old), &of(new), hidden, changes);
            }
        }
        (Value::Array(old), Value::Array(new)) if named(old) && named(new) => {
            let name = |item: &Value| item["name"].as_str().unwrap_or_default().to_owned();
            let names: BTreeSet<_> = old.iter().chain(new).map(name).collect();
            for wanted in names {
                let of = |items: &[Value]| {
                    let mut items = items.iter();
                    items.find(|item| item["name"] == wanted).cloned()
                };
                let path = format!("{path}[name={wanted:?}]");
                walk(
                    &path,
                    &of(old).unwrap_or_default(),
                    &of(new).unwrap_or_default(),
                    hidden,
                    changes,
                );
            }
        }
        (Value::Array(old), Value::Array(new)) if old.len() == new.len() => {
            for (index, (old, new)) in old.iter().zip(new).enumerate() {
                walk(&format!("{path}[{index}]"), old, new, hidden, changes);
            }
        }
        (before, after) => changes.push(FieldChange {
            field: path.into(),
            before: shown(before, hidden),
            after: shown(after, hidden),
        }),
    }
}

/// True for lists whose items are told apart by name: containers, variables, volumes, ports.
fn named(items: &[Value]) -> bool {
    let names: BTreeSet<_> = items
        .iter()
        .filter_map(|item| item["name"].as_str())
        .collect();
    names.len() == items.len()
}

fn shown(value: &Value, hidden: bool) -> Option<String> {
    match veiled(value, hidden) {
        Value::Null => None,
        Value::String(text) if text == HIDDEN => Some(text),
        value => Some(crate::names::cut(&value.to_string(), LONGEST)),
    }
}

/// The value without any text that is nobody's to read.
fn veiled(value: &Value, hidden: bool) -> Value {
    match value {
        Value::String(_) if hidden => HIDDEN.into(),
        Value::Array(items) => items.iter().map(|item| veiled(item, hidden)).collect(),
        Value::Object(fields) => {
            let veiled = |(name, value): (&String, &Value)| {
                let hidden = hidden && !is_place(name);
                let hidden = hidden || is_hidden(fields, name);
                (name.clone(), veiled(value, hidden))
            };
            fields.iter().map(veiled).collect()
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn lines(differs: &Differs) -> Vec<String> {
        let Differs::Changed(changes) = differs else {
            return vec![format!("{differs:?}")];
        };
        let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".into());
        changes
            .iter()
            .map(|change| {
                format!(
                    "{}: {} > {}",
                    change.field,
                    text(&change.before),
                    text(&change.after)
                )
            })
            .collect()
    }

    #[test]
    fn fields_are_named_as_people_write_them() {
        let object = |image: &str, env: Value, replicas: u8| {
            json!({
                "metadata": {"name": "web", "resourceVersion": image, "annotations": {"example.com/a": replicas.to_string(), "deployment.kubernetes.io/revision": image}},
                "spec": {"replicas": replicas, "template": {"spec": {"containers": [{"name": "web", "image": image, "env": env}]}}},
                "status": {"replicas": replicas},
            })
        };
        let before = object("web:1", json!([{"name": "A", "value": "1"}]), 1);
        let after = object("web:2", json!([{"name": "B", "value": "2"}]), 2);
        assert_eq!(
            lines(&compare(&kinds::DEPLOYMENT, &before, &after)),
            [
                r#"metadata.annotations["example.com/a"]: "1" > "2""#,
                "spec.replicas: 1 > 2",
                r#"spec.template.spec.containers[name="web"].env[name="A"]: {"name":"A","value":"1"} > -"#,
                r#"spec.template.spec.containers[name="web"].env[name="B"]: - > {"name":"B","value":"2"}"#,
                r#"spec.template.spec.containers[name="web"].image: "web:1" > "web:2""#,
            ]
        );
        assert_eq!(
            compare(&kinds::DEPLOYMENT, &before, &before.clone()),
            Differs::Unchanged
        );
    }

    #[test]
    fn a_secret_shows_which_keys_change_and_no_value() {
        let secret = |value: &str| {
            json!({
                "metadata": {"labels": {"app": value}, "annotations": {"kubectl.kubernetes.io/last-applied-configuration": value, "note": value}},
                "data": {"password": value, "same": "eA=="},
                "type": "Opaque",
            })
        };
        let differs = compare(&kinds::SECRET, &secret("aHVudGVyMg=="), &secret("bmV3"));
        assert_eq!(
            lines(&differs),
            [
                "data.password: (hidden) > (hidden)",
                "metadata.annotations.note: (hidden) > (hidden)",
                r#"metadata.labels.app: "aHVudGVyMg==" > "bmV3""#,
            ]
        );
    }

    #[test]
    fn what_is_a_secret_by_its_name_shows_that_it_changes_and_no_value() {
        let object = |value: &str, more: Value| {
            let mut env = vec![
                json!({"name": "DB_PASSWORD", "value": value}),
                json!({"name": "API_URL", "value": value}),
                json!({"name": "API_TOKEN", "valueFrom": {"secretKeyRef": {"name": value, "key": value}}}),
            ];
            env.extend(more.as_array().cloned().unwrap_or_default());
            json!({
                "data": {"api-key": value, "motd": value},
                "spec": {"env": env, "secretName": value, "passwords": [value], "tokens": {"ci": value, "host": value}},
            })
        };
        let before = object("old", json!([]));
        let after = object("new", json!([{"name": "JWT_SECRET", "value": "hunter2"}]));
        let shown = [
            "data.api-key: (hidden) > (hidden)",
            r#"data.motd: "old" > "new""#,
            r#"spec.env[name="API_TOKEN"].valueFrom.secretKeyRef.key: "old" > "new""#,
            r#"spec.env[name="API_TOKEN"].valueFrom.secretKeyRef.name: "old" > "new""#,
            r#"spec.env[name="API_URL"].value: "old" > "new""#,
            r#"spec.env[name="DB_PASSWORD"].value: (hidden) > (hidden)"#,
            r#"spec.env[name="JWT_SECRET"]: - > {"name":"JWT_SECRET","value":"(hidden)"}"#,
            "spec.passwords[0]: (hidden) > (hidden)",
            r#"spec.secretName: "old" > "new""#,
            "spec.tokens.ci: (hidden) > (hidden)",
            r#"spec.tokens.host: "old" > "new""#,
        ];
        for kind in [&kinds::CONFIG_MAP, &kinds::DEPLOYMENT] {
            assert_eq!(lines(&compare(kind, &before, &after)), shown);
        }
        // Two of one name: the list is compared by place, and taken whole where it grows.
        let twice = json!([{"name": "DB_PASSWORD", "value": "hunter2"}]);
        for differs in [
            compare(
                &kinds::DEPLOYMENT,
                &object("old", twice.clone()),
                &object("new", twice.clone()),
            ),
            compare(&kinds::DEPLOYMENT, &before, &object("old", twice)),
        ] {
            let shown = lines(&differs).join(" ");
            assert!(
                shown.contains(HIDDEN) && !shown.contains("hunter2"),
                "{shown}"
            );
            assert!(
                !shown.contains(r#"{"name":"DB_PASSWORD","value":"old"}"#),
                "{shown}"
            );
        }
    }

    #[test]
    fn a_long_value_is_cut() {
        let config = |text: String| json!({"data": {"a": text}});
        let differs = compare(
            &kinds::CONFIG_MAP,
            &config("x".repeat(5000)),
            &config("y".repeat(5000)),
        );
        assert!(lines(&differs)[0].len() < 500, "{differs:?}");
    }
}
