#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test may fail by panicking"
)]

use super::*;
use crate::capacity::begin;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn who(pr: u64, run: &str) -> Claimant {
    Claimant {
        key: pr.to_string(),
        pr: PrNumber::new(pr).unwrap(),
        namespace: format!("pr-web-{pr}").parse().unwrap(),
        owner: "alice".into(),
        run: RunId(run.into()),
        when_full: WhenFull::Refuse,
    }
}

fn full(ledger: &mut Ledger, prs: impl IntoIterator<Item = u64>) {
    for pr in prs {
        assert!(matches!(
            claim(ledger, &who(pr, "r"), at(0)),
            Claim::Unconfirmed { .. }
        ));
        assert!(confirm(
            ledger,
            &pr.to_string(),
            &RunId("r".into()),
            &format!("uid-{pr}")
        ));
    }
}

#[test]
fn a_claim_without_a_namespace_can_be_dropped_and_a_confirmed_one_cannot() {
    let mut ledger = Ledger::empty(3);
    full(&mut ledger, [1]);
    claim(&mut ledger, &who(2, "dead"), at(0));
    for key in ["1", "2"] {
        clear(&mut ledger, key, &RunId("removal".into()), &[], true);
    }
    let keys: Vec<&str> = ledger
        .holders
        .iter()
        .map(|holder| holder.key.as_str())
        .collect();
    assert_eq!(keys, ["1"]);
    assert!(!confirm(&mut ledger, "2", &RunId("dead".into()), "uid-2"));
}

/// A removal that was thought dead and comes to its end after all.
#[test]
fn a_removal_takes_neither_claim_nor_place_of_a_newer_run() {
    let mut ledger = Ledger::empty(2);
    full(&mut ledger, [1, 2]);
    let newer = Claimant {
        when_full: WhenFull::Queue,
        ..who(1, "newer")
    };
    let removal = RunId("removal".into());
    begin(&mut ledger, "1", &removal, false, at(0));
    begin(&mut ledger, "1", &newer.run, false, at(40));
    clear(&mut ledger, "1", &removal, &["uid-1".into()], true);
    assert_eq!(ledger.holders.len(), 1, "that one is gone");
    let slot = Claim::Unconfirmed { slot: 1 };
    assert_eq!(claim(&mut ledger, &newer, at(41)), slot);
    clear(&mut ledger, "1", &removal, &["uid-1".into()], true);
    assert_eq!(claim(&mut ledger, &newer, at(42)), slot);
    withdraw(&mut ledger, "1", &newer.run);
    full(&mut ledger, [3]);
    assert_eq!(claim(&mut ledger, &newer, at(43)), Claim::Queued(1));
    clear(&mut ledger, "1", &removal, &["uid-1".into()], true);
    assert_eq!(ledger.position("1"), Some(1));
    clear(&mut ledger, "1", &newer.run, &[], true);
    assert_eq!(ledger.position("1"), None);
}

#[test]
fn a_claim_that_is_dropped_gives_back_the_place_in_line_that_it_came_from() {
    let mut ledger = Ledger::empty(1);
    full(&mut ledger, [1]);
    for pr in [2, 3] {
        queue::join(&mut ledger, &who(pr, "dead"), at(0));
    }
    drop_holder(&mut ledger, "1", "uid-1");
    claim(&mut ledger, &who(2, "dead"), at(0));
    clear(&mut ledger, "2", &RunId("dead".into()), &[], false);
    assert_eq!((ledger.position("2"), ledger.holders.len()), (Some(1), 0));
}

#[test]
fn the_fourth_is_refused_and_sees_the_three() {
    let mut ledger = Ledger::empty(3);
    full(&mut ledger, 1..=3);
    let Claim::Full(holders) = claim(&mut ledger, &who(4, "r"), at(1000)) else {
        panic!("admitted")
    };
    assert_eq!(
        holders
            .iter()
            .map(|holder| (holder.pr.get(), holder.slot))
            .collect::<Vec<_>>(),
        [(1, 1), (2, 2), (3, 3)]
    );
}

#[test]
fn an_update_is_never_refused_even_when_the_cap_was_lowered() {
    let mut ledger = Ledger::empty(3);
    full(&mut ledger, 1..=3);
    ledger.capacity = 0;
    assert_eq!(
        claim(&mut ledger, &who(2, "later"), at(9)),
        Claim::Confirmed {
            slot: 2,
            namespace: "pr-web-2".parse().unwrap(),
            uid: "uid-2".into()
        }
    );
    assert!(matches!(
        claim(&mut ledger, &who(9, "later"), at(9)),
        Claim::Full(_)
    ));
}

#[test]
fn a_cap_of_zero_admits_none() {
    assert_eq!(
        claim(&mut Ledger::empty(0), &who(1, "r"), at(0)),
        Claim::Full(vec![])
    );
}

#[test]
fn the_lowest_free_slot_is_given_again() {
    let mut ledger = Ledger::empty(3);
    full(&mut ledger, 1..=3);
    drop_holder(&mut ledger, "2", "another-uid");
    assert_eq!(ledger.holders.len(), 3);
    drop_holder(&mut ledger, "2", "uid-2");
    assert_eq!(
        claim(&mut ledger, &who(7, "r"), at(0)),
        Claim::Unconfirmed { slot: 2 }
    );
}

#[test]
fn an_unconfirmed_claim_is_given_up_after_two_minutes_and_then_cannot_be_confirmed() {
    let mut ledger = Ledger::empty(1);
    claim(&mut ledger, &who(1, "dead"), at(0));
    assert!(matches!(
        claim(&mut ledger, &who(2, "r"), at(119)),
        Claim::Full(_)
    ));
    // Its place in line is the first one, so the slot is kept for it.
    assert_eq!(
        claim(&mut ledger, &who(2, "r"), at(120)),
        Claim::Full(vec![])
    );
    assert!(!confirm(&mut ledger, "1", &RunId("dead".into()), "uid-1"));
    assert_eq!(ledger.position("1"), Some(1));
    assert_eq!(
        claim(&mut ledger, &who(1, "r"), at(121)),
        Claim::Unconfirmed { slot: 1 }
    );
    assert_eq!(ledger.queue, []);
}

#[test]
fn confirming_twice_is_the_same_and_another_uid_is_refused() {
    let mut ledger = Ledger::empty(1);
    claim(&mut ledger, &who(1, "r"), at(0));
    let run = RunId("r".into());
    assert!(confirm(&mut ledger, "1", &run, "u1"));
    assert!(confirm(&mut ledger, "1", &run, "u1"));
    assert!(!confirm(&mut ledger, "1", &run, "u2"));
}

#[test]
fn a_newer_run_takes_over_the_unconfirmed_claim_of_its_own_preview() {
    let mut ledger = Ledger::empty(1);
    claim(&mut ledger, &who(1, "old"), at(0));
    assert_eq!(
        claim(&mut ledger, &who(1, "new"), at(1)),
        Claim::Unconfirmed { slot: 1 }
    );
    assert!(!confirm(&mut ledger, "1", &RunId("old".into()), "u-old"));
    assert!(confirm(&mut ledger, "1", &RunId("new".into()), "u-new"));
}

#[test]
fn an_adopted_namespace_is_a_holder_even_above_the_cap() {
    let mut ledger = Ledger::empty(1);
    assert!(matches!(
        claim(&mut ledger, &who(1, "r"), at(0)),
        Claim::Unconfirmed { slot: 1 }
    ));
    let old = |key: &str, uid: &str| Owned {
        key: key.into(),
        pr: PrNumber::new(9).unwrap(),
        namespace: "old".parse().unwrap(),
        uid: uid.into(),
        slot: None,
        url: String::new(),
        life: None,
        asleep: false,
        empty: false,
    };
    assert_eq!(adopt(&mut ledger, &old("9", "u"), "lea", at(1)), Some(2));
    assert_eq!(adopt(&mut ledger, &old("9", "u"), "lea", at(2)), Some(2));
    assert_eq!(adopt(&mut ledger, &old("9", "other"), "lea", at(2)), None);
    assert_eq!((ledger.holders.len(), ledger.free()), (2, 0));
}

#[test]
fn withdrawing_leaves_a_confirmed_holder_alone() {
    let mut ledger = Ledger::empty(2);
    full(&mut ledger, [1]);
    claim(&mut ledger, &who(2, "r"), at(0));
    withdraw(&mut ledger, "1", &RunId("r".into()));
    withdraw(&mut ledger, "2", &RunId("r".into()));
    assert_eq!(
        ledger
            .holders
            .iter()
            .map(|holder| holder.key.as_str())
            .collect::<Vec<_>>(),
        ["1"]
    );
}

#[test]
fn a_rebuilt_ledger_holds_every_owned_namespace_even_above_the_cap() {
    let mut ledger = rebuild(
        2,
        vec![owned(1, Some(2)), owned(2, Some(2)), owned(3, None)],
        false,
        at(0),
    );
    assert_eq!(
        ledger
            .holders
            .iter()
            .map(|holder| holder.slot)
            .collect::<Vec<_>>(),
        [2, 1, 3]
    );
    assert!(
        matches!(claim(&mut ledger, &who(4, "r"), at(0)), Claim::Full(holders) if holders.len() == 3)
    );
}

fn owned(pr: u64, slot: Option<u32>) -> Owned {
    Owned {
        key: pr.to_string(),
        pr: PrNumber::new(pr).unwrap(),
        namespace: format!("pr-web-{pr}").parse().unwrap(),
        uid: format!("uid-{pr}"),
        slot,
        url: String::new(),
        life: None,
        asleep: false,
        empty: false,
    }
}

fn sleeping(pr: u64, slot: u32) -> Owned {
    Owned {
        asleep: true,
        ..owned(pr, Some(slot))
    }
}

#[test]
fn a_rebuilt_ledger_gives_a_sleeper_the_slot_that_it_keeps_unless_somebody_awake_has_it() {
    let all = || vec![sleeping(1, 1), sleeping(2, 2), owned(3, Some(2))];
    let slots = |keep: bool| -> Vec<(u64, u32)> {
        let ledger = rebuild(3, all(), keep, at(0));
        let sleeps = |key: &str| ledger.previews[key].asleep.is_some();
        assert!(sleeps("1") && sleeps("2") && !sleeps("3"));
        let holders = ledger.holders.iter();
        holders.map(|one| (one.pr.get(), one.slot)).collect()
    };
    assert_eq!(slots(false), [(3, 2)]);
    assert_eq!(slots(true), [(3, 2), (1, 1)]);
}

#[test]
fn what_is_awake_although_the_ledger_calls_it_asleep_is_counted_and_waits_no_more() {
    let mut ledger = rebuild(1, vec![sleeping(1, 1)], false, at(0));
    full(&mut ledger, [2]);
    let waiting = Claimant {
        when_full: WhenFull::Queue,
        ..who(1, "r")
    };
    assert_eq!(claim(&mut ledger, &waiting, at(1)), Claim::Queued(1));
    bind(&mut ledger, sleeping(1, 1), true, at(2));
    assert!(ledger.holder("1").is_none(), "it sleeps without a slot");
    bind(&mut ledger, owned(1, Some(1)), false, at(3));
    assert!(ledger.holder("1").is_some() && ledger.queue.is_empty());
    let asleep = ledger.previews["1"].asleep.as_ref().unwrap();
    assert!(asleep.unfinished, "the sweep puts it to sleep");
}

#[test]
fn what_is_empty_gets_no_slot_that_somebody_waits_for() {
    let empty = || Owned {
        empty: true,
        ..owned(9, Some(1))
    };
    let mut ledger = Ledger::empty(1);
    full(&mut ledger, [2]);
    bind(&mut ledger, empty(), false, at(1));
    assert!(ledger.holder("9").is_none());
    let waiting = Claimant {
        when_full: WhenFull::Queue,
        ..who(1, "r")
    };
    assert_eq!(claim(&mut ledger, &waiting, at(1)), Claim::Queued(1));
    ledger.holders.clear();
    bind(&mut ledger, empty(), false, at(2));
    assert!(ledger.holder("9").is_none());
    ledger.queue.clear();
    bind(&mut ledger, empty(), false, at(3));
    assert!(ledger.holder("9").is_some());
}

#[test]
fn what_fell_asleep_while_the_ledger_was_lost_can_be_woken() {
    let mut ledger = rebuild(1, vec![owned(1, Some(1))], false, at(0));
    bind(&mut ledger, sleeping(1, 1), false, at(1));
    assert!(ledger.holder("1").is_some());
    let asleep = ledger.previews["1"].asleep.as_ref().unwrap();
    assert!(asleep.unfinished, "the sweep gives its slot back");
}
