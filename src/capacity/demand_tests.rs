#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use super::*;
use crate::{
    manifests::{Manifest, Origin},
    names::ObjectId,
};
use rstest::rstest;
use serde_json::json;

fn set(objects: &[Value]) -> ManifestSet {
    let one = |object: &Value| Manifest {
        id: ObjectId {
            group: String::new(),
            version: "v1".into(),
            kind: object["kind"].as_str().unwrap().into(),
            name: "web".into(),
        },
        object: object.clone(),
        origin: Origin {
            file: "a.yaml".into(),
            line: 1,
        },
        stage: 5,
    };
    ManifestSet {
        objects: objects.iter().map(one).collect(),
        warnings: Vec::new(),
    }
}

fn at_once(set: &ManifestSet) -> Vec<Pods> {
    demand(set).pop().unwrap()
}

fn container(cpu: &str, memory: &str) -> Value {
    json!({"name": "c", "resources": {"requests": {"cpu": cpu, "memory": memory}, "limits": {"cpu": "2", "memory": "2Gi"}}})
}

fn deployment_of(replicas: Value, strategy: Value) -> Value {
    json!({"kind": "Deployment", "spec": {"replicas": replicas, "strategy": strategy, "template": {"spec": {"containers": [container("100m", "64Mi")]}}}})
}

#[rstest]
#[case::default_strategy(json!(4), json!(null), 5)]
#[case::a_quarter_rounds_up(json!(1), json!(null), 2)]
#[case::no_replicas_named(json!(null), json!(null), 2)]
#[case::percent(json!(4), json!({"rollingUpdate": {"maxSurge": "50%"}}), 6)]
#[case::count(json!(4), json!({"rollingUpdate": {"maxSurge": 3}}), 7)]
#[case::none(json!(4), json!({"rollingUpdate": {"maxSurge": 0}}), 4)]
#[case::recreate(json!(4), json!({"type": "Recreate"}), 4)]
#[case::asleep(json!(0), json!(null), 0)]
fn the_surge_of_a_rolling_update_counts(
    #[case] replicas: Value,
    #[case] strategy: Value,
    #[case] pods: i128,
) {
    let demand = at_once(&set(&[deployment_of(replicas, strategy)]));
    assert_eq!(demand[0].count, pods);
    assert_eq!(demand[0].requests.cpu, 100);
    assert_eq!(demand[0].requests.memory, 64 * 1024 * 1024 * 1000);
}

#[test]
fn rolling_updates_wait_for_each_other_so_the_largest_surge_counts() {
    let mut six: Vec<Value> = (0..5)
        .map(|_| deployment_of(json!(1), json!(null)))
        .collect();
    six.push(deployment_of(
        json!(4),
        json!({"rollingUpdate": {"maxSurge": 3}}),
    ));
    let counts: Vec<i128> = at_once(&set(&six)).iter().map(|one| one.count).collect();
    assert_eq!(counts, [1, 1, 1, 1, 1, 7]);
}

#[test]
fn a_pod_asks_for_its_containers_together_or_for_its_greatest_init_container() {
    let sidecar = json!({"name": "s", "restartPolicy": "Always", "resources": {"requests": {"cpu": "50m", "memory": "10Mi"}}});
    let init = json!({"name": "i", "resources": {"requests": {"cpu": "1", "memory": "1Mi"}}});
    let pod = json!({"kind": "Pod", "spec": {
        "initContainers": [sidecar, init],
        "containers": [container("100m", "64Mi"), container("200m", "64Mi")],
    }});
    let demand = at_once(&set(&[pod]));
    let mega = 1024 * 1024 * 1000;
    let expected = Amounts {
        cpu: 1050,
        memory: 138 * mega,
        pods: 1,
    };
    assert_eq!(demand[0].requests, expected);
}

#[test]
fn containers_that_name_nothing_get_what_the_limit_range_gives() {
    let range = json!({"kind": "LimitRange", "spec": {"limits": [
        {"type": "Pod", "default": {"cpu": "9"}},
        {"type": "Container", "defaultRequest": {"cpu": "50m", "memory": "64Mi"}, "default": {"cpu": "500m", "memory": "512Mi"}},
    ]}});
    let pod = json!({"kind": "Pod", "spec": {"containers": [{"name": "c"}]}});
    let demand = at_once(&set(&[range, pod]));
    assert_eq!((demand[0].requests.cpu, demand[0].limits.cpu), (50, 500));
}

#[test]
fn a_quota_that_is_exceeded_says_by_what() {
    let quota = json!({"kind": "ResourceQuota", "spec": {"hard": {"requests.cpu": "300m", "limits.memory": "4Gi", "pods": "2", "services.nodeports": "0"}}});
    let set = set(&[quota, deployment_of(json!(2), json!(null))]);
    let beyond = beyond_quota(&set, &demand(&set));
    let words: Vec<_> = beyond
        .iter()
        .map(|short| format!("{} {} of {}", short.asked, short.of, short.total))
        .collect();
    assert_eq!(words, ["6Gi limits.memory of 4Gi", "3 pods of 2"]);
}

fn words(set: &ManifestSet) -> Vec<String> {
    let beyond = beyond_quota(set, &demand(set)).into_iter();
    beyond
        .map(|short| format!("{} {} of {}", short.asked, short.of, short.total))
        .collect()
}

fn quota(hard: Value) -> Value {
    json!({"kind": "ResourceQuota", "spec": {"hard": hard}})
}

fn kind_of(kind: &str) -> Value {
    json!({"kind": kind, "spec": {"template": {"spec": {"containers": [container("300m", "64Mi")]}}}})
}

fn cron(spec: Value) -> Value {
    let mut cron =
        json!({"kind": "CronJob", "spec": {"jobTemplate": {"spec": kind_of("Job")["spec"]}}});
    for (name, value) in spec.as_object().into_iter().flatten() {
        cron["spec"][name] = value.clone();
    }
    cron
}

#[rstest]
#[case::a_pod_of_a_daemon_set(vec![kind_of("DaemonSet"), kind_of("DaemonSet")], &["600m requests.cpu of 500m"])]
#[case::one_fits(vec![kind_of("DaemonSet")], &[])]
// It may run nowhere.
#[case::on_some_nodes(vec![kind_of("DaemonSet"), {
    let mut picky = kind_of("DaemonSet");
    picky["spec"]["template"]["spec"]["affinity"] = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {}}});
    picky
}], &[])]
#[case::a_run_beside_what_lasts(vec![kind_of("StatefulSet"), cron(json!({}))], &["600m requests.cpu of 500m"])]
#[case::in_turns(vec![cron(json!({})), cron(json!({}))], &[])]
#[case::suspended(vec![kind_of("StatefulSet"), cron(json!({"suspend": true}))], &[])]
// No rolling update need be under way then, and no Job either.
#[case::no_surge(vec![{
    let mut small = kind_of("Deployment");
    small["spec"]["template"]["spec"]["containers"] = json!([container("200m", "64Mi")]);
    small
}, cron(json!({}))], &[])]
#[case::after_jobs(vec![kind_of("Job"), cron(json!({}))], &[])]
fn what_runs_on_nodes_or_at_times_counts_as_far_as_it_is_certain(
    #[case] mut objects: Vec<Value>,
    #[case] expected: &[&str],
) {
    objects.push(quota(json!({"requests.cpu": "500m"})));
    assert_eq!(words(&set(&objects)), expected);
}

#[test]
fn objects_and_storage_count_against_a_quota_of_them() {
    let claim = |size: &str| json!({"resources": {"requests": {"storage": size}}});
    let mut set = set(&[
        quota(
            json!({"services": "1", "count/deployments.apps": "0", "count/ingresses.networking.k8s.io": "0",
                "persistentvolumeclaims": "2", "requests.storage": "4Gi", "count/secrets": "0", "count/jobs": "0"}),
        ),
        json!({"kind": "Service"}),
        json!({"kind": "Service"}),
        json!({"kind": "PersistentVolumeClaim", "spec": claim("1Gi")}),
        json!({"kind": "StatefulSet", "spec": {"replicas": 2, "volumeClaimTemplates": [{"spec": claim("2Gi")}]}}),
        deployment_of(json!(0), json!(null)),
        json!({"kind": "Ingress"}),
        // Ended ones may have been taken away before the next comes.
        json!({"kind": "Job"}),
    ]);
    for one in &mut set.objects {
        one.id.group = match one.id.kind.as_str() {
            "Deployment" | "StatefulSet" => "apps".into(),
            "Ingress" => "networking.k8s.io".into(),
            _ => String::new(),
        };
    }
    assert_eq!(
        words(&set),
        [
            "2 services of 1",
            "1 count/deployments.apps of 0",
            "1 count/ingresses.networking.k8s.io of 0",
            "3 persistentvolumeclaims of 2",
            "5Gi requests.storage of 4Gi",
        ]
    );
}

#[test]
fn a_quota_for_some_pods_only_is_left_to_the_cluster() {
    for scope in [
        json!({"scopes": ["Terminating"]}),
        json!({"scopeSelector": {"matchExpressions": []}}),
    ] {
        let mut quota = quota(json!({"pods": "0"}));
        assert_eq!(words(&set(&[quota.clone(), kind_of("Pod")])).len(), 1);
        for (name, value) in scope.as_object().unwrap() {
            quota["spec"][name] = value.clone();
        }
        assert_eq!(words(&set(&[quota, kind_of("Pod")])).len(), 0);
    }
}

/// A Job that has ended asks for nothing any more: what it needs and what waits for it are never there at once.
#[test]
fn jobs_that_run_first_are_not_counted_beside_what_waits_for_them() {
    let requests =
        |cpu: &str| json!({"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]});
    let job = json!({"kind": "Job", "metadata": {"name": "migrate"}, "spec": {"template": {"spec": requests("600m")}}});
    let database = json!({"kind": "StatefulSet", "metadata": {"name": "db"}, "spec": {"template": {"spec": requests("100m")}}});
    let web = json!({"kind": "Deployment", "metadata": {"name": "web"}, "spec": {"template": {"spec": requests("200m")}}});
    let quota = json!({"kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": {"hard": {"requests.cpu": "700m"}}});
    let mut set = set(&[quota, job, database, web]);
    for one in &mut set.objects {
        one.stage = match one.id.kind.as_str() {
            "Job" => 4,
            "ResourceQuota" => 1,
            _ => 5,
        };
    }
    let cpu = |pods: &Vec<Pods>| {
        pods.iter()
            .map(|one| one.requests.cpu * one.count)
            .sum::<i128>()
    };
    let demand = demand(&set);
    assert_eq!(demand.iter().map(cpu).collect::<Vec<_>>(), [700, 500]);
    assert_eq!(beyond_quota(&set, &demand), []);
}
