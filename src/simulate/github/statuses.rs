//! Turns requests about commit statuses into a list per commit to which everything is appended.
//! It must not change what was written: the newest status of a context is the one that counts, as on GitHub.
//! A token without the right is refused as GitHub refuses it, header included, because clients name the right from that.

use serde_json::{Value, json};

use super::Handle;
use super::model::{Model, Repository};
use super::routes::{Asked, not_found, refusal};
use super::views;
use crate::simulate::http::Reply;

/// How many statuses of one context a commit takes.
const MOST: usize = 1000;

/// One status of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The commit.
    pub sha: String,
    /// The context.
    pub context: String,
    /// `pending`, `success`, `failure` or `error`.
    pub state: String,
    /// The description.
    pub description: String,
    /// Where it leads; empty when nowhere.
    pub target_url: String,
    /// Who wrote it.
    pub creator: String,
    pub(super) id: u64,
}

impl Handle {
    /// Returns the statuses of a commit, the oldest first.
    pub fn statuses(&self, full_name: &str, sha: &str) -> Vec<Status> {
        let all = self.with(full_name, |repository| repository.statuses.clone());
        let mut all = all.unwrap_or_default();
        all.retain(|status| status.sha == sha);
        all
    }

    /// Takes a right from every token, such as `statuses` or `issues`.
    pub fn deny(&self, permission: &str) {
        self.inner.model().denied.insert(permission.to_owned());
    }

    /// Gives a right back that was taken.
    pub fn grant(&self, permission: &str) {
        self.inner.model().denied.remove(permission);
    }
}

/// The refusal of a right that the token lacks; none when it has it.
pub(super) fn denied(model: &Model, permission: &str) -> Option<Reply> {
    model.denied.contains(permission).then(|| {
        refusal(403, "Resource not accessible by integration").header(
            "x-accepted-github-permissions",
            &format!("{permission}=write"),
        )
    })
}

/// The right that GitHub's documentation asks for at a path of a repository; those of its own kind are asked where they are answered.
pub(super) fn needed(rest: &[&str]) -> Option<&'static str> {
    match rest {
        ["pulls", ..] | ["issues", _, "comments", ..] | ["issues", "comments", ..] => {
            Some("pull-requests")
        }
        ["issues", ..] => Some("issues"),
        ["actions", ..] => Some("actions"),
        ["commits", _, "statuses"] => None,
        ["contents" | "git" | "commits", ..] => Some("contents"),
        _ => None,
    }
}

/// What is wrong with a description or an address, in GitHub's words.
pub(super) fn fault(asked: &Value, addresses: &[&str]) -> Option<Reply> {
    let text = |name: &str| asked[name].as_str().unwrap_or_default();
    if text("description").chars().count() > 140 {
        return Some(refusal(
            422,
            "Validation Failed: description is too long (maximum is 140 characters)",
        ));
    }
    let wrong = |name: &&&str| {
        let address = text(name);
        !address.is_empty() && !address.starts_with("http://") && !address.starts_with("https://")
    };
    addresses.iter().find(wrong).map(|name| {
        let message = format!("Validation Failed: {name} must use http(s) scheme");
        refusal(422, &message)
    })
}

impl Asked<'_> {
    /// Appends a status to a commit.
    pub(super) fn create_status(&self, model: &mut Model, sha: &str) -> Reply {
        if let Some(refused) = denied(model, "statuses") {
            return refused;
        }
        let asked = self.request.json().unwrap_or_default();
        let id = model.next_id();
        let Some(repository) = model.repositories.get_mut(&self.full_name) else {
            return not_found();
        };
        if sha.len() != 40 || !repository.commits.contains_key(sha) {
            return refusal(422, &format!("No commit found for SHA: {sha}"));
        }
        let text = |name: &str| asked[name].as_str().unwrap_or_default().to_owned();
        if !["pending", "success", "failure", "error"].contains(&text("state").as_str()) {
            return refusal(422, "Validation Failed: state is not included in the list");
        }
        if let Some(refused) = fault(&asked, &["target_url"]) {
            return refused;
        }
        let context = match text("context") {
            none if none.is_empty() => "default".to_owned(),
            context => context,
        };
        let status = Status {
            sha: sha.to_owned(),
            context,
            state: text("state"),
            description: text("description"),
            target_url: text("target_url"),
            creator: self.login.clone(),
            id,
        };
        let same =
            |one: &&Status| one.sha == sha && one.context.eq_ignore_ascii_case(&status.context);
        if repository.statuses.iter().filter(same).count() >= MOST {
            return refusal(
                422,
                "Validation Failed: This SHA and context has reached the maximum number of statuses.",
            );
        }
        let shown = view(&status);
        repository.statuses.push(status);
        Reply::json(201, &shown)
    }

    /// Lists the statuses of a commit, the newest first.
    pub(super) fn list_statuses(&self, repository: &Repository, reference: &str) -> Reply {
        let Some(commit) = repository.commit(reference) else {
            return refusal(422, &format!("No commit found for SHA: {reference}"));
        };
        let of = repository
            .statuses
            .iter()
            .filter(|status| status.sha == commit.sha);
        let statuses: Vec<_> = of.rev().collect();
        let path = format!("commits/{reference}/statuses");
        self.page(repository, &path, &statuses, view)
    }
}

/// The state that the newest status of each context gives a commit: true when all are a success.
pub(super) fn all_well(repository: &Repository, sha: &str) -> bool {
    let mut newest = std::collections::BTreeMap::new();
    for status in repository.statuses.iter().filter(|one| one.sha == sha) {
        newest.insert(status.context.clone(), status.state.clone());
    }
    newest.values().all(|state| state == "success")
}

fn view(status: &Status) -> Value {
    json!({
        "id": status.id, "state": status.state, "context": status.context, "description": status.description,
        "target_url": status.target_url, "creator": views::user(&status.creator),
    })
}
