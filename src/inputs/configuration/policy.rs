//! What the default branch lets previews have beyond the ordinary: kinds, doors and hosts.
//! It knows no object; `manifests` asks it, and it asks nobody.
//! It can only open and never close, so that reading it late, or not at all, is safe.

use super::{
    ConfigurationError,
    fields::{At, Fields},
    read,
};
use crate::names::{Host, PrNumber, plural};
use schemars::JsonSchema;
use std::collections::BTreeSet;

/// What previews may have beyond the ordinary; it counts on the default branch alone.
#[derive(Debug, Clone, PartialEq, Eq, Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Policy {
    /// Kinds of the cluster's extensions that templates and manifests may use; never kinds outside Namespaces.
    #[schemars(default)]
    pub kinds: Vec<PolicyKind>,
    /// What else is allowed.
    #[schemars(default)]
    pub allow: BTreeSet<Allowance>,
    /// Hosts besides the preview's own: a name, or `*.` and a domain for all names below it; `{number}` is the pull request's.
    #[schemars(default)]
    pub hosts: Vec<String>,
}

/// A kind of the cluster's extensions.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema)]
#[schemars(rename_all = "kebab-case", deny_unknown_fields)]
pub struct PolicyKind {
    /// Its `apiVersion`, such as `cert-manager.io/v1`.
    #[schemars(regex(pattern = r"^[a-z0-9][-a-z0-9.]*\.[-a-z0-9.]+/v[a-z0-9]+$"))]
    pub api_version: String,
    /// Its `kind`, such as `Certificate`.
    #[schemars(regex(pattern = "^[A-Z][A-Za-z0-9]*$"))]
    pub kind: String,
    /// Its name in paths and RBAC rules, such as `certificates`; made of `kind` when absent.
    #[schemars(with = "Option<String>", regex(pattern = "^[a-z][a-z0-9]*$"))]
    pub plural: String,
}

macro_rules! allowances {
    ($($(#[doc = $purpose:literal])+ $variant:ident = $word:literal;)*) => {
        /// One thing that previews may have only when the default branch says so.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
        #[schemars(rename_all = "kebab-case")]
        pub enum Allowance {
            $($(#[doc = $purpose])+ $variant,)*
        }

        impl Allowance {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The word that it is written with.
            pub fn word(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }

            /// What it allows, in one sentence.
            pub fn purpose(self) -> &'static str {
                match self {
                    $(Self::$variant => concat!($($purpose),+),)*
                }
            }
        }
    };
}

allowances! {
    /// Services of type LoadBalancer, each with an address of its own.
    LoadBalancer = "load-balancer";
    /// Services of type NodePort, which answer on every node.
    NodePort = "node-port";
    /// Services of type ExternalName, which stand for a host outside of the preview.
    ExternalName = "external-name";
    /// Tokens of the cluster's API in pods that have no ServiceAccount of their own.
    ServiceAccountToken = "service-account-token";
    /// Annotations of a ServiceAccount that give its pods an identity at a cloud.
    CloudIdentity = "cloud-identity";
    /// Volumes of drivers and of the network, such as `csi` and `nfs`, in descriptions of pods.
    NetworkVolumes = "network-volumes";
    /// Claims that name or select volumes which exist already.
    ExistingVolumes = "existing-volumes";
    /// Priority classes, by which pods push others aside; never those of the system.
    PriorityClass = "priority-class";
    /// NetworkPolicies that open traffic to addresses, node metadata and private networks included.
    OpenEgress = "open-egress";
    /// Annotations that write into the ingress controller's configuration or make it ask other addresses.
    IngressAnnotations = "ingress-annotations";
    /// Pods that may take longer than four minutes to end, so that removal may take longer than five.
    SlowTermination = "slow-termination";
}

impl Policy {
    /// Reads the key `policy` of a configuration file and nothing else, so that a fault elsewhere in it closes nothing.
    pub fn parse(path: &str, text: &str) -> Result<Self, ConfigurationError> {
        read::policy(text).map_err(|faults| ConfigurationError {
            path: path.into(),
            faults,
        })
    }

    /// True when this is allowed.
    pub fn allows(&self, allowance: Allowance) -> bool {
        self.allow.contains(&allowance)
    }

    /// The entry for a kind.
    pub fn kind(&self, api_version: &str, kind: &str) -> Option<&PolicyKind> {
        self.kinds
            .iter()
            .find(|known| known.api_version == api_version && known.kind == kind)
    }

    /// True when an entry of `kinds` could open this kind.
    pub fn may_open(api_version: &str, kind: &str) -> bool {
        of_extension(api_version) && !outside_namespaces(api_version, kind)
    }

    /// True when a host is one of those that it opens for a pull request.
    pub fn opens_host(&self, host: &str, pr: PrNumber) -> bool {
        self.hosts.iter().any(|pattern| {
            let pattern = pattern.replace("{number}", &pr.to_string());
            match pattern.strip_prefix('*') {
                Some(domain) => host
                    .strip_suffix(domain)
                    .is_some_and(|head| !head.is_empty() && host.parse::<Host>().is_ok()),
                None => host == pattern,
            }
        })
    }
}

pub(super) fn policy(mut fields: Fields<'_>) -> Policy {
    let words: Vec<_> = Allowance::ALL
        .iter()
        .map(|allowance| (allowance.word(), *allowance))
        .collect();
    let policy = Policy {
        kinds: fields
            .take("kinds")
            .map(|at| at.items().into_iter().filter_map(kind).collect())
            .unwrap_or_default(),
        allow: fields
            .take("allow")
            .map(|at| at.items().iter().filter_map(|at| at.word(&words)).collect())
            .unwrap_or_default(),
        hosts: fields
            .take("hosts")
            .map(|at| at.items().iter().filter_map(host).collect())
            .unwrap_or_default(),
    };
    fields.close(&[]);
    policy
}

fn kind(at: At<'_>) -> Option<PolicyKind> {
    let mut fields = at.fields()?;
    let api_version = fields
        .require("api-version", "`api-version: group/version`")
        .and_then(|at| api_version(&at));
    let kind = fields.require("kind", "`kind: Name`").and_then(|at| {
        word(&at, "a kind, such as Certificate", |name| {
            name.starts_with(|c: char| c.is_ascii_uppercase())
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
        })
    });
    let given = fields.take("plural").map(|at| {
        word(
            &at,
            "the kind's name in paths, such as certificates",
            |name| {
                name.starts_with(|c: char| c.is_ascii_lowercase())
                    && name
                        .bytes()
                        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
            },
        )
    });
    if let (Some(version), Some(kind)) = (&api_version, &kind)
        && outside_namespaces(version, kind)
    {
        fields.fault(
            format!("{kind} of `{version}` stands outside of Namespaces"),
            "leave it out: a preview never reaches beyond its Namespace",
        );
    }
    fields.close(&[]);
    let kind = kind?;
    Some(PolicyKind {
        api_version: api_version?,
        plural: match given {
            Some(given) => given?,
            None => plural(&kind),
        },
        kind,
    })
}

fn api_version(at: &At<'_>) -> Option<String> {
    let text = word(at, "`group/version`, such as cert-manager.io/v1", |text| {
        text.split_once('/').is_some_and(|(group, version)| {
            group.contains('.')
                && group.parse::<Host>().is_ok()
                && version.starts_with('v')
                && version.bytes().all(|byte| byte.is_ascii_alphanumeric())
        })
    })?;
    if !of_extension(&text) {
        at.fault(
            format!("`{text:.80}` is of Kubernetes itself"),
            "leave it out: what previews may have of Kubernetes itself is fixed, roles and admission are never among it",
        );
        return None;
    }
    Some(text)
}

fn word(at: &At<'_>, expected: &str, fits: impl Fn(&str) -> bool) -> Option<String> {
    let text = at.text()?;
    if text.len() <= 253 && fits(&text) {
        return Some(text);
    }
    at.fault(format!("`{text:.80}` is none"), format!("write {expected}"));
    None
}

fn host(at: &At<'_>) -> Option<String> {
    let text = at.text()?;
    let plain = text.replace("{number}", "1");
    let plain = plain.strip_prefix("*.").unwrap_or(&plain);
    if plain.contains('.') && plain.parse::<Host>().is_ok() {
        return Some(text);
    }
    at.fault(
        format!("`{text:.120}` is no host"),
        "write a name such as shop-{number}.example.com, or *.example.com for all below it",
    );
    None
}

/// Groups below `k8s.io` that are installed beside Kubernetes and hold kinds that may be opened.
const EXTENSIONS: &[&str] = &["gateway.networking.k8s.io", "snapshot.storage.k8s.io"];

/// Well-known kinds outside Namespaces; others of that sort have no path within a Namespace, so no server takes them from us.
const OUTSIDE: &[(&str, &str)] = &[
    ("cert-manager.io", "ClusterIssuer"),
    ("external-secrets.io", "ClusterExternalSecret"),
    ("external-secrets.io", "ClusterSecretStore"),
    ("gateway.networking.k8s.io", "GatewayClass"),
    ("keda.sh", "ClusterTriggerAuthentication"),
    ("kyverno.io", "ClusterPolicy"),
    ("postgresql.cnpg.io", "ClusterImageCatalog"),
    ("snapshot.storage.k8s.io", "VolumeSnapshotClass"),
    ("snapshot.storage.k8s.io", "VolumeSnapshotContent"),
];

/// True for groups that are no part of Kubernetes itself.
fn of_extension(api_version: &str) -> bool {
    let group = api_version.split('/').next().unwrap_or_default();
    let ours = group == "k8s.io" || group.ends_with(".k8s.io");
    group.contains('.') && (!ours || EXTENSIONS.contains(&group))
}

fn outside_namespaces(api_version: &str, kind: &str) -> bool {
    let group = api_version.split('/').next().unwrap_or_default();
    OUTSIDE.contains(&(group, kind))
}
