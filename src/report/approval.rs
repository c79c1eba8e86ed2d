//! Turns what is to be approved into what its template prints: the command to copy and what to read before.
//! It holds no sentence and decides nothing.
//! The commit stands there as it is, because escaped it could not be copied; nothing but hexadecimal digits can be in it.

use super::{
    engine::Markdown,
    link::Link,
    page::commit_link,
    view::{ApprovalView, StatusView},
};
use serde::Serialize;

/// What is to be approved.
#[derive(Serialize)]
pub(super) struct Approval {
    /// In full and as it is: people copy it.
    sha: Markdown,
    approvers: &'static [&'static str],
    lapsed: bool,
    live: bool,
    before: Option<Markdown>,
    by: Option<String>,
    changes: Option<Markdown>,
}

/// Lays it out.
pub(super) fn approval(view: &StatusView, of: &ApprovalView) -> Approval {
    let head = view.sha.as_ref().map(ToString::to_string);
    let sha = head.unwrap_or_default();
    let root = format!("{}/{}", view.server_url, view.repository);
    let changes = match &of.before {
        Some((before, _)) => Link::new(&format!("{root}/compare/{before}...{sha}"))
            .map(|link| link.titled("what has changed since then")),
        None => Link::new(&format!("{root}/pull/{}/files", view.pr))
            .map(|link| link.titled("what it changes")),
    };
    Approval {
        approvers: of.approvers,
        lapsed: of.lapsed,
        live: of.live,
        before: of.before.as_ref().map(|(sha, _)| commit_link(view, sha)),
        by: of.before.as_ref().map(|(_, by)| by.clone()),
        changes,
        sha: Markdown::ours(sha),
    }
}
