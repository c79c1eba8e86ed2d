//! Conversations about applying a set: what is sent in which order, what is refused, what changed.

use super::*;

#[tokio::test]
async fn a_redeploy_without_changes_asks_once_a_kind_and_once_an_object_and_watches_nothing() {
    let mut options = WorldOptions::default();
    options.cluster.latency = Duration::from_millis(5);
    let (world, cluster) = world_with(options).await;
    let (namespace, _) = namespace(&cluster).await;
    let mut objects = vec![
        manifest(
            &kinds::QUOTA,
            1,
            "quota",
            json!({"spec": {"hard": {"pods": "10"}}}),
        ),
        secret("s", "Yg=="),
        deployment("web", "web:1"),
        manifest(
            &kinds::INGRESS,
            6,
            "web",
            json!({"spec": {"rules": [{"host": "web.test"}]}}),
        ),
    ];
    objects.extend((0..8).map(|n| config(&format!("c{n}"), "b")));
    objects.extend((0..8).map(|n| service(&format!("s{n}"))));
    let set = set(objects);
    let first = apply(&cluster, &namespace, &set).await.unwrap();
    assert!(first.iter().all(|one| one.change == Change::Created));
    assert_eq!(
        wait(&cluster, &namespace, &first).await.verdict,
        Verdict::Ready
    );

    world.log.clear();
    let again = apply(&cluster, &namespace, &set).await.unwrap();
    let unchanged = again
        .iter()
        .filter(|one| one.change == Change::Unchanged)
        .count();
    assert_eq!(unchanged, 20, "{:?}", changes(&again));
    assert_eq!(
        wait(&cluster, &namespace, &again).await.verdict,
        Verdict::Ready
    );
    let records = world.cluster.requests();
    assert_eq!(
        records.len(),
        5 + 20,
        "five kinds are listed, Secrets never"
    );
    assert_eq!(request_depth(&records), 2);
    assert_eq!(world.unexpected(), Vec::<String>::new());
}

#[tokio::test]
async fn applied_objects_come_back_in_the_order_of_the_set() {
    let (world, cluster) = world().await;
    let (namespace, _) = namespace(&cluster).await;
    let late = Action::Delay(Duration::from_millis(50));
    let path = "/api/v1/namespaces/pr-1/configmaps/first";
    world.cluster.inject(Fault::on("PATCH", path, late));
    let set = set(vec![config("first", "1"), config("second", "1")]);
    let applied = apply(&cluster, &namespace, &set).await.unwrap();
    let names: Vec<_> = applied.iter().map(|one| one.id.name.as_str()).collect();
    assert_eq!(names, ["first", "second"]);
}

#[tokio::test]
async fn what_changed_is_told_from_what_did_not() {
    let (_world, cluster) = world().await;
    let (namespace, _) = namespace(&cluster).await;
    let before = set(vec![
        config("a", "1"),
        config("b", "1"),
        secret("s", "MQ=="),
        secret("t", "MQ=="),
    ]);
    apply(&cluster, &namespace, &before).await.unwrap();
    let after = set(vec![
        config("a", "1"),
        config("b", "2"),
        secret("s", "MQ=="),
        secret("t", "Mg=="),
        config("c", "1"),
    ]);
    let applied = apply(&cluster, &namespace, &after).await.unwrap();
    let expected = [
        ("ConfigMap/a", Change::Unchanged),
        ("ConfigMap/b", Change::Changed),
        ("ConfigMap/c", Change::Created),
        ("Secret/s", Change::Unchanged),
        ("Secret/t", Change::Changed),
    ];
    assert_eq!(
        changes(&applied),
        expected.map(|(name, change)| (name.to_owned(), change))
    );
}

#[tokio::test]
async fn what_a_secret_holds_is_not_kept() {
    let (_world, cluster) = world().await;
    let (namespace, _) = namespace(&cluster).await;
    let applied = apply(
        &cluster,
        &namespace,
        &set(vec![secret("s", "aHVudGVyMg==")]),
    )
    .await
    .unwrap();
    assert!(!format!("{applied:?}").contains("aHVudGVyMg"));
}

#[tokio::test]
async fn new_objects_of_a_later_stage_wait_for_those_before() {
    let mut options = WorldOptions::default();
    options.cluster.latency = Duration::from_millis(5);
    let (world, cluster) = world_with(options).await;
    let (namespace, _) = namespace(&cluster).await;
    world.log.clear();
    let set = set(vec![
        deployment("web", "web:1"),
        config("c", "1"),
        service("web"),
    ]);
    apply(&cluster, &namespace, &set).await.unwrap();
    let at = |part: &str| requests(&world, "PATCH", part).remove(0);
    assert!(at("configmaps").ended.unwrap() <= at("services").started);
    assert!(at("services").ended.unwrap() <= at("deployments").started);
}

#[tokio::test]
async fn faults_of_one_stage_are_reported_together_with_their_places() {
    let (world, cluster) = world().await;
    let (namespace, _) = namespace(&cluster).await;
    let mut one = config("one", "1");
    one.object["data"]["a"] = 1.into();
    let mut two = config("two", "1");
    two.object["dta"] = json!({});
    let error = apply(
        &cluster,
        &namespace,
        &set(vec![one, two, deployment("web", "web:1")]),
    )
    .await
    .unwrap_err();
    assert_eq!(error.reason_code(), ReasonCode::BadManifest);
    let text = error.to_string();
    assert_eq!(
        text,
        "ConfigMap/one (one.yaml.j2, line 3): data.a: expected string, got 1\n\
             ConfigMap/two (two.yaml.j2, line 3): dta: field not declared in schema"
    );
    let failure = error.errors[0].failure();
    assert_eq!(
        failure.cause,
        "ConfigMap/one is not valid: data.a: expected string, got 1"
    );
    assert_eq!(failure.remedy, "correct data.a in one.yaml.j2, line 3");
    assert!(
        requests(&world, "PATCH", "deployments").is_empty(),
        "nothing new is begun"
    );
    assert_eq!(
        requests(&world, "PATCH", "configmaps").len(),
        3,
        "the parent, and no typed fault twice"
    );
}

#[tokio::test]
async fn a_passing_refusal_is_repeated() {
    let (world, cluster) = world().await;
    let (namespace, _) = namespace(&cluster).await;
    let path = "/api/v1/namespaces/pr-1/configmaps/c";
    world
        .cluster
        .inject(Fault::answer("PATCH", path, 429, json!({})).header("retry-after", "0"));
    world
        .cluster
        .inject(Fault::on("PATCH", path, Action::Close).nth(2));
    world
        .cluster
        .inject(Fault::on("PATCH", path, Action::WriteThenClose).nth(3));
    world
        .cluster
        .inject(Fault::answer("PATCH", path, 503, json!("<html>busy</html>")).nth(4));
    apply(&cluster, &namespace, &set(vec![config("c", "1")]))
        .await
        .unwrap();
    assert_eq!(requests(&world, "PATCH", "configmaps/c").len(), 5);
}

#[tokio::test]
async fn a_right_that_is_missing_is_named_with_its_rule() {
    let (world, cluster) = world().await;
    let (namespace, _) = namespace(&cluster).await;
    world.cluster.deny(Denial::new("patch", "configmaps"));
    let error = apply(&cluster, &namespace, &set(vec![config("c", "1")]))
        .await
        .unwrap_err();
    assert_eq!(error.reason_code(), ReasonCode::ClusterForbidden);
    let remedy = error.first().unwrap().error.remedy();
    assert!(
        remedy.contains(r#"apiGroups: [""], resources: [configmaps], verbs: [patch]"#),
        "{remedy}"
    );
    assert!(remedy.contains("preview-action setup"), "{remedy}");
}

#[tokio::test]
async fn a_namespace_on_its_way_out_has_a_code_of_its_own() {
    let (world, cluster) = world().await;
    let (namespace, uid) = namespace(&cluster).await;
    world.cluster.put(&finalized()).unwrap();
    cluster
        .delete_namespace(&namespace, &uid, None)
        .await
        .unwrap();
    let error = apply(&cluster, &namespace, &set(vec![config("c", "1")]))
        .await
        .unwrap_err();
    assert_eq!(error.reason_code(), ReasonCode::NamespaceTerminating);
}

#[tokio::test]
async fn warnings_of_the_server_are_kept() {
    let (world, cluster) = world().await;
    let (namespace, _) = namespace(&cluster).await;
    let path = "/api/v1/namespaces/pr-1/configmaps/c";
    let body = json!({"kind": "ConfigMap", "metadata": {"name": "c"}});
    world.cluster.inject(
        Fault::answer("PATCH", path, 200, body)
            .header("warning", "299 - \"would violate \\\"x\\\"\""),
    );
    let applied = apply(&cluster, &namespace, &set(vec![config("c", "1")]))
        .await
        .unwrap();
    assert_eq!(applied[0].warnings, ["would violate \"x\""]);
}

#[tokio::test]
async fn a_kind_that_no_preview_may_hold_is_not_even_sent() {
    let (world, cluster) = world().await;
    let (namespace, _) = namespace(&cluster).await;
    world.log.clear();
    let mut role = config("r", "1");
    role.id.group = "rbac.authorization.k8s.io".into();
    role.id.kind = "Role".into();
    let error = apply(&cluster, &namespace, &set(vec![role]))
        .await
        .unwrap_err();
    assert_eq!(error.reason_code(), ReasonCode::BadManifest);
    assert!(requests(&world, "PATCH", "").is_empty());
}
