//! Which commit of a fork may run: the one that a maintainer has approved and that was the newest ever since.
//! It knows no pull request and asks nobody who may approve; commits, names and times are arguments.
//! An approval names one commit and is struck out by the next one, also when the old one comes back: whoever pushes meanwhile has
//! changed what people look at.

use super::Record;
use crate::names::CommitSha;
use jiff::{SignedDuration, Timestamp};

/// A request that nobody has answered for so long is asked no more.
const LAPSES: SignedDuration = SignedDuration::from_hours(7 * 24);

/// A commit of a fork that a maintainer has approved.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Approved {
    /// Commit.
    pub sha: CommitSha,
    /// Login of the maintainer.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// True once another commit was pushed: it is only remembered, to show what has changed since.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub withdrawn: bool,
    /// Fields of a newer version.
    #[serde(flatten)]
    pub rest: serde_json::Map<String, serde_json::Value>,
}

/// A commit of a fork that waits for approval.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Requested {
    /// Commit.
    pub sha: CommitSha,
    /// Since when.
    pub since: Timestamp,
    /// True once the comment says so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub told: bool,
    /// True once nobody has answered for seven days.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lapsed: bool,
    /// Fields of a newer version.
    #[serde(flatten)]
    pub rest: serde_json::Map<String, serde_json::Value>,
}

impl Record {
    /// The one commit of a fork that may run now.
    pub fn approved(&self) -> Option<&CommitSha> {
        let in_force = self.approved.as_ref().filter(|one| !one.withdrawn);
        in_force.map(|one| &one.sha)
    }

    /// True when it was ever about a commit of a fork: a push brings nothing about then.
    pub fn is_of_fork(&self) -> bool {
        self.approved.is_some() || self.requested.is_some()
    }

    /// The request about this commit.
    pub fn requested(&self, head: &CommitSha) -> Option<&Requested> {
        self.requested.as_ref().filter(|one| one.sha == *head)
    }

    /// Notes that a maintainer has approved this commit, and so no other.
    pub fn approve(&mut self, sha: &CommitSha, by: &str, now: Timestamp) {
        self.requested = None;
        self.approved = Some(Approved {
            sha: sha.clone(),
            by: by.to_owned(),
            at: now,
            withdrawn: false,
            rest: serde_json::Map::new(),
        });
    }

    /// Notes that this commit, the newest of a fork, waits for approval: what was approved before is so no more.
    ///
    /// A request that has lapsed begins anew only where somebody `asks`.
    pub fn request(&mut self, head: &CommitSha, asks: bool, now: Timestamp) {
        if self.approved() == Some(head) {
            return;
        }
        let request = self.requested.take();
        self.withdraw();
        let same = request.filter(|one| one.sha == *head);
        let begun = same.filter(|one| !(asks && one.is_over(now)));
        let mut request = begun.unwrap_or_else(|| Requested {
            sha: head.clone(),
            since: now,
            told: false,
            lapsed: false,
            rest: serde_json::Map::new(),
        });
        if request.is_over(now) && !request.lapsed {
            request.lapsed = true;
            request.told = false;
        }
        self.requested = Some(request);
    }

    /// Notes that nothing is approved or asked for any more: the pull request has moved on, or is closed.
    pub fn withdraw(&mut self) {
        self.requested = None;
        if let Some(approved) = &mut self.approved {
            approved.withdrawn = true;
        }
    }

    /// Whether the comment lacks something about this commit, which waits for approval.
    pub fn is_to_be_asked(&self, head: &CommitSha, now: Timestamp) -> bool {
        self.requested(head)
            .is_none_or(|one| !one.told || one.is_over(now) && !one.lapsed)
    }

    /// Notes that the comment says what is requested.
    pub fn told(&mut self, head: &CommitSha) {
        if let Some(request) = self.requested.as_mut().filter(|one| one.sha == *head) {
            request.told = true;
        }
    }
}

impl Requested {
    fn is_over(&self, now: Timestamp) -> bool {
        now.duration_since(self.since) >= LAPSES
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    fn sha(letter: &str) -> CommitSha {
        letter.repeat(40).parse().unwrap()
    }

    fn day(number: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + number * 86_400).unwrap()
    }

    #[test]
    fn one_commit_is_approved_until_another_one_is_asked_for() {
        let mut record = Record::default();
        assert_eq!(record.approved(), None);
        record.request(&sha("a"), false, day(0));
        assert_eq!(record.approved(), None);
        record.approve(&sha("a"), "maria", day(1));
        assert_eq!(record.approved(), Some(&sha("a")));
        assert_eq!(record.requested, None);
        record.request(&sha("a"), true, day(2));
        assert_eq!(record.approved(), Some(&sha("a")), "nothing was pushed");
        record.request(&sha("b"), false, day(2));
        assert_eq!(record.approved(), None);
        // Whoever pushes the approved commit again does not get the approval back.
        record.request(&sha("a"), false, day(3));
        assert_eq!(record.approved(), None);
        record.approve(&sha("b"), "maria", day(4));
        assert_eq!(record.approved(), Some(&sha("b")));
    }

    #[test]
    fn a_request_lapses_after_seven_days_and_begins_anew_when_somebody_asks() {
        let mut record = Record::default();
        record.request(&sha("a"), false, day(0));
        assert!(record.is_to_be_asked(&sha("a"), day(0)), "nobody knows yet");
        record.told(&sha("a"));
        assert!(!record.is_to_be_asked(&sha("a"), day(6)));
        assert!(record.is_to_be_asked(&sha("a"), day(7)));
        record.request(&sha("a"), false, day(7));
        assert!(record.requested(&sha("a")).unwrap().lapsed);
        record.told(&sha("a"));
        assert!(!record.is_to_be_asked(&sha("a"), day(70)));
        record.request(&sha("a"), false, day(8));
        assert!(record.requested(&sha("a")).unwrap().lapsed);
        record.request(&sha("a"), true, day(9));
        let again = record.requested(&sha("a")).unwrap();
        assert_eq!(
            (again.lapsed, again.told, again.since),
            (false, false, day(9))
        );
        assert!(
            record.is_to_be_asked(&sha("b"), day(9)),
            "a push begins anew"
        );
    }

    #[test]
    fn fields_of_a_newer_version_survive() {
        let text = r#"{"approved":{"sha":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","by":"maria","at":"2026-11-21T00:00:00Z","reviews":2},
            "requested":{"sha":"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb","since":"2026-11-21T00:00:00Z","told":true,"via":"team"}}"#;
        let mut record: Record = serde_json::from_str(text).unwrap();
        record.request(&sha("b"), false, day(-50));
        let again = serde_json::to_value(&record).unwrap();
        assert_eq!(again["approved"]["reviews"], 2);
        assert_eq!(again["approved"]["withdrawn"], true);
        assert_eq!(again["requested"]["via"], "team");
    }
}
