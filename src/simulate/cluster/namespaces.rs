//! Turns new Namespaces into usable ones, and deleted ones into nothing, in the steps a real cluster shows.
//! It must not delete anything that carries a finalizer; it reports it, as the real controller does.
//! The conditions of a stuck Namespace are what people need to see, so they are complete from the first pass.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::apply::Managers;
use super::kinds::Kind;
use super::state::{State, set_condition, text};
use super::store::Key;

/// Fills new Namespaces and empties those that terminate.
pub(super) fn reconcile(state: &mut State) {
    for key in state.keys("Namespace") {
        let Some(entry) = state.store.get(&key) else {
            continue;
        };
        if entry.object["metadata"]["deletionTimestamp"].is_null() {
            let at = entry.changed + state.delays.observe;
            if state.reached(at) {
                furnish(state, &key.name);
            }
        } else {
            empty(state, &key);
        }
    }
}

fn furnish(state: &mut State, namespace: &str) {
    let certificate = "-----BEGIN CERTIFICATE-----\nsimulated\n-----END CERTIFICATE-----\n";
    let things = [
        ("ServiceAccount", "default", json!({"metadata": {}})),
        (
            "ConfigMap",
            "kube-root-ca.crt",
            json!({"metadata": {}, "data": {"ca.crt": certificate}}),
        ),
    ];
    for (kind, name, object) in things {
        let Some(kind) = Kind::of_name(kind) else {
            continue;
        };
        let key = Key::new(kind, namespace, name);
        if state.store.get(&key).is_none() {
            let now = (state.now(), state.clock.stamp());
            state.store.insert(key, object, Managers::default(), now);
        }
    }
}

fn empty(state: &mut State, namespace: &Key) {
    let Some(object) = state.store.get(namespace).map(|entry| entry.object.clone()) else {
        return;
    };
    let uid = text(&object["metadata"]["uid"]).to_owned();
    let begun = state.now();
    let first = state.moment(&uid, "deletion", begun);
    let pass = first + state.delays.namespace / 2;
    if !state.reached(pass) {
        return;
    }
    let inside: Vec<Key> = state.inside().map(|(key, _)| key.clone()).collect();
    for key in &inside {
        let marked = state
            .store
            .get(key)
            .is_some_and(|entry| !entry.object["metadata"]["deletionTimestamp"].is_null());
        if !marked {
            state.begin_deletion(key, "Background", None);
        }
    }
    let left: Vec<(Key, Value)> = state
        .inside()
        .map(|(key, object)| (key.clone(), object.clone()))
        .collect();
    let status = conditions(&object["status"], &left, &state.clock.stamp());
    state.set(namespace, "status", status);
    let held = object["metadata"]["finalizers"]
        .as_array()
        .is_some_and(|list| !list.is_empty());
    let end = first + state.delays.namespace;
    if left.is_empty() && !held && state.reached(end) {
        state.store.remove(namespace);
    }
}

/// Writes the five conditions that the namespace controller writes; True means trouble.
fn conditions(status: &Value, left: &[(Key, Value)], stamp: &str) -> Value {
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    let mut finalizers: BTreeMap<String, usize> = BTreeMap::new();
    for (key, object) in left {
        *kinds
            .entry(format!("{}.{}", key.kind.plural, key.kind.group))
            .or_default() += 1;
        for finalizer in object["metadata"]["finalizers"]
            .as_array()
            .into_iter()
            .flatten()
        {
            *finalizers.entry(text(finalizer).to_owned()).or_default() += 1;
        }
    }
    let list = |counts: &BTreeMap<String, usize>, verb: &str| {
        let each = counts
            .iter()
            .map(|(name, count)| format!("{name} {verb}{count} resource instances"));
        each.collect::<Vec<_>>().join(", ")
    };
    let mut status = status.clone();
    let mut set = |kind: &str, trouble: bool, bad: (&str, &str), good: (&str, &str)| {
        let text = if trouble { bad } else { good };
        set_condition(&mut status, kind, trouble, text, stamp, false);
    };
    let none = ("", "");
    set(
        "NamespaceDeletionDiscoveryFailure",
        false,
        none,
        (
            "ResourcesDiscovered",
            "All resources successfully discovered",
        ),
    );
    set(
        "NamespaceDeletionGroupVersionParsingFailure",
        false,
        none,
        (
            "ParsedGroupVersions",
            "All legacy kube types successfully parsed",
        ),
    );
    set(
        "NamespaceDeletionContentFailure",
        false,
        none,
        (
            "ContentDeleted",
            "All content successfully deleted, may be waiting on finalization",
        ),
    );
    set(
        "NamespaceContentRemaining",
        !kinds.is_empty(),
        (
            "SomeResourcesRemain",
            &format!("Some resources are remaining: {}", list(&kinds, "has ")),
        ),
        ("ContentRemoved", "All content successfully removed"),
    );
    set(
        "NamespaceFinalizersRemaining",
        !finalizers.is_empty(),
        (
            "SomeFinalizersRemain",
            &format!(
                "Some content in the namespace has finalizers remaining: {}",
                list(&finalizers, "in ")
            ),
        ),
        (
            "ContentHasNoFinalizers",
            "All content-preserving finalizers finished",
        ),
    );
    status
}
