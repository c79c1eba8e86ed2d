//! Removal on a real cluster: what holds a Namespace, whose Namespace it is, and what the schedule finds.

use crate::{alone, same::readable, stay::Stay, world::Real};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_is_held_by_a_finalizer_is_told_with_the_finalizers_name() {
    let Some(real) = Real::enter() else { return };
    let stay = Stay::begin(real, "remove-held");
    let namespace = stay.namespace(41);
    alone::play(&stay, HELD, async |step, seen, _| {
        if step.say.starts_with("alice opens") {
            real.put(&json!({
                "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": "held", "namespace": namespace, "finalizers": ["example.test/hold"]},
            }));
            real.kubectl(&["delete", "namespace", &namespace, "--wait=false"]);
        } else {
            let patch = r#"{"metadata": {"finalizers": []}}"#;
            real.kubectl(&["patch", "configmap", "held", "-n", &namespace, "--type=merge", "-p", patch]);
            assert!(seen.comments.concat().contains("example.test/hold"), "{:?}", seen.comments);
        }
    })
    .await;
}

const HELD: &str = r#"
title: A Namespace that cannot go
inputs:
  domain: preview.example.test
  images: "web=${registry}/web:{short-sha}"
steps:
  - say: alice opens a pull request
    do: {open: {pr: 41, branch: held, title: Held, by: alice}}
    expect: {outputs: {state: ready}}
  - say: somebody has deleted the Namespace, something holds it, and she pushes a commit
    do: {push: {pr: 41}}
    expect: {exit: 3, outputs: {state: failed, reason-code: namespace-terminating}}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_that_is_stuck_is_told_retried_and_ended_by_the_schedule() {
    let Some(real) = Real::enter() else { return };
    let mut stay = Stay::begin(real, "remove-stuck");
    // Half a minute instead of five: the server needs twenty seconds until it says what is left.
    stay.haste = 10;
    let namespace = stay.namespace(46);
    alone::play(&stay, STUCK, async |step, seen, github| {
        if step.say.starts_with("alice opens") {
            real.put(&json!({
                "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": "held", "namespace": namespace, "finalizers": ["example.test/hold"]},
            }));
        }
        if step.say.contains("stuck") {
            let told = github.comments("acme/shop", 46)[0].body.replace('\\', "");
            for text in ["finalizer example.test/hold of configmaps/held", "patch configmaps held"] {
                assert!(told.contains(text), "no {text:?} in {told}");
            }
            assert!(seen.log.contains("::error"), "{}", readable(&seen.log));
            let ledger = stay.ledger().expect("a ledger");
            assert_eq!(ledger["holders"][0]["namespace"], namespace.as_str(), "{ledger}");
        }
        if step.say.contains("sees it stuck") {
            let patch = r#"{"metadata": {"finalizers": []}}"#;
            real.kubectl(&["patch", "configmap", "held", "-n", &namespace, "--type=merge", "-p", patch]);
            real.kubectl(&["wait", "--for=delete", "namespace", &namespace, "--timeout=60s"]);
        }
        if step.say.ends_with("for good") {
            let told = &github.comments("acme/shop", 46)[0].body;
            assert!(told.contains("Preview removed"), "{told}");
            assert_eq!(stay.ledger().expect("a ledger")["holders"], json!([]));
        }
    })
    .await;
}

const STUCK: &str = r#"
title: A removal that gets stuck
inputs:
  domain: preview.example.test
  images: "web=${registry}/web:{short-sha}"
steps:
  - say: alice opens a pull request
    do: {open: {pr: 46, branch: stuck, title: Stuck, by: alice}}
    expect: {outputs: {state: ready}}
  - say: she takes it down, and it is stuck
    do: {comment: {pr: 46, by: alice, body: /undeploy}}
    expect: {exit: 3, outputs: {state: stuck, reason-code: removal-stuck}}
  - say: the schedule sees it stuck
    do: {schedule: {}}
    expect: {exit: 3, outputs: {reason-code: removal-stuck}}
  - say: the schedule says that it is gone for good
    do: {schedule: {}}
    expect: {outputs: {reason-code: swept}}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn volumes_that_stay_and_volumes_that_go_are_told() {
    let Some(real) = Real::enter() else { return };
    let stay = Stay::begin(real, "remove-volumes");
    let namespace = stay.namespace(47);
    let mut kept = String::new();
    alone::play(&stay, VOLUMES, async |step, _, github| {
        if step.say.starts_with("alice opens") {
            let claims = real.objects("persistentvolumeclaims", &namespace);
            assert_eq!(claims.len(), 2, "{claims:#?}");
            kept = claims[0]["spec"]["volumeName"]
                .as_str()
                .expect("a bound claim")
                .to_owned();
            let patch = r#"{"spec": {"persistentVolumeReclaimPolicy": "Retain"}}"#;
            real.kubectl(&["patch", "persistentvolume", &kept, "-p", patch]);
        } else {
            let told = &github.comments("acme/shop", 47)[0].body;
            for text in [
                "2 PersistentVolumeClaims",
                "its volume is deleted",
                "stays with its data",
                &kept,
            ] {
                assert!(told.contains(text), "no {text:?} in {told}");
            }
            real.kubectl(&["delete", "persistentvolume", &kept, "--wait=false"]);
        }
    })
    .await;
}

const VOLUMES: &str = r#"
title: Two volumes
files:
  .github/preview.yml: |
    version: 1
    services:
      one:
        image: ${registry}/web:{short-sha}
        port: 8080
        storage: {path: /data, size: 16Mi}
      two:
        image: ${registry}/web:{short-sha}
        port: 8080
        storage: {path: /data, size: 16Mi}
inputs: {domain: preview.example.test, timeout: 3m}
steps:
  - say: alice opens a pull request
    do: {open: {pr: 47, branch: volumes, title: Volumes, by: alice}}
    expect: {outputs: {state: ready}}
  - say: she closes it
    do: {close: {pr: 47}}
    expect: {outputs: {state: removed, reason-code: removed}}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_of_the_same_name_that_is_not_ours_stays() {
    let Some(real) = Real::enter() else { return };
    let stay = Stay::begin(real, "remove-foreign");
    let namespace = stay.namespace(42);
    let foreign = Foreign(real, namespace.clone());
    real.kubectl(&["delete", "namespace", &namespace, "--ignore-not-found"]);
    alone::play(&stay, FOREIGN, async |step, _, _| {
        if step.say.starts_with("alice opens") {
            real.kubectl(&["delete", "namespace", &namespace]);
            real.put(
                &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}),
            );
        }
        let there = real
            .object("namespace", "", &namespace)
            .expect("the foreign one");
        assert!(
            there["metadata"]["deletionTimestamp"].is_null(),
            "{there:#}"
        );
        assert!(there["metadata"]["labels"]["app"].is_null(), "{there:#}");
    })
    .await;
    drop(foreign);
}

/// A Namespace that is removed at the end by name, because no label tells it.
struct Foreign(&'static Real, String);

impl Drop for Foreign {
    fn drop(&mut self) {
        self.0.kubectl(&[
            "delete",
            "namespace",
            &self.1,
            "--ignore-not-found",
            "--wait=false",
        ]);
    }
}

const FOREIGN: &str = r#"
title: Another Namespace under the same name
inputs:
  domain: preview.example.test
  images: "web=${registry}/web:{short-sha}"
steps:
  - say: alice opens a pull request, and somebody puts a Namespace of theirs in its place
    do: {open: {pr: 42, branch: foreign, title: Foreign, by: alice}}
    expect: {outputs: {state: ready}}
  - say: she takes the preview down
    do: {comment: {pr: 42, by: alice, body: /undeploy}}
    expect: {outputs: {state: removed, reason-code: nothing-to-remove}}
  - say: she asks for it again
    do: {comment: {pr: 42, by: alice, body: /deploy}}
    expect: {exit: 1, outputs: {state: failed, reason-code: namespace-taken}, comment: ["namespace-pattern"]}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn the_schedule_removes_what_is_closed_or_expired_and_nothing_else() {
    let Some(real) = Real::enter() else { return };
    let stay = Stay::begin(real, "remove-sweep");
    let namespaces = [43, 44, 45].map(|pr| stay.namespace(pr));
    alone::play(&stay, SWEEP, async |step, _, github| {
        if step.say.starts_with("alice opens a third") {
            stay.expire(44);
        }
        if step.say.starts_with("the schedule") {
            assert_eq!(stay.namespaces(), [namespaces[2].clone()]);
            let ledger = stay.ledger().expect("a ledger");
            let holders = ledger["holders"].as_array().expect("holders");
            let held: Vec<_> = holders.iter().map(|holder| &holder["namespace"]).collect();
            assert_eq!(held, [&namespaces[2]]);
            for (pr, why) in [(43, "is closed"), (44, "Preview expired")] {
                let comments = github.comments("acme/shop", pr);
                assert!(comments[0].body.contains(why), "{}", comments[0].body);
            }
        }
    })
    .await;
}

const SWEEP: &str = r#"
title: What the schedule finds
inputs:
  expiry-warning: "false"
  domain: preview.example.test
  images: "web=${registry}/web:{short-sha}"
steps:
  - say: alice opens a first pull request
    do: {open: {pr: 43, branch: closed, title: Closed, by: alice}}
    expect: {outputs: {state: ready}}
  - say: alice opens a second pull request
    do: {open: {pr: 44, branch: expired, title: Expired, by: alice}}
    expect: {outputs: {state: ready}}
  - say: alice opens a third pull request, and the time of the second runs out
    do: {open: {pr: 45, branch: alive, title: Alive, by: alice}}
    expect: {outputs: {state: ready}}
  - say: the first is closed, but GitHub sends no event
    do: {close: {pr: 43, unheard: true}}
  - say: the schedule fires
    do: {schedule: {}}
    expect: {outputs: {decision: sweep, reason-code: swept}}
  - say: a push brings it back
    do: {push: {pr: 44}}
    expect: {outputs: {state: ready, reason-code: deployed}, page: "${sha}"}
"#;
