//! Passes requests on to the judge and keeps what it said about them; the answers go back without its remarks.
//! It must not change a request: what is judged has to be what was sent.
//! The judge speaks in a header of the answer, which no client of ours reads.

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, Method, Response, Uri},
};
use serde_json::Value;
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, OnceLock},
};

/// Headers that belong to one connection, or to the length of what was sent over it.
const OF_THE_CONNECTION: [&str; 6] = [
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "transfer-encoding",
    "sl-violations",
];

/// What was seen so far.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// How many requests came by.
    pub(super) requests: usize,
    /// Methods and paths, with numbers and names taken out.
    pub(super) routes: BTreeSet<String>,
    /// What the judge holds against a request.
    pub(super) violations: Vec<String>,
}

struct Inner {
    client: reqwest::Client,
    judge: OnceLock<String>,
    seen: Mutex<Seen>,
}

/// A running hop; it ends with the test's runtime.
pub(super) struct Hop {
    inner: Arc<Inner>,
    address: String,
}

impl Hop {
    pub(super) async fn start() -> Self {
        preview_action::tls::install_provider();
        let inner = Arc::new(Inner {
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
            judge: OnceLock::new(),
            seen: Mutex::default(),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(pass).with_state(Arc::clone(&inner));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { inner, address }
    }

    /// Where it listens.
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// Passes everything on to this address from now on.
    pub(super) fn lead_to(&self, judge: &str) {
        self.inner.judge.get_or_init(|| judge.to_owned());
    }

    /// What was seen so far.
    pub(super) fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.inner.seen.lock().unwrap()
    }
}

async fn pass(
    State(inner): State<Arc<Inner>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let judge = inner.judge.get().unwrap();
    let path = one_segment(uri.path());
    let query = uri
        .query()
        .map(|query| format!("?{query}"))
        .unwrap_or_default();
    let mut request = inner
        .client
        .request(method.clone(), format!("{judge}{path}{query}"))
        .body(body);
    for (name, value) in &headers {
        if !OF_THE_CONNECTION.contains(&name.as_str()) {
            request = request.header(name, value);
        }
    }
    let answer = request.send().await.unwrap();
    note(&inner, &format!("{method} {path}{query}"), answer.headers());
    let mut response = Response::builder().status(answer.status());
    for (name, value) in answer.headers() {
        if !OF_THE_CONNECTION.contains(&name.as_str()) {
            response = response.header(name, value);
        }
    }
    response.body(answer.bytes().await.unwrap().into()).unwrap()
}

/// The path of a file is one parameter in GitHub's description, and no description can say that it has slashes in it.
fn one_segment(path: &str) -> String {
    match path.split_once("/contents/") {
        Some((before, file)) => format!("{before}/contents/{}", file.replace('/', "%2F")),
        None => path.to_owned(),
    }
}

fn note(inner: &Inner, request: &str, headers: &HeaderMap) {
    let mut seen = inner.seen.lock().unwrap();
    seen.requests += 1;
    seen.routes.insert(route(request));
    let said = headers
        .get("sl-violations")
        .and_then(|value| value.to_str().ok());
    let said: Vec<Value> = said.map_or_else(Vec::new, |said| serde_json::from_str(said).unwrap());
    for one in said {
        // What it thinks of our own server's answers is another matter.
        if one["location"][0] == "request" {
            seen.violations.push(format!("{request}: {one}"));
        }
    }
}

/// The method and the path with `*` for what differs from call to call.
fn route(request: &str) -> String {
    let path = request.split('?').next().unwrap_or_default();
    let differs = |word: &str| {
        word.contains('%')
            || word.bytes().all(|byte| byte.is_ascii_digit())
            || (word.len() == 40 && word.bytes().all(|byte| byte.is_ascii_hexdigit()))
    };
    let words = path
        .split('/')
        .map(|word| if differs(word) { "*" } else { word });
    words.collect::<Vec<_>>().join("/")
}
