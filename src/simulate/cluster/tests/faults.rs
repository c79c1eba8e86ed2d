//! Shows that armed faults happen, and the log tells them.

use std::time::Duration;

use serde_json::json;

use super::{NS, map, path, within, world};
use crate::simulate::cluster::Options;
use crate::simulate::probe::{APPLY, Probe};
use crate::simulate::{Action, Fault, World, WorldOptions, request_depth};

#[tokio::test]
async fn faults_answer_close_delay_and_lose_answers() {
    let (world, probe) = world().await;
    let at = path("ConfigMap", "c");
    let spoil = |action: Action| world.cluster.inject(Fault::on("PATCH", &at, action));
    let send = || {
        probe.try_send(
            probe
                .request("PATCH", &format!("{at}?fieldManager=m"))
                .header("content-type", APPLY)
                .body(map("c", json!({})).to_string()),
        )
    };
    let exists = || world.cluster.object("ConfigMap", "n", "c").is_some();

    let busy = Fault::answer("PATCH", &at, 429, json!({"message": "slow down"}))
        .header("retry-after", "1");
    world.cluster.inject(busy);
    let answer = send().await.unwrap();
    assert_eq!(
        (answer.status, answer.header("retry-after").as_str()),
        (429, "1")
    );
    assert!(!exists());

    spoil(Action::Close);
    assert!(send().await.is_err());
    assert!(!exists());

    spoil(Action::WriteThenAnswer {
        status: 502,
        body: json!("bad gateway"),
    });
    assert_eq!(send().await.unwrap().status, 502);
    assert!(exists());

    world.cluster.delete("ConfigMap", "n", "c");
    spoil(Action::WriteThenClose);
    assert!(send().await.is_err());
    assert!(exists());

    spoil(Action::Delay(Duration::from_millis(30)));
    let before = std::time::Instant::now();
    assert_eq!(send().await.unwrap().status, 200);
    assert!(before.elapsed() >= Duration::from_millis(30));

    spoil(Action::Hang);
    assert!(
        tokio::time::timeout(Duration::from_millis(30), send())
            .await
            .is_err()
    );
    let open = world
        .requests()
        .into_iter()
        .rfind(|record| record.method == "PATCH")
        .unwrap();
    assert_eq!((open.status, open.ended), (None, None));
}

#[tokio::test]
async fn a_hook_changes_the_world_between_two_requests() {
    let (world, probe) = world().await;
    let world = std::sync::Arc::new(world);
    let hooked = std::sync::Arc::downgrade(&world);
    world.cluster.inject(
        Fault::run("GET", &path("ConfigMap", "c"), move || {
            if let Some(world) = hooked.upgrade() {
                let mut object = map("c", json!({"by": "hook"}));
                object["metadata"]["namespace"] = "n".into();
                world.cluster.put(&object).unwrap();
            }
        })
        .nth(2),
    );
    assert_eq!(probe.get(&path("ConfigMap", "c")).await.status, 404);
    assert_eq!(
        probe.get(&path("ConfigMap", "c")).await.json()["data"]["by"],
        "hook"
    );
}

#[tokio::test]
async fn the_log_tells_round_trips_from_requests() {
    let latency = Duration::from_millis(150);
    let cluster = Options {
        latency,
        ..Options::default()
    };
    let world = World::start(WorldOptions {
        cluster,
        ..WorldOptions::default()
    })
    .await
    .unwrap();
    let probe = Probe::new(&world.cluster.url(), &Options::default().token);
    probe.get("/version").await;
    futures::future::join_all((0..8).map(|_| probe.get("/api/v1/pods"))).await;
    probe.get("/api/v1/namespaces").await;
    let log = world.requests();
    assert_eq!(log.len(), 10);
    assert_eq!(request_depth(&log), 3);
    assert_eq!(log.last().unwrap().depth, 3);
    assert_eq!(log.last().unwrap().seq, 10);
    assert_eq!(log.last().unwrap().status, Some(200));
    within(world.log.wait_until(|log| log.len() == 10)).await;
}

#[tokio::test]
async fn discovery_lists_the_served_kinds_in_both_forms() {
    let (_world, probe) = world().await;
    let apps = probe.get("/apis/apps/v1").await.json();
    assert!(
        apps["resources"]
            .as_array()
            .unwrap()
            .iter()
            .any(|resource| resource["name"] == "deployments")
    );
    assert_eq!(probe.get("/api").await.json()["versions"], json!(["v1"]));
    let request = probe.request("GET", "/apis").header(
        "accept",
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
    );
    let aggregated = probe.try_send(request).await.unwrap();
    assert!(
        aggregated
            .header("content-type")
            .contains("APIGroupDiscoveryList")
    );
    assert_eq!(aggregated.json()["items"][0]["metadata"]["name"], "apps");
    assert_eq!(probe.get("/version").await.json()["gitVersion"], "v1.36.3");
}

#[tokio::test]
async fn metadata_alone_can_be_listed() {
    let (_world, probe) = world().await;
    let accept = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
    let request = probe
        .request("GET", &format!("{NS}/configmaps"))
        .header("accept", accept);
    let list = probe.try_send(request).await.unwrap().json();
    assert_eq!(list["kind"], "PartialObjectMetadataList");
    assert!(list["items"][0].get("data").is_none());
    assert_eq!(list["items"][0]["metadata"]["name"], "kube-root-ca.crt");
}
