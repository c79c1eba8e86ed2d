//! The open connections of one run, and the few values that every use case needs with them.
//! It opens GitHub and the cluster from checked settings and asks neither anything.
//! A connection that cannot be opened is kept as a failure, so that the comment can still tell it.

use super::{Failure, Sandbox, failure::Blame, show::Refused};
use crate::{
    capacity::{LedgerName, RunId},
    cluster::{Cluster, ConnectOptions, Files, Proxy, RetryPolicy, SecretRef},
    github::{self, GitHub, Proxies},
    health,
    inputs::Settings,
    names::{ReasonCode, RepoId, RepoName, Secret},
    plan::PublicUrl,
    registry,
    runner::Redaction,
};
use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio_util::sync::CancellationToken;

/// Addresses that the comment links to.
#[derive(Debug, Clone, Default)]
pub struct Links {
    /// GitHub for people, such as `https://github.com`.
    pub server: String,
    /// This run's own page.
    pub run: Option<String>,
    /// Where setting up is explained.
    pub setup: Option<String>,
    /// File name of the workflow that this run is of, such as `preview.yml`.
    pub workflow: Option<String>,
    /// Commit that this workflow's file was taken from.
    pub workflow_sha: Option<String>,
}

/// What connections are opened with.
#[derive(Debug, Clone, Default)]
pub struct Connections {
    /// GitHub's API and the repository; none on a command line without a token.
    pub github: Option<(String, RepoName)>,
    /// Text of the kubeconfig.
    pub kubeconfig: Option<Secret>,
    /// True when the kubeconfig may name files of this machine.
    pub local_files: bool,
    /// Additional certificate authorities as PEM.
    pub extra_ca: Option<String>,
    /// `HTTPS_PROXY` of the environment.
    pub https_proxy: Option<String>,
    /// `NO_PROXY` of the environment.
    pub no_proxy: Option<String>,
    /// True when the health check may ask this machine itself; only the simulated world lives there.
    pub loopback: bool,
    /// Divides every grace of the readiness gate; 1, and 0 as well, except in worlds that play faster than life.
    pub haste: u32,
}

/// The open connections of one run.
pub struct Ports {
    /// Settings.
    pub settings: Settings,
    /// GitHub, when there is a token.
    pub github: Option<GitHub>,
    cluster: Result<Cluster, Failure>,
    /// Renders templates.
    pub sandbox: Sandbox,
    /// Cancelled by the first signal.
    pub stop: CancellationToken,
    /// This run among all.
    pub run: RunId,
    /// Keeps secrets out of every text that leaves.
    pub redaction: Redaction,
    /// Addresses.
    pub links: Links,
    extra_ca: Option<String>,
    loopback: bool,
    notices: Mutex<Vec<String>>,
    knows_pull_secret: AtomicBool,
    /// What this run may not write beside the comment.
    pub(super) refused: Refused,
}

impl Ports {
    /// Opens what the settings name.
    pub fn open(
        settings: Settings,
        connections: Connections,
        sandbox: Sandbox,
        stop: CancellationToken,
        run: RunId,
        redaction: Redaction,
        links: Links,
    ) -> Result<Self, Failure> {
        let github = match (&connections.github, &settings.token) {
            (Some((api_url, repository)), Some(token)) => Some(GitHub::connect(github::Options {
                api_url,
                repository: repository.clone(),
                token,
                extra_ca: connections.extra_ca.as_deref(),
                proxies: Proxies::FromEnvironment,
            })?),
            _ => None,
        };
        let cluster = match &connections.kubeconfig {
            None => Err(Failure::yours(
                ReasonCode::NoCredentials,
                "there is no kubeconfig",
                "set the input `kubeconfig`, for example to `${{ secrets.PREVIEW_KUBECONFIG }}`",
            )),
            Some(kubeconfig) => Cluster::connect(&ConnectOptions {
                kubeconfig,
                context: settings.context.as_deref(),
                files: if connections.local_files {
                    Files::Allowed
                } else {
                    Files::Refused
                },
                extra_ca: connections.extra_ca.as_deref(),
                user_agent: concat!("preview-action/", env!("CARGO_PKG_VERSION")),
                proxy: Proxy {
                    https: connections.https_proxy.as_deref(),
                    except: connections.no_proxy.as_deref(),
                },
                retry: RetryPolicy::default(),
                haste: connections.haste,
            })
            .map_err(Failure::from),
        };
        let Connections {
            extra_ca, loopback, ..
        } = connections;
        Ok(Self {
            settings,
            github,
            cluster,
            sandbox,
            stop,
            run,
            redaction,
            links,
            extra_ca,
            loopback,
            notices: Mutex::default(),
            knows_pull_secret: AtomicBool::default(),
            refused: Refused::default(),
        })
    }

    /// Notes what people should know of this run, whatever it is about.
    pub(super) fn notice(&self, text: String) {
        tracing::warn!("{text}");
        let mut notices = self.notices.lock().unwrap_or_else(PoisonError::into_inner);
        notices.push(text);
    }

    /// What was noted so far, once.
    pub(super) fn take_notices(&self) -> Vec<String> {
        std::mem::take(&mut *self.notices.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The cluster, or why there is none.
    pub fn cluster(&self) -> Result<&Cluster, Failure> {
        self.cluster.as_ref().map_err(Clone::clone)
    }

    /// Learns what is secret in a pull secret that was read.
    pub(super) fn knows_pull_secret(&self, secret: &Secret) {
        self.redaction.learn_all(&registry::secrets_in(secret));
        self.knows_pull_secret.store(true, Ordering::Relaxed);
    }

    /// Reads the pull secret where something is about to be shown that may repeat it, unless that was done before.
    pub(super) async fn learn_pull_secret(&self) {
        let (Some(source), Ok(cluster)) = (&self.settings.pull_secret, self.cluster()) else {
            return;
        };
        if self.knows_pull_secret.load(Ordering::Relaxed) {
            return;
        }
        let from = SecretRef {
            namespace: source.namespace.clone(),
            name: source.name.clone(),
        };
        match cluster.pull_secret(&from).await {
            Ok(secret) => self.knows_pull_secret(&secret),
            Err(error) => tracing::info!("what is secret in the pull secret is not known: {error}"),
        }
    }

    /// The time by which all runs go: the API server's, GitHub's until that has answered, this machine's until either has.
    pub fn now(&self) -> jiff::Timestamp {
        let servers = self.cluster.as_ref().ok().and_then(Cluster::time);
        let githubs = || self.github.as_ref().and_then(GitHub::time);
        servers
            .or_else(githubs)
            .unwrap_or_else(jiff::Timestamp::now)
    }

    /// GitHub, or why there is none.
    pub fn github(&self) -> Result<&GitHub, Failure> {
        self.github.as_ref().ok_or_else(|| {
            Failure::new(
                Blame::Yours,
                ReasonCode::NoCredentials,
                "there is no token for GitHub",
                "leave the input `token` out, or set it to `${{ github.token }}`",
            )
        })
    }

    /// How registries are asked.
    pub(super) fn registries(&self) -> registry::Options {
        registry::Options {
            extra_ca: self.extra_ca.clone(),
            allow_loopback: self.loopback,
        }
    }

    /// Where the ledger of a repository is kept.
    pub fn ledger(&self, repository: RepoId) -> LedgerName {
        LedgerName {
            namespace: self.settings.control_namespace.clone(),
            repository,
            environment: self.settings.environment.clone(),
        }
    }

    /// How a public address is asked, within the time that is left.
    pub(super) fn health_check(
        &self,
        url: &PublicUrl,
        left: Duration,
    ) -> (health::Target, health::Options) {
        let target = health::Target {
            url: format!("{}{}", url.url.trim_end_matches('/'), url.health_path),
            address: self
                .settings
                .health_address
                .map(|address| (address.ip, address.port)),
        };
        let usual = health::Options::default();
        let options = health::Options {
            deadline: left,
            unreachable_after: usual.unreachable_after.min(left),
            answer_within: usual.answer_within.min(left),
            extra_ca: self.extra_ca.clone(),
            allow_loopback: self.loopback,
        };
        (target, options)
    }
}
