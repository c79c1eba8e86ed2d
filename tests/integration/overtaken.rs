//! What changes while a run is at work: names, clocks, other people's commands; the comment and the cap stay true.

use crate::support::{LEDGER, SHOP, Seen, Shop};
use preview_action::simulate::{Fault, Record};
use serde_json::{Value, json};
use std::sync::Arc;

/// Waits until so many runs of pull request 1 have asked for their turn.
async fn sequence(shop: &Shop, runs: u64) {
    let reached = |_: &_| record(shop)["sequence"].as_u64() >= Some(runs);
    shop.world.cluster.wait_until(reached).await;
}

/// What the ledger knows of pull request 1.
fn record(shop: &Shop) -> Value {
    shop.ledger().unwrap_or_default()["previews"]["1"].clone()
}

/// Changes an object of the cluster as somebody else would.
pub(crate) fn change(
    shop: &Shop,
    kind: &str,
    namespace: &str,
    name: &str,
    by: impl Fn(&mut Value),
) {
    let mut object = shop.world.cluster.object(kind, namespace, name).unwrap();
    by(&mut object);
    let metadata = object["metadata"].as_object_mut().unwrap();
    metadata.remove("resourceVersion");
    metadata.remove("managedFields");
    shop.world.cluster.put(&object).unwrap();
}

fn since(from: usize, method: &'static str, end: &'static str) -> impl Fn(&[Record]) -> bool {
    move |records| {
        records.iter().any(|record| {
            record.seq > from && record.method == method && record.path.ends_with(end)
        })
    }
}

/// A push during a command's run, once that has sent this request; the cluster stands still until so many runs have asked for their turn.
async fn overtaken(
    shop: &Shop,
    command: &str,
    (method, end): (&'static str, &'static str),
    runs: u64,
) -> (Seen, Seen) {
    shop.world.cluster.hold();
    let sent = since(shop.now(), method, end);
    let command = shop.says(1, "alice", command);
    let push = async {
        shop.world.log.wait_until(sent).await;
        let push = shop.pushes(1);
        let release = async {
            sequence(shop, runs).await;
            shop.world.cluster.release();
        };
        tokio::join!(shop.hears(&push), release).0
    };
    tokio::join!(shop.hears(&command), push)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_whose_namespace_gets_another_name_leaves_the_earlier_one() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    let push = shop.pushes(1);
    let moved = shop
        .run(&push)
        .input("namespace-pattern", "preview-{number}")
        .go()
        .await;
    moved.ends(0, "deployed");
    assert_eq!(shop.namespaces(), ["preview-1"]);
    assert_eq!(shop.holders(), [1]);
    let ledger = shop.ledger().unwrap_or_default();
    assert_eq!(ledger["holders"][0]["namespace"], "preview-1");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_overtakes_the_command_to_deploy_deploys_in_its_place() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    shop.hears(&shop.says(1, "alice", "/undeploy"))
        .await
        .ends(0, "removed");
    let (command, push) = overtaken(&shop, "/deploy", ("PATCH", "/ingresses/web"), 4).await;
    command.ends(0, "superseded");
    push.ends(0, "deployed");
    push.says("Preview ready");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_during_a_removal_on_purpose_does_not_bring_the_preview_back() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    let begun = ("DELETE", "/namespaces/pr-shop-1");
    let (_, push) = overtaken(&shop, "/undeploy", begun, 3).await;
    push.ends(0, "removed-by-command");
    assert_eq!(shop.namespaces(), Vec::<String>::new());
    assert_eq!(shop.holders(), Vec::<u64>::new());
    let comment = &shop.status_comments(1)[0].body;
    assert!(comment.contains("Preview removed"), "{comment}");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_removal_gives_signs_of_life() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    shop.world.cluster.hold();
    let from = shop.now();
    let closed = shop.closes(1);
    let beats = async {
        let begun = since(from, "DELETE", "/namespaces/pr-shop-1");
        shop.world.log.wait_until(begun).await;
        let first = record(&shop)["active"]["heartbeat"].clone();
        assert!(first.is_string(), "{first}");
        shop.world
            .cluster
            .wait_until(|_| record(&shop)["active"]["heartbeat"] != first)
            .await;
        shop.world.cluster.release();
    };
    let beats = tokio::time::timeout(std::time::Duration::from_secs(125), beats);
    let (removed, beats) = tokio::join!(shop.run(&closed).go_alone(), async {
        let beats = beats.await;
        shop.world.cluster.release();
        beats
    });
    beats.unwrap();
    removed.ends(0, "removed");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_that_rolled_over_and_fails_is_not_said_to_serve_the_older_commit() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    let broken = Fault::answer("GET", "/**", 500, json!("no"));
    shop.world.cluster.inject_ingress(broken.always());
    let push = shop.pushes(1);
    let seen = shop.run(&push).input("timeout", "10s").go().await;
    seen.ends(1, "unhealthy");
    let comment = seen.comment();
    assert!(!comment.contains("Still serving"), "{comment}");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_not_the_newest_any_more_leaves_the_newer_word_alone() {
    let shop = Arc::new(Shop::open().await);
    let opened = shop.opens(1);
    let weak = Arc::downgrade(&shop);
    // Between the last word and its reading back a newer run takes the turn and says its own.
    let newer = Fault::run("GET", "/repos/acme/shop/issues/comments/*", move || {
        let Some(shop) = weak.upgrade() else { return };
        let name = shop.ledger_name();
        change(&shop, "ConfigMap", "preview-system", &name, |object| {
            let text = object["data"]["state.json"].as_str().unwrap();
            let mut ledger: Value = serde_json::from_str(text).unwrap();
            ledger["previews"]["1"]["newest"] = json!("newer");
            object["data"]["state.json"] = ledger.to_string().into();
        });
        let comment = &shop.status_comments(1)[0];
        let marker = comment.body.lines().next().unwrap();
        let body = format!("{marker}\nthe newer word");
        assert!(shop.world.github.edit_comment(SHOP, comment.id, &body));
    });
    shop.world.github.inject(newer);
    shop.hears(&opened).await;
    let comment = &shop.status_comments(1)[0].body;
    assert!(comment.ends_with("the newer word"), "{comment}");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_that_is_deployed_anew_while_the_sweep_works_stays() {
    let shop = Arc::new(Shop::open().await);
    shop.deployed(1).await;
    shop.unused_for(1, 8);
    shop.change_record(1, |record| {
        // As a sweep before has noted it.
        let expires = record["lastActivity"]
            .as_str()
            .unwrap()
            .parse::<jiff::Timestamp>()
            .unwrap()
            + jiff::SignedDuration::from_hours(7 * 24);
        let expires = jiff::Timestamp::from_second(expires.as_second()).unwrap();
        record["warned"] = expires.to_string().into();
    });
    let weak = Arc::downgrade(&shop);
    let anew = Fault::run("PUT", LEDGER, move || {
        if let Some(shop) = weak.upgrade() {
            shop.unused_for(1, 0);
        }
    });
    shop.world.cluster.inject(anew);
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    assert_eq!(shop.namespaces(), ["pr-shop-1"]);
    assert_eq!(shop.holders(), [1]);
    let comment = &shop.status_comments(1)[0].body;
    assert!(comment.contains("Preview ready"), "{comment}");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sweep_does_not_stop_a_run_that_deploys_an_expired_preview_anew() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    shop.unused_for(1, 8);
    let push = shop.pushes(1);
    // The configuration is read once the turn is taken and before the Namespace is applied.
    let slow = preview_action::simulate::Action::Delay(std::time::Duration::from_secs(3));
    let file = "/repos/acme/shop/contents/**";
    shop.world.github.inject(Fault::on("GET", file, slow));
    let sweep = async {
        sequence(&shop, 2).await;
        shop.hears(&shop.schedule()).await
    };
    let (deploy, sweep) = tokio::join!(shop.hears(&push), sweep);
    sweep.ends(0, "swept");
    deploy.ends(0, "deployed");
    assert_eq!(shop.namespaces(), ["pr-shop-1"]);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limit_that_people_read_is_the_one_that_holds() {
    let shop = Shop::open().await;
    let opened = shop.opens(1);
    shop.run(&opened)
        .input("max-previews", "1")
        .go()
        .await
        .ends(0, "deployed");
    // A pull request's own workflow does not change the limit, so its comment must not show its own number.
    let push = shop.pushes(1);
    let seen = shop.run(&push).input("max-previews", "5").go().await;
    seen.ends(0, "deployed");
    seen.says("slot 1 of 1");
    let second = shop.opens(2);
    let seen = shop.run(&second).input("max-previews", "5").go().await;
    seen.ends(0, "queued");
    assert!(seen.log.contains("no slot of 1 is free"), "{}", seen.log);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_progress_edit_that_github_refuses_does_not_fail_the_deploy() {
    let shop = Shop::open().await;
    let opened = shop.opens(1);
    shop.world.cluster.hold();
    let edits = "/repos/acme/shop/issues/comments/*";
    let busy = Fault::answer("PATCH", edits, 403, json!({"message": "no"}));
    shop.world.github.inject(busy);
    let release = async {
        shop.world.log.wait_until(since(0, "PATCH", "/1")).await;
        shop.world.cluster.release();
    };
    let release = tokio::time::timeout(std::time::Duration::from_secs(100), release);
    let (seen, _) = tokio::join!(shop.hears(&opened), async {
        let _ = release.await;
        shop.world.cluster.release();
    });
    seen.ends(0, "deployed");
    seen.says("Preview ready");
    shop.ends();
}

/// Another run of pull request 1 begins when GitHub is asked this.
fn another_begins(shop: &Arc<Shop>, method: &str, path: &str) {
    let weak = Arc::downgrade(shop);
    let begins = Fault::run(method, path, move || {
        let Some(shop) = weak.upgrade() else { return };
        shop.change_record(1, |record| {
            record["sequence"] = json!(record["sequence"].as_u64().unwrap_or_default() + 1);
            record["newest"] = json!("another/1");
        });
    });
    shop.world.github.inject(begins);
}

/// A command that only looks has no turn: its word may come after the last one of a run that it has not seen.
#[tokio::test(flavor = "multi_thread")]
async fn who_only_looks_has_the_sweep_say_it_again_where_another_run_has_begun_since() {
    for begins in [false, true] {
        let shop = Arc::new(Shop::open().await);
        shop.deployed(1).await;
        if begins {
            another_begins(&shop, "PATCH", "/repos/acme/shop/issues/comments/*");
        }
        let looked = shop.hears(&shop.says(1, "alice", "/status")).await;
        looked.ends(0, "status-shown");
        assert_eq!(shop.record(1)["untold"] == json!(true), begins);
        let since = shop.now();
        shop.hears(&shop.schedule()).await.ends(0, "swept");
        let said = shop.requests("github", since);
        let said = said
            .iter()
            .any(|one| one.path.contains("/issues/comments/"));
        assert_eq!(said, begins);
        assert_ne!(shop.record(1)["untold"], json!(true));
        shop.ends();
    }
}

/// Where nothing stands that a comment would be about, a denial is the comment; it has no turn either.
#[tokio::test(flavor = "multi_thread")]
async fn a_denial_without_a_turn_is_looked_after_where_another_run_has_begun_since() {
    for begins in [false, true] {
        let shop = Arc::new(Shop::open().await);
        shop.deployed(1).await;
        shop.hears(&shop.says(1, "alice", "/undeploy"))
            .await
            .ends(0, "removed");
        let id = shop.status_comments(1)[0].id;
        assert!(shop.world.github.delete_comment(SHOP, id));
        shop.world.github.merge(SHOP, 1);
        if begins {
            another_begins(&shop, "POST", "/repos/acme/shop/issues/1/comments");
        }
        let denied = shop.hears(&shop.says(1, "alice", "/wake")).await;
        denied.ends(0, "pull-request-closed");
        denied.says("Preview refused");
        assert_eq!(shop.record(1)["untold"] == json!(true), begins);
        shop.ends();
    }
}
