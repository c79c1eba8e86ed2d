//! Settings, configurations and facts for the tests of this stage and of `manifests`.
//! It stands in test builds only.
//! One place, so that a new setting is filled in once.

use super::{Facts, Plan, PlanError, decide};
use crate::{
    inputs::{
        ConfigFrom, HealthMode, ImageInput, Nodes, OnFailedUpdate, Promote, Settings, UrlMode,
        WhenFull, configuration::Configuration,
    },
    names::PrNumber,
};
use std::time::Duration;

/// Settings with their defaults and a domain.
pub(crate) fn settings() -> Settings {
    Settings {
        mode: crate::inputs::Mode::Run,
        sha: None,
        approval_gate: crate::inputs::ApprovalGate::None,
        deploy_command: None,
        build_workflow: None,
        token: None,
        kubeconfig: None,
        context: None,
        domain: "preview.example.com".parse().ok(),
        config: ".github/preview.yml".into(),
        images: Vec::new(),
        max_previews: 3,
        auto_deploy: true,
        filters: crate::inputs::Filters {
            drafts: true,
            ..crate::inputs::Filters::default()
        },
        ttl: Duration::from_secs(7 * 24 * 3600),
        expiry_warning: true,
        dashboard_issue: true,
        sleep_after: None,
        sleep_keeps_slot: false,
        min_permission: crate::inputs::MinPermission::Write,
        author_association: Vec::new(),
        command_prefix: None,
        timeout: Duration::from_secs(300),
        on_failed_update: OnFailedUpdate::Restore,
        when_full: WhenFull::Queue,
        nodes: Nodes::Fixed,
        promote: Promote::Run,
        namespace_pattern: "pr-{repo}-{number}".into(),
        host_pattern: None,
        url_mode: UrlMode::Pr,
        environment: "preview".parse().unwrap(),
        control_namespace: "preview-system".parse().unwrap(),
        config_from: ConfigFrom::Head,
        job: None,
        comment_author: None,
        comment: crate::inputs::CommentMode::Sticky,
        comment_position: crate::inputs::CommentPosition::Keep,
        commit_status: true,
        deployment: crate::inputs::Deployments::Auto,
        templates: Vec::new(),
        manifests: Vec::new(),
        values: serde_json::Map::new(),
        pull_secret: None,
        health: HealthMode::Auto,
        health_address: None,
        ca_bundle: None,
        notable: Vec::new(),
    }
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
