//! Turns one request into one answer: sent, repeated where that is safe, logged, its body read as JSON.
//! It must not know what is asked for; the verbs stand in files of their own.
//! `Client::send` is used and not `Api`, because only it shows the status code, the `Warning` headers and the server's date.

use super::{
    Cluster,
    answer::{Class, Refusal},
    call::{Call, Repeat},
    error::ClusterError,
    retry::Again,
};
use crate::names::retry_after;
use jiff::Timestamp;
use kube::client::Body;
use serde_json::Value;
use std::time::Instant;

/// A good answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) code: u16,
    pub(super) body: Value,
    pub(super) warnings: Vec<String>,
    /// The server's clock.
    pub(super) date: Option<Timestamp>,
}

/// The items of a list.
pub(super) fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list["items"].as_array().into_iter().flatten()
}

/// Logs what was asked and the code of the answer, 0 where there was none.
pub(super) fn note(what: &str, verb: &str, path: &str, status: u16, started: Instant) {
    let elapsed_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    tracing::debug!(%verb, path, status, elapsed_ms, "kubernetes {what}");
}

impl Cluster {
    /// Sends a request until there is an answer that counts.
    pub(super) async fn send(&self, call: Call) -> Result<Answer, ClusterError> {
        let once = || self.send_once(call.clone());
        let again = |error: &ClusterError| error.again(call.repeat);
        self.retry.run(once, again).await
    }

    async fn send_once(&self, call: Call) -> Result<Answer, ClusterError> {
        let attempt = call.attempt.clone();
        let (code, headers, bytes) = self.exchange(call).await?;
        let date = date(&headers);
        if let Some(date) = date {
            self.clock.notice(date, Timestamp::now());
        }
        if code >= 400 {
            let mut refusal = Refusal::read(code, &bytes);
            let asked = headers.get(http::header::RETRY_AFTER);
            let written = date.unwrap_or_else(Timestamp::now);
            let asked = asked.and_then(|value| retry_after(value.to_str().ok()?, written));
            refusal.retry_after = asked.or(refusal.retry_after);
            refusal.date = date;
            return Err(ClusterError::Refused {
                attempt,
                refusal: Box::new(refusal),
            });
        }
        let body =
            serde_json::from_slice(&bytes).map_err(|problem| ClusterError::Unintelligible {
                attempt,
                problem: problem.to_string(),
            })?;
        Ok(Answer {
            code,
            body,
            warnings: warnings(&headers),
            date,
        })
    }

    /// Sends a request whose answer is plain text; it is not repeated.
    pub(super) async fn send_for_text(&self, call: Call) -> Result<String, ClusterError> {
        let attempt = call.attempt.clone();
        let (code, _, bytes) = self.exchange(call).await?;
        if code >= 400 {
            return Err(ClusterError::Refused {
                attempt,
                refusal: Box::new(Refusal::read(code, &bytes)),
            });
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    async fn exchange(&self, call: Call) -> Result<(u16, http::HeaderMap, Vec<u8>), ClusterError> {
        let Call {
            request, attempt, ..
        } = call;
        let (verb, path) = (request.method().clone(), request.uri().path().to_owned());
        let started = Instant::now();
        let answer = async {
            let response = self.client.send(request.map(Body::from)).await?;
            let (head, body) = response.into_parts();
            let bytes = body.collect_bytes().await?;
            Ok::<_, kube::Error>((head.status.as_u16(), head.headers, bytes.to_vec()))
        };
        let answer = match tokio::time::timeout(self.retry.try_timeout, answer).await {
            Err(_) => Err(ClusterError::Timeout {
                attempt,
                after: self.retry.try_timeout,
            }),
            Ok(Err(error)) => Err(self.unreachable(&error)),
            Ok(Ok(answer)) => Ok(answer),
        };
        let status = answer.as_ref().map_or(0, |(code, ..)| *code);
        note("request", verb.as_str(), &path, status, started);
        answer
    }

    pub(super) fn unreachable(&self, error: &kube::Error) -> ClusterError {
        ClusterError::Unreachable {
            server: self.server.clone(),
            cause: innermost(error),
        }
    }
}

/// The end of an error's chain: kube's own words repeat those of their sources.
fn innermost(error: &kube::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    let text = cause.to_string();
    match text.strip_prefix("invalid peer certificate: ") {
        Some(problem) => format!("its certificate {}", certificate_problem(problem)),
        None => text,
    }
}

/// The words of rustls are the names of its variants.
fn certificate_problem(problem: &str) -> String {
    let known = [
        // The authorities of two clusters often have the same name.
        (
            "BadSignature",
            "is signed by an authority that is not trusted",
        ),
        (
            "UnknownIssuer",
            "is signed by an authority that is not trusted",
        ),
        (
            "CaUsedAsEndEntity",
            "is an authority's own and not a server's",
        ),
        ("certificate expired", "has expired"),
        ("Expired", "has expired"),
        ("not valid for name", "is for another host name"),
        ("NotValidForName", "is for another host name"),
    ];
    let found = known.iter().find(|(word, _)| problem.contains(word));
    found.map_or_else(
        || format!("is not accepted ({problem})"),
        |(_, text)| (*text).to_owned(),
    )
}

impl ClusterError {
    /// Whether the same request may succeed when it is sent again, and whether it may be sent again at all.
    pub(super) fn again(&self, repeat: Repeat) -> Again {
        match self {
            Self::Refused { refusal, .. } if refusal.worth_repeating() => {
                // A gateway's 502 or 504 does not say whether the server behind it did the work.
                if repeat == Repeat::Refused && matches!(refusal.code, 500 | 502 | 504) {
                    return Again::Never;
                }
                Again::After(refusal.retry_after)
            }
            Self::Unreachable { cause, .. } if cause.contains("certificate") => Again::Never,
            Self::Unreachable { .. } | Self::Timeout { .. } if repeat == Repeat::Safe => {
                Again::After(None)
            }
            _ => Again::Never,
        }
    }

    /// True when the answer was that there is no such object.
    pub(super) fn is_not_found(&self) -> bool {
        self.class() == Some(&Class::NotFound)
    }
}

/// The texts of `Warning: 299 - "…"` headers.
fn warnings(headers: &http::HeaderMap) -> Vec<String> {
    let all = headers.get_all("warning").iter();
    all.filter_map(|value| String::from_utf8(value.as_bytes().to_vec()).ok())
        .flat_map(|value| quoted(&value))
        .collect()
}

/// Every quoted text of a header, with its escapes undone.
fn quoted(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut current: Option<String> = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match (&mut current, character) {
            (None, '"') => current = Some(String::new()),
            (None, _) => {}
            (Some(_), '"') => found.extend(current.take()),
            (Some(open), '\\') => open.extend(characters.next()),
            (Some(open), other) => open.push(other),
        }
    }
    found
}

fn date(headers: &http::HeaderMap) -> Option<Timestamp> {
    let text = headers.get(http::header::DATE)?.to_str().ok()?;
    let zoned = jiff::fmt::rfc2822::DateTimeParser::new()
        .parse_zoned(text)
        .ok()?;
    Some(zoned.timestamp())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn warnings_lose_code_and_escapes() {
        let text = r#"299 - "would violate PodSecurity \"restricted:latest\": x", 299 - "second""#;
        assert_eq!(
            quoted(text),
            [
                r#"would violate PodSecurity "restricted:latest": x"#,
                "second"
            ]
        );
    }

    #[test]
    fn the_date_header_is_the_servers_clock() {
        let mut headers = http::HeaderMap::new();
        headers.insert("date", "Sat, 21 Nov 2026 06:57:05 GMT".parse().unwrap());
        assert_eq!(date(&headers).unwrap().to_string(), "2026-11-21T06:57:05Z");
        headers.insert("date", "yesterday".parse().unwrap());
        assert_eq!(date(&headers), None);
    }
}
