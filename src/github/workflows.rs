//! Starts a run of a workflow, and says which that were started have not ended yet.
//! It does not know what the workflow does with its inputs.
//! A run that is started with the workflow's own token starts no further one by itself, except in this very way.

use super::{GitHub, GitHubError, files::encoded, request::Call};
use http::Method;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Map, Value, json};

#[derive(Deserialize)]
struct Runs {
    workflow_runs: Vec<Run>,
}

#[derive(Deserialize)]
struct Run {
    id: u64,
    status: Option<String>,
    created_at: Option<Timestamp>,
}

/// A run that was started so and has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unended {
    /// Its number.
    pub id: u64,
    /// How long ago it was started, by GitHub's own clock.
    pub age: Option<SignedDuration>,
}

impl GitHub {
    /// Starts the workflow of this file on a branch.
    pub async fn start_workflow(
        &self,
        file: &str,
        branch: &str,
        inputs: &[(&str, String)],
    ) -> Result<(), GitHubError> {
        let path = self.path(&format!("/actions/workflows/{}/dispatches", encoded(file)));
        let doing = format!("start the workflow {file}");
        let inputs: Map<String, Value> = inputs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), json!(value)))
            .collect();
        let call = Call::new(Method::POST, path, doing, "actions: write")
            .with_body(json!({"ref": branch, "inputs": inputs}));
        self.ask(&call).await.map(drop)
    }

    /// When a run was begun, whoever approved it since; asked of runs by hand, because their event does not say it.
    pub async fn run_begun(&self, run: u64) -> Result<Option<Timestamp>, GitHubError> {
        let path = self.path(&format!("/actions/runs/{run}"));
        let call = Call::get(path, "read when this run was begun", "actions: read");
        let found: Run = self.ask(&call).await?.read(&call.doing)?;
        Ok(found.created_at)
    }

    /// The runs of this file that were started so and are under way, or wait for a runner or for a reviewer.
    pub async fn unended_runs(&self, file: &str) -> Result<Vec<Unended>, GitHubError> {
        let path = format!(
            "/actions/workflows/{}/runs?event=workflow_dispatch&per_page=100",
            encoded(file)
        );
        let doing = format!("read the runs of the workflow {file}");
        let call = Call::get(self.path(&path), doing, "actions: write");
        let answer = self.ask(&call).await?;
        let found: Runs = answer.read(&call.doing)?;
        let now = answer.date();
        let unended = |run: &Run| run.status.as_deref() != Some("completed");
        let unended = found.workflow_runs.into_iter().filter(unended);
        let unended = unended.map(|run| Unended {
            id: run.id,
            age: run.created_at.map(|at| now.duration_since(at)),
        });
        Ok(unended.collect())
    }
}
