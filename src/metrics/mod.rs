//! Turns the records that runs leave behind into figures: how often deploys succeed, and how long everything takes.
//! It reads no cluster and no clock; records and what is live now are arguments.
//! Figures are those of a window, because the store is bounded: they say how it goes, they are no account of all time.

mod openmetrics;

use crate::names::{CommitSha, Namespace, PrNumber, ReasonCode, State};
use jiff::Timestamp;
use std::collections::BTreeMap;

pub use openmetrics::openmetrics;

/// What one run leaves behind.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunRecord {
    /// When it ended.
    pub at: Timestamp,
    /// Pull request.
    pub pr: PrNumber,
    /// What it did.
    pub action: Action,
    /// Commit, in a deploy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha: Option<CommitSha>,
    /// How it ended.
    pub outcome: State,
    /// Why so.
    pub reason: ReasonCode,
    /// True when the commit had not been tried before.
    #[serde(default)]
    pub first: bool,
    /// How long it took, in milliseconds.
    pub took: u64,
    /// How long it had waited in line, in seconds; 0 when it had not.
    #[serde(default, skip_serializing_if = "nothing")]
    pub waited: u64,
    /// How long each stage took, in milliseconds.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub stages: BTreeMap<String, u64>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks in this way")]
fn nothing(value: &u64) -> bool {
    *value == 0
}

/// What a run did.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// It deployed.
    Deploy,
    /// It removed.
    Remove,
    /// It went back to an earlier commit.
    Rollback,
    /// It put to sleep.
    Sleep,
    /// It woke.
    Wake,
    /// It let a preview live longer.
    Extend,
    /// It let a preview live until its pull request is closed.
    Pin,
    /// It let a preview expire again.
    Unpin,
    /// It showed the last lines of logs.
    Logs,
    /// It showed what a deploy would change.
    Diff,
    /// It showed what would keep a deploy from going well.
    Check,
    /// It showed what is so.
    Status,
    /// It showed the commands.
    Help,
}

impl Action {
    /// True for what says or notes something, and leaves a record only where it did.
    pub fn is_a_word(self) -> bool {
        !matches!(
            self,
            Self::Deploy | Self::Remove | Self::Rollback | Self::Sleep | Self::Wake
        )
    }

    /// True for the state that a run of it ends in when all went well.
    fn aims_at(self, state: State) -> bool {
        match self {
            Self::Deploy | Self::Rollback | Self::Wake => state == State::Ready,
            Self::Remove => matches!(state, State::Removed | State::Expired),
            Self::Sleep => state == State::Sleeping,
            _ => true,
        }
    }

    /// The action as text.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deploy => "deploy",
            Self::Remove => "remove",
            Self::Rollback => "rollback",
            Self::Sleep => "sleep",
            Self::Wake => "wake",
            Self::Extend => "extend",
            Self::Pin => "pin",
            Self::Unpin => "unpin",
            Self::Logs => "logs",
            Self::Diff => "diff",
            Self::Check => "check",
            Self::Status => "status",
            Self::Help => "help",
        }
    }
}

/// What is so at this moment.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Now {
    /// Cap.
    pub capacity: u32,
    /// Previews that hold a slot.
    pub active: usize,
    /// Previews that wait for one.
    pub queued: usize,
    /// What each preview uses.
    pub usage: Vec<Usage>,
}

/// What one preview uses.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// Namespace.
    pub namespace: Namespace,
    /// Pull request.
    pub pr: PrNumber,
    /// Thousandths of a core.
    pub cpu: u64,
    /// Bytes.
    pub memory: u64,
    /// True when it was measured; else it is what its pods have asked for.
    pub measured: bool,
    /// Hundredths of its quota that are asked for, the fullest resource; none without a quota.
    pub quota: Option<u64>,
}

/// The figures of a window.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Figures {
    /// When the oldest record was written.
    pub since: Option<Timestamp>,
    /// Runs by action and outcome.
    pub runs: BTreeMap<&'static str, BTreeMap<&'static str, usize>>,
    /// Deploys of a commit for the first time.
    pub first: Rate,
    /// Deploys of a commit that had been tried before.
    pub again: Rate,
    /// Why deploys failed, by reason code.
    pub failures: BTreeMap<&'static str, usize>,
    /// How long deploys that became ready took, in milliseconds.
    pub deploys: Span,
    /// The same for removals.
    pub removals: Span,
    /// The same for every action that went well.
    pub took: BTreeMap<&'static str, Span>,
    /// Stages of deploys that became ready, in milliseconds.
    pub stages: BTreeMap<String, Span>,
    /// How long previews had waited in line, in seconds.
    pub waited: Span,
}

/// How often something succeeded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Rate {
    /// It did.
    pub succeeded: usize,
    /// It did not.
    pub failed: usize,
}

impl Rate {
    /// The share that succeeded; none before there was any.
    pub fn share(self) -> Option<f64> {
        let all = self.succeeded + self.failed;
        (all > 0).then(|| self.succeeded as f64 / all as f64)
    }
}

/// How values are spread.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Span {
    /// How many there are.
    pub count: usize,
    /// All together.
    pub sum: u64,
    /// Half are at most this.
    pub p50: u64,
    /// Nineteen of twenty are at most this.
    pub p95: u64,
}

impl Span {
    /// The spread of values, by the nearest rank.
    pub fn of(values: impl IntoIterator<Item = u64>) -> Self {
        let mut values: Vec<u64> = values.into_iter().collect();
        values.sort_unstable();
        let rank = |percent: usize| {
            let at = (values.len() * percent).div_ceil(100).saturating_sub(1);
            values.get(at).copied().unwrap_or_default()
        };
        Self {
            count: values.len(),
            sum: values.iter().sum(),
            p50: rank(50),
            p95: rank(95),
        }
    }
}

impl Figures {
    /// The figures of these records.
    pub fn of(records: &[RunRecord]) -> Self {
        let deploys = || records.iter().filter(|run| run.action == Action::Deploy);
        let ready = || deploys().filter(|run| run.outcome == State::Ready);
        let well = records.iter().filter(|run| run.action.aims_at(run.outcome));
        let took = spans(well.map(|run| (run.action.as_str(), run.took)));
        let of = |action: Action| took.get(action.as_str()).copied().unwrap_or_default();
        let mut figures = Self {
            since: records.iter().map(|run| run.at).min(),
            first: rate(deploys().filter(|run| run.first)),
            again: rate(deploys().filter(|run| !run.first)),
            deploys: of(Action::Deploy),
            removals: of(Action::Remove),
            // Who waits still has not waited its whole time yet.
            waited: Span::of(
                deploys()
                    .filter(|run| matches!(run.outcome, State::Ready | State::Failed))
                    .map(|run| run.waited)
                    .filter(|waited| *waited > 0),
            ),
            ..Self::default()
        };
        for run in records.iter().filter(|run| !run.action.is_a_word()) {
            let of = figures.runs.entry(run.action.as_str()).or_default();
            *of.entry(run.outcome.as_str()).or_default() += 1;
        }
        for run in deploys().filter(|run| run.outcome == State::Failed) {
            *figures.failures.entry(run.reason.as_str()).or_default() += 1;
        }
        let stages = ready().flat_map(|run| &run.stages);
        figures.stages = spans(stages.map(|(stage, took)| (stage.clone(), *took)));
        figures.took = took;
        figures
    }
}

/// How the values of each name are spread.
fn spans<K: Ord>(values: impl Iterator<Item = (K, u64)>) -> BTreeMap<K, Span> {
    let mut by_name: BTreeMap<K, Vec<u64>> = BTreeMap::new();
    for (name, value) in values {
        by_name.entry(name).or_default().push(value);
    }
    let spans = by_name.into_iter();
    spans.map(|(name, all)| (name, Span::of(all))).collect()
}

/// Only what was tried to the end counts: who was overtaken, cancelled or refused has not failed.
fn rate<'a>(runs: impl Iterator<Item = &'a RunRecord>) -> Rate {
    runs.fold(Rate::default(), |mut rate, run| {
        match run.outcome {
            State::Ready => rate.succeeded += 1,
            State::Failed => rate.failed += 1,
            _ => {}
        }
        rate
    })
}

#[cfg(test)]
mod tests;
