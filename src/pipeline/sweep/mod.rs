//! The scheduled pass: looks at everything once, plans what is to be done, does it, and sums up.
//! It decides per preview by what GitHub, the Namespace and the ledger say now, never by what an event once said.
//! What it cannot prove finished it keeps: an unreadable pull request is no closed one.

mod amiss;
mod broom;
mod entries;
mod look;
mod missed;
mod outlook;
mod outsiders;
mod plan;
mod retell;
mod sight;
mod task;
mod unused;

pub use outlook::{Due, Outlook, would_sweep};

use super::{Ending, Exit, Failure, Ports, desk, issues, promote::promote, request::Basis, show};
use crate::{
    capacity::{self, Holder, Ledger, Owned, Record, Shown},
    cluster::{Moment, Step},
    event::Repository,
    names::{Namespace, PrNumber, ReasonCode},
};
use broom::Broom;
use futures::{StreamExt, stream};
pub use look::Mandate;
use look::look;
use sight::Sight;

/// How much is done at once: one preview that is stuck must not keep the others waiting.
const ABREAST: usize = 4;

/// How many deployments are ended at once that were left behind.
const RETIRED: usize = 10;

/// What the sweep did with one preview.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Swept {
    /// Pull request.
    pub pr: PrNumber,
    /// Namespace.
    pub namespace: Namespace,
    /// What was done.
    pub action: &'static str,
    /// Why.
    pub reason: String,
    /// How that went.
    pub ending: ReasonCode,
}

/// Sweeps one repository and environment; who governs brings the cap up to date before anybody is let in.
pub async fn sweep(
    ports: &Ports,
    repository: &Repository,
    mandate: Mandate,
) -> Result<Ending, Failure> {
    let sight = look(ports, repository, mandate, false).await?;
    if mandate.governs {
        desk::keep_cap(ports, repository.id).await?;
    }
    count(ports, repository, &sight).await?;
    retire(ports, &sight).await;
    let broom = Broom {
        ports,
        repository,
        sight: &sight,
    };
    let endings: Vec<(Swept, Ending)> = stream::iter(sight.tasks())
        .map(|task| broom.act(task))
        .buffer_unordered(ABREAST)
        .collect()
        .await;
    Ok(summed_up(endings))
}

/// The same from a terminal, as far as that was given the workflow's inputs: nobody expires, is deployed or shown by a default.
pub async fn sweep_by_hand(ports: &Ports, repository: &Repository, mandate: Mandate) -> Ending {
    let swept = sweep(ports, repository, mandate).await;
    let mut ending = swept.unwrap_or_else(Ending::failed);
    let basis = Basis {
        ports,
        repository,
        workspace: None,
    };
    if mandate.deploys {
        ending.promoted = Box::pin(promote(basis, mandate.governs, true)).await;
    }
    if mandate.expires {
        Box::pin(issues::keep(ports, repository, &ending)).await;
    }
    ending.notices.extend(ports.take_notices());
    ending
}

/// Brings the ledger in line with what exists: a Namespace that nobody counts gets its slot, a claim whose run died goes back
/// in line, and what is left of closed pull requests is forgotten.
async fn count(ports: &Ports, repository: &Repository, sight: &Sight<'_>) -> Result<(), Failure> {
    let cluster = ports.cluster()?;
    let mut owned: Vec<Owned> = Vec::new();
    for seen in sight.uncounted() {
        // Read after the ledger, which calls nothing asleep before the label says so.
        let found = cluster.namespace(&seen.name).await?;
        let same = found.filter(|found| found.uid == seen.uid && found.deleting.is_none());
        let Some(found) = same.and_then(desk::owned_by_label) else {
            continue;
        };
        // Whose run the ledger knows can go on nowhere but in a slot of its own.
        let known = sight.ledger.previews.get(&found.key);
        let known = known.is_some_and(|record| record.newest.is_some());
        let empty = known && cluster.is_untouched(&found.namespace).await?;
        owned.push(Owned { empty, ..found });
    }
    let keep_slots = ports.settings.sleepers_keep_slots();
    let forgotten = sight.forgotten();
    let authors = sight.authors();
    if owned.is_empty() && forgotten.is_empty() && authors.is_empty() && !sight.has_dead_claims() {
        return Ok(());
    }
    let name = ports.ledger(repository.id);
    let step = |ledger: &mut Ledger, moment: Moment| {
        for one in owned.clone() {
            // Read by name after the ledger: what that had in its place is gone, unless somebody has bound another one meanwhile.
            let before = sight.ledger.holder(&one.key).and_then(Holder::home);
            let there = (one.namespace.clone(), one.uid.clone());
            if let Some((_, gone)) = before.filter(|before| capacity::is_replaced(before, &there)) {
                capacity::forget_uid(ledger, &one.key, &gone, &ports.run, moment.now);
            }
            let (key, namespace) = (one.key.clone(), one.namespace.clone());
            capacity::bind(ledger, one, keep_slots, moment.now);
            let counts = ledger.holder(&key).is_some();
            tracing::warn!(%namespace, counts, "no slot was noted for it");
        }
        for holder in &mut ledger.holders {
            if let Some(login) = authors.get(&holder.pr).filter(|_| holder.owner.is_empty()) {
                holder.owner.clone_from(login);
            }
        }
        capacity::give_up_old_claims(ledger, moment.now);
        let dropped = capacity::forget(ledger, &forgotten);
        tracing::debug!(dropped, "forgot previews of closed pull requests");
        Step::Write(())
    };
    cluster.transact(&name, step).await?;
    Ok(())
}

/// Ends deployments of previews that are gone, where GitHub did not take it at the time.
async fn retire(ports: &Ports, sight: &Sight<'_>) {
    for (preview, record) in sight.shown_still().take(RETIRED) {
        let Ok(cluster) = ports.cluster() else {
            return;
        };
        if !show::retire(ports, &preview, record).await {
            continue;
        }
        let known = record.shown.clone();
        let desk = desk::Desk::new(ports, cluster, preview, false);
        let forget = |record: &mut Record, _| {
            if record.shown == known {
                record.shown = Shown::default();
            }
        };
        if let Err(failure) = desk.change(forget).await {
            tracing::info!(
                "a deployment that is over is not forgotten: {}",
                failure.line()
            );
        }
    }
}

/// One ending for all: every failure is told, and the first one decides the exit code.
fn summed_up(mut endings: Vec<(Swept, Ending)>) -> Ending {
    endings.sort_by_key(|(swept, _)| swept.pr);
    let (mut failed, mut cancelled): (Option<Failure>, _) = (None, false);
    for (_, ending) in &endings {
        cancelled |= ending.exit == Exit::Cancelled;
        match (&mut failed, &ending.failure) {
            (Some(failed), Some(more)) => failed.causes.extend(more.causes.iter().cloned()),
            (None, Some(first)) => failed = Some(first.clone()),
            (_, None) => {}
        }
    }
    let mut ending = match failed {
        Some(failure) => Ending::failed(failure),
        None if cancelled => Ending::cancelled(),
        None => Ending::swept(endings.len()),
    };
    ending.swept = endings.into_iter().map(|(swept, _)| swept).collect();
    ending
}
