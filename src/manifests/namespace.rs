//! Turns a plan and its slot into the Namespace object.
//! It applies nothing; that it may only be created by the holder of the slot is the cluster edge's care.
//! The Namespace is no template, because its labels are what the cap, the sweep and removal go by.

use crate::{names::State, plan::Plan};
use serde_json::{Value, json};

/// The Namespace of a preview in a slot; with `uid` it can only be applied to the Namespace that has it.
pub fn namespace(plan: &Plan, slot: u32, state: State, uid: Option<&str>) -> Value {
    let mut labels = json!(plan.labels);
    labels["slot"] = json!(slot.to_string());
    labels["preview-action/state"] = json!(state.as_str());
    labels["app.kubernetes.io/managed-by"] = json!("preview-action");
    labels["pod-security.kubernetes.io/enforce"] = json!("baseline");
    let mut annotations = json!(plan.annotations);
    annotations["preview-action/repository"] = json!(plan.repository);
    let mut metadata = json!({
        "name": plan.namespace,
        "labels": labels,
        "annotations": annotations,
    });
    if let Some(uid) = uid {
        metadata["uid"] = json!(uid);
    }
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
}
