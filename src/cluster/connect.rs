//! Turns the text of a kubeconfig into a client: trust, credential, proxy and time-outs all decided here.
//! It must not read the environment or a default kubeconfig; whoever calls it hands over everything.
//! `Config::infer` is not used, because it reads debugging variables and compares NO_PROXY with the proxy instead of the server.

use super::{
    Cluster,
    error::ClusterError,
    kubeconfig::{self, Files, problem},
    retry::RetryPolicy,
    transport,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use kube::Config;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use secrecy::{ExposeSecret, SecretString};
use std::time::Duration;

/// What is needed to reach a cluster.
#[derive(Debug, Clone)]
pub struct ConnectOptions<'a> {
    /// Text of the kubeconfig.
    pub kubeconfig: &'a crate::names::Secret,
    /// Context to use; the current one if none.
    pub context: Option<&'a str>,
    /// Whether the kubeconfig may name files.
    pub files: Files,
    /// Certificates in PEM to trust besides those of the kubeconfig.
    pub extra_ca: Option<&'a str>,
    /// `User-Agent` of every request.
    pub user_agent: &'a str,
    /// Proxy, if any.
    pub proxy: Proxy<'a>,
    /// How patient requests are.
    pub retry: RetryPolicy,
    /// Divides every grace of the readiness gate; 1 except in worlds that play faster than life.
    pub haste: u32,
}

impl<'a> ConnectOptions<'a> {
    /// The options of a container action without a proxy: current context, no files, the usual patience.
    pub fn new(kubeconfig: &'a crate::names::Secret) -> Self {
        Self {
            kubeconfig,
            context: None,
            files: Files::Refused,
            extra_ca: None,
            user_agent: concat!("preview-action/", env!("CARGO_PKG_VERSION")),
            proxy: Proxy::default(),
            retry: RetryPolicy::default(),
            haste: 1,
        }
    }
}

/// The proxy that the environment names.
#[derive(Debug, Clone, Copy, Default)]
pub struct Proxy<'a> {
    /// `HTTPS_PROXY`.
    pub https: Option<&'a str>,
    /// `NO_PROXY`.
    pub except: Option<&'a str>,
}

impl Cluster {
    /// Prepares to speak to the cluster that a kubeconfig names; nothing is sent yet.
    ///
    /// Needs a process-wide rustls provider and must be called inside a tokio runtime.
    pub fn connect(options: &ConnectOptions<'_>) -> Result<Self, ClusterError> {
        let text = options.kubeconfig.expose();
        let entry = kubeconfig::read(text, options.context, options.files)?;
        let server = entry.cluster.server.clone().unwrap_or_default();
        let server = server.trim().trim_end_matches('/').to_owned();
        let url: http::Uri = server.parse().map_err(|_| server_problem())?;
        let (Some("http" | "https"), Some(host)) = (url.scheme_str(), url.host()) else {
            return Err(server_problem());
        };

        let mut config = Config::new(url.clone());
        config.default_retry = false;
        // Each request has a time-out of its own; a watch must outlive any.
        config.connect_timeout = Some(Duration::from_secs(10));
        let named = entry.cluster.proxy_url.as_deref();
        config.proxy_url = proxy(named, options.proxy, host, url.port_u16())?;
        config.accept_invalid_certs = entry.cluster.insecure_skip_tls_verify.unwrap_or(false);
        if config.accept_invalid_certs {
            tracing::warn!(server, "the kubeconfig turns certificate checks off");
        } else if url.scheme_str() == Some("https") {
            config.root_cert = Some(trusted(&entry.cluster, options.extra_ca)?);
        }
        config.tls_server_name = entry.cluster.tls_server_name.clone();
        if config.tls_server_name.is_some() && config.proxy_url.is_some() {
            return Err(problem(
                "the kubeconfig has a tls-server-name and the cluster is behind a proxy",
                "remove tls-server-name and use the server's real name, or except the server by NO_PROXY",
            ));
        }
        config.auth_info = entry.user;
        if let Some(token) = &config.auth_info.token {
            // Secrets that were pasted end in a line break, which no header may hold.
            let token = token.expose_secret().trim().to_owned();
            config.auth_info.token = Some(SecretString::from(token));
        }
        let agent = http::HeaderValue::from_str(options.user_agent).map_err(|_| {
            problem(
                "the user agent is no header value",
                "use ASCII letters only",
            )
        })?;
        config.headers.push((http::header::USER_AGENT, agent));

        // kube's text names files or repeats what it could not read, so it is not passed on.
        let client = transport::client(config).map_err(|_| {
            problem(
                "the kubeconfig's credentials or certificates cannot be used",
                "make it with `kubectl config view --minify --flatten --raw`, and check that token, client certificate and key are whole",
            )
        })?;
        Ok(Self {
            client,
            server,
            retry: options.retry,
            seen: Default::default(),
            clock: Default::default(),
            haste: options.haste.max(1),
        })
    }
}

fn server_problem() -> ClusterError {
    problem(
        "the kubeconfig's server is no address such as https://cluster.example.com:6443",
        "make it with `kubectl config view --minify --flatten --raw`",
    )
}

/// Every certificate that may have signed the server's: the kubeconfig's, else the system's, else Mozilla's list.
fn trusted(
    cluster: &kube::config::Cluster,
    extra: Option<&str>,
) -> Result<Vec<Vec<u8>>, ClusterError> {
    let unreadable = |what: &str| {
        problem(
            format!("{what} holds no certificate in PEM"),
            "make the kubeconfig with `kubectl config view --minify --flatten --raw`",
        )
    };
    let mut roots = if let Some(data) = &cluster.certificate_authority_data {
        let what = "certificate-authority-data of the kubeconfig";
        let text: String = data.split_whitespace().collect();
        let pem = STANDARD.decode(text).map_err(|_| unreadable(what))?;
        certificates(&pem).ok_or_else(|| unreadable(what))?
    } else if let Some(file) = &cluster.certificate_authority {
        let what = "certificate-authority of the kubeconfig";
        let pem = std::fs::read(file).map_err(|_| unreadable(what))?;
        certificates(&pem).ok_or_else(|| unreadable(what))?
    } else {
        let native = rustls_native_certs::load_native_certs().certs;
        let bundled = || webpki_root_certs::TLS_SERVER_ROOT_CERTS.to_vec();
        let roots = if native.is_empty() { bundled() } else { native };
        roots.iter().map(|root| root.to_vec()).collect()
    };
    if let Some(extra) = extra {
        let what = "the input ca-bundle";
        roots.extend(certificates(extra.as_bytes()).ok_or_else(|| unreadable(what))?);
    }
    Ok(roots)
}

/// The certificates of a PEM text; none when there is none or one is broken.
fn certificates(pem: &[u8]) -> Option<Vec<Vec<u8>>> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let all = all.ok().filter(|all| !all.is_empty())?;
    Some(all.iter().map(|one| one.to_vec()).collect())
}

/// The proxy for this server: the kubeconfig's own, else the environment's unless the server is an exception.
fn proxy(
    named: Option<&str>,
    environment: Proxy<'_>,
    host: &str,
    port: Option<u16>,
) -> Result<Option<http::Uri>, ClusterError> {
    let text = match named.filter(|text| !text.is_empty()) {
        Some(text) => text,
        None => match environment
            .https
            .map(str::trim)
            .filter(|text| !text.is_empty())
        {
            Some(text) if !is_exception(host, port, environment.except.unwrap_or_default()) => text,
            _ => return Ok(None),
        },
    };
    // A proxy's address may hold a password.
    let text = if text.contains("://") {
        text.to_owned()
    } else {
        format!("http://{text}")
    };
    match text.parse::<http::Uri>() {
        Ok(uri) if matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some() => {
            Ok(Some(uri))
        }
        _ => Err(problem(
            "the proxy for the cluster is no address such as http://proxy.example.com:3128",
            "correct proxy-url in the kubeconfig, or HTTPS_PROXY; SOCKS is not supported",
        )),
    }
}

/// Whether NO_PROXY names a host: by name, by parent domain, by address or by range.
fn is_exception(host: &str, port: Option<u16>, list: &str) -> bool {
    let host = host.trim_matches(['[', ']']).to_ascii_lowercase();
    let address: Option<std::net::IpAddr> = host.parse().ok();
    list.split(',')
        .map(str::trim)
        .filter(|entry| !entry.is_empty())
        .any(|entry| {
            let entry = entry.to_ascii_lowercase();
            if entry == "*" {
                return true;
            }
            if let (Some(address), Some((network, bits))) = (address, entry.split_once('/')) {
                return in_range(address, network, bits);
            }
            let (name, wanted) = match entry.rsplit_once(':') {
                Some((name, wanted)) if !name.contains(':') => {
                    (name.to_owned(), wanted.parse::<u16>().ok())
                }
                _ => (entry, None),
            };
            if wanted.is_some() && wanted != port {
                return false;
            }
            let name = name.trim_start_matches("*.").trim_start_matches('.');
            host == name || (address.is_none() && host.ends_with(&format!(".{name}")))
        })
}

fn in_range(address: std::net::IpAddr, network: &str, bits: &str) -> bool {
    use std::net::IpAddr::{V4, V6};
    let (Ok(network), Ok(bits)) = (network.parse(), bits.parse::<u32>()) else {
        return false;
    };
    match (address, network) {
        (V4(a), V4(n)) if bits <= 32 => {
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            u32::from(a) & mask == u32::from(n) & mask
        }
        (V6(a), V6(n)) if bits <= 128 => {
            let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
            u128::from(a) & mask == u128::from(n) & mask
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn no_proxy_is_compared_with_the_server() {
        for (list, host, expected) in [
            ("", "c.example.com", false),
            ("*", "c.example.com", true),
            ("example.com", "c.example.com", true),
            (".example.com", "c.example.com", true),
            ("example.com", "badexample.com", false),
            ("other.org, C.example.COM", "c.example.com", true),
            ("c.example.com:6443", "c.example.com", true),
            ("c.example.com:443", "c.example.com", false),
            ("10.0.0.0/8", "10.1.2.3", true),
            ("10.0.0.0/8", "11.1.2.3", false),
            ("10.0.0.0/x", "10.1.2.3", false),
            ("0.0.0.0/0", "11.1.2.3", true),
            ("fd00::/8", "[fd00::1]", true),
            ("1.2.3", "9.1.2.3", false),
        ] {
            assert_eq!(
                is_exception(host, Some(6443), list),
                expected,
                "{list} {host}"
            );
        }
    }

    #[test]
    fn the_kubeconfigs_proxy_wins_and_an_exception_goes_direct() {
        let environment = Proxy {
            https: Some("proxy.test:3128"),
            except: Some("c.test"),
        };
        let chosen = |named, host| {
            proxy(named, environment, host, None)
                .unwrap()
                .map(|uri| uri.to_string())
        };
        assert_eq!(chosen(None, "d.test").unwrap(), "http://proxy.test:3128/");
        assert_eq!(chosen(None, "c.test"), None);
        assert_eq!(
            chosen(Some("http://own:1"), "c.test").unwrap(),
            "http://own:1/"
        );
        let error = proxy(Some("socks5://u:hunter2@p:1"), environment, "d", None).unwrap_err();
        assert!(!format!("{error:?}").contains("hunter2"));
    }

    /// A server of one certificate that answers every request with what it was asked, as a Namespace.
    async fn tls_server(key: &rcgen::KeyPair, certificate: &rcgen::Certificate) -> u16 {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let key = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(config));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let Ok(mut stream) = acceptor.accept(socket).await else {
                    continue;
                };
                let mut request = vec![0; 4096];
                let length = stream.read(&mut request).await.unwrap_or(0);
                let request = String::from_utf8_lossy(&request[..length]).into_owned();
                let namespace = serde_json::json!({"metadata": {"name": "x", "uid": "u", "annotations": {"request": request}}});
                let body = namespace.to_string();
                let answer = format!(
                    "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                    body.len()
                );
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.shutdown().await;
            }
        });
        port
    }

    #[tokio::test]
    async fn a_server_may_have_the_name_that_the_kubeconfig_gives_it() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let made = rcgen::generate_simple_self_signed(vec!["cluster.test".into()]).unwrap();
        let port = tls_server(&made.signing_key, &made.cert).await;
        let data = STANDARD.encode(made.cert.pem());
        let connect = |name: &str, proxy| {
            let kubeconfig = crate::names::Secret::new(format!(
                "{{current-context: a, clusters: [{{name: c, cluster: {{server: 'https://127.0.0.1:{port}', tls-server-name: {name}, \
                 certificate-authority-data: {data}}}}}], users: [{{name: u, user: {{token: t}}}}], \
                 contexts: [{{name: a, context: {{cluster: c, user: u}}}}]}}"
            ));
            let mut options = ConnectOptions::new(&kubeconfig);
            options.proxy.https = proxy;
            Cluster::connect(&options)
        };
        let name = "x".parse().unwrap();
        let here = connect("cluster.test", None).unwrap();
        assert!(here.namespace(&name).await.unwrap().is_some());
        let elsewhere = connect("other.test", None).unwrap();
        let error = elsewhere.namespace(&name).await.unwrap_err();
        assert!(
            error.to_string().contains("is for another host name"),
            "{error}"
        );
        let error = connect("cluster.test", Some("proxy.test:3128"))
            .err()
            .unwrap();
        assert!(error.to_string().contains("tls-server-name"), "{error}");
    }

    #[tokio::test]
    async fn only_trusted_servers_see_the_token() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let authority_key = rcgen::KeyPair::generate().unwrap();
        let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let authority = parameters.self_signed(&authority_key).unwrap();
        let issuer = rcgen::Issuer::new(parameters, authority_key);
        let key = rcgen::KeyPair::generate().unwrap();
        let parameters = rcgen::CertificateParams::new(vec!["localhost".into()]).unwrap();
        let certificate = parameters.signed_by(&key, &issuer).unwrap();
        let port = tls_server(&key, &certificate).await;

        let kubeconfig = |cluster: &str| {
            crate::names::Secret::new(format!(
                "{{current-context: a, clusters: [{{name: c, cluster: {{server: 'https://localhost:{port}/'{cluster}}}}}], \
                 users: [{{name: u, user: {{token: \"hunter2\\n\"}}}}], contexts: [{{name: a, context: {{cluster: c, user: u}}}}]}}"
            ))
        };
        let pem = authority.pem();
        let inline = format!(", certificate-authority-data: {}", STANDARD.encode(&pem));
        let other = rcgen::generate_simple_self_signed(vec!["x".into()])
            .unwrap()
            .cert
            .pem();
        let name = "x".parse().unwrap();
        for (cluster, extra, trusted) in [
            ("", None, false),
            ("", Some(other.as_str()), false),
            ("", Some(pem.as_str()), true),
            (inline.as_str(), None, true),
            (inline.as_str(), Some(other.as_str()), true),
        ] {
            let kubeconfig = kubeconfig(cluster);
            let options = ConnectOptions {
                extra_ca: extra,
                ..ConnectOptions::new(&kubeconfig)
            };
            match Cluster::connect(&options).unwrap().namespace(&name).await {
                Ok(namespace) => {
                    assert!(trusted, "{cluster} {extra:?}");
                    let request = namespace.unwrap().annotations["request"].to_ascii_lowercase();
                    assert!(
                        request.contains("authorization: bearer hunter2\r\n"),
                        "{request}"
                    );
                    assert!(request.contains("user-agent: preview-action/"), "{request}");
                }
                Err(error) => {
                    assert!(!trusted, "{cluster} {extra:?}: {error}");
                    assert!(
                        error.to_string().ends_with(
                            "its certificate is signed by an authority that is not trusted"
                        ),
                        "{error}"
                    );
                    assert!(error.remedy().contains("ca-bundle"), "{}", error.remedy());
                }
            }
        }
    }

    #[test]
    fn what_is_no_certificate_is_named_and_not_shown() {
        let cluster = kube::config::Cluster {
            certificate_authority_data: Some("aHVudGVyMg==".into()),
            ..Default::default()
        };
        let error = trusted(&cluster, None).unwrap_err();
        assert_eq!(
            error.to_string(),
            "certificate-authority-data of the kubeconfig holds no certificate in PEM"
        );
        let error = trusted(&kube::config::Cluster::default(), Some("hunter2")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the input ca-bundle holds no certificate in PEM"
        );
    }
}
