//! Asks a preview's address whether it answers, and says what the answer means for the deploy.
//! It knows no cluster; how to ask is the business of `health`.
//! An application that says no is a failure; a name that does not resolve yet is a warning unless health is required.

use super::Ports;
use crate::{
    cluster::outcome::{Evidence, Failure as Cause},
    health::{self, HealthOutcome, Trouble},
    inputs::HealthMode,
    names::ReasonCode,
    plan::PublicUrl,
};
use tokio::time::Instant;

/// What an address's answer means.
pub(super) enum Answer {
    Healthy,
    Warning(String),
    Failed(Box<Cause>),
}

/// Asks until it answers or the deadline passes.
pub(super) async fn ask(ports: &Ports, url: &PublicUrl, deadline: Instant) -> Answer {
    let required = ports.settings.health == HealthMode::Required;
    let (target, options) =
        ports.health_check(url, deadline.saturating_duration_since(Instant::now()));
    match health::probe(&target, &options, &ports.stop).await {
        Ok(HealthOutcome::Healthy {
            redirects_to: Some(host),
            ..
        }) => Answer::Warning(format!(
            "{} redirects to another host, {host}; let the application take its own address from a variable with this preview's host",
            url.url
        )),
        Ok(
            HealthOutcome::Healthy {
                redirects_to: None, ..
            }
            | HealthOutcome::Stopped,
        ) => Answer::Healthy,
        Ok(HealthOutcome::Unhealthy(trouble)) => Answer::Failed(Box::new(failed(url, &trouble))),
        Ok(HealthOutcome::Unreachable(trouble)) if required => {
            Answer::Failed(Box::new(failed(url, &trouble)))
        }
        Ok(HealthOutcome::Unreachable(trouble)) => {
            Answer::Warning(format!("{}; {}", trouble.cause, trouble.remedy))
        }
        Err(error) => Answer::Warning(format!("the address was not asked: {error}")),
    }
}

/// The code of the last answer.
fn reason(trouble: &Trouble) -> ReasonCode {
    match trouble.attempts.last().map(|attempt| &attempt.answer) {
        Some(health::Answer::NoName(_)) => ReasonCode::NameNotFound,
        Some(health::Answer::Certificate(_)) => ReasonCode::CertificateRefused,
        Some(
            health::Answer::NoConnection(_) | health::Answer::NotAsked(_) | health::Answer::Silence,
        ) => ReasonCode::NoAnswer,
        Some(health::Answer::Status { .. } | health::Answer::Broken(_)) | None => {
            ReasonCode::Unhealthy
        }
    }
}

fn failed(url: &PublicUrl, trouble: &Trouble) -> Cause {
    let text = trouble.evidence();
    Cause {
        reason: reason(trouble),
        object: None,
        origin: None,
        cause: trouble.cause.clone(),
        remedy: trouble.remedy.clone(),
        evidence: vec![Evidence {
            title: format!("Answers of {}", url.url),
            text,
        }],
    }
}
