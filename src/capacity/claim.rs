//! The claim of a slot: unconfirmed first, confirmed once the Namespace exists, dropped once it is gone.
//! It changes the ledger as a value and nothing else; Namespaces are created and deleted elsewhere.
//!
//! Why at most `capacity` previews have workloads: every stored version of the ledger has at most `capacity` holders that
//! were admitted by [`claim`], because one compare-and-swap writes it. Workloads are applied only by a run that saw its holder
//! confirmed, and only into the Namespace with that UID: after the Namespace was applied by its UID, or together with that by
//! patches that name the UID of what was seen in it, which change what is there and make nothing. A confirmed holder is dropped only by [`drop_holder`] and
//! [`forget_uid`], whose callers have read the Namespace by name and found that UID gone; a UID never returns. Or by
//! [`super::put_to_sleep`], when nothing can run in that Namespace until a run with a slot allows it again. A run that is not the
//! newest of its preview claims and confirms nothing: the newer one may have given that slot back. Clocks decide only when an
//! unconfirmed claim, which has no workloads, is given up.
//!
//! Why nobody is overtaken: who is not in the queue needs a free slot for everybody in it and one more, and who is in it one for
//! everybody before them and one more. Who lacks room, and not a slot, needs none meanwhile and is passed, but only for an hour:
//! small previews that come and go would otherwise take the room of a large one for ever.

use super::{
    Asleep, Attempt, Holder, Ledger, Record, RunId, WhenFull,
    queue::{self, is_free_for},
};
use crate::names::{CommitSha, Namespace, PrNumber, State};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeSet;

/// An unconfirmed claim of another run is given up after this time.
const CLAIM_LIFE: SignedDuration = SignedDuration::from_mins(2);

/// Stands for the run that claimed an adopted Namespace's slot.
const ADOPTED: &str = "adopted";

/// The same for a Namespace that was counted because it exists.
const REBUILT: &str = "rebuilt";

impl Holder {
    /// True while no run has deployed over what was adopted.
    pub fn is_adopted(&self) -> bool {
        self.run.0 == ADOPTED
    }

    /// True while no run has claimed the slot: its Namespace was there.
    pub fn is_found(&self) -> bool {
        [ADOPTED, REBUILT].contains(&self.run.0.as_str())
    }

    /// True for a claim whose run has died before it was confirmed.
    pub fn is_given_up(&self, now: Timestamp) -> bool {
        self.uid.is_none() && now.duration_since(self.since) >= CLAIM_LIFE
    }
}

/// Who asks for a slot.
#[derive(Debug, Clone)]
pub struct Claimant {
    /// Preview, as in [`Ledger::previews`].
    pub key: String,
    /// Pull request.
    pub pr: PrNumber,
    /// Namespace that it will have.
    pub namespace: Namespace,
    /// Login of the pull request's author.
    pub owner: String,
    /// Run that asks; it must have the turn of this preview.
    pub run: RunId,
    /// What becomes of it when there is no slot.
    pub when_full: WhenFull,
}

/// What became of a claim.
#[derive(Debug, Clone, PartialEq)]
pub enum Claim {
    /// The slot is ours, and the Namespace with this UID belongs to it.
    Confirmed {
        /// Slot, from 1.
        slot: u32,
        /// The Namespace that has it: an adopted one has a name of its own.
        namespace: Namespace,
        /// UID of the Namespace.
        uid: String,
    },
    /// The slot is ours for two minutes: create the Namespace, then [`confirm`].
    Unconfirmed {
        /// Slot, from 1.
        slot: u32,
    },
    /// There is no slot, and it does not wait for one. These hold them, or those who wait come first.
    Full(Vec<Holder>),
    /// There is no slot, and it waits at this place in line, from 1.
    Queued(usize),
    /// A newer run of this preview exists, and the slot is its business.
    Overtaken,
}

/// A Namespace that carries our labels, for [`rebuild`].
#[derive(Debug, Clone)]
pub struct Owned {
    /// Preview, as in [`Ledger::previews`].
    pub key: String,
    /// Pull request.
    pub pr: PrNumber,
    /// Name.
    pub namespace: Namespace,
    /// UID.
    pub uid: String,
    /// Slot that its label names.
    pub slot: Option<u32>,
    /// Main address that its annotation names.
    pub url: String,
    /// When it expires, as its annotation says; never when that says so.
    pub life: Option<Option<Timestamp>>,
    /// True when its label says that it sleeps.
    pub asleep: bool,
    /// True when no deploy has applied anything there nor will: its run has ended between making it and noting it.
    pub empty: bool,
}

/// Claims a slot; an existing holder keeps its own, so that an update is never refused.
pub fn claim(ledger: &mut Ledger, who: &Claimant, now: Timestamp) -> Claim {
    if is_overtaken(ledger, &who.key, &who.run) {
        return Claim::Overtaken;
    }
    if let Some(holder) = ledger
        .holders
        .iter_mut()
        .find(|holder| holder.key == who.key)
    {
        let (slot, uid) = (holder.slot, holder.uid.clone());
        if uid.is_none() {
            holder.run = who.run.clone();
            holder.since = now;
            holder.namespace = who.namespace.clone();
        }
        let namespace = holder.namespace.clone();
        super::sleep::stirs(ledger, &who.key);
        return match uid {
            Some(uid) => Claim::Confirmed {
                slot,
                namespace,
                uid,
            },
            None => Claim::Unconfirmed { slot },
        };
    }
    give_up_old_claims(ledger, now);
    if !is_free_for(ledger, who, now) {
        return match who.when_full {
            // A cap of none is no house that will have room once somebody leaves.
            _ if ledger.capacity == 0 => Claim::Full(ledger.holders.clone()),
            WhenFull::Refuse => Claim::Full(ledger.holders.clone()),
            WhenFull::Queue | WhenFull::GoFirst => Claim::Queued(queue::join(ledger, who, now)),
        };
    }
    let (waited, rest) = queue::comes_up(ledger, &who.key);
    let slot = lowest_free_slot(&ledger.holders);
    ledger.holders.push(Holder {
        key: who.key.clone(),
        pr: who.pr,
        namespace: who.namespace.clone(),
        uid: None,
        slot,
        run: who.run.clone(),
        since: now,
        owner: who.owner.clone(),
        url: String::new(),
        members: None,
        hosts: BTreeSet::new(),
        waited,
        rest,
    });
    super::sleep::stirs(ledger, &who.key);
    Claim::Unconfirmed { slot }
}

/// True when another run of the preview is the newest one.
pub(super) fn is_overtaken(ledger: &Ledger, key: &str, run: &RunId) -> bool {
    let record = ledger.previews.get(key);
    record.is_some_and(|record| record.is_beyond(run))
}

/// Puts claims that nobody confirmed in time back to the head of the queue: whoever made them has died.
pub fn give_up_old_claims(ledger: &mut Ledger, now: Timestamp) {
    let old = |holder: &Holder| holder.is_given_up(now);
    let (given_up, kept) = std::mem::take(&mut ledger.holders)
        .into_iter()
        .partition(old);
    ledger.holders = kept;
    queue::put_back(ledger, given_up);
}

/// The slot that the next one gets who claims one.
pub fn lowest_free_slot(holders: &[Holder]) -> u32 {
    let mut slot = 1;
    while holders.iter().any(|holder| holder.slot == slot) {
        slot += 1;
    }
    slot
}

/// Binds a claim to the Namespace that was created for it; false when the claim was given up meanwhile, or a newer run exists.
///
/// On false the caller deletes that Namespace if it has made it and no holder is bound to it, and claims again.
#[must_use]
pub fn confirm(ledger: &mut Ledger, key: &str, run: &RunId, uid: &str) -> bool {
    if is_overtaken(ledger, key, run) {
        return false;
    }
    let Some(holder) = ledger
        .holders
        .iter_mut()
        .find(|holder| holder.key == key && holder.run == *run)
    else {
        return false;
    };
    match &holder.uid {
        Some(bound) => bound == uid,
        None => {
            holder.uid = Some(uid.to_owned());
            true
        }
    }
}

/// Turns a confirmed holder whose Namespace is gone back into an unconfirmed one of this run.
///
/// Call it only after reading the Namespace by name: 404, or another UID.
pub fn forget_uid(ledger: &mut Ledger, key: &str, gone: &str, run: &RunId, now: Timestamp) {
    if let Some(holder) = ledger
        .holders
        .iter_mut()
        .find(|holder| holder.key == key && holder.uid.as_deref() == Some(gone))
    {
        holder.uid = None;
        holder.members = None;
        holder.hosts.clear();
        holder.run = run.clone();
        holder.since = now;
    }
}

/// Makes a Namespace that was there before us a holder, even above the cap; none when its preview has another one already.
pub fn adopt(ledger: &mut Ledger, owned: &Owned, owner: &str, now: Timestamp) -> Option<u32> {
    if let Some(holder) = ledger.holder(&owned.key) {
        return (holder.uid.as_ref() == Some(&owned.uid)).then_some(holder.slot);
    }
    let (_, rest) = queue::comes_up(ledger, &owned.key);
    let slot = lowest_free_slot(&ledger.holders);
    ledger.holders.push(Holder {
        key: owned.key.clone(),
        pr: owned.pr,
        namespace: owned.namespace.clone(),
        uid: Some(owned.uid.clone()),
        slot,
        run: RunId(ADOPTED.into()),
        since: now,
        owner: owner.into(),
        url: owned.url.clone(),
        members: None,
        hosts: BTreeSet::new(),
        waited: None,
        rest,
    });
    Some(slot)
}

/// Notes since when an adopted preview lives, and that what is in it counts as its head: it expires like any other, and no
/// sweep puts another one in its place.
pub fn note_adopted(record: &mut Record, head: Option<&CommitSha>, now: Timestamp) {
    record.last_activity = Some(now);
    if let Some(head) = head {
        record.attempted = Some(Attempt {
            sha: head.clone(),
            outcome: State::Ready,
            at: now,
        });
    }
}

/// Frees the slot of a preview whose Namespace with this UID is gone.
///
/// Call it only after reading the Namespace by name: 404, or another UID.
pub fn drop_holder(ledger: &mut Ledger, key: &str, gone: &str) {
    ledger
        .holders
        .retain(|holder| holder.key != key || holder.uid.as_deref() != Some(gone));
}

/// The same where somebody else has deleted it, and another preview's run has found that: a sweep has its comment say so.
pub fn drop_vanished(ledger: &mut Ledger, key: &str, gone: &str) {
    let before = ledger.holders.len();
    drop_holder(ledger, key, gone);
    let dropped = ledger.holders.len() < before;
    let elsewhere = |record: &Record| record.asleep.as_ref().is_some_and(|one| one.uid != gone);
    let record = ledger.previews.get_mut(key).filter(|_| dropped);
    if let Some(record) = record.filter(|record| record.active.is_none() && !elsewhere(record)) {
        record.vanish();
        record.untold = true;
    }
}

/// Frees what a removed preview has: its slot, when each of these Namespaces is gone, and a claim that was left without one. Its
/// place in line goes too if it `leaves`; else a claim that came from the line goes back there.
/// Claim and place may be a newer run's, where one has come although the removal was not at its end.
///
/// Call it only after reading the Namespaces by name: 404, or another UID.
pub fn clear(ledger: &mut Ledger, key: &str, run: &RunId, gone: &[String], leaves: bool) {
    for uid in gone {
        drop_holder(ledger, key, uid);
    }
    if is_overtaken(ledger, key, run) {
        return;
    }
    give_up(ledger, |holder| holder.key == key && holder.uid.is_none());
    if leaves {
        queue::leave(ledger, key);
    }
}

/// Gives up this run's own claim that has no Namespace; who had waited in line stands first in it again.
pub fn withdraw(ledger: &mut Ledger, key: &str, run: &RunId) {
    let ours = |holder: &Holder| holder.key == key && holder.run == *run && holder.uid.is_none();
    give_up(ledger, ours);
}

fn give_up(ledger: &mut Ledger, which: impl Fn(&Holder) -> bool) {
    let (given_up, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut ledger.holders)
        .into_iter()
        .partition(which);
    ledger.holders = kept;
    let waited = given_up.into_iter().filter(|one| one.waited.is_some());
    queue::put_back(ledger, waited.collect());
}

/// Makes a ledger from the Namespaces that exist, when it was lost: each is a holder, even above the cap, unless it sleeps
/// without its slot.
pub fn rebuild(
    capacity: u32,
    mut owned: Vec<Owned>,
    sleepers_keep_slots: bool,
    now: Timestamp,
) -> Ledger {
    let mut ledger = Ledger::empty(capacity);
    // Whoever is awake in a sleeper's slot was given it.
    owned.sort_by_key(|preview| preview.asleep);
    for preview in owned {
        bind(&mut ledger, preview, sleepers_keep_slots, now);
    }
    ledger
}

/// Counts a Namespace that exists and that no holder is bound to, even above the cap. One that sleeps is counted only in its own
/// slot, where sleepers keep theirs; where label and ledger differ, the next sweep puts it to sleep. What the ledger calls asleep
/// under the same name is gone, and its holder is the caller's to [`forget_uid`] before.
///
/// One that is empty gets none that is not spare; a later claim finds it again.
pub fn bind(ledger: &mut Ledger, preview: Owned, sleepers_keep_slots: bool, now: Timestamp) {
    if preview.empty && ledger.spare(now) == 0 && ledger.holder(&preview.key).is_none() {
        return;
    }
    let known = ledger.previews.contains_key(&preview.key);
    let record = ledger.previews.entry(preview.key.clone()).or_default();
    match preview.life {
        _ if known => {}
        Some(None) => record.pinned = true,
        Some(expires) => record.extended = expires,
        None => {}
    }
    let there = (preview.namespace.clone(), preview.uid.clone());
    let same = |asleep: &Asleep| !super::is_replaced(&asleep.home(), &there);
    record.asleep = record.asleep.take().filter(same);
    let claim = ledger
        .holders
        .iter_mut()
        .find(|holder| holder.key == preview.key);
    if let Some(claim) = claim {
        if claim.uid.is_none() {
            claim.uid = Some(preview.uid.clone());
            claim.namespace = preview.namespace.clone();
        }
        if claim.uid.as_ref() == Some(&preview.uid) && preview.asleep {
            // The ledger was lost while it fell asleep: nothing would wake it.
            record
                .asleep
                .get_or_insert_with(|| asleep(&preview, now, true));
        }
        return;
    }
    let free = |slot: &u32| ledger.holders.iter().all(|holder| holder.slot != *slot);
    let own = preview.slot.filter(free);
    if preview.asleep {
        // What the ledger says of its slot counts.
        if record.asleep.is_some() {
            return;
        }
        record.asleep = Some(asleep(&preview, now, false));
        if !sleepers_keep_slots || own.is_none() {
            return;
        }
    } else {
        let same = |asleep: &Asleep| asleep.uid == preview.uid;
        record.asleep = record.asleep.take().filter(same);
        super::sleep::stirs(ledger, &preview.key);
    }
    let (_, rest) = queue::comes_up(ledger, &preview.key);
    let slot = own.unwrap_or_else(|| lowest_free_slot(&ledger.holders));
    ledger.holders.push(Holder {
        key: preview.key,
        pr: preview.pr,
        namespace: preview.namespace,
        uid: Some(preview.uid),
        slot,
        run: RunId(REBUILT.into()),
        since: now,
        owner: String::new(),
        url: preview.url,
        members: None,
        hosts: BTreeSet::new(),
        waited: None,
        rest,
    });
}

fn asleep(preview: &Owned, now: Timestamp, unfinished: bool) -> Asleep {
    Asleep {
        since: now,
        by: String::new(),
        namespace: preview.namespace.clone(),
        uid: preview.uid.clone(),
        slot: preview.slot.unwrap_or_default(),
        owner: String::new(),
        unfinished,
        keeps_slot: None,
    }
}

#[cfg(test)]
#[path = "claim_tests.rs"]
mod tests;
