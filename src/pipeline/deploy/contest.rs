//! Sees to it that of two previews which took one host at the same time only one is called ready.
//! It asks nothing where no route was made or changed.
//! Both look once their routes stand, so that at least one sees the other; who was seen and does not go was there first.

use super::{Stopped, Work, lock};
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
            self.settled();
            return Ok(false);
        }
        match self.look(plan, set, taken).await {
            Ok(Some(_)) => Ok(true),
            Ok(None) => {
                self.settled();
                Ok(false)
            }
            Err(failure) => Err(self.gives_way(failure).await),
        }
    }

    /// Waits until the younger preview has given way; one that does not was ready before it could see this one.
    pub(super) async fn outlasts(
        &self,
        plan: &Plan,
        set: &ManifestSet,
        taken: &Taken,
    ) -> Result<(), Stopped> {
        let until = Instant::now() + PATIENCE;
        loop {
            let failure = match self.look(plan, set, taken).await {
                Ok(None) => {
                    self.settled();
                    return Ok(());
                }
                Ok(Some(_)) if Instant::now() < until => {
                    sleep(POLL).await;
                    continue;
                }
                Ok(Some(failure)) | Err(failure) => failure,
            };
            return Err(self.gives_way(failure).await);
        }
    }

    /// Who else serves the hosts, as [`hosts::again`] says it; what cannot be looked at fails no deploy.
    async fn look(
        &self,
        plan: &Plan,
        set: &ManifestSet,
        taken: &Taken,
    ) -> Result<Option<Failure>, Failure> {
        match hosts::again(self.cluster, plan, set, taken).await {
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

    /// Takes the routes away at once, because the other preview waits for that.
    async fn gives_way(&self, failure: Failure) -> Stopped {
        self.loses().await;
        Stopped::Failed(failure)
    }

    /// Takes away what routes of this run stand beside another preview's.
    pub(super) async fn loses(&self) {
        let Some(contest) = lock(&self.notes).contest.clone() else {
            return;
        };
        if contest.settled {
            return;
        }
        match contest.lose(self.cluster).await {
            Ok(()) => self.settled(),
            Err(error) => self.ports.notice(format!(
                "routes of this preview may stand beside another one's: {error}; {}",
                error.remedy()
            )),
        }
    }

    /// Notes that nobody else serves the hosts, or that it is another run's to see to.
    pub(super) fn settled(&self) {
        if let Some(contest) = &mut lock(&self.notes).contest {
            contest.settled = true;
        }
    }
}
