//! Deploys one preview: turn, comment, render, slot, apply, wait, ask the URL, last word.
//! It knows no event; whoever calls it has decided that this commit of this pull request is to be deployed.
//! Every path ends in [`Desk::finish`] and one last edit of the comment, also a failed or cancelled one.

mod aftermath;
mod apply;
mod contest;
pub(super) mod room;
mod settle;
mod wait;

pub(super) use room::finds_room;
pub(super) use settle::InLine;
pub(super) use wait::Waiting;

use super::{
    Ending, Failure, Ports,
    desk::{Ahead, Asking, Begun, Desk, House, Named, Taken},
    filter,
    heap::heap,
    hosts::Contest,
    restore::{self, Marks},
    show::announced,
    sources::Sources,
    teller::{Newer, Teller},
    unbroken::unbroken,
};
use crate::{
    capacity::{Members, Said, Shown, UnderWay},
    cluster::{
        Cluster, Existing, LastGood,
        outcome::{Applied, Change},
    },
    event::{PullRequest, Repository},
    github::{GitHub, GitHubError},
    inputs::configuration::Configuration,
    manifests::ManifestSet,
    names::{CommitSha, PrNumber, Secret, State},
    plan::{self, Facts, Plan},
    report::{Aftermath, Coming},
};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;

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
    /// The newest commit when this was decided; where `sha` is another one, somebody has asked for that by name.
    pub head: CommitSha,
    /// When somebody pushed, or gave the command, where that is known.
    pub at: Option<jiff::Timestamp>,
    /// Branch that it comes from: untrusted text.
    pub branch: String,
    /// Login of the pull request's author.
    pub author: String,
    /// True when it comes from a fork: the ledger must know this very commit as approved.
    pub fork: bool,
    /// True in the pull request's own run, whose images an earlier step has just built.
    pub own_run: bool,
    /// True when somebody asked for it by command: a deliberate removal ends with that.
    pub asked: bool,
    /// True in runs that the default branch's workflow governs: only they change the cap.
    pub governs: bool,
    /// How it comes to a slot.
    pub entrance: Entrance,
    /// The preview's sequence when this was decided, where that may be long ago: who has begun since then goes first.
    pub seen: Option<u64>,
}

/// How a preview comes to a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Entrance {
    /// It takes a free one, or does what the input `when-full` says.
    #[default]
    Ordinary,
    /// It stood in line, and one is free for it; another run that deploys it goes first.
    FromQueue,
    /// A maintainer makes room for it: it comes before all who wait.
    First,
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
    if let Some(head) = request.holds() {
        teller.is_named_before(head);
    }
    let facts = request.facts(ports.now());
    let desk = Desk::new(ports, cluster, facts.key(&ports.settings), request.governs)
        .unless_after(request.seen);
    let work = Work {
        ports,
        request,
        sources,
        cluster,
        desk: &desk,
        facts,
        began: AtomicBool::new(false),
        started: Instant::now(),
        notes: Mutex::default(),
    };
    let result = tokio::select! {
        result = unbroken(heap(|| work.run(teller))) => result,
        () = ports.stop.cancelled() => Err(Stopped::Cancelled),
    };
    if ports.stop.is_cancelled() {
        let ending = tokio::time::timeout(
            LAST_WORDS,
            heap(|| work.settle(Err(Stopped::Cancelled), teller)),
        )
        .await;
        return ending.unwrap_or_else(|_| Ending::cancelled());
    }
    // However long GitHub takes for the last word, no newer run is spoken over.
    desk.holding(heap(|| work.settle(result, teller))).await
}

impl DeployRequest {
    /// The newest commit, where another one is deployed in its place: it is held until somebody pushes or asks for it.
    pub(super) fn holds(&self) -> Option<&CommitSha> {
        Some(&self.head).filter(|head| **head != self.sha)
    }

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
            fork: self.fork,
            slot: None,
            extended: None,
            pinned: false,
        }
    }
}

/// Why a deploy, or what comes after it, ended before its end.
pub(super) enum Stopped {
    Failed(Failure),
    /// GitHub was in the way before anything was applied; the sweep goes on.
    Stalled(Failure),
    /// The pull request has moved on to this commit, or was closed, as GitHub says; the word is still ours.
    Superseded(Option<Newer>),
    /// The ledger knows a newer run, and the word is its.
    Overtaken,
    /// Hosts are made of slots, and the slot is another one than was thought.
    OtherSlot(u32),
    /// The preview stays at an earlier commit until somebody asks for this one.
    Held,
    /// It comes from a fork, and nobody has approved it.
    Unapproved,
    Full(Box<House>),
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
    /// True when this run made the Namespace.
    fresh: bool,
    /// The state that the Namespace says while this run is at work.
    says: State,
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
    started: Instant,
    notes: Mutex<Notes>,
}

/// What a run came to know, for the last word: it is also needed when the run was cut off.
#[derive(Default)]
struct Notes {
    spot: Option<Spot>,
    credentials: Option<Secret>,
    /// What is being seen of the Namespace since the turn was asked for.
    ahead: Ahead,
    /// What a later run needs to look there as early.
    members: Option<Members>,
    /// What was there before anything was applied.
    before: Arc<Existing>,
    /// What was applied; none while nothing was tried.
    touched: Option<Vec<Applied>>,
    aftermath: Option<Aftermath>,
    /// The commit that was brought back.
    restored: Option<CommitSha>,
    /// True when the commit before is known to be served still.
    old_serves: bool,
    /// True when some commit was ready in the Namespace before.
    was_ready: bool,
    /// True when this commit had not been tried before.
    first: bool,
    /// Since when the preview has waited in line, if it has.
    waiting: Option<jiff::Timestamp>,
    /// What was wanted before somebody named this commit.
    unnamed: Named,
    /// Marks of the last good sets, if they changed.
    marks: Option<Marks>,
    /// The quota that kept the preview asleep when the slot was asked for.
    quota: Option<String>,
    /// True once nothing keeps the preview asleep any more.
    awake: bool,
    /// True when GitHub was in the way, and nothing of the commit.
    github_failed: bool,
    /// True when the last word did not reach the comment.
    untold: bool,
    /// True when the run has nothing to say.
    silent: bool,
    /// Which comment is the preview's.
    comment: Option<Said>,
    /// What is shown of it beside the comment, once this run has looked after that.
    shown: Option<Shown>,
    /// What is promised there no more.
    ended: Vec<UnderWay>,
    /// The hosts that this run is about.
    contest: Option<Contest>,
}

impl Work<'_> {
    async fn run(&self, teller: &mut Teller<'_>) -> Result<Done, Stopped> {
        let asking = Asking {
            removed_on_purpose: self.request.asked.then_some(false),
            holds: self.request.holds().cloned(),
            at: self.request.at,
            by_command: (self.request.entrance != Entrance::FromQueue)
                .then_some(self.request.asked),
            removal: Begun::Revoked,
            looks_ahead: true,
            yields: self.request.entrance == Entrance::FromQueue,
            from_queue: self.request.entrance == Entrance::FromQueue,
            used: true,
            shows: Some(announced(self.ports, &self.request.sha)),
        };
        let taken = self.desk.take_turn(asking).await?;
        let mut taken = taken.ok_or(Stopped::Overtaken)?;
        teller.recalls(&taken.record);
        let tried = taken.record.attempted.as_ref().map(|last| &last.sha);
        teller.comes_after(taken.after_another, tried);
        lock(&self.notes).ahead = std::mem::take(&mut taken.ahead);
        self.began.store(true, Ordering::Relaxed);
        self.recall(&taken);
        // Whichever way led here: this is the last look before anything is done.
        if self.request.fork && taken.record.approved() != Some(&self.request.sha) {
            return Err(Stopped::Unapproved);
        }
        let removed = taken.record.removed_on_purpose;
        let held = taken.record.holds_back(&self.request.sha, self.request.at);
        // Who waits in line to wake has nothing alive and keeps that place; what somebody has named may have failed.
        let waits = taken.waiting.is_some() || taken.record.is_named();
        let waits = waits && self.request.entrance != Entrance::FromQueue;
        if (removed || held) && !self.request.asked {
            // A removal that failed has left the preview alive, and then there is something to bring up to date.
            match self.alive(&taken).await? {
                false if removed => return Err(Stopped::RemovedOnPurpose),
                alive if held && (alive || waits) => return Err(Stopped::Held),
                _ => {}
            }
        }
        tokio::select! {
            result = heap(|| self.work(&taken, teller)) => result,
            () = self.desk.lose_turn() => Err(Stopped::Overtaken),
        }
    }

    /// Notes what the run's record will say of the time before it.
    fn recall(&self, taken: &Taken) {
        let tried = taken.record.attempted.as_ref();
        let mut notes = lock(&self.notes);
        notes.first = tried.is_none_or(|last| last.sha != self.request.sha);
        notes.waiting = taken.waiting;
        notes.unnamed = taken.unnamed.clone();
    }

    /// True when the preview has its Namespace and nobody is deleting it.
    async fn alive(&self, taken: &Taken) -> Result<bool, Failure> {
        let Some(holder) = taken.holder.as_ref().filter(|one| one.uid.is_some()) else {
            return Ok(false);
        };
        let found = self.cluster.namespace(&holder.namespace).await?;
        Ok(found.is_some_and(|found| found.deleting.is_none() && holder.uid == Some(found.uid)))
    }

    async fn work(&self, taken: &Taken, teller: &mut Teller<'_>) -> Result<Done, Stopped> {
        let deadline = Instant::now() + self.ports.settings.timeout;
        teller.begin(taken.holder.as_ref(), &taken.record);
        self.comes_in_time(taken, teller).await?;
        teller.moves();
        teller.tell(State::Pending).await?;
        teller.posts();
        let configuration = self.sources.configuration(self.ports).await?;
        let mut slot = taken.slot;
        loop {
            let worked = self.work_in(slot, &configuration, taken, deadline, teller);
            match worked.await {
                // Once it is confirmed a slot stays, so this comes once, or after somebody deleted the Namespace.
                Err(Stopped::OtherSlot(other)) if Instant::now() < deadline => slot = other,
                result => return result,
            }
        }
    }

    /// Deploys for this slot; where hosts are made of slots and it gets another one, all is to be rendered anew.
    async fn work_in(
        &self,
        slot: u32,
        configuration: &Configuration,
        taken: &Taken,
        deadline: Instant,
        teller: &mut Teller<'_>,
    ) -> Result<Done, Stopped> {
        // By the server's clock, which all runs share; what somebody said of its life outlives a deploy.
        let facts = Facts {
            slot: Some(slot),
            now: taken.record.last_activity.unwrap_or(taken.now),
            extended: taken.record.extended,
            pinned: taken.record.pinned,
            ..self.facts.clone()
        };
        let plan = plan::decide(&self.ports.settings, configuration, &facts)?;
        teller.planned(&plan);
        let set = super::render::objects(self.ports, self.sources, &plan, configuration).await?;
        lock(&self.notes).contest = Some(Contest::of(&plan, &set, taken));
        let hosts = super::hosts::free(self.cluster, &plan, &set, taken, teller);
        let (head, hosts) = tokio::join!(self.still_head(), hosts);
        head.and(hosts.map_err(Stopped::Failed))?;
        self.enough_requests()?;
        self.fits(&plan, &set, taken, teller).await?;

        let applied = match self.live(&plan, &set, taken, deadline, teller).await {
            Err(Stopped::Failed(failure)) => {
                return Err(Box::pin(self.see_to(taken, failure, teller)).await);
            }
            other => other?,
        };
        self.still_head_at_the_end(teller).await?;
        self.keep(&plan, &set, taken, &applied, teller).await;

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
            unchanged: same && !teller.has_pruned() && unchanged(&applied),
        })
    }

    /// Applies, and waits until the preview is ready and answers.
    async fn live(
        &self,
        plan: &Plan,
        set: &ManifestSet,
        taken: &Taken,
        deadline: Instant,
        teller: &mut Teller<'_>,
    ) -> Result<Vec<Applied>, Stopped> {
        if let Some(contest) = &mut lock(&self.notes).contest {
            contest.begins();
        }
        let waiting = self.waiting(deadline);
        // Registries are asked while the cluster is at work; those that want the pull secret once it is known.
        let anonymous = self.ports.settings.pull_secret.is_none();
        let asking = anonymous.then(|| self.ask_revisions(plan));
        // On the heap, as the parts of every long story: their sizes would add up.
        let applied = heap(|| self.applied(plan, set, taken, waiting, teller)).await?;
        teller.applied(set, &applied);
        teller.show(State::Deploying);
        let asking = asking.unwrap_or_else(|| self.ask_revisions(plan));
        let ready = async {
            // Beside each other: who has to give way does so at once.
            tokio::try_join!(
                heap(|| waiting.ready(&plan.namespace, &applied, teller)),
                heap(|| self.alone(plan, set, taken, &applied))
            )
        };
        let (ready, revisions) = tokio::join!(ready, self.other_revisions(plan, asking));
        for (service, revision) in revisions {
            teller.other_revision(&service, &revision);
        }
        let ((), contested) = ready?;
        teller.rolled_over();
        teller.stage("wait until ready");
        heap(|| waiting.healthy(&plan.urls, teller)).await?;
        teller.stage("ask the address");
        if contested {
            heap(|| self.outlasts(plan, set, taken)).await?;
        }
        Ok(applied)
    }

    fn waiting(&self, deadline: Instant) -> Waiting<'_> {
        Waiting {
            ports: self.ports,
            cluster: self.cluster,
            desk: self.desk,
            deadline,
        }
    }

    /// Keeps what is ready now as the last good set, unless it is kept already; without it a preview is none the worse.
    async fn keep(
        &self,
        plan: &Plan,
        set: &ManifestSet,
        taken: &Taken,
        applied: &[Applied],
        teller: &mut Teller<'_>,
    ) {
        let Some(spot) = lock(&self.notes).spot.clone() else {
            return;
        };
        let known = if spot.fresh {
            Marks::none()
        } else {
            Marks::of(&taken.record)
        };
        let mut new = LastGood::of(self.request.sha.clone(), &plan.urls, set);
        let source = new.source(&spot.uid);
        if unchanged(applied)
            && known
                .good
                .as_ref()
                .is_some_and(|good| good.source == source)
        {
            return;
        }
        let kept = async {
            new.ran(&self.cluster.running_images(&plan.namespace).await?);
            restore::keep(self.cluster, &plan.namespace, source, &new, &known).await
        };
        let marks = match kept.await {
            Ok(Some(marks)) => marks,
            Ok(None) => {
                teller.warn("a failed update of this preview cannot be taken back: its objects take more than the 1 MiB that a Secret can hold".into());
                Marks::none()
            }
            Err(error) => {
                teller.warn(format!(
                    "a failed update of this preview cannot be taken back: {error}; {}",
                    error.remedy()
                ));
                Marks {
                    good: None,
                    before: known.good,
                }
            }
        };
        lock(&self.notes).marks = Some(marks);
    }

    /// The same as [`Self::still_head`] once the preview is ready: that GitHub does not answer makes no preview less ready.
    async fn still_head_at_the_end(&self, teller: &mut Teller<'_>) -> Result<(), Stopped> {
        match self.moved_on().await {
            // Nobody else deploys the newer commit now, and this one is ready.
            Ok(Some(Some(newer))) if newer.coming != Coming::AtOnce => {
                teller.overtaken_by(&newer);
                Ok(())
            }
            Ok(moved) => superseded(moved),
            Err(error) => {
                teller.warn(format!(
                    "whether {} is still the newest commit could not be asked: {}",
                    self.request.head.short(),
                    Failure::from(error).line()
                ));
                Ok(())
            }
        }
    }

    /// How the newest commit comes to be deployed; of a fork it is what needs an approval of its own.
    async fn coming(&self, pull: &PullRequest) -> Coming {
        if pull.from_fork() {
            return Coming::AtOnce;
        }
        match filter::lets_pushes_come(self.ports, pull).await {
            true if self.ports.settings.deploys_pushes() => Coming::AtOnce,
            true => Coming::Later,
            false => Coming::OnRequest,
        }
    }

    /// Ends a run that may have come behind the run of a newer commit, before it says anything over that one's words.
    async fn comes_in_time(&self, taken: &Taken, teller: &mut Teller<'_>) -> Result<(), Stopped> {
        let before = taken.record.newest.as_ref();
        let late = before.is_some_and(|before| self.ports.run.may_precede(before));
        if !taken.after_another && !late {
            return Ok(());
        }
        let in_time = self.still_head().await;
        if matches!(in_time, Err(Stopped::Superseded(_))) {
            // What the other has come to live is for the next word to say.
            teller.serves(None);
        }
        in_time
    }

    /// Ends the run when the pull request was closed or its head has moved since that was looked up.
    async fn still_head(&self) -> Result<(), Stopped> {
        superseded(self.moved_on().await?)
    }

    /// What came after the commit that was the newest: nothing, a newer one, or the end of the pull request.
    async fn moved_on(&self) -> Result<Option<Option<Newer>>, GitHubError> {
        let Some(github) = &self.ports.github else {
            return Ok(None);
        };
        let pull = github.pull(self.request.pr).await?;
        if pull.open && pull.head_sha == self.request.head {
            return Ok(None);
        }
        tracing::info!(head = %pull.head_sha, open = pull.open, "the pull request has moved on");
        if !pull.open {
            return Ok(Some(None));
        }
        let coming = self.coming(&pull).await;
        let sha = pull.head_sha;
        Ok(Some(Some(Newer { sha, coming })))
    }

    /// Ends the run while GitHub still takes the word that says why: what was applied must be told of.
    fn enough_requests(&self) -> Result<(), Stopped> {
        let github = self.ports.github.as_ref();
        let Some(until) = github.and_then(GitHub::takes_none_until) else {
            return Ok(());
        };
        let doing = format!("deploy {}", self.request.sha.short());
        Err(GitHubError::RateLimited { doing, until }.into())
    }
}

fn superseded(moved: Option<Option<Newer>>) -> Result<(), Stopped> {
    moved.map_or(Ok(()), |newer| Err(Stopped::Superseded(newer)))
}

fn unchanged(applied: &[Applied]) -> bool {
    applied
        .iter()
        .all(|applied| applied.change == Change::Unchanged)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
