//! Turns a class of failure into its reason code, its grace and its two sentences.
//! It knows no cluster; the facts that go into a sentence are its arguments.
//! All classes stand in one table, so that none can lack a sentence or a code.

use crate::names::ReasonCode;
use minijinja::{Environment, UndefinedBehavior};
use std::{collections::BTreeMap, time::Duration};

/// The sentences, by class.
const SENTENCES: &str = include_str!("../../templates/failures.yaml");

/// Facts that sentences may name.
pub(super) type Facts = BTreeMap<&'static str, String>;

macro_rules! classes {
    ($($(#[$doc:meta])* $name:ident = $key:literal, $reason:ident, $grace:literal, $log:literal;)*) => {
        /// A way in which a workload fails.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub(super) enum FailureClass { $($(#[$doc])* $name,)* }

        impl FailureClass {
            #[cfg(test)]
            pub(super) const ALL: &[Self] = &[$(Self::$name,)*];

            /// Key in the table of sentences.
            pub(super) fn key(self) -> &'static str {
                match self { $(Self::$name => $key,)* }
            }

            pub(super) fn reason(self) -> ReasonCode {
                match self { $(Self::$name => ReasonCode::$reason,)* }
            }

            /// For how long it must last before it counts: what heals by itself is no failure.
            pub(super) fn grace(self) -> Duration {
                Duration::from_secs(match self { $(Self::$name => $grace,)* })
            }

            /// Whether a container's log lines can say why.
            pub(super) fn has_log(self) -> bool {
                match self { $(Self::$name => $log,)* }
            }
        }
    };
}

classes! {
    /// The registry knows no such image. A push may lag behind the deploy by some seconds.
    ImageMissing = "image-missing", ImageMissing, 15, false;
    /// The registry wants another credential. The pull secret may be applied a moment later.
    ImageForbidden = "image-forbidden", ImageForbidden, 20, false;
    ImagePlatform = "image-platform", ImagePull, 15, false;
    ImageName = "image-name", ImagePull, 0, false;
    /// Registries go down for a moment and limit rates.
    ImagePull = "image-pull", ImagePull, 90, false;
    /// Its threshold of restarts is grace enough.
    CrashLoop = "crash-loop", CrashLoop, 0, true;
    CommandMissing = "command-missing", CrashLoop, 20, false;
    OutOfMemory = "out-of-memory", OutOfMemory, 0, true;
    ContainerConfig = "container-config", ContainerConfig, 20, false;
    ContainerStart = "container-start", ContainerConfig, 20, true;
    Volume = "volume", ContainerConfig, 60, false;
    Quota = "quota", QuotaExceeded, 10, false;
    Admission = "admission", AdmissionRefused, 10, false;
    ServiceAccount = "service-account", ContainerConfig, 15, false;
    PodCreate = "pod-create", RolloutFailed, 30, false;
    /// A cluster autoscaler may bring a node.
    Unschedulable = "unschedulable", Unschedulable, 60, false;
    JobFailed = "job-failed", JobFailed, 0, true;
    PodFailed = "pod-failed", RolloutFailed, 0, true;
    RolloutStalled = "rollout-stalled", RolloutFailed, 0, true;
    ObjectFailed = "object-failed", RolloutFailed, 0, false;
    Deleted = "deleted", RolloutFailed, 0, false;
    TimedOut = "timed-out", TimedOut, 0, true;
    /// The API server said no to the object itself; the answer has a finer code.
    Refused = "refused", ClusterRefused, 0, false;
}

impl FailureClass {
    /// Cause and remedy, one sentence each.
    pub(super) fn sentences(self, facts: &Facts) -> (String, String) {
        let rendered = self.render(facts);
        // The table is checked by tests for every class; the cluster's own words are better than nothing.
        rendered.unwrap_or_else(|_| {
            let message = facts.get("message").cloned().unwrap_or_default();
            (message, String::new())
        })
    }

    fn render(self, facts: &Facts) -> Result<(String, String), minijinja::Error> {
        let table: BTreeMap<String, BTreeMap<String, String>> = serde_saphyr::from_str(SENTENCES)
            .map_err(|error| {
            let text = error.without_snippet().to_string();
            minijinja::Error::new(minijinja::ErrorKind::SyntaxError, text)
        })?;
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        let sentence = |which: &str| {
            let text = table.get(self.key()).and_then(|entry| entry.get(which));
            environment.render_str(text.map_or("", String::as_str), facts)
        };
        Ok((sentence("cause")?, sentence("remedy")?))
    }
}

/// What a node says about an image that it cannot pull.
pub(super) fn image_class(message: &str) -> FailureClass {
    let message = message.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| message.contains(word));
    if has(&[
        "no match for platform",
        "does not match the specified platform",
    ]) {
        FailureClass::ImagePlatform
    } else if has(&["toomanyrequests", "rate limit", "429 too many"]) {
        FailureClass::ImagePull
    } else if has(&[
        "unauthorized",
        "denied",
        "authorization failed",
        "authentication required",
        "401",
        "403 forbidden",
    ]) {
        FailureClass::ImageForbidden
    } else if has(&[
        "not found",
        "manifest unknown",
        "name unknown",
        "does not exist",
    ]) {
        FailureClass::ImageMissing
    } else {
        FailureClass::ImagePull
    }
}

/// What a controller says about pods that it cannot create.
pub(super) fn create_class(message: &str) -> FailureClass {
    let has = |words: &[&str]| words.iter().any(|word| message.contains(word));
    if has(&["exceeded quota", "failed quota"]) {
        FailureClass::Quota
    } else if message.contains("serviceaccount ") && message.contains("not found") {
        FailureClass::ServiceAccount
    } else if has(&[
        "is forbidden",
        "denied the request",
        "denied request",
        "is invalid",
        "violates PodSecurity",
    ]) {
        FailureClass::Admission
    } else {
        FailureClass::PodCreate
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn every_class_has_both_sentences_with_and_without_its_facts() {
        let least = Facts::from([
            ("object", "Deployment/web".to_owned()),
            ("message", String::new()),
            ("time", "5m".to_owned()),
            ("container", "web".to_owned()),
            ("image", "registry.test/web:1".to_owned()),
            ("remedy", "Correct it".to_owned()),
        ]);
        let mut most = least.clone();
        most.extend([
            ("exit_code", "1".to_owned()),
            ("limit", "64Mi".into()),
            ("restarts", "3".into()),
        ]);
        for class in FailureClass::ALL {
            for facts in [&least, &most] {
                let (cause, remedy) = class.render(facts).unwrap();
                for sentence in [cause, remedy] {
                    assert!(
                        sentence.ends_with('.') && sentence.len() > 10,
                        "{class:?}: {sentence}"
                    );
                }
            }
        }
    }

    #[test]
    fn the_table_has_no_sentence_without_a_class() {
        let table: BTreeMap<String, serde_json::Value> = serde_saphyr::from_str(SENTENCES).unwrap();
        let keys: std::collections::BTreeSet<_> =
            FailureClass::ALL.iter().map(|class| class.key()).collect();
        assert_eq!(table.len(), keys.len());
    }

    #[test]
    fn the_words_of_registries_are_told_apart() {
        for (words, class) in [
            (
                r#"failed to resolve reference "localhost:5000/app:x": localhost:5000/app:x: not found"#,
                FailureClass::ImageMissing,
            ),
            (
                "manifest unknown: manifest unknown",
                FailureClass::ImageMissing,
            ),
            (
                "pull access denied, repository does not exist or may require authorization",
                FailureClass::ImageForbidden,
            ),
            (
                "unexpected status from HEAD request: 403 Forbidden",
                FailureClass::ImageForbidden,
            ),
            (
                "no match for platform in manifest: not found",
                FailureClass::ImagePlatform,
            ),
            (
                "toomanyrequests: You have reached your pull rate limit",
                FailureClass::ImagePull,
            ),
            (
                "dial tcp 10.0.0.1:5000: connect: connection refused",
                FailureClass::ImagePull,
            ),
        ] {
            assert_eq!(image_class(words), class, "{words}");
        }
    }

    #[test]
    fn the_words_of_controllers_are_told_apart() {
        for (words, class) in [
            (
                r#"pods "q-1" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1"#,
                FailureClass::Quota,
            ),
            (
                r#"pods "q-1" is forbidden: failed quota: q: must specify requests.cpu"#,
                FailureClass::Quota,
            ),
            (
                r#"pods "w-1" is forbidden: error looking up service account pr-1/x: serviceaccount "x" not found"#,
                FailureClass::ServiceAccount,
            ),
            (
                r#"pods "w-1" is forbidden: violates PodSecurity "restricted:latest": x"#,
                FailureClass::Admission,
            ),
            ("etcdserver: request timed out", FailureClass::PodCreate),
        ] {
            assert_eq!(create_class(words), class, "{words}");
        }
    }
}
