//! Decides what a run would do, and does nothing of it: no cluster is asked, so that this may run without any secret.
//! It asks the same questions of GitHub as the run itself, by the same functions, and refuses whatever the ledger would have to allow.
//! The decision is an output: a build, or the approval of an environment, comes between it and the run that acts on it.

use super::{
    Allows, Story, Teller, approve::NO_FORK, built, filter, ignored, quiet, react, subject,
};
use crate::{
    event::PullRequest,
    github::Reaction,
    inputs::ApprovalGate,
    names::ReasonCode,
    pipeline::{Audience, Caller, Ending, Failure, Ports},
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
            Trigger::Sweep(_) => Ok(Ok(would(trigger))),
            Trigger::Built(build) => match built::deploys(ports, build).await? {
                Ok(deploys) => any(ports, trigger, &deploys, caller, audience).await,
                Err(ending) => Ok(Err(ending)),
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
    if ending.reason == ReasonCode::PermissionDenied {
        react(ports, trigger, Reaction::MinusOne).await;
    }
    ending.notices.extend(ports.take_notices());
    ending.spell(ports.settings.command_prefix.as_deref());
    Planned { decision, ending }
}

/// Those that share a commit share the plan: it deploys where one of them would be deployed.
async fn any(
    ports: &Ports,
    trigger: &Trigger,
    deploys: &[Trigger],
    caller: &Caller<'_>,
    audience: Audience<'_>,
) -> Result<Result<Ending, Ending>, Failure> {
    let mut refused = None;
    for deploy in deploys {
        match one(ports, deploy, caller, audience).await? {
            Ok(ending) => return Ok(Ok(ending)),
            Err(ending) => refused = refused.or(Some(ending)),
        }
    }
    Ok(match refused {
        Some(ending) => Err(ending),
        None => Ok(would(trigger)),
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
    let head = OnceLock::new();
    let story = Story {
        ports,
        trigger,
        request,
        caller,
        audience,
        head: &head,
    };
    let (planned, ()) = tokio::join!(story.plan(), react(ports, trigger, Reaction::Eyes));
    let about = |mut ending: Ending| {
        ending.subject = ending.subject.or(subject(trigger, head.get().cloned()));
        ending
    };
    Ok(match planned? {
        Ok(()) => Ok(about(would(trigger))),
        Err(ending) => Err(about(ending)),
    })
}

fn would(trigger: &Trigger) -> Ending {
    let reason = match trigger {
        Trigger::Mistake(..) => ReasonCode::NotACommand,
        _ => ReasonCode::Planned,
    };
    let why = format!(
        "the decision is to {}; nothing was done",
        trigger.decision()
    );
    Ending::quiet(None, reason, why)
}

impl Story<'_> {
    /// Lets through what a run would do; else how it would end.
    async fn plan(&self) -> Result<Result<(), Ending>, Failure> {
        if self.ports.settings.approval_gate == ApprovalGate::Ended {
            return self.gate_ended().await.map(Err);
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
        if let Err(denied) = self.may(&pull) {
            return Ok(Err(quiet(denied)));
        }
        let deploys = matches!(
            self.trigger,
            Trigger::Deploy(_) | Trigger::Take { .. } | Trigger::Approve(_)
        );
        if deploys
            && self.ports.settings.approval_gate == ApprovalGate::Waits
            && let Err(failure) = self.say_gate(&pull).await
        {
            // The decision is none the worse for it: GitHub itself shows who waits.
            self.ports.notice(format!(
                "the comment does not say that the commit waits for approval: {}",
                failure.line()
            ));
        }
        Ok(Ok(()))
    }

    /// What is refused without asking the ledger: of a fork only it knows what was approved.
    fn may(&self, pull: &PullRequest) -> Result<(), Denied> {
        let current = || {
            let sha = self.request.pin(pull)?;
            super::current(sha, pull).map(drop)
        };
        match self.trigger {
            Trigger::Deploy(_) | Trigger::Announce(_) => {
                permission::may_live(pull)?;
                current()?;
                match self.called() {
                    true => Ok(()),
                    false => permission::may_deploy(pull, None),
                }
            }
            Trigger::Take { .. } => {
                permission::may_deploy(pull, None)?;
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

    /// Says in the comment that the run waits for the approval of a GitHub environment.
    async fn say_gate(&self, pull: &PullRequest) -> Result<(), Failure> {
        self.teller_of_gates().awaits_gate(&pull.head_sha).await
    }

    /// Takes that back where it stands there still, because the job has ended without a word of its own.
    async fn gate_ended(&self) -> Result<Ending, Failure> {
        let Some(sha) = &self.ports.settings.sha else {
            return Err(Failure::yours(
                ReasonCode::BadInput,
                "input `approval-gate`: `ended` needs the commit that was to be approved",
                "set `sha` to the output `sha` of the step that has planned",
            ));
        };
        let why = match self.teller_of_gates().gate_ended(sha).await? {
            true => "the comment does not call for an approval any more",
            false => "the comment calls for no approval of that commit",
        };
        Ok(Ending::quiet(None, ReasonCode::Planned, why))
    }

    fn teller_of_gates(&self) -> Teller<'_> {
        let name = &self.request.repository.name;
        Teller::open(self.ports, &self.preview(), name, self.audience)
    }
}
