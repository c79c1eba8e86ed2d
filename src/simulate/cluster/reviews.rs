//! Turns questions about the asker's own rights into answers.
//! It must not refuse anything itself; it reads the same denials as the routes.
//! A preflight that asks first must learn the truth that a later write would meet.

use serde_json::{Value, json};

use super::errors;
use super::kinds;
use super::state::{State, text};
use crate::simulate::http::{Reply, Request};

/// What rights may be about besides the served kinds.
const UNSERVED: [(&str, &str); 3] = [
    ("", "pods/log"),
    ("metrics.k8s.io", "pods"),
    ("traefik.io", "middlewares"),
];

/// Answers questions about permissions: everything is allowed that is not denied.
pub(super) fn answer(state: &State, review: &str, request: &Request) -> Reply {
    if request.method != "POST" {
        return Reply::json(405, &errors::method_not_allowed().body);
    }
    let mut body = request.json().unwrap_or_default();
    match review {
        "selfsubjectaccessreviews" => {
            let asked = &body["spec"]["resourceAttributes"];
            let resource = match text(&asked["subresource"]) {
                "" => text(&asked["resource"]).to_owned(),
                sub => format!("{}/{sub}", text(&asked["resource"])),
            };
            let denied = state.denies(text(&asked["verb"]), &resource, text(&asked["namespace"]));
            body["status"] = json!({"allowed": !denied});
            body["metadata"] = json!({});
            Reply::json(201, &body)
        }
        "selfsubjectrulesreviews" => {
            let namespace = text(&body["spec"]["namespace"]);
            let verbs = [
                "get", "list", "watch", "create", "update", "patch", "delete",
            ];
            let rule = |(group, resource): (&str, &str)| {
                let granted = verbs
                    .iter()
                    .filter(|verb| !state.denies(verb, resource, namespace));
                json!({"apiGroups": [group], "resources": [resource], "verbs": granted.collect::<Vec<_>>()})
            };
            let served = kinds::KINDS.iter().map(|kind| (kind.group, kind.plural));
            let rules: Vec<Value> = served.chain(UNSERVED).map(rule).collect();
            // The authorizer of nodes, which every usual cluster has, lists none.
            let problem = "node authorizer does not support user rule resolution";
            body["status"] = json!({
                "resourceRules": rules, "nonResourceRules": [], "incomplete": true, "evaluationError": problem,
            });
            body["metadata"] = json!({});
            Reply::json(201, &body)
        }
        _ => Reply::text(404, "404 page not found\n").unexpected(),
    }
}
