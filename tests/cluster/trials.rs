//! What takes too long for every change, on the real API server: a sweep of a thousand previews, fifty pull requests at once.
//! `.ci/soak` runs them, built as for a release; `cargo test` leaves them out.
//! GitHub is the simulated one; pods run on pretended nodes (`cluster up --fake 2`), so that only our own time counts.

use crate::{kill, stay::Stay, world::Real};
use preview_action::simulate::{World, WorldOptions, github};
use serde_json::{Value, json};
use std::{
    path::Path,
    time::{Duration, Instant},
};

const SHOP: &str = "acme/shop";

const PREVIEWS: u64 = 1000;
const EVENTS: u64 = 50;

/// A repository with so many open pull requests, whose pods belong on pretended nodes.
async fn world(real: &Real, pulls: u64) -> World {
    let world = World::start(WorldOptions::default()).await.unwrap();
    assert_eq!(world.github.create_repository(SHOP), 1001);
    world.github.add_user("alice");
    world.github.set_permission(SHOP, "alice", "write", "write");
    let configuration = format!(
        "version: 1\nservices:\n  web:\n    image: {}/web:race\n    port: 8080\n    public: true\n    node-selector: {{type: fake}}\n    tolerations: [{{key: type, value: fake, effect: NoSchedule}}]\n",
        real.registry()
    );
    let files = [(".github/preview.yml", configuration.as_str())];
    world.github.commit(SHOP, "main", &files);
    for pr in 1..=pulls {
        let pull = github::NewPull {
            number: Some(pr),
            branch: format!("feature-{pr}"),
            author: "alice".into(),
            ..github::NewPull::default()
        };
        world.github.open_pull(SHOP, pull);
    }
    world
}

/// A run on a pull request that was opened.
fn opened(stay: &Stay, world: &World, folder: &Path, pr: u64, cap: u64) -> tokio::process::Command {
    let payload = world.github.pull_request_event(SHOP, pr, "opened");
    let mut command = kill::acting(stay, world, folder, "pull_request", pr, &payload);
    command.env("INPUT_HEALTH", "off");
    command.env("INPUT_MAX-PREVIEWS", cap.to_string());
    command
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a trial of .ci/soak"]
async fn a_sweep_of_a_thousand_previews_with_nothing_to_do_is_short() {
    let Some(real) = Real::enter() else { return };
    real.image("race", "ok", "race");
    let stay = Stay::begin(real, "trial-sweep");
    let world = world(real, PREVIEWS).await;
    let folder = tempfile::tempdir().unwrap();
    let first = opened(&stay, &world, folder.path(), 1, PREVIEWS);
    let first = { first }.output().await.unwrap();
    assert!(first.status.success(), "{first:?}");
    multiply(&stay, &world);
    let sweep = |kubeconfig: Option<&Path>| {
        let mut command = kill::sweeping(&stay, &world, folder.path());
        command.env("INPUT_MAX-PREVIEWS", PREVIEWS.to_string());
        if let Some(kubeconfig) = kubeconfig {
            command.env("KUBECONFIG", kubeconfig);
        }
        command
    };
    // The first one opens the dashboard.
    let swept = sweep(None).output().await.unwrap();
    assert!(swept.status.success(), "{swept:?}");
    let (kubeconfig, seen) = kill::counting(real, folder.path().join("kubeconfig")).await;
    let before = world.github.requests().len();
    let swept = sweep(Some(&kubeconfig)).output().await.unwrap();
    assert!(swept.status.success(), "{swept:?}");
    let (cluster, github) = (seen(), world.github.requests().len() - before);
    let printed = std::fs::read_to_string(folder.path().join("output")).unwrap();
    assert!(printed.contains("\"reasonCode\":\"swept\""), "{printed}");
    let mut times = Vec::new();
    for _ in 0..5 {
        let begun = Instant::now();
        let swept = sweep(None).output().await.unwrap();
        times.push(begun.elapsed());
        assert!(swept.status.success(), "{swept:?}");
    }
    times.sort_unstable();
    println!(
        "sweep of {PREVIEWS}: {cluster} requests to the cluster, {github} to GitHub, {times:?}"
    );
    assert!(cluster <= 12, "{cluster} requests to the cluster");
    let pages = usize::try_from(PREVIEWS.div_ceil(100)).unwrap();
    assert!(github <= pages + 2, "{github} requests to GitHub");
    assert!(
        times[times.len() / 2] <= Duration::from_secs(1),
        "{times:?}"
    );
    assert_eq!(stay.namespaces().len(), usize::try_from(PREVIEWS).unwrap());
}

/// Makes a thousand of the one preview that there is: Namespaces, workloads, and what the ledger knows of them.
fn multiply(stay: &Stay, world: &World) {
    let real = stay.real;
    let one = stay.namespace(1);
    let numbered = |text: &str, pr: u64| {
        let host = format!("pr-{pr}.{}", stay.domain());
        let head = world.github.head(SHOP, pr);
        text.replace(&one, &stay.namespace(pr))
            .replace(&format!("pr-1.{}", stay.domain()), &host)
            .replace("\"pr\":\"1\"", &format!("\"pr\":\"{pr}\""))
            .replace("\"pr\":1,", &format!("\"pr\":{pr},"))
            .replace("\"key\":\"1\"", &format!("\"key\":\"{pr}\""))
            .replace(&world.github.head(SHOP, 1), &head)
    };
    let mut namespace = real.object("namespace", "", &one).unwrap();
    let uid = namespace["metadata"]["uid"].as_str().unwrap().to_owned();
    let mut deployment = real.objects("deployments", &one).remove(0);
    // Ready, and no pod to wait for.
    deployment["spec"]["replicas"] = json!(0);
    let mut bounds = real.objects("limitranges,resourcequotas", &one);
    assert_eq!(bounds.len(), 2, "{bounds:#?}");
    let copies: Vec<String> = [&mut namespace, &mut deployment]
        .into_iter()
        .chain(&mut bounds)
        .map(|object| {
            if let Some(fields) = object.as_object_mut() {
                fields.remove("status");
            }
            let metadata = object["metadata"].as_object_mut().unwrap();
            for field in [
                "uid",
                "resourceVersion",
                "creationTimestamp",
                "managedFields",
            ] {
                metadata.remove(field);
            }
            object.to_string()
        })
        .collect();
    for copy in &copies {
        let items: Vec<Value> = (2..=PREVIEWS)
            .map(|pr| serde_json::from_str(&numbered(copy, pr)).unwrap())
            .collect();
        let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("list.json");
        std::fs::write(&file, list.to_string()).unwrap();
        real.kubectl(&["create", "-f", file.to_str().unwrap()]);
    }
    let all = real.namespaces(&format!(
        "app=preview,preview-action/environment={}",
        stay.environment
    ));
    let uids: std::collections::BTreeMap<&str, &str> = all
        .iter()
        .map(|one| &one["metadata"])
        .map(|one| (one["name"].as_str().unwrap(), one["uid"].as_str().unwrap()))
        .collect();
    let mut ledger = stay.ledger().expect("a ledger");
    let (holder, record) = (
        ledger["holders"][0].to_string(),
        ledger["previews"]["1"].to_string(),
    );
    println!("a holder {} bytes, a record {}", holder.len(), record.len());
    for pr in 2..=PREVIEWS {
        let of = |text: &str| {
            let text = numbered(text, pr).replace(&uid, uids[stay.namespace(pr).as_str()]);
            serde_json::from_str::<Value>(&text).unwrap()
        };
        let mut holder = of(&holder);
        holder["slot"] = json!(pr);
        ledger["holders"].as_array_mut().unwrap().push(holder);
        ledger["previews"][pr.to_string()] = of(&record);
    }
    stay.write_ledger(&ledger);
    let wait = ["wait", "deployments", "--all-namespaces", "--selector"];
    let labels = "app.kubernetes.io/managed-by=preview-action";
    let until = "--for=jsonpath={.status.observedGeneration}=1";
    real.kubectl(&[&wait[..], &[labels, until, "--timeout=600s"]].concat());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a trial of .ci/soak"]
async fn fifty_pull_requests_at_once_are_each_told_the_truth_once_and_none_waits_long() {
    let Some(real) = Real::enter() else { return };
    real.image("race", "ok", "race");
    let stay = Stay::begin(real, "trial-events");
    let world = world(real, EVENTS).await;
    let folder = tempfile::tempdir().unwrap();
    let runs = (1..=EVENTS).map(|pr| {
        let own = folder.path().join(pr.to_string());
        std::fs::create_dir(&own).unwrap();
        let mut command = opened(&stay, &world, &own, pr, EVENTS);
        async move {
            let begun = Instant::now();
            let ended = command.output().await.unwrap();
            let printed = std::fs::read_to_string(own.join("output")).unwrap();
            (pr, begun.elapsed(), ended, printed)
        }
    });
    let ended = futures::future::join_all(runs).await;
    let mut times = Vec::new();
    for (pr, took, ended, printed) in ended {
        assert!(ended.status.success(), "#{pr}: {ended:?}");
        assert!(
            printed.contains("\"reasonCode\":\"deployed\""),
            "#{pr}: {printed}"
        );
        let comments = world.github.comments(SHOP, pr);
        let [comment] = comments.as_slice() else {
            panic!("#{pr} has {} comments", comments.len())
        };
        let head = world.github.head(SHOP, pr);
        let host = format!("http://pr-{pr}.{}", stay.domain());
        for text in ["Preview ready", &host, &head[..7]] {
            assert!(
                comment.body.contains(text),
                "#{pr}: no {text} in {}",
                comment.body
            );
        }
        times.push(took);
    }
    times.sort_unstable();
    let at = |hundredths: usize| times[(times.len() * hundredths).div_ceil(100) - 1];
    let (half, most) = (at(50), at(95));
    println!("{EVENTS} pull requests at once: p50 {half:?}, p95 {most:?}");
    assert!(most <= half * 2, "p50 {half:?}, p95 {most:?}");
    let ledger = stay.ledger().expect("a ledger");
    let holders = ledger["holders"].as_array().unwrap().len();
    assert_eq!(holders, usize::try_from(EVENTS).unwrap());
}
