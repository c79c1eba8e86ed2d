//! Prints for people and programs: data to standard output, everything else to standard error.
//! It formats nothing by itself.
//! The one place where the process writes to its terminal, so that no other module needs the right to.

use crate::{
    names::ReasonCode,
    pipeline::{Due, Ending, Exit, Failure, LastFailure, Listed, Status},
    report::StatusView,
    runner::Redaction,
};
use serde::Serialize;
use std::{
    io::Write as _,
    sync::{Mutex, OnceLock, PoisonError},
};

/// Why a command failed, and whose fault it is.
#[derive(Debug)]
pub(super) enum Failed {
    /// A use case says so.
    UseCase(Failure),
    /// Something that should not happen did.
    Bug(anyhow::Error),
}

impl Failed {
    /// A mistake of the person at the command line.
    pub(super) fn yours(cause: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::from(Failure::yours(ReasonCode::BadInput, cause, remedy))
    }

    /// Exit code.
    pub(super) fn code(&self) -> u8 {
        match self {
            Self::UseCase(failure) => Exit::from(failure.blame).code(),
            Self::Bug(_) => super::OURS,
        }
    }
}

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::UseCase(failure) => {
                for (index, cause) in failure.causes.iter().enumerate() {
                    if index > 0 {
                        writeln!(f)?;
                    }
                    write!(f, "{}", cause.cause)?;
                    if !cause.remedy.is_empty() {
                        write!(f, "\n  fix: {}", cause.remedy)?;
                    }
                    for evidence in &cause.evidence {
                        write!(f, "\n  {}:", evidence.title)?;
                        for line in evidence.text.lines() {
                            write!(f, "\n    {line}")?;
                        }
                    }
                }
                write!(f, "\n  code: {}", failure.reason())
            }
            Self::Bug(error) => write!(f, "this is a bug in preview-action: {error:#}"),
        }
    }
}

impl From<Failure> for Failed {
    fn from(failure: Failure) -> Self {
        Self::UseCase(at_a_terminal(failure))
    }
}

/// Inputs are options here, and there is no container around the files.
fn at_a_terminal(mut failure: Failure) -> Failure {
    for cause in &mut failure.causes {
        cause.cause = options(&cause.cause);
        cause.remedy = match (
            cause.reason,
            cause.remedy.split_once("; inside the action's container"),
        ) {
            (ReasonCode::NoCredentials, _) if cause.cause.contains("kubeconfig") => {
                "give --kubeconfig or set KUBECONFIG".into()
            }
            (ReasonCode::NoCredentials, _) if cause.cause.contains("token") => {
                "give --token or set PREVIEW_TOKEN".into()
            }
            (_, Some((remedy, _))) => options(remedy),
            (_, None) => options(&cause.remedy),
        };
    }
    failure
}

/// The same text with inputs named as the options that they are at a terminal.
pub(super) fn options(text: &str) -> String {
    let mut words = text.split("input `");
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |text, word| format!("{text}option `--{word}"))
}

impl From<anyhow::Error> for Failed {
    fn from(error: anyhow::Error) -> Self {
        Self::Bug(error)
    }
}

/// Prints data; a reader that went away is no failure.
pub(super) fn text(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{}", clean(text.trim_end()));
}

/// What the process has learnt, once something that may be secret is read.
static KNOWN: OnceLock<Redaction> = OnceLock::new();

/// Prints no secret that this knows or learns later.
pub(super) fn without(secrets: &Redaction) {
    // Who opens twice has read the same secrets twice.
    let _ = KNOWN.set(secrets.clone());
}

fn clean(text: &str) -> String {
    KNOWN
        .get()
        .map_or_else(|| text.to_owned(), |known| known.redact(text))
}

/// Prints data as JSON.
pub(super) fn json(value: &impl Serialize) -> Result<u8, Failed> {
    text(&serde_json::to_string_pretty(value).map_err(anyhow::Error::from)?);
    Ok(0)
}

/// Prints a line of progress.
pub(super) fn progress(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{}", clean(line));
}

/// Prints what went wrong; what containers wrote may stand in it, so nothing in it can move the cursor.
pub(super) fn error(text: &str) {
    let plain = |c: &char| !c.is_control() || matches!(c, '\n' | '\t');
    let text: String = text.chars().filter(plain).collect();
    progress(&format!("error: {text}"));
}

/// Prints how far a preview is, each state once.
#[derive(Default)]
pub(super) struct Progress(Mutex<String>);

impl Progress {
    pub(super) fn show(&self, view: &StatusView) {
        let line = super::open::progress(view);
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if *last != line {
            progress(&format!("… {line}"));
            *last = line;
        }
    }
}

/// An ending for people.
pub(super) fn ending(ending: &Ending) -> String {
    let mut lines = vec![format!("{}: {}", ending.reason, ending.why)];
    if let Some(view) = &ending.view {
        let mut row = |name: &str, value: String| lines.push(format!("  {name:<10} {value}"));
        if let Some(namespace) = &view.namespace {
            row("namespace", namespace.to_string());
        }
        for url in &view.urls {
            row("url", url.url.clone());
        }
        if let Some(sha) = &view.sha {
            row("commit", sha.to_string());
        }
        if let Some(slot) = view.slot {
            row("slot", format!("{} of {}", slot.number, slot.capacity));
        }
        for warning in &view.warnings {
            row("warning", warning.clone());
        }
    }
    lines.join("\n")
}

/// A list of previews for people.
pub(super) fn table(listed: &[Listed]) -> String {
    if listed.is_empty() {
        return "no previews".into();
    }
    let mut rows = vec![
        [
            "NAMESPACE",
            "PR",
            "SLOT",
            "STATE",
            "COMMIT",
            "EXPIRES",
            "URL",
        ]
        .map(str::to_owned),
    ];
    let text = |value: Option<String>| value.unwrap_or_else(|| "-".into());
    for one in listed {
        rows.push([
            one.namespace.to_string(),
            text(one.pr.map(|pr| pr.to_string())),
            text(one.slot.map(|slot| slot.to_string())),
            if one.ours() {
                one.state.clone()
            } else {
                "not ours".into()
            },
            text(one.sha.as_ref().map(|sha| sha.chars().take(7).collect())),
            text(
                one.expires
                    .as_ref()
                    .map(|time| time.chars().take(16).collect()),
            ),
            text(one.url.clone()),
        ]);
    }
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or_default()
    };
    let widths: Vec<usize> = (0..7).map(width).collect();
    let line = |row: &[String; 7]| {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// What can be done about Namespaces that are labelled as previews and are nobody's; empty when there are none.
pub(super) fn strangers(listed: &[Listed]) -> String {
    let strangers: Vec<String> = listed
        .iter()
        .filter(|one| !one.ours())
        .map(|one| one.namespace.to_string())
        .collect();
    match strangers.first() {
        None => String::new(),
        Some(first) => format!(
            "nobody's, so not counted and never removed: {}; to take one over: preview-action adopt {first} --repository OWNER/NAME --pr NUMBER",
            strangers.join(", ")
        ),
    }
}

/// Asks the person at the terminal; anything but a yes is a no.
pub(super) fn agrees(question: &str) -> bool {
    progress(&format!("{question} [yes/no]"));
    let mut answer = String::new();
    let read = std::io::stdin().read_line(&mut answer);
    read.is_ok() && matches!(answer.trim(), "yes" | "y")
}

/// What a sweep would do, for people.
pub(super) fn due(due: &[Due]) -> String {
    if due.is_empty() {
        return "nothing to do".into();
    }
    let line = |one: &Due| {
        format!(
            "#{:<6} {:<8} {:<40} {}",
            one.pr, one.action, one.namespace, one.reason
        )
    };
    due.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// The status of one preview for people.
pub(super) fn status(status: &Status) -> String {
    let mut lines = vec![status.state().as_str().to_owned()];
    if let Some(preview) = &status.preview {
        let mut row = |name: &str, value: Option<String>| {
            lines.extend(value.map(|value| format!("  {name:<10} {value}")))
        };
        row("namespace", Some(preview.namespace.to_string()));
        row("url", preview.url.clone());
        row("commit", preview.sha.clone());
        row("expires", preview.expires.clone());
        row(
            "slot",
            preview
                .slot
                .map(|slot| format!("{slot} of {}", status.capacity)),
        );
    }
    for workload in &status.workloads {
        let message = if workload.message.is_empty() {
            String::new()
        } else {
            format!("  {}", workload.message)
        };
        lines.push(format!(
            "  {:<30} {}/{}{message}",
            workload.id.to_string(),
            workload.ready,
            workload.desired
        ));
    }
    lines.extend(status.failure.iter().flat_map(why));
    lines.push(format!(
        "  {} of {} slots are taken",
        status.taken, status.capacity
    ));
    lines.join("\n")
}

/// Why the last deploy failed; what containers wrote stands in it, so nothing in it can move the cursor.
fn why(failure: &LastFailure) -> Vec<String> {
    let mut lines = Vec::new();
    for cause in &failure.causes {
        lines.push(format!("  {}: {}", cause.reason_code, cause.cause));
        if !cause.remedy.is_empty() {
            lines.push(format!("    remedy: {}", cause.remedy));
        }
        for piece in &cause.evidence {
            lines.push(format!("    {}:", piece.title));
            lines.extend(piece.text.lines().map(|line| format!("      {line}")));
        }
    }
    let plain = |c: &char| !c.is_control() || *c == '\t';
    let clean = |line: String| line.chars().filter(plain).collect();
    lines.into_iter().map(clean).collect()
}
