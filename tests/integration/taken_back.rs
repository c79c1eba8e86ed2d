//! What was promised of a commit beside its comment is taken back, whoever dies, is overtaken or meets a silent GitHub;
//! what is live is none the worse for it.

use crate::{
    shows::{deployed, deployments, go, newest, states},
    support::{Event, SHOP, Shop},
};
use preview_action::simulate::{Action, Fault, Record, cluster::Fate};
use serde_json::{Value, json};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const ONE: [(&str, &str); 1] = [("max-previews", "1")];

/// Two pull requests for one slot, so that the second waits in line; its commit.
async fn waiting() -> (Shop, String) {
    let shop = Shop::open().await;
    go(&shop, &shop.opens(1), &ONE).await.ends(0, "deployed");
    go(&shop, &shop.opens(2), &ONE).await.ends(0, "queued");
    let head = shop.world.github.head(SHOP, 2);
    assert_eq!(newest(&shop, &head).state, "pending");
    assert_eq!(newest_deployment(&shop, &head), "queued");
    (shop, head)
}

fn newest_deployment(shop: &Shop, sha: &str) -> String {
    let all = shop.world.github.deployments(SHOP);
    let of = all.iter().rfind(|one| one.sha == sha);
    of.map_or("", |one| one.state()).to_owned()
}

fn busy(path: &str) -> Fault {
    Fault::answer("POST", path, 503, json!({"message": "busy"})).always()
}

/// A run that dies once it has made such a request.
async fn dies_at(shop: &Shop, event: &Event, inputs: &[(&str, &str)], method: &str, path: &str) {
    let from = shop.now();
    tokio::select! {
        seen = go(shop, event, inputs) => panic!("{seen:#?}"),
        () = shop.world.log.wait_until(|all| {
            let there = |one: &Record| {
                one.seq >= from && one.method == method && one.path.ends_with(path)
            };
            all.iter().any(there)
        }) => {}
    }
}

fn abandoned(shop: &Shop, pr: u64) -> Value {
    shop.record(pr)["abandoned"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_run_replaces_is_ended_although_that_run_died() {
    let (shop, first) = waiting().await;
    let push = shop.pushes(2);
    let comments = "/repos/acme/shop/issues/comments/*";
    shop.world
        .github
        .inject(Fault::on("PATCH", comments, Action::Hang).always());
    let id = shop.status_comments(2)[0].id;
    let path = format!("/issues/comments/{id}");
    dies_at(&shop, &push, &ONE, "PATCH", &path).await;
    shop.world.github.clear_faults();
    assert_eq!(newest(&shop, &first).state, "pending");
    shop.world.advance(Duration::from_secs(120));
    go(&shop, &shop.schedule(), &ONE).await.ends(0, "swept");
    assert_eq!(newest(&shop, &first).state, "error");
    assert_eq!(newest_deployment(&shop, &first), "inactive");
    assert!(abandoned(&shop, 2).is_null(), "{}", shop.record(2));
    assert_eq!(shop.line(), [2], "its place is its own");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_github_does_not_take_of_a_commit_that_was_replaced_is_told_by_the_sweep() {
    for what in ["status", "deployment"] {
        let (shop, first) = waiting().await;
        let all = shop.world.github.deployments(SHOP);
        let id = all.iter().rfind(|one| one.sha == first).unwrap().id;
        shop.world.github.inject(busy(&match what {
            "status" => format!("/repos/acme/shop/statuses/{first}"),
            _ => format!("/repos/acme/shop/deployments/{id}/statuses"),
        }));
        go(&shop, &shop.pushes(2), &ONE).await.ends(0, "queued");
        assert_eq!(abandoned(&shop, 2)[0]["sha"], *first, "{what}");
        shop.world.github.clear_faults();
        go(&shop, &shop.schedule(), &ONE).await.ends(0, "swept");
        assert_eq!(newest(&shop, &first).state, "error", "{what}");
        assert_eq!(newest_deployment(&shop, &first), "inactive", "{what}");
        assert!(abandoned(&shop, 2).is_null(), "{}", shop.record(2));
        let second = shop.world.github.head(SHOP, 2);
        assert_eq!(newest(&shop, &second).state, "pending", "it waits on");
        assert_eq!(newest_deployment(&shop, &second), "queued");
        shop.ends();
    }
}

/// The deployment of a run that died has no number in the ledger, and is found by its commit.
#[tokio::test(flavor = "multi_thread")]
async fn a_push_ends_what_a_dead_run_has_begun() {
    let shop = Shop::open().await;
    let opened = shop.opens(1);
    let first = shop.world.github.head(SHOP, 1);
    let namespace = "/api/v1/namespaces/pr-shop-1/**";
    let hang = Fault::on("PATCH", namespace, Action::Hang).always();
    shop.world.cluster.inject(hang);
    tokio::select! {
        seen = shop.hears(&opened) => panic!("{seen:#?}"),
        () = shop.world.log.wait_until(|all| {
            let done = |path: &str| {
                let answered = |one: &&Record| one.method == "POST" && one.path.contains(path);
                all.iter().filter(answered).any(|one| one.status.is_some())
            };
            let stuck = |one: &Record| one.method == "PATCH" && one.path.contains("/pr-shop-1/");
            done("/statuses/") && done("/deployments") && all.iter().any(stuck)
        }) => {}
    }
    shop.world.cluster.clear_faults();
    assert_eq!(newest_deployment(&shop, &first), "pending");
    shop.world.advance(Duration::from_secs(120));
    shop.hears(&shop.pushes(1)).await.ends(0, "deployed");
    assert_eq!(newest(&shop, &first).state, "error");
    assert_eq!(newest_deployment(&shop, &first), "inactive");
    assert!(abandoned(&shop, 1).is_null(), "{}", shop.record(1));
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_overtaken_while_github_is_silent_leaves_it_to_the_next() {
    let shop = Shop::open().await;
    let opened = shop.opens(1);
    let first = shop.world.github.head(SHOP, 1);
    shop.world.cluster.hold();
    let push = async {
        shop.world
            .log
            .wait_until(|all| {
                let applied =
                    |one: &Record| one.method == "PATCH" && one.path.ends_with("/ingresses/web");
                let shown = |one: &Record| {
                    one.path.ends_with(&format!("/statuses/{first}")) && one.status.is_some()
                };
                all.iter().any(applied) && all.iter().any(shown)
            })
            .await;
        let path = format!("/repos/acme/shop/statuses/{first}");
        shop.world.github.inject(busy(&path));
        let push = shop.pushes(1);
        let release = async {
            let two = |_: &_| shop.record(1)["sequence"].as_u64() >= Some(2);
            shop.world.cluster.wait_until(two).await;
            shop.world.cluster.release();
        };
        tokio::join!(shop.hears(&push), release).0
    };
    let (overtaken, pushed) = tokio::join!(shop.hears(&opened), push);
    overtaken.ends(0, "superseded");
    pushed.ends(0, "deployed");
    assert_eq!(newest(&shop, &first).state, "pending");
    assert_eq!(abandoned(&shop, 1)[0]["sha"], *first, "{}", shop.record(1));
    shop.world.github.clear_faults();
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    assert_eq!(newest(&shop, &first).state, "error");
    assert!(abandoned(&shop, 1).is_null(), "{}", shop.record(1));
    let second = shop.world.github.head(SHOP, 1);
    assert_eq!(newest(&shop, &second).state, "success");
    shop.ends();
}

/// What a dead run has begun may go on in the cluster by itself; until that is seen nobody promises it.
#[tokio::test(flavor = "multi_thread")]
async fn a_look_that_finds_workloads_on_their_way_promises_nothing_of_a_dead_run() {
    let shop = Shop::open().await;
    let opened = shop.opens(1);
    let head = shop.world.github.head(SHOP, 1);
    shop.world.cluster.hold();
    let stop = CancellationToken::new();
    let cancel = async {
        shop.world
            .log
            .wait_until(|all| {
                let done = |path: &str| {
                    let of = |one: &Record| one.method == "POST" && one.path.contains(path);
                    all.iter().any(|one| of(one) && one.status.is_some())
                };
                let watched =
                    |one: &Record| one.method == "WATCH" && one.path.ends_with("/deployments");
                done("/statuses/") && done("/deployments") && all.iter().any(watched)
            })
            .await;
        shop.world
            .github
            .inject(busy("/repos/acme/shop/statuses/*"));
        stop.cancel();
    };
    let run = shop.run(&opened).stopping(&stop);
    let (seen, ()) = tokio::join!(run.go(), cancel);
    seen.says("cancelled");
    shop.world.github.clear_faults();
    assert_eq!(newest(&shop, &head).state, "pending");
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    assert!(shop.comment(1).contains("deploying"), "{}", shop.comment(1));
    assert_eq!(newest(&shop, &head).state, "error");
    shop.world.cluster.release();
    shop.world
        .cluster
        .wait_until(|cluster| {
            let ready = |one: &Value| one["status"]["availableReplicas"] == 1;
            cluster.objects("Deployment", "pr-shop-1").iter().all(ready)
        })
        .await;
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    assert!(
        shop.comment(1).contains("Preview ready"),
        "{}",
        shop.comment(1)
    );
    assert_eq!(newest(&shop, &head).state, "success");
    assert_eq!(newest_deployment(&shop, &head), "success");
    shop.ends();
}

/// Whatever becomes of a redeploy, the commit that serves keeps its deployment.
#[tokio::test(flavor = "multi_thread")]
async fn a_redeploy_that_comes_to_nothing_leaves_the_live_deployment_as_it_is() {
    for end in ["stalled", "cancelled", "dead"] {
        let shop = Shop::open().await;
        shop.deployed(1).await;
        let first = shop.world.github.head(SHOP, 1);
        let again = shop.says(1, "alice", "/deploy");
        let file = "/repos/acme/shop/contents/**";
        match end {
            "stalled" => {
                let limit = Action::Answer {
                    status: 503,
                    body: json!({"message": "busy"}),
                    headers: Vec::new(),
                };
                shop.world
                    .github
                    .inject(Fault::on("GET", file, limit).always());
                shop.hears(&again).await;
                shop.world.github.clear_faults();
                assert_eq!(newest_deployment(&shop, &first), "queued", "{end}");
            }
            "cancelled" => {
                let stop = CancellationToken::new();
                let token = stop.clone();
                let cancel = Fault::run("GET", file, move || token.cancel());
                shop.world.github.inject(cancel);
                shop.run(&again).stopping(&stop).go().await;
            }
            _ => {
                let hang = Fault::on("GET", file, Action::Hang).always();
                shop.world.github.inject(hang);
                tokio::select! {
                    seen = shop.hears(&again) => panic!("{seen:#?}"),
                    () = shop.world.log.wait_until(|_| {
                        newest_deployment(&shop, &first) == "in_progress"
                    }) => {}
                }
                shop.world.github.clear_faults();
                shop.world.advance(Duration::from_secs(120));
                shop.hears(&shop.schedule()).await.ends(0, "swept");
            }
        }
        if end != "stalled" {
            let live = "success in_progress success";
            assert_eq!(deployments(&shop), [deployed(&first, 1, live)], "{end}");
        }
        // A push that fails leaves it live.
        shop.world.cluster.script_fate("/web:", Fate::Crash);
        shop.hears(&shop.pushes(1)).await.ends(1, "crash-loop");
        assert_eq!(newest_deployment(&shop, &first), "success", "{end}");
        let second = shop.world.github.head(SHOP, 1);
        assert_eq!(newest_deployment(&shop, &second), "failure", "{end}");
        let all = shop.world.github.deployments(SHOP);
        let live = all.iter().find(|one| one.sha == first).unwrap();
        let shown = live.statuses.last().unwrap();
        let url = "http://pr-1.preview.example.test";
        assert_eq!(shown.environment_url, url, "{end}");
        // One that goes well replaces it.
        shop.world.cluster.script_fate("/web:", Fate::Ready);
        shop.hears(&shop.pushes(1)).await.ends(0, "deployed");
        assert_eq!(newest_deployment(&shop, &first), "inactive", "{end}");
        assert!(!states(&shop, &first).is_empty());
        shop.ends();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sleeper_whose_deploy_is_given_up_is_shown_as_before() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    let first = shop.world.github.head(SHOP, 1);
    let asked = shop.says(1, "alice", "/sleep");
    shop.hears(&asked).await.ends(0, "slept");
    let stop = CancellationToken::new();
    let token = stop.clone();
    let file = "/repos/acme/shop/contents/**";
    let cancel = Fault::run("GET", file, move || token.cancel());
    shop.world.github.inject(cancel);
    let again = shop.says(1, "alice", "/deploy");
    shop.run(&again).stopping(&stop).go().await;
    let asleep = "success inactive in_progress inactive";
    assert_eq!(deployments(&shop), [deployed(&first, 1, asleep)]);
    let asked = shop.says(1, "alice", "/wake");
    shop.hears(&asked).await.ends(0, "woken");
    let awake = format!("{asleep} success");
    assert_eq!(deployments(&shop), [deployed(&first, 1, &awake)]);
    shop.ends();
}
