//! The rules of the kinds that make pods: when their numbers and conditions mean ready, when they mean failed.
//! They know no pods and no time; a status that is too old never gets here.
//! Ready pods of the old revision are never counted, because they are not what was asked for.

use super::{Assessment, Live};

pub(super) fn deployment(live: Live<'_>) -> Assessment {
    let want = live.replicas();
    if live.count("observedGeneration").is_none() {
        return Assessment::waiting("NotObserved", "the rollout has not begun").counting(0, want);
    }
    let (updated, ready) = (live.number("updatedReplicas"), live.number("readyReplicas"));
    let (total, available) = (live.number("replicas"), live.number("availableReplicas"));
    let progressing = live.condition("Progressing");
    let reason = progressing
        .map(|condition| Live::text(condition, "reason"))
        .unwrap_or_default();
    // Ready pods of the old revision are not what was asked for.
    let count = |verdict: Assessment| verdict.counting(ready.min(updated), want);
    if let Some(condition) = progressing
        && reason == "ProgressDeadlineExceeded"
    {
        return count(Assessment::failed(
            &reason,
            Live::text(condition, "message"),
        ));
    }
    if live.spec()["paused"] == true {
        let message = "the rollout is paused by its spec, so it is never completed";
        return count(Assessment::waiting("Paused", message));
    }
    if updated < want {
        return count(Assessment::waiting(
            "RolloutInProgress",
            format!("{updated} of {want} pods are of the new revision"),
        ));
    }
    if total > updated {
        return count(Assessment::waiting(
            "RolloutInProgress",
            format!(
                "{} pods of the old revision are still there",
                total - updated
            ),
        ));
    }
    if ready < want {
        return count(Assessment::waiting(
            "NotReady",
            format!("{ready} of {want} pods are ready"),
        ));
    }
    if available < updated {
        return count(Assessment::waiting(
            "NotAvailable",
            format!("{available} of {updated} pods have been ready for long enough"),
        ));
    }
    // The numbers may be full while the controller is still behind; the conditions say that it is not.
    let settled = live.spec()["progressDeadlineSeconds"]
        .as_i64()
        .is_none_or(|seconds| seconds >= i64::from(i32::MAX) || reason == "NewReplicaSetAvailable");
    if !settled || !live.is("Available") {
        return count(Assessment::waiting(
            "RolloutInProgress",
            "the rollout is being completed",
        ));
    }
    count(Assessment::ready())
}

pub(super) fn stateful_set(live: Live<'_>) -> Assessment {
    let want = live.replicas();
    let ready = live.number("readyReplicas");
    let updated = live.number("updatedReplicas");
    let status = live.status();
    let strategy = &live.spec()["updateStrategy"];
    let partition = strategy["rollingUpdate"]["partition"].as_i64().unwrap_or(0);
    let by_hand = strategy["type"] == "OnDelete";
    let same_revision = if status["updateRevision"].is_null() {
        live.number("currentReplicas") >= want
    } else {
        status["currentRevision"] == status["updateRevision"]
    };
    let rolled_out = by_hand || partition > 0 || same_revision;
    let of_new = if rolled_out || by_hand {
        ready
    } else {
        ready.min(updated)
    };
    let count = |verdict: Assessment| verdict.counting(of_new, want);
    if live.count("observedGeneration").is_none() {
        return count(Assessment::waiting(
            "NotObserved",
            "the rollout has not begun",
        ));
    }
    if live.number("replicas") != want {
        return count(Assessment::waiting(
            "Scaling",
            format!("{} of {want} pods exist", live.number("replicas")),
        ));
    }
    if ready < want {
        return count(Assessment::waiting(
            "NotReady",
            format!("{ready} of {want} pods are ready"),
        ));
    }
    let of_partition = (want - partition).max(0);
    if !by_hand && partition > 0 && updated < of_partition {
        return count(Assessment::waiting(
            "RolloutInProgress",
            format!("{updated} of {of_partition} pods are of the new revision"),
        ));
    }
    if !rolled_out {
        return count(Assessment::waiting(
            "RolloutInProgress",
            format!("{updated} of {want} pods are of the new revision"),
        ));
    }
    if live.spec()["minReadySeconds"].as_i64().unwrap_or(0) > 0
        && live.number("availableReplicas") < want
    {
        return count(Assessment::waiting(
            "NotAvailable",
            "pods have not been ready for long enough",
        ));
    }
    count(Assessment::ready())
}

pub(super) fn daemon_set(live: Live<'_>) -> Assessment {
    let (Some(want), Some(_)) = (
        live.count("desiredNumberScheduled"),
        live.count("observedGeneration"),
    ) else {
        return Assessment::waiting("NotObserved", "the rollout has not begun");
    };
    let ready = live.number("numberReady");
    let updated = live.number("updatedNumberScheduled");
    let by_hand = live.spec()["updateStrategy"]["type"] == "OnDelete";
    let of_new = if by_hand { ready } else { ready.min(updated) };
    let verdict = if live.number("currentNumberScheduled") < want || (!by_hand && updated < want) {
        let message = format!("{updated} of {want} pods are of the new revision");
        Assessment::waiting("RolloutInProgress", message)
    } else if ready < want || live.number("numberAvailable") < want {
        Assessment::waiting("NotReady", format!("{ready} of {want} pods are ready"))
    } else {
        Assessment::ready()
    };
    verdict.counting(of_new, want)
}

pub(super) fn replica_set(live: Live<'_>) -> Assessment {
    let want = live.replicas();
    let ready = live.number("readyReplicas");
    let verdict = if let Some(failure) = live
        .condition("ReplicaFailure")
        .filter(|_| live.is("ReplicaFailure"))
    {
        Assessment::waiting("ReplicaFailure", Live::text(failure, "message"))
    } else if live.number("fullyLabeledReplicas") < want
        || ready < want
        || live.number("availableReplicas") < want
    {
        Assessment::waiting("NotReady", format!("{ready} of {want} pods are ready"))
    } else if live.number("replicas") > want {
        Assessment::waiting(
            "Scaling",
            format!("{} pods exist, {want} are wanted", live.number("replicas")),
        )
    } else {
        Assessment::ready()
    };
    verdict.counting(ready, want)
}

pub(super) fn job(live: Live<'_>) -> Assessment {
    let verdict = if live.is("Complete") || live.is("SuccessCriteriaMet") {
        let all = live.spec()["completions"].as_i64().unwrap_or(1);
        if live.spec()["successPolicy"].is_null() {
            // Since 1.31 the criteria are met one update before `succeeded` is counted.
            return Assessment::ready().counting(all, all);
        }
        Assessment::ready()
    } else if let Some(failure) = ["Failed", "FailureTarget"]
        .into_iter()
        .find_map(|name| live.condition(name).filter(|_| live.is(name)))
    {
        Assessment::failed(
            &Live::text(failure, "reason"),
            Live::text(failure, "message"),
        )
    } else if live.spec()["suspend"] == true {
        Assessment::ready()
    } else {
        let running = live.number("active");
        let message = match live.number("failed") {
            0 => format!("{running} pods are at work"),
            failed => format!("{failed} of its pods failed, {running} are at work"),
        };
        Assessment::waiting("Running", message)
    };
    live.counted(verdict)
}
