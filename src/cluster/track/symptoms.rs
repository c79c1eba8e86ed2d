//! Turns what is seen of one target into symptoms: what would be a failure if it lasted.
//! It keeps no time; a symptom carries the grace that it is owed, and the tracker counts it.
//! Every class of failure is found here and nowhere else, each by the field that Kubernetes documents for it.

use super::{
    Tracker,
    revision::{container_spec, containers, text, uid, version},
};
use crate::cluster::{
    failures::{Facts, FailureClass, create_class, image_class},
    outcome::Readiness,
};
use serde_json::Value;
use std::time::Duration;

/// Restarts after which a crash loop will not mend itself: a pod that waits for its database needs one or two.
const RESTARTS: i64 = 3;
/// The same for exits that waiting cannot mend.
const RESTARTS_HOPELESS: i64 = 2;
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
    pub(super) grace: Duration,
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
        mut facts: Facts,
        container: Option<ContainerRef>,
    ) -> Symptom {
        let message = message.into();
        facts.insert("object", self.targets[target].id.to_string());
        facts.insert("message", message.clone());
        Symptom {
            class,
            target,
            message,
            facts,
            container,
            grace: class.grace(),
        }
    }

    pub(super) fn find_symptoms(&self, index: usize, found: &mut Vec<Symptom>) {
        let target = &self.targets[index];
        let plain = |class, message: &str| self.symptom(index, class, message, Facts::new(), None);
        let Some(live) = &target.live else {
            if !target.expired {
                found.push(plain(FailureClass::Deleted, "it is gone"));
            }
            return;
        };
        let assessment = target.assess();
        if assessment.readiness == Readiness::Ready {
            return;
        }
        if assessment.readiness == Readiness::Failed {
            let class = match target.id.kind.as_str() {
                "Job" => FailureClass::JobFailed,
                "Pod" => FailureClass::PodFailed,
                "Deployment" => FailureClass::RolloutStalled,
                _ => FailureClass::ObjectFailed,
            };
            let mut symptom = plain(class, &assessment.message);
            symptom.container = self.failed_container(index);
            if class == FailureClass::RolloutStalled && target.unchanged {
                symptom.grace = STALE_VERDICT;
            }
            found.push(symptom);
        }
        self.find_refused_pods(index, live, found);
        for pod in self.pods(index) {
            self.find_in_pod(index, pod, found);
        }
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
        let class = create_class(&message);
        // Room comes back when pods that are on their way out have ended.
        let leaving = self
            .pods
            .values()
            .any(|pod| pod["metadata"]["deletionTimestamp"].is_string());
        if !(class == FailureClass::Quota && message.contains("exceeded quota") && leaving) {
            found.push(self.symptom(index, class, message, Facts::new(), None));
        }
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
            .events
            .values()
            .filter(|event| {
                event["reason"] == "FailedCreate" && event["involvedObject"]["uid"] == own
            })
            .max_by_key(|event| version(event))?;
        // An event from before our write says nothing about it; versions rise over the whole cluster.
        let target = &self.targets[index];
        let ours = target.unchanged || version(latest) >= target.written;
        (short_of_pods && ours).then(|| text(&latest["message"]))
    }

    fn find_in_pod(&self, index: usize, pod: &Value, found: &mut Vec<Symptom>) {
        let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
        for condition in conditions {
            if condition["type"] == "PodScheduled"
                && condition["status"] == "False"
                && condition["reason"] == "Unschedulable"
            {
                found.push(self.symptom(
                    index,
                    FailureClass::Unschedulable,
                    text(&condition["message"]),
                    Facts::new(),
                    None,
                ));
            }
        }
        for (container, is_init) in containers(pod) {
            if let Some(symptom) = self.container_symptom(index, pod, container, is_init) {
                found.push(symptom);
            }
        }
        if pod["status"]["phase"] == "Pending"
            && let Some(event) = self.events.values().find(|event| {
                matches!(
                    event["reason"].as_str(),
                    Some("FailedMount" | "FailedAttachVolume")
                ) && uid(pod).is_some_and(|uid| event["involvedObject"]["uid"] == uid)
            })
        {
            found.push(self.symptom(
                index,
                FailureClass::Volume,
                text(&event["message"]),
                Facts::new(),
                None,
            ));
        }
    }

    fn container_symptom(
        &self,
        index: usize,
        pod: &Value,
        container: &Value,
        is_init: bool,
    ) -> Option<Symptom> {
        let name = text(&container["name"]);
        let state = &container["state"];
        let waiting = &state["waiting"];
        let reason = waiting["reason"].as_str().unwrap_or_default();
        let restarts = container["restartCount"].as_i64().unwrap_or(0);
        let ended = [&state["terminated"], &container["lastState"]["terminated"]]
            .into_iter()
            .find(|ended| ended.is_object());
        let exit = ended.and_then(|ended| ended["exitCode"].as_i64());
        let ended_by = ended
            .and_then(|ended| ended["reason"].as_str())
            .unwrap_or_default();
        let ended_message = ended
            .and_then(|ended| ended["message"].as_str())
            .unwrap_or_default();
        let message = match waiting["message"].as_str() {
            Some(message) if !message.is_empty() => message.to_owned(),
            _ => reason.to_owned(),
        };

        let spec = container_spec(pod, &name, is_init);
        let mut facts = Facts::from([
            ("container", name.clone()),
            ("restarts", restarts.to_string()),
        ]);
        facts.insert(
            "image",
            spec.map_or_else(|| text(&container["image"]), |spec| text(&spec["image"])),
        );
        facts.extend(exit.map(|exit| ("exit_code", exit.to_string())));
        facts.extend(spec.and_then(|spec| {
            Some((
                "limit",
                spec["resources"]["limits"]["memory"].as_str()?.to_owned(),
            ))
        }));

        let pull_error = || {
            let key = (uid(pod).unwrap_or_default().to_owned(), name.clone());
            self.pull_errors
                .get(&key)
                .cloned()
                .unwrap_or_else(|| message.clone())
        };
        let not_found = |text: &str| {
            text.contains("executable file not found") || text.contains("no such file or directory")
        };
        let backing_off = reason == "CrashLoopBackOff";
        let (class, message) = match reason {
            "InvalidImageName" => (FailureClass::ImageName, message),
            "ErrImageNeverPull" => (FailureClass::ImageMissing, message),
            "ErrImagePull" | "ImagePullBackOff" | "RegistryUnavailable" | "ImageInspectError" => {
                let error = pull_error();
                (image_class(&error), error)
            }
            "CreateContainerConfigError" if message.contains("failed to sync") => return None,
            "CreateContainerConfigError" => (FailureClass::ContainerConfig, message),
            "CreateContainerError" | "RunContainerError" if not_found(&message) => {
                (FailureClass::CommandMissing, message)
            }
            "CreateContainerError" | "RunContainerError" => (FailureClass::ContainerStart, message),
            _ if (backing_off || state["terminated"].is_object())
                && matches!(ended_by, "StartError" | "ContainerCannotRun") =>
            {
                let class = if not_found(ended_message) {
                    FailureClass::CommandMissing
                } else {
                    FailureClass::ContainerStart
                };
                (class, ended_message.to_owned())
            }
            _ if (backing_off || (state["terminated"].is_object() && exit != Some(0))) => {
                let out_of_memory = ended_by == "OOMKilled";
                let hopeless = out_of_memory || exit == Some(127);
                let threshold = if hopeless {
                    RESTARTS_HOPELESS
                } else {
                    RESTARTS
                };
                if restarts < threshold {
                    return None;
                }
                let class = if out_of_memory {
                    FailureClass::OutOfMemory
                } else {
                    FailureClass::CrashLoop
                };
                let code = exit.map_or_else(String::new, |exit| format!("exited with code {exit}"));
                let told = [code, text(&Value::from(ended_message))]
                    .into_iter()
                    .find(|text| !text.is_empty());
                (class, told.unwrap_or(message))
            }
            _ => return None,
        };
        let log = ContainerRef {
            pod: text(&pod["metadata"]["name"]),
            container: name,
            previous: !state["terminated"].is_object()
                && container["lastState"]["terminated"].is_object(),
        };
        Some(self.symptom(index, class, message, facts, Some(log)))
    }
}

fn replica_failure(object: &Value) -> Option<String> {
    let conditions = object["status"]["conditions"].as_array()?;
    let failure = conditions
        .iter()
        .find(|condition| condition["type"] == "ReplicaFailure" && condition["status"] == "True")?;
    Some(text(&failure["message"]))
}
