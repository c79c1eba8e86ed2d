//! How a use case ended, as every door needs it: state, reason, exit code, and what the report shows.
//! It decides nothing; use cases fill it in.
//! Exit codes stand here and not in the doors, so that action and command line cannot differ.

use super::{
    Promoted, Swept,
    failure::{Blame, Failure},
};
use crate::{
    cluster::outcome::Applied,
    names::{CommitSha, PrNumber, ReasonCode, State},
    report::{self, StatusView, Timing},
    trigger::prefix,
};

/// What the process's exit code says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done, or nothing to do.
    Done,
    /// Yours to mend.
    Yours,
    /// A bug of ours.
    Ours,
    /// GitHub or the cluster refused.
    Theirs,
    /// Cancelled.
    Cancelled,
}

impl Exit {
    /// The exit code.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Yours => 1,
            Self::Ours => 2,
            Self::Theirs => 3,
            Self::Cancelled => 130,
        }
    }
}

impl From<Blame> for Exit {
    fn from(blame: Blame) -> Self {
        match blame {
            Blame::Yours => Self::Yours,
            Blame::Theirs => Self::Theirs,
            Blame::Ours => Self::Ours,
        }
    }
}

/// How a use case ended.
#[derive(Debug, Clone)]
pub struct Ending {
    /// State of the preview, if the run was about one.
    pub state: Option<State>,
    /// Reason code.
    pub reason: ReasonCode,
    /// Exit code.
    pub exit: Exit,
    /// Why, in one line for the log.
    pub why: String,
    /// What went wrong, if something did.
    pub failure: Option<Failure>,
    /// What the comment says, if the run was about one preview.
    pub view: Option<Box<StatusView>>,
    /// Objects that were applied.
    pub applied: Vec<Applied>,
    /// How long the stages took.
    pub stages: Vec<Timing>,
    /// What a sweep did.
    pub swept: Vec<Swept>,
    /// Who was waiting in line and had a slot from this run.
    pub promoted: Vec<Promoted>,
    /// What people should know of the run that is no failure of it.
    pub notices: Vec<String>,
    /// What the run was about, where no comment says so.
    pub subject: Subject,
}

/// The pull request and the commit that a run was about, as far as it has come to know them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subject {
    /// Pull request.
    pub pr: Option<PrNumber>,
    /// Commit.
    pub sha: Option<CommitSha>,
}

impl Subject {
    /// The same, and what another knows where this one knows nothing.
    pub fn or(self, other: Self) -> Self {
        Self {
            sha: self.sha.or(other.sha),
            pr: self.pr.or(other.pr),
        }
    }
}

impl Ending {
    /// Says that all else was done, and this failed.
    pub(super) fn met(&mut self, failure: Failure) {
        self.reason = failure.reason();
        self.exit = failure.blame.into();
        self.why = failure.line();
        // Where a comment is shown, it stands below that.
        let shown = self.view.is_some().then(|| self.why.clone());
        self.notices.extend(shown);
        self.failure = Some(failure);
    }

    /// An ending that leaves the comment as it is.
    pub fn quiet(
        state: impl Into<Option<State>>,
        reason: ReasonCode,
        why: impl Into<String>,
    ) -> Self {
        Self {
            state: state.into(),
            reason,
            exit: Exit::Done,
            why: why.into(),
            failure: None,
            view: None,
            applied: Vec::new(),
            stages: Vec::new(),
            swept: Vec::new(),
            promoted: Vec::new(),
            notices: Vec::new(),
            subject: Subject::default(),
        }
    }

    /// The same as the answer to what was asked and not done; where no comment says it, a warning of the run does.
    pub(super) fn answering(mut self, line: impl Into<String>) -> Self {
        let line = line.into();
        let untold = self.view.is_none();
        if self.failure.is_none() {
            self.why.clone_from(&line);
        }
        self.notices.extend(untold.then_some(line));
        self
    }

    /// The same for another reason, unless it failed for its own.
    pub(super) fn because(mut self, reason: ReasonCode) -> Self {
        if self.failure.is_none() {
            self.reason = reason;
        }
        self
    }

    /// Spells the commands that its sentences name as people have to write them; the view's are spelled already.
    pub fn spell(&mut self, word: Option<&str>) {
        let failed = self.failure.iter_mut().flat_map(|all| &mut all.causes);
        let told = failed.flat_map(|one| [&mut one.cause, &mut one.remedy]);
        for text in told.chain(&mut self.notices).chain([&mut self.why]) {
            *text = prefix::spell(word, text);
        }
    }

    /// A newer run has the word.
    pub(super) fn superseded() -> Self {
        Self::quiet(
            State::Superseded,
            ReasonCode::Superseded,
            "a newer run of this preview has taken over",
        )
    }

    /// Cancelled with no time left to say so anywhere.
    pub(super) fn cancelled() -> Self {
        Self {
            exit: Exit::Cancelled,
            ..Self::quiet(
                State::Cancelled,
                ReasonCode::Cancelled,
                "the run was cancelled",
            )
        }
    }

    /// A sweep that met no failure.
    pub(super) fn swept(done: usize) -> Self {
        Self::quiet(
            None,
            ReasonCode::Swept,
            format!("the sweep saw to {done} previews"),
        )
    }

    /// A failure that no comment tells.
    pub fn failed(failure: Failure) -> Self {
        Self {
            exit: failure.blame.into(),
            failure: Some(failure.clone()),
            ..Self::quiet(None, failure.reason(), failure.line())
        }
    }

    /// Sentences for the summary about what no comment says.
    pub fn lines(&self) -> Vec<String> {
        let told = self.view.is_none().then(|| self.why.clone());
        let swept = self.swept.iter().map(|one| {
            format!(
                "pull request #{}, namespace {}: {}, so {}: {}",
                one.pr, one.namespace, one.reason, one.action, one.ending
            )
        });
        let promoted = self.promoted.iter().map(|one| {
            format!(
                "pull request #{} was first in line and a slot was free: {} ({})",
                one.pr, one.why, one.ending
            )
        });
        // What was answered is why it ended so.
        let noticed = |line: &&String| self.view.is_some() || **line != self.why;
        let notices = self.notices.iter().filter(noticed).cloned();
        told.into_iter()
            .chain(swept)
            .chain(promoted)
            .chain(notices)
            .collect()
    }

    /// What deserves a warning although the run itself went well.
    pub fn warnings(&self) -> Vec<String> {
        let failed = self.promoted.iter().filter(|one| one.failed).map(|one| {
            format!(
                "pull request #{} was first in line, and its deploy failed: {}",
                one.pr, one.why
            )
        });
        failed.chain(self.notices.iter().cloned()).collect()
    }

    /// What the outputs are made of.
    pub fn outcome<'a>(&'a self, decision: &'a str) -> report::Outcome<'a> {
        report::Outcome {
            decision,
            reason: self.reason,
            view: self.view.as_deref(),
            state: self.state,
            pr: self.subject.pr,
            sha: self.subject.sha.as_ref(),
        }
    }

    /// The versioned result as the output `result` has it.
    pub fn result(&self, decision: &str) -> String {
        let outcome = self.outcome(decision);
        let outputs = report::outputs(&outcome);
        outputs
            .into_iter()
            .find(|(name, _)| *name == "result")
            .map(|(_, value)| value)
            .unwrap_or_default()
    }
}
