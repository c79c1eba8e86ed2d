//! Starts a run of a workflow.
//! It does not know what the workflow does with its inputs.
//! A run that is started with the workflow's own token starts no further one by itself, except in this very way.

use super::{GitHub, GitHubError, files::encoded, request::Call};
use http::Method;
use serde_json::{Map, Value, json};

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
}
