#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use super::*;
use crate::{
    capacity::{
        ActiveRun, Asleep, Attempt, Because, Removing, RunId, Turn, begin, finish, put_first,
    },
    names::State,
};
use jiff::Timestamp;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

/// A preview that was deployed once, and is gone.
fn ended(ledger: &mut Ledger, pr: u64, runs: usize) {
    for run in 0..runs {
        let run = RunId(format!("{pr}-{run}"));
        assert!(matches!(
            begin(ledger, &pr.to_string(), &run, false, at(0)),
            Turn::Ours(_)
        ));
        let attempt = Attempt {
            sha: "a".repeat(40).parse().unwrap(),
            outcome: State::Ready,
            at: at(1),
        };
        assert!(finish(ledger, &pr.to_string(), &run, Some(attempt)));
    }
}

fn remembered(ledger: &Ledger) -> Vec<Remembered> {
    let records = ledger.previews.iter();
    records
        .map(|(key, record)| Remembered {
            key: key.clone(),
            sequence: record.sequence,
        })
        .collect()
}

#[test]
fn ten_thousand_closed_pull_requests_leave_nothing_behind() {
    let mut ledger = Ledger::empty(3);
    for pr in 1..=10_000 {
        ended(&mut ledger, pr, 2);
    }
    assert!(serde_json::to_string(&ledger).unwrap().len() > 1 << 20);
    let closed = remembered(&ledger);
    assert_eq!(forget(&mut ledger, &closed), 10_000);
    assert!(serde_json::to_string(&ledger).unwrap().len() < 200);
    assert_eq!(forget(&mut ledger, &closed), 0);
}

#[test]
fn an_old_run_of_what_was_forgotten_never_wins() {
    let mut ledger = Ledger::empty(3);
    ended(&mut ledger, 1, 7);
    let old = RunId("1-6".into());
    let closed = remembered(&ledger);
    forget(&mut ledger, &closed);
    assert!(!crate::capacity::alive(&mut ledger, "1", &old, at(2)));
    assert!(!finish(&mut ledger, "1", &old, None));
    assert_eq!(
        begin(&mut ledger, "1", &RunId("new".into()), false, at(2)),
        Turn::Ours(8),
        "above all that its old runs knew"
    );
}

#[test]
fn whatever_is_still_going_on_keeps_its_record() {
    let keeps = |change: &dyn Fn(&mut Ledger)| {
        let mut ledger = Ledger::empty(3);
        ended(&mut ledger, 1, 1);
        let closed = remembered(&ledger);
        change(&mut ledger);
        forget(&mut ledger, &closed) == 0
    };
    fn record(ledger: &mut Ledger) -> &mut Record {
        ledger.previews.get_mut("1").unwrap()
    }
    assert!(!keeps(&|_| {}));
    assert!(keeps(&|ledger| {
        record(ledger).removing = Some(Removing {
            because: Because::Closed,
            by: String::new(),
        });
    }));
    assert!(keeps(&|ledger| {
        record(ledger).asleep = Some(Asleep {
            since: at(0),
            by: String::new(),
            namespace: "pr-web-1".parse().unwrap(),
            uid: "u".into(),
            slot: 1,
            owner: String::new(),
            unfinished: false,
            keeps_slot: None,
        });
    }));
    assert!(keeps(&|ledger| {
        // Also one that has died: its comment is still to be ended.
        record(ledger).active = Some(ActiveRun {
            run: RunId("dead".into()),
            heartbeat: at(-1000),
        });
    }));
    assert!(keeps(&|ledger| {
        let pr = "1".parse().unwrap();
        put_first(ledger, "1", pr, "alice", at(0));
    }));
    assert!(keeps(&|ledger| ended(ledger, 1, 2)), "a run came meanwhile");
}

#[test]
fn what_says_nothing_takes_no_room() {
    let text = serde_json::to_string(&Record::default()).unwrap();
    assert_eq!(text, r#"{"sequence":0}"#);
    let again: Record = serde_json::from_str(&text).unwrap();
    assert_eq!(again, Record::default());
}
