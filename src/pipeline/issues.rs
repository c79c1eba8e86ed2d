//! Keeps the two issues of a repository true after a sweep: the dashboard, and the one that calls for an operator.
//! It changes nothing in the cluster but what the ledger remembers of them, and fails no sweep: an issue is a view.
//! A digest of what was written last keeps a sweep that found nothing new from asking GitHub anything.

use super::{
    Ending, Exit, Failure, Ports, desk,
    metrics::{now, recorded},
};
use crate::{
    capacity::{Ledger, Noted},
    cluster::{ClusterError, Moment, NamespaceInfo, Step, outcome::Failure as Cause},
    event::Repository,
    github::IssueText,
    inputs::Nodes,
    names::{PreviewKey, ReasonCode, State},
    report::{self, DashboardView, PreviewRow, QueueRow},
};
use sha2::{Digest, Sha256};
use std::{collections::BTreeSet, time::Duration};

/// Failures that may be over before the next sweep; all others are a person's to mend.
const PASSING: [ReasonCode; 5] = [
    ReasonCode::GithubUnreachable,
    ReasonCode::GithubRefused,
    ReasonCode::ClusterUnreachable,
    ReasonCode::ClusterRefused,
    ReasonCode::TimedOut,
];

/// Previews, of everybody, up to which the dashboard looks at the nodes.
const FEW: usize = 100;

/// What a cluster that did not answer gets before it is asked once more.
const AGAIN: Duration = Duration::from_secs(120);

/// Writes both issues as the sweep and all that it led to have left things.
///
/// Of a sweep that could not begin, and of a ledger that nobody has seen, only the call for an operator is written: nothing is
/// asked of a cluster that may not answer.
pub(super) async fn keep(ports: &Ports, repository: &Repository, swept: &Ending) {
    if ports.stop.is_cancelled() || !ports.settings.dashboard_issue {
        return;
    }
    let causes = match (&swept.failure, swept.exit) {
        (Some(failure), Exit::Theirs | Exit::Yours | Exit::Ours) => failure.causes.as_slice(),
        _ => &[],
    };
    let ledger = match ledger(ports, repository, swept.failure.is_none()).await {
        Ok(ledger) => ledger,
        Err(failure) => {
            tracing::info!("no issue was written: {}", failure.line());
            return;
        }
    };
    let shown = match &ledger {
        Some(ledger) => dashboard(ports, repository, ledger).await,
        None => Ok(()),
    };
    let called = match (&ledger, causes) {
        (None, []) => Ok(()),
        _ => operator(ports, repository, causes, ledger).await,
    };
    let mut told = false;
    for (what, kept) in [("dashboard", shown), ("operator", called)] {
        let Err(failure) = kept else {
            continue;
        };
        let line = format!("the issue `{what}` was not written: {}", failure.line());
        // What a line of the workflow mends must be seen; what passes by itself must not be read each time.
        match failure.reason() == ReasonCode::GithubRefused && !told {
            true => ports.notice(format!(
                "{line}; or set `dashboard-issue: false` to have no issues"
            )),
            false => tracing::info!("{line}"),
        }
        told = true;
    }
}

async fn dashboard(ports: &Ports, repository: &Repository, ledger: &Ledger) -> Result<(), Failure> {
    let (namespaces, recorded) = tokio::join!(
        ports.cluster()?.list_namespaces("app=preview"),
        recorded(ports, repository.id)
    );
    let (figures, usage) = recorded?;
    let own = repository.id.to_string();
    let whose = |info: &NamespaceInfo| info.labels.get("preview-action/repository-id").cloned();
    let all = namespaces?;
    let ours: Vec<NamespaceInfo> = all
        .iter()
        .filter(|info| whose(info).as_ref() == Some(&own))
        .filter(|info| {
            let environment = info.labels.get("preview-action/environment");
            environment.map(String::as_str) == Some(ports.settings.environment.as_str())
        })
        .cloned()
        .collect();
    let count = all.len();
    let others = all.into_iter().filter(|info| whose(info).is_none());
    let now = now(ledger, &ours, &usage);
    let view = DashboardView {
        server_url: ports.links.server.clone(),
        repository: repository.name.clone(),
        repository_id: repository.id,
        environment: ports.settings.environment.clone(),
        previews: rows(ports, repository, ledger, &ours),
        queue: ledger
            .queue
            .iter()
            .map(|waiting| QueueRow {
                pr: waiting.pr,
                owner: waiting.owner.clone(),
                since: waiting.since,
            })
            .collect(),
        now,
        nodes: filled(ports, count).await,
        figures,
        strangers: others.map(|info| info.name).collect(),
    };
    let marker = report::dashboard_marker(repository.id, &ports.settings.environment);
    let (title, body) = report::dashboard(&view)?;
    let body = ports.redaction.redact(&body);
    let text = IssueText {
        marker: &marker,
        title: &title,
        body: &body,
        open: None,
    };
    write(ports, repository, "dashboard", &text, Some(ledger)).await
}

/// How full the nodes are, where that may be read and matters, and is not the work of a long list.
async fn filled(ports: &Ports, previews: usize) -> Option<u64> {
    if ports.settings.nodes == Nodes::Elastic || previews > FEW {
        return None;
    }
    let filled = ports.cluster().ok()?.filled().await;
    let blind =
        |error: &ClusterError| tracing::info!("how full the nodes are is not known: {error}");
    filled.inspect_err(blind).ok()?
}

/// The ledger as this run saw it last; asked for only when it has not and the cluster is well.
async fn ledger(
    ports: &Ports,
    repository: &Repository,
    well: bool,
) -> Result<Option<Ledger>, Failure> {
    let name = ports.ledger(repository.id);
    let Ok(cluster) = ports.cluster() else {
        return Ok(None);
    };
    match cluster.ledger_seen(&name) {
        Some((ledger, _)) => Ok(Some(ledger)),
        None if well => Ok(cluster.read_ledger(&name).await?),
        None => Ok(None),
    }
}

/// One row for each that holds a slot, and for each that sleeps without one.
fn rows(
    ports: &Ports,
    repository: &Repository,
    ledger: &Ledger,
    namespaces: &[NamespaceInfo],
) -> Vec<PreviewRow> {
    let ttl = ports.settings.ttl;
    let leaving = |uid: &str| {
        let info = namespaces.iter().find(|info| info.uid == uid)?;
        info.deleting?;
        Some(match desk::held_by(info) {
            unknown if unknown.is_empty() => "its namespace is being deleted".into(),
            held_by => format!("its namespace is being deleted, held by {held_by}"),
        })
    };
    let mut rows: Vec<PreviewRow> = ledger
        .holders
        .iter()
        .map(|holder| {
            let record = ledger
                .previews
                .get(&holder.key)
                .cloned()
                .unwrap_or_default();
            let state = match holder.is_adopted() && record.attempted.is_none() {
                true => State::Ready,
                false => record.standing(ports.now()),
            };
            let warning = match state {
                State::Failed => Some("its last deploy failed".to_owned()),
                State::Degraded => Some("it was ready and has broken since".to_owned()),
                _ => None,
            };
            let leaving = holder.uid.as_deref().and_then(leaving);
            PreviewRow {
                slot: Some(holder.slot),
                pr: holder.pr,
                state,
                url: holder.url.clone(),
                owner: holder.owner.clone(),
                since: Some(holder.since),
                last_activity: record.last_used(),
                expires: record.expires(ttl),
                pinned: record.pinned,
                namespace: holder.namespace.clone(),
                warning: leaving.or(warning),
            }
        })
        .collect();
    rows.sort_by_key(|row| row.slot);
    let asleep = ledger.previews.iter().filter_map(|(key, record)| {
        let asleep = record.asleep.as_ref()?;
        let preview = PreviewKey::from_ledger(repository.id, &ports.settings.environment, key)?;
        ledger.holder(key).is_none().then_some(PreviewRow {
            slot: None,
            pr: preview.pr,
            state: State::Sleeping,
            url: String::new(),
            owner: asleep.owner.clone(),
            since: Some(asleep.since),
            last_activity: record.last_used(),
            expires: record.expires(ttl),
            pinned: record.pinned,
            namespace: asleep.namespace.clone(),
            warning: leaving(&asleep.uid),
        })
    });
    rows.extend(asleep);
    rows
}

/// Opens an issue when only a person can help, and closes it once nothing is left to do.
///
/// What may pass counts when the sweep before met it too; without the ledger nobody remembers that, so the cluster is asked
/// once more.
async fn operator(
    ports: &Ports,
    repository: &Repository,
    causes: &[Cause],
    ledger: Option<Ledger>,
) -> Result<(), Failure> {
    let passing = |cause: &&Cause| PASSING.contains(&cause.reason);
    let code = |cause: &Cause| cause.reason.as_str().to_owned();
    let troubles: BTreeSet<String> = causes.iter().filter(passing).map(code).collect();
    let met_before = ledger.as_ref().map(|ledger| &ledger.troubles);
    let silent =
        met_before.is_none() && !troubles.is_empty() && stays_silent(ports, repository).await;
    let lasts = |cause: &&Cause| {
        !passing(cause) || met_before.map_or(silent, |before| before.contains(&code(cause)))
    };
    let mut lasting: Vec<Cause> = causes.iter().filter(lasts).cloned().collect();
    // Before rendering: an escaped secret would not be found any more.
    for one in &mut lasting {
        one.cause = ports.redaction.redact(&one.cause);
        one.remedy = ports.redaction.redact(&one.remedy);
        for piece in &mut one.evidence {
            piece.text = ports.redaction.redact(&piece.text);
        }
    }
    if met_before.is_some_and(|before| *before != troubles) {
        let name = ports.ledger(repository.id);
        let note = |ledger: &mut Ledger, _: Moment| {
            ledger.troubles.clone_from(&troubles);
            Step::Write(())
        };
        ports.cluster()?.transact(&name, note).await?;
    }
    let was_called = ledger
        .as_ref()
        .is_some_and(|ledger| ledger.issues.contains_key("operator"));
    if lasting.is_empty() && !was_called {
        return Ok(());
    }
    let marker = report::operator_marker(repository.id, &ports.settings.environment);
    let body = report::operator(&marker, &lasting, ledger.is_none())?;
    let body = ports.redaction.redact(&body);
    let text = IssueText {
        marker: &marker,
        title: "preview-action needs an operator",
        body: &body,
        open: Some(!lasting.is_empty()),
    };
    write(ports, repository, "operator", &text, ledger.as_ref()).await
}

/// True when the cluster does not answer a while later either.
async fn stays_silent(ports: &Ports, repository: &Repository) -> bool {
    let Ok(cluster) = ports.cluster() else {
        return false;
    };
    tracing::info!("the cluster is asked once more before an operator is called");
    tokio::select! {
        () = tokio::time::sleep(cluster.patience(AGAIN)) => {}
        () = ports.stop.cancelled() => return false,
    }
    let read = cluster.read_ledger(&ports.ledger(repository.id)).await;
    read.is_err_and(|error| PASSING.contains(&error.reason_code()))
}

async fn write(
    ports: &Ports,
    repository: &Repository,
    what: &str,
    text: &IssueText<'_>,
    ledger: Option<&Ledger>,
) -> Result<(), Failure> {
    let digest = format!(
        "{:x}",
        Sha256::digest(format!("{:?} {}", text.open, text.body))
    );
    let known = ledger.and_then(|ledger| ledger.issues.get(what));
    if known.is_some_and(|known| known.digest == digest) {
        return Ok(());
    }
    let number = known.map(|known| known.number);
    let Some(number) = ports.github()?.upsert_issue(text, number).await? else {
        return Ok(());
    };
    if ledger.is_none() {
        return Ok(());
    }
    let noted = Noted { number, digest };
    let name = ports.ledger(repository.id);
    let note = |ledger: &mut Ledger, _: Moment| {
        ledger.issues.insert(what.to_owned(), noted.clone());
        Step::Write(())
    };
    ports.cluster()?.transact(&name, note).await?;
    Ok(())
}
