//! What no run may take away: a preview that would be removed for nobody, or changed by who does not know what it has seen.
//! The cap was lowered, GitHub does not answer, the ledger is lost: then what lives stays as it is.

use crate::support::{CONFIGURATION, Event, ONE_SERVICE, SHOP, Seen, Shop};
use preview_action::simulate::Fault;
use serde_json::json;
use std::time::Duration;

const QUARTER: Duration = Duration::from_secs(16 * 60);

/// A full house whose first preview failed at its first deploy, and one in line.
async fn with_a_failed_one() -> Shop {
    let shop = Shop::open().await;
    let broken = ONE_SERVICE.replace("web:{short-sha}", "web:crash-{short-sha}");
    let opened = shop.opens(1);
    shop.world.github.push(SHOP, 1, &[(CONFIGURATION, &broken)]);
    drop(opened);
    let failed = shop.hears(&shop.pull_event(1, "synchronize")).await;
    assert_eq!(failed.exit, 1, "{failed:#?}");
    for pr in [2, 3] {
        shop.deployed(pr).await;
    }
    // It gives way to who comes, unless somebody is at work on it.
    shop.amend(|ledger| ledger["previews"]["1"]["pinned"] = true.into());
    shop.hears(&shop.opens(4)).await.ends(0, "queued");
    shop.amend(|ledger| ledger["previews"]["1"]["pinned"] = false.into());
    assert_eq!((shop.holders(), shop.line()), (vec![1, 2, 3], vec![4]));
    shop
}

async fn capped(shop: &Shop, event: &Event, cap: &str) -> Seen {
    shop.run(event).input("max-previews", cap).go().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lowered_cap_puts_nobody_out_for_nobody() {
    for cap in ["2", "0"] {
        let shop = with_a_failed_one().await;
        shop.world.github.add_user("mia");
        shop.world
            .github
            .set_permission(SHOP, "mia", "write", "maintain");
        let still = |when: &str| {
            assert_eq!(shop.holders(), [1, 2, 3], "{cap}, {when}");
            assert_eq!(shop.namespaces().len(), 3, "{cap}, {when}");
        };
        shop.opens(5);
        let asks = shop.says(5, "mia", "/deploy --take #2");
        capped(&shop, &asks, cap).await.ends(0, "nothing-to-take");
        still("before any other run knows of the new cap");
        for _ in 0..2 {
            capped(&shop, &shop.schedule(), cap).await.ends(0, "swept");
        }
        still("after two sweeps");
        assert_eq!(shop.line(), [4]);
        let asks = shop.says(5, "mia", "/deploy --take #2");
        let taken = capped(&shop, &asks, cap).await;
        taken.ends(0, "nothing-to-take");
        let said = taken.annotations().join("\n");
        assert!(
            said.contains("3 previews are live and the limit is"),
            "{said}"
        );
        still("after a slot was to be taken");
        capped(&shop, &shop.says(5, "alice", "/deploy"), cap).await;
        still("after somebody came");
        shop.ends();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_moved_aside_where_a_raised_cap_has_a_slot() {
    let shop = Shop::open().await;
    for pr in [1, 2, 3] {
        shop.deployed(pr).await;
    }
    shop.world.github.add_user("mia");
    shop.world
        .github
        .set_permission(SHOP, "mia", "write", "maintain");
    shop.opens(4);
    let asks = shop.says(4, "mia", "/deploy --take #2");
    let taken = capped(&shop, &asks, "4").await;
    taken.ends(0, "deployed");
    assert_eq!(shop.holders(), [1, 2, 3, 4]);
    let said = taken.annotations().join("\n");
    assert!(said.contains("so #2 was left alone"), "{said}");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gives_way_to_who_cannot_be_looked_at() {
    let shop = with_a_failed_one().await;
    let gone = Fault::answer("GET", "/repos/acme/shop/pulls/4", 502, json!({}));
    shop.world.github.inject(gone.always());
    shop.hears(&shop.schedule()).await;
    assert_eq!((shop.holders(), shop.line()), (vec![1, 2, 3], vec![4]));
    let everything = Fault::answer("*", "/**", 502, json!({}));
    shop.world.github.inject(everything.always());
    assert_eq!(shop.hears(&shop.schedule()).await.exit, 3);
    assert_eq!((shop.holders(), shop.line()), (vec![1, 2, 3], vec![4]));
    shop.world.github.clear_faults();
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    assert_eq!((shop.holders(), shop.line()), (vec![2, 3, 4], vec![]));
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gives_way_to_whom_a_filter_keeps_back() {
    let shop = with_a_failed_one().await;
    shop.world.github.set_draft(SHOP, 4, true);
    let sweep = shop.run(&shop.schedule()).input("drafts", "false");
    sweep.go().await.ends(0, "swept");
    assert_eq!((shop.holders(), shop.line()), (vec![1, 2, 3], vec![4]));
    assert!(shop.namespaces().contains(&"pr-shop-1".into()));
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_names_who_gives_way() {
    let shop = with_a_failed_one().await;
    let (text, _) = shop
        .by_hand(&["sweep", "--domain", "preview.example.test", "--dry-run"])
        .await;
    let line = text
        .lines()
        .find(|line| line.starts_with("#1 "))
        .unwrap_or_default();
    assert!(
        line.contains("remove") && line.contains("#4 waits"),
        "{text}"
    );
    shop.ends();
}

/// Which commits were tried is not known then: a failed one is not tried again, and what was rolled back stays so.
#[tokio::test(flavor = "multi_thread")]
async fn with_a_lost_ledger_what_lives_stays_at_its_commit() {
    let shop = Shop::open().await;
    let broken = ONE_SERVICE.replace("web:{short-sha}", "web:crash-{short-sha}");
    for pr in [1, 2] {
        shop.deployed(pr).await;
    }
    let failed = shop.pushes_files(1, &[(CONFIGURATION, &broken)]);
    assert_eq!(shop.hears(&failed).await.exit, 1);
    shop.hears(&shop.pushes(2)).await.ends(0, "deployed");
    let rolled = shop.says(2, "alice", "/rollback");
    shop.hears(&rolled).await.ends(0, "rolled-back");
    let good = shop.image("pr-shop-2", "web");
    assert_eq!(shop.image("pr-shop-2", "web"), good);
    let labels = json!({
        "app": "preview", "pr": "9", "slot": "3", "preview-action/state": "ready",
        "preview-action/repository-id": "1001", "preview-action/environment": "preview",
        "app.kubernetes.io/managed-by": "preview-action",
    });
    let adopted = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "old-9", "labels": labels}});
    shop.opens(9);
    shop.world.cluster.put(&adopted).unwrap();
    shop.loses_ledger();
    shop.world.advance(QUARTER);
    let since = shop.now();
    for _ in 0..2 {
        shop.hears(&shop.schedule()).await.ends(0, "swept");
    }
    let images = |namespace: &str| shop.image(namespace, "web");
    assert_eq!(images("pr-shop-2"), good);
    assert!(
        !images("pr-shop-1").contains("crash"),
        "{}",
        images("pr-shop-1")
    );
    assert_eq!(shop.namespaces(), ["old-9", "pr-shop-1", "pr-shop-2"]);
    let applied = shop.cluster_requests(since);
    let applied: Vec<_> = applied
        .iter()
        .filter(|one| one.path.contains("/deployments/"))
        .collect();
    assert!(applied.is_empty(), "{applied:#?}");
    // Whoever pushes is deployed.
    shop.hears(&shop.pushes(2)).await.ends(0, "deployed");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_whose_slot_went_after_its_namespace_was_deleted_is_told() {
    let shop = Shop::open().await;
    shop.filled().await;
    shop.world.cluster.delete("Namespace", "", "pr-shop-2");
    shop.gone("pr-shop-2").await;
    shop.hears(&shop.opens(4)).await.ends(0, "deployed");
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    let comment = shop.comment(2);
    assert!(!comment.contains("Preview ready"), "{comment}");
    assert!(comment.contains("/deploy"), "{comment}");
    assert_eq!(shop.holders(), [1, 3, 4]);
    shop.ends();
}
