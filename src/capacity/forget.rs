//! Which previews the ledger may forget, so that it stays as small as what is going on.
//! It changes the ledger as a value; that a pull request is closed is the caller's to find out.
//! Only what nobody needs any more goes: a slot, a place in line, a sleep, a removal or a run under way each keep a record.

use super::{Ledger, Record};

/// What a record was when its pull request was found closed: a run that has begun since has raised the sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered {
    /// Preview, as in [`Ledger::previews`].
    pub key: String,
    /// Its sequence.
    pub sequence: u64,
}

impl Ledger {
    /// True when nothing of a preview is left but its record.
    pub fn is_over(&self, key: &str, record: &Record) -> bool {
        record.removing.is_none()
            && record.asleep.is_none()
            && record.active.is_none()
            && self.holder(key).is_none()
            && self.position(key).is_none()
    }
}

/// Drops the records of closed pull requests that are over; how many that were.
///
/// The floor rises to the highest sequence that goes, so that a preview that comes back never falls behind its old runs.
pub fn forget(ledger: &mut Ledger, closed: &[Remembered]) -> usize {
    let mut dropped = 0;
    for one in closed {
        let record = ledger.previews.get(&one.key);
        let unchanged = record.is_some_and(|record| {
            record.sequence == one.sequence && ledger.is_over(&one.key, record)
        });
        if unchanged {
            ledger.previews.remove(&one.key);
            ledger.floor = ledger.floor.max(one.sequence);
            dropped += 1;
        }
    }
    dropped
}

#[cfg(test)]
#[path = "forget_tests.rs"]
mod tests;
