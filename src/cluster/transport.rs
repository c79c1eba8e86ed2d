//! Turns a configuration into a client whose requests share one HTTP/2 connection where the server speaks it.
//! It knows no verb and repeats only what the server says that it has not begun; whom to trust and which proxy to use is decided by whoever calls it.
//! kube's own connector speaks HTTP/1.1, where requests sent at once each wait for a handshake of their own: twice the round trip.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderValue, header::AUTHORIZATION};
use kube::{
    Config,
    client::{Body, ClientBuilder, ConfigExt},
    config::AuthInfo,
};
use reqwest::{Certificate, Identity};
use secrecy::ExposeSecret;
use std::{error::Error, net::SocketAddr, sync::Arc, time::Duration};

type AnyError = Box<dyn Error + Send + Sync>;

/// Builds the client; `config.proxy_url` carries every request if it is set.
///
/// With `config.tls_server_name`, the server has to be that name's; it goes without a proxy then, because a proxy would
/// be asked for the name.
pub(super) fn client(mut config: Config) -> Result<kube::Client, AnyError> {
    let mut http = http(&config)?;
    if let Some(name) = &config.tls_server_name {
        let server = std::mem::take(&mut config.cluster_url);
        let real = server.host().unwrap_or_default().trim_matches(['[', ']']);
        http = http.dns_resolver(Elsewhere(real.to_owned()));
        config.cluster_url = named(&server, name)?;
    }
    let http = http.build()?;
    let credential = Arc::new(Credential::of(&config.auth_info)?);
    let service =
        tower::service_fn(move |request| carry(http.clone(), credential.clone(), request));
    let builder = ClientBuilder::new(service, config.default_namespace.clone())
        .with_layer(&config.base_uri_layer())
        .with_layer(&config.extra_headers_layer()?);
    Ok(builder.build())
}

fn http(config: &Config) -> Result<reqwest::ClientBuilder, AnyError> {
    let roots = config.root_cert.iter().flatten();
    let roots: Result<Vec<_>, _> = roots.map(|der| Certificate::from_der(der)).collect();
    let mut builder = reqwest::Client::builder()
        .tls_certs_only(roots?)
        .tls_danger_accept_invalid_certs(config.accept_invalid_certs)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        // A connection that died without a word would hold a watch for ever.
        .http2_keep_alive_interval(Duration::from_secs(30))
        .http2_keep_alive_timeout(Duration::from_secs(20));
    if let Some(pem) = identity(&config.auth_info)? {
        builder = builder.identity(Identity::from_pem(&pem)?);
    }
    if let Some(patience) = config.connect_timeout {
        builder = builder.connect_timeout(patience);
    }
    if let Some(proxy) = &config.proxy_url {
        builder = builder.proxy(reqwest::Proxy::all(proxy.to_string())?);
    }
    Ok(builder)
}

/// A user's client certificate and its key in PEM, if it has any; the inline form wins over the file, as kubectl has it.
fn identity(user: &AuthInfo) -> Result<Option<Vec<u8>>, AnyError> {
    let certificate = content(
        user.client_certificate_data.as_deref(),
        user.client_certificate.as_deref(),
    )?;
    let data = user.client_key_data.as_ref();
    let key = content(
        data.map(ExposeSecret::expose_secret),
        user.client_key.as_deref(),
    )?;
    match (certificate, key) {
        (None, None) => Ok(None),
        (Some(mut pem), Some(key)) => {
            pem.push(b'\n');
            pem.extend(key);
            Ok(Some(pem))
        }
        _ => Err("a client certificate and its key have to come together".into()),
    }
}

/// What a kubeconfig holds in base64, or the file that it names instead.
fn content(inline: Option<&str>, file: Option<&str>) -> Result<Option<Vec<u8>>, AnyError> {
    let filled = |text: &&str| !text.is_empty();
    if let Some(data) = inline.filter(filled) {
        let text: String = data.split_whitespace().collect();
        return Ok(Some(STANDARD.decode(text)?));
    }
    file.filter(filled)
        .map(|file| Ok(std::fs::read(file)?))
        .transpose()
}

/// What a user of a kubeconfig proves itself by, in the order in which kubectl takes it; a client certificate is TLS's part.
enum Credential {
    None,
    Header(HeaderValue),
    /// A token that others renew, so it is read for every request.
    File(String),
}

impl Credential {
    fn of(user: &AuthInfo) -> Result<Self, AnyError> {
        if let (Some(name), Some(password)) = (&user.username, &user.password) {
            let pair = STANDARD.encode(format!("{name}:{}", password.expose_secret()));
            return Ok(Self::Header(sensitive(&format!("Basic {pair}"))?));
        }
        if let Some(token) = &user.token {
            let token = token.expose_secret();
            return Ok(Self::Header(sensitive(&format!("Bearer {token}"))?));
        }
        Ok(match &user.token_file {
            Some(file) => Self::File(file.clone()),
            None => Self::None,
        })
    }

    async fn header(&self) -> Result<Option<HeaderValue>, AnyError> {
        Ok(match self {
            Self::None => None,
            Self::Header(value) => Some(value.clone()),
            Self::File(file) => {
                let token = tokio::fs::read_to_string(file).await.map_err(|error| {
                    format!("the kubeconfig's tokenFile cannot be read: {error}")
                })?;
                Some(sensitive(&format!("Bearer {}", token.trim()))?)
            }
        })
    }
}

fn sensitive(text: &str) -> Result<HeaderValue, AnyError> {
    let mut value = HeaderValue::from_str(text)?;
    value.set_sensitive(true);
    Ok(value)
}

async fn carry(
    http: reqwest::Client,
    credential: Arc<Credential>,
    request: http::Request<Body>,
) -> Result<http::Response<reqwest::Body>, AnyError> {
    let (mut head, body) = request.into_parts();
    if let Some(value) = credential.header().await? {
        head.headers.insert(AUTHORIZATION, value);
    }
    let path = head.uri.path().to_owned();
    let bytes = body.collect_bytes().await?;
    let request = reqwest::Request::try_from(http::Request::from_parts(head, bytes))?;
    // A URL drops `..`, and then another object would be meant.
    if request.url().path() != path {
        return Err(format!("{path} is no path of an object").into());
    }
    Ok(http.execute(request).await?.into())
}

/// The address of a server under the name that its certificate has.
fn named(server: &http::Uri, name: &str) -> Result<http::Uri, AnyError> {
    if name.parse::<std::net::IpAddr>().is_ok() {
        return Err("tls-server-name is an address and no name".into());
    }
    let mut parts = server.clone().into_parts();
    let authority = match server.port_u16() {
        Some(port) => format!("{name}:{port}"),
        None => name.to_owned(),
    };
    parts.authority = Some(authority.parse()?);
    Ok(http::Uri::from_parts(parts)?)
}

/// Finds every name at one host.
struct Elsewhere(String);

impl reqwest::dns::Resolve for Elsewhere {
    fn resolve(&self, _: reqwest::dns::Name) -> reqwest::dns::Resolving {
        let host = self.0.clone();
        Box::pin(async move {
            // The connector puts the port in.
            let found = tokio::net::lookup_host((host, 0)).await?;
            Ok(Box::new(found) as Box<dyn Iterator<Item = SocketAddr> + Send>)
        })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use hyper_util::{
        rt::{TokioExecutor, TokioIo},
        server::conn::auto::Builder,
        service::TowerToHyperService,
    };
    use rustls::{pki_types::PrivateKeyDer, server::WebPkiClientVerifier};
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// A port that speaks TLS with these protocols, to `user` alone if one is named, and how to reach it.
    async fn listen(
        protocols: &[&str],
        user: Option<&rcgen::Certificate>,
    ) -> (tokio::net::TcpListener, tokio_rustls::TlsAcceptor, Config) {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let tls = rustls::ServerConfig::builder();
        let mut tls = match user {
            None => tls.with_no_client_auth(),
            Some(user) => {
                let mut users = rustls::RootCertStore::empty();
                users.add(user.der().clone()).unwrap();
                let verifier = WebPkiClientVerifier::builder(Arc::new(users));
                tls.with_client_cert_verifier(verifier.build().unwrap())
            }
        }
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
        let names = protocols.iter().map(|name| name.as_bytes().to_vec());
        tls.alpn_protocols = names.collect();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut config = Config::new(format!("https://localhost:{port}").parse().unwrap());
        config.root_cert = Some(vec![made.cert.der().to_vec()]);
        (listener, Arc::new(tls).into(), config)
    }

    /// A server that answers `{}` once as many requests as it was told wait at the same time; counts its connections.
    async fn server(
        protocols: &[&str],
        together: usize,
        user: Option<&rcgen::Certificate>,
    ) -> (Config, Arc<AtomicUsize>) {
        let (listener, acceptor, config) = listen(protocols, user).await;
        let connections = Arc::new(AtomicUsize::new(0));
        let all = Arc::new(tokio::sync::Barrier::new(together));
        let router = axum::Router::new()
            .route("/first", axum::routing::get(async || "{}"))
            .fallback(move || {
                let all = all.clone();
                async move {
                    all.wait().await;
                    "{}"
                }
            });
        let counted = connections.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                let (acceptor, router) = (acceptor.clone(), router.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(socket).await else {
                        return;
                    };
                    let stream = TokioIo::new(stream);
                    let service = TowerToHyperService::new(router);
                    let builder = Builder::new(TokioExecutor::new());
                    let _ = builder.serve_connection(stream, service).await;
                });
            }
        });
        (config, connections)
    }

    async fn get(client: &kube::Client, path: &str) -> Result<String, kube::Error> {
        let request = http::Request::get(path).body(Vec::new()).unwrap();
        client.request_text(request).await
    }

    #[tokio::test]
    async fn requests_at_the_same_time_share_a_connection_where_the_server_can() {
        for (protocols, expected) in [
            (vec!["h2", "http/1.1"], 1),
            (vec!["http/1.1"], 8),
            (vec![], 8),
        ] {
            let (config, connections) = server(&protocols, 8, None).await;
            let client = client(config).unwrap();
            assert_eq!(get(&client, "/first").await.unwrap(), "{}");
            let all = (0..8).map(|_| get(&client, "/together"));
            for answer in futures::future::join_all(all).await {
                assert_eq!(answer.unwrap(), "{}");
            }
            assert_eq!(
                connections.load(Ordering::SeqCst),
                expected,
                "{protocols:?}"
            );
        }
    }

    #[tokio::test]
    async fn a_user_proves_itself_as_with_kubectl() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("token");
        let path = file.to_string_lossy().into_owned();
        let secret = |text: &str| Some(text.to_owned().into());
        let user = AuthInfo {
            token_file: Some(path),
            ..Default::default()
        };
        let credential = Credential::of(&user).unwrap();
        let error = credential.header().await.unwrap_err().to_string();
        assert!(
            error.starts_with("the kubeconfig's tokenFile cannot be read"),
            "{error}"
        );
        for token in ["first", "second"] {
            std::fs::write(&file, format!("{token}\n")).unwrap();
            let value = credential.header().await.unwrap().unwrap();
            assert_eq!(value, format!("Bearer {token}"));
            assert!(value.is_sensitive());
        }
        let user = AuthInfo {
            token: secret("inline"),
            ..user
        };
        let value = Credential::of(&user).unwrap().header().await.unwrap();
        assert_eq!(value.unwrap(), "Bearer inline");
        let user = AuthInfo {
            username: Some("Aladdin".into()),
            password: secret("open sesame"),
            ..user
        };
        let value = Credential::of(&user).unwrap().header().await.unwrap();
        assert_eq!(value.unwrap(), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        let none = Credential::of(&AuthInfo::default()).unwrap();
        assert_eq!(none.header().await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_client_certificate_comes_with_its_key_from_text_or_file() {
        let made = rcgen::generate_simple_self_signed(vec!["alice".into()]).unwrap();
        let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("alice.key");
        std::fs::write(&file, &key).unwrap();
        let inline = AuthInfo {
            client_certificate_data: Some(STANDARD.encode(&certificate)),
            client_key_data: Some(STANDARD.encode(&key).into()),
            ..Default::default()
        };
        let named = AuthInfo {
            client_key_data: None,
            client_key: Some(file.to_string_lossy().into_owned()),
            ..inline.clone()
        };
        let (server, _) = server(&["h2"], 1, Some(&made.cert)).await;
        get(&client(server.clone()).unwrap(), "/first")
            .await
            .unwrap_err();
        for user in [inline.clone(), named] {
            let pem = identity(&user).unwrap().unwrap();
            assert_eq!(
                String::from_utf8(pem).unwrap(),
                format!("{certificate}\n{key}")
            );
            let mut config = server.clone();
            config.auth_info = user;
            assert_eq!(get(&client(config).unwrap(), "/first").await.unwrap(), "{}");
        }
        let half = AuthInfo {
            client_key_data: None,
            ..inline.clone()
        };
        assert!(identity(&half).is_err());
        let strange = AuthInfo {
            client_key_data: Some("aHVudGVyMg==".to_owned().into()),
            ..inline
        };
        let mut config = server;
        config.auth_info = strange;
        let error = client(config).err().unwrap();
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        assert_eq!(identity(&AuthInfo::default()).unwrap(), None);
    }

    #[tokio::test]
    async fn what_a_server_has_not_begun_is_sent_again_whatever_the_verb() {
        let (listener, acceptor, config) = listen(&["h2"], None).await;
        let server = tokio::spawn(async move {
            let (socket, _) = listener.accept().await.unwrap();
            let stream = acceptor.accept(socket).await.unwrap();
            let mut connection = h2::server::handshake(stream).await.unwrap();
            let mut methods = Vec::new();
            while let Some(Ok((request, mut respond))) = connection.accept().await {
                methods.push(request.method().clone());
                if methods.len() == 1 {
                    respond.send_reset(h2::Reason::REFUSED_STREAM);
                    continue;
                }
                let answer = http::Response::new(());
                let mut body = respond.send_response(answer, false).unwrap();
                body.send_data("{}".into(), true).unwrap();
                connection.graceful_shutdown();
            }
            methods
        });
        let request = http::Request::post("/first").body(Vec::new()).unwrap();
        let client = client(config).unwrap();
        assert_eq!(client.request_text(request).await.unwrap(), "{}");
        assert_eq!(server.await.unwrap(), ["POST", "POST"]);
    }

    #[tokio::test]
    async fn a_path_that_leads_elsewhere_is_not_asked_for() {
        let (config, connections) = server(&["h2"], 1, None).await;
        let client = client(config).unwrap();
        for path in [
            "/api/v1/namespaces/a/configmaps/..",
            "/api/./v1",
            "/api/%2e%2e/v1",
        ] {
            get(&client, path).await.unwrap_err();
        }
        assert_eq!(connections.load(Ordering::SeqCst), 0);
    }
}
