//! What the comment says of a fork's commit that nobody has approved.
//! It decides nothing: the record says what is requested and what was approved before.
//! What runs meanwhile is named beside it, because the approval that it had is over and the preview is not.

use super::{Ending, Teller};
use crate::{
    names::{CommitSha, ReasonCode, State},
    pipeline::inspect::Status,
    report::ApprovalView,
    trigger::permission,
};

/// Why nothing of it runs.
pub(super) const UNAPPROVED: &str = "the commit comes from a fork and is not approved";

impl Teller<'_> {
    /// Shows that the newest commit needs approval, if it does; a preview that is being removed tells of that.
    pub(super) fn awaits_approval(&mut self, status: &Status, head: &CommitSha) -> bool {
        let going = matches!(status.state(), State::Removing | State::Stuck);
        let Some(request) = status.record.requested(head).filter(|_| !going) else {
            return false;
        };
        let before = status.record.approved.as_ref();
        self.view.approval = Some(ApprovalView {
            approvers: permission::approvers(self.ports.settings.min_permission),
            lapsed: request.lapsed,
            live: status.sha().as_ref() == Some(head),
            before: before
                .filter(|one| one.sha != *head)
                .map(|one| (one.sha.clone(), one.by.clone())),
        });
        self.view.serving = status.sha().filter(|live| live != head);
        self.view.sha = Some(head.clone());
        self.view.newer = None;
        self.view.failures.clear();
        self.view.aftermath = None;
        self.view.rolled_back = false;
        true
    }

    /// Its commit may not run any more, or never might; nothing was done, and the sweep says so.
    pub(in crate::pipeline) fn unapproved() -> Ending {
        Ending::quiet(
            State::ApprovalNeeded,
            ReasonCode::ApprovalNeeded,
            UNAPPROVED,
        )
    }
}
