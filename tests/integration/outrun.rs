//! What has changed since the sweep looked: whoever began meanwhile knows better, and nothing of theirs is undone.

use crate::{
    overtaken::change,
    support::{LEDGER, SHOP, Shop},
};
use preview_action::simulate::{Action, Fault};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

/// Changes a preview's record as a run would that began meanwhile.
fn newer(shop: &Shop, pr: u64, change: impl FnOnce(&mut Value)) {
    shop.change_record(pr, |record| {
        record["sequence"] = json!(record["sequence"].as_u64().unwrap_or_default() + 1);
        record["newest"] = json!("another/1");
        change(record);
    });
}

/// Has a run begin and end just before the sweep takes its turn.
fn outruns(shop: &Arc<Shop>, pr: u64, change: fn(&mut Value)) {
    let weak = Arc::downgrade(shop);
    let by = move || {
        let Some(shop) = weak.upgrade() else { return };
        newer(&shop, pr, change);
    };
    shop.world.cluster.inject(Fault::run("PUT", LEDGER, by));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_deployed_again_after_an_unfinished_removal_stays() {
    for because in [json!("asked"), json!({"taken": {"to": 9}})] {
        let shop = Arc::new(Shop::open().await);
        shop.deployed(1).await;
        shop.change_record(1, |record| {
            record["removing"] = json!({"because": because, "by": "alice"});
            record["removedOnPurpose"] = json!(true);
        });
        outruns(&shop, 1, |record| {
            record.as_object_mut().unwrap().remove("removing");
            record["removedOnPurpose"] = json!(false);
        });
        shop.hears(&shop.schedule()).await.ends(0, "swept");
        assert_eq!(shop.namespaces(), ["pr-shop-1"], "{because}");
        assert!(shop.record(1)["removing"].is_null());
        assert_eq!(shop.record(1)["newest"], "another/1");
        shop.ends();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_that_is_at_work_is_left_to_it_and_its_proof_stays() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    let close = shop.closes(1);
    let home = "/api/v1/namespaces/pr-shop-1";
    let slow = Action::Delay(Duration::from_secs(2));
    shop.world.cluster.inject(Fault::on("DELETE", home, slow));
    let sweep = async {
        let deletes = |records: &[preview_action::simulate::Record]| {
            let mut all = records.iter();
            all.any(|one| one.method == "DELETE" && one.path == home)
        };
        shop.world.log.wait_until(deletes).await;
        shop.hears(&shop.schedule()).await
    };
    let (closed, swept) = tokio::join!(shop.hears(&close), sweep);
    swept.ends(0, "swept");
    closed.ends(0, "removed");
    let comment = shop.comment(1);
    assert!(comment.contains("that took"), "{comment}");
    assert!(shop.record(1)["removing"].is_null());
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_used_it_meanwhile_finds_it_awake() {
    let shop = Arc::new(Shop::open().await);
    shop.deployed(1).await;
    shop.unused_for(1, 1);
    outruns(&shop, 1, |record| {
        record["lastActivity"] = json!("2999-01-01T00:00:00Z")
    });
    let sweep = shop.run(&shop.schedule()).input("sleep-after", "12h");
    sweep.go().await.ends(0, "swept");
    assert!(shop.record(1)["asleep"].is_null());
    assert_eq!(shop.world.cluster.objects("Pod", "pr-shop-1").len(), 1);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waking_that_went_well_meanwhile_is_not_undone() {
    let shop = Arc::new(Shop::open().await);
    shop.deployed(1).await;
    let holder = shop.ledger().unwrap()["holders"][0].clone();
    shop.change_record(1, |record| {
        record["asleep"] = json!({"since": "2026-01-01T00:00:00Z", "namespace": "pr-shop-1",
            "uid": holder["uid"], "slot": 1, "unfinished": true});
    });
    outruns(&shop, 1, |record| {
        record.as_object_mut().unwrap().remove("asleep");
    });
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    assert!(shop.record(1)["asleep"].is_null());
    assert_eq!(shop.world.cluster.objects("Pod", "pr-shop-1").len(), 1);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_whose_own_run_came_meanwhile_is_not_tried_again() {
    let shop = Arc::new(Shop::open().await);
    shop.deployed(1).await;
    shop.pushes(1);
    shop.world.advance(Duration::from_secs(20 * 60));
    outruns(&shop, 1, |record| {
        record["attempted"]["outcome"] = json!("failed");
        record["attempted"]["sha"] = json!("b".repeat(40));
    });
    let before = shop.now();
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    assert_eq!(shop.record(1)["newest"], "another/1");
    let applied = shop.requests("cluster", before);
    assert!(
        applied
            .iter()
            .all(|one| !one.path.contains("/deployments/")),
        "{applied:#?}"
    );
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_warned_of_an_expiry_that_somebody_has_put_off() {
    let shop = Arc::new(Shop::open().await);
    shop.deployed(1).await;
    shop.unused_for(1, 30);
    let weak = Arc::downgrade(&shop);
    let extended = Fault::run("GET", LEDGER, move || {
        let Some(shop) = weak.upgrade() else { return };
        shop.change_record(1, |record| record["pinned"] = json!(true));
    });
    // The first one is the look.
    shop.world.cluster.inject(extended.nth(2));
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    let comments = shop.world.github.comments(SHOP, 1);
    assert!(
        comments.iter().all(|one| !one.body.contains("kind=expiry")),
        "{comments:#?}"
    );
    assert!(shop.record(1)["warned"].is_null());
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sleeper_that_stalls_does_not_call_asleep_what_somebody_wakes() {
    let shop = Arc::new(Shop::open().await);
    shop.deployed(1).await;
    let weak = Arc::downgrade(&shop);
    let wakes = Fault::run("PATCH", "/api/v1/namespaces/pr-shop-1", move || {
        let Some(shop) = weak.upgrade() else { return };
        newer(&shop, 1, |_| {});
        change(&shop, "Namespace", "", "pr-shop-1", |home| {
            home["metadata"]["labels"]["preview-action/state"] = json!("deploying");
        });
    });
    shop.world.cluster.inject(wakes);
    let slept = shop.hears(&shop.says(1, "alice", "/sleep")).await;
    slept.ends(0, "superseded");
    let home = shop
        .world
        .cluster
        .object("Namespace", "", "pr-shop-1")
        .unwrap();
    assert_eq!(
        home["metadata"]["labels"]["preview-action/state"],
        "deploying"
    );
    assert_eq!(shop.holders(), [1]);
    shop.ends();
}

/// Whoever looks without a turn may write behind a run's last word, and notes that before the run has ended its turn.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_spoken_over_before_the_end_of_a_turn_is_said_again() {
    let played = [
        ("/deploy", "Preview ready"),
        ("/rollback", "Preview ready"),
        ("/sleep", "Preview asleep"),
        ("/wake", "Preview ready"),
        ("/undeploy", "Preview removed"),
        ("schedule", "Preview degraded"),
    ]
    .into_iter()
    .flat_map(|(body, heading)| [false, true].map(|owed| (body, heading, owed)))
    .map(async |(body, heading, owed)| {
        let shop = Arc::new(Shop::open().await);
        shop.deployed(1).await;
        match body {
            "/wake" => shop.hears(&shop.says(1, "alice", "/sleep")).await,
            "/deploy" | "/rollback" => shop.hears(&shop.pushes(1)).await,
            _ => shop.hears(&shop.says(1, "alice", "/status")).await,
        };
        let event = match body {
            "schedule" => shop.schedule(),
            _ => shop.says(1, "alice", body),
        };
        if body == "schedule" {
            let cluster = &shop.world.cluster;
            assert!(cluster.delete("Deployment", "pr-shop-1", "web"));
        }
        // A word of an earlier run may be owed already.
        shop.change_record(1, |record| record["untold"] = json!(owed));
        let weak = Arc::downgrade(&shop);
        let path = "/repos/acme/shop/issues/comments/*";
        // That the last word stands is read back while the turn is the run's still.
        let speaks = Fault::run("GET", path, move || {
            let Some(shop) = weak.upgrade() else { return };
            if shop.comment(1).contains(heading) && !shop.record(1)["active"].is_null() {
                shop.change_record(1, |record| {
                    record["untold"] = json!(true);
                    record["spokenOver"] = json!(true);
                });
            }
        });
        shop.world.github.inject(speaks.always());
        let seen = shop.hears(&event).await;
        assert_eq!(seen.exit, 0, "{seen:#?}");
        assert_eq!(shop.record(1)["untold"], true, "{body}");
        shop.world.github.clear_faults();
        shop.hears(&shop.schedule()).await.ends(0, "swept");
        assert!(shop.record(1)["untold"].is_null(), "{body}");
        assert!(
            shop.comment(1).contains(heading),
            "{body}: {}",
            shop.comment(1)
        );
        shop.ends();
    });
    futures::future::join_all(played).await;
}
