//! Which entries of the ledger a sweep brings in line with what exists: whom to count, to name, to forget.
//! The ledger itself is written elsewhere, in one go.

use super::sight::Sight;
use crate::{
    capacity::{self, Holder, Record, Remembered, Shown},
    cluster::NamespaceInfo,
    names::{PrNumber, PreviewKey},
    pipeline::desk::is_labelled_asleep,
};
use std::collections::BTreeMap;

impl Sight<'_> {
    /// Namespaces of ours that nobody counts for what they are: no holder is bound to them, although they do not sleep by ledger
    /// and label both, or they sleep in a slot and only the label says so. What a ledger from a backup has in their place is gone.
    /// Nobody is at work on them.
    pub(super) fn uncounted(&self) -> Vec<NamespaceInfo> {
        let uncounted = self.namespaces.iter().filter(|(preview, info)| {
            let there = (info.name.clone(), info.uid.clone());
            let stands = |known| !capacity::is_replaced(&known, &there);
            let bound = self.holder(preview).and_then(Holder::home);
            let bound = bound.is_some_and(stands);
            let record = self.record(preview);
            let asleep = record.and_then(|record| record.asleep.as_ref());
            let asleep = asleep.is_some_and(|asleep| stands(asleep.home()));
            let labelled = is_labelled_asleep(info);
            info.deleting.is_none()
                && !self.closed.contains_key(&preview.pr)
                && match bound {
                    true => labelled && !asleep,
                    false => !(labelled && asleep),
                }
                && !record.is_some_and(|record| record.is_active(self.now))
        });
        uncounted.map(|(_, info)| info.clone()).collect()
    }

    /// Who opened the pull requests of holders whose owner was lost with the ledger.
    pub(super) fn authors(&self) -> BTreeMap<PrNumber, String> {
        let holders = self.ledger.holders.iter();
        let nameless = holders.filter(|holder| holder.owner.is_empty());
        nameless
            .filter_map(|holder| {
                let (pull, _) = self.open.get(&holder.pr)?;
                Some((holder.pr, pull.author.login.clone()))
            })
            .collect()
    }

    /// True when a run has died between its claim and its Namespace.
    pub(super) fn has_dead_claims(&self) -> bool {
        let holders = self.ledger.holders.iter();
        holders.into_iter().any(|one| one.is_given_up(self.now))
    }

    /// Records of pull requests that GitHub itself calls closed, and of which nothing else is left.
    pub(super) fn forgotten(&self) -> Vec<Remembered> {
        self.over()
            .filter(|(preview, _)| self.closed.contains_key(&preview.pr))
            // First what is shown of them ends.
            .filter(|(_, record)| record.shown == Shown::default())
            .map(|(preview, record)| Remembered {
                key: preview.in_ledger(),
                sequence: record.sequence,
            })
            .collect()
    }

    /// Previews of which nothing is left but what is shown of them and nobody has ended.
    pub(super) fn shown_still(&self) -> impl Iterator<Item = (PreviewKey, &Record)> {
        // Of an open one that is told like the rest of it.
        let closed = |preview: &PreviewKey| self.closed.contains_key(&preview.pr);
        self.over().filter(move |(preview, record)| {
            let hangs = record.shown.promises() && closed(preview);
            (record.shown.deployment.is_some() || hangs)
                && (record.stalled.is_none() || closed(preview))
        })
    }
}
