//! Turns the ways in which this API server refuses into `Status` objects with the words of Kubernetes 1.36.
//! It must not decide anything; callers say what went wrong.
//! The texts are those that a real server gave, since people read them and our own classifier matches them.

use serde_json::{Value, json};

use super::kinds::Kind;

/// A refusal: the code and the `Status` body.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Refusal {
    pub(super) code: u16,
    pub(super) body: Value,
}

impl Refusal {
    /// Returns the sentence of the `Status`.
    pub(super) fn message(&self) -> &str {
        self.body["message"].as_str().unwrap_or_default()
    }

    fn new(code: u16, reason: &str, message: &str, details: Option<Value>) -> Self {
        let mut body = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message, "code": code,
        });
        if !reason.is_empty() {
            body["reason"] = reason.into();
        }
        if let Some(details) = details {
            body["details"] = details;
        }
        Self { code, body }
    }

    fn with_causes(mut self, causes: Vec<Value>) -> Self {
        self.body["details"]["causes"] = causes.into();
        self
    }
}

fn details(kind: &Kind, name: &str) -> Option<Value> {
    let mut details = json!({"kind": kind.plural});
    if !name.is_empty() {
        details["name"] = name.into();
    }
    if !kind.group.is_empty() {
        details["group"] = kind.group.into();
    }
    Some(details)
}

pub(super) fn unauthorized() -> Refusal {
    Refusal::new(401, "Unauthorized", "Unauthorized", None)
}

pub(super) fn bad_request(message: &str) -> Refusal {
    Refusal::new(400, "BadRequest", message, None)
}

pub(super) fn unsupported_media_type(given: &str) -> Refusal {
    let message = format!(
        "the body of the request was in an unknown format - accepted media types include: \
         application/merge-patch+json, application/apply-patch+yaml; got {given}"
    );
    Refusal::new(415, "UnsupportedMediaType", &message, Some(json!({})))
}

pub(super) fn method_not_allowed() -> Refusal {
    let message = "the server does not allow this method on the requested resource";
    Refusal::new(405, "MethodNotAllowed", message, Some(json!({})))
}

pub(super) fn too_large() -> Refusal {
    Refusal::new(
        413,
        "RequestEntityTooLarge",
        "Request entity too large: limit is 3145728",
        None,
    )
}

pub(super) fn not_found(kind: &Kind, name: &str) -> Refusal {
    let message = format!("{} \"{name}\" not found", kind.qualified_plural());
    Refusal::new(404, "NotFound", &message, details(kind, name))
}

pub(super) fn already_exists(kind: &Kind, name: &str) -> Refusal {
    let message = format!("{} \"{name}\" already exists", kind.qualified_plural());
    Refusal::new(409, "AlreadyExists", &message, details(kind, name))
}

pub(super) fn conflict(kind: &Kind, name: &str, why: &str) -> Refusal {
    let message = format!(
        "Operation cannot be fulfilled on {} \"{name}\": {why}",
        kind.qualified_plural()
    );
    Refusal::new(409, "Conflict", &message, details(kind, name))
}

pub(super) fn modified(kind: &Kind, name: &str) -> Refusal {
    let why = "the object has been modified; please apply your changes to the latest version and try again";
    conflict(kind, name, why)
}

pub(super) fn uid_without_object(kind: &Kind, name: &str, uid: &str) -> Refusal {
    let why = format!(
        "uid mismatch: the provided object specified uid {uid}, and no existing object was found"
    );
    conflict(kind, name, &why)
}

pub(super) fn precondition(
    kind: &Kind,
    name: &str,
    what: &str,
    wanted: &str,
    actual: &str,
) -> Refusal {
    let why = format!(
        "Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {actual}"
    );
    conflict(kind, name, &why)
}

/// Refuses an apply without force; a conflict is the other manager and the path of the field.
pub(super) fn apply_conflicts(conflicts: &[(String, String)]) -> Refusal {
    let count = match conflicts.len() {
        1 => "1 conflict".to_owned(),
        n => format!("{n} conflicts"),
    };
    let message = match conflicts {
        [(manager, path)] => {
            format!("Apply failed with {count}: conflict with \"{manager}\": {path}")
        }
        many => {
            let mut lines = Vec::new();
            let mut last = "";
            for (manager, path) in many {
                if manager != last {
                    lines.push(format!("conflicts with \"{manager}\":"));
                    last = manager;
                }
                lines.push(format!("- {path}"));
            }
            format!("Apply failed with {count}: {}", lines.join("\n"))
        }
    };
    let causes = conflicts
        .iter()
        .map(|(manager, path)| {
            json!({
                "reason": "FieldManagerConflict", "message": format!("conflict with \"{manager}\""), "field": path,
            })
        })
        .collect();
    Refusal::new(409, "Conflict", &message, Some(json!({}))).with_causes(causes)
}

/// Refuses what the schema does not know: a 500 without a reason, as the real server answers.
pub(super) fn typed(object: &Value, why: &str) -> Refusal {
    let message = format!(
        "failed to create typed patch object ({}): {why}",
        coordinates(object)
    );
    Refusal::new(500, "", &message, None)
}

/// Refuses what has the right shape but cannot be read, such as a bad quantity.
pub(super) fn unconvertible(object: &Value, why: &str) -> Refusal {
    let version = object["apiVersion"].as_str().unwrap_or_default();
    let group_version = if version.contains('/') {
        version.to_owned()
    } else {
        format!("/{version}")
    };
    let kind = object["kind"].as_str().unwrap_or_default();
    let message = format!(
        "failed to convert new object ({}) to proper version: unable to convert unstructured object to \
         {group_version}, Kind={kind}: {why}",
        coordinates(object)
    );
    Refusal::new(500, "", &message, None)
}

/// Returns `namespace/name; apps/v1, Kind=Deployment` as typed errors put it in front.
fn coordinates(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let version = text(&object["apiVersion"]);
    let group_version = if version.contains('/') {
        version
    } else {
        format!("/{version}")
    };
    let metadata = &object["metadata"];
    format!(
        "{}/{}; {group_version}, Kind={}",
        text(&metadata["namespace"]),
        text(&metadata["name"]),
        text(&object["kind"])
    )
}

/// One reason why an object is invalid.
#[derive(Clone, Debug)]
pub(super) struct Flaw {
    reason: &'static str,
    field: String,
    message: String,
}

impl Flaw {
    pub(super) fn required(field: &str, hint: &str) -> Self {
        let message = if hint.is_empty() {
            "Required value".to_owned()
        } else {
            format!("Required value: {hint}")
        };
        Self {
            reason: "FieldValueRequired",
            field: field.to_owned(),
            message,
        }
    }

    pub(super) fn duplicate(field: &str, value: &Value) -> Self {
        Self {
            reason: "FieldValueDuplicate",
            field: field.to_owned(),
            message: format!("Duplicate value: {value}"),
        }
    }

    pub(super) fn invalid(field: &str, value: &Value, why: &str) -> Self {
        let message = format!("Invalid value: {value}: {why}");
        Self {
            reason: "FieldValueInvalid",
            field: field.to_owned(),
            message,
        }
    }

    pub(super) fn forbidden(field: &str, why: &str) -> Self {
        Self {
            reason: "FieldValueForbidden",
            field: field.to_owned(),
            message: format!("Forbidden: {why}"),
        }
    }

    pub(super) fn unsupported(field: &str, value: &Value, supported: &str) -> Self {
        let message = format!("Unsupported value: {value}: supported values: {supported}");
        Self {
            reason: "FieldValueNotSupported",
            field: field.to_owned(),
            message,
        }
    }

    pub(super) fn too_long(field: &str, limit: usize) -> Self {
        let message = format!("Too long: may not be more than {limit} bytes");
        Self {
            reason: "FieldValueTooLong",
            field: field.to_owned(),
            message,
        }
    }

    fn cause(&self) -> Value {
        json!({"reason": self.reason, "message": self.message, "field": self.field})
    }
}

pub(super) fn invalid(kind: &Kind, name: &str, flaws: &[Flaw]) -> Refusal {
    let mut details = json!({"name": name, "kind": kind.kind});
    if !kind.group.is_empty() {
        details["group"] = kind.group.into();
    }
    invalid_named(&kind.qualified_kind(), name, details, flaws)
}

/// Refuses the query of an apply.
pub(super) fn invalid_patch_options(flaw: Flaw) -> Refusal {
    let details = json!({"group": "meta.k8s.io", "kind": "PatchOptions"});
    invalid_named("PatchOptions.meta.k8s.io", "", details, &[flaw])
}

fn invalid_named(what: &str, name: &str, details: Value, flaws: &[Flaw]) -> Refusal {
    let mut texts: Vec<String> = flaws
        .iter()
        .map(|flaw| format!("{}: {}", flaw.field, flaw.message))
        .collect();
    texts.dedup();
    let list = match texts.as_slice() {
        [one] => one.clone(),
        many => format!("[{}]", many.join(", ")),
    };
    let message = format!("{what} \"{name}\" is invalid: {list}");
    Refusal::new(422, "Invalid", &message, Some(details))
        .with_causes(flaws.iter().map(Flaw::cause).collect())
}

pub(super) fn forbidden(kind: &Kind, name: &str, why: &str) -> Refusal {
    let named = if name.is_empty() {
        String::new()
    } else {
        format!(" \"{name}\"")
    };
    let message = format!("{}{named} is forbidden: {why}", kind.qualified_plural());
    Refusal::new(403, "Forbidden", &message, details(kind, name))
}

/// Refuses a verb that RBAC does not grant.
pub(super) fn not_permitted(
    user: &str,
    verb: &str,
    kind: &Kind,
    namespace: &str,
    name: &str,
) -> Refusal {
    let place = match namespace {
        "" => "at the cluster scope".to_owned(),
        namespace => format!("in the namespace \"{namespace}\""),
    };
    let why = format!(
        "User \"{user}\" cannot {verb} resource \"{}\" in API group \"{}\" {place}",
        kind.plural, kind.group
    );
    forbidden(kind, name, &why)
}

pub(super) fn namespace_terminating(kind: &Kind, name: &str, namespace: &str) -> Refusal {
    let why = format!(
        "unable to create new content in namespace {namespace} because it is being terminated"
    );
    let cause = json!({
        "reason": "NamespaceTerminating", "message": format!("namespace {namespace} is being terminated"),
        "field": "metadata.namespace",
    });
    forbidden(kind, name, &why).with_causes(vec![cause])
}

/// The `Status` inside the event that ends a watch on a forgotten version.
pub(super) fn expired(requested: u64, oldest: u64) -> Refusal {
    let message = format!("too old resource version: {requested} ({oldest})");
    Refusal::new(410, "Expired", &message, None)
}

pub(super) fn deleted(kind: &Kind, name: &str, uid: &str) -> Value {
    let mut details = json!({"name": name, "kind": kind.plural, "uid": uid});
    if !kind.group.is_empty() {
        details["group"] = kind.group.into();
    }
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})
}
