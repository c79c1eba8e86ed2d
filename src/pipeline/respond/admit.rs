//! The gate that only events pass: what the filters keep back is not deployed by itself.
//! It asks nobody who has given a command, and nothing of what is closed or has moved on already.
//! Before the approval of forks, so that nobody is asked to approve what would not be deployed.

use super::{Story, filter};
use crate::{
    event::PullRequest,
    pipeline::{Ending, Failure},
    trigger::Trigger,
};

impl Story<'_> {
    /// Lets through what no filter keeps back; else how the run ends.
    pub(super) async fn admit(&self, pull: &PullRequest) -> Result<(), Ending> {
        if !self.by_itself(pull) {
            return Ok(());
        }
        let Some(denied) = filter::keeps_back(self.ports, pull).await else {
            return Ok(());
        };
        let mut teller = self.teller(&pull.head_sha, pull.open);
        let head = &pull.head_sha;
        Err(filter::skipped(self.ports, &self.preview(), head, &denied, &mut teller).await)
    }

    /// True when nobody asked, and the commit is the newest of an open pull request.
    pub(super) fn by_itself(&self, pull: &PullRequest) -> bool {
        let current = self
            .request
            .commit
            .pin(pull)
            .is_ok_and(|sha| sha == pull.head_sha);
        let deploys = matches!(self.trigger, Trigger::Deploy(_) | Trigger::Announce(_));
        deploys && self.request.asked.is_event() && pull.open && current
    }

    /// The pull request if who asked may ask, no filter keeps it back and its newest commit may have a preview; else how the run ends.
    pub(super) async fn admitted(
        &self,
        pull: PullRequest,
    ) -> Result<Result<PullRequest, Ending>, Failure> {
        if let Err(ending) = self.admit(&pull).await {
            return Ok(Err(ending));
        }
        Ok(self.gate(&pull).await?.map(|()| pull))
    }
}
