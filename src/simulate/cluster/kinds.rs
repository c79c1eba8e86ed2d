//! Turns paths and kinds into each other, and the list of served kinds into discovery documents.
//! It must not know any object; it is the table of what this API server serves.
//! The table is short on purpose: a kind that no scenario uses would only pretend to be simulated.

use serde_json::{Value, json};

/// A served kind.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Kind {
    pub(super) group: &'static str,
    pub(super) version: &'static str,
    pub(super) plural: &'static str,
    pub(super) kind: &'static str,
    pub(super) namespaced: bool,
    /// Whether the server counts `metadata.generation`.
    pub(super) generation: bool,
}

const fn kind(
    group: &'static str,
    version: &'static str,
    plural: &'static str,
    kind: &'static str,
    generation: bool,
) -> Kind {
    let namespaced = true;
    Kind {
        group,
        version,
        plural,
        kind,
        namespaced,
        generation,
    }
}

const APPS: &str = "apps";
const NETWORKING: &str = "networking.k8s.io";
const RBAC: &str = "rbac.authorization.k8s.io";

/// All served kinds.
pub(super) static KINDS: [Kind; 28] = [
    Kind {
        namespaced: false,
        ..kind("", "v1", "namespaces", "Namespace", false)
    },
    Kind {
        namespaced: false,
        ..kind("", "v1", "persistentvolumes", "PersistentVolume", false)
    },
    Kind {
        namespaced: false,
        ..kind("", "v1", "nodes", "Node", false)
    },
    kind("", "v1", "pods", "Pod", true),
    kind("", "v1", "services", "Service", false),
    kind("", "v1", "configmaps", "ConfigMap", false),
    kind("", "v1", "secrets", "Secret", false),
    kind("", "v1", "serviceaccounts", "ServiceAccount", false),
    kind(
        "",
        "v1",
        "persistentvolumeclaims",
        "PersistentVolumeClaim",
        false,
    ),
    kind("", "v1", "events", "Event", false),
    kind("", "v1", "resourcequotas", "ResourceQuota", false),
    kind("", "v1", "limitranges", "LimitRange", false),
    kind(APPS, "v1", "deployments", "Deployment", true),
    kind(APPS, "v1", "replicasets", "ReplicaSet", true),
    kind(APPS, "v1", "statefulsets", "StatefulSet", true),
    kind(APPS, "v1", "daemonsets", "DaemonSet", true),
    kind("batch", "v1", "jobs", "Job", true),
    kind("batch", "v1", "cronjobs", "CronJob", true),
    kind(NETWORKING, "v1", "ingresses", "Ingress", true),
    Kind {
        namespaced: false,
        ..kind(NETWORKING, "v1", "ingressclasses", "IngressClass", true)
    },
    kind(NETWORKING, "v1", "networkpolicies", "NetworkPolicy", true),
    kind(
        "gateway.networking.k8s.io",
        "v1",
        "gateways",
        "Gateway",
        true,
    ),
    kind(
        "gateway.networking.k8s.io",
        "v1",
        "httproutes",
        "HTTPRoute",
        true,
    ),
    kind(
        "policy",
        "v1",
        "poddisruptionbudgets",
        "PodDisruptionBudget",
        true,
    ),
    kind(
        "autoscaling",
        "v2",
        "horizontalpodautoscalers",
        "HorizontalPodAutoscaler",
        false,
    ),
    kind(RBAC, "v1", "roles", "Role", false),
    kind(RBAC, "v1", "rolebindings", "RoleBinding", false),
    kind(
        "discovery.k8s.io",
        "v1",
        "endpointslices",
        "EndpointSlice",
        true,
    ),
];

/// Kinds that are asked and answered but never stored.
const REVIEWS: [(&str, &str); 2] = [
    ("selfsubjectaccessreviews", "SelfSubjectAccessReview"),
    ("selfsubjectrulesreviews", "SelfSubjectRulesReview"),
];

impl Kind {
    /// Finds a kind by the word that paths use.
    pub(super) fn of_plural(group: &str, version: &str, plural: &str) -> Option<&'static Self> {
        KINDS
            .iter()
            .find(|kind| kind.group == group && kind.version == version && kind.plural == plural)
    }

    /// Finds a kind by its name; names are unique among the served kinds.
    pub(super) fn of_name(name: &str) -> Option<&'static Self> {
        KINDS.iter().find(|kind| kind.kind == name)
    }

    /// Returns `v1` or `apps/v1`.
    pub(super) fn api_version(&self) -> String {
        match self.group {
            "" => self.version.to_owned(),
            group => format!("{group}/{}", self.version),
        }
    }

    /// Returns the form of error texts that name the resource: `deployments.apps`.
    pub(super) fn qualified_plural(&self) -> String {
        qualified(self.plural, self.group)
    }

    /// Returns the form of error texts that name the kind: `Deployment.apps`.
    pub(super) fn qualified_kind(&self) -> String {
        qualified(self.kind, self.group)
    }
}

fn qualified(name: &str, group: &str) -> String {
    match group {
        "" => name.to_owned(),
        group => format!("{name}.{group}"),
    }
}

/// Answers a discovery request; none means that the path is no discovery path.
pub(super) fn discovery(path: &str, accept: &str) -> Option<Value> {
    if accept.contains("as=APIGroupDiscoveryList") {
        match path {
            "/api" => return Some(aggregated(&[("", "v1")])),
            "/apis" => return Some(aggregated(&groups())),
            _ => {}
        }
    }
    match path {
        "/version" => Some(json!({
            "major": "1", "minor": "36", "gitVersion": "v1.36.3", "gitCommit": "", "gitTreeState": "clean",
            "buildDate": "2026-01-01T00:00:00Z", "goVersion": "go1.26", "compiler": "gc", "platform": "linux/amd64",
        })),
        "/api" => Some(
            json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}),
        ),
        "/apis" => Some(json!({
            "kind": "APIGroupList", "apiVersion": "v1",
            "groups": groups().iter().map(|(group, version)| legacy_group(group, version)).collect::<Vec<_>>(),
        })),
        "/api/v1" => Some(resource_list("", "v1")),
        _ => {
            let (group, version) = path.strip_prefix("/apis/")?.split_once('/')?;
            groups()
                .contains(&(group, version))
                .then(|| resource_list(group, version))
        }
    }
}

fn groups() -> Vec<(&'static str, &'static str)> {
    let mut groups: Vec<_> = KINDS
        .iter()
        .map(|kind| (kind.group, kind.version))
        .collect();
    groups.push(("authorization.k8s.io", "v1"));
    groups.retain(|(group, _)| !group.is_empty());
    groups.dedup();
    groups
}

fn legacy_group(group: &str, version: &str) -> Value {
    let version = json!({"groupVersion": format!("{group}/{version}"), "version": version});
    json!({"name": group, "versions": [version], "preferredVersion": version})
}

fn resource_list(group: &str, version: &str) -> Value {
    let resources: Vec<Value> = resources(group, version)
        .into_iter()
        .map(|(plural, kind, namespaced, verbs)| {
            json!({"name": plural, "singularName": kind.to_lowercase(), "namespaced": namespaced, "kind": kind, "verbs": verbs})
        })
        .collect();
    let group_version = if group.is_empty() {
        version.to_owned()
    } else {
        format!("{group}/{version}")
    };
    json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": resources})
}

fn aggregated(groups: &[(&str, &str)]) -> Value {
    let items: Vec<Value> = groups
        .iter()
        .map(|(group, version)| {
            let resources: Vec<Value> = resources(group, version)
                .into_iter()
                .map(|(plural, kind, namespaced, verbs)| {
                    json!({
                        "resource": plural, "singularResource": kind.to_lowercase(), "verbs": verbs,
                        "scope": if namespaced { "Namespaced" } else { "Cluster" },
                        "responseKind": {"group": group, "version": version, "kind": kind},
                    })
                })
                .collect();
            json!({
                "metadata": {"name": group},
                "versions": [{"version": version, "resources": resources, "freshness": "Current"}],
            })
        })
        .collect();
    json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items})
}

fn resources(
    group: &str,
    version: &str,
) -> Vec<(&'static str, &'static str, bool, Vec<&'static str>)> {
    let verbs = [
        "create", "delete", "get", "list", "patch", "update", "watch",
    ];
    let stored = KINDS
        .iter()
        .filter(|kind| kind.group == group && kind.version == version)
        .map(|kind| (kind.plural, kind.kind, kind.namespaced, verbs.to_vec()));
    let reviews = REVIEWS
        .iter()
        .filter(|_| group == "authorization.k8s.io")
        .map(|(plural, kind)| (*plural, *kind, false, vec!["create"]));
    stored.chain(reviews).collect()
}
