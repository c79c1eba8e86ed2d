//! Turns lists of metadata into what a Namespace held before anything was applied, and tells from it what an apply changed.
//! It must not read what an object contains, nor any Secret.
//! One list a kind serves three ends: what changed, what has to wait for what, and what left the set.

use super::{
    Cluster, FIELD_MANAGER,
    answer::Class,
    apply::{SCALERS, WIDTH},
    applyset::{self, Contents},
    call::Call,
    error::ClusterError,
    kinds::{self, Kind, Resource},
    outcome::Change,
    overlap::{ROUTES, RUNS},
    request::{Answer, items},
};
use crate::{
    capacity::Members,
    manifests::{Manifest, ManifestSet},
    names::{Namespace, ObjectId},
};
use futures::{StreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What a Namespace held before anything was applied.
#[derive(Debug, Clone, Default)]
pub struct Existing {
    /// Metadata of the objects of the listed kinds, by resource and name.
    objects: BTreeMap<(Resource, String), (&'static Kind, Value)>,
    listed: BTreeSet<Resource>,
    /// The cluster's version when the last list was made.
    revision: Option<u64>,
    /// What the parent of the ApplySet says; none when there is none.
    pub(super) contents: Option<Contents>,
}

impl Existing {
    /// Metadata of an object that was there.
    pub(super) fn metadata(&self, kind: &Kind, name: &str) -> Option<&Value> {
        let found = self.objects.get(&(kind.resource(), name.to_owned()));
        found.map(|(_, metadata)| metadata)
    }

    /// True when an object of this kind and name will be new.
    ///
    /// A kind that cannot be listed is taken to be there when anything at all is: the set was applied before.
    pub(super) fn lacks(&self, kind: Option<&'static Kind>, name: &str) -> bool {
        match kind {
            Some(kind) if self.listed.contains(&kind.resource()) => {
                self.metadata(kind, name).is_none()
            }
            _ => self.objects.is_empty(),
        }
    }

    /// True when an object of this name will be new.
    pub fn is_new(&self, id: &ObjectId) -> bool {
        self.lacks(Kind::of(id), &id.name)
    }

    /// The set with the UID of each object that was seen, so that nothing else is changed and nothing made.
    ///
    /// None when that cannot be had for all of it: something is new, may not be listed, or is of a kind that is not named yet.
    pub fn pinned(&self, set: &ManifestSet) -> Option<ManifestSet> {
        let contents = self.contents.as_ref()?;
        if !contents.covers(&Contents::of_set(set)) || !self.unknown_kinds().is_empty() {
            return None;
        }
        let pin = |manifest: &Manifest| {
            let kind = Kind::of(&manifest.id)?;
            let seen = self.metadata(kind, &manifest.id.name)?;
            let mut manifest = manifest.clone();
            manifest.object["metadata"]["uid"] = seen["uid"].as_str()?.into();
            Some(manifest)
        };
        Some(ManifestSet {
            objects: set.objects.iter().map(pin).collect::<Option<_>>()?,
            warnings: Vec::new(),
        })
    }

    /// Kind, name and UID of what runs or leads to it.
    fn serving(&self) -> impl Iterator<Item = (&'static Kind, &str, &Value)> {
        let serves = |kind: &Kind| [&RUNS[..], &ROUTES[..]].concat().contains(&kind.kind);
        self.objects
            .iter()
            .filter(move |(_, (kind, _))| serves(kind))
            .map(|((_, name), (kind, metadata))| (*kind, name.as_str(), &metadata["uid"]))
    }

    /// Members of the ApplySet among the listed objects.
    pub(super) fn members(&self, id: &str) -> impl Iterator<Item = (&'static Kind, &Value)> {
        self.objects
            .values()
            .filter(move |(_, metadata)| metadata["labels"][applyset::PART_OF] == id)
            .map(|(kind, metadata)| (*kind, metadata))
    }

    /// True when an autoscaler has set the number of replicas of an object that was there.
    pub(super) fn autoscaled(&self, kind: &Kind, name: &str) -> bool {
        let managers = self.metadata(kind, name).map(|seen| &seen["managedFields"]);
        let mut managers = managers.and_then(Value::as_array).into_iter().flatten();
        managers.any(|entry| {
            let scaler = |name: &str| SCALERS.contains(&name);
            entry["manager"].as_str().is_some_and(scaler)
                && entry["fieldsV1"]["f:spec"]["f:replicas"].is_object()
        })
    }

    /// True when an autoscaler is among what was listed.
    pub(super) fn has_autoscaler(&self) -> bool {
        let mut kinds = self.objects.values().map(|(kind, _)| *kind);
        kinds.any(|kind| [&kinds::AUTOSCALER, &kinds::SCALED_OBJECT].contains(&kind))
    }

    /// Kinds that the parent names and that this process has no path for: what is left of them cannot be seen.
    pub fn unknown_kinds(&self) -> Vec<String> {
        let contents = self.contents.as_ref();
        contents
            .map(|contents| contents.strange().named().collect())
            .unwrap_or_default()
    }

    /// What applying an object did to it.
    pub(super) fn change(&self, kind: &Kind, manifest: &Manifest, answer: &Answer) -> Change {
        if answer.code == 201 {
            return Change::Created;
        }
        let now = version(&answer.body).unwrap_or_default();
        let same = match self.metadata(kind, &manifest.id.name) {
            Some(before) => {
                before["resourceVersion"] == now
                    || (has_status(kind) && only_status_changed(before, manifest, answer))
            }
            // Not listed: unchanged means last written before the lists were made. Versions rise over the whole cluster.
            None => match (now.parse::<u64>(), self.revision) {
                (Ok(now), Some(revision)) => now <= revision,
                _ => false,
            },
        };
        if same {
            Change::Unchanged
        } else {
            Change::Changed
        }
    }

    fn take(&mut self, kind: &'static Kind, list: &Value) {
        self.listed.insert(kind.resource());
        let revision = version(list).and_then(|version| version.parse().ok());
        self.revision = self.revision.max(revision);
        for object in items(list) {
            let metadata = &object["metadata"];
            if let Some(name) = metadata["name"].as_str() {
                let key = (kind.resource(), name.to_owned());
                self.objects.insert(key, (kind, metadata.clone()));
            }
        }
    }
}

impl Cluster {
    /// True when everything that ran or led to it before is still there, and is not another of its name.
    pub(super) async fn still_there(
        &self,
        namespace: &Namespace,
        before: &Existing,
    ) -> Result<bool, ClusterError> {
        let mut now = Existing::default();
        let kinds = before.serving().map(|(kind, ..)| kind).collect();
        self.list_into(&mut now, namespace, kinds).await?;
        Ok(before.serving().all(|(kind, name, uid)| {
            now.metadata(kind, name)
                .is_some_and(|metadata| metadata["uid"] == *uid)
        }))
    }

    /// Reads which objects of the set's kinds, and of those that its parent names, a Namespace holds: one request a kind.
    ///
    /// Secrets are not listed, because that would take the right to read them all.
    pub async fn existing(
        &self,
        namespace: &Namespace,
        set: &ManifestSet,
    ) -> Result<Existing, ClusterError> {
        let kinds = set
            .objects
            .iter()
            .filter_map(|manifest| Kind::of(&manifest.id));
        self.existing_of(namespace, kinds.collect()).await
    }

    /// Reads the same before the set is known, by what an earlier run has left in the ledger.
    ///
    /// None when this is not the Namespace that it was left in: the list of kinds there is another object.
    pub async fn existing_members(
        &self,
        namespace: &Namespace,
        members: &Members,
    ) -> Result<Option<Existing>, ClusterError> {
        let kinds = Contents::remembered(members);
        let existing = self.existing_of(namespace, kinds.kinds().collect()).await?;
        let parent = existing.metadata(&kinds::CONFIG_MAP, applyset::PARENT);
        let same = parent.is_some_and(|parent| parent["uid"] == members.list.as_str());
        Ok(same.then_some(existing))
    }

    async fn existing_of(
        &self,
        namespace: &Namespace,
        mut kinds: BTreeSet<&'static Kind>,
    ) -> Result<Existing, ClusterError> {
        let mut existing = Existing::default();
        // The parent is a ConfigMap, so that their list shows it.
        kinds.insert(&kinds::CONFIG_MAP);
        self.list_into(&mut existing, namespace, kinds).await?;
        if let Some(metadata) = existing.metadata(&kinds::CONFIG_MAP, applyset::PARENT) {
            let parent = serde_json::json!({"metadata": metadata});
            let contents = Contents::read(&parent, namespace)?;
            let more = contents
                .kinds()
                .filter(|kind| !existing.listed.contains(&kind.resource()));
            let more: BTreeSet<_> = more.collect();
            existing.contents = Some(contents);
            self.list_into(&mut existing, namespace, more).await?;
        }
        Ok(existing)
    }

    async fn list_into(
        &self,
        existing: &mut Existing,
        namespace: &Namespace,
        mut kinds: BTreeSet<&'static Kind>,
    ) -> Result<(), ClusterError> {
        kinds.remove(&kinds::SECRET);
        let lists: Vec<_> = kinds
            .into_iter()
            .map(|kind| self.listed(kind, namespace))
            .collect();
        let lists = stream::iter(lists).buffer_unordered(WIDTH);
        for list in lists.collect::<Vec<_>>().await {
            let (kind, list) = list?;
            existing.take(kind, &list);
        }
        Ok(())
    }

    async fn listed(
        &self,
        kind: &'static Kind,
        namespace: &Namespace,
    ) -> Result<(&'static Kind, Value), ClusterError> {
        match self.send(Call::list_metadata(kind, Some(namespace))?).await {
            Ok(answer) => Ok((kind, answer.body)),
            // The apply will say it better, with the object's place.
            Err(error) if error.class() == Some(&Class::KindUnknown) => Ok((kind, Value::Null)),
            Err(error) => Err(error),
        }
    }
}

fn version(object: &Value) -> Option<&str> {
    object["metadata"]["resourceVersion"].as_str()
}

/// Kinds that nobody writes a status into are never written between our list and our patch but by somebody's hand.
fn has_status(kind: &Kind) -> bool {
    ![
        &kinds::CONFIG_MAP,
        &kinds::SECRET,
        &kinds::SERVICE_ACCOUNT,
        &kinds::LIMIT_RANGE,
    ]
    .contains(&kind)
}

/// True when nothing that is ours differs from before: a controller wrote the status between the list and the patch.
fn only_status_changed(before: &Value, manifest: &Manifest, answer: &Answer) -> bool {
    let after = &answer.body["metadata"];
    let (Some(owned), Some(owns)) = (our_fields(before), our_fields(after)) else {
        return false;
    };
    let kept = ["labels", "annotations"].iter().all(|place| {
        let wanted = manifest.object["metadata"][place].as_object();
        let mut wanted = wanted.into_iter().flatten();
        wanted.all(|(name, value)| before[place][name] == *value)
    });
    let same_object =
        before["uid"] == after["uid"] && kept && owned["fieldsV1"] == owns["fieldsV1"];
    match after["generation"].as_u64() {
        Some(_) => same_object && before["generation"] == after["generation"],
        // The server notes the second of each change of ours, so within the same second it tells nothing.
        None => {
            let noted = owns["time"].as_str().and_then(|time| time.parse().ok());
            let long_ago =
                matches!((noted, answer.date), (Some(noted), Some(now)) if older(noted, now));
            same_object && owned["time"] == owns["time"] && long_ago
        }
    }
}

fn older(noted: Timestamp, now: Timestamp) -> bool {
    now.duration_since(noted) > SignedDuration::from_secs(1)
}

/// What the server noted of our own applies of an object.
fn our_fields(metadata: &Value) -> Option<&Value> {
    let managers = metadata["managedFields"].as_array()?;
    managers
        .iter()
        .find(|entry| entry["manager"] == FIELD_MANAGER && entry["operation"] == "Apply")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::manifests::Origin;
    use serde_json::json;

    fn metadata(version: &str, generation: Option<u64>, time: &str) -> Value {
        let ours = json!({"manager": FIELD_MANAGER, "operation": "Apply", "time": time, "fieldsV1": {"f:spec": {}}});
        let mut metadata = json!({
            "name": "web", "uid": "u1", "resourceVersion": version, "labels": {"app": "web"}, "managedFields": [ours],
        });
        if let Some(generation) = generation {
            metadata["generation"] = generation.into();
        }
        metadata
    }

    fn change(kind: &'static Kind, before: &Value, after: &Value) -> Change {
        let mut existing = Existing::default();
        existing.take(
            kind,
            &json!({"metadata": {"resourceVersion": "9"}, "items": [{"metadata": before}]}),
        );
        let manifest = Manifest {
            id: kind.object("web"),
            object: json!({"metadata": {"labels": {"app": "web"}}}),
            origin: Origin {
                file: "web.yaml".into(),
                line: 1,
            },
            stage: 5,
        };
        let answer = Answer {
            code: 200,
            body: json!({"metadata": after}),
            warnings: Vec::new(),
            date: Some("2026-11-21T12:00:10Z".parse().unwrap()),
        };
        existing.change(kind, &manifest, &answer)
    }

    const LONG_AGO: &str = "2026-11-21T11:00:00Z";

    #[test]
    fn a_status_written_after_the_list_is_no_change_of_ours() {
        let before = metadata("5", Some(2), LONG_AGO);
        for (after, expected) in [
            (metadata("5", Some(2), LONG_AGO), Change::Unchanged),
            (metadata("12", Some(2), LONG_AGO), Change::Unchanged),
            (metadata("12", Some(3), LONG_AGO), Change::Changed),
        ] {
            assert_eq!(
                change(&kinds::DEPLOYMENT, &before, &after),
                expected,
                "{after}"
            );
        }
        let mut relabelled = before.clone();
        relabelled["labels"]["app"] = "other".into();
        let after = metadata("12", Some(2), LONG_AGO);
        assert_eq!(
            change(&kinds::DEPLOYMENT, &relabelled, &after),
            Change::Changed
        );
    }

    #[test]
    fn without_a_generation_the_time_of_our_fields_tells() {
        let before = metadata("5", None, LONG_AGO);
        assert_eq!(
            change(&kinds::SERVICE, &before, &metadata("12", None, LONG_AGO)),
            Change::Unchanged
        );
        let now = "2026-11-21T12:00:10Z";
        assert_eq!(
            change(&kinds::SERVICE, &before, &metadata("12", None, now)),
            Change::Changed
        );
        // Within the second in which we wrote before, nothing can be told, and then it counts as changed.
        let just_now = metadata("5", None, now);
        assert_eq!(
            change(&kinds::SERVICE, &just_now, &metadata("12", None, now)),
            Change::Changed
        );
        assert_eq!(
            change(&kinds::CONFIG_MAP, &before, &metadata("12", None, LONG_AGO)),
            Change::Changed
        );
    }
}
