//! Stops everything that runs in a preview and starts it again: quota, replicas, CronJobs, pods.
//! It deletes nothing but pods, which their controllers make again, and it knows no ledger.
//! A quota of no pods comes first and goes last: while it is there, no run that comes late can start a pod, however stalled.
//! Each sleep has a quota of its own, which names its run, and relies on no other; whoever takes one away must have known it before.

use super::{
    Cluster,
    answer::Class,
    call::{Call, How, Only, Selector},
    error::ClusterError,
    kinds::{self, Kind},
    outcome::{Applied, Change},
    request::items,
};
use crate::{capacity::RunId, manifests::Origin, names::Namespace};
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Name of the quota that lets no pod start; the fence keeps names like it for us.
const QUOTA: &str = "preview-asleep";

/// Annotation of that quota: the run that made it.
const BY: &str = "preview-action/run";

/// Who holds replicas and suspension of what sleeps or has slept.
pub(super) const SLEEPER: &str = "preview-action-sleep";

/// Annotation of a sleeping workload: its replicas when it is awake.
const REPLICAS: &str = "preview-action/replicas";

/// Annotation of a sleeping CronJob: whether it was suspended before.
const SUSPENDED: &str = "preview-action/suspended";

/// How often the pods are looked at.
const POLL: Duration = Duration::from_millis(500);

/// Pods end within this, however short their own grace.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a pod needs beyond its grace.
const BEYOND: Duration = Duration::from_secs(30);

/// No grace is waited for longer.
const LONGEST: Duration = Duration::from_secs(600);

/// What is scaled or suspended.
static SLEEPERS: [&Kind; 3] = [&kinds::DEPLOYMENT, &kinds::STATEFUL_SET, &kinds::CRON_JOB];

impl Cluster {
    /// Stops everything in a Namespace and waits until nothing runs in it; false when something still does once its grace is over,
    /// or the quota of another run is in the way.
    ///
    /// `before` is the quota of an earlier sleep, read before this run's last write to the ledger.
    pub async fn put_to_sleep(
        &self,
        namespace: &Namespace,
        before: Option<&str>,
        run: &RunId,
    ) -> Result<bool, ClusterError> {
        if let Some(uid) = before {
            self.delete_quota(namespace, uid).await?;
        }
        self.forbid_pods(namespace, run).await?;
        for (kind, object) in self.sleepers(namespace).await? {
            self.own(kind, namespace, &object, &slept(kind, &object))
                .await?;
        }
        let begun = Instant::now();
        while let Some(patience) = self.what_runs(namespace, run).await? {
            if begun.elapsed() >= self.patience(patience) {
                return Ok(false);
            }
            sleep(POLL).await;
        }
        Ok(true)
    }

    /// Lets pods start in a Namespace again and gives every workload its replicas back; what was changed.
    ///
    /// The quota that goes is the one of `quota`: another one is of a later sleep.
    pub async fn rouse(
        &self,
        namespace: &Namespace,
        quota: Option<&str>,
    ) -> Result<Vec<Applied>, ClusterError> {
        if let Some(uid) = quota {
            self.delete_quota(namespace, uid).await?;
        }
        let mut roused = Vec::new();
        for (kind, object) in self.sleepers(namespace).await? {
            let Some(wanted) = awake(kind, &object) else {
                continue;
            };
            let live = self.own(kind, namespace, &object, &wanted).await?;
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            roused.push(Applied {
                id: kind.object(name),
                change: Change::Changed,
                warnings: Vec::new(),
                origin: Origin {
                    file: "built-in/sleep".into(),
                    line: 1,
                },
                live,
            });
        }
        Ok(roused)
    }

    /// UID of the quota that keeps a Namespace asleep; none when there is none.
    pub async fn sleeping_by(&self, namespace: &Namespace) -> Result<Option<String>, ClusterError> {
        Ok(self.quota(namespace).await?.and_then(|quota| uid(&quota)))
    }

    /// UID of the quota that this run has made; none when there is none, or another run's.
    pub async fn put_to_sleep_by(
        &self,
        namespace: &Namespace,
        run: &RunId,
    ) -> Result<Option<String>, ClusterError> {
        let quota = self.quota(namespace).await?;
        Ok(quota
            .filter(|quota| is_of(quota, run))
            .and_then(|quota| uid(&quota)))
    }

    async fn quota(&self, namespace: &Namespace) -> Result<Option<Value>, ClusterError> {
        let call = Call::get(&kinds::QUOTA, Some(namespace), QUOTA)?;
        match self.send(call).await {
            Ok(answer) => Ok(Some(answer.body)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes a quota of this run, which nobody knows who has stalled since before.
    async fn forbid_pods(&self, namespace: &Namespace, run: &RunId) -> Result<(), ClusterError> {
        let object = json!({
            "apiVersion": "v1", "kind": "ResourceQuota",
            "metadata": {
                "name": QUOTA, "namespace": namespace,
                "labels": {"app.kubernetes.io/managed-by": super::FIELD_MANAGER},
                "annotations": {BY: run},
            },
            "spec": {"hard": {"pods": "0"}},
        });
        let call = Call::create(&kinds::QUOTA, Some(namespace), QUOTA, &object)?;
        match self.send(call).await {
            // Our own, after a lost answer; or another run's, which nothing is built upon.
            Err(error) if error.class() == Some(&Class::AlreadyExists) => Ok(()),
            answer => answer.map(|_| ()),
        }
    }

    async fn delete_quota(&self, namespace: &Namespace, uid: &str) -> Result<(), ClusterError> {
        let only = Only {
            uid: uid.into(),
            version: None,
        };
        let call = Call::delete(&kinds::QUOTA, Some(namespace), QUOTA, only, None)?;
        match self.send(call).await {
            // Gone already, or another one.
            Err(error) if error.is_not_found() || error.class() == Some(&Class::Conflict) => Ok(()),
            answer => answer.map(|_| ()),
        }
    }

    async fn sleepers(
        &self,
        namespace: &Namespace,
    ) -> Result<Vec<(&'static Kind, Value)>, ClusterError> {
        let lists: Vec<_> = stream::iter(SLEEPERS)
            .map(|kind| async move {
                let call = Call::list(kind, Some(namespace), &Selector::default())?;
                Ok::<_, ClusterError>((kind, self.send(call).await?.body))
            })
            .buffered(SLEEPERS.len())
            .try_collect()
            .await?;
        let mut found = Vec::new();
        for (kind, mut list) in lists {
            let items = list["items"].as_array_mut().map(std::mem::take);
            let items = items.into_iter().flatten();
            // What an operator has made is the operator's to scale.
            let own = items.filter(|item| !item["metadata"]["ownerReferences"].is_array());
            found.extend(own.map(|item| (kind, item)));
        }
        Ok(found)
    }

    /// Takes these fields of an object, whoever holds them; never of another one of that name.
    async fn own(
        &self,
        kind: &'static Kind,
        namespace: &Namespace,
        object: &Value,
        (annotation, spec): &(Value, Value),
    ) -> Result<Value, ClusterError> {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let wanted = json!({
            "apiVersion": kind.object(name).api_version(), "kind": kind.kind,
            "metadata": {
                "name": name, "namespace": namespace,
                "uid": object["metadata"]["uid"], "annotations": annotation,
            },
            "spec": spec,
        });
        let how = How {
            manager: SLEEPER,
            force: true,
            dry_run: false,
        };
        let call = Call::apply_as(kind, Some(namespace), name, &wanted, &how)?;
        Ok(super::apply::without_ballast(self.send(call).await?.body))
    }

    /// For how long is waited for what still runs, whoever made it; none once this run's quota holds and no pod runs.
    async fn what_runs(
        &self,
        namespace: &Namespace,
        run: &RunId,
    ) -> Result<Option<Duration>, ClusterError> {
        let quota = self.quota(namespace).await?;
        let quota = quota.filter(|quota| is_of(quota, run));
        // Until its controller has seen it, nobody knows whether admission has.
        let holds = quota.is_some_and(|quota| quota["status"]["hard"]["pods"] == "0");
        let list = Call::list(&kinds::POD, Some(namespace), &Selector::default())?;
        let pods = self.send(list).await?.body;
        let runs: Vec<&Value> = items(&pods).filter(|pod| runs(pod)).collect();
        // From now on no controller makes one anew.
        for pod in runs.iter().filter(|_| holds) {
            if pod["metadata"]["deletionTimestamp"].is_null() {
                self.send_away(namespace, pod).await?;
            }
        }
        Ok((!holds || !runs.is_empty()).then(|| patience(&runs)))
    }

    async fn send_away(&self, namespace: &Namespace, pod: &Value) -> Result<(), ClusterError> {
        let text = |name: &str| pod["metadata"][name].as_str().unwrap_or_default();
        let only = Only {
            uid: text("uid").into(),
            version: None,
        };
        let call = Call::delete(&kinds::POD, Some(namespace), text("name"), only, None)?;
        match self.send(call).await {
            Err(error) if error.is_not_found() => Ok(()),
            answer => answer.map(|_| ()),
        }
    }
}

fn uid(object: &Value) -> Option<String> {
    object["metadata"]["uid"].as_str().map(str::to_owned)
}

fn is_of(quota: &Value, run: &RunId) -> bool {
    quota["metadata"]["annotations"][BY] == run.0.as_str()
}

fn runs(pod: &Value) -> bool {
    let phase = &pod["status"]["phase"];
    *phase != "Succeeded" && *phase != "Failed"
}

/// For how long is waited for these pods: the longest grace counts.
fn patience(pods: &[&Value]) -> Duration {
    let grace = |pod: &&Value| pod["spec"]["terminationGracePeriodSeconds"].as_u64();
    let longest = pods.iter().filter_map(grace).max().unwrap_or_default();
    let longest = Duration::from_secs(longest).saturating_add(BEYOND);
    longest.clamp(PATIENCE, LONGEST)
}

/// Annotation and fields of a workload that sleeps; one that sleeps already keeps what it remembers.
fn slept(kind: &Kind, object: &Value) -> (Value, Value) {
    let remembered = |name: &str| object["metadata"]["annotations"][name].as_str();
    if kind.kind == "CronJob" {
        let is = object["spec"]["suspend"].as_bool().unwrap_or_default();
        let before = remembered(SUSPENDED).filter(|_| is).map(str::to_owned);
        let before = before.unwrap_or_else(|| is.to_string());
        return (json!({SUSPENDED: before}), json!({"suspend": true}));
    }
    let is = object["spec"]["replicas"].as_u64().unwrap_or(1);
    let before = remembered(REPLICAS).filter(|_| is == 0).map(str::to_owned);
    let before = before.unwrap_or_else(|| is.to_string());
    (json!({REPLICAS: before}), json!({"replicas": 0}))
}

/// Fields of a workload that is awake again; none when it remembers nothing.
fn awake(kind: &Kind, object: &Value) -> Option<(Value, Value)> {
    let remembered = |name: &str| object["metadata"]["annotations"][name].as_str();
    let spec = match kind.kind {
        "CronJob" => json!({"suspend": remembered(SUSPENDED)? == "true"}),
        _ => json!({"replicas": remembered(REPLICAS)?.parse::<u64>().ok()?}),
    };
    Some((json!({}), spec))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sleep_remembers_what_was_and_keeps_it_when_it_is_repeated() {
        let deployment = json!({"metadata": {}, "spec": {"replicas": 3}});
        let (annotations, spec) = slept(&kinds::DEPLOYMENT, &deployment);
        assert_eq!(annotations, json!({REPLICAS: "3"}));
        let asleep = json!({"metadata": {"annotations": annotations}, "spec": spec});
        assert_eq!(slept(&kinds::DEPLOYMENT, &asleep).0, json!({REPLICAS: "3"}));
        assert_eq!(
            awake(&kinds::DEPLOYMENT, &asleep),
            Some((json!({}), json!({"replicas": 3})))
        );
        assert_eq!(awake(&kinds::DEPLOYMENT, &deployment), None);
    }

    #[test]
    fn the_longest_grace_is_waited_for_within_reason() {
        let pod = |seconds: u64| json!({"spec": {"terminationGracePeriodSeconds": seconds}});
        let waits = |graces: &[u64]| {
            let pods: Vec<Value> = graces.iter().map(|one| pod(*one)).collect();
            patience(&pods.iter().collect::<Vec<_>>()).as_secs()
        };
        assert_eq!(waits(&[]), 120);
        assert_eq!(waits(&[10, 300, 30]), 330);
        assert_eq!(waits(&[u64::MAX]), 600);
    }

    #[test]
    fn a_cron_job_that_was_suspended_stays_so() {
        for before in [true, false] {
            let job = json!({"metadata": {}, "spec": {"suspend": before}});
            let (annotations, spec) = slept(&kinds::CRON_JOB, &job);
            let asleep = json!({"metadata": {"annotations": annotations}, "spec": spec});
            assert_eq!(slept(&kinds::CRON_JOB, &asleep).0, annotations);
            assert_eq!(
                awake(&kinds::CRON_JOB, &asleep),
                Some((json!({}), json!({"suspend": before})))
            );
        }
    }
}
