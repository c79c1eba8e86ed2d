//! Holds ServiceAccounts, tokens and Secrets to the preview: no pod speaks for anybody but itself.
//! It knows the names of the ServiceAccounts that come with the preview, and none of the cluster's.
//! A token is an identity outside of the preview too: clouds and vaults trust the cluster's signature.

use super::{Check, is_on, is_set, items};
use crate::inputs::configuration::Allowance;
use serde_json::Value;

/// Annotations by which a cloud gives an identity to the pods of a ServiceAccount.
const IDENTITIES: &[&str] = &[
    "eks.amazonaws.com/",
    "iam.gke.io/",
    "azure.workload.identity/",
];

/// Sources of a projected volume that are no credential.
const PROJECTED: &[&str] = &["clusterTrustBundle", "configMap", "downwardAPI", "secret"];

impl Check<'_> {
    pub(super) fn account(&mut self) {
        let annotations = self.parsed.object.pointer("/metadata/annotations");
        for (key, _) in annotations.and_then(Value::as_object).into_iter().flatten() {
            if IDENTITIES.iter().any(|prefix| key.starts_with(prefix)) {
                self.refuse_unless(
                    Allowance::CloudIdentity,
                    &["metadata", "annotations", key],
                    "gives the preview's pods an identity at a cloud",
                    "leave it out",
                );
            }
        }
    }

    pub(super) fn secret(&mut self) {
        self.texts(&["data", "stringData"]);
        let kind = self.parsed.object.get("type").and_then(Value::as_str);
        if kind.is_some_and(|kind| {
            kind == "kubernetes.io/service-account-token" || kind.starts_with("bootstrap.")
        }) {
            self.refuse(
                &["type"],
                "makes the cluster write a credential for its API into the preview",
                "leave `type` out for a Secret of your own",
            );
        }
    }

    /// Whose name a pod bears, and whether it has a token.
    pub(super) fn identity(&mut self, base: &[&str], spec: &Value) {
        let mut own = false;
        for field in ["serviceAccountName", "serviceAccount"] {
            let Some(name) = spec.get(field).filter(|name| is_set(Some(name))) else {
                continue;
            };
            let comes_along = name
                .as_str()
                .is_some_and(|name| self.fence.accounts.contains(name));
            own |= comes_along;
            if !comes_along && name != "default" {
                self.refuse(
                    &[base, &[field]].concat(),
                    "names a ServiceAccount that does not come with the preview",
                    "add a ServiceAccount of that name to the templates, or leave it out",
                );
            }
        }
        if own {
            return;
        }
        if is_on(spec.get("automountServiceAccountToken")) {
            self.refuse_token(&[base, &["automountServiceAccountToken"]].concat());
        }
        for (index, volume) in items(spec, "/volumes") {
            for (number, source) in items(volume, "/projected/sources") {
                for (key, _) in source.as_object().into_iter().flatten() {
                    if !PROJECTED.contains(&key.as_str()) {
                        let path = ["volumes", &index, "projected", "sources", &number, key];
                        self.refuse_token(&[base, &path].concat());
                    }
                }
            }
        }
    }

    fn refuse_token(&mut self, path: &[&str]) {
        self.refuse_unless(
            Allowance::ServiceAccountToken,
            path,
            "puts a token of the cluster's API into a pod without a ServiceAccount of its own",
            "leave it out, or add a ServiceAccount to the templates and name it in `serviceAccountName`",
        );
    }
}
