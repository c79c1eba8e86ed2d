//! Starts a run of this very workflow for who is first in line, where another run than this one has to deploy it.
//! It deploys nothing, and does not know what that run does.
//! Whether one comes of it only time shows, so it is noted when one was started, and how often that was in vain.

use super::Line;
use crate::{
    capacity::Waiting,
    cluster::Step,
    event::PullRequest,
    github::Unended,
    inputs::Promote,
    names::ReasonCode,
    pipeline::{Blame, Ending, Failure},
};
use jiff::{SignedDuration, Timestamp};

/// A workflow that was started to deploy a preview gets this long to begin with it, twice as long after each time in vain.
const CALLED: SignedDuration = SignedDuration::from_mins(10);

/// A run that was started for who waits is known by its age: GitHub makes it within this time.
const STARTS: SignedDuration = SignedDuration::from_mins(2);

/// How often that is doubled at most: ten hours.
const DOUBLED: u64 = 6;

impl Line<'_> {
    /// Starts a workflow that deploys it, unless one was started a moment ago or waits for its reviewer.
    pub(super) async fn call(
        &self,
        waiting: &Waiting,
        wakes: bool,
        pull: &PullRequest,
    ) -> Result<Option<Ending>, Failure> {
        let workflow = self.basis.ports.links.workflow.as_ref();
        if let (Some(called), Some(workflow)) = (waiting.called, workflow)
            && self.has_not_ended(called, workflow).await?
        {
            tracing::info!(pr = %waiting.pr, "a run that was started for who waits has not ended");
            return Ok(None);
        }
        let called = self.call_noted(&waiting.key, true).await?;
        if !called {
            return Ok(None);
        }
        let started = self.start(wakes, pull).await;
        if let Err(failure) = started {
            self.call_noted(&waiting.key, false).await?;
            return Err(failure);
        }
        let why = format!("a run was started to deploy #{}", waiting.pr);
        Ok(Some(Ending::quiet(None, ReasonCode::Queued, why)))
    }

    /// True while a run goes on that was started at that time, by anybody: GitHub does not say what for.
    async fn has_not_ended(&self, called: Timestamp, workflow: &str) -> Result<bool, Failure> {
        let ports = self.basis.ports;
        let runs = ports.github()?.unended_runs(workflow).await?;
        // Each age by the clock of the server that knows it.
        let waits = ports.now().duration_since(called);
        let then = |age: SignedDuration| (age - waits).abs() <= STARTS;
        let theirs = |run: &Unended| ports.run.workflow_run() != Some(run.id);
        Ok(runs
            .iter()
            .any(|run| theirs(run) && run.age.is_none_or(then)))
    }

    /// Of a fork it names the commit, which is approved, since a plan sees no approvals; and one that somebody has named.
    async fn start(&self, wakes: bool, pull: &PullRequest) -> Result<(), Failure> {
        let github = self.basis.ports.github()?;
        let Some(workflow) = &self.basis.ports.links.workflow else {
            let (input, remedy) = match self.basis.ports.settings.promote {
                Promote::Dispatch => ("promote", "set it to `run`"),
                Promote::Run => ("manifests", "the next run of the workflow starts one"),
            };
            return Err(Failure::new(
                Blame::Yours,
                ReasonCode::BadInput,
                format!("input `{input}`: the runner does not say which workflow this is"),
                remedy,
            ));
        };
        let branch = match &self.basis.repository.default_branch {
            Some(branch) => branch.clone(),
            None => github
                .repository()
                .await?
                .default_branch
                .unwrap_or_else(|| "main".into()),
        };
        let command = if wakes { "wake" } else { "deploy" };
        let mut inputs = vec![
            ("command", command.to_owned()),
            ("pr", pull.number.to_string()),
        ];
        let record = self.record(&pull.number.to_string());
        let sha = record.wanted(&pull.head_sha);
        if (pull.from_fork() || *sha != pull.head_sha) && !wakes {
            inputs.push(("sha", sha.to_string()));
        }
        match github.start_workflow(workflow, &branch, &inputs).await {
            // It may go on all the same, and is looked for before anybody is called again.
            Err(error) if error.may_have_happened() => {
                tracing::warn!(pr = %pull.number, "whether a run was started is not known: {error}");
                Ok(())
            }
            started => Ok(started?),
        }
    }

    /// Notes that a workflow was started, or that it was not; false when another run has just done so.
    async fn call_noted(&self, key: &str, called: bool) -> Result<bool, Failure> {
        // An answer may be lost: then the second look finds what the first one wrote.
        let mut ours = None;
        let noted = self.cluster.transact(&self.ledger, |ledger, moment| {
            let waiting = ledger.queue.iter_mut().find(|one| one.key == key);
            let patience =
                CALLED * (1 << waiting.as_ref().map_or(0, |one| one.in_vain.min(DOUBLED)));
            let young = |at: &Timestamp| moment.now.duration_since(*at) < patience;
            match waiting {
                // It is tried again by every run, and nobody waits for that.
                Some(waiting) if !called => {
                    waiting.called = None;
                    waiting.in_vain = waiting.in_vain.max(1);
                }
                Some(waiting) if ours.is_some() && waiting.called == ours => {
                    return Step::Keep(true);
                }
                Some(waiting) if !waiting.called.as_ref().is_some_and(young) => {
                    ours = Some(moment.now);
                    waiting.in_vain += u64::from(waiting.called.is_some());
                    waiting.called = ours;
                }
                _ => return Step::Keep(false),
            }
            Step::Write(true)
        });
        Ok(noted.await?.unwrap_or_default())
    }
}
