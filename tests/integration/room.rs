//! A preview that there is no room for: told before anything is applied, and let in once there is.

use crate::support::Shop;
use preview_action::simulate::WorldOptions;
use serde_json::{Value, json};

/// One service that asks for this much CPU, with two replicas; a rolling update adds one more.
fn asking(cpu: &str, quota: &str) -> String {
    format!(
        "version: 1
services:
  web:
    image: registry.example/web:{{short-sha}}
    port: 8080
    public: true
    replicas: 2
    health: {{path: /}}
    resources: {{requests: {{cpu: {cpu}, memory: 64Mi}}, limits: {{cpu: '8', memory: 128Mi}}}}
quota: {{requests: {{cpu: '{quota}', memory: 4Gi}}, limits: {{cpu: '40', memory: 8Gi}}}}
"
    )
}

async fn shop(cpu: &str, quota: &str, node_cpu: &str) -> Shop {
    let shop = Shop::with(WorldOptions::default(), &asking(cpu, quota)).await;
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "sim-node", "labels": {}},
        "status": {"allocatable": {"cpu": node_cpu, "memory": "64Gi", "pods": "110"}}});
    shop.world.cluster.put(&node).unwrap();
    shop
}

fn deployments(shop: &Shop, namespace: &str) -> Vec<Value> {
    shop.world.cluster.objects("Deployment", namespace)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_node_will_ever_have_room_for_is_refused_before_anything_is_applied() {
    let shop = shop("3", "20", "4").await;
    let seen = shop.hears(&shop.opens(1)).await;
    seen.ends(1, "no-room");
    seen.says("asked 9 CPU, free 4 of 4");
    seen.says("set the input `nodes` to `elastic`");
    assert_eq!(shop.namespaces(), Vec::<String>::new());
    assert_eq!(shop.holders(), Vec::<u64>::new());
    for path in ["/api/v1/nodes", "/api/v1/pods"] {
        let all = shop.cluster_requests(0);
        let mut lists = all.iter().filter(|one| one.path == path);
        assert!(
            lists.all(|one| one.query.contains("limit=")),
            "{path}: {all:#?}"
        );
    }
    // Where nodes come by themselves nobody looks.
    let again = shop.says(1, "bob", "/deploy");
    let elastic = shop.run(&again).input("nodes", "elastic").go().await;
    elastic.ends(0, "deployed");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_finds_room_once_a_preview_ends_waits_in_line_and_then_comes() {
    let shop = shop("1", "20", "4").await;
    shop.deployed(1).await;
    let second = shop.hears(&shop.opens(2)).await;
    second.ends(0, "queued");
    assert_eq!(second.output("state"), "queued");
    second.says("asked 3 CPU, free 2 of 4");
    assert_eq!(shop.namespaces(), ["pr-shop-1"]);
    // Nothing has ended, so the schedule need not try; the comment goes on saying what is lacking.
    let before = shop.now();
    let sweep = shop.run(&shop.schedule()).input("dashboard-issue", "false");
    sweep.go().await.ends(0, "swept");
    let asked = shop.requests("cluster", before);
    assert!(
        !asked.iter().any(|one| one.path.ends_with("/nodes")),
        "{asked:#?}"
    );
    assert!(shop.comment(2).contains("asked 3 CPU, free 2 of 4"));
    shop.hears(&shop.closes(1)).await.ends(0, "removed");
    assert_eq!(shop.namespaces(), ["pr-shop-2"]);
    assert!(shop.comment(2).contains("Preview ready"));
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_whose_first_deploy_failed_gives_way_to_who_lacks_room() {
    use preview_action::simulate::cluster::Fate;
    let shop = shop("1", "20", "4").await;
    shop.world.cluster.script_fate("/web", Fate::Crash);
    shop.hears(&shop.opens(1)).await.ends(1, "crash-loop");
    shop.world.cluster.script_fate("/web", Fate::Ready);
    shop.hears(&shop.opens(2)).await.ends(0, "queued");
    assert_eq!((shop.holders(), shop.line()), (vec![1], vec![2]));
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    assert_eq!((shop.holders(), shop.line()), (vec![2], vec![]));
    assert!(shop.comment(2).contains("Preview ready"));
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_is_never_turned_away_for_want_of_room() {
    let shop = shop("1", "20", "5").await;
    shop.deployed(1).await;
    let full = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "sim-node", "labels": {}},
        "status": {"allocatable": {"cpu": "1", "memory": "1Gi", "pods": "1"}}});
    shop.world.cluster.put(&full).unwrap();
    let seen = shop.hears(&shop.pushes(1)).await;
    seen.ends(0, "deployed");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_the_preview_s_own_quota_is_refused_with_what_was_asked() {
    let shop = shop("1", "2", "64").await;
    let seen = shop.hears(&shop.opens(1)).await;
    seen.ends(1, "quota-exceeded");
    seen.says("3 requests.cpu of 2");
    seen.says(".github/preview.yml");
    assert_eq!(deployments(&shop, "pr-shop-1"), Vec::<Value>::new());
    assert_eq!(shop.holders(), Vec::<u64>::new());
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_are_nearly_full_are_told_of() {
    let shop = shop("1", "20", "3500m").await;
    let seen = shop.deployed(1).await;
    seen.says("the cluster's nodes are 85 % full with this preview");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_woken_into_a_cluster_without_room_waits_in_line() {
    let shop = shop("1", "20", "4").await;
    shop.deployed(1).await;
    let slept = shop.hears(&shop.says(1, "alice", "/sleep")).await;
    slept.ends(0, "slept");
    shop.deployed(2).await;
    let woken = shop.hears(&shop.says(1, "alice", "/wake")).await;
    woken.ends(0, "queued");
    woken.says("asked 3 CPU, free 2 of 4");
    assert_eq!((shop.holders(), shop.line()), (vec![2], vec![1]));
    assert!(!shop.record(1)["asleep"].is_null());
    shop.hears(&shop.closes(2)).await.ends(0, "removed");
    assert_eq!(shop.holders(), [1]);
    assert!(shop.comment(1).contains("Preview ready"));
    assert!(shop.record(1)["asleep"].is_null());
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn small_newcomers_pass_who_lacks_room_for_an_hour_and_no_longer() {
    let shop = shop("1", "20", "4").await;
    shop.deployed(1).await;
    shop.hears(&shop.opens(2)).await.ends(0, "queued");
    let small = asking("100m", "20").replace("replicas: 2", "replicas: 1");
    shop.commit(&[(crate::support::CONFIGURATION, &small)]);
    shop.deployed(3).await;
    shop.world.advance(std::time::Duration::from_secs(3601));
    shop.hears(&shop.opens(4)).await.ends(0, "queued");
    assert_eq!((shop.holders(), shop.line()), (vec![1, 3], vec![2, 4]));
    shop.ends();
}
