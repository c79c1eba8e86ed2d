//! Turns the history of the store into the endless answers that watches are.
//! It must not write anything; a watch is a cursor over changes.
//! Its ends are scripted as much as its events, because real watches end in four different ways.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use futures::stream;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use super::Inner;
use super::errors::{self, Refusal};
use super::routes::{Target, selector, shown};
use super::selector::Selector;
use super::state::State;
use super::store::{Change, Did};
use crate::simulate::http::{Reply, Request, WatchFault};

/// How often an idle watch with bookmarks tells where it stands; a real server takes a minute.
const BOOKMARK_EVERY: Duration = Duration::from_secs(1);

struct Watch {
    inner: Arc<Inner>,
    target: Target,
    selector: Selector,
    request: Request,
    cursor: u64,
    queue: VecDeque<Value>,
    changes: watch::Receiver<u64>,
    ends: Option<Instant>,
    bookmarks: bool,
    delivered: usize,
    over: bool,
}

/// Begins a watch.
pub(super) fn start(
    inner: &Arc<Inner>,
    state: &State,
    target: &Target,
    request: &Request,
) -> Result<Reply, Refusal> {
    let selector = selector(request)?;
    let from = request.param("resourceVersion").unwrap_or_default();
    let initial = request.flag("sendInitialEvents");
    let mut queue = VecDeque::new();
    let cursor = match from.parse::<u64>() {
        Ok(version) if version > 0 && !initial => {
            if let Err(oldest) = state.store.reaches_back_to(version) {
                queue.push_back(
                    json!({"type": "ERROR", "object": errors::expired(version, oldest).body}),
                );
            }
            version
        }
        _ => {
            let entries = state.store.of_kind(target.kind, &target.namespace);
            let selected = entries.filter(|(key, entry)| {
                (target.name.is_empty() || key.name == target.name)
                    && selector.selects(&entry.object)
            });
            queue.extend(selected.map(
                |(_, entry)| json!({"type": "ADDED", "object": shown(request, &entry.rendered())}),
            ));
            state.store.version()
        }
    };
    let over = queue.front().is_some_and(|event| event["type"] == "ERROR");
    let seconds = request
        .param("timeoutSeconds")
        .and_then(|seconds| seconds.parse().ok());
    let mut watch = Watch {
        inner: Arc::clone(inner),
        target: target.clone(),
        selector,
        request: request.clone(),
        cursor,
        queue,
        changes: state.store.subscribe(),
        ends: seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds)),
        bookmarks: request.flag("allowWatchBookmarks"),
        delivered: 0,
        over,
    };
    if initial {
        let mut bookmark = watch.bookmark();
        bookmark["object"]["metadata"]["annotations"] =
            json!({"k8s.io/initial-events-end": "true"});
        watch.queue.push_back(bookmark);
    }
    let lines = stream::unfold(watch, |mut watch| async move {
        let line = watch.next().await?;
        Some((line, watch))
    });
    Ok(Reply::text(200, Body::from_stream(lines)).header("content-type", "application/json"))
}

impl Watch {
    /// Returns the next line; none when the watch ends.
    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        loop {
            if let Some(end) = self.spoiled() {
                // What was sent before must arrive before the connection breaks.
                tokio::time::sleep(Duration::from_millis(5)).await;
                return Some(end);
            }
            if matches!(self.request.watch_fault, Some(WatchFault::Silent)) {
                self.queue.clear();
                while self.wait().await {
                    self.queue.clear();
                }
                return None;
            }
            if let Some(event) = self.queue.pop_front() {
                self.delivered += 1;
                return Some(Ok(line(&event)));
            }
            if self.over {
                return None;
            }
            self.collect();
            if self.queue.is_empty() && !self.wait().await {
                return None;
            }
        }
    }

    /// Ends the watch if a fault says so.
    fn spoiled(&mut self) -> Option<io::Result<Bytes>> {
        match self.request.watch_fault? {
            WatchFault::Expires { after } if self.delivered >= after && !self.over => {
                self.over = true;
                self.queue.clear();
                let expired = errors::expired(self.cursor, self.cursor + 1);
                Some(Ok(line(&json!({"type": "ERROR", "object": expired.body}))))
            }
            WatchFault::Cut { after } if self.delivered >= after => {
                Some(Err(io::ErrorKind::ConnectionReset.into()))
            }
            _ => None,
        }
    }

    /// Waits for a change; false when the watch ends. A bookmark may be queued meanwhile.
    async fn wait(&mut self) -> bool {
        let ends = self.ends;
        let end = async {
            match ends {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let stopped = async {
            // An error means that the site is gone, which is a stop as well.
            let _ = self.request.stopped.wait_for(|stopped| *stopped).await;
        };
        tokio::select! {
            changed = self.changes.changed() => return changed.is_ok(),
            () = end => return false,
            () = stopped => return false,
            () = tokio::time::sleep(BOOKMARK_EVERY), if self.bookmarks => {}
        }
        let bookmark = self.bookmark();
        self.queue.push_back(bookmark);
        true
    }

    /// Queues what happened since the cursor.
    fn collect(&mut self) {
        let inner = Arc::clone(&self.inner);
        let state = inner.state();
        if let Err(oldest) = state.store.reaches_back_to(self.cursor) {
            let expired = errors::expired(self.cursor, oldest);
            self.queue
                .push_back(json!({"type": "ERROR", "object": expired.body}));
            self.over = true;
            return;
        }
        let events: Vec<Value> = state
            .store
            .changes_after(self.cursor)
            .filter_map(|change| self.event(change))
            .collect();
        self.queue.extend(events);
        self.cursor = state.store.version();
    }

    /// Turns a change into what this watch shows of it: an object that leaves the selection is deleted to it.
    fn event(&self, change: &Change) -> Option<Value> {
        let key = &change.key;
        let target = &self.target;
        let mine = key.kind == target.kind
            && (target.namespace.is_empty() || key.namespace == target.namespace)
            && (target.name.is_empty() || key.name == target.name);
        if !mine {
            return None;
        }
        let now = change.did != Did::Delete && self.selector.selects(&change.object);
        let before = change
            .before
            .as_deref()
            .is_some_and(|before| self.selector.selects(before));
        let kind = match (before, now) {
            (false, true) => "ADDED",
            (true, true) => "MODIFIED",
            (true, false) => "DELETED",
            (false, false) => return None,
        };
        Some(json!({"type": kind, "object": shown(&self.request, &change.object)}))
    }

    fn bookmark(&self) -> Value {
        let kind = self.target.kind;
        let metadata = json!({"resourceVersion": self.cursor.to_string()});
        json!({"type": "BOOKMARK", "object": {"kind": kind.kind, "apiVersion": kind.api_version(), "metadata": metadata}})
    }
}

fn line(event: &Value) -> Bytes {
    Bytes::from(format!("{event}\n"))
}
