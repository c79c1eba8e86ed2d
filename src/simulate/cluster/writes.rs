//! Turns create, replace, patch, apply and delete into stored objects, or into refusals.
//! It must not know HTTP beyond the options of a write; routes read those from the query.
//! Every write goes through one admission, controllers' pods included, because quota refusals must hit them too.

use serde_json::{Value, json};

use super::apply::{self, Managers};
use super::errors::{self, Flaw, Refusal};
use super::kinds::Kind;
use super::state::{State, text};
use super::store::Key;
use super::{checks, defaults, quota, schema, validate};

/// The options of a write.
#[derive(Clone, Debug, Default)]
pub(super) struct Options {
    pub(super) dry_run: bool,
    pub(super) manager: String,
    pub(super) force: bool,
}

/// The answer to a write that was accepted.
#[derive(Clone, Debug)]
pub(super) struct Written {
    pub(super) code: u16,
    pub(super) object: Value,
    pub(super) warnings: Vec<String>,
}

impl State {
    /// Creates an object; an empty name is made from `generateName`.
    pub(super) fn create(
        &mut self,
        mut key: Key,
        mut object: Value,
        options: &Options,
    ) -> Result<Written, Refusal> {
        checks::shape(&object)?;
        checks::address(&key, &object)?;
        if key.name.is_empty() {
            text(&object["metadata"]["name"]).clone_into(&mut key.name);
        }
        if key.name.is_empty() {
            let prefix = text(&object["metadata"]["generateName"]).to_owned();
            if prefix.is_empty() {
                let flaw = Flaw::required("metadata.name", "name or generateName is required");
                return Err(errors::invalid(key.kind, "", &[flaw]));
            }
            key.name = format!("{prefix}{}", self.store.suffix(5));
        }
        if self.store.get(&key).is_some() {
            return Err(errors::already_exists(key.kind, &key.name));
        }
        object = apply::without_nulls(&object);
        object["metadata"]["name"] = key.name.as_str().into();
        let mut managers = Managers::default();
        if !options.manager.is_empty() {
            managers =
                managers.after_update(&json!({}), &object, &options.manager, &self.clock.stamp());
        }
        self.admit_and_store(key, object, managers, options)
    }

    /// Replaces an object, by compare-and-swap if the body carries a resource version.
    pub(super) fn replace(
        &mut self,
        key: &Key,
        object: &Value,
        options: &Options,
    ) -> Result<Written, Refusal> {
        checks::shape(object)?;
        checks::address(key, object)?;
        let old = self.stored(key)?;
        let metadata = &object["metadata"];
        let (uid, actual) = (text(&metadata["uid"]), text(&old["metadata"]["uid"]));
        if !uid.is_empty() && uid != actual {
            return Err(errors::precondition(
                key.kind, &key.name, "UID", uid, actual,
            ));
        }
        checks::version(key, metadata, &old)?;
        self.update(key, &old, apply::without_nulls(object), options)
    }

    /// Changes an object by a JSON merge patch.
    pub(super) fn merge_patch(
        &mut self,
        key: &Key,
        patch: &Value,
        options: &Options,
    ) -> Result<Written, Refusal> {
        let old = self.stored(key)?;
        checks::version(key, &patch["metadata"], &old)?;
        checks::uid(key, &patch["metadata"], &old)?;
        let mut object = old.clone();
        merge(&mut object, patch);
        checks::shape(&object)?;
        checks::address(key, &object)?;
        self.update(key, &old, object, options)
    }

    /// Applies a configuration as its field manager.
    pub(super) fn apply(
        &mut self,
        key: Key,
        config: &Value,
        options: &Options,
    ) -> Result<Written, Refusal> {
        checks::applied(&key, config, options)?;
        schema::check(config)?;
        let stamp = self.clock.stamp();
        let merged = |live: &Value, managers: &Managers| {
            apply::apply(
                live,
                managers,
                config,
                &options.manager,
                options.force,
                &stamp,
            )
            .map_err(|conflicts| errors::apply_conflicts(&conflicts))
        };
        let Some(entry) = self.store.get(&key) else {
            let uid = text(&config["metadata"]["uid"]);
            if !uid.is_empty() {
                return Err(errors::uid_without_object(key.kind, &key.name, uid));
            }
            if self.denies("create", key.kind.plural, &key.namespace) {
                return Err(errors::not_permitted(
                    &self.user,
                    "create",
                    key.kind,
                    &key.namespace,
                    &key.name,
                ));
            }
            let base = json!({"apiVersion": config["apiVersion"], "kind": config["kind"], "metadata": {"name": key.name}});
            let (object, managers) = merged(&base, &Managers::default())?;
            validate::convertible(key.kind, &object)?;
            return self.admit_and_store(key, object, managers, options);
        };
        checks::uid(&key, &config["metadata"], &entry.object)?;
        checks::version(&key, &config["metadata"], &entry.object)?;
        let old = entry.object.clone();
        let (object, managers) = merged(&old, &entry.managers)?;
        self.store_update(&key, &old, object, managers, options)
    }

    /// Returns a stored object, or that there is none.
    pub(super) fn stored(&self, key: &Key) -> Result<Value, Refusal> {
        let entry = self.store.get(key);
        entry
            .map(|entry| entry.object.clone())
            .ok_or_else(|| errors::not_found(key.kind, &key.name))
    }

    fn update(
        &mut self,
        key: &Key,
        old: &Value,
        object: Value,
        options: &Options,
    ) -> Result<Written, Refusal> {
        let managers = self
            .store
            .get(key)
            .map(|entry| entry.managers.clone())
            .unwrap_or_default();
        let managers = managers.after_update(old, &object, &options.manager, &self.clock.stamp());
        self.store_update(key, old, object, managers, options)
    }

    fn store_update(
        &mut self,
        key: &Key,
        old: &Value,
        mut object: Value,
        managers: Managers,
        options: &Options,
    ) -> Result<Written, Refusal> {
        object["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"].clone();
        let warnings = self.admit(key, &mut object, Some(old))?;
        if options.dry_run {
            return Ok(Written {
                code: 200,
                object,
                warnings,
            });
        }
        let now = self.now();
        self.store.replace(key, object, managers, now);
        let written = self
            .store
            .get(key)
            .map(|entry| (*entry.rendered()).clone())
            .unwrap_or_default();
        let count = |object: &Value| {
            object["metadata"]["finalizers"]
                .as_array()
                .map_or(0, Vec::len)
        };
        let released = count(old) > 0 && count(&written) == 0 && key.kind.kind != "Namespace";
        if released && !written["metadata"]["deletionTimestamp"].is_null() {
            self.store.remove(key);
        }
        Ok(Written {
            code: 200,
            object: written,
            warnings,
        })
    }

    fn admit_and_store(
        &mut self,
        key: Key,
        mut object: Value,
        managers: Managers,
        options: &Options,
    ) -> Result<Written, Refusal> {
        let warnings = self.admit(&key, &mut object, None)?;
        if options.dry_run {
            if key.kind.namespaced {
                object["metadata"]["namespace"] = key.namespace.into();
            }
            return Ok(Written {
                code: 201,
                object,
                warnings,
            });
        }
        let now = (self.now(), self.clock.stamp());
        self.store.insert(key.clone(), object, managers, now);
        let written = self
            .store
            .get(&key)
            .map(|entry| (*entry.rendered()).clone())
            .unwrap_or_default();
        Ok(Written {
            code: 201,
            object: written,
            warnings,
        })
    }

    /// Fills in defaults and judges the result; the warnings are the texts of `Warning` headers.
    fn admit(
        &mut self,
        key: &Key,
        object: &mut Value,
        old: Option<&Value>,
    ) -> Result<Vec<String>, Refusal> {
        let namespace = match (key.kind.namespaced, Kind::of_name("Namespace")) {
            (true, Some(kind)) => {
                let found = self.store.object("Namespace", "", &key.namespace).cloned();
                found.ok_or_else(|| errors::not_found(kind, &key.namespace))?
            }
            _ => Value::Null,
        };
        if old.is_none() && !namespace["metadata"]["deletionTimestamp"].is_null() {
            return Err(errors::namespace_terminating(
                key.kind,
                &key.name,
                &key.namespace,
            ));
        }
        if key.kind.namespaced {
            object["metadata"]["namespace"] = key.namespace.as_str().into();
        }
        defaults::fill(key, object, old, self.store.version());
        let pod = key.kind.kind == "Pod";
        if pod && old.is_none() {
            quota::limits(&self.store, &key.namespace, object)?;
        }
        validate::content(key.kind, object, old)?;
        let mut warnings = Vec::new();
        if let Some(spec) = defaults::pod_spec_of(key.kind, object) {
            let mode = if pod { "enforce" } else { "warn" };
            match quota::pod_security(&namespace, mode, spec) {
                Some(violation) if pod && old.is_none() => {
                    return Err(errors::forbidden(
                        key.kind,
                        &key.name,
                        &format!("violates {violation}"),
                    ));
                }
                Some(violation) if !pod => warnings.push(format!("would violate {violation}")),
                _ => {}
            }
            let account = text(&spec["serviceAccountName"]);
            let known = self
                .store
                .object("ServiceAccount", &key.namespace, account)
                .is_some();
            if pod && old.is_none() && !matches!(account, "" | "default") && !known {
                let why = format!(
                    "error looking up service account {}/{account}: serviceaccount \"{account}\" not found",
                    key.namespace
                );
                return Err(errors::forbidden(key.kind, &key.name, &why));
            }
        }
        if old.is_none() && key.kind.namespaced {
            quota::admit(&self.store, key.kind, &key.namespace, object)?;
        }
        Ok(warnings)
    }
}

fn merge(object: &mut Value, patch: &Value) {
    let Some(fields) = patch.as_object() else {
        *object = patch.clone();
        return;
    };
    if !object.is_object() {
        *object = json!({});
    }
    for (name, value) in fields {
        if value.is_null() {
            if let Some(object) = object.as_object_mut() {
                object.remove(name);
            }
        } else {
            merge(&mut object[name.as_str()], value);
        }
    }
}
