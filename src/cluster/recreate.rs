//! Turns an object whose change the server refuses for good into none, so that it can be made again.
//! It must not touch what keeps data, nor any object but the one that was looked at.
//! Only kinds of Kubernetes' own that keep no data go by themselves; for the others the author says so, and a claim never goes.

use super::{
    Cluster, FIELD_MANAGER,
    answer::Class,
    call::{Call, Only},
    error::ClusterError,
    kinds::{self, Kind},
};
use crate::names::Namespace;
use kube::api::PropagationPolicy;
use serde_json::Value;
use std::{collections::BTreeSet, time::Duration};
use tokio::time::Instant;

/// Annotation by which the author allows an object to be deleted and made again.
const RECREATE: &str = "preview-action/recreate";

/// How long a deleted object is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// Whether an object may be deleted to be made again, as the author wrote it and as it lives.
pub(super) fn allowed(kind: &Kind, wanted: &Value, live: &Value) -> bool {
    let claims = |object: &Value| {
        object["spec"]["volumeClaimTemplates"]
            .as_array()
            .is_some_and(|claims| !claims.is_empty())
    };
    if kind == &kinds::CLAIM || claims(wanted) || claims(live) {
        return false;
    }
    let asked = wanted["metadata"]["annotations"][RECREATE] == "true";
    // Whether objects of other controllers keep data is theirs to know.
    asked || (kind.is_built_in() && ![&kinds::CONFIG_MAP, &kinds::SECRET].contains(&kind))
}

/// Who put ports beside those of a Service, when it is refused for that and would be sound without them.
///
/// Ports are told apart by their number, so a port whose number was changed by hand is not ours any more and would stay.
pub(super) fn foreign_ports(
    kind: &Kind,
    wanted: &Value,
    before: Option<&Value>,
    error: &ClusterError,
) -> Option<String> {
    let refusal = error.refusal()?;
    let about_ports = refusal
        .fields
        .iter()
        .all(|fault| fault.field.starts_with("spec.ports["));
    let refused = refusal.class == Class::BadManifest && about_ports && !refusal.fields.is_empty();
    if kind != &kinds::SERVICE || !refused || !sound(wanted["spec"]["ports"].as_array()?) {
        return None;
    }
    let mut managers = before?["managedFields"].as_array()?.iter();
    let other = managers.find(|entry| {
        entry["manager"] != FIELD_MANAGER && entry["fieldsV1"]["f:spec"]["f:ports"].is_object()
    })?;
    other["manager"].as_str().map(str::to_owned)
}

/// True for ports that the server takes: each named when there are several, and none twice.
fn sound(ports: &[Value]) -> bool {
    let names: BTreeSet<_> = ports
        .iter()
        .filter_map(|port| port["name"].as_str())
        .collect();
    let numbers = ports
        .iter()
        .map(|port| (port["port"].as_u64(), port["protocol"].as_str()));
    let numbers: BTreeSet<_> = numbers.collect();
    (ports.len() == 1 || names.len() == ports.len()) && numbers.len() == ports.len()
}

impl Cluster {
    /// Deletes an object that cannot change and waits until it is gone; false when it has to stay.
    pub(super) async fn make_way(
        &self,
        kind: &'static Kind,
        namespace: &Namespace,
        object: &Value,
    ) -> Result<bool, ClusterError> {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let Some(live) = self.live(kind, namespace, name).await? else {
            return Ok(true);
        };
        let Some(uid) = live["metadata"]["uid"].as_str() else {
            return Ok(false);
        };
        if !allowed(kind, object, &live) {
            return Ok(false);
        }
        // A Job's pods must be gone before another Job of its name begins; others are replaced side by side.
        let propagation = if kind == &kinds::JOB {
            PropagationPolicy::Foreground
        } else {
            PropagationPolicy::Background
        };
        self.delete_and_wait(kind, namespace, name, uid, propagation)
            .await?;
        Ok(true)
    }

    /// Deletes the object of this UID and waits until it is gone.
    pub(super) async fn delete_and_wait(
        &self,
        kind: &'static Kind,
        namespace: &Namespace,
        name: &str,
        uid: &str,
        propagation: PropagationPolicy,
    ) -> Result<(), ClusterError> {
        let only = Only {
            uid: uid.into(),
            version: None,
        };
        let call = Call::delete(kind, Some(namespace), name, only, Some(propagation))?;
        match self.send(call).await {
            Err(error) if !error.is_not_found() => return Err(error),
            _ => {}
        }
        self.until_absent(kind, namespace, name, uid).await
    }

    async fn until_absent(
        &self,
        kind: &'static Kind,
        namespace: &Namespace,
        name: &str,
        uid: &str,
    ) -> Result<(), ClusterError> {
        let deadline = Instant::now() + PATIENCE;
        for pause in self.retry.pauses() {
            match self.live(kind, namespace, name).await? {
                Some(live) if live["metadata"]["uid"] == uid => {}
                _ => return Ok(()),
            }
            if Instant::now() + pause > deadline {
                break;
            }
            tokio::time::sleep(pause).await;
        }
        Err(ClusterError::StillThere {
            object: format!("{}/{name}", kind.kind),
            namespace: namespace.clone(),
            after: PATIENCE,
        })
    }

    /// Reads one object as it lives; of a Secret, which may not be read, what a dry run shows, without its data.
    pub(super) async fn live(
        &self,
        kind: &'static Kind,
        namespace: &Namespace,
        name: &str,
    ) -> Result<Option<Value>, ClusterError> {
        let secret = kind == &kinds::SECRET;
        let call = if secret {
            Call::look(kind, namespace, name)?
        } else {
            Call::get(kind, Some(namespace), name)?
        };
        match self.send(call).await {
            // The dry run would have made it.
            Ok(answer) if answer.code == 201 => Ok(None),
            Ok(answer) => Ok(Some(super::apply::without_ballast(answer.body))),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_keeps_data_never_makes_way() {
        let plain = json!({"metadata": {}});
        let asked = json!({"metadata": {"annotations": {RECREATE: "true"}}});
        let claims = json!({"spec": {"volumeClaimTemplates": [{}]}});
        for (kind, wanted, live, expected) in [
            (&kinds::DEPLOYMENT, &plain, &plain, true),
            (&kinds::JOB, &plain, &plain, true),
            (&kinds::STATEFUL_SET, &plain, &plain, true),
            (&kinds::STATEFUL_SET, &asked, &claims, false),
            (&kinds::CLAIM, &asked, &plain, false),
            (&kinds::SECRET, &plain, &plain, false),
            (&kinds::SECRET, &asked, &plain, true),
            (&kinds::CONFIG_MAP, &plain, &plain, false),
            (&kinds::POSTGRES, &plain, &plain, false),
            (&kinds::POSTGRES, &asked, &plain, true),
        ] {
            assert_eq!(
                allowed(kind, wanted, live),
                expected,
                "{} {wanted}",
                kind.kind
            );
        }
    }
}
