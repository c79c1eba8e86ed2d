//! Writes our issues: one for each marker, edited for ever, never opened twice.
//! It does not know what stands in them, only the marker that they begin with.
//! A marker alone proves nothing, as anybody can write it; only who may write to the repository can put the label beside it.

use super::{GitHub, GitHubError, request::Call};
use http::Method;
use serde::Deserialize;
use serde_json::json;

const WRITE: &str = "issues: write";

/// The label by which our issues are found again.
const LABEL: &str = "preview-action";

/// 100 issues each.
const MOST_PAGES: u32 = 10;

#[derive(Deserialize)]
struct Wire {
    number: u64,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    pull_request: Option<serde::de::IgnoredAny>,
}

/// What an issue is to be.
#[derive(Debug, Clone, Copy)]
pub struct IssueText<'a> {
    /// First line of the body.
    pub marker: &'a str,
    /// Title.
    pub title: &'a str,
    /// Whole body.
    pub body: &'a str,
    /// Whether it is open; none leaves that to people.
    pub open: Option<bool>,
}

impl GitHub {
    /// Writes the one issue of this marker and returns its number; a `known` one is edited at once.
    ///
    /// One that is to be closed and does not exist is not opened: none then.
    pub async fn upsert_issue(
        &self,
        text: &IssueText<'_>,
        known: Option<u64>,
    ) -> Result<Option<u64>, GitHubError> {
        if let Some(number) = known
            && self.edit_issue(number, text).await?
        {
            return Ok(Some(number));
        }
        if let Some(number) = self.find_issue(text.marker).await? {
            return Ok(self.edit_issue(number, text).await?.then_some(number));
        }
        if text.open == Some(false) {
            return Ok(None);
        }
        let call = Call::new(Method::POST, self.path("/issues"), "open an issue", WRITE);
        let body = json!({"title": text.title, "body": text.body, "labels": [LABEL]});
        let made = self.json::<Wire>(&call.with_body(body)).await?.number;
        // Whoever opened one at the same time looks as well, and the older one is kept.
        let first = self.find_issue(text.marker).await?;
        let Some(first) = first.filter(|first| *first < made) else {
            return Ok(Some(made));
        };
        let closed = IssueText {
            open: Some(false),
            ..*text
        };
        self.edit_issue(made, &closed).await?;
        Ok(self.edit_issue(first, text).await?.then_some(first))
    }

    async fn find_issue(&self, marker: &str) -> Result<Option<u64>, GitHubError> {
        let path = self.path(&format!("/issues?state=all&labels={LABEL}&per_page=100"));
        let call = Call::get(path, "list our issues", WRITE);
        let found = self.pages::<Wire>(call, MOST_PAGES).await?;
        let ours = found.into_iter().filter(|one| {
            let body = one.body.as_deref().unwrap_or_default();
            one.pull_request.is_none() && body.starts_with(marker)
        });
        Ok(ours.map(|one| one.number).min())
    }

    /// False when there is no such issue any more: it was deleted, or moved to another repository.
    async fn edit_issue(&self, number: u64, text: &IssueText<'_>) -> Result<bool, GitHubError> {
        let path = self.path(&format!("/issues/{number}"));
        let call = Call::new(Method::PATCH, path, format!("edit issue #{number}"), WRITE);
        let mut body = json!({"title": text.title, "body": text.body});
        if let Some(open) = text.open {
            body["state"] = json!(if open { "open" } else { "closed" });
        }
        match self.json::<Wire>(&call.with_body(body)).await {
            Ok(_) => Ok(true),
            Err(
                GitHubError::NotFound { .. }
                | GitHubError::Unexpected {
                    status: 301 | 410, ..
                },
            ) => Ok(false),
            Err(error) => Err(error),
        }
    }
}
