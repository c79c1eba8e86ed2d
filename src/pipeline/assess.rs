//! Turns text with live objects, as `kubectl get -o json` or `-o yaml` prints them, into one verdict for each.
//! It asks no cluster; what stands in the text is all there is.
//! A document that cannot be read does not hide the others: each is judged by itself, in the order of the text.

use crate::{
    cluster::{outcome::Readiness, readiness},
    yaml,
};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

/// What is said of one object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Verdict {
    /// Its state.
    Object {
        /// Kind.
        kind: String,
        /// Namespace; empty when the object names none.
        namespace: String,
        /// Name.
        name: String,
        /// State.
        status: Readiness,
        /// One word for machines; empty when there is nothing to say.
        reason: String,
        /// What it is waiting for, why it failed, or what is odd about it.
        message: String,
    },
    /// Why there is none.
    Unreadable {
        /// What is wrong, and in which line.
        error: String,
    },
}

/// Judges every object of a text as it is at a moment.
pub fn assess(text: &str, now: Timestamp) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    for document in documents(text) {
        match document {
            Ok(value) => judge(value, now, &mut verdicts),
            Err(error) => verdicts.push(Verdict::Unreadable { error }),
        }
    }
    verdicts
}

/// The documents of a text: JSON values one after another, or YAML.
fn documents(text: &str) -> Vec<Result<Value, String>> {
    if text.len() > yaml::LARGEST {
        return vec![Err(format!(
            "text of {} bytes is larger than the {} bytes allowed",
            text.len(),
            yaml::LARGEST
        ))];
    }
    if text.trim_start().starts_with(['{', '['])
        && let Some(values) = json(text)
    {
        return values;
    }
    let mut documents = Vec::new();
    for (before, part) in parts(text) {
        match yaml::parse_documents(&part) {
            Ok(nodes) => documents.extend(
                nodes
                    .iter()
                    .map(yaml::Node::to_value)
                    .filter(|value| !value.is_null())
                    .map(Ok),
            ),
            Err(error) => documents.push(Err(match error.line() {
                0 => error.message().to_owned(),
                line => format!("line {}: {}", before + line, error.message()),
            })),
        }
    }
    documents
}

/// JSON values up to the first that is broken; none when not even the first can be read, because it may be YAML.
fn json(text: &str) -> Option<Vec<Result<Value, String>>> {
    let mut values = Vec::new();
    for value in serde_json::Deserializer::from_str(text).into_iter::<Value>() {
        match value {
            Ok(value) => values.push(Ok(value)),
            Err(_) if values.is_empty() => return None,
            Err(error) => values.push(Err(error.to_string())),
        }
    }
    Some(values)
}

/// The text at each `---`, with the number of lines before.
fn parts(text: &str) -> Vec<(u32, String)> {
    let mut parts = vec![(0, String::new())];
    for (number, line) in (0_u32..).zip(text.lines()) {
        let begins = line
            .strip_prefix("---")
            .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r']));
        if begins {
            parts.push((number, String::new()));
        }
        if let Some((_, part)) = parts.last_mut() {
            part.push_str(line);
            part.push('\n');
        }
    }
    parts.retain(|(_, part)| !part.trim().is_empty());
    parts
}

fn judge(mut value: Value, now: Timestamp, verdicts: &mut Vec<Verdict>) {
    if let Value::Array(items) = value {
        items
            .into_iter()
            .for_each(|item| judge(item, now, verdicts));
        return;
    }
    let text = |pointer: &str| {
        let found = value.pointer(pointer).and_then(Value::as_str);
        found.unwrap_or_default().to_owned()
    };
    let (version, kind) = (text("/apiVersion"), text("/kind"));
    if let Some(of) = kind.strip_suffix("List")
        && value["items"].is_array()
    {
        if let Value::Array(items) = value["items"].take() {
            for mut item in items {
                // Items of a list from the API do not say their own kind.
                if !of.is_empty() && item.is_object() && item["kind"].is_null() {
                    item["kind"] = of.into();
                    item["apiVersion"] = version.clone().into();
                }
                judge(item, now, verdicts);
            }
        }
        return;
    }
    let missing = if !value.is_object() {
        Some("this is no object".into())
    } else if kind.is_empty() {
        Some("the object has no `kind`".into())
    } else if version.is_empty() {
        Some(format!("the object of kind {kind} has no `apiVersion`"))
    } else if !value["metadata"].is_object() {
        Some(format!("the object of kind {kind} has no `metadata`"))
    } else {
        None
    };
    verdicts.push(match missing {
        Some(error) => Verdict::Unreadable { error },
        None => {
            let verdict = readiness::assess(&value, now, None);
            Verdict::Object {
                kind,
                namespace: text("/metadata/namespace"),
                name: text("/metadata/name"),
                status: verdict.readiness,
                reason: verdict.reason,
                message: verdict.message,
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        let told = |verdict: &Verdict| match verdict {
            Verdict::Object {
                kind, name, status, ..
            } => format!("{kind}/{name} {status:?}"),
            Verdict::Unreadable { error } => format!("error: {error}"),
        };
        assess(text, Timestamp::UNIX_EPOCH)
            .iter()
            .map(told)
            .collect()
    }

    const MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n";

    #[test]
    fn a_broken_document_does_not_hide_the_others() {
        let text = format!(
            "{MAP}---\na: [\n--- # third\n{MAP}---\n# nothing\n---\njust text\n---\nkind: Pod\n"
        );
        let lines = lines(&text);
        assert_eq!(lines.len(), 5, "{lines:?}");
        assert_eq!(lines[0], "ConfigMap/a Ready");
        assert!(lines[1].starts_with("error: line "), "{lines:?}");
        assert_eq!(lines[2], "ConfigMap/a Ready");
        assert_eq!(lines[3], "error: this is no object");
        assert_eq!(
            lines[4],
            "error: the object of kind Pod has no `apiVersion`"
        );
    }

    #[test]
    fn lists_keep_their_order_and_lend_their_kind() {
        let list = r#"{"apiVersion": "v1", "kind": "List", "items": [
            {"apiVersion": "v1", "kind": "PodList", "items": [{"metadata": {"name": "p"}, "status": {"phase": "Failed"}}]},
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}]}
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "q"}, "status": {}}"#;
        assert_eq!(
            lines(list),
            ["Pod/p Failed", "ConfigMap/c Ready", "Pod/q InProgress"]
        );
        assert_eq!(
            lines("- apiVersion: v1\n  kind: Secret\n  metadata: {name: s}\n"),
            ["Secret/s Ready"]
        );
    }

    #[test]
    fn json_that_breaks_off_is_an_error_after_what_was_whole() {
        let told = lines(
            r#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}} {"apiVersion""#,
        );
        assert_eq!(told.len(), 2);
        assert!(told[1].starts_with("error: "), "{told:?}");
        assert_eq!(lines("{"), lines("{"));
        assert!(lines("{")[0].starts_with("error: "));
        // What begins like JSON may be YAML all the same.
        assert_eq!(
            lines("{apiVersion: v1, kind: ConfigMap, metadata: {name: c}}"),
            ["ConfigMap/c Ready"]
        );
    }
}
