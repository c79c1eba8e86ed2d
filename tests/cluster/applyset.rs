//! Our ApplySets beside those of kubectl, and what is changed by hand set back.
//! Here the server and kubectl are real; how pruning decides is shown against the simulated cluster.
//! The same objects go into two Namespaces, one by the action and one by kubectl, and must come out alike.

use crate::{
    stay::Stay,
    world::{Real, program},
};
use serde_json::{Value, json};
use std::{
    path::Path,
    process::{Command, Output},
};

const PARENT: &str = "preview-applyset";
const PART_OF: &str = "applyset.kubernetes.io/part-of";
const KINDS: &str = "configmaps,secrets,services";

fn template(names: &[&str]) -> String {
    let config = |name: &&str| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{a: b}}\n---\n"
        )
    };
    names.iter().map(config).collect::<String>()
        + "apiVersion: v1\nkind: Secret\nmetadata: {name: hidden}\nstringData: {a: b}\n---\n\
           apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {ports: [{port: 80}]}\n"
}

fn write(folder: &Path, names: &[&str]) {
    for part in [".github", "deploy"] {
        std::fs::create_dir_all(folder.join(part)).unwrap();
    }
    let configuration = "version: 1\ntemplates: [deploy/*.yaml]\n";
    std::fs::write(folder.join(".github/preview.yml"), configuration).unwrap();
    std::fs::write(folder.join("deploy/all.yaml"), template(names)).unwrap();
}

fn run(stay: &Stay, verb: &str, folder: &Path) -> Output {
    let mut command = Command::new(program());
    command.args([verb, "--output", "json", "--repository", "acme/shop"]);
    command.args(["--repository-id", "1001", "--pr", "1"]);
    command.args(["--sha", &"a".repeat(40), "--environment", &stay.environment]);
    command.args(["--namespace-pattern", "pr-{repo}-{number}-{environment}"]);
    command.args(["--domain", &stay.domain()]);
    if verb == "deploy" {
        command.args(["--health", "off"]);
    }
    if verb != "render" {
        command.env_clear().env("KUBECONFIG", stay.real.deployer());
    }
    command.current_dir(folder).output().unwrap()
}

fn done(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    text(&output.stdout)
}

/// Applies objects by kubectl as one ApplySet.
fn by_kubectl(real: &Real, namespace: &str, objects: &[Value]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("all.json");
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
    std::fs::write(&file, list.to_string()).unwrap();
    let mut command = real.command();
    command.env("KUBECTL_APPLYSET", "true");
    command.args(["apply", "--server-side", "--prune", "-n", namespace]);
    command.args([&format!("--applyset=configmaps/{PARENT}"), "-f"]);
    command.arg(file).output().unwrap()
}

/// Labels of the members by kind and name, the id, which follows from the Namespace, in words.
fn members(real: &Real, namespace: &str) -> Vec<(String, Value)> {
    let parent = real.object("configmap", namespace, PARENT).unwrap();
    let id = &parent["metadata"]["labels"]["applyset.kubernetes.io/id"];
    let mut found: Vec<_> = real
        .objects(KINDS, namespace)
        .into_iter()
        .filter(|object| object["metadata"]["labels"].get(PART_OF).is_some())
        .map(|object| {
            let mut labels = object["metadata"]["labels"].clone();
            assert_eq!(&labels[PART_OF], id);
            labels[PART_OF] = "<id>".into();
            let name = object["metadata"]["name"].as_str().unwrap();
            let kind = object["kind"].as_str().unwrap();
            (format!("{kind}/{name}"), labels)
        })
        .collect();
    found.sort_by(|one, next| one.0.cmp(&next.0));
    found
}

fn parent_annotations(real: &Real, namespace: &str) -> Value {
    let parent = real.object("configmap", namespace, PARENT).unwrap();
    let mut annotations = parent["metadata"]["annotations"].clone();
    annotations
        .as_object_mut()
        .unwrap()
        .retain(|name, _| name.starts_with("applyset."));
    annotations
}

#[test]
fn a_set_of_ours_is_one_of_kubectl_but_for_the_tooling() {
    let Some(real) = Real::enter() else { return };
    let stay = Stay::begin(real, "applyset");
    let (ours, theirs) = (stay.namespace(1), "applyset-of-kubectl");
    real.kubectl(&["delete", "namespace", theirs, "--ignore-not-found"]);
    real.kubectl(&["create", "namespace", theirs]);
    let folder = tempfile::tempdir().unwrap();
    for names in [&["kept", "left"][..], &["kept"][..]] {
        write(folder.path(), names);
        done(&run(&stay, "deploy", folder.path()));
        let rendered = done(&run(&stay, "render", folder.path()));
        let mut objects: Vec<Value> = serde_json::from_str(&rendered).unwrap();
        objects.retain(|object| object["kind"] != "Namespace");
        for object in &mut objects {
            object["metadata"]["namespace"] = theirs.into();
        }
        done(&by_kubectl(real, theirs, &objects));

        let found = members(real, &ours);
        assert_eq!(found, members(real, theirs));
        let configs = found
            .iter()
            .filter(|(name, _)| ["ConfigMap/kept", "ConfigMap/left"].contains(&name.as_str()));
        assert_eq!(configs.count(), names.len());
        let (mut one, mut other) = (
            parent_annotations(real, &ours),
            parent_annotations(real, theirs),
        );
        let tooling =
            |annotations: &mut Value| annotations["applyset.kubernetes.io/tooling"].take();
        let (our_tool, their_tool) = (tooling(&mut one), tooling(&mut other));
        assert!(our_tool.as_str().unwrap().starts_with("preview-action/"));
        assert!(their_tool.as_str().unwrap().starts_with("kubectl/"));
        assert_eq!(one, other);
    }

    let refused = by_kubectl(real, &ours, &[]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success(), "{said}");
    let config = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "namespace": ours}});
    let refused = by_kubectl(real, &ours, &[config]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success(), "{said}");
    assert!(said.contains("preview-action"), "{said}");
    real.kubectl(&["delete", "namespace", theirs, "--wait=false"]);
}

#[test]
fn what_kubectl_changed_is_shown_by_diff_and_set_back_by_a_deploy() {
    let Some(real) = Real::enter() else { return };
    let stay = Stay::begin(real, "drift");
    let namespace = stay.namespace(1);
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &["kept", "left"]);
    done(&run(&stay, "deploy", folder.path()));
    let patch = r#"{"data":{"a":"by hand"}}"#;
    let patch = ["patch", "configmap", "kept", "-n", &namespace, "-p", patch];
    real.kubectl(&[&patch[..], &["--field-manager=somebody"]].concat());
    write(folder.path(), &["kept"]);

    let text = done(&run(&stay, "diff", folder.path()));
    let differences: Vec<Value> = serde_json::from_str(&text).unwrap();
    let of = |name: &str| {
        let mut all = differences.iter();
        let found = all.find(|one| one["id"]["name"] == name).unwrap();
        (found["change"].clone(), found["detail"].clone())
    };
    let detail = json!([{"field": "data.a", "before": "\"by hand\"", "after": "\"b\""}]);
    assert_eq!(of("kept"), ("changed".into(), detail));
    assert_eq!(of("left").0, "removed");
    assert_eq!(of("hidden").0, "unchanged");
    assert_eq!(of("web").0, "unchanged");

    let told = done(&run(&stay, "deploy", folder.path()));
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["pruned"], json!(["ConfigMap/left"]), "{told}");
    assert_eq!(
        told["warnings"],
        json!(["ConfigMap/kept: data.a had been set by `somebody` and is as configured again"]),
        "{told}"
    );
    let kept = real.object("configmap", &namespace, "kept").unwrap();
    assert_eq!(kept["data"]["a"], "b");
}

#[test]
fn what_cannot_change_on_a_live_object_is_made_again() {
    let Some(real) = Real::enter() else { return };
    let stay = Stay::begin(real, "again");
    let namespace = stay.namespace(1);
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &["kept"]);
    let workloads = |version: &str| {
        let pod = format!(
            "metadata: {{labels: {{app: web, version: {version}}}}}, spec: {{containers: [{{name: c, image: 'example.test/c:{version}'}}]"
        );
        format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: none}}\nspec: {{replicas: 0, selector: {{matchLabels: {{version: {version}}}}}, template: {{{pod}}}}}}}\n---\n\
             apiVersion: batch/v1\nkind: Job\nmetadata: {{name: later}}\nspec: {{suspend: true, template: {{{pod}, restartPolicy: Never}}}}}}\n---\n\
             apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: fixed, annotations: {{preview-action/recreate: 'true'}}}}\nimmutable: true\ndata: {{a: {version}}}\n"
        )
    };
    let deploy = |version: &str| {
        std::fs::write(
            folder.path().join("deploy/workloads.yaml"),
            workloads(version),
        )
        .unwrap();
        let told: Value =
            serde_json::from_str(&done(&run(&stay, "deploy", folder.path()))).unwrap();
        told["warnings"].clone()
    };
    let uids = || {
        ["deployment/none", "job/later", "configmap/fixed"].map(|object| {
            let (kind, name) = object.split_once('/').unwrap();
            real.object(kind, &namespace, name).unwrap()["metadata"]["uid"].clone()
        })
    };
    assert_eq!(deploy("v1"), json!([]));
    let first = uids();
    assert_eq!(deploy("v1"), json!([]));
    assert_eq!(uids(), first, "what did not change stays");
    let warnings = deploy("v2").to_string();
    for field in [
        "Deployment/none: deleted",
        "spec.selector",
        "Job/later: deleted",
        "spec.template",
        "ConfigMap/fixed",
    ] {
        assert!(warnings.contains(field), "{field}: {warnings}");
    }
    for (one, other) in uids().iter().zip(&first) {
        assert_ne!(one, other);
    }
}
