//! Everything that a report can say about one pull request, as plain values.
//! It says nothing itself and knows no Markdown.
//! The pipeline fills it step by step and hands the same value to comment, summary and outputs, so that they agree.

use crate::{
    cluster::outcome::{Failure, VolumeEnd, WorkloadStatus},
    names::{CommitSha, Namespace, ObjectId, PrNumber, ReasonCode, Redactor, RepoName, State},
    plan::PublicUrl,
    trigger::prefix,
};
use jiff::Timestamp;
use std::{collections::BTreeMap, time::Duration};

/// What is to be said about the preview of one pull request.
#[derive(Debug, Clone, PartialEq)]
pub struct StatusView {
    /// State.
    pub state: State,
    /// Why it is in this state.
    pub reason: Option<ReasonCode>,
    /// Address of the GitHub server for people, such as `https://github.com`.
    pub server_url: String,
    /// Repository.
    pub repository: RepoName,
    /// Pull request.
    pub pr: PrNumber,
    /// The time of writing.
    pub now: Timestamp,
    /// The word before every command, if there has to be one.
    pub prefix: Option<String>,
    /// True once the pull request is closed: no command is offered then.
    pub closed: bool,
    /// Commit that this is about.
    pub sha: Option<CommitSha>,
    /// Commit that is live while `sha` is not.
    pub serving: Option<CommitSha>,
    /// Newest commit of the pull request when it is another one than `sha`.
    pub newer: Option<CommitSha>,
    /// Namespace.
    pub namespace: Option<Namespace>,
    /// Public addresses, the main one first.
    pub urls: Vec<PublicUrl>,
    /// Workloads and how far they are.
    pub services: Vec<WorkloadStatus>,
    /// Images.
    pub images: Vec<ImageView>,
    /// Place under the cap.
    pub slot: Option<Slot>,
    /// What takes the places when there is none left.
    pub at_cap: Option<AtCap>,
    /// How long it took to reach this state.
    pub took: Option<Duration>,
    /// When the preview expires.
    pub expires: Option<Timestamp>,
    /// True when it does not expire, because somebody wants it so.
    pub pinned: bool,
    /// Address of the run's log.
    pub run_url: Option<String>,
    /// Where setting up is explained.
    pub setup_url: Option<String>,
    /// Things to know that are no errors.
    pub warnings: Vec<String>,
    /// Objects that left the configuration and were removed.
    pub pruned: Vec<ObjectId>,
    /// Root causes, when the deploy failed.
    pub failures: Vec<Failure>,
    /// Why nothing was deployed, when that is no failure of a deploy.
    pub note: Option<Note>,
    /// What was removed.
    pub removal: Option<Removal>,
    /// How far the commit came.
    pub reached: Reached,
    /// What became of the preview after its update failed.
    pub aftermath: Option<Aftermath>,
    /// Since when it sleeps, if it does.
    pub asleep: Option<AsleepView>,
    /// That the deploy waits for GitHub, if it does; the sweep goes on with it.
    pub stalled: Option<Stalled>,
    /// How [`StatusView::newer`] comes to be deployed.
    pub coming: Coming,
    /// The newest commit, when somebody has asked for `sha` by its name instead.
    pub named_before: Option<CommitSha>,
    /// True when the preview was rolled back: only another push or `/deploy` brings a newer commit.
    pub rolled_back: bool,
    /// True when it comes from a fork: a push deploys nothing then.
    pub fork: bool,
    /// True where pushes of the repository's own pull requests are deployed by themselves.
    pub auto_deploy: bool,
    /// What is to be approved, if something is.
    pub approval: Option<ApprovalView>,
}

impl StatusView {
    /// A view with nothing but the state.
    pub fn new(
        state: State,
        server_url: &str,
        repository: RepoName,
        pr: PrNumber,
        now: Timestamp,
    ) -> Self {
        Self {
            state,
            reason: None,
            server_url: server_url.trim_end_matches('/').to_owned(),
            repository,
            pr,
            now,
            prefix: None,
            closed: false,
            sha: None,
            serving: None,
            newer: None,
            namespace: None,
            urls: Vec::new(),
            services: Vec::new(),
            images: Vec::new(),
            slot: None,
            at_cap: None,
            took: None,
            expires: None,
            pinned: false,
            run_url: None,
            setup_url: None,
            warnings: Vec::new(),
            pruned: Vec::new(),
            failures: Vec::new(),
            note: None,
            removal: None,
            reached: Reached::Nothing,
            aftermath: None,
            asleep: None,
            stalled: None,
            coming: Coming::AtOnce,
            named_before: None,
            rolled_back: false,
            fork: false,
            auto_deploy: true,
            approval: None,
        }
    }

    /// The view without any secret. It must come before rendering, because an escaped secret is not found any more.
    pub fn redacted(mut self, redactor: &Redactor) -> Self {
        for text in self.untrusted() {
            let clean = redactor.redact(text);
            if clean != *text {
                *text = clean;
            }
        }
        self
    }

    /// The view with the commands that its sentences name spelled as people have to write them, also for programs that read them.
    pub fn spelled(mut self) -> Self {
        let Some(word) = self.prefix.clone() else {
            return self;
        };
        let failures = self.failures.iter_mut();
        let told = failures.flat_map(|one| [&mut one.cause, &mut one.remedy]);
        let noted = self.note.iter_mut();
        let noted = noted.flat_map(|note| [&mut note.cause, &mut note.remedy]);
        for text in told.chain(noted).chain(&mut self.warnings) {
            *text = prefix::spell(Some(&word), text);
        }
        self
    }

    /// Every text that comes from elsewhere.
    fn untrusted(&mut self) -> Vec<&mut String> {
        let mut texts: Vec<&mut String> = self.warnings.iter_mut().collect();
        texts.extend(self.pruned.iter_mut().map(|id| &mut id.name));
        for url in &mut self.urls {
            texts.extend([&mut url.url, &mut url.path]);
        }
        for service in &mut self.services {
            texts.push(&mut service.message);
            texts.extend(names(&mut service.id));
        }
        for image in &mut self.images {
            texts.extend([&mut image.service, &mut image.image]);
            texts.extend(&mut image.other_revision);
        }
        for failure in &mut self.failures {
            texts.extend([&mut failure.cause, &mut failure.remedy]);
            if let Some(object) = &mut failure.object {
                texts.extend(names(object));
            }
            texts.extend(failure.origin.as_mut().map(|origin| &mut origin.file));
            for piece in &mut failure.evidence {
                texts.extend([&mut piece.title, &mut piece.text]);
            }
        }
        texts.extend(self.stalled.as_mut().map(|stalled| &mut stalled.cause));
        if let Some(note) = &mut self.note {
            texts.extend([&mut note.cause, &mut note.remedy]);
        }
        if let Some(Aftermath::NotRestored { cause, remedy, .. }) = &mut self.aftermath {
            texts.extend([cause, remedy]);
        }
        let before = self.approval.as_mut().and_then(|one| one.before.as_mut());
        texts.extend(before.map(|(_, by)| by));
        texts.extend(self.asleep.as_mut().map(|asleep| &mut asleep.by));
        for holder in self.at_cap.iter_mut().flat_map(|cap| &mut cap.holders) {
            texts.extend([&mut holder.owner, &mut holder.url]);
            texts.extend(holder.leaving.as_mut().map(|leaving| &mut leaving.held_by));
        }
        if let Some(gone) = &mut self.removal {
            match &mut gone.because {
                RemovedBecause::Asked { by } => texts.push(by),
                RemovedBecause::Taken { by, owner, .. } => texts.extend([by, owner]),
                _ => {}
            }
            for end in &mut gone.volumes {
                texts.push(&mut end.claim);
                texts.extend(&mut end.volume);
            }
        }
        texts
    }
}

fn names(object: &mut ObjectId) -> [&mut String; 4] {
    let ObjectId {
        group,
        version,
        kind,
        name,
    } = object;
    [group, version, kind, name]
}

/// The image of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageView {
    /// Service.
    pub service: String,
    /// Reference, or digest once it is known.
    pub image: String,
    /// Commit that the image says it is from, when that is not the deployed one.
    pub other_revision: Option<String>,
}

/// The place of a preview under the cap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// Slot, from 1.
    pub number: u32,
    /// Cap.
    pub capacity: u32,
}

/// The cap is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AtCap {
    /// Cap.
    pub capacity: u32,
    /// Place in line, from 1; none when it was refused.
    pub place: Option<usize>,
    /// What the cluster's nodes lack, when that is why it waits.
    pub lack: Option<String>,
    /// What holds the slots.
    pub holders: Vec<HolderView>,
}

/// A preview that holds a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HolderView {
    /// Slot.
    pub slot: u32,
    /// Pull request.
    pub pr: PrNumber,
    /// Main address; empty when there is none.
    pub url: String,
    /// Login of the pull request's author; empty when unknown.
    pub owner: String,
    /// State; none when unknown.
    pub state: Option<State>,
    /// When the slot was claimed.
    pub since: Timestamp,
    /// Last push or command, when known.
    pub last_activity: Option<Timestamp>,
    /// That its Namespace is being deleted, if it is: the slot is free only once that is gone.
    pub leaving: Option<Leaving>,
}

/// A Namespace that is being deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaving {
    /// Since when.
    pub since: Timestamp,
    /// What holds it, such as a finalizer; empty when nothing is known.
    pub held_by: String,
}

/// A preview that sleeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AsleepView {
    /// Since when.
    pub since: Timestamp,
    /// Login of whoever asked; empty when it was idle.
    pub by: String,
    /// True when it keeps its slot.
    pub keeps_slot: bool,
}

/// A commit of a fork that waits for approval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovalView {
    /// The roles that may approve.
    pub approvers: &'static [&'static str],
    /// True when nobody has answered in time.
    pub lapsed: bool,
    /// True when the commit runs although its approval is over: another one was pushed meanwhile, or the record was lost.
    pub live: bool,
    /// The commit that was approved before, and the login of who did.
    pub before: Option<(CommitSha, String)>,
}

/// A deploy that GitHub was in the way of, before anything was applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stalled {
    /// Until when GitHub takes no requests, if it said so.
    pub until: Option<Timestamp>,
    /// What was in the way, in one sentence.
    pub cause: String,
}

/// Cause and remedy, when no object failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Cause in one sentence.
    pub cause: String,
    /// Remedy in one sentence; empty when there is none.
    pub remedy: String,
}

/// How a commit that is newer than the one that a run is about comes to be deployed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coming {
    /// Its run takes over.
    AtOnce,
    /// By a run of its own, once it was built or approved.
    Later,
    /// Only when somebody asks.
    OnRequest,
}

/// How far a commit came before its deploy ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reached {
    /// Nothing of it was applied.
    Nothing,
    /// Something of it was applied.
    Applied,
    /// Every workload runs it.
    Running,
}

/// What became of a live preview after its update failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Aftermath {
    /// The last good commit is being brought back.
    Restoring {
        /// It.
        good: CommitSha,
    },
    /// The last good commit is back and ready; it is [`StatusView::serving`].
    Restored,
    /// It could not be brought back.
    NotRestored {
        /// The last good commit.
        good: CommitSha,
        /// Why not, in one sentence.
        cause: String,
        /// What to do, in one sentence.
        remedy: String,
    },
    /// What was applied stays; what was live before is named by [`StatusView::serving`] if it is known to be so still.
    Stays,
    /// A first deploy: there was nothing before it.
    First,
    /// It was removed, because `on-failed-update` says so.
    Removed,
}

/// What was removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removal {
    /// Namespace that is gone.
    pub namespace: Namespace,
    /// How long it took until it was; none when an earlier run began it.
    pub took: Option<Duration>,
    /// What was in it, by kind; none when that was not counted.
    pub counts: Option<BTreeMap<String, usize>>,
    /// What became of its volumes.
    pub volumes: Vec<VolumeEnd>,
    /// Why it was removed.
    pub because: RemovedBecause,
}

/// Why a preview was removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RemovedBecause {
    /// The pull request was closed.
    Closed,
    /// The pull request was merged.
    Merged,
    /// Somebody commented `/undeploy`, or started a run that does so.
    Asked {
        /// Login.
        by: String,
    },
    /// It expired.
    Expired,
    /// Somebody deleted its Namespace in the cluster.
    Deleted,
    /// A maintainer wanted its slot for another pull request.
    Taken {
        /// Login of the maintainer.
        by: String,
        /// The other pull request.
        to: PrNumber,
        /// Login of the preview's owner, who is told; empty when unknown.
        owner: String,
    },
    /// Its first deploy had failed and another pull request needed the slot.
    GaveWay {
        /// The other pull request.
        to: PrNumber,
    },
}
