//! Who finds no slot waits in line, and is deployed by the run that frees one.

use crate::support::{CONFIGURATION, ONE_SERVICE, SHOP, Shop};
use preview_action::simulate::Fault;
use serde_json::json;

/// Three previews that hold all slots, and these pull requests in line.
async fn full(shop: &Shop, waiting: std::ops::RangeInclusive<u64>) {
    for pr in 1..=3 {
        shop.deployed(pr).await;
    }
    for pr in waiting {
        shop.hears(&shop.opens(pr)).await.ends(0, "queued");
    }
}

#[track_caller]
fn comment_says(shop: &Shop, pr: u64, text: &str) {
    let comment = shop.comment(pr);
    assert!(comment.contains(text), "no {text:?} in\n{comment}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_is_told_the_place_and_deployed_by_the_run_that_frees_a_slot() {
    let shop = Shop::open().await;
    full(&shop, 4..=4).await;
    let fifth = shop.hears(&shop.opens(5)).await;
    fifth.ends(0, "queued");
    assert_eq!(fifth.output("state"), "queued");
    for text in [
        "number 2 in line",
        "#1",
        "#2",
        "#3",
        "alice",
        "issuecomment-new",
    ] {
        fifth.says(text);
    }
    let noticed = |line: &String| line.starts_with("::notice") && line.contains("number 2 in line");
    assert!(
        fifth.annotations().iter().any(noticed),
        "{:?}",
        fifth.annotations()
    );
    assert_eq!(shop.line(), [4, 5]);
    // What was pushed while it waited is what is deployed.
    shop.world.github.push(SHOP, 4, &[]);
    let closed = shop.hears(&shop.closes(2)).await;
    closed.ends(0, "removed");
    assert_eq!(closed.output("state"), "removed");
    assert!(
        closed.summary.contains("was first in line"),
        "{}",
        closed.summary
    );
    assert_eq!((shop.holders(), shop.line()), (vec![1, 3, 4], vec![5]));
    let head = shop.world.github.head(SHOP, 4);
    assert!(shop.image("pr-shop-4", "web").ends_with(&head[..7]));
    comment_says(&shop, 4, "Preview ready");
    comment_says(&shop, 4, "slot 2 of 3");
    comment_says(&shop, 5, "number 1 in line");
    comment_says(&shop, 5, "#4");
    // Whoever frees the next slot.
    shop.hears(&shop.says(1, "bob", "/undeploy"))
        .await
        .ends(0, "removed");
    assert_eq!((shop.holders(), shop.line()), (vec![3, 4, 5], vec![]));
    comment_says(&shop, 5, "Preview ready");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_without_a_queue_asks_nobody_anything_more() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    let since = shop.now();
    shop.hears(&shop.closes(1)).await.ends(0, "removed");
    let last = shop.requests("github", since).pop().unwrap();
    assert_eq!(
        (
            last.method.as_str(),
            last.path.contains("/issues/comments/")
        ),
        ("GET", true),
        "{last:?}"
    );
    let asked = shop
        .cluster_requests(since)
        .into_iter()
        .filter(|one| one.path.contains("preview-system"));
    let asked: Vec<String> = asked.map(|one| one.method).collect();
    assert_eq!(
        asked,
        ["GET", "PUT", "PUT", "PUT"],
        "turn, slot, end of the turn"
    );
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_queue_is_served_in_order_and_who_closes_leaves_it() {
    let shop = Shop::open().await;
    full(&shop, 4..=7).await;
    // 5 closes while it waits, and GitHub's event for 4 is lost.
    shop.hears(&shop.closes(5))
        .await
        .ends(0, "nothing-to-remove");
    assert_eq!(shop.line(), [4, 6, 7]);
    comment_says(&shop, 6, "number 2 in line");
    comment_says(&shop, 7, "number 3 in line");
    shop.world.github.close(SHOP, 4);
    shop.hears(&shop.closes(1)).await.ends(0, "removed");
    assert_eq!((shop.holders(), shop.line()), (vec![2, 3, 6], vec![7]));
    comment_says(&shop, 6, "Preview ready");
    comment_says(&shop, 7, "number 1 in line");
    // By command it leaves too, and stays away.
    shop.hears(&shop.says(7, "alice", "/undeploy"))
        .await
        .ends(0, "nothing-to-remove");
    assert_eq!(shop.line(), [0; 0]);
    shop.hears(&shop.closes(2)).await.ends(0, "removed");
    assert_eq!(shop.holders(), [3, 6]);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_keeps_its_place_and_what_cannot_be_deployed_gives_it_up() {
    let shop = Shop::open().await;
    full(&shop, 4..=6).await;
    shop.world
        .github
        .push(SHOP, 5, &[(CONFIGURATION, "version: 1\nservices: 7\n")]);
    let missing = Fault::answer(
        "GET",
        "/repos/acme/shop/pulls/4",
        404,
        json!({"message": "Not Found"}),
    );
    shop.world.github.inject(missing.always());
    let closed = shop.hears(&shop.closes(1)).await;
    closed.ends(0, "removed");
    let warned = |line: &String| line.starts_with("::warning") && line.contains("#4");
    assert!(
        closed.annotations().iter().any(warned),
        "{:?}",
        closed.annotations()
    );
    assert_eq!(
        (shop.holders(), shop.line()),
        (vec![2, 3], vec![4, 5, 6]),
        "the slot is kept for it"
    );
    // The fifth is next with a second slot; it cannot be rendered, so the sixth has it.
    let closed = shop.hears(&shop.closes(2)).await;
    closed.ends(0, "removed");
    assert!(
        closed
            .annotations()
            .iter()
            .any(|line| line.starts_with("::warning") && line.contains("#5"))
    );
    comment_says(&shop, 5, "Preview failed");
    shop.world.github.clear_faults();
    let swept = shop.hears(&shop.schedule()).await;
    swept.ends(0, "swept");
    assert_eq!((shop.holders(), shop.line()), (vec![3, 6, 4], vec![]));
    // Mended, it comes back by itself.
    shop.hears(&shop.pushes_files(5, &[(CONFIGURATION, ONE_SERVICE)]))
        .await
        .ends(0, "queued");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promoted_deploy_that_fails_tells_its_own_pull_request_and_no_other() {
    let shop = Shop::open().await;
    full(&shop, 4..=5).await;
    let broken = ONE_SERVICE.replace("web:{short-sha}", "web:crash-{short-sha}");
    shop.world.github.push(SHOP, 4, &[(CONFIGURATION, &broken)]);
    let closed = shop.hears(&shop.closes(1)).await;
    closed.ends(0, "removed");
    closed.says("Preview removed");
    assert!(
        closed
            .annotations()
            .iter()
            .any(|line| line.starts_with("::warning") && line.contains("#4"))
    );
    comment_says(&shop, 4, "Preview failed");
    assert_eq!(
        (shop.holders(), shop.line()),
        (vec![2, 3, 4], vec![5]),
        "it keeps its slot"
    );
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_dies_while_it_promotes_loses_nobodys_place() {
    for k in [4, 8, 12, 16, 20] {
        let shop = Shop::open().await;
        full(&shop, 4..=5).await;
        let close = shop.closes(1);
        shop.run(&close).dies_at("cluster", k).await;
        // Half a minute later the dead run's turns are anybody's.
        shop.world.advance(std::time::Duration::from_secs(180));
        shop.hears(&shop.schedule()).await.ends(0, "swept");
        shop.hears(&shop.schedule()).await.ends(0, "swept");
        assert_eq!(shop.holders().len(), 3, "at {k}: {:?}", shop.ledger());
        assert_eq!(shop.line(), [5], "at {k}: {:?}", shop.ledger());
        comment_says(&shop, 5, "number 1 in line");
        shop.ends();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_that_leave_at_once_let_as_many_in() {
    let shop = Shop::open().await;
    full(&shop, 4..=8).await;
    let closes: Vec<_> = (1..=3).map(|pr| shop.closes(pr)).collect();
    let ended = futures::future::join_all(closes.iter().map(|event| shop.hears(event))).await;
    for seen in &ended {
        seen.ends(0, "removed");
    }
    let mut holders = shop.holders();
    holders.sort_unstable();
    assert_eq!((holders, shop.line()), (vec![4, 5, 6], vec![7, 8]));
    for (pr, text) in [
        (4, "ready"),
        (5, "ready"),
        (6, "ready"),
        (7, "number 1 in line"),
        (8, "number 2 in line"),
    ] {
        comment_says(&shop, pr, text);
    }
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn by_dispatch_a_run_of_its_own_is_started_once() {
    let shop = Shop::open().await;
    full(&shop, 4..=5).await;
    let close = shop.closes(1);
    let closed = shop.run(&close).input("promote", "dispatch").go().await;
    closed.ends(0, "removed");
    assert_eq!(shop.line(), [4, 5], "it has not begun yet");
    let push = shop.pushes(2);
    shop.run(&push)
        .input("promote", "dispatch")
        .go()
        .await
        .ends(0, "deployed");
    let started = shop.world.github.started(SHOP);
    assert_eq!(started.len(), 1, "{started:?}");
    assert_eq!(
        (started[0].workflow.as_str(), started[0].branch.as_str()),
        ("preview.yml", "main")
    );
    assert_eq!(started[0].inputs, json!({"command": "deploy", "pr": "4"}));
    let dispatched = shop.dispatches(4, "deploy");
    shop.run(&dispatched)
        .input("promote", "dispatch")
        .go()
        .await
        .ends(0, "deployed");
    assert_eq!((shop.holders(), shop.line()), (vec![2, 3, 4], vec![5]));
    comment_says(&shop, 5, "number 1 in line");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_right_to_start_a_run_people_are_told_which_line_is_missing() {
    let shop = Shop::open().await;
    full(&shop, 4..=4).await;
    let refused = Fault::answer(
        "POST",
        "/repos/acme/shop/actions/workflows/*/dispatches",
        403,
        json!({"message": "Resource not accessible by integration"}),
    );
    shop.world.github.inject(refused.always());
    let close = shop.closes(1);
    let closed = shop.run(&close).input("promote", "dispatch").go().await;
    closed.ends(0, "removed");
    assert!(
        closed
            .annotations()
            .iter()
            .any(|line| line.contains("actions: write")),
        "{:?}",
        closed.annotations()
    );
    shop.world.github.clear_faults();
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    assert_eq!((shop.holders(), shop.line()), (vec![2, 3, 4], vec![]));
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_of_one_that_waits_is_its_place() {
    let shop = Shop::open().await;
    full(&shop, 4..=4).await;
    let seen = shop.hears(&shop.says(4, "alice", "/status")).await;
    seen.ends(0, "status-shown");
    assert_eq!(seen.output("state"), "queued");
    seen.says("number 1 in line");
    shop.ends();
}
