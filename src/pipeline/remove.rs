//! Removes one preview: turn, comment, delete by UID, wait until it is gone, free the slot, say so.
//! It knows no event and reads nothing of the pull request.
//! The turn comes first, so that a deploy under way stops before its Namespace is taken from under it.

use super::{
    Ending, Failure, Ports,
    desk::{self, Asking, Desk},
    teller::Teller,
};
use crate::{
    cluster::{Cluster, Gone, NamespaceInfo},
    names::{Namespace, PreviewKey, ReasonCode, RepoName, State},
    plan,
};
use std::time::Duration;
use tokio::time::Instant;

/// Removal finished within this, else an operator is told (SC-004).
const PATIENCE: Duration = Duration::from_secs(300);

/// What is left for the last word after a cancellation.
const LAST_WORDS: Duration = Duration::from_secs(4);

/// Why a preview is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemoveReason {
    /// Its pull request was closed.
    Closed {
        /// True when it was merged.
        merged: bool,
    },
    /// Somebody asked: it stays removed until somebody asks for it again.
    Asked,
    /// Its time was over: a push brings it back.
    Expired,
}

/// Which preview is to be removed, and why.
#[derive(Debug, Clone)]
pub struct RemoveRequest {
    /// Preview.
    pub preview: PreviewKey,
    /// Namespace that it has by the present pattern; the ledger's counts where it names another.
    pub namespace: Namespace,
    /// Why.
    pub reason: RemoveReason,
}

impl RemoveRequest {
    /// The request for a preview, whose Namespace is named by the settings' pattern.
    pub fn new(
        ports: &Ports,
        repository: &RepoName,
        preview: PreviewKey,
        reason: RemoveReason,
    ) -> Result<Self, Failure> {
        let namespace = plan::namespace(&ports.settings, repository, &preview)?;
        Ok(Self {
            preview,
            namespace,
            reason,
        })
    }
}

/// Removes, and tells the comment how it went.
pub async fn remove(ports: &Ports, request: &RemoveRequest, teller: &mut Teller<'_>) -> Ending {
    let cluster = match ports.cluster() {
        Ok(cluster) => cluster,
        Err(failure) => return teller.failed(failure).await,
    };
    let desk = Desk::new(ports, cluster, request.preview.clone(), false);
    let result = tokio::select! {
        result = run(ports, cluster, &desk, request, teller) => result,
        // Whoever comes next waits until this Namespace is gone.
        () = desk.hold() => Ok(Removal::Superseded),
        () = ports.stop.cancelled() => Ok(Removal::Cancelled),
    };
    if ports.stop.is_cancelled() {
        let last = async {
            match desk::release(&ports.stop, finish(&desk, request, State::Cancelled)).await {
                Ok(false) => Ending::cancelled(),
                _ => teller.cancelled().await,
            }
        };
        return tokio::time::timeout(LAST_WORDS, last)
            .await
            .unwrap_or_else(|_| Ending::cancelled());
    }
    if let Ok(Removal::NoTurn(failure)) = result {
        return teller.failed(failure).await;
    }
    let state = match &result {
        Ok(Removal::Gone { .. } | Removal::Nothing) => State::Removed,
        Ok(Removal::Superseded | Removal::Deployed) => State::Superseded,
        Ok(Removal::Cancelled) => State::Cancelled,
        Ok(Removal::NoTurn(_)) | Err(_) => State::Failed,
    };
    let ending = match result {
        Ok(Removal::Gone { namespace, took }) => {
            teller.removed(&namespace, took, request.reason).await
        }
        Ok(Removal::Nothing) => teller.nothing_to_remove(request.reason).await,
        Ok(Removal::Superseded) => Ending::superseded(),
        Ok(Removal::Deployed) => Ending::quiet(
            None,
            ReasonCode::Superseded,
            "the preview was deployed anew meanwhile, so it stays",
        ),
        Ok(Removal::Cancelled) => teller.cancelled().await,
        Ok(Removal::NoTurn(failure)) | Err(failure) => teller.failed(failure).await,
    };
    // The turn ends after the comment, so that no newer run is spoken over.
    match finish(&desk, request, state).await {
        Ok(true) => ending,
        Ok(false) => Ending::superseded(),
        Err(failure) => {
            tracing::warn!(reason = %failure.reason(), "could not end the turn: {}", failure.line());
            ending
        }
    }
}

enum Removal {
    /// The ledger failed before this run had its turn: there is none to end.
    NoTurn(Failure),
    Gone {
        namespace: Namespace,
        took: Duration,
    },
    Nothing,
    /// Expired no more.
    Deployed,
    Superseded,
    Cancelled,
}

async fn run(
    ports: &Ports,
    cluster: &Cluster,
    desk: &Desk<'_>,
    request: &RemoveRequest,
    teller: &mut Teller<'_>,
) -> Result<Removal, Failure> {
    let asking = Asking {
        removed_on_purpose: (request.reason == RemoveReason::Asked).then_some(true),
        yields: request.reason == RemoveReason::Expired,
    };
    let taken = match desk.take_turn(asking).await {
        Ok(Some(taken)) => taken,
        Ok(None) => return Ok(Removal::Superseded),
        Err(failure) => return Ok(Removal::NoTurn(failure)),
    };
    let name = taken
        .holder
        .as_ref()
        .map_or(&request.namespace, |holder| &holder.namespace)
        .clone();
    let found = cluster.namespace(&name).await?;
    let bound = taken.holder.as_ref().and_then(|holder| holder.uid.clone());
    let Some(found) = found.filter(|found| desk.owns(found)) else {
        // The Namespace was read by name: 404, or one that is not this preview's.
        let gone: Vec<String> = bound.into_iter().collect();
        desk.free(&gone).await?;
        return Ok(Removal::Nothing);
    };
    // The sweep saw the preview some time ago; now that it is our turn nobody changes it any more.
    if request.reason == RemoveReason::Expired && !expired(&found) {
        return Ok(Removal::Deployed);
    }
    teller.begin(taken.holder.as_ref(), &taken.record);
    teller.tell(State::Removing).await?;
    let Some(took) = gone(ports, cluster, &found).await? else {
        return Ok(Removal::Cancelled);
    };
    let gone: Vec<String> = std::iter::once(found.uid).chain(bound).collect();
    desk.free(&gone).await?;
    Ok(Removal::Gone {
        namespace: name,
        took,
    })
}

/// True when the Namespace's own annotation says that its time is over.
pub(super) fn expired(found: &NamespaceInfo) -> bool {
    found
        .annotations
        .get("preview-action/expires")
        .and_then(|text| text.parse::<jiff::Timestamp>().ok())
        .is_some_and(|expires| expires <= jiff::Timestamp::now())
}

/// Deletes a Namespace of ours by UID and waits until it is gone.
pub(super) async fn gone(
    ports: &Ports,
    cluster: &Cluster,
    found: &NamespaceInfo,
) -> Result<Option<Duration>, Failure> {
    let begun = Instant::now();
    cluster.delete_namespace(&found.name, &found.uid).await?;
    match cluster
        .wait_until_gone(
            &found.name,
            &found.uid,
            begun + PATIENCE,
            &ports.stop,
            &mut |_| {},
        )
        .await?
    {
        Gone::Gone { .. } => Ok(Some(begun.elapsed())),
        Gone::Stuck { why } => Err(desk::stuck(&found.name, PATIENCE, &why)),
        Gone::Stopped => Ok(None),
    }
}

async fn finish(desk: &Desk<'_>, request: &RemoveRequest, state: State) -> Result<bool, Failure> {
    desk.finish(None, |ledger, key, _| {
        if state == State::Removed
            && let Some(record) = ledger.previews.get_mut(key)
        {
            record.removed_on_purpose = request.reason == RemoveReason::Asked;
            record.serving = None;
            record.good = None;
            record.before = None;
            record.held = None;
        }
    })
    .await
}
