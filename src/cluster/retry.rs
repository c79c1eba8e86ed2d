//! Turns one try of a request into as many as make sense: bounded in time, and never sooner than the server asks.
//! It knows no request; the caller says which errors are worth another try.
//! It replaces kube's own policy, which repeats POST, waits for minutes and obeys any `Retry-After`.

use backon::{BackoffBuilder, ExponentialBuilder, Retryable};
use std::{future::Future, time::Duration};
use tokio::time::Instant;

/// How patient requests are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Pause before the second try; it doubles from try to try, with jitter.
    pub first_pause: Duration,
    /// Longest pause; only the server may ask for a longer one.
    pub longest_pause: Duration,
    /// No further try begins after this time.
    pub give_up_after: Duration,
    /// Patience with one try.
    pub try_timeout: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            first_pause: Duration::from_millis(150),
            longest_pause: Duration::from_secs(5),
            give_up_after: Duration::from_secs(20),
            try_timeout: Duration::from_secs(30),
        }
    }
}

/// What a failed try says about the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    /// It would fail in the same way.
    Never,
    /// It may succeed, after the pause that the server asks for, if any.
    After(Option<Duration>),
}

impl RetryPolicy {
    pub(super) fn pauses(&self) -> impl Iterator<Item = Duration> + use<> {
        self.builder().build()
    }

    fn builder(&self) -> ExponentialBuilder {
        ExponentialBuilder::default()
            .with_min_delay(self.first_pause)
            .with_max_delay(self.longest_pause)
            .without_max_times()
            .with_jitter()
    }

    /// Runs `attempt` until it succeeds, its error is final or time is up; then the last error is returned.
    ///
    /// Dropping the future stops it at once.
    pub(super) async fn run<T, E, F>(
        &self,
        attempt: impl FnMut() -> F,
        again: impl Fn(&E) -> Again,
    ) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>>,
    {
        let started = Instant::now();
        attempt
            .retry(self.builder())
            .when(|error| again(error) != Again::Never)
            .adjust(|error, pause| {
                let asked = match again(error) {
                    Again::Never => return None,
                    Again::After(asked) => asked,
                };
                let pause = pause?
                    .min(self.longest_pause)
                    .max(asked.unwrap_or_default());
                (started.elapsed() + pause <= self.give_up_after).then_some(pause)
            })
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    async fn tries_and_time(again: Again, succeed_at: u32) -> (Result<u32, ()>, u32, Duration) {
        let tries = Cell::new(0);
        let started = Instant::now();
        let outcome = RetryPolicy::default()
            .run(
                || async {
                    tries.set(tries.get() + 1);
                    if tries.get() == succeed_at {
                        Ok(tries.get())
                    } else {
                        Err(())
                    }
                },
                |()| again,
            )
            .await;
        (outcome, tries.get(), started.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn a_final_error_is_tried_once() {
        let (outcome, tries, time) = tries_and_time(Again::Never, 0).await;
        assert_eq!((outcome, tries, time), (Err(()), 1, Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn trying_ends_within_the_bound() {
        let (outcome, tries, time) = tries_and_time(Again::After(None), 0).await;
        assert_eq!(outcome, Err(()));
        assert!((6..=12).contains(&tries), "{tries}");
        assert!(time <= RetryPolicy::default().give_up_after, "{time:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_server_asks_for_is_waited_or_trying_ends() {
        let (outcome, _, time) =
            tries_and_time(Again::After(Some(Duration::from_secs(2))), 2).await;
        assert_eq!(outcome, Ok(2));
        assert!(
            time >= Duration::from_secs(2) && time < Duration::from_millis(2100),
            "{time:?}"
        );
        let (outcome, tries, time) =
            tries_and_time(Again::After(Some(Duration::from_secs(3600))), 2).await;
        assert_eq!((outcome, tries, time), (Err(()), 1, Duration::ZERO));
    }
}
