//! A full house, as somebody without a slot sees it: who holds the slots, who gives way, what holds those that are leaving.
//! It changes nothing; the ledger is handed over, and so are Namespaces but where nobody else has read them.
//! Comment and claim look at the same picture, so that what people are told is what was decided by.

use super::selector;
use crate::{
    capacity::{Holder, Ledger, LedgerName, Record, Waiting},
    cluster::{Cluster, NamespaceInfo},
    names::PrNumber,
    report::Leaving,
};
use jiff::Timestamp;

/// A full house, as somebody without a slot sees it.
#[derive(Debug, Clone)]
pub(in crate::pipeline) struct House {
    /// Who holds the slots.
    pub(in crate::pipeline) holders: Vec<Lodger>,
    /// Cap.
    pub(in crate::pipeline) capacity: u32,
    /// The place in line, from 1; none when the preview was refused.
    pub(in crate::pipeline) place: Option<usize>,
    /// What the cluster's nodes lack, when that is why it waits.
    pub(in crate::pipeline) lacks: Option<String>,
    /// Who is first in line.
    pub(in crate::pipeline) first: Option<PrNumber>,
}

/// Who holds a slot, as others see it.
#[derive(Debug, Clone)]
pub(in crate::pipeline) struct Lodger {
    pub(in crate::pipeline) holder: Holder,
    pub(in crate::pipeline) record: Record,
    /// That the Namespace is being deleted, where somebody has looked.
    pub(in crate::pipeline) leaving: Option<Leaving>,
}

impl House {
    /// The house as the ledger has it; no Namespace was read.
    pub(in crate::pipeline) fn seen(ledger: &Ledger, place: Option<usize>) -> Self {
        let lodger = |holder: &Holder| Lodger {
            holder: holder.clone(),
            record: ledger
                .previews
                .get(&holder.key)
                .cloned()
                .unwrap_or_default(),
            leaving: None,
        };
        Self {
            holders: ledger.holders.iter().map(lodger).collect(),
            capacity: ledger.capacity,
            place,
            lacks: place
                .and_then(|place| ledger.queue.get(place.checked_sub(1)?))
                .and_then(|waiting| Some(waiting.lacks.as_ref()?.of.clone())),
            first: ledger.queue.first().map(|waiting| waiting.pr),
        }
    }

    /// Who gives way to somebody who would have to wait: the one whose first deploy failed first, if nobody is at work on it.
    pub(in crate::pipeline) fn gives_way(&self) -> Option<&Lodger> {
        self.place?;
        self.is_just_full().then(|| self.weakest()).flatten()
    }

    /// True when one who leaves makes room for one: not where a slot is free, as then room is lacking or somebody else's turn, and
    /// not above a cap that was lowered.
    fn is_just_full(&self) -> bool {
        self.holders.len() == self.capacity as usize
    }

    /// Who gives way to the first in line, where nobody asks: the one whose first deploy failed first.
    pub(in crate::pipeline) fn gives_way_to(
        &self,
        first: &Waiting,
        now: Timestamp,
    ) -> Option<&Lodger> {
        // Who lacks room finds none in a slot that is free.
        let lacks = self.holders.len() < self.capacity as usize && first.hopes_for_room(now);
        (self.is_just_full() || lacks)
            .then(|| self.weakest())
            .flatten()
    }

    /// The one whose first deploy failed first, if nobody is at work on it.
    fn weakest(&self) -> Option<&Lodger> {
        let idle = |record: &Record| record.active.is_none() && record.removing.is_none();
        self.holders
            .iter()
            .filter(|lodger| lodger.leaving.is_none() && idle(&lodger.record))
            .filter(|lodger| lodger.record.failed_at_first() && !lodger.record.pinned)
            .min_by_key(|lodger| lodger.record.attempted.as_ref().map(|last| last.at))
    }

    /// Notes which Namespaces are being deleted, and what holds them.
    pub(in crate::pipeline) fn notice(&mut self, found: &[NamespaceInfo]) {
        for lodger in &mut self.holders {
            let info = found
                .iter()
                .find(|info| Some(&info.uid) == lodger.holder.uid.as_ref());
            lodger.leaving = info.and_then(|info| {
                Some(Leaving {
                    since: info.deleting?,
                    held_by: held_by(info),
                })
            });
        }
    }
}

/// The previews' Namespaces, for [`House::notice`]; without them a house is as the ledger has it.
pub(in crate::pipeline) async fn rooms(cluster: &Cluster, name: &LedgerName) -> Vec<NamespaceInfo> {
    let found = cluster.list_namespaces(&selector(name)).await;
    found.unwrap_or_else(|error| {
        tracing::info!("which namespaces are being deleted could not be seen: {error}");
        Vec::new()
    })
}

/// What holds a Namespace that is being deleted, in a few words; empty when nothing is known.
pub(in crate::pipeline) fn held_by(info: &NamespaceInfo) -> String {
    if !info.finalizers.is_empty() {
        return format!("finalizer {}", info.finalizers.join(", "));
    }
    let named = |text: &String| {
        let (_, names) = text.split_once("finalizers remaining: ")?;
        let names = names.split(", ").filter_map(|one| one.split(" in ").next());
        Some(format!(
            "finalizer {}",
            names.collect::<Vec<_>>().join(", ")
        ))
    };
    let finalizer = info.blocked_by.iter().find_map(named);
    finalizer
        .or_else(|| info.blocked_by.first().cloned())
        .unwrap_or_default()
}
