//! Deploying again: what it costs, what it changes, what it repairs.

use crate::support::{CONFIGURATION, Seen, Shop};
use preview_action::simulate::{Fault, WorldOptions, cluster, github, request_depth};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, mpsc};
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
    let reactions = github
        .iter()
        .filter(|record| record.path.ends_with("/reactions"));
    assert_eq!(reactions.count(), 3, "{}", list(&github));
    let about = |what: &str| github.iter().filter(|one| one.path.contains(what)).count();
    let beside = (about("/statuses/"), about("/deployments"));
    // The same commit again has its deployment.
    assert!(beside.0 <= 2 && beside.1 <= 3, "{}", list(&github));
    assert!(
        github.len() - about("/deployments") - about("/repos/acme/shop/statuses/") <= 12 + 3,
        "{}",
        list(&github)
    );
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_object_that_changed_is_changed() {
    let shop = twenty_objects().await;
    shop.deployed(1).await;
    // The server notes the second of an apply: a status that is written within the same one counts as our change.
    shop.world.advance(Duration::from_secs(5));
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
    assert_eq!(ports.len(), 1, "{service}");
    assert_eq!(ports[0]["port"], 8080);
    seen.says("Service/web: deleted and made again, because ports set by `kubectl` stand in the way of the configured ones");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_added_by_hand_stays_and_what_was_changed_comes_back() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    let cluster = &shop.world.cluster;
    let service = || cluster.object("Service", "pr-shop-1", "web").unwrap();
    let mut edited = service();
    let ports = edited["spec"]["ports"].as_array_mut().unwrap();
    ports.push(json!({"name": "debug", "port": 9229, "protocol": "TCP", "targetPort": 9229}));
    edited["metadata"]["labels"]["app.kubernetes.io/name"] = "other".into();
    cluster.put(&edited).unwrap();

    let seen = shop.hears(&shop.says(1, "alice", "/deploy")).await;
    seen.ends(0, "deployed");
    let spec = &service()["spec"];
    let numbers: Vec<_> = spec["ports"]
        .as_array()
        .unwrap()
        .iter()
        .map(|port| port["port"].clone())
        .collect();
    assert_eq!(
        numbers,
        [8080, 9229],
        "a port of its own name and number is somebody else's"
    );
    assert_eq!(
        service()["metadata"]["labels"]["app.kubernetes.io/name"],
        "web"
    );
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

/// What a run asks GitHub last before it applies anything: whether its commit is still the newest.
const HEAD: &str = "/repos/acme/shop/pulls/1";

/// Deploys, and lets the world change between the look into the Namespace and the first object that is applied.
async fn deploys_while(shop: &Shop, others: impl AsyncFnOnce()) -> Seen {
    let (begun, mut begins) = tokio::sync::mpsc::unbounded_channel();
    let (go, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let hook = Fault::run("GET", HEAD, move || {
        let _ = begun.send(());
        let _ = wait.lock().unwrap().recv();
    });
    shop.world.github.inject(hook.nth(2));
    let command = shop.says(1, "alice", "/deploy");
    let others = async {
        begins.recv().await.unwrap();
        others().await;
        drop(go);
    };
    tokio::join!(shop.hears(&command), others).0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_deleted_after_it_was_seen_is_made_again() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    let before = shop.now();
    let deleted = async || assert!(shop.world.cluster.delete("Service", "pr-shop-1", "web"));
    let seen = deploys_while(&shop, deleted).await;
    seen.ends(0, "deployed");
    assert!(
        seen.summary.contains("1 created, 0 changed"),
        "{}",
        seen.summary
    );
    let applied: Vec<_> = shop
        .cluster_requests(before)
        .into_iter()
        .filter(|record| record.method == "PATCH" && record.path.ends_with("/services/web"))
        .map(|record| (record.body.contains(r#""uid":"#), record.status))
        .collect();
    assert_eq!(
        applied,
        [(true, Some(409)), (false, Some(201))],
        "first the object that was seen, then any"
    );
    shop.ends();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_namespace_that_is_deleted_after_it_was_seen_is_made_again() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    let uid = |shop: &Shop| {
        let namespace = shop.world.cluster.object("Namespace", "", "pr-shop-1");
        namespace.unwrap()["metadata"]["uid"].clone()
    };
    let before = uid(&shop);
    let deleted = async || assert!(shop.world.cluster.delete("Namespace", "", "pr-shop-1"));
    deploys_while(&shop, deleted).await.ends(0, "deployed");
    assert_ne!(uid(&shop), before);
    assert_eq!(shop.ledger().unwrap()["holders"][0]["uid"], uid(&shop));
    shop.ends();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_namespace_of_somebody_else_that_takes_the_name_meanwhile_is_not_touched() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    let cluster = &shop.world.cluster;
    let theirs = |kind: &str| {
        let mut object = cluster.object(kind, "pr-shop-1", "web").unwrap();
        let metadata =
            json!({"name": "web", "namespace": "pr-shop-1", "annotations": {"whose": "theirs"}});
        object["metadata"] = metadata;
        object
    };
    let objects = [theirs("Service"), theirs("Deployment")];
    let read = |kind: &str| cluster.object(kind, "pr-shop-1", "web").unwrap();
    let made: Mutex<Vec<Value>> = Mutex::default();
    let replaced = async || {
        assert!(cluster.delete("Namespace", "", "pr-shop-1"));
        shop.gone("pr-shop-1").await;
        let namespace =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "pr-shop-1"}});
        for object in [&namespace].into_iter().chain(&objects) {
            cluster.put(object).unwrap();
        }
        let metadata = |kind: &str| read(kind)["metadata"]["managedFields"].clone();
        *made.lock().unwrap() = vec![metadata("Service"), metadata("Deployment")];
    };
    let seen = deploys_while(&shop, replaced).await;
    seen.ends(1, "namespace-taken");
    for kind in ["Service", "Deployment"] {
        let managers = read(kind)["metadata"]["managedFields"].to_string();
        assert!(!managers.contains("preview-action"), "{managers}");
        assert_eq!(read(kind)["metadata"]["annotations"]["whose"], "theirs");
    }
    assert_eq!(made.lock().unwrap().len(), 2);
    assert_eq!(shop.holders(), Vec::<u64>::new());
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_seen_before_a_lost_write_of_the_ledger_is_looked_at_again() {
    let shop = Arc::new(Shop::open().await);
    shop.deployed(1).await;
    let weak = Arc::downgrade(&shop);
    // Somebody has had the turn meanwhile, and left a member behind that is in no set.
    let other = Fault::run("PUT", crate::support::LEDGER, move || {
        let Some(shop) = weak.upgrade() else { return };
        let cluster = &shop.world.cluster;
        let mut left = cluster.object("Service", "pr-shop-1", "web").unwrap();
        let labels = left["metadata"]["labels"].take();
        left["metadata"] = json!({"name": "left", "namespace": "pr-shop-1", "labels": labels});
        left["spec"].as_object_mut().unwrap().remove("clusterIP");
        left["spec"].as_object_mut().unwrap().remove("clusterIPs");
        cluster.put(&left).unwrap();
        let mut ledger = cluster
            .object("ConfigMap", "preview-system", &shop.ledger_name())
            .unwrap();
        let metadata = ledger["metadata"].as_object_mut().unwrap();
        metadata.remove("resourceVersion");
        metadata.insert("labels".into(), json!({"somebody": "wrote"}));
        cluster.put(&ledger).unwrap();
    });
    shop.world.cluster.inject(other);
    shop.hears(&shop.says(1, "alice", "/deploy"))
        .await
        .ends(0, "deployed");
    let left = shop.world.cluster.object("Service", "pr-shop-1", "left");
    assert_eq!(left, None);
    shop.ends();
}

/// An autoscaler from the repository's own template, for a service with a number of replicas.
const AUTOSCALER: &str = "apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
  minReplicas: 1
  maxReplicas: 3
";

#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_an_autoscaler_decides_cost_no_request_and_no_warning() {
    let one = "version: 1\ntemplates: [deploy/*.yaml.j2]\nservices:\n  web: {image: 'registry.example/web:1', port: 8080, replicas: 1}\n";
    let shop = Shop::selling(one).await;
    shop.commit(&[("deploy/autoscaler.yaml.j2", AUTOSCALER)]);
    shop.deployed(1).await;
    let cluster = &shop.world.cluster;
    let replicas = |count: usize| {
        let deployment = cluster.object("Deployment", "pr-shop-1", "web").unwrap();
        assert_eq!(deployment["spec"]["replicas"], count);
        deployment
    };
    let mut scaled = replicas(1);
    scaled["spec"]["replicas"] = 3.into();
    cluster.put_as("kube-controller-manager", &scaled).unwrap();
    for _ in 0..2 {
        let from = shop.now();
        let again = shop.hears(&shop.says(1, "alice", "/deploy")).await;
        again.ends(0, "unchanged");
        let body = &shop.status_comments(1)[0].body;
        assert!(!body.contains("spec.replicas"), "{body}");
        let requests = shop.cluster_requests(from);
        let refused = requests.iter().filter(|one| one.status >= Some(400));
        assert_eq!(refused.count(), 0);
        replicas(3);
    }
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
