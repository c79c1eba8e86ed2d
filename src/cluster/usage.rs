//! Reads what previews use: measured where the cluster measures, else what their pods have asked for, and how full quotas are.
//! It adds up and judges nothing.
//! Two lists for all Namespaces together, so that a dashboard of a thousand previews costs no more than one of three.

use super::{
    Cluster,
    answer::Class,
    call::{Call, Selector},
    error::ClusterError,
    kinds,
    request::items,
};
use crate::names::quantity;
use serde_json::Value;
use std::collections::BTreeMap;

/// What the pods of one Namespace use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NamespaceUsage {
    /// Thousandths of a core.
    pub cpu: u64,
    /// Bytes.
    pub memory: u64,
    /// True when the cluster measured it.
    pub measured: bool,
    /// Hundredths of the quota that are asked for, the fullest resource; none without a quota.
    pub quota: Option<u64>,
}

impl Cluster {
    /// What each Namespace of the cluster uses, as far as its quota or the cluster's measurements say.
    pub async fn usage(&self) -> Result<BTreeMap<String, NamespaceUsage>, ClusterError> {
        let quotas = self.send(Call::list(&kinds::QUOTA, None, &Selector::default())?);
        let (quotas, measured) = tokio::join!(quotas, self.measured());
        let mut usage: BTreeMap<String, NamespaceUsage> = BTreeMap::new();
        for quota in items(&quotas?.body) {
            let of = usage.entry(namespace(quota)).or_default();
            let (hard, used) = (&quota["status"]["hard"], &quota["status"]["used"]);
            let asked = |name: &str| quantity::parse(&used[name]).unwrap_or_default();
            of.cpu = of.cpu.max(whole(asked("requests.cpu")));
            of.memory = of.memory.max(whole(asked("requests.memory") / 1000));
            of.quota = of.quota.max(fullest(hard, used));
        }
        for (namespace, (cpu, memory)) in measured? {
            let of = usage.entry(namespace).or_default();
            (of.cpu, of.memory, of.measured) = (cpu, memory, true);
        }
        Ok(usage)
    }

    /// CPU and memory as measured; empty where the cluster measures nothing or does not tell.
    async fn measured(&self) -> Result<BTreeMap<String, (u64, u64)>, ClusterError> {
        let call = Call::list(&kinds::POD_METRICS, None, &Selector::default())?;
        let pods = match self.send(call).await {
            Ok(answer) => answer.body,
            Err(error) if untold(&error) => return Ok(BTreeMap::new()),
            Err(error) => return Err(error),
        };
        let mut sums: BTreeMap<String, (i128, i128)> = BTreeMap::new();
        for pod in items(&pods) {
            let (cpu, memory) = sums.entry(namespace(pod)).or_default();
            for container in pod["containers"].as_array().into_iter().flatten() {
                *cpu += quantity::parse(&container["usage"]["cpu"]).unwrap_or_default();
                *memory += quantity::parse(&container["usage"]["memory"]).unwrap_or_default();
            }
        }
        let whole = |(name, (cpu, memory))| (name, (whole(cpu), whole(memory / 1000)));
        Ok(sums.into_iter().map(whole).collect())
    }
}

/// True when the cluster has no measurements, or none for us, or its aggregated API is down.
fn untold(error: &ClusterError) -> bool {
    error.is_not_found()
        || matches!(
            error.class(),
            Some(Class::Forbidden(_) | Class::KindUnknown | Class::Busy)
        )
}

fn fullest(hard: &Value, used: &Value) -> Option<u64> {
    let entries = hard.as_object()?.iter();
    let shares = entries.filter_map(|(name, hard)| {
        let hard = quantity::parse(hard).filter(|hard| *hard > 0)?;
        Some(whole(quantity::parse(&used[name])? * 100 / hard))
    });
    shares.max()
}

fn whole(amount: i128) -> u64 {
    u64::try_from(amount.max(0)).unwrap_or(u64::MAX)
}

fn namespace(object: &Value) -> String {
    object["metadata"]["namespace"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}
