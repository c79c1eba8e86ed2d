//! Turns one live object into a verdict: ready, on its way, failed or going.
//! It is pure: no clock, no other object; what needs time or pods is `track`'s to judge.
//! An old status must never count for a new specification, so the generation that we wrote is an argument.

mod workloads;

use super::outcome::{Readiness, WorkloadStatus};
use crate::names::ObjectId;
use serde_json::Value;

/// Verdict on one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assessment {
    /// Verdict.
    pub readiness: Readiness,
    /// Pods that are ready, or finished ones of a Job.
    pub ready: u32,
    /// Pods that are wanted; 0 for kinds without pods.
    pub desired: u32,
    /// One word for machines, such as `RolloutInProgress`; empty when ready.
    pub reason: String,
    /// What it is waiting for, or why it failed; empty when there is nothing to say.
    pub message: String,
}

impl Assessment {
    /// The verdict as the comment shows it.
    pub fn into_status(self, id: ObjectId) -> WorkloadStatus {
        WorkloadStatus {
            id,
            ready: self.ready,
            desired: self.desired,
            readiness: self.readiness,
            message: self.message,
        }
    }

    fn new(readiness: Readiness, reason: &str, message: impl Into<String>) -> Self {
        Self {
            readiness,
            ready: 0,
            desired: 0,
            reason: reason.into(),
            message: message.into(),
        }
    }

    fn ready() -> Self {
        Self::new(Readiness::Ready, "", "")
    }

    fn waiting(reason: &str, message: impl Into<String>) -> Self {
        Self::new(Readiness::InProgress, reason, message)
    }

    fn failed(reason: &str, message: impl Into<String>) -> Self {
        Self::new(Readiness::Failed, reason, message)
    }

    fn counting(mut self, ready: i64, desired: i64) -> Self {
        let number = |count: i64| u32::try_from(count.max(0)).unwrap_or(u32::MAX);
        self.ready = number(ready);
        self.desired = number(desired);
        self
    }
}

/// Judges an object by its kind's rules.
///
/// `our_generation` is what the answer to our own write said; a status of an older generation proves nothing.
pub fn assess(object: &Value, our_generation: Option<i64>) -> Assessment {
    let live = Live(object);
    if object["metadata"]["deletionTimestamp"].is_string() {
        return live.counted(Assessment::new(
            Readiness::Terminating,
            "Terminating",
            "is being deleted",
        ));
    }
    let wanted = our_generation
        .unwrap_or(0)
        .max(object["metadata"]["generation"].as_i64().unwrap_or(0));
    if live
        .count("observedGeneration")
        .is_some_and(|observed| observed < wanted)
    {
        return live.counted(Assessment::waiting(
            "NotObserved",
            "the cluster has not taken up the change yet",
        ));
    }
    match live.kind() {
        ("apps", "Deployment") => workloads::deployment(live),
        ("apps", "StatefulSet") => workloads::stateful_set(live),
        ("apps", "DaemonSet") => workloads::daemon_set(live),
        ("apps", "ReplicaSet") => workloads::replica_set(live),
        ("batch", "Job") => workloads::job(live),
        ("", "Pod") => workloads::pod(live),
        ("", "Service") => service(live),
        ("", "PersistentVolumeClaim") => claim(live),
        // An Ingress counts as soon as it exists: not every controller reports an address, and the URL is asked anyway.
        // An autoscaler without metrics is normal in the first minute, and never a reason to hold a preview back.
        (
            "networking.k8s.io"
            | "policy"
            | "autoscaling"
            | "gateway.networking.k8s.io"
            | "batch"
            | "",
            _,
        ) => Assessment::ready(),
        _ => other(live),
    }
}

/// An object that is read field by field.
#[derive(Clone, Copy)]
struct Live<'a>(&'a Value);

impl<'a> Live<'a> {
    fn kind(self) -> (&'a str, &'a str) {
        let version = self.0["apiVersion"].as_str().unwrap_or_default();
        let group = version.split_once('/').map_or("", |(group, _)| group);
        (group, self.0["kind"].as_str().unwrap_or_default())
    }

    fn status(self) -> &'a Value {
        &self.0["status"]
    }

    fn spec(self) -> &'a Value {
        &self.0["spec"]
    }

    fn count(self, field: &str) -> Option<i64> {
        self.status()[field].as_i64()
    }

    /// A count that is left out when it is zero.
    fn number(self, field: &str) -> i64 {
        self.count(field).unwrap_or(0)
    }

    fn replicas(self) -> i64 {
        self.spec()["replicas"].as_i64().unwrap_or(1)
    }

    fn condition(self, name: &str) -> Option<&'a Value> {
        let all = self.status()["conditions"].as_array()?;
        all.iter().find(|condition| condition["type"] == name)
    }

    fn is(self, name: &str) -> bool {
        self.condition(name)
            .is_some_and(|condition| condition["status"] == "True")
    }

    fn text(condition: &Value, field: &str) -> String {
        condition[field].as_str().unwrap_or_default().to_owned()
    }

    /// Adds what numbers there are, whatever the verdict.
    fn counted(self, assessment: Assessment) -> Assessment {
        match self.kind().1 {
            "Deployment" | "ReplicaSet" | "StatefulSet" => {
                assessment.counting(self.number("readyReplicas"), self.replicas())
            }
            "DaemonSet" => assessment.counting(
                self.number("numberReady"),
                self.number("desiredNumberScheduled"),
            ),
            "Job" => assessment.counting(
                self.number("succeeded"),
                self.spec()["completions"].as_i64().unwrap_or(1),
            ),
            "Pod" => assessment.counting(i64::from(self.is("Ready")), 1),
            _ => assessment,
        }
    }
}

fn service(live: Live<'_>) -> Assessment {
    let spec = live.spec();
    let wants_balancer = spec["type"] == "LoadBalancer";
    let non_empty = |value: &Value| value.as_array().is_some_and(|all| !all.is_empty());
    if wants_balancer
        && !non_empty(&live.status()["loadBalancer"]["ingress"])
        && !non_empty(&spec["externalIPs"])
    {
        return Assessment::waiting("NoAddress", "the load balancer has no address yet");
    }
    if spec["type"] != "ExternalName" && !spec["clusterIP"].is_string() {
        return Assessment::waiting("NoAddress", "it has no address yet");
    }
    Assessment::ready()
}

/// A claim that nobody uses may stay pending for ever, so it never holds a preview back; the pods that need it do.
fn claim(live: Live<'_>) -> Assessment {
    match live.status()["phase"].as_str() {
        Some("Lost") => Assessment::failed("ClaimLost", "its volume is lost"),
        _ => Assessment::ready(),
    }
}

fn other(live: Live<'_>) -> Assessment {
    for (name, ready_when) in [
        ("Reconciling", "False"),
        ("Stalled", "False"),
        ("Ready", "True"),
    ] {
        if let Some(condition) = live.condition(name)
            && condition["status"] != ready_when
        {
            let message = Live::text(condition, "message");
            return match name {
                "Stalled" => Assessment::failed(name, message),
                _ => Assessment::waiting(name, message),
            };
        }
    }
    Assessment::ready()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use rstest::rstest;
    use serde_json::json;

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
            let verdict = assess(&event["object"], generation).readiness;
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
        let events: Vec<Value> =
            serde_json::from_str(trace!("deployment_update_imagepull")).unwrap();
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
        assert_eq!(assess(answer, None).reason, "NotObserved");
    }

    #[test]
    fn a_status_older_than_our_write_counts_for_nothing() {
        let mut object = deployment_with(2, 1, json!({}));
        assert_eq!(assess(&object, Some(1)).readiness, Ready);
        assert_eq!(assess(&object, Some(2)).readiness, InProgress);
        object["status"]
            .as_object_mut()
            .unwrap()
            .remove("observedGeneration");
        assert_eq!(assess(&object, None).readiness, InProgress);
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
        assert_eq!(assess(&object, None).readiness, expected);
    }

    #[rstest]
    #[case("Service", json!({"clusterIP": "10.0.0.1"}), json!({}), Ready)]
    #[case("Service", json!({"clusterIP": "None"}), json!({}), Ready)]
    #[case("Service", json!({"type": "ExternalName", "externalName": "x.test"}), json!({}), Ready)]
    #[case("Service", json!({"type": "LoadBalancer", "clusterIP": "10.0.0.1"}), json!({}), InProgress)]
    #[case("Service", json!({"type": "LoadBalancer", "clusterIP": "10.0.0.1"}), json!({"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}}), Ready)]
    #[case("PersistentVolumeClaim", json!({}), json!({"phase": "Pending"}), Ready)]
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
        assert_eq!(assess(&object, None).readiness, expected);
    }

    #[rstest]
    #[case::running(json!({"active": 1}), json!({}), InProgress)]
    #[case::done(json!({"succeeded": 1, "conditions": [{"type": "Complete", "status": "True"}]}), json!({}), Ready)]
    #[case::doomed(json!({"active": 1, "conditions": [{"type": "FailureTarget", "status": "True", "reason": "BackoffLimitExceeded"}]}), json!({}), Failed)]
    #[case::suspended(json!({}), json!({"suspend": true}), Ready)]
    fn jobs(#[case] status: Value, #[case] spec: Value, #[case] expected: Readiness) {
        let object = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "x"}, "spec": spec, "status": status});
        assert_eq!(assess(&object, None).readiness, expected);
    }

    #[test]
    fn a_job_that_is_tried_again_says_how_often_it_failed() {
        let object = json!({
            "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "x"}, "spec": {}, "status": {"failed": 2},
        });
        let waiting = assess(&object, None);
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
        let met = assess(&object, None);
        assert_eq!((met.readiness, met.ready, met.desired), (Ready, 2, 2));
    }

    #[test]
    fn a_daemon_set_on_no_node_is_ready_once_observed() {
        let mut object = json!({
            "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"generation": 1}, "spec": {}, "status": {},
        });
        assert_eq!(assess(&object, None).readiness, InProgress);
        object["status"] = json!({"observedGeneration": 1, "desiredNumberScheduled": 0});
        assert_eq!(assess(&object, None).readiness, Ready);
    }
}
