//! Turns the parts of the simulated cluster into one value behind one lock: objects, time, scripted fates, and what controllers remember.
//! It must not know HTTP; routes and controllers both come here.
//! One lock over everything keeps a run reproducible: a write and its admission are one step, as in a real transaction.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::kinds::Kind;
use super::pods::PodRun;
use super::store::{Key, Store};
use super::{Delays, Denial, Fate};
use crate::simulate::clock::Clock;

/// Everything the simulated cluster holds.
#[derive(Debug)]
pub(super) struct State {
    pub(super) store: Store,
    pub(super) clock: Clock,
    pub(super) delays: Delays,
    pub(super) user: String,
    pub(super) token: String,
    pub(super) denials: Vec<Denial>,
    /// Whether the shipped admission policy is in place.
    pub(super) policy: bool,
    /// Scripted fates by a part of the image reference, newest last.
    pub(super) fates: Vec<(String, Fate)>,
    /// Scripted logs by a part of the image reference, newest last.
    pub(super) logs: Vec<(String, String)>,
    /// What the kubelet knows about each pod, by uid.
    pub(super) runs: BTreeMap<String, PodRun>,
    /// When something last moved forward, or may be tried again, by uid.
    pub(super) moments: BTreeMap<(String, &'static str), Duration>,
    /// Whether controllers stand still.
    pub(super) held: bool,
    /// The namespace that is being reconciled.
    place: String,
    due: Option<Duration>,
    /// When something is due, by namespace.
    agenda: BTreeMap<String, Duration>,
}

impl State {
    pub(super) fn new(clock: Clock, delays: Delays, user: String, token: String) -> Self {
        Self {
            store: Store::default(),
            clock,
            delays,
            user,
            token,
            denials: Vec::new(),
            policy: true,
            fates: Vec::new(),
            logs: Vec::new(),
            runs: BTreeMap::new(),
            moments: BTreeMap::new(),
            held: false,
            place: String::new(),
            due: None,
            agenda: BTreeMap::new(),
        }
    }

    pub(super) fn now(&self) -> Duration {
        self.clock.elapsed()
    }

    /// Tells whether a moment has come; if not, the controllers are woken then.
    pub(super) fn reached(&mut self, at: Duration) -> bool {
        if at <= self.now() {
            return true;
        }
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
        false
    }

    /// Returns the moment remembered under this name, or remembers `first`.
    pub(super) fn moment(&mut self, uid: &str, what: &'static str, first: Duration) -> Duration {
        *self.moments.entry((uid.to_owned(), what)).or_insert(first)
    }

    pub(super) fn set_moment(&mut self, uid: &str, what: &'static str, at: Duration) {
        self.moments.insert((uid.to_owned(), what), at);
    }

    /// Lets every controller act until nothing changes; returns when one of them wants to act again.
    ///
    /// Controllers see one namespace at a time, and only those where something happened or is due.
    pub(super) fn reconcile(&mut self) -> Option<Duration> {
        while !self.held {
            let now = self.now();
            let mut places = self.store.take_touched();
            let due = self.agenda.iter().filter(|(_, at)| **at <= now);
            places.extend(due.map(|(place, _)| place.clone()));
            if places.is_empty() {
                return self.agenda.values().min().copied();
            }
            for place in places {
                self.agenda.remove(&place);
                self.place = place;
                self.due = None;
                super::namespaces::reconcile(self);
                super::network::reconcile(self);
                super::deployments::reconcile(self);
                super::replicas::reconcile(self);
                super::statefulsets::reconcile(self);
                super::jobs::reconcile(self);
                super::pods::reconcile(self);
                super::garbage::reconcile(self);
                super::volumes::reconcile(self);
                if let Some(due) = self.due {
                    self.agenda.insert(self.place.clone(), due);
                }
            }
        }
        None
    }

    /// Returns the keys of all objects of a named kind in the namespace that is being reconciled, or of this Namespace.
    pub(super) fn keys(&self, kind: &str) -> Vec<Key> {
        let Some(kind) = Kind::of_name(kind) else {
            return Vec::new();
        };
        if !kind.namespaced {
            let key = Key::new(kind, "", &self.place);
            return self.store.get(&key).map(|_| key).into_iter().collect();
        }
        let found = self.store.of_kind(kind, &self.place);
        found.map(|(key, _)| key.clone()).collect()
    }

    /// Returns all objects in the namespace that is being reconciled.
    pub(super) fn inside(&self) -> impl Iterator<Item = (&Key, &Value)> {
        let found = self.store.in_namespace(&self.place);
        found.map(|(key, entry)| (key, &entry.object))
    }

    /// Sets one top-level field of an object on behalf of a controller.
    pub(super) fn set(&mut self, key: &Key, field: &str, value: Value) {
        // Controllers say the same again and again; to find that out by a write costs many times more.
        let known = self.store.get(key).map(|entry| &entry.object[field]);
        if known == Some(&value) {
            return;
        }
        let now = self.now();
        self.store.edit(key, now, |object| object[field] = value);
    }

    /// Writes an event about an object, or counts up the one that says the same.
    pub(super) fn event(
        &mut self,
        about: &Value,
        warning: bool,
        reason: &str,
        message: &str,
        component: &str,
    ) {
        let Some(kind) = Kind::of_name("Event") else {
            return;
        };
        let stamp = self.clock.stamp();
        let metadata = &about["metadata"];
        let namespace = metadata["namespace"]
            .as_str()
            .unwrap_or("default")
            .to_owned();
        let same = self
            .store
            .of_kind(kind, &namespace)
            .find_map(|(key, entry)| {
                let event = &entry.object;
                let same = event["involvedObject"]["uid"] == metadata["uid"]
                    && event["reason"] == reason
                    && event["message"] == message;
                same.then(|| key.clone())
            });
        let now = self.now();
        if let Some(key) = same {
            self.store.edit(&key, now, |event| {
                event["count"] = (event["count"].as_u64().unwrap_or_default() + 1).into();
                event["lastTimestamp"] = stamp.into();
            });
            return;
        }
        let name = format!(
            "{}.{}",
            metadata["name"].as_str().unwrap_or_default(),
            self.store.suffix(12)
        );
        let event = json!({
            "metadata": {},
            "involvedObject": {
                "kind": about["kind"], "namespace": metadata["namespace"], "name": metadata["name"],
                "uid": metadata["uid"], "apiVersion": about["apiVersion"], "resourceVersion": metadata["resourceVersion"],
            },
            "reason": reason, "message": message, "source": {"component": component},
            "firstTimestamp": stamp, "lastTimestamp": stamp, "count": 1,
            "type": if warning { "Warning" } else { "Normal" },
            "eventTime": null, "reportingComponent": component, "reportingInstance": "",
        });
        let key = Key::new(kind, &namespace, &name);
        self.store
            .insert(key, event, super::apply::Managers::default(), (now, stamp));
    }

    /// Returns the fate of an image: scripted, or told by its tag.
    pub(super) fn fate(&self, image: &str) -> Fate {
        let scripted = self
            .fates
            .iter()
            .rev()
            .find(|(part, _)| image.contains(part.as_str()));
        scripted.map_or_else(
            || Fate::of_tag(super::defaults::tag(image)),
            |(_, fate)| *fate,
        )
    }

    /// Tells whether RBAC refuses a verb.
    pub(super) fn denies(&self, verb: &str, resource: &str, namespace: &str) -> bool {
        self.denials
            .iter()
            .any(|denial| denial.covers(verb, resource, namespace))
    }
}

/// Sets a condition of a status; its times change only with its content. Workloads also carry an update time.
pub(super) fn set_condition(
    status: &mut Value,
    kind: &str,
    value: bool,
    (reason, message): (&str, &str),
    stamp: &str,
    with_update_time: bool,
) {
    let value = if value { "True" } else { "False" };
    let mut list = status["conditions"].as_array().cloned().unwrap_or_default();
    let at = list.iter().position(|condition| condition["type"] == kind);
    let old = at.map(|at| list[at].clone()).unwrap_or_default();
    let text = |field: &str| old[field].as_str().unwrap_or_default().to_owned();
    if old["status"] == value && text("reason") == reason && text("message") == message {
        return;
    }
    let moved = if old["status"] == value {
        text("lastTransitionTime")
    } else {
        stamp.to_owned()
    };
    let mut condition = json!({"type": kind, "status": value, "lastTransitionTime": moved});
    if with_update_time {
        condition["lastUpdateTime"] = stamp.into();
    }
    for (field, text) in [("reason", reason), ("message", message)] {
        if !text.is_empty() {
            condition[field] = text.into();
        }
    }
    if let Some(at) = at {
        list.remove(at);
    }
    list.push(condition);
    status["conditions"] = list.into();
}

/// Removes a condition from a status.
pub(super) fn clear_condition(status: &mut Value, kind: &str) {
    if let Some(list) = status["conditions"].as_array_mut() {
        list.retain(|condition| condition["type"] != kind);
    }
}

/// Returns a condition of an object's status.
pub(super) fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    let list = object["status"]["conditions"].as_array()?;
    list.iter().find(|condition| condition["type"] == kind)
}

/// Returns an integer field, 0 if absent.
pub(super) fn int(value: &Value) -> i64 {
    value.as_i64().unwrap_or_default()
}

/// Returns a text field, empty if absent.
pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Drops zero counters from a status, as the real controllers' JSON does.
pub(super) fn without_zeros(mut status: Value) -> Value {
    if let Some(fields) = status.as_object_mut() {
        fields.retain(|_, value| value.as_i64() != Some(0));
    }
    status
}
