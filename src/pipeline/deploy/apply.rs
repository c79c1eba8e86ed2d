//! Puts the rendered set into the cluster: the slot first, then the Namespace, then what goes into it.
//! It waits for no workload and says nothing of how the deploy ends.
//! A Namespace that vanishes meanwhile sends it back to the claim, because nothing may be applied without a slot.

use super::{Spot, Stopped, Waiting, Work, lock};
use crate::{
    capacity::WhenFull,
    cluster::{
        ApplyError, Existing, Reapplied, SecretRef,
        outcome::{Applied, Caution, Pruned},
    },
    inputs,
    manifests::{self, ManifestSet},
    names::{ReasonCode, State},
    pipeline::{
        Blame, Failure,
        desk::{Place, Taken},
        existing::existing,
        teller::Teller,
    },
    plan::Plan,
    report::Reached,
};
use serde_json::json;
use std::sync::Arc;

impl Work<'_> {
    /// Takes a slot and applies; starts over when the Namespace vanishes meanwhile.
    pub(super) async fn applied(
        &self,
        plan: &Plan,
        set: &ManifestSet,
        taken: &Taken,
        waiting: Waiting<'_>,
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
                        .place(
                            &plan.namespace,
                            plan.pr,
                            &self.request.author,
                            self.when_full(),
                            object,
                        )
                        .await?
                    {
                        Place::Ours { slot, uid, fresh } => (slot, uid, fresh),
                        Place::Full(house) => return Err(Stopped::Full(house)),
                    }
                }
            };
            lock(&self.notes).spot = Some(Spot {
                plan: plan.clone(),
                slot,
                uid: uid.clone(),
                fresh,
            });
            teller.placed(plan, slot, taken.capacity);
            let existing = if fresh {
                Existing::default()
            } else {
                let object = manifests::namespace(plan, slot, State::Deploying, Some(&uid));
                let (namespace, existing) = tokio::join!(
                    self.cluster.apply_namespace(&object),
                    existing(self.ports, self.sources, &plan.namespace, set)
                );
                if !matches!(namespace?, Reapplied::Live(_)) {
                    self.desk.forget(&plan.namespace, &uid).await?;
                    continue;
                }
                let (existing, warning) = existing?;
                if let Some(warning) = warning {
                    teller.warn(warning);
                }
                existing
            };
            if taken.record.asleep.is_some() {
                self.rouse(plan, fresh).await?;
            }
            let existing = Arc::new(existing);
            self.begins_with(existing.clone());
            teller.reaches(Reached::Applied);
            if fresh {
                // Pods that start before their pull secret is there fail once and wait ten seconds.
                self.copy_pull_secret(plan).await?;
                return self.in_order(plan, set, &existing, waiting, teller).await;
            }
            let (copied, applied) = tokio::join!(
                self.copy_pull_secret(plan),
                self.in_order(plan, set, &existing, waiting, teller)
            );
            copied?;
            let applied = applied?;
            let caution = Caution::of(self.request.asked);
            // Before the wait: what left would take its share of the quota from what came.
            let pruned = self
                .cluster
                .prune(set, &plan.namespace, &existing, &applied, caution)
                .await;
            teller.pruned(pruned.unwrap_or_else(Pruned::not));
            return Ok(applied);
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

    /// Wakes what sleeps in the Namespace, now that the slot is ours; what is deployed comes over it.
    async fn rouse(&self, plan: &Plan, fresh: bool) -> Result<(), Failure> {
        if !fresh {
            let quota = self.cluster.sleeping_by(&plan.namespace).await?;
            self.cluster
                .rouse(&plan.namespace, quota.as_deref())
                .await?;
        }
        lock(&self.notes).awake = true;
        Ok(())
    }

    fn when_full(&self) -> WhenFull {
        match self.ports.settings.when_full {
            inputs::WhenFull::Queue => WhenFull::Queue,
            inputs::WhenFull::Refuse => WhenFull::Refuse,
        }
    }

    /// Notes what was there before the first object is touched.
    fn begins_with(&self, existing: Arc<Existing>) {
        let mut notes = lock(&self.notes);
        notes.touched = Some(Vec::new());
        notes.before = existing;
    }

    /// Applies what run-first Jobs need, runs them, and applies the rest only once they have succeeded.
    async fn in_order(
        &self,
        plan: &Plan,
        set: &ManifestSet,
        existing: &Existing,
        waiting: Waiting<'_>,
        teller: &mut Teller<'_>,
    ) -> Result<Vec<Applied>, Stopped> {
        let announced = self.cluster.announce(set, &plan.namespace, existing).await;
        announced.map_err(Stopped::from)?;
        let (before, first, rest) = set.around_run_first(|id| existing.is_new(id));
        if first.objects.is_empty() {
            return self.some(plan, set, existing).await;
        }
        let mut applied = self.some(plan, &before, existing).await?;
        let run = self
            .cluster
            .run_first(&plan.namespace, &first, existing)
            .await;
        let run = self.noted(run)?;
        waiting.ready(&plan.namespace, &run, teller).await?;
        teller.stage("run first");
        applied.extend(run);
        applied.extend(self.some(plan, &rest, existing).await?);
        Ok(applied)
    }

    async fn some(
        &self,
        plan: &Plan,
        set: &ManifestSet,
        existing: &Existing,
    ) -> Result<Vec<Applied>, Stopped> {
        let applied = self
            .cluster
            .put(set, &plan.namespace, existing, &mut |_| {})
            .await;
        self.noted(applied)
    }

    /// Notes what was applied, also when not all of it was.
    fn noted(&self, applied: Result<Vec<Applied>, ApplyError>) -> Result<Vec<Applied>, Stopped> {
        let (all, some) = match &applied {
            Ok(applied) => (applied, &[][..]),
            Err(error) => (&error.applied, &error.errors[..]),
        };
        // What was refused was not changed, as far as anybody knows.
        tracing::debug!(applied = all.len(), refused = some.len(), "applied");
        let mut notes = lock(&self.notes);
        notes
            .touched
            .get_or_insert_default()
            .extend(all.iter().map(slim));
        drop(notes);
        applied.map_err(Stopped::from)
    }

    async fn copy_pull_secret(&self, plan: &Plan) -> Result<(), Failure> {
        let Some(source) = &self.ports.settings.pull_secret else {
            return Ok(());
        };
        let source = SecretRef {
            namespace: source.namespace.clone(),
            name: source.name.clone(),
        };
        lock(&self.notes).credentials =
            Some(self.cluster.copy_secret(&source, &plan.namespace).await?);
        Ok(())
    }
}

/// What was done, without the object as the server gave it: of that only its identity is needed to take it back.
fn slim(one: &Applied) -> Applied {
    Applied {
        id: one.id.clone(),
        change: one.change,
        warnings: Vec::new(),
        origin: one.origin.clone(),
        live: json!({"metadata": {"uid": one.live["metadata"]["uid"]}}),
    }
}
