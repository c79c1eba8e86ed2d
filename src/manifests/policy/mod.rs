//! Says what an object asks for that a preview may not have.
//! It changes nothing and knows no cluster; the Namespace's pod security is a second fence and not a reason to have no first.
//! The text of a pull request is applied with a credential that its author does not have, so everything starts out as refused.

mod pods;
mod routes;

use super::{
    error::ManifestError,
    kinds::{self, Kind},
    marks::{self, TIMEOUT, WAIT_FOR},
    normalise,
    order::RUN_FIRST,
    ownership::SERVICE,
    parse::Parsed,
};
use crate::names::{Host, Namespace, PrNumber, ReasonCode};
use serde_json::Value;

/// Names of our own objects that hold a preview in its bounds; users may not replace them.
pub(super) const GUARDS: &[(&str, &str)] = &[
    ("ResourceQuota", "preview"),
    ("LimitRange", "preview"),
    ("NetworkPolicy", "preview"),
];

/// What an object has to stay within.
pub(super) struct Fence<'a> {
    pub(super) namespace: &'a Namespace,
    /// Hosts of the plan.
    pub(super) hosts: Vec<&'a str>,
    /// Domain below which further hosts have to be.
    pub(super) domain: Option<&'a Host>,
    pub(super) pr: PrNumber,
}

/// One object under examination.
struct Check<'a> {
    parsed: &'a Parsed<'a>,
    fence: &'a Fence<'a>,
    errors: &'a mut Vec<ManifestError>,
}

/// Puts everything that one object may not have to `errors`.
pub(super) fn check(parsed: &Parsed<'_>, fence: &Fence<'_>, errors: &mut Vec<ManifestError>) {
    let mut check = Check {
        parsed,
        fence,
        errors,
    };
    let Some(kind) = check.kind() else { return };
    check.namespace();
    if !parsed.source.built_in {
        check.reserved_names();
        check.marks(&[], parsed.object.get("metadata"));
        check.waits();
        if let (Some(path), Some(pod)) = (kind.pod, normalise::pod(&parsed.id, &parsed.object))
            && !path.is_empty()
        {
            check.marks(path, pod.get("metadata"));
        }
    }
    if let (Some(path), Some(pod)) = (kind.pod, normalise::pod(&parsed.id, &parsed.object)) {
        check.pod(path, pod);
    }
    match parsed.id.kind.as_str() {
        "Service" => check.service(),
        "Ingress" => check.ingress(),
        "HTTPRoute" => check.http_route(),
        "PersistentVolumeClaim" => check.claim(&["spec"], parsed.object.get("spec")),
        "StatefulSet" => {
            for (index, claim) in items(&parsed.object, "/spec/volumeClaimTemplates") {
                let path = ["spec", "volumeClaimTemplates", &index, "spec"];
                check.claim(&path, claim.get("spec"));
            }
        }
        "Secret" => check.secret(),
        "ConfigMap" => check.texts(&["data", "binaryData"]),
        _ => {}
    }
}

impl Check<'_> {
    fn refuse(&mut self, path: &[&str], problem: impl Into<String>, remedy: impl Into<String>) {
        let error = self
            .parsed
            .error(ReasonCode::PolicyRefused, path, problem, remedy);
        self.errors.push(error);
    }

    fn kind(&mut self) -> Option<&'static Kind> {
        let id = &self.parsed.id;
        if let Some(kind) = kinds::find(id) {
            if !kind.built_in_only || self.parsed.source.built_in {
                return Some(kind);
            }
        } else if let Some(group) = kinds::group_of(&id.kind) {
            let expected = if group.is_empty() { "v1" } else { group };
            self.refuse(
                &["apiVersion"],
                format!("{} does not belong to `{}`", id.kind, id.api_version()),
                format!("write its `apiVersion`, of `{expected}`"),
            );
            return None;
        }
        self.refuse(
            &["kind"],
            format!(
                "kind {} of `{}` is not allowed in a preview",
                id.kind,
                id.api_version()
            ),
            format!("leave it out; allowed are {}", kinds::allowed()),
        );
        None
    }

    fn namespace(&mut self) {
        let ours = self.fence.namespace.as_str();
        let named = self.parsed.object.pointer("/metadata/namespace");
        if named.is_some_and(|named| !named.is_null() && named != ours) {
            self.refuse(
                &["metadata", "namespace"],
                format!("names another Namespace than the preview's own, `{ours}`"),
                "leave `metadata.namespace` out, or write {{ preview.namespace }}",
            );
        }
    }

    fn reserved_names(&mut self) {
        let id = &self.parsed.id;
        let guard = GUARDS
            .iter()
            .any(|(kind, name)| *kind == id.kind && is_guard_name(&id.name, name));
        if guard {
            self.refuse(
                &["metadata", "name"],
                "is the name of an object that holds the preview in its bounds",
                "give it another name; the configuration's `quota` and `network` change our own",
            );
        }
    }

    /// Labels and annotations that our own tools and the cluster's admission go by.
    fn marks(&mut self, base: &[&str], metadata: Option<&Value>) {
        for field in ["labels", "annotations"] {
            let marks = metadata.and_then(|metadata| metadata.get(field));
            if marks.is_some_and(|marks| !marks.is_object() && !marks.is_null()) {
                let error = self.parsed.error(
                    ReasonCode::BadManifest,
                    &[base, &["metadata", field]].concat(),
                    "is no mapping",
                    "write `name: text` below it",
                );
                self.errors.push(error);
            }
            let marks = marks.and_then(Value::as_object);
            for (key, value) in marks.into_iter().flatten() {
                let mut path = base.to_vec();
                path.extend(["metadata", field, key.as_str()]);
                self.text(&path, value);
                let ours = key.starts_with("preview-action/")
                    && ![RUN_FIRST, SERVICE, TIMEOUT, WAIT_FOR].contains(&key.as_str());
                let admission = ["applyset.kubernetes.io/", "pod-security.kubernetes.io/"]
                    .iter()
                    .any(|prefix| key.starts_with(prefix));
                if ours || admission {
                    self.refuse(
                        &path,
                        "is a mark that only this action and the cluster may set",
                        "leave it out",
                    );
                }
            }
        }
    }

    /// Annotations that say what to wait for, which are read again only when it is too late to mend them.
    fn waits(&mut self) {
        let annotations = self.parsed.object.pointer("/metadata/annotations");
        let text = |key: &str| {
            annotations
                .and_then(|all| all.get(key))
                .and_then(Value::as_str)
        };
        let wait_for = text(WAIT_FOR).and_then(|text| text.parse::<marks::WaitFor>().err());
        let timeout = text(TIMEOUT).and_then(|text| marks::timeout(text).err());
        for (key, problem, remedy) in [
            (
                WAIT_FOR,
                wait_for,
                "write a path and a value, such as `.status.phase=Active`",
            ),
            (
                TIMEOUT,
                timeout,
                "write a time with its unit, such as `90s`",
            ),
        ] {
            if let Some(problem) = problem {
                let error = self.parsed.error(
                    ReasonCode::BadManifest,
                    &["metadata", "annotations", key],
                    problem.to_string(),
                    remedy,
                );
                self.errors.push(error);
            }
        }
    }

    fn claim(&mut self, path: &[&str], spec: Option<&Value>) {
        let Some(spec) = spec else { return };
        let mut at = |field, problem: &str, remedy: &str| {
            let mut path = path.to_vec();
            path.push(field);
            self.refuse(&path, problem, remedy);
        };
        if is_set(spec.get("volumeName")) {
            at(
                "volumeName",
                "takes a certain volume of the cluster, which may hold another's data",
                "leave it out, so that a new volume is made",
            );
        }
        if is_set(spec.pointer("/dataSourceRef/namespace")) {
            at(
                "dataSourceRef",
                "copies a volume of another Namespace",
                "use one of the preview's own",
            );
        }
    }

    /// Values that must be text: a number or a boolean would be refused by the server without a line number.
    fn texts(&mut self, fields: &[&str]) {
        for field in fields {
            let entries = self.parsed.object.get(*field).and_then(Value::as_object);
            for (key, value) in entries.into_iter().flatten() {
                self.text(&[field, key], value);
            }
        }
    }

    fn text(&mut self, path: &[&str], value: &Value) {
        if value.is_string() {
            return;
        }
        let error = self.parsed.error(
            ReasonCode::BadManifest,
            path,
            "is no text",
            "put it in quotes; in a template `{{ value | string | yaml }}` does",
        );
        self.errors.push(error);
    }

    fn secret(&mut self) {
        self.texts(&["data", "stringData"]);
        let kind = self.parsed.object.get("type").and_then(Value::as_str);
        if kind.is_some_and(|kind| {
            kind == "kubernetes.io/service-account-token" || kind.starts_with("bootstrap.")
        }) {
            self.refuse(
                &["type"],
                "makes the cluster write a credential for its API into the preview",
                "leave `type` out for a Secret of your own",
            );
        }
    }
}

/// True for the name itself and for those that are made of it, such as `preview-public-web`.
fn is_guard_name(name: &str, guard: &str) -> bool {
    name.strip_prefix(guard)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

/// True unless a field is absent, null or empty.
fn is_set(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null) => false,
        Some(Value::String(text)) => !text.is_empty(),
        Some(_) => true,
    }
}

/// The items of a list with their indices; none when there is no list.
fn items<'v>(value: &'v Value, pointer: &str) -> impl Iterator<Item = (String, &'v Value)> {
    value
        .pointer(pointer)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .enumerate()
        .map(|(index, item)| (index.to_string(), item))
}

#[cfg(test)]
mod tests;
