//! Finds Services whose selector matches no pod of what was applied, and says so in words.
//! It asks nothing: the pod templates of the same set are what a selector can match.
//! A warning and no failure, because an operator may bring the pods later; until then nothing answers behind the Service.

use super::{
    failures::{FailureClass, about},
    kinds::{self, Kind},
    outcome::Applied,
};
use serde_json::{Map, Value};

/// One warning for each Service that nothing stands behind.
pub(super) fn warnings(applied: &[Applied]) -> Vec<String> {
    let pods: Vec<&Map<String, Value>> = applied.iter().filter_map(labels).collect();
    applied
        .iter()
        .filter(|one| Kind::of(&one.id) == Some(&kinds::SERVICE))
        .filter_map(|one| {
            let selector = one.live["spec"]["selector"].as_object()?;
            if selector.is_empty() || pods.iter().any(|labels| matches(selector, labels)) {
                return None;
            }
            let pairs = selector
                .iter()
                .map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default()));
            let mut facts = about(&one.id, &one.origin, &one.live);
            facts.insert("selector", pairs.collect::<Vec<_>>().join(", "));
            facts.insert("message", String::new());
            let (cause, remedy) = FailureClass::SelectorEmpty.sentences(&facts);
            Some(format!("{cause}; {remedy}"))
        })
        .collect()
}

/// The labels that the pods of a workload get.
fn labels(one: &Applied) -> Option<&Map<String, Value>> {
    let live = &one.live;
    let template = match one.id.kind.as_str() {
        "Pod" => live,
        "CronJob" => &live["spec"]["jobTemplate"]["spec"]["template"],
        _ => &live["spec"]["template"],
    };
    template["metadata"]["labels"].as_object()
}

fn matches(selector: &Map<String, Value>, labels: &Map<String, Value>) -> bool {
    selector
        .iter()
        .all(|(name, value)| labels.get(name) == Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cluster::outcome::Change, manifests::Origin};
    use serde_json::json;

    fn applied(kind: &Kind, spec: Value) -> Applied {
        Applied {
            id: kind.object("web"),
            change: Change::Created,
            warnings: Vec::new(),
            origin: Origin {
                file: "web.yaml".into(),
                line: 7,
            },
            live: json!({"kind": kind.kind, "spec": spec}),
        }
    }

    #[test]
    fn only_a_service_that_selects_nothing_is_warned_of() {
        let service = |selector: Value| applied(&kinds::SERVICE, json!({"selector": selector}));
        let pods = || {
            let labels = json!({"app": "web", "tier": "front"});
            applied(
                &kinds::DEPLOYMENT,
                json!({"template": {"metadata": {"labels": labels}}}),
            )
        };
        assert!(warnings(&[service(json!({"app": "web"})), pods()]).is_empty());
        assert!(warnings(&[service(Value::Null), pods()]).is_empty());
        assert_eq!(
            warnings(&[service(json!({"app": "wbe"})), pods()]),
            [
                "the selector of Service/web (app=wbe) matches no pod of this preview, so nothing answers behind it; \
                 let spec.selector in web.yaml, line 7 name labels that the pods have"
            ]
        );
    }
}
