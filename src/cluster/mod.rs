//! The one module that knows `kube`: applies objects, waits for them, keeps the ledger, removes Namespaces.
//! It knows no GitHub and decides nothing that `capacity` or `plan` can decide.
//! Errors of `kube` are translated here and go no further, because their texts repeat themselves and may hold secrets.

pub mod answer;
pub mod hosts;
pub mod kinds;
pub mod outcome;
pub mod readiness;

mod apply;
mod applyset;
mod call;
mod connect;
#[cfg(test)]
mod conversations;
mod diagnose;
mod diff;
mod error;
mod existing;
mod failures;
mod follow;
mod gateways;
mod hooks;
mod inventory;
mod kubeconfig;
mod last_failure;
mod last_good;
mod ledger;
mod logs;
mod namespaces;
mod obstacles;
mod overlap;
mod packed;
mod prune;
mod records;
mod recreate;
mod refused;
#[cfg(test)]
mod repeats;
mod request;
mod retry;
mod rights;
mod room;
mod secrets;
mod selectors;
mod sleep;
mod track;
mod transport;
mod usage;
mod wait;
mod words;

pub use apply::{ApplyError, ObjectError};
pub use connect::{ConnectOptions, Proxy};
pub use error::{Attempt, ClusterError};
pub use existing::Existing;
pub use gateways::Arrival;
pub use inventory::Contents;
pub use kubeconfig::Files;
pub use last_failure::{Cause, LAST_FAILURE, LastFailure};
pub use last_good::{Generations, LAST_GOOD, LastGood, Running, digest};
pub use ledger::{Moment, Step};
pub use logs::{Tail, Tails, Wanted};
pub use namespaces::{Created, Deleted, Gone, NamespaceInfo, Reapplied};
pub use obstacles::{Obstacle, Obstacles};
pub use retry::RetryPolicy;
pub use rights::Missing;
pub use secrets::SecretRef;
pub use usage::NamespaceUsage;

/// The owner of every field that we set. One name for good: fields of another name would never be removed.
pub const FIELD_MANAGER: &str = "preview-action";

/// The least that is waited for anything in a world that plays faster than life.
const SHORTEST_PATIENCE: std::time::Duration = std::time::Duration::from_secs(2);

/// A cluster that requests can be sent to; cheap to clone.
#[derive(Clone)]
pub struct Cluster {
    client: kube::Client,
    server: String,
    retry: RetryPolicy,
    /// The ledger as this handle read or wrote it last.
    seen: std::sync::Arc<std::sync::Mutex<Option<(crate::capacity::LedgerName, ledger::Read)>>>,
    clock: crate::names::Skew,
    haste: u32,
}

impl Cluster {
    /// Address of the API server, for people.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// The server's time, by which all runs go; none until it has answered.
    pub fn time(&self) -> Option<jiff::Timestamp> {
        self.clock.at(jiff::Timestamp::now())
    }

    fn now(&self) -> jiff::Timestamp {
        self.time().unwrap_or_else(jiff::Timestamp::now)
    }

    /// A time as long as this world plays it: shorter where it plays faster than life, but never so short that load decides.
    pub fn patience(&self, time: std::time::Duration) -> std::time::Duration {
        self.hurried(time, SHORTEST_PATIENCE)
    }

    fn hurried(
        &self,
        time: std::time::Duration,
        least: std::time::Duration,
    ) -> std::time::Duration {
        match self.haste {
            0 | 1 => time,
            haste => (time / haste).max(least),
        }
    }
}
