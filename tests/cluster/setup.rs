//! What `preview-action setup` prints is what a real API server takes.

use crate::world::{Real, program, text};
use std::process::Command;

/// What `preview-action setup` prints.
pub(crate) fn printed(options: &[&str]) -> String {
    text(Command::new(program()).arg("setup").args(options))
}

/// Applies manifests as the administrator.
pub(crate) fn apply(real: &Real, manifests: &str, options: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("manifests.yaml");
    std::fs::write(&file, manifests).unwrap();
    let file = file.to_str().unwrap();
    real.kubectl(&[&["apply", "-f", file][..], options].concat())
}

#[test]
fn what_setup_prints_is_accepted_by_the_server() {
    let Some(real) = Real::enter() else { return };
    let answer = apply(real, &printed(&[]), &["--dry-run=server"]);
    assert!(answer.lines().count() >= 8, "{answer}");
    for object in [
        "clusterrole",
        "validatingadmissionpolicy",
        "validatingadmissionpolicybinding",
    ] {
        assert!(answer.contains(&format!("{object}.")), "{answer}");
    }
}
