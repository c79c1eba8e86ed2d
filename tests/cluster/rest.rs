//! How previews give their slots away and get them back on a real node: sleep, hosts made of slots, and what is taken over.

use crate::{
    alone, both,
    stay::Stay,
    world::{Real, program},
};
use serde_json::{Value, json};
use std::{path::Path, process::Command};

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_sleeps_waits_and_wakes_as_it_was() {
    let Some(real) = Real::enter() else { return };
    let text = include_str!("scenarios/sleep.yml");
    let mut claim = String::new();
    both::play_and_look(real, "sleep", text, async |stay, step, _| {
        let namespace = stay.namespace(71);
        let ended = |pod: &Value| {
            ["Succeeded", "Failed"]
                .iter()
                .any(|phase| pod["status"]["phase"] == *phase)
        };
        let pods = real.objects("pods", &namespace);
        let pods = pods.iter().filter(|pod| !ended(pod)).count();
        let asleep = ["she puts it", "bob takes", "alice wants"];
        let expected = match asleep.iter().any(|begin| step.say.starts_with(begin)) {
            true => 0,
            false => 3,
        };
        assert_eq!(pods, expected, "{}", step.say);
        let found = real.objects("persistentvolumeclaims", &namespace);
        let volume = found[0]["spec"]["volumeName"].as_str().expect("a volume");
        if claim.is_empty() {
            claim = volume.to_owned();
        }
        assert_eq!(volume, claim, "its data stay");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_made_of_a_slot_is_kept_over_sleep_and_given_on() {
    let Some(real) = Real::enter() else { return };
    both::play(real, "slots", include_str!("scenarios/slots.yml")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_namespace_is_taken_over_shown_on_the_dashboard_and_removed_when_its_time_comes() {
    let Some(real) = Real::enter() else { return };
    let stay = Stay::begin(real, "rest-adopt");
    let old = format!("old-{}", stay.environment);
    real.put(&json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": old, "labels": {"app": "preview", "pr": "77"}},
    }));
    alone::play(&stay, ADOPTED, async |step, _, github| {
        if step.say.starts_with("dora opens") {
            let id = github.create_repository("acme/shop").to_string();
            let adopted_by = |kubeconfig: &Path| {
                let mut adopt = Command::new(program());
                adopt.args(["adopt", &old, "--pr", "77", "--yes"]);
                adopt.args(["--repository", "acme/shop", "--repository-id", &id]);
                adopt.args(["--environment", &stay.environment]);
                adopt.env_clear().env("KUBECONFIG", kubeconfig);
                adopt.output().unwrap()
            };
            // The action's own credential may touch no Namespace but its own.
            let refused = adopted_by(real.deployer());
            assert_ne!(refused.status.code(), Some(0), "{refused:?}");
            let said = String::from_utf8_lossy(&refused.stderr);
            assert!(said.contains("whoever runs the cluster"), "{said}");
            assert_eq!(stay.ledger().expect("a ledger")["holders"], json!([]));
            let adopted = adopted_by(real.admin());
            assert!(adopted.status.success(), "{adopted:?}");
            let ledger = stay.ledger().expect("a ledger");
            assert_eq!(ledger["holders"][0]["namespace"], old.as_str(), "{ledger}");
        }
        if step.say.starts_with("the schedule") {
            let issues = github.issues("acme/shop");
            let [dashboard] = issues.as_slice() else {
                panic!("{issues:?}")
            };
            for text in ["pull/77) | ready |", "**1 of 3** slots"] {
                assert!(
                    dashboard.body.contains(text),
                    "no {text}: {}",
                    dashboard.body
                );
            }
            assert!(real.object("namespace", "", &old).is_some());
        }
    })
    .await;
    assert!(real.object("namespace", "", &old).is_none());
    assert_eq!(stay.ledger().expect("a ledger")["holders"], json!([]));
}

const ADOPTED: &str = r#"
title: An old preview
inputs:
  domain: preview.example.test
  auto-deploy: "false"
  dashboard-issue: "true"
  images: "web=${registry}/web:{short-sha}"
steps:
  - say: dora opens a pull request, whose preview somebody had made in another way
    do: {open: {pr: 77, branch: old, title: Old, by: dora}}
    expect: {exit: 0}
  - say: the schedule leaves it alone
    do: {schedule: {}}
    expect: {outputs: {reason-code: swept}}
  - say: dora closes it
    do: {close: {pr: 77}}
    expect: {outputs: {state: removed, reason-code: removed}}
"#;
