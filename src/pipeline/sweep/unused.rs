//! Whether a preview has lived or lain idle for long enough to go or to sleep, or has fallen asleep half-way.
//! When it was used last, and whether it is pinned, the ledger's record knows.

use super::{sight::Sight, task::Action};
use crate::{
    capacity::{Holder, Record},
    names::PreviewKey,
    pipeline::RemoveReason,
};

impl Sight<'_> {
    /// Whether the preview has expired, or its author has to be told that it will. Who waits in line is used once its turn comes.
    pub(super) fn end_of_life(&self, preview: &PreviewKey, record: &Record) -> Option<Action> {
        if !self.lives(preview) || self.waits(preview) || !self.mandate.expires {
            return None;
        }
        let ttl = self.settings.ttl;
        if self.settings.expiry_warning
            && let Some(expires) = record.to_be_warned(ttl, self.now)
        {
            return Some(Action::Warn(expires));
        }
        record
            .is_expired(ttl, self.now)
            .then(|| self.removal(preview, RemoveReason::Expired))
    }

    /// Whether the preview holds a slot and nobody uses it.
    pub(super) fn idle(&self, preview: &PreviewKey, record: &Record) -> Option<Action> {
        let after = self.settings.sleep_after?;
        let confirmed = |holder: &Holder| holder.uid.is_some();
        let sleeps = self.lives(preview)
            && self.holder(preview).is_some_and(confirmed)
            && record.is_idle(after, self.now);
        sleeps.then_some(Action::Sleep)
    }

    /// Whether a sleep or a waking was begun, and nobody is at work on it any more. Who waits in line wakes once its turn comes.
    pub(super) fn dozes(&self, preview: &PreviewKey, record: &Record) -> bool {
        let begun = record.unfinished_sleep().is_some();
        begun && !self.waits(preview) && self.lives(preview)
    }
}
