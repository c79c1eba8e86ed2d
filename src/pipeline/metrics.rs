//! Leaves a record of each run in the cluster, and makes figures of the records and of what is live now.
//! It decides nothing and fails no deploy: a record that cannot be written is a line in the log.
//! Figures need no server: whoever asks reads the same bounded record, from the command line or in the sweep.

use super::{Ending, Failure, Ports, desk};
use crate::{
    capacity::Ledger,
    cluster::{NamespaceInfo, NamespaceUsage},
    metrics::{Action, Figures, Now, RunRecord, Usage},
    names::{CommitSha, PrNumber, RepoId, State},
};
use std::{collections::BTreeMap, time::Duration};

/// What a record says beyond how the run ended.
#[derive(Debug, Clone)]
pub(super) struct Run {
    pub(super) pr: PrNumber,
    pub(super) action: Action,
    pub(super) sha: Option<CommitSha>,
    pub(super) first: bool,
    pub(super) took: Duration,
    pub(super) waited: Duration,
}

/// Leaves a record of a run; a cancelled one has no time for it.
pub(super) async fn leave(
    ports: &Ports,
    repository: RepoId,
    run: Run,
    state: State,
    ending: &Ending,
) {
    if ports.stop.is_cancelled() {
        return;
    }
    let Ok(cluster) = ports.cluster() else { return };
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let stages = ending.stages.iter();
    let record = RunRecord {
        at: ports.now(),
        pr: run.pr,
        action: run.action,
        sha: run.sha,
        outcome: state,
        reason: ending.reason,
        first: run.first,
        took: millis(run.took),
        waited: run.waited.as_secs(),
        stages: stages
            .map(|timing| (timing.stage.clone(), millis(timing.took)))
            .collect(),
    };
    let mark = run.pr.to_string();
    let ledger = ports.ledger(repository);
    if let Err(error) = cluster.leave_record(&ledger, &mark, &record).await {
        tracing::info!("no record of this run was kept for the metrics: {error}");
    }
}

/// The figures of the recorded runs, and what is live now.
pub async fn metrics(ports: &Ports, repository: RepoId) -> Result<(Figures, Now), Failure> {
    let cluster = ports.cluster()?;
    let name = ports.ledger(repository);
    let selector = desk::selector(&name);
    let (ledger, namespaces, recorded) = tokio::join!(
        cluster.read_ledger(&name),
        cluster.list_namespaces(&selector),
        recorded(ports, repository)
    );
    let ledger = ledger?.unwrap_or_else(|| Ledger::empty(ports.settings.max_previews));
    let (figures, usage) = recorded?;
    Ok((figures, now(&ledger, &namespaces?, &usage)))
}

/// The figures of the recorded runs, and what each Namespace of the cluster uses.
pub(super) async fn recorded(
    ports: &Ports,
    repository: RepoId,
) -> Result<(Figures, BTreeMap<String, NamespaceUsage>), Failure> {
    let cluster = ports.cluster()?;
    let name = ports.ledger(repository);
    let (records, usage) = tokio::join!(cluster.records(&name), cluster.usage());
    Ok((Figures::of(&records?), usage?))
}

/// What is live: as the ledger has it, and as far as these Namespaces use something.
pub(super) fn now(
    ledger: &Ledger,
    namespaces: &[NamespaceInfo],
    usage: &BTreeMap<String, NamespaceUsage>,
) -> Now {
    let rows = namespaces.iter().filter_map(|info| {
        // What nobody measures and no quota counts is not known, which is not nothing.
        let used = usage.get(info.name.as_str())?;
        Some(Usage {
            pr: info.labels.get("pr")?.parse().ok()?,
            namespace: info.name.clone(),
            cpu: used.cpu,
            memory: used.memory,
            measured: used.measured,
            quota: used.quota,
        })
    });
    Now {
        capacity: ledger.capacity,
        active: ledger.holders.len(),
        queued: ledger.queue.len(),
        usage: rows.collect(),
    }
}
