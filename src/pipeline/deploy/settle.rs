//! Ends a deploy: the last word in the comment, the outcome in the ledger, the state on the Namespace.
//! It changes no workload.
//! Every path comes through here, also a cancelled one, so that no comment stays at "deploying".

use super::{Done, Stopped, Work, lock};
use crate::{
    capacity, manifests,
    names::State,
    pipeline::{Ending, Failure, desk, teller::Teller},
};
use std::sync::atomic::Ordering;

impl Work<'_> {
    /// Ends the turn and says the last word, unless a newer run has the word.
    pub(super) async fn settle(
        &self,
        result: Result<Done, Stopped>,
        teller: &mut Teller<'_>,
    ) -> Ending {
        let state = match &result {
            Ok(_) => State::Ready,
            Err(Stopped::Failed(_)) => State::Failed,
            Err(Stopped::Superseded) => State::Superseded,
            Err(Stopped::Full { .. }) => State::Refused,
            Err(Stopped::RemovedOnPurpose) => State::Removed,
            Err(Stopped::Cancelled) => State::Cancelled,
        };
        let ended = async {
            if state == State::Failed && !self.began.load(Ordering::Relaxed) {
                // The ledger has just failed, and there is no turn to end.
                return Ok(true);
            }
            tokio::join!(self.finish(state, result.as_ref().ok()), self.mark(state)).0
        };
        let newest = match desk::release(&self.ports.stop, ended).await {
            Ok(newest) => newest,
            // Without the ledger nobody can say who is newest; saying nothing would leave the comment untrue for certain.
            Err(failure) => {
                tracing::warn!(reason = %failure.reason(), "could not end the turn: {}", failure.line());
                true
            }
        };
        if !newest {
            return Ending::superseded();
        }
        match result {
            Ok(done) => teller.ready(done.unchanged).await,
            Err(Stopped::Failed(failure)) => teller.failed(failure).await,
            Err(Stopped::Superseded) => teller.superseded().await,
            Err(Stopped::Full { holders, capacity }) => teller.refused(&holders, capacity).await,
            Err(Stopped::RemovedOnPurpose) => teller.stays_removed().await,
            Err(Stopped::Cancelled) => teller.cancelled().await,
        }
    }

    pub(super) async fn finish(&self, state: State, done: Option<&Done>) -> Result<bool, Failure> {
        // A commit that was overtaken or never begun counts as not attempted.
        let attempted = matches!(state, State::Ready | State::Failed)
            .then(|| (self.request.sha.clone(), state));
        let placed = lock(&self.spot).is_some();
        self.desk
            .finish(attempted, |ledger, key, run| {
                if !placed {
                    capacity::withdraw(ledger, key, run);
                }
                if let Some(record) = ledger.previews.get_mut(key)
                    && done.is_some()
                {
                    record.removed_on_purpose = false;
                }
                if let Some(done) = done
                    && let Some(holder) = ledger.holders.iter_mut().find(|holder| holder.key == key)
                {
                    holder.url.clone_from(&done.url);
                }
            })
            .await
    }

    /// Writes the state onto the Namespace, for lists that have no ledger; a lost label is repaired by the next run.
    pub(super) async fn mark(&self, state: State) {
        let spot = lock(&self.spot).clone();
        if let Some(spot) = spot
            && matches!(state, State::Ready | State::Failed)
        {
            let object = manifests::namespace(&spot.plan, spot.slot, state, Some(&spot.uid));
            if let Err(error) = self.cluster.apply_namespace(&object).await {
                tracing::warn!(
                    "could not write the state onto namespace {}: {error}",
                    spot.plan.namespace
                );
            }
        }
    }
}
