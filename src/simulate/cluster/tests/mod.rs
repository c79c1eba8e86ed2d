//! Shows over HTTP that the simulated cluster answers and behaves as recorded servers do.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed step fails its test"
)]

use std::time::Duration;

use serde_json::{Value, json};

use super::{Handle, Options, kinds, state};
use crate::simulate::probe::{APPLY, Answer, Probe};
use crate::simulate::{World, WorldOptions};

mod faults;
mod namespaces;
mod network;
mod oddities;
mod quota;
mod requests;
mod rollouts;
mod watches;

const NS: &str = "/api/v1/namespaces/n";

async fn world() -> (World, Probe) {
    let world = World::start(WorldOptions::default()).await.unwrap();
    let token = Options::default().token;
    let probe = Probe::new(&world.cluster.url(), &token);
    world
        .cluster
        .put(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}}))
        .unwrap();
    let furnished = |cluster: &Handle| cluster.object("ServiceAccount", "n", "default").is_some();
    within(world.cluster.wait_until(furnished)).await;
    (world, probe)
}

/// Fails a test that would wait for ever.
async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future)
        .await
        .expect("this should have happened long ago")
}

fn map(name: &str, data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})
}

fn workload(kind: &str, name: &str, image: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "web", "image": image, "ports": [{"containerPort": 8080}]}]},
            },
        },
    })
}

fn job(image: &str) -> Value {
    json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"},
        "spec": {"backoffLimit": 1, "template": {"spec": {
            "restartPolicy": "Never", "containers": [{"name": "task", "image": image}]}}},
    })
}

fn path(kind: &str, name: &str) -> String {
    let kind = kinds::Kind::of_name(kind).unwrap();
    let root = if kind.group.is_empty() {
        "/api/v1".to_owned()
    } else {
        format!("/apis/{}", kind.api_version())
    };
    format!("{root}/namespaces/n/{}/{name}", kind.plural)
}

/// Applies an object to the namespace `n` as `manager`.
async fn apply_as(probe: &Probe, object: &Value, manager: &str, query: &str) -> Answer {
    let at = path(
        object["kind"].as_str().unwrap(),
        object["metadata"]["name"].as_str().unwrap(),
    );
    probe
        .send(
            "PATCH",
            &format!("{at}?fieldManager={manager}{query}"),
            APPLY,
            object,
        )
        .await
}

async fn apply(probe: &Probe, object: &Value) -> Answer {
    apply_as(probe, object, "preview-action", "&force=true").await
}

/// Waits until one status condition of an object has a value.
async fn condition(world: &World, kind: &str, name: &str, condition: &str, reason: &str) -> Value {
    let found = |cluster: &Handle| {
        let object = cluster.object(kind, "n", name)?;
        let found = state::condition(&object, condition)?;
        (found["reason"] == reason).then(|| object.clone())
    };
    within(world.cluster.wait_until(|cluster| found(cluster).is_some())).await;
    found(&world.cluster).unwrap_or_default()
}

/// Waits until a container of some pod waits for a reason, and returns the pod.
async fn waiting(world: &World, reason: &str) -> Value {
    let found = |cluster: &Handle| {
        let mut pods = cluster.objects("Pod", "n");
        pods.retain(|pod| {
            pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] == reason
        });
        pods.pop()
    };
    within(world.cluster.wait_until(|cluster| found(cluster).is_some())).await;
    found(&world.cluster).unwrap_or_default()
}

async fn rolled_out(world: &World, name: &str) -> Value {
    let done = |cluster: &Handle| {
        cluster.object("Deployment", "n", name).filter(|object| {
            let progressing = state::condition(object, "Progressing");
            object["status"]["observedGeneration"] == object["metadata"]["generation"]
                && progressing.is_some_and(|found| found["reason"] == "NewReplicaSetAvailable")
        })
    };
    within(world.cluster.wait_until(|cluster| done(cluster).is_some())).await;
    done(&world.cluster).unwrap_or_default()
}

fn message(answer: &Answer) -> String {
    answer.json()["message"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}
