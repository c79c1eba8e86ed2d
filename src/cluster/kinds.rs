//! Turns the kind of an object into the path that the API server keeps it under.
//! It asks no server: the table holds every kind that a preview may be made of, and `manifests` refuses the others.
//! A static table saves the discovery requests that would come before every deploy.

use crate::names::{Namespace, ObjectId};

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
    ($($name:ident = $group:literal $version:literal $kind:literal $plural:literal $namespaced:literal;)*) => {
        $(pub(super) static $name: Kind = Kind {
            group: $group, version: $version, kind: $kind, plural: $plural, namespaced: $namespaced,
        };)*

        /// Every kind of the table.
        pub static KINDS: &[&Kind] = &[$(&$name,)*];
    };
}

kinds! {
    NAMESPACE = "" "v1" "Namespace" "namespaces" false;
    CONFIG_MAP = "" "v1" "ConfigMap" "configmaps" true;
    SECRET = "" "v1" "Secret" "secrets" true;
    SERVICE = "" "v1" "Service" "services" true;
    SERVICE_ACCOUNT = "" "v1" "ServiceAccount" "serviceaccounts" true;
    CLAIM = "" "v1" "PersistentVolumeClaim" "persistentvolumeclaims" true;
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

impl Kind {
    /// The kind of an object, if the table has it.
    pub fn of(id: &ObjectId) -> Option<&'static Self> {
        let same = |kind: &&&Self| {
            kind.group == id.group && kind.version == id.version && kind.kind == id.kind
        };
        KINDS.iter().find(same).copied()
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
    fn an_older_version_of_a_kind_is_not_in_the_table() {
        let mut id = AUTOSCALER.object("web");
        assert_eq!(Kind::of(&id), Some(&AUTOSCALER));
        id.version = "v1".into();
        assert_eq!(Kind::of(&id), None);
    }
}
