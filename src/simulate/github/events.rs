//! Builds the payloads that GitHub sends when something happens in a repository.
//! It changes nothing: whoever plays a scenario makes it happen first.

use serde_json::{Value, json};

use super::model::Repository;
use super::{Handle, views};

impl Handle {
    /// Builds the payload of a `pull_request` (or `pull_request_target`) event, sent by the author; null if there is no such pull request.
    pub fn pull_request_event(&self, full_name: &str, number: u64, action: &str) -> Value {
        let author = self
            .with_pull(full_name, number, |pull| pull.author.clone())
            .unwrap_or_default();
        let event = |repository: &mut Repository| {
            views::pull_request_event(repository, number, action, &author)
        };
        self.with(full_name, event).flatten().unwrap_or_default()
    }

    /// Builds the payload of a `pull_request` event with action `labeled` or `unlabeled`, sent by the author.
    pub fn label_event(&self, full_name: &str, number: u64, action: &str, name: &str) -> Value {
        let mut event = self.pull_request_event(full_name, number, action);
        event["label"] = views::label(name);
        event
    }

    /// Builds the payload of an `issue_comment` event, sent by the comment's author; null if there is no such comment.
    pub fn comment_event(&self, full_name: &str, id: u64, action: &str) -> Value {
        let event = |repository: &mut Repository| {
            let comment = repository
                .comments
                .iter()
                .find(|comment| comment.id == id)?;
            views::comment_event(repository, comment, action, &comment.author)
        };
        self.with(full_name, event).flatten().unwrap_or_default()
    }

    /// Builds the payload of a `workflow_run` event of a build of a pull request's head that has ended well.
    ///
    /// As GitHub does, it lists no pull request when that comes from a fork.
    pub fn workflow_run_event(&self, full_name: &str, number: u64, path: &str) -> Value {
        let event =
            |repository: &mut Repository| views::workflow_run_event(repository, number, path);
        self.with(full_name, event).flatten().unwrap_or_default()
    }

    /// Builds the payload of a `schedule` event.
    pub fn schedule_event(&self, cron: &str) -> Value {
        json!({"schedule": cron})
    }

    /// Builds the payload of a `workflow_dispatch` event; null if there is no such repository.
    pub fn dispatch_event(&self, full_name: &str, sender: &str, inputs: &[(&str, &str)]) -> Value {
        let event = |repository: &mut Repository| views::dispatch_event(repository, inputs, sender);
        self.with(full_name, event).unwrap_or_default()
    }
}
