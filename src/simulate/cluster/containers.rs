//! Turns one container, step by step, from waiting to ready, crashed or done, with the kubelet's words and events.
//! It must not know the other containers of its pod; the pod decides whose turn it is.
//! The words are those of recent kubelets, because users' failures are recognised by them.

use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::Fate;
use super::state::{State, text};

/// Where a container is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Waiting,
    Pulling,
    PullFailed,
    PullBackOff,
    Misconfigured,
    Running,
    Ready,
    /// Ended; a new start follows.
    Crashed(u8),
    BackOff,
    /// Ended for good.
    Done(u8),
}

/// What the kubelet knows about a container.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) name: String,
    pub(super) image: String,
    pub(super) init: bool,
    pub(super) phase: Phase,
    pub(super) restarts: u32,
    fate: Fate,
    due: Duration,
    started: String,
    finished: String,
    /// Why it waits, in the kubelet's words.
    message: String,
    last: Value,
}

impl Run {
    /// Lists the containers of a pod, init containers first.
    pub(super) fn all_of(pod: &Value) -> Vec<Self> {
        let list = |field: &str, init: bool| {
            let containers = pod["spec"][field].as_array().into_iter().flatten();
            let run = move |container: &Value| Self {
                name: text(&container["name"]).to_owned(),
                image: text(&container["image"]).to_owned(),
                init,
                phase: Phase::Waiting,
                restarts: 0,
                fate: Fate::Ready,
                due: Duration::ZERO,
                started: String::new(),
                finished: String::new(),
                message: String::new(),
                last: json!({}),
            };
            containers.map(run).collect::<Vec<_>>()
        };
        let mut runs = list("initContainers", true);
        runs.extend(list("containers", false));
        runs
    }

    /// Tells whether it has run at least once.
    pub(super) fn has_started(&self) -> bool {
        !self.started.is_empty()
    }

    /// Tells whether it serves.
    pub(super) fn is_ready(&self) -> bool {
        self.phase == Phase::Ready
    }

    /// Takes the next step if its time has come; true if it moved.
    pub(super) fn advance(&mut self, state: &mut State, pod: &Value) -> bool {
        if matches!(self.phase, Phase::Ready | Phase::Done(_)) || !state.reached(self.due) {
            return false;
        }
        let delays = state.delays.clone();
        let now = state.now();
        match self.phase {
            Phase::Waiting => {
                self.event(
                    state,
                    pod,
                    false,
                    "Pulling",
                    &format!("Pulling image \"{}\"", self.image),
                );
                self.go(Phase::Pulling, now + delays.pull);
            }
            Phase::Pulling | Phase::PullBackOff | Phase::Misconfigured => self.pulled(state, pod),
            Phase::PullFailed => {
                self.message = format!(
                    "Back-off pulling image \"{}\": ErrImagePull: {}",
                    self.image,
                    self.pull_error()
                );
                self.event(
                    state,
                    pod,
                    false,
                    "BackOff",
                    &format!("Back-off pulling image \"{}\"", self.image),
                );
                self.event(state, pod, true, "Failed", "Error: ImagePullBackOff");
                self.go(Phase::PullBackOff, now + delays.back_off);
            }
            Phase::Running => self.ran(state, pod),
            Phase::Crashed(code) => {
                self.last = json!({"terminated": self.terminated(code)});
                if self.restarts == 0 {
                    self.restarts = 1;
                    self.start(state, pod);
                } else {
                    self.message = self.back_off_message(pod);
                    let words = format!(
                        "Back-off restarting failed container {} in pod {}",
                        self.name,
                        pod_name(pod)
                    );
                    self.event(state, pod, true, "BackOff", &words);
                    self.go(Phase::BackOff, now + delays.back_off);
                }
            }
            Phase::BackOff => {
                self.restarts += 1;
                self.start(state, pod);
            }
            Phase::Ready | Phase::Done(_) => {}
        }
        true
    }

    fn go(&mut self, phase: Phase, due: Duration) {
        self.phase = phase;
        self.due = due;
    }

    /// The pull has ended, well or not.
    fn pulled(&mut self, state: &mut State, pod: &Value) {
        self.fate = state.fate(&self.image);
        let now = state.now();
        if matches!(self.fate, Fate::Missing | Fate::Forbidden) {
            self.message = self.pull_error();
            let words = format!("Failed to pull image \"{}\": {}", self.image, self.message);
            self.event(state, pod, true, "Failed", &words);
            self.event(state, pod, true, "Failed", "Error: ErrImagePull");
            self.go(Phase::PullFailed, now + state.delays.back_off / 2);
            return;
        }
        if let Some(why) = self.missing_configuration(state, pod) {
            self.event(state, pod, true, "Failed", &format!("Error: {why}"));
            self.message = why;
            self.go(Phase::Misconfigured, now + state.delays.back_off);
            return;
        }
        let words = format!("Successfully pulled image \"{}\"", self.image);
        self.event(state, pod, false, "Pulled", &words);
        self.start(state, pod);
    }

    fn start(&mut self, state: &mut State, pod: &Value) {
        self.event(
            state,
            pod,
            false,
            "Created",
            &format!("Created container: {}", self.name),
        );
        self.event(
            state,
            pod,
            false,
            "Started",
            &format!("Started container {}", self.name),
        );
        self.started = state.clock.stamp();
        self.fate = state.fate(&self.image);
        let delays = &state.delays;
        let lasts = match self.fate {
            Fate::Slow => delays.slow,
            _ if self.ends(pod) || self.fate.exit_code() != 0 => delays.run,
            _ => delays.ready,
        };
        self.go(Phase::Running, state.now() + lasts);
    }

    /// Tells whether it is meant to end by itself.
    fn ends(&self, pod: &Value) -> bool {
        self.init || text(&pod["spec"]["restartPolicy"]) != "Always"
    }

    /// It has run for as long as its fate lets it.
    fn ran(&mut self, state: &mut State, pod: &Value) {
        let now = state.now();
        let code = self.fate.exit_code();
        if self.fate == Fate::Never {
            if !self.ends(pod) {
                let words = "Readiness probe failed: HTTP probe failed with statuscode: 503";
                self.event(state, pod, true, "Unhealthy", words);
            }
            self.go(Phase::Running, now + state.delays.back_off);
            return;
        }
        if code == 0 && !self.ends(pod) {
            self.go(Phase::Ready, now);
            return;
        }
        self.finished = state.clock.stamp();
        let again = code != 0 && text(&pod["spec"]["restartPolicy"]) != "Never";
        self.go(
            if again {
                Phase::Crashed(code)
            } else {
                Phase::Done(code)
            },
            now + state.delays.stop,
        );
    }

    fn event(&self, state: &mut State, pod: &Value, warning: bool, reason: &str, message: &str) {
        state.event(pod, warning, reason, message, "kubelet");
    }

    fn pull_error(&self) -> String {
        let image = &self.image;
        let resolve =
            format!("failed to pull and unpack image \"{image}\": failed to resolve image");
        if self.fate == Fate::Forbidden {
            let (registry, path) = image
                .split_once('/')
                .unwrap_or(("registry.example.com", image));
            let path = path.replace(':', "/manifests/");
            return format!(
                "{resolve}: unexpected status from HEAD request to https://{registry}/v2/{path}: 401 Unauthorized"
            );
        }
        format!("rpc error: code = NotFound desc = {resolve}: {image}: not found")
    }

    /// Returns which Secret or ConfigMap its environment lacks.
    fn missing_configuration(&self, state: &State, pod: &Value) -> Option<String> {
        let namespace = text(&pod["metadata"]["namespace"]);
        let field = if self.init {
            "initContainers"
        } else {
            "containers"
        };
        let container = pod["spec"][field]
            .as_array()?
            .iter()
            .find(|one| one["name"] == self.name.as_str())?;
        let list = |field: &str| container[field].as_array().into_iter().flatten();
        let lacks = |kind: &str, reference: &Value| {
            let name = reference["name"]
                .as_str()
                .filter(|_| reference["optional"] != true)?;
            let Some(found) = state.store.object(kind, namespace, name) else {
                return Some(format!("{} \"{name}\" not found", kind.to_lowercase()));
            };
            let key = reference["key"].as_str()?;
            found["data"]
                .get(key)
                .is_none()
                .then(|| format!("couldn't find key {key} in {kind} {namespace}/{name}"))
        };
        let whole = list("envFrom").find_map(|from| {
            lacks("Secret", &from["secretRef"])
                .or_else(|| lacks("ConfigMap", &from["configMapRef"]))
        });
        whole.or_else(|| {
            list("env").find_map(|entry| {
                let from = &entry["valueFrom"];
                lacks("Secret", &from["secretKeyRef"])
                    .or_else(|| lacks("ConfigMap", &from["configMapKeyRef"]))
            })
        })
    }

    fn back_off_message(&self, pod: &Value) -> String {
        let seconds = (10_u32 << (self.restarts - 1).min(5)).min(300);
        let length = match (seconds / 60, seconds % 60) {
            (0, seconds) => format!("{seconds}s"),
            (minutes, seconds) => format!("{minutes}m{seconds}s"),
        };
        format!(
            "back-off {length} restarting failed container={} pod={}",
            self.name,
            pod_name(pod)
        )
    }

    fn terminated(&self, code: u8) -> Value {
        let reason = match code {
            0 => "Completed",
            137 => "OOMKilled",
            _ => "Error",
        };
        json!({
            "exitCode": code, "reason": reason, "startedAt": self.started, "finishedAt": self.finished,
            "containerID": self.container_id(),
        })
    }

    fn container_id(&self) -> String {
        format!(
            "containerd://{}",
            hex(&format!("{}{}{}", self.name, self.started, self.restarts))
        )
    }

    /// Returns its entry of `containerStatuses`.
    pub(super) fn status(&self, pod: &Value) -> Value {
        let waiting = |reason: &str| {
            let mut waiting = json!({"reason": reason});
            if !self.message.is_empty() {
                waiting["message"] = self.message.as_str().into();
            }
            json!({"waiting": waiting})
        };
        let before_start = if pod["spec"]["initContainers"].is_array()
            && !self.init
            && self.phase == Phase::Waiting
        {
            "PodInitializing"
        } else {
            "ContainerCreating"
        };
        let state = match self.phase {
            Phase::Waiting | Phase::Pulling => waiting(before_start),
            Phase::PullFailed => waiting("ErrImagePull"),
            Phase::PullBackOff => waiting("ImagePullBackOff"),
            Phase::Misconfigured => waiting("CreateContainerConfigError"),
            Phase::BackOff => waiting("CrashLoopBackOff"),
            Phase::Running | Phase::Ready => json!({"running": {"startedAt": self.started}}),
            Phase::Crashed(code) | Phase::Done(code) => {
                json!({"terminated": self.terminated(code)})
            }
        };
        let runs = matches!(self.phase, Phase::Running | Phase::Ready);
        let digest = format!("{}@sha256:{}", repository(&self.image), hex(&self.image));
        json!({
            "name": self.name, "image": self.image, "imageID": if self.has_started() { digest } else { String::new() },
            "containerID": if self.has_started() { self.container_id() } else { String::new() },
            "ready": self.is_ready() || (self.init && self.phase == Phase::Done(0)), "started": runs,
            "restartCount": self.restarts, "state": state, "lastState": self.last,
        })
    }

    /// Returns a log that fits the fate.
    pub(super) fn default_log(&self) -> String {
        let rest = match self.fate {
            Fate::Crash => "error: cannot connect to the database: connection refused\n",
            Fate::Fail => "running migrations\nerror: relation \"users\" does not exist\n",
            Fate::OutOfMemory => "filling the cache\n",
            Fate::Never => "waiting for a connection that nobody opens\n",
            _ if self.phase == Phase::Done(0) => "done\n",
            _ => "listening on port 8080\n",
        };
        format!("starting {} from {}\n{rest}", self.name, self.image)
    }
}

fn pod_name(pod: &Value) -> String {
    let metadata = &pod["metadata"];
    format!(
        "{}_{}({})",
        text(&metadata["name"]),
        text(&metadata["namespace"]),
        text(&metadata["uid"])
    )
}

fn hex(text: &str) -> String {
    Sha256::digest(text.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// An image's name without tag and digest; a registry's port stays.
fn repository(image: &str) -> &str {
    let name = image.split('@').next().unwrap_or_default();
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => name,
    }
}
