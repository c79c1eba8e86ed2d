//! What becomes of the newer commit when two runs have stopped for each other.
//! It deploys at most once more: whoever pushes after that has a run that comes after this one.
//! Turns are in the order in which runs ask for them, which need not be the order of their commits.

use super::{Story, filter, governed};
use crate::{
    names::ReasonCode,
    pipeline::{Ending, Failure, deploy, request::Word},
    trigger::permission,
};

impl Story<'_> {
    /// Deploys the newest commit in the place of its own run, which has stopped because this one came after it, or has ended.
    pub(super) async fn in_its_place(&self, ending: Ending) -> Ending {
        let over = ending.reason == ReasonCode::Superseded && !self.ports.stop.is_cancelled();
        if !over || !self.ports.settings.deploys_pushes() {
            return ending;
        }
        let now = async { Ok::<_, Failure>(self.ports.github()?.pull(self.request.pr).await?) };
        let pull = match now.await {
            Ok(pull) => pull,
            Err(failure) => {
                tracing::warn!(reason = %failure.reason(), "the sweep deploys the newest commit: {}", failure.line());
                return ending;
            }
        };
        if permission::may_deploy(&pull, None).is_err() {
            return ending;
        }
        if let Some(denied) = filter::keeps_back(self.ports, &pull).await {
            tracing::info!(sha = %pull.head_sha, "the newest commit is kept back: {denied}");
            return ending;
        }
        tracing::info!(sha = %pull.head_sha, "its own run came before this one, so this one deploys it");
        let word = Word::Missed {
            governs: governed(self.trigger),
        };
        let basis = super::basis(self.ports, &self.request.repository, self.caller);
        let (request, sources) = basis.request(word, pull.head_sha.clone(), &pull);
        let mut teller = self.teller(&pull.head_sha, pull.open);
        Box::pin(deploy(self.ports, &request, &sources, &mut teller)).await
    }
}
