//! Decides in which stage an object is applied.
//! It knows kinds and one annotation, no object's content.
//! What others refer to comes first: a pod whose ConfigMap comes later fails at first and costs half a minute.

use super::{hooks, kinds};
use crate::names::ObjectId;
use serde_json::Value;

/// Annotation of a Job or Pod that has to succeed before all other workloads are applied.
pub const RUN_FIRST: &str = "preview-action/run-first";

/// The stage of an object, from 1.
pub(super) fn stage(id: &ObjectId, object: &Value) -> u8 {
    let first = matches!(id.kind.as_str(), "Job" | "Pod")
        && object
            .pointer("/metadata/annotations")
            .and_then(|annotations| annotations.get(RUN_FIRST))
            .is_some_and(|value| value == "true");
    if first {
        kinds::RUN_FIRST
    } else if hooks::runs_last(&id.kind, object) {
        kinds::RUN_LAST
    } else {
        kinds::stage(id)
    }
}
