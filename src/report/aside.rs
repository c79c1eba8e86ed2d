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

/// A line that stands under the heading of a comment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aside {
    /// The newest commit was not deployed, and why.
    Skipped,
    /// The newest commit waits for somebody to approve its run.
    Gate,
    /// What is gone stays so.
    Stays,
    /// Why a command was not followed.
    Answer,
}

impl Aside {
    const ALL: [Self; 4] = [Self::Skipped, Self::Gate, Self::Stays, Self::Answer];

    fn begins(self) -> &'static str {
        match self {
            Self::Skipped => "> ⏭️ ",
            Self::Gate => "> ⏳ ",
            Self::Stays => "> ⏹️ ",
            Self::Answer => "> 💬 ",
        }
    }

    fn template(self) -> &'static str {
        match self {
            Self::Skipped => "comment/_skipped.md.j2",
            Self::Gate => "comment/_gate.md.j2",
            Self::Stays => "comment/_stays.md.j2",
            Self::Answer => "comment/_answer.md.j2",
        }
    }

    fn of(line: &str) -> Option<Self> {
        let begins = |one: &Self| line.starts_with(one.begins());
        Self::ALL.into_iter().find(begins)
    }

    /// True for a line that is as true beside this one as it was before.
    fn leaves(self, other: Self) -> bool {
        self != other && (self == Self::Answer || [Self::Answer, Self::Stays].contains(&other))
    }
}

/// A comment taken apart; everything but the lines is as it was.
struct Parts<'a> {
    /// All up to its heading.
    head: &'a str,
    lines: Vec<(Aside, &'a str)>,
    rest: &'a str,
}

impl<'a> Parts<'a> {
    fn of(body: &'a str) -> Option<Self> {
        let heading = body.find("\n### ")? + 1;
        let end = body[heading..].find('\n');
        let (head, mut rest) = body.split_at(end.map_or(body.len(), |end| heading + end));
        let mut lines = Vec::new();
        loop {
            rest = rest.trim_start();
            let Some(aside) = Aside::of(rest) else {
                break;
            };
            let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
            lines.push((aside, line.trim_end()));
            rest = after;
        }
        let head = head.trim_end();
        Some(Self { head, lines, rest })
    }

    fn with(&self, lines: &[&str]) -> String {
        let all = [&[self.head], lines, &[self.rest]].concat();
        all.join("\n\n")
    }
}

/// The line of a comment that says that some commit waits for approval.
pub fn gate(body: &str) -> Option<&str> {
    let lines = Parts::of(body)?.lines;
    let gate = lines.into_iter().find(|(aside, _)| *aside == Aside::Gate);
    gate.map(|(_, line)| line)
}

/// True when a comment says that this commit waits for approval.
pub fn awaits_gate(body: &str, sha: &CommitSha) -> bool {
    gate(body).is_some_and(|line| line.contains(sha.as_str()))
}

/// The comment with a line that stood in the one before it.
pub fn with_gate(body: &str, gate: &str) -> String {
    Parts::of(body).map_or_else(|| body.to_owned(), |parts| parts.with(&[gate]))
}

/// The comment without any such line.
pub fn without_asides(body: &str) -> String {
    Parts::of(body).map_or_else(|| body.to_owned(), |parts| parts.with(&[]))
}

/// The comment with this line, which takes the place of those that it makes untrue; none when it has no heading.
pub fn with_aside(
    body: &str,
    aside: Aside,
    view: &StatusView,
) -> Result<Option<String>, ReportError> {
    let line = render_spelled(view.prefix.as_deref(), aside.template(), &page(view, 0))?;
    let Some(parts) = Parts::of(body) else {
        return Ok(None);
    };
    let left = parts.lines.iter().filter(|(other, _)| aside.leaves(*other));
    let lines: Vec<&str> = [line.trim()]
        .into_iter()
        .chain(left.map(|(_, line)| *line))
        .collect();
    Ok(Some(parts.with(&lines)))
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
        assert_eq!(without_asides(&gate), BODY);
    }

    #[test]
    fn lines_that_are_true_beside_each_other_stand_beside_each_other() {
        use Aside::{Answer, Gate, Skipped, Stays};
        let kinds = |all: &[Aside]| {
            let add = |body: String, aside: &Aside| {
                with_aside(&body, *aside, &view("x")).unwrap().unwrap()
            };
            let body = all.iter().fold(BODY.to_owned(), add);
            let lines = Parts::of(&body).unwrap().lines;
            lines
                .into_iter()
                .map(|(aside, _)| aside)
                .collect::<Vec<_>>()
        };
        assert_eq!(kinds(&[Gate, Answer]), [Answer, Gate]);
        assert_eq!(kinds(&[Answer, Gate, Skipped]), [Skipped, Answer]);
        assert_eq!(kinds(&[Stays, Gate]), [Gate, Stays]);
        assert_eq!(kinds(&[Stays, Gate, Skipped]), [Skipped, Stays]);
        assert_eq!(kinds(&[Gate, Stays]), [Stays]);
        assert_eq!(kinds(&[Answer, Answer]), [Answer]);
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
