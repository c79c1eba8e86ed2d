//! Turns a view into the body of a comment, which begins with its marker.
//! It posts nothing and knows no GitHub beyond its limits.
//! What does not fit is cut from the evidence first, because cause and remedy matter more.

use super::{
    ReportError,
    budget::{self, Budget},
    engine::{Markdown, render},
    page::page,
    view::StatusView,
    words,
};
use crate::names::Marker;
use serde::Serialize;

/// Characters of each piece of evidence, tried one after the other.
const EVIDENCE: [usize; 5] = [8_000, 3_000, 1_000, 200, 0];

/// The body of a status comment.
pub fn comment(view: &StatusView, marker: &Marker) -> Result<String, ReportError> {
    status(view, Some(marker), budget::COMMENT)
}

/// The status as Markdown, within a budget.
pub(super) fn status(
    view: &StatusView,
    marker: Option<&Marker>,
    budget: Budget,
) -> Result<String, ReportError> {
    let mut text = String::new();
    for evidence in EVIDENCE {
        let mut page = page(view, evidence);
        page.marker = marker.map(|marker| Markdown::ours(marker.to_string()));
        text = render(words::template(view.state), &page)?;
        if budget.holds(&text) {
            return Ok(text);
        }
    }
    Ok(budget.cut(&text, &cut_notice()?))
}

fn cut_notice() -> Result<String, ReportError> {
    render("comment/cut.md.j2", &())
}

/// What the answer to `/help` shows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct HelpView {
    /// Settings in force, in the order of showing.
    pub settings: Vec<Setting>,
}

/// A setting in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// Name of the input.
    pub name: String,
    /// Value.
    pub value: String,
    /// What that means for the reader, in one sentence.
    pub meaning: String,
}

/// The body of the answer to `/help`.
pub fn help(view: &HelpView, marker: &Marker) -> Result<String, ReportError> {
    #[derive(Serialize)]
    struct Help<'a> {
        marker: Markdown,
        settings: &'a [Setting],
    }
    let page = Help {
        marker: Markdown::ours(marker.to_string()),
        settings: &view.settings,
    };
    let text = render("comment/help.md.j2", &page)?;
    Ok(budget::COMMENT.cut(&text, &cut_notice()?))
}
