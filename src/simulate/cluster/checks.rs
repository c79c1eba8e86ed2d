//! Turns the address of a write, its body and the stored object into refusals of what does not fit together.
//! It must not look at specs; validation does.
//! These come first in a real server too, so that a mistaken address is never reported as a mistaken object.

use serde_json::Value;

use super::errors::{self, Flaw, Refusal};
use super::schema;
use super::state::text;
use super::store::Key;
use super::writes::Options;

/// Refuses a body that holds something else where maps belong.
pub(super) fn shape(object: &Value) -> Result<(), Refusal> {
    let complaint = schema::misshapen(object);
    complaint.map_or(Ok(()), |complaint| Err(errors::bad_request(&complaint)))
}

/// Refuses a body whose kind, name or namespace contradicts the address of the request.
pub(super) fn address(key: &Key, object: &Value) -> Result<(), Refusal> {
    let (given, kind) = (text(&object["apiVersion"]), text(&object["kind"]));
    if given != key.kind.api_version() || kind != key.kind.kind {
        let version = if given.contains('/') {
            given.to_owned()
        } else {
            format!("/{given}")
        };
        return Err(errors::bad_request(&format!(
            "invalid object type: {version}, Kind={kind}"
        )));
    }
    let (name, namespace) = (
        text(&object["metadata"]["name"]),
        text(&object["metadata"]["namespace"]),
    );
    if name != key.name && !(name.is_empty() || key.name.is_empty()) {
        let message = format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            key.name
        );
        return Err(errors::bad_request(&message));
    }
    if !namespace.is_empty() && namespace != key.namespace {
        let message =
            "the namespace of the provided object does not match the namespace sent on the request";
        return Err(errors::bad_request(message));
    }
    Ok(())
}

/// Refuses an apply whose query or body no server accepts.
pub(super) fn applied(key: &Key, config: &Value, options: &Options) -> Result<(), Refusal> {
    if options.manager.is_empty() {
        let flaw = Flaw::required("fieldManager", "is required for apply patch");
        return Err(errors::invalid_patch_options(flaw));
    }
    if options.manager.len() > 128 {
        return Err(errors::invalid_patch_options(Flaw::too_long(
            "fieldManager",
            128,
        )));
    }
    if config["metadata"].get("managedFields").is_some() {
        return Err(errors::bad_request("metadata.managedFields must be nil"));
    }
    if text(&config["metadata"]["name"]).is_empty()
        && config["metadata"].get("generateName").is_some()
    {
        let message = format!(
            "the name of the object ({} based on URL) was undeterminable: name must be provided",
            key.name
        );
        return Err(errors::bad_request(&message));
    }
    address(key, config)
}

/// Refuses a write to a version that is no longer the newest.
pub(super) fn version(key: &Key, metadata: &Value, old: &Value) -> Result<(), Refusal> {
    let wanted = text(&metadata["resourceVersion"]);
    let stale = !wanted.is_empty()
        && wanted != "0"
        && metadata["resourceVersion"] != old["metadata"]["resourceVersion"];
    if stale {
        Err(errors::modified(key.kind, &key.name))
    } else {
        Ok(())
    }
}

/// Refuses a change of a uid.
pub(super) fn uid(key: &Key, metadata: &Value, old: &Value) -> Result<(), Refusal> {
    let uid = &metadata["uid"];
    if text(uid).is_empty() || *uid == old["metadata"]["uid"] {
        return Ok(());
    }
    let flaw = Flaw::invalid("metadata.uid", uid, "field is immutable");
    Err(errors::invalid(key.kind, &key.name, &[flaw.clone(), flaw]))
}
