//! Deploys one preview: turn, comment, render, slot, apply, wait, ask the URL, last word.
//! It knows no event; whoever calls it has decided that this commit of this pull request is to be deployed.
//! Every path ends in [`Desk::finish`] and one last edit of the comment, also a failed or cancelled one.

mod apply;
mod settle;
mod wait;

use super::{
    Ending, Failure, Ports,
    desk::{Asking, Desk, HEARTBEAT, Taken},
    sources::Sources,
    teller::Teller,
};
use crate::{
    capacity::{Holder, Record},
    cluster::{Cluster, outcome::Change},
    event::Repository,
    names::{CommitSha, PrNumber, Secret, State},
    plan::{self, Facts, Plan},
};
use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;

/// How often a waiting run edits the comment, if something changed.
const TICK: Duration = Duration::from_secs(5);

/// What is left for the last word after a cancellation: the runner kills ten seconds after its first signal.
const LAST_WORDS: Duration = Duration::from_secs(4);

/// What is to be deployed, and on whose word.
#[derive(Debug, Clone)]
pub struct DeployRequest {
    /// Repository.
    pub repository: Repository,
    /// Pull request.
    pub pr: PrNumber,
    /// Commit: pinned, never looked up again.
    pub sha: CommitSha,
    /// Branch that it comes from: untrusted text.
    pub branch: String,
    /// Login of the pull request's author.
    pub author: String,
    /// True in the pull request's own run, whose images an earlier step has just built.
    pub own_run: bool,
    /// True when somebody asked for it by command: a deliberate removal ends with that.
    pub asked: bool,
    /// True in runs that the default branch's workflow governs: only they change the cap.
    pub governs: bool,
}

/// Deploys, and tells the comment how it went.
pub async fn deploy(
    ports: &Ports,
    request: &DeployRequest,
    sources: &Sources,
    teller: &mut Teller<'_>,
) -> Ending {
    let cluster = match ports.cluster() {
        Ok(cluster) => cluster,
        Err(failure) => return teller.failed(failure).await,
    };
    let facts = request.facts(jiff::Timestamp::now());
    let desk = Desk::new(ports, cluster, facts.key(&ports.settings), request.governs);
    let work = Work {
        ports,
        request,
        sources,
        cluster,
        desk: &desk,
        facts,
        began: AtomicBool::new(false),
        spot: Mutex::new(None),
        credentials: Mutex::new(None),
    };
    let result = tokio::select! {
        result = Box::pin(work.run(teller)) => result,
        () = ports.stop.cancelled() => Err(Stopped::Cancelled),
    };
    if ports.stop.is_cancelled() {
        let ending =
            tokio::time::timeout(LAST_WORDS, work.settle(Err(Stopped::Cancelled), teller)).await;
        return ending.unwrap_or_else(|_| Ending::cancelled());
    }
    work.settle(result, teller).await
}

impl DeployRequest {
    /// The facts that a plan is made from, to the second: people read the times.
    pub(super) fn facts(&self, now: jiff::Timestamp) -> Facts {
        let now = jiff::Timestamp::from_second(now.as_second()).unwrap_or(now);
        Facts {
            repository: self.repository.name.clone(),
            repository_id: self.repository.id,
            pr: self.pr,
            sha: self.sha.clone(),
            branch: self.branch.clone(),
            variant: None,
            now,
            own_run: self.own_run,
        }
    }
}

/// Why a deploy ended before its end.
enum Stopped {
    Failed(Failure),
    Superseded,
    Full {
        holders: Vec<(Holder, Record)>,
        capacity: u32,
    },
    RemovedOnPurpose,
    Cancelled,
}

impl<T: Into<Failure>> From<T> for Stopped {
    fn from(error: T) -> Self {
        Self::Failed(error.into())
    }
}

/// A deploy that ended well.
struct Done {
    url: String,
    unchanged: bool,
}

/// Where the preview lives, once that is known.
#[derive(Debug, Clone)]
struct Spot {
    plan: Plan,
    slot: u32,
    uid: String,
}

struct Work<'a> {
    ports: &'a Ports,
    request: &'a DeployRequest,
    sources: &'a Sources,
    cluster: &'a Cluster,
    desk: &'a Desk<'a>,
    facts: Facts,
    /// True once this run has had its turn.
    began: AtomicBool,
    spot: Mutex<Option<Spot>>,
    credentials: Mutex<Option<Secret>>,
}

impl Work<'_> {
    async fn run(&self, teller: &mut Teller<'_>) -> Result<Done, Stopped> {
        let asking = Asking {
            removed_on_purpose: self.request.asked.then_some(false),
            yields: false,
        };
        let taken = self.desk.take_turn(asking).await?;
        let taken = taken.ok_or(Stopped::Superseded)?;
        self.began.store(true, Ordering::Relaxed);
        // A removal that failed has left the preview alive, and then there is something to bring up to date.
        let alive = taken
            .holder
            .as_ref()
            .is_some_and(|holder| holder.uid.is_some());
        if taken.record.removed_on_purpose && !self.request.asked && !alive {
            return Err(Stopped::RemovedOnPurpose);
        }
        tokio::select! {
            result = Box::pin(self.work(&taken, teller)) => result,
            stopped = self.beat() => Err(stopped),
        }
    }

    /// Gives signs of life until a newer run exists.
    async fn beat(&self) -> Stopped {
        loop {
            tokio::time::sleep(HEARTBEAT).await;
            match self.desk.alive().await {
                Ok(true) => {}
                Ok(false) => return Stopped::Superseded,
                // The work itself meets the same fault and words it better; a missed beat alone stops nothing.
                Err(failure) => {
                    tracing::warn!(reason = %failure.reason(), "missed a heart-beat: {}", failure.line())
                }
            }
        }
    }

    async fn work(&self, taken: &Taken, teller: &mut Teller<'_>) -> Result<Done, Stopped> {
        let deadline = Instant::now() + self.ports.settings.timeout;
        teller.begin(taken.holder.as_ref(), &taken.record);
        teller.tell(State::Pending).await?;

        let configuration = self.sources.configuration(self.ports).await?;
        let plan = plan::decide(&self.ports.settings, &configuration, &self.facts)?;
        teller.planned(&plan);
        let set = super::render::objects(self.ports, self.sources, &plan, &configuration).await?;
        let hosts = super::hosts::free(self.cluster, &plan, &set, taken, teller);
        let (head, hosts) = tokio::join!(self.still_head(), hosts);
        head.and(hosts.map_err(Stopped::Failed))?;

        let applied = self.applied(&plan, &set, taken, teller).await?;
        teller.applied(&set, &applied);
        teller.show(State::Deploying);
        let (ready, revisions) = tokio::join!(
            self.ready(&plan, &applied, deadline, teller),
            self.revisions(&plan)
        );
        for (service, revision) in revisions {
            teller.other_revision(&service, &revision);
        }
        ready?;
        teller.rolled_over();
        teller.stage("wait until ready");
        self.healthy(&plan, deadline, teller).await?;
        teller.stage("ask the address");
        self.still_head().await?;

        let same = taken
            .record
            .attempted
            .as_ref()
            .is_some_and(|last| last.sha == self.request.sha && last.outcome == State::Ready);
        Ok(Done {
            url: plan
                .urls
                .first()
                .map(|url| url.url.clone())
                .unwrap_or_default(),
            unchanged: same
                && applied
                    .iter()
                    .all(|applied| applied.change == Change::Unchanged),
        })
    }

    /// Ends the run when the pull request was closed or its head has moved since the commit was pinned.
    async fn still_head(&self) -> Result<(), Stopped> {
        let Some(github) = &self.ports.github else {
            return Ok(());
        };
        let pull = github.pull(self.request.pr).await?;
        if pull.open && pull.head_sha == self.request.sha {
            return Ok(());
        }
        tracing::info!(head = %pull.head_sha, open = pull.open, "the pull request has moved on");
        Err(Stopped::Superseded)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
