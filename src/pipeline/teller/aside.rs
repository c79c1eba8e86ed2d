//! Says in a comment that stands already what became of a newer commit, beside everything that it says.
//! It takes no words away. Who has the turn leaves a removal's proof and a word on the way alone: the one tells more, the other is about to change.
//! A plan has no turn and knows nothing of the preview, so its lines stand beside everything.

use super::{Teller, voice::heading};
use crate::{
    names::{CommitSha, ReasonCode, State},
    pipeline::Failure,
    report::{self, ApprovalView, Aside, Note, ReportError, StatusView},
    trigger::{Denied, permission},
};

/// What a comment says that was begun for the call for an approval alone.
const BEGUN: &str = "is deployed once that is given.";

/// How often a line is put beside words that others write meanwhile.
const LOOKS: usize = 4;

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
        self.view.sha = Some(head.clone());
        let gate = |view: &StatusView, found: &str| report::with_aside(found, Aside::Gate, view);
        if self.interject(gate).await? {
            return Ok(());
        }
        self.view.note = Some(Note {
            cause: BEGUN.into(),
            remedy: String::new(),
        });
        self.begin_with(State::Pending, Some(Aside::Gate)).await
    }

    /// Takes back that a commit waits for approval, where the comment says so; true when it did.
    pub(in crate::pipeline) async fn gate_ended(
        &mut self,
        sha: &CommitSha,
        why: Note,
    ) -> Result<bool, Failure> {
        self.view.sha = Some(sha.clone());
        self.view.note = Some(why);
        self.view.state = State::NotDeployed;
        let marker = self.marker.clone();
        let ended = |view: &StatusView, found: &str| {
            if !report::awaits_gate(found, sha) {
                return Ok(None);
            }
            // What was begun for the call alone promises nothing any more.
            let begun = found.contains(BEGUN);
            let found = match begun {
                true => report::comment(view, &marker)?,
                false => found.to_owned(),
            };
            report::with_aside(&found, Aside::Skipped, view)
        };
        self.interject(ended).await
    }

    /// Answers a command that no run follows, beside what the comment says of the preview.
    pub(in crate::pipeline) async fn replies(&mut self, denied: &Denied) -> Result<(), Failure> {
        self.answer = Some(denied.to_string());
        if self.answer_beside().await? {
            return Ok(());
        }
        self.view.note = Some(Note {
            cause: denied.cause.clone(),
            remedy: denied.remedy.clone(),
        });
        let state = match denied.reason {
            ReasonCode::NotACommand => State::NotDeployed,
            ReasonCode::ApprovalNeeded => State::ApprovalNeeded,
            _ => State::Refused,
        };
        self.view.approval = (state == State::ApprovalNeeded).then(|| ApprovalView {
            approvers: permission::approvers(self.ports.settings.min_permission),
            lapsed: false,
            live: false,
            before: None,
        });
        self.begin_with(state, None).await
    }

    /// Begins the comment where there is none.
    async fn begin_with(&mut self, state: State, aside: Option<Aside>) -> Result<(), Failure> {
        let Some(github) = &self.ports.github else {
            return Ok(());
        };
        self.view.state = state;
        self.view.now = self.ports.now();
        let view = self.leaving();
        let mut body = report::comment(&view, &self.marker)?;
        if let Some(aside) = aside {
            body = report::with_aside(&body, aside, &view)?.unwrap_or(body);
        }
        self.write(github, body).await
    }

    /// Changes lines of the comment without having its turn: what stands there is read directly before, and again behind it,
    /// so that whoever wrote meanwhile keeps all words; false when there is nothing that could be changed.
    pub(super) async fn interject(
        &mut self,
        change: impl Fn(&StatusView, &str) -> Result<Option<String>, ReportError>,
    ) -> Result<bool, Failure> {
        let Some(github) = &self.ports.github else {
            return Ok(false);
        };
        self.view.now = self.ports.now();
        let view = self.leaving();
        let (mut said, mut lost) = (false, None);
        for _ in 0..LOOKS {
            let Some(found) = self.stands(github).await? else {
                break;
            };
            let Some(body) = change(&view, &found)? else {
                // Nothing is left to change: what seemed lost has come.
                lost = None;
                break;
            };
            if body.trim_end() == found.trim_end() {
                return Ok(true);
            }
            // Reading all comments may take long, and what came meanwhile would be written over unseen.
            if let Some(id) = self.known
                && github.read(id).await?.is_none_or(|now| now.body != found)
            {
                continue;
            }
            lost = match self.known {
                Some(id) => github.edit_once(self.preview.pr, id, &body).await.err(),
                None => self.write(github, body).await.map(|()| None)?,
            };
            said = true;
            if lost
                .as_ref()
                .is_some_and(|error| error.reason() != ReasonCode::GithubUnreachable)
            {
                break;
            }
        }
        lost.map_or(Ok(said), |error| Err(error.into()))
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
