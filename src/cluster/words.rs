//! Turns the words of nodes, schedulers, controllers and the API server into a class of failure and the facts that they name.
//! It must not keep time, and sees no object; the same words mean the same wherever they were said.
//! Kubernetes has no codes for most of these; words that are not known end in the class that says least, never in a wrong one.

use super::failures::{Facts, FailureClass};

/// What a text was found to mean.
pub(super) type Meaning = (FailureClass, Facts);

/// The text between two others.
pub(super) fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let rest = text.split_once(before)?.1;
    Some(rest.split_once(after)?.0)
}

fn has(text: &str, words: &[&str]) -> bool {
    words.iter().any(|word| text.contains(word))
}

fn facts<const N: usize>(all: [(&'static str, Option<&str>); N]) -> Facts {
    let named = all.into_iter();
    named
        .filter_map(|(name, value)| Some((name, value?.to_owned())))
        .collect()
}

/// What a node says about an image that it cannot pull.
pub(super) fn image_class(message: &str) -> FailureClass {
    let message = message.to_ascii_lowercase();
    if has(
        &message,
        &[
            "no match for platform",
            "does not match the specified platform",
            "no matching manifest",
        ],
    ) {
        FailureClass::ImagePlatform
    } else if has(
        &message,
        &[
            "toomanyrequests",
            "rate limit",
            "429 too many",
            "too many requests",
        ],
    ) {
        FailureClass::RegistryLimit
    } else if has(
        &message,
        &[
            "unauthorized",
            "denied",
            "authorization failed",
            "authentication required",
            "no basic auth credentials",
            "401",
            "403 forbidden",
        ],
    ) {
        FailureClass::ImageForbidden
    } else if has(
        &message,
        &[
            "dial tcp",
            "no such host",
            "connection refused",
            "connection reset",
            "i/o timeout",
            "tls handshake",
            "x509:",
            "server gave http response to https client",
        ],
    ) {
        FailureClass::RegistryUnreachable
    } else if has(
        &message,
        &[
            "not found",
            "manifest unknown",
            "name unknown",
            "does not exist",
        ],
    ) {
        FailureClass::ImageMissing
    } else {
        FailureClass::ImagePull
    }
}

/// The registry that an image's name leads to; Docker Hub where it names none.
pub(super) fn registry(image: &str) -> &str {
    match image.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => host,
        _ => "docker.io",
    }
}

/// What a node says about a container that it may not create: `secret "x" not found`, `couldn't find key k in Secret ns/x`.
pub(super) fn config_meaning(message: &str) -> Meaning {
    for (word, kind) in [("secret", "Secret"), ("configmap", "ConfigMap")] {
        if let Some(name) = between(message, &format!("{word} \""), "\" not found") {
            let found = facts([("kind", Some(kind)), ("reference", Some(name))]);
            return (FailureClass::ReferenceMissing, found);
        }
    }
    if let Some((key, place)) = message
        .split_once("couldn't find key ")
        .and_then(|(_, rest)| rest.split_once(" in "))
        && let Some((kind, path)) = place.split_once(' ')
    {
        let name = path.rsplit('/').next().unwrap_or(path);
        let found = facts([
            ("key", Some(key)),
            ("kind", Some(kind)),
            ("reference", Some(name.trim_end_matches(['.', ')']))),
        ]);
        return (FailureClass::KeyMissing, found);
    }
    if has(
        message,
        &["runAsNonRoot", "run as root", "non-numeric user"],
    ) {
        return (FailureClass::RunsAsRoot, Facts::new());
    }
    (FailureClass::ContainerConfig, Facts::new())
}

/// What a node says about a command that it cannot start.
pub(super) fn start_class(message: &str) -> FailureClass {
    let message = message.to_ascii_lowercase();
    let missing = ["executable file not found", "no such file or directory"];
    // A path of a mount may be missing as well; only of a command is it said so.
    let command = has(
        &message,
        &[
            "exec: \"",
            "exec user process",
            "unable to start container process",
        ],
    );
    if has(&message, &missing) && (command || !message.contains("mount")) {
        FailureClass::CommandMissing
    } else if message.contains("permission denied") && command {
        FailureClass::CommandDenied
    } else {
        FailureClass::ContainerStart
    }
}

/// What a node says about a volume that it cannot mount.
pub(super) fn volume_meaning(reason: &str, message: &str) -> Meaning {
    for (word, kind) in [("secret", "Secret"), ("configmap", "ConfigMap")] {
        if let Some(name) = between(message, &format!("{word} \""), "\" not found") {
            let found = facts([("kind", Some(kind)), ("reference", Some(name))]);
            return (FailureClass::VolumeReference, found);
        }
    }
    if let Some((_, key)) = message
        .rsplit_once("references non-existent config key: ")
        .or_else(|| message.rsplit_once("references non-existent secret key: "))
    {
        return (FailureClass::VolumeKey, facts([("key", Some(key.trim()))]));
    }
    let lowered = message.to_ascii_lowercase();
    let slow = has(
        &lowered,
        &[
            "timed out",
            "timeout expired",
            "deadlineexceeded",
            "deadline exceeded",
            "multi-attach",
        ],
    );
    if reason == "FailedAttachVolume" || slow {
        return (FailureClass::VolumeSlow, Facts::new());
    }
    (FailureClass::Volume, Facts::new())
}

/// What is said about a claim that gets no volume.
pub(super) fn claim_meaning(message: &str) -> Meaning {
    if let Some(class) = between(message, "storageclass.storage.k8s.io \"", "\" not found") {
        return (
            FailureClass::ClaimClassMissing,
            facts([("storage_class", Some(class))]),
        );
    }
    if message.contains("no storage class is set") {
        return (FailureClass::ClaimNoClass, Facts::new());
    }
    (FailureClass::ClaimPending, Facts::new())
}

/// What a scheduler says about a pod that fits nowhere.
pub(super) fn unschedulable_meaning(message: &str) -> Meaning {
    if let Some(claim) = between(message, "persistentvolumeclaim \"", "\" not found") {
        return (FailureClass::ClaimMissing, facts([("claim", Some(claim))]));
    }
    let fault = message.split_once(". ").map_or(message, |(first, _)| first);
    let found = facts([("fault", Some(fault.trim_end_matches('.')))]);
    let class = if message.contains("unbound immediate PersistentVolumeClaims") {
        FailureClass::ClaimPending
    } else if message.contains("Insufficient ") {
        FailureClass::UnschedulableResources
    } else if has(
        message,
        &[
            "didn't match Pod's node affinity/selector",
            "didn't match node selector",
        ],
    ) {
        FailureClass::UnschedulableSelector
    } else if message.contains("untolerated taint") {
        FailureClass::UnschedulableTaint
    } else {
        FailureClass::Unschedulable
    };
    (class, found)
}

/// What the API server says about an object, or pods of one, that it does not let be made.
pub(super) fn refusal_meaning(message: &str) -> Option<Meaning> {
    let fault = message
        .split_once(" is forbidden: ")
        .map_or(message, |(_, fault)| fault);
    if message.contains("exceeded quota") {
        return Some((FailureClass::Quota, quota(message)));
    }
    if let Some(rest) = message.split_once("failed quota: ") {
        let (name, must) = rest.1.split_once(": ").unwrap_or(("", rest.1));
        let found = facts([("quota", Some(name)), ("fault", Some(must))]);
        return Some((FailureClass::QuotaUnspecified, found));
    }
    if let Some((_, rest)) = message.split_once("violates PodSecurity \"") {
        let (level, fault) = rest.split_once("\": ").unwrap_or((rest, rest));
        let level = level.split(':').next();
        let found = facts([("level", level), ("fault", Some(fault))]);
        return Some((FailureClass::PodSecurity, found));
    }
    if let Some(policy) = between(message, "ValidatingAdmissionPolicy '", "'") {
        let fault = message
            .split_once("denied request: ")
            .map(|(_, fault)| fault);
        let found = facts([("policy", Some(policy)), ("fault", fault.or(Some("")))]);
        return Some((FailureClass::AdmissionPolicy, found));
    }
    if let Some(webhook) = between(message, "admission webhook \"", "\" denied the request") {
        let fault = message
            .split_once("denied the request")
            .map(|(_, fault)| fault.trim_start_matches([':', ' ']));
        let found = facts([("policy", Some(webhook)), ("fault", fault)]);
        return Some((FailureClass::AdmissionWebhook, found));
    }
    if message.contains("serviceaccount ") && message.contains("not found") {
        let account = between(message, "serviceaccount \"", "\"");
        return Some((FailureClass::ServiceAccount, facts([("account", account)])));
    }
    let range = has(
        message,
        &[
            "usage per Container",
            "usage per Pod",
            "usage per PersistentVolumeClaim",
            "max limit to request ratio",
        ],
    );
    if range {
        return Some((FailureClass::LimitRange, facts([("fault", Some(fault))])));
    }
    let refused = has(
        message,
        &[
            "is forbidden",
            "denied the request",
            "denied request",
            "is invalid",
        ],
    );
    refused.then(|| (FailureClass::Admission, facts([("fault", Some(fault))])))
}

/// What a controller says about pods that it cannot create.
pub(super) fn create_meaning(message: &str) -> Meaning {
    refusal_meaning(message).unwrap_or((FailureClass::PodCreate, Facts::new()))
}

/// Reads `exceeded quota: q, requested: a=1,b=2, used: a=0,b=0, limited: a=1,b=1`.
fn quota(message: &str) -> Facts {
    let rest = message
        .split_once("exceeded quota: ")
        .map_or("", |(_, rest)| rest);
    let part = |from: &str, to: &str| {
        let text = rest.split_once(from)?.1;
        let text = text.split_once(to).map_or(text, |(part, _)| part);
        Some(text.trim().replace('=', " ").replace(',', " and "))
    };
    let name = rest.split(',').next().unwrap_or_default();
    let (asked, used, hard) = (
        part("requested: ", ", used: "),
        part("used: ", ", limited: "),
        part("limited: ", "\n"),
    );
    let mut found = facts([("quota", Some(name))]);
    if let (Some(asked), Some(used), Some(hard)) = (asked, used, hard) {
        found.extend([("asked", asked), ("used", used), ("hard", hard)]);
    }
    found
}

/// What an exit code means, where it means the same for every program.
pub(super) fn exit_meaning(code: i64) -> Option<&'static str> {
    Some(match code {
        0 => "it ended by itself without an error",
        1 => "the program reported an error",
        2 => "the program reported wrong usage or an error",
        126 => "a command was found that may not be executed",
        127 => "a command was not found",
        132 => "the processor does not know an instruction of it (SIGILL)",
        134 => "it aborted itself (SIGABRT)",
        136 => "it divided by zero or the like (SIGFPE)",
        137 => "it was killed from outside (SIGKILL)",
        139 => "it used memory that is not its own (SIGSEGV)",
        143 => "it was asked to stop (SIGTERM)",
        _ => return None,
    })
}

/// True for a probe that met an end of the node's own connection in place of an answer.
///
/// Go's HTTP client words it like this when an idle connection ends at the wrong moment (`net/http`, `Transport.readLoop`).
pub(super) fn is_about_the_connection(message: &str) -> bool {
    message.contains("readLoopPeekFailLocked")
}

/// What a node's `Unhealthy` event says that a probe got for an answer.
pub(super) fn probe_answer(message: &str) -> String {
    let said = message
        .split_once("probe failed: ")
        .or_else(|| message.split_once("probe errored and resulted in unknown state: "))
        .map_or(message, |(_, said)| said);
    if let Some((_, status)) = said.split_once("statuscode: ") {
        return format!("it answers {}", status.trim());
    }
    if said.contains("connection refused") {
        return "nothing listens there".into();
    }
    if has(
        said,
        &[
            "Client.Timeout",
            "context deadline exceeded",
            "i/o timeout",
            "timeout",
        ],
    ) {
        return "there is no answer in time".into();
    }
    let first = said.lines().next().unwrap_or_default().trim();
    format!("the node says: {}", crate::names::cut(first, 200))
}

#[cfg(test)]
mod tests;
