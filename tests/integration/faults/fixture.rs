//! The preview that is disturbed: two services, a run-first Job, a pull secret and own objects, one that goes and one that comes with the update.
//! It must not know what goes wrong with it.
//! Pruning, recreation and copies of Secrets have requests of their own, which only a set that has them makes.

use crate::support::{CONFIGURATION, Event, ONE_SERVICE, Run, SHOP, Shop};
use preview_action::simulate::{WorldOptions, cluster::Fate};
use serde_json::json;
use std::time::Duration;

/// One of two versions of the preview, between which pushes go to and fro.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    First,
    Second,
}

impl Version {
    pub(super) fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }

    /// Name of what only this version has.
    fn only(self) -> &'static str {
        match self {
            Self::First => "goes",
            Self::Second => "comes",
        }
    }
}

const OWN: &str = "deploy/own.yaml.j2";

/// A repository whose main branch has the first version.
pub(super) async fn open() -> Shop {
    let mut options = WorldOptions::default();
    // A container that is broken for good is started again now and then, not all the time.
    options.cluster.delays.back_off = Duration::from_millis(100);
    let shop = Shop::with(options, &configuration()).await;
    shop.commit(&[(OWN, &own(Version::First))]);
    for object in [
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "registry"}}),
        json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "harbor", "namespace": "registry"},
            "type": "kubernetes.io/dockerconfigjson",
            "data": {".dockerconfigjson": "eyJhdXRocyI6e319"},
        }),
    ] {
        shop.world.cluster.put(&object).unwrap();
    }
    shop
}

/// A push of a version.
pub(super) fn pushes(shop: &Shop, version: Version) -> Event {
    shop.pushes_files(1, &[(OWN, &own(version))])
}

/// Breaks the web service from now on.
pub(super) fn breaks(shop: &Shop) {
    shop.world.cluster.script_fate("/web:", Fate::Crash);
}

/// Mends the web service.
pub(super) fn mends(shop: &Shop) {
    shop.world.cluster.script_fate("/web:", Fate::Ready);
}

/// A run as the workflow of this repository has it.
pub(super) fn run<'a>(shop: &'a Shop, event: &Event) -> Run<'a> {
    shop.run(event).input("pull-secret", "registry/harbor")
}

/// The first version, deployed.
pub(super) async fn deployed(shop: &Shop) {
    let opened = shop.opens(1);
    run(shop, &opened).go().await.ends(0, "deployed");
}

/// Commit of the version that is wanted.
pub(super) fn head(shop: &Shop) -> String {
    shop.world.github.head(SHOP, 1)
}

fn configuration() -> String {
    assert!(CONFIGURATION.ends_with(".yml") && ONE_SERVICE.starts_with("version: 1\n"));
    let templates = "version: 1\ntemplates: [deploy/*.yaml.j2]\n";
    let store = "  store:\n    image: registry.example/store:1\n    port: 5432\n    storage: {path: /data, size: 1Gi}\n";
    ONE_SERVICE.replace("version: 1\n", templates) + store
}

/// Objects of the repository's own: two that only this version has, a Secret that says the version, a Job of its image.
fn own(version: Version) -> String {
    let name = version.only();
    format!(
        "apiVersion: v1
kind: ConfigMap
metadata: {{name: {name}}}
data: {{version: {name}}}
---
apiVersion: v1
kind: Secret
metadata: {{name: settings}}
stringData: {{version: {name}}}
---
apiVersion: v1
kind: Secret
metadata: {{name: key-{name}}}
stringData: {{key: word}}
---
apiVersion: batch/v1
kind: Job
metadata: {{name: migrate, annotations: {{preview-action/run-first: 'true'}}}}
spec:
  backoffLimit: 0
  template:
    spec:
      restartPolicy: Never
      containers: [{{name: migrate, image: 'registry.example/migrate:{name}'}}]
"
    )
}
