//! How runs of one preview take turns: the newest raises the sequence, the older one sees it and stops.
//! It changes the ledger as a value; waiting and heart-beats are the caller's.
//! A run that died gives way after thirty seconds without a heart-beat, so that nothing waits for ever.

use super::{ActiveRun, Attempt, Ledger, Record, RunId};
use crate::names::State;
use jiff::{SignedDuration, Timestamp};

/// A run without a sign of life for this long is dead.
const HEARTBEAT_LIFE: SignedDuration = SignedDuration::from_secs(30);

impl Record {
    /// The run that is at work: one that has given a sign of life not long ago.
    fn at_work(&self, now: Timestamp) -> Option<&ActiveRun> {
        let young = |active: &&ActiveRun| now.duration_since(active.heartbeat) < HEARTBEAT_LIFE;
        self.active.as_ref().filter(young)
    }

    /// True when the newest run is another one; a ledger that was made anew knows none.
    pub(super) fn is_beyond(&self, run: &RunId) -> bool {
        self.newest.as_ref().is_some_and(|newest| newest != run)
    }

    /// True while a run is at work on the preview.
    pub fn is_active(&self, now: Timestamp) -> bool {
        self.at_work(now).is_some()
    }
}

/// What a run may do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// Work, under this sequence.
    Ours(u64),
    /// Wait for the older run to stop.
    After(RunId),
    /// Stop: a newer run exists.
    Superseded,
}

/// Asks for the turn; the first time it raises the sequence. Ask again while the answer is [`Turn::After`].
pub fn begin(ledger: &mut Ledger, key: &str, run: &RunId, waited: bool, now: Timestamp) -> Turn {
    let floor = ledger.floor;
    let record = ledger.previews.entry(key.to_owned()).or_default();
    if record.newest.as_ref() != Some(run) {
        if waited {
            return Turn::Superseded;
        }
        record.sequence = record.sequence.max(floor) + 1;
        record.newest = Some(run.clone());
    }
    match record.at_work(now) {
        Some(other) if other.run != *run => Turn::After(other.run.clone()),
        _ => {
            record.active = Some(ActiveRun {
                run: run.clone(),
                heartbeat: now,
            });
            Turn::Ours(record.sequence)
        }
    }
}

/// Gives a sign of life; false when a newer run exists.
#[must_use]
pub fn alive(ledger: &mut Ledger, key: &str, run: &RunId, now: Timestamp) -> bool {
    match ledger.previews.get_mut(key) {
        Some(record) if record.newest.as_ref() == Some(run) => {
            record.active = Some(ActiveRun {
                run: run.clone(),
                heartbeat: now,
            });
            true
        }
        _ => false,
    }
}

/// Gives a sign of life of a run that must end what it began, whether or not a newer one waits for it.
#[must_use]
pub fn hold(ledger: &mut Ledger, key: &str, run: &RunId, now: Timestamp) -> bool {
    let active = ledger
        .previews
        .get_mut(key)
        .and_then(|record| record.active.as_mut())
        .filter(|active| active.run == *run);
    let Some(active) = active else { return false };
    active.heartbeat = now;
    true
}

/// Ends a run: releases its turn and records what it attempted; false when a newer run exists, whose word counts then.
#[must_use]
pub fn finish(ledger: &mut Ledger, key: &str, run: &RunId, attempt: Option<Attempt>) -> bool {
    let Some(record) = ledger.previews.get_mut(key) else {
        return false;
    };
    if record
        .active
        .as_ref()
        .is_some_and(|active| active.run == *run)
    {
        record.active = None;
    }
    let newest = record.newest.as_ref() == Some(run);
    if let Some(attempt) = attempt.filter(|_| newest) {
        if attempt.outcome == State::Ready {
            record.serving = Some(attempt.sha.clone());
        }
        record.attempted = Some(attempt);
        record.broken = false;
    }
    newest
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn run(name: &str) -> RunId {
        RunId(name.into())
    }

    fn attempt() -> Option<Attempt> {
        Some(Attempt {
            sha: "a".repeat(40).parse().unwrap(),
            outcome: State::Ready,
            at: at(0),
        })
    }

    #[test]
    fn a_newer_run_waits_until_the_older_one_has_released_its_turn() {
        let mut ledger = Ledger::empty(3);
        assert_eq!(
            begin(&mut ledger, "1", &run("old"), false, at(0)),
            Turn::Ours(1)
        );
        assert_eq!(
            begin(&mut ledger, "1", &run("new"), false, at(1)),
            Turn::After(run("old"))
        );
        assert!(!alive(&mut ledger, "1", &run("old"), at(2)));
        assert!(!finish(&mut ledger, "1", &run("old"), attempt()));
        assert_eq!(
            begin(&mut ledger, "1", &run("new"), true, at(3)),
            Turn::Ours(2)
        );
        assert!(finish(&mut ledger, "1", &run("new"), attempt()));
        assert_eq!(ledger.previews["1"].attempted, attempt());
    }

    #[test]
    fn a_run_that_holds_its_turn_is_waited_for_by_newer_ones() {
        let mut ledger = Ledger::empty(3);
        begin(&mut ledger, "1", &run("old"), false, at(0));
        begin(&mut ledger, "1", &run("new"), false, at(1));
        assert!(hold(&mut ledger, "1", &run("old"), at(29)));
        assert!(!hold(&mut ledger, "1", &run("new"), at(29)));
        assert_eq!(
            begin(&mut ledger, "1", &run("new"), true, at(40)),
            Turn::After(run("old"))
        );
    }

    #[test]
    fn a_dead_run_gives_way_after_thirty_seconds() {
        let mut ledger = Ledger::empty(3);
        begin(&mut ledger, "1", &run("dead"), false, at(0));
        assert_eq!(
            begin(&mut ledger, "1", &run("new"), false, at(29)),
            Turn::After(run("dead"))
        );
        assert_eq!(
            begin(&mut ledger, "1", &run("new"), true, at(30)),
            Turn::Ours(2)
        );
    }

    #[test]
    fn the_middle_one_of_three_runs_is_superseded_while_it_waits() {
        let mut ledger = Ledger::empty(3);
        begin(&mut ledger, "1", &run("a"), false, at(0));
        begin(&mut ledger, "1", &run("b"), false, at(1));
        begin(&mut ledger, "1", &run("c"), false, at(2));
        assert_eq!(
            begin(&mut ledger, "1", &run("b"), true, at(3)),
            Turn::Superseded
        );
    }

    #[test]
    fn a_repeated_step_of_the_same_run_changes_nothing() {
        let mut ledger = Ledger::empty(3);
        begin(&mut ledger, "1", &run("a"), false, at(0));
        assert_eq!(
            begin(&mut ledger, "1", &run("a"), false, at(0)),
            Turn::Ours(1)
        );
    }

    #[test]
    fn what_was_ready_last_stays_known_through_failures() {
        let mut ledger = Ledger::empty(3);
        let failed = |sha: &str| {
            Some(Attempt {
                sha: sha.repeat(40).parse().unwrap(),
                outcome: State::Failed,
                at: at(1),
            })
        };
        begin(&mut ledger, "1", &run("a"), false, at(0));
        assert!(finish(&mut ledger, "1", &run("a"), attempt()));
        for sha in ["b", "c"] {
            begin(&mut ledger, "1", &run(sha), false, at(1));
            assert!(finish(&mut ledger, "1", &run(sha), failed(sha)));
        }
        let record = &ledger.previews["1"];
        assert_eq!(record.serving, attempt().map(|attempt| attempt.sha));
        assert_eq!(record.attempted, failed("c"));
    }

    #[test]
    fn sequences_of_a_ledger_that_was_made_anew_begin_above_its_floor() {
        let mut ledger = Ledger::empty(3);
        ledger.floor = 1_800_000_000;
        let turn = begin(&mut ledger, "1", &run("a"), false, at(0));
        assert_eq!(turn, Turn::Ours(1_800_000_001));
        assert!(finish(&mut ledger, "1", &run("a"), attempt()));
        let turn = begin(&mut ledger, "1", &run("b"), false, at(1));
        assert_eq!(turn, Turn::Ours(1_800_000_002));
    }

    #[test]
    fn fields_of_a_newer_version_survive() {
        let text = r#"{"capacity":3,"notes":[{"key":"9"}],"previews":{"1":{"sequence":4,"mood":true}},"holders":[]}"#;
        let ledger: Ledger = serde_json::from_str(text).unwrap();
        let again: serde_json::Value = serde_json::to_value(&ledger).unwrap();
        assert_eq!(again["notes"][0]["key"], "9");
        assert_eq!(again["previews"]["1"]["mood"], true);
    }
}
