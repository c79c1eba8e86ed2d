//! Turns one live object into a verdict: ready, on its way, failed or going.
//! It is pure: the moment is an argument and no other object is looked at; what needs pods and memory is `track`'s to judge.
//! An old status must never count for a new specification, so the generation that we wrote is an argument.

mod built_in;
mod custom;
mod pods;
mod workloads;

use super::outcome::{Readiness, WorkloadStatus};
use crate::{
    manifests::marks::{WAIT_FOR, WaitFor},
    names::ObjectId,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

/// Verdict on one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assessment {
    /// Verdict.
    pub readiness: Readiness,
    /// Pods that are ready, or finished ones of a Job.
    pub ready: u32,
    /// Pods that are wanted; 0 for kinds without pods.
    pub desired: u32,
    /// One word for machines, such as `RolloutInProgress`; empty when there is nothing to say.
    pub reason: String,
    /// What it is waiting for, why it failed, or what is odd about it; empty when there is nothing to say.
    pub message: String,
    /// After which time the verdict on the same object may be another one.
    pub again: Option<SignedDuration>,
}

impl Assessment {
    /// The verdict as the comment shows it.
    pub fn into_status(self, id: ObjectId) -> WorkloadStatus {
        WorkloadStatus {
            id,
            ready: self.ready,
            desired: self.desired,
            readiness: self.readiness,
            message: self.message,
        }
    }

    fn new(readiness: Readiness, reason: &str, message: impl Into<String>) -> Self {
        Self {
            readiness,
            ready: 0,
            desired: 0,
            reason: reason.into(),
            message: message.into(),
            again: None,
        }
    }

    fn ready() -> Self {
        Self::new(Readiness::Ready, "", "")
    }

    fn waiting(reason: &str, message: impl Into<String>) -> Self {
        Self::new(Readiness::InProgress, reason, message)
    }

    fn failed(reason: &str, message: impl Into<String>) -> Self {
        Self::new(Readiness::Failed, reason, message)
    }

    fn counting(mut self, ready: i64, desired: i64) -> Self {
        let number = |count: i64| u32::try_from(count.max(0)).unwrap_or(u32::MAX);
        self.ready = number(ready);
        self.desired = number(desired);
        self
    }
}

/// Judges an object by its kind's rules, as it is at a moment.
///
/// `our_generation` is what the answer to our own write said; a status of an older generation proves nothing.
pub fn assess(object: &Value, now: Timestamp, our_generation: Option<i64>) -> Assessment {
    let live = Live { object, now };
    if let Some(verdict) = before_all_kinds(live, our_generation) {
        return live.counted(verdict);
    }
    let wish = match live.wish() {
        Ok(wish) => wish,
        Err(problem) => {
            return live.counted(Assessment::waiting(
                "BadWaitFor",
                format!("annotation {WAIT_FOR}: {problem}"),
            ));
        }
    };
    let own = match live.kind() {
        ("apps", "Deployment") => Some(workloads::deployment(live)),
        ("apps", "StatefulSet") => Some(workloads::stateful_set(live)),
        ("apps", "DaemonSet") => Some(workloads::daemon_set(live)),
        ("apps", "ReplicaSet") | ("", "ReplicationController") => {
            Some(workloads::replica_set(live))
        }
        ("batch", "Job") => Some(workloads::job(live)),
        ("", "Pod") => Some(pods::pod(live)),
        _ => built_in::assess(live),
    };
    match (own, wish) {
        // Whoever names the field that counts knows a kind better than rules that fit all kinds.
        (None, Some(wish)) => fulfilled(live, &wish),
        (Some(own), Some(wish)) if own.readiness == Readiness::Ready => {
            let wished = fulfilled(live, &wish);
            Assessment {
                ready: own.ready,
                desired: own.desired,
                ..wished
            }
        }
        (Some(own), _) => own,
        (None, None) => custom::assess(live),
    }
}

/// What counts for every kind and before its own rules, in this order.
fn before_all_kinds(live: Live<'_>, our_generation: Option<i64>) -> Option<Assessment> {
    let metadata = &live.object["metadata"];
    if metadata["deletionTimestamp"].is_string() {
        return Some(Assessment::new(
            Readiness::Terminating,
            "Terminating",
            "is being deleted",
        ));
    }
    let generation = metadata["generation"].as_i64();
    let ours = our_generation.unwrap_or(0);
    let observed = live.count("observedGeneration");
    let seen_before_our_write = generation.is_some_and(|generation| generation < ours);
    let outdated = observed.is_some_and(|observed| {
        observed < ours || generation.is_some_and(|generation| observed != generation)
    });
    if seen_before_our_write || outdated {
        return Some(Assessment::waiting(
            "NotObserved",
            "the cluster has not taken up the change yet",
        ));
    }
    for (name, fails) in [("Reconciling", false), ("Stalled", true)] {
        let Some(condition) = live.condition(name).filter(|_| live.is(name)) else {
            continue;
        };
        let message = worded(condition);
        return Some(if fails {
            Assessment::failed(name, message)
        } else {
            Assessment::waiting(name, message)
        });
    }
    None
}

fn fulfilled(live: Live<'_>, wish: &WaitFor) -> Assessment {
    match wish.unfulfilled(live.object) {
        None => Assessment::ready(),
        Some(state) => Assessment::waiting("WaitFor", state),
    }
}

/// The message of a condition, or its reason where it has none.
fn worded(condition: &Value) -> String {
    let fields = ["message", "reason"].map(|field| Live::text(condition, field));
    let told = fields.into_iter().find(|text| !text.is_empty());
    told.unwrap_or_else(|| {
        let [name, status] = ["type", "status"].map(|field| Live::text(condition, field));
        format!("its condition {name} is {status}")
    })
}

/// An object that is read field by field, at a moment.
#[derive(Clone, Copy)]
struct Live<'a> {
    object: &'a Value,
    now: Timestamp,
}

impl<'a> Live<'a> {
    fn kind(self) -> (&'a str, &'a str) {
        let version = self.object["apiVersion"].as_str().unwrap_or_default();
        let group = version.split_once('/').map_or("", |(group, _)| group);
        (group, self.object["kind"].as_str().unwrap_or_default())
    }

    fn status(self) -> &'a Value {
        &self.object["status"]
    }

    fn spec(self) -> &'a Value {
        &self.object["spec"]
    }

    fn count(self, field: &str) -> Option<i64> {
        self.status()[field].as_i64()
    }

    /// A count that is left out when it is zero.
    fn number(self, field: &str) -> i64 {
        self.count(field).unwrap_or(0)
    }

    fn replicas(self) -> i64 {
        self.spec()["replicas"].as_i64().unwrap_or(1)
    }

    fn conditions(self) -> impl Iterator<Item = &'a Value> {
        self.status()["conditions"].as_array().into_iter().flatten()
    }

    fn condition(self, name: &str) -> Option<&'a Value> {
        self.conditions()
            .find(|condition| condition["type"] == name)
    }

    fn is(self, name: &str) -> bool {
        self.condition(name)
            .is_some_and(|condition| condition["status"] == "True")
    }

    fn text(condition: &Value, field: &str) -> String {
        condition[field].as_str().unwrap_or_default().to_owned()
    }

    /// What its author wants to be waited for.
    fn wish(self) -> Result<Option<WaitFor>, String> {
        let annotation = &self.object["metadata"]["annotations"][WAIT_FOR];
        annotation
            .as_str()
            .map(str::parse::<WaitFor>)
            .transpose()
            .map_err(|problem| problem.to_string())
    }

    /// Its age; an object that does not say when it was made is taken to be old.
    fn age(self) -> SignedDuration {
        self.since(&self.object["metadata"]["creationTimestamp"])
    }

    /// How long ago a recorded moment was.
    fn since(self, moment: &Value) -> SignedDuration {
        let moment = moment.as_str().and_then(|text| text.parse().ok());
        moment.map_or(SignedDuration::MAX, |moment| {
            self.now.duration_since(moment)
        })
    }

    /// Adds what numbers there are, whatever the verdict.
    fn counted(self, assessment: Assessment) -> Assessment {
        match self.kind().1 {
            "Deployment" | "ReplicaSet" | "ReplicationController" | "StatefulSet" => {
                assessment.counting(self.number("readyReplicas"), self.replicas())
            }
            "DaemonSet" => assessment.counting(
                self.number("numberReady"),
                self.number("desiredNumberScheduled"),
            ),
            "Job" => assessment.counting(
                self.number("succeeded"),
                self.spec()["completions"].as_i64().unwrap_or(1),
            ),
            "Pod" => assessment.counting(i64::from(self.is("Ready")), 1),
            _ => assessment,
        }
    }
}

#[cfg(test)]
mod tests;
