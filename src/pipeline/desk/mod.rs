//! One preview's business with the ledger: its turn, its slot, the Namespace that is bound to it, its last word.
//! It applies no workload and writes no comment.
//! All waiting and re-reading around the pure steps of `capacity` stands here, so that the steps stay provable.

mod place;

use super::{Failure, Ports, life::Home};
use crate::{
    capacity::{self, Attempt, Holder, Ledger, LedgerName, Owned, Record, Removing, RunId, Turn},
    cluster::{Cluster, NamespaceInfo, Step},
    names::{PrNumber, PreviewKey, ReasonCode, State},
    plan,
};
use std::{sync::PoisonError, time::Duration};
use tokio::time::{Instant, sleep};
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
    /// When the ledger answered last.
    touched: std::sync::Mutex<Instant>,
}

/// How a run asks for its turn.
#[derive(Debug, Clone, Default)]
pub(super) struct Asking {
    /// What somebody decided about the preview, recorded with the turn: a run that overtakes this one keeps to it.
    pub(super) removed_on_purpose: Option<bool>,
    /// What the turn means for a removal that was begun.
    pub(super) removal: Begun,
    /// True when a run that is at work goes first.
    pub(super) yields: bool,
    /// True when somebody uses the preview by this: it lives on from now.
    pub(super) used: bool,
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
    fn note(&self, record: &mut Record, turn: &Turn, now: jiff::Timestamp) {
        if let Some(removed) = self.removed_on_purpose {
            record.removed_on_purpose = removed;
            // Who asks for the preview ends a hold as well.
            record.held = None;
        }
        // What waits for its turn has not begun yet.
        if !matches!(turn, Turn::Ours(_)) {
            return;
        }
        if self.used {
            record.last_activity = Some(now);
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
    /// The server's time.
    pub(super) now: jiff::Timestamp,
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
    /// Nowhere for now.
    Full(House),
}

/// A full house, as somebody without a slot sees it.
#[derive(Debug)]
pub(super) struct House {
    /// Who holds the slots, and what is known of each.
    pub(super) holders: Vec<(Holder, Record)>,
    /// Cap.
    pub(super) capacity: u32,
    /// The place in line, from 1; none when the preview was refused.
    pub(super) place: Option<usize>,
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
            touched: std::sync::Mutex::new(Instant::now()),
        }
    }

    /// Cap by the settings, for a ledger that has none yet and in runs that may change it.
    fn capacity(&self) -> u32 {
        self.ports.settings.max_previews
    }

    fn run(&self) -> &RunId {
        &self.ports.run
    }

    async fn transact<T>(
        &self,
        mut step: impl FnMut(&mut Ledger, jiff::Timestamp) -> Step<T>,
    ) -> Result<T, Failure> {
        loop {
            if let Some(result) = self
                .cluster
                .transact(&self.ledger, |ledger, moment| step(ledger, moment.now))
                .await?
            {
                *self.touched.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
                return Ok(result);
            }
            // The ledger is not there: it is made from the Namespaces that exist.
            let owned = owned(self.cluster, &self.ledger).await?;
            if !owned.is_empty() {
                tracing::warn!(
                    previews = owned.len(),
                    "the ledger was gone; made it again from the namespaces that exist"
                );
            }
            let ledger = capacity::rebuild(self.capacity(), owned, jiff::Timestamp::now());
            self.cluster.create_ledger(&self.ledger, &ledger).await?;
        }
    }

    /// Waits for this preview's turn; `None` when a newer run exists.
    pub(super) async fn take_turn(&self, asking: Asking) -> Result<Option<Taken>, Failure> {
        let mut waited = false;
        loop {
            let (turn, taken) = self
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
                    let mut taken = Taken {
                        holder,
                        record,
                        capacity: ledger.capacity,
                        now,
                    };
                    if asking.yields && other && taken.record.is_active(now) {
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
                        asking.note(record, &turn, now);
                        taken.record.last_activity = record.last_activity;
                    }
                    Step::Write((turn, taken))
                })
                .await?;
            match turn {
                Turn::Ours(sequence) => {
                    tracing::info!(sequence, "took the turn of this preview");
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
                let holder = ledger.holder(&self.key);
                let held = holder.and_then(|one| Some((one.namespace.clone(), one.uid.clone()?)));
                Step::Keep(record.map(|record| {
                    let asleep = record.asleep.as_ref();
                    let sleeps = asleep.map(|one| (one.namespace.clone(), one.uid.clone()));
                    (record, held.or(sleeps))
                }))
            })
            .await?;
        Ok(known)
    }

    /// Changes what is known of the preview, whoever is at work on it; what it is then.
    pub(super) async fn change(
        &self,
        mut step: impl FnMut(&mut Record, jiff::Timestamp),
    ) -> Result<Record, Failure> {
        self.transact(|ledger, now| {
            let record = ledger.previews.entry(self.key.clone()).or_default();
            step(record, now);
            Step::Write(record.clone())
        })
        .await
    }

    /// Notes that the preview sleeps; what is known of it then.
    pub(super) async fn fall_asleep(
        &self,
        step: impl Fn(&mut Ledger, &str),
    ) -> Result<Record, Failure> {
        self.transact(|ledger, _| {
            step(ledger, &self.key);
            let record = ledger.previews.get(&self.key).cloned();
            Step::Write(record.unwrap_or_default())
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

    /// Gives signs of life for as long as it is polled, whether or not a newer run waits: what was begun must be ended first.
    pub(super) async fn hold(&self) {
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

    /// Frees the slot of this preview once nothing is left of it: each of these Namespaces was read by name and is gone.
    ///
    /// A claim of a run that died before it had a Namespace goes too; this run has the turn.
    pub(super) async fn free(&self, gone: &[String]) -> Result<(), Failure> {
        self.transact(|ledger, _| {
            for uid in gone {
                capacity::drop_holder(ledger, &self.key, uid);
            }
            capacity::drop_claim(ledger, &self.key);
            capacity::leave(ledger, &self.key);
            Step::Write(())
        })
        .await
    }

    /// Ends this run's turn; false when a newer run exists, whose word counts then.
    ///
    /// `settle` changes the record and the holder in the same write.
    pub(super) async fn finish(
        &self,
        attempt: Option<(crate::names::CommitSha, State)>,
        mut settle: impl FnMut(&mut Ledger, &str, &RunId),
    ) -> Result<bool, Failure> {
        self.transact(|ledger, now| {
            let attempt = attempt.clone().map(|(sha, outcome)| Attempt {
                sha,
                outcome,
                at: now,
            });
            let newest = capacity::finish(ledger, &self.key, self.run(), attempt);
            if newest {
                settle(ledger, &self.key, self.run());
            }
            Step::Write(newest)
        })
        .await
    }
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

async fn owned(cluster: &Cluster, name: &LedgerName) -> Result<Vec<Owned>, Failure> {
    let found = cluster.list_namespaces(&selector(name)).await?;
    Ok(found.into_iter().filter_map(owned_by_label).collect())
}

/// A Namespace that carries our labels, as the ledger takes it.
pub(super) fn owned_by_label(info: NamespaceInfo) -> Option<Owned> {
    let pr: PrNumber = info.labels.get("pr")?.parse().ok()?;
    let key = match info.labels.get("preview-action/variant") {
        None => pr.to_string(),
        Some(variant) => format!("{pr}-{variant}"),
    };
    let state = info.labels.get("preview-action/state");
    let url = info.annotations.get("preview-action/url");
    Some(Owned {
        key,
        pr,
        uid: info.uid,
        slot: info.labels.get("slot").and_then(|slot| slot.parse().ok()),
        url: url.cloned().unwrap_or_default(),
        life: match info.annotations.get(plan::EXPIRES) {
            _ if info.annotations.contains_key(plan::PINNED) => Some(None),
            expires => expires.and_then(|text| text.parse().ok()).map(Some),
        },
        asleep: state.map(String::as_str) == Some(State::Sleeping.as_str()),
        namespace: info.name,
    })
}

/// Label selector of every Namespace of a repository and environment.
pub(super) fn selector(name: &LedgerName) -> String {
    format!(
        "app=preview,preview-action/repository-id={},preview-action/environment={}",
        name.repository, name.environment
    )
}
