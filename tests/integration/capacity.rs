//! The cap: never more previews than slots, and no Namespace of anybody else.

use crate::support::{LEDGER, ONE_SERVICE, SHOP, Shop};
use preview_action::simulate::{Fault, World};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

/// Namespaces that hold a Deployment, those that are going left out.
fn with_workloads(world: &World) -> BTreeSet<String> {
    let deployments = world.cluster.objects("Deployment", "");
    let names = deployments
        .iter()
        .map(|object| object["metadata"]["namespace"].as_str().unwrap().to_owned());
    names.collect()
}

fn put_namespace(shop: &Shop, name: &str, labels: Value) {
    let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}});
    shop.world.cluster.put(&object).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fourth_is_refused_and_told_who_holds_the_slots() {
    let shop = Shop::open().await;
    shop.filled().await;
    let opened = shop.opens(4);
    let fourth = shop.run(&opened).input("when-full", "refuse").go().await;
    fourth.ends(0, "at-capacity");
    assert_eq!(fourth.output("state"), "refused");
    for text in [
        "#1",
        "#2",
        "#3",
        "alice",
        "http://pr-2.preview.example.test",
        "/deploy",
    ] {
        fourth.says(text);
    }
    assert!(
        fourth
            .annotations()
            .iter()
            .any(|line| line.starts_with("::notice") && line.contains("#1, #2, #3")),
        "{:?}",
        fourth.annotations()
    );
    assert_eq!(shop.namespaces(), ["pr-shop-1", "pr-shop-2", "pr-shop-3"]);
    // An update of one that lives is never refused, and a freed slot is the fourth's.
    shop.hears(&shop.pushes(2)).await.ends(0, "deployed");
    shop.hears(&shop.closes(2)).await.ends(0, "removed");
    let again = shop.hears(&shop.says(4, "bob", "/deploy")).await;
    again.ends(0, "deployed");
    again.says("slot 2 of 3");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cap_of_none_admits_none() {
    let shop = Shop::open().await;
    let opened = shop.opens(1);
    let seen = shop.run(&opened).input("max-previews", "0").go().await;
    seen.ends(0, "at-capacity");
    assert_eq!(shop.namespaces(), Vec::<String>::new());
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_the_pull_request_itself_does_not_raise_the_cap() {
    let shop = Shop::open().await;
    shop.filled().await;
    let opened = shop.opens(4);
    let own = shop.run(&opened).input("max-previews", "9").go().await;
    own.ends(0, "queued");
    let command = shop.says(4, "bob", "/deploy");
    let governed = shop.run(&command).input("max-previews", "9").go().await;
    governed.ends(0, "deployed");
    governed.says("slot 4 of 9");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_somebody_deleted_is_made_again_from_the_namespaces() {
    let shop = Shop::open().await;
    shop.filled().await;
    let name = shop.ledger_name();
    assert!(
        shop.world
            .cluster
            .delete("ConfigMap", "preview-system", &name)
    );
    let fourth = shop.hears(&shop.opens(4)).await;
    fourth.ends(0, "queued");
    fourth.says("#1");
    assert_eq!(shop.holders(), [1, 2, 3]);
    shop.hears(&shop.pushes(3)).await.ends(0, "deployed");
    let owners = || {
        let holders = shop.ledger().unwrap()["holders"]
            .as_array()
            .cloned()
            .unwrap();
        let owners = holders
            .iter()
            .map(|one| one["owner"].as_str().unwrap_or_default().to_owned());
        owners.collect::<Vec<_>>()
    };
    assert_eq!(owners(), ["", "", ""], "no Namespace says it");
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    assert_eq!(owners(), ["alice", "alice", "alice"]);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_vanishes_in_the_middle_of_a_run_costs_nothing() {
    let shop = Arc::new(Shop::open().await);
    shop.filled().await;
    let push = shop.pushes(1);
    let weak = Arc::downgrade(&shop);
    let delete = Fault::run("PATCH", "/apis/apps/v1/**", move || {
        if let Some(shop) = weak.upgrade() {
            let name = shop.ledger_name();
            shop.world
                .cluster
                .delete("ConfigMap", "preview-system", &name);
        }
    });
    shop.world.cluster.inject(delete);
    let seen = shop.hears(&push).await;
    assert_eq!(seen.exit, 0, "{seen:#?}");
    shop.hears(&shop.pushes(1)).await.ends(0, "deployed");
    let mut holders = shop.holders();
    holders.sort_unstable();
    assert_eq!(holders, [1, 2, 3]);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_cannot_be_read_is_kept_aside_and_made_anew() {
    for text in [
        "{\"capacity\": 3, \"holders\": [",
        "[]",
        "{\"capacity\": \"many\"}",
    ] {
        let shop = Shop::open().await;
        for pr in [1, 2] {
            shop.deployed(pr).await;
        }
        shop.hears(&shop.says(2, "alice", "/pin"))
            .await
            .ends(0, "pinned");
        let name = shop.ledger_name();
        shop.corrupt(text);
        let seen = shop.hears(&shop.pushes(1)).await;
        seen.ends(0, "deployed");
        let told = |line: &&String| line.starts_with("::warning") && line.contains(&name);
        let warnings = seen.annotations();
        let warning = warnings.iter().find(told).unwrap();
        assert!(warning.contains("could not be read"), "{warning}");
        assert!(seen.summary.contains("made anew"), "{}", seen.summary);
        assert_eq!(shop.record(2)["pinned"], true, "its Namespace says so");
        assert!(!warning.contains("pins"), "{warning}");
        let copies = || {
            let all = shop.world.cluster.objects("ConfigMap", "preview-system");
            let of = |object: &Value| object["data"]["broken.txt"].as_str().map(str::to_owned);
            all.iter().filter_map(of).collect::<Vec<_>>()
        };
        assert_eq!(copies(), [text]);
        let mut holders = shop.holders();
        holders.sort_unstable();
        assert_eq!(holders, [1, 2], "nobody's slot is given away");
        let ledger = shop.ledger().unwrap();
        assert!(
            ledger["previews"]["1"]["sequence"].as_u64() > Some(1_000_000_000),
            "{ledger}"
        );
        // The same ruin again makes no second copy, and the schedule mends as well.
        shop.corrupt(text);
        let sweep = shop.hears(&shop.schedule()).await;
        sweep.ends(0, "swept");
        assert!(sweep.annotations().iter().any(|line| told(&line)));
        assert_eq!(copies().len(), 1);
        shop.hears(&shop.opens(3)).await.ends(0, "deployed");
        shop.hears(&shop.opens(4)).await.ends(0, "queued");
        shop.ends();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_whose_namespace_was_deleted_by_hand_is_free() {
    let shop = Shop::open().await;
    shop.filled().await;
    shop.world.cluster.delete("Namespace", "", "pr-shop-2");
    shop.gone("pr-shop-2").await;
    let fourth = shop.hears(&shop.opens(4)).await;
    fourth.ends(0, "deployed");
    fourth.says("slot 2 of 3");
    assert_eq!(shop.holders(), [1, 3, 4]);
    // The one that was deleted finds no place any more, and says so.
    shop.hears(&shop.pushes(2)).await.ends(0, "queued");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_whose_namespace_was_deleted_by_hand_comes_back() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    shop.world.cluster.delete("Namespace", "", "pr-shop-1");
    let seen = shop.hears(&shop.pushes(1)).await;
    seen.ends(0, "deployed");
    assert_eq!(shop.holders(), [1]);
    seen.one_comment();
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_is_deleted_while_it_is_deployed_to_is_made_again() {
    let shop = Arc::new(Shop::open().await);
    shop.deployed(1).await;
    let push = shop.pushes(1);
    let weak = Arc::downgrade(&shop);
    let delete = Fault::run("PUT", LEDGER, move || {
        if let Some(shop) = weak.upgrade() {
            shop.world.cluster.delete("Namespace", "", "pr-shop-1");
        }
    });
    shop.world.cluster.inject(delete);
    let seen = shop.hears(&push).await;
    seen.ends(0, "deployed");
    let head = shop.world.github.head(SHOP, 1);
    assert!(shop.image("pr-shop-1", "web").ends_with(&head[..7]));
    assert_eq!(shop.holders(), [1]);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_cannot_go_keeps_its_slot_until_it_is_gone() {
    let shop = Shop::open().await;
    shop.filled().await;
    let claim = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "held", "namespace": "pr-shop-1", "finalizers": ["example.com/hold"]},
    });
    shop.world.cluster.put(&claim).unwrap();
    shop.world.cluster.delete("Namespace", "", "pr-shop-1");
    let fourth = shop.hears(&shop.opens(4)).await;
    fourth.ends(0, "queued");
    fourth.says("terminating since");
    fourth.says("held by `finalizer example.com/hold`");
    assert_eq!(shop.holders(), [1, 2, 3]);
    let held = "held by `finalizer example.com/hold`";
    shop.hears(&shop.says(4, "alice", "/status"))
        .await
        .says(held);
    // Nor does a place that is told anew forget it.
    shop.hears(&shop.opens(5)).await.ends(0, "queued");
    shop.hears(&shop.says(4, "alice", "/undeploy")).await;
    let told = shop.comment(5);
    assert!(
        told.contains("number 1 in line") && told.contains(held),
        "{told}"
    );
    shop.hears(&shop.says(5, "alice", "/undeploy")).await;
    let mut freed = shop
        .world
        .cluster
        .object("ConfigMap", "pr-shop-1", "held")
        .unwrap();
    freed["metadata"]["finalizers"] = json!([]);
    shop.world.cluster.put(&freed).unwrap();
    shop.gone("pr-shop-1").await;
    shop.hears(&shop.says(4, "alice", "/deploy"))
        .await
        .ends(0, "deployed");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_of_somebody_else_is_refused_and_left_alone() {
    let others = [
        json!({}),
        json!({"app": "preview"}),
        json!({"app": "preview", "pr": "1", "preview-action/repository-id": "77", "preview-action/environment": "preview"}),
    ];
    for labels in others {
        let shop = Shop::open().await;
        put_namespace(&shop, "pr-shop-1", labels.clone());
        let before = shop.world.cluster.object("Namespace", "", "pr-shop-1");
        let seen = shop.hears(&shop.opens(1)).await;
        seen.ends(1, "namespace-taken");
        seen.says("pr-shop-1");
        seen.says("namespace-pattern");
        assert_eq!(
            shop.world.cluster.object("Namespace", "", "pr-shop-1"),
            before
        );
        assert_eq!(shop.holders(), Vec::<u64>::new());
        let closed = shop.hears(&shop.closes(1)).await;
        closed.ends(0, "nothing-to-remove");
        assert_eq!(
            shop.world.cluster.object("Namespace", "", "pr-shop-1"),
            before
        );
        shop.ends();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn previews_of_others_are_neither_counted_nor_swept() {
    let shop = Shop::open().await;
    for (name, labels) in [
        ("theirs", json!({"app": "preview", "pr": "9"})),
        (
            "ours-elsewhere",
            json!({"app": "preview", "pr": "8", "preview-action/repository-id": "77", "preview-action/environment": "preview"}),
        ),
        (
            "other-environment",
            json!({"app": "preview", "pr": "7", "preview-action/repository-id": shop.world.github.create_repository(SHOP).to_string(), "preview-action/environment": "staging"}),
        ),
    ] {
        put_namespace(&shop, name, labels);
    }
    shop.filled().await;
    let before = shop.namespaces();
    let sweep = shop.hears(&shop.schedule()).await;
    sweep.ends(0, "swept");
    assert_eq!(shop.namespaces(), before);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sweep_removes_what_is_closed_or_expired_and_nothing_else() {
    let shop = Shop::open().await;
    shop.filled().await;
    shop.world.github.close(SHOP, 2);
    shop.unused_for(1, 8);
    let silent = shop.run(&shop.schedule()).input("expiry-warning", "false");
    let sweep = silent.go().await;
    sweep.ends(0, "swept");
    assert_eq!(shop.namespaces(), ["pr-shop-3"]);
    assert_eq!(shop.holders(), [3]);
    for (pr, word) in [(1, "Preview expired"), (2, "Preview removed")] {
        let comments = shop.status_comments(pr);
        assert_eq!(comments.len(), 1);
        assert!(comments[0].body.contains(word), "{}", comments[0].body);
    }
    // After expiry a push brings it back.
    shop.hears(&shop.pushes(1)).await.ends(0, "deployed");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_runs_that_race_for_three_slots_never_have_more() {
    let shop = Shop::selling(ONE_SERVICE).await;
    let events: Vec<_> = (1..=20).map(|pr| shop.opens(pr)).collect();
    let (most, done) = (AtomicUsize::new(0), AtomicBool::new(false));
    let watch = async {
        // Asked after every change of any object.
        let seen = |cluster: &preview_action::simulate::cluster::Handle| {
            let deployments = cluster.objects("Deployment", "");
            let names: BTreeSet<_> = deployments
                .iter()
                .map(|object| object["metadata"]["namespace"].to_string())
                .collect();
            most.fetch_max(names.len(), Ordering::SeqCst);
            done.load(Ordering::SeqCst)
        };
        shop.world.cluster.wait_until(seen).await;
    };
    let runs = async {
        let runs = events.iter().map(|event| shop.hears(event));
        let seen = futures::future::join_all(runs).await;
        done.store(true, Ordering::SeqCst);
        put_namespace(&shop, "the-end", json!({}));
        seen
    };
    let ((), seen) = tokio::join!(watch, runs);
    let count = |reason: &str| {
        seen.iter()
            .filter(|seen| seen.output("reason-code") == reason)
            .count()
    };
    assert_eq!((count("deployed"), count("queued")), (3, 17), "{seen:#?}");
    assert!(seen.iter().all(|seen| seen.exit == 0));
    assert_eq!(most.load(Ordering::SeqCst), 3);
    let written: BTreeSet<String> = shop
        .cluster_requests(0)
        .into_iter()
        .filter(|record| record.method == "PATCH" && record.path.contains("/deployments/"))
        .map(|record| record.path)
        .collect();
    assert_eq!(
        written.len(),
        3,
        "nothing was even tried for the others: {written:?}"
    );
    assert_eq!(with_workloads(&shop.world).len(), 3);
    assert_eq!((shop.namespaces().len(), shop.holders().len()), (3, 3));
    let slowest = seen.iter().map(|seen| seen.took).max().unwrap();
    println!("20 runs raced for 3 slots; the slowest took {slowest:?}");
    assert!(slowest < Duration::from_secs(60));
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_takes_one_of_the_last_slots_warns() {
    let shop = Shop::open().await;
    let warns = |seen: &crate::support::Seen| {
        let all = seen.annotations();
        all.iter()
            .any(|line| line.contains("slots are taken with this preview"))
    };
    for pr in 1..=5 {
        let opened = shop.opens(pr);
        let seen = shop.run(&opened).input("max-previews", "5").go().await;
        seen.ends(0, "deployed");
        assert_eq!(warns(&seen), pr >= 4, "#{pr}: {:?}", seen.annotations());
    }
    // An update takes no slot.
    assert!(!warns(&shop.hears(&shop.pushes(5)).await));
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_of_a_newer_version_is_neither_changed_nor_made_anew() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    let text = "{\"format\": 2, \"since\": \"0.4.0\", \"capacity\": {\"small\": 2}}";
    shop.corrupt(text);
    for event in [
        Shop::schedule,
        |shop: &Shop| shop.pushes(1),
        |shop: &Shop| shop.closes(1),
    ] {
        let seen = shop.hears(&event(&shop)).await;
        seen.ends(1, "ledger-newer");
        assert!(seen.summary.contains("0.4.0 or later"), "{}", seen.summary);
    }
    let all = shop.world.cluster.objects("ConfigMap", "preview-system");
    let texts: Vec<&str> = all
        .iter()
        .filter_map(|one| one["data"]["state.json"].as_str())
        .collect();
    assert_eq!(texts, [text]);
    assert!(all.iter().all(|one| one["data"]["broken.txt"].is_null()));
    assert_eq!(shop.namespaces(), ["pr-shop-1"]);
    shop.ends();
}
