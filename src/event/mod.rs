//! Turns the name and the JSON of a GitHub event into one value that says what happened.
//! It knows only the fields that we read; it decides nothing and asks nobody.
//! Everything in it was true when the event was sent: whether a pull request is still open is asked of the API later.

mod payload;

pub use payload::EventError;

use crate::names::{CommitSha, PrNumber, ReasonCode, RepoId, RepoName};
use jiff::Timestamp;
use payload::Field;

/// What happened, as far as it concerns us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// `pull_request` or `pull_request_target`.
    PullRequest(PullRequestEvent),
    /// `issue_comment` with action `created`, on a pull request.
    Comment(CommentEvent),
    /// `workflow_run` with action `completed`.
    Build(BuildEvent),
    /// `schedule`.
    Schedule(Repository),
    /// `workflow_dispatch`, its inputs still as text.
    Dispatch(DispatchEvent),
    /// Anything else, and why it starts nothing.
    Ignored(Ignored),
}

impl Event {
    /// Reads the payload of the event of that name; `fallback` is the repository where the payload names none.
    pub fn parse(
        name: &str,
        payload: &str,
        fallback: Option<&Repository>,
    ) -> Result<Self, EventError> {
        if !KNOWN.contains(&name) {
            let why = format!(
                "event `{}` starts nothing; known are {}",
                shown(name),
                KNOWN.map(|name| format!("`{name}`")).join(", ")
            );
            return Ok(Self::ignored(ReasonCode::EventIgnored, why));
        }
        let value: serde_json::Value =
            serde_json::from_str(payload).map_err(|error| EventError::NotJson {
                event: name.into(),
                line: error.line(),
                column: error.column(),
            })?;
        let whole = Field::whole(name, &value);
        match name {
            "issue_comment" => comment(&whole),
            "schedule" => schedule(&whole, name, fallback),
            "workflow_dispatch" => dispatch(&whole),
            "workflow_run" => build(&whole),
            _ => pull_request(&whole, name == "pull_request_target"),
        }
    }

    /// The pull request that it is about, and the commit that it belongs to, as far as it names them.
    pub fn subject(&self) -> (Option<PrNumber>, Option<CommitSha>) {
        match self {
            Self::PullRequest(event) => {
                (Some(event.pull.number), Some(event.pull.head_sha.clone()))
            }
            Self::Comment(event) => (Some(event.pr), None),
            Self::Dispatch(event) => (event.pr.parse().ok(), event.sha.parse().ok()),
            Self::Build(event) => (None, Some(event.sha.clone())),
            Self::Ignored(ignored) => (ignored.pr, None),
            Self::Schedule(_) => (None, None),
        }
    }

    fn ignored(reason: ReasonCode, why: impl Into<String>) -> Self {
        Self::Ignored(Ignored {
            reason,
            why: why.into(),
            pr: None,
        })
    }
}

const KNOWN: [&str; 6] = [
    "pull_request",
    "pull_request_target",
    "issue_comment",
    "schedule",
    "workflow_dispatch",
    "workflow_run",
];

/// Login of GitHub's own bot whose runs get no secrets.
pub const DEPENDABOT: &str = "dependabot[bot]";

/// How each of our own comments begins.
const MARKER: &str = "<!-- preview-action ";

fn pull_request(whole: &Field<'_>, target: bool) -> Result<Event, EventError> {
    let action = match whole.get("action").text()? {
        "opened" => PullRequestAction::Opened,
        "synchronize" => PullRequestAction::Synchronize,
        "reopened" => PullRequestAction::Reopened,
        "ready_for_review" => PullRequestAction::ReadyForReview,
        "labeled" => PullRequestAction::Labeled,
        "unlabeled" => PullRequestAction::Unlabeled,
        "closed" => PullRequestAction::Closed,
        other => {
            let ignored = Ignored {
                reason: ReasonCode::EventIgnored,
                why: format!("action `{}` of a pull request starts nothing", shown(other)),
                pr: None,
            };
            return Ok(Event::Ignored(ignored.about(&whole.get("number"))));
        }
    };
    Ok(Event::PullRequest(PullRequestEvent {
        action,
        target,
        repository: payload::repository(&whole.get("repository"))?,
        pull: payload::pull_request(&whole.get("pull_request"))?,
        at: whole.get("pull_request").get("updated_at").moment(),
        sender: payload::user(&whole.get("sender"))?,
        label: payload::label(&whole.get("label"))?,
    }))
}

fn comment(whole: &Field<'_>) -> Result<Event, EventError> {
    let action = whole.get("action").text()?;
    if action != "created" {
        let why = format!(
            "action `{}` of a comment starts nothing: only a new comment is a command",
            shown(action)
        );
        return Ok(Event::ignored(ReasonCode::EventIgnored, why));
    }
    let issue = whole.get("issue");
    if issue.get("pull_request").is_null() {
        return Ok(Event::ignored(
            ReasonCode::NotAPullRequest,
            "the comment is on an issue, not on a pull request",
        ));
    }
    let comment = whole.get("comment");
    let author = payload::user(&comment.get("user"))?;
    let sender = payload::user(&whole.get("sender"))?;
    let body = comment.get("body").text_or_empty()?;
    if author.bot || sender.bot {
        return Ok(Event::ignored(
            ReasonCode::BotIgnored,
            "the comment is by a bot, and bots give no commands",
        ));
    }
    if body.starts_with(MARKER) {
        return Ok(Event::ignored(
            ReasonCode::BotIgnored,
            "the comment is one of our own",
        ));
    }
    let number = issue.get("number");
    Ok(Event::Comment(CommentEvent {
        repository: payload::repository(&whole.get("repository"))?,
        pr: number.valid(PrNumber::new(number.number()?), "is not a number from 1")?,
        comment: comment.get("id").number()?,
        body: body.into(),
        written: comment.get("created_at").time()?,
        association: comment.get("author_association").text_or_empty()?.into(),
        author,
        sender,
    }))
}

fn schedule(
    whole: &Field<'_>,
    event: &str,
    fallback: Option<&Repository>,
) -> Result<Event, EventError> {
    let repository = whole.get("repository");
    if !repository.is_null() {
        return Ok(Event::Schedule(payload::repository(&repository)?));
    }
    match fallback {
        Some(repository) => Ok(Event::Schedule(repository.clone())),
        None => Err(EventError::NoRepository {
            event: event.into(),
        }),
    }
}

fn dispatch(whole: &Field<'_>) -> Result<Event, EventError> {
    let inputs = whole.get("inputs");
    let input = |name: &str| -> Result<String, EventError> {
        Ok(inputs.get(name).typed()?.trim().to_owned())
    };
    Ok(Event::Dispatch(DispatchEvent {
        repository: payload::repository(&whole.get("repository"))?,
        sender: payload::user(&whole.get("sender"))?,
        command: input("command")?,
        pr: input("pr")?,
        sha: input("sha")?,
    }))
}

fn build(whole: &Field<'_>) -> Result<Event, EventError> {
    let action = whole.get("action").text()?;
    if action != "completed" {
        let why = format!(
            "action `{}` of a workflow run starts nothing",
            shown(action)
        );
        return Ok(Event::ignored(ReasonCode::EventIgnored, why));
    }
    let run = whole.get("workflow_run");
    let from = run.get("head_repository");
    if from.is_null() || run.get("head_branch").is_null() {
        return Ok(Event::ignored(
            ReasonCode::BuildIgnored,
            "the workflow run was about no branch, or the repository of its branch was deleted",
        ));
    }
    let head = payload::repository(&from)?;
    Ok(Event::Build(BuildEvent {
        repository: payload::repository(&whole.get("repository"))?,
        of: payload::repository(&run.get("repository"))?.id,
        path: run.get("path").text_or_empty()?.into(),
        event: run.get("event").text_or_empty()?.into(),
        succeeded: run.get("conclusion").text_or_empty()? == "success",
        sha: run.get("head_sha").name()?,
        branch: run.get("head_branch").text()?.into(),
        head_repository: head.id,
        head_owner: head.name.owner().to_owned(),
        begun: run.get("created_at").moment(),
        at: run.get("updated_at").moment(),
        sender: payload::user(&whole.get("sender"))?,
    }))
}

/// A name as it may stand in a log: what is no plain word is not repeated.
fn shown(name: &str) -> &str {
    let plain = name
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    if plain && !name.is_empty() && name.len() <= 40 {
        name
    } else {
        "?"
    }
}

/// The repository that an event belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    /// Number for life.
    pub id: RepoId,
    /// `owner/name`.
    pub name: RepoName,
    /// Default branch, such as `main`; none when the event does not say it.
    pub default_branch: Option<String>,
}

/// A pull request event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullRequestEvent {
    /// What happened to it.
    pub action: PullRequestAction,
    /// True for `pull_request_target`, which runs with secrets even for forks: nothing of the pull request is read then.
    pub target: bool,
    /// Base repository.
    pub repository: Repository,
    /// The pull request as it was.
    pub pull: PullRequest,
    /// When that was, if the payload says it.
    pub at: Option<Timestamp>,
    /// Who caused the event.
    pub sender: User,
    /// The label that was added or taken away, if that is what happened: untrusted text.
    pub label: Option<String>,
}

/// The actions of a pull request event that start something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PullRequestAction {
    /// Opened.
    Opened,
    /// New commits were pushed.
    Synchronize,
    /// Opened again.
    Reopened,
    /// No draft any more.
    ReadyForReview,
    /// A label was added.
    Labeled,
    /// A label was taken away.
    Unlabeled,
    /// Closed, merged or not.
    Closed,
}

/// A pull request, from an event or from the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullRequest {
    /// Number.
    pub number: PrNumber,
    /// Title: untrusted text.
    pub title: String,
    /// True while it is open.
    pub open: bool,
    /// True once it is merged.
    pub merged: bool,
    /// True for a draft.
    pub draft: bool,
    /// Names of its labels: untrusted text.
    pub labels: Vec<String>,
    /// Who opened it.
    pub author: User,
    /// Newest commit.
    pub head_sha: CommitSha,
    /// Branch that it comes from: untrusted text.
    pub head_branch: String,
    /// Repository that the branch is in; none when it was deleted.
    pub head_repository: Option<RepoId>,
    /// Commit that it is compared with.
    pub base_sha: CommitSha,
    /// Branch that it goes to.
    pub base_branch: String,
    /// Repository that it goes to.
    pub base_repository: RepoId,
}

impl PullRequest {
    /// True when the branch is in another repository, or in none any more.
    pub fn from_fork(&self) -> bool {
        self.head_repository != Some(self.base_repository)
    }

    /// True when Dependabot opened it: GitHub gives its runs none of the repository's secrets.
    pub fn by_dependabot(&self) -> bool {
        self.author.login == DEPENDABOT
    }
}

/// An account on GitHub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Login; `ghost` for an account that was deleted.
    pub login: String,
    /// True for an app or bot.
    pub bot: bool,
}

/// A comment that was made on a pull request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommentEvent {
    /// Repository.
    pub repository: Repository,
    /// Pull request.
    pub pr: PrNumber,
    /// Comment.
    pub comment: u64,
    /// Whole text: untrusted.
    pub body: String,
    /// When it was written, by GitHub's clock.
    pub written: Timestamp,
    /// How GitHub calls what its author has to do with the repository, such as `MEMBER`; it proves nothing, and may only take away.
    pub association: String,
    /// Who wrote it.
    pub author: User,
    /// Who caused the event.
    pub sender: User,
}

/// A run of another workflow that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildEvent {
    /// Repository that this event is of.
    pub repository: Repository,
    /// Repository whose workflow ran.
    pub of: RepoId,
    /// Path of the workflow, as `.github/workflows/build.yml`, sometimes with `@` and a ref behind it.
    pub path: String,
    /// Event that it ran for.
    pub event: String,
    /// True when it ended well.
    pub succeeded: bool,
    /// Commit that it ran for; for an event of a pull request its newest.
    pub sha: CommitSha,
    /// Branch that the commit is of: untrusted text.
    pub branch: String,
    /// Repository of that branch.
    pub head_repository: RepoId,
    /// Login of who owns that repository.
    pub head_owner: String,
    /// When it was begun for the first time, if the payload says it.
    pub begun: Option<Timestamp>,
    /// When it ended, if the payload says it.
    pub at: Option<Timestamp>,
    /// Who caused the event.
    pub sender: User,
}

/// A run that somebody started by hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DispatchEvent {
    /// Repository.
    pub repository: Repository,
    /// Who started it.
    pub sender: User,
    /// Input `command`; empty when absent.
    pub command: String,
    /// Input `pr`; empty when absent.
    pub pr: String,
    /// Input `sha`; empty when absent.
    pub sha: String,
}

/// An event that starts nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ignored {
    /// Why, as a reason code.
    pub reason: ReasonCode,
    /// Why, in one sentence for the log.
    pub why: String,
    /// The pull request that it is about, where that is known.
    pub pr: Option<PrNumber>,
}

impl Ignored {
    /// The same about this pull request, if the field is a number of one.
    fn about(mut self, number: &Field<'_>) -> Self {
        self.pr = number.number().ok().and_then(PrNumber::new);
        self
    }
}

#[cfg(test)]
mod tests;
