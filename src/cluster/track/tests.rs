//! Recorded rollouts replayed, and single moments of rollouts that no recording has.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
use super::{symptoms::STALE_VERDICT, *};
use crate::{cluster::outcome::Change, manifests::Origin};
use rstest::rstest;
use serde_json::json;

mod causes;

macro_rules! trace {
    ($name:literal) => {
        include_str!(concat!("../../../tests/fixtures/traces/", $name, ".json"))
    };
}

fn target(live: &Value, change: Change) -> Applied {
    let kind = kinds::KINDS
        .iter()
        .find(|kind| live["kind"] == kind.kind)
        .unwrap();
    Applied {
        id: kind.object(live["metadata"]["name"].as_str().unwrap()),
        change,
        warnings: Vec::new(),
        origin: Origin {
            file: "web.yaml.j2".into(),
            line: 3,
        },
        live: live.clone(),
    }
}

/// What a recorded rollout comes to, in ms of the recording.
#[derive(Debug, Default, PartialEq)]
struct Played {
    ready: Option<u64>,
    failure: Option<(u64, FailureClass)>,
}

/// Plays a recorded rollout of one workload up to its first verdict.
///
/// After its end the world stands still, so that graces longer than the recording are seen to end.
fn play(trace: &str, kind: &str) -> Played {
    play_from(trace, kind, 0.0)
}

/// The same from a moment on, which is when the object was written.
fn play_from(trace: &str, kind: &str, from: f64) -> Played {
    let mut events: Vec<Value> = serde_json::from_str(trace).unwrap();
    events.retain(|event| event["t"].as_f64().unwrap() >= from);
    let first = events
        .iter()
        .find(|event| event["object"]["kind"] == kind)
        .unwrap();
    let mut tracker = Tracker::new(&[target(&first["object"], Change::Changed)], 1);
    let start = Instant::now();
    let mut next = None::<Instant>;
    let judge = |tracker: &mut Tracker, now: Instant| {
        let judgement = tracker.judge(now);
        let ms = u64::try_from((now - start).as_millis()).unwrap();
        let failure = judgement.ripe.first().map(|symptom| (ms, symptom.class));
        let ready = judgement.all_ready.then_some(ms);
        (judgement.next, Played { ready, failure })
    };
    for event in &events {
        let now = start + Duration::from_secs_f64(event["t"].as_f64().unwrap());
        // A grace that ends between two events ends at its own time.
        while let Some(due) = next.filter(|due| *due < now) {
            let (then, played) = judge(&mut tracker, due);
            if played != Played::default() {
                return played;
            }
            next = then;
        }
        let object = event["object"].clone();
        let kind = kinds::KINDS
            .iter()
            .find(|kind| object["kind"] == kind.kind)
            .unwrap();
        tracker.observe(match event["type"].as_str().unwrap() {
            "DELETED" => Seen::Gone(kind, object),
            _ => Seen::Now(kind, object),
        });
        let (then, played) = judge(&mut tracker, now);
        if played != Played::default() {
            return played;
        }
        next = then;
    }
    while let Some(due) = next {
        let (then, played) = judge(&mut tracker, due);
        if played != Played::default() {
            return played;
        }
        next = then;
    }
    Played::default()
}

#[rstest]
// These three have no readiness probes, so they are watched for 3 s more.
#[case(trace!("deployment_create_ready"), "Deployment", 3512)]
#[case(trace!("deployment_update_ready"), "Deployment", 3648)]
#[case(trace!("statefulset_create_update"), "StatefulSet", 3676)]
#[case(trace!("job_complete"), "Job", 410)]
#[case(trace!("node_statefulset_update"), "StatefulSet", 8432)]
fn good_rollouts_become_ready_and_never_fail(
    #[case] trace: &str,
    #[case] kind: &str,
    #[case] at: u64,
) {
    let expected = Played {
        ready: Some(at),
        failure: None,
    };
    assert_eq!(play(trace, kind), expected);
}

#[rstest]
// The third restart, not the first.
#[case::crash_loop(trace!("deployment_crashloop"), "Deployment", 731, FailureClass::CrashLoop)]
#[case::job(trace!("job_failed"), "Job", 416, FailureClass::JobFailed)]
// The controller gives up at 6.6 s; the image is named as the cause all the same.
#[case::image(trace!("deployment_update_imagepull"), "Deployment", 6578, FailureClass::ImageMissing)]
// Real pods on 1.36: 15 s after the registry was first heard to say no; at the second restart; as soon as the Job says so.
#[case::node_image(trace!("node_deployment_update_imagepull"), "Deployment", 16_292, FailureClass::ImageMissing)]
#[case::node_out_of_memory(trace!("node_deployment_oom"), "Deployment", 14_714, FailureClass::OutOfMemory)]
#[case::node_job(trace!("node_job_failed"), "Job", 4459, FailureClass::JobFailed)]
#[case::quota(trace!("deployment_failedcreate_quota"), "Deployment", 6798, FailureClass::QuotaUnspecified)]
fn bad_rollouts_fail_at_the_right_moment(
    #[case] trace: &str,
    #[case] kind: &str,
    #[case] at: u64,
    #[case] class: FailureClass,
) {
    let expected = Played {
        ready: None,
        failure: Some((at, class)),
    };
    assert_eq!(play(trace, kind), expected);
}

#[test]
fn an_update_of_a_recorded_stateful_set_is_watched_again() {
    let update = play_from(trace!("statefulset_create_update"), "StatefulSet", 4.3);
    let ready = Played {
        ready: Some(4742 + 3000),
        failure: None,
    };
    assert_eq!(update, ready);
}

#[test]
fn a_recorded_namespace_that_is_going_is_never_ready_and_named_once_it_is_gone() {
    let going = play_from(trace!("namespace_stuck_then_gone"), "Namespace", 0.3);
    let gone = Played {
        ready: None,
        failure: Some((10_894, FailureClass::Deleted)),
    };
    assert_eq!(going, gone);
}

#[test]
fn a_program_that_runs_for_a_moment_is_not_ready() {
    let up = |ready: i64| {
        let mut live = stateful(2);
        live["spec"]["template"]["spec"]["containers"] = json!([{"name": "c"}]);
        live["status"]["readyReplicas"] = ready.into();
        live["status"]["currentRevision"] = "new".into();
        live
    };
    let mut tracker = Tracker::new(&[target(&up(0), Change::Created)], 1);
    let start = Instant::now();
    let mut judged = |ready, seconds| {
        tracker.observe(Seen::Now(&kinds::STATEFUL_SET, up(ready)));
        tracker
            .judge(start + Duration::from_secs(seconds))
            .all_ready
    };
    let moments = [(1, 0), (1, 2), (0, 3), (1, 10), (1, 12), (1, 13)];
    let verdicts = moments.map(|(ready, seconds)| judged(ready, seconds));
    assert_eq!(verdicts, [false, false, false, false, false, true]);
}

#[test]
fn an_image_without_a_deadline_fails_after_its_grace() {
    let mut events: Vec<Value> =
        serde_json::from_str(trace!("deployment_update_imagepull")).unwrap();
    events.retain(|event| !event.to_string().contains("ProgressDeadlineExceeded"));
    let failure = play(&Value::from(events).to_string(), "Deployment").failure;
    assert_eq!(failure, Some((483 + 15_000, FailureClass::ImageMissing)));
}

fn pod(name: &str, owner: &str, hash: &str, container: Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": name, "uid": format!("uid-{name}"),
            "labels": {"controller-revision-hash": hash}, "ownerReferences": [{"uid": owner}],
        },
        "spec": {"containers": [{"name": "c", "image": "i", "resources": {"limits": {"memory": "64Mi"}}}]},
        "status": {"phase": "Running", "containerStatuses": [container]},
    })
}

fn stateful(generation: i64) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet",
        "metadata": {"name": "db", "uid": "uid-db", "generation": generation, "resourceVersion": "100"},
        "spec": {"replicas": 1},
        "status": {"observedGeneration": generation, "replicas": 1, "currentRevision": "old", "updateRevision": "new"},
    })
}

fn crashed(restarts: i64, reason: &str, code: i64) -> Value {
    json!({
        "name": "c", "ready": false, "restartCount": restarts,
        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}},
        "lastState": {"terminated": {"exitCode": code, "reason": reason}},
    })
}

fn first_failure(container: Value, hash: &str) -> Option<(FailureClass, Facts)> {
    let mut tracker = Tracker::new(&[target(&stateful(2), Change::Changed)], 1);
    tracker.observe(Seen::All(
        &kinds::POD,
        vec![pod("db-0", "uid-db", hash, container)],
    ));
    let ripe = tracker.judge(Instant::now()).ripe;
    ripe.into_iter()
        .next()
        .map(|symptom| (symptom.class, symptom.facts))
}

#[test]
fn restarts_count_from_the_third_and_hopeless_ones_from_the_second() {
    let class = |container, hash| first_failure(container, hash).map(|(class, _)| class);
    assert_eq!(class(crashed(2, "Error", 1), "new"), None);
    assert_eq!(
        class(crashed(3, "Error", 1), "new"),
        Some(FailureClass::CrashLoop)
    );
    assert_eq!(class(crashed(1, "OOMKilled", 137), "new"), None);
    assert_eq!(
        class(crashed(2, "OOMKilled", 137), "new"),
        Some(FailureClass::OutOfMemory)
    );
    assert_eq!(
        class(crashed(2, "Error", 127), "new"),
        Some(FailureClass::CrashLoop)
    );
}

#[test]
fn a_pod_of_the_old_revision_does_not_fail_the_fix() {
    assert_eq!(
        first_failure(crashed(9, "Error", 1), "old").map(|(class, _)| class),
        None
    );
}

#[test]
fn facts_name_image_limit_and_code() {
    let (_, facts) = first_failure(crashed(2, "OOMKilled", 137), "new").unwrap();
    let expected = [
        ("container", "c"),
        ("image", "i"),
        ("limit", "64Mi"),
        ("exit_code", "137"),
        ("restarts", "2"),
        ("object", "StatefulSet/db"),
    ];
    for (fact, value) in expected {
        assert_eq!(facts.get(fact).map(String::as_str), Some(value), "{fact}");
    }
}

#[test]
fn the_cause_of_a_back_off_is_remembered() {
    let waiting = |reason: &str, message: &str| json!({"name": "c", "ready": false, "state": {"waiting": {"reason": reason, "message": message}}});
    let mut tracker = Tracker::new(&[target(&stateful(2), Change::Changed)], 1);
    let start = Instant::now();
    tracker.observe(Seen::Now(
        &kinds::POD,
        pod(
            "db-0",
            "uid-db",
            "new",
            waiting("ErrImagePull", "x:1: not found"),
        ),
    ));
    assert!(tracker.judge(start).ripe.is_empty());
    tracker.observe(Seen::Now(
        &kinds::POD,
        pod(
            "db-0",
            "uid-db",
            "new",
            waiting("ImagePullBackOff", "Back-off pulling image"),
        ),
    ));
    let ripe = tracker.judge(start + Duration::from_secs(15)).ripe;
    assert_eq!(ripe[0].class, FailureClass::ImageMissing);
    assert_eq!(ripe[0].message, "x:1: not found");
}

#[test]
fn a_cache_that_lags_is_no_failure() {
    let container = json!({"name": "c", "state": {"waiting": {"reason": "CreateContainerConfigError", "message": "failed to sync secret cache: timed out"}}});
    let mut tracker = Tracker::new(&[target(&stateful(2), Change::Changed)], 1);
    tracker.observe(Seen::Now(
        &kinds::POD,
        pod("db-0", "uid-db", "new", container),
    ));
    assert_eq!(tracker.judge(Instant::now()).next, None);
}

#[test]
fn a_refused_pod_of_a_stateful_set_is_known_by_its_newer_event_only() {
    let event = |version: &str| {
        json!({
            "metadata": {"name": "e", "uid": format!("e{version}"), "resourceVersion": version}, "reason": "FailedCreate", "type": "Warning",
            "involvedObject": {"uid": "uid-db"}, "message": "pods \"db-0\" is forbidden: exceeded quota: q",
        })
    };
    let mut live = stateful(2);
    live["status"]["replicas"] = 0.into();
    let mut tracker = Tracker::new(&[target(&live, Change::Changed)], 1);
    let start = Instant::now();
    tracker.observe(Seen::All(&kinds::EVENT, vec![event("99")]));
    assert_eq!(tracker.judge(start).next, None);
    tracker.observe(Seen::Now(&kinds::EVENT, event("101")));
    assert_eq!(
        tracker.judge(start).next,
        Some(start + Duration::from_secs(30))
    );
    let mut leaving = pod("web-1", "uid-web", "x", json!({}));
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    tracker.observe(Seen::Now(&kinds::POD, leaving));
    assert_eq!(tracker.judge(start).next, None, "room may come back");
}

#[test]
fn an_object_that_vanishes_is_named_and_an_expired_job_is_not() {
    let mut tracker = Tracker::new(&[target(&stateful(2), Change::Changed)], 1);
    tracker.observe(Seen::All(&kinds::STATEFUL_SET, Vec::new()));
    assert_eq!(
        tracker.judge(Instant::now()).ripe[0].class,
        FailureClass::Deleted
    );
    let job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"}, "spec": {"ttlSecondsAfterFinished": 5}});
    let mut tracker = Tracker::new(&[target(&job, Change::Created)], 1);
    tracker.observe(Seen::Gone(&kinds::JOB, job));
    assert!(tracker.judge(Instant::now()).all_ready);
}

#[test]
fn a_verdict_left_from_the_last_run_gets_a_grace() {
    let live = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "uid": "u", "generation": 1}, "spec": {},
        "status": {"observedGeneration": 1, "conditions": [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "m"}]},
    });
    let start = Instant::now();
    assert_eq!(
        Tracker::new(&[target(&live, Change::Changed)], 1)
            .judge(start)
            .ripe
            .len(),
        1
    );
    let judgement = Tracker::new(&[target(&live, Change::Unchanged)], 1).judge(start);
    assert_eq!(
        (judgement.ripe.len(), judgement.next),
        (0, Some(start + STALE_VERDICT))
    );
}

#[test]
fn what_is_waited_for_at_the_end_is_said_of_each_object() {
    let mut tracker = Tracker::new(&[target(&stateful(2), Change::Changed)], 1);
    let running = json!({"name": "c", "ready": false, "state": {"running": {}}});
    tracker.observe(Seen::Now(
        &kinds::POD,
        pod("db-0", "uid-db", "new", running),
    ));
    let symptoms = tracker.unready(Instant::now());
    assert_eq!(symptoms[0].class, FailureClass::TimedOut);
    assert_eq!(symptoms[0].message, "0 of 1 pods are ready");
    let log = ContainerRef {
        pod: "db-0".into(),
        container: "c".into(),
        previous: false,
    };
    assert_eq!(symptoms[0].container, Some(log));
}

fn stuck(reason: &str, message: &str) -> Value {
    json!({"name": "c", "ready": false, "state": {"waiting": {"reason": reason, "message": message}}})
}

#[test]
fn an_object_may_have_a_time_of_its_own() {
    let patient = |seconds: &str| {
        let mut live = stateful(2);
        live["metadata"]["annotations"] = json!({"preview-action/timeout": seconds});
        Tracker::new(&[target(&live, Change::Changed)], 10)
    };
    let start = Instant::now();
    let mut tracker = patient("90s");
    let judgement = tracker.judge(start);
    // Ten times as fast.
    assert_eq!(judgement.next, Some(start + Duration::from_secs(9)));
    assert!(judgement.ripe.is_empty());
    let ripe = tracker.judge(start + Duration::from_secs(9)).ripe;
    assert_eq!(ripe.len(), 1);
    assert_eq!(ripe[0].class, FailureClass::TimedOut);
    assert_eq!(ripe[0].facts["time"], "1m 30s");
    // What is known of the reason is worth more than that time ran out.
    let mut tracker = patient("30s");
    let pull = stuck("ErrImagePull", "dial tcp: i/o timeout");
    tracker.observe(Seen::Now(&kinds::POD, pod("db-0", "uid-db", "new", pull)));
    assert!(tracker.judge(start).ripe.is_empty());
    let ripe = tracker.judge(start + Duration::from_secs(3)).ripe;
    assert_eq!(ripe[0].class, FailureClass::RegistryUnreachable);
    // It says which annotation set the time, and the sentence of the class stays as it is.
    assert_eq!(ripe[0].facts["annotation"], "preview-action/timeout");
}

#[test]
fn a_route_without_a_status_is_ready_after_a_moment_and_said_to_be_odd() {
    let route = json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
        "metadata": {"name": "web", "generation": 1, "creationTimestamp": "2026-01-01T00:00:00Z"}, "spec": {},
    });
    let start = Instant::now();
    let mut tracker = Tracker::new(&[target(&route, Change::Created)], 1);
    let first = tracker.judge(start);
    assert!(!first.all_ready);
    assert_eq!(first.next, Some(start + Duration::from_secs(12)));
    assert_eq!(tracker.warnings(), Vec::<String>::new());
    assert!(tracker.judge(start + Duration::from_secs(12)).all_ready);
    assert_eq!(tracker.warnings(), ["HTTPRoute/web: no status reported"]);
}

#[test]
fn a_claim_without_a_volume_and_an_autoscaler_without_metrics_hold_up_nobody() {
    let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"}, "status": {"phase": "Pending"}});
    let autoscaler = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "web"}});
    let applied = [claim, autoscaler].map(|live| target(&live, Change::Created));
    let mut tracker = Tracker::new(&applied, 1);
    assert!(tracker.judge(Instant::now()).all_ready);
    assert!(tracker.kinds_to_follow().is_empty());
}

#[test]
fn a_pod_of_its_own_is_given_the_grace_of_its_fault() {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "once", "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
        "status": {"phase": "Pending", "startTime": "2025-01-01T00:00:00Z", "containerStatuses": [stuck("ErrImagePull", "i: not found")]},
    });
    let start = Instant::now();
    let mut tracker = Tracker::new(&[target(&pod, Change::Created)], 1);
    tracker.observe(Seen::Now(&kinds::POD, pod));
    assert!(tracker.judge(start).ripe.is_empty());
    let ripe = tracker.judge(start + Duration::from_secs(15)).ripe;
    assert_eq!(ripe[0].class, FailureClass::ImageMissing);
}
