//! Renders the objects of a preview: configuration and templates in, fenced objects out.
//! It needs no cluster and no token, so that anybody can look at what a deploy would apply.
//! The same function serves `deploy` and the command `render`, so that they cannot differ.

use super::{DeployRequest, Failure, Ports, sources::Sources};
use crate::{
    inputs::configuration::Configuration,
    manifests::{self, Manifest, ManifestSet, Origin},
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
    let rendered = ports.sandbox.render(&request).await?;
    let mut set = manifests::assemble(plan, &rendered)?;
    for manifest in &mut set.objects {
        if let Some(origin) = asked_for(manifest, configuration, &ports.settings.config) {
            manifest.origin = origin;
        }
    }
    Ok(set)
}

/// The service in the configuration that an object of our own templates comes from: what people can change.
fn asked_for(manifest: &Manifest, configuration: &Configuration, config: &str) -> Option<Origin> {
    if manifest.origin.place().0.is_some() {
        return None;
    }
    let label = &manifest.object["metadata"]["labels"]["app.kubernetes.io/name"];
    let mut services = configuration.services.iter();
    let (name, service) = services.find(|(name, _)| label == name.as_str())?;
    (service.line > 0).then(|| Origin::service(config, name.as_str(), service.line))
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
