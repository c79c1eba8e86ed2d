//! Turns the routes of a preview that has no place yet into the certainty that nobody else serves their hosts.
//! It changes nothing in the cluster and takes no slot, so a failure leaves nothing to undo.
//! Two Namespaces with one host would both be called ready, and each visitor would get either of them.

use super::{Failure, desk::Taken, teller::Teller};
use crate::{
    cluster::{
        Cluster, ClusterError, NamespaceInfo,
        hosts::{Elsewhere, Wanted},
    },
    manifests::ManifestSet,
    names::{Namespace, ReasonCode},
    plan::Plan,
};
use std::collections::BTreeSet;

/// Fails when a host of these objects is served from another Namespace; warns where that could not be looked at.
///
/// A preview that was ready at this address and all of them was checked when it came, and is not asked about again.
pub(super) async fn free(
    cluster: &Cluster,
    plan: &Plan,
    set: &ManifestSet,
    taken: &Taken,
    teller: &mut Teller<'_>,
) -> Result<(), Failure> {
    let address = plan.urls.first().map_or("", |url| url.url.as_str());
    let same = taken.holder.as_ref().is_some_and(|one| one.url == address);
    let wanted = wanted(set);
    if same && wanted.hosts.is_subset(&ready_at(taken, &wanted)) {
        return Ok(());
    }
    if let Some(unchecked) = look(cluster, plan, set).await? {
        teller.warn(unchecked);
    }
    Ok(())
}

/// Hosts at which the preview was ready before; all that it wants where it had an address and no deploy has noted its hosts.
fn ready_at(taken: &Taken, wanted: &Wanted) -> BTreeSet<String> {
    let holder = taken.holder.as_ref().filter(|one| one.uid.is_some());
    match holder.filter(|_| taken.record.was_ready()) {
        Some(holder) if holder.hosts.is_empty() && !holder.url.is_empty() => wanted.hosts.clone(),
        Some(holder) => holder.hosts.clone(),
        None => BTreeSet::new(),
    }
}

/// Hosts that a deploy is about, and whether they are surely its own.
#[derive(Clone)]
pub(super) struct Contest {
    namespace: Namespace,
    pub(super) wanted: Wanted,
    /// Those at which the preview was ready before.
    ready: BTreeSet<String>,
    /// True when nobody else is in the way, or nothing of the preview stands yet.
    pub(super) settled: bool,
}

impl Contest {
    pub(super) fn of(plan: &Plan, set: &ManifestSet, taken: &Taken) -> Self {
        let wanted = wanted(set);
        let ready = ready_at(taken, &wanted);
        let placed = taken.holder.as_ref().is_some_and(|one| one.uid.is_some());
        Self {
            namespace: plan.namespace.clone(),
            settled: !placed || wanted.hosts.is_subset(&ready),
            wanted,
            ready,
        }
    }

    /// Notes that routes are about to stand.
    pub(super) fn begins(&mut self) {
        self.settled = self.wanted.hosts.is_subset(&self.ready);
    }

    /// Takes away the routes for hosts that somebody else serves too, but for those at which this preview was ready before.
    pub(super) async fn lose(&self, cluster: &Cluster) -> Result<(), ClusterError> {
        let found = cluster
            .hosts_elsewhere(&self.wanted, &self.namespace)
            .await?;
        let taken: BTreeSet<&String> = found.taken.values().flatten().collect();
        let lost = |host: &String| taken.contains(host) && !self.ready.contains(host);
        let lost = found.own.iter().filter(|one| one.hosts.iter().any(lost));
        cluster.withdraw(&self.namespace, lost).await
    }
}

/// The same, whoever asks: what could not be looked at, in one sentence.
pub(super) async fn look(
    cluster: &Cluster,
    plan: &Plan,
    set: &ManifestSet,
) -> Result<Option<String>, Failure> {
    let wanted = wanted(set);
    let found = cluster.hosts_elsewhere(&wanted, &plan.namespace).await?;
    match served(plan, &others(cluster, plan, &found).await?) {
        Some(failure) => Err(failure),
        None if found.unchecked.is_empty() => Ok(None),
        None => Ok(Some(unchecked(&wanted, &found))),
    }
}

/// Looks again once the routes are applied: two that came at once have both found nobody before.
///
/// Who was ready at it before keeps the host, else the older Namespace. An error is that this is the younger one; else there may be one that has to give way,
/// and the failure is what becomes of this preview if it does not: it may have been ready before anything could be seen here.
pub(super) async fn again(
    cluster: &Cluster,
    plan: &Plan,
    set: &ManifestSet,
    taken: &Taken,
) -> Result<Option<Failure>, Failure> {
    let wanted = wanted(set);
    let found = cluster.hosts_elsewhere(&wanted, &plan.namespace).await?;
    let others = others(cluster, plan, &found).await?;
    if others.is_empty() {
        return Ok(None);
    }
    let Some(own) = cluster.namespace(&plan.namespace).await? else {
        return Ok(None);
    };
    let ready = ready_at(taken, &wanted);
    let age = |info: &NamespaceInfo| (info.created, info.uid.clone());
    let (older, younger): (Vec<_>, Vec<_>) = others.into_iter().partition(|(info, hosts)| {
        let ours = hosts.is_subset(&ready);
        repository(info).is_none() || (!ours && age(info) < age(&own))
    });
    match served(plan, &older) {
        Some(failure) => Err(failure),
        None => Ok(served(plan, &younger)),
    }
}

fn wanted(set: &ManifestSet) -> Wanted {
    let mut wanted = Wanted::default();
    for manifest in &set.objects {
        wanted.add(&manifest.object);
    }
    wanted
}

/// A Namespace and the hosts of ours that it serves.
type Other<'a> = (NamespaceInfo, &'a BTreeSet<String>);

/// Who else serves the hosts, and stays.
async fn others<'a>(
    cluster: &Cluster,
    plan: &Plan,
    found: &'a Elsewhere,
) -> Result<Vec<Other<'a>>, Failure> {
    let mut others = Vec::new();
    for (namespace, hosts) in &found.taken {
        match cluster.namespace(namespace).await? {
            Some(info) if info.deleting.is_none() && !in_that_slot(plan, &info) => {
                others.push((info, hosts));
            }
            // It was on its way out when its routes were listed.
            _ => {}
        }
    }
    Ok(others)
}

fn served(plan: &Plan, others: &[Other<'_>]) -> Option<Failure> {
    let mut failure: Option<Failure> = None;
    for (info, hosts) in others {
        let hosts: Vec<_> = hosts.iter().map(String::as_str).collect();
        let (owner, remedy) = owner(plan, info);
        let verb = if hosts.len() == 1 { "is" } else { "are" };
        let one = Failure::yours(
            ReasonCode::HostTaken,
            format!(
                "{} {verb} already served from namespace {}, {owner}",
                hosts.join(", "),
                info.name
            ),
            remedy,
        );
        match &mut failure {
            Some(all) => all.causes.extend(one.causes),
            None => failure = Some(one),
        }
    }
    failure
}

/// True for the preview of ours that took the slot which hosts were made of: the claim gives another slot then, and all is
/// rendered anew.
fn in_that_slot(plan: &Plan, info: &NamespaceInfo) -> bool {
    let label = |name: &str| info.labels.get(name).map(String::as_str);
    let slot = plan.slot.map(|slot| slot.to_string());
    slot.is_some()
        && label("slot") == slot.as_deref()
        && label("app") == Some("preview")
        && label("preview-action/repository-id") == Some(plan.key.repository.to_string().as_str())
        && label("preview-action/environment") == Some(plan.key.environment.as_str())
}

/// The repository whose preview it is, if it is one.
fn repository(info: &NamespaceInfo) -> Option<&str> {
    let label = |name: &str| info.labels.get(name).map(String::as_str);
    label("preview-action/repository-id").filter(|_| label("app") == Some("preview"))
}

/// Whose Namespace it is, and what sets the two apart.
fn owner(plan: &Plan, info: &NamespaceInfo) -> (String, &'static str) {
    let label = |name: &str| info.labels.get(name).map(String::as_str);
    let Some(repository) = repository(info) else {
        return (
            "which is no preview".into(),
            "set the input `host-pattern` to one that differs, such as `{repo}-{number}-{service}.{domain}`, or take the host away from that namespace",
        );
    };
    let pr = label("pr").map_or_else(String::new, |pr| format!(" for pull request {pr}"));
    if repository == plan.key.repository.to_string() {
        let environment = label("preview-action/environment").unwrap_or("unknown");
        return (
            format!("a preview of this repository{pr} in the environment {environment}"),
            "set the input `host-pattern` to one with `{environment}` and `{number}`, such as `{environment}-{number}-{service}.{domain}`",
        );
    }
    (
        format!("a preview of repository {repository}{pr}"),
        "set the input `host-pattern` to one with `{repo}`, such as `{repo}-{number}-{service}.{domain}`",
    )
}

fn unchecked(wanted: &Wanted, found: &Elsewhere) -> String {
    let hosts: Vec<_> = wanted.hosts.iter().map(String::as_str).collect();
    format!(
        "whether something else in the cluster serves {} was not checked: this credential may not list {} of all namespaces; `preview-action setup` prints the rule",
        hosts.join(", "),
        found.unchecked.join(" and ")
    )
}
