//! Says what an object asks for that a preview may not have.
//! It changes nothing and knows no cluster; the Namespace's pod security is a second fence and not a reason to have no first.
//! The text of a pull request is applied with a credential that its author does not have, so everything starts out as refused.

mod accounts;
mod pods;
mod routes;
mod volumes;

use super::{
    error::Faults,
    kinds,
    marks::{self, TIMEOUT, WAIT_FOR},
    normalise,
    ownership::SERVICE,
    parse::Parsed,
};
use crate::{
    inputs::configuration::{Allowance, Policy},
    names::{Host, Namespace, PrNumber, ReasonCode},
};
use serde_json::Value;
use std::collections::BTreeSet;

/// Names of our own objects that hold a preview in its bounds; users may not replace them.
pub(super) const GUARDS: &[(&str, &str)] = &[
    ("ResourceQuota", "preview"),
    ("LimitRange", "preview"),
    ("NetworkPolicy", "preview"),
];

/// Name of the Secret that the last good set is kept in.
pub const LAST_GOOD: &str = "preview-last-good";

/// The ConfigMap that says why the last deploy failed; no template may name it.
pub const LAST_FAILURE: &str = "preview-last-failure";

/// Name of the ConfigMap that lists what a preview is made of.
pub const PARENT: &str = "preview-applyset";

/// Labels and annotations of ours that users may set; all others of ours are what our tools and the admission go by.
const USERS_MARKS: &[&str] = &[
    super::order::RUN_FIRST,
    SERVICE,
    WAIT_FOR,
    TIMEOUT,
    "preview-action/keep",
    "preview-action/prune",
    "preview-action/recreate",
];

/// What an object has to stay within.
pub(super) struct Fence<'a> {
    pub(super) namespace: &'a Namespace,
    /// Hosts of the plan.
    pub(super) hosts: Vec<&'a str>,
    /// Domain below which further hosts have to be.
    pub(super) domain: Option<&'a Host>,
    pub(super) pr: PrNumber,
    /// Number that a host has to name: the pull request's, or its slot's.
    pub(super) number: u64,
    /// Names of the ServiceAccounts that come with the preview.
    pub(super) accounts: BTreeSet<&'a str>,
    /// What the default branch allows beyond the ordinary.
    pub(super) policy: &'a Policy,
}

/// One object under examination.
struct Check<'a> {
    parsed: &'a Parsed<'a>,
    fence: &'a Fence<'a>,
    faults: &'a mut Faults,
}

/// Puts everything that one object may not have to `faults`.
pub(super) fn check(parsed: &Parsed<'_>, fence: &Fence<'_>, faults: &mut Faults) {
    let mut check = Check {
        parsed,
        fence,
        faults,
    };
    if !check.kind() {
        return;
    }
    check.namespace();
    if !parsed.source.built_in {
        check.reserved_names();
        check.all_metadata(&parsed.object, &[]);
        check.waits();
    }
    match kinds::find(&parsed.id) {
        Some(kind) => {
            if let (Some(path), Some(pod)) = (kind.pod, normalise::pod(&parsed.id, &parsed.object))
            {
                check.pod(path, pod);
            }
            check.by_kind();
        }
        None => check.pods_anywhere(&parsed.object, &[]),
    }
}

impl Check<'_> {
    fn by_kind(&mut self) {
        let object = &self.parsed.object;
        match self.parsed.id.kind.as_str() {
            "Service" => self.service(),
            "Ingress" => self.ingress(),
            "HTTPRoute" => self.http_route(),
            "NetworkPolicy" => self.network_policy(),
            "ServiceAccount" => self.account(),
            "PersistentVolumeClaim" => self.claim(&["spec"], object.get("spec")),
            "StatefulSet" => {
                for (index, claim) in items(object, "/spec/volumeClaimTemplates") {
                    let path = ["spec", "volumeClaimTemplates", &index, "spec"];
                    self.claim(&path, claim.get("spec"));
                }
            }
            "Secret" => self.secret(),
            "ConfigMap" => self.texts(&["data", "binaryData"]),
            _ => {}
        }
    }

    /// Refuses what no setting can allow.
    fn refuse(&mut self, path: &[&str], problem: impl Into<String>, remedy: impl Into<String>) {
        let parsed = self.parsed;
        self.faults
            .add(|| parsed.error(ReasonCode::PolicyRefused, path, problem, remedy));
    }

    /// Refuses what the default branch has not allowed, and says how it could.
    fn refuse_unless(
        &mut self,
        allowance: Allowance,
        path: &[&str],
        problem: impl Into<String>,
        remedy: &str,
    ) {
        if !self.fence.policy.allows(allowance) {
            let setting = format!("policy: {{allow: [{}]}}", allowance.word());
            self.refuse(path, problem, or_open(remedy, &setting));
        }
    }

    /// True when the kind may be in a preview at all.
    fn kind(&mut self) -> bool {
        let id = &self.parsed.id;
        if self
            .fence
            .policy
            .kind(&id.api_version(), &id.kind)
            .is_some()
        {
            return true;
        }
        if let Some(kind) = kinds::find(id) {
            if !kind.built_in_only || self.parsed.source.built_in {
                return true;
            }
        } else if let Some(group) = kinds::group_of(&id.kind) {
            let expected = if group.is_empty() { "v1" } else { group };
            self.refuse(
                &["apiVersion"],
                format!("{} does not belong to `{}`", id.kind, id.api_version()),
                format!("write its `apiVersion`, of `{expected}`"),
            );
            return false;
        }
        let remedy = format!("leave it out; allowed are {}", kinds::allowed());
        let setting = format!(
            "policy: {{kinds: [{{api-version: {}, kind: {}}}]}}",
            id.api_version(),
            id.kind
        );
        self.refuse(
            &["kind"],
            format!(
                "kind {} of `{}` is not allowed in a preview",
                id.kind,
                id.api_version()
            ),
            match Policy::may_open(&id.api_version(), &id.kind) {
                true => or_open(&remedy, &setting),
                false => remedy,
            },
        );
        false
    }

    fn namespace(&mut self) {
        let ours = self.fence.namespace.as_str();
        let named = self.parsed.object.pointer("/metadata/namespace");
        if named.is_some_and(|named| !named.is_null() && named != ours) {
            self.refuse(
                &["metadata", "namespace"],
                format!("names another Namespace than the preview's own, `{ours}`"),
                format!(
                    "leave `metadata.namespace` out, or write {{{{ preview.namespace }}}}; for generated files `helm template --namespace {ours}` writes it"
                ),
            );
        }
    }

    fn reserved_names(&mut self) {
        let id = &self.parsed.id;
        if id.kind == "ConfigMap" && id.name == PARENT {
            self.refuse(
                &["metadata", "name"],
                "is the name of the list of what the preview is made of",
                "give it another name",
            );
        }
        if id.kind == "ConfigMap" && id.name == LAST_FAILURE {
            self.refuse(
                &["metadata", "name"],
                "is the name of the ConfigMap that says why the last deploy failed",
                "give it another name",
            );
        }
        if id.kind == "Secret" && id.name == LAST_GOOD {
            self.refuse(
                &["metadata", "name"],
                "is the name of the Secret that the last good set is kept in",
                "give it another name",
            );
        }
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

    /// Every `metadata` of an object: its own, and those of what is made from it.
    fn all_metadata(&mut self, value: &Value, path: &[&str]) {
        match value {
            Value::Object(fields) => {
                for (key, value) in fields {
                    let deeper = [path, &[key]].concat();
                    match key.as_str() {
                        "data" | "stringData" | "binaryData" | "status" if path.is_empty() => {}
                        "metadata" => self.metadata(&deeper, value),
                        _ => self.all_metadata(value, &deeper),
                    }
                }
            }
            Value::Array(list) => {
                for (index, item) in list.iter().enumerate() {
                    let index = index.to_string();
                    self.all_metadata(item, &[path, &[&index]].concat());
                }
            }
            _ => {}
        }
    }

    fn metadata(&mut self, path: &[&str], metadata: &Value) {
        for field in ["finalizers", "ownerReferences"] {
            let marks = metadata.get(field);
            if is_set(marks) && marks != Some(&Value::Array(Vec::new())) {
                self.refuse(
                    &[path, &[field]].concat(),
                    "ties the removal of the preview to others",
                    "leave it out: the preview goes with its Namespace",
                );
            }
        }
        self.marks(path, metadata);
    }

    /// Labels and annotations that our own tools and the cluster's admission go by.
    fn marks(&mut self, base: &[&str], metadata: &Value) {
        for field in ["labels", "annotations"] {
            let path = [base, &[field]].concat();
            let marks = match metadata.get(field) {
                None | Some(Value::Null) => continue,
                Some(Value::Object(marks)) => marks,
                Some(_) => {
                    self.wrong(&path, "is no mapping", "write `name: text` below it");
                    continue;
                }
            };
            for (key, value) in marks {
                let path = [&path[..], &[key]].concat();
                self.text(&path, value);
                let ours =
                    key.starts_with("preview-action/") && !USERS_MARKS.contains(&key.as_str());
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
        let parsed = self.parsed;
        let annotations = parsed.object.pointer("/metadata/annotations");
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
                self.faults.add(|| {
                    parsed.error(
                        ReasonCode::BadManifest,
                        &["metadata", "annotations", key],
                        problem.to_string(),
                        remedy,
                    )
                });
            }
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
        if !value.is_string() {
            let remedy = "put it in quotes; in a template `{{ value | string | yaml }}` does";
            self.wrong(path, "is no text", remedy);
        }
    }

    fn wrong(&mut self, path: &[&str], problem: &str, remedy: &str) {
        let parsed = self.parsed;
        self.faults
            .add(|| parsed.error(ReasonCode::BadManifest, path, problem, remedy));
    }
}

/// A remedy, and the setting of the default branch that would make it unnecessary.
fn or_open(remedy: &str, setting: &str) -> String {
    format!("{remedy}, or allow it in the default branch's configuration: `{setting}`")
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

/// True for anything but absent, null and false, so that a wrong type does not slip through.
fn is_on(value: Option<&Value>) -> bool {
    !matches!(value, None | Some(Value::Null | Value::Bool(false)))
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
mod limits;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
