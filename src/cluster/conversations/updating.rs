//! Conversations about what leaves a set, what cannot change, and what others changed.

use super::*;
use crate::cluster::{
    applyset,
    outcome::{Caution, Difference, Differs, Pruned},
};

/// Deploys a set as the pipeline does: look, apply, prune.
async fn deploy(
    cluster: &Cluster,
    namespace: &Namespace,
    set: &ManifestSet,
    confirmed: bool,
) -> (Vec<Applied>, Pruned) {
    let known = cluster.existing(namespace, set).await.unwrap();
    let applied = cluster
        .apply(set, namespace, &known, &mut |_| {})
        .await
        .unwrap();
    let pruned = cluster
        .prune(set, namespace, &known, &applied, Caution::of(confirmed))
        .await
        .unwrap();
    (applied, pruned)
}

async fn diff(cluster: &Cluster, namespace: &Namespace, set: &ManifestSet) -> Vec<Difference> {
    let known = cluster.existing(namespace, set).await.unwrap();
    cluster.diff(namespace, set, &known).await.unwrap()
}

fn removed(pruned: &Pruned) -> Vec<String> {
    pruned.removed.iter().map(ToString::to_string).collect()
}

fn annotated(mut manifest: Manifest, name: &str, value: &str) -> Manifest {
    manifest.object["metadata"]["annotations"][name] = value.into();
    manifest
}

/// Names of the objects of a preview that its set is made of, the parent left out.
fn members(world: &World) -> Vec<String> {
    let snapshot = world.cluster.snapshot();
    let members = snapshot.iter().filter(|(_, object)| {
        object["metadata"]["labels"]
            .get(applyset::PART_OF)
            .is_some()
    });
    members
        .map(|(name, _)| name.replace(" pr-1/", "/"))
        .collect()
}

fn parent(world: &World) -> Value {
    world
        .cluster
        .object("ConfigMap", "pr-1", applyset::PARENT)
        .unwrap()
}

fn named_kinds(world: &World) -> Value {
    parent(world)["metadata"]["annotations"]["applyset.kubernetes.io/contains-group-kinds"].clone()
}

fn shop() -> Vec<Manifest> {
    vec![
        config("a", "1"),
        config("b", "1"),
        secret("s", "MQ=="),
        secret("t", "MQ=="),
        service("web"),
        deployment("web", "web:1"),
    ]
}

#[tokio::test]
async fn what_left_the_set_goes_and_the_parent_names_what_is_left() {
    let (world, cluster) = world().await;
    let (namespace, _) = namespace(&cluster).await;
    let foreign = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "theirs", "namespace": "pr-1"}});
    world.cluster.put(&foreign).unwrap();
    deploy(&cluster, &namespace, &set(shop()), false).await;
    assert_eq!(
        named_kinds(&world),
        "ConfigMap,Deployment.apps,Secret,Service"
    );

    let mut less = shop();
    less.retain(|manifest| {
        let name = manifest.id.to_string();
        !["ConfigMap/b", "Secret/t", "Service/web"].contains(&name.as_str())
    });
    let (_, pruned) = deploy(&cluster, &namespace, &set(less), false).await;
    assert_eq!(removed(&pruned), ["ConfigMap/b", "Secret/t", "Service/web"]);
    assert_eq!(pruned.warnings, Vec::<String>::new());
    assert_eq!(
        members(&world),
        ["ConfigMap/a", "Deployment/web", "Secret/s"]
    );
    assert!(
        world
            .cluster
            .object("ConfigMap", "pr-1", "theirs")
            .is_some()
    );
    assert_eq!(named_kinds(&world), "ConfigMap,Deployment.apps,Secret");
    let annotations = &parent(&world)["metadata"]["annotations"];
    assert_eq!(annotations["preview-action/secrets"], "s");
    assert!(
        requests(&world, "GET", "secrets").is_empty(),
        "Secrets are never read"
    );
    assert_eq!(world.unexpected(), Vec::<String>::new());
}

#[tokio::test]
async fn a_kind_that_left_as_a_whole_is_still_looked_for() {
    let (world, cluster) = world().await;
    let (namespace, _) = namespace(&cluster).await;
    deploy(&cluster, &namespace, &set(shop()), false).await;
    let mut less = shop();
    less.retain(|manifest| manifest.id.kind != "Service");
    let (_, pruned) = deploy(&cluster, &namespace, &set(less.clone()), false).await;
    assert_eq!(removed(&pruned), ["Service/web"]);
    world.log.clear();
    let (_, pruned) = deploy(&cluster, &namespace, &set(less), false).await;
    assert_eq!(pruned, Pruned::default());
    assert!(requests(&world, "GET", "services").is_empty());
}

#[tokio::test]
async fn a_deploy_that_changes_nothing_writes_no_parent() {
    let (world, cluster) = world().await;
    let (namespace, _) = namespace(&cluster).await;
    deploy(&cluster, &namespace, &set(shop()), false).await;
    world.log.clear();
    deploy(&cluster, &namespace, &set(shop()), false).await;
    assert!(requests(&world, "PATCH", applyset::PARENT).is_empty());
    assert!(requests(&world, "DELETE", "").is_empty());
}

#[tokio::test]
async fn the_parent_is_written_before_the_first_object() {
    let (world, cluster) = world().await;
    let (namespace, _) = namespace(&cluster).await;
    deploy(&cluster, &namespace, &set(shop()), false).await;
    let more = set([
        shop(),
        vec![manifest(
            &kinds::INGRESS,
            6,
            "web",
            json!({"spec": {"rules": [{"host": "web.test"}]}}),
        )],
    ]
    .concat());
    world.log.clear();
    deploy(&cluster, &namespace, &more, false).await;
    let patches = requests(&world, "PATCH", "");
    assert!(patches[0].path.ends_with(applyset::PARENT), "{patches:?}");
    assert!(patches[0].ended.unwrap() <= patches[1].started);
}

#[tokio::test]
async fn more_than_half_goes_only_when_it_is_confirmed() {
    let (world, cluster) = world().await;
    let (namespace, _) = namespace(&cluster).await;
    deploy(&cluster, &namespace, &set(shop()), false).await;
    let least = set(vec![deployment("web", "web:1")]);
    for _ in 0..2 {
        let (_, pruned) = deploy(&cluster, &namespace, &least, false).await;
        assert_eq!(removed(&pruned), Vec::<String>::new());
        let [warning] = pruned.warnings.as_slice() else {
            panic!("{pruned:?}")
        };
        assert!(warning.starts_with("5 of 6 objects left"), "{warning}");
        assert!(warning.contains("`/deploy`"), "{warning}");
        assert_eq!(members(&world).len(), 6);
    }
    let (_, pruned) = deploy(&cluster, &namespace, &least, true).await;
    assert_eq!(removed(&pruned).len(), 5, "{pruned:?}");
    assert_eq!(members(&world), ["Deployment/web"]);
}

#[tokio::test]
async fn claims_and_kept_objects_stay() {
    let (world, cluster) = world().await;
    let (namespace, _) = namespace(&cluster).await;
    let claim = manifest(
        &kinds::CLAIM,
        2,
        "data",
        json!({"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}),
    );
    let kept = [
        annotated(config("kept", "1"), "preview-action/keep", "true"),
        annotated(config("helm", "1"), "helm.sh/resource-policy", "keep"),
        claim,
    ];
    deploy(
        &cluster,
        &namespace,
        &set([shop(), kept.to_vec()].concat()),
        false,
    )
    .await;
    let (_, pruned) = deploy(&cluster, &namespace, &set(shop()), false).await;
    assert_eq!(removed(&pruned), Vec::<String>::new());
    let [warning] = pruned.warnings.as_slice() else {
        panic!("{pruned:?}")
    };
    assert!(
        warning.starts_with("PersistentVolumeClaim/data left the configuration"),
        "{warning}"
    );
    assert_eq!(members(&world).len(), 9);
}

#[tokio::test]
async fn nothing_goes_when_something_was_not_applied() {
    let (world, cluster) = world().await;
    let (namespace, _) = namespace(&cluster).await;
    deploy(&cluster, &namespace, &set(shop()), false).await;
    let known = cluster.existing(&namespace, &set(shop())).await.unwrap();
    for (wanted, applied) in [(set(Vec::new()), Vec::new()), (set(shop()), Vec::new())] {
        let pruned = cluster
            .prune(&wanted, &namespace, &known, &applied, Caution::Asked)
            .await
            .unwrap();
        assert_eq!(pruned, Pruned::default());
    }
    assert_eq!(members(&world).len(), 6);
}

#[tokio::test]
async fn an_object_that_changes_meanwhile_is_judged_again() {
    let (world, cluster) = world().await;
    let (namespace, _) = namespace(&cluster).await;
    deploy(&cluster, &namespace, &set(shop()), false).await;
    let mut less = shop();
    less.retain(|manifest| !["b", "s"].contains(&manifest.id.name.as_str()));
    let world = std::sync::Arc::new(world);
    let hand = std::sync::Arc::clone(&world);
    let change = move || {
        let mut kept = hand.cluster.object("ConfigMap", "pr-1", "b").unwrap();
        kept["metadata"]["annotations"]["preview-action/keep"] = "true".into();
        hand.cluster.put(&kept).unwrap();
        let mut touched = hand.cluster.object("Secret", "pr-1", "s").unwrap();
        touched["metadata"]["labels"]["touched"] = "yes".into();
        hand.cluster.put(&touched).unwrap();
    };
    world
        .cluster
        .inject(Fault::run("DELETE", "/api/v1/namespaces/pr-1/**", change));
    let (_, pruned) = deploy(&cluster, &namespace, &set(less), false).await;
    assert_eq!(removed(&pruned), ["Secret/s"]);
    assert!(world.cluster.object("ConfigMap", "pr-1", "b").is_some());
}

#[tokio::test]
async fn a_parent_of_another_tool_stops_the_deploy_before_anything_is_written() {
    let (world, cluster) = world().await;
    let (namespace, _) = namespace(&cluster).await;
    let theirs = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": applyset::PARENT, "namespace": "pr-1"}});
    world.cluster.put(&theirs).unwrap();
    let error = cluster
        .existing(&namespace, &set(shop()))
        .await
        .unwrap_err();
    assert_eq!(error.reason_code(), ReasonCode::ClusterRefused);
    assert!(error.to_string().contains(applyset::PARENT), "{error}");
    assert!(error.remedy().contains("delete configmap"), "{error}");
}

#[tokio::test]
async fn an_object_of_the_parents_name_is_refused_with_its_place() {
    let (world, cluster) = world().await;
    let (namespace, _) = namespace(&cluster).await;
    let error = apply(
        &cluster,
        &namespace,
        &set(vec![config("a", "1"), config(applyset::PARENT, "1")]),
    )
    .await
    .unwrap_err();
    let text = error.to_string();
    assert!(text.contains("preview-applyset.yaml.j2, line 3"), "{text}");
    assert!(requests(&world, "PATCH", "configmaps").is_empty());
}

/// Whatever request of a deploy is its last, the deploy after it leaves what it wants and nothing else.
#[tokio::test]
async fn a_deploy_that_dies_at_any_request_leaves_nothing_behind() {
    let old = || set([shop(), vec![config("c", "1"), service("old")]].concat());
    let new = || {
        set(vec![
            config("a", "2"),
            config("new", "1"),
            secret("s", "MQ=="),
            deployment("web", "web:2"),
            manifest(
                &kinds::INGRESS,
                6,
                "web",
                json!({"spec": {"rules": [{"host": "web.test"}]}}),
            ),
        ])
    };
    let mut died = 0;
    for k in 1.. {
        let (world, cluster) = world().await;
        let (namespace, _) = namespace(&cluster).await;
        deploy(&cluster, &namespace, &old(), false).await;
        let begun = std::sync::Arc::new(tokio::sync::Notify::new());
        let reached = std::sync::Arc::clone(&begun);
        // The request is served, and the run dies before its answer.
        world
            .cluster
            .inject(Fault::run("*", "/**", move || reached.notify_one()).nth(k));
        let new_set = new();
        let killed = tokio::select! {
            _ = deploy(&cluster, &namespace, &new_set, true) => false,
            () = begun.notified() => true,
        };
        world.cluster.clear_faults();
        if !killed {
            break;
        }
        died += 1;
        let last = set(vec![config("a", "3")]);
        deploy(&cluster, &namespace, &last, true).await;
        world
            .cluster
            .wait_until(|cluster| cluster.objects("Pod", "pr-1").is_empty())
            .await;
        assert_eq!(members(&world), ["ConfigMap/a"], "killed at request {k}");
        assert_eq!(named_kinds(&world), "ConfigMap", "killed at request {k}");
    }
    assert!(died > 15, "only {died} requests");
}

#[tokio::test]
async fn a_job_that_changed_runs_again_and_one_that_did_not_does_not() {
    let (world, cluster) = world().await;
    let (namespace, _) = namespace(&cluster).await;
    let job = |image: &str| {
        let pod = json!({"spec": {"restartPolicy": "Never", "containers": [{"name": "run", "image": image}]}});
        set(vec![manifest(
            &kinds::JOB,
            4,
            "migrate",
            json!({"spec": {"template": pod}}),
        )])
    };
    let uid = || world.cluster.object("Job", "pr-1", "migrate").unwrap()["metadata"]["uid"].clone();
    let (applied, _) = deploy(&cluster, &namespace, &job("migrate:1"), false).await;
    assert_eq!(
        wait(&cluster, &namespace, &applied).await.verdict,
        Verdict::Ready
    );
    let first = uid();
    let (applied, _) = deploy(&cluster, &namespace, &job("migrate:1"), false).await;
    assert_eq!(
        (uid(), applied[0].change),
        (first.clone(), Change::Unchanged)
    );

    let (applied, _) = deploy(&cluster, &namespace, &job("migrate:2"), false).await;
    assert_ne!(uid(), first);
    assert_eq!(applied[0].change, Change::Created);
    let [note] = applied[0].warnings.as_slice() else {
        panic!("{applied:?}")
    };
    assert!(note.contains("spec.template"), "{note}");
    assert!(note.contains("made again"), "{note}");
    assert_eq!(
        wait(&cluster, &namespace, &applied).await.verdict,
        Verdict::Ready
    );
}

#[tokio::test]
async fn what_keeps_data_is_not_made_again_and_the_error_says_where() {
    let (world, cluster) = world().await;
    let (namespace, _) = namespace(&cluster).await;
    let claim = |class: &str| {
        let claim = manifest(
            &kinds::CLAIM,
            2,
            "data",
            json!({"spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": class, "resources": {"requests": {"storage": "1Gi"}}}}),
        );
        set(vec![annotated(claim, "preview-action/recreate", "true")])
    };
    apply(&cluster, &namespace, &claim("fast")).await.unwrap();
    let error = apply(&cluster, &namespace, &claim("slow"))
        .await
        .unwrap_err();
    assert_eq!(error.reason_code(), ReasonCode::BadManifest);
    let text = error.to_string();
    assert!(
        text.contains("PersistentVolumeClaim/data (data.yaml.j2, line 3): spec"),
        "{text}"
    );
    assert!(requests(&world, "DELETE", "").is_empty());

    let fixed = |value: &str, asked: bool| {
        let mut fixed = config("fixed", value);
        fixed.object["immutable"] = true.into();
        if asked {
            fixed = annotated(fixed, "preview-action/recreate", "true");
        }
        set(vec![fixed])
    };
    apply(&cluster, &namespace, &fixed("1", false))
        .await
        .unwrap();
    let error = apply(&cluster, &namespace, &fixed("2", false))
        .await
        .unwrap_err();
    let remedy = error.first().unwrap().error.remedy();
    assert!(remedy.contains("preview-action/recreate"), "{remedy}");
    apply(&cluster, &namespace, &fixed("2", true))
        .await
        .unwrap();
    let live = world.cluster.object("ConfigMap", "pr-1", "fixed").unwrap();
    assert_eq!(live["data"]["a"], "2");
}

#[tokio::test]
async fn what_somebody_changed_by_hand_is_set_back_and_named() {
    let (world, cluster) = world().await;
    let (namespace, _) = namespace(&cluster).await;
    let wanted = set(vec![deployment("web", "web:1")]);
    apply(&cluster, &namespace, &wanted).await.unwrap();
    let mut edited = world.cluster.object("Deployment", "pr-1", "web").unwrap();
    edited["spec"]["replicas"] = 3.into();
    world.cluster.put(&edited).unwrap();

    let applied = apply(&cluster, &namespace, &wanted).await.unwrap();
    assert_eq!(applied[0].change, Change::Changed);
    assert_eq!(
        applied[0].warnings,
        ["spec.replicas had been set by `kubectl` and is as configured again"]
    );
    let live = world.cluster.object("Deployment", "pr-1", "web").unwrap();
    assert_eq!(live["spec"]["replicas"], 1);
    let applied = apply(&cluster, &namespace, &wanted).await.unwrap();
    assert_eq!(applied[0].warnings, Vec::<String>::new());
}

#[tokio::test]
async fn replicas_that_an_autoscaler_set_are_left_alone_whoever_made_it() {
    let (world, cluster) = world().await;
    let (namespace, _) = namespace(&cluster).await;
    let wanted = |image: &str| set(vec![deployment("web", image)]);
    apply(&cluster, &namespace, &wanted("web:1")).await.unwrap();
    let mut scaled = world.cluster.object("Deployment", "pr-1", "web").unwrap();
    scaled["spec"]["replicas"] = 3.into();
    world
        .cluster
        .put_as("kube-controller-manager", &scaled)
        .unwrap();

    let found = diff(&cluster, &namespace, &wanted("web:1")).await;
    assert_eq!(found[0].differs, Differs::Unchanged);
    for image in ["web:1", "web:2"] {
        let from = world.cluster.requests().len();
        let applied = apply(&cluster, &namespace, &wanted(image)).await.unwrap();
        assert_eq!(
            applied[0].warnings,
            ["spec.replicas is left to the autoscaler, which has set it"]
        );
        let refused = world.cluster.requests().into_iter().skip(from);
        assert_eq!(
            refused.filter(|record| record.status == Some(409)).count(),
            0
        );
        let live = world.cluster.object("Deployment", "pr-1", "web").unwrap();
        assert_eq!(live["spec"]["replicas"], 3);
        let container = &live["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(container["image"], image);
    }
}

#[tokio::test]
async fn a_status_written_between_list_and_patch_is_no_change() {
    let (world, cluster) = world().await;
    let (namespace, _) = namespace(&cluster).await;
    let wanted = set(vec![deployment("web", "web:1")]);
    let applied = apply(&cluster, &namespace, &wanted).await.unwrap();
    wait(&cluster, &namespace, &applied).await;
    let known = cluster.existing(&namespace, &wanted).await.unwrap();
    // A pod that went makes the Deployment's status change twice.
    let version = || {
        let live = world.cluster.object("Deployment", "pr-1", "web").unwrap();
        (
            live["metadata"]["resourceVersion"].clone(),
            live["status"]["availableReplicas"].clone(),
        )
    };
    let before = version().0;
    let pod = world.cluster.objects("Pod", "pr-1").remove(0);
    let name = pod["metadata"]["name"].as_str().unwrap();
    assert!(world.cluster.delete("Pod", "pr-1", name));
    world
        .cluster
        .wait_until(|_| version().0 != before && version().1 == 1)
        .await;
    let applied = cluster
        .apply(&wanted, &namespace, &known, &mut |_| {})
        .await
        .unwrap();
    assert_eq!(applied[0].change, Change::Unchanged);
}

#[tokio::test]
async fn a_diff_tells_what_a_deploy_would_do_and_writes_nothing() {
    let (world, cluster) = world().await;
    let (namespace, _) = namespace(&cluster).await;
    let claim = |class: &str| {
        manifest(
            &kinds::CLAIM,
            2,
            "data",
            json!({"spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": class, "resources": {"requests": {"storage": "1Gi"}}}}),
        )
    };
    let before = [shop(), vec![claim("fast")]].concat();
    let (applied, _) = deploy(&cluster, &namespace, &set(before.clone()), false).await;
    wait(&cluster, &namespace, &applied).await;
    let unchanged = diff(&cluster, &namespace, &set(before)).await;
    assert!(
        unchanged
            .iter()
            .all(|one| one.differs == Differs::Unchanged),
        "{unchanged:?}"
    );

    let mut other_selector = deployment("web", "web:2");
    other_selector.object["spec"]["selector"]["matchLabels"]["x"] = "y".into();
    other_selector.object["spec"]["template"]["metadata"]["labels"]["x"] = "y".into();
    let after = set(vec![
        config("a", "2"),
        config("new", "1"),
        secret("s", "aHVudGVyMg=="),
        secret("t", "MQ=="),
        claim("slow"),
        other_selector,
    ]);
    let snapshot = world.cluster.snapshot();
    world.log.clear();
    let found = diff(&cluster, &namespace, &after).await;
    assert!(!format!("{found:?}").contains("aHVudGVyMg"), "{found:?}");
    let words: Vec<_> = found
        .iter()
        .map(|one| {
            let what = match &one.differs {
                Differs::Added => "added".to_owned(),
                Differs::Changed(changes) => changes
                    .iter()
                    .map(|change| change.field.clone())
                    .collect::<Vec<_>>()
                    .join(","),
                Differs::Recreated(fields) => format!("recreated {}", fields.join(",")),
                Differs::Removed => "removed".into(),
                Differs::Refused(_) => "refused".into(),
                Differs::Unchanged => "unchanged".into(),
            };
            format!("{} {what}", one.id)
        })
        .collect();
    assert_eq!(
        words,
        [
            "ConfigMap/a data.a",
            "ConfigMap/new added",
            "Secret/s data.a",
            "Secret/t unchanged",
            "PersistentVolumeClaim/data refused",
            "Deployment/web recreated spec.selector",
            "ConfigMap/b removed",
            "Service/web removed",
        ]
    );
    let writes: Vec<_> = world
        .cluster
        .requests()
        .into_iter()
        .filter(|record| record.method != "GET" && !record.query.contains("dryRun=All"))
        .collect();
    assert!(writes.is_empty(), "{writes:?}");
    assert_eq!(world.cluster.snapshot(), snapshot);
}

#[tokio::test]
async fn the_job_of_an_older_commit_goes_without_a_word() {
    let (world, cluster) = world().await;
    let (namespace, _) = namespace(&cluster).await;
    let job = |name: &str| {
        let pod = json!({"spec": {"restartPolicy": "Never", "containers": [{"name": "run", "image": "migrate:1"}]}});
        let mut job = manifest(&kinds::JOB, 5, name, json!({"spec": {"template": pod}}));
        job.object["metadata"]["labels"]["app.kubernetes.io/name"] = "migrate".into();
        set(vec![job])
    };
    deploy(&cluster, &namespace, &job("migrate-1"), false).await;
    let (_, pruned) = deploy(&cluster, &namespace, &job("migrate-2"), false).await;
    assert_eq!(pruned, Pruned::default());
    assert_eq!(members(&world), ["Job/migrate-2"]);
}
