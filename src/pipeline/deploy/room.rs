//! Holds what a preview asks for against its quota and the cluster's nodes, before it takes a slot.
//! It applies nothing and changes nothing but the line that a preview waits in.
//! A preview that has its place is never turned away: the cluster itself says what an update has no room for.

use super::{Stopped, Work};
use crate::{
    capacity::{self, Amounts, Fit, Pods, Short, Shortage},
    cluster::Cluster,
    inputs,
    manifests::ManifestSet,
    names::{Namespace, PrNumber, ReasonCode, quantity},
    pipeline::{
        Failure, Ports,
        desk::{Desk, Taken},
        teller::Teller,
    },
    plan::Plan,
};

/// From so many hundredths of the cluster's room, or of the slots, on a run says so.
const NOTICE: i128 = 80;

impl Work<'_> {
    /// Ends a first deploy that there is no room for: it waits in line where room may come, and fails where none will.
    pub(super) async fn fits(
        &self,
        plan: &Plan,
        set: &ManifestSet,
        taken: &Taken,
        teller: &mut Teller<'_>,
    ) -> Result<(), Stopped> {
        let demand = capacity::demand(set);
        let beyond = capacity::beyond_quota(set, &demand);
        let placed = taken.holder.as_ref().is_some_and(|one| one.uid.is_some());
        if !beyond.is_empty() {
            let failure = over_quota(&beyond, set);
            if !placed {
                return Err(Stopped::Failed(failure));
            }
            teller.warn(failure.line());
        }
        if placed {
            return Ok(());
        }
        let author = &self.request.author;
        let guest = (self.desk, &plan.namespace, plan.pr, author.as_str());
        finds_room(self.ports, self.cluster, guest, &demand, teller).await
    }

    /// Lets the run of a new preview warn that few slots are left, before somebody has to wait for one.
    pub(super) fn warn_of_slots(&self, fresh: bool) {
        let name = self.ports.ledger(self.request.repository.id);
        let seen = self.cluster.ledger_seen(&name).filter(|_| fresh);
        let Some((ledger, _)) = seen else { return };
        let (taken, capacity) = (ledger.holders.len(), ledger.capacity);
        // Where there is one slot, each preview takes all.
        if capacity > 1 && taken as i128 * 100 >= i128::from(capacity) * NOTICE {
            self.ports.notice(format!(
                "{taken} of {capacity} slots are taken with this preview; the input `max-previews` sets how many there are"
            ));
        }
    }
}

/// Who asks for room: its desk, its Namespace, its number, its author.
pub(in crate::pipeline) type Guest<'a> = (&'a Desk<'a>, &'a Namespace, PrNumber, &'a str);

/// Ends a run whose pods the nodes have no room for: they wait in line where room may come, and fail where none will.
pub(in crate::pipeline) async fn finds_room(
    ports: &Ports,
    cluster: &Cluster,
    (desk, namespace, pr, author): Guest<'_>,
    demand: &[Vec<Pods>],
    teller: &mut Teller<'_>,
) -> Result<(), Stopped> {
    if ports.settings.nodes == inputs::Nodes::Elastic {
        return Ok(());
    }
    let room = match cluster.room().await {
        Ok(Some(room)) => room,
        Ok(None) => return Ok(()),
        Err(error) => {
            tracing::warn!("how much room the nodes have was not looked at: {error}");
            return Ok(());
        }
    };
    match room.fit(demand) {
        Fit::Now => {
            let filled = room.filled(demand);
            if filled >= NOTICE {
                teller.warn(format!(
                    "the cluster's nodes are {filled} % full with this preview"
                ));
            }
            Ok(())
        }
        Fit::Later(shortage) => {
            let lacks = shortage_words(&shortage);
            let house = desk.wait_for_room(namespace, pr, author, &lacks).await?;
            let full = |house| Stopped::Full(Box::new(house));
            Err(house.map_or(Stopped::Overtaken, full))
        }
        Fit::Never(shortage) => Err(Stopped::Failed(never(&shortage))),
    }
}

pub(in crate::pipeline) fn over_quota(beyond: &[Short], set: &ManifestSet) -> Failure {
    let mut quotas = set
        .objects
        .iter()
        .filter(|one| one.id.kind == "ResourceQuota");
    let config = quotas.find_map(|one| one.origin.path());
    let config = config.unwrap_or("a configuration file (input `config`)");
    let each: Vec<String> = beyond
        .iter()
        .map(|short| format!("{} {} of {}", short.asked, short.of, short.total))
        .collect();
    Failure::yours(
        ReasonCode::QuotaExceeded,
        format!(
            "the preview asks for more than its quota has, the surge of a rolling update included: {}",
            each.join(", ")
        ),
        format!("ask for less in `resources` or `replicas`, or raise `quota` in {config}"),
    )
}

pub(in crate::pipeline) fn never(shortage: &Shortage) -> Failure {
    Failure::yours(
        ReasonCode::NoRoom,
        format!(
            "the cluster's nodes have no room for this preview, not even without any other: {}",
            shortage_words(shortage)
        ),
        "ask for less in `resources` or `replicas`, or add a node; where the cluster adds nodes by itself, set the input `nodes` to `elastic`",
    )
}

/// What is asked, what is free, what there is in all; or which pod is too large for each node by itself.
pub(in crate::pipeline) fn shortage_words(shortage: &Shortage) -> String {
    if shortage.short.is_empty() {
        let (of, amounts) = &shortage.pod;
        let lacking = match shortage.everywhere {
            true => "not all nodes that it runs on have free",
            false => "no single node has free",
        };
        return format!(
            "a pod of {of} asks for {}, which {lacking}",
            words(*amounts)
        );
    }
    let each: Vec<String> = shortage
        .short
        .iter()
        .map(|short| {
            format!(
                "asked {} {}, free {} of {}",
                short.asked, short.of, short.free, short.total
            )
        })
        .collect();
    each.join("; ")
}

fn words(amounts: Amounts) -> String {
    format!(
        "{} CPU and {} memory",
        quantity::format(amounts.cpu),
        quantity::format(amounts.memory)
    )
}
