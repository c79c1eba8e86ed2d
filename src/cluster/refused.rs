//! Turns the API server's refusal of one object into the two sentences that people act on.
//! It must not send anything, and leaves what a refusal means to `answer` and `words`.
//! The same rule refuses an object at once or its pods a moment later; both get the same sentence.

use super::{
    answer::{Class, MissingRule},
    apply::ObjectError,
    error::ClusterError,
    failures::{Facts, FailureClass, about},
    outcome::Failure,
    words,
};
use serde_json::Value;

/// The error as the report shows it.
pub(super) fn failure(error: &ObjectError, fault: String) -> Failure {
    let mut facts = about(&error.id, &error.origin, &Value::Null);
    facts.extend([
        ("subject", error.id.to_string()),
        ("message", fault),
        ("remedy", error.error.remedy()),
    ]);
    let (class, more) = meaning(&error.error);
    facts.extend(more);
    let (cause, remedy) = class.sentences(&facts);
    Failure {
        reason: error.error.reason_code(),
        object: Some(error.id.clone()),
        origin: Some(error.origin.clone()),
        cause,
        remedy,
        evidence: Vec::new(),
    }
}

fn meaning(error: &ClusterError) -> words::Meaning {
    let plain = |class| (class, Facts::new());
    let Some(refusal) = error.refusal() else {
        return plain(FailureClass::Refused);
    };
    let mut fields = refusal.fields.iter().map(|fault| fault.field.clone());
    let field: Facts = fields
        .find(|field| !field.is_empty())
        .map(|field| ("field", field))
        .into_iter()
        .collect();
    match &refusal.class {
        Class::Admission | Class::Quota => {
            words::refusal_meaning(&refusal.message).unwrap_or(plain(FailureClass::Refused))
        }
        Class::BadManifest => (FailureClass::Field, field),
        Class::Immutable => (FailureClass::Immutable, field),
        Class::Forbidden(Some(rule)) => (
            FailureClass::Forbidden,
            Facts::from([("rule", may_not(rule))]),
        ),
        _ => plain(FailureClass::Refused),
    }
}

fn may_not(rule: &MissingRule) -> String {
    let group = match rule.group.as_str() {
        "" => String::new(),
        group => format!(".{group}"),
    };
    let place = match &rule.namespace {
        Some(namespace) => format!(" in namespace {namespace}"),
        None => String::new(),
    };
    format!("{} {}{group}{place}", rule.verb, rule.resource)
}
