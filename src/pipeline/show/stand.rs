//! Finds the deployment that stands for a commit of a preview, or makes it.
//! It ends none and says nothing of how a deploy went.
//! GitHub's own come first: a job with `environment:` has one already, and no variable tells a step so.

use super::{Verdict, Word};
use crate::{
    capacity::Deployed,
    github::{DeploymentState, DeploymentStatus, GitHub, GitHubError, NewDeployment},
    names::{CommitSha, PreviewKey},
};

/// The deployment that stands for a commit of this preview; one is made where there is none, unless GitHub has made its own for
/// a job with `environment:`. The second is true when it was made just now.
pub(super) async fn stand(
    github: &GitHub,
    sha: &CommitSha,
    environment: &str,
    task: &str,
    known: Option<&Deployed>,
    creates: bool,
) -> Result<Option<(Deployed, bool)>, GitHubError> {
    if let Some(known) = known.filter(|known| known.sha == *sha) {
        return Ok(Some((known.clone(), false)));
    }
    let of = |id: u64| Deployed {
        id,
        sha: sha.clone(),
    };
    let ours = async || {
        let all = github.deployments(sha, environment).await?;
        let found = all
            .iter()
            .find(|one| one.task == task)
            .map(|one| of(one.id));
        let others = all.iter().any(|one| !one.task.starts_with(TASK));
        Ok::<_, GitHubError>((found, others))
    };
    // A run that died may have made one, and a job may get its `environment:` while the preview lives.
    match ours().await? {
        (Some(found), _) => return Ok(Some((found, false))),
        (None, true) => {
            tracing::info!("GitHub shows a deployment of this commit already");
            return Ok(None);
        }
        (None, false) if !creates => return Ok(None),
        (None, false) => {}
    }
    let new = NewDeployment {
        sha,
        environment,
        task,
        description: "Preview of a pull request",
    };
    match github.deploy(&new).await {
        Ok(made) => Ok(Some((of(made.id), true))),
        Err(error) if error.may_have_happened() => match ours().await? {
            (Some(found), _) => Ok(Some((found, true))),
            (None, _) => {
                let made = github.deploy(&new).await?;
                Ok(Some((of(made.id), true)))
            }
        },
        Err(error) => Err(error),
    }
}

pub(super) fn status_of(state: DeploymentState, word: &Word) -> DeploymentStatus<'_> {
    let live = state == DeploymentState::Success;
    DeploymentStatus {
        state,
        description: match live && word.verdict != Verdict::Ready {
            true => "live as before",
            false => &word.text,
        },
        environment_url: word.url.as_deref().filter(|_| live),
        log_url: word.log.as_deref(),
    }
}

const TASK: &str = "preview:";

/// What tells the deployments of a pull request apart from all others of its environment.
pub(super) fn task(preview: &PreviewKey) -> String {
    format!("{TASK}pr-{}", preview.pr)
}
