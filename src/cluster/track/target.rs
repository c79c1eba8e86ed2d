//! Turns the answer to our own write, and what is seen of the object since, into its state at a moment.
//! It knows no pods and no other object; what is wrong with those is `symptoms`' to find.
//! Ages count from our first sight and not from the server's clock, so that two clocks that differ do not matter.

use super::revision::{uid, version};
use crate::{
    cluster::{
        kinds::Kind,
        outcome::{Applied, Change, Readiness},
        readiness::{Assessment, assess},
    },
    manifests::{Origin, marks},
    names::ObjectId,
};
use jiff::Timestamp;
use serde_json::Value;
use std::time::Duration;
use tokio::time::Instant;

/// Reasons to wait that hold up nobody: a claim may wait for its first pod, an autoscaler for its first metrics.
const PATIENT: &[&str] = &["NotBound", "NotScaling"];

/// An object that is waited for.
pub(in crate::cluster) struct Target {
    pub(in crate::cluster) id: ObjectId,
    pub(in crate::cluster) origin: Origin,
    pub(super) kind: Option<&'static Kind>,
    generation: Option<i64>,
    pub(super) unchanged: bool,
    /// Version of our own write.
    pub(super) written: Option<u64>,
    /// Whether being ready for a moment proves nothing.
    pub(super) must_settle: bool,
    pub(super) ready_since: Option<Instant>,
    /// None once it is gone.
    pub(super) live: Option<Value>,
    /// It went away by itself after success.
    pub(super) expired: bool,
    /// How long its author gives it.
    pub(super) timeout: Option<Duration>,
    first_seen: Option<Instant>,
    /// The moment of the last judgement, on the clock that began with the object.
    now: Timestamp,
}

impl Target {
    pub(super) fn new(one: &Applied) -> Self {
        let generation = one.live["metadata"]["generation"].as_i64();
        let made = one.live["metadata"]["creationTimestamp"].as_str();
        let now = made.and_then(|text| text.parse().ok()).unwrap_or_default();
        let began_ready = assess(&one.live, now, generation).readiness == Readiness::Ready;
        let timeout = one.live["metadata"]["annotations"][marks::TIMEOUT].as_str();
        Self {
            id: one.id.clone(),
            origin: one.origin.clone(),
            kind: Kind::of(&one.id),
            generation,
            unchanged: one.change == Change::Unchanged,
            written: version(&one.live),
            must_settle: !began_ready && lacks_probes(&one.live),
            ready_since: None,
            live: Some(one.live.clone()),
            expired: false,
            // `manifests` has refused what cannot be read.
            timeout: timeout.and_then(|text| marks::timeout(text).ok()),
            first_seen: None,
            now,
        }
    }

    /// Takes the time, `haste` times as fast as it goes.
    pub(super) fn reach(&mut self, now: Instant, haste: u32) {
        match self.first_seen {
            None => self.first_seen = Some(now),
            Some(first) => {
                let made = self
                    .live
                    .as_ref()
                    .map(|live| &live["metadata"]["creationTimestamp"]);
                let made = made.and_then(|made| made.as_str()?.parse::<Timestamp>().ok());
                let seen_for = (now - first) * haste;
                // A moment that no clock can show is as good as none.
                if let Some(moment) = made.and_then(|made| made.checked_add(seen_for).ok()) {
                    self.now = moment;
                }
            }
        }
    }

    /// For how long it has been watched.
    pub(super) fn seen_for(&self, now: Instant) -> Duration {
        let first = self.first_seen.unwrap_or(now);
        now.saturating_duration_since(first)
    }

    /// When the time is up that its author gives it.
    pub(super) fn due(&self, haste: u32) -> Option<Instant> {
        Some(self.first_seen? + self.timeout? / haste)
    }

    pub(super) fn assess(&self) -> Assessment {
        let Some(live) = &self.live else {
            return Assessment {
                readiness: if self.expired {
                    Readiness::Ready
                } else {
                    Readiness::Terminating
                },
                ready: u32::from(self.expired),
                desired: 1,
                reason: String::new(),
                message: String::new(),
                again: None,
            };
        };
        let mut assessment = assess(live, self.now, self.generation);
        let is_patient = PATIENT.contains(&assessment.reason.as_str());
        // What a pod that still lives is stuck in is a symptom, which has a count of its own.
        let is_stuck = self.id.kind == "Pod" && live["status"]["phase"] != "Failed";
        match assessment.readiness {
            Readiness::InProgress if is_patient => {
                assessment.readiness = Readiness::Ready;
                assessment.message = String::new();
            }
            Readiness::Failed if is_stuck => {
                assessment.readiness = Readiness::InProgress;
            }
            _ => {}
        }
        assessment
    }

    pub(super) fn uid(&self) -> Option<&str> {
        self.live.as_ref().and_then(uid)
    }

    /// A finished Job with a time to live goes by itself.
    pub(super) fn lose(&mut self) {
        let live = self.live.take();
        self.expired = self.id.kind == "Job"
            && live.is_some_and(|live| {
                live["spec"]["ttlSecondsAfterFinished"].is_number()
                    && assess(&live, self.now, None).readiness != Readiness::Failed
            });
    }
}

/// True for workloads that stay up and of which a container is ready as soon as it runs.
fn lacks_probes(live: &Value) -> bool {
    let spec = match live["kind"].as_str() {
        Some("Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet") => {
            &live["spec"]["template"]["spec"]
        }
        Some("Pod") => &live["spec"],
        _ => return false,
    };
    let containers = spec["containers"].as_array();
    containers.is_some_and(|all| all.iter().any(|one| !one["readinessProbe"].is_object()))
}
