//! One preview's business with the ledger: its turn, its slot, the Namespace that is bound to it, its last word.
//! It applies no workload and writes no comment.
//! All waiting and re-reading around the pure steps of `capacity` stands here, so that the steps stay provable.

mod approval;
mod cap;
mod house;
mod place;
mod rebuild;
mod rest;

pub(super) use cap::keep_cap;
pub(super) use house::{House, Lodger, held_by, rooms};
pub(super) use rebuild::{anew, begin, is_labelled_asleep, mend, owned_by_label};

use super::{Adopted, DeployRequest, Failure, Ports, life::Home};
use crate::{
    capacity::{
        self, Asleep, Attempt, Holder, Ledger, LedgerName, Owned, Record, Removing, RunId, Turn,
        UnderWay,
    },
    cluster::{Cluster, ClusterError, Existing, Moment, Step},
    names::{CommitSha, Namespace, PreviewKey, ReasonCode, State},
};
use std::{convert::Infallible, sync::PoisonError, time::Duration};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

/// How often a newer run looks whether the older one has stopped.
const TURN_POLL: Duration = Duration::from_millis(500);

/// How often a run gives a sign of life; a third of what it is declared dead after.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// What a cancelled run spends on the ledger at most, so that time is left for the comment.
const RELEASE: Duration = Duration::from_secs(2);

/// One preview's business with the ledger.
pub(super) struct Desk<'a> {
    cluster: &'a Cluster,
    ports: &'a Ports,
    ledger: LedgerName,
    preview: PreviewKey,
    key: String,
    /// True in runs that the default branch's workflow governs: only they change the cap of an existing ledger.
    governs: bool,
    /// The preview's sequence as it was when somebody decided what to do: whoever began since then knows better.
    seen: Option<u64>,
    /// When the ledger answered last.
    touched: std::sync::Mutex<Instant>,
}

/// How a run asks for its turn.
#[derive(Debug, Clone, Default)]
pub(super) struct Asking {
    /// What somebody decided about the preview, recorded with the turn: a run that overtakes this one keeps to it.
    pub(super) removed_on_purpose: Option<bool>,
    /// The newest commit, where somebody asks for another one by its name.
    pub(super) holds: Option<CommitSha>,
    /// When somebody gave the command, or pushed, where that is known.
    pub(super) at: Option<jiff::Timestamp>,
    /// Whether somebody asks for this deploy by command; none when that stays what it was.
    pub(super) by_command: Option<bool>,
    /// What the turn means for a removal that was begun.
    pub(super) removal: Begun,
    /// True when a run that is at work goes first.
    pub(super) yields: bool,
    /// True when what the Namespace holds is read while the turn is being taken.
    pub(super) looks_ahead: bool,
    /// True when there is only something to do while the preview waits in line.
    pub(super) from_queue: bool,
    /// True when somebody uses the preview by this: it lives on from now.
    pub(super) used: bool,
    /// What GitHub shows as under way from now on.
    pub(super) shows: Option<UnderWay>,
}

/// A look into a preview's Namespace that is under way; dropping it ends its requests.
#[derive(Debug, Default)]
pub(super) struct Ahead(JoinSet<Result<Option<Existing>, ClusterError>>);

impl Ahead {
    /// Begins to look into a Namespace that a deploy has ended in before.
    fn begin(cluster: &Cluster, holder: Option<&Holder>) -> Self {
        let mut ahead = Self::default();
        if let Some(holder) = holder.filter(|holder| holder.uid.is_some())
            && let Some(members) = holder.members.clone()
        {
            let (cluster, namespace) = (cluster.clone(), holder.namespace.clone());
            ahead
                .0
                .spawn(async move { cluster.existing_members(&namespace, &members).await });
        }
        ahead
    }

    /// What was seen; none when nothing is known there, or the look did not succeed: then everything is asked in its order.
    pub(super) async fn seen(mut self) -> Option<Existing> {
        match self.0.join_next().await? {
            Ok(Ok(seen)) => seen,
            Ok(Err(error)) => {
                tracing::debug!(%error, "the look ahead showed nothing");
                None
            }
            Err(error) => {
                tracing::debug!(%error, "the look ahead was given up");
                None
            }
        }
    }
}

/// What a turn means for a removal that was begun and not yet told of.
#[derive(Debug, Clone, Default)]
pub(super) enum Begun {
    /// Nothing.
    #[default]
    Stands,
    /// The turn is for this one.
    Now(Removing),
    /// The preview is wanted again, unless somebody removed it on purpose.
    Revoked,
}

impl Asking {
    /// True for what comes by itself while somebody has asked for another commit instead.
    fn is_held(&self, record: &Record) -> bool {
        let mut shown = self.shows.iter();
        self.by_command == Some(false) && shown.any(|one| record.holds_back(&one.sha, self.at))
    }

    /// True for a command that names another commit than the one that was pushed after it.
    fn comes_late(&self, record: &Record) -> bool {
        self.holds.is_some() && record.was_pushed_after(self.at)
    }

    fn note(&self, record: &mut Record, turn: &Turn, stands: bool, now: jiff::Timestamp) {
        if let Some(removed) = self.removed_on_purpose {
            record.removed_on_purpose = removed;
            // Who asks for the preview ends a hold as well.
            record.held.clone_from(&self.holds);
            record.named_at = self.at.filter(|_| self.holds.is_some());
        }
        // What was asked for before is what a place in line is for still; another commit's turn ends the hold.
        let stays = stands && self.is_held(record);
        let shown = self.shows.as_ref().map(|shows| &shows.sha);
        let pushed = self.at.filter(|_| self.by_command == Some(false));
        if shown.is_some() && (record.held.as_ref() != shown || record.ends_hold(pushed)) {
            record.held.clone_from(&self.holds);
        }
        record.pushed_at = record.pushed_at.max(pushed);
        if let Some(by_command) = self.by_command.filter(|_| !stays) {
            record.by_command = by_command;
        }
        if let (Some(shows), Turn::Ours(_) | Turn::After(_), false) = (&self.shows, turn, stays) {
            record.due = Some(shows.sha.clone());
        }
        // What waits for its turn has not begun yet.
        if !matches!(turn, Turn::Ours(_)) {
            return;
        }
        record.spoken_over = false;
        if self.used {
            record.last_activity = Some(now);
        }
        if let Some(shows) = &self.shows {
            record.shown.begin(shows.clone());
        }
        match &self.removal {
            Begun::Now(removing) => record.removing = Some(removing.clone()),
            Begun::Revoked if !record.removed_on_purpose => record.removing = None,
            Begun::Revoked | Begun::Stands => {}
        }
    }
}

/// What the turn found.
#[derive(Debug)]
pub(super) struct Taken {
    /// Holder of this preview's slot, if it has one.
    pub(super) holder: Option<Holder>,
    /// What was known of it before.
    pub(super) record: Record,
    /// Cap.
    pub(super) capacity: u32,
    /// What the Namespace holds, as seen while nobody else had the turn.
    pub(super) ahead: Ahead,
    /// Since when it has waited in line, if it has.
    pub(super) waiting: Option<jiff::Timestamp>,
    /// The slot that it has, or would have now.
    pub(super) slot: u32,
    /// The server's time.
    pub(super) now: jiff::Timestamp,
    /// True when another run was at work, or waited, and has stopped for this one.
    pub(super) after_another: bool,
    /// What was wanted before this run asked for its turn.
    pub(super) unnamed: Named,
}

/// What the ledger knows of the commit that somebody has named.
#[derive(Debug, Clone, Default)]
pub(super) struct Named {
    held: Option<CommitSha>,
    due: Option<CommitSha>,
    at: Option<jiff::Timestamp>,
}

impl Named {
    fn of(record: &Record) -> Self {
        Self {
            held: record.held.clone(),
            due: record.due.clone(),
            at: record.named_at,
        }
    }

    /// Takes back what was named since.
    pub(super) fn restore(&self, record: &mut Record) {
        record.held.clone_from(&self.held);
        record.due.clone_from(&self.due);
        record.named_at = self.at;
    }
}

impl Taken {
    /// Its Namespace, if it has one.
    pub(super) fn home(&self) -> Option<Home> {
        let sleeps = || self.record.asleep.as_ref().map(Asleep::home);
        self.holder.as_ref().and_then(Holder::home).or_else(sleeps)
    }
}

/// Where a preview may live.
#[derive(Debug)]
pub(super) enum Place {
    /// In this slot, in the Namespace with this UID.
    Ours {
        /// Slot, from 1.
        slot: u32,
        /// UID of the Namespace.
        uid: String,
        /// True when this run created it.
        fresh: bool,
    },
    /// In this Namespace of another name, which has its slot: two in one slot would be above the cap.
    Elsewhere {
        /// Namespace.
        namespace: Namespace,
        /// UID of the Namespace.
        uid: String,
    },
    /// Nowhere for now.
    Full(House),
    /// That is for a newer run to say.
    Overtaken,
}

impl<'a> Desk<'a> {
    pub(super) fn new(
        ports: &'a Ports,
        cluster: &'a Cluster,
        preview: PreviewKey,
        governs: bool,
    ) -> Self {
        let ledger = ports.ledger(preview.repository);
        Self {
            cluster,
            ports,
            ledger,
            key: preview.in_ledger(),
            preview,
            governs,
            seen: None,
            touched: std::sync::Mutex::new(Instant::now()),
        }
    }

    /// Gives no turn once anybody has begun after this sequence, nor while somebody is at work.
    pub(super) fn unless_after(mut self, sequence: Option<u64>) -> Self {
        self.seen = sequence;
        self
    }

    /// True when somebody decided by a look that may be old.
    pub(super) fn looked_before(&self) -> bool {
        self.seen.is_some()
    }

    /// True when what was decided may not be so any more.
    fn is_outrun(&self, record: &Record, now: jiff::Timestamp) -> bool {
        let ours = record.newest.as_ref() == Some(self.run());
        self.seen
            .is_some_and(|seen| !ours && (record.sequence != seen || record.is_active(now)))
    }

    /// Cap by the settings, for a ledger that has none yet and in runs that may change it.
    fn capacity(&self) -> u32 {
        self.ports.settings.max_previews
    }

    fn run(&self) -> &RunId {
        &self.ports.run
    }

    async fn transact<T: Send>(
        &self,
        mut step: impl FnMut(&mut Ledger, jiff::Timestamp) -> Step<T> + Send,
    ) -> Result<T, Failure> {
        let mut outcome = None;
        let mut step =
            |ledger: &mut Ledger, moment: Moment| step(ledger, moment.now).leaving(&mut outcome);
        self.transacted(&mut step).await?;
        outcome.ok_or_else(Failure::bug)
    }

    /// Runs a step at least once, on a ledger that is begun or mended first where that is needed.
    async fn transacted(
        &self,
        step: &mut (dyn FnMut(&mut Ledger, Moment) -> Step<()> + Send),
    ) -> Result<(), Failure> {
        loop {
            match self.cluster.transact(&self.ledger, &mut *step).await {
                Ok(Some(())) => {
                    *self.touched.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
                    return Ok(());
                }
                Ok(None) => begin(self.ports, self.cluster, &self.ledger).await?,
                Err(ClusterError::LedgerCorrupt { problem, .. }) => {
                    mend(self.ports, self.cluster, &self.ledger, &problem).await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Waits for this preview's turn; `None` when a newer run exists.
    pub(super) async fn take_turn(&self, asking: Asking) -> Result<Option<Taken>, Failure> {
        let (mut waited, mut unnamed) = (false, None);
        loop {
            let (turn, mut taken) = self
                .transact(|ledger, now| {
                    let record = ledger.previews.get(&self.key).cloned().unwrap_or_default();
                    let holder = ledger.holder(&self.key).cloned();
                    let other = record
                        .active
                        .as_ref()
                        .is_some_and(|active| active.run != *self.run());
                    if self.governs {
                        ledger.capacity = self.capacity();
                    }
                    let slot = match (&holder, &record.asleep) {
                        (Some(holder), _) => holder.slot,
                        (None, Some(asleep)) => asleep.slot,
                        (None, None) => capacity::lowest_free_slot(&ledger.holders),
                    };
                    let mut taken = Taken {
                        slot,
                        holder,
                        record,
                        capacity: ledger.capacity,
                        now,
                        ahead: Ahead::default(),
                        after_another: waited,
                        unnamed: Named::default(),
                        waiting: ledger
                            .queue
                            .iter()
                            .find(|waiting| waiting.key == self.key)
                            .map(|waiting| waiting.since),
                    };
                    let gone = (asking.from_queue && !waits(ledger, &self.key, now))
                        || asking.comes_late(&taken.record)
                        || self.is_outrun(&taken.record, now);
                    let yields = asking.yields || asking.is_held(&taken.record);
                    if gone || (yields && other && taken.record.is_active(now)) {
                        return Step::Keep((Turn::Superseded, taken));
                    }
                    // A push does not overrule what somebody asked for; only a later command does, and it says so here.
                    let stands =
                        asking.removed_on_purpose == Some(true) && taken.record.removed_on_purpose;
                    let waited = waited && !stands;
                    let turn = capacity::begin(ledger, &self.key, self.run(), waited, now);
                    if let (Turn::Ours(_) | Turn::After(_), Some(record)) =
                        (&turn, ledger.previews.get_mut(&self.key))
                    {
                        let bound = taken.holder.as_ref().is_some_and(|one| one.uid.is_some());
                        let stands = bound || taken.waiting.is_some() || record.is_named();
                        asking.note(record, &turn, stands, now);
                        taken.record.last_activity = record.last_activity;
                    }
                    // If this write wins, nobody had the turn between the ledger's last version and now.
                    if asking.looks_ahead && matches!(turn, Turn::Ours(_)) {
                        taken.ahead = Ahead::begin(self.cluster, taken.holder.as_ref());
                    }
                    Step::Write((turn, taken))
                })
                .await?;
            unnamed.get_or_insert_with(|| Named::of(&taken.record));
            match turn {
                Turn::Ours(sequence) => {
                    tracing::info!(sequence, "took the turn of this preview");
                    taken.unnamed = unnamed.unwrap_or_default();
                    return Ok(Some(taken));
                }
                Turn::Superseded => return Ok(None),
                Turn::After(other) => {
                    tracing::info!(run = %other.0, "waiting for an older run of this preview to stop");
                    waited = true;
                    sleep(TURN_POLL).await;
                }
            }
        }
    }

    /// What is known of the preview, and its Namespace if it has one; none while nothing is known.
    pub(super) async fn record(&self) -> Result<Option<(Record, Option<Home>)>, Failure> {
        let known = self
            .transact(|ledger, _| {
                let record = ledger.previews.get(&self.key).cloned();
                Step::Keep(record.map(|record| (record, ledger.home(&self.key))))
            })
            .await?;
        Ok(known)
    }

    /// Changes what is known of the preview, whoever is at work on it; what it is then.
    pub(super) async fn change(
        &self,
        mut step: impl FnMut(&mut Record, jiff::Timestamp) + Send,
    ) -> Result<Record, Failure> {
        self.transact(|ledger, now| {
            let record = ledger.previews.entry(self.key.clone()).or_default();
            step(record, now);
            Step::Write(record.clone())
        })
        .await
    }

    /// Gives a sign of life; false when a newer run exists.
    pub(super) async fn alive(&self) -> Result<bool, Failure> {
        self.transact(
            |ledger, now| match capacity::alive(ledger, &self.key, self.run(), now) {
                true => Step::Write(true),
                false => Step::Keep(false),
            },
        )
        .await
    }

    /// True when the ledger has not answered for so long that another run may have the turn.
    pub(super) fn out_of_touch(&self) -> bool {
        let touched = *self.touched.lock().unwrap_or_else(PoisonError::into_inner);
        touched.elapsed() > HEARTBEAT * 2
    }

    /// Gives signs of life until a newer run exists.
    pub(super) async fn lose_turn(&self) {
        loop {
            sleep(HEARTBEAT).await;
            match self.alive().await {
                Ok(true) => {}
                Ok(false) => return,
                // The work itself meets the same fault and words it better; a missed beat alone stops nothing.
                Err(failure) => {
                    tracing::warn!(reason = %failure.reason(), "missed a heart-beat: {}", failure.line())
                }
            }
        }
    }

    /// Awaits what must be ended before anybody else has the turn, and gives signs of life meanwhile, whether or not a newer run waits.
    pub(super) async fn holding<T>(&self, work: impl Future<Output = T>) -> T {
        tokio::select! {
            done = work => done,
            never = self.hold() => match never {},
        }
    }

    async fn hold(&self) -> Infallible {
        loop {
            sleep(HEARTBEAT).await;
            let held = self
                .transact(
                    |ledger, now| match capacity::hold(ledger, &self.key, self.run(), now) {
                        true => Step::Write(()),
                        false => Step::Keep(()),
                    },
                )
                .await;
            if let Err(failure) = held {
                tracing::warn!(reason = %failure.reason(), "missed a heart-beat: {}", failure.line());
            }
        }
    }

    /// Puts this preview first in line because a maintainer makes room for it.
    pub(super) async fn goes_first(&self, request: &DeployRequest) -> Result<(), Failure> {
        self.transact(|ledger, now| {
            let owner = &request.author;
            capacity::put_first(ledger, &self.key, self.preview.pr, owner, now);
            let record = ledger.previews.entry(self.key.clone()).or_default();
            // That is as good as `/deploy`, and what was pushed since is not overruled by it.
            record.removed_on_purpose = false;
            if request.holds().is_some() && record.was_pushed_after(request.at) {
                return Step::Write(());
            }
            record.held = request.holds().cloned();
            record.named_at = request.at;
            record.due = Some(request.sha.clone());
            Step::Write(())
        })
        .await
    }

    /// Gives a Namespace that was there before us a slot; none when the preview has another one.
    pub(super) async fn adopt(
        &self,
        owned: &Owned,
        owner: &str,
    ) -> Result<Option<Adopted>, Failure> {
        self.transact(|ledger, now| {
            let Some(slot) = capacity::adopt(ledger, owned, owner, now) else {
                return Step::Keep(None);
            };
            // Whoever holds a slot has a record, or nobody would ever ask about it.
            let record = ledger.previews.entry(self.key.clone()).or_default();
            record.last_activity = Some(now);
            Step::Write(Some(Adopted {
                namespace: owned.namespace.clone(),
                slot,
                taken: ledger.holders.len(),
                capacity: ledger.capacity,
            }))
        })
        .await
    }

    /// Takes the slot back from a Namespace that has not become ours, so that nothing of ours is in it.
    pub(super) async fn disown(&self, uid: &str) -> Result<(), Failure> {
        self.transact(|ledger, _| {
            capacity::drop_holder(ledger, &self.key, uid);
            Step::Write(())
        })
        .await
    }

    /// Frees the slot of this preview once nothing is left of it: each of these Namespaces was read by name and is gone.
    ///
    /// A claim of a run that died before it had a Namespace goes too. A place in line goes only with a removal of what nobody wants
    /// any more.
    pub(super) async fn free(&self, gone: &[String]) -> Result<(), Failure> {
        self.transact(|ledger, _| {
            let record = ledger.previews.get(&self.key);
            let removing = record.and_then(|record| record.removing.as_ref());
            let waits = ledger.position(&self.key).is_some();
            let leaves = removing.is_some_and(|removing| removing.withdraws() || !waits);
            capacity::clear(ledger, &self.key, self.run(), gone, leaves);
            Step::Write(())
        })
        .await
    }

    /// Ends this run's turn; false when a newer run exists, whose word counts then.
    ///
    /// `settle` changes the record and the holder in the same write.
    pub(super) async fn finish(
        &self,
        attempt: Option<(CommitSha, State)>,
        settle: impl FnMut(&mut Ledger, &str, &RunId) + Send,
    ) -> Result<bool, Failure> {
        self.finish_shown(attempt, &[], settle).await
    }

    /// The same; what was promised and is ended is forgotten, whoever is newest.
    pub(super) async fn finish_shown(
        &self,
        attempt: Option<(CommitSha, State)>,
        ended: &[UnderWay],
        mut settle: impl FnMut(&mut Ledger, &str, &RunId) + Send,
    ) -> Result<bool, Failure> {
        self.transact(|ledger, now| {
            let attempt = attempt.clone().map(|(sha, outcome)| Attempt {
                sha,
                outcome,
                at: now,
            });
            let newest = capacity::finish(ledger, &self.key, self.run(), attempt);
            if let Some(record) = ledger.previews.get_mut(&self.key) {
                record.shown.end(ended);
            }
            if newest {
                settle(ledger, &self.key, self.run());
            }
            Step::Write(newest)
        })
        .await
    }
}

/// True when a preview stands in line; a claim that nobody confirmed in time counts as that.
fn waits(ledger: &mut Ledger, key: &str, now: jiff::Timestamp) -> bool {
    capacity::give_up_old_claims(ledger, now);
    ledger.position(key).is_some()
}

/// Awaits the end of a turn; a cancelled run gives up soon, because its comment counts more than its turn.
pub(super) async fn release(
    stop: &CancellationToken,
    finish: impl Future<Output = Result<bool, Failure>>,
) -> Result<bool, Failure> {
    if !stop.is_cancelled() {
        return finish.await;
    }
    let silent = || {
        Failure::new(
            super::Blame::Theirs,
            ReasonCode::ClusterUnreachable,
            format!("the ledger did not answer within {} s", RELEASE.as_secs()),
            "the next run takes over after half a minute",
        )
    };
    tokio::time::timeout(RELEASE, finish)
        .await
        .unwrap_or_else(|_| Err(silent()))
}

/// The ledger as it is now; one that is missing is made from the Namespaces that exist.
pub(super) async fn ledger(ports: &Ports, preview: &PreviewKey) -> Result<Ledger, Failure> {
    let desk = Desk::new(ports, ports.cluster()?, preview.clone(), false);
    desk.transact(|ledger, _| Step::Keep(ledger.clone())).await
}

/// Label selector of every Namespace of a repository and environment.
pub(super) fn selector(name: &LedgerName) -> String {
    format!(
        "app=preview,preview-action/repository-id={},preview-action/environment={}",
        name.repository, name.environment
    )
}
