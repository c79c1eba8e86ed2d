//! Turns StatefulSets into numbered pods with claims, created upwards and replaced downwards, one at a time.
//! It must not bind claims; the claim controller does.
//! The order matters to whoever waits for a rollout, so it follows the recorded one step by step.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::deployments::{observes, template_hash};
use super::kinds::Kind;
use super::network::is_ready;
use super::replicas::{create_pod, delete_pod};
use super::state::{State, int, text, without_zeros};
use super::store::Key;
use super::writes::Options;

const LABEL: &str = "controller-revision-hash";
const COMPONENT: &str = "statefulset-controller";

/// Lets the StatefulSet controller act.
pub(super) fn reconcile(state: &mut State) {
    for key in state.keys("StatefulSet") {
        let Some(entry) = state.store.get(&key) else {
            continue;
        };
        let changed = entry.changed;
        let object = entry.object.clone();
        if object["metadata"]["deletionTimestamp"].is_null() && observes(state, &object, changed) {
            step(state, &key, &object);
        }
    }
}

fn step(state: &mut State, key: &Key, set: &Value) {
    let revision = format!("{}-{}", key.name, template_hash(&set["spec"]["template"]));
    let want = int(&set["spec"]["replicas"]);
    // Terminating pods still hold their name, so they count here.
    let pods = |state: &State| {
        let mut pods = state.store.owned("Pod", set);
        pods.sort_by_key(ordinal);
        pods
    };
    act(state, key, set, &pods(state), want, &revision);
    let pods = pods(state);
    let live = || {
        pods.iter()
            .filter(|pod| pod["metadata"]["deletionTimestamp"].is_null())
    };
    let updated = live()
        .filter(|pod| pod["metadata"]["labels"][LABEL] == revision.as_str())
        .count();
    let ready = live().filter(|pod| is_ready(pod)).count();
    let old = &set["status"];
    let first = old["currentRevision"].is_null();
    let finished =
        i64::try_from(updated).ok() == Some(want) && updated == pods.len() && ready == updated;
    let before = text(&old["currentRevision"]);
    let current = if first || finished {
        revision.as_str()
    } else {
        before
    };
    let of_current = live()
        .filter(|pod| pod["metadata"]["labels"][LABEL] == current)
        .count();
    let mut status = without_zeros(json!({
        "observedGeneration": set["metadata"]["generation"], "readyReplicas": ready, "availableReplicas": ready,
        "currentReplicas": of_current, "updatedReplicas": updated,
    }));
    status["replicas"] = pods.len().into();
    status["currentRevision"] = current.into();
    status["updateRevision"] = revision.into();
    status["collisionCount"] = 0.into();
    state.set(key, "status", status);
}

fn ordinal(pod: &Value) -> i64 {
    let name = text(&pod["metadata"]["name"]);
    name.rsplit('-')
        .next()
        .and_then(|number| number.parse().ok())
        .unwrap_or_default()
}

/// Does the one thing that is next: create, shrink or replace a pod.
fn act(state: &mut State, key: &Key, set: &Value, pods: &[Value], want: i64, revision: &str) {
    let parallel = set["spec"]["podManagementPolicy"] == "Parallel";
    let terminating = |pod: &Value| !pod["metadata"]["deletionTimestamp"].is_null();
    for number in 0..want {
        match pods.iter().find(|pod| ordinal(pod) == number) {
            None => {
                if !create(state, key, set, number, revision) || !parallel {
                    return;
                }
            }
            Some(pod) if !parallel && (terminating(pod) || !is_ready(pod)) => {
                // An unready pod of an old revision is replaced, so that a fix gets through.
                let outdated = pod["metadata"]["labels"][LABEL] != revision;
                if outdated && !terminating(pod) {
                    remove(state, set, pod);
                }
                return;
            }
            Some(_) => {}
        }
    }
    if let Some(surplus) = pods.iter().rev().find(|pod| ordinal(pod) >= want) {
        if !terminating(surplus) {
            remove(state, set, surplus);
        }
        return;
    }
    if set["spec"]["updateStrategy"]["type"] == "OnDelete" || pods.iter().any(terminating) {
        return;
    }
    let partition = int(&set["spec"]["updateStrategy"]["rollingUpdate"]["partition"]);
    let outdated =
        |pod: &&Value| pod["metadata"]["labels"][LABEL] != revision && ordinal(pod) >= partition;
    if let Some(pod) = pods.iter().rev().find(outdated) {
        remove(state, set, pod);
    }
}

fn remove(state: &mut State, set: &Value, pod: &Value) {
    delete_pod(state, pod);
    let (pod, owner) = (
        text(&pod["metadata"]["name"]),
        text(&set["metadata"]["name"]),
    );
    let message = format!("delete Pod {pod} in StatefulSet {owner} successful");
    state.event(set, false, "SuccessfulDelete", &message, COMPONENT);
}

fn create(state: &mut State, key: &Key, set: &Value, number: i64, revision: &str) -> bool {
    let uid = text(&set["metadata"]["uid"]);
    let now = state.now();
    let retry = state.moment(uid, "retry", now);
    if !state.reached(retry) {
        return false;
    }
    let name = format!("{}-{number}", key.name);
    let mut template = set["spec"]["template"].clone();
    template["spec"]["hostname"] = name.as_str().into();
    template["spec"]["subdomain"] = set["spec"]["serviceName"].clone();
    let mut volumes = template["spec"]["volumes"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let mut refusal = None;
    for claim in set["spec"]["volumeClaimTemplates"]
        .as_array()
        .into_iter()
        .flatten()
    {
        let volume = text(&claim["metadata"]["name"]);
        let claim_name = format!("{volume}-{name}");
        refusal = refusal.or(ensure_claim(state, &key.namespace, &claim_name, claim).err());
        volumes.retain(|given| given["name"] != volume);
        volumes.push(json!({"name": volume, "persistentVolumeClaim": {"claimName": claim_name}}));
    }
    if !volumes.is_empty() {
        template["spec"]["volumes"] = volumes.into();
    }
    let labels = BTreeMap::from([
        (LABEL, revision.to_owned()),
        ("statefulset.kubernetes.io/pod-name", name.clone()),
        ("apps.kubernetes.io/pod-index", number.to_string()),
    ]);
    let made = match refusal {
        Some(refusal) => Err(refusal),
        None => create_pod(state, set, &template, &name, &labels),
    };
    match made {
        Ok(_) => {
            let message = format!("create Pod {name} in StatefulSet {} successful", key.name);
            state.event(set, false, "SuccessfulCreate", &message, COMPONENT);
            true
        }
        Err(refusal) => {
            let message = format!(
                "create Pod {name} in StatefulSet {} failed error: {}",
                key.name,
                refusal.message()
            );
            state.event(set, true, "FailedCreate", &message, COMPONENT);
            let at = state.now() + state.delays.retry;
            state.set_moment(uid, "retry", at);
            state.reached(at);
            false
        }
    }
}

fn ensure_claim(
    state: &mut State,
    namespace: &str,
    name: &str,
    template: &Value,
) -> Result<(), super::errors::Refusal> {
    let Some(kind) = Kind::of_name("PersistentVolumeClaim") else {
        return Ok(());
    };
    let key = Key::new(kind, namespace, name);
    if state.store.get(&key).is_some() {
        return Ok(());
    }
    let claim = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {"labels": template["metadata"]["labels"]}, "spec": template["spec"],
    });
    state.create(key, claim, &Options::default())?;
    Ok(())
}
