//! Takes over a Namespace that somebody labelled `app=preview` before this tool came: labels, and a slot even above the cap.
//! It takes none that another repository, environment or pull request of ours has, and changes nothing inside of it.
//! The ledger comes first: a Namespace that is counted and not yet ours can be given back, one that is ours and not counted cannot.

use super::{Blame, Failure, Ports, desk::Desk};
use crate::{
    capacity::{self, Owned},
    cluster::{NamespaceInfo, Reapplied},
    names::{CommitSha, Namespace, PreviewKey, ReasonCode, RepoName},
};
use serde_json::{Value, json};

/// A Namespace that was taken over.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Adopted {
    /// Namespace.
    pub namespace: Namespace,
    /// Slot that it has now.
    pub slot: u32,
    /// How many slots are taken.
    pub taken: usize,
    /// Cap.
    pub capacity: u32,
}

/// Looks whether a Namespace can be taken over for a preview.
pub async fn adoptable(
    ports: &Ports,
    preview: &PreviewKey,
    name: &Namespace,
) -> Result<NamespaceInfo, Failure> {
    let refused =
        |cause: String, remedy: &str| Failure::yours(ReasonCode::NamespaceTaken, cause, remedy);
    let Some(found) = ports.cluster()?.namespace(name).await? else {
        let cause = format!("there is no namespace {name}");
        return Err(Failure::yours(
            ReasonCode::BadInput,
            cause,
            "look for it with `preview-action list`",
        ));
    };
    let label = |name: &str| found.labels.get(name).map(String::as_str);
    if label("app") != Some("preview") {
        return Err(refused(
            format!("namespace {name} is not labelled app=preview"),
            "label it so if it is one: `kubectl label namespace NAME app=preview`",
        ));
    }
    let ours = [
        (
            "preview-action/repository-id",
            preview.repository.to_string(),
        ),
        (
            "preview-action/environment",
            preview.environment.to_string(),
        ),
        ("pr", preview.pr.to_string()),
    ];
    for (key, value) in &ours {
        if let Some(other) = label(key).filter(|other| other != value) {
            return Err(refused(
                format!(
                    "namespace {name} belongs to another preview: its label {key} is {other}, not {value}"
                ),
                "leave it to that one, or name the pull request that it is of",
            ));
        }
    }
    if found.deleting.is_some() {
        return Err(Failure::new(
            Blame::Theirs,
            ReasonCode::NamespaceTerminating,
            format!("namespace {name} is being deleted"),
            "wait until it is gone",
        ));
    }
    Ok(found)
}

/// Takes over what [`adoptable`] has found.
pub async fn adopt(
    ports: &Ports,
    preview: &PreviewKey,
    repository: &RepoName,
    owner: &str,
    head: Option<&CommitSha>,
    found: &NamespaceInfo,
) -> Result<Adopted, Failure> {
    let cluster = ports.cluster()?;
    let desk = Desk::new(ports, cluster, preview.clone(), false);
    let owned = Owned {
        key: preview.in_ledger(),
        pr: preview.pr,
        namespace: found.name.clone(),
        uid: found.uid.clone(),
        slot: None,
        url: found
            .annotations
            .get("preview-action/url")
            .cloned()
            .unwrap_or_default(),
        life: None,
        asleep: false,
        empty: false,
    };
    let adopted = desk.adopt(&owned, owner).await?.ok_or_else(|| {
        Failure::yours(
            ReasonCode::NamespaceTaken,
            format!("pull request #{} has another preview already", preview.pr),
            "comment `/undeploy` there first",
        )
    })?;
    let object = labelled(ports, preview, repository, found, adopted.slot);
    match cluster.apply_namespace(&object).await {
        Ok(Reapplied::Live(_)) => {
            desk.change(|record, now| capacity::note_adopted(record, head, now))
                .await?;
            Ok(adopted)
        }
        Ok(Reapplied::Deleting(_) | Reapplied::Gone) => {
            desk.disown(&found.uid).await?;
            Err(Failure::new(
                Blame::Theirs,
                ReasonCode::NamespaceTerminating,
                format!("namespace {} was deleted meanwhile", found.name),
                "",
            ))
        }
        Err(error) => {
            desk.disown(&found.uid).await?;
            let mut failure = Failure::from(error);
            let foreign = [ReasonCode::AdmissionRefused, ReasonCode::ClusterForbidden];
            if foreign.contains(&failure.reason())
                && let Some(headline) = failure.causes.first_mut()
            {
                headline.remedy = "use the credential of whoever runs the cluster: the action's own may touch no namespace but its previews'".into();
            }
            Err(failure)
        }
    }
}

/// The Namespace with the labels that make it ours.
fn labelled(
    ports: &Ports,
    preview: &PreviewKey,
    repository: &RepoName,
    found: &NamespaceInfo,
    slot: u32,
) -> Value {
    let expires = ports
        .now()
        .checked_add(ports.settings.ttl)
        .map(|at| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
    let mut annotations = json!({"preview-action/repository": repository});
    if let Ok(expires) = expires {
        annotations["preview-action/expires"] = json!(expires);
    }
    json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": found.name,
            "uid": found.uid,
            "labels": {
                "app": "preview",
                "pr": preview.pr.to_string(),
                "slot": slot.to_string(),
                "preview-action/repository-id": preview.repository.to_string(),
                "preview-action/environment": preview.environment,
                "preview-action/state": "ready",
                "app.kubernetes.io/managed-by": "preview-action",
                "pod-security.kubernetes.io/enforce": "baseline",
            },
            "annotations": annotations,
        },
    })
}
