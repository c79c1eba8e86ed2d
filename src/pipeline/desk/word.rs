//! What the ledger says of the last word: whether it stands in the comment, or the sweep has to say it again.
//! It writes no comment; whoever ends a turn knows whether its word was heard.
//! Who looks without a turn may speak behind the run that has it, and says so in the record: that counts however well the run itself was heard.

use super::Desk;
use crate::capacity::Record;
use std::sync::atomic::Ordering;

impl Desk<'_> {
    /// Notes what was owed when the turn was taken.
    pub(super) fn owes(&self, record: &Record) {
        self.owed.store(record.untold, Ordering::Relaxed);
    }

    /// Notes at the end of a turn whether its word is still to be said; what somebody has spoken over meanwhile is.
    pub(in crate::pipeline) fn leaves_untold(&self, record: &mut Record, unheard: bool) {
        let meanwhile = record.untold && !self.owed.load(Ordering::Relaxed);
        record.untold = unheard || meanwhile;
    }
}
