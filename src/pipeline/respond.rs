//! The action's whole story: what an event asked for, who asked, and the use case that answers.
//! It decides nothing that `trigger` can decide; here stand only the questions that need GitHub's answer.
//! Everything is refused unless an answer allows it: an unreadable permission is no permission.

mod admit;
mod approve;
mod bug;
mod built;
mod denial;
mod deploys;
mod heard;
mod looks;
mod overtaken;
mod plan;
mod record;
mod rival;
mod unanswered;

pub use plan::{Planned, plan};

use super::{
    Ending, Exit, Failure, Ports, RemoveReason, RemoveRequest, Subject,
    acknowledge::{courtesy, react, seen, verdict},
    filter,
    heap::heap,
    inspect, issues, life,
    promote::{Promoted, promote},
    remove,
    request::Basis,
    rollback,
    sleep::Bed,
    sweep::{Mandate, sweep},
    teller::{Audience, Teller},
};
use crate::{
    event::{DEPENDABOT, Event, PullRequest, Repository},
    github::Reaction,
    inputs::{MinPermission, Mode},
    metrics::Action,
    names::{AccessLevel, CommitSha, PrNumber, PreviewKey, ReasonCode, State},
    trigger::{Asked, Commit, Denied, Life, Request, Trigger, permission},
};
use futures::FutureExt as _;
use std::{panic::AssertUnwindSafe, path::Path, sync::OnceLock, time::Duration};

/// What is left after a cancellation before everything is given up.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Who calls, as far as the pipeline must know.
#[derive(Debug, Clone, Copy)]
pub struct Caller<'a> {
    /// Folder that a checkout may be in.
    pub workspace: Option<&'a Path>,
    /// How often the run was started, from 1.
    pub attempt: u32,
    /// Login of who started it this time.
    pub actor: &'a str,
}

/// The ending of a trigger that does nothing.
pub fn ignored(trigger: &Trigger) -> Ending {
    match trigger {
        Trigger::Ignore(ignored) => Ending::quiet(None, ignored.reason, ignored.why.clone()),
        other => Ending::quiet(
            None,
            ReasonCode::EventIgnored,
            format!("nothing to {}", other.decision()),
        ),
    }
}

/// Ends a run that was started without credentials on purpose: GitHub gives none to forks and to Dependabot.
pub fn without_credentials(event: &Event, ports_have: (bool, bool)) -> Option<Ending> {
    let Event::PullRequest(event) = event else {
        return None;
    };
    let (token, kubeconfig) = ports_have;
    let outsider =
        event.pull.from_fork() || event.sender.login == DEPENDABOT || event.pull.by_dependabot();
    let why = "GitHub gives this run no secrets, because the pull request comes from a fork or from Dependabot; nothing was deployed";
    (outsider && !(token && kubeconfig))
        .then(|| Ending::quiet(None, ReasonCode::NoCredentials, why))
}

/// Does what the trigger says.
pub async fn respond(
    ports: &Ports,
    trigger: &Trigger,
    caller: &Caller<'_>,
    audience: Audience<'_>,
) -> Ending {
    let met = OnceLock::new();
    let story = |request| Story {
        ports,
        trigger,
        request,
        caller,
        audience,
        met: &met,
    };
    let answer = async {
        match trigger {
            Trigger::Ignore(_) => Ok(ignored(trigger)),
            Trigger::Deny(request, denied) => {
                let story = story(request);
                heap(|| async { Ok(story.unheard(denied).await) }).await
            }
            Trigger::Built(build) => heap(|| built::deploy(ports, build, caller, audience)).await,
            // On the heap, because the largest of them would be the size of all.
            Trigger::Sweep(repository, asked) => {
                heap(|| async {
                    match denial::may_sweep(ports, caller, asked.as_ref()).await? {
                        Ok(()) => sweep(ports, repository, Mandate::of_workflow(true)).await,
                        Err(denied) => Ok(quiet(denied)),
                    }
                })
                .await
            }
            Trigger::Deploy(request) => heap(|| async { story(request).deploy().await }).await,
            Trigger::Take { request, from } => {
                heap(|| async { story(request).take(*from).await }).await
            }
            Trigger::Approve(request) => heap(|| async { story(request).approve().await }).await,
            Trigger::Announce(request) => heap(|| async { story(request).announce().await }).await,
            Trigger::Remove(request) => heap(|| async { story(request).remove().await }).await,
            Trigger::Rollback(request) => heap(|| async { story(request).rollback().await }).await,
            Trigger::Life(request, wish) => {
                let action = match wish {
                    Life::Extend(_) => Action::Extend,
                    Life::Pin => Action::Pin,
                    Life::Unpin => Action::Unpin,
                };
                let story = story(request);
                heap(|| story.recorded(action, story.live(*wish))).await
            }
            Trigger::Sleep(request) => heap(|| async { story(request).sleep(false).await }).await,
            Trigger::Wake(request) => heap(|| async { story(request).sleep(true).await }).await,
            Trigger::Logs(request, which) => {
                let story = story(request);
                heap(|| story.recorded(Action::Logs, story.logs(which))).await
            }
            Trigger::Diff(request) => {
                let story = story(request);
                heap(|| story.recorded(Action::Diff, story.diff())).await
            }
            Trigger::Check(request) => {
                let story = story(request);
                heap(|| story.recorded(Action::Check, story.check())).await
            }
            Trigger::Status(request) => {
                let story = story(request);
                heap(|| story.recorded(Action::Status, story.status())).await
            }
            Trigger::Help(request) => {
                let story = story(request);
                heap(|| story.recorded(Action::Help, story.help())).await
            }
            Trigger::Mistake(request, answer) => {
                heap(|| async { story(request).mistake(answer).await }).await
            }
        }
    };
    let answer = async {
        // Who waits for an answer sees at once that there will be one.
        let (answer, ()) = tokio::join!(answer, seen(ports, trigger));
        answer
    };
    // Use cases say their own last word within four seconds; whatever else is under way is given up after five.
    let patience = || async {
        ports.stop.cancelled().await;
        tokio::time::sleep(LAST_WORDS).await;
    };
    let ending = tokio::select! {
        ending = AssertUnwindSafe(answer).catch_unwind() => ending,
        () = patience() => return Ending::cancelled(),
    };
    let mut ending = match ending {
        Ok(ending) => ending.unwrap_or_else(Ending::failed),
        Err(_) => bug::bug(ports, trigger, audience).await,
    };
    if let Some(request) = trigger.request() {
        tokio::select! {
            () = heap(|| async { story(request).answers_for(&mut ending).await }) => {}
            () = patience() => {}
        }
    }
    ending.subject = ending.subject.or(subject(trigger, met.get()));
    // Whoever was stopped while another run had the turn has not shown what was asked for.
    let patient = matches!(
        trigger,
        Trigger::Life(..) | Trigger::Sleep(_) | Trigger::Wake(_)
    );
    if patient && ports.stop.is_cancelled() && ending.exit == Exit::Done && ending.view.is_none() {
        ending = Ending::cancelled();
    }
    if let Some(Request { repository, pr, .. }) = trigger.request() {
        heap(|| plan::gate_is_over(ports, repository, *pr, audience, &ending)).await;
    }
    if let Some(reaction) = verdict(trigger, &ending).filter(|_| !ports.stop.is_cancelled()) {
        react(ports, trigger, reaction).await;
    }
    // Who asked what would be changed has changed nothing, also nobody else's place in line.
    let looks = matches!(
        trigger,
        Trigger::Check(_) | Trigger::Diff(_) | Trigger::Deny(..)
    );
    let acts = !looks && !ports.stop.is_cancelled();
    if let Some(repository) = trigger.repository().filter(|_| acts) {
        let denied = ending.reason == ReasonCode::PermissionDenied;
        let sweeps = matches!(trigger, Trigger::Sweep(..)) && !denied;
        let promoted = async {
            let basis = basis(ports, repository, caller);
            let promoted = promote(basis, governed(trigger), sweeps).await;
            // After all that a sweep leads to, so that the dashboard shows it.
            if sweeps {
                Box::pin(issues::keep(ports, repository, &ending)).await;
            }
            promoted
        };
        let promoted = tokio::select! {
            promoted = AssertUnwindSafe(promoted).catch_unwind() => promoted,
            () = patience() => Ok(Vec::new()),
        };
        match promoted {
            Ok(promoted) => {
                let is_bug = |one: &Promoted| one.ending == ReasonCode::InternalError;
                let bug = promoted.iter().any(is_bug);
                ending.promoted = promoted;
                if bug {
                    ending.met(Failure::bug());
                }
            }
            Err(_) => ending.met(Failure::bug()),
        }
    }
    ending.notices.extend(ports.take_notices());
    ending.spell(ports.settings.command_prefix.as_deref());
    ending
}

/// What a run was about: the commit that was meant, or the head as GitHub named it.
fn subject(trigger: &Trigger, met: Option<&PullRequest>) -> Subject {
    let Some(request) = trigger.request() else {
        return Subject::default();
    };
    let meant = match &request.commit {
        Commit::Payload(sha) | Commit::Named(sha) | Commit::Planned(sha) => Some(sha.clone()),
        Commit::Head => met.map(|pull| pull.head_sha.clone()),
    };
    Subject {
        pr: Some(request.pr),
        sha: meant,
    }
}

/// True in runs of the default branch's workflow.
fn governed(trigger: &Trigger) -> bool {
    let own = |request: &Request| matches!(request.asked, Asked::Event { target: false, .. });
    !trigger.request().is_some_and(own)
}

fn basis<'a>(ports: &'a Ports, repository: &'a Repository, caller: &Caller<'a>) -> Basis<'a> {
    Basis {
        ports,
        repository,
        workspace: caller.workspace,
    }
}

fn preview(ports: &Ports, request: &Request) -> PreviewKey {
    preview_of(ports, &request.repository, request.pr)
}

fn preview_of(ports: &Ports, repository: &Repository, pr: PrNumber) -> PreviewKey {
    PreviewKey {
        repository: repository.id,
        environment: ports.settings.environment.clone(),
        pr,
        variant: None,
    }
}

/// What decides whether somebody may give a command, and the role that it asks for.
type Allows = (
    fn(&str, AccessLevel, &str, MinPermission) -> Result<(), Denied>,
    MinPermission,
);

struct Story<'a> {
    ports: &'a Ports,
    trigger: &'a Trigger,
    request: &'a Request,
    caller: &'a Caller<'a>,
    audience: Audience<'a>,
    /// The pull request, once GitHub has shown it to somebody who may ask.
    met: &'a OnceLock<PullRequest>,
}

impl<'a> Story<'a> {
    /// The pull request, if who asked may ask.
    async fn pull(&self) -> Result<Result<PullRequest, Denied>, Failure> {
        let needed = self.ports.settings.min_permission;
        self.pull_for((permission::may_command, needed)).await
    }

    async fn pull_for(&self, allows: Allows) -> Result<Result<PullRequest, Denied>, Failure> {
        let github = self.ports.github()?;
        let asked = &self.request.asked;
        // A flood of strangers is not even asked about.
        if asked.is_strange()
            && let Err(denied) = self.heard().await?
        {
            return Ok(Err(denied));
        }
        if let Err(denied) = denial::may(self.ports, self.caller, asked, allows).await? {
            return Ok(Err(denied));
        }
        let heard = async {
            match asked.is_strange() {
                true => Ok(Ok(())),
                false => self.heard().await,
            }
        };
        let started = async {
            if asked.is_strange() {
                react(self.ports, self.trigger, Reaction::Eyes).await;
            }
            match self.trigger {
                Trigger::Mistake(..) => {}
                _ if self.ports.settings.mode == Mode::Plan => {}
                trigger => react(self.ports, trigger, Reaction::Rocket).await,
            }
        };
        let (pull, heard, ()) = tokio::join!(github.pull(self.request.pr), heard, started);
        let stands = match heard? {
            Ok(()) => self.in_time().await,
            denied => denied,
        };
        Ok(match stands {
            Ok(()) => {
                let pull = pull?;
                self.met.get_or_init(|| pull.clone());
                Ok(pull)
            }
            Err(denied) => Err(denied),
        })
    }

    /// The pull request, if who asked may ask and its newest commit may have a preview; else how the run ends.
    async fn deployable(&self) -> Result<Result<PullRequest, Ending>, Failure> {
        match self.pull().await? {
            Ok(pull) => self.admitted(pull).await,
            Err(denied) => Ok(Err(quiet(denied))),
        }
    }

    /// The pull request, if who asked may ask and it may use the preview that it has; else how the run ends.
    async fn living(&self) -> Result<Result<PullRequest, Ending>, Failure> {
        let pull = match self.pull().await? {
            Ok(pull) => pull,
            Err(denied) => return Ok(Err(quiet(denied))),
        };
        match permission::may_live(&pull) {
            Ok(()) => Ok(Ok(pull)),
            Err(denied) => Ok(Err(self.denied(&pull, denied).await?)),
        }
    }

    fn preview(&self) -> PreviewKey {
        preview(self.ports, self.request)
    }

    fn teller(&self, sha: &CommitSha, open: bool) -> Teller<'a> {
        let mut teller = Teller::open(
            self.ports,
            &self.preview(),
            &self.request.repository.name,
            self.audience,
        );
        teller.about(sha);
        teller.closed(!open);
        match &self.request.asked {
            Asked::Event { sender, .. }
            | Asked::Build { sender, .. }
            | Asked::Dispatch { sender } => teller.asked_by(&sender.login),
            Asked::Comment { author, .. } => teller.asked_by(&author.login),
        }
        teller
    }

    /// Tells people on the pull request why their command was not followed; an event's refusal stays in the summary.
    ///
    /// What stands, be it live, in line or the proof of a removal, keeps its comment, and the denial is said beside it.
    async fn denied(&self, pull: &PullRequest, denied: Denied) -> Result<Ending, Failure> {
        if self.request.asked.is_event() {
            return Ok(quiet(denied));
        }
        let (line, reason) = (denied.to_string(), denied.reason);
        let mut teller = self.teller(&pull.head_sha, pull.open);
        let status = inspect::status(self.ports, &self.preview()).await;
        let stands = match &status {
            Ok(status) if status.busy => return Ok(quiet(denied).answering(line)),
            Ok(status) => status.stands() || teller.says_removed().await?,
            // Without a cluster nobody can be at work, and nobody knows better than the comment.
            Err(_) => teller.comment_so_far().await?.is_some(),
        };
        if !stands {
            let ending = teller.denied(&denied).await;
            if let Ok(status) = &status {
                inspect::looks_again(self.ports, &self.preview(), status.record.sequence).await;
            }
            return Ok(ending);
        }
        teller.answer_with(&line);
        let shown = match status {
            Ok(_) => self.show(pull, &mut teller).await?,
            Err(_) => teller.answer_beside().await.map(|_| quiet(denied))?,
        };
        Ok(shown.because(reason).answering(line))
    }

    async fn remove(&self) -> Result<Ending, Failure> {
        let pull = match self.pull().await? {
            Ok(pull) => pull,
            Err(denied) => return Ok(quiet(denied)),
        };
        let closed = matches!(self.request.asked, Asked::Event { .. });
        if closed && pull.open {
            return Ok(Ending::quiet(
                None,
                ReasonCode::EventIgnored,
                "the pull request is open again, so its preview stays",
            ));
        }
        let reason = if closed {
            RemoveReason::Closed {
                merged: pull.merged,
            }
        } else {
            RemoveReason::Asked
        };
        let request = RemoveRequest::new(
            self.ports,
            &self.request.repository.name,
            self.preview(),
            reason,
        )?;
        let mut teller = self.teller(&pull.head_sha, pull.open);
        Ok(remove(self.ports, &request, &mut teller).await)
    }

    async fn rollback(&self) -> Result<Ending, Failure> {
        let pull = match self.living().await? {
            Ok(pull) => pull,
            Err(ending) => return Ok(ending),
        };
        let mut teller = self.teller(&pull.head_sha, pull.open);
        let preview = self.preview();
        let rolled = rollback(
            self.ports,
            &preview,
            (Some(&pull.head_sha), self.said()),
            &mut teller,
        );
        let ending = self.recorded(Action::Rollback, rolled).await?;
        self.asked_still(&ending, &pull).await;
        Ok(ending)
    }

    async fn live(&self, wish: Life) -> Result<Ending, Failure> {
        let pull = match self.living().await? {
            Ok(pull) => pull,
            Err(ending) => return Ok(ending),
        };
        let mut teller = self.teller(&pull.head_sha, pull.open);
        life::live(self.ports, &self.preview(), &pull, wish, &mut teller).await
    }

    async fn sleep(&self, wake: bool) -> Result<Ending, Failure> {
        let pull = match self.living().await? {
            Ok(pull) => pull,
            Err(ending) => return Ok(ending),
        };
        let mut teller = self.teller(&pull.head_sha, pull.open);
        let preview = self.preview();
        let bed = Bed::of(self.ports, &preview, &pull)?;
        let ending = match wake {
            true => {
                let woken = self.woken(&pull, &bed, &mut teller);
                self.recorded(Action::Wake, woken).await?
            }
            false => self.recorded(Action::Sleep, bed.sleep(&mut teller)).await?,
        };
        self.asked_still(&ending, &pull).await;
        Ok(ending)
    }
}

/// The payload's commit, unless a newer one was pushed meanwhile.
fn current(sha: CommitSha, pull: &PullRequest) -> Result<CommitSha, Denied> {
    if sha == pull.head_sha {
        return Ok(sha);
    }
    Err(Denied {
        reason: ReasonCode::Superseded,
        cause: format!(
            "commit {} was pushed over by {}",
            sha.short(),
            pull.head_sha.short()
        ),
        remedy: "the run of the newer commit deploys it".into(),
    })
}

fn quiet(denied: Denied) -> Ending {
    let state = (denied.reason == ReasonCode::Superseded).then_some(State::Superseded);
    Ending::quiet(
        state,
        denied.reason,
        format!("{}; {}", denied.cause, denied.remedy),
    )
}
