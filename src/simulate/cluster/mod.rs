//! Turns nothing into a running Kubernetes API server on a loopback port, with controllers, one node and an ingress.
//! It must not know previews: it would simulate any deploy tool's cluster the same way.
//! It exists because the product's promises (the cap, the gate, the truthful comment) hang on API behaviour that mocks do not have.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::sync::Notify;

pub use self::options::{Delays, Denial, Fate, Options};
use self::state::State;
use self::store::Key;
use super::clock::Clock;
use super::fault::Fault;
use super::http::Site;
use super::log::{Log, Record};

mod apply;
mod checks;
mod containers;
mod defaults;
mod deletions;
mod deployments;
mod errors;
mod fields;
mod garbage;
mod ingress;
mod jobs;
mod kinds;
mod namespaces;
mod network;
mod options;
mod pods;
mod quota;
mod replicas;
mod reviews;
mod rollouts;
mod routes;
mod schema;
mod selector;
mod spelling;
mod state;
mod statefulsets;
mod store;
#[cfg(test)]
mod tests;
mod validate;
mod volumes;
mod watches;
mod writes;

struct Inner {
    state: Mutex<State>,
    wake: Notify,
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running simulated cluster; it stops when dropped.
pub struct Handle {
    inner: Arc<Inner>,
    api: Site,
    ingress: Site,
    controllers: tokio::task::JoinHandle<()>,
    token: String,
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "simulated cluster at {}", self.url())
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.controllers.abort();
    }
}

impl Handle {
    pub(super) async fn start(options: Options, clock: Clock, log: Log) -> io::Result<Self> {
        let token = options.token.clone();
        let state = State::new(clock.clone(), options.delays, options.user, options.token);
        let inner = Arc::new(Inner {
            state: Mutex::new(state),
            wake: Notify::new(),
        });
        let served = Arc::clone(&inner);
        let latency = options.latency;
        let api = Site::start(
            "cluster",
            log.clone(),
            clock.clone(),
            latency,
            move |request| routes::answer(Arc::clone(&served), request),
        );
        let routed = Arc::clone(&inner);
        let ingress = Site::start("ingress", log, clock.clone(), latency, move |request| {
            ingress::answer(Arc::clone(&routed), request)
        });
        let (api, ingress) = (api.await?, ingress.await?);
        let controllers = tokio::spawn(control(Arc::clone(&inner), clock));
        Ok(Self {
            inner,
            api,
            ingress,
            controllers,
            token,
        })
    }

    /// Returns the address of the API server, `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.api.address())
    }

    /// Returns the address of the ingress, which answers by `Host` header.
    pub fn ingress_address(&self) -> SocketAddr {
        self.ingress.address()
    }

    /// Returns a kubeconfig with a token user.
    pub fn kubeconfig(&self) -> String {
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: simulated\nclusters:\n- name: simulated\n  cluster:\n    \
             server: {}\ncontexts:\n- name: simulated\n  context:\n    cluster: simulated\n    user: deployer\nusers:\n\
             - name: deployer\n  user:\n    token: {}\n",
            self.url(),
            self.token
        )
    }

    /// Returns the requests to the API server so far.
    pub fn requests(&self) -> Vec<Record> {
        self.api.requests()
    }

    /// Returns the requests to the ingress so far.
    pub fn ingress_requests(&self) -> Vec<Record> {
        self.ingress.requests()
    }

    /// Returns the requests that no route knows, as `METHOD path`.
    pub fn unexpected(&self) -> Vec<String> {
        self.api.unexpected()
    }

    /// Arms a fault of the API server.
    pub fn inject(&self, fault: Fault) {
        self.api.inject(fault);
    }

    /// Arms a fault of the ingress.
    pub fn inject_ingress(&self, fault: Fault) {
        self.ingress.inject(fault);
    }

    /// Disarms all faults.
    pub fn clear_faults(&self) {
        self.api.clear_faults();
        self.ingress.clear_faults();
    }

    /// Returns all objects as `Kind namespace/name`, each as clients see it.
    pub fn snapshot(&self) -> BTreeMap<String, Value> {
        let state = self.inner.state();
        let named = |key: &Key| format!("{} {}/{}", key.kind.kind, key.namespace, key.name);
        state
            .store
            .entries()
            .map(|(key, entry)| (named(key), (*entry.rendered()).clone()))
            .collect()
    }

    /// Returns an object; the namespace of a Namespace is empty.
    pub fn object(&self, kind: &str, namespace: &str, name: &str) -> Option<Value> {
        self.inner
            .state()
            .store
            .object(kind, namespace, name)
            .cloned()
    }

    /// Returns all objects of a kind in a namespace; an empty namespace means all.
    pub fn objects(&self, kind: &str, namespace: &str) -> Vec<Value> {
        self.inner.state().store.all(kind, namespace)
    }

    /// Creates an object as somebody else would, or replaces it, past all permissions.
    ///
    /// The error is the sentence of the refusal.
    pub fn put(&self, object: &Value) -> Result<Value, String> {
        self.put_as("kubectl", object)
    }

    /// The same in the name of a field manager.
    pub fn put_as(&self, manager: &str, object: &Value) -> Result<Value, String> {
        let written = {
            let mut state = self.inner.state();
            let kind = kinds::Kind::of_name(state::text(&object["kind"]))
                .ok_or("this kind is not simulated")?;
            let metadata = &object["metadata"];
            let key = Key::new(
                kind,
                state::text(&metadata["namespace"]),
                state::text(&metadata["name"]),
            );
            let options = writes::Options {
                manager: manager.to_owned(),
                ..writes::Options::default()
            };
            if state.store.get(&key).is_some() {
                state.replace(&key, object, &options)
            } else {
                state.create(key, object.clone(), &options)
            }
        };
        self.wake();
        written
            .map(|written| written.object)
            .map_err(|refusal| refusal.message().to_owned())
    }

    /// Deletes an object as somebody else would; false if there is none.
    pub fn delete(&self, kind: &str, namespace: &str, name: &str) -> bool {
        let deleted = kinds::Kind::of_name(kind).is_some_and(|kind| {
            let key = Key::new(kind, namespace, name);
            let mut state = self.inner.state();
            let found = state.store.get(&key).is_some();
            state.begin_deletion(&key, "Background", None);
            found
        });
        self.wake();
        deleted
    }

    /// Scripts the fate of every image whose reference contains `part`; the newest script counts.
    ///
    /// Containers that run keep their fate until they start again.
    pub fn script_fate(&self, part: &str, fate: Fate) {
        self.inner.state().fates.push((part.to_owned(), fate));
        self.wake();
    }

    /// Scripts the log of every image whose reference contains `part`; the newest script counts.
    pub fn script_log(&self, part: &str, log: &str) {
        self.inner
            .state()
            .logs
            .push((part.to_owned(), log.to_owned()));
    }

    /// Takes a right away from the user of the token.
    pub fn deny(&self, denial: Denial) {
        self.inner.state().denials.push(denial);
    }

    /// Gives all rights back.
    pub fn allow_all(&self) {
        self.inner.state().denials.clear();
    }

    /// Takes the shipped admission policy away.
    pub fn lift_policy(&self) {
        self.inner.state().policy = false;
    }

    /// Forgets the history, so that watches from older versions get 410.
    pub fn compact(&self) {
        self.inner.state().store.compact();
    }

    /// Stops all controllers where they are; the API goes on answering.
    pub fn hold(&self) {
        self.inner.state().held = true;
    }

    /// Lets the controllers go on.
    pub fn release(&self) {
        self.inner.state().held = false;
        self.wake();
    }

    /// Changes the delays from now on.
    pub fn set_delays(&self, delays: Delays) {
        self.inner.state().delays = delays;
        self.wake();
    }

    /// Waits until the objects satisfy a condition, which is asked after every change.
    pub async fn wait_until(&self, condition: impl Fn(&Self) -> bool) {
        let mut changes = self.inner.state().store.subscribe();
        while !condition(self) {
            // The store lives in `self`, so the channel cannot close meanwhile.
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    pub(super) fn wake(&self) {
        self.inner.wake.notify_one();
    }
}

/// Runs the controllers: after every write, and when one of them asked for it.
async fn control(inner: Arc<Inner>, clock: Clock) {
    loop {
        let due = inner.state().reconcile();
        let next = due.map(|due| clock.instant_of(due));
        let sleep = async {
            match next {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = sleep => {}
            () = inner.wake.notified() => {}
        }
    }
}
