//! Turns paths at a commit into files, folders and trees as GitHub sends them.
//! It must not know who asks; everyone who sees the repository sees its files.
//! Files hang on commits, so that a configuration read at the wrong commit shows.

use base64::Engine as _;
use serde_json::{Value, json};

use super::model::{Commit, Repository, sha1_like};
use super::routes::{not_found, refusal};
use crate::simulate::http::{Reply, Request};

/// Answers with a file, raw or encoded, or with the entries of a folder.
pub(super) fn answer(request: &Request, repository: &Repository, path: &str) -> Reply {
    let reference = request.param("ref").unwrap_or(&repository.default_branch);
    let Some(commit) = repository.commit(reference) else {
        return refusal(404, &format!("No commit found for the ref {reference}"));
    };
    if let Some(bytes) = commit.files.get(path) {
        if request.header("accept").contains("raw") {
            let reply = Reply::text(200, bytes.clone());
            return reply.header(
                "content-type",
                "application/vnd.github.raw+json; charset=utf-8",
            );
        }
        return Reply::json(200, &file(path, bytes));
    }
    let prefix = if path.is_empty() {
        String::new()
    } else {
        format!("{path}/")
    };
    let mut entries: Vec<Value> = Vec::new();
    for (name, bytes) in commit
        .files
        .range(prefix.clone()..)
        .take_while(|(name, _)| name.starts_with(&prefix))
    {
        let below = name.strip_prefix(&prefix).unwrap_or_default();
        let entry = match below.split_once('/') {
            Some((folder, _)) => {
                json!({"type": "dir", "name": folder, "path": format!("{prefix}{folder}"), "size": 0})
            }
            None => {
                json!({"type": "file", "name": below, "path": name, "size": bytes.len(), "sha": sha1_like(bytes)})
            }
        };
        if entries.last() != Some(&entry) {
            entries.push(entry);
        }
    }
    if entries.is_empty() {
        not_found()
    } else {
        Reply::json(200, &entries.into())
    }
}

fn file(path: &str, bytes: &[u8]) -> Value {
    // GitHub breaks the lines of base64, so a reader must cope with that.
    let encoded = base64::engine::general_purpose::STANDARD.encode(bytes);
    let lines: Vec<&str> = (0..encoded.len())
        .step_by(60)
        .filter_map(|at| encoded.get(at..(at + 60).min(encoded.len())))
        .collect();
    let name = path.rsplit('/').next().unwrap_or_default();
    json!({
        "type": "file", "encoding": "base64", "size": bytes.len(), "name": name, "path": path,
        "content": lines.iter().map(|line| format!("{line}\n")).collect::<String>(), "sha": sha1_like(bytes),
    })
}

/// Lists the files of a commit, those below folders only if asked for.
pub(super) fn tree(request: &Request, commit: &Commit) -> Value {
    let recursive = request.param("recursive").is_some();
    let files = commit
        .files
        .iter()
        .filter(|(path, _)| recursive || !path.contains('/'));
    let entries: Vec<Value> = files
        .map(|(path, bytes)| {
            json!({"path": path, "mode": "100644", "type": "blob", "sha": sha1_like(bytes), "size": bytes.len()})
        })
        .collect();
    json!({"sha": commit.sha, "tree": entries, "truncated": false})
}
