//! Turns what a preview held and what was just applied into the deletion of what left its configuration.
//! It must not run before everything was applied, and never takes a claim, a kept object or one that something else owns.
//! Objects are known by UID and deleted in the version that was judged: what changed meanwhile is judged again.

use super::{
    Cluster,
    answer::Class,
    apply::WIDTH,
    applyset::{self, Contents, MANAGER, PARENT},
    call::{Call, How, Only},
    error::ClusterError,
    existing::Existing,
    kinds::{self, Kind},
    outcome::{Applied, Caution, Pruned},
};
use crate::{
    capacity::Members,
    manifests::{ManifestSet, RUN_FIRST},
    names::{Namespace, ObjectId},
};
use futures::{StreamExt, TryStreamExt, stream};
use kube::api::PropagationPolicy;
use serde_json::Value;
use std::collections::BTreeSet;

/// Annotations by which an object stays when it leaves the configuration.
const KEEP: [(&str, &str); 2] = [
    ("preview-action/keep", "true"),
    ("helm.sh/resource-policy", "keep"),
];

/// Annotation by which a claim goes with its data when it leaves the configuration.
const PRUNE: &str = "preview-action/prune";

/// How often an object that changes under our hands is judged again.
const TRIES: usize = 5;

/// The most objects that a warning names.
const NAMED: usize = 10;

/// A member that was not applied.
#[derive(Debug, Clone)]
struct Left {
    kind: &'static Kind,
    metadata: Value,
}

impl Left {
    fn id(&self) -> ObjectId {
        self.kind
            .object(self.metadata["name"].as_str().unwrap_or_default())
    }

    /// True for a Job of a service that has another Job now: its name follows its content, so nothing left the configuration.
    fn succeeded(&self, applied: &[Applied]) -> bool {
        let service = |metadata: &Value| metadata["labels"]["app.kubernetes.io/name"].clone();
        let mine = service(&self.metadata);
        let mut jobs = applied
            .iter()
            .filter(|one| one.id.kind == kinds::JOB.kind && one.id.group == kinds::JOB.group);
        self.kind == &kinds::JOB
            && self.judge() == Fate::Goes
            && !mine.is_null()
            && jobs.any(|one| service(&one.live["metadata"]) == mine)
    }

    /// True for what did its work once: a Job, or a Pod that is a hook.
    fn ran_once(&self) -> bool {
        let annotations = &self.metadata["annotations"];
        let hook = [RUN_FIRST, "helm.sh/hook"]
            .iter()
            .any(|name| !annotations[*name].is_null());
        self.kind == &kinds::JOB || (self.kind == &kinds::POD && hook)
    }

    fn judge(&self) -> Fate {
        let annotation = |name: &str| self.metadata["annotations"][name].as_str();
        let owned = self.metadata["ownerReferences"]
            .as_array()
            .is_some_and(|owners| !owners.is_empty());
        let kept = KEEP
            .iter()
            .any(|(name, value)| annotation(name) == Some(value));
        if !self.metadata["deletionTimestamp"].is_null() {
            Fate::Leaves
        } else if owned || kept {
            Fate::Stays
        } else if self.kind.keeps_data() && annotation(PRUNE) != Some("true") {
            Fate::StaysForData
        } else {
            Fate::Goes
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Goes,
    /// It is on its way already.
    Leaves,
    Stays,
    StaysForData,
}

/// What has become of a member.
enum End {
    Gone(ObjectId),
    Kept(ObjectId, Option<String>),
}

impl Cluster {
    /// Names all kinds of a set in its parent, and those that were named before; nothing is written when they are named.
    ///
    /// What comes back is what a later run needs to look for them.
    pub(super) async fn declare(
        &self,
        set: &ManifestSet,
        namespace: &Namespace,
        known: &Existing,
    ) -> Result<Members, ClusterError> {
        let declared = declared(set, known);
        let seen = known.metadata(&kinds::CONFIG_MAP, PARENT);
        let uid = match (&known.contents, seen) {
            (Some(contents), Some(seen)) if contents.covers(&declared) => seen["uid"].clone(),
            _ => self.write_parent(&declared, namespace).await?,
        };
        Ok(declared.to_remember(uid.as_str().unwrap_or_default()))
    }

    async fn write_parent(
        &self,
        contents: &Contents,
        namespace: &Namespace,
    ) -> Result<Value, ClusterError> {
        let how = How {
            manager: MANAGER,
            force: true,
            dry_run: false,
        };
        let parent = contents.parent(namespace);
        let kind = &kinds::CONFIG_MAP;
        let call = Call::apply_as(kind, Some(namespace), PARENT, &parent, &how)?;
        let mut answer = self.send(call).await?;
        Ok(answer.body["metadata"]["uid"].take())
    }

    /// Deletes the members of the set that were not applied any more, and names in the parent what is left.
    ///
    /// Unasked nothing goes when that would be more than half of what was there: then a template was lost,
    /// more likely than not, and a warning says how to confirm it.
    pub async fn prune(
        &self,
        set: &ManifestSet,
        namespace: &Namespace,
        known: &Existing,
        applied: &[Applied],
        caution: Caution,
    ) -> Result<Pruned, ClusterError> {
        let mut pruned = Pruned::default();
        // An empty set would take everything, and a set that was applied in part proves nothing about the rest.
        if set.objects.is_empty() || applied.len() != set.objects.len() {
            return Ok(pruned);
        }
        let (left, before) = self.left(set, namespace, known, applied).await?;
        let (succeeded, left): (Vec<_>, Vec<_>) =
            left.into_iter().partition(|left| left.succeeded(applied));
        let mut kept: Vec<ObjectId> = Vec::new();
        let mut going = Vec::new();
        for left in left {
            if caution == Caution::Back && left.ran_once() {
                kept.push(left.id());
                continue;
            }
            match left.judge() {
                Fate::Goes => going.push(left),
                Fate::Leaves => {}
                Fate::Stays => kept.push(left.id()),
                Fate::StaysForData => {
                    let id = left.id();
                    pruned.warnings.push(data_stays(&id));
                    kept.push(id);
                }
            }
        }
        if going.len() * 2 > before && caution == Caution::Unasked {
            let ids: Vec<_> = going.drain(..).map(|left| left.id()).collect();
            pruned.warnings.push(too_many(&ids, before));
            kept.extend(ids);
        }
        going.extend(succeeded.iter().cloned());
        let silent: BTreeSet<_> = succeeded.iter().map(Left::id).collect();
        for end in self.delete_all(namespace, going).await {
            match end {
                End::Gone(id) if silent.contains(&id) => {}
                End::Gone(id) => pruned.removed.push(id),
                End::Kept(id, warning) => {
                    pruned.warnings.extend(warning);
                    kept.push(id);
                }
            }
        }
        pruned.removed.sort();
        self.conclude(set, namespace, known, &kept).await?;
        Ok(pruned)
    }

    /// Members that were there and were not applied, and how many members there were.
    async fn left(
        &self,
        set: &ManifestSet,
        namespace: &Namespace,
        known: &Existing,
        applied: &[Applied],
    ) -> Result<(Vec<Left>, usize), ClusterError> {
        let id = applyset::id(namespace);
        let visited: BTreeSet<_> = applied
            .iter()
            .filter_map(|one| one.live["metadata"]["uid"].as_str())
            .collect();
        let was_visited = |metadata: &Value| {
            metadata["uid"]
                .as_str()
                .is_none_or(|uid| visited.contains(uid))
        };
        let members: Vec<_> = known.members(&id).collect();
        let secrets = known.contents.as_ref().map(Contents::secrets);
        let before = members.len() + secrets.map_or(0, BTreeSet::len);
        let mut left: Vec<Left> = members
            .into_iter()
            .filter(|(_, metadata)| !was_visited(metadata) && metadata["name"] != PARENT)
            .map(|(kind, metadata)| Left {
                kind,
                metadata: metadata.clone(),
            })
            .collect();
        let applied = Contents::of_set(set);
        let gone_secrets = secrets.into_iter().flatten();
        let looked: Vec<_> =
            stream::iter(gone_secrets.filter(|name| !applied.secrets().contains(*name)))
                .map(|name| self.live(&kinds::SECRET, namespace, name))
                .buffer_unordered(WIDTH)
                .try_collect()
                .await?;
        for secret in looked.into_iter().flatten() {
            let metadata = secret["metadata"].clone();
            if metadata["labels"][applyset::PART_OF] == id && !was_visited(&metadata) {
                left.push(Left {
                    kind: &kinds::SECRET,
                    metadata,
                });
            }
        }
        Ok((left, before))
    }

    /// Members that a deploy of this set would delete, told by kind and name: nothing was applied.
    pub(super) fn would_go(
        &self,
        namespace: &Namespace,
        set: &ManifestSet,
        known: &Existing,
    ) -> Vec<ObjectId> {
        let wanted = |id: &ObjectId| set.objects.iter().any(|manifest| manifest.id == *id);
        let member = applyset::id(namespace);
        let listed = known
            .members(&member)
            .map(|(kind, metadata)| Left {
                kind,
                metadata: metadata.clone(),
            })
            .filter(|left| left.judge() == Fate::Goes)
            .map(|left| left.id());
        let secrets = known.contents.iter().flat_map(Contents::secrets);
        let mut going: Vec<_> = listed
            .chain(secrets.map(|name| kinds::SECRET.object(name)))
            .filter(|id| !wanted(id))
            .collect();
        going.sort();
        going
    }

    async fn delete_all(&self, namespace: &Namespace, going: Vec<Left>) -> Vec<End> {
        stream::iter(going)
            .map(|left| async move {
                let id = left.id();
                match self.delete_left(namespace, left).await {
                    Ok(true) => End::Gone(id),
                    Ok(false) => End::Kept(id, None),
                    // It stays named in the parent, and the next deploy tries again.
                    Err(error) => {
                        let warning = format!(
                            "{id} left the configuration and could not be removed: {error}"
                        );
                        End::Kept(id, Some(warning))
                    }
                }
            })
            .buffered(WIDTH)
            .collect()
            .await
    }

    /// Deletes a member in the version that was judged; true when it is gone or going.
    async fn delete_left(
        &self,
        namespace: &Namespace,
        mut left: Left,
    ) -> Result<bool, ClusterError> {
        let name = left.id().name;
        let mut tries = 0;
        loop {
            tries += 1;
            let text = |field: &str| left.metadata[field].as_str().map(str::to_owned);
            let only = Only {
                uid: text("uid").unwrap_or_default(),
                version: text("resourceVersion"),
            };
            let uid = only.uid.clone();
            let background = Some(PropagationPolicy::Background);
            let call = Call::delete(left.kind, Some(namespace), &name, only, background)?;
            match self.send(call).await {
                Ok(_) => return Ok(true),
                Err(error) if error.is_not_found() => return Ok(true),
                Err(error) if error.class() == Some(&Class::Conflict) && tries < TRIES => {}
                Err(error) => return Err(error),
            }
            // Somebody wrote it since it was listed, most often a controller its status.
            match self.live(left.kind, namespace, &name).await? {
                Some(live) if live["metadata"]["uid"] == uid => {
                    left.metadata = live["metadata"].clone();
                }
                _ => return Ok(true),
            }
            let member = left.metadata["labels"][applyset::PART_OF] == applyset::id(namespace);
            match left.judge() {
                Fate::Goes if member => {}
                Fate::Leaves => return Ok(true),
                _ => return Ok(false),
            }
        }
    }

    /// Writes into the parent what the set is made of now, unless it says so already.
    async fn conclude(
        &self,
        set: &ManifestSet,
        namespace: &Namespace,
        known: &Existing,
        kept: &[ObjectId],
    ) -> Result<(), ClusterError> {
        let members = set.objects.iter().map(|manifest| &manifest.id);
        let mut latest = Contents::of(members.chain(kept));
        if let Some(contents) = &known.contents {
            latest = latest.and(&contents.strange());
        }
        let declared = declared(set, known);
        let said = match &known.contents {
            Some(contents) if contents.covers(&declared) => contents,
            _ => &declared,
        };
        if *said == latest {
            return Ok(());
        }
        self.write_parent(&latest, namespace).await?;
        Ok(())
    }
}

/// What the parent names while a set is being applied: what it named before and what is to come.
fn declared(set: &ManifestSet, known: &Existing) -> Contents {
    let wanted = Contents::of_set(set);
    match &known.contents {
        Some(contents) => wanted.and(contents),
        None => wanted,
    }
}

fn data_stays(id: &ObjectId) -> String {
    format!(
        "{id} left the configuration and was kept with its data until the preview is removed; the annotation `{PRUNE}: \"true\"` on it lets it go at the next deploy"
    )
}

fn too_many(ids: &[ObjectId], before: usize) -> String {
    let names: Vec<_> = ids.iter().take(NAMED).map(ToString::to_string).collect();
    let more = match ids.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!(
        "{} of {before} objects left the configuration, which is more than half, so they were kept: {}{more}; comment `/deploy` to remove them",
        ids.len(),
        names.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_something_else_owns_or_somebody_keeps_stays() {
        let judge = |kind: &'static Kind, metadata: Value| Left { kind, metadata }.judge();
        let kept = |name: &str, value: &str| json!({"name": "x", "annotations": {name: value}});
        assert_eq!(
            judge(&kinds::SERVICE, json!({"name": "x", "uid": "u"})),
            Fate::Goes
        );
        for metadata in [
            json!({"name": "x", "ownerReferences": [{"kind": "Deployment"}]}),
            kept("preview-action/keep", "true"),
            kept("helm.sh/resource-policy", "keep"),
        ] {
            assert_eq!(judge(&kinds::SERVICE, metadata), Fate::Stays);
        }
        assert_eq!(
            judge(&kinds::SERVICE, kept("preview-action/keep", "no")),
            Fate::Goes
        );
        assert_eq!(
            judge(
                &kinds::SERVICE,
                json!({"name": "x", "deletionTimestamp": "2026-11-21T12:00:00Z"})
            ),
            Fate::Leaves
        );
        assert_eq!(
            judge(&kinds::CLAIM, json!({"name": "x"})),
            Fate::StaysForData
        );
        assert_eq!(judge(&kinds::CLAIM, kept(PRUNE, "true")), Fate::Goes);
        assert_eq!(
            judge(&kinds::POSTGRES, json!({"name": "x"})),
            Fate::StaysForData
        );
    }

    #[test]
    fn what_did_its_work_once_stays_when_an_older_set_comes_back() {
        let ran_once = |kind: &'static Kind, metadata: Value| Left { kind, metadata }.ran_once();
        assert!(ran_once(&kinds::JOB, json!({"name": "x"})));
        let hook = json!({"name": "x", "annotations": {RUN_FIRST: "true"}});
        assert!(ran_once(&kinds::POD, hook.clone()));
        assert!(!ran_once(&kinds::POD, json!({"name": "x"})));
        assert!(!ran_once(&kinds::SERVICE, hook));
    }
}
