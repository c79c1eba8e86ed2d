//! Writes the one comment: finds it, keeps pace, says the last word and reads it back.
//! What stands there is the teller's to know.
//! Where the ledger has the comment is only a hint, which is looked at before it is followed: a wrong one must never cost somebody else's words.

use super::Teller;
use crate::{
    capacity::Said,
    github::{Comment, CommentId, GitHub, GitHubError},
    inputs::{CommentMode, CommentPosition},
    names::State,
    pipeline::Failure,
    report::{self, StatusView},
};
use std::time::Duration;
use tokio::time::Instant;

/// The comment is edited no more often than this, but for the last word.
const PACE: Duration = Duration::from_secs(5);

impl Teller<'_> {
    /// True when the comment would say something new.
    pub(in crate::pipeline) fn has_news(&self) -> bool {
        self.ports.github.is_some()
            && self
                .body()
                .is_ok_and(|body| self.written.as_deref() != Some(body.as_str()))
    }

    /// The view as it may leave: before rendering, because an escaped secret would not be found any more.
    pub(super) fn leaving(&self) -> StatusView {
        let redactor = self.ports.redaction.snapshot();
        self.view.clone().redacted(&redactor).spelled()
    }

    fn body(&self) -> Result<String, Failure> {
        let body = report::comment(&self.leaving(), &self.marker)?;
        let gate = self.gate.as_deref().filter(|gate| self.waits_still(gate));
        Ok(gate.map_or_else(|| body.clone(), |gate| report::with_gate(&body, gate)))
    }

    /// Writes the comment; the caller has just made sure that this run has the word.
    pub(in crate::pipeline) async fn tell(&mut self, state: State) -> Result<(), Failure> {
        self.show(state);
        self.view.now = self.ports.now();
        let Some(github) = &self.ports.github else {
            return Ok(());
        };
        self.recall(github).await?;
        if self.known.is_none() && !self.moves && self.begins() {
            let found = self.ours(github).await?;
            self.hears(found.last().map_or("", |last| &last.body));
            self.found = Some(found);
        }
        let body = self.body()?;
        if self.written.as_deref() == Some(body.as_str()) {
            self.found = None;
            return Ok(());
        }
        self.write(github, body).await
    }

    /// True when a word on the way would say something new, is not too soon, and leaves GitHub enough for the last one.
    pub(in crate::pipeline) fn may_mention(&self) -> bool {
        let soon = |wrote: Instant| wrote.elapsed() < PACE;
        let scarce = |github: &GitHub| github.takes_none_until().is_some();
        !self.wrote.is_some_and(soon)
            && !self.ports.github.as_ref().is_some_and(scarce)
            && self.has_news()
    }

    /// Says a word on the way; the preview is none the worse for a comment that lags behind.
    pub(in crate::pipeline) async fn mention(&mut self, state: State) {
        self.show(state);
        if !self.may_mention() {
            return;
        }
        if let Err(failure) = self.tell(state).await {
            tracing::warn!(reason = %failure.reason(), "the comment lags behind: {}", failure.line());
        }
    }

    /// The comment that this run has written.
    pub(in crate::pipeline) fn said_in(&self) -> Option<Said> {
        let author = self.author.clone()?;
        self.known.map(|id| Said { id: id.0, author })
    }

    /// Follows the hint if it leads to a comment of ours.
    async fn recall(&mut self, github: &GitHub) -> Result<(), Failure> {
        // Whoever moves it looks at all that stand there anyway.
        let usable = self.known.is_none() && !self.several && !self.moves;
        let Some(hint) = self.hint.take().filter(|_| usable) else {
            return Ok(());
        };
        let wanted = self.ports.settings.comment_author.as_ref();
        if wanted.is_some_and(|wanted| !wanted.eq_ignore_ascii_case(&hint.author)) {
            return Ok(());
        }
        let found = github.read(CommentId(hint.id)).await?;
        let begin = self.marker.to_string();
        let ours = |found: &Comment| {
            found.body.starts_with(&begin) && found.author.eq_ignore_ascii_case(&hint.author)
        };
        if let Some(found) = found.filter(ours) {
            self.hears(&found.body);
            self.known = Some(CommentId(hint.id));
            self.author = Some(hint.author);
        }
        Ok(())
    }

    pub(super) async fn write(&mut self, github: &GitHub, body: String) -> Result<(), Failure> {
        self.recall(github).await?;
        if self.known.is_none() && !self.begins() && !self.finds(github).await? {
            self.written = Some(body);
            return Ok(());
        }
        let found = self.found.take().filter(|_| self.known.is_none());
        self.wrote = Some(Instant::now());
        let author = self.author(github).await?;
        let (pr, marker) = (self.preview.pr, &self.marker);
        let reference = match (self.moves, found) {
            (true, _) => github.lower(pr, marker, &author, &body).await?,
            (false, Some(found)) => {
                let ours = (marker, author.as_str());
                github.upsert_among(pr, ours, &body, found).await?
            }
            (false, None) => {
                github
                    .upsert(pr, marker, &author, &body, self.known)
                    .await?
            }
        };
        self.moves = false;
        self.known = Some(reference.id);
        // GitHub may not say who we are before we have posted.
        self.author = Some(reference.author);
        self.comment_url = Some(reference.url);
        self.written = Some(body);
        Ok(())
    }

    /// True when what there is to say is worth a comment where there is none.
    fn begins(&self) -> bool {
        let needs_a_person = matches!(
            self.view.state,
            State::Failed | State::Degraded | State::Stuck | State::Refused | State::ApprovalNeeded
        );
        match self.ports.settings.comment {
            CommentMode::Sticky => true,
            CommentMode::OnFailure => self.answers || needs_a_person,
            CommentMode::Off => self.answers,
        }
    }

    /// True when whoever is at work keeps a comment true: each run begins one, or one stands there.
    pub(in crate::pipeline) async fn is_kept_true(&mut self) -> Result<bool, Failure> {
        let sticky = self.ports.settings.comment == CommentMode::Sticky;
        Ok(sticky || self.comment_so_far().await?.is_some())
    }

    /// True when there is a comment although none would be begun: it is kept true.
    async fn finds(&mut self, github: &GitHub) -> Result<bool, Failure> {
        if !self.looked {
            let found = self.ours(github).await?;
            self.known = found.first().map(|comment| comment.id);
            self.looked = true;
        }
        Ok(self.known.is_some())
    }

    /// Comments of ours, the oldest first; who wants none may have given no right to read them.
    async fn ours(&mut self, github: &GitHub) -> Result<Vec<Comment>, Failure> {
        let author = self.author(github).await?;
        let found = github.find(self.preview.pr, &self.marker, &author).await;
        let off = self.ports.settings.comment == CommentMode::Off;
        match found {
            Err(GitHubError::Forbidden { .. } | GitHubError::NotFound { .. }) if off => {
                Ok(Vec::new())
            }
            found => Ok(found?),
        }
    }

    /// What stands in the comment at this moment; the next word edits exactly that one.
    pub(super) async fn stands(&mut self, github: &GitHub) -> Result<Option<String>, Failure> {
        let found = self.ours(github).await?;
        if let [one] = found.as_slice() {
            self.known = Some(one.id);
        }
        Ok(found.into_iter().next_back().map(|comment| comment.body))
    }

    /// Says that somebody asked to be told, also where no comment is begun otherwise.
    pub(in crate::pipeline) fn answers(&mut self) {
        self.answers = true;
    }

    /// Says that the comment is to stand below all others from the next word on, if it is to be moved at all.
    pub(in crate::pipeline) fn moves(&mut self) {
        self.moves = self.ports.settings.comment_position == CommentPosition::Bottom;
    }

    pub(super) async fn author(&mut self, github: &GitHub) -> Result<String, Failure> {
        if let Some(author) = &self.author {
            return Ok(author.clone());
        }
        let author = github
            .comment_author(self.ports.settings.comment_author.as_deref())
            .await?;
        self.author = Some(author.clone());
        Ok(author)
    }

    /// Writes the last word, reads it back, and writes it again if an older run wrote over it meanwhile.
    pub(super) async fn last_word(&mut self, state: State) -> Result<(), Failure> {
        self.view.took = Some(self.begun.elapsed());
        self.listen().await;
        self.tell(state).await?;
        if let (Some(github), Some(id), Some(body)) =
            (&self.ports.github, self.known, self.written.clone())
        {
            let found = github.read(id).await?;
            // GitHub may change line ends and trailing blanks; nobody else's word looks like ours otherwise.
            if !found.as_ref().is_some_and(|found| same(&found.body, &body)) {
                if self.newest().await {
                    tracing::warn!(
                        "another run wrote the comment after this one; writing it again"
                    );
                    self.hears(&found.map_or_else(String::new, |found| found.body));
                    let body = self.body()?;
                    self.write(github, body).await?;
                } else {
                    tracing::info!("a newer run has written the comment, and its word counts");
                }
            }
        }
        Ok(())
    }

    /// False when the ledger knows a newer run; without a ledger nobody can say, and then ours is the last word known.
    async fn newest(&self) -> bool {
        let Ok(cluster) = self.ports.cluster() else {
            return true;
        };
        let name = self.ports.ledger(self.preview.repository);
        match cluster.read_ledger(&name).await {
            Ok(Some(ledger)) => ledger
                .previews
                .get(&self.preview.in_ledger())
                .and_then(|record| record.newest.as_ref())
                .is_none_or(|newest| *newest == self.ports.run),
            Ok(None) | Err(_) => true,
        }
    }

    /// True when somebody else has written the comment since this run did.
    pub(in crate::pipeline) async fn overwritten(&self) -> bool {
        let (Some(github), Some(id), Some(body)) = (&self.ports.github, self.known, &self.written)
        else {
            return false;
        };
        match github.read(id).await {
            Ok(found) => !found.is_some_and(|found| same(&found.body, body)),
            Err(_) => false,
        }
    }

    pub(in crate::pipeline) async fn comment_so_far(&mut self) -> Result<Option<String>, Failure> {
        let Some(github) = &self.ports.github else {
            return Ok(None);
        };
        let found = self.ours(github).await?;
        // What led to one of several is no help to find all of them, of which one is kept.
        self.several |= found.len() > 1;
        let body = found.into_iter().next_back().map(|comment| comment.body);
        self.hears(body.as_deref().unwrap_or_default());
        Ok(body)
    }

    /// True when the comment says that something is under way.
    pub(in crate::pipeline) async fn promises(&mut self) -> Result<bool, Failure> {
        let Some(body) = self.comment_so_far().await? else {
            return Ok(false);
        };
        let under_way = [State::Pending, State::Deploying]
            .iter()
            .any(|state| heading(&body) == self.heading(*state).as_deref());
        let restoring = heading(&body).is_some_and(|line| line.ends_with("Preview restoring"));
        Ok(under_way || restoring)
    }

    /// True when the comment names a place in line.
    pub(in crate::pipeline) async fn says_queued(&mut self) -> Result<bool, Failure> {
        let found = self.comment_so_far().await?;
        let queued =
            |body: String| heading(&body).is_some_and(|line| line.contains("Preview queued"));
        Ok(found.is_some_and(queued))
    }

    /// True when the comment says that the preview was removed, is being removed or cannot be.
    pub(in crate::pipeline) async fn says_removed(&mut self) -> Result<bool, Failure> {
        let found = self.comment_so_far().await?;
        Ok(found.is_some_and(|body| self.is_about_removal(&body)))
    }

    /// True when the comment says that the Namespace does not go.
    pub(in crate::pipeline) async fn says_stuck(&mut self) -> Result<bool, Failure> {
        Ok(self.says_one_of(&[State::Stuck]).await?.is_some())
    }

    pub(super) fn is_about_removal(&self, body: &str) -> bool {
        let ways = [
            State::Removed,
            State::Expired,
            State::Removing,
            State::Stuck,
        ];
        self.says(body, &ways).is_some()
    }

    /// The one of these states that the comment is about.
    pub(super) async fn says_one_of(&mut self, states: &[State]) -> Result<Option<State>, Failure> {
        let found = self.comment_so_far().await?;
        Ok(found.and_then(|body| self.says(&body, states)))
    }

    pub(super) fn says(&self, body: &str, states: &[State]) -> Option<State> {
        let about = |state: &&State| heading(body) == self.heading(**state).as_deref();
        states.iter().find(about).copied()
    }

    /// The heading that the comment has in a state.
    pub(super) fn heading(&self, state: State) -> Option<String> {
        let view = StatusView {
            state,
            ..self.view.clone()
        };
        heading(&report::comment(&view, &self.marker).ok()?).map(str::to_owned)
    }
}

pub(super) fn heading(body: &str) -> Option<&str> {
    body.lines().find(|line| line.starts_with('#'))
}

/// True when they differ in nothing but lines that others add.
fn same(found: &str, written: &str) -> bool {
    let (found, written) = (
        report::without_asides(found),
        report::without_asides(written),
    );
    found
        .lines()
        .map(str::trim_end)
        .eq(written.trim_end().lines().map(str::trim_end))
}
