//! Brings the cap of a living ledger in line with the settings, in runs that may do so.
//! It asks nothing where the ledger says the same already, and makes no ledger.
//! One compare-and-swap before anybody is let in: what an administrator lowers must hold for the very next one.

use crate::{
    capacity::Ledger,
    cluster::{Moment, Step},
    names::RepoId,
    pipeline::{Failure, Ports},
};

/// Writes the cap of the settings into the ledger that this run has seen, if that has another one.
pub(in crate::pipeline) async fn keep_cap(
    ports: &Ports,
    repository: RepoId,
) -> Result<(), Failure> {
    let (cluster, name) = (ports.cluster()?, ports.ledger(repository));
    let cap = ports.settings.max_previews;
    let seen = cluster.ledger_seen(&name);
    if seen.is_none_or(|(ledger, _)| ledger.capacity == cap) {
        return Ok(());
    }
    let step = |ledger: &mut Ledger, _: Moment| {
        let before = std::mem::replace(&mut ledger.capacity, cap);
        match before == cap {
            true => Step::Keep(()),
            false => {
                tracing::info!(before, cap, "the cap is another one from now on");
                Step::Write(())
            }
        }
    };
    cluster.transact(&name, step).await?;
    Ok(())
}
