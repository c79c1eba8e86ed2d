//! Turns a watch of all pods into the time a preview's containers took to be pulled and started.
//! It must not ask the action: that time is what the action cannot help, and is taken off before its own part is
//! judged. Pods' own timestamps are whole seconds, too coarse for a bar of three, hence a watch and our clock.

use std::collections::BTreeMap;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::world::World;

#[derive(Clone, Copy)]
struct Seen {
    created: Instant,
    ready: Option<Instant>,
}

type Pods = BTreeMap<(String, String), Seen>;

pub(crate) struct PodWatch {
    kubectl: Child,
    pods: Arc<Mutex<Pods>>,
}

impl PodWatch {
    pub(crate) fn start(world: &World) -> Self {
        let mut command = world.kubectl_command();
        command.args([
            "get",
            "pods",
            "--all-namespaces",
            "--watch",
            "--output-watch-events",
            "-o",
            "json",
        ]);
        let mut kubectl = command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let pods = Arc::new(Mutex::new(Pods::new()));
        let (stream, shared) = (kubectl.stdout.take().unwrap(), Arc::clone(&pods));
        std::thread::spawn(move || {
            for event in serde_json::Deserializer::from_reader(stream)
                .into_iter::<Value>()
                .map_while(Result::ok)
            {
                let (pod, now) = (&event["object"], Instant::now());
                let key = ["namespace", "name"].map(|part| {
                    pod["metadata"][part]
                        .as_str()
                        .unwrap_or_default()
                        .to_owned()
                });
                let mut pods = shared.lock().unwrap();
                let seen = pods.entry(key.into()).or_insert(Seen {
                    created: now,
                    ready: None,
                });
                if seen.ready.is_none() && is_ready(pod) {
                    seen.ready = Some(now);
                }
            }
        });
        Self { kubectl, pods }
    }

    /// From the first new pod of the namespace until the last was ready; a pod that was ready when first seen is not new.
    pub(crate) fn starting(mut self, namespace: &str) -> Duration {
        self.kubectl.kill().unwrap();
        self.kubectl.wait().unwrap();
        let pods = self.pods.lock().unwrap();
        let ours = || {
            pods.iter()
                .filter(|((at, _), seen)| {
                    at == namespace && seen.ready.is_some_and(|ready| ready > seen.created)
                })
                .map(|(_, seen)| seen)
        };
        match (
            ours().map(|seen| seen.created).min(),
            ours().filter_map(|seen| seen.ready).max(),
        ) {
            (Some(created), Some(ready)) => ready - created,
            _ => Duration::ZERO,
        }
    }
}

/// Whether a pod's condition `Ready` is true.
pub(crate) fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    conditions
        .into_iter()
        .flatten()
        .any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}
