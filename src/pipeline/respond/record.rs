//! Leaves a record of how long a command took that is no deploy and no removal: those leave theirs where they end.
//! It counts what was done; what was refused, or overtaken, took no time that anybody could expect.
//! One key more by the merge patch that every run makes, once all is said.

use super::Story;
use crate::{
    metrics::Action,
    names::{ReasonCode, State},
    pipeline::{Ending, Failure, metrics},
};
use std::time::{Duration, Instant};

/// How commands end that have done what they were given for, but for those that leave a record by themselves.
const DONE: [ReasonCode; 11] = [
    ReasonCode::RolledBack,
    ReasonCode::Slept,
    ReasonCode::Woken,
    ReasonCode::Extended,
    ReasonCode::Pinned,
    ReasonCode::Unpinned,
    ReasonCode::LogsShown,
    ReasonCode::DiffShown,
    ReasonCode::CheckShown,
    ReasonCode::StatusShown,
    ReasonCode::HelpShown,
];

impl Story<'_> {
    /// Awaits what a command does, and leaves a record of how long that took.
    pub(super) async fn recorded(
        &self,
        action: Action,
        work: impl Future<Output = Result<Ending, Failure>>,
    ) -> Result<Ending, Failure> {
        let begun = Instant::now();
        let ending = Box::pin(work).await?;
        let failed = ending.failure.is_some();
        let done = DONE.contains(&ending.reason);
        let state = match action.is_a_word() {
            true => (done && !failed).then_some(State::Ready),
            false => ending.state.filter(|_| failed || done),
        };
        if let Some(state) = state {
            let run = metrics::Run {
                pr: self.request.pr,
                action,
                sha: None,
                first: false,
                took: begun.elapsed(),
                waited: Duration::ZERO,
            };
            metrics::leave(self.ports, self.request.repository.id, run, state, &ending).await;
        }
        Ok(ending)
    }
}
