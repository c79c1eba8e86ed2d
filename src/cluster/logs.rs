//! Reads the end of the logs of a preview's containers: of each workload's newest pod, or of the one that was asked for.
//! It follows nothing and changes nothing; what it reads is untrusted and is masked and escaped by whoever shows it.
//! Pods say themselves whose they are, so one list is enough to find them all.

use super::{
    Cluster,
    call::{Call, Selector},
    error::ClusterError,
    kinds,
    request::items,
};
use crate::names::Namespace;
use futures::{StreamExt, stream};
use serde_json::Value;
use std::{collections::BTreeMap, time::Duration};

/// Logs that are read at once.
const WIDTH: usize = 4;

/// Bytes that are read of one log. The server counts them from the first of the lines, so too few would hide the last ones.
const BYTES: i64 = 4 * 1024 * 1024;

/// Patience with one log: a node that does not answer must not hold up the others.
const PATIENCE: Duration = Duration::from_secs(10);

/// Which logs are read.
#[derive(Debug, Clone, Default)]
pub struct Wanted<'a> {
    /// Workload; none for all.
    pub workload: Option<&'a str>,
    /// Container; none for the one that Kubernetes would show.
    pub container: Option<&'a str>,
    /// True for the life before this one.
    pub previous: bool,
    /// Lines of each, from the end.
    pub lines: i64,
}

/// The end of one container's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tail {
    /// Workload, or the pod itself where none made it.
    pub workload: String,
    /// Pod.
    pub pod: String,
    /// Container.
    pub container: String,
    /// Its last lines, or the reason why there are none.
    pub text: Result<String, String>,
}

/// What was found of what was wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tails {
    /// These logs, by workload.
    Read(Vec<Tail>),
    /// No workload has that name; these have pods.
    NoWorkload(Vec<String>),
    /// No container has that name; these are in the pod.
    NoContainer(Vec<String>),
}

impl Cluster {
    /// Reads the ends of logs in a Namespace.
    pub async fn tails(
        &self,
        namespace: &Namespace,
        wanted: &Wanted<'_>,
    ) -> Result<Tails, ClusterError> {
        let call = Call::list(&kinds::POD, Some(namespace), &Selector::default())?;
        let list = self.send(call).await?.body;
        let mut newest: BTreeMap<String, &Value> = BTreeMap::new();
        for pod in items(&list) {
            let known = newest.entry(maker(pod)).or_insert(pod);
            if age(pod) > age(known) {
                *known = pod;
            }
        }
        if let Some(workload) = wanted.workload {
            if !newest.contains_key(workload) {
                return Ok(Tails::NoWorkload(newest.into_keys().collect()));
            }
            newest.retain(|name, _| name == workload);
        }
        let mut picked = Vec::new();
        for (workload, pod) in newest {
            let containers = containers(pod);
            let usual = || usual(pod).or(containers.first().cloned());
            let container = match wanted.container {
                Some(name) => containers.iter().find(|one| *one == name).cloned(),
                None => usual(),
            };
            match container {
                Some(container) => picked.push((workload, name(pod), container)),
                None if wanted.workload.is_some() => return Ok(Tails::NoContainer(containers)),
                None => {}
            }
        }
        let tails = stream::iter(picked)
            .map(|(workload, pod, container)| async move {
                let text = self.tail(namespace, &pod, &container, wanted).await;
                Tail {
                    workload,
                    pod,
                    container,
                    text,
                }
            })
            .buffered(WIDTH);
        Ok(Tails::Read(tails.collect().await))
    }

    async fn tail(
        &self,
        namespace: &Namespace,
        pod: &str,
        container: &str,
        wanted: &Wanted<'_>,
    ) -> Result<String, String> {
        let call = Call::log(
            namespace,
            pod,
            container,
            wanted.previous,
            (wanted.lines, BYTES),
        );
        let call = call.map_err(|error| error.to_string())?;
        match tokio::time::timeout(PATIENCE, self.send_for_text(call)).await {
            Ok(Ok(text)) => Ok(whole(text, BYTES)),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("the node does not answer".into()),
        }
    }
}

/// The text, with a sign at its end where the node has given no more than so many bytes, maybe half a word.
pub(super) fn whole(mut text: String, bytes: i64) -> String {
    if i64::try_from(text.len()).is_ok_and(|length| length >= bytes) {
        text.push('…');
    }
    text
}

fn name(object: &Value) -> String {
    let name = object["metadata"]["name"].as_str();
    name.unwrap_or_default().to_owned()
}

/// Creation time, behind those that are being deleted.
fn age(pod: &Value) -> (bool, &str) {
    let metadata = &pod["metadata"];
    let created = metadata["creationTimestamp"].as_str().unwrap_or_default();
    (metadata["deletionTimestamp"].is_null(), created)
}

/// Name of the workload that made a pod: of a ReplicaSet's pod the Deployment, whose name it bears before the hash.
fn maker(pod: &Value) -> String {
    let owners = pod["metadata"]["ownerReferences"].as_array();
    let owner = owners
        .into_iter()
        .flatten()
        .find(|one| one["controller"] == true);
    let Some(owner) = owner.and_then(|one| one["name"].as_str()) else {
        return name(pod);
    };
    let hash = pod["metadata"]["labels"]["pod-template-hash"].as_str();
    let deployment = hash.and_then(|hash| owner.strip_suffix(hash)?.strip_suffix('-'));
    deployment.unwrap_or(owner).to_owned()
}

/// Names of all containers, those that run for long before those that initialise.
fn containers(pod: &Value) -> Vec<String> {
    let spec = &pod["spec"];
    ["containers", "initContainers"]
        .iter()
        .flat_map(|key| spec[*key].as_array().into_iter().flatten())
        .filter_map(|one| Some(one["name"].as_str()?.to_owned()))
        .collect()
}

/// The container that `kubectl logs` would show.
fn usual(pod: &Value) -> Option<String> {
    let annotations = &pod["metadata"]["annotations"];
    let named = annotations["kubectl.kubernetes.io/default-container"].as_str();
    named.map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(name: &str, owner: Value, labels: Value) -> Value {
        json!({"metadata": {"name": name, "ownerReferences": owner, "labels": labels}})
    }

    #[test]
    fn a_pod_is_called_after_the_workload_that_made_it() {
        let by = |name: &str| json!([{"name": "other"}, {"name": name, "controller": true}]);
        let hash = json!({"pod-template-hash": "6d4cf56db6"});
        for (owner, labels, expected) in [
            (by("web-6d4cf56db6"), hash.clone(), "web"),
            (by("db"), json!({}), "db"),
            (by("web-6d4cf56db6"), json!({}), "web-6d4cf56db6"),
            (json!(null), hash, "alone"),
        ] {
            assert_eq!(maker(&pod("alone", owner, labels)), expected);
        }
    }
}
