//! Turns what `tests/e2e/up` started into one value with its addresses, a place for scratch files and a clean cluster.
//! It must not know what any test wants of them. One test at a time enters: their times are measured, and the
//! machine that runs them is small.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tokio::sync::{Mutex, MutexGuard};

/// The action's input `environment` in these tests: what they leave behind is found by it.
pub(crate) const ENVIRONMENT: &str = "e2e";

static ENTRANCE: Mutex<()> = Mutex::const_new(());

pub(crate) struct World {
    addresses: BTreeMap<String, String>,
    _turn: MutexGuard<'static, ()>,
}

impl World {
    pub(crate) async fn enter() -> Self {
        let turn = ENTRANCE.lock().await;
        rustls::crypto::ring::default_provider()
            .install_default()
            .ok();
        let file = state().join("env");
        let text = std::fs::read_to_string(&file)
            .unwrap_or_else(|_| panic!("no {}: run tests/e2e/up first", file.display()));
        let addresses = text
            .lines()
            .filter_map(|line| line.split_once('='))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        let world = Self {
            addresses,
            _turn: turn,
        };
        world.forget_earlier_runs();
        world
    }

    pub(crate) fn address(&self, key: &str) -> &str {
        self.addresses.get(key).unwrap_or_else(|| {
            panic!("{key} is not in the file that tests/e2e/up writes: run it again")
        })
    }

    /// The image under test.
    pub(crate) fn image(&self) -> String {
        let image =
            std::env::var("PREVIEW_IMAGE").unwrap_or_else(|_| "preview-action:e2e".to_owned());
        let known = Command::new("docker")
            .args(["image", "inspect", &image])
            .output()
            .unwrap();
        assert!(
            known.status.success(),
            "Docker has no image {image}: run `.ci/image {image}` first"
        );
        image
    }

    /// A fresh token of the App, as a job gets one.
    pub(crate) fn token(&self) -> String {
        text(Command::new(root().join("tests/e2e/token")))
            .trim()
            .to_owned()
    }

    /// The ServiceAccount's kubeconfig, with the address that containers use.
    pub(crate) fn action_kubeconfig(&self) -> String {
        std::fs::read_to_string(self.address("ACTION_KUBECONFIG")).unwrap()
    }

    /// Asks the cluster as its administrator.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> Output {
        self.kubectl_command().args(arguments).output().unwrap()
    }

    pub(crate) fn kubectl_command(&self) -> Command {
        let mut command = Command::new(self.address("KUBECTL"));
        command.args(["--kubeconfig", self.address("ADMIN_KUBECONFIG")]);
        command
    }

    fn forget_earlier_runs(&self) {
        let ours = format!("app=preview,preview-action/environment={ENVIRONMENT}");
        text_of(
            "kubectl delete namespace",
            &self.kubectl(&["delete", "namespace", "-l", &ours]),
        );
        let ledgers = text_of(
            "kubectl get configmap",
            &self.kubectl(&["get", "configmap", "-n", "preview-system", "-o", "name"]),
        );
        for name in ledgers
            .lines()
            .filter(|name| name.ends_with(&format!("-{ENVIRONMENT}")))
        {
            text_of(
                "kubectl delete",
                &self.kubectl(&["delete", "-n", "preview-system", name]),
            );
        }
    }
}

/// The repository's root.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Where `up` keeps its state; the same rule stands in `tests/e2e/common`.
fn state() -> PathBuf {
    let of = |name: &str| std::env::var_os(name).map(PathBuf::from);
    of("PREVIEW_E2E_HOME").unwrap_or_else(|| {
        of("XDG_CACHE_HOME")
            .unwrap_or_else(|| of("HOME").expect("HOME is set").join(".cache"))
            .join("preview-e2e")
    })
}

/// Runs a command that must succeed, and returns what it printed.
pub(crate) fn text(mut command: Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    text_of(&format!("{command:?}"), &output)
}

pub(crate) fn text_of(what: &str, output: &Output) -> String {
    assert!(
        output.status.success(),
        "{what}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}
