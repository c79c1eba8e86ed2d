//! Turns a name into a corner of the cluster that one test has for itself, and leaves it as it was found.
//! It must not know what happens there.
//! The corner is the input `environment`: previews, hosts and the ledger of one are none of another's.

use crate::world::Real;
use base64::{Engine, engine::general_purpose::STANDARD};
use flate2::{Compression, write::GzEncoder};
use preview_action::cli::Stage;
use regex::Regex;
use std::{collections::BTreeMap, io::Write};

/// One test's corner of the real cluster.
pub(crate) struct Stay {
    pub(crate) real: &'static Real,
    pub(crate) environment: String,
    /// How much faster than life runs are patient; 1 but where patience itself is the test.
    pub(crate) haste: u32,
    /// Kubeconfig of another ServiceAccount than ours.
    other: std::sync::OnceLock<String>,
}

impl Stay {
    /// Moves in; what a killed run has left under this name goes first.
    pub(crate) fn begin(real: &'static Real, environment: &str) -> Self {
        let stay = Self {
            real,
            environment: environment.to_owned(),
            haste: 1,
            other: std::sync::OnceLock::new(),
        };
        stay.forget("--wait=true");
        stay
    }

    /// Lets the action run with this kubeconfig here.
    pub(crate) fn act_as(&self, kubeconfig: String) {
        self.other.set(kubeconfig).expect("one other kubeconfig");
    }

    /// Inputs that keep a run inside this corner.
    pub(crate) fn inputs(&self) -> BTreeMap<String, String> {
        [
            ("environment", self.environment.as_str()),
            ("namespace-pattern", "pr-{repo}-{number}-{environment}"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
    }

    /// A scenario, with its names and hosts moved into this corner.
    pub(crate) fn inside(&self, scenario: &str) -> String {
        let names = Regex::new(r"\bpr-shop-(\d+)\b").unwrap();
        let own = format!("pr-shop-$1-{}", self.environment);
        let text = names.replace_all(scenario, own);
        text.replace(DOMAIN, &self.domain())
    }

    /// Domain of the previews here.
    pub(crate) fn domain(&self) -> String {
        format!("{}.{DOMAIN}", self.environment)
    }

    /// Namespace of a pull request's preview.
    pub(crate) fn namespace(&self, pr: u64) -> String {
        format!("pr-shop-{pr}-{}", self.environment)
    }

    fn labels(&self) -> String {
        format!(
            "app=preview,preview-action/environment={}",
            self.environment
        )
    }

    /// Namespaces of this corner's previews that are not being deleted, sorted.
    pub(crate) fn namespaces(&self) -> Vec<String> {
        let mut found: Vec<String> = self
            .real
            .namespaces(&self.labels())
            .iter()
            .filter(|object| object["metadata"]["deletionTimestamp"].is_null())
            .map(|object| object["metadata"]["name"].as_str().unwrap().to_owned())
            .collect();
        found.sort();
        found
    }

    /// The ledger, if there is one.
    pub(crate) fn ledger(&self) -> Option<serde_json::Value> {
        let name = self.ledgers().into_iter().next()?;
        let object = self.real.object("configmap", CONTROL, &name)?;
        serde_json::from_str(object["data"]["state.json"].as_str()?).ok()
    }

    /// Lets the time of a preview be over.
    pub(crate) fn expire(&self, pr: u64) {
        let mut ledger = self.ledger().expect("a ledger");
        ledger["previews"][pr.to_string()]["lastActivity"] = "2020-01-01T00:00:00Z".into();
        self.write_ledger(&ledger);
    }

    /// Puts this ledger in the place of the one that is there.
    pub(crate) fn write_ledger(&self, ledger: &serde_json::Value) {
        let name = self.ledgers().into_iter().next().expect("a ledger");
        let text = ledger.to_string();
        let patch = if text.len() < 1_000_000 {
            serde_json::json!({"data": {"state.json": text}})
        } else {
            let mut packer = GzEncoder::new(Vec::new(), Compression::default());
            packer.write_all(text.as_bytes()).unwrap();
            let packed = STANDARD.encode(packer.finish().unwrap());
            serde_json::json!({"data": {"state.json": null}, "binaryData": {"state.json.gz": packed}})
        };
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("patch.json");
        std::fs::write(&file, patch.to_string()).unwrap();
        let merge = ["--type=merge", "--patch-file", file.to_str().unwrap()];
        let patch = ["patch", "configmap", &name, "-n", CONTROL];
        self.real.kubectl(&[&patch[..], &merge].concat());
    }

    fn ledgers(&self) -> Vec<String> {
        let names = ["-o", "jsonpath={.items[*].metadata.name}"];
        let found = self
            .real
            .kubectl(&[&["get", "configmaps", "-n", CONTROL][..], &names].concat());
        let names = found.split(' ').filter(|name| self.is_ledger(name));
        names.map(str::to_owned).collect()
    }

    /// Tells whether a ConfigMap of this name is a ledger of this environment.
    pub(crate) fn is_ledger(&self, name: &str) -> bool {
        let ours = format!("-{}", self.environment);
        name.starts_with("preview-") && name.ends_with(&ours)
    }

    fn forget(&self, wait: &str) {
        let (real, labels) = (self.real, self.labels());
        real.kubectl(&["delete", "namespaces", "-l", &labels, wait]);
        // what an administrator has added for a case
        let own = format!("preview-test-{}", self.environment);
        for kind in [
            "validatingadmissionpolicybinding",
            "validatingadmissionpolicy",
            "namespace",
        ] {
            real.kubectl(&["delete", kind, &own, "--ignore-not-found", "--wait=false"]);
        }
        for name in self.ledgers() {
            real.kubectl(&["delete", "configmap", "-n", CONTROL, &name]);
            let runs = format!("{name}-runs");
            let gone = [
                "delete",
                "configmap",
                "-n",
                CONTROL,
                &runs,
                "--ignore-not-found",
            ];
            real.kubectl(&gone);
        }
    }
}

/// Domain of all scenarios.
const DOMAIN: &str = "preview.example.test";

/// Namespace of the ledgers.
const CONTROL: &str = "preview-system";

impl Drop for Stay {
    fn drop(&mut self) {
        self.forget("--wait=false");
    }
}

impl Stage for Stay {
    fn kubeconfig(&self) -> String {
        let other = self.other.get().cloned();
        other.unwrap_or_else(|| self.real.kubeconfig())
    }

    fn registry(&self) -> String {
        self.real.registry().to_owned()
    }

    fn ingress(&self) -> String {
        self.real.ingress().to_owned()
    }

    fn haste(&self) -> u32 {
        self.haste
    }

    fn prepare(&self, image: &str, sha: &str) -> anyhow::Result<()> {
        let tag = image.rsplit(':').next().unwrap_or_default();
        let fate = tag.split('-').next().unwrap_or_default();
        match fate {
            "missing" => {}
            // the simulated cluster's word for a Job that ends badly
            "fail" => drop(self.real.image(tag, "crash", sha)),
            "crash" | "slow" | "never" | "unhealthy" | "oom" | "once" => {
                drop(self.real.image(tag, fate, sha))
            }
            _ => drop(self.real.image(tag, "ok", sha)),
        }
        Ok(())
    }

    fn objects(&self, namespace: &str) -> anyhow::Result<Vec<String>> {
        Ok(crate::contents::on_real(self.real, namespace)
            .into_keys()
            .collect())
    }

    fn namespaces(&self) -> anyhow::Result<Vec<String>> {
        Ok(Self::namespaces(self))
    }
}
