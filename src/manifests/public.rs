//! Lets the ingress controller reach what the repository's own Ingresses and HTTPRoutes point at.
//! It reads the objects of the set and adds NetworkPolicies to it; built-in services have theirs from a template.
//! Without it a preview made of own manifests would be ready in every way and answer nobody.

use super::{Manifest, Origin, order};
use crate::names::ObjectId;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The NetworkPolicies for routes that are not our own; `routes` are their indices in `manifests`.
pub(super) fn policies(manifests: &[Manifest], routes: &[usize]) -> Vec<Manifest> {
    let mut wanted: BTreeMap<&str, (Vec<Value>, &Origin)> = BTreeMap::new();
    for route in routes.iter().filter_map(|&index| manifests.get(index)) {
        for (name, port) in backends(&route.object) {
            let (ports, _) = wanted
                .entry(name)
                .or_insert_with(|| (Vec::new(), &route.origin));
            if !ports.contains(&port) {
                ports.push(port);
            }
        }
    }
    wanted
        .into_iter()
        .filter_map(|(name, (ports, origin))| {
            let service = manifests
                .iter()
                .find(|manifest| manifest.id.kind == "Service" && manifest.id.name == name)?;
            let selector = service.object.pointer("/spec/selector")?;
            let ports: Vec<_> = ports
                .iter()
                .filter_map(|port| target(&service.object, port))
                .collect();
            let id = ObjectId {
                group: "networking.k8s.io".into(),
                version: "v1".into(),
                kind: "NetworkPolicy".into(),
                name: format!("preview-route-{name}"),
            };
            let object = json!({
                "apiVersion": "networking.k8s.io/v1",
                "kind": "NetworkPolicy",
                "metadata": {"name": id.name, "namespace": route_namespace(&service.object)},
                "spec": {
                    "podSelector": {"matchLabels": selector},
                    "policyTypes": ["Ingress"],
                    "ingress": [{
                        "from": [{"namespaceSelector": {"matchExpressions": [
                            {"key": "app", "operator": "NotIn", "values": ["preview"]},
                        ]}}],
                        "ports": ports,
                    }],
                },
            });
            (!ports.is_empty()).then(|| Manifest {
                stage: order::stage(&id, &object),
                origin: origin.clone(),
                id,
                object,
            })
        })
        .collect()
}

fn route_namespace(service: &Value) -> Value {
    service
        .pointer("/metadata/namespace")
        .cloned()
        .unwrap_or_default()
}

/// The Services of an Ingress or HTTPRoute, each with the number or name of its port.
fn backends(route: &Value) -> Vec<(&str, Value)> {
    let rules = list(route, "/spec/rules");
    let ingress = rules
        .clone()
        .flat_map(|rule| list(rule, "/http/paths"))
        .filter_map(|path| {
            let service = path.pointer("/backend/service")?;
            let port = service
                .pointer("/port/number")
                .or_else(|| service.pointer("/port/name"))?;
            Some((service.get("name")?.as_str()?, port.clone()))
        });
    let gateway = rules
        .flat_map(|rule| list(rule, "/backendRefs"))
        .filter_map(|backend| Some((backend.get("name")?.as_str()?, backend.get("port")?.clone())));
    ingress.chain(gateway).collect()
}

fn list<'v>(value: &'v Value, pointer: &str) -> impl Iterator<Item = &'v Value> + Clone {
    value
        .pointer(pointer)
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice)
        .iter()
}

/// The pods' port behind a Service's port.
fn target(service: &Value, wanted: &Value) -> Option<Value> {
    let port = list(service, "/spec/ports")
        .find(|port| port.get("port") == Some(wanted) || port.get("name") == Some(wanted))?;
    let target = port.get("targetPort").or_else(|| port.get("port"))?;
    Some(json!({
        "protocol": port.get("protocol").cloned().unwrap_or_else(|| json!("TCP")),
        "port": target,
    }))
}
