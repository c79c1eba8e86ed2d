//! Turns what only a person can mend into the body of the one issue that says so.
//! It opens and closes nothing.
//! Cause and remedy come as they were told on the pull request, so that both places say the same.

use super::{
    ReportError, budget,
    engine::{Markdown, render},
};
use crate::{
    cluster::outcome::Failure,
    names::{Environment, RepoId},
};
use serde::Serialize;

/// Causes that are named.
const MOST: usize = 30;

/// Characters of each cause's evidence.
const EVIDENCE: usize = 1_000;

/// First line of the body.
pub fn operator_marker(repository: RepoId, environment: &Environment) -> String {
    format!("<!-- preview-action v1 kind=operator repo={repository} env={environment} -->")
}

#[derive(Serialize)]
struct Page {
    marker: Markdown,
    failures: Vec<Row>,
    more: usize,
    by_hand: bool,
}

#[derive(Serialize)]
struct Row {
    cause: String,
    remedy: String,
    evidence: String,
}

/// The body; without causes it says that all is well. `by_hand` where nothing remembers to close the issue.
pub fn operator(marker: &str, causes: &[Failure], by_hand: bool) -> Result<String, ReportError> {
    let row = |failure: &Failure| {
        let evidence = failure.evidence.iter().map(|piece| piece.text.as_str());
        let evidence: String = evidence.collect::<Vec<_>>().join("\n");
        Row {
            cause: failure.cause.clone(),
            remedy: failure.remedy.clone(),
            evidence: evidence.chars().take(EVIDENCE).collect(),
        }
    };
    let page = Page {
        marker: Markdown::ours(marker.into()),
        failures: causes.iter().take(MOST).map(row).collect(),
        more: causes.len().saturating_sub(MOST),
        by_hand,
    };
    let body = render("comment/operator.md.j2", &page)?;
    Ok(budget::COMMENT.cut(&body, "… cut …"))
}
