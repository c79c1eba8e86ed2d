//! Turns settings, configuration and the facts of a pull request into the plan of one preview: names, hosts, images, labels, life.
//! It reads no clock and asks nobody; the time is an argument.
//! Every name is valid and unique by construction, so nothing later can collide or be refused for its name.

mod addresses;
mod images;
mod naming;

use crate::{
    inputs::{Settings, UrlMode, configuration::Configuration},
    names::{
        CommitSha, Host, Label, Namespace, PrNumber, PreviewKey, ReasonCode, RepoId, RepoName,
    },
};
use jiff::Timestamp;
use naming::Fill;
use std::{collections::BTreeMap, time::Duration};

pub use naming::host_belongs_to;

/// What the preview of one pull request is to be.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Plan {
    /// Which preview this is.
    pub key: PreviewKey,
    /// Repository.
    pub repository: RepoName,
    /// Pull request.
    pub pr: PrNumber,
    /// Commit that is deployed.
    pub sha: CommitSha,
    /// Branch that it comes from: untrusted text.
    pub branch: String,
    /// Namespace.
    pub namespace: Namespace,
    /// Labels of the Namespace, except `slot` and `preview-action/state`, which the claim decides.
    pub labels: BTreeMap<String, String>,
    /// Annotations of the Namespace.
    pub annotations: BTreeMap<String, String>,
    /// Services in the order of the configuration.
    pub services: Vec<PlannedService>,
    /// Slot that hosts are made of; none when they are made of the pull request's number.
    pub slot: Option<u32>,
    /// Public addresses, the main one first; empty when no service is public.
    pub urls: Vec<PublicUrl>,
    /// Domain below which hosts have to be; none when no host is.
    pub domain: Option<Host>,
    /// Images by name: those of all services and of further entries of the input `images`.
    pub images: BTreeMap<String, String>,
    /// When the preview expires; never when it is pinned.
    pub expires: Option<Timestamp>,
    /// How long the deploy may take until it is ready.
    pub timeout: Duration,
}

/// One service as templates and report see it.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct PlannedService {
    /// Name.
    pub name: Label,
    /// Image, placeholders filled.
    pub image: String,
    /// True when the image is named by tag: it is pulled on each deploy.
    pub mutable_tag: bool,
}

/// A public address of a service.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct PublicUrl {
    /// Service.
    pub service: Label,
    /// Host.
    pub host: Host,
    /// Path that the service is reached under, `/` for all.
    pub path: String,
    /// Whole address.
    pub url: String,
    /// Path that is asked for health when it is put behind `url`, such as `/healthz`; may be empty.
    pub health_path: String,
}

/// What is known of a pull request when it is deployed.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    /// Repository.
    pub repository: RepoName,
    /// Number of the repository for life.
    pub repository_id: RepoId,
    /// Pull request.
    pub pr: PrNumber,
    /// Commit that is deployed.
    pub sha: CommitSha,
    /// Branch that it comes from: untrusted text.
    pub branch: String,
    /// Variant; none for the one preview that a pull request has by default.
    pub variant: Option<Label>,
    /// The time.
    pub now: Timestamp,
    /// True when the run was started by an event of this pull request itself, so that its inputs were made for it.
    pub own_run: bool,
    /// True when it comes from a fork.
    pub fork: bool,
    /// Slot that it has or will have, as far as is known; hosts are made of it where the settings say so.
    pub slot: Option<u32>,
    /// Somebody wants the preview to live until then at least.
    pub extended: Option<Timestamp>,
    /// True when it does not expire.
    pub pinned: bool,
}

impl Plan {
    /// The number that a host of this preview has to name.
    pub fn host_number(&self) -> u64 {
        self.slot.map_or(self.pr.get(), u64::from)
    }
}

impl Facts {
    /// Which preview this is.
    pub fn key(&self, settings: &Settings) -> PreviewKey {
        PreviewKey {
            repository: self.repository_id,
            environment: settings.environment.clone(),
            pr: self.pr,
            variant: self.variant.clone(),
        }
    }
}

/// Says why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{cause}; {remedy}")]
pub struct PlanError {
    /// Reason code.
    pub reason: ReasonCode,
    /// Cause in one sentence.
    pub cause: String,
    /// Remedy in one sentence.
    pub remedy: String,
}

/// Decides what the preview of one pull request is to be.
pub fn decide(
    settings: &Settings,
    configuration: &Configuration,
    facts: &Facts,
) -> Result<Plan, PlanError> {
    if configuration.services.is_empty()
        && template_globs(settings, configuration).is_empty()
        && settings.manifests.is_empty()
    {
        return Err(PlanError {
            reason: ReasonCode::NothingToDeploy,
            cause: format!(
                "neither `{}` nor the inputs `images`, `templates` and `manifests` say what to deploy",
                settings.config
            ),
            remedy: format!(
                "add the input `images` with a line such as `web=registry.example.com/{}:{{sha}}`, or the file `{}`",
                facts.repository.to_string().to_ascii_lowercase(),
                settings.config
            ),
        });
    }
    let slot = match settings.url_mode {
        UrlMode::Pr => None,
        // Whoever only wants to see the objects sees those of the first slot.
        UrlMode::Slot => Some(facts.slot.unwrap_or(1)),
    };
    let key = facts.key(settings);
    let unique = unique(&key);
    let images = images::decide(settings, configuration, facts)?;
    let urls = addresses::decide(settings, configuration, facts, slot, &unique)?;
    let expires = match facts.pinned {
        true => None,
        false => Some(expiry(facts.now, settings.ttl, facts.extended)),
    };
    Ok(Plan {
        namespace: namespace(settings, &facts.repository, &key)?,
        labels: labels(&key),
        annotations: annotations(facts, expires, urls.first()),
        services: configuration
            .services
            .iter()
            .filter_map(|(name, _)| {
                let image = images.get(name.as_str())?;
                Some(PlannedService {
                    name: name.clone(),
                    mutable_tag: images::is_mutable(image),
                    image: image.clone(),
                })
            })
            .collect(),
        key,
        repository: facts.repository.clone(),
        pr: facts.pr,
        sha: facts.sha.clone(),
        branch: facts.branch.clone(),
        urls,
        slot,
        domain: settings.domain.clone(),
        images,
        expires,
        timeout: settings.timeout,
    })
}

/// The globs of the repository's own templates: those of the input where there are any, else those of the configuration.
pub fn template_globs<'a>(
    settings: &'a Settings,
    configuration: &'a Configuration,
) -> &'a [String] {
    if settings.templates.is_empty() {
        &configuration.templates
    } else {
        &settings.templates
    }
}

/// What tells a preview from all others of all repositories, for the hash in a cut name.
fn unique(key: &PreviewKey) -> String {
    format!("{}/{}/{}", key.repository, key.environment, key.in_ledger())
}

/// Decides the name of a preview's Namespace.
pub fn namespace(
    settings: &Settings,
    repository: &RepoName,
    key: &PreviewKey,
) -> Result<Namespace, PlanError> {
    let mut pattern = settings.namespace_pattern.clone();
    if key.variant.is_some() && !pattern.contains("{variant}") {
        pattern.push_str("-{variant}");
    }
    let wrong = |cause: String| PlanError {
        reason: ReasonCode::BadInput,
        cause: format!("input `namespace-pattern` {cause}"),
        remedy: "write one such as `pr-{repo}-{number}`".into(),
    };
    if !pattern.contains("{number}") {
        return Err(wrong(
            "lacks `{number}`, so all pull requests would share one Namespace".into(),
        ));
    }
    let number = key.pr.to_string();
    let repository_id = key.repository.to_string();
    let fill = |placeholder, text, may_be_cut| Fill {
        placeholder,
        text,
        may_be_cut,
    };
    let fills = [
        fill("owner", repository.owner(), true),
        fill("repo", repository.name(), true),
        fill("repo-id", repository_id.as_str(), false),
        fill("number", number.as_str(), false),
        fill("environment", settings.environment.as_str(), true),
        fill(
            "variant",
            key.variant.as_ref().map_or("", Label::as_str),
            true,
        ),
    ];
    let name = naming::label(&pattern, &fills, &unique(key))
        .map_err(|unknown| wrong(format!("has the unknown placeholder `{{{}}}`", unknown.0)))?;
    if !name.contains(&number) {
        return Err(wrong(format!(
            "is so long that the number {number} finds no room in `{name}`"
        )));
    }
    name.parse()
        .map_err(|_| wrong(format!("gives `{name}`, which is no name of a Namespace")))
}

fn labels(key: &PreviewKey) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::from([
        ("app".into(), "preview".into()),
        ("pr".into(), key.pr.to_string()),
        (
            "preview-action/repository-id".into(),
            key.repository.to_string(),
        ),
        (
            "preview-action/environment".into(),
            key.environment.to_string(),
        ),
    ]);
    if let Some(variant) = &key.variant {
        labels.insert("preview-action/variant".into(), variant.to_string());
    }
    labels
}

/// When a preview expires that was used last at `since`, to the second: people read it.
pub fn expiry(since: Timestamp, ttl: Duration, extended: Option<Timestamp>) -> Timestamp {
    let usual = since.checked_add(ttl).unwrap_or(Timestamp::MAX);
    let expires = extended.map_or(usual, |until| until.max(usual));
    Timestamp::from_second(expires.as_second()).unwrap_or(expires)
}

/// Annotation of a Namespace: when its preview expires.
pub const EXPIRES: &str = "preview-action/expires";

/// Annotation of a Namespace whose preview does not expire.
pub const PINNED: &str = "preview-action/pinned";

/// The annotation that says how long a preview lives.
pub fn life(expires: Option<Timestamp>) -> (&'static str, String) {
    match expires {
        Some(at) => (EXPIRES, at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
        None => (PINNED, "true".into()),
    }
}

fn annotations(
    facts: &Facts,
    expires: Option<Timestamp>,
    main: Option<&PublicUrl>,
) -> BTreeMap<String, String> {
    let (name, value) = life(expires);
    let mut annotations = BTreeMap::from([
        ("preview-action/sha".into(), facts.sha.to_string()),
        (name.into(), value),
    ]);
    if let Some(main) = main {
        annotations.insert("preview-action/url".into(), main.url.clone());
    }
    annotations
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
pub(crate) mod fixtures;
#[cfg(test)]
mod tests;
