//! Sleep and waking: nothing runs, data stays, the slot goes to others and is claimed again.

use crate::support::{Event, SHOP, Shop};
use preview_action::simulate::{Action, Fault};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

const NAMESPACE: &str = "pr-shop-1";

const TWO: &str = "version: 1
services:
  web:
    image: registry.example/web:{short-sha}
    port: 8080
    replicas: 2
    public: true
    health: {path: /}
";

fn replicas(shop: &Shop) -> Value {
    let object = shop.world.cluster.object("Deployment", NAMESPACE, "web");
    object.unwrap()["spec"]["replicas"].clone()
}

fn pods(shop: &Shop) -> usize {
    shop.world.cluster.objects("Pod", NAMESPACE).len()
}

pub(crate) fn quota(shop: &Shop) -> bool {
    let cluster = &shop.world.cluster;
    cluster
        .object("ResourceQuota", NAMESPACE, "preview-asleep")
        .is_some()
}

fn cron_job(shop: &Shop, name: &str, suspend: bool) {
    let pod = json!({"spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "registry.example/a:1"}]}});
    let job = json!({
        "apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"schedule": "0 3 * * *", "suspend": suspend, "jobTemplate": {"spec": {"template": pod}}},
    });
    shop.world.cluster.put(&job).unwrap();
}

fn suspended(shop: &Shop, name: &str) -> Value {
    let object = shop.world.cluster.object("CronJob", NAMESPACE, name);
    object.unwrap()["spec"]["suspend"].clone()
}

async fn asleep(shop: &Shop) {
    shop.deployed(1).await;
    let seen = shop.hears(&shop.says(1, "alice", "/sleep")).await;
    seen.ends(0, "slept");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sleeping_preview_gives_its_slot_away_and_wakes_as_it_was() {
    let shop = Shop::selling(TWO).await;
    shop.deployed(1).await;
    cron_job(&shop, "nightly", false);
    cron_job(&shop, "never", true);
    let seen = shop.hears(&shop.says(1, "alice", "/sleep")).await;
    seen.ends(0, "slept");
    assert_eq!(seen.output("state"), "sleeping");
    seen.one_comment();
    for text in [
        "Preview asleep",
        "`alice` asked",
        "/wake",
        "data is kept",
        "expires 20",
    ] {
        seen.says(text);
    }
    assert_eq!(
        (replicas(&shop), pods(&shop), quota(&shop)),
        (json!(0), 0, true)
    );
    assert_eq!(suspended(&shop, "nightly"), true);
    assert_eq!(shop.holders(), [0; 0]);
    assert_eq!(shop.namespaces(), [NAMESPACE]);
    let label = shop
        .world
        .cluster
        .object("Namespace", "", NAMESPACE)
        .unwrap();
    assert_eq!(
        label["metadata"]["labels"]["preview-action/state"],
        "sleeping"
    );

    // It is no orphan, and asking again finds nothing awake.
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    let again = shop.hears(&shop.says(1, "alice", "/sleep")).await;
    again.ends(0, "no-preview");
    again.says("Preview asleep");
    assert_eq!(shop.namespaces(), [NAMESPACE]);

    let woken = shop.hears(&shop.says(1, "bob", "/wake")).await;
    woken.ends(0, "woken");
    woken.says("Preview ready");
    woken.says("http://pr-1.preview.example.test");
    assert_eq!((replicas(&shop), quota(&shop)), (json!(2), false));
    assert_eq!(suspended(&shop, "nightly"), false);
    assert_eq!(suspended(&shop, "never"), true);
    assert_eq!(shop.holders(), [1]);
    assert!(shop.record(1)["asleep"].is_null());
    let twice = shop.hears(&shop.says(1, "bob", "/wake")).await;
    twice.ends(0, "no-preview");

    // What we have scaled ourselves is nobody else's change.
    let push = shop.hears(&shop.pushes(1)).await;
    push.ends(0, "deployed");
    assert!(
        !push.comment().contains("had been set by"),
        "{}",
        push.comment()
    );
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_wakes_what_sleeps() {
    let shop = Shop::selling(TWO).await;
    asleep(&shop).await;
    let push = shop.hears(&shop.pushes(1)).await;
    push.ends(0, "deployed");
    assert!(
        !push.comment().contains("had been set by"),
        "{}",
        push.comment()
    );
    assert_eq!((replicas(&shop), quota(&shop)), (json!(2), false));
    assert_eq!(shop.holders(), [1]);
    assert!(shop.record(1)["asleep"].is_null());
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_wakes_into_a_full_house_waits_like_everybody() {
    let shop = Shop::open().await;
    let one = async |event: Event| shop.run(&event).input("max-previews", "1").go().await;
    let opened = shop.opens(1);
    one(opened).await.ends(0, "deployed");
    one(shop.says(1, "alice", "/sleep")).await.ends(0, "slept");
    let second = shop.opens(2);
    one(second).await.ends(0, "deployed");
    let seen = one(shop.says(1, "alice", "/wake")).await;
    seen.ends(0, "queued");
    assert_eq!(shop.holders(), [2]);
    assert_eq!((pods(&shop), quota(&shop)), (0, true), "it stays asleep");
    assert!(!shop.record(1)["asleep"].is_null());
    one(shop.closes(2)).await.ends(0, "removed");
    // Whoever frees the slot gives it to the one in line, which wakes by being deployed.
    assert_eq!(shop.holders(), [1]);
    assert_eq!((pods(&shop), quota(&shop)), (1, false));
    assert!(shop.record(1)["asleep"].is_null());
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_deploy_has_woken_sleeps_and_wakes_again() {
    let shop = Shop::selling(TWO).await;
    asleep(&shop).await;
    shop.hears(&shop.pushes(1)).await.ends(0, "deployed");
    assert_eq!(replicas(&shop), json!(2));
    for _ in 0..2 {
        shop.hears(&shop.says(1, "alice", "/sleep"))
            .await
            .ends(0, "slept");
        assert_eq!(
            (replicas(&shop), pods(&shop), quota(&shop)),
            (json!(0), 0, true)
        );
        // Longer than a rollout may take: that of long ago has nothing to do with it.
        shop.world.advance(Duration::from_secs(3600));
        let wake = shop.says(1, "alice", "/wake");
        let woken = shop.run(&wake).input("timeout", "30s").go().await;
        woken.ends(0, "woken");
        assert_eq!(
            (replicas(&shop), pods(&shop), quota(&shop)),
            (json!(2), 2, false)
        );
    }
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_rolled_back_and_waits_for_a_slot_wakes_as_it_was() {
    let shop = Shop::open().await;
    let one = async |event: Event| shop.run(&event).input("max-previews", "1").go().await;
    let opened = shop.opens(1);
    one(opened).await.ends(0, "deployed");
    one(shop.pushes(1)).await.ends(0, "deployed");
    let back = one(shop.says(1, "alice", "/rollback")).await;
    back.ends(0, "rolled-back");
    let image = shop.image(NAMESPACE, "web");
    one(shop.says(1, "alice", "/sleep")).await.ends(0, "slept");
    let second = shop.opens(2);
    one(second).await.ends(0, "deployed");
    one(shop.says(1, "alice", "/wake")).await.ends(0, "queued");
    one(shop.closes(2)).await.ends(0, "removed");
    assert_eq!(shop.holders(), [1]);
    assert_eq!((pods(&shop), quota(&shop)), (1, false));
    assert_eq!(shop.image(NAMESPACE, "web"), image);
    assert!(
        shop.comment(1).contains("Preview ready"),
        "{}",
        shop.comment(1)
    );
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sleeping_preview_is_removed_when_its_pull_request_is_closed() {
    let shop = Shop::open().await;
    asleep(&shop).await;
    let seen = shop.hears(&shop.closes(1)).await;
    seen.ends(0, "removed");
    seen.says("Preview removed");
    assert_eq!(shop.namespaces(), [""; 0]);
    assert!(shop.record(1)["asleep"].is_null());
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_ledger_does_not_let_a_sleeper_hold_a_slot() {
    let shop = Shop::open().await;
    asleep(&shop).await;
    shop.loses_ledger();
    shop.deployed(2).await;
    assert_eq!(shop.holders(), [2]);
    shop.hears(&shop.says(1, "alice", "/wake"))
        .await
        .ends(0, "woken");
    assert_eq!(shop.holders(), [2, 1]);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_ledger_does_not_cost_a_sleeper_the_slot_that_it_keeps() {
    for keeps in [("sleep-keeps-slot", "true"), ("url-mode", "slot")] {
        for corrupt in [false, true] {
            let shop = Shop::open().await;
            let run = async |event: Event| shop.run(&event).inputs(&[keeps]).go().await;
            let opened = shop.opens(1);
            run(opened).await.ends(0, "deployed");
            run(shop.says(1, "alice", "/sleep")).await.ends(0, "slept");
            match corrupt {
                true => shop.corrupt("{"),
                false => shop.loses_ledger(),
            }
            let second = shop.opens(2);
            run(second).await.ends(0, "deployed");
            let when = format!("{keeps:?}, corrupt {corrupt}");
            assert_eq!(shop.holders(), [1, 2], "{when}");
            let ledger = shop.ledger().unwrap();
            assert_eq!(ledger["holders"][0]["slot"], 1, "{when}");
            assert_eq!(ledger["holders"][1]["slot"], 2, "{when}");
            assert!(!shop.record(1)["asleep"].is_null(), "{when}");
            run(shop.says(1, "alice", "/wake")).await.ends(0, "woken");
            shop.ends();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sweep_puts_what_is_idle_to_sleep_and_a_slot_may_be_kept() {
    let shop = Shop::open().await;
    for pr in [1, 2, 3] {
        shop.deployed(pr).await;
    }
    shop.world.advance(Duration::from_secs(13 * 3600));
    shop.hears(&shop.says(2, "alice", "/pin"))
        .await
        .ends(0, "pinned");
    shop.hears(&shop.pushes(3)).await.ends(0, "deployed");
    let inputs = [("sleep-after", "12h"), ("sleep-keeps-slot", "true")];
    let sweep = async |event: Event| shop.run(&event).inputs(&inputs).go().await;
    sweep(shop.schedule()).await.ends(0, "swept");
    assert!(quota(&shop));
    assert_eq!(shop.holders(), [1, 2, 3]);
    let comment = shop.status_comments(1).remove(0).body;
    assert!(comment.contains("nobody had used it"), "{comment}");
    assert!(comment.contains("keeps its slot"), "{comment}");
    // It was no use of the preview.
    let before = shop.now();
    sweep(shop.schedule()).await.ends(0, "swept");
    assert!(
        shop.cluster_requests(before)
            .iter()
            .all(|one| one.method == "GET")
    );
    shop.hears(&shop.says(1, "alice", "/wake"))
        .await
        .ends(0, "woken");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sleep_that_was_overtaken_while_it_stalled_gives_no_slot_away() {
    let shop = Arc::new(Shop::open().await);
    shop.deployed(1).await;
    let weak = Arc::downgrade(&shop);
    // Nothing runs any more, and the slot is about to be given back: a push has taken the turn and woken the preview.
    shop.world.cluster.inject(Fault::run(
        "PATCH",
        "/api/v1/namespaces/pr-shop-1",
        move || {
            let Some(shop) = weak.upgrade() else { return };
            shop.amend(|ledger| {
                ledger["previews"]["1"]["newest"] = json!("newer");
                ledger["previews"]["1"]["asleep"] = Value::Null;
            });
        },
    ));
    shop.hears(&shop.says(1, "alice", "/sleep"))
        .await
        .ends(0, "superseded");
    assert_eq!(shop.holders(), [1]);
    assert!(shop.record(1)["asleep"].is_null(), "{}", shop.record(1));
    shop.ends();
}

/// Lets the quota of a later sleep take the place of the one that is there, once the slot is confirmed.
fn sleeps_again(shop: &Arc<Shop>) {
    let weak = Arc::downgrade(shop);
    shop.world.cluster.inject(Fault::run(
        "PATCH",
        "/api/v1/namespaces/pr-shop-1",
        move || {
            let Some(shop) = weak.upgrade() else { return };
            let cluster = &shop.world.cluster;
            let mut later = cluster
                .object("ResourceQuota", NAMESPACE, "preview-asleep")
                .unwrap();
            cluster.delete("ResourceQuota", NAMESPACE, "preview-asleep");
            later["metadata"] = json!({"name": "preview-asleep", "namespace": NAMESPACE});
            cluster.put(&later).unwrap();
        },
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_wakes_a_preview_leaves_the_quota_of_a_later_sleep_alone() {
    for push in [true, false] {
        let shop = Arc::new(Shop::open().await);
        asleep(&shop).await;
        sleeps_again(&shop);
        let event = match push {
            true => shop.pushes(1),
            false => shop.says(1, "alice", "/wake"),
        };
        shop.run(&event).input("timeout", "10s").go().await;
        assert!(quota(&shop), "push {push}");
        assert_eq!(pods(&shop), 0, "push {push}");
        shop.ends();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_is_lost_while_a_push_wakes_a_preview_does_not_cost_its_data() {
    let shop = Arc::new(Shop::open().await);
    asleep(&shop).await;
    let uid = |shop: &Shop| {
        let object = shop.world.cluster.object("Namespace", "", NAMESPACE);
        object.unwrap()["metadata"]["uid"].clone()
    };
    let before = uid(&shop);
    let weak = Arc::downgrade(&shop);
    shop.world
        .cluster
        .inject(Fault::run("POST", "/api/v1/namespaces", move || {
            let Some(shop) = weak.upgrade() else { return };
            shop.amend(|ledger| ledger["holders"] = json!([]));
        }));
    shop.hears(&shop.pushes(1)).await.ends(0, "deployed");
    assert_eq!(uid(&shop), before);
    assert_eq!(shop.holders(), [1]);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn where_hosts_are_made_of_slots_a_sleeper_keeps_its_own() {
    let shop = Shop::open().await;
    let slots = async |event: Event| shop.run(&event).input("url-mode", "slot").go().await;
    let opened = shop.opens(1);
    slots(opened).await.ends(0, "deployed");
    let seen = slots(shop.says(1, "alice", "/sleep")).await;
    seen.ends(0, "slept");
    seen.says("keeps its slot");
    assert_eq!(shop.holders(), [1]);
    let second = shop.opens(2);
    slots(second).await.says("http://pr2.preview.example.test");
    let woken = slots(shop.says(1, "alice", "/wake")).await;
    woken.ends(0, "woken");
    woken.says("http://pr1.preview.example.test");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_finishes_a_sleep_leaves_the_slot_as_whoever_began_it_would_have() {
    let shop = Shop::open().await;
    for (pr, keeps, left) in [(1, "true", vec![1]), (2, "false", vec![1])] {
        shop.deployed(pr).await;
        let sleep = shop.says(pr, "alice", "/sleep");
        let slept = shop.run(&sleep).input("sleep-keeps-slot", keeps).go().await;
        slept.ends(0, "slept");
        // As if that run had died before its last word.
        shop.amend(|ledger| {
            ledger["previews"][pr.to_string()]["asleep"]["unfinished"] = json!(true)
        });
        let other = ["true", "false"].iter().find(|one| **one != keeps);
        let sweep = shop
            .run(&shop.schedule())
            .input("sleep-keeps-slot", other.unwrap());
        sweep.go().await.ends(0, "swept");
        assert_eq!(shop.holders(), left);
        assert!(shop.record(pr)["asleep"]["unfinished"].is_null());
    }
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sleeper_whose_hosts_are_made_of_a_slot_that_it_has_lost_wakes_by_a_deploy() {
    let shop = Shop::open().await;
    asleep(&shop).await;
    let slots = async |event: Event| shop.run(&event).input("url-mode", "slot").go().await;
    let second = shop.opens(2);
    slots(second).await.says("http://pr1.preview.example.test");
    let woken = slots(shop.says(1, "alice", "/wake")).await;
    woken.ends(0, "deployed");
    woken.says("http://pr2.preview.example.test");
    assert_eq!((pods(&shop), quota(&shop)), (1, false));
    assert!(shop.record(1)["asleep"].is_null());
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_sees_which_holder_sleeps_and_when_somebody_last_used_each() {
    let shop = Shop::open().await;
    let one = async |event: Event| {
        let inputs = [("max-previews", "1"), ("sleep-keeps-slot", "true")];
        shop.run(&event).inputs(&inputs).go().await
    };
    let opened = shop.opens(1);
    one(opened).await.ends(0, "deployed");
    shop.world.advance(Duration::from_secs(5 * 3600));
    one(shop.says(1, "alice", "/sleep")).await.ends(0, "slept");
    let second = shop.opens(2);
    one(second).await.ends(0, "queued");
    let comment = &shop.status_comments(2)[0].body;
    let row = comment
        .lines()
        .find(|line| line.starts_with("| 1 "))
        .unwrap();
    assert!(row.contains("asleep") || row.contains("sleeping"), "{row}");
    assert!(!row.contains("5 h ago | 5 h ago"), "{row}");
    shop.ends();
}

/// Refuses the next request like this for good.
fn refuses(shop: &Shop, method: &str, pattern: &str) {
    let body = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 403, "reason": "Forbidden", "message": "not now"});
    let refusal = Action::Answer {
        status: 403,
        body,
        headers: Vec::new(),
    };
    shop.world
        .cluster
        .inject(Fault::on(method, pattern, refusal));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waking_that_fails_before_anything_is_awake_can_be_tried_again() {
    let home = "/api/v1/namespaces/pr-shop-1";
    let web = "/apis/apps/v1/namespaces/pr-shop-1/deployments/web";
    for (keeps, method, pattern) in [
        ("false", "PATCH", home),
        ("true", "PATCH", home),
        ("true", "GET", home),
        ("false", "PATCH", web),
    ] {
        let when = format!("keeps {keeps}: {method} {pattern}");
        let shop = Shop::open().await;
        let run = async |event: Event| {
            let run = shop.run(&event).input("sleep-keeps-slot", keeps);
            run.go().await
        };
        shop.deployed(1).await;
        run(shop.says(1, "alice", "/sleep")).await.ends(0, "slept");
        refuses(&shop, method, pattern);
        let failed = run(shop.says(1, "alice", "/wake")).await;
        assert_ne!(failed.exit, 0, "{when}: {failed:#?}");
        shop.world.cluster.clear_faults();
        let record = shop.record(1);
        assert!(!record["asleep"].is_null(), "{when}: {record}");
        assert!(!record["deployment"].is_null(), "{when}: {record}");
        run(shop.says(1, "alice", "/wake")).await.ends(0, "woken");
        assert_eq!((pods(&shop), quota(&shop)), (1, false), "{when}");
        assert!(shop.record(1)["asleep"].is_null(), "{when}");
        shop.ends();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waking_that_has_failed_gives_its_slot_back_with_the_next_sweep() {
    let shop = Shop::open().await;
    asleep(&shop).await;
    refuses(&shop, "PATCH", "/api/v1/namespaces/pr-shop-1");
    shop.hears(&shop.says(1, "alice", "/wake")).await;
    assert_eq!(shop.holders(), [1]);
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    assert_eq!(shop.holders(), [0; 0]);
    assert_eq!((pods(&shop), quota(&shop)), (0, true));
    let comment = shop.comment(1);
    assert!(comment.contains("Preview asleep"), "{comment}");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_is_lost_while_a_preview_is_woken_lets_nothing_run_without_a_slot() {
    for push in [true, false] {
        let shop = Arc::new(Shop::open().await);
        asleep(&shop).await;
        let weak = Arc::downgrade(&shop);
        // The slot is confirmed, and the label says still that it sleeps: whoever makes the ledger anew counts it for none.
        let rebuilt = move || {
            let Some(shop) = weak.upgrade() else { return };
            shop.amend(|ledger| {
                ledger["holders"] = json!([]);
                let record = &mut ledger["previews"]["1"];
                let slept = record["asleep"].clone();
                *record = json!({"asleep": slept});
                record["asleep"]["unfinished"] = json!(false);
            });
        };
        let home = "/api/v1/namespaces/pr-shop-1";
        shop.world
            .cluster
            .inject(Fault::run("PATCH", home, rebuilt));
        let event = match push {
            true => shop.pushes(1),
            false => shop.says(1, "alice", "/wake"),
        };
        shop.hears(&event).await;
        assert_eq!((pods(&shop), quota(&shop)), (0, true), "push {push}");
        shop.hears(&shop.schedule()).await.ends(0, "swept");
        shop.hears(&shop.schedule()).await.ends(0, "swept");
        let held = !shop.holders().is_empty();
        assert_eq!(pods(&shop) > 0, held, "push {push}");
        assert_eq!(quota(&shop), !held, "push {push}");
        shop.ends();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_runs_without_a_slot_is_counted_although_the_ledger_calls_it_asleep() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    let uid = shop.ledger().unwrap()["holders"][0]["uid"].clone();
    let since = shop.world.clock.now().to_string();
    shop.amend(|ledger| {
        ledger["holders"] = json!([]);
        ledger["previews"]["1"]["asleep"] =
            json!({"since": since, "namespace": NAMESPACE, "uid": uid, "slot": 1});
    });
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    assert_eq!(shop.holders(), [1]);
    // What the ledger says of it becomes true then.
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    assert_eq!((pods(&shop), quota(&shop)), (0, true));
    assert_eq!(shop.holders(), [0; 0]);
    let comment = shop.comment(1);
    assert!(comment.contains("Preview asleep"), "{comment}");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_is_lost_while_a_preview_falls_asleep_leaves_one_that_wakes() {
    let shop = Arc::new(Shop::open().await);
    shop.deployed(1).await;
    let weak = Arc::downgrade(&shop);
    let home = "/api/v1/namespaces/pr-shop-1";
    shop.world
        .cluster
        .inject(Fault::run("PATCH", home, move || {
            let Some(shop) = weak.upgrade() else { return };
            // Made anew from the label before: awake, in its slot.
            shop.amend(|ledger| ledger["previews"]["1"] = json!({}));
        }));
    let sleep = shop.says(1, "alice", "/sleep");
    shop.hears(&sleep).await.ends(0, "superseded");
    assert_eq!((pods(&shop), quota(&shop)), (0, true));
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    assert_eq!(shop.holders(), [0; 0]);
    let wake = shop.says(1, "alice", "/wake");
    shop.hears(&wake).await.ends(0, "woken");
    assert_eq!((pods(&shop), quota(&shop)), (1, false));
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_that_github_did_not_end_with_the_sleep_is_ended_by_the_sweep() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    let limit = Action::Answer {
        status: 403,
        body: json!({"message": "You have exceeded a secondary rate limit."}),
        headers: vec![("retry-after".into(), "3000".into())],
    };
    let path = "/repos/acme/shop/deployments/*/statuses";
    shop.world.github.inject(Fault::on("POST", path, limit));
    let slept = shop.hears(&shop.says(1, "alice", "/sleep")).await;
    slept.ends(0, "slept");
    let state = || shop.world.github.deployments(SHOP)[0].state().to_owned();
    assert_eq!(state(), "success");
    shop.world.advance(Duration::from_secs(3600));
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    assert_eq!(state(), "inactive");
    assert_eq!(shop.record(1)["untold"], json!(null));
    assert!(shop.comment(1).contains("Preview asleep"));
    shop.ends();
}
