//! Turns an object as it was written into the object that the server stores: defaults filled in, foreign fields set right.
//! It must not refuse anything; validation comes after it.
//! Only those defaults are set that a client can stumble over, such as `replicas: 1` after a dropped field.

use serde_json::{Value, json};

use super::kinds::Kind;
use super::store::Key;

/// Fills in what the server decides; `old` is the stored object on updates, `serial` a number no other write has.
pub(super) fn fill(key: &Key, object: &mut Value, old: Option<&Value>, serial: u64) {
    // A node's status is the kubelet's word, and whoever writes a Node here speaks for the kubelet; likewise for a Gateway.
    let status = ["Node", "Gateway"]
        .contains(&key.kind.kind)
        .then(|| object["status"].clone());
    keep_server_fields(object, old);
    if let Some(status) = status {
        object["status"] = status;
    }
    if old.is_none() {
        match key.kind.kind {
            "Deployment" | "DaemonSet" | "Job" => object["status"] = json!({}),
            "StatefulSet" | "ReplicaSet" => object["status"] = json!({"replicas": 0}),
            _ => {}
        }
    }
    match key.kind.kind {
        "Namespace" => namespace(&key.name, object, old),
        "Secret" => secret(object),
        "Service" => service(object, old, serial),
        "Pod" => pod(object, old),
        "Deployment" => {
            default(object, "/spec/replicas", json!(1));
            default(object, "/spec/progressDeadlineSeconds", json!(600));
            default(object, "/spec/revisionHistoryLimit", json!(10));
            default(object, "/spec/strategy/type", json!("RollingUpdate"));
            if object["spec"]["strategy"]["type"] == "RollingUpdate" {
                default(
                    object,
                    "/spec/strategy/rollingUpdate/maxSurge",
                    json!("25%"),
                );
                default(
                    object,
                    "/spec/strategy/rollingUpdate/maxUnavailable",
                    json!("25%"),
                );
            }
            template(object);
        }
        "StatefulSet" => {
            default(object, "/spec/replicas", json!(1));
            default(object, "/spec/podManagementPolicy", json!("OrderedReady"));
            default(object, "/spec/updateStrategy/type", json!("RollingUpdate"));
            if object["spec"]["updateStrategy"]["type"] == "RollingUpdate" {
                default(
                    object,
                    "/spec/updateStrategy/rollingUpdate/partition",
                    json!(0),
                );
            }
            for claim in items_mut(object, "/spec/volumeClaimTemplates") {
                default(claim, "/apiVersion", json!("v1"));
                default(claim, "/kind", json!("PersistentVolumeClaim"));
                default(claim, "/spec/volumeMode", json!("Filesystem"));
                default(claim, "/status/phase", json!("Pending"));
            }
            template(object);
        }
        "ReplicaSet" => {
            default(object, "/spec/replicas", json!(1));
            template(object);
        }
        "DaemonSet" => {
            default(object, "/spec/updateStrategy/type", json!("RollingUpdate"));
            template(object);
        }
        "Job" => job(object),
        _ => {}
    }
}

/// Keeps what only the server writes, and the status, whatever the body says.
fn keep_server_fields(object: &mut Value, old: Option<&Value>) {
    for field in [
        "uid",
        "creationTimestamp",
        "generation",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
    ] {
        keep(
            &mut object["metadata"],
            field,
            old.map(|old| &old["metadata"]),
        );
    }
    keep(object, "status", old);
}

fn keep(object: &mut Value, field: &str, old: Option<&Value>) {
    let Some(fields) = object.as_object_mut() else {
        return;
    };
    match old.and_then(|old| old.get(field)) {
        Some(value) => fields.insert(field.to_owned(), value.clone()),
        None => fields.remove(field),
    };
}

/// Sets the value at a pointer, with the maps above it, if it is absent or null.
fn default(object: &mut Value, pointer: &str, value: Value) {
    let mut at = object;
    for step in pointer.trim_start_matches('/').split('/') {
        if at.is_null() {
            *at = json!({});
        }
        let Some(fields) = at.as_object_mut() else {
            return;
        };
        at = fields.entry(step).or_insert(Value::Null);
    }
    if at.is_null() {
        *at = value;
    }
}

fn namespace(name: &str, object: &mut Value, old: Option<&Value>) {
    default(object, "/spec/finalizers", json!(["kubernetes"]));
    object["metadata"]["labels"]["kubernetes.io/metadata.name"] = name.into();
    if old.is_none() {
        object["status"] = json!({"phase": "Active"});
    }
}

fn secret(object: &mut Value) {
    use base64::Engine as _;
    default(object, "/type", json!("Opaque"));
    let plain = object
        .as_object_mut()
        .and_then(|fields| fields.remove("stringData"));
    for (name, value) in plain
        .as_ref()
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        let text = value.as_str().unwrap_or_default();
        object["data"][name] = base64::engine::general_purpose::STANDARD
            .encode(text)
            .into();
    }
}

fn service(object: &mut Value, old: Option<&Value>, serial: u64) {
    default(object, "/spec/type", json!("ClusterIP"));
    default(object, "/spec/sessionAffinity", json!("None"));
    let address = match old.and_then(|old| old["spec"]["clusterIP"].as_str()) {
        Some(address) => address.to_owned(),
        None => format!("10.96.{}.{}", serial / 250 % 250, serial % 250 + 1),
    };
    if object["spec"]["type"] != "ExternalName" {
        default(object, "/spec/clusterIP", address.into());
        let addresses = json!([object["spec"]["clusterIP"]]);
        default(object, "/spec/clusterIPs", addresses);
    }
    for port in items_mut(object, "/spec/ports") {
        default(port, "/protocol", json!("TCP"));
        let number = port["port"].clone();
        default(port, "/targetPort", number);
    }
    if old.is_none() {
        object["status"] = json!({"loadBalancer": {}});
    }
}

fn job(object: &mut Value) {
    default(object, "/spec/parallelism", json!(1));
    default(object, "/spec/completions", json!(1));
    default(object, "/spec/backoffLimit", json!(6));
    default(object, "/spec/suspend", json!(false));
    template(object);
}

fn template(object: &mut Value) {
    if object["spec"]["template"].is_object() {
        pod_spec(&mut object["spec"]["template"]["spec"]);
    }
}

fn pod(object: &mut Value, old: Option<&Value>) {
    pod_spec(&mut object["spec"]);
    default(object, "/spec/serviceAccountName", json!("default"));
    default(object, "/spec/enableServiceLinks", json!(true));
    if old.is_none() {
        object["status"] = json!({"phase": "Pending", "qosClass": "Burstable"});
    }
}

fn pod_spec(spec: &mut Value) {
    default(spec, "/restartPolicy", json!("Always"));
    default(spec, "/terminationGracePeriodSeconds", json!(30));
    default(spec, "/dnsPolicy", json!("ClusterFirst"));
    default(spec, "/schedulerName", json!("default-scheduler"));
    for list in ["/initContainers", "/containers"] {
        for container in items_mut(spec, list) {
            let image = container["image"].as_str().unwrap_or_default();
            let latest = !image.contains('@') && matches!(tag(image), "" | "latest");
            default(
                container,
                "/imagePullPolicy",
                json!(if latest { "Always" } else { "IfNotPresent" }),
            );
            default(
                container,
                "/terminationMessagePath",
                json!("/dev/termination-log"),
            );
            default(container, "/terminationMessagePolicy", json!("File"));
            for port in items_mut(container, "/ports") {
                default(port, "/protocol", json!("TCP"));
            }
            for variable in items_mut(container, "/env").filter_map(Value::as_object_mut) {
                // Its type leaves an empty text out, though the field stays owned.
                variable.retain(|name, value| name != "value" || value != "");
            }
        }
    }
}

/// Returns the tag of an image reference, empty if it has none.
pub(super) fn tag(image: &str) -> &str {
    let name = image.split('@').next().unwrap_or_default();
    let last = name.rsplit('/').next().unwrap_or_default();
    last.split_once(':').map_or("", |(_, tag)| tag)
}

fn items_mut<'a>(object: &'a mut Value, pointer: &str) -> impl Iterator<Item = &'a mut Value> {
    object
        .pointer_mut(pointer)
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
}

/// Returns the pod spec inside an object of any workload kind.
pub(super) fn pod_spec_of<'a>(kind: &Kind, object: &'a Value) -> Option<&'a Value> {
    match kind.kind {
        "Pod" => object.get("spec"),
        "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet" | "Job" => {
            object.pointer("/spec/template/spec")
        }
        "CronJob" => object.pointer("/spec/jobTemplate/spec/template/spec"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tag_follows_the_last_slash_and_ends_before_a_digest() {
        assert_eq!(tag("127.0.0.1:5000/app"), "");
        assert_eq!(tag("127.0.0.1:5000/app:crash"), "crash");
        assert_eq!(tag("ghcr.io/o/app:v1@sha256:00"), "v1");
    }
}
