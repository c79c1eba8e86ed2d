//! Turns what a run has freed into deploys of those who wait, and keeps the places true that their comments name.
//! It changes nothing of how the run itself ended: a promoted deploy tells its own pull request how it went.
//! Every run looks at the ledger that it has written last, so a run that sees no queue asks nobody anything.

mod call;

use super::{
    Ending, Failure, Ports, Sources, approval,
    deploy::deploy,
    desk::{Desk, House, keep_cap, rooms},
    filter,
    heap::heap,
    remove::{RemoveReason, RemoveRequest, give_way, remove},
    request::{Basis, Word},
    sleep::Bed,
    teller::Teller,
};
use crate::{
    capacity::{self, Holder, Ledger, LedgerName, Record, Waiting},
    cluster::{Cluster, Step},
    event::{PullRequest, Repository},
    github::GitHubError,
    inputs::{Promote, UrlMode},
    names::{PrNumber, PreviewKey, ReasonCode},
    plan,
    trigger::{Denied, permission},
};
use futures::{StreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use std::{collections::BTreeSet, time::Duration};

/// A Namespace that has been going for so long holds up no run more.
const GOES: SignedDuration = SignedDuration::from_mins(2);

/// What telling one place may take: the word on a preview is anybody's again half a minute after it was taken.
const PATIENCE: Duration = Duration::from_secs(12);

/// How many comments are edited at once.
const ABREAST: usize = 4;

/// How many places are taken to be told at a time: two rounds of edits, and the word on the last is still ours.
const AT_ONCE: usize = 2 * ABREAST;

/// What became of one preview that was first in line.
#[derive(Debug, Clone)]
pub struct Promoted {
    /// Pull request.
    pub pr: PrNumber,
    /// How that went.
    pub ending: ReasonCode,
    /// The same in one line.
    pub why: String,
    /// True when somebody should know.
    pub failed: bool,
}

/// Deploys whoever has a slot waiting for them, and tells all others their places.
///
/// Who governs brings the cap up to date first, so that it counts from now on for everybody.
/// A sweep looks first whether somebody deleted a Namespace by hand, and whether a preview whose first deploy failed can give
/// way: nobody else would while no newcomer asks, and until then there is time to look at what failed.
pub(super) async fn promote(basis: Basis<'_>, governs: bool, sweeps: bool) -> Vec<Promoted> {
    let Ok(cluster) = basis.ports.cluster() else {
        return Vec::new();
    };
    let line = Line {
        basis,
        governs,
        cluster,
        ledger: basis.ports.ledger(basis.repository.id),
    };
    if governs && let Err(failure) = keep_cap(basis.ports, basis.repository.id).await {
        tracing::warn!(reason = %failure.reason(), "the cap could not be brought up to date: {}", failure.line());
    }
    if sweeps && let Err(failure) = line.look().await {
        tracing::warn!(reason = %failure.reason(), "who holds the slots could not be looked at: {}", failure.line());
    }
    let (mut promoted, mut tried) = (Vec::new(), Vec::new());
    if sweeps && let Err(failure) = line.make_way().await {
        tracing::warn!(reason = %failure.reason(), "nobody gives way to the first in line, who cannot be looked at: {}", failure.line());
    }
    let mut usual = None;
    loop {
        // Asked once somebody is to be deployed, which may be after all were told their places.
        let deploys = governs || line.first(&tried).is_none() || line.is_usual(&mut usual).await;
        if deploys {
            promoted.extend(line.advance(&mut tried).await);
        }
        let told = line.tell_places().await.unwrap_or_else(|failure| {
            tracing::warn!(reason = %failure.reason(), "the places in line could not be told: {}", failure.line());
            false
        });
        // A run that freed a slot meanwhile has left alone whose place was being told.
        if !told || !deploys || line.first(&tried).is_none() {
            return promoted;
        }
    }
}

/// Whom a slot is free for, as far as this process has seen: for a command that deploys nobody.
pub fn first_in_line(ports: &Ports, repository: &Repository) -> Option<PrNumber> {
    let seen = ports
        .cluster()
        .ok()?
        .ledger_seen(&ports.ledger(repository.id));
    let (mut ledger, now) = seen?;
    capacity::next(&mut ledger, &[], now).map(|waiting| waiting.pr)
}

/// Whose first deploy has failed and who would have that slot, if a sweep makes it give way.
pub(super) fn way_for_first(ledger: &Ledger, now: Timestamp) -> Option<(Holder, Waiting)> {
    let first = ledger.queue.first()?;
    let house = House::seen(ledger, Some(1));
    let weak = house.gives_way_to(first, now)?;
    Some((weak.holder.clone(), first.clone()))
}

struct Line<'a> {
    basis: Basis<'a>,
    governs: bool,
    cluster: &'a Cluster,
    ledger: LedgerName,
}

impl Line<'_> {
    /// True when the workflow that gave this run its inputs is the default branch's, word by word: by what a pull request has
    /// changed in it, nobody else's preview is deployed. True as well where the runner does not say which one it is.
    async fn is_usual(&self, known: &mut Option<bool>) -> bool {
        match *known {
            Some(known) => known,
            None => *known.insert(self.looks_usual().await),
        }
    }

    async fn looks_usual(&self) -> bool {
        let (ports, links) = (self.basis.ports, &self.basis.ports.links);
        let (Some(file), Some(sha), Some(github)) =
            (&links.workflow, &links.workflow_sha, &ports.github)
        else {
            return true;
        };
        let path = format!(".github/workflows/{file}");
        let both = futures::try_join!(
            github.file(&path, sha),
            github.file_of_default_branch(&path)
        );
        match both {
            Ok((own, usual)) if own.is_some() && own == usual => true,
            Ok(_) => {
                tracing::info!(
                    "a slot is free for who waits; it is left to a run of the default branch's {path}, which is not this run's"
                );
                false
            }
            Err(error) => {
                tracing::info!(
                    "whether this run's {path} is the default branch's cannot be read, so who waits is left to another run: {error}"
                );
                false
            }
        }
    }

    /// Frees slots whose Namespace is gone, when somebody waits and none is free.
    async fn look(&self) -> Result<(), Failure> {
        let Some((ledger, _)) = self.cluster.ledger_seen(&self.ledger) else {
            return Ok(());
        };
        let first = ledger.queue.first().filter(|_| ledger.free() == 0);
        if let Some(preview) = first.and_then(|waiting| self.preview(&waiting.key)) {
            let desk = Desk::new(self.basis.ports, self.cluster, preview, false);
            desk.free_vanished(&mut House::seen(&ledger, None)).await?;
        }
        Ok(())
    }

    /// Lets a preview whose first deploy failed give way to the first in line, when no slot is free and nothing keeps the first
    /// from having one.
    async fn make_way(&self) -> Result<(), Failure> {
        let Some((ledger, now)) = self.cluster.ledger_seen(&self.ledger) else {
            return Ok(());
        };
        let Some((weak, first)) = way_for_first(&ledger, now) else {
            return Ok(());
        };
        let pull = self.pull(&first).await?;
        let record = self.record(&first.key);
        let wakes = self.wakes(&record, &pull);
        if (wakes || permission::may_deploy(&pull, record.approved()).is_ok())
            && self.keeps_back(&record, wakes, &pull).await.is_none()
        {
            give_way(self.basis.ports, self.basis.repository, &weak, first.pr).await;
        }
        Ok(())
    }

    /// Who may have a slot now, without those that were tried.
    fn first(&self, tried: &[String]) -> Option<Waiting> {
        let (mut ledger, now) = self.cluster.ledger_seen(&self.ledger)?;
        capacity::next(&mut ledger, tried, now)
    }

    /// Each who waits is tried once at most, so this ends.
    async fn advance(&self, tried: &mut Vec<String>) -> Vec<Promoted> {
        let mut promoted = Vec::new();
        while !self.basis.ports.stop.is_cancelled() {
            let Some(waiting) = self.first(tried) else {
                break;
            };
            tried.push(waiting.key.clone());
            tracing::info!(pr = %waiting.pr, "a slot is free for who waits");
            let ended = match self.one(&waiting).await {
                Ok(ended) => ended,
                Err(failure) => Some(Ending::failed(failure)),
            };
            promoted.extend(ended.map(|ending| told(waiting.pr, &ending)));
        }
        promoted
    }

    /// Deploys one who waits; none when another run has it, or nobody wants it any more.
    async fn one(&self, waiting: &Waiting) -> Result<Option<Ending>, Failure> {
        let Some(preview) = self.preview(&waiting.key) else {
            return Ok(None);
        };
        let record = self.record(&waiting.key);
        let pull = self.pull(waiting).await?;
        if !pull.open {
            return self.close(preview, &record, &pull).await;
        }
        let wakes = self.wakes(&record, &pull);
        if !wakes && let Err(denied) = permission::may_deploy(&pull, record.approved()) {
            if !self.leave(&waiting.key, &record, &denied).await? {
                return Ok(None);
            }
            self.ask(&preview, &pull, &denied).await?;
            return Ok(None);
        }
        if let Some(denied) = self.keeps_back(&record, wakes, &pull).await {
            if !self.leave(&waiting.key, &record, &denied).await? {
                return Ok(None);
            }
            let (head, mut teller) = (&pull.head_sha, self.teller(&preview));
            filter::left_line(self.basis.ports, &preview, head, &denied, &mut teller).await?;
            return Ok(None);
        }
        if !wakes && self.is_stuck(&preview).await? {
            let back = |ledger: &mut Ledger, _| capacity::step_back(ledger, &waiting.key);
            self.note(back).await?;
            tracing::info!(pr = %waiting.pr, "its namespace is going and does not go");
            return Ok(None);
        }
        match self.basis.ports.settings.promote {
            Promote::Run if wakes => self.wake(&preview, &record, &pull).await,
            Promote::Run
                if self
                    .basis
                    .has_manifests_of(record.wanted(&pull.head_sha), &pull) =>
            {
                Ok(self.deploy(&preview, &pull).await)
            }
            _ => self.call(waiting, wakes, &pull).await,
        }
    }

    fn teller(&self, preview: &PreviewKey) -> Teller<'_> {
        let name = &self.basis.repository.name;
        Teller::open(self.basis.ports, preview, name, &|_| {})
    }

    /// Says that a fork's newest commit needs approval, if it was that which kept it back.
    async fn ask(
        &self,
        preview: &PreviewKey,
        pull: &PullRequest,
        denied: &Denied,
    ) -> Result<(), Failure> {
        if denied.reason == ReasonCode::ApprovalNeeded {
            let mut teller = self.teller(preview);
            approval::ask(self.basis.ports, preview, pull, false, &mut teller).await?;
        }
        Ok(())
    }

    /// True when its Namespace has been going for so long that it makes no sense to wait for its end once more.
    async fn is_stuck(&self, preview: &PreviewKey) -> Result<bool, Failure> {
        let (settings, name) = (&self.basis.ports.settings, &self.basis.repository.name);
        let Ok(namespace) = plan::namespace(settings, name, preview) else {
            return Ok(false);
        };
        let found = self.cluster.namespace(&namespace).await?;
        let since = found.and_then(|found| found.deleting);
        let now = self.basis.ports.now();
        Ok(since.is_some_and(|since| now.duration_since(since) >= GOES))
    }

    /// The pull request of one who waits. Not to be read is not to be closed: the entry stays, and is in nobody's way where GitHub
    /// does not know it, or has not shown it for long.
    async fn pull(&self, waiting: &Waiting) -> Result<PullRequest, Failure> {
        let key = &waiting.key;
        let pull = self.basis.ports.github()?.pull(waiting.pr).await;
        match &pull {
            Err(GitHubError::NotFound { .. }) => {
                let back = |ledger: &mut Ledger, _| capacity::step_back(ledger, key);
                self.note(back).await?;
            }
            // Who does not answer at all shows nobody.
            Err(
                GitHubError::Unavailable { .. }
                | GitHubError::Unexpected { .. }
                | GitHubError::Unreadable { .. },
            ) => {
                let unseen = |ledger: &mut Ledger, now| capacity::looked(ledger, key, false, now);
                self.note(unseen).await?;
            }
            Ok(_) if waiting.unseen.is_some() => {
                let seen = |ledger: &mut Ledger, now| capacity::looked(ledger, key, true, now);
                self.note(seen).await?;
            }
            _ => {}
        }
        Ok(pull?)
    }

    /// Removes what there is of one that is closed, as its own event would have, and says so.
    async fn close(
        &self,
        preview: PreviewKey,
        record: &Record,
        pull: &PullRequest,
    ) -> Result<Option<Ending>, Failure> {
        let (ports, name) = (self.basis.ports, &self.basis.repository.name);
        let merged = pull.merged;
        let reason = RemoveReason::Closed { merged };
        let mut request = RemoveRequest::new(ports, name, preview, reason)?;
        request.seen = Some(record.sequence);
        let mut teller = Teller::open(ports, &request.preview, name, &|_| {});
        teller.about(&pull.head_sha);
        let ending = Box::pin(remove(ports, &request, &mut teller)).await;
        tracing::info!(pr = %pull.number, "it is closed and waits no more: {}", ending.why);
        Ok(Some(ending).filter(|ending| ending.failure.is_some()))
    }

    /// What this run knows of a preview.
    fn record(&self, key: &str) -> Record {
        let seen = self.cluster.ledger_seen(&self.ledger);
        let record = seen.and_then(|(mut ledger, _)| ledger.previews.remove(key));
        record.unwrap_or_default()
    }

    /// Why one who waits is deployed no more; no filter counts for who was asked for by command, or sleeps.
    async fn keeps_back(&self, record: &Record, wakes: bool, pull: &PullRequest) -> Option<Denied> {
        if wakes {
            return None;
        }
        if let Some(unbuilt) = self.unbuilt(record, pull) {
            return Some(unbuilt);
        }
        match record.by_command || record.asleep.is_some() || record.approved().is_some() {
            true => None,
            false => filter::keeps_back(self.basis.ports, pull).await,
        }
    }

    /// That the place is for another commit than the newest one, where something is done before each deploy: its successor asks for a
    /// place of its own.
    fn unbuilt(&self, record: &Record, pull: &PullRequest) -> Option<Denied> {
        let settings = &self.basis.ports.settings;
        let (by_itself, command) = match (&settings.build_workflow, &settings.deploy_command) {
            (Some(_), _) => ("the end of the newer commit's build", "/deploy"),
            (None, Some(command)) => ("the newer commit's own run", command.as_str()),
            (None, None) => return None,
        };
        let wanted = record.wanted(&pull.head_sha);
        let due = record.due.as_ref().filter(|due| *due != wanted)?;
        Some(Denied {
            reason: ReasonCode::BuildIgnored,
            cause: format!(
                "its place was for commit {}, and {} is newer",
                due.short(),
                pull.head_sha.short()
            ),
            remedy: format!(
                "{by_itself} deploys it, unless `auto-deploy` is off, and so does `{command}`"
            ),
        })
    }

    /// Wakes who waits as it was; what its newest commit needs is said again behind that.
    async fn wake(
        &self,
        preview: &PreviewKey,
        record: &Record,
        pull: &PullRequest,
    ) -> Result<Option<Ending>, Failure> {
        let mut teller = self.teller(preview);
        teller.about(&pull.head_sha);
        let bed = Bed::of(self.basis.ports, preview, pull)?;
        let woken = Box::pin(bed.wake(&mut teller)).await?;
        let told = woken
            .as_ref()
            .is_some_and(|ending| ending.reason == ReasonCode::Woken);
        if told
            && let Err(denied) = permission::may_deploy(pull, record.approved())
            && let Err(failure) = self.ask(preview, pull, &denied).await
        {
            tracing::warn!(reason = %failure.reason(), "that the newest commit needs approval is not said again: {}", failure.line());
        }
        Ok(woken)
    }

    async fn deploy(&self, preview: &PreviewKey, pull: &PullRequest) -> Option<Ending> {
        let word = Word::Promoted {
            governs: self.governs,
        };
        let record = self.record(&preview.in_ledger());
        let sha = record.wanted(&pull.head_sha);
        let (request, sources): (_, Sources) = self.basis.request(word, sha.clone(), pull);
        let mut teller = self.teller(preview);
        teller.about(sha);
        let ending = heap(|| deploy(self.basis.ports, &request, &sources, &mut teller)).await;
        let elsewhere = ending.reason == ReasonCode::Superseded && ending.view.is_none();
        (!elsewhere).then_some(ending)
    }

    /// True for a sleeper that is to wake up as it was; where hosts are made of slots it can only be deployed.
    fn wakes(&self, record: &Record, pull: &PullRequest) -> bool {
        let settings = &self.basis.ports.settings;
        settings.url_mode != UrlMode::Slot
            && record.wakes_as_it_was(&pull.head_sha, settings.builds_first())
    }

    /// Writes the ledger if `change` says that it has changed something.
    async fn note(
        &self,
        change: impl Fn(&mut Ledger, Timestamp) -> bool + Send + Sync,
    ) -> Result<(), Failure> {
        let noted = self.cluster.transact(&self.ledger, |ledger, moment| {
            match change(ledger, moment.now) {
                true => Step::Write(()),
                false => Step::Keep(()),
            }
        });
        noted.await?;
        Ok(())
    }

    /// Takes a preview out of the line; false when a newer run has come since it was looked at, or somebody has approved its commit.
    async fn leave(&self, key: &str, seen: &Record, why: &Denied) -> Result<bool, Failure> {
        let left = self.cluster.transact(&self.ledger, |ledger, _| {
            let now = ledger.previews.get(key);
            let same =
                |now: &Record| (now.sequence, &now.approved) == (seen.sequence, &seen.approved);
            match now.is_none_or(same) {
                true if capacity::leave(ledger, key) => Step::Write(true),
                same => Step::Keep(same),
            }
        });
        let left = left.await?.unwrap_or_default();
        if left {
            tracing::info!(preview = key, "{why}; it waits no more");
        }
        Ok(left)
    }

    fn preview(&self, key: &str) -> Option<PreviewKey> {
        PreviewKey::from_ledger(
            self.basis.repository.id,
            &self.basis.ports.settings.environment,
            key,
        )
    }

    /// Edits the comment of everybody whose place is another one now, and who is nobody else's to speak of; true when somebody's was.
    async fn tell_places(&self) -> Result<bool, Failure> {
        let mut tried = BTreeSet::new();
        loop {
            let seen = self.cluster.ledger_seen(&self.ledger);
            let stale = seen.is_some_and(|(ledger, now)| capacity::untold(&ledger, now));
            if !stale || self.basis.ports.stop.is_cancelled() {
                return Ok(!tried.is_empty());
            }
            let run = &self.basis.ports.run;
            let mut house = None;
            let places = self.cluster.transact(&self.ledger, |ledger, moment| {
                house = Some(ledger.clone());
                match capacity::say_places(ledger, run, &tried, AT_ONCE, moment.now) {
                    none if none.is_empty() => Step::Keep(none),
                    places => Step::Write(places),
                }
            });
            let places = places.await?.unwrap_or_default();
            let Some(ledger) = house.filter(|_| !places.is_empty()) else {
                return Ok(!tried.is_empty());
            };
            let rooms = rooms(self.cluster, &self.ledger).await;
            let tell = |(waiting, place): (Waiting, usize)| {
                let mut house = House::seen(&ledger, Some(place));
                house.notice(&rooms);
                async move {
                    let told = self.tell(&waiting, house).await;
                    told.then_some(waiting.key)
                }
            };
            let told: BTreeSet<String> = stream::iter(places.clone())
                .map(tell)
                .buffer_unordered(ABREAST)
                .filter_map(std::future::ready)
                .collect()
                .await;
            let said = self.cluster.transact(&self.ledger, |ledger, _| {
                capacity::said_places(ledger, run, &places, &told);
                Step::Write(())
            });
            said.await?;
            tried.extend(places.into_iter().map(|(waiting, _)| waiting.key));
        }
    }

    /// True when the comment names the place now, or never has to.
    async fn tell(&self, waiting: &Waiting, house: House) -> bool {
        let told = tokio::time::timeout(PATIENCE, self.tell_one(waiting, house));
        match told.await {
            Ok(Ok(())) => return true,
            Ok(Err(failure)) => {
                tracing::warn!(pr = %waiting.pr, reason = %failure.reason(), "its place in line could not be told: {}", failure.line());
            }
            Err(_) => {
                tracing::warn!(pr = %waiting.pr, "its place in line could not be told in time")
            }
        }
        false
    }

    async fn tell_one(&self, waiting: &Waiting, house: House) -> Result<(), Failure> {
        let Some(preview) = self.preview(&waiting.key) else {
            return Ok(());
        };
        let pull = self.basis.ports.github()?.pull(waiting.pr).await?;
        if !pull.open {
            return Ok(());
        }
        let mut teller = self.teller(&preview);
        teller.about(self.record(&waiting.key).wanted(&pull.head_sha));
        teller.waits(house).await
    }
}

fn told(pr: PrNumber, ending: &Ending) -> Promoted {
    Promoted {
        pr,
        ending: ending.reason,
        why: ending.why.clone(),
        failed: ending.failure.is_some(),
    }
}
