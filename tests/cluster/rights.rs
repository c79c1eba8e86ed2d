//! The rights of the ServiceAccount: enough for every other test here, and not one more.

use crate::world::{Real, root, text};
use std::process::Command;

#[test]
fn the_suite_runs_as_the_service_account() {
    let Some(real) = Real::enter() else { return };
    let who = real
        .deploying()
        .args([
            "auth",
            "whoami",
            "-o",
            "jsonpath={.status.userInfo.username}",
        ])
        .output()
        .unwrap();
    let who = String::from_utf8(who.stdout).unwrap();
    assert_eq!(who, "system:serviceaccount:preview-system:preview-action");
}

#[test]
fn everything_allowed_is_allowed_and_everything_else_is_refused() {
    let Some(real) = Real::enter() else { return };
    let path = std::env::var("PATH").unwrap_or_default();
    let mut script = Command::new(root().join("tests/cluster/rights"));
    script
        .env("KUBECONFIG", real.admin())
        .env("PATH", format!("{}:{path}", real.tools().display()));
    let printed = text(&mut script);
    let last = printed.lines().last().unwrap_or_default();
    println!("{last}");
    assert!(last.ends_with("checks, 0 faults"), "{printed}");
}
