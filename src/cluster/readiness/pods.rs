//! The rules of a single pod: done, serving, on its way, or stuck for longer than what heals by itself takes.
//! It sees one moment of the pod; whoever watches it counts from the first sight instead, which is more exact.
//! Classes and graces are those of `words` and `failures`, so that both ways of looking come to the same verdict in the end.

use super::{Assessment, Live};
use crate::cluster::{
    failures::{RESTARTS, RESTARTS_HOPELESS},
    words::{config_meaning, image_class, start_class},
};
use jiff::SignedDuration;
use serde_json::Value;
use std::time::Duration;

/// For how long a scheduler may look for a node; a wait gives it longer, because a cluster autoscaler may bring one.
const SCHEDULING: Duration = Duration::from_secs(15);

pub(super) fn pod(live: Live<'_>) -> Assessment {
    let phase = live.status()["phase"].as_str().unwrap_or_default();
    let to_completion = live.spec()["restartPolicy"]
        .as_str()
        .is_some_and(|policy| policy != "Always");
    let verdict = match phase {
        "Succeeded" => Assessment::ready(),
        "Failed" => ended(live),
        "Running" if !to_completion && live.is("Ready") => Assessment::ready(),
        _ => match waiting(live).or_else(|| unscheduled(live)) {
            Some(verdict) => verdict,
            None if phase == "Running" && to_completion => {
                Assessment::waiting("Running", "is at work")
            }
            None => Assessment::waiting("NotReady", "is not ready yet"),
        },
    };
    live.counted(verdict)
}

fn ended(live: Live<'_>) -> Assessment {
    let told = |field: &str| {
        let text = live.status()[field].as_str();
        text.filter(|text| !text.is_empty())
    };
    Assessment::failed(
        told("reason").unwrap_or("PodFailed"),
        told("message").unwrap_or("its containers failed"),
    )
}

/// A verdict that is a failure once it has lasted.
fn unless_it_heals(
    reason: &str,
    message: String,
    lasted: SignedDuration,
    grace: Duration,
) -> Assessment {
    let grace = SignedDuration::try_from(grace).unwrap_or(SignedDuration::MAX);
    if lasted >= grace {
        return Assessment::failed(reason, message);
    }
    Assessment {
        again: Some(grace - lasted.max(SignedDuration::ZERO)),
        ..Assessment::waiting(reason, message)
    }
}

fn unscheduled(live: Live<'_>) -> Option<Assessment> {
    let scheduled = live.condition("PodScheduled")?;
    if scheduled["status"] != "False" {
        return None;
    }
    let reason = Live::text(scheduled, "reason");
    let message = match Live::text(scheduled, "message") {
        message if message.is_empty() => "no node takes it".into(),
        message => message,
    };
    if reason != "Unschedulable" {
        return Some(Assessment::waiting(&reason, message));
    }
    Some(unless_it_heals(&reason, message, live.age(), SCHEDULING))
}

/// What the first container says that does not run; the one that is stuck for good before others.
fn waiting(live: Live<'_>) -> Option<Assessment> {
    let verdicts: Vec<_> = ["initContainerStatuses", "containerStatuses"]
        .iter()
        .filter_map(|field| live.status()[field].as_array())
        .flatten()
        .filter_map(|container| container_waiting(live, container))
        .collect();
    let failed = |verdict: &&Assessment| verdict.readiness == super::Readiness::Failed;
    verdicts.iter().find(failed).or(verdicts.first()).cloned()
}

fn container_waiting(live: Live<'_>, container: &Value) -> Option<Assessment> {
    let waiting = &container["state"]["waiting"];
    let reason = waiting["reason"].as_str()?;
    let message = waiting["message"].as_str().unwrap_or(reason).to_owned();
    let lasted = match &live.status()["startTime"] {
        Value::Null => live.age(),
        start => live.since(start),
    };
    let grace = match reason {
        "InvalidImageName" | "ErrImageNeverPull" => Duration::ZERO,
        "ErrImagePull" | "ImagePullBackOff" | "RegistryUnavailable" | "ImageInspectError" => {
            image_class(&message).grace()
        }
        // The node's cache lags behind; it says so itself.
        "CreateContainerConfigError" if message.contains("failed to sync") => {
            return Some(Assessment::waiting(reason, message));
        }
        "CreateContainerConfigError" => config_meaning(&message).0.grace(),
        "CreateContainerError" | "RunContainerError" => start_class(&message).grace(),
        "CrashLoopBackOff" if is_hopeless(container) => Duration::ZERO,
        _ => return Some(Assessment::waiting(reason, message)),
    };
    Some(unless_it_heals(reason, message, lasted, grace))
}

/// True when a container has crashed more often than one does that waits for its database; a count that is not told is no excuse.
fn is_hopeless(container: &Value) -> bool {
    let last = &container["lastState"]["terminated"];
    let least = if last["reason"] == "OOMKilled" || last["exitCode"] == 127 {
        RESTARTS_HOPELESS
    } else {
        RESTARTS
    };
    let restarts = container["restartCount"].as_i64();
    restarts.is_none_or(|restarts| restarts >= least)
}
