//! Turns a watch of one kind into what was seen, and when, while something else went on.
//! It must not ask the action, and must not miss a moment: a look now and then would.
//! Objects' own times are whole seconds, too coarse for a bar of three, hence our clock.

use crate::world::Real;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    process::{Child, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

/// One change of one object.
pub(crate) struct Event {
    pub(crate) at: Instant,
    pub(crate) deleted: bool,
    pub(crate) object: Value,
}

impl Event {
    pub(crate) fn namespace(&self) -> &str {
        self.object["metadata"]["namespace"]
            .as_str()
            .unwrap_or_default()
    }

    pub(crate) fn kind(&self) -> &str {
        self.object["kind"].as_str().unwrap_or_default()
    }

    pub(crate) fn name(&self) -> &str {
        self.object["metadata"]["name"].as_str().unwrap_or_default()
    }

    fn is_ready(&self) -> bool {
        let conditions = self.object["status"]["conditions"].as_array();
        let mut all = conditions.into_iter().flatten();
        all.any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
    }
}

/// A watch under way.
pub(crate) struct Watch {
    kubectl: Child,
    events: Arc<Mutex<Vec<Event>>>,
}

impl Watch {
    /// Watches a kind in all Namespaces.
    pub(crate) fn begin(real: &Real, kind: &str) -> Self {
        let mut command = real.command();
        command.args([
            "get",
            kind,
            "--all-namespaces",
            "--watch",
            "--output-watch-events",
            "-o",
            "json",
        ]);
        let command = command.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut kubectl = command.spawn().unwrap();
        let events = Arc::new(Mutex::new(Vec::new()));
        let (stream, shared) = (kubectl.stdout.take().unwrap(), Arc::clone(&events));
        std::thread::spawn(move || {
            let stream = serde_json::Deserializer::from_reader(stream).into_iter::<Value>();
            for mut event in stream.map_while(Result::ok) {
                shared.lock().unwrap().push(Event {
                    at: Instant::now(),
                    deleted: event["type"] == "DELETED",
                    object: event["object"].take(),
                });
            }
        });
        Self { kubectl, events }
    }

    /// Ends the watch; everything that it saw, in order.
    pub(crate) fn end(mut self) -> Vec<Event> {
        self.kubectl.kill().unwrap();
        self.kubectl.wait().unwrap();
        std::mem::take(&mut *self.events.lock().unwrap())
    }
}

/// How long new pods of a Namespace took: from the first one seen until the last was ready.
pub(crate) fn starting(events: &[Event], namespace: &str) -> Duration {
    let mut pods: BTreeMap<&str, (Instant, Option<Instant>)> = BTreeMap::new();
    for event in events.iter().filter(|event| event.namespace() == namespace) {
        let (_, ready) = pods.entry(event.name()).or_insert((event.at, None));
        if ready.is_none() && event.is_ready() {
            *ready = Some(event.at);
        }
    }
    // a pod that was ready when it was first seen is not new, and one that never was is not waited for
    let new = pods
        .values()
        .filter_map(|(seen, ready)| Some((*seen, (*ready)?)));
    let new: Vec<_> = new.filter(|(seen, ready)| ready > seen).collect();
    let first = new.iter().map(|(seen, _)| *seen).min();
    let last = new.iter().map(|(_, ready)| *ready).max();
    match (first, last) {
        (Some(first), Some(last)) => last - first,
        _ => Duration::ZERO,
    }
}
