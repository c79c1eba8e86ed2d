//! Shows what a deploy would change: renders as it would, then asks the cluster by dry runs.
//! It takes no turn and no slot, and writes nothing.
//! A Namespace that is not this repository's is never compared with: that would show what somebody else runs.

use super::{DeployRequest, Failure, Ports, sources::Sources};
use crate::{
    cluster::outcome::{Difference, Differs},
    manifests::ManifestSet,
    names::{ReasonCode, Redactor},
    plan::{self, Facts},
};

/// What a deploy would do to each object; no value that is registered as a secret is in it.
pub async fn diff(
    ports: &Ports,
    request: &DeployRequest,
    sources: &Sources,
) -> Result<Vec<Difference>, Failure> {
    let configuration = sources.configuration(ports).await?;
    let facts = request.facts(ports.now());
    let mut plan = plan::decide(&ports.settings, &configuration, &facts)?;
    let cluster = ports.cluster()?;
    let found = cluster.namespace(&plan.namespace).await?;
    let label = found.as_ref().and_then(|info| info.labels.get("slot"));
    if let (Some(_), Some(slot)) = (plan.slot, label.and_then(|slot| slot.parse().ok())) {
        // Its hosts are made of the slot that it has.
        let facts = Facts {
            slot: Some(slot),
            ..facts
        };
        plan = plan::decide(&ports.settings, &configuration, &facts)?;
    }
    let set = super::render::objects(ports, sources, &plan, &configuration).await?;
    let Some(info) = found else {
        return Ok(all_new(&set));
    };
    let owner = info.labels.get("preview-action/repository-id");
    if owner != Some(&plan.key.repository.to_string()) {
        return Err(Failure::yours(
            ReasonCode::BadInput,
            format!(
                "namespace {} is no preview of this repository",
                plan.namespace
            ),
            "set the input `namespace-pattern` to one that differs, such as `pr-{repo-id}-{number}`",
        ));
    }
    let (known, _) = super::existing::existing(ports, sources, &plan.namespace, &set).await?;
    let mut differences = cluster.diff(&plan.namespace, &set, &known).await?;
    let redactor = ports.redaction.snapshot();
    for difference in &mut differences {
        redact(difference, &redactor);
    }
    Ok(differences)
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
