//! The real program is killed at its k-th request to the real API server, and the next run makes everything good.
//! A proxy counts the requests in the clear and passes them on; watches are not counted.
//! An odd request is carried out and its answer lost, an even one never arrives: both are what a dead machine leaves.

use crate::{race, stay::Stay, world::Real};
use axum::{Router, body::Body, extract::Request, response::Response};
use base64::{Engine, engine::general_purpose::STANDARD};
use std::{
    path::PathBuf,
    process::Output,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};
use tokio::{process::Command, sync::Notify};

/// Requests of a first deploy and of a removal at which the program dies.
const DEPLOY: [usize; 4] = [3, 6, 11, 16];
const REMOVE: [usize; 4] = [2, 5, 16, 18];

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

fn told(what: &str, k: usize, died: bool, next: &Output) {
    let how = if died { "killed" } else { "ended before" };
    println!("{what} {how} at request {k}; then {}", race::reason(next));
}

/// Runs a command through a proxy and kills it at its k-th request; false if it ended before.
async fn dies_at(stay: &Stay, k: usize, mut command: Command) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let (kubeconfig, deadly) = proxy(stay.real, k, folder.path().join("kubeconfig")).await;
    let begun = Instant::now();
    let mut process = command
        .env("KUBECONFIG", kubeconfig)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    tokio::select! {
        status = process.wait() => {
            println!("request {k} was never made: {} after {:?}", status.unwrap(), begun.elapsed());
            false
        }
        () = deadly.notified() => {
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
    deadly: Arc<Notify>,
}

/// Starts a proxy before the API server; it stops with the runtime of the test.
async fn proxy(real: &Real, k: usize, file: PathBuf) -> (PathBuf, Arc<Notify>) {
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
    let deadly = Arc::new(Notify::new());
    let proxy = Arc::new(Proxy {
        server: cluster["server"].as_str().expect("a server").to_owned(),
        client,
        seen: AtomicUsize::new(0),
        k,
        deadly: Arc::clone(&deadly),
    });
    let router = Router::new().fallback(move |request: Request| {
        let proxy = Arc::clone(&proxy);
        async move { proxy.pass(request).await }
    });
    tokio::spawn(async move { axum::serve(listener, router).await });
    (file, deadly)
}

impl Proxy {
    async fn pass(&self, request: Request) -> Response {
        let watch = request.uri().query().unwrap_or_default().contains("watch=");
        let number = if watch {
            0
        } else {
            self.seen.fetch_add(1, Ordering::SeqCst) + 1
        };
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
