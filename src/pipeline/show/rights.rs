//! What a run may not write beside the comment: each right that is missing turns one thing off, with one notice.
//! It writes nothing and knows no preview.

use super::Ports;
use crate::{github::GitHubError, inputs::Deployments};
use std::sync::atomic::{AtomicBool, Ordering};

/// What this run may not write.
#[derive(Debug, Default)]
pub(in crate::pipeline) struct Refused {
    pub(super) statuses: AtomicBool,
    pub(super) deployments: AtomicBool,
}

/// What is not written without a right: its name, the right, and the input that turns it off.
pub(super) type Feature = (&'static str, &'static str, &'static str);

pub(super) const STATUS: Feature = ("commit status", "statuses: write", "commit-status: false");
pub(super) const DEPLOYMENT: Feature = ("deployment", "deployments: write", "deployment: off");

/// Says what was not written; true when a later run may mend it.
pub(super) fn untold(
    ports: &Ports,
    refused: &AtomicBool,
    feature: Feature,
    error: &GitHubError,
) -> bool {
    let (what, right, input) = feature;
    match error {
        GitHubError::Forbidden { .. } | GitHubError::NotFound { .. } => {
            if !refused.swap(true, Ordering::Relaxed) {
                ports.notice(format!(
                    "no {what} was written: {error}; add `{right}` under `permissions:` in the workflow, or set `{input}`"
                ));
            }
            false
        }
        GitHubError::Unreachable { .. }
        | GitHubError::Unavailable { .. }
        | GitHubError::RateLimited { .. }
        | GitHubError::GivenUp { .. } => {
            tracing::info!("no {what} was written: {error}");
            true
        }
        // A token that has run out is renewed, and what answers in GitHub's place goes away.
        GitHubError::Unauthorized { .. }
        | GitHubError::Unexpected { .. }
        | GitHubError::Unreadable { .. } => {
            tracing::warn!("no {what} was written: {error}");
            true
        }
        _ => {
            tracing::warn!("no {what} was written: {error}");
            false
        }
    }
}

pub(super) fn writes_statuses(ports: &Ports) -> bool {
    ports.settings.commit_status && !ports.refused.statuses.load(Ordering::Relaxed)
}

pub(super) fn writes_deployments(ports: &Ports) -> bool {
    ports.settings.deployment == Deployments::Auto
        && !ports.refused.deployments.load(Ordering::Relaxed)
}
