//! Decides which pull requests are deployed by themselves: by labels, draft, author and changed files.
//! It asks nobody: the pull request and its files are arguments, fresh from GitHub.
//! Filters only keep from beginning: whoever asks by command is not asked about them, and nothing that lives is removed for them.

use super::{Denied, Trigger};
use crate::{
    event::{PullRequest, PullRequestAction, PullRequestEvent},
    inputs::{Filters, Paths},
    names::ReasonCode,
};

/// What a filter's skip ends with: the word that overrides it.
const ANYWAY: &str = "comment `/deploy` to deploy it all the same";

/// Lets through what neither labels nor draft nor author keep back.
pub fn passes(filters: &Filters, pull: &PullRequest) -> Result<(), Denied> {
    let ignored = pull.labels.iter().find(|name| filters.ignores_label(name));
    if let Some(name) = ignored {
        let cause = format!("it has the label `{}`", plain(name));
        return skip(ReasonCode::LabelIgnored, cause, "take the label away, or ");
    }
    let wanted = |name: &String| filters.wants_label(name);
    if !filters.labels.is_empty() && !pull.labels.iter().any(wanted) {
        let names: Vec<String> = filters.labels.iter().map(|name| plain(name)).collect();
        let cause = match names.as_slice() {
            [one] => format!("it does not have the label `{one}`"),
            several => format!("it has none of the labels `{}`", several.join("`, `")),
        };
        return skip(ReasonCode::LabelMissing, cause, "add the label, or ");
    }
    if pull.draft && !filters.drafts {
        let cause = "it is a draft".to_owned();
        return skip(ReasonCode::DraftSkipped, cause, "mark it as ready, or ");
    }
    if pull.author.bot && !filters.bots.includes(&pull.author.login) {
        let cause = format!("a bot has opened it, {}", pull.author.login);
        return skip(ReasonCode::BotSkipped, cause, "");
    }
    Ok(())
}

/// Lets through what changes a file that is wanted.
pub fn touches(paths: &Paths, files: &[String]) -> Result<(), Denied> {
    if paths.want(files.iter().map(String::as_str)) {
        return Ok(());
    }
    let cause = "it changes none of the files that the input `paths` names".to_owned();
    skip(ReasonCode::PathsSkipped, cause, "")
}

fn skip(reason: ReasonCode, cause: String, first: &str) -> Result<(), Denied> {
    let remedy = format!("{first}{ANYWAY}");
    Err(Denied {
        reason,
        cause,
        remedy,
    })
}

/// A label's name between back-ticks: whoever may label may write what they like.
fn plain(name: &str) -> String {
    name.replace('`', "'")
}

/// True for the reasons of a filter.
pub fn is_skip(reason: ReasonCode) -> bool {
    matches!(
        reason,
        ReasonCode::LabelIgnored
            | ReasonCode::LabelMissing
            | ReasonCode::DraftSkipped
            | ReasonCode::BotSkipped
            | ReasonCode::PathsSkipped
    )
}

/// What keeps an event about a label from starting anything; other events start what they start.
pub(super) fn about_a_label(filters: &Filters, event: &PullRequestEvent) -> Option<Trigger> {
    let label = event.label.as_deref().unwrap_or_default();
    let why = match event.action {
        PullRequestAction::Labeled if filters.wants_label(label) => return None,
        PullRequestAction::Labeled => {
            "the label that was added is none that the input `labels` names"
        }
        PullRequestAction::Unlabeled if filters.ignores_label(label) => return None,
        PullRequestAction::Unlabeled if filters.wants_label(label) => {
            "a label that was taken away removes nothing: a preview that lives stays, without what is pushed from now on; `/undeploy` removes it"
        }
        PullRequestAction::Unlabeled => {
            "the label that was taken away is none that the input `ignore-labels` names"
        }
        _ => return None,
    };
    Some(Trigger::ignore(ReasonCode::EventIgnored, why))
}
