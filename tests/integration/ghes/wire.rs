//! What stands between a runner and a server of one's own: TLS by a private authority, and a proxy that opens tunnels.
//! Neither reads what goes through; both count who came by.
//! They are sockets, because what they prove is what the real client does on the wire.

use rustls::pki_types::PrivateKeyDer;
use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
};

/// A private authority, and the server that it has certified.
pub(super) struct Authority {
    /// Its certificate, for those who trust it.
    pub(super) pem: String,
    server: Arc<rustls::ServerConfig>,
}

impl Authority {
    /// One that vouches for this host.
    pub(super) fn of(host: &str) -> Self {
        preview_action::tls::install_provider();
        let mut own = rcgen::CertificateParams::new(Vec::new()).unwrap();
        own.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        own.distinguished_name
            .push(rcgen::DnType::CommonName, "Acme Private Root");
        let own_key = rcgen::KeyPair::generate().unwrap();
        let pem = own.self_signed(&own_key).unwrap().pem();
        let issuer = rcgen::Issuer::new(own, own_key);
        let key = rcgen::KeyPair::generate().unwrap();
        let server = rcgen::CertificateParams::new(vec![host.to_owned()]).unwrap();
        let certificate = server.signed_by(&key, &issuer).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let server = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        Self {
            pem,
            server: Arc::new(server),
        }
    }
}

/// A port that speaks TLS and passes everything on; it ends with the test's runtime.
pub(super) struct Front {
    pub(super) port: u16,
    upstream: Arc<OnceLock<String>>,
    connections: Arc<AtomicUsize>,
}

impl Front {
    pub(super) async fn open(authority: &Authority) -> Self {
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::clone(&authority.server));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let upstream: Arc<OnceLock<String>> = Arc::default();
        let connections: Arc<AtomicUsize> = Arc::default();
        let (to, count) = (Arc::clone(&upstream), Arc::clone(&connections));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, to, count) = (acceptor.clone(), Arc::clone(&to), Arc::clone(&count));
                tokio::spawn(async move {
                    // Who does not trust us goes away here, which is what some tests want.
                    let Ok(mut stream) = acceptor.accept(stream).await else {
                        return;
                    };
                    count.fetch_add(1, Ordering::SeqCst);
                    let mut server = TcpStream::connect(to.get().unwrap()).await.unwrap();
                    // An end without a farewell is how clients leave.
                    let _ = copy_bidirectional(&mut stream, &mut server).await;
                });
            }
        });
        Self {
            port,
            upstream,
            connections,
        }
    }

    /// Passes everything on to the server of this address from now on.
    pub(super) fn lead_to(&self, url: &str) {
        let rest = url.strip_prefix("http://").unwrap();
        let host = rest.split('/').next().unwrap().to_owned();
        self.upstream.get_or_init(|| host);
    }

    /// How many were let in so far.
    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// A proxy that knows hosts which nobody else can resolve; it ends with the test's runtime.
pub(super) struct Proxy {
    port: u16,
    tunnels: Arc<Mutex<BTreeSet<String>>>,
}

impl Proxy {
    /// One whose every tunnel ends at this port of this machine.
    pub(super) async fn leading_to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = listener.local_addr().unwrap().port();
        let tunnels: Arc<Mutex<BTreeSet<String>>> = Arc::default();
        let seen = Arc::clone(&tunnels);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let seen = Arc::clone(&seen);
                tokio::spawn(tunnel(stream, port, seen));
            }
        });
        Self { port: own, tunnels }
    }

    pub(super) fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Whom it was asked for so far; whatever was asked without a tunnel stands there as it was asked.
    pub(super) fn tunnels(&self) -> Vec<String> {
        self.tunnels.lock().unwrap().iter().cloned().collect()
    }
}

async fn tunnel(mut stream: TcpStream, port: u16, seen: Arc<Mutex<BTreeSet<String>>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8(head).unwrap();
    let line = head.lines().next().unwrap_or_default().to_owned();
    let host = line
        .strip_prefix("CONNECT ")
        .and_then(|rest| rest.split(' ').next());
    seen.lock()
        .unwrap()
        .insert(host.unwrap_or(&line).to_owned());
    let answer: &[u8] = match host {
        Some(_) => b"HTTP/1.1 200 Connection established\r\n\r\n",
        None => b"HTTP/1.1 405 Method Not Allowed\r\ncontent-length: 0\r\n\r\n",
    };
    stream.write_all(answer).await.unwrap();
    if host.is_some() {
        let mut server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let _ = copy_bidirectional(&mut stream, &mut server).await;
    }
}
