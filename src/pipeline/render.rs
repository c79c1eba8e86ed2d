//! Renders the objects of a preview: configuration and templates in, fenced objects out.
//! It needs no cluster and no token, so that anybody can look at what a deploy would apply.
//! The same function serves `deploy` and the command `render`, so that they cannot differ.

use super::{DeployRequest, Failure, Ports, sources::Sources};
use crate::{
    cluster::kinds,
    inputs::configuration::{Configuration, Policy},
    manifests::{self, Manifest, ManifestErrors, ManifestSet, Origin, Place, Rendered},
    names::State,
    plan::{self, Plan},
};
use serde_json::Value;

/// The objects of a plan.
pub(super) async fn objects(
    ports: &Ports,
    sources: &Sources,
    plan: &Plan,
    configuration: &Configuration,
) -> Result<ManifestSet, Failure> {
    let templates = sources.templates(ports, configuration).await?;
    let request = manifests::build(plan, configuration, &ports.settings, templates);
    let generated = sources.manifests(ports)?;
    let mut rendered = ports.sandbox.render(&request).await?;
    rendered.extend(generated);
    let mut set = match manifests::assemble(plan, &rendered) {
        Err(errors) if errors.may_be_allowed() => {
            allowed(ports, sources, plan, &rendered, errors).await?
        }
        result => result?,
    };
    for manifest in &mut set.objects {
        if let Some(origin) = asked_for(manifest, configuration, &ports.settings.config) {
            manifest.origin = origin;
        }
    }
    Ok(set)
}

/// The objects under the default branch's policy, which is read only now that something was refused without it.
async fn allowed(
    ports: &Ports,
    sources: &Sources,
    plan: &Plan,
    rendered: &[Rendered],
    refused: ManifestErrors,
) -> Result<ManifestSet, Failure> {
    let policy = match open_kinds(ports, sources).await {
        Ok(policy) => policy,
        Err(fault) => {
            // The refusals stand, and so does why nothing could lift them.
            let mut failure = Failure::from(refused);
            failure.causes.extend(fault.causes);
            return Err(failure);
        }
    };
    if policy == Policy::default() {
        return Err(refused.into());
    }
    Ok(manifests::assemble_under(plan, &policy, rendered)?)
}

/// Reads the default branch's policy and makes its kinds known.
pub(super) async fn open_kinds(ports: &Ports, sources: &Sources) -> Result<Policy, Failure> {
    let policy = sources.policy(ports).await?;
    for kind in &policy.kinds {
        kinds::open(&kind.api_version, &kind.kind, &kind.plural);
    }
    Ok(policy)
}

/// What people can change where an object comes from our own templates: the service in the configuration or in the input
/// `images`, or the configuration as a whole.
fn asked_for(manifest: &Manifest, configuration: &Configuration, config: &str) -> Option<Origin> {
    if manifest.origin.place() != Place::BuiltIn {
        return None;
    }
    let label = &manifest.object["metadata"]["labels"]["app.kubernetes.io/name"];
    let mut services = configuration.services.iter();
    match services.find(|(name, _)| label == name.as_str()) {
        Some((name, service)) if service.line > 0 => {
            Some(Origin::service(config, name.as_str(), service.line))
        }
        Some((name, _)) => Some(Origin::images(name.as_str())),
        None => {
            let written = services_are_written(configuration);
            written.then(|| Origin::configuration(config))
        }
    }
}

fn services_are_written(configuration: &Configuration) -> bool {
    let mut services = configuration.services.iter();
    services.any(|(_, service)| service.line > 0)
}

/// The objects that a deploy would apply, the Namespace first, in the order of their stages.
pub async fn manifests(
    ports: &Ports,
    request: &DeployRequest,
    sources: &Sources,
) -> Result<Vec<Value>, Failure> {
    let configuration = sources.configuration(ports).await?;
    let plan = plan::decide(
        &ports.settings,
        &configuration,
        &request.facts(jiff::Timestamp::now()),
    )?;
    let set = objects(ports, sources, &plan, &configuration).await?;
    // The slot is given when the preview is deployed.
    let namespace = manifests::namespace(&plan, 1, State::Deploying, None);
    Ok(std::iter::once(namespace)
        .chain(set.objects.into_iter().map(|manifest| manifest.object))
        .collect())
}
