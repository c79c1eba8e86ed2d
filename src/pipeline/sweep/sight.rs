//! What GitHub, the Namespaces and the ledger say at one moment, and what that leaves to be asked.
//! It decides nothing: each decision of the sweep stands in a file of its own.

use super::look::Mandate;
use crate::{
    capacity::{Holder, Home, Ledger, Record},
    cluster::{NamespaceInfo, outcome::Applied},
    event::{PullRequest, Repository},
    inputs::Settings,
    names::{Namespace, PrNumber, PreviewKey},
    plan,
};
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

/// How many pull requests are asked about only to forget them: an old ledger is cleared little by little, within the limits
/// that GitHub sets.
const FORGOTTEN_AT_ONCE: usize = 40;

/// What there is, seen at one moment.
pub(super) struct Sight<'a> {
    pub(super) settings: &'a Settings,
    pub(super) mandate: Mandate,
    pub(super) repository: &'a Repository,
    pub(super) ledger: Ledger,
    /// The server's time.
    pub(super) now: Timestamp,
    /// What is wrong with the ledger, if something is.
    pub(super) trouble: Option<String>,
    pub(super) namespaces: BTreeMap<PreviewKey, NamespaceInfo>,
    /// Workloads that are not ready, by Namespace, none of one where nothing lasts; none at all when nobody may look.
    pub(super) unready: Option<BTreeMap<String, Vec<Applied>>>,
    /// Open pull requests, and how long ago somebody last touched each, by GitHub's own clock.
    pub(super) open: BTreeMap<PrNumber, (PullRequest, Option<SignedDuration>)>,
    /// Pull requests that GitHub itself calls closed, and whether they are merged.
    pub(super) closed: BTreeMap<PrNumber, bool>,
}

impl Sight<'_> {
    /// Takes a Namespace for the one of its preview; where there are two, the one that the ledger names, and the other one is told.
    pub(super) fn lodge(&mut self, preview: PreviewKey, info: NamespaceInfo) -> Option<Namespace> {
        let home = self.home(&preview);
        match self.namespaces.get(&preview) {
            Some(kept) if home.is_some_and(|(_, uid)| uid == kept.uid) => Some(info.name),
            _ => {
                let before = self.namespaces.insert(preview, info);
                before.map(|before| before.name)
            }
        }
    }

    /// Pull requests that the list does not show open, although there is something of theirs: each has to be asked about.
    pub(super) fn doubtful(&self) -> BTreeSet<PrNumber> {
        let of_namespaces = self.namespaces.keys().map(|preview| preview.pr);
        let of_ledger = self.known().map(|(preview, _)| preview.pr);
        let waiting = self.ledger.queue.iter().map(|waiting| waiting.pr);
        let mut doubtful: BTreeSet<PrNumber> = of_namespaces
            .chain(of_ledger)
            .chain(waiting)
            .filter(|pr| !self.open.contains_key(pr))
            .collect();
        let over = self.over().map(|(preview, _)| preview.pr);
        let over: BTreeSet<PrNumber> = over
            .filter(|pr| !self.open.contains_key(pr) && !doubtful.contains(pr))
            .collect();
        let over = Vec::from_iter(over);
        // Not always the same ones: some may be of pull requests that GitHub knows nothing of.
        let first = self.now.as_second().unsigned_abs() as usize % over.len().max(1);
        let (before, from) = over.split_at(first);
        doubtful.extend(from.iter().chain(before).take(FORGOTTEN_AT_ONCE));
        doubtful
    }

    /// Pull requests with a Namespace of which GitHub says neither that they are open nor that they are closed.
    pub(super) fn unknown(&self) -> BTreeSet<PrNumber> {
        let all = self.namespaces.keys().map(|preview| preview.pr);
        all.filter(|pr| !self.open.contains_key(pr) && !self.closed.contains_key(pr))
            .collect()
    }

    /// Where the ledger has the preview: name and UID of the Namespace that holds a slot or sleeps.
    pub(super) fn home(&self, preview: &PreviewKey) -> Option<Home> {
        self.ledger.home(&preview.in_ledger())
    }

    pub(super) fn record(&self, preview: &PreviewKey) -> Option<&Record> {
        self.ledger.previews.get(&preview.in_ledger())
    }

    pub(super) fn holder(&self, preview: &PreviewKey) -> Option<&Holder> {
        self.ledger.holder(&preview.in_ledger())
    }

    pub(super) fn waits(&self, preview: &PreviewKey) -> bool {
        self.ledger.position(&preview.in_ledger()).is_some()
    }

    /// True when there is something of the preview in the cluster that nobody is deleting.
    pub(super) fn lives(&self, preview: &PreviewKey) -> bool {
        self.namespaces
            .get(preview)
            .is_some_and(|info| info.deleting.is_none())
    }

    pub(super) fn namespace(&self, preview: &PreviewKey) -> Option<Namespace> {
        if let Some(info) = self.namespaces.get(preview) {
            return Some(info.name.clone());
        }
        if let Some(holder) = self.holder(preview) {
            return Some(holder.namespace.clone());
        }
        // A pattern that gives no name was refused when the settings were read.
        plan::namespace(self.settings, &self.repository.name, preview).ok()
    }

    /// Namespace of the preview behind a key of the ledger.
    pub(super) fn namespace_of(&self, key: &str) -> Option<Namespace> {
        self.namespace(&self.preview_of(key)?)
    }

    /// Previews that the ledger knows to be unfinished: their removal was begun, or their slot is taken; nobody is at work on them.
    pub(super) fn known(&self) -> impl Iterator<Item = (PreviewKey, &Record)> {
        self.ledger
            .previews
            .iter()
            .filter(|(key, record)| {
                let unfinished = record.removing.is_some()
                    || record.asleep.is_some()
                    || self.ledger.holder(key).is_some();
                unfinished && !record.is_active(self.now)
            })
            .filter_map(|(key, record)| Some((self.preview_of(key)?, record)))
    }

    /// Previews of which nothing is left but what the ledger remembers.
    pub(super) fn over(&self) -> impl Iterator<Item = (PreviewKey, &Record)> {
        let records = self.ledger.previews.iter();
        records
            .filter(|(key, record)| self.ledger.is_over(key, record))
            .filter_map(|(key, record)| Some((self.preview_of(key)?, record)))
            .filter(|(preview, _)| !self.namespaces.contains_key(preview))
    }

    /// The preview behind a key of the ledger.
    pub(super) fn preview_of(&self, key: &str) -> Option<PreviewKey> {
        PreviewKey::from_ledger(self.repository.id, &self.settings.environment, key)
    }
}
