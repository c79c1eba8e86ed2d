//! Decides what a run would do, and does nothing of it: no cluster is asked, so that this may run without any secret.
//! It asks the same questions of GitHub as the run itself, by the same functions, and refuses whatever the ledger would have to allow.
//! The decision is an output: a build, or the approval of an environment, comes between it and the run that acts on it.

use super::{
    Allows, Story, Teller,
    approve::NO_FORK,
    built::{self, Outrun},
    denial, filter, ignored, quiet, react, seen, subject, verdict,
};
use crate::{
    event::{PullRequest, Repository},
    inputs::ApprovalGate,
    names::{CommitSha, PrNumber, ReasonCode},
    pipeline::{Audience, Caller, Ending, Exit, Failure, Ports},
    report::Note,
    trigger::{Asked, Commit, Denied, Trigger, filters, permission},
};
use std::sync::OnceLock;

/// What a run would do, in a word, and why.
#[derive(Debug)]
pub struct Planned {
    /// The output `decision`.
    pub decision: &'static str,
    /// How the plan ends.
    pub ending: Ending,
}

/// Decides what a run on this trigger would do.
pub async fn plan(
    ports: &Ports,
    trigger: &Trigger,
    caller: &Caller<'_>,
    audience: Audience<'_>,
) -> Planned {
    let planned = async {
        match trigger {
            Trigger::Ignore(_) => Ok(Err(ignored(trigger))),
            Trigger::Sweep(_, asked) => {
                let may = denial::may_sweep(ports, caller, asked.as_ref()).await?;
                Ok(may.map(|()| would(trigger)).map_err(quiet))
            }
            Trigger::Built(build) => match built::deploys(ports, build).await? {
                Ok(deploys) => any(ports, trigger, &deploys, caller, audience).await,
                Err(Outrun { mut ending, pulls }) => {
                    for pr in pulls.into_iter().filter(|_| has_ended(ports)) {
                        ending = gate_ended(ports, &build.repository, pr, audience).await?;
                    }
                    Ok(Err(ending))
                }
            },
            one_request => one(ports, one_request, caller, audience).await,
        }
    };
    let planned = tokio::select! {
        planned = Box::pin(planned) => planned,
        () = ports.stop.cancelled() => Ok(Err(Ending::cancelled())),
    };
    let (decision, mut ending) = match planned {
        Ok(Ok(ending)) => (trigger.decision(), ending),
        Ok(Err(ending)) if filters::is_skip(ending.reason) => ("skip", ending),
        Ok(Err(ending)) => ("ignore", ending),
        Err(failure) => ("ignore", Ending::failed(failure)),
    };
    let denied = ending.reason == ReasonCode::PermissionDenied;
    let gated = ports.settings.approval_gate != ApprovalGate::None;
    let last = ending.failure.is_some() || decision == "ignore" && gated;
    if let Some(reaction) = verdict(trigger, &ending).filter(|_| denied || last) {
        react(ports, trigger, reaction).await;
    }
    ending.notices.extend(ports.take_notices());
    ending.spell(ports.settings.command_prefix.as_deref());
    Planned { decision, ending }
}

/// True where no run comes after a plan that decides to do nothing: what people asked for is answered here or never.
fn answers(ports: &Ports) -> bool {
    ports.settings.approval_gate == ApprovalGate::Waits
}

/// True where the job that was to deploy has ended or never comes, so that nothing is left but to say so.
fn has_ended(ports: &Ports) -> bool {
    let gate = ports.settings.approval_gate;
    [ApprovalGate::Ended, ApprovalGate::Unbuilt].contains(&gate)
}

/// Those that share a commit share the plan: it deploys where one of them would be deployed, and all of those wait for the approval.
async fn any(
    ports: &Ports,
    trigger: &Trigger,
    deploys: &[Trigger],
    caller: &Caller<'_>,
    audience: Audience<'_>,
) -> Result<Result<Ending, Ending>, Failure> {
    let (mut planned, mut refused) = (None, None);
    for deploy in deploys {
        match one(ports, deploy, caller, audience).await? {
            Ok(ending) if !answers(ports) => return Ok(Ok(ending)),
            Ok(ending) => planned = planned.or(Some(ending)),
            Err(ending) => refused = refused.or(Some(ending)),
        }
    }
    Ok(match (planned, refused) {
        (None, Some(ending)) => Err(ending),
        (planned, _) => Ok(planned.unwrap_or_else(|| would(trigger))),
    })
}

async fn one(
    ports: &Ports,
    trigger: &Trigger,
    caller: &Caller<'_>,
    audience: Audience<'_>,
) -> Result<Result<Ending, Ending>, Failure> {
    let Some(request) = trigger.request() else {
        return Ok(Ok(would(trigger)));
    };
    let met = OnceLock::new();
    let story = Story {
        ports,
        trigger,
        request,
        caller,
        audience,
        met: &met,
    };
    let (planned, ()) = tokio::join!(story.plan(), seen(ports, trigger));
    let about = |mut ending: Ending| {
        ending.subject = ending.subject.or(subject(trigger, met.get()));
        ending
    };
    let planned = planned.map_err(|mut failure| {
        // No job comes after this one that could say it.
        if failure.is_of_github() && matches!(request.asked, Asked::Comment { .. }) {
            story.asks_again(&mut failure);
        }
        failure
    });
    Ok(match planned? {
        Ok(()) => Ok(about(would(trigger))),
        Err(ending) => Err(about(ending)),
    })
}

fn would(trigger: &Trigger) -> Ending {
    if let Trigger::Mistake(_, answer) = trigger {
        return Ending::quiet(None, ReasonCode::NotACommand, answer.clone());
    }
    let why = format!(
        "the decision is to {}; nothing was done",
        trigger.decision()
    );
    Ending::quiet(None, ReasonCode::Planned, why)
}

impl Story<'_> {
    /// Lets through what a run would do; else how it would end.
    async fn plan(&self) -> Result<Result<(), Ending>, Failure> {
        if has_ended(self.ports) {
            let request = self.request;
            let ended = gate_ended(self.ports, &request.repository, request.pr, self.audience);
            return ended.await.map(Err);
        }
        if let Trigger::Deny(_, denied) = self.trigger {
            return Ok(Err(self.unheard(denied).await));
        }
        let allows: Allows = match self.trigger {
            Trigger::Take { .. } => (permission::may_take, self.maintainers()),
            Trigger::Approve(_) => (permission::may_approve, self.maintainers()),
            _ => (permission::may_command, self.ports.settings.min_permission),
        };
        if let (Trigger::Approve(_), Err(denied)) = (self.trigger, self.people_ask()) {
            return Ok(Err(quiet(denied)));
        }
        let pull = match self.pull_for(allows).await? {
            Ok(pull) => pull,
            Err(denied) => return Ok(Err(quiet(denied))),
        };
        // In the same order as the run.
        if self.by_itself(&pull)
            && let Some(denied) = filter::keeps_back(self.ports, &pull).await
        {
            return Ok(Err(quiet(denied)));
        }
        let pinned = match self.trigger {
            Trigger::Approve(_) => self.current(&pull),
            _ => self.pinned(&pull).await?,
        };
        let refused = self.may(&pull, &pinned).err();
        let sha = pinned.as_ref().unwrap_or(&pull.head_sha);
        if answers(self.ports)
            && let Err(failure) = self.say(&pull, sha, refused.as_ref()).await
        {
            // The decision is none the worse for it: GitHub itself shows who waits, and the summary says why.
            let line = failure.line();
            let what = match (&refused, self.trigger) {
                (None, trigger) if !matches!(trigger, Trigger::Mistake(..)) => {
                    "that the commit waits for approval"
                }
                _ => "why nothing is done",
            };
            self.ports
                .notice(format!("the comment does not say {what}: {line}"));
        }
        Ok(match refused {
            Some(denied) => Err(quiet(denied)),
            None => Ok(()),
        })
    }

    /// Says in the comment what no run says after this plan: that the commit waits for approval, or why a command is not followed.
    async fn say(
        &self,
        pull: &PullRequest,
        sha: &CommitSha,
        refused: Option<&Denied>,
    ) -> Result<(), Failure> {
        let mut teller = self.teller(sha, pull.open);
        match (refused, self.trigger) {
            (Some(_), _) if self.request.asked.is_event() => Ok(()),
            // The proof of the removal says more than that a closed pull request has no preview.
            (Some(denied), _) if denied.reason == ReasonCode::PullRequestClosed => {
                match teller.says_removed().await? {
                    true => Ok(()),
                    false => teller.replies(denied).await,
                }
            }
            (Some(denied), _) => teller.replies(denied).await,
            (None, Trigger::Mistake(_, answer)) => {
                let mistake = Denied {
                    reason: ReasonCode::NotACommand,
                    cause: answer.clone(),
                    remedy: String::new(),
                };
                teller.replies(&mistake).await
            }
            (
                None,
                Trigger::Deploy(_) | Trigger::Take { .. } | Trigger::Approve(_) | Trigger::Wake(_),
            ) => teller.awaits_gate(sha).await,
            (None, _) => Ok(()),
        }
    }

    /// What is refused without asking the ledger: of a fork only it knows what was approved.
    fn may(&self, pull: &PullRequest, pinned: &Result<CommitSha, Denied>) -> Result<(), Denied> {
        let current = || pinned.clone().map(drop);
        match self.trigger {
            Trigger::Deploy(_) | Trigger::Announce(_) => {
                permission::may_live(pull)?;
                current()?;
                match self.called() {
                    true => Ok(()),
                    false => {
                        permission::may_deploy(pull, None).map_err(|denied| unasked(pull, denied))
                    }
                }
            }
            Trigger::Take { .. } => {
                permission::may_deploy(pull, None).map_err(|denied| unasked(pull, denied))?;
                current()
            }
            Trigger::Approve(_) if !pull.from_fork() => Err(Denied {
                reason: ReasonCode::NothingToApprove,
                cause: NO_FORK.into(),
                remedy: "comment `/deploy`".into(),
            }),
            Trigger::Approve(_) => {
                permission::may_be_approved(pull)?;
                current()
            }
            Trigger::Remove(_)
                if pull.open && matches!(self.request.asked, Asked::Event { .. }) =>
            {
                Err(Denied {
                    reason: ReasonCode::EventIgnored,
                    cause: "the pull request is open again".into(),
                    remedy: "its preview stays".into(),
                })
            }
            Trigger::Rollback(_) | Trigger::Life(..) | Trigger::Sleep(_) | Trigger::Wake(_) => {
                permission::may_live(pull)
            }
            _ => Ok(()),
        }
    }

    /// True for a run that was started for a fork's commit in line: it was approved when it was named, and the run asks the ledger again.
    fn called(&self) -> bool {
        self.request.asked.is_workflow() && matches!(self.request.commit, Commit::Named(_))
    }
}

/// Says that the job has ended without a word of its own: takes the call for an approval back where it stands there still, or
/// answers that nothing was built for it.
async fn gate_ended(
    ports: &Ports,
    repository: &Repository,
    pr: PrNumber,
    audience: Audience<'_>,
) -> Result<Ending, Failure> {
    let Some(sha) = &ports.settings.sha else {
        return Err(Failure::yours(
            ReasonCode::BadInput,
            "input `approval-gate`: `ended` and `unbuilt` need the commit that was to be deployed",
            "set `sha` to the output `sha` of the step that has planned",
        ));
    };
    let preview = super::preview_of(ports, repository, pr);
    let mut teller = Teller::open(ports, &preview, &repository.name, audience);
    if ports.settings.approval_gate == ApprovalGate::Unbuilt {
        let unbuilt = Denied {
            reason: ReasonCode::BuildIgnored,
            cause: format!(
                "the build of {} has failed or its run was cancelled, so that run has deployed nothing",
                sha.short()
            ),
            remedy: "read the log of its run, and push a fix or give the command again".into(),
        };
        teller.about(sha);
        teller.replies(&unbuilt).await?;
        return Ok(quiet(unbuilt));
    }
    let ended = Note {
        cause: "its run has ended, and nobody has approved it or the run has failed".into(),
        remedy: "push again or give the command again".into(),
    };
    let why = match teller.gate_ended(sha, ended).await? {
        true => "the comment does not call for an approval any more",
        false => "the comment calls for no approval of that commit",
    };
    Ok(Ending::quiet(None, ReasonCode::Planned, why))
}

/// What a plan knows of a fork's commit: not whether somebody has approved it before.
fn unasked(pull: &PullRequest, denied: Denied) -> Denied {
    match denied.reason {
        ReasonCode::ApprovalNeeded => Denied {
            cause: format!(
                "commit {} comes from a fork, and only its approval brings it into the cluster here",
                pull.head_sha.short()
            ),
            remedy: format!(
                "a maintainer reads it and comments `/approve {}`",
                pull.head_sha
            ),
            ..denied
        },
        _ => denied,
    }
}

/// Takes back the call to approve a commit whose run was let through and has come to nothing that it could tell.
pub(super) async fn gate_is_over(
    ports: &Ports,
    repository: &Repository,
    pr: PrNumber,
    audience: Audience<'_>,
    ending: &Ending,
) {
    let Some(sha) = &ports.settings.sha else {
        return;
    };
    if ending.exit != Exit::Done || ending.view.is_some() || ports.stop.is_cancelled() {
        return;
    }
    let preview = super::preview_of(ports, repository, pr);
    let mut teller = Teller::open(ports, &preview, &repository.name, audience);
    let why = Note {
        cause: ending.why.clone(),
        remedy: String::new(),
    };
    if let Err(failure) = teller.gate_ended(sha, why).await {
        tracing::warn!(reason = %failure.reason(), "the comment still calls for an approval: {}", failure.line());
    }
}
