//! Reads the YAML tree of a configuration into its types.
//! It checks each value by itself and what keys of one service mean together; what needs a pull request is `plan`'s.
//! By hand and not derived: a derived reader stops at the first fault and cannot say which keys are allowed.

use super::{
    Allow, Amounts, Configuration, ConfigurationFault, Egress, Gateway, Ingress, LARGEST, Network,
    Policy, Quota, Tls,
    fields::{At, Faults, Fields},
    service::services,
};
use crate::{
    names::Label,
    yaml::{self, Content},
};
use serde_json::{Map, Value};

/// Keys that belong to later versions, so that the error can say so.
const LATER: &[&str] = &["secrets", "database", "hooks"];

pub(super) fn configuration(text: &str) -> Result<Configuration, Vec<ConfigurationFault>> {
    within(text, read)
}

/// The key `policy` alone, whatever else is in the file.
pub(super) fn policy(text: &str) -> Result<Policy, Vec<ConfigurationFault>> {
    within(text, |mut fields| {
        sub(&mut fields, "policy", super::policy::policy)
    })
}

fn within<T>(text: &str, read: impl FnOnce(Fields<'_>) -> T) -> Result<T, Vec<ConfigurationFault>> {
    if text.len() > LARGEST {
        return Err(vec![whole_file(
            format!("has {} bytes", text.len()),
            format!("keep it under {LARGEST} bytes"),
        )]);
    }
    let root = yaml::parse_node(text).map_err(|error| {
        vec![ConfigurationFault {
            line: error.line(),
            column: error.column(),
            ..whole_file(error.message().into(), "correct the YAML".into())
        }]
    })?;
    let faults = Faults::default();
    let found = At::root(&root, &faults).fields().map(read);
    let mut faults = faults.into_inner();
    faults.sort_by_key(|fault| (fault.line, fault.column));
    match found {
        Some(found) if faults.is_empty() => Ok(found),
        _ => Err(faults),
    }
}

fn whole_file(problem: String, fix: String) -> ConfigurationFault {
    ConfigurationFault {
        line: 0,
        column: 0,
        field: String::new(),
        problem,
        fix,
    }
}

fn read(mut fields: Fields<'_>) -> Configuration {
    if let Some(at) = fields.require("version", "the line `version: 1`") {
        at.number(1..=1);
    }
    let configuration = Configuration {
        version: (),
        services: fields.take("services").map(services).unwrap_or_default(),
        templates: fields.take("templates").map(globs).unwrap_or_default(),
        values: fields.take("values").map(values).unwrap_or_default(),
        ingress: sub(&mut fields, "ingress", ingress),
        network: sub(&mut fields, "network", network),
        quota: sub(&mut fields, "quota", quota),
        policy: sub(&mut fields, "policy", super::policy::policy),
    };
    fields.close(LATER);
    configuration
}

/// Reads a mapping that may be absent and then has its defaults.
pub(super) fn sub<T: Default>(
    fields: &mut Fields<'_>,
    name: &'static str,
    read: fn(Fields<'_>) -> T,
) -> T {
    fields
        .take(name)
        .and_then(At::fields)
        .map(read)
        .unwrap_or_default()
}

fn globs(at: At<'_>) -> Vec<String> {
    at.items().iter().filter_map(At::text).collect()
}

fn values(at: At<'_>) -> Map<String, Value> {
    at.entries()
        .into_iter()
        .map(|(key, at)| (key.text.clone(), at.node.to_value()))
        .collect()
}

fn ingress(mut fields: Fields<'_>) -> Ingress {
    let ingress = Ingress {
        class: fields.take("class").and_then(|at| at.text()),
        tls: fields.take("tls").and_then(tls).unwrap_or_default(),
        annotations: fields
            .take("annotations")
            .map(|at| at.scalars())
            .unwrap_or_default(),
        gateway: fields.take("gateway").and_then(|at| gateway(&at)),
    };
    if ingress.gateway.is_some() {
        for (set, key) in [
            (ingress.class.is_some(), "class"),
            (
                matches!(ingress.tls, Tls::Secret(_) | Tls::Issuer(_)),
                "tls",
            ),
        ] {
            if set {
                fields.fault(
                    format!("`gateway` and this `{key}` exclude each other"),
                    "leave it out: the Gateway has its own listeners and certificates (`tls: on` says that it serves https)",
                );
            }
        }
    }
    fields.close(&[]);
    ingress
}

fn tls(at: At<'_>) -> Option<Tls> {
    match &at.node.content {
        Content::Bool(true) => Some(Tls::On),
        Content::Bool(false) => Some(Tls::Off),
        Content::Text(text) if text == "on" => Some(Tls::On),
        Content::Text(text) if text == "off" => Some(Tls::Off),
        Content::Map(_) => {
            let mut fields = at.fields()?;
            let secret = fields.take("secret");
            let issuer = fields.take("issuer");
            let tls = match (secret, issuer) {
                (Some(secret), None) => secret.text().map(Tls::Secret),
                (None, Some(issuer)) => issuer.text().map(Tls::Issuer),
                _ => {
                    fields.fault(
                        "needs either `secret` or `issuer`",
                        "name the Secret with the certificate, or the ClusterIssuer that makes one",
                    );
                    None
                }
            };
            fields.close(&[]);
            tls
        }
        _ => {
            at.fault(
                format!("is {}", at.node.kind()),
                "write `off`, `on`, {secret: name} or {issuer: name}",
            );
            None
        }
    }
}

fn gateway(at: &At<'_>) -> Option<Gateway> {
    let text = at.text()?;
    let parts = text.split_once('/').filter(|(namespace, name)| {
        [namespace, name]
            .iter()
            .all(|part| part.parse::<Label>().is_ok())
    });
    if parts.is_none() {
        at.fault(
            format!("`{text:.80}` does not name a Gateway"),
            "write `namespace/name`",
        );
    }
    parts.map(|(namespace, name)| Gateway {
        namespace: namespace.into(),
        name: name.into(),
    })
}

fn network(mut fields: Fields<'_>) -> Network {
    let network = Network {
        allow: fields
            .take("allow")
            .map(|at| at.items().into_iter().filter_map(allow).collect())
            .unwrap_or_default(),
        egress: fields
            .take("egress")
            .and_then(|at| {
                at.word(&[
                    ("internet", Egress::Internet),
                    ("cluster", Egress::Cluster),
                    ("none", Egress::None),
                ])
            })
            .unwrap_or_default(),
    };
    fields.close(&[]);
    network
}

fn allow(at: At<'_>) -> Option<Allow> {
    let mut fields = at.fields()?;
    let namespace = fields
        .require("namespace", "`namespace: name`")
        .and_then(|at| at.parsed::<Label>("the name of a namespace"));
    let pods = fields.take("pods").map(|at| at.scalars());
    let port = fields.take("port").and_then(|at| port(&at));
    fields.close(&[]);
    Some(Allow {
        namespace: namespace?.to_string(),
        pods: pods.unwrap_or_default(),
        port,
    })
}

fn quota(mut fields: Fields<'_>) -> Quota {
    let quota = Quota {
        requests: sub(&mut fields, "requests", amounts),
        limits: sub(&mut fields, "limits", amounts),
        pods: fields.take("pods").and_then(|at| at.number(0..=1000)),
        claims: fields.take("claims").and_then(|at| at.number(0..=1000)),
    };
    fields.close(&[]);
    quota
}

pub(super) fn amounts(mut fields: Fields<'_>) -> Amounts {
    let amounts = Amounts {
        cpu: fields
            .take("cpu")
            .and_then(|at| at.parsed("an amount of CPU, such as 500m or 2")),
        memory: fields
            .take("memory")
            .and_then(|at| at.parsed("an amount of memory, such as 512Mi")),
    };
    fields.close(&[]);
    amounts
}

pub(super) fn port(at: &At<'_>) -> Option<u16> {
    at.number(1..=u16::MAX.into())
        .and_then(|port| u16::try_from(port).ok())
}
