//! Recorded rollouts, single moments of built-in kinds, and custom resources of others.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
use super::*;
use rstest::rstest;
use serde_json::json;
use std::path::PathBuf;

mod custom;

/// A moment shortly after the recordings.
fn now() -> Timestamp {
    "2026-11-21T02:06:50Z".parse().unwrap()
}

macro_rules! trace {
    ($name:literal) => {
        include_str!(concat!("../../../tests/fixtures/traces/", $name, ".json"))
    };
}

/// Verdicts on one object of a recorded rollout: time and readiness, whenever it changes.
fn verdicts(trace: &str, kind: &str, generation: Option<i64>) -> Vec<(f64, Readiness)> {
    let events: Vec<Value> = serde_json::from_str(trace).unwrap();
    let mut verdicts: Vec<(f64, Readiness)> = Vec::new();
    for event in events
        .iter()
        .filter(|event| event["object"]["kind"] == kind)
    {
        let verdict = assess(&event["object"], now(), generation).readiness;
        if verdicts.last().is_none_or(|(_, last)| *last != verdict) {
            verdicts.push((event["t"].as_f64().unwrap(), verdict));
        }
    }
    verdicts
}

use Readiness::{Failed, InProgress, Ready};

#[rstest]
#[case::created(trace!("deployment_create_ready"), "Deployment", 1, &[(0.326, InProgress), (0.512, Ready)])]
#[case::updated(trace!("deployment_update_ready"), "Deployment", 2, &[(0.323, InProgress), (0.648, Ready)])]
#[case::never_ready(trace!("deployment_update_imagepull"), "Deployment", 3, &[(0.331, InProgress), (6.578, Failed)])]
#[case::crashing(trace!("deployment_crashloop"), "Deployment", 1, &[(0.333, InProgress), (6.219, Failed)])]
#[case::refused(trace!("deployment_failedcreate_quota"), "Deployment", 1, &[(0.833, InProgress), (6.798, Failed)])]
#[case::stateful(trace!("statefulset_create_update"), "StatefulSet", 1, &[(0.336, InProgress), (0.676, Ready), (4.344, InProgress), (4.742, Ready)])]
#[case::complete(trace!("job_complete"), "Job", 1, &[(0.319, InProgress), (0.41, Ready)])]
#[case::failed(trace!("job_failed"), "Job", 1, &[(0.329, InProgress), (0.416, Failed)])]
// These were recorded with real pods on 1.36.
#[case::node_image(trace!("node_deployment_update_imagepull"), "Deployment", 2, &[(0.008, InProgress)])]
#[case::node_job(trace!("node_job_failed"), "Job", 1, &[(0.023, InProgress), (4.459, Failed)])]
#[case::node_stateful(trace!("node_statefulset_update"), "StatefulSet", 2, &[(0.02, InProgress), (8.432, Ready)])]
// Its numbers are full whenever it lives for a moment; only who watches it knows better.
#[case::node_out_of_memory(trace!("node_deployment_oom"), "Deployment", 1, &[(0.011, InProgress), (0.65, Ready), (1.648, InProgress), (1.835, Ready), (2.649, InProgress), (14.313, Ready), (14.714, InProgress), (39.25, Ready), (39.785, InProgress)])]
#[case::going(trace!("namespace_stuck_then_gone"), "Namespace", 0, &[(0.03, Ready), (0.346, Readiness::Terminating)])]
fn recorded_rollouts_are_judged_at_the_right_moment(
    #[case] trace: &str,
    #[case] kind: &str,
    #[case] generation: i64,
    #[case] expected: &[(f64, Readiness)],
) {
    assert_eq!(verdicts(trace, kind, Some(generation)), expected);
}

#[test]
fn the_answer_to_our_own_write_is_not_ready_while_the_old_status_still_shines() {
    // What fools a check of conditions alone: all counts full, NewReplicaSetAvailable, of the revision before.
    let events: Vec<Value> = serde_json::from_str(trace!("deployment_update_imagepull")).unwrap();
    let answer = &events
        .iter()
        .find(|event| event["object"]["kind"] == "Deployment")
        .unwrap()["object"];
    let status = &answer["status"];
    assert_eq!(
        (&status["updatedReplicas"], &status["readyReplicas"]),
        (&json!(2), &json!(2))
    );
    assert!(
        status["conditions"]
            .to_string()
            .contains("NewReplicaSetAvailable")
    );
    assert_eq!(assess(answer, now(), None).reason, "NotObserved");
}

#[test]
fn a_status_older_than_our_write_counts_for_nothing() {
    let mut object = deployment_with(2, 1, json!({}));
    assert_eq!(assess(&object, now(), Some(1)).readiness, Ready);
    assert_eq!(assess(&object, now(), Some(2)).readiness, InProgress);
    object["status"]
        .as_object_mut()
        .unwrap()
        .remove("observedGeneration");
    assert_eq!(assess(&object, now(), None).readiness, InProgress);
}

fn deployment_with(replicas: i64, generation: i64, spec: Value) -> Value {
    let mut object = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "generation": generation},
        "spec": {"replicas": replicas, "progressDeadlineSeconds": 600},
        "status": {
            "observedGeneration": generation, "replicas": replicas, "updatedReplicas": replicas,
            "readyReplicas": replicas, "availableReplicas": replicas,
            "conditions": [
                {"type": "Available", "status": "True"},
                {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"},
            ],
        },
    });
    let spec = spec.as_object().unwrap().clone();
    object["spec"].as_object_mut().unwrap().extend(spec);
    object
}

#[rstest]
#[case::zero_replicas(json!({}), json!({"replicas": 0}), json!({}), Ready)]
#[case::one_pod_short(json!({"readyReplicas": 1}), json!({}), json!({}), InProgress)]
#[case::old_pods_left(json!({"replicas": 3}), json!({}), json!({}), InProgress)]
#[case::not_long_enough(json!({"availableReplicas": 1}), json!({}), json!({}), InProgress)]
#[case::paused_half_way(json!({"updatedReplicas": 1}), json!({"paused": true}), json!({}), InProgress)]
#[case::deleted(json!({}), json!({}), json!({"deletionTimestamp": "2026-01-01T00:00:00Z"}), Readiness::Terminating)]
fn deployments_by_their_numbers(
    #[case] status: Value,
    #[case] spec: Value,
    #[case] metadata: Value,
    #[case] expected: Readiness,
) {
    let replicas = spec["replicas"].as_i64().unwrap_or(2);
    let mut object = deployment_with(replicas, 1, spec);
    for (part, change) in [("status", status), ("metadata", metadata)] {
        let change = change.as_object().unwrap().clone();
        object[part].as_object_mut().unwrap().extend(change);
    }
    assert_eq!(assess(&object, now(), None).readiness, expected);
}

#[rstest]
#[case("Service", json!({"clusterIP": "10.0.0.1"}), json!({}), Ready)]
#[case("Service", json!({"clusterIP": "None"}), json!({}), Ready)]
#[case("Service", json!({"type": "ExternalName", "externalName": "x.test"}), json!({}), Ready)]
#[case("Service", json!({"type": "LoadBalancer", "clusterIP": "10.0.0.1"}), json!({}), InProgress)]
#[case("Service", json!({"type": "LoadBalancer", "clusterIP": "10.0.0.1"}), json!({"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}}), Ready)]
#[case("PersistentVolumeClaim", json!({}), json!({"phase": "Pending"}), InProgress)]
#[case("PersistentVolumeClaim", json!({}), json!({"phase": "Bound"}), Ready)]
#[case("PersistentVolumeClaim", json!({}), json!({"phase": "Lost"}), Failed)]
#[case("ConfigMap", json!({}), json!({}), Ready)]
#[case("Pod", json!({"restartPolicy": "Always"}), json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}), Ready)]
#[case("Pod", json!({"restartPolicy": "Always"}), json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}]}), InProgress)]
#[case("Pod", json!({"restartPolicy": "Never"}), json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}), InProgress)]
#[case("Pod", json!({}), json!({"phase": "Succeeded"}), Ready)]
#[case("Pod", json!({}), json!({"phase": "Failed"}), Failed)]
fn core_kinds(
    #[case] kind: &str,
    #[case] spec: Value,
    #[case] status: Value,
    #[case] expected: Readiness,
) {
    let object = json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": "x"}, "spec": spec, "status": status});
    assert_eq!(assess(&object, now(), None).readiness, expected);
}

#[rstest]
#[case::running(json!({"active": 1}), json!({}), InProgress)]
#[case::done(json!({"succeeded": 1, "conditions": [{"type": "Complete", "status": "True"}]}), json!({}), Ready)]
#[case::doomed(json!({"active": 1, "conditions": [{"type": "FailureTarget", "status": "True", "reason": "BackoffLimitExceeded"}]}), json!({}), Failed)]
#[case::suspended(json!({}), json!({"suspend": true}), Ready)]
fn jobs(#[case] status: Value, #[case] spec: Value, #[case] expected: Readiness) {
    let object = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "x"}, "spec": spec, "status": status});
    assert_eq!(assess(&object, now(), None).readiness, expected);
}

#[test]
fn a_job_that_is_tried_again_says_how_often_it_failed() {
    let object = json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "x"}, "spec": {}, "status": {"failed": 2},
    });
    let waiting = assess(&object, now(), None);
    assert_eq!(waiting.readiness, InProgress);
    assert_eq!(waiting.message, "2 of its pods failed, 0 are at work");
}

#[test]
fn a_job_whose_criteria_are_met_has_all_its_pods_done_though_none_is_counted_yet() {
    let object = json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "x"}, "spec": {"completions": 2},
        "status": {
            "conditions": [{"type": "SuccessCriteriaMet", "status": "True"}],
            "uncountedTerminatedPods": {"succeeded": ["a", "b"]},
        },
    });
    let met = assess(&object, now(), None);
    assert_eq!((met.readiness, met.ready, met.desired), (Ready, 2, 2));
}

#[test]
fn a_daemon_set_on_no_node_is_ready_once_observed() {
    let mut object = json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"generation": 1}, "spec": {}, "status": {},
    });
    assert_eq!(assess(&object, now(), None).readiness, InProgress);
    object["status"] = json!({"observedGeneration": 1, "desiredNumberScheduled": 0});
    assert_eq!(assess(&object, now(), None).readiness, Ready);
}

/// Recorded data of others, which is read where it lies and not copied; none when nobody says where.
#[expect(clippy::print_stdout, reason = "a test that is skipped says so")]
fn shared(path: &str) -> Option<String> {
    let Some(folder) = std::env::var_os("PREVIEW_ACTION_SHARED") else {
        assert!(
            std::env::var("CI").as_deref() != Ok("true"),
            "PREVIEW_ACTION_SHARED is not set"
        );
        println!("skipped: PREVIEW_ACTION_SHARED is not set");
        return None;
    };
    Some(std::fs::read_to_string(PathBuf::from(folder).join(path)).unwrap())
}

#[test]
fn kstatus_agrees_but_for_three_deliberate_differences() {
    let Some(text) = shared("data/kstatus_cases.json") else {
        return;
    };
    let cases: Vec<Value> = serde_json::from_str(&text).unwrap();
    let mut different = Vec::new();
    for case in &cases {
        let ours = match assess(&case["object"], now(), None).readiness {
            Ready => "Current",
            InProgress => "InProgress",
            Failed => "Failed",
            Readiness::Terminating => "Terminating",
        };
        let theirs = case["expected"].as_str().unwrap();
        if ours != theirs {
            different.push(format!(
                "{}: {theirs}, ours {ours}",
                case["case"].as_str().unwrap()
            ));
        }
    }
    assert_eq!(cases.len(), 53);
    let deliberate = [
        // A pod that failed is of no use to anybody.
        "podCompletedFailed: Current, ours Failed",
        // A migration that has only begun has migrated nothing.
        "jobInProgress: Current, ours InProgress",
        // A load balancer without an address cannot be reached from outside.
        "serviceLBok: Current, ours InProgress",
    ];
    assert_eq!(different, deliberate);
}

/// Seconds before [`now`].
fn ago(seconds: i64) -> String {
    now()
        .checked_sub(SignedDuration::from_secs(seconds))
        .unwrap()
        .to_string()
}

fn condition(name: &str, status: &str) -> Value {
    json!({"type": name, "status": status, "reason": "Why", "message": format!("{name} is {status}")})
}

fn conditions(all: &[(&str, &str)]) -> Value {
    let all: Vec<Value> = all
        .iter()
        .map(|(name, status)| condition(name, status))
        .collect();
    json!({ "conditions": all })
}

#[rstest]
#[case("v1", "Namespace", json!({"phase": "Active"}), Ready)]
#[case("v1", "Namespace", json!({}), InProgress)]
#[case("apiregistration.k8s.io/v1", "APIService", conditions(&[("Available", "True")]), Ready)]
#[case("apiregistration.k8s.io/v1", "APIService", conditions(&[("Available", "False")]), InProgress)]
#[case("apiextensions.k8s.io/v1", "CustomResourceDefinition", conditions(&[("NamesAccepted", "True"), ("Established", "True")]), Ready)]
#[case("apiextensions.k8s.io/v1", "CustomResourceDefinition", conditions(&[("NamesAccepted", "False")]), Failed)]
#[case("apiextensions.k8s.io/v1", "CustomResourceDefinition", conditions(&[("Established", "False")]), Failed)]
#[case("autoscaling/v2", "HorizontalPodAutoscaler", json!({}), InProgress)]
#[case("autoscaling/v2", "HorizontalPodAutoscaler", conditions(&[("AbleToScale", "True"), ("ScalingActive", "False")]), Ready)]
#[case("autoscaling/v2", "HorizontalPodAutoscaler", conditions(&[("ScalingLimited", "True")]), Ready)]
#[case("autoscaling/v2", "HorizontalPodAutoscaler", json!({"conditions": [{"type": "AbleToScale", "status": "False", "reason": "FailedGetScale"}]}), Failed)]
#[case("autoscaling/v2", "HorizontalPodAutoscaler", json!({"conditions": [{"type": "AbleToScale", "status": "True"}, {"type": "ScalingActive", "status": "False", "reason": "FailedGetResourceMetric"}]}), Ready)]
#[case("autoscaling/v2", "HorizontalPodAutoscaler", json!({"conditions": [{"type": "AbleToScale", "status": "True"}, {"type": "ScalingActive", "status": "False", "reason": "InvalidSelector"}]}), Failed)]
#[case("networking.k8s.io/v1", "Ingress", json!({"loadBalancer": {}}), Ready)]
#[case("batch/v1", "CronJob", json!({}), Ready)]
#[case("rbac.authorization.k8s.io/v1", "RoleBinding", json!(null), Ready)]
fn other_kinds_of_kubernetes(
    #[case] api_version: &str,
    #[case] kind: &str,
    #[case] status: Value,
    #[case] expected: Readiness,
) {
    let object = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "x"}, "status": status});
    assert_eq!(assess(&object, now(), None).readiness, expected, "{kind}");
}

#[test]
fn an_autoscaler_of_version_1_hides_its_conditions_in_an_annotation() {
    let told = r#"[{"type": "AbleToScale", "status": "True"}]"#;
    let object = json!({
        "apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler",
        "metadata": {"annotations": {"autoscaling.alpha.kubernetes.io/conditions": told}},
    });
    assert_eq!(assess(&object, now(), None).readiness, Ready);
}

fn waiting_pod(reason: &str, message: &str, age: i64, more: Value) -> Assessment {
    let mut container = json!({"name": "c", "restartCount": 0, "state": {"waiting": {"reason": reason, "message": message}}});
    let more = more.as_object().unwrap().clone();
    container.as_object_mut().unwrap().extend(more);
    let object = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "creationTimestamp": ago(age)},
        "status": {"phase": "Pending", "startTime": ago(age), "containerStatuses": [container]},
    });
    assess(&object, now(), None)
}

#[rstest]
#[case("InvalidImageName", "", 0, json!({}), Failed)]
#[case("ErrImageNeverPull", "", 0, json!({}), Failed)]
#[case("ErrImagePull", "x:1: not found", 5, json!({}), InProgress)]
#[case("ErrImagePull", "x:1: not found", 15, json!({}), Failed)]
#[case("ImagePullBackOff", "i/o timeout", 60, json!({}), InProgress)]
#[case("ImagePullBackOff", "i/o timeout", 90, json!({}), Failed)]
#[case("CreateContainerConfigError", r#"secret "db" not found"#, 10, json!({}), InProgress)]
#[case("CreateContainerConfigError", r#"secret "db" not found"#, 20, json!({}), Failed)]
#[case("CreateContainerConfigError", "failed to sync secret cache", 500, json!({}), InProgress)]
#[case("CrashLoopBackOff", "", 500, json!({"restartCount": 2}), InProgress)]
#[case("CrashLoopBackOff", "", 5, json!({"restartCount": 3}), Failed)]
#[case("CrashLoopBackOff", "", 5, json!({"restartCount": 2, "lastState": {"terminated": {"reason": "OOMKilled", "exitCode": 137}}}), Failed)]
#[case("ContainerCreating", "", 500, json!({}), InProgress)]
fn a_pod_is_stuck_once_it_has_lasted(
    #[case] reason: &str,
    #[case] message: &str,
    #[case] age: i64,
    #[case] more: Value,
    #[case] expected: Readiness,
) {
    let verdict = waiting_pod(reason, message, age, more);
    assert_eq!(
        (verdict.readiness, verdict.reason.as_str()),
        (expected, reason)
    );
}

#[test]
fn a_scheduler_may_look_for_a_node_for_a_moment() {
    let pod = |age| {
        let object = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"creationTimestamp": ago(age)},
            "status": {"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes are available"}]},
        });
        assess(&object, now(), None)
    };
    assert_eq!(pod(14).readiness, InProgress);
    assert_eq!(pod(14).again, Some(SignedDuration::from_secs(1)));
    assert_eq!(
        (pod(15).readiness, pod(15).message.as_str()),
        (Failed, "0/1 nodes are available")
    );
}

#[test]
fn a_paused_rollout_says_that_it_is() {
    let paused = assess(&deployment_with(2, 1, json!({"paused": true})), now(), None);
    assert_eq!(
        (paused.readiness, paused.reason.as_str(), paused.ready),
        (InProgress, "Paused", 2)
    );
}

fn stateful_with(spec: Value, status: Value) -> Readiness {
    let mut object = json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"generation": 1}, "spec": {"replicas": 3},
        "status": {
            "observedGeneration": 1, "replicas": 3, "readyReplicas": 3, "updatedReplicas": 3, "availableReplicas": 3,
            "currentRevision": "a", "updateRevision": "a",
        },
    });
    for (part, change) in [("spec", spec), ("status", status)] {
        let change = change.as_object().unwrap().clone();
        object[part].as_object_mut().unwrap().extend(change);
    }
    assess(&object, now(), None).readiness
}

#[rstest]
#[case::done(json!({}), json!({}), Ready)]
#[case::updating(json!({}), json!({"updateRevision": "b", "updatedReplicas": 1}), InProgress)]
#[case::partition_reached(json!({"updateStrategy": {"rollingUpdate": {"partition": 2}}}), json!({"updateRevision": "b", "updatedReplicas": 1}), Ready)]
#[case::partition_not_reached(json!({"updateStrategy": {"rollingUpdate": {"partition": 1}}}), json!({"updateRevision": "b", "updatedReplicas": 1}), InProgress)]
#[case::by_hand(json!({"updateStrategy": {"type": "OnDelete"}}), json!({"updateRevision": "b", "updatedReplicas": 0}), Ready)]
#[case::not_long_enough(json!({"minReadySeconds": 5}), json!({"availableReplicas": 2}), InProgress)]
#[case::long_enough(json!({"minReadySeconds": 5}), json!({}), Ready)]
#[case::one_too_many(json!({}), json!({"replicas": 4}), InProgress)]
#[case::not_observed(json!({}), json!({"observedGeneration": 0}), InProgress)]
fn stateful_sets(#[case] spec: Value, #[case] status: Value, #[case] expected: Readiness) {
    assert_eq!(stateful_with(spec, status), expected);
}
