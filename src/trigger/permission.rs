//! Decides who may give a command and which pull requests may be deployed.
//! It asks nobody: the level and the pull request are arguments, fresh from GitHub.
//! It fails closed: what is not known to be allowed is refused.

use super::{Asked, Commit, Denied};
use crate::{
    event::PullRequest,
    inputs::MinPermission,
    names::{AccessLevel, CommitSha, ReasonCode},
};

/// Who a workflow's own token is.
const WORKFLOW_BOT: &str = "github-actions[bot]";

/// GitHub lists no more commits of a pull request.
const LISTED: usize = 250;

impl Asked {
    /// The comment that asked, if one did.
    pub fn comment(&self) -> Option<u64> {
        match self {
            Self::Comment { id, .. } => Some(*id),
            _ => None,
        }
    }

    /// True when nobody asked: it comes by itself, and filters decide.
    pub fn is_event(&self) -> bool {
        matches!(self, Self::Event { .. } | Self::Build { .. })
    }

    /// True for a comment by somebody whom GitHub calls none of the repository's people: nothing is spent on it before it may be followed.
    pub fn is_strange(&self) -> bool {
        matches!(self, Self::Comment { known: false, .. })
    }

    /// True when a workflow of the repository has started it, with its own token.
    pub fn is_workflow(&self) -> bool {
        matches!(self, Self::Dispatch { sender } if sender.bot && sender.login == WORKFLOW_BOT)
    }

    /// The logins whose level must be asked before the request is followed.
    ///
    /// Whoever runs an old run again gives its command anew, so that person is asked about too.
    pub fn must_ask<'a>(&'a self, attempt: u32, triggering_actor: &'a str) -> Vec<&'a str> {
        let who = match self {
            Self::Event { .. } | Self::Build { .. } => return Vec::new(),
            Self::Dispatch { sender } => sender,
            Self::Comment { author, .. } => author,
        };
        let again = Some(triggering_actor)
            .filter(|again| attempt > 1 && !again.eq_ignore_ascii_case(&who.login));
        let first = Some(who.login.as_str()).filter(|_| !self.is_workflow());
        first.into_iter().chain(again).collect()
    }
}

/// Lets those with the permission that is asked for give commands; `role` is the role as GitHub calls it, which the denial shows.
pub fn may_command(
    login: &str,
    level: AccessLevel,
    role: &str,
    needed: MinPermission,
) -> Result<(), Denied> {
    if reaches(level, role, needed) {
        return Ok(());
    }
    let (role, needed) = (shown(level, role), needed.as_str());
    Err(Denied {
        reason: ReasonCode::PermissionDenied,
        cause: format!("{login} has the role `{role}` here, and commands need `{needed}`"),
        remedy: format!("ask somebody with the role `{needed}` to give the command"),
    })
}

/// A role's name counts only together with the level that goes with it: anybody may call a role of their own `admin`.
fn reaches(level: AccessLevel, role: &str, needed: MinPermission) -> bool {
    match needed {
        MinPermission::Write => level >= AccessLevel::Write,
        MinPermission::Maintain => {
            level >= AccessLevel::Admin || (level >= AccessLevel::Write && role == "maintain")
        }
        MinPermission::Admin => level >= AccessLevel::Admin,
    }
}

/// The role as GitHub calls it, or its level where GitHub names none.
fn shown(level: AccessLevel, role: &str) -> &str {
    if role.is_empty() {
        level.as_str()
    } else {
        role
    }
}

/// Lets maintainers move somebody else's preview aside; the denial shows role and what is needed.
pub fn may_take(
    login: &str,
    level: AccessLevel,
    role: &str,
    needed: MinPermission,
) -> Result<(), Denied> {
    let remedy = "ask a maintainer to give the command, or the owner of that preview to comment `/undeploy` there";
    maintains(
        (login, level, role),
        needed,
        "taking another preview's slot",
        remedy,
    )
}

/// Lets maintainers approve what comes from a fork; the denial shows role and what is needed.
pub fn may_approve(
    login: &str,
    level: AccessLevel,
    role: &str,
    needed: MinPermission,
) -> Result<(), Denied> {
    let remedy = "ask a maintainer to read the commit and to approve it";
    maintains(
        (login, level, role),
        needed,
        "approving a commit of a fork",
        remedy,
    )
}

fn maintains(
    (login, level, role): (&str, AccessLevel, &str),
    needed: MinPermission,
    what: &str,
    remedy: &str,
) -> Result<(), Denied> {
    if reaches(level, role, needed.max(MinPermission::Maintain)) {
        return Ok(());
    }
    let (role, roles) = (shown(level, role), approvers(needed));
    Err(Denied {
        reason: ReasonCode::PermissionDenied,
        cause: format!(
            "{login} has the role `{role}` here, and {what} needs `{}`",
            roles.join("` or `")
        ),
        remedy: remedy.into(),
    })
}

/// The roles that maintainers have here.
pub fn approvers(needed: MinPermission) -> &'static [&'static str] {
    match needed {
        MinPermission::Admin => &["admin"],
        MinPermission::Write | MinPermission::Maintain => &["maintain", "admin"],
    }
}

/// Lets open pull requests be deployed: those of the repository itself, and of a fork the one commit that was approved.
pub fn may_deploy(pull: &PullRequest, approved: Option<&CommitSha>) -> Result<(), Denied> {
    may_live(pull)?;
    if !pull.from_fork() {
        return Ok(());
    }
    may_be_approved(pull)?;
    if approved == Some(&pull.head_sha) {
        return Ok(());
    }
    Err(Denied {
        reason: ReasonCode::ApprovalNeeded,
        cause: format!(
            "commit {} comes from a fork and is not approved",
            pull.head_sha.short()
        ),
        remedy: format!(
            "a maintainer reads it and comments: /approve {}",
            pull.head_sha
        ),
    })
}

/// Lets open pull requests from forks be approved, while there is a fork that they come from.
pub fn may_be_approved(pull: &PullRequest) -> Result<(), Denied> {
    may_live(pull)?;
    if pull.head_repository.is_some() {
        return Ok(());
    }
    Err(Denied {
        reason: ReasonCode::ForkRefused,
        cause: format!(
            "the repository that pull request #{} comes from was deleted",
            pull.number
        ),
        remedy: "push the branch to this repository after reading it, and open the pull request from there".into(),
    })
}

/// Lets open pull requests keep and use the preview that they have.
pub fn may_live(pull: &PullRequest) -> Result<(), Denied> {
    if !pull.open {
        let how = if pull.merged { "merged" } else { "closed" };
        return Err(Denied {
            reason: ReasonCode::PullRequestClosed,
            cause: format!("pull request #{} is {how}", pull.number),
            remedy: "reopen it, or open another one, to have a preview".into(),
        });
    }
    Ok(())
}

/// Lets a commit be deployed by its name that is one of the pull request's, as GitHub lists them.
pub fn may_name(sha: &CommitSha, pull: &PullRequest, commits: &[CommitSha]) -> Result<(), Denied> {
    if commits.contains(sha) {
        return Ok(());
    }
    let (number, short) = (pull.number, sha.short());
    Err(Denied {
        reason: ReasonCode::CommitUnknown,
        cause: match commits.len() {
            LISTED.. => format!(
                "{short} is none of the {LISTED} commits of pull request #{number} that GitHub lists at most"
            ),
            _ => format!("{short} is no commit of pull request #{number}"),
        },
        remedy: format!(
            "name one of its commits by all 40 digits, such as its newest: `/deploy {}`",
            pull.head_sha
        ),
    })
}

impl Commit {
    /// The commit that somebody named, where GitHub must say whether it is the pull request's: it is open, comes from no fork, and
    /// has another newest one.
    pub fn names_another(&self, pull: &PullRequest) -> Option<&CommitSha> {
        match self {
            Self::Named(sha) if pull.open && !pull.from_fork() => {
                Some(sha).filter(|sha| **sha != pull.head_sha)
            }
            _ => None,
        }
    }

    /// The commit that the request is about, pinned for the whole run. One that somebody named and that is not the head is refused
    /// here: it counts only where GitHub says whose it is, see [`Self::names_another`].
    pub fn pin(&self, pull: &PullRequest) -> Result<CommitSha, Denied> {
        match self {
            Self::Payload(sha) | Self::Planned(sha) => Ok(sha.clone()),
            Self::Head => Ok(pull.head_sha.clone()),
            Self::Named(sha) if *sha == pull.head_sha => Ok(sha.clone()),
            Self::Named(sha) => Err(Denied {
                reason: ReasonCode::Superseded,
                cause: format!(
                    "{} is not the head of pull request #{}, {} is",
                    sha.short(),
                    pull.number,
                    pull.head_sha.short()
                ),
                remedy: format!("read that commit and name it: `/deploy {}`", pull.head_sha),
            }),
        }
    }
}

#[cfg(test)]
#[path = "permission_tests.rs"]
mod tests;
