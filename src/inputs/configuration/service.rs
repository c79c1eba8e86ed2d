//! Reads the services of a configuration.
//! It checks each key by itself and what the keys of one service mean together.
//! Apart from the rest of the file, because services are nearly all that people write.

use super::{
    EnvValue, Health, Public, Quantity, Resources, Run, SecretKey, Service, Storage,
    fields::{At, Fields},
    read::{amounts, port, sub},
};
use crate::{inputs::settings::check_reference, names::Label, yaml::Content};
use serde_json::Value;

/// Longest name of a service that becomes a StatefulSet.
const LONGEST_STORED: usize = 52;

pub(super) fn services(at: At<'_>) -> Vec<(Label, Service)> {
    at.entries()
        .into_iter()
        .filter_map(|(key, at)| {
            let name = key.text.parse::<Label>();
            if let Err(error) = &name {
                at.fault(
                    format!("the service's name {}", error.problem),
                    "rename the service",
                );
            }
            let service = Service {
                line: key.line,
                ..service(at.clone().fields()?)
            };
            // the cluster makes a label of this name with a hash of eleven characters
            if service.storage.is_some() && key.text.len() > LONGEST_STORED {
                at.fault(
                    format!(
                        "the name of a service with `storage` has more than {LONGEST_STORED} characters"
                    ),
                    "shorten it",
                );
            }
            Some((name.ok()?, service))
        })
        .collect()
}

fn service(mut fields: Fields<'_>) -> Service {
    let service = Service {
        line: 0,
        image: fields.take("image").and_then(|at| image(&at)),
        port: fields.take("port").and_then(|at| port(&at)),
        replicas: fields.take("replicas").and_then(|at| at.number(0..=50)),
        run: fields
            .take("run")
            .and_then(|at| at.word(&[("always", Run::Always), ("once", Run::Once)]))
            .unwrap_or_default(),
        env: fields.take("env").map(|at| env(&at)).unwrap_or_default(),
        command: list(&mut fields, "command"),
        args: list(&mut fields, "args"),
        files: fields
            .take("files")
            .map(|at| files(&at))
            .unwrap_or_default(),
        resources: sub(&mut fields, "resources", resources),
        health: fields.take("health").and_then(At::fields).and_then(health),
        public: fields.take("public").and_then(public),
        storage: fields
            .take("storage")
            .and_then(At::fields)
            .and_then(storage),
        node_selector: fields
            .take("node-selector")
            .map(|at| at.scalars())
            .unwrap_or_default(),
        tolerations: fields
            .take("tolerations")
            .map(|at| tolerations(&at))
            .unwrap_or_default(),
    };
    if service.run == Run::Once {
        for (set, key) in [
            (service.public.is_some(), "public"),
            (service.storage.is_some(), "storage"),
            (service.health.is_some(), "health"),
            (service.replicas.is_some(), "replicas"),
        ] {
            if set {
                fields.fault(
                    format!("`run: once` and `{key}` exclude each other"),
                    format!("leave one of them out: a Job has no use for `{key}`"),
                );
            }
        }
    }
    fields.close(&[]);
    service
}

/// An image reference, checked as the input `images` is; a value is filled in once the pull request is known.
fn image(at: &At<'_>) -> Option<String> {
    let text = at.text()?;
    if let Err(problem) = check_reference(&text) {
        at.fault(problem.problem, problem.fix);
        return None;
    }
    Some(text)
}

fn list(fields: &mut Fields<'_>, name: &'static str) -> Vec<String> {
    fields
        .take(name)
        .map(|at| at.scalar_list())
        .unwrap_or_default()
}

fn env(at: &At<'_>) -> Vec<(String, EnvValue)> {
    at.entries()
        .into_iter()
        .filter_map(|(key, at)| {
            let mut chars = key.text.chars();
            let first = chars.next();
            if !first.is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
                || !chars.all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
            {
                at.fault(
                    "is no name of an environment variable",
                    "use letters, digits and `_`, and no digit first",
                );
            }
            let value = if matches!(at.node.content, Content::Map(_)) {
                let mut fields = at.fields()?;
                let secret = fields.require("secret", "`secret: name`");
                let name = fields.require("key", "`key: name`");
                fields.close(&[]);
                EnvValue::Secret(SecretKey {
                    secret: secret?.text()?,
                    key: name?.text()?,
                })
            } else {
                EnvValue::Text(at.scalar_or_nothing()?)
            };
            Some((key.text.clone(), value))
        })
        .collect()
}

fn files(at: &At<'_>) -> Vec<(String, String)> {
    at.entries()
        .into_iter()
        .filter_map(|(key, at)| {
            if !super::fields::is_absolute(&key.text) || key.text.ends_with('/') {
                at.fault(
                    "is no absolute path of a file",
                    "begin it with `/`, without `..` and with a file name at the end",
                );
                return None;
            }
            let Content::Text(text) = &at.node.content else {
                at.fault(
                    format!("is {}", at.node.kind()),
                    "write the file's text, as a block after `|`",
                );
                return None;
            };
            Some((key.text.clone(), text.clone()))
        })
        .collect()
}

fn resources(mut fields: Fields<'_>) -> Resources {
    let resources = Resources {
        requests: sub(&mut fields, "requests", amounts),
        limits: sub(&mut fields, "limits", amounts),
    };
    let too_much = |request: &Option<Quantity>, limit: &Option<Quantity>| {
        request
            .as_ref()
            .zip(limit.as_ref())
            .is_some_and(|(request, limit)| request.milli() > limit.milli())
    };
    if too_much(&resources.requests.cpu, &resources.limits.cpu)
        || too_much(&resources.requests.memory, &resources.limits.memory)
    {
        fields.fault(
            "a request is larger than its limit",
            "raise the limit or lower the request",
        );
    }
    fields.close(&[]);
    resources
}

fn health(mut fields: Fields<'_>) -> Option<Health> {
    let path = fields.require("path", "`path: /healthz`");
    fields.close(&[]);
    Some(Health {
        path: path?.absolute_path()?,
    })
}

fn public(at: At<'_>) -> Option<Public> {
    match at.node.content {
        Content::Bool(whether) => whether.then(Public::default),
        Content::Map(_) => {
            let mut fields = at.fields()?;
            let path = fields.take("path");
            let has_path = path.is_some();
            let public = Public {
                host: fields.take("host").and_then(|at| at.text()),
                path: path.and_then(|at| url_path(&at)),
                strip_prefix: fields
                    .take("strip-prefix")
                    .and_then(|at| at.boolean())
                    .unwrap_or_default(),
            };
            if public.strip_prefix && !has_path {
                fields.fault(
                    "`strip-prefix` needs the `path` that is cut off",
                    "add `path`, such as `path: /api`",
                );
            }
            fields.close(&[]);
            Some(public)
        }
        _ => {
            at.fault(
                format!("is {}", at.node.kind()),
                "write `true`, or a mapping with `host`, `path` and `strip-prefix`",
            );
            None
        }
    }
}

/// A path of an address: it is put into regular expressions of ingress controllers, so no sign of theirs.
fn url_path(at: &At<'_>) -> Option<String> {
    let path = at.absolute_path()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "/-_.~".contains(c);
    if !path.chars().all(plain) || path.contains("//") {
        at.fault(
            "is no plain path of an address",
            "use letters, digits and `/ - _ . ~`",
        );
        return None;
    }
    let path = path.trim_end_matches('/');
    Some(if path.is_empty() { "/" } else { path }.into())
}

fn storage(mut fields: Fields<'_>) -> Option<Storage> {
    let path = fields.require("path", "`path: /var/lib/data`");
    let size = fields.require("size", "`size: 1Gi`");
    fields.close(&[]);
    Some(Storage {
        path: path?.absolute_path()?,
        size: size?.parsed("a size, such as 1Gi")?,
    })
}

fn tolerations(at: &At<'_>) -> Vec<Value> {
    at.items()
        .into_iter()
        .filter_map(|at| {
            let value = at.node.to_value();
            if !value.is_object() {
                at.fault(
                    format!("is {}", at.node.kind()),
                    "write a toleration, such as {key: spot, operator: Exists}",
                );
                return None;
            }
            Some(value)
        })
        .collect()
}
