//! Turns a set of manifests into live objects by server-side apply, and says of each what changed.
//! It must not wait for readiness and must not create the Namespace; the claim comes first.
//! What changed is told by comparing versions, so that a redeploy costs one request an object and no dry run.

use super::{
    Cluster,
    answer::{Class, Refusal},
    call::Call,
    error::ClusterError,
    kinds::{self, Kind},
    outcome::{Applied, Change, Failure},
    request::Answer,
};
use crate::{
    manifests::{Manifest, ManifestSet, Origin},
    names::{Namespace, ObjectId, ReasonCode},
};
use futures::{StreamExt, stream};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::atomic::{AtomicBool, Ordering},
};

/// How many requests are under way at once.
pub(super) const WIDTH: usize = 24;

/// What a Namespace held before anything was applied.
#[derive(Debug, Clone, Default)]
pub struct Existing {
    /// Versions of the objects of the listed kinds.
    versions: BTreeMap<(&'static str, String), String>,
    listed: BTreeSet<&'static str>,
    /// The cluster's version when the last list was made.
    revision: Option<u64>,
}

impl Existing {
    fn has(&self, kind: &Kind, name: &str) -> Option<&str> {
        let version = self.versions.get(&(kind.plural, name.to_owned()));
        version.map(String::as_str)
    }
}

/// Why a set was not applied as a whole.
#[derive(Debug)]
pub struct ApplyError {
    /// Every error; at least one.
    pub errors: Vec<ObjectError>,
    /// What was applied all the same.
    pub applied: Vec<Applied>,
}

/// Why one object was not applied.
#[derive(Debug)]
pub struct ObjectError {
    /// Which object.
    pub id: ObjectId,
    /// Where it comes from.
    pub origin: Origin,
    /// Why.
    pub error: ClusterError,
}

impl fmt::Display for ObjectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Origin { file, line } = &self.origin;
        write!(f, "{} ({file}, line {line}): ", self.id)?;
        f.write_str(&self.fault())
    }
}

impl ObjectError {
    /// What is wrong, without naming the object: its fields where the server named any.
    fn fault(&self) -> String {
        match self.error.refusal() {
            Some(Refusal { fields, .. }) if !fields.is_empty() => {
                let faults: Vec<_> = fields.iter().map(ToString::to_string).collect();
                faults.join("; ")
            }
            Some(refusal) => refusal.message.clone(),
            None => self.error.to_string(),
        }
    }

    /// The error as the report shows it.
    pub fn failure(&self) -> Failure {
        super::refused::failure(self, self.fault())
    }
}

impl fmt::Display for ApplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.errors.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ApplyError {}

impl ApplyError {
    /// The error that says most: one that concerns all objects before one that concerns its own.
    pub fn first(&self) -> Option<&ObjectError> {
        let rank = |error: &&ObjectError| match error.error.reason_code() {
            ReasonCode::NamespaceTerminating => 0,
            ReasonCode::ClusterUnauthorized | ReasonCode::ClusterUnreachable => 1,
            ReasonCode::BadManifest => 2,
            ReasonCode::ClusterForbidden => 3,
            _ => 4,
        };
        self.errors.iter().min_by_key(rank)
    }

    /// The code that workflows branch on.
    pub fn reason_code(&self) -> ReasonCode {
        self.first()
            .map_or(ReasonCode::InternalError, |first| first.error.reason_code())
    }
}

impl Cluster {
    /// Reads which objects of the set's kinds a Namespace holds: one request a kind.
    ///
    /// Secrets are not listed, because that would take the right to read them all.
    pub async fn existing(
        &self,
        namespace: &Namespace,
        set: &ManifestSet,
    ) -> Result<Existing, ClusterError> {
        let kinds: BTreeSet<_> = set
            .objects
            .iter()
            .filter_map(|manifest| Kind::of(&manifest.id))
            .filter(|kind| *kind != &kinds::SECRET)
            .collect();
        let lists = stream::iter(kinds)
            .map(|kind| async move {
                let answer = self.send(Call::list_metadata(kind, Some(namespace))?).await;
                match answer {
                    Ok(answer) => Ok((kind, answer.body)),
                    // The apply will say it better, with the object's place.
                    Err(error) if error.class() == Some(&Class::KindUnknown) => {
                        Ok((kind, Value::Null))
                    }
                    Err(error) => Err(error),
                }
            })
            .buffer_unordered(WIDTH);
        let mut existing = Existing::default();
        for list in lists.collect::<Vec<_>>().await {
            let (kind, list) = list?;
            existing.listed.insert(kind.plural);
            let revision = version(&list).and_then(|version| version.parse().ok());
            existing.revision = existing.revision.max(revision);
            for object in list["items"].as_array().into_iter().flatten() {
                if let (Some(name), Some(version)) =
                    (object["metadata"]["name"].as_str(), version(object))
                {
                    let key = (kind.plural, name.to_owned());
                    existing.versions.insert(key, version.to_owned());
                }
            }
        }
        Ok(existing)
    }

    /// Applies a set, stage after stage; stages whose objects were all there before do not wait for each other.
    ///
    /// After an error nothing new is begun, what is under way is awaited, and all errors come back together.
    pub async fn apply(
        &self,
        set: &ManifestSet,
        namespace: &Namespace,
        known: &Existing,
        on_progress: &mut (dyn FnMut(&Applied) + Send),
    ) -> Result<Vec<Applied>, ApplyError> {
        let failed = AtomicBool::new(false);
        let (mut applied, mut errors) = (Vec::with_capacity(set.objects.len()), Vec::new());
        for wave in waves(set, known) {
            let mut answers = stream::iter(wave)
                .map(|manifest| self.apply_unless(&failed, manifest, namespace, known))
                .buffer_unordered(WIDTH);
            while let Some(answer) = answers.next().await {
                match answer {
                    None => {}
                    Some(Ok(one)) => {
                        on_progress(&one);
                        applied.push(one);
                    }
                    Some(Err(error)) => errors.push(error),
                }
            }
            if failed.load(Ordering::Relaxed) {
                break;
            }
        }
        // Answers come in any order; people read the order of the set.
        let place = |one: &Applied| {
            set.objects
                .iter()
                .position(|manifest| manifest.id == one.id)
        };
        applied.sort_by_key(place);
        if errors.is_empty() {
            Ok(applied)
        } else {
            errors.sort_by(|a, b| (&a.origin, &a.id).cmp(&(&b.origin, &b.id)));
            Err(ApplyError { errors, applied })
        }
    }

    async fn apply_unless(
        &self,
        failed: &AtomicBool,
        manifest: &Manifest,
        namespace: &Namespace,
        known: &Existing,
    ) -> Option<Result<Applied, ObjectError>> {
        if failed.load(Ordering::Relaxed) {
            return None;
        }
        let result = self.apply_one(manifest, namespace, known).await;
        Some(result.map_err(|error| {
            failed.store(true, Ordering::Relaxed);
            ObjectError {
                id: manifest.id.clone(),
                origin: manifest.origin.clone(),
                error,
            }
        }))
    }

    async fn apply_one(
        &self,
        manifest: &Manifest,
        namespace: &Namespace,
        known: &Existing,
    ) -> Result<Applied, ClusterError> {
        let id = &manifest.id;
        let kind = Kind::of(id).ok_or_else(|| ClusterError::KindNotSupported {
            object: id.to_string(),
            api_version: id.api_version(),
        })?;
        let call = Call::apply(kind, Some(namespace), &id.name, &manifest.object)?;
        let answer = self.send(call).await?;
        let change = change(kind, &id.name, &answer, known);
        let Answer { body, warnings, .. } = answer;
        Ok(Applied {
            id: id.clone(),
            change,
            warnings,
            origin: manifest.origin.clone(),
            live: without_ballast(body),
        })
    }
}

/// Stages that must wait for each other, each with what may go at once.
///
/// A kind that cannot be listed is taken to be there when anything at all is: the set was applied before.
fn waves<'a>(set: &'a ManifestSet, known: &Existing) -> Vec<Vec<&'a Manifest>> {
    let is_new = |manifest: &Manifest| match Kind::of(&manifest.id) {
        Some(kind) if known.listed.contains(kind.plural) => {
            known.has(kind, &manifest.id.name).is_none()
        }
        _ => known.versions.is_empty(),
    };
    let mut stages: BTreeMap<u8, Vec<&Manifest>> = BTreeMap::new();
    for manifest in &set.objects {
        stages.entry(manifest.stage).or_default().push(manifest);
    }
    let mut waves: Vec<Vec<&Manifest>> = Vec::new();
    let mut barrier = true;
    for stage in stages.into_values() {
        let has_new = stage.iter().any(|manifest| is_new(manifest));
        match waves.last_mut() {
            Some(wave) if !barrier => wave.extend(stage),
            _ => waves.push(stage),
        }
        barrier = has_new;
    }
    waves
}

fn change(kind: &Kind, name: &str, answer: &Answer, known: &Existing) -> Change {
    if answer.code == 201 {
        return Change::Created;
    }
    let now = version(&answer.body).unwrap_or_default();
    let same = match known.has(kind, name) {
        Some(before) => before == now,
        // Not listed: unchanged means last written before the lists were made. Versions rise over the whole cluster.
        None => match (now.parse::<u64>(), known.revision) {
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

fn version(object: &Value) -> Option<&str> {
    object["metadata"]["resourceVersion"].as_str()
}

fn without_ballast(mut object: Value) -> Value {
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("managedFields");
    }
    if object["kind"] == "Secret"
        && let Some(secret) = object.as_object_mut()
    {
        secret.remove("data");
        secret.remove("stringData");
    }
    object
}
