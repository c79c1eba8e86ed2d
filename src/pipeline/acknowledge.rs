//! Shows under a command that it was read, that it has begun, and how it ended.
//! It never fails a run and never holds one up: whoever cannot react says so in the log.
//! Strangers get a reaction and no comment, so that nobody can make us write.

use super::{Ending, Exit, Ports};
use crate::{
    github::{GitHubError, Reaction},
    names::{ReasonCode, State},
    trigger::{Commit, Request, Trigger},
};
use std::time::Duration;

/// What a courtesy may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Reacts to the comment that a trigger came from, if one did.
pub(super) async fn react(ports: &Ports, trigger: &Trigger, reaction: Reaction) {
    let comment = trigger
        .request()
        .and_then(|request| request.asked.comment());
    let (Some(comment), Some(github)) = (comment, &ports.github) else {
        return;
    };
    let without = format!("no reaction {}", reaction.as_str());
    courtesy(&without, github.react(comment, reaction)).await;
}

/// GitHub's answer to what nothing hangs on; where there is none, the log says what the run goes on without.
pub(super) async fn courtesy<T>(
    without: &str,
    asked: impl Future<Output = Result<T, GitHubError>>,
) -> Option<T> {
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(Ok(answer)) => return Some(answer),
        Ok(Err(error)) => tracing::info!("{without}: {error}"),
        Err(_) => tracing::info!("{without}: GitHub took too long"),
    }
    None
}

/// The reaction that says how a command ended; none when another run goes on with it.
pub(super) fn verdict(trigger: &Trigger, ending: &Ending) -> Option<Reaction> {
    let refused = ending.view.as_ref().map(|view| view.state) == Some(State::Refused);
    match ending.reason {
        ReasonCode::PermissionDenied => Some(Reaction::MinusOne),
        // Whoever names a commit means no other.
        ReasonCode::Superseded if named(trigger) => Some(Reaction::Confused),
        ReasonCode::Superseded | ReasonCode::Cancelled => None,
        ReasonCode::NotACommand
        | ReasonCode::CommentWithdrawn
        | ReasonCode::TooManyCommands
        | ReasonCode::NoPreview
        | ReasonCode::NothingToRollBack
        | ReasonCode::AtCapacity
        | ReasonCode::ForkRefused
        | ReasonCode::ApprovalNeeded
        | ReasonCode::NothingToApprove
        | ReasonCode::PullRequestClosed => Some(Reaction::Confused),
        _ if refused || ending.failure.is_some() || ending.exit != Exit::Done => {
            Some(Reaction::Confused)
        }
        _ => Some(Reaction::PlusOne),
    }
}

fn named(trigger: &Trigger) -> bool {
    let named = |request: &Request| matches!(request.commit, Commit::Named(_));
    trigger.request().is_some_and(named)
}
