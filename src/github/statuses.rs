//! Writes what a commit has come to where its checks are.
//! It decides nothing; which state means what is the pipeline's to say.
//! A status is appended and only the newest of a context counts, so writing one twice does no harm.

use super::{GitHub, GitHubError, request::Call};
use crate::names::CommitSha;
use http::Method;
use serde_json::json;

const WRITE: &str = "statuses: write";

/// The state of a commit, of GitHub's four.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CommitState {
    /// Under way.
    Pending,
    /// Well.
    Success,
    /// The commit has failed.
    Failure,
    /// Something else was in the way.
    Error,
}

/// What a commit has come to.
#[derive(Debug, Clone, Copy)]
pub struct CommitStatus<'a> {
    /// State.
    pub state: CommitState,
    /// Which check this is.
    pub context: &'a str,
    /// One line of at most 140 characters.
    pub description: &'a str,
    /// Where it leads.
    pub target_url: Option<&'a str>,
}

impl GitHub {
    /// Writes a status of a commit.
    pub async fn set_status(
        &self,
        sha: &CommitSha,
        status: &CommitStatus<'_>,
    ) -> Result<(), GitHubError> {
        let doing = format!("write the status of commit {}", sha.short());
        let path = self.path(&format!("/statuses/{sha}"));
        let mut body = json!({
            "state": status.state,
            "context": status.context,
            "description": status.description,
        });
        if let Some(url) = status.target_url {
            body["target_url"] = url.into();
        }
        let call = Call::new(Method::POST, path, doing, WRITE).with_body(body);
        self.ask(&call.harmless()).await.map(drop)
    }
}
