//! Turns the state of one container, and the events about its probes, into the symptom that it shows.
//! It must not look at other containers or keep time.
//! A container is judged by what the node says of it now and of its last life, for a restart hides the reason within a second.

use super::{
    Tracker,
    revision::{container_spec, containers, text, uid, version},
    symptoms::{ContainerRef, Symptom},
};
use crate::cluster::{
    failures::{Facts, FailureClass, RESTARTS, RESTARTS_HOPELESS},
    words,
};
use serde_json::Value;
use std::time::Duration;

/// What the node says of every container that it could not start at all.
const CANNOT_START: i64 = 128;
/// An init container that still runs is worth a word after this time.
const LONG_INIT: Duration = Duration::from_secs(30);

/// One container as it is seen.
struct Look<'a> {
    pod: &'a Value,
    container: &'a Value,
    spec: Option<&'a Value>,
    is_init: bool,
    restarts: i64,
    /// How its last life ended.
    ended: Option<&'a Value>,
}

impl<'a> Look<'a> {
    fn new(pod: &'a Value, container: &'a Value, is_init: bool) -> Self {
        let name = container["name"].as_str().unwrap_or_default();
        Self {
            pod,
            container,
            spec: container_spec(pod, name, is_init),
            is_init,
            restarts: container["restartCount"].as_i64().unwrap_or(0),
            ended: [
                &container["state"]["terminated"],
                &container["lastState"]["terminated"],
            ]
            .into_iter()
            .find(|ended| ended.is_object()),
        }
    }

    fn state(&self, which: &str) -> &'a Value {
        &self.container["state"][which]
    }

    fn exit(&self) -> Option<i64> {
        self.ended?["exitCode"].as_i64()
    }

    fn ended_by(&self) -> &'a str {
        let reason = self.ended.and_then(|ended| ended["reason"].as_str());
        reason.unwrap_or_default()
    }

    fn last_words(&self) -> &'a str {
        let message = self.ended.and_then(|ended| ended["message"].as_str());
        message.unwrap_or_default()
    }

    fn facts(&self) -> Facts {
        let image = self
            .spec
            .map_or(&self.container["image"], |spec| &spec["image"]);
        let image = text(image);
        let role = if self.is_init {
            "init container"
        } else {
            "container"
        };
        let mut facts = Facts::from([
            ("container", text(&self.container["name"])),
            ("restarts", self.restarts.to_string()),
            ("registry", words::registry(&image).to_owned()),
            ("image", image),
            ("role", role.to_owned()),
        ]);
        if let Some(exit) = self.exit() {
            facts.insert("exit_code", exit.to_string());
            facts.extend(words::exit_meaning(exit).map(|told| ("meaning", told.to_owned())));
        }
        let limit = self.spec.map(|spec| &spec["resources"]["limits"]["memory"]);
        facts.extend(
            limit
                .and_then(Value::as_str)
                .map(|limit| ("limit", limit.to_owned())),
        );
        if self.pod["metadata"]["ownerReferences"][0]["kind"] == "StatefulSet" {
            facts.insert("replica", text(&self.pod["metadata"]["name"]));
        }
        facts
    }

    fn log(&self) -> ContainerRef {
        ContainerRef {
            pod: text(&self.pod["metadata"]["name"]),
            container: text(&self.container["name"]),
            previous: !self.state("terminated").is_object()
                && !self.state("running").is_object()
                && self.container["lastState"]["terminated"].is_object(),
        }
    }
}

/// A class with the words that show it, finer facts and how long it must last.
struct Found {
    class: FailureClass,
    message: String,
    facts: Facts,
    grace: Option<Duration>,
    shown_after: Duration,
}

impl Found {
    fn new(class: FailureClass, message: impl Into<String>) -> Self {
        Self {
            class,
            message: message.into(),
            facts: Facts::new(),
            grace: Some(class.grace()),
            shown_after: Duration::ZERO,
        }
    }

    fn told_at_the_end(self, shown_after: Duration) -> Self {
        Self {
            grace: None,
            shown_after,
            ..self
        }
    }
}

impl Tracker {
    pub(super) fn container_symptom(
        &self,
        index: usize,
        pod: &Value,
        container: &Value,
        is_init: bool,
    ) -> Option<Symptom> {
        let look = Look::new(pod, container, is_init);
        let found = self
            .waiting(&look)
            .or_else(|| unstarted(&look))
            .or_else(|| self.crashed(index, &look))
            .or_else(|| self.running(&look))?;
        let mut facts = look.facts();
        facts.extend(found.facts);
        let log = Some(look.log());
        let mut symptom = self.symptom(index, found.class, found.message, facts, log);
        symptom.grace = found.grace;
        symptom.shown_after = found.shown_after;
        Some(symptom)
    }

    /// What is known of the end of a container.
    pub(super) fn ended(&self, index: usize, of: &ContainerRef) -> Facts {
        let pod = self
            .pods(index)
            .find(|pod| pod["metadata"]["name"] == *of.pod);
        let found = pod.and_then(|pod| {
            let mut all = containers(pod);
            let (container, is_init) = all.find(|(one, _)| one["name"] == *of.container)?;
            Some(Look::new(pod, container, is_init).facts())
        });
        found.unwrap_or_default()
    }

    /// The node waits with it, and says why.
    fn waiting(&self, look: &Look<'_>) -> Option<Found> {
        let waiting = look.state("waiting");
        let reason = waiting["reason"].as_str().unwrap_or_default();
        let message = match waiting["message"].as_str() {
            Some(message) if !message.is_empty() => message.to_owned(),
            _ => reason.to_owned(),
        };
        Some(match reason {
            "InvalidImageName" => Found::new(FailureClass::ImageName, message),
            "ErrImageNeverPull" => Found::new(FailureClass::ImageNotOnNode, message),
            "ErrImagePull" | "ImagePullBackOff" | "RegistryUnavailable" | "ImageInspectError" => {
                let key = (
                    uid(look.pod).unwrap_or_default().to_owned(),
                    text(&look.container["name"]),
                );
                let error = self.pull_errors.get(&key).cloned().unwrap_or(message);
                Found::new(words::image_class(&error), error)
            }
            "CreateContainerConfigError" if message.contains("failed to sync") => return None,
            "CreateContainerConfigError" => {
                let (class, facts) = words::config_meaning(&message);
                Found {
                    facts,
                    ..Found::new(class, message)
                }
            }
            "CreateContainerError" | "RunContainerError" => {
                start_failure(look.restarts, Some(CANNOT_START), message)
            }
            _ => return None,
        })
    }

    /// It ran and ended, and is or will be started again.
    fn crashed(&self, index: usize, look: &Look<'_>) -> Option<Found> {
        let backing_off = look.state("waiting")["reason"] == "CrashLoopBackOff";
        let ended = look.state("terminated").is_object() && look.exit() != Some(0);
        let runs_again = look.state("running").is_object()
            && look.restarts > 0
            && look.exit().is_some_and(|code| code != 0);
        if !(backing_off || ended || runs_again) {
            return None;
        }
        let killed_by = self.killed_by(look.pod, look.container);
        let class = match killed_by {
            _ if look.ended_by() == "OOMKilled" => FailureClass::OutOfMemory,
            Some("liveness") => FailureClass::Liveness,
            Some("startup") => FailureClass::Startup,
            _ if look.is_init => FailureClass::InitFailed,
            _ => FailureClass::CrashLoop,
        };
        let code = look.exit().map(|exit| format!("exited with code {exit}"));
        let said = match class {
            FailureClass::OutOfMemory | FailureClass::CrashLoop | FailureClass::InitFailed => code,
            _ => None,
        };
        let message = said.unwrap_or_else(|| match killed_by {
            Some(probe) => format!("failed its {probe} probe"),
            None => text(&look.state("waiting")["message"]),
        });
        let mut found = Found::new(class, message);
        if let Some(probe) = killed_by {
            found.facts = self.probe_facts(look, probe);
        }
        let hopeless = class == FailureClass::OutOfMemory || look.exit() == Some(127);
        let threshold = if hopeless {
            RESTARTS_HOPELESS
        } else {
            RESTARTS
        };
        // How often a Job tries again is its own business.
        let job = self.targets[index].id.kind == "Job";
        if look.restarts < threshold || runs_again || job {
            found.grace = None;
        }
        Some(found)
    }

    /// It runs and is not ready.
    fn running(&self, look: &Look<'_>) -> Option<Found> {
        if !look.state("running").is_object() || look.container["ready"] == true {
            return None;
        }
        let spec = look.spec?;
        if look.is_init {
            // One that is restarted always is meant to stay.
            let stays = spec["restartPolicy"] == "Always";
            let found = Found::new(FailureClass::InitStuck, "is still running");
            return (!stays).then(|| found.told_at_the_end(LONG_INIT));
        }
        let probe = &spec["readinessProbe"];
        self.probe_event(look.pod, look.container, "Readiness")?;
        let facts = self.probe_facts(look, "readiness");
        let fact = |name: &str| facts.get(name).cloned().unwrap_or_default();
        let message = format!(
            "readiness probe {} fails; {}",
            fact("probe"),
            fact("answer")
        );
        let mut found = Found::new(FailureClass::Readiness, message);
        found.facts = facts;
        Some(found.told_at_the_end(window(probe)))
    }

    /// The probe for which the node has killed a container.
    fn killed_by(&self, pod: &Value, container: &Value) -> Option<&'static str> {
        let name = container["name"].as_str()?;
        let own = uid(pod)?;
        let killed = |probe: &str| {
            let words = format!("Container {name} failed {probe} probe");
            self.events_about(own).any(|event| {
                event["reason"] == "Killing"
                    && event["message"]
                        .as_str()
                        .is_some_and(|said| said.starts_with(&words))
            })
        };
        ["startup", "liveness"]
            .into_iter()
            .find(|probe| killed(probe))
    }

    /// The last event that says how a probe failed; one about the node's own connection only where there is no other.
    fn probe_event(&self, pod: &Value, container: &Value, probe: &str) -> Option<&Value> {
        let name = container["name"].as_str()?;
        let own_field = format!("{{{name}}}");
        let says = format!("{probe} probe");
        self.events_about(uid(pod)?)
            .filter(|event| {
                let field = event["involvedObject"]["fieldPath"].as_str();
                let message = event["message"].as_str().unwrap_or_default();
                event["reason"] == "Unhealthy"
                    && message.starts_with(&says)
                    && field.is_none_or(|field| field.ends_with(&own_field))
            })
            .max_by_key(|event| {
                let message = event["message"].as_str().unwrap_or_default();
                (!words::is_about_the_connection(message), version(event))
            })
    }

    fn probe_facts(&self, look: &Look<'_>, which: &str) -> Facts {
        let (field, word) = match which {
            "liveness" => ("livenessProbe", "Liveness"),
            "startup" => ("startupProbe", "Startup"),
            _ => ("readinessProbe", "Readiness"),
        };
        let probe = look.spec.and_then(|spec| question(&spec[field]));
        let event = self.probe_event(look.pod, look.container, word);
        let answer = event.and_then(|event| event["message"].as_str());
        let facts = [
            ("probe", probe),
            ("answer", answer.map(words::probe_answer)),
        ];
        let known = facts.into_iter();
        known
            .filter_map(|(name, value)| Some((name, value?)))
            .collect()
    }
}

/// The node could not start it at all.
fn unstarted(look: &Look<'_>) -> Option<Found> {
    let failed = matches!(look.ended_by(), "StartError" | "ContainerCannotRun");
    if !failed || look.state("running").is_object() {
        return None;
    }
    Some(start_failure(
        look.restarts,
        look.exit(),
        look.last_words().to_owned(),
    ))
}

fn start_failure(restarts: i64, exit: Option<i64>, message: String) -> Found {
    let class = words::start_class(&message);
    let mut found = Found::new(class, message);
    // The node has one code for everything that it could not start; only its words tell what will never start.
    let transient = class == FailureClass::ContainerStart && exit == Some(CANNOT_START);
    let enough = if transient {
        RESTARTS
    } else {
        RESTARTS_HOPELESS
    };
    if restarts >= enough {
        found.grace = Some(Duration::ZERO);
    }
    found
}

/// What a probe asks, as people say it.
fn question(probe: &Value) -> Option<String> {
    let port = |of: &Value| match &of["port"] {
        Value::String(name) => name.clone(),
        number => number.to_string(),
    };
    if probe["httpGet"].is_object() {
        let get = &probe["httpGet"];
        let scheme = get["scheme"].as_str().unwrap_or("HTTP").to_lowercase();
        let path = get["path"].as_str().unwrap_or("/");
        return Some(format!("GET {scheme}://:{}{path}", port(get)));
    }
    if probe["tcpSocket"].is_object() {
        return Some(format!("TCP :{}", port(&probe["tcpSocket"])));
    }
    if probe["grpc"].is_object() {
        return Some(format!("gRPC :{}", port(&probe["grpc"])));
    }
    let command = probe["exec"]["command"].as_array()?;
    let words: Vec<&str> = command.iter().filter_map(Value::as_str).collect();
    Some(words.join(" "))
}

/// How long a sound container may take until its readiness probe says so, as kubedog counts it.
fn window(probe: &Value) -> Duration {
    let number = |field: &str, usual: u64| probe[field].as_u64().unwrap_or(usual);
    let (period, answer) = (number("periodSeconds", 10), number("timeoutSeconds", 1));
    let tries = number("failureThreshold", 3) + number("successThreshold", 1);
    let seconds = number("initialDelaySeconds", 0)
        + period
        + answer
        + tries.saturating_sub(3) * period
        + period / 2
        + answer;
    Duration::from_secs(seconds)
}
