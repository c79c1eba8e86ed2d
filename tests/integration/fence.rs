//! What the fence lets through and what opens it, and manifests that earlier steps have written.

use crate::support::{CONFIGURATION, Event, ONE_SERVICE, SHOP, Shop};
use preview_action::simulate::github;

/// What `helm template` makes of the chart beside it; the file says by which command.
const CHART: &str = include_str!("../fixtures/chart.yaml");

/// The same of a chart that many know; nobody here wrote it.
const PODINFO: &str = include_str!("../fixtures/podinfo.yaml");

const NODE_PORT: &str = "apiVersion: v1
kind: Service
metadata: {name: own}
spec:
  type: NodePort
  ports: [{port: 80}]
";

const WITH_TEMPLATES: &str = "version: 1
templates: [deploy/*.yaml]
services:
  web:
    image: registry.example/web:{short-sha}
    public: true
";

fn contents(shop: &Shop, since: usize) -> Vec<String> {
    shop.requests("github", since)
        .into_iter()
        .map(|record| record.path)
        .filter(|path| path.contains("/contents/.github/preview.yml"))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chart_is_deployed_with_its_hooks_in_their_places() {
    let shop = Shop::open().await;
    let opened = shop.opens(1);
    let run = shop
        .run(&opened)
        .input("config", "none.yml")
        .input("manifests", "rendered/*.yaml")
        .workspace("rendered/shop.yaml", CHART);
    let seen = run.go().await;
    seen.ends(0, "deployed");
    let object = |kind: &str, name: &str| shop.world.cluster.object(kind, "pr-shop-1", name);
    assert!(object("Pod", "shop-test-connection").is_none());
    assert_eq!(
        shop.image("pr-shop-1", "shop-web"),
        "registry.example/web:pr-1"
    );
    for (kind, name) in [
        ("ConfigMap", "shop-settings"),
        ("Service", "shop-web"),
        ("Ingress", "shop-web"),
        ("Job", "shop-migrate"),
        ("Job", "shop-warm-up"),
    ] {
        let labels = &object(kind, name).unwrap_or_default()["metadata"]["labels"];
        assert_eq!(labels["pr"], "1", "{kind} {name}");
        assert_eq!(labels["app.kubernetes.io/managed-by"], "Helm");
        assert!(labels["preview-action/repository-id"].is_string());
    }
    let migrate = object("Job", "shop-migrate").unwrap_or_default();
    assert_eq!(
        migrate["metadata"]["annotations"]["preview-action/run-first"],
        "true"
    );
    assert_eq!(
        migrate["spec"]["template"]["spec"]["automountServiceAccountToken"],
        false
    );
    let order: Vec<String> = shop
        .cluster_requests(0)
        .into_iter()
        .filter(|record| record.method == "PATCH")
        .map(|record| record.path)
        .collect();
    let at = |name: &str| order.iter().position(|path| path.contains(name)).unwrap();
    assert!(
        at("jobs/shop-migrate") < at("deployments/shop-web"),
        "{order:#?}"
    );
    assert!(
        at("deployments/shop-web") < at("jobs/shop-warm-up"),
        "{order:#?}"
    );
    for notice in [
        "Job/shop-migrate of rendered/shop.yaml:",
        "it runs before the workloads",
        "it runs after the workloads are applied",
        "Pod/shop-test-connection of rendered/shop.yaml:",
        "a preview has no use for it, so it is left out",
    ] {
        seen.says(notice);
    }
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chart_that_many_know_is_deployed_unchanged_and_again_without_a_change() {
    let shop = Shop::open().await;
    let run = |event: &Event| {
        shop.run(event)
            .input("config", "none.yml")
            .input("manifests", "podinfo.yaml")
            .workspace("podinfo.yaml", PODINFO)
    };
    let seen = run(&shop.opens(1)).go().await;
    seen.ends(0, "deployed");
    for test in ["grpc", "jwt", "service"] {
        seen.says(&format!("Pod/shop-podinfo-{test}-test-"));
    }
    let object = |kind: &str, name: &str| shop.world.cluster.object(kind, "pr-shop-1", name);
    for (kind, name) in [
        ("ServiceAccount", "shop-podinfo"),
        ("ConfigMap", "shop-podinfo-redis"),
        ("Service", "shop-podinfo"),
        ("Deployment", "shop-podinfo"),
        ("Deployment", "shop-podinfo-redis"),
        ("HorizontalPodAutoscaler", "shop-podinfo"),
        ("Ingress", "shop-podinfo"),
    ] {
        assert!(object(kind, name).is_some(), "{kind} {name}");
    }
    // What the autoscaler has decided in the meantime is left alone.
    let mut scaled = object("Deployment", "shop-podinfo").unwrap();
    scaled["spec"]["replicas"] = 3.into();
    shop.world.cluster.put(&scaled).unwrap();
    let again = run(&shop.pushes(1)).go().await;
    again.ends(0, "deployed");
    assert!(
        !again.summary.contains("as configured again"),
        "{}",
        again.summary
    );
    assert_eq!(
        object("Deployment", "shop-podinfo").unwrap()["spec"]["replicas"],
        3
    );
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn manifests_stand_beside_services_and_nothing_in_them_is_a_template() {
    let shop = Shop::open().await;
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: own}\ndata: {text: '{{ preview.number }}'}\n";
    let opened = shop.opens(1);
    let run = shop.run(&opened).input("manifests", "out/**/*.yaml");
    let seen = run.workspace("out/deep/own.yaml", map).go().await;
    seen.ends(0, "deployed");
    let own = shop.world.cluster.object("ConfigMap", "pr-shop-1", "own");
    assert_eq!(
        own.unwrap_or_default()["data"]["text"],
        "{{ preview.number }}"
    );
    assert!(
        shop.image("pr-shop-1", "web")
            .starts_with("registry.example/")
    );
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn manifests_are_taken_only_where_they_must_be_this_commits() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    let asked = shop.says(1, "alice", "/deploy");
    let run = || {
        shop.run(&asked)
            .input("manifests", "rendered/*.yaml")
            .workspace(
                "rendered/own.yaml",
                "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: own}\n",
            )
    };
    let elsewhere = run().workspace(".git/HEAD", &"0".repeat(40)).go().await;
    elsewhere.ends(1, "bad-input");
    elsewhere.says("so its manifests may be another");
    let here = run()
        .workspace(".git/HEAD", &shop.world.github.head(SHOP, 1))
        .workspace(CONFIGURATION, ONE_SERVICE);
    here.go().await.ends(0, "deployed");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forks_manifests_are_never_read() {
    let shop = Shop::open().await;
    let fork = github::NewPull {
        author: "mallory".into(),
        fork: Some("mallory/shop".into()),
        ..github::NewPull::default()
    };
    let opened = shop.opens_as(1, fork);
    let run = shop.run(&opened).input("manifests", "rendered/*.yaml");
    let seen = run.workspace("rendered/shop.yaml", CHART).go().await;
    assert_eq!(seen.output("reason-code"), "approval-needed", "{seen:#?}");
    assert_eq!(shop.namespaces(), Vec::<String>::new());
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_outside_of_the_workspace_is_read() {
    let shop = Shop::open().await;
    let opened = shop.opens(1);
    for (glob, says) in [
        ("../*.yaml", "input `manifests`"),
        ("/etc/passwd", "input `manifests`"),
        (
            "missing/*.yaml",
            "no file matches the manifests missing/*.yaml",
        ),
        ("link.yaml", "a link leads to it"),
        (
            "folder/x.yaml",
            "no file matches the manifests folder/x.yaml",
        ),
    ] {
        let run = shop
            .run(&opened)
            .input("manifests", glob)
            .workspace("outside/x.yaml", CHART)
            .link("link.yaml", "outside/x.yaml")
            .link("folder", "outside");
        let seen = run.go().await;
        seen.ends(1, "bad-input");
        assert!(seen.log.contains(says), "{glob}: {}", seen.log);
    }
    assert_eq!(shop.namespaces(), Vec::<String>::new());
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_default_branch_opens_the_fence_and_it_is_asked_only_when_needed() {
    let shop = Shop::selling(WITH_TEMPLATES).await;
    shop.commit(&[("deploy/own.yaml", NODE_PORT)]);
    let opened = shop.opens(1);
    let since = shop.now();
    let refused = shop.run(&opened).go().await;
    refused.ends(1, "policy-refused");
    refused.says("policy: {allow: [node-port]}");
    assert_eq!(
        contents(&shop, since).len(),
        2,
        "the commit's and the default branch's"
    );

    let open = format!("{WITH_TEMPLATES}policy: {{allow: [node-port]}}\n");
    let own = shop.pushes_files(1, &[(CONFIGURATION, &open)]);
    shop.run(&own).go().await.ends(1, "policy-refused");

    shop.commit(&[(CONFIGURATION, &open)]);
    let push = shop.pushes_files(1, &[(CONFIGURATION, WITH_TEMPLATES)]);
    let seen = shop.run(&push).go().await;
    seen.ends(0, "deployed");

    let since = shop.now();
    let push = shop.pushes_files(
        1,
        &[(
            "deploy/own.yaml",
            &NODE_PORT.replace("NodePort", "ClusterIP"),
        )],
    );
    shop.run(&push).go().await.ends(0, "deployed");
    assert_eq!(contents(&shop, since).len(), 1, "nothing was to be opened");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kind_that_the_policy_opens_is_applied_and_a_faulty_policy_opens_nothing() {
    let shop = Shop::selling(WITH_TEMPLATES).await;
    let middleware = "apiVersion: traefik.io/v1alpha1\nkind: Middleware\nmetadata: {name: own}\nspec: {stripPrefix: {prefixes: [/a]}}\n";
    let policy = "policy: {kinds: [{api-version: traefik.io/v1alpha1, kind: Middleware}]}\n";
    shop.commit(&[("deploy/own.yaml", middleware)]);
    let opened = shop.opens(1);
    shop.commit(&[(
        CONFIGURATION,
        &format!("{WITH_TEMPLATES}{}", policy.replace("kinds", "kindz")),
    )]);
    let seen = shop.run(&opened).go().await;
    seen.ends(1, "policy-refused");
    seen.says("(default branch)");
    seen.says("kindz");

    shop.commit(&[(CONFIGURATION, &format!("{WITH_TEMPLATES}{policy}"))]);
    let push = shop.pushes(1);
    let since = shop.now();
    let seen = shop.run(&push).go().await;
    // The simulated cluster has no Traefik; that it was asked is what counts here.
    seen.ends(1, "bad-manifest");
    seen.says("the cluster does not serve this kind");
    let path = "/apis/traefik.io/v1alpha1/namespaces/pr-shop-1/middlewares/own";
    let asked = shop.cluster_requests(since);
    assert!(
        asked.iter().any(|record| record.path.starts_with(path)),
        "{asked:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kind_that_has_left_altogether_is_opened_by_the_policy_before_it_is_looked_for() {
    let shop = Shop::selling(ONE_SERVICE).await;
    shop.deployed(1).await;
    let name = || {
        let parent = shop
            .world
            .cluster
            .object("ConfigMap", "pr-shop-1", "preview-applyset");
        let mut parent = parent.unwrap();
        let kinds =
            &mut parent["metadata"]["annotations"]["applyset.kubernetes.io/contains-group-kinds"];
        *kinds = format!("{},Tap.beer.example.com", kinds.as_str().unwrap()).into();
        shop.world.cluster.put(&parent).unwrap();
    };
    name();
    let since = shop.now();
    let seen = shop.run(&shop.pushes(1)).go().await;
    seen.ends(0, "deployed");
    seen.says("objects of Tap.beer.example.com may have been left behind");
    assert_eq!(
        contents(&shop, since).len(),
        2,
        "the default branch was asked"
    );

    let policy = "policy: {kinds: [{api-version: beer.example.com/v1, kind: Tap}]}\n";
    shop.commit(&[(CONFIGURATION, &format!("{ONE_SERVICE}{policy}"))]);
    let since = shop.now();
    let seen = shop.run(&shop.pushes(1)).go().await;
    seen.ends(0, "deployed");
    assert!(!seen.summary.contains("left behind"), "{}", seen.summary);
    let list = "/apis/beer.example.com/v1/namespaces/pr-shop-1/taps";
    let asked = shop.cluster_requests(since);
    assert!(
        asked
            .iter()
            .any(|record| record.method == "GET" && record.path.starts_with(list)),
        "{asked:#?}"
    );
    let parent = shop
        .world
        .cluster
        .object("ConfigMap", "pr-shop-1", "preview-applyset");
    let parent = parent.unwrap_or_default().to_string();
    assert!(!parent.contains("Tap.beer"), "{parent}");
    // The simulated cluster does not serve the kind; that it was asked is what counts here.
    assert_eq!(shop.world.unexpected(), [format!("GET {list}")]);
}
