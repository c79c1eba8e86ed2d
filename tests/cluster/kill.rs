//! The real program is killed at its k-th request to the real API server, and the next run makes everything good.
//! A proxy counts the requests in the clear and passes them on; watches are not counted.
//! An odd request is carried out and its answer lost, an even one never arrives: both are what a dead machine leaves.

use crate::{
    contents, race,
    stay::Stay,
    world::{Real, program},
};
use axum::{Router, body::Body, extract::Request, response::Response};
use base64::{Engine, engine::general_purpose::STANDARD};
use preview_action::{
    runner::Context,
    simulate::{World, WorldOptions, github},
};
use std::{
    path::{Path, PathBuf},
    process::{Output, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};
use tokio::{process::Command, sync::Notify};

const SHOP: &str = "acme/shop";

/// Requests of a first deploy and of a removal at which the program dies.
const DEPLOY: [usize; 4] = [3, 6, 11, 16];
const REMOVE: [usize; 4] = [2, 5, 16, 18];

/// The same of an update, of one that fails and is taken back, and of the schedule.
const UPDATE: [usize; 2] = [8, 17];
const FAILED: [usize; 2] = [41, 60];
const SWEEP: [usize; 2] = [7, 12];

/// Commits of an update and of what comes after it.
const SECOND: &str = "2222222222222222222222222222222222222222";
const THIRD: &str = "3333333333333333333333333333333333333333";

#[tokio::test(flavor = "multi_thread")]
async fn a_deploy_that_was_killed_is_made_good_by_the_next_one() {
    let Some(real) = Real::enter() else { return };
    real.image("race", "ok", "race");
    let stay = Stay::begin(real, "kill-deploy");
    let cases = DEPLOY.iter().zip(1..).map(|(&k, pr)| {
        let stay = &stay;
        async move {
            let died = dies_at(stay, k, race::deploying(stay, pr)).await;
            let next = race::deploying(stay, pr).output().await.unwrap();
            told("deploy", k, died, &next);
            let reason = race::reason(&next);
            assert!(
                ["deployed", "unchanged"].contains(&reason.as_str()),
                "{next:?}"
            );
            let namespace = stay.namespace(pr);
            let deployment = stay.real.objects("deployments", &namespace);
            assert_eq!(deployment.len(), 1, "{namespace}");
            died
        }
    });
    let mut died = 0;
    for case in cases {
        died += usize::from(case.await);
        let ledger = stay.ledger().expect("a ledger");
        let holders = ledger["holders"].as_array().expect("holders").clone();
        for holder in &holders {
            let name = holder["namespace"].as_str().expect("a name");
            let there = stay
                .real
                .object("namespace", "", name)
                .expect("a holder's namespace");
            assert_eq!(holder["uid"], there["metadata"]["uid"]);
            let pr = holder["pr"].as_u64().expect("a number");
            let removed = race::command(&stay, "remove", pr).output().await.unwrap();
            assert!(removed.status.success(), "{removed:?}");
        }
        assert_eq!(stay.namespaces(), Vec::<String>::new());
    }
    assert!(died >= 3, "only {died} were killed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_that_was_killed_is_finished_by_the_next_one() {
    let Some(real) = Real::enter() else { return };
    real.image("race", "ok", "race");
    let stay = Stay::begin(real, "kill-remove");
    let mut died = 0;
    for (&k, pr) in REMOVE.iter().zip(1..) {
        let deployed = race::deploying(&stay, pr).output().await.unwrap();
        assert_eq!(race::reason(&deployed), "deployed", "{deployed:?}");
        died += usize::from(dies_at(&stay, k, race::command(&stay, "remove", pr)).await);
        let next = race::command(&stay, "remove", pr).output().await.unwrap();
        told("remove", k, true, &next);
        assert!(next.status.success(), "{next:?}");
        assert_eq!(stay.namespaces(), Vec::<String>::new());
        let ledger = stay.ledger().expect("a ledger");
        assert_eq!(ledger["holders"], serde_json::json!([]), "{ledger}");
        let record = &ledger["previews"][pr.to_string()];
        assert!(
            record["active"].is_null() && record["removing"].is_null(),
            "{record}"
        );
    }
    assert!(died >= 3, "only {died} were killed");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_that_was_killed_is_made_good_by_the_next_one() {
    killed_updates("kill-update", "race", UPDATE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_that_was_killed_while_it_failed_is_made_good_by_the_next_one() {
    killed_updates("kill-failed", "race-crash", FAILED).await;
}

/// Two previews whose update to an image is killed, beside one whose update is not, end alike.
async fn killed_updates(environment: &str, tag: &str, at: [usize; 2]) {
    let Some(real) = Real::enter() else { return };
    real.image("race", "ok", "race");
    real.image("race-crash", "crash", "race");
    real.image("race-next", "ok", "next");
    let stay = Stay::begin(real, environment);
    let story = async |pr: u64, k: Option<usize>| {
        let first = race::deploying(&stay, pr).output().await.unwrap();
        assert_eq!(race::reason(&first), "deployed", "{first:?}");
        let second = race::deploying_image(&stay, pr, SECOND, tag);
        let died = match k {
            Some(k) => dies_at(&stay, k, second).await,
            None => false,
        };
        let mut third = race::deploying_image(&stay, pr, THIRD, "race-next");
        let next = third.output().await.unwrap();
        told(environment, k.unwrap_or_default(), died, &next);
        assert_eq!(race::reason(&next), "deployed", "{next:?}");
        died
    };
    let died = tokio::join!(story(1, Some(at[0])), story(2, Some(at[1])), story(3, None));
    assert_eq!(died, (true, true, false), "the first two had to be killed");
    let wanted = lasting(&stay, 3);
    for pr in [1, 2] {
        assert_eq!(
            lasting(&stay, pr),
            wanted,
            "preview {pr}, and one that was not killed"
        );
    }
    let removals = [1, 2, 3].map(|pr| race::command(&stay, "remove", pr).output());
    for removed in futures::future::join_all(removals).await {
        assert!(removed.as_ref().unwrap().status.success(), "{removed:?}");
    }
    nothing_is_left(&stay);
}

/// A preview's objects as we own them, without what tells one preview from another.
fn lasting(stay: &Stay, pr: u64) -> Vec<String> {
    let namespace = stay.namespace(pr);
    let applyset = regex::Regex::new("applyset-[A-Za-z0-9_-]+-v1").unwrap();
    let objects = contents::on_real(stay.real, &namespace);
    // The last good set also holds what was good before, and the last failure what failed, which are other stories.
    let alike = objects.iter().filter(|(name, _)| {
        !name.ends_with("/preview-last-good") && !name.ends_with("/preview-last-failure")
    });
    alike
        .map(|(name, object)| {
            let text = format!("{name} {}", contents::owned(object));
            let text = text.replace(&namespace, "NAMESPACE");
            let text = text.replace(&format!("pr-{pr}."), "HOST.");
            let text = text.replace(&format!("\"pr\":\"{pr}\""), "PR");
            applyset.replace_all(&text, "APPLYSET").into_owned()
        })
        .collect()
}

#[track_caller]
fn nothing_is_left(stay: &Stay) {
    assert_eq!(stay.namespaces(), Vec::<String>::new());
    let ledger = stay.ledger().expect("a ledger");
    assert_eq!(ledger["holders"], serde_json::json!([]), "{ledger}");
    let records = ledger["previews"].as_object().expect("records");
    for record in records.values() {
        assert!(
            record["active"].is_null() && record["removing"].is_null(),
            "{record}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_that_was_killed_is_finished_by_the_next_one() {
    let Some(real) = Real::enter() else { return };
    real.image("race", "ok", "race");
    let stay = Stay::begin(real, "kill-sweep");
    let world = World::start(WorldOptions::default()).await.unwrap();
    assert_eq!(world.github.create_repository(SHOP), 1001);
    world.github.add_user("alice");
    world.github.set_permission(SHOP, "alice", "write", "write");
    let folder = tempfile::tempdir().unwrap();
    let mut died = 0;
    for (&k, pr) in SWEEP.iter().zip(1..) {
        let deployed = race::deploying(&stay, pr).output().await.unwrap();
        assert_eq!(race::reason(&deployed), "deployed", "{deployed:?}");
        world.github.open_pull(
            SHOP,
            github::NewPull {
                number: Some(pr),
                branch: format!("feature-{pr}"),
                author: "alice".into(),
                ..github::NewPull::default()
            },
        );
        world.github.close(SHOP, pr);
        died += usize::from(dies_at(&stay, k, sweeping(&stay, &world, folder.path())).await);
        race::all_seem_dead(&stay).await;
        let next = sweeping(&stay, &world, folder.path())
            .output()
            .await
            .unwrap();
        println!("sweep killed at request {k}; then {}", next.status);
        assert!(next.status.success(), "{next:?}");
        nothing_is_left(&stay);
    }
    assert!(died >= 1, "none was killed");
}

/// The action as the schedule of a repository runs it.
pub(crate) fn sweeping(stay: &Stay, world: &World, folder: &Path) -> Command {
    let payload = world.github.schedule_event("*/5 * * * *");
    acting(stay, world, folder, "schedule", 1, &payload)
}

/// The action as an event of a repository runs it.
pub(crate) fn acting(
    stay: &Stay,
    world: &World,
    folder: &Path,
    event_name: &str,
    run_id: u64,
    payload: &serde_json::Value,
) -> Command {
    let (event, output) = (folder.join("event.json"), folder.join("output"));
    std::fs::write(&event, payload.to_string()).unwrap();
    std::fs::write(&output, "").unwrap();
    let context = Context {
        api_url: world.github.url(),
        server_url: "https://github.example".into(),
        repository: SHOP.parse().unwrap(),
        repository_id: Some(preview_action::names::RepoId(1001)),
        event_name: event_name.into(),
        event_path: event,
        run_id,
        run_attempt: 1,
        workspace: folder.into(),
        output: Some(output),
        summary: None,
        actor: "alice".into(),
        triggering_actor: "alice".into(),
        action: None,
        debug: false,
        workflow: None,
        workflow_sha: None,
        temp: folder.into(),
    };
    let mut command = Command::new(program());
    command.env_clear().envs(context.variables());
    let mut inputs = stay.inputs();
    inputs.insert("token".into(), world.github.token());
    inputs.insert("domain".into(), stay.domain());
    for (name, value) in inputs {
        command.env(format!("INPUT_{}", name.to_ascii_uppercase()), value);
    }
    command.env("KUBECONFIG", stay.real.deployer());
    command.current_dir(folder).stdin(Stdio::null());
    command.kill_on_drop(true);
    command
}

fn told(what: &str, k: usize, died: bool, next: &Output) {
    let how = if died { "killed" } else { "ended before" };
    println!("{what} {how} at request {k}; then {}", race::reason(next));
}

/// Runs a command through a proxy and kills it at its k-th request; false if it ended before.
async fn dies_at(stay: &Stay, k: usize, mut command: Command) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let (kubeconfig, proxy) = proxy(stay.real, k, folder.path().join("kubeconfig")).await;
    let begun = Instant::now();
    let mut process = command
        .env("KUBECONFIG", kubeconfig)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    tokio::select! {
        status = process.wait() => {
            println!("request {k} was never made: {} after {:?}", status.unwrap(), begun.elapsed());
            false
        }
        () = proxy.deadly.notified() => {
            // SIGKILL: nothing of the program runs after this.
            process.kill().await.unwrap();
            true
        }
    }
}

/// Where requests go to, and what they are counted by.
struct Proxy {
    server: String,
    client: reqwest::Client,
    seen: AtomicUsize,
    k: usize,
    deadly: Notify,
}

/// Starts a proxy before the API server that only counts; says how many requests there were, watches left out.
pub(crate) async fn counting(real: &Real, file: PathBuf) -> (PathBuf, impl Fn() -> usize) {
    let (file, proxy) = proxy(real, usize::MAX, file).await;
    (file, move || proxy.seen.load(Ordering::SeqCst))
}

/// Starts a proxy before the API server; it stops with the runtime of the test.
async fn proxy(real: &Real, k: usize, file: PathBuf) -> (PathBuf, Arc<Proxy>) {
    let printed = crate::world::text(
        real.deploying()
            .args(["config", "view", "--raw", "--minify", "-o", "json"]),
    );
    let mut config: serde_json::Value = serde_json::from_str(&printed).unwrap();
    let cluster = config["clusters"][0]["cluster"].take();
    let authority = STANDARD
        .decode(
            cluster["certificate-authority-data"]
                .as_str()
                .expect("an authority"),
        )
        .unwrap();
    let client = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([reqwest::Certificate::from_pem(&authority).unwrap()])
        .build()
        .unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    config["clusters"][0]["cluster"] = serde_json::json!({"server": format!("http://{address}")});
    std::fs::write(&file, config.to_string()).unwrap();
    let proxy = Arc::new(Proxy {
        server: cluster["server"].as_str().expect("a server").to_owned(),
        client,
        seen: AtomicUsize::new(0),
        k,
        deadly: Notify::new(),
    });
    let passing = Arc::clone(&proxy);
    let router = Router::new().fallback(move |request: Request| {
        let proxy = Arc::clone(&passing);
        async move { proxy.pass(request).await }
    });
    tokio::spawn(async move { axum::serve(listener, router).await });
    (file, proxy)
}

impl Proxy {
    async fn pass(&self, request: Request) -> Response {
        let watch = request.uri().query().unwrap_or_default().contains("watch=");
        let number = if watch {
            0
        } else {
            self.seen.fetch_add(1, Ordering::SeqCst) + 1
        };
        if number == self.k {
            println!(
                "request {number} is {} {}",
                request.method(),
                request.uri().path()
            );
        }
        if number == self.k && self.k.is_multiple_of(2) {
            self.deadly.notify_one();
            return std::future::pending().await;
        }
        let (head, body) = request.into_parts();
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        let mut headers = head.headers;
        headers.remove("host");
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        let asked = self
            .client
            .request(head.method, format!("{}{path}", self.server));
        let answer = asked.headers(headers).body(body).send().await.unwrap();
        if number == self.k {
            self.deadly.notify_one();
            return std::future::pending().await;
        }
        let mut response = Response::builder().status(answer.status());
        for (name, value) in answer.headers() {
            if !["transfer-encoding", "content-length", "connection"].contains(&name.as_str()) {
                response = response.header(name, value);
            }
        }
        let chunks = futures::stream::unfold(answer, |mut answer| async move {
            let chunk = answer.chunk().await.transpose()?;
            Some((chunk, answer))
        });
        response.body(Body::from_stream(chunks)).unwrap()
    }
}
