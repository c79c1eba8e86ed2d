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
    /// What is odd about objects that count as ready.
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
