//! Waiting for readiness: watches that break, and workloads that never become ready.

use crate::support::{ONE_SERVICE, Seen, Shop};
use preview_action::simulate::{Action, Fault, Record, cluster::Fate};
use serde_json::json;
use std::time::Duration;

const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/*/deployments";
const PODS: &str = "/api/v1/namespaces/*/pods";

async fn deploys_in_spite_of(fault: impl Fn(&str) -> Fault) {
    for pattern in [DEPLOYMENTS, PODS] {
        let shop = Shop::open().await;
        shop.world.cluster.inject(fault(pattern));
        // Nothing becomes ready before something is watched.
        shop.world.cluster.hold();
        let watched = async {
            let log = &shop.world.log;
            log.wait_until(|records| records.iter().any(Record::is_watch))
                .await;
            shop.world.cluster.release();
        };
        let (seen, ()) = tokio::join!(shop.deployed(1), watched);
        assert!(
            seen.took < Duration::from_secs(50),
            "{pattern}: {:?}",
            seen.took
        );
        shop.ends();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_is_refused_is_begun_again() {
    deploys_in_spite_of(|pattern| {
        Fault::answer(
            "WATCH",
            pattern,
            500,
            json!({"kind": "Status", "code": 500, "message": "etcd is away"}),
        )
        .times(2)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_has_expired_is_begun_again() {
    deploys_in_spite_of(|pattern| Fault::on("WATCH", pattern, Action::WatchExpires { after: 1 }))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_whose_connection_is_cut_is_begun_again() {
    deploys_in_spite_of(|pattern| {
        Fault::on("WATCH", pattern, Action::WatchCut { after: 0 }).times(2)
    })
    .await;
    deploys_in_spite_of(|pattern| Fault::on("WATCH", pattern, Action::Close)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_is_refused_is_asked_again() {
    deploys_in_spite_of(|pattern| Fault::answer("GET", pattern, 503, json!("no")).times(2)).await;
}

async fn fails(tag: &str, configuration: &str) -> (Shop, Seen) {
    let shop = Shop::selling(&configuration.replace("web:{", &format!("web:{tag}-{{"))).await;
    let opened = shop.opens(1);
    let seen = shop.run(&opened).input("timeout", "60s").go().await;
    (shop, seen)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_way_to_fail_has_its_code_and_its_cause() {
    let job =
        "version: 1\nservices: {web: {image: 'registry.example/web:{short-sha}', run: once}}\n";
    for (tag, configuration, reason, text) in [
        (
            "crash",
            ONE_SERVICE,
            "crash-loop",
            "again and again, last with code 1",
        ),
        (
            "missing",
            ONE_SERVICE,
            "image-missing",
            "registry.example/web:missing-",
        ),
        (
            "forbidden",
            ONE_SERVICE,
            "image-forbidden",
            "registry.example/web:forbidden-",
        ),
        ("oom", ONE_SERVICE, "out-of-memory", "memory"),
        ("fail", job, "job-failed", "web"),
    ] {
        let (shop, seen) = fails(tag, configuration).await;
        seen.ends(1, reason);
        seen.one_comment();
        let comment = seen.comment().replace('\\', "");
        assert!(comment.contains(text), "{tag}: no {text:?} in {comment}");
        assert!(comment.contains("**Remedy:**"), "{tag}: {comment}");
        assert_eq!(seen.output("url"), "", "{tag}");
        // A preview that failed keeps its slot until it is mended or removed.
        assert_eq!(shop.holders(), [1], "{tag}");
        shop.ends();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_update_says_what_still_serves_and_the_next_commit_mends_it() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    let good = shop.world.github.head("acme/shop", 1);
    shop.world.cluster.script_fate("web", Fate::Crash);
    let push = shop.pushes(1);
    let failed = shop.hears(&push).await;
    failed.ends(1, "crash-loop");
    failed.says("**still serving**");
    failed.says(&good[..7]);
    assert_eq!(failed.output("url"), "http://pr-1.preview.example.test");
    shop.world.cluster.script_fate("web", Fate::Ready);
    let mended = shop.hears(&shop.pushes(1)).await;
    mended.ends(0, "deployed");
    mended.one_comment();
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_start_is_waited_for() {
    let (shop, seen) = fails("slow", ONE_SERVICE).await;
    seen.ends(0, "deployed");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_never_becomes_ready_ends_at_the_time_out() {
    let shop = Shop::selling(&ONE_SERVICE.replace("web:{", "web:never-{")).await;
    let opened = shop.opens(1);
    let seen = shop.run(&opened).input("timeout", "10s").go().await;
    seen.ends(1, "timed-out");
    seen.says("10s");
    assert!((10..100).contains(&seen.took.as_secs()), "{:?}", seen.took);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_that_answers_wrongly_is_not_ready() {
    let shop = Shop::open().await;
    let wrong = Fault::answer("GET", "/", 500, json!("the database is not there")).always();
    shop.world.cluster.inject_ingress(wrong);
    let opened = shop.opens(1);
    let seen = shop.run(&opened).input("timeout", "10s").go().await;
    seen.ends(1, "unhealthy");
    seen.says("500");
    seen.says("the database is not there");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_that_needs_a_moment_is_asked_again() {
    let shop = Shop::open().await;
    let early = Fault::answer("GET", "/", 503, json!("warming up")).times(2);
    shop.world.cluster.inject_ingress(early);
    shop.deployed(1).await;
    shop.ends();
}

/// Where a Namespace was looked at after everything was applied: lists, or else watches, each with what it asked for.
///
/// What is looked at once the wait is over, to keep the set as the last good one, is none of it.
fn looks(shop: &Shop, method: &str) -> Vec<(String, String)> {
    let mut records = shop.world.requests();
    records.retain(|record| record.path.contains("/namespaces/pr-shop-1/"));
    if let Some(last) = records.iter().rposition(|record| record.method == "WATCH") {
        records.truncate(last + 1);
    }
    let applied = records.iter().rposition(|record| record.method == "PATCH");
    let later = records.split_off(applied.map_or(0, |last| last + 1));
    let looks = later.into_iter().filter(|record| record.method == method);
    looks.map(|record| (record.path, record.query)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_is_listed_and_watched_once_and_nothing_is_when_all_is_ready() {
    let services: String = ["web", "api", "mail", "jobs", "search"]
        .iter()
        .map(|name| {
            format!("  {name}: {{image: 'registry.example/{name}:{{short-sha}}', port: 80}}\n")
        })
        .collect();
    let shop = Shop::selling(&format!("version: 1\nservices:\n{services}")).await;
    // Nothing becomes ready before all is watched.
    shop.world.cluster.hold();
    let watched = async {
        let is_watched = |kind: &str| {
            let end = format!("/{kind}");
            move |record: &Record| record.method == "WATCH" && record.path.ends_with(&end)
        };
        let all = ["deployments", "pods"].map(is_watched);
        let log = &shop.world.log;
        log.wait_until(|records| all.iter().all(|one| records.iter().any(one)))
            .await;
        shop.world.cluster.release();
    };
    tokio::join!(shop.deployed(1), watched);
    let [lists, watches] = ["GET", "WATCH"].map(|method| looks(&shop, method));
    for kind in ["deployments", "pods"] {
        let of = |found: &[(String, String)]| {
            let end = format!("/{kind}");
            found
                .iter()
                .filter(|(path, _)| path.ends_with(&end))
                .count()
        };
        // A watch that shows nothing for a while is followed by another list and watch; two for each object would be ten.
        let (listed, watched) = (of(&lists), of(&watches));
        assert!(
            watched >= 1 && listed >= watched,
            "{kind}: {lists:#?} {watches:#?}"
        );
        assert!(listed <= watched + 1, "{kind}: {lists:#?} {watches:#?}");
    }
    let selects = |(_, query): &(String, String)| query.contains("fieldSelector");
    assert!(
        !lists.iter().chain(&watches).any(selects),
        "{lists:#?} {watches:#?}"
    );
    let names = ["web", "api", "mail", "jobs", "search"];
    let is_one =
        |(path, _): &(String, String)| names.iter().any(|name| path.ends_with(&format!("/{name}")));
    assert!(
        !lists.iter().chain(&watches).any(is_one),
        "{lists:#?} {watches:#?}"
    );
    shop.world.log.clear();
    let again = shop.hears(&shop.says(1, "alice", "/deploy")).await;
    again.ends(0, "unchanged");
    for method in ["GET", "WATCH"] {
        assert_eq!(looks(&shop, method), Vec::new());
    }
    shop.ends();
}
