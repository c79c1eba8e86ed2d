//! What a sweep plans about pull requests from forks.
//! It asks nobody and changes nothing, like all of the plan.
//! Their own runs have no right to say anything, so the sweep is who says that they need approval.

use super::{sight::Sight, task::Action};
use crate::{capacity::Record, event::PullRequest, names::PreviewKey, trigger::permission};
use jiff::SignedDuration;

impl Sight<'_> {
    /// True for the repository's own branches, and for the one commit of a fork that was approved.
    pub(super) fn may_run(&self, preview: &PreviewKey, pull: &PullRequest) -> bool {
        let approved = self.record(preview).and_then(Record::approved);
        permission::may_deploy(pull, approved).is_ok()
    }

    /// Whether the newest commit of a fork needs an approval that nobody was told of, or was told of for too long.
    ///
    /// Who was never seen is told only while it would have a preview if it were no fork; who had one, in any case.
    pub(super) fn unapproved(
        &self,
        preview: &PreviewKey,
        pull: &PullRequest,
        touched: Option<SignedDuration>,
    ) -> Option<Action> {
        if self.may_run(preview, pull) || permission::may_be_approved(pull).is_err() {
            return None;
        }
        let record = self.record(preview);
        let head = &pull.head_sha;
        let known = record
            .is_some_and(|record| record.approved().is_some() || record.requested(head).is_some());
        let wanted = known
            || self.settings.auto_deploy
                && self.is_alive(pull, touched)
                && self.is_wanted(preview, pull);
        let free = record.is_none_or(|record| {
            !record.is_active(self.now)
                && !record.removed_on_purpose
                && record.removing.is_none()
                && record.is_to_be_asked(head, self.now)
        });
        (wanted && free && preview.variant.is_none()).then_some(Action::Ask)
    }
}
