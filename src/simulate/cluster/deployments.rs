//! Turns Deployments into ReplicaSets and a status, in the order that recorded rollouts show.
//! It must not touch pods; ReplicaSets do.
//! It acts a moment after a change, so that an answer to a PATCH still shows the old status with the new generation.

use std::time::Duration;

use serde_json::{Value, json};

use super::apply::Managers;
use super::kinds::Kind;
use super::rollouts::{progressed, write_status};
use super::spelling::{scatter, spell_hash};
use super::state::{State, int, set_condition, text};
use super::store::{Key, controlled_by};

const REVISION: &str = "deployment.kubernetes.io/revision";
const COMPONENT: &str = "deployment-controller";
pub(super) const HASH: &str = "pod-template-hash";

/// Lets the Deployment controller act.
pub(super) fn reconcile(state: &mut State) {
    for key in state.keys("Deployment") {
        let Some(entry) = state.store.get(&key) else {
            continue;
        };
        let changed = entry.changed;
        let object = entry.object.clone();
        if object["metadata"]["deletionTimestamp"].is_null() && observes(state, &object, changed) {
            roll(state, &key, &object);
        }
    }
}

/// Tells whether a controller has noticed the newest generation of its object.
pub(super) fn observes(state: &mut State, object: &Value, changed: Duration) -> bool {
    let observed = int(&object["status"]["observedGeneration"]);
    let at = changed + state.delays.observe;
    observed >= int(&object["metadata"]["generation"]) || state.reached(at)
}

/// Spells a hash of a pod template.
pub(super) fn template_hash(template: &Value) -> String {
    let text = template.to_string();
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        scatter(hash ^ u64::from(byte))
    });
    spell_hash(hash)
}

/// Returns the ReplicaSets of a Deployment.
pub(super) fn sets(state: &State, deployment: &Value) -> Vec<Value> {
    state.store.owned("ReplicaSet", deployment)
}

fn roll(state: &mut State, key: &Key, deployment: &Value) {
    let numbers = Numbers::of(deployment);
    let hash = template_hash(&deployment["spec"]["template"]);
    let all = sets(state, deployment);
    let current = all
        .iter()
        .find(|set| set["metadata"]["labels"][HASH] == hash.as_str());
    let paused = deployment["spec"]["paused"] == true;
    match current {
        None if paused => {}
        None => {
            let stopped = text(&deployment["spec"]["strategy"]["type"]) == "Recreate"
                && old_pods_left(state, &all, "");
            if stopped {
                for set in &all {
                    scale(state, deployment, set, 0);
                }
            } else {
                start_revision(state, key, deployment, &all, &hash, &numbers);
            }
        }
        Some(current) => {
            adopt_revision(state, key, &all, current);
            if text(&deployment["spec"]["strategy"]["type"]) == "Recreate" {
                recreate(state, deployment, &all, current, numbers.want);
            } else {
                move_pods(state, deployment, &all, current, &numbers);
            }
        }
    }
    write_status(state, key, &hash, &numbers);
}

/// How many pods a rollout wants, and how many more or fewer it may have.
pub(super) struct Numbers {
    pub(super) want: i64,
    surge: i64,
    pub(super) unavailable: i64,
}

impl Numbers {
    fn of(deployment: &Value) -> Self {
        let want = int(&deployment["spec"]["replicas"]);
        let rolling = &deployment["spec"]["strategy"]["rollingUpdate"];
        let part = |value: &Value, round_up: bool| match value
            .as_str()
            .and_then(|text| text.strip_suffix('%'))
        {
            Some(percent) => {
                let share = percent.parse::<i64>().unwrap_or_default() * want;
                if round_up {
                    (share + 99) / 100
                } else {
                    share / 100
                }
            }
            None => int(value),
        };
        let surge = part(&rolling["maxSurge"], true);
        let unavailable = part(&rolling["maxUnavailable"], false);
        let unavailable = if surge == 0 && unavailable == 0 {
            1
        } else {
            unavailable.min(want)
        };
        Self {
            want,
            surge,
            unavailable,
        }
    }
}

fn start_revision(
    state: &mut State,
    key: &Key,
    deployment: &Value,
    all: &[Value],
    hash: &str,
    numbers: &Numbers,
) {
    let Some(kind) = Kind::of_name("ReplicaSet") else {
        return;
    };
    let running: i64 = all.iter().map(|set| int(&set["spec"]["replicas"])).sum();
    let replicas = numbers
        .want
        .min(numbers.want + numbers.surge - running)
        .max(0);
    let revision = 1 + all.iter().map(revision_of).max().unwrap_or_default();
    let name = format!("{}-{hash}", key.name);
    let mut labels = deployment["spec"]["template"]["metadata"]["labels"].clone();
    labels[HASH] = hash.into();
    let mut template = deployment["spec"]["template"].clone();
    template["metadata"]["labels"] = labels.clone();
    let mut selector = deployment["spec"]["selector"].clone();
    selector["matchLabels"][HASH] = hash.into();
    let set = json!({
        "metadata": {
            "labels": labels,
            "annotations": {
                "deployment.kubernetes.io/desired-replicas": numbers.want.to_string(),
                "deployment.kubernetes.io/max-replicas": (numbers.want + numbers.surge).to_string(),
                REVISION: revision.to_string(),
            },
            "ownerReferences": controlled_by(deployment),
        },
        "spec": {"replicas": replicas, "selector": selector, "template": template},
        "status": {"replicas": 0},
    });
    let now = (state.now(), state.clock.stamp());
    state.store.insert(
        Key::new(kind, &key.namespace, &name),
        set,
        Managers::default(),
        now.clone(),
    );
    progressed(state, deployment);
    state.event(
        deployment,
        false,
        "ScalingReplicaSet",
        &format!("Scaled up replica set {name} from 0 to {replicas}"),
        COMPONENT,
    );
    state.store.edit(key, now.0, |deployment| {
        deployment["metadata"]["annotations"][REVISION] = revision.to_string().into();
        let message = format!("Created new replica set \"{name}\"");
        let text = ("NewReplicaSetCreated", message.as_str());
        set_condition(
            &mut deployment["status"],
            "Progressing",
            true,
            text,
            &now.1,
            true,
        );
    });
}

fn revision_of(set: &Value) -> u64 {
    text(&set["metadata"]["annotations"][REVISION])
        .parse()
        .unwrap_or_default()
}

/// Gives an earlier ReplicaSet the newest revision when its template came back.
fn adopt_revision(state: &mut State, key: &Key, all: &[Value], current: &Value) {
    let newest = all.iter().map(revision_of).max().unwrap_or_default();
    let mut revision = revision_of(current);
    let now = state.now();
    if revision < newest {
        revision = newest + 1;
        if let Some(set) = key_of(current) {
            state.store.edit(&set, now, |set| {
                set["metadata"]["annotations"][REVISION] = revision.to_string().into()
            });
        }
    }
    state.store.edit(key, now, |deployment| {
        deployment["metadata"]["annotations"][REVISION] = revision.to_string().into();
    });
}

fn key_of(set: &Value) -> Option<Key> {
    let metadata = &set["metadata"];
    Some(Key::new(
        Kind::of_name(text(&set["kind"]))?,
        text(&metadata["namespace"]),
        text(&metadata["name"]),
    ))
}

fn scale(state: &mut State, deployment: &Value, set: &Value, replicas: i64) {
    let now = int(&set["spec"]["replicas"]);
    let Some(key) = key_of(set).filter(|_| now != replicas) else {
        return;
    };
    let direction = if replicas > now { "up" } else { "down" };
    let message = format!(
        "Scaled {direction} replica set {} from {now} to {replicas}",
        key.name
    );
    state.event(deployment, false, "ScalingReplicaSet", &message, COMPONENT);
    let at = state.now();
    state
        .store
        .edit(&key, at, |set| set["spec"]["replicas"] = replicas.into());
}

fn old_pods_left(state: &State, all: &[Value], current: &str) -> bool {
    let mut old = all.iter().filter(|set| set["metadata"]["uid"] != current);
    old.any(|set| !state.store.owned("Pod", set).is_empty())
}

fn recreate(state: &mut State, deployment: &Value, all: &[Value], current: &Value, want: i64) {
    let uid = text(&current["metadata"]["uid"]);
    for set in all.iter().filter(|set| set["metadata"]["uid"] != uid) {
        scale(state, deployment, set, 0);
    }
    if !old_pods_left(state, all, uid) {
        scale(state, deployment, current, want);
    }
}

/// Scales the new set up as far as the surge allows, then old ones down as far as availability allows.
fn move_pods(
    state: &mut State,
    deployment: &Value,
    all: &[Value],
    current: &Value,
    numbers: &Numbers,
) {
    let spec = |set: &Value| int(&set["spec"]["replicas"]);
    let available = |set: &Value| int(&set["status"]["availableReplicas"]);
    let running: i64 = all.iter().map(spec).sum();
    let room = numbers.want + numbers.surge - running;
    let target = if spec(current) > numbers.want {
        numbers.want
    } else {
        numbers.want.min(spec(current) + room.max(0))
    };
    if target != spec(current) {
        scale(state, deployment, current, target);
        return;
    }
    let starting = spec(current) - available(current);
    let least = numbers.want - numbers.unavailable;
    let mut removable = (running - least - starting).max(0);
    let old = || {
        all.iter()
            .filter(|set| set["metadata"]["uid"] != current["metadata"]["uid"])
    };
    for set in old() {
        // Pods that are not available anyway go first, and do not lower availability.
        let useless = (spec(set) - available(set)).min(removable);
        if useless > 0 {
            scale(state, deployment, set, spec(set) - useless);
            return;
        }
    }
    let serving: i64 = all.iter().map(available).sum();
    removable = (serving - least).max(0);
    for set in old().filter(|set| spec(set) > 0) {
        let less = spec(set).min(removable);
        removable -= less;
        scale(state, deployment, set, spec(set) - less);
    }
}
