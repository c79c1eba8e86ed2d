//! Turns a Namespace that cannot go into what holds it: objects, and the finalizers that they carry.
//! It must not take a finalizer away: what it guards may be somebody's data or bill.
//! The server's conditions only count; people need names, so the resources that the conditions name are listed.

use super::{
    Cluster,
    apply::WIDTH,
    call::Call,
    error::ClusterError,
    kinds::{KINDS, Kind},
    namespaces::NamespaceInfo,
    request::items,
};
use crate::names::Namespace;
use futures::{StreamExt, stream};
use jiff::Timestamp;
use serde_json::Value;

/// The most objects that are named; a hundred more of the same say nothing new.
const MOST: usize = 20;

/// What holds the deletion of a Namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Obstacles {
    /// The server's own sentences, the most telling first.
    pub conditions: Vec<String>,
    /// Objects that are left, those with finalizers first.
    pub objects: Vec<Obstacle>,
    /// Resources of which something is left that could not be listed.
    pub unseen: Vec<String>,
}

/// An object that is left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Obstacle {
    /// Resource as `kubectl` takes it, such as `certificates.cert-manager.io`.
    pub resource: String,
    /// Name.
    pub name: String,
    /// What must take place before it goes.
    pub finalizers: Vec<String>,
    /// Since when it is to go; none when nobody deleted it.
    pub deleting: Option<Timestamp>,
}

impl Cluster {
    /// Finds out what holds a Namespace; what cannot be found out is left out.
    pub async fn obstacles(&self, name: &Namespace, info: Option<&NamespaceInfo>) -> Obstacles {
        let Some(info) = info else {
            return Obstacles::default();
        };
        let resources = info.blocked_by.iter().flat_map(|text| remaining(text));
        let listed: Vec<_> = stream::iter(resources)
            .map(|resource| async move {
                let objects = self.remaining(name, &resource).await;
                (resource, objects)
            })
            .buffered(WIDTH)
            .collect()
            .await;
        let mut obstacles = Obstacles {
            conditions: info.blocked_by.clone(),
            ..Obstacles::default()
        };
        if !info.finalizers.is_empty() {
            obstacles.objects.push(Obstacle {
                resource: "namespaces".into(),
                name: name.to_string(),
                finalizers: info.finalizers.clone(),
                deleting: info.deleting,
            });
        }
        for (resource, objects) in listed {
            match objects {
                Ok(objects) => obstacles.objects.extend(objects),
                Err(error) => {
                    tracing::debug!(resource, %error, "what is left cannot be listed");
                    obstacles.unseen.push(resource);
                }
            }
        }
        obstacles
            .objects
            .sort_by_key(|object| object.finalizers.is_empty());
        obstacles.objects.truncate(MOST);
        obstacles
    }

    async fn remaining(
        &self,
        namespace: &Namespace,
        resource: &str,
    ) -> Result<Vec<Obstacle>, ClusterError> {
        let path = match known(resource) {
            Some(kind) => kind.path(Some(namespace)),
            None => self.path_of(namespace, resource).await?,
        };
        let list = self.send(Call::list_resource(path, resource)?).await?.body;
        let items = items(&list);
        Ok(items
            .map(|item| {
                let metadata = &item["metadata"];
                Obstacle {
                    resource: resource.to_owned(),
                    name: metadata["name"].as_str().unwrap_or_default().to_owned(),
                    finalizers: finalizers(metadata),
                    deleting: metadata["deletionTimestamp"]
                        .as_str()
                        .and_then(|text| text.parse().ok()),
                }
            })
            .collect())
    }

    /// The path of a resource that no preview of ours is made of; operators make such things inside previews.
    async fn path_of(&self, namespace: &Namespace, resource: &str) -> Result<String, ClusterError> {
        let (plural, group) = resource.split_once('.').unwrap_or((resource, ""));
        if group.is_empty() {
            return Ok(format!("/api/v1/namespaces/{namespace}/{plural}"));
        }
        let answer = self.send(Call::group(group)?).await?.body;
        let version = answer["preferredVersion"]["version"]
            .as_str()
            .unwrap_or("v1");
        Ok(format!(
            "/apis/{group}/{version}/namespaces/{namespace}/{plural}"
        ))
    }
}

fn known(resource: &str) -> Option<&'static Kind> {
    let (plural, group) = resource.split_once('.').unwrap_or((resource, ""));
    let fits = |kind: &&&Kind| kind.namespaced && kind.plural == plural && kind.group == group;
    KINDS.iter().find(fits).copied()
}

/// Reads `Some resources are remaining: configmaps. has 1 resource instances, x.example.com has 2 resource instances`.
fn remaining(condition: &str) -> Vec<String> {
    let Some((_, list)) = condition.split_once("resources are remaining: ") else {
        return Vec::new();
    };
    let plain = |name: &&str| {
        name.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'))
    };
    list.split(", ")
        .filter_map(|each| each.split_once(" has "))
        .map(|(resource, _)| resource.trim_end_matches('.'))
        .filter(|resource| !resource.is_empty())
        .filter(plain)
        .map(str::to_owned)
        .collect()
}

/// The finalizers in an object's metadata.
pub(super) fn finalizers(metadata: &Value) -> Vec<String> {
    let all = metadata["finalizers"].as_array().into_iter().flatten();
    all.filter_map(|one| one.as_str().map(str::to_owned))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_condition_names_its_resources() {
        let text = "Some resources are remaining: configmaps. has 1 resource instances, certificates.cert-manager.io has 2 resource instances";
        assert_eq!(
            remaining(text),
            ["configmaps", "certificates.cert-manager.io"]
        );
        assert_eq!(
            remaining("Some resources are remaining: ../x has 1"),
            [""; 0]
        );
        assert_eq!(
            remaining(
                "Some content in the namespace has finalizers remaining: x/y in 1 resource instances"
            ),
            [""; 0]
        );
    }

    #[test]
    fn kinds_of_previews_have_their_paths_in_the_table() {
        assert_eq!(
            known("deployments.apps").map(|kind| kind.kind),
            Some("Deployment")
        );
        assert_eq!(known("configmaps").map(|kind| kind.kind), Some("ConfigMap"));
        assert_eq!(known("certificates.cert-manager.io"), None);
    }
}
