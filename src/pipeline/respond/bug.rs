//! What is left to say after a bug of ours that no use case has caught.
//! It repairs nothing: the sweep looks what is true then.
//! A comment that promises nothing stays as it is.

use super::preview;
use crate::{
    pipeline::{
        Ending, Failure, Ports,
        desk::Desk,
        heap::heap,
        teller::{Audience, Teller},
    },
    trigger::Trigger,
};

/// A bug outside of what a use case does in its turn: the comment stays as it is, unless it says that this run is at work.
pub(super) async fn bug(ports: &Ports, trigger: &Trigger, audience: Audience<'_>) -> Ending {
    let failure = Failure::bug();
    match heap(|| taken_back(ports, trigger, audience)).await {
        Ok(Some(mut teller)) => teller.failed(failure).await,
        Ok(None) => Ending::failed(failure),
        Err(error) => {
            tracing::warn!(reason = %error.reason(), "the comment is left to the sweep: {}", error.line());
            Ending::failed(failure)
        }
    }
}

/// Who tells that this run is at work no more, where the ledger and the comment say that it is; the sweep looks what is true then.
async fn taken_back<'a>(
    ports: &'a Ports,
    trigger: &Trigger,
    audience: Audience<'a>,
) -> Result<Option<Teller<'a>>, Failure> {
    let (Some(request), Ok(cluster)) = (trigger.request(), ports.cluster()) else {
        return Ok(None);
    };
    let preview = preview(ports, request);
    let desk = Desk::new(ports, cluster, preview.clone(), false);
    let at_work = desk.record().await?.and_then(|(record, _)| record.active);
    let mut teller = Teller::open(ports, &preview, &request.repository.name, audience);
    if at_work.is_none_or(|one| one.run != ports.run) {
        return Ok(None);
    }
    if !teller.promises().await? && !teller.says_under_way().await? {
        return Ok(None);
    }
    desk.change(|record, _| record.speak_over()).await?;
    Ok(Some(teller))
}
