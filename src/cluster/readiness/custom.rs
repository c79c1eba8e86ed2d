//! The rules of kinds that Kubernetes does not know: a table for what previews use, and words that most operators share.
//! It never says failed: operators try again, and only their authors know which word is the last one.
//! An empty status is the usual false green, so a new object is given a moment to get one.

use super::{Assessment, Live, worded};
use jiff::SignedDuration;
use serde_json::Value;

/// For how long an object without a status is waited for.
const NO_STATUS: SignedDuration = SignedDuration::from_secs(12);

/// What shows that an object of a known kind is ready.
enum Rule {
    /// It exists: nobody writes its status.
    Exists,
    /// The second conditions hold, and the first do not.
    Conditions(&'static [&'static str], &'static [&'static str]),
    /// One of its parents has taken it, and found all that it refers to.
    Parents,
    /// The instances that are ready are as many as were asked for, and its phase has these words or its condition `Ready` holds.
    Instances(&'static str),
}

/// Group, kind (empty for all of the group), rule.
const KNOWN: &[(&str, &str, Rule)] = &[
    (
        "cert-manager.io",
        "Certificate",
        Rule::Conditions(&["Issuing"], &["Ready"]),
    ),
    (
        "external-secrets.io",
        "ExternalSecret",
        Rule::Conditions(&["Deleted"], &["Ready"]),
    ),
    (
        "gateway.networking.k8s.io",
        "Gateway",
        Rule::Conditions(&[], &["Accepted", "Programmed"]),
    ),
    ("gateway.networking.k8s.io", "GRPCRoute", Rule::Parents),
    ("gateway.networking.k8s.io", "HTTPRoute", Rule::Parents),
    ("gateway.networking.k8s.io", "TLSRoute", Rule::Parents),
    (
        "keda.sh",
        "ScaledObject",
        // `Active` only says that there is work at the moment.
        Rule::Conditions(&[], &["Ready"]),
    ),
    ("monitoring.coreos.com", "PodMonitor", Rule::Exists),
    ("monitoring.coreos.com", "PrometheusRule", Rule::Exists),
    ("monitoring.coreos.com", "ServiceMonitor", Rule::Exists),
    (
        "postgresql.cnpg.io",
        "Cluster",
        Rule::Instances("Cluster in healthy state"),
    ),
    ("traefik.io", "", Rule::Exists),
];

/// Conditions that have to hold where they are reported; the first decides alone.
const GOOD: &[&str] = &[
    "Ready",
    "Available",
    "Healthy",
    "Synced",
    "Programmed",
    "Accepted",
    "ResolvedRefs",
    "Reconciled",
    "Established",
    "Installed",
    "Deployed",
    "Provisioned",
    "Initialized",
    "Bound",
    "Valid",
    "Succeeded",
];
/// Those of them that `Ready` does not speak for: they are about this change, it may be about the one before.
const BESIDE_READY: &[&str] = &["Synced", "Accepted", "Programmed"];
/// Conditions that must not hold.
const BAD: &[&str] = &[
    "Creating",
    "Degraded",
    "Error",
    "Failed",
    "Failure",
    "Issuing",
    "Pending",
    "Progressing",
    "ReconcileError",
    "Updating",
];

/// Fields that hold a word on the state as a whole.
const FIELDS: &[&str] = &["phase", "state", "health", "status"];
/// Words that say that it has arrived. Any other of the known ones, and only those, says that it has not.
const ARRIVED: &[&str] = &[
    "accepted",
    "active",
    "applied",
    "available",
    "bound",
    "complete",
    "completed",
    "configured",
    "created",
    "deployed",
    "enabled",
    "established",
    "green",
    "healthy",
    "initialized",
    "installed",
    "normal",
    "ok",
    "online",
    "provisioned",
    "ready",
    "running",
    "started",
    "success",
    "successful",
    "succeeded",
    "synced",
    "up",
    "updated",
    "upgraded",
    "valid",
];
/// Beginnings of words that say that it has not arrived.
const ON_ITS_WAY: &[&str] = &[
    "abort",
    "backoff",
    "bootstrap",
    "configur",
    "creat",
    "degraded",
    "deleting",
    "deploying",
    "down",
    "err",
    "fail",
    "inactive",
    "init",
    "in progress",
    "inprogress",
    "in_progress",
    "installing",
    "invalid",
    "missing",
    "new",
    "not",
    "offline",
    "paused",
    "pending",
    "preparing",
    "processing",
    "progressing",
    "provisioning",
    "queued",
    "reconciling",
    "red",
    "rejected",
    "restoring",
    "rolling",
    "scaling",
    "scheduling",
    "setting",
    "setup",
    "start",
    "stopped",
    "stopping",
    "suspended",
    "syncing",
    "terminating",
    "unavailable",
    "unhealthy",
    "unknown",
    "unready",
    "updating",
    "upgrading",
    "waiting",
    "yellow",
];

/// Judges an object of a kind that others have defined.
pub(super) fn assess(live: Live<'_>) -> Assessment {
    let (group, kind) = live.kind();
    let known = KNOWN
        .iter()
        .find(|(in_group, of_kind, _)| *in_group == group && ["", kind].contains(of_kind))
        .map(|(_, _, rule)| rule);
    if matches!(known, Some(Rule::Exists)) {
        return Assessment::ready();
    }
    if says_nothing(live.status()) {
        return without_status(live);
    }
    match known {
        Some(Rule::Conditions(bad, good)) => {
            let problem = unmet_good(live, good, true).or_else(|| unmet_bad(live, bad));
            problem.unwrap_or_else(Assessment::ready)
        }
        Some(Rule::Parents) => parents(live),
        Some(Rule::Instances(healthy)) => instances(live, healthy),
        Some(Rule::Exists) => Assessment::ready(),
        None => unknown(live),
    }
}

/// True of what a kind's defaults may hold before any controller has written it.
fn says_nothing(status: &Value) -> bool {
    match status {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.values().all(says_nothing),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

fn without_status(live: Live<'_>) -> Assessment {
    const REASON: &str = "NoStatus";
    let age = live.age();
    if age < NO_STATUS {
        return Assessment {
            again: Some(NO_STATUS - age.max(SignedDuration::ZERO)),
            ..Assessment::waiting(REASON, "no status reported yet")
        };
    }
    Assessment {
        reason: REASON.into(),
        message: "no status reported".into(),
        ..Assessment::ready()
    }
}

fn unknown(live: Live<'_>) -> Assessment {
    let good: Vec<&str> = match live.condition("Ready") {
        Some(_) => std::iter::once("Ready")
            .chain(BESIDE_READY.iter().copied())
            .collect(),
        None => GOOD.to_vec(),
    };
    let problem = unmet_good(live, &good, false).or_else(|| {
        // `Ready` sums up what else there is.
        if live.is("Ready") {
            return None;
        }
        unmet_bad(live, BAD).or_else(|| word(live))
    });
    problem.unwrap_or_else(Assessment::ready)
}

/// The first of these conditions that does not hold; one that is not reported counts only if it is required.
fn unmet_good(live: Live<'_>, names: &[&str], required: bool) -> Option<Assessment> {
    names.iter().find_map(|name| match live.condition(name) {
        Some(condition) if is_outdated(live, condition) => Some(Assessment::waiting(
            "NotObserved",
            format!("its condition {name} is about an older version"),
        )),
        Some(_) if live.is(name) => None,
        Some(condition) => Some(Assessment::waiting(name, worded(condition))),
        None => required.then(|| {
            Assessment::waiting(name, format!("its condition {name} is not reported yet"))
        }),
    })
}

/// The first of these conditions that holds.
fn unmet_bad(live: Live<'_>, names: &[&str]) -> Option<Assessment> {
    let name = names.iter().find(|name| live.is(name))?;
    let message = live.condition(name).map(worded).unwrap_or_default();
    Some(Assessment::waiting(name, message))
}

/// Conditions may say which generation they are about.
fn is_outdated(live: Live<'_>, condition: &Value) -> bool {
    let about = condition["observedGeneration"].as_i64();
    let now = live.object["metadata"]["generation"].as_i64();
    about.is_some_and(|about| now.is_some_and(|now| about < now))
}

/// A word that says that it is still on its way, or has gone wrong.
fn word(live: Live<'_>) -> Option<Assessment> {
    let status = live.status();
    let (field, word) = FIELDS.iter().find_map(|field| {
        let value = &status[*field];
        // Some write `health: {status: Healthy}`.
        let word = value.as_str().or(value["status"].as_str())?;
        (!word.is_empty()).then_some((*field, word))
    })?;
    let lower = word.to_ascii_lowercase();
    if ARRIVED.contains(&lower.as_str())
        || !ON_ITS_WAY
            .iter()
            .any(|beginning| lower.starts_with(beginning))
    {
        return None;
    }
    let message = match status["message"].as_str() {
        Some(told) if !told.is_empty() => format!("its {field} is {word}: {told}"),
        _ => format!("its {field} is {word}"),
    };
    Some(Assessment::waiting("StateWord", message))
}

/// Each parent is a gateway, and has its own view of the route.
fn parents(live: Live<'_>) -> Assessment {
    let parents = live.status()["parents"].as_array();
    let mut problem = None;
    for parent in parents.into_iter().flatten() {
        let seen = Live {
            object: &serde_json::json!({"metadata": {"generation": live.object["metadata"]["generation"]}, "status": parent}),
            now: live.now,
        };
        match unmet_good(seen, &["Accepted"], true)
            .or_else(|| unmet_good(seen, &["ResolvedRefs"], false))
        {
            None => return Assessment::ready(),
            Some(unmet) => problem = problem.or(Some(unmet)),
        }
    }
    problem.unwrap_or_else(|| Assessment::waiting("Accepted", "no gateway has taken it yet"))
}

fn instances(live: Live<'_>, healthy: &str) -> Assessment {
    let want = live.spec()["instances"].as_i64().unwrap_or(1);
    let ready = live.number("readyInstances");
    let phase = live.status()["phase"].as_str().unwrap_or_default();
    if ready < want {
        let message = format!("{ready} of {want} instances are ready");
        let message = match phase {
            "" => message,
            phase => format!("{message}: {phase}"),
        };
        return Assessment::waiting("NotReady", message);
    }
    if phase == healthy || (phase.is_empty() && live.is("Ready")) {
        return Assessment::ready();
    }
    Assessment::waiting("NotReady", format!("its phase is {phase}"))
}
