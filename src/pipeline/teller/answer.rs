//! Answers who gave a command that was not followed, in one sentence.
//! Where the comment is written anew it is a warning there; a diagnosis or a proof stays as it is, and the answer comes beside it.
//! There is one such answer at a time: what was answered before is history.

use super::Teller;
use crate::{
    pipeline::Failure,
    report::{self, Aside, Note, StatusView},
};

impl Teller<'_> {
    /// Notes what is answered, wherever the next word goes.
    pub(in crate::pipeline) fn answer_with(&mut self, line: &str) {
        self.warn(line.to_owned());
        self.answer = Some(line.to_owned());
    }

    /// Says the answer, if there is one, in the comment that stands; false when none does.
    pub(in crate::pipeline) async fn answer_beside(&mut self) -> Result<bool, Failure> {
        let Some(cause) = self.answer.clone() else {
            return Ok(false);
        };
        self.view.note = Some(Note {
            cause,
            remedy: String::new(),
        });
        let answer =
            |view: &StatusView, found: &str| report::with_aside(found, Aside::Answer, view);
        self.interject(answer).await
    }
}
