//! Decides whether a preview's pods would find room on the cluster's nodes: now, once a preview ends, or never.
//! It asks no cluster; whoever reads nodes and pods hands them over as values.
//! Pods are placed one by one as a scheduler would, because eight half-free nodes are no room for one large pod.

use super::{Amounts, Pods, Short};
use crate::names::quantity;
use serde_json::Value;
use std::collections::BTreeMap;

/// The nodes, also those that take no pods for a while.
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
    /// What those of them ask for that end by themselves, as those of Jobs do.
    pub passing: Amounts,
    /// True while it is cordoned.
    pub cordoned: bool,
}

/// Whether pods find room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fit {
    /// They do.
    Now,
    /// They may once previews or Jobs have ended, or nodes have come back.
    Later(Shortage),
    /// They do not, whatever ends: no node is large enough for one of them, or all nodes together are too small.
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
    /// True when it has to be on several nodes.
    pub everywhere: bool,
}

impl Room {
    /// Whether the pods find room that are there at a time.
    pub fn fit(&self, demand: &[Vec<Pods>]) -> Fit {
        let fits = demand.iter().map(|pods| self.fit_at_once(pods));
        fits.max_by_key(Fit::weight).unwrap_or(Fit::Now)
    }

    fn fit_at_once(&self, pods: &[Pods]) -> Fit {
        let somewhere = |one: &&Pods| {
            !one.everywhere || self.nodes.iter().any(|node| node.takes(one, When::Ever))
        };
        let pods: &[Pods] = &pods.iter().filter(somewhere).cloned().collect::<Vec<_>>();
        let Err(now) = self.place(pods, When::Now) else {
            return Fit::Now;
        };
        match self.too_large(pods) {
            None => Fit::Later(self.shortage(pods, now, When::Now)),
            Some(one) => Fit::Never(self.shortage(pods, one, When::Ever)),
        }
    }

    /// The pods that make the set too large for these nodes at any time, if that is certain: other orders of placing were not tried.
    fn too_large<'a>(&self, pods: &'a [Pods]) -> Option<&'a Pods> {
        let alone = |one: &&Pods| self.place(std::slice::from_ref(one), When::Ever).is_err();
        let takes = |node: &&Node| pods.iter().any(|one| node.takes(one, When::Ever));
        let free = self
            .nodes
            .iter()
            .filter(takes)
            .map(|node| node.free(When::Ever));
        let together = !free.sum::<Amounts>().covers(all(pods));
        let alone = pods.iter().find(alone);
        alone.or_else(|| pods.first().filter(|_| together))
    }

    /// How much of CPU and memory is asked for, in hundredths of what there is; the larger of the two.
    pub fn filled(&self, demand: &[Vec<Pods>]) -> i128 {
        let filled = demand.iter().map(|pods| self.filled_at_once(pods));
        filled.max().unwrap_or_default()
    }

    fn filled_at_once(&self, pods: &[Pods]) -> i128 {
        let open = || self.nodes.iter().filter(|node| !node.cordoned);
        let total: Amounts = open().map(|node| node.allocatable).sum();
        let nodes = open().map(|node| node.previews + node.others);
        let used = nodes.sum::<Amounts>() + all(pods);
        let share = |used: i128, of: i128| if of > 0 { used * 100 / of } else { 0 };
        share(used.cpu, total.cpu).max(share(used.memory, total.memory))
    }

    /// Places what has its nodes given first, then the largest pods; which one found no node, if one did not.
    fn place<'a>(&self, pods: &'a [Pods], when: When) -> Result<(), &'a Pods> {
        let mut left: Vec<Amounts> = self.nodes.iter().map(|node| node.free(when)).collect();
        let mut sorted: Vec<&Pods> = pods.iter().collect();
        let size = |one: &Pods| (one.everywhere, one.requests.memory, one.requests.cpu);
        sorted.sort_by_key(|one| std::cmp::Reverse(size(one)));
        for one in sorted {
            if one.everywhere && when == When::Now {
                // What is full for good there may be moved for it: that is the cluster's to say.
                let ever = |node: &Node| node.free(When::Ever).covers(one.requests);
                let places = self.nodes.iter().zip(&mut left);
                let places = places.filter(|(node, _)| node.takes(one, when) && ever(node));
                let mut places = places.map(|(_, left)| left).peekable();
                if places.peek().is_none() {
                    return Err(one);
                }
                for left in places {
                    if !left.covers(one.requests) {
                        return Err(one);
                    }
                    *left = *left - one.requests;
                }
                continue;
            }
            for _ in 0..one.count {
                let places = self.nodes.iter().zip(&mut left);
                let place = places
                    .filter(|(node, _)| node.takes(one, when))
                    .find(|(_, left)| left.covers(one.requests));
                let Some((_, left)) = place else {
                    return Err(one);
                };
                *left = *left - one.requests;
            }
        }
        Ok(())
    }

    fn shortage(&self, pods: &[Pods], first: &Pods, when: When) -> Shortage {
        let nodes = || self.nodes.iter().filter(|node| node.takes(first, when));
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
            everywhere: first.everywhere,
        }
    }
}

fn all(pods: &[Pods]) -> Amounts {
    pods.iter().map(|one| one.requests.times(one.count)).sum()
}

/// What of a cluster counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    /// What is there at this moment.
    Now,
    /// What might be there at another: without previews and Jobs, and with the nodes back that take nothing for a while.
    Ever,
}

/// Taints that a cluster puts on nodes by itself for a while, and takes away again: not ready, cordoned, under pressure.
const FOR_A_WHILE: &str = "node.kubernetes.io/";

impl Node {
    /// What is left for pods.
    fn free(&self, when: When) -> Amounts {
        match when {
            When::Now => self.allocatable - self.previews - self.others,
            When::Ever => self.allocatable - (self.others - self.passing),
        }
    }

    /// True when a pod may run here, as far as selector and taints say.
    fn takes(&self, pods: &Pods, when: When) -> bool {
        let labelled = |(key, value): (&String, &String)| self.labels.get(key) == Some(value);
        let ever = when == When::Ever;
        (ever || !self.cordoned)
            && pods.selector.iter().all(labelled)
            && self.taints.iter().all(|taint| {
                let kept_away =
                    matches!(taint["effect"].as_str(), Some("NoSchedule" | "NoExecute"));
                let key = taint["key"].as_str().unwrap_or_default();
                !kept_away
                    || (ever && key.starts_with(FOR_A_WHILE))
                    || pods.tolerations.iter().any(|one| tolerates(one, taint))
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
