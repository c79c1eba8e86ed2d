//! How long a preview lives, and when its author is to be told that it will not.
//! It changes nothing; times are arguments.
//! The ledger's record counts and not what a Namespace says, so that a command and a run at work cannot undo each other.

use super::{Because, Record, Removing};
use crate::{
    names::{CommitSha, State},
    plan,
};
use jiff::{SignedDuration, Timestamp};
use std::time::Duration;

/// The author is told this long before a preview expires, or a quarter of its life where that is less.
const NOTICE: Duration = Duration::from_secs(24 * 3600);

impl Record {
    /// When the preview was used last, as far as anybody knows.
    pub fn last_used(&self) -> Option<Timestamp> {
        self.last_activity
            .or_else(|| self.attempted.as_ref().map(|last| last.at))
    }

    /// Notes that somebody has just used the preview: what was to go for its age alone stays.
    pub fn used(&mut self, now: Timestamp) {
        self.last_activity = Some(now);
        let aged = |begun: &Removing| begun.because == Because::Expired;
        if self.removing.as_ref().is_some_and(aged) {
            self.removing = None;
        }
    }

    /// True when a commit was there already as somebody put the preview to sleep, or it expired, and it is that still.
    pub fn rests(&self, head: &CommitSha) -> bool {
        (self.asleep.is_some() || self.expired) && self.rests_at.as_ref() == Some(head)
    }

    /// How the preview stands, for whoever looks at all of them: what is being done to it comes before what became of it.
    pub fn standing(&self, now: Timestamp) -> State {
        match &self.attempted {
            _ if self.removing.is_some() => State::Removing,
            _ if self.is_active(now) => State::Deploying,
            _ if self.asleep.is_some() => State::Sleeping,
            Some(last) => last.outcome,
            None => State::Pending,
        }
    }

    /// When the preview expires; never while it is pinned, or while nobody knows since when it lives.
    pub fn expires(&self, ttl: Duration) -> Option<Timestamp> {
        if self.pinned {
            return None;
        }
        match self.last_used() {
            Some(since) => Some(plan::expiry(since, ttl, self.extended)),
            None => self.extended,
        }
    }

    /// True when the time of the preview is over.
    pub fn is_expired(&self, ttl: Duration, now: Timestamp) -> bool {
        self.expires(ttl).is_some_and(|expires| expires <= now)
    }

    /// The expiry that the author is to be told of now and has not been told of yet.
    pub fn to_be_warned(&self, ttl: Duration, now: Timestamp) -> Option<Timestamp> {
        let expires = self.expires(ttl)?;
        let notice = SignedDuration::try_from(NOTICE.min(ttl / 4)).unwrap_or_default();
        let due = expires.duration_since(now) <= notice;
        (due && self.warned != Some(expires)).then_some(expires)
    }

    /// Notes that nothing of the preview exists any more, although nobody removed it by us.
    pub fn vanish(&mut self) {
        self.serving = None;
        self.good = None;
        self.before = None;
        self.bury();
    }

    /// Forgets what was said about the life of a preview that is no more.
    pub fn bury(&mut self) {
        self.extended = None;
        self.pinned = false;
        self.warned = None;
        self.asleep = None;
        self.stayed_awake = None;
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;
    use crate::capacity::{ActiveRun, Asleep, Because, Removing, RunId};

    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn at(hour: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + hour * 3600).unwrap()
    }

    fn used() -> Record {
        Record {
            last_activity: Some(at(0)),
            ..Record::default()
        }
    }

    #[test]
    fn a_sleeper_sleeps_and_a_dead_run_deploys_nothing() {
        let asleep = Asleep {
            since: at(0),
            by: String::new(),
            namespace: "pr-1".parse().unwrap(),
            uid: "u".into(),
            slot: 1,
            owner: String::new(),
            unfinished: false,
            keeps_slot: None,
        };
        let mut record = used();
        assert_eq!(record.standing(at(1)), State::Pending);
        record.asleep = Some(asleep);
        let run = RunId("r".into());
        let heartbeat = at(1);
        record.active = Some(ActiveRun { run, heartbeat });
        assert_eq!(record.standing(at(1)), State::Deploying);
        assert_eq!(record.standing(at(2)), State::Sleeping);
        let because = Because::Asked;
        let by = String::new();
        record.removing = Some(Removing { because, by });
        assert_eq!(record.standing(at(1)), State::Removing);
    }

    #[test]
    fn a_preview_lives_from_its_last_use_or_as_long_as_somebody_wanted() {
        assert_eq!(used().expires(DAY), Some(at(24)));
        let extended = |hour| Record {
            extended: Some(at(hour)),
            ..used()
        };
        assert_eq!(extended(30).expires(DAY), Some(at(30)));
        assert_eq!(extended(20).expires(DAY), Some(at(24)), "never less");
        assert!(used().is_expired(DAY, at(24)));
        assert!(!used().is_expired(DAY, at(23)));
    }

    #[test]
    fn what_is_pinned_or_unknown_does_not_expire() {
        let pinned = Record {
            pinned: true,
            ..used()
        };
        assert_eq!(pinned.expires(DAY), None);
        assert!(!pinned.is_expired(DAY, at(10_000)));
        assert_eq!(Record::default().expires(DAY), None);
    }

    #[test]
    fn the_author_is_told_a_day_before_or_a_quarter_of_the_life_and_once() {
        let week = DAY * 7;
        assert_eq!(used().to_be_warned(week, at(6 * 24 - 1)), None);
        let expires = Some(at(7 * 24));
        assert_eq!(used().to_be_warned(week, at(6 * 24)), expires);
        assert_eq!(used().to_be_warned(week, at(8 * 24)), expires, "late");
        assert_eq!(used().to_be_warned(DAY, at(17)), None);
        assert_eq!(used().to_be_warned(DAY, at(18)), Some(at(24)));
        let warned = Record {
            warned: expires,
            ..used()
        };
        assert_eq!(warned.to_be_warned(week, at(6 * 24 + 1)), None);
        let extended = Record {
            extended: Some(at(9 * 24)),
            ..warned
        };
        assert_eq!(
            extended.to_be_warned(week, at(8 * 24 + 1)),
            Some(at(9 * 24)),
            "another expiry is another warning"
        );
    }
}
