//! Turns a namespace's ResourceQuotas, LimitRanges and pod security labels into admission or refusal of one new object.
//! It must not create or change anything but the new object's own defaults.
//! Use is summed from the stored objects each time, so that it can never lag behind them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::errors::{self, Refusal};
use super::kinds::Kind;
use super::store::Store;
use crate::names::quantity;

/// Fills in what LimitRanges give to containers, and refuses what exceeds their maximum.
pub(super) fn limits(store: &Store, namespace: &str, pod: &mut Value) -> Result<(), Refusal> {
    let name = pod["metadata"]["name"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let ranges: Vec<Value> = store
        .all("LimitRange", namespace)
        .iter()
        .flat_map(|range| {
            range["spec"]["limits"]
                .as_array()
                .cloned()
                .unwrap_or_default()
        })
        .filter(|limit| limit["type"] == "Container")
        .collect();
    let containers = pod["spec"]["containers"].as_array_mut();
    for container in containers.into_iter().flatten() {
        let resources = &mut container["resources"];
        for range in &ranges {
            for (list, defaults) in [
                ("limits", &range["default"]),
                ("requests", &range["defaultRequest"]),
            ] {
                for (resource, amount) in defaults.as_object().into_iter().flatten() {
                    if resources[list][resource].is_null() {
                        resources[list][resource] = amount.clone();
                    }
                }
            }
        }
        let given = resources["limits"].as_object().cloned().unwrap_or_default();
        for (resource, amount) in given {
            if resources["requests"][&resource].is_null() {
                resources["requests"][&resource] = amount;
            }
        }
        if resources.is_null() {
            *resources = json!({});
        }
        for range in &ranges {
            for (resource, most) in range["max"].as_object().into_iter().flatten() {
                let limit = &resources["limits"][resource];
                if quantity::parse(limit) > quantity::parse(most) {
                    let most = most.as_str().unwrap_or_default();
                    let limit = limit.as_str().unwrap_or_default();
                    let why = format!(
                        "maximum {resource} usage per Container is {most}, but limit is {limit}"
                    );
                    return Err(refuse("Pod", &name, &why));
                }
            }
        }
    }
    Ok(())
}

/// Refuses a new object that a ResourceQuota of its namespace has no room for.
pub(super) fn admit(
    store: &Store,
    kind: &'static Kind,
    namespace: &str,
    object: &Value,
) -> Result<(), Refusal> {
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    for quota in store.all("ResourceQuota", namespace) {
        let title = quota["metadata"]["name"].as_str().unwrap_or_default();
        let hard = hard(&quota);
        if kind.kind == "Pod" {
            let missing = unspecified(&hard, object);
            if !missing.is_empty() {
                let why = format!("failed quota: {title}: must specify {}", missing.join("; "));
                return Err(errors::forbidden(kind, name, &why));
            }
        }
        let used = usage(store, namespace);
        let asked = charge(kind, object);
        let over: Vec<_> = asked
            .iter()
            .filter_map(|(resource, asked)| {
                let used = used.get(resource).copied().unwrap_or_default();
                let most = *hard.get(resource)?;
                (used + asked > most && *asked > 0).then_some((resource, *asked, used, most))
            })
            .collect();
        if !over.is_empty() {
            type Over<'a> = (&'a String, i128, i128, i128);
            let list = |pick: fn(&Over<'_>) -> i128| {
                let each = over
                    .iter()
                    .map(|one| format!("{}={}", one.0, quantity::format(pick(one))));
                each.collect::<Vec<_>>().join(",")
            };
            let why = format!(
                "exceeded quota: {title}, requested: {}, used: {}, limited: {}",
                list(|one| one.1),
                list(|one| one.2),
                list(|one| one.3)
            );
            return Err(errors::forbidden(kind, name, &why));
        }
    }
    Ok(())
}

/// Returns the status that a ResourceQuota shows at the moment.
pub(super) fn status(store: &Store, quota: &Value) -> Value {
    let namespace = quota["metadata"]["namespace"].as_str().unwrap_or_default();
    let used = usage(store, namespace);
    let shown: BTreeMap<String, String> = hard(quota)
        .into_keys()
        .map(|resource| {
            let amount = used.get(&resource).copied().unwrap_or_default();
            (resource, quantity::format(amount))
        })
        .collect();
    json!({"hard": quota["spec"]["hard"], "used": shown})
}

fn hard(quota: &Value) -> BTreeMap<String, i128> {
    let given = quota["spec"]["hard"].as_object().into_iter().flatten();
    given
        .filter_map(|(resource, amount)| Some((resource.clone(), quantity::parse(amount)?)))
        .collect()
}

fn usage(store: &Store, namespace: &str) -> BTreeMap<String, i128> {
    let mut sum = BTreeMap::new();
    for (key, entry) in store.in_namespace(namespace) {
        for (resource, amount) in charge(key.kind, &entry.object) {
            *sum.entry(resource).or_default() += amount;
        }
    }
    sum
}

/// Returns what one object takes from a quota.
fn charge(kind: &Kind, object: &Value) -> BTreeMap<String, i128> {
    let mut charge = BTreeMap::from([(format!("count/{}", kind.qualified_plural()), 1000)]);
    match kind.kind {
        "Pod"
            if matches!(
                object["status"]["phase"].as_str(),
                Some("Succeeded" | "Failed")
            ) => {}
        "Pod" => {
            charge.insert("pods".to_owned(), 1000);
            for container in object["spec"]["containers"]
                .as_array()
                .into_iter()
                .flatten()
            {
                for list in ["requests", "limits"] {
                    for (resource, amount) in container["resources"][list]
                        .as_object()
                        .into_iter()
                        .flatten()
                    {
                        let amount = quantity::parse(amount).unwrap_or_default();
                        *charge.entry(format!("{list}.{resource}")).or_default() += amount;
                        if list == "requests" {
                            *charge.entry(resource.clone()).or_default() += amount;
                        }
                    }
                }
            }
        }
        "PersistentVolumeClaim" => {
            let storage = &object["spec"]["resources"]["requests"]["storage"];
            charge.insert(kind.plural.to_owned(), 1000);
            charge.insert(
                "requests.storage".to_owned(),
                quantity::parse(storage).unwrap_or_default(),
            );
        }
        "Service" | "ConfigMap" | "Secret" | "ResourceQuota" => {
            charge.insert(kind.plural.to_owned(), 1000);
        }
        _ => {}
    }
    charge
}

fn unspecified(hard: &BTreeMap<String, i128>, pod: &Value) -> Vec<String> {
    let constrained = hard.keys().filter_map(|resource| {
        let (list, name) = match resource.as_str() {
            "cpu" | "memory" => ("requests", resource.as_str()),
            other => other.split_once('.')?,
        };
        matches!(name, "cpu" | "memory").then_some((resource, list, name))
    });
    constrained
        .filter_map(|(resource, list, name)| {
            let containers = pod["spec"]["containers"].as_array()?.iter();
            let without =
                containers.filter(|container| container["resources"][list][name].is_null());
            let names: Vec<&str> = without
                .filter_map(|container| container["name"].as_str())
                .collect();
            (!names.is_empty()).then(|| format!("{resource} for: {}", names.join(",")))
        })
        .collect()
}

/// Returns why a pod spec violates the pod security level of its namespace, in the words of the admission plug-in.
pub(super) fn pod_security(namespace: &Value, mode: &str, spec: &Value) -> Option<String> {
    let labels = &namespace["metadata"]["labels"];
    let label = |mode: &str| labels[format!("pod-security.kubernetes.io/{mode}")].as_str();
    let level = label(mode).or_else(|| label("enforce"))?;
    let restricted = level == "restricted";
    if level == "privileged" {
        return None;
    }
    let mut violations = Vec::new();
    for field in ["hostNetwork", "hostPID", "hostIPC"] {
        if spec[field] == true {
            violations.push(format!("host namespaces ({field}=true)"));
        }
    }
    let each = |wrong: fn(&Value, &Value) -> bool| {
        let containers = spec["containers"].as_array().into_iter().flatten();
        let wrong = containers.filter(|container| wrong(spec, &container["securityContext"]));
        let names: Vec<String> = wrong
            .map(|container| container["name"].to_string())
            .collect();
        match names.as_slice() {
            [] => None,
            [one] => Some(format!("container {one}")),
            many => Some(format!("containers {}", many.join(", "))),
        }
    };
    if let Some(who) = each(|_, context| context["privileged"] == true) {
        violations.push(format!(
            "privileged ({who} must not set securityContext.privileged=true)"
        ));
    }
    let volumes = spec["volumes"].as_array().into_iter().flatten();
    for volume in volumes.filter(|volume| !volume["hostPath"].is_null()) {
        violations.push(format!("hostPath volumes (volume {})", volume["name"]));
    }
    if restricted {
        if let Some(who) = each(|_, context| context["allowPrivilegeEscalation"] != false) {
            let must = "must set securityContext.allowPrivilegeEscalation=false";
            violations.push(format!("allowPrivilegeEscalation != false ({who} {must})"));
        }
        if let Some(who) = each(|_, context| context["capabilities"]["drop"] != json!(["ALL"])) {
            let must = "must set securityContext.capabilities.drop=[\"ALL\"]";
            violations.push(format!("unrestricted capabilities ({who} {must})"));
        }
        if let Some(who) = each(|pod, own| or_pod(pod, own, "runAsNonRoot") != true) {
            let must = "must set securityContext.runAsNonRoot=true";
            violations.push(format!("runAsNonRoot != true (pod or {who} {must})"));
        }
        if let Some(who) = each(|pod, own| or_pod(pod, own, "seccompProfile").is_null()) {
            let must = "must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\"";
            violations.push(format!("seccompProfile (pod or {who} {must})"));
        }
    }
    (!violations.is_empty())
        .then(|| format!("PodSecurity \"{level}:latest\": {}", violations.join(", ")))
}

/// Returns a security setting of a container, or else of its pod.
fn or_pod(pod: &Value, own: &Value, field: &str) -> Value {
    let found = own.get(field).or_else(|| pod["securityContext"].get(field));
    found.cloned().unwrap_or_default()
}

fn refuse(kind: &str, name: &str, why: &str) -> Refusal {
    match Kind::of_name(kind) {
        Some(kind) => errors::forbidden(kind, name, why),
        None => errors::bad_request(why),
    }
}
