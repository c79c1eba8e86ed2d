//! Keeps the two issues of a repository true after a sweep: the dashboard, and the one that calls for an operator.
//! It changes nothing in the cluster but what the ledger remembers of them, and fails no sweep: an issue is a view.
//! A digest of what was written last keeps a sweep that found nothing new from asking GitHub anything.

use super::{
    Ending, Exit, Failure, Ports,
    metrics::{now, recorded},
};
use crate::{
    capacity::{Ledger, Noted},
    cluster::{Moment, NamespaceInfo, Step},
    event::Repository,
    github::IssueText,
    names::{PreviewKey, State},
    report::{self, DashboardView, PreviewRow, QueueRow},
};
use sha2::{Digest, Sha256};

/// Writes both issues as the sweep has left things.
pub(super) async fn keep(ports: &Ports, repository: &Repository, swept: &Ending) {
    if ports.stop.is_cancelled() || !ports.settings.dashboard_issue {
        return;
    }
    for (what, kept) in [
        ("dashboard", dashboard(ports, repository).await),
        ("operator", operator(ports, repository, swept).await),
    ] {
        if let Err(failure) = kept {
            tracing::info!("the issue `{what}` was not written: {}", failure.line());
        }
    }
}

async fn dashboard(ports: &Ports, repository: &Repository) -> Result<(), Failure> {
    let (ledger, namespaces, recorded) = tokio::join!(
        ledger(ports, repository),
        ports.cluster()?.list_namespaces("app=preview"),
        recorded(ports, repository.id)
    );
    let Some(ledger) = ledger? else { return Ok(()) };
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
    let others = all.into_iter().filter(|info| whose(info).is_none());
    let now = now(&ledger, &ours, &usage);
    let view = DashboardView {
        server_url: ports.links.server.clone(),
        repository: repository.name.clone(),
        repository_id: repository.id,
        environment: ports.settings.environment.clone(),
        previews: rows(ports, repository, &ledger, &ours),
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
    write(ports, repository, "dashboard", &text, &ledger).await
}

/// The ledger as this run saw it last; asked for only when it has not.
async fn ledger(ports: &Ports, repository: &Repository) -> Result<Option<Ledger>, Failure> {
    let (cluster, name) = (ports.cluster()?, ports.ledger(repository.id));
    if let Some((ledger, _)) = cluster.ledger_seen(&name) {
        return Ok(Some(ledger));
    }
    Ok(cluster.read_ledger(&name).await?)
}

/// One row for each that holds a slot, and for each that sleeps without one.
fn rows(
    ports: &Ports,
    repository: &Repository,
    ledger: &Ledger,
    namespaces: &[NamespaceInfo],
) -> Vec<PreviewRow> {
    let annotation = |name: &crate::names::Namespace, key: &str| {
        let info = namespaces.iter().find(|info| info.name == *name)?;
        info.annotations.get(key).cloned()
    };
    let expires = |name: &crate::names::Namespace| {
        annotation(name, crate::plan::EXPIRES).and_then(|text| text.parse().ok())
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
            let state = record.standing(ports.now());
            let failed = (state == State::Failed).then(|| "its last deploy failed".to_owned());
            PreviewRow {
                slot: Some(holder.slot),
                pr: holder.pr,
                state,
                url: holder.url.clone(),
                owner: holder.owner.clone(),
                since: Some(holder.since),
                last_activity: record.last_used(),
                expires: expires(&holder.namespace),
                namespace: holder.namespace.clone(),
                warning: failed,
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
            owner: String::new(),
            since: Some(asleep.since),
            last_activity: record.last_used(),
            expires: expires(&asleep.namespace),
            namespace: asleep.namespace.clone(),
            warning: None,
        })
    });
    rows.extend(asleep);
    rows
}

/// Opens an issue when only a person can help, and closes it once nothing is left to do.
async fn operator(ports: &Ports, repository: &Repository, swept: &Ending) -> Result<(), Failure> {
    let causes = match (&swept.failure, swept.exit) {
        (Some(failure), Exit::Theirs | Exit::Yours | Exit::Ours) => failure.causes.as_slice(),
        _ => &[],
    };
    let Some(ledger) = ledger(ports, repository).await? else {
        return Ok(());
    };
    if causes.is_empty() && !ledger.issues.contains_key("operator") {
        return Ok(());
    }
    let marker = report::operator_marker(repository.id, &ports.settings.environment);
    let body = report::operator(&marker, causes)?;
    let body = ports.redaction.redact(&body);
    let text = IssueText {
        marker: &marker,
        title: "preview-action needs an operator",
        body: &body,
        open: Some(!causes.is_empty()),
    };
    write(ports, repository, "operator", &text, &ledger).await
}

async fn write(
    ports: &Ports,
    repository: &Repository,
    what: &str,
    text: &IssueText<'_>,
    ledger: &Ledger,
) -> Result<(), Failure> {
    let digest = format!(
        "{:x}",
        Sha256::digest(format!("{:?} {}", text.open, text.body))
    );
    let known = ledger.issues.get(what);
    if known.is_some_and(|known| known.digest == digest) {
        return Ok(());
    }
    let number = known.map(|known| known.number);
    let Some(number) = ports.github()?.upsert_issue(text, number).await? else {
        return Ok(());
    };
    let noted = Noted { number, digest };
    let name = ports.ledger(repository.id);
    let note = |ledger: &mut Ledger, _: Moment| {
        ledger.issues.insert(what.to_owned(), noted.clone());
        Step::Write(())
    };
    ports.cluster()?.transact(&name, note).await?;
    Ok(())
}
