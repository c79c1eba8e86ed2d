//! What applying and waiting came to, as plain values for the report.
//! No type of `kube` and no I/O stands here.
//! Apart from the edge, so that the report can be tested without one.

use crate::{
    manifests::Origin,
    names::{ObjectId, ReasonCode},
};
use serde_json::Value;
use std::time::Duration;

/// What applying one object came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// Which object.
    pub id: ObjectId,
    /// What happened.
    pub change: Change,
    /// Warnings that the server sent.
    pub warnings: Vec<String>,
    /// Where the object comes from.
    pub origin: Origin,
    /// The object as the server answered it, without data of Secrets and without field owners.
    pub live: Value,
}

impl Applied {
    /// True for what leads visitors to the preview by a host.
    pub fn is_route(&self) -> bool {
        ["Ingress", "HTTPRoute"].contains(&self.id.kind.as_str())
    }
}

/// What happened to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// It did not exist.
    Created,
    /// It was different.
    Changed,
    /// It was as it should be; nothing was written.
    Unchanged,
}

/// How careful pruning has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caution {
    /// Nobody has asked for it: more than half of what was there stays.
    Unasked,
    /// A person has asked for it.
    Asked,
    /// An older set came back: Jobs stay, because what they did once must not be done again.
    Back,
}

impl Caution {
    /// Whether a person has asked for the deploy, or an event.
    pub fn of(asked: bool) -> Self {
        if asked { Self::Asked } else { Self::Unasked }
    }
}

/// What pruning came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Objects that left the configuration and were deleted.
    pub removed: Vec<ObjectId>,
    /// What was kept although it left, or could not be deleted, in sentences.
    pub warnings: Vec<String>,
}

impl Pruned {
    /// Nothing went, because of this; the preview is none the worse, and what stayed is still named in its ApplySet.
    pub fn not(error: super::ClusterError) -> Self {
        Self {
            removed: Vec::new(),
            warnings: vec![format!(
                "what left the configuration could not be removed, which the next deploy tries again: {error}"
            )],
        }
    }
}

/// What deploying would do to one object.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Difference {
    /// Which object.
    pub id: ObjectId,
    /// Where it comes from; none when it is in the configuration no more.
    pub origin: Option<Origin>,
    /// What would become of it.
    #[serde(flatten)]
    pub differs: Differs,
}

/// What would become of an object.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(tag = "change", content = "detail", rename_all = "kebab-case")]
pub enum Differs {
    /// It would be made.
    Added,
    /// These fields would change.
    Changed(Vec<FieldChange>),
    /// It would be deleted and made again, because these fields cannot change.
    Recreated(Vec<String>),
    /// It would be deleted: it left the configuration.
    Removed,
    /// The cluster would refuse it, with this message.
    Refused(String),
    /// It would stay as it is.
    Unchanged,
}

/// One field before and after, as JSON, cut; values of Secrets are hidden.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct FieldChange {
    /// Path.
    pub field: String,
    /// Value that lives; none when there is none.
    pub before: Option<String>,
    /// Value after a deploy.
    pub after: Option<String>,
}

/// How far a workload is, as the comment shows it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct WorkloadStatus {
    /// Which workload.
    pub id: ObjectId,
    /// Ready pods of the new revision, or finished ones of a Job.
    pub ready: u32,
    /// Pods that are wanted.
    pub desired: u32,
    /// State.
    pub readiness: Readiness,
    /// One word or sentence on what it is waiting for; empty when there is nothing to say.
    pub message: String,
}

/// Whether an object is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
pub enum Readiness {
    /// It is ready.
    Ready,
    /// It may become ready.
    InProgress,
    /// It will not become ready by itself.
    Failed,
    /// It is being deleted.
    Terminating,
}

/// How a rollout ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rollout {
    /// Every workload at the end.
    pub workloads: Vec<WorkloadStatus>,
    /// Verdict.
    pub verdict: Verdict,
    /// What is no failure and yet not right, one sentence each.
    pub warnings: Vec<String>,
    /// How long it took.
    pub took: Duration,
}

/// Verdict on a rollout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Everything is ready.
    Ready,
    /// Something failed, with one failure per root cause.
    Failed(Vec<Failure>),
    /// Time ran out; the failures say what was being waited for.
    TimedOut(Vec<Failure>),
    /// The caller asked to stop.
    Stopped,
}

/// One root cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Reason code.
    pub reason: ReasonCode,
    /// Object that failed; none when it is the preview as a whole.
    pub object: Option<ObjectId>,
    /// Where the object comes from.
    pub origin: Option<Origin>,
    /// Cause in one sentence.
    pub cause: String,
    /// Remedy in one sentence.
    pub remedy: String,
    /// Last log lines, events, messages: untrusted text, cut to size.
    pub evidence: Vec<Evidence>,
}

/// A piece of evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// What it is, such as `last log lines of web`.
    pub title: String,
    /// Untrusted text.
    pub text: String,
}

/// What became of the storage behind a claim once its Namespace was gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeEnd {
    /// Claim.
    pub claim: String,
    /// PersistentVolume; none when the claim never had one.
    pub volume: Option<String>,
    /// Its fate.
    pub fate: Fate,
}

/// The fate of a PersistentVolume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is gone; so is a claim's volume that never was.
    Deleted,
    /// It is to be deleted, and its provisioner is at work.
    Leaving,
    /// Its reclaim policy is `Retain`: volume and data stay until somebody deletes them.
    Retained,
    /// Nobody could look: the right to read PersistentVolumes is missing, or the server did not answer.
    NotChecked,
}
