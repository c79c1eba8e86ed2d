//! Turns an object and its predecessor into the flaws for which Kubernetes 1.36 refuses it.
//! It must not know the store or the namespace; it compares two JSON values.
//! There is no schema: each rule stands for a mistake that users of a deploy tool make, in the server's own words.

use std::sync::LazyLock;

use base64::Engine as _;
use serde_json::{Value, json};

use super::defaults::pod_spec_of;
use super::errors::{self, Flaw, Refusal};
use super::kinds::Kind;
use crate::names::quantity;

const NAME_RULE: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', \
     and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
     '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL_RULE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', \
     and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for \
     validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const QUANTITY_RULE: &str =
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
/// The words of a change to what a StatefulSet cannot change.
const STATEFULSET_RULE: &str = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', \
     'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";
const CLAIM_RULE: &str = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";

/// Refuses an object for its content, or for what it changes.
pub(super) fn content(
    kind: &'static Kind,
    object: &Value,
    old: Option<&Value>,
) -> Result<(), Refusal> {
    convertible(kind, object)?;
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let mut flaws = metadata(name, object);
    if old.is_some() {
        // An update is validated as an object and as a change, and both find these.
        flaws.extend(metadata(name, object));
    }
    if let Some(spec) = pod_spec_of(kind, object) {
        let path = if kind.kind == "Pod" {
            "spec"
        } else {
            "spec.template.spec"
        };
        flaws.extend(pods(path, spec));
    }
    flaws.extend(selector(kind, object));
    if let Some(old) = old {
        flaws.extend(immutable(kind, object, old));
    }
    match kind.kind {
        "Ingress" => flaws.extend(ingress(object)),
        "Service" => {
            flaws.extend(unnamed_ports(object));
            flaws.extend(ports_of_one_name(object));
            flaws.extend(impossible_ports(object));
        }
        "CronJob" => flaws.extend(schedule(object)),
        "Job"
            if !matches!(
                object["spec"]["template"]["spec"]["restartPolicy"].as_str(),
                Some("OnFailure" | "Never")
            ) =>
        {
            let field = "spec.template.spec.restartPolicy";
            flaws.push(Flaw::required(
                field,
                "valid values: \"OnFailure\", \"Never\"",
            ));
        }
        "Secret" => flaws.extend(certificate(object)),
        _ => {}
    }
    // Base64 counts as the bytes that it stands for.
    let kept = object["data"].to_string().len() + object["binaryData"].to_string().len() / 4 * 3;
    if matches!(kind.kind, "ConfigMap" | "Secret") && kept > 1024 * 1024 {
        flaws.push(Flaw::too_long("[]", 1024 * 1024));
    }
    if flaws.is_empty() {
        Ok(())
    } else {
        Err(errors::invalid(kind, name, &flaws))
    }
}

/// Refuses what has the right shape but cannot be read.
pub(super) fn convertible(kind: &'static Kind, object: &Value) -> Result<(), Refusal> {
    let spec = pod_spec_of(kind, object).unwrap_or(&Value::Null);
    for container in containers(spec) {
        for list in ["requests", "limits"] {
            for (_, amount) in container["resources"][list]
                .as_object()
                .into_iter()
                .flatten()
            {
                if quantity::parse(amount).is_none() {
                    return Err(errors::unconvertible(object, QUANTITY_RULE));
                }
            }
        }
    }
    if kind.kind == "Secret" {
        for (_, value) in object["data"].as_object().into_iter().flatten() {
            let text = value.as_str().unwrap_or_default();
            if base64::engine::general_purpose::STANDARD
                .decode(text)
                .is_err()
            {
                let why = "error decoding from json: illegal base64 data at input byte 0";
                return Err(errors::unconvertible(object, why));
            }
        }
    }
    Ok(())
}

fn metadata(name: &str, object: &Value) -> Vec<Flaw> {
    let mut flaws = Vec::new();
    let label = |part: &str| {
        let inner =
            |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
        !part.is_empty()
            && part.chars().all(inner)
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    if name.len() > 253 || !name.split('.').all(label) {
        flaws.push(Flaw::invalid("metadata.name", &json!(name), NAME_RULE));
    }
    for (_, value) in object["metadata"]["labels"]
        .as_object()
        .into_iter()
        .flatten()
    {
        let text = value.as_str().unwrap_or_default();
        let inner = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
        let edge =
            |letter: Option<char>| letter.is_none_or(|letter| letter.is_ascii_alphanumeric());
        if !text.chars().all(inner) || !edge(text.chars().next()) || !edge(text.chars().last()) {
            flaws.push(Flaw::invalid("metadata.labels", value, LABEL_RULE));
        } else if text.len() > 63 {
            flaws.push(Flaw::invalid(
                "metadata.labels",
                value,
                "must be no more than 63 bytes",
            ));
        }
    }
    flaws
}

fn pods(path: &str, spec: &Value) -> Vec<Flaw> {
    let mut flaws = Vec::new();
    if containers(spec).next().is_none() {
        flaws.push(Flaw::required(&format!("{path}.containers"), ""));
    }
    for (index, container) in containers(spec).enumerate() {
        let at = format!("{path}.containers[{index}]");
        for field in ["name", "image"] {
            if container[field].as_str().unwrap_or_default().is_empty() {
                flaws.push(Flaw::required(&format!("{at}.{field}"), ""));
            }
        }
        let resources = &container["resources"];
        for (resource, request) in resources["requests"].as_object().into_iter().flatten() {
            let limit = &resources["limits"][resource];
            if quantity::parse(limit).is_some_and(|limit| quantity::parse(request) > Some(limit)) {
                let limit = limit
                    .as_str()
                    .map_or_else(|| limit.to_string(), ToOwned::to_owned);
                let why = format!("must be less than or equal to {resource} limit of {limit}");
                flaws.push(Flaw::invalid(
                    &format!("{at}.resources.requests"),
                    request,
                    &why,
                ));
            }
        }
    }
    flaws
}

/// Returns the containers of a pod spec.
pub(super) fn containers(spec: &Value) -> impl Iterator<Item = &Value> {
    spec["containers"].as_array().into_iter().flatten()
}

fn selector(kind: &Kind, object: &Value) -> Option<Flaw> {
    if !matches!(
        kind.kind,
        "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet"
    ) {
        return None;
    }
    let wanted = object["spec"]["selector"]["matchLabels"].as_object();
    let Some(wanted) = wanted.filter(|wanted| !wanted.is_empty()) else {
        return Some(Flaw::required("spec.selector", ""));
    };
    let labels = &object["spec"]["template"]["metadata"]["labels"];
    let fits = wanted
        .iter()
        .all(|(name, value)| labels.get(name) == Some(value));
    let why = "`selector` does not match template `labels`";
    (!fits).then(|| Flaw::invalid("spec.template.metadata.labels", labels, why))
}

static NOTHING: LazyLock<Value> = LazyLock::new(|| json!({}));

fn immutable(kind: &Kind, new: &Value, old: &Value) -> Vec<Flaw> {
    let fixed = "field is immutable";
    let changed = |pointer: &str| {
        let of = |object| Value::pointer(object, pointer).unwrap_or(&NOTHING).clone();
        (of(new) != of(old)).then(|| of(new))
    };
    let mut flaws = Vec::new();
    match kind.kind {
        "Deployment" | "DaemonSet" | "ReplicaSet" => {
            flaws.extend(
                changed("/spec/selector")
                    .map(|value| Flaw::invalid("spec.selector", &value, fixed)),
            );
        }
        "Job" => flaws.extend(
            changed("/spec/template").map(|value| Flaw::invalid("spec.template", &value, fixed)),
        ),
        "StatefulSet" => {
            let fields = [
                "/spec/selector",
                "/spec/serviceName",
                "/spec/volumeClaimTemplates",
                "/spec/podManagementPolicy",
            ];
            if fields.iter().any(|field| changed(field).is_some()) {
                flaws.push(Flaw::forbidden("spec", STATEFULSET_RULE));
            }
        }
        "PersistentVolumeClaim" => {
            let fields = [
                "/spec/accessModes",
                "/spec/storageClassName",
                "/spec/volumeMode",
            ];
            let storage = |object: &Value| {
                quantity::parse(&object["spec"]["resources"]["requests"]["storage"])
            };
            if fields.iter().any(|field| changed(field).is_some()) || storage(new) < storage(old) {
                flaws.push(Flaw::forbidden("spec", CLAIM_RULE));
            }
        }
        "Service" => flaws.extend(changed("/spec/clusterIP").map(|value| {
            Flaw::invalid(
                "spec.clusterIPs[0]",
                &json!([value]),
                "may not change once set",
            )
        })),
        "RoleBinding" => flaws.extend(changed("/roleRef").map(|reference| {
            let of = |field: &str| reference[field].clone();
            let shown = json!({"APIGroup": of("apiGroup"), "Kind": of("kind"), "Name": of("name")});
            Flaw::invalid("roleRef", &shown, "cannot change roleRef")
        })),
        "ConfigMap" | "Secret" => {
            if kind.kind == "Secret" {
                flaws.extend(changed("/type").map(|value| Flaw::invalid("type", &value, fixed)));
            }
            if old["immutable"] == true && changed("/data").is_some() {
                flaws.push(Flaw::forbidden(
                    "data",
                    "field is immutable when `immutable` is set",
                ));
            }
        }
        _ => {}
    }
    flaws
}

fn ingress(object: &Value) -> Vec<Flaw> {
    let mut flaws = Vec::new();
    for (rule, paths) in object["spec"]["rules"]
        .as_array()
        .into_iter()
        .flatten()
        .enumerate()
    {
        for (path, entry) in paths["http"]["paths"]
            .as_array()
            .into_iter()
            .flatten()
            .enumerate()
        {
            let field = format!("spec.rules[{rule}].http.paths[{path}].pathType");
            match entry["pathType"].as_str() {
                None => flaws.push(Flaw::required(&field, "pathType must be specified")),
                Some("Exact" | "ImplementationSpecific" | "Prefix") => {}
                Some(_) => {
                    let supported = "\"Exact\", \"ImplementationSpecific\", \"Prefix\"";
                    flaws.push(Flaw::unsupported(&field, &entry["pathType"], supported));
                }
            }
        }
    }
    flaws
}

fn unnamed_ports(object: &Value) -> Vec<Flaw> {
    let ports = object["spec"]["ports"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    if ports.len() < 2 {
        return Vec::new();
    }
    let unnamed = ports
        .iter()
        .enumerate()
        .filter(|(_, port)| port["name"].is_null());
    unnamed
        .map(|(index, _)| Flaw::required(&format!("spec.ports[{index}].name"), ""))
        .collect()
}

fn ports_of_one_name(object: &Value) -> Vec<Flaw> {
    let ports = object["spec"]["ports"].as_array().into_iter().flatten();
    let mut seen = Vec::new();
    let mut flaws = Vec::new();
    for (index, port) in ports.enumerate() {
        let name = &port["name"];
        if !name.is_null() && seen.contains(&name) {
            flaws.push(Flaw::duplicate(&format!("spec.ports[{index}].name"), name));
        }
        seen.push(name);
    }
    flaws
}

fn impossible_ports(object: &Value) -> Vec<Flaw> {
    let ports = object["spec"]["ports"].as_array().into_iter().flatten();
    let numbers = ports.enumerate().flat_map(|(index, port)| {
        let fields = ["port", "targetPort"].into_iter();
        fields.map(move |field| (format!("spec.ports[{index}].{field}"), &port[field]))
    });
    let possible = |number: &Value| {
        number
            .as_i64()
            .is_none_or(|port| (1..=65535).contains(&port))
    };
    numbers
        .filter(|(_, number)| !possible(number))
        .map(|(field, number)| {
            Flaw::invalid(&field, number, "must be between 1 and 65535, inclusive")
        })
        .collect()
}

fn schedule(object: &Value) -> Option<Flaw> {
    let given = object["spec"]["schedule"].as_str().unwrap_or_default();
    let fields: Vec<&str> = given.split_whitespace().collect();
    if fields.len() == 5 || given.starts_with('@') {
        return None;
    }
    let why = format!(
        "expected exactly 5 fields, found {}: [{}]",
        fields.len(),
        fields.join(" ")
    );
    Some(Flaw::invalid(
        "spec.schedule",
        &object["spec"]["schedule"],
        &why,
    ))
}

fn certificate(object: &Value) -> Vec<Flaw> {
    if object["type"] != "kubernetes.io/tls" {
        return Vec::new();
    }
    let missing = ["tls.crt", "tls.key"]
        .into_iter()
        .filter(|key| object["data"].get(key).is_none());
    missing
        .map(|key| Flaw::required(&format!("data[{key}]"), ""))
        .collect()
}
