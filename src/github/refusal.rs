//! Says what an answer that is not 2xx means, and whether asking again may help.
//! It sends nothing.
//! GitHub says 403 for a limit, for a missing right and for a policy alike; headers and message tell them apart.

use super::{
    GitHubError,
    request::{Again, Call, Failed},
};
use crate::names::{cut, retry_after};
use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use std::time::Duration;

/// How long GitHub asks for when it names no time.
const SECONDARY_LIMIT: Duration = Duration::from_secs(60);

/// Says what an answer that is not 2xx means.
pub(super) fn refusal(call: &Call, status: StatusCode, headers: &HeaderMap, body: &str) -> Failed {
    let doing = call.doing.clone();
    let message = message(status, headers, body);
    let never = |error| Failed {
        error,
        again: Again::Never,
    };
    if let Some(wait) = limit(call, status, headers, &message) {
        // By GitHub's clock, as people read the time beside its own.
        let until = date(headers)
            .checked_add(jiff::SignedDuration::try_from(wait).unwrap_or_default())
            .unwrap_or(Timestamp::MAX);
        return Failed {
            error: GitHubError::RateLimited { doing, until },
            again: Again::After(wait),
        };
    }
    match status.as_u16() {
        401 => never(GitHubError::Unauthorized { doing, message }),
        403 => never(GitHubError::Forbidden {
            doing,
            message,
            needs: call.needs,
        }),
        404 | 410 => never(GitHubError::NotFound {
            doing,
            path: call.uri.split('?').next().unwrap_or_default().into(),
        }),
        422 => never(GitHubError::Invalid { doing, message }),
        status @ (502..=504) => Failed {
            error: GitHubError::Unavailable {
                doing,
                status,
                message,
            },
            again: Again::Soon,
        },
        status @ 500..=599 => never(GitHubError::Unavailable {
            doing,
            status,
            message,
        }),
        status => never(GitHubError::Unexpected {
            doing,
            status,
            message,
        }),
    }
}

/// How long a limit asks to wait, or a server under maintenance; none when the answer is about something else.
fn limit(call: &Call, status: StatusCode, headers: &HeaderMap, message: &str) -> Option<Duration> {
    let asked = headers.get(http::header::RETRY_AFTER);
    let asked = asked.and_then(|value| retry_after(value.to_str().ok()?, date(headers)));
    match status.as_u16() {
        403 | 429 if asked.is_some() => return asked,
        403 | 429 => {}
        // What is not safe to send again may have been carried out.
        503 if call.repeats => return asked.filter(|wait| !wait.is_zero()),
        _ => return None,
    }
    if let Some((0, reset)) = left(headers) {
        let reset = reset.as_second();
        let seconds = reset.saturating_sub(date(headers).as_second()).max(1);
        return Some(Duration::from_secs(u64::try_from(seconds).unwrap_or(1)));
    }
    let named = message.to_ascii_lowercase().contains("rate limit");
    (status == StatusCode::TOO_MANY_REQUESTS || named).then_some(SECONDARY_LIMIT)
}

/// How many requests are taken until when, where the server counts them; GraphQL has a count of its own.
pub(super) fn left(headers: &HeaderMap) -> Option<(u64, Timestamp)> {
    let resource = headers.get("x-ratelimit-resource");
    if resource.is_some_and(|resource| resource == "graphql") {
        return None;
    }
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<i64>().ok();
    let requests = u64::try_from(number("x-ratelimit-remaining")?).ok()?;
    let until = Timestamp::from_second(number("x-ratelimit-reset")?).ok()?;
    Some((requests, until))
}

/// When an answer was written, by the server's own clock, because ours may be wrong; ours if it does not say.
pub(super) fn date(headers: &HeaderMap) -> Timestamp {
    headers
        .get(http::header::DATE)
        .and_then(|value| value.to_str().ok())
        .and_then(|date| jiff::fmt::rfc2822::parse(date).ok())
        .map_or_else(Timestamp::now, |date| date.timestamp())
}

/// What an answer says, whatever it is made of.
fn message(status: StatusCode, headers: &HeaderMap, body: &str) -> String {
    #[derive(serde::Deserialize)]
    struct Wire {
        message: String,
        #[serde(default)]
        errors: Vec<serde_json::Value>,
    }
    if let Ok(wire) = serde_json::from_str::<Wire>(body) {
        let details: Vec<String> = wire.errors.iter().filter_map(detail).collect();
        let text = match details.is_empty() {
            true => wire.message,
            false => format!("{} ({})", wire.message, details.join("; ")),
        };
        return excerpt(&text);
    }
    let html = headers
        .get(http::header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|kind| kind.starts_with("text/html"));
    match html {
        true => "a web page instead of JSON".into(),
        false if body.trim().is_empty() => {
            status.canonical_reason().unwrap_or("nothing").to_owned()
        }
        false => excerpt(body),
    }
}

/// One entry of `errors`: a text, or an object with `message`, or with `field` and `code`.
fn detail(entry: &serde_json::Value) -> Option<String> {
    let text = |key: &str| entry.get(key).and_then(|value| value.as_str());
    entry
        .as_str()
        .or_else(|| text("message"))
        .map(str::to_owned)
        .or_else(|| Some(format!("{} {}", text("field")?, text("code")?)))
}

/// One line of at most 300 characters.
pub(super) fn excerpt(text: &str) -> String {
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    cut(&line, 300)
}
