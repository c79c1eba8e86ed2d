//! The queue by example, and the model that the cap's proof is held against: ten thousand random histories of claims,
//! crashes, removals, sleep, expiry and sweeps, each with a bookkeeping of its own beside the ledger's.
#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use super::*;
use crate::capacity::{
    Claim, RunId, claim, confirm, drop_claim, drop_holder, forget_uid, withdraw,
};
use crate::names::PrNumber;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const CAP: usize = 2;

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
        1
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

/// One step of a history: which preview's run does what.
#[derive(Debug, Clone)]
enum Act {
    Claim(u64),
    Take(u64),
    Refused(u64),
    Create(u64),
    Confirm(u64),
    Work(u64),
    Crash(u64),
    GiveUp(u64),
    /// Its Namespace is deleted, by whomever.
    Delete(u64),
    /// A run reads by name which Namespaces are gone.
    Look(u64),
    /// It writes what it saw, however long ago.
    Drop(u64),
    /// A run of the preview finds that its Namespace is gone.
    Forget(u64),
    Sleep(u64),
    Close(u64),
    Sweep,
    Pass(i64),
}

fn act() -> impl Strategy<Value = Act> {
    let pr = || 1..7u64;
    prop_oneof![
        3 => pr().prop_map(Act::Claim),
        1 => pr().prop_map(Act::Take),
        1 => pr().prop_map(Act::Refused),
        3 => pr().prop_map(Act::Create),
        3 => pr().prop_map(Act::Confirm),
        3 => pr().prop_map(Act::Work),
        1 => pr().prop_map(Act::Crash),
        1 => pr().prop_map(Act::GiveUp),
        2 => pr().prop_map(Act::Delete),
        2 => pr().prop_map(Act::Look),
        2 => pr().prop_map(Act::Drop),
        1 => pr().prop_map(Act::Forget),
        1 => pr().prop_map(Act::Sleep),
        1 => pr().prop_map(Act::Close),
        2 => Just(Act::Sweep),
        2 => (1..100i64).prop_map(Act::Pass),
        // API servers whose clocks are off by up to an hour answer in turns.
        1 => (-3600..3600i64).prop_map(Act::Pass),
    ]
}

/// The world beside the ledger: Namespaces, what each run has seen, and who came in which order.
#[derive(Default)]
struct World {
    now: i64,
    uids: u64,
    /// Namespaces by preview.
    exists: BTreeMap<u64, String>,
    /// UIDs in which pods may run; a sleeping Namespace has none, because its quota admits none.
    awake: BTreeSet<String>,
    /// UIDs with workloads.
    works: BTreeSet<String>,
    /// What a preview's run has created and not confirmed.
    created: BTreeMap<u64, String>,
    /// UID that a preview's run has seen confirmed.
    confirmed: BTreeMap<u64, String>,
    /// Holders that a run has seen gone.
    gone: BTreeMap<u64, Vec<(String, String)>>,
    /// Who waits, by our own account.
    line: Vec<u64>,
}

impl World {
    fn claims(
        &mut self,
        ledger: &mut Ledger,
        pr: u64,
        when_full: WhenFull,
    ) -> Result<(), TestCaseError> {
        let dead = self.dead_claims(ledger, pr);
        let was_holder = ledger.holder(&pr.to_string()).is_some();
        let free = CAP.saturating_sub(ledger.holders.len() - dead);
        let ahead = self
            .line
            .iter()
            .position(|one| *one == pr)
            .unwrap_or(self.line.len());
        match claim(ledger, &who(pr, &pr.to_string(), when_full), at(self.now)) {
            Claim::Confirmed { uid, .. } => {
                prop_assert!(was_holder);
                self.confirmed.insert(pr, uid);
            }
            Claim::Unconfirmed { .. } => {
                if !was_holder && when_full != WhenFull::GoFirst {
                    prop_assert!(free > ahead, "{pr} overtook {:?}", self.line);
                }
                self.line.retain(|one| *one != pr);
            }
            Claim::Queued(place) => {
                if when_full == WhenFull::GoFirst {
                    self.line.retain(|one| *one != pr);
                    self.line.insert(0, pr);
                } else if !self.line.contains(&pr) {
                    self.line.push(pr);
                }
                prop_assert_eq!(self.line[place - 1], pr);
            }
            Claim::Full(_) => prop_assert!(free <= ahead),
        }
        Ok(())
    }

    /// Claims of others that were not confirmed within two minutes stand first in line again; says how many they are.
    fn dead_claims(&mut self, ledger: &Ledger, but: u64) -> usize {
        if ledger.holder(&but.to_string()).is_some() {
            return 0;
        }
        let old = |since: Timestamp| at(self.now).duration_since(since).as_secs() >= 120;
        let holders = ledger.holders.iter();
        let dead: Vec<u64> = holders
            .filter(|one| one.uid.is_none() && old(one.since))
            .map(|one| one.pr.get())
            .collect();
        let count = dead.len();
        self.line.retain(|pr| !dead.contains(pr));
        self.line.splice(0..0, dead);
        count
    }

    fn plays(&mut self, ledger: &mut Ledger, act: &Act) -> Result<(), TestCaseError> {
        match *act {
            Act::Claim(pr) => self.claims(ledger, pr, WhenFull::Queue)?,
            Act::Take(pr) => self.claims(ledger, pr, WhenFull::GoFirst)?,
            Act::Refused(pr) => self.claims(ledger, pr, WhenFull::Refuse)?,
            Act::Create(pr) => {
                if ledger
                    .holder(&pr.to_string())
                    .is_some_and(|one| one.uid.is_none())
                {
                    self.uids += 1;
                    let new = format!("u{}", self.uids);
                    let uid = self.exists.entry(pr).or_insert(new).clone();
                    self.created.insert(pr, uid);
                }
            }
            Act::Confirm(pr) => {
                let Some(uid) = self.created.remove(&pr) else {
                    return Ok(());
                };
                if confirm(ledger, &pr.to_string(), &RunId(pr.to_string()), &uid) {
                    self.awake.insert(uid.clone());
                    self.confirmed.insert(pr, uid);
                } else if self.exists.get(&pr) == Some(&uid) && !self.works.contains(&uid) {
                    self.exists.remove(&pr);
                }
            }
            // An apply carries the confirmed UID: the server refuses it once that Namespace is gone.
            Act::Work(pr) => {
                let uid = self
                    .confirmed
                    .get(&pr)
                    .filter(|uid| self.exists.get(&pr) == Some(*uid));
                if let Some(uid) = uid.filter(|uid| self.awake.contains(*uid)) {
                    self.works.insert(uid.clone());
                }
            }
            Act::Crash(pr) => {
                self.created.remove(&pr);
                self.confirmed.remove(&pr);
                self.gone.remove(&pr);
            }
            Act::GiveUp(pr) => {
                let key = pr.to_string();
                let given_up = ledger.holder(&key).filter(|one| one.uid.is_none());
                if given_up.is_some_and(|one| one.waited.is_some()) {
                    self.line.insert(0, pr);
                }
                withdraw(ledger, &key, &RunId(key.clone()));
                self.created.remove(&pr);
            }
            Act::Delete(pr) => {
                if let Some(uid) = self.exists.remove(&pr) {
                    self.works.remove(&uid);
                }
            }
            Act::Look(pr) => {
                let holders = ledger.holders.iter();
                let seen = holders.filter_map(|one| Some((one.pr.get(), one.uid.clone()?)));
                let gone = seen.filter(|(of, uid)| self.exists.get(of) != Some(uid));
                self.gone
                    .insert(pr, gone.map(|(of, uid)| (of.to_string(), uid)).collect());
            }
            Act::Drop(pr) => {
                for (key, uid) in self.gone.remove(&pr).unwrap_or_default() {
                    drop_holder(ledger, &key, &uid);
                }
            }
            Act::Forget(pr) => {
                let holder = ledger.holder(&pr.to_string());
                if let Some(uid) = holder.and_then(|one| one.uid.clone())
                    && self.exists.get(&pr) != Some(&uid)
                {
                    forget_uid(
                        ledger,
                        &pr.to_string(),
                        &uid,
                        &RunId(pr.to_string()),
                        at(self.now),
                    );
                }
            }
            // First the quota that admits no pod and the scaling down, then the slot.
            Act::Sleep(pr) => {
                let holder = ledger.holder(&pr.to_string());
                if let Some(uid) = holder.and_then(|one| one.uid.clone())
                    && self.exists.get(&pr) == Some(&uid)
                {
                    self.awake.remove(&uid);
                    self.works.remove(&uid);
                    drop_holder(ledger, &pr.to_string(), &uid);
                }
            }
            Act::Close(pr) => {
                leave(ledger, &pr.to_string());
                self.line.retain(|one| *one != pr);
                if !self.exists.contains_key(&pr) {
                    drop_claim(ledger, &pr.to_string());
                }
            }
            Act::Sweep => {
                self.dead_claims(ledger, 0);
                if let Some(first) = next(ledger, &[], at(self.now)) {
                    prop_assert_eq!(first.pr.get(), self.line[0]);
                    self.claims(ledger, first.pr.get(), WhenFull::Queue)?;
                    prop_assert!(ledger.holder(&first.key).is_some(), "promoted in vain");
                }
            }
            Act::Pass(seconds) => self.now += seconds,
        }
        Ok(())
    }

    fn holds(&self, ledger: &Ledger) -> Result<(), TestCaseError> {
        prop_assert!(ledger.holders.len() <= CAP, "{:?}", ledger);
        prop_assert!(
            self.works.len() <= CAP,
            "{:?} with {:?}",
            self.works,
            ledger
        );
        prop_assert_eq!(line(ledger), self.line.clone(), "who waits, in which order");
        let keys = ledger.holders.iter().map(|one| &one.key);
        let keys: Vec<&String> = keys
            .chain(ledger.queue.iter().map(|one| &one.key))
            .collect();
        let distinct: BTreeSet<&&String> = keys.iter().collect();
        prop_assert_eq!(distinct.len(), keys.len(), "twice in {:?}", ledger);
        let slots: BTreeSet<u32> = ledger.holders.iter().map(|one| one.slot).collect();
        prop_assert_eq!(slots.len(), ledger.holders.len(), "one slot twice");
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() })]
    /// Whatever runs do, see too late, or leave undone: never more workloads than slots, nobody lost, nobody overtaken.
    #[test]
    fn the_cap_and_the_queue_hold_in_any_history(acts in proptest::collection::vec(act(), 1..50)) {
        let mut ledger = Ledger::empty(CAP as u32);
        let mut world = World::default();
        for act in &acts {
            world.plays(&mut ledger, act)?;
            world.holds(&ledger)?;
        }
    }
}
