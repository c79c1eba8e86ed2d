//! Each class of failure at its own moment, by a clock that the test holds.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
use super::*;
use crate::{cluster::outcome::Change, manifests::Origin};
use rstest::rstest;
use serde_json::json;

const FOR_EVER: Option<u64> = None;

/// A StatefulSet that waits for its one pod.
fn live() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet",
        "metadata": {"name": "db", "uid": "uid-db", "generation": 1, "resourceVersion": "100"},
        "spec": {"replicas": 1},
        "status": {"observedGeneration": 1, "replicas": 1, "currentRevision": "new", "updateRevision": "new"},
    })
}

fn target(live: Value) -> Applied {
    Applied {
        id: Kind::of(&kinds::STATEFUL_SET.object("db"))
            .unwrap()
            .object("db"),
        change: Change::Changed,
        warnings: Vec::new(),
        origin: Origin {
            file: "deploy/db.yaml".into(),
            line: 3,
        },
        live,
    }
}

fn pod(status: Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "db-0", "uid": "uid-pod", "labels": {"controller-revision-hash": "new"}, "ownerReferences": [{"uid": "uid-db", "kind": "StatefulSet"}]},
        "spec": {
            "containers": [{"name": "c", "image": "r.test/i:1", "readinessProbe": {"httpGet": {"path": "/ok", "port": 80}, "periodSeconds": 10}}],
            "initContainers": [{"name": "first", "image": "i"}],
            "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}],
        },
        "status": status,
    })
}

fn waiting(reason: &str, message: &str) -> Value {
    json!({"phase": "Pending", "containerStatuses": [{"name": "c", "restartCount": 0, "state": {"waiting": {"reason": reason, "message": message}}}]})
}

fn not_started(restarts: i64, words: &str) -> Value {
    let ended = json!({"exitCode": 128, "reason": "StartError", "message": words});
    json!({"phase": "Running", "containerStatuses": [{
        "name": "c", "restartCount": restarts, "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": {"terminated": ended},
    }]})
}

fn unschedulable(message: &str) -> Value {
    json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}]})
}

fn event(version: u64, reason: &str, message: &str) -> Value {
    json!({
        "metadata": {"name": format!("e{version}"), "uid": format!("e{version}"), "resourceVersion": version.to_string()},
        "type": "Warning", "reason": reason, "message": message, "involvedObject": {"kind": "Pod", "name": "db-0", "uid": "uid-pod"},
    })
}

/// The first failure, and after how many seconds it counts, of a pod that stays as it is.
fn verdict(status: Value, events: &[Value]) -> (Option<u64>, Option<Symptom>) {
    let mut tracker = Tracker::new(&[target(live())], 1);
    tracker.observe(Seen::All(&kinds::EVENT, events.to_vec()));
    tracker.observe(Seen::Now(&kinds::POD, pod(status)));
    let start = Instant::now();
    let mut now = start;
    loop {
        let judgement = tracker.judge(now);
        if let Some(first) = judgement.ripe.into_iter().next() {
            return (Some((now - start).as_secs()), Some(first));
        }
        match judgement.next {
            Some(next) => now = next,
            None => return (None, tracker.unready(now).into_iter().next()),
        }
    }
}

#[rstest]
#[case::name(waiting("InvalidImageName", "bad"), FailureClass::ImageName, Some(0))]
#[case::never(
    waiting("ErrImageNeverPull", "absent"),
    FailureClass::ImageNotOnNode,
    Some(0)
)]
#[case::missing(
    waiting("ErrImagePull", "x:1: not found"),
    FailureClass::ImageMissing,
    Some(15)
)]
#[case::platform(
    waiting("ErrImagePull", "no match for platform in manifest"),
    FailureClass::ImagePlatform,
    Some(15)
)]
#[case::forbidden(
    waiting("ImagePullBackOff", "401 Unauthorized"),
    FailureClass::ImageForbidden,
    Some(20)
)]
#[case::unreachable(
    waiting("ErrImagePull", "dial tcp: i/o timeout"),
    FailureClass::RegistryUnreachable,
    Some(90)
)]
#[case::limit(
    waiting("ErrImagePull", "toomanyrequests"),
    FailureClass::RegistryLimit,
    Some(90)
)]
#[case::server(
    waiting("ErrImagePull", "500 Internal Server Error"),
    FailureClass::ImagePull,
    Some(90)
)]
#[case::inspect(waiting("ImageInspectError", "no"), FailureClass::ImagePull, Some(90))]
#[case::secret(
    waiting("CreateContainerConfigError", "secret \"db\" not found"),
    FailureClass::ReferenceMissing,
    Some(20)
)]
#[case::key(
    waiting("CreateContainerConfigError", "couldn't find key k in Secret ns/db"),
    FailureClass::KeyMissing,
    Some(20)
)]
#[case::cache(
    waiting("CreateContainerConfigError", "failed to sync secret cache"),
    FailureClass::TimedOut,
    FOR_EVER
)]
#[case::command(
    waiting(
        "RunContainerError",
        "exec: \"/x\": stat /x: no such file or directory"
    ),
    FailureClass::CommandMissing,
    Some(20)
)]
#[case::create(
    waiting("CreateContainerError", "bad mount"),
    FailureClass::ContainerStart,
    Some(20)
)]
#[case::again(
    not_started(2, "exec: \"/x\": no such file or directory"),
    FailureClass::CommandMissing,
    Some(0)
)]
#[case::transient(
    not_started(2, "runc was killed"),
    FailureClass::ContainerStart,
    Some(20)
)]
#[case::cpu(
    unschedulable("0/1 nodes are available: 1 Insufficient cpu."),
    FailureClass::UnschedulableResources,
    Some(60)
)]
#[case::claim(
    unschedulable("0/1 nodes are available: persistentvolumeclaim \"data\" not found."),
    FailureClass::ClaimMissing,
    Some(60)
)]
fn a_class_counts_after_its_grace(
    #[case] status: Value,
    #[case] class: FailureClass,
    #[case] after: Option<u64>,
) {
    let (when, symptom) = verdict(status, &[]);
    assert_eq!((symptom.unwrap().class, when), (class, after));
}

#[rstest]
#[case::reference(
    "FailedMount",
    "configmap \"x\" not found",
    FailureClass::VolumeReference,
    60
)]
#[case::slow(
    "FailedMount",
    "timed out waiting for the condition",
    FailureClass::VolumeSlow,
    180
)]
#[case::attach(
    "FailedAttachVolume",
    "Multi-Attach error",
    FailureClass::VolumeSlow,
    180
)]
#[case::sandbox("FailedCreatePodSandBox", "plugin failed", FailureClass::Sandbox, 120)]
#[case::network(
    "NetworkNotReady",
    "cni plugin not initialized",
    FailureClass::Sandbox,
    120
)]
fn what_events_tell_counts_after_its_grace(
    #[case] reason: &str,
    #[case] message: &str,
    #[case] class: FailureClass,
    #[case] after: u64,
) {
    let creating = || waiting("ContainerCreating", "");
    let (when, symptom) = verdict(creating(), &[event(101, reason, message)]);
    assert_eq!((symptom.unwrap().class, when), (class, Some(after)));
    let pulling = [event(101, reason, message), event(102, "Pulling", "image")];
    let (when, _) = verdict(creating(), &pulling);
    assert_eq!(when, None, "progress has come since");
}

#[test]
fn what_names_the_missing_thing_wins_over_what_timed_out_after_it() {
    let events = [
        event(101, "FailedMount", "configmap \"x\" not found"),
        event(102, "FailedMount", "timed out waiting for the condition"),
    ];
    let (when, symptom) = verdict(waiting("ContainerCreating", ""), &events);
    let symptom = symptom.unwrap();
    assert_eq!(
        (symptom.class, when),
        (FailureClass::VolumeReference, Some(60))
    );
    assert_eq!(symptom.facts["reference"], "x");
}

#[test]
fn an_autoscaler_is_given_five_minutes_and_its_no_is_final() {
    let full = || unschedulable("0/1 nodes are available: 1 Insufficient cpu.");
    let up = event(101, "TriggeredScaleUp", "pod triggered scale-up");
    let no = event(102, "NotTriggerScaleUp", "pod didn't trigger scale-up");
    assert_eq!(verdict(full(), std::slice::from_ref(&up)).0, Some(300));
    assert_eq!(verdict(full(), &[up, no]).0, Some(0));
}

#[test]
fn a_claim_that_gets_no_volume_is_named_with_its_class() {
    let mut failed = event(
        101,
        "ProvisioningFailed",
        "storageclass.storage.k8s.io \"fast\" not found",
    );
    failed["involvedObject"] =
        json!({"kind": "PersistentVolumeClaim", "name": "data", "uid": "uid-claim"});
    let words = "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims.";
    let (when, symptom) = verdict(unschedulable(words), &[failed]);
    let symptom = symptom.unwrap();
    assert_eq!(
        (symptom.class, when),
        (FailureClass::ClaimClassMissing, Some(60))
    );
    assert_eq!(
        (&*symptom.facts["claim"], &*symptom.facts["storage_class"]),
        ("data", "fast")
    );
}

#[test]
fn a_readiness_probe_is_told_when_time_is_up_and_shown_after_its_window() {
    let status = json!({"phase": "Running", "containerStatuses": [{"name": "c", "ready": false, "restartCount": 0, "state": {"running": {}}}]});
    let failing = event(
        101,
        "Unhealthy",
        "Readiness probe failed: HTTP probe failed with statuscode: 500",
    );
    // Seen on a real node; what the probe got before says more.
    let stray = event(
        102,
        "Unhealthy",
        "Readiness probe failed: Get \"http://10.88.2.128:8080/ok\": readLoopPeekFailLocked: %!w(<nil>)",
    );
    let (when, symptom) = verdict(status.clone(), &[failing.clone(), stray]);
    let symptom = symptom.unwrap();
    assert_eq!((symptom.class, when), (FailureClass::Readiness, None));
    assert_eq!(&*symptom.facts["probe"], "GET http://:80/ok");
    assert_eq!(&*symptom.facts["answer"], "it answers 500");
    let mut tracker = Tracker::new(&[target(live())], 1);
    tracker.observe(Seen::Now(&kinds::EVENT, failing));
    tracker.observe(Seen::Now(&kinds::POD, pod(status)));
    let start = Instant::now();
    let shown = |tracker: &mut Tracker, seconds| {
        let judgement = tracker.judge(start + Duration::from_secs(seconds));
        judgement.statuses[0].message.contains("it answers 500")
    };
    // period, time-out, one more period for the fourth try, half a period, time-out
    assert!(!shown(&mut tracker, 0) && !shown(&mut tracker, 26) && shown(&mut tracker, 27));
}

#[test]
fn restarts_by_a_liveness_probe_are_told_with_what_it_got() {
    let status = json!({"phase": "Running", "containerStatuses": [{
        "name": "c", "ready": false, "restartCount": 3, "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        "lastState": {"terminated": {"exitCode": 137, "reason": "Error"}},
    }]});
    let events = [
        event(
            101,
            "Unhealthy",
            "Liveness probe failed: HTTP probe failed with statuscode: 404",
        ),
        event(
            102,
            "Killing",
            "Container c failed liveness probe, will be restarted",
        ),
    ];
    let (when, symptom) = verdict(status.clone(), &events);
    let symptom = symptom.unwrap();
    assert_eq!((symptom.class, when), (FailureClass::Liveness, Some(0)));
    assert_eq!(&*symptom.facts["answer"], "it answers 404");
    assert_eq!(
        verdict(status, &[]).1.unwrap().class,
        FailureClass::CrashLoop
    );
}

#[test]
fn an_init_container_that_stays_is_told_when_time_is_up() {
    let status = json!({"phase": "Pending", "initContainerStatuses": [{"name": "first", "ready": false, "restartCount": 0, "state": {"running": {}}}]});
    let (when, symptom) = verdict(status, &[]);
    assert_eq!(
        (symptom.unwrap().class, when),
        (FailureClass::InitStuck, None)
    );
    let failing = json!({"phase": "Pending", "initContainerStatuses": [{
        "name": "first", "restartCount": 3, "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": {"terminated": {"exitCode": 2}},
    }]});
    let (when, symptom) = verdict(failing, &[]);
    assert_eq!(
        (symptom.unwrap().class, when),
        (FailureClass::InitFailed, Some(0))
    );
}

#[rstest]
#[case(
    "exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1",
    FailureClass::Quota,
    30
)]
#[case(
    "failed quota: q: must specify cpu",
    FailureClass::QuotaUnspecified,
    10
)]
#[case(
    "violates PodSecurity \"baseline:latest\": x",
    FailureClass::PodSecurity,
    10
)]
#[case(
    "maximum memory usage per Container is 1Mi",
    FailureClass::LimitRange,
    10
)]
#[case(
    "ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no",
    FailureClass::AdmissionPolicy,
    10
)]
#[case(
    "admission webhook \"w\" denied the request: no",
    FailureClass::AdmissionWebhook,
    10
)]
#[case(
    "error looking up service account ns/x: serviceaccount \"x\" not found",
    FailureClass::ServiceAccount,
    15
)]
#[case("etcdserver: leader changed", FailureClass::PodCreate, 30)]
fn pods_that_may_not_be_made_count_after_their_grace(
    #[case] words: &str,
    #[case] class: FailureClass,
    #[case] after: u64,
) {
    let mut live = live();
    live["status"]["replicas"] = 0.into();
    let mut failed = event(101, "FailedCreate", words);
    failed["involvedObject"] = json!({"kind": "StatefulSet", "uid": "uid-db"});
    let mut tracker = Tracker::new(&[target(live)], 1);
    tracker.observe(Seen::Now(&kinds::EVENT, failed));
    let start = Instant::now();
    let due = tracker.judge(start).next;
    assert_eq!(due, Some(start + Duration::from_secs(after)));
    assert_eq!(tracker.judge(due.unwrap()).ripe[0].class, class);
}

#[test]
fn one_missing_image_of_two_objects_is_one_failure() {
    let deployment = |name: &str| {
        json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "uid": format!("uid-{name}"), "generation": 1},
            "spec": {"containers": [{"name": "c", "image": "r.test/i:1"}]}, "status": waiting("ErrImagePull", "not found"),
        })
    };
    let both = ["a", "b"].map(|name| Applied {
        id: kinds::POD.object(name),
        ..target(deployment(name))
    });
    let mut tracker = Tracker::new(&both, 1);
    tracker.observe(Seen::All(
        &kinds::POD,
        vec![deployment("a"), deployment("b")],
    ));
    let start = Instant::now();
    assert!(tracker.judge(start).ripe.is_empty());
    let ripe = tracker.judge(start + Duration::from_secs(15)).ripe;
    assert_eq!(ripe.len(), 1);
    assert_eq!(ripe[0].facts["object"], "Pod/a and Pod/b");
}

#[test]
fn a_stalled_rollout_is_told_by_its_probe_and_by_how_long_was_waited() {
    const REVISION: &str = "deployment.kubernetes.io/revision";
    let deployment = |conditions: Value| {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "web", "uid": "uid-web", "generation": 1, "annotations": {REVISION: "1"}}, "spec": {"replicas": 1},
            "status": {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "conditions": conditions},
        })
    };
    let set = json!({"metadata": {"name": "web-1", "uid": "uid-db", "annotations": {REVISION: "1"}, "ownerReferences": [{"uid": "uid-web"}]}});
    let running = json!({"phase": "Running", "containerStatuses": [{"name": "c", "ready": false, "restartCount": 0, "state": {"running": {}}}]});
    let mut tracker = Tracker::new(
        &[Applied {
            id: kinds::DEPLOYMENT.object("web"),
            ..target(deployment(json!([])))
        }],
        1,
    );
    tracker.observe(Seen::Now(&kinds::REPLICA_SET, set));
    tracker.observe(Seen::Now(&kinds::POD, pod(running)));
    let unhealthy = event(
        101,
        "Unhealthy",
        "Readiness probe failed: HTTP probe failed with statuscode: 500",
    );
    tracker.observe(Seen::Now(&kinds::EVENT, unhealthy));
    let start = Instant::now();
    assert!(tracker.judge(start).ripe.is_empty());
    let stalled =
        json!([{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]);
    tracker.observe(Seen::Now(&kinds::DEPLOYMENT, deployment(stalled)));
    let ripe = tracker.judge(start + Duration::from_secs(40)).ripe;
    assert_eq!(ripe[0].class, FailureClass::Readiness);
    let (cause, _) = ripe[0].class.sentences(&ripe[0].facts);
    assert!(
        cause.starts_with("container c of Deployment/web was not ready within 40s because"),
        "{cause}"
    );
}

#[test]
fn a_job_at_its_deadline_shows_the_log_of_what_it_is_at() {
    let job = json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "seed", "uid": "uid-db", "generation": 1}, "spec": {},
        "status": {"conditions": [{"type": "FailureTarget", "status": "True", "reason": "DeadlineExceeded"}]},
    });
    let one = Applied {
        id: kinds::JOB.object("seed"),
        ..target(job)
    };
    let mut tracker = Tracker::new(&[one], 1);
    let running = json!({"phase": "Running", "containerStatuses": [{"name": "c", "ready": true, "state": {"running": {}}}]});
    tracker.observe(Seen::Now(&kinds::POD, pod(running)));
    let ripe = tracker.judge(Instant::now()).ripe;
    assert_eq!(ripe[0].class, FailureClass::JobDeadline);
    assert_eq!(ripe[0].container.as_ref().unwrap().container, "c");
}
