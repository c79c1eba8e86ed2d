//! One preview's business with the ledger: its turn, its slot, the Namespace that is bound to it, its last word.
//! It applies no workload and writes no comment.
//! All waiting and re-reading around the pure steps of `capacity` stands here, so that the steps stay provable.

use super::{Failure, Ports};
use crate::{
    capacity::{
        self, Attempt, Claim, Claimant, Holder, Ledger, LedgerName, Owned, Record, Removing, RunId,
        Turn,
    },
    cluster::{Cluster, Created, Gone, NamespaceInfo, Step},
    names::{Namespace, PrNumber, PreviewKey, ReasonCode, State},
};
use serde_json::Value;
use std::time::Duration;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

/// How often a newer run looks whether the older one has stopped.
const TURN_POLL: Duration = Duration::from_millis(500);

/// How often a run gives a sign of life; a third of what it is declared dead after.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(10);

/// How long a Namespace of an earlier life may take to go before the run gives up.
const GONE_PATIENCE: Duration = Duration::from_secs(120);

/// What a cancelled run spends on the ledger at most, so that time is left for the comment.
const RELEASE: Duration = Duration::from_secs(2);

/// Claims that are lost again and again end after this many rounds.
const ROUNDS: usize = 8;

/// One preview's business with the ledger.
pub(super) struct Desk<'a> {
    cluster: &'a Cluster,
    ports: &'a Ports,
    ledger: LedgerName,
    preview: PreviewKey,
    key: String,
    /// True in runs that the default branch's workflow governs: only they change the cap of an existing ledger.
    governs: bool,
}

/// How a run asks for its turn.
#[derive(Debug, Clone, Default)]
pub(super) struct Asking {
    /// What somebody decided about the preview, recorded with the turn: a run that overtakes this one keeps to it.
    pub(super) removed_on_purpose: Option<bool>,
    /// The removal that the turn is for; a deploy ends an older one.
    pub(super) removing: Option<Removing>,
    /// True when a run that is at work goes first.
    pub(super) yields: bool,
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
    /// Nowhere: these hold every slot; what is known of each stands beside it.
    Full {
        /// Holders and what is known of them.
        holders: Vec<(Holder, Record)>,
        /// Cap.
        capacity: u32,
    },
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
                    let taken = Taken {
                        holder,
                        record,
                        capacity: ledger.capacity,
                    };
                    if asking.yields && other && taken.record.is_active(now) {
                        return Step::Keep((Turn::Superseded, taken));
                    }
                    let turn = capacity::begin(ledger, &self.key, self.run(), waited, now);
                    if let (Turn::Ours(_), Some(record)) =
                        (&turn, ledger.previews.get_mut(&self.key))
                    {
                        record.removed_on_purpose = asking
                            .removed_on_purpose
                            .unwrap_or(record.removed_on_purpose);
                        if asking.removing.is_some() || !record.removed_on_purpose {
                            record.removing.clone_from(&asking.removing);
                        }
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

    /// Claims a slot and binds it to the Namespace, which is created if it is not there.
    ///
    /// `namespace` makes the Namespace object for a slot.
    pub(super) async fn place(
        &self,
        name: &Namespace,
        pr: PrNumber,
        owner: &str,
        namespace: impl Fn(u32) -> Value,
    ) -> Result<Place, Failure> {
        let who = Claimant {
            key: self.key.clone(),
            pr,
            namespace: name.clone(),
            owner: owner.into(),
            run: self.run().clone(),
        };
        let mut full = (Vec::new(), 0);
        for _ in 0..ROUNDS {
            match self
                .transact(|ledger, now| {
                    let claim = capacity::claim(ledger, &who, now);
                    full = known(ledger);
                    Step::Write(claim)
                })
                .await?
            {
                Claim::Confirmed { slot, uid } => {
                    return Ok(Place::Ours {
                        slot,
                        uid,
                        fresh: false,
                    });
                }
                Claim::Full(holders) => {
                    if !self.free_vanished(&holders).await? {
                        let (holders, capacity) = full;
                        return Ok(Place::Full { holders, capacity });
                    }
                }
                Claim::Unconfirmed { slot } => {
                    if let Some(uid) = self.occupy(name, &namespace(slot)).await?
                        && self.confirm(name, &uid).await?
                    {
                        return Ok(Place::Ours {
                            slot,
                            uid,
                            fresh: true,
                        });
                    }
                }
            }
        }
        Err(Failure::new(
            super::Blame::Theirs,
            ReasonCode::ClusterRefused,
            format!("the claim for namespace {name} was lost {ROUNDS} times in a row"),
            "run the deploy again; if it repeats, look who else writes the ledger",
        ))
    }

    /// Creates the Namespace, or takes the one of an earlier run of this preview; `None` means: claim again.
    async fn occupy(&self, name: &Namespace, object: &Value) -> Result<Option<String>, Failure> {
        match self.cluster.create_namespace(object).await {
            Ok(Created::New(info)) => Ok(Some(info.uid)),
            Ok(Created::AlreadyExists(found)) if !self.owns(&found) => {
                self.withdraw().await?;
                Err(taken(name, &found))
            }
            Ok(Created::AlreadyExists(found)) if found.deleting.is_some() => {
                self.wait_until_gone(name, &found.uid).await?;
                Ok(None)
            }
            Ok(Created::AlreadyExists(found)) => Ok(Some(found.uid)),
            Err(error) => {
                self.withdraw().await?;
                Err(error.into())
            }
        }
    }

    /// True when the labels of a Namespace name this very preview.
    pub(super) fn owns(&self, found: &NamespaceInfo) -> bool {
        let label = |name: &str| found.labels.get(name).map(String::as_str);
        label("app") == Some("preview")
            && label("preview-action/repository-id")
                == Some(self.preview.repository.to_string().as_str())
            && label("preview-action/environment") == Some(self.preview.environment.as_str())
            && label("pr") == Some(self.preview.pr.to_string().as_str())
            && label("preview-action/variant")
                == self
                    .preview
                    .variant
                    .as_ref()
                    .map(crate::names::Label::as_str)
    }

    async fn confirm(&self, name: &Namespace, uid: &str) -> Result<bool, Failure> {
        let confirmed = self
            .transact(
                |ledger, _| match capacity::confirm(ledger, &self.key, self.run(), uid) {
                    true => Step::Write(true),
                    false => Step::Keep(false),
                },
            )
            .await?;
        if !confirmed {
            tracing::warn!("the claim was given up meanwhile; deleting the empty namespace {name}");
            self.cluster.delete_namespace(name, uid, None).await?;
        }
        Ok(confirmed)
    }

    /// Frees slots whose Namespace is gone, each read by name; true when there was one.
    async fn free_vanished(&self, holders: &[Holder]) -> Result<bool, Failure> {
        let reads = holders
            .iter()
            .filter_map(|holder| Some((holder, holder.uid.as_deref()?)))
            .map(|(holder, uid)| async move {
                let found = self.cluster.namespace(&holder.namespace).await?;
                Ok::<_, Failure>(
                    found
                        .is_none_or(|found| found.uid != uid)
                        .then_some((holder.key.as_str(), uid)),
                )
            });
        let gone: Vec<_> = futures::future::try_join_all(reads)
            .await?
            .into_iter()
            .flatten()
            .collect();
        if gone.is_empty() {
            return Ok(false);
        }
        self.transact(|ledger, _| {
            for (key, uid) in &gone {
                capacity::drop_holder(ledger, key, uid);
            }
            Step::Write(())
        })
        .await?;
        Ok(true)
    }

    /// Deletes the Namespace that this preview had under an earlier name, so that its slot can have another.
    pub(super) async fn vacate(&self, name: &Namespace, uid: &str) -> Result<(), Failure> {
        let found = self.cluster.namespace(name).await?;
        if let Some(found) = found.filter(|found| found.uid == uid) {
            if !self.owns(&found) {
                return Err(taken(name, &found));
            }
            tracing::info!(
                "this preview has another namespace now; deleting its earlier one, {name}"
            );
            super::delete::delete(self.cluster, &found, |found| self.owns(found)).await?;
        }
        self.forget(name, uid).await
    }

    /// Notes that the confirmed Namespace of this preview is gone, so that the next claim creates it anew.
    pub(super) async fn forget(&self, name: &Namespace, uid: &str) -> Result<(), Failure> {
        if self
            .cluster
            .namespace(name)
            .await?
            .is_some_and(|found| found.uid == uid)
        {
            self.wait_until_gone(name, uid).await?;
        }
        self.transact(|ledger, now| {
            capacity::forget_uid(ledger, &self.key, uid, self.run(), now);
            Step::Write(())
        })
        .await
    }

    async fn wait_until_gone(&self, name: &Namespace, uid: &str) -> Result<(), Failure> {
        tracing::info!("waiting until the namespace {name} of an earlier deploy is gone");
        let patience = self.cluster.patience(GONE_PATIENCE);
        let deadline = Instant::now() + patience;
        match self
            .cluster
            .wait_until_gone(name, uid, deadline, &self.ports.stop, &mut |_| {})
            .await?
        {
            // Who cancelled is noticed by the select around the whole deploy.
            Gone::Gone { .. } | Gone::Stopped => Ok(()),
            Gone::Stuck(by) => {
                let reason = ReasonCode::NamespaceTerminating;
                Err(super::delete::stuck(reason, name, patience, &by))
            }
        }
    }

    /// Notes that the end of this run's removal was told: nobody has to finish it.
    pub(super) async fn told(&self) -> Result<(), Failure> {
        self.transact(|ledger, _| match ledger.previews.get_mut(&self.key) {
            Some(record) if record.newest.as_ref() == Some(self.run()) => {
                record.removing = None;
                Step::Write(())
            }
            _ => Step::Keep(()),
        })
        .await
    }

    /// Gives up this run's claim that has no Namespace.
    async fn withdraw(&self) -> Result<(), Failure> {
        self.transact(|ledger, _| {
            capacity::withdraw(ledger, &self.key, self.run());
            Step::Write(())
        })
        .await
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

/// Every holder with what is known of its preview, and the cap.
fn known(ledger: &Ledger) -> (Vec<(Holder, Record)>, u32) {
    let record = |holder: &Holder| {
        ledger
            .previews
            .get(&holder.key)
            .cloned()
            .unwrap_or_default()
    };
    let holders = ledger
        .holders
        .iter()
        .map(|holder| (holder.clone(), record(holder)));
    (holders.collect(), ledger.capacity)
}

fn taken(name: &Namespace, found: &NamespaceInfo) -> Failure {
    let owner = match (
        found.labels.get("preview-action/repository-id"),
        found.labels.get("pr"),
    ) {
        (Some(repository), Some(pr)) => format!("repository {repository}, pull request {pr}"),
        (Some(repository), None) => format!("repository {repository}"),
        _ => "something that is no preview of ours".into(),
    };
    Failure::yours(
        ReasonCode::NamespaceTaken,
        format!("namespace {name} belongs to {owner}"),
        "set the input `namespace-pattern` to one with `{owner}` or `{repo-id}`, such as `pr-{repo-id}-{number}`",
    )
}

async fn owned(cluster: &Cluster, name: &LedgerName) -> Result<Vec<Owned>, Failure> {
    let found = cluster.list_namespaces(&selector(name)).await?;
    Ok(found
        .into_iter()
        .filter_map(|info| {
            let pr: PrNumber = info.labels.get("pr")?.parse().ok()?;
            let key = match info.labels.get("preview-action/variant") {
                None => pr.to_string(),
                Some(variant) => format!("{pr}-{variant}"),
            };
            Some(Owned {
                key,
                pr,
                uid: info.uid,
                slot: info.labels.get("slot").and_then(|slot| slot.parse().ok()),
                url: info
                    .annotations
                    .get("preview-action/url")
                    .cloned()
                    .unwrap_or_default(),
                namespace: info.name,
            })
        })
        .collect())
}

/// Label selector of every Namespace of a repository and environment.
pub(super) fn selector(name: &LedgerName) -> String {
    format!(
        "app=preview,preview-action/repository-id={},preview-action/environment={}",
        name.repository, name.environment
    )
}
