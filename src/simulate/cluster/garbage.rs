//! Turns objects whose owners are gone into deleted ones, and finishes deletions that wait for dependents.
//! It must not look at anything but owner references and the `foregroundDeletion` finalizer.
//! Removal of a preview relies on it, so it is a pass of its own instead of a side effect of delete.

use std::collections::BTreeSet;

use serde_json::Value;

use super::state::{State, text};
use super::store::{Key, is_controlled_by};

const FOREGROUND: &str = "foregroundDeletion";

/// Deletes orphans and completes foreground deletions.
pub(super) fn reconcile(state: &mut State) {
    let waits = |object: &Value| finalizers(object).any(|name| name == FOREGROUND);
    let mut alive = BTreeSet::new();
    let mut waiting = Vec::new();
    for (key, object) in state.inside() {
        if waits(object) {
            waiting.push((key.clone(), object.clone()));
        } else {
            alive.insert(text(&object["metadata"]["uid"]));
        }
    }
    let orphaned = |object: &Value| {
        let owners = object["metadata"]["ownerReferences"].as_array();
        owners.is_some_and(|owners| {
            let lives =
                |owner: &Value| alive.contains(text(&owner["uid"])) || is_namespace(state, owner);
            !owners.is_empty() && !owners.iter().any(lives)
        })
    };
    let orphans: Vec<Key> = state
        .inside()
        .filter(|(_, object)| object["metadata"]["deletionTimestamp"].is_null() && orphaned(object))
        .map(|(key, _)| key.clone())
        .collect();
    for key in orphans {
        state.begin_deletion(&key, "Background", None);
    }
    for (key, owner) in waiting {
        let mut left = state.inside();
        if !left.any(|(_, object)| is_controlled_by(object, &owner)) {
            drop(left);
            release(state, &key, &owner);
        }
    }
}

/// Tells whether an owner is a Namespace that exists; those live outside of any namespace.
fn is_namespace(state: &State, owner: &Value) -> bool {
    let found = state.store.object("Namespace", "", text(&owner["name"]));
    found.is_some_and(|found| found["metadata"]["uid"] == owner["uid"])
}

/// Takes the finalizer of a foreground deletion away, and with the last one the object.
fn release(state: &mut State, key: &Key, owner: &Value) {
    if finalizers(owner).count() == 1 {
        state.store.remove(key);
        return;
    }
    let now = state.now();
    state.store.edit(key, now, |object| {
        if let Some(list) = object["metadata"]["finalizers"].as_array_mut() {
            list.retain(|name| name != FOREGROUND);
        }
    });
}

/// Cuts the references to an owner that goes away alone.
pub(super) fn orphan(state: &mut State, owner: &Value) {
    let namespace = text(&owner["metadata"]["namespace"]);
    let dependents: Vec<Key> = state
        .store
        .in_namespace(namespace)
        .filter(|(_, entry)| is_controlled_by(&entry.object, owner))
        .map(|(key, _)| key.clone())
        .collect();
    let now = state.now();
    for key in dependents {
        state.store.edit(&key, now, |object| {
            if let Some(list) = object["metadata"]["ownerReferences"].as_array_mut() {
                list.retain(|reference| reference["uid"] != owner["metadata"]["uid"]);
            }
        });
    }
}

fn finalizers(object: &Value) -> impl Iterator<Item = &str> {
    object["metadata"]["finalizers"]
        .as_array()
        .into_iter()
        .flatten()
        .map(text)
}
