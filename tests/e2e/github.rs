//! Turns what people do on a pull request into requests to the GitHub server, and its comments into values to assert on.
//! It must not know how the action talks to GitHub. All is done as a person, with write access or as a
//! stranger, never as the action's own identity, so that an upsert of somebody else's comment would show.

use std::collections::BTreeMap;

use base64::Engine as _;
use serde_json::{Value, json};

use crate::world::World;

const REPOSITORY: &str = "/repos/acme/web";
const MEMBER_TOKEN: &str = "ghp_alice";
const STRANGER_TOKEN: &str = "ghp_mallory";
const BOT: &str = "github-actions[bot]";

/// The word in a comment's heading that tells the state.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Heading {
    Deploying,
    Ready,
    Removed,
    Cancelled,
    Asleep,
}

impl Heading {
    fn word(self) -> &'static str {
        match self {
            Self::Deploying => "deploying",
            Self::Ready => "ready",
            Self::Removed => "removed",
            Self::Cancelled => "cancelled",
            Self::Asleep => "asleep",
        }
    }
}

/// The action's comment on a pull request.
pub(crate) struct StatusComment {
    pub(crate) body: String,
}

impl StatusComment {
    /// Whether the heading, the first line of Markdown that begins with `#`, names the state.
    pub(crate) fn says(&self, heading: Heading) -> bool {
        let line = self
            .body
            .lines()
            .find(|line| line.starts_with('#'))
            .unwrap_or_default();
        line.to_lowercase().contains(heading.word())
    }
}

pub(crate) struct GitHub {
    api: String,
    token: &'static str,
    http: reqwest::Client,
}

impl GitHub {
    pub(crate) fn of(world: &World) -> Self {
        Self {
            api: world.address("GITHUB_API").to_owned(),
            token: MEMBER_TOKEN,
            http: reqwest::Client::new(),
        }
    }

    /// The same server for somebody who has no right in the repository.
    pub(crate) fn of_stranger(world: &World) -> Self {
        Self {
            token: STRANGER_TOKEN,
            ..Self::of(world)
        }
    }

    async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> Value {
        let url = format!("{}{path}", self.api);
        let mut request = self
            .http
            .request(method.parse().unwrap(), &url)
            .bearer_auth(self.token)
            .header("Accept", "application/vnd.github+json");
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request
            .send()
            .await
            .unwrap_or_else(|error| panic!("{method} {url}: {error}"));
        let status = response.status();
        let text = response.text().await.unwrap();
        assert!(status.is_success(), "{method} {url}: {status} {text}");
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    pub(crate) async fn repository(&self) -> Value {
        self.ask("GET", REPOSITORY, None).await
    }

    pub(crate) async fn user(&self) -> Value {
        self.ask("GET", "/user", None).await
    }

    /// Opens a pull request whose branch holds the files, and returns its number.
    pub(crate) async fn open(&self, files: &[(&str, &str)]) -> u64 {
        let main = self
            .ask("GET", &format!("{REPOSITORY}/git/ref/heads/main"), None)
            .await;
        let count = self
            .ask(
                "GET",
                &format!("{REPOSITORY}/pulls?state=all&per_page=100"),
                None,
            )
            .await
            .as_array()
            .map_or(0, Vec::len);
        let branch = format!("change-{}", count + 1);
        self.ask(
            "POST",
            &format!("{REPOSITORY}/git/refs"),
            Some(json!({"ref": format!("refs/heads/{branch}"), "sha": main["object"]["sha"]})),
        )
        .await;
        for (path, text) in files.iter().chain(&[("change.txt", branch.as_str())]) {
            let content = base64::engine::general_purpose::STANDARD.encode(text);
            self.ask(
                "PUT",
                &format!("{REPOSITORY}/contents/{path}"),
                Some(json!({"message": path, "content": content, "branch": branch})),
            )
            .await;
        }
        let pull =
            json!({"title": "A change to look at", "head": branch, "base": "main", "body": ""});
        self.ask("POST", &format!("{REPOSITORY}/pulls"), Some(pull))
            .await["number"]
            .as_u64()
            .unwrap()
    }

    pub(crate) async fn pull(&self, number: u64) -> Value {
        self.ask("GET", &format!("{REPOSITORY}/pulls/{number}"), None)
            .await
    }

    /// Gives the pull request a new head commit: this server moves a pull request's head only by its "update branch".
    pub(crate) async fn push(&self, number: u64) {
        self.ask(
            "PUT",
            &format!("{REPOSITORY}/pulls/{number}/update-branch"),
            Some(json!({})),
        )
        .await;
    }

    pub(crate) async fn close(&self, number: u64) {
        self.ask(
            "PATCH",
            &format!("{REPOSITORY}/pulls/{number}"),
            Some(json!({"state": "closed"})),
        )
        .await;
    }

    pub(crate) async fn say(&self, number: u64, body: &str) -> Value {
        self.ask(
            "POST",
            &format!("{REPOSITORY}/issues/{number}/comments"),
            Some(json!({"body": body})),
        )
        .await
    }

    /// The action's status comment, if there is one yet.
    pub(crate) async fn status_comment(&self, number: u64) -> Option<StatusComment> {
        let body = self.comments(number).await.remove("status")?;
        Some(StatusComment { body })
    }

    /// The action's comments by their kind; never more than one of each.
    pub(crate) async fn comments(&self, number: u64) -> BTreeMap<String, String> {
        let path = format!("{REPOSITORY}/issues/{number}/comments?per_page=100");
        let all = self.ask("GET", &path, None).await;
        let all = all.as_array().unwrap().iter();
        let mut ours = BTreeMap::new();
        for comment in all.filter(|comment| comment["user"]["login"] == BOT) {
            let body = comment["body"].as_str().unwrap().to_owned();
            let marker = body.lines().next().unwrap_or_default();
            let kind = marker
                .strip_prefix("<!-- preview-action v1 kind=")
                .and_then(|rest| rest.split_once(" repo="))
                .unwrap_or_else(|| panic!("the first line is the marker: {marker}"))
                .0
                .to_owned();
            assert!(
                marker.contains(&format!(" pr={number} ")),
                "the marker names the pull request: {marker}"
            );
            let other = ours.insert(kind, body.clone());
            assert_eq!(
                other, None,
                "one comment of a kind for all events, but also\n{body}"
            );
        }
        ours
    }
}
