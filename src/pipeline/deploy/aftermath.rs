//! Decides and does what becomes of a live preview whose update failed: restored, kept as it is, or removed.
//! It comes after the evidence was gathered, and what it says about the preview must be true afterwards.
//! A first deploy is left as it is: its failure is all that there is to look at.

use super::{Stopped, Waiting, Work, lock};
use crate::{
    capacity::Record,
    cluster::{LastGood, NamespaceInfo},
    inputs::OnFailedUpdate,
    names::{ReasonCode, State},
    pipeline::{
        Failure, delete,
        desk::Taken,
        remove::{self, Away},
        restore,
        teller::Teller,
    },
    report::Aftermath,
};
use tokio::time::Instant;

impl Work<'_> {
    /// Sees to a preview after its deploy failed; what it came to is kept for the last word.
    pub(super) async fn see_to(
        &self,
        taken: &Taken,
        failure: Failure,
        teller: &mut Teller<'_>,
    ) -> Stopped {
        let Some(spot) = lock(&self.notes).spot.clone() else {
            return Stopped::Failed(failure);
        };
        let Some(applied) = lock(&self.notes).touched.clone() else {
            return Stopped::Failed(failure);
        };
        if spot.fresh || !was_live(&taken.record) {
            teller.after(Aftermath::First);
            return Stopped::Failed(failure);
        }
        match self.desk.alive().await {
            Ok(true) => {}
            Ok(false) => return Stopped::Overtaken,
            Err(error) => {
                tracing::warn!(reason = %error.reason(), "the preview stays as the failure left it: {}", error.line());
                self.set_aftermath(Aftermath::Stays, teller);
                return Stopped::Failed(failure);
            }
        }
        teller.failing(&failure);
        let aftermath = match self.ports.settings.on_failed_update {
            OnFailedUpdate::Keep => self.stays(&spot, &applied, teller).await,
            OnFailedUpdate::Remove => self.removed(&spot, teller).await,
            OnFailedUpdate::Restore => match self.good(taken, &spot.plan.namespace).await {
                None => self.stays(&spot, &applied, teller).await,
                Some(Err(problem)) => not_restored(&taken.record, &problem),
                Some(Ok(good)) => match self.restored(&spot, &good, teller).await {
                    Ok(()) => {
                        lock(&self.notes).restored = Some(good.sha.clone());
                        teller.serves(Some(good.sha));
                        teller.runs(&good.images);
                        Aftermath::Restored
                    }
                    Err(Stopped::Failed(problem)) => not_restored(&taken.record, &problem),
                    Err(other) => return other,
                },
            },
        };
        self.set_aftermath(aftermath, teller);
        Stopped::Failed(failure)
    }

    fn set_aftermath(&self, aftermath: Aftermath, teller: &mut Teller<'_>) {
        if matches!(
            aftermath,
            Aftermath::NotRestored { .. } | Aftermath::Removed
        ) {
            teller.serves(None);
        }
        teller.after(aftermath.clone());
        lock(&self.notes).aftermath = Some(aftermath);
    }

    async fn good(
        &self,
        taken: &Taken,
        namespace: &crate::names::Namespace,
    ) -> Option<Result<LastGood, Failure>> {
        let mark = taken.record.good.as_ref()?;
        Some(restore::kept(self.cluster, namespace, mark).await)
    }

    async fn restored(
        &self,
        spot: &super::Spot,
        good: &LastGood,
        teller: &mut Teller<'_>,
    ) -> Result<(), Stopped> {
        tracing::info!(sha = %good.sha, "the update failed; bringing the last good commit back");
        teller.after(Aftermath::Restoring {
            good: good.sha.clone(),
        });
        teller.mention(State::Deploying).await;
        let waiting = Waiting {
            deadline: Instant::now() + self.ports.settings.timeout,
            ..self.waiting(Instant::now())
        };
        restore::bring_back(waiting, &spot.plan.namespace, good, teller).await?;
        teller.stage("restore");
        Ok(())
    }

    /// Leaves everything as it is, and finds out whether the commit before is still served.
    async fn stays(
        &self,
        spot: &super::Spot,
        applied: &[crate::cluster::outcome::Applied],
        teller: &mut Teller<'_>,
    ) -> Aftermath {
        let before = std::mem::take(&mut lock(&self.notes).before);
        let serves = self
            .cluster
            .old_serves(&spot.plan.namespace, applied, &before)
            .await
            .unwrap_or_else(|error| {
                tracing::warn!(%error, "could not see what is still served");
                false
            });
        lock(&self.notes).old_serves = serves;
        if !serves {
            teller.serves(None);
        }
        Aftermath::Stays
    }

    async fn removed(&self, spot: &super::Spot, teller: &mut Teller<'_>) -> Aftermath {
        match self.away(spot).await {
            Ok(true) => {
                teller.gone();
                return Aftermath::Removed;
            }
            Ok(false) => {}
            Err(problem) => {
                tracing::error!(reason = %problem.reason(), "could not remove the preview: {}", problem.line());
                teller.doubt(&problem);
            }
        }
        teller.serves(None);
        Aftermath::Stays
    }

    /// Takes the preview away; false when somebody else has changed or stopped that.
    async fn away(&self, spot: &super::Spot) -> Result<bool, Failure> {
        let name = &spot.plan.namespace;
        let ours = |found: &NamespaceInfo| found.uid == spot.uid && self.desk.owns(found);
        let found = self.cluster.namespace(name).await?;
        if let Some(found) = found.as_ref().filter(|found| found.uid == spot.uid) {
            self.desk.recognises(found)?;
        }
        let Some(found) = found.filter(ours) else {
            self.desk.free(std::slice::from_ref(&spot.uid)).await?;
            return Ok(true);
        };
        match remove::away(self.ports, self.desk, &found, &[], ours).await? {
            Away::Gone(_) => Ok(true),
            Away::Spared | Away::Stopped => Ok(false),
            Away::Stuck { after, by } => {
                Err(delete::stuck(ReasonCode::RemovalStuck, name, after, &by))
            }
        }
    }
}

/// True when the preview served something before this run.
fn was_live(record: &Record) -> bool {
    record.good.is_some() || record.serving.is_some()
}

fn not_restored(record: &Record, problem: &Failure) -> Aftermath {
    let (cause, remedy) = problem.causes.first().map_or_else(
        || (String::new(), String::new()),
        |first| (first.cause.clone(), first.remedy.clone()),
    );
    match &record.good {
        Some(mark) => Aftermath::NotRestored {
            good: mark.sha.clone(),
            cause,
            remedy,
        },
        None => Aftermath::Stays,
    }
}
