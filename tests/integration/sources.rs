//! Which files, images and secrets a preview is made of.

use crate::support::{CONFIGURATION, ONE_SERVICE, SHOP, Shop};
use base64::{Engine, engine::general_purpose::STANDARD};
use preview_action::simulate::{cluster::Fate, github};
use serde_json::{Value, json};

fn config_map(shop: &Shop, name: &str) -> Value {
    shop.world
        .cluster
        .object("ConfigMap", "pr-shop-1", name)
        .map(|object| object["data"].clone())
        .unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn files_come_from_the_workspace_only_when_it_is_at_that_very_commit() {
    let shop = Shop::open().await;
    let opened = shop.opens(1);
    let local = ONE_SERVICE.replace("registry.example", "local.example");
    let stale = shop
        .run(&opened)
        .workspace(".git/HEAD", &"0".repeat(40))
        .workspace(CONFIGURATION, &local);
    stale.go().await.ends(0, "deployed");
    assert!(
        shop.image("pr-shop-1", "web")
            .starts_with("registry.example/")
    );

    let push = shop.pushes(1);
    let since = shop.now();
    let here = shop
        .run(&push)
        .workspace(".git/HEAD", &shop.world.github.head(SHOP, 1))
        .workspace(CONFIGURATION, &local);
    here.go().await.ends(0, "deployed");
    assert!(shop.image("pr-shop-1", "web").starts_with("local.example/"));
    let read = shop.requests("github", since);
    assert!(
        !read.iter().any(|record| record.path.contains("/contents/")),
        "{read:#?}"
    );
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_base_branch_can_be_made_to_govern() {
    let shop = Shop::open().await;
    shop.opens(1);
    let own = ONE_SERVICE.replace("registry.example", "evil.example");
    let push = shop.pushes_files(1, &[(CONFIGURATION, &own)]);
    let governed = shop.run(&push).input("config-from", "base").go().await;
    governed.ends(0, "deployed");
    let head = shop.world.github.head(SHOP, 1);
    assert_eq!(
        shop.image("pr-shop-1", "web"),
        format!("registry.example/web:{}", &head[..7]),
        "the base's configuration, the pull request's commit"
    );
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn templates_see_the_preview_and_the_values() {
    let configuration = format!(
        "{ONE_SERVICE}templates: [deploy/**/*.yaml.j2]\nvalues: {{colour: blue, size: 3}}\n"
    );
    let shop = Shop::selling(&configuration).await;
    let own = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: own}\ndata:\n  \
        where: {{ preview.namespace }} {{ preview.host }} {{ preview.number }}\n  \
        what: {{ values.colour }} {{ values.size + 1 }}\n  image: {{ images.web }}\n  commit: {{ preview.sha }}\n";
    shop.commit(&[
        ("deploy/deep/own.yaml.j2", own),
        ("deploy/none.txt", "nothing"),
    ]);
    let opened = shop.opens(1);
    let seen = shop
        .run(&opened)
        .input("values", "{colour: red}")
        .go()
        .await;
    seen.ends(0, "deployed");
    let head = shop.world.github.head(SHOP, 1);
    assert_eq!(
        config_map(&shop, "own"),
        json!({
            "where": "pr-shop-1 pr-1.preview.example.test 1",
            "what": "red 4",
            "image": format!("registry.example/web:{}", &head[..7]),
            "commit": head,
        })
    );
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_configuration_every_image_is_a_service() {
    let shop = Shop::open().await;
    let pull = github::NewPull {
        author: "alice".into(),
        ..github::NewPull::default()
    };
    let opened = shop.opens_as(1, pull);
    let run = shop.run(&opened).input("config", "none.yml").input(
        "images",
        "web=registry.example/web:pr-{number}\napi=registry.example/api:{branch}-{sha}",
    );
    let seen = run.go().await;
    seen.ends(0, "deployed");
    let head = shop.world.github.head(SHOP, 1);
    assert_eq!(shop.image("pr-shop-1", "web"), "registry.example/web:pr-1");
    assert_eq!(
        shop.image("pr-shop-1", "api"),
        format!("registry.example/api:feature-1-{head}")
    );
    assert_eq!(seen.output("url"), "http://pr-1.preview.example.test");
    assert_eq!(
        seen.output("urls"),
        "[\"http://pr-1.preview.example.test\"]"
    );
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pull_secret_is_copied_before_any_pod_needs_it() {
    let shop = Shop::open().await;
    let put = |object: Value| shop.world.cluster.put(&object).unwrap();
    put(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "registry"}}));
    let opened = shop.opens(1);
    let run = || shop.run(&opened).input("pull-secret", "registry/harbor");
    let missing = run().go().await;
    assert_ne!(missing.exit, 0, "{missing:#?}");
    missing.says("registry/harbor");
    missing.says("create secret docker-registry");

    put(json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "harbor", "namespace": "registry"},
        "type": "kubernetes.io/dockerconfigjson",
        "data": {".dockerconfigjson": "eyJhdXRocyI6eyJyZWdpc3RyeS5leGFtcGxlIjp7ImF1dGgiOiJhSFZ1ZEdWeU1nPT0ifX19"},
    }));
    let seen = run().go().await;
    seen.ends(0, "deployed");
    assert!(!seen.everything().contains("aHVudGVyMg"), "{seen:#?}");
    let mut copies = shop.world.cluster.objects("Secret", "pr-shop-1");
    copies.retain(|secret| secret["type"] == "kubernetes.io/dockerconfigjson");
    assert_eq!(copies.len(), 1, "{copies:#?}");
    let name = &copies[0]["metadata"]["name"];
    let deployment = shop
        .world
        .cluster
        .object("Deployment", "pr-shop-1", "web")
        .unwrap();
    assert_eq!(
        &deployment["spec"]["template"]["spec"]["imagePullSecrets"][0]["name"],
        name
    );
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_has_its_fences() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    let object =
        |kind: &str, name: &str| shop.world.cluster.object(kind, "pr-shop-1", name).unwrap();
    let namespace = shop
        .world
        .cluster
        .object("Namespace", "", "pr-shop-1")
        .unwrap();
    let labels = &namespace["metadata"]["labels"];
    assert_eq!(labels["pod-security.kubernetes.io/enforce"], "baseline");
    for (label, value) in [
        ("app", "preview"),
        ("pr", "1"),
        ("slot", "1"),
        ("preview-action/state", "ready"),
    ] {
        assert_eq!(labels[label], value, "{label}");
    }
    assert_eq!(
        namespace["metadata"]["annotations"]["preview-action/sha"],
        shop.world.github.head(SHOP, 1)
    );
    for kind in ["ResourceQuota", "LimitRange", "NetworkPolicy"] {
        object(kind, "preview");
    }
    let pod = &object("Deployment", "web")["spec"]["template"]["spec"];
    assert_eq!(pod["automountServiceAccountToken"], false);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_secret_in_the_pull_secret_is_shown_nowhere() {
    let shop = Shop::open().await;
    let put = |object: Value| shop.world.cluster.put(&object).unwrap();
    put(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "registry"}}));
    let auth = STANDARD.encode("robot:hunter-two-0123");
    let config = json!({"auths": {
        "registry.example": {"auth": auth},
        "other.example": {"username": "bob", "password": "correct horse", "identitytoken": "ident-0123"},
    }})
    .to_string();
    put(json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "harbor", "namespace": "registry"},
        "type": "kubernetes.io/dockerconfigjson",
        "data": {".dockerconfigjson": STANDARD.encode(&config)},
    }));
    let secrets = [
        "hunter-two-0123".to_owned(),
        STANDARD.encode("hunter-two-0123"),
        auth,
        "correct horse".into(),
        STANDARD.encode("correct horse"),
        "ident-0123".into(),
        STANDARD.encode(&config),
    ];
    shop.world.cluster.script_fate("web", Fate::Crash);
    let log = format!("logging in\n{}", secrets.join("\n"));
    shop.world.cluster.script_log("web", &log);
    let opened = shop.opens(1);
    let run = shop.run(&opened).input("pull-secret", "registry/harbor");
    let seen = run.go().await;
    seen.ends(1, "crash-loop");
    seen.says("logging in");
    let shown: String = seen
        .everything()
        .lines()
        .filter(|line| !line.starts_with("::add-mask::"))
        .collect();
    let kept = shop.world.cluster.objects("ConfigMap", "pr-shop-1");
    for secret in &secrets {
        assert!(!shown.contains(secret), "{secret}: {shown}");
        assert!(
            !json!(kept).to_string().contains(secret),
            "{secret}: {kept:#?}"
        );
    }
    shop.ends();
}
