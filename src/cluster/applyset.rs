//! Turns a preview's objects into an ApplySet as kubectl's code defines it: a parent that names kinds, members that name the parent.
//! It sends nothing and decides nothing about deletion; it is pure, so that kubectl's own vectors test it.
//! The KEP's text differs from kubectl's code in names and places; the code is what other tools read.

use super::{
    error::ClusterError,
    kinds::{self, Kind},
};
use crate::{
    capacity::Members,
    manifests::ManifestSet,
    names::{Namespace, ObjectId},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

/// Name of the parent, a ConfigMap in the preview's Namespace.
pub(super) use crate::manifests::PARENT;

/// The owner of the parent's fields; kubectl too has one of its own for parents.
pub(super) const MANAGER: &str = "preview-action-applyset";

/// Label of members.
pub(super) const PART_OF: &str = "applyset.kubernetes.io/part-of";

const ID: &str = "applyset.kubernetes.io/id";
const TOOLING: &str = "applyset.kubernetes.io/tooling";
const GROUP_KINDS: &str = "applyset.kubernetes.io/contains-group-kinds";
const NAMESPACES: &str = "applyset.kubernetes.io/additional-namespaces";

/// Annotation of the parent that is ours alone: names of member Secrets, which no credential of ours may list.
const SECRETS: &str = "preview-action/secrets";

const TOOL: &str = "preview-action";

/// The id of the set of a parent: what members carry as their label.
pub(super) fn id_of(name: &str, namespace: &str, kind: &str, group: &str) -> String {
    let hash = Sha256::digest(format!("{name}.{namespace}.{kind}.{group}"));
    format!("applyset-{}-v1", URL_SAFE_NO_PAD.encode(hash))
}

/// The id of a preview's set.
pub(super) fn id(namespace: &Namespace) -> String {
    id_of(PARENT, namespace.as_str(), kinds::CONFIG_MAP.kind, "")
}

/// What a parent says of its set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Contents {
    tooling: String,
    /// `Deployment.apps`, core kinds bare.
    group_kinds: BTreeSet<String>,
    secrets: BTreeSet<String>,
}

impl Contents {
    /// What the parent of these objects has to say.
    pub(super) fn of<'a>(members: impl Iterator<Item = &'a ObjectId>) -> Self {
        let mut contents = Self {
            tooling: format!("{TOOL}/{}", env!("CARGO_PKG_VERSION")),
            ..Self::default()
        };
        for id in members {
            contents.group_kinds.insert(group_kind(&id.kind, &id.group));
            if id.kind == kinds::SECRET.kind && id.group.is_empty() {
                contents.secrets.insert(id.name.clone());
            }
        }
        contents
    }

    /// Kinds that an earlier run has put down; of Secrets they say nothing.
    pub(super) fn remembered(members: &Members) -> Self {
        Self {
            group_kinds: members.kinds.clone(),
            ..Self::default()
        }
    }

    /// What a later run needs to look for all this, under the parent with this UID.
    pub(super) fn to_remember(&self, parent: &str) -> Members {
        Members {
            list: parent.to_owned(),
            kinds: self.group_kinds.clone(),
        }
    }

    /// The same for a whole set.
    pub(super) fn of_set(set: &ManifestSet) -> Self {
        Self::of(set.objects.iter().map(|manifest| &manifest.id))
    }

    /// Reads a parent; anything that another tool made, or that says nothing of its kinds, is an error and never guessed.
    pub(super) fn read(parent: &Value, namespace: &Namespace) -> Result<Self, ClusterError> {
        let wrong = |problem: String| ClusterError::ApplySet {
            parent: format!("{namespace}/{PARENT}"),
            problem,
        };
        let metadata = &parent["metadata"];
        if metadata["labels"][ID] != id(namespace) {
            return Err(wrong(format!("lacks the label {ID} of this preview's set")));
        }
        let annotation = |name: &str| metadata["annotations"][name].as_str();
        let tooling = annotation(TOOLING).unwrap_or_default();
        if tooling.split_once('/').map_or(tooling, |(tool, _)| tool) != TOOL {
            return Err(wrong(format!(
                "belongs to the tool {tooling:?} by its annotation {TOOLING}"
            )));
        }
        let listed = |text: &str| -> BTreeSet<String> {
            text.split(',')
                .filter(|word| !word.is_empty())
                .map(str::to_owned)
                .collect()
        };
        let group_kinds = listed(annotation(GROUP_KINDS).unwrap_or_default());
        if group_kinds.is_empty() {
            return Err(wrong(format!("lacks the annotation {GROUP_KINDS}")));
        }
        Ok(Self {
            tooling: tooling.into(),
            group_kinds,
            secrets: listed(annotation(SECRETS).unwrap_or_default()),
        })
    }

    /// Everything that either names, by the tool of this one.
    pub(super) fn and(&self, other: &Self) -> Self {
        Self {
            tooling: self.tooling.clone(),
            group_kinds: &self.group_kinds | &other.group_kinds,
            secrets: &self.secrets | &other.secrets,
        }
    }

    /// True when everything that `other` names is named here already.
    pub(super) fn covers(&self, other: &Self) -> bool {
        self.group_kinds.is_superset(&other.group_kinds) && self.secrets.is_superset(&other.secrets)
    }

    /// The kinds that can be listed.
    pub(super) fn kinds(&self) -> impl Iterator<Item = &'static Kind> {
        kinds::known().filter(|kind| {
            self.group_kinds
                .contains(&group_kind(kind.kind, kind.group))
        })
    }

    /// What is named here and is of no kind that this version knows; it stays named.
    pub(super) fn strange(&self) -> Self {
        let known: BTreeSet<_> = self
            .kinds()
            .map(|kind| group_kind(kind.kind, kind.group))
            .collect();
        Self {
            tooling: self.tooling.clone(),
            group_kinds: &self.group_kinds - &known,
            secrets: BTreeSet::new(),
        }
    }

    /// The named kinds, such as `Deployment.apps`.
    pub(super) fn named(self) -> impl Iterator<Item = String> {
        self.group_kinds.into_iter()
    }

    /// Names of the Secrets.
    pub(super) fn secrets(&self) -> &BTreeSet<String> {
        &self.secrets
    }

    /// The parent as it is applied.
    pub(super) fn parent(&self, namespace: &Namespace) -> Value {
        let joined = |words: &BTreeSet<String>| -> String {
            let words: Vec<_> = words.iter().map(String::as_str).collect();
            words.join(",")
        };
        let mut parent = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": PARENT,
                "namespace": namespace,
                "labels": {ID: id(namespace)},
                "annotations": {
                    TOOLING: self.tooling,
                    GROUP_KINDS: joined(&self.group_kinds),
                    NAMESPACES: "",
                },
            },
        });
        if !self.secrets.is_empty() {
            parent["metadata"]["annotations"][SECRETS] = joined(&self.secrets).into();
        }
        parent
    }
}

/// An object as a member of the set; one that says so itself, of whatever set, is refused by `manifests` before.
pub(super) fn member(object: &Value, id: &str) -> Value {
    let mut object = object.clone();
    object["metadata"]["labels"][PART_OF] = id.into();
    object
}

fn group_kind(kind: &str, group: &str) -> String {
    match group {
        "" => kind.into(),
        group => format!("{kind}.{group}"),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn namespace() -> Namespace {
        "pr-1".parse().unwrap()
    }

    fn contents(kinds: &[&Kind]) -> Contents {
        let members: Vec<_> = kinds.iter().map(|kind| kind.object("x")).collect();
        Contents::of(members.iter())
    }

    #[test]
    fn ids_are_those_of_kubectl() {
        // Made by kubectl 1.32.
        for ((name, namespace, kind, group), expected) in [
            (
                ("my-set", "test", "Secret", ""),
                "applyset-0eFHV8ySqp7XoShsGvyWFQD3s96yqwHmzc4e0HR1dsY-v1",
            ),
            (
                ("my-set", "", "ApplySet", "company.com"),
                "applyset-rhp1a-HVAVT_dFgyEygyA1BEB82HPp2o10UiFTpqtAs-v1",
            ),
            (
                ("preview", "as1", "ConfigMap", ""),
                "applyset-fZtsS2Tw-oNniJBy0jrWagjuxt8hICQPi7NRPqtqfbk-v1",
            ),
        ] {
            assert_eq!(id_of(name, namespace, kind, group), expected);
        }
    }

    #[test]
    fn a_parent_says_what_kubectl_would_and_reads_back() {
        let contents = contents(&[&kinds::SERVICE, &kinds::DEPLOYMENT, &kinds::SECRET]);
        let parent = contents.parent(&namespace());
        let annotations = &parent["metadata"]["annotations"];
        assert_eq!(
            annotations[GROUP_KINDS], "Deployment.apps,Secret,Service",
            "{parent}"
        );
        assert_eq!(annotations[NAMESPACES], "");
        assert_eq!(annotations[SECRETS], "x");
        assert!(
            annotations[TOOLING]
                .as_str()
                .unwrap()
                .starts_with("preview-action/")
        );
        assert_eq!(Contents::read(&parent, &namespace()).unwrap(), contents);
        let kinds: Vec<_> = contents.kinds().map(|kind| kind.plural).collect();
        assert_eq!(kinds, ["secrets", "services", "deployments"]);
    }

    #[test]
    fn a_parent_of_another_tool_or_without_kinds_is_never_used() {
        let parent = contents(&[&kinds::SERVICE]).parent(&namespace());
        let spoilt = |place: &str, name: &str, value: Value| {
            let mut parent = parent.clone();
            parent["metadata"][place][name] = value;
            Contents::read(&parent, &namespace())
                .unwrap_err()
                .to_string()
        };
        let error = spoilt("annotations", TOOLING, "kubectl/v1.36.3".into());
        assert!(error.contains("kubectl/v1.36.3"), "{error}");
        for kinds in [Value::Null, "".into()] {
            let error = spoilt("annotations", GROUP_KINDS, kinds);
            assert!(error.contains(GROUP_KINDS), "{error}");
        }
        let error = spoilt("labels", ID, "applyset-x-v1".into());
        assert!(error.contains(ID), "{error}");
    }

    #[test]
    fn a_kind_that_is_not_known_stays_named() {
        let mut parent = contents(&[&kinds::SERVICE]).parent(&namespace());
        parent["metadata"]["annotations"][GROUP_KINDS] = "Service,Widget.example.com".into();
        let contents = Contents::read(&parent, &namespace()).unwrap();
        assert_eq!(
            contents.strange().group_kinds,
            BTreeSet::from(["Widget.example.com".to_owned()])
        );
    }

    #[test]
    fn kinds_of_extensions_and_opened_ones_are_looked_for() {
        kinds::open("left.example.com/v1", "Gadget", "gadgets");
        let mut parent = contents(&[&kinds::CERTIFICATE]).parent(&namespace());
        parent["metadata"]["annotations"][GROUP_KINDS] =
            "Certificate.cert-manager.io,Gadget.left.example.com".into();
        let contents = Contents::read(&parent, &namespace()).unwrap();
        let kinds: Vec<_> = contents.kinds().map(|kind| kind.plural).collect();
        assert_eq!(kinds, ["certificates", "gadgets"]);
        assert_eq!(contents.strange().named().count(), 0);
    }

    #[test]
    fn a_superset_covers_both() {
        let before = contents(&[&kinds::SERVICE, &kinds::SECRET]);
        let after = contents(&[&kinds::DEPLOYMENT]);
        assert!(!before.covers(&after));
        let both = after.and(&before);
        assert!(both.covers(&before) && both.covers(&after));
    }
}
