//! Shows that each verb answers, and refuses, in the words of recorded servers.

use std::time::Duration;

use serde_json::{Value, json};

use super::{NS, apply, apply_as, map, message, path, workload, world};
use crate::simulate::cluster::{Denial, kinds};
use crate::simulate::probe::{APPLY, MERGE, Probe};
use crate::simulate::{World, WorldOptions};

#[tokio::test]
async fn a_wrong_token_is_refused() {
    let (world, _) = world().await;
    let stranger = Probe::new(&world.cluster.url(), "wrong");
    let answer = stranger.get("/api/v1/namespaces").await;
    assert_eq!(answer.status, 401);
    let expected = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": "Unauthorized",
        "reason": "Unauthorized", "code": 401,
    });
    assert_eq!(answer.json(), expected);
}

#[tokio::test]
async fn apply_creates_updates_and_leaves_alone() {
    let (_world, probe) = world().await;
    let created = apply(&probe, &map("c", json!({"a": "1"}))).await;
    assert_eq!(created.status, 201);
    let same = apply(&probe, &map("c", json!({"a": "1"}))).await;
    assert_eq!(same.status, 200);
    assert_eq!(same.json(), created.json());
    let changed = apply(&probe, &map("c", json!({"b": "2"}))).await.json();
    assert_eq!(changed["data"], json!({"b": "2"}));
    assert_ne!(
        changed["metadata"]["resourceVersion"],
        created.json()["metadata"]["resourceVersion"]
    );
    assert_eq!(
        changed["metadata"]["uid"],
        created.json()["metadata"]["uid"]
    );
    let manager = &changed["metadata"]["managedFields"][0];
    assert_eq!(manager["fieldsV1"], json!({"f:data": {"f:b": {}}}));
    assert_eq!(manager["operation"], "Apply");
    assert!(manager["time"].as_str().unwrap().ends_with('Z'));
}

#[tokio::test]
async fn every_kind_can_be_applied_twice_without_a_change() {
    let (world, probe) = world().await;
    world.cluster.hold();
    let template = json!({"metadata": {"labels": {"app": "x"}}, "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}});
    for (kind, body) in [
        ("Secret", json!({"stringData": {"a": "b"}})),
        (
            "Service",
            json!({"spec": {"selector": {"app": "x"}, "ports": [{"port": 80}]}}),
        ),
        (
            "ServiceAccount",
            json!({"automountServiceAccountToken": false}),
        ),
        (
            "PersistentVolumeClaim",
            json!({"spec": {"resources": {"requests": {"storage": "1Gi"}}}}),
        ),
        ("ResourceQuota", json!({"spec": {"hard": {"pods": "10"}}})),
        (
            "LimitRange",
            json!({"spec": {"limits": [{"type": "Container", "default": {"cpu": "1"}}]}}),
        ),
        ("Deployment", workload("Deployment", "x", "i")),
        ("StatefulSet", workload("StatefulSet", "x", "i")),
        ("DaemonSet", workload("DaemonSet", "x", "i")),
        ("Job", json!({"spec": {"template": template}})),
        (
            "CronJob",
            json!({"spec": {"schedule": "* * * * *", "jobTemplate": {"spec": {"template": template}}}}),
        ),
        ("Ingress", json!({"spec": {"rules": [{"host": "h"}]}})),
        ("NetworkPolicy", json!({"spec": {"podSelector": {}}})),
        ("HTTPRoute", json!({"spec": {"hostnames": ["h"]}})),
        ("PodDisruptionBudget", json!({"spec": {"minAvailable": 1}})),
        (
            "HorizontalPodAutoscaler",
            json!({"spec": {"maxReplicas": 2}}),
        ),
        ("Role", json!({"rules": []})),
        (
            "RoleBinding",
            json!({"roleRef": {"kind": "Role", "name": "x"}}),
        ),
    ] {
        let mut object = body;
        object["kind"] = kind.into();
        object["apiVersion"] = kinds::Kind::of_name(kind).unwrap().api_version().into();
        object["metadata"]["name"] = "x".into();
        let first = apply(&probe, &object).await;
        assert_eq!(first.status, 201, "{kind}: {}", first.text);
        let second = apply(&probe, &object).await;
        assert_eq!((second.status, second.text), (200, first.text), "{kind}");
    }
}

#[tokio::test]
async fn a_conflict_names_manager_and_field() {
    let (_world, probe) = world().await;
    apply_as(&probe, &map("c", json!({"a": "1"})), "other", "").await;
    let refused = apply_as(&probe, &map("c", json!({"a": "2"})), "preview-action", "").await;
    let expected = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "Apply failed with 1 conflict: conflict with \"other\": .data.a", "reason": "Conflict",
        "details": {"causes": [
            {"reason": "FieldManagerConflict", "message": "conflict with \"other\"", "field": ".data.a"}]},
        "code": 409,
    });
    assert_eq!(refused.json(), expected);
    assert_eq!(
        apply(&probe, &map("c", json!({"a": "2"}))).await.status,
        200
    );
}

#[tokio::test]
async fn a_dry_run_answers_and_stores_nothing() {
    let (world, probe) = world().await;
    let answer = apply_as(&probe, &map("c", json!({"a": "1"})), "m", "&dryRun=All").await;
    assert_eq!(answer.status, 201);
    assert!(world.cluster.object("ConfigMap", "n", "c").is_none());
}

#[tokio::test]
async fn an_apply_with_a_uid_needs_that_very_object() {
    let (_world, probe) = world().await;
    let mut object = map("c", json!({"a": "1"}));
    object["metadata"]["uid"] = "00000000-0000-0000-0000-000000000000".into();
    let absent = apply(&probe, &object).await;
    assert_eq!(absent.status, 409);
    assert_eq!(
        message(&absent),
        "Operation cannot be fulfilled on configmaps \"c\": uid mismatch: the provided object specified uid \
         00000000-0000-0000-0000-000000000000, and no existing object was found"
    );
    apply(&probe, &map("c", json!({"a": "1"}))).await;
    let other = apply(&probe, &object).await;
    assert_eq!(other.status, 422);
    assert_eq!(
        message(&other),
        "ConfigMap \"c\" is invalid: metadata.uid: Invalid value: \"00000000-0000-0000-0000-000000000000\": field is immutable"
    );
    assert_eq!(
        other.json()["details"]["causes"].as_array().unwrap().len(),
        2
    );
}

#[tokio::test]
async fn malformed_applies_get_the_servers_own_words() {
    let (_world, probe) = world().await;
    apply(&probe, &map("c", json!({"a": "1"}))).await;
    apply(&probe, &workload("Deployment", "d", "i")).await;
    let deployment = |change: fn(&mut Value)| {
        let mut object = workload("Deployment", "d", "i");
        change(&mut object);
        object
    };
    let config = |change: fn(&mut Value)| {
        let mut object = map("c", json!({"a": "1"}));
        change(&mut object);
        object
    };
    let front = "failed to create typed patch object (/d; apps/v1, Kind=Deployment): ";
    for (object, status, words) in [
        (
            config(|c| c["metadata"]["managedFields"] = json!([])),
            400,
            "metadata.managedFields must be nil",
        ),
        (
            config(|c| c["metadata"]["namespace"] = "other".into()),
            400,
            "the namespace of the provided object does not match the namespace sent on the request",
        ),
        (
            config(|c| c["apiVersion"] = "v2".into()),
            400,
            "invalid object type: /v2, Kind=ConfigMap",
        ),
        (
            config(|c| c["data"]["a"] = 1.into()),
            500,
            "failed to create typed patch object (/c; /v1, Kind=ConfigMap): .data.a: expected string, got \
             &value.valueUnstructured{Value:1}",
        ),
        (
            config(|c| c["dta"] = json!({})),
            500,
            "failed to create typed patch object (/c; /v1, Kind=ConfigMap): .dta: field not declared in schema",
        ),
        (
            config(|c| c["metadata"]["resourceVersion"] = "1".into()),
            409,
            "Operation cannot be fulfilled on configmaps \"c\": the object has been modified; please apply your changes \
             to the latest version and try again",
        ),
        (
            deployment(|d| d["spec"]["replica"] = 1.into()),
            500,
            &format!("{front}.spec.replica: field not declared in schema"),
        ),
        (
            deployment(|d| d["spec"]["replicas"] = "1".into()),
            500,
            &format!("{front}.spec.replicas: expected numeric (int or float), got string"),
        ),
        (
            deployment(|d| {
                d["spec"]["template"]["spec"]["containers"][0]["env"] =
                    json!([{"name": "PORT", "value": 8080}])
            }),
            500,
            &format!(
                "{front}.spec.template.spec.containers[name=\"web\"].env[name=\"PORT\"].value: expected string, got \
                 &value.valueUnstructured{{Value:8080}}"
            ),
        ),
        (
            deployment(|d| d["spec"]["selector"]["matchLabels"]["app"] = "e".into()),
            422,
            "Deployment.apps \"d\" is invalid: [spec.template.metadata.labels: Invalid value: {\"app\":\"d\"}: `selector` \
             does not match template `labels`, spec.selector: Invalid value: {\"matchLabels\":{\"app\":\"e\"}}: field is \
             immutable]",
        ),
        (
            deployment(|d| d["spec"]["template"]["spec"]["containers"][0]["image"] = "".into()),
            422,
            "Deployment.apps \"d\" is invalid: spec.template.spec.containers[0].image: Required value",
        ),
        (
            deployment(|d| {
                d["spec"]["template"]["spec"]["containers"][0]["resources"] =
                    json!({"limits": {"cpu": "lots"}})
            }),
            500,
            "failed to convert new object (n/d; apps/v1, Kind=Deployment) to proper version: unable to convert unstructured \
             object to apps/v1, Kind=Deployment: quantities must match the regular expression \
             '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
    ] {
        let answer = apply(&probe, &object).await;
        assert_eq!(
            (answer.status, message(&answer)),
            (status, words.to_owned())
        );
    }
}

#[tokio::test]
async fn an_apply_without_manager_is_refused() {
    let (_world, probe) = world().await;
    let answer = probe
        .send(
            "PATCH",
            &path("ConfigMap", "c"),
            APPLY,
            &map("c", json!({})),
        )
        .await;
    assert_eq!(answer.status, 422);
    assert_eq!(
        message(&answer),
        "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch"
    );
}

#[tokio::test]
async fn create_twice_and_create_nowhere_are_refused() {
    let (_world, probe) = world().await;
    let at = format!("{NS}/configmaps");
    assert_eq!(probe.post(&at, &map("c", json!({}))).await.status, 201);
    let again = probe.post(&at, &map("c", json!({}))).await;
    assert_eq!(again.status, 409);
    assert_eq!(again.json()["reason"], "AlreadyExists");
    assert_eq!(message(&again), "configmaps \"c\" already exists");
    let nowhere = probe
        .post("/api/v1/namespaces/none/configmaps", &map("c", json!({})))
        .await;
    assert_eq!(nowhere.status, 404);
    assert_eq!(
        nowhere.json()["details"],
        json!({"name": "none", "kind": "namespaces"})
    );
}

#[tokio::test]
async fn replace_is_compare_and_swap() {
    let (_world, probe) = world().await;
    let first = probe
        .post(&format!("{NS}/configmaps"), &map("c", json!({"a": "1"})))
        .await
        .json();
    let mut next = first.clone();
    next["data"]["a"] = "2".into();
    let at = path("ConfigMap", "c");
    assert_eq!(probe.put(&at, &next).await.status, 200);
    let stale = probe.put(&at, &next).await;
    assert_eq!(stale.status, 409);
    assert_eq!(stale.json()["reason"], "Conflict");
    assert!(message(&stale).contains("the object has been modified"));
    assert!(stale.json()["details"].get("causes").is_none());
}

#[tokio::test]
async fn of_many_racing_swaps_one_wins() {
    let (_world, probe) = world().await;
    let first = probe
        .post(&format!("{NS}/configmaps"), &map("c", json!({"a": "0"})))
        .await
        .json();
    let attempts = (0..20).map(|number| {
        let probe = probe.clone();
        let mut next = first.clone();
        next["data"]["a"] = number.to_string().into();
        async move { probe.put(&path("ConfigMap", "c"), &next).await.status }
    });
    let answers = futures::future::join_all(attempts).await;
    assert_eq!(answers.iter().filter(|status| **status == 200).count(), 1);
    assert_eq!(answers.iter().filter(|status| **status == 409).count(), 19);
}

#[tokio::test]
async fn a_merge_patch_changes_and_removes() {
    let (_world, probe) = world().await;
    apply(&probe, &map("c", json!({"a": "1", "b": "2"}))).await;
    let patch = json!({"data": {"a": null, "c": "3"}, "metadata": {"annotations": {"x": "y"}}});
    let answer = probe
        .send("PATCH", &path("ConfigMap", "c"), MERGE, &patch)
        .await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["data"], json!({"b": "2", "c": "3"}));
    assert_eq!(answer.json()["metadata"]["annotations"], json!({"x": "y"}));
}

#[tokio::test]
async fn delete_honours_preconditions() {
    let (world, probe) = world().await;
    let uid = world.cluster.object("Namespace", "", "n").unwrap()["metadata"]["uid"].clone();
    let wrong = json!({"preconditions": {"uid": "u"}});
    let refused = probe.send("DELETE", NS, "application/json", &wrong).await;
    assert_eq!(refused.status, 409);
    assert_eq!(
        message(&refused),
        format!(
            "Operation cannot be fulfilled on namespaces \"n\": Precondition failed: UID in precondition: u, UID in object \
             meta: {}",
            uid.as_str().unwrap()
        )
    );
    let stale = json!({"preconditions": {"uid": uid, "resourceVersion": "1"}});
    let refused = probe.send("DELETE", NS, "application/json", &stale).await;
    assert!(
        message(&refused)
            .contains("ResourceVersion in precondition: 1, ResourceVersion in object meta: ")
    );
    let right = json!({"preconditions": {"uid": uid}});
    assert_eq!(
        probe
            .send("DELETE", NS, "application/json", &right)
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn a_denied_verb_is_refused_by_name() {
    let (world, probe) = world().await;
    world.cluster.deny(Denial::new("create", "configmaps"));
    world.cluster.deny(Denial::new("list", "namespaces"));
    let answer = apply(&probe, &map("z", json!({}))).await;
    assert_eq!(answer.status, 403);
    assert_eq!(
        message(&answer),
        "configmaps \"z\" is forbidden: User \"system:serviceaccount:preview-system:preview-action\" cannot create resource \
         \"configmaps\" in API group \"\" in the namespace \"n\""
    );
    let answer = probe.get("/api/v1/namespaces").await;
    assert_eq!(
        message(&answer),
        "namespaces is forbidden: User \"system:serviceaccount:preview-system:preview-action\" cannot list resource \
         \"namespaces\" in API group \"\" at the cluster scope"
    );
    let review =
        json!({"spec": {"resourceAttributes": {"verb": "list", "resource": "namespaces"}}});
    let answer = probe
        .post(
            "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
            &review,
        )
        .await;
    assert_eq!(answer.json()["status"]["allowed"], false);
}

#[tokio::test]
async fn an_unknown_address_is_noted() {
    let (world, probe) = world().await;
    let answer = probe.get("/apis/example.com/v1/things").await;
    assert_eq!(
        (answer.status, answer.text.as_str()),
        (404, "404 page not found\n")
    );
    assert_eq!(world.unexpected(), ["GET /apis/example.com/v1/things"]);
}

#[tokio::test]
async fn lists_select_and_page() {
    let (_world, probe) = world().await;
    for name in ["a", "b", "c"] {
        let mut object = map(name, json!({}));
        object["metadata"]["labels"] = json!({"pr": "7", "name": name});
        apply(&probe, &object).await;
    }
    let list = probe
        .get(&format!(
            "{NS}/configmaps?labelSelector=pr%3D7,name%20in%20(a,c)"
        ))
        .await
        .json();
    assert_eq!(list["kind"], "ConfigMapList");
    assert_eq!(list["items"].as_array().unwrap().len(), 2);
    assert!(list["items"][0].get("kind").is_none());
    let list = probe
        .get("/api/v1/configmaps?fieldSelector=metadata.name%3Db")
        .await
        .json();
    assert_eq!(list["items"][0]["metadata"]["name"], "b");
    let first = probe
        .get(&format!("{NS}/configmaps?labelSelector=pr&limit=2"))
        .await
        .json();
    assert_eq!(first["metadata"]["remainingItemCount"], 1);
    let token = first["metadata"]["continue"].as_str().unwrap();
    let rest = probe
        .get(&format!(
            "{NS}/configmaps?labelSelector=pr&limit=2&continue={token}"
        ))
        .await
        .json();
    assert_eq!(rest["items"][0]["metadata"]["name"], "c");
    assert!(rest["metadata"].get("continue").is_none());
}

#[tokio::test]
async fn every_answer_carries_the_worlds_date() {
    let options = WorldOptions {
        now: Some("2026-03-01T12:00:00Z".parse().unwrap()),
        ..WorldOptions::default()
    };
    let world = World::start(options).await.unwrap();
    let probe = Probe::new(&world.cluster.url(), "wrong");
    world.advance(Duration::from_secs(7 * 24 * 3600));
    let date = probe.get("/api/v1/pods").await.header("date");
    assert!(date.starts_with("Sun, 08 Mar 2026 12:00:"), "{date}");
}

#[tokio::test]
async fn what_should_be_a_map_and_is_none_is_refused() {
    let (_world, probe) = world().await;
    let mut web = workload("Deployment", "d", "i");
    web["metadata"]["labels"] = "app".into();
    let refused = apply(&probe, &web).await;
    assert_eq!(refused.status, 500);
    assert_eq!(
        message(&refused),
        "failed to create typed patch object (/d; apps/v1, Kind=Deployment): .metadata.labels: expected map, got \
         &value.valueUnstructured{Value:\"app\"}"
    );
    for body in [
        json!({"metadata": "c"}),
        json!({"metadata": {"name": "c"}, "data": []}),
        json!([]),
    ] {
        assert_eq!(
            probe.post(&format!("{NS}/configmaps"), &body).await.status,
            400,
            "{body}"
        );
    }
    let mut web = workload("Deployment", "d", "i");
    web["spec"]["template"]["spec"]["containers"][0]["resources"] = json!({"limits": "all"});
    assert_eq!(apply(&probe, &web).await.status, 500);
}
