//! Remembers for a whole run what GitHub's limits and silences have cost, and ends the asking when that is too much.
//! It sends nothing and knows no endpoint; each request asks it before it goes out and tells it how it went.
//! One memory for all requests of a run: who asks on in spite of a limit prolongs it, and whoever waits is billed by the minute.

use super::{GitHubError, request::Call};
use jiff::Timestamp;
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// What a run waits for GitHub in all: long enough for a limit that names no time, which GitHub wants to be a minute.
const DEADLINE: Duration = Duration::from_secs(90);

/// Tries in a row without an answer after which GitHub is left alone: two requests that were repeated as often as any is.
const SILENCES: u32 = 12;

/// How long such a row lasts at least: several requests side by side fail fast.
const OUTAGE: Duration = Duration::from_secs(10);

/// What a deploy needs once it has begun to apply: a look at the head, the last word, and its reading back.
const NEEDED: u64 = 3;

/// Shared by every request of a run.
#[derive(Clone, Debug, Default)]
pub(super) struct Breaker(Arc<Mutex<Memory>>);

#[derive(Debug, Default)]
struct Memory {
    /// Time that was waited for.
    waited: Duration,
    /// Until when somebody waits already.
    covered: Option<Instant>,
    /// Until when GitHub wants to be left alone.
    paused: Option<Instant>,
    silences: u32,
    /// Since when there has been no answer.
    silent: Option<Instant>,
    /// Why nothing is asked any more.
    open: Option<Open>,
    /// How many requests GitHub takes until when, as it said last.
    left: Option<(u64, Timestamp)>,
}

#[derive(Debug, Clone, Copy)]
enum Open {
    Limited(Timestamp),
    Silent,
}

impl Breaker {
    /// Waits while GitHub wants to be left alone; an error when this run asks it nothing more.
    pub(super) async fn pass(&self, call: &Call) -> Result<(), GitHubError> {
        loop {
            let paused = {
                let memory = self.memory();
                let doing = call.doing.clone();
                match memory.open {
                    Some(Open::Limited(until)) => {
                        return Err(GitHubError::RateLimited { doing, until });
                    }
                    Some(Open::Silent) => return Err(GitHubError::GivenUp { doing }),
                    None => memory.paused,
                }
            };
            match paused.filter(|until| *until > Instant::now()) {
                Some(until) => tokio::time::sleep_until(until).await,
                None => return Ok(()),
            }
        }
    }

    /// Notes an answer, whatever it says.
    pub(super) fn answered(&self) {
        let mut memory = self.memory();
        memory.silences = 0;
        memory.silent = None;
    }

    /// Notes a try that brought no answer of GitHub's own.
    pub(super) fn silent(&self) {
        let mut memory = self.memory();
        memory.silences += 1;
        let since = *memory.silent.get_or_insert_with(Instant::now);
        let outage = memory.silences >= SILENCES && since.elapsed() >= OUTAGE;
        if outage && memory.open.is_none() {
            tracing::warn!("GitHub does not answer; nothing more is asked of it in this run");
            memory.open = Some(Open::Silent);
        }
    }

    /// Notes how many requests are left until when.
    pub(super) fn left(&self, requests: u64, until: Timestamp) {
        self.memory().left = Some((requests, until));
    }

    /// True when a limit is worth waiting for; otherwise nothing more is asked.
    pub(super) fn limited(&self, wait: Duration, until: Timestamp) -> bool {
        let mut memory = self.memory();
        if !memory.affords(wait) {
            tracing::warn!(%until, "GitHub takes no more requests; nothing more is asked of it in this run");
            memory.open = Some(Open::Limited(until));
            return false;
        }
        let end = Instant::now() + wait;
        memory.paused = memory.paused.max(Some(end));
        memory.spend(end);
        true
    }

    /// True when another try after this pause is within the deadline.
    pub(super) fn may_wait(&self, pause: Duration) -> bool {
        let mut memory = self.memory();
        let affords = memory.open.is_none() && memory.affords(pause);
        if affords {
            memory.spend(Instant::now() + pause);
        }
        affords
    }

    /// Until when GitHub takes no requests, if that is why nothing is asked any more or soon will be.
    pub(super) fn until(&self) -> Option<Timestamp> {
        let memory = self.memory();
        match (memory.open, memory.left) {
            (Some(Open::Limited(until)), _) => Some(until),
            (None, Some((requests, until))) if requests < NEEDED => Some(until),
            _ => None,
        }
    }

    /// True when GitHub is well and takes so many requests more than the last word needs.
    pub(super) fn spares(&self, requests: u64) -> bool {
        let memory = self.memory();
        let paused = memory.paused.is_some_and(|until| until > Instant::now());
        let scarce = |(left, _): (u64, Timestamp)| left < NEEDED + requests;
        memory.open.is_none() && !paused && memory.silences == 0 && !memory.left.is_some_and(scarce)
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memory {
    /// Requests that wait side by side wait once.
    fn affords(&self, wait: Duration) -> bool {
        self.waited + self.added(Instant::now() + wait) <= DEADLINE
    }

    fn spend(&mut self, end: Instant) {
        self.waited += self.added(end);
        self.covered = self.covered.max(Some(end));
    }

    fn added(&self, end: Instant) -> Duration {
        let from = self
            .covered
            .unwrap_or_else(Instant::now)
            .max(Instant::now());
        end.saturating_duration_since(from)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;

    fn call() -> Call {
        Call::get("/x".into(), "read x", "contents: read")
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_longer_than_the_deadline_ends_the_asking() {
        let breaker = Breaker::default();
        let until = Timestamp::UNIX_EPOCH;
        assert!(breaker.limited(Duration::from_secs(60), until));
        assert!(
            breaker.limited(Duration::from_secs(60), until),
            "waited for already"
        );
        let begun = Instant::now();
        breaker.pass(&call()).await.unwrap();
        assert_eq!(begun.elapsed().as_secs(), 60);
        assert!(
            !breaker.limited(Duration::from_secs(60), until),
            "30 s are left"
        );
        assert_eq!(breaker.until(), Some(until));
        let error = breaker.pass(&call()).await.unwrap_err();
        assert!(matches!(error, GitHubError::RateLimited { .. }), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn silence_upon_silence_ends_the_asking_and_an_answer_begins_anew() {
        let breaker = Breaker::default();
        for _ in 0..2 {
            for _ in 1..SILENCES {
                breaker.silent();
            }
            breaker.pass(&call()).await.unwrap();
            breaker.answered();
        }
        for _ in 0..SILENCES {
            breaker.silent();
        }
        breaker.pass(&call()).await.unwrap();
        tokio::time::advance(OUTAGE).await;
        breaker.silent();
        let error = breaker.pass(&call()).await.unwrap_err();
        assert!(matches!(error, GitHubError::GivenUp { .. }), "{error}");
        assert!(!breaker.may_wait(Duration::ZERO));
    }

    #[test]
    fn the_last_requests_are_kept_for_the_last_word() {
        let breaker = Breaker::default();
        let until = Timestamp::UNIX_EPOCH;
        breaker.left(NEEDED, until);
        assert_eq!(breaker.until(), None);
        assert!(breaker.spares(0) && !breaker.spares(1));
        breaker.left(NEEDED - 1, until);
        assert_eq!(breaker.until(), Some(until));
        assert!(!breaker.spares(0));
    }
}
