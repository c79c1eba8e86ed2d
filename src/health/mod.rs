//! Asks a preview's address until it answers as it should, and says what it answered when it does not.
//! It knows only HTTP: no cluster, no GitHub, and not whether a bad answer fails the deploy.
//! Pods can be ready while nobody outside can see them, so readiness alone is not the truth.

mod answer;
mod ask;

pub use answer::{Answer, Attempt, Trouble};

use crate::tls;
use ask::Asker;
use backon::{BackoffBuilder as _, ExponentialBuilder};
use jiff::Timestamp;
use std::{net::IpAddr, time::Duration};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

/// Pause after the first answer; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Different answers that are remembered.
const MOST_ATTEMPTS: usize = 20;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Address.
    pub url: String,
    /// Where its host is asked instead of at its DNS address: address, and port if not the URL's own.
    pub address: Option<(IpAddr, Option<u16>)>,
}

/// How it is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// How long a bad answer may become a good one.
    pub deadline: Duration,
    /// How long a name or a connection may be missing.
    pub unreachable_after: Duration,
    /// How long one answer may take.
    pub answer_within: Duration,
    /// Certificate authorities to trust as well, as PEM.
    pub extra_ca: Option<String>,
    /// True only for worlds that live on this machine: a public name that leads here is a trap otherwise.
    pub allow_loopback: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(60),
            unreachable_after: Duration::from_secs(15),
            answer_within: Duration::from_secs(10),
            extra_ca: None,
            allow_loopback: false,
        }
    }
}

/// What asking came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HealthOutcome {
    /// It answered as it should.
    Healthy {
        /// Status.
        status: u16,
        /// How often it was asked.
        attempts: u32,
        /// How long it took until then.
        took: Duration,
        /// Other host that it redirects to, if any.
        redirects_to: Option<String>,
    },
    /// It was reached and never answered as it should.
    Unhealthy(Trouble),
    /// No name, or no connection.
    Unreachable(Trouble),
    /// The caller asked to stop.
    Stopped,
}

/// Nothing can be asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HealthError {
    /// The address is none.
    #[error("the health address `{0}` is no `http` or `https` address")]
    Url(String),
    /// The certificate authorities cannot be used.
    #[error(transparent)]
    Trust(#[from] tls::TlsError),
    /// The HTTP client cannot be made.
    #[error("the HTTP client cannot be made: {0}")]
    Client(String),
}

/// Asks until the answer is good, time is up, or `stop` is cancelled.
pub async fn probe(
    target: &Target,
    options: &Options,
    stop: &CancellationToken,
) -> Result<HealthOutcome, HealthError> {
    let asker = Asker::new(target, options)?;
    stop.run_until_cancelled(until_healthy(&asker, options))
        .await
        .unwrap_or(Ok(HealthOutcome::Stopped))
}

/// Asks once: what came back, and what it means in words.
pub async fn once(
    target: &Target,
    options: &Options,
) -> Result<(Answer, Trouble, Option<Timestamp>), HealthError> {
    let asker = Asker::new(target, options)?;
    let (answer, until) = asker.look().await?;
    let attempt = Attempt {
        after: Duration::ZERO,
        answer: answer.clone(),
        times: 1,
    };
    Ok((answer, Trouble::new(asker.url(), vec![attempt]), until))
}

async fn until_healthy(asker: &Asker, options: &Options) -> Result<HealthOutcome, HealthError> {
    let started = Instant::now();
    let deadline = started + options.deadline.max(options.unreachable_after);
    let mut pauses = ExponentialBuilder::default()
        .with_min_delay(FIRST_PAUSE)
        .with_max_delay(LONGEST_PAUSE)
        .without_max_times()
        .build();
    let mut attempts: Vec<Attempt> = Vec::new();
    let mut reached = false;
    let mut count = 0;
    loop {
        let after = started.elapsed();
        count += 1;
        let answer = match timeout_at(deadline, asker.ask()).await {
            Ok(answer) => answer?,
            Err(_) => Answer::Silence,
        };
        tracing::debug!(url = asker.url(), %answer, elapsed_ms = after.as_millis(), "asked for health");
        if let Answer::Status { status, .. } = &answer
            && answer.is_healthy()
        {
            return Ok(HealthOutcome::Healthy {
                status: *status,
                attempts: count,
                took: started.elapsed(),
                redirects_to: asker.other_host(&answer),
            });
        }
        reached |= answer.was_reached();
        remember(&mut attempts, after, answer);
        let until = match reached {
            true => started + options.deadline,
            false => started + options.unreachable_after,
        };
        let pause = pauses.next().unwrap_or(LONGEST_PAUSE);
        if Instant::now() + pause >= until {
            let trouble = Trouble::new(asker.url(), attempts);
            return Ok(match reached {
                true => HealthOutcome::Unhealthy(trouble),
                false => HealthOutcome::Unreachable(trouble),
            });
        }
        tokio::time::sleep(pause).await;
    }
}

/// Equal answers in a row are one entry; of too many different ones the first and the last stay.
fn remember(attempts: &mut Vec<Attempt>, after: Duration, answer: Answer) {
    match attempts.last_mut() {
        Some(last) if last.answer == answer => last.times += 1,
        _ => {
            if attempts.len() == MOST_ATTEMPTS {
                attempts.remove(MOST_ATTEMPTS / 2);
            }
            attempts.push(Attempt {
                after,
                answer,
                times: 1,
            });
        }
    }
}

#[cfg(test)]
mod tests;
