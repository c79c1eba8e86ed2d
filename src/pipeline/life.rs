//! Changes how long a preview lives: longer, for ever, no longer for ever.
//! It touches no workload and stops no run: the ledger is told at once, the Namespace and the comment once nobody is at work.
//! The ledger is told first, because the sweep and every deploy to come go by it.

use super::{
    Ending, Failure, Ports,
    desk::{Asking, Begun, Desk, Taken},
    inspect,
    teller::Teller,
    unbroken::unbroken,
};
pub(super) use crate::capacity::Home;
use crate::{
    capacity::Record,
    cluster::NamespaceInfo,
    event::PullRequest,
    names::{PreviewKey, ReasonCode},
    plan,
    trigger::Life,
};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How often a run looks whether another one has ended.
const POLL: Duration = Duration::from_millis(500);

/// What is waited for another run beyond the time that a deploy may take.
const MARGIN: Duration = Duration::from_secs(60);

/// Follows `/extend`, `/pin` and `/unpin`.
pub(super) async fn live(
    ports: &Ports,
    preview: &PreviewKey,
    pull: &PullRequest,
    wish: Life,
    teller: &mut Teller<'_>,
) -> Result<Ending, Failure> {
    let cluster = ports.cluster()?;
    let desk = Desk::new(ports, cluster, preview.clone(), false);
    let known = desk.record().await?;
    let Some(home) = known.as_ref().and_then(|(_, home)| home.clone()) else {
        return nobody(ports, preview, pull, teller, "to keep longer").await;
    };
    let noted = desk
        .change(|record, now| note(record, wish, &known, ports, now))
        .await?;
    let Some(taken) = own_turn(ports, &desk, true).await? else {
        return Ok(Ending::quiet(
            None,
            reason(wish),
            "noted; another run is at work and will show it",
        ));
    };
    teller.lives(&noted);
    let shown = async {
        let marked = mark(ports, &desk, &home, &taken.record).await;
        let told = match &marked {
            Ok(()) => unbroken(relive(ports, preview, pull, teller)).await,
            Err(_) => Ok(()),
        };
        (marked, told)
    };
    let (marked, told) = desk.holding(shown).await;
    let unheard = told.is_err() || teller.unheard();
    let ended = desk.finish(None, |ledger, key, _| {
        if let Some(record) = ledger.previews.get_mut(key) {
            record.untold |= unheard;
        }
    });
    if !ended.await? {
        return Ok(Ending::superseded());
    }
    marked?;
    told?;
    let why = match noted.expires(ports.settings.ttl) {
        Some(at) => format!("the preview expires {at}"),
        None => "the preview does not expire".into(),
    };
    Ok(Ending::quiet(None, reason(wish), why))
}

fn reason(wish: Life) -> ReasonCode {
    match wish {
        Life::Extend(_) => ReasonCode::Extended,
        Life::Pin => ReasonCode::Pinned,
        Life::Unpin => ReasonCode::Unpinned,
    }
}

/// What a wish makes of the record; done twice it is the same as done once.
fn note(
    record: &mut Record,
    wish: Life,
    known: &Option<(Record, Option<Home>)>,
    ports: &Ports,
    now: Timestamp,
) {
    match wish {
        Life::Pin => record.pinned = true,
        Life::Unpin => record.pinned = false,
        Life::Extend(time) => {
            let before = known
                .as_ref()
                .and_then(|(record, _)| record.expires(ports.settings.ttl));
            let from = before.map_or(now, |expires| expires.max(now));
            let until = from.checked_add(time).unwrap_or(from);
            record.extended = record.extended.max(Some(until));
        }
    }
    record.used(now);
}

/// Says that there is no preview that a command could be about.
pub(super) async fn nobody(
    ports: &Ports,
    preview: &PreviewKey,
    pull: &PullRequest,
    teller: &mut Teller<'_>,
    what: &str,
) -> Result<Ending, Failure> {
    let line = format!("there is no preview {what}");
    teller.answer_with(&line);
    let shown = inspect::show(ports, preview, &pull.head_sha, teller).await?;
    Ok(shown.because(ReasonCode::NoPreview).answering(line))
}

/// Takes the turn once nobody is at work; none when somebody is for longer than a deploy takes.
pub(super) async fn own_turn(
    ports: &Ports,
    desk: &Desk<'_>,
    used: bool,
) -> Result<Option<Taken>, Failure> {
    let deadline = Instant::now() + ports.settings.timeout * 2 + MARGIN;
    loop {
        let asking = Asking {
            // Who uses a preview wants it: a removal that was begun because its time was over is off.
            removal: match used {
                true => Begun::Revoked,
                false => Begun::Stands,
            },
            yields: true,
            used,
            ..Asking::default()
        };
        if let Some(taken) = desk.take_turn(asking).await? {
            return Ok(Some(taken));
        }
        if Instant::now() >= deadline || ports.stop.is_cancelled() || desk.looked_before() {
            return Ok(None);
        }
        sleep(POLL).await;
    }
}

/// Writes how long the preview lives onto its Namespace.
pub(super) async fn mark(
    ports: &Ports,
    desk: &Desk<'_>,
    (name, uid): &Home,
    record: &Record,
) -> Result<(), Failure> {
    let cluster = ports.cluster()?;
    let found = cluster.namespace(name).await?;
    let Some(found) =
        found.filter(|one| one.uid == *uid && one.deleting.is_none() && desk.owns(one))
    else {
        return Ok(());
    };
    let object = with_life(as_ours(&found), record.expires(ports.settings.ttl));
    cluster.apply_namespace(&object).await?;
    Ok(())
}

/// Brings the comment up to date: only the line about its life, since nothing else has changed.
async fn relive(
    ports: &Ports,
    preview: &PreviewKey,
    pull: &PullRequest,
    teller: &mut Teller<'_>,
) -> Result<(), Failure> {
    if teller.relive().await? {
        return Ok(());
    }
    let status = inspect::status(ports, preview).await?;
    teller
        .status(&status, &pull.head_sha, ReasonCode::StatusShown)
        .await;
    Ok(())
}

/// The Namespace as we apply it, with the labels and annotations of ours that it has.
pub(super) fn as_ours(found: &NamespaceInfo) -> Value {
    let ours = |key: &str| {
        key.starts_with("preview-action/")
            || [
                "app",
                "pr",
                "slot",
                "app.kubernetes.io/managed-by",
                "pod-security.kubernetes.io/enforce",
            ]
            .contains(&key)
    };
    let kept = |all: &std::collections::BTreeMap<String, String>| -> Value {
        all.iter()
            .filter(|(key, _)| ours(key))
            .map(|(key, value)| (key.clone(), json!(value)))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": found.name,
            "uid": found.uid,
            "labels": kept(&found.labels),
            "annotations": kept(&found.annotations),
        },
    })
}

/// The same Namespace with another end of its life.
pub(super) fn with_life(mut object: Value, expires: Option<Timestamp>) -> Value {
    if let Some(annotations) = object["metadata"]["annotations"].as_object_mut() {
        annotations.remove(plan::EXPIRES);
        annotations.remove(plan::PINNED);
        let (name, value) = plan::life(expires);
        annotations.insert(name.into(), value.into());
    }
    object
}
