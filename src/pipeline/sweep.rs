//! The scheduled pass: removes previews whose pull request is closed and those that have expired.
//! It decides per preview by what GitHub and the Namespace say now, never by what an event once said.
//! What it cannot prove finished it keeps: an unreadable pull request is no closed one.

use super::{
    Ending, Failure, Ports, desk,
    remove::{RemoveReason, RemoveRequest, expired, remove},
    teller::Teller,
};
use crate::{
    cluster::NamespaceInfo,
    event::Repository,
    names::{PrNumber, PreviewKey, ReasonCode},
};
use std::collections::BTreeSet;

/// What the sweep did with one preview.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Swept {
    /// Pull request.
    pub pr: PrNumber,
    /// Namespace.
    pub namespace: crate::names::Namespace,
    /// Why it was removed.
    pub reason: &'static str,
    /// How that went.
    pub ending: ReasonCode,
}

/// Sweeps one repository and environment.
pub async fn sweep(ports: &Ports, repository: &Repository) -> Result<Ending, Failure> {
    let github = ports.github()?;
    let cluster = ports.cluster()?;
    let name = ports.ledger(repository.id);
    let selector = desk::selector(&name);
    let (found, open) = tokio::join!(cluster.list_namespaces(&selector), github.open_pulls());
    let open: BTreeSet<PrNumber> = open?.into_iter().map(|pull| pull.number).collect();
    let mut swept = Vec::new();
    let mut worst: Option<Ending> = None;
    for info in found? {
        let Some((preview, pr)) = preview(ports, repository, &info) else {
            continue;
        };
        let reason = match due(ports, &info, pr, &open).await? {
            Some(reason) => reason,
            None => continue,
        };
        tracing::info!(pr = %pr, namespace = %info.name, ?reason, "removing");
        let mut teller = Teller::open(ports, &preview, &repository.name, &|_| {});
        let request = RemoveRequest {
            preview,
            namespace: info.name.clone(),
            reason,
        };
        let ending = remove(ports, &request, &mut teller).await;
        swept.push(Swept {
            pr,
            namespace: info.name,
            reason: if reason == RemoveReason::Expired {
                "expired"
            } else {
                "closed"
            },
            ending: ending.reason,
        });
        if ending.exit != super::Exit::Done {
            worst = Some(ending);
        }
        if ports.stop.is_cancelled() {
            break;
        }
    }
    let mut ending = worst.unwrap_or_else(|| Ending::swept(swept.len()));
    ending.swept = swept;
    Ok(ending)
}

fn preview(
    ports: &Ports,
    repository: &Repository,
    info: &NamespaceInfo,
) -> Option<(PreviewKey, PrNumber)> {
    let pr: PrNumber = info.labels.get("pr")?.parse().ok()?;
    let variant = match info.labels.get("preview-action/variant") {
        None => None,
        Some(text) => Some(text.parse().ok()?),
    };
    let environment = ports.settings.environment.clone();
    Some((
        PreviewKey {
            repository: repository.id,
            environment,
            pr,
            variant,
        },
        pr,
    ))
}

/// Why a preview is due, if it is.
async fn due(
    ports: &Ports,
    info: &NamespaceInfo,
    pr: PrNumber,
    open: &BTreeSet<PrNumber>,
) -> Result<Option<RemoveReason>, Failure> {
    if !open.contains(&pr) {
        // The list is one moment old and might be cut; the pull request itself has the last word.
        return match ports.github()?.pull(pr).await {
            Ok(pull) => Ok((!pull.open).then_some(RemoveReason::Closed {
                merged: pull.merged,
            })),
            Err(error) => {
                tracing::warn!(pr = %pr, "keeping {}: its pull request cannot be read: {error}", info.name);
                Ok(None)
            }
        };
    }
    Ok(expired(info).then_some(RemoveReason::Expired))
}
