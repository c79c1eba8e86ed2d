//! Deploying again: what it costs, what it changes, what it repairs.

use crate::support::{CONFIGURATION, Seen, Shop};
use preview_action::simulate::{WorldOptions, cluster, github, request_depth};
use std::time::Duration;

/// Six services, two of them public: 19 objects of 6 kinds with quota, limits and network policies.
fn six_services(greeting: &str) -> String {
    let mut text = String::from("version: 1\ntemplates: [deploy/*.yaml.j2]\nservices:\n");
    for (index, name) in ["web", "api", "cart", "mail", "search", "stock"]
        .iter()
        .enumerate()
    {
        let digest = format!("{index}").repeat(64);
        text += &format!(
            "  {name}:\n    image: registry.example/{name}@sha256:{digest}\n    port: 8080\n    replicas: 1\n    \
             resources: {{requests: {{cpu: 50m, memory: 64Mi}}, limits: {{cpu: 200m, memory: 128Mi}}}}\n    public: {}\n",
            index < 2
        );
    }
    text.replace(
        "  stock:\n",
        &format!("  stock:\n    env: {{GREETING: {greeting}}}\n"),
    )
}

/// The twentieth object, from the repository's own template.
const METRICS: &str = "apiVersion: v1
kind: Service
metadata: {name: metrics}
spec:
  selector: {preview-action/service: web}
  ports: [{name: metrics, port: 9100, targetPort: 8080}]
";

async fn twenty_objects() -> Shop {
    // Requests sent together overlap only if answering takes time.
    let latency = Duration::from_millis(40);
    let options = WorldOptions {
        github: github::Options {
            latency: Duration::from_millis(5),
            ..Default::default()
        },
        cluster: cluster::Options {
            latency,
            ..Default::default()
        },
        ..Default::default()
    };
    let shop = Shop::with(options, &six_services("hello")).await;
    shop.commit(&[("deploy/metrics.yaml.j2", METRICS)]);
    shop
}

#[track_caller]
fn objects(seen: &Seen, created: usize, changed: usize, unchanged: usize) {
    let line = format!("{created} created, {changed} changed, {unchanged} unchanged");
    assert!(seen.summary.contains(&line), "no {line:?} in {seen:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redeploy_of_twenty_objects_that_changes_nothing_costs_little() {
    let shop = twenty_objects().await;
    let first = shop.deployed(1).await;
    objects(&first, 20, 0, 0);

    let since = shop.now();
    let again = shop.hears(&shop.says(1, "alice", "/deploy")).await;
    again.ends(0, "unchanged");
    objects(&again, 0, 0, 20);
    let (cluster, github) = (
        shop.requests("cluster", since),
        shop.requests("github", since),
    );
    let kinds: std::collections::BTreeSet<_> = cluster
        .iter()
        .filter(|record| record.method == "GET" && record.path.contains("pr-shop-1/"))
        .map(|record| record.path.rsplit('/').next().unwrap())
        .collect();
    assert_eq!(kinds.len(), 6, "{kinds:?}");
    let depth = request_depth(&cluster);
    println!(
        "a redeploy of 20 objects of 6 kinds that changes nothing: {} cluster requests in {depth} round trips, {} GitHub requests in {}",
        cluster.len(),
        github.len(),
        request_depth(&github),
    );
    let list = |records: &[preview_action::simulate::Record]| {
        records
            .iter()
            .map(|record| format!("{} {}", record.method, record.path))
            .collect::<Vec<_>>()
            .join("\n")
    };
    assert!(cluster.len() <= 34, "{}", list(&cluster));
    assert!(depth <= 5, "{depth}\n{}", list(&cluster));
    assert!(github.len() <= 12, "{}", list(&github));
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_object_that_changed_is_changed() {
    let shop = twenty_objects().await;
    shop.deployed(1).await;
    let push = shop.pushes_files(1, &[(CONFIGURATION, &six_services("good day"))]);
    let seen = shop.hears(&push).await;
    seen.ends(0, "deployed");
    objects(&seen, 0, 1, 19);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_changed_by_hand_is_changed_back() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    let image = shop.image("pr-shop-1", "web");
    let mut service = shop
        .world
        .cluster
        .object("Service", "pr-shop-1", "web")
        .unwrap();
    service["spec"]["ports"][0]["port"] = 81.into();
    shop.world.cluster.put(&service).unwrap();
    let mut deployment = shop
        .world
        .cluster
        .object("Deployment", "pr-shop-1", "web")
        .unwrap();
    deployment["spec"]["template"]["spec"]["containers"][0]["image"] = "nginx:1".into();
    shop.world.cluster.put(&deployment).unwrap();

    let seen = shop.hears(&shop.says(1, "alice", "/deploy")).await;
    seen.ends(0, "deployed");
    assert_eq!(shop.image("pr-shop-1", "web"), image);
    let service = shop
        .world
        .cluster
        .object("Service", "pr-shop-1", "web")
        .unwrap();
    let ports = service["spec"]["ports"].as_array().unwrap();
    assert!(ports.iter().any(|port| port["port"] == 8080), "{service}");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_deleted_by_hand_is_made_again() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    assert!(shop.world.cluster.delete("Service", "pr-shop-1", "web"));
    let seen = shop.hears(&shop.says(1, "alice", "/deploy")).await;
    seen.ends(0, "deployed");
    assert!(
        seen.summary.contains("1 created, 0 changed"),
        "{}",
        seen.summary
    );
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_was_pushed_again_rolls_out() {
    let latest = "version: 1\nservices: {web: {image: 'registry.example/web:latest', port: 8080, public: true}}\n";
    let shop = Shop::selling(latest).await;
    shop.deployed(1).await;
    let pods = || {
        let mut names: Vec<String> = shop
            .world
            .cluster
            .objects("Pod", "pr-shop-1")
            .iter()
            .filter(|pod| pod["metadata"]["deletionTimestamp"].is_null())
            .map(|pod| pod["metadata"]["name"].to_string())
            .collect();
        names.sort();
        names
    };
    let before = pods();
    let seen = shop.hears(&shop.pushes(1)).await;
    seen.ends(0, "deployed");
    let after = pods();
    assert_eq!(after.len(), 1, "{after:?}");
    assert_ne!(before, after, "the pod of the older commit still serves");
    shop.ends();
}
