//! Sees to it that of two previews which took one host at the same time only one is called ready.
//! It asks nothing where no route was made or changed.
//! Both look once their routes stand, so that at least one sees the other; who was seen and does not go was there first.

use super::{Stopped, Work};
use crate::{
    cluster::outcome::{Applied, Change},
    manifests::ManifestSet,
    names::ReasonCode,
    pipeline::{Failure, desk::Taken, hosts},
    plan::Plan,
};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long a younger preview is waited for once this one is ready: it gives way as soon as it has looked.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often is looked meanwhile.
const POLL: Duration = Duration::from_millis(250);

impl Work<'_> {
    /// True when a younger preview serves one of the hosts too and has to give way; fails where this one has to.
    pub(super) async fn alone(
        &self,
        plan: &Plan,
        set: &ManifestSet,
        taken: &Taken,
        applied: &[Applied],
    ) -> Result<bool, Stopped> {
        let route = |one: &Applied| one.is_route() && one.change != Change::Unchanged;
        if !applied.iter().any(route) {
            return Ok(false);
        }
        match self.look(plan, set).await {
            Ok(rival) => Ok(rival.is_some()),
            Err(failure) => Err(self.gives_way(plan, taken, applied, failure).await),
        }
    }

    /// Waits until the younger preview has given way; one that does not was ready before it could see this one.
    pub(super) async fn outlasts(
        &self,
        plan: &Plan,
        set: &ManifestSet,
        taken: &Taken,
        applied: &[Applied],
    ) -> Result<(), Stopped> {
        let until = Instant::now() + PATIENCE;
        loop {
            let failure = match self.look(plan, set).await {
                Ok(None) => return Ok(()),
                Ok(Some(_)) if Instant::now() < until => {
                    sleep(POLL).await;
                    continue;
                }
                Ok(Some(failure)) | Err(failure) => failure,
            };
            return Err(self.gives_way(plan, taken, applied, failure).await);
        }
    }

    /// Who else serves the hosts, as [`hosts::again`] says it; what cannot be looked at fails no deploy.
    async fn look(&self, plan: &Plan, set: &ManifestSet) -> Result<Option<Failure>, Failure> {
        match hosts::again(self.cluster, plan, set).await {
            Err(failure) if failure.reason() != ReasonCode::HostTaken => {
                self.ports.notice(format!(
                    "whether something else serves the hosts of namespace {} was not looked at again: {}",
                    plan.namespace,
                    failure.line()
                ));
                Ok(None)
            }
            looked => looked,
        }
    }

    /// Takes the routes away, so that visitors get the other preview only; of what was ready before only those that are new.
    async fn gives_way(
        &self,
        plan: &Plan,
        taken: &Taken,
        applied: &[Applied],
        failure: Failure,
    ) -> Stopped {
        let gone = |one: &&Applied| match one.change {
            Change::Created => true,
            Change::Unchanged => false,
            _ => !taken.record.was_ready(),
        };
        let gone = applied.iter().filter(|one| one.is_route()).filter(gone);
        if let Err(error) = self.cluster.withdraw(&plan.namespace, gone).await {
            self.ports.notice(format!(
                "the routes of namespace {} stand beside another preview's: {error}; {}",
                plan.namespace,
                error.remedy()
            ));
        }
        Stopped::Failed(failure)
    }
}
