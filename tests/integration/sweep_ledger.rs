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
