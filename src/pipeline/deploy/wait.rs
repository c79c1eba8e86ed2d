//! Waits for what was applied: every workload, then every public address.
//! It applies nothing and decides nothing about a failure but that it is one.
//! People see progress meanwhile, at most every few seconds and only when the comment would say something new.

use super::{Stopped, Work, lock};
use crate::{
    cluster::{
        Cluster,
        outcome::{Applied, Verdict, WorkloadStatus},
    },
    inputs::HealthMode,
    names::{CommitSha, Namespace, State},
    pipeline::{
        Blame, Failure, Ports,
        ask::{self, Answer},
        desk::Desk,
        teller::Teller,
    },
    plan::{Plan, PublicUrl},
    registry,
};
use std::{collections::BTreeMap, time::Duration};
use tokio::{task::JoinSet, time::Instant};

/// How often a waiting run looks whether the comment would say something new.
const TICK: Duration = Duration::from_secs(1);

/// What waiting needs; a deploy, a restore and a rollback wait alike.
#[derive(Clone, Copy)]
pub(in crate::pipeline) struct Waiting<'a> {
    pub(in crate::pipeline) ports: &'a Ports,
    pub(in crate::pipeline) cluster: &'a Cluster,
    pub(in crate::pipeline) desk: &'a Desk<'a>,
    pub(in crate::pipeline) deadline: Instant,
}

impl Waiting<'_> {
    /// Waits until every workload is ready, telling people about it.
    pub(in crate::pipeline) async fn ready(
        &self,
        namespace: &Namespace,
        applied: &[Applied],
        teller: &mut Teller<'_>,
    ) -> Result<(), Stopped> {
        let (seen, mut news) = tokio::sync::watch::channel(Vec::new());
        let mut on_progress = |workloads: &[WorkloadStatus]| {
            seen.send_replace(workloads.to_vec());
        };
        let wait = self.cluster.wait_until_ready(
            namespace,
            applied,
            self.deadline,
            &self.ports.stop,
            &mut on_progress,
        );
        tokio::pin!(wait);
        let mut tick = tokio::time::interval(TICK);
        let rollout = loop {
            tokio::select! {
                rollout = &mut wait => break rollout?,
                Ok(()) = news.changed() => teller.progressed(&news.borrow_and_update()),
                // Whether it is too soon for a word changes by the mere passing of time.
                _ = tick.tick() => if teller.may_mention() {
                    if !self.desk.alive().await? {
                        return Err(Stopped::Overtaken);
                    }
                    teller.mention(State::Deploying).await;
                }
            }
        };
        teller.progressed(&rollout.workloads);
        for warning in rollout.warnings {
            teller.warn(warning);
        }
        match rollout.verdict {
            Verdict::Ready => Ok(()),
            Verdict::Failed(causes) | Verdict::TimedOut(causes) => Err(Stopped::Failed(Failure {
                blame: Blame::Yours,
                causes,
            })),
            Verdict::Stopped => Err(Stopped::Cancelled),
        }
    }

    /// Asks the public addresses until they answer.
    pub(in crate::pipeline) async fn healthy(
        &self,
        urls: &[PublicUrl],
        teller: &mut Teller<'_>,
    ) -> Result<(), Stopped> {
        if self.ports.settings.health == HealthMode::Off {
            return Ok(());
        }
        let probes = urls
            .iter()
            .map(|url| ask::ask(self.ports, url, self.deadline));
        let mut causes = Vec::new();
        for answer in futures::future::join_all(probes).await {
            match answer {
                Answer::Healthy => {}
                Answer::Warning(text) => teller.warn(text),
                Answer::Failed(cause) => causes.push(*cause),
            }
        }
        if causes.is_empty() {
            return Ok(());
        }
        Err(Stopped::Failed(Failure {
            blame: Blame::Yours,
            causes,
        }))
    }
}

impl Work<'_> {
    /// Begins to ask which commits the images of mutable tags are of; dropping what comes back ends it.
    pub(super) fn ask_revisions(&self, plan: &Plan) -> JoinSet<BTreeMap<String, CommitSha>> {
        let images = plan.services.iter().filter(|service| service.mutable_tag);
        let images = images.map(|service| service.image.clone()).collect();
        let credentials = lock(&self.notes).credentials.clone();
        let options = self.ports.registries();
        let mut asking = JoinSet::new();
        asking.spawn(registry::revisions(images, credentials, options));
        asking
    }

    /// Services whose image says that it is of another commit; an image that does not say or cannot be asked is none.
    pub(super) async fn other_revisions(
        &self,
        plan: &Plan,
        mut asking: JoinSet<BTreeMap<String, CommitSha>>,
    ) -> Vec<(String, CommitSha)> {
        let known = asking
            .join_next()
            .await
            .and_then(Result::ok)
            .unwrap_or_default();
        let mutable = plan.services.iter().filter(|service| service.mutable_tag);
        let other = mutable.filter_map(|service| {
            let revision = known.get(&service.image)?;
            (*revision != self.request.sha).then(|| (service.name.to_string(), revision.clone()))
        });
        other.collect()
    }
}
