//! Turns a view into the page that the templates of comments print: words, links, tables, cut to size.
//! It holds no sentence; those stand in the templates.
//! Everything is prepared here, so that templates need no logic beyond "if it is there".

use super::{
    approval::{Approval, approval},
    engine::Markdown,
    link::Link,
    view::{Aftermath, AtCap, Coming, HolderView, Reached, Removal, RemovedBecause, StatusView},
    words,
};
use crate::{
    cluster::outcome::{Failure, Fate, VolumeEnd, WorkloadStatus},
    manifests::Origin,
    names::{CommitSha, PrNumber, State},
};
use serde::Serialize;

const MOST_SERVICES: usize = 60;
const MOST_HOLDERS: usize = 50;
const MOST_WARNINGS: usize = 20;
/// The most removed objects that are named.
const MOST_PRUNED: usize = 20;

const MOST_FAILURES: usize = 10;
const MOST_EVIDENCE: usize = 6;

/// What the templates of a status comment see.
#[derive(Serialize)]
pub(super) struct Page {
    pub(super) marker: Option<Markdown>,
    reason: Option<&'static str>,
    commit: Markdown,
    /// Whether it is known which commit this is about.
    named_commit: bool,
    serving: Option<Markdown>,
    newer: Option<Markdown>,
    main_url: Option<Markdown>,
    other_urls: Vec<Markdown>,
    services: Vec<Service>,
    more_services: usize,
    addresses: bool,
    images: Vec<Image>,
    namespace: Option<Markdown>,
    workloads: Vec<Markdown>,
    slot: Option<Slot>,
    at_cap: Option<Cap>,
    expires: Option<String>,
    pinned: bool,
    took: Option<String>,
    run: Option<Markdown>,
    setup: Option<Markdown>,
    image_path: Markdown,
    now: String,
    closed: bool,
    removable: bool,
    warnings: Vec<String>,
    more_warnings: usize,
    pruned: Vec<String>,
    more_pruned: usize,
    failures: Vec<Cause>,
    more_failures: usize,
    cause: Option<String>,
    remedy: Option<String>,
    removal: Option<Gone>,
    reached: &'static str,
    aftermath: Option<After>,
    asleep: Option<Asleep>,
    rolled_back: bool,
    named: Option<Markdown>,
    fork: bool,
    push_deploys: bool,
    approval: Option<Approval>,
    on_request: bool,
    comes_later: bool,
    stalled: Option<Waits>,
}

#[derive(Serialize)]
struct Waits {
    until: Option<String>,
    cause: String,
}

#[derive(Serialize)]
struct Asleep {
    since: String,
    by: Option<String>,
    keeps_slot: bool,
}

#[derive(Serialize)]
struct After {
    what: &'static str,
    good: Option<Markdown>,
    cause: Option<String>,
    remedy: Option<String>,
}

#[derive(Serialize)]
struct Service {
    name: String,
    kind: Option<String>,
    icon: Markdown,
    state: &'static str,
    message: Option<String>,
    ready: u32,
    desired: u32,
    address: Markdown,
}

#[derive(Serialize)]
struct Image {
    service: String,
    image: String,
}

#[derive(Serialize)]
struct Slot {
    number: u32,
    capacity: u32,
}

#[derive(Serialize)]
struct Cap {
    capacity: u32,
    /// Place in line, from 1; none when it is refused.
    place: Option<usize>,
    lack: Option<String>,
    holders: Vec<Holder>,
    more: usize,
}

#[derive(Serialize)]
struct Holder {
    slot: u32,
    pr: Markdown,
    preview: Markdown,
    owner: String,
    leaving: Option<Leaving>,
    age: String,
    activity: Option<String>,
    comment_box: Markdown,
}

#[derive(Serialize)]
struct Leaving {
    since: String,
    held_by: String,
}

#[derive(Serialize)]
struct Cause {
    object: Option<String>,
    cause: String,
    remedy: String,
    origin: Option<String>,
    evidence: Vec<Piece>,
}

#[derive(Serialize)]
struct Piece {
    title: String,
    text: String,
}

#[derive(Serialize)]
struct Gone {
    namespace: String,
    took: Option<String>,
    because: &'static str,
    by: Option<String>,
    to: Option<Markdown>,
    owner: Option<Markdown>,
    counts: Option<String>,
    volumes: Vec<VolumeRow>,
}

#[derive(Serialize)]
struct VolumeRow {
    claim: String,
    volume: Option<String>,
    fate: &'static str,
}

/// Lays a view out, with at most so many characters of each piece of evidence.
pub(super) fn page(view: &StatusView, evidence: usize) -> Page {
    let commit = |sha: &CommitSha| commit_link(view, sha);
    let known_by_address: Vec<&str> = view.services.iter().map(|s| s.id.name.as_str()).collect();
    // with one address alone the first line says it all
    let addresses = view.urls.len() > 1;
    let warnings = view.images.iter().filter_map(other_revision);
    let warnings: Vec<String> = warnings.chain(view.warnings.iter().cloned()).collect();
    let alive = !matches!(
        view.state,
        State::Removed | State::Expired | State::NotDeployed | State::Queued | State::Refused
    ) && view.aftermath != Some(Aftermath::Removed);
    let lives = alive && !matches!(view.state, State::Removing | State::Stuck);
    Page {
        marker: None,
        reason: view.reason.map(|reason| reason.as_str()),
        commit: view
            .sha
            .as_ref()
            .map_or_else(|| Markdown::ours("The newest commit".into()), commit),
        named_commit: view.sha.is_some(),
        serving: view.serving.as_ref().map(commit),
        newer: view.newer.as_ref().map(commit),
        main_url: view.urls.first().map(|url| address(&url.url)),
        other_urls: view
            .urls
            .iter()
            .skip(1)
            .filter(|url| alive && !known_by_address.contains(&url.service.as_str()))
            .map(|url| address(&url.url))
            .collect(),
        services: view
            .services
            .iter()
            .take(MOST_SERVICES)
            .map(|status| service(view, status))
            .collect(),
        more_services: view.services.len().saturating_sub(MOST_SERVICES),
        addresses,
        images: view
            .images
            .iter()
            .take(MOST_SERVICES)
            .map(|image| Image {
                service: image.service.clone(),
                image: image.image.clone(),
            })
            .collect(),
        namespace: view
            .namespace
            .as_ref()
            .filter(|_| alive)
            // It stands there as it is, because people copy it; nothing but letters, digits and dashes can be in it.
            .map(|namespace| Markdown::ours(namespace.to_string())),
        workloads: view
            .services
            .iter()
            .take(MOST_SERVICES)
            .map(kubectl_name)
            .collect(),
        slot: view.slot.map(|slot| Slot {
            number: slot.number,
            capacity: slot.capacity,
        }),
        at_cap: view.at_cap.as_ref().map(|cap| at_cap(view, cap)),
        expires: view.expires.filter(|_| lives).map(words::time),
        pinned: view.pinned && lives,
        took: view.took.map(words::span),
        run: link(view.run_url.as_deref()).map(|link| link.titled("run log")),
        setup: link(view.setup_url.as_deref()).map(|link| Markdown::ours(link.as_str().into())),
        image_path: Markdown::ours(image_path(view)),
        now: words::time(view.now),
        closed: view.closed
            || view.removal.as_ref().is_some_and(|removal| {
                matches!(
                    removal.because,
                    RemovedBecause::Closed | RemovedBecause::Merged
                )
            }),
        removable: matches!(view.state, State::Ready | State::Degraded) || view.serving.is_some(),
        more_warnings: warnings.len().saturating_sub(MOST_WARNINGS),
        warnings: warnings.into_iter().take(MOST_WARNINGS).collect(),
        more_pruned: view.pruned.len().saturating_sub(MOST_PRUNED),
        pruned: view
            .pruned
            .iter()
            .take(MOST_PRUNED)
            .map(ToString::to_string)
            .collect(),
        failures: view
            .failures
            .iter()
            .take(MOST_FAILURES)
            .map(|failure| cause(failure, evidence))
            .collect(),
        more_failures: view.failures.len().saturating_sub(MOST_FAILURES),
        cause: view.note.as_ref().map(|note| note.cause.clone()),
        remedy: view
            .note
            .as_ref()
            .map(|note| note.remedy.clone())
            .filter(|remedy| !remedy.is_empty()),
        removal: view.removal.as_ref().map(|removal| gone(view, removal)),
        reached: match view.reached {
            Reached::Nothing => "nothing",
            Reached::Applied => "applied",
            Reached::Running => "running",
        },
        aftermath: view.aftermath.as_ref().map(|after| aftermath(view, after)),
        asleep: view.asleep.as_ref().map(|asleep| Asleep {
            since: words::time(asleep.since),
            by: Some(asleep.by.clone()).filter(|by| !by.is_empty()),
            keeps_slot: asleep.keeps_slot,
        }),
        rolled_back: view.rolled_back,
        named: view
            .named_before
            .as_ref()
            .and(view.sha.as_ref())
            .map(|sha| Markdown::ours(sha.to_string())),
        fork: view.fork,
        push_deploys: view.auto_deploy && !view.fork,
        approval: view.approval.as_ref().map(|one| approval(view, one)),
        on_request: view.coming == Coming::OnRequest,
        comes_later: view.coming == Coming::Later,
        stalled: view.stalled.as_ref().map(|stalled| Waits {
            until: stalled.until.map(words::time),
            cause: stalled.cause.clone(),
        }),
    }
}

fn aftermath(view: &StatusView, after: &Aftermath) -> After {
    let plain = |what| After {
        what,
        good: None,
        cause: None,
        remedy: None,
    };
    let of = |good| Some(commit_link(view, good));
    match after {
        Aftermath::Restoring { good } => After {
            good: of(good),
            ..plain("restoring")
        },
        Aftermath::Restored => plain("restored"),
        Aftermath::NotRestored {
            good,
            cause,
            remedy,
        } => After {
            good: of(good),
            cause: Some(cause.clone()),
            remedy: Some(remedy.clone()).filter(|remedy| !remedy.is_empty()),
            ..plain("not-restored")
        },
        Aftermath::Stays => plain("stays"),
        Aftermath::First => plain("first"),
        Aftermath::Removed => plain("removed"),
    }
}

/// Where an image of this repository could be: in GitHub's own registry only where there is one.
fn image_path(view: &StatusView) -> String {
    let registry = match view.server_url.trim_end_matches('/') {
        "https://github.com" => "ghcr.io",
        _ => "registry.example.com",
    };
    format!("{registry}/{}", view.repository).to_ascii_lowercase()
}

fn link(address: Option<&str>) -> Option<Link> {
    address.and_then(Link::new)
}

/// A link to an address, or the address as code when it cannot be one.
fn address(text: &str) -> Markdown {
    Link::new(text).map_or_else(
        || Markdown::ours(super::escape::code(text)),
        |link| link.bare(),
    )
}

pub(super) fn commit_link(view: &StatusView, sha: &CommitSha) -> Markdown {
    let plain = || Markdown::ours(super::escape::code(sha.short()));
    let url = format!("{}/{}/commit/{sha}", view.server_url, view.repository);
    Link::new(&url).map_or_else(plain, |link| link.coded(sha.short()))
}

fn pull_url(view: &StatusView, pr: PrNumber) -> Option<Link> {
    Link::new(&format!(
        "{}/{}/pull/{pr}",
        view.server_url, view.repository
    ))
}

fn pull_link(view: &StatusView, pr: PrNumber) -> Markdown {
    // Without the backslash GitHub would note a mention of this pull request over there.
    let text = match pull_url(view, pr) {
        Some(url) => format!("[\\#{pr}]({})", url.as_str()),
        None => String::new(),
    };
    Markdown::ours(text)
}

fn other_revision(image: &super::view::ImageView) -> Option<String> {
    let revision = image.other_revision.as_ref()?;
    let short: String = revision.chars().take(12).collect();
    Some(format!(
        "the image of `{}` is from `{}`",
        image.service.replace('`', ""),
        short.replace('`', "")
    ))
}

fn service(view: &StatusView, status: &WorkloadStatus) -> Service {
    let (icon, state) = words::readiness(status.readiness);
    let own = view
        .urls
        .iter()
        .find(|url| url.service.as_str() == status.id.name);
    Service {
        name: status.id.name.clone(),
        kind: (status.id.kind != "Deployment").then(|| status.id.kind.clone()),
        icon: Markdown::ours(icon.into()),
        state,
        message: Some(status.message.clone()).filter(|message| !message.is_empty()),
        ready: status.ready,
        desired: status.desired,
        address: own.map_or_else(|| Markdown::ours(String::new()), |url| address(&url.url)),
    }
}

/// `deployment/web`, for a command line: only what a name in Kubernetes can hold.
fn kubectl_name(status: &WorkloadStatus) -> Markdown {
    let safe = |text: &str| -> String {
        text.chars()
            .filter(|c| c.is_ascii_alphanumeric() || "-.".contains(*c))
            .collect()
    };
    let kind = safe(&status.id.kind).to_ascii_lowercase();
    Markdown::ours(format!("{kind}/{}", safe(&status.id.name)))
}

fn at_cap(view: &StatusView, cap: &AtCap) -> Cap {
    Cap {
        capacity: cap.capacity,
        place: cap.place,
        lack: cap.lack.clone(),
        holders: cap
            .holders
            .iter()
            .take(MOST_HOLDERS)
            .map(|other| holder(view, other))
            .collect(),
        more: cap.holders.len().saturating_sub(MOST_HOLDERS),
    }
}

fn holder(view: &StatusView, holder: &HolderView) -> Holder {
    let nothing = || Markdown::ours(String::new());
    let state = holder.state.map_or("unknown", State::as_str);
    let pull = pull_url(view, holder.pr);
    // an id that GitHub's page gives to the box for a new comment
    let comment_box = pull
        .as_ref()
        .and_then(|pull| Link::new(&format!("{}#issuecomment-new", pull.as_str())));
    Holder {
        slot: holder.slot,
        pr: pull_link(view, holder.pr),
        preview: Link::new(&holder.url)
            .map_or_else(|| Markdown::ours(state.into()), |link| link.titled(state)),
        owner: holder.owner.clone(),
        leaving: holder.leaving.as_ref().map(|leaving| Leaving {
            since: words::time(leaving.since),
            held_by: leaving.held_by.clone(),
        }),
        age: words::since(holder.since, view.now),
        activity: holder.last_activity.map(|at| words::since(at, view.now)),
        comment_box: comment_box.map_or_else(nothing, |link| Markdown::ours(link.as_str().into())),
    }
}

fn cause(failure: &Failure, evidence: usize) -> Cause {
    Cause {
        object: failure.object.as_ref().map(ToString::to_string),
        cause: failure.cause.clone(),
        remedy: failure.remedy.clone(),
        // A file that readers do not have is no place to go to; the remedy names the service.
        origin: failure.origin.as_ref().and_then(Origin::shown),
        evidence: failure
            .evidence
            .iter()
            .filter(|piece| !piece.text.trim().is_empty() && evidence > 0)
            .take(MOST_EVIDENCE)
            .map(|piece| Piece {
                title: piece.title.clone(),
                text: last(&piece.text, evidence),
            })
            .collect(),
    }
}

/// The last so many characters: the end of a log says what happened.
fn last(text: &str, characters: usize) -> String {
    let length = text.chars().count();
    if length <= characters {
        return text.to_owned();
    }
    let kept: String = text.chars().skip(length - characters).collect();
    let kept = kept
        .split_once('\n')
        .map_or(kept.as_str(), |(_, rest)| rest);
    format!(
        "… {} characters before this are cut …\n{kept}",
        length - kept.chars().count()
    )
}

/// `@login`, which notifies; none for what is no login.
fn mention(login: &str) -> Option<Markdown> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let login = Some(login).filter(|login| !login.is_empty() && login.bytes().all(plain))?;
    Some(Markdown::ours(format!("@{login}")))
}

fn gone(view: &StatusView, removal: &Removal) -> Gone {
    Gone {
        namespace: removal.namespace.to_string(),
        took: removal.took.map(words::span),
        because: match removal.because {
            RemovedBecause::Closed => "closed",
            RemovedBecause::Merged => "merged",
            RemovedBecause::Asked { .. } => "asked",
            RemovedBecause::Expired => "expired",
            RemovedBecause::Deleted => "deleted",
            RemovedBecause::Taken { .. } => "taken",
            RemovedBecause::GaveWay { .. } => "gave-way",
        },
        by: match &removal.because {
            RemovedBecause::Asked { by } | RemovedBecause::Taken { by, .. } if !by.is_empty() => {
                Some(by.clone())
            }
            _ => None,
        },
        to: match &removal.because {
            RemovedBecause::Taken { to, .. } | RemovedBecause::GaveWay { to } => {
                Some(pull_link(view, *to))
            }
            _ => None,
        },
        owner: match &removal.because {
            RemovedBecause::Taken { owner, .. } => mention(owner),
            _ => None,
        },
        counts: removal.counts.as_ref().map(words::counts),
        volumes: removal.volumes.iter().map(volume).collect(),
    }
}

fn volume(end: &VolumeEnd) -> VolumeRow {
    VolumeRow {
        claim: end.claim.clone(),
        volume: end.volume.clone(),
        fate: match end.fate {
            Fate::Deleted => "deleted",
            Fate::Leaving => "leaving",
            Fate::Retained => "retained",
            Fate::NotChecked => "not-checked",
        },
    }
}
