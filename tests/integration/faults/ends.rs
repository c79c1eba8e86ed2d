//! What is wrong with a preview at the end of a story: its objects, its ledger, its comment, its Namespace.
//! It must not know what was done to it.
//! Everything counts but what a cluster gives anew each time: identities, versions, times, addresses, pods.

use super::fixture::head;
use crate::support::Shop;
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;

const NAMESPACE: &str = "pr-shop-1";

/// Kinds that controllers make of the others, as often as pods come and go.
const DERIVED: [&str; 5] = ["Event", "Pod", "ReplicaSet", "EndpointSlice", "Endpoints"];

/// The preview of pull request 1 as it is served for a commit: each object in one line.
pub(super) fn objects(shop: &Shop, sha: &str) -> Vec<String> {
    let inside = format!(" {NAMESPACE}/");
    let own = format!("Namespace /{NAMESPACE}");
    let all = shop.world.cluster.snapshot().into_iter();
    all.filter(|(name, _)| name.contains(&inside) || *name == own)
        .filter(|(name, _)| !DERIVED.contains(&name.split(' ').next().unwrap_or_default()))
        .map(|(name, object)| {
            let text = format!("{name} {}", lasting(object));
            let text = without_digests(&text);
            text.replace(sha, "HEAD").replace(&sha[..7], "HEAD")
        })
        .collect()
}

/// An object without what is given anew each time.
fn lasting(mut object: Value) -> Value {
    for pointer in [
        "/metadata/uid",
        "/metadata/resourceVersion",
        "/metadata/creationTimestamp",
        "/metadata/generation",
        "/metadata/annotations/deployment.kubernetes.io~1revision",
        "/spec/clusterIP",
        "/spec/clusterIPs",
        "/spec/volumeName",
        "/status",
    ] {
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        let field = field.replace("~1", "/");
        if let Some(parent) = object.pointer_mut(parent).and_then(Value::as_object_mut) {
            parent.remove(&field);
        }
    }
    if object["kind"] == "Namespace" {
        // What its creation owned shrinks with each later value.
        let owners = object["metadata"]["managedFields"].as_array_mut();
        owners.unwrap().retain(|one| one["operation"] == "Apply");
    }
    for entry in list(&mut object["metadata"]["managedFields"]) {
        entry["time"] = Value::Null;
    }
    let expires = &mut object["metadata"]["annotations"]["preview-action/expires"];
    if expires.is_string() {
        *expires = "later".into();
    }
    if object["kind"] == "Secret" {
        readable(&mut object["data"]);
    }
    if object["metadata"]["name"] == "preview-last-failure" {
        // Times and log lines are another story in each run.
        object["metadata"]["managedFields"] = Value::Null;
        object["data"] = Value::Null;
    }
    if object["metadata"]["name"] == "preview-last-good" {
        // What was good before is another story, and so is the field that holds it.
        object["metadata"]["managedFields"] = Value::Null;
        object["data"]["previous"] = Value::Null;
    }
    object
}

/// A text without the identities that the registry gives to each commit's images.
fn without_digests(text: &str) -> String {
    let mut parts = text.split("@sha256:");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + "@sha256:" + &part[64..])
}

fn list(value: &mut Value) -> impl Iterator<Item = &mut Value> {
    value.as_array_mut().into_iter().flatten()
}

/// A Secret's data in the clear, so that commits in it are seen.
fn readable(data: &mut Value) {
    for value in data
        .as_object_mut()
        .into_iter()
        .flat_map(|map| map.values_mut())
    {
        let bytes = STANDARD.decode(value.as_str().unwrap_or_default()).unwrap();
        *value = String::from_utf8(bytes).unwrap().into();
    }
}

/// What is wrong with a preview that should be live at the head.
pub(super) fn live(shop: &Shop, wanted: &[String]) -> Vec<String> {
    let head = head(shop);
    let mut wrong = comment_faults(shop, "Preview ready");
    wrong.extend(comment_faults(shop, &head[..7]));
    wrong.extend(served(shop, &head, wanted));
    wrong
}

/// What is wrong with a preview that should serve this commit, whatever its comment says.
fn served(shop: &Shop, sha: &str, wanted: &[String]) -> Vec<String> {
    let mut wrong = ledger_faults(shop, &[1]);
    if shop.namespaces() != [NAMESPACE] {
        wrong.push(format!("namespaces {:?}", shop.namespaces()));
    }
    wrong.extend(differences(&objects(shop, sha), wanted));
    wrong
}

/// What is wrong with a preview that was taken back to this commit. Why the later one failed is kept in it, and a Job that ran stays as it ran: going back undoes no migration.
pub(super) fn restored(shop: &Shop, sha: &str, wanted: &[String]) -> Vec<String> {
    let job = |one: &String| one.contains(": Job ");
    let all = served(shop, sha, wanted).into_iter();
    let why = |one: &String| one.contains("/preview-last-failure ");
    all.filter(|one| !job(one) && !why(one)).collect()
}

fn differences(found: &[String], wanted: &[String]) -> Vec<String> {
    let lacking = wanted.iter().filter(|one| !found.contains(one));
    let strange = found.iter().filter(|one| !wanted.contains(one));
    let lacking = lacking.map(|one| format!("lacking: {one}"));
    lacking
        .chain(strange.map(|one| format!("strange: {one}")))
        .collect()
}

/// What is left of a preview that should be gone.
pub(super) fn gone(shop: &Shop) -> Vec<String> {
    let mut wrong = ledger_faults(shop, &[]);
    // A run that died before its first word has nothing to correct.
    if !shop.status_comments(1).is_empty() {
        wrong.extend(comment_faults(shop, "Preview removed"));
    }
    if !shop.namespaces().is_empty() {
        wrong.push(format!("namespaces {:?}", shop.namespaces()));
    }
    wrong.extend(differences(&objects(shop, &head(shop)), &[]));
    let volumes = shop.world.cluster.objects("PersistentVolume", "");
    let ours = |volume: &&Value| volume["spec"]["claimRef"]["namespace"] == NAMESPACE;
    wrong.extend(
        volumes
            .iter()
            .filter(ours)
            .map(|one| format!("leaked: {one}")),
    );
    wrong
}

fn ledger_faults(shop: &Shop, holders: &[u64]) -> Vec<String> {
    let mut wrong = Vec::new();
    if shop.holders() != holders {
        wrong.push(format!("holders {:?}", shop.holders()));
    }
    let record = &shop.ledger().unwrap_or_default()["previews"]["1"];
    for field in ["active", "removing"] {
        if !record[field].is_null() {
            wrong.push(format!("the ledger still has {field}: {record}"));
        }
    }
    let uid = |object: Value| object["metadata"]["uid"].clone();
    let there = shop
        .world
        .cluster
        .object("Namespace", "", NAMESPACE)
        .map(uid);
    let held = shop.ledger().unwrap_or_default()["holders"][0]["uid"].clone();
    if there.unwrap_or_default() != held {
        wrong.push("the ledger names another namespace".into());
    }
    wrong
}

/// What is wrong with the one status comment, which should say this.
pub(super) fn comment_faults(shop: &Shop, says: &str) -> Vec<String> {
    let comments = shop.status_comments(1);
    match comments.as_slice() {
        [one] if one.body.contains(says) => Vec::new(),
        [one] => vec![format!("the comment does not say {says:?}: {}", one.body)],
        several => vec![format!("{} status comments", several.len())],
    }
}
