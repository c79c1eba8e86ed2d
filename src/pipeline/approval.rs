//! Says on a pull request from a fork that its newest commit needs approval, and notes that it was said.
//! It approves nothing and deploys nothing; whoever calls it has seen that the commit may not run.
//! Strangers can push as often as they like: each push is one request, in the one comment.

use super::{Ending, Failure, Ports, desk::Desk, inspect, teller::Teller};
use crate::{
    capacity::{Ledger, Record},
    cluster::{Moment, Step},
    event::PullRequest,
    names::{CommitSha, PreviewKey, ReasonCode, State},
};

/// The one commit that a maintainer has approved, if that is so still; what cannot be read is not approved.
pub(super) async fn approved(
    ports: &Ports,
    preview: &PreviewKey,
) -> Result<Option<CommitSha>, Failure> {
    let key = preview.in_ledger();
    let seen = |ledger: &mut Ledger, _: Moment| {
        let record = ledger.previews.get(&key);
        Step::Keep(record.and_then(|record| record.approved().cloned()))
    };
    let name = ports.ledger(preview.repository);
    let found = ports.cluster()?.transact(&name, seen).await?;
    Ok(found.flatten())
}

/// Notes that a maintainer has approved this commit, and so no other.
pub(super) async fn approve(
    ports: &Ports,
    preview: &PreviewKey,
    sha: &CommitSha,
    by: &str,
) -> Result<(), Failure> {
    tracing::info!(pr = %preview.pr, sha = %sha, by, "approved");
    let desk = Desk::new(ports, ports.cluster()?, preview.clone(), false);
    desk.approve(sha, by).await
}

/// Notes that the newest commit waits for approval, which withdraws the approval of any other, and says so.
///
/// A request that has lapsed begins anew where somebody `asks`. While a run is at work the comment is that run's, and the
/// sweep says it later.
pub(super) async fn ask(
    ports: &Ports,
    preview: &PreviewKey,
    pull: &PullRequest,
    asks: bool,
    teller: &mut Teller<'_>,
) -> Result<Ending, Failure> {
    let head = &pull.head_sha;
    let desk = Desk::new(ports, ports.cluster()?, preview.clone(), false);
    let record = desk.request_approval(head, asks).await?;
    if record.approved() == Some(head) {
        let why = format!("commit {} is approved already", head.short());
        return Ok(Ending::quiet(None, ReasonCode::Unchanged, why));
    }
    let status = inspect::status(ports, preview).await?;
    if status.busy {
        return Ok(Ending::quiet(
            State::ApprovalNeeded,
            ReasonCode::ApprovalNeeded,
            "a run is at work on this preview; the next sweep says that the newest commit needs approval",
        ));
    }
    let ending = teller
        .status(&status, head, ReasonCode::ApprovalNeeded)
        .await;
    if !teller.unheard() {
        let seen = status.record.sequence;
        let told = |record: &mut Record, _| {
            record.told(head);
            // Whoever began meanwhile may have said its last word before this one.
            if record.sequence != seen {
                record.speak_over();
            }
        };
        desk.change(told).await?;
    }
    Ok(ending)
}
