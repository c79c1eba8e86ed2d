//! Turns what a check found into the answer to `/check`: one row each, with cause and remedy.
//! It judges nothing and leaves nothing out; what was not looked at is said to be so.
//! The rows are values of their own, so that comment, terminal and programs get the same ones.

use super::{
    ReportError, budget,
    engine::{Markdown, render, render_spelled},
};
use crate::names::{CommitSha, Marker};
use serde::Serialize;

/// What was found about one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it is about, in a word or two.
    pub about: &'static str,
    /// What is to be made of it.
    pub verdict: Verdict,
    /// What was found, in one sentence.
    pub cause: String,
    /// What to do about it, in one sentence; empty where there is nothing to do.
    pub remedy: String,
}

/// What is to be made of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Nothing is in the way.
    Fine,
    /// It does not stand in the way, and should be known.
    Note,
    /// Nobody has looked, and why.
    NotLookedAt,
    /// It is in the way, and somebody here can mend it.
    Fault,
    /// GitHub or the cluster said no, or nothing.
    Refused,
}

impl Verdict {
    /// A sign for people.
    pub fn sign(self) -> &'static str {
        match self {
            Self::Fine => "✅",
            Self::Note => "ℹ️",
            Self::NotLookedAt => "❔",
            Self::Fault | Self::Refused => "❌",
        }
    }

    /// True for what keeps a deploy from going well.
    pub fn is_fault(self) -> bool {
        matches!(self, Self::Fault | Self::Refused)
    }
}

#[derive(Serialize)]
struct Page<'a> {
    marker: Markdown,
    commit: &'a str,
    faults: usize,
    rows: Vec<Row<'a>>,
}

#[derive(Serialize)]
struct Row<'a> {
    sign: Markdown,
    #[serde(flatten)]
    finding: &'a Finding,
}

/// The body of the answer to `/check`.
pub fn check(
    findings: &[Finding],
    commit: &CommitSha,
    prefix: Option<&str>,
    marker: &Marker,
) -> Result<String, ReportError> {
    let page = Page {
        marker: Markdown::ours(marker.to_string()),
        commit: commit.short(),
        faults: findings.iter().filter(|one| one.verdict.is_fault()).count(),
        rows: findings
            .iter()
            .map(|finding| Row {
                sign: Markdown::ours(finding.verdict.sign().into()),
                finding,
            })
            .collect(),
    };
    let text = render_spelled(prefix, "comment/check.md.j2", &page)?;
    Ok(budget::COMMENT.cut(&text, &render("comment/cut.md.j2", &())?))
}
