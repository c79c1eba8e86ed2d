//! Turns what is seen of a Namespace into the state of every workload and the failures that have lasted long enough to count.
//! It is pure: time is an argument and what it sees is handed in, so recorded rollouts can be replayed.
//! Only pods of the revision that was deployed count; the crashing pod of the last push must not fail the fix.

mod causes;
mod containers;
mod pods;
mod revision;
mod symptoms;
mod target;

pub(super) use symptoms::{ContainerRef, Symptom};

use super::{
    failures::{Facts, FailureClass},
    follow::Seen,
    kinds::{self, Kind},
    outcome::{Applied, Readiness, WorkloadStatus},
    readiness::Assessment,
};
use causes::Cause;
use revision::{containers, text, uid};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use symptoms::Sighting;
use target::Target;
use tokio::time::Instant;

/// How long a workload without readiness probes must stay up: its pods count as ready before they can crash.
const STEADY: Duration = Duration::from_secs(3);

/// How long the news of a failure is held back for others that are about to count: one comment names them all.
const GATHER: Duration = Duration::from_secs(2);

/// How things stand.
pub(super) struct Judgement {
    pub(super) statuses: Vec<WorkloadStatus>,
    pub(super) all_ready: bool,
    /// Failures that count.
    pub(super) ripe: Vec<Symptom>,
    /// When the next one would.
    pub(super) next: Option<Instant>,
}

/// Everything that was seen so far.
pub(super) struct Tracker {
    /// Divides every grace.
    haste: u32,
    pub(super) targets: Vec<Target>,
    pods: BTreeMap<String, Value>,
    replica_sets: BTreeMap<String, Value>,
    events: BTreeMap<String, Value>,
    since: BTreeMap<Sighting, Instant>,
    /// When the first failure counted that still does.
    failed_since: Option<Instant>,
    /// Why an image could not be pulled, by pod and container: some kubelets hide it while they back off.
    pull_errors: BTreeMap<(String, String), String>,
}

impl Tracker {
    /// Begins with the answers to our own writes.
    pub(super) fn new(applied: &[Applied], haste: u32) -> Self {
        let targets = applied.iter().map(Target::new);
        Self {
            haste,
            targets: targets.collect(),
            pods: BTreeMap::new(),
            replica_sets: BTreeMap::new(),
            events: BTreeMap::new(),
            since: BTreeMap::new(),
            failed_since: None,
            pull_errors: BTreeMap::new(),
        }
    }

    /// The kinds that have to be seen until everything is ready.
    pub(super) fn kinds_to_follow(&self) -> BTreeSet<&'static Kind> {
        let unready = self
            .targets
            .iter()
            .filter(|target| target.assess().readiness != Readiness::Ready);
        let mut kinds: BTreeSet<_> = unready.filter_map(|target| target.kind).collect();
        if kinds.iter().any(|kind| kind.is_workload()) {
            kinds.extend([&kinds::POD, &kinds::EVENT]);
        }
        if kinds.contains(&kinds::DEPLOYMENT) {
            kinds.insert(&kinds::REPLICA_SET);
        }
        kinds
    }

    /// Takes in what was seen; [`Seen::Blind`] is the caller's to handle.
    pub(super) fn observe(&mut self, seen: Seen) {
        match seen {
            Seen::All(kind, items) => {
                if let Some(store) = self.store(kind) {
                    store.clear();
                }
                for target in self
                    .targets
                    .iter_mut()
                    .filter(|target| target.kind == Some(kind))
                {
                    let there = items
                        .iter()
                        .any(|item| item["metadata"]["name"] == *target.id.name);
                    if !there {
                        target.lose();
                    }
                }
                for item in items {
                    self.now(kind, item);
                }
            }
            Seen::Now(kind, object) => self.now(kind, object),
            Seen::Gone(kind, object) => {
                let uid = object["metadata"]["uid"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned();
                if let Some(store) = self.store(kind) {
                    store.remove(&uid);
                }
                if let Some(target) = self.target(kind, &object) {
                    target.lose();
                }
            }
            Seen::Blind(..) => {}
        }
    }

    fn store(&mut self, kind: &Kind) -> Option<&mut BTreeMap<String, Value>> {
        if kind == &kinds::POD {
            Some(&mut self.pods)
        } else if kind == &kinds::REPLICA_SET {
            Some(&mut self.replica_sets)
        } else if kind == &kinds::EVENT {
            Some(&mut self.events)
        } else {
            None
        }
    }

    fn target(&mut self, kind: &'static Kind, object: &Value) -> Option<&mut Target> {
        let name = object["metadata"]["name"].as_str()?;
        let same = |target: &&mut Target| target.kind == Some(kind) && target.id.name == name;
        self.targets.iter_mut().find(same)
    }

    fn now(&mut self, kind: &'static Kind, object: Value) {
        if let Some(target) = self.target(kind, &object) {
            target.live = Some(object.clone());
        }
        let uid = object["metadata"]["uid"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        if let Some(store) = self.store(kind) {
            store.insert(uid, object);
        }
    }

    /// Says how things stand at a moment.
    pub(super) fn judge(&mut self, now: Instant) -> Judgement {
        self.remember_pull_errors();
        for target in &mut self.targets {
            target.reach(now, self.haste);
        }
        let mut symptoms = Vec::new();
        for index in 0..self.targets.len() {
            self.find_symptoms(index, &mut symptoms);
        }
        let seen: BTreeSet<Sighting> = symptoms.iter().map(Symptom::sighting).collect();
        self.since.retain(|sighting, _| seen.contains(sighting));
        let mut next = Soonest::after(now);
        let ripe = self.ripe(&symptoms, now, &mut next);
        let failed: BTreeSet<usize> = ripe.iter().flat_map(|cause| cause.targets()).collect();
        let mut statuses = Vec::new();
        let mut all_ready = true;
        for (index, target) in self.targets.iter_mut().enumerate() {
            let mut assessment = target.assess();
            if let Some(again) = assessment.again
                && let Ok(again) = Duration::try_from(again)
            {
                next.consider(now + again / self.haste);
            }
            let is_ready = assessment.readiness == Readiness::Ready;
            target.ready_since = is_ready.then(|| target.ready_since.unwrap_or(now));
            if let Some(settled) = target.ready_since.map(|since| since + STEADY / self.haste)
                && target.must_settle
                && settled > now
            {
                assessment.readiness = Readiness::InProgress;
                assessment.message =
                    "is up, and watched for a moment because it has no readiness probe".into();
                next.consider(settled);
            }
            let ready = assessment.readiness == Readiness::Ready;
            all_ready &= ready;
            if ready && !target.kind.is_some_and(Kind::is_workload) {
                continue;
            }
            for symptom in symptoms.iter().filter(|symptom| symptom.target == index) {
                let since = self.since.get(&symptom.sighting()).copied().unwrap_or(now);
                let shown = since + symptom.shown_after / self.haste;
                if shown <= now {
                    assessment.message = symptom.message.clone();
                    break;
                }
                next.consider(shown);
            }
            if failed.contains(&index) {
                assessment.readiness = Readiness::Failed;
            }
            statuses.push(assessment.into_status(target.id.clone()));
        }
        Judgement {
            statuses,
            all_ready,
            ripe: self.gathered(ripe, &symptoms, now, &mut next),
            next: next.moment,
        }
    }

    /// The failures that have lasted their grace, one for each root cause.
    fn ripe(&mut self, symptoms: &[Symptom], now: Instant, next: &mut Soonest) -> Vec<Cause> {
        let mut ripe = Vec::<Symptom>::new();
        for symptom in symptoms {
            let since = *self.since.entry(symptom.sighting()).or_insert(now);
            let Some(grace) = symptom.grace else { continue };
            let due = since + grace / self.haste;
            if due > now {
                next.consider(due);
                continue;
            }
            // That a rollout stalled is no cause, if there is one to be seen.
            let cause = (symptom.class == FailureClass::RolloutStalled)
                .then(|| {
                    symptoms.iter().find(|other| {
                        other.target == symptom.target && other.class != symptom.class
                    })
                })
                .flatten()
                .unwrap_or(symptom);
            let mut cause = cause.clone();
            // Its sentence may tell how long was waited.
            let waited = self.targets[cause.target].seen_for(now) * self.haste;
            let time = cause.facts.entry("time");
            time.or_insert_with(|| readable(waited));
            ripe.push(cause);
        }
        let failed = |index: &usize| ripe.iter().any(|symptom| symptom.target == *index);
        let late: Vec<Symptom> = (0..self.targets.len())
            .filter(|index| !failed(index))
            .filter_map(|index| self.out_of_time(index, symptoms, now, next))
            .collect();
        ripe.extend(late);
        causes::by_root(&ripe, symptoms)
    }

    /// What an object was waiting for that has used up the time that its author gives it.
    fn out_of_time(
        &self,
        index: usize,
        symptoms: &[Symptom],
        now: Instant,
        next: &mut Soonest,
    ) -> Option<Symptom> {
        let target = &self.targets[index];
        let due = target.due(self.haste)?;
        let assessment = target.assess();
        if assessment.readiness == Readiness::Ready {
            return None;
        }
        if due > now {
            next.consider(due);
            return None;
        }
        let own = symptoms.iter().filter(|symptom| symptom.target == index);
        let known = own.min_by_key(|symptom| self.due(symptom, now)).cloned();
        let mut symptom =
            known.unwrap_or_else(|| self.timed_out(index, assessment.message, Facts::new()));
        let time = readable(target.timeout.unwrap_or_default());
        let annotation = crate::manifests::marks::TIMEOUT.to_owned();
        symptom
            .facts
            .extend([("time", time), ("annotation", annotation)]);
        Some(symptom)
    }

    /// When a symptom would count; those that never do by themselves come last.
    fn due(&self, symptom: &Symptom, now: Instant) -> (bool, Instant) {
        let since = self.since.get(&symptom.sighting()).copied();
        let due = since.unwrap_or(now) + symptom.grace.unwrap_or_default();
        (symptom.grace.is_none(), due)
    }

    fn timed_out(&self, index: usize, message: String, facts: Facts) -> Symptom {
        let container = self.unready_container(index);
        self.symptom(index, FailureClass::TimedOut, message, facts, container)
    }

    /// Holds failures back for a moment while others are about to count.
    fn gathered(
        &mut self,
        ripe: Vec<Cause>,
        symptoms: &[Symptom],
        now: Instant,
        next: &mut Soonest,
    ) -> Vec<Symptom> {
        if ripe.is_empty() {
            self.failed_since = None;
            return Vec::new();
        }
        let end = *self.failed_since.get_or_insert(now) + GATHER / self.haste;
        let failed: BTreeSet<usize> = ripe.iter().flat_map(|cause| cause.targets()).collect();
        let due = symptoms.iter().filter_map(|symptom| {
            let due = *self.since.get(&symptom.sighting())? + symptom.grace? / self.haste;
            (!failed.contains(&symptom.target) && due > now).then_some(due)
        });
        if due.min().is_some_and(|due| due <= end) {
            next.consider(end);
            return Vec::new();
        }
        let names = |target: usize| self.targets[target].id.to_string();
        ripe.into_iter().map(|cause| cause.named(names)).collect()
    }

    /// One symptom for each root cause of what is not ready: what it was being waited for when time ran out.
    pub(super) fn unready(&mut self, now: Instant) -> Vec<Symptom> {
        let mut symptoms = Vec::new();
        for index in 0..self.targets.len() {
            self.targets[index].reach(now, self.haste);
            let assessment = self.targets[index].assess();
            if assessment.readiness == Readiness::Ready {
                continue;
            }
            let mut found = Vec::new();
            self.find_symptoms(index, &mut found);
            let known = found
                .into_iter()
                .min_by_key(|symptom| self.due(symptom, now));
            symptoms.push(
                known.unwrap_or_else(|| self.timed_out(index, assessment.message, Facts::new())),
            );
        }
        let names = |target: usize| self.targets[target].id.to_string();
        let causes = causes::by_root(&symptoms, &[]).into_iter();
        causes.map(|cause| cause.named(names)).collect()
    }

    /// What is odd about objects that count as ready.
    pub(super) fn warnings(&self) -> Vec<String> {
        let odd = self.targets.iter().filter_map(|target| {
            let Assessment {
                readiness, message, ..
            } = target.assess();
            (readiness == Readiness::Ready && !message.is_empty())
                .then(|| format!("{}: {message}", target.id))
        });
        odd.collect()
    }

    /// UIDs of a target and of what stands under it, for its events.
    pub(super) fn family(&self, target: usize) -> BTreeSet<String> {
        let own = self.targets[target].uid().map(str::to_owned);
        let replica_set = self.replica_set(target).and_then(uid).map(str::to_owned);
        let pods = self.pods(target).filter_map(uid).map(str::to_owned);
        own.into_iter().chain(replica_set).chain(pods).collect()
    }

    pub(super) fn events(&self) -> impl Iterator<Item = &Value> {
        self.events.values()
    }

    fn remember_pull_errors(&mut self) {
        for (pod_uid, pod) in &self.pods {
            for (container, _) in containers(pod) {
                let waiting = &container["state"]["waiting"];
                if waiting["reason"] == "ErrImagePull" {
                    let key = (pod_uid.clone(), text(&container["name"]));
                    self.pull_errors.insert(key, text(&waiting["message"]));
                }
            }
        }
    }
}

/// The soonest of several moments that are still to come.
struct Soonest {
    now: Instant,
    moment: Option<Instant>,
}

impl Soonest {
    fn after(now: Instant) -> Self {
        Self { now, moment: None }
    }

    fn consider(&mut self, moment: Instant) {
        if moment > self.now {
            self.moment = Some(self.moment.map_or(moment, |known| known.min(moment)));
        }
    }
}

/// A time as people write it.
pub(super) fn readable(time: Duration) -> String {
    let seconds = time.as_secs_f64().round();
    let span = jiff::SignedDuration::from_secs(seconds as i64);
    format!("{span:#}")
}

#[cfg(test)]
mod graces;
#[cfg(test)]
mod tests;
