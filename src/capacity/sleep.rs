//! A preview that sleeps gives its slot to others, or keeps it.
//! It changes the ledger as a value; that nothing runs any more is proved by the caller.
//! Why the cap holds: a slot is given back only once a quota of no pods stands in the Namespace and no pod runs in it. That quota
//! is taken away, by its UID, only by a run that knew the UID before it saw its slot confirmed. Both writes, giving back and
//! confirming, are refused to a run that is not the newest of the preview, so of two runs only one can have done its part:
//! whoever stalled between the two finds the quota of a later sleep, which it does not know, or its slot kept.

use super::{Ledger, Record, RunId};
use crate::names::{CommitSha, Namespace};
use jiff::{SignedDuration, Timestamp};
use std::time::Duration;

/// A preview whose workloads are scaled to none.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Asleep {
    /// Since when.
    pub since: Timestamp,
    /// Login of whoever asked; empty when it was idle.
    #[serde(default)]
    pub by: String,
    /// Namespace, which stays.
    pub namespace: Namespace,
    /// UID of the Namespace.
    pub uid: String,
    /// Slot that it had.
    pub slot: u32,
    /// Login of the pull request's author.
    #[serde(default)]
    pub owner: String,
    /// True until its comment says so, and again while it is being woken: whoever began may have died on the way, and the sweep
    /// has it sleep.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unfinished: bool,
    /// Whether it keeps its slot, as whoever began had it; none where that was not noted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keeps_slot: Option<bool>,
}

/// Notes that a preview sleeps; its slot becomes free unless `keeps_slot`.
///
/// False when this run is not the newest: another one may have woken the preview, and nothing is changed.
#[must_use]
pub fn put_to_sleep(
    ledger: &mut Ledger,
    key: &str,
    run: &RunId,
    asleep: &Asleep,
    keeps_slot: bool,
) -> bool {
    let record = ledger.previews.get_mut(key);
    let Some(record) = record.filter(|record| record.newest.as_ref() == Some(run)) else {
        return false;
    };
    record.asleep = Some(asleep.clone());
    if !keeps_slot {
        super::drop_holder(ledger, key, &asleep.uid);
    }
    true
}

/// Notes that a sleeper has a slot to wake in: should its run die now, the sweep puts it back to sleep.
pub(super) fn stirs(ledger: &mut Ledger, key: &str) {
    let record = ledger.previews.get_mut(key);
    if let Some(asleep) = record.and_then(|record| record.asleep.as_mut()) {
        asleep.unfinished = true;
    }
}

impl Record {
    /// The sleep that was begun and not told, or the waking that was begun and not ended.
    pub fn unfinished_sleep(&self) -> Option<&Asleep> {
        self.asleep.as_ref().filter(|asleep| asleep.unfinished)
    }

    /// True when it sleeps, and nobody has asked for more since than to wake it as it is.
    pub fn only_wakes(&self) -> bool {
        self.asleep.is_some() && self.due.is_none()
    }

    /// True when it sleeps and is to wake up as it was while this is the newest commit: nobody has asked for more, it was rolled back from
    /// this very commit, or another one was asked for where something is built before each deploy.
    pub fn wakes_as_it_was(&self, head: &CommitSha, builds_first: bool) -> bool {
        let wanted = self.wanted(head);
        let back = self.held.as_ref() == Some(head) && wanted == head;
        let unbuilt = builds_first && self.due.as_ref().is_some_and(|due| due != wanted);
        self.only_wakes() || (self.asleep.is_some() && (back || unbuilt))
    }

    /// True when nobody has used the preview for so long that it may sleep, nor tried that in vain.
    pub fn is_idle(&self, after: Duration, now: Timestamp) -> bool {
        let after = SignedDuration::try_from(after).unwrap_or(SignedDuration::MAX);
        let long_ago = |used: Timestamp| now.duration_since(used) >= after;
        let last = self.last_used().max(self.stayed_awake);
        !self.pinned && self.asleep.is_none() && last.is_some_and(long_ago)
    }
}
