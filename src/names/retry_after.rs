//! Turns the text of a `Retry-After` header into a wait.
//! It reads no clock; whoever asks says when the answer was written, by the clock of the server that wrote it.
//! GitHub, API servers and what stands before them may all write seconds or a date (RFC 9110, section 10.2.3).

use jiff::{Timestamp, fmt::rfc2822};
use std::time::Duration;

/// How long an answer asks to wait; none when the text is neither seconds nor a date, nothing once that date is past.
pub fn retry_after(text: &str, written: Timestamp) -> Option<Duration> {
    let text = text.trim();
    let seconds = match text.parse::<i64>() {
        Ok(seconds) => seconds,
        Err(_) => {
            let until = rfc2822::parse(text).ok()?.timestamp().as_second();
            until.saturating_sub(written.as_second())
        }
    };
    Some(Duration::from_secs(seconds.try_into().unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("0", Some(0))]
    #[case(" 120 ", Some(120))]
    #[case("-1", Some(0))]
    #[case("Sun, 22 Nov 2026 10:01:30 GMT", Some(90))]
    #[case("Sun, 22 Nov 2026 10:00:00 GMT", Some(0))]
    #[case("Sun, 22 Nov 2026 09:00:00 GMT", Some(0))]
    #[case("Mon, 23 Nov 2026 10:00:00 GMT", Some(86_400))]
    #[case("", None)]
    #[case("soon", None)]
    #[case("1.5", None)]
    #[case("2026-11-22T10:01:30Z", None)]
    fn seconds_and_dates_are_waits(#[case] text: &str, #[case] seconds: Option<u64>) {
        let written: Timestamp = "2026-11-22T10:00:00Z".parse().unwrap();
        assert_eq!(
            retry_after(text, written),
            seconds.map(Duration::from_secs),
            "{text}"
        );
    }
}
