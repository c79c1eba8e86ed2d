//! What came back when a preview was asked, and what that means in words.
//! It asks nothing itself.
//! The same status means different things before and behind an ingress, so each gets its own remedy.

use crate::tls::CertificateProblem;
use std::{fmt, net::IpAddr, time::Duration};

/// What one question came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// An HTTP answer.
    Status {
        /// Status.
        status: u16,
        /// Where it redirects to.
        location: Option<String>,
        /// Beginning of its text, at most 200 characters: untrusted.
        excerpt: String,
    },
    /// DNS knows no such name.
    NoName(String),
    /// The name leads to an address that is never asked.
    NotAsked(IpAddr),
    /// Nobody takes the connection.
    NoConnection(String),
    /// The certificate is refused.
    Certificate(CertificateProblem),
    /// Connected, and no answer in time.
    Silence,
    /// Connected, and no sound HTTP came.
    Broken(String),
}

impl Answer {
    /// True for 200 to 399, and for 401 and 403: somebody is there and wants a log-in.
    pub fn is_healthy(&self) -> bool {
        matches!(
            self,
            Self::Status {
                status: 200..=399 | 401 | 403,
                ..
            }
        )
    }

    /// True when something at the other end took the connection.
    pub fn was_reached(&self) -> bool {
        !matches!(
            self,
            Self::NoName(_) | Self::NotAsked(_) | Self::NoConnection(_)
        )
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status {
                status, excerpt, ..
            } => {
                let name = http::StatusCode::from_u16(*status)
                    .ok()
                    .and_then(|status| status.canonical_reason())
                    .unwrap_or_default();
                write!(f, "{status} {name}")?;
                if excerpt.is_empty() {
                    Ok(())
                } else {
                    write!(f, ": {excerpt}")
                }
            }
            Self::NoName(why) => write!(f, "no such name: {why}"),
            Self::NotAsked(ip) => write!(f, "the name leads to {ip}, which is never asked"),
            Self::NoConnection(why) => write!(f, "no connection: {why}"),
            Self::Certificate(problem) => problem.fmt(f),
            Self::Silence => f.write_str("no answer in time"),
            Self::Broken(why) => write!(f, "no sound answer: {why}"),
        }
    }
}

/// Equal answers in a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Since the first question.
    pub after: Duration,
    /// What came back.
    pub answer: Answer,
    /// How often.
    pub times: u32,
}

/// Why an address is not healthy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// Cause in one sentence.
    pub cause: String,
    /// Remedy in one sentence.
    pub remedy: String,
    /// Every different answer, in order.
    pub attempts: Vec<Attempt>,
}

impl Trouble {
    pub(super) fn new(url: &str, attempts: Vec<Attempt>) -> Self {
        let last = attempts
            .last()
            .map_or(&Answer::Silence, |attempt| &attempt.answer);
        Self {
            cause: cause(url, last),
            remedy: remedy(url, last),
            attempts,
        }
    }

    /// The attempts, one a line: untrusted text.
    pub fn evidence(&self) -> String {
        let line = |attempt: &Attempt| {
            let times = match attempt.times {
                1 => String::new(),
                times => format!(" ({times} times)"),
            };
            format!(
                "+{:.1} s  {}{times}",
                attempt.after.as_secs_f64(),
                attempt.answer
            )
        };
        self.attempts
            .iter()
            .map(line)
            .collect::<Vec<_>>()
            .join("\n")
    }
}

fn cause(url: &str, last: &Answer) -> String {
    let host = host(url);
    match last {
        Answer::Status { status, .. } => format!("`{url}` answers {status}"),
        Answer::NoName(_) => format!("DNS knows no `{host}`"),
        Answer::NotAsked(ip) => format!("`{host}` leads to `{ip}`, an address that is never asked"),
        Answer::NoConnection(why) => format!("`{host}` takes no connection: {why}"),
        Answer::Certificate(problem) => format!("`{host}` is not trusted: {problem}"),
        Answer::Silence => format!("`{url}` takes the connection and does not answer in time"),
        Answer::Broken(why) => format!("`{url}` gives no sound HTTP answer: {why}"),
    }
}

fn remedy(url: &str, last: &Answer) -> String {
    let host = host(url);
    let wildcard = host
        .split_once('.')
        .map_or_else(|| host.to_owned(), |(_, domain)| format!("*.{domain}"));
    match last {
        Answer::Status { status: 404, .. } => "let the service answer at this path, or name one that it answers in `health: {path: …}`; a 404 of the ingress controller means that it does not know the host".into(),
        Answer::Status { status: 502 | 504, .. } => "the ingress does not get through to the service: check that the container listens on the service's port and on `0.0.0.0`".into(),
        Answer::Status { status: 503, .. } => "the ingress finds no ready pod behind the service, or the service says so itself: read its log".into(),
        Answer::Status { status: 500.., .. } => "read the service's log".into(),
        Answer::Status { .. } => "name a path that the service answers in `health: {path: …}`".into(),
        Answer::NoName(_) => format!("create the DNS record `{wildcard}` that leads to the ingress controller, or give its address in the input `health-address`"),
        Answer::NotAsked(_) => format!("let the DNS record `{wildcard}` lead to the ingress controller: loopback and link-local addresses are never asked"),
        Answer::NoConnection(_) => "check that the ingress controller listens there and that the runner may reach it, or give its address in the input `health-address`".into(),
        Answer::Certificate(CertificateProblem::UnknownIssuer) => "give the certificate authority in the input `ca-bundle`, or name a trusted issuer in `ingress: {tls: {issuer: …}}`".into(),
        Answer::Certificate(CertificateProblem::WrongName(_)) => format!("use a certificate for `{wildcard}`: a wildcard covers one label only"),
        Answer::Certificate(CertificateProblem::Expired) => "renew the certificate, or see why its issuer does not".into(),
        Answer::Certificate(_) => "replace the certificate of the ingress".into(),
        Answer::Silence | Answer::Broken(_) => "check that the service speaks HTTP on this port, and read its log".into(),
    }
}

fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?', '#', ':']).next().unwrap_or(rest)
}
