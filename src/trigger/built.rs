//! Decides whether the end of another workflow deploys what that workflow has built.
//! It asks nobody: which pull requests the commit belongs to is GitHub's to say, never the payload's list, which is empty for forks.
//! It fails closed: without the name of the one workflow that counts none does, because any workflow of a pull request can end well.

use super::Trigger;
use crate::{
    event::{BuildEvent, Repository, User},
    inputs::Settings,
    names::{CommitSha, ReasonCode, RepoId},
};
use jiff::Timestamp;

/// A commit that was built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build {
    /// Repository.
    pub repository: Repository,
    /// Commit.
    pub sha: CommitSha,
    /// Branch that it is of: untrusted text.
    pub branch: String,
    /// Repository of that branch.
    pub head_repository: RepoId,
    /// Login of who owns that repository.
    pub head_owner: String,
    /// When that was begun, if the event says it.
    pub begun: Option<Timestamp>,
    /// When it was built, if the event says it.
    pub at: Option<Timestamp>,
    /// Who caused the event.
    pub sender: User,
}

/// The trigger of a workflow that has ended.
pub(super) fn decide(event: &BuildEvent, settings: &Settings) -> Trigger {
    let why = match &settings.build_workflow {
        None => "the input `build-workflow` does not say which workflow's success deploys",
        Some(path) if !is_at(&event.path, path) => {
            "it was not the workflow that the input `build-workflow` names"
        }
        Some(_) if event.of != event.repository.id => "it was a workflow of another repository",
        Some(_) if event.event != "pull_request" => "it did not run for a pull request",
        Some(_) if !event.succeeded => "it did not end well",
        Some(_) if !settings.auto_deploy => {
            let why = "automatic deploys are off; `/deploy` deploys what was built";
            return Trigger::ignore(ReasonCode::AutoDeployOff, why);
        }
        Some(_) => {
            return Trigger::Built(Build {
                repository: event.repository.clone(),
                sha: event.sha.clone(),
                branch: event.branch.clone(),
                head_repository: event.head_repository,
                head_owner: event.head_owner.clone(),
                begun: event.begun,
                at: event.at,
                sender: event.sender.clone(),
            });
        }
    };
    let why = format!("the workflow run that ended deploys nothing: {why}");
    Trigger::ignore(ReasonCode::BuildIgnored, why)
}

/// GitHub sometimes writes a ref behind the path.
fn is_at(found: &str, path: &str) -> bool {
    found
        .strip_prefix(path)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('@'))
}
