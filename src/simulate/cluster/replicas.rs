//! Turns ReplicaSets and DaemonSets into pods, and pods into their counters.
//! It must not know rollouts; the Deployment controller tells it how many pods to keep.
//! A refused pod becomes a condition and an event, since that is the only trace of an exhausted quota.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::deployments::{observes, template_hash};
use super::errors::Refusal;
use super::kinds::Kind;
use super::network::is_ready;
use super::state::{State, clear_condition, condition, int, set_condition, text, without_zeros};
use super::store::{Key, controlled_by};
use super::writes::Options;

/// Lets the ReplicaSet and DaemonSet controllers act.
pub(super) fn reconcile(state: &mut State) {
    for key in state.keys("ReplicaSet") {
        replicate(state, &key);
    }
    for key in state.keys("DaemonSet") {
        daemon(state, &key);
    }
}

/// Returns the pods that a controller owns and that still count.
pub(super) fn pods_of(state: &State, owner: &Value) -> Vec<Value> {
    let mut pods = state.store.owned("Pod", owner);
    pods.retain(|pod| pod["metadata"]["deletionTimestamp"].is_null());
    pods
}

/// Creates a pod from a template; without a name it gets one from its owner's.
pub(super) fn create_pod(
    state: &mut State,
    owner: &Value,
    template: &Value,
    name: &str,
    labels: &BTreeMap<&str, String>,
) -> Result<String, Refusal> {
    let Some(kind) = Kind::of_name("Pod") else {
        return Err(super::errors::method_not_allowed());
    };
    let namespace = text(&owner["metadata"]["namespace"]);
    let mut pod =
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {}, "spec": template["spec"]});
    for field in ["labels", "annotations"] {
        if template["metadata"][field].is_object() {
            pod["metadata"][field] = template["metadata"][field].clone();
        }
    }
    for (label, value) in labels {
        pod["metadata"]["labels"][*label] = value.as_str().into();
    }
    pod["metadata"]["ownerReferences"] = controlled_by(owner);
    if name.is_empty() {
        pod["metadata"]["generateName"] = format!("{}-", text(&owner["metadata"]["name"])).into();
    }
    let written = state.create(Key::new(kind, namespace, name), pod, &Options::default())?;
    Ok(text(&written.object["metadata"]["name"]).to_owned())
}

/// Begins to delete a pod.
pub(super) fn delete_pod(state: &mut State, pod: &Value) {
    if let Some(kind) = Kind::of_name("Pod") {
        let key = Key::new(
            kind,
            text(&pod["metadata"]["namespace"]),
            text(&pod["metadata"]["name"]),
        );
        state.begin_deletion(&key, "Background", None);
    }
}

fn replicate(state: &mut State, key: &Key) {
    let Some(set) = state.store.get(key).map(|entry| entry.object.clone()) else {
        return;
    };
    if !set["metadata"]["deletionTimestamp"].is_null() {
        return;
    }
    let want = int(&set["spec"]["replicas"]);
    let mut pods = pods_of(state, &set);
    let have = i64::try_from(pods.len()).unwrap_or(i64::MAX);
    let uid = text(&set["metadata"]["uid"]).to_owned();
    let mut status = set["status"].clone();
    let stamp = state.clock.stamp();
    if have < want {
        let now = state.now();
        let retry = state.moment(&uid, "retry", now);
        if state.reached(retry) {
            match fill(state, &set, want - have) {
                Ok(()) => clear_condition(&mut status, "ReplicaFailure"),
                Err(refusal) => {
                    let at = state.now() + state.delays.retry;
                    state.set_moment(&uid, "retry", at);
                    state.reached(at);
                    set_condition(
                        &mut status,
                        "ReplicaFailure",
                        true,
                        ("FailedCreate", &refusal),
                        &stamp,
                        false,
                    );
                }
            }
        }
    } else {
        clear_condition(&mut status, "ReplicaFailure");
        pods.sort_by_key(|pod| {
            (
                is_ready(pod),
                std::cmp::Reverse(text(&pod["metadata"]["creationTimestamp"]).to_owned()),
            )
        });
        let surplus = usize::try_from(have - want).unwrap_or_default();
        for pod in pods.iter().take(surplus) {
            delete_pod(state, pod);
            let message = format!("Deleted pod: {}", text(&pod["metadata"]["name"]));
            state.event(
                &set,
                false,
                "SuccessfulDelete",
                &message,
                "replicaset-controller",
            );
        }
    }
    let pods = pods_of(state, &set);
    let ready = pods.iter().filter(|pod| is_ready(pod)).count();
    let conditions = status["conditions"].clone();
    let mut status = without_zeros(json!({
        "fullyLabeledReplicas": pods.len(), "readyReplicas": ready, "availableReplicas": ready,
        "observedGeneration": set["metadata"]["generation"],
    }));
    status["replicas"] = pods.len().into();
    if conditions.as_array().is_some_and(|list| !list.is_empty()) {
        status["conditions"] = conditions;
    }
    state.set(key, "status", status);
}

fn fill(state: &mut State, set: &Value, missing: i64) -> Result<(), String> {
    for _ in 0..missing {
        match create_pod(state, set, &set["spec"]["template"], "", &BTreeMap::new()) {
            Ok(name) => {
                let message = format!("Created pod: {name}");
                state.event(
                    set,
                    false,
                    "SuccessfulCreate",
                    &message,
                    "replicaset-controller",
                );
            }
            Err(refusal) => {
                let message = repeated(set, refusal.message());
                let told = format!("Error creating: {message}");
                state.event(set, true, "FailedCreate", &told, "replicaset-controller");
                return Err(message);
            }
        }
    }
    Ok(())
}

/// Returns the words of the last refusal if only the pod's random name differs, so that retries count up one event.
fn repeated(set: &Value, refusal: &str) -> String {
    let after_name = |text: &str| text.split_once("\" is ").map(|(_, rest)| rest.to_owned());
    let last = condition(set, "ReplicaFailure").map(|condition| text(&condition["message"]));
    let same = last.filter(|last| after_name(last) == after_name(refusal));
    same.unwrap_or(refusal).to_owned()
}

/// Keeps one pod on the one node there is, of the newest template.
fn daemon(state: &mut State, key: &Key) {
    let Some(entry) = state.store.get(key) else {
        return;
    };
    let changed = entry.changed;
    let set = entry.object.clone();
    if !set["metadata"]["deletionTimestamp"].is_null() || !observes(state, &set, changed) {
        return;
    }
    let hash = template_hash(&set["spec"]["template"]);
    let label = "controller-revision-hash";
    let pods = pods_of(state, &set);
    for pod in pods
        .iter()
        .filter(|pod| pod["metadata"]["labels"][label] != hash.as_str())
    {
        delete_pod(state, pod);
    }
    let current = |pod: &Value| pod["metadata"]["labels"][label] == hash.as_str();
    if !pods.iter().any(current) {
        let labels = BTreeMap::from([(label, hash.clone())]);
        let made = create_pod(state, &set, &set["spec"]["template"], "", &labels);
        let (warning, reason, message) = match made {
            Ok(name) => (false, "SuccessfulCreate", format!("Created pod: {name}")),
            Err(refusal) => (
                true,
                "FailedCreate",
                format!("Error creating: {}", refusal.message()),
            ),
        };
        state.event(&set, warning, reason, &message, "daemonset-controller");
    }
    let pods = pods_of(state, &set);
    let updated = pods.iter().filter(|pod| current(pod)).count();
    let ready = pods.iter().filter(|pod| is_ready(pod)).count();
    let status = json!({
        "observedGeneration": set["metadata"]["generation"], "desiredNumberScheduled": 1, "numberMisscheduled": 0,
        "currentNumberScheduled": pods.len(), "updatedNumberScheduled": updated, "numberReady": ready,
        "numberAvailable": ready, "numberUnavailable": 1_usize.saturating_sub(ready),
    });
    state.set(key, "status", status);
}
