//! The story of a pull request from a fork: nothing of it runs but the one commit that a maintainer has named.
//! It reads nothing that the fork has written and takes nobody's word but that of the collaborator endpoint.
//! All ways into a deploy pass the same gate, and the deploy itself asks the ledger once more.

use super::{Story, quiet};
use crate::{
    event::PullRequest,
    names::ReasonCode,
    pipeline::{Ending, Failure, approval, inspect, teller::Teller},
    trigger::{Asked, Denied, permission},
};

/// Why there is nothing to approve.
pub(super) const NO_FORK: &str =
    "this pull request comes from no fork, so nothing has to be approved";

impl Story<'_> {
    /// Lets through what may be deployed; else says what it needs. The event of a fork never deploys, not even what is approved.
    pub(super) async fn gate(&self, pull: &PullRequest) -> Result<Result<(), Ending>, Failure> {
        let own_event = matches!(self.request.asked, Asked::Event { .. });
        let approved = match pull.from_fork() && !own_event {
            true => approval::approved(self.ports, &self.preview()).await?,
            false => None,
        };
        match permission::may_deploy(pull, approved.as_ref()) {
            Ok(()) => Ok(Ok(())),
            Err(denied) if denied.reason == ReasonCode::ApprovalNeeded => {
                let mut teller = self.teller(&pull.head_sha, pull.open);
                Ok(Err(self.ask(pull, &mut teller).await?))
            }
            Err(denied) if self.request.asked.is_event() => Ok(Err(quiet(denied))),
            Err(denied) => Ok(Err(self.denied(pull, denied).await?)),
        }
    }

    /// Says that the newest commit needs approval; a fork's own run may have no right to, and then the sweep does.
    async fn ask(&self, pull: &PullRequest, teller: &mut Teller<'_>) -> Result<Ending, Failure> {
        let asks = !self.request.asked.is_event();
        let ending = approval::ask(self.ports, &self.preview(), pull, asks, teller).await?;
        let own_run = matches!(self.request.asked, Asked::Event { target: false, .. });
        match &ending.failure {
            Some(failure) if own_run && failure.reason() == ReasonCode::GithubRefused => {
                let why = format!(
                    "the commit comes from a fork and needs approval; this run could not say so: {}",
                    failure.line()
                );
                Ok(Ending::quiet(ending.state, ReasonCode::ApprovalNeeded, why))
            }
            _ => Ok(ending),
        }
    }

    /// Lets one commit of a fork run, and deploys it.
    pub(super) async fn approve(&self) -> Result<Ending, Failure> {
        if let Err(denied) = self.people_ask() {
            return Ok(quiet(denied));
        }
        let pull = match self
            .pull_for((permission::may_approve, self.maintainers()))
            .await?
        {
            Ok(pull) => pull,
            Err(denied) => return Ok(quiet(denied)),
        };
        if !pull.from_fork() {
            return self.answered(&pull, NO_FORK.into()).await;
        }
        if let Err(denied) = permission::may_be_approved(&pull) {
            return self.denied(&pull, denied).await;
        }
        let sha = match self.request.commit.pin(&pull) {
            Ok(sha) => sha,
            Err(denied) => {
                let line = format!("nothing was approved: {}", denied.cause);
                return self.answered(&pull, line).await;
            }
        };
        approval::approve(self.ports, &self.preview(), &sha, self.asker()).await?;
        Ok(self.deploy_at(&sha, &pull).await)
    }

    /// Refuses what no person has asked for.
    pub(super) fn people_ask(&self) -> Result<(), Denied> {
        let (attempt, actor) = (self.caller.attempt, self.caller.actor);
        if !self.request.asked.must_ask(attempt, actor).is_empty() {
            return Ok(());
        }
        Err(Denied {
            reason: ReasonCode::PermissionDenied,
            cause: "a workflow has asked to approve a commit, and only people read one".into(),
            remedy: "a maintainer comments `/approve` with the commit".into(),
        })
    }

    fn asker(&self) -> &str {
        match &self.request.asked {
            Asked::Event { sender, .. }
            | Asked::Build { sender, .. }
            | Asked::Dispatch { sender } => &sender.login,
            Asked::Comment { author, .. } => &author.login,
        }
    }

    /// Says in one line why nothing was approved, above what is so.
    async fn answered(&self, pull: &PullRequest, line: String) -> Result<Ending, Failure> {
        let mut teller = self.teller(&pull.head_sha, pull.open);
        teller.answer_with(&line);
        let shown = self.show(pull, &mut teller).await?;
        Ok(shown.because(ReasonCode::NothingToApprove).answering(line))
    }

    /// Shows what is so: of a fork's newest commit that nobody has approved, that it needs approval.
    pub(super) async fn show(
        &self,
        pull: &PullRequest,
        teller: &mut Teller<'_>,
    ) -> Result<Ending, Failure> {
        let preview = self.preview();
        if pull.from_fork() && permission::may_be_approved(pull).is_ok() {
            let approved = approval::approved(self.ports, &preview).await?;
            if approved.as_ref() != Some(&pull.head_sha) {
                return approval::ask(self.ports, &preview, pull, false, teller).await;
            }
        }
        inspect::show(self.ports, &preview, &pull.head_sha, teller).await
    }

    /// Says again that a fork's newest commit needs approval, where a word about the commit that runs has taken the place of that.
    pub(super) async fn asked_still(&self, ending: &Ending, pull: &PullRequest) {
        let words = [ReasonCode::RolledBack, ReasonCode::Woken, ReasonCode::Slept];
        let spoke = words.contains(&ending.reason);
        let may_be = pull.from_fork() && permission::may_be_approved(pull).is_ok();
        if !spoke || !may_be || self.ports.stop.is_cancelled() {
            return;
        }
        let asked = async {
            let approved = approval::approved(self.ports, &self.preview()).await?;
            if approved.as_ref() != Some(&pull.head_sha) {
                let mut teller = self.teller(&pull.head_sha, pull.open);
                self.ask(pull, &mut teller).await?;
            }
            Ok::<_, Failure>(())
        };
        if let Err(failure) = asked.await {
            tracing::warn!(reason = %failure.reason(), "that the newest commit needs approval is not said again: {}", failure.line());
        }
    }

    /// How a deploy ended; no run of its own follows what a fork has pushed meanwhile, so this one says that it needs approval.
    pub(super) async fn asked_anew(&self, ending: Ending, pull: &PullRequest) -> Ending {
        let overtaken = pull.from_fork() && ending.reason == ReasonCode::Superseded;
        if !overtaken || self.ports.stop.is_cancelled() {
            return ending;
        }
        let asked = async {
            let now = self.ports.github()?.pull(pull.number).await?;
            if now.head_sha == pull.head_sha || permission::may_be_approved(&now).is_err() {
                return Ok(None);
            }
            let mut teller = self.teller(&now.head_sha, now.open);
            self.ask(&now, &mut teller).await.map(Some)
        };
        match asked.await {
            Ok(asked) => asked.unwrap_or(ending),
            Err(failure) => {
                tracing::warn!(reason = %failure.reason(), "the sweep says that the newest commit needs approval: {}", failure.line());
                ending
            }
        }
    }
}
