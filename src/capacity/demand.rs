//! Turns the rendered set of a preview into what its pods ask for, so that a shortage is known before anything is applied.
//! It asks no cluster; quota and limit range are those of the set itself.
//! A rolling update runs new pods beside the old ones, so its surge belongs to what a preview needs.

use crate::{
    manifests::{Manifest, ManifestSet},
    names::{plural, quantity},
};
use serde_json::Value;
use std::collections::BTreeMap;

/// CPU, memory and pods; CPU and memory in thousandths of a core and of a byte, so that sums are exact.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amounts {
    /// Thousandths of a core.
    pub cpu: i128,
    /// Thousandths of a byte.
    pub memory: i128,
    /// Pods.
    pub pods: i128,
}

impl Amounts {
    /// What a list such as `requests` or `allocatable` names; what it does not name is none.
    pub fn of(list: &Value) -> Self {
        let amount = |name: &str| quantity::parse(&list[name]).unwrap_or_default();
        Self {
            cpu: amount("cpu"),
            memory: amount("memory"),
            pods: amount("pods") / 1000,
        }
    }

    /// What a pod asks for, itself counted.
    pub fn of_pod(spec: &Value) -> Self {
        let nothing = Defaults {
            requests: Value::Null,
            limits: Value::Null,
        };
        nothing.pod(spec).0
    }

    /// So many times this.
    pub fn times(self, count: i128) -> Self {
        Self {
            cpu: self.cpu * count,
            memory: self.memory * count,
            pods: self.pods * count,
        }
    }

    /// True when there is as much of everything.
    pub fn covers(self, asked: Self) -> bool {
        self.cpu >= asked.cpu && self.memory >= asked.memory && self.pods >= asked.pods
    }

    fn most(self, other: Self) -> Self {
        Self {
            cpu: self.cpu.max(other.cpu),
            memory: self.memory.max(other.memory),
            pods: self.pods.max(other.pods),
        }
    }
}

impl std::ops::Add for Amounts {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self {
            cpu: self.cpu + other.cpu,
            memory: self.memory + other.memory,
            pods: self.pods + other.pods,
        }
    }
}

impl std::ops::Sub for Amounts {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        self + other.times(-1)
    }
}

impl std::iter::Sum for Amounts {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::default(), |sum, one| sum + one)
    }
}

/// Pods of one kind: what each asks for, how many there are, and where they may run.
#[derive(Debug, Clone, PartialEq)]
pub struct Pods {
    /// Workload, such as `Deployment web`.
    pub of: String,
    /// What one asks for, itself counted.
    pub requests: Amounts,
    /// What one may take.
    pub limits: Amounts,
    /// How many there are, those of a rolling update's surge included.
    pub count: i128,
    /// Labels that its node must have.
    pub selector: BTreeMap<String, String>,
    /// Taints that it tolerates, as in the pod.
    pub tolerations: Vec<Value>,
    /// True when there is one on each node where it may run; one is counted.
    pub everywhere: bool,
}

/// Workloads whose pods do not end.
const LASTING: [&str; 3] = ["Deployment", "StatefulSet", "DaemonSet"];

/// What is asked and what there is of one thing that is short.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Short {
    /// `CPU`, `memory`, `pods` or the name in the quota.
    pub of: String,
    /// Asked, as Kubernetes writes it.
    pub asked: String,
    /// What is left for it.
    pub free: String,
    /// What there is in all.
    pub total: String,
}

/// What the pods of a first deploy ask for at a time: with the Jobs that run first, then with what waits for them.
pub fn demand(set: &ManifestSet) -> Vec<Vec<Pods>> {
    let defaults = Defaults::of(set);
    let (before, first, after) = set.around_run_first(|_| true);
    let at_once = |more: &ManifestSet| {
        let objects = before.objects.iter().chain(&more.objects);
        pods(&defaults, objects)
    };
    match first.objects.is_empty() {
        true => vec![at_once(&after)],
        false => vec![at_once(&first), at_once(&after)],
    }
}

/// With the largest surge of one rolling update: several wait for each other.
fn pods<'a>(defaults: &Defaults, objects: impl Iterator<Item = &'a Manifest>) -> Vec<Pods> {
    // When a CronJob runs is not known; it may find room then.
    let now = objects.filter(|one| one.id.kind != "CronJob");
    let (mut pods, surges): (Vec<Pods>, Vec<i128>) = now
        .filter_map(|one| {
            let surge = match one.id.kind.as_str() {
                "Deployment" => surge(&one.object["spec"]),
                _ => 0,
            };
            Some((of_workload(defaults, one)?, surge))
        })
        .unzip();
    let weight = |(index, surge): &(usize, i128)| {
        let requests = pods[*index].requests.times(*surge);
        (requests.memory, requests.cpu, *surge)
    };
    if let Some((index, surge)) = surges.into_iter().enumerate().max_by_key(weight) {
        pods[index].count += surge;
    }
    pods
}

/// The pods of one workload; none where it is not certain that there is one.
fn of_workload(defaults: &Defaults, one: &Manifest) -> Option<Pods> {
    let spec = &one.object["spec"];
    let template = &spec["template"]["spec"];
    let everywhere = one.id.kind == "DaemonSet";
    let (pod, count) = match one.id.kind.as_str() {
        "Pod" => (spec, 1),
        "Deployment" | "StatefulSet" => (template, number(&spec["replicas"], 1)),
        "DaemonSet" if template["affinity"]["nodeAffinity"].is_null() => (template, 1),
        "Job" => (template, number(&spec["parallelism"], 1)),
        // With less room fewer of its pods run at a time.
        "CronJob" => {
            let job = &spec["jobTemplate"]["spec"];
            let pods = number(&job["parallelism"], 1).min(1);
            (&job["template"]["spec"], pods)
        }
        _ => return None,
    };
    let (requests, limits) = defaults.pod(pod);
    Some(Pods {
        of: format!("{} {}", one.id.kind, one.id.name),
        requests,
        limits,
        count,
        selector: texts(&pod["nodeSelector"]),
        tolerations: pod["tolerations"].as_array().cloned().unwrap_or_default(),
        everywhere,
    })
}

/// What of the set's own quota its pods would exceed at a time, or its objects; empty when they fit.
pub fn beyond_quota(set: &ManifestSet, demand: &[Vec<Pods>]) -> Vec<Short> {
    let at_times = at_times(set);
    let pods = demand.iter().chain(&at_times);
    let beyond_pods = pods.map(|pods| beyond(set, &asked_by_pods(pods)));
    let mut short = beyond_pods.max_by_key(Vec::len).unwrap_or_default();
    short.extend(beyond(set, &asked_by_objects(set)));
    short
}

/// What lasts with a pod of each CronJob in turn: where there is no place for it then, it never runs.
fn at_times(set: &ManifestSet) -> Vec<Vec<Pods>> {
    let defaults = Defaults::of(set);
    let runs = |one: &&Manifest| one.id.kind == "CronJob" && one.object["spec"]["suspend"] != true;
    let lasts = |one: &&Manifest| LASTING.contains(&one.id.kind.as_str());
    let beside = |cron| set.objects.iter().filter(lasts).chain([cron]);
    let crons = set.objects.iter().filter(runs);
    let pods = |one| of_workload(&defaults, one);
    crons
        .map(|cron| beside(cron).filter_map(pods).collect())
        .collect()
}

fn asked_by_pods(pods: &[Pods]) -> BTreeMap<String, i128> {
    let requests: Amounts = pods.iter().map(|one| one.requests.times(one.count)).sum();
    let limits: Amounts = pods.iter().map(|one| one.limits.times(one.count)).sum();
    let asked = [
        ("requests.cpu", requests.cpu),
        ("cpu", requests.cpu),
        ("requests.memory", requests.memory),
        ("memory", requests.memory),
        ("limits.cpu", limits.cpu),
        ("limits.memory", limits.memory),
        ("pods", requests.pods * 1000),
        ("count/pods", requests.pods * 1000),
    ];
    asked.map(|(name, asked)| (name.to_owned(), asked)).into()
}

/// How many objects there are of each kind, and the storage of their claims: at least, for a cluster adds some of its own.
fn asked_by_objects(set: &ManifestSet) -> BTreeMap<String, i128> {
    let mut asked = BTreeMap::new();
    let mut ask = |name: String, count: i128| *asked.entry(name).or_default() += count;
    let mut counted = |group: &str, kind: &str, count: i128| {
        let kind = plural(kind);
        match group {
            "" => {
                ask(format!("count/{kind}"), count * 1000);
                ask(kind, count * 1000);
            }
            group => ask(format!("count/{kind}.{group}"), count * 1000),
        }
    };
    let mut storage = 0;
    let mut claims = |claim: &Value, count: i128| {
        let asked = &claim["resources"]["requests"]["storage"];
        storage += quantity::parse(asked).unwrap_or_default() * count;
    };
    // Jobs and Pods end, and may be gone before others come.
    let stays = |one: &&Manifest| !["Job", "Pod"].contains(&one.id.kind.as_str());
    for one in set.objects.iter().filter(stays) {
        let spec = &one.object["spec"];
        counted(&one.id.group, &one.id.kind, 1);
        if one.id.kind == "PersistentVolumeClaim" {
            claims(spec, 1);
        }
        let templates = spec["volumeClaimTemplates"].as_array();
        for template in templates.into_iter().flatten() {
            let replicas = number(&spec["replicas"], 1);
            counted("", "PersistentVolumeClaim", replicas);
            claims(&template["spec"], replicas);
        }
    }
    asked.insert("requests.storage".into(), storage);
    asked
}

fn beyond(set: &ManifestSet, asked: &BTreeMap<String, i128>) -> Vec<Short> {
    let quotas = set
        .objects
        .iter()
        .filter(|one| one.id.kind == "ResourceQuota");
    // One with a scope counts some pods only.
    let all = quotas
        .map(|one| &one.object["spec"])
        .filter(|spec| spec["scopes"].is_null() && spec["scopeSelector"].is_null());
    all.filter_map(|spec| spec["hard"].as_object())
        .flatten()
        .filter_map(|(name, hard)| {
            let asked = *asked.get(name)?;
            let hard = quantity::parse(hard)?;
            (asked > hard).then(|| Short {
                of: name.clone(),
                asked: quantity::format(asked),
                free: quantity::format(hard),
                total: quantity::format(hard),
            })
        })
        .collect()
}

/// How many pods a Deployment's rolling update adds to its replicas.
fn surge(spec: &Value) -> i128 {
    let replicas = number(&spec["replicas"], 1);
    if spec["strategy"]["type"] == "Recreate" || replicas == 0 {
        return 0;
    }
    let surge = &spec["strategy"]["rollingUpdate"]["maxSurge"];
    let percent = surge
        .as_str()
        .and_then(|text| text.strip_suffix('%')?.parse().ok());
    match (surge.as_i64(), percent) {
        (Some(count), _) => count.into(),
        // A quarter is what Kubernetes takes when nothing is said; it rounds up.
        (None, percent) => share(replicas, percent.unwrap_or(25)),
    }
}

fn share(of: i128, percent: i128) -> i128 {
    (of * percent + 99) / 100
}

fn number(value: &Value, default: i128) -> i128 {
    value.as_i64().map_or(default, i128::from)
}

fn texts(map: &Value) -> BTreeMap<String, String> {
    let entries = map.as_object().into_iter().flatten();
    entries
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect()
}

/// What the set's limit ranges give to containers that name nothing.
struct Defaults {
    requests: Value,
    limits: Value,
}

impl Defaults {
    fn of(set: &ManifestSet) -> Self {
        let ranges = set.objects.iter().filter(|one| one.id.kind == "LimitRange");
        let mut limits = ranges
            .flat_map(|one| {
                one.object["spec"]["limits"]
                    .as_array()
                    .into_iter()
                    .flatten()
            })
            .filter(|limit| limit["type"] == "Container");
        let first = limits.next().cloned().unwrap_or_default();
        Self {
            requests: first["defaultRequest"].clone(),
            limits: first["default"].clone(),
        }
    }

    /// Requests and limits of a pod: the containers together, or the greediest init container if that asks for more.
    fn pod(&self, pod: &Value) -> (Amounts, Amounts) {
        let list = |name: &str| pod[name].as_array().cloned().unwrap_or_default();
        let inits = list("initContainers");
        let sidecar = |one: &&Value| one["restartPolicy"] == "Always";
        let sum = |pick: &dyn Fn(&Value) -> Amounts| {
            let sidecars: Amounts = inits.iter().filter(sidecar).map(pick).sum();
            let running = list("containers").iter().map(pick).sum::<Amounts>() + sidecars;
            let starting = inits.iter().filter(|one| !sidecar(one)).map(pick);
            let one = starting.fold(running, |most, init| most.most(init + sidecars));
            Amounts { pods: 1, ..one }
        };
        (sum(&|one| self.requests(one)), sum(&|one| self.limits(one)))
    }

    fn requests(&self, container: &Value) -> Amounts {
        let resources = &container["resources"];
        first_named(&[&resources["requests"], &resources["limits"], &self.requests])
    }

    fn limits(&self, container: &Value) -> Amounts {
        first_named(&[&container["resources"]["limits"], &self.limits])
    }
}

/// CPU and memory, each by the first of these lists that names it.
fn first_named(lists: &[&Value]) -> Amounts {
    let of = |name: &str| {
        let named = lists.iter().find_map(|list| quantity::parse(&list[name]));
        named.unwrap_or_default()
    };
    Amounts {
        cpu: of("cpu"),
        memory: of("memory"),
        pods: 0,
    }
}

#[cfg(test)]
#[path = "demand_tests.rs"]
mod tests;
