//! Puts our reactions under a command, so that whoever wrote it sees at once that it was read, and how it ended.
//! It decides nothing; which reaction means what is the pipeline's to say.
//! A reaction that is there already is as good as a new one, so a repeated request does no harm.

use super::{GitHub, GitHubError, request::Call};
use http::Method;
use serde_json::json;

const WRITE: &str = "pull-requests: write";

/// A reaction, of GitHub's eight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reaction {
    /// It was read.
    Eyes,
    /// It has begun.
    Rocket,
    /// It went well.
    PlusOne,
    /// It did not go well, or could not be understood.
    Confused,
    /// Whoever asked may not.
    MinusOne,
}

impl Reaction {
    /// GitHub's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Eyes => "eyes",
            Self::Rocket => "rocket",
            Self::PlusOne => "+1",
            Self::Confused => "confused",
            Self::MinusOne => "-1",
        }
    }
}

impl GitHub {
    /// Reacts to a comment.
    pub async fn react(&self, comment: u64, reaction: Reaction) -> Result<(), GitHubError> {
        let path = self.path(&format!("/issues/comments/{comment}/reactions"));
        let call = Call::new(Method::POST, path, "react to a comment", WRITE)
            .with_body(json!({"content": reaction.as_str()}));
        self.ask(&call).await.map(drop)
    }
}
