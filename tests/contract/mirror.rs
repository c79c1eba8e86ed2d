//! Runs the command that makes a mirrored action start another registry's image, on copies of `action.yml`.
//! It changes nothing of this repository.
//! Whoever mirrors has only this script, so what it refuses is as much its contract as what it changes.

use super::{read, root};
use std::{fs, os::unix::fs::PermissionsExt as _, process::Command};

const IMAGE: &str = "harbor.acme.example/tools/preview-action:0.1.0";

/// A copy of `action.yml`, perhaps changed, and the script run on it: whether it went well, what it said, what the file is then.
fn mirrored(image: &str, change: impl Fn(String) -> String) -> (bool, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("action.yml");
    fs::write(&file, change(read("action.yml"))).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    let output = Command::new(root().join(".github/mirror"))
        .arg(image)
        .arg("action.yml")
        .current_dir(folder.path())
        .output()
        .unwrap();
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8(said).unwrap();
    (
        output.status.success(),
        said,
        fs::read_to_string(&file).unwrap(),
    )
}

/// The lines that two texts do not share.
fn differing(one: &str, other: &str) -> Vec<String> {
    assert_eq!(one.lines().count(), other.lines().count());
    let pairs = one.lines().zip(other.lines());
    pairs
        .filter(|(a, b)| a != b)
        .map(|(_, b)| b.to_owned())
        .collect()
}

#[test]
fn one_line_is_changed_and_shown_and_again_none() {
    let digest = format!(
        "harbor.acme.example:8443/tools/preview-action@sha256:{}",
        "0a".repeat(32)
    );
    for image in [IMAGE, &digest, "10.0.0.7:5000/preview-action:0.1.0"] {
        let new = format!("  image: docker://{image}");
        let (well, said, after) = mirrored(image, |text| text);
        assert!(well, "{said}");
        assert_eq!(differing(&read("action.yml"), &after), [new.as_str()]);
        let old = "-  image: Dockerfile\n";
        assert!(
            said.contains(old) && said.contains(&format!("+{new}\n")),
            "{said}"
        );
        let action: serde_json::Value = serde_saphyr::from_str(&after).unwrap();
        assert_eq!(action["runs"]["image"], format!("docker://{image}"));
        // What a release has, and what an earlier call has written.
        let (well, said, again) = mirrored(&format!("docker://{image}"), |_| after.clone());
        assert!(well && said.contains("already"), "{said}");
        assert_eq!(again, after);
        let (well, _, back) = mirrored(IMAGE, |_| after.clone());
        assert!(well && back.contains(&format!("docker://{IMAGE}\n")));
    }
}

#[test]
fn an_image_that_is_none_or_moves_changes_nothing() {
    for (image, why) in [
        ("", "Usage"),
        ("preview-action:0.1.0", "is no image"),
        ("tools/preview-action:0.1.0", "is no registry"),
        ("harbor.acme.example/tools/preview-action", "neither a tag"),
        ("https://harbor.acme.example/tools/x:1", "is no image"),
        ("harbor.acme.example/Tools/x:1", "is no image"),
        ("harbor.acme.example/tools/x:1 ", "is no image"),
        (
            "harbor.acme.example/tools/x:1\n  entrypoint: sh",
            "more than one line",
        ),
        ("harbor.acme.example/tools/x:1|e touch y", "is no image"),
        ("harbor.acme.example/tools/x:&", "is no image"),
        ("harbor.acme.example/tools/x@sha256:0a", "is no image"),
        ("${{ vars.IMAGE }}", "is no image"),
    ] {
        let (well, said, after) = mirrored(image, |text| text);
        assert!(!well && said.contains(why), "{image:?}: {said}");
        assert_eq!(after, read("action.yml"), "{image:?}");
    }
}

#[test]
fn a_file_that_is_not_as_expected_stays_as_it_is() {
    let line = "  image: Dockerfile";
    for (other, why) in [
        ("  picture: Dockerfile", "0 lines"),
        ("  image: Dockerfile\n  image: Dockerfile", "2 lines"),
        ("    image: Dockerfile", "not indented"),
        ("  image: Dockerfile # built here", "more than one word"),
        ("  image:", "more than one word"),
    ] {
        let change = |text: String| text.replace(line, other);
        let (well, said, after) = mirrored(IMAGE, change);
        assert!(!well && said.contains(why), "{other:?}: {said}");
        assert_eq!(after, change(read("action.yml")), "{other:?}");
    }
    let folder = tempfile::tempdir().unwrap();
    for arguments in [
        &[IMAGE, "nowhere.yml"][..],
        &[IMAGE, "."],
        &[IMAGE, "a", "b"],
        &[],
    ] {
        let output = Command::new(root().join(".github/mirror"))
            .args(arguments)
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert!(!output.status.success(), "{arguments:?}");
        assert!(!output.stderr.is_empty());
    }
}

#[test]
fn it_explains_itself_and_the_readme_shows_it() {
    let output = Command::new(root().join(".github/mirror"))
        .arg("--help")
        .output()
        .unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && help.starts_with("Usage: .github/mirror IMAGE [FILE]"));
    assert!(read("README.md").contains(&format!("\n.github/mirror {IMAGE}\n")));
}
