//! The commands and events that deploy, or say that somebody may: who may has been asked, and which commit is meant is known here.
//! How a deploy goes is the deploy's own story.
//! Nobody is moved aside for what cannot be deployed, so that is rendered first.

use super::{Story, basis, current, quiet};
use crate::{
    event::PullRequest,
    names::{CommitSha, PrNumber},
    pipeline::{
        Blame, DeployRequest, Ending, Entrance, Failure, Sources, deploy,
        desk::Desk,
        heap::heap,
        inspect, render,
        request::{self, Word},
        sleep::Bed,
        take::Taking,
        teller::Teller,
    },
    trigger::{Asked, Denied, permission},
};
use jiff::Timestamp;

impl Story<'_> {
    /// Deploys in the slot of another preview, which is moved aside first.
    pub(super) async fn take(&self, from: PrNumber) -> Result<Ending, Failure> {
        let pull = match self
            .pull_for((permission::may_take, self.maintainers()))
            .await?
        {
            Ok(pull) => pull,
            Err(denied) => return Ok(quiet(denied)),
        };
        if let Err(ending) = self.gate(&pull).await? {
            return Ok(ending);
        }
        let sha = match self.pinned(&pull).await? {
            Ok(sha) => sha,
            Err(denied) => return self.overtaken(&pull, denied).await,
        };
        let mut teller = self.teller(&sha, pull.open);
        let taking = Taking {
            ports: self.ports,
            repository: &self.request.repository,
            preview: self.preview(),
            from,
        };
        let basis = basis(self.ports, &self.request.repository, self.caller);
        let word = Word::Asked(Entrance::First);
        let (mut request, sources) = basis.request(word, sha, &pull);
        request.at = self.said();
        let made = match render::manifests(self.ports, &request, &sources).await {
            Ok(_) => taking.make_room(&request, teller.asker()).await?,
            // Nobody is moved aside for what cannot be deployed; the deploy says why.
            Err(failure) if failure.blame == Blame::Yours => Ok(None),
            Err(failure) => return Err(failure),
        };
        let notice = match made {
            Ok(notice) => notice,
            Err(denied) => {
                let line = denied.to_string();
                teller.answer_with(&line);
                let shown =
                    inspect::show(self.ports, &self.preview(), &pull.head_sha, &mut teller).await?;
                return Ok(shown.because(denied.reason).answering(line));
            }
        };
        let ending = heap(|| deploy(self.ports, &request, &sources, &mut teller)).await;
        let mut ending = self.asked_anew(ending, &pull).await;
        ending.notices.extend(notice);
        Ok(ending)
    }

    pub(super) async fn deploy(&self) -> Result<Ending, Failure> {
        let pull = match self.deployable().await? {
            Ok(pull) => pull,
            Err(ending) => return Ok(ending),
        };
        match self.pinned(&pull).await? {
            Ok(sha) => Ok(self.deploy_at(&sha, &pull).await),
            Err(denied) => self.overtaken(&pull, denied).await,
        }
    }

    /// The commit that is deployed where it must be the newest.
    pub(super) fn current(&self, pull: &PullRequest) -> Result<CommitSha, Denied> {
        let pinned = self.request.commit.pin(pull);
        pinned.and_then(|sha| current(sha, pull))
    }

    /// The commit that is deployed: the newest, or another one of the pull request that somebody has named.
    pub(super) async fn pinned(
        &self,
        pull: &PullRequest,
    ) -> Result<Result<CommitSha, Denied>, Failure> {
        let commit = &self.request.commit;
        let pinned = request::pinned(self.ports, commit, pull).await?;
        let (Ok(sha), Some(_)) = (&pinned, commit.names_another(pull)) else {
            return Ok(pinned.and_then(|sha| current(sha, pull)));
        };
        // A run comes late where something was pushed since the command was given, and one that the line started where something else
        // is wanted since.
        let (workflow, said) = (self.request.asked.is_workflow(), self.said());
        if let (true, Ok(cluster)) = (workflow || said.is_some(), self.ports.cluster()) {
            let desk = Desk::new(self.ports, cluster, self.preview(), false);
            let record = desk.record().await?.map(|(record, _)| record);
            let record = record.unwrap_or_default();
            let pushed = record.was_pushed_after(said);
            if pushed || (workflow && record.wanted(&pull.head_sha) != sha) {
                return Ok(current(sha.clone(), pull));
            }
        }
        Ok(pinned)
    }

    /// When somebody pushed, or gave the command; none where nobody knows. Who runs a command again gives it anew.
    pub(super) fn said(&self) -> Option<Timestamp> {
        match &self.request.asked {
            Asked::Event { pushed, at, .. } => at.filter(|_| *pushed),
            Asked::Build { begun, .. } => *begun,
            Asked::Comment { written, .. } => Some(*written).filter(|_| self.caller.attempt < 2),
            Asked::Dispatch { .. } => None,
        }
    }

    pub(super) async fn deploy_at(&self, sha: &CommitSha, pull: &PullRequest) -> Ending {
        let (request, sources) = self.request_for(sha.clone(), pull);
        let mut teller = self.teller(sha, pull.open);
        teller.unplanned();
        let ending = heap(|| deploy(self.ports, &request, &sources, &mut teller)).await;
        if teller.leaves_it_to_nobody() && !pull.from_fork() {
            return self.in_its_place(ending).await;
        }
        self.asked_anew(ending, pull).await
    }

    /// Wakes a sleeper as it was; one that can only be deployed, or waits in line for that, is deployed at the commit that is wanted.
    pub(super) async fn woken(
        &self,
        pull: &PullRequest,
        bed: &Bed<'_>,
        teller: &mut Teller<'_>,
    ) -> Result<Ending, Failure> {
        if let Some(ending) = Box::pin(bed.wake(teller)).await? {
            return Ok(ending);
        }
        if let Err(denied) = self.current(pull) {
            return self.overtaken(pull, denied).await;
        }
        if let Err(ending) = self.gate(pull).await? {
            return Ok(ending);
        }
        let status = inspect::status(self.ports, &self.preview()).await?;
        let sha = status.record.wanted(&pull.head_sha);
        let basis = basis(self.ports, &self.request.repository, self.caller);
        match status.house {
            Some(house) if !basis.has_manifests_of(sha, pull) => {
                teller.about(sha);
                teller.warn(format!(
                    "it was not woken as it was: it waits for {}, whose manifests only a run of its own writes",
                    sha.short()
                ));
                let ending = teller.full(house).await;
                let seen = status.record.sequence;
                inspect::looks_again(self.ports, &self.preview(), seen).await;
                Ok(ending)
            }
            _ => Ok(self.deploy_at(sha, pull).await),
        }
    }

    pub(super) fn request_for(
        &self,
        sha: CommitSha,
        pull: &PullRequest,
    ) -> (DeployRequest, Sources) {
        let word = match self.request.asked {
            Asked::Event { target, .. } => Word::Event { target },
            Asked::Build { .. } => Word::Built,
            Asked::Comment { .. } | Asked::Dispatch { .. } => Word::Asked(Entrance::Ordinary),
        };
        let basis = basis(self.ports, &self.request.repository, self.caller);
        let (request, sources) = basis.request(word, sha, pull);
        let at = self.said();
        (DeployRequest { at, ..request }, sources)
    }

    pub(super) async fn announce(&self) -> Result<Ending, Failure> {
        let pull = match self.deployable().await? {
            Ok(pull) => pull,
            Err(ending) => return Ok(ending),
        };
        if let Err(denied) = self.current(&pull) {
            return Ok(quiet(denied));
        }
        let mut teller = self.teller(&pull.head_sha, pull.open);
        let (request, sources) = self.request_for(pull.head_sha.clone(), &pull);
        inspect::announce(self.ports, &request, &sources, &mut teller).await
    }
}
