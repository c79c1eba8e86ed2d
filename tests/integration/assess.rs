//! `preview-action assess`: live objects in, one line of JSON for each out.

use crate::support::binary;
use assert_cmd::Command;
use serde_json::{Value, json};
use std::time::Duration;

/// The lines for a text on standard input, and the exit code.
fn assess(text: &str) -> (Vec<Value>, i32) {
    let output = Command::new(binary())
        .env_clear()
        .args(["assess", "-"])
        .write_stdin(text)
        .timeout(Duration::from_secs(60))
        .output()
        .unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    let lines = stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    (lines.collect(), output.status.code().unwrap())
}

const DEPLOYMENT: &str = r#"{"apiVersion": "apps/v1", "kind": "Deployment",
    "metadata": {"name": "web", "namespace": "pr-1", "generation": 2},
    "spec": {"replicas": 2}, "status": {"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2}}"#;

#[test]
fn a_file_of_one_object_is_one_line_with_its_fields_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("web.json");
    std::fs::write(&path, DEPLOYMENT).unwrap();
    Command::new(binary())
        .env_clear()
        .arg("assess")
        .arg(path)
        .assert()
        .success()
        .stderr("")
        .stdout(concat!(
            r#"{"kind":"Deployment","namespace":"pr-1","name":"web","status":"InProgress","#,
            r#""reason":"NotObserved","message":"the cluster has not taken up the change yet"}"#,
            "\n"
        ));
}

#[test]
fn a_list_is_told_in_its_order() {
    let list = format!(
        r#"{{"apiVersion": "v1", "kind": "List", "items": [
            {{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {{"name": "c"}}}},
            {DEPLOYMENT},
            {{"apiVersion": "v1", "kind": "Pod", "metadata": {{"name": "p", "deletionTimestamp": "2026-01-01T00:00:00Z"}}}},
            {{"apiVersion": "batch/v1", "kind": "Job", "metadata": {{"name": "j"}}, "status": {{"conditions": [{{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "m"}}]}}}}
        ]}}"#
    );
    let (lines, code) = assess(&list);
    let told: Vec<_> = lines
        .iter()
        .map(|line| (&line["name"], &line["status"]))
        .collect();
    let expected = [
        (json!("c"), json!("Ready")),
        (json!("web"), json!("InProgress")),
        (json!("p"), json!("Terminating")),
        (json!("j"), json!("Failed")),
    ];
    assert!(
        told.iter()
            .copied()
            .eq(expected.iter().map(|(a, b)| (a, b))),
        "{lines:?}"
    );
    assert_eq!(lines[3]["reason"], "BackoffLimitExceeded");
    assert_eq!(code, 0);
}

#[test]
fn a_bad_document_is_a_line_and_an_exit_code_and_hides_nothing() {
    let text = "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\n---\na: [hunter2\n---\napiVersion: v1\nkind: Secret\nmetadata: {name: b}\n";
    let (lines, code) = assess(text);
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert_eq!(
        (&lines[0]["name"], &lines[2]["name"]),
        (&json!("a"), &json!("b"))
    );
    let error = lines[1]["error"].as_str().unwrap();
    assert!(
        error.starts_with("line ") && !error.contains("hunter2"),
        "{error}"
    );
    assert_eq!(lines[1].as_object().unwrap().len(), 1);
    assert_eq!(code, 1);
}

#[test]
fn what_cannot_be_read_or_holds_nothing_is_said() {
    Command::new(binary())
        .env_clear()
        .args(["assess", "/nowhere/at-all.json"])
        .assert()
        .code(1)
        .stdout("")
        .stderr(predicates::str::contains("cannot be read"));
    Command::new(binary())
        .env_clear()
        .args(["assess", "-"])
        .write_stdin("# nothing\n")
        .assert()
        .code(1)
        .stderr(predicates::str::contains("no object in standard input"));
}
