//! Shows what a deploy would change: renders as it would, then asks the cluster by dry runs.
//! It takes no turn and no slot, and writes nothing.
//! A Namespace that is not this repository's is never compared with: that would show what somebody else runs.

use super::{DeployRequest, Failure, Ports, sources::Sources};
use crate::{
    cluster::{
        NamespaceInfo,
        outcome::{Difference, Differs},
    },
    inputs::configuration::Configuration,
    manifests::ManifestSet,
    names::{ReasonCode, Redactor},
    plan::{self, Facts, Plan},
};

/// What a deploy would do to each object; no value that is registered as a secret is in it.
pub async fn diff(
    ports: &Ports,
    request: &DeployRequest,
    sources: &Sources,
) -> Result<Vec<Difference>, Failure> {
    let configuration = sources.configuration(ports).await?;
    let facts = request.facts(ports.now());
    let plan = plan::decide(&ports.settings, &configuration, &facts)?;
    let cluster = ports.cluster()?;
    let found = cluster.namespace(&plan.namespace).await?;
    let plan = in_its_slot(ports, &configuration, facts, plan, found.as_ref())?;
    let set = super::render::objects(ports, sources, &plan, &configuration).await?;
    let Some(info) = found else {
        return Ok(all_new(&set));
    };
    owned(&plan, &info)?;
    let (known, _) = super::existing::existing(ports, sources, &plan.namespace, &set).await?;
    let mut differences = cluster.diff(&plan.namespace, &set, &known).await?;
    let redactor = ports.redaction.snapshot();
    for difference in &mut differences {
        redact(difference, &redactor);
    }
    Ok(differences)
}

/// The plan with the slot that the preview has, where its hosts are made of it.
pub(super) fn in_its_slot(
    ports: &Ports,
    configuration: &Configuration,
    facts: Facts,
    plan: Plan,
    found: Option<&NamespaceInfo>,
) -> Result<Plan, Failure> {
    let label = found.and_then(|info| info.labels.get("slot"));
    let Some(slot) = plan.slot.and(label).and_then(|slot| slot.parse().ok()) else {
        return Ok(plan);
    };
    let facts = Facts {
        slot: Some(slot),
        ..facts
    };
    Ok(plan::decide(&ports.settings, configuration, &facts)?)
}

/// Refuses a Namespace that another repository, or nobody of ours, has made.
pub(super) fn owned(plan: &Plan, info: &NamespaceInfo) -> Result<(), Failure> {
    let owner = info.labels.get("preview-action/repository-id");
    if owner == Some(&plan.key.repository.to_string()) {
        return Ok(());
    }
    Err(Failure::yours(
        ReasonCode::BadInput,
        format!(
            "namespace {} is no preview of this repository",
            plan.namespace
        ),
        "set the input `namespace-pattern` to one that differs, such as `pr-{repo-id}-{number}`",
    ))
}

fn all_new(set: &ManifestSet) -> Vec<Difference> {
    let added = set.objects.iter().map(|manifest| Difference {
        id: manifest.id.clone(),
        origin: Some(manifest.origin.clone()),
        differs: Differs::Added,
    });
    added.collect()
}

/// Before any escaping: an escaped secret would not be found any more.
fn redact(difference: &mut Difference, redactor: &Redactor) {
    let mut texts: Vec<&mut String> = Vec::new();
    match &mut difference.differs {
        Differs::Changed(changes) => {
            for change in changes {
                texts.push(&mut change.field);
                texts.extend(&mut change.before);
                texts.extend(&mut change.after);
            }
        }
        Differs::Recreated(fields) => texts.extend(fields),
        Differs::Refused(message) => texts.push(message),
        Differs::Added | Differs::Removed | Differs::Unchanged => {}
    }
    for text in texts {
        *text = redactor.redact(text);
    }
}
