//! Puts the rendered set into the cluster: the slot first, then the Namespace, then what goes into it.
//! It waits for no workload and says nothing of how the deploy ends.
//! A Namespace that vanishes meanwhile sends it back to the claim, because nothing may be applied without a slot.

use super::{Spot, Stopped, Work, lock};
use crate::{
    cluster::{Existing, Reapplied, SecretRef, outcome::Applied},
    manifests::{self, ManifestSet},
    names::{ReasonCode, State},
    pipeline::{
        Blame, Failure,
        desk::{Place, Taken},
        teller::Teller,
    },
    plan::Plan,
};

impl Work<'_> {
    /// Takes a slot and applies; starts over when the Namespace vanishes meanwhile.
    pub(super) async fn applied(
        &self,
        plan: &Plan,
        set: &ManifestSet,
        taken: &Taken,
        teller: &mut Teller<'_>,
    ) -> Result<Vec<Applied>, Stopped> {
        let mut known = None;
        if let Some(holder) = &taken.holder
            && let Some(uid) = &holder.uid
        {
            if holder.namespace == plan.namespace {
                known = Some((holder.slot, uid.clone()));
            } else {
                // The pattern or the repository's name has changed: two Namespaces in one slot would be above the cap.
                self.desk.vacate(&holder.namespace, uid).await?;
            }
        }
        for _ in 0..3 {
            let (slot, uid, fresh) = match known.take() {
                Some((slot, uid)) => (slot, uid, false),
                None => {
                    let object = |slot| manifests::namespace(plan, slot, State::Deploying, None);
                    match self
                        .desk
                        .place(&plan.namespace, plan.pr, &self.request.author, object)
                        .await?
                    {
                        Place::Ours { slot, uid, fresh } => (slot, uid, fresh),
                        Place::Full { holders, capacity } => {
                            return Err(Stopped::Full { holders, capacity });
                        }
                    }
                }
            };
            *lock(&self.spot) = Some(Spot {
                plan: plan.clone(),
                slot,
                uid: uid.clone(),
            });
            teller.placed(plan, slot, taken.capacity);
            let existing = if fresh {
                Existing::default()
            } else {
                let object = manifests::namespace(plan, slot, State::Deploying, Some(&uid));
                let (namespace, existing) = tokio::join!(
                    self.cluster.apply_namespace(&object),
                    self.cluster.existing(&plan.namespace, set)
                );
                if !matches!(namespace?, Reapplied::Live(_)) {
                    self.desk.forget(&plan.namespace, &uid).await?;
                    continue;
                }
                existing?
            };
            let mut unseen = |_: &Applied| {};
            let apply = self
                .cluster
                .apply(set, &plan.namespace, &existing, &mut unseen);
            if fresh {
                // Pods that start before their pull secret is there fail once and wait ten seconds.
                self.copy_pull_secret(plan).await?;
                return Ok(apply.await?);
            }
            let (copied, applied) = tokio::join!(self.copy_pull_secret(plan), apply);
            copied?;
            return Ok(applied?);
        }
        Err(Stopped::Failed(Failure::new(
            Blame::Theirs,
            ReasonCode::NamespaceTerminating,
            format!(
                "namespace {} was deleted again and again while the preview was deployed",
                plan.namespace
            ),
            "look who else deletes it, then deploy again",
        )))
    }

    pub(super) async fn copy_pull_secret(&self, plan: &Plan) -> Result<(), Failure> {
        let Some(source) = &self.ports.settings.pull_secret else {
            return Ok(());
        };
        let source = SecretRef {
            namespace: source.namespace.clone(),
            name: source.name.clone(),
        };
        *lock(&self.credentials) = Some(self.cluster.copy_secret(&source, &plan.namespace).await?);
        Ok(())
    }
}
