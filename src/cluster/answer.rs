//! Turns a refusal of the API server into what it means: who has to change what, and whether asking again can help.
//! It knows no request and no socket; status code and body are its arguments, so that recorded answers can be replayed.
//! The server's texts are cut to the part that names a field and a fault, because some of them are dumps of Go values.

use jiff::Timestamp;
use serde_json::Value;
use std::{fmt, time::Duration};

/// A request that the API server answered with an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status.
    pub code: u16,
    /// What it means.
    pub class: Class,
    /// The server's own words, cleaned and cut.
    pub message: String,
    /// Fields of the object that it complains about.
    pub fields: Vec<FieldFault>,
    /// How long the server asks to wait before the next try.
    pub retry_after: Option<Duration>,
    /// The server's clock when it answered.
    pub date: Option<Timestamp>,
}

/// One field of an object and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldFault {
    /// Path, such as `spec.replicas`; empty for the object as a whole.
    pub field: String,
    /// What is wrong.
    pub fault: String,
}

impl fmt::Display for FieldFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.field.is_empty() {
            f.write_str(&self.fault)
        } else {
            write!(f, "{}: {}", self.field, self.fault)
        }
    }
}

/// What a refusal means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Class {
    /// The credential is wrong or has expired.
    Unauthorized,
    /// RBAC does not allow it; the rule that is missing, where the answer names it.
    Forbidden(Option<MissingRule>),
    /// A ResourceQuota is used up, or asks for requests and limits that are not there.
    Quota,
    /// A LimitRange, pod security, an admission policy or a webhook says no.
    Admission,
    /// The object itself is wrong.
    BadManifest,
    /// The object may not be changed in this way once it exists.
    Immutable,
    /// Somebody else changed the object in between, or a precondition does not hold.
    Conflict,
    /// Another field manager holds fields of the object.
    FieldConflict,
    /// The object is there already.
    AlreadyExists,
    /// The object is not there.
    NotFound,
    /// The Namespace is not there.
    NamespaceMissing,
    /// The Namespace is being deleted.
    NamespaceTerminating,
    /// The cluster does not serve this kind.
    KindUnknown,
    /// The Namespace is so new that its service account is still to come.
    NotYet,
    /// Two requests met in the quota's own bookkeeping.
    QuotaConflict,
    /// The position of a watch is too old.
    Expired,
    /// The server, a webhook or something in front of it is down or overloaded.
    Busy,
    /// Anything else.
    Other,
}

/// A rule that RBAC lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingRule {
    /// Verb.
    pub verb: String,
    /// Resource, in the plural.
    pub resource: String,
    /// API group; empty for the core group.
    pub group: String,
    /// Namespace; none for the whole cluster.
    pub namespace: Option<String>,
}

/// The longest message that is passed on.
const LONGEST: usize = 600;

impl Refusal {
    /// Reads an answer of 400 or above.
    pub fn read(code: u16, body: &[u8]) -> Self {
        let status: Value = serde_json::from_slice(body)
            .ok()
            .filter(|value: &Value| value["kind"] == "Status")
            .unwrap_or(Value::Null);
        let raw = status["message"]
            .as_str()
            .map_or_else(|| String::from_utf8_lossy(body).into_owned(), str::to_owned);
        let class = classify(code, &status, &raw);
        let fields = fields(&status, &raw);
        let message = if status.is_null() {
            foreign_message(code, &raw, &class)
        } else {
            clean(&raw)
        };
        let retry_after = status["details"]["retryAfterSeconds"]
            .as_u64()
            .map(Duration::from_secs);
        Self {
            code,
            class,
            message,
            fields,
            retry_after,
            date: None,
        }
    }

    /// True when the same request may be granted a moment later.
    pub fn worth_repeating(&self) -> bool {
        matches!(
            self.class,
            Class::Busy | Class::QuotaConflict | Class::NotYet
        )
    }
}

fn classify(code: u16, status: &Value, message: &str) -> Class {
    let reason = status["reason"].as_str().unwrap_or_default();
    let causes = status["details"]["causes"].as_array();
    let cause = |wanted: &str| {
        causes.is_some_and(|causes| causes.iter().any(|cause| cause["reason"] == wanted))
    };
    let has = |words: &[&str]| words.iter().any(|word| message.contains(word));
    match code {
        401 => Class::Unauthorized,
        _ if cause("NamespaceTerminating") => Class::NamespaceTerminating,
        _ if has(&["denied the request", "denied request:"]) => Class::Admission,
        403 | 500 if reason == "ServerTimeout" || service_account_to_come(message) => Class::NotYet,
        403 if has(&["exceeded quota:", "failed quota:"]) => Class::Quota,
        403 => match missing_rule(message) {
            Some(rule) => Class::Forbidden(Some(rule)),
            None if has(&["attempting to grant RBAC", "cannot set", "/api/", "/apis/"])
                || message.trim_end().ends_with("is forbidden:") =>
            {
                Class::Forbidden(None)
            }
            None if status.is_null() => Class::Forbidden(None),
            None => Class::Admission,
        },
        404 if status.is_null() => Class::KindUnknown,
        404 if status["details"]["kind"] == "namespaces" => Class::NamespaceMissing,
        404 => Class::NotFound,
        409 if reason == "AlreadyExists" => Class::AlreadyExists,
        409 if has(&["cannot be fulfilled on resourcequotas"]) => Class::QuotaConflict,
        409 if cause("FieldManagerConflict") => Class::FieldConflict,
        409 => Class::Conflict,
        410 => Class::Expired,
        422 if has(&[
            "immutable",
            "may not be changed",
            "may not change once set",
            "cannot change roleRef",
        ]) || has(&["updates to statefulset spec for fields other than"]) =>
        {
            Class::Immutable
        }
        400 | 413 | 415 | 422 => Class::BadManifest,
        500 if has(&[
            "failed to create typed patch object",
            "failed to convert new object",
        ]) =>
        {
            Class::BadManifest
        }
        429 | 502 | 503 | 504 => Class::Busy,
        // A proxy's own page, or the store behind the server; otherwise nobody says that asking again helps.
        500 if status.is_null() || has(&["etcdserver: ", "etcdclient: "]) => Class::Busy,
        500 if matches!(reason, "InternalError" | "Timeout") => Class::Busy,
        _ => Class::Other,
    }
}

/// A Namespace's `default` account comes a moment after it; any other account is the author's to supply.
fn service_account_to_come(message: &str) -> bool {
    message.contains("No API token found for service account")
        || message.contains("serviceaccount \"default\" not found")
}

/// Reads `User "x" cannot patch resource "services" in API group "" in the namespace "pr-1"`.
fn missing_rule(message: &str) -> Option<MissingRule> {
    let rule = message.split_once("\" cannot ")?.1;
    let (verb, rule) = rule.split_once(" resource \"")?;
    let (resource, rule) = rule.split_once('"')?;
    let group = rule
        .split_once("API group \"")
        .and_then(|(_, rest)| rest.split_once('"'))
        .map_or("", |(group, _)| group);
    let namespace = rule
        .split_once("namespace \"")
        .and_then(|(_, rest)| rest.split_once('"'))
        .map(|(namespace, _)| namespace.to_owned());
    Some(MissingRule {
        verb: verb.into(),
        resource: resource.into(),
        group: group.into(),
        namespace,
    })
}

/// An answer that is no `Status` comes from something in front of the API server, or says that a path does not exist.
fn foreign_message(code: u16, raw: &str, class: &Class) -> String {
    match class {
        Class::KindUnknown => "the cluster does not serve this kind".into(),
        _ if raw.trim_start().starts_with('<') || raw.trim().is_empty() => {
            format!(
                "HTTP {code} without an explanation, probably by a proxy in front of the API server"
            )
        }
        _ => clean(raw),
    }
}

fn fields(status: &Value, message: &str) -> Vec<FieldFault> {
    if let Some(typed) = message
        .strip_prefix("failed to create typed patch object")
        .or_else(|| message.strip_prefix("failed to convert new object"))
    {
        return vec![typed_fault(typed)];
    }
    let mut faults = Vec::new();
    for cause in status["details"]["causes"].as_array().into_iter().flatten() {
        let field = cause["field"].as_str().unwrap_or_default();
        let text = cause["message"].as_str().unwrap_or_default();
        // `<nil>` and `[]` stand for the object as a whole; the first only repeats that there are other errors.
        if field.is_empty() || field == "<nil>" || cause["reason"] == "NamespaceTerminating" {
            continue;
        }
        let fault = FieldFault {
            field: if field == "[]" {
                String::new()
            } else {
                field.trim_start_matches('.').into()
            },
            fault: last_clause(text),
        };
        if !faults.contains(&fault) {
            faults.push(fault);
        }
    }
    faults
}

/// Reads ` (/d; apps/v1, Kind=Deployment): .spec.replica: field not declared in schema`.
fn typed_fault(text: &str) -> FieldFault {
    let text = match text.split_once("): ") {
        Some((_, text)) if text.starts_with('.') => text,
        _ => text.trim_start_matches(": "),
    };
    if let Some((field, fault)) = text
        .strip_prefix('.')
        .and_then(|text| text.split_once(": "))
    {
        return FieldFault {
            field: field.into(),
            fault: plain_go(fault),
        };
    }
    let fault = match text.rsplit_once("Kind=") {
        Some((_, rest)) => rest.split_once(": ").map_or(rest, |(_, fault)| fault),
        None => text,
    };
    FieldFault {
        field: String::new(),
        fault: cut(fault.trim_start_matches("error decoding from json: ")),
    }
}

/// `got &value.valueUnstructured{Value:1}` and the like, without the Go in it.
fn plain_go(text: &str) -> String {
    let text = text
        .replace("*value.valueUnstructured", "something else")
        .replace("&value.valueUnstructured{Value:", "")
        .trim_end_matches('}')
        .to_owned();
    cut(&text)
}

/// What is said after the value, when the value is a dump; the whole text when it is short.
fn last_clause(text: &str) -> String {
    let first_line = text.lines().next().unwrap_or_default().trim();
    let Some(value) = first_line.strip_prefix("Invalid value: ") else {
        return cut(first_line);
    };
    let quoted = value
        .strip_prefix('"')
        .and_then(|rest| rest.split_once("\": "));
    let typed = value.split_once('{');
    let dump = value.starts_with(['{', '[', '&'])
        || value.starts_with("map[")
        || quoted.is_some_and(|(value, _)| value.chars().count() > 80)
        || typed.is_some_and(|(word, _)| word.contains('.') && !word.contains([' ', '"']));
    if !dump {
        return cut(first_line);
    }
    // The clause after the value is the last one, unless it is one with colons of its own after a quoted value.
    let clause = match quoted {
        Some((_, clause)) => clause,
        None => value.rsplit_once(": ").map_or(value, |(_, clause)| clause),
    };
    cut(clause)
}

/// One paragraph of the message, without dumps.
fn clean(message: &str) -> String {
    let first = message.lines().next().unwrap_or_default();
    let first = if first.contains("Invalid value: ") && first.contains('{') {
        let (head, _) = first.split_once("Invalid value: ").unwrap_or((first, ""));
        format!("{head}{}", last_clause(&first[head.len()..]))
    } else {
        plain_go(first)
    };
    cut(&first)
}

fn cut(text: &str) -> String {
    crate::names::cut(text.trim(), LONGEST)
}

#[cfg(test)]
mod tests;
