//! Turns the outcome of a run into what people and machines read: comment, job summary, outputs.
//! It asks nobody and reads no clock; the wording stands in `templates/comment/`.
//! Every text that is not ours passes one escape in the template engine itself, so that no template can forget it.

mod approval;
mod aside;
mod budget;
mod check;
mod comment;
mod dashboard;
mod diff;
mod engine;
mod escape;
mod hidden;
mod link;
mod logs;
mod operator;
mod outputs;
mod page;
mod summary;
mod view;
mod words;

pub use aside::{Aside, awaits_gate, gate, stays_gone, with_aside, with_gate, without_asides};
pub use check::{Finding, Verdict, check};
pub use comment::{HelpView, Setting, Typical, comment, expiry, help, with_life};
pub use dashboard::{DashboardView, PreviewRow, QueueRow, dashboard, dashboard_marker};
pub use diff::{answer as diff_answer, diff};
pub use link::Link;
pub use logs::{LogView, LogsView, logs};
pub use operator::{operator, operator_marker};
pub use outputs::{Outcome, outputs};
pub use summary::{Summary, Timing, summary};
pub use view::{
    Aftermath, ApprovalView, AsleepView, AtCap, Coming, HolderView, ImageView, Leaving, Note,
    Reached, Removal, RemovedBecause, Slot, Stalled, StatusView,
};

/// A report cannot be rendered: a bug of ours in a template.
#[derive(Debug, thiserror::Error)]
#[error("template {template} cannot be rendered: {problem}")]
pub struct ReportError {
    /// Name of the template.
    pub template: String,
    /// What is wrong, without any value.
    pub problem: String,
}

#[cfg(test)]
mod tests;
