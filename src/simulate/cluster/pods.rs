//! Turns pods into scheduled, pulling, running, crashing or finished ones, as scheduler and kubelet would.
//! It must not create pods or know who owns them.
//! What happens to a container hangs on its image alone, so that a scenario reads as a sequence of pushes.

use std::time::Duration;

use serde_json::{Value, json};

use super::containers::{Phase, Run};
use super::state::{State, set_condition, text};
use super::store::Key;
use crate::names::quantity;

/// The one node there is.
pub(super) const NODE: &str = "sim-node";

/// What scheduler and kubelet know about a pod.
#[derive(Clone, Debug)]
pub(super) struct PodRun {
    placed: bool,
    mounted: bool,
    due: Duration,
    pub(super) containers: Vec<Run>,
}

/// Lets scheduler and kubelet act on every pod.
pub(super) fn reconcile(state: &mut State) {
    for key in state.keys("Pod") {
        let Some(pod) = state.store.get(&key).map(|entry| entry.object.clone()) else {
            continue;
        };
        let uid = text(&pod["metadata"]["uid"]).to_owned();
        if !pod["metadata"]["deletionTimestamp"].is_null() {
            stop(state, &key, &pod, &uid);
            continue;
        }
        if matches!(text(&pod["status"]["phase"]), "Succeeded" | "Failed") {
            continue;
        }
        let mut run = match state.runs.remove(&uid) {
            Some(run) => run,
            None => PodRun {
                placed: false,
                mounted: false,
                due: state.now() + state.delays.schedule,
                containers: Run::all_of(&pod),
            },
        };
        let status = live(state, &key, &pod, &mut run);
        state.runs.insert(uid, run);
        state.set(&key, "status", status);
    }
}

fn stop(state: &mut State, key: &Key, pod: &Value, uid: &str) {
    let at = state.now() + state.delays.stop;
    let at = state.moment(uid, "stop", at);
    let held = pod["metadata"]["finalizers"]
        .as_array()
        .is_some_and(|list| !list.is_empty());
    if state.reached(at) && !held {
        state.runs.remove(uid);
        state.store.remove(key);
    }
}

/// Moves a pod forward as far as the time allows, and returns its status.
fn live(state: &mut State, key: &Key, pod: &Value, run: &mut PodRun) -> Value {
    let mut status = pod["status"].clone();
    let stamp = state.clock.stamp();
    if !run.placed {
        if !state.reached(run.due) {
            return status;
        }
        if let Err(why) = place(state, pod) {
            state.event(pod, true, "FailedScheduling", &why, "default-scheduler");
            set_condition(
                &mut status,
                "PodScheduled",
                false,
                ("Unschedulable", &why),
                &stamp,
                false,
            );
            run.due = state.now() + state.delays.retry;
            state.reached(run.due);
            return status;
        }
        run.placed = true;
        let now = state.now();
        state
            .store
            .edit(key, now, |pod| pod["spec"]["nodeName"] = NODE.into());
        let message = format!(
            "Successfully assigned {}/{} to {NODE}",
            key.namespace, key.name
        );
        state.event(pod, false, "Scheduled", &message, "default-scheduler");
        set_condition(&mut status, "PodScheduled", true, ("", ""), &stamp, false);
        status["startTime"] = stamp.as_str().into();
        status["hostIP"] = "10.0.0.1".into();
    }
    if !run.mounted && state.reached(run.due) {
        match unmountable(state, pod) {
            Some(why) => {
                state.event(pod, true, "FailedMount", &why, "kubelet");
                run.due = state.now() + state.delays.retry;
                state.reached(run.due);
            }
            None => run.mounted = true,
        }
    }
    if run.mounted {
        while advance_containers(state, pod, run) {}
    }
    describe(pod, run, &mut status, &stamp);
    status
}

/// Advances the containers whose turn it is; true if one moved.
fn advance_containers(state: &mut State, pod: &Value, run: &mut PodRun) -> bool {
    let waiting_init = run
        .containers
        .iter()
        .position(|one| one.init && one.phase != Phase::Done(0));
    let mut moved = false;
    let all = run.containers.iter_mut().enumerate();
    for (index, container) in all {
        let turn = match waiting_init {
            Some(init) => index == init,
            None => !container.init,
        };
        if turn {
            moved |= container.advance(state, pod);
        }
    }
    moved
}

/// What the node has, in thousandths.
const CAPACITY: [(&str, i128); 2] = [
    ("cpu", 64 * 1000),
    ("memory", 256 * 1024 * 1024 * 1024 * 1000),
];

fn place(state: &State, pod: &Value) -> Result<(), String> {
    let nowhere = "no new claims to deallocate, preemption: 0/1 nodes are available: \
         1 Preemption is not helpful for scheduling.";
    for (resource, capacity) in CAPACITY {
        let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
        let asked: i128 = containers
            .filter_map(|one| quantity::parse(&one["resources"]["requests"][resource]))
            .sum();
        if asked > capacity {
            return Err(format!(
                "0/1 nodes are available: 1 Insufficient {resource}. {nowhere}"
            ));
        }
    }
    let labels = [
        ("kubernetes.io/os", "linux"),
        ("kubernetes.io/arch", "amd64"),
        ("kubernetes.io/hostname", NODE),
    ];
    for (label, value) in pod["spec"]["nodeSelector"]
        .as_object()
        .into_iter()
        .flatten()
    {
        if !labels
            .iter()
            .any(|(name, have)| name == label && value == have)
        {
            return Err(format!(
                "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector. {nowhere}"
            ));
        }
    }
    for volume in volumes(pod) {
        let claim = text(&volume["persistentVolumeClaim"]["claimName"]);
        if claim.is_empty() {
            continue;
        }
        match state.store.object(
            "PersistentVolumeClaim",
            text(&pod["metadata"]["namespace"]),
            claim,
        ) {
            None => {
                let missing = format!("persistentvolumeclaim \"{claim}\" not found");
                return Err(format!("0/1 nodes are available: {missing}. {nowhere}"));
            }
            Some(found) if found["status"]["phase"] != "Bound" => {
                let unbound = "pod has unbound immediate PersistentVolumeClaims";
                return Err(format!("0/1 nodes are available: {unbound}. {nowhere}"));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

fn volumes(pod: &Value) -> impl Iterator<Item = &Value> {
    pod["spec"]["volumes"].as_array().into_iter().flatten()
}

fn unmountable(state: &State, pod: &Value) -> Option<String> {
    let namespace = text(&pod["metadata"]["namespace"]);
    volumes(pod).find_map(|volume| {
        let sources = [
            ("Secret", &volume["secret"], "secretName"),
            ("ConfigMap", &volume["configMap"], "name"),
        ];
        sources.into_iter().find_map(|(kind, source, field)| {
            let name = source[field]
                .as_str()
                .filter(|_| source["optional"] != true)?;
            let missing = state.store.object(kind, namespace, name).is_none();
            let volume = text(&volume["name"]);
            let kind = kind.to_lowercase();
            missing.then(|| {
                format!(
                    "MountVolume.SetUp failed for volume \"{volume}\" : {kind} \"{name}\" not found"
                )
            })
        })
    })
}

/// Writes phase, conditions and container statuses from what the kubelet knows.
fn describe(pod: &Value, run: &PodRun, status: &mut Value, stamp: &str) {
    let (inits, mains): (Vec<&Run>, Vec<&Run>) = run.containers.iter().partition(|one| one.init);
    let statuses = |runs: &[&Run]| runs.iter().map(|run| run.status(pod)).collect::<Vec<_>>();
    if !inits.is_empty() {
        status["initContainerStatuses"] = statuses(&inits).into();
    }
    status["containerStatuses"] = statuses(&mains).into();
    let init_failed = inits
        .iter()
        .any(|run| matches!(run.phase, Phase::Done(code) if code != 0));
    let initialized = inits.iter().all(|run| run.phase == Phase::Done(0));
    let ended = mains.iter().all(|run| matches!(run.phase, Phase::Done(_)));
    let failed = init_failed || (ended && mains.iter().any(|run| run.phase != Phase::Done(0)));
    let started = mains.iter().any(|run| run.has_started());
    let phase = match (failed, ended, started) {
        (true, ..) => "Failed",
        (_, true, _) => "Succeeded",
        (_, _, true) => "Running",
        _ => "Pending",
    };
    status["phase"] = phase.into();
    if started && status["podIP"].is_null() {
        let number = pod["metadata"]["resourceVersion"]
            .as_str()
            .and_then(|text| text.parse::<u64>().ok());
        let number = number.unwrap_or_default();
        let address = format!("10.244.{}.{}", number / 250 % 250, number % 250 + 1);
        status["podIPs"] = json!([{"ip": address}]);
        status["podIP"] = address.into();
    }
    let unready: Vec<&str> = mains
        .iter()
        .filter(|run| !run.is_ready())
        .map(|run| run.name.as_str())
        .collect();
    let incomplete: Vec<&str> = inits
        .iter()
        .filter(|run| run.phase != Phase::Done(0))
        .map(|run| run.name.as_str())
        .collect();
    let listed = |what: &str, names: &[&str]| {
        format!("containers with {what} status: [{}]", names.join(" "))
    };
    let not_initialized = listed("incomplete", &incomplete);
    let initialized_words = if initialized {
        ("", "")
    } else {
        ("ContainersNotInitialized", not_initialized.as_str())
    };
    set_condition(
        status,
        "Initialized",
        initialized,
        initialized_words,
        stamp,
        false,
    );
    let not_ready = listed("unready", &unready);
    let ready = unready.is_empty() && initialized;
    let ready_words = match phase {
        _ if ready => ("", ""),
        "Succeeded" => ("PodCompleted", ""),
        "Failed" => ("PodFailed", ""),
        _ => ("ContainersNotReady", not_ready.as_str()),
    };
    for kind in ["ContainersReady", "Ready"] {
        set_condition(status, kind, ready, ready_words, stamp, false);
    }
}

/// Returns what a container wrote, or the refusal in the words of the kubelet.
pub(super) fn log(
    state: &State,
    pod: &Value,
    container: &str,
    previous: bool,
) -> Result<String, String> {
    let name = text(&pod["metadata"]["name"]);
    let run = state.runs.get(text(&pod["metadata"]["uid"]));
    let runs = run.map_or(&[][..], |run| run.containers.as_slice());
    let mains: Vec<&Run> = runs.iter().filter(|run| !run.init).collect();
    let chosen = match (container, mains.as_slice()) {
        ("", [only]) => Some(*only),
        ("", many) => {
            let names: Vec<&str> = many.iter().map(|run| run.name.as_str()).collect();
            return Err(format!(
                "a container name must be specified for pod {name}, choose one of: [{}]",
                names.join(" ")
            ));
        }
        (wanted, _) => runs.iter().find(|run| run.name == wanted),
    };
    let Some(run) = chosen else {
        return Err(format!("container {container} is not valid for pod {name}"));
    };
    if previous && run.restarts == 0 {
        return Err(format!(
            "previous terminated container \"{}\" in pod \"{name}\" not found",
            run.name
        ));
    }
    if !run.has_started() {
        let why = match run.phase {
            Phase::PullFailed | Phase::PullBackOff => "trying and failing to pull image",
            Phase::Misconfigured => "CreateContainerConfigError",
            _ => "ContainerCreating",
        };
        return Err(format!(
            "container \"{}\" in pod \"{name}\" is waiting to start: {why}",
            run.name
        ));
    }
    let scripted = state
        .logs
        .iter()
        .rev()
        .find(|(part, _)| run.image.contains(part.as_str()));
    Ok(scripted.map_or_else(|| run.default_log(), |(_, log)| log.clone()))
}
