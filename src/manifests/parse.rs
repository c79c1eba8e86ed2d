//! Turns rendered text into single objects, each with its identity and the place of every field in it.
//! It knows no kind and forbids nothing that Kubernetes allows; that is `policy`'s.
//! Faults are gathered over all files, so that one run shows them all.

use super::{
    Origin,
    error::{Faults, ManifestError, excerpt_without_value},
    render::Rendered,
};
use crate::{
    names::{ObjectId, ReasonCode, is_object_name},
    yaml::{self, Content, Node},
};
use serde_json::Value;
use std::collections::BTreeMap;

/// Most objects of one preview.
const MOST_OBJECTS: usize = 1_000;

/// Most values of all files together: aliases make few bytes many values.
const MOST_VALUES: usize = 300_000;

/// One object as it was written.
#[derive(Debug)]
pub(super) struct Parsed<'r> {
    pub(super) id: ObjectId,
    pub(super) object: Value,
    pub(super) node: Node,
    pub(super) origin: Origin,
    pub(super) source: &'r Rendered,
}

impl Parsed<'_> {
    /// An error about a field of this object.
    pub(super) fn error(
        &self,
        reason: ReasonCode,
        path: &[&str],
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) -> ManifestError {
        let mut field = self.id.to_string();
        for (index, part) in path.iter().enumerate() {
            match (index, part.parse::<usize>()) {
                (0, _) => field.push_str(": "),
                (_, Ok(_)) => {}
                _ => field.push('.'),
            }
            match part.parse::<usize>() {
                Ok(number) => field.push_str(&format!("[{number}]")),
                Err(_) => field.push_str(part),
            }
        }
        at(
            self.source,
            &self.node,
            path,
            Fault {
                reason,
                field,
                problem: problem.into(),
                remedy: remedy.into(),
            },
        )
    }
}

struct Fault {
    reason: ReasonCode,
    field: String,
    problem: String,
    remedy: String,
}

fn at(source: &Rendered, node: &Node, path: &[&str], fault: Fault) -> ManifestError {
    let (line, column) = node.place_of(path.iter().copied());
    ManifestError {
        reason: fault.reason,
        file: source.file.clone(),
        line,
        column,
        field: fault.field,
        problem: fault.problem,
        remedy: fault.remedy,
        excerpt: excerpt_without_value(&source.text, line, column),
    }
}

/// All objects of all files; what is wrong goes to `faults`.
pub(super) fn objects<'r>(rendered: &'r [Rendered], faults: &mut Faults) -> Vec<Parsed<'r>> {
    let mut reading = Reading {
        found: Vec::new(),
        faults,
        room: MOST_VALUES,
    };
    for source in rendered {
        match yaml::parse_documents(&source.text) {
            Ok(documents) => {
                let values = documents.iter().map(Node::size).sum();
                let Some(room) = reading.room.checked_sub(values) else {
                    reading.too_much(source, "more values than a preview needs");
                    return Vec::new();
                };
                reading.room = room;
                for node in documents {
                    reading.collect(source, node);
                }
            }
            Err(error) => reading.faults.add(|| ManifestError {
                reason: ReasonCode::BadManifest,
                file: source.file.clone(),
                line: error.line(),
                column: error.column(),
                field: String::new(),
                problem: error.message().into(),
                remedy: "correct the YAML; the line is that of the rendered text, which `preview-action render` shows".into(),
                excerpt: excerpt_without_value(&source.text, error.line(), error.column()),
            }),
        }
        if reading.found.len() > MOST_OBJECTS {
            reading.too_much(source, &format!("more than {MOST_OBJECTS} objects"));
            return Vec::new();
        }
    }
    let found = reading.found;
    refuse_twins(&found, faults);
    found
}

struct Reading<'f, 'r> {
    found: Vec<Parsed<'r>>,
    faults: &'f mut Faults,
    room: usize,
}

impl<'r> Reading<'_, 'r> {
    fn too_much(&mut self, source: &Rendered, what: &str) {
        self.faults.add(|| ManifestError {
            reason: ReasonCode::BadManifest,
            file: source.file.clone(),
            line: 0,
            column: 0,
            field: String::new(),
            problem: format!("with this file there are {what}"),
            remedy: "deploy less, or look for aliases and lists that multiply".into(),
            excerpt: String::new(),
        });
    }

    fn bad(&mut self, source: &Rendered, node: &Node, path: &[&str], problem: &str, remedy: &str) {
        self.faults.add(|| {
            at(
                source,
                node,
                path,
                Fault {
                    reason: ReasonCode::BadManifest,
                    field: String::new(),
                    problem: problem.into(),
                    remedy: remedy.into(),
                },
            )
        });
    }

    /// Takes one document apart: an object, a list of objects, or nothing.
    fn collect(&mut self, source: &'r Rendered, node: Node) {
        if node.content == Content::Null {
            return;
        }
        let object = node.to_value();
        if !object.is_object() {
            let problem = format!("the document is {}, not an object", node.kind());
            let remedy = "write a mapping with `apiVersion`, `kind` and `metadata`";
            return self.bad(source, &node, &[], &problem, remedy);
        }
        let kind = text(&object, "/kind");
        if kind.ends_with("List") && object.get("items").is_some() {
            self.list(source, node);
        } else if let Some(id) = self.identity(source, &node, &object) {
            self.found.push(Parsed {
                id,
                origin: Origin {
                    file: source.file.clone(),
                    line: node.line,
                },
                source,
                object,
                node,
            });
        }
    }

    fn list(&mut self, source: &'r Rendered, node: Node) {
        let Content::Map(entries) = node.content else {
            return;
        };
        for (key, items) in entries {
            if let (true, Content::List(items)) = (key.text == "items", items.content) {
                for item in items {
                    self.collect(source, item);
                }
            }
        }
    }

    fn identity(&mut self, source: &Rendered, node: &Node, object: &Value) -> Option<ObjectId> {
        let version = text(object, "/apiVersion");
        let (kind, name) = (text(object, "/kind"), text(object, "/metadata/name"));
        let mut complete = true;
        for (value, field) in [(version, "apiVersion"), (kind, "kind")] {
            if value.is_empty() {
                let problem = format!("`{field}` is missing or no text");
                let remedy = "add it, such as `apiVersion: v1` and `kind: ConfigMap`";
                self.bad(source, node, &[field], &problem, remedy);
                complete = false;
            }
        }
        let wrong = if object.pointer("/metadata/generateName").is_some() {
            Some((
                "generateName",
                "`generateName` makes another object at each deploy",
                "write `metadata.name`",
            ))
        } else if name.is_empty() {
            Some((
                "name",
                "`metadata.name` is missing or no text",
                "add it, in quotes if it is a number",
            ))
        } else if !is_object_name(name) {
            Some((
                "name",
                "`metadata.name` is not made of lower-case letters, digits, hyphens and dots",
                "rename the object",
            ))
        } else {
            None
        };
        if let Some((field, problem, remedy)) = wrong {
            self.bad(source, node, &["metadata", field], problem, remedy);
            complete = false;
        }
        let (group, version) = version.split_once('/').unwrap_or(("", version));
        complete.then(|| ObjectId {
            group: group.into(),
            version: version.into(),
            kind: kind.into(),
            name: name.into(),
        })
    }
}

fn text<'v>(object: &'v Value, pointer: &str) -> &'v str {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// Two objects of one kind and name in the repository's own templates, or in ours, are a mistake.
fn refuse_twins(found: &[Parsed<'_>], faults: &mut Faults) {
    let mut seen: BTreeMap<_, &Origin> = BTreeMap::new();
    for parsed in found {
        let key = (
            parsed.source.built_in,
            &parsed.id.group,
            &parsed.id.kind,
            &parsed.id.name,
        );
        if let Some(first) = seen.insert(key, &parsed.origin) {
            faults.add(|| {
                parsed.error(
                    ReasonCode::BadManifest,
                    &["metadata", "name"],
                    format!("stands here and in {}:{} as well", first.file, first.line),
                    "rename or delete one of them",
                )
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> (Vec<String>, Vec<String>) {
        let rendered = [Rendered {
            file: "deploy/app.yaml".into(),
            text: text.into(),
            built_in: false,
        }];
        let mut faults = Faults::default();
        let found = objects(&rendered, &mut faults)
            .iter()
            .map(|parsed| {
                format!(
                    "{}:{} {}",
                    parsed.id.api_version(),
                    parsed.origin.line,
                    parsed.id
                )
            })
            .collect();
        (found, faults.texts())
    }

    #[test]
    fn documents_and_lists_become_objects_with_their_lines() {
        let (found, errors) = parse(
            "---\n# only a comment\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n---\n\
             apiVersion: v1\nkind: List\nitems:\n- apiVersion: apps/v1\n  kind: Deployment\n  metadata: {name: b}\n- \
             apiVersion: v1\n  kind: ConfigMapList\n  items:\n  - {apiVersion: v1, kind: ConfigMap, metadata: {name: c}}\n",
        );
        assert_eq!(errors, Vec::<String>::new());
        assert_eq!(
            found,
            [
                "v1:4 ConfigMap/a",
                "apps/v1:11 Deployment/b",
                "v1:17 ConfigMap/c"
            ]
        );
    }

    #[test]
    fn every_fault_is_reported_with_its_place() {
        let (found, errors) = parse(
            "kind: ConfigMap\nmetadata: {name: a}\n---\napiVersion: v1\nkind: 7\nmetadata:\n  name: 12\n---\n- list\n---\n\
             apiVersion: v1\nkind: Pod\nmetadata:\n  generateName: x-\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: A_b}\n---\n\
             apiVersion: v1\nkind: Pod\nmetadata:\n  name: twin\n---\napiVersion: v2\nkind: Pod\nmetadata:\n  name: twin\n",
        );
        assert_eq!(found.len(), 2);
        insta::assert_snapshot!(errors.join("\n"));
    }

    #[test]
    fn broken_yaml_is_told_without_its_values() {
        for text in [
            "a: 1\npassword: hunter2: x\n",
            "password: hunter2\npassword: hunter3\n",
            "a: [hunter2\n",
        ] {
            let (found, errors) = parse(text);
            assert!(found.is_empty());
            assert_eq!(errors.len(), 1, "{errors:?}");
            assert!(!errors[0].contains("hunter"), "{}", errors[0]);
        }
    }
}
