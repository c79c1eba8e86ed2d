//! What kubelet, scheduler and admission say, and what it means to us.

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
