//! Decides whether a preview's pods would find room on the cluster's nodes: now, once a preview ends, or never.
//! It asks no cluster; whoever reads nodes and pods hands them over as values.
//! Pods are placed one by one as a scheduler would, because eight half-free nodes are no room for one large pod.

use super::{Amounts, Pods, Short};
use crate::names::quantity;
use serde_json::Value;
use std::collections::BTreeMap;

/// The nodes that take pods.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Room {
    /// Nodes.
    pub nodes: Vec<Node>,
}

/// One node.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Node {
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Taints that keep pods away, as in the node.
    pub taints: Vec<Value>,
    /// What pods may have of it.
    pub allocatable: Amounts,
    /// What pods of previews ask for.
    pub previews: Amounts,
    /// What all other pods ask for.
    pub others: Amounts,
}

/// Whether pods find room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fit {
    /// They do.
    Now,
    /// They would if there were no other preview.
    Later(Shortage),
    /// They do not, whatever ends.
    Never(Shortage),
}

impl Fit {
    /// How bad that is: what never fits weighs most.
    fn weight(&self) -> u8 {
        match self {
            Self::Now => 0,
            Self::Later(_) => 1,
            Self::Never(_) => 2,
        }
    }
}

/// Why pods find no room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shortage {
    /// What is short altogether; empty when there is enough of everything, and no node has enough of it at once.
    pub short: Vec<Short>,
    /// The workload of the first pod that found no node, and what one such pod asks for.
    pub pod: (String, Amounts),
}

impl Room {
    /// Whether the pods find room that are there at a time.
    pub fn fit(&self, demand: &[Vec<Pods>]) -> Fit {
        let fits = demand.iter().map(|pods| self.fit_at_once(pods));
        fits.max_by_key(Fit::weight).unwrap_or(Fit::Now)
    }

    fn fit_at_once(&self, pods: &[Pods]) -> Fit {
        let Err(now) = self.place(pods, |node| node.allocatable - node.previews - node.others)
        else {
            return Fit::Now;
        };
        match self.place(pods, |node| node.allocatable - node.others) {
            Ok(()) => Fit::Later(self.shortage(pods, now)),
            Err(ever) => Fit::Never(self.shortage(pods, ever)),
        }
    }

    /// How much of CPU and memory is asked for, in hundredths of what there is; the larger of the two.
    pub fn filled(&self, demand: &[Vec<Pods>]) -> i128 {
        let filled = demand.iter().map(|pods| self.filled_at_once(pods));
        filled.max().unwrap_or_default()
    }

    fn filled_at_once(&self, pods: &[Pods]) -> i128 {
        let total: Amounts = self.nodes.iter().map(|node| node.allocatable).sum();
        let nodes = self.nodes.iter().map(|node| node.previews + node.others);
        let used = nodes.sum::<Amounts>() + all(pods);
        let share = |used: i128, of: i128| if of > 0 { used * 100 / of } else { 0 };
        share(used.cpu, total.cpu).max(share(used.memory, total.memory))
    }

    /// Places the largest pods first; which one found no node, if one did not.
    fn place<'a>(&self, pods: &'a [Pods], free: impl Fn(&Node) -> Amounts) -> Result<(), &'a Pods> {
        let mut left: Vec<Amounts> = self.nodes.iter().map(free).collect();
        let mut sorted: Vec<&Pods> = pods.iter().collect();
        sorted.sort_by_key(|one| std::cmp::Reverse((one.requests.memory, one.requests.cpu)));
        for one in sorted {
            for _ in 0..one.count {
                let places = self.nodes.iter().zip(&mut left);
                let place = places
                    .filter(|(node, _)| node.takes(one))
                    .find(|(_, left)| left.covers(one.requests));
                let Some((_, left)) = place else {
                    return Err(one);
                };
                *left = *left - one.requests;
            }
        }
        Ok(())
    }

    fn shortage(&self, pods: &[Pods], first: &Pods) -> Shortage {
        let nodes = || self.nodes.iter().filter(|node| node.takes(first));
        let total: Amounts = nodes().map(|node| node.allocatable).sum();
        let free = total
            - nodes()
                .map(|node| node.previews + node.others)
                .sum::<Amounts>();
        let asked = all(pods);
        let plain = |pods: i128| pods.to_string();
        let rows = [
            (
                "CPU",
                asked.cpu,
                free.cpu,
                total.cpu,
                quantity::format as fn(i128) -> String,
            ),
            (
                "memory",
                asked.memory,
                free.memory,
                total.memory,
                quantity::format,
            ),
            ("pods", asked.pods, free.pods, total.pods, plain),
        ];
        let short = rows.into_iter().filter(|(_, asked, free, ..)| asked > free);
        Shortage {
            short: short
                .map(|(of, asked, free, total, write)| Short {
                    of: of.into(),
                    asked: write(asked),
                    free: write(free.max(0)),
                    total: write(total),
                })
                .collect(),
            pod: (first.of.clone(), first.requests),
        }
    }
}

fn all(pods: &[Pods]) -> Amounts {
    pods.iter().map(|one| one.requests.times(one.count)).sum()
}

impl Node {
    /// True when a pod may run here, as far as selector and taints say.
    fn takes(&self, pods: &Pods) -> bool {
        let labelled = |(key, value): (&String, &String)| self.labels.get(key) == Some(value);
        pods.selector.iter().all(labelled)
            && self.taints.iter().all(|taint| {
                let kept_away =
                    matches!(taint["effect"].as_str(), Some("NoSchedule" | "NoExecute"));
                !kept_away || pods.tolerations.iter().any(|one| tolerates(one, taint))
            })
    }
}

fn tolerates(toleration: &Value, taint: &Value) -> bool {
    let same_effect = match toleration["effect"].as_str() {
        None | Some("") => true,
        Some(effect) => taint["effect"] == effect,
    };
    let key = toleration["key"].as_str().unwrap_or_default();
    let exists = toleration["operator"] == "Exists";
    let matches = match (exists, key) {
        (true, "") => true,
        (true, key) => taint["key"] == key,
        (false, key) => {
            taint["key"] == key
                && taint["value"].as_str().unwrap_or_default()
                    == toleration["value"].as_str().unwrap_or_default()
        }
    };
    same_effect && matches
}

#[cfg(test)]
#[path = "room_tests.rs"]
mod tests;
