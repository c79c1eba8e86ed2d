//! Turns hosts that a preview wants into the Namespaces elsewhere that serve them already.
//! It must not decide what a taken host means, and knows no preview.
//! Names are compared as they are written: a wildcard gives way to an exact host, so it takes none away.

use super::{
    Cluster,
    answer::Class,
    call::{Call, Only, Selector},
    error::ClusterError,
    kinds::{self, Kind},
};
use crate::names::Namespace;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Hosts that the routes of a preview are for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Hosts, as written.
    pub hosts: BTreeSet<String>,
    /// True when an HTTPRoute is among the routes; only then are those of others looked at.
    pub gateway: bool,
}

/// Who else serves hosts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Elsewhere {
    /// Hosts by the Namespace that serves them.
    pub taken: BTreeMap<Namespace, BTreeSet<String>>,
    /// Routes of the one Namespace that are for wanted hosts.
    pub own: Vec<Route>,
    /// Resources that this credential may not list across Namespaces.
    pub unchecked: Vec<&'static str>,
}

/// A route and the wanted hosts that it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    kind: &'static Kind,
    name: String,
    uid: String,
    /// Hosts, as written.
    pub hosts: BTreeSet<String>,
}

impl Wanted {
    /// Adds the hosts of an object, if it is an Ingress or an HTTPRoute.
    pub fn add(&mut self, object: &Value) {
        let api = object["apiVersion"].as_str().unwrap_or_default();
        match object["kind"].as_str() {
            Some("Ingress") => {}
            Some("HTTPRoute") if api.starts_with(kinds::HTTP_ROUTE.group) => self.gateway = true,
            _ => return,
        }
        self.hosts.extend(hosts(object).map(str::to_owned));
    }
}

impl Cluster {
    /// Finds who serves these hosts outside one Namespace: one list of Ingresses, and one of HTTPRoutes where those are used.
    pub async fn hosts_elsewhere(
        &self,
        wanted: &Wanted,
        own: &Namespace,
    ) -> Result<Elsewhere, ClusterError> {
        let mut found = Elsewhere::default();
        if wanted.hosts.is_empty() {
            return Ok(found);
        }
        let routes = async {
            match wanted.gateway {
                true => self.everywhere(&kinds::HTTP_ROUTE).await,
                false => Ok(Some(Vec::new())),
            }
        };
        let (ingresses, routes) = tokio::join!(self.everywhere(&kinds::INGRESS), routes);
        for (kind, list) in [(&kinds::INGRESS, ingresses?), (&kinds::HTTP_ROUTE, routes?)] {
            let Some(list) = list else {
                found.unchecked.push(kind.plural);
                continue;
            };
            for object in &list {
                found.note(kind, wanted, own, object);
            }
        }
        Ok(found)
    }

    /// Takes these routes away as they were seen; each is tried, and the first error told.
    pub async fn withdraw(
        &self,
        namespace: &Namespace,
        routes: impl Iterator<Item = &Route>,
    ) -> Result<(), ClusterError> {
        let mut first = Ok(());
        for route in routes {
            let only = Only {
                uid: route.uid.clone(),
                version: None,
            };
            let call = Call::delete(route.kind, Some(namespace), &route.name, only, None)?;
            match self.send(call).await {
                Err(error) if !error.is_not_found() => first = first.and(Err(error)),
                _ => {}
            }
        }
        first
    }

    /// Every object of a kind; none when that may not be read.
    pub(super) async fn everywhere(&self, kind: &Kind) -> Result<Option<Vec<Value>>, ClusterError> {
        let call = Call::list(kind, None, &Selector::default())?;
        match self.send(call).await {
            Ok(mut answer) => Ok(Some(match answer.body["items"].take() {
                Value::Array(items) => items,
                _ => Vec::new(),
            })),
            Err(error) => match error.class() {
                Some(Class::Forbidden(_)) => Ok(None),
                Some(Class::KindUnknown) => Ok(Some(Vec::new())),
                _ => Err(error),
            },
        }
    }
}

impl Elsewhere {
    fn note(&mut self, kind: &'static Kind, wanted: &Wanted, own: &Namespace, object: &Value) {
        let metadata = &object["metadata"];
        let namespace = metadata["namespace"].as_str().map(str::parse::<Namespace>);
        let Some(Ok(namespace)) = namespace else {
            return;
        };
        // What is being deleted gives its hosts free.
        if metadata["deletionTimestamp"].is_string() {
            return;
        }
        let hosts = hosts(object).filter(|host| wanted.hosts.contains(*host));
        let hosts: BTreeSet<String> = hosts.map(str::to_owned).collect();
        if hosts.is_empty() {
            return;
        }
        if namespace != *own {
            self.taken.entry(namespace).or_default().extend(hosts);
            return;
        }
        let text = |field: &str| metadata[field].as_str().unwrap_or_default().to_owned();
        self.own.push(Route {
            kind,
            name: text("name"),
            uid: text("uid"),
            hosts,
        });
    }
}

/// The hosts that an Ingress or an HTTPRoute is for.
fn hosts(object: &Value) -> impl Iterator<Item = &str> {
    let rules = object["spec"]["rules"].as_array().into_iter().flatten();
    let names = object["spec"]["hostnames"].as_array().into_iter().flatten();
    let rules = rules.filter_map(|rule| rule["host"].as_str());
    rules.chain(names.filter_map(Value::as_str))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use serde_json::json;

    fn ingress(namespace: &str, hosts: &[&str]) -> Value {
        let rules: Vec<_> = hosts.iter().map(|host| json!({"host": host})).collect();
        json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
            "metadata": {"name": "web", "namespace": namespace}, "spec": {"rules": rules},
        })
    }

    fn route(hosts: &[&str]) -> Value {
        json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
            "metadata": {"name": "web", "namespace": "theirs"}, "spec": {"hostnames": hosts, "rules": [{}]},
        })
    }

    #[test]
    fn routes_say_which_hosts_are_wanted() {
        let mut wanted = Wanted::default();
        wanted.add(&ingress("ours", &["a.test", "b.test"]));
        wanted.add(&json!({"kind": "Service", "spec": {"rules": [{"host": "c.test"}]}}));
        assert!(!wanted.gateway);
        wanted.add(&route(&["d.test"]));
        assert!(wanted.gateway);
        let hosts: Vec<_> = wanted.hosts.iter().map(String::as_str).collect();
        assert_eq!(hosts, ["a.test", "b.test", "d.test"]);
    }

    #[test]
    fn only_exact_hosts_of_other_namespaces_that_stay_are_taken() {
        let mut wanted = Wanted::default();
        wanted.add(&ingress("ours", &["a.test", "b.test"]));
        let own: Namespace = "ours".parse().unwrap();
        let mut going = ingress("going", &["a.test"]);
        going["metadata"]["deletionTimestamp"] = "2026-11-21T06:57:05Z".into();
        let mut found = Elsewhere::default();
        for object in [
            going,
            ingress("wild", &["*.test"]),
            ingress("other", &["x.a.test"]),
            json!({"metadata": {"namespace": "bare"}, "spec": {"defaultBackend": {}}}),
        ] {
            found.note(&kinds::INGRESS, &wanted, &own, &object);
        }
        assert_eq!(found, Elsewhere::default());
        found.note(
            &kinds::INGRESS,
            &wanted,
            &own,
            &ingress("theirs", &["c.test", "b.test"]),
        );
        found.note(&kinds::INGRESS, &wanted, &own, &route(&["a.test"]));
        let hosts: Vec<_> = found.taken[&"theirs".parse().unwrap()].iter().collect();
        assert_eq!(hosts, ["a.test", "b.test"]);
    }
}
