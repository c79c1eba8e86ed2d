//! The one module that knows `kube`: applies objects, waits for them, keeps the ledger, removes Namespaces.
//! It knows no GitHub and decides nothing that `capacity` or `plan` can decide.
//! Errors of `kube` are translated here and go no further, because their texts repeat themselves and may hold secrets.

pub mod answer;
pub mod hosts;
pub mod kinds;
pub mod outcome;
pub mod readiness;

mod apply;
mod call;
mod connect;
#[cfg(test)]
mod conversations;
mod diagnose;
mod error;
mod failures;
mod follow;
mod inventory;
mod kubeconfig;
mod ledger;
mod namespaces;
mod refused;
mod request;
mod retry;
mod secrets;
mod selectors;
mod track;
mod wait;
mod words;

pub use apply::{ApplyError, Existing, ObjectError};
pub use connect::{ConnectOptions, Proxy};
pub use error::{Attempt, ClusterError};
pub use kubeconfig::Files;
pub use ledger::{Moment, Step};
pub use namespaces::{Created, Deleted, Gone, NamespaceInfo, Reapplied};
pub use retry::RetryPolicy;
pub use secrets::SecretRef;

/// The owner of every field that we set. One name for good: fields of another name would never be removed.
pub const FIELD_MANAGER: &str = "preview-action";

/// A cluster that requests can be sent to; cheap to clone.
#[derive(Clone)]
pub struct Cluster {
    client: kube::Client,
    server: String,
    retry: RetryPolicy,
    /// The ledger as this handle read or wrote it last.
    seen: std::sync::Arc<std::sync::Mutex<Option<(crate::capacity::LedgerName, ledger::Read)>>>,
    haste: u32,
}

impl Cluster {
    /// Address of the API server, for people.
    pub fn server(&self) -> &str {
        &self.server
    }
}
