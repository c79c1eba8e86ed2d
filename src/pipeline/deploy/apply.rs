//! Puts the rendered set into the cluster: the slot first, then the Namespace, then what goes into it.
//! It waits for no workload and says nothing of how the deploy ends.
//! A Namespace that vanishes meanwhile sends it back to the claim, because nothing may be applied without a slot.

use super::{Entrance, Spot, Stopped, Waiting, Work, lock};
use crate::{
    capacity::{Attempt, WhenFull},
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
        remove::give_way,
        teller::Teller,
    },
    plan::Plan,
    report::Reached,
};
use serde_json::{Value, json};
use std::sync::Arc;

/// What the Namespace held before, and what was applied.
type Live = (Arc<Existing>, Vec<Applied>);

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
        let mut ahead = None;
        lock(&self.notes).was_ready = taken.record.was_ready();
        let asleep = taken.record.asleep.is_some();
        if asleep {
            // Before the slot is confirmed: the quota of a later sleep is not ours to take away.
            let quota = self.cluster.sleeping_by(&plan.namespace).await?;
            lock(&self.notes).quota = quota;
        }
        if let Some(holder) = &taken.holder
            && let Some(uid) = &holder.uid
            && holder.namespace == plan.namespace
            && !asleep
        {
            known = Some((holder.slot, uid.clone()));
            ahead = Some(std::mem::take(&mut lock(&self.notes).ahead));
        }
        for _ in 0..3 {
            let (slot, uid, fresh) = match known.take() {
                Some((slot, uid)) => (slot, uid, false),
                None => self.placed(plan).await?,
            };
            let says = match fresh {
                true => State::Deploying,
                false => self.begins_as(taken),
            };
            lock(&self.notes).spot = Some(Spot {
                plan: plan.clone(),
                slot,
                uid: uid.clone(),
                fresh,
                says,
            });
            if plan.slot.is_some_and(|planned| planned != slot) {
                return Err(Stopped::OtherSlot(slot));
            }
            teller.placed(plan, slot, taken.capacity);
            if fresh {
                lock(&self.notes).awake = asleep;
                lock(&self.notes).was_ready = false;
                let existing = Existing::default();
                self.begins_with(existing.clone().into(), teller);
                // Pods that start before their pull secret is there fail once and wait ten seconds.
                self.copy_pull_secret(plan).await?;
                return self.in_order(plan, set, &existing, waiting, teller).await;
            }
            let object = manifests::namespace(plan, slot, says, Some(&uid));
            let seen = match std::mem::take(&mut ahead) {
                Some(ahead) if !asleep => pinned(ahead.seen().await, set),
                _ => None,
            };
            let live = match seen {
                Some((existing, pinned)) => {
                    self.together(plan, set, &object, existing, &pinned, teller)
                        .await?
                }
                None => {
                    self.in_turn(plan, set, &object, asleep, waiting, teller)
                        .await?
                }
            };
            let Some((existing, applied)) = live else {
                // What was tried was not in a Namespace of ours any more, so that nothing has to be taken back.
                lock(&self.notes).touched = None;
                teller.reaches(Reached::Nothing);
                self.desk.forget(&plan.namespace, &uid).await?;
                continue;
            };
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

    /// Applies the Namespace, looks what it holds, and applies the set; none when the Namespace is not there any more.
    async fn in_turn(
        &self,
        plan: &Plan,
        set: &ManifestSet,
        namespace: &Value,
        asleep: bool,
        waiting: Waiting<'_>,
        teller: &mut Teller<'_>,
    ) -> Result<Option<Live>, Stopped> {
        let (namespace, existing) = tokio::join!(
            self.cluster.apply_namespace(namespace),
            existing(self.ports, self.sources, &plan.namespace, set)
        );
        if !matches!(namespace?, Reapplied::Live(_)) {
            return Ok(None);
        }
        if asleep {
            // A ledger that was made anew before it was marked counts it for none that runs.
            if !self.desk.alive().await? {
                return Err(Stopped::Overtaken);
            }
            self.rouse(plan).await?;
        }
        let (existing, warning) = existing?;
        if let Some(warning) = warning {
            teller.warn(warning);
        }
        let existing = Arc::new(existing);
        self.begins_with(existing.clone(), teller);
        let (copied, applied) = tokio::join!(
            self.copy_pull_secret(plan),
            self.in_order(plan, set, &existing, waiting, teller)
        );
        copied?;
        Ok(Some((existing, applied?)))
    }

    /// Applies the Namespace together with objects that name the UIDs they were seen with; none when it is not there any more.
    ///
    /// Such patches make nothing, and none of them changes anything in another Namespace of this name.
    async fn together(
        &self,
        plan: &Plan,
        set: &ManifestSet,
        namespace: &Value,
        existing: Existing,
        pinned: &ManifestSet,
        teller: &mut Teller<'_>,
    ) -> Result<Option<Live>, Stopped> {
        let existing = Arc::new(existing);
        self.begins_with(existing.clone(), teller);
        self.announced(plan, pinned, &existing).await?;
        let confirmed = async {
            match self.cluster.apply_namespace(namespace).await? {
                Reapplied::Live(_) => self.copy_pull_secret(plan).await.map(|()| true),
                Reapplied::Deleting(_) | Reapplied::Gone => Ok(false),
            }
        };
        let mut unheard = |_: &Applied| {};
        let put = self
            .cluster
            .put(pinned, &plan.namespace, &existing, &mut unheard);
        let (confirmed, applied) = tokio::join!(confirmed, put);
        let strangers = matches!(&applied, Err(error) if error.is_only_of_others());
        let applied = match applied {
            Err(error) if strangers => Ok(error.applied),
            other => other,
        };
        let applied = self.noted(applied);
        if !confirmed.map_err(Stopped::Failed)? {
            return Ok(None);
        }
        let mut applied = applied?;
        if strangers {
            // Deleted by hand, or made anew, since it was seen: the Namespace is known to be ours by now.
            let rest = set.without(applied.iter().map(|one| &one.id));
            applied.extend(self.some(plan, &rest, &existing).await?);
            applied.sort_by_key(|one| set.place(&one.id));
        }
        Ok(Some((existing, applied)))
    }

    /// The state that the Namespace says meanwhile: a commit that was ready last is ready until something shows otherwise, and
    /// then there is nothing to write at the end.
    fn begins_as(&self, taken: &Taken) -> State {
        let record = &taken.record;
        let again = |last: &Attempt| last.sha == self.request.sha && last.outcome == State::Ready;
        let served = record.serving.as_ref() == Some(&self.request.sha);
        match served && record.asleep.is_none() && record.attempted.as_ref().is_some_and(again) {
            true => State::Ready,
            false => State::Deploying,
        }
    }

    /// Claims a slot; when none is free and a preview whose first deploy failed has one, that one gives way.
    async fn placed(&self, plan: &Plan) -> Result<(u32, String, bool), Stopped> {
        let mut asked = false;
        loop {
            let object = |slot| manifests::namespace(plan, slot, State::Deploying, None);
            let placed = self.desk.place(
                &plan.namespace,
                plan.pr,
                &self.request.author,
                self.when_full(),
                object,
            );
            let house = match placed.await? {
                Place::Ours { slot, uid, fresh } => {
                    self.warn_of_slots(fresh);
                    return Ok((slot, uid, fresh));
                }
                Place::Overtaken => return Err(Stopped::Overtaken),
                // The pattern or the repository's name has changed, or somebody has adopted it meanwhile.
                Place::Elsewhere { namespace, uid } => {
                    self.desk.vacate(&namespace, &uid).await?;
                    continue;
                }
                Place::Full(house) => house,
            };
            let weak = house.gives_way().filter(|_| !asked);
            let Some(weak) = weak.map(|lodger| lodger.holder.clone()) else {
                return Err(Stopped::Full(Box::new(house)));
            };
            asked = true;
            let to = house.first.unwrap_or(plan.pr);
            give_way(self.ports, &self.request.repository, &weak, to).await;
        }
    }

    /// Wakes what sleeps in the Namespace, now that the slot is ours; what is deployed comes over it.
    async fn rouse(&self, plan: &Plan) -> Result<(), Failure> {
        let quota = lock(&self.notes).quota.clone();
        self.cluster
            .rouse(&plan.namespace, quota.as_deref())
            .await?;
        lock(&self.notes).awake = true;
        Ok(())
    }

    fn when_full(&self) -> WhenFull {
        match (self.request.entrance, self.ports.settings.when_full) {
            (Entrance::First, _) => WhenFull::GoFirst,
            (Entrance::FromQueue, _) | (_, inputs::WhenFull::Queue) => WhenFull::Queue,
            (_, inputs::WhenFull::Refuse) => WhenFull::Refuse,
        }
    }

    /// Notes what was there before the first object is touched.
    fn begins_with(&self, existing: Arc<Existing>, teller: &mut Teller<'_>) {
        let mut notes = lock(&self.notes);
        notes.touched = Some(Vec::new());
        notes.before = existing;
        drop(notes);
        teller.reaches(Reached::Applied);
    }

    /// Names the set's kinds before its first object comes, and notes them for the runs to come.
    async fn announced(
        &self,
        plan: &Plan,
        set: &ManifestSet,
        existing: &Existing,
    ) -> Result<(), Stopped> {
        let members = self.cluster.announce(set, &plan.namespace, existing).await;
        lock(&self.notes).members = members.map_err(Stopped::from)?;
        Ok(())
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
        self.announced(plan, set, existing).await?;
        let installed = (!lock(&self.notes).was_ready).then(|| set.installed());
        let set = installed.as_ref().unwrap_or(set);
        let (before, first, rest) = set.around_run_first(|id| existing.is_new(id));
        if first.objects.is_empty() {
            return self.some(plan, set, existing).await;
        }
        let mut applied = self.some(plan, &before, existing).await?;
        for together in first.by_weight() {
            let run = self
                .cluster
                .run_first(&plan.namespace, &together, existing)
                .await;
            let run = self.noted(run)?;
            waiting.ready(&plan.namespace, &run, teller).await?;
            applied.extend(run);
        }
        teller.stage("run first");
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
        let secret = self.cluster.copy_secret(&source, &plan.namespace).await?;
        // Before it is used: a registry's own words may repeat it.
        self.ports.knows_pull_secret(&secret);
        lock(&self.notes).credentials = Some(secret);
        Ok(())
    }
}

/// What was seen in the Namespace, with the set that names it; none where there is an order to keep.
fn pinned(seen: Option<Existing>, set: &ManifestSet) -> Option<(Existing, ManifestSet)> {
    let seen = seen?;
    let (_, first, _) = set.around_run_first(|id| seen.is_new(id));
    let pinned = seen.pinned(set).filter(|_| first.objects.is_empty())?;
    Some((seen, pinned))
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
