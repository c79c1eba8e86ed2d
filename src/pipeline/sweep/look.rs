//! Looks at cluster, ledger and GitHub once, for a sweep or for somebody who wants to know what one would do.
//! A dry look writes nothing, also where the ledger is missing or cannot be read: it sees what would be made in its place.
//! What cannot be read is never taken for gone: a failed look ends the sweep, and an unreadable pull request stays open.

use super::{ABREAST, sight::Sight};
use crate::{
    capacity::{Ledger, Owned},
    cluster::{ClusterError, Moment, NamespaceInfo, Step},
    event::Repository,
    github::GitHub,
    names::{PrNumber, PreviewKey},
    pipeline::{Failure, Ports, desk},
};
use futures::{StreamExt, stream};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// Which of the settings are the workflow's own: what a terminal was not given has a default there that nobody chose.
#[derive(Debug, Clone, Copy)]
pub struct Mandate {
    /// True where the cap is.
    pub governs: bool,
    /// True where it is known how long previews live.
    pub expires: bool,
    /// True where it is known what a deploy needs.
    pub deploys: bool,
    /// True where it is known whether pushes deploy by themselves.
    pub pushes: bool,
}

impl Mandate {
    /// That of a workflow; its cap counts only in runs of the default branch's.
    pub fn of_workflow(governs: bool) -> Self {
        Self {
            governs,
            expires: true,
            deploys: true,
            pushes: true,
        }
    }
}

/// Looks at everything once: one list of open pull requests, one of Namespaces, the ledger; then at what is in doubt.
pub(super) async fn look<'a>(
    ports: &'a Ports,
    repository: &'a Repository,
    mandate: Mandate,
    dry: bool,
) -> Result<Sight<'a>, Failure> {
    let (cluster, github) = (ports.cluster()?, ports.github()?);
    let name = ports.ledger(repository.id);
    let selector = desk::selector(&name);
    let (found, open, ledger, unready) = tokio::join!(
        cluster.list_namespaces(&selector),
        github.open_pulls(),
        cluster.transact(&name, seen),
        cluster.unready(repository.id)
    );
    let blind = |error: &ClusterError| {
        tracing::warn!("what has broken cannot be seen: {error}");
    };
    let found = found?;
    let (mut ledger, now, trouble) = known(ports, repository, ledger, &found, dry).await?;
    if mandate.governs {
        ledger.capacity = ports.settings.max_previews;
    }
    let mut sight = Sight {
        settings: &ports.settings,
        mandate,
        repository,
        ledger,
        now,
        trouble,
        namespaces: BTreeMap::new(),
        unready: unready.inspect_err(blind).ok(),
        open: open?.into_iter().map(|one| (one.0.number, one)).collect(),
        closed: BTreeMap::new(),
    };
    for info in found {
        let Some(preview) = preview(ports, repository, &info) else {
            continue;
        };
        let pr = preview.pr;
        if let Some(spare) = sight.lodge(preview, info) {
            ports.notice(format!(
                "namespace {spare} is labelled as a preview of #{pr}, which has another one; if nobody needs it: `kubectl delete namespace {spare}`"
            ));
        }
    }
    sight.closed = closed(github, sight.doubtful()).await;
    for pr in sight.unknown() {
        ports.notice(format!(
            "the preview of #{pr} is kept, also when its time is over: GitHub does not tell whether the pull request is closed; if nobody needs it: `preview-action remove --pr {pr}`"
        ));
    }
    Ok(sight)
}

fn seen(ledger: &mut Ledger, moment: Moment) -> Step<(Ledger, Timestamp)> {
    Step::Keep((ledger.clone(), moment.now))
}

/// The ledger, the server's time, and what is wrong with it; one that is gone or ruined is made anew, or seen as it would be.
async fn known(
    ports: &Ports,
    repository: &Repository,
    read: Result<Option<(Ledger, Timestamp)>, ClusterError>,
    found: &[NamespaceInfo],
    dry: bool,
) -> Result<(Ledger, Timestamp, Option<String>), Failure> {
    let (cluster, name) = (ports.cluster()?, ports.ledger(repository.id));
    let trouble = match read {
        Ok(Some((ledger, now))) => return Ok((ledger, now, None)),
        Err(ClusterError::LedgerCorrupt { problem, .. }) if dry => {
            format!(
                "the ledger cannot be read ({problem}); a sweep makes it anew from the namespaces that exist"
            )
        }
        Err(ClusterError::LedgerCorrupt { problem, .. }) => {
            desk::mend(ports, cluster, &name, &problem).await?;
            problem
        }
        Err(error) => return Err(error.into()),
        // Nobody has asked for a preview yet.
        Ok(None) if found.is_empty() => {
            let ledger = Ledger::empty(ports.settings.max_previews);
            return Ok((ledger, ports.now(), None));
        }
        Ok(None) => {
            if !dry {
                desk::begin(ports, cluster, &name).await?;
            }
            "there is no ledger; a sweep makes it again from the namespaces that exist".into()
        }
    };
    let again = match dry {
        true => None,
        false => cluster.transact(&name, seen).await?,
    };
    let (ledger, now) = again.unwrap_or_else(|| {
        let owned: Vec<Owned> = found
            .iter()
            .cloned()
            .filter_map(desk::owned_by_label)
            .collect();
        (desk::anew(ports, owned), ports.now())
    });
    Ok((ledger, now, Some(trouble)))
}

/// Which of these pull requests are closed, and whether they are merged.
async fn closed(github: &GitHub, doubtful: BTreeSet<PrNumber>) -> BTreeMap<PrNumber, bool> {
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
    asked
        .buffer_unordered(ABREAST)
        .filter_map(std::future::ready)
        .collect()
        .await
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
