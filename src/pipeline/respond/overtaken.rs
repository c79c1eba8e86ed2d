//! Ends a request whose commit is not the newest, or none of the pull request's, and says so where nobody else would.
//! It deploys nothing: what was built or approved was another commit.
//! The push that came between has a run of its own, unless automatic deploys are off or a filter keeps it back.

use super::{Story, quiet};
use crate::{
    event::PullRequest,
    names::{ReasonCode, State},
    pipeline::{Ending, Failure, filter},
    trigger::{Commit, Denied},
};

impl Story<'_> {
    /// Says that the commit which a plan or somebody has named was not deployed, and why; any other refusal is told as ever.
    pub(super) async fn overtaken(
        &self,
        pull: &PullRequest,
        denied: Denied,
    ) -> Result<Ending, Failure> {
        let followed =
            self.request.asked.is_event() || filter::lets_pushes_come(self.ports, pull).await;
        let remedy = match &self.request.commit {
            Commit::Named(_) if denied.reason == ReasonCode::CommitUnknown => &denied.remedy,
            _ if denied.reason != ReasonCode::Superseded => {
                return self.denied(pull, denied).await;
            }
            Commit::Planned(_) if !followed => "comment `/deploy` to deploy that one",
            Commit::Named(_) => &denied.remedy,
            Commit::Planned(_) | Commit::Payload(_) | Commit::Head => return Ok(quiet(denied)),
        };
        let line = format!("nothing was deployed: {}; {remedy}", denied.cause);
        let mut teller = self.teller(&pull.head_sha, pull.open);
        teller.answer_with(&line);
        let mut ending = self.show(pull, &mut teller).await?;
        if ending.failure.is_none() && denied.reason == ReasonCode::Superseded {
            ending.state = Some(State::Superseded);
        }
        Ok(ending.because(denied.reason).answering(line))
    }
}
