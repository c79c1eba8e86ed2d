//! Applies the Jobs that run before the workloads, each anew when it is another one than before or failed the last time.
//! It does not wait for them and decides nothing about the workloads.
//! A Job cannot be changed once it exists, and one that has failed never runs again by itself.

use super::{
    Cluster,
    answer::Class,
    apply::ApplyError,
    call::{Call, Selector},
    error::ClusterError,
    existing::Existing,
    follow::{Follow, Seen},
    kinds::Kind,
    outcome::{Applied, Readiness},
    readiness::assess,
};
use crate::{
    manifests::{Manifest, ManifestSet},
    names::Namespace,
};
use std::time::Duration;

/// How long a Job and its pods may take to go before their successor is refused.
const PATIENCE: Duration = Duration::from_secs(60);

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
        let stale = match &applied {
            Ok(applied) => applied.iter().any(|one| {
                assess(&one.live, jiff::Timestamp::now(), None).readiness == Readiness::Failed
            }),
            Err(error) => error
                .errors
                .iter()
                .all(|error| error.error.class() == Some(&Class::Immutable)),
        };
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
        let found = match self.send(Call::get(kind, Some(namespace), name)?).await {
            Ok(answer) => answer.body,
            Err(error) if error.is_not_found() => return Ok(()),
            Err(error) => return Err(error),
        };
        let uid = found["metadata"]["uid"].as_str().unwrap_or_default();
        let call = Call::delete_with_pods(kind, Some(namespace), name, uid)?;
        match self.send(call).await {
            Err(error) if !error.is_not_found() => return Err(error),
            _ => {}
        }
        let mut follow = Follow::new();
        let selector = Selector {
            name: Some(name.clone()),
            ..Selector::default()
        };
        follow.add(self, kind, Some(namespace), selector);
        let gone = async {
            loop {
                match follow.next().await {
                    Seen::Blind(_, error) => return Err(error),
                    Seen::Gone(_, object) if object["metadata"]["uid"] == uid => return Ok(()),
                    Seen::All(_, items)
                        if items.iter().all(|item| item["metadata"]["uid"] != uid) =>
                    {
                        return Ok(());
                    }
                    _ => {}
                }
            }
        };
        // Past this time the apply says that the old one is still there.
        tokio::time::timeout(PATIENCE, gone).await.unwrap_or(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::kinds;

    #[test]
    fn a_job_is_cleared_with_its_pods() {
        let namespace = "pr-1".parse();
        let call = namespace.ok().and_then(|namespace| {
            Call::delete_with_pods(&kinds::JOB, Some(&namespace), "m", "u").ok()
        });
        let body = call.map(|call| String::from_utf8_lossy(call.request.body()).into_owned());
        assert!(body.is_some_and(|body| body.contains("Background") && body.contains("\"u\"")));
    }
}
