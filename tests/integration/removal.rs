//! Removal with proof: what was there, what holds it, who may be told to go, and what is left to the sweep.

use crate::{
    overtaken::change,
    support::{SHOP, Shop},
};
use preview_action::simulate::{Fault, cluster::Denial};
use serde_json::{Value, json};
use std::sync::Arc;

const NAMESPACE: &str = "pr-shop-1";

/// Something that does not go by itself.
fn hold(shop: &Shop, held: bool) {
    let finalizers = if held {
        json!(["example.test/block"])
    } else {
        json!([])
    };
    let object = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "held", "namespace": NAMESPACE, "finalizers": finalizers},
    });
    shop.world.cluster.put(&object).unwrap();
}

fn volume(shop: &Shop, name: &str, policy: &str) {
    let claim = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"volumeName": format!("pv-{name}"), "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    });
    let volume = json!({
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": format!("pv-{name}")},
        "spec": {"persistentVolumeReclaimPolicy": policy, "claimRef": {"namespace": NAMESPACE, "name": name}},
    });
    shop.world.cluster.put(&claim).unwrap();
    shop.world.cluster.put(&volume).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_comment_names_objects_volumes_and_seconds() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    volume(&shop, "cache", "Delete");
    volume(&shop, "uploads", "Retain");
    let seen = shop.hears(&shop.closes(1)).await;
    seen.ends(0, "removed");
    for text in [
        "that took 0.",
        "1 Deployment",
        "2 PersistentVolumeClaims",
        "`cache`: its volume is deleted",
        "`uploads`: ⚠️ its volume `pv-uploads` **stays with its data**",
    ] {
        seen.says(text);
    }
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_that_are_missing_cost_the_proof_and_not_the_removal() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    volume(&shop, "uploads", "Retain");
    shop.world
        .cluster
        .deny(Denial::new("get", "persistentvolumes"));
    let seen = shop.hears(&shop.closes(1)).await;
    seen.ends(0, "removed");
    seen.says("was not checked");

    let shop = Shop::open().await;
    shop.deployed(1).await;
    shop.world.cluster.deny(Denial::new("list", "cronjobs"));
    let seen = shop.hears(&shop.closes(1)).await;
    seen.ends(0, "removed");
    assert!(
        !seen.comment().contains("Removed with it"),
        "{}",
        seen.comment()
    );
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stuck_keeps_its_slot_names_its_finalizer_and_is_ended_by_the_sweep() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    hold(&shop, true);
    let seen = shop.hears(&shop.says(1, "alice", "/undeploy")).await;
    seen.ends(3, "removal-stuck");
    assert_eq!(seen.output("state"), "stuck");
    seen.one_comment();
    for text in [
        "cannot be removed yet",
        "finalizer example.test/block of configmaps/held",
        "kubectl -n pr-shop-1 patch configmaps held",
    ] {
        assert!(
            seen.comment().replace('\\', "").contains(text),
            "no {text:?} in {}",
            seen.comment()
        );
    }
    let annotation = seen.annotations().join("\n");
    assert!(annotation.contains("example.test/block"), "{annotation}");
    assert_eq!(shop.holders(), [1]);

    // A push does not bring back what somebody took down, and does not say that it is gone either.
    let push = shop.hears(&shop.pushes(1)).await;
    push.ends(0, "removed-by-command");
    push.says("cannot be removed yet");

    let again = shop.hears(&shop.schedule()).await;
    again.ends(3, "removal-stuck");
    assert!(
        again
            .annotations()
            .join("\n")
            .contains("example.test/block")
    );
    assert_eq!(shop.holders(), [1]);

    // Nobody hears that it goes at last but the next sweep.
    hold(&shop, false);
    shop.gone(NAMESPACE).await;
    let last = shop.hears(&shop.schedule()).await;
    last.ends(0, "swept");
    let comments = shop.status_comments(1);
    assert_eq!(comments.len(), 1);
    assert!(
        comments[0].body.contains("Preview removed"),
        "{}",
        comments[0].body
    );
    assert!(
        comments[0].body.contains("`alice` asked for it"),
        "{}",
        comments[0].body
    );
    assert_eq!(shop.holders(), Vec::<u64>::new());
    assert!(shop.ledger().unwrap()["previews"]["1"]["removing"].is_null());
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stuck_one_does_not_keep_the_sweep_from_the_others() {
    let shop = Shop::open().await;
    for pr in [1, 2] {
        shop.deployed(pr).await;
        shop.world.github.close(SHOP, pr);
    }
    hold(&shop, true);
    let seen = shop.hears(&shop.schedule()).await;
    seen.ends(3, "removal-stuck");
    assert_eq!(
        (shop.namespaces(), shop.holders()),
        (vec![NAMESPACE.to_owned()], vec![1])
    );
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deploy_waits_for_a_namespace_on_its_way_out_and_has_a_new_one() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    let uid = |shop: &Shop| {
        let object = shop.world.cluster.object("Namespace", "", NAMESPACE);
        object.map(|object| object["metadata"]["uid"].clone())
    };
    let old = uid(&shop);
    hold(&shop, true);
    shop.world.cluster.delete("Namespace", "", NAMESPACE);
    let event = shop.pushes(1);
    let free = async {
        let waits = |records: &[preview_action::simulate::Record]| {
            records
                .iter()
                .any(|one| one.is_watch() && one.path.ends_with("/namespaces"))
        };
        shop.world.log.clear();
        shop.world.log.wait_until(waits).await;
        hold(&shop, false);
    };
    let (seen, ()) = tokio::join!(shop.hears(&event), free);
    seen.ends(0, "deployed");
    assert_ne!(uid(&shop), old);
    shop.ends();
}

/// Somebody changes the Namespace right before it is deleted.
fn changed_at_the_last_moment(shop: &Arc<Shop>, by: fn(&mut Value)) -> Fault {
    let weak = Arc::downgrade(shop);
    Fault::run("DELETE", "/api/v1/namespaces/*", move || {
        if let Some(shop) = weak.upgrade() {
            change(&shop, "Namespace", "", NAMESPACE, |object| {
                by(&mut object["metadata"])
            });
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_becomes_somebody_elses_before_it_is_deleted_is_spared() {
    let shop = Arc::new(Shop::open().await);
    shop.deployed(1).await;
    let closed = shop.closes(1);
    let taken = changed_at_the_last_moment(&shop, |metadata| {
        metadata["labels"]["preview-action/repository-id"] = "999".into();
    });
    shop.world.cluster.inject(taken);
    let seen = shop.hears(&closed).await;
    assert_eq!(seen.exit, 0, "{seen:#?}");
    let left = shop
        .world
        .cluster
        .object("Namespace", "", NAMESPACE)
        .unwrap();
    assert_eq!(left["metadata"]["deletionTimestamp"], Value::Null);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_changes_before_it_is_deleted_is_judged_again_and_goes() {
    let shop = Arc::new(Shop::open().await);
    shop.deployed(1).await;
    let closed = shop.closes(1);
    let touched = changed_at_the_last_moment(&shop, |metadata| {
        let touched = &mut metadata["annotations"]["touched"];
        *touched = format!("{}x", touched.as_str().unwrap_or("")).into();
    });
    shop.world.cluster.inject(touched.times(3));
    let seen = shop.hears(&closed).await;
    seen.ends(0, "removed");
    assert_eq!(shop.namespaces(), Vec::<String>::new());
    let deletions = shop
        .cluster_requests(0)
        .into_iter()
        .filter(|one| one.method == "DELETE")
        .count();
    assert_eq!(deletions, 4);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_whose_labels_somebody_took_is_not_called_gone() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    let object = || {
        shop.world
            .cluster
            .object("Namespace", "", NAMESPACE)
            .unwrap()
    };
    let mut changed = object();
    changed["metadata"]["labels"]["pr"] = "9".into();
    shop.world.cluster.put(&changed).unwrap();
    let closed = shop.closes(1);
    let seen = shop.hears(&closed).await;
    seen.ends(3, "namespace-taken");
    assert_eq!(shop.holders(), [1], "its workloads run on");
    assert!(
        !seen.comment().contains("Preview removed"),
        "{}",
        seen.comment()
    );
    let mut mended = object();
    mended["metadata"]["labels"]["pr"] = "1".into();
    shop.world.cluster.put(&mended).unwrap();
    shop.hears(&closed).await.ends(0, "removed");
    assert_eq!(shop.holders(), [0; 0]);
    shop.ends();
}

/// How a preview of a closed pull request ended.
#[derive(Debug, Clone, Copy)]
enum End {
    Removed,
    Expired,
    Stuck,
}

/// A closed pull request whose preview has ended so, and what its comment must go on saying.
async fn ended(end: End) -> (Shop, &'static [&'static str]) {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    volume(&shop, "uploads", "Retain");
    match end {
        End::Removed => shop.hears(&shop.closes(1)).await.ends(0, "removed"),
        End::Expired => {
            shop.unused_for(1, 8);
            let sweep = shop.run(&shop.schedule()).input("expiry-warning", "false");
            sweep.go().await.ends(0, "swept");
            assert_eq!(shop.hears(&shop.closes(1)).await.exit, 0);
        }
        End::Stuck => {
            hold(&shop, true);
            shop.hears(&shop.closes(1)).await.ends(3, "removal-stuck");
        }
    }
    let words: &[&str] = match end {
        End::Removed => &[
            "Preview removed",
            "that took",
            "1 Deployment",
            "`pv-uploads` **stays with its data**",
        ],
        End::Expired => &[
            "Preview expired",
            "that took",
            "1 Deployment",
            "`pv-uploads` **stays with its data**",
        ],
        End::Stuck => &[
            "cannot be removed yet",
            "finalizer example.test/block of configmaps/held",
        ],
    };
    (shop, words)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_proof_of_a_removal_survives_every_command_on_the_closed_pull_request() {
    let mut lost = Vec::new();
    for end in [End::Removed, End::Expired, End::Stuck] {
        let (shop, words) = ended(end).await;
        shop.world
            .github
            .set_permission(SHOP, "bob", "admin", "admin");
        let says = |word: &&&str| !shop.comment(1).replace('\\', "").contains(**word);
        assert_eq!(
            words.iter().find(says),
            None,
            "{end:?}: {}",
            shop.comment(1)
        );
        let sha = shop.world.github.head(SHOP, 1);
        for command in [
            "/status".to_owned(),
            "/deploy".into(),
            format!("/deploy {sha}"),
            "/rollback".into(),
            "/sleep".into(),
            "/wake".into(),
            "/extend 2d".into(),
            "/pin".into(),
            "/unpin".into(),
            "/logs".into(),
            "/diff".into(),
            "/check".into(),
            "/deploy --take #2".into(),
            format!("/approve {sha}"),
            "/deplyo".into(),
            "/undeploy".into(),
            "/undeploy".into(),
            "/status".into(),
        ] {
            let seen = shop.hears(&shop.says(1, "bob", &command)).await;
            for word in words.iter().filter(says) {
                let reason = seen.output("reason-code");
                lost.push(format!(
                    "{end:?} {command} ({reason}): no {word:?} in {}",
                    shop.comment(1)
                ));
            }
        }
        shop.ends();
    }
    assert!(
        lost.is_empty(),
        "{} lost: {}",
        lost.len(),
        lost.join("\n\n")
    );
}

/// Whether an operator is called, by the issue.
fn calls(shop: &Shop) -> bool {
    let issues = shop.world.github.issues(SHOP);
    let mut calls = issues
        .iter()
        .filter(|one| one.body.contains("kind=operator"));
    calls.any(|one| one.state == "open")
}

/// A sweep that calls for an operator and leaves the comment as it is.
async fn calls_again(shop: &Shop) {
    let said = shop.comment(1);
    shop.hears(&shop.schedule()).await.ends(3, "removal-stuck");
    assert!(calls(shop));
    assert_eq!(shop.comment(1), said, "it says so already");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_hangs_after_somebody_deleted_it_is_told_once_and_calls_until_it_goes() {
    for before in ["ready", "degraded", "asleep"] {
        let shop = Shop::open().await;
        shop.deployed(1).await;
        match before {
            "degraded" => {
                shop.world.cluster.delete("Deployment", NAMESPACE, "web");
                shop.hears(&shop.schedule()).await.ends(0, "swept");
            }
            "asleep" => {
                let sleep = shop.says(1, "alice", "/sleep");
                shop.hears(&sleep).await.ends(0, "slept");
            }
            _ => {}
        }
        let says = format!("Preview {before}");
        hold(&shop, true);
        shop.world.cluster.delete("Namespace", "", NAMESPACE);
        shop.hears(&shop.schedule()).await.ends(0, "swept");
        assert!(shop.comment(1).contains(&says), "it may go yet");
        shop.world.advance(std::time::Duration::from_secs(15 * 60));
        shop.hears(&shop.schedule()).await.ends(3, "removal-stuck");
        let comment = shop.comment(1);
        assert!(!comment.contains(&says), "{comment}");
        let held = "finalizer example.test/block of configmaps/held holds it";
        assert!(comment.contains(held), "{comment}");
        for _ in 0..2 {
            calls_again(&shop).await;
        }
        hold(&shop, false);
        shop.gone(NAMESPACE).await;
        shop.hears(&shop.schedule()).await.ends(0, "swept");
        let comment = shop.comment(1);
        assert!(comment.contains("Preview removed"), "{comment}");
        assert_eq!((shop.holders(), calls(&shop)), (vec![], false));
        shop.ends();
    }
}
