//! Turns what GitHub, the Namespaces and the ledger say at one moment into what the sweep is to do, each with its reason.
//! It asks nobody and changes nothing, so that `--dry-run` shows exactly what would be done.
//! What is not proved finished is kept: only a pull request that GitHub itself calls closed, or a time that is over.

use super::super::remove::RemoveReason;
use crate::{
    capacity::{Because, Holder, Ledger, Record},
    cluster::NamespaceInfo,
    event::{PullRequest, Repository},
    inputs::Settings,
    names::{Namespace, PrNumber, PreviewKey},
    plan,
};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// What is to be done about one preview.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Task {
    /// Preview.
    pub(super) preview: PreviewKey,
    /// Namespace that it has, or would have.
    pub(super) namespace: Namespace,
    /// What.
    pub(super) action: Action,
}

/// What the sweep can do about a preview.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Action {
    /// Remove it.
    Remove {
        /// Why.
        reason: RemoveReason,
        /// Who asked, where that is known.
        by: String,
    },
    /// Tell the author that it expires then.
    Warn(Timestamp),
    /// Put it to sleep, because nobody uses it.
    Sleep,
}

impl Action {
    /// What is done, in a word.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Remove { .. } => "remove",
            Self::Warn(_) => "warn",
            Self::Sleep => "sleep",
        }
    }

    /// Why, in a few words.
    pub(super) fn why(&self) -> String {
        match self {
            Self::Remove {
                reason: RemoveReason::Expired,
                ..
            } => "expired".into(),
            Self::Remove {
                reason: RemoveReason::Asked,
                ..
            } => "asked".into(),
            Self::Remove { .. } => "closed".into(),
            Self::Warn(at) => format!("expires {at}"),
            Self::Sleep => "idle".into(),
        }
    }
}

/// What there is, seen at one moment.
pub(super) struct Sight<'a> {
    pub(super) settings: &'a Settings,
    pub(super) repository: &'a Repository,
    pub(super) ledger: Ledger,
    /// The server's time.
    pub(super) now: Timestamp,
    pub(super) namespaces: BTreeMap<PreviewKey, NamespaceInfo>,
    /// Open pull requests.
    pub(super) open: BTreeMap<PrNumber, PullRequest>,
    /// Pull requests that GitHub itself calls closed, and whether they are merged.
    pub(super) closed: BTreeMap<PrNumber, bool>,
}

impl Sight<'_> {
    /// Pull requests that the list does not show open, although there is something of theirs: each has to be asked about.
    pub(super) fn doubtful(&self) -> BTreeSet<PrNumber> {
        let of_namespaces = self.namespaces.keys().map(|preview| preview.pr);
        let of_ledger = self.known().map(|(preview, _)| preview.pr);
        let waiting = self.ledger.queue.iter().map(|waiting| waiting.pr);
        of_namespaces
            .chain(of_ledger)
            .chain(waiting)
            .filter(|pr| !self.open.contains_key(pr))
            .collect()
    }

    /// What is to be done.
    pub(super) fn tasks(&self) -> Vec<Task> {
        let mut previews: BTreeSet<PreviewKey> = self.namespaces.keys().cloned().collect();
        previews.extend(self.known().map(|(preview, _)| preview));
        let waiting = self.ledger.queue.iter();
        previews.extend(waiting.filter_map(|one| self.preview_of(&one.key)));
        previews
            .into_iter()
            .filter_map(|preview| {
                let action = self.action(&preview)?;
                let namespace = self.namespace(&preview)?;
                Some(Task {
                    preview,
                    namespace,
                    action,
                })
            })
            .collect()
    }

    fn action(&self, preview: &PreviewKey) -> Option<Action> {
        if let Some(merged) = self.closed.get(&preview.pr) {
            let reason = RemoveReason::Closed { merged: *merged };
            return Some(self.removal(preview, reason));
        }
        if !self.open.contains_key(&preview.pr) {
            return None;
        }
        let record = self.record(preview)?;
        let begun = record.removing.as_ref().map(|one| one.because);
        match begun {
            // A pull request that was opened again is not closed any more.
            None | Some(Because::Closed | Because::Merged) => {}
            Some(because) => return Some(self.removal(preview, because.into())),
        }
        self.end_of_life(preview, record)
            .or_else(|| self.idle(preview, record))
    }

    /// Whether the preview holds a slot and nobody uses it.
    fn idle(&self, preview: &PreviewKey, record: &Record) -> Option<Action> {
        let after = self.settings.sleep_after?;
        let confirmed = |holder: &Holder| holder.uid.is_some();
        let sleeps = self.lives(preview)
            && self.holder(preview).is_some_and(confirmed)
            && !record.is_active(self.now)
            && record.is_idle(after, self.now);
        sleeps.then_some(Action::Sleep)
    }

    /// Whether the preview has expired, or its author has to be told that it will.
    fn end_of_life(&self, preview: &PreviewKey, record: &Record) -> Option<Action> {
        if !self.lives(preview) {
            return None;
        }
        let ttl = self.settings.ttl;
        if self.settings.expiry_warning
            && let Some(expires) = record.to_be_warned(ttl, self.now)
        {
            return Some(Action::Warn(expires));
        }
        record
            .is_expired(ttl, self.now)
            .then(|| self.removal(preview, RemoveReason::Expired))
    }

    fn removal(&self, preview: &PreviewKey, reason: RemoveReason) -> Action {
        let begun = self
            .record(preview)
            .and_then(|record| record.removing.as_ref());
        Action::Remove {
            reason,
            by: begun.map_or_else(String::new, |begun| begun.by.clone()),
        }
    }

    /// True when there is something of the preview in the cluster that nobody is deleting.
    fn lives(&self, preview: &PreviewKey) -> bool {
        self.namespaces
            .get(preview)
            .is_some_and(|info| info.deleting.is_none())
    }

    fn record(&self, preview: &PreviewKey) -> Option<&Record> {
        self.ledger.previews.get(&preview.in_ledger())
    }

    fn holder(&self, preview: &PreviewKey) -> Option<&Holder> {
        self.ledger.holder(&preview.in_ledger())
    }

    fn namespace(&self, preview: &PreviewKey) -> Option<Namespace> {
        if let Some(info) = self.namespaces.get(preview) {
            return Some(info.name.clone());
        }
        if let Some(holder) = self.holder(preview) {
            return Some(holder.namespace.clone());
        }
        // A pattern that gives no name was refused when the settings were read.
        plan::namespace(self.settings, &self.repository.name, preview).ok()
    }

    /// Previews that the ledger knows to be unfinished: their removal was begun, or their slot is taken; nobody is at work on them.
    fn known(&self) -> impl Iterator<Item = (PreviewKey, &Record)> {
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

    /// The preview behind a key of the ledger.
    fn preview_of(&self, key: &str) -> Option<PreviewKey> {
        let (pr, variant) = match key.split_once('-') {
            Some((pr, variant)) => (pr, Some(variant.parse().ok()?)),
            None => (key, None),
        };
        Some(PreviewKey {
            repository: self.repository.id,
            environment: self.settings.environment.clone(),
            pr: pr.parse().ok()?,
            variant,
        })
    }
}
