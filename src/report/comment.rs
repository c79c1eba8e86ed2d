//! Turns a view into the body of a comment, which begins with its marker.
//! It posts nothing and knows no GitHub beyond its limits.
//! What does not fit is cut from the evidence first, because cause and remedy matter more.

use super::{
    ReportError,
    budget::{self, Budget},
    engine::{Markdown, render, render_spelled},
    hidden,
    page::page,
    view::StatusView,
    words,
};
use crate::names::Marker;
use jiff::Timestamp;
use serde::Serialize;
use std::time::Duration;

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
        page.marker =
            marker.map(|marker| Markdown::ours(format!("{marker}\n{}", hidden::hidden(view))));
        text = render_spelled(view.prefix.as_deref(), words::template(view.state), &page)?;
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
    /// The word before every command, if there has to be one.
    #[serde(skip)]
    pub prefix: Option<String>,
    /// Role that somebody needs to give commands.
    pub role: String,
    /// Roles that maintainers have.
    pub maintainers: &'static [&'static str],
    /// How long commands usually take here, in the order of showing.
    pub typical: Vec<Typical>,
    /// Settings in force, in the order of showing.
    pub settings: Vec<Setting>,
}

/// How long a command usually takes here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Typical {
    /// Command.
    pub command: String,
    /// Half of the runs took at most this.
    #[serde(serialize_with = "in_words")]
    pub time: Duration,
    /// How many runs.
    pub runs: usize,
}

fn in_words<S: serde::Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&words::span(*time))
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
        #[serde(flatten)]
        view: &'a HelpView,
    }
    let page = Help {
        marker: Markdown::ours(marker.to_string()),
        view,
    };
    let text = render_spelled(view.prefix.as_deref(), "comment/help.md.j2", &page)?;
    Ok(budget::COMMENT.cut(&text, &cut_notice()?))
}

/// A status comment that says all it said before, but for how long the preview lives; none when it has no last line of ours.
pub fn with_life(body: &str, view: &StatusView) -> Result<Option<String>, ReportError> {
    let life = render("comment/_life.md.j2", &page(view, 0))?;
    let begin = body.rfind("\n<sub>").map(|at| at + "\n<sub>".len());
    let Some((said, line)) = begin.and_then(|at| body.split_at_checked(at)) else {
        return Ok(None);
    };
    let about_life = |part: &str| part.starts_with("expires ") || part.starts_with("pinned, ");
    let life = life.trim().trim_end_matches('·').trim_end();
    let (slot, rest): (Vec<&str>, Vec<&str>) = line
        .split(" · ")
        .filter(|part| !about_life(part))
        .partition(|part| part.starts_with("slot "));
    let life = (!life.is_empty()).then_some(life);
    let parts: Vec<&str> = slot.into_iter().chain(life).chain(rest).collect();
    let said = hidden::with_life(said, view);
    Ok(Some(format!("{said}{}", parts.join(" · "))))
}

/// The body of the warning that a preview expires, which mentions its author.
///
/// With a prefix its commands are spelled as people have to write them.
pub fn expiry(
    author: &str,
    expires: Timestamp,
    marker: &Marker,
    prefix: Option<&str>,
) -> Result<String, ReportError> {
    #[derive(Serialize)]
    struct Warning {
        marker: Markdown,
        mention: Option<Markdown>,
        expires: String,
    }
    // Whatever is no plain login mentions nobody.
    let plain = !author.is_empty()
        && author.len() <= 39
        && author
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    let page = Warning {
        marker: Markdown::ours(marker.to_string()),
        mention: plain.then(|| Markdown::ours(format!("@{author}"))),
        expires: words::time(expires),
    };
    render_spelled(prefix, "comment/expiry.md.j2", &page)
}
