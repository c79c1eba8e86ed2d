//! Looks whether the images of a rendered set are in their registries, with the logins that nodes will have.
//! It pulls nothing; a registry that does not tell is not called wrong, because nodes may reach what a runner can't.
//! An image that is still being built is missing all the same: a deploy now would fail for it.

use super::{IMAGES, Look, fault, fine, not_looked_at};
use crate::{
    manifests::ManifestSet,
    names::Secret,
    registry::{self, RegistryError},
    report::Finding,
};
use serde_json::Value;
use std::collections::BTreeSet;

impl Look<'_> {
    pub(super) async fn images(&self, set: &ManifestSet, login: Option<Secret>) -> Vec<Finding> {
        let images: BTreeSet<String> = set
            .objects
            .iter()
            .flat_map(|one| images(&one.object))
            .collect();
        if let Some(login) = &login {
            // A registry's own words may repeat it.
            self.ports.knows_pull_secret(login);
        }
        let (mut found, mut there, mut unseen) = (Vec::new(), Vec::new(), Vec::new());
        for (image, answer) in registry::ask(images, login, self.ports.registries()).await {
            match answer {
                Ok(_) => there.push(image),
                Err(RegistryError::Absent { .. }) => found.push(fault(
                    IMAGES,
                    format!("there is no image {image} in its registry"),
                    "push it, or wait for the build that does",
                )),
                Err(error) => unseen.push((image, error)),
            }
        }
        if !there.is_empty() {
            found.push(fine(
                IMAGES,
                format!("in their registries are {}", there.join(", ")),
            ));
        }
        if let Some((_, error)) = unseen.first() {
            let why = error.to_string();
            let names: Vec<String> = unseen.into_iter().map(|(image, _)| image).collect();
            let what = format!("whether there is an image {}", names.join(", "));
            found.push(not_looked_at(IMAGES, &what, &why));
        }
        found
    }
}

/// The images of an object's containers.
fn images(object: &Value) -> Vec<String> {
    let pod = match object["kind"].as_str() {
        Some("Pod") => &object["spec"],
        Some("CronJob") => &object["spec"]["jobTemplate"]["spec"]["template"]["spec"],
        _ => &object["spec"]["template"]["spec"],
    };
    let lists = ["initContainers", "containers"].into_iter();
    let containers = lists.filter_map(|list| pod[list].as_array()).flatten();
    let images = containers.filter_map(|one| one["image"].as_str());
    images.map(str::to_owned).collect()
}
