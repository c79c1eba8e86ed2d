//! What a sweep can do about one preview, and the words for it.
//! Whether it is to be done is decided elsewhere.

use crate::{
    names::{CommitSha, Namespace, PreviewKey},
    pipeline::RemoveReason,
};
use jiff::Timestamp;

/// What is to be done about one preview.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Task {
    /// Preview.
    pub(super) preview: PreviewKey,
    /// Namespace that it has, or would have.
    pub(super) namespace: Namespace,
    /// What.
    pub(super) action: Action,
}

/// What the sweep can do about a preview.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Action {
    /// Remove it.
    Remove {
        /// Why.
        reason: RemoveReason,
        /// Who asked, where that is known.
        by: String,
    },
    /// Tell the author that it expires then.
    Warn(Timestamp),
    /// Put it to sleep, because nobody uses it.
    Sleep,
    /// Finish a sleep whose run has ended on the way, or put back to sleep what was not woken.
    FinishSleep,
    /// Deploy a commit that no run has tried.
    Deploy(CommitSha),
    /// Say that the newest commit of a fork needs approval, or that nobody gave it in time.
    Ask,
    /// Say that its run has ended without a word.
    End,
    /// Say the last word again, which did not reach its comment.
    Tell,
    /// Call for whoever can help, because its Namespace, which somebody else deleted, does not go.
    Stuck,
    /// See whether its comment still names a place in line, which was lost with the ledger.
    Correct,
    /// Give its slot back, because its Namespace is not there any more.
    Free,
    /// Look what is wrong with it, and say so if it lasts.
    Diagnose,
    /// Say that it is well again.
    Recover,
}

impl Action {
    /// What is done, in a word.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Remove { .. } => "remove",
            Self::Warn(_) => "warn",
            Self::Sleep | Self::FinishSleep => "sleep",
            Self::Deploy(_) => "deploy",
            Self::Ask => "ask",
            Self::End => "end",
            Self::Tell | Self::Stuck => "tell",
            Self::Correct => "correct",
            Self::Free => "free",
            Self::Diagnose => "diagnose",
            Self::Recover => "recover",
        }
    }

    /// True when a slot is free then.
    pub(super) fn frees(&self) -> bool {
        matches!(
            self,
            Self::Remove { .. } | Self::Sleep | Self::FinishSleep | Self::Free
        )
    }

    /// Why, in a few words.
    pub(super) fn why(&self) -> String {
        match self {
            Self::Remove {
                reason: RemoveReason::Expired,
                ..
            } => "expired".into(),
            Self::Remove {
                reason: RemoveReason::Asked,
                ..
            } => "asked".into(),
            Self::Remove { .. } => "closed".into(),
            Self::Warn(at) => format!("expires {at}"),
            Self::Sleep => "idle".into(),
            Self::FinishSleep => "its sleep or its waking was cut short".into(),
            Self::Deploy(sha) => format!("{} was never tried", sha.short()),
            Self::Ask => "it comes from a fork and needs approval".into(),
            Self::Tell => "its last word did not reach its comment".into(),
            Self::Stuck => "its namespace was deleted and does not go".into(),
            Self::Correct => "the ledger was lost".into(),
            Self::Free => "its namespace was deleted".into(),
            Self::End => "its run ended without a word".into(),
            Self::Diagnose => "not ready any more".into(),
            Self::Recover => "ready again".into(),
        }
    }
}
