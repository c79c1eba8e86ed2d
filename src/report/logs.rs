//! Turns the ends of logs into the answer to `/logs`: one fold each, the newest lines last.
//! It reads no log and knows no cluster.
//! What does not fit is cut from the beginning of each log, because what counts stands at the end.

use super::{
    ReportError, budget,
    engine::{Markdown, render},
};
use crate::names::{Marker, Namespace};
use serde::Serialize;

/// Characters of each log, tried one after the other.
const LONGEST: [usize; 6] = [50_000, 20_000, 8_000, 3_000, 1_000, 200];

/// What the answer to `/logs` shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogsView {
    /// Namespace.
    pub namespace: Namespace,
    /// True for the containers' lives before these.
    pub previous: bool,
    /// Logs.
    pub logs: Vec<LogView>,
    /// What was asked for and is not there.
    pub missing: Option<String>,
    /// What is there instead.
    pub there: Vec<String>,
}

/// One log: untrusted, and masked already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogView {
    /// Whose it is.
    pub title: String,
    /// Its last lines, or why there are none.
    pub text: Result<String, String>,
}

/// The body of the answer to `/logs`.
pub fn logs(view: &LogsView, marker: &Marker) -> Result<String, ReportError> {
    let mut text = String::new();
    for longest in LONGEST {
        text = render("comment/logs.md.j2", &page(view, marker, longest))?;
        if budget::COMMENT.holds(&text) {
            return Ok(text);
        }
    }
    Ok(budget::COMMENT.cut(&text, &render("comment/cut.md.j2", &())?))
}

#[derive(Serialize)]
struct Page<'a> {
    marker: Markdown,
    namespace: &'a Namespace,
    previous: bool,
    logs: Vec<Log<'a>>,
    missing: Option<&'a str>,
    there: &'a [String],
}

#[derive(Serialize)]
struct Log<'a> {
    title: &'a str,
    lines: &'a str,
    /// Lines that were left out before the first one shown.
    left_out: usize,
    why_none: Option<&'a str>,
}

fn page<'a>(view: &'a LogsView, marker: &Marker, longest: usize) -> Page<'a> {
    Page {
        marker: Markdown::ours(marker.to_string()),
        namespace: &view.namespace,
        previous: view.previous,
        logs: view.logs.iter().map(|log| shown(log, longest)).collect(),
        missing: view.missing.as_deref(),
        there: &view.there,
    }
}

fn shown(log: &LogView, longest: usize) -> Log<'_> {
    let (all, why_none) = match &log.text {
        Ok(text) => (text.trim_end(), None),
        Err(why) => ("", Some(why.as_str())),
    };
    let lines = end(all, longest);
    let before = &all[..all.len() - lines.len()];
    Log {
        title: &log.title,
        lines,
        left_out: before.lines().count(),
        why_none,
    }
}

/// The last whole lines that are no longer than that together; of a line that is too long its end.
fn end(text: &str, longest: usize) -> &str {
    let Some((at, _)) = text.char_indices().rev().nth(longest.saturating_sub(1)) else {
        return text;
    };
    let kept = &text[at..];
    match kept.split_once('\n') {
        Some((_, rest)) if !rest.is_empty() && !text[..at].ends_with('\n') => rest,
        _ => kept,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_lines_are_kept_from_the_end() {
        assert_eq!(end("one\ntwo\nthree", 100), "one\ntwo\nthree");
        assert_eq!(end("one\ntwo\nthree", 9), "two\nthree");
        assert_eq!(end("one\ntwo\nthree", 7), "three");
        assert_eq!(end("no end at all", 3), "all");
        assert_eq!(end("", 3), "");
    }
}
