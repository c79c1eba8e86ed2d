//! Turns an applied configuration and a live object into the merged object and the owners of its fields.
//! It must not know kinds; it sees maps, four keyed lists (containers, ports, env, volumes) and leaves, everything else is atomic.
//! Ownership is simulated because dropped fields and foreign owners are where deploy tools go wrong.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::fields::{
    Path, display, fields_v1, find, find_mut, has_key, is_item, item_key, leaves, list_keys, parent,
};

/// How a manager wrote its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Apply,
    Update,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Manager {
    name: String,
    operation: Operation,
    time: String,
    fields: BTreeSet<Path>,
}

/// The owners of an object's fields.
#[derive(Clone, Debug, Default)]
pub(super) struct Managers(Vec<Manager>);

impl Managers {
    /// Tells whether both hold the same fields, whatever the times.
    pub(super) fn same_fields(&self, other: &Self) -> bool {
        let of = |managers: &Self| -> Vec<(String, bool, BTreeSet<Path>)> {
            let each = managers.0.iter();
            each.map(|m| {
                (
                    m.name.clone(),
                    m.operation == Operation::Apply,
                    m.fields.clone(),
                )
            })
            .collect()
        };
        of(self) == of(other)
    }

    /// Returns `metadata.managedFields`; none if nobody owns anything.
    pub(super) fn render(&self, api_version: &str) -> Option<Value> {
        if self.0.is_empty() {
            return None;
        }
        let list = self.0.iter().map(|manager| {
            json!({
                "manager": manager.name,
                "operation": match manager.operation { Operation::Apply => "Apply", Operation::Update => "Update" },
                "apiVersion": api_version,
                "time": manager.time,
                "fieldsType": "FieldsV1",
                "fieldsV1": fields_v1(&manager.fields),
            })
        });
        Some(list.collect())
    }

    /// Records a create, replace or merge patch: what changed belongs to the writer now.
    pub(super) fn after_update(&self, old: &Value, new: &Value, manager: &str, time: &str) -> Self {
        let (before, after) = (leaves(old), leaves(new));
        let changed = |path: &Path| after.get(path) != before.get(path);
        let written: BTreeSet<Path> = after.keys().filter(|path| changed(path)).cloned().collect();
        let mut next = self.clone();
        for other in &mut next.0 {
            other
                .fields
                .retain(|path| after.contains_key(path) && !written.contains(path));
        }
        if !written.is_empty() {
            next.entry(manager, Operation::Update, time)
                .fields
                .extend(written);
        }
        next.0.retain(|manager| !manager.fields.is_empty());
        next
    }

    fn entry(&mut self, name: &str, operation: Operation, time: &str) -> &mut Manager {
        let is = |manager: &Manager| manager.name == name && manager.operation == operation;
        let at = self.0.iter().position(is).unwrap_or_else(|| {
            self.0.push(Manager {
                name: name.to_owned(),
                operation,
                time: time.to_owned(),
                fields: BTreeSet::new(),
            });
            self.0.len() - 1
        });
        let manager = &mut self.0[at];
        time.clone_into(&mut manager.time);
        manager
    }

    fn own_below(&self, prefix: &[String]) -> bool {
        self.0
            .iter()
            .any(|manager| manager.fields.iter().any(|path| path.starts_with(prefix)))
    }
}

/// Merges a configuration into a live object, or returns the conflicts as pairs of manager and field.
pub(super) fn apply(
    live: &Value,
    managers: &Managers,
    config: &Value,
    manager: &str,
    force: bool,
    time: &str,
) -> Result<(Value, Managers), Vec<(String, String)>> {
    let wanted = leaves(config);
    let mut next = managers.clone();
    let mut conflicts = Vec::new();
    for other in &mut next.0 {
        if other.name == manager && other.operation == Operation::Apply {
            continue;
        }
        let differs = |path: &Path| {
            wanted
                .get(path)
                .is_some_and(|want| !is_item(path) && find(live, path) != Some(want))
        };
        let lost: Vec<Path> = other
            .fields
            .iter()
            .filter(|path| differs(path))
            .cloned()
            .collect();
        for path in lost {
            if force {
                other.fields.remove(&path);
            } else {
                conflicts.push((other.name.clone(), display(&path)));
            }
        }
    }
    if !conflicts.is_empty() {
        return Err(conflicts);
    }
    let fields: BTreeSet<Path> = wanted.into_keys().collect();
    let own = next.entry(manager, Operation::Apply, time);
    let dropped: Vec<Path> = own.fields.difference(&fields).cloned().collect();
    own.fields = fields;
    next.0.retain(|manager| !manager.fields.is_empty());

    let mut merged = live.clone();
    merge("", &mut merged, config);
    // Whole list items go first: once its key field is gone, an item cannot be found any more.
    for path in dropped.iter().filter(|path| is_item(path)) {
        if !next.own_below(parent(path)) {
            remove(&mut merged, parent(path), &next);
        }
    }
    // A map that was applied empty and has fields of somebody's now is not gone.
    for path in dropped
        .iter()
        .filter(|path| !is_item(path) && !next.own_below(path))
    {
        remove(&mut merged, path, &next);
    }
    Ok((merged, next))
}

fn merge(field: &str, live: &mut Value, config: &Value) {
    match (live, config) {
        (Value::Object(live), Value::Object(config)) => {
            for (name, value) in config.iter().filter(|(_, value)| !value.is_null()) {
                merge(name, live.entry(name.clone()).or_insert(Value::Null), value);
            }
        }
        (Value::Array(live), Value::Array(config)) if list_keys(field, config).is_some() => {
            let keys = list_keys(field, config).unwrap_or_default();
            for item in config {
                let key = item_key(keys, item);
                match live.iter_mut().find(|have| item_key(keys, have) == key) {
                    Some(have) => merge("", have, item),
                    None => live.push(without_nulls(item)),
                }
            }
        }
        (live, config) => *live = without_nulls(config),
    }
}

/// Drops null fields of maps: to an API server they are absent.
pub(super) fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.iter().filter(|(_, value)| !value.is_null());
            kept.map(|(name, value)| (name.clone(), without_nulls(value)))
                .collect()
        }
        Value::Array(items) => items.iter().map(without_nulls).collect(),
        other => other.clone(),
    }
}

/// Removes a field or list item, and the maps and lists that became empty by it.
fn remove(object: &mut Value, path: &[String], managers: &Managers) {
    let Some((last, above)) = path.split_last() else {
        return;
    };
    let Some(holder) = find_mut(object, above) else {
        return;
    };
    match (last.strip_prefix("f:"), holder) {
        (Some(field), Value::Object(fields)) => {
            fields.remove(field);
        }
        (None, Value::Array(items)) => items.retain(|item| !has_key(item, last)),
        _ => {}
    }
    let emptied = find(object, above).is_some_and(|holder| match holder {
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    });
    if emptied && !above.is_empty() && !managers.own_below(above) {
        remove(object, above, managers);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(config: &Value) -> (Value, Managers) {
        apply(&json!({}), &Managers::default(), config, "one", false, "t").unwrap_or_default()
    }

    #[test]
    fn a_map_that_was_applied_empty_takes_fields() {
        let mut state = first(&json!({"a": {"b": "1"}, "c": 1}));
        for wanted in [json!({}), json!({"b": "2"}), json!({}), json!({"b": "3"})] {
            let config = json!({"a": wanted, "c": 1});
            state = apply(&state.0, &state.1, &config, "one", true, "t").unwrap_or_default();
            assert_eq!(state.0["a"]["b"], wanted["b"], "{}", state.0);
        }
    }

    fn deployment(image: &str) -> Value {
        json!({"spec": {"template": {"spec": {"containers": [{"name": "web", "image": image}]}}}})
    }

    #[test]
    fn a_field_no_longer_applied_goes() {
        let (live, managers) = first(&json!({"data": {"a": "1", "b": "2"}}));
        let (live, _) = apply(
            &live,
            &managers,
            &json!({"data": {"a": "1"}}),
            "one",
            false,
            "t",
        )
        .unwrap_or_default();
        assert_eq!(live, json!({"data": {"a": "1"}}));
    }

    #[test]
    fn a_dropped_field_that_another_owns_stays() {
        let (live, managers) = first(&json!({"data": {"a": "1", "b": "2"}}));
        let shared = json!({"data": {"b": "2"}});
        let (live, managers) =
            apply(&live, &managers, &shared, "two", false, "t").unwrap_or_default();
        let (live, _) = apply(
            &live,
            &managers,
            &json!({"data": {"a": "1"}}),
            "one",
            false,
            "t",
        )
        .unwrap_or_default();
        assert_eq!(live, json!({"data": {"a": "1", "b": "2"}}));
    }

    #[test]
    fn another_value_for_an_owned_field_conflicts_unless_forced() {
        let (live, managers) = first(&deployment("a"));
        let path = ".spec.template.spec.containers[name=\"web\"].image".to_owned();
        let refused = apply(&live, &managers, &deployment("b"), "two", false, "t");
        assert_eq!(refused.err(), Some(vec![("one".to_owned(), path)]));
        let (live, managers) =
            apply(&live, &managers, &deployment("b"), "two", true, "t").unwrap_or_default();
        assert_eq!(live, deployment("b"));
        let back = apply(&live, &managers, &deployment("a"), "one", false, "t");
        assert_eq!(back.err().map(|conflicts| conflicts.len()), Some(1));
    }

    #[test]
    fn list_items_merge_by_key_and_leave_with_their_owner() {
        let env = |names: &[&str]| {
            let list: Vec<Value> = names
                .iter()
                .map(|name| json!({"name": name, "value": "x"}))
                .collect();
            json!({"spec": {"containers": [{"name": "web", "env": list}]}})
        };
        let (live, managers) = first(&env(&["A", "B"]));
        let (live, managers) =
            apply(&live, &managers, &env(&["C"]), "two", false, "t").unwrap_or_default();
        assert_eq!(live, env(&["A", "B", "C"]));
        let (live, _) =
            apply(&live, &managers, &env(&["B"]), "one", false, "t").unwrap_or_default();
        assert_eq!(live, env(&["B", "C"]));
    }

    #[test]
    fn other_lists_are_replaced_as_a_whole() {
        let (live, managers) = first(&json!({"spec": {"args": ["a", "b"]}}));
        let (live, _) = apply(
            &live,
            &managers,
            &json!({"spec": {"args": ["c"]}}),
            "one",
            false,
            "t",
        )
        .unwrap_or_default();
        assert_eq!(live, json!({"spec": {"args": ["c"]}}));
    }

    #[test]
    fn the_same_configuration_changes_nothing() {
        let (live, managers) = first(&deployment("a"));
        let (again, same) =
            apply(&live, &managers, &deployment("a"), "one", false, "later").unwrap_or_default();
        assert_eq!(again, live);
        assert!(same.same_fields(&managers));
    }

    #[test]
    fn an_update_takes_what_it_changes() {
        let (live, managers) = first(&json!({"data": {"a": "1", "b": "2"}}));
        let next =
            managers.after_update(&live, &json!({"data": {"a": "9", "b": "2"}}), "editor", "t");
        let list = next.render("v1").unwrap_or_default();
        assert_eq!(list[0]["fieldsV1"], json!({"f:data": {"f:b": {}}}));
        assert_eq!(list[1]["manager"], "editor");
        assert_eq!(list[1]["operation"], "Update");
        assert_eq!(list[1]["fieldsV1"], json!({"f:data": {"f:a": {}}}));
    }
}
