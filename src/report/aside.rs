//! Turns a status comment into the same comment with one line under its heading, about a commit that it is not about.
//! It must not change anything else: what a comment says of a live preview, of a failure or of a proof stays as it was.
//! A line of its own, because whoever writes it has not looked at the preview and knows nothing better of it.

use super::{
    ReportError,
    engine::{render, render_spelled},
    page::page,
    view::StatusView,
};
use crate::names::CommitSha;

/// How such a line about a commit begins, whichever it is.
const BEGINS: [&str; 3] = ["> ⏭️ ", "> ⏳ ", "> ⏹️ "];

/// How an answer begins.
const ANSWERS: [&str; 1] = ["> 💬 "];

/// A line that stands under the heading of a comment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aside {
    /// The newest commit was not deployed, and why.
    Skipped,
    /// The newest commit waits for somebody to approve its run.
    Gate,
    /// What is gone stays so.
    Stays,
    /// Why a command was not followed; it comes below the others.
    Answer,
}

/// True when a comment says that this commit waits for approval.
pub fn awaits_gate(body: &str, sha: &CommitSha) -> bool {
    let mut lines = body
        .lines()
        .skip_while(|line| !line.starts_with("### "))
        .skip(1);
    let first = lines.find(|line| !line.is_empty());
    first.is_some_and(|line| line.starts_with(BEGINS[1]) && line.contains(sha.as_str()))
}

/// The comment with this line, which takes the place of another such line; an answer that of another answer.
/// None when it has no heading.
pub fn with_aside(
    body: &str,
    aside: Aside,
    view: &StatusView,
) -> Result<Option<String>, ReportError> {
    let template = match aside {
        Aside::Skipped => "comment/_skipped.md.j2",
        Aside::Gate => "comment/_gate.md.j2",
        Aside::Stays => "comment/_stays.md.j2",
        Aside::Answer => "comment/_answer.md.j2",
    };
    let line = render_spelled(view.prefix.as_deref(), template, &page(view, 0))?;
    let Some(at) = body.find("\n### ") else {
        return Ok(None);
    };
    let (marker, rest) = body.split_at(at + 1);
    let (heading, rest) = rest.split_once('\n').unwrap_or((rest, ""));
    let (about, rest) = take(rest, &BEGINS);
    let (answer, rest) = take(rest, &ANSWERS);
    let line = Some(line.trim());
    let (about, answer) = match aside {
        Aside::Answer => (about, line),
        _ => (line, answer),
    };
    let lines: Vec<&str> = [Some(heading.trim_end()), about, answer, Some(rest)]
        .into_iter()
        .flatten()
        .collect();
    Ok(Some(format!("{marker}{}", lines.join("\n\n"))))
}

/// The first line if it begins like one of these, and what comes behind it.
fn take<'a>(text: &'a str, begins: &[&str]) -> (Option<&'a str>, &'a str) {
    let text = text.trim_start();
    if !begins.iter().any(|begin| text.starts_with(begin)) {
        return (None, text);
    }
    let (line, rest) = text.split_once('\n').unwrap_or((text, ""));
    (Some(line.trim_end()), rest.trim_start())
}

/// The comment of what is gone, which says that it stays so and promises nothing of a push; none when it has no heading.
pub fn stays_gone(body: &str, view: &StatusView) -> Result<Option<String>, ReportError> {
    let push = render("comment/_push.md.j2", &())?;
    let push = push.trim();
    let kept = body.replace(&format!("{push} "), "");
    let kept = kept.replace(&format!(" {push}"), "");
    with_aside(&kept, Aside::Stays, view)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::{
        names::{PrNumber, State},
        report::Note,
    };

    const BODY: &str = "<!-- preview-action v1 kind=status -->\n### 🟢 Preview ready\n\n**[pr-12](https://x)** serves abc\n\n> ⚠️ a warning\n\n```\n> ⏭️ a log line\n```\n\n<sub>slot 1 of 3</sub>\n";

    fn view(cause: &str) -> StatusView {
        let mut view = StatusView::new(
            State::Pending,
            "https://github.example",
            "acme/web".parse().unwrap(),
            PrNumber::new(12).unwrap(),
            "2026-11-22T07:12:00Z".parse().unwrap(),
        );
        view.sha = "d".repeat(40).parse().ok();
        view.note = Some(Note {
            cause: cause.into(),
            remedy: "comment `/deploy`".into(),
        });
        view
    }

    #[test]
    fn one_line_comes_under_the_heading_and_all_else_stays() {
        let once = with_aside(BODY, Aside::Skipped, &view("it is a draft"))
            .unwrap()
            .unwrap();
        let (before, after) = once.split_once("> ⏭️ ").unwrap();
        assert_eq!(
            before,
            "<!-- preview-action v1 kind=status -->\n### 🟢 Preview ready\n\n"
        );
        let (line, rest) = after.split_once("\n\n").unwrap();
        assert!(
            line.contains("ddddddd") && line.contains("it is a draft"),
            "{line}"
        );
        assert!(BODY.ends_with(rest), "{rest}");
        let again = with_aside(&once, Aside::Skipped, &view("it is a draft"));
        assert_eq!(again.unwrap().unwrap(), once, "the same line is one line");
        let gate = with_aside(&once, Aside::Gate, &view("")).unwrap().unwrap();
        assert_eq!(gate.matches("> ⏭️").count(), 1, "only the log's: {gate}");
        assert!(gate.contains("> ⏳") && gate.ends_with(rest), "{gate}");
    }

    #[test]
    fn an_answer_comes_below_what_is_said_of_a_commit_and_takes_only_an_answers_place() {
        let with =
            |body: &str, aside, cause| with_aside(body, aside, &view(cause)).unwrap().unwrap();
        let first = with(BODY, Aside::Answer, "`/deply` is no command");
        let skipped = with(&first, Aside::Skipped, "it is a draft");
        let second = with(&skipped, Aside::Answer, "there is no preview to pin");
        let lines: Vec<&str> = second.lines().filter(|line| !line.is_empty()).collect();
        assert!(
            lines[2].starts_with("> ⏭️ ") && lines[2].contains("it is a draft"),
            "{second}"
        );
        assert_eq!(lines[3], "> 💬 there is no preview to pin");
        assert_eq!(
            lines[4..],
            BODY.lines()
                .filter(|line| !line.is_empty())
                .collect::<Vec<_>>()[2..]
        );
        assert_eq!(second.matches("> 💬").count(), 1, "{second}");
        assert_eq!(
            with(&second, Aside::Answer, "there is no preview to pin"),
            second
        );
    }

    #[test]
    fn what_has_no_heading_is_left_alone() {
        assert_eq!(with_aside("hello", Aside::Gate, &view("")).unwrap(), None);
    }

    #[test]
    fn a_labels_name_does_nothing() {
        let evil = "it has the label `x'\n### 🟢 Preview ready <b> @octo #1`";
        let body = with_aside(BODY, Aside::Skipped, &view(evil))
            .unwrap()
            .unwrap();
        assert_eq!(body.lines().filter(|l| l.starts_with("###")).count(), 1);
        assert!(
            body.contains("`x' ### 🟢 Preview ready <b> @octo #1`"),
            "{body}"
        );
    }
}
