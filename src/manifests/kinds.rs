//! Lists the kinds that a preview may consist of, where their pods are described, and when each is applied.
//! It knows no object, only kinds.
//! An allow-list and not a deny-list: a kind that nobody thought of must not reach the cluster with our credential.

use crate::names::ObjectId;

/// What is known of one kind.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Kind {
    group: &'static str,
    kind: &'static str,
    /// When it is applied.
    pub(super) stage: u8,
    /// Where its pods are described: the part of the path before `spec` of the pod; none when it has no pods.
    pub(super) pod: Option<&'static [&'static str]>,
    /// True when only our own templates may make it.
    pub(super) built_in_only: bool,
}

/// The stage of Jobs and Pods that run before all other workloads.
pub(super) const RUN_FIRST: u8 = 4;

/// The stage of Jobs and Pods that run after all other workloads.
pub(super) const RUN_LAST: u8 = 7;

/// Groups of extensions whose kinds refer to workloads, so that they come after them.
const LATE_GROUPS: &[&str] = &[
    "keda.sh",
    "monitoring.coreos.com",
    "gateway.networking.k8s.io",
];

const fn kind(group: &'static str, kind: &'static str, stage: u8) -> Kind {
    Kind {
        group,
        kind,
        stage,
        pod: None,
        built_in_only: false,
    }
}

const fn workload(group: &'static str, kind: &'static str, pod: &'static [&'static str]) -> Kind {
    Kind {
        group,
        kind,
        stage: 5,
        pod: Some(pod),
        built_in_only: false,
    }
}

const TEMPLATE: &[&str] = &["spec", "template"];

const KINDS: &[Kind] = &[
    kind("", "ResourceQuota", 1),
    kind("", "LimitRange", 1),
    kind("networking.k8s.io", "NetworkPolicy", 1),
    kind("", "ServiceAccount", 2),
    kind("", "Secret", 2),
    kind("", "ConfigMap", 2),
    kind("", "PersistentVolumeClaim", 2),
    kind("", "Service", 3),
    kind("policy", "PodDisruptionBudget", 3),
    Kind {
        built_in_only: true,
        ..kind("traefik.io", "Middleware", 3)
    },
    workload("", "Pod", &[]),
    workload("apps", "Deployment", TEMPLATE),
    workload("apps", "StatefulSet", TEMPLATE),
    workload("apps", "DaemonSet", TEMPLATE),
    workload("batch", "Job", TEMPLATE),
    workload(
        "batch",
        "CronJob",
        &["spec", "jobTemplate", "spec", "template"],
    ),
    kind("autoscaling", "HorizontalPodAutoscaler", 6),
    kind("networking.k8s.io", "Ingress", 6),
    kind("gateway.networking.k8s.io", "HTTPRoute", 6),
];

/// Group and kind of everything that a preview may hold.
pub fn allowed_kinds() -> impl Iterator<Item = (&'static str, &'static str)> {
    KINDS.iter().map(|kind| (kind.group, kind.kind))
}

/// What is known of an object's kind; none when it is not allowed.
pub(super) fn find(id: &ObjectId) -> Option<&'static Kind> {
    KINDS
        .iter()
        .find(|kind| kind.group == id.group && kind.kind == id.kind)
}

/// When an object of this kind is applied; what the policy has opened comes before what may refer to it.
pub(super) fn stage(id: &ObjectId) -> u8 {
    match find(id) {
        Some(kind) => kind.stage,
        None if LATE_GROUPS.contains(&id.group.as_str()) => 6,
        None => 3,
    }
}

/// The kinds that users may write, for people.
pub(super) fn allowed() -> String {
    let names: Vec<_> = KINDS
        .iter()
        .filter(|kind| !kind.built_in_only)
        .map(|kind| kind.kind)
        .collect();
    names.join(", ")
}

/// The group that an allowed kind of this name belongs to, to explain a wrong `apiVersion`.
pub(super) fn group_of(kind: &str) -> Option<&'static str> {
    KINDS
        .iter()
        .find(|known| known.kind == kind)
        .map(|known| known.group)
}
