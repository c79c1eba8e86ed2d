//! How far the clock of a server is ahead of this machine's, as the dates of its answers tell.
//! It reads no clock: whoever asks brings this machine's time along.
//! Dates have whole seconds and are a moment old, so an answer that is a second behind the others changes nothing.

use jiff::{SignedDuration, Timestamp};
use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering::Relaxed},
};

/// No answer was dated yet.
const UNKNOWN: i64 = i64::MIN;

/// A server's clock beside this machine's; copies of a client share it.
#[derive(Debug, Clone)]
pub struct Skew(Arc<AtomicI64>);

impl Default for Skew {
    fn default() -> Self {
        Self(Arc::new(AtomicI64::new(UNKNOWN)))
    }
}

impl Skew {
    /// Notes the date of an answer that came when this machine's clock showed `own`.
    pub fn notice(&self, date: Timestamp, own: Timestamp) {
        let ahead = date.as_second() - own.as_second();
        let known = self.0.load(Relaxed);
        let known = if known == UNKNOWN { 0 } else { known };
        self.0
            .store(if ahead == known - 1 { known } else { ahead }, Relaxed);
    }

    /// The server's time when this machine's clock shows `own`; none until it has answered.
    pub fn at(&self, own: Timestamp) -> Option<Timestamp> {
        let ahead = self.0.load(Relaxed);
        let known = (ahead != UNKNOWN).then(|| SignedDuration::from_secs(ahead));
        own.checked_add(known?).ok()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn a_server_tells_the_time_once_it_has_answered() {
        let skew = Skew::default();
        let own: Timestamp = "2026-03-10T12:00:00.9Z".parse().unwrap();
        assert_eq!(skew.at(own), None);
        for (date, theirs) in [
            ("2026-03-10T12:00:00Z", "2026-03-10T12:00:00.9Z"),
            ("2026-03-10T11:59:59Z", "2026-03-10T12:00:00.9Z"),
            ("2026-03-10T11:00:00Z", "2026-03-10T11:00:00.9Z"),
            ("2026-03-10T10:59:59Z", "2026-03-10T11:00:00.9Z"),
            ("2026-03-10T11:00:01Z", "2026-03-10T11:00:01.9Z"),
            ("2027-01-01T00:00:00Z", "2027-01-01T00:00:00.9Z"),
        ] {
            skew.notice(date.parse().unwrap(), own);
            assert_eq!(skew.at(own), Some(theirs.parse().unwrap()), "{date}");
        }
    }
}
