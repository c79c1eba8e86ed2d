//! The rules of Kubernetes' own kinds that run no pods: what each has to show before others can use it.
//! It knows no custom resource; a kind that is not of Kubernetes itself is left to others.
//! Most of these kinds are data and ready as soon as they exist; the others are listed with the field that says so.

use super::{Assessment, Live, worded};
use serde_json::Value;

/// API groups that Kubernetes itself serves.
const GROUPS: &[&str] = &[
    "",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "apiregistration.k8s.io",
    "apps",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "coordination.k8s.io",
    "discovery.k8s.io",
    "events.k8s.io",
    "flowcontrol.apiserver.k8s.io",
    "networking.k8s.io",
    "node.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "resource.k8s.io",
    "scheduling.k8s.io",
    "storage.k8s.io",
];

/// Conditions of an autoscaler of version 1, as JSON.
const V1_CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";

/// Judges an object of Kubernetes itself; none for what others have defined.
pub(super) fn assess(live: Live<'_>) -> Option<Assessment> {
    let (group, kind) = live.kind();
    if !GROUPS.contains(&group) {
        return None;
    }
    Some(match (group, kind) {
        ("", "Service") => service(live),
        ("", "PersistentVolumeClaim") => claim(live),
        ("", "Namespace") => namespace(live),
        ("autoscaling", "HorizontalPodAutoscaler") => autoscaler(live),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => definition(live),
        ("apiregistration.k8s.io", "APIService") => needs(live, "Available"),
        // An Ingress counts as soon as it exists: not every controller reports an address, and the URL is asked anyway.
        _ if live.condition("Ready").is_some() => needs(live, "Ready"),
        _ => Assessment::ready(),
    })
}

fn needs(live: Live<'_>, name: &str) -> Assessment {
    match live.condition(name) {
        _ if live.is(name) => Assessment::ready(),
        Some(condition) => Assessment::waiting(name, worded(condition)),
        None => Assessment::waiting(name, format!("its condition {name} is not reported yet")),
    }
}

/// The API server gives cluster addresses before it answers; only a load balancer's comes later.
fn service(live: Live<'_>) -> Assessment {
    let spec = live.spec();
    let non_empty = |value: &Value| value.as_array().is_some_and(|all| !all.is_empty());
    let has_address =
        non_empty(&live.status()["loadBalancer"]["ingress"]) || non_empty(&spec["externalIPs"]);
    if spec["type"] == "LoadBalancer" && !has_address {
        return Assessment::waiting("NoAddress", "the load balancer has no address yet");
    }
    Assessment::ready()
}

/// A claim whose volume waits for its first pod stays pending for ever without one; so it is for others not to be held up by it.
fn claim(live: Live<'_>) -> Assessment {
    match live.status()["phase"].as_str() {
        Some("Bound") => Assessment::ready(),
        Some("Lost") => Assessment::failed("ClaimLost", "its volume is lost"),
        _ => Assessment::waiting("NotBound", "it has no volume yet"),
    }
}

fn namespace(live: Live<'_>) -> Assessment {
    match live.status()["phase"].as_str() {
        Some("Active") => Assessment::ready(),
        Some(phase) => Assessment::waiting(phase, format!("its phase is {phase}")),
        None => Assessment::waiting("NotActive", "it is being made"),
    }
}

/// Missing metrics are normal in the first minute, and a fixed number of replicas is better than none: neither is a failure.
fn autoscaler(live: Live<'_>) -> Assessment {
    let old: Vec<Value> = live.object["metadata"]["annotations"][V1_CONDITIONS]
        .as_str()
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default();
    let condition = |name: &str| {
        live.conditions()
            .chain(&old)
            .find(|condition| condition["type"] == name)
    };
    for (name, reasons) in [
        ("AbleToScale", &["FailedGetScale", "FailedUpdateScale"][..]),
        ("ScalingActive", &["InvalidSelector"]),
    ] {
        if let Some(condition) = condition(name)
            && condition["status"] == "False"
            && reasons.iter().any(|reason| condition["reason"] == *reason)
        {
            return Assessment::failed(&Live::text(condition, "reason"), worded(condition));
        }
    }
    let holds = |name| condition(name).is_some_and(|condition| condition["status"] == "True");
    if holds("AbleToScale") || holds("ScalingLimited") {
        return Assessment::ready();
    }
    Assessment::waiting("NotScaling", "it has not looked at its target yet")
}

fn definition(live: Live<'_>) -> Assessment {
    if let Some(condition) = live.condition("NamesAccepted")
        && condition["status"] == "False"
    {
        return Assessment::failed(&Live::text(condition, "reason"), worded(condition));
    }
    match live.condition("Established") {
        _ if live.is("Established") => Assessment::ready(),
        Some(condition) if condition["reason"] != "Installing" => {
            Assessment::failed(&Live::text(condition, "reason"), worded(condition))
        }
        _ => Assessment::waiting("Installing", "the API server does not serve it yet"),
    }
}
