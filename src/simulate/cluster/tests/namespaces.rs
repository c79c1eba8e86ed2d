//! Shows that namespaces end as recorded ones do.

use serde_json::json;

use super::{NS, apply, map, message, path, within, world};
use crate::simulate::cluster::{Handle, state};
use crate::simulate::probe::{APPLY, MERGE};

#[tokio::test]
async fn a_deleted_namespace_terminates_with_conditions_and_goes() {
    let (world, probe) = world().await;
    apply(&probe, &map("c", json!({}))).await;
    world.cluster.hold();
    let answer = probe.delete(NS).await.json();
    assert_eq!(answer["status"]["phase"], "Terminating");
    assert!(answer["metadata"]["deletionTimestamp"].is_string());
    assert_eq!(probe.delete(NS).await.status, 200);
    let inside = apply(&probe, &map("new", json!({}))).await;
    assert_eq!(inside.status, 403);
    let expected = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "Forbidden", "code": 403,
        "message": "configmaps \"new\" is forbidden: unable to create new content in namespace n because it is being terminated",
        "details": {"name": "new", "kind": "configmaps", "causes": [{
            "reason": "NamespaceTerminating", "message": "namespace n is being terminated", "field": "metadata.namespace"}]},
    });
    assert_eq!(inside.json(), expected);
    assert_eq!(
        apply(&probe, &map("c", json!({"x": "y"}))).await.status,
        200
    );
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n", "labels": {"x": "y"}}});
    let applied = probe
        .send("PATCH", &format!("{NS}?fieldManager=m"), APPLY, &namespace)
        .await;
    assert_eq!(applied.status, 200);
    assert!(applied.json()["metadata"]["deletionTimestamp"].is_string());
    world.cluster.release();
    within(
        world
            .cluster
            .wait_until(|cluster| cluster.object("Namespace", "", "n").is_none()),
    )
    .await;
    assert!(world.cluster.snapshot().is_empty());
    let gone = probe.get(NS).await;
    assert_eq!(
        (gone.status, message(&gone)),
        (404, "namespaces \"n\" not found".to_owned())
    );
}

#[tokio::test]
async fn a_finalizer_inside_holds_a_namespace_and_is_reported() {
    let (world, probe) = world().await;
    let mut held = map("held", json!({}));
    held["metadata"]["finalizers"] = json!(["example.com/block"]);
    apply(&probe, &held).await;
    probe.delete(NS).await;
    let reason = "SomeFinalizersRemain";
    let stuck = |cluster: &Handle| {
        let namespace = cluster.object("Namespace", "", "n").unwrap_or_default();
        let found = state::condition(&namespace, "NamespaceFinalizersRemaining")
            .cloned()
            .unwrap_or_default();
        (found["reason"] == reason).then_some(namespace)
    };
    within(world.cluster.wait_until(|cluster| stuck(cluster).is_some())).await;
    let namespace = stuck(&world.cluster).unwrap();
    assert_eq!(
        state::condition(&namespace, "NamespaceFinalizersRemaining").unwrap()["message"],
        "Some content in the namespace has finalizers remaining: example.com/block in 1 resource instances"
    );
    assert_eq!(
        state::condition(&namespace, "NamespaceContentRemaining").unwrap()["message"],
        "Some resources are remaining: configmaps. has 1 resource instances"
    );
    assert_eq!(
        namespace["status"]["conditions"].as_array().unwrap().len(),
        5
    );
    let patch = json!({"metadata": {"finalizers": null}});
    assert_eq!(
        probe
            .send("PATCH", &path("ConfigMap", "held"), MERGE, &patch)
            .await
            .status,
        200
    );
    within(
        world
            .cluster
            .wait_until(|cluster| cluster.object("Namespace", "", "n").is_none()),
    )
    .await;
}
