//! Turns deletes into objects that are gone, or marked because something must happen first.
//! It must not finish what it marks; kubelet, namespace controller and garbage collector do.
//! Preconditions are checked here, as they are what keeps a late sweep from deleting a new preview.

use serde_json::Value;

use super::errors::{self, Refusal};
use super::state::{State, text};
use super::store::Key;

/// The options of a delete.
#[derive(Clone, Debug, Default)]
pub(super) struct Deletion {
    pub(super) uid: Option<String>,
    pub(super) version: Option<String>,
    pub(super) policy: String,
    pub(super) grace: Option<i64>,
    pub(super) dry_run: bool,
}

impl State {
    /// Deletes an object: at once, or by marking it where something must happen first.
    pub(super) fn delete(&mut self, key: &Key, deletion: &Deletion) -> Result<Value, Refusal> {
        let old = self.stored(key)?;
        let metadata = &old["metadata"];
        for (what, wanted, actual) in [
            ("UID", &deletion.uid, text(&metadata["uid"])),
            (
                "ResourceVersion",
                &deletion.version,
                text(&metadata["resourceVersion"]),
            ),
        ] {
            if let Some(wanted) = wanted.as_deref().filter(|wanted| *wanted != actual) {
                return Err(errors::precondition(
                    key.kind, &key.name, what, wanted, actual,
                ));
            }
        }
        let gone = errors::deleted(key.kind, &key.name, text(&metadata["uid"]));
        if deletion.dry_run {
            return Ok(gone);
        }
        if self.begin_deletion(key, &deletion.policy, deletion.grace) {
            return Ok(gone);
        }
        let marked = self.store.get(key).map(|entry| (*entry.rendered()).clone());
        Ok(marked.unwrap_or(gone))
    }

    /// Deletes an object; true if it is gone, false if it is only marked.
    pub(super) fn begin_deletion(&mut self, key: &Key, policy: &str, grace: Option<i64>) -> bool {
        let Some(old) = self.store.get(key).map(|entry| entry.object.clone()) else {
            return true;
        };
        let marked = !old["metadata"]["deletionTimestamp"].is_null();
        let pod = key.kind.kind == "Pod";
        let held = old["metadata"]["finalizers"]
            .as_array()
            .is_some_and(|list| !list.is_empty());
        let waits = held
            || policy == "Foreground"
            || key.kind.kind == "Namespace"
            || (pod && grace != Some(0));
        if !waits {
            if policy == "Orphan" {
                super::garbage::orphan(self, &old);
            }
            self.store.remove(key);
            return true;
        }
        if marked {
            return false;
        }
        let now = self.now();
        let stamp = self.clock.stamp();
        self.store.edit(key, now, |object| {
            let metadata = &mut object["metadata"];
            metadata["deletionTimestamp"] = stamp.into();
            if pod {
                metadata["deletionGracePeriodSeconds"] = grace.unwrap_or(30).into();
            }
            if policy == "Foreground" {
                let mut finalizers = metadata["finalizers"]
                    .as_array()
                    .cloned()
                    .unwrap_or_default();
                finalizers.push("foregroundDeletion".into());
                metadata["finalizers"] = finalizers.into();
            }
            if key.kind.kind == "Namespace" {
                object["status"]["phase"] = "Terminating".into();
            }
        });
        false
    }
}
