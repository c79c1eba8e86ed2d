//! Turns differences into Markdown, folded object by object, for a comment or a terminal.
//! It asks no cluster and compares nothing.
//! What does not fit is cut from the fields of each object first, because which objects change matters more.

use super::{
    ReportError,
    budget::{self, Budget},
    engine::render,
};
use crate::{
    cluster::outcome::{Difference, Differs, FieldChange},
    manifests::Origin,
    names::{CommitSha, Marker},
};
use serde::Serialize;

/// Changed fields that are shown of each object, tried one after the other.
const FIELDS: [usize; 4] = [100, 20, 5, 0];

/// Room for what stands above an answer.
const HEAD: usize = 500;

/// Objects that are named.
const MOST_OBJECTS: usize = 200;

/// What a deploy would change, as Markdown.
pub fn diff(differences: &[Difference]) -> Result<String, ReportError> {
    within(budget::COMMENT, differences)
}

/// The same as the answer to `/diff`.
pub fn answer(
    differences: &[Difference],
    commit: &CommitSha,
    marker: &Marker,
) -> Result<String, ReportError> {
    let budget = Budget {
        characters: budget::COMMENT.characters - HEAD,
        bytes: budget::COMMENT.bytes - HEAD,
    };
    let text = within(budget, differences)?;
    let head = format!(
        "{marker}\n### 🔍 What deploying `{}` would change\n\n",
        commit.short()
    );
    Ok(head + &text)
}

fn within(budget: Budget, differences: &[Difference]) -> Result<String, ReportError> {
    let mut text = String::new();
    for fields in FIELDS {
        text = render("comment/diff.md.j2", &page(differences, fields))?;
        if budget.holds(&text) {
            return Ok(text);
        }
    }
    Ok(budget.cut(&text, &render("comment/cut.md.j2", &())?))
}

#[derive(Serialize)]
struct Page {
    added: usize,
    changed: usize,
    recreated: usize,
    removed: usize,
    refused: usize,
    unchanged: usize,
    objects: Vec<Object>,
    more: usize,
}

#[derive(Serialize)]
struct Object {
    sign: &'static str,
    word: &'static str,
    name: String,
    origin: String,
    /// Lines with a sign in front, as in a unified diff.
    lines: String,
}

fn page(differences: &[Difference], fields: usize) -> Page {
    let count = |is: fn(&Differs) -> bool| {
        let mut all = differences.iter().map(|difference| &difference.differs);
        all.by_ref().filter(|differs| is(differs)).count()
    };
    let shown: Vec<_> = differences
        .iter()
        .filter(|difference| difference.differs != Differs::Unchanged)
        .collect();
    Page {
        added: count(|differs| matches!(differs, Differs::Added)),
        changed: count(|differs| matches!(differs, Differs::Changed(_))),
        recreated: count(|differs| matches!(differs, Differs::Recreated(_))),
        removed: count(|differs| matches!(differs, Differs::Removed)),
        refused: count(|differs| matches!(differs, Differs::Refused(_))),
        unchanged: count(|differs| matches!(differs, Differs::Unchanged)),
        more: shown.len().saturating_sub(MOST_OBJECTS),
        objects: shown
            .into_iter()
            .take(MOST_OBJECTS)
            .map(|difference| object(difference, fields))
            .collect(),
    }
}

fn object(difference: &Difference, fields: usize) -> Object {
    let (sign, word, lines) = match &difference.differs {
        Differs::Added => ("+", "added", String::new()),
        Differs::Removed => ("-", "removed", String::new()),
        Differs::Unchanged => ("=", "unchanged", String::new()),
        Differs::Changed(changes) => ("~", "changed", changed(changes, fields)),
        Differs::Recreated(named) => ("±", "deleted and made again", named.join("\n")),
        Differs::Refused(message) => ("!", "refused", message.clone()),
    };
    let origin = difference.origin.as_ref().and_then(Origin::shown);
    Object {
        sign,
        word,
        name: difference.id.to_string(),
        origin: origin.unwrap_or_default(),
        lines,
    }
}

fn changed(changes: &[FieldChange], most: usize) -> String {
    let mut lines = Vec::new();
    for change in changes.iter().take(most) {
        for (sign, value) in [("-", &change.before), ("+", &change.after)] {
            if let Some(value) = value {
                lines.push(format!("{sign} {}: {value}", change.field));
            }
        }
    }
    match changes.len().saturating_sub(most) {
        0 => {}
        1 => lines.push("… and 1 more field".into()),
        more => lines.push(format!("… and {more} more fields")),
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
    use super::*;
    use crate::names::ObjectId;

    fn difference(kind: &str, name: &str, differs: Differs) -> Difference {
        let origin = (differs != Differs::Removed).then(|| Origin {
            file: "deploy/app.yaml.j2".into(),
            line: 7,
        });
        Difference {
            id: ObjectId {
                group: String::new(),
                version: "v1".into(),
                kind: kind.into(),
                name: name.into(),
            },
            origin,
            differs,
        }
    }

    fn change(field: &str, before: &str, after: &str) -> FieldChange {
        let value = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        FieldChange {
            field: field.into(),
            before: value(before),
            after: value(after),
        }
    }

    #[test]
    fn a_diff_counts_names_and_folds() {
        let fields = vec![
            change("spec.replicas", "1", "2"),
            change("spec.paused", "", "true"),
        ];
        let text = diff(&[
            difference("Deployment", "web", Differs::Changed(fields)),
            difference("ConfigMap", "new", Differs::Added),
            difference(
                "Job",
                "migrate",
                Differs::Recreated(vec!["spec.template".into()]),
            ),
            difference(
                "ConfigMap",
                "bad",
                Differs::Refused("data.a: expected string".into()),
            ),
            difference("Service", "same", Differs::Unchanged),
            difference("Service", "old", Differs::Removed),
        ])
        .unwrap();
        insta::with_settings!({snapshot_path => "snapshots", prepend_module_to_snapshot => false, omit_expression => true}, {
            insta::assert_snapshot!("diff", text);
        });
        let nothing = diff(&[difference("Service", "same", Differs::Unchanged)]).unwrap();
        assert_eq!(
            nothing,
            "A deploy would change nothing: 1 object is as configured.\n"
        );
    }

    #[test]
    fn what_a_value_says_stays_in_its_block() {
        let evil = "\"```\\n</details> @everyone <img src=x> [x](https://evil.example)\"";
        let text = diff(&[difference(
            "ConfigMap",
            "a",
            Differs::Changed(vec![change("data.a", evil, "```\n</details>\n# big")]),
        )])
        .unwrap();
        let fences: Vec<_> = text
            .lines()
            .filter(|line| line.starts_with("````"))
            .collect();
        assert_eq!(fences.len(), 2, "{text}");
        assert_eq!(text.matches("<details>").count(), 1, "{text}");
    }

    #[test]
    fn a_large_diff_fits_and_still_names_every_object() {
        let many = |name: usize| {
            let fields =
                (0..100).map(|n| change(&format!("data.key{n}"), "\"before\"", "\"after\""));
            difference(
                "ConfigMap",
                &format!("c{name}"),
                Differs::Changed(fields.collect()),
            )
        };
        let all: Vec<_> = (0..150).map(many).collect();
        let text = diff(&all).unwrap();
        assert!(budget::COMMENT.holds(&text), "{}", text.len());
        for name in 0..150 {
            assert!(text.contains(&format!("ConfigMap/c{name}")), "c{name}");
        }
    }
}
