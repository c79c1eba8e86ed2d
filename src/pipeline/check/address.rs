//! Looks at what leads visitors to a preview: classes and gateways, hosts, and the address itself.
//! It changes nothing, and asks about nothing that the rendered set does not name.
//! A preview that is not there yet has no answer of its own, so only what comes before that answer counts.

use super::{ADDRESS, Look, fault, faults, finding, fine, not_looked_at, note, unseen};
use crate::{
    cluster::Arrival,
    health::{self, Answer},
    inputs::HealthMode,
    manifests::{self, ManifestSet},
    names::{Namespace, State},
    pipeline::hosts,
    plan::Plan,
    report::{Finding, Verdict},
};
use jiff::Timestamp;
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// How long the preview's address is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// Days that are left of a certificate when somebody should know: cert-manager renews a month before the end.
const EXPIRING: i64 = 14;

impl Look<'_> {
    pub(super) async fn classes(&self, set: &ManifestSet) -> Vec<Finding> {
        let ingresses = set.objects.iter().filter(|one| one.id.kind == "Ingress");
        let mut wanted: Vec<(&str, bool)> = ingresses.map(|one| class(&one.object)).collect();
        wanted.sort_unstable();
        wanted.dedup();
        if wanted.is_empty() {
            return Vec::new();
        }
        let what = "which classes of Ingress there are";
        let classes = match self.cluster.ingress_classes().await {
            Ok(Some(classes)) => classes,
            Ok(None) => {
                return vec![not_looked_at(
                    ADDRESS,
                    what,
                    "this credential may not list them",
                )];
            }
            Err(error) => return unseen(ADDRESS, what.into(), error.into()),
        };
        let names: Vec<&str> = classes.iter().map(|(name, _)| name.as_str()).collect();
        let there = match names.as_slice() {
            [] => "none".to_owned(),
            names => names.join(", "),
        };
        let remedy =
            "name one that there is in `ingress: {class: …}`, or install an ingress controller";
        let row = |(name, annotated): &(&str, bool)| match *name {
            "" if classes.iter().any(|(_, default)| *default) => fine(
                ADDRESS,
                "the Ingress is of the cluster's default class".into(),
            ),
            "" => note(
                ADDRESS,
                &format!(
                    "the Ingress names no class, and none is the cluster's default; there is: {there}"
                ),
                remedy,
            ),
            name if names.contains(&name) => {
                fine(ADDRESS, format!("there is an Ingress class {name}"))
            }
            // A controller may take by annotation what no object stands for.
            name if *annotated => note(
                ADDRESS,
                &format!(
                    "the Ingress names class {name} by annotation, which is no Ingress class here; there is: {there}"
                ),
                remedy,
            ),
            name => fault(
                ADDRESS,
                format!("there is no Ingress class {name}; there is: {there}"),
                remedy,
            ),
        };
        wanted.iter().map(row).collect()
    }

    /// Whether the Gateways that routes name take them in, those aside that the set itself brings.
    pub(super) async fn gateways(&self, plan: &Plan, set: &ManifestSet) -> Vec<Finding> {
        let own = plan.namespace.as_str();
        let from = manifests::namespace(plan, plan.slot.unwrap_or(1), State::Ready, None);
        let brings = |name: &str| {
            let mut all = set.objects.iter();
            all.any(|one| one.id.kind == "Gateway" && one.id.name == name)
        };
        let mut wanted: BTreeMap<(Namespace, &str), Vec<(&Value, &Value)>> = BTreeMap::new();
        for one in set.objects.iter().filter(|one| one.id.kind == "HTTPRoute") {
            let parents = one.object["spec"]["parentRefs"].as_array();
            for parent in parents.into_iter().flatten() {
                let text = |field: &str| parent[field].as_str();
                let name = text("name").unwrap_or_default();
                let namespace = text("namespace").unwrap_or(own);
                let other = text("kind").is_some_and(|kind| kind != "Gateway");
                if let Ok(namespace) = namespace.parse()
                    && !(other || namespace == plan.namespace && brings(name))
                {
                    let routes = wanted.entry((namespace, name)).or_default();
                    routes.push((parent, &one.object));
                }
            }
        }
        let mut found = Vec::new();
        for ((namespace, name), routes) in wanted {
            let what = format!("Gateway {namespace}/{name}");
            let gateway = match self.cluster.gateway(&namespace, name).await {
                Ok(gateway) => gateway,
                Err(error) => {
                    found.extend(unseen(ADDRESS, what, error.into()));
                    continue;
                }
            };
            let keeps_out = |(parent, route): &(&Value, &Value)| match &gateway {
                Some(gateway) => gateway.keeps_out(Arrival {
                    parent,
                    route,
                    from: &from,
                }),
                None => Some("it does not exist".into()),
            };
            let why: BTreeSet<String> = routes.iter().filter_map(keeps_out).collect();
            found.push(match why.is_empty() {
                true => fine(ADDRESS, format!("{what} takes the routes in")),
                false => fault(
                    ADDRESS,
                    format!("{what} does not take all routes in: {}", Vec::from_iter(why).join("; ")),
                    "name one that does in `ingress: {gateway: …}`, or ask who runs the cluster to let these routes in",
                ),
            });
        }
        found
    }

    pub(super) async fn hosts(&self, plan: &Plan, set: &ManifestSet) -> Vec<Finding> {
        match hosts::look(self.cluster, plan, set).await {
            Ok(None) => vec![fine(
                ADDRESS,
                "nothing else in the cluster serves its hosts".into(),
            )],
            Ok(Some(unchecked)) => vec![finding(ADDRESS, Verdict::NotLookedAt, unchecked, "")],
            Err(failure) => faults(ADDRESS, &failure),
        }
    }

    /// Asks the main address once: before a deploy only the name, the connection and the certificate count.
    pub(super) async fn address(
        &self,
        plan: &Plan,
        set: &ManifestSet,
        placed: bool,
    ) -> Vec<Finding> {
        let Some(url) = plan.urls.first() else {
            return Vec::new();
        };
        let health = self.ports.settings.health;
        if health == HealthMode::Off {
            let what = format!("whether {} can be reached", url.url);
            return vec![not_looked_at(ADDRESS, &what, "input `health` is `off`")];
        }
        let (target, options) = self.ports.health_check(url, PATIENCE);
        let (answer, trouble, until) = match health::once(&target, &options).await {
            Ok(seen) => seen,
            Err(error) => return vec![not_looked_at(ADDRESS, &url.url, &error.to_string())],
        };
        let verdict = match answer {
            Answer::Status { .. } => {
                let certificate = match url.url.starts_with("https://") {
                    true => ", and its certificate is trusted, for this name and of today",
                    false => "",
                };
                let mut found = vec![fine(
                    ADDRESS,
                    format!("somebody answers at {}{certificate}", url.url),
                )];
                found.extend(until.and_then(|until| expires(until, self.ports.now())));
                return found;
            }
            Answer::Certificate(_) if placed || !brings_its_certificate(set) => Verdict::Fault,
            _ if health == HealthMode::Required => Verdict::Fault,
            _ => Verdict::Note,
        };
        vec![finding(ADDRESS, verdict, trouble.cause, &trouble.remedy)]
    }
}

/// The class that an Ingress names, and whether it does so by the annotation that came before classes were objects.
fn class(ingress: &Value) -> (&str, bool) {
    let annotated = ingress["metadata"]["annotations"]["kubernetes.io/ingress.class"].as_str();
    match (ingress["spec"]["ingressClassName"].as_str(), annotated) {
        (None, Some(name)) => (name, true),
        (named, _) => (named.unwrap_or_default(), false),
    }
}

/// That a certificate ends soon, for all that renews it by itself would have done so before.
fn expires(until: Timestamp, now: Timestamp) -> Option<Finding> {
    let left = until.duration_since(now).as_hours() / 24;
    let day = until.strftime("%Y-%m-%d");
    (left < EXPIRING).then(|| {
        note(
            ADDRESS,
            &format!("its certificate expires on {day}, in {left} days"),
            "see why it was not renewed, or let whoever runs the cluster replace it",
        )
    })
}

/// True when the certificate is a Secret of the preview's own, so that there is none before it lives.
fn brings_its_certificate(set: &ManifestSet) -> bool {
    let named = |object: &Value| object["spec"]["tls"][0]["secretName"].is_string();
    set.objects.iter().any(|one| named(&one.object))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_that_ends_soon_is_told() {
        let now = Timestamp::UNIX_EPOCH;
        let told = |days: i64| expires(now + jiff::SignedDuration::from_hours(24 * days), now);
        assert_eq!(told(14), None);
        assert_eq!(
            told(13).map(|one| (one.verdict, one.cause)),
            Some((
                Verdict::Note,
                "its certificate expires on 1970-01-14, in 13 days".into()
            ))
        );
    }
}
