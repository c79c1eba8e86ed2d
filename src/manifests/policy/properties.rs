//! Whatever is written: nothing crashes, and what is accepted is ours, in our Namespace, and free of what is forbidden.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::{
    inputs::configuration::{Allowance, Policy, PolicyKind},
    manifests::{ManifestSet, Rendered, assemble, assemble_under},
    plan::fixtures,
};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Keys that an object may have, and those that matter to the fence.
const KEYS: &[&str] = &[
    "add",
    "annotations",
    "automountServiceAccountToken",
    "capabilities",
    "containers",
    "data",
    "egress",
    "ephemeral",
    "ephemeralContainers",
    "externalIPs",
    "externalName",
    "finalizers",
    "host",
    "hostIPC",
    "hostNetwork",
    "hostPID",
    "hostPath",
    "hostPort",
    "hostnames",
    "httpGet",
    "image",
    "initContainers",
    "jobTemplate",
    "labels",
    "livenessProbe",
    "metadata",
    "name",
    "namespace",
    "nodeName",
    "ownerReferences",
    "path",
    "ports",
    "priorityClassName",
    "privileged",
    "procMount",
    "projected",
    "rules",
    "securityContext",
    "selector",
    "serviceAccountName",
    "sources",
    "spec",
    "sysctls",
    "template",
    "tls",
    "type",
    "volumeClaimTemplates",
    "volumeName",
    "volumes",
    "preview-action/state",
    "applyset.kubernetes.io/id",
    "pod-security.kubernetes.io/enforce",
];

const KINDS: &[(&str, &str)] = &[
    ("v1", "Pod"),
    ("v1", "Service"),
    ("v1", "Secret"),
    ("v1", "ConfigMap"),
    ("v1", "ServiceAccount"),
    ("v1", "PersistentVolumeClaim"),
    ("v1", "Namespace"),
    ("v1", "Node"),
    ("apps/v1", "Deployment"),
    ("apps/v1", "StatefulSet"),
    ("apps/v1", "DaemonSet"),
    ("batch/v1", "Job"),
    ("batch/v1", "CronJob"),
    ("networking.k8s.io/v1", "Ingress"),
    ("networking.k8s.io/v1", "NetworkPolicy"),
    ("gateway.networking.k8s.io/v1", "HTTPRoute"),
    ("rbac.authorization.k8s.io/v1", "RoleBinding"),
    ("widgets.example.com/v1", "Widget"),
];

fn leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(Value::from),
        (0..70_000_u32).prop_map(Value::from),
        prop::sample::select(vec![
            "",
            "a",
            "NodePort",
            "LoadBalancer",
            "ExternalName",
            "SYS_ADMIN",
            "Unmasked",
            "Unconfined",
            "kube-system",
            "shop.example.com",
            "pr-12.preview.example.com",
            "system-node-critical",
            "../x",
            "*",
        ])
        .prop_map(Value::from),
    ]
}

fn anything() -> impl Strategy<Value = Value> {
    leaf().prop_recursive(6, 60, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((prop::sample::select(KEYS), inner), 0..6).prop_map(|fields| {
                Value::Object(
                    fields
                        .into_iter()
                        .map(|(key, value)| (key.to_owned(), value))
                        .collect(),
                )
            }),
        ]
    })
}

/// An object with a description of pods where its kind has one, and anything at all besides.
fn object() -> impl Strategy<Value = Value> {
    let kind = prop::sample::select(KINDS);
    (kind, anything(), anything(), anything()).prop_map(|((api, kind), spec, pod, meta)| {
        let mut object =
            json!({"apiVersion": api, "kind": kind, "metadata": {"name": "a"}, "spec": spec});
        let path: &[&str] = match kind {
            "Deployment" | "StatefulSet" | "DaemonSet" | "Job" => &["template", "spec"],
            "CronJob" => &["jobTemplate", "spec", "template", "spec"],
            _ => &[],
        };
        let mut place = &mut object["spec"];
        for part in path {
            if !place.is_object() {
                *place = json!({});
            }
            place = &mut place[*part];
        }
        if !path.is_empty() || kind == "Pod" {
            *place = pod;
        }
        if let Value::Object(fields) = meta {
            for (key, value) in fields.into_iter().filter(|(key, _)| key != "name") {
                object["metadata"][key] = value;
            }
        }
        object
    })
}

fn judged(policy: &Policy, objects: &[Value]) -> Option<ManifestSet> {
    let texts: Vec<String> = objects.iter().map(ToString::to_string).collect();
    let rendered = [Rendered {
        file: "app.yaml".into(),
        text: texts.join("\n---\n"),
        built_in: false,
    }];
    let plan = fixtures::plan("services: {web: {image: w, public: true}}").ok()?;
    assemble_under(&plan, policy, &rendered).ok()
}

/// Calls with every mapping of a value, wherever it stands.
fn every_mapping(value: &Value, see: &mut impl FnMut(&serde_json::Map<String, Value>)) {
    match value {
        Value::Array(list) => list.iter().for_each(|item| every_mapping(item, see)),
        Value::Object(fields) => {
            see(fields);
            fields.values().for_each(|value| every_mapping(value, see));
        }
        _ => {}
    }
}

/// Everything in an accepted object that no object may have, whichever kind it is and whatever the policy.
fn forbidden(object: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let on = |value: &Value| !matches!(value, Value::Null | Value::Bool(false));
    let metadata = &object["metadata"];
    if metadata["namespace"] != "pr-shop-12" {
        found.push("namespace".into());
    }
    if metadata["labels"]["preview-action/repository-id"] != "4711"
        || metadata["labels"]["pr"] != "12"
    {
        found.push("labels".into());
    }
    for field in ["finalizers", "ownerReferences"] {
        if metadata
            .get(field)
            .is_some_and(|value| on(value) && *value != json!([]) && *value != json!(""))
        {
            found.push(field.into());
        }
    }
    for (key, _) in metadata["annotations"].as_object().into_iter().flatten() {
        if key.starts_with("applyset.")
            || key.starts_with("pod-security.")
            || key == "preview-action/state"
        {
            found.push(key.clone());
        }
    }
    if metadata["labels"].get("preview-action/state").is_some() {
        found.push("preview-action/state".into());
    }
    found
}

/// Everything in a description of pods that the `baseline` forbids, looked for without the fence's own code.
fn forbidden_in_pod(spec: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let on =
        |value: Option<&Value>| !matches!(value, None | Some(Value::Null | Value::Bool(false)));
    for field in ["hostNetwork", "hostPID", "hostIPC"] {
        if on(spec.get(field)) {
            found.push(field.to_owned());
        }
    }
    for volume in spec["volumes"].as_array().into_iter().flatten() {
        if on(volume.get("hostPath")) {
            found.push("hostPath".into());
        }
    }
    for list in ["containers", "initContainers"] {
        for container in spec[list].as_array().into_iter().flatten() {
            if on(container["securityContext"].get("privileged")) {
                found.push("privileged".into());
            }
            for added in container["securityContext"]["capabilities"]["add"]
                .as_array()
                .into_iter()
                .flatten()
            {
                if added != "NET_BIND_SERVICE" {
                    found.push("capabilities".into());
                }
            }
            for port in container["ports"].as_array().into_iter().flatten() {
                if port
                    .get("hostPort")
                    .is_some_and(|port| on(Some(port)) && *port != json!(0))
                {
                    found.push("hostPort".into());
                }
            }
        }
    }
    found
}

fn pod_spec(object: &Value) -> Option<&Value> {
    match object["kind"].as_str()? {
        "Pod" => object.get("spec"),
        "CronJob" => object.pointer("/spec/jobTemplate/spec/template/spec"),
        _ => object.pointer("/spec/template/spec"),
    }
}

/// Everything that only the default branch could allow, with a kind of its own.
fn widest() -> Policy {
    Policy {
        kinds: vec![PolicyKind {
            api_version: "widgets.example.com/v1".into(),
            kind: "Widget".into(),
            plural: "widgets".into(),
        }],
        allow: Allowance::ALL.iter().copied().collect(),
        hosts: vec!["shop.example.com".into()],
    }
}

proptest! {
    #[test]
    fn what_is_accepted_is_ours_and_holds_nothing_forbidden(objects in prop::collection::vec(object(), 1..4), open in any::<bool>()) {
        let policy = if open { widest() } else { Policy::default() };
        let Some(set) = judged(&policy, &objects) else { return Ok(()) };
        for manifest in &set.objects {
            let object = &manifest.object;
            prop_assert_eq!(forbidden(object), Vec::<String>::new(), "{}", object);
            if let Some(spec) = pod_spec(object) {
                prop_assert_eq!(forbidden_in_pod(spec), Vec::<String>::new(), "{}", object);
            }
            if manifest.id.kind == "Widget" {
                let mut found = Vec::new();
                every_mapping(object, &mut |fields| found.extend(forbidden_in_pod(&json!(fields))));
                prop_assert_eq!(found, Vec::<String>::new(), "{}", object);
            }
            prop_assert!(!["Namespace", "Node", "RoleBinding"].contains(&manifest.id.kind.as_str()));
        }
    }

    #[test]
    fn a_wider_policy_refuses_nothing_that_a_narrower_one_accepts(objects in prop::collection::vec(object(), 1..3)) {
        if judged(&Policy::default(), &objects).is_some() {
            prop_assert!(judged(&widest(), &objects).is_some());
        }
    }

    #[test]
    fn no_text_crashes_the_fence(text in "[-a-zA-Z0-9:{}\\[\\],&*!|>'\"#%@`?\n\t ./~<=ä\u{0}\u{feff}]{0,300}") {
        let rendered = [Rendered { file: "a.yaml".into(), text, built_in: false }];
        let plan = fixtures::plan("services: {web: {image: w}}").unwrap();
        let _ = assemble(&plan, &rendered);
    }

    #[test]
    fn no_broken_object_crashes_the_fence(objects in prop::collection::vec(object(), 1..3), cut in 0..2_000_usize, put in ".{0,3}") {
        let mut text = objects.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n---\n");
        let at = (0..=cut.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.insert_str(at, &put);
        let rendered = [Rendered { file: "a.yaml".into(), text, built_in: false }];
        let plan = fixtures::plan("services: {web: {image: w}}").unwrap();
        let _ = assemble_under(&plan, &widest(), &rendered);
    }
}
