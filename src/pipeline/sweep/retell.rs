//! Says anew what is so, where the comment of a preview says otherwise: a run died, a word was lost, pods broke or are well again.
//! It deploys and removes nothing; each word is said in a turn of its own, unless somebody has begun since the sweep looked.

use super::{
    broom::{Broom, tolerant},
    task::Task,
};
use crate::{
    cluster::{outcome, outcome::Verdict},
    event::PullRequest,
    names::{Namespace, PreviewKey, ReasonCode, State},
    pipeline::{
        Blame, Ending, Failure, Status, delete, inspect, remove::RemoveReason, teller::Teller,
    },
};
use std::time::Duration;
use tokio::time::Instant;

/// What a node gets to repair what is not ready, before people are told.
const REPAIR: Duration = Duration::from_secs(60);

impl Broom<'_> {
    /// Says what is so, because the comment does not; what is stuck is a failure each time.
    pub(super) async fn tell(
        &self,
        preview: &PreviewKey,
        pull: &PullRequest,
    ) -> Result<Ending, Failure> {
        let desk = self.desk(preview)?;
        let Some(taken) = self.turn(&desk).await? else {
            return Ok(Ending::superseded());
        };
        let status = inspect::status(self.ports, preview).await?;
        let mut teller = self.teller(preview);
        teller.about(&pull.head_sha);
        let ending = match self.held(&status).await? {
            Some(failure) if !taken.record.untold && teller.says_stuck().await? => {
                teller.recalls(&taken.record);
                Ending::failed(failure)
            }
            Some(failure) => teller.stuck(failure, RemoveReason::Asked).await,
            None => self.look(status, pull, &mut teller).await,
        };
        self.notes(&desk, None, &teller).await?;
        Ok(ending)
    }

    /// Says what is so where a comment names a place in a line that was lost.
    pub(super) async fn correct(
        &self,
        preview: &PreviewKey,
        pull: &PullRequest,
    ) -> Result<Ending, Failure> {
        if self.teller(preview).says_queued().await? {
            return self.tell(preview, pull).await;
        }
        let why = "its comment names no place in line";
        Ok(Ending::quiet(None, ReasonCode::Unchanged, why))
    }

    /// What holds a Namespace that should have gone.
    async fn held(&self, status: &Status) -> Result<Option<Failure>, Failure> {
        let stuck = status.preview.as_ref();
        let stuck = stuck.filter(|_| status.state() == State::Stuck);
        let Some(name) = stuck.map(|preview| &preview.namespace) else {
            return Ok(None);
        };
        let cluster = self.ports.cluster()?;
        let found = cluster.namespace(name).await?;
        let since = found.as_ref().and_then(|info| info.deleting);
        let after = since.map(|since| self.ports.now().duration_since(since));
        let after = after.and_then(|after| after.try_into().ok());
        let by = cluster.obstacles(name, found.as_ref()).await;
        let reason = ReasonCode::RemovalStuck;
        Ok(Some(delete::stuck(
            reason,
            name,
            after.unwrap_or_default(),
            &by,
        )))
    }

    /// Says what a look has shown.
    async fn look(
        &self,
        mut status: Status,
        pull: &PullRequest,
        teller: &mut Teller<'_>,
    ) -> Ending {
        // Who is at work is this run itself.
        status.busy = false;
        let reason = ReasonCode::StatusShown;
        teller.status(&status, &pull.head_sha, reason).await
    }

    /// Ends the turn of a run that has died, and says so where the comment still promises something.
    pub(super) async fn end(
        &self,
        preview: &PreviewKey,
        pull: &PullRequest,
    ) -> Result<Ending, Failure> {
        let desk = self.desk(preview)?;
        let Some(taken) = self.turn(&desk).await? else {
            return Ok(Ending::superseded());
        };
        let mut teller = self.teller(preview);
        let shown = taken.record.shown.under_way.as_ref();
        teller.about(shown.map_or(&pull.head_sha, |shown| &shown.sha));
        let wanted = taken.record.wanted(&pull.head_sha);
        if *wanted != pull.head_sha && shown.is_some_and(|shown| shown.sha == *wanted) {
            teller.is_named_before(&pull.head_sha);
        }
        let promises = teller.promises().await?;
        let hangs = !promises && taken.record.shown.promises();
        // Where no comment was begun, nothing but the status knows how far that run came.
        let silent = hangs && teller.comment_so_far().await?.is_none();
        let ending = match promises || silent {
            true => {
                teller.begin(taken.holder.as_ref(), &taken.record);
                let failure = Failure::new(
                    Blame::Theirs,
                    ReasonCode::RunLost,
                    "the run that was at work on this preview ended without a word",
                    "look into its log, then push or comment `/deploy`",
                );
                tolerant(teller.failed(failure).await)
            }
            false if hangs => {
                let status = inspect::status(self.ports, preview).await?;
                self.look(status, pull, &mut teller).await
            }
            false => {
                teller.recalls(&taken.record);
                Ending::quiet(None, ReasonCode::RunLost, "its comment is true")
            }
        };
        self.notes(&desk, None, &teller).await?;
        Ok(ending)
    }

    /// Gives what is not ready the time that a node takes to repair it, and says what is wrong if that does not help.
    pub(super) async fn diagnose(
        &self,
        task: &Task,
        pull: &PullRequest,
    ) -> Result<Ending, Failure> {
        let cluster = self.ports.cluster()?;
        let unready = self.sight.unready.as_ref();
        let broken = unready.and_then(|all| all.get(task.namespace.as_str()));
        let causes = match broken {
            Some(broken) => {
                let deadline = Instant::now() + cluster.patience(REPAIR);
                let stop = &self.ports.stop;
                let rollout = cluster
                    .wait_until_ready(&task.namespace, broken, deadline, stop, &mut |_| {})
                    .await?;
                match rollout.verdict {
                    Verdict::Failed(causes) | Verdict::TimedOut(causes) => {
                        Some((causes, rollout.workloads))
                    }
                    _ => None,
                }
            }
            None => {
                let found = cluster.workloads(&task.namespace).await?;
                let gone = || (vec![nothing_runs(&task.namespace)], Vec::new());
                found.is_empty().then(gone)
            }
        };
        let Some((causes, workloads)) = causes else {
            let why = "it has recovered by itself";
            return Ok(Ending::quiet(State::Ready, ReasonCode::Unchanged, why));
        };
        let desk = self.desk(&task.preview)?;
        let Some(taken) = self.turn(&desk).await? else {
            return Ok(Ending::superseded());
        };
        let mut teller = self.teller(&task.preview);
        let live = taken.record.serving.as_ref();
        teller.about(live.unwrap_or(&pull.head_sha));
        teller.begin(taken.holder.as_ref(), &taken.record);
        teller.progressed(&workloads);
        let ending = teller.degraded(causes).await;
        self.notes(&desk, Some(true), &teller).await?;
        Ok(ending)
    }

    pub(super) async fn recover(&self, task: &Task, pull: &PullRequest) -> Result<Ending, Failure> {
        let desk = self.desk(&task.preview)?;
        let Some(taken) = self.turn(&desk).await? else {
            return Ok(Ending::superseded());
        };
        let mut status = inspect::status(self.ports, &task.preview).await?;
        // Who is at work is this run itself, and it has seen that nothing is broken any more.
        status.busy = false;
        status.recovered();
        let mut teller = self.teller(&task.preview);
        if let Some(live) = taken
            .record
            .serving
            .as_ref()
            .filter(|_| taken.record.broken)
        {
            teller.recalls(&taken.record);
            teller.mended(live).await;
        }
        teller.about(&pull.head_sha);
        let reason = ReasonCode::StatusShown;
        let ending = teller.status(&status, &pull.head_sha, reason).await;
        self.notes(&desk, Some(false), &teller).await?;
        Ok(ending)
    }
}

/// That somebody deleted what was deployed.
fn nothing_runs(namespace: &Namespace) -> outcome::Failure {
    outcome::Failure {
        reason: ReasonCode::Degraded,
        object: None,
        origin: None,
        cause: format!(
            "nothing runs in namespace {namespace} any more: its workloads were deleted"
        ),
        remedy: "comment `/deploy` to have them made again".into(),
        evidence: Vec::new(),
    }
}
