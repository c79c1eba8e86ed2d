//! Shows under a command that it was read, that it has begun, and how it ended.
//! It never fails a run and never holds one up: whoever cannot react says so in the log.
//! Strangers get a reaction and no comment, so that nobody can make us write.

use super::{Ending, Exit, Ports};
use crate::{
    github::{GitHubError, Reaction},
    names::{ReasonCode, State},
    report::Coming,
    trigger::{Asked, Commit, Request, Trigger},
};
use std::time::Duration;

/// What a courtesy may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Shows that a command was read; a stranger's only once it may be followed.
pub(super) async fn seen(ports: &Ports, trigger: &Trigger) {
    if !is_strange(trigger) {
        react(ports, trigger, Reaction::Eyes).await;
    }
}

fn is_strange(trigger: &Trigger) -> bool {
    let asked = trigger.request().map(|request| &request.asked);
    asked.is_some_and(Asked::is_strange)
}

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
///
/// Only what is named here as done gets a thumbs-up: whatever else may end a run has kept the command from being followed.
pub(super) fn verdict(trigger: &Trigger, ending: &Ending) -> Option<Reaction> {
    let refused = ending.view.as_ref().map(|view| view.state) == Some(State::Refused);
    let coming = ending.view.as_ref().map(|view| view.coming);
    match ending.reason {
        ReasonCode::TooManyCommands if is_strange(trigger) => None,
        ReasonCode::PermissionDenied => Some(Reaction::MinusOne),
        // Whoever names a commit means no other.
        ReasonCode::Superseded if named(trigger) => Some(Reaction::Confused),
        // Nobody goes on with what was asked for.
        ReasonCode::Superseded if coming == Some(Coming::OnRequest) => Some(Reaction::Confused),
        ReasonCode::Superseded | ReasonCode::Cancelled => None,
        _ if refused || ending.failure.is_some() || ending.exit != Exit::Done => {
            Some(Reaction::Confused)
        }
        ReasonCode::Deployed
        | ReasonCode::Unchanged
        | ReasonCode::Queued
        | ReasonCode::RolledBack
        | ReasonCode::Removed
        | ReasonCode::NothingToRemove
        | ReasonCode::Extended
        | ReasonCode::Pinned
        | ReasonCode::Unpinned
        | ReasonCode::Slept
        | ReasonCode::Woken
        | ReasonCode::LogsShown
        | ReasonCode::DiffShown
        | ReasonCode::CheckShown
        | ReasonCode::StatusShown
        | ReasonCode::HelpShown
        | ReasonCode::Swept => Some(Reaction::PlusOne),
        _ => Some(Reaction::Confused),
    }
}

fn named(trigger: &Trigger) -> bool {
    let named = |request: &Request| matches!(request.commit, Commit::Named(_));
    trigger.request().is_some_and(named)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::Ignored,
        pipeline::{Blame, Failure, sleep},
    };

    #[test]
    fn what_was_not_done_gets_no_thumbs_up_whatever_the_reason() {
        use ReasonCode as R;
        let nobody = Trigger::Ignore(Ignored {
            reason: R::EventIgnored,
            why: String::new(),
            pr: None,
        });
        let given = |reason| verdict(&nobody, &Ending::quiet(None, reason, ""));
        for reason in [
            R::NothingToTake,
            R::Busy,
            R::RemovedByCommand,
            R::AutoDeployOff,
            R::EventIgnored,
            R::NoCredentials,
            R::LabelIgnored,
            R::RunLost,
            R::TimedOut,
        ] {
            assert_eq!(given(reason), Some(Reaction::Confused), "{reason}");
        }
        assert_eq!(given(R::Slept), Some(Reaction::PlusOne));
        assert_eq!(given(R::PermissionDenied), Some(Reaction::MinusOne));
        assert_eq!(given(R::Superseded), None);
        let busy = sleep::busy();
        assert_eq!(verdict(&nobody, &busy), Some(Reaction::Confused));
        assert_eq!(busy.lines(), busy.warnings(), "said once, and as a warning");
        let failed = Failure::new(Blame::Theirs, R::Slept, "", "");
        assert_eq!(
            verdict(&nobody, &Ending::failed(failed)),
            Some(Reaction::Confused)
        );
    }
}
