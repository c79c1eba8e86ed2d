//! What the ledger is told of the approval of a fork's commit.
//! It asks nobody who may approve and says nothing to people.
//! No turn is taken for it: a run at work must not keep a push from withdrawing an approval.

use super::{Desk, Failure};
use crate::{
    capacity::{self, Record},
    cluster::Step,
    names::CommitSha,
};

impl Desk<'_> {
    /// Notes that a maintainer has approved this commit, and so no other.
    pub(in crate::pipeline) async fn approve(
        &self,
        sha: &CommitSha,
        by: &str,
    ) -> Result<(), Failure> {
        self.change(|record, now| record.approve(sha, by, now))
            .await
            .map(|_| ())
    }

    /// Notes that the newest commit of a fork waits for approval, and so for no slot but one to wake up in; what is known of the preview then.
    pub(in crate::pipeline) async fn request_approval(
        &self,
        head: &CommitSha,
        asks: bool,
    ) -> Result<Record, Failure> {
        self.transact(|ledger, now| {
            let record = ledger.previews.entry(self.key.clone()).or_default();
            if record.approved() == Some(head) {
                return Step::Keep(record.clone());
            }
            record.request(head, asks, now);
            let record = record.clone();
            if !record.only_wakes() {
                capacity::leave(ledger, &self.key);
            }
            Step::Write(record)
        })
        .await
    }
}
