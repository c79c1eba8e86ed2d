//! What the scheduled run keeps true in the ledger: who is forgotten, how many may be, who comes first.

use crate::support::{SHOP, Shop};
use serde_json::json;

/// Numbers of the pull requests that the ledger remembers.
fn remembered(shop: &Shop) -> Vec<u64> {
    let ledger = shop.ledger().unwrap();
    let previews = ledger["previews"].as_object().unwrap();
    let mut prs: Vec<u64> = previews.keys().map(|key| key.parse().unwrap()).collect();
    prs.sort_unstable();
    prs
}

fn asked_of_github(shop: &Shop, since: usize) -> usize {
    shop.requests("github", since).len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_pull_request_is_asked_about_once_and_then_forgotten() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    shop.deployed(2).await;
    shop.hears(&shop.closes(2)).await.ends(0, "removed");
    let last = shop.record(2)["sequence"].as_u64().unwrap();
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    assert_eq!(remembered(&shop), [1]);
    let floor = shop.ledger().unwrap()["floor"].as_u64().unwrap();
    assert!(floor >= last, "{floor} {last}");
    let before = shop.now();
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    assert_eq!(asked_of_github(&shop, before), 1, "open pull requests");
    // Opened again it begins anew, above all that its old runs knew.
    shop.world.github.reopen(SHOP, 2);
    let again = shop.hears(&shop.pull_event(2, "reopened")).await;
    again.ends(0, "deployed");
    assert!(shop.record(2)["sequence"].as_u64().unwrap() > last);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_thousands_of_closed_pull_requests_left_behind_goes_little_by_little() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    for pr in 2..=90 {
        shop.opens(pr);
        shop.world.github.close(SHOP, pr);
    }
    shop.amend(|ledger| {
        let attempted =
            json!({"sha": "a".repeat(40), "outcome": "ready", "at": "2026-01-01T00:00:00Z"});
        // GitHub knows no pull request above ninety: what cannot be read is kept.
        for pr in 2..=3000 {
            ledger["previews"][pr.to_string()] =
                json!({"sequence": pr, "newest": format!("{pr}-1"), "attempted": attempted});
        }
    });
    for left in [3000 - 40, 3000 - 80, 3000 - 89] {
        let before = shop.now();
        shop.hears(&shop.schedule()).await.ends(0, "swept");
        assert_eq!(remembered(&shop).len(), left);
        let asked = asked_of_github(&shop, before);
        assert!(asked <= 45, "{asked} requests");
    }
    assert_eq!(shop.ledger().unwrap()["floor"], 90);
    assert_eq!(shop.holders(), [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_raised_cap_counts_from_the_next_scheduled_run_on() {
    let shop = Shop::open().await;
    let capped = async |event: crate::support::Event, cap: &str| {
        shop.run(&event).input("max-previews", cap).go().await
    };
    for (pr, reason) in [(1, "deployed"), (2, "queued"), (3, "queued")] {
        capped(shop.opens(pr), "1").await.ends(0, reason);
    }
    // A run of the pull request itself may not change it.
    capped(shop.pushes(1), "3").await.ends(0, "deployed");
    assert_eq!((shop.holders(), shop.line()), (vec![1], vec![2, 3]));
    capped(shop.schedule(), "3").await.ends(0, "swept");
    assert_eq!(shop.ledger().unwrap()["capacity"], 3);
    assert_eq!((shop.holders(), shop.line()), (vec![1, 2, 3], vec![]));
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cap_of_none_stops_everybody_from_the_next_governed_run_on() {
    for governed in ["schedule", "close", "status", "dispatch"] {
        let shop = Shop::open().await;
        shop.deployed(1).await;
        shop.deployed(2).await;
        let event = match governed {
            "schedule" => shop.schedule(),
            "close" => shop.closes(2),
            "status" => shop.says(1, "alice", "/status"),
            _ => shop.dispatches(1, "status"),
        };
        let brake = shop.run(&event).input("max-previews", "0").go().await;
        assert_eq!(brake.exit, 0, "{governed} {brake:#?}");
        let capacity = shop.ledger().unwrap()["capacity"].clone();
        assert_eq!(capacity, 0, "{governed}");
        shop.hears(&shop.opens(4)).await.ends(0, "at-capacity");
        shop.hears(&shop.pushes(1)).await.ends(0, "deployed");
    }
}
