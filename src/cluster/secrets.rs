//! Turns `namespace/name` of a registry's credential into a Secret of the preview.
//! It must not show what is in it, and reads no other Secret.
//! The copy keeps one fixed name, so that built-in templates can name it without knowing the source.

use super::{Cluster, answer::Class, call::Call, error::ClusterError, kinds};
use crate::{
    manifests::PULL_SECRET,
    names::{Namespace, ReasonCode, Secret},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;

const PULL_TYPE: &str = "kubernetes.io/dockerconfigjson";

/// Where a Secret is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretRef {
    /// Namespace.
    pub namespace: Namespace,
    /// Name.
    pub name: String,
}

impl Cluster {
    /// Reads the text of a pull secret, a `.dockerconfigjson`.
    pub async fn pull_secret(&self, from: &SecretRef) -> Result<Secret, ClusterError> {
        self.kept(from).await.map(|data| text(&data))
    }

    /// Reads a pull secret as it is kept, in base64.
    async fn kept(&self, from: &SecretRef) -> Result<Secret, ClusterError> {
        let refused = |problem, reason| ClusterError::PullSecret {
            namespace: from.namespace.clone(),
            name: from.name.clone(),
            problem,
            reason,
        };
        let call = Call::get(&kinds::SECRET, Some(&from.namespace), &from.name)?;
        let source = self.send(call).await.map_err(|error| match error.class() {
            Some(Class::NotFound | Class::NamespaceMissing) => {
                refused("does not exist", ReasonCode::BadInput)
            }
            Some(Class::Forbidden(_)) => refused(
                "may not be read by this credential",
                ReasonCode::ClusterForbidden,
            ),
            _ => error,
        })?;
        match source.body["data"][".dockerconfigjson"].as_str() {
            Some(data) if source.body["type"] == PULL_TYPE => Ok(Secret::new(data)),
            _ => Err(refused(
                "is not of type kubernetes.io/dockerconfigjson",
                ReasonCode::BadInput,
            )),
        }
    }

    /// Copies a pull secret into a preview as [`PULL_SECRET`] and hands over its text, a `.dockerconfigjson`.
    pub async fn copy_secret(
        &self,
        from: &SecretRef,
        to: &Namespace,
    ) -> Result<Secret, ClusterError> {
        let data = self.kept(from).await?;
        let copy = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": PULL_SECRET, "namespace": to},
            "type": PULL_TYPE,
            "data": {".dockerconfigjson": data.expose()},
        });
        let call = Call::apply(&kinds::SECRET, Some(to), PULL_SECRET, &copy)?;
        self.send(call).await?;
        Ok(text(&data))
    }
}

fn text(data: &Secret) -> Secret {
    let text = STANDARD.decode(data.expose()).unwrap_or_default();
    Secret::new(String::from_utf8_lossy(&text))
}
