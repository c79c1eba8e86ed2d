//! Who waits for a slot, in which order: first come, first served.
//! It changes the ledger as a value; whether a pull request is still open is the caller's to find out.
//! An entry ends only when its preview gets a slot or nobody wants it any more, so that a run that dies loses nobody's place.

use super::{
    ActiveRun, Claimant, Holder, Lack, Ledger, RunId, Waiting,
    claim::{give_up_old_claims, is_overtaken},
    format::{Rest, goes_along},
};
use crate::names::PrNumber;
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeSet;

/// Whoever waits for room is tried again after this time although no preview has ended: other workloads end as well.
const LOOK_AGAIN: SignedDuration = SignedDuration::from_hours(1);

/// Whoever lacks room is passed by others for so long, and then they wait behind it.
const PASSED: SignedDuration = SignedDuration::from_hours(1);

/// Until it has lacked room for so long: what takes that may be pinned or another repository's, and end for nobody.
const KEPT_FREE: SignedDuration = SignedDuration::from_hours(6);

/// A slot is kept for who is first and whom GitHub does not show for so long.
const UNSEEN: SignedDuration = SignedDuration::from_hours(1);

/// A run that was started for who waits has so long to come to it, also where reviewers are asked first.
const COMES: SignedDuration = SignedDuration::from_hours(1);

/// What becomes of a preview that finds no slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WhenFull {
    /// It waits, behind all who wait already.
    #[default]
    Queue,
    /// It waits before all others: a maintainer has made room for it.
    GoFirst,
    /// It is refused.
    Refuse,
}

impl Ledger {
    /// How many slots nobody holds; none when the cap was lowered below what is held.
    pub fn free(&self) -> usize {
        (self.capacity as usize).saturating_sub(self.holders.len())
    }

    /// The place of a preview in the queue, from 1.
    pub fn position(&self, key: &str) -> Option<usize> {
        let index = self.queue.iter().position(|waiting| waiting.key == key)?;
        Some(index + 1)
    }

    /// How many slots are free for somebody who comes after these.
    fn left_by(&self, before: &[Waiting], now: Timestamp) -> usize {
        if before.iter().any(|waiting| waiting.starves(now)) {
            return 0;
        }
        let counts = |waiting: &&Waiting| !waiting.is_passed(&self.holders, now);
        let ahead = before.iter().filter(counts).count();
        self.free().saturating_sub(ahead)
    }

    /// How many slots are free for newcomers.
    pub fn spare(&self, now: Timestamp) -> usize {
        self.left_by(&self.queue, now)
    }
}

/// True when a slot is free for a claimant, and for everybody who comes before it.
pub(super) fn is_free_for(ledger: &Ledger, who: &Claimant, now: Timestamp) -> bool {
    let place = ledger.position(&who.key);
    let ahead = match who.when_full {
        WhenFull::GoFirst => 0,
        _ => place.map_or(ledger.queue.len(), |place| place - 1),
    };
    let (before, _) = ledger.queue.split_at(ahead);
    ledger.left_by(before, now) > 0
}

/// Puts a claimant in line, unless it stands there already, and says at which place.
pub(super) fn join(ledger: &mut Ledger, who: &Claimant, now: Timestamp) -> usize {
    let there = ledger.position(&who.key);
    if let Some(waiting) = there.and_then(|position| ledger.queue.get_mut(position - 1)) {
        // Whoever was called has come.
        (waiting.called, waiting.in_vain) = (None, 0);
    }
    if let (Some(position), true) = (there, who.when_full != WhenFull::GoFirst) {
        return position;
    }
    let waiting = match there {
        Some(position) => ledger.queue.remove(position - 1),
        None => Waiting::new(who.key.clone(), who.pr, now, who.owner.clone()),
    };
    if who.when_full == WhenFull::GoFirst {
        ledger.queue.insert(0, waiting);
        return 1;
    }
    ledger.queue.push(waiting);
    ledger.queue.len()
}

/// Lets a preview wait in line although a slot may be free: the cluster has no room for it now. Says its place; none when a newer
/// run exists, or it has a slot: then it waits for nothing.
pub fn wait(ledger: &mut Ledger, who: &Claimant, lacks: &str, now: Timestamp) -> Option<usize> {
    let placed = ledger.holder(&who.key).is_some_and(|one| one.uid.is_some());
    if placed || is_overtaken(ledger, &who.key, &who.run) {
        return None;
    }
    // What a run that has died claimed for it is free for others meanwhile.
    let claimed = |one: &Holder| one.key == who.key;
    let (claims, kept) = std::mem::take(&mut ledger.holders)
        .into_iter()
        .partition(claimed);
    ledger.holders = kept;
    put_back(ledger, claims);
    let place = join(ledger, who, now);
    let holders = ledger.holders.iter();
    let beside = holders.filter_map(|one| one.uid.clone()).collect();
    if let Some(waiting) = ledger.queue.get_mut(place - 1) {
        let since = waiting.lacks.as_ref().map_or(now, Lack::began);
        waiting.lacks = Some(Lack {
            of: lacks.into(),
            at: now,
            since: Some(since),
            beside,
        });
    }
    Some(place)
}

impl Lack {
    fn began(&self) -> Timestamp {
        self.since.unwrap_or(self.at)
    }
}

impl Waiting {
    /// Who begins to wait, and is neither told nor called.
    fn new(key: String, pr: PrNumber, since: Timestamp, owner: String) -> Self {
        Self {
            key,
            pr,
            since,
            owner,
            told: 0,
            called: None,
            in_vain: 0,
            unseen: None,
            lacks: None,
            rest: serde_json::Map::new(),
        }
    }

    /// For how long it has lacked room, if it does.
    fn lacked(&self, now: Timestamp) -> Option<SignedDuration> {
        let lack = self.lacks.as_ref()?;
        Some(now.duration_since(lack.began()))
    }

    /// True when it lacks room, and not for so long that none will come.
    pub fn hopes_for_room(&self, now: Timestamp) -> bool {
        self.lacked(now).is_some_and(|lacked| lacked < KEPT_FREE)
    }

    /// True when it has lacked room for so long that room is kept free for it, and not so long that none will come.
    fn starves(&self, now: Timestamp) -> bool {
        let lacked = self.lacked(now);
        lacked.is_some_and(|lacked| (PASSED..KEPT_FREE).contains(&lacked))
    }

    /// True when nothing has ended since there was no room for it, so that there is none now either.
    fn lacks_still(&self, holders: &[Holder], now: Timestamp) -> bool {
        self.lacks.as_ref().is_some_and(|lack| {
            let stands = |uid: &String| holders.iter().any(|one| one.uid.as_ref() == Some(uid));
            now.duration_since(lack.at) < LOOK_AGAIN && lack.beside.iter().all(stands)
        })
    }

    /// True when a run was started for it in vain, or one has not come to it for an hour: it may be started again, but none waits for it.
    fn does_not_come(&self, now: Timestamp) -> bool {
        let long = |called: Timestamp| now.duration_since(called) >= COMES;
        self.in_vain > 0 || self.called.is_some_and(long)
    }

    /// True when others pass it, so that no slot is kept free for it either.
    fn is_passed(&self, holders: &[Holder], now: Timestamp) -> bool {
        self.does_not_come(now) || self.lacks_still(holders, now) && !self.starves(now)
    }
}

/// Puts claims that were given up before all who wait, in their own order.
pub(super) fn put_back(ledger: &mut Ledger, given_up: Vec<Holder>) {
    for holder in given_up.into_iter().rev() {
        leave(ledger, &holder.key);
        let waiting = Waiting {
            rest: goes_along(holder.rest),
            ..Waiting::new(
                holder.key,
                holder.pr,
                holder.waited.unwrap_or(holder.since),
                holder.owner,
            )
        };
        ledger.queue.insert(0, waiting);
    }
}

/// Takes who gets a slot out of the queue: since when it has waited, and what a newer version noted of it.
pub(super) fn comes_up(ledger: &mut Ledger, key: &str) -> (Option<Timestamp>, Rest) {
    let at = ledger.queue.iter().position(|waiting| waiting.key == key);
    let waited = at.map(|at| ledger.queue.remove(at));
    waited.map_or((None, Rest::new()), |waiting| {
        (Some(waiting.since), goes_along(waiting.rest))
    })
}

/// Puts a preview first in line before anything is freed for it, so that no other run gives that away.
pub fn put_first(ledger: &mut Ledger, key: &str, pr: PrNumber, owner: &str, now: Timestamp) {
    let before = ledger.queue.iter().find(|waiting| waiting.key == key);
    let (since, rest) = before.map_or((now, serde_json::Map::new()), |waiting| {
        (waiting.since, waiting.rest.clone())
    });
    leave(ledger, key);
    let waiting = Waiting {
        rest,
        ..Waiting::new(key.into(), pr, since, owner.into())
    };
    ledger.queue.insert(0, waiting);
}

/// Puts who cannot be let in for now behind all others, so that nobody waits for it; true when it stood before somebody.
pub fn step_back(ledger: &mut Ledger, key: &str) -> bool {
    let behind = ledger.queue.len();
    let at = ledger.position(key).filter(|place| *place < behind);
    if let Some(at) = at {
        ledger.queue[at - 1..].rotate_left(1);
    }
    at.is_some()
}

/// Notes whether GitHub has shown the pull request of who waits, and puts whom it has not shown for an hour behind all others;
/// true when that changed something.
pub fn looked(ledger: &mut Ledger, key: &str, shown: bool, now: Timestamp) -> bool {
    let Some(waiting) = ledger.queue.iter_mut().find(|one| one.key == key) else {
        return false;
    };
    let before = waiting.unseen;
    waiting.unseen = (!shown).then(|| before.unwrap_or(now));
    let long = |since: Timestamp| now.duration_since(since) >= UNSEEN;
    let moved = waiting.unseen.is_some_and(long) && step_back(ledger, key);
    moved || before.is_some() == shown
}

/// True when somebody waits at another place than its comment names, and no run is at work on it.
pub fn untold(ledger: &Ledger, now: Timestamp) -> bool {
    (1..)
        .zip(&ledger.queue)
        .any(|(place, waiting)| to_be_told(ledger, waiting, place, now, None))
}

/// A run that has the word on it already, for instance because the answer to its first try was lost, tells it as well.
fn to_be_told(
    ledger: &Ledger,
    waiting: &Waiting,
    place: usize,
    now: Timestamp,
    by: Option<&RunId>,
) -> bool {
    let record = ledger.previews.get(&waiting.key);
    let busy = record.filter(|record| record.is_active(now));
    let busy = busy.and_then(|record| record.active.as_ref());
    waiting.told != place && busy.is_none_or(|active| Some(&active.run) == by)
}

/// Takes the word on those in line whose comment names another place than theirs, and says who that is, at which place: `most`
/// of them, without those that were tried.
///
/// No sequence rises, so a run that waits for its turn gets it once [`said_places`] has given the word back.
pub fn say_places(
    ledger: &mut Ledger,
    run: &RunId,
    tried: &BTreeSet<String>,
    most: usize,
    now: Timestamp,
) -> Vec<(Waiting, usize)> {
    let places = (1..).zip(ledger.queue.clone());
    let places: Vec<_> = places
        .filter(|(place, waiting)| to_be_told(ledger, waiting, *place, now, Some(run)))
        .filter(|(_, waiting)| !tried.contains(&waiting.key))
        .map(|(place, waiting)| (waiting, place))
        .take(most)
        .collect();
    for (waiting, _) in &places {
        let record = ledger.previews.entry(waiting.key.clone()).or_default();
        record.active = Some(ActiveRun {
            run: run.clone(),
            heartbeat: now,
        });
    }
    places
}

/// Gives the word back, and notes the places that comments name now: of those that were `told`.
pub fn said_places(
    ledger: &mut Ledger,
    run: &RunId,
    places: &[(Waiting, usize)],
    told: &BTreeSet<String>,
) {
    for (said, place) in places {
        if let Some(record) = ledger.previews.get_mut(&said.key)
            && record
                .active
                .as_ref()
                .is_some_and(|active| active.run == *run)
        {
            record.active = None;
        }
        let waiting = ledger.queue.iter_mut().find(|one| one.key == said.key);
        if let Some(waiting) = waiting.filter(|one| told.contains(&one.key)) {
            waiting.told = *place;
        }
    }
}

/// Takes a preview out of the queue; true when it was in it.
pub fn leave(ledger: &mut Ledger, key: &str) -> bool {
    let before = ledger.queue.len();
    ledger.queue.retain(|waiting| waiting.key != key);
    ledger.queue.len() < before
}

/// Who may have a slot now: the first in line for whom one is free, who is not among `tried` and does not lack room.
///
/// Whoever is passed over keeps its place, and the slot that is free for it unless it lacks room or the run that was started for
/// it does not come; who has lacked room for an hour is passed by nobody for the next five.
pub fn next(ledger: &mut Ledger, tried: &[String], now: Timestamp) -> Option<Waiting> {
    give_up_old_claims(ledger, now);
    let holders = &ledger.holders;
    let mut free = ledger.free();
    for waiting in &ledger.queue {
        if free == 0 {
            return None;
        }
        if !tried.contains(&waiting.key) && !waiting.lacks_still(holders, now) {
            return Some(waiting.clone());
        }
        if waiting.starves(now) {
            return None;
        }
        free -= usize::from(!waiting.is_passed(holders, now));
    }
    None
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
