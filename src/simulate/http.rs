//! Turns a function from request to reply into a site that listens on a loopback port, logs every request and honours faults.
//! It must not know GitHub or Kubernetes; the sites decide what a path means.
//! The bytes go over a real socket, because the clients under test bring their own retries, pools and time-outs.

use std::future::{Future, pending};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::connect_info::ConnectInfo;
use axum::extract::{Query, Request as AxumRequest, State};
use axum::response::Response;
use futures::future::BoxFuture;
use http::HeaderMap;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::clock::Clock;
use super::fault::{Action, Fault};
use super::log::{Log, Record};
use super::wire::{Scissors, Wires};

/// The longest body that a site reads; more is cut off by the connection.
const BODY_LIMIT: usize = 32 * 1024 * 1024;

/// How a watch goes wrong.
#[derive(Clone, Copy, Debug)]
pub(super) enum WatchFault {
    Expires { after: usize },
    Cut { after: usize },
    Silent,
}

/// A request, read completely.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) method: String,
    /// The decoded path.
    pub(super) path: String,
    pub(super) query: Vec<(String, String)>,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) watch_fault: Option<WatchFault>,
    /// Turns true when the site stops, so that endless answers end.
    pub(super) stopped: watch::Receiver<bool>,
}

impl Request {
    pub(super) fn param(&self, name: &str) -> Option<&str> {
        let found = self.query.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        matches!(self.param(name), Some("true" | "1"))
    }

    pub(super) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default()
    }

    /// Returns the credential of an `Authorization` header, whatever its scheme.
    pub(super) fn token(&self) -> Option<&str> {
        let (_, token) = self.header("authorization").split_once(' ')?;
        Some(token.trim())
    }

    pub(super) fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }
}

/// An answer.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Body,
    pub(super) unexpected: bool,
}

impl Reply {
    pub(super) fn json(status: u16, body: &Value) -> Self {
        Self::text(status, body.to_string()).header("content-type", "application/json")
    }

    pub(super) fn text(status: u16, body: impl Into<Body>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.into(),
            unexpected: false,
        }
    }

    /// Answers as [`Action::Answer`] says: a JSON string is plain text.
    fn scripted(status: u16, body: &Value) -> Self {
        match body {
            Value::String(text) => Self::text(status, text.clone()),
            other => Self::json(status, other),
        }
    }

    pub(super) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Marks the request as one that no route knows.
    pub(super) fn unexpected(mut self) -> Self {
        self.unexpected = true;
        self
    }

    fn into_response(self, date: &str) -> Response {
        let mut response = Response::builder().status(self.status).header("date", date);
        for (name, value) in &self.headers {
            response = response.header(name, value);
        }
        // A header that a scenario scripted wrongly shows as an empty 500.
        response.body(self.body).unwrap_or_else(|_| {
            let mut broken = Response::new(Body::empty());
            *broken.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
            broken
        })
    }
}

type Answer = Arc<dyn Fn(Request) -> BoxFuture<'static, Reply> + Send + Sync>;

struct Shared {
    name: &'static str,
    answer: Answer,
    log: Log,
    clock: Clock,
    latency: Duration,
    faults: Mutex<Vec<Fault>>,
    stopped: watch::Sender<bool>,
}

/// A listening site; it stops when dropped.
pub(super) struct Site {
    shared: Arc<Shared>,
    address: SocketAddr,
}

impl Site {
    /// Listens on a free loopback port and serves every request by `answer`, each taking at least `latency`.
    pub(super) async fn start<F>(
        name: &'static str,
        log: Log,
        clock: Clock,
        latency: Duration,
        answer: impl Fn(Request) -> F + Send + Sync + 'static,
    ) -> io::Result<Self>
    where
        F: Future<Output = Reply> + Send + 'static,
    {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            name,
            answer: Arc::new(move |request| Box::pin(answer(request))),
            log,
            clock,
            latency,
            faults: Mutex::default(),
            stopped: watch::Sender::new(false),
        });
        let router = Router::new()
            .fallback(serve)
            .with_state(Arc::clone(&shared));
        let service = router.into_make_service_with_connect_info::<Scissors>();
        let mut stopped = shared.stopped.subscribe();
        let server = axum::serve(Wires(listener), service).with_graceful_shutdown(async move {
            // An error means that the site is gone, which is a stop as well.
            let _ = stopped.wait_for(|stopped| *stopped).await;
        });
        tokio::spawn(async move { server.await });
        Ok(Self { shared, address })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn inject(&self, fault: Fault) {
        self.faults().push(fault);
    }

    pub(super) fn clear_faults(&self) {
        self.faults().clear();
    }

    pub(super) fn requests(&self) -> Vec<Record> {
        let mut records = self.shared.log.records();
        records.retain(|record| record.site == self.shared.name);
        records
    }

    /// Requests that no route knows, as `METHOD path`.
    pub(super) fn unexpected(&self) -> Vec<String> {
        let requests = self.requests().into_iter();
        let unknown = requests.filter(|record| record.unexpected);
        unknown
            .map(|record| format!("{} {}", record.method, record.path))
            .collect()
    }

    fn faults(&self) -> std::sync::MutexGuard<'_, Vec<Fault>> {
        self.shared
            .faults
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.shared.stopped.send_replace(true);
    }
}

async fn serve(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(scissors): ConnectInfo<Scissors>,
    request: AxumRequest,
) -> Response {
    let (parts, body) = request.into_parts();
    let started = shared.clock.elapsed();
    let Query(query) = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri).unwrap_or_default();
    let body = to_bytes(body, BODY_LIMIT).await.unwrap_or_default();
    let mut request = Request {
        method: parts.method.to_string(),
        path: percent_decode(parts.uri.path()),
        query,
        headers: parts.headers,
        body,
        watch_fault: None,
        stopped: shared.stopped.subscribe(),
    };
    let method = if request.flag("watch") {
        "WATCH"
    } else {
        parts.method.as_str()
    };
    // Whoever sees the request in the log may take the faults away at once: it has met them by then.
    let met = meet(&shared, method, &request.path);
    let seq = shared.log.begin(Record {
        seq: 0,
        site: shared.name,
        method: method.to_owned(),
        path: request.path.clone(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        body: String::from_utf8_lossy(&request.body).into_owned(),
        status: None,
        started,
        ended: None,
        depth: 0,
        unexpected: false,
    });
    travel(shared.latency).await;
    let reply = match spoil(met, &mut request).await {
        Spoiled::No => (shared.answer)(request).await,
        Spoiled::Answer(reply) => reply,
        Spoiled::AfterServing(reply) => {
            drop((shared.answer)(request).await);
            reply
        }
    };
    travel(shared.latency).await;
    let Some(reply) = reply.uncut() else {
        scissors.cut();
        return Response::new(Body::empty());
    };
    shared
        .log
        .end(seq, reply.status, shared.clock.elapsed(), reply.unexpected);
    reply.into_response(&shared.clock.http_date())
}

/// Waits for one way of a round trip.
async fn travel(latency: Duration) {
    if !latency.is_zero() {
        tokio::time::sleep(latency / 2).await;
    }
}

enum Spoiled {
    No,
    Answer(Reply),
    AfterServing(Reply),
}

/// The status, not to be found in HTTP, of a reply that is never sent.
const CUT: u16 = 0;

impl Reply {
    fn cut() -> Self {
        Self::text(CUT, Body::empty())
    }

    fn uncut(self) -> Option<Self> {
        (self.status != CUT).then_some(self)
    }
}

/// Asks every fault, so that each counts the request.
fn meet(shared: &Shared, method: &str, path: &str) -> Vec<Action> {
    let mut faults = shared.faults.lock().unwrap_or_else(PoisonError::into_inner);
    let consulted = faults.iter_mut();
    consulted
        .filter_map(|fault| fault.consult(method, path))
        .collect()
}

/// Does what the faults say; the first one that decides the answer wins.
async fn spoil(actions: Vec<Action>, request: &mut Request) -> Spoiled {
    for action in actions {
        match action {
            Action::Answer {
                status,
                body,
                headers,
            } => {
                let reply = Reply::scripted(status, &body);
                let with =
                    |reply: Reply, (name, value): &(String, String)| reply.header(name, value);
                return Spoiled::Answer(headers.iter().fold(reply, with));
            }
            Action::WriteThenAnswer { status, body } => {
                return Spoiled::AfterServing(Reply::scripted(status, &body));
            }
            Action::Close => return Spoiled::Answer(Reply::cut()),
            Action::WriteThenClose => return Spoiled::AfterServing(Reply::cut()),
            Action::Delay(by) => tokio::time::sleep(by).await,
            Action::Hold(go) => go.notified().await,
            Action::Hang => pending().await,
            Action::Run(hook) => hook(),
            Action::WatchExpires { after } => {
                request.watch_fault = Some(WatchFault::Expires { after })
            }
            Action::WatchCut { after } => request.watch_fault = Some(WatchFault::Cut { after }),
            Action::WatchSilent => request.watch_fault = Some(WatchFault::Silent),
        }
    }
    Spoiled::No
}

/// Decodes `%41`; what is no valid escape stays as it is.
fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let escape = (byte == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        if let Some(value) = escape.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            decoded.push(value);
            at += 3;
        } else {
            decoded.push(byte);
            at += 1;
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}
