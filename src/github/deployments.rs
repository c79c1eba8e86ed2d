//! Writes the deployments that GitHub shows beside a pull request, and what becomes of them.
//! It decides nothing and knows no preview: it is told the commit, the task and the environment.
//! GitHub's defaults are all declined: it would merge the default branch, wait for other checks and end other previews.

use super::{GitHub, GitHubError, request::Call};
use crate::names::CommitSha;
use http::Method;
use serde::Deserialize;
use serde_json::json;

const WRITE: &str = "deployments: write";

/// The state of a deployment, of GitHub's seven; one without any is pending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DeploymentState {
    /// Waits its turn.
    Queued,
    /// Under way.
    InProgress,
    /// There.
    Success,
    /// Failed.
    Failure,
    /// Something else was in the way.
    Error,
    /// Gone, or replaced.
    Inactive,
}

/// A deployment as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Deployment {
    /// Its number.
    pub id: u64,
    /// What tells it apart from others of its commit and environment.
    #[serde(default)]
    pub task: String,
}

/// What a deployment is of.
#[derive(Debug, Clone, Copy)]
pub struct NewDeployment<'a> {
    /// Commit.
    pub sha: &'a CommitSha,
    /// Environment, which GitHub makes where there is none.
    pub environment: &'a str,
    /// What tells it apart from others of its commit and environment.
    pub task: &'a str,
    /// One line of at most 140 characters.
    pub description: &'a str,
}

/// What has become of a deployment.
#[derive(Debug, Clone, Copy)]
pub struct DeploymentStatus<'a> {
    /// State.
    pub state: DeploymentState,
    /// One line of at most 140 characters.
    pub description: &'a str,
    /// Where it answers.
    pub environment_url: Option<&'a str>,
    /// Where its log is.
    pub log_url: Option<&'a str>,
}

impl GitHub {
    /// The deployments of a commit in an environment, the newest first.
    pub async fn deployments(
        &self,
        sha: &CommitSha,
        environment: &str,
    ) -> Result<Vec<Deployment>, GitHubError> {
        let doing = format!("list the deployments of commit {}", sha.short());
        // An environment's name holds no character that a query takes for more, but for the slash, which it may hold.
        let path = format!("/deployments?sha={sha}&environment={environment}&per_page=100");
        let call = Call::get(self.path(&path), doing, WRITE);
        self.json(&call).await
    }

    /// Makes a deployment. Where the answer is lost, [`GitHub::deployments`] tells whether there is one.
    pub async fn deploy(&self, new: &NewDeployment<'_>) -> Result<Deployment, GitHubError> {
        let doing = format!("make a deployment of commit {}", new.sha.short());
        let body = json!({
            "ref": new.sha,
            "environment": new.environment,
            "task": new.task,
            "description": new.description,
            "auto_merge": false,
            "required_contexts": [],
            "transient_environment": true,
            "production_environment": false,
        });
        let call = Call::new(Method::POST, self.path("/deployments"), doing, WRITE).with_body(body);
        self.json(&call).await
    }

    /// Says what has become of a deployment; one that is gone needs no word.
    pub async fn set_deployment(
        &self,
        id: u64,
        status: &DeploymentStatus<'_>,
    ) -> Result<(), GitHubError> {
        let doing = format!("write the status of deployment {id}");
        let path = self.path(&format!("/deployments/{id}/statuses"));
        let mut body = json!({
            "state": status.state,
            "description": status.description,
            "auto_inactive": false,
        });
        let addresses = [
            ("environment_url", status.environment_url),
            ("log_url", status.log_url),
        ];
        for (name, address) in addresses {
            if let Some(address) = address {
                body[name] = address.into();
            }
        }
        let call = Call::new(Method::POST, path, doing, WRITE).with_body(body);
        match self.ask(&call.harmless()).await {
            Ok(_) | Err(GitHubError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
