//! Turns the inputs of a run that was started by hand into a trigger.
//! It does not know the workflow that declares them; they arrive as text.
//! Whoever fills a form wrongly is told so: doing nothing, or something else, would pass for success.

use super::{
    About, Asked, Denied, Trigger,
    command::{self, Command, FirstLine},
};
use crate::{
    event::DispatchEvent,
    names::{CommitSha, PrNumber, ReasonCode, cut},
};

/// The trigger that a form asks for.
pub(super) fn decide(event: &DispatchEvent) -> Result<Trigger, Denied> {
    let word = event
        .command
        .strip_prefix('/')
        .unwrap_or(event.command.as_str());
    let named = sha(event, word)?;
    let asked = Asked::Dispatch {
        sender: event.sender.clone(),
    };
    let command = match word {
        "deploy" => Command::Deploy(named),
        "approve" => Command::Approve(named.ok_or_else(|| {
            bad(
                "input `sha` is empty, and `approve` is about one commit",
                FULL,
            )
        })?),
        "undeploy" => Command::Undeploy,
        "rollback" => Command::Rollback,
        "pin" => Command::Pin,
        "unpin" => Command::Unpin,
        "sleep" => Command::Sleep,
        "wake" => Command::Wake,
        "diff" => Command::Diff,
        "check" => Command::Check,
        "status" => Command::Status,
        "help" => Command::Help,
        "sweep" if event.pr.is_empty() => {
            return Ok(Trigger::Sweep(event.repository.clone(), Some(asked)));
        }
        "sweep" => {
            return Err(bad(
                "input `pr` is given, and `sweep` is about all pull requests",
                "leave `pr` empty",
            ));
        }
        extend if extend.starts_with("extend") => match command::parse(&format!("/{extend}")) {
            Some(FirstLine::Command(command)) => command,
            _ => {
                return Err(bad(
                    format!("input `command` is {}, which says no time", shown(extend)),
                    "write one from 5m to 90d behind it, such as `extend 2d`",
                ));
            }
        },
        logs if logs.split(' ').next() == Some("logs") => {
            match command::parse(&format!("/{logs}")) {
                Some(FirstLine::Command(command)) => command,
                _ => {
                    return Err(bad(
                        format!("input `command` is {}, which names no log", shown(logs)),
                        "write `logs`, and behind it the name of a service if you like",
                    ));
                }
            }
        }
        "" => return Err(bad("input `command` is empty", COMMANDS)),
        other => {
            return Err(bad(
                format!("input `command` is {}, which is no command", shown(other)),
                COMMANDS,
            ));
        }
    };
    let about = About {
        repository: &event.repository,
        pr: pr(event)?,
        asked,
    };
    Ok(about.asks_for(command))
}

const FULL: &str = "write all 40 hexadecimal digits of the pull request's head";

const COMMANDS: &str = "write `deploy`, `approve`, `undeploy`, `rollback`, `extend 2d`, `pin`, `unpin`, `sleep`, `wake`, `logs`, `diff`, `check`, `status`, `help` or `sweep`";

fn pr(event: &DispatchEvent) -> Result<PrNumber, Denied> {
    let fix = "write the number of the pull request, such as `12`";
    if event.pr.is_empty() {
        return Err(bad("input `pr` is empty", fix));
    }
    event.pr.parse().map_err(|_| {
        bad(
            format!("input `pr` is {}, which is no number", shown(&event.pr)),
            fix,
        )
    })
}

fn sha(event: &DispatchEvent, command: &str) -> Result<Option<CommitSha>, Denied> {
    if event.sha.is_empty() {
        return Ok(None);
    }
    if !["deploy", "approve"].contains(&command) {
        return Err(bad(
            "input `sha` is given, and only `deploy` and `approve` take one",
            "leave `sha` empty",
        ));
    }
    let parsed = event.sha.parse().map_err(|_| {
        bad(
            format!(
                "input `sha` is {}, which is no full commit id",
                shown(&event.sha)
            ),
            "write all 40 hexadecimal digits of a commit of the pull request, or leave `sha` empty",
        )
    })?;
    Ok(Some(parsed))
}

fn shown(value: &str) -> String {
    format!("{:?}", cut(value, 80))
}

fn bad(cause: impl Into<String>, remedy: &str) -> Denied {
    Denied {
        reason: ReasonCode::BadInput,
        cause: cause.into(),
        remedy: remedy.into(),
    }
}
