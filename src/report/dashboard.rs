//! Turns what is known of all previews of a repository into the one issue that shows them: slots, line, figures, notices.
//! It asks nobody; times are absolute, so that a sweep that finds nothing new writes the same text and need not write at all.
//! What does not fit is cut from the previews last in the list, because the figures stand below them.

use super::{
    ReportError, budget,
    engine::{Markdown, render},
    link::Link,
    words,
};
use crate::{
    metrics::{Figures, Now, Rate, Span, Usage},
    names::{Environment, Namespace, PrNumber, RepoId, RepoName, State},
};
use jiff::Timestamp;
use serde::Serialize;
use std::time::Duration;

/// Rows of a table.
const MOST: usize = 200;

/// From so many hundredths on a notice stands above the table.
const NOTICE: u64 = 80;

/// What the dashboard shows.
#[derive(Debug, Clone, PartialEq)]
pub struct DashboardView {
    /// Address of the GitHub server for people.
    pub server_url: String,
    /// Repository.
    pub repository: RepoName,
    /// Its number, for the marker.
    pub repository_id: RepoId,
    /// Environment.
    pub environment: Environment,
    /// Previews, by slot.
    pub previews: Vec<PreviewRow>,
    /// Who waits, the next one first.
    pub queue: Vec<QueueRow>,
    /// Cap, and what each preview uses.
    pub now: Now,
    /// Hundredths of what the nodes have that their pods ask for, where that is known.
    pub nodes: Option<u64>,
    /// Figures of the recorded runs.
    pub figures: Figures,
    /// Namespaces labelled as previews that nobody here made.
    pub strangers: Vec<Namespace>,
}

/// A preview.
#[derive(Debug, Clone, PartialEq)]
pub struct PreviewRow {
    /// Slot; none while it sleeps without one.
    pub slot: Option<u32>,
    /// Pull request.
    pub pr: PrNumber,
    /// State.
    pub state: State,
    /// Main address; empty when there is none.
    pub url: String,
    /// Login of the author: untrusted.
    pub owner: String,
    /// Since when it holds its slot.
    pub since: Option<Timestamp>,
    /// Last push or command.
    pub last_activity: Option<Timestamp>,
    /// When it expires; none when it is pinned, or while nobody knows.
    pub expires: Option<Timestamp>,
    /// True when it does not expire.
    pub pinned: bool,
    /// Namespace.
    pub namespace: Namespace,
    /// What is wrong with it: untrusted.
    pub warning: Option<String>,
}

/// A preview that waits.
#[derive(Debug, Clone, PartialEq)]
pub struct QueueRow {
    /// Pull request.
    pub pr: PrNumber,
    /// Login of the author: untrusted.
    pub owner: String,
    /// Since when.
    pub since: Timestamp,
}

/// First line of the dashboard's body.
pub fn dashboard_marker(repository: RepoId, environment: &Environment) -> String {
    format!("<!-- preview-action v1 kind=dashboard repo={repository} env={environment} -->")
}

/// Title and body of the dashboard.
pub fn dashboard(view: &DashboardView) -> Result<(String, String), ReportError> {
    let title = format!("Previews of {} ({})", view.repository, view.environment);
    let mut rows = MOST;
    loop {
        let body = render("comment/dashboard.md.j2", &page(view, rows))?;
        if budget::COMMENT.holds(&body) || rows == 0 {
            return Ok((title, body));
        }
        rows /= 2;
    }
}

#[derive(Serialize)]
struct Page {
    marker: Markdown,
    capacity: u32,
    active: usize,
    notices: Vec<String>,
    previews: Vec<Preview>,
    more_previews: usize,
    queue: Vec<Waiting>,
    more_queue: usize,
    since: Option<String>,
    first: Option<Share>,
    again: Option<Share>,
    failures: Vec<Reason>,
    spans: Vec<Row>,
    strangers: Vec<String>,
}

#[derive(Serialize)]
struct Preview {
    slot: Option<u32>,
    pr: Markdown,
    preview: Markdown,
    owner: String,
    since: Option<String>,
    activity: Option<String>,
    expires: Option<String>,
    pinned: bool,
    usage: Option<String>,
    warning: Option<String>,
}

#[derive(Serialize)]
struct Waiting {
    place: usize,
    pr: Markdown,
    owner: String,
    since: String,
}

#[derive(Serialize)]
struct Share {
    percent: u64,
    succeeded: usize,
    all: usize,
}

#[derive(Serialize)]
struct Reason {
    code: &'static str,
    count: usize,
}

#[derive(Serialize)]
struct Row {
    what: String,
    p50: String,
    p95: String,
    count: usize,
}

fn page(view: &DashboardView, rows: usize) -> Page {
    Page {
        marker: Markdown::ours(dashboard_marker(view.repository_id, &view.environment)),
        capacity: view.now.capacity,
        active: view.now.active,
        notices: notices(view),
        previews: view
            .previews
            .iter()
            .take(rows)
            .map(|row| preview(view, row))
            .collect(),
        more_previews: view.previews.len().saturating_sub(rows),
        queue: view
            .queue
            .iter()
            .zip(1..)
            .take(rows)
            .map(|(row, place)| Waiting {
                place,
                pr: pull(view, row.pr),
                owner: row.owner.clone(),
                since: words::time(row.since),
            })
            .collect(),
        more_queue: view.queue.len().saturating_sub(rows),
        since: view.figures.since.map(words::time),
        first: share(view.figures.first),
        again: share(view.figures.again),
        failures: view
            .figures
            .failures
            .iter()
            .map(|(code, count)| Reason {
                code,
                count: *count,
            })
            .collect(),
        spans: spans(&view.figures),
        strangers: view
            .strangers
            .iter()
            .take(rows)
            .map(ToString::to_string)
            .collect(),
    }
}

/// What an operator should look at before somebody is turned away.
fn notices(view: &DashboardView) -> Vec<String> {
    let (active, capacity) = (view.now.active as u64, u64::from(view.now.capacity));
    let mut notices = Vec::new();
    if capacity > 0 && active * 100 >= NOTICE * capacity {
        notices.push(format!("{active} of {capacity} slots are taken"));
    }
    let filled = view.nodes.filter(|filled| *filled >= NOTICE);
    notices.extend(filled.map(|filled| format!("pods ask for {filled} % of what the nodes have")));
    let full = view
        .now
        .usage
        .iter()
        .filter(|one| one.quota >= Some(NOTICE));
    notices.extend(full.map(|one| {
        format!(
            "#{} asks for {} % of its quota",
            one.pr,
            one.quota.unwrap_or_default()
        )
    }));
    notices
}

fn preview(view: &DashboardView, row: &PreviewRow) -> Preview {
    let state = row.state.as_str();
    let usage = view
        .now
        .usage
        .iter()
        .find(|one| one.namespace == row.namespace);
    Preview {
        slot: row.slot,
        pr: pull(view, row.pr),
        preview: Link::new(&row.url)
            .map_or_else(|| Markdown::ours(state.into()), |link| link.titled(state)),
        owner: row.owner.clone(),
        since: row.since.map(words::time),
        activity: row.last_activity.map(words::time),
        expires: row.expires.map(words::time),
        pinned: row.pinned,
        usage: usage.map(used),
        warning: row.warning.clone(),
    }
}

/// Rounded, so that a sweep does not write for every flicker.
fn used(usage: &Usage) -> String {
    let cpu = usage.cpu.div_ceil(50) * 50;
    let memory = (usage.memory >> 20).div_ceil(16) * 16;
    let how = if usage.measured { "" } else { " asked for" };
    let quota = usage
        .quota
        .map(|quota| format!(", {} % of quota", quota.div_ceil(5) * 5))
        .unwrap_or_default();
    format!("{cpu}m CPU, {memory} MiB{how}{quota}")
}

fn pull(view: &DashboardView, pr: PrNumber) -> Markdown {
    let url = format!("{}/{}/pull/{pr}", view.server_url, view.repository);
    Link::new(&url).map_or_else(
        || Markdown::ours(pr.to_string()),
        |link| Markdown::ours(format!("[\\#{pr}]({})", link.as_str())),
    )
}

fn share(rate: Rate) -> Option<Share> {
    let percent = (rate.share()? * 100.0).floor() as u64;
    Some(Share {
        percent,
        succeeded: rate.succeeded,
        all: rate.succeeded + rate.failed,
    })
}

fn spans(figures: &Figures) -> Vec<Row> {
    let row = |what: String, span: Span, unit: fn(u64) -> Duration| {
        (span.count > 0).then(|| Row {
            what,
            p50: words::span(unit(span.p50)),
            p95: words::span(unit(span.p95)),
            count: span.count,
        })
    };
    let stages = figures
        .stages
        .iter()
        .map(|(stage, span)| row(format!("… {stage}"), *span, Duration::from_millis));
    [row(
        "deploy until ready".into(),
        figures.deploys,
        Duration::from_millis,
    )]
    .into_iter()
    .chain(stages)
    .chain([
        row("removal".into(), figures.removals, Duration::from_millis),
        row("wait in line".into(), figures.waited, Duration::from_secs),
    ])
    .flatten()
    .collect()
}

#[cfg(test)]
#[path = "dashboard_tests.rs"]
mod tests;
