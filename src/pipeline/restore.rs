//! Takes a preview to a set that was good before: apply it, take back what came later, wait, ask the addresses.
//! It decides neither when that is to happen nor what people are told about it.
//! A failed update and `/rollback` come back by the same way, so that both are as careful.

use super::{
    Failure,
    deploy::{Stopped, Waiting},
    teller::Teller,
};
use crate::{
    capacity::{KeptSet, Record},
    cluster::{
        Cluster, ClusterError, Generations, LAST_GOOD, LastGood, digest,
        outcome::{Applied, Caution, Pruned},
    },
    names::{CommitSha, Namespace, ReasonCode},
};

/// Brings a good set back, and lets go what came later.
pub(super) async fn bring_back(
    waiting: Waiting<'_>,
    namespace: &Namespace,
    good: &LastGood,
    teller: &mut Teller<'_>,
) -> Result<Vec<Applied>, Stopped> {
    let cluster = waiting.cluster;
    let running = cluster.running_images(namespace).await?;
    let set = good.set(&running);
    let existing = cluster.existing(namespace, &set).await?;
    let applied = cluster
        .apply(&set, namespace, &existing, &mut |_| {})
        .await?;
    let pruned = cluster
        .prune(&set, namespace, &existing, &applied, Caution::Back)
        .await;
    teller.pruned(pruned.unwrap_or_else(Pruned::not));
    waiting.ready(namespace, &applied, teller).await?;
    waiting.healthy(&good.urls, teller).await?;
    Ok(applied)
}

/// The set that the ledger knows by this mark, or why it cannot be had.
pub(super) async fn kept(
    cluster: &Cluster,
    namespace: &Namespace,
    mark: &KeptSet,
) -> Result<LastGood, Failure> {
    let stored = cluster.last_good(namespace).await?;
    stored.find(&mark.digest).ok_or_else(|| {
        Failure::yours(
            ReasonCode::NothingToRollBack,
            format!(
                "Secret {LAST_GOOD} of namespace {namespace} does not hold what the ledger says of commit {}",
                mark.sha.short()
            ),
            "comment `/deploy`",
        )
    })
}

/// The marks of the last good set and of the one before, once a new one is kept.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Marks {
    pub(super) good: Option<KeptSet>,
    pub(super) before: Option<KeptSet>,
}

impl Marks {
    pub(super) fn none() -> Self {
        Self {
            good: None,
            before: None,
        }
    }

    pub(super) fn of(record: &Record) -> Self {
        Self {
            good: record.good.clone(),
            before: record.before.clone(),
        }
    }
}

/// Keeps a set as the last good one, and the last good one of another commit as the one before it.
///
/// The marks are `None` when even the set alone is too large for a Secret.
pub(super) async fn keep(
    cluster: &Cluster,
    namespace: &Namespace,
    source: String,
    new: &LastGood,
    known: &Marks,
) -> Result<Option<Marks>, ClusterError> {
    let other = |mark: &&KeptSet| mark.sha != new.sha;
    let older = known.good.iter().chain(&known.before).find(other);
    let stored = match older {
        Some(_) => cluster.last_good(namespace).await?,
        None => Generations::default(),
    };
    let bytes = new.bytes();
    let mark = KeptSet {
        sha: new.sha.clone(),
        source,
        digest: digest(&bytes),
    };
    let both = Generations {
        previous: older.and_then(|mark| stored.stored(&mark.digest)).cloned(),
        current: Some(bytes),
    };
    let Some(both) = both.fitting() else {
        return Ok(None);
    };
    cluster.keep_good(namespace, &both).await?;
    Ok(Some(Marks {
        good: Some(mark),
        before: older.filter(|_| both.previous.is_some()).cloned(),
    }))
}

/// Annotation of a Namespace: the commit that is live in it.
pub(super) const SHA: &str = "preview-action/sha";

/// The object of a Namespace as it is, with another commit and a state.
pub(super) fn marked(mut object: serde_json::Value, sha: &CommitSha) -> serde_json::Value {
    object["metadata"]["annotations"][SHA] = serde_json::json!(sha);
    object
}
