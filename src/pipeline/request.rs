//! Turns a pull request as GitHub shows it now into what is deployed of it, and the files that it is made from.
//! It decides nothing about permission, and asks GitHub only for the commits that may be named.
//! One place for every way into a deploy, so that a promoted preview can never take another one's manifests or rights.

use super::{DeployRequest, Entrance, Failure, Ports, Sources, sources::checked_out};
use crate::{
    event::{PullRequest, Repository},
    inputs::ConfigFrom,
    names::CommitSha,
    trigger::{Commit, Denied, permission},
};
use std::path::Path;

/// On whose word something is deployed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    /// The pull request's own event.
    Event {
        /// True for `pull_request_target`.
        target: bool,
    },
    /// A workflow has built its newest commit.
    Built,
    /// Somebody's command.
    Asked(Entrance),
    /// Its place in line.
    Promoted {
        /// True in runs that the default branch's workflow governs.
        governs: bool,
    },
    /// The sweep's: its own run never came.
    Missed {
        /// True where the cap that this run was given is the workflow's.
        governs: bool,
    },
}

/// The commit that is meant, pinned for the whole run; whether another one than the newest is the pull request's GitHub's own list says.
pub async fn pinned(
    ports: &Ports,
    commit: &Commit,
    pull: &PullRequest,
) -> Result<Result<CommitSha, Denied>, Failure> {
    let Some(sha) = commit.names_another(pull) else {
        return Ok(commit.pin(pull));
    };
    let commits = ports.github()?.pull_commits(pull.number).await?;
    Ok(permission::may_name(sha, pull, &commits).map(|()| sha.clone()))
}

/// What every request of a run has in common.
#[derive(Clone, Copy)]
pub(super) struct Basis<'a> {
    pub(super) ports: &'a Ports,
    pub(super) repository: &'a Repository,
    pub(super) workspace: Option<&'a Path>,
}

impl Basis<'_> {
    /// What is deployed of a pull request at this commit, and from where.
    pub(super) fn request(
        &self,
        word: Word,
        sha: CommitSha,
        pull: &PullRequest,
    ) -> (DeployRequest, Sources) {
        let own_run = matches!(word, Word::Event { .. });
        let sources = match self.ports.settings.config_from {
            // What a fork says of itself is never read, nor what its steps may have left in the workspace.
            _ if pull.from_fork() => Sources::at(&pull.base_sha, None),
            ConfigFrom::Head => Sources::at(&sha, self.workspace),
            ConfigFrom::Base => Sources::at(&pull.base_sha, self.workspace),
        };
        let sources = self.manifests_for(sources, word, &sha, pull);
        let request = DeployRequest {
            repository: self.repository.clone(),
            pr: pull.number,
            sha,
            head: pull.head_sha.clone(),
            at: None,
            branch: pull.head_branch.clone(),
            author: pull.author.login.clone(),
            fork: pull.from_fork(),
            own_run,
            asked: matches!(word, Word::Asked(_)),
            governs: matches!(
                word,
                Word::Asked(_)
                    | Word::Built
                    | Word::Promoted { governs: true }
                    | Word::Missed { governs: true }
            ),
            entrance: match word {
                Word::Event { .. } | Word::Built | Word::Missed { .. } => Entrance::Ordinary,
                Word::Asked(entrance) => entrance,
                Word::Promoted { .. } => Entrance::FromQueue,
            },
            seen: None,
        };
        (request, sources)
    }

    /// True when this run can deploy a commit with all that earlier steps write for it, or as well as any other run: nothing of a
    /// fork is read.
    pub(super) fn has_manifests_of(&self, sha: &CommitSha, pull: &PullRequest) -> bool {
        self.ports.settings.manifests.is_empty()
            || pull.from_fork()
            || self.workspace.and_then(checked_out).as_ref() == Some(sha)
    }

    /// Lets the workspace's manifests in where they must be this commit's: never a fork's, and in runs that others have
    /// started only when the workspace is at that very commit.
    fn manifests_for(
        &self,
        sources: Sources,
        word: Word,
        sha: &CommitSha,
        pull: &PullRequest,
    ) -> Sources {
        let own_run = matches!(word, Word::Event { .. });
        match self.workspace {
            _ if pull.from_fork() || word == (Word::Event { target: true }) => sources
                .without_manifests(
                    "what steps write for a fork is the fork's own".into(),
                    "deploy services or templates for pull requests from forks",
                ),
            Some(root) if own_run || checked_out(root).as_ref() == Some(sha) => {
                sources.with_manifests_below(root)
            }
            Some(_) => sources.without_manifests(
                format!(
                    "the workspace is not at commit {}, so its manifests may be another's",
                    sha.short()
                ),
                "check out the pull request's head in the step before the one that writes them",
            ),
            None => sources,
        }
    }
}
