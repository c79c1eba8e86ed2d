//! `preview-action check` on a real API server: what RBAC lacks is named, what the policy holds is seen, nothing is written.

use crate::world::{Real, program, root};
use serde_json::Value;
use std::{path::Path, process::Command};

/// Exit code and findings of the program with a kubeconfig.
fn check(real: &Real, kubeconfig: &Path) -> (i32, Vec<Value>) {
    let folder = tempfile::tempdir().unwrap();
    let image = format!("web={}/web:check", real.registry());
    let output = Command::new(program())
        .env_clear()
        .env("KUBECONFIG", kubeconfig)
        .current_dir(folder.path())
        .args([
            "check",
            "--repository",
            "acme/shop",
            "--repository-id",
            "424242",
            "--pr",
            "12",
        ])
        .args([
            "--sha",
            "0123456789abcdef0123456789abcdef01234567",
            "--images",
            &image,
        ])
        .args([
            "--domain",
            "check.preview.test",
            "--health",
            "off",
            "--output",
            "json",
        ])
        .output()
        .unwrap();
    let found: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    (
        output.status.code().unwrap(),
        found.as_array().unwrap().clone(),
    )
}

fn of_access<'a>(found: &'a [Value], verdict: &str) -> Vec<&'a Value> {
    found
        .iter()
        .filter(|one| one["about"] == "access" && one["verdict"] == verdict)
        .collect()
}

#[test]
fn the_shipped_rights_are_enough_and_the_policy_is_seen() {
    let Some(real) = Real::enter() else { return };
    let (_, found) = check(real, real.deployer());
    assert_eq!(of_access(&found, "fault"), [&Value::Null; 0], "{found:#?}");
    let fine: Vec<&str> = of_access(&found, "fine")
        .iter()
        .map(|one| one["cause"].as_str().unwrap())
        .collect();
    assert_eq!(
        fine,
        [
            "this credential may do all that a deploy needs",
            "the admission policy holds this credential to previews"
        ]
    );
}

#[test]
fn exactly_the_verb_that_a_role_lacks_is_named() {
    let Some(real) = Real::enter() else { return };
    // An account of its own: the shipped one is everybody's here, and the policy is about that one only.
    let name = format!("check-{}", std::process::id());
    let shipped = std::fs::read_to_string(root().join("templates/setup/rbac.yaml")).unwrap();
    let (rules, _) = shipped
        .split_once("apiVersion: admissionregistration")
        .unwrap();
    let before = "resources: [daemonsets, deployments, statefulsets]\n    verbs: [get, list, watch, create, patch, delete]";
    let lacking = rules.replace(before, &before.replace("patch, ", ""));
    assert_ne!(lacking, rules);
    let own = lacking.replace("name: preview-action", &format!("name: {name}"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rbac.yaml");
    std::fs::write(&file, own).unwrap();
    real.kubectl(&["apply", "-f", file.to_str().unwrap()]);
    let token = real.kubectl(&["create", "token", &name, "-n", "preview-system"]);
    let shipped = real.kubeconfig();
    let (before, after) = shipped.split_once("token: ").unwrap();
    let text = |c: char| !",} \n".contains(c);
    let own = format!(
        "{before}token: {}{}",
        token.trim(),
        after.trim_start_matches(text)
    );
    let kubeconfig = folder.path().join("kubeconfig");
    std::fs::write(&kubeconfig, own).unwrap();
    let (exit, found) = check(real, &kubeconfig);
    for kind in ["clusterrolebinding", "clusterrole"] {
        real.kubectl(&["delete", kind, &name]);
    }
    for kind in ["rolebinding", "role"] {
        real.kubectl(&[
            "delete",
            kind,
            &format!("{name}-ledger"),
            "-n",
            "preview-system",
        ]);
    }
    real.kubectl(&["delete", "serviceaccount", &name, "-n", "preview-system"]);

    assert_eq!(exit, 1, "{found:#?}");
    let faults = of_access(&found, "fault");
    let causes: Vec<&str> = faults
        .iter()
        .map(|one| one["cause"].as_str().unwrap())
        .collect();
    assert_eq!(
        causes[..3],
        [
            "this credential may not patch daemonsets",
            "this credential may not patch deployments",
            "this credential may not patch statefulsets"
        ]
    );
    assert!(
        causes[3].starts_with("no admission policy holds this credential"),
        "{causes:#?}"
    );
    assert_eq!(causes.len(), 4, "{causes:#?}");
    let remedy = faults[1]["remedy"].as_str().unwrap();
    let rule = "`{apiGroups: [\"apps\"], resources: [deployments], verbs: [patch]}`";
    assert!(remedy.contains(rule), "{remedy}");
}
