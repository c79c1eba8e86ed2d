//! Whether a preview is not what its comment says: its Namespace is gone or does not go, its pods broke, or a word was lost.
//! What has broken is looked at again before anybody is told: a node repairs much by itself.

use super::{sight::Sight, task::Action};
use crate::{
    capacity::Record,
    event::PullRequest,
    names::{PreviewKey, State},
    pipeline::{inspect, restore},
};
use jiff::SignedDuration;

/// A Namespace that is deleted by hand gets this long to go before its preview is told to be stuck.
const GOING: SignedDuration = SignedDuration::from_mins(10);

impl Sight<'_> {
    /// Whether the Namespace that the ledger has for it is not among those that exist; one that has taken its place is counted.
    pub(super) fn vanished(&self, preview: &PreviewKey) -> Option<Action> {
        let (name, uid) = self.home(preview)?;
        let mut all = self.namespaces.values();
        let there = all.any(|info| info.uid == uid || info.name == name);
        (!there).then_some(Action::Free)
    }

    /// Whether somebody else deletes its Namespace, and that does not go.
    pub(super) fn hangs(&self, preview: &PreviewKey) -> bool {
        let info = self.namespaces.get(preview);
        let since = info.and_then(|info| info.deleting);
        let hangs = since.is_some_and(|since| self.now.duration_since(since) >= GOING);
        hangs && (self.holder(preview).is_some() || self.home(preview).is_some())
    }

    /// Whether a preview that was ready has broken, or one that had broken is well.
    pub(super) fn health(&self, preview: &PreviewKey, record: &Record) -> Option<Action> {
        let unready = self.unready.as_ref()?;
        let last = record.attempted.as_ref()?.outcome;
        let info = self.namespaces.get(preview)?;
        let watched = self.lives(preview)
            && record.asleep.is_none()
            && record.removing.is_none()
            && record.active.is_none()
            && self.holder(preview).is_some();
        let broken = match unready.get(info.name.as_str()) {
            Some(unready) => !unready.is_empty(),
            // What was adopted carries no labels of ours, and nobody knows what was in it.
            None => self
                .holder(preview)
                .is_some_and(|holder| holder.members.is_some() && inspect::lasts(holder)),
        };
        // Beside a newer commit that failed only what was brought back whole is known to have been well.
        let live = info.annotations.get(restore::SHA);
        let live = live.is_some_and(|sha| {
            record
                .serving
                .as_ref()
                .is_some_and(|one| one.as_str() == sha)
        });
        let well = last == State::Ready || (last == State::Failed && live);
        match (watched, record.broke(), broken) {
            (true, false, true) if well => Some(Action::Diagnose),
            (true, true, false) => Some(Action::Recover),
            _ => None,
        }
    }

    /// Whether the comment lacks what came of the last run, or a commit is shown as under way that nobody goes on with.
    pub(super) fn untold(
        &self,
        preview: &PreviewKey,
        pull: &PullRequest,
        record: &Record,
    ) -> Option<Action> {
        let goes_on = self.waits(preview) || self.is_stalled(preview, pull);
        let hangs = match goes_on {
            true => !record.shown.abandoned.is_empty(),
            false => record.shown.promises(),
        };
        (record.untold || hangs).then_some(Action::Tell)
    }
}
