//! Turns raw strings and numbers into the names that the whole crate speaks of: repository, pull request, commit, namespace, host.
//! It knows no stage, no outside world and no clock.
//! A value that exists is valid, so that no later stage has to check it again.

mod access;
mod confidential;
mod dns;
mod guard;
mod marker;
mod object;
mod plural;
pub mod quantity;
mod reason;
mod retry_after;
mod secret;
mod skew;
mod vcs;
mod visible;

pub use access::AccessLevel;
pub use confidential::{is_confidential, is_place};
pub use dns::{Environment, Host, Label, Namespace, is_object_name};
pub use guard::may_be_asked;
pub use marker::{Marker, MarkerKind};
pub use object::{ObjectId, PreviewKey};
pub use plural::plural;
pub use reason::{ReasonCode, State};
pub use retry_after::retry_after;
pub use secret::{Redactor, Secret, cut};
pub use skew::Skew;
pub use vcs::{CommitSha, PrNumber, RepoId, RepoName};
pub use visible::visible;

/// Says why a string is not the name that it was meant to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {value:?} {problem}")]
pub struct NameError {
    /// What the value was meant to be, such as `namespace`.
    pub what: &'static str,
    /// The value as it was written, cut to 80 characters.
    pub value: String,
    /// What is wrong with it and what is allowed.
    pub problem: &'static str,
}

impl NameError {
    fn new(what: &'static str, value: &str, problem: &'static str) -> Self {
        Self {
            what,
            value: cut(value, 80),
            problem,
        }
    }
}

/// Serializes a name as its text and reads it back through its own check.
macro_rules! text_serde {
    ($type:ty) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text =
                    <std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
use text_serde;
