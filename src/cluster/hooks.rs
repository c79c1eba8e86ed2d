//! Applies the Jobs that run before the workloads, each anew when it is another one than before or failed the last time.
//! It does not wait for them and decides nothing about the workloads.
//! A Job cannot be changed once it exists, and one that has failed never runs again by itself.

use super::{
    Cluster,
    apply::ApplyError,
    error::ClusterError,
    existing::Existing,
    kinds::Kind,
    outcome::{Applied, Readiness},
    readiness::assess,
};
use crate::{
    manifests::{Manifest, ManifestSet},
    names::Namespace,
};
use kube::api::PropagationPolicy;

/// The pods of a Job would stay otherwise.
const WITH_PODS: PropagationPolicy = PropagationPolicy::Background;

impl Cluster {
    /// Applies the set, whose kinds are announced; what is there unchanged and done, or still at work, is left alone.
    pub async fn run_first(
        &self,
        namespace: &Namespace,
        set: &ManifestSet,
        known: &Existing,
    ) -> Result<Vec<Applied>, ApplyError> {
        let mut done = Vec::new();
        for manifest in &set.objects {
            let one = ManifestSet {
                objects: vec![manifest.clone()],
                warnings: Vec::new(),
            };
            let mut applied = self.once_more(namespace, manifest, &one, known).await;
            if let Err(error) = &mut applied {
                error.applied.splice(0..0, done.drain(..));
            }
            done.extend(applied?);
        }
        Ok(done)
    }

    async fn once_more(
        &self,
        namespace: &Namespace,
        manifest: &Manifest,
        one: &ManifestSet,
        known: &Existing,
    ) -> Result<Vec<Applied>, ApplyError> {
        let applied = self.put(one, namespace, known, &mut |_| {}).await;
        let failed = |one: &Applied| {
            assess(&one.live, jiff::Timestamp::now(), None).readiness == Readiness::Failed
        };
        // One that cannot change was made anew by `put`.
        let stale = applied.as_ref().is_ok_and(|all| all.iter().any(failed));
        if !stale {
            return applied;
        }
        tracing::info!(object = %manifest.id, "runs anew");
        if let Err(error) = self.clear(namespace, manifest).await {
            return Err(ApplyError::one(manifest, error));
        }
        self.put(one, namespace, &Existing::default(), &mut |_| {})
            .await
    }

    /// Deletes the object of this name with its pods and waits until it is gone.
    async fn clear(&self, namespace: &Namespace, manifest: &Manifest) -> Result<(), ClusterError> {
        let Some(kind) = Kind::of(&manifest.id) else {
            return Ok(());
        };
        let name = &manifest.id.name;
        let Some(found) = self.live(kind, namespace, name).await? else {
            return Ok(());
        };
        let uid = found["metadata"]["uid"].as_str().unwrap_or_default();
        let cleared = self.delete_and_wait(kind, namespace, name, uid, WITH_PODS);
        match cleared.await {
            // The apply says that the old one is still there.
            Err(ClusterError::StillThere { .. }) => Ok(()),
            cleared => cleared,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::{
        call::{Call, Only},
        kinds,
    };

    #[test]
    fn a_job_is_cleared_with_its_pods() {
        let namespace = "pr-1".parse();
        let call = namespace.ok().and_then(|namespace| {
            let only = Only {
                uid: "u".into(),
                version: None,
            };
            Call::delete(&kinds::JOB, Some(&namespace), "m", only, Some(WITH_PODS)).ok()
        });
        let body = call.map(|call| String::from_utf8_lossy(call.request.body()).into_owned());
        assert!(body.is_some_and(|body| body.contains("Background") && body.contains("\"u\"")));
    }
}
