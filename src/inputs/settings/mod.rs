//! Turns raw inputs into settings: typed, checked, defaults applied.
//! It reads no file that an input names; whoever opens the outside world does.
//! All mistakes are reported together, each with the input's name and its fix, so that one run is enough to mend them.

mod address;
mod confidential;
mod filters;
mod flow;
mod images;
mod kubeconfig;
mod paths;
mod patterns;
mod reader;
mod scalars;

pub use filters::{Bots, Filters};
pub use flow::{ApprovalGate, Mode};
pub(super) use images::check_reference;
pub use paths::Paths;
pub use scalars::ASSOCIATIONS;

use super::RawInputs;
use crate::names::{CommitSha, Environment, Host, Label, Namespace, Secret};
use reader::Reader;
use std::{net::IpAddr, path::PathBuf, time::Duration};

/// Everything that a workflow can set, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Whether the run acts, or only decides.
    pub mode: Mode,
    /// Commit that a plan has named; nothing else is deployed.
    pub sha: Option<CommitSha>,
    /// What stands between the plan and the run.
    pub approval_gate: ApprovalGate,
    /// Another word that means `/deploy`.
    pub deploy_command: Option<String>,
    /// Path of the workflow whose success deploys what it has built.
    pub build_workflow: Option<String>,
    /// Token for GitHub's API.
    pub token: Option<Secret>,
    /// Credential for the cluster.
    pub kubeconfig: Option<KubeconfigSource>,
    /// Context of the kubeconfig; its current one when absent.
    pub context: Option<String>,
    /// Domain below which previews get their hosts.
    pub domain: Option<Host>,
    /// Path of the configuration in the repository.
    pub config: String,
    /// Images by service.
    pub images: Vec<ImageInput>,
    /// Cap of previews at any moment; 0 means none.
    pub max_previews: u32,
    /// What becomes of a preview that finds no free slot.
    pub when_full: WhenFull,
    /// Whether the cluster's nodes are all there will be.
    pub nodes: Nodes,
    /// Who deploys a preview that waited in line.
    pub promote: Promote,
    /// True when a pull request is deployed without being asked.
    pub auto_deploy: bool,
    /// Which pull requests are deployed without being asked.
    pub filters: Filters,
    /// How long a preview lives after its last deploy or command.
    pub ttl: Duration,
    /// True when the author is told before a preview expires.
    pub expiry_warning: bool,
    /// Whether the sweep keeps a dashboard as an issue, and calls for an operator by another.
    pub dashboard_issue: bool,
    /// How long nobody has to use a preview until it sleeps; none for never.
    pub sleep_after: Option<Duration>,
    /// True when a sleeping preview keeps its slot.
    pub sleep_keeps_slot: bool,
    /// Which role somebody needs to give commands.
    pub min_permission: MinPermission,
    /// What GitHub has to call a command's author besides the role; empty for anything.
    pub author_association: Vec<String>,
    /// The word before every command, if there has to be one.
    pub command_prefix: Option<String>,
    /// How long a deploy may take until it is ready.
    pub timeout: Duration,
    /// What becomes of a live preview whose update failed.
    pub on_failed_update: OnFailedUpdate,
    /// Pattern of the Namespace's name.
    pub namespace_pattern: String,
    /// Pattern of the hosts' names; none for the default.
    pub host_pattern: Option<String>,
    /// What hosts are made of.
    pub url_mode: UrlMode,
    /// Environment that previews are counted in.
    pub environment: Environment,
    /// Namespace of the ledger.
    pub control_namespace: Namespace,
    /// Whose configuration and templates count.
    pub config_from: ConfigFrom,
    /// Number of the workflow's job; none where the runner does not know it.
    pub job: Option<u64>,
    /// Login that our comments have; asked of GitHub when absent.
    pub comment_author: Option<String>,
    /// When a status comment is begun; one that is there is kept up to date in any case.
    pub comment: CommentMode,
    /// Where the status comment stands.
    pub comment_position: CommentPosition,
    /// True when each commit's status says what its preview has come to.
    pub commit_status: bool,
    /// Whether deployments are made on GitHub.
    pub deployment: Deployments,
    /// Globs of the repository's own templates.
    pub templates: Vec<String>,
    /// Globs of manifests that earlier steps have written into the workspace.
    pub manifests: Vec<String>,
    /// Values that templates see as `values`.
    pub values: serde_json::Map<String, serde_json::Value>,
    /// Secret that is copied into each preview to pull its images.
    pub pull_secret: Option<SecretRef>,
    /// What the URL's health decides.
    pub health: HealthMode,
    /// Where the URL's host is asked instead of at its DNS address.
    pub health_address: Option<HealthAddress>,
    /// Additional certificate authorities.
    pub ca_bundle: Option<TextOrPath>,
    /// What else whoever gives commands should know of, as it was given: inputs that are not as they are by default.
    pub notable: Vec<(&'static str, String)>,
}

/// Inputs that change what happens by itself, or by which word.
const NOTABLE: [&str; 9] = [
    "deploy-command",
    "when-full",
    "sleep-after",
    "labels",
    "ignore-labels",
    "drafts",
    "bots",
    "paths",
    "build-workflow",
];

fn notable(raw: &RawInputs) -> Vec<(&'static str, String)> {
    let specs = super::registry::INPUTS.iter();
    let specs = specs.filter(|spec| NOTABLE.contains(&spec.name));
    specs
        .filter_map(|spec| {
            let text = raw.text(spec.name).filter(|text| *text != spec.default)?;
            Some((
                spec.name,
                text.split_whitespace().collect::<Vec<_>>().join(" "),
            ))
        })
        .collect()
}

impl Settings {
    /// Checks every input and applies the defaults; names all mistakes at once.
    pub fn parse(raw: &RawInputs) -> Result<Self, InputErrors> {
        let mut read = Reader::new(raw);
        let domain = read.optional("domain", scalars::domain);
        let url_mode = read.or("url-mode", "pr", scalars::url_mode);
        let host_pattern = read.optional("host-pattern", |text| {
            patterns::host(text, url_mode.unwrap_or(UrlMode::Pr))
        });
        if raw.text("domain").is_none()
            && host_pattern
                .as_deref()
                .is_some_and(|pattern: &str| pattern.contains("{domain}"))
        {
            read.refuse(
                "host-pattern",
                "uses `{domain}`, and input `domain` is empty",
                "set `domain`, or write the whole host",
            );
        }
        let mode = read.or("mode", "run", flow::mode);
        let sha = read.optional("sha", flow::sha);
        let approval_gate = read.or("approval-gate", "false", flow::approval_gate);
        let deploy_command = read.optional("deploy-command", flow::command);
        let build_workflow = read.optional("build-workflow", flow::workflow);
        let token = read.optional("token", scalars::token);
        let kubeconfig = read.optional("kubeconfig", kubeconfig::source);
        let context = read.optional("context", scalars::context);
        let config = read.or("config", ".github/preview.yml", scalars::repository_path);
        let images = images::list(&mut read);
        let max_previews = read.or("max-previews", "3", scalars::max_previews);
        let when_full = read.or("when-full", "queue", scalars::when_full);
        let nodes = read.or("nodes", "fixed", scalars::nodes);
        let promote = read.or("promote", "run", scalars::promote);
        let auto_deploy = read.or("auto-deploy", "true", scalars::boolean);
        let filters = Filters::read(&mut read);
        let ttl = read.or("ttl", "7d", scalars::ttl);
        let expiry_warning = read.or("expiry-warning", "true", scalars::boolean);
        let dashboard_issue = read.or("dashboard-issue", "true", scalars::boolean);
        let sleep_after = read.optional("sleep-after", scalars::ttl);
        let min_permission = read.or("min-permission", "write", scalars::min_permission);
        let author_association = read.optional("author-association", scalars::associations);
        let command_prefix = read.optional("command-prefix", scalars::command_prefix);
        let sleep_keeps_slot = read.or("sleep-keeps-slot", "false", scalars::boolean);
        let timeout = read.or("timeout", "5m", scalars::timeout);
        let on_failed_update = read.or("on-failed-update", "restore", scalars::on_failed_update);
        let namespace_pattern = read.or(
            "namespace-pattern",
            "pr-{repo}-{number}",
            patterns::namespace,
        );
        let environment = read.or("environment", "preview", scalars::environment);
        let control_namespace = read.or("control-namespace", "preview-system", scalars::namespace);
        let config_from = read.or("config-from", "head", scalars::config_from);
        // GitHub fills it in; what it may write there one day costs a link, never a run.
        let job = raw.text("job").and_then(|text| text.parse().ok());
        let comment_author = read.optional("comment-author", scalars::login);
        let comment = read.or("comment", "sticky", scalars::comment);
        let comment_position = read.or("comment-position", "keep", scalars::comment_position);
        let commit_status = read.or("commit-status", "true", scalars::boolean);
        let deployment = read.or("deployment", "auto", scalars::deployment);
        let templates = read.lines("templates", scalars::glob);
        let manifests = read.lines("manifests", scalars::glob);
        let values = read.optional("values", scalars::values);
        let pull_secret = read.optional("pull-secret", scalars::secret_ref);
        let health = read.or("health", "auto", scalars::health);
        let health_address = read.optional("health-address", address::health_address);
        let ca_bundle = read.optional("ca-bundle", scalars::ca_bundle);

        // A value is missing only after its mistake was noted.
        let complete = || {
            Some(Self {
                mode: mode?,
                sha,
                approval_gate: approval_gate?,
                deploy_command,
                build_workflow,
                token,
                kubeconfig,
                context,
                domain,
                config: config?,
                images,
                max_previews: max_previews?,
                when_full: when_full?,
                nodes: nodes?,
                promote: promote?,
                auto_deploy: auto_deploy?,
                filters: filters?,
                ttl: ttl?,
                // A warning is a comment that nobody has asked for.
                expiry_warning: expiry_warning? && comment? != CommentMode::Off,
                dashboard_issue: dashboard_issue?,
                sleep_after,
                sleep_keeps_slot: sleep_keeps_slot?,
                min_permission: min_permission?,
                author_association: author_association.unwrap_or_default(),
                command_prefix,
                timeout: timeout?,
                on_failed_update: on_failed_update?,
                namespace_pattern: namespace_pattern?,
                url_mode: url_mode?,
                host_pattern,
                environment: environment?,
                control_namespace: control_namespace?,
                config_from: config_from?,
                job,
                comment_author,
                comment: comment?,
                comment_position: comment_position?,
                commit_status: commit_status?,
                deployment: deployment?,
                templates,
                manifests,
                values: values.unwrap_or_default(),
                pull_secret,
                health: health?,
                health_address,
                ca_bundle,
                notable: notable(raw),
            })
        };
        read.finish(complete())
    }

    /// True where a commit needs nothing but to be pushed: neither somebody's word, nor a build, a plan or an approval before it.
    pub fn deploys_pushes(&self) -> bool {
        let planned = self.sha.is_some() || self.approval_gate != ApprovalGate::None;
        self.auto_deploy && self.build_workflow.is_none() && !planned
    }

    /// True where something is done for each commit before it is deployed.
    pub fn builds_first(&self) -> bool {
        self.build_workflow.is_some() || self.deploy_command.is_some()
    }

    /// True where a sleeper keeps its slot: in any case where its hosts are made of it, or else its routes would stand there for
    /// somebody else's hosts.
    pub fn sleepers_keep_slots(&self) -> bool {
        self.sleep_keeps_slot || self.url_mode == UrlMode::Slot
    }

    /// Every text that must not leave the process, for the redactor to learn.
    pub fn secrets(&self) -> Vec<Secret> {
        let mut secrets: Vec<Secret> = self.token.iter().cloned().collect();
        if let Some(KubeconfigSource::Text(text)) = &self.kubeconfig {
            secrets.extend(kubeconfig::secrets(text.expose()));
        }
        secrets.extend(confidential::secrets(&self.values));
        secrets
    }
}

impl SecretRef {
    /// Reads `namespace/name`; says what is wrong with anything else.
    pub fn parse(text: &str) -> Result<Self, String> {
        scalars::secret_ref(text).map_err(|problem| problem.problem)
    }
}

impl KubeconfigSource {
    /// Every secret text in a kubeconfig, for the redactor to learn once a file of that kind was read.
    pub fn secrets_in(text: &str) -> Vec<Secret> {
        kubeconfig::secrets(text)
    }
}

/// Where the kubeconfig is.
#[derive(Debug, Clone, PartialEq)]
pub enum KubeconfigSource {
    /// The text itself, decoded from base64 if it was.
    Text(Secret),
    /// A file.
    Path(PathBuf),
}

/// A text, or the file that holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TextOrPath {
    /// The text itself.
    Text(String),
    /// A file.
    Path(PathBuf),
}

/// One line `name=reference` of the input `images`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageInput {
    /// Service.
    pub service: Label,
    /// Image reference, placeholders not yet filled.
    pub reference: String,
}

/// Whose configuration and templates count for a same-repository pull request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigFrom {
    /// Those of the commit that is deployed.
    Head,
    /// Those of the base branch.
    Base,
}

/// Whether the cluster's nodes are all there will be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nodes {
    /// They are: what they have no room for now waits, or is refused.
    Fixed,
    /// More come when they are needed.
    Elastic,
}

/// How much longer somebody wants a preview to live, as `/extend` takes it; none when it is no such time.
pub fn extension(text: &str) -> Option<Duration> {
    scalars::extension(text).ok()
}

/// What becomes of a preview that finds no free slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenFull {
    /// It waits in line and is deployed once a slot is free.
    Queue,
    /// It is refused.
    Refuse,
}

/// What hosts are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UrlMode {
    /// The number of the pull request.
    Pr,
    /// The number of the slot.
    Slot,
}

/// Which role somebody needs to give commands, lowest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum MinPermission {
    /// May push.
    Write,
    /// Maintains the repository.
    Maintain,
    /// May change its settings.
    Admin,
}

impl MinPermission {
    /// GitHub's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::Maintain => "maintain",
            Self::Admin => "admin",
        }
    }
}

/// When a status comment is begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommentMode {
    /// With the first deploy.
    Sticky,
    /// Once something has failed, or needs a person.
    OnFailure,
    /// Only where somebody asks for the status.
    Off,
}

/// Where the status comment stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommentPosition {
    /// Where it was begun.
    Keep,
    /// Below all others, from the begin of each deploy on.
    Bottom,
}

/// Whether deployments are made on GitHub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deployments {
    /// They are, unless GitHub has made its own.
    Auto,
    /// They are not.
    Off,
}

/// Who deploys a preview that waited in line once a slot is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promote {
    /// The run that sees the slot.
    Run,
    /// Another run of the workflow, which is started for it.
    Dispatch,
}

/// What becomes of a live preview whose update failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailedUpdate {
    /// The last good set is applied again.
    Restore,
    /// It stays as the failure left it.
    Keep,
    /// It is removed.
    Remove,
}

/// What the health of the URL decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HealthMode {
    /// An answer counts; no name or no connection is a warning.
    Auto,
    /// No name or no connection is a failure as well.
    Required,
    /// The URL is not asked.
    Off,
}

/// The address that is asked instead of the one that DNS gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HealthAddress {
    /// Address.
    pub ip: IpAddr,
    /// Port; the URL's own when absent.
    pub port: Option<u16>,
}

/// A Secret in the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretRef {
    /// Namespace.
    pub namespace: Namespace,
    /// Name.
    pub name: String,
}

/// One wrong input.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("input `{input}`: {problem}; {fix}")]
pub struct InputError {
    /// Name of the input.
    pub input: &'static str,
    /// What is wrong with it.
    pub problem: String,
    /// What to write instead.
    pub fix: String,
}

/// All wrong inputs of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputErrors(pub Vec<InputError>);

impl std::fmt::Display for InputErrors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let lines: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for InputErrors {}

#[cfg(test)]
mod tests;
