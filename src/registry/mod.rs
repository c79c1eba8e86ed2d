//! Asks an image's registry which commit the image says it was built from.
//! It pulls no layer, changes nothing, and knows no preview.
//! A tag can be pushed again: only the image itself knows its commit, and the kubelet does not pass its labels on.

use crate::names::{CommitSha, Secret};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use oci_client::{
    Client, Reference,
    client::{Certificate, CertificateEncoding, ClientConfig, ClientProtocol},
    secrets::RegistryAuth,
};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// The label that build tools write, from the OCI image specification's annotations.
const REVISION: &str = "org.opencontainers.image.revision";

/// A deploy does not wait long for a remark.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why an image could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The reference is none.
    #[error("{0:?} is no image reference")]
    Reference(String),
    /// The registry did not give the image's configuration.
    #[error("registry {registry} did not describe the image: {cause}")]
    Refused {
        /// Host of the registry.
        registry: String,
        /// Its words, or the transport's.
        cause: String,
    },
    /// It took too long.
    #[error("registry {registry} did not answer within {} s", PATIENCE.as_secs())]
    Slow {
        /// Host of the registry.
        registry: String,
    },
}

/// The commits that images say they were built from, each image asked once; one that does not say or cannot be asked is left out.
///
/// `credentials` is the text of a `.dockerconfigjson`; a registry without an entry there is asked anonymously. All are asked by
/// one client, because making one reads every authority that the system trusts; meanwhile requests to the cluster go on.
pub async fn revisions(
    images: BTreeSet<String>,
    credentials: Option<Secret>,
    extra_ca: Option<String>,
) -> BTreeMap<String, CommitSha> {
    if images.is_empty() {
        return BTreeMap::new();
    }
    let wanted = images.clone();
    let making = tokio::task::spawn_blocking(move || client(&wanted, extra_ca.as_deref()));
    let Ok(client) = making.await else {
        return BTreeMap::new();
    };
    let asked = images.iter().map(async |image| {
        match revision(&client, image, credentials.as_ref()).await {
            Ok(revision) => Some((image.clone(), revision?)),
            Err(error) => {
                tracing::debug!(image, "the image's commit is not known: {error}");
                None
            }
        }
    });
    let known = futures::future::join_all(asked).await;
    known.into_iter().flatten().collect()
}

async fn revision(
    client: &Client,
    image: &str,
    credentials: Option<&Secret>,
) -> Result<Option<CommitSha>, RegistryError> {
    let reference = reference(image)
        .ok_or_else(|| RegistryError::Reference(image.chars().take(200).collect()))?;
    let registry = reference.resolve_registry().to_owned();
    let auth = credentials.map_or(RegistryAuth::Anonymous, |text| credential(text, &registry));
    let answer = tokio::time::timeout(PATIENCE, client.pull_manifest_and_config(&reference, &auth))
        .await
        .map_err(|_| RegistryError::Slow {
            registry: registry.clone(),
        })?;
    let (_, _, config) = answer.map_err(|error| RegistryError::Refused {
        registry,
        cause: error.to_string(),
    })?;
    Ok(labelled(&config))
}

fn labelled(config: &str) -> Option<CommitSha> {
    let config: Value = serde_json::from_str(config).ok()?;
    config
        .get("config")?
        .get("Labels")?
        .get(REVISION)?
        .as_str()?
        .parse()
        .ok()
}

/// Takes an image's name apart, as container engines do. The library's own way brings a regular expression engine along, which
/// is a thirtieth of the binary.
fn reference(image: &str) -> Option<Reference> {
    let (rest, digest) = match image.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (image, None),
    };
    let (name, tag) = match rest.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (rest, None),
    };
    let (registry, repository) = match name.split_once('/') {
        Some((host, path)) if host.contains(['.', ':']) || host == "localhost" => (host, path),
        _ => ("docker.io", name),
    };
    let registry = match registry {
        "index.docker.io" => "docker.io",
        other => other,
    };
    let official = registry == "docker.io" && !repository.contains('/');
    let repository = match official {
        true => format!("library/{repository}"),
        false => repository.to_owned(),
    };
    let host = |c: char| c.is_ascii_alphanumeric() || ".-:[]".contains(c);
    let part = |part: &str| {
        let edge =
            |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        edge(part.chars().next())
            && edge(part.chars().last())
            && part.chars().all(|c| edge(Some(c)) || "._-".contains(c))
    };
    let tagged = |tag: &str| {
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        tag.len() <= 128
            && tag.starts_with(word)
            && tag.chars().all(|c| word(c) || ".-".contains(c))
    };
    let digested = |digest: &str| {
        let hex = |text: &str| text.len() >= 32 && text.chars().all(|c| c.is_ascii_hexdigit());
        digest.split_once(':').is_some_and(|(name, text)| {
            name.starts_with(|c: char| c.is_ascii_alphabetic()) && hex(text)
        })
    };
    let valid = registry.chars().all(host)
        && repository.len() <= 255
        && repository.split('/').all(part)
        && tag.is_none_or(tagged)
        && digest.is_none_or(digested);
    let own = str::to_owned;
    let registry = registry.to_owned();
    valid.then(|| match (tag, digest) {
        (Some(tag), Some(digest)) => {
            Reference::with_tag_and_digest(registry, repository, own(tag), own(digest))
        }
        (None, Some(digest)) => Reference::with_digest(registry, repository, own(digest)),
        (tag, None) => Reference::with_tag(registry, repository, own(tag.unwrap_or("latest"))),
    })
}

/// The client for the registries of these images.
fn client(images: &BTreeSet<String>, extra_ca: Option<&str>) -> Client {
    let references = images.iter().filter_map(|image| reference(image));
    let registries = references.map(|reference| reference.resolve_registry().to_owned());
    // As every container engine does: a registry on this machine is spoken to without TLS.
    let local = |registry: &String| {
        let host = registry
            .rsplit_once(':')
            .map_or(registry.as_str(), |(host, _)| host);
        host == "localhost" || host == "127.0.0.1"
    };
    Client::new(ClientConfig {
        protocol: ClientProtocol::HttpsExcept(registries.filter(local).collect()),
        extra_root_certificates: extra_ca
            .map(|pem| Certificate {
                encoding: CertificateEncoding::Pem,
                data: pem.as_bytes().to_vec(),
            })
            .into_iter()
            .collect(),
        // Which platform is asked does not matter for the label; clusters of Linux nodes are the rule.
        platform_resolver: Some(Box::new(oci_client::client::linux_amd64_resolver)),
        read_timeout: Some(PATIENCE),
        connect_timeout: Some(PATIENCE),
        user_agent: concat!("preview-action/", env!("CARGO_PKG_VERSION")),
        ..ClientConfig::default()
    })
}

/// The entry for a registry: `auth`, or `username` and `password`.
fn credential(dockerconfig: &Secret, registry: &str) -> RegistryAuth {
    let find = || -> Option<RegistryAuth> {
        let config: Value = serde_json::from_str(dockerconfig.expose()).ok()?;
        let auths = config.get("auths")?.as_object()?;
        let bare = |name: &str| {
            let name = name
                .trim_start_matches("https://")
                .trim_start_matches("http://");
            name.split('/').next().unwrap_or(name).to_owned()
        };
        let (_, entry) = auths.iter().find(|(name, _)| bare(name) == registry)?;
        let text = |key: &str| entry.get(key).and_then(Value::as_str);
        if let (Some(user), Some(password)) = (text("username"), text("password")) {
            return Some(RegistryAuth::Basic(user.into(), password.into()));
        }
        let decoded = String::from_utf8(STANDARD.decode(text("auth")?).ok()?).ok()?;
        let (user, password) = decoded.split_once(':')?;
        Some(RegistryAuth::Basic(user.into(), password.into()))
    };
    find().unwrap_or(RegistryAuth::Anonymous)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;
    use axum::{
        Router,
        http::{HeaderMap, StatusCode},
        routing::get,
    };
    use sha2::{Digest as _, Sha256};

    async fn asked(
        image: &str,
        credentials: Option<&Secret>,
    ) -> Result<Option<CommitSha>, RegistryError> {
        let client = client(&BTreeSet::from([image.to_owned()]), None);
        revision(&client, image, credentials).await
    }

    fn sha() -> CommitSha {
        "0123456789abcdef0123456789abcdef01234567".parse().unwrap()
    }

    async fn registry(config: &'static str, user: Option<&'static str>) -> String {
        let digest = format!("sha256:{:x}", Sha256::digest(config));
        let manifest = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest, "size": config.len()},
            "layers": [],
        })
        .to_string();
        let allowed = move |headers: &HeaderMap| match user {
            None => true,
            Some(user) => {
                let wanted = format!("Basic {}", STANDARD.encode(user));
                headers
                    .get("authorization")
                    .is_some_and(|value| *value == *wanted)
            }
        };
        let refused = || {
            (
                StatusCode::UNAUTHORIZED,
                [
                    ("www-authenticate", "Basic realm=\"r\""),
                    ("content-type", "text/plain"),
                ],
                String::new(),
            )
        };
        let app = Router::new()
            .route(
                "/v2/",
                get(move |headers| async move {
                    if allowed(&headers) {
                        (
                            StatusCode::OK,
                            [("x", "y"), ("content-type", "text/plain")],
                            String::new(),
                        )
                    } else {
                        refused()
                    }
                }),
            )
            .route(
                "/v2/web/manifests/{tag}",
                get(move |headers| async move {
                    if !allowed(&headers) {
                        return refused();
                    }
                    (
                        StatusCode::OK,
                        [
                            ("x", "y"),
                            ("content-type", "application/vnd.oci.image.manifest.v1+json"),
                        ],
                        manifest,
                    )
                }),
            )
            .route(
                "/v2/web/blobs/{digest}",
                get(move |headers| async move {
                    if allowed(&headers) {
                        (
                            StatusCode::OK,
                            [("x", "y"), ("content-type", "text/plain")],
                            config.to_owned(),
                        )
                    } else {
                        refused()
                    }
                }),
            );
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await });
        format!("{address}/web:tag")
    }

    const LABELLED: &str = r#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]},"config":{"Labels":{"org.opencontainers.image.revision":"0123456789abcdef0123456789abcdef01234567"}}}"#;
    const SILENT: &str = r#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]},"config":{}}"#;

    #[tokio::test]
    async fn an_image_says_which_commit_it_is_from() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let image = registry(LABELLED, None).await;
        assert_eq!(asked(&image, None).await.unwrap(), Some(sha()));
        let image = registry(SILENT, None).await;
        assert_eq!(asked(&image, None).await.unwrap(), None);
    }

    #[tokio::test]
    async fn images_that_do_not_say_are_left_out() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let says = registry(LABELLED, None).await;
        let images = [
            says.clone(),
            registry(SILENT, None).await,
            "127.0.0.1:1/web:1".into(),
            "NOT AN IMAGE".into(),
        ];
        let known = revisions(images.into(), None, None).await;
        assert_eq!(known, BTreeMap::from([(says, sha())]));
    }

    #[tokio::test]
    async fn the_pull_secret_is_used_for_its_own_registry_only() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let image = registry(LABELLED, Some("robot:hunter2")).await;
        let host = image.split('/').next().unwrap();
        let secret = |host: &str| {
            Secret::new(
                serde_json::json!({"auths": {host: {"auth": STANDARD.encode("robot:hunter2")}}})
                    .to_string(),
            )
        };
        assert_eq!(
            asked(&image, Some(&secret(host))).await.unwrap(),
            Some(sha())
        );
        let error = asked(&image, Some(&secret("ghcr.io"))).await.unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }

    #[test]
    fn names_are_taken_apart_as_the_library_does() {
        let digest = format!("sha256:{}", "a1".repeat(32));
        let names = [
            "web",
            "web:1",
            "acme/web",
            "acme/web:v1.2-rc",
            "ghcr.io/acme/web:1",
            "localhost/web",
            "localhost:5000/a/b:x",
            "docker.io/web",
            "index.docker.io/web:2",
            "docker.io/acme/web",
            "registry.example:5000/deep/er/web",
            "registry.example/a_b/c-d/e.f:T_1",
            "",
            "WEB",
            "acme/Web",
            "web:",
            "web:-x",
            "web:a b",
            "a//b",
            "/a",
            "a/",
            "ghcr.io/",
            "web@sha256:12",
            "web@",
            "-a",
            "a-",
            "ghcr.io/acme/web:tag:tag",
            "NOT AN IMAGE",
        ];
        let mut all: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        all.extend(["web", "ghcr.io/acme/web", "web:1"].map(|name| format!("{name}@{digest}")));
        for name in all {
            let theirs = name.parse::<Reference>().ok().map(|one| one.whole());
            let ours = reference(&name).map(|one| one.whole());
            assert_eq!(ours, theirs, "{name}");
        }
    }

    #[tokio::test]
    async fn a_registry_that_is_not_there_is_an_error() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        assert!(matches!(
            asked("127.0.0.1:1/web:1", None).await,
            Err(RegistryError::Refused { .. })
        ));
        assert!(matches!(
            asked("NOT AN IMAGE", None).await,
            Err(RegistryError::Reference(_))
        ));
    }
}
