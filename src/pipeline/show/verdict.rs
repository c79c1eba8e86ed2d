//! Says in GitHub's few states and in one short line what a run has come to.
//! It writes nothing and knows no request.
//! What was not tried has no verdict: a check must never be green, or red, by somebody's mere look.

use crate::{
    github::CommitState,
    names::{CommitSha, ReasonCode, State},
};

/// GitHub takes no longer description.
const LONGEST: usize = 140;

/// What there is to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::pipeline) enum Verdict {
    /// It goes on by itself.
    Waits,
    Queued,
    Ready,
    Failed,
    /// Something else than the commit was in the way.
    Broken,
    /// The run that was at work has died, and nothing is known of the commit.
    Lost,
    /// Nobody goes on with it.
    GivenUp,
    /// What was there is there no more; whether the commit was good does not change by that.
    Over,
}

impl Verdict {
    /// What a state means for its commit; none where nothing was tried.
    pub(in crate::pipeline) fn of(
        state: State,
        reason: Option<ReasonCode>,
        blameless: bool,
    ) -> Option<Self> {
        Some(match state {
            State::Pending | State::Deploying => Self::Waits,
            State::Queued => Self::Queued,
            State::Ready => Self::Ready,
            State::Failed if reason == Some(ReasonCode::RunLost) => Self::Lost,
            State::Failed if blameless => Self::Broken,
            State::Failed | State::Degraded => Self::Failed,
            State::Superseded | State::Cancelled => Self::GivenUp,
            State::Refused if reason == Some(ReasonCode::AtCapacity) => Self::GivenUp,
            State::Removed | State::Expired | State::Sleeping | State::Stuck => Self::Over,
            _ => return None,
        })
    }

    /// True when somebody goes on with it.
    pub(in crate::pipeline) fn waits(self) -> bool {
        matches!(self, Self::Waits | Self::Queued)
    }

    /// True when it says nothing of how good a commit is.
    pub(super) fn is_open(self) -> bool {
        self.waits() || self == Self::GivenUp
    }

    pub(super) fn commit(self) -> CommitState {
        match self {
            Self::Waits | Self::Queued => CommitState::Pending,
            Self::Ready | Self::Over => CommitState::Success,
            Self::Failed => CommitState::Failure,
            Self::Broken | Self::Lost | Self::GivenUp => CommitState::Error,
        }
    }
}

/// What is to be shown of one preview, in words without secrets.
#[derive(Debug, Clone)]
pub(in crate::pipeline) struct Word {
    pub(in crate::pipeline) verdict: Verdict,
    pub(in crate::pipeline) sha: Option<CommitSha>,
    pub(in crate::pipeline) text: String,
    /// Where the preview answers, or has answered.
    pub(in crate::pipeline) url: Option<String>,
    /// Where people read more: the comment, or else the run.
    pub(in crate::pipeline) more: Option<String>,
    /// The run.
    pub(in crate::pipeline) log: Option<String>,
    /// True when what was live before is gone too.
    pub(in crate::pipeline) removed: bool,
    /// True when the preview comes back as it was.
    pub(in crate::pipeline) returns: bool,
}

impl Word {
    /// Where the preview answers now.
    pub(super) fn address(&self) -> Option<&str> {
        let url = self.url.as_deref();
        url.filter(|_| self.verdict == Verdict::Ready)
    }
}

/// One line that GitHub takes, without what could make it look like another.
pub(in crate::pipeline) fn line(text: &str) -> String {
    let plain = |c: char| match c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}')
    {
        true => ' ',
        false => c,
    };
    let text: String = text.chars().map(plain).collect();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match text.char_indices().nth(LONGEST) {
        None => text,
        Some(_) => {
            let kept: String = text.chars().take(LONGEST - 1).collect();
            format!("{}…", kept.trim_end())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_is_one_short_line() {
        assert_eq!(line(" a\nb\t\u{202e}c\u{7}"), "a b c");
        let long = line(&"é ".repeat(200));
        assert_eq!(long.chars().count(), LONGEST);
        assert!(long.ends_with('…'));
        assert_eq!(line(&"x".repeat(LONGEST)), "x".repeat(LONGEST));
    }

    #[test]
    fn what_was_not_tried_is_not_shown() {
        let of = |state| Verdict::of(state, None, false);
        for state in [State::NotDeployed, State::ApprovalNeeded, State::Refused] {
            assert_eq!(of(state), None, "{state:?}");
        }
        assert_eq!(of(State::Degraded), Some(Verdict::Failed));
        assert_eq!(
            Verdict::of(State::Failed, None, true),
            Some(Verdict::Broken)
        );
        let full = Some(ReasonCode::AtCapacity);
        assert_eq!(
            Verdict::of(State::Refused, full, false),
            Some(Verdict::GivenUp)
        );
    }
}
