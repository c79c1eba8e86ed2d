//! A preview that sleeps gives its slot to others, or keeps it.
//! It changes the ledger as a value; that nothing runs any more is proved by the caller.
//! Why the cap holds: a slot is given back only once a quota of no pods stands in the Namespace and no pod runs in it, and that
//! quota is taken away, by its UID, only by a run that has seen its slot confirmed again.

use super::{Asleep, Ledger, Record};
use jiff::{SignedDuration, Timestamp};
use std::time::Duration;

/// Notes that a preview sleeps; its slot becomes free unless `keeps_slot`.
pub fn put_to_sleep(ledger: &mut Ledger, key: &str, asleep: &Asleep, keeps_slot: bool) {
    if let Some(record) = ledger.previews.get_mut(key) {
        record.asleep = Some(asleep.clone());
    }
    if !keeps_slot {
        super::drop_holder(ledger, key, &asleep.uid);
    }
}

impl Record {
    /// True when nobody has used the preview for so long that it may sleep.
    pub fn is_idle(&self, after: Duration, now: Timestamp) -> bool {
        let after = SignedDuration::try_from(after).unwrap_or(SignedDuration::MAX);
        let long_ago = |used: Timestamp| now.duration_since(used) >= after;
        !self.pinned && self.asleep.is_none() && self.last_used().is_some_and(long_ago)
    }
}
