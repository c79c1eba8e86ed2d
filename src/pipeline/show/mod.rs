//! Shows what has become of a commit where people look besides the comment: as its status, and as a deployment.
//! It changes nothing of how a run ends: what GitHub does not take costs some seconds, and the sweep says it again.
//! A right that is missing turns the one thing off that needs it, with one notice, because neither is worth a failed run.

mod stand;
mod verdict;

pub(super) use verdict::{Verdict, Word, line};

use super::Ports;
use crate::{
    capacity::{Deployed, Record, UnderWay},
    github::{CommitState, CommitStatus, DeploymentState, GitHub, GitHubError},
    inputs::Deployments,
    names::{CommitSha, PreviewKey, State},
};
use futures::future::OptionFuture;
use stand::{stand, status_of, task};
use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};
use tokio::task::JoinSet;

/// What all of it may take beyond what the run needs anyway.
const PATIENCE: Duration = Duration::from_secs(5);

/// The same once the run was cancelled.
const HURRY: Duration = Duration::from_secs(1);

/// Requests at most before the last word.
const OPENING: u64 = 3;

/// What this run may not write.
#[derive(Debug, Default)]
pub(super) struct Refused {
    statuses: AtomicBool,
    deployments: AtomicBool,
}

/// What is shown of one preview.
#[derive(Debug, Default)]
pub(super) struct Board {
    /// The deployment that shows what is live.
    known: Option<Deployed>,
    /// The commit that was ready last, and whether it has broken since.
    serving: Option<(CommitSha, bool)>,
    /// What is shown as under way: by this run, or by one before it that did not come to its end.
    under_way: Option<UnderWay>,
    /// True when this run deploys, and so may make a deployment.
    creates: bool,
    /// What is being written while the run works.
    opening: JoinSet<Opened>,
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
        self.known.clone_from(&record.deployment);
        self.under_way.clone_from(&record.under_way);
        let broke = |sha: &CommitSha| {
            let last = record.attempted.as_ref();
            let degraded = last.filter(|last| last.outcome == State::Degraded);
            record.broken || degraded.is_some_and(|last| last.sha == *sha)
        };
        let serving = record.serving.clone();
        self.serving = serving.map(|sha| (sha.clone(), broke(&sha)));
    }

    /// Notes what the next run must know.
    pub(super) fn note(&self, record: &mut Record) {
        (record.deployment, record.under_way) = self.shown();
    }

    /// The deployment that shows what is live, and what is shown as under way.
    pub(super) fn shown(&self) -> (Option<Deployed>, Option<UnderWay>) {
        (self.known.clone(), self.under_way.clone())
    }

    /// True when nothing is shown as under way.
    pub(super) fn is_idle(&self) -> bool {
        self.under_way.is_none()
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
        let again = self.under_way.take_if(|one| one.sha == sha);
        let ours = UnderWay {
            deployment: again.and_then(|one| one.deployment),
            ..announced(ports, &sha)
        };
        let left = self.under_way.replace(ours);
        self.forget(left.as_ref());
        let (statuses, deployments) = (writes_statuses(ports), writes_deployments(ports));
        let Some(github) = ports.github.clone().filter(|github| github.spares(OPENING)) else {
            return;
        };
        if !statuses && !deployments {
            return;
        }
        self.begun = true;
        let (context, task) = (context(preview), task(preview));
        let known = self.deployment_of(&sha);
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
            let newer = Word {
                text: "a newer commit is deployed".into(),
                ..word.clone()
            };
            let left =
                left.map(|left| abandon(&github, &context, left, &newer, (statuses, deployments)));
            let status = OptionFuture::from(statuses.then_some(status));
            let deployment = OptionFuture::from(deployments.then_some(deployment));
            let (status, deployment, left) =
                tokio::join!(status, deployment, OptionFuture::from(left));
            let (of_status, of_deployment) = left.unwrap_or((Ok(()), Ok(())));
            for error in [of_status, of_deployment]
                .into_iter()
                .filter_map(Result::err)
            {
                tracing::info!("what was shown of the commit before is left so: {error}");
            }
            Opened { status, deployment }
        });
    }

    /// Shows what has become of it.
    pub(super) async fn end(&mut self, ports: &Ports, preview: &PreviewKey, word: Word) {
        let Some(github) = &ports.github else {
            self.under_way.take_if(|_| !word.verdict.waits());
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
        }
        self.stale |= late;
    }

    /// Ends what is shown as under way, and says nothing of anything else.
    pub(super) async fn close(&mut self, ports: &Ports, preview: &PreviewKey, word: Word) {
        if let Some(github) = &ports.github {
            let closed = self.clear(ports, github, preview, &word, None);
            let late = tokio::time::timeout(PATIENCE, closed).await.is_err();
            self.stale |= late;
        }
    }

    async fn write(&mut self, ports: &Ports, github: &GitHub, preview: &PreviewKey, word: &Word) {
        let mut opened = None;
        if let Some(done) = self.opening.join_next().await {
            match done {
                Ok(done) => opened = self.take(ports, done),
                Err(error) => tracing::debug!(%error, "what was begun to be shown was given up"),
            }
        }
        let statuses = writes_statuses(ports);
        let deployments = writes_deployments(ports);
        if !github.spares(1) {
            self.stale |= statuses || deployments;
            return;
        }
        let commit = self.commit(word).filter(|_| statuses);
        let said = commit.as_ref().map(|(sha, _)| sha.clone());
        let status = async {
            let (sha, state) = commit?;
            let (context, word) = (context(preview), word);
            let status = CommitStatus {
                state,
                context: &context,
                description: &word.text,
                target_url: word.url.as_deref().or(word.more.as_deref()),
            };
            Some(github.set_status(&sha, &status).await)
        };
        let settled = deployments.then(|| self.settle(github, preview, word, opened));
        let settled = OptionFuture::from(settled);
        let (status, settled) = tokio::join!(status, settled);
        let said = said.filter(|_| matches!(status, Some(Ok(()))));
        if let Some(Err(error)) = status {
            self.stale |= untold(ports, &ports.refused.statuses, STATUS, &error);
        }
        if let Some(Err(error)) = settled {
            self.stale |= untold(ports, &ports.refused.deployments, DEPLOYMENT, &error);
        }
        if !word.verdict.waits() {
            self.clear(ports, github, preview, word, said.as_ref())
                .await;
        }
    }

    /// Ends what is shown as under way, but for the commit of which that was said just now.
    async fn clear(
        &mut self,
        ports: &Ports,
        github: &GitHub,
        preview: &PreviewKey,
        word: &Word,
        said: Option<&CommitSha>,
    ) {
        let Some(left) = self.under_way.clone() else {
            return;
        };
        let rights = (
            writes_statuses(ports) && said != Some(&left.sha),
            writes_deployments(ports),
        );
        let word = match word.sha.as_ref() == Some(&left.sha) {
            true => word.clone(),
            false => Word {
                text: "nobody goes on with it".into(),
                ..word.clone()
            },
        };
        let (status, deployment) = abandon(github, &context(preview), left, &word, rights).await;
        let mut mends = false;
        if let Err(error) = status {
            mends |= untold(ports, &ports.refused.statuses, STATUS, &error);
        }
        if let Err(error) = deployment {
            mends |= untold(ports, &ports.refused.deployments, DEPLOYMENT, &error);
        }
        self.stale |= mends;
        if !mends {
            let left = self.under_way.take();
            self.forget(left.as_ref());
        }
    }

    /// Forgets a deployment that was never live.
    fn forget(&mut self, left: Option<&UnderWay>) {
        let never = left.and_then(|left| left.deployment);
        self.known.take_if(|known| Some(known.id) == never);
    }

    /// The deployment that shows a commit which is under way, or else what is live.
    fn deployment_of(&self, sha: &CommitSha) -> Option<Deployed> {
        let under_way = self.under_way.as_ref().filter(|one| one.sha == *sha);
        let own = under_way.and_then(|one| one.deployment);
        let own = own.map(|id| Deployed {
            id,
            sha: sha.clone(),
        });
        own.or_else(|| self.known.clone())
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
                let (sha, broke) = self.serving.clone()?;
                let state = match broke {
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
        let before = self.known.clone().filter(|known| known.id != found.id);
        let state = match word.verdict {
            Verdict::Ready => DeploymentState::Success,
            Verdict::Failed => DeploymentState::Failure,
            Verdict::Waits | Verdict::Queued => DeploymentState::Queued,
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
        if let Some(under_way) = &mut self.under_way {
            under_way.deployment = word.verdict.waits().then_some(found.id);
        }
        if before.is_none() || replaced {
            self.known = Some(found);
        }
        Ok(())
    }

    /// Ends the deployment of what is there no more.
    async fn retire(&mut self, github: &GitHub, word: &Word) -> Result<(), GitHubError> {
        let Some(known) = &self.known else {
            return Ok(());
        };
        let status = status_of(DeploymentState::Inactive, word);
        github.set_deployment(known.id, &status).await?;
        if let Some(under_way) = &mut self.under_way {
            under_way.deployment.take_if(|id| *id == known.id);
        }
        if !word.returns {
            self.known = None;
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

/// Says of a commit that nobody goes on with it; whether there may be a status, and whether a deployment.
async fn abandon(
    github: &GitHub,
    context: &str,
    left: UnderWay,
    word: &Word,
    (statuses, deployments): (bool, bool),
) -> (Result<(), GitHubError>, Result<(), GitHubError>) {
    let status = async {
        let status = CommitStatus {
            state: CommitState::Error,
            context,
            description: &word.text,
            target_url: word.more.as_deref(),
        };
        match statuses {
            true => github.set_status(&left.sha, &status).await,
            false => Ok(()),
        }
    };
    let deployment = async {
        let over = status_of(DeploymentState::Inactive, word);
        match left.deployment.filter(|_| deployments) {
            Some(id) => github.set_deployment(id, &over).await.map(drop),
            None => Ok(()),
        }
    };
    tokio::join!(status, deployment)
}

/// Ends what is shown of a preview that is gone; false when that is to be tried again.
pub(super) async fn retire(ports: &Ports, preview: &PreviewKey, record: &Record) -> bool {
    let mut board = Board {
        known: record.deployment.clone(),
        under_way: record.under_way.clone(),
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

/// What is not written without a right: its name, the right, and the input that turns it off.
type Feature = (&'static str, &'static str, &'static str);

const STATUS: Feature = ("commit status", "statuses: write", "commit-status: false");
const DEPLOYMENT: Feature = ("deployment", "deployments: write", "deployment: off");

/// Says what was not written; true when a later run may mend it.
fn untold(ports: &Ports, refused: &AtomicBool, feature: Feature, error: &GitHubError) -> bool {
    let (what, right, input) = feature;
    match error {
        GitHubError::Forbidden { .. } | GitHubError::NotFound { .. } => {
            if !refused.swap(true, Ordering::Relaxed) {
                ports.notice(format!(
                    "no {what} was written: {error}; add `{right}` under `permissions:` in the workflow, or set `{input}`"
                ));
            }
            false
        }
        GitHubError::Unreachable { .. }
        | GitHubError::Unavailable { .. }
        | GitHubError::RateLimited { .. }
        | GitHubError::GivenUp { .. } => {
            tracing::info!("no {what} was written: {error}");
            true
        }
        _ => {
            tracing::warn!("no {what} was written: {error}");
            false
        }
    }
}

fn writes_statuses(ports: &Ports) -> bool {
    ports.settings.commit_status && !ports.refused.statuses.load(Ordering::Relaxed)
}

fn writes_deployments(ports: &Ports) -> bool {
    ports.settings.deployment == Deployments::Auto
        && !ports.refused.deployments.load(Ordering::Relaxed)
}

/// Name of the check and of the environment that all previews share.
fn context(preview: &PreviewKey) -> String {
    match preview.environment.as_str() {
        "preview" => "preview".into(),
        other => format!("preview/{other}"),
    }
}
