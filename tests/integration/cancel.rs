//! A run that is asked to stop: a truthful last word within seconds, and nothing that the next run cannot use.

use crate::support::{LEDGER, ONE_SERVICE, Seen, Shop};
use preview_action::simulate::{Action, Fault};
use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;

/// Runs the opened event and stops it when this request arrives; the time is counted from there.
async fn stopped_at(shop: &Shop, site: &str, method: &str, pattern: &str) -> (Seen, Duration) {
    let opened = shop.opens(1);
    let stop = CancellationToken::new();
    let at = Arc::new(Mutex::new(None));
    let (token, moment) = (stop.clone(), Arc::clone(&at));
    let fault = Fault::run(method, pattern, move || {
        moment.lock().unwrap().get_or_insert_with(Instant::now);
        token.cancel();
    });
    match site {
        "github" => shop.world.github.inject(fault),
        _ => shop.world.cluster.inject(fault),
    }
    if method == "WATCH" {
        // Whatever is ready at once is never watched.
        shop.world.cluster.hold();
    }
    let seen = shop.run(&opened).stopping(&stop).go().await;
    shop.world.cluster.release();
    let begun = at.lock().unwrap().expect("the request was never made");
    (seen, begun.elapsed())
}

async fn goes_on(shop: &Shop) {
    let active = &shop.ledger().unwrap_or_default()["previews"]["1"]["active"];
    assert!(active.is_null(), "the turn was not released: {active}");
    let next = shop.hears(&shop.pushes(1)).await;
    next.ends(0, "deployed");
    next.one_comment();
    assert!(next.took < Duration::from_secs(25), "{:?}", next.took);
    assert_eq!(shop.holders(), [1]);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn wherever_a_run_is_stopped_the_comment_says_so_and_the_next_one_works() {
    // Every moment at which something of the run is already to be seen.
    let moments = [
        ("github", "POST", "/repos/acme/shop/issues/1/comments"),
        ("github", "GET", "/repos/acme/shop/contents/**"),
        ("cluster", "POST", "/api/v1/namespaces"),
        (
            "cluster",
            "PATCH",
            "/apis/apps/v1/namespaces/*/deployments/web",
        ),
        ("cluster", "WATCH", "/apis/apps/v1/namespaces/*/deployments"),
    ];
    for (site, method, pattern) in moments {
        let shop = Shop::open().await;
        let (seen, took) = stopped_at(&shop, site, method, pattern).await;
        let when = format!("stopped at {method} {pattern}");
        assert_eq!(
            (seen.exit, seen.output("reason-code")),
            (130, "cancelled"),
            "{when}: {seen:#?}"
        );
        assert!(took < Duration::from_secs(25), "{when}: {took:?}");
        assert_eq!(seen.output("state"), "cancelled", "{when}");
        assert!(
            seen.comment().contains("cancelled"),
            "{when}: {}",
            seen.comment()
        );
        assert_eq!(shop.status_comments(1).len(), 1, "{when}");
        goes_on(&shop).await;
    }
}

/// It had claimed the only slot, and made its Namespace; the slot is free again, and somebody else takes it.
#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_a_stopped_run_has_left_takes_no_slot_beyond_the_cap() {
    let shop = Shop::open().await;
    let one = |event: &_| shop.run(event).input("max-previews", "1");
    let stop = CancellationToken::new();
    let token = stop.clone();
    let create = Fault::run("POST", "/api/v1/namespaces", move || token.cancel());
    shop.world.cluster.inject(create);
    let first = one(&shop.opens(1)).stopping(&stop).go().await;
    first.ends(130, "cancelled");
    one(&shop.opens(2)).go().await.ends(0, "deployed");
    assert_eq!(shop.namespaces(), ["pr-shop-1", "pr-shop-2"]);
    shop.world.advance(Duration::from_secs(16 * 60));
    for _ in 0..2 {
        let swept = one(&shop.schedule()).go().await;
        assert_eq!(swept.exit, 0, "{swept:#?}");
        assert_eq!(shop.holders(), [2], "{}", shop.record(1));
    }
    let deployed = |pr: u64| {
        let namespace = format!("pr-shop-{pr}");
        !shop
            .world
            .cluster
            .objects("Deployment", &namespace)
            .is_empty()
    };
    assert!(deployed(2) && !deployed(1));
    one(&shop.closes(2)).go().await.ends(0, "removed");
    one(&shop.schedule()).go().await.ends(0, "swept");
    assert_eq!(shop.holders(), [1]);
    assert!(deployed(1));
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_waits_for_its_turn_stops_and_leaves_the_word_to_the_one_at_work() {
    let shop = Shop::open().await;
    let first = shop.opens(1);
    shop.world.cluster.hold();
    let stop = CancellationToken::new();
    let second = async {
        let asked = |_: &_| {
            let ledger = shop.ledger().unwrap_or_default();
            ledger["holders"][0]["uid"].is_string()
        };
        shop.world.cluster.wait_until(asked).await;
        let command = shop.says(1, "alice", "/deploy");
        let waits = |_: &_| {
            let ledger = shop.ledger().unwrap_or_default();
            ledger["previews"]["1"]["sequence"] == 2
        };
        let cancel = async {
            shop.world.cluster.wait_until(waits).await;
            stop.cancel();
        };
        let seen = tokio::join!(shop.run(&command).stopping(&stop).go(), cancel).0;
        shop.world.cluster.release();
        seen
    };
    let (first, second) = tokio::join!(shop.hears(&first), second);
    second.ends(130, "cancelled");
    // The first was overtaken by a run that did nothing; either word is true, and the next run works.
    assert_eq!(first.exit, 0, "{first:#?}");
    goes_on(&shop).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_stops_in_time_even_when_nobody_answers() {
    for site in ["github", "cluster"] {
        let shop = Shop::open().await;
        let opened = shop.opens(1);
        let stop = CancellationToken::new();
        let token = stop.clone();
        let (method, pattern) = ("PATCH", "/apis/apps/v1/**");
        shop.world
            .cluster
            .inject(Fault::run(method, pattern, move || token.cancel()));
        // From the moment of the signal on, one side is silent.
        let silent = match site {
            "github" => Fault::on("PATCH", "/repos/**", Action::Hang),
            _ => Fault::on("PUT", LEDGER, Action::Hang).nth(4),
        };
        match site {
            "github" => shop.world.github.inject(silent.nth(2).always()),
            _ => shop.world.cluster.inject(silent.always()),
        }
        let run = shop.run(&opened).stopping(&stop).go();
        let seen = tokio::time::timeout(Duration::from_secs(60), run)
            .await
            .unwrap();
        assert_eq!(seen.exit, 130, "{seen:#?}");
        assert!(
            seen.took < Duration::from_secs(35),
            "{site}: {:?}",
            seen.took
        );
        if site == "cluster" {
            seen.says("cancelled");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_that_is_stopped_is_finished_by_the_next_one() {
    let shop = Shop::selling(ONE_SERVICE).await;
    shop.deployed(1).await;
    let closed = shop.closes(1);
    let stop = CancellationToken::new();
    let token = stop.clone();
    // The Namespace goes away only when the controllers are let go.
    shop.world.cluster.hold();
    shop.world
        .cluster
        .inject(Fault::run("DELETE", "/api/v1/namespaces/*", move || {
            token.cancel()
        }));
    let seen = shop.run(&closed).stopping(&stop).go().await;
    seen.ends(130, "cancelled");
    seen.says("cancelled");
    shop.world.cluster.release();
    let again = shop.hears(&closed).await;
    assert_eq!(again.exit, 0, "{again:#?}");
    again.says("removed");
    assert_eq!((shop.namespaces().len(), shop.holders().len()), (0, 0));
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_process_obeys_the_first_signal_of_the_runner() {
    use rustix::process::{Pid, Signal, kill_process};
    for signal in [Signal::INT, Signal::TERM] {
        let shop = Shop::selling(&ONE_SERVICE.replace("web:{", "web:never-{")).await;
        let opened = shop.opens(1);
        let mut child = shop.run(&opened).spawn();
        let waits = |records: &[preview_action::simulate::Record]| {
            records.iter().any(|record| record.is_watch())
        };
        shop.world.log.wait_until(waits).await;
        let pid = i32::try_from(child.id().unwrap()).unwrap();
        let begun = Instant::now();
        kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
        let status = child.wait().await.unwrap();
        assert_eq!(status.code(), Some(130));
        assert!(
            begun.elapsed() < Duration::from_secs(25),
            "{:?}",
            begun.elapsed()
        );
        let comments = shop.status_comments(1);
        assert_eq!(comments.len(), 1);
        assert!(
            comments[0].body.contains("cancelled"),
            "{}",
            comments[0].body
        );
        let active = &shop.ledger().unwrap()["previews"]["1"]["active"];
        assert!(active.is_null(), "{active}");
        shop.ends();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_is_stopped_while_another_run_has_the_turn_says_so() {
    for command in ["/extend 2d", "/pin", "/sleep"] {
        let shop = Shop::open().await;
        shop.deployed(1).await;
        let now = shop.world.clock.now().to_string();
        // Another run is at work, as far as anybody can see.
        shop.change_record(1, |record| {
            record["active"] = serde_json::json!({"run": "another/1", "heartbeat": now});
        });
        let stop = CancellationToken::new();
        let token = stop.clone();
        let polls = Fault::run("GET", LEDGER, move || token.cancel()).nth(3);
        shop.world.cluster.inject(polls);
        let event = shop.says(1, "alice", command);
        let seen = shop.run(&event).stopping(&stop).go().await;
        assert_eq!(seen.exit, 130, "{command}: {seen:#?}");
        shop.ends();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waking_that_is_stopped_says_so_and_the_next_sweep_has_it_sleep_on() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    shop.hears(&shop.says(1, "alice", "/sleep"))
        .await
        .ends(0, "slept");
    let stop = CancellationToken::new();
    let token = stop.clone();
    // The comment says by now that it is being deployed.
    let roused = "/apis/apps/v1/namespaces/pr-shop-1/deployments/web";
    let fault = Fault::run("PATCH", roused, move || token.cancel());
    shop.world.cluster.inject(fault);
    let event = shop.says(1, "alice", "/wake");
    let seen = shop.run(&event).stopping(&stop).go().await;
    seen.ends(130, "cancelled");
    seen.says("cancelled");
    seen.one_comment();
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    let comment = shop.comment(1);
    assert!(comment.contains("Preview asleep"), "{comment}");
    assert_eq!(shop.holders(), [0; 0]);
    shop.hears(&shop.says(1, "alice", "/wake"))
        .await
        .ends(0, "woken");
    shop.ends();
}
