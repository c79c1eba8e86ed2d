//! Hosts that somebody else in the cluster serves: found out before anything is claimed or applied.

use crate::support::{CONFIGURATION, Event, ONE_SERVICE, SHOP, Seen, Shop};
use preview_action::simulate::{
    Fault, Record, WorldOptions,
    cluster::{self, Denial},
    github, request_depth,
};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

/// Another repository on the same cluster and domain.
const CAFE: &str = "acme/cafe";

const HOST: &str = "pr-1.preview.example.test";

/// Every route of the cluster, which is what the check asks for.
const EVERYWHERE: [&str; 2] = [
    "/apis/networking.k8s.io/v1/ingresses",
    "/apis/gateway.networking.k8s.io/v1/httproutes",
];

fn put(shop: &Shop, object: Value) {
    shop.world.cluster.put(&object).unwrap();
}

fn namespace(shop: &Shop, name: &str, labels: Value) {
    put(
        shop,
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}),
    );
}

fn ingress(shop: &Shop, namespace: &str, host: &str) {
    let path = json!({"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "web", "port": {"number": 80}}}});
    put(
        shop,
        json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "web", "namespace": namespace},
            "spec": {"rules": [{"host": host, "http": {"paths": [path]}}]},
        }),
    );
}

/// How often the routes of the whole cluster were asked for.
fn looks(shop: &Shop, since: usize) -> usize {
    let asked = shop.cluster_requests(since);
    let asked = asked.iter().filter(|record| record.method == "GET");
    asked
        .filter(|record| EVERYWHERE.contains(&record.path.as_str()))
        .count()
}

/// The cafe opens pull request 1, with the shop's configuration.
fn cafe_opens(shop: &Shop) -> Event {
    let github = &shop.world.github;
    github.create_repository(CAFE);
    github.set_permission(CAFE, "alice", "write", "write");
    github.commit(CAFE, "main", &[(CONFIGURATION, ONE_SERVICE)]);
    let pull = github::NewPull {
        number: Some(1),
        author: "alice".into(),
        branch: "feature-1".into(),
        ..github::NewPull::default()
    };
    github.open_pull(CAFE, pull);
    let payload = github.pull_request_event(CAFE, 1, "opened");
    Event::new("pull_request", payload, 1)
}

async fn cafe_hears(shop: &Shop, event: &Event, host_pattern: &str) -> Seen {
    let id = shop.world.github.create_repository(CAFE).to_string();
    shop.run(event)
        .variable("GITHUB_REPOSITORY", CAFE)
        .variable("GITHUB_REPOSITORY_ID", &id)
        .input("host-pattern", host_pattern)
        .go()
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_repositories_on_one_domain_do_not_share_a_host() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    let id = shop.world.github.create_repository(SHOP);
    let before = shop.world.cluster.snapshot();

    let opened = cafe_opens(&shop);
    let refused = cafe_hears(&shop, &opened, "").await;
    refused.ends(1, "host-taken");
    let comments = shop.world.github.comments(CAFE, 1);
    let comment = &comments[0].body;
    for word in [
        HOST,
        "pr-shop-1",
        &format!("repository {id} for pull request 1"),
        "host-pattern",
        "{repo}",
    ] {
        assert!(comment.contains(word), "no {word:?} in {comment}");
    }
    // Nothing was made, and nothing has to be undone, besides the cafe's ledger and the run's record.
    let after = shop.world.cluster.snapshot();
    let new: Vec<_> = after
        .keys()
        .filter(|key| !before.contains_key(*key) && !key.ends_with("-runs"))
        .collect();
    assert_eq!(new.len(), 1, "{new:?}");
    let ledger = &after[new[0]]["data"]["state.json"];
    let ledger: Value = serde_json::from_str(ledger.as_str().unwrap()).unwrap();
    assert_eq!(ledger["holders"], json!([]));
    assert_eq!(shop.namespaces(), ["pr-shop-1"]);

    let seen = cafe_hears(&shop, &opened, "{repo}-{number}.{domain}").await;
    seen.ends(0, "deployed");
    assert_eq!(seen.output("url"), "http://cafe-1.preview.example.test");
    assert_eq!(shop.namespaces(), ["pr-cafe-1", "pr-shop-1"]);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_of_something_that_is_no_preview_is_refused_and_both_places_are_named() {
    let two = "version: 1\nservices:\n  web: {image: 'registry.example/web:1', port: 8080, public: true}\n  api: {image: 'registry.example/api:1', port: 8080, public: true}\n";
    let shop = Shop::selling(two).await;
    namespace(&shop, "production", json!({}));
    ingress(&shop, "production", HOST);
    namespace(&shop, "staging", json!({"app": "preview"}));
    ingress(&shop, "staging", "pr-1-api.preview.example.test");
    let seen = shop.hears(&shop.opens(1)).await;
    seen.ends(1, "host-taken");
    seen.says("pr-1.preview.example.test is already served from namespace production");
    seen.says("pr-1-api.preview.example.test is already served from namespace staging");
    assert_eq!(shop.holders(), Vec::<u64>::new());

    // Once they are given up, the same commit deploys.
    assert!(shop.world.cluster.delete("Ingress", "production", "web"));
    assert!(shop.world.cluster.delete("Ingress", "staging", "web"));
    ingress(&shop, "staging", "*.other.example.test");
    let run = shop.run(&shop.says(1, "alice", "/deploy"));
    let seen = run.input("timeout", "20s").go().await;
    seen.ends(0, "deployed");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_on_its_way_out_takes_no_host() {
    let shop = Shop::open().await;
    let object = json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": "old", "labels": {}, "finalizers": ["example.test/held"]},
    });
    put(&shop, object);
    ingress(&shop, "old", HOST);
    shop.world.cluster.hold();
    assert!(shop.world.cluster.delete("Namespace", "", "old"));
    shop.world.cluster.release();
    shop.deployed(1).await;
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_listed_is_said_to_be_unchecked() {
    let shop = Shop::open().await;
    namespace(&shop, "production", json!({}));
    ingress(&shop, "production", HOST);
    shop.world
        .cluster
        .deny(Denial::new("list", "ingresses").in_namespace(""));
    // Its address answers from elsewhere, which the health check would tell.
    let run = shop.run(&shop.opens(1)).input("health", "off");
    let seen = run.go().await;
    seen.ends(0, "deployed");
    seen.says("was not checked");
    seen.says("may not list ingresses of all namespaces");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_preview_without_a_place_is_checked_and_that_takes_no_longer() {
    let latency = Duration::from_millis(80);
    let options = WorldOptions {
        cluster: cluster::Options {
            latency,
            ..Default::default()
        },
        github: github::Options {
            latency,
            ..Default::default()
        },
        ..Default::default()
    };
    let shop = Shop::with(options, ONE_SERVICE).await;
    let since = shop.now();
    shop.deployed(1).await;
    // Before it has a place, and once its routes stand; no HTTPRoute is wanted, so none is asked for.
    assert_eq!(looks(&shop, since), 2);
    // The look goes out while GitHub is asked for the head.
    let all: Vec<_> = shop.world.requests();
    let look = all
        .iter()
        .position(|record| EVERYWHERE.contains(&record.path.as_str()))
        .unwrap();
    let beside = [look - 1, look + 1].map(|index| all[index].clone());
    let paired = beside.iter().any(|record| {
        record.site == "github"
            && record.path.ends_with("/pulls/1")
            && request_depth(&[record.clone(), all[look].clone()]) == 1
    });
    assert!(paired, "{beside:#?}");

    let since = shop.now();
    shop.hears(&shop.says(1, "alice", "/deploy"))
        .await
        .ends(0, "unchanged");
    shop.hears(&shop.pushes(1)).await.ends(0, "deployed");
    assert_eq!(looks(&shop, since), 0);
    shop.ends();
}

/// A preview of another repository.
fn rival(shop: &Shop) {
    let labels = json!({"app": "preview", "pr": "7", "preview-action/repository-id": "999"});
    namespace(shop, "rival", labels);
}

/// Does this right before the next such request is served.
fn before(
    shop: &Arc<Shop>,
    method: &str,
    path: &str,
    hook: impl Fn(&Shop) + Send + Sync + 'static,
) {
    let weak = Arc::downgrade(shop);
    let fault = Fault::run(method, path, move || {
        if let Some(shop) = weak.upgrade() {
            hook(&shop);
        }
    });
    shop.world.cluster.inject(fault);
}

const OUR_ROUTE: &str = "/apis/networking.k8s.io/v1/namespaces/pr-shop-1/ingresses/*";

/// Hosts of the routes of the shop's preview.
fn routes(shop: &Shop) -> Vec<String> {
    let routes = shop.world.cluster.objects("Ingress", "pr-shop-1");
    let host = |route: &Value| {
        route["spec"]["rules"][0]["host"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    routes.iter().map(host).collect()
}

/// A younger preview takes the host just before our route stands.
fn a_younger_one_comes(shop: &Arc<Shop>) {
    before(shop, "PATCH", OUR_ROUTE, |shop| {
        shop.world.advance(Duration::from_secs(2));
        rival(shop);
        ingress(shop, "rival", HOST);
    });
}

async fn opens_without_health(shop: &Shop) -> Seen {
    shop.run(&shop.opens(1)).input("health", "off").go().await
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_that_came_at_once_the_younger_gives_way_and_takes_its_routes_along() {
    let shop = Arc::new(Shop::open().await);
    rival(&shop);
    shop.world.advance(Duration::from_secs(2));
    before(&shop, "PATCH", OUR_ROUTE, |shop| {
        ingress(shop, "rival", HOST)
    });
    let seen = opens_without_health(&shop).await;
    seen.ends(1, "host-taken");
    seen.says(
        "already served from namespace rival, a preview of repository 999 for pull request 7",
    );
    assert_eq!(routes(&shop), [""; 0]);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_that_came_at_once_the_older_stays_once_the_younger_has_gone() {
    let shop = Arc::new(Shop::open().await);
    a_younger_one_comes(&shop);
    // The second look of this run, and the younger one is about to look as well.
    let weak = Arc::downgrade(&shop);
    let goes = Fault::run("GET", EVERYWHERE[0], move || {
        if let Some(shop) = weak.upgrade() {
            assert!(shop.world.cluster.delete("Ingress", "rival", "web"));
        }
    });
    shop.world.cluster.inject(goes.nth(4));
    opens_without_health(&shop).await.ends(0, "deployed");
    assert_eq!(routes(&shop), [HOST]);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_younger_one_that_was_ready_before_it_could_see_us_keeps_its_host() {
    let shop = Arc::new(Shop::open().await);
    a_younger_one_comes(&shop);
    let seen = opens_without_health(&shop).await;
    seen.ends(1, "host-taken");
    assert_eq!(routes(&shop), [""; 0]);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_real_runs_at_once_never_end_ready_with_one_host() {
    let shop = Shop::open().await;
    let ours = shop.opens(1);
    let theirs = cafe_opens(&shop);
    let (one, other) = tokio::join!(
        shop.run(&ours).input("health", "off").go(),
        cafe_hears(&shop, &theirs, "")
    );
    let mut ends = [one.exit, other.exit];
    ends.sort_unstable();
    assert_ne!(ends, [0, 0], "{one:#?} {other:#?}");
    assert!(
        ends.contains(&0),
        "one of them is served: {one:#?} {other:#?}"
    );
    let serving = shop.world.cluster.objects("Ingress", "");
    assert_eq!(serving.len(), 1, "{serving:#?}");
    shop.ends();
}

/// What was ready at its host is no newcomer: somebody else's Ingress beside it fails a push and costs no live route.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_live_keeps_its_route_when_somebody_else_takes_its_host() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    namespace(&shop, "proxy", json!({}));
    ingress(&shop, "proxy", HOST);
    let route = || shop.world.cluster.objects("Ingress", "pr-shop-1").remove(0);
    let uid = route()["metadata"]["uid"].clone();
    let more = ONE_SERVICE.replace("public: true", "public: {path: /api}");
    let event = shop.pushes_files(1, &[(CONFIGURATION, &more)]);
    shop.hears(&event).await.ends(1, "host-taken");
    assert_eq!(route()["metadata"]["uid"], uid, "it was never gone");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_changes_on_a_redeploy_is_looked_at_before_anything_is_applied() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    namespace(&shop, "production", json!({}));
    ingress(&shop, "production", "shop-1.preview.example.test");
    let event = shop.pushes(1);
    let run = shop
        .run(&event)
        .input("host-pattern", "{repo}-{number}.{domain}");
    let seen = run.go().await;
    seen.ends(1, "host-taken");
    assert_eq!(routes(&shop), [HOST]);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_changes_in_a_template_is_looked_at_and_the_good_one_comes_back() {
    let own = |host: &str| {
        format!(
            "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: own}}\nspec:\n  rules:\n  - host: {host}.preview.example.test\n    http:\n      \
             paths:\n      - {{path: /, pathType: Prefix, backend: {{service: {{name: web, port: {{number: 8080}}}}}}}}\n"
        )
    };
    let shop = Shop::selling(&format!("{ONE_SERVICE}templates: [deploy/*.yaml]\n")).await;
    shop.commit(&[("deploy/own.yaml", &own("pr-1-own"))]);
    shop.deployed(1).await;
    namespace(&shop, "production", json!({}));
    ingress(&shop, "production", "pr-1-new.preview.example.test");
    let event = shop.pushes_files(1, &[("deploy/own.yaml", &own("pr-1-new"))]);
    let seen = shop.hears(&event).await;
    seen.ends(1, "host-taken");
    assert_eq!(routes(&shop), ["pr-1-own.preview.example.test", HOST]);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_added_to_a_live_preview_is_looked_at_before_anything_is_applied() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    namespace(&shop, "production", json!({}));
    ingress(&shop, "production", "pr-1-api.preview.example.test");
    let more = format!(
        "{ONE_SERVICE}  api: {{image: 'registry.example/api:1', port: 8080, public: true}}\n"
    );
    let event = shop.pushes_files(1, &[(CONFIGURATION, &more)]);
    let since = shop.now();
    let seen = shop.hears(&event).await;
    seen.ends(1, "host-taken");
    let routes = shop.cluster_requests(since);
    let written = |one: &&Record| one.method != "GET" && one.path.contains("/pr-shop-1/");
    let written: Vec<_> = routes.iter().filter(written).collect();
    assert!(written.is_empty(), "{written:#?}");

    // Once it is free it is known from then on.
    assert!(shop.world.cluster.delete("Ingress", "production", "web"));
    shop.hears(&shop.says(1, "alice", "/deploy"))
        .await
        .ends(0, "deployed");
    let since = shop.now();
    shop.hears(&shop.pushes(1)).await.ends(0, "deployed");
    assert_eq!(looks(&shop, since), 0);
    shop.ends();
}

/// Who was ready at a host is no newcomer there, however old the other Namespace is.
#[tokio::test(flavor = "multi_thread")]
async fn who_was_ready_at_a_host_does_not_give_way_to_an_older_preview_that_adds_it() {
    let shop = Arc::new(Shop::open().await);
    rival(&shop);
    shop.world.advance(Duration::from_secs(2));
    shop.deployed(1).await;
    before(&shop, "PATCH", OUR_ROUTE, |shop| {
        ingress(shop, "rival", HOST)
    });
    let weak = Arc::downgrade(&shop);
    let goes = Fault::run("GET", EVERYWHERE[0], move || {
        if let Some(shop) = weak.upgrade() {
            assert!(shop.world.cluster.delete("Ingress", "rival", "web"));
        }
    });
    shop.world.cluster.inject(goes.nth(2));
    let more = format!("{ONE_SERVICE}ingress: {{annotations: {{example.test/a: b}}}}\n");
    let event = shop.pushes_files(1, &[(CONFIGURATION, &more)]);
    let run = shop.run(&event).input("health", "off");
    run.go().await.ends(0, "deployed");
    assert_eq!(routes(&shop), [HOST]);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_deploy_that_ends_before_the_contest_does_leaves_no_route_beside_the_other() {
    for cancelled in [true, false] {
        let broken = ONE_SERVICE.replace("web:{short-sha}", "web:crash-{short-sha}");
        let sells = if cancelled { ONE_SERVICE } else { &broken };
        let shop = Arc::new(Shop::selling(sells).await);
        a_younger_one_comes(&shop);
        let opened = shop.opens(1);
        let stop = CancellationToken::new();
        let run = shop.run(&opened).input("health", "off");
        if cancelled {
            let stop = stop.clone();
            let ends = Fault::run("GET", EVERYWHERE[0], move || stop.cancel());
            shop.world.cluster.inject(ends.nth(3));
        }
        let seen = run.stopping(&stop).go().await;
        assert_eq!(seen.exit, if cancelled { 130 } else { 1 }, "{seen:#?}");
        assert_eq!(routes(&shop), [""; 0]);
        assert_eq!(shop.world.cluster.objects("Ingress", "rival").len(), 1);
        shop.ends();
    }
}
