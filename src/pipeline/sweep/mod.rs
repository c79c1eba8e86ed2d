//! The scheduled pass: looks at everything once, plans what is to be done, does it, and sums up.
//! It decides per preview by what GitHub, the Namespace and the ledger say now, never by what an event once said.
//! What it cannot prove finished it keeps: an unreadable pull request is no closed one.

mod plan;

use super::{
    Ending, Exit, Failure, Ports, desk,
    remove::{RemoveRequest, remove},
    sleep::Bed,
    teller::Teller,
};
use crate::{
    capacity::Ledger,
    cluster::{ClusterError, Moment, NamespaceInfo, Step},
    event::{PullRequest, Repository},
    names::{Namespace, PrNumber, PreviewKey, ReasonCode},
};
use futures::{StreamExt, stream};
use plan::{Action, Sight, Task};
use std::collections::BTreeMap;

/// How much is done at once: one preview that is stuck must not keep the others waiting.
const ABREAST: usize = 4;

/// What the sweep did with one preview.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Swept {
    /// Pull request.
    pub pr: PrNumber,
    /// Namespace.
    pub namespace: Namespace,
    /// What was done.
    pub action: &'static str,
    /// Why.
    pub reason: String,
    /// How that went.
    pub ending: ReasonCode,
}

/// Sweeps one repository and environment.
pub async fn sweep(ports: &Ports, repository: &Repository) -> Result<Ending, Failure> {
    let sight = look(ports, repository).await?;
    let broom = Broom {
        ports,
        repository,
        sight: &sight,
    };
    let endings: Vec<(Swept, Ending)> = stream::iter(sight.tasks())
        .map(|task| broom.act(task))
        .buffer_unordered(ABREAST)
        .collect()
        .await;
    Ok(summed_up(endings))
}

/// One ending for all: every failure is told, and the first one decides the exit code.
fn summed_up(mut endings: Vec<(Swept, Ending)>) -> Ending {
    endings.sort_by_key(|(swept, _)| swept.pr);
    let (mut failed, mut cancelled): (Option<Failure>, _) = (None, false);
    for (_, ending) in &endings {
        cancelled |= ending.exit == Exit::Cancelled;
        match (&mut failed, &ending.failure) {
            (Some(failed), Some(more)) => failed.causes.extend(more.causes.iter().cloned()),
            (None, Some(first)) => failed = Some(first.clone()),
            (_, None) => {}
        }
    }
    let mut ending = match failed {
        Some(failure) => Ending::failed(failure),
        None if cancelled => Ending::cancelled(),
        None => Ending::swept(endings.len()),
    };
    ending.swept = endings.into_iter().map(|(swept, _)| swept).collect();
    ending
}

/// Looks at everything once: one list of open pull requests, one of Namespaces, the ledger; then at what is in doubt.
async fn look<'a>(ports: &'a Ports, repository: &'a Repository) -> Result<Sight<'a>, Failure> {
    let (cluster, github) = (ports.cluster()?, ports.github()?);
    let name = ports.ledger(repository.id);
    let selector = desk::selector(&name);
    let seen = |ledger: &mut Ledger, moment: Moment| Step::Keep((ledger.clone(), moment.now));
    let (found, open, ledger) = tokio::join!(
        cluster.list_namespaces(&selector),
        github.open_pulls(),
        cluster.transact(&name, seen)
    );
    let namespaces = found?
        .into_iter()
        .filter_map(|info| Some((preview(ports, repository, &info)?, info)))
        .collect();
    let begun = || {
        let capacity = ports.settings.max_previews;
        (Ledger::empty(capacity), jiff::Timestamp::now())
    };
    let ledger = match ledger {
        Err(ClusterError::LedgerCorrupt { problem, .. }) => {
            desk::mend(ports, cluster, &name, &problem).await?;
            cluster.transact(&name, seen).await?
        }
        other => other?,
    };
    let (ledger, now) = ledger.unwrap_or_else(begun);
    let mut sight = Sight {
        settings: &ports.settings,
        repository,
        ledger,
        now,
        namespaces,
        open: open?.into_iter().map(|pull| (pull.number, pull)).collect(),
        closed: BTreeMap::new(),
    };
    let doubtful = sight.doubtful();
    let asked = stream::iter(doubtful).map(|pr| async move {
        // The list is one moment old and might be cut; the pull request itself has the last word.
        match github.pull(pr).await {
            Ok(pull) => (!pull.open).then_some((pr, pull.merged)),
            Err(error) => {
                tracing::warn!(pr = %pr, "keeping its preview: the pull request cannot be read: {error}");
                None
            }
        }
    });
    sight.closed = asked
        .buffer_unordered(ABREAST)
        .filter_map(std::future::ready)
        .collect()
        .await;
    Ok(sight)
}

/// Does what was planned.
#[derive(Clone, Copy)]
struct Broom<'a> {
    ports: &'a Ports,
    repository: &'a Repository,
    sight: &'a Sight<'a>,
}

impl<'a> Broom<'a> {
    async fn act(self, task: Task) -> (Swept, Ending) {
        let mut swept = Swept {
            pr: task.preview.pr,
            namespace: task.namespace.clone(),
            action: task.action.word(),
            reason: task.action.why(),
            ending: ReasonCode::Cancelled,
        };
        if self.ports.stop.is_cancelled() {
            return (swept, Ending::cancelled());
        }
        tracing::info!(pr = %swept.pr, namespace = %swept.namespace, reason = swept.reason, "{}", swept.action);
        let ending = match &task.action {
            Action::Remove { reason, by } => {
                let mut teller = self.teller(&task.preview);
                teller.asked_by(by);
                let request = RemoveRequest {
                    preview: task.preview,
                    namespace: task.namespace,
                    reason: *reason,
                };
                Box::pin(remove(self.ports, &request, &mut teller)).await
            }
            Action::Warn(expires) => self
                .warn(&task.preview, *expires)
                .await
                .unwrap_or_else(Ending::failed),
            Action::Sleep => match self.sight.open.get(&task.preview.pr) {
                Some(pull) => self
                    .sleep(&task.preview, pull)
                    .await
                    .unwrap_or_else(Ending::failed),
                None => Ending::superseded(),
            },
        };
        swept.ending = ending.reason;
        (swept, ending)
    }

    fn teller(&self, preview: &PreviewKey) -> Teller<'a> {
        Teller::open(self.ports, preview, &self.repository.name, &|_| {})
    }

    async fn sleep(&self, preview: &PreviewKey, pull: &PullRequest) -> Result<Ending, Failure> {
        let mut teller = self.teller(preview);
        teller.about(&pull.head_sha);
        let bed = Bed::of(self.ports, preview, pull)?;
        Box::pin(bed.sleep(&mut teller)).await
    }

    /// Tells the author, and notes that this was done: only then may the preview be removed.
    async fn warn(
        &self,
        preview: &PreviewKey,
        expires: jiff::Timestamp,
    ) -> Result<Ending, Failure> {
        let author = self.sight.open.get(&preview.pr);
        let author = author.map_or("", |pull| pull.author.login.as_str());
        self.teller(preview).expires(author, expires).await?;
        let cluster = self.ports.cluster()?;
        let desk = desk::Desk::new(self.ports, cluster, preview.clone(), false);
        desk.change(|record, _| record.warned = Some(expires))
            .await?;
        let why = format!("the author was told that the preview expires {expires}");
        Ok(Ending::quiet(None, ReasonCode::ExpiryWarned, why))
    }
}

fn preview(ports: &Ports, repository: &Repository, info: &NamespaceInfo) -> Option<PreviewKey> {
    let variant = match info.labels.get("preview-action/variant") {
        None => None,
        Some(text) => Some(text.parse().ok()?),
    };
    Some(PreviewKey {
        repository: repository.id,
        environment: ports.settings.environment.clone(),
        pr: info.labels.get("pr")?.parse().ok()?,
        variant,
    })
}
