//! Shows that quota, limits and pod security refuse what they should.

use serde_json::json;

use super::{NS, apply, condition, map, message, rolled_out, within, workload, world};
use crate::simulate::cluster::{Handle, state};
use crate::simulate::probe::MERGE;

#[tokio::test]
async fn an_exhausted_quota_shows_as_failed_create() {
    let (world, probe) = world().await;
    let quota = json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "rq"},
        "spec": {"hard": {"requests.cpu": "1", "pods": "10"}},
    });
    apply(&probe, &quota).await;
    let mut web = workload("Deployment", "web", "app:1");
    apply(&probe, &web).await;
    let refused = condition(
        &world,
        "Deployment",
        "web",
        "ReplicaFailure",
        "FailedCreate",
    )
    .await;
    let message = state::condition(&refused, "ReplicaFailure").unwrap()["message"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        message.ends_with("is forbidden: failed quota: rq: must specify requests.cpu for: web"),
        "{message}"
    );
    web["spec"]["template"]["spec"]["containers"][0]["resources"] =
        json!({"requests": {"cpu": "600m"}});
    web["spec"]["replicas"] = 2.into();
    apply(&probe, &web).await;
    let exceeded = |cluster: &Handle| {
        let object = cluster.object("Deployment", "n", "web").unwrap_or_default();
        state::condition(&object, "ReplicaFailure").is_some_and(|found| {
            found["message"].as_str().unwrap_or_default().ends_with(
                "exceeded quota: rq, requested: requests.cpu=600m, used: requests.cpu=600m, limited: requests.cpu=1",
            )
        })
    };
    within(world.cluster.wait_until(exceeded)).await;
    let counted = |cluster: &Handle| {
        let events = cluster.objects("Event", "n");
        events
            .iter()
            .any(|event| event["reason"] == "FailedCreate" && event["count"].as_u64() >= Some(2))
    };
    within(world.cluster.wait_until(counted)).await;
    web["spec"]["replicas"] = 1.into();
    apply(&probe, &web).await;
    rolled_out(&world, "web").await;
    let used = |cluster: &Handle| {
        let quota = cluster
            .object("ResourceQuota", "n", "rq")
            .unwrap_or_default();
        quota["status"]["used"] == json!({"pods": "1", "requests.cpu": "600m"})
    };
    within(world.cluster.wait_until(used)).await;
}

#[tokio::test]
async fn a_quota_on_counts_refuses_at_once_and_counts_the_servers_own() {
    let (_world, probe) = world().await;
    let quota = json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "rq"},
        "spec": {"hard": {"count/configmaps": "2"}},
    });
    apply(&probe, &quota).await;
    assert_eq!(apply(&probe, &map("a", json!({}))).await.status, 201);
    let refused = apply(&probe, &map("b", json!({}))).await;
    assert_eq!(refused.status, 403);
    assert_eq!(
        message(&refused),
        "configmaps \"b\" is forbidden: exceeded quota: rq, requested: count/configmaps=1, used: count/configmaps=2, \
         limited: count/configmaps=2"
    );
}

#[tokio::test]
async fn a_limit_range_fills_in_and_refuses() {
    let (world, probe) = world().await;
    let range = json!({
        "apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "lr"},
        "spec": {"limits": [{
            "type": "Container", "default": {"memory": "64Mi"}, "defaultRequest": {"memory": "32Mi"}, "max": {"memory": "64Mi"}}]},
    });
    apply(&probe, &range).await;
    apply(&probe, &workload("Deployment", "web", "app:1")).await;
    rolled_out(&world, "web").await;
    let resources =
        world.cluster.objects("Pod", "n")[0]["spec"]["containers"][0]["resources"].take();
    assert_eq!(
        resources,
        json!({"limits": {"memory": "64Mi"}, "requests": {"memory": "32Mi"}})
    );
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"},
        "spec": {"containers": [{"name": "c", "image": "i", "resources": {"limits": {"memory": "128Mi"}}}]},
    });
    let refused = apply(&probe, &pod).await;
    assert_eq!(
        message(&refused),
        "pods \"p\" is forbidden: maximum memory usage per Container is 64Mi, but limit is 128Mi"
    );
}

#[tokio::test]
async fn pod_security_warns_about_workloads_and_refuses_pods() {
    let (world, probe) = world().await;
    let label = json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "baseline"}}});
    probe.send("PATCH", NS, MERGE, &label).await;
    let mut web = workload("Deployment", "web", "app:1");
    assert_eq!(apply(&probe, &web).await.header("warning"), "");
    web["spec"]["template"]["spec"]["containers"][0]["securityContext"] =
        json!({"privileged": true});
    let warned = apply(&probe, &web).await;
    let violation = "PodSecurity \\\"baseline:latest\\\": privileged (container \\\"web\\\" must not set \
                     securityContext.privileged=true)";
    assert_eq!(
        warned.header("warning"),
        format!("299 - \"would violate {violation}\"")
    );
    let refused = condition(
        &world,
        "Deployment",
        "web",
        "ReplicaFailure",
        "FailedCreate",
    )
    .await;
    assert!(
        refused
            .to_string()
            .contains("is forbidden: violates PodSecurity")
    );
}
