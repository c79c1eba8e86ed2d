//! Deploys one preview: turn, comment, render, slot, apply, wait, ask the URL, last word.
//! It knows no event; whoever calls it has decided that this commit of this pull request is to be deployed.
//! Every path ends in [`Desk::finish`] and one last edit of the comment, also a failed or cancelled one.

use super::{
    Ending, Failure, Ports,
    ask::Answer,
    desk::{self, Asking, Desk, HEARTBEAT, Place, Taken},
    sources::Sources,
    teller::Teller,
};
use crate::{
    capacity::{self, Holder, Record},
    cluster::{
        Cluster, Existing, Reapplied, SecretRef,
        outcome::{Applied, Change, Verdict, WorkloadStatus},
    },
    event::Repository,
    inputs::HealthMode,
    manifests::{self, ManifestSet},
    names::{CommitSha, PrNumber, ReasonCode, Secret, State},
    plan::{self, Facts, Plan},
    registry,
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

    /// Takes a slot and applies; starts over when the Namespace vanishes meanwhile.
    async fn applied(
        &self,
        plan: &Plan,
        set: &ManifestSet,
        taken: &Taken,
        teller: &mut Teller<'_>,
    ) -> Result<Vec<Applied>, Stopped> {
        let mut known = None;
        if let Some(holder) = &taken.holder
            && let Some(uid) = &holder.uid
        {
            if holder.namespace == plan.namespace {
                known = Some((holder.slot, uid.clone()));
            } else {
                // The pattern or the repository's name has changed: two Namespaces in one slot would be above the cap.
                self.desk.vacate(&holder.namespace, uid).await?;
            }
        }
        for _ in 0..3 {
            let (slot, uid, fresh) = match known.take() {
                Some((slot, uid)) => (slot, uid, false),
                None => {
                    let object = |slot| manifests::namespace(plan, slot, State::Deploying, None);
                    match self
                        .desk
                        .place(&plan.namespace, plan.pr, &self.request.author, object)
                        .await?
                    {
                        Place::Ours { slot, uid, fresh } => (slot, uid, fresh),
                        Place::Full { holders, capacity } => {
                            return Err(Stopped::Full { holders, capacity });
                        }
                    }
                }
            };
            *lock(&self.spot) = Some(Spot {
                plan: plan.clone(),
                slot,
                uid: uid.clone(),
            });
            teller.placed(plan, slot, taken.capacity);
            let existing = if fresh {
                Existing::default()
            } else {
                let object = manifests::namespace(plan, slot, State::Deploying, Some(&uid));
                let (namespace, existing) = tokio::join!(
                    self.cluster.apply_namespace(&object),
                    self.cluster.existing(&plan.namespace, set)
                );
                if !matches!(namespace?, Reapplied::Live(_)) {
                    self.desk.forget(&plan.namespace, &uid).await?;
                    continue;
                }
                existing?
            };
            let mut unseen = |_: &Applied| {};
            let apply = self
                .cluster
                .apply(set, &plan.namespace, &existing, &mut unseen);
            if fresh {
                // Pods that start before their pull secret is there fail once and wait ten seconds.
                self.copy_pull_secret(plan).await?;
                return Ok(apply.await?);
            }
            let (copied, applied) = tokio::join!(self.copy_pull_secret(plan), apply);
            copied?;
            return Ok(applied?);
        }
        Err(Stopped::Failed(Failure::new(
            super::Blame::Theirs,
            ReasonCode::NamespaceTerminating,
            format!(
                "namespace {} was deleted again and again while the preview was deployed",
                plan.namespace
            ),
            "look who else deletes it, then deploy again",
        )))
    }

    async fn copy_pull_secret(&self, plan: &Plan) -> Result<(), Failure> {
        let Some(source) = &self.ports.settings.pull_secret else {
            return Ok(());
        };
        let source = SecretRef {
            namespace: source.namespace.clone(),
            name: source.name.clone(),
        };
        *lock(&self.credentials) = Some(self.cluster.copy_secret(&source, &plan.namespace).await?);
        Ok(())
    }

    /// Waits until every workload is ready, telling people about it.
    async fn ready(
        &self,
        plan: &Plan,
        applied: &[Applied],
        deadline: Instant,
        teller: &mut Teller<'_>,
    ) -> Result<(), Stopped> {
        let (seen, mut news) = tokio::sync::watch::channel(Vec::new());
        let mut on_progress = |workloads: &[WorkloadStatus]| {
            seen.send_replace(workloads.to_vec());
        };
        let wait = self.cluster.wait_until_ready(
            &plan.namespace,
            applied,
            deadline,
            &self.ports.stop,
            &mut on_progress,
        );
        tokio::pin!(wait);
        let mut tick = tokio::time::interval(TICK);
        let rollout = loop {
            tokio::select! {
                rollout = &mut wait => break rollout?,
                Ok(()) = news.changed() => teller.progressed(&news.borrow_and_update()),
                _ = tick.tick(), if teller.has_news() => {
                    if !self.desk.alive().await? {
                        return Err(Stopped::Superseded);
                    }
                    // The last word meets the same fault if it lasts; the preview itself is none the worse for it.
                    if let Err(failure) = teller.tell(State::Deploying).await {
                        tracing::warn!(reason = %failure.reason(), "the comment lags behind: {}", failure.line());
                    }
                }
            }
        };
        teller.progressed(&rollout.workloads);
        for warning in rollout.warnings {
            teller.warn(warning);
        }
        match rollout.verdict {
            Verdict::Ready => Ok(()),
            Verdict::Failed(causes) | Verdict::TimedOut(causes) => Err(Stopped::Failed(Failure {
                blame: super::Blame::Yours,
                causes,
            })),
            Verdict::Stopped => Err(Stopped::Cancelled),
        }
    }

    /// Services whose image says that it is of another commit; an image that does not say or cannot be asked is none.
    async fn revisions(&self, plan: &Plan) -> Vec<(String, CommitSha)> {
        let credentials = lock(&self.credentials).clone();
        let asked = plan.services.iter().filter(|service| service.mutable_tag).map(|service| {
            let credentials = credentials.clone();
            async move {
                match registry::revision(&service.image, credentials.as_ref(), self.ports.extra_ca()).await {
                    Ok(revision) => Some((service.name.to_string(), revision.filter(|revision| *revision != self.request.sha)?)),
                    Err(error) => {
                        tracing::debug!(service = %service.name, "the image's commit is not known: {error}");
                        None
                    }
                }
            }
        });
        futures::future::join_all(asked)
            .await
            .into_iter()
            .flatten()
            .collect()
    }

    /// Asks the public addresses until they answer.
    async fn healthy(
        &self,
        plan: &Plan,
        deadline: Instant,
        teller: &mut Teller<'_>,
    ) -> Result<(), Stopped> {
        if self.ports.settings.health == HealthMode::Off {
            return Ok(());
        }
        let probes = plan
            .urls
            .iter()
            .map(|url| super::ask::ask(self.ports, url, deadline));
        let mut causes = Vec::new();
        for answer in futures::future::join_all(probes).await {
            match answer {
                Answer::Healthy => {}
                Answer::Warning(text) => teller.warn(text),
                Answer::Failed(cause) => causes.push(*cause),
            }
        }
        if causes.is_empty() {
            Ok(())
        } else {
            Err(Stopped::Failed(Failure {
                blame: super::Blame::Yours,
                causes,
            }))
        }
    }

    /// Ends the turn and says the last word, unless a newer run has the word.
    async fn settle(&self, result: Result<Done, Stopped>, teller: &mut Teller<'_>) -> Ending {
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

    async fn finish(&self, state: State, done: Option<&Done>) -> Result<bool, Failure> {
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
    async fn mark(&self, state: State) {
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

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
