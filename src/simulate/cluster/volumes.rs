//! Turns PersistentVolumes whose claim is gone into what their reclaim policy makes of them: nothing, or released ones.
//! It must not bind or provision; a scenario that needs a volume puts claim and volume itself.
//! Removal reports what stays behind, so that much of a real volume controller is needed.

use serde_json::{Value, json};

use super::kinds::Kind;
use super::state::{State, text};
use super::store::Key;

/// Looks after the volumes that were bound to claims of the namespace that is being reconciled.
pub(super) fn reconcile(state: &mut State) {
    let Some(kind) = Kind::of_name("PersistentVolume") else {
        return;
    };
    let left: Vec<(Key, Value)> = state
        .store
        .of_kind(kind, "")
        .map(|(key, entry)| (key.clone(), entry.object.clone()))
        .filter(|(_, volume)| claim_is_gone(state, volume))
        .collect();
    for (key, volume) in left {
        if volume["spec"]["persistentVolumeReclaimPolicy"] == "Delete" {
            state.store.remove(&key);
        } else if volume["status"]["phase"] != "Released" {
            state.set(&key, "status", json!({"phase": "Released"}));
        }
    }
}

fn claim_is_gone(state: &State, volume: &Value) -> bool {
    let claim = &volume["spec"]["claimRef"];
    let (namespace, name) = (text(&claim["namespace"]), text(&claim["name"]));
    !name.is_empty()
        && state
            .store
            .object("PersistentVolumeClaim", namespace, name)
            .is_none()
}
