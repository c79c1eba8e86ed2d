//! Turns the outcome of a run into the job summary: the comment's words, then what the run did.
//! It writes no file; the runner does.
//! Same words as in the comment, so that nobody has to compare two stories.

use super::{ReportError, budget, comment::status, engine::render, view::StatusView, words};
use crate::{
    cluster::outcome::{Applied, Change},
    names::ReasonCode,
};
use serde::Serialize;
use std::time::Duration;

/// What a job summary tells.
#[derive(Debug, Clone, Copy)]
pub struct Summary<'a> {
    /// The pull request's status; none for a run about no single pull request.
    pub view: Option<&'a StatusView>,
    /// What the run was to do.
    pub decision: &'a str,
    /// Why it ended as it did.
    pub reason: ReasonCode,
    /// Sentences about what the run did, such as one per swept preview.
    pub lines: &'a [String],
    /// Objects that were applied.
    pub applied: &'a [Applied],
    /// How long the stages took.
    pub timings: &'a [Timing],
}

/// How long a stage took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timing {
    /// Stage.
    pub stage: String,
    /// How long it took.
    pub took: Duration,
}

/// The job summary.
pub fn summary(summary: &Summary<'_>) -> Result<String, ReportError> {
    #[derive(Serialize)]
    struct Page<'a> {
        alone: bool,
        decision: &'a str,
        reason: &'static str,
        lines: &'a [String],
        objects: Option<Objects>,
        timings: Vec<Row<'a>>,
    }
    #[derive(Serialize)]
    struct Objects {
        created: usize,
        changed: usize,
        unchanged: usize,
        removed: usize,
    }
    #[derive(Serialize)]
    struct Row<'a> {
        stage: &'a str,
        took: String,
    }
    let of = |change| {
        summary
            .applied
            .iter()
            .filter(|applied| applied.change == change)
            .count()
    };
    let page = Page {
        alone: summary.view.is_none(),
        decision: summary.decision,
        reason: summary.reason.as_str(),
        lines: summary.lines,
        objects: (!summary.applied.is_empty()).then(|| Objects {
            created: of(Change::Created),
            changed: of(Change::Changed),
            unchanged: of(Change::Unchanged),
            removed: summary.view.map_or(0, |view| view.pruned.len()),
        }),
        timings: summary
            .timings
            .iter()
            .map(|timing| Row {
                stage: &timing.stage,
                took: words::span(timing.took),
            })
            .collect(),
    };
    let above = match summary.view {
        Some(view) => status(view, None, budget::COMMENT)? + "\n",
        None => String::new(),
    };
    let text = above + &render("comment/summary.md.j2", &page)?;
    Ok(budget::SUMMARY.cut(&text, &render("comment/cut.md.j2", &())?))
}
