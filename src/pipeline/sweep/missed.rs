//! Whether a sweep deploys a commit: no run has tried it, because its event was lost, or GitHub was in the way of the one that did.
//! What was tried and failed is not tried again, and what somebody removed on purpose does not come back.

use super::{sight::Sight, task::Action};
use crate::{
    capacity::{Holder, Record},
    event::PullRequest,
    inputs::WhenFull,
    names::{CommitSha, PreviewKey, State},
    pipeline::filter,
    trigger::filters,
};
use jiff::SignedDuration;

/// A head that somebody touched less long ago is left to its own run, which may be building its images still.
const SETTLED: SignedDuration = SignedDuration::from_mins(15);

impl Sight<'_> {
    /// Whether the commit that is wanted is deployed by the sweep, because no run has tried it.
    pub(super) fn missed(
        &self,
        preview: &PreviewKey,
        pull: &PullRequest,
        touched: Option<SignedDuration>,
    ) -> Option<Action> {
        // Whose run has come and was in GitHub's way has its images.
        let settled = self.is_stalled(preview, pull) || touched.is_none_or(|ago| ago >= SETTLED);
        let wanted = !self.is_stranger(preview) || self.is_alive(pull, touched);
        (self.mandate.deploys && settled && wanted && self.is_missed(preview, pull))
            .then(|| Action::Deploy(self.wanted(preview, pull).clone()))
    }

    /// Whether the head of an open pull request was never tried although pushes deploy by themselves, and nobody has said otherwise.
    fn is_missed(&self, preview: &PreviewKey, pull: &PullRequest) -> bool {
        let key = preview.in_ledger();
        let stalled = self.is_stalled(preview, pull);
        let has_slot = self.ledger.holder(&key).is_some();
        let room = match self.settings.when_full {
            _ if self.ledger.capacity == 0 => false,
            WhenFull::Queue => true,
            WhenFull::Refuse => self.ledger.spare(self.now) > 0,
        };
        let untried = self.record(preview).is_none_or(|record| {
            let tried = record.attempted.as_ref().map(|last| &last.sha);
            let holds = record.held.as_ref() == Some(&pull.head_sha);
            let passed = tried == Some(&pull.head_sha) || record.rests(&pull.head_sha);
            (!passed && !holds || stalled)
                && !record.removed_on_purpose
                && record.removing.is_none()
        });
        let spared = self.is_found(preview);
        // Whether a commit was built, and well, only the end of its build says; its manifests are written by its own run.
        let by_itself = self.mandate.pushes
            && self.settings.auto_deploy
            && self.settings.build_workflow.is_none()
            && self.settings.manifests.is_empty();
        (by_itself || stalled)
            && preview.variant.is_none()
            && self.may_run(preview, pull)
            && (self.is_wanted(preview, pull) || self.is_stalled(preview, pull))
            && !self.waits(preview)
            && (has_slot || room)
            && untried
            && (!spared || stalled)
    }

    /// True for what lives or sleeps in a Namespace that was adopted, or that was there when the ledger was lost: which commits were
    /// tried in it nobody knows, so that changes only when somebody asks for it or pushes. What was under way then goes on.
    fn is_found(&self, preview: &PreviewKey) -> bool {
        let record = self.record(preview);
        let tried = |record: &Record| record.attempted.is_some();
        let sleeps = |record: &Record| record.asleep.is_some();
        let info = self.namespaces.get(preview);
        let state = info.and_then(|info| info.labels.get("preview-action/state"));
        (self.holder(preview).is_some_and(Holder::is_found) || record.is_some_and(sleeps))
            && !record.is_some_and(tried)
            && state.map(String::as_str) != Some(State::Deploying.as_str())
    }

    /// True when no filter keeps it back, as far as is known without asking which files it changes.
    pub(super) fn is_wanted(&self, preview: &PreviewKey, pull: &PullRequest) -> bool {
        let filters = &self.settings.filters;
        let record = self.record(preview);
        let skipped = |record| filter::is_noted(filters, record, &pull.head_sha);
        !record.is_some_and(skipped) && filters::passes(filters, pull).is_ok()
    }

    /// The head, or the commit that somebody has asked for in its place.
    fn wanted<'b>(&'b self, preview: &PreviewKey, pull: &'b PullRequest) -> &'b CommitSha {
        let head = &pull.head_sha;
        self.record(preview).map_or(head, |one| one.wanted(head))
    }

    /// True when a deploy of what is wanted was begun, and GitHub was in its way.
    pub(super) fn is_stalled(&self, preview: &PreviewKey, pull: &PullRequest) -> bool {
        let stalled = self
            .record(preview)
            .and_then(|record| record.stalled.as_ref());
        stalled == Some(self.wanted(preview, pull))
    }

    /// True when nobody knows of a run for it: it is older than this action, its events were lost, or the ledger was.
    pub(super) fn is_stranger(&self, preview: &PreviewKey) -> bool {
        let unknown = |record: &Record| record.newest.is_none() && record.attempted.is_none();
        self.record(preview).is_none_or(unknown) && self.holder(preview).is_none()
    }

    /// True when a pull request that was never seen is worth a slot: it would not have expired yet, it does not sleep, and it
    /// is none whose own run is started without secrets on purpose.
    pub(super) fn is_alive(&self, pull: &PullRequest, touched: Option<SignedDuration>) -> bool {
        let ttl = SignedDuration::try_from(self.settings.ttl).unwrap_or(SignedDuration::MAX);
        let sleeps = self
            .ledger
            .previews
            .get(&pull.number.to_string())
            .is_some_and(|record| record.asleep.is_some());
        touched.is_some_and(|ago| ago < ttl) && !sleeps && !pull.by_dependabot()
    }
}
