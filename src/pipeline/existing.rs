//! What a preview's Namespace holds, with all kinds known that its set was made of.
//! It decides nothing about what goes; `cluster` does, and leaves alone what it has no path for.
//! A kind that the policy opened may have left the templates altogether, and then nothing else asks for the policy.

use super::{Failure, Ports, render, sources::Sources};
use crate::{cluster::Existing, manifests::ManifestSet, names::Namespace};

/// What is there, and what to tell people about what cannot be seen.
pub(super) async fn existing(
    ports: &Ports,
    sources: &Sources,
    namespace: &Namespace,
    set: &ManifestSet,
) -> Result<(Existing, Option<String>), Failure> {
    let cluster = ports.cluster()?;
    let existing = cluster.existing(namespace, set).await?;
    if existing.unknown_kinds().is_empty() {
        return Ok((existing, None));
    }
    let why = match render::open_kinds(ports, sources).await {
        Ok(_) => "the default branch's `policy` does not open it any more".into(),
        Err(failure) => failure.line(),
    };
    let existing = cluster.existing(namespace, set).await?;
    let unknown = existing.unknown_kinds();
    let warning = (!unknown.is_empty()).then(|| {
        format!(
            "objects of {} may have been left behind, which go with the preview: {why}",
            unknown.join(", ")
        )
    });
    Ok((existing, warning))
}
