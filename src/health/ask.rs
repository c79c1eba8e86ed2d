//! Asks one question: resolve, check the address, connect, read the beginning of the answer.
//! It does not know how often it is asked.
//! The address is resolved here and pinned, so that what was checked is what is connected to.

use super::{Answer, HealthError, Options, Target};
use crate::{
    names::{cut, may_be_asked},
    tls,
};
use jiff::Timestamp;
use reqwest::{Certificate, Url, header};
use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

/// Characters of an answer's text that are kept.
const EXCERPT: usize = 200;
/// Bytes of an answer that are read.
const MOST_BYTES: usize = 8 << 10;

/// A question that can be asked again and again.
pub(super) struct Asker {
    text: String,
    /// The address to connect to: without port where another one is pinned.
    url: Url,
    host: String,
    /// Value of the `Host` header.
    authority: String,
    port: u16,
    pinned: Option<(IpAddr, Option<u16>)>,
    roots: Vec<Certificate>,
    answer_within: Duration,
    allow_loopback: bool,
}

impl Asker {
    pub(super) fn new(target: &Target, options: &Options) -> Result<Self, HealthError> {
        let wrong = || HealthError::Url(target.url.clone());
        let mut url = Url::parse(&target.url).map_err(|_| wrong())?;
        let plain = matches!(url.scheme(), "http" | "https") && url.username().is_empty();
        let host = url
            .host_str()
            .filter(|_| plain)
            .ok_or_else(wrong)?
            .to_owned();
        let authority = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.clone(),
        };
        let port = url.port_or_known_default().ok_or_else(wrong)?;
        if matches!(target.address, Some((_, Some(_)))) {
            // a port in the address would win over the pinned one
            url.set_port(None).map_err(|()| wrong())?;
        }
        tls::install_provider();
        // no redirect is followed, so what is asked in the clear meets no certificate
        let roots = match url.scheme() {
            "https" => tls::roots(options.extra_ca.as_deref())?,
            _ => Vec::new(),
        };
        Ok(Self {
            text: target.url.clone(),
            url,
            host,
            authority,
            port,
            pinned: target.address,
            roots,
            answer_within: options.answer_within,
            allow_loopback: options.allow_loopback,
        })
    }

    pub(super) fn url(&self) -> &str {
        &self.text
    }

    /// The host that an answer redirects to, when it is another one.
    pub(super) fn other_host(&self, answer: &Answer) -> Option<String> {
        let Answer::Status {
            location: Some(location),
            ..
        } = answer
        else {
            return None;
        };
        let there = self.url.join(location).ok()?;
        let host = there.host_str()?;
        (host != self.host).then(|| host.to_owned())
    }

    pub(super) async fn ask(&self) -> Result<Answer, HealthError> {
        Ok(self.look().await?.0)
    }

    /// The answer, and until when the certificate of a server that is trusted is valid.
    pub(super) async fn look(&self) -> Result<(Answer, Option<Timestamp>), HealthError> {
        let addresses = match self.addresses().await {
            Ok(addresses) => addresses,
            Err(answer) => return Ok((answer, None)),
        };
        let client = reqwest::Client::builder()
            .tls_certs_only(self.roots.iter().cloned())
            .resolve_to_addrs(&self.host, &addresses)
            // a proxy would resolve the name itself, past the check of the address
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .http1_only()
            .tls_info(true)
            .timeout(self.answer_within)
            .user_agent(concat!(
                "preview-action/",
                env!("CARGO_PKG_VERSION"),
                " health"
            ))
            .build()
            .map_err(|error| HealthError::Client(tls::root_cause(&error)))?;
        let request = client
            .get(self.url.clone())
            .header(header::HOST, &self.authority);
        Ok(match request.send().await {
            Ok(response) => {
                let known = response.extensions().get::<reqwest::tls::TlsInfo>();
                let until = known.and_then(|tls| tls::valid_until(tls.peer_certificate()?));
                (read(response).await, until)
            }
            Err(error) => (failed(&error), None),
        })
    }

    async fn addresses(&self) -> Result<Vec<SocketAddr>, Answer> {
        let literal = self.host.trim_matches(['[', ']']).parse::<IpAddr>().ok();
        let found: Vec<SocketAddr> = match (self.pinned, literal) {
            (Some((ip, port)), _) => vec![SocketAddr::new(ip, port.unwrap_or(self.port))],
            (None, Some(ip)) => vec![SocketAddr::new(ip, self.port)],
            (None, None) => {
                let lookup = tokio::net::lookup_host((self.host.as_str(), self.port));
                match tokio::time::timeout(self.answer_within, lookup).await {
                    Ok(Ok(addresses)) => addresses.collect(),
                    Ok(Err(error)) => return Err(Answer::NoName(error.to_string())),
                    Err(_) => return Err(Answer::NoName("DNS does not answer in time".into())),
                }
            }
        };
        let allowed: Vec<SocketAddr> = found
            .iter()
            .copied()
            .filter(|address| may_be_asked(address.ip(), self.allow_loopback))
            .collect();
        match (allowed.is_empty(), found.first()) {
            (false, _) => Ok(allowed),
            (true, Some(refused)) => Err(Answer::NotAsked(refused.ip())),
            (true, None) => Err(Answer::NoName("the name has no address".into())),
        }
    }
}

fn failed(error: &reqwest::Error) -> Answer {
    if let Some(problem) = tls::certificate_problem(error) {
        return Answer::Certificate(problem);
    }
    match (error.is_connect(), error.is_timeout()) {
        (true, true) => Answer::NoConnection("no answer in time".into()),
        (true, false) => Answer::NoConnection(tls::root_cause(error)),
        (false, true) => Answer::Silence,
        (false, false) => Answer::Broken(tls::root_cause(error)),
    }
}

async fn read(mut response: reqwest::Response) -> Answer {
    let status = response.status().as_u16();
    let location = response
        .headers()
        .get(header::LOCATION)
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned);
    let mut bytes = Vec::new();
    // what can't be read is not needed: the status has been said
    while bytes.len() < MOST_BYTES
        && let Ok(Some(chunk)) = response.chunk().await
    {
        bytes.extend_from_slice(&chunk[..chunk.len().min(MOST_BYTES)]);
    }
    Answer::Status {
        status,
        location,
        excerpt: excerpt(&String::from_utf8_lossy(&bytes)),
    }
}

/// The text without tags, on one line, cut.
fn excerpt(text: &str) -> String {
    let mut words = String::new();
    let mut tag = false;
    for c in text.chars() {
        match c {
            '<' => tag = true,
            '>' if tag => {
                tag = false;
                words.push(' ');
            }
            c if !tag => words.push(c),
            _ => {}
        }
    }
    let line = words.split_whitespace().collect::<Vec<_>>().join(" ");
    cut(&line, EXCERPT)
}
