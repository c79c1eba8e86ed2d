//! Writes what a commit has come to where its checks are, and reads what was written there last.
//! It decides nothing; which state means what is the pipeline's to say.
//! A status is appended and only the newest of a context counts, so writing one twice does no harm.

use super::{GitHub, GitHubError, request::Call};
use crate::names::CommitSha;
use http::Method;
use serde::Deserialize;
use serde_json::json;

const WRITE: &str = "statuses: write";

/// The state of a commit, of GitHub's four.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, Deserialize)]
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

#[derive(Deserialize)]
struct Wire {
    context: String,
    state: CommitState,
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

    /// The newest state of a commit in a context; none when there is none among its newest hundred.
    pub async fn status(
        &self,
        sha: &CommitSha,
        context: &str,
    ) -> Result<Option<CommitState>, GitHubError> {
        let doing = format!("read the statuses of commit {}", sha.short());
        let path = self.path(&format!("/commits/{sha}/statuses?per_page=100"));
        let all: Vec<Wire> = self.json(&Call::get(path, doing, WRITE)).await?;
        let newest = all.into_iter().find(|one| one.context == context);
        Ok(newest.map(|one| one.state))
    }
}
