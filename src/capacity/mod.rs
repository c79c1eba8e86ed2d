//! The ledger of one repository and environment as a value: who holds a slot, and how runs of one preview take turns.
//! It knows no cluster and no clock; times are arguments and writing is the caller's.
//! The cap is exact because every change is a pure step from one version of this value to the next.

mod approval;
mod claim;
mod demand;
mod forget;
mod format;
mod home;
mod life;
#[cfg(test)]
mod model_tests;
mod queue;
mod room;
mod shown;
mod sleep;
mod turn;

pub use approval::{Approved, Requested};
pub use claim::{
    Claim, Claimant, Owned, adopt, bind, claim, clear, confirm, drop_holder, drop_vanished,
    forget_uid, give_up_old_claims, lowest_free_slot, note_adopted, rebuild, withdraw,
};
pub use demand::{Amounts, Pods, Short, beyond_quota, demand};
pub use forget::{Remembered, forget};
pub use format::{Format, Newer, Since};
pub use home::{Home, is_replaced};
pub use queue::{
    WhenFull, leave, looked, next, put_first, said_places, say_places, step_back, untold, wait,
};
pub use room::{Fit, Node, Room, Shortage};
pub use shown::{Deployed, Shown, UnderWay};
pub use sleep::{Asleep, put_to_sleep};
pub use turn::{Turn, alive, begin, finish, hold};

use crate::names::{CommitSha, Environment, Namespace, PrNumber, RepoId, State};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// Where a ledger is kept: ConfigMap `preview-<repository-id>-<environment>`, key `state.json`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerName {
    /// Namespace that it is in.
    pub namespace: Namespace,
    /// Repository.
    pub repository: RepoId,
    /// Environment.
    pub environment: Environment,
}

impl Ledger {
    /// A ledger in which nobody holds anything.
    pub fn empty(capacity: u32) -> Self {
        Self {
            format: Format,
            since: Since,
            capacity,
            holders: Vec::new(),
            queue: Vec::new(),
            issues: BTreeMap::new(),
            troubles: BTreeSet::new(),
            floor: 0,
            previews: BTreeMap::new(),
            rest: serde_json::Map::new(),
        }
    }

    /// The holder of a preview's slot.
    pub fn holder(&self, key: &str) -> Option<&Holder> {
        self.holders.iter().find(|holder| holder.key == key)
    }
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl LedgerName {
    /// Name of the ConfigMap.
    pub fn object(&self) -> String {
        format!("preview-{}-{}", self.repository, self.environment)
    }
}

/// Everything that runs of one repository and environment must agree on.
///
/// Fields that a newer version added are kept as they are.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ledger {
    /// Number of the form that it is written in.
    #[serde(default)]
    pub format: Format,
    /// The first version that knows that form.
    #[serde(default)]
    pub since: Since,
    /// Cap.
    pub capacity: u32,
    /// Previews that hold a slot, in the order of their claims.
    #[serde(default)]
    pub holders: Vec<Holder>,
    /// Previews that wait for a slot, the next one first.
    #[serde(default)]
    pub queue: Vec<Waiting>,
    /// Sequences of new records begin above this: what was forgotten must not begin anew below what old runs know.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub floor: u64,
    /// Issues that the sweep keeps, and what it wrote there last.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub issues: BTreeMap<String, Noted>,
    /// Passing failures that the last sweep met: an operator is called when the next one meets them again.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub troubles: BTreeSet<String>,
    /// What is known of each preview, by [`crate::names::PreviewKey::in_ledger`].
    #[serde(default)]
    pub previews: BTreeMap<String, Record>,
    /// Fields of a newer version.
    #[serde(flatten)]
    pub rest: serde_json::Map<String, serde_json::Value>,
}

/// A preview in a slot.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Holder {
    /// Which preview, as in [`Ledger::previews`].
    pub key: String,
    /// Pull request.
    pub pr: PrNumber,
    /// Namespace.
    pub namespace: Namespace,
    /// UID of the Namespace; none until the claim is confirmed, and again once that Namespace is gone.
    pub uid: Option<String>,
    /// Slot, from 1.
    pub slot: u32,
    /// Run that holds the unconfirmed claim.
    pub run: RunId,
    /// When the slot was claimed.
    pub since: Timestamp,
    /// Login of the pull request's author.
    #[serde(default)]
    pub owner: String,
    /// Main address, once known.
    #[serde(default)]
    pub url: String,
    /// What the Namespace holds is known again by this; none until a deploy has ended in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub members: Option<Members>,
    /// Hosts at which it was ready last; none while that is not known.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub hosts: BTreeSet<String>,
    /// Since when it had waited in line; none when it found a slot at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waited: Option<Timestamp>,
    /// Fields of a newer version.
    #[serde(flatten)]
    pub rest: serde_json::Map<String, serde_json::Value>,
}

/// What was put into a Namespace, as far as a later run needs it to look there without asking what to look for.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Members {
    /// UID of the object that lists the kinds: only the Namespace that it was made in can ever hold it.
    pub list: String,
    /// Kinds, such as `Deployment.apps`.
    pub kinds: BTreeSet<String>,
}

/// An issue, and the digest of what was written there last.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Noted {
    /// Number.
    pub number: u64,
    /// Digest.
    pub digest: String,
}

/// A preview that waits for a slot.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Waiting {
    /// Which preview, as in [`Ledger::previews`].
    pub key: String,
    /// Pull request.
    pub pr: PrNumber,
    /// Since when it waits.
    pub since: Timestamp,
    /// Login of the pull request's author.
    #[serde(default)]
    pub owner: String,
    /// The place in line that its comment names, from 1; 0 while it names none.
    #[serde(default)]
    pub told: usize,
    /// When a workflow was last started to deploy it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub called: Option<Timestamp>,
    /// How often that was in vain.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub in_vain: u64,
    /// Since when GitHub does not show its pull request; none when it did last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unseen: Option<Timestamp>,
    /// That it waits for room and not for a slot, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lacks: Option<Lack>,
    /// Fields of a newer version.
    #[serde(flatten)]
    pub rest: serde_json::Map<String, serde_json::Value>,
}

/// The cluster had no room for a preview, although a slot was free.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Lack {
    /// What was lacking, in words.
    pub of: String,
    /// When it was tried last.
    pub at: Timestamp,
    /// When that was seen first; then, where nothing else is noted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// UIDs of the Namespaces that had slots at the last try.
    pub beside: Vec<String>,
}

/// What is known of one preview, whether it holds a slot or not.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Rises with each run; an older run sees that it is not the newest any more.
    #[serde(default)]
    pub sequence: u64,
    /// Run that raised the sequence last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest: Option<RunId>,
    /// Run that is at work, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<ActiveRun>,
    /// Last commit that was attempted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempted: Option<Attempt>,
    /// Commit that was ready last and has not been removed since; it is live while a later one fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serving: Option<CommitSha>,
    /// True when somebody removed the preview on purpose: it stays so until `/deploy`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub removed_on_purpose: bool,
    /// The last set that was found good, as it is kept in the preview's Namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub good: Option<KeptSet>,
    /// The one before it, of another commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<KeptSet>,
    /// Commit that was rolled back, or that somebody has asked for another one than: it is deployed only when somebody asks for it,
    /// a newer one by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<CommitSha>,
    /// True when somebody has written the comment without a turn since the last turn was taken.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub spoken_over: bool,
    /// When the command was given by which another commit than the held one is wanted, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub named_at: Option<Timestamp>,
    /// When that was pushed which a run was last started for by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pushed_at: Option<Timestamp>,
    /// The newest commit when somebody put the preview to sleep, or it expired: while it is that, only another one is deployed by
    /// itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rests_at: Option<CommitSha>,
    /// A removal that was begun and whose end nobody has told yet: the sweep finishes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removing: Option<Removing>,
    /// When somebody last pushed or gave a command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_activity: Option<Timestamp>,
    /// Somebody wants it to live until then at least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extended: Option<Timestamp>,
    /// True when it does not expire until somebody says so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pinned: bool,
    /// That it sleeps, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asleep: Option<Asleep>,
    /// When it was to sleep last and did not fall asleep.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stayed_awake: Option<Timestamp>,
    /// True when its time was over and nothing has been deployed since.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub expired: bool,
    /// The expiry that its author was warned of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warned: Option<Timestamp>,
    /// True when the last word on it did not reach its comment: the sweep says it again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub untold: bool,
    /// Commit of a fork that a maintainer has approved last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved: Option<Approved>,
    /// Commit of a fork that waits for approval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested: Option<Requested>,
    /// Commit whose deploy GitHub was in the way of before anything was applied: the sweep goes on with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stalled: Option<CommitSha>,
    /// True when somebody asked for the last deploy by command, so that no filter keeps it back while it waits in line.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_command: bool,
    /// True when what is live has broken since, while a newer commit had failed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub broken: bool,
    /// The newest commit when the sweep found that it changes no file that is wanted; GitHub is not asked again about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped: Option<CommitSha>,
    /// Digest of the patterns by which that was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped_by: Option<String>,
    /// The status comment, as it was found last; only a hint, which is looked at before it is followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<Said>,
    /// What GitHub shows of it besides.
    #[serde(flatten)]
    pub shown: Shown,
    /// Commit that was to be deployed last: a place in line is for this one, whatever is shown of it, and without one for waking up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<CommitSha>,
    /// Fields of a newer version.
    #[serde(flatten)]
    pub rest: serde_json::Map<String, serde_json::Value>,
}

impl Record {
    /// The commit that is to be deployed while this is the newest one: itself, or the one that somebody has asked for by name since.
    pub fn wanted<'a>(&'a self, head: &'a CommitSha) -> &'a CommitSha {
        let held = self.held.as_ref() == Some(head);
        self.due.as_ref().filter(|_| held).unwrap_or(head)
    }

    /// True while another commit than the newest one is wanted, because somebody has named that.
    pub fn is_named(&self) -> bool {
        let held = self.held.as_ref();
        held.is_some_and(|held| self.wanted(held) != held)
    }

    /// Notes that somebody without a turn has written the comment, perhaps behind the last word of who had it.
    pub fn speak_over(&mut self) {
        (self.untold, self.spoken_over) = (true, true);
    }

    /// Notes at the end of a turn whether its word is still to be said; what somebody has spoken over meanwhile is.
    pub fn leaves_untold(&mut self, unheard: bool) {
        self.untold = unheard || self.spoken_over;
    }

    /// True when something was pushed after this command was given.
    pub fn was_pushed_after(&self, said: Option<Timestamp>) -> bool {
        said.is_some() && self.pushed_at > said
    }

    /// True of a push that came after the command by which something is held: runs may begin in another order, behind reviewers.
    pub fn ends_hold(&self, pushed: Option<Timestamp>) -> bool {
        self.named_at.is_some() && pushed > self.named_at
    }

    /// True when this commit is kept back for another one that somebody has asked for, and was not pushed after that.
    pub fn holds_back(&self, sha: &CommitSha, pushed: Option<Timestamp>) -> bool {
        self.held.as_ref() == Some(sha) && !self.ends_hold(pushed)
    }

    /// True when something of it was ready, as it stands now: what comes is an update and not the first deploy.
    pub fn was_ready(&self) -> bool {
        self.serving.is_some() || self.good.is_some()
    }

    /// True when what was ready has broken since.
    pub fn broke(&self) -> bool {
        let degraded = |last: &Attempt| last.outcome == State::Degraded;
        self.broken || self.attempted.as_ref().is_some_and(degraded)
    }

    /// Notes that what is live has broken, or is well again; of a newer commit that failed that says nothing.
    pub fn breaks(&mut self, broken: bool) {
        match &mut self.attempted {
            Some(last) if last.outcome != State::Failed => {
                last.outcome = if broken {
                    State::Degraded
                } else {
                    State::Ready
                };
            }
            _ => self.broken = broken,
        }
    }

    /// True when nothing of it was ever ready and its last deploy failed: it gives way first.
    pub fn failed_at_first(&self) -> bool {
        let failed = |last: &Attempt| last.outcome == State::Failed;
        !self.was_ready() && self.attempted.as_ref().is_some_and(failed)
    }
}

/// A comment of ours.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Said {
    /// Its number.
    pub id: u64,
    /// Login of who we are there.
    pub author: String,
}

/// A set that was found good: what it is, and how its stored form is known again.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeptSet {
    /// Commit.
    pub sha: CommitSha,
    /// Digest of what was rendered.
    pub source: String,
    /// Digest of what is stored.
    pub digest: String,
}

/// A removal that was begun.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Removing {
    /// Why.
    #[serde(deserialize_with = "format::because")]
    pub because: Because,
    /// Login of whoever asked; empty where nobody did.
    #[serde(default)]
    pub by: String,
}

impl Removing {
    /// True when nobody wants the preview any more: no place in line is kept for it.
    pub fn withdraws(&self) -> bool {
        matches!(
            self.because,
            Because::Closed | Because::Merged | Because::Asked
        )
    }
}

/// Why a preview is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Because {
    /// Its pull request was closed.
    Closed,
    /// Its pull request was merged.
    Merged,
    /// Somebody asked.
    Asked,
    /// Its time was over.
    Expired,
    /// A maintainer wanted its slot for another pull request.
    Taken {
        /// That one.
        to: PrNumber,
    },
    /// Its first deploy had failed and somebody else needed the slot.
    GaveWay {
        /// Who.
        to: PrNumber,
    },
}

/// A run at work on a preview.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ActiveRun {
    /// Which run.
    pub run: RunId,
    /// Its last sign of life.
    pub heartbeat: Timestamp,
}

/// A run, told apart from every other: workflow run and attempt, or a random mark for the command line.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct RunId(pub String);

impl RunId {
    /// Number of the workflow run.
    pub fn workflow_run(&self) -> Option<u64> {
        self.0.split('/').next()?.parse().ok()
    }

    /// True unless the other run is known to have been started before this one: GitHub numbers workflow runs in their order.
    pub fn may_precede(&self, other: &Self) -> bool {
        let numbers = (self.workflow_run(), other.workflow_run());
        self != other && !matches!(numbers, (Some(own), Some(other)) if other < own)
    }
}

/// The last commit that was attempted and what came of it.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// Commit.
    pub sha: CommitSha,
    /// What came of it; `deploying` while it is under way.
    #[serde(deserialize_with = "format::outcome")]
    pub outcome: State,
    /// When.
    pub at: Timestamp,
}
