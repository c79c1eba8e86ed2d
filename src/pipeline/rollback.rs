//! Takes a preview back by command: to the last commit that was ready, or to the one before it when that one is live.
//! It renders nothing and reads nothing of the pull request but which commit is its newest.
//! The newest commit is held then, so that no run of an event undoes what somebody has just decided.

use super::{
    Ending, Failure, Ports,
    deploy::{Stopped, Waiting},
    desk::{self, Asking, Desk},
    inspect, life,
    restore::{self, Marks},
    teller::Teller,
    unbroken::unbroken,
};
use crate::{
    capacity::{KeptSet, Record},
    cluster::{Cluster, NamespaceInfo, Reapplied},
    names::{CommitSha, PreviewKey, ReasonCode, State},
    report::Reached,
};
use serde_json::{Value, json};
use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// What is left for the last word after a cancellation.
const LAST_WORDS: Duration = Duration::from_secs(4);

const NOTHING: &str = "there is no earlier commit of this preview to go back to";

const ASLEEP: &str = "the preview sleeps and was not rolled back; comment `/wake` first";

/// Rolls back, and tells the comment how it went.
///
/// The `head` is held then, until something is pushed after this was `said`; where nobody knows it, the commit that was deployed last
/// counts as the newest.
pub async fn rollback(
    ports: &Ports,
    preview: &PreviewKey,
    (head, said): (Option<&CommitSha>, Option<jiff::Timestamp>),
    teller: &mut Teller<'_>,
) -> Result<Ending, Failure> {
    let cluster = ports.cluster()?;
    let desk = Desk::new(ports, cluster, preview.clone(), false);
    let back = Back {
        ports,
        cluster,
        desk: &desk,
        head,
        said,
        chosen: Mutex::new(None),
    };
    let result = tokio::select! {
        result = unbroken(Box::pin(back.run(teller))) => result,
        () = ports.stop.cancelled() => Err(Stopped::Cancelled),
    };
    if ports.stop.is_cancelled() {
        let last = tokio::time::timeout(LAST_WORDS, back.settle(Err(Stopped::Cancelled), teller));
        return Ok(last.await.unwrap_or_else(|_| Ending::cancelled()));
    }
    if let Ok(Done::Nothing(why)) = result {
        back.settle(result, teller).await;
        let Some(head) = head else {
            return Ok(Ending::quiet(None, ReasonCode::NothingToRollBack, why));
        };
        teller.answer_with(why);
        let shown = inspect::show(ports, preview, head, teller).await?;
        return Ok(shown.because(ReasonCode::NothingToRollBack).answering(why));
    }
    Ok(desk.holding(Box::pin(back.settle(result, teller))).await)
}

enum Done {
    Back,
    /// Nothing was changed, because of this.
    Nothing(&'static str),
}

/// Which set was chosen, and what the marks are once it is live.
#[derive(Clone)]
struct Chosen {
    mark: KeptSet,
    marks: Marks,
    /// The newest commit.
    head: CommitSha,
}

struct Back<'a> {
    ports: &'a Ports,
    cluster: &'a Cluster,
    desk: &'a Desk<'a>,
    head: Option<&'a CommitSha>,
    /// When somebody asked for it.
    said: Option<jiff::Timestamp>,
    chosen: Mutex<Option<Chosen>>,
}

impl Back<'_> {
    async fn run(&self, teller: &mut Teller<'_>) -> Result<Done, Stopped> {
        let asking = Asking {
            used: true,
            ..Asking::default()
        };
        let taken = self.desk.take_turn(asking).await?;
        let taken = taken.ok_or(Stopped::Overtaken)?;
        // Nothing could start that is applied now.
        if taken.record.asleep.is_some() {
            return Ok(Done::Nothing(ASLEEP));
        }
        let Some(holder) = &taken.holder else {
            return Ok(Done::Nothing(NOTHING));
        };
        let found = self.cluster.namespace(&holder.namespace).await?;
        let ours = |found: &NamespaceInfo| {
            self.desk.owns(found)
                && found.deleting.is_none()
                && holder.uid.as_ref() == Some(&found.uid)
        };
        let Some(found) = found.filter(ours) else {
            return Ok(Done::Nothing(NOTHING));
        };
        let Some(chosen) = choose(&taken.record, &found, self.head) else {
            return Ok(Done::Nothing(NOTHING));
        };
        *self.chosen.lock().unwrap_or_else(PoisonError::into_inner) = Some(chosen.clone());
        teller.about(&chosen.mark.sha);
        teller.begin(Some(holder), &taken.record);
        teller.brings_back();
        let expires = taken.record.expires(self.ports.settings.ttl);
        tokio::select! {
            result = Box::pin(self.back(&found, &chosen.mark, expires, teller)) => result.map(|()| Done::Back),
            () = self.desk.lose_turn() => Err(Stopped::Overtaken),
        }
    }

    async fn back(
        &self,
        found: &NamespaceInfo,
        mark: &KeptSet,
        expires: Option<jiff::Timestamp>,
        teller: &mut Teller<'_>,
    ) -> Result<(), Stopped> {
        let good = restore::kept(self.cluster, &found.name, mark).await?;
        teller.addresses(&good.urls);
        teller.mention(State::Deploying).await;
        let object = marked(found, &good.sha, State::Deploying, expires);
        if !matches!(
            self.cluster.apply_namespace(&object).await?,
            Reapplied::Live(_)
        ) {
            return Err(Stopped::Failed(Failure::new(
                super::Blame::Theirs,
                ReasonCode::NamespaceTerminating,
                format!("namespace {} is being deleted", found.name),
                "comment `/deploy` once it is gone",
            )));
        }
        teller.reaches(Reached::Applied);
        let waiting = Waiting {
            ports: self.ports,
            cluster: self.cluster,
            desk: self.desk,
            deadline: Instant::now() + self.ports.settings.timeout,
        };
        restore::bring_back(waiting, &found.name, &good, teller).await?;
        let object = marked(found, &good.sha, State::Ready, expires);
        self.cluster.apply_namespace(&object).await?;
        Ok(())
    }

    async fn settle(&self, result: Result<Done, Stopped>, teller: &mut Teller<'_>) -> Ending {
        let state = match &result {
            Ok(_) => State::Ready,
            Err(Stopped::Failed(_)) => State::Failed,
            Err(Stopped::Cancelled) => State::Cancelled,
            Err(_) => State::Superseded,
        };
        let back = matches!(result, Ok(Done::Back));
        let chosen = self
            .chosen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let ending = match (result, &chosen) {
            (Ok(Done::Back), Some(chosen)) => teller.rolled_back(&chosen.head).await,
            (Err(Stopped::Failed(failure)), _) => {
                teller.serves(None);
                teller.failed(failure).await
            }
            (Err(Stopped::Cancelled), _) => teller.cancelled().await,
            (Ok(_) | Err(_), _) => Ending::superseded(),
        };
        let attempted = chosen
            .as_ref()
            .filter(|_| back || state == State::Failed)
            .map(|chosen| (chosen.mark.sha.clone(), state));
        let untold = teller.unheard();
        let ended = self.desk.finish(attempted, |ledger, key, _| {
            if let Some(record) = ledger.previews.get_mut(key) {
                record.leaves_untold(untold);
                if chosen.is_some() {
                    teller.note(record);
                }
            }
            let holder = ledger.holders.iter_mut().find(|one| one.key == key);
            if let Some(holder) = holder.filter(|_| chosen.is_some()) {
                holder.hosts.clear();
            }
            if let Some(record) = ledger.previews.get_mut(key)
                && let Some(chosen) = &chosen
            {
                if back {
                    record.stalled = None;
                    record.good.clone_from(&chosen.marks.good);
                    record.before.clone_from(&chosen.marks.before);
                    // What was asked for before is revoked by this.
                    record.removing = None;
                    record.removed_on_purpose = false;
                    record.due = None;
                    record.held = Some(chosen.head.clone()).filter(|head| *head != chosen.mark.sha);
                    record.named_at = self.said.filter(|_| record.held.is_some());
                } else if state == State::Failed {
                    record.serving = None;
                }
            }
        });
        match desk::release(&self.ports.stop, ended).await {
            Ok(true) => ending,
            Ok(false) if state == State::Cancelled => Ending::cancelled(),
            Ok(false) => Ending::superseded(),
            Err(failure) => {
                tracing::warn!(reason = %failure.reason(), "could not end the turn: {}", failure.line());
                ending
            }
        }
    }
}

/// The last good set, or the one before it when the last one is live; the two change places then.
fn choose(record: &Record, found: &NamespaceInfo, head: Option<&CommitSha>) -> Option<Chosen> {
    let newest = |mark: &KeptSet| {
        let tried = record.attempted.as_ref().map(|last| &last.sha);
        // What was rolled back before is newer than what it was rolled back to.
        let known = head.or(record.held.as_ref()).or(tried);
        known.unwrap_or(&mark.sha).clone()
    };
    let good = record.good.clone();
    let live = found.annotations.get(restore::SHA);
    let ready = record
        .attempted
        .as_ref()
        .is_some_and(|last| last.outcome == State::Ready)
        || record.serving.is_some();
    let is_live = |mark: &KeptSet| ready && live == Some(&mark.sha.to_string());
    match good {
        Some(mark) if !is_live(&mark) => Some(Chosen {
            head: newest(&mark),
            mark,
            marks: Marks::of(record),
        }),
        good => record.before.clone().map(|mark| Chosen {
            head: newest(&mark),
            marks: Marks {
                good: Some(mark.clone()),
                before: good,
            },
            mark,
        }),
    }
}

/// The Namespace as we apply it, with another commit, state and end.
fn marked(
    found: &NamespaceInfo,
    sha: &CommitSha,
    state: State,
    expires: Option<jiff::Timestamp>,
) -> Value {
    let mut object = life::with_life(life::as_ours(found), expires);
    object["metadata"]["labels"]["preview-action/state"] = json!(state.as_str());
    restore::marked(object, sha)
}
