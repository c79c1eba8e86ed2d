//! Turns image references with placeholders into the images of one commit.
//! It asks no registry.
//! In a run that was not started by the pull request's own push a fixed tag could be another pull request's image, so it is refused there.

use super::{Facts, PlanError, naming};
use crate::{
    inputs::{Settings, configuration::Configuration},
    names::{Label, ReasonCode},
};
use std::collections::BTreeMap;

/// Where a reference was written.
#[derive(Clone, Copy)]
enum Written {
    Input,
    Configuration,
}

/// The images of all services and of all further entries of the input `images`, by name.
pub(super) fn decide(
    settings: &Settings,
    configuration: &Configuration,
    facts: &Facts,
) -> Result<BTreeMap<String, String>, PlanError> {
    let mut images = BTreeMap::new();
    for (name, service) in &configuration.services {
        if let Some(reference) = &service.image {
            let image = fill(name, reference, Written::Configuration, facts);
            images.insert(name, image);
        }
    }
    for input in &settings.images {
        let image = fill(&input.service, &input.reference, Written::Input, facts);
        images.insert(&input.service, image);
    }
    let missing: Vec<_> = configuration
        .services
        .iter()
        .filter(|(name, _)| !images.contains_key(name))
        .map(|(name, _)| format!("`{name}`"))
        .collect();
    if !missing.is_empty() {
        return Err(PlanError {
            reason: ReasonCode::BadConfiguration,
            cause: format!("no image is given for {}", missing.join(", ")),
            remedy: format!(
                "add `image:` to the service in `{}` or a line `name=reference` to the input `images`",
                settings.config
            ),
        });
    }
    images
        .into_iter()
        .map(|(name, image)| Ok((name.to_string(), image?)))
        .collect()
}

/// True when an image is named by tag, so that it may change without its name changing.
pub(super) fn is_mutable(image: &str) -> bool {
    !image.contains('@')
}

fn fill(
    name: &Label,
    reference: &str,
    written: Written,
    facts: &Facts,
) -> Result<String, PlanError> {
    let (reason, place) = match written {
        Written::Input => (ReasonCode::BadInput, "input `images`"),
        Written::Configuration => (ReasonCode::BadConfiguration, "the configuration"),
    };
    let fixed = is_mutable(reference) && !naming::has_placeholder(reference);
    if matches!(written, Written::Input) && fixed && !facts.own_run {
        return Err(PlanError {
            reason,
            cause: format!(
                "image `{reference}` of `{name}` has no placeholder and no digest, so this run cannot know that it belongs to #{}",
                facts.pr
            ),
            remedy: "write the tag with `{sha}` or `{number}` in the input `images`, or move a fixed image to the configuration".into(),
        });
    }
    // What was approved is a commit, and only its whole name can be no other one's.
    let of_another = facts.fork && is_mutable(reference) && !reference.contains("{sha}");
    if of_another && naming::has_placeholder(reference) {
        return Err(PlanError {
            reason,
            cause: format!(
                "image `{reference}` of `{name}` in {place} may become that of another commit than the one of the fork that was approved"
            ),
            remedy: "write its tag with `{sha}`".into(),
        });
    }
    let image = naming::fill(reference, |placeholder| {
        Some(match placeholder {
            "sha" => facts.sha.to_string(),
            "short-sha" => facts.sha.short().into(),
            "number" => facts.pr.to_string(),
            "branch" => naming::branch_tag(&facts.branch),
            _ => return None,
        })
    })
    .map_err(|unknown| PlanError {
        reason,
        cause: format!(
            "image of `{name}` in {place} has the unknown placeholder `{{{}}}`",
            unknown.0
        ),
        remedy: "use `{sha}`, `{short-sha}`, `{number}` or `{branch}`".into(),
    })?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/:@".contains(c);
    if image.is_empty() || !image.chars().all(plain) || image.contains("://") {
        return Err(PlanError {
            reason,
            cause: format!("image `{image:.120}` of `{name}` in {place} is no image reference"),
            remedy: "write one such as `registry.example.com/acme/web:{sha}`".into(),
        });
    }
    Ok(image)
}
