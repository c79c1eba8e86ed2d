//! Settings, configurations and facts for the tests of this stage and of `manifests`.
//! It stands in test builds only.
//! The settings are read like a user's, so that a new one has its own default here too.

use super::{Facts, Plan, PlanError, decide};
use crate::{
    inputs::{ImageInput, Settings, configuration::Configuration},
    names::PrNumber,
};

/// Settings with their defaults and a domain.
pub(crate) fn settings() -> Settings {
    let given = [("domain".to_owned(), "preview.example.com".to_owned())];
    Settings::parse(&given.into_iter().collect()).unwrap()
}

/// Settings with lines `name=reference` of the input `images`.
pub(crate) fn settings_with_images(lines: &[&str]) -> Settings {
    Settings {
        images: lines
            .iter()
            .map(|line| {
                let (service, reference) = line.split_once('=').unwrap();
                ImageInput {
                    service: service.parse().unwrap(),
                    reference: reference.into(),
                }
            })
            .collect(),
        ..settings()
    }
}

/// The configuration in a text that begins after its version.
pub(crate) fn configuration(text: &str) -> Configuration {
    Configuration::parse(".github/preview.yml", &format!("version: 1\n{text}")).unwrap()
}

/// Pull request 12 of `acme/shop`.
pub(crate) fn facts() -> Facts {
    Facts {
        repository: "acme/shop".parse().unwrap(),
        repository_id: crate::names::RepoId(4711),
        pr: PrNumber::new(12).unwrap(),
        sha: "0123456789abcdef0123456789abcdef01234567".parse().unwrap(),
        branch: "feature/Cart".into(),
        variant: None,
        now: "2026-01-01T00:00:00Z".parse().unwrap(),
        own_run: true,
        fork: false,
        slot: None,
        extended: None,
        pinned: false,
    }
}

/// The plan for a configuration text, with default settings.
pub(crate) fn plan(text: &str) -> Result<Plan, PlanError> {
    decide(&settings(), &configuration(text), &facts())
}
