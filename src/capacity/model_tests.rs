//! The model that the cap's proof is held against: ten thousand random histories of claims, crashes, removals, takings, sleep,
//! waking, expiry, sweeps, ledgers that are lost or come from a backup, and other caps, with an older and a newer run for each preview, each of which may stall between any two of its
//! steps.
//! It must not ask the ledger who waits or what runs: it keeps books of its own beside it.
#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use super::{
    Asleep, Claim, Claimant, Holder, Ledger, Owned, Remembered, RunId, Turn, WhenFull, adopt,
    alive, begin, bind, claim, clear, confirm, drop_vanished, finish, forget, forget_uid, leave,
    next, put_first, put_to_sleep, rebuild, wait, withdraw,
};
use crate::names::PrNumber;
use jiff::Timestamp;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

#[path = "model_runs.rs"]
mod runs;

const CAP: u32 = 2;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

/// What a run is for.
#[derive(Debug, Clone, Copy)]
enum Work {
    /// A push, `/deploy` or `/wake`: for the ledger and the quota they are the same.
    Deploy(WhenFull),
    Sleep,
    /// Of a preview that is closed, unwanted or taken from, or of one that is over or gives way: that is left to whoever is at work.
    Remove {
        yields: bool,
    },
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
    /// A place in line is given up.
    Leave(u64),
    /// A run about to claim finds no room on the nodes.
    Lack(Seat),
    /// A maintainer makes room for a preview.
    First(u64),
    /// The same by removing another one, where nothing else is free.
    Take(u64, Seat),
    /// Somebody takes over a Namespace that was there before.
    Adopt(u64),
    /// A sweep finds that nothing of a closed pull request is left.
    Find(u64),
    /// It forgets that one, however much later.
    Strike(u64),
    Sweep,
    /// The ledger is lost, and made anew from the Namespaces that exist; whether sleepers keep their slots.
    Rebuild(bool),
    /// A ledger is put back as it was at the last of these, once every run has ended, and a sweep counts.
    Restore,
    /// Who governs sets another cap, which puts nobody out.
    Cap(u32),
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
        2 => any::<bool>().prop_map(|yields| Work::Remove { yields }),
    ];
    prop_oneof![
        1 => (seat(), work).prop_map(|(seat, work)| Act::Begin(seat, work)),
        2 => (seat(), 1..10usize).prop_map(|(seat, steps)| Act::Go(seat, steps)),
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
        1 => pr().prop_map(Act::Leave),
        1 => seat().prop_map(Act::Lack),
        1 => pr().prop_map(Act::First),
        1 => (pr(), seat()).prop_map(|(pr, from)| Act::Take(pr, from)),
        1 => pr().prop_map(Act::Adopt),
        1 => pr().prop_map(Act::Find),
        1 => pr().prop_map(Act::Strike),
        1 => any::<bool>().prop_map(Act::Rebuild),
        1 => Just(Act::Restore),
        1 => (0..=3u32).prop_map(Act::Cap),
        2 => Just(Act::Sweep),
        1 => (1..100i64).prop_map(Act::Pass),
        // API servers whose clocks are off by up to an hour answer in turns.
        1 => (-3600..3600i64).prop_map(Act::Pass),
        1 => Just(Act::Pass(3600)),
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
    /// Namespace that had the preview's slot as its turn came.
    bound: Option<String>,
    /// True when the preview slept as its turn came.
    asleep: bool,
    /// The quota that it has seen.
    quota: Option<RunId>,
    /// The version of its Namespace that it has read.
    version: u64,
}

/// That a preview found no room.
#[derive(Debug, Clone)]
struct Lacking {
    since: i64,
    /// When it looked last.
    at: i64,
    /// UIDs that had slots then.
    beside: Vec<String>,
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
    /// How often somebody wrote to the Namespace of a UID after its creation.
    written: BTreeMap<String, u64>,
    /// UIDs that have had workloads, and so may keep data.
    data: BTreeSet<String>,
    runs: BTreeMap<Seat, Run>,
    /// Holders that a run has seen gone.
    gone: BTreeMap<u64, Vec<(String, String)>>,
    /// UIDs whose label says that nothing runs there.
    labelled: BTreeSet<String>,
    /// Who waits, by our own account.
    line: Vec<u64>,
    /// Who lacked room when it was last looked.
    lacking: BTreeMap<u64, Lacking>,
    /// What is to be forgotten.
    found: BTreeMap<u64, Remembered>,
    /// A ledger that was kept, and our own account of who waits in it.
    backup: Option<(Ledger, Vec<u64>, BTreeMap<u64, Lacking>)>,
    /// How many holders there may be: above the cap only what was counted there.
    most: usize,
}

impl World {
    fn claims(
        &mut self,
        ledger: &mut Ledger,
        pr: u64,
        run: &RunId,
        when_full: WhenFull,
    ) -> Result<Claim, TestCaseError> {
        let who = claimant(pr, run, when_full);
        let before = ledger.clone();
        let claimed = claim(ledger, &who, at(self.now));
        if claimed == Claim::Overtaken {
            prop_assert_eq!(&before, ledger);
            return Ok(claimed);
        }
        let dead = self.dead_claims(&before, pr);
        let was_holder = before.holder(&pr.to_string()).is_some();
        let free = (before.capacity as usize).saturating_sub(before.holders.len() - dead);
        let place = self.line.iter().position(|one| *one == pr);
        let ahead = match when_full {
            WhenFull::GoFirst => &[],
            _ => &self.line[..place.unwrap_or(self.line.len())],
        };
        let starves = ahead.iter().any(|pr| self.starves(*pr));
        let counts = |pr: &&u64| !self.is_passed(&before, **pr);
        let ahead = ahead.iter().filter(counts).count();
        match &claimed {
            Claim::Confirmed { .. } => prop_assert!(was_holder),
            Claim::Unconfirmed { .. } => {
                if !was_holder {
                    prop_assert!(free > ahead, "{pr} overtook {:?}", self.line);
                    prop_assert!(!starves, "{pr} takes the room of {:?}", self.lacking);
                }
                self.lacking.remove(&pr);
                self.line.retain(|one| *one != pr);
            }
            Claim::Queued(place) => {
                prop_assert!(free <= ahead || starves, "{pr} waits for nothing");
                if when_full == WhenFull::GoFirst {
                    self.line.retain(|one| *one != pr);
                    self.line.insert(0, pr);
                } else if !self.line.contains(&pr) {
                    self.line.push(pr);
                }
                prop_assert_eq!(self.line[place - 1], pr);
            }
            Claim::Full(_) => prop_assert!(free <= ahead || starves),
            Claim::Overtaken => {}
        }
        Ok(claimed)
    }

    /// True when a preview has lacked room for an hour, and not for six.
    fn starves(&self, pr: u64) -> bool {
        let lacking = self.lacking.get(&pr);
        lacking.is_some_and(|one| (3600..6 * 3600).contains(&(self.now - one.since)))
    }

    /// True when a preview needs no slot, because nothing has ended since there was no room for it, and nobody owes it any.
    fn is_passed(&self, ledger: &Ledger, pr: u64) -> bool {
        let held = slots(ledger);
        let still = |one: &Lacking| {
            self.now - one.at < 3600 && one.beside.iter().all(|uid| held.contains(uid))
        };
        self.lacking.get(&pr).is_some_and(still) && !self.starves(pr)
    }

    /// A run that has not claimed yet waits for room.
    fn lacks(&mut self, ledger: &mut Ledger, seat: Seat) -> Result<(), TestCaseError> {
        let deploys = |run: &&Run| matches!(run.work, Work::Deploy(_)) && run.step <= 1;
        let Some(run) = self.runs.get(&seat).filter(deploys).cloned() else {
            return Ok(());
        };
        let (pr, key) = (seat.0, seat.0.to_string());
        let who = claimant(pr, &run.id, WhenFull::Queue);
        let claimed = ledger.holder(&key).map(|one| one.uid.clone());
        let since = self.line.contains(&pr).then(|| ledger.position(&key));
        let Some(place) = wait(ledger, &who, "2 CPU", at(self.now)) else {
            return Ok(());
        };
        prop_assert!(!matches!(claimed, Some(Some(_))), "{pr} has a slot");
        match (claimed, since) {
            (Some(_), _) => self.line.insert(0, pr),
            (None, None) => self.line.push(pr),
            (None, Some(before)) => prop_assert_eq!(before, Some(place)),
        }
        let before = self.lacking.remove(&pr);
        let lacking = Lacking {
            since: before.map_or(self.now, |one| one.since),
            at: self.now,
            beside: slots(ledger),
        };
        self.lacking.insert(pr, lacking);
        self.runs.remove(&seat);
        Ok(())
    }

    /// Every Namespace as its labels have it.
    fn owned(&self) -> Vec<Owned> {
        let all = self.exists.iter();
        all.map(|(pr, uid)| Owned {
            asleep: self.labelled.contains(uid),
            ..owned(*pr, uid)
        })
        .collect()
    }

    /// The sweep counts what runs in Namespaces that no holder is bound to.
    fn counts(&mut self, ledger: &mut Ledger) {
        for one in self.owned() {
            let held = ledger.holder(&one.key).and_then(|one| one.uid.clone());
            let gone = held.as_ref().filter(|uid| **uid != one.uid);
            let record = ledger.previews.get(&one.key);
            let sleeps = |asleep: &Asleep| one.asleep && asleep.uid == one.uid;
            let busy = record.is_some_and(|record| {
                record.is_active(at(self.now)) || record.asleep.as_ref().is_some_and(sleeps)
            });
            let known = record.is_some_and(|record| record.newest.is_some());
            if busy || (held.is_some() && gone.is_none()) {
                continue;
            }
            if let Some(gone) = gone {
                let sweep = RunId("sweep".into());
                forget_uid(ledger, &one.key, gone, &sweep, at(self.now));
            }
            let (pr, empty) = (one.pr.get(), known && !self.data.contains(&one.uid));
            let one = Owned { empty, ..one };
            bind(ledger, one, false, at(self.now));
            if ledger.holder(&pr.to_string()).is_some() {
                self.line.retain(|one| *one != pr);
            }
            if !empty {
                self.most = self.most.max(ledger.holders.len());
            }
        }
    }

    fn adopts(&mut self, ledger: &mut Ledger, pr: u64) {
        self.count += 1;
        let uid = format!("u{}", self.count);
        if self.exists.contains_key(&pr)
            || adopt(ledger, &owned(pr, &uid), "alice", at(self.now)).is_none()
        {
            return;
        }
        self.line.retain(|one| *one != pr);
        self.most = self.most.max(ledger.holders.len());
        self.exists.insert(pr, uid.clone());
        self.written.insert(uid.clone(), 1);
        self.data.insert(uid.clone());
        self.works.insert(uid);
    }

    /// The ledger is made anew from what exists.
    fn rebuilds(&mut self, ledger: &mut Ledger, keep_slots: bool) {
        let sequences = ledger.previews.values().map(|record| record.sequence);
        let floor = sequences.max().unwrap_or_default().max(ledger.floor);
        let cap = ledger.capacity;
        *ledger = rebuild(cap, self.owned(), keep_slots, at(self.now));
        ledger.floor = floor;
        self.line.clear();
        self.most = ledger.holders.len();
    }

    /// The ledger of a backup is put back; what was noted of runs since is lost with them.
    fn restores(&mut self, ledger: &mut Ledger) {
        let now = (ledger.clone(), self.line.clone(), self.lacking.clone());
        if let Some((kept, line, lacking)) = self.backup.replace(now) {
            (*ledger, self.line, self.lacking) = (kept, line, lacking);
            self.runs.clear();
            self.gone.clear();
            self.found.clear();
            self.now += 3600 * 3;
            self.most = ledger.holders.len();
            self.counts(ledger);
        }
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
                    drop_vanished(ledger, &key, &uid);
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
            Act::Leave(pr) => {
                leave(ledger, &pr.to_string());
                self.line.retain(|one| *one != pr);
            }
            Act::Lack(seat) => self.lacks(ledger, seat)?,
            Act::First(pr) => self.goes_first(ledger, pr),
            Act::Take(pr, from) => self.takes(ledger, pr, from),
            Act::Adopt(pr) => self.adopts(ledger, pr),
            Act::Find(pr) => {
                let key = pr.to_string();
                let record = ledger.previews.get(&key);
                let over = record.filter(|record| ledger.is_over(&key, record));
                if let Some(record) = over {
                    let sequence = record.sequence;
                    self.found.insert(pr, Remembered { key, sequence });
                }
            }
            Act::Strike(pr) => {
                let found: Vec<Remembered> = self.found.remove(&pr).into_iter().collect();
                let kept = (ledger.holders.clone(), ledger.queue.clone());
                forget(ledger, &found);
                prop_assert_eq!(&kept, &(ledger.holders.clone(), ledger.queue.clone()));
            }
            Act::Rebuild(keep_slots) => self.rebuilds(ledger, keep_slots),
            Act::Restore => self.restores(ledger),
            Act::Sweep => {
                self.counts(ledger);
                self.dead_claims(ledger, 0);
                let next = next(ledger, &[], at(self.now));
                let mut line = self.line.iter().copied();
                let first = line.find(|pr| !self.is_passed(ledger, *pr));
                let first = first.filter(|_| ledger.free() > 0);
                let comes = next.as_ref().map(|one| one.pr.get());
                let starves = first.is_some_and(|pr| self.starves(pr));
                prop_assert!(comes == first || (comes.is_none() && starves), "{first:?}");
                if let Some(first) = next {
                    let seat = (first.pr.get(), true);
                    self.begins(ledger, seat, Work::Deploy(WhenFull::Queue));
                    self.goes(ledger, seat)?;
                    self.goes(ledger, seat)?;
                    prop_assert!(ledger.holder(&first.key).is_some(), "promoted in vain");
                }
            }
            Act::Cap(cap) => ledger.capacity = cap,
            Act::Pass(seconds) => self.now += seconds,
        }
        Ok(())
    }

    fn holds(&self, ledger: &Ledger) -> Result<(), TestCaseError> {
        let cap = ledger.capacity as usize;
        prop_assert!(ledger.holders.len() <= self.most.max(cap), "{:?}", ledger);
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

/// UIDs that have slots.
fn slots(ledger: &Ledger) -> Vec<String> {
    let holders = ledger.holders.iter();
    holders.filter_map(|one| one.uid.clone()).collect()
}

fn claimant(pr: u64, run: &RunId, when_full: WhenFull) -> Claimant {
    Claimant {
        key: pr.to_string(),
        pr: PrNumber::new(pr).unwrap(),
        namespace: format!("pr-web-{pr}").parse().unwrap(),
        owner: "alice".into(),
        run: run.clone(),
        when_full,
    }
}

fn owned(pr: u64, uid: &str) -> Owned {
    Owned {
        key: pr.to_string(),
        pr: PrNumber::new(pr).unwrap(),
        namespace: format!("pr-web-{pr}").parse().unwrap(),
        uid: uid.into(),
        slot: u32::try_from(pr).ok(),
        url: String::new(),
        life: None,
        asleep: false,
        empty: false,
    }
}

/// Many previews that come and go, or one whose two runs get into each other's way.
fn history() -> impl Strategy<Value = Vec<Act>> {
    let many = proptest::collection::vec(act(5), 1..50);
    let one = prop_oneof![
        12 => turn(1),
        1 => any::<bool>().prop_map(Act::Rebuild),
        1 => Just(Act::Restore),
    ];
    let one = proptest::collection::vec(one, 1..60);
    prop_oneof![many, one]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() })]
    /// Whatever runs do, see too late, or leave undone: never more workloads than slots, nobody lost, nobody overtaken.
    #[test]
    fn the_cap_and_the_queue_hold_in_any_history(acts in history()) {
        let mut ledger = Ledger::empty(CAP);
        let mut world = World::default();
        for act in &acts {
            world.plays(&mut ledger, act)?;
            world.holds(&ledger)?;
            world.most = ledger.holders.len();
            let line = world.line.clone();
            world.lacking.retain(|pr, _| line.contains(pr));
        }
    }
}
