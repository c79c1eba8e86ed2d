//! Conversations about waiting for readiness: watches that break, failures and what is said of them.

use super::*;

#[tokio::test]
async fn watches_survive_an_error_an_expiry_and_a_cut() {
    let (world, cluster) = world().await;
    let (namespace, _) = namespace(&cluster).await;
    let path = "/apis/apps/v1/namespaces/pr-1/deployments";
    world.cluster.hold();
    world
        .cluster
        .inject(Fault::answer("WATCH", path, 500, json!({})));
    world
        .cluster
        .inject(Fault::on("WATCH", path, Action::WatchExpires { after: 0 }).nth(2));
    world
        .cluster
        .inject(Fault::on("WATCH", path, Action::WatchCut { after: 0 }).nth(3));
    world
        .cluster
        .inject(Fault::answer("GET", path, 503, json!({})).nth(2));
    let applied = cluster
        .apply(
            &set(vec![deployment("web", "web:1")]),
            &namespace,
            &Existing::default(),
            &mut |_| {},
        )
        .await
        .unwrap();
    let (rollout, ()) = tokio::join!(wait(&cluster, &namespace, &applied), async {
        let fourth = |records: &[Record]| {
            records
                .iter()
                .filter(|record| record.is_watch() && record.path == path)
                .count()
                >= 4
        };
        world.log.wait_until(fourth).await;
        world.cluster.release();
    });
    assert_eq!(rollout.verdict, Verdict::Ready);
    assert_eq!(rollout.workloads[0].readiness, Readiness::Ready);
}

#[rstest]
#[case::denied(false)]
#[case::silent(true)]
#[tokio::test]
async fn where_watches_show_nothing_lists_do(#[case] silent: bool) {
    let (world, cluster) = world().await;
    let (namespace, uid) = namespace(&cluster).await;
    if silent {
        world
            .cluster
            .inject(Fault::on("WATCH", "/**", Action::WatchSilent).always());
    } else {
        world.cluster.deny(Denial::new("watch", "*"));
    }
    world.cluster.hold();
    let applied = apply(&cluster, &namespace, &set(vec![deployment("web", "web:1")]))
        .await
        .unwrap();
    let (rollout, ()) = tokio::join!(wait(&cluster, &namespace, &applied), async {
        let watched = |records: &[Record]| records.iter().any(Record::is_watch);
        world.log.wait_until(watched).await;
        world.cluster.release();
    });
    assert_eq!(rollout.verdict, Verdict::Ready);
    cluster
        .delete_namespace(&namespace, &uid, None)
        .await
        .unwrap();
    let stop = CancellationToken::new();
    let deadline = Instant::now() + Duration::from_secs(10);
    let gone = cluster
        .wait_until_gone(&namespace, &uid, deadline, &stop, &mut |_| {})
        .await
        .unwrap();
    assert!(matches!(gone, Gone::Gone { .. }), "{gone:?}");
}

#[rstest]
#[case::crash(
    "web:crash",
    ReasonCode::CrashLoop,
    "container web of Deployment/web exits again and again"
)]
#[case::missing(
    "web:missing",
    ReasonCode::ImageMissing,
    "image web:missing of Deployment/web does not exist"
)]
#[case::forbidden(
    "web:forbidden",
    ReasonCode::ImageForbidden,
    "does not let the cluster pull image web:forbidden"
)]
#[case::memory(
    "web:oom",
    ReasonCode::OutOfMemory,
    "was killed because it used more memory"
)]
#[tokio::test]
async fn a_failure_is_named_with_cause_and_place(
    #[case] image: &str,
    #[case] reason: ReasonCode,
    #[case] cause: &str,
) {
    let (_world, cluster) = world().await;
    let (namespace, _) = namespace(&cluster).await;
    let applied = apply(&cluster, &namespace, &set(vec![deployment("web", image)]))
        .await
        .unwrap();
    let rollout = wait(&cluster, &namespace, &applied).await;
    assert_eq!(rollout.workloads[0].readiness, Readiness::Failed);
    let failures = failures(rollout);
    assert_eq!(failures.len(), 1, "{failures:?}");
    assert_eq!(failures[0].reason, reason);
    assert!(failures[0].cause.contains(cause), "{}", failures[0].cause);
    assert_eq!(failures[0].origin.as_ref().unwrap().file, "web.yaml.j2");
    assert!(!failures[0].evidence.is_empty());
}

#[tokio::test]
async fn a_failed_job_shows_its_last_lines() {
    let (world, cluster) = world().await;
    let (namespace, _) = namespace(&cluster).await;
    world.cluster.script_log("fail", "no such table\n");
    let job = manifest(
        &kinds::JOB,
        4,
        "migrate",
        json!({"spec": {"backoffLimit": 0, "template": {"spec": {
            "restartPolicy": "Never", "containers": [{"name": "web", "image": "web:fail"}]}}}}),
    );
    let applied = apply(&cluster, &namespace, &set(vec![job])).await.unwrap();
    let failures = failures(wait(&cluster, &namespace, &applied).await);
    assert_eq!(failures[0].reason, ReasonCode::JobFailed);
    assert!(
        failures[0]
            .evidence
            .iter()
            .any(|piece| piece.text.contains("no such table")),
        "{failures:?}"
    );
}

#[tokio::test]
async fn the_crash_of_the_last_push_does_not_fail_the_fix() {
    let (_world, cluster) = world().await;
    let (namespace, _) = namespace(&cluster).await;
    let broken = apply(
        &cluster,
        &namespace,
        &set(vec![deployment("web", "web:crash")]),
    )
    .await
    .unwrap();
    assert_eq!(failures(wait(&cluster, &namespace, &broken).await).len(), 1);
    let mended = apply(&cluster, &namespace, &set(vec![deployment("web", "web:2")]))
        .await
        .unwrap();
    assert_eq!(
        wait(&cluster, &namespace, &mended).await.verdict,
        Verdict::Ready
    );
}

#[tokio::test]
async fn a_quota_that_refuses_pods_is_named() {
    let (_world, cluster) = world().await;
    let (namespace, _) = namespace(&cluster).await;
    let quota = manifest(
        &kinds::QUOTA,
        1,
        "quota",
        json!({"spec": {"hard": {"pods": "0"}}}),
    );
    let applied = apply(
        &cluster,
        &namespace,
        &set(vec![quota, deployment("web", "web:1")]),
    )
    .await
    .unwrap();
    let failures = failures(wait(&cluster, &namespace, &applied).await);
    assert_eq!(failures[0].reason, ReasonCode::QuotaExceeded);
    assert!(
        failures[0].evidence[0].text.contains("exceeded quota"),
        "{failures:?}"
    );
}

#[tokio::test]
async fn time_that_runs_out_says_what_was_waited_for() {
    let (_world, cluster) = world().await;
    let (namespace, _) = namespace(&cluster).await;
    let applied = apply(
        &cluster,
        &namespace,
        &set(vec![deployment("web", "web:never")]),
    )
    .await
    .unwrap();
    let deadline = Instant::now() + Duration::from_secs(2);
    let stop = CancellationToken::new();
    let rollout = cluster
        .wait_until_ready(&namespace, &applied, deadline, &stop, &mut |_| {})
        .await
        .unwrap();
    assert!(
        matches!(rollout.verdict, Verdict::TimedOut(_)),
        "{rollout:?}"
    );
    let failures = failures(rollout);
    assert_eq!(failures[0].reason, ReasonCode::TimedOut);
    assert!(
        failures[0]
            .cause
            .ends_with("readiness probe fails; it answers 503"),
        "{}",
        failures[0].cause
    );
}

#[tokio::test]
async fn a_wish_to_stop_is_heard_at_once() {
    let (world, cluster) = world().await;
    let (namespace, _) = namespace(&cluster).await;
    world.cluster.hold();
    let applied = apply(&cluster, &namespace, &set(vec![deployment("web", "web:1")]))
        .await
        .unwrap();
    let stop = CancellationToken::new();
    let mut lines = 0;
    let deadline = Instant::now() + Duration::from_secs(60);
    let wish = stop.clone();
    let mut show = |_: &[super::super::outcome::WorkloadStatus]| {
        lines += 1;
        wish.cancel();
    };
    let rollout = cluster
        .wait_until_ready(&namespace, &applied, deadline, &stop, &mut show)
        .await
        .unwrap();
    assert_eq!((rollout.verdict, lines), (Verdict::Stopped, 1));
}

#[tokio::test]
async fn a_watch_that_is_forbidden_is_an_error_and_not_a_time_out() {
    let (world, cluster) = world().await;
    let (namespace, _) = namespace(&cluster).await;
    let applied = apply(&cluster, &namespace, &set(vec![deployment("web", "web:1")]))
        .await
        .unwrap();
    world.cluster.deny(Denial::new("list", "pods"));
    let deadline = Instant::now() + Duration::from_secs(10);
    let stop = CancellationToken::new();
    let error = cluster
        .wait_until_ready(&namespace, &applied, deadline, &stop, &mut |_| {})
        .await
        .unwrap_err();
    assert_eq!(error.reason_code(), ReasonCode::ClusterForbidden);
}
