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
    assert_eq!(
        kinds.len(),
        6 + 1,
        "its own, and ConfigMaps, among which is the list of its kinds: {kinds:?}"
    );
    let depth = request_depth(&cluster);
    for r in &cluster {
        println!("{:?} {} {}", r.seq, r.method, r.path);
    }
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
    assert!(cluster.len() <= 32, "{}", list(&cluster));
    assert!(depth <= 4, "{depth}\n{}", list(&cluster));
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
    seen.says("> ⚠️ Deployment/web: spec.template.spec.containers");
    seen.says("image had been set by `kubectl` and is as configured again");
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

/// Two services, the second with a Service object of its own template.
const TWO_SERVICES: &str = "version: 1
services:
  web: {image: 'registry.example/web:{short-sha}', port: 8080, public: true}
  api: {image: 'registry.example/api:{short-sha}', port: 8080}
";

const ONE_OF_TWO: &str = "version: 1
services:
  web: {image: 'registry.example/web:{short-sha}', port: 8080, public: true}
";

#[tokio::test(flavor = "multi_thread")]
async fn what_left_the_configuration_is_removed_and_named() {
    let shop = Shop::selling(TWO_SERVICES).await;
    shop.deployed(1).await;
    let live = |kind: &str| {
        shop.world
            .cluster
            .object(kind, "pr-shop-1", "api")
            .is_some()
    };
    assert!(live("Deployment") && live("Service"));

    let push = shop.pushes_files(1, &[(CONFIGURATION, ONE_OF_TWO)]);
    let seen = shop.hears(&push).await;
    seen.ends(0, "deployed");
    assert!(!live("Deployment") && !live("Service"));
    let body = &shop.status_comments(1)[0].body;
    assert!(
        body.contains(
            "Removed 2 objects that are no part of it any more: `Service/api`, `Deployment/api`."
        ),
        "{body}"
    );
    assert!(seen.summary.contains(", 2 removed"), "{}", seen.summary);

    let again = shop.hears(&shop.says(1, "alice", "/deploy")).await;
    again.ends(0, "unchanged");
    let body = &shop.status_comments(1)[0].body;
    assert!(!body.contains("no part of it any more"), "{body}");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_half_of_a_preview_goes_only_when_somebody_says_so() {
    let config_map = |n: usize| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: extra-{n}}}\ndata: {{a: b}}\n---\n"
        )
    };
    let many: String = (0..30).map(config_map).collect();
    let shop = Shop::selling(&format!("{ONE_OF_TWO}templates: [deploy/*.yaml.j2]\n")).await;
    shop.commit(&[("deploy/extra.yaml.j2", &many)]);
    shop.deployed(1).await;
    let left = || {
        let mut found = shop.world.cluster.objects("ConfigMap", "pr-shop-1");
        found.retain(|object| {
            let name = object["metadata"]["name"].as_str().unwrap();
            name.starts_with("extra-")
        });
        found.len()
    };
    let push = shop.pushes_files(1, &[("deploy/extra.yaml.j2", &config_map(0))]);
    shop.hears(&push).await.ends(0, "deployed");
    assert_eq!(left(), 30);
    let body = &shop.status_comments(1)[0].body;
    assert!(body.contains("which is more than half"), "{body}");

    let seen = shop.hears(&shop.says(1, "alice", "/deploy")).await;
    seen.ends(0, "deployed");
    assert_eq!(left(), 1);
    let body = &shop.status_comments(1)[0].body;
    assert!(
        body.contains("Removed 29 objects that are no part of it any more"),
        "{body}"
    );
    shop.ends();
}
