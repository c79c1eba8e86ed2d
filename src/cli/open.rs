//! Opens what a door needs: files that inputs name, signals, the ports of the command line.
//! It holds no use case and reads no event.
//! Both doors open the same things, so that a kubeconfig means the same in a workflow and at a terminal.

use super::print::Failed;
use crate::{
    inputs::{KubeconfigSource, RawInputs, Settings, TextOrPath},
    names::{ReasonCode, RepoName, Secret},
    pipeline::{Connections, Failure, Links, Ports, RunId, Sandbox},
    report::StatusView,
    runner::{Redaction, harmless},
    telemetry::{self, Format, Verbosity},
    templates,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use std::path::{Path, PathBuf};
use tokio_util::sync::CancellationToken;

/// Sets up the log on standard error: errors alone, then steps, then every request.
///
/// Commands print their progress themselves, so that their log is silent until somebody asks for more.
pub(super) fn log(verbose: u8, redaction: Redaction) {
    super::print::without(&redaction);
    let verbosity = match verbose {
        0 => Verbosity::Quiet,
        more => Verbosity::new(false, more - 1, false),
    };
    if telemetry::init(verbosity, Format::Text, move |text| {
        harmless(&redaction.redact(text))
    })
    .is_err()
    {
        tracing::debug!("the log was set up before");
    }
    // What it says may hold a secret, and goes to the log like all else.
    std::panic::set_hook(Box::new(|panic| tracing::error!("a bug: {panic}")));
}

/// A token that the first SIGINT or SIGTERM cancels. PID 1 has no default handlers, so without this a container could not be stopped.
pub(super) fn stop_on_signals() -> CancellationToken {
    use tokio::signal::unix::{SignalKind, signal};
    let stop = CancellationToken::new();
    for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
        match signal(kind) {
            Ok(mut signals) => {
                let stop = stop.clone();
                tokio::spawn(async move {
                    signals.recv().await;
                    tracing::warn!("asked to stop; writing the last word");
                    stop.cancel();
                });
            }
            Err(error) => tracing::warn!("cannot listen for signals: {error}"),
        }
    }
    stop
}

/// Where Kubernetes gives a pod its own account.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Address of GitHub's API that is not an Enterprise Server's.
const GITHUB_API: &str = "https://api.github.com";

/// The text of the kubeconfig that the input, or else the variable `KUBECONFIG`, names.
pub(super) fn kubeconfig(
    settings: &Settings,
    root: &Path,
    variable: Option<&str>,
) -> Result<Option<Secret>, Failure> {
    match &settings.kubeconfig {
        Some(KubeconfigSource::Text(text)) => Ok(Some(text.clone())),
        Some(KubeconfigSource::Path(path)) => read_kubeconfig(&root.join(path)).map(Some),
        None => match variable.filter(|value| !value.is_empty()) {
            Some(path) => read_kubeconfig(Path::new(path)).map(Some),
            None => Ok(None),
        },
    }
}

/// A kubeconfig of the account of the pod that this process runs in; none outside of a cluster.
///
/// The cluster's address comes from the variables that Kubernetes gives every pod.
pub(super) fn in_cluster(
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Option<Secret>, Failure> {
    let get = |name: &str| variable(name).filter(|value| !value.is_empty());
    let Some(host) = get("KUBERNETES_SERVICE_HOST") else {
        return Ok(None);
    };
    let port = get("KUBERNETES_SERVICE_PORT").unwrap_or_else(|| "443".into());
    account(Path::new(SERVICE_ACCOUNT), &host, &port)
}

fn account(folder: &Path, host: &str, port: &str) -> Result<Option<Secret>, Failure> {
    let read = |name: &str| {
        let path = folder.join(name);
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Failure::yours(
                ReasonCode::BadInput,
                format!(
                    "the pod's own account {} cannot be read: {error}",
                    path.display()
                ),
                "give the input `kubeconfig`",
            )),
        }
    };
    let (Some(token), Some(ca)) = (read("token")?, read("ca.crt")?) else {
        return Ok(None);
    };
    // An IPv6 address stands in brackets before a port.
    let host = match host.contains(':') && !host.starts_with('[') {
        true => format!("[{host}]"),
        false => host.to_owned(),
    };
    tracing::info!("no kubeconfig is given; using the account of the pod that this runs in");
    let name = "in-cluster";
    let kubeconfig = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "clusters": [{"name": name, "cluster": {
            "server": format!("https://{host}:{port}"),
            "certificate-authority-data": STANDARD.encode(ca),
        }}],
        "users": [{"name": name, "user": {"token": token.trim()}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
    });
    Ok(Some(Secret::new(kubeconfig.to_string())))
}

fn read_kubeconfig(path: &Path) -> Result<Secret, Failure> {
    std::fs::read_to_string(path).map(Secret::new).map_err(|error| {
        Failure::yours(
            ReasonCode::BadInput,
            format!("the kubeconfig {} cannot be read: {error}", path.display()),
            "give its text or base64 by the input `kubeconfig`; inside the action's container only the workspace and the temporary folder of the job can be seen",
        )
    })
}

/// The text of the additional certificate authorities.
pub(super) fn ca_bundle(settings: &Settings, root: &Path) -> Result<Option<String>, Failure> {
    match &settings.ca_bundle {
        None => Ok(None),
        Some(TextOrPath::Text(text)) => Ok(Some(text.clone())),
        Some(TextOrPath::Path(path)) => {
            let path = root.join(path);
            std::fs::read_to_string(&path).map(Some).map_err(|error| {
                Failure::yours(
                    ReasonCode::BadInput,
                    format!(
                        "the certificates {} cannot be read: {error}",
                        path.display()
                    ),
                    "give the PEM text itself by the input `ca-bundle`",
                )
            })
        }
    }
}

/// One line on how far a preview is.
pub(super) fn progress(view: &StatusView) -> String {
    let waiting: Vec<String> = view
        .services
        .iter()
        .map(|service| {
            let message = if service.message.is_empty() {
                String::new()
            } else {
                format!(" ({})", service.message)
            };
            format!(
                "{} {}/{}{message}",
                service.id.name, service.ready, service.desired
            )
        })
        .collect();
    if waiting.is_empty() {
        view.state.as_str().to_owned()
    } else {
        format!("{}: {}", view.state.as_str(), waiting.join(", "))
    }
}

/// GitHub for people, by the address of its API.
fn server(api_url: &str) -> String {
    let url = api_url.trim_end_matches('/');
    match (
        url.strip_suffix("/api/v3"),
        url.strip_prefix("https://api."),
    ) {
        (Some(server), _) => server.to_owned(),
        (None, Some(host)) => format!("https://{host}"),
        (None, None) => url.to_owned(),
    }
}

/// The ports of a command line.
pub(super) struct Opened {
    pub(super) ports: Ports,
}

/// Opens the ports of a command line.
pub(super) fn command_line(
    raw: &RawInputs,
    github: Option<(String, RepoName)>,
    verbose: u8,
) -> Result<Opened, Failed> {
    let api_url = github.as_ref().map_or(GITHUB_API, |(url, _)| url.as_str());
    let server = server(api_url);
    let links = Links {
        setup: templates::setup_page(&server, None),
        server,
        ..Links::default()
    };
    let redaction = Redaction::default();
    log(verbose, redaction.clone());
    let settings = Settings::parse(raw).map_err(Failure::from)?;
    let here = Path::new(".");
    let given = kubeconfig(&settings, here, None)?;
    let kubeconfig = match (given, default_kubeconfig()) {
        (Some(text), _) => Some(text),
        (None, Some(path)) => Some(read_kubeconfig(&path)?),
        (None, None) => in_cluster(|name| std::env::var(name).ok())?,
    };
    redaction.learn_all(&settings.secrets());
    if let Some(kubeconfig) = &kubeconfig {
        redaction.learn_all(&KubeconfigSource::secrets_in(kubeconfig.expose()));
    }
    let variable = |names: [&str; 2]| {
        names
            .iter()
            .find_map(|name| std::env::var(name).ok())
            .filter(|value| !value.is_empty())
    };
    let connections = Connections {
        github: github.filter(|_| settings.token.is_some()),
        kubeconfig,
        local_files: true,
        extra_ca: ca_bundle(&settings, here)?,
        https_proxy: variable(["HTTPS_PROXY", "https_proxy"]),
        no_proxy: variable(["NO_PROXY", "no_proxy"]),
        loopback: false,
        haste: 1,
    };
    let sandbox = Sandbox::current().map_err(anyhow::Error::from)?;
    let run = RunId(format!(
        "command-line/{}/{}",
        std::process::id(),
        jiff::Timestamp::now().as_nanosecond()
    ));
    let ports = Ports::open(
        settings,
        connections,
        sandbox,
        stop_on_signals(),
        run,
        redaction,
        links,
    )?;
    Ok(Opened { ports })
}

fn default_kubeconfig() -> Option<PathBuf> {
    let path = PathBuf::from(std::env::var_os("HOME")?).join(".kube/config");
    path.is_file().then_some(path)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::cluster::{Cluster, ConnectOptions, Files, Proxy, RetryPolicy};

    #[test]
    fn people_reach_github_where_its_api_says() {
        for (api, people) in [
            (GITHUB_API, "https://github.com"),
            ("https://api.github.com/", "https://github.com"),
            ("https://api.acme.ghe.com", "https://acme.ghe.com"),
            ("https://git.acme.test/api/v3", "https://git.acme.test"),
            ("http://127.0.0.1:80", "http://127.0.0.1:80"),
        ] {
            assert_eq!(server(api), people);
        }
    }

    #[tokio::test]
    async fn a_pods_own_account_is_a_kubeconfig_that_the_cluster_edge_takes() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        assert!(account(folder.path(), "10.0.0.1", "443").unwrap().is_none());
        let key = rcgen::generate_simple_self_signed(["kubernetes".to_owned()]).unwrap();
        std::fs::write(folder.path().join("token"), "pod-token-0123\n").unwrap();
        assert!(account(folder.path(), "10.0.0.1", "443").unwrap().is_none());
        std::fs::write(folder.path().join("ca.crt"), key.cert.pem()).unwrap();
        for (host, server) in [
            ("10.0.0.1", "https://10.0.0.1:443"),
            ("fd00::1", "https://[fd00::1]:443"),
        ] {
            let kubeconfig = account(folder.path(), host, "443").unwrap().unwrap();
            let read: serde_json::Value = serde_json::from_str(kubeconfig.expose()).unwrap();
            assert_eq!(read["clusters"][0]["cluster"]["server"], server);
            let secrets = KubeconfigSource::secrets_in(kubeconfig.expose());
            assert!(
                secrets
                    .iter()
                    .any(|secret| secret.expose() == "pod-token-0123")
            );
            Cluster::connect(&ConnectOptions {
                kubeconfig: &kubeconfig,
                context: None,
                files: Files::Refused,
                extra_ca: None,
                user_agent: "test",
                proxy: Proxy {
                    https: None,
                    except: None,
                },
                retry: RetryPolicy::default(),
                haste: 1,
            })
            .unwrap();
        }
    }

    #[test]
    fn outside_of_a_cluster_there_is_no_account() {
        assert!(in_cluster(|_| None).unwrap().is_none());
        assert!(in_cluster(|_| Some(String::new())).unwrap().is_none());
    }
}
