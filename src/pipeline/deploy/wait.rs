//! Waits for what was applied: every workload, then every public address.
//! It applies nothing and decides nothing about a failure but that it is one.
//! People see progress meanwhile, at most every few seconds and only when the comment would say something new.

use super::{Stopped, TICK, Work, lock};
use crate::{
    cluster::outcome::{Applied, Verdict, WorkloadStatus},
    inputs::HealthMode,
    names::{CommitSha, State},
    pipeline::{
        Blame, Failure,
        ask::{self, Answer},
        teller::Teller,
    },
    plan::Plan,
    registry,
};
use tokio::time::Instant;

impl Work<'_> {
    /// Waits until every workload is ready, telling people about it.
    pub(super) async fn ready(
        &self,
        plan: &Plan,
        applied: &[Applied],
        deadline: Instant,
        teller: &mut Teller<'_>,
    ) -> Result<(), Stopped> {
        let (seen, mut news) = tokio::sync::watch::channel(Vec::new());
        let mut on_progress = |workloads: &[WorkloadStatus]| {
            seen.send_replace(workloads.to_vec());
        };
        let wait = self.cluster.wait_until_ready(
            &plan.namespace,
            applied,
            deadline,
            &self.ports.stop,
            &mut on_progress,
        );
        tokio::pin!(wait);
        let mut tick = tokio::time::interval(TICK);
        let rollout = loop {
            tokio::select! {
                rollout = &mut wait => break rollout?,
                Ok(()) = news.changed() => teller.progressed(&news.borrow_and_update()),
                _ = tick.tick(), if teller.has_news() => {
                    if !self.desk.alive().await? {
                        return Err(Stopped::Superseded);
                    }
                    // The last word meets the same fault if it lasts; the preview itself is none the worse for it.
                    if let Err(failure) = teller.tell(State::Deploying).await {
                        tracing::warn!(reason = %failure.reason(), "the comment lags behind: {}", failure.line());
                    }
                }
            }
        };
        teller.progressed(&rollout.workloads);
        match rollout.verdict {
            Verdict::Ready => Ok(()),
            Verdict::Failed(causes) | Verdict::TimedOut(causes) => Err(Stopped::Failed(Failure {
                blame: Blame::Yours,
                causes,
            })),
            Verdict::Stopped => Err(Stopped::Cancelled),
        }
    }

    /// Services whose image says that it is of another commit; an image that does not say or cannot be asked is none.
    pub(super) async fn revisions(&self, plan: &Plan) -> Vec<(String, CommitSha)> {
        let credentials = lock(&self.credentials).clone();
        let asked = plan.services.iter().filter(|service| service.mutable_tag).map(|service| {
            let credentials = credentials.clone();
            async move {
                match registry::revision(&service.image, credentials.as_ref(), self.ports.extra_ca()).await {
                    Ok(revision) => Some((service.name.to_string(), revision.filter(|revision| *revision != self.request.sha)?)),
                    Err(error) => {
                        tracing::debug!(service = %service.name, "the image's commit is not known: {error}");
                        None
                    }
                }
            }
        });
        futures::future::join_all(asked)
            .await
            .into_iter()
            .flatten()
            .collect()
    }

    /// Asks the public addresses until they answer.
    pub(super) async fn healthy(
        &self,
        plan: &Plan,
        deadline: Instant,
        teller: &mut Teller<'_>,
    ) -> Result<(), Stopped> {
        if self.ports.settings.health == HealthMode::Off {
            return Ok(());
        }
        let probes = plan
            .urls
            .iter()
            .map(|url| ask::ask(self.ports, url, deadline));
        let mut causes = Vec::new();
        for answer in futures::future::join_all(probes).await {
            match answer {
                Answer::Healthy => {}
                Answer::Warning(text) => teller.warn(text),
                Answer::Failed(cause) => causes.push(*cause),
            }
        }
        if causes.is_empty() {
            Ok(())
        } else {
            Err(Stopped::Failed(Failure {
                blame: Blame::Yours,
                causes,
            }))
        }
    }
}
