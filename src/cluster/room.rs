//! Reads how much room the cluster's nodes have, where the credential may: nodes, pods, and which pods are previews'.
//! It decides nothing; whether a preview fits is `capacity`'s to say.
//! A credential without these rights is no fault: the scheduler finds out later, and its word is then diagnosed.

use super::{
    Cluster,
    answer::Class,
    call::Call,
    error::ClusterError,
    kinds::{self, Kind},
    request::items,
};
use crate::capacity::{Amounts, Node, Room};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Nodes or pods of one page: few enough that a large cluster does not fill the memory.
const PAGE: u32 = 250;

/// Pages of a cluster that is looked at; above that nobody waits for the answer.
const PAGES: usize = 20;

/// The same where only a notice depends on it.
const FEW_PAGES: usize = 2;

impl Cluster {
    /// The room on the nodes; none when the credential may not read nodes or the pods of all Namespaces, or where there are
    /// more than five thousand of either.
    pub async fn room(&self) -> Result<Option<Room>, ClusterError> {
        let read = tokio::try_join!(
            self.nodes_with_pods(PAGES),
            self.list_namespaces("app=preview")
        );
        let Some((found, previews)) = allowed(read)? else {
            return Ok(None);
        };
        let previews: BTreeSet<&str> = previews.iter().map(|info| info.name.as_str()).collect();
        Ok(found.and_then(|(nodes, pods)| room_of(nodes, &pods, &previews)))
    }

    /// How much of what the nodes have their pods ask for, in hundredths; none where [`Cluster::room`] says none, and where there
    /// are more than five hundred of either.
    pub async fn filled(&self) -> Result<Option<u64>, ClusterError> {
        let read = allowed(self.nodes_with_pods(FEW_PAGES).await)?.flatten();
        let room = read.and_then(|(nodes, pods)| room_of(nodes, &pods, &BTreeSet::new()));
        let filled = room.map(|room| room.filled(&[Vec::new()]));
        Ok(filled.and_then(|filled| filled.try_into().ok()))
    }

    /// Nodes, and the pods that have one; none where there are more than so many pages of them.
    async fn nodes_with_pods(
        &self,
        pages: usize,
    ) -> Result<Option<(Vec<(String, Node)>, Vec<Running>)>, ClusterError> {
        let nodes = self.paged(&kinds::NODE, pages, read_node);
        let (nodes, pods) = tokio::try_join!(nodes, self.paged(&kinds::POD, pages, running))?;
        Ok(nodes.zip(pods))
    }

    /// What is read of each object of a kind, page by page; none where there are too many.
    async fn paged<T>(
        &self,
        kind: &Kind,
        pages: usize,
        read: fn(&Value) -> Option<T>,
    ) -> Result<Option<Vec<T>>, ClusterError> {
        let mut all = Vec::new();
        let mut next: Option<String> = None;
        for _ in 0..pages {
            let page = self
                .send(Call::page(kind, PAGE, next.as_deref())?)
                .await?
                .body;
            all.extend(items(&page).filter_map(read));
            match page["metadata"]["continue"]
                .as_str()
                .filter(|token| !token.is_empty())
            {
                Some(token) => next = Some(token.to_owned()),
                None => return Ok(Some(all)),
            }
        }
        tracing::debug!(
            "more than {} {}, too many to count what the nodes have left",
            all.len(),
            kind.plural
        );
        Ok(None)
    }
}

/// What was read; none where the credential may not.
fn allowed<T>(read: Result<T, ClusterError>) -> Result<Option<T>, ClusterError> {
    match read {
        Err(error) if matches!(error.class(), Some(Class::Forbidden(_))) => Ok(None),
        read => read.map(Some),
    }
}

/// The nodes, with what runs on each.
fn room_of(
    nodes: Vec<(String, Node)>,
    pods: &[Running],
    previews: &BTreeSet<&str>,
) -> Option<Room> {
    let mut by_name: BTreeMap<String, Node> = nodes.into_iter().collect();
    for pod in pods {
        let Some(node) = by_name.get_mut(&pod.node) else {
            continue;
        };
        if previews.contains(pod.namespace.as_str()) {
            node.previews = node.previews + pod.requests;
            continue;
        }
        node.others = node.others + pod.requests;
        if pod.of_a_job {
            node.passing = node.passing + pod.requests;
        }
    }
    // A cluster that shows no node hides them, and one whose nodes say nothing of what they have cannot be counted.
    by_name.retain(|_, node| node.allocatable.pods > 0);
    if by_name.is_empty() {
        return None;
    }
    Some(Room {
        nodes: by_name.into_values().collect(),
    })
}

/// A pod on its node.
struct Running {
    namespace: String,
    node: String,
    requests: Amounts,
    of_a_job: bool,
}

fn running(pod: &Value) -> Option<Running> {
    if matches!(
        pod["status"]["phase"].as_str(),
        Some("Succeeded" | "Failed")
    ) {
        return None;
    }
    let mut owners = pod["metadata"]["ownerReferences"]
        .as_array()
        .into_iter()
        .flatten();
    Some(Running {
        namespace: text(&pod["metadata"]["namespace"]).to_owned(),
        node: pod["spec"]["nodeName"].as_str()?.to_owned(),
        requests: Amounts::of_pod(&pod["spec"]),
        of_a_job: owners.any(|owner| owner["kind"] == "Job"),
    })
}

/// A node and its name.
fn read_node(node: &Value) -> Option<(String, Node)> {
    let labels = node["metadata"]["labels"].as_object().into_iter().flatten();
    let read = Node {
        labels: labels
            .map(|(key, value)| (key.clone(), text(value).to_owned()))
            .collect(),
        taints: node["spec"]["taints"]
            .as_array()
            .cloned()
            .unwrap_or_default(),
        allocatable: Amounts::of(&node["status"]["allocatable"]),
        cordoned: node["spec"]["unschedulable"] == true,
        ..Node::default()
    };
    Some((text(&node["metadata"]["name"]).to_owned(), read))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
