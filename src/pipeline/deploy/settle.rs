//! Ends a deploy: the last word in the comment, the outcome in the ledger, the state on the Namespace.
//! It changes no workload.
//! Every path comes through here, also a cancelled one; the turn ends after the comment, so that no newer run is spoken over.

use super::{Done, Stopped, Work, lock};
use crate::{
    capacity::{self, Holder, Ledger, Record},
    cluster::LastFailure,
    manifests,
    metrics::Action,
    names::{ReasonCode, State},
    pipeline::{
        Blame, Ending, Failure, desk, heap::heap, metrics, restore, show::announced, teller::Teller,
    },
    report::Aftermath,
};
use std::{sync::atomic::Ordering, time::Duration};

/// What a cancelled run spends on its comment at most, so that time is left for the ledger.
const WORD: Duration = Duration::from_secs(2);

/// What becomes of a place in line when a deploy ends without a slot.
#[derive(Clone, Copy)]
pub(in crate::pipeline) enum InLine {
    Stays,
    /// What only an operator can mend comes back by itself then, and nobody waits behind it until then.
    Back,
    /// Its comment names this place now.
    Told(usize),
    /// What cannot be deployed as it is must not keep others waiting; a push or `/deploy` begins anew.
    Leaves,
}

impl InLine {
    pub(in crate::pipeline) fn after(failure: &Failure) -> Self {
        match failure.blame {
            Blame::Theirs if failure.reason() == ReasonCode::NamespaceTerminating => Self::Back,
            Blame::Theirs => Self::Stays,
            _ => Self::Leaves,
        }
    }

    pub(in crate::pipeline) fn note(self, ledger: &mut Ledger, key: &str) {
        match self {
            Self::Stays => {}
            Self::Back => {
                capacity::step_back(ledger, key);
            }
            Self::Leaves => {
                capacity::leave(ledger, key);
            }
            Self::Told(place) => {
                let waiting = ledger.queue.iter_mut().find(|one| one.key == key);
                if let Some(waiting) = waiting {
                    waiting.told = place;
                }
            }
        }
    }
}

impl Work<'_> {
    /// Says the last word and ends the turn, unless a newer run has the word.
    pub(super) async fn settle(
        &self,
        result: Result<Done, Stopped>,
        teller: &mut Teller<'_>,
    ) -> Ending {
        let began = self.began.load(Ordering::Relaxed);
        let result = result.map_err(|stopped| self.stalled(stopped));
        let state = match &result {
            Ok(_) | Err(Stopped::Held) => State::Ready,
            Err(Stopped::Failed(_)) => State::Failed,
            Err(Stopped::Stalled(_)) => State::Pending,
            Err(Stopped::Superseded(_) | Stopped::Overtaken | Stopped::OtherSlot(_)) => {
                State::Superseded
            }
            Err(Stopped::Full(house)) if house.place.is_some() => State::Queued,
            Err(Stopped::Full(_)) => State::Refused,
            Err(Stopped::RemovedOnPurpose) => State::Removed,
            Err(Stopped::Unapproved) => State::ApprovalNeeded,
            Err(Stopped::Cancelled) => State::Cancelled,
        };
        let url = result.as_ref().ok().map(|done| done.url.clone());
        let line = match &result {
            Err(Stopped::Full(house)) => match house.place {
                Some(place) => InLine::Told(place),
                // Who is refused waits for nothing, even if it did so under other settings.
                None => InLine::Leaves,
            },
            Err(Stopped::Failed(failure)) => InLine::after(failure),
            Err(Stopped::RemovedOnPurpose | Stopped::Unapproved) => InLine::Leaves,
            _ => InLine::Stays,
        };
        if let Err(Stopped::Failed(failure)) = &result {
            lock(&self.notes).github_failed = failure.is_of_github();
        }
        let cancelled = Ending::cancelled();
        match (&result, began) {
            // The ledger has just failed, and there is no turn to end.
            (Err(Stopped::Failed(_)), false) => return heap(|| self.speak(result, teller)).await,
            (Err(Stopped::Overtaken), false) => return Ending::superseded(),
            // Without a turn the word is ours only if nobody came after us.
            (Err(Stopped::Cancelled), false) => {
                return match heap(|| self.end_turn(state, None, line, &cancelled)).await {
                    Ok(false) => Ending::cancelled(),
                    _ => heap(|| self.speak(result, teller)).await,
                };
            }
            _ => {}
        }
        let overtaken = matches!(result, Err(Stopped::Overtaken)) || self.mute(teller).await;
        lock(&self.notes).silent = matches!(result, Err(Stopped::Held | Stopped::Unapproved));
        let ending = match overtaken {
            true => {
                // The newer run has the same routes, and looks itself.
                self.settled();
                // Who is out of touch may speak over the newer run, which has the same commit perhaps.
                if !self.desk.out_of_touch() {
                    teller.gives_way().await;
                }
                Ending::superseded()
            }
            false if state == State::Cancelled => {
                tokio::time::timeout(WORD, heap(|| self.speak(result, teller)))
                    .await
                    .unwrap_or_else(|_| Ending::cancelled())
            }
            false => heap(|| self.speak(result, teller)).await,
        };
        let untold = teller.unheard();
        {
            let mut notes = lock(&self.notes);
            notes.untold = untold;
            notes.comment = teller.said_in();
            notes.shown = (began && !overtaken).then(|| teller.shown().clone());
            notes.ended = teller.ended(announced(self.ports, &self.request.sha));
        }
        let line = match line {
            InLine::Told(_) if untold => InLine::Stays,
            line => line,
        };
        let (ended, ()) = tokio::join!(
            heap(|| self.end_turn(state, url.as_deref(), line, &ending)),
            metrics::leave(
                self.ports,
                self.request.repository.id,
                self.record(),
                state,
                &ending
            )
        );
        match ended {
            Ok(false) if state == State::Cancelled => Ending::cancelled(),
            Ok(false) => Ending::superseded(),
            Ok(true) => ending,
            Err(failure) => {
                tracing::warn!(reason = %failure.reason(), "could not end the turn: {}", failure.line());
                ending
            }
        }
    }

    /// A deploy that GitHub was in the way of has not failed while nothing was tried.
    fn stalled(&self, stopped: Stopped) -> Stopped {
        match stopped {
            Stopped::Failed(failure)
                if failure.is_of_github() && lock(&self.notes).touched.is_none() =>
            {
                Stopped::Stalled(failure)
            }
            other => other,
        }
    }

    /// What the run's record says of it.
    fn record(&self) -> metrics::Run {
        let notes = lock(&self.notes);
        let waited = notes
            .waiting
            .map(|since| self.ports.now().duration_since(since));
        metrics::Run {
            pr: self.request.pr,
            action: Action::Deploy,
            sha: Some(self.request.sha.clone()),
            first: notes.first,
            took: self.started.elapsed(),
            waited: waited
                .and_then(|waited| waited.try_into().ok())
                .unwrap_or_default(),
        }
    }

    /// True when this run cannot know that the word is still its own, and somebody else has written the comment.
    async fn mute(&self, teller: &Teller<'_>) -> bool {
        if !self.desk.out_of_touch() {
            return false;
        }
        match self.desk.alive().await {
            Ok(newest) => !newest,
            Err(failure) => {
                tracing::warn!(reason = %failure.reason(), "the ledger does not say who is newest: {}", failure.line());
                teller.overwritten().await
            }
        }
    }

    async fn speak(&self, result: Result<Done, Stopped>, teller: &mut Teller<'_>) -> Ending {
        match result {
            Ok(done) => teller.ready(done.unchanged).await,
            Err(Stopped::Failed(failure)) => teller.failed(failure).await,
            Err(Stopped::Stalled(failure)) => teller.stalled(failure).await,
            Err(Stopped::Superseded(newer)) => teller.superseded(newer).await,
            Err(Stopped::Overtaken | Stopped::OtherSlot(_)) => teller.superseded(None).await,
            Err(Stopped::Full(house)) => teller.full(*house).await,
            Err(Stopped::RemovedOnPurpose) => teller.stays_removed().await,
            Err(Stopped::Held) => Teller::held(),
            Err(Stopped::Unapproved) => Teller::unapproved(),
            Err(Stopped::Cancelled) => teller.cancelled().await,
        }
    }

    async fn end_turn(
        &self,
        state: State,
        url: Option<&str>,
        line: InLine,
        ending: &Ending,
    ) -> Result<bool, Failure> {
        let ended = async {
            // While the turn is ours still: the next run's routes have the same names.
            self.loses().await;
            let (finish, mark) = (self.finish(state, url, line), self.mark(state, url));
            tokio::join!(finish, mark, self.remember(state, ending)).0
        };
        desk::release(&self.ports.stop, ended).await
    }

    async fn finish(&self, state: State, url: Option<&str>, line: InLine) -> Result<bool, Failure> {
        // A commit that was overtaken or never begun counts as not attempted, and so does one that GitHub was in the way of.
        let failed = state == State::Failed && !lock(&self.notes).github_failed;
        let attempted = (failed || url.is_some()).then(|| (self.request.sha.clone(), state));
        let tried = attempted.is_some();
        let stalled = state == State::Pending;
        let (spot, members, hosts, ended) = {
            let notes = lock(&self.notes);
            let hosts = notes.contest.as_ref().map(|one| one.wanted.hosts.clone());
            let (spot, members) = (notes.spot.clone(), notes.members.clone());
            (spot, members, hosts, notes.ended.clone())
        };
        self.desk
            .finish_shown(attempted, &ended, |ledger, key, run| {
                // A holder from before this run is confirmed, and stays.
                if spot.is_none() {
                    capacity::withdraw(ledger, key, run);
                    line.note(ledger, key);
                }
                if let Some(record) = ledger.previews.get_mut(key) {
                    if !lock(&self.notes).silent {
                        record.stalled = stalled.then(|| self.request.sha.clone());
                    }
                    self.note(record, tried, url.is_some());
                    // Nothing of it is deployed and it waits for nothing, so it holds nothing back either.
                    if state == State::Refused && self.request.holds().is_some() {
                        lock(&self.notes).unnamed.restore(record);
                    }
                }
                let holder = |holder: &&mut Holder| holder.key == key;
                let Some(holder) = ledger.holders.iter_mut().find(holder) else {
                    return;
                };
                if let Some(url) = url {
                    url.clone_into(&mut holder.url);
                    holder.hosts = hosts.clone().unwrap_or_default();
                }
                let ours = spot.as_ref().map(|spot| &spot.uid) == holder.uid.as_ref();
                if ours && members.is_some() {
                    holder.members.clone_from(&members);
                }
            })
            .await
    }

    /// What the ledger must know of a deploy for the runs to come.
    fn note(&self, record: &mut Record, tried: bool, done: bool) {
        let notes = lock(&self.notes);
        // Who says nothing has not said what an earlier run could not say.
        let untold = notes.untold || (notes.silent && record.untold);
        record.leaves_untold(untold);
        if let Some(shown) = &notes.shown {
            record.shown.clone_from(shown);
        }
        if notes.comment.is_some() {
            record.comment.clone_from(&notes.comment);
        }
        if tried {
            record.held = self.request.holds().cloned();
        }
        if done {
            record.removed_on_purpose = false;
            record.removing = None;
        }
        if notes.spot.is_some() {
            record.expired = false;
        }
        if notes.awake {
            record.asleep = None;
        }
        if let Some(marks) = &notes.marks {
            record.good.clone_from(&marks.good);
            record.before.clone_from(&marks.before);
        }
        match &notes.aftermath {
            Some(Aftermath::Restored) => record.serving.clone_from(&notes.restored),
            Some(Aftermath::Removed) => {
                record.serving = None;
                record.good = None;
                record.before = None;
                record.bury();
            }
            Some(Aftermath::NotRestored { .. }) => record.serving = None,
            Some(Aftermath::Stays) if !notes.old_serves => record.serving = None,
            _ => {}
        }
    }

    /// Keeps in the preview why it failed, or deletes what an earlier run kept; a preview that is gone keeps nothing.
    async fn remember(&self, state: State, ending: &Ending) {
        let (spot, aftermath, before) = {
            let notes = lock(&self.notes);
            (
                notes.spot.clone(),
                notes.aftermath.clone(),
                notes.before.clone(),
            )
        };
        let Some(spot) = spot.filter(|_| aftermath != Some(Aftermath::Removed)) else {
            return;
        };
        let namespace = &spot.plan.namespace;
        let kept = match (&ending.failure, state) {
            (Some(failure), State::Failed) => {
                let redaction = &self.ports.redaction;
                let failure = LastFailure::of(
                    self.request.sha.clone(),
                    self.ports.now(),
                    &failure.causes,
                    |text| redaction.redact(text),
                );
                self.cluster.keep_failure(namespace, &failure).await
            }
            (_, State::Ready) => self.cluster.forget_failure(namespace, &before).await,
            _ => return,
        };
        if let Err(error) = kept {
            tracing::warn!("why the last deploy failed is not kept up to date: {error}");
        }
    }

    /// Writes the state onto the Namespace, for lists that have no ledger; a lost label is repaired by the next run.
    async fn mark(&self, state: State, url: Option<&str>) {
        let (spot, aftermath, restored) = {
            let notes = lock(&self.notes);
            (
                notes.spot.clone(),
                notes.aftermath.clone(),
                notes.restored.clone(),
            )
        };
        let Some(spot) = spot.filter(|_| state == State::Failed || url.is_some()) else {
            return;
        };
        if aftermath == Some(Aftermath::Removed) {
            return;
        }
        let state = if restored.is_some() {
            State::Ready
        } else {
            state
        };
        if restored.is_none() && state == spot.says {
            return;
        }
        let mut object = manifests::namespace(&spot.plan, spot.slot, state, Some(&spot.uid));
        if let Some(sha) = &restored {
            object = restore::marked(object, sha);
        }
        if let Err(error) = self.cluster.apply_namespace(&object).await {
            tracing::warn!(
                "could not write the state onto namespace {}: {error}",
                spot.plan.namespace
            );
        }
    }
}
