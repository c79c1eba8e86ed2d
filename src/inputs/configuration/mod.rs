//! Turns `.github/preview.yml` into a typed configuration.
//! It does not know which commit the text came from.
//! Unknown keys are errors with a suggestion: a misspelt key that is silently ignored costs an afternoon.

mod fields;
mod policy;
mod quantity;
mod read;
mod schema;
mod service;

use crate::names::Label;
use schema::{PublicValue, Scalar, TlsValue};
use schemars::JsonSchema;
use serde_json::{Map, Value};
use std::{collections::BTreeMap, fmt};

pub use policy::{Allowance, Policy, PolicyKind};
pub use quantity::Quantity;

/// Longest configuration that is read.
pub const LARGEST: usize = 1 << 20;

/// Port of a service that names none.
pub const DEFAULT_PORT: u16 = 8080;

/// What `.github/preview.yml` says: the services of a preview and how they are reached.
#[derive(Debug, Clone, PartialEq, Default, JsonSchema)]
#[schemars(
    rename_all = "kebab-case",
    deny_unknown_fields,
    title = "preview-action configuration"
)]
pub struct Configuration {
    /// Version of this shape, always 1.
    #[schemars(with = "Value", required, extend("const" = 1))]
    pub version: (),
    /// Services by name, in the order in which they are shown; the first public one has the main address.
    #[schemars(default, with = "BTreeMap<String, Service>", extend("propertyNames" = {"pattern": LABEL}))]
    pub services: Vec<(Label, Service)>,
    /// Globs of the repository's own templates, relative to its root, such as `deploy/*.yaml.j2`.
    #[schemars(default)]
    pub templates: Vec<String>,
    /// Values that templates see as `values`; they keep their types.
    #[schemars(default)]
    pub values: Map<String, Value>,
    /// How public services are reached.
    #[schemars(default, with = "Ingress")]
    pub ingress: Ingress,
    /// What pods may reach.
    #[schemars(default, with = "Network")]
    pub network: Network,
    /// How much the preview may use altogether.
    #[schemars(default, with = "Quota")]
    pub quota: Quota,
    /// What previews may have beyond the ordinary; it is always read from the default branch.
    #[schemars(default, with = "Policy")]
    pub policy: Policy,
}

const LABEL: &str = "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$";

/// One service: a Deployment, a StatefulSet when it has `storage`, a Job when it runs once.
#[derive(Debug, Clone, PartialEq, Default, JsonSchema)]
#[schemars(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Service {
    /// Line of its name in the file; 0 without a file.
    #[schemars(skip)]
    pub line: u32,
    /// Image, with the placeholders `{sha}`, `{short-sha}`, `{number}` and `{branch}`; the input `images` overrides it.
    pub image: Option<String>,
    /// Port that it listens on; 8080 when absent.
    #[schemars(range(min = 1))]
    pub port: Option<u16>,
    /// How many pods it has; 1 when absent.
    #[schemars(range(max = 50))]
    pub replicas: Option<u32>,
    /// `once` makes it a Job that has to succeed; `always` is the default.
    #[schemars(default, with = "Run")]
    pub run: Run,
    /// Environment variables: a scalar, or `{secret, key}`; a scalar may hold template expressions.
    #[schemars(default, with = "BTreeMap<String, EnvValue>", extend("propertyNames" = {"pattern": ENV_NAME}))]
    pub env: Vec<(String, EnvValue)>,
    /// Command that replaces the image's entry point.
    #[schemars(default, with = "Vec<Scalar>")]
    pub command: Vec<String>,
    /// Arguments of the command.
    #[schemars(default, with = "Vec<Scalar>")]
    pub args: Vec<String>,
    /// Files of run-time configuration by absolute path; their text may hold template expressions.
    #[schemars(default, with = "BTreeMap<String, String>", extend("propertyNames" = {"pattern": "^/"}))]
    pub files: Vec<(String, String)>,
    /// What each pod asks for and may use.
    #[schemars(default, with = "Resources")]
    pub resources: Resources,
    /// How a pod tells that it is ready.
    pub health: Option<Health>,
    /// Whether, and where, it is reached from outside.
    #[schemars(with = "Option<PublicValue>")]
    pub public: Option<Public>,
    /// A volume that outlives the pod; it makes the service a StatefulSet.
    pub storage: Option<Storage>,
    /// Labels of the nodes that it may run on.
    #[schemars(default, with = "BTreeMap<String, Scalar>")]
    pub node_selector: Vec<(String, String)>,
    /// Tolerations as Kubernetes writes them.
    #[schemars(default, with = "Vec<Map<String, Value>>")]
    pub tolerations: Vec<Value>,
}

const ENV_NAME: &str = "^[A-Za-z_][A-Za-z0-9_.-]*$";

impl Service {
    /// The port, or the default.
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(DEFAULT_PORT)
    }

    /// The number of pods, or the default.
    pub fn replicas(&self) -> u32 {
        self.replicas.unwrap_or(1)
    }
}

/// Whether a service keeps running.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, JsonSchema)]
#[schemars(rename_all = "kebab-case")]
pub enum Run {
    /// It keeps running.
    #[default]
    Always,
    /// It runs once for each deployed commit and has to succeed.
    Once,
}

/// The value of an environment variable.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema)]
#[schemars(untagged)]
pub enum EnvValue {
    /// A text; numbers and booleans as they were written, nothing as the empty text.
    Text(#[schemars(with = "Option<Scalar>")] String),
    /// A key of a Secret in the preview's Namespace.
    Secret(SecretKey),
}

/// A key of a Secret.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct SecretKey {
    /// Name of the Secret.
    #[schemars(length(min = 1))]
    pub secret: String,
    /// Key in it.
    #[schemars(length(min = 1))]
    pub key: String,
}

/// What each pod asks for and may use; absent parts have defaults.
#[derive(Debug, Clone, PartialEq, Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Resources {
    /// What is reserved; 50m and 64Mi when absent.
    #[schemars(default, with = "Amounts")]
    pub requests: Amounts,
    /// What may be used; 500m and 512Mi when absent.
    #[schemars(default, with = "Amounts")]
    pub limits: Amounts,
}

/// Amounts of CPU and memory.
#[derive(Debug, Clone, PartialEq, Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Amounts {
    /// CPU, such as `500m` or `2`.
    pub cpu: Option<Quantity>,
    /// Memory, such as `512Mi`.
    pub memory: Option<Quantity>,
}

/// How a pod tells that it is ready.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Health {
    /// Path that answers with a status of 200 to 399 once the pod is ready.
    #[schemars(regex(pattern = "^/"))]
    pub path: String,
}

/// Where a public service is reached.
#[derive(Debug, Clone, PartialEq, Eq, Default, JsonSchema)]
#[schemars(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Public {
    /// Host of its own, below the domain and with `{number}` in it, such as `shop-{number}.{domain}`.
    pub host: Option<String>,
    /// Path that it is reached under, such as `/api`; without `host` on the main host.
    #[schemars(regex(pattern = "^/"))]
    pub path: Option<String>,
    /// True when the service does not see that path.
    #[schemars(default)]
    pub strip_prefix: bool,
}

/// A volume that outlives the pod.
#[derive(Debug, Clone, PartialEq, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Storage {
    /// Where it is mounted.
    #[schemars(regex(pattern = "^/"))]
    pub path: String,
    /// How large it is, such as `1Gi`.
    pub size: Quantity,
}

/// How public services are reached.
#[derive(Debug, Clone, PartialEq, Eq, Default, JsonSchema)]
#[schemars(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Ingress {
    /// Ingress class; the cluster's default when absent.
    pub class: Option<String>,
    /// Certificate: `off`, `on` for the controller's own, `{secret: name}`, or `{issuer: name}` of cert-manager.
    #[schemars(default, with = "TlsValue")]
    pub tls: Tls,
    /// Annotations of every Ingress or HTTPRoute; their values may hold template expressions.
    #[schemars(default, with = "BTreeMap<String, Scalar>")]
    pub annotations: Vec<(String, String)>,
    /// Gateway as `namespace/name`: HTTPRoutes are made instead of Ingresses.
    #[schemars(
        with = "Option<String>",
        regex(pattern = "^[a-z0-9][-a-z0-9]*/[a-z0-9][-a-z0-9]*$")
    )]
    pub gateway: Option<Gateway>,
}

/// Where the certificate of public hosts comes from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Tls {
    /// There is none: addresses begin with `http`.
    #[default]
    Off,
    /// The ingress controller or the Gateway has one that covers the hosts.
    On,
    /// A Secret in the preview's Namespace.
    Secret(String),
    /// A ClusterIssuer of cert-manager.
    Issuer(String),
}

/// A Gateway of the Gateway API.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Gateway {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

/// What pods may reach.
#[derive(Debug, Clone, PartialEq, Eq, Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Network {
    /// Other namespaces' pods that this preview's pods may reach.
    #[schemars(default)]
    pub allow: Vec<Allow>,
    /// How far pods reach besides DNS and their own Namespace.
    #[schemars(default, with = "Egress")]
    pub egress: Egress,
}

/// Pods of another namespace that may be reached.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Allow {
    /// Namespace.
    #[schemars(regex(pattern = LABEL))]
    pub namespace: String,
    /// Labels of the pods; all pods of the namespace when absent.
    #[schemars(default, with = "BTreeMap<String, Scalar>")]
    pub pods: Vec<(String, String)>,
    /// Port; all ports when absent.
    #[schemars(range(min = 1))]
    pub port: Option<u16>,
}

/// How far pods reach besides DNS and their own Namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, JsonSchema)]
#[schemars(rename_all = "kebab-case")]
pub enum Egress {
    /// The internet without private, link-local and metadata addresses.
    #[default]
    Internet,
    /// Pods of all namespaces that are no previews, and no internet.
    Cluster,
    /// Nothing else.
    None,
}

/// How much the preview may use altogether; absent parts have defaults.
#[derive(Debug, Clone, PartialEq, Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Quota {
    /// Sum of what is reserved; 1 CPU and 1Gi when absent.
    #[schemars(default, with = "Amounts")]
    pub requests: Amounts,
    /// Sum of what may be used; 4 CPU and 4Gi when absent.
    #[schemars(default, with = "Amounts")]
    pub limits: Amounts,
    /// Pods; 10 when absent.
    pub pods: Option<u32>,
    /// Claims of volumes; 3 when absent.
    pub claims: Option<u32>,
}

impl Configuration {
    /// Reads the text of a configuration file; `path` is what errors call it.
    pub fn parse(path: &str, text: &str) -> Result<Self, ConfigurationError> {
        read::configuration(text).map_err(|faults| ConfigurationError {
            path: path.into(),
            faults,
        })
    }

    /// Makes a configuration without a file: each name is a service on port 8080 that is told so, the first one public.
    pub fn from_images(names: impl IntoIterator<Item = Label>) -> Self {
        let service = |index: usize| Service {
            env: vec![("PORT".into(), EnvValue::Text(DEFAULT_PORT.to_string()))],
            public: (index == 0).then(Public::default),
            ..Service::default()
        };
        Self {
            services: names
                .into_iter()
                .enumerate()
                .map(|(index, name)| (name, service(index)))
                .collect(),
            ..Self::default()
        }
    }

    /// The JSON schema of the file, for editors.
    pub fn schema() -> Value {
        schema::configuration()
    }
}

/// Everything that is wrong with a configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigurationError {
    /// Path of the file.
    pub path: String,
    /// What is wrong, in the order of the file.
    pub faults: Vec<ConfigurationFault>,
}

/// One thing that is wrong with a configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigurationFault {
    /// Line from 1; 0 when the fault has no place.
    pub line: u32,
    /// Column from 1; 0 when the fault has no place.
    pub column: u32,
    /// Path of the field, such as `services.web.port`; empty for the whole file.
    pub field: String,
    /// What is wrong.
    pub problem: String,
    /// What to write instead.
    pub fix: String,
}

impl ConfigurationFault {
    /// What is wrong and where, without the fix.
    pub fn cause(&self, path: &str) -> String {
        let mut text = path.to_owned();
        if self.line > 0 {
            text += &format!(":{}:{}", self.line, self.column);
        }
        if !self.field.is_empty() {
            text += &format!(": `{}`", self.field);
        }
        format!("{text}: {}", self.problem)
    }
}

impl fmt::Display for ConfigurationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.faults.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{}; {}", fault.cause(&self.path), fault.fix)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigurationError {}

#[cfg(test)]
mod tests;
