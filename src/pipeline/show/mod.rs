//! Shows what has become of a commit where people look besides the comment: as its status, and as a deployment.
//! It changes nothing of how a run ends: what GitHub does not take costs some seconds, and the sweep says it again.
//! A right that is missing turns the one thing off that needs it, with one notice, because neither is worth a failed run.

mod abandon;
mod rights;
mod stand;
mod verdict;

pub(super) use rights::Refused;
pub(super) use verdict::{Verdict, Word, line};

use super::Ports;
use crate::{
    capacity::{Deployed, Record, Shown, UnderWay},
    github::{CommitState, CommitStatus, DeploymentState, GitHub, GitHubError},
    names::{CommitSha, PreviewKey, State},
};
use abandon::{Abandon, Live, Told};
use futures::future::{OptionFuture, join_all};
use rights::{DEPLOYMENT, STATUS, untold, writes_deployments, writes_statuses};
use stand::{stand, status_of, task};
use std::time::Duration;
use tokio::task::JoinSet;

/// What all of it may take beyond what the run needs anyway.
const PATIENCE: Duration = Duration::from_secs(5);

/// The same once the run was cancelled.
const HURRY: Duration = Duration::from_secs(1);

/// Requests at most before the last word.
const OPENING: u64 = 3;

/// What is shown of one preview.
#[derive(Debug, Default)]
pub(super) struct Board {
    /// What the ledger has to know of it.
    shown: Shown,
    /// Promises that GitHub has taken back.
    ended: Vec<UnderWay>,
    /// What serves.
    live: Live,
    /// True when this run deploys, and so may make a deployment.
    creates: bool,
    /// What is being written while the run works.
    opening: JoinSet<Opened>,
    /// What is being taken back meanwhile, and which of it GitHub has taken.
    leaving: JoinSet<Vec<UnderWay>>,
    begun: bool,
    /// True when GitHub could not be told.
    stale: bool,
}

#[derive(Debug)]
struct Opened {
    status: Option<Result<(), GitHubError>>,
    deployment: Option<Result<Option<Deployed>, GitHubError>>,
}

impl Board {
    /// Takes up what the ledger knows.
    pub(super) fn recalls(&mut self, record: &Record) {
        self.shown.clone_from(&record.shown);
        let last = record.attempted.as_ref();
        let degraded = last.filter(|last| last.outcome == State::Degraded);
        self.live = Live {
            sha: record.serving.clone(),
            broke: record.broken
                || degraded.is_some_and(|last| record.serving.as_ref() == Some(&last.sha)),
            asleep: record.asleep.is_some(),
        };
    }

    /// What the next run must know.
    pub(super) fn shown(&self) -> &Shown {
        &self.shown
    }

    /// Promises that GitHub has taken back.
    pub(super) fn ended(&self) -> &[UnderWay] {
        &self.ended
    }

    /// True when what is shown as under way is live.
    pub(super) fn redeploys(&self) -> bool {
        let under_way = self.shown.under_way.as_ref();
        under_way.is_some_and(|one| self.live.sha.as_ref() == Some(&one.sha))
    }

    /// Allows that a deployment is made for a commit that has none.
    pub(super) fn creates(&mut self) {
        self.creates = true;
    }

    /// True when this run has begun to show something.
    pub(super) fn has_begun(&self) -> bool {
        self.begun
    }

    /// True when GitHub could not be told what is so now.
    pub(super) fn is_stale(&self) -> bool {
        self.stale
    }

    /// Begins to show that a commit is being deployed, while the run goes on.
    pub(super) fn begin(&mut self, ports: &Ports, preview: &PreviewKey, word: Word) {
        self.creates = true;
        let Some(sha) = word.sha.clone() else {
            return;
        };
        let before = self.shown.under_way.iter().chain(&self.shown.abandoned);
        let again = before.into_iter().any(|one| one.sha == sha);
        self.shown.begin(announced(ports, &sha));
        let left = self.shown.abandoned.clone();
        left.iter().for_each(|left| self.forget(left));
        let (statuses, deployments) = (writes_statuses(ports), writes_deployments(ports));
        let Some(github) = ports.github.clone().filter(|github| github.spares(OPENING)) else {
            return;
        };
        if !statuses && !deployments {
            return;
        }
        self.begun = true;
        let (context, task) = (context(preview), task(preview));
        // Who began with this commit before may have made one whose number nobody knows.
        let known = self.deployment_of(&sha);
        let known = known.filter(|known| !again || known.sha == sha);
        self.leave(ports, &github, preview, left, &word);
        self.opening.spawn(async move {
            let status = async {
                let status = CommitStatus {
                    state: CommitState::Pending,
                    context: &context,
                    description: &word.text,
                    target_url: word.more.as_deref(),
                };
                github.set_status(&sha, &status).await
            };
            let deployment = async {
                let found = stand(&github, &sha, &context, &task, known.as_ref(), true).await?;
                // One that was there before shows its old state; a new one is pending without a word.
                if let Some((found, false)) = &found {
                    let status = status_of(DeploymentState::InProgress, &word);
                    github.set_deployment(found.id, &status).await?;
                }
                Ok(found.map(|(found, _)| found))
            };
            let status = OptionFuture::from(statuses.then_some(status));
            let deployment = OptionFuture::from(deployments.then_some(deployment));
            let (status, deployment) = tokio::join!(status, deployment);
            Opened { status, deployment }
        });
    }

    /// Begins to take back what was promised of other commits.
    fn leave(
        &mut self,
        ports: &Ports,
        github: &GitHub,
        preview: &PreviewKey,
        left: Vec<UnderWay>,
        word: &Word,
    ) {
        let abandon = self.abandon(ports, github.clone(), preview);
        let newer = Word {
            text: "a newer commit is deployed".into(),
            ..word.clone()
        };
        self.leaving.spawn(async move {
            let told = join_all(left.iter().map(|left| abandon.end(left, &newer))).await;
            let ended = |(left, told): (UnderWay, (Told, Told))| match told {
                (Ok(()), Ok(())) => Some(left),
                (Err(error), _) | (_, Err(error)) => {
                    tracing::info!("what was shown of a commit before is left so: {error}");
                    None
                }
            };
            left.into_iter().zip(told).filter_map(ended).collect()
        });
    }

    /// Shows what has become of it.
    pub(super) async fn end(&mut self, ports: &Ports, preview: &PreviewKey, word: Word) {
        let Some(github) = &ports.github else {
            // What another run has promised is left to somebody who can take it back.
            let ours = |one: &mut UnderWay| one.run == ports.run && !word.verdict.waits();
            self.shown.under_way.take_if(ours);
            return;
        };
        let patience = match ports.stop.is_cancelled() {
            true => HURRY,
            false => PATIENCE,
        };
        let written = self.write(ports, github, preview, &word);
        let late = tokio::time::timeout(patience, written).await.is_err();
        if late {
            tracing::info!("GitHub was not told beside the comment: it took too long");
            self.opening.abort_all();
            self.leaving.abort_all();
        }
        self.stale |= late;
    }

    /// Ends what is shown as under way and goes on by this word no more, and says nothing of anything else.
    pub(super) async fn close(&mut self, ports: &Ports, preview: &PreviewKey, word: Word) {
        if let Some(github) = &ports.github {
            let closed = self.clear(ports, github, preview, &word, (None, None), false);
            let late = tokio::time::timeout(PATIENCE, closed).await.is_err();
            self.stale |= late;
        }
    }

    async fn write(&mut self, ports: &Ports, github: &GitHub, preview: &PreviewKey, word: &Word) {
        let mut opened = None;
        if let Some(done) = self.opening.join_next().await {
            match done {
                Ok(done) => opened = self.take(ports, done),
                Err(error) => given_up(error),
            }
        }
        let statuses = writes_statuses(ports);
        let deployments = writes_deployments(ports);
        if !github.spares(1) {
            self.stale |= statuses || deployments;
            return;
        }
        let commit = self.commit(word).filter(|_| statuses);
        let decided = commit.clone();
        let status = async {
            let (sha, state) = commit?;
            let (context, word) = (context(preview), word);
            let status = CommitStatus {
                state,
                context: &context,
                description: &word.text,
                target_url: word.address().or(word.more.as_deref()),
            };
            Some(github.set_status(&sha, &status).await)
        };
        let settles = self.settles(word);
        let settled = deployments.then(|| self.settle(github, preview, word, opened));
        let settled = OptionFuture::from(settled);
        let (status, settled) = tokio::join!(status, settled);
        let said = matches!(status, Some(Ok(())));
        let mut owes = false;
        if let Some(Err(error)) = status {
            owes = untold(ports, &ports.refused.statuses, STATUS, &error);
        }
        self.stale |= owes;
        // A verdict that did not get through is said again by the sweep; an error in its place would be a lie until then.
        let said = decided.filter(|(_, state)| said || *state != CommitState::Error);
        let said = said.map(|(sha, _)| sha);
        if let Some(Err(error)) = settled {
            self.stale |= untold(ports, &ports.refused.deployments, DEPLOYMENT, &error);
        }
        self.live.after(word);
        let said = (said.as_ref(), settles.as_ref());
        self.clear(ports, github, preview, word, said, owes).await;
    }

    /// Takes back what was promised, but for the status and the deployment of a commit of which that was said just now, or is owed.
    async fn clear(
        &mut self,
        ports: &Ports,
        github: &GitHub,
        preview: &PreviewKey,
        word: &Word,
        said: (Option<&CommitSha>, Option<&CommitSha>),
        owes: bool,
    ) {
        match self.leaving.join_next().await {
            Some(Ok(ended)) => self.over(ended),
            Some(Err(error)) => given_up(error),
            None => {}
        }
        let under_way = self.shown.under_way.clone();
        let ours = under_way.filter(|_| !word.verdict.waits());
        for one in ours.into_iter().chain(self.shown.abandoned.clone()) {
            let mut abandon = self.abandon(ports, github.clone(), preview);
            abandon.statuses &= said.0 != Some(&one.sha);
            abandon.deployments &= said.1 != Some(&one.sha);
            let word = match word.sha.as_ref() == Some(&one.sha) {
                true => word.clone(),
                false => Word {
                    text: "nobody goes on with it".into(),
                    ..word.clone()
                },
            };
            let (status, deployment) = abandon.end(&one, &word).await;
            let mut mends = owes && said.0 == Some(&one.sha);
            if let Err(error) = status {
                mends |= untold(ports, &ports.refused.statuses, STATUS, &error);
            }
            if let Err(error) = deployment {
                mends |= untold(ports, &ports.refused.deployments, DEPLOYMENT, &error);
            }
            self.stale |= mends;
            if !mends {
                self.forget(&one);
                self.over(vec![one]);
            }
        }
    }

    /// What takes promises back.
    fn abandon(&self, ports: &Ports, github: GitHub, preview: &PreviewKey) -> Abandon {
        Abandon {
            github,
            context: context(preview),
            task: task(preview),
            live: self.live.clone(),
            statuses: writes_statuses(ports),
            deployments: writes_deployments(ports),
        }
    }

    /// Notes that GitHub has taken promises back.
    fn over(&mut self, ended: Vec<UnderWay>) {
        self.shown.end(&ended);
        self.ended.extend(ended);
    }

    /// Forgets a deployment that was never live.
    fn forget(&mut self, left: &UnderWay) {
        let live = self.live.sha.as_ref() == Some(&left.sha);
        let never = left.deployment.filter(|_| !live);
        self.shown
            .deployment
            .take_if(|known| Some(known.id) == never);
    }

    /// The commit whose deployment is brought in line by a word.
    fn settles(&self, word: &Word) -> Option<CommitSha> {
        match word.verdict {
            Verdict::Over => self
                .shown
                .deployment
                .as_ref()
                .map(|known| known.sha.clone()),
            // Nobody deploys what this run has not begun to deploy.
            verdict if verdict.is_open() && !self.begun => None,
            _ => word.sha.clone(),
        }
    }

    /// The deployment that shows a commit which is under way, or else what is live.
    fn deployment_of(&self, sha: &CommitSha) -> Option<Deployed> {
        let under_way = self.shown.under_way.as_ref();
        let under_way = under_way.filter(|one| one.sha == *sha);
        let own = under_way.and_then(|one| one.deployment);
        let own = own.map(|id| Deployed {
            id,
            sha: sha.clone(),
        });
        own.or_else(|| self.shown.deployment.clone())
    }

    /// The deployment that was begun with; what was refused is off from now on.
    fn take(&self, ports: &Ports, opened: Opened) -> Option<Deployed> {
        if let Some(Err(error)) = opened.status {
            untold(ports, &ports.refused.statuses, STATUS, &error);
        }
        match opened.deployment {
            Some(Ok(found)) => found,
            Some(Err(error)) => {
                untold(ports, &ports.refused.deployments, DEPLOYMENT, &error);
                None
            }
            None => None,
        }
    }

    /// Which commit has which state by a word; none where it says nothing of a commit that this run has tried.
    fn commit(&self, word: &Word) -> Option<(CommitSha, CommitState)> {
        match word.verdict {
            Verdict::Over => {
                let sha = self.live.sha.clone()?;
                let state = match self.live.broke {
                    true => CommitState::Failure,
                    false => word.verdict.commit(),
                };
                Some((sha, state))
            }
            verdict if verdict.is_open() && !self.begun => None,
            verdict => Some((word.sha.clone()?, verdict.commit())),
        }
    }

    /// Brings the deployments of a preview in line with what has become of it.
    async fn settle(
        &mut self,
        github: &GitHub,
        preview: &PreviewKey,
        word: &Word,
        opened: Option<Deployed>,
    ) -> Result<(), GitHubError> {
        if word.verdict == Verdict::Over {
            return self.retire(github, word).await;
        }
        let Some(sha) = &word.sha else {
            return Ok(());
        };
        let found = match opened {
            Some(found) => Some(found),
            // Nobody deploys what this run has not begun to deploy.
            None if word.verdict.is_open() && !self.begun => None,
            None => {
                let (environment, task) = (context(preview), task(preview));
                let known = self.deployment_of(sha);
                let found = stand(
                    github,
                    sha,
                    &environment,
                    &task,
                    known.as_ref(),
                    self.creates,
                );
                found.await?.map(|(found, _)| found)
            }
        };
        let Some(found) = found else {
            return Ok(());
        };
        let known = self.shown.deployment.clone();
        let before = known.filter(|known| known.id != found.id);
        let serves = self.live.sha.as_ref() == Some(&found.sha);
        let state = match word.verdict {
            Verdict::Ready => DeploymentState::Success,
            Verdict::Failed => DeploymentState::Failure,
            Verdict::Waits | Verdict::Queued => DeploymentState::Queued,
            Verdict::GivenUp | Verdict::Lost if serves => self.live.without(&found.sha),
            Verdict::GivenUp if before.is_some() => DeploymentState::Inactive,
            _ => DeploymentState::Error,
        };
        github
            .set_deployment(found.id, &status_of(state, word))
            .await?;
        let replaced = word.verdict == Verdict::Ready || word.removed;
        if let Some(before) = before.as_ref().filter(|_| replaced) {
            let gone = Word {
                text: "replaced".into(),
                url: None,
                ..word.clone()
            };
            let status = status_of(DeploymentState::Inactive, &gone);
            github.set_deployment(before.id, &status).await?;
        }
        if let Some(under_way) = &mut self.shown.under_way {
            under_way.deployment = word.verdict.waits().then_some(found.id);
        }
        if before.is_none() || replaced {
            self.shown.deployment = Some(found);
        }
        Ok(())
    }

    /// Ends the deployment of what is there no more.
    async fn retire(&mut self, github: &GitHub, word: &Word) -> Result<(), GitHubError> {
        let Some(known) = &self.shown.deployment else {
            return Ok(());
        };
        let status = status_of(DeploymentState::Inactive, word);
        github.set_deployment(known.id, &status).await?;
        if let Some(under_way) = &mut self.shown.under_way {
            under_way.deployment.take_if(|id| *id == known.id);
        }
        if !word.returns {
            self.shown.deployment = None;
        }
        Ok(())
    }
}

/// What a run that begins to deploy shows as under way.
pub(super) fn announced(ports: &Ports, sha: &CommitSha) -> UnderWay {
    UnderWay {
        sha: sha.clone(),
        run: ports.run.clone(),
        deployment: None,
    }
}

/// Ends what is shown of a preview that is gone; false when that is to be tried again.
pub(super) async fn retire(ports: &Ports, preview: &PreviewKey, record: &Record) -> bool {
    let mut board = Board {
        shown: record.shown.clone(),
        ..Board::default()
    };
    let word = Word {
        verdict: Verdict::Over,
        sha: None,
        text: "removed".into(),
        url: None,
        more: None,
        log: ports.links.run.clone(),
        removed: false,
        returns: false,
    };
    board.end(ports, preview, word).await;
    !board.is_stale()
}

/// Name of the check and of the environment that all previews share.
fn context(preview: &PreviewKey) -> String {
    match preview.environment.as_str() {
        "preview" => "preview".into(),
        other => format!("preview/{other}"),
    }
}
/// What was begun beside the run and did not end; a bug there is one of the run.
fn given_up(error: tokio::task::JoinError) {
    match error.try_into_panic() {
        Ok(bug) => std::panic::resume_unwind(bug),
        Err(error) => tracing::debug!(%error, "what was begun to be shown was given up"),
    }
}
