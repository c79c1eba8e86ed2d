//! Holds Services, Ingresses and HTTPRoutes to the preview's own hosts and to the cluster's front door.
//! It knows the plan's hosts and the domain, no DNS.
//! One Ingress with a production host takes that host's traffic at once, and no quota stops it.

use super::{Check, is_set, items, or_open};
use crate::{inputs::configuration::Allowance, plan::host_belongs_to};
use serde_json::Value;

/// Annotations whose value is hosts that are answered for besides those of the rules.
const HOSTS: &[&str] = &["common-name", "host-aliases", "server-alias"];

/// Annotations whose value may name an object of another Namespace, as `namespace/name`.
const REFERENCES: &[&str] = &[
    "auth-proxy-set-headers",
    "auth-secret",
    "auth-tls-secret",
    "ca-secret",
    "custom-headers",
    "fastcgi-params-configmap",
    "proxy-ssl-secret",
    "secure-verify-ca-secret",
];

/// Annotations that are copied into a controller's configuration or make it send requests elsewhere; some have been ways
/// to take the controller over (CVE-2021-25742, CVE-2025-1097, CVE-2025-1098, CVE-2025-24514).
const WRITES: &[&str] = &[
    "auth-signin",
    "auth-tls-error-page",
    "auth-tls-match-cn",
    "auth-url",
    "config-backend",
    "influxdb-host",
    "mirror-host",
    "mirror-target",
];

/// True for snippets under all their names, rules in annotations, and whole configurations in one.
fn writes_configuration(key: &str, name: &str) -> bool {
    WRITES.contains(&name)
        || name.ends_with("-snippet")
        || name.ends_with("-snippets")
        || key.starts_with("getambassador.io/")
        || ["actions.", "conditions.", "group."]
            .iter()
            .any(|part| key.starts_with("alb.ingress.kubernetes.io/") && name.starts_with(part))
}

impl Check<'_> {
    pub(super) fn service(&mut self) {
        self.dns_annotations();
        self.controller_annotations();
        let Some(spec) = self.parsed.object.get("spec") else {
            return;
        };
        let doors = [
            ("NodePort", Allowance::NodePort),
            ("LoadBalancer", Allowance::LoadBalancer),
            ("ExternalName", Allowance::ExternalName),
        ];
        let named = spec.get("type").filter(|kind| !kind.is_null());
        let kind = named.map_or("ClusterIP", |kind| kind.as_str().unwrap_or("?"));
        const PROBLEM: &str = "opens a door of its own into or out of the cluster";
        const REMEDY: &str = "use ClusterIP, and an Ingress for what is public";
        match doors.iter().find(|(name, _)| *name == kind) {
            Some((_, allowance)) => {
                self.refuse_unless(*allowance, &["spec", "type"], PROBLEM, REMEDY)
            }
            None if kind == "ClusterIP" => {}
            None => self.refuse(&["spec", "type"], PROBLEM, REMEDY),
        }
        // A Service that answers for a foreign address takes its traffic, so nothing opens that.
        let fields = [
            ("externalIPs", None),
            ("externalName", Some(Allowance::ExternalName)),
            ("loadBalancerIP", Some(Allowance::LoadBalancer)),
        ];
        for (field, allowance) in fields {
            let value = spec.get(field);
            if !is_set(value) || value == Some(&Value::Array(Vec::new())) {
                continue;
            }
            let problem = "takes addresses that are not the preview's";
            match allowance {
                // said once, at the type
                Some(_) if kind != "ClusterIP" => {}
                Some(allowance) => {
                    self.refuse_unless(allowance, &["spec", field], problem, "leave it out")
                }
                None => self.refuse(&["spec", field], problem, "leave it out"),
            }
        }
    }

    /// Traffic into the preview is its own affair; traffic out of it is what our own NetworkPolicy bounds, and policies add up.
    pub(super) fn network_policy(&mut self) {
        if self.parsed.source.built_in {
            return;
        }
        for (index, rule) in items(&self.parsed.object, "/spec/egress") {
            let peers = rule.get("to").and_then(Value::as_array);
            let open = peers.is_none_or(|peers| {
                peers.is_empty() || peers.iter().any(|peer| is_set(peer.get("ipBlock")))
            });
            if open {
                self.refuse_unless(
                    Allowance::OpenEgress,
                    &["spec", "egress", &index],
                    "lets pods reach addresses, those of nodes and of their metadata included",
                    "leave it out, or name pods and Namespaces in `to`; the configuration's `network` opens the internet",
                );
            }
        }
    }

    pub(super) fn ingress(&mut self) {
        let object = &self.parsed.object;
        self.dns_annotations();
        self.controller_annotations();
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
        for (index, parent) in items(object, "/spec/parentRefs") {
            // Which routes a Gateway takes, and from where, is its own to say; other parents have no such say.
            let gateway = parent
                .get("kind")
                .is_none_or(|kind| kind.is_null() || kind == "Gateway");
            if !gateway {
                let path = ["spec", "parentRefs", &index, "namespace"];
                self.own_namespace(&path, parent.get("namespace"));
            }
        }
        if let Some(rules) = object.pointer("/spec/rules") {
            self.own_namespaces(&["spec", "rules"], rules);
        }
    }

    /// Whatever a rule refers to, in backends as in filters of filters.
    fn own_namespaces(&mut self, path: &[&str], value: &Value) {
        match value {
            Value::Object(fields) => {
                for (key, value) in fields {
                    let deeper = [path, &[key]].concat();
                    if key == "namespace" {
                        self.own_namespace(&deeper, Some(value));
                    }
                    self.own_namespaces(&deeper, value);
                }
            }
            Value::Array(list) => {
                for (index, item) in list.iter().enumerate() {
                    let index = index.to_string();
                    self.own_namespaces(&[path, &[&index]].concat(), item);
                }
            }
            _ => {}
        }
    }

    fn host(&mut self, path: &[&str], host: Option<&Value>) {
        let host = host.and_then(Value::as_str).unwrap_or_default();
        let fence = self.fence;
        let inside = fence.hosts.contains(&host)
            || fence.policy.opens_host(host, fence.pr)
            || fence
                .domain
                .is_some_and(|domain| host_belongs_to(host, domain, fence.number));
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
                fence.number
            ),
            None => "set the input `domain`, and use {{ preview.host }}".into(),
        };
        let remedy = if host.is_empty() || host.contains('*') {
            remedy
        } else {
            or_open(&remedy, &format!("policy: {{hosts: [{host:.120}]}}"))
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

    /// Annotations by which an object writes into a controller's configuration or takes further hosts.
    fn controller_annotations(&mut self) {
        for (key, value) in self.annotations() {
            let path = ["metadata", "annotations", &key];
            let name = key.rsplit('/').next().unwrap_or_default();
            if HOSTS.contains(&name) {
                for host in value.split(',').map(str::trim) {
                    self.host(&path, Some(&Value::String(host.into())));
                }
            } else if writes_configuration(&key, name)
                || (key.contains("ingress") && value.contains('\n'))
            {
                self.refuse_unless(
                    Allowance::IngressAnnotations,
                    &path,
                    "writes into the configuration that all Ingresses of the controller share, or makes it ask other addresses",
                    "leave it out",
                );
            } else if REFERENCES.contains(&name)
                && let Some((namespace, _)) = value.split_once('/')
            {
                self.own_namespace(&path, Some(&Value::String(namespace.trim().into())));
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
