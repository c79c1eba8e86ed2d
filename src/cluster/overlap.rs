//! Turns what an update changed into the answer whether what was live before it still is.
//! It must not guess: what it cannot prove it denies.
//! A comment that says "still serving" while half of the old pods are gone would be a lie.

use super::{
    Cluster,
    call::{Call, Selector},
    error::ClusterError,
    existing::Existing,
    kinds,
    outcome::{Applied, Change},
};
use crate::names::Namespace;
use serde_json::Value;

/// Kinds that run pods for good.
pub(super) const RUNS: [&str; 3] = ["Deployment", "StatefulSet", "DaemonSet"];

/// Kinds that lead to what runs.
pub(super) const ROUTES: [&str; 4] = ["Service", "Ingress", "HTTPRoute", "Middleware"];

impl Cluster {
    /// True when nothing that was there `before` is gone or was made anew, every workload that was changed still has the pods of its revision before, and none of the new one.
    pub async fn old_serves(
        &self,
        namespace: &Namespace,
        applied: &[Applied],
        before: &Existing,
    ) -> Result<bool, ClusterError> {
        let changed: Vec<_> = applied
            .iter()
            .filter(|one| one.change == Change::Changed)
            .filter(|one| {
                let kind = one.id.kind.as_str();
                ROUTES.contains(&kind) || RUNS.contains(&kind)
            })
            .collect();
        if !self.still_there(namespace, before).await? {
            return Ok(false);
        }
        if changed.is_empty() {
            return Ok(true);
        }
        // Other kinds replace a pod before its successor is ready, or lead elsewhere at once.
        if changed.iter().any(|one| one.id.kind != "Deployment") {
            return Ok(false);
        }
        let call = Call::list(&kinds::REPLICA_SET, Some(namespace), &Selector::default())?;
        let list = self.send(call).await?.body;
        let sets = list["items"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        Ok(changed.iter().all(|one| only_old_ones(&one.id.name, sets)))
    }
}

/// True when a Deployment has ready pods, and none of them of its newest revision.
fn only_old_ones(deployment: &str, sets: &[Value]) -> bool {
    let own = |set: &&Value| {
        let owners = set["metadata"]["ownerReferences"].as_array();
        owners.is_some_and(|owners| owners.iter().any(|owner| owner["name"] == deployment))
    };
    let revision = |set: &Value| {
        let text = set["metadata"]["annotations"]["deployment.kubernetes.io/revision"].as_str();
        text.and_then(|text| text.parse::<u64>().ok())
            .unwrap_or_default()
    };
    let ready = |set: &Value| set["status"]["readyReplicas"].as_u64().unwrap_or_default();
    let own: Vec<&Value> = sets.iter().filter(own).collect();
    let newest = own.iter().map(|set| revision(set)).max();
    let count = |new: bool| -> u64 {
        let of = own
            .iter()
            .filter(|set| (Some(revision(set)) == newest) == new);
        of.map(|set| ready(set)).sum()
    };
    count(true) == 0 && count(false) > 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn set(revision: &str, ready: u64) -> Value {
        json!({
            "metadata": {
                "annotations": {"deployment.kubernetes.io/revision": revision},
                "ownerReferences": [{"name": "web"}],
            },
            "status": {"readyReplicas": ready},
        })
    }

    #[test]
    fn only_pods_of_the_revision_before_are_still_served() {
        assert!(only_old_ones("web", &[set("1", 1), set("2", 0)]));
        assert!(!only_old_ones("web", &[set("1", 1), set("2", 1)]));
        assert!(!only_old_ones("web", &[set("9", 1), set("10", 1)]));
        assert!(!only_old_ones("web", &[set("1", 0), set("2", 0)]));
        assert!(!only_old_ones("web", &[set("1", 1)]));
        assert!(!only_old_ones("api", &[set("1", 1), set("2", 0)]));
    }
}
