//! Turns HTTP requests into reads and writes of the cluster, and their results into HTTP answers.
//! It must not decide what a write means; it checks token, permission and form, then hands over.
//! Addresses follow one grammar for all kinds, so one parser serves them all.

use std::sync::Arc;

use base64::Engine as _;
use serde_json::{Value, json};

use super::Inner;
use super::deletions::Deletion;
use super::errors::{self, Refusal};
use super::kinds::{self, Kind};
use super::selector::Selector;
use super::state::{State, text};
use super::store::Key;
use super::writes::{Options, Written};
use super::{reviews, watches};
use crate::simulate::http::{Reply, Request};

/// The largest body that a server accepts.
const BODY_LIMIT: usize = 3 * 1024 * 1024;

/// The media type of a server-side apply.
const APPLY: &str = "application/apply-patch+yaml";

/// What a path addresses.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) kind: &'static Kind,
    pub(super) namespace: String,
    pub(super) name: String,
    subresource: String,
}

impl Target {
    fn parse(path: &str) -> Option<Self> {
        let mut steps: Vec<&str> = path.trim_matches('/').split('/').collect();
        let (group, version) = match *steps.first()? {
            "api" => ("", *steps.get(1)?),
            "apis" => (*steps.get(1)?, *steps.get(2)?),
            _ => return None,
        };
        steps.drain(..if group.is_empty() { 2 } else { 3 });
        let namespaced = steps.len() > 2
            && steps.first() == Some(&"namespaces")
            && !matches!(steps[2], "status" | "finalize");
        let namespace = if namespaced {
            steps.drain(..2).nth(1)?
        } else {
            ""
        };
        let kind = Kind::of_plural(group, version, steps.first()?)?;
        let name = steps.get(1).copied().unwrap_or_default();
        let fits = if kind.namespaced {
            namespaced || name.is_empty()
        } else {
            !namespaced
        };
        let subresource = steps.get(2).copied().unwrap_or_default();
        let own = |text: &str| text.to_owned();
        let target = Self {
            kind,
            namespace: own(namespace),
            name: own(name),
            subresource: own(subresource),
        };
        (fits && steps.len() <= 3).then_some(target)
    }

    fn key(&self) -> Key {
        Key::new(self.kind, &self.namespace, &self.name)
    }
}

/// Answers one request to the API server.
pub(super) async fn answer(inner: Arc<Inner>, request: Request) -> Reply {
    if matches!(request.path.as_str(), "/readyz" | "/livez" | "/healthz") {
        return Reply::text(200, "ok");
    }
    let reply = {
        let mut state = inner.state();
        respond(&inner, &mut state, &request)
    };
    inner.wake.notify_one();
    match reply {
        Ok(reply) => reply,
        Err(refusal) => Reply::json(refusal.code, &refusal.body),
    }
}

fn respond(inner: &Arc<Inner>, state: &mut State, request: &Request) -> Result<Reply, Refusal> {
    if request.token() != Some(state.token.as_str()) {
        return Err(errors::unauthorized());
    }
    let path = request.path.trim_end_matches('/');
    if request.method == "GET"
        && let Some(document) = kinds::discovery(path, request.header("accept"))
    {
        let aggregated = document["kind"] == "APIGroupDiscoveryList";
        let kind = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
        let reply = Reply::json(200, &document);
        return Ok(if aggregated {
            Reply::text(200, document.to_string()).header("content-type", kind)
        } else {
            reply
        });
    }
    if let Some(review) = path.strip_prefix("/apis/authorization.k8s.io/v1/") {
        return Ok(reviews::answer(state, review, request));
    }
    // Like any cluster without a metrics server: whoever asks must do without.
    if path.starts_with("/apis/metrics.k8s.io/") {
        return Ok(Reply::text(404, "404 page not found\n"));
    }
    let Some(target) = Target::parse(path) else {
        return Ok(Reply::text(404, "404 page not found\n").unexpected());
    };
    let verb = verb(request, &target);
    let resource = match target.subresource.as_str() {
        "" => target.kind.plural.to_owned(),
        sub => format!("{}/{sub}", target.kind.plural),
    };
    if state.denies(verb, &resource, &target.namespace) {
        return Err(errors::not_permitted(
            &state.user,
            verb,
            target.kind,
            &target.namespace,
            &target.name,
        ));
    }
    match (verb, target.subresource.as_str()) {
        ("get", "") => {
            let key = target.key();
            let entry = state
                .store
                .get(&key)
                .ok_or_else(|| errors::not_found(key.kind, &key.name))?;
            Ok(Reply::json(200, &shown(request, &entry.rendered())))
        }
        ("get", "log") if target.kind.kind == "Pod" => log(state, &target, request),
        ("list", "") => list(state, &target, request),
        ("watch", "") => watches::start(inner, state, &target, request),
        ("create" | "update" | "patch", "") => write(state, &target, request, verb),
        ("delete", "") => {
            let deletion = deletion(request)?;
            Ok(Reply::json(200, &state.delete(&target.key(), &deletion)?))
        }
        _ => Err(errors::method_not_allowed()),
    }
}

fn verb(request: &Request, target: &Target) -> &'static str {
    match (request.method.as_str(), target.name.is_empty()) {
        ("GET", _) if request.flag("watch") => "watch",
        ("GET", true) => "list",
        ("GET", false) => "get",
        ("POST", true) => "create",
        ("PUT", false) => "update",
        ("PATCH", false) => "patch",
        ("DELETE", false) => "delete",
        _ => "",
    }
}

/// Returns an object as the `Accept` header wants it: whole, or its metadata alone.
pub(super) fn shown(request: &Request, object: &Value) -> Value {
    if !request
        .header("accept")
        .contains("as=PartialObjectMetadata")
    {
        return object.clone();
    }
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"]})
}

pub(super) fn selector(request: &Request) -> Result<Selector, Refusal> {
    let text = |name: &str| request.param(name).unwrap_or_default().to_owned();
    let selector = Selector::parse(&text("labelSelector"), &text("fieldSelector"));
    selector.map_err(|message| errors::bad_request(&message))
}

fn list(state: &State, target: &Target, request: &Request) -> Result<Reply, Refusal> {
    let selector = selector(request)?;
    let namespace = target.namespace.as_str();
    let after = request
        .param("continue")
        .filter(|token| !token.is_empty())
        .map(|token| {
            let engine = base64::engine::general_purpose::URL_SAFE_NO_PAD;
            let decoded = engine
                .decode(token)
                .ok()
                .and_then(|bytes| String::from_utf8(bytes).ok());
            let pair = decoded.and_then(|text| {
                text.split_once('/')
                    .map(|(a, b)| (a.to_owned(), b.to_owned()))
            });
            pair.ok_or_else(|| errors::bad_request("continue key is not valid"))
        });
    let after = after.transpose()?;
    let mut found: Vec<(&Key, Value)> = state
        .store
        .of_kind(target.kind, namespace)
        .filter(|(key, entry)| {
            let later = after
                .as_ref()
                .is_none_or(|(ns, name)| (&key.namespace, &key.name) > (ns, name));
            later && selector.selects(&entry.object)
        })
        .map(|(key, entry)| (key, shown(request, &entry.rendered())))
        .collect();
    let mut metadata = json!({"resourceVersion": state.store.version().to_string()});
    let limit = request
        .param("limit")
        .and_then(|limit| limit.parse::<usize>().ok())
        .filter(|limit| *limit > 0);
    if let Some(limit) = limit.filter(|limit| *limit < found.len()) {
        metadata["remainingItemCount"] = (found.len() - limit).into();
        found.truncate(limit);
        if let Some((key, _)) = found.last() {
            let token = format!("{}/{}", key.namespace, key.name);
            metadata["continue"] = base64::engine::general_purpose::URL_SAFE_NO_PAD
                .encode(token)
                .into();
        }
    }
    let partial = request
        .header("accept")
        .contains("as=PartialObjectMetadata");
    let items: Vec<Value> = found
        .into_iter()
        .map(|(_, mut item)| {
            // Typed lists leave kind and version of their items out.
            if let Some(fields) = item.as_object_mut().filter(|_| !partial) {
                fields.remove("kind");
                fields.remove("apiVersion");
            }
            item
        })
        .collect();
    let (kind, version) = if partial {
        (
            "PartialObjectMetadataList".to_owned(),
            "meta.k8s.io/v1".to_owned(),
        )
    } else {
        (
            format!("{}List", target.kind.kind),
            target.kind.api_version(),
        )
    };
    let list = json!({"kind": kind, "apiVersion": version, "metadata": metadata, "items": items});
    Ok(Reply::json(200, &list))
}

fn write(
    state: &mut State,
    target: &Target,
    request: &Request,
    verb: &str,
) -> Result<Reply, Refusal> {
    if request.body.len() > BODY_LIMIT {
        return Err(errors::too_large());
    }
    let media = request
        .header("content-type")
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_owned();
    let body = request.json().filter(Value::is_object);
    let body = body.ok_or_else(|| {
        errors::bad_request("the object provided is unrecognized (must be of type json)")
    })?;
    let applies = media == APPLY;
    let agent = request
        .header("user-agent")
        .split('/')
        .next()
        .unwrap_or_default();
    let agent = if agent.is_empty() { "unknown" } else { agent };
    let options = Options {
        dry_run: request.param("dryRun") == Some("All"),
        manager: match request.param("fieldManager") {
            Some(manager) => manager.to_owned(),
            None if applies => String::new(),
            None => agent.to_owned(),
        },
        force: request.flag("force"),
    };
    let key = target.key();
    held_to_previews(state, target, &body)?;
    let written: Written = match verb {
        "create" => state.create(key, with_kind(body, target.kind), &options)?,
        "update" => state.replace(&key, &with_kind(body, target.kind), &options)?,
        _ if applies => state.apply(key, &body, &options)?,
        _ if media == "application/merge-patch+json" => state.merge_patch(&key, &body, &options)?,
        _ => return Err(errors::unsupported_media_type(&media)),
    };
    let reply = Reply::json(written.code, &written.object);
    Ok(written.warnings.iter().fold(reply, |reply, warning| {
        reply.header(
            "warning",
            &format!(
                "299 - \"{}\"",
                warning.replace('\\', "\\\\").replace('"', "\\\"")
            ),
        )
    }))
}

/// Refuses what the shipped policy refuses of Namespaces that are made; the rest of it is a real API server's to hold.
fn held_to_previews(state: &State, target: &Target, body: &Value) -> Result<(), Refusal> {
    let labels = &body["metadata"]["labels"];
    let ours = labels["app"] == "preview" && labels["preview-action/repository-id"].is_string();
    let made = target.kind.kind == "Namespace" && state.store.get(&target.key()).is_none();
    if !state.policy || ours || !made {
        return Ok(());
    }
    let name = match target.name.as_str() {
        "" => text(&body["metadata"]["name"]),
        name => name,
    };
    let why = format!(
        "ValidatingAdmissionPolicy 'preview-action' with binding 'preview-action' denied request: preview-action may only create \
         Namespaces labelled app=preview and preview-action/repository-id; {name} lacks one of them"
    );
    Err(errors::forbidden(target.kind, name, &why))
}

/// Fills in the kind that the address implies, as a server does for typed clients.
fn with_kind(mut body: Value, kind: &Kind) -> Value {
    if body["kind"].is_null() {
        body["kind"] = kind.kind.into();
    }
    if body["apiVersion"].is_null() {
        body["apiVersion"] = kind.api_version().into();
    }
    body
}

fn deletion(request: &Request) -> Result<Deletion, Refusal> {
    let body = if request.body.is_empty() {
        Some(json!({}))
    } else {
        request.json()
    };
    let body =
        body.ok_or_else(|| errors::bad_request("couldn't get version/kind; json parse error"))?;
    let own = |value: &Value| value.as_str().map(ToOwned::to_owned);
    let policy = request
        .param("propagationPolicy")
        .unwrap_or_else(|| text(&body["propagationPolicy"]));
    let grace = request
        .param("gracePeriodSeconds")
        .and_then(|seconds| seconds.parse().ok());
    Ok(Deletion {
        uid: own(&body["preconditions"]["uid"]),
        version: own(&body["preconditions"]["resourceVersion"]),
        policy: policy.to_owned(),
        grace: grace.or_else(|| body["gracePeriodSeconds"].as_i64()),
        dry_run: request.param("dryRun") == Some("All") || body["dryRun"] == json!(["All"]),
    })
}

fn log(state: &State, target: &Target, request: &Request) -> Result<Reply, Refusal> {
    let key = target.key();
    let entry = state
        .store
        .get(&key)
        .ok_or_else(|| errors::not_found(key.kind, &key.name))?;
    let container = request.param("container").unwrap_or_default();
    let written = super::pods::log(state, &entry.object, container, request.flag("previous"));
    let written = written.map_err(|message| errors::bad_request(&message))?;
    let lines: Vec<&str> = written.lines().collect();
    let wanted = request
        .param("tailLines")
        .and_then(|lines| lines.parse::<usize>().ok())
        .unwrap_or(lines.len());
    let kept = lines
        .get(lines.len().saturating_sub(wanted)..)
        .unwrap_or_default();
    let text: String = kept.iter().map(|line| format!("{line}\n")).collect();
    Ok(Reply::text(200, text).header("content-type", "text/plain"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_address_is_parsed() {
        let parts = |path: &str| {
            Target::parse(path).map(|target| {
                (
                    target.kind.kind,
                    target.namespace,
                    target.name,
                    target.subresource,
                )
            })
        };
        let of = |kind, namespace: &str, name: &str, sub: &str| {
            Some((kind, namespace.into(), name.into(), sub.into()))
        };
        assert_eq!(parts("/api/v1/namespaces"), of("Namespace", "", "", ""));
        assert_eq!(parts("/api/v1/namespaces/a"), of("Namespace", "", "a", ""));
        assert_eq!(
            parts("/api/v1/namespaces/a/status"),
            of("Namespace", "", "a", "status")
        );
        assert_eq!(parts("/api/v1/pods"), of("Pod", "", "", ""));
        assert_eq!(
            parts("/api/v1/namespaces/a/pods/p/log"),
            of("Pod", "a", "p", "log")
        );
        assert_eq!(
            parts("/apis/apps/v1/namespaces/a/deployments/d"),
            of("Deployment", "a", "d", "")
        );
        assert_eq!(parts("/apis/apps/v2/namespaces/a/deployments/d"), None);
        assert_eq!(parts("/api/v1/namespaces/a/unknown"), None);
        assert_eq!(parts("/api/v1/pods/p"), None);
    }
}
