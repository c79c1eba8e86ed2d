//! Conversations about removing a Namespace: by UID and version, until it is gone, with proof.

use super::*;

async fn until_gone(cluster: &Cluster, namespace: &Namespace, uid: &str, wait: Duration) -> Gone {
    let stop = CancellationToken::new();
    let deadline = Instant::now() + wait;
    cluster
        .wait_until_gone(namespace, uid, deadline, &stop, &mut |_| {})
        .await
        .unwrap()
}

#[tokio::test]
async fn a_namespace_is_deleted_by_uid_and_seen_gone() {
    let (world, cluster) = world().await;
    let (namespace, uid) = namespace(&cluster).await;
    let other = "00000000-0000-0000-0000-000000000000";
    assert_eq!(
        cluster
            .delete_namespace(&namespace, other, None)
            .await
            .unwrap(),
        Deleted::AlreadyGone
    );
    assert!(
        cluster
            .namespace(&namespace)
            .await
            .unwrap()
            .unwrap()
            .deleting
            .is_none()
    );
    assert_eq!(
        cluster
            .delete_namespace(&namespace, &uid, None)
            .await
            .unwrap(),
        Deleted::Begun
    );
    let gone = until_gone(&cluster, &namespace, &uid, Duration::from_secs(10)).await;
    assert!(matches!(gone, Gone::Gone { .. }), "{gone:?}");
    assert_eq!(cluster.namespace(&namespace).await.unwrap(), None);
    assert_eq!(
        cluster
            .delete_namespace(&namespace, &uid, None)
            .await
            .unwrap(),
        Deleted::AlreadyGone
    );
    assert_eq!(world.unexpected(), Vec::<String>::new());
}

#[tokio::test]
async fn what_holds_a_removal_is_named() {
    let (world, cluster) = world().await;
    let (namespace, uid) = namespace(&cluster).await;
    world.cluster.put(&finalized()).unwrap();
    cluster
        .delete_namespace(&namespace, &uid, None)
        .await
        .unwrap();
    let stuck = until_gone(&cluster, &namespace, &uid, Duration::from_secs(1)).await;
    let Gone::Stuck(by) = stuck else {
        unreachable!("{stuck:?}")
    };
    assert!(by.conditions[0].contains("example.com/block"), "{by:?}");
    let held = &by.objects[0];
    assert_eq!(
        (held.resource.as_str(), held.name.as_str()),
        ("configmaps", "held")
    );
    assert_eq!(held.finalizers, ["example.com/block"]);
    assert!(held.deleting.is_some(), "{held:?}");
    assert_eq!(world.unexpected(), Vec::<String>::new());
}

#[tokio::test]
async fn what_may_not_be_listed_is_said_to_be_unseen() {
    let (world, cluster) = world().await;
    let (namespace, uid) = namespace(&cluster).await;
    world.cluster.put(&finalized()).unwrap();
    world.cluster.deny(Denial::new("list", "configmaps"));
    cluster
        .delete_namespace(&namespace, &uid, None)
        .await
        .unwrap();
    let stuck = until_gone(&cluster, &namespace, &uid, Duration::from_secs(1)).await;
    let Gone::Stuck(by) = stuck else {
        unreachable!("{stuck:?}")
    };
    assert_eq!(
        (by.objects.len(), by.unseen),
        (0, vec!["configmaps".into()])
    );
}

#[tokio::test]
async fn a_namespace_that_has_changed_since_it_was_read_is_not_deleted() {
    let (world, cluster) = world().await;
    let (namespace, uid) = namespace(&cluster).await;
    let read = cluster.namespace(&namespace).await.unwrap().unwrap();
    let mut touched = world.cluster.object("Namespace", "", "pr-1").unwrap();
    touched["metadata"]["annotations"]["somebody"] = "was here".into();
    world.cluster.put(&touched).unwrap();
    let delete = async |version: &str| {
        let deleted = cluster.delete_namespace(&namespace, &uid, Some(version));
        deleted.await.unwrap()
    };
    assert_eq!(delete(&read.version).await, Deleted::Changed);
    let now = cluster.namespace(&namespace).await.unwrap().unwrap();
    assert_eq!(now.deleting, None);
    assert_eq!(delete(&now.version).await, Deleted::Begun);
}

/// A claim and the volume that is bound to it.
fn bound(world: &World, name: &str, policy: &str) {
    let volume = format!("pv-{name}");
    let mut claim = object(&kinds::CLAIM, name);
    claim["metadata"]["namespace"] = "pr-1".into();
    claim["spec"] = json!({"volumeName": volume, "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}});
    let mut bound = object(&kinds::VOLUME, &volume);
    bound["spec"] = json!({
        "persistentVolumeReclaimPolicy": policy,
        "claimRef": {"namespace": "pr-1", "name": name},
    });
    world.cluster.put(&claim).unwrap();
    world.cluster.put(&bound).unwrap();
}

#[tokio::test]
async fn volumes_are_followed_beyond_the_end_of_their_namespace() {
    let (world, cluster) = world().await;
    let (namespace, uid) = namespace(&cluster).await;
    bound(&world, "cache", "Delete");
    bound(&world, "data", "Retain");
    let contents = cluster.contents(&namespace).await.unwrap();
    assert_eq!(contents.counts["PersistentVolumeClaim"], 2);
    cluster
        .delete_namespace(&namespace, &uid, None)
        .await
        .unwrap();
    until_gone(&cluster, &namespace, &uid, Duration::from_secs(10)).await;
    let fates = async || {
        let ends = cluster.volumes_after(&contents.claims).await;
        ends.iter()
            .map(|end| (end.claim.clone(), end.fate))
            .collect::<Vec<_>>()
    };
    let named = |all: [(&str, Fate); 2]| all.map(|(name, fate)| (name.to_owned(), fate));
    let seen = named([("cache", Fate::Deleted), ("data", Fate::Retained)]);
    assert_eq!(fates().await, seen);
    world.cluster.deny(Denial::new("get", "persistentvolumes"));
    let unseen = named([("cache", Fate::NotChecked), ("data", Fate::NotChecked)]);
    assert_eq!(fates().await, unseen);
    assert_eq!(world.unexpected(), Vec::<String>::new());
}

#[tokio::test]
async fn another_namespace_of_the_name_says_that_ours_is_gone() {
    let (_world, cluster) = world().await;
    let (namespace, _) = namespace(&cluster).await;
    let gone = until_gone(&cluster, &namespace, "older", Duration::from_secs(5)).await;
    assert!(matches!(gone, Gone::Gone { .. }), "{gone:?}");
}

#[tokio::test]
async fn a_namespace_is_never_applied_onto_another_of_its_name() {
    let (_world, cluster) = world().await;
    let (name, uid) = namespace(&cluster).await;
    let mut object = namespace_object("pr-1");
    object["metadata"]["uid"] = uid.into();
    object["metadata"]["annotations"] = json!({"preview-action/sha": "abc"});
    let Reapplied::Live(info) = cluster.apply_namespace(&object).await.unwrap() else {
        unreachable!()
    };
    assert_eq!(info.annotations["preview-action/sha"], "abc");
    object["metadata"]["uid"] = "00000000-0000-0000-0000-000000000000".into();
    assert_eq!(
        cluster.apply_namespace(&object).await.unwrap(),
        Reapplied::Gone
    );
    object["metadata"]["name"] = "pr-2".into();
    assert_eq!(
        cluster.apply_namespace(&object).await.unwrap(),
        Reapplied::Gone
    );
    assert_eq!(
        cluster
            .list_namespaces("preview-action/repository-id=1")
            .await
            .unwrap()
            .len(),
        1
    );
    assert_eq!(cluster.namespace(&name).await.unwrap().unwrap().name, name);
}

#[tokio::test]
async fn a_creation_whose_answer_is_lost_is_read_back() {
    let (world, cluster) = world().await;
    world.cluster.inject(Fault::on(
        "POST",
        "/api/v1/namespaces",
        Action::WriteThenClose,
    ));
    let created = cluster
        .create_namespace(&namespace_object("pr-1"))
        .await
        .unwrap();
    assert!(matches!(created, Created::AlreadyExists(_)), "{created:?}");
    assert_eq!(
        requests(&world, "POST", "namespaces").len(),
        1,
        "a POST is not repeated"
    );
    assert_eq!(requests(&world, "GET", "namespaces/pr-1").len(), 1);
}

#[rstest]
#[case(500, json!("<h1>Internal Server Error</h1>"))]
#[case(500, json!({"kind": "Status", "code": 500, "reason": "InternalError", "message": "etcd is away"}))]
#[case(502, json!("<h1>Bad Gateway</h1>"))]
#[case(504, json!("<h1>Gateway Time-out</h1>"))]
#[tokio::test]
async fn a_creation_that_a_gateway_lost_is_looked_for_before_it_is_tried_again(
    #[case] status: u16,
    #[case] body: Value,
) {
    let (world, cluster) = world().await;
    let path = "/api/v1/namespaces";
    world
        .cluster
        .inject(Fault::answer("POST", path, status, body.clone()));
    let created = cluster
        .create_namespace(&namespace_object("pr-2"))
        .await
        .unwrap();
    assert!(matches!(created, Created::New(_)), "{created:?}");
    let asked: Vec<String> = world
        .cluster
        .requests()
        .into_iter()
        .map(|one| one.method)
        .collect();
    assert_eq!(asked, ["POST", "GET", "POST"]);

    world.cluster.inject(Fault::on(
        "POST",
        path,
        Action::WriteThenAnswer {
            status,
            body: body.clone(),
        },
    ));
    let created = cluster
        .create_namespace(&namespace_object("pr-3"))
        .await
        .unwrap();
    assert!(matches!(created, Created::AlreadyExists(_)), "{created:?}");

    world
        .cluster
        .inject(Fault::answer("POST", path, status, body).always());
    let never = cluster.create_namespace(&namespace_object("pr-4")).await;
    assert!(never.is_err(), "trying has an end: {never:?}");
}

#[tokio::test]
async fn an_inventory_counts_what_is_ours() {
    let (_world, cluster) = world().await;
    let (namespace, _) = namespace(&cluster).await;
    let applied = apply(
        &cluster,
        &namespace,
        &set(vec![config("c", "1"), deployment("web", "web:1")]),
    )
    .await
    .unwrap();
    wait(&cluster, &namespace, &applied).await;
    let inventory = cluster.inventory(&namespace).await.unwrap();
    let expected = [("ConfigMap", 1), ("Deployment", 1), ("Pod", 1)]
        .map(|(kind, count)| (kind.to_owned(), count));
    assert_eq!(inventory.into_iter().collect::<Vec<_>>(), expected);
    let workloads = cluster.workloads(&namespace).await.unwrap();
    assert_eq!(
        (workloads.len(), workloads[0].ready, workloads[0].readiness),
        (1, 1, Readiness::Ready)
    );
}
