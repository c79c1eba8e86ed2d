//! Does what the sweep has planned for one preview, each by the use case that people's commands take too.
//! It plans nothing and sums nothing up; whoever has begun since the sweep looked goes first.
//! A deploy's failure is its comment's to tell and no failure of the sweep.

use super::{
    Swept,
    sight::Sight,
    task::{Action, Task},
};
use crate::{
    cluster::Step,
    event::{PullRequest, Repository},
    names::{CommitSha, PrNumber, PreviewKey, ReasonCode, State},
    pipeline::{
        Ending, Exit, Failure, Ports, approval, deploy, desk, filter,
        heap::heap,
        metrics,
        remove::{RemoveReason, RemoveRequest, remove},
        request::{Basis, Word},
        sleep::Bed,
        teller::Teller,
    },
    trigger::{Denied, permission},
};
use std::time::Duration;
use tokio::time::Instant;

/// Does what was planned.
#[derive(Clone, Copy)]
pub(super) struct Broom<'a> {
    pub(super) ports: &'a Ports,
    pub(super) repository: &'a Repository,
    pub(super) sight: &'a Sight<'a>,
}

impl<'a> Broom<'a> {
    pub(super) async fn act(self, task: Task) -> (Swept, Ending) {
        let mut swept = Swept {
            pr: task.preview.pr,
            namespace: task.namespace.clone(),
            action: task.action.word(),
            reason: task.action.why(),
            ending: ReasonCode::Cancelled,
        };
        if self.ports.stop.is_cancelled() {
            return (swept, Ending::cancelled());
        }
        tracing::info!(pr = %swept.pr, namespace = %swept.namespace, reason = swept.reason, "{}", swept.action);
        let ending = match &task.action {
            Action::Remove {
                reason: RemoveReason::Closed { .. },
                ..
            } if self.is_open_again(task.preview.pr).await => Ending::superseded(),
            Action::Remove { reason, by } => {
                let mut teller = self.teller(&task.preview);
                teller.asked_by(by);
                let pull = self.sight.open.get(&task.preview.pr);
                let request = RemoveRequest {
                    seen: self.seen(&task.preview),
                    head: pull.map(|(pull, _)| pull.head_sha.clone()),
                    preview: task.preview,
                    namespace: task.namespace,
                    reason: *reason,
                };
                heap(|| remove(self.ports, &request, &mut teller)).await
            }
            Action::Warn(expires) => self
                .warn(&task.preview, *expires)
                .await
                .unwrap_or_else(Ending::failed),
            _ => match self.sight.open.get(&task.preview.pr) {
                Some((pull, _)) => self
                    .see_to(&task, pull)
                    .await
                    .unwrap_or_else(Ending::failed),
                None => Ending::superseded(),
            },
        };
        swept.ending = ending.reason;
        (swept, ending)
    }

    /// Asked just before a removal: behind others that are stuck the sight may be minutes old.
    async fn is_open_again(&self, pr: PrNumber) -> bool {
        let Ok(github) = self.ports.github() else {
            return false;
        };
        match github.pull(pr).await {
            Ok(pull) => pull.open,
            Err(error) => {
                tracing::warn!(pr = %pr, "keeping its preview: the pull request cannot be read: {error}");
                true
            }
        }
    }

    /// The sequence of the preview when the sweep looked: behind others that are stuck that may be minutes ago.
    fn seen(&self, preview: &PreviewKey) -> Option<u64> {
        Some(
            self.sight
                .record(preview)
                .map_or(0, |record| record.sequence),
        )
    }

    /// Where the preview's turn is had, unless anybody has begun since the sweep looked.
    pub(super) fn desk(&self, preview: &PreviewKey) -> Result<desk::Desk<'a>, Failure> {
        let desk = desk::Desk::new(self.ports, self.ports.cluster()?, preview.clone(), false);
        Ok(desk.unless_after(self.seen(preview)))
    }

    pub(super) fn teller(&self, preview: &PreviewKey) -> Teller<'a> {
        Teller::open(self.ports, preview, &self.repository.name, &|_| {}).repairing()
    }

    async fn see_to(&self, task: &Task, pull: &PullRequest) -> Result<Ending, Failure> {
        match &task.action {
            Action::Deploy(sha) => Ok(heap(|| self.deploy(&task.preview, sha, pull)).await),
            Action::Ask => self.ask(&task.preview).await,
            Action::End => self.end(&task.preview, pull).await,
            Action::Tell | Action::Stuck => self.tell(&task.preview, pull).await,
            Action::Correct => self.correct(&task.preview, pull).await,
            Action::Free => self.free(&task.preview, pull).await,
            Action::Diagnose => self.diagnose(task, pull).await,
            Action::Recover => self.recover(task, pull).await,
            _ => self.sleep(&task.preview, pull).await,
        }
    }

    /// Deploys a head whose own run never came; a failure of it is its comment's to tell, not the sweep's.
    async fn deploy(&self, preview: &PreviewKey, sha: &CommitSha, pull: &PullRequest) -> Ending {
        if !self.sight.is_stalled(preview, pull)
            && let Some(denied) = filter::keeps_back(self.ports, pull).await
        {
            return self.skip(preview, sha, &denied).await;
        }
        let basis = Basis {
            ports: self.ports,
            repository: self.repository,
            // What lies in the sweep's workspace is nobody's commit.
            workspace: None,
        };
        let word = Word::Missed {
            governs: self.sight.mandate.governs,
        };
        let (mut request, sources) = basis.request(word, sha.clone(), pull);
        request.seen = self.seen(preview);
        let mut teller = self.teller(preview);
        teller.about(sha);
        let ending = heap(|| deploy(self.ports, &request, &sources, &mut teller)).await;
        tolerant(ending)
    }

    /// Notes what asking for the changed files has shown; what else keeps a pull request back is known without.
    async fn skip(&self, preview: &PreviewKey, sha: &CommitSha, denied: &Denied) -> Ending {
        let ending = Ending::quiet(None, denied.reason, denied.to_string());
        if denied.reason != ReasonCode::PathsSkipped {
            return ending;
        }
        let noted = async {
            let cluster = self.ports.cluster()?;
            let desk = desk::Desk::new(self.ports, cluster, preview.clone(), false);
            let filters = &self.ports.settings.filters;
            desk.change(|record, _| filter::note(filters, record, sha))
                .await
        };
        match noted.await {
            Ok(_) => ending,
            Err(failure) => Ending::failed(failure),
        }
    }

    /// Says that a fork's newest commit needs approval: asked again what that is, because one that was approved just now stays so.
    async fn ask(&self, preview: &PreviewKey) -> Result<Ending, Failure> {
        let pull = self.ports.github()?.pull(preview.pr).await?;
        if permission::may_be_approved(&pull).is_err() {
            return Ok(Ending::superseded());
        }
        let mut teller = self.teller(preview);
        approval::ask(self.ports, preview, &pull, false, &mut teller).await
    }

    /// Gives back the slot of a preview whose Namespace somebody deleted, and says so unless it waits in line for another.
    async fn free(&self, preview: &PreviewKey, pull: &PullRequest) -> Result<Ending, Failure> {
        let cluster = self.ports.cluster()?;
        let Some((name, uid)) = self.sight.home(preview) else {
            return Ok(Ending::superseded());
        };
        // A label that somebody took away is no proof; by name it is there or not.
        if cluster
            .namespace(&name)
            .await?
            .is_some_and(|found| found.uid == uid)
        {
            let why = format!("namespace {name} is there still, without the labels of its preview");
            tracing::warn!("{why}");
            return Ok(Ending::quiet(None, ReasonCode::Unchanged, why));
        }
        let desk = self.desk(preview)?;
        let Some(taken) = self.turn(&desk).await? else {
            return Ok(Ending::superseded());
        };
        let mut teller = self.teller(preview);
        teller.about(&pull.head_sha);
        teller.recalls(&taken.record);
        let bound = taken.holder.and_then(|holder| holder.uid);
        let sleeps = taken.record.asleep.map(|asleep| asleep.uid);
        if ![bound, sleeps].contains(&Some(uid.clone())) {
            desk.finish(None, |_, _, _| {}).await?;
            return Ok(Ending::superseded());
        }
        desk.free(&[uid]).await?;
        let waits = taken.waiting.is_some();
        let ending = match waits {
            true => {
                let why =
                    format!("the namespace {name} was deleted; it waits in line all the same");
                Ending::quiet(State::Queued, ReasonCode::Unchanged, why)
            }
            false => teller.deleted(name).await,
        };
        let untold = teller.unheard() || (waits && taken.record.untold);
        desk.finish(None, |ledger, key, _| {
            if let Some(record) = ledger.previews.get_mut(key) {
                record.vanish();
                teller.note(record);
                record.leaves_untold(untold);
            }
        })
        .await?;
        Ok(ending)
    }

    /// Takes the turn of a preview if nobody is at work on it.
    pub(super) async fn turn(&self, desk: &desk::Desk<'_>) -> Result<Option<desk::Taken>, Failure> {
        let asking = desk::Asking {
            yields: true,
            ..desk::Asking::default()
        };
        desk.take_turn(asking).await
    }

    /// Ends the turn, and notes whether what is live has broken or is well again, and whether people know.
    pub(super) async fn notes(
        &self,
        desk: &desk::Desk<'_>,
        broken: Option<bool>,
        teller: &Teller<'_>,
    ) -> Result<(), Failure> {
        let untold = teller.unheard();
        desk.finish(None, |ledger, key, _| {
            let Some(record) = ledger.previews.get_mut(key) else {
                return;
            };
            record.leaves_untold(untold);
            teller.note(record);
            if let Some(broken) = broken {
                record.breaks(broken);
            }
        })
        .await?;
        Ok(())
    }

    async fn sleep(&self, preview: &PreviewKey, pull: &PullRequest) -> Result<Ending, Failure> {
        let mut teller = self.teller(preview);
        teller.about(&pull.head_sha);
        let bed = Bed::of(self.ports, preview, pull)?.unless_after(self.seen(preview));
        let begun = Instant::now();
        let ending = Box::pin(bed.sleep(&mut teller)).await?;
        let counts = ending.failure.is_some() || ending.reason == ReasonCode::Slept;
        if let Some(state) = ending.state.filter(|_| counts) {
            let run = metrics::Run {
                pr: preview.pr,
                action: crate::metrics::Action::Sleep,
                sha: None,
                first: false,
                took: begun.elapsed(),
                waited: Duration::ZERO,
            };
            metrics::leave(self.ports, self.repository.id, run, state, &ending).await;
        }
        Ok(ending)
    }

    /// Tells the author unless that time counts no more, and notes that this was done or refused: only then may the preview be removed.
    async fn warn(
        &self,
        preview: &PreviewKey,
        expires: jiff::Timestamp,
    ) -> Result<Ending, Failure> {
        let (ledger, key) = (self.ports.ledger(self.repository.id), preview.in_ledger());
        let ttl = self.ports.settings.ttl;
        let due = self.ports.cluster()?.transact(&ledger, |ledger, moment| {
            let record = ledger.previews.get(&key);
            Step::Keep(record.and_then(|record| record.to_be_warned(ttl, moment.now)))
        });
        if due.await?.flatten() != Some(expires) {
            return Ok(Ending::superseded());
        }
        let author = self.sight.open.get(&preview.pr);
        let author = author.map_or("", |(pull, _)| pull.author.login.as_str());
        // What GitHub does not take from us, it will not take later either; everything ends all the same.
        if let Some(refused) = self.teller(preview).expires(author, expires).await? {
            self.ports.notice(format!(
                "#{} expires {expires}, and nobody could be told: {}",
                preview.pr,
                refused.line()
            ));
        }
        let cluster = self.ports.cluster()?;
        let desk = desk::Desk::new(self.ports, cluster, preview.clone(), false);
        desk.change(|record, _| record.warned = Some(expires))
            .await?;
        let why = format!("the author was told that the preview expires {expires}");
        Ok(Ending::quiet(None, ReasonCode::ExpiryWarned, why))
    }
}

/// What a preview's own comment tells is no failure of the sweep.
pub(super) fn tolerant(ending: Ending) -> Ending {
    match ending.exit {
        Exit::Yours | Exit::Theirs => Ending {
            exit: Exit::Done,
            failure: None,
            ..ending
        },
        Exit::Done | Exit::Ours | Exit::Cancelled => ending,
    }
}
