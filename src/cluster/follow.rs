//! Turns a list and a watch into one stream of what is there now, whatever happens to connections in between.
//! It must not judge what it sees; readiness and removal both stand on it.
//! kube's own watcher is not used: it hides the status that ends a watch for good, and repeats a refused list for ever.

use super::{
    Cluster,
    answer::Class,
    call::{Call, Selector},
    error::ClusterError,
    kinds::Kind,
};
use crate::names::Namespace;
use futures::TryStreamExt;
use kube::core::WatchEvent;
use serde_json::Value;
use std::{pin::pin, time::Duration};
use tokio::{
    sync::mpsc::{self, Sender},
    task::AbortHandle,
};

/// The server ends a watch after this time, so that a connection that died in silence is noticed soon after.
const WATCH_SECONDS: u32 = 30;
const SILENCE: Duration = Duration::from_secs(WATCH_SECONDS as u64 + 5);
/// Pause after a watch that ended at once, or that could not be begun.
const PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

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
    /// The server's time was up or the connection broke: go on from the position.
    Cut { progress: bool },
    /// Nobody listens any more.
    Unheard,
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
        loop {
            let Some(mut position) = self.list().await? else {
                return Ok(());
            };
            let mut pause = PAUSE;
            loop {
                let end = match self.watch(&mut position).await {
                    Ok(end) => end,
                    Err(error) => self.judge(error)?,
                };
                match end {
                    End::Expired => break,
                    End::Unheard => return Ok(()),
                    End::Cut { progress: true } => pause = PAUSE,
                    End::Cut { progress: false } => {
                        tokio::time::sleep(pause).await;
                        pause = (pause * 2).min(LONGEST_PAUSE);
                    }
                }
            }
        }
    }

    /// Lists everything, for as long as it takes unless the answer is final.
    async fn list(&self) -> Result<Option<String>, ClusterError> {
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
        let position = list["metadata"]["resourceVersion"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let mut items = match list["items"].take() {
            Value::Array(items) => items,
            _ => Vec::new(),
        };
        // Items of a list do not say their own kind.
        for item in &mut items {
            item["kind"] = self.kind.kind.into();
            item["apiVersion"] = list["apiVersion"].clone();
        }
        let heard = self.sender.send(Seen::All(self.kind, items)).await.is_ok();
        Ok(heard.then_some(position))
    }

    async fn watch(&self, position: &mut String) -> Result<End, ClusterError> {
        let (kind, namespace) = (self.kind, self.namespace.as_ref());
        let call = Call::watch(kind, namespace, &self.selector, position, WATCH_SECONDS)?;
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
        let begin = self.cluster.client.request_events::<Value>(call.request);
        let events = match tokio::time::timeout(self.cluster.retry.try_timeout, begin).await {
            Ok(events) => events.map_err(&translate)?,
            Err(_) => return Ok(End::Cut { progress: false }),
        };
        tracing::debug!(kind = kind.kind, position, "watch begun");
        let mut events = pin!(events);
        let mut progress = false;
        loop {
            let event = match tokio::time::timeout(SILENCE, events.try_next()).await {
                Ok(Ok(Some(event))) => event,
                Ok(Ok(None)) | Err(_) => return Ok(End::Cut { progress }),
                Ok(Err(error)) => return Err(translate(error)),
            };
            progress = true;
            let seen = match event {
                WatchEvent::Bookmark(mark) => {
                    *position = mark.metadata.resource_version;
                    continue;
                }
                WatchEvent::Error(status) => return Err(translate(kube::Error::Api(status))),
                WatchEvent::Added(object) | WatchEvent::Modified(object) => Seen::Now(kind, object),
                WatchEvent::Deleted(object) => Seen::Gone(kind, object),
            };
            if let Seen::Now(_, object) | Seen::Gone(_, object) = &seen
                && let Some(version) = object["metadata"]["resourceVersion"].as_str()
            {
                *position = version.to_owned();
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
