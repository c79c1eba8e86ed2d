//! Turns lists and watches into one stream of what is there now, whatever happens to connections in between.
//! It must not judge what it sees; readiness and removal both stand on it.
//! kube's own watcher is not used: it hides the status that ends a watch for good, repeats a refused list for ever, and
//! trusts a proxy that holds events back.

use super::{
    Cluster,
    answer::Class,
    call::{Call, Selector},
    error::ClusterError,
    kinds::Kind,
    request::note,
};
use crate::names::Namespace;
use futures::TryStreamExt;
use kube::core::WatchEvent;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    pin::pin,
    time::{Duration, Instant},
};
use tokio::{
    sync::mpsc::{self, Sender},
    task::AbortHandle,
};

/// The server ends a watch after this time.
const WATCH_SECONDS: u32 = 30;
/// A watch that is silent for so long is held against a list: a proxy may keep its events, or the connection be dead.
const SILENCE: Duration = Duration::from_secs(10);
/// How often is listed where watching is denied or shows nothing.
const POLL: Duration = Duration::from_secs(2);
/// The least of both in a world that plays faster than life.
const SHORTEST: Duration = Duration::from_millis(400);
/// Pause after a watch that ended at once, or that could not be begun.
const PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// After so many watches in a row that showed nothing a list shows what they may have missed.
const FRUITLESS: usize = 2;

/// What is seen of one kind.
#[derive(Debug)]
pub(super) enum Seen {
    /// Everything of the kind, replacing what was seen before.
    All(&'static Kind, Vec<Value>),
    /// One object as it is now.
    Now(&'static Kind, Value),
    /// One object that is there no more, as it was last.
    Gone(&'static Kind, Value),
    /// Nothing more will be seen, and why.
    Blind(&'static Kind, ClusterError),
}

/// A stream of [`Seen`]; dropping it ends its requests.
pub(super) struct Follow {
    sender: Sender<Seen>,
    receiver: mpsc::Receiver<Seen>,
    tasks: Vec<AbortHandle>,
}

impl Drop for Follow {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Follow {
    pub(super) fn new() -> Self {
        let (sender, receiver) = mpsc::channel(64);
        Self {
            sender,
            receiver,
            tasks: Vec::new(),
        }
    }

    /// Begins to follow a kind, in one Namespace or in all.
    pub(super) fn add(
        &mut self,
        cluster: &Cluster,
        kind: &'static Kind,
        namespace: Option<&Namespace>,
        selector: Selector,
    ) {
        let follower = Follower {
            cluster: cluster.clone(),
            kind,
            namespace: namespace.cloned(),
            selector,
            sender: self.sender.clone(),
        };
        let task = tokio::spawn(follower.run());
        self.tasks.push(task.abort_handle());
    }

    /// Something that was seen already, if there is any left.
    pub(super) fn next_now(&mut self) -> Option<Seen> {
        self.receiver.try_recv().ok()
    }

    /// The next thing seen; pending for ever when nothing is followed.
    ///
    /// Safe to drop and call again.
    pub(super) async fn next(&mut self) -> Seen {
        match self.receiver.recv().await {
            Some(seen) => seen,
            // Never ends: this value holds a sender itself.
            None => std::future::pending().await,
        }
    }
}

struct Follower {
    cluster: Cluster,
    kind: &'static Kind,
    namespace: Option<Namespace>,
    selector: Selector,
    sender: Sender<Seen>,
}

/// Why a watch ended.
enum End {
    /// The position is too old: list again.
    Expired,
    /// Nothing came for a while: a list tells whether that is true.
    Silent,
    /// Watching is not allowed, listing may be.
    Denied,
    /// The server's time was up or the connection broke: go on from the position.
    Cut { progress: bool },
    /// Nobody listens any more.
    Unheard,
}

/// What was seen so far.
#[derive(Default)]
struct View {
    position: String,
    /// Version of each object, by UID.
    known: BTreeMap<String, String>,
    /// True once a watch has shown something since the last list.
    alive: bool,
}

impl View {
    fn note(&mut self, object: &Value) {
        let metadata = &object["metadata"];
        if let (Some(uid), Some(version)) = (
            metadata["uid"].as_str(),
            metadata["resourceVersion"].as_str(),
        ) {
            self.known.insert(uid.to_owned(), version.to_owned());
        }
    }

    fn forget(&mut self, object: &Value) {
        self.known
            .remove(object["metadata"]["uid"].as_str().unwrap_or_default());
    }
}

impl Follower {
    async fn run(self) {
        if let Err(error) = self.follow().await {
            tracing::debug!(kind = self.kind.kind, %error, "no more to be seen");
            // An unheard last word is no loss.
            let _ = self.sender.send(Seen::Blind(self.kind, error)).await;
        }
    }

    async fn follow(&self) -> Result<(), ClusterError> {
        let mut view = View::default();
        let poll = self.cluster.hurried(POLL, SHORTEST);
        let usual = self.cluster.hurried(SILENCE, SHORTEST);
        let mut patience = usual;
        let (mut silent, mut told) = (false, false);
        loop {
            let Some(news) = self.list(&mut view).await? else {
                return Ok(());
            };
            if silent && news && patience != poll {
                tracing::warn!(
                    kind = self.kind.kind,
                    "watches show nothing; listing instead"
                );
                patience = poll;
            }
            let end = self.watch_on(&mut view, patience).await?;
            if view.alive {
                patience = usual;
            }
            silent = matches!(end, End::Silent);
            match end {
                End::Unheard => return Ok(()),
                End::Denied => {
                    if !std::mem::replace(&mut told, true) {
                        tracing::warn!(
                            kind = self.kind.kind,
                            "watching is denied; listing instead"
                        );
                    }
                    tokio::time::sleep(poll).await;
                }
                End::Expired | End::Silent | End::Cut { .. } => {}
            }
        }
    }

    /// Watches, as often as it takes, until a list is needed.
    async fn watch_on(&self, view: &mut View, patience: Duration) -> Result<End, ClusterError> {
        view.alive = false;
        let (mut pause, mut fruitless) = (PAUSE, 0);
        loop {
            let end = match self.watch(view, patience).await {
                Ok(end) => end,
                Err(error) if matches!(error.class(), Some(Class::Forbidden(_))) => End::Denied,
                Err(error) => self.judge(error)?,
            };
            match end {
                End::Cut { progress: true } => (pause, fruitless) = (PAUSE, 0),
                End::Cut { progress: false } => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                    fruitless += 1;
                    if fruitless >= FRUITLESS {
                        return Ok(end);
                    }
                }
                other => return Ok(other),
            }
        }
    }

    /// Lists everything, for as long as it takes unless the answer is final; true when that was news, none when nobody listens.
    async fn list(&self, view: &mut View) -> Result<Option<bool>, ClusterError> {
        let call = || Call::list(self.kind, self.namespace.as_ref(), &self.selector);
        let mut pause = PAUSE;
        let answer = loop {
            match self.cluster.send(call()?).await {
                Ok(answer) => break answer,
                Err(error) => {
                    self.judge(error)?;
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        };
        let mut list = answer.body;
        view.position = list["metadata"]["resourceVersion"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let before = std::mem::take(&mut view.known);
        let mut items = match list["items"].take() {
            Value::Array(items) => items,
            _ => Vec::new(),
        };
        // Items of a list do not say their own kind.
        for item in &mut items {
            item["kind"] = self.kind.kind.into();
            item["apiVersion"] = list["apiVersion"].clone();
            view.note(item);
        }
        let news = view.known != before;
        let heard = self.sender.send(Seen::All(self.kind, items)).await.is_ok();
        Ok(heard.then_some(news))
    }

    async fn watch(&self, view: &mut View, patience: Duration) -> Result<End, ClusterError> {
        let (kind, namespace) = (self.kind, self.namespace.as_ref());
        let call = Call::watch(
            kind,
            namespace,
            &self.selector,
            &view.position,
            WATCH_SECONDS,
        )?;
        let attempt = call.attempt.clone();
        let translate = |error: kube::Error| match error {
            kube::Error::Api(status) => ClusterError::Refused {
                attempt: attempt.clone(),
                refusal: Box::new(super::answer::Refusal::read(
                    status.code,
                    &serde_json::to_vec(&*status).unwrap_or_default(),
                )),
            },
            other => self.cluster.unreachable(&other),
        };
        let (path, started) = (call.request.uri().path().to_owned(), Instant::now());
        let begin = self.cluster.client.request_events::<Value>(call.request);
        let begun = tokio::time::timeout(patience, begin).await;
        let status = match &begun {
            Ok(Ok(_)) => 200,
            Ok(Err(kube::Error::Api(status))) => status.code,
            Ok(Err(_)) | Err(_) => 0,
        };
        note("watch", "WATCH", &path, status, started);
        let events = match begun {
            Ok(events) => events.map_err(&translate)?,
            Err(_) => return Ok(End::Silent),
        };
        let mut events = pin!(events);
        let mut progress = false;
        loop {
            let event = match tokio::time::timeout(patience, events.try_next()).await {
                Ok(Ok(Some(event))) => event,
                Ok(Ok(None)) => return Ok(End::Cut { progress }),
                Err(_) => return Ok(End::Silent),
                Ok(Err(error)) => return Err(translate(error)),
            };
            (progress, view.alive) = (true, true);
            let seen = match event {
                WatchEvent::Bookmark(mark) => {
                    view.position = mark.metadata.resource_version;
                    continue;
                }
                WatchEvent::Error(status) => return Err(translate(kube::Error::Api(status))),
                WatchEvent::Added(object) | WatchEvent::Modified(object) => Seen::Now(kind, object),
                WatchEvent::Deleted(object) => Seen::Gone(kind, object),
            };
            match &seen {
                Seen::Now(_, object) => view.note(object),
                Seen::Gone(_, object) => view.forget(object),
                Seen::All(..) | Seen::Blind(..) => {}
            }
            if let Seen::Now(_, object) | Seen::Gone(_, object) = &seen
                && let Some(version) = object["metadata"]["resourceVersion"].as_str()
            {
                view.position = version.to_owned();
            }
            if self.sender.send(seen).await.is_err() {
                return Ok(End::Unheard);
            }
        }
    }

    /// Tells passing errors from final ones.
    fn judge(&self, error: ClusterError) -> Result<End, ClusterError> {
        match error.class() {
            Some(Class::Expired) => Ok(End::Expired),
            Some(
                Class::Unauthorized
                | Class::Forbidden(_)
                | Class::NotFound
                | Class::NamespaceMissing
                | Class::KindUnknown
                | Class::BadManifest,
            ) => Err(error),
            _ => {
                tracing::debug!(kind = self.kind.kind, %error, "watch interrupted");
                Ok(End::Cut { progress: false })
            }
        }
    }
}
