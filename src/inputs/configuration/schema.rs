//! Writes the JSON schema of the configuration; the types here stand in it only.
//! It reads no configuration.
//! Derived from the types and not written by hand, so that a key that is read cannot be missing in it.

#![expect(
    dead_code,
    reason = "the types describe what may be written and are never made"
)]

use super::{Configuration, Public};
use schemars::JsonSchema;
use serde_json::{Value, json};

/// The schema of the whole file.
pub(super) fn configuration() -> Value {
    let mut schema = json!(schemars::schema_for!(Configuration));
    without_empty_defaults(&mut schema);
    schema
}

/// Drops `default: []`, which the derive writes for mappings as well; absent is empty anyway.
fn without_empty_defaults(schema: &mut Value) {
    if let Value::Object(fields) = schema {
        fields
            .retain(|key, value| key != "default" || !(*value == json!([]) || *value == json!({})));
        fields.values_mut().for_each(without_empty_defaults);
    } else if let Value::Array(items) = schema {
        items.iter_mut().for_each(without_empty_defaults);
    }
}

/// Anything that YAML writes without brackets.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub(super) enum Scalar {
    Text(String),
    Number(f64),
    Boolean(bool),
}

/// `true`, `false`, or the details.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub(super) enum PublicValue {
    Whether(bool),
    Where(Public),
}

#[derive(JsonSchema)]
#[schemars(untagged)]
pub(super) enum TlsValue {
    Whether(bool),
    Word(TlsWord),
    Secret(TlsSecret),
    Issuer(TlsIssuer),
}

#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case")]
pub(super) enum TlsWord {
    On,
    Off,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct TlsSecret {
    /// Name of the Secret in the preview's Namespace.
    #[schemars(length(min = 1))]
    secret: String,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct TlsIssuer {
    /// Name of the ClusterIssuer.
    #[schemars(length(min = 1))]
    issuer: String,
}
