//! Says in a comment that stands already what became of a newer commit, beside everything that it says.
//! It begins no comment and takes no words away; who calls it has made sure that no other run is writing.
//! A removal's proof and a word on the way are left alone: the one tells more, the other is about to change.

use super::{Teller, voice::heading};
use crate::{
    names::{CommitSha, State},
    pipeline::Failure,
    report::{self, Aside, Note},
    trigger::Denied,
};

impl Teller<'_> {
    /// True when there is a comment that could say more.
    pub(in crate::pipeline) async fn has_comment(&mut self) -> Result<bool, Failure> {
        let found = self.comment_so_far().await?;
        Ok(found.is_some_and(|body| self.takes_asides(&body)))
    }

    /// Says why the newest commit was not deployed, if there is a comment.
    pub(in crate::pipeline) async fn skipped(
        &mut self,
        head: &CommitSha,
        denied: &Denied,
    ) -> Result<(), Failure> {
        self.view.sha = Some(head.clone());
        self.view.note = Some(Note {
            cause: denied.cause.clone(),
            remedy: denied.remedy.clone(),
        });
        self.aside(Aside::Skipped).await.map(drop)
    }

    /// Says that the newest commit waits for the approval of its run, in a comment of its own if there is none.
    pub(in crate::pipeline) async fn awaits_gate(
        &mut self,
        head: &CommitSha,
    ) -> Result<(), Failure> {
        let Some(github) = &self.ports.github else {
            return Ok(());
        };
        self.view.sha = Some(head.clone());
        if self.comment_so_far().await?.is_some() {
            return self.aside(Aside::Gate).await.map(drop);
        }
        self.view.state = State::Pending;
        self.view.now = self.ports.now();
        self.view.note = Some(Note {
            cause: "is deployed once that is given.".into(),
            remedy: String::new(),
        });
        let view = self.leaving();
        let body = report::comment(&view, &self.marker)?;
        let body = report::with_aside(&body, Aside::Gate, &view)?.unwrap_or(body);
        self.write(github, body).await
    }

    /// Takes back that a commit waits for approval, where the comment says so; true when it did.
    pub(in crate::pipeline) async fn gate_ended(
        &mut self,
        sha: &CommitSha,
    ) -> Result<bool, Failure> {
        let (Some(github), Some(found)) = (&self.ports.github, self.comment_so_far().await?) else {
            return Ok(false);
        };
        if !report::awaits_gate(&found, sha) {
            return Ok(false);
        }
        self.view.sha = Some(sha.clone());
        self.view.now = self.ports.now();
        self.view.note = Some(Note {
            cause: "its run has ended, and nobody has approved it or the run has failed".into(),
            remedy: "push again or comment `/deploy`".into(),
        });
        // What was begun for the call alone promises nothing any more.
        let begun = heading(&found) == self.heading(State::Pending).as_deref();
        self.view.state = State::NotDeployed;
        let view = self.leaving();
        let body = match begun {
            true => report::comment(&view, &self.marker)?,
            false => found,
        };
        let body = report::with_aside(&body, Aside::Skipped, &view)?.unwrap_or(body);
        self.write(github, body).await.map(|()| true)
    }

    /// Adds the line to the comment; false when there is none that takes one.
    pub(super) async fn aside(&mut self, aside: Aside) -> Result<bool, Failure> {
        let Some(github) = &self.ports.github else {
            return Ok(false);
        };
        let found = self.comment_so_far().await?;
        let Some(found) = found.filter(|body| self.takes_asides(body)) else {
            return Ok(false);
        };
        self.view.now = self.ports.now();
        let view = self.leaving();
        match report::with_aside(&found, aside, &view)? {
            Some(body) if body == found => Ok(true),
            Some(body) => self.write(github, body).await.map(|()| true),
            None => Ok(false),
        }
    }

    /// Says in the comment of what is gone that no push brings it back any more; its proof stays.
    pub(super) async fn stays_gone(&mut self, found: &str) -> Result<(), Failure> {
        let Some(github) = &self.ports.github else {
            return Ok(());
        };
        self.view.now = self.ports.now();
        self.view.note = Some(Note {
            cause: self.asker.clone(),
            remedy: String::new(),
        });
        let view = self.leaving();
        match report::stays_gone(found, &view)? {
            Some(body) if body != found => self.write(github, body).await,
            _ => Ok(()),
        }
    }

    fn takes_asides(&self, body: &str) -> bool {
        !self.is_under_way(body) && !self.is_about_removal(body)
    }

    fn is_under_way(&self, body: &str) -> bool {
        [State::Deploying, State::Removing]
            .iter()
            .any(|state| heading(body) == self.heading(*state).as_deref())
    }

    /// True when the comment says that somebody is at work.
    pub(in crate::pipeline) async fn says_under_way(&mut self) -> Result<bool, Failure> {
        let found = self.comment_so_far().await?;
        Ok(found.is_some_and(|body| self.is_under_way(&body)))
    }
}
