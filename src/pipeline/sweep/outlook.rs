//! Says what a sweep would do, in the order in which it would: count, put back, do, let in.
//! It writes nothing anywhere, and reads no more than the sweep itself.
//! The plan is the sweep's own, so that what is shown is what would be done.

use super::{
    look::{Mandate, look},
    sight::Sight,
};
use crate::{
    capacity,
    event::Repository,
    names::{Namespace, PrNumber},
    pipeline::{Failure, Ports, promote::way_for_first},
};

/// What a sweep would do, and what it would complain about.
#[derive(Debug, Clone)]
pub struct Outlook {
    /// What.
    pub due: Vec<Due>,
    /// What is wrong with the ledger, if something is.
    pub trouble: Option<String>,
}

/// What a sweep would do about one preview.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Due {
    /// Pull request.
    pub pr: PrNumber,
    /// Namespace.
    pub namespace: Namespace,
    /// What.
    pub action: &'static str,
    /// Why.
    pub reason: String,
}

/// What a sweep would do, without doing anything.
pub async fn would_sweep(
    ports: &Ports,
    repository: &Repository,
    mandate: Mandate,
) -> Result<Outlook, Failure> {
    let sight = look(ports, repository, mandate, true).await?;
    let tasks = sight.tasks();
    let frees = tasks.iter().any(|task| task.action.frees());
    let tasks = tasks.into_iter().map(|task| Due {
        pr: task.preview.pr,
        namespace: task.namespace,
        action: task.action.word(),
        reason: task.action.why(),
    });
    let mut due = counted(&sight);
    due.extend(put_back(&sight));
    due.extend(tasks);
    if mandate.deploys {
        due.extend(makes_way(&sight).filter(|_| !frees));
        due.extend(let_in(&sight));
    }
    Ok(Outlook {
        due,
        trouble: sight.trouble,
    })
}

fn counted(sight: &Sight<'_>) -> Vec<Due> {
    let uncounted = sight.uncounted().into_iter();
    let due = uncounted.filter_map(|info| {
        Some(Due {
            pr: info.labels.get("pr")?.parse().ok()?,
            namespace: info.name,
            action: "count",
            reason: "no slot is noted for it".into(),
        })
    });
    due.collect()
}

/// Claims whose runs have died go back in line.
fn put_back(sight: &Sight<'_>) -> Vec<Due> {
    let dead = sight.ledger.holders.iter();
    let dead = dead.filter(|holder| holder.is_given_up(sight.now));
    let due = dead.map(|holder| Due {
        pr: holder.pr,
        namespace: holder.namespace.clone(),
        action: "requeue",
        reason: "the run that claimed a slot for it has died".into(),
    });
    due.collect()
}

/// A preview whose first deploy failed, where it gives way to who waits.
fn makes_way(sight: &Sight<'_>) -> Option<Due> {
    let (weak, first) = way_for_first(&sight.ledger, sight.now)?;
    let wanted = sight.open.contains_key(&first.pr);
    wanted.then(|| Due {
        pr: weak.pr,
        namespace: weak.namespace,
        action: "remove",
        reason: format!("its first deploy failed, and #{} waits", first.pr),
    })
}

/// Those in line who find a slot free already; what a sweep itself frees goes to the next ones.
fn let_in(sight: &Sight<'_>) -> Vec<Due> {
    let mut ledger = sight.ledger.clone();
    let mut tried = Vec::new();
    let mut due = Vec::new();
    while let Some(waiting) = capacity::next(&mut ledger, &tried, sight.now) {
        let open = !sight.closed.contains_key(&waiting.pr);
        let namespace = sight.namespace_of(&waiting.key).filter(|_| open);
        due.extend(namespace.map(|namespace| Due {
            pr: waiting.pr,
            namespace,
            action: "promote",
            reason: "it waits in line, and a slot is free".into(),
        }));
        tried.push(waiting.key);
    }
    due
}
