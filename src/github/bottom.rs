//! Writes our comment below all others: posts it anew, and deletes the old one only once the new one was read back.
//! It does not know what stands in them; a comment that is the last one already is only edited, because a new one notifies people.
//! Whatever is lost on the way, one of both stays, and whoever comes next finds both and keeps one.

use super::{
    Comment, CommentId, CommentRef, GitHub, GitHubError,
    comments::{POSTS, posting},
};
use crate::names::{Marker, PrNumber};

impl GitHub {
    /// Writes the one comment of this marker, whose body must begin with it, as the last one of its pull request.
    pub async fn lower(
        &self,
        pr: PrNumber,
        marker: &Marker,
        author: &str,
        body: &str,
    ) -> Result<CommentRef, GitHubError> {
        let (ours, last) = self.standing(pr, marker, author).await?;
        let Some((youngest, others)) = ours.split_last() else {
            return self.upsert(pr, marker, author, body, None).await;
        };
        if last == Some(youngest.id) {
            let Some(written) = self.edit(pr, youngest.id, body).await? else {
                return self.upsert(pr, marker, author, body, None).await;
            };
            return self.alone(pr, written, others).await;
        }
        let posted = self.post_below(pr, marker, author, body, &ours).await?;
        let begin = marker.to_string();
        let there = self.read(posted.id).await?;
        if !there.is_some_and(|there| there.body.starts_with(&begin)) {
            return self.upsert(pr, marker, author, body, None).await;
        }
        let mut written = CommentRef::new(posted);
        written.created = true;
        self.alone(pr, written, &ours).await
    }

    /// Deletes the others.
    async fn alone(
        &self,
        pr: PrNumber,
        mut written: CommentRef,
        others: &[Comment],
    ) -> Result<CommentRef, GitHubError> {
        for other in others {
            self.delete(pr, other.id).await?;
            written.deleted_duplicates.push(other.id);
        }
        Ok(written)
    }

    /// Posts a comment once; when the answer leaves it open whether it was taken, the list tells.
    async fn post_below(
        &self,
        pr: PrNumber,
        marker: &Marker,
        author: &str,
        body: &str,
        before: &[Comment],
    ) -> Result<Comment, GitHubError> {
        let call = posting(self, pr, body);
        let known = |id: CommentId| before.iter().any(|old| old.id == id);
        let mut tried = 0;
        loop {
            tried += 1;
            let error = match self.posted(&call).await {
                Ok(posted) => return Ok(posted),
                Err(error) => error,
            };
            let unsure = error.may_have_happened();
            if !unsure && !matches!(error, GitHubError::Unreachable { .. }) {
                return Err(error);
            }
            let (ours, _) = self.standing(pr, marker, author).await?;
            if let Some(arrived) = ours.into_iter().rfind(|one| !known(one.id)) {
                return Ok(arrived);
            }
            if tried == POSTS {
                return Err(error);
            }
            tracing::debug!(%error, "the comment has not arrived, posting it again");
        }
    }
}
