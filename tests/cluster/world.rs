//! Turns the environment into one cluster to test on: an administrator's eyes, the ServiceAccount's kubeconfig, a registry.
//! It must not know what any test wants of them.
//! Looks go through `kubectl`, not through the client under test, which might be blind in the same spot twice.

use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::OnceLock,
};

/// A real cluster.
pub(crate) struct Real {
    kubectl: PathBuf,
    admin: PathBuf,
    deployer: PathBuf,
    registry: String,
    ingress: String,
    prepare: Vec<String>,
    empty: tempfile::TempDir,
    resources: OnceLock<Vec<String>>,
}

impl Real {
    /// The cluster of `KUBECONFIG`; without one the test is skipped, and says so.
    pub(crate) fn enter() -> Option<&'static Self> {
        static REAL: OnceLock<Option<Real>> = OnceLock::new();
        let real = REAL.get_or_init(Self::find).as_ref();
        if real.is_none() {
            let why = "KUBECONFIG names no cluster; tests/cluster/README.md says how to start one";
            assert!(variable("CI").as_deref() != Some("true"), "{why}");
            println!("skipped: {why}");
        }
        real
    }

    fn find() -> Option<Self> {
        let given = PathBuf::from(variable("KUBECONFIG")?);
        rustls::crypto::ring::default_provider()
            .install_default()
            .ok();
        let kubectl = PathBuf::from(script(&["path", "kubectl"]).trim());
        let admin = match variable("PREVIEW_ADMIN_KUBECONFIG") {
            Some(path) => PathBuf::from(path),
            None if may_do_everything(&kubectl, &given) => given.clone(),
            None => exported(&script(&["env"])),
        };
        let deployer = if admin == given {
            let mut command = Command::new(root().join("tests/cluster/cluster"));
            command.arg("deployer").env("KUBECONFIG", &admin);
            exported(&text(&mut command))
        } else {
            given
        };
        let ingress = variable("HEALTH_ADDRESS").unwrap_or_else(|| {
            let served = script(&["ingress"]);
            let line = served
                .lines()
                .find_map(|line| line.strip_prefix("INGRESS_HTTP="));
            let first = line.and_then(|line| line.split(' ').next());
            first.expect("`cluster ingress` says where").to_owned()
        });
        let ours = root().join("tests/cluster/cluster");
        Some(Self {
            kubectl,
            admin,
            deployer,
            empty: tempfile::tempdir().unwrap(),
            resources: OnceLock::new(),
            registry: variable("PREVIEW_TEST_REGISTRY").unwrap_or("127.0.0.1:5000".into()),
            ingress,
            prepare: variable("PREVIEW_TEST_PREPARE").map_or_else(
                || vec![ours.display().to_string(), "app".into()],
                |command| command.split(' ').map(str::to_owned).collect(),
            ),
        })
    }

    /// Text of the ServiceAccount's kubeconfig.
    pub(crate) fn kubeconfig(&self) -> String {
        std::fs::read_to_string(&self.deployer).unwrap()
    }

    /// Path of the ServiceAccount's kubeconfig.
    pub(crate) fn deployer(&self) -> &Path {
        &self.deployer
    }

    /// A folder without a configuration.
    pub(crate) fn empty(&self) -> &Path {
        self.empty.path()
    }

    /// `kubectl` as the ServiceAccount.
    pub(crate) fn deploying(&self) -> Command {
        let mut command = Command::new(&self.kubectl);
        command.arg("--kubeconfig").arg(&self.deployer);
        command
    }

    /// Path of the administrator's kubeconfig.
    pub(crate) fn admin(&self) -> &Path {
        &self.admin
    }

    /// Folder of `kubectl`, for scripts that call it by name.
    pub(crate) fn tools(&self) -> &Path {
        self.kubectl.parent().unwrap()
    }

    /// Registry that the cluster pulls from.
    pub(crate) fn registry(&self) -> &str {
        &self.registry
    }

    /// Address that the Ingress objects are served at.
    pub(crate) fn ingress(&self) -> &str {
        &self.ingress
    }

    /// `kubectl` as the administrator.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.kubectl);
        command.arg("--kubeconfig").arg(&self.admin);
        command
    }

    /// What `kubectl`, as the administrator, prints; it must succeed.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> String {
        text(self.command().args(arguments))
    }

    /// An object, if it is there.
    pub(crate) fn object(&self, kind: &str, namespace: &str, name: &str) -> Option<Value> {
        let arguments = ["get", kind, name, "-n", namespace, "--ignore-not-found"];
        let printed = self.kubectl(&[&arguments[..], &["-o", "json"]].concat());
        serde_json::from_str(&printed).ok()
    }

    /// Objects of some kinds, `deployments,jobs`, in a Namespace.
    pub(crate) fn objects(&self, kinds: &str, namespace: &str) -> Vec<Value> {
        let arguments = ["get", kinds, "-n", namespace, "--show-managed-fields"];
        items(&self.kubectl(&[&arguments[..], &["-o", "json"]].concat()))
    }

    /// Resources in Namespaces that the cluster serves, such as `deployments.apps`.
    pub(crate) fn resources(&self) -> &[String] {
        self.resources.get_or_init(|| {
            let flags = ["--verbs=list", "--namespaced", "--cached", "-o", "name"];
            let all = self.kubectl(&[&["api-resources"][..], &flags].concat());
            all.lines().map(str::to_owned).collect()
        })
    }

    /// Whether the cluster serves a resource.
    pub(crate) fn has(&self, resource: &str) -> bool {
        self.resources().iter().any(|served| served == resource)
    }

    /// Whether its components speak as the simulated ones do: words change from version to version.
    pub(crate) fn speaks_like_the_simulation(&self) -> bool {
        let version: Value =
            serde_json::from_str(&self.kubectl(&["get", "--raw", "/version"])).unwrap();
        version["major"] == "1"
            && version["minor"]
                .as_str()
                .is_some_and(|minor| minor.trim_end_matches('+') == "36")
    }

    /// Namespaces by labels.
    pub(crate) fn namespaces(&self, labels: &str) -> Vec<Value> {
        items(&self.kubectl(&["get", "namespaces", "-l", labels, "-o", "json"]))
    }

    /// Applies objects as the administrator.
    pub(crate) fn put(&self, object: &Value) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("object.json");
        std::fs::write(&file, object.to_string()).unwrap();
        self.kubectl(&["apply", "-f", file.to_str().unwrap()]);
    }

    /// The page behind an address, as a browser would get it through the ingress.
    pub(crate) async fn page(&self, url: &str) -> (u16, String) {
        let rest = url.strip_prefix("http://").expect("an address");
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let browser = reqwest::Client::builder().no_proxy().build().unwrap();
        let asked = browser.get(format!("http://{}/{path}", self.ingress));
        let answer = asked.header("host", host).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// An image of PostgreSQL, where there is a way to one.
    pub(crate) fn postgres(&self) -> Option<String> {
        variable("PREVIEW_TEST_POSTGRES").or_else(|| {
            let own = variable("PREVIEW_TEST_PREPARE").is_none();
            own.then(|| script(&["postgres"]).trim().to_owned())
        })
    }

    /// Makes the image `web:TAG`: what the container does, and the revision it shows.
    pub(crate) fn image(&self, tag: &str, fate: &str, revision: &str) -> String {
        let [program, arguments @ ..] = self.prepare.as_slice() else {
            panic!("PREVIEW_TEST_PREPARE is no command")
        };
        let mut command = Command::new(program);
        let printed = text(command.args(arguments).args([tag, fate, revision]));
        printed.trim().to_owned()
    }
}

fn items(list: &str) -> Vec<Value> {
    let list: Value = serde_json::from_str(list).unwrap();
    list["items"].as_array().unwrap().clone()
}

fn may_do_everything(kubectl: &Path, kubeconfig: &Path) -> bool {
    let mut command = Command::new(kubectl);
    command.arg("--kubeconfig").arg(kubeconfig);
    let asked = command.args(["auth", "can-i", "*", "*", "--all-namespaces", "--quiet"]);
    asked.status().unwrap().success()
}

/// The path in the last line, `export KUBECONFIG=…`.
fn exported(printed: &str) -> PathBuf {
    let line = printed.lines().last().unwrap_or_default();
    let (_, path) = line.split_once('=').expect("a line that sets KUBECONFIG");
    PathBuf::from(path)
}

fn script(arguments: &[&str]) -> String {
    text(Command::new(root().join("tests/cluster/cluster")).args(arguments))
}

/// An environment variable that is not empty.
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The repository's root.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The program under test.
pub(crate) fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_preview-action"))
}

/// Runs a command that must succeed, and returns what it printed.
pub(crate) fn text(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    text_of(&format!("{command:?}"), &output)
}

fn text_of(what: &str, output: &Output) -> String {
    assert!(
        output.status.success(),
        "{what}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}
