//! Removes one preview: turn, comment, count, delete by UID and version, wait until it is gone, free the slot, say so.
//! It knows no event and reads nothing of the pull request.
//! The turn comes first, so that a deploy under way stops before its Namespace is taken from under it.

use super::{
    Ending, Failure, Ports,
    delete::{self, Deletion},
    desk::{self, Asking, Begun, Desk, Taken},
    metrics,
    teller::Teller,
    unbroken::unbroken,
};
use crate::{
    capacity::{Because, Holder, Record, Removing},
    cluster::{Cluster, Contents, Gone, NamespaceInfo, Obstacles, outcome::VolumeEnd},
    event::Repository,
    metrics::Action,
    names::{CommitSha, Namespace, PrNumber, PreviewKey, ReasonCode, RepoName, State},
    plan,
};
use std::time::Duration;
use tokio::time::Instant;

/// Removal finished within this, else an operator is told (SC-004).
const PATIENCE: Duration = Duration::from_secs(300);

/// What a deletion that is overdue gets before it is called stuck once more.
const LAST_LOOK: Duration = Duration::from_secs(10);

/// What is left for the last word after a cancellation.
const LAST_WORDS: Duration = Duration::from_secs(4);

/// Why a preview is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemoveReason {
    /// Its pull request was closed.
    Closed {
        /// True when it was merged.
        merged: bool,
    },
    /// Somebody asked: it stays removed until somebody asks for it again.
    Asked,
    /// Its time was over: a push brings it back.
    Expired,
    /// A maintainer wants its slot for another pull request.
    Taken {
        /// That one.
        to: PrNumber,
    },
    /// Its first deploy failed and somebody else needs the slot.
    GaveWay {
        /// Who.
        to: PrNumber,
    },
}

impl RemoveReason {
    fn because(self) -> Because {
        match self {
            Self::Closed { merged: true } => Because::Merged,
            Self::Closed { merged: false } => Because::Closed,
            Self::Asked => Because::Asked,
            Self::Expired => Because::Expired,
            Self::Taken { to } => Because::Taken { to },
            Self::GaveWay { to } => Because::GaveWay { to },
        }
    }
}

impl From<Because> for RemoveReason {
    fn from(because: Because) -> Self {
        match because {
            Because::Merged => Self::Closed { merged: true },
            Because::Closed => Self::Closed { merged: false },
            Because::Asked => Self::Asked,
            Because::Expired => Self::Expired,
            Because::Taken { to } => Self::Taken { to },
            Because::GaveWay { to } => Self::GaveWay { to },
        }
    }
}

impl RemoveReason {
    /// True when it is not worth interrupting whoever is at work on the preview.
    fn yields(self) -> bool {
        matches!(self, Self::Expired | Self::GaveWay { .. })
    }

    /// True when what is known of the preview does not forbid it: a pinned one is nobody's to take.
    fn allowed_by(self, record: &Record) -> bool {
        match self {
            Self::Taken { .. } => !record.pinned,
            Self::GaveWay { .. } => !record.pinned && record.failed_at_first(),
            Self::Closed { .. } | Self::Asked | Self::Expired => true,
        }
    }
}

/// Which preview is to be removed, and why.
#[derive(Debug, Clone)]
pub struct RemoveRequest {
    /// Preview.
    pub preview: PreviewKey,
    /// Namespace that it has by the present pattern; the ledger's counts where it names another.
    pub namespace: Namespace,
    /// Why.
    pub reason: RemoveReason,
    /// The preview's sequence when this was decided, where that may be long ago: who has begun since then goes first.
    pub seen: Option<u64>,
    /// Newest commit then, where that is known: what expires does not come back by itself for that one.
    pub head: Option<CommitSha>,
}

impl RemoveRequest {
    /// The request for a preview, whose Namespace is named by the settings' pattern.
    pub fn new(
        ports: &Ports,
        repository: &RepoName,
        preview: PreviewKey,
        reason: RemoveReason,
    ) -> Result<Self, Failure> {
        let namespace = plan::namespace(&ports.settings, repository, &preview)?;
        Ok(Self {
            preview,
            namespace,
            reason,
            seen: None,
            head: None,
        })
    }
}

/// Removes, and tells the comment how it went.
pub async fn remove(ports: &Ports, request: &RemoveRequest, teller: &mut Teller<'_>) -> Ending {
    let cluster = match ports.cluster() {
        Ok(cluster) => cluster,
        Err(failure) => return teller.failed(failure).await,
    };
    let started = Instant::now();
    let desk = Desk::new(ports, cluster, request.preview.clone(), false).unless_after(request.seen);
    let work = Work {
        ports,
        cluster,
        desk: &desk,
        request,
    };
    let result = tokio::select! {
        // Whoever comes next waits until this Namespace is gone.
        result = desk.holding(unbroken(work.run(teller))) => result,
        () = ports.stop.cancelled() => Ok(Removal::Cancelled),
    };
    if ports.stop.is_cancelled() {
        let last = async {
            match desk::release(&ports.stop, work.finish(State::Cancelled, false, teller)).await {
                Ok(false) => Ending::cancelled(),
                _ => teller.cancelled().await,
            }
        };
        return tokio::time::timeout(LAST_WORDS, last)
            .await
            .unwrap_or_else(|_| Ending::cancelled());
    }
    if let Ok(Removal::NoTurn(failure)) = result {
        return teller.failed(failure).await;
    }
    let state = match &result {
        Ok(Removal::Gone(_)) if request.reason == RemoveReason::Expired => State::Expired,
        Ok(Removal::Gone(_) | Removal::Nothing) => State::Removed,
        Ok(Removal::Superseded | Removal::Deployed) => State::Superseded,
        Ok(Removal::Cancelled) => State::Cancelled,
        Ok(Removal::Stuck { .. }) => State::Stuck,
        Ok(Removal::NoTurn(_)) | Err(_) => State::Failed,
    };
    // A removal is as long as its Namespace was on its way; what was gone before took no time that anybody knows.
    let before = match &result {
        Ok(Removal::Gone(proof)) => proof.before,
        Ok(Removal::Nothing) => None,
        _ => Some(Duration::ZERO),
    };
    let told = async {
        match result {
            Ok(Removal::Gone(proof)) => teller.removed(proof, request.reason).await,
            Ok(Removal::Nothing) => teller.nothing_to_remove(request.reason).await,
            Ok(Removal::Stuck { name, after, by }) => {
                let failure = delete::stuck(ReasonCode::RemovalStuck, &name, after, &by);
                teller.stuck(failure, request.reason).await
            }
            Ok(Removal::Superseded) => Ending::superseded(),
            Ok(Removal::Deployed) => Ending::quiet(
                None,
                ReasonCode::Superseded,
                "the preview was deployed anew meanwhile, so it stays",
            ),
            Ok(Removal::Cancelled) => teller.cancelled().await,
            Ok(Removal::NoTurn(failure)) | Err(failure) => teller.failed(failure).await,
        }
    };
    let ending = desk.holding(told).await;
    // The turn ends after the comment, so that no newer run is spoken over.
    let record = async {
        if let Some(before) = before {
            let run = metrics::Run {
                pr: request.preview.pr,
                action: Action::Remove,
                sha: None,
                first: true,
                took: before + started.elapsed(),
                waited: Duration::ZERO,
            };
            metrics::leave(ports, request.preview.repository, run, state, &ending).await;
        }
    };
    let (finished, ()) = tokio::join!(work.finish(state, ending.failure.is_none(), teller), record);
    match finished {
        Ok(true) => ending,
        Ok(false) => Ending::superseded(),
        Err(failure) => {
            tracing::warn!(reason = %failure.reason(), "could not end the turn, so the sweep looks again: {}", failure.line());
            ending
        }
    }
}

/// What a removal has to show for itself.
#[derive(Debug, Clone)]
pub(super) struct Proof {
    /// Namespace that is gone.
    pub(super) namespace: Namespace,
    /// How long that took; none when an earlier run began it.
    pub(super) took: Option<Duration>,
    /// For how long it had been on its way when this run came; none when it was gone by then.
    pub(super) before: Option<Duration>,
    /// What was in it; none when nobody counted.
    pub(super) contents: Option<Contents>,
    /// What became of its volumes.
    pub(super) volumes: Vec<VolumeEnd>,
}

enum Removal {
    /// The ledger failed before this run had its turn: there is none to end.
    NoTurn(Failure),
    Gone(Proof),
    Nothing,
    /// Expired no more.
    Deployed,
    /// It does not go.
    Stuck {
        name: Namespace,
        after: Duration,
        by: Obstacles,
    },
    Superseded,
    Cancelled,
}

struct Work<'a> {
    ports: &'a Ports,
    cluster: &'a Cluster,
    desk: &'a Desk<'a>,
    request: &'a RemoveRequest,
}

impl Work<'_> {
    async fn run(&self, teller: &mut Teller<'_>) -> Result<Removal, Failure> {
        let asking = Asking {
            removed_on_purpose: (self.request.reason == RemoveReason::Asked).then_some(true),
            removal: Begun::Now(Removing {
                because: self.request.reason.because(),
                by: teller.asker().to_owned(),
            }),
            yields: self.request.reason.yields(),
            used: self.request.reason == RemoveReason::Asked,
            ..Asking::default()
        };
        let taken = match self.desk.take_turn(asking).await {
            Ok(Some(taken)) => taken,
            Ok(None) => return Ok(Removal::Superseded),
            Err(failure) => return Ok(Removal::NoTurn(failure)),
        };
        teller.recalls(&taken.record);
        if !self.request.reason.allowed_by(&taken.record) {
            return Ok(Removal::Deployed);
        }
        let held = taken.holder.as_ref().map(|holder| &holder.namespace);
        let sleeps = taken.record.asleep.as_ref();
        let name = held
            .or(sleeps.map(|asleep| &asleep.namespace))
            .unwrap_or(&self.request.namespace)
            .clone();
        let found = self.cluster.namespace(&name).await?;
        let bound = taken.holder.as_ref().and_then(|holder| holder.uid.clone());
        let known = bound.as_ref().or(sleeps.map(|asleep| &asleep.uid));
        // What an adoption that was cut short has not labelled never became ours.
        let adopted = taken.holder.as_ref().is_some_and(Holder::is_adopted);
        if let Some(found) = &found
            && known == Some(&found.uid)
            && !adopted
        {
            self.desk.recognises(found)?;
        }
        let Some(found) = found.filter(|found| self.desk.owns(found)) else {
            // The Namespace was read by name: 404, or one that is not this preview's.
            let gone: Vec<String> = bound.into_iter().collect();
            self.desk.free(&gone).await?;
            return Ok(self.gone_before(name, &taken));
        };
        // The sweep saw the preview some time ago; now that it is our turn nobody changes it any more.
        if self.request.reason == RemoveReason::Expired && !self.expired(&taken) {
            return Ok(Removal::Deployed);
        }
        teller.begin(taken.holder.as_ref(), &taken.record);
        self.delete(&found, bound, teller).await
    }

    /// An earlier run that began the removal did not live to tell of it.
    fn gone_before(&self, namespace: Namespace, taken: &Taken) -> Removal {
        if taken.record.removing.is_none() {
            return Removal::Nothing;
        }
        Removal::Gone(Proof {
            namespace,
            took: None,
            before: None,
            contents: None,
            volumes: Vec::new(),
        })
    }

    /// True when the time of the preview is over still, or its removal was begun before; who waits in line is wanted.
    fn expired(&self, taken: &Taken) -> bool {
        if taken.waiting.is_some() {
            return false;
        }
        let begun = taken.record.removing.as_ref();
        begun.is_some_and(|begun| begun.because == Because::Expired)
            || taken.record.is_expired(self.ports.settings.ttl, taken.now)
    }

    async fn delete(
        &self,
        found: &NamespaceInfo,
        bound: Option<String>,
        teller: &mut Teller<'_>,
    ) -> Result<Removal, Failure> {
        let overdue = found
            .deleting
            .is_some_and(|since| overdue(self.ports, since));
        if !overdue {
            teller.mention(State::Removing).await;
        }
        let bound: Vec<String> = bound.into_iter().collect();
        let away = away(self.ports, self.desk, found, &bound, |now| {
            self.desk.owns(now)
        })
        .await?;
        Ok(match away {
            Away::Gone(proof) => Removal::Gone(proof),
            Away::Spared => Removal::Deployed,
            Away::Stopped => Removal::Cancelled,
            Away::Stuck { after, by } => Removal::Stuck {
                name: found.name.clone(),
                after,
                by,
            },
        })
    }

    /// Ends the turn; a removal whose end was not told stays in the ledger, for the sweep.
    async fn finish(&self, state: State, told: bool, teller: &Teller<'_>) -> Result<bool, Failure> {
        self.desk
            .finish(None, |ledger, key, _| {
                let Some(record) = ledger.previews.get_mut(key) else {
                    return;
                };
                if state == State::Removed {
                    record.removed_on_purpose = self.request.reason == RemoveReason::Asked;
                }
                let gone = matches!(state, State::Removed | State::Expired);
                if gone {
                    teller.note(record);
                    record.expired = state == State::Expired;
                    if record.expired && self.request.head.is_some() {
                        record.rests_at.clone_from(&self.request.head);
                    }
                    let untold = record.untold && !told;
                    record.leaves_untold(untold);
                    record.bury();
                }
                let closed = matches!(self.request.reason, RemoveReason::Closed { .. });
                if gone && closed {
                    record.withdraw();
                }
                if gone || state == State::Stuck {
                    record.stalled = None;
                    record.serving = None;
                    record.good = None;
                    record.before = None;
                    // What goes for another reason stays rolled back.
                    if closed || self.request.reason == RemoveReason::Asked {
                        record.held = None;
                    }
                }
                if state == State::Superseded || (gone && told) {
                    record.removing = None;
                }
            })
            .await
    }
}

/// What taking a Namespace away came to.
pub(super) enum Away {
    Gone(Proof),
    /// At a second look it was not to be deleted.
    Spared,
    /// It does not go.
    Stuck {
        after: Duration,
        by: Obstacles,
    },
    Stopped,
}

/// Counts what is in a Namespace, deletes it, waits until it is gone, and frees the slot that it or one of `bound` holds.
pub(super) async fn away(
    ports: &Ports,
    desk: &Desk<'_>,
    found: &NamespaceInfo,
    bound: &[String],
    due: impl Fn(&NamespaceInfo) -> bool,
) -> Result<Away, Failure> {
    let cluster = ports.cluster()?;
    let age = |since| age(ports, since);
    let age = found.deleting.map_or(Duration::ZERO, age);
    // Once the deletion has begun a count says nothing any more.
    let contents = match found.deleting {
        None => contents(cluster, &found.name).await,
        Some(_) => None,
    };
    let begun = Instant::now();
    match delete::delete(cluster, found, due).await? {
        Deletion::Begun | Deletion::Gone => {}
        Deletion::Spared => return Ok(Away::Spared),
    }
    let all = cluster.patience(PATIENCE);
    let patience = match age >= all {
        true => cluster.patience(LAST_LOOK),
        false => all,
    };
    let deadline = begun + patience;
    let waited = cluster
        .wait_until_gone(&found.name, &found.uid, deadline, &ports.stop, &mut |_| {})
        .await?;
    match waited {
        Gone::Gone { .. } => {}
        Gone::Stopped => return Ok(Away::Stopped),
        Gone::Stuck(by) => {
            let after = age + begun.elapsed();
            return Ok(Away::Stuck { after, by });
        }
    }
    let took = found.deleting.is_none().then(|| begun.elapsed());
    let gone: Vec<String> = std::iter::once(&found.uid).chain(bound).cloned().collect();
    desk.free(&gone).await?;
    let claims = contents.as_ref().map(|contents| contents.claims.as_slice());
    let volumes = cluster.volumes_after(claims.unwrap_or_default()).await;
    Ok(Away::Gone(Proof {
        namespace: found.name.clone(),
        took,
        before: Some(age),
        contents,
        volumes,
    }))
}

/// Counts for the proof; a removal does not fail because nobody may count.
async fn contents(cluster: &Cluster, name: &Namespace) -> Option<Contents> {
    let counted = cluster.contents(name).await;
    counted
        .inspect_err(|error| tracing::warn!("what is in namespace {name} was not counted: {error}"))
        .ok()
}

/// Removes a preview whose first deploy failed, unless it has recovered meanwhile; its own comment says how that went.
pub(super) async fn give_way(ports: &Ports, repository: &Repository, weak: &Holder, to: PrNumber) {
    let environment = &ports.settings.environment;
    let Some(preview) = PreviewKey::from_ledger(repository.id, environment, &weak.key) else {
        return;
    };
    tracing::info!(pr = %weak.pr, "its first deploy failed, so it gives way");
    let mut teller = Teller::open(ports, &preview, &repository.name, &|_| {});
    let reason = RemoveReason::GaveWay { to };
    let failure = match RemoveRequest::new(ports, &repository.name, preview, reason) {
        Ok(request) => Box::pin(remove(ports, &request, &mut teller)).await.failure,
        Err(failure) => Some(failure),
    };
    if let Some(failure) = failure {
        tracing::warn!(pr = %weak.pr, "it could not give way: {}", failure.line());
    }
}

/// True when a Namespace should have been gone for longer than a removal takes.
pub(super) fn overdue(ports: &Ports, since: jiff::Timestamp) -> bool {
    let patience = ports
        .cluster()
        .map_or(PATIENCE, |cluster| cluster.patience(PATIENCE));
    age(ports, since) >= patience
}

fn age(ports: &Ports, since: jiff::Timestamp) -> Duration {
    Duration::try_from(ports.now().duration_since(since)).unwrap_or_default()
}
