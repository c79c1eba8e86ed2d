//! Turns the kind of an object into the path that the API server keeps it under.
//! It asks no server: the table holds every kind that a preview may be made of, and `manifests` refuses the others.
//! A static table saves the discovery requests that would come before every deploy.

use crate::names::{Namespace, ObjectId};
use std::sync::{Mutex, PoisonError};

/// A kind that a preview may be made of.
#[derive(Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Kind {
    /// API group; empty for the core group.
    pub group: &'static str,
    /// API version.
    pub version: &'static str,
    /// Kind.
    pub kind: &'static str,
    /// Name in paths and in RBAC rules.
    pub plural: &'static str,
    /// False for kinds that stand outside Namespaces.
    pub namespaced: bool,
}

macro_rules! kinds {
    ($(#[doc = $doc:literal])+ $all:ident: $($name:ident = $group:literal $version:literal $kind:literal $plural:literal $namespaced:literal;)*) => {
        $(pub(super) static $name: Kind = Kind {
            group: $group, version: $version, kind: $kind, plural: $plural, namespaced: $namespaced,
        };)*

        $(#[doc = $doc])+
        pub static $all: &[&Kind] = &[$(&$name,)*];
    };
}

kinds! {
    /// Every kind that any preview may be made of.
    KINDS:
    NAMESPACE = "" "v1" "Namespace" "namespaces" false;
    CONFIG_MAP = "" "v1" "ConfigMap" "configmaps" true;
    SECRET = "" "v1" "Secret" "secrets" true;
    SERVICE = "" "v1" "Service" "services" true;
    SERVICE_ACCOUNT = "" "v1" "ServiceAccount" "serviceaccounts" true;
    CLAIM = "" "v1" "PersistentVolumeClaim" "persistentvolumeclaims" true;
    NODE = "" "v1" "Node" "nodes" false;
    VOLUME = "" "v1" "PersistentVolume" "persistentvolumes" false;
    POD = "" "v1" "Pod" "pods" true;
    QUOTA = "" "v1" "ResourceQuota" "resourcequotas" true;
    LIMIT_RANGE = "" "v1" "LimitRange" "limitranges" true;
    EVENT = "" "v1" "Event" "events" true;
    DEPLOYMENT = "apps" "v1" "Deployment" "deployments" true;
    STATEFUL_SET = "apps" "v1" "StatefulSet" "statefulsets" true;
    DAEMON_SET = "apps" "v1" "DaemonSet" "daemonsets" true;
    REPLICA_SET = "apps" "v1" "ReplicaSet" "replicasets" true;
    JOB = "batch" "v1" "Job" "jobs" true;
    CRON_JOB = "batch" "v1" "CronJob" "cronjobs" true;
    INGRESS = "networking.k8s.io" "v1" "Ingress" "ingresses" true;
    NETWORK_POLICY = "networking.k8s.io" "v1" "NetworkPolicy" "networkpolicies" true;
    HTTP_ROUTE = "gateway.networking.k8s.io" "v1" "HTTPRoute" "httproutes" true;
    MIDDLEWARE = "traefik.io" "v1alpha1" "Middleware" "middlewares" true;
    DISRUPTION_BUDGET = "policy" "v1" "PodDisruptionBudget" "poddisruptionbudgets" true;
    AUTOSCALER = "autoscaling" "v2" "HorizontalPodAutoscaler" "horizontalpodautoscalers" true;
}

kinds! {
    /// Well-known kinds of extensions, which the default branch's policy may open.
    EXTENSIONS:
    CERTIFICATE = "cert-manager.io" "v1" "Certificate" "certificates" true;
    ISSUER = "cert-manager.io" "v1" "Issuer" "issuers" true;
    EXTERNAL_SECRET = "external-secrets.io" "v1" "ExternalSecret" "externalsecrets" true;
    EXTERNAL_SECRET_BETA = "external-secrets.io" "v1beta1" "ExternalSecret" "externalsecrets" true;
    SECRET_STORE = "external-secrets.io" "v1" "SecretStore" "secretstores" true;
    SEALED_SECRET = "bitnami.com" "v1alpha1" "SealedSecret" "sealedsecrets" true;
    POSTGRES = "postgresql.cnpg.io" "v1" "Cluster" "clusters" true;
    POSTGRES_DATABASE = "postgresql.cnpg.io" "v1" "Database" "databases" true;
    POSTGRES_POOLER = "postgresql.cnpg.io" "v1" "Pooler" "poolers" true;
    SCALED_OBJECT = "keda.sh" "v1alpha1" "ScaledObject" "scaledobjects" true;
    SCALED_JOB = "keda.sh" "v1alpha1" "ScaledJob" "scaledjobs" true;
    TRIGGER_AUTHENTICATION = "keda.sh" "v1alpha1" "TriggerAuthentication" "triggerauthentications" true;
    GRPC_ROUTE = "gateway.networking.k8s.io" "v1" "GRPCRoute" "grpcroutes" true;
    SERVICE_MONITOR = "monitoring.coreos.com" "v1" "ServiceMonitor" "servicemonitors" true;
    POD_MONITOR = "monitoring.coreos.com" "v1" "PodMonitor" "podmonitors" true;
    VOLUME_SNAPSHOT = "snapshot.storage.k8s.io" "v1" "VolumeSnapshot" "volumesnapshots" true;
}

/// What the cluster has measured of pods, where it measures; nothing that a preview is made of.
pub(super) static POD_METRICS: Kind = Kind {
    group: "metrics.k8s.io",
    version: "v1beta1",
    kind: "PodMetrics",
    plural: "pods",
    namespaced: true,
};

/// What `/check` asks: which rights a credential has, and which classes of Ingress there are. No preview is made of these.
pub(super) static RULES_REVIEW: Kind = review("SelfSubjectRulesReview", "selfsubjectrulesreviews");
pub(super) static ACCESS_REVIEW: Kind =
    review("SelfSubjectAccessReview", "selfsubjectaccessreviews");
pub(super) static INGRESS_CLASS: Kind = Kind {
    group: "networking.k8s.io",
    kind: "IngressClass",
    ..review("", "ingressclasses")
};

/// What an HTTPRoute leads to; no preview makes one.
pub(super) static GATEWAY: Kind = Kind {
    group: "gateway.networking.k8s.io",
    kind: "Gateway",
    namespaced: true,
    ..review("", "gateways")
};

const fn review(kind: &'static str, plural: &'static str) -> Kind {
    Kind {
        group: "authorization.k8s.io",
        version: "v1",
        kind,
        plural,
        namespaced: false,
    }
}

/// Kinds that a policy has opened and no table knows. They live as long as the process: a run opens a handful.
static OPENED: Mutex<Vec<&'static Kind>> = Mutex::new(Vec::new());

/// Makes a kind known for the rest of the process; always one within Namespaces, whatever the cluster has under that name.
pub fn open(api_version: &str, kind: &str, plural: &str) {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let id = ObjectId {
        group: group.into(),
        version: version.into(),
        kind: kind.into(),
        name: String::new(),
    };
    if Kind::of(&id).is_some() {
        return;
    }
    let forever = |text: &str| -> &'static str { Box::leak(text.to_owned().into_boxed_str()) };
    let kind = Kind {
        group: forever(group),
        version: forever(version),
        kind: forever(kind),
        plural: forever(plural),
        namespaced: true,
    };
    OPENED
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(Box::leak(Box::new(kind)));
}

/// Every kind that has a path: those of the tables, and those that were opened.
pub(super) fn known() -> impl Iterator<Item = &'static Kind> {
    let opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    KINDS
        .iter()
        .chain(EXTENSIONS)
        .copied()
        .chain(opened.clone())
}

/// The kind of an object, if it is one that was opened.
pub(super) fn opened(id: &ObjectId) -> Option<&'static Kind> {
    let opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    opened.iter().copied().find(|kind| kind.is_of(id))
}

/// Group and plural.
pub(super) type Resource = (&'static str, &'static str);

impl Kind {
    /// The kind of an object, if a table has it or it was opened.
    pub fn of(id: &ObjectId) -> Option<&'static Self> {
        known().find(|kind| kind.is_of(id))
    }

    /// True for kinds of Kubernetes itself.
    pub(super) fn is_built_in(&self) -> bool {
        KINDS.contains(&self)
    }

    /// True when deleting an object of this kind deletes data with it.
    pub(super) fn keeps_data(&self) -> bool {
        [&CLAIM, &POSTGRES, &POSTGRES_DATABASE, &VOLUME_SNAPSHOT].contains(&self)
    }

    fn is_of(&self, id: &ObjectId) -> bool {
        self.group == id.group && self.version == id.version && self.kind == id.kind
    }

    /// What the server keeps as one, whatever the version that it is written in.
    pub(super) fn resource(&self) -> Resource {
        (self.group, self.plural)
    }

    /// Identity of an object of this kind.
    pub fn object(&self, name: &str) -> ObjectId {
        ObjectId {
            group: self.group.into(),
            version: self.version.into(),
            kind: self.kind.into(),
            name: name.into(),
        }
    }

    /// The path that objects of this kind are listed under, in one Namespace or, for none, everywhere.
    pub(super) fn path(&self, namespace: Option<&Namespace>) -> String {
        let root = if self.group.is_empty() {
            format!("/api/{}", self.version)
        } else {
            format!("/apis/{}/{}", self.group, self.version)
        };
        match namespace {
            Some(namespace) if self.namespaced => {
                format!("{root}/namespaces/{namespace}/{}", self.plural)
            }
            _ => format!("{root}/{}", self.plural),
        }
    }

    /// True for kinds that run pods: what the comment shows a line for.
    pub(super) fn is_workload(&self) -> bool {
        [
            &DEPLOYMENT,
            &STATEFUL_SET,
            &DAEMON_SET,
            &REPLICA_SET,
            &JOB,
            &POD,
        ]
        .contains(&self)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn paths_follow_group_and_namespace() {
        let namespace: Namespace = "pr-1".parse().unwrap();
        assert_eq!(
            CONFIG_MAP.path(Some(&namespace)),
            "/api/v1/namespaces/pr-1/configmaps"
        );
        assert_eq!(DEPLOYMENT.path(None), "/apis/apps/v1/deployments");
        assert_eq!(NAMESPACE.path(Some(&namespace)), "/api/v1/namespaces");
    }

    #[test]
    fn every_kind_that_a_template_may_make_can_be_applied() {
        for (group, name) in crate::manifests::allowed_kinds() {
            assert!(
                KINDS
                    .iter()
                    .any(|kind| kind.group == group && kind.kind == name),
                "{group} {name}"
            );
        }
    }

    #[test]
    fn an_opened_kind_has_a_path_within_namespaces_and_is_opened_once() {
        let mut id = AUTOSCALER.object("web");
        id.group = "opened.example.com".into();
        id.version = "v1".into();
        id.kind = "Widget".into();
        assert_eq!(Kind::of(&id), None);
        open("opened.example.com/v1", "Widget", "widgets");
        open("opened.example.com/v1", "Widget", "others");
        let kind = Kind::of(&id).unwrap();
        let namespace: Namespace = "pr-1".parse().unwrap();
        assert_eq!(
            kind.path(Some(&namespace)),
            "/apis/opened.example.com/v1/namespaces/pr-1/widgets"
        );
    }

    #[test]
    fn extensions_are_within_namespaces_and_named_as_the_policy_would_name_them() {
        use crate::inputs::configuration::Policy;
        for kind in EXTENSIONS {
            assert!(kind.namespaced);
            let api_version = kind.object("a").api_version();
            let text = format!(
                "policy: {{kinds: [{{api-version: {api_version}, kind: {}}}]}}",
                kind.kind
            );
            let policy = Policy::parse("preview.yml", &text).unwrap();
            assert_eq!(policy.kinds[0].plural, kind.plural);
        }
    }

    #[test]
    fn an_older_version_of_a_kind_is_not_in_the_table() {
        let mut id = AUTOSCALER.object("web");
        assert_eq!(Kind::of(&id), Some(&AUTOSCALER));
        id.version = "v1".into();
        assert_eq!(Kind::of(&id), None);
    }
}
