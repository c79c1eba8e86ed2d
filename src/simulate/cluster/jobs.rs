//! Turns Jobs into pods until enough have succeeded or too many have failed.
//! It must not decide how a pod ends; the kubelet does by the image's fate.
//! Both final conditions come after their forerunner (`SuccessCriteriaMet`, `FailureTarget`), as servers since 1.31 write them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::replicas::create_pod;
use super::state::{State, condition, int, set_condition, text, without_zeros};
use super::store::Key;

const COMPONENT: &str = "job-controller";

/// Lets the Job controller act.
pub(super) fn reconcile(state: &mut State) {
    for key in state.keys("Job") {
        let Some(entry) = state.store.get(&key) else {
            continue;
        };
        let at = entry.changed + state.delays.observe;
        let job = entry.object.clone();
        if job["metadata"]["deletionTimestamp"].is_null() && state.reached(at) {
            work(state, &key, &job);
        }
    }
}

fn is_true(job: &Value, kind: &str) -> bool {
    condition(job, kind).is_some_and(|condition| condition["status"] == "True")
}

fn work(state: &mut State, key: &Key, job: &Value) {
    if is_true(job, "Complete") || is_true(job, "Failed") {
        return;
    }
    let stamp = state.clock.stamp();
    if job["spec"]["suspend"] == true {
        let mut status = job["status"].clone();
        set_condition(
            &mut status,
            "Suspended",
            true,
            ("JobSuspended", "Job suspended"),
            &stamp,
            false,
        );
        state.set(key, "status", status);
        return;
    }
    let pods = state.store.owned("Pod", job);
    let in_phase = |phase: &str| {
        pods.iter()
            .filter(|pod| pod["status"]["phase"] == phase)
            .count()
    };
    let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    let (succeeded, failed) = (count(in_phase("Succeeded")), count(in_phase("Failed")));
    let mut active = count(pods.len()) - succeeded - failed;
    let restarts: i64 = pods
        .iter()
        .flat_map(|pod| {
            pod["status"]["containerStatuses"]
                .as_array()
                .into_iter()
                .flatten()
        })
        .map(|container| int(&container["restartCount"]))
        .sum();
    let backoff = int(&job["spec"]["backoffLimit"]);
    let completions = int(&job["spec"]["completions"]);
    let exhausted = failed > backoff || (restarts > backoff && succeeded < completions);
    let mut start = None;
    if !exhausted && succeeded < completions {
        let missing = int(&job["spec"]["parallelism"]).min(completions - succeeded) - active;
        for _ in 0..missing.max(0) {
            if !add_pod(state, job, failed) {
                break;
            }
            active += 1;
        }
        start = Some(stamp.clone());
    }
    let mut status =
        without_zeros(json!({"active": active, "succeeded": succeeded, "failed": failed}));
    if job["status"]["conditions"].is_array() {
        status["conditions"] = job["status"]["conditions"].clone();
    }
    let started = job["status"]["startTime"].as_str().map(ToOwned::to_owned);
    if let Some(time) = started.or(start) {
        status["startTime"] = time.into();
    }
    let (done, words) = if succeeded >= completions {
        (
            Some(("SuccessCriteriaMet", "Complete")),
            (
                "CompletionsReached",
                "Reached expected number of succeeded pods",
            ),
        )
    } else {
        (
            exhausted.then_some(("FailureTarget", "Failed")),
            (
                "BackoffLimitExceeded",
                "Job has reached the specified backoff limit",
            ),
        )
    };
    if let Some((forerunner, last)) = done {
        if is_true(job, forerunner) {
            set_condition(&mut status, last, true, words, &stamp, false);
            if last == "Complete" {
                status["completionTime"] = stamp.into();
                state.event(job, false, "Completed", "Job completed", COMPONENT);
            } else {
                state.event(job, true, words.0, words.1, COMPONENT);
            }
        } else {
            // The pods that decided it are counted only with the last condition.
            set_condition(&mut status, forerunner, true, words, &stamp, false);
            for count in ["succeeded", "failed"] {
                status[count] = job["status"][count].clone();
            }
        }
        let running = pods
            .iter()
            .filter(|pod| !matches!(text(&pod["status"]["phase"]), "Succeeded" | "Failed"));
        for pod in running {
            super::replicas::delete_pod(state, pod);
        }
        if let Some(fields) = status.as_object_mut() {
            fields.remove("active");
            fields.retain(|_, value| !value.is_null());
        }
    }
    state.set(key, "status", status);
}

/// Creates a pod; after a failure only when the back-off is over.
fn add_pod(state: &mut State, job: &Value, failed: i64) -> bool {
    let uid = text(&job["metadata"]["uid"]).to_owned();
    let now = state.now();
    let retry = match state.moments.get(&(uid.clone(), "retry")) {
        Some(at) => *at,
        None if failed > 0 => state.moment(&uid, "retry", now + state.delays.retry),
        None => now,
    };
    if !state.reached(retry) {
        return false;
    }
    state.moments.remove(&(uid.clone(), "retry"));
    let name = text(&job["metadata"]["name"]).to_owned();
    let labels = BTreeMap::from([
        ("batch.kubernetes.io/controller-uid", uid.clone()),
        ("batch.kubernetes.io/job-name", name.clone()),
        ("controller-uid", uid.clone()),
        ("job-name", name),
    ]);
    match create_pod(state, job, &job["spec"]["template"], "", &labels) {
        Ok(pod) => {
            state.event(
                job,
                false,
                "SuccessfulCreate",
                &format!("Created pod: {pod}"),
                COMPONENT,
            );
            true
        }
        Err(refusal) => {
            let message = format!("Error creating: {}", refusal.message());
            state.event(job, true, "FailedCreate", &message, COMPONENT);
            let at = state.now() + state.delays.retry;
            state.set_moment(&uid, "retry", at);
            state.reached(at);
            false
        }
    }
}
