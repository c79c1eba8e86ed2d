//! Turns owner references and revision marks into the pods that belong to what was deployed now.
//! It must not judge a pod.
//! Pods of the revision before crash, end and go while the new one starts; whoever counts them reports yesterday's failure.

use super::{Tracker, symptoms::ContainerRef};
use serde_json::Value;

impl Tracker {
    /// The ReplicaSet of a Deployment's newest revision.
    pub(super) fn replica_set(&self, index: usize) -> Option<&Value> {
        const REVISION: &str = "deployment.kubernetes.io/revision";
        let live = self.targets[index].live.as_ref()?;
        let status = &live["status"]["observedGeneration"];
        if status.as_i64() < live["metadata"]["generation"].as_i64() {
            return None;
        }
        let revision = live["metadata"]["annotations"][REVISION].as_str()?;
        let own = uid(live)?;
        self.replica_sets
            .values()
            .find(|set| owned_by(set, own) && set["metadata"]["annotations"][REVISION] == revision)
    }

    /// Pods of the revision that was deployed.
    pub(super) fn pods(&self, index: usize) -> Box<dyn Iterator<Item = &Value> + '_> {
        let target = &self.targets[index];
        let Some((live, own)) = target
            .live
            .as_ref()
            .and_then(|live| Some((live, uid(live)?)))
        else {
            return Box::new(std::iter::empty());
        };
        let living = self
            .pods
            .values()
            .filter(|pod| !pod["metadata"]["deletionTimestamp"].is_string());
        match target.id.kind.as_str() {
            "Deployment" => match self.replica_set(index).and_then(uid) {
                Some(set) => Box::new(living.filter(move |pod| owned_by(pod, set))),
                None => Box::new(std::iter::empty()),
            },
            "StatefulSet" => {
                let revision = &live["status"]["updateRevision"];
                Box::new(living.filter(move |pod| {
                    owned_by(pod, own)
                        && pod["metadata"]["labels"]["controller-revision-hash"] == *revision
                }))
            }
            "DaemonSet" => {
                let generation =
                    &live["metadata"]["annotations"]["deprecated.daemonset.template.generation"];
                Box::new(living.filter(move |pod| {
                    owned_by(pod, own)
                        && pod["metadata"]["labels"]["pod-template-generation"] == *generation
                }))
            }
            // A Job that is stopped at its deadline deletes its pods, whose logs tell what took so long.
            "Job" => Box::new(self.pods.values().filter(move |pod| owned_by(pod, own))),
            "Pod" => Box::new(living.filter(move |pod| uid(pod) == Some(own))),
            _ => Box::new(living.filter(move |pod| owned_by(pod, own))),
        }
    }

    pub(super) fn failed_container(&self, index: usize) -> Option<ContainerRef> {
        let failed = |container: &Value| {
            let ended = &container["state"]["terminated"]["exitCode"];
            ended.as_i64().is_some_and(|code| code != 0)
        };
        self.container_where(index, failed)
            .or_else(|| self.unready_container(index))
    }

    /// One that is at work still: what a Job is stopped in at its deadline.
    pub(super) fn working_container(&self, index: usize) -> Option<ContainerRef> {
        self.container_where(index, |container| container["state"]["running"].is_object())
    }

    pub(super) fn unready_container(&self, index: usize) -> Option<ContainerRef> {
        self.container_where(index, |container| container["ready"] == false)
    }

    fn container_where(
        &self,
        index: usize,
        wanted: impl Fn(&Value) -> bool,
    ) -> Option<ContainerRef> {
        self.pods(index).find_map(|pod| {
            let (container, _) = containers(pod).find(|(container, _)| wanted(container))?;
            let state = &container["state"];
            // A container that never began has no log.
            let before = container["lastState"]["terminated"].is_object();
            if state["waiting"].is_object() && !before {
                return None;
            }
            Some(ContainerRef {
                pod: text(&pod["metadata"]["name"]),
                container: text(&container["name"]),
                previous: state["waiting"].is_object(),
            })
        })
    }
}

pub(super) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

pub(super) fn uid(object: &Value) -> Option<&str> {
    object["metadata"]["uid"].as_str()
}

pub(super) fn version(object: &Value) -> Option<u64> {
    object["metadata"]["resourceVersion"].as_str()?.parse().ok()
}

pub(super) fn owned_by(object: &Value, uid: &str) -> bool {
    let owners = object["metadata"]["ownerReferences"].as_array();
    owners.is_some_and(|owners| owners.iter().any(|owner| owner["uid"] == uid))
}

/// Container states of a pod, with whether it is an init container.
pub(super) fn containers(pod: &Value) -> impl Iterator<Item = (&Value, bool)> {
    [
        ("initContainerStatuses", true),
        ("containerStatuses", false),
    ]
    .into_iter()
    .flat_map(move |(field, is_init)| {
        let all = pod["status"][field].as_array().into_iter().flatten();
        all.map(move |container| (container, is_init))
    })
}

pub(super) fn container_spec<'a>(pod: &'a Value, name: &str, is_init: bool) -> Option<&'a Value> {
    let field = if is_init {
        "initContainers"
    } else {
        "containers"
    };
    pod["spec"][field]
        .as_array()?
        .iter()
        .find(|spec| spec["name"] == name)
}
