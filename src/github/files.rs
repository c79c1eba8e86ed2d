//! Reads files of the repository at an exact commit, without a checkout.
//! It does not know what they mean; it refuses what is no plain text file of sensible size.
//! A commit's files cannot change under our hands, which a workspace's can.

use super::{GitHub, GitHubError, request::Call};
use crate::names::CommitSha;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde::Deserialize;
use serde_json::Value;

const READ: &str = "contents: read";
/// GitHub's own limit for the content of a file in this endpoint.
const FILE_LIMIT: u64 = 1 << 20;
/// Most files that a set of patterns may match.
const MOST_FILES: usize = 200;
/// Files that are read at the same time.
const WIDTH: usize = 8;

impl GitHub {
    /// Reads a file; none when there is no such file at that commit.
    pub async fn file(&self, path: &str, reference: &str) -> Result<Option<String>, GitHubError> {
        let query = format!("?ref={}", encoded(reference));
        self.contents(path, &query, format!("read `{path}` at {reference}"))
            .await
    }

    /// Reads a file as the default branch has it now.
    pub async fn file_of_default_branch(&self, path: &str) -> Result<Option<String>, GitHubError> {
        self.contents(path, "", format!("read `{path}` of the default branch"))
            .await
    }

    async fn contents(
        &self,
        path: &str,
        query: &str,
        doing: String,
    ) -> Result<Option<String>, GitHubError> {
        let uri = self.path(&format!(
            "/contents/{}{query}",
            encoded_path(path.trim_matches('/'))
        ));
        let refused = |problem: &str, remedy: &str| GitHubError::Content {
            doing: doing.clone(),
            problem: problem.into(),
            remedy: remedy.into(),
        };
        let answer: Value = match self.json(&Call::get(uri, doing.clone(), READ)).await {
            Err(GitHubError::NotFound { .. }) => return Ok(None),
            answer => answer?,
        };
        if answer.is_array() {
            return Err(refused("it is a folder", "name a file"));
        }
        let text = |key: &str| answer.get(key).and_then(Value::as_str).unwrap_or_default();
        if text("type") != "file" {
            return Err(refused(
                "it is a symbolic link or a submodule",
                "put the file itself into the repository",
            ));
        }
        let size = answer.get("size").and_then(Value::as_u64).unwrap_or(0);
        if size > FILE_LIMIT {
            return Err(refused("it is larger than 1 MiB", "make it smaller"));
        }
        let bytes = match text("encoding") {
            "base64" => STANDARD
                .decode(text("content").replace(['\n', '\r'], ""))
                .map_err(|error| GitHubError::Unreadable {
                    doing: doing.clone(),
                    problem: error.to_string(),
                })?,
            other => {
                return Err(GitHubError::Unreadable {
                    doing: doing.clone(),
                    problem: format!("its content is encoded as `{other}`"),
                });
            }
        };
        String::from_utf8(bytes)
            .map(Some)
            .map_err(|_| refused("it is not UTF-8 text", "save it as UTF-8"))
    }

    /// Reads every file that one of the patterns matches, sorted by path; `*` stays within a folder, `**` does not.
    pub async fn files(
        &self,
        patterns: &[String],
        sha: &CommitSha,
    ) -> Result<Vec<(String, String)>, GitHubError> {
        #[derive(Deserialize)]
        struct Tree {
            tree: Vec<Entry>,
            #[serde(default)]
            truncated: bool,
        }
        #[derive(Deserialize)]
        struct Entry {
            path: String,
            mode: String,
            #[serde(rename = "type")]
            kind: String,
        }
        let doing = format!("list the files of {}", sha.short());
        let refused = |problem: String, remedy: &str| GitHubError::Content {
            doing: doing.clone(),
            problem,
            remedy: remedy.into(),
        };
        let patterns = patterns
            .iter()
            .map(|pattern| {
                glob::Pattern::new(pattern.trim_start_matches("./")).map_err(|error| {
                    refused(
                        format!("the pattern `{pattern}` is wrong: {}", error.msg),
                        "write a pattern such as `deploy/*.yaml.j2`",
                    )
                })
            })
            .collect::<Result<Vec<_>, _>>()?;
        let options = glob::MatchOptions {
            require_literal_separator: true,
            ..glob::MatchOptions::default()
        };
        let uri = self.path(&format!("/git/trees/{sha}?recursive=1"));
        let tree: Tree = self.json(&Call::get(uri, doing.clone(), READ)).await?;
        if tree.truncated {
            return Err(refused(
                "the repository has more files than GitHub lists at once".into(),
                "check out the repository in a step before, so that the files are read from the workspace",
            ));
        }
        let mut paths = Vec::new();
        for entry in tree.tree {
            let matches = patterns
                .iter()
                .any(|pattern| pattern.matches_with(&entry.path, options));
            if !matches || entry.kind == "tree" {
                continue;
            }
            if entry.kind != "blob" || entry.mode == "120000" {
                return Err(refused(
                    format!("`{}` is a symbolic link or a submodule", entry.path),
                    "put the file itself into the repository",
                ));
            }
            paths.push(entry.path);
        }
        paths.sort();
        if paths.len() > MOST_FILES {
            return Err(refused(
                format!(
                    "the patterns match {} files, more than {MOST_FILES}",
                    paths.len()
                ),
                "write narrower patterns",
            ));
        }
        stream::iter(paths)
            .map(|path| async {
                let text = self.file(&path, sha.as_str()).await?;
                let text =
                    text.ok_or_else(|| refused(format!("`{path}` is gone"), "run the job again"))?;
                Ok((path, text))
            })
            .buffered(WIDTH)
            .try_collect()
            .await
    }
}

/// Percent-encodes every segment of a path.
pub(super) fn encoded_path(path: &str) -> String {
    path.split('/').map(encoded).collect::<Vec<_>>().join("/")
}

/// Percent-encodes everything that is not unreserved in a URL.
pub(super) fn encoded(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // writing to a String cannot fail
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}
