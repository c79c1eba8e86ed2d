//! Turns the state of the simulated GitHub into the JSON that GitHub sends, by REST and in event payloads.
//! It must not change anything.
//! Fields are left out if nobody who deploys previews reads them; the ones here have GitHub's names and types.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::model::{Comment, Commit, Pull, Repository, Started};
use crate::simulate::clock::stamp;

/// Where people would read it: no host of GitHub itself, so that a test sees who leads there.
const SITE: &str = "https://github.example";

/// Shows a user; logins that end with `[bot]` are bots.
pub(super) fn user(login: &str) -> Value {
    let bot = login.ends_with("[bot]");
    // Stable per login, and outside the range of other ids.
    let id = login.bytes().fold(5_000_000_u64, |id, byte| {
        id * 31 % 9_000_000 + u64::from(byte) + 1_000_000
    });
    json!({
        "login": login, "id": if login == "github-actions[bot]" { 41_898_282 } else { id },
        "type": if bot { "Bot" } else { "User" }, "site_admin": false,
        "html_url": format!("{SITE}/{}", login.trim_end_matches("[bot]")),
    })
}

pub(super) fn repository(repository: &Repository) -> Value {
    let full_name = &repository.full_name;
    json!({
        "id": repository.id, "name": repository.name(), "full_name": full_name, "private": repository.private,
        "owner": user(repository.owner()), "default_branch": repository.default_branch, "fork": false,
        "html_url": format!("{SITE}/{full_name}"), "visibility": if repository.private { "private" } else { "public" },
        "archived": false, "disabled": false,
    })
}

pub(super) fn label(name: &str) -> Value {
    json!({"name": name, "color": "ededed", "default": false, "description": null})
}

/// Lists what a pull request changes; nothing is renamed here.
pub(super) fn files(base: &Repository, pull: &Pull) -> Vec<Value> {
    let of = |sha: &str| base.commits.get(sha).map(|commit| &commit.files);
    let (Some(before), Some(after)) = (of(&pull.base), of(&pull.head)) else {
        return Vec::new();
    };
    let changed = after
        .iter()
        .filter_map(|(path, text)| match before.get(path) {
            Some(old) if old == text => None,
            Some(_) => Some((path, "modified")),
            None => Some((path, "added")),
        });
    let removed = before.keys().filter(|path| !after.contains_key(*path));
    let all = changed.chain(removed.map(|path| (path, "removed")));
    all.map(|(path, status)| {
        json!({
            "sha": pull.head, "filename": path, "status": status,
            "additions": 1, "deletions": 0, "changes": 1,
        })
    })
    .collect()
}

pub(super) fn pull(base: &Repository, pull: &Pull) -> Value {
    let time = |time: Option<Timestamp>| time.map(stamp);
    let head_repository = pull.head_repository.as_ref().map(|(id, full_name)| {
        let mut head = repository(base);
        head["id"] = (*id).into();
        head["full_name"] = full_name.as_str().into();
        head["name"] = full_name.rsplit('/').next().into();
        head["owner"] = user(full_name.split('/').next().unwrap_or_default());
        head["fork"] = (*id != base.id).into();
        head["html_url"] = format!("{SITE}/{full_name}").into();
        head
    });
    let owner = |repository: &Value| {
        repository["owner"]["login"]
            .as_str()
            .unwrap_or("unknown")
            .to_owned()
    };
    let head_owner = head_repository
        .as_ref()
        .map_or_else(|| "unknown".to_owned(), owner);
    json!({
        "id": pull.id, "number": pull.number, "state": if pull.open { "open" } else { "closed" }, "locked": false,
        "title": pull.title, "body": null, "user": user(&pull.author), "draft": pull.draft,
        "merged": pull.merged_at.is_some(), "mergeable": null,
        "labels": pull.labels.iter().map(|name| label(name)).collect::<Vec<_>>(),
        "author_association": association(base, &pull.author),
        "created_at": stamp(pull.created_at), "updated_at": stamp(pull.updated_at),
        "closed_at": time(pull.closed_at), "merged_at": time(pull.merged_at),
        "html_url": format!("{SITE}/{}/pull/{}", base.full_name, pull.number),
        "head": {
            "label": format!("{head_owner}:{}", pull.branch), "ref": pull.branch, "sha": pull.head,
            "user": user(&head_owner), "repo": head_repository,
        },
        "base": {
            "label": format!("{}:{}", base.owner(), base.default_branch), "ref": base.default_branch, "sha": pull.base,
            "user": user(base.owner()), "repo": repository(base),
        },
    })
}

pub(super) fn comment(repository: &Repository, comment: &Comment) -> Value {
    json!({
        "id": comment.id, "body": comment.body, "user": user(&comment.author),
        "author_association": association(repository, &comment.author),
        "created_at": stamp(comment.created_at), "updated_at": stamp(comment.updated_at),
        "html_url": format!("{SITE}/{}/pull/{}#issuecomment-{}", repository.full_name, comment.number, comment.id),
    })
}

pub(super) fn commit(repository: &Repository, commit: &Commit) -> Value {
    let signature =
        json!({"name": commit.author, "email": "author@example.com", "date": stamp(commit.time)});
    let parents: Vec<Value> = commit
        .parents
        .iter()
        .map(|sha| json!({"sha": sha}))
        .collect();
    json!({
        "sha": commit.sha, "author": user(&commit.author), "committer": user(&commit.author), "parents": parents,
        "html_url": format!("{SITE}/{}/commit/{}", repository.full_name, commit.sha),
        "commit": {
            "message": commit.message, "author": signature, "committer": signature, "tree": {"sha": commit.sha},
        },
    })
}

/// Returns what `author_association` says, which is less than the permission.
fn association(repository: &Repository, login: &str) -> &'static str {
    let permission = repository
        .permissions
        .get(login)
        .map(|(permission, _)| permission.as_str());
    match permission {
        _ if login == repository.owner() => "OWNER",
        Some("admin" | "write" | "read") => "COLLABORATOR",
        _ => "NONE",
    }
}

/// Builds the payload of a `pull_request` or `pull_request_target` event.
pub(super) fn pull_request_event(
    base: &Repository,
    number: u64,
    action: &str,
    sender: &str,
) -> Option<Value> {
    let found = base.pulls.get(&number)?;
    Some(json!({
        "action": action, "number": number, "pull_request": pull(base, found), "repository": repository(base),
        "sender": user(sender),
    }))
}

/// Builds the payload of an `issue_comment` event.
pub(super) fn comment_event(
    base: &Repository,
    written: &Comment,
    action: &str,
    sender: &str,
) -> Option<Value> {
    let found = base.pulls.get(&written.number)?;
    let url = format!("{SITE}/{}/pull/{}", base.full_name, found.number);
    Some(json!({
        "action": action,
        "issue": {
            "id": found.id, "number": found.number, "title": found.title, "user": user(&found.author),
            "state": if found.open { "open" } else { "closed" }, "html_url": url, "draft": found.draft,
            "pull_request": {"html_url": url, "merged_at": found.merged_at.map(stamp)},
        },
        "comment": comment(base, written), "repository": repository(base), "sender": user(sender),
    }))
}

/// Builds the payload of a `workflow_dispatch` event; GitHub sends every input as text.
pub(super) fn dispatch_event(base: &Repository, inputs: &[(&str, &str)], sender: &str) -> Value {
    let inputs: serde_json::Map<String, Value> = inputs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).into()))
        .collect();
    json!({
        "inputs": inputs, "ref": format!("refs/heads/{}", base.default_branch),
        "workflow": ".github/workflows/preview.yml", "repository": repository(base), "sender": user(sender),
    })
}

/// Shows a run that was started by hand.
pub(super) fn run(run: &Started) -> Value {
    json!({
        "id": run.id, "status": run.status, "event": "workflow_dispatch", "created_at": stamp(run.created),
    })
}

/// Builds the payload of a `workflow_run` event of a workflow that ran for a pull request and has ended well.
pub(super) fn workflow_run_event(base: &Repository, number: u64, path: &str) -> Option<Value> {
    let found = base.pulls.get(&number)?;
    let shown = pull(base, found);
    let own = found
        .head_repository
        .as_ref()
        .is_some_and(|(id, _)| *id == base.id);
    let listed = json!({"number": number, "head": {"sha": found.head, "ref": found.branch}});
    Some(json!({
        "action": "completed",
        "workflow_run": {
            "id": 77, "name": "build", "path": path, "event": "pull_request", "status": "completed",
            "conclusion": "success", "run_attempt": 1, "created_at": stamp(found.updated_at), "updated_at": stamp(found.updated_at), "head_sha": found.head, "head_branch": found.branch,
            "head_repository": shown["head"]["repo"], "repository": repository(base),
            "pull_requests": if own { vec![listed] } else { Vec::new() }, "actor": user(&found.author),
        },
        "workflow": {"id": 7, "name": "build", "path": path, "state": "active"},
        "repository": repository(base), "sender": user(&found.author),
    }))
}
