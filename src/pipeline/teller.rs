//! Tells the story of one preview while it happens: the one comment, and whoever watches the run.
//! It decides nothing; use cases say what is so, and this keeps the view and writes it where people look.
//! The last word is read back once: an older run that wrote after us would otherwise leave a lie standing.

use super::{Ending, Exit, Failure, Ports, inspect::Status, remove::RemoveReason};
use crate::{
    capacity::{Holder, Record},
    cluster::outcome::{Applied, WorkloadStatus},
    github::{CommentId, GitHub},
    inputs::registry::INPUTS,
    manifests::ManifestSet,
    names::{CommitSha, Marker, MarkerKind, Namespace, PreviewKey, ReasonCode, RepoName, State},
    plan::Plan,
    report::{
        self, AtCap, HelpView, HolderView, ImageView, Note, Removal, RemovedBecause, Setting, Slot,
        StatusView, Timing,
    },
    trigger::Denied,
};
use jiff::Timestamp;
use std::time::Duration;
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
        let now = Timestamp::now();
        let mut view = StatusView::new(
            State::Pending,
            &ports.links.server,
            repository.clone(),
            preview.pr,
            now,
        );
        view.started = Some(now);
        view.run_url.clone_from(&ports.links.run);
        view.setup_url.clone_from(&ports.links.setup);
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
        }
    }

    /// Says which commit this is about.
    pub fn about(&mut self, sha: &CommitSha) {
        self.view.sha = Some(sha.clone());
    }

    /// Says that the pull request is closed, so that no command is offered that would be refused.
    pub(super) fn closed(&mut self, closed: bool) {
        self.view.closed = closed;
    }

    /// Says who asked, for the removal's last word.
    pub fn asked_by(&mut self, login: &str) {
        login.clone_into(&mut self.asker);
    }

    /// Starts from what is known of the preview: what it serves now, and where.
    pub(super) fn begin(&mut self, holder: Option<&Holder>, record: &Record) {
        if let Some(holder) = holder.filter(|holder| holder.uid.is_some()) {
            self.view.namespace = Some(holder.namespace.clone());
            self.view.urls = public_url(&holder.url).into_iter().collect();
            self.view.serving = record
                .serving
                .clone()
                .filter(|serving| self.view.sha.as_ref() != Some(serving));
        }
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
        self.view.expires = Some(plan.expires);
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

    pub(super) fn progressed(&mut self, workloads: &[WorkloadStatus]) {
        workloads.clone_into(&mut self.view.services);
        (self.audience)(&self.view);
    }

    /// Says that every workload runs the new commit now: what was served before is no more.
    pub(super) fn rolled_over(&mut self) {
        self.view.serving = None;
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

    /// True when the comment would say something new.
    pub(super) fn has_news(&self) -> bool {
        self.ports.github.is_some()
            && self
                .body()
                .is_ok_and(|body| self.written.as_deref() != Some(body.as_str()))
    }

    fn body(&self) -> Result<String, Failure> {
        // Before rendering: an escaped secret would not be found any more.
        let view = self.view.clone().redacted(&self.ports.redaction.snapshot());
        Ok(report::comment(&view, &self.marker)?)
    }

    /// Writes the comment; the caller has just made sure that this run has the word.
    pub(super) async fn tell(&mut self, state: State) -> Result<(), Failure> {
        self.show(state);
        self.view.now = Timestamp::now();
        let Some(github) = &self.ports.github else {
            return Ok(());
        };
        let body = self.body()?;
        if self.written.as_deref() == Some(body.as_str()) {
            return Ok(());
        }
        self.write(github, body).await
    }

    async fn write(&mut self, github: &GitHub, body: String) -> Result<(), Failure> {
        let author = self.author(github).await?;
        let reference = github
            .upsert(self.preview.pr, &self.marker, &author, &body, self.known)
            .await?;
        self.known = Some(reference.id);
        self.written = Some(body);
        Ok(())
    }

    async fn author(&mut self, github: &GitHub) -> Result<String, Failure> {
        if let Some(author) = &self.author {
            return Ok(author.clone());
        }
        let author = github
            .comment_author(self.ports.settings.comment_author.as_deref())
            .await?;
        self.author = Some(author.clone());
        Ok(author)
    }

    /// Writes the last word, reads it back, and writes it again if an older run wrote over it meanwhile.
    async fn last_word(&mut self, state: State) -> Result<(), Failure> {
        self.view.took = Some(self.begun.elapsed());
        self.tell(state).await?;
        if let (Some(github), Some(id), Some(body)) =
            (&self.ports.github, self.known, self.written.clone())
        {
            let found = github.read(id).await?;
            // GitHub may change line ends and trailing blanks; nobody else's word looks like ours otherwise.
            if !found.is_some_and(|found| same(&found.body, &body)) {
                if self.newest().await {
                    tracing::warn!(
                        "another run wrote the comment after this one; writing it again"
                    );
                    self.write(github, body).await?;
                } else {
                    tracing::info!("a newer run has written the comment, and its word counts");
                }
            }
        }
        Ok(())
    }

    /// False when the ledger knows a newer run; without a ledger nobody can say, and then ours is the last word known.
    async fn newest(&self) -> bool {
        let Ok(cluster) = self.ports.cluster() else {
            return true;
        };
        let name = self.ports.ledger(self.preview.repository);
        match cluster.read_ledger(&name).await {
            Ok(Some(ledger)) => ledger
                .previews
                .get(&self.preview.in_ledger())
                .and_then(|record| record.newest.as_ref())
                .is_none_or(|newest| *newest == self.ports.run),
            Ok(None) | Err(_) => true,
        }
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
        let told = self.last_word(state).await;
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
            view: Some(Box::new(
                self.view.clone().redacted(&self.ports.redaction.snapshot()),
            )),
            applied: std::mem::take(&mut self.applied),
            stages: std::mem::take(&mut self.stages),
            swept: Vec::new(),
        }
    }

    pub(super) async fn ready(&mut self, unchanged: bool) -> Ending {
        self.view.serving = None;
        let reason = if unchanged {
            ReasonCode::Unchanged
        } else {
            ReasonCode::Deployed
        };
        let why = match self.view.urls.first() {
            Some(url) => format!("the preview is ready at {}", url.url),
            None => "the preview is ready".into(),
        };
        self.end(State::Ready, reason, Exit::Done, None, why).await
    }

    pub(super) async fn failed(&mut self, failure: Failure) -> Ending {
        self.view.failures.clone_from(&failure.causes);
        let why = failure.line();
        self.end(
            State::Failed,
            failure.reason(),
            failure.blame.into(),
            Some(failure),
            why,
        )
        .await
    }

    pub(super) async fn superseded(&mut self) -> Ending {
        let why = "the pull request has moved on".to_owned();
        self.end(
            State::Superseded,
            ReasonCode::Superseded,
            Exit::Done,
            None,
            why,
        )
        .await
    }

    pub(super) async fn cancelled(&mut self) -> Ending {
        let why = "the run was cancelled".to_owned();
        self.end(
            State::Cancelled,
            ReasonCode::Cancelled,
            Exit::Cancelled,
            None,
            why,
        )
        .await
    }

    pub(super) async fn refused(&mut self, holders: &[(Holder, Record)], capacity: u32) -> Ending {
        let mut holders: Vec<HolderView> = holders
            .iter()
            .map(|(holder, record)| HolderView {
                slot: holder.slot,
                pr: holder.pr,
                url: holder.url.clone(),
                owner: holder.owner.clone(),
                state: Some(match &record.attempted {
                    _ if record.active.is_some() => State::Deploying,
                    Some(last) => last.outcome,
                    None => State::Pending,
                }),
                since: holder.since,
                last_activity: record.attempted.as_ref().map(|last| last.at),
            })
            .collect();
        holders.sort_by_key(|holder| holder.slot);
        let names: Vec<String> = holders
            .iter()
            .map(|holder| format!("#{}", holder.pr))
            .collect();
        let why = match names.as_slice() {
            [] => format!("the cap is {capacity}"),
            names => format!("all {capacity} slots are taken, by {}", names.join(", ")),
        };
        self.view.at_cap = Some(AtCap { capacity, holders });
        self.end(
            State::Refused,
            ReasonCode::AtCapacity,
            Exit::Done,
            None,
            why,
        )
        .await
    }

    /// Tells people why their command was not followed.
    pub(super) async fn denied(&mut self, denied: &Denied) -> Ending {
        self.view.note = Some(Note {
            cause: denied.cause.clone(),
            remedy: denied.remedy.clone(),
        });
        let why = format!("{}; {}", denied.cause, denied.remedy);
        self.end(State::Refused, denied.reason, Exit::Done, None, why)
            .await
    }

    pub(super) async fn removed(
        &mut self,
        namespace: &Namespace,
        took: Duration,
        reason: RemoveReason,
    ) -> Ending {
        let because = match reason {
            RemoveReason::Closed { merged: true } => RemovedBecause::Merged,
            RemoveReason::Closed { merged: false } => RemovedBecause::Closed,
            RemoveReason::Asked => RemovedBecause::Asked {
                by: self.asker.clone(),
            },
            RemoveReason::Expired => RemovedBecause::Expired,
        };
        self.view.closed = matches!(reason, RemoveReason::Closed { .. });
        self.forget();
        self.view.removal = Some(Removal {
            namespace: namespace.clone(),
            took,
            because,
        });
        let why = format!(
            "the namespace {namespace} is gone, after {} s",
            took.as_secs()
        );
        self.end(State::Removed, ReasonCode::Removed, Exit::Done, None, why)
            .await
    }

    /// Nothing was there; a comment that says otherwise is corrected, and none is begun.
    pub(super) async fn nothing_to_remove(&mut self, reason: RemoveReason) -> Ending {
        let why = "there was no preview to remove".to_owned();
        let silent = match self.comment_so_far().await {
            Ok(None) => reason != RemoveReason::Asked,
            // The proof of the removal stays; an empty one would take its place.
            Ok(Some(body)) => {
                reason != RemoveReason::Asked
                    && heading(&body) == self.heading(State::Removed).as_deref()
            }
            Err(failure) => return Ending::failed(failure),
        };
        self.forget();
        self.view.closed = matches!(reason, RemoveReason::Closed { .. });
        if silent {
            return Ending::quiet(State::Removed, ReasonCode::NothingToRemove, why);
        }
        self.end(
            State::Removed,
            ReasonCode::NothingToRemove,
            Exit::Done,
            None,
            why,
        )
        .await
    }

    /// The preview stays removed; a comment that says otherwise, because its run was overtaken, is corrected.
    pub(super) async fn stays_removed(&mut self) -> Ending {
        let why = "the preview was removed by command and stays so until somebody comments /deploy";
        let silent = match self.comment_so_far().await {
            Ok(None) => true,
            Ok(Some(body)) => heading(&body) == self.heading(State::Removed).as_deref(),
            Err(failure) => return Ending::failed(failure),
        };
        let reason = ReasonCode::RemovedByCommand;
        if silent {
            return Ending::quiet(State::Removed, reason, why);
        }
        self.forget();
        self.end(State::Removed, reason, Exit::Done, None, why.into())
            .await
    }

    async fn comment_so_far(&mut self) -> Result<Option<String>, Failure> {
        let Some(github) = &self.ports.github else {
            return Ok(None);
        };
        let author = self.author(github).await?;
        let found = github.find(self.preview.pr, &self.marker, &author).await?;
        Ok(found.into_iter().next().map(|comment| comment.body))
    }

    /// The heading that the comment has in a state.
    fn heading(&self, state: State) -> Option<String> {
        let view = StatusView {
            state,
            ..self.view.clone()
        };
        heading(&report::comment(&view, &self.marker).ok()?).map(str::to_owned)
    }

    /// What is gone is not shown any more.
    fn forget(&mut self) {
        self.view.urls.clear();
        self.view.services.clear();
        self.view.images.clear();
        self.view.namespace = None;
        self.view.slot = None;
        self.view.expires = None;
        self.view.serving = None;
    }

    /// Shows what was found by looking.
    pub(super) async fn status(
        &mut self,
        status: &Status,
        head: &CommitSha,
        reason: ReasonCode,
    ) -> Ending {
        let live = status.sha();
        let mut state = status.state();
        let why = format!("the preview is {}", state.as_str());
        // The diagnosis and the proof of a removal say more than a look can.
        if matches!(state, State::Failed | State::Removed) && reason == ReasonCode::StatusShown {
            match self.comment_so_far().await {
                Ok(Some(body)) if heading(&body) == self.heading(state).as_deref() => {
                    return Ending::quiet(
                        state,
                        reason,
                        format!("{why}; its comment says so already"),
                    );
                }
                Ok(_) => {}
                Err(failure) => return Ending::failed(failure),
            }
        }
        if state == State::Failed {
            self.view.serving = status
                .record
                .serving
                .clone()
                .filter(|serving| live.as_ref() != Some(serving));
        }
        self.view.sha = Some(live.clone().unwrap_or_else(|| head.clone()));
        self.view.newer = live.filter(|live| live != head).map(|_| head.clone());
        self.view.services.clone_from(&status.workloads);
        if let Some(preview) = &status.preview {
            self.view.namespace = Some(preview.namespace.clone());
            self.view.expires = preview.expires.as_ref().and_then(|text| text.parse().ok());
            self.view.slot = preview.slot.map(|number| Slot {
                number,
                capacity: status.capacity,
            });
            self.view.urls = preview
                .url
                .iter()
                .filter_map(|url| public_url(url))
                .collect();
        } else if reason == ReasonCode::AutoDeployOff && state == State::Removed {
            state = State::NotDeployed;
        }
        let shown = match reason {
            ReasonCode::AutoDeployOff if status.record.removed_on_purpose => {
                ReasonCode::RemovedByCommand
            }
            other => other,
        };
        let mut ending = self.end(state, shown, Exit::Done, None, why).await;
        if ending.failure.is_none() {
            ending.reason = reason;
        }
        ending
    }

    /// Answers `/help` in a comment of its own.
    pub(super) async fn help(mut self) -> Result<Ending, Failure> {
        let github = self.ports.github()?;
        let settings = &self.ports.settings;
        let view = HelpView {
            settings: vec![
                setting("max-previews", settings.max_previews.to_string()),
                setting("auto-deploy", settings.auto_deploy.to_string()),
                setting("ttl", words(settings.ttl)),
                setting("timeout", words(settings.timeout)),
            ],
        };
        let marker = Marker {
            kind: MarkerKind::Help,
            ..self.marker.clone()
        };
        let author = self.author(github).await?;
        let body = self.ports.redaction.redact(&report::help(&view, &marker)?);
        github
            .upsert(self.preview.pr, &marker, &author, &body, None)
            .await?;
        Ok(Ending::quiet(
            None,
            ReasonCode::HelpShown,
            "the help was written as a comment",
        ))
    }
}

/// A setting in force; what it means is the sentence of the inputs' own table.
fn setting(name: &str, value: String) -> Setting {
    let meaning = INPUTS
        .iter()
        .find(|spec| spec.name == name)
        .map_or("", |spec| spec.purpose);
    Setting {
        name: name.into(),
        value,
        meaning: meaning.into(),
    }
}

fn heading(body: &str) -> Option<&str> {
    body.lines().find(|line| line.starts_with('#'))
}

fn same(found: &str, written: &str) -> bool {
    found
        .lines()
        .map(str::trim_end)
        .eq(written.trim_end().lines().map(str::trim_end))
}

fn words(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        _ if seconds.is_multiple_of(86_400) => format!("{}d", seconds / 86_400),
        _ if seconds.is_multiple_of(3_600) => format!("{}h", seconds / 3_600),
        _ if seconds.is_multiple_of(60) => format!("{}m", seconds / 60),
        _ => format!("{seconds}s"),
    }
}

/// The address that a Namespace's annotation names, as the report takes it.
fn public_url(url: &str) -> Option<crate::plan::PublicUrl> {
    let host = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"))?
        .split('/')
        .next()?;
    Some(crate::plan::PublicUrl {
        service: "preview".parse().ok()?,
        host: host.parse().ok()?,
        path: "/".into(),
        url: url.into(),
        health_path: String::new(),
    })
}
