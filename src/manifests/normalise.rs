//! Turns an object as it was written into the form in which it is applied.
//! It decides nothing about what is allowed.
//! Server-side apply keeps fields forever that only some forms can remove, so each thing is written in one form alone.

use super::kinds;
use crate::names::{Namespace, ObjectId};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

/// Strips what the server writes, puts the object into the Namespace, and writes defaults that old servers demand.
pub(super) fn normalise(id: &ObjectId, object: &mut Value, namespace: &Namespace) {
    let Some(fields) = object.as_object_mut() else {
        return;
    };
    fields.remove("status");
    let metadata = fields.entry("metadata").or_insert_with(|| json!({}));
    if let Some(metadata) = metadata.as_object_mut() {
        for field in [
            "managedFields",
            "resourceVersion",
            "uid",
            "creationTimestamp",
            "selfLink",
            "generation",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "ownerReferences",
        ] {
            metadata.remove(field);
        }
        metadata.insert("namespace".into(), json!(namespace));
        for field in ["labels", "annotations"] {
            if metadata.get(field).is_some_and(Value::is_null) {
                metadata.remove(field);
            }
        }
    }
    match id.kind.as_str() {
        "Secret" => fold_string_data(fields),
        "Service" => name_protocols(object.pointer_mut("/spec/ports")),
        _ => {}
    }
    if let Some(pod) = pod_mut(id, object) {
        for list in ["containers", "initContainers"] {
            let containers = pod
                .pointer_mut(&format!("/spec/{list}"))
                .and_then(Value::as_array_mut);
            for container in containers.into_iter().flatten() {
                name_protocols(container.get_mut("ports"));
            }
        }
    }
}

/// The description of an object's pods: a value with `metadata` and `spec`.
pub(super) fn pod_mut<'v>(id: &ObjectId, object: &'v mut Value) -> Option<&'v mut Value> {
    let path = kinds::find(id)?.pod?;
    path.iter()
        .try_fold(object, |value, part| value.get_mut(*part))
}

/// The same, to read.
pub(super) fn pod<'v>(id: &ObjectId, object: &'v Value) -> Option<&'v Value> {
    let path = kinds::find(id)?.pod?;
    path.iter().try_fold(object, |value, part| value.get(*part))
}

/// The mapping at a path, made where there is none; nothing when something else stands there.
pub(super) fn map_at<'v>(
    value: &'v mut Value,
    path: &[&str],
) -> Option<&'v mut Map<String, Value>> {
    let mut found = value;
    for part in path {
        found = found.as_object_mut()?.entry(*part).or_insert(Value::Null);
        if found.is_null() {
            *found = json!({});
        }
    }
    found.as_object_mut()
}

/// A removed key of `stringData` stays in a Secret's data, so everything goes into `data`.
fn fold_string_data(secret: &mut Map<String, Value>) {
    let Some(Value::Object(texts)) = secret.remove("stringData") else {
        return;
    };
    let data = secret.entry("data").or_insert_with(|| json!({}));
    if data.is_null() {
        *data = json!({});
    }
    let Some(data) = data.as_object_mut() else {
        return;
    };
    for (key, value) in texts {
        // `policy` has refused what is no text
        let text = value.as_str().unwrap_or_default();
        data.insert(key, json!(STANDARD.encode(text)));
    }
}

/// Ports are told apart by number and protocol, so servers demand both.
fn name_protocols(ports: Option<&mut Value>) {
    let ports = ports.and_then(Value::as_array_mut);
    for port in ports.into_iter().flatten() {
        if let Some(port) = port.as_object_mut() {
            port.entry("protocol").or_insert_with(|| json!("TCP"));
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn normalised(group: &str, kind: &str, mut object: Value) -> Value {
        let id = ObjectId {
            group: group.into(),
            version: "v1".into(),
            kind: kind.into(),
            name: "a".into(),
        };
        normalise(&id, &mut object, &"pr-1".parse().unwrap());
        object
    }

    #[test]
    fn a_missing_protocol_is_tcp_and_one_that_is_there_stays() {
        let service = normalised(
            "",
            "Service",
            json!({"spec": {"ports": [{"port": 80}, {"port": 53, "protocol": "UDP"}]}}),
        );
        assert_eq!(
            service["spec"]["ports"],
            json!([{"port": 80, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}])
        );
        let containers = json!([{"ports": [{"containerPort": 1}, {"containerPort": 2, "protocol": "SCTP"}]}, {}]);
        let named = json!([{"ports": [{"containerPort": 1, "protocol": "TCP"}, {"containerPort": 2, "protocol": "SCTP"}]}, {}]);
        let pod = json!({"containers": containers, "initContainers": containers});
        for (group, kind, path, object) in [
            ("", "Pod", "/spec", json!({"spec": pod})),
            (
                "apps",
                "Deployment",
                "/spec/template/spec",
                json!({"spec": {"template": {"spec": pod}}}),
            ),
            (
                "batch",
                "CronJob",
                "/spec/jobTemplate/spec/template/spec",
                json!({"spec": {"jobTemplate": {"spec": {"template": {"spec": pod}}}}}),
            ),
        ] {
            let object = normalised(group, kind, object);
            let found = object.pointer(path).unwrap();
            assert_eq!(found["containers"], named, "{kind}");
            assert_eq!(found["initContainers"], named, "{kind}");
        }
    }

    #[test]
    fn string_data_of_a_secret_becomes_data_and_takes_its_place() {
        for (data, expected) in [
            (
                json!({"a": "eA==", "b": "eQ=="}),
                json!({"a": "eg==", "b": "eQ=="}),
            ),
            (Value::Null, json!({"a": "eg=="})),
        ] {
            let secret = normalised(
                "",
                "Secret",
                json!({"data": data, "stringData": {"a": "z"}}),
            );
            assert_eq!(secret["data"], expected);
            assert_eq!(secret.get("stringData"), None);
        }
        // Only a Secret has it.
        let other = normalised("", "ConfigMap", json!({"stringData": {"a": "z"}}));
        assert_eq!(other["stringData"]["a"], "z");
    }
}
