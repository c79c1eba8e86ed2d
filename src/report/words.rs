//! Turns times, spans and states into words, the same in every report.
//! It reads no clock: what is past is counted from a time that is handed to it.
//! Times are UTC, because a comment is read everywhere.

use crate::{cluster::outcome::Readiness, names::State};
use jiff::Timestamp;
use std::{collections::BTreeMap, time::Duration};

/// `2026-11-28 07:12 UTC`.
pub(super) fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// `0.4 s`, `41 s`, `3 min 5 s`, `2 h 3 min`, `3 d 4 h`.
pub(super) fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    let two = |n: u64, unit: &str, rest: u64, small: &str| match rest {
        0 => format!("{n} {unit}"),
        _ => format!("{n} {unit} {rest} {small}"),
    };
    match seconds {
        0..10 => format!("{}.{} s", seconds, span.subsec_millis() / 100),
        10..60 => format!("{seconds} s"),
        60..3_600 => two(seconds / 60, "min", seconds % 60, "s"),
        3_600..86_400 => two(seconds / 3_600, "h", seconds / 60 % 60, "min"),
        _ => two(seconds / 86_400, "d", seconds / 3_600 % 24, "h"),
    }
}

/// How long since then, in one unit: `3 d`, `2 h`, `5 min`, or `a moment`.
pub(super) fn since(then: Timestamp, now: Timestamp) -> String {
    let minutes = (now.as_second() - then.as_second()) / 60;
    match minutes {
        ..1 => "a moment".into(),
        1..60 => format!("{minutes} min"),
        60..1_440 => format!("{} h", minutes / 60),
        _ => format!("{} d", minutes / 1_440),
    }
}

/// `1 Deployment, 2 Pods, 1 Ingress`.
pub(super) fn counts(of: &BTreeMap<String, usize>) -> String {
    let each = of.iter().map(|(kind, count)| match count {
        1 => format!("1 {kind}"),
        _ if kind.ends_with('s') => format!("{count} {kind}es"),
        _ => format!("{count} {kind}s"),
    });
    each.collect::<Vec<_>>().join(", ")
}

/// Sign and word of a workload's state.
pub(super) fn readiness(of: Readiness) -> (&'static str, &'static str) {
    match of {
        Readiness::Ready => ("🟢", "ready"),
        Readiness::InProgress => ("🟡", "starting"),
        Readiness::Failed => ("🔴", "failed"),
        Readiness::Terminating => ("⚫", "ending"),
    }
}

/// The template that speaks of a state.
pub(super) fn template(state: State) -> &'static str {
    match state {
        State::NotDeployed => "comment/not-deployed.md.j2",
        State::Pending => "comment/pending.md.j2",
        State::Deploying => "comment/deploying.md.j2",
        State::Ready => "comment/ready.md.j2",
        State::Failed => "comment/failed.md.j2",
        State::Removing => "comment/removing.md.j2",
        State::Stuck => "comment/stuck.md.j2",
        State::Removed => "comment/removed.md.j2",
        State::Expired => "comment/expired.md.j2",
        State::Sleeping => "comment/sleeping.md.j2",
        State::Degraded => "comment/degraded.md.j2",
        State::Queued => "comment/queued.md.j2",
        State::Refused => "comment/refused.md.j2",
        State::Superseded => "comment/superseded.md.j2",
        State::Cancelled => "comment/cancelled.md.j2",
        State::ApprovalNeeded => "comment/approval-needed.md.j2",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_at_most_two_units() {
        for (millis, words) in [
            (440, "0.4 s"),
            (41_900, "41 s"),
            (185_000, "3 min 5 s"),
            (180_000, "3 min"),
            (7_380_000, "2 h 3 min"),
            (273_600_000, "3 d 4 h"),
        ] {
            assert_eq!(span(Duration::from_millis(millis)), words);
        }
    }

    #[test]
    fn counts_are_in_the_plural_where_there_is_more_than_one() {
        let of = [("Ingress", 2), ("Pod", 2), ("Service", 1)];
        let of = of.map(|(kind, count)| (kind.to_owned(), count)).into();
        assert_eq!(counts(&of), "2 Ingresses, 2 Pods, 1 Service");
    }

    #[test]
    fn the_future_is_a_moment_ago() {
        let now = Timestamp::UNIX_EPOCH;
        for (seconds, words) in [
            (-90, "1 min"),
            (-7_300, "2 h"),
            (-200_000, "2 d"),
            (500, "a moment"),
        ] {
            let then = Timestamp::from_second(seconds).unwrap_or(now);
            assert_eq!(since(then, now), words);
        }
    }
}
