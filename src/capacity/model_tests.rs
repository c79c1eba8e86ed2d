//! The model that the cap's proof is held against: ten thousand random histories of claims, crashes, removals, sleep, waking,
//! expiry and sweeps, with an older and a newer run for each preview, each of which may stall between any two of its steps.
//! It must not ask the ledger who waits or what runs: it keeps books of its own beside it.
#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use super::{
    Asleep, Claim, Claimant, Ledger, RunId, Turn, WhenFull, begin, claim, confirm, drop_claim,
    drop_holder, forget_uid, leave, next, put_to_sleep, withdraw,
};
use crate::names::PrNumber;
use jiff::Timestamp;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const CAP: usize = 2;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

/// What a run is for.
#[derive(Debug, Clone, Copy)]
enum Work {
    /// A push, `/deploy` or `/wake`: for the ledger and the quota they are the same.
    Deploy(WhenFull),
    Sleep,
}

/// A preview has two runs: which of them is the newer one changes as they begin.
type Seat = (u64, bool);

/// One step of a history.
#[derive(Debug, Clone)]
enum Act {
    /// A run begins; the other one has been silent for half a minute, but is not dead.
    Begin(Seat, Work),
    /// A run does so many of its steps.
    Go(Seat, usize),
    /// A run ends without a word.
    Crash(Seat),
    /// A run takes back what it has begun.
    GiveUp(Seat),
    /// The preview's Namespace is deleted, by whomever.
    Delete(u64),
    /// A run reads by name which Namespaces are gone.
    Look(u64),
    /// It writes what it saw, however long ago.
    Drop(u64),
    /// A run of the preview finds that its Namespace is gone.
    Forget(Seat),
    Close(u64),
    Sweep,
    Pass(i64),
}

/// What two runs of a preview do in turns, while nothing else happens.
fn turn(previews: u64) -> impl Strategy<Value = Act> {
    let seat = move || (1..=previews, any::<bool>());
    let work = prop_oneof![
        6 => Just(Work::Deploy(WhenFull::Queue)),
        1 => Just(Work::Deploy(WhenFull::GoFirst)),
        1 => Just(Work::Deploy(WhenFull::Refuse)),
        6 => Just(Work::Sleep),
    ];
    prop_oneof![
        1 => (seat(), work).prop_map(|(seat, work)| Act::Begin(seat, work)),
        2 => (seat(), 1..9usize).prop_map(|(seat, steps)| Act::Go(seat, steps)),
    ]
}

/// What the runs of so many previews do, and what happens to them.
fn act(previews: u64) -> impl Strategy<Value = Act> {
    let pr = move || 1..=previews;
    let seat = move || (pr(), any::<bool>());
    prop_oneof![
        24 => turn(previews),
        1 => seat().prop_map(Act::Crash),
        2 => seat().prop_map(Act::GiveUp),
        1 => pr().prop_map(Act::Delete),
        2 => pr().prop_map(Act::Look),
        2 => pr().prop_map(Act::Drop),
        1 => seat().prop_map(Act::Forget),
        1 => pr().prop_map(Act::Close),
        2 => Just(Act::Sweep),
        1 => (1..100i64).prop_map(Act::Pass),
        // API servers whose clocks are off by up to an hour answer in turns.
        1 => (-3600..3600i64).prop_map(Act::Pass),
    ]
}

/// A run at work.
#[derive(Debug, Clone)]
struct Run {
    id: RunId,
    work: Work,
    step: usize,
    /// Namespace that it creates, or is bound to.
    uid: String,
    /// True when it created that.
    fresh: bool,
    /// True when the preview slept as its turn came.
    asleep: bool,
    /// The quota that it has seen.
    quota: Option<RunId>,
}

/// The world beside the ledger: Namespaces, what each run has seen, and who came in which order.
#[derive(Default)]
struct World {
    now: i64,
    count: u64,
    /// Namespaces by preview.
    exists: BTreeMap<u64, String>,
    /// Quotas of no pods by UID of their Namespace, told apart by the run that made them.
    quotas: BTreeMap<String, RunId>,
    /// UIDs with workloads.
    works: BTreeSet<String>,
    /// UIDs that somebody wrote to after their creation.
    written: BTreeSet<String>,
    /// UIDs that have had workloads, and so may keep data.
    data: BTreeSet<String>,
    runs: BTreeMap<Seat, Run>,
    /// Holders that a run has seen gone.
    gone: BTreeMap<u64, Vec<(String, String)>>,
    /// Who waits, by our own account.
    line: Vec<u64>,
}

impl World {
    fn begins(&mut self, ledger: &mut Ledger, seat: Seat, work: Work) {
        self.count += 1;
        let (key, id) = (seat.0.to_string(), RunId(format!("r{}", self.count)));
        let record = ledger.previews.entry(key.clone()).or_default();
        record.active = None;
        let asleep = record.asleep.is_some();
        assert!(matches!(
            begin(ledger, &key, &id, false, at(self.now)),
            Turn::Ours(_)
        ));
        let run = Run {
            id,
            work,
            step: 0,
            uid: String::new(),
            fresh: false,
            asleep,
            quota: None,
        };
        self.runs.insert(seat, run);
    }

    fn goes(&mut self, ledger: &mut Ledger, seat: Seat) -> Result<(), TestCaseError> {
        let Some(mut run) = self.runs.remove(&seat) else {
            return Ok(());
        };
        let goes_on = match run.work {
            Work::Deploy(when_full) => self.deploys(ledger, seat.0, &mut run, when_full)?,
            Work::Sleep => self.sleeps(ledger, seat.0, &mut run),
        };
        if goes_on {
            self.runs.insert(seat, run);
        }
        Ok(())
    }

    /// One step of a deploy or of waking; false at its end.
    fn deploys(
        &mut self,
        ledger: &mut Ledger,
        pr: u64,
        run: &mut Run,
        when_full: WhenFull,
    ) -> Result<bool, TestCaseError> {
        let key = pr.to_string();
        match run.step {
            0 if run.asleep => {
                let quota = self.exists.get(&pr).and_then(|uid| self.quotas.get(uid));
                run.quota = quota.cloned();
            }
            1 => match self.claims(ledger, pr, &run.id, when_full)? {
                Claim::Confirmed { uid, .. } => {
                    run.uid = uid;
                    run.fresh = false;
                    run.step = 3;
                }
                Claim::Unconfirmed { .. } => {}
                Claim::Queued(_) | Claim::Full(_) | Claim::Overtaken => return Ok(false),
            },
            2 => {
                self.count += 1;
                let new = format!("u{}", self.count);
                run.uid = self.exists.entry(pr).or_insert(new.clone()).clone();
                run.fresh = run.uid == new;
            }
            3 if !confirm(ledger, &key, &run.id, &run.uid) => {
                self.lost(ledger, pr, run)?;
                run.step = 0;
            }
            // What is not new is applied by its UID, which the server refuses once that is gone.
            4 if self.exists.get(&pr) != Some(&run.uid) => return Ok(false),
            4 if !run.fresh => {
                self.written.insert(run.uid.clone());
            }
            5 if run.quota.is_some() && self.quotas.get(&run.uid) == run.quota.as_ref() => {
                self.quotas.remove(&run.uid);
            }
            6 => self.starts(pr, &run.uid),
            7 => {
                let record = ledger.previews.get_mut(&key).unwrap();
                if record.newest.as_ref() == Some(&run.id) {
                    record.asleep = None;
                }
                return Ok(false);
            }
            _ => {}
        }
        run.step += 1;
        Ok(true)
    }

    /// One step of falling asleep; false at its end.
    fn sleeps(&mut self, ledger: &mut Ledger, pr: u64, run: &mut Run) -> bool {
        let key = pr.to_string();
        match run.step {
            0 => {
                let held = ledger.holder(&key).and_then(|one| one.uid.clone());
                let Some(uid) = held.filter(|uid| self.exists.get(&pr) == Some(uid)) else {
                    return false;
                };
                run.quota = self.quotas.get(&uid).cloned();
                run.uid = uid;
            }
            // First of all it is noted, and last of all the slot given back.
            1 | 5 => {
                let asleep = Asleep {
                    since: at(self.now),
                    by: String::new(),
                    namespace: format!("pr-web-{pr}").parse().unwrap(),
                    uid: run.uid.clone(),
                    slot: 1,
                    owner: String::new(),
                    unfinished: true,
                };
                let noted = put_to_sleep(ledger, &key, &run.id, &asleep, run.step == 1);
                return noted && run.step == 1 && {
                    run.step += 1;
                    true
                };
            }
            2 if run.quota.is_some() && self.quotas.get(&run.uid) == run.quota.as_ref() => {
                self.quotas.remove(&run.uid);
            }
            3 if self.exists.get(&pr) == Some(&run.uid) => {
                let quota = self.quotas.entry(run.uid.clone());
                quota.or_insert_with(|| run.id.clone());
            }
            // Nothing runs only when this run's own quota says that nothing will.
            4 if self.quotas.get(&run.uid) == Some(&run.id) => {
                self.works.remove(&run.uid);
                self.written.insert(run.uid.clone());
            }
            4 => return true,
            _ => {}
        }
        run.step += 1;
        true
    }

    /// Pods start where no quota keeps them from it.
    fn starts(&mut self, pr: u64, uid: &str) {
        if self.exists.get(&pr).is_some_and(|there| there == uid) && !self.quotas.contains_key(uid)
        {
            self.works.insert(uid.to_owned());
            self.data.insert(uid.to_owned());
        }
    }

    /// A claim was given up before its Namespace was confirmed.
    fn lost(&mut self, ledger: &Ledger, pr: u64, run: &Run) -> Result<(), TestCaseError> {
        let mut holders = ledger.holders.iter();
        let bound = holders.any(|one| one.uid.as_ref() == Some(&run.uid));
        let there = self.exists.get(&pr) == Some(&run.uid);
        if there && run.fresh && !bound && !self.written.contains(&run.uid) {
            prop_assert!(!self.data.contains(&run.uid), "data of {pr} are lost");
            self.exists.remove(&pr);
        }
        Ok(())
    }

    fn gives_up(&mut self, ledger: &mut Ledger, seat: Seat) {
        let (pr, key) = (seat.0, seat.0.to_string());
        let Some(run) = self.runs.remove(&seat) else {
            return;
        };
        match run.work {
            Work::Deploy(_) => {
                let mine = |one: &&super::Holder| one.uid.is_none() && one.run == run.id;
                let given_up = ledger.holder(&key).filter(mine);
                if given_up.is_some_and(|one| one.waited.is_some()) {
                    self.line.insert(0, pr);
                }
                withdraw(ledger, &key, &run.id);
            }
            Work::Sleep if run.step > 1 => {
                if self.quotas.get(&run.uid) == Some(&run.id) {
                    self.quotas.remove(&run.uid);
                }
                self.starts(pr, &run.uid);
                let record = ledger.previews.get_mut(&key).unwrap();
                if record.newest.as_ref() == Some(&run.id) {
                    record.asleep = None;
                }
            }
            Work::Sleep => {}
        }
    }

    fn claims(
        &mut self,
        ledger: &mut Ledger,
        pr: u64,
        run: &RunId,
        when_full: WhenFull,
    ) -> Result<Claim, TestCaseError> {
        let who = Claimant {
            key: pr.to_string(),
            pr: PrNumber::new(pr).unwrap(),
            namespace: format!("pr-web-{pr}").parse().unwrap(),
            owner: "alice".into(),
            run: run.clone(),
            when_full,
        };
        let before = ledger.clone();
        let claimed = claim(ledger, &who, at(self.now));
        if claimed == Claim::Overtaken {
            prop_assert_eq!(&before, ledger);
            return Ok(claimed);
        }
        let dead = self.dead_claims(&before, pr);
        let was_holder = before.holder(&pr.to_string()).is_some();
        let free = CAP.saturating_sub(before.holders.len() - dead);
        let place = self.line.iter().position(|one| *one == pr);
        let ahead = place.unwrap_or(self.line.len());
        match &claimed {
            Claim::Confirmed { .. } => prop_assert!(was_holder),
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
            Claim::Overtaken => {}
        }
        Ok(claimed)
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
            Act::Begin(seat, work) => self.begins(ledger, seat, work),
            Act::Go(seat, steps) => {
                for _ in 0..steps {
                    self.goes(ledger, seat)?;
                    self.nobody_works_without_a_slot(ledger)?;
                }
            }
            Act::Crash(seat) => {
                self.runs.remove(&seat);
                self.gone.remove(&seat.0);
            }
            Act::GiveUp(seat) => self.gives_up(ledger, seat),
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
            Act::Forget(seat) => {
                let key = seat.0.to_string();
                let held = ledger.holder(&key).and_then(|one| one.uid.clone());
                if let (Some(uid), Some(run)) = (held, self.runs.get(&seat))
                    && self.exists.get(&seat.0) != Some(&uid)
                {
                    forget_uid(ledger, &key, &uid, &run.id, at(self.now));
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
                    let seat = (first.pr.get(), true);
                    self.begins(ledger, seat, Work::Deploy(WhenFull::Queue));
                    self.goes(ledger, seat)?;
                    self.goes(ledger, seat)?;
                    prop_assert!(ledger.holder(&first.key).is_some(), "promoted in vain");
                }
            }
            Act::Pass(seconds) => self.now += seconds,
        }
        Ok(())
    }

    fn holds(&self, ledger: &Ledger) -> Result<(), TestCaseError> {
        prop_assert!(ledger.holders.len() <= CAP, "{:?}", ledger);
        self.nobody_works_without_a_slot(ledger)?;
        let line: Vec<u64> = ledger.queue.iter().map(|one| one.pr.get()).collect();
        prop_assert_eq!(line, self.line.clone(), "who waits, in which order");
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

    fn nobody_works_without_a_slot(&self, ledger: &Ledger) -> Result<(), TestCaseError> {
        let bound = |uid: &String| {
            let mut holders = ledger.holders.iter();
            holders.any(|one| one.uid.as_ref() == Some(uid))
        };
        prop_assert!(
            self.works.iter().all(bound),
            "{:?} work without a slot in {:?}",
            self.works,
            ledger
        );
        Ok(())
    }
}

/// Many previews that come and go, or one whose two runs get into each other's way.
fn history() -> impl Strategy<Value = Vec<Act>> {
    let many = proptest::collection::vec(act(5), 1..50);
    let one = proptest::collection::vec(turn(1), 1..60);
    prop_oneof![many, one]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() })]
    /// Whatever runs do, see too late, or leave undone: never more workloads than slots, nobody lost, nobody overtaken.
    #[test]
    fn the_cap_and_the_queue_hold_in_any_history(acts in history()) {
        let mut ledger = Ledger::empty(CAP as u32);
        let mut world = World::default();
        for act in &acts {
            world.plays(&mut ledger, act)?;
            world.holds(&ledger)?;
        }
    }
}
