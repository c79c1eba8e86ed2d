//! Turns what GitHub, the Namespaces and the ledger say at one moment into what the sweep is to do, each with its reason.
//! It asks nobody and changes nothing, so that `--dry-run` shows exactly what would be done.
//! What is not proved finished is kept: only a pull request that GitHub itself calls closed, or a time that is over.

use super::look::Mandate;
use crate::{
    capacity::{self, Because, Holder, Home, Ledger, Record, Remembered, Shown},
    cluster::{NamespaceInfo, outcome::Applied},
    event::{PullRequest, Repository},
    inputs::{Settings, WhenFull},
    names::{CommitSha, Namespace, PrNumber, PreviewKey, State},
    pipeline::{RemoveReason, desk::is_labelled_asleep, filter, inspect, restore},
    plan,
    trigger::filters,
};
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

/// A head that somebody touched less long ago is left to its own run, which may be building its images still.
const SETTLED: SignedDuration = SignedDuration::from_mins(15);

/// A Namespace that is deleted by hand gets this long to go before its preview is told to be stuck.
const GOING: SignedDuration = SignedDuration::from_mins(10);

/// How many pull requests from forks are told at once that they need approval: strangers open as many as they like.
const ASKED_AT_ONCE: usize = 10;

/// How many pull requests are asked about only to forget them: an old ledger is cleared little by little, within the limits
/// that GitHub sets.
const FORGOTTEN_AT_ONCE: usize = 40;

/// How many comments are read again after a ledger was lost, those that somebody touched last: each costs a request or two.
const CORRECTED_AT_ONCE: usize = 100;

/// What is to be done about one preview.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Task {
    /// Preview.
    pub(super) preview: PreviewKey,
    /// Namespace that it has, or would have.
    pub(super) namespace: Namespace,
    /// What.
    pub(super) action: Action,
}

/// What the sweep can do about a preview.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Action {
    /// Remove it.
    Remove {
        /// Why.
        reason: RemoveReason,
        /// Who asked, where that is known.
        by: String,
    },
    /// Tell the author that it expires then.
    Warn(Timestamp),
    /// Put it to sleep, because nobody uses it.
    Sleep,
    /// Finish a sleep whose run has ended on the way, or put back to sleep what was not woken.
    FinishSleep,
    /// Deploy a commit that no run has tried.
    Deploy(CommitSha),
    /// Say that the newest commit of a fork needs approval, or that nobody gave it in time.
    Ask,
    /// Say that its run has ended without a word.
    End,
    /// Say the last word again, which did not reach its comment.
    Tell,
    /// Call for whoever can help, because its Namespace, which somebody else deleted, does not go.
    Stuck,
    /// See whether its comment still names a place in line, which was lost with the ledger.
    Correct,
    /// Give its slot back, because its Namespace is not there any more.
    Free,
    /// Look what is wrong with it, and say so if it lasts.
    Diagnose,
    /// Say that it is well again.
    Recover,
}

impl Action {
    /// What is done, in a word.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Remove { .. } => "remove",
            Self::Warn(_) => "warn",
            Self::Sleep | Self::FinishSleep => "sleep",
            Self::Deploy(_) => "deploy",
            Self::Ask => "ask",
            Self::End => "end",
            Self::Tell | Self::Stuck => "tell",
            Self::Correct => "correct",
            Self::Free => "free",
            Self::Diagnose => "diagnose",
            Self::Recover => "recover",
        }
    }

    /// True when a slot is free then.
    pub(super) fn frees(&self) -> bool {
        matches!(
            self,
            Self::Remove { .. } | Self::Sleep | Self::FinishSleep | Self::Free
        )
    }

    /// Why, in a few words.
    pub(super) fn why(&self) -> String {
        match self {
            Self::Remove {
                reason: RemoveReason::Expired,
                ..
            } => "expired".into(),
            Self::Remove {
                reason: RemoveReason::Asked,
                ..
            } => "asked".into(),
            Self::Remove { .. } => "closed".into(),
            Self::Warn(at) => format!("expires {at}"),
            Self::Sleep => "idle".into(),
            Self::FinishSleep => "its sleep or its waking was cut short".into(),
            Self::Deploy(sha) => format!("{} was never tried", sha.short()),
            Self::Ask => "it comes from a fork and needs approval".into(),
            Self::Tell => "its last word did not reach its comment".into(),
            Self::Stuck => "its namespace was deleted and does not go".into(),
            Self::Correct => "the ledger was lost".into(),
            Self::Free => "its namespace was deleted".into(),
            Self::End => "its run ended without a word".into(),
            Self::Diagnose => "not ready any more".into(),
            Self::Recover => "ready again".into(),
        }
    }
}

/// What there is, seen at one moment.
pub(super) struct Sight<'a> {
    pub(super) settings: &'a Settings,
    pub(super) mandate: Mandate,
    pub(super) repository: &'a Repository,
    pub(super) ledger: Ledger,
    /// The server's time.
    pub(super) now: Timestamp,
    /// What is wrong with the ledger, if something is.
    pub(super) trouble: Option<String>,
    pub(super) namespaces: BTreeMap<PreviewKey, NamespaceInfo>,
    /// Workloads that are not ready, by Namespace, none of one where nothing lasts; none at all when nobody may look.
    pub(super) unready: Option<BTreeMap<String, Vec<Applied>>>,
    /// Open pull requests, and how long ago somebody last touched each, by GitHub's own clock.
    pub(super) open: BTreeMap<PrNumber, (PullRequest, Option<SignedDuration>)>,
    /// Pull requests that GitHub itself calls closed, and whether they are merged.
    pub(super) closed: BTreeMap<PrNumber, bool>,
}

impl Sight<'_> {
    /// Takes a Namespace for the one of its preview; where there are two, the one that the ledger names, and the other one is told.
    pub(super) fn lodge(&mut self, preview: PreviewKey, info: NamespaceInfo) -> Option<Namespace> {
        let home = self.home(&preview);
        match self.namespaces.get(&preview) {
            Some(kept) if home.is_some_and(|(_, uid)| uid == kept.uid) => Some(info.name),
            _ => {
                let before = self.namespaces.insert(preview, info);
                before.map(|before| before.name)
            }
        }
    }

    /// Pull requests that the list does not show open, although there is something of theirs: each has to be asked about.
    pub(super) fn doubtful(&self) -> BTreeSet<PrNumber> {
        let of_namespaces = self.namespaces.keys().map(|preview| preview.pr);
        let of_ledger = self.known().map(|(preview, _)| preview.pr);
        let waiting = self.ledger.queue.iter().map(|waiting| waiting.pr);
        let mut doubtful: BTreeSet<PrNumber> = of_namespaces
            .chain(of_ledger)
            .chain(waiting)
            .filter(|pr| !self.open.contains_key(pr))
            .collect();
        let over = self.over().map(|(preview, _)| preview.pr);
        let over: BTreeSet<PrNumber> = over
            .filter(|pr| !self.open.contains_key(pr) && !doubtful.contains(pr))
            .collect();
        let over = Vec::from_iter(over);
        // Not always the same ones: some may be of pull requests that GitHub knows nothing of.
        let first = self.now.as_second().unsigned_abs() as usize % over.len().max(1);
        let (before, from) = over.split_at(first);
        doubtful.extend(from.iter().chain(before).take(FORGOTTEN_AT_ONCE));
        doubtful
    }

    /// Records of pull requests that GitHub itself calls closed, and of which nothing else is left.
    pub(super) fn forgotten(&self) -> Vec<Remembered> {
        self.over()
            .filter(|(preview, _)| self.closed.contains_key(&preview.pr))
            // First what is shown of them ends.
            .filter(|(_, record)| record.shown == Shown::default())
            .map(|(preview, record)| Remembered {
                key: preview.in_ledger(),
                sequence: record.sequence,
            })
            .collect()
    }

    /// Previews of which nothing is left but what is shown of them and nobody has ended.
    pub(super) fn shown_still(&self) -> impl Iterator<Item = (PreviewKey, &Record)> {
        // Of an open one that is told like the rest of it.
        let closed = |preview: &PreviewKey| self.closed.contains_key(&preview.pr);
        self.over().filter(move |(preview, record)| {
            let hangs = record.shown.promises() && closed(preview);
            (record.shown.deployment.is_some() || hangs)
                && (record.stalled.is_none() || closed(preview))
        })
    }

    /// Previews of which nothing is left but what the ledger remembers.
    fn over(&self) -> impl Iterator<Item = (PreviewKey, &Record)> {
        let records = self.ledger.previews.iter();
        records
            .filter(|(key, record)| self.ledger.is_over(key, record))
            .filter_map(|(key, record)| Some((self.preview_of(key)?, record)))
            .filter(|(preview, _)| !self.namespaces.contains_key(preview))
    }

    /// What is to be done.
    pub(super) fn tasks(&self) -> Vec<Task> {
        let mut previews: BTreeSet<PreviewKey> = self.namespaces.keys().cloned().collect();
        previews.extend(self.known().map(|(preview, _)| preview));
        let waiting = self.ledger.queue.iter();
        previews.extend(waiting.filter_map(|one| self.preview_of(&one.key)));
        let open = self.open.keys();
        previews.extend(open.filter_map(|pr| self.preview_of(&pr.to_string())));
        let in_progress = self.ledger.previews.iter();
        let in_progress = in_progress.filter(|(_, record)| record.active.is_some());
        previews.extend(in_progress.filter_map(|(key, _)| self.preview_of(key)));
        let tasks = previews.into_iter().filter_map(|preview| {
            let action = self.action(&preview)?;
            let namespace = self.namespace(&preview)?;
            Some(Task {
                preview,
                namespace,
                action,
            })
        });
        let first_seen = |task: &Task| {
            matches!(task.action, Action::Deploy(_)) && self.is_stranger(&task.preview)
        };
        let (strangers, mut tasks): (Vec<Task>, Vec<Task>) = tasks.partition(first_seen);
        let spare = self.spare(&tasks);
        // As many as find a slot: who waits in line has asked, and who was never seen has not.
        tasks.extend(self.freshest(strangers).into_iter().take(spare));
        let asks = |task: &Task| task.action == Action::Ask;
        let (asked, mut tasks): (Vec<Task>, Vec<Task>) = tasks.into_iter().partition(asks);
        tasks.extend(self.freshest(asked).into_iter().take(ASKED_AT_ONCE));
        if self.trouble.is_some() {
            tasks.extend(self.doubted(&tasks));
        }
        tasks
    }

    /// Those without a slot, whose comments may name a place in a line that was lost with the ledger.
    fn doubted(&self, tasks: &[Task]) -> Vec<Task> {
        let planned: BTreeSet<&PreviewKey> = tasks.iter().map(|task| &task.preview).collect();
        let open = self.open.keys();
        let previews = open.filter_map(|pr| self.preview_of(&pr.to_string()));
        let doubted = previews
            .filter(|preview| self.is_stranger(preview) && !planned.contains(preview))
            .filter_map(|preview| {
                Some(Task {
                    namespace: self.namespace(&preview)?,
                    preview,
                    action: Action::Correct,
                })
            });
        let mut doubted = self.freshest(doubted.collect());
        doubted.truncate(CORRECTED_AT_ONCE);
        doubted
    }

    /// Those first that somebody touched last.
    fn freshest(&self, mut strangers: Vec<Task>) -> Vec<Task> {
        let touched = |task: &Task| self.open.get(&task.preview.pr).map(|(_, ago)| *ago);
        strangers.sort_by_key(touched);
        strangers
    }

    /// How many slots are free for nobody in particular once all that is planned has its own.
    fn spare(&self, tasks: &[Task]) -> usize {
        let places = |task: &&Task| {
            matches!(task.action, Action::Deploy(_)) && self.holder(&task.preview).is_none()
        };
        let taken = tasks.iter().filter(places).count();
        self.ledger.spare(self.now).saturating_sub(taken)
    }

    fn action(&self, preview: &PreviewKey) -> Option<Action> {
        let active = |record: &Record| record.is_active(self.now);
        if self.record(preview).is_some_and(active) {
            // Whoever is at work ends it, or dies, and then there is another sweep.
            return None;
        }
        if let Some(merged) = self.closed.get(&preview.pr) {
            let reason = RemoveReason::Closed { merged: *merged };
            return Some(self.removal(preview, reason));
        }
        let (pull, touched) = self.open.get(&preview.pr)?;
        let missed = || {
            // Whose run has come and was in GitHub's way has its images.
            let settled =
                self.is_stalled(preview, pull) || touched.is_none_or(|ago| ago >= SETTLED);
            let wanted = !self.is_stranger(preview) || self.is_alive(pull, *touched);
            (self.mandate.deploys && settled && wanted && self.is_missed(preview, pull))
                .then(|| Action::Deploy(self.wanted(preview, pull).clone()))
        };
        let Some(record) = self.record(preview) else {
            return missed()
                .or_else(|| self.unapproved(preview, pull, *touched))
                .or_else(|| self.vanished(preview));
        };
        let begun = record.removing.as_ref().map(|one| one.because);
        match begun {
            // A pull request that was opened again is not closed any more.
            None | Some(Because::Closed | Because::Merged) => {}
            Some(because) => return Some(self.removal(preview, because.into())),
        }
        let lost = record.active.is_some();
        self.end_of_life(preview, record)
            .or_else(missed)
            .or_else(|| self.unapproved(preview, pull, *touched))
            .or_else(|| self.dozes(preview, record).then_some(Action::FinishSleep))
            .or_else(|| lost.then_some(Action::End))
            .or_else(|| self.vanished(preview))
            .or_else(|| self.hangs(preview).then_some(Action::Stuck))
            // What has broken is not told as being deployed.
            .or_else(|| self.health(preview, record))
            .or_else(|| self.untold(preview, pull, record))
            .or_else(|| self.idle(preview, record))
    }

    /// Whether somebody else deletes its Namespace, and that does not go.
    fn hangs(&self, preview: &PreviewKey) -> bool {
        let info = self.namespaces.get(preview);
        let since = info.and_then(|info| info.deleting);
        let hangs = since.is_some_and(|since| self.now.duration_since(since) >= GOING);
        hangs && (self.holder(preview).is_some() || self.home(preview).is_some())
    }

    /// Whether a preview that was ready has broken, or one that had broken is well.
    fn health(&self, preview: &PreviewKey, record: &Record) -> Option<Action> {
        let unready = self.unready.as_ref()?;
        let last = record.attempted.as_ref()?.outcome;
        let info = self.namespaces.get(preview)?;
        let watched = self.lives(preview)
            && record.asleep.is_none()
            && record.removing.is_none()
            && record.active.is_none()
            && self.holder(preview).is_some();
        let broken = match unready.get(info.name.as_str()) {
            Some(unready) => !unready.is_empty(),
            // What was adopted carries no labels of ours, and nobody knows what was in it.
            None => self
                .holder(preview)
                .is_some_and(|holder| holder.members.is_some() && inspect::lasts(holder)),
        };
        // Beside a newer commit that failed only what was brought back whole is known to have been well.
        let live = info.annotations.get(restore::SHA);
        let live = live.is_some_and(|sha| {
            record
                .serving
                .as_ref()
                .is_some_and(|one| one.as_str() == sha)
        });
        let well = last == State::Ready || (last == State::Failed && live);
        match (watched, record.broke(), broken) {
            (true, false, true) if well => Some(Action::Diagnose),
            (true, true, false) => Some(Action::Recover),
            _ => None,
        }
    }

    /// Whether the head of an open pull request was never tried although pushes deploy by themselves, and nobody has said otherwise.
    fn is_missed(&self, preview: &PreviewKey, pull: &PullRequest) -> bool {
        let key = preview.in_ledger();
        let stalled = self.is_stalled(preview, pull);
        let has_slot = self.ledger.holder(&key).is_some();
        let room = match self.settings.when_full {
            _ if self.ledger.capacity == 0 => false,
            WhenFull::Queue => true,
            WhenFull::Refuse => self.ledger.spare(self.now) > 0,
        };
        let untried = self.record(preview).is_none_or(|record| {
            let tried = record.attempted.as_ref().map(|last| &last.sha);
            let holds = record.held.as_ref() == Some(&pull.head_sha);
            let passed = tried == Some(&pull.head_sha) || record.rests(&pull.head_sha);
            (!passed && !holds || stalled)
                && !record.removed_on_purpose
                && record.removing.is_none()
        });
        let spared = self.is_found(preview);
        // Whether a commit was built, and well, only the end of its build says; its manifests are written by its own run.
        let by_itself = self.mandate.pushes
            && self.settings.auto_deploy
            && self.settings.build_workflow.is_none()
            && self.settings.manifests.is_empty();
        (by_itself || stalled)
            && preview.variant.is_none()
            && self.may_run(preview, pull)
            && (self.is_wanted(preview, pull) || self.is_stalled(preview, pull))
            && !self.waits(preview)
            && (has_slot || room)
            && untried
            && (!spared || stalled)
    }

    /// True for what lives or sleeps in a Namespace that was adopted, or that was there when the ledger was lost: which commits were
    /// tried in it nobody knows, so that changes only when somebody asks for it or pushes. What was under way then goes on.
    fn is_found(&self, preview: &PreviewKey) -> bool {
        let record = self.record(preview);
        let tried = |record: &Record| record.attempted.is_some();
        let sleeps = |record: &Record| record.asleep.is_some();
        let info = self.namespaces.get(preview);
        let state = info.and_then(|info| info.labels.get("preview-action/state"));
        (self.holder(preview).is_some_and(Holder::is_found) || record.is_some_and(sleeps))
            && !record.is_some_and(tried)
            && state.map(String::as_str) != Some(State::Deploying.as_str())
    }

    /// True when no filter keeps it back, as far as is known without asking which files it changes.
    pub(super) fn is_wanted(&self, preview: &PreviewKey, pull: &PullRequest) -> bool {
        let filters = &self.settings.filters;
        let record = self.record(preview);
        let skipped = |record| filter::is_noted(filters, record, &pull.head_sha);
        !record.is_some_and(skipped) && filters::passes(filters, pull).is_ok()
    }

    /// The head, or the commit that somebody has asked for in its place.
    fn wanted<'b>(&'b self, preview: &PreviewKey, pull: &'b PullRequest) -> &'b CommitSha {
        let head = &pull.head_sha;
        self.record(preview).map_or(head, |one| one.wanted(head))
    }

    /// True when a deploy of what is wanted was begun, and GitHub was in its way.
    pub(super) fn is_stalled(&self, preview: &PreviewKey, pull: &PullRequest) -> bool {
        let stalled = self
            .record(preview)
            .and_then(|record| record.stalled.as_ref());
        stalled == Some(self.wanted(preview, pull))
    }

    /// True when nobody knows of a run for it: it is older than this action, its events were lost, or the ledger was.
    fn is_stranger(&self, preview: &PreviewKey) -> bool {
        let unknown = |record: &Record| record.newest.is_none() && record.attempted.is_none();
        self.record(preview).is_none_or(unknown) && self.holder(preview).is_none()
    }

    /// True when a pull request that was never seen is worth a slot: it would not have expired yet, it does not sleep, and it
    /// is none whose own run is started without secrets on purpose.
    pub(super) fn is_alive(&self, pull: &PullRequest, touched: Option<SignedDuration>) -> bool {
        let ttl = SignedDuration::try_from(self.settings.ttl).unwrap_or(SignedDuration::MAX);
        let sleeps = self
            .ledger
            .previews
            .get(&pull.number.to_string())
            .is_some_and(|record| record.asleep.is_some());
        touched.is_some_and(|ago| ago < ttl) && !sleeps && !pull.by_dependabot()
    }

    /// Namespaces of ours that nobody counts for what they are: no holder is bound to them, although they do not sleep by ledger
    /// and label both, or they sleep in a slot and only the label says so. What a ledger from a backup has in their place is gone.
    /// Nobody is at work on them.
    pub(super) fn uncounted(&self) -> Vec<NamespaceInfo> {
        let uncounted = self.namespaces.iter().filter(|(preview, info)| {
            let there = (info.name.clone(), info.uid.clone());
            let stands = |known| !capacity::is_replaced(&known, &there);
            let bound = self.holder(preview).and_then(Holder::home);
            let bound = bound.is_some_and(stands);
            let record = self.record(preview);
            let asleep = record.and_then(|record| record.asleep.as_ref());
            let asleep = asleep.is_some_and(|asleep| stands(asleep.home()));
            let labelled = is_labelled_asleep(info);
            info.deleting.is_none()
                && !self.closed.contains_key(&preview.pr)
                && match bound {
                    true => labelled && !asleep,
                    false => !(labelled && asleep),
                }
                && !record.is_some_and(|record| record.is_active(self.now))
        });
        uncounted.map(|(_, info)| info.clone()).collect()
    }

    /// Who opened the pull requests of holders whose owner was lost with the ledger.
    pub(super) fn authors(&self) -> BTreeMap<PrNumber, String> {
        let holders = self.ledger.holders.iter();
        let nameless = holders.filter(|holder| holder.owner.is_empty());
        nameless
            .filter_map(|holder| {
                let (pull, _) = self.open.get(&holder.pr)?;
                Some((holder.pr, pull.author.login.clone()))
            })
            .collect()
    }

    /// Pull requests with a Namespace of which GitHub says neither that they are open nor that they are closed.
    pub(super) fn unknown(&self) -> BTreeSet<PrNumber> {
        let all = self.namespaces.keys().map(|preview| preview.pr);
        all.filter(|pr| !self.open.contains_key(pr) && !self.closed.contains_key(pr))
            .collect()
    }

    /// True when a run has died between its claim and its Namespace.
    pub(super) fn has_dead_claims(&self) -> bool {
        let holders = self.ledger.holders.iter();
        holders.into_iter().any(|one| one.is_given_up(self.now))
    }

    /// Whether the comment lacks what came of the last run, or a commit is shown as under way that nobody goes on with.
    fn untold(&self, preview: &PreviewKey, pull: &PullRequest, record: &Record) -> Option<Action> {
        let goes_on = self.waits(preview) || self.is_stalled(preview, pull);
        let hangs = match goes_on {
            true => !record.shown.abandoned.is_empty(),
            false => record.shown.promises(),
        };
        (record.untold || hangs).then_some(Action::Tell)
    }

    /// Where the ledger has the preview: name and UID of the Namespace that holds a slot or sleeps.
    pub(super) fn home(&self, preview: &PreviewKey) -> Option<Home> {
        self.ledger.home(&preview.in_ledger())
    }

    /// Whether the Namespace that the ledger has for it is not among those that exist; one that has taken its place is counted.
    fn vanished(&self, preview: &PreviewKey) -> Option<Action> {
        let (name, uid) = self.home(preview)?;
        let mut all = self.namespaces.values();
        let there = all.any(|info| info.uid == uid || info.name == name);
        (!there).then_some(Action::Free)
    }

    /// Whether the preview holds a slot and nobody uses it.
    fn idle(&self, preview: &PreviewKey, record: &Record) -> Option<Action> {
        let after = self.settings.sleep_after?;
        let confirmed = |holder: &Holder| holder.uid.is_some();
        let sleeps = self.lives(preview)
            && self.holder(preview).is_some_and(confirmed)
            && record.is_idle(after, self.now);
        sleeps.then_some(Action::Sleep)
    }

    /// Whether a sleep or a waking was begun, and nobody is at work on it any more. Who waits in line wakes once its turn comes.
    fn dozes(&self, preview: &PreviewKey, record: &Record) -> bool {
        let begun = record.unfinished_sleep().is_some();
        begun && !self.waits(preview) && self.lives(preview)
    }

    /// Whether the preview has expired, or its author has to be told that it will. Who waits in line is used once its turn comes.
    fn end_of_life(&self, preview: &PreviewKey, record: &Record) -> Option<Action> {
        if !self.lives(preview) || self.waits(preview) || !self.mandate.expires {
            return None;
        }
        let ttl = self.settings.ttl;
        if self.settings.expiry_warning
            && let Some(expires) = record.to_be_warned(ttl, self.now)
        {
            return Some(Action::Warn(expires));
        }
        record
            .is_expired(ttl, self.now)
            .then(|| self.removal(preview, RemoveReason::Expired))
    }

    fn removal(&self, preview: &PreviewKey, reason: RemoveReason) -> Action {
        let begun = self
            .record(preview)
            .and_then(|record| record.removing.as_ref());
        Action::Remove {
            reason,
            by: begun.map_or_else(String::new, |begun| begun.by.clone()),
        }
    }

    fn waits(&self, preview: &PreviewKey) -> bool {
        self.ledger.position(&preview.in_ledger()).is_some()
    }

    /// True when there is something of the preview in the cluster that nobody is deleting.
    fn lives(&self, preview: &PreviewKey) -> bool {
        self.namespaces
            .get(preview)
            .is_some_and(|info| info.deleting.is_none())
    }

    pub(super) fn record(&self, preview: &PreviewKey) -> Option<&Record> {
        self.ledger.previews.get(&preview.in_ledger())
    }

    fn holder(&self, preview: &PreviewKey) -> Option<&Holder> {
        self.ledger.holder(&preview.in_ledger())
    }

    fn namespace(&self, preview: &PreviewKey) -> Option<Namespace> {
        if let Some(info) = self.namespaces.get(preview) {
            return Some(info.name.clone());
        }
        if let Some(holder) = self.holder(preview) {
            return Some(holder.namespace.clone());
        }
        // A pattern that gives no name was refused when the settings were read.
        plan::namespace(self.settings, &self.repository.name, preview).ok()
    }

    /// Namespace of the preview behind a key of the ledger.
    pub(super) fn namespace_of(&self, key: &str) -> Option<Namespace> {
        self.namespace(&self.preview_of(key)?)
    }

    /// Previews that the ledger knows to be unfinished: their removal was begun, or their slot is taken; nobody is at work on them.
    fn known(&self) -> impl Iterator<Item = (PreviewKey, &Record)> {
        self.ledger
            .previews
            .iter()
            .filter(|(key, record)| {
                let unfinished = record.removing.is_some()
                    || record.asleep.is_some()
                    || self.ledger.holder(key).is_some();
                unfinished && !record.is_active(self.now)
            })
            .filter_map(|(key, record)| Some((self.preview_of(key)?, record)))
    }

    /// The preview behind a key of the ledger.
    fn preview_of(&self, key: &str) -> Option<PreviewKey> {
        PreviewKey::from_ledger(self.repository.id, &self.settings.environment, key)
    }
}
