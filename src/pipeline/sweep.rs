//! The scheduled pass: removes previews whose pull request is closed and those that have expired, and ends removals that were begun.
//! It decides per preview by what GitHub, the Namespace and the ledger say now, never by what an event once said.
//! What it cannot prove finished it keeps: an unreadable pull request is no closed one.

use super::{
    Ending, Exit, Failure, Ports, desk,
    remove::{RemoveReason, RemoveRequest, expired, remove},
    teller::Teller,
};
use crate::{
    capacity::{Because, Ledger, Record},
    cluster::{ClusterError, Moment, NamespaceInfo, Step},
    event::Repository,
    names::{Namespace, PrNumber, PreviewKey, ReasonCode},
    plan,
};
use futures::{StreamExt, stream};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// How many previews are removed at once: one that is stuck must not keep the others waiting.
const ABREAST: usize = 4;

/// What the sweep did with one preview.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Swept {
    /// Pull request.
    pub pr: PrNumber,
    /// Namespace.
    pub namespace: Namespace,
    /// Why it was removed.
    pub reason: &'static str,
    /// How that went.
    pub ending: ReasonCode,
}

/// Sweeps one repository and environment.
pub async fn sweep(ports: &Ports, repository: &Repository) -> Result<Ending, Failure> {
    let due = Sweep::look(ports, repository).await?.due().await?;
    let endings: Vec<(Swept, Ending)> = stream::iter(due)
        .map(|due| async move { due.remove(ports, repository).await })
        .buffer_unordered(ABREAST)
        .collect()
        .await;
    Ok(summed_up(endings))
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

/// A preview that is to be removed.
struct Due {
    preview: PreviewKey,
    namespace: Namespace,
    reason: RemoveReason,
    /// Who asked, where that is known.
    by: String,
}

impl Due {
    async fn remove(self, ports: &Ports, repository: &Repository) -> (Swept, Ending) {
        let (pr, reason) = (self.preview.pr, self.reason);
        let mut swept = Swept {
            pr,
            namespace: self.namespace.clone(),
            reason: match reason {
                RemoveReason::Expired => "expired",
                RemoveReason::Asked => "asked",
                RemoveReason::Closed { .. } => "closed",
                RemoveReason::Taken { .. } => "moved aside",
                RemoveReason::GaveWay { .. } => "gave way",
            },
            ending: ReasonCode::Cancelled,
        };
        if ports.stop.is_cancelled() {
            return (swept, Ending::cancelled());
        }
        tracing::info!(pr = %pr, namespace = %self.namespace, ?reason, "removing");
        let mut teller = Teller::open(ports, &self.preview, &repository.name, &|_| {});
        teller.asked_by(&self.by);
        let request = RemoveRequest {
            preview: self.preview,
            namespace: self.namespace,
            reason,
        };
        let ending = remove(ports, &request, &mut teller).await;
        swept.ending = ending.reason;
        (swept, ending)
    }
}

/// What there is, seen at one moment.
struct Sweep<'a> {
    ports: &'a Ports,
    repository: &'a Repository,
    open: BTreeSet<PrNumber>,
    namespaces: BTreeMap<PreviewKey, NamespaceInfo>,
    ledger: Option<(Ledger, Timestamp)>,
}

impl<'a> Sweep<'a> {
    async fn look(ports: &'a Ports, repository: &'a Repository) -> Result<Self, Failure> {
        let cluster = ports.cluster()?;
        let name = ports.ledger(repository.id);
        let selector = desk::selector(&name);
        let seen = |ledger: &mut Ledger, moment: Moment| Step::Keep((ledger.clone(), moment.now));
        let (found, open, ledger) = tokio::join!(
            cluster.list_namespaces(&selector),
            ports.github()?.open_pulls(),
            cluster.transact(&name, seen)
        );
        let namespaces = found?
            .into_iter()
            .filter_map(|info| Some((preview(ports, repository, &info)?, info)))
            .collect();
        Ok(Self {
            ports,
            repository,
            open: open?.into_iter().map(|pull| pull.number).collect(),
            namespaces,
            ledger: match ledger {
                Err(ClusterError::LedgerCorrupt { problem, .. }) => {
                    desk::mend(ports, cluster, &name, &problem).await?;
                    cluster.transact(&name, seen).await?
                }
                other => other?,
            },
        })
    }

    /// Every preview that is to be removed, and why.
    async fn due(&self) -> Result<Vec<Due>, Failure> {
        let mut due = Vec::new();
        for (preview, info) in &self.namespaces {
            let record = self.record(preview);
            let reason = if expired(info) && self.open.contains(&preview.pr) {
                Some(RemoveReason::Expired)
            } else {
                self.reason(preview, record).await?
            };
            due.extend(reason.map(|reason| self.entry(preview, &info.name, reason)));
        }
        for (preview, namespace) in self.without_namespace()? {
            let record = self.record(&preview);
            if let Some(reason) = self.reason(&preview, record).await? {
                due.push(self.entry(&preview, &namespace, reason));
            }
        }
        Ok(due)
    }

    fn entry(&self, preview: &PreviewKey, namespace: &Namespace, reason: RemoveReason) -> Due {
        let removing = self
            .record(preview)
            .and_then(|record| record.removing.as_ref());
        Due {
            preview: preview.clone(),
            namespace: namespace.clone(),
            reason,
            by: removing.map_or_else(String::new, |removing| removing.by.clone()),
        }
    }

    fn record(&self, preview: &PreviewKey) -> Option<&Record> {
        let (ledger, _) = self.ledger.as_ref()?;
        ledger.previews.get(&preview.in_ledger())
    }

    /// Previews that only the ledger knows: their removal was begun, or their slot is still taken.
    fn without_namespace(&self) -> Result<Vec<(PreviewKey, Namespace)>, Failure> {
        let Some((ledger, now)) = &self.ledger else {
            return Ok(Vec::new());
        };
        let mut found = Vec::new();
        for (key, record) in &ledger.previews {
            let holder = ledger.holder(key);
            if (record.removing.is_none() && holder.is_none()) || record.is_active(*now) {
                continue;
            }
            let Some(preview) = self.preview_of(key) else {
                continue;
            };
            if self.namespaces.contains_key(&preview) {
                continue;
            }
            let namespace = match holder {
                Some(holder) => holder.namespace.clone(),
                None => plan::namespace(&self.ports.settings, &self.repository.name, &preview)?,
            };
            found.push((preview, namespace));
        }
        Ok(found)
    }

    /// The preview behind a key of the ledger.
    fn preview_of(&self, key: &str) -> Option<PreviewKey> {
        PreviewKey::from_ledger(self.repository.id, &self.ports.settings.environment, key)
    }

    /// Why a preview is due, if it is: its pull request is closed, or a removal was begun that nobody has revoked.
    async fn reason(
        &self,
        preview: &PreviewKey,
        record: Option<&Record>,
    ) -> Result<Option<RemoveReason>, Failure> {
        let pr = preview.pr;
        if self.open.contains(&pr) {
            let begun = record.and_then(|record| record.removing.as_ref());
            // A pull request that was opened again is not closed any more.
            let stands =
                begun.filter(|one| !matches!(one.because, Because::Closed | Because::Merged));
            return Ok(stands.map(|one| one.because.into()));
        }
        // The list is one moment old and might be cut; the pull request itself has the last word.
        match self.ports.github()?.pull(pr).await {
            Ok(pull) => Ok((!pull.open).then_some(RemoveReason::Closed {
                merged: pull.merged,
            })),
            Err(error) => {
                tracing::warn!(pr = %pr, "keeping its preview: the pull request cannot be read: {error}");
                Ok(None)
            }
        }
    }
}

fn preview(ports: &Ports, repository: &Repository, info: &NamespaceInfo) -> Option<PreviewKey> {
    let variant = match info.labels.get("preview-action/variant") {
        None => None,
        Some(text) => Some(text.parse().ok()?),
    };
    Some(PreviewKey {
        repository: repository.id,
        environment: ports.settings.environment.clone(),
        pr: info.labels.get("pr")?.parse().ok()?,
        variant,
    })
}
