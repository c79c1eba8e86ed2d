//! Turns a build that has ended well into deploys of the pull requests whose newest commit it has built.
//! It believes nothing that the build could have written: commit and repository are GitHub's own words, and so are the pull requests.
//! A build of what is no head any more deploys nothing: its successor is on its way.

use super::{
    Audience, Caller, Ending, Exit, Failure, Ports, Story, Subject, plan::gate_is_over, quiet,
    subject,
};
use crate::{
    event::PullRequest,
    names::{PrNumber, ReasonCode},
    trigger::{Asked, Build, Commit, Denied, Request, Trigger},
};
use std::sync::OnceLock;

/// A build that is of no newest commit: how its run ends, and the pull requests that have moved on.
pub(super) struct Outrun {
    pub(super) ending: Ending,
    pub(super) pulls: Vec<PrNumber>,
}

/// One deploy for each open pull request whose newest commit was built; else how the run ends.
pub(super) async fn deploys(
    ports: &Ports,
    build: &Build,
) -> Result<Result<Vec<Trigger>, Outrun>, Failure> {
    let owner = &build.head_owner;
    let pulls = ports.github()?.pulls_from(owner, &build.branch).await?;
    // The owner may have several forks, and a branch of this name in each.
    let theirs =
        |pull: &PullRequest| pull.open && pull.head_repository == Some(build.head_repository);
    let mut pulls: Vec<PullRequest> = pulls.into_iter().filter(theirs).collect();
    pulls.sort_by_key(|pull| pull.number);
    let (current, moved): (Vec<_>, Vec<_>) = pulls
        .into_iter()
        .partition(|pull| pull.head_sha == build.sha);
    if current.is_empty() {
        return Ok(Err(Outrun {
            ending: none(build, moved.first()),
            pulls: moved.iter().map(|pull| pull.number).collect(),
        }));
    }
    let deploy = |pull: PullRequest| {
        Trigger::Deploy(Request {
            repository: build.repository.clone(),
            pr: pull.number,
            commit: Commit::Payload(build.sha.clone()),
            asked: Asked::Build {
                sender: build.sender.clone(),
                begun: build.begun,
                at: build.at,
            },
        })
    };
    Ok(Ok(current.into_iter().map(deploy).collect()))
}

/// The ending of a build that is of no newest commit.
fn none(build: &Build, moved: Option<&PullRequest>) -> Ending {
    let denied = match moved {
        Some(pull) => Denied {
            reason: ReasonCode::Superseded,
            cause: format!(
                "commit {} was built, and {} was pushed to pull request #{} meanwhile",
                build.sha.short(),
                pull.head_sha.short(),
                pull.number
            ),
            remedy: "the build of the newer commit deploys it".into(),
        },
        None => Denied {
            reason: ReasonCode::NoPullRequest,
            cause: format!(
                "commit {} was built, and no open pull request comes from that branch",
                build.sha.short()
            ),
            remedy: "a closed pull request has no preview".into(),
        },
    };
    let mut ending = quiet(denied);
    ending.subject = Subject {
        pr: moved.map(|pull| pull.number),
        sha: Some(build.sha.clone()),
    };
    ending
}

/// Deploys each of them; the first one's ending is the run's, and what became of the others is told beside it.
///
/// None of them calls for an approval of that commit any more.
pub(super) async fn deploy(
    ports: &Ports,
    build: &Build,
    caller: &Caller<'_>,
    audience: Audience<'_>,
) -> Result<Ending, Failure> {
    let deploys = match deploys(ports, build).await? {
        Ok(deploys) => deploys,
        Err(Outrun { ending, pulls }) => {
            for pr in pulls {
                gate_is_over(ports, &build.repository, pr, audience, &ending).await;
            }
            return Ok(ending);
        }
    };
    let mut first: Option<Ending> = None;
    for trigger in &deploys {
        let Trigger::Deploy(request) = trigger else {
            continue;
        };
        let story = Story {
            ports,
            trigger,
            request,
            caller,
            audience,
            met: &OnceLock::new(),
        };
        let mut ending = Box::pin(story.deploy())
            .await
            .unwrap_or_else(Ending::failed);
        ending.subject = ending.subject.or(subject(trigger, None));
        gate_is_over(ports, &build.repository, request.pr, audience, &ending).await;
        match &mut first {
            None => first = Some(ending),
            Some(first) => {
                let why = &ending.why;
                let line = format!(
                    "pull request #{} has the same newest commit: {why}",
                    request.pr
                );
                first.notices.push(line);
                if first.exit == Exit::Done {
                    first.exit = ending.exit;
                    first.failure = first.failure.take().or(ending.failure);
                }
            }
        }
    }
    Ok(first.unwrap_or_else(|| none(build, None)))
}
