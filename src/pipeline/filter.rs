//! Asks the filters about a pull request, and says so where its commit was not deployed for them.
//! It removes nothing and refuses nobody's command: filters are about what comes by itself.
//! Which files a pull request changes costs requests, so GitHub is asked only where that decides.

use super::{
    Ending, Failure, Ports,
    desk::{Asking, Desk},
    inspect, life,
    teller::Teller,
};
use crate::{
    capacity::{Ledger, Record},
    cluster::{Moment, Step},
    event::PullRequest,
    inputs::{Filters, Paths},
    names::{CommitSha, PreviewKey, ReasonCode},
    trigger::{Denied, filters},
};
use sha2::{Digest, Sha256};

/// Why a pull request is not deployed by itself; none when nothing keeps it back.
///
/// What GitHub does not tell keeps nothing back: a preview too many is found sooner than one that is missing.
pub(super) async fn keeps_back(ports: &Ports, pull: &PullRequest) -> Option<Denied> {
    let filters = &ports.settings.filters;
    if let Err(denied) = filters::passes(filters, pull) {
        return Some(denied);
    }
    let paths = filters.paths.as_ref()?;
    let github = ports.github.as_ref()?;
    let files = match github.changed_files(pull.number).await {
        Ok(Some(files)) => files,
        Ok(None) => {
            ports.notice(format!(
                "pull request #{} changes more files than GitHub names, so the input `paths` keeps nothing back",
                pull.number
            ));
            return None;
        }
        Err(error) => {
            ports.notice(format!(
                "which files pull request #{} changes could not be read, so the input `paths` keeps nothing back: {error}",
                pull.number
            ));
            return None;
        }
    };
    filters::touches(paths, &files).err()
}

/// True where a push has a run of its own that deploys it, be it behind a build, a plan or an approval.
pub(super) async fn lets_pushes_come(ports: &Ports, pull: &PullRequest) -> bool {
    ports.settings.auto_deploy && keeps_back(ports, pull).await.is_none()
}

/// Notes that a commit changes no file that is wanted, so that GitHub is not asked again about it.
pub(super) fn note(filters: &Filters, record: &mut Record, sha: &CommitSha) {
    record.skipped = Some(sha.clone());
    record.skipped_by = filters.paths.as_ref().map(digest);
}

/// True when a commit is known to change no file that these patterns want; under others GitHub is asked anew.
pub(super) fn is_noted(filters: &Filters, record: &Record, sha: &CommitSha) -> bool {
    let by = filters.paths.as_ref().map(digest);
    record.skipped.as_ref() == Some(sha) && by.is_some() && record.skipped_by == by
}

fn digest(paths: &Paths) -> String {
    let digest = Sha256::digest(paths.written());
    digest[..8]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Ends a run whose commit was kept back; a comment that stands already says so.
pub(super) async fn skipped(
    ports: &Ports,
    preview: &PreviewKey,
    head: &CommitSha,
    denied: &Denied,
    teller: &mut Teller<'_>,
) -> Ending {
    let why = format!("commit {} was not deployed: {denied}", head.short());
    let mut ending = Ending::quiet(None, denied.reason, why);
    let used = uses(ports, preview, head).await;
    let kept = Kept { head, denied, used };
    if let Err(failure) = told(ports, preview, kept, teller).await {
        let line = failure.line();
        tracing::warn!(reason = %failure.reason(), "{line}");
        ending
            .notices
            .push(format!("the comment does not say so: {line}"));
    }
    ending
}

/// True of a commit that was deployed, or tried: what comes of it now is no push.
fn is_known(record: &Record, head: &CommitSha) -> bool {
    let tried = record.attempted.as_ref().map(|last| &last.sha);
    tried == Some(head) || record.serving.as_ref() == Some(head)
}

/// Notes that what was kept back is use of what lives or sleeps: nothing expires while somebody works on it. True when it is.
async fn uses(ports: &Ports, preview: &PreviewKey, head: &CommitSha) -> bool {
    let Ok(cluster) = ports.cluster() else {
        return false;
    };
    let key = preview.in_ledger();
    let step = |ledger: &mut Ledger, moment: Moment| {
        let held = ledger.holder(&key).is_some();
        let record = ledger.previews.get_mut(&key);
        let lives = |record: &&mut Record| held || record.asleep.is_some();
        match record.filter(|record| lives(record) && !is_known(record, head)) {
            Some(record) => {
                record.used(moment.now);
                Step::Write(true)
            }
            None => Step::Keep(false),
        }
    };
    let name = ports.ledger(preview.repository);
    let noted = cluster.transact(&name, step).await.unwrap_or_else(|error| {
        tracing::warn!("that somebody uses the preview was not noted: {error}");
        None
    });
    noted.unwrap_or_default()
}

/// A commit that was kept back, and whether it was use of what there is.
struct Kept<'a> {
    head: &'a CommitSha,
    denied: &'a Denied,
    used: bool,
}

async fn told(
    ports: &Ports,
    preview: &PreviewKey,
    kept: Kept<'_>,
    teller: &mut Teller<'_>,
) -> Result<(), Failure> {
    let says = ports.github.is_some() && teller.has_comment().await?;
    if !says && !kept.used {
        return Ok(());
    }
    let desk = Desk::new(ports, ports.cluster()?, preview.clone(), false);
    let asking = Asking {
        yields: true,
        ..Asking::default()
    };
    // While a run is at work the comment is that run's.
    let Some(taken) = desk.take_turn(asking).await? else {
        return Ok(());
    };
    let lives = taken.holder.is_some() || taken.record.asleep.is_some();
    let told = async {
        if let Some(home) = taken.home().filter(|_| kept.used)
            && let Err(failure) = life::mark(ports, &desk, &home, &taken.record).await
        {
            tracing::warn!(reason = %failure.reason(), "how long it lives is not written onto its namespace: {}", failure.line());
        }
        // Of a commit that somebody has deployed already this would be a lie.
        if !says || is_known(&taken.record, kept.head) {
            return Ok(());
        }
        if lives {
            teller.lives(&taken.record);
            teller.relive().await?;
        }
        teller.skipped(kept.head, kept.denied).await
    };
    let told = desk.holding(told).await;
    desk.finish(None, |_, _, _| {}).await?;
    told
}

/// Corrects the comment of one who waited in line and waits no more, because a filter keeps it back now.
pub(super) async fn left_line(
    ports: &Ports,
    preview: &PreviewKey,
    head: &CommitSha,
    denied: &Denied,
    teller: &mut Teller<'_>,
) -> Result<(), Failure> {
    teller.about(head);
    teller.warn(format!("it waits in line no more: {denied}"));
    let status = inspect::status(ports, preview).await?;
    // While a run is at work the comment is that run's.
    if status.busy {
        return Ok(());
    }
    let ending = teller.status(&status, head, ReasonCode::StatusShown).await;
    tracing::info!("{}", ending.why);
    inspect::looks_again(ports, preview, status.record.sequence).await;
    Ok(())
}
