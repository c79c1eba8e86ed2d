//! Turns the routes of a preview that has no place yet into the certainty that nobody else serves their hosts.
//! It changes nothing in the cluster and takes no slot, so a failure leaves nothing to undo.
//! Two Namespaces with one host would both be called ready, and each visitor would get either of them.

use super::{Failure, desk::Taken, teller::Teller};
use crate::{
    cluster::{
        Cluster, NamespaceInfo,
        hosts::{Elsewhere, Wanted},
    },
    manifests::ManifestSet,
    names::ReasonCode,
    plan::Plan,
};

/// Fails when a host of these objects is served from another Namespace; warns where that could not be looked at.
///
/// A preview whose Namespace is confirmed was checked when it came, and is not asked about again.
pub(super) async fn free(
    cluster: &Cluster,
    plan: &Plan,
    set: &ManifestSet,
    taken: &Taken,
    teller: &mut Teller<'_>,
) -> Result<(), Failure> {
    let placed = |holder: &crate::capacity::Holder| holder.uid.is_some();
    if taken.holder.as_ref().is_some_and(placed) {
        return Ok(());
    }
    let mut wanted = Wanted::default();
    for manifest in &set.objects {
        wanted.add(&manifest.object);
    }
    let found = cluster.hosts_elsewhere(&wanted, &plan.namespace).await?;
    if let Some(failure) = failure(cluster, plan, &found).await? {
        return Err(failure);
    }
    if !found.unchecked.is_empty() {
        teller.warn(unchecked(&wanted, &found));
    }
    Ok(())
}

async fn failure(
    cluster: &Cluster,
    plan: &Plan,
    found: &Elsewhere,
) -> Result<Option<Failure>, Failure> {
    let mut failure: Option<Failure> = None;
    for (namespace, hosts) in &found.taken {
        let info = match cluster.namespace(namespace).await? {
            Some(info) if info.deleting.is_none() => info,
            // It was on its way out when its routes were listed.
            _ => continue,
        };
        if in_that_slot(plan, &info) {
            continue;
        }
        let hosts: Vec<_> = hosts.iter().map(String::as_str).collect();
        let (owner, remedy) = owner(plan, &info);
        let verb = if hosts.len() == 1 { "is" } else { "are" };
        let one = Failure::yours(
            ReasonCode::HostTaken,
            format!(
                "{} {verb} already served from namespace {namespace}, {owner}",
                hosts.join(", ")
            ),
            remedy,
        );
        match &mut failure {
            Some(all) => all.causes.extend(one.causes),
            None => failure = Some(one),
        }
    }
    Ok(failure)
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

/// Whose Namespace it is, and what sets the two apart.
fn owner(plan: &Plan, info: &NamespaceInfo) -> (String, &'static str) {
    let label = |name: &str| info.labels.get(name).map(String::as_str);
    let repository =
        label("preview-action/repository-id").filter(|_| label("app") == Some("preview"));
    let Some(repository) = repository else {
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
