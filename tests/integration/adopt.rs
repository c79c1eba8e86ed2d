//! Namespaces that were made before this tool came: shown, and taken over on request.

use crate::support::{SHOP, Shop, binary};
use preview_action::simulate::{Action, Fault};
use serde_json::{Value, json};
use std::{process::Stdio, sync::Arc, time::Duration};
use tokio::io::AsyncWriteExt as _;

struct Said {
    exit: i32,
    out: String,
    err: String,
}

/// Runs a command with this answer on its standard input.
async fn says(shop: &Shop, arguments: &[&str], answer: &str) -> Said {
    let mut child = tokio::process::Command::new(binary())
        .env_clear()
        .env("KUBECONFIG", shop.world.cluster.kubeconfig())
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(answer.as_bytes()).await.unwrap();
    drop(input);
    let output = child.wait_with_output().await.unwrap();
    Said {
        exit: output.status.code().unwrap(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

async fn adopts(shop: &Shop, namespace: &str, pr: &str, more: &[&str], answer: &str) -> Said {
    let id = shop.world.github.create_repository("acme/shop").to_string();
    let usual = [
        "adopt",
        namespace,
        "--repository",
        "acme/shop",
        "--repository-id",
        &id,
        "--pr",
        pr,
    ];
    says(shop, &[&usual[..], more].concat(), answer).await
}

fn old(shop: &Shop, name: &str, labels: Value) {
    let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}});
    shop.world.cluster.put(&object).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_namespace_is_shown_and_taken_over_above_the_cap_by_who_says_yes() {
    let shop = Shop::open().await;
    shop.filled().await;
    shop.opens(9);
    old(&shop, "old-9", json!({"app": "preview", "pr": "9"}));
    let listed = says(&shop, &["list"], "").await;
    assert!(
        listed
            .out
            .contains("nobody's, so not counted and never removed: old-9"),
        "{}",
        listed.out
    );
    assert!(
        listed.out.contains("preview-action adopt old-9"),
        "{}",
        listed.out
    );
    let silent = adopts(&shop, "old-9", "9", &[], "").await;
    assert_eq!(silent.exit, 1, "{}", silent.err);
    assert!(silent.err.contains("give --yes"), "{}", silent.err);
    assert_eq!(shop.holders(), [1, 2, 3]);

    let adopted = adopts(&shop, "old-9", "9", &[], "yes\n").await;
    assert_eq!(adopted.exit, 0, "{}", adopted.err);
    assert!(
        adopted.err.contains("whether #9 is open is not known"),
        "{}",
        adopted.err
    );
    assert!(
        adopted.out.contains("slot 4; 4 of 3 are taken"),
        "{}",
        adopted.out
    );
    assert_eq!(shop.holders(), [1, 2, 3, 9]);
    let namespace = shop.world.cluster.object("Namespace", "", "old-9").unwrap();
    assert_eq!(namespace["metadata"]["labels"]["slot"], "4");
    // It counts, and again is nothing new.
    let again = adopts(&shop, "old-9", "9", &["--yes"], "").await;
    assert_eq!(again.exit, 0, "{}", again.err);
    shop.hears(&shop.closes(1)).await.ends(0, "removed");
    shop.hears(&shop.opens(4)).await.ends(0, "queued");
    // It goes like any other, and then there is room.
    shop.hears(&shop.closes(9)).await.ends(0, "removed");
    assert!(
        shop.world
            .cluster
            .object("Namespace", "", "old-9")
            .is_none()
    );
    assert_eq!((shop.holders(), shop.line()), (vec![2, 3, 4], vec![]));
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_belongs_to_somebody_else_is_not_taken_over() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    let id = shop.world.github.create_repository("acme/shop").to_string();
    for (name, labels, says) in [
        ("plain", json!({}), "not labelled app=preview"),
        (
            "theirs",
            json!({"app": "preview", "preview-action/repository-id": "77"}),
            "repository-id is 77",
        ),
        (
            "other-pr",
            json!({"app": "preview", "pr": "8"}),
            "label pr is 8",
        ),
        (
            "elsewhere",
            json!({"app": "preview", "preview-action/repository-id": id, "preview-action/environment": "staging"}),
            "environment is staging",
        ),
    ] {
        old(&shop, name, labels);
        let before = shop.world.cluster.object("Namespace", "", name);
        let refused = adopts(&shop, name, "9", &["--yes"], "").await;
        assert_eq!(refused.exit, 1, "{name}: {}", refused.err);
        assert!(refused.err.contains(says), "{name}: {}", refused.err);
        assert_eq!(shop.world.cluster.object("Namespace", "", name), before);
    }
    let missing = adopts(&shop, "nowhere", "9", &["--yes"], "").await;
    assert!(
        missing.err.contains("there is no namespace nowhere"),
        "{}",
        missing.err
    );
    old(&shop, "second", json!({"app": "preview", "pr": "1"}));
    let second = adopts(&shop, "second", "1", &["--yes"], "").await;
    assert!(
        second.err.contains("#1 has another preview already"),
        "{}",
        second.err
    );
    assert_eq!(shop.holders(), [1]);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_adopted_is_left_alone_by_the_sweep_and_expires_like_any_other() {
    for knows_github in [true, false] {
        let shop = Shop::open().await;
        shop.deployed(1).await;
        shop.opens(9);
        old(&shop, "old-9", json!({"app": "preview", "pr": "9"}));
        let (url, token) = (shop.world.github.url(), shop.world.github.token());
        let github = ["--yes", "--api-url", &url, "--token", &token];
        let more = if knows_github {
            &github[..]
        } else {
            &["--yes"]
        };
        let adopted = adopts(&shop, "old-9", "9", more, "").await;
        assert_eq!(adopted.exit, 0, "{}", adopted.err);
        shop.world.advance(Duration::from_secs(16 * 60));
        shop.hears(&shop.schedule()).await.ends(0, "swept");
        assert_eq!(shop.namespaces(), ["old-9", "pr-shop-1"]);
        assert!(shop.record(9)["lastActivity"].is_string());
        let comments = shop.world.github.comments("acme/shop", 9);
        assert!(
            comments.iter().all(|one| !one.body.contains("degraded")),
            "{comments:#?}"
        );
        // Its author is warned first, as always.
        shop.unused_for(9, 30);
        for _ in 0..2 {
            shop.hears(&shop.schedule()).await.ends(0, "swept");
        }
        assert_eq!(shop.namespaces(), ["pr-shop-1"]);
        shop.ends();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adoption_that_dies_before_its_label_gives_the_slot_back_when_the_pull_request_is_closed()
 {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    shop.opens(9);
    old(&shop, "old-9", json!({"app": "preview", "pr": "9"}));
    let home = "/api/v1/namespaces/old-9";
    shop.world
        .cluster
        .inject(Fault::on("PATCH", home, Action::Hang));
    let labels = |record: &preview_action::simulate::Record| {
        record.method == "PATCH" && record.path.ends_with("/namespaces/old-9")
    };
    tokio::select! {
        said = adopts(&shop, "old-9", "9", &["--yes"], "") => panic!("it ended: {}", said.err),
        () = shop.world.log.wait_until(|records| records.iter().any(labels)) => {}
    }
    shop.world.cluster.clear_faults();
    assert_eq!(shop.holders(), [1, 9]);
    shop.world.github.close("acme/shop", 9);
    shop.world.advance(Duration::from_secs(31));
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    assert_eq!(shop.holders(), [1]);
    let there = shop.world.cluster.object("Namespace", "", "old-9");
    assert!(there.is_some(), "it never became ours");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_adopted_while_a_deploy_is_at_work_lives_in_no_second_namespace_beside_it() {
    let shop = Arc::new(Shop::open().await);
    let opened = shop.opens(9);
    let weak = Arc::downgrade(&shop);
    // The deploy has its turn, and no slot yet.
    let adopted = Fault::run("POST", "/repos/acme/shop/issues/9/comments", move || {
        let Some(shop) = weak.upgrade() else { return };
        let id = shop.world.github.create_repository(SHOP).to_string();
        let labels = json!({
            "app": "preview", "pr": "9", "preview-action/repository-id": id,
            "preview-action/environment": "preview",
        });
        old(&shop, "old-9", labels);
        let made = shop.world.cluster.object("Namespace", "", "old-9").unwrap();
        let holder = json!({
            "key": "9", "pr": 9, "namespace": "old-9", "uid": made["metadata"]["uid"], "slot": 1,
            "run": "adopted", "since": shop.world.clock.now().to_string(),
        });
        shop.amend(|ledger| ledger["holders"].as_array_mut().unwrap().push(holder));
    });
    shop.world.github.inject(adopted);
    shop.hears(&opened).await.ends(0, "deployed");
    assert_eq!(shop.namespaces(), ["pr-shop-9"]);
    let holders = shop.ledger().unwrap()["holders"].clone();
    assert_eq!(
        (shop.holders(), &holders[0]["namespace"]),
        (vec![9], &json!("pr-shop-9"))
    );
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn for_a_closed_pull_request_nothing_is_taken_over() {
    let shop = Shop::open().await;
    let (token, url) = (shop.world.github.token(), shop.world.github.url());
    let door = ["--yes", "--token", &token, "--api-url", &url];
    for pr in [8, 9] {
        shop.opens(pr);
        let name = format!("old-{pr}");
        old(
            &shop,
            &name,
            json!({"app": "preview", "pr": pr.to_string()}),
        );
    }
    shop.world.github.close(SHOP, 9);
    let before = shop.world.cluster.object("Namespace", "", "old-9");
    let refused = adopts(&shop, "old-9", "9", &door, "").await;
    assert_eq!(refused.exit, 1, "{}", refused.err);
    let why = "pull request #9 is closed";
    assert!(refused.err.contains(why), "{}", refused.err);
    assert_eq!(shop.world.cluster.object("Namespace", "", "old-9"), before);
    let adopted = adopts(&shop, "old-8", "8", &door, "").await;
    assert_eq!(adopted.exit, 0, "{}", adopted.err);
    assert!(!adopted.err.contains("not known"), "{}", adopted.err);
    assert_eq!(shop.holders(), [8]);
    shop.ends();
}
