//! GitHub's own faults and limits cost time and never the truth.
//! What the cluster shows stands, whatever GitHub does; and no commit counts as tried because GitHub was in the way.

use crate::support::{ONE_SERVICE, Shop};
use futures::{StreamExt, stream};
use preview_action::simulate::{Fault, Record, WorldOptions};
use serde_json::json;
use std::time::Duration;

/// GitHub takes no more requests for an hour.
fn limited(method: &str, path: &str) -> Fault {
    let body = json!({"message": "You have exceeded a secondary rate limit."});
    Fault::answer(method, path, 429, body).header("retry-after", "3600")
}

/// Requests that went out after GitHub had said that it takes none; those beside it do not count.
fn asked_on(shop: &Shop, since: usize) -> Vec<String> {
    let asked = shop.requests("github", since);
    let refused = |one: &&Record| matches!(one.status, Some(403 | 429)) && one.path != "/user";
    let Some(end) = asked.iter().find(refused).and_then(|one| one.ended) else {
        return Vec::new();
    };
    let later = asked.iter().filter(|one| one.started > end);
    later
        .map(|one| format!("{} {}", one.method, one.path))
        .collect()
}

/// True when the first request that was refused was about a commit's status or a deployment.
fn only_beside(shop: &Shop) -> bool {
    let asked = shop.requests("github", 0);
    let mut refused = asked.iter().filter(|one| one.status == Some(429));
    refused
        .next()
        .is_some_and(|one| one.path.contains("/statuses/") || one.path.contains("/deployments"))
}

/// An hour later a sweep finds GitHub well; whatever the run had come to, the preview is up and its comment says so.
async fn made_good(shop: &Shop, when: &str) {
    assert_ne!(shop.record(1)["attempted"]["outcome"], "failed", "{when}");
    shop.world.github.clear_faults();
    shop.world.advance(Duration::from_secs(3600));
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    let head = shop.world.github.head("acme/shop", 1);
    let image = format!("registry.example/web:{}", &head[..7]);
    assert_eq!(shop.image("pr-shop-1", "web"), image, "{when}");
    let comment = shop.comment(1);
    for words in ["Preview ready", &head[..7]] {
        assert!(comment.contains(words), "{when}: {comment}");
    }
    let status = shop.world.github.statuses("acme/shop", &head);
    assert_eq!(
        status.last().map(|one| one.state.as_str()),
        Some("success"),
        "{when}: {status:#?}"
    );
    for field in ["active", "untold", "stalled"] {
        assert!(
            shop.record(1)[field].is_null(),
            "{when}: {}",
            shop.record(1)
        );
    }
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_limit_of_an_hour_nothing_more_is_asked_and_the_next_sweep_goes_on() {
    let requests = {
        let shop = Shop::open().await;
        let opened = shop.opens(1);
        shop.hears(&opened).await.ends(0, "deployed");
        shop.requests("github", 0).len()
    };
    let played = stream::iter(1..=requests).map(|k| async move {
        let shop = Shop::open().await;
        let opened = shop.opens(1);
        let all = limited("*", "/**").nth(k).always();
        shop.world.github.inject(all);
        let seen = shop.hears(&opened).await;
        let when = format!("from request {k} of {requests} on");
        let asked_on = asked_on(&shop, 0);
        // What goes on beside it may be on its way before anybody has read the refusal.
        let beside =
            |asked: &&String| asked.contains("/statuses/") || asked.contains("/deployments");
        let own = asked_on.iter().filter(|asked| !beside(asked)).count();
        let most = if only_beside(&shop) { 2 } else { 0 };
        assert!(own <= most && asked_on.len() <= 2, "{when}: {asked_on:?}");
        match only_beside(&shop) && seen.comment().contains("Preview ready") {
            // The comment has told it; what stands beside it is the sweep's to mend.
            true => seen.ends(0, "deployed"),
            // Whoever nobody can tell how it went has not ended well.
            false => {
                seen.ends(3, "github-unreachable");
                assert!(seen.log.contains("takes no more requests until"), "{when}");
            }
        }
        let applied = shop.world.cluster.objects("Deployment", "pr-shop-1");
        match applied.is_empty() {
            true => assert_eq!(shop.record(1)["attempted"], json!(null), "{when}"),
            false => assert_eq!(shop.record(1)["attempted"]["outcome"], "ready", "{when}"),
        }
        made_good(&shop, &when).await;
    });
    played.buffer_unordered(4).collect::<Vec<()>>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_used_up_its_requests_says_until_when_it_waits() {
    let requests = {
        let shop = Shop::open().await;
        let opened = shop.opens(1);
        shop.hears(&opened).await.ends(0, "deployed");
        shop.requests("github", 0).len() as u64
    };
    let played = stream::iter(1..=requests).map(|left| async move {
        let now = "2026-11-22T14:02:00Z".parse().ok();
        let shop = Shop::with(
            WorldOptions {
                now,
                ..WorldOptions::default()
            },
            ONE_SERVICE,
        )
        .await;
        let opened = shop.opens(1);
        shop.world.github.allow(left);
        let seen = shop.hears(&opened).await;
        let when = format!("with {left} of {requests} requests");
        let asked = shop.requests("github", 0);
        let refused = asked
            .iter()
            .filter(|one| one.status == Some(403) && one.path != "/user");
        assert!(refused.count() <= 1, "{when}");
        let waits = seen
            .comment()
            .contains("waiting for GitHub until 2026-11-22 15:00 UTC");
        if seen.exit != 0 {
            seen.ends(3, "github-unreachable");
        }
        made_good(&shop, &when).await;
        (seen.exit, waits)
    });
    let ends: Vec<(i32, bool)> = played.buffer_unordered(4).collect().await;
    assert!(ends.contains(&(0, false)), "enough for all: {ends:?}");
    assert!(ends.contains(&(3, true)), "enough to say so: {ends:?}");
    assert!(ends.contains(&(3, false)), "not even for that: {ends:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_asked_for_is_gone_on_with_also_where_pushes_deploy_nothing() {
    let shop = Shop::open().await;
    shop.opens(1);
    let event = shop.says(1, "alice", "/deploy");
    let file = "/repos/acme/shop/contents/.github/preview.yml";
    shop.world.github.inject(limited("GET", file));
    let run = shop.run(&event).input("auto-deploy", "false");
    run.go().await.ends(3, "github-unreachable");
    assert!(shop.namespaces().is_empty());
    shop.world.advance(Duration::from_secs(3600));
    let sweep = shop.schedule();
    let sweep = shop.run(&sweep).input("auto-deploy", "false");
    sweep.go().await.ends(0, "swept");
    assert!(shop.comment(1).contains("Preview ready"));

    // The same commit once more, which is live.
    shop.world.github.inject(limited("GET", file));
    let again = shop.says(1, "alice", "/deploy");
    let run = shop.run(&again).input("auto-deploy", "false");
    run.go().await.ends(3, "github-unreachable");
    shop.world.advance(Duration::from_secs(3600));
    let sweep = shop.schedule();
    let sweep = shop.run(&sweep).input("auto-deploy", "false");
    sweep.go().await.ends(0, "swept");
    assert!(
        shop.comment(1).contains("Preview ready"),
        "{}",
        shop.comment(1)
    );
    assert!(shop.record(1)["stalled"].is_null());
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_puts_a_preview_to_sleep_calls_off_a_deploy_that_waits_for_github() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    let file = "/repos/acme/shop/contents/.github/preview.yml";
    shop.world.github.inject(limited("GET", file));
    let again = shop.says(1, "alice", "/deploy");
    shop.hears(&again).await.ends(3, "github-unreachable");
    assert!(!shop.record(1)["stalled"].is_null());
    shop.hears(&shop.says(1, "alice", "/sleep"))
        .await
        .ends(0, "slept");
    shop.world.advance(Duration::from_secs(3600));
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    assert!(
        shop.comment(1).contains("Preview asleep"),
        "{}",
        shop.comment(1)
    );
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_github_that_is_silent_is_left_alone_after_a_dozen_tries() {
    let shop = Shop::open().await;
    let opened = shop.opens(1);
    let dead = Fault::answer("*", "/**", 502, json!("<h1>502</h1>"));
    shop.world.github.inject(dead.nth(2).always());
    let seen = shop.hears(&opened).await;
    seen.ends(3, "github-unreachable");
    let asked = shop.requests("github", 0).len();
    assert!((10..=14).contains(&asked), "{asked} requests");
    made_good(&shop, "after an outage").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_jobs_of_one_workflow_run_are_two_runs() {
    let shop = Shop::open().await;
    let opened = shop.opens(1);
    let run = shop.run(&opened);
    let twice = tokio::join!(
        shop.run(&opened).variable("GITHUB_RUN_ID", "7").go(),
        run.variable("GITHUB_RUN_ID", "7").go()
    );
    let mut ends = [twice.0.output("reason-code"), twice.1.output("reason-code")];
    ends.sort_unstable();
    assert!(
        [["deployed", "superseded"], ["deployed", "unchanged"]].contains(&ends),
        "{ends:?}"
    );
    assert_eq!(shop.status_comments(1).len(), 1);
    assert!(shop.comment(1).contains("Preview ready"));
    assert_eq!(shop.record(1)["sequence"], 2, "each took its turn");
    shop.ends();
}
