//! Prints what an administrator applies once: the rights of the ServiceAccount and the policy that limits them.
//! It speaks to no cluster.
//! The manifests are embedded, so that the rights always belong to the version that needs them.

use super::print;
use crate::{inputs::SecretRef, templates};
use anyhow::Context as _;

/// Options of `preview-action setup`.
#[derive(Debug, clap::Args)]
pub(super) struct Setup {
    /// Also allow reading this registry secret, which each preview gets a copy of
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = parse_secret)]
    pull_secret: Option<SecretRef>,
}

fn parse_secret(text: &str) -> Result<SecretRef, String> {
    SecretRef::parse(text).map_err(|problem| format!("{problem}; write namespace/name"))
}

impl Setup {
    pub(super) fn run(self) -> Result<u8, print::Failed> {
        let mut text = templates::RBAC.trim_end().to_owned();
        if let Some(secret) = &self.pull_secret {
            let context = minijinja::context! { namespace => secret.namespace.as_str(), name => secret.name.as_str() };
            let extra = minijinja::Environment::new()
                .render_str(templates::PULL_SECRET, context)
                .context("templates/setup/pull-secret.yaml.j2 cannot be rendered")?;
            text = format!("{text}\n---\n{}", extra.trim());
        }
        print::text(&text);
        Ok(0)
    }
}
