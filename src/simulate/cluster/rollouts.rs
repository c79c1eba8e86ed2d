//! Turns the ReplicaSets of a Deployment into its status: counters, conditions, and whether the rollout has stalled.
//! It must not scale anything.
//! The conditions and their order follow recorded rollouts, because readiness gates read nothing else.

use std::time::Duration;

use serde_json::{Value, json};

use super::deployments::{HASH, Numbers, sets};
use super::state::{State, clear_condition, condition, int, set_condition, text, without_zeros};
use super::store::Key;

/// Remembers that a rollout moved just now.
pub(super) fn progressed(state: &mut State, deployment: &Value) {
    let now = state.now();
    state.set_moment(text(&deployment["metadata"]["uid"]), "progress", now);
}

/// Writes the counters and conditions of a Deployment.
pub(super) fn write_status(state: &mut State, key: &Key, hash: &str, numbers: &Numbers) {
    let Some(deployment) = state.store.get(key).map(|entry| entry.object.clone()) else {
        return;
    };
    let all = sets(state, &deployment);
    let current = all
        .iter()
        .find(|set| set["metadata"]["labels"][HASH] == hash);
    let sum = |field: &str| -> i64 { all.iter().map(|set| int(&set["status"][field])).sum() };
    let specified: i64 = all.iter().map(|set| int(&set["spec"]["replicas"])).sum();
    let available = sum("availableReplicas");
    let updated = current.map_or(0, |set| int(&set["status"]["replicas"]));
    let old = &deployment["status"];
    let mut status = without_zeros(json!({
        "observedGeneration": deployment["metadata"]["generation"],
        "replicas": sum("replicas"),
        "updatedReplicas": updated,
        "readyReplicas": sum("readyReplicas"),
        "availableReplicas": available,
        "unavailableReplicas": (specified - available).max(0),
    }));
    if old["conditions"].is_array() {
        status["conditions"] = old["conditions"].clone();
    }
    let stamp = state.clock.stamp();
    let enough = available >= numbers.want - numbers.unavailable;
    let words = if enough {
        (
            "MinimumReplicasAvailable",
            "Deployment has minimum availability.",
        )
    } else {
        (
            "MinimumReplicasUnavailable",
            "Deployment does not have minimum availability.",
        )
    };
    set_condition(&mut status, "Available", enough, words, &stamp, true);
    // What the newest template cannot do counts before what an old one could not.
    let failure = current
        .into_iter()
        .chain(&all)
        .find_map(|set| condition(set, "ReplicaFailure"));
    match failure {
        Some(failure) => {
            let words = (text(&failure["reason"]), text(&failure["message"]));
            set_condition(&mut status, "ReplicaFailure", true, words, &stamp, true);
        }
        None => clear_condition(&mut status, "ReplicaFailure"),
    }
    if let Some(set) = current {
        progress(state, &deployment, set, &mut status, numbers, &stamp);
    }
    state.set(key, "status", status);
}

fn progress(
    state: &mut State,
    deployment: &Value,
    set: &Value,
    status: &mut Value,
    numbers: &Numbers,
    stamp: &str,
) {
    let old = &deployment["status"];
    let count = |status: &Value, field: &str| int(&status[field]);
    let name = text(&set["metadata"]["name"]);
    let complete = count(status, "updatedReplicas") == numbers.want
        && count(status, "replicas") == numbers.want
        && count(status, "availableReplicas") == numbers.want;
    let outdated = |status: &Value| count(status, "replicas") - count(status, "updatedReplicas");
    let moved = count(status, "updatedReplicas") > count(old, "updatedReplicas")
        || outdated(status) < outdated(old)
        || count(status, "readyReplicas") > count(old, "readyReplicas")
        || count(status, "availableReplicas") > count(old, "availableReplicas");
    let done = condition(deployment, "Progressing")
        .is_some_and(|found| found["reason"] == "NewReplicaSetAvailable");
    if complete {
        let message = format!("ReplicaSet \"{name}\" has successfully progressed.");
        let words = ("NewReplicaSetAvailable", message.as_str());
        set_condition(status, "Progressing", true, words, stamp, true);
        return;
    }
    let settled = int(&old["observedGeneration"]) == int(&deployment["metadata"]["generation"]);
    if done && settled {
        return;
    }
    if moved {
        progressed(state, deployment);
        let message = format!("ReplicaSet \"{name}\" is progressing.");
        set_condition(
            status,
            "Progressing",
            true,
            ("ReplicaSetUpdated", &message),
            stamp,
            true,
        );
        return;
    }
    // What was complete and is only scaled begins anew: its deadline is no matter of the rollout before.
    if done {
        progressed(state, deployment);
        return;
    }
    let limit = Duration::from_secs(
        deployment["spec"]["progressDeadlineSeconds"]
            .as_u64()
            .unwrap_or(600),
    );
    let now = state.now();
    let since = state.moment(text(&deployment["metadata"]["uid"]), "progress", now);
    if state.reached(since + limit) {
        let message = format!("ReplicaSet \"{name}\" has timed out progressing.");
        set_condition(
            status,
            "Progressing",
            false,
            ("ProgressDeadlineExceeded", &message),
            stamp,
            true,
        );
    }
}
