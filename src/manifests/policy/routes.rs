//! Holds Services, Ingresses and HTTPRoutes to the preview's own hosts and to the cluster's front door.
//! It knows the plan's hosts and the domain, no DNS.
//! One Ingress with a production host takes that host's traffic at once, and no quota stops it.

use super::{Check, is_set, items};
use crate::plan::host_belongs_to;
use serde_json::Value;

impl Check<'_> {
    pub(super) fn service(&mut self) {
        self.dns_annotations();
        let Some(spec) = self.parsed.object.get("spec") else {
            return;
        };
        let kind = spec.get("type").and_then(Value::as_str);
        if kind.is_some_and(|kind| kind != "ClusterIP") {
            self.refuse(
                &["spec", "type"],
                "opens a door of its own into or out of the cluster",
                "use ClusterIP, and an Ingress for what is public",
            );
        }
        for field in ["externalIPs", "externalName", "loadBalancerIP"] {
            let empty = spec
                .get(field)
                .is_some_and(|value| value == &Value::Array(vec![]));
            if is_set(spec.get(field)) && !empty {
                self.refuse(
                    &["spec", field],
                    "takes addresses that are not the preview's",
                    "leave it out",
                );
            }
        }
    }

    pub(super) fn ingress(&mut self) {
        let object = &self.parsed.object;
        self.dns_annotations();
        self.ingress_annotations();
        if is_set(object.pointer("/spec/defaultBackend")) {
            self.refuse(
                &["spec", "defaultBackend"],
                "would answer for every host of the cluster",
                "write rules with hosts",
            );
        }
        for (index, rule) in items(object, "/spec/rules") {
            self.host(&["spec", "rules", &index, "host"], rule.get("host"));
        }
        for (index, tls) in items(object, "/spec/tls") {
            for (number, host) in items(tls, "/hosts") {
                self.host(&["spec", "tls", &index, "hosts", &number], Some(host));
            }
        }
    }

    pub(super) fn http_route(&mut self) {
        let object = &self.parsed.object;
        self.dns_annotations();
        let mut hosts = 0;
        for (index, host) in items(object, "/spec/hostnames") {
            hosts += 1;
            self.host(&["spec", "hostnames", &index], Some(host));
        }
        if hosts == 0 {
            self.host(&["spec", "hostnames"], None);
        }
        for (index, rule) in items(object, "/spec/rules") {
            let path = ["spec", "rules", index.as_str()];
            for (number, backend) in items(rule, "/backendRefs") {
                let path = [&path[..], &["backendRefs", &number, "namespace"]].concat();
                self.own_namespace(&path, backend.get("namespace"));
            }
            for (number, filter) in items(rule, "/filters") {
                let mirror = filter.pointer("/requestMirror/backendRef/namespace");
                let field = [
                    "filters",
                    &number,
                    "requestMirror",
                    "backendRef",
                    "namespace",
                ];
                self.own_namespace(&[&path[..], &field].concat(), mirror);
            }
        }
    }

    fn host(&mut self, path: &[&str], host: Option<&Value>) {
        let host = host.and_then(Value::as_str).unwrap_or_default();
        let fence = self.fence;
        let inside = fence.hosts.contains(&host)
            || fence
                .domain
                .is_some_and(|domain| host_belongs_to(host, domain, fence.pr));
        if inside && !host.contains('*') {
            return;
        }
        let problem = if host.is_empty() {
            "has no host and so answers for every host of the cluster".to_owned()
        } else {
            format!("`{host:.120}` is not one of this preview's hosts")
        };
        let remedy = match fence.domain {
            Some(domain) => format!(
                "use {{{{ preview.host }}}}, or a host below `{domain}` with the number {} in it",
                fence.pr
            ),
            None => "set the input `domain`, and use {{ preview.host }}".into(),
        };
        self.refuse(path, problem, remedy);
    }

    fn own_namespace(&mut self, path: &[&str], namespace: Option<&Value>) {
        let ours = self.fence.namespace.as_str();
        if namespace.is_some_and(|named| !named.is_null() && named != ours) {
            self.refuse(
                path,
                "reaches into another Namespace",
                "leave it out: traffic of a preview ends in the preview",
            );
        }
    }

    /// Annotations that make a controller create DNS records.
    fn dns_annotations(&mut self) {
        for (key, value) in self.annotations() {
            if !key.starts_with("external-dns.alpha.kubernetes.io/") || !key.ends_with("hostname") {
                continue;
            }
            for host in value.split(',').map(str::trim) {
                let host = Value::String(host.into());
                self.host(&["metadata", "annotations", &key], Some(&host));
            }
        }
    }

    /// Annotations by which an Ingress writes into its controller's configuration or takes further hosts.
    fn ingress_annotations(&mut self) {
        for (key, value) in self.annotations() {
            let name = key.rsplit('/').next().unwrap_or_default();
            if name.ends_with("-snippet") || name.ends_with("-snippets") {
                self.refuse(
                    &["metadata", "annotations", &key],
                    "writes into the configuration that all Ingresses of the controller share",
                    "leave it out",
                );
            } else if name == "server-alias" {
                for host in value.split(',').map(str::trim) {
                    let host = Value::String(host.into());
                    self.host(&["metadata", "annotations", &key], Some(&host));
                }
            }
        }
    }

    fn annotations(&self) -> Vec<(String, String)> {
        let annotations = self.parsed.object.pointer("/metadata/annotations");
        annotations
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .map(|(key, value)| {
                let text = value.as_str().unwrap_or_default();
                (key.clone(), text.to_owned())
            })
            .collect()
    }
}
