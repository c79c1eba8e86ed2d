//! Keeps the call for an approval in the comment while other runs write there.
//! It stands there until the run that waits has begun or has ended; whoever else writes takes it along.
//! A plan writes it without a turn, so it is looked for again before a last word.

use super::Teller;
use crate::{names::State, report};

impl Teller<'_> {
    /// Notes what a comment of ours says of a commit that waits.
    pub(super) fn hears(&mut self, body: &str) {
        self.gate = report::gate(body).map(str::to_owned);
    }

    /// Says that this run deploys what nobody has planned: where a plan may come in between, its own commit would have been planned.
    pub(in crate::pipeline) fn unplanned(&mut self) {
        self.unplanned = self.ports.settings.sha.is_none();
    }

    /// Looks for a call that has come while this run was at work, where there may be one and the look is to be had.
    pub(super) async fn listen(&mut self) {
        let (Some(github), Some(id), false) = (&self.ports.github, self.known, self.unplanned)
        else {
            return;
        };
        if self.wrote.is_none() || github.takes_none_until().is_some() {
            return;
        }
        match github.read(id).await {
            Ok(found) => self.hears(&found.map_or_else(String::new, |found| found.body)),
            Err(error) => tracing::info!("who waits for approval is not looked for: {error}"),
        }
    }

    /// True while the call means something: its run has not begun, nobody has tried its commit, and it may still be.
    pub(super) fn waits_still(&self, gate: &str) -> bool {
        let tried = !matches!(
            self.view.state,
            State::NotDeployed
                | State::Removing
                | State::Stuck
                | State::Removed
                | State::Expired
                | State::Sleeping
                | State::Refused
                | State::ApprovalNeeded
        );
        let shown = self.view.sha.as_ref().filter(|_| tried);
        let mut over = self.ports.settings.sha.iter().chain(shown);
        !self.view.closed && !over.any(|sha| gate.contains(sha.as_str()))
    }
}
