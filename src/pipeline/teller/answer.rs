//! Answers who gave a command that was not followed, in one sentence.
//! Where the comment is written anew it is a warning there; a diagnosis or a proof stays as it is, and the answer comes beside it.
//! There is one such answer at a time: what was answered before is history.

use super::Teller;
use crate::{
    pipeline::Failure,
    report::{self, Aside, Note},
};

impl Teller<'_> {
    /// Notes what is answered, wherever the next word goes.
    pub(in crate::pipeline) fn answer_with(&mut self, line: &str) {
        self.warn(line.to_owned());
        self.answer = Some(line.to_owned());
    }

    /// Says the answer, if there is one, in the comment that stands.
    pub(in crate::pipeline) async fn answer_beside(&mut self) -> Result<(), Failure> {
        let (Some(github), Some(cause)) = (&self.ports.github, self.answer.clone()) else {
            return Ok(());
        };
        let Some(found) = self.comment_so_far().await? else {
            return Ok(());
        };
        self.view.now = self.ports.now();
        self.view.note = Some(Note {
            cause,
            remedy: String::new(),
        });
        match report::with_aside(&found, Aside::Answer, &self.leaving())? {
            Some(body) if body != found => self.write(github, body).await,
            _ => Ok(()),
        }
    }
}
