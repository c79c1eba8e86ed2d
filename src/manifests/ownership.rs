//! Marks objects as this preview's, and pods with what makes a changed preview roll out.
//! It decides nothing about what is allowed.
//! A pod is replaced only when its template changes, so a re-pushed tag or a changed ConfigMap has to show there.

use super::{Manifest, normalise};
use crate::plan::Plan;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};

/// Annotation of a pod template: the commit that it was deployed for.
pub(super) const SHA: &str = "preview-action/sha";

/// Annotation of a pod template: the contents of its ConfigMaps.
const CONFIGURATION: &str = "preview-action/configuration";

/// Label of pods: the service that they serve; built-in Services and NetworkPolicies select by it.
pub(super) const SERVICE: &str = "preview-action/service";

/// Kinds whose pod templates may change while they run.
const ROLLING: &[&str] = &["Deployment", "StatefulSet", "DaemonSet"];

/// Puts the labels on by which the preview's objects are found again.
pub(super) fn label(object: &mut Value, plan: &Plan) {
    let Some(labels) = normalise::map_at(object, &["metadata", "labels"]) else {
        return;
    };
    // people's own `app` is what their Services select by, so it stays
    for (key, value) in [
        ("app", "preview"),
        ("app.kubernetes.io/managed-by", "preview-action"),
    ] {
        labels.entry(key).or_insert_with(|| json!(value));
    }
    labels.insert("pr".into(), json!(plan.pr.to_string()));
    labels.insert(
        "preview-action/repository-id".into(),
        json!(plan.key.repository.to_string()),
    );
}

/// Lets the pods of a workload that takes a built-in one's place serve in its stead.
pub(super) fn serve(manifest: &mut Manifest) {
    let name = json!(manifest.id.name);
    if let Some(pod) = normalise::pod_mut(&manifest.id, &mut manifest.object)
        && let Some(labels) = normalise::map_at(pod, &["metadata", "labels"])
    {
        labels.insert(SERVICE.into(), name);
    }
}

/// Gives a pod without a ServiceAccount of its own no token, where nothing is said: Kubernetes would mount one.
pub(super) fn withhold_token(manifest: &mut Manifest) {
    let Some(spec) = normalise::pod_mut(&manifest.id, &mut manifest.object)
        .and_then(|pod| pod.get_mut("spec"))
        .and_then(Value::as_object_mut)
    else {
        return;
    };
    let own = ["serviceAccountName", "serviceAccount"]
        .iter()
        .filter_map(|field| spec.get(*field)?.as_str())
        .any(|name| !name.is_empty() && name != "default");
    let field = spec
        .entry("automountServiceAccountToken")
        .or_insert(Value::Null);
    if field.is_null() && !own {
        *field = json!(false);
    } else if field.is_null() {
        spec.remove("automountServiceAccountToken");
    }
}

/// Marks the pods of workloads with a service's image by tag with the commit: the tag may have been pushed again.
///
/// A StatefulSet keeps running unless its image or configuration changes: a push must not restart the database.
pub(super) fn roll_with_commit(manifest: &mut Manifest, plan: &Plan) {
    if !matches!(manifest.id.kind.as_str(), "Deployment" | "DaemonSet") {
        return;
    }
    let Some(pod) = normalise::pod_mut(&manifest.id, &mut manifest.object) else {
        return;
    };
    let mutable = ["/spec/containers", "/spec/initContainers"]
        .iter()
        .filter_map(|list| pod.pointer(list)?.as_array())
        .flatten()
        .filter_map(|container| container.get("image")?.as_str())
        .any(|image| !image.contains('@') && plan.images.values().any(|known| known == image));
    if mutable {
        annotate(pod, SHA, json!(plan.sha));
    }
}

/// Marks the pods of workloads with the contents of the ConfigMaps that they use.
pub(super) fn roll_with_configuration(manifests: &mut [Manifest]) {
    let contents: BTreeMap<String, String> = manifests
        .iter()
        .filter(|manifest| manifest.id.kind == "ConfigMap")
        .map(|manifest| {
            let content = json!([
                manifest.object.get("data"),
                manifest.object.get("binaryData")
            ]);
            (manifest.id.name.clone(), content.to_string())
        })
        .collect();
    for manifest in manifests {
        if !ROLLING.contains(&manifest.id.kind.as_str()) {
            continue;
        }
        let Some(pod) = normalise::pod_mut(&manifest.id, &mut manifest.object) else {
            continue;
        };
        let mut used = BTreeSet::new();
        config_maps(pod.get("spec").unwrap_or(&Value::Null), &mut used);
        let mut hash = Sha256::new();
        let mut any = false;
        for (name, content) in used.iter().filter_map(|name| contents.get_key_value(name)) {
            any = true;
            hash.update(format!("{name}\n{content}\n"));
        }
        if any {
            let digits: String = hash
                .finalize()
                .iter()
                .take(8)
                .map(|byte| format!("{byte:02x}"))
                .collect();
            annotate(pod, CONFIGURATION, json!(digits));
        }
    }
}

fn annotate(pod: &mut Value, key: &str, value: Value) {
    if let Some(annotations) = normalise::map_at(pod, &["metadata", "annotations"]) {
        annotations.insert(key.into(), value);
    }
}

/// Collects the names of ConfigMaps, wherever in a pod they are referred to.
fn config_maps(value: &Value, used: &mut BTreeSet<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| config_maps(item, used)),
        Value::Object(fields) => {
            for (key, value) in fields {
                let reference = ["configMap", "configMapRef", "configMapKeyRef"];
                if reference.contains(&key.as_str())
                    && let Some(name) = value.get("name").and_then(Value::as_str)
                {
                    used.insert(name.into());
                }
                config_maps(value, used);
            }
        }
        _ => {}
    }
}
