//! Turns plan, configuration and settings into what templates see, and picks the built-in templates.
//! It renders nothing.
//! Every variable is always there, empty if need be, so that a template can test it without guarding against undefined.

use super::render::{RenderRequest, Template, TextTemplate};
use crate::{
    inputs::{
        Settings,
        configuration::{
            Allow, Configuration, Egress, EnvValue, Quantity, Resources, Run, Service, Tls,
        },
    },
    names::Label,
    plan::{Plan, PlannedService, PublicUrl},
    templates,
};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// Name that the pull secret has in each preview.
pub const PULL_SECRET: &str = "preview-pull-secret";

/// Makes the request that renders a plan: the built-in templates, the repository's own, and the context of all.
pub fn build(
    plan: &Plan,
    configuration: &Configuration,
    settings: &Settings,
    own: Vec<(String, String)>,
) -> RenderRequest {
    let built_in = templates::MANIFESTS.iter().map(|(name, text)| Template {
        path: format!("built-in/{name}"),
        text: (*text).into(),
        built_in: true,
    });
    // a file of the repository cannot pass for one of ours
    let own = own.into_iter().map(|(path, text)| Template {
        path: match path.strip_prefix("built-in/") {
            Some(rest) => format!("./built-in/{rest}"),
            None => path,
        },
        text,
        built_in: false,
    });
    let context = context(plan, configuration, settings);
    RenderRequest {
        templates: built_in.chain(own).collect(),
        texts: texts(&context, &settings.config),
        context,
    }
}

fn context(plan: &Plan, configuration: &Configuration, settings: &Settings) -> Value {
    let main = plan.urls.first();
    let mut values = configuration.values.clone();
    merge(&mut values, &settings.values);
    let by_service = |value: fn(&PublicUrl) -> &str| -> Map<String, Value> {
        plan.urls
            .iter()
            .map(|url| (url.service.to_string(), json!(value(url))))
            .collect()
    };
    let preview = json!({
        "number": plan.pr,
        "sha": plan.sha,
        "short_sha": plan.sha.short(),
        "branch": plan.branch,
        "repository": plan.repository,
        "namespace": plan.namespace,
        "environment": plan.key.environment,
        "variant": plan.key.variant.as_ref().map_or("", Label::as_str),
        "domain": plan.domain.as_ref().map_or("", |domain| domain.as_str()),
        "host": main.map_or("", |url| url.host.as_str()),
        "url": main.map_or("", |url| url.url.as_str()),
    });
    let mut context = json!({
        "preview": preview,
        "images": plan.images,
        "hosts": by_service(|url| url.host.as_str()),
        "urls": by_service(|url| url.url.as_str()),
        "values": values,
        "pull_secret": if settings.pull_secret.is_some() { PULL_SECRET } else { "" },
        "ingress": ingress(configuration),
        "network": network(configuration),
        "quota": quota(configuration),
        "limits": {"requests": {"cpu": CPU.0, "memory": MEMORY.0}, "limits": {"cpu": CPU.1, "memory": MEMORY.1}},
    });
    let services: Vec<_> = configuration
        .services
        .iter()
        .filter_map(|(name, service)| {
            let planned = plan.services.iter().find(|planned| planned.name == *name)?;
            Some(self::service(plan, configuration, planned, service))
        })
        .map(|service| with_job_name(service, &context))
        .collect();
    context["services"] = json!(services);
    context
}

/// Requests and limits of a container that names none.
const CPU: (&str, &str) = ("50m", "500m");
const MEMORY: (&str, &str) = ("64Mi", "512Mi");

fn service(
    plan: &Plan,
    configuration: &Configuration,
    planned: &PlannedService,
    service: &Service,
) -> Value {
    let name = planned.name.as_str();
    let files: Vec<_> = service
        .files
        .iter()
        .enumerate()
        .map(|(index, (path, text))| json!({"path": path, "key": file_key(index, path), "text": text}))
        .collect();
    let env: Vec<_> = service
        .env
        .iter()
        .map(|(name, value)| match value {
            EnvValue::Text(text) => json!({"name": name, "value": text, "secret": "", "key": ""}),
            EnvValue::Secret(from) => {
                json!({"name": name, "value": "", "secret": from.secret, "key": from.key})
            }
        })
        .collect();
    let public = plan.urls.iter().find(|url| url.service == planned.name);
    let health = service.health.as_ref().map_or("", |health| &health.path);
    let listens = service.port.is_some() || public.is_some();
    json!({
        "name": name,
        "image": planned.image,
        "pull_policy": if planned.mutable_tag { "Always" } else { "IfNotPresent" },
        "port": service.port(),
        "replicas": service.replicas(),
        "once": service.run == Run::Once,
        "env": env,
        "command": service.command,
        "args": service.args,
        "files": files,
        "resources": resources(&service.resources),
        "probe": match (health, listens) {
            ("", true) => "tcp",
            ("", false) => "none",
            _ => "http",
        },
        "health_path": health,
        "storage": {
            "path": service.storage.as_ref().map_or("", |storage| &storage.path),
            "size": service.storage.as_ref().map_or(String::new(), |storage| storage.size.to_string()),
        },
        "node_selector": map(&service.node_selector),
        "tolerations": service.tolerations,
        "route": route(plan, configuration, public, service),
    })
}

/// How a service is reached from outside; all empty when it is not.
fn route(
    plan: &Plan,
    configuration: &Configuration,
    url: Option<&PublicUrl>,
    service: &Service,
) -> Value {
    let Some(url) = url else {
        return json!({
            "host": "", "path": "", "url": "", "strip_prefix": false, "tls_secret": "", "issuer": "",
        });
    };
    let strip = service
        .public
        .as_ref()
        .is_some_and(|public| public.strip_prefix && url.path != "/");
    // one certificate for each host: cert-manager gives it to one Ingress, the others name the same Secret
    let first = plan
        .urls
        .iter()
        .find(|other| other.host == url.host)
        .is_some_and(|other| other.service == url.service);
    let (secret, issuer) = match &configuration.ingress.tls {
        Tls::Off | Tls::On => (String::new(), ""),
        Tls::Secret(name) => (name.clone(), ""),
        Tls::Issuer(name) => (
            format!("tls-{}", url.host),
            if first { name.as_str() } else { "" },
        ),
    };
    json!({
        "host": url.host,
        "path": url.path,
        "url": url.url,
        "strip_prefix": strip,
        "tls_secret": secret,
        "issuer": issuer,
    })
}

/// Names a Job after what it does: the same Job is not run again, a changed one is not refused as immutable.
fn with_job_name(mut service: Value, context: &Value) -> Value {
    let mut name = String::new();
    if service["once"] == json!(true) {
        let digits: String = Sha256::digest(json!([service, context]).to_string())
            .iter()
            .take(4)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let base = service["name"].as_str().unwrap_or_default();
        let base: String = base.chars().take(54).collect();
        name = format!("{}-{digits}", base.trim_end_matches('-'));
    }
    service["job_name"] = json!(name);
    service
}

fn ingress(configuration: &Configuration) -> Value {
    let ingress = &configuration.ingress;
    json!({
        "class": ingress.class.as_deref().unwrap_or_default(),
        "traefik": ingress.class.as_ref().is_some_and(|class| class.contains("traefik")),
        "tls": ingress.tls != Tls::Off,
        "annotations": map(&ingress.annotations),
        "gateway": {
            "namespace": ingress.gateway.as_ref().map_or("", |gateway| &gateway.namespace),
            "name": ingress.gateway.as_ref().map_or("", |gateway| &gateway.name),
        },
    })
}

fn network(configuration: &Configuration) -> Value {
    let allow = |allow: &Allow| {
        json!({
            "namespace": allow.namespace,
            "pods": map(&allow.pods),
            "port": allow.port.unwrap_or(0),
        })
    };
    json!({
        "egress": match configuration.network.egress {
            Egress::Internet => "internet",
            Egress::Cluster => "cluster",
            Egress::None => "none",
        },
        "allow": configuration.network.allow.iter().map(allow).collect::<Vec<_>>(),
    })
}

fn quota(configuration: &Configuration) -> Value {
    let quota = &configuration.quota;
    let or = |amount: &Option<Quantity>, default: &str| {
        amount.as_ref().map_or(default.into(), ToString::to_string)
    };
    json!({
        "requests": {"cpu": or(&quota.requests.cpu, "1"), "memory": or(&quota.requests.memory, "1Gi")},
        "limits": {"cpu": or(&quota.limits.cpu, "4"), "memory": or(&quota.limits.memory, "4Gi")},
        "pods": quota.pods.unwrap_or(10),
        "claims": quota.claims.unwrap_or(3),
    })
}

/// Requests and limits with their defaults, which give way to what is written: no request is above its limit.
fn resources(resources: &Resources) -> Value {
    let Resources { requests, limits } = resources;
    let cpu = amounts(&requests.cpu, &limits.cpu, CPU);
    let memory = amounts(&requests.memory, &limits.memory, MEMORY);
    json!({
        "requests": {"cpu": cpu.0, "memory": memory.0},
        "limits": {"cpu": cpu.1, "memory": memory.1},
    })
}

fn amounts(
    request: &Option<Quantity>,
    limit: &Option<Quantity>,
    defaults: (&str, &str),
) -> (String, String) {
    let milli = |text: &str| text.parse::<Quantity>().map_or(0, |amount| amount.milli());
    let request_text = match (request, limit) {
        (Some(request), _) => request.to_string(),
        (None, Some(limit)) if limit.milli() < milli(defaults.0) => limit.to_string(),
        _ => defaults.0.into(),
    };
    let limit_text = match limit {
        Some(limit) => limit.to_string(),
        None if milli(&request_text) > milli(defaults.1) => request_text.clone(),
        None => defaults.1.into(),
    };
    (request_text, limit_text)
}

fn map(entries: &[(String, String)]) -> Map<String, Value> {
    entries
        .iter()
        .map(|(key, value)| (key.clone(), json!(value)))
        .collect()
}

/// A key of a ConfigMap for a file: its name, made legal, with its number so that no two are the same.
fn file_key(index: usize, path: &str) -> String {
    let name: String = path
        .rsplit('/')
        .next()
        .unwrap_or_default()
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || "-_.".contains(c) {
                c
            } else {
                '-'
            }
        })
        .take(200)
        .collect();
    format!("{index}-{name}")
}

/// Lays the values of the input over those of the configuration, mapping by mapping.
fn merge(below: &mut Map<String, Value>, above: &Map<String, Value>) {
    for (key, value) in above {
        match (below.get_mut(key), value) {
            (Some(Value::Object(below)), Value::Object(above)) => merge(below, above),
            _ => {
                below.insert(key.clone(), value.clone());
            }
        }
    }
}

/// The texts of the configuration that may hold template expressions.
fn texts(context: &Value, file: &str) -> Vec<TextTemplate> {
    let mut texts = Vec::new();
    let mut add = |pointer: String, field: String| {
        texts.push(TextTemplate {
            pointer,
            file: file.into(),
            field,
        });
    };
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    for (number, service) in list(&context["services"]).iter().enumerate() {
        let name = service["name"].as_str().unwrap_or_default();
        let base = format!("/services/{number}");
        for (index, variable) in list(&service["env"]).iter().enumerate() {
            let variable = variable["name"].as_str().unwrap_or_default();
            add(
                format!("{base}/env/{index}/value"),
                format!("services.{name}.env.{variable}"),
            );
        }
        for key in ["command", "args"] {
            for index in 0..list(&service[key]).len() {
                add(
                    format!("{base}/{key}/{index}"),
                    format!("services.{name}.{key}[{index}]"),
                );
            }
        }
        for (index, file) in list(&service["files"]).iter().enumerate() {
            let path = file["path"].as_str().unwrap_or_default();
            add(
                format!("{base}/files/{index}/text"),
                format!("services.{name}.files.{path}"),
            );
        }
    }
    let annotations = context.pointer("/ingress/annotations");
    for key in annotations
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(key, _)| key)
    {
        let escaped = key.replace('~', "~0").replace('/', "~1");
        add(
            format!("/ingress/annotations/{escaped}"),
            format!("ingress.annotations.{key}"),
        );
    }
    texts
}
