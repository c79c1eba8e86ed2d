//! Turns writes into objects with a resource version, a generation and a history that watches read.
//! It must not know what any kind means, nor judge a write; admission and controllers do.
//! One counter versions everything, as etcd does, so that a list and a watch can be joined without a gap.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;

use super::apply::Managers;
use super::kinds::{KINDS, Kind};
use super::spelling::{scatter, spell};

/// The place of an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) kind: &'static Kind,
    pub(super) namespace: String,
    pub(super) name: String,
}

impl Key {
    pub(super) fn new(kind: &'static Kind, namespace: &str, name: &str) -> Self {
        Self {
            kind,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }
}

/// An object and what the server remembers about it.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// The object without `metadata.managedFields`.
    pub(super) object: Value,
    pub(super) managers: Managers,
    /// When the spec changed last; controllers see it a moment later.
    pub(super) changed: Duration,
    rendered: Arc<Value>,
}

impl Entry {
    /// Returns the object as clients see it.
    pub(super) fn rendered(&self) -> Arc<Value> {
        Arc::clone(&self.rendered)
    }
}

/// What a change did to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Did {
    Add,
    Modify,
    Delete,
}

/// One step of the history.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) version: u64,
    pub(super) did: Did,
    pub(super) key: Key,
    pub(super) object: Arc<Value>,
    /// The object before; a watch needs it to tell that an object left its selection.
    pub(super) before: Option<Arc<Value>>,
}

/// All objects and their history.
#[derive(Debug)]
pub(super) struct Store {
    objects: BTreeMap<Key, Entry>,
    history: Vec<Change>,
    /// Versions at or below this one are forgotten.
    compacted: u64,
    version: u64,
    made: u64,
    /// Namespaces in which something happened since controllers looked.
    touched: BTreeSet<String>,
    announce: watch::Sender<u64>,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            objects: BTreeMap::new(),
            history: Vec::new(),
            compacted: 0,
            // A server that has just started has written some hundred objects of its own.
            version: 300,
            made: 0,
            touched: BTreeSet::new(),
            announce: watch::Sender::new(300),
        }
    }
}

impl Store {
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.announce.subscribe()
    }

    pub(super) fn get(&self, key: &Key) -> Option<&Entry> {
        self.objects.get(key)
    }

    pub(super) fn object(&self, kind: &str, namespace: &str, name: &str) -> Option<&Value> {
        let key = Key::new(Kind::of_name(kind)?, namespace, name);
        self.get(&key).map(|entry| &entry.object)
    }

    /// Returns the entries of a kind by namespace and name; an empty namespace means all.
    pub(super) fn of_kind<'a>(
        &'a self,
        kind: &'static Kind,
        namespace: &'a str,
    ) -> impl Iterator<Item = (&'a Key, &'a Entry)> {
        self.objects
            .range(Key::new(kind, namespace, "")..)
            .take_while(move |(key, _)| {
                key.kind == kind && (namespace.is_empty() || key.namespace == namespace)
            })
    }

    /// Returns copies of the objects of a named kind in a namespace; an empty namespace means all.
    pub(super) fn all(&self, kind: &str, namespace: &str) -> Vec<Value> {
        self.filtered(kind, namespace, |_| true)
    }

    /// Returns copies of those of them that a condition holds for.
    pub(super) fn filtered(
        &self,
        kind: &str,
        namespace: &str,
        condition: impl Fn(&Value) -> bool,
    ) -> Vec<Value> {
        let kind = Kind::of_name(kind).into_iter();
        kind.flat_map(|kind| self.of_kind(kind, namespace))
            .filter(|(_, entry)| condition(&entry.object))
            .map(|(_, entry)| entry.object.clone())
            .collect()
    }

    /// Returns copies of the objects of a named kind that a controller owns.
    pub(super) fn owned(&self, kind: &str, owner: &Value) -> Vec<Value> {
        let namespace = owner["metadata"]["namespace"].as_str().unwrap_or_default();
        self.filtered(kind, namespace, |object| is_controlled_by(object, owner))
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = (&Key, &Entry)> {
        self.objects.iter()
    }

    /// Returns the entries of all kinds in a namespace.
    pub(super) fn in_namespace<'a>(
        &'a self,
        namespace: &'a str,
    ) -> impl Iterator<Item = (&'a Key, &'a Entry)> {
        let kinds = KINDS
            .iter()
            .filter(|kind| kind.namespaced && !namespace.is_empty());
        kinds.flat_map(move |kind| self.of_kind(kind, namespace))
    }

    /// Returns the namespaces in which something happened since the last call.
    pub(super) fn take_touched(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.touched)
    }

    pub(super) fn changes_after(&self, version: u64) -> impl Iterator<Item = &Change> {
        let from = self
            .history
            .partition_point(|change| change.version <= version);
        self.history.get(from..).unwrap_or_default().iter()
    }

    /// Tells whether the history still reaches back to a version, and if not, how far it does.
    pub(super) fn reaches_back_to(&self, version: u64) -> Result<(), u64> {
        if version < self.compacted {
            Err(self.compacted)
        } else {
            Ok(())
        }
    }

    /// Forgets the history, so that watches from older versions expire.
    pub(super) fn compact(&mut self) {
        self.compacted = self.version;
        self.history.clear();
    }

    /// Stores a new object: fills uid, stamps and generation.
    pub(super) fn insert(
        &mut self,
        key: Key,
        mut object: Value,
        managers: Managers,
        now: (Duration, String),
    ) {
        let uid = self.unique();
        let metadata = &mut object["metadata"];
        metadata["name"] = key.name.as_str().into();
        if key.kind.namespaced {
            metadata["namespace"] = key.namespace.as_str().into();
        }
        metadata["uid"] = uid.into();
        metadata["creationTimestamp"] = now.1.into();
        if key.kind.generation {
            metadata["generation"] = 1.into();
        }
        self.write(Did::Add, key, object, managers, now.0);
    }

    /// Replaces an object; it counts the generation up if more than metadata and status changed.
    ///
    /// Nothing is written, and false returned, if nothing changed.
    pub(super) fn replace(
        &mut self,
        key: &Key,
        mut object: Value,
        managers: Managers,
        now: Duration,
    ) -> bool {
        let Some(old) = self.objects.get(key) else {
            return false;
        };
        object["metadata"]["resourceVersion"] = old.object["metadata"]["resourceVersion"].clone();
        let respecified = specification(&old.object) != specification(&object);
        // Binding a pod to its node writes its spec, but is no new generation.
        if respecified && key.kind.generation && key.kind.kind != "Pod" {
            let generation = old.object["metadata"]["generation"]
                .as_u64()
                .unwrap_or_default();
            object["metadata"]["generation"] = (generation + 1).into();
        }
        if object == old.object && managers.same_fields(&old.managers) {
            return false;
        }
        let changed = if respecified { now } else { old.changed };
        self.write(Did::Modify, key.clone(), object, managers, changed);
        true
    }

    /// Replaces an object on behalf of a controller, which owns no fields.
    pub(super) fn put(&mut self, key: &Key, object: Value, now: Duration) -> bool {
        let managers = self.objects.get(key).map(|entry| entry.managers.clone());
        self.replace(key, object, managers.unwrap_or_default(), now)
    }

    /// Changes an object in place on behalf of a controller.
    pub(super) fn edit(
        &mut self,
        key: &Key,
        now: Duration,
        change: impl FnOnce(&mut Value),
    ) -> bool {
        let Some(mut object) = self.objects.get(key).map(|entry| entry.object.clone()) else {
            return false;
        };
        change(&mut object);
        self.put(key, object, now)
    }

    /// Removes an object at once.
    pub(super) fn remove(&mut self, key: &Key) -> Option<Arc<Value>> {
        let entry = self.objects.remove(key)?;
        self.version += 1;
        let mut object = (*entry.rendered).clone();
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        let object = Arc::new(object);
        self.record(
            Did::Delete,
            key.clone(),
            Arc::clone(&object),
            Some(entry.rendered),
        );
        Some(object)
    }

    fn write(
        &mut self,
        did: Did,
        key: Key,
        mut object: Value,
        managers: Managers,
        changed: Duration,
    ) {
        self.version += 1;
        object["apiVersion"] = key.kind.api_version().into();
        object["kind"] = key.kind.kind.into();
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        let mut rendered = object.clone();
        if let Some(list) = managers.render(&key.kind.api_version()) {
            rendered["metadata"]["managedFields"] = list;
        }
        let rendered = Arc::new(rendered);
        let entry = Entry {
            object,
            managers,
            changed,
            rendered: Arc::clone(&rendered),
        };
        let before = self
            .objects
            .insert(key.clone(), entry)
            .map(|old| old.rendered);
        self.record(did, key, rendered, before);
    }

    fn record(&mut self, did: Did, key: Key, object: Arc<Value>, before: Option<Arc<Value>>) {
        let place = if key.kind.namespaced {
            &key.namespace
        } else {
            &key.name
        };
        self.touched.insert(place.clone());
        self.history.push(Change {
            version: self.version,
            did,
            key,
            object,
            before,
        });
        self.announce.send_replace(self.version);
    }

    /// Makes a uid that no other object of this server has; the same run makes the same ones.
    fn unique(&mut self) -> String {
        self.made += 1;
        let high = scatter(self.made);
        let low = scatter(high ^ self.made);
        format!(
            "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            high >> 32,
            (high >> 16) & 0xffff,
            high & 0xfff,
            (low >> 48) & 0x3fff | 0x8000,
            low & 0xffff_ffff_ffff
        )
    }

    /// Makes the random end of a name, in the letters that Kubernetes uses.
    pub(super) fn suffix(&mut self, letters: usize) -> String {
        self.made += 1;
        spell(scatter(self.made), letters)
    }
}

/// Returns everything that counts for the generation.
fn specification(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(fields) = object.as_object_mut() {
        fields.remove("metadata");
        fields.remove("status");
    }
    object
}

/// Returns the owner reference that a controller puts on what it creates.
pub(super) fn controlled_by(owner: &Value) -> Value {
    json!([{
        "apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"], "controller": true, "blockOwnerDeletion": true,
    }])
}

/// Tells whether a controller owns an object.
pub(super) fn is_controlled_by(object: &Value, owner: &Value) -> bool {
    let owners = object["metadata"]["ownerReferences"].as_array();
    owners.is_some_and(|owners| {
        owners
            .iter()
            .any(|found| found["uid"] == owner["metadata"]["uid"])
    })
}
