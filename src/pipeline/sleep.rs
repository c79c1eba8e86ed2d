//! Puts a preview to sleep and wakes it: everything stops, data and Namespace stay, the slot is given back and claimed again.
//! It renders nothing and knows no event; what is deployed stays as it was.
//! The slot is free only once nothing can run without it, and nothing may run before it is ours again.

use super::{
    Blame, Ending, Failure, Ports,
    deploy::{self, InLine, Stopped, Waiting},
    desk::{self, Desk, Place, Taken},
    life::{self, Home},
    restore,
    teller::Teller,
    unbroken::unbroken,
};
use crate::{
    capacity::{self, Asleep, Holder, WhenFull},
    cluster::{Cluster, NamespaceInfo, Reapplied},
    event::PullRequest,
    inputs::{self, UrlMode},
    names::{Namespace, PreviewKey, ReasonCode, State},
    report::Reached,
    trigger::permission,
};
use serde_json::{Value, json};
use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};
use tokio::time::{Instant, sleep};

/// How often the label of a sleeper is written over what others have written meanwhile.
const MARKS: usize = 20;

/// How long is waited between two of these.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// What a cancelled run spends on its comment at most, so that time is left for the ledger.
const WORD: Duration = Duration::from_secs(2);

/// A command about the sleep of one preview.
pub(super) struct Bed<'a> {
    ports: &'a Ports,
    cluster: &'a Cluster,
    desk: Desk<'a>,
    preview: &'a PreviewKey,
    pull: &'a PullRequest,
}

impl<'a> Bed<'a> {
    pub(super) fn of(
        ports: &'a Ports,
        preview: &'a PreviewKey,
        pull: &'a PullRequest,
    ) -> Result<Self, Failure> {
        let cluster = ports.cluster()?;
        Ok(Self {
            ports,
            cluster,
            desk: Desk::new(ports, cluster, preview.clone(), false),
            preview,
            pull,
        })
    }

    /// The same for who has decided by a look that may be old.
    pub(super) fn unless_after(mut self, sequence: Option<u64>) -> Self {
        self.desk = self.desk.unless_after(sequence);
        self
    }

    /// Follows `/sleep`, or the sweep where nobody asked.
    pub(super) async fn sleep(&self, teller: &mut Teller<'_>) -> Result<Ending, Failure> {
        // The sweep is no use of the preview.
        let used = !teller.asker().is_empty();
        let Some(taken) = life::own_turn(self.ports, &self.desk, used).await? else {
            return Ok(busy());
        };
        let slept = tokio::select! {
            slept = unbroken(Box::pin(self.put_down(&taken, teller))) => slept,
            () = self.desk.lose_turn() => Ok(Some(Ending::superseded())),
            () = self.ports.stop.cancelled() => Ok(Some(Ending::cancelled())),
        };
        let told = matches!(&slept, Ok(Some(ending)) if ending.reason == ReasonCode::Slept && ending.failure.is_none());
        let ended = self.desk.finish(None, |ledger, key, _| {
            let Some(record) = ledger.previews.get_mut(key).filter(|_| told) else {
                return;
            };
            // What stands beside the comment may lack the word.
            record.leaves_untold(teller.unheard());
            teller.note(record);
            // Whoever wants it to sleep wants no deploy that was begun before.
            record.stalled = None;
            if let Some(asleep) = record.asleep.as_mut() {
                asleep.unfinished = false;
            }
        });
        let newest = desk::release(&self.ports.stop, ended).await?;
        match slept? {
            Some(ending) if newest => Ok(ending),
            Some(_) => Ok(Ending::superseded()),
            None => {
                let (ports, preview) = (self.ports, self.preview);
                life::nobody(ports, preview, self.pull, teller, "to put to sleep").await
            }
        }
    }

    /// Stops everything, gives the slot back, says so; none when there is nothing awake.
    async fn put_down(
        &self,
        taken: &Taken,
        teller: &mut Teller<'_>,
    ) -> Result<Option<Ending>, Failure> {
        let begun = taken.record.unfinished_sleep();
        let held = taken.holder.as_ref();
        let held = held.and_then(|one| Some((one.namespace.clone(), one.uid.clone()?)));
        let slot = held.as_ref().and(taken.holder.as_ref());
        let home = held.or_else(|| begun.map(|one| (one.namespace.clone(), one.uid.clone())));
        let Some(home) = home else {
            return Ok(None);
        };
        let Some(found) = self.home(&home).await? else {
            return Ok(None);
        };
        let by_default = self.ports.settings.sleepers_keep_slots();
        let begun = begun.filter(|one| one.uid == found.uid).cloned();
        let asleep = begun.unwrap_or_else(|| Asleep {
            since: taken.now,
            by: teller.asker().to_owned(),
            namespace: found.name.clone(),
            uid: found.uid.clone(),
            slot: taken.slot,
            owner: self.pull.author.login.clone(),
            unfinished: true,
            keeps_slot: Some(by_default),
        });
        let quota = self.cluster.sleeping_by(&found.name).await?;
        // First of all, so that whoever comes after a crash knows what to wake; the slot stays ours until nothing runs.
        // What was there when somebody asked for it is what it sleeps through.
        let rests_at = Some(&self.pull.head_sha).filter(|_| !teller.asker().is_empty());
        if self
            .desk
            .fall_asleep(&asleep, true, rests_at)
            .await?
            .is_none()
        {
            return Ok(Some(Ending::superseded()));
        }
        // Without a slot nothing runs: then only the word is missing.
        if slot.is_some()
            && let Err(failure) = self.stop(&found, quota.as_deref()).await
        {
            if let Err(worse) = self.undo(&found).await {
                tracing::warn!(reason = %worse.reason(), "the sleep is left to the sweep: {}", worse.line());
            }
            return Err(failure);
        }
        // Nothing is undone any more: an answer that was lost may have given the slot away.
        let keeps = asleep.keeps_slot.unwrap_or(by_default) && slot.is_some();
        let Some(record) = self.desk.fall_asleep(&asleep, keeps, rests_at).await? else {
            return Ok(Some(Ending::superseded()));
        };
        let live = found.annotations.get(restore::SHA);
        if let Some(Ok(sha)) = live.map(|sha| sha.parse()) {
            teller.about(&sha);
        }
        teller.recalls(&record);
        teller.sleeps(&record, keeps);
        Ok(Some(teller.asleep().await))
    }

    fn hosts_of_slot(&self) -> bool {
        self.ports.settings.url_mode == UrlMode::Slot
    }

    /// Stops everything in the Namespace and says so on it.
    async fn stop(&self, found: &NamespaceInfo, quota: Option<&str>) -> Result<(), Failure> {
        let run = &self.ports.run;
        let sleeping = self.cluster.put_to_sleep(&found.name, quota, run);
        if sleeping.await? {
            return self.mark_asleep(found).await;
        }
        Err(Failure::new(
            Blame::Theirs,
            ReasonCode::TimedOut,
            format!("pods of namespace {} do not end", found.name),
            "look why they do not, then comment `/sleep` again; the preview is awake",
        ))
    }

    /// Says on the Namespace that nothing runs in it, unless a newer run has written there: a ledger that is made anew takes that
    /// for no slot, so a run that stalled here must not say it of what somebody wakes.
    async fn mark_asleep(&self, found: &NamespaceInfo) -> Result<(), Failure> {
        let home = (found.name.clone(), found.uid.clone());
        for _ in 0..MARKS {
            let Some(now) = self.home(&home).await? else {
                return Ok(());
            };
            // Who has the turn after this look makes another version of what was read.
            if !self.desk.alive().await? {
                return Ok(());
            }
            let object = self.object(&now, State::Sleeping, None);
            let applied = self.cluster.apply_namespace_over(&now.version, object);
            if applied.await?.is_some() {
                return Ok(());
            }
            sleep(LOOK_AGAIN).await;
        }
        Err(Failure::new(
            Blame::Theirs,
            ReasonCode::ClusterRefused,
            format!(
                "namespace {} is changed by somebody all the time",
                found.name
            ),
            "look who writes to it, then comment `/sleep` again",
        ))
    }

    /// Wakes what this run has begun to put to sleep, in the slot that it has still.
    async fn undo(&self, found: &NamespaceInfo) -> Result<(), Failure> {
        let (name, run) = (&found.name, &self.ports.run);
        let quota = self.cluster.put_to_sleep_by(name, run).await?;
        let mut before = life::as_ours(found);
        let state = &mut before["metadata"]["labels"]["preview-action/state"];
        if state == State::Sleeping.as_str() {
            *state = json!(State::Ready.as_str());
        }
        self.cluster.apply_namespace(&before).await?;
        // A ledger that was made anew before that counts it for none that runs.
        if !self.desk.alive().await? {
            return Ok(());
        }
        self.cluster.rouse(name, quota.as_deref()).await?;
        self.desk.stay_awake().await
    }

    /// Follows `/wake`; none when the preview can only be deployed, because its hosts are made of a slot that it has not kept, or it
    /// waits in line for that.
    pub(super) async fn wake(&self, teller: &mut Teller<'_>) -> Result<Option<Ending>, Failure> {
        let Some(taken) = life::own_turn(self.ports, &self.desk, true).await? else {
            return Ok(Some(busy()));
        };
        let Some(asleep) = taken.record.asleep.clone() else {
            self.desk.finish(None, |_, _, _| {}).await?;
            let (ports, preview) = (self.ports, self.preview);
            let nobody = life::nobody(ports, preview, self.pull, teller, "that sleeps");
            return nobody.await.map(Some);
        };
        if taken.holder.is_none() && (self.hosts_of_slot() || self.waits_for_deploy(&taken)) {
            let newest = self.desk.finish(None, |_, _, _| {}).await?;
            return Ok((!newest).then(Ending::superseded));
        }
        teller.recalls(&taken.record);
        let roused = AtomicBool::new(false);
        let result = tokio::select! {
            result = unbroken(Box::pin(self.rise(&taken, &asleep, &roused, teller))) => result,
            () = self.desk.lose_turn() => Err(Stopped::Overtaken),
            () = self.ports.stop.cancelled() => Err(Stopped::Cancelled),
        };
        let waits = matches!(result, Err(Stopped::Full(_)));
        // What was cancelled sleeps on, however far it had come.
        let cancelled = matches!(result, Err(Stopped::Cancelled));
        let line = match &result {
            Err(Stopped::Failed(failure)) => InLine::after(failure),
            _ => InLine::Stays,
        };
        let told = async {
            match result {
                Ok(()) => teller.woken().await,
                Err(Stopped::Failed(failure)) => teller.failed(failure).await,
                Err(Stopped::Full(house)) => teller.full(*house).await,
                Err(Stopped::Cancelled) => tokio::time::timeout(WORD, teller.cancelled())
                    .await
                    .unwrap_or_else(|_| Ending::cancelled()),
                Err(_) => Ending::superseded(),
            }
        };
        let ending = self.desk.holding(told).await;
        let untold = teller.unheard();
        let ended = self.desk.finish(None, |ledger, key, run| {
            capacity::withdraw(ledger, key, run);
            let roused = roused.load(Ordering::Relaxed) && !cancelled;
            let placed = ledger.holder(key).is_some();
            if !placed {
                line.note(ledger, key);
            }
            let awake = roused && placed;
            if let Some(record) = ledger.previews.get_mut(key) {
                record.leaves_untold(untold);
                teller.note(record);
                // Who waits for a deploy already wakes by it.
                if !placed && taken.waiting.is_none() {
                    record.due = None;
                }
                match &mut record.asleep {
                    Some(_) if awake => record.asleep = None,
                    // What keeps it asleep stands still: it can be woken again, or the sweep gives its slot back and says so.
                    Some(asleep) => asleep.unfinished = !waits,
                    None => {}
                }
            }
            let mine = |holder: &&mut Holder| holder.key == key && holder.url.is_empty();
            if let Some(holder) = ledger.holders.iter_mut().find(mine) {
                holder.url = teller.main_url();
            }
        });
        match desk::release(&self.ports.stop, ended).await? {
            true => Ok(Some(ending)),
            false => Ok(Some(Ending::superseded())),
        }
    }

    /// True when its place in line is for a commit that may be deployed.
    fn waits_for_deploy(&self, taken: &Taken) -> bool {
        let (record, head) = (&taken.record, &self.pull.head_sha);
        taken.waiting.is_some()
            && !record.wakes_as_it_was(head, self.ports.settings.builds_first())
            && permission::may_deploy(self.pull, record.approved()).is_ok()
    }

    async fn rise(
        &self,
        taken: &Taken,
        asleep: &Asleep,
        awake: &AtomicBool,
        teller: &mut Teller<'_>,
    ) -> Result<(), Stopped> {
        let home = (asleep.namespace.clone(), asleep.uid.clone());
        let gone = || {
            Stopped::Failed(Failure::yours(
                ReasonCode::NoPreview,
                format!("namespace {}, which slept, is gone", home.0),
                "comment `/deploy`",
            ))
        };
        let found = self.home(&home).await?.ok_or_else(gone)?;
        if let Some(Ok(sha)) = found.annotations.get(restore::SHA).map(|sha| sha.parse()) {
            teller.about(&sha);
        }
        self.finds_room(taken, &found.name, teller).await?;
        // Before the slot is confirmed: the quota of a later sleep is not ours to take away.
        let quota = self.cluster.sleeping_by(&found.name).await?;
        let object = |slot: u32| self.object(&found, State::Deploying, Some(slot));
        let full = match self.ports.settings.when_full {
            inputs::WhenFull::Queue => WhenFull::Queue,
            inputs::WhenFull::Refuse => WhenFull::Refuse,
        };
        let login = &self.pull.author.login;
        let placed = self
            .desk
            .place(&found.name, self.preview.pr, login, full, |slot| {
                let mut object = object(slot);
                if let Some(metadata) = object["metadata"].as_object_mut() {
                    metadata.remove("uid");
                }
                object
            })
            .await?;
        let slot = match placed {
            Place::Overtaken => return Err(Stopped::Overtaken),
            Place::Full(house) => return Err(Stopped::Full(Box::new(house))),
            Place::Elsewhere { .. } => return Err(gone()),
            Place::Ours { uid, .. } if uid != found.uid => return Err(gone()),
            Place::Ours { slot, .. } => slot,
        };
        if !self.mark(&found, State::Deploying, Some(slot)).await? {
            return Err(gone());
        }
        // A ledger that was made anew before it was marked counts it for none that runs.
        if !self.desk.alive().await? {
            return Err(Stopped::Overtaken);
        }
        teller.wakes(&found, slot, taken);
        teller.reaches(Reached::Applied);
        teller.mention(State::Deploying).await;
        let roused = self.cluster.rouse(&found.name, quota.as_deref()).await?;
        awake.store(true, Ordering::Relaxed);
        let waiting = Waiting {
            ports: self.ports,
            cluster: self.cluster,
            desk: &self.desk,
            deadline: Instant::now() + self.ports.settings.timeout,
        };
        waiting.ready(&found.name, &roused, teller).await?;
        if let Some(mark) = &taken.record.good {
            let good = restore::kept(self.cluster, &found.name, mark).await?;
            waiting.healthy(&good.urls, teller).await?;
        }
        // It is awake whatever its label says, which the next run repairs.
        if let Err(failure) = self.mark(&found, State::Ready, Some(slot)).await {
            tracing::warn!(reason = %failure.reason(), "the state is not written onto the namespace: {}", failure.line());
        }
        Ok(())
    }

    /// Holds what was good last against the nodes, as a deploy does, unless the preview has kept its place.
    async fn finds_room(
        &self,
        taken: &Taken,
        namespace: &Namespace,
        teller: &mut Teller<'_>,
    ) -> Result<(), Stopped> {
        let placed = taken.holder.as_ref().is_some_and(|one| one.uid.is_some());
        let Some(mark) = taken.record.good.as_ref().filter(|_| !placed) else {
            return Ok(());
        };
        let pods = match restore::kept(self.cluster, namespace, mark).await {
            Ok(good) => capacity::demand(&good.set(&Default::default())),
            Err(failure) => {
                tracing::warn!(reason = %failure.reason(), "what it needs was not looked at: {}", failure.line());
                return Ok(());
            }
        };
        let login = &self.pull.author.login;
        let guest = (&self.desk, namespace, self.preview.pr, login.as_str());
        deploy::finds_room(self.ports, self.cluster, guest, &pods, teller).await
    }

    /// The Namespace of the preview, if it is there, ours, and stays.
    async fn home(&self, (name, uid): &Home) -> Result<Option<NamespaceInfo>, Failure> {
        let found = self.cluster.namespace(name).await?;
        Ok(found.filter(|one| one.uid == *uid && one.deleting.is_none() && self.desk.owns(one)))
    }

    fn object(&self, found: &NamespaceInfo, state: State, slot: Option<u32>) -> Value {
        let mut object = life::as_ours(found);
        object["metadata"]["labels"]["preview-action/state"] = json!(state.as_str());
        if let Some(slot) = slot {
            object["metadata"]["labels"]["slot"] = json!(slot.to_string());
        }
        object
    }

    /// Writes the state onto the Namespace; false when it is gone or going.
    async fn mark(
        &self,
        found: &NamespaceInfo,
        state: State,
        slot: Option<u32>,
    ) -> Result<bool, Failure> {
        let object = self.object(found, state, slot);
        let applied = self.cluster.apply_namespace(&object).await?;
        Ok(matches!(applied, Reapplied::Live(_)))
    }
}

/// The ending of a command that another run has kept waiting for too long.
pub(super) fn busy() -> Ending {
    let line =
        "another run is at work on this preview, so nothing was done; try again once it has ended";
    Ending::quiet(None, ReasonCode::Busy, line).answering(line)
}
