//! Turns rendered files into the finished set: parsed, checked, normalised, owned, ordered.
//! It renders nothing and applies nothing.
//! All faults of all files come back at once, and nothing is applied while there is one.

use super::{
    Manifest, ManifestErrors, ManifestSet, Rendered,
    error::Faults,
    hooks, kinds, normalise, order, ownership,
    parse::{self, Parsed},
    policy::{self, Fence},
    public,
};
use crate::{
    inputs::configuration::{Allowance, Policy},
    names::{ObjectId, ReasonCode},
    plan::Plan,
};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Makes the set of a plan from its rendered files where nothing beyond the ordinary is allowed, or says everything that is
/// wrong with them.
pub fn assemble(plan: &Plan, rendered: &[Rendered]) -> Result<ManifestSet, ManifestErrors> {
    assemble_under(plan, &Policy::default(), rendered)
}

/// The same where a policy allows more.
pub fn assemble_under(
    plan: &Plan,
    policy: &Policy,
    rendered: &[Rendered],
) -> Result<ManifestSet, ManifestErrors> {
    let mut faults = Faults::default();
    let mut warnings = Vec::new();
    let parsed = hooks::place(parse::objects(rendered, &mut faults), &mut warnings);
    let fence = Fence {
        namespace: &plan.namespace,
        hosts: plan.urls.iter().map(|url| url.host.as_str()).collect(),
        domain: plan.domain.as_ref(),
        pr: plan.pr,
        number: plan.host_number(),
        accounts: parsed
            .iter()
            .filter(|object| object.id.kind == "ServiceAccount" && object.id.group.is_empty())
            .map(|object| object.id.name.as_str())
            .collect(),
        policy,
    };
    for object in &parsed {
        policy::check(object, &fence, &mut faults);
    }
    let (parsed, replaced) = without_replaced(parsed, &mut warnings);
    if parsed.is_empty() && faults.is_empty() {
        faults.add(|| nothing(rendered));
    }
    if let Some(errors) = faults.into_errors() {
        return Err(errors);
    }
    let tokens = policy.allows(Allowance::ServiceAccountToken);
    let mut routes = Vec::new();
    let mut objects = Vec::new();
    for parsed in parsed {
        let is_route = matches!(parsed.id.kind.as_str(), "Ingress" | "HTTPRoute");
        if is_route && !parsed.source.built_in {
            routes.push(objects.len());
        }
        let takes_place = !parsed.source.built_in && replaced.contains(&same(&parsed.id));
        let mut manifest = manifest(parsed, plan);
        if takes_place {
            ownership::serve(&mut manifest);
        }
        if !tokens {
            ownership::withhold_token(&mut manifest);
        }
        objects.push(manifest);
    }
    objects.extend(public::policies(&objects, &routes));
    leave_replicas_to_scalers(&mut objects);
    for object in &mut objects {
        ownership::label(&mut object.object, plan);
        ownership::roll_with_commit(object, plan);
    }
    ownership::roll_with_configuration(&mut objects);
    objects.sort_by_key(order);
    Ok(ManifestSet { objects, warnings })
}

/// What an object is sorted by.
pub(super) fn order(manifest: &Manifest) -> (u8, i64) {
    (manifest.stage, hooks::weight(&manifest.object))
}

/// Drops built-in objects for which the repository has one of the same kind and name, and says which.
fn without_replaced<'r>(
    parsed: Vec<Parsed<'r>>,
    warnings: &mut Vec<String>,
) -> (Vec<Parsed<'r>>, BTreeSet<Same>) {
    let own: BTreeMap<_, _> = parsed
        .iter()
        .filter(|object| !object.source.built_in)
        .map(|object| (same(&object.id), object.origin.clone()))
        .collect();
    let mut replaced = BTreeSet::new();
    let mut kept = Vec::new();
    for object in parsed {
        match own.get(&same(&object.id)) {
            Some(origin) if object.source.built_in => {
                warnings.push(format!(
                    "{} of {}:{} takes the place of the built-in one",
                    object.id, origin.file, origin.line
                ));
                replaced.insert(same(&object.id));
            }
            _ => kept.push(object),
        }
    }
    (kept, replaced)
}

/// Group, kind and name.
type Same = (String, String, String);

/// What makes two objects the same one, whatever the version they are written in.
fn same(id: &ObjectId) -> Same {
    (id.group.clone(), id.kind.clone(), id.name.clone())
}

fn manifest(parsed: Parsed<'_>, plan: &Plan) -> Manifest {
    let mut object = parsed.object;
    normalise::normalise(&parsed.id, &mut object, &plan.namespace);
    Manifest {
        stage: order::stage(&parsed.id, &object),
        id: parsed.id,
        object,
        origin: parsed.origin,
    }
}

/// A workload that is scaled by the cluster must not be set back at each deploy.
fn leave_replicas_to_scalers(objects: &mut [Manifest]) {
    let targets: Vec<(String, String)> = objects
        .iter()
        .filter(|manifest| {
            ["HorizontalPodAutoscaler", "ScaledObject"].contains(&manifest.id.kind.as_str())
        })
        .filter_map(|manifest| {
            let target = manifest.object.pointer("/spec/scaleTargetRef")?;
            let text = |field| Some(target.get(field)?.as_str()?.to_owned());
            // KEDA takes a target without a kind for a Deployment.
            let kind = text("kind").unwrap_or_else(|| "Deployment".into());
            Some((kind, text("name")?))
        })
        .collect();
    for manifest in objects {
        let scaled = targets
            .iter()
            .any(|(kind, name)| *kind == manifest.id.kind && *name == manifest.id.name);
        if scaled
            && let Some(spec) = manifest
                .object
                .get_mut("spec")
                .and_then(Value::as_object_mut)
        {
            spec.remove("replicas");
        }
    }
}

fn nothing(rendered: &[Rendered]) -> super::ManifestError {
    let files: Vec<_> = rendered
        .iter()
        .filter(|file| !file.built_in)
        .map(|file| file.file.as_str())
        .collect();
    super::ManifestError {
        reason: ReasonCode::NothingToDeploy,
        file: files.first().copied().unwrap_or("templates").into(),
        line: 0,
        column: 0,
        field: String::new(),
        problem: "no file has an object in it".into(),
        remedy: format!("write at least one; allowed are {}", kinds::allowed()),
        excerpt: String::new(),
    }
}
