//! Turns a class of failure into its reason code, its grace and its two sentences.
//! It knows no cluster; the facts that go into a sentence are its arguments.
//! All classes stand in one table, so that none can lack a sentence or a code.

use crate::{
    manifests::{Origin, Place},
    names::{ObjectId, ReasonCode},
    yaml,
};
use minijinja::{Environment, UndefinedBehavior};
use serde_json::Value;
use std::{collections::BTreeMap, time::Duration};

/// The sentences, by class.
const SENTENCES: &str = include_str!("../../templates/failures.yaml");

/// Restarts after which a crash loop will not mend itself: a pod that waits for its database needs one or two.
pub(super) const RESTARTS: i64 = 3;
/// The same for exits that waiting cannot mend.
pub(super) const RESTARTS_HOPELESS: i64 = 2;

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
    ImagePlatform = "image-platform", ImagePlatform, 15, false;
    ImageName = "image-name", ImageName, 0, false;
    ImageNotOnNode = "image-not-on-node", ImageMissing, 0, false;
    /// Registries go down for a moment and limit rates.
    RegistryUnreachable = "registry-unreachable", RegistryUnreachable, 90, false;
    RegistryLimit = "registry-limit", RegistryLimit, 90, false;
    ImagePull = "image-pull", ImagePull, 90, false;
    /// Its threshold of restarts is grace enough.
    CrashLoop = "crash-loop", CrashLoop, 0, true;
    InitFailed = "init-failed", InitContainerFailed, 0, true;
    /// Told when time is up.
    InitStuck = "init-stuck", TimedOut, 0, true;
    CommandMissing = "command-missing", CommandMissing, 20, false;
    CommandDenied = "command-denied", CommandMissing, 20, false;
    OutOfMemory = "out-of-memory", OutOfMemory, 0, true;
    Liveness = "liveness", ProbeFailing, 0, true;
    Startup = "startup", ProbeFailing, 0, true;
    /// Told when time is up: readiness may come at any moment.
    Readiness = "readiness", TimedOut, 0, true;
    ReferenceMissing = "reference-missing", ContainerConfig, 20, false;
    KeyMissing = "key-missing", ContainerConfig, 20, false;
    RunsAsRoot = "runs-as-root", ContainerConfig, 20, false;
    ContainerConfig = "container-config", ContainerConfig, 20, false;
    ContainerStart = "container-start", ContainerConfig, 20, true;
    Sandbox = "sandbox", NodeFailed, 120, false;
    VolumeReference = "volume-reference", VolumeFailed, 60, false;
    VolumeKey = "volume-key", VolumeFailed, 60, false;
    Volume = "volume", VolumeFailed, 60, false;
    /// Volumes move from node to node within minutes.
    VolumeSlow = "volume-slow", VolumeFailed, 180, false;
    ClaimMissing = "claim-missing", VolumeFailed, 60, false;
    ClaimClassMissing = "claim-class-missing", VolumeFailed, 60, false;
    ClaimNoClass = "claim-no-class", VolumeFailed, 60, false;
    ClaimPending = "claim-pending", VolumeFailed, 60, false;
    /// Another pod may end meanwhile.
    Quota = "quota", QuotaExceeded, 30, false;
    QuotaUnspecified = "quota-unspecified", QuotaExceeded, 10, false;
    LimitRange = "limit-range", AdmissionRefused, 10, false;
    PodSecurity = "pod-security", AdmissionRefused, 10, false;
    AdmissionPolicy = "admission-policy", AdmissionRefused, 10, false;
    AdmissionWebhook = "admission-webhook", AdmissionRefused, 10, false;
    Admission = "admission", AdmissionRefused, 10, false;
    ServiceAccount = "service-account", ServiceAccountMissing, 15, false;
    PodCreate = "pod-create", RolloutFailed, 30, false;
    /// A cluster autoscaler may bring a node.
    UnschedulableResources = "unschedulable-resources", Unschedulable, 60, false;
    UnschedulableSelector = "unschedulable-selector", Unschedulable, 60, false;
    UnschedulableTaint = "unschedulable-taint", Unschedulable, 60, false;
    Unschedulable = "unschedulable", Unschedulable, 60, false;
    JobFailed = "job-failed", JobFailed, 0, true;
    JobDeadline = "job-deadline", JobDeadline, 0, true;
    PodFailed = "pod-failed", RolloutFailed, 0, true;
    PodEvicted = "pod-evicted", RolloutFailed, 0, false;
    RolloutStalled = "rollout-stalled", RolloutFailed, 0, true;
    ObjectFailed = "object-failed", RolloutFailed, 0, false;
    Deleted = "deleted", RolloutFailed, 0, false;
    TimedOut = "timed-out", TimedOut, 0, true;
    /// The API server said no to the object itself; these answers have finer codes of their own.
    Field = "field", BadManifest, 0, false;
    Immutable = "immutable", BadManifest, 0, false;
    Forbidden = "forbidden", ClusterForbidden, 0, false;
    Refused = "refused", ClusterRefused, 0, false;
    /// A warning, not a failure.
    SelectorEmpty = "selector-empty", RolloutFailed, 0, false;
}

impl FailureClass {
    /// True where another image is what mends it.
    fn is_of_images(self) -> bool {
        matches!(
            self,
            Self::ImageMissing
                | Self::ImageForbidden
                | Self::ImagePlatform
                | Self::ImageName
                | Self::RegistryUnreachable
                | Self::RegistryLimit
                | Self::ImagePull
        )
    }

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
        let table: BTreeMap<String, BTreeMap<String, String>> = yaml::parse_typed(SENTENCES)
            .map_err(|error| {
                minijinja::Error::new(minijinja::ErrorKind::SyntaxError, error.to_string())
            })?;
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        let mut facts = facts.clone();
        if let Some(service) = facts.get("by_images")
            && !self.is_of_images()
        {
            // All that the input can say is which image there is.
            let place = format!("services.{service} of a configuration file (input config)");
            facts.insert("where", place);
        }
        let sentence = |which: &str| {
            let text = table.get(self.key()).and_then(|entry| entry.get(which));
            environment.render_str(text.map_or("", String::as_str), &facts)
        };
        // The cluster's own words end in a full stop, and ours are joined into annotations and logs.
        let open = |text: String| text.trim_end_matches(['.', ';', ' ', '\n']).to_owned();
        Ok((open(sentence("cause")?), open(sentence("remedy")?)))
    }
}

/// The place that has to change: file and line, the service in the configuration, or the input `images`.
pub(super) fn place(origin: &Origin, object: &Value) -> String {
    let lined = |text: String| match origin.line {
        0 => text,
        line => format!("{text}, line {line}"),
    };
    match origin.place() {
        Place::File(file) => lined(file.into()),
        Place::Service(file, service) => lined(format!("services.{service} of {file}")),
        Place::Configuration(file) => lined(file.into()),
        Place::Images(service) => format!("service {service} of the input images"),
        Place::BuiltIn => {
            let service = object["metadata"]["labels"]["app.kubernetes.io/name"].as_str();
            match service {
                Some(service) => format!("services.{service} of the configuration"),
                None => "the configuration".into(),
            }
        }
    }
}

/// The facts that every sentence about an object may name.
pub(super) fn about(id: &ObjectId, origin: &Origin, object: &Value) -> Facts {
    let place = place(origin, object);
    let mut facts = Facts::from([("object", id.to_string()), ("where", place)]);
    match origin.place() {
        Place::File(_) => {}
        Place::Service(file, _) | Place::Configuration(file) => {
            facts.insert("config", file.into());
            facts.insert("built_in", "yes".into());
        }
        Place::Images(service) => {
            facts.insert("by_images", service.into());
            facts.insert("built_in", "yes".into());
        }
        Place::BuiltIn => {
            facts.insert("built_in", "yes".into());
        }
    }
    facts
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    /// Facts that a class may count on, beside what [`about`] says.
    const USUAL: [&str; 20] = [
        "message",
        "time",
        "container",
        "image",
        "remedy",
        "role",
        "subject",
        "kind",
        "reference",
        "key",
        "claim",
        "storage_class",
        "level",
        "policy",
        "fault",
        "asked",
        "used",
        "hard",
        "rule",
        "selector",
    ];

    #[test]
    fn every_class_has_both_sentences_with_and_without_its_facts() {
        let more = [
            "exit_code",
            "meaning",
            "limit",
            "restarts",
            "built_in",
            "by_images",
            "config",
            "registry",
            "replica",
            "probe",
            "answer",
            "quota",
            "account",
            "deadline",
            "field",
            "annotation",
        ];
        let named = |name| (name, format!("<{name}>"));
        let mut least: Facts = USUAL.map(named).into();
        least.extend(["object", "where"].map(named));
        let mut most = least.clone();
        most.extend(more.map(named));
        // The scheduler and admission end what they say in a full stop.
        let mut stopped = most.clone();
        for (_, told) in stopped.iter_mut() {
            told.push('.');
        }
        for class in FailureClass::ALL {
            for facts in [&least, &most, &stopped] {
                let (cause, remedy) = class.render(facts).unwrap();
                for sentence in [&cause, &remedy] {
                    let first = sentence.chars().next().unwrap();
                    assert!(
                        !sentence.ends_with(['.', ';', ' '])
                            && !sentence.contains("  ")
                            && !sentence.contains('\n')
                            && (first.is_lowercase() || first == '<'),
                        "{class:?}: {sentence:?}"
                    );
                }
                assert!(
                    cause.contains("<object>") || cause.contains("<subject>"),
                    "{class:?}: {cause}"
                );
            }
        }
    }

    #[test]
    fn the_remedy_of_a_crash_depends_on_its_code() {
        let mut remedies = BTreeMap::new();
        for code in ["1", "126", "127", "137", "139", "0"] {
            let facts = ["object", "message", "container", "image", "where", "role"];
            let mut facts: Facts = facts.map(|name| (name, name.to_owned())).into();
            facts.insert("exit_code", code.to_owned());
            remedies.insert(FailureClass::CrashLoop.sentences(&facts).1, code);
        }
        assert_eq!(remedies.len(), 6, "{remedies:?}");
    }

    #[test]
    fn a_place_is_the_users_own() {
        let origin = |file: &str| Origin {
            file: file.into(),
            line: 3,
        };
        let labels = serde_json::json!({"metadata": {"labels": {"app.kubernetes.io/name": "web"}}});
        let config = "deploy/preview.yml";
        for (origin, expected) in [
            (origin("deploy/web.yaml"), "deploy/web.yaml, line 3"),
            (
                Origin::service(config, "web", 4),
                "services.web of deploy/preview.yml, line 4",
            ),
            (Origin::configuration(config), config),
            (Origin::images("web"), "service web of the input images"),
            (
                origin("built-in/deployment.yaml.j2"),
                "services.web of the configuration",
            ),
        ] {
            assert_eq!(place(&origin, &labels), expected);
        }
        let own = origin("built-in/deployment.yaml.j2");
        assert_eq!(place(&own, &Value::Null), "the configuration");
    }

    #[test]
    fn a_place_in_an_older_commit_names_the_commit_and_no_line() {
        let sha = "abc1234".repeat(6)[..40].parse().unwrap();
        let own = Origin {
            file: "deploy/web.yaml".into(),
            line: 3,
        };
        for (origin, expected, shown) in [
            (
                own,
                "deploy/web.yaml (as of abc1234)",
                Some("deploy/web.yaml (as of abc1234)"),
            ),
            (
                Origin::service("preview.yml", "web", 4),
                "services.web of preview.yml (as of abc1234)",
                Some("preview.yml (as of abc1234)"),
            ),
            (
                Origin::images("web"),
                "service web of the input images",
                None,
            ),
        ] {
            let older = origin.as_of(&sha);
            assert_eq!(place(&older, &Value::Null), expected);
            assert_eq!(older.shown().as_deref(), shown);
        }
    }

    #[test]
    fn no_remedy_names_a_configuration_file_that_is_not_there() {
        let id = ObjectId {
            group: "apps".into(),
            version: "v1".into(),
            kind: "Deployment".into(),
            name: "web".into(),
        };
        for (origin, file) in [
            (Origin::images("web"), None),
            (Origin::service("ci/web.yml", "web", 4), Some("ci/web.yml")),
        ] {
            let mut facts = about(&id, &origin, &Value::Null);
            facts.extend(USUAL.map(|name| (name, "x".into())));
            for class in FailureClass::ALL {
                let (cause, remedy) = class.sentences(&facts);
                let said = format!("{cause}; {remedy}");
                assert!(!said.contains(".github/preview.yml"), "{class:?}: {said}");
                if *class == FailureClass::Quota {
                    let config = file.unwrap_or("a configuration file (input config)");
                    assert!(said.contains(&format!("raise quota in {config}")), "{said}");
                }
            }
            let (_, remedy) = FailureClass::ImageMissing.sentences(&facts);
            assert_eq!(
                remedy.contains("service web of the input images"),
                file.is_none(),
                "{remedy}"
            );
            let (_, remedy) = FailureClass::OutOfMemory.sentences(&facts);
            let place = match file {
                Some(file) => format!("services.web of {file}, line 4"),
                None => "services.web of a configuration file (input config)".into(),
            };
            assert!(remedy.contains(&place), "{remedy}");
        }
    }

    #[test]
    fn the_table_has_no_sentence_without_a_class() {
        let table: BTreeMap<String, Value> = yaml::parse_typed(SENTENCES).unwrap();
        let keys: std::collections::BTreeSet<_> =
            FailureClass::ALL.iter().map(|class| class.key()).collect();
        assert_eq!(table.len(), keys.len());
    }
}
