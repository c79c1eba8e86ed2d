//! Conversations of the whole module with the simulated cluster: what is asked, what is answered, what goes wrong in between.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod latency;

use super::{
    ApplyError, Cluster, ClusterError, ConnectOptions, Created, Deleted, Existing, Gone, Reapplied,
    SecretRef, Step,
    kinds::{self, Kind},
    outcome::{Applied, Change, Failure, Fate, Readiness, Rollout, Verdict},
};
use crate::{
    capacity::LedgerName,
    manifests::{Manifest, ManifestSet, Origin},
    names::{Namespace, ReasonCode, RepoId, Secret},
    simulate::{Action, Fault, Record, World, WorldOptions, cluster::Denial, request_depth},
};
use rstest::rstest;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

mod updating;

/// A world and a client that is in a hurry: pauses of milliseconds, graces a hundredth of life's.
pub(super) async fn world() -> (World, Cluster) {
    world_with(WorldOptions::default()).await
}

async fn world_with(options: WorldOptions) -> (World, Cluster) {
    // Another test of this process may have installed it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let world = World::start(options).await.unwrap();
    let kubeconfig = Secret::new(world.cluster.kubeconfig());
    let mut options = ConnectOptions::new(&kubeconfig);
    options.haste = 100;
    options.retry.first_pause = Duration::from_millis(2);
    options.retry.longest_pause = Duration::from_millis(50);
    options.retry.give_up_after = Duration::from_secs(2);
    let cluster = Cluster::connect(&options).unwrap();
    (world, cluster)
}

fn requests(world: &World, method: &str, part: &str) -> Vec<Record> {
    let mut records = world.cluster.requests();
    records.retain(|record| record.method == method && record.path.contains(part));
    records
}

fn object(kind: &Kind, name: &str) -> Value {
    let api_version = kind.object(name).api_version();
    json!({"apiVersion": api_version, "kind": kind.kind, "metadata": {"name": name}})
}

fn manifest(kind: &Kind, stage: u8, name: &str, content: Value) -> Manifest {
    let mut object = object(kind, name);
    object
        .as_object_mut()
        .unwrap()
        .extend(content.as_object().unwrap().clone());
    let origin = Origin {
        file: format!("{name}.yaml.j2"),
        line: 3,
    };
    Manifest {
        id: kind.object(name),
        object,
        origin,
        stage,
    }
}

fn config(name: &str, value: &str) -> Manifest {
    manifest(&kinds::CONFIG_MAP, 2, name, json!({"data": {"a": value}}))
}

fn secret(name: &str, value: &str) -> Manifest {
    manifest(&kinds::SECRET, 2, name, json!({"data": {"a": value}}))
}

fn service(name: &str) -> Manifest {
    manifest(
        &kinds::SERVICE,
        3,
        name,
        json!({"spec": {"selector": {"app": name}, "ports": [{"port": 80, "protocol": "TCP"}]}}),
    )
}

fn deployment(name: &str, image: &str) -> Manifest {
    let labels = json!({"app": name});
    let pod = json!({"metadata": {"labels": labels}, "spec": {"containers": [{"name": "web", "image": image}]}});
    manifest(
        &kinds::DEPLOYMENT,
        5,
        name,
        json!({"spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": pod}}),
    )
}

fn set(objects: Vec<Manifest>) -> ManifestSet {
    ManifestSet {
        objects,
        warnings: Vec::new(),
    }
}

fn namespace_object(name: &str) -> Value {
    let mut namespace = object(&kinds::NAMESPACE, name);
    namespace["metadata"]["labels"] =
        json!({"app": "preview", "preview-action/repository-id": "1"});
    namespace
}

async fn namespace(cluster: &Cluster) -> (Namespace, String) {
    match cluster
        .create_namespace(&namespace_object("pr-1"))
        .await
        .unwrap()
    {
        Created::New(info) => (info.name, info.uid),
        Created::AlreadyExists(info) => (info.name, info.uid),
    }
}

async fn apply(
    cluster: &Cluster,
    namespace: &Namespace,
    set: &ManifestSet,
) -> Result<Vec<Applied>, ApplyError> {
    let known = cluster.existing(namespace, set).await.unwrap();
    cluster.apply(set, namespace, &known, &mut |_| {}).await
}

async fn wait(cluster: &Cluster, namespace: &Namespace, applied: &[Applied]) -> Rollout {
    let deadline = Instant::now() + Duration::from_secs(10);
    let stop = CancellationToken::new();
    cluster
        .wait_until_ready(namespace, applied, deadline, &stop, &mut |_| {})
        .await
        .unwrap()
}

fn changes(applied: &[Applied]) -> Vec<(String, Change)> {
    let mut all: Vec<_> = applied
        .iter()
        .map(|one| (one.id.to_string(), one.change))
        .collect();
    all.sort();
    all
}

fn failures(rollout: Rollout) -> Vec<Failure> {
    match rollout.verdict {
        Verdict::Failed(failures) | Verdict::TimedOut(failures) => failures,
        Verdict::Ready | Verdict::Stopped => Vec::new(),
    }
}

mod applying;

mod waiting;

mod ledgers;

fn finalized() -> Value {
    let mut held = object(&kinds::CONFIG_MAP, "held");
    held["metadata"]["namespace"] = "pr-1".into();
    held["metadata"]["finalizers"] = json!(["example.com/block"]);
    held
}

mod removing;

mod pull_secrets;
