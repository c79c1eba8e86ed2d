//! Tells the story of one preview while it happens: the one comment, and whoever watches the run.
//! It decides nothing; use cases say what is so, and this keeps the view and writes it where people look.
//! The last word is read back once: an older run that wrote after us would otherwise leave a lie standing.

mod answer;
mod approval;
mod aside;
mod board;
mod endings;
mod gate;
mod help;
mod voice;

pub(super) use endings::Newer;

use super::{Ending, Exit, Failure, Ports, desk::Taken, show::Board};
use crate::{
    capacity::{Holder, Record, Said},
    cluster::{
        NamespaceInfo,
        outcome::{Applied, Pruned, WorkloadStatus},
    },
    github::{Comment, CommentId},
    manifests::ManifestSet,
    names::{CommitSha, Marker, MarkerKind, PreviewKey, ReasonCode, RepoName, State},
    plan::{Plan, PublicUrl},
    report::{self, Aftermath, AsleepView, ImageView, Reached, Slot, StatusView, Timing},
};
use std::collections::BTreeMap;
use tokio::time::Instant;

/// Whoever watches the run besides the comment's readers; called at each change.
pub type Audience<'a> = &'a (dyn Fn(&StatusView) + Send + Sync);

/// Keeps the view of one preview and tells it.
pub struct Teller<'a> {
    ports: &'a Ports,
    audience: Audience<'a>,
    preview: PreviewKey,
    marker: Marker,
    author: Option<String>,
    known: Option<CommentId>,
    written: Option<String>,
    view: StatusView,
    applied: Vec<Applied>,
    begun: Instant,
    stages: Vec<Timing>,
    stage_begun: Instant,
    asker: String,
    /// Login of the pull request's author, where it holds a slot.
    owner: String,
    /// What was said about pruning.
    prune_warnings: Vec<String>,
    /// True from a last word's begin until it stands in the comment.
    unheard: bool,
    /// The comment that an earlier run has written.
    hint: Option<Said>,
    /// When this run last wrote the comment.
    wrote: Option<Instant>,
    /// True when somebody asked to be told.
    answers: bool,
    /// True when it was looked whether there is a comment.
    looked: bool,
    /// True when the comment is to be moved below all others.
    moves: bool,
    /// True when there were several comments of ours.
    several: bool,
    /// Address of the comment, once it was written.
    comment_url: Option<String>,
    /// What is shown beside the comment.
    board: Board,
    /// True when what is found by looking is shown there too.
    repairs: bool,
    /// True when nothing is to be shown there.
    rests: bool,
    /// True when another run has stopped for this one.
    after_another: bool,
    /// The commit that a run has tried before this one.
    tried: Option<CommitSha>,
    /// What is answered to a command that was not followed.
    answer: Option<String>,
    /// The line of the comment by which a commit waits for approval.
    gate: Option<String>,
    /// True when no plan can have come in between.
    unplanned: bool,
    /// Comments of ours that were found directly before a word.
    found: Option<Vec<Comment>>,
}

impl<'a> Teller<'a> {
    /// Makes ready to tell of a preview; nothing is written yet.
    pub fn open(
        ports: &'a Ports,
        preview: &PreviewKey,
        repository: &RepoName,
        audience: Audience<'a>,
    ) -> Self {
        let marker = Marker {
            kind: MarkerKind::Status,
            repository: preview.repository,
            pr: preview.pr,
            environment: preview.environment.clone(),
        };
        let now = ports.now();
        let mut view = StatusView::new(
            State::Pending,
            &ports.links.server,
            repository.clone(),
            preview.pr,
            now,
        );
        view.run_url.clone_from(&ports.links.run);
        view.setup_url.clone_from(&ports.links.setup);
        view.prefix.clone_from(&ports.settings.command_prefix);
        view.auto_deploy = ports.settings.auto_deploy;
        Self {
            ports,
            audience,
            preview: preview.clone(),
            marker,
            author: None,
            known: None,
            written: None,
            view,
            applied: Vec::new(),
            begun: Instant::now(),
            stages: Vec::new(),
            stage_begun: Instant::now(),
            asker: String::new(),
            owner: String::new(),
            prune_warnings: Vec::new(),
            unheard: false,
            hint: None,
            wrote: None,
            answers: false,
            looked: false,
            moves: false,
            several: false,
            comment_url: None,
            board: Board::default(),
            repairs: false,
            rests: false,
            after_another: false,
            tried: None,
            answer: None,
            gate: None,
            unplanned: false,
            found: None,
        }
    }

    /// Says which commit this is about.
    pub fn about(&mut self, sha: &CommitSha) {
        self.view.sha = Some(sha.clone());
    }

    /// Says that nobody knows what is deployed.
    pub(super) fn about_none(&mut self) {
        self.view.sha = None;
    }

    /// Says that the pull request is closed, so that no command is offered that would be refused.
    pub(super) fn closed(&mut self, closed: bool) {
        self.view.closed = closed;
    }

    /// Says who asked, for the removal's last word.
    pub fn asked_by(&mut self, login: &str) {
        login.clone_into(&mut self.asker);
    }

    /// True when the last word did not reach the comment.
    pub(super) fn unheard(&self) -> bool {
        self.unheard
    }

    /// Who asked; empty when nobody did.
    pub(super) fn asker(&self) -> &str {
        &self.asker
    }

    /// Starts from what is known of the preview: what it serves now, and where.
    pub(super) fn begin(&mut self, holder: Option<&Holder>, record: &Record) {
        self.view.fork = record.is_of_fork();
        self.hint.clone_from(&record.comment);
        self.recalls(record);
        if let Some(holder) = holder.filter(|holder| holder.uid.is_some()) {
            self.owner.clone_from(&holder.owner);
            self.view.namespace = Some(holder.namespace.clone());
            self.view.urls = public_url(&holder.url).into_iter().collect();
            self.view.serving = record
                .serving
                .clone()
                .filter(|serving| self.view.sha.as_ref() != Some(serving));
            self.lives(record);
        }
    }

    /// Says how long the preview lives.
    pub(super) fn lives(&mut self, record: &Record) {
        self.view.expires = record.expires(self.ports.settings.ttl);
        self.view.pinned = record.pinned;
        self.view.fork = record.is_of_fork();
    }

    /// Says that the preview sleeps.
    pub(super) fn sleeps(&mut self, record: &Record, keeps_slot: bool) {
        self.view.urls.clear();
        self.view.services.clear();
        self.view.slot = None;
        self.lives(record);
        self.view.asleep = record.asleep.as_ref().map(|asleep| AsleepView {
            since: asleep.since,
            by: asleep.by.clone(),
            keeps_slot,
        });
    }

    /// Says where the preview wakes.
    pub(super) fn wakes(&mut self, found: &NamespaceInfo, slot: u32, taken: &Taken) {
        let url = found.annotations.get("preview-action/url");
        self.view.urls = url.and_then(|url| public_url(url)).into_iter().collect();
        self.view.namespace = Some(found.name.clone());
        self.view.slot = Some(Slot {
            number: slot,
            capacity: taken.capacity,
        });
        self.recalls(&taken.record);
        self.lives(&taken.record);
    }

    /// Main address; empty when there is none.
    pub(super) fn main_url(&self) -> String {
        let main = self.view.urls.first();
        main.map(|url| url.url.clone()).unwrap_or_default()
    }

    /// Says in the comment how long the preview lives, and leaves the rest of it as it is; false when there is none to change.
    pub(super) async fn relive(&mut self) -> Result<bool, Failure> {
        let Some(github) = &self.ports.github else {
            return Ok(true);
        };
        let Some(found) = self.comment_so_far().await? else {
            return Ok(false);
        };
        match report::with_life(&found, &self.view)? {
            Some(body) => self.write(github, body).await.map(|()| true),
            None => Ok(false),
        }
    }

    /// Shows the addresses of a set that is brought back.
    pub(super) fn addresses(&mut self, urls: &[PublicUrl]) {
        urls.clone_into(&mut self.view.urls);
    }

    pub(super) fn planned(&mut self, plan: &Plan) {
        self.images(plan);
    }

    /// Shows the images of a plan, whether or not it is carried out.
    pub(super) fn images(&mut self, plan: &Plan) {
        self.view.images = plan
            .services
            .iter()
            .map(|service| ImageView {
                service: service.name.to_string(),
                image: service.image.clone(),
                other_revision: None,
            })
            .collect();
    }

    /// Shows where the preview lives from now on.
    pub(super) fn placed(&mut self, plan: &Plan, slot: u32, capacity: u32) {
        self.view.namespace = Some(plan.namespace.clone());
        self.view.urls.clone_from(&plan.urls);
        self.view.expires = plan.expires;
        self.view.pinned = plan.expires.is_none();
        self.view.slot = Some(Slot {
            number: slot,
            capacity,
        });
        self.stage("claim");
        (self.audience)(&self.view);
    }

    pub(super) fn applied(&mut self, set: &ManifestSet, applied: &[Applied]) {
        applied.clone_into(&mut self.applied);
        self.view.warnings.extend(set.warnings.iter().cloned());
        for object in applied {
            self.view.warnings.extend(
                object
                    .warnings
                    .iter()
                    .map(|warning| format!("{}: {warning}", object.id)),
            );
        }
        self.stage("apply");
    }

    /// Says what left the configuration and was removed, and what was kept all the same.
    pub(super) fn pruned(&mut self, pruned: Pruned) {
        self.view.pruned = pruned.removed;
        // When an older set comes back, what was said of the newer one is void.
        let void = std::mem::replace(&mut self.prune_warnings, pruned.warnings);
        self.view.warnings.retain(|one| !void.contains(one));
        self.view.warnings.extend(self.prune_warnings.clone());
    }

    /// True when something was removed that left the configuration.
    pub(super) fn has_pruned(&self) -> bool {
        !self.view.pruned.is_empty()
    }

    pub(super) fn progressed(&mut self, workloads: &[WorkloadStatus]) {
        workloads.clone_into(&mut self.view.services);
        (self.audience)(&self.view);
    }

    /// Says that every workload runs the new commit now: what was served before is no more.
    pub(super) fn rolled_over(&mut self) {
        self.view.serving = None;
        self.view.reached = Reached::Running;
    }

    /// Says how far the commit came.
    pub(super) fn reaches(&mut self, reached: Reached) {
        self.view.reached = reached;
    }

    /// Shows why the deploy failed while something is still being done about it.
    pub(super) fn failing(&mut self, failure: &Failure) {
        self.view.failures.clone_from(&failure.causes);
    }

    /// Says what became of the preview after its update failed.
    pub(super) fn after(&mut self, aftermath: Aftermath) {
        self.view.aftermath = Some(aftermath);
    }

    /// Says which commit is live although the one that this is about is not.
    pub(super) fn serves(&mut self, sha: Option<CommitSha>) {
        self.view.serving = sha;
    }

    /// Shows the images of the commit that was brought back in the place of those of the one that failed.
    pub(super) fn runs(&mut self, images: &BTreeMap<String, String>) {
        // Which of them belongs to which service the set says no more; a wrong line would be worse than none.
        let known = |image: &ImageView| images.contains_key(&image.image);
        self.view.images.retain(known);
    }

    pub(super) fn warn(&mut self, warning: String) {
        self.view.warnings.push(warning);
    }

    /// Says that the image of a service is of another commit than the one that is deployed.
    pub(super) fn other_revision(&mut self, service: &str, revision: &CommitSha) {
        for image in self
            .view
            .images
            .iter_mut()
            .filter(|image| image.service == service)
        {
            image.other_revision = Some(revision.short().to_owned());
        }
        self.view.warnings.push(format!(
            "the image of {service} is from {}, not from the commit that is deployed",
            revision.short()
        ));
    }

    /// Warns of what a deploy would fail with.
    pub(super) fn doubt(&mut self, failure: &Failure) {
        self.view.warnings.extend(
            failure
                .causes
                .iter()
                .map(|cause| format!("{}; {}", cause.cause, cause.remedy)),
        );
    }

    /// Ends a stage of the run, for the summary.
    pub(super) fn stage(&mut self, name: &str) {
        self.stages.push(Timing {
            stage: name.into(),
            took: self.stage_begun.elapsed(),
        });
        self.stage_begun = Instant::now();
    }

    /// Shows a state to whoever watches, without a word on GitHub.
    pub(super) fn show(&mut self, state: State) {
        self.view.state = state;
        (self.audience)(&self.view);
    }

    /// Ends with a last word; a comment that cannot be written is a failure of its own only if nothing else failed.
    async fn end(
        &mut self,
        state: State,
        reason: ReasonCode,
        exit: Exit,
        failure: Option<Failure>,
        why: String,
    ) -> Ending {
        self.view.reason = Some(reason);
        self.unheard = true;
        let told = self.last_word(state).await;
        let stale = self.post(state, failure.as_ref(), &why).await;
        self.unheard = told.is_err() || stale;
        let (reason, exit, failure, why) = match (told, failure) {
            (Err(untold), None) => (
                untold.reason(),
                untold.blame.into(),
                Some(untold.clone()),
                untold.line(),
            ),
            (Err(untold), failure) => {
                tracing::error!(reason = %untold.reason(), "the comment could not be written: {}", untold.line());
                (reason, exit, failure, why)
            }
            (Ok(()), failure) => (reason, exit, failure, why),
        };
        Ending {
            state: Some(state),
            reason,
            exit,
            why,
            failure,
            view: Some(Box::new(self.leaving())),
            applied: std::mem::take(&mut self.applied),
            stages: std::mem::take(&mut self.stages),
            swept: Vec::new(),
            promoted: Vec::new(),
            notices: Vec::new(),
            subject: super::Subject::default(),
        }
    }
}

/// The address that a Namespace's annotation names, as the report takes it.
fn public_url(url: &str) -> Option<PublicUrl> {
    let host = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"))?
        .split('/')
        .next()?;
    Some(PublicUrl {
        service: "preview".parse().ok()?,
        host: host.parse().ok()?,
        path: "/".into(),
        url: url.into(),
        health_path: String::new(),
    })
}
