//! The queue by example; the cap and the queue in any history are in `model_tests.rs`.
#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use super::*;
use crate::capacity::{Claim, RunId, claim, confirm, drop_holder, withdraw};
use crate::names::PrNumber;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn who(pr: u64, run: &str, when_full: WhenFull) -> Claimant {
    Claimant {
        key: pr.to_string(),
        pr: PrNumber::new(pr).unwrap(),
        namespace: format!("pr-web-{pr}").parse().unwrap(),
        owner: "alice".into(),
        run: RunId(run.into()),
        when_full,
    }
}

fn asks(ledger: &mut Ledger, pr: u64) -> Claim {
    claim(ledger, &who(pr, "r", WhenFull::Queue), at(0))
}

fn held(ledger: &mut Ledger, prs: impl IntoIterator<Item = u64>) {
    for pr in prs {
        assert!(matches!(asks(ledger, pr), Claim::Unconfirmed { .. }));
        let run = RunId("r".into());
        assert!(confirm(ledger, &pr.to_string(), &run, &format!("uid-{pr}")));
    }
}

fn line(ledger: &Ledger) -> Vec<u64> {
    ledger
        .queue
        .iter()
        .map(|waiting| waiting.pr.get())
        .collect()
}

#[test]
fn who_finds_no_slot_waits_behind_all_others_and_keeps_the_place() {
    let mut ledger = Ledger::empty(1);
    held(&mut ledger, [1]);
    assert_eq!(asks(&mut ledger, 2), Claim::Queued(1));
    assert_eq!(asks(&mut ledger, 3), Claim::Queued(2));
    assert_eq!(asks(&mut ledger, 2), Claim::Queued(1));
    assert_eq!(line(&ledger), [2, 3]);
}

#[test]
fn a_free_slot_is_for_the_first_in_line_and_not_for_a_newcomer() {
    let mut ledger = Ledger::empty(2);
    held(&mut ledger, [1, 2]);
    asks(&mut ledger, 3);
    drop_holder(&mut ledger, "1", "uid-1");
    assert_eq!(asks(&mut ledger, 4), Claim::Queued(2));
    assert_eq!(next(&mut ledger, &[], at(0)).unwrap().pr.get(), 3);
    assert_eq!(asks(&mut ledger, 3), Claim::Unconfirmed { slot: 1 });
    assert_eq!(line(&ledger), [4]);
    assert_eq!(next(&mut ledger, &[], at(0)), None);
}

#[test]
fn with_two_free_slots_the_second_in_line_need_not_wait_for_the_first() {
    let mut ledger = Ledger::empty(2);
    held(&mut ledger, [1, 2]);
    asks(&mut ledger, 3);
    asks(&mut ledger, 4);
    drop_holder(&mut ledger, "1", "uid-1");
    drop_holder(&mut ledger, "2", "uid-2");
    let passed_over = ["3".to_owned()];
    assert_eq!(next(&mut ledger, &passed_over, at(0)).unwrap().pr.get(), 4);
    assert!(matches!(asks(&mut ledger, 4), Claim::Unconfirmed { .. }));
    assert!(matches!(asks(&mut ledger, 3), Claim::Unconfirmed { .. }));
}

#[test]
fn a_maintainers_word_goes_first_and_an_update_is_never_queued() {
    let mut ledger = Ledger::empty(1);
    held(&mut ledger, [1]);
    asks(&mut ledger, 2);
    asks(&mut ledger, 3);
    let taking = who(3, "r", WhenFull::GoFirst);
    assert_eq!(claim(&mut ledger, &taking, at(1)), Claim::Queued(1));
    assert_eq!(line(&ledger), [3, 2]);
    assert!(matches!(asks(&mut ledger, 1), Claim::Confirmed { .. }));
    drop_holder(&mut ledger, "1", "uid-1");
    assert!(matches!(
        claim(&mut ledger, &taking, at(2)),
        Claim::Unconfirmed { .. }
    ));
}

#[test]
fn a_lowered_cap_evicts_nobody_and_admits_nobody() {
    let mut ledger = Ledger::empty(3);
    held(&mut ledger, 1..=3);
    ledger.capacity = 1;
    assert_eq!(asks(&mut ledger, 4), Claim::Queued(1));
    drop_holder(&mut ledger, "1", "uid-1");
    drop_holder(&mut ledger, "2", "uid-2");
    assert_eq!((ledger.free(), next(&mut ledger, &[], at(0))), (0, None));
    drop_holder(&mut ledger, "3", "uid-3");
    assert!(matches!(asks(&mut ledger, 4), Claim::Unconfirmed { .. }));
}

#[test]
fn a_claim_whose_run_died_stands_first_in_line_again() {
    let mut ledger = Ledger::empty(1);
    asks(&mut ledger, 1);
    assert_eq!(asks(&mut ledger, 2), Claim::Queued(1));
    let first = next(&mut ledger, &[], at(120)).unwrap();
    assert_eq!(first.pr.get(), 1);
    assert_eq!(line(&ledger), [1, 2]);
}

#[test]
fn who_lacks_room_is_tried_again_when_somebody_has_ended_or_an_hour_later() {
    let mut ledger = Ledger::empty(3);
    held(&mut ledger, [1, 2]);
    assert_eq!(
        wait(&mut ledger, &who(3, "r", WhenFull::Queue), "2 CPU", at(0)),
        Some(1)
    );
    assert_eq!(next(&mut ledger, &[], at(60)), None);
    assert!(next(&mut ledger, &[], at(3600)).is_some());
    drop_holder(&mut ledger, "1", "uid-1");
    assert!(next(&mut ledger, &[], at(60)).is_some());
}

#[test]
fn a_place_that_could_not_be_told_is_told_again() {
    let mut ledger = Ledger::empty(1);
    held(&mut ledger, [1]);
    for pr in 2..=6 {
        asks(&mut ledger, pr);
    }
    let us = RunId("us".into());
    let mut tried = BTreeSet::new();
    let first = say_places(&mut ledger, &us, &tried, 3, at(1));
    assert_eq!(first.len(), 3, "not more than can be told in time");
    let told = BTreeSet::from(["2".to_owned()]);
    said_places(&mut ledger, &us, &first, &told);
    tried.extend(first.into_iter().map(|(one, _)| one.key));
    let second = say_places(&mut ledger, &us, &tried, 3, at(2));
    let keys: Vec<&str> = second.iter().map(|(one, _)| one.key.as_str()).collect();
    assert_eq!(keys, ["5", "6"]);
    said_places(
        &mut ledger,
        &us,
        &second,
        &BTreeSet::from(["5".to_owned(), "6".to_owned()]),
    );
    let again = say_places(&mut ledger, &us, &BTreeSet::new(), 9, at(3));
    let keys: Vec<&str> = again.iter().map(|(one, _)| one.key.as_str()).collect();
    assert_eq!(keys, ["3", "4"]);
}

#[test]
fn who_asks_again_after_a_lost_answer_has_the_same_places_to_tell() {
    let mut ledger = Ledger::empty(1);
    held(&mut ledger, [1]);
    asks(&mut ledger, 2);
    asks(&mut ledger, 3);
    let [us, others] = ["us", "others"].map(|run| RunId(run.into()));
    let first = say_places(&mut ledger, &us, &BTreeSet::new(), 9, at(1));
    assert_eq!(first.len(), 2);
    let again = say_places(&mut ledger, &us, &BTreeSet::new(), 9, at(2));
    assert_eq!(again, first);
    assert!(say_places(&mut ledger, &others, &BTreeSet::new(), 9, at(3)).is_empty());
}

#[test]
fn who_is_not_wanted_any_more_leaves() {
    let mut ledger = Ledger::empty(1);
    held(&mut ledger, [1]);
    asks(&mut ledger, 2);
    asks(&mut ledger, 3);
    assert!(leave(&mut ledger, "2"));
    assert!(!leave(&mut ledger, "2"));
    assert_eq!(ledger.position("3"), Some(1));
}

#[test]
fn who_gives_up_a_claim_stands_first_in_line_again_if_it_had_waited() {
    let mut ledger = Ledger::empty(2);
    held(&mut ledger, [1]);
    asks(&mut ledger, 2);
    withdraw(&mut ledger, "2", &RunId("r".into()));
    assert_eq!(line(&ledger), [0; 0], "it had found a slot at once");
    held(&mut ledger, [2]);
    asks(&mut ledger, 3);
    asks(&mut ledger, 4);
    drop_holder(&mut ledger, "1", "uid-1");
    assert!(matches!(
        claim(&mut ledger, &who(3, "r", WhenFull::Queue), at(9)),
        Claim::Unconfirmed { .. }
    ));
    withdraw(&mut ledger, "3", &RunId("r".into()));
    assert_eq!(line(&ledger), [3, 4]);
    assert_eq!(ledger.queue[0].since, at(0));
}

#[test]
fn places_are_told_where_comments_name_others_and_nobody_is_at_work() {
    let mut ledger = Ledger::empty(1);
    held(&mut ledger, [1]);
    for pr in [2, 3, 4] {
        asks(&mut ledger, pr);
    }
    let us = RunId("us".into());
    ledger.queue[0].told = 1;
    ledger.previews.entry("4".into()).or_default().active = Some(ActiveRun {
        run: RunId("other".into()),
        heartbeat: at(0),
    });
    let places = say_places(&mut ledger, &us, &BTreeSet::new(), 9, at(1));
    let named: Vec<_> = places
        .iter()
        .map(|(one, place)| (one.pr.get(), *place))
        .collect();
    assert_eq!(named, [(3, 2)]);
    assert!(ledger.previews["3"].is_active(at(1)));
    leave(&mut ledger, "2");
    let told = BTreeSet::from(["3".to_owned()]);
    said_places(&mut ledger, &us, &places, &told);
    assert!(!ledger.previews["3"].is_active(at(1)));
    assert!(untold(&ledger, at(1)), "its place has changed meanwhile");
    assert_eq!(ledger.previews["3"].newest, None, "no sequence rises");
}

#[test]
fn who_lacks_room_blocks_no_slot_for_others_until_it_is_its_turn_again() {
    let mut ledger = Ledger::empty(2);
    held(&mut ledger, [1]);
    let queued = |pr| who(pr, "r", WhenFull::Queue);
    for pr in [2, 3] {
        wait(&mut ledger, &queued(pr), "2 CPU", at(0));
    }
    assert_eq!(ledger.spare(at(60)), 1);
    assert!(matches!(
        asks(&mut ledger, 4),
        Claim::Unconfirmed { slot: 2 }
    ));
    assert_eq!(claim(&mut ledger, &queued(5), at(60)), Claim::Queued(3));
    withdraw(&mut ledger, "4", &RunId("r".into()));
    assert_eq!(next(&mut ledger, &[], at(60)).unwrap().pr.get(), 5);
    // Nobody comes before who is tried again, nor takes the slot that is free for it.
    assert_eq!(next(&mut ledger, &[], at(3600)).unwrap().pr.get(), 2);
    drop_holder(&mut ledger, "1", "uid-1");
    let tried = ["2".to_owned()];
    assert_eq!(next(&mut ledger, &tried, at(60)).unwrap().pr.get(), 3);
    assert_eq!(claim(&mut ledger, &queued(5), at(60)), Claim::Queued(3));
}

#[test]
fn who_has_lacked_room_for_an_hour_is_passed_by_nobody() {
    let mut ledger = Ledger::empty(4);
    held(&mut ledger, [1]);
    let queued = |pr| who(pr, "r", WhenFull::Queue);
    // How long it has stood in line for a slot is nothing that others owe it room for.
    put_first(&mut ledger, "2", queued(2).pr, "alice", at(-7200));
    wait(&mut ledger, &queued(2), "2 CPU", at(0));
    held(&mut ledger, [3]);
    wait(&mut ledger, &queued(4), "1 CPU", at(3000));
    // Nothing has ended, so the first one is tried again only an hour after its last try.
    wait(&mut ledger, &queued(2), "2 CPU", at(3500));
    let newcomer = claim(&mut ledger, &queued(5), at(3600));
    assert_eq!(newcomer, Claim::Queued(3));
    assert_eq!(next(&mut ledger, &[], at(3600)), None);
    let refused = claim(&mut ledger, &who(6, "r", WhenFull::Refuse), at(3600));
    assert!(matches!(refused, Claim::Full(_)));
    // A maintainer's word goes first all the same.
    let taking = who(7, "r", WhenFull::GoFirst);
    let taken = claim(&mut ledger, &taking, at(3600));
    assert!(matches!(taken, Claim::Unconfirmed { .. }));
    drop_holder(&mut ledger, "1", "uid-1");
    assert_eq!(next(&mut ledger, &[], at(3601)).unwrap().pr.get(), 2);
    assert_eq!(next(&mut ledger, &["2".into()], at(3601)), None);
    let itself = claim(&mut ledger, &queued(2), at(3601));
    assert!(matches!(itself, Claim::Unconfirmed { .. }));
}

#[test]
fn room_is_kept_free_for_nobody_for_ever() {
    let mut ledger = Ledger::empty(2);
    held(&mut ledger, [1]);
    let queued = |pr| who(pr, "r", WhenFull::Queue);
    for hour in 0..6 {
        wait(&mut ledger, &queued(2), "2 CPU", at(3600 * hour));
    }
    let last = 6 * 3600 - 1;
    let newcomer = claim(&mut ledger, &queued(3), at(last));
    assert_eq!(newcomer, Claim::Queued(2));
    assert_eq!(next(&mut ledger, &[], at(last)), None);
    // Whoever is tried once more and lacks room still is passed again.
    assert_eq!(next(&mut ledger, &[], at(last + 1)).unwrap().pr.get(), 2);
    wait(&mut ledger, &queued(2), "2 CPU", at(last + 1));
    assert_eq!(next(&mut ledger, &[], at(last + 1)).unwrap().pr.get(), 3);
    let newcomer = claim(&mut ledger, &queued(3), at(last + 1));
    assert!(matches!(newcomer, Claim::Unconfirmed { .. }));
    assert_eq!(line(&ledger), [2], "it keeps its place");
}

#[test]
fn who_has_a_slot_or_was_overtaken_waits_for_no_room() {
    let mut ledger = Ledger::empty(3);
    held(&mut ledger, [1]);
    let queued = |pr| who(pr, "r", WhenFull::Queue);
    assert_eq!(wait(&mut ledger, &queued(1), "2 CPU", at(0)), None);
    ledger.previews.entry("2".into()).or_default().newest = Some(RunId("newer".into()));
    assert_eq!(wait(&mut ledger, &queued(2), "2 CPU", at(0)), None);
    assert_eq!(line(&ledger), [0; 0]);
    // A claim that was left by a run that died is not kept beside a place in line.
    claim(&mut ledger, &who(3, "dead", WhenFull::Queue), at(0));
    assert_eq!(wait(&mut ledger, &queued(3), "2 CPU", at(1)), Some(1));
    assert!(ledger.holder("3").is_none());
}

#[test]
fn who_goes_first_keeps_what_a_newer_version_noted_and_who_steps_back_loses_nothing() {
    let mut ledger = Ledger::empty(1);
    held(&mut ledger, [1]);
    for pr in [2, 3] {
        asks(&mut ledger, pr);
    }
    ledger.queue[1].rest.insert("later".into(), 7.into());
    let third = ledger.queue[1].pr;
    put_first(&mut ledger, "3", third, "alice", at(9));
    assert_eq!(line(&ledger), [3, 2]);
    assert_eq!(
        (ledger.queue[0].rest["later"].clone(), ledger.queue[0].since),
        (7.into(), at(0))
    );
    assert!(step_back(&mut ledger, "3"));
    assert_eq!(line(&ledger), [2, 3]);
    assert_eq!(ledger.queue[1].rest["later"], 7);
    assert!(!step_back(&mut ledger, "3") && !step_back(&mut ledger, "9"));
}

#[test]
fn who_is_not_shown_for_an_hour_steps_back_and_who_is_shown_in_between_does_not() {
    let mut ledger = Ledger::empty(1);
    held(&mut ledger, [1]);
    for pr in [2, 3] {
        asks(&mut ledger, pr);
    }
    assert!(!looked(&mut ledger, "2", true, at(0)), "nothing is new");
    assert!(looked(&mut ledger, "2", false, at(0)));
    assert!(!looked(&mut ledger, "2", false, at(3599)));
    assert!(looked(&mut ledger, "2", true, at(3599)));
    assert!(looked(&mut ledger, "2", false, at(3600)));
    assert!(!looked(&mut ledger, "2", false, at(7199)));
    assert_eq!(line(&ledger), [2, 3]);
    assert!(looked(&mut ledger, "2", false, at(7200)));
    assert_eq!(line(&ledger), [3, 2]);
    // It waits for nobody's hour again.
    assert!(step_back(&mut ledger, "3"));
    assert!(looked(&mut ledger, "2", false, at(7201)));
    assert_eq!(line(&ledger), [3, 2]);
    assert!(!looked(&mut ledger, "9", false, at(7201)));
}

#[test]
fn what_a_newer_version_noted_goes_along_from_the_line_to_the_slot_and_back() {
    let mut ledger = Ledger::empty(1);
    held(&mut ledger, [1]);
    asks(&mut ledger, 2);
    // What is called like a field of the other one means something else there.
    for (name, value) in [("later", 7), ("slot", 9)] {
        ledger.queue[0].rest.insert(name.into(), value.into());
    }
    drop_holder(&mut ledger, "1", "uid-1");
    assert_eq!(asks(&mut ledger, 2), Claim::Unconfirmed { slot: 1 });
    let noted = |rest: &serde_json::Map<String, serde_json::Value>| {
        serde_json::Value::Object(rest.clone()).to_string()
    };
    assert_eq!(noted(&ledger.holders[0].rest), r#"{"later":7}"#);
    for (name, value) in [("more", 8), ("inVain", 9)] {
        ledger.holders[0].rest.insert(name.into(), value.into());
    }
    withdraw(&mut ledger, "2", &RunId("r".into()));
    assert_eq!(noted(&ledger.queue[0].rest), r#"{"later":7,"more":8}"#);
}

#[test]
fn whose_run_does_not_come_keeps_its_place_and_no_slot() {
    let mut ledger = Ledger::empty(1);
    held(&mut ledger, [1]);
    for pr in [2, 3] {
        asks(&mut ledger, pr);
    }
    drop_holder(&mut ledger, "1", "uid-1");
    ledger.queue[0].called = Some(at(0));
    let (tried, both) = (["2".into()], ["2".into(), "3".into()]);
    assert_eq!(next(&mut ledger, &tried, at(3599)), None);
    let other = next(&mut ledger, &tried, at(3600)).unwrap();
    assert_eq!(other.pr.get(), 3);
    (ledger.queue[0].called, ledger.queue[0].in_vain) = (Some(at(60)), 1);
    assert_eq!(next(&mut ledger, &[], at(60)).unwrap().pr.get(), 2);
    assert_eq!(next(&mut ledger, &both, at(60)), None);
    assert_eq!(ledger.spare(at(60)), 0, "a newcomer waits behind the third");
    assert!(matches!(asks(&mut ledger, 3), Claim::Unconfirmed { .. }));
    assert_eq!(asks(&mut ledger, 2), Claim::Queued(1));
    assert_eq!(ledger.queue[0].in_vain, 0, "it has come");
}
