//! Turns a pod, and the events about it, into symptoms of what keeps it from its node, its volumes and its network.
//! It must not judge a container that the node has begun to start.
//! An event is no state: one that was followed by progress no longer counts, or a long pull would look like a broken volume.

use super::{
    Tracker,
    revision::{containers, text, uid, version},
    symptoms::Symptom,
};
use crate::cluster::{
    failures::{Facts, FailureClass, place},
    words,
};
use serde_json::Value;
use std::time::Duration;

/// How long a cluster autoscaler may take to bring a node once it has said that it will.
const SCALE_UP: Duration = Duration::from_secs(300);

impl Tracker {
    pub(super) fn find_in_pod(&self, index: usize, pod: &Value, found: &mut Vec<Symptom>) {
        let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
        for condition in conditions {
            if condition["type"] == "PodScheduled"
                && condition["status"] == "False"
                && condition["reason"] == "Unschedulable"
            {
                found.push(self.unschedulable(index, pod, text(&condition["message"])));
            }
        }
        for (container, is_init) in containers(pod) {
            found.extend(self.container_symptom(index, pod, container, is_init));
        }
        found.extend(self.not_begun(index, pod));
    }

    fn unschedulable(&self, index: usize, pod: &Value, message: String) -> Symptom {
        let (mut class, mut facts) = words::unschedulable_meaning(&message);
        let mut told = message;
        match class {
            FailureClass::ClaimPending => {
                if let Some((claim, message)) = self.claim_trouble(pod) {
                    let (finer, more) = words::claim_meaning(&message);
                    class = finer;
                    facts.extend(more);
                    facts.extend(self.place_of_claim(&claim));
                    facts.insert("claim", claim);
                    told = message;
                } else {
                    let claim = claims(pod).next().unwrap_or_default().to_owned();
                    facts.insert("claim", claim);
                }
            }
            FailureClass::UnschedulableResources => {
                facts.insert("asked", asked(pod, &told));
            }
            FailureClass::UnschedulableSelector => facts.extend(selector(pod)),
            _ => {}
        }
        let mut symptom = self.symptom(index, class, told, facts, None);
        match self.scale_up(pod) {
            Some(true) => symptom.grace = Some(SCALE_UP),
            Some(false) => symptom.grace = Some(Duration::ZERO),
            None => {}
        }
        symptom
    }

    /// Whether a cluster autoscaler said last that it brings a node for a pod.
    fn scale_up(&self, pod: &Value) -> Option<bool> {
        let said = self
            .events_about(uid(pod)?)
            .filter(|event| {
                matches!(
                    event["reason"].as_str(),
                    Some("TriggeredScaleUp" | "NotTriggerScaleUp")
                )
            })
            .max_by_key(|event| version(event))?;
        Some(said["reason"] == "TriggeredScaleUp")
    }

    /// The claim of a pod that gets no volume, and what is said about it.
    fn claim_trouble(&self, pod: &Value) -> Option<(String, String)> {
        let about = |event: &&Value| {
            event["involvedObject"]["kind"] == "PersistentVolumeClaim"
                && matches!(
                    event["reason"].as_str(),
                    Some("ProvisioningFailed" | "FailedBinding")
                )
        };
        claims(pod).find_map(|claim| {
            let event = self
                .events
                .values()
                .filter(about)
                .filter(|event| event["involvedObject"]["name"] == claim)
                .max_by_key(|event| version(event))?;
            Some((claim.to_owned(), text(&event["message"])))
        })
    }

    /// A claim of its own stands elsewhere in the templates than the pod.
    fn place_of_claim(&self, claim: &str) -> Facts {
        let found = self
            .targets
            .iter()
            .find(|one| one.id.kind == "PersistentVolumeClaim" && one.id.name == claim);
        let of = found.map(|one| {
            let live = one.live.as_ref().unwrap_or(&Value::Null);
            ("where", place(&one.origin, live))
        });
        of.into_iter().collect()
    }

    /// Volumes and network come before the first container.
    fn not_begun(&self, index: usize, pod: &Value) -> Option<Symptom> {
        let begun = |container: &Value| {
            let waiting = &container["state"]["waiting"]["reason"];
            !matches!(
                waiting.as_str(),
                Some("ContainerCreating" | "PodInitializing")
            )
        };
        if pod["status"]["phase"] != "Pending" || containers(pod).any(|(one, _)| begun(one)) {
            return None;
        }
        let own = uid(pod)?;
        let progress = self
            .events_about(own)
            .filter(|event| {
                matches!(
                    event["reason"].as_str(),
                    Some("Pulling" | "Pulled" | "Created" | "Started")
                )
            })
            .filter_map(version)
            .max();
        let mut meanings: Vec<_> = self
            .events_about(own)
            .filter(|event| progress.is_none() || version(event) > progress)
            .filter_map(|event| Some((version(event), hindrance(event)?, text(&event["message"]))))
            .collect();
        // What names the thing that is missing says more than that something timed out afterwards.
        meanings.sort_by_key(|(version, (class, _), _)| {
            let names = matches!(
                class,
                FailureClass::VolumeReference | FailureClass::VolumeKey
            );
            (names, *version)
        });
        let (_, (class, facts), message) = meanings.pop()?;
        Some(self.symptom(index, class, message, facts, None))
    }
}

fn hindrance(event: &Value) -> Option<words::Meaning> {
    let message = event["message"].as_str().unwrap_or_default();
    match event["reason"].as_str()? {
        "FailedMount" | "FailedAttachVolume" if message.contains("failed to sync") => None,
        reason @ ("FailedMount" | "FailedAttachVolume") => {
            Some(words::volume_meaning(reason, message))
        }
        "FailedCreatePodSandBox" | "NetworkNotReady" => Some((FailureClass::Sandbox, Facts::new())),
        _ => None,
    }
}

fn claims(pod: &Value) -> impl Iterator<Item = &str> {
    let volumes = pod["spec"]["volumes"].as_array().into_iter().flatten();
    volumes.filter_map(|volume| volume["persistentVolumeClaim"]["claimName"].as_str())
}

/// What a pod asks for of the resources that are named as insufficient.
fn asked(pod: &Value, message: &str) -> String {
    let mut all: Vec<String> = Vec::new();
    for part in message.split("Insufficient ").skip(1) {
        let resource = part.split([',', '.', ' ']).next().unwrap_or_default();
        let wanted: Vec<&str> = pod["spec"]["containers"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|one| one["resources"]["requests"][resource].as_str())
            .collect();
        let said = format!("{resource} {}", wanted.join(" + "));
        if !all.contains(&said) {
            all.push(said);
        }
    }
    all.join(" and ")
}

fn selector(pod: &Value) -> Option<(&'static str, String)> {
    let labels = pod["spec"]["nodeSelector"].as_object()?;
    let pairs = labels
        .iter()
        .map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default()));
    Some(("selector", pairs.collect::<Vec<_>>().join(", ")))
}
