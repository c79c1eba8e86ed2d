//! Reads the configuration of an image from its registry: manifest, token where one is wanted, configuration.
//! It interprets nothing in it, and follows nobody to an address that is never asked.
//! A pull request's configuration names the registry, and the runner sees more of the network than whoever wrote it.

use super::{
    Options, PATIENCE,
    credential::Login,
    reference::{Reference, is_digest},
};
use crate::{names::may_be_asked, tls};
use http::{StatusCode, header};
use reqwest::{
    Client, RequestBuilder, Response, Url,
    dns::{Addrs, Name, Resolve, Resolving},
    redirect,
};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::{net::IpAddr, sync::Arc, time::Instant};

/// More bytes than any manifest or configuration has that we ask for.
const MOST_BYTES: usize = 4 << 20;

const MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";

/// Why there is no configuration.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unanswered {
    /// The registry has no such image.
    Absent,
    /// Anything else, in words.
    Refused(String),
}

impl From<String> for Unanswered {
    fn from(cause: String) -> Self {
        Self::Refused(cause)
    }
}

impl From<&str> for Unanswered {
    fn from(cause: &str) -> Self {
        Self::Refused(cause.into())
    }
}

/// A client for all registries.
pub(super) struct Registries {
    http: Client,
    allow_loopback: bool,
}

/// Resolves names to addresses that may be asked.
struct Guarded {
    allow_loopback: bool,
}

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let allow_loopback = self.allow_loopback;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed: Vec<_> = found
                .filter(|address| may_be_asked(address.ip(), allow_loopback))
                .collect();
            if allowed.is_empty() {
                return Err(
                    format!("{} leads to no address that may be asked", name.as_str()).into(),
                );
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

/// True for an address on the network that may be asked; names are looked at again once they are resolved.
fn allowed(url: &Url, allow_loopback: bool) -> bool {
    let host = url.host_str().unwrap_or_default();
    let literal = host.trim_matches(['[', ']']).parse::<IpAddr>().ok();
    let local = literal.map_or(host == "localhost", |ip| ip.to_canonical().is_loopback());
    let scheme = match url.scheme() {
        "https" => true,
        // As every container engine does: a registry on this machine is spoken to without TLS.
        "http" => local,
        _ => false,
    };
    let asked = literal.is_none_or(|ip| may_be_asked(ip, allow_loopback));
    scheme && asked && (!local || allow_loopback)
}

impl Registries {
    pub(super) fn new(options: &Options) -> Result<Self, String> {
        tls::install_provider();
        let roots = tls::roots(options.extra_ca.as_deref()).map_err(|error| error.to_string())?;
        let allow_loopback = options.allow_loopback;
        let follow = redirect::Policy::custom(move |attempt| {
            match attempt.previous().len() > 4 || !allowed(attempt.url(), allow_loopback) {
                true => attempt.stop(),
                false => attempt.follow(),
            }
        });
        let http = Client::builder()
            .tls_certs_only(roots)
            .dns_resolver(Arc::new(Guarded { allow_loopback }))
            // A proxy would resolve names out of our sight.
            .no_proxy()
            .redirect(follow)
            .connect_timeout(PATIENCE)
            .timeout(PATIENCE)
            .user_agent(concat!("preview-action/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| tls::root_cause(&error))?;
        Ok(Self {
            http,
            allow_loopback,
        })
    }

    /// The configuration of an image, of the one for Linux on amd64 where there are several.
    pub(super) async fn configuration(
        &self,
        image: &Reference,
        login: Option<&Login>,
    ) -> Result<Value, Unanswered> {
        let mut token = None;
        let manifest = format!("manifests/{}", image.version());
        let mut manifest = self.part(image, &manifest, login, &mut token).await?;
        if let Some(all) = manifest["manifests"].as_array() {
            let usual = |one: &&Value| {
                one["platform"]["os"] == "linux" && one["platform"]["architecture"] == "amd64"
            };
            let one = all.iter().find(usual).or_else(|| all.first());
            let digest = one.and_then(|one| one["digest"].as_str());
            let digest = digest.filter(|digest| is_digest(digest));
            let path = format!("manifests/{}", digest.ok_or("the index names no image")?);
            manifest = self.part(image, &path, login, &mut token).await?;
        }
        let digest = manifest["config"]["digest"].as_str();
        let digest = digest.filter(|digest| is_digest(digest));
        let path = format!(
            "blobs/{}",
            digest.ok_or("the manifest names no configuration")?
        );
        self.part(image, &path, login, &mut token).await
    }

    /// One document of an image; the token that the registry wants is asked for once.
    async fn part(
        &self,
        image: &Reference,
        path: &str,
        login: Option<&Login>,
        token: &mut Option<String>,
    ) -> Result<Value, Unanswered> {
        let host = image.host();
        let local = host.rsplit_once(':').map_or(host, |(host, _)| host);
        let scheme = match matches!(local, "localhost" | "127.0.0.1") {
            true => "http",
            false => "https",
        };
        let url = format!("{scheme}://{host}/v2/{}/{path}", image.repository);
        let url = Url::parse(&url).map_err(|error| error.to_string())?;
        let request = |token: Option<&String>| {
            let request = self.http.get(url.clone()).header(header::ACCEPT, MANIFESTS);
            match token {
                Some(token) => request.bearer_auth(token),
                None => request,
            }
        };
        let mut answer = self.send(&url, request(token.as_ref())).await?;
        if answer.status() == StatusCode::UNAUTHORIZED {
            // Whoever it has sent us to has no business with its login.
            if answer.url().origin() != url.origin() {
                return Err("it leads to a server that wants to know who asks".into());
            }
            let wanted = answer.headers().get(header::WWW_AUTHENTICATE);
            let wanted = wanted
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default();
            let again = match wanted.split_once(' ') {
                Some((scheme, rest)) if scheme.eq_ignore_ascii_case("bearer") => {
                    *token = Some(self.token(rest, login).await?);
                    request(token.as_ref())
                }
                _ => {
                    let login = login.ok_or("it wants to know who asks")?;
                    request(None).basic_auth(&login.user, Some(&login.password))
                }
            };
            answer = self.send(&url, again).await?;
        }
        if answer.status() == StatusCode::NOT_FOUND {
            return Err(Unanswered::Absent);
        }
        let text = body(answer).await?;
        let digest = path
            .rsplit('/')
            .next()
            .and_then(|name| name.strip_prefix("sha256:"));
        if digest.is_some_and(|digest| format!("{:x}", Sha256::digest(&text)) != digest) {
            return Err("it answers something else than was asked for".into());
        }
        serde_json::from_slice(&text).map_err(|error| error.to_string().into())
    }

    /// The token that a registry wants, from where it says.
    async fn token(&self, wanted: &str, login: Option<&Login>) -> Result<String, String> {
        let part = |name: &str| {
            let (_, rest) = wanted.split_once(&format!("{name}=\""))?;
            rest.split('"').next()
        };
        let realm = part("realm").ok_or("it wants a token and does not say from where")?;
        let mut url = Url::parse(realm).map_err(|error| error.to_string())?;
        for name in ["service", "scope"] {
            if let Some(value) = part(name) {
                url.query_pairs_mut().append_pair(name, value);
            }
        }
        let mut request = self.http.get(url.clone());
        if let Some(login) = login {
            request = request.basic_auth(&login.user, Some(&login.password));
        }
        let text = body(self.send(&url, request).await?).await?;
        let answer: Value = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
        let token = answer["token"].as_str().or(answer["access_token"].as_str());
        token
            .map(str::to_owned)
            .ok_or_else(|| "it gave no token".into())
    }

    /// Sends a request, if its address may be asked at all.
    async fn send(&self, url: &Url, request: RequestBuilder) -> Result<Response, String> {
        if !allowed(url, self.allow_loopback) {
            let host = url.host_str().unwrap_or_default();
            return Err(format!("{host} is no address that may be asked"));
        }
        let started = Instant::now();
        let result = request.send().await;
        let elapsed_ms = started.elapsed().as_millis();
        let (host, path) = (url.host_str().unwrap_or_default(), url.path());
        match &result {
            Ok(answer) => {
                tracing::debug!(
                    http.method = "GET",
                    http.host = host,
                    http.path = path,
                    http.status = answer.status().as_u16(),
                    elapsed_ms,
                    "registry answered"
                );
            }
            Err(error) => {
                tracing::debug!(http.method = "GET", http.host = host, http.path = path, error = %tls::root_cause(error), elapsed_ms, "registry did not answer");
            }
        }
        result.map_err(|error| tls::root_cause(&error))
    }
}

async fn body(mut answer: Response) -> Result<Vec<u8>, String> {
    if !answer.status().is_success() {
        return Err(format!("it answers {}", answer.status().as_u16()));
    }
    let mut text = Vec::new();
    while let Some(chunk) = answer
        .chunk()
        .await
        .map_err(|error| tls::root_cause(&error))?
    {
        text.extend_from_slice(&chunk);
        if text.len() > MOST_BYTES {
            return Err(format!("it answers more than {MOST_BYTES} bytes"));
        }
    }
    Ok(text)
}
