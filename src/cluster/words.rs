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
    format!(
        "the node says: {}",
        first.chars().take(200).collect::<String>()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn facts(named: &[(&'static str, &str)]) -> Facts {
        let owned = named.iter();
        owned
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect()
    }

    #[rstest]
    #[case(
        r#"failed to resolve reference "localhost:5000/app:x": localhost:5000/app:x: not found"#,
        FailureClass::ImageMissing
    )]
    #[case("manifest unknown: manifest unknown", FailureClass::ImageMissing)]
    #[case(
        "pull access denied, repository does not exist or may require authorization",
        FailureClass::ImageForbidden
    )]
    #[case(
        "unexpected status from HEAD request: 403 Forbidden",
        FailureClass::ImageForbidden
    )]
    #[case(
        "no match for platform in manifest: not found",
        FailureClass::ImagePlatform
    )]
    #[case(
        "toomanyrequests: You have reached your pull rate limit",
        FailureClass::RegistryLimit
    )]
    #[case(
        "dial tcp 10.0.0.1:5000: connect: connection refused",
        FailureClass::RegistryUnreachable
    )]
    #[case(
        "dial tcp: lookup registry.invalid: no such host",
        FailureClass::RegistryUnreachable
    )]
    #[case(
        "unexpected status: 500 Internal Server Error",
        FailureClass::ImagePull
    )]
    fn the_words_of_registries_are_told_apart(#[case] words: &str, #[case] class: FailureClass) {
        assert_eq!(image_class(words), class);
    }

    #[rstest]
    #[case(
        r#"pods "q-1" is forbidden: exceeded quota: q, requested: limits.cpu=2,pods=1, used: limits.cpu=3,pods=1, limited: limits.cpu=4,pods=1"#,
        FailureClass::Quota,
        &[("quota", "q"), ("asked", "limits.cpu 2 and pods 1"), ("used", "limits.cpu 3 and pods 1"), ("hard", "limits.cpu 4 and pods 1")]
    )]
    #[case(
        r#"pods "q-1" is forbidden: failed quota: q: must specify requests.cpu"#,
        FailureClass::QuotaUnspecified,
        &[("quota", "q"), ("fault", "must specify requests.cpu")]
    )]
    #[case(
        r#"pods "w-1" is forbidden: error looking up service account pr-1/x: serviceaccount "x" not found"#,
        FailureClass::ServiceAccount,
        &[("account", "x")]
    )]
    #[case(
        r#"pods "w-1" is forbidden: violates PodSecurity "restricted:latest": host ports (container "c")"#,
        FailureClass::PodSecurity,
        &[("level", "restricted"), ("fault", r#"host ports (container "c")"#)]
    )]
    #[case(
        r#"deployments.apps "dl" is forbidden: ValidatingAdmissionPolicy 'teams' with binding 'all' denied request: no team"#,
        FailureClass::AdmissionPolicy,
        &[("policy", "teams"), ("fault", "no team")]
    )]
    #[case(
        r#"admission webhook "check.example" denied the request: no"#,
        FailureClass::AdmissionWebhook,
        &[("policy", "check.example"), ("fault", "no")]
    )]
    #[case(
        r#"pods "w-1" is forbidden: maximum memory usage per Container is 64Mi, but limit is 128Mi"#,
        FailureClass::LimitRange,
        &[("fault", "maximum memory usage per Container is 64Mi, but limit is 128Mi")]
    )]
    #[case("etcdserver: request timed out", FailureClass::PodCreate, &[])]
    fn the_words_of_controllers_are_told_apart(
        #[case] words: &str,
        #[case] class: FailureClass,
        #[case] named: &[(&'static str, &str)],
    ) {
        assert_eq!(create_meaning(words), (class, facts(named)));
    }

    #[rstest]
    #[case(r#"secret "db" not found"#, FailureClass::ReferenceMissing, &[("kind", "Secret"), ("reference", "db")])]
    #[case(r#"configmap "db" not found"#, FailureClass::ReferenceMissing, &[("kind", "ConfigMap"), ("reference", "db")])]
    #[case(
        "couldn't find key url in Secret pr-shop-1/db",
        FailureClass::KeyMissing,
        &[("key", "url"), ("kind", "Secret"), ("reference", "db")]
    )]
    #[case("container has runAsNonRoot and image will run as root", FailureClass::RunsAsRoot, &[])]
    #[case("something else", FailureClass::ContainerConfig, &[])]
    fn what_a_container_lacks_is_named(
        #[case] words: &str,
        #[case] class: FailureClass,
        #[case] named: &[(&'static str, &str)],
    ) {
        assert_eq!(config_meaning(words), (class, facts(named)));
    }

    #[rstest]
    #[case(
        "FailedMount",
        r#"MountVolume.SetUp failed for volume "v" : configmap "none" not found"#,
        FailureClass::VolumeReference
    )]
    #[case(
        "FailedMount",
        "MountVolume.SetUp failed for volume \"v\" : references non-existent config key: a.conf",
        FailureClass::VolumeKey
    )]
    #[case(
        "FailedMount",
        "Unable to attach or mount volumes: timed out waiting for the condition",
        FailureClass::VolumeSlow
    )]
    #[case(
        "FailedAttachVolume",
        "Multi-Attach error for volume",
        FailureClass::VolumeSlow
    )]
    #[case("FailedMount", "wrong fs type", FailureClass::Volume)]
    fn the_words_about_volumes_are_told_apart(
        #[case] reason: &str,
        #[case] words: &str,
        #[case] class: FailureClass,
    ) {
        assert_eq!(volume_meaning(reason, words).0, class);
    }

    #[rstest]
    #[case(
        "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate",
        FailureClass::UnschedulableResources
    )]
    #[case(
        "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.",
        FailureClass::UnschedulableSelector
    )]
    #[case(
        "0/1 nodes are available: 1 node(s) had untolerated taint {a: b}.",
        FailureClass::UnschedulableTaint
    )]
    #[case(
        "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims.",
        FailureClass::ClaimPending
    )]
    #[case(
        r#"0/1 nodes are available: persistentvolumeclaim "data" not found."#,
        FailureClass::ClaimMissing
    )]
    #[case(
        "0/1 nodes are available: 1 node(s) were unschedulable.",
        FailureClass::Unschedulable
    )]
    fn the_words_of_the_scheduler_are_told_apart(#[case] words: &str, #[case] class: FailureClass) {
        assert_eq!(unschedulable_meaning(words).0, class);
    }

    #[rstest]
    #[case(
        "Readiness probe failed: HTTP probe failed with statuscode: 500",
        "it answers 500"
    )]
    #[case(r#"Readiness probe failed: Get "http://10.88.1.2:81/": dial tcp 10.88.1.2:81: connect: connection refused"#, "nothing listens there")]
    #[case(r#"Liveness probe failed: Get "http://10.88.1.2/": context deadline exceeded (Client.Timeout exceeded while awaiting headers)"#, "there is no answer in time")]
    #[case("Readiness probe failed: psql: no\nmore", "the node says: psql: no")]
    fn the_answer_of_a_probe_is_told(#[case] words: &str, #[case] answer: &str) {
        assert_eq!(probe_answer(words), answer);
    }

    #[rstest]
    #[case(
        "exec: \"/nothing\": stat /nothing: no such file or directory: unknown",
        FailureClass::CommandMissing
    )]
    #[case(
        "exec: \"nothing\": executable file not found in $PATH",
        FailureClass::CommandMissing
    )]
    #[case(
        "unable to start container process: exec: \"/etc\": permission denied",
        FailureClass::CommandDenied
    )]
    #[case(
        "error mounting \"/x\" to rootfs: no such file or directory",
        FailureClass::ContainerStart
    )]
    #[case("cannot set user", FailureClass::ContainerStart)]
    fn why_a_command_does_not_start_is_told(#[case] words: &str, #[case] class: FailureClass) {
        assert_eq!(start_class(words), class);
    }

    #[test]
    fn a_name_without_a_registry_is_docker_hubs() {
        for (image, host) in [
            ("nginx", "docker.io"),
            ("acme/web:1", "docker.io"),
            ("localhost/web", "localhost"),
            ("127.0.0.1:5000/web:1", "127.0.0.1:5000"),
            ("ghcr.io/acme/web", "ghcr.io"),
        ] {
            assert_eq!(registry(image), host);
        }
    }
}
