//! Reads pull requests and the repository that they belong to.
//! It decides nothing about them.
//! What it says is true now, unlike the event's copy, so it is what `open` and `head` are taken from.

use super::{GitHub, GitHubError, files::encoded, request::Call};
use crate::{
    event::{PullRequest, Repository, User},
    names::{CommitSha, PrNumber, RepoId},
};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

const READ: &str = "pull-requests: read";
/// 100 pull requests each.
const MOST_PAGES: u32 = 50;
/// GitHub tells no more of one pull request.
const MOST_FILES: u32 = 3000;
/// 100 commits each; GitHub tells 250 of one pull request at most.
const COMMIT_PAGES: u32 = 3;

impl GitHub {
    /// Reads one pull request.
    pub async fn pull(&self, pr: PrNumber) -> Result<PullRequest, GitHubError> {
        let doing = format!("read pull request #{pr}");
        let call = Call::get(self.path(&format!("/pulls/{pr}")), doing, READ);
        self.json::<Pull>(&call).await.map(Into::into)
    }

    /// Reads every open pull request, and how long ago, by GitHub's own clock, somebody last touched it.
    pub async fn open_pulls(
        &self,
    ) -> Result<Vec<(PullRequest, Option<SignedDuration>)>, GitHubError> {
        let path = self.path("/pulls?state=open&per_page=100");
        let call = Call::get(path, "list the open pull requests", READ);
        let (pulls, now) = self.dated_pages::<Pull>(call, MOST_PAGES).await?;
        let dated = |pull: Pull| {
            let age = pull.updated_at.map(|at| now.duration_since(at));
            (pull.into(), age)
        };
        Ok(pulls.into_iter().map(dated).collect())
    }

    /// Reads the names of all files that a pull request changes, those before a renaming as well; none when there are more
    /// than GitHub tells.
    pub async fn changed_files(&self, pr: PrNumber) -> Result<Option<Vec<String>>, GitHubError> {
        #[derive(Deserialize)]
        struct Wire {
            filename: String,
            #[serde(default)]
            previous_filename: Option<String>,
        }
        let path = self.path(&format!("/pulls/{pr}/files?per_page=100"));
        let call = Call::get(path, format!("list the files of #{pr}"), READ);
        let files: Vec<Wire> = self.pages(call, MOST_FILES / 100).await?;
        if files.len() >= MOST_FILES as usize {
            return Ok(None);
        }
        let names = files
            .into_iter()
            .flat_map(|file| [Some(file.filename), file.previous_filename]);
        Ok(Some(names.flatten().collect()))
    }

    /// Reads which commits a pull request consists of, the oldest first: at most 250.
    pub async fn pull_commits(&self, pr: PrNumber) -> Result<Vec<CommitSha>, GitHubError> {
        #[derive(Deserialize)]
        struct Wire {
            sha: CommitSha,
        }
        let path = self.path(&format!("/pulls/{pr}/commits?per_page=100"));
        let call = Call::get(path, format!("list the commits of #{pr}"), READ);
        let commits: Vec<Wire> = self.pages(call, COMMIT_PAGES).await?;
        Ok(commits.into_iter().map(|commit| commit.sha).collect())
    }

    /// Reads the open pull requests that come from a branch of this name, in whichever repository of this owner.
    pub async fn pulls_from(
        &self,
        owner: &str,
        branch: &str,
    ) -> Result<Vec<PullRequest>, GitHubError> {
        let head = encoded(&format!("{owner}:{branch}"));
        let path = self.path(&format!("/pulls?state=open&head={head}&per_page=100"));
        let call = Call::get(path, "list the pull requests of a branch", READ);
        let pulls: Vec<Pull> = self.pages(call, MOST_PAGES).await?;
        Ok(pulls.into_iter().map(Into::into).collect())
    }

    /// Reads the repository.
    pub async fn repository(&self) -> Result<Repository, GitHubError> {
        #[derive(Deserialize)]
        struct Wire {
            id: RepoId,
            full_name: crate::names::RepoName,
            default_branch: String,
        }
        let call = Call::get(self.path(""), "read the repository", "contents: read");
        let wire: Wire = self.json(&call).await?;
        Ok(Repository {
            id: wire.id,
            name: wire.full_name,
            default_branch: Some(wire.default_branch),
        })
    }
}

#[derive(Deserialize)]
struct Pull {
    number: PrNumber,
    #[serde(default)]
    title: Option<String>,
    state: String,
    /// Absent in lists.
    #[serde(default)]
    merged: Option<bool>,
    #[serde(default)]
    merged_at: Option<String>,
    #[serde(default)]
    updated_at: Option<Timestamp>,
    #[serde(default)]
    draft: Option<bool>,
    #[serde(default)]
    labels: Vec<Label>,
    user: Option<Account>,
    head: Side<Option<Repo>>,
    base: Side<Repo>,
}

#[derive(Deserialize)]
struct Label {
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
struct Account {
    login: String,
    #[serde(default, rename = "type")]
    kind: Option<String>,
}

#[derive(Deserialize)]
struct Side<R> {
    sha: CommitSha,
    #[serde(rename = "ref")]
    branch: String,
    repo: R,
}

#[derive(Deserialize)]
struct Repo {
    id: RepoId,
}

impl From<Pull> for PullRequest {
    fn from(wire: Pull) -> Self {
        let author = match wire.user {
            Some(user) => User {
                bot: user.kind.as_deref() == Some("Bot") || user.login.ends_with("[bot]"),
                login: user.login,
            },
            None => User {
                login: "ghost".into(),
                bot: false,
            },
        };
        Self {
            number: wire.number,
            title: wire.title.unwrap_or_default(),
            open: wire.state == "open",
            merged: wire.merged.unwrap_or(wire.merged_at.is_some()),
            draft: wire.draft.unwrap_or_default(),
            labels: wire.labels.into_iter().map(|label| label.name).collect(),
            author,
            head_sha: wire.head.sha,
            head_branch: wire.head.branch,
            head_repository: wire.head.repo.map(|repo| repo.id),
            base_sha: wire.base.sha,
            base_branch: wire.base.branch,
            base_repository: wire.base.repo.id,
        }
    }
}
