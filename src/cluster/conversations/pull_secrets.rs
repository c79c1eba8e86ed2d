//! Conversations about the pull secret that is copied into a preview.

use super::*;

fn source(kind: &str) -> Value {
    let mut source = object(&kinds::SECRET, "registry");
    source["metadata"]["namespace"] = "pr-1".into();
    source["type"] = kind.into();
    source["data"] = json!({".dockerconfigjson": "e30="});
    source
}

fn from() -> SecretRef {
    SecretRef {
        namespace: "pr-1".parse().unwrap(),
        name: "registry".parse().unwrap(),
    }
}

#[tokio::test]
async fn a_pull_secret_is_copied_under_its_fixed_name() {
    let (world, cluster) = world().await;
    let (namespace, _) = namespace(&cluster).await;
    world
        .cluster
        .put(&source("kubernetes.io/dockerconfigjson"))
        .unwrap();
    cluster.copy_secret(&from(), &namespace).await.unwrap();
    let copy = world
        .cluster
        .object("Secret", "pr-1", crate::manifests::PULL_SECRET)
        .unwrap();
    assert_eq!(copy["data"][".dockerconfigjson"], "e30=");
}

#[tokio::test]
async fn what_is_wrong_with_it_is_said() {
    let (world, cluster) = world().await;
    let (namespace, _) = namespace(&cluster).await;
    let refused = || async { cluster.copy_secret(&from(), &namespace).await.unwrap_err() };
    assert_eq!(
        refused().await.to_string(),
        "secret pr-1/registry does not exist"
    );
    world.cluster.put(&source("Opaque")).unwrap();
    assert!(
        refused()
            .await
            .to_string()
            .contains("is not of type kubernetes.io/dockerconfigjson")
    );
    world.cluster.deny(Denial::new("get", "secrets"));
    let error = refused().await;
    assert_eq!(error.reason_code(), ReasonCode::ClusterForbidden);
    assert!(
        error.remedy().contains("--resource-name=registry"),
        "{}",
        error.remedy()
    );
}
