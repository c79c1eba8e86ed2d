//! Turns a symptom into a failure that people can act on: two sentences, then the cluster's own words, events and log lines.
//! It must not decide what failed; it only gathers, once, before anything is changed.
//! What it gathers is untrusted text: it is cut here, and masked and escaped by whoever shows it.

use super::{
    Cluster,
    call::Call,
    failures::FailureClass,
    logs::whole,
    outcome::{Evidence, Failure},
    track::{ContainerRef, Symptom, Tracker},
};
use crate::names::Namespace;
use futures::future::join_all;
use serde_json::Value;
use std::{collections::BTreeMap, time::Duration};

/// Log lines that are shown of the container that tells most.
const LINES: i64 = 25;
/// Bytes that are read of it. The server counts them from the first of those lines, so too few would hide the last ones.
const BYTES: i64 = 256 * 1024;
/// The longest piece of evidence, in characters.
const LONGEST: usize = 4000;
/// Patience with a log: a node that does not answer must not hold up the news of a failure.
const PATIENCE: Duration = Duration::from_secs(5);

impl Cluster {
    /// Makes failures of symptoms, all at once.
    pub(super) async fn diagnose(
        &self,
        namespace: &Namespace,
        tracker: &Tracker,
        symptoms: Vec<Symptom>,
    ) -> Vec<Failure> {
        let failures = symptoms.into_iter().map(|symptom| async move {
            let target = &tracker.targets[symptom.target];
            let mut evidence = Vec::new();
            // The sentence says it already when time ran out.
            let told = matches!(
                symptom.class,
                FailureClass::TimedOut | FailureClass::Readiness
            );
            if !symptom.message.is_empty() && !told {
                evidence.push(piece("what the cluster says".into(), &symptom.message));
            }
            if symptom.class.has_log()
                && let Some(container) = &symptom.container
            {
                evidence.extend(self.last_lines(namespace, container).await);
            }
            let events = warnings(tracker, symptom.target);
            if !events.is_empty() {
                evidence.push(piece(format!("events of {}", target.id), &events));
            }
            let (cause, remedy) = symptom.class.sentences(&symptom.facts);
            Failure {
                reason: symptom.class.reason(),
                object: Some(target.id.clone()),
                origin: Some(target.origin.clone()),
                cause,
                remedy,
                evidence,
            }
        });
        join_all(failures).await
    }

    /// The end of a container's log, of the life that ended if that is what counts.
    async fn last_lines(&self, namespace: &Namespace, of: &ContainerRef) -> Option<Evidence> {
        let mut lives = vec![of.previous];
        // A life may have just ended or begun; the other one then has the lines.
        lives.push(!of.previous);
        for previous in lives {
            let call =
                Call::log(namespace, &of.pod, &of.container, previous, (LINES, BYTES)).ok()?;
            let log = tokio::time::timeout(PATIENCE, self.send_for_text(call)).await;
            match log {
                Ok(Ok(text)) if is_log(&text) => {
                    let title = format!("last log lines of {} in {}", of.container, of.pod);
                    return Some(piece(title, &whole(text, BYTES)));
                }
                Ok(Ok(_)) => {}
                Ok(Err(error)) => tracing::debug!(%error, pod = of.pod, "no log"),
                Err(_) => return None,
            }
        }
        None
    }
}

/// The node answers with a sentence of its own when the log is gone.
fn is_log(text: &str) -> bool {
    !text.trim().is_empty() && !text.starts_with("unable to retrieve container logs for")
}

/// The message without the random end of a pod's name, which differs from try to try.
fn without_pod_name(message: &str) -> String {
    match message
        .split_once("pods \"")
        .and_then(|(head, rest)| Some((head, rest.split_once('"')?.1)))
    {
        Some((head, tail)) => format!(
            "{}pod{tail}",
            head.trim_start_matches("(combined from similar events): ")
        ),
        None => message.to_owned(),
    }
}

/// Warnings about a target and its pods, each reason and message once, with its count.
fn warnings(tracker: &Tracker, target: usize) -> String {
    let family = tracker.family(target);
    let mut folded: BTreeMap<(String, String), (i64, String)> = BTreeMap::new();
    for event in tracker.events() {
        let about = event["involvedObject"]["uid"].as_str().unwrap_or_default();
        if event["type"] != "Warning" || !family.contains(about) {
            continue;
        }
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let count = event["count"]
            .as_i64()
            .or(event["series"]["count"].as_i64())
            .unwrap_or(1);
        let last = [
            &event["lastTimestamp"],
            &event["eventTime"],
            &event["metadata"]["creationTimestamp"],
        ];
        let last = last.into_iter().find_map(Value::as_str).unwrap_or_default();
        let message = without_pod_name(event["message"].as_str().unwrap_or_default());
        let key = (text(&event["reason"]), message);
        let entry = folded.entry(key).or_default();
        entry.0 += count.max(1);
        entry.1 = entry.1.clone().max(last.to_owned());
    }
    let mut all: Vec<_> = folded.into_iter().collect();
    all.sort_by(|(_, (_, a)), (_, (_, b))| a.cmp(b));
    let newest = all.split_off(all.len().saturating_sub(10));
    let lines = newest.into_iter().map(|((reason, message), (count, _))| {
        let times = if count > 1 {
            format!(" ×{count}")
        } else {
            String::new()
        };
        format!("{reason}{times}: {message}")
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Keeps the end of a long text, which is where it failed.
fn piece(title: String, text: &str) -> Evidence {
    let text = text.trim_end();
    let length = text.chars().count();
    let text = if length > LONGEST {
        std::iter::once('…')
            .chain(text.chars().skip(length - LONGEST))
            .collect()
    } else {
        text.to_owned()
    };
    Evidence { title, text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_that_differ_in_a_pods_name_are_one() {
        let first = r#"Error creating: pods "web-1-abc" is forbidden: exceeded quota: q"#;
        let second = r#"(combined from similar events): Error creating: pods "web-1-xyz" is forbidden: exceeded quota: q"#;
        assert_eq!(
            without_pod_name(first),
            "Error creating: pod is forbidden: exceeded quota: q"
        );
        assert_eq!(without_pod_name(first), without_pod_name(second));
        assert_eq!(
            without_pod_name("Back-off restarting"),
            "Back-off restarting"
        );
    }

    #[test]
    fn a_long_text_keeps_its_end() {
        let text = format!("{}the fault", "x".repeat(2 * LONGEST));
        let kept = piece("log".into(), &text).text;
        assert!(kept.ends_with("the fault") && kept.starts_with('…'));
        assert_eq!(kept.chars().count(), LONGEST + 1);
    }

    #[test]
    fn the_nodes_excuse_is_no_log() {
        assert!(!is_log(
            "unable to retrieve container logs for containerd://d15668"
        ));
        assert!(!is_log("\n"));
        assert!(is_log("listening on 8080"));
    }
}
