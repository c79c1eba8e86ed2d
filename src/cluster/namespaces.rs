//! Turns a preview's Namespace into facts and back: create, apply, find, delete, see it gone.
//! It must not decide whose a Namespace is; it hands over labels and UID.
//! Every change names the UID it means, because a name may belong to another Namespace a moment later.

use super::{
    Cluster,
    answer::Class,
    call::{Call, Only, Repeat, Selector},
    error::ClusterError,
    follow::{Follow, Seen},
    kinds,
    obstacles::{self, Obstacles},
    retry::Again,
};
use crate::names::Namespace;
use jiff::Timestamp;
use serde_json::Value;
use std::{collections::BTreeMap, time::Duration};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// What is known of a Namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamespaceInfo {
    /// Name.
    pub name: Namespace,
    /// UID.
    pub uid: String,
    /// Version; a deletion names the one that was judged.
    pub version: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
    /// When it was created.
    pub created: Option<Timestamp>,
    /// Since when it is being deleted, if it is.
    pub deleting: Option<Timestamp>,
    /// Finalizers of its own, apart from the one that every Namespace has.
    pub finalizers: Vec<String>,
    /// What its deletion waits for, the most telling first; empty while nothing is wrong.
    pub blocked_by: Vec<String>,
}

/// What creating a Namespace came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Created {
    /// It is new.
    New(NamespaceInfo),
    /// One of this name was there; after a lost answer it may be our own.
    AlreadyExists(NamespaceInfo),
}

/// What applying a Namespace of a known UID came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reapplied {
    /// It is as it should be.
    Live(NamespaceInfo),
    /// It is being deleted.
    Deleting(NamespaceInfo),
    /// There is none of this UID any more.
    Gone,
}

/// What asking for a deletion came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deleted {
    /// Deletion has begun.
    Begun,
    /// There is none of this UID.
    AlreadyGone,
    /// It has changed since it was read: read and judge it again.
    Changed,
}

/// How waiting for a deletion ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gone {
    /// It is gone.
    Gone {
        /// How long it was waited for.
        took: Duration,
    },
    /// It is still there, and what holds it.
    Stuck(Obstacles),
    /// The caller asked to stop.
    Stopped,
}

impl Cluster {
    /// Creates a Namespace; one that is there already is read and left alone.
    ///
    /// An answer that does not say whether it was made is followed by a look, and only then by another try.
    pub async fn create_namespace(&self, object: &Value) -> Result<Created, ClusterError> {
        let once = || self.create_once(object);
        let again = |error: &ClusterError| match maybe_there(error) {
            true => error.again(Repeat::Safe),
            false => Again::Never,
        };
        self.retry.run(once, again).await
    }

    async fn create_once(&self, object: &Value) -> Result<Created, ClusterError> {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let call = Call::create(&kinds::NAMESPACE, None, name, object)?;
        // A lost answer is cleared up by reading: the caller sees from UID and annotations whose it is.
        match self.send(call).await {
            Ok(answer) => Ok(Created::New(info(&answer.body)?)),
            Err(error) => match self.read_namespace(name).await? {
                Some(there) if maybe_there(&error) => Ok(Created::AlreadyExists(there)),
                _ => Err(error),
            },
        }
    }

    /// Reads a Namespace; none if there is none.
    pub async fn namespace(&self, name: &Namespace) -> Result<Option<NamespaceInfo>, ClusterError> {
        self.read_namespace(name.as_str()).await
    }

    async fn read_namespace(&self, name: &str) -> Result<Option<NamespaceInfo>, ClusterError> {
        match self.send(Call::get(&kinds::NAMESPACE, None, name)?).await {
            Ok(answer) => info(&answer.body).map(Some),
            Err(error) if absent(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Applies a Namespace that carries its `metadata.uid`: never another one of the same name.
    pub async fn apply_namespace(&self, object: &Value) -> Result<Reapplied, ClusterError> {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let call = Call::apply(&kinds::NAMESPACE, None, name, object)?;
        match self.send(call).await {
            Ok(answer) => {
                let info = info(&answer.body)?;
                Ok(match info.deleting {
                    None => Reapplied::Live(info),
                    Some(_) => Reapplied::Deleting(info),
                })
            }
            Err(error) if absent(&error) || another_uid(&error) => Ok(Reapplied::Gone),
            Err(error) => Err(error),
        }
    }

    /// The same over this version of it alone; none when it has another one by now.
    pub async fn apply_namespace_over(
        &self,
        version: &str,
        mut object: Value,
    ) -> Result<Option<Reapplied>, ClusterError> {
        object["metadata"]["resourceVersion"] = version.into();
        match self.apply_namespace(&object).await {
            Err(error) if error.class() == Some(&Class::Conflict) => Ok(None),
            applied => applied.map(Some),
        }
    }

    /// Lists the Namespaces that a label selector finds.
    pub async fn list_namespaces(
        &self,
        selector: &str,
    ) -> Result<Vec<NamespaceInfo>, ClusterError> {
        let selector = Selector {
            labels: Some(selector.into()),
            name: None,
        };
        let answer = self
            .send(Call::list(&kinds::NAMESPACE, None, &selector)?)
            .await?;
        let items = answer.body["items"].as_array();
        items.into_iter().flatten().map(info).collect()
    }

    /// Begins to delete the Namespace of this UID, if it still is of this version.
    ///
    /// A lost answer may show as [`Deleted::Changed`]: the deletion itself makes a new version.
    pub async fn delete_namespace(
        &self,
        name: &Namespace,
        uid: &str,
        version: Option<&str>,
    ) -> Result<Deleted, ClusterError> {
        let only = Only {
            uid: uid.into(),
            version: version.map(str::to_owned),
        };
        let call = Call::delete(&kinds::NAMESPACE, None, name.as_str(), only, None)?;
        match self.send(call).await {
            Ok(_) => Ok(Deleted::Begun),
            Err(error) if absent(&error) || another_uid(&error) => Ok(Deleted::AlreadyGone),
            Err(error) if version.is_some() && another_version(&error) => Ok(Deleted::Changed),
            // Old servers answer a second deletion in this way.
            Err(error) if error.class() == Some(&Class::Conflict) => Ok(Deleted::Begun),
            Err(error) => Err(error),
        }
    }

    /// Waits until the Namespace of this UID is gone, and shows each change on the way.
    pub async fn wait_until_gone(
        &self,
        name: &Namespace,
        uid: &str,
        deadline: Instant,
        stop: &CancellationToken,
        on_progress: &mut (dyn FnMut(&NamespaceInfo) + Send),
    ) -> Result<Gone, ClusterError> {
        let started = Instant::now();
        let mut follow = Follow::new();
        let selector = Selector {
            labels: None,
            name: Some(name.to_string()),
        };
        follow.add(self, &kinds::NAMESPACE, None, selector);
        let mut last: Option<NamespaceInfo> = None;
        loop {
            let seen = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(Gone::Stopped),
                seen = follow.next() => seen,
                () = tokio::time::sleep_until(deadline) => {
                    return Ok(Gone::Stuck(self.obstacles(name, last.as_ref()).await));
                }
            };
            let gone = Gone::Gone {
                took: started.elapsed(),
            };
            let object = match seen {
                Seen::Blind(_, error) => return Err(error),
                Seen::All(_, items) => items.into_iter().find(|object| has_uid(object, uid)),
                Seen::Now(_, object) => Some(object).filter(|object| has_uid(object, uid)),
                Seen::Gone(_, object) if has_uid(&object, uid) => return Ok(gone),
                // The end of an older Namespace of this name.
                Seen::Gone(..) => continue,
            };
            // Another UID under this name says that ours is gone.
            let Some(object) = object else {
                return Ok(gone);
            };
            let info = info(&object)?;
            if last.as_ref() != Some(&info) {
                on_progress(&info);
                last = Some(info);
            }
        }
    }
}

fn has_uid(object: &Value, uid: &str) -> bool {
    object["metadata"]["uid"] == uid
}

fn absent(error: &ClusterError) -> bool {
    matches!(
        error.class(),
        Some(Class::NotFound | Class::NamespaceMissing)
    )
}

/// An answer to a creation after which the object may be there.
fn maybe_there(error: &ClusterError) -> bool {
    match error {
        ClusterError::Refused { refusal, .. } => {
            refusal.class == Class::AlreadyExists || matches!(refusal.code, 500 | 502 | 504)
        }
        _ => true,
    }
}

/// True when the object of this name is not the one whose UID was named.
pub(super) fn another_uid(error: &ClusterError) -> bool {
    let Some(refusal) = error.refusal() else {
        return false;
    };
    let by_field = refusal
        .fields
        .iter()
        .any(|fault| fault.field == "metadata.uid");
    let by_words = ["UID in precondition", "uid mismatch"]
        .iter()
        .any(|words| refusal.message.contains(words));
    by_field || (refusal.class == Class::Conflict && by_words)
}

fn another_version(error: &ClusterError) -> bool {
    error.refusal().is_some_and(|refusal| {
        refusal.class == Class::Conflict
            && refusal.message.contains("ResourceVersion in precondition")
    })
}

/// What holds a deletion, most telling first.
const BLOCKERS: [&str; 5] = [
    "NamespaceDeletionDiscoveryFailure",
    "NamespaceDeletionGroupVersionParsingFailure",
    "NamespaceDeletionContentFailure",
    "NamespaceFinalizersRemaining",
    "NamespaceContentRemaining",
];

fn info(object: &Value) -> Result<NamespaceInfo, ClusterError> {
    let metadata = &object["metadata"];
    let texts = |value: &Value| -> BTreeMap<String, String> {
        let entries = value.as_object().into_iter().flatten();
        entries
            .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
            .collect()
    };
    let time = |value: &Value| value.as_str().and_then(|text| text.parse().ok());
    let (name, uid) = (metadata["name"].as_str(), metadata["uid"].as_str());
    let (Some(Ok(name)), Some(uid)) = (name.map(str::parse), uid) else {
        return Err(ClusterError::Unintelligible {
            attempt: super::Attempt {
                verb: "read",
                object: "a Namespace".into(),
                namespace: None,
            },
            problem: "it has no name or no UID".into(),
        });
    };
    Ok(NamespaceInfo {
        name,
        uid: uid.into(),
        version: metadata["resourceVersion"]
            .as_str()
            .unwrap_or_default()
            .into(),
        labels: texts(&metadata["labels"]),
        annotations: texts(&metadata["annotations"]),
        created: time(&metadata["creationTimestamp"]),
        deleting: time(&metadata["deletionTimestamp"]),
        finalizers: obstacles::finalizers(metadata),
        blocked_by: blockers(object),
    })
}

fn blockers(object: &Value) -> Vec<String> {
    let conditions = object["status"]["conditions"].as_array();
    BLOCKERS
        .iter()
        .filter_map(|wanted| {
            let all = conditions.into_iter().flatten();
            let mut found = all.filter(|one| one["type"] == *wanted && one["status"] == "True");
            Some(found.next()?["message"].as_str()?.to_owned())
        })
        .collect()
}
