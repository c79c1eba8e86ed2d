//! The runs of the model: what a deploy, a waking, a sleep and a removal do to ledger, Namespaces and quotas, one step at a time.
//! They see the world only where a real run would look, and may stall between any two of their steps.
//! Apart from the model's books, because those must not follow from what runs do.
#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use super::*;

impl World {
    pub(super) fn begins(&mut self, ledger: &mut Ledger, seat: Seat, work: Work) {
        self.count += 1;
        let (key, id) = (seat.0.to_string(), RunId(format!("r{}", self.count)));
        let bound = ledger.holder(&key).and_then(|one| one.uid.clone());
        let record = ledger.previews.entry(key.clone()).or_default();
        if matches!(work, Work::Remove { yields: true }) && record.is_active(at(self.now)) {
            return;
        }
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
            bound,
            asleep,
            quota: None,
            version: 0,
        };
        self.runs.insert(seat, run);
    }

    pub(super) fn goes(&mut self, ledger: &mut Ledger, seat: Seat) -> Result<(), TestCaseError> {
        let Some(mut run) = self.runs.remove(&seat) else {
            return Ok(());
        };
        let goes_on = match run.work {
            Work::Deploy(when_full) => self.deploys(ledger, seat.0, &mut run, when_full)?,
            Work::Sleep => self.sleeps(ledger, seat.0, &mut run),
            Work::Remove { .. } => self.removes(ledger, seat.0, &mut run),
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
                self.labelled.remove(&run.uid);
                self.writes(&run.uid);
            }
            // A ledger that was made anew before the label was written counts it for a sleeper.
            5 if run.asleep && !alive(ledger, &key, &run.id, at(self.now)) => return Ok(false),
            6 if run.quota.is_some() && self.quotas.get(&run.uid) == run.quota.as_ref() => {
                self.quotas.remove(&run.uid);
            }
            7 => self.starts(pr, &run.uid),
            8 => {
                if finish(ledger, &key, &run.id, None) {
                    ledger.previews.get_mut(&key).unwrap().asleep = None;
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
            1 | 8 => {
                let asleep = Asleep {
                    since: at(self.now),
                    by: String::new(),
                    namespace: format!("pr-web-{pr}").parse().unwrap(),
                    uid: run.uid.clone(),
                    slot: 1,
                    owner: String::new(),
                    unfinished: true,
                    keeps_slot: None,
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
            }
            4 => return true,
            // The label is written over the version that was read before this run was seen to be the newest.
            5 => run.version = self.version(&run.uid),
            6 if !alive(ledger, &key, &run.id, at(self.now)) => return false,
            7 if run.version != self.version(&run.uid) => {
                run.step = 5;
                return true;
            }
            7 => {
                self.labelled.insert(run.uid.clone());
                self.writes(&run.uid);
            }
            _ => {}
        }
        run.step += 1;
        true
    }

    /// One step of a removal; false at its end.
    fn removes(&mut self, ledger: &mut Ledger, pr: u64, run: &mut Run) -> bool {
        let key = pr.to_string();
        match run.step {
            // What there is by name, whoever has made it.
            0 => run.uid = self.exists.get(&pr).cloned().unwrap_or_default(),
            1 if self.exists.get(&pr) == Some(&run.uid) => {
                self.exists.remove(&pr);
                self.works.remove(&run.uid);
            }
            2 => {
                let gone: Vec<String> = run.bound.iter().chain([&run.uid]).cloned().collect();
                clear(ledger, &key, &run.id, &gone, true);
                // The place of a newer run is its own.
                let newest = ledger
                    .previews
                    .get(&key)
                    .and_then(|one| one.newest.as_ref());
                if newest.is_none_or(|newest| *newest == run.id) {
                    self.line.retain(|one| *one != pr);
                }
            }
            3 => {
                if finish(ledger, &key, &run.id, None) {
                    ledger.previews.get_mut(&key).unwrap().bury();
                }
                return false;
            }
            _ => {}
        }
        run.step += 1;
        true
    }

    pub(super) fn goes_first(&mut self, ledger: &mut Ledger, pr: u64) {
        let (key, number) = (pr.to_string(), PrNumber::new(pr).unwrap());
        if ledger.holder(&key).is_none() {
            put_first(ledger, &key, number, "alice", at(self.now));
            self.lacking.remove(&pr);
            self.line.retain(|one| *one != pr);
            self.line.insert(0, pr);
        }
    }

    pub(super) fn takes(&mut self, ledger: &mut Ledger, pr: u64, from: Seat) {
        let held = |pr: u64| ledger.holder(&pr.to_string()).is_some();
        let just_full = ledger.holders.len() == ledger.capacity as usize;
        if held(from.0) && !held(pr) && just_full {
            self.goes_first(ledger, pr);
            self.begins(ledger, from, Work::Remove { yields: false });
        }
    }

    fn writes(&mut self, uid: &str) {
        *self.written.entry(uid.to_owned()).or_default() += 1;
    }

    fn version(&self, uid: &str) -> u64 {
        self.written.get(uid).copied().unwrap_or_default()
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
        if there && run.fresh && !bound && self.version(&run.uid) == 0 {
            prop_assert!(!self.data.contains(&run.uid), "data of {pr} are lost");
            self.exists.remove(&pr);
        }
        Ok(())
    }

    pub(super) fn gives_up(&mut self, ledger: &mut Ledger, seat: Seat) {
        let (pr, key) = (seat.0, seat.0.to_string());
        let Some(run) = self.runs.remove(&seat) else {
            return;
        };
        match run.work {
            Work::Deploy(_) => {
                let mine = |one: &&Holder| one.uid.is_none() && one.run == run.id;
                let given_up = ledger.holder(&key).filter(mine);
                if given_up.is_some_and(|one| one.waited.is_some()) {
                    self.line.insert(0, pr);
                }
                withdraw(ledger, &key, &run.id);
            }
            Work::Sleep if run.step > 1 => {
                self.labelled.remove(&run.uid);
                self.writes(&run.uid);
                if !alive(ledger, &key, &run.id, at(self.now)) {
                    return;
                }
                if self.quotas.get(&run.uid) == Some(&run.id) {
                    self.quotas.remove(&run.uid);
                }
                self.starts(pr, &run.uid);
                ledger.previews.get_mut(&key).unwrap().asleep = None;
            }
            Work::Sleep => {}
            Work::Remove { .. } => {
                let _newest = finish(ledger, &key, &run.id, None);
            }
        }
    }
}
