//! Turns an event and the settings into the one thing that the run is to do.
//! It asks nobody: what needs an answer from GitHub (open? allowed?) is named in the trigger and asked by the pipeline.
//! Doing nothing is a trigger with a reason, so that no run ends without saying why.

pub mod command;
pub mod filters;
pub mod permission;
pub mod prefix;

mod built;
mod dispatch;

pub use built::Build;

use crate::{
    event::{CommentEvent, Event, Ignored, PullRequestAction, PullRequestEvent, Repository, User},
    inputs::{ASSOCIATIONS, Settings},
    names::{CommitSha, PrNumber, ReasonCode},
};
use command::{Command, FirstLine, Which};
use jiff::Timestamp;
use std::time::Duration;

/// Says what the run is to do; only wrong inputs of a run started by hand are refused here.
pub fn decide(event: &Event, settings: &Settings) -> Result<Trigger, Denied> {
    distinct(settings)?;
    let trigger = match event {
        Event::PullRequest(event) => pull_request(event, settings),
        Event::Comment(event) => comment(event, settings),
        Event::Build(event) => built::decide(event, settings),
        Event::Schedule(repository) => Trigger::Sweep(repository.clone(), None),
        Event::Dispatch(event) => dispatch::decide(event)?,
        Event::Ignored(ignored) => Trigger::Ignore(ignored.clone()),
    };
    match &settings.sha {
        Some(sha) => trigger.planned(sha),
        None => Ok(trigger),
    }
}

/// Refuses words of the workflow's own that are commands already, or the same.
fn distinct(settings: &Settings) -> Result<(), Denied> {
    let (word, prefix) = (&settings.deploy_command, &settings.command_prefix);
    let taken = |word: &Option<String>| {
        let word = word.as_deref().unwrap_or_default();
        command::COMMANDS.contains(&word)
    };
    let cause = if taken(word) {
        "input `deploy-command` is a command that means something else already"
    } else if taken(prefix) {
        "input `command-prefix` is a command itself"
    } else if word.is_some() && word == prefix {
        "inputs `deploy-command` and `command-prefix` are the same word"
    } else {
        return Ok(());
    };
    Err(Denied {
        reason: ReasonCode::BadInput,
        cause: cause.into(),
        remedy: "choose another word, such as `/build-and-deploy` or `/preview`".into(),
    })
}

fn pull_request(event: &PullRequestEvent, settings: &Settings) -> Trigger {
    let closed = event.action == PullRequestAction::Closed;
    let request = Request {
        repository: event.repository.clone(),
        pr: event.pull.number,
        commit: Commit::Payload(event.pull.head_sha.clone()),
        asked: Asked::Event {
            sender: event.sender.clone(),
            closed,
            target: event.target,
            pushed: event.action == PullRequestAction::Synchronize,
            at: event.at,
        },
    };
    if closed {
        Trigger::Remove(request)
    } else if let Some(nothing) = filters::about_a_label(&settings.filters, event) {
        nothing
    } else if event.target && event.pull.from_fork() {
        // Says that it needs approval; nothing of it is read.
        Trigger::Announce(request)
    } else if event.target {
        Trigger::ignore(
            ReasonCode::EventIgnored,
            "`pull_request_target` removes at `closed` and tells of forks, and does nothing else: it would run what a stranger wrote with our secrets",
        )
    } else if settings.auto_deploy {
        Trigger::Deploy(request)
    } else {
        Trigger::Announce(request)
    }
}

fn comment(event: &CommentEvent, settings: &Settings) -> Trigger {
    if !event.author.login.eq_ignore_ascii_case(&event.sender.login) {
        return Trigger::ignore(
            ReasonCode::PermissionDenied,
            "the comment was sent by somebody else than its author",
        );
    }
    let command = match read(&event.body, settings) {
        Some(FirstLine::Command(command)) => Ok(command),
        Some(FirstLine::NearMiss { written, meant }) => Err(format!(
            "`{written}` is no command; did you mean `{meant}`?"
        )),
        Some(FirstLine::BadArgument { command, takes }) => Err(format!(
            "`{command}` takes {takes}, and that is not what the comment's first line has"
        )),
        None => {
            return Trigger::ignore(
                ReasonCode::NotACommand,
                "the comment's first line is no command",
            );
        }
    };
    let about = About {
        repository: &event.repository,
        pr: event.pr,
        asked: Asked::Comment {
            id: event.comment,
            author: event.author.clone(),
            line: command::first_line(&event.body).to_owned(),
            written: event.written,
            known: KNOWN.contains(&event.association.as_str()),
        },
    };
    let wanted = &settings.author_association;
    if !wanted.is_empty() && !wanted.contains(&event.association) {
        return Trigger::Deny(
            about.head(),
            Denied {
                reason: ReasonCode::PermissionDenied,
                cause: format!(
                    "GitHub calls the comment's author {} here, and commands are taken from {} only",
                    known(&event.association),
                    wanted.join(", ")
                ),
                remedy: "ask one of them to give the command".into(),
            },
        );
    }
    match command {
        Ok(command) => about.asks_for(command),
        Err(answer) => Trigger::Mistake(about.head(), answer),
    }
}

/// What GitHub calls people of the repository; some of them it calls otherwise, as not everybody may know that they are.
const KNOWN: [&str; 3] = ["OWNER", "MEMBER", "COLLABORATOR"];

/// The association, unless it is no word of GitHub's.
fn known(association: &str) -> &str {
    let known = ASSOCIATIONS.into_iter().find(|one| *one == association);
    known.unwrap_or("none that we know")
}

/// Reads the first line of a comment as these settings have it: behind the prefix, if there is one, or with the other word for `/deploy`.
pub fn read(body: &str, settings: &Settings) -> Option<FirstLine> {
    let alias = settings.deploy_command.as_deref();
    let rest = alias.and_then(|alias| body.strip_prefix(alias));
    match rest.filter(|rest| !rest.starts_with(|next: char| !next.is_ascii_whitespace())) {
        Some(rest) => command::parse(&format!("/deploy{rest}")),
        None => prefix::parse(settings.command_prefix.as_deref(), body),
    }
}

/// A pull request and who asks something about it.
struct About<'a> {
    repository: &'a Repository,
    pr: PrNumber,
    asked: Asked,
}

impl About<'_> {
    fn asks_for(self, command: Command) -> Trigger {
        let request = |commit| Request {
            repository: self.repository.clone(),
            pr: self.pr,
            commit,
            asked: self.asked.clone(),
        };
        let (kind, commit): (fn(Request) -> Trigger, _) = match command {
            Command::Take(sha, from) => {
                let request = request(sha.map_or(Commit::Head, Commit::Named));
                return Trigger::Take { request, from };
            }
            Command::Deploy(None) => (Trigger::Deploy, Commit::Head),
            Command::Deploy(Some(sha)) => (Trigger::Deploy, Commit::Named(sha)),
            Command::Approve(sha) => (Trigger::Approve, Commit::Named(sha)),
            Command::Undeploy => (Trigger::Remove, Commit::Head),
            Command::Rollback => (Trigger::Rollback, Commit::Head),
            Command::Extend(time) => return Trigger::Life(self.head(), Life::Extend(time)),
            Command::Pin => return Trigger::Life(self.head(), Life::Pin),
            Command::Unpin => return Trigger::Life(self.head(), Life::Unpin),
            Command::Sleep => (Trigger::Sleep, Commit::Head),
            Command::Wake => (Trigger::Wake, Commit::Head),
            Command::Logs(which) => return Trigger::Logs(self.head(), which),
            Command::Diff => (Trigger::Diff, Commit::Head),
            Command::Check => (Trigger::Check, Commit::Head),
            Command::Status => (Trigger::Status, Commit::Head),
            Command::Help => (Trigger::Help, Commit::Head),
        };
        kind(request(commit))
    }

    fn head(self) -> Request {
        Request {
            repository: self.repository.clone(),
            pr: self.pr,
            commit: Commit::Head,
            asked: self.asked,
        }
    }
}

/// What the run is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trigger {
    /// Deploy a pull request.
    Deploy(Request),
    /// Deploy the pull requests whose newest commit was built.
    Built(Build),
    /// Deploy a pull request in the slot of another one, which is moved aside.
    Take {
        /// What is deployed.
        request: Request,
        /// Whose slot it takes.
        from: PrNumber,
    },
    /// Let one commit of a fork run, and deploy it.
    Approve(Request),
    /// Show that the pull request could be deployed: auto-deploy is off, or it comes from a fork.
    Announce(Request),
    /// Remove the preview of a pull request.
    Remove(Request),
    /// Take the preview back to an earlier commit.
    Rollback(Request),
    /// Change how long the preview lives.
    Life(Request, Life),
    /// Put the preview to sleep.
    Sleep(Request),
    /// Wake the preview.
    Wake(Request),
    /// Show the end of the logs.
    Logs(Request, Which),
    /// Show what a deploy would change.
    Diff(Request),
    /// Look for what would keep a deploy from going well.
    Check(Request),
    /// Show the status.
    Status(Request),
    /// Show the help.
    Help(Request),
    /// Say what is wrong with a command, in one sentence.
    Mistake(Request, String),
    /// Refuse a command without asking anybody about it.
    Deny(Request, Denied),
    /// Compare cluster and GitHub, and heal; the schedule does so, or somebody by hand.
    Sweep(Repository, Option<Asked>),
    /// Do nothing.
    Ignore(Ignored),
}

/// How long somebody wants a preview to live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// So much longer.
    Extend(Duration),
    /// For ever.
    Pin,
    /// No longer for ever.
    Unpin,
}

/// A trigger about one pull request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Repository.
    pub repository: Repository,
    /// Pull request.
    pub pr: PrNumber,
    /// Which commit is meant.
    pub commit: Commit,
    /// Who asked, and how.
    pub asked: Asked,
}

/// Which commit is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Commit {
    /// The one of the event: earlier steps and approvals belong to it.
    Payload(CommitSha),
    /// The one that GitHub names as head when the run begins.
    Head,
    /// The one that somebody named; it must be one of the pull request's, and of a fork the head.
    Named(CommitSha),
    /// The one that a plan has named; when it is the head no more, nothing is deployed.
    Planned(CommitSha),
}

/// Who asked, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// An event of the pull request itself.
    Event {
        /// Who caused it.
        sender: User,
        /// True when the pull request was closed.
        closed: bool,
        /// True for `pull_request_target`.
        target: bool,
        /// True when commits were pushed.
        pushed: bool,
        /// When it happened, if the event says it.
        at: Option<Timestamp>,
    },
    /// A comment: needs write permission.
    Comment {
        /// Comment.
        id: u64,
        /// Who wrote it.
        author: User,
        /// Its first line, untrusted.
        line: String,
        /// When it was written.
        written: Timestamp,
        /// True when GitHub calls its author one of the repository's people, which allows nothing.
        known: bool,
    },
    /// A workflow that has built the newest commit.
    Build {
        /// Who caused that.
        sender: User,
        /// When it was begun, which is just after the push, if the event says it.
        begun: Option<Timestamp>,
        /// When it ended, if the event says it.
        at: Option<Timestamp>,
    },
    /// A run started by hand, or by a workflow of the repository: people need write permission.
    Dispatch {
        /// Who started it.
        sender: User,
    },
}

impl Trigger {
    fn ignore(reason: ReasonCode, why: impl Into<String>) -> Self {
        Self::Ignore(Ignored {
            reason,
            why: why.into(),
            pr: None,
        })
    }

    /// The same about the commit that a plan has named.
    fn planned(mut self, sha: &CommitSha) -> Result<Self, Denied> {
        let commit = match &mut self {
            Self::Deploy(request)
            | Self::Take { request, .. }
            | Self::Approve(request)
            | Self::Announce(request)
            | Self::Wake(request) => &mut request.commit,
            _ => return Ok(self),
        };
        match commit {
            Commit::Head | Commit::Planned(_) => *commit = Commit::Planned(sha.clone()),
            Commit::Payload(own) | Commit::Named(own) if own == sha => {}
            Commit::Payload(own) | Commit::Named(own) => {
                return Err(Denied {
                    reason: ReasonCode::BadInput,
                    cause: format!(
                        "input `sha` is {}, and the event is about {}",
                        sha.short(),
                        own.short()
                    ),
                    remedy:
                        "give it the output `sha` of the step that has planned for this very event"
                            .into(),
                });
            }
        }
        Ok(self)
    }

    /// The request about one pull request, if it is one.
    pub fn request(&self) -> Option<&Request> {
        match self {
            Self::Deploy(request)
            | Self::Take { request, .. }
            | Self::Approve(request)
            | Self::Announce(request)
            | Self::Remove(request)
            | Self::Rollback(request)
            | Self::Life(request, _)
            | Self::Sleep(request)
            | Self::Wake(request)
            | Self::Logs(request, _)
            | Self::Diff(request)
            | Self::Check(request)
            | Self::Status(request)
            | Self::Help(request)
            | Self::Deny(request, _)
            | Self::Mistake(request, _) => Some(request),
            Self::Built(_) | Self::Sweep(..) | Self::Ignore(_) => None,
        }
    }

    /// The repository that it is about.
    pub fn repository(&self) -> Option<&Repository> {
        match self {
            Self::Sweep(repository, _) => Some(repository),
            Self::Built(build) => Some(&build.repository),
            other => other.request().map(|request| &request.repository),
        }
    }

    /// The output `decision`.
    pub fn decision(&self) -> &'static str {
        match self {
            Self::Deploy(_) | Self::Take { .. } | Self::Built(_) => "deploy",
            Self::Approve(_) => "approve",
            Self::Announce(_) => "announce",
            Self::Remove(_) => "remove",
            Self::Rollback(_) => "rollback",
            Self::Life(_, Life::Extend(_)) => "extend",
            Self::Life(_, Life::Pin) => "pin",
            Self::Life(_, Life::Unpin) => "unpin",
            Self::Sleep(_) => "sleep",
            Self::Wake(_) => "wake",
            Self::Logs(..) => "logs",
            Self::Diff(_) => "diff",
            Self::Check(_) => "check",
            Self::Status(_) => "status",
            Self::Help(_) => "help",
            Self::Sweep(..) => "sweep",
            Self::Deny(..) | Self::Mistake(..) | Self::Ignore(_) => "ignore",
        }
    }
}

/// A refusal to do what was asked, with its reason code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{cause}; {remedy}")]
pub struct Denied {
    /// Reason code.
    pub reason: ReasonCode,
    /// Cause in one sentence.
    pub cause: String,
    /// Remedy in one sentence.
    pub remedy: String,
}

#[cfg(test)]
mod tests;
