//! Turns the outcome of a run into the action's outputs.
//! It writes no file; the runner does.
//! Later steps paste outputs into shells, so every value is made of characters that no shell takes for more.

use super::{link::Link, view::StatusView, words};
use crate::names::{CommitSha, PrNumber, ReasonCode, State};
use serde_json::{Value, json};

/// Whatever came of a run.
#[derive(Debug, Clone, Copy)]
pub struct Outcome<'a> {
    /// What the run was to do.
    pub decision: &'a str,
    /// Why it ended as it did.
    pub reason: ReasonCode,
    /// The pull request's status; none for a run about no single pull request.
    pub view: Option<&'a StatusView>,
    /// State where there is no status to show, as after a run that was overtaken.
    pub state: Option<State>,
    /// Pull request that the run was about, also where there is no status to show.
    pub pr: Option<PrNumber>,
    /// Commit that the run was about, likewise.
    pub sha: Option<&'a CommitSha>,
}

/// Names and values of all outputs; a value is empty when there is nothing to say.
pub fn outputs(outcome: &Outcome<'_>) -> Vec<(&'static str, String)> {
    let view = outcome.view;
    let urls = view.map(addresses).unwrap_or_default();
    let addresses: Vec<&str> = urls.iter().map(Link::as_str).collect();
    let text = |value: Option<String>| value.unwrap_or_default();
    vec![
        ("url", text(addresses.first().map(|url| (*url).to_owned()))),
        ("urls", shell_safe(&json!(addresses))),
        (
            "namespace",
            text(view.and_then(|view| view.namespace.as_ref().map(ToString::to_string))),
        ),
        (
            "state",
            text(
                view.map(|view| view.state)
                    .or(outcome.state)
                    .map(|state| state.as_str().to_owned()),
            ),
        ),
        ("decision", word(outcome.decision)),
        ("reason-code", outcome.reason.as_str().to_owned()),
        (
            "sha",
            text(
                view.and_then(|view| view.sha.as_ref())
                    .or(outcome.sha)
                    .map(CommitSha::to_string),
            ),
        ),
        (
            "pr",
            text(
                view.map(|view| view.pr)
                    .or(outcome.pr)
                    .map(|pr| pr.to_string()),
            ),
        ),
        ("result", shell_safe(&result(outcome, &addresses))),
    ]
}

/// Everything as one value; fields are only ever added within a version.
fn result(outcome: &Outcome<'_>, urls: &[&str]) -> Value {
    let mut result = json!({
        "version": 1,
        "decision": word(outcome.decision),
        "reasonCode": outcome.reason,
    });
    if let Some(fields) = result.as_object_mut().filter(|_| outcome.view.is_none()) {
        fields.extend(outcome.pr.map(|pr| ("pr".to_owned(), json!(pr))));
        fields.extend(outcome.sha.map(|sha| ("sha".to_owned(), json!(sha))));
        fields.extend(
            outcome
                .state
                .map(|state| ("state".to_owned(), json!(state))),
        );
    }
    if let (Some(view), Some(fields)) = (outcome.view, result.as_object_mut())
        && let Value::Object(more) = of_view(view, urls)
    {
        fields.extend(more);
    }
    result
}

/// What a status says by itself, whatever the run that wrote it was to do.
pub(super) fn standing(view: &StatusView) -> Value {
    let urls = addresses(view);
    let urls: Vec<&str> = urls.iter().map(Link::as_str).collect();
    let mut result = json!({"version": 1, "reasonCode": view.reason});
    if let (Some(fields), Value::Object(more)) = (result.as_object_mut(), of_view(view, &urls)) {
        fields.extend(more);
    }
    result
}

/// The public addresses; an address is only given while something answers there.
fn addresses(view: &StatusView) -> Vec<Link> {
    let answers = view.state == State::Ready || view.serving.is_some();
    let urls = view.urls.iter().filter(|_| answers);
    urls.filter_map(|url| Link::new(&url.url)).collect()
}

fn of_view(view: &StatusView, urls: &[&str]) -> Value {
    let pr: PrNumber = view.pr;
    json!({
        "state": view.state,
        "repository": view.repository,
        "pr": pr,
        "sha": view.sha,
        "serving": view.serving,
        "namespace": view.namespace,
        "url": urls.first(),
        "urls": urls,
        "slot": view.slot.map(|slot| json!({"number": slot.number, "capacity": slot.capacity})),
        "expires": view.expires.map(|at| at.to_string()),
        "tookMs": view.took.map(|took| u64::try_from(took.as_millis()).unwrap_or(u64::MAX)),
        "runUrl": view.run_url.as_deref().and_then(Link::new).map(|link| link.as_str().to_owned()),
        "services": view.services.iter().map(|service| json!({
            "kind": service.id.kind,
            "name": service.id.name,
            "state": words::readiness(service.readiness).1,
            "ready": service.ready,
            "desired": service.desired,
        })).collect::<Vec<_>>(),
        "images": view.images.iter().map(|image| json!({
            "service": image.service,
            "image": image.image,
        })).collect::<Vec<_>>(),
        "warnings": view.warnings,
        "pruned": view.pruned.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "failures": view.failures.iter().map(|failure| json!({
            "reasonCode": failure.reason,
            "object": failure.object.as_ref().map(ToString::to_string),
            "cause": failure.cause,
            "remedy": failure.remedy,
        })).collect::<Vec<_>>(),
        "cause": view.note.as_ref().map(|note| &note.cause),
        "remedy": view.note.as_ref().map(|note| &note.remedy),
        "holders": view.at_cap.iter().flat_map(|cap| &cap.holders).map(|holder| json!({
            "slot": holder.slot,
            "pr": holder.pr,
        })).collect::<Vec<_>>(),
    })
}

/// JSON whose texts hold nothing but letters, digits, blanks and `-._:/@%+=,`; all else is written as `\u…`.
///
/// The same value for every JSON parser, and no quote, dollar, back-tick or line break for a shell.
pub(super) fn shell_safe(value: &Value) -> String {
    use std::fmt::Write as _;
    match value {
        Value::String(text) => {
            let mut out = String::from("\"");
            for unit in text.encode_utf16() {
                match u8::try_from(unit) {
                    Ok(byte) if byte.is_ascii_alphanumeric() || b" -._:/@%+=,".contains(&byte) => {
                        out.push(char::from(byte));
                    }
                    // writing to a String cannot fail
                    _ => drop(write!(out, "\\u{unit:04x}")),
                }
            }
            out + "\""
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(shell_safe).collect();
            format!("[{}]", items.join(","))
        }
        Value::Object(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .map(|(name, value)| format!("\"{}\":{}", word(name), shell_safe(value)))
                .collect();
            format!("{{{}}}", fields.join(","))
        }
        plain => plain.to_string(),
    }
}

/// Only letters, digits and hyphens.
fn word(text: &str) -> String {
    text.chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == '-')
        .collect()
}
