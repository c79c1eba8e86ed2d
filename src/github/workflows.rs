//! Starts a run of a workflow, and says whether one that was started has not ended yet.
//! It does not know what the workflow does with its inputs.
//! A run that is started with the workflow's own token starts no further one by itself, except in this very way.

use super::{GitHub, GitHubError, files::encoded, request::Call};
use http::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};

#[derive(Deserialize)]
struct Runs {
    workflow_runs: Vec<Run>,
}

#[derive(Deserialize)]
struct Run {
    status: Option<String>,
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

    /// True when a run of this file that was started so is under way, or waits for a runner or for a reviewer.
    pub async fn runs_workflow(&self, file: &str) -> Result<bool, GitHubError> {
        let path = format!(
            "/actions/workflows/{}/runs?event=workflow_dispatch&per_page=100",
            encoded(file)
        );
        let doing = format!("read the runs of the workflow {file}");
        let found: Runs = self
            .json(&Call::get(self.path(&path), doing, "actions: write"))
            .await?;
        let ended = |run: &Run| run.status.as_deref() == Some("completed");
        Ok(!found.workflow_runs.iter().all(ended))
    }
}
