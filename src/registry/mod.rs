//! Asks an image's registry which commit the image says it was built from.
//! It pulls no layer, changes nothing, and knows no preview.
//! A tag can be pushed again: only the image itself knows its commit, and the kubelet does not pass its labels on.

mod ask;
mod credential;
mod reference;

pub use credential::secrets_in;

use crate::names::{CommitSha, Secret, cut};
use ask::{Registries, Unanswered};
use reference::reference;
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
    /// The registry answered, and has no such image.
    #[error("registry {registry} has no such image")]
    Absent {
        /// Host of the registry.
        registry: String,
    },
    /// It took too long.
    #[error("registry {registry} did not answer within {} s", PATIENCE.as_secs())]
    Slow {
        /// Host of the registry.
        registry: String,
    },
}

/// How registries are asked.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Certificate authorities to trust as well, as PEM.
    pub extra_ca: Option<String>,
    /// True when a registry may be on this machine; only tests and the simulated world have one there.
    pub allow_loopback: bool,
}

/// The commits that images say they were built from, each image asked once; one that does not say or cannot be asked is left out.
///
/// `credentials` is the text of a `.dockerconfigjson`; a registry without an entry there is asked anonymously. All are asked by
/// one client, because making one reads every authority that the system trusts; meanwhile requests to the cluster go on.
pub async fn revisions(
    images: BTreeSet<String>,
    credentials: Option<Secret>,
    options: Options,
) -> BTreeMap<String, CommitSha> {
    let known = ask(images, credentials, options).await.into_iter();
    let known = known.filter_map(|(image, answer)| match answer {
        Ok(revision) => Some((image, revision?)),
        Err(error) => {
            tracing::debug!(image, "the image's commit is not known: {error}");
            None
        }
    });
    known.collect()
}

/// The same with why the others could not be had; nothing where no client can be made.
pub async fn ask(
    images: BTreeSet<String>,
    credentials: Option<Secret>,
    options: Options,
) -> Vec<(String, Result<Option<CommitSha>, RegistryError>)> {
    if images.is_empty() {
        return Vec::new();
    }
    let making = tokio::task::spawn_blocking(move || Registries::new(&options));
    let Ok(Ok(registries)) = making.await else {
        return Vec::new();
    };
    let asked = images.into_iter().map(async |image| {
        let revision = revision(&registries, &image, credentials.as_ref()).await;
        (image, revision)
    });
    futures::future::join_all(asked).await
}

async fn revision(
    registries: &Registries,
    image: &str,
    credentials: Option<&Secret>,
) -> Result<Option<CommitSha>, RegistryError> {
    let reference = reference(image).ok_or_else(|| RegistryError::Reference(cut(image, 200)))?;
    let registry = reference.host().to_owned();
    let login = credentials.and_then(|text| credential::login(text, &registry));
    let asked = registries.configuration(&reference, login.as_ref());
    let answer = tokio::time::timeout(PATIENCE, asked)
        .await
        .map_err(|_| RegistryError::Slow {
            registry: registry.clone(),
        })?;
    let config = answer.map_err(|why| match why {
        Unanswered::Absent => RegistryError::Absent { registry },
        Unanswered::Refused(cause) => RegistryError::Refused { registry, cause },
    })?;
    Ok(labelled(&config))
}

fn labelled(config: &Value) -> Option<CommitSha> {
    let labels = config.get("config")?.get("Labels")?;
    labels.get(REVISION)?.as_str()?.parse().ok()
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
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use sha2::{Digest as _, Sha256};

    async fn asked(
        image: &str,
        credentials: Option<&Secret>,
    ) -> Result<Option<CommitSha>, RegistryError> {
        let registries = Registries::new(&local()).unwrap();
        revision(&registries, image, credentials).await
    }

    fn local() -> Options {
        Options {
            allow_loopback: true,
            ..Options::default()
        }
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
        let known = revisions(images.into(), None, local()).await;
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

    #[tokio::test]
    async fn only_an_image_that_is_not_there_is_absent() {
        let serve = async |token: StatusCode, image: StatusCode| {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let realm = format!("Bearer realm=\"http://{address}/token\"");
            let manifest = move |headers: HeaderMap| async move {
                match headers.contains_key("authorization") {
                    true => (image, [("www-authenticate", String::new())]),
                    false => (StatusCode::UNAUTHORIZED, [("www-authenticate", realm)]),
                }
            };
            let given = move || async move { (token, r#"{"token": "t"}"#) };
            let app = Router::new()
                .route("/token", get(given))
                .route("/v2/web/manifests/there", get(manifest));
            tokio::spawn(async { axum::serve(listener, app).await });
            asked(&format!("{address}/web:there"), None)
                .await
                .unwrap_err()
        };
        let gone = serve(StatusCode::OK, StatusCode::NOT_FOUND).await;
        assert!(matches!(gone, RegistryError::Absent { .. }), "{gone}");
        let lost = serve(StatusCode::NOT_FOUND, StatusCode::OK).await;
        assert!(lost.to_string().ends_with("it answers 404"), "{lost}");
        let hidden = serve(StatusCode::OK, StatusCode::FORBIDDEN).await;
        assert!(matches!(hidden, RegistryError::Refused { .. }), "{hidden}");
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

    #[tokio::test]
    async fn what_a_pull_request_names_leads_nowhere_that_is_never_asked() {
        let near = Registries::new(&Options::default()).unwrap();
        for image in [
            "169.254.169.254/latest/meta-data:1",
            "169.254.169.254:80/latest:1",
            "127.0.0.1:5000/web:1",
            "localhost:5000/web:1",
            "[::1]:5000/web:1",
            "[fd00:ec2::254]/web:1",
            "0.0.0.0:5000/web:1",
        ] {
            let error = revision(&near, image, None).await.unwrap_err();
            assert!(
                error.to_string().contains("may be asked"),
                "{image}: {error}"
            );
        }
        // The same for a name that leads there.
        let served = registry(LABELLED, None).await;
        let named = served.replace("127.0.0.1", "localhost");
        assert!(revision(&near, &named, None).await.is_err());
    }

    /// A registry that answers everything with this status and header.
    async fn sends_to(status: StatusCode, name: &'static str, value: String) -> String {
        let app = Router::new().fallback(move || {
            let value = value.clone();
            async move { (status, [(name, value)], "") }
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await });
        format!("{address}/web:tag")
    }

    #[tokio::test]
    async fn where_a_registry_sends_us_counts_as_well() {
        let metadata = "http://169.254.169.254/latest/";
        let realm =
            format!("Bearer realm=\"{metadata}\",service=\"r\",scope=\"repository:web:pull,push\"");
        let image = sends_to(StatusCode::UNAUTHORIZED, "www-authenticate", realm).await;
        let error = asked(&image, None).await.unwrap_err();
        assert!(error.to_string().contains("may be asked"), "{error}");
        let image = sends_to(StatusCode::TEMPORARY_REDIRECT, "location", metadata.into()).await;
        let error = asked(&image, None).await.unwrap_err();
        assert!(error.to_string().contains("307"), "{error}");
    }

    #[tokio::test]
    async fn each_request_is_a_line_of_the_debug_log() {
        #[derive(Clone, Default)]
        struct Lines(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);
        impl std::io::Write for Lines {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0.lock().unwrap().extend_from_slice(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_max_level(tracing::Level::DEBUG)
            .with_writer(move || writer.clone())
            .finish();
        let guard = tracing::subscriber::set_default(subscriber);
        let image = registry(LABELLED, Some("robot:hunter-two")).await;
        let host = image.split('/').next().unwrap();
        let auth = STANDARD.encode("robot:hunter-two");
        let secret = Secret::new(serde_json::json!({"auths": {host: {"auth": auth}}}).to_string());
        asked(&image, Some(&secret)).await.unwrap();
        drop(guard);
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let told: Vec<&str> = text
            .lines()
            .filter(|line| line.contains("registry answered"))
            .collect();
        // Manifest and configuration, each refused once.
        for (line, (path, status)) in told.iter().zip([
            ("/v2/web/manifests/tag", 401),
            ("/v2/web/manifests/tag", 200),
            ("/v2/web/blobs/", 401),
            ("/v2/web/blobs/", 200),
        ]) {
            for part in ["GET", path, &format!("http.status={status}"), "elapsed_ms="] {
                assert!(line.contains(part), "no {part} in {line}");
            }
        }
        assert_eq!(told.len(), 4, "{text}");
        assert!(
            !text.contains(&auth) && !text.contains("hunter-two"),
            "{text}"
        );
    }
}
