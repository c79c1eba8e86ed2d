//! Shows that the real clients take the simulated servers for real ones.

#![expect(clippy::unwrap_used, reason = "a failed step fails its test")]

use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod};
use kube::api::{
    Api, DeleteParams, ListParams, LogParams, Patch, PatchParams, PostParams, Preconditions,
};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, Config, Discovery};
use serde_json::{Value, json};

use super::{Action, Fault, World, WorldOptions, github};

async fn kube(world: &World) -> Client {
    // An error means that another test of this process installed it before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let parsed = Kubeconfig::from_yaml(&world.cluster.kubeconfig()).unwrap();
    let mut config = Config::from_custom_kubeconfig(parsed, &KubeConfigOptions::default())
        .await
        .unwrap();
    config.default_retry = false;
    Client::try_from(config).unwrap()
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future)
        .await
        .unwrap()
}

fn deployment(image: &str) -> Deployment {
    serde_json::from_value(json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "web", "image": image}]},
            },
        },
    }))
    .unwrap()
}

#[tokio::test]
async fn kube_applies_watches_reads_logs_and_deletes() {
    let world = World::start(WorldOptions::default()).await.unwrap();
    // Of a Namespace that is no preview's.
    world.cluster.lift_policy();
    let client = kube(&world).await;
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": "n"}})).unwrap();
    let made = namespaces
        .create(&PostParams::default(), &namespace)
        .await
        .unwrap();
    let again = namespaces
        .create(&PostParams::default(), &namespace)
        .await
        .unwrap_err();
    assert!(matches!(again, kube::Error::Api(status) if status.is_already_exists()));

    let deployments: Api<Deployment> = Api::namespaced(client.clone(), "n");
    let parameters = PatchParams::apply("preview-action").force();
    deployments
        .patch("web", &parameters, &Patch::Apply(&deployment("app:1")))
        .await
        .unwrap();
    let broken = Fault::answer(
        "WATCH",
        "/apis/apps/v1/namespaces/n/deployments",
        500,
        json!({}),
    );
    world.cluster.inject(broken);
    let expires = Action::WatchExpires { after: 1 };
    world
        .cluster
        .inject(Fault::on("WATCH", "/apis/apps/v1/namespaces/n/deployments", expires).nth(2));
    let events = watcher(deployments.clone(), watcher::Config::default())
        .default_backoff()
        .applied_objects();
    let mut events = std::pin::pin!(events);
    let ready = async {
        loop {
            let Some(Ok(object)) = events.next().await else {
                continue;
            };
            if object.status.and_then(|status| status.available_replicas) == Some(1) {
                return;
            }
        }
    };
    within(ready).await;

    let pods: Api<Pod> = Api::namespaced(client.clone(), "n");
    let list = pods
        .list(&ListParams::default().labels("app=web"))
        .await
        .unwrap();
    let name = list.items[0].metadata.name.clone().unwrap();
    let log = pods
        .logs(
            &name,
            &LogParams {
                tail_lines: Some(1),
                ..LogParams::default()
            },
        )
        .await
        .unwrap();
    assert_eq!(log, "listening on port 8080\n");

    let wrong = Preconditions {
        uid: Some("u".into()),
        resource_version: None,
    };
    let parameters = DeleteParams {
        preconditions: Some(wrong),
        ..DeleteParams::default()
    };
    let refused = namespaces.delete("n", &parameters).await.unwrap_err();
    assert!(matches!(refused, kube::Error::Api(status) if status.is_conflict()));
    let right = Preconditions {
        uid: made.metadata.uid,
        resource_version: None,
    };
    let parameters = DeleteParams {
        preconditions: Some(right),
        ..DeleteParams::default()
    };
    assert!(namespaces.delete("n", &parameters).await.unwrap().is_left());
    let gone = kube::runtime::wait::await_condition(
        namespaces.clone(),
        "n",
        |found: Option<&Namespace>| found.is_none(),
    );
    within(gone).await.unwrap();
    assert!(world.unexpected().is_empty(), "{:?}", world.unexpected());
}

#[tokio::test]
async fn kube_discovers_in_two_requests_and_swaps_by_version() {
    let world = World::start(WorldOptions::default()).await.unwrap();
    let client = kube(&world).await;
    let discovery = Discovery::new(client.clone())
        .run_aggregated()
        .await
        .unwrap();
    assert_eq!(world.cluster.requests().len(), 2);
    let group = discovery.get("apps").unwrap();
    assert!(group.recommended_kind("StatefulSet").is_some());
    let plain = Discovery::new(client.clone()).run().await.unwrap();
    assert!(
        plain
            .get("batch")
            .unwrap()
            .recommended_kind("Job")
            .is_some()
    );

    world
        .cluster
        .put(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}}))
        .unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(client, "n");
    let map: ConfigMap = serde_json::from_value(json!({"metadata": {"name": "ledger"}})).unwrap();
    let first = maps.create(&PostParams::default(), &map).await.unwrap();
    maps.replace(
        "ledger",
        &PostParams::default(),
        &ConfigMap {
            immutable: Some(false),
            ..first.clone()
        },
    )
    .await
    .unwrap();
    let stale = maps
        .replace("ledger", &PostParams::default(), &first)
        .await
        .unwrap_err();
    assert!(matches!(stale, kube::Error::Api(status) if status.is_conflict()));
}

#[tokio::test]
async fn octocrab_pages_comments_and_edits_them() {
    for prefix in ["", "/api/v3"] {
        let options = github::Options {
            prefix: prefix.to_owned(),
            ..github::Options::default()
        };
        let world = World::start(WorldOptions {
            github: options,
            ..WorldOptions::default()
        })
        .await
        .unwrap();
        let _ = rustls::crypto::ring::default_provider().install_default();
        world.github.create_repository("octo/shop");
        let number = world
            .github
            .open_pull("octo/shop", github::NewPull::default());
        for count in 0..5 {
            world
                .github
                .comment("octo/shop", number, "dev", &format!("{count}"));
        }
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let client = octocrab::Octocrab::builder()
            .base_uri(world.github.url())
            .unwrap()
            .personal_token(world.github.token())
            .build_with_reqwest(http)
            .unwrap();
        let route = format!("/repos/octo/shop/issues/{number}/comments?per_page=2");
        let first: octocrab::Page<Value> = client.get(route, None::<&()>).await.unwrap();
        let all = client.all_pages(first).await.unwrap();
        assert_eq!(all.len(), 5, "with prefix {prefix:?}");
        let route = format!("/repos/octo/shop/issues/comments/{}", all[4]["id"]);
        let edited: Value = client
            .patch(route, Some(&json!({"body": "edited"})))
            .await
            .unwrap();
        assert_eq!(edited["body"], "edited");
        assert!(world.unexpected().is_empty(), "{:?}", world.unexpected());
    }
}
