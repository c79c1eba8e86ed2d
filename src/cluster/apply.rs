//! Turns a set of manifests into live objects by server-side apply, and says of each what changed.
//! It must not wait for readiness and must not create the Namespace; the claim comes first.
//! Force comes only after a refusal, so that what was taken from others is known and costs a request only where it happens.

use super::{
    Cluster, FIELD_MANAGER,
    answer::{Class, FieldFault, Refusal},
    applyset,
    call::{Call, How},
    error::ClusterError,
    existing::Existing,
    kinds::{self, Kind},
    namespaces::another_uid,
    outcome::{Applied, Failure},
    recreate::foreign_ports,
    request::Answer,
    sleep,
};
use crate::{
    capacity::Members,
    manifests::{Manifest, ManifestSet, Origin},
    names::{Namespace, ObjectId, ReasonCode},
};
use futures::{StreamExt, stream};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fmt,
    sync::atomic::{AtomicBool, Ordering},
};

/// How many requests are under way at once.
pub(super) const WIDTH: usize = 24;

/// Field managers of autoscalers.
pub(super) const SCALERS: [&str; 2] = ["kube-controller-manager", "keda-operator"];

/// What is said where the configured number of replicas does not count.
const LEFT: &str = "spec.replicas is left to the autoscaler, which has set it";

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
        match &self.origin {
            Origin { file, line: 0 } => write!(f, "{} ({file}): ", self.id)?,
            Origin { file, line } => write!(f, "{} ({file}, line {line}): ", self.id)?,
        }
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
    /// The error of one object, before which nothing was applied.
    pub(super) fn one(manifest: &Manifest, error: ClusterError) -> Self {
        Self {
            errors: vec![ObjectError {
                id: manifest.id.clone(),
                origin: manifest.origin.clone(),
                error,
            }],
            applied: Vec::new(),
        }
    }

    /// True when all that is wrong is that objects are not those that were seen: deleted, or made anew.
    pub fn is_only_of_others(&self) -> bool {
        self.errors.iter().all(|error| another_uid(&error.error))
    }

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
    /// Applies a set, stage after stage; stages whose objects were all there before do not wait for each other.
    ///
    /// The parent of the ApplySet names all kinds before the first object comes, so that a crash leaves nothing unnamed.
    /// After an error nothing new is begun, what is under way is awaited, and all errors come back together.
    pub async fn apply(
        &self,
        set: &ManifestSet,
        namespace: &Namespace,
        known: &Existing,
        on_progress: &mut (dyn FnMut(&Applied) + Send),
    ) -> Result<Vec<Applied>, ApplyError> {
        self.announce(set, namespace, known).await?;
        self.put(set, namespace, known, on_progress).await
    }

    /// Names all kinds of a set in the parent of the ApplySet, for those who apply it in parts; an empty set changes nothing.
    pub async fn announce(
        &self,
        set: &ManifestSet,
        namespace: &Namespace,
        known: &Existing,
    ) -> Result<Option<Members>, ApplyError> {
        if set.objects.is_empty() {
            return Ok(None);
        }
        refuse_strange(set, namespace)?;
        let declared = self.declare(set, namespace, known).await;
        declared.map(Some).map_err(about_parent)
    }

    /// Applies a set, or a part of one, whose kinds are announced.
    pub async fn put(
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
        applied.sort_by_key(|one| set.place(&one.id));
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
        let kind = kind_of(id)?;
        let mut object = applyset::member(&manifest.object, &applyset::id(namespace));
        let mut notes = Vec::new();
        if known.autoscaled(kind, &id.name) && give_up_replicas(&mut object) {
            // Where an autoscaler is known everybody expects that; otherwise the configured number would be lost silently.
            notes.extend((!known.has_autoscaler()).then(|| LEFT.to_owned()));
        }
        let before = known.metadata(kind, &id.name);
        let answer = match self
            .write(kind, namespace, &object, false, &mut notes)
            .await
        {
            Err(error) => {
                let Some(why) = why_anew(kind, &object, before, &error) else {
                    return Err(error);
                };
                if !self.make_way(kind, namespace, &object).await? {
                    return Err(error);
                }
                notes.push(why);
                // What is made now has a UID that nobody knows yet.
                if let Some(metadata) = object["metadata"].as_object_mut() {
                    metadata.remove("uid");
                }
                self.write(kind, namespace, &object, false, &mut notes)
                    .await?
            }
            Ok(answer) => answer,
        };
        let change = known.change(kind, manifest, &answer);
        let Answer { body, warnings, .. } = answer;
        notes.extend(warnings);
        Ok(Applied {
            id: id.clone(),
            change,
            warnings: notes,
            origin: manifest.origin.clone(),
            live: without_ballast(body),
        })
    }

    /// Applies an object; fields that others hold are taken in a second try, and noted.
    ///
    /// The number of replicas that an autoscaler has decided is left to it, whoever made that autoscaler.
    pub(super) async fn write(
        &self,
        kind: &'static Kind,
        namespace: &Namespace,
        object: &Value,
        dry_run: bool,
        notes: &mut Vec<String>,
    ) -> Result<Answer, ClusterError> {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let gently = How {
            manager: FIELD_MANAGER,
            force: false,
            dry_run,
        };
        let by_force = How {
            force: true,
            ..gently
        };
        let call = |object, how| Call::apply_as(kind, Some(namespace), name, object, how);
        match self.send(call(object, &gently)?).await {
            Err(error) if error.class() == Some(&Class::FieldConflict) => {
                let refusal = error.refusal();
                notes.extend(refusal.into_iter().flat_map(taken));
                let mut object = object.clone();
                if refusal.is_some_and(scaled) {
                    give_up_replicas(&mut object);
                }
                self.send(call(&object, &by_force)?).await
            }
            answer => answer,
        }
    }
}

/// Who holds a field, by a conflict about it.
fn holder(fault: &FieldFault) -> &str {
    let manager = fault.fault.strip_prefix("conflict with \"");
    let manager = manager.and_then(|rest| rest.split_once('"'));
    manager.map_or("another manager", |(manager, _)| manager)
}

/// True when an autoscaler holds the field: the only one of the cluster's own controllers that writes it.
fn autoscaled(fault: &FieldFault) -> bool {
    fault.field.trim_start_matches('.') == "spec.replicas" && SCALERS.contains(&holder(fault))
}

/// Takes the number of replicas out of an object; false when it says none.
fn give_up_replicas(object: &mut Value) -> bool {
    let spec = object["spec"].as_object_mut();
    spec.is_some_and(|spec| spec.remove("replicas").is_some())
}

fn scaled(refusal: &Refusal) -> bool {
    refusal.fields.iter().any(autoscaled)
}

/// What was taken from other field managers, and what was left to them, in words.
fn taken(refusal: &Refusal) -> Vec<String> {
    let mut fields: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let others = |fault: &&FieldFault| !autoscaled(fault) && holder(fault) != sleep::SLEEPER;
    for fault in refusal.fields.iter().filter(others) {
        let field = fault.field.trim_start_matches('.');
        fields.entry(holder(fault)).or_default().push(field);
    }
    let sentence = |(manager, fields): (&str, Vec<&str>)| {
        format!(
            "{} had been set by `{manager}` and is as configured again",
            fields.join(", ")
        )
    };
    let left = scaled(refusal).then(|| LEFT.to_owned());
    fields.into_iter().map(sentence).chain(left).collect()
}

/// Why an object has to be deleted and made again, in words; none when that would not help.
fn why_anew(
    kind: &Kind,
    object: &Value,
    before: Option<&Value>,
    error: &ClusterError,
) -> Option<String> {
    if error.class() == Some(&Class::Immutable) {
        return (!another_uid(error)).then(|| recreated(error));
    }
    let by = foreign_ports(kind, object, before, error)?;
    Some(format!(
        "deleted and made again, because ports set by `{by}` stand in the way of the configured ones"
    ))
}

/// That an object was deleted and made again, in words.
fn recreated(error: &ClusterError) -> String {
    let fields = error.refusal().map(|refusal| refusal.fields.as_slice());
    let mut fields: Vec<_> = fields
        .unwrap_or_default()
        .iter()
        .map(|fault| fault.field.as_str())
        .filter(|field| !field.is_empty())
        .collect();
    fields.dedup();
    match fields.as_slice() {
        [] => "deleted and made again, because the change is not allowed on a live one".into(),
        fields => format!(
            "deleted and made again, because {} cannot change on a live one",
            fields.join(", ")
        ),
    }
}

fn kind_of(id: &ObjectId) -> Result<&'static Kind, ClusterError> {
    Kind::of(id).ok_or_else(|| ClusterError::KindNotSupported {
        object: id.to_string(),
        api_version: id.api_version(),
    })
}

/// Nothing is sent for a set with an object that no preview may hold, not even its list of kinds.
fn refuse_strange(set: &ManifestSet, namespace: &Namespace) -> Result<(), ApplyError> {
    let parent = kinds::CONFIG_MAP.object(applyset::PARENT);
    let refused = |id: &ObjectId| {
        if *id == parent {
            return Some(ClusterError::ApplySet {
                parent: format!("{namespace}/{}", applyset::PARENT),
                problem: "cannot be an object of your own".into(),
            });
        }
        kind_of(id).err()
    };
    let errors: Vec<_> = set
        .objects
        .iter()
        .filter_map(|manifest| {
            Some(ObjectError {
                error: refused(&manifest.id)?,
                id: manifest.id.clone(),
                origin: manifest.origin.clone(),
            })
        })
        .collect();
    if errors.is_empty() {
        return Ok(());
    }
    Err(ApplyError {
        errors,
        applied: Vec::new(),
    })
}

fn about_parent(error: ClusterError) -> ApplyError {
    let parent = ObjectError {
        id: kinds::CONFIG_MAP.object(applyset::PARENT),
        origin: Origin {
            file: "built-in/applyset".into(),
            line: 1,
        },
        error,
    };
    ApplyError {
        errors: vec![parent],
        applied: Vec::new(),
    }
}

/// Stages that must wait for each other, each with what may go at once.
fn waves<'a>(set: &'a ManifestSet, known: &Existing) -> Vec<Vec<&'a Manifest>> {
    let is_new = |manifest: &Manifest| known.lacks(Kind::of(&manifest.id), &manifest.id.name);
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

/// The answer without what nobody reads again, and without what must not be shown.
pub(super) fn without_ballast(mut object: Value) -> Value {
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
