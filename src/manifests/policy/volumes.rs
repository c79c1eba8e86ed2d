//! Holds volumes and claims to what is made for the preview.
//! It knows no StorageClass and no driver.
//! A volume that was there before may hold another's data, and one on the network may be anybody's.

use super::{Check, is_set, items};
use crate::inputs::configuration::Allowance;
use serde_json::Value;

/// Sources of volumes that stay within the Namespace.
const INSIDE: &[&str] = &[
    "configMap",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "name",
    "persistentVolumeClaim",
    "projected",
    "secret",
];

const INSTEAD: &str = "use a PersistentVolumeClaim, `emptyDir`, a ConfigMap or a Secret";

impl Check<'_> {
    pub(super) fn volumes(&mut self, base: &[&str], spec: &Value) {
        for (index, volume) in items(spec, "/volumes") {
            let base = [base, &["volumes", &index]].concat();
            self.volume(&base, volume);
            let path = [&base[..], &["ephemeral", "volumeClaimTemplate", "spec"]].concat();
            self.claim(&path, volume.pointer("/ephemeral/volumeClaimTemplate/spec"));
        }
    }

    fn volume(&mut self, base: &[&str], volume: &Value) {
        for (source, value) in volume.as_object().into_iter().flatten() {
            let path = [base, &[source]].concat();
            if INSIDE.contains(&source.as_str()) || value.is_null() {
                continue;
            }
            if source == "hostPath" {
                self.refuse_folder(&path);
            } else {
                self.refuse_unless(
                    Allowance::NetworkVolumes,
                    &path,
                    "is a volume from outside of the preview",
                    INSTEAD,
                );
            }
        }
    }

    pub(super) fn refuse_folder(&mut self, path: &[&str]) {
        self.refuse(path, "is a folder of the node", INSTEAD);
    }

    pub(super) fn claim(&mut self, path: &[&str], spec: Option<&Value>) {
        let Some(spec) = spec else { return };
        for field in ["volumeName", "selector"] {
            if is_set(spec.get(field)) {
                self.refuse_unless(
                    Allowance::ExistingVolumes,
                    &[path, &[field]].concat(),
                    "takes a certain volume of the cluster, which may hold another's data",
                    "leave it out, so that a new volume is made",
                );
            }
        }
        if is_set(spec.pointer("/dataSourceRef/namespace")) {
            self.refuse(
                &[path, &["dataSourceRef"]].concat(),
                "copies a volume of another Namespace",
                "use one of the preview's own",
            );
        }
    }
}
