//! Takes back what a commit was promised, once nobody goes on with it.
//! It decides nothing of when that is so, and changes nothing of the ledger.
//! A run that died may have made a deployment whose number nobody knows, so GitHub is asked for it then.

use super::{
    Verdict, Word,
    stand::{stand, status_of},
};
use crate::{
    capacity::{Deployed, UnderWay},
    github::{CommitState, CommitStatus, DeploymentState, GitHub, GitHubError},
    names::CommitSha,
};

/// Whether GitHub has taken it.
pub(super) type Told = Result<(), GitHubError>;

/// What serves.
#[derive(Debug, Clone, Default)]
pub(super) struct Live {
    /// The commit that was ready last.
    pub(super) sha: Option<CommitSha>,
    /// True when it has broken since.
    pub(super) broke: bool,
    pub(super) asleep: bool,
}

impl Live {
    /// What becomes of a commit's deployment when nobody goes on with it: the one that is live stays what it is.
    pub(super) fn without(&self, sha: &CommitSha) -> DeploymentState {
        match self.sha.as_ref() == Some(sha) && !self.asleep {
            true if self.broke => DeploymentState::Failure,
            true => DeploymentState::Success,
            false => DeploymentState::Inactive,
        }
    }

    /// What serves once a word is said.
    pub(super) fn after(&mut self, word: &Word) {
        if word.verdict == Verdict::Over || word.removed {
            *self = Self::default();
        } else if word.verdict == Verdict::Ready {
            *self = Self {
                sha: word.sha.clone(),
                ..Self::default()
            };
        }
    }
}

/// What takes promises back.
pub(super) struct Abandon {
    pub(super) github: GitHub,
    pub(super) context: String,
    pub(super) task: String,
    pub(super) live: Live,
    /// True when statuses may be written.
    pub(super) statuses: bool,
    /// True when deployments may be written.
    pub(super) deployments: bool,
}

impl Abandon {
    /// Says of a commit that nobody goes on with it: in its status, and as its deployment.
    pub(super) async fn end(&self, left: &UnderWay, word: &Word) -> (Told, Told) {
        tokio::join!(self.status(left, word), self.deployment(left, word))
    }

    async fn status(&self, left: &UnderWay, word: &Word) -> Told {
        let status = CommitStatus {
            state: CommitState::Error,
            context: &self.context,
            description: &word.text,
            target_url: word.more.as_deref(),
        };
        match self.statuses {
            true => self.github.set_status(&left.sha, &status).await,
            false => Ok(()),
        }
    }

    async fn deployment(&self, left: &UnderWay, word: &Word) -> Told {
        if !self.deployments {
            return Ok(());
        }
        let known = left.deployment.map(|id| Deployed {
            id,
            sha: left.sha.clone(),
        });
        let (environment, task) = (&self.context, &self.task);
        let found = stand(
            &self.github,
            &left.sha,
            environment,
            task,
            known.as_ref(),
            false,
        );
        let Some((found, _)) = found.await? else {
            return Ok(());
        };
        let status = status_of(self.live.without(&left.sha), word);
        self.github.set_deployment(found.id, &status).await
    }
}
