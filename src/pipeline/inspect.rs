//! Looks without touching: the list of previews, and the status of one.
//! It claims nothing, applies nothing and takes no turn.
//! What it shows comes from the cluster, not from an old comment, so a status is true when it is given.

use super::{
    DeployRequest, Ending, Failure, Ports, Sources,
    desk::{self, House},
    teller::Teller,
};
use crate::{
    capacity::{Attempt, Holder, Ledger, Record},
    cluster::{
        LastFailure, Moment, NamespaceInfo, Step,
        outcome::{Readiness, WorkloadStatus},
    },
    names::{CommitSha, Namespace, PrNumber, PreviewKey, ReasonCode, State},
    plan,
};

/// One Namespace that is labelled as a preview.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Listed {
    /// Namespace.
    pub namespace: Namespace,
    /// Pull request.
    pub pr: Option<PrNumber>,
    /// Repository id; none when the Namespace is not ours.
    pub repository: Option<String>,
    /// Environment.
    pub environment: Option<String>,
    /// Slot.
    pub slot: Option<u32>,
    /// State as its label says; `terminating` while it is being deleted.
    pub state: String,
    /// Commit that was last applied.
    pub sha: Option<String>,
    /// Main address.
    pub url: Option<String>,
    /// When it expires.
    pub expires: Option<String>,
    /// When it was created.
    pub created: Option<jiff::Timestamp>,
    /// Since when it is being deleted, if it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deleting: Option<jiff::Timestamp>,
}

impl Listed {
    /// True when this tool made it; others may use the label `app=preview` as well.
    pub fn ours(&self) -> bool {
        self.repository.is_some()
    }
}

impl From<NamespaceInfo> for Listed {
    fn from(info: NamespaceInfo) -> Self {
        let label = |name: &str| info.labels.get(name).cloned();
        let annotation = |name: &str| {
            info.annotations
                .get(name)
                .filter(|text| !text.is_empty())
                .cloned()
        };
        Self {
            pr: label("pr").and_then(|pr| pr.parse().ok()),
            repository: label("preview-action/repository-id"),
            environment: label("preview-action/environment"),
            slot: label("slot").and_then(|slot| slot.parse().ok()),
            state: if info.deleting.is_some() {
                "terminating".into()
            } else {
                label("preview-action/state").unwrap_or_else(|| "unknown".into())
            },
            sha: annotation("preview-action/sha"),
            url: annotation("preview-action/url"),
            expires: annotation("preview-action/expires"),
            created: info.created,
            deleting: info.deleting,
            namespace: info.name,
        }
    }
}

/// Every Namespace of the cluster that is labelled as a preview, sorted by name.
pub async fn list(ports: &Ports) -> Result<Vec<Listed>, Failure> {
    let mut found: Vec<Listed> = ports
        .cluster()?
        .list_namespaces("app=preview")
        .await?
        .into_iter()
        .map(Listed::from)
        .collect();
    found.sort_by(|a, b| a.namespace.cmp(&b.namespace));
    Ok(found)
}

/// What is known of one preview now.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Status {
    /// Namespace and what its labels say; none when nothing is deployed.
    pub preview: Option<Listed>,
    /// Workloads.
    pub workloads: Vec<WorkloadStatus>,
    #[serde(skip)]
    pub(super) record: Record,
    /// Why the last deploy failed, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<LastFailure>,
    /// How many previews hold a slot.
    pub taken: u32,
    /// Cap.
    pub capacity: u32,
    /// Who holds the slots, while it waits in line.
    #[serde(skip)]
    pub(super) house: Option<House>,
    #[serde(skip)]
    pub(super) busy: bool,
    #[serde(skip)]
    pub(super) stuck: bool,
    /// True when it holds a slot.
    #[serde(skip)]
    pub(super) holds: bool,
    /// True unless nothing that a deploy made lasts as long as the preview.
    #[serde(skip)]
    pub(super) lasts: bool,
}

impl Status {
    /// State as it is now, whatever a label once said.
    pub fn state(&self) -> State {
        match &self.preview {
            None if self.house.is_some() => State::Queued,
            None if self.record.removed_on_purpose => State::Removed,
            None if self.record.expired => State::Expired,
            None => State::NotDeployed,
            Some(_) if self.stuck => State::Stuck,
            Some(preview) if preview.state == "terminating" => State::Removing,
            Some(_) if self.busy => State::Deploying,
            Some(_) if self.record.asleep.is_some() => State::Sleeping,
            Some(_) if self.record.broken && self.broke() => State::Degraded,
            Some(_) if self.last_failed() => State::Failed,
            Some(_) if self.broke() => State::Degraded,
            Some(_) if self.workloads.is_empty() => self.empty(),
            Some(_)
                if self
                    .workloads
                    .iter()
                    .any(|workload| workload.readiness == Readiness::Failed) =>
            {
                State::Failed
            }
            Some(_)
                if self
                    .workloads
                    .iter()
                    .all(|workload| workload.readiness == Readiness::Ready) =>
            {
                State::Ready
            }
            Some(_) => State::Deploying,
        }
    }

    /// True when there is something that its comment is about, be it only a place in line.
    pub(super) fn stands(&self) -> bool {
        self.preview.is_some() || self.house.is_some()
    }

    /// Notes that what had broken is well again.
    pub(super) fn recovered(&mut self) {
        if self.record.broke() {
            self.record.breaks(false);
        }
    }

    /// State of a Namespace in which nothing runs: well only where a deploy went well and nothing was to last.
    fn empty(&self) -> State {
        let last = self.record.attempted.as_ref();
        let went_well = |last: &Attempt| matches!(last.outcome, State::Ready | State::Degraded);
        match last.is_some_and(went_well) {
            true if self.lasts => State::Degraded,
            true => State::Ready,
            false => State::NotDeployed,
        }
    }

    fn broke(&self) -> bool {
        let ready = |workload: &WorkloadStatus| workload.readiness == Readiness::Ready;
        self.record.broke() && !self.workloads.iter().all(ready)
    }

    /// True when the last deploy failed, whether or not it had come to a Namespace.
    pub(super) fn last_failed(&self) -> bool {
        self.record
            .attempted
            .as_ref()
            .is_some_and(|last| last.outcome == State::Failed)
    }

    /// Commit that is deployed.
    pub fn sha(&self) -> Option<CommitSha> {
        self.preview.as_ref()?.sha.as_ref()?.parse().ok()
    }
}

/// True unless nothing in the holder's Namespace lasts, as far as the ledger knows what is there.
pub(super) fn lasts(holder: &Holder) -> bool {
    let lasting = |kind: &String| {
        ["Deployment.apps", "StatefulSet.apps", "DaemonSet.apps"].contains(&kind.as_str())
    };
    let members = holder.members.as_ref();
    members.is_none_or(|members| members.kinds.iter().any(lasting))
}

/// Looks at one preview.
pub async fn status(ports: &Ports, preview: &PreviewKey) -> Result<Status, Failure> {
    let cluster = ports.cluster()?;
    let key = preview.in_ledger();
    let name = ports.ledger(preview.repository);
    let selector = format!("{},pr={}", desk::selector(&name), preview.pr);
    let seen = |ledger: &mut Ledger, moment: Moment| Step::Keep((ledger.clone(), moment.now));
    let (ledger, found) = tokio::join!(
        cluster.transact(&name, seen),
        cluster.list_namespaces(&selector)
    );
    let variant = preview.variant.as_ref().map(crate::names::Label::as_str);
    let found = found?.into_iter().find(|info| {
        info.labels
            .get("preview-action/variant")
            .map(String::as_str)
            == variant
    });
    let workloads = match &found {
        Some(info) => cluster.workloads(&info.name).await?,
        None => Vec::new(),
    };
    // The server's time is that of all runs.
    let begun = || (Ledger::empty(ports.settings.max_previews), ports.now());
    let (ledger, now) = ledger?.unwrap_or_else(begun);
    let record = ledger.previews.get(&key).cloned().unwrap_or_default();
    let failed = record.attempted.as_ref();
    let failed = failed.filter(|last| last.outcome == State::Failed);
    let failure = match (failed, &found) {
        (Some(last), Some(info)) => {
            let kept = cluster.last_failure(&info.name).await?;
            // One that is older than the ledger's word is another story.
            kept.filter(|kept| kept.sha == last.sha)
        }
        _ => None,
    };
    let mut house = ledger
        .position(&key)
        .map(|place| House::seen(&ledger, Some(place)));
    if let Some(house) = &mut house {
        house.notice(&desk::rooms(cluster, &name).await);
    }
    Ok(Status {
        failure,
        stuck: found
            .as_ref()
            .and_then(|info| info.deleting)
            .is_some_and(|since| super::remove::overdue(ports, since)),
        preview: found.map(Listed::from),
        workloads,
        holds: ledger.holder(&key).is_some(),
        house,
        lasts: ledger.holder(&key).is_none_or(lasts),
        busy: record.is_active(now),
        record,
        taken: ledger.holders.len() as u32,
        capacity: ledger.capacity,
    })
}

/// Answers `/status`: shows in the comment what is so now, unless a run that is at work has the word.
pub(super) async fn show(
    ports: &Ports,
    preview: &PreviewKey,
    head: &CommitSha,
    teller: &mut Teller<'_>,
) -> Result<Ending, Failure> {
    let status = status(ports, preview).await?;
    let state = status.state();
    if status.busy {
        let (reason, why) = match teller.is_kept_true().await? {
            true => (
                ReasonCode::StatusShown,
                "a run is at work on this preview; its comment is up to date",
            ),
            false => (
                ReasonCode::Busy,
                "a run is at work on this preview and writes no comment; give the command again once it has ended",
            ),
        };
        return Ok(Ending::quiet(state, reason, why));
    }
    let ending = teller.status(&status, head, ReasonCode::StatusShown).await;
    looks_again(ports, preview, status.record.sequence).await;
    Ok(ending)
}

/// Has the sweep say what is so where another run has begun since this one looked: without a turn its word may have come later
/// than that run's last one.
pub(super) async fn looks_again(ports: &Ports, preview: &PreviewKey, seen: u64) {
    let key = preview.in_ledger();
    let step = |ledger: &mut Ledger, _: Moment| match ledger.previews.get_mut(&key) {
        Some(record) if record.sequence != seen => {
            record.speak_over();
            Step::Write(())
        }
        _ => Step::Keep(()),
    };
    let looked = async {
        let name = ports.ledger(preview.repository);
        Ok::<_, Failure>(ports.cluster()?.transact(&name, step).await?)
    };
    if let Err(failure) = looked.await {
        tracing::info!(
            "whether another run began meanwhile is not known: {}",
            failure.line()
        );
    }
}

/// What a deploy would do, as far as the configuration says; no template is rendered.
async fn planned(
    ports: &Ports,
    request: &DeployRequest,
    sources: &Sources,
) -> Result<plan::Plan, Failure> {
    let found = sources.configuration(ports).await?;
    let facts = request.facts(ports.now());
    Ok(plan::decide(&ports.settings, &found, &facts)?)
}

/// Shows that the pull request can be deployed, or that its live preview is behind: auto-deploy is off.
pub(super) async fn announce(
    ports: &Ports,
    request: &DeployRequest,
    sources: &Sources,
    teller: &mut Teller<'_>,
) -> Result<Ending, Failure> {
    let facts = request.facts(ports.now());
    let preview = facts.key(&ports.settings);
    let mut status = status(ports, &preview).await?;
    if status.preview.is_some() {
        // A push keeps a preview alive, whoever deploys it.
        let desk = desk::Desk::new(ports, ports.cluster()?, preview.clone(), false);
        status.record = desk.change(Record::used).await?;
    } else {
        // A faulty configuration is told now, before anybody waits for a deploy.
        match planned(ports, request, sources).await {
            Ok(plan) => teller.images(&plan),
            Err(failure) => teller.doubt(&failure),
        }
    }
    if status.busy {
        return Ok(Ending::quiet(
            status.state(),
            ReasonCode::AutoDeployOff,
            "a run is at work on this preview",
        ));
    }
    let ending = teller
        .status(&status, &request.sha, ReasonCode::AutoDeployOff)
        .await;
    looks_again(ports, &preview, status.record.sequence).await;
    Ok(ending)
}
