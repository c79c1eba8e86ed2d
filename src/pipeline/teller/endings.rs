//! The last words of a preview's story: one function for each way in which a use case can end.
//! It decides nothing and writes through the teller, which keeps the view and reads the last word back.
//! Apart from the story itself, because what a comment says at its end is what people stay with.

use super::{Teller, approval::UNAPPROVED, public_url};
use crate::{
    cluster::Cause,
    github::GitHub,
    names::{CommitSha, Marker, MarkerKind, Namespace, ReasonCode, State},
    pipeline::{
        Ending, Exit, Failure,
        desk::{House, Lodger},
        inspect::Status,
        remove::{Proof, RemoveReason},
    },
    report::{
        self, Aftermath, AtCap, Coming, HolderView, Note, Reached, Removal, RemovedBecause, Slot,
        Stalled,
    },
    trigger::Denied,
};

/// What came after the commit that a run is about.
pub(in crate::pipeline) struct Newer {
    pub(in crate::pipeline) sha: CommitSha,
    pub(in crate::pipeline) coming: Coming,
}

impl Teller<'_> {
    pub(in crate::pipeline) async fn ready(&mut self, unchanged: bool) -> Ending {
        self.view.serving = None;
        self.view.newer = self.view.newer.take().or(self.view.named_before.clone());
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

    pub(in crate::pipeline) async fn failed(&mut self, failure: Failure) -> Ending {
        self.knows_evidence(&failure.causes).await;
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

    /// GitHub was in the way before anything was applied: the sweep goes on once it is not.
    pub(in crate::pipeline) async fn stalled(&mut self, failure: Failure) -> Ending {
        let github = self.ports.github.as_ref();
        self.view.stalled = Some(Stalled {
            until: github.and_then(GitHub::takes_none_until),
            cause: failure
                .causes
                .first()
                .map(|one| one.cause.clone())
                .unwrap_or_default(),
        });
        let why = failure.line();
        let reason = failure.reason();
        self.end(
            State::Pending,
            reason,
            failure.blame.into(),
            Some(failure),
            why,
        )
        .await
    }

    /// Says which commit is newer than the one that this is about, and how it comes to be deployed.
    pub(in crate::pipeline) fn overtaken_by(&mut self, newer: &Newer) {
        self.view.newer = Some(newer.sha.clone());
        self.view.coming = newer.coming;
    }

    /// Says which commit is the newest while this is about another one, because somebody has named that.
    pub(in crate::pipeline) fn is_named_before(&mut self, head: &CommitSha) {
        self.view.named_before = Some(head.clone());
    }

    /// Notes whether another run has stopped for this one, and what was tried before it.
    pub(in crate::pipeline) fn comes_after(&mut self, another: bool, tried: Option<&CommitSha>) {
        self.after_another = another;
        self.tried = tried.cloned();
    }

    /// True when a newer commit was left to a run that came before this one: it has stopped for it, or has ended.
    pub(in crate::pipeline) fn leaves_it_to_nobody(&self) -> bool {
        let at_once = self.view.coming == Coming::AtOnce;
        let held = self.view.named_before.as_ref();
        let newer = self.view.newer.as_ref();
        let newer = newer.filter(|newer| at_once && held != Some(newer));
        newer.is_some() && (self.after_another || self.tried.as_ref() == newer)
    }

    pub(in crate::pipeline) async fn superseded(&mut self, newer: Option<Newer>) -> Ending {
        let why = match &newer {
            Some(newer) => format!("{} was pushed meanwhile", newer.sha.short()),
            None => "the pull request has moved on".to_owned(),
        };
        if let Some(newer) = &newer {
            self.overtaken_by(newer);
        }
        self.end(
            State::Superseded,
            ReasonCode::Superseded,
            Exit::Done,
            None,
            why,
        )
        .await
    }

    pub(in crate::pipeline) async fn cancelled(&mut self) -> Ending {
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

    /// No slot is free: the preview waits in line, or is refused.
    pub(in crate::pipeline) async fn full(&mut self, house: House) -> Ending {
        let at_cap = at_cap(&house, self.ports.now());
        let (capacity, place) = (at_cap.capacity, at_cap.place);
        let names: Vec<String> = at_cap
            .holders
            .iter()
            .map(|holder| format!("#{}", holder.pr))
            .collect();
        let mut why = match names.as_slice() {
            [] => format!("the cap is {capacity}"),
            names => format!(
                "no slot of {capacity} is free for it; they are taken by {}",
                names.join(", ")
            ),
        };
        let (state, reason) = match place {
            Some(place) => {
                why = format!("number {place} in line: {why}");
                (State::Queued, ReasonCode::Queued)
            }
            None => (State::Refused, ReasonCode::AtCapacity),
        };
        if let Some(lack) = &at_cap.lack {
            why = format!("the cluster has no room for it now: {lack}");
        }
        self.view.at_cap = Some(at_cap);
        self.end(state, reason, Exit::Done, None, why).await
    }

    /// It still waits, at another place than its comment says.
    pub(in crate::pipeline) async fn waits(&mut self, house: House) -> Result<(), Failure> {
        self.view.reason = Some(ReasonCode::Queued);
        self.view.at_cap = Some(at_cap(&house, self.ports.now()));
        self.tell(State::Queued).await
    }

    /// Tells people why their command was not followed.
    pub(in crate::pipeline) async fn denied(&mut self, denied: &Denied) -> Ending {
        self.view.note = Some(Note {
            cause: denied.cause.clone(),
            remedy: denied.remedy.clone(),
        });
        let why = format!("{}; {}", denied.cause, denied.remedy);
        self.end(State::Refused, denied.reason, Exit::Done, None, why)
            .await
    }

    pub(in crate::pipeline) async fn removed(
        &mut self,
        proof: Proof,
        reason: RemoveReason,
    ) -> Ending {
        let because = match reason {
            RemoveReason::Closed { merged: true } => RemovedBecause::Merged,
            RemoveReason::Closed { merged: false } => RemovedBecause::Closed,
            RemoveReason::Asked => RemovedBecause::Asked {
                by: self.asker.clone(),
            },
            RemoveReason::Expired => RemovedBecause::Expired,
            RemoveReason::Taken { to } => RemovedBecause::Taken {
                by: self.asker.clone(),
                to,
                owner: self.owner.clone(),
            },
            RemoveReason::GaveWay { to } => RemovedBecause::GaveWay { to },
        };
        self.view.closed = matches!(reason, RemoveReason::Closed { .. });
        self.forget();
        let why = match proof.took {
            Some(took) => format!(
                "the namespace {} is gone, after {} s",
                proof.namespace,
                took.as_secs()
            ),
            None => format!("the namespace {} is gone", proof.namespace),
        };
        self.view.removal = Some(Removal {
            namespace: proof.namespace,
            took: proof.took,
            because,
            counts: proof.contents.map(|contents| contents.counts),
            volumes: proof.volumes,
        });
        let (state, code) = match reason {
            RemoveReason::Expired => (State::Expired, ReasonCode::Expired),
            _ => (State::Removed, ReasonCode::Removed),
        };
        self.end(state, code, Exit::Done, None, why).await
    }

    /// Its Namespace was deleted by somebody else.
    pub(in crate::pipeline) async fn deleted(&mut self, namespace: Namespace) -> Ending {
        self.forget();
        let why = format!("the namespace {namespace} was deleted in the cluster");
        self.view.removal = Some(Removal {
            namespace,
            took: None,
            because: RemovedBecause::Deleted,
            counts: None,
            volumes: Vec::new(),
        });
        self.end(State::Removed, ReasonCode::Removed, Exit::Done, None, why)
            .await
    }

    /// The Namespace does not go: who can help is told what holds it.
    pub(in crate::pipeline) async fn stuck(
        &mut self,
        failure: Failure,
        reason: RemoveReason,
    ) -> Ending {
        self.view.closed = matches!(reason, RemoveReason::Closed { .. });
        self.forget();
        self.view.failures.clone_from(&failure.causes);
        let why = failure.line();
        self.end(
            State::Stuck,
            failure.reason(),
            failure.blame.into(),
            Some(failure),
            why,
        )
        .await
    }

    /// Nothing was there; a comment that says otherwise is corrected, and none is begun.
    pub(in crate::pipeline) async fn nothing_to_remove(&mut self, reason: RemoveReason) -> Ending {
        let why = "there was no preview to remove".to_owned();
        let asked = reason == RemoveReason::Asked;
        let silent = match self.comment_so_far().await {
            Ok(None) => !asked,
            // The proof of the removal stays; an empty one would take its place.
            Ok(Some(body)) => {
                let ended = self.says(&body, &[State::Removed, State::Expired]);
                // While the pull request is open, what somebody asks for changes what a push does.
                if ended.is_some()
                    && asked
                    && !self.view.closed
                    && let Err(failure) = self.stays_gone(&body).await
                {
                    return Ending::failed(failure);
                }
                ended.is_some()
            }
            Err(failure) => return Ending::failed(failure),
        };
        self.forget();
        self.view.closed |= matches!(reason, RemoveReason::Closed { .. });
        if silent {
            self.unheard = self.post(State::Removed, None, &why).await;
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
    pub(in crate::pipeline) async fn stays_removed(&mut self) -> Ending {
        let why = "the preview was removed by command and stays so until somebody comments /deploy";
        let silent = match self.comment_so_far().await {
            Ok(None) => true,
            // A removal that is under way or stuck tells more than that.
            Ok(Some(body)) => self.is_about_removal(&body),
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

    /// The preview was ready and has broken since.
    pub(in crate::pipeline) async fn degraded(
        &mut self,
        causes: Vec<crate::cluster::outcome::Failure>,
    ) -> Ending {
        self.knows_evidence(&causes).await;
        self.view.failures = causes;
        self.view.serving = None;
        let why = "the preview was ready and has broken since".to_owned();
        self.end(State::Degraded, ReasonCode::Degraded, Exit::Done, None, why)
            .await
    }

    /// Learns what a container may have written, before that is shown.
    async fn knows_evidence(&self, causes: &[crate::cluster::outcome::Failure]) {
        if causes.iter().any(|cause| !cause.evidence.is_empty()) {
            self.ports.learn_pull_secret().await;
        }
    }

    /// The preview sleeps.
    pub(in crate::pipeline) async fn asleep(&mut self) -> Ending {
        let why = "the preview sleeps".to_owned();
        self.end(State::Sleeping, ReasonCode::Slept, Exit::Done, None, why)
            .await
    }

    /// The preview is awake again.
    pub(in crate::pipeline) async fn woken(&mut self) -> Ending {
        self.view.serving = None;
        let why = "the preview is awake".to_owned();
        self.end(State::Ready, ReasonCode::Woken, Exit::Done, None, why)
            .await
    }

    /// Tells the author in a comment of its own that the preview expires; the same expiry is told once. What GitHub refuses for good is
    /// the answer.
    pub(in crate::pipeline) async fn expires(
        &mut self,
        login: &str,
        expires: jiff::Timestamp,
    ) -> Result<Option<Failure>, Failure> {
        let github = self.ports.github()?;
        let marker = Marker {
            kind: MarkerKind::Expiry(expires),
            ..self.marker.clone()
        };
        let author = self.author(github).await?;
        let body = report::expiry(
            login,
            expires,
            &marker,
            self.ports.settings.command_prefix.as_deref(),
        )?;
        let written = github.upsert(self.preview.pr, &marker, &author, &body, None);
        match written.await {
            Ok(_) => Ok(None),
            Err(error) if error.is_for_good() => Ok(Some(error.into())),
            Err(error) => Err(error.into()),
        }
    }

    /// Says that nothing is left of the preview.
    pub(in crate::pipeline) fn gone(&mut self) {
        self.forget();
    }

    /// The preview was rolled back, or an earlier commit was asked for, and stays so; its comment says that already.
    pub(in crate::pipeline) fn held() -> Ending {
        let why = "the preview is held at an earlier commit until the next push or `/deploy`";
        Ending::quiet(State::Ready, ReasonCode::RolledBack, why)
    }

    /// The preview is back at an earlier commit.
    pub(in crate::pipeline) async fn rolled_back(&mut self, head: &CommitSha) -> Ending {
        self.view.serving = None;
        self.view.rolled_back = true;
        self.view.newer = Some(head.clone()).filter(|head| self.view.sha.as_ref() != Some(head));
        let why = match &self.view.sha {
            Some(sha) => format!("the preview is back at {}", sha.short()),
            None => "the preview is back at an earlier commit".into(),
        };
        self.end(State::Ready, ReasonCode::RolledBack, Exit::Done, None, why)
            .await
    }

    /// What is gone is not shown any more.
    fn forget(&mut self) {
        self.view.urls.clear();
        self.view.services.clear();
        self.view.images.clear();
        self.view.namespace = None;
        self.view.slot = None;
        self.view.expires = None;
        self.view.pinned = false;
        self.view.serving = None;
    }

    /// Shows what was found by looking.
    pub(in crate::pipeline) async fn status(
        &mut self,
        status: &Status,
        head: &CommitSha,
        reason: ReasonCode,
    ) -> Ending {
        self.rests = !self.repairs;
        self.recalls(&status.record);
        let live = status.sha();
        let mut state = status.state();
        let mut why = format!("the preview is {}", state.as_str());
        // The diagnosis and the proof of a removal say more than a look can.
        let told = match state {
            // Closing is no removal by command, and the ledger forgets what had expired before.
            State::NotDeployed | State::Expired if self.view.closed => {
                &[State::Removed, State::Expired][..]
            }
            // Who asks for what has expired to stay removed takes nothing of that proof away.
            State::Removed => &[State::Removed, State::Expired],
            State::Failed | State::Degraded | State::Stuck | State::Expired => {
                std::slice::from_ref(&state)
            }
            // What failed before it had a Namespace is told nowhere else.
            State::NotDeployed if status.last_failed() => &[State::Failed],
            _ => &[],
        };
        if reason == ReasonCode::StatusShown && !told.is_empty() {
            match self.says_one_of(told).await {
                Ok(Some(state)) => {
                    let why = format!("the preview is {}", state.as_str());
                    if let Err(failure) = self.answer_beside().await {
                        return Ending::failed(failure);
                    }
                    self.reposts(status, state, head, &why).await;
                    return Ending::quiet(
                        state,
                        reason,
                        format!("{why}; its comment says so already"),
                    );
                }
                Ok(None) => {}
                Err(failure) => return Ending::failed(failure),
            }
        }
        let tried = status
            .record
            .attempted
            .as_ref()
            .filter(|last| state == State::Failed && last.outcome == State::Failed)
            .map(|last| last.sha.clone());
        if let Some(tried) = &tried {
            let kept = status.failure.iter().flat_map(|kept| &kept.causes);
            self.view.failures = kept.map(Cause::failure).collect();
            self.view.reached = Reached::Applied;
            self.view.serving = status
                .record
                .serving
                .clone()
                .filter(|serving| serving != tried);
            self.view.aftermath = (self.view.serving.is_some() && self.view.serving == live)
                .then_some(Aftermath::Restored);
        }
        let wanted = status.record.wanted(head);
        let sha = tried.or_else(|| live.clone());
        let sha = sha.unwrap_or_else(|| wanted.clone());
        let named = wanted != head && sha == *wanted;
        self.view.named_before = named.then(|| head.clone());
        self.view.rolled_back = !named && status.record.held.as_ref() == Some(head);
        self.view.sha = Some(sha);
        self.view.newer = live
            .filter(|live| live != head && self.view.sha.as_ref() != Some(head))
            .map(|_| head.clone());
        self.view.services.clone_from(&status.workloads);
        self.view.at_cap = status
            .house
            .as_ref()
            .map(|house| at_cap(house, self.ports.now()));
        if let Some(preview) = &status.preview {
            self.view.namespace = Some(preview.namespace.clone());
            self.lives(&status.record);
            self.view.slot = preview.slot.map(|number| Slot {
                number,
                capacity: status.capacity,
            });
            self.view.urls = preview
                .url
                .iter()
                .filter_map(|url| public_url(url))
                .collect();
            if state == State::Sleeping {
                self.sleeps(&status.record, status.holds);
            }
        } else if reason == ReasonCode::AutoDeployOff
            && matches!(state, State::Removed | State::Expired)
        {
            state = State::NotDeployed;
        }
        if self.awaits_approval(status, head) {
            state = State::ApprovalNeeded;
            why = UNAPPROVED.into();
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
}

fn at_cap(house: &House, now: jiff::Timestamp) -> AtCap {
    let mut holders: Vec<HolderView> = house
        .holders
        .iter()
        .map(|one| holder_view(one, now))
        .collect();
    holders.sort_by_key(|holder| holder.slot);
    AtCap {
        capacity: house.capacity,
        place: house.place,
        lack: house.lacks.clone(),
        holders,
    }
}

fn holder_view(lodger: &Lodger, now: jiff::Timestamp) -> HolderView {
    let Lodger {
        holder,
        record,
        leaving,
    } = lodger;
    HolderView {
        slot: holder.slot,
        pr: holder.pr,
        url: holder.url.clone(),
        owner: holder.owner.clone(),
        state: Some(match leaving {
            Some(_) => State::Removing,
            None => record.standing(now),
        }),
        since: holder.since,
        last_activity: record.last_used(),
        leaving: leaving.clone(),
    }
}
