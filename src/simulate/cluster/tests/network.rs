//! Shows that the ingress serves what the objects say.

use serde_json::json;

use super::{apply, rolled_out, within, workload, world};
use crate::simulate::cluster::Handle;

#[tokio::test]
async fn the_ingress_answers_by_host() {
    let (world, probe) = world().await;
    let ask = |host: &str, path: &str| {
        let request = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = request
            .get(format!("http://{}{path}", world.cluster.ingress_address()))
            .header("host", host);
        async move {
            let response = request.send().await.unwrap();
            (response.status().as_u16(), response.text().await.unwrap())
        }
    };
    assert_eq!(ask("pr-7.example.com", "/").await.0, 404);
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]},
    });
    let created = apply(&probe, &service).await.json();
    assert!(
        created["spec"]["clusterIP"]
            .as_str()
            .unwrap()
            .starts_with("10.96.")
    );
    let ingress = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "web"},
        "spec": {"rules": [{"host": "pr-7.example.com", "http": {"paths": [
            {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "web", "port": {"number": 80}}}}]}}]},
    });
    apply(&probe, &ingress).await;
    let addressed = |cluster: &Handle| {
        let ingress = cluster.object("Ingress", "n", "web").unwrap_or_default();
        ingress["status"]["loadBalancer"]["ingress"][0]["ip"] == "127.0.0.1"
    };
    within(world.cluster.wait_until(addressed)).await;
    assert_eq!(ask("pr-7.example.com", "/").await.0, 503);
    for sha in ["abc", "def"] {
        let mut web = workload("Deployment", "web", "app:1");
        web["spec"]["template"]["metadata"]["annotations"] = json!({"preview-action/sha": sha});
        apply(&probe, &web).await;
        rolled_out(&world, "web").await;
        let (status, page) = ask("PR-7.example.com:8080", "/deep/link").await;
        assert_eq!(status, 200);
        assert!(page.contains(&format!("revision: {sha}")), "{page}");
    }
    let slices = probe
        .get("/apis/discovery.k8s.io/v1/namespaces/n/endpointslices")
        .await
        .json();
    assert_eq!(
        slices["items"][0]["metadata"]["labels"]["kubernetes.io/service-name"],
        "web"
    );
    assert_eq!(
        slices["items"][0]["endpoints"][0]["conditions"]["ready"],
        true
    );
}
