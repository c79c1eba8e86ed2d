//! Turns an applied configuration into the complaint of a typed parser about names and types, if it has one.
//! It must not judge values; validation does.
//! There is no schema: it knows the mistakes that people make in manifests, and where a real server would point.

use serde_json::Value;

use super::defaults::pod_spec_of;
use super::errors::{self, Refusal};
use super::fields;
use super::kinds::Kind;
use super::validate::containers;

/// Refuses what an apply can see to be malformed before any merge.
pub(super) fn check(config: &Value) -> Result<(), Refusal> {
    let flaw = misshapen(config)
        .or_else(|| unknown_field(config))
        .or_else(|| fields::duplicate_item(config))
        .or_else(|| wrong_type(config));
    flaw.map_or(Ok(()), |flaw| Err(errors::typed(config, &flaw)))
}

/// Places that must hold maps, if anything.
const MAPS: [&str; 12] = [
    "/metadata",
    "/metadata/labels",
    "/metadata/annotations",
    "/data",
    "/spec",
    "/spec/selector",
    "/spec/selector/matchLabels",
    "/spec/template",
    "/spec/template/metadata",
    "/spec/template/metadata/labels",
    "/spec/template/metadata/annotations",
    "/spec/template/spec",
];

/// Finds a place that holds something else than the map it must hold; nothing else may write into such an object.
pub(super) fn misshapen(object: &Value) -> Option<String> {
    let wrong = |value: &Value| !value.is_object() && !value.is_null();
    let complaint = |path: String, value: &Value| {
        format!("{path}: expected map, got &value.valueUnstructured{{Value:{value}}}")
    };
    for pointer in MAPS {
        if let Some(value) = object.pointer(pointer).filter(|value| wrong(value)) {
            return Some(complaint(pointer.replace('/', "."), value));
        }
    }
    let kind = Kind::of_name(object["kind"].as_str()?)?;
    let spec = pod_spec_of(kind, object)?;
    let inits = spec["initContainers"].as_array().into_iter().flatten();
    for container in containers(spec).chain(inits) {
        let resources = &container["resources"];
        let parts = [
            ("", container),
            (".resources", resources),
            (".resources.limits", &resources["limits"]),
            (".resources.requests", &resources["requests"]),
        ];
        if let Some((path, value)) = parts.into_iter().find(|(_, value)| wrong(value)) {
            return Some(complaint(
                format!(".spec.template.spec.containers{path}"),
                value,
            ));
        }
    }
    None
}

/// Top-level fields by kind; what is not listed has `spec` and `status`.
fn top_level(kind: &str) -> &'static [&'static str] {
    match kind {
        "ConfigMap" => &["data", "binaryData", "immutable"],
        "Secret" => &["data", "stringData", "type", "immutable"],
        "ServiceAccount" => &[
            "secrets",
            "imagePullSecrets",
            "automountServiceAccountToken",
        ],
        "Role" => &["rules"],
        "RoleBinding" => &["roleRef", "subjects"],
        "Event" | "EndpointSlice" => &[],
        _ => &["spec", "status"],
    }
}

const DEPLOYMENT_SPEC: [&str; 8] = [
    "replicas",
    "selector",
    "template",
    "strategy",
    "minReadySeconds",
    "revisionHistoryLimit",
    "paused",
    "progressDeadlineSeconds",
];

fn unknown_field(config: &Value) -> Option<String> {
    let kind = config["kind"].as_str().unwrap_or_default();
    let known = top_level(kind);
    if known.is_empty() {
        return None;
    }
    let always = ["apiVersion", "kind", "metadata"];
    let undeclared = |path: String| format!("{path}: field not declared in schema");
    let top = keys(config).find(|field| !always.contains(field) && !known.contains(field));
    if let Some(field) = top {
        return Some(undeclared(format!(".{field}")));
    }
    if kind != "Deployment" {
        return None;
    }
    let field = keys(&config["spec"]).find(|field| !DEPLOYMENT_SPEC.contains(field));
    field.map(|field| undeclared(format!(".spec.{field}")))
}

fn keys(value: &Value) -> impl Iterator<Item = &str> {
    value
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, _)| name.as_str())
}

fn wrong_type(config: &Value) -> Option<String> {
    let expected = |path: String, value: &Value| {
        format!("{path}: expected string, got &value.valueUnstructured{{Value:{value}}}")
    };
    for (pointer, path) in [
        ("/metadata/labels", ".metadata.labels"),
        ("/metadata/annotations", ".metadata.annotations"),
        ("/data", ".data"),
        ("/stringData", ".stringData"),
    ] {
        let map = config.pointer(pointer).and_then(Value::as_object);
        for (name, value) in map.into_iter().flatten() {
            if !value.is_string() && !value.is_null() {
                return Some(expected(format!("{path}.{name}"), value));
            }
        }
    }
    let replicas = &config["spec"]["replicas"];
    if replicas.is_string() {
        return Some(".spec.replicas: expected numeric (int or float), got string".to_owned());
    }
    let kind = Kind::of_name(config["kind"].as_str()?)?;
    let above = if kind.kind == "Pod" {
        ".spec"
    } else {
        ".spec.template.spec"
    };
    for container in containers(pod_spec_of(kind, config)?) {
        let lists = ["requests", "limits", "claims"];
        if let Some(typo) = keys(&container["resources"]).find(|field| !lists.contains(field)) {
            let at = format!(
                "{above}.containers[name={}].resources.{typo}",
                container["name"]
            );
            return Some(format!("{at}: field not declared in schema"));
        }
        for entry in container["env"].as_array().into_iter().flatten() {
            let value = &entry["value"];
            if !value.is_string() && !value.is_null() {
                let path = format!(
                    "{above}.containers[name={}].env[name={}].value",
                    container["name"], entry["name"]
                );
                return Some(expected(path, value));
            }
        }
    }
    None
}
