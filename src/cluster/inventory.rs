//! Turns a Namespace into what stands in it: its workloads as the comment shows them, and counts by kind.
//! It must not read Secrets or what an object contains beyond its state.
//! Removal shows the counts before and after; nobody has to believe that nothing was left behind.

use super::{
    Cluster,
    answer::Class,
    apply::WIDTH,
    call::{Call, Selector},
    error::ClusterError,
    kinds::{self, Kind},
    outcome::WorkloadStatus,
    readiness::assess,
};
use crate::names::Namespace;
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::Value;
use std::collections::BTreeMap;

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
                let items = list["items"].as_array().into_iter().flatten();
                // Every Namespace has this one; it is the cluster's own.
                let ours = items.filter(|item| item["metadata"]["name"] != "kube-root-ca.crt");
                Ok::<_, ClusterError>((kind.kind.to_owned(), ours.count()))
            })
            .buffer_unordered(WIDTH)
            .try_collect()
            .await?;
        Ok(counts.into_iter().filter(|(_, count)| *count > 0).collect())
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
            for item in list["items"].as_array().into_iter().flatten() {
                // Items of a list do not say their own kind.
                let mut object = item.clone();
                object["kind"] = kind.kind.into();
                object["apiVersion"] = list["apiVersion"].clone();
                // What a CronJob or an operator made is shown by its maker.
                if object["metadata"]["ownerReferences"].is_array() {
                    continue;
                }
                let name = object["metadata"]["name"].as_str().unwrap_or_default();
                let verdict = assess(&object, jiff::Timestamp::now(), None);
                workloads.push(verdict.into_status(kind.object(name)));
            }
        }
        Ok(workloads)
    }
}
