//! Turns what is seen of one target into symptoms: what would be a failure if it lasted.
//! It keeps no time; a symptom carries the grace that it is owed, and the tracker counts it.
//! Every class of failure is found here and in the two modules beside it, each by the field that Kubernetes documents for it.

use super::{
    Tracker,
    revision::{text, uid, version},
};
use crate::cluster::{
    failures::{Facts, FailureClass, about},
    outcome::Readiness,
    words,
};
use serde_json::Value;
use std::time::Duration;

/// A stalled rollout that was not changed now may be the last run's verdict.
pub(super) const STALE_VERDICT: Duration = Duration::from_secs(30);

/// A failure of a target as it shows now.
#[derive(Debug, Clone)]
pub(in crate::cluster) struct Symptom {
    pub(in crate::cluster) class: FailureClass,
    /// Index of the target.
    pub(in crate::cluster) target: usize,
    pub(in crate::cluster) message: String,
    pub(in crate::cluster) facts: Facts,
    pub(in crate::cluster) container: Option<ContainerRef>,
    /// For how long it must last before it counts; none when it counts only once time is up.
    pub(super) grace: Option<Duration>,
    /// For how long it must last before people are shown it.
    pub(super) shown_after: Duration,
}

/// The container whose log may tell why.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::cluster) struct ContainerRef {
    pub(in crate::cluster) pod: String,
    pub(in crate::cluster) container: String,
    /// Its log of the life before is what counts.
    pub(in crate::cluster) previous: bool,
}

/// Target, class and place: what one count of time belongs to.
pub(super) type Sighting = (usize, FailureClass, String);

impl Symptom {
    pub(super) fn sighting(&self) -> Sighting {
        let place = self
            .container
            .as_ref()
            .map(|at| format!("{}/{}", at.pod, at.container));
        (self.target, self.class, place.unwrap_or_default())
    }
}

impl Tracker {
    pub(super) fn symptom(
        &self,
        target: usize,
        class: FailureClass,
        message: impl Into<String>,
        facts: Facts,
        container: Option<ContainerRef>,
    ) -> Symptom {
        let message = message.into();
        let of = &self.targets[target];
        let live = of.live.as_ref().unwrap_or(&Value::Null);
        let mut all = about(&of.id, &of.origin, live);
        all.insert("message", message.clone());
        all.extend(facts);
        Symptom {
            class,
            target,
            message,
            facts: all,
            container,
            grace: Some(class.grace()),
            shown_after: Duration::ZERO,
        }
    }

    pub(super) fn find_symptoms(&self, index: usize, found: &mut Vec<Symptom>) {
        let target = &self.targets[index];
        let Some(live) = &target.live else {
            if !target.expired {
                let class = FailureClass::Deleted;
                found.push(self.symptom(index, class, "it is gone", Facts::new(), None));
            }
            return;
        };
        let assessment = target.assess();
        if assessment.readiness == Readiness::Ready {
            return;
        }
        if assessment.readiness == Readiness::Failed {
            found.push(self.failed(index, live, &assessment.message));
        }
        self.find_refused_pods(index, live, found);
        for pod in self.pods(index) {
            self.find_in_pod(index, pod, found);
        }
    }

    /// What the object says of itself.
    fn failed(&self, index: usize, live: &Value, message: &str) -> Symptom {
        let target = &self.targets[index];
        let evicted = matches!(
            live["status"]["reason"].as_str(),
            Some("Evicted" | "Preempting" | "NodeLost")
        );
        let deadline = condition(live, "Failed")
            .or_else(|| condition(live, "FailureTarget"))
            .is_some_and(|failed| failed["reason"] == "DeadlineExceeded");
        let class = match target.id.kind.as_str() {
            "Job" if deadline => FailureClass::JobDeadline,
            "Job" => FailureClass::JobFailed,
            "Pod" if evicted => FailureClass::PodEvicted,
            "Pod" => FailureClass::PodFailed,
            "Deployment" => FailureClass::RolloutStalled,
            _ => FailureClass::ObjectFailed,
        };
        let mut container = self.failed_container(index);
        if class == FailureClass::JobDeadline {
            container = container.or_else(|| self.working_container(index));
        }
        let mut facts = match &container {
            Some(of) if class != FailureClass::RolloutStalled => self.ended(index, of),
            _ => Facts::new(),
        };
        if let Some(seconds) = live["spec"]["activeDeadlineSeconds"].as_i64() {
            facts.insert("deadline", format!("{seconds} s"));
        }
        let mut symptom = self.symptom(index, class, message, facts, container);
        if class == FailureClass::RolloutStalled && target.unchanged {
            symptom.grace = Some(STALE_VERDICT);
        }
        symptom
    }

    /// Pods that the controller may not create.
    fn find_refused_pods(&self, index: usize, live: &Value, found: &mut Vec<Symptom>) {
        let refused = if self.targets[index].id.kind == "Deployment" {
            self.replica_set(index)
                .and_then(replica_failure)
                .or_else(|| replica_failure(live))
        } else {
            self.create_failure(index, live)
        };
        let Some(message) = refused else { return };
        let (class, mut facts) = words::create_meaning(&message);
        // Room comes back when pods that are on their way out have ended.
        let leaving = self
            .pods
            .values()
            .any(|pod| pod["metadata"]["deletionTimestamp"].is_string());
        if class == FailureClass::Quota && leaving {
            return;
        }
        facts.insert("subject", format!("the pods of {}", self.targets[index].id));
        found.push(self.symptom(index, class, message, facts, None));
    }

    /// Only events tell of pods that StatefulSets, DaemonSets and Jobs could not create.
    fn create_failure(&self, index: usize, live: &Value) -> Option<String> {
        let status = &live["status"];
        let number = |field: &str| status[field].as_i64().unwrap_or(0);
        let short_of_pods = match self.targets[index].id.kind.as_str() {
            "StatefulSet" => number("replicas") < live["spec"]["replicas"].as_i64().unwrap_or(1),
            "DaemonSet" => number("currentNumberScheduled") < number("desiredNumberScheduled"),
            "Job" => number("active") == 0,
            "ReplicaSet" => return replica_failure(live),
            _ => false,
        };
        let own = uid(live)?;
        let latest = self
            .events_about(own)
            .filter(|event| event["reason"] == "FailedCreate")
            .max_by_key(|event| version(event))?;
        // An event from before our write says nothing about it; versions rise over the whole cluster.
        let target = &self.targets[index];
        let ours = target.unchanged || version(latest) >= target.written;
        (short_of_pods && ours).then(|| text(&latest["message"]))
    }

    pub(super) fn events_about<'a>(
        &'a self,
        uid: &str,
    ) -> impl Iterator<Item = &'a Value> + use<'a> {
        let uid = uid.to_owned();
        self.events
            .values()
            .filter(move |event| event["involvedObject"]["uid"] == *uid)
    }
}

fn condition<'a>(object: &'a Value, wanted: &str) -> Option<&'a Value> {
    let conditions = object["status"]["conditions"].as_array()?;
    conditions
        .iter()
        .find(|condition| condition["type"] == wanted && condition["status"] == "True")
}

fn replica_failure(object: &Value) -> Option<String> {
    Some(text(&condition(object, "ReplicaFailure")?["message"]))
}
