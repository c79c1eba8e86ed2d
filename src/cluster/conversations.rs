//! Conversations of the whole module with the simulated cluster: what is asked, what is answered, what goes wrong in between.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod latency;

use super::{
    ApplyError, Cluster, ClusterError, ConnectOptions, Created, Deleted, Existing, Gone, Reapplied,
    SecretRef, Step,
    kinds::{self, Kind},
    outcome::{Applied, Change, Failure, Fate, Readiness, Rollout, Verdict},
};
use crate::{
    capacity::LedgerName,
    manifests::{Manifest, ManifestSet, Origin},
    names::{Namespace, ReasonCode, RepoId, Secret},
    simulate::{Action, Fault, Record, World, WorldOptions, cluster::Denial, request_depth},
};
use rstest::rstest;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

mod updating;

/// A world and a client that is in a hurry: pauses of milliseconds, graces a hundredth of life's.
pub(super) async fn world() -> (World, Cluster) {
    world_with(WorldOptions::default()).await
}

async fn world_with(options: WorldOptions) -> (World, Cluster) {
    // Another test of this process may have installed it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let world = World::start(options).await.unwrap();
    let kubeconfig = Secret::new(world.cluster.kubeconfig());
    let mut options = ConnectOptions::new(&kubeconfig);
    options.haste = 100;
    options.retry.first_pause = Duration::from_millis(2);
    options.retry.longest_pause = Duration::from_millis(50);
    options.retry.give_up_after = Duration::from_secs(2);
    let cluster = Cluster::connect(&options).unwrap();
    (world, cluster)
}

fn requests(world: &World, method: &str, part: &str) -> Vec<Record> {
    let mut records = world.cluster.requests();
    records.retain(|record| record.method == method && record.path.contains(part));
    records
}

fn object(kind: &Kind, name: &str) -> Value {
    let api_version = kind.object(name).api_version();
    json!({"apiVersion": api_version, "kind": kind.kind, "metadata": {"name": name}})
}

fn manifest(kind: &Kind, stage: u8, name: &str, content: Value) -> Manifest {
    let mut object = object(kind, name);
    object
        .as_object_mut()
        .unwrap()
        .extend(content.as_object().unwrap().clone());
    let origin = Origin {
        file: format!("{name}.yaml.j2"),
        line: 3,
    };
    Manifest {
        id: kind.object(name),
        object,
        origin,
        stage,
    }
}

fn config(name: &str, value: &str) -> Manifest {
    manifest(&kinds::CONFIG_MAP, 2, name, json!({"data": {"a": value}}))
}

fn secret(name: &str, value: &str) -> Manifest {
    manifest(&kinds::SECRET, 2, name, json!({"data": {"a": value}}))
}

fn service(name: &str) -> Manifest {
    manifest(
        &kinds::SERVICE,
        3,
        name,
        json!({"spec": {"selector": {"app": name}, "ports": [{"port": 80, "protocol": "TCP"}]}}),
    )
}

fn deployment(name: &str, image: &str) -> Manifest {
    let labels = json!({"app": name});
    let pod = json!({"metadata": {"labels": labels}, "spec": {"containers": [{"name": "web", "image": image}]}});
    manifest(
        &kinds::DEPLOYMENT,
        5,
        name,
        json!({"spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": pod}}),
    )
}

fn set(objects: Vec<Manifest>) -> ManifestSet {
    ManifestSet {
        objects,
        warnings: Vec::new(),
    }
}

fn namespace_object(name: &str) -> Value {
    let mut namespace = object(&kinds::NAMESPACE, name);
    namespace["metadata"]["labels"] =
        json!({"app": "preview", "preview-action/repository-id": "1"});
    namespace
}

async fn namespace(cluster: &Cluster) -> (Namespace, String) {
    match cluster
        .create_namespace(&namespace_object("pr-1"))
        .await
        .unwrap()
    {
        Created::New(info) => (info.name, info.uid),
        Created::AlreadyExists(info) => (info.name, info.uid),
    }
}

async fn apply(
    cluster: &Cluster,
    namespace: &Namespace,
    set: &ManifestSet,
) -> Result<Vec<Applied>, ApplyError> {
    let known = cluster.existing(namespace, set).await.unwrap();
    cluster.apply(set, namespace, &known, &mut |_| {}).await
}

async fn wait(cluster: &Cluster, namespace: &Namespace, applied: &[Applied]) -> Rollout {
    let deadline = Instant::now() + Duration::from_secs(10);
    let stop = CancellationToken::new();
    cluster
        .wait_until_ready(namespace, applied, deadline, &stop, &mut |_| {})
        .await
        .unwrap()
}

fn changes(applied: &[Applied]) -> Vec<(String, Change)> {
    let mut all: Vec<_> = applied
        .iter()
        .map(|one| (one.id.to_string(), one.change))
        .collect();
    all.sort();
    all
}

fn failures(rollout: Rollout) -> Vec<Failure> {
    match rollout.verdict {
        Verdict::Failed(failures) | Verdict::TimedOut(failures) => failures,
        Verdict::Ready | Verdict::Stopped => Vec::new(),
    }
}

mod applying {
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
}

mod waiting {
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
        let deadline = Instant::now() + Duration::from_millis(400);
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
}

mod ledgers {
    use super::*;

    fn ledger() -> LedgerName {
        LedgerName {
            namespace: "preview-system".parse().unwrap(),
            repository: RepoId(7),
            environment: "preview".parse().unwrap(),
        }
    }

    async fn with_control_namespace() -> (World, Cluster) {
        let (world, cluster) = world().await;
        world
            .cluster
            .put(&object(&kinds::NAMESPACE, "preview-system"))
            .unwrap();
        (world, cluster)
    }

    /// Takes a place if it has none, and says how many there are; its own work is recognised.
    async fn take(cluster: &Cluster, run: &str) -> Result<usize, ClusterError> {
        loop {
            let taken = cluster
                .transact(&ledger(), |ledger, _| {
                    if ledger.rest.contains_key(run) {
                        return Step::Keep(ledger.rest.len());
                    }
                    ledger.rest.insert(run.into(), true.into());
                    Step::Write(ledger.rest.len())
                })
                .await?;
            match taken {
                Some(taken) => return Ok(taken),
                None => {
                    cluster
                        .create_ledger(&ledger(), &crate::capacity::Ledger::empty(3))
                        .await?
                }
            }
        }
    }

    #[tokio::test]
    async fn a_ledger_begins_with_the_first_write_and_keeps_its_capacity() {
        let (world, cluster) = with_control_namespace().await;
        assert_eq!(cluster.read_ledger(&ledger()).await.unwrap(), None);
        assert_eq!(take(&cluster, "a").await.unwrap(), 1);
        assert_eq!(take(&cluster, "b").await.unwrap(), 2);
        let kept = cluster.read_ledger(&ledger()).await.unwrap().unwrap();
        assert_eq!((kept.capacity, kept.rest.len()), (3, 2));
        assert!(
            world
                .cluster
                .object("ConfigMap", "preview-system", "preview-7-preview")
                .is_some()
        );
    }

    #[tokio::test]
    async fn a_step_that_keeps_writes_nothing() {
        let (world, cluster) = with_control_namespace().await;
        let answer = cluster
            .transact(&ledger(), |ledger, _| Step::Keep(ledger.capacity))
            .await;
        assert_eq!(answer.unwrap(), None);
        cluster
            .create_ledger(&ledger(), &crate::capacity::Ledger::empty(3))
            .await
            .unwrap();
        let answer = cluster
            .transact(&ledger(), |ledger, _| Step::Keep(ledger.capacity))
            .await;
        assert_eq!(answer.unwrap(), Some(3));
        assert_eq!(world.cluster.requests().len(), 3);
    }

    #[tokio::test]
    async fn the_moment_is_the_servers() {
        let past = "2020-02-03T04:05:06Z".parse().unwrap();
        let (world, cluster) = world_with(WorldOptions {
            now: Some(past),
            ..WorldOptions::default()
        })
        .await;
        world
            .cluster
            .put(&object(&kinds::NAMESPACE, "preview-system"))
            .unwrap();
        cluster
            .create_ledger(&ledger(), &crate::capacity::Ledger::empty(3))
            .await
            .unwrap();
        for _ in 0..2 {
            let now = cluster
                .transact(&ledger(), |_, moment| Step::Write(moment.now))
                .await
                .unwrap()
                .unwrap();
            assert!(now.duration_since(past).as_secs() < 60, "{now}");
        }
    }

    #[tokio::test]
    async fn a_lost_answer_is_cleared_up_by_reading() {
        for action in [
            Action::WriteThenClose,
            Action::WriteThenAnswer {
                status: 504,
                body: json!({}),
            },
        ] {
            let (world, cluster) = with_control_namespace().await;
            world.cluster.inject(Fault::on(
                "POST",
                "/api/v1/namespaces/preview-system/configmaps",
                action.clone(),
            ));
            assert_eq!(take(&cluster, "a").await.unwrap(), 1);
            world.cluster.inject(Fault::on(
                "PUT",
                "/api/v1/namespaces/preview-system/configmaps/*",
                action,
            ));
            assert_eq!(take(&cluster, "b").await.unwrap(), 2);
            assert_eq!(
                cluster
                    .read_ledger(&ledger())
                    .await
                    .unwrap()
                    .unwrap()
                    .rest
                    .len(),
                2
            );
        }
    }

    #[tokio::test]
    async fn many_at_once_lose_no_write() {
        let (_world, cluster) = with_control_namespace().await;
        let runs: Vec<_> = (0..20).map(|run| format!("run-{run}")).collect();
        let mut places = futures::future::try_join_all(runs.iter().map(|run| take(&cluster, run)))
            .await
            .unwrap();
        places.sort_unstable();
        assert_eq!(places, (1..=20).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn a_ledger_that_cannot_be_read_is_never_guessed() {
        for data in [
            json!({"state.json": "{\"capacity\": "}),
            json!({"state.json": "{}"}),
            json!({"other": "x"}),
            json!({}),
        ] {
            let (world, cluster) = with_control_namespace().await;
            let mut broken = object(&kinds::CONFIG_MAP, "preview-7-preview");
            broken["metadata"]["namespace"] = "preview-system".into();
            broken["data"] = data;
            world.cluster.put(&broken).unwrap();
            let error = take(&cluster, "a").await.unwrap_err();
            assert_eq!(error.reason_code(), ReasonCode::LedgerCorrupt);
            assert!(
                error
                    .to_string()
                    .contains("preview-system/preview-7-preview"),
                "{error}"
            );
            assert!(requests(&world, "PUT", "configmaps").is_empty());
        }
    }

    #[tokio::test]
    async fn a_missing_control_namespace_says_who_makes_it() {
        let (_world, cluster) = world().await;
        let error = take(&cluster, "a").await.unwrap_err();
        assert!(
            matches!(error, ClusterError::ControlNamespaceMissing { .. }),
            "{error:?}"
        );
        assert!(error.remedy().contains("preview-action setup"));
    }

    #[tokio::test]
    async fn a_refusal_ends_the_transaction() {
        let (world, cluster) = with_control_namespace().await;
        world
            .cluster
            .deny(Denial::new("create", "configmaps").in_namespace("preview-system"));
        let error = take(&cluster, "a").await.unwrap_err();
        assert_eq!(error.reason_code(), ReasonCode::ClusterForbidden);
        assert_eq!(requests(&world, "POST", "configmaps").len(), 1);
    }
}

fn finalized() -> Value {
    let mut held = object(&kinds::CONFIG_MAP, "held");
    held["metadata"]["namespace"] = "pr-1".into();
    held["metadata"]["finalizers"] = json!(["example.com/block"]);
    held
}

mod removing {
    use super::*;

    async fn until_gone(
        cluster: &Cluster,
        namespace: &Namespace,
        uid: &str,
        wait: Duration,
    ) -> Gone {
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
}

mod pull_secrets {
    use super::*;

    fn source(kind: &str) -> Value {
        let mut source = object(&kinds::SECRET, "registry");
        source["metadata"]["namespace"] = "pr-1".into();
        source["type"] = kind.into();
        source["data"] = json!({".dockerconfigjson": "e30="});
        source
    }

    fn from() -> SecretRef {
        SecretRef {
            namespace: "pr-1".parse().unwrap(),
            name: "registry".parse().unwrap(),
        }
    }

    #[tokio::test]
    async fn a_pull_secret_is_copied_under_its_fixed_name() {
        let (world, cluster) = world().await;
        let (namespace, _) = namespace(&cluster).await;
        world
            .cluster
            .put(&source("kubernetes.io/dockerconfigjson"))
            .unwrap();
        cluster.copy_secret(&from(), &namespace).await.unwrap();
        let copy = world
            .cluster
            .object("Secret", "pr-1", crate::manifests::PULL_SECRET)
            .unwrap();
        assert_eq!(copy["data"][".dockerconfigjson"], "e30=");
    }

    #[tokio::test]
    async fn what_is_wrong_with_it_is_said() {
        let (world, cluster) = world().await;
        let (namespace, _) = namespace(&cluster).await;
        let refused = || async { cluster.copy_secret(&from(), &namespace).await.unwrap_err() };
        assert_eq!(
            refused().await.to_string(),
            "secret pr-1/registry does not exist"
        );
        world.cluster.put(&source("Opaque")).unwrap();
        assert!(
            refused()
                .await
                .to_string()
                .contains("is not of type kubernetes.io/dockerconfigjson")
        );
        world.cluster.deny(Denial::new("get", "secrets"));
        let error = refused().await;
        assert_eq!(error.reason_code(), ReasonCode::ClusterForbidden);
        assert!(
            error.remedy().contains("--resource-name=registry"),
            "{}",
            error.remedy()
        );
    }
}
