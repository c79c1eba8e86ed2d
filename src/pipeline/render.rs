//! Renders the objects of a preview: configuration and templates in, fenced objects out.
//! It needs no cluster and no token, so that anybody can look at what a deploy would apply.
//! The same function serves `deploy` and the command `render`, so that they cannot differ.

use super::{DeployRequest, Failure, Ports, sources::Sources};
use crate::{
    inputs::configuration::Configuration,
    manifests::{self, ManifestSet},
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
    Ok(manifests::assemble(plan, &rendered)?)
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
