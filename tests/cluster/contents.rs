//! Turns a preview's Namespace into its objects, each cut down to the fields that the action owns.
//! It must not know what ought to be in there.
//! Server-side apply records the owned fields; everything else in an object is the server's own business.

use crate::world::Real;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use preview_action::{
    cluster::{LAST_FAILURE, LAST_GOOD},
    simulate::cluster,
};
use regex::Regex;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Field manager of the action.
const MANAGER: &str = "preview-action";

/// Objects by `Kind/name`, each as it is stored.
pub(crate) type Objects = BTreeMap<String, Value>;

/// Objects that controllers make in every Namespace.
fn is_made_by_kubernetes(object: &Value) -> bool {
    let owned_by_controller = object["metadata"]["ownerReferences"]
        .as_array()
        .is_some_and(|owners| owners.iter().any(|owner| owner["controller"] == true));
    let kind = object["kind"].as_str().unwrap_or_default();
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    owned_by_controller
        || matches!(kind, "Event" | "EndpointSlice" | "Endpoints")
        || matches!(
            (kind, name),
            ("ServiceAccount", "default") | ("ConfigMap", "kube-root-ca.crt")
        )
}

fn by_name(objects: Vec<Value>) -> Objects {
    let name = |object: &Value| {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        format!(
            "{}/{}",
            text(&object["kind"]),
            text(&object["metadata"]["name"])
        )
    };
    objects
        .into_iter()
        .filter(|object| !is_made_by_kubernetes(object))
        .map(|object| (name(&object), object))
        .collect()
}

/// What a Namespace of the real cluster holds.
pub(crate) fn on_real(real: &Real, namespace: &str) -> Objects {
    let looked_at = |kind: &&str| !kind.starts_with("events") && !kind.contains("metrics.k8s.io");
    let all = real.resources().iter().map(String::as_str);
    let kinds: Vec<&str> = all.filter(looked_at).collect();
    by_name(real.objects(&kinds.join(","), namespace))
}

/// What a Namespace of the simulated cluster holds.
pub(crate) fn on_simulated(cluster: &cluster::Handle, namespace: &str) -> Objects {
    let all = cluster.snapshot().into_values();
    by_name(
        all.filter(|object| object["metadata"]["namespace"] == namespace)
            .collect(),
    )
}

/// The fields of an object that the action owns by apply.
pub(crate) fn owned(object: &Value) -> Value {
    let managers = object["metadata"]["managedFields"].as_array();
    let ours = managers.into_iter().flatten().find(|manager| {
        manager["manager"] == MANAGER
            && manager["operation"] == "Apply"
            && manager["subresource"].is_null()
    });
    let owned = ours.map_or(Value::Null, |manager| pick(&manager["fieldsV1"], object));
    sorted(&readable(object, owned))
}

/// The last good set as JSON; its digests differ, because the simulated registry makes up its own.
fn readable(object: &Value, mut owned: Value) -> Value {
    if object["metadata"]["name"] == LAST_FAILURE {
        // Times, and the words of another server.
        owned["data"] = Value::Null;
    }
    if object["metadata"]["name"] == LAST_GOOD
        && let Some(data) = owned["data"].as_object_mut()
    {
        for value in data.values_mut() {
            let bytes = STANDARD.decode(value.as_str().unwrap()).unwrap();
            let text = String::from_utf8(bytes).unwrap();
            let digest = Regex::new("sha256:[0-9a-f]{64}").unwrap();
            let text = digest.replace_all(&text, "sha256:<digest>");
            *value = serde_json::from_str(&text).unwrap();
        }
    }
    owned
}

/// A value with the keys of its maps in order, which the wire leaves open.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let entries: BTreeMap<_, _> = map
                .iter()
                .map(|(key, value)| (key, sorted(value)))
                .collect();
            entries
                .into_iter()
                .map(|(key, value)| (key.clone(), value))
                .collect::<Map<_, _>>()
                .into()
        }
        Value::Array(items) => items.iter().map(sorted).collect(),
        _ => value.clone(),
    }
}

/// The part of a value that a field set names.
fn pick(fields: &Value, value: &Value) -> Value {
    let named: Vec<(&String, &Value)> = fields
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(name, _)| *name != ".")
        .collect();
    if named.is_empty() {
        return value.clone();
    }
    if named.iter().all(|(name, _)| name.starts_with("f:")) {
        let part = |(name, below): (&String, &Value)| {
            let name = &name[2..];
            (name.to_owned(), pick(below, &value[name]))
        };
        return Value::Object(named.into_iter().map(part).collect());
    }
    let items = named.into_iter().map(|(name, below)| {
        let key: Value = serde_json::from_str(&name[2..]).unwrap();
        match name.get(..2) {
            Some("k:") => pick(below, item(value, &key)),
            _ => key,
        }
    });
    items.collect()
}

/// The item of a list whose fields are those of a key.
fn item<'v>(list: &'v Value, key: &Value) -> &'v Value {
    let empty = Map::new();
    let key = key.as_object().unwrap_or(&empty);
    let fits = |item: &&Value| key.iter().all(|(name, value)| item[name] == *value);
    let all = list.as_array().into_iter().flatten();
    all.filter(|item| item.is_object())
        .find(fits)
        .unwrap_or(&Value::Null)
}
