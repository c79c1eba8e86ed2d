//! Makes a ledger that is missing, or that nobody can read any more, from the Namespaces that exist.
//! It guesses nothing: who waited, and what was tried, approved or removed on purpose, only a ledger knows, and so it is lost with it.
//! Every Namespace of ours is a holder even above the cap, because a slot that is given away twice is worse than one too few.

use super::selector;
use crate::{
    capacity::{self, Ledger, LedgerName, Owned},
    cluster::{Cluster, NamespaceInfo},
    names::{PrNumber, State},
    pipeline::{Failure, Ports},
    plan,
};

/// Makes a ledger that is not there.
pub(in crate::pipeline) async fn begin(
    ports: &Ports,
    cluster: &Cluster,
    name: &LedgerName,
) -> Result<(), Failure> {
    let owned = owned(cluster, name).await?;
    let ledger = match owned.len() {
        0 => Ledger::empty(ports.settings.max_previews),
        previews => {
            tracing::warn!(
                previews,
                "the ledger was gone; made it again from the namespaces that exist"
            );
            anew(ports, owned)
        }
    };
    Ok(cluster.create_ledger(name, &ledger).await?)
}

/// Puts a new ledger in the place of one that cannot be read, keeps that one's text, and lets people know.
pub(in crate::pipeline) async fn mend(
    ports: &Ports,
    cluster: &Cluster,
    name: &LedgerName,
    problem: &str,
) -> Result<(), Failure> {
    let ledger = anew(ports, owned(cluster, name).await?);
    if let Some(copy) = cluster.replace_corrupt_ledger(name, &ledger).await? {
        ports.notice(format!(
            "the record of all previews, ConfigMap {}/{}, could not be read ({problem}); it was made anew from the {} previews that exist, and what it was is kept as {copy}; who waited in line, approvals and removals on purpose are forgotten",
            name.namespace,
            name.object(),
            ledger.holders.len(),
        ));
    }
    Ok(())
}

/// A new ledger of the Namespaces that exist.
///
/// Sequences go on above the number of seconds since 1970, which no count of runs has ever reached: an old run that is
/// still at work finds a greater one than its own in any case.
pub(in crate::pipeline) fn anew(ports: &Ports, owned: Vec<Owned>) -> Ledger {
    let now = ports.now();
    Ledger {
        floor: u64::try_from(now.as_second()).unwrap_or_default(),
        ..capacity::rebuild(
            ports.settings.max_previews,
            owned,
            ports.settings.sleepers_keep_slots(),
            now,
        )
    }
}

async fn owned(cluster: &Cluster, name: &LedgerName) -> Result<Vec<Owned>, Failure> {
    let found = cluster.list_namespaces(&selector(name)).await?;
    Ok(found.into_iter().filter_map(owned_by_label).collect())
}

/// A Namespace that carries our labels, as the ledger takes it.
pub(in crate::pipeline) fn owned_by_label(info: NamespaceInfo) -> Option<Owned> {
    let pr: PrNumber = info.labels.get("pr")?.parse().ok()?;
    let key = match info.labels.get("preview-action/variant") {
        None => pr.to_string(),
        Some(variant) => format!("{pr}-{variant}"),
    };
    let url = info.annotations.get("preview-action/url").cloned();
    let asleep = is_labelled_asleep(&info);
    Some(Owned {
        key,
        pr,
        uid: info.uid,
        slot: info.labels.get("slot").and_then(|slot| slot.parse().ok()),
        url: url.unwrap_or_default(),
        life: match info.annotations.get(plan::EXPIRES) {
            _ if info.annotations.contains_key(plan::PINNED) => Some(None),
            expires => expires.and_then(|text| text.parse().ok()).map(Some),
        },
        asleep,
        // What a run that lives may be at work in is counted.
        empty: false,
        namespace: info.name,
    })
}

/// True when nothing runs in a Namespace, as its label says.
pub(in crate::pipeline) fn is_labelled_asleep(info: &NamespaceInfo) -> bool {
    let state = info.labels.get("preview-action/state");
    state.map(String::as_str) == Some(State::Sleeping.as_str())
}
