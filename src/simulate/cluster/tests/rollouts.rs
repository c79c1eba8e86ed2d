//! Shows that controllers, scheduler and kubelet move objects as recorded ones do.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    NS, apply, condition, job, map, message, path, rolled_out, waiting, within, workload, world,
};
use crate::simulate::cluster::{Delays, Fate, Handle, state};

#[tokio::test]
async fn the_answer_to_a_change_shows_the_old_status() {
    let (world, probe) = world().await;
    let created = apply(&probe, &workload("Deployment", "web", "app:1"))
        .await
        .json();
    assert_eq!(created["metadata"]["generation"], 1);
    assert!(created["status"].get("observedGeneration").is_none());
    let ready = rolled_out(&world, "web").await;
    let answer = apply(&probe, &workload("Deployment", "web", "app:2"))
        .await
        .json();
    assert_eq!(answer["metadata"]["generation"], 2);
    assert_eq!(answer["status"], ready["status"]);
    assert_eq!(answer["status"]["observedGeneration"], 1);
    assert_eq!(
        state::condition(&answer, "Progressing").unwrap()["reason"],
        "NewReplicaSetAvailable"
    );
    rolled_out(&world, "web").await;
}

#[tokio::test]
async fn a_rollout_replaces_pods_without_losing_availability() {
    let (world, probe) = world().await;
    let mut web = workload("Deployment", "web", "app:1");
    web["spec"]["replicas"] = 4.into();
    apply(&probe, &web).await;
    rolled_out(&world, "web").await;
    let seen =
        probe.get(&path("Deployment", "web")).await.json()["metadata"]["resourceVersion"].clone();
    web["spec"]["template"]["spec"]["containers"][0]["image"] = "app:2".into();
    apply(&probe, &web).await;
    let done = rolled_out(&world, "web").await;
    assert_eq!(done["status"]["replicas"], 4);
    assert_eq!(
        done["metadata"]["annotations"]["deployment.kubernetes.io/revision"],
        "2"
    );
    let version = seen.as_str().unwrap();
    let list = format!(
        "/apis/apps/v1/namespaces/n/deployments?watch=1&resourceVersion={version}&timeoutSeconds=0"
    );
    let events = probe.get(&list).await.text;
    let statuses: Vec<Value> = events
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["object"]["status"].take())
        .collect();
    assert!(statuses.len() > 5, "{events}");
    assert!(
        statuses
            .iter()
            .all(|status| status["availableReplicas"].as_i64() >= Some(3)),
        "{events}"
    );
    assert!(
        statuses
            .iter()
            .all(|status| status["replicas"].as_i64() <= Some(5)),
        "{events}"
    );
    let sets = world.cluster.objects("ReplicaSet", "n");
    let mut sizes: Vec<i64> = sets
        .iter()
        .map(|set| set["spec"]["replicas"].as_i64().unwrap())
        .collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [0, 4]);
    let pods = world.cluster.objects("Pod", "n");
    let live: Vec<&Value> = pods
        .iter()
        .filter(|pod| pod["metadata"]["deletionTimestamp"].is_null())
        .collect();
    assert_eq!(live.len(), 4);
    assert!(
        live.iter()
            .all(|pod| pod["spec"]["containers"][0]["image"] == "app:2")
    );
}

#[tokio::test]
async fn going_back_revives_the_old_replica_set() {
    let (world, probe) = world().await;
    for (image, revision) in [("app:1", "1"), ("app:2", "2"), ("app:1", "3")] {
        apply(&probe, &workload("Deployment", "web", image)).await;
        let done = rolled_out(&world, "web").await;
        assert_eq!(
            done["metadata"]["annotations"]["deployment.kubernetes.io/revision"],
            revision
        );
    }
    assert_eq!(world.cluster.objects("ReplicaSet", "n").len(), 2);
}

#[tokio::test]
async fn a_crashing_image_loops_and_tells_why() {
    let (world, probe) = world().await;
    apply(
        &probe,
        &workload("Deployment", "web", "registry/app:crash-1"),
    )
    .await;
    let often = |cluster: &Handle| {
        let pods = cluster.objects("Pod", "n");
        pods.iter()
            .any(|pod| pod["status"]["containerStatuses"][0]["restartCount"].as_i64() >= Some(3))
    };
    within(world.cluster.wait_until(often)).await;
    let pod = waiting(&world, "CrashLoopBackOff").await;
    let status = &pod["status"]["containerStatuses"][0];
    assert_eq!(status["lastState"]["terminated"]["exitCode"], 1);
    assert_eq!(status["lastState"]["terminated"]["reason"], "Error");
    assert_eq!(pod["status"]["phase"], "Running");
    let name = pod["metadata"]["name"].as_str().unwrap();
    let log = probe
        .get(&format!("{NS}/pods/{name}/log?previous=true&tailLines=1"))
        .await;
    assert_eq!(
        (log.status, log.text.as_str()),
        (
            200,
            "error: cannot connect to the database: connection refused\n"
        )
    );
    let uid = pod["metadata"]["uid"].as_str().unwrap();
    let query = format!("fieldSelector=involvedObject.uid%3D{uid},type%3DWarning");
    let events = probe.get(&format!("{NS}/events?{query}")).await.json();
    assert_eq!(events["items"][0]["reason"], "BackOff");
    assert!(events["items"][0]["count"].as_u64() >= Some(2));
}

#[tokio::test]
async fn images_that_cannot_be_pulled_say_so() {
    let (world, probe) = world().await;
    apply(
        &probe,
        &workload("Deployment", "web", "registry.example.com/app:missing"),
    )
    .await;
    let pod = waiting(&world, "ErrImagePull").await;
    let waiting_state = &pod["status"]["containerStatuses"][0]["state"]["waiting"];
    let words = "failed to pull and unpack image \"registry.example.com/app:missing\"";
    assert!(waiting_state["message"].as_str().unwrap().contains(words));
    assert!(
        waiting_state["message"]
            .as_str()
            .unwrap()
            .ends_with("not found")
    );
    assert_eq!(pod["status"]["phase"], "Pending");
    let pod = waiting(&world, "ImagePullBackOff").await;
    let text = pod["status"]["containerStatuses"][0]["state"]["waiting"]["message"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        text.starts_with(
            "Back-off pulling image \"registry.example.com/app:missing\": ErrImagePull: "
        ),
        "{text}"
    );
    let name = pod["metadata"]["name"].as_str().unwrap();
    let log = probe.get(&format!("{NS}/pods/{name}/log")).await;
    assert_eq!(log.status, 400);
    assert!(message(&log).ends_with("is waiting to start: trying and failing to pull image"));
    world.cluster.script_fate("app:missing", Fate::Forbidden);
    let forbidden = |cluster: &Handle| {
        let pods = cluster.objects("Pod", "n");
        pods.iter()
            .any(|pod| pod.to_string().contains("401 Unauthorized"))
    };
    within(world.cluster.wait_until(forbidden)).await;
    world.cluster.script_fate("app:missing", Fate::Ready);
    rolled_out(&world, "web").await;
}

#[tokio::test]
async fn memory_and_readiness_failures_show() {
    let (world, probe) = world().await;
    apply(&probe, &workload("Deployment", "hungry", "app:oom")).await;
    let pod = waiting(&world, "CrashLoopBackOff").await;
    let last = &pod["status"]["containerStatuses"][0]["lastState"]["terminated"];
    assert_eq!(
        (&last["reason"], &last["exitCode"]),
        (&json!("OOMKilled"), &json!(137))
    );
    apply(&probe, &workload("Deployment", "silent", "app:never")).await;
    let unhealthy = |cluster: &Handle| {
        cluster
            .objects("Event", "n")
            .iter()
            .any(|event| event["reason"] == "Unhealthy")
    };
    within(world.cluster.wait_until(unhealthy)).await;
    let silent = world.cluster.object("Deployment", "n", "silent").unwrap();
    assert_eq!(silent["status"]["unavailableReplicas"], 1);
}

#[tokio::test]
async fn a_missing_secret_blocks_a_container_until_it_exists() {
    let (world, probe) = world().await;
    let mut web = workload("Deployment", "web", "app:1");
    let from = json!([{"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}}]);
    web["spec"]["template"]["spec"]["containers"][0]["env"] = from;
    apply(&probe, &web).await;
    let pod = waiting(&world, "CreateContainerConfigError").await;
    assert_eq!(
        pod["status"]["containerStatuses"][0]["state"]["waiting"]["message"],
        "secret \"db\" not found"
    );
    let secret = |data: Value| json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db"}, "stringData": data});
    apply(&probe, &secret(json!({"user": "u"}))).await;
    let keyless = |cluster: &Handle| {
        let pods = cluster.objects("Pod", "n");
        pods.iter().any(|pod| {
            pod.to_string()
                .contains("couldn't find key password in Secret n/db")
        })
    };
    within(world.cluster.wait_until(keyless)).await;
    apply(&probe, &secret(json!({"password": "p"}))).await;
    rolled_out(&world, "web").await;
}

#[tokio::test]
async fn a_volume_without_its_config_map_stays_unmounted() {
    let (world, probe) = world().await;
    let mut web = workload("Deployment", "web", "app:1");
    web["spec"]["template"]["spec"]["volumes"] =
        json!([{"name": "v", "configMap": {"name": "settings"}}]);
    apply(&probe, &web).await;
    let failed = |cluster: &Handle| {
        let events = cluster.objects("Event", "n");
        events
            .into_iter()
            .find(|event| event["reason"] == "FailedMount")
    };
    within(
        world
            .cluster
            .wait_until(|cluster| failed(cluster).is_some()),
    )
    .await;
    let words = "MountVolume.SetUp failed for volume \"v\" : configmap \"settings\" not found";
    assert_eq!(failed(&world.cluster).unwrap()["message"], words);
    apply(&probe, &map("settings", json!({}))).await;
    rolled_out(&world, "web").await;
}

#[tokio::test]
async fn a_pod_that_fits_no_node_is_unschedulable() {
    let (world, probe) = world().await;
    let mut web = workload("Deployment", "web", "app:1");
    web["spec"]["template"]["spec"]["nodeSelector"] = json!({"disk": "ssd"});
    apply(&probe, &web).await;
    let unplaced = |cluster: &Handle| {
        let pods = cluster.objects("Pod", "n");
        pods.into_iter().find(|pod| {
            state::condition(pod, "PodScheduled")
                .is_some_and(|found| found["reason"] == "Unschedulable")
        })
    };
    within(
        world
            .cluster
            .wait_until(|cluster| unplaced(cluster).is_some()),
    )
    .await;
    let pod = unplaced(&world.cluster).unwrap();
    let message = state::condition(&pod, "PodScheduled").unwrap()["message"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        message.starts_with("0/1 nodes are available: 1 node(s) didn't match"),
        "{message}"
    );
}

#[tokio::test]
async fn init_containers_run_first_and_can_block() {
    let (world, probe) = world().await;
    let with_init = |image: &str| {
        let mut web = workload("Deployment", "web", "app:1");
        web["spec"]["template"]["spec"]["initContainers"] =
            json!([{"name": "setup", "image": image}]);
        web
    };
    apply(&probe, &with_init("setup:crash")).await;
    let looping = |cluster: &Handle| {
        let pods = cluster.objects("Pod", "n");
        let reason = |pod: &Value| {
            pod["status"]["initContainerStatuses"][0]["state"]["waiting"]["reason"]
                == "CrashLoopBackOff"
        };
        pods.into_iter().find(reason)
    };
    within(
        world
            .cluster
            .wait_until(|cluster| looping(cluster).is_some()),
    )
    .await;
    let pod = looping(&world.cluster).unwrap();
    assert_eq!(pod["status"]["phase"], "Pending");
    assert_eq!(
        pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"],
        "PodInitializing"
    );
    apply(&probe, &with_init("setup:1")).await;
    rolled_out(&world, "web").await;
}

#[tokio::test]
async fn an_exceeded_deadline_is_reported() {
    let (world, probe) = world().await;
    let mut web = workload("Deployment", "web", "app:never");
    web["spec"]["progressDeadlineSeconds"] = 60.into();
    apply(&probe, &web).await;
    condition(
        &world,
        "Deployment",
        "web",
        "Progressing",
        "ReplicaSetUpdated",
    )
    .await;
    world.advance(Duration::from_secs(61));
    let late = condition(
        &world,
        "Deployment",
        "web",
        "Progressing",
        "ProgressDeadlineExceeded",
    )
    .await;
    assert_eq!(
        state::condition(&late, "Progressing").unwrap()["status"],
        "False"
    );
}

#[tokio::test]
async fn a_slow_image_becomes_ready_late() {
    let (world, probe) = world().await;
    world.cluster.set_delays(Delays {
        slow: Duration::from_secs(3600),
        ..Delays::default()
    });
    apply(&probe, &workload("Deployment", "web", "app:slow")).await;
    let runs = |cluster: &Handle| {
        cluster
            .objects("Pod", "n")
            .iter()
            .any(|pod| pod["status"]["phase"] == "Running")
    };
    within(world.cluster.wait_until(runs)).await;
    assert_eq!(
        world.cluster.object("Deployment", "n", "web").unwrap()["status"]["unavailableReplicas"],
        1
    );
    world.advance(Duration::from_secs(3601));
    rolled_out(&world, "web").await;
}

#[tokio::test]
async fn a_stateful_set_starts_upwards_and_updates_downwards() {
    let (world, probe) = world().await;
    let mut db = workload("StatefulSet", "db", "postgres:1");
    db["spec"]["replicas"] = 2.into();
    db["spec"]["serviceName"] = "db".into();
    db["spec"]["volumeClaimTemplates"] = json!([{"metadata": {"name": "data"}, "spec": {"resources": {"requests": {"storage": "1Gi"}}}}]);
    apply(&probe, &db).await;
    let settled = |generation: i64| {
        move |cluster: &Handle| {
            let status =
                cluster.object("StatefulSet", "n", "db").unwrap_or_default()["status"].take();
            status["readyReplicas"] == 2
                && status["observedGeneration"] == generation
                && status["currentRevision"] == status["updateRevision"]
        }
    };
    within(world.cluster.wait_until(settled(1))).await;
    assert_eq!(
        world
            .cluster
            .object("PersistentVolumeClaim", "n", "data-db-0")
            .unwrap()["status"]["phase"],
        "Bound"
    );
    db["spec"]["template"]["spec"]["containers"][0]["image"] = "postgres:2".into();
    let answer = apply(&probe, &db).await.json();
    assert_eq!(
        (
            &answer["metadata"]["generation"],
            &answer["status"]["observedGeneration"]
        ),
        (&json!(2), &json!(1))
    );
    within(world.cluster.wait_until(settled(2))).await;
    let messages: Vec<String> = world
        .cluster
        .objects("Event", "n")
        .into_iter()
        .filter(|event| event["involvedObject"]["kind"] == "StatefulSet")
        .map(|event| event["message"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(messages.len(), 4, "{messages:?}");
    let pods = world.cluster.objects("Pod", "n");
    assert!(
        pods.iter()
            .all(|pod| pod["spec"]["containers"][0]["image"] == "postgres:2")
    );
    db["spec"]["serviceName"] = "other".into();
    let refused = apply(&probe, &db).await;
    assert!(
        message(&refused)
            .contains("spec: Forbidden: updates to statefulset spec for fields other than")
    );
}

#[tokio::test]
async fn a_daemon_set_runs_once_on_the_one_node() {
    let (world, probe) = world().await;
    apply(&probe, &workload("DaemonSet", "agent", "agent:1")).await;
    let ready = |cluster: &Handle| {
        cluster
            .object("DaemonSet", "n", "agent")
            .is_some_and(|set| set["status"]["numberAvailable"] == 1)
    };
    within(world.cluster.wait_until(ready)).await;
    assert_eq!(world.cluster.objects("Pod", "n").len(), 1);
}

#[tokio::test]
async fn a_job_completes() {
    let (world, probe) = world().await;
    apply(&probe, &job("task:1")).await;
    let done = condition(&world, "Job", "j", "Complete", "CompletionsReached").await;
    assert_eq!(done["status"]["succeeded"], 1);
    assert!(done["status"]["completionTime"].is_string());
    assert_eq!(
        world.cluster.objects("Pod", "n")[0]["status"]["phase"],
        "Succeeded"
    );
    assert_eq!(
        apply(&probe, &job("task:1")).await.json(),
        probe.get(&path("Job", "j")).await.json()
    );
    assert_eq!(apply(&probe, &job("task:2")).await.status, 422);
}

#[tokio::test]
async fn a_failing_job_is_tried_again_and_then_failed() {
    let (world, probe) = world().await;
    apply(&probe, &job("task:fail")).await;
    let failed = condition(&world, "Job", "j", "Failed", "BackoffLimitExceeded").await;
    assert_eq!(failed["status"]["failed"], 2);
    assert_eq!(
        state::condition(&failed, "FailureTarget").unwrap()["status"],
        "True"
    );
    let pods = world.cluster.objects("Pod", "n");
    let name = pods[0]["metadata"]["name"].as_str().unwrap();
    let log = probe
        .get(&format!("{NS}/pods/{name}/log?container=task"))
        .await
        .text;
    assert!(log.contains("relation \"users\" does not exist"), "{log}");
}

#[tokio::test]
async fn deleting_a_workload_takes_its_pods_along() {
    let (world, probe) = world().await;
    apply(&probe, &workload("Deployment", "web", "app:1")).await;
    rolled_out(&world, "web").await;
    let answer = probe
        .delete(&format!(
            "{}?propagationPolicy=Background",
            path("Deployment", "web")
        ))
        .await;
    assert_eq!(answer.json()["status"], "Success");
    assert_eq!(answer.json()["details"]["kind"], "deployments");
    within(
        world
            .cluster
            .wait_until(|cluster| cluster.objects("Pod", "n").is_empty()),
    )
    .await;
    assert!(world.cluster.objects("ReplicaSet", "n").is_empty());
    apply(&probe, &job("task:slow")).await;
    within(
        world
            .cluster
            .wait_until(|cluster| !cluster.objects("Pod", "n").is_empty()),
    )
    .await;
    let answer = probe
        .delete(&format!(
            "{}?propagationPolicy=Foreground",
            path("Job", "j")
        ))
        .await;
    assert_eq!(
        answer.json()["metadata"]["finalizers"],
        json!(["foregroundDeletion"])
    );
    within(
        world
            .cluster
            .wait_until(|cluster| cluster.object("Job", "n", "j").is_none()),
    )
    .await;
    assert!(world.cluster.objects("Pod", "n").is_empty());
}
