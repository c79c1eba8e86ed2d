//! Turns everything that can go wrong between us and the API server into one error with a reason code and a remedy.
//! It must not carry a `kube` error, a kubeconfig's content or a request's body.
//! Variants exist because the advice differs; the texts are the server's own words where it had any.

use super::answer::{Class, MissingRule, Refusal};
use crate::{
    capacity::Newer,
    names::{Namespace, ReasonCode},
};
use std::{fmt, time::Duration};

/// Why the cluster did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClusterError {
    /// The kubeconfig cannot be used.
    #[error("{problem}")]
    Kubeconfig {
        /// What is wrong, without the file's content.
        problem: String,
        /// What to do.
        remedy: String,
    },
    /// No connection, or none that can be trusted.
    #[error("the API server {server} cannot be reached: {cause}")]
    Unreachable {
        /// Address of the API server.
        server: String,
        /// Innermost cause.
        cause: String,
    },
    /// An answer did not come in time.
    #[error("the API server did not answer within {} s when asked to {attempt}", after.as_secs())]
    Timeout {
        /// What was asked.
        attempt: Attempt,
        /// Patience.
        after: Duration,
    },
    /// The API server said no.
    #[error("the cluster refused to {attempt}: {}", refusal.message)]
    Refused {
        /// What was asked.
        attempt: Attempt,
        /// Its answer.
        refusal: Box<Refusal>,
    },
    /// The API server answered something that is no answer to the question.
    #[error("the API server's answer to {attempt} makes no sense: {problem}")]
    Unintelligible {
        /// What was asked.
        attempt: Attempt,
        /// What is wrong with it.
        problem: String,
    },
    /// The namespace of the ledgers does not exist.
    #[error("namespace {namespace} for the ledgers does not exist")]
    ControlNamespaceMissing {
        /// Its name.
        namespace: Namespace,
    },
    /// A ledger is there and cannot be read; it is never guessed, only made anew from the Namespaces.
    #[error("ledger {namespace}/{name} cannot be read: {problem}")]
    LedgerCorrupt {
        /// Namespace of the ConfigMap.
        namespace: Namespace,
        /// Name of the ConfigMap.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// A ledger was written by a newer version of this program; it is neither changed nor made anew.
    #[error("ledger {namespace}/{name} is of format {}, which this version, {}, does not know", newer.format, env!("CARGO_PKG_VERSION"))]
    LedgerNewer {
        /// Namespace of the ConfigMap.
        namespace: Namespace,
        /// Name of the ConfigMap.
        name: String,
        /// What it says of its format.
        newer: Newer,
    },
    /// Others wrote the ledger all the time.
    #[error("ledger {namespace}/{name} was written by other runs {tries} times in a row, for {} s", over.as_secs())]
    LedgerBusy {
        /// Namespace of the ConfigMap.
        namespace: Namespace,
        /// Name of the ConfigMap.
        name: String,
        /// Tries.
        tries: u32,
        /// For how long.
        over: Duration,
    },
    /// The pull secret cannot be used.
    #[error("secret {namespace}/{name} {problem}")]
    PullSecret {
        /// Namespace that it is in.
        namespace: Namespace,
        /// Its name.
        name: String,
        /// What is wrong.
        problem: &'static str,
        /// Reason code.
        reason: ReasonCode,
    },
    /// The parent of the ApplySet is there and is not ours; what a set holds is never guessed.
    #[error("ConfigMap {parent}, which keeps the list of what this preview is made of, {problem}")]
    ApplySet {
        /// Namespace and name.
        parent: String,
        /// What is wrong.
        problem: String,
    },
    /// An object that had to make way is still there.
    #[error("{object} was deleted to be made again and is still there after {} s", after.as_secs())]
    StillThere {
        /// Kind and name.
        object: String,
        /// Namespace.
        namespace: Namespace,
        /// Patience.
        after: Duration,
    },
    /// An object is of a kind that previews are not made of.
    #[error("{object} is of apiVersion {api_version}, which is no kind that a preview may hold")]
    KindNotSupported {
        /// Kind and name.
        object: String,
        /// `apiVersion` as written.
        api_version: String,
    },
}

/// What was asked of the API server, such as `apply Deployment/web`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Verb as people read it.
    pub verb: &'static str,
    /// Kind and name.
    pub object: String,
    /// Namespace; none for the whole cluster.
    pub namespace: Option<Namespace>,
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb, self.object)?;
        match &self.namespace {
            Some(namespace) => write!(f, " in namespace {namespace}"),
            None => Ok(()),
        }
    }
}

impl ClusterError {
    /// The code that workflows branch on.
    pub fn reason_code(&self) -> ReasonCode {
        match self {
            Self::Kubeconfig { .. } => ReasonCode::BadInput,
            Self::Unreachable { .. } | Self::Timeout { .. } | Self::Unintelligible { .. } => {
                ReasonCode::ClusterUnreachable
            }
            Self::Refused { refusal, .. } => refusal.reason_code(),
            Self::ControlNamespaceMissing { .. }
            | Self::LedgerBusy { .. }
            | Self::ApplySet { .. }
            | Self::StillThere { .. } => ReasonCode::ClusterRefused,
            Self::LedgerCorrupt { .. } => ReasonCode::LedgerCorrupt,
            Self::LedgerNewer { .. } => ReasonCode::LedgerNewer,
            Self::PullSecret { reason, .. } => *reason,
            Self::KindNotSupported { .. } => ReasonCode::BadManifest,
        }
    }

    /// The answer, when it was one.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused { refusal, .. } => Some(refusal),
            _ => None,
        }
    }

    pub(super) fn class(&self) -> Option<&Class> {
        self.refusal().map(|refusal| &refusal.class)
    }

    /// What to do about it, in one sentence.
    pub fn remedy(&self) -> String {
        match self {
            Self::Kubeconfig { remedy, .. } => remedy.clone(),
            Self::Unreachable { server, cause } => unreachable_remedy(server, cause),
            Self::Timeout { .. } | Self::Unintelligible { .. } => {
                "check the API server's health and what stands between it and this run, then run again"
                    .into()
            }
            Self::Refused { refusal, attempt } => refusal_remedy(refusal, attempt),
            Self::ControlNamespaceMissing { .. } => {
                "have an administrator run `preview-action setup | kubectl apply -f -` once, or set the input control-namespace".into()
            }
            Self::LedgerCorrupt { namespace, name, .. } => format!(
                "look at it with `kubectl -n {namespace} get configmap {name} -o yaml`; the next deploy, removal or scheduled run keeps its text aside and builds it again from the Namespaces"
            ),
            Self::LedgerNewer { newer, .. } => {
                let version = match newer.since.as_str() {
                    "" => "the newest version".to_owned(),
                    since => format!("version {since} or later"),
                };
                format!("use {version} of the action in this workflow too; merging the default branch brings what it uses")
            }
            Self::LedgerBusy { .. } => "run again".into(),
            Self::PullSecret { namespace, name, reason, .. } => match reason {
                ReasonCode::ClusterForbidden => format!(
                    "grant it by `kubectl -n {namespace} create role read-{name} --verb=get --resource=secrets --resource-name={name}` and a RoleBinding to this ServiceAccount"
                ),
                _ => format!(
                    "create it by `kubectl -n {namespace} create secret docker-registry {name} …`, or correct the input pull-secret"
                ),
            },
            Self::ApplySet { parent, .. } => {
                let (namespace, name) = parent.split_once('/').unwrap_or(("", parent));
                format!(
                    "give a ConfigMap of your own another name, or delete this one by `kubectl -n {namespace} delete configmap {name}` and deploy again; what left the configuration before that stays until the preview is removed"
                )
            }
            Self::StillThere { object, namespace, .. } => format!(
                "look what holds it with `kubectl -n {namespace} get {object} -o yaml`, most often a finalizer, then deploy again"
            ),
            Self::KindNotSupported { .. } => {
                "take the object out of the templates, or use the current apiVersion of its kind".into()
            }
        }
    }
}

impl Refusal {
    /// The code that workflows branch on.
    pub fn reason_code(&self) -> ReasonCode {
        match self.class {
            Class::Unauthorized => ReasonCode::ClusterUnauthorized,
            Class::Forbidden(_) => ReasonCode::ClusterForbidden,
            Class::Quota => ReasonCode::QuotaExceeded,
            Class::Admission => ReasonCode::AdmissionRefused,
            Class::BadManifest | Class::Immutable | Class::KindUnknown => ReasonCode::BadManifest,
            Class::NamespaceTerminating => ReasonCode::NamespaceTerminating,
            Class::Conflict
            | Class::FieldConflict
            | Class::AlreadyExists
            | Class::NotFound
            | Class::NamespaceMissing
            | Class::NotYet
            | Class::QuotaConflict
            | Class::Expired
            | Class::Busy
            | Class::Other => ReasonCode::ClusterRefused,
        }
    }
}

fn unreachable_remedy(server: &str, cause: &str) -> String {
    if cause.contains("certificate") {
        return "put the authority that signed the server's certificate into the kubeconfig as certificate-authority-data, or into the input ca-bundle".into();
    }
    let host = server.split_once("://").map_or(server, |(_, rest)| rest);
    let loopback = ["127.", "localhost", "[::1]"]
        .iter()
        .any(|prefix| host.starts_with(prefix));
    if loopback {
        return "a container action cannot reach a server on the runner's own loopback address: put an address of the runner's network into the kubeconfig, such as the bridge's gateway".into();
    }
    "check the server address in the kubeconfig, and that runners may reach it (firewall, private network, proxy)".into()
}

fn immutable_remedy(object: &str) -> String {
    let keeps_data = ["PersistentVolumeClaim/", "StatefulSet/"]
        .iter()
        .any(|kind| object.starts_with(kind));
    if keeps_data {
        return format!(
            "this field cannot change on a live object, and {object} keeps data: give it another name, or `/undeploy` and `/deploy` again"
        );
    }
    format!(
        "this field cannot change on a live object: give {object} another name, or the annotation `preview-action/recreate: \"true\"`, by which it is deleted and made again"
    )
}

fn refusal_remedy(refusal: &Refusal, attempt: &Attempt) -> String {
    match &refusal.class {
        Class::Unauthorized => {
            "the token has expired or belongs to another cluster: make a new one (see `preview-action setup --help`) and update the secret that holds the kubeconfig".into()
        }
        Class::Forbidden(Some(rule)) => forbidden_remedy(rule),
        Class::Forbidden(None) => {
            "apply `preview-action setup` once as an administrator and use the kubeconfig of its ServiceAccount".into()
        }
        Class::Quota => {
            "ask for less in the configuration's resources, raise its quota, or remove what is not needed any more".into()
        }
        Class::Admission => "change the object so that the rule named above allows it, or ask who runs the cluster for an exception".into(),
        Class::BadManifest => "correct the field named above".into(),
        Class::Immutable => immutable_remedy(&attempt.object),
        Class::KindUnknown => "install what serves this kind in the cluster, or take the object out of the templates".into(),
        Class::NamespaceTerminating | Class::NamespaceMissing => {
            "wait until the Namespace is gone, then deploy again".into()
        }
        Class::FieldConflict | Class::Conflict | Class::AlreadyExists | Class::NotFound => {
            "something else changed the object at the same time: run again".into()
        }
        Class::NotYet | Class::QuotaConflict | Class::Expired | Class::Busy => {
            "the API server is overloaded or a webhook of it is down: run again later".into()
        }
        Class::Other => "look at the API server's log for this request".into(),
    }
}

fn forbidden_remedy(rule: &MissingRule) -> String {
    let group = &rule.group;
    format!(
        "apply the newest `preview-action setup` as an administrator; the rule that is missing is `apiGroups: [\"{group}\"], resources: [{}], verbs: [{}]`",
        rule.resource, rule.verb
    )
}
