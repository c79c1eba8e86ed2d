//! How a Kubernetes object and a preview are told apart from all others.
//! Only identity stands here, no content and no state.
//! Manifests, cluster and report speak of the same object by the same value.

use super::{Environment, Label, PrNumber, RepoId};
use std::fmt;

/// One Kubernetes object of a preview; its namespace is the preview's.
#[derive(
    Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub struct ObjectId {
    /// API group; empty for the core group.
    pub group: String,
    /// API version, such as `v1`.
    pub version: String,
    /// Kind, such as `Deployment`.
    pub kind: String,
    /// Object name.
    pub name: String,
}

impl ObjectId {
    /// `group/version`, or `version` for the core group: what a manifest calls `apiVersion`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.clone()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}

/// One preview among all: repository, environment, pull request, variant.
#[derive(
    Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub struct PreviewKey {
    /// Repository.
    pub repository: RepoId,
    /// Environment.
    pub environment: Environment,
    /// Pull request.
    pub pr: PrNumber,
    /// Variant; none for the one preview that a pull request has by default.
    pub variant: Option<Label>,
}

impl PreviewKey {
    /// The preview behind a key of a ledger; none when no preview has such a key.
    pub fn from_ledger(repository: RepoId, environment: &Environment, key: &str) -> Option<Self> {
        let (pr, variant) = match key.split_once('-') {
            Some((pr, variant)) => (pr, Some(variant.parse().ok()?)),
            None => (key, None),
        };
        Some(Self {
            repository,
            environment: environment.clone(),
            pr: pr.parse().ok()?,
            variant,
        })
    }

    /// The key inside the ledger of its repository and environment: `12`, or `12-a` for variant `a`.
    pub fn in_ledger(&self) -> String {
        match &self.variant {
            None => self.pr.to_string(),
            Some(variant) => format!("{}-{variant}", self.pr),
        }
    }
}
