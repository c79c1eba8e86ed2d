//! Turns what a scenario wants of a cluster into values: delays, fates of images, missing rights.
//! It must not act on them; kubelet, controllers and routes ask.
//! Fates hang on image tags, so that a scenario needs no other script than the pushes it makes.

use std::time::Duration;

/// What becomes of a container, told by the tag of its image or scripted by [`script_fate`](super::Handle::script_fate).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Becomes ready.
    Ready,
    /// Ends with code 1 and crash-loops (`crash…`).
    Crash,
    /// Cannot be pulled: not found (`missing…`).
    Missing,
    /// Cannot be pulled: unauthorized (`forbidden…`).
    Forbidden,
    /// Is killed for its memory, with code 137 (`oom…`).
    OutOfMemory,
    /// Becomes ready, but late (`slow…`).
    Slow,
    /// Runs and never becomes ready (`never…`).
    Never,
    /// Ends with code 1; meant for Jobs (`fail…`).
    Fail,
}

impl Fate {
    pub(super) fn of_tag(tag: &str) -> Self {
        let fates = [
            ("crash", Self::Crash),
            ("missing", Self::Missing),
            ("forbidden", Self::Forbidden),
            ("oom", Self::OutOfMemory),
            ("slow", Self::Slow),
            ("never", Self::Never),
            ("fail", Self::Fail),
        ];
        let found = fates.iter().find(|(word, _)| tag.starts_with(word));
        found.map_or(Self::Ready, |(_, fate)| *fate)
    }

    pub(super) fn exit_code(self) -> u8 {
        match self {
            Self::Crash | Self::Fail => 1,
            Self::OutOfMemory => 137,
            _ => 0,
        }
    }
}

/// How long each step of the cluster takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delays {
    /// From a change to the moment a controller sees it.
    pub observe: Duration,
    /// From a pod's creation to its place on the node.
    pub schedule: Duration,
    /// A pull, successful or not.
    pub pull: Duration,
    /// From a container's start to readiness.
    pub ready: Duration,
    /// The same for images tagged `slow`.
    pub slow: Duration,
    /// How long a container runs that ends, be it a Job or a crash.
    pub run: Duration,
    /// From a pod's deletion to its end.
    pub stop: Duration,
    /// Between attempts to start a container that crashes or cannot be pulled.
    pub back_off: Duration,
    /// Between attempts to create or place a pod that was refused.
    pub retry: Duration,
    /// From an Ingress to its address.
    pub address: Duration,
    /// From the deletion of a Namespace to its end.
    pub namespace: Duration,
}

impl Default for Delays {
    /// Milliseconds: for tests.
    fn default() -> Self {
        let ms = Duration::from_millis;
        Self {
            observe: ms(3),
            schedule: ms(1),
            pull: ms(3),
            ready: ms(3),
            slow: ms(250),
            run: ms(4),
            stop: ms(2),
            back_off: ms(12),
            retry: ms(15),
            address: ms(4),
            namespace: ms(10),
        }
    }
}

impl Delays {
    /// Returns delays that a person can watch: a rollout takes about two seconds.
    pub fn watchable() -> Self {
        let ms = Duration::from_millis;
        Self {
            observe: ms(80),
            schedule: ms(100),
            pull: ms(600),
            ready: ms(500),
            slow: ms(3000),
            run: ms(300),
            stop: ms(200),
            back_off: ms(350),
            retry: ms(400),
            address: ms(200),
            namespace: ms(700),
        }
    }
}

/// How a simulated cluster starts.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long each step takes.
    pub delays: Delays,
    /// The time that every request takes at least; give it some where round trips are counted.
    pub latency: Duration,
    /// The user behind the token, as refusals name it.
    pub user: String,
    /// The bearer token that is accepted.
    pub token: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            delays: Delays::default(),
            latency: Duration::ZERO,
            user: "system:serviceaccount:preview-system:preview-action".to_owned(),
            token: "simulated-cluster-token".to_owned(),
        }
    }
}

/// A verb on a resource that RBAC does not grant; `*` stands for any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    verb: String,
    resource: String,
    namespace: String,
}

impl Denial {
    /// Denies a verb (`get`, `list`, `watch`, `create`, `update`, `patch`, `delete`) on a resource (`pods`, `pods/log`).
    pub fn new(verb: &str, resource: &str) -> Self {
        let (verb, resource, namespace) = (verb.to_owned(), resource.to_owned(), "*".to_owned());
        Self {
            verb,
            resource,
            namespace,
        }
    }

    /// Denies it in one namespace only.
    pub fn in_namespace(mut self, namespace: &str) -> Self {
        namespace.clone_into(&mut self.namespace);
        self
    }

    pub(super) fn covers(&self, verb: &str, resource: &str, namespace: &str) -> bool {
        let fits = |rule: &str, given: &str| rule == "*" || rule == given;
        fits(&self.verb, verb) && fits(&self.resource, resource) && fits(&self.namespace, namespace)
    }
}
