//! What a run does without each right that a workflow may give it: an optional one turns one thing off, with one notice.
//! The simulated GitHub refuses by the rights that GitHub's documentation names, and knows nothing of our code.
//! `tests/contract.rs` holds the README's table to the same rights.

use crate::support::{Seen, Shop};

/// The lines of a run, of its summary and of its comment that name a right.
fn named(seen: &Seen, right: &str) -> [usize; 2] {
    let line = format!("`{right}` under `permissions:`");
    let count = |text: &str| text.lines().filter(|one| one.contains(&line)).count();
    [count(&seen.annotations().join("\n")), count(&seen.summary)]
}

/// A run that uses a right; all else has been there before it.
async fn uses(shop: &Shop, right: &str) -> (Seen, &'static str) {
    match right {
        "statuses" | "deployments" => (shop.hears(&shop.opens(4)).await, "deployed"),
        "issues" => {
            shop.deployed(1).await;
            (shop.hears(&shop.schedule()).await, "swept")
        }
        "actions" => {
            shop.filled().await;
            shop.hears(&shop.opens(4)).await.ends(0, "queued");
            let closed = shop.closes(1);
            let run = shop.run(&closed).input("promote", "dispatch");
            (run.go().await, "removed")
        }
        other => panic!("nobody uses {other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_optional_right_turns_one_thing_off_with_one_notice() {
    for right in ["statuses", "deployments", "issues", "actions"] {
        let shop = Shop::open().await;
        let (with, reason) = uses(&shop, right).await;
        with.ends(0, reason);
        let line = format!("{right}: write");
        assert_eq!(named(&with, &line), [0, 0], "{with:#?}");

        let shop = Shop::open().await;
        shop.world.github.deny(right);
        let (without, reason) = uses(&shop, right).await;
        without.ends(0, reason);
        assert_eq!(named(&without, &line), [1, 1], "{right}: {without:#?}");
        for other in ["statuses", "deployments", "issues", "actions"] {
            let other = format!("{other}: write");
            assert!(
                other == line || named(&without, &other) == [0, 0],
                "{without:#?}"
            );
        }
        shop.ends();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_needed_right_fails_the_run_before_anything_is_deployed_and_is_named() {
    for (right, line) in [
        ("contents", "contents: read"),
        ("pull-requests", "pull-requests: "),
    ] {
        let shop = Shop::open().await;
        shop.world.github.deny(right);
        let seen = shop.hears(&shop.opens(1)).await;
        seen.ends(3, "github-refused");
        let text = format!("add `{line}");
        assert!(seen.log.contains(&text), "{right}: {seen:#?}");
        assert_eq!(shop.namespaces(), [""; 0], "{right}");
    }
}

/// A reaction is a courtesy, and whoever cannot react can comment as little.
#[tokio::test(flavor = "multi_thread")]
async fn who_takes_a_right_away_later_is_told_by_the_next_run() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    shop.world.github.deny("pull-requests");
    let seen = shop.hears(&shop.says(1, "alice", "/undeploy")).await;
    assert_eq!(seen.exit, 3, "{seen:#?}");
    assert!(
        seen.log.contains("`pull-requests: ") && seen.log.contains("under `permissions:`"),
        "{}",
        seen.log
    );
    shop.world.github.grant("pull-requests");
    let again = shop.hears(&shop.says(1, "alice", "/undeploy")).await;
    again.ends(0, "removed");
    shop.ends();
}
