//! Turns what is seen of a Namespace into the state of every workload and the failures that have lasted long enough to count.
//! It is pure: time is an argument and what it sees is handed in, so recorded rollouts can be replayed.
//! Only pods of the revision that was deployed count; the crashing pod of the last push must not fail the fix.

mod containers;
mod pods;
mod revision;
mod symptoms;

pub(super) use symptoms::{ContainerRef, Symptom};

use super::{
    failures::{Facts, FailureClass},
    follow::Seen,
    kinds::{self, Kind},
    outcome::{Applied, Change, Readiness, WorkloadStatus},
    readiness::{Assessment, assess},
};
use crate::{manifests::Origin, names::ObjectId};
use revision::{containers, text, uid, version};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use symptoms::Sighting;
use tokio::time::Instant;

/// How long a workload without readiness probes must stay up: its pods count as ready before they can crash.
const STEADY: Duration = Duration::from_secs(3);

/// An object that is waited for.
pub(super) struct Target {
    pub(super) id: ObjectId,
    pub(super) origin: Origin,
    kind: Option<&'static Kind>,
    generation: Option<i64>,
    unchanged: bool,
    /// Version of our own write.
    written: Option<u64>,
    /// Whether being ready for a moment proves nothing.
    must_settle: bool,
    ready_since: Option<Instant>,
    /// None once it is gone.
    live: Option<Value>,
    /// It went away by itself after success.
    expired: bool,
}

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
        let mut symptoms = Vec::new();
        for index in 0..self.targets.len() {
            self.find_symptoms(index, &mut symptoms);
        }
        let seen: BTreeSet<Sighting> = symptoms.iter().map(Symptom::sighting).collect();
        self.since.retain(|sighting, _| seen.contains(sighting));
        let (mut ripe, mut next) = (Vec::<Symptom>::new(), None::<Instant>);
        for symptom in &symptoms {
            let since = *self.since.entry(symptom.sighting()).or_insert(now);
            let Some(grace) = symptom.grace else { continue };
            let due = since + grace / self.haste;
            if due > now {
                next = Some(next.map_or(due, |next| next.min(due)));
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
            if !ripe.iter().any(|other| other.same_cause(cause)) {
                ripe.push(self.with_companions(cause, &symptoms));
            }
        }
        let mut statuses = Vec::new();
        let mut all_ready = true;
        for (index, target) in self.targets.iter_mut().enumerate() {
            let mut assessment = target.assess();
            let is_ready = assessment.readiness == Readiness::Ready;
            target.ready_since = is_ready.then(|| target.ready_since.unwrap_or(now));
            if let Some(settled) = target.ready_since.map(|since| since + STEADY / self.haste)
                && target.must_settle
                && settled > now
            {
                assessment.readiness = Readiness::InProgress;
                assessment.message =
                    "is up, and watched for a moment because it has no readiness probe".into();
                next = Some(next.map_or(settled, |next| next.min(settled)));
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
                next = Some(next.map_or(shown, |next| next.min(shown)));
            }
            if ripe.iter().any(|symptom| symptom.target == index) {
                assessment.readiness = Readiness::Failed;
            }
            statuses.push(assessment.into_status(target.id.clone()));
        }
        Judgement {
            statuses,
            all_ready,
            ripe,
            next,
        }
    }

    /// One symptom for each target that is not ready: what it was being waited for when time ran out.
    pub(super) fn unready(&mut self, now: Instant) -> Vec<Symptom> {
        let mut symptoms = Vec::new();
        for index in 0..self.targets.len() {
            let assessment = self.targets[index].assess();
            if assessment.readiness == Readiness::Ready {
                continue;
            }
            let mut found = Vec::new();
            self.find_symptoms(index, &mut found);
            let known = found.into_iter().min_by_key(|symptom| {
                let since = self.since.get(&symptom.sighting()).copied().unwrap_or(now);
                (
                    symptom.grace.is_none(),
                    since + symptom.grace.unwrap_or_default(),
                )
            });
            symptoms.push(known.unwrap_or_else(|| {
                let message = assessment.message.clone();
                let container = self.unready_container(index);
                self.symptom(
                    index,
                    FailureClass::TimedOut,
                    message,
                    Facts::new(),
                    container,
                )
            }));
        }
        symptoms
    }

    /// A cause with the names of all objects that fail of it.
    fn with_companions(&self, cause: &Symptom, all: &[Symptom]) -> Symptom {
        let same = all.iter().filter(|other| other.same_cause(cause));
        let targets: BTreeSet<usize> = same.map(|other| other.target).collect();
        let names: Vec<String> = targets
            .into_iter()
            .map(|target| self.targets[target].id.to_string())
            .collect();
        let mut cause = cause.clone();
        cause.facts.insert("object", names.join(" and "));
        cause
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

impl Target {
    fn new(one: &Applied) -> Self {
        let generation = one.live["metadata"]["generation"].as_i64();
        let began_ready = assess(&one.live, generation).readiness == Readiness::Ready;
        Self {
            id: one.id.clone(),
            origin: one.origin.clone(),
            kind: Kind::of(&one.id),
            generation,
            unchanged: one.change == Change::Unchanged,
            written: version(&one.live),
            must_settle: !began_ready && lacks_probes(&one.live),
            ready_since: None,
            live: Some(one.live.clone()),
            expired: false,
        }
    }

    fn assess(&self) -> Assessment {
        match &self.live {
            Some(live) => assess(live, self.generation),
            None => Assessment {
                readiness: if self.expired {
                    Readiness::Ready
                } else {
                    Readiness::Terminating
                },
                ready: u32::from(self.expired),
                desired: 1,
                reason: String::new(),
                message: String::new(),
            },
        }
    }

    fn uid(&self) -> Option<&str> {
        self.live.as_ref().and_then(uid)
    }

    /// A finished Job with a time to live goes by itself.
    fn lose(&mut self) {
        let live = self.live.take();
        self.expired = self.id.kind == "Job"
            && live.is_some_and(|live| {
                live["spec"]["ttlSecondsAfterFinished"].is_number()
                    && assess(&live, None).readiness != Readiness::Failed
            });
    }
}

/// True for workloads that stay up and of which a container is ready as soon as it runs.
fn lacks_probes(live: &Value) -> bool {
    let spec = match live["kind"].as_str() {
        Some("Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet") => {
            &live["spec"]["template"]["spec"]
        }
        Some("Pod") => &live["spec"],
        _ => return false,
    };
    let containers = spec["containers"].as_array();
    containers.is_some_and(|all| all.iter().any(|one| !one["readinessProbe"].is_object()))
}

#[cfg(test)]
mod graces;
#[cfg(test)]
mod tests;
