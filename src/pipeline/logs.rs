//! Answers `/logs`: the last lines of a preview's containers, in one comment of their own.
//! It takes no turn and changes nothing; only the Namespace that the ledger binds to this preview is read.
//! Secrets are masked before anything is escaped, because an escaped one would not be found any more.

use super::{Ending, Failure, Ports, desk::Desk, teller::Teller};
use crate::{
    cluster::{Tail, Tails, Wanted},
    names::{MarkerKind, Namespace, PreviewKey, ReasonCode},
    report::{self, LogView, LogsView},
    trigger::command::Which,
};

/// Lines that are read of each log; what does not fit into a comment is cut from their beginning.
const LINES: i64 = 500;

/// Answers `/logs`; none when there is no preview.
pub(super) async fn logs(
    ports: &Ports,
    preview: &PreviewKey,
    which: &Which,
    teller: &mut Teller<'_>,
) -> Result<Option<Ending>, Failure> {
    let cluster = ports.cluster()?;
    let desk = Desk::new(ports, cluster, preview.clone(), false);
    let home = desk.record().await?.and_then(|(_, home)| home);
    let Some((name, uid)) = home else {
        return Ok(None);
    };
    let found = cluster.namespace(&name).await?;
    if !found.is_some_and(|found| found.uid == uid && desk.owns(&found)) {
        return Ok(None);
    }
    let wanted = Wanted {
        workload: which.service.as_deref(),
        container: which.container.as_deref(),
        previous: which.previous,
        lines: LINES,
    };
    let (tails, ()) = tokio::join!(cluster.tails(&name, &wanted), ports.learn_pull_secret());
    let view = match tails? {
        Tails::Read(tails) => LogsView {
            logs: tails.into_iter().map(|tail| shown(ports, tail)).collect(),
            ..about(&name, which)
        },
        Tails::NoWorkload(there) => LogsView {
            missing: which.service.clone(),
            there,
            ..about(&name, which)
        },
        Tails::NoContainer(there) => LogsView {
            missing: which.container.clone(),
            there,
            ..about(&name, which)
        },
    };
    let (reason, why) = match &view.missing {
        None => (ReasonCode::LogsShown, "the logs were written as a comment"),
        Some(_) => (ReasonCode::NotACommand, "there is no log of that name"),
    };
    teller
        .answer(MarkerKind::Logs, |marker| report::logs(&view, marker))
        .await?;
    Ok(Some(Ending::quiet(None, reason, why)))
}

fn about(name: &Namespace, which: &Which) -> LogsView {
    LogsView {
        namespace: name.clone(),
        previous: which.previous,
        logs: Vec::new(),
        missing: None,
        there: Vec::new(),
    }
}

fn shown(ports: &Ports, tail: Tail) -> LogView {
    let redact = |text: String| ports.redaction.redact(&text);
    LogView {
        title: format!(
            "{}, container {} of {}",
            tail.workload, tail.container, tail.pod
        ),
        text: tail.text.map(redact).map_err(redact),
    }
}
