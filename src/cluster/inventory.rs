//! Turns a Namespace into what stands in it: its workloads as the comment shows them, counts by kind, and its volumes.
//! It must not read Secrets or what an object contains beyond its state.
//! Removal shows what there was and what is left of it; nobody has to believe that nothing was left behind.

use super::{
    Cluster,
    answer::Class,
    apply::WIDTH,
    applyset,
    call::{Call, Selector},
    error::ClusterError,
    kinds::{self, Kind},
    last_failure::LAST_FAILURE,
    outcome::{Applied, Change, Fate, Readiness, VolumeEnd, WorkloadStatus},
    readiness::assess,
    request::items,
};
use crate::{
    manifests::Origin,
    names::{Namespace, RepoId},
};
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::Value;
use std::{collections::BTreeMap, time::Duration};
use tokio::time::{Instant, sleep};

/// How long a provisioner may take before its volume is called leaving.
const PROVISIONER: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// What a Namespace holds that a removal must account for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contents {
    /// Objects by kind.
    pub counts: BTreeMap<String, usize>,
    /// Claims, each with the name of its PersistentVolume if it has one.
    pub claims: Vec<(String, Option<String>)>,
}

/// Kinds that are counted: what runs, what keeps data, what is reached from outside.
static COUNTED: [&Kind; 11] = [
    &kinds::DEPLOYMENT,
    &kinds::STATEFUL_SET,
    &kinds::DAEMON_SET,
    &kinds::JOB,
    &kinds::CRON_JOB,
    &kinds::POD,
    &kinds::SERVICE,
    &kinds::INGRESS,
    &kinds::HTTP_ROUTE,
    &kinds::CONFIG_MAP,
    &kinds::CLAIM,
];

static WORKLOADS: [&Kind; 4] = [
    &kinds::DEPLOYMENT,
    &kinds::STATEFUL_SET,
    &kinds::DAEMON_SET,
    &kinds::JOB,
];

/// What runs for as long as the preview lives.
static LASTING: [&Kind; 3] = [&kinds::DEPLOYMENT, &kinds::STATEFUL_SET, &kinds::DAEMON_SET];

impl Cluster {
    /// Counts what a Namespace holds, by kind; kinds of which there is nothing are left out.
    pub async fn inventory(
        &self,
        namespace: &Namespace,
    ) -> Result<BTreeMap<String, usize>, ClusterError> {
        let counts: Vec<_> = stream::iter(COUNTED)
            .map(|kind| async move {
                let answer = self.send(Call::list_metadata(kind, Some(namespace))?).await;
                let list = match answer {
                    Ok(answer) => answer.body,
                    Err(error) if error.class() == Some(&Class::KindUnknown) => Value::Null,
                    Err(error) => return Err(error),
                };
                let items = items(&list);
                // Every Namespace has the one, which is the cluster's own; the others are our lists.
                let bookkeeping = ["kube-root-ca.crt", applyset::PARENT, LAST_FAILURE];
                let ours = items.filter(|item| {
                    let name = item["metadata"]["name"].as_str();
                    !name.is_some_and(|name| bookkeeping.contains(&name))
                });
                Ok::<_, ClusterError>((kind.kind.to_owned(), ours.count()))
            })
            .buffer_unordered(WIDTH)
            .try_collect()
            .await?;
        Ok(counts.into_iter().filter(|(_, count)| *count > 0).collect())
    }

    /// True when no set was ever applied in a Namespace, and nothing that it could hold is there from elsewhere.
    pub async fn is_untouched(&self, namespace: &Namespace) -> Result<bool, ClusterError> {
        // Written before any object of a set.
        let call = Call::get(&kinds::CONFIG_MAP, Some(namespace), applyset::PARENT)?;
        match self.send(call).await {
            Ok(_) => Ok(false),
            Err(error) if error.class() == Some(&Class::NotFound) => {
                Ok(self.inventory(namespace).await?.is_empty())
            }
            Err(error) => Err(error),
        }
    }

    /// Counts what a Namespace holds and notes its volumes, which outlive the claims.
    pub async fn contents(&self, namespace: &Namespace) -> Result<Contents, ClusterError> {
        let list = Call::list(&kinds::CLAIM, Some(namespace), &Selector::default())?;
        let (counts, claims) = tokio::try_join!(self.inventory(namespace), self.send(list))?;
        let claims = items(&claims.body);
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let claims = claims
            .map(|claim| {
                (
                    text(&claim["metadata"]["name"]).unwrap_or_default(),
                    text(&claim["spec"]["volumeName"]),
                )
            })
            .collect();
        Ok(Contents { counts, claims })
    }

    /// Looks what became of the volumes of a Namespace that is gone, and gives their provisioners a moment.
    pub async fn volumes_after(&self, claims: &[(String, Option<String>)]) -> Vec<VolumeEnd> {
        let deadline = Instant::now() + self.patience(PROVISIONER);
        let ends = claims.iter().map(|(claim, volume)| async move {
            let fate = match volume {
                None => Fate::Deleted,
                Some(volume) => self.fate(volume, deadline).await,
            };
            VolumeEnd {
                claim: claim.clone(),
                volume: volume.clone(),
                fate,
            }
        });
        stream::iter(ends).buffered(WIDTH).collect().await
    }

    async fn fate(&self, volume: &str, deadline: Instant) -> Fate {
        loop {
            let asked = match Call::get(&kinds::VOLUME, None, volume) {
                Ok(call) => self.send(call).await,
                Err(error) => Err(error),
            };
            match asked {
                Ok(answer) => {
                    if answer.body["spec"]["persistentVolumeReclaimPolicy"] != "Delete" {
                        return Fate::Retained;
                    }
                    if Instant::now() >= deadline {
                        return Fate::Leaving;
                    }
                    sleep(LOOK_AGAIN).await;
                }
                Err(error) if error.is_not_found() => return Fate::Deleted,
                Err(error) => {
                    tracing::warn!("volume {volume} was not checked: {error}");
                    return Fate::NotChecked;
                }
            }
        }
    }

    /// Workloads of a repository's previews that are not ready now, by Namespace, with every Namespace in which any last; three
    /// lists, however many previews there are.
    pub async fn unready(
        &self,
        repository: RepoId,
    ) -> Result<BTreeMap<String, Vec<Applied>>, ClusterError> {
        let selector = Selector {
            labels: Some(format!("preview-action/repository-id={repository}")),
            name: None,
        };
        let selector = &selector;
        let lists: Vec<_> = stream::iter(LASTING)
            .map(|kind| async move {
                let call = Call::list(kind, None, selector)?;
                Ok::<_, ClusterError>((kind, self.send(call).await?.body))
            })
            .buffered(WIDTH)
            .try_collect()
            .await?;
        let mut unready: BTreeMap<String, Vec<Applied>> = BTreeMap::new();
        for (kind, mut list) in lists {
            let version = list["apiVersion"].take();
            let items = list["items"].as_array_mut().map(std::mem::take);
            for mut object in items.into_iter().flatten() {
                object["kind"] = kind.kind.into();
                object["apiVersion"] = version.clone();
                let text = |name: &str| object["metadata"][name].as_str().unwrap_or_default();
                let (namespace, id) = (text("namespace").to_owned(), kind.object(text("name")));
                let unready = unready.entry(namespace).or_default();
                let verdict = assess(&object, self.now(), None);
                if verdict.into_status(id.clone()).readiness == Readiness::Ready {
                    continue;
                }
                unready.push(Applied {
                    id,
                    change: Change::Unchanged,
                    warnings: Vec::new(),
                    origin: Origin {
                        file: "built-in/sweep".into(),
                        line: 1,
                    },
                    live: super::apply::without_ballast(object),
                });
            }
        }
        Ok(unready)
    }

    /// Reads the workloads of a Namespace, by kind and name.
    pub async fn workloads(
        &self,
        namespace: &Namespace,
    ) -> Result<Vec<WorkloadStatus>, ClusterError> {
        let lists: Vec<_> = stream::iter(WORKLOADS)
            .map(|kind| async move {
                let call = Call::list(kind, Some(namespace), &Selector::default())?;
                Ok::<_, ClusterError>((kind, self.send(call).await?.body))
            })
            .buffered(WIDTH)
            .try_collect()
            .await?;
        let mut workloads = Vec::new();
        for (kind, list) in &lists {
            for item in items(list) {
                // Items of a list do not say their own kind.
                let mut object = item.clone();
                object["kind"] = kind.kind.into();
                object["apiVersion"] = list["apiVersion"].clone();
                // What a CronJob or an operator made is shown by its maker.
                if object["metadata"]["ownerReferences"].is_array() {
                    continue;
                }
                let name = object["metadata"]["name"].as_str().unwrap_or_default();
                let verdict = assess(&object, self.now(), None);
                workloads.push(verdict.into_status(kind.object(name)));
            }
        }
        Ok(workloads)
    }
}
