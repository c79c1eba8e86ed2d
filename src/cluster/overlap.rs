//! Turns what an update changed into the answer whether what was live before it still is.
//! It must not guess: what it cannot prove it denies.
//! A comment that says "still serving" while half of the old pods are gone would be a lie.

use super::{
    Cluster,
    call::{Call, Selector},
    error::ClusterError,
    kinds,
    outcome::{Applied, Change, WorkloadStatus},
};
use crate::names::Namespace;

impl Cluster {
    /// True when every workload that was changed still has the pods of its revision before, and none of the new one.
    ///
    /// `seen` holds how many pods of the new revision are ready.
    pub async fn old_serves(
        &self,
        namespace: &Namespace,
        applied: &[Applied],
        seen: &[WorkloadStatus],
    ) -> Result<bool, ClusterError> {
        let changed: Vec<_> = applied
            .iter()
            .filter(|one| one.change == Change::Changed)
            .filter(|one| {
                let routes = ["Service", "Ingress", "HTTPRoute", "Middleware"];
                let runs = ["Deployment", "StatefulSet", "DaemonSet"];
                let kind = one.id.kind.as_str();
                routes.contains(&kind) || runs.contains(&kind)
            })
            .collect();
        if changed.is_empty() {
            return Ok(true);
        }
        // Other kinds replace a pod before its successor is ready, or lead elsewhere at once.
        if changed.iter().any(|one| one.id.kind != "Deployment") {
            return Ok(false);
        }
        let call = Call::list(&kinds::DEPLOYMENT, Some(namespace), &Selector::default())?;
        let list = self.send(call).await?.body;
        let items = list["items"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        Ok(changed.iter().all(|one| {
            let none_new = seen
                .iter()
                .any(|status| status.id == one.id && status.ready == 0);
            let available = items
                .iter()
                .find(|item| item["metadata"]["name"] == *one.id.name)
                .and_then(|item| item["status"]["availableReplicas"].as_u64());
            none_new && available.is_some_and(|available| available > 0)
        }))
    }
}
