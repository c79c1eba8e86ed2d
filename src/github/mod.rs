//! The one module that knows octocrab: reads pull requests, permissions and files, and writes comments.
//! It does not know what a preview is; it is told which text to post under which marker.
//! Every answer is read into small structs with only the fields that we use, because servers differ in all the others.

mod bottom;
mod breaker;
mod comments;
mod deployments;
mod error;
mod files;
mod issues;
mod permissions;
mod pulls;
mod reactions;
mod refusal;
mod request;
mod statuses;
mod workflows;

pub use comments::{Comment, CommentId, CommentRef};
pub use deployments::{Deployment, DeploymentState, DeploymentStatus, NewDeployment};
pub use error::GitHubError;
pub use issues::IssueText;
pub use permissions::Access;
pub use reactions::Reaction;
pub use statuses::{CommitState, CommitStatus};
pub use workflows::Unended;

use crate::{
    names::{RepoName, Secret, Skew},
    tls,
};
use breaker::Breaker;
use http::{HeaderMap, HeaderValue, Uri, header};
use octocrab::{
    AuthState, Octocrab, OctocrabBuilder,
    service::middleware::{auth_header::AuthHeaderLayer, reqwest_connector::ReqwestConnector},
};
use request::Patience;
use std::time::Duration;

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// How GitHub is reached.
#[derive(Debug, Clone)]
pub struct Options<'a> {
    /// Address of the API: `https://api.github.com`, or `https://HOST/api/v3`.
    pub api_url: &'a str,
    /// Repository.
    pub repository: RepoName,
    /// Token.
    pub token: &'a Secret,
    /// Certificate authorities to trust as well, as PEM.
    pub extra_ca: Option<&'a str>,
    /// Whether proxies are used.
    pub proxies: Proxies,
}

/// Whether proxies are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proxies {
    /// As `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` say.
    FromEnvironment,
    /// Never.
    Off,
}

/// A repository on a GitHub server.
#[derive(Clone)]
pub struct GitHub {
    octocrab: Octocrab,
    base: Uri,
    repository: RepoName,
    patience: Patience,
    breaker: Breaker,
    clock: Skew,
}

impl std::fmt::Debug for GitHub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "GitHub({} at {})", self.repository, self.base)
    }
}

impl GitHub {
    /// Makes the client ready; nothing is asked yet. Must be called inside a tokio runtime.
    pub fn connect(options: Options<'_>) -> Result<Self, GitHubError> {
        let base = api_base(options.api_url)?;
        let token = authorization(options.token)?;
        tls::install_provider();
        let roots = tls::roots(options.extra_ca).map_err(|error| GitHubError::Settings {
            problem: error.to_string(),
            remedy: "give PEM text, or the path of a PEM file, in the input `ca-bundle`".into(),
        })?;
        let mut http = reqwest::Client::builder()
            .tls_certs_only(roots)
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("preview-action/", env!("CARGO_PKG_VERSION")))
            .default_headers(HeaderMap::from_iter([(
                header::ACCEPT,
                HeaderValue::from_static("application/vnd.github+json"),
            )]));
        if options.proxies == Proxies::Off {
            http = http.no_proxy();
        }
        let http = http.build().map_err(|error| unusable(&error))?;
        // the layers are chosen here, because the default ones send two User-Agents and repeat POST
        let octocrab = OctocrabBuilder::new_empty()
            .with_service(ReqwestConnector::new(http))
            .with_layer(&AuthHeaderLayer::new(
                Some(token),
                base.clone(),
                base.clone(),
            ))
            .with_auth(AuthState::None)
            .build()
            .unwrap_or_else(|never| match never {});
        Ok(Self {
            octocrab,
            base,
            repository: options.repository,
            patience: Patience::default(),
            breaker: Breaker::default(),
            clock: Skew::default(),
        })
    }

    /// GitHub's time; none until it has answered.
    pub fn time(&self) -> Option<jiff::Timestamp> {
        self.clock.at(jiff::Timestamp::now())
    }

    /// The repository that is spoken to.
    pub fn name(&self) -> &RepoName {
        &self.repository
    }

    /// Until when GitHub takes no requests of this run, if it has said so or the last ones are needed for the last word.
    pub fn takes_none_until(&self) -> Option<jiff::Timestamp> {
        self.breaker.until()
    }

    /// True when so many requests can be made that nobody needs, and enough are left for the last word.
    pub fn spares(&self, requests: u64) -> bool {
        self.breaker.spares(requests)
    }

    /// Where GraphQL is asked: beside REST, on the same host.
    fn graphql(&self) -> String {
        let base = self.whole("");
        format!("{}/graphql", base.strip_suffix("/v3").unwrap_or(&base))
    }

    /// The whole address of a path below the API's base.
    fn whole(&self, path: &str) -> String {
        let base = self.base.to_string();
        format!("{}{path}", base.trim_end_matches('/'))
    }

    /// `/repos/owner/name` and what follows.
    fn path(&self, rest: &str) -> String {
        format!(
            "/repos/{}/{}{rest}",
            self.repository.owner(),
            self.repository.name()
        )
    }
}

fn api_base(text: &str) -> Result<Uri, GitHubError> {
    let wrong = |problem: &str| GitHubError::Settings {
        problem: format!("the API address `{text}` {problem}"),
        remedy: "give one such as `https://HOST/api/v3`, as the runner does in `GITHUB_API_URL`"
            .into(),
    };
    let uri: Uri = text
        .trim()
        .trim_end_matches('/')
        .parse()
        .map_err(|_| wrong("is no address"))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(wrong("begins with neither `https://` nor `http://`"));
    }
    if uri
        .authority()
        .is_none_or(|authority| authority.as_str().contains('@'))
    {
        return Err(wrong("names no host, or a user"));
    }
    if uri.query().is_some() {
        return Err(wrong("has a query"));
    }
    Ok(uri)
}

/// The header that carries the token.
fn authorization(token: &Secret) -> Result<HeaderValue, GitHubError> {
    let token = token.expose().trim();
    let wrong = |problem: &str| GitHubError::Settings {
        problem: format!("the token {problem}"),
        remedy: "give the token alone, on one line, in the input `token`".into(),
    };
    if token.is_empty() {
        return Err(wrong("is empty"));
    }
    if token.contains(char::is_whitespace) {
        return Err(wrong("holds white space"));
    }
    let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
        .map_err(|_| wrong("holds characters that no token has"))?;
    value.set_sensitive(true);
    Ok(value)
}

fn unusable(error: &(dyn std::error::Error + 'static)) -> GitHubError {
    GitHubError::Settings {
        problem: tls::root_cause(error),
        remedy: "check the API address, the proxy settings and the input `ca-bundle`".into(),
    }
}

#[cfg(test)]
mod tests;
