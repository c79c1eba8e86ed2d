//! Gives the hooks of a Helm chart their place in a preview: what Helm runs around an installation runs around a deploy.
//! It runs nothing and knows no chart; it reads the annotations that `helm template` leaves in its output.
//! Hooks that nobody calls here are left out and said so: a chart's test Pod in the set would be a second, failing workload.

use super::{normalise, order, parse::Parsed};
use serde_json::{Value, json};

const HOOK: &str = "helm.sh/hook";
const WEIGHT: &str = "helm.sh/hook-weight";

/// Lets the engine replace a hook's Job, as Helm does before it makes one anew.
const RECREATE: &str = "preview-action/recreate";

/// What becomes of a hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    First,
    /// Before an update, but after the first deploy.
    Later,
    Last,
    Ordinary,
    Nowhere,
}

/// Puts hooks in their places and drops those that have none; each is told in `notices`.
pub(super) fn place<'r>(parsed: Vec<Parsed<'r>>, notices: &mut Vec<String>) -> Vec<Parsed<'r>> {
    let mut kept = Vec::new();
    for mut object in parsed {
        let Some(hooks) = hooks(&object.object).filter(|_| !object.source.built_in) else {
            kept.push(object);
            continue;
        };
        let place = place_of(&object.id.kind, &hooks);
        let what = match place {
            Place::First => "it runs before the workloads",
            Place::Later => {
                "it runs before the workloads, but after them until the preview has been ready once"
            }
            Place::Last => "it runs after the workloads are applied",
            Place::Ordinary => "it is deployed like any other object",
            Place::Nowhere => "a preview has no use for it, so it is left out",
        };
        notices.push(format!(
            "{} of {}:{} is a Helm hook ({:.80}): {what}",
            object.id,
            object.origin.file,
            object.origin.line,
            hooks.join(", ")
        ));
        match place {
            Place::Nowhere => continue,
            Place::First | Place::Later => {
                annotate(&mut object.object, &[order::RUN_FIRST, RECREATE])
            }
            Place::Last => annotate(&mut object.object, &[RECREATE]),
            Place::Ordinary => {}
        }
        kept.push(object);
    }
    kept
}

/// True for what runs after all other workloads.
pub(super) fn runs_last(kind: &str, object: &Value) -> bool {
    hooks(object).is_some_and(|hooks| place_of(kind, &hooks) == Place::Last)
}

/// True for what runs before an update, but after the workloads are applied where nothing was ready yet.
pub(super) fn runs_later(kind: &str, object: &Value) -> bool {
    hooks(object).is_some_and(|hooks| place_of(kind, &hooks) == Place::Later)
}

/// Where a hook stands among its like; lower ones first, as Helm has it.
pub(super) fn weight(object: &Value) -> i64 {
    annotation(object, WEIGHT)
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or_default()
}

fn place_of(kind: &str, hooks: &[&str]) -> Place {
    let has = |name: &str| hooks.contains(&name);
    let runs = matches!(kind, "Job" | "Pod");
    let before = has("pre-install") || has("pre-upgrade");
    let after = has("post-install") || has("post-upgrade");
    match (before, after) {
        (true, _) if runs && has("post-install") && !has("pre-install") => Place::Later,
        (true, _) if runs => Place::First,
        (_, true) if runs => Place::Last,
        (false, false) => Place::Nowhere,
        _ => Place::Ordinary,
    }
}

fn hooks(object: &Value) -> Option<Vec<&str>> {
    let text = annotation(object, HOOK)?;
    Some(text.split(',').map(str::trim).collect())
}

fn annotation<'v>(object: &'v Value, key: &str) -> Option<&'v str> {
    object
        .pointer("/metadata/annotations")?
        .get(key)?
        .as_str()
        .filter(|text| !text.trim().is_empty())
}

fn annotate(object: &mut Value, keys: &[&str]) {
    if let Some(annotations) = normalise::map_at(object, &["metadata", "annotations"]) {
        for key in keys {
            annotations.entry(*key).or_insert_with(|| json!("true"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hook_of_helm_has_its_place() {
        for (kind, hooks, place) in [
            ("Job", "pre-install", Place::First),
            ("Job", "pre-upgrade,pre-install", Place::First),
            ("Job", "post-install,pre-upgrade", Place::Later),
            ("Job", "pre-install,post-install", Place::First),
            ("Job", "pre-upgrade", Place::First),
            ("ConfigMap", "post-install,pre-upgrade", Place::Ordinary),
            ("Pod", "post-upgrade", Place::Last),
            ("Job", "post-install,test", Place::Last),
            ("ConfigMap", "pre-install", Place::Ordinary),
            ("Secret", "post-install", Place::Ordinary),
            ("Pod", "test", Place::Nowhere),
            ("Pod", "test-success", Place::Nowhere),
            ("Job", "pre-delete", Place::Nowhere),
            ("Job", "post-delete", Place::Nowhere),
            ("Job", "pre-rollback,post-rollback", Place::Nowhere),
            ("ConfigMap", "test", Place::Nowhere),
            ("Job", "crd-install", Place::Nowhere),
        ] {
            let object = json!({"metadata": {"annotations": {HOOK: hooks}}});
            let found = super::hooks(&object).map(|hooks| place_of(kind, &hooks));
            assert_eq!(found, Some(place), "{kind} {hooks}");
        }
    }

    #[test]
    fn weights_are_whole_numbers_and_anything_else_counts_as_none() {
        for (text, expected) in [("-5", -5), ("10", 10), (" 1 ", 1), ("x", 0), ("1.5", 0)] {
            let object = json!({"metadata": {"annotations": {WEIGHT: text}}});
            assert_eq!(weight(&object), expected, "{text}");
        }
        assert_eq!(weight(&json!({"metadata": {"annotations": [1]}})), 0);
    }
}
