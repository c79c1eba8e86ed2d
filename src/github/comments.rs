//! Writes our comments: one per marker and pull request, edited for ever, never posted twice.
//! It does not know what stands in them, only the marker that they begin with.
//! A marker alone proves nothing, as anybody can write it; marker and author together do.

use super::{GitHub, GitHubError, request::Call};
use crate::names::{Marker, PrNumber};
use http::Method;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;

const WRITE: &str = "pull-requests: write";
/// 100 comments each.
const MOST_PAGES: u32 = 100;
/// Tries of a POST, each after a look whether the one before has arrived.
pub(super) const POSTS: u32 = 3;
const OWNER: &str = "read who the token belongs to";
/// Who a workflow's own token is.
const WORKFLOW_BOT: &str = "github-actions[bot]";

/// The number of a comment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(transparent)]
pub struct CommentId(pub u64);

impl std::fmt::Display for CommentId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// A comment as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comment {
    /// Number.
    pub id: CommentId,
    /// Address for people.
    pub url: String,
    /// Whole text.
    pub body: String,
    /// Login of its author.
    pub author: String,
    /// When it was written; none where GitHub does not say.
    pub written: Option<Timestamp>,
}

/// A comment that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommentRef {
    /// Number.
    pub id: CommentId,
    /// Address for people.
    pub url: String,
    /// True when it did not exist before.
    pub created: bool,
    /// Younger ones of ours that were deleted.
    pub deleted_duplicates: Vec<CommentId>,
    /// Login of its author, which is ours.
    pub author: String,
}

impl CommentRef {
    pub(super) fn new(comment: Comment) -> Self {
        Self {
            id: comment.id,
            url: comment.url,
            created: false,
            deleted_duplicates: Vec::new(),
            author: comment.author,
        }
    }
}

#[derive(Deserialize)]
struct Wire {
    id: CommentId,
    #[serde(default)]
    html_url: String,
    #[serde(default)]
    body: Option<String>,
    user: Option<Account>,
    #[serde(default)]
    created_at: Option<Timestamp>,
}

#[derive(Deserialize)]
struct Account {
    login: String,
}

#[derive(Deserialize)]
struct Viewed {
    data: Viewer,
}

#[derive(Deserialize)]
struct Viewer {
    viewer: Account,
}

impl From<Wire> for Comment {
    fn from(wire: Wire) -> Self {
        Self {
            id: wire.id,
            url: wire.html_url,
            body: wire.body.unwrap_or_default(),
            author: wire.user.map_or_else(|| "ghost".into(), |user| user.login),
            written: wire.created_at,
        }
    }
}

impl GitHub {
    /// The login that our comments have: the configured one, else what GitHub says of the token.
    ///
    /// Only GraphQL shows who an App's token is; only REST is open everywhere.
    pub async fn comment_author(&self, configured: Option<&str>) -> Result<String, GitHubError> {
        if let Some(login) = configured {
            return Ok(login.to_owned());
        }
        if let Some(login) = self.viewer().await? {
            return Ok(login);
        }
        let call = Call::get("/user".into(), OWNER, WRITE);
        match self.json::<Account>(&call).await {
            Ok(user) => Ok(user.login),
            // the token of a workflow has no user to show, and is always this one
            Err(GitHubError::Forbidden { .. } | GitHubError::NotFound { .. }) => {
                Ok(WORKFLOW_BOT.into())
            }
            Err(error) => Err(error),
        }
    }

    /// Who GraphQL says that the token is; none where it does not say.
    async fn viewer(&self) -> Result<Option<String>, GitHubError> {
        let query = json!({ "query": "query { viewer { login } }" });
        let call = Call::new(Method::POST, self.graphql(), OWNER, WRITE).with_body(query);
        match self.json::<Viewed>(&call.harmless()).await {
            Ok(Viewed { data }) => Ok(Some(data.viewer.login)),
            Err(
                error @ (GitHubError::RateLimited { .. }
                | GitHubError::GivenUp { .. }
                | GitHubError::Unauthorized { .. }
                | GitHubError::Untrusted { .. }
                | GitHubError::Unreachable { .. }),
            ) => Err(error),
            Err(error) => {
                tracing::debug!(%error, "GraphQL does not say whose token it is");
                Ok(None)
            }
        }
    }

    /// Finds the comments that begin with the marker and are by this author, oldest first.
    pub async fn find(
        &self,
        pr: PrNumber,
        marker: &Marker,
        author: &str,
    ) -> Result<Vec<Comment>, GitHubError> {
        Ok(self.standing(pr, marker, author).await?.0)
    }

    /// The same, and which comment of the pull request is its last, whoever wrote it.
    pub(super) async fn standing(
        &self,
        pr: PrNumber,
        marker: &Marker,
        author: &str,
    ) -> Result<(Vec<Comment>, Option<CommentId>), GitHubError> {
        let path = self.path(&format!("/issues/{pr}/comments?per_page=100"));
        let call = Call::get(
            path,
            format!("list the comments of #{pr}"),
            "pull-requests: read",
        );
        let begin = marker.to_string();
        let all = self.pages::<Wire>(call, MOST_PAGES).await?;
        let last = all.iter().map(|one| one.id).max();
        let mut ours: Vec<Comment> = all
            .into_iter()
            .map(Comment::from)
            .filter(|comment| {
                comment.body.starts_with(&begin) && comment.author.eq_ignore_ascii_case(author)
            })
            .collect();
        ours.sort_by_key(|comment| comment.id);
        ours.dedup_by_key(|comment| comment.id);
        Ok((ours, last))
    }

    /// The comments that were written or changed since a moment, oldest first: the first hundred of them, in one request.
    pub async fn recent(
        &self,
        pr: PrNumber,
        since: Timestamp,
    ) -> Result<Vec<Comment>, GitHubError> {
        let path = self.path(&format!(
            "/issues/{pr}/comments?per_page=100&since={since:.0}"
        ));
        let what = format!("read what was written of late on #{pr}");
        let recent: Vec<Wire> = self
            .json(&Call::get(path, what, "pull-requests: read"))
            .await?;
        Ok(recent.into_iter().map(Comment::from).collect())
    }

    /// Reads a comment; none when it was deleted.
    pub async fn read(&self, id: CommentId) -> Result<Option<Comment>, GitHubError> {
        let path = self.path(&format!("/issues/comments/{id}"));
        let call = Call::get(path, format!("read comment {id}"), "pull-requests: read");
        match self.json::<Wire>(&call).await {
            Ok(wire) => Ok(Some(wire.into())),
            Err(GitHubError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes the one comment of this marker, whose body must begin with it.
    ///
    /// With a `known` number it is edited at once; without, or when that one is gone, all comments are searched, the
    /// oldest of ours is edited and the younger ones are deleted.
    pub async fn upsert(
        &self,
        pr: PrNumber,
        marker: &Marker,
        author: &str,
        body: &str,
        known: Option<CommentId>,
    ) -> Result<CommentRef, GitHubError> {
        if let Some(id) = known
            && let Some(comment) = self.edit(pr, id, body).await?
        {
            return Ok(comment);
        }
        let found = self.find(pr, marker, author).await?;
        self.upsert_among(pr, (marker, author), body, found).await
    }

    /// The same where all that there are were found just now.
    pub async fn upsert_among(
        &self,
        pr: PrNumber,
        (marker, author): (&Marker, &str),
        body: &str,
        found: Vec<Comment>,
    ) -> Result<CommentRef, GitHubError> {
        if let Some(comment) = self.settle(pr, found, body, None).await? {
            return Ok(comment);
        }
        let created = self.create(pr, marker, author, body).await?;
        // the answer says who we really are: looking for anybody else would post anew in every run
        let ours = created.as_ref().map_or(author, |comment| &comment.author);
        if !ours.eq_ignore_ascii_case(author) {
            tracing::warn!(
                expected = author,
                author = ours,
                "our comments have another author: set `comment-author`"
            );
        }
        // two runs may both have found nothing
        let found = self.find(pr, marker, ours).await?;
        let settled = self.settle(pr, found, body, created.as_ref()).await?;
        let written = settled.or_else(|| created.map(CommentRef::new));
        written
            .map(|comment| CommentRef {
                created: true,
                ..comment
            })
            .ok_or_else(|| GitHubError::Unreadable {
                doing: format!("write a comment on #{pr}"),
                problem: "the comment is gone as soon as it is written".into(),
            })
    }

    /// Edits the oldest and deletes the others; none when there is nothing left to edit.
    async fn settle(
        &self,
        pr: PrNumber,
        found: Vec<Comment>,
        body: &str,
        created: Option<&Comment>,
    ) -> Result<Option<CommentRef>, GitHubError> {
        let mut written: Option<CommentRef> = None;
        for comment in found {
            if let Some(kept) = &mut written {
                self.delete(pr, comment.id).await?;
                kept.deleted_duplicates.push(comment.id);
                continue;
            }
            written = match created {
                Some(created) if created.id == comment.id => Some(CommentRef::new(comment)),
                _ => self.edit(pr, comment.id, body).await?,
            };
        }
        Ok(written)
    }

    /// Edits a comment; none when it was deleted.
    pub(super) async fn edit(
        &self,
        pr: PrNumber,
        id: CommentId,
        body: &str,
    ) -> Result<Option<CommentRef>, GitHubError> {
        let call = self.editing(pr, id, body);
        match self.json::<Wire>(&call).await {
            Ok(wire) => Ok(Some(CommentRef::new(wire.into()))),
            Err(GitHubError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The same by one request that is not repeated: what was read before may be old by then.
    pub async fn edit_once(
        &self,
        pr: PrNumber,
        id: CommentId,
        body: &str,
    ) -> Result<(), GitHubError> {
        match self.once(&self.editing(pr, id, body)).await {
            Err(GitHubError::NotFound { .. }) | Ok(_) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn editing(&self, pr: PrNumber, id: CommentId, body: &str) -> Call {
        let path = self.path(&format!("/issues/comments/{id}"));
        let doing = format!("edit our comment on #{pr}");
        Call::new(Method::PATCH, path, doing, WRITE).with_body(json!({ "body": body }))
    }

    /// Posts a comment once; when the answer leaves it open whether it was taken, the list tells, and the result is none.
    async fn create(
        &self,
        pr: PrNumber,
        marker: &Marker,
        author: &str,
        body: &str,
    ) -> Result<Option<Comment>, GitHubError> {
        let call = posting(self, pr, body);
        let mut tried = 0;
        loop {
            tried += 1;
            let error = match self.posted(&call).await {
                Ok(posted) => return Ok(Some(posted)),
                Err(error) => error,
            };
            let unsure = error.may_have_happened();
            if !unsure && !matches!(error, GitHubError::Unreachable { .. }) {
                return Err(error);
            }
            // the list is asked with patience, so that the next try comes after the disturbance
            if !self.find(pr, marker, author).await?.is_empty() {
                return Ok(None);
            }
            if tried == POSTS {
                return Err(error);
            }
            tracing::debug!(%error, "the comment has not arrived, posting it again");
        }
    }

    /// Sends what [`posting`] has made.
    pub(super) async fn posted(&self, call: &Call) -> Result<Comment, GitHubError> {
        self.json::<Wire>(call).await.map(Comment::from)
    }

    pub(super) async fn delete(&self, pr: PrNumber, id: CommentId) -> Result<(), GitHubError> {
        let path = self.path(&format!("/issues/comments/{id}"));
        let doing = format!("delete our duplicate comment on #{pr}");
        match self
            .ask(&Call::new(Method::DELETE, path, doing, WRITE))
            .await
        {
            // somebody else was faster
            Err(GitHubError::NotFound { .. }) | Ok(_) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// The request that posts a comment.
pub(super) fn posting(github: &GitHub, pr: PrNumber, body: &str) -> Call {
    let path = github.path(&format!("/issues/{pr}/comments"));
    let doing = format!("write a comment on #{pr}");
    Call::new(Method::POST, path, doing, WRITE).with_body(json!({ "body": body }))
}
