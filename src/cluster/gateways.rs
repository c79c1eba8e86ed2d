//! Turns the Gateway that an HTTPRoute names into what keeps it from taking that route in.
//! It must not change a Gateway, and reads only those that a rendered route names.
//! What a listener's selector can't be held against here counts as fitting: a check must not call wrong what may be right.

use super::{Cluster, call::Call, error::ClusterError, kinds};
use crate::names::{Namespace, is_object_name};
use serde_json::Value;

/// A route on its way to a Gateway.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<'a> {
    /// One entry of `parentRefs`.
    pub parent: &'a Value,
    /// The route.
    pub route: &'a Value,
    /// The Namespace that it comes from, with its labels.
    pub from: &'a Value,
}

/// A Gateway as it stands.
#[derive(Debug, Clone)]
pub struct Gateway(Value);

impl Cluster {
    /// A Gateway; none when there is none of that name.
    pub async fn gateway(
        &self,
        namespace: &Namespace,
        name: &str,
    ) -> Result<Option<Gateway>, ClusterError> {
        // It is the author's, and would be a path.
        if !is_object_name(name) {
            return Ok(None);
        }
        let call = Call::get(&kinds::GATEWAY, Some(namespace), name)?;
        match self.send(call).await {
            Ok(answer) => Ok(Some(Gateway(answer.body))),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Gateway {
    /// What keeps it from taking the route in, in one sentence; none when nothing does.
    pub fn keeps_out(&self, arrival: Arrival<'_>) -> Option<String> {
        keeps_out(&self.0, arrival)
    }
}

fn keeps_out(gateway: &Value, arrival: Arrival<'_>) -> Option<String> {
    let conditions = gateway["status"]["conditions"].as_array();
    let mut conditions = conditions.into_iter().flatten();
    let programmed = conditions.find(|one| one["type"] == "Programmed");
    if !programmed.is_some_and(|one| one["status"] == "True") {
        let why = programmed.and_then(|one| one["message"].as_str());
        let why = why.unwrap_or("its controller has not said so");
        return Some(format!("it is not programmed: {why}"));
    }
    let listeners = gateway["spec"]["listeners"].as_array();
    let listeners: Vec<&Value> = listeners.into_iter().flatten().collect();
    let open = |one: &&&Value| is_named(one, arrival.parent) && lets_in(one, gateway, arrival.from);
    let open: Vec<&&Value> = listeners.iter().filter(open).collect();
    if open.is_empty() {
        return Some("none of its listeners lets routes in from there".into());
    }
    let hosts = arrival.route["spec"]["hostnames"].as_array();
    let hosts = hosts.into_iter().flatten().filter_map(Value::as_str);
    let served = |host: &str| {
        let names = open.iter().map(|one| one["hostname"].as_str());
        names
            .into_iter()
            .any(|name| name.is_none_or(|name| fits(name, host)))
    };
    let lost: Vec<&str> = hosts.filter(|host| !served(host)).collect();
    (!lost.is_empty()).then(|| format!("no listener of it is for {}", lost.join(", ")))
}

/// True for a listener that the route means.
fn is_named(listener: &Value, parent: &Value) -> bool {
    let same = |wanted: &Value, found: &Value| wanted.is_null() || wanted == found;
    same(&parent["sectionName"], &listener["name"]) && same(&parent["port"], &listener["port"])
}

fn lets_in(listener: &Value, gateway: &Value, from: &Value) -> bool {
    let allowed = &listener["allowedRoutes"];
    let kinds = allowed["kinds"].as_array();
    let kind = match kinds.filter(|kinds| !kinds.is_empty()) {
        Some(kinds) => kinds.iter().any(|one| one["kind"] == "HTTPRoute"),
        None => ["HTTP", "HTTPS"]
            .map(Value::from)
            .contains(&listener["protocol"]),
    };
    let namespaces = &allowed["namespaces"];
    let labels = namespaces["selector"]["matchLabels"].as_object();
    kind && match namespaces["from"].as_str().unwrap_or("Same") {
        "All" => true,
        "Selector" => labels
            .into_iter()
            .flatten()
            .all(|(label, value)| has(from, label, value)),
        "Same" => from["metadata"]["name"] == gateway["metadata"]["namespace"],
        _ => false,
    }
}

/// True for a label that the Namespace is given, or gets from the API server.
fn has(from: &Value, label: &str, wanted: &Value) -> bool {
    let metadata = &from["metadata"];
    match label {
        "kubernetes.io/metadata.name" => metadata["name"] == *wanted,
        _ => metadata["labels"][label] == *wanted,
    }
}

/// True when one of the two names covers the other.
fn fits(one: &str, other: &str) -> bool {
    let covers = |wild: &str, name: &str| {
        wild.strip_prefix('*')
            .is_some_and(|rest| name.ends_with(rest))
    };
    one == other || covers(one, other) || covers(other, one)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn gateway(listener: Value) -> Value {
        json!({
            "metadata": {"name": "public", "namespace": "infra"}, "spec": {"listeners": [listener]},
            "status": {"conditions": [{"type": "Programmed", "status": "True"}]},
        })
    }

    fn told(gateway: &Value, parent: &Value) -> String {
        let route = json!({"spec": {"hostnames": ["pr-1.preview.example.test"]}});
        let from = json!({"metadata": {"name": "pr-1", "labels": {"app": "preview"}}});
        let arrival = Arrival {
            parent,
            route: &route,
            from: &from,
        };
        keeps_out(gateway, arrival).unwrap_or_default()
    }

    #[test]
    fn a_listener_takes_a_route_by_name_kind_namespace_and_host() {
        let any = json!({"from": "All"});
        let ours = json!({"from": "Selector", "selector": {"matchLabels": {"app": "preview"}}});
        let theirs = json!({"from": "Selector", "selector": {"matchLabels": {"app": "shop"}}});
        let by_name = |name: &str| json!({"from": "Selector", "selector": {"matchLabels": {"kubernetes.io/metadata.name": name}}});
        for (change, parent, word) in [
            (json!({}), json!({}), ""),
            (
                json!({"allowedRoutes": {"namespaces": by_name("pr-1")}}),
                json!({}),
                "",
            ),
            (
                json!({"allowedRoutes": {"namespaces": by_name("pr-2")}}),
                json!({}),
                "lets routes in",
            ),
            (json!({"hostname": "*.preview.example.test"}), json!({}), ""),
            (
                json!({"hostname": "preview.example.test"}),
                json!({}),
                "no listener of it is for",
            ),
            (json!({}), json!({"sectionName": "web"}), ""),
            (json!({}), json!({"sectionName": "other"}), "lets routes in"),
            (json!({}), json!({"port": 8080}), "lets routes in"),
            (json!({"protocol": "TCP"}), json!({}), "lets routes in"),
            (
                json!({"allowedRoutes": {"namespaces": ours}}),
                json!({}),
                "",
            ),
            (
                json!({"allowedRoutes": {"namespaces": theirs}}),
                json!({}),
                "lets routes in",
            ),
            (json!({"allowedRoutes": {}}), json!({}), "lets routes in"),
            (
                json!({"allowedRoutes": {"namespaces": any, "kinds": [{"kind": "GRPCRoute"}]}}),
                json!({}),
                "lets routes in",
            ),
        ] {
            let mut listener = json!({"name": "web", "port": 80, "protocol": "HTTP", "allowedRoutes": {"namespaces": any}});
            for (field, value) in change.as_object().into_iter().flatten() {
                listener[field] = value.clone();
            }
            let said = told(&gateway(listener), &parent);
            assert!(
                said.contains(word) && said.is_empty() == word.is_empty(),
                "{change} {parent}: {said}"
            );
        }
        let mut waiting = gateway(json!({}));
        waiting["status"]["conditions"][0] =
            json!({"type": "Programmed", "status": "False", "message": "no address"});
        assert_eq!(
            told(&waiting, &json!({})),
            "it is not programmed: no address"
        );
    }
}
