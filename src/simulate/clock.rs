//! Turns the runtime's timer into the time that a simulated world shows: stamps, `Date` headers and the delays of controllers.
//! It must not know who reads it; both sites and every controller share one passing of time.
//! It can be moved ahead by hand, because a test of "seven days later" must not wait seven days.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// The time of one simulated world.
#[derive(Clone, Debug)]
pub struct Clock(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    started: Instant,
    wall: Timestamp,
    ahead: Arc<Mutex<Duration>>,
}

impl Clock {
    /// Starts a clock that shows `wall` now.
    pub fn starting_at(wall: Timestamp) -> Self {
        Self(Arc::new(Inner {
            started: Instant::now(),
            wall,
            ahead: Arc::default(),
        }))
    }

    /// Returns a clock that is ahead of this one, or behind it, for good: time passes for both.
    pub(super) fn ahead_by(&self, by: SignedDuration) -> Self {
        let inner = &self.0;
        Self(Arc::new(Inner {
            started: inner.started,
            wall: inner.wall.checked_add(by).unwrap_or(inner.wall),
            ahead: Arc::clone(&inner.ahead),
        }))
    }

    /// Returns the time since the world began, hand-made jumps included.
    pub fn elapsed(&self) -> Duration {
        self.0.started.elapsed() + self.ahead()
    }

    /// Returns the date and time that the world shows.
    pub fn now(&self) -> Timestamp {
        let elapsed = SignedDuration::try_from(self.elapsed()).unwrap_or(SignedDuration::ZERO);
        self.0.wall.checked_add(elapsed).unwrap_or(Timestamp::MAX)
    }

    /// Returns the present second in the form Kubernetes and GitHub write: `2026-01-31T12:00:00Z`.
    pub fn stamp(&self) -> String {
        stamp(self.now())
    }

    /// Returns the present second as an HTTP `Date` header.
    pub fn http_date(&self) -> String {
        self.now().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
    }

    pub(super) fn advance(&self, by: Duration) {
        *self.0.ahead.lock().unwrap_or_else(PoisonError::into_inner) += by;
    }

    /// Converts a moment of [`Clock::elapsed`] into the runtime's instant.
    pub(super) fn instant_of(&self, elapsed: Duration) -> Instant {
        self.0.started + elapsed.saturating_sub(self.ahead())
    }

    fn ahead(&self) -> Duration {
        *self.0.ahead.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes a time to the second, as both servers do.
pub(super) fn stamp(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
