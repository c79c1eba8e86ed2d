//! Turns requests with a `Host` header into the page of the preview behind it, by Ingress or HTTPRoute, Service and ready pods.
//! It must not answer for what the objects do not say: unknown hosts are 404, hosts without ready pods 503.
//! The page names the revision of the pod that serves, so that a test sees whether a push really arrived.

use std::sync::Arc;

use serde_json::Value;

use super::Inner;
use super::network::{is_ready, selected_pods};
use super::state::{State, text};
use crate::simulate::http::{Reply, Request};

/// The annotation whose value the page shows as revision.
const REVISION: &str = "preview-action/sha";

/// Answers one request to the ingress.
pub(super) async fn answer(inner: Arc<Inner>, request: Request) -> Reply {
    let host = request
        .header("host")
        .split(':')
        .next()
        .unwrap_or_default()
        .to_lowercase();
    let state = inner.state();
    let Some((namespace, service)) = backend(&state, &host, &request.path) else {
        return Reply::text(404, "default backend - 404\n").header("content-type", "text/plain");
    };
    let service = state.store.object("Service", &namespace, &service);
    let mut pods = service
        .map(|service| selected_pods(&state, service))
        .unwrap_or_default();
    pods.retain(is_ready);
    // The newest serves: what a push brought must be seen as soon as it is ready.
    let version = |pod: &Value| {
        text(&pod["metadata"]["resourceVersion"])
            .parse::<u64>()
            .unwrap_or_default()
    };
    let Some(pod) = pods.iter().max_by_key(|pod| {
        (
            text(&pod["metadata"]["creationTimestamp"]).to_owned(),
            version(pod),
        )
    }) else {
        return Reply::text(503, "503 Service Temporarily Unavailable\n")
            .header("content-type", "text/plain");
    };
    let metadata = &pod["metadata"];
    let revision = text(&metadata["annotations"][REVISION]);
    let image = text(&pod["spec"]["containers"][0]["image"]);
    let page = format!(
        "<!doctype html>\n<title>{host}</title>\n<h1>{host}</h1>\n<p>revision: {revision}</p>\n<p>image: {image}</p>\n\
         <p>pod: {}</p>\n",
        text(&metadata["name"])
    );
    Reply::text(200, page).header("content-type", "text/html; charset=utf-8")
}

/// Finds namespace and name of the Service behind a host and path; the longest path wins.
fn backend(state: &State, host: &str, path: &str) -> Option<(String, String)> {
    let mut found: Vec<(usize, String, String)> = Vec::new();
    for ingress in state.store.all("Ingress", "") {
        if ingress["status"]["loadBalancer"]["ingress"].is_null() {
            continue;
        }
        for rule in
            list(&ingress["spec"]["rules"]).filter(|rule| host_fits(text(&rule["host"]), host))
        {
            for entry in list(&rule["http"]["paths"]) {
                let prefix = entry["path"].as_str().unwrap_or("/");
                let exact = entry["pathType"] == "Exact";
                if if exact {
                    prefix == path
                } else {
                    path_fits(prefix, path)
                } {
                    let service = text(&entry["backend"]["service"]["name"]);
                    found.push((
                        prefix.len(),
                        text(&ingress["metadata"]["namespace"]).to_owned(),
                        service.to_owned(),
                    ));
                }
            }
        }
    }
    for route in state.store.all("HTTPRoute", "") {
        if !list(&route["spec"]["hostnames"]).any(|name| host_fits(text(name), host)) {
            continue;
        }
        for rule in list(&route["spec"]["rules"]) {
            let service = text(&rule["backendRefs"][0]["name"]).to_owned();
            let matches: Vec<&str> = list(&rule["matches"])
                .filter_map(|one| one["path"]["value"].as_str())
                .collect();
            let prefixes = if matches.is_empty() {
                vec!["/"]
            } else {
                matches
            };
            for prefix in prefixes
                .into_iter()
                .filter(|prefix| path_fits(prefix, path))
            {
                found.push((
                    prefix.len(),
                    text(&route["metadata"]["namespace"]).to_owned(),
                    service.clone(),
                ));
            }
        }
    }
    let (_, namespace, service) = found.into_iter().max_by_key(|(length, ..)| *length)?;
    Some((namespace, service))
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn host_fits(rule: &str, host: &str) -> bool {
    match rule.strip_prefix("*.") {
        Some(domain) => host.split_once('.').is_some_and(|(_, rest)| rest == domain),
        None => rule.eq_ignore_ascii_case(host),
    }
}

/// Tells whether a path lies under a prefix, element by element.
fn path_fits(prefix: &str, path: &str) -> bool {
    // Rewriting ingresses write their prefix as a regular expression: `/api(/|$)(.*)`.
    let prefix = prefix
        .split('(')
        .next()
        .unwrap_or_default()
        .trim_end_matches('/');
    path.strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
