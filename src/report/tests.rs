//! Every state as people see it, and untrusted text that must never do anything.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use super::*;
use crate::{
    cluster::outcome::{
        Applied, Change, Evidence, Failure, Fate, Readiness, VolumeEnd, WorkloadStatus,
    },
    manifests::Origin,
    names::{
        CommitSha, Marker, MarkerKind, ObjectId, PrNumber, ReasonCode, Redactor, RepoId, State,
    },
    plan::PublicUrl,
};
use jiff::Timestamp;
use std::time::Duration;

mod copied;
mod kinds;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn sha(digit: char) -> CommitSha {
    let start = match digit {
        'a' => "4be91f6",
        _ => "c07d2e9",
    };
    format!("{start}{}", digit.to_string().repeat(33))
        .parse()
        .unwrap()
}

fn pr() -> PrNumber {
    PrNumber::new(12).unwrap()
}

fn marker() -> Marker {
    Marker {
        kind: MarkerKind::Status,
        repository: RepoId(42),
        pr: pr(),
        environment: "preview".parse().unwrap(),
    }
}

fn url(service: &str, host: &str) -> PublicUrl {
    PublicUrl {
        service: service.parse().unwrap(),
        host: host.parse().unwrap(),
        path: "/".into(),
        url: format!("https://{host}"),
        health_path: "/".into(),
    }
}

fn workload(
    kind: &str,
    name: &str,
    ready: u32,
    readiness: Readiness,
    message: &str,
) -> WorkloadStatus {
    WorkloadStatus {
        id: ObjectId {
            group: "apps".into(),
            version: "v1".into(),
            kind: kind.into(),
            name: name.into(),
        },
        ready,
        desired: 2,
        readiness,
        message: message.into(),
    }
}

fn view(state: State) -> StatusView {
    let mut view = StatusView::new(
        state,
        "https://github.com/",
        "acme/web-shop".parse().unwrap(),
        pr(),
        at("2026-11-21T07:12:30Z"),
    );
    view.sha = Some(sha('a'));
    view.run_url = Some("https://github.com/acme/web-shop/actions/runs/77/job/1".into());
    view
}

fn ready() -> StatusView {
    let mut view = view(State::Ready);
    view.reason = Some(ReasonCode::Deployed);
    view.namespace = Some("pr-web-shop-12".parse().unwrap());
    view.urls = vec![
        url("web", "pr-12.preview.example.com"),
        url("api", "pr-12-api.preview.example.com"),
    ];
    view.services = vec![
        workload("Deployment", "web", 2, Readiness::Ready, ""),
        workload("Deployment", "api", 2, Readiness::Ready, ""),
        workload("StatefulSet", "db", 2, Readiness::Ready, ""),
    ];
    view.images = vec![
        ImageView {
            service: "web".into(),
            image: "ghcr.io/acme/web-shop:4be91f6".into(),
            other_revision: None,
        },
        ImageView {
            service: "api".into(),
            image: "ghcr.io/acme/web-shop-api:4be91f6".into(),
            other_revision: None,
        },
    ];
    view.slot = Some(Slot {
        number: 2,
        capacity: 3,
    });
    view.took = Some(Duration::from_secs(41));
    view.expires = Some(at("2026-11-28T07:12:00Z"));
    view
}

fn failed() -> StatusView {
    let mut view = ready();
    view.state = State::Failed;
    view.reason = Some(ReasonCode::CrashLoop);
    view.serving = Some(sha('b'));
    view.reached = Reached::Applied;
    view.aftermath = Some(Aftermath::Restored);
    view.services[1] = workload(
        "Deployment",
        "api",
        0,
        Readiness::Failed,
        "container `api` exits with code 1",
    );
    view.failures = vec![Failure {
        reason: ReasonCode::CrashLoop,
        object: Some(view.services[1].id.clone()),
        origin: Some(Origin {
            file: "deploy/api.yaml.j2".into(),
            line: 14,
        }),
        cause: "container `api` of Deployment `api` starts and exits with code 1, 4 times so far".into(),
        remedy: "read its last log lines below: it misses the variable `DATABASE_URL`".into(),
        evidence: vec![
            Evidence {
                title: "last log lines of api".into(),
                text: "2026-11-21T07:12:01Z INFO starting api 2.4.1\n2026-11-21T07:12:01Z ERROR missing environment variable DATABASE_URL\n".into(),
            },
            Evidence {
                title: "events".into(),
                text: "Warning BackOff Back-off restarting failed container api in pod api-6d9c7-x2x4k".into(),
            },
        ],
    }];
    view
}

fn refused() -> StatusView {
    let mut view = view(State::Refused);
    view.reason = Some(ReasonCode::AtCapacity);
    let holder = |slot, pr, owner: &str, state, since: &str, last: Option<&str>| HolderView {
        slot,
        pr: PrNumber::new(pr).unwrap(),
        url: format!("https://pr-{pr}.preview.example.com"),
        owner: owner.into(),
        state: Some(state),
        since: at(since),
        last_activity: last.map(at),
        leaving: None,
    };
    view.at_cap = Some(AtCap {
        place: None,
        lack: None,
        capacity: 3,
        holders: vec![
            holder(
                1,
                7,
                "lea",
                State::Ready,
                "2026-11-19T06:00:00Z",
                Some("2026-11-21T06:30:00Z"),
            ),
            holder(
                2,
                9,
                "renovate[bot]",
                State::Failed,
                "2026-11-20T22:00:00Z",
                Some("2026-11-20T22:05:00Z"),
            ),
            holder(3, 10, "sam", State::Deploying, "2026-11-21T07:11:50Z", None),
        ],
    });
    view
}

fn queued() -> StatusView {
    let mut view = refused();
    view.state = State::Queued;
    view.reason = Some(ReasonCode::Queued);
    let cap = view.at_cap.as_mut().unwrap();
    cap.place = Some(2);
    cap.holders[1].state = Some(State::Removing);
    cap.holders[1].leaving = Some(Leaving {
        since: at("2026-11-21T06:58:00Z"),
        held_by: "finalizer example.com/block".into(),
    });
    view
}

fn removed() -> StatusView {
    let mut view = view(State::Removed);
    view.reason = Some(ReasonCode::Removed);
    view.removal = Some(Removal {
        namespace: "pr-web-shop-12".parse().unwrap(),
        took: Some(Duration::from_secs(23)),
        counts: Some(
            [
                ("Deployment".into(), 2),
                ("Ingress".into(), 2),
                ("PersistentVolumeClaim".into(), 4),
            ]
            .into(),
        ),
        volumes: [
            ("data-db-0", Some("pvc-1"), Fate::Deleted),
            ("data-db-1", Some("pvc-2"), Fate::Leaving),
            ("uploads", Some("pvc-3"), Fate::Retained),
            ("cache", Some("pvc-4"), Fate::NotChecked),
            ("never-used", None, Fate::Deleted),
        ]
        .map(|(claim, volume, fate)| VolumeEnd {
            claim: claim.into(),
            volume: volume.map(str::to_owned),
            fate,
        })
        .into(),
        because: RemovedBecause::Merged,
    });
    view
}

fn deploying() -> StatusView {
    let mut view = ready();
    view.state = State::Deploying;
    view.reason = None;
    view.serving = Some(sha('b'));
    view.services[0] = workload(
        "Deployment",
        "web",
        1,
        Readiness::InProgress,
        "pulling the image",
    );
    view.warnings = vec!["the namespace has no default `StorageClass`".into()];
    view.took = None;
    view
}

/// One view for each state and the special cases of it.
fn approval_needed(before: Option<(CommitSha, String)>, lapsed: bool) -> StatusView {
    let mut view = view(State::ApprovalNeeded);
    view.reason = Some(ReasonCode::ApprovalNeeded);
    view.approval = Some(ApprovalView {
        approvers: &["maintain", "admin"],
        lapsed,
        live: false,
        before,
    });
    view
}

fn examples() -> Vec<(&'static str, StatusView)> {
    let with = |state, change: fn(&mut StatusView)| {
        let mut view = view(state);
        change(&mut view);
        view
    };
    vec![
        (
            "not-deployed",
            with(State::NotDeployed, |view| {
                view.reason = Some(ReasonCode::AutoDeployOff);
                view.images = ready().images;
            }),
        ),
        (
            "nothing-to-deploy",
            with(State::Failed, |view| {
                view.reason = Some(ReasonCode::NothingToDeploy);
                view.setup_url =
                    Some("https://github.com/preview-action/preview-action#readme".into());
                view.note = Some(Note {
                    cause:
                        "neither `.github/preview.yml` nor the input `images` says what to deploy"
                            .into(),
                    remedy: "add one of the two".into(),
                });
            }),
        ),
        ("pending", with(State::Pending, |_| {})),
        (
            "pending-github",
            with(State::Pending, |view| {
                view.serving = Some(sha('b'));
                view.stalled = Some(Stalled {
                    until: "2026-11-21T07:32:00Z".parse().ok(),
                    cause: "cannot read pull request #12: GitHub takes no more requests until 2026-11-21 07:32 UTC".into(),
                });
            }),
        ),
        (
            "superseded-on-request",
            with(State::Superseded, |view| {
                view.newer = Some(sha('b'));
                view.coming = Coming::OnRequest;
            }),
        ),
        (
            "superseded-later",
            with(State::Superseded, |view| {
                view.newer = Some(sha('b'));
                view.coming = Coming::Later;
            }),
        ),
        ("deploying", deploying()),
        ("ready", ready()),
        ("ready-newer", {
            let mut view = ready();
            view.urls.truncate(1);
            view.newer = Some(sha('b'));
            view.images[0].other_revision = Some("0123456789abcdef".into());
            view
        }),
        ("ready-newer-later", {
            let mut view = ready();
            view.newer = Some(sha('b'));
            view.coming = Coming::Later;
            view
        }),
        ("rolled-back", {
            let mut view = ready();
            view.newer = Some(sha('b'));
            view.rolled_back = true;
            view
        }),
        ("named", {
            let mut view = ready();
            view.newer = Some(sha('b'));
            view.named_before = Some(sha('b'));
            view
        }),
        ("failed", failed()),
        ("failed-named", {
            let mut view = failed();
            view.named_before = Some(sha('c'));
            view
        }),
        ("restoring", {
            let mut view = failed();
            view.state = State::Deploying;
            view.serving = None;
            view.aftermath = Some(Aftermath::Restoring { good: sha('b') });
            view
        }),
        ("failed-not-restored", {
            let mut view = failed();
            view.serving = None;
            view.aftermath = Some(Aftermath::NotRestored {
                good: sha('b'),
                cause: "container `api` of Deployment `api` exits again and again".into(),
                remedy: "see its last log lines".into(),
            });
            view
        }),
        ("failed-kept", {
            let mut view = failed();
            view.aftermath = Some(Aftermath::Stays);
            view
        }),
        ("failed-mixed", {
            let mut view = failed();
            view.serving = None;
            view.aftermath = Some(Aftermath::Stays);
            view
        }),
        ("failed-first", {
            let mut view = failed();
            view.serving = None;
            view.reached = Reached::Running;
            view.aftermath = Some(Aftermath::First);
            view
        }),
        ("failed-removed", {
            let mut view = failed();
            view.serving = None;
            view.urls.clear();
            view.services.clear();
            view.images.clear();
            view.namespace = None;
            view.slot = None;
            view.expires = None;
            view.aftermath = Some(Aftermath::Removed);
            view
        }),
        ("failed-untouched", {
            let mut view = failed();
            view.reached = Reached::Nothing;
            view.aftermath = None;
            view
        }),
        ("expired", {
            let mut view = removed();
            view.state = State::Expired;
            view.removal.as_mut().unwrap().because = RemovedBecause::Expired;
            view.closed = false;
            view
        }),
        ("pinned", {
            let mut view = ready();
            view.expires = None;
            view.pinned = true;
            view
        }),
        ("sleeping", {
            let mut view = ready();
            view.state = State::Sleeping;
            view.urls.clear();
            view.services.clear();
            view.images.clear();
            view.slot = None;
            view.asleep = Some(AsleepView {
                since: at("2026-11-21T06:00:00Z"),
                by: "lea @team".into(),
                keeps_slot: false,
            });
            view
        }),
        ("degraded", {
            let mut view = failed();
            view.state = State::Degraded;
            view.serving = None;
            view.aftermath = None;
            view
        }),
        ("sleeping-idle", {
            let mut view = ready();
            view.state = State::Sleeping;
            view.urls.clear();
            view.services.clear();
            view.images.clear();
            view.asleep = Some(AsleepView {
                since: at("2026-11-21T06:00:00Z"),
                by: String::new(),
                keeps_slot: true,
            });
            view
        }),
        ("removed", removed()),
        ("removed-asked", {
            let mut view = removed();
            view.removal.as_mut().unwrap().because = RemovedBecause::Asked { by: "lea".into() };
            view
        }),
        ("removed-taken", {
            let mut view = removed();
            view.removal.as_mut().unwrap().because = RemovedBecause::Taken {
                by: "mia".into(),
                to: PrNumber::new(9).unwrap(),
                owner: "lea".into(),
            };
            view
        }),
        ("removed-gave-way", {
            let mut view = removed();
            view.removal.as_mut().unwrap().because = RemovedBecause::GaveWay {
                to: PrNumber::new(9).unwrap(),
            };
            view
        }),
        ("removed-deleted", {
            let mut view = removed();
            let removal = view.removal.as_mut().unwrap();
            removal.because = RemovedBecause::Deleted;
            (removal.took, removal.counts) = (None, None);
            removal.volumes.clear();
            view
        }),
        (
            "stuck",
            with(State::Stuck, |view| {
                view.reason = Some(ReasonCode::RemovalStuck);
                view.failures = vec![Failure {
                    reason: ReasonCode::RemovalStuck,
                    object: None,
                    origin: None,
                    cause: "namespace pr-web-shop-12 is still there after 5 min: finalizer example.com/block on configmaps/held".into(),
                    remedy: "an operator looks why that finalizer stays".into(),
                    evidence: Vec::new(),
                }];
            }),
        ),
        (
            "removing",
            with(State::Removing, |view| {
                view.namespace = Some("pr-web-shop-12".parse().unwrap());
            }),
        ),
        (
            "removed-nothing",
            with(State::Removed, |view| {
                view.reason = Some(ReasonCode::NothingToRemove)
            }),
        ),
        ("queued", queued()),
        ("refused", refused()),
        (
            "refused-fork",
            with(State::Refused, |view| {
                view.reason = Some(ReasonCode::ForkRefused);
                view.note = Some(Note {
                    cause: "the branch is in a fork, whose code never runs with this repository's credentials".into(),
                    remedy: "a maintainer can push the branch to this repository".into(),
                });
            }),
        ),
        ("approval-needed", approval_needed(None, false)),
        ("approval-lapsed", approval_needed(None, true)),
        ("approval-over", {
            let mut view = approval_needed(None, false);
            view.approval.iter_mut().for_each(|one| one.live = true);
            view.urls = ready().urls;
            view.urls.truncate(1);
            view
        }),
        ("approval-withdrawn", {
            let mut view = approval_needed(Some((sha('b'), "maria".into())), false);
            view.serving = Some(sha('b'));
            view.namespace = ready().namespace;
            view.urls = ready().urls;
            view.urls.truncate(1);
            view.slot = ready().slot;
            view.expires = ready().expires;
            view
        }),
        (
            "superseded",
            with(State::Superseded, |view| view.newer = Some(sha('b'))),
        ),
        (
            "cancelled",
            with(State::Cancelled, |view| {
                view.reason = Some(ReasonCode::Cancelled);
                view.namespace = Some("pr-web-shop-12".parse().unwrap());
            }),
        ),
    ]
}

#[test]
fn every_state_reads_as_it_should() {
    for (name, view) in examples() {
        let body = comment(&view, &marker()).unwrap();
        // What programs read has tests of its own, and says nothing that people do not see.
        let (first, rest) = body.split_once('\n').unwrap();
        let (hidden, rest) = rest.split_once('\n').unwrap();
        assert_eq!(first, marker().to_string(), "{name}");
        assert!(
            hidden.starts_with("<!-- preview-action result {"),
            "{name}: {hidden}"
        );
        assert!(hidden.ends_with("} -->"), "{name}: {hidden}");
        assert!(rest.starts_with("### "), "{name}: {rest}");
        snapshot(name, &format!("{first}\n{rest}"));
    }
}

#[test]
fn a_live_preview_whose_address_is_not_known_can_be_told_in_every_state() {
    for state in [
        State::NotDeployed,
        State::Pending,
        State::Deploying,
        State::Ready,
        State::Failed,
        State::Removing,
        State::Stuck,
        State::Removed,
        State::Refused,
        State::Superseded,
        State::Cancelled,
        State::ApprovalNeeded,
    ] {
        let mut view = view(state);
        view.serving = Some(sha('b'));
        let body = comment(&view, &marker()).unwrap();
        assert!(!body.contains(" at ."), "{body}");
    }
}

fn snapshot(name: &str, text: &str) {
    insta::with_settings!({snapshot_path => "snapshots", prepend_module_to_snapshot => false, omit_expression => true}, {
        insta::assert_snapshot!(name, text);
    });
}

#[test]
fn help_lists_the_commands_and_the_settings() {
    let help_marker = Marker {
        kind: MarkerKind::Help,
        ..marker()
    };
    let view = HelpView {
        prefix: None,
        role: "maintain".into(),
        maintainers: &["maintain", "admin"],
        typical: vec![
            Typical {
                command: "/deploy".into(),
                time: Duration::from_secs(75),
                runs: 12,
            },
            Typical {
                command: "/undeploy".into(),
                time: Duration::from_millis(6_150),
                runs: 1,
            },
        ],
        settings: vec![Setting {
            name: "max-previews".into(),
            value: "3".into(),
            meaning: "at most 3 previews live at any moment; see `/status`".into(),
        }],
    };
    snapshot("help", &help(&view, &help_marker).unwrap());
}

#[test]
fn the_summary_says_what_the_comment_says_and_what_was_done() {
    let applied = |kind: &str, change| Applied {
        id: ObjectId {
            group: String::new(),
            version: "v1".into(),
            kind: kind.into(),
            name: "web".into(),
        },
        change,
        warnings: Vec::new(),
        origin: Origin {
            file: "deploy/web.yaml".into(),
            line: 1,
        },
        live: serde_json::Value::Null,
    };
    let view = ready();
    let text = summary(&Summary {
        view: Some(&view),
        decision: "deploy",
        reason: ReasonCode::Deployed,
        lines: &["command `/deploy` by `lea`".into()],
        applied: &[
            applied("Service", Change::Created),
            applied("Secret", Change::Unchanged),
            applied("Ingress", Change::Unchanged),
        ],
        timings: &[Timing {
            stage: "apply".into(),
            took: Duration::from_millis(740),
        }],
    })
    .unwrap();
    snapshot("summary", &text);
    let sweep = summary(&Summary {
        view: None,
        decision: "sweep",
        reason: ReasonCode::Swept,
        lines: &["removed the preview of #7".into()],
        applied: &[],
        timings: &[],
    })
    .unwrap();
    snapshot("summary-sweep", &sweep);
}

#[test]
fn outputs_are_complete_and_empty_where_there_is_nothing() {
    let view = ready();
    let full = outputs(&Outcome {
        decision: "deploy",
        reason: ReasonCode::Deployed,
        view: Some(&view),
        state: None,
        pr: None,
        sha: None,
    });
    let lines: Vec<String> = full
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    snapshot("outputs", &lines.join("\n"));
    let empty = outputs(&Outcome {
        decision: "ignore",
        reason: ReasonCode::EventIgnored,
        view: None,
        state: None,
        pr: None,
        sha: None,
    });
    let names = |outputs: &[(&'static str, String)]| {
        outputs.iter().map(|(name, _)| *name).collect::<Vec<_>>()
    };
    assert_eq!(names(&empty), names(&full));
    let filled: Vec<_> = empty
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, _)| *name)
        .collect();
    assert_eq!(filled, ["urls", "decision", "reason-code", "result"]);
}

#[test]
fn outputs_name_pull_request_and_commit_without_a_comment_too() {
    let sha: CommitSha = "a".repeat(40).parse().unwrap();
    let quiet = outputs(&Outcome {
        decision: "deploy",
        reason: ReasonCode::Superseded,
        view: None,
        state: Some(State::Superseded),
        pr: PrNumber::new(12),
        sha: Some(&sha),
    });
    let value = |name: &str| {
        let found = quiet.iter().find(|(one, _)| *one == name);
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    };
    assert_eq!((value("pr"), value("sha")), ("12".into(), sha.to_string()));
    let result: serde_json::Value = serde_json::from_str(&value("result")).unwrap();
    assert_eq!(
        (&result["pr"], &result["sha"], &result["state"]),
        (
            &serde_json::json!(12),
            &serde_json::json!(sha.as_str()),
            &serde_json::json!("superseded")
        )
    );
}

#[test]
fn an_address_is_given_only_while_something_answers_there() {
    let url = |view: &StatusView| {
        let outcome = Outcome {
            decision: "deploy",
            reason: ReasonCode::CrashLoop,
            view: Some(view),
            state: None,
            pr: None,
            sha: None,
        };
        outputs(&outcome)[0].1.clone()
    };
    let mut view = failed();
    assert_eq!(url(&view), "https://pr-12.preview.example.com");
    view.serving = None;
    assert_eq!(url(&view), "");
}

#[test]
fn what_is_too_long_loses_evidence_first_and_says_so_at_last() {
    let mut view = failed();
    for size in [100_000, 1_000_000] {
        view.failures[0].evidence[0].text =
            format!("{}\nthe last line", "😀 log\n".repeat(size / 5));
        let body = comment(&view, &marker()).unwrap();
        assert!(body.chars().count() <= 60_000 && body.len() <= 250_000);
        assert!(body.contains("the last line") && body.contains("shows all commands"));
        assert!(body.contains("characters before this are cut"));
    }
    let failure = view.failures[0].clone();
    view.failures = vec![failure; 10];
    view.warnings = vec!["x".repeat(5_000); 20];
    view.services = vec![
        workload(
            "Deployment",
            &"n".repeat(900),
            0,
            Readiness::Failed,
            &"m".repeat(900)
        );
        60
    ];
    view.images = vec![
        ImageView {
            service: "s".repeat(900),
            image: "i".repeat(900),
            other_revision: None
        };
        60
    ];
    let body = comment(&view, &marker()).unwrap();
    assert!(
        body.chars().count() <= 60_000 && body.len() <= 250_000,
        "{}",
        body.len()
    );
    assert!(
        body.ends_with("the run log has all of it.**\n\n")
            || body.trim_end().ends_with("the run log has all of it.**")
    );
    assert_eq!(
        body.matches("<details>").count(),
        body.matches("</details>").count()
    );
}

/// Untrusted text stands wherever a view takes text.
fn untrusted(state: State, text: &str) -> StatusView {
    let text = || format!("x{text}");
    let mut view = if state == State::Refused {
        refused()
    } else {
        failed()
    };
    view.state = state;
    view.warnings = vec![text()];
    view.services
        .push(workload(&text(), &text(), 0, Readiness::Failed, &text()));
    view.images.push(ImageView {
        service: text(),
        image: text(),
        other_revision: Some(text()),
    });
    view.failures.push(Failure {
        reason: ReasonCode::RolloutFailed,
        object: Some(ObjectId {
            group: text(),
            version: text(),
            kind: text(),
            name: text(),
        }),
        origin: Some(Origin {
            file: text(),
            line: 1,
        }),
        cause: text(),
        remedy: text(),
        evidence: vec![Evidence {
            title: text(),
            text: text(),
        }],
    });
    view.note = Some(Note {
        cause: text(),
        remedy: text(),
    });
    if state == State::Failed {
        view.aftermath = Some(Aftermath::NotRestored {
            good: sha('c'),
            cause: text(),
            remedy: text(),
        });
    }
    view.approval = Some(ApprovalView {
        approvers: &["admin"],
        lapsed: false,
        live: false,
        before: Some((sha('c'), text())),
    });
    view.removal = Some(Removal {
        namespace: "pr-1".parse().unwrap(),
        took: Some(Duration::from_secs(1)),
        counts: None,
        volumes: vec![VolumeEnd {
            claim: text(),
            volume: Some(text()),
            fate: Fate::Retained,
        }],
        because: RemovedBecause::Asked { by: text() },
    });
    for holder in view.at_cap.iter_mut().flat_map(|cap| &mut cap.holders) {
        holder.owner = text();
    }
    view
}

#[test]
fn a_secret_is_gone_wherever_it_stood() {
    let secret = "p_a*s|s`w<o>9Q7";
    let mut redactor = Redactor::default();
    redactor.learn(secret);
    for state in [
        State::Failed,
        State::Refused,
        State::Removed,
        State::ApprovalNeeded,
    ] {
        let view = untrusted(state, secret).redacted(&redactor);
        let body = comment(&view, &marker()).unwrap();
        let all = outputs(&Outcome {
            state: None,
            pr: None,
            sha: None,
            decision: "deploy",
            reason: ReasonCode::CrashLoop,
            view: Some(&view),
        });
        assert!(format!("{view:?}").contains("x***"));
        let shown = format!("{view:?} {body} {all:?}");
        assert!(!shown.contains("9Q7") && !shown.contains("p_a"), "{shown}");
    }
}

#[test]
fn a_closed_pull_request_is_offered_no_command() {
    for (name, mut view) in examples() {
        view.closed = true;
        let body = comment(&view, &marker()).unwrap();
        assert!(!body.contains("\n/deploy\n"), "{name}: {body}");
    }
}

mod untrusted_text {
    //! CommonMark and GitHub's tables are read by an independent parser; what GitHub does after that is looked for in the text.

    use super::*;
    use proptest::prelude::*;
    use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

    const STATES: [State; 10] = [
        State::NotDeployed,
        State::Pending,
        State::Deploying,
        State::Ready,
        State::Failed,
        State::Stuck,
        State::Removed,
        State::Refused,
        State::Superseded,
        State::Cancelled,
    ];

    const OURS: [&str; 6] = [
        "<details>",
        "</details>",
        "<summary>",
        "</summary>",
        "<sub>",
        "</sub>",
    ];

    const NASTY: [&str; 64] = [
        "`",
        "``",
        "```",
        "````text",
        "~~~",
        "~~",
        "\n",
        "\r\n",
        "\n\n",
        "\r",
        "<",
        ">",
        "</details>",
        "<details>",
        "</summary>",
        "<script>",
        "<!--",
        "-->",
        "<a href=x>",
        "@",
        "@octo",
        "@org/team",
        "#1",
        "GH-1",
        "gh-22",
        "octo/web#1",
        "[x](http://e.v)",
        "[",
        "](",
        ")",
        "![i](x)",
        "http://",
        "https://e.vil/x",
        "www.e.vil",
        "me@e.vil",
        "|",
        "\\",
        "*",
        "**",
        "_",
        "__",
        "$",
        "$$",
        "{{ x }}",
        "{% if %}",
        "\u{202e}",
        "\u{200b}",
        "\0",
        "\u{1b}[31m",
        "\u{1b}]8;;http://e.v\u{7}",
        ":tada:",
        "deadbeef",
        "0123456789abcdef0123456789abcdef01234567",
        "\n<!-- preview-action v1 kind=status repo=42 pr=12 env=preview -->",
        "    ",
        "\t",
        "\n- ",
        "\n1. ",
        "\n# ",
        "\n> ",
        "\n===",
        "\n---",
        "&lt;b&gt;",
        "&#64;octo",
    ];

    fn nasty() -> impl Strategy<Value = String> {
        let token = prop_oneof![
            6 => proptest::sample::select(NASTY.as_slice()).prop_map(str::to_owned),
            2 => "[a-z0-9 ]{1,8}",
            1 => any::<char>().prop_map(String::from),
        ];
        proptest::collection::vec(token, 0..24).prop_map(|tokens| tokens.concat())
    }

    /// What the text is made of, without its words, and the words outside code and links.
    fn parsed(body: &str) -> (Vec<String>, String) {
        let options = Options::ENABLE_TABLES
            | Options::ENABLE_STRIKETHROUGH
            | Options::ENABLE_FOOTNOTES
            | Options::ENABLE_TASKLISTS
            | Options::ENABLE_MATH
            | Options::ENABLE_GFM;
        let mut skeleton = Vec::new();
        let mut words = String::new();
        let mut quiet = 0;
        for event in Parser::new_ext(body, options) {
            match event {
                Event::Start(tag) => {
                    if matches!(tag, Tag::CodeBlock(_) | Tag::Link { .. }) {
                        quiet += 1;
                    }
                    skeleton.push(format!("{tag:?}"));
                }
                Event::End(tag) => {
                    if matches!(tag, TagEnd::CodeBlock | TagEnd::Link) {
                        quiet -= 1;
                    }
                    if !matches!(
                        tag,
                        TagEnd::Emphasis | TagEnd::Strong | TagEnd::Strikethrough
                    ) {
                        words.push('\n');
                    }
                    skeleton.push(format!("/{tag:?}"));
                }
                Event::InlineHtml(html) if html.as_ref() == "<code>" => {
                    words.push('\n');
                    quiet += 1;
                }
                Event::InlineHtml(html) if html.as_ref() == "</code>" => quiet -= 1,
                Event::Html(html) | Event::InlineHtml(html) => {
                    let mut rest = html.to_string();
                    for tag in OURS {
                        rest = rest.replace(tag, "");
                    }
                    if !rest.starts_with("<!-- preview-action ") {
                        assert!(!rest.contains('<'), "HTML that is not ours: {html}");
                        words.push_str(&decoded(&rest));
                    }
                }
                Event::Text(text) if quiet == 0 => words.push_str(&text),
                Event::Text(_) => {}
                // Code is an element of its own: what stands before and behind it is no one word.
                Event::Code(_) | Event::SoftBreak | Event::HardBreak => words.push('\n'),
                other => skeleton.push(format!("{other:?}")),
            }
        }
        (skeleton, words)
    }

    /// `&#35;` as `#`.
    fn decoded(html: &str) -> String {
        let mut pieces = html.split("&#");
        let first = pieces.next().unwrap_or_default().to_owned();
        pieces.fold(first, |out, piece| match piece.split_once(';') {
            Some((number, rest)) => {
                let c = number.parse().ok().and_then(char::from_u32).unwrap();
                format!("{out}{c}{rest}")
            }
            None => out + piece,
        })
    }

    fn does_something(words: &str) -> Option<&'static str> {
        let chars: Vec<char> = words.chars().collect();
        let next_to = |i: usize| chars.get(i + 1).copied().unwrap_or(' ');
        for (i, &c) in chars.iter().enumerate() {
            match c {
                '@' if next_to(i).is_alphanumeric() => return Some("a mention"),
                '#' if next_to(i).is_alphanumeric() => return Some("a reference"),
                ':' if next_to(i) == '/' => return Some("an address"),
                '\u{202a}'..='\u{202e}' => return Some("a change of direction"),
                _ => {}
            }
        }
        let lower = words.to_ascii_lowercase();
        if lower.contains("www.") {
            return Some("an address without scheme");
        }
        let bytes = lower.as_bytes();
        let alone = |at: usize| at == 0 || !bytes[at - 1].is_ascii_alphanumeric();
        if lower
            .match_indices("gh-")
            .any(|(at, _)| alone(at) && bytes.get(at + 3).is_some_and(u8::is_ascii_digit))
        {
            return Some("a reference by GH-");
        }
        let commit = |word: &str| {
            (7..=40).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_hexdigit())
        };
        lower
            .split(|c: char| !c.is_ascii_alphanumeric())
            .any(commit)
            .then_some("a commit")
    }

    #[test]
    fn words_beside_code_are_not_one_word() {
        let body = "x 0`<`deadbe\u{200b}ef 0<code>&#124;</code>deadbe\u{200b}ef";
        let (_, words) = parsed(body);
        assert_eq!(does_something(&words), None, "{words}");
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn shows_itself_and_does_nothing(text in nasty(), state in proptest::sample::select(STATES.as_slice())) {
            let body = comment(&untrusted(state, &text), &marker()).unwrap();
            let plain = comment(&untrusted(state, "y"), &marker()).unwrap();
            let (skeleton, words) = parsed(&body);
            let (expected, _) = parsed(&plain);
            prop_assert_eq!(skeleton, expected, "{}", body);
            prop_assert_eq!(does_something(&words), None, "{}", body);
            prop_assert!(words.contains("shows all commands"), "the end is swallowed: {}", body);
            prop_assert_eq!(body.lines().filter(|line| line.starts_with("<!-- preview-action v1")).count(), 1, "{}", body);
            let hidden = body.lines().nth(1).unwrap().strip_prefix("<!-- preview-action result ").unwrap();
            let hidden = hidden.strip_suffix(" -->").unwrap();
            prop_assert!(!hidden.contains("--") && !hidden.contains('>'), "{}", hidden);
            prop_assert!(serde_json::from_str::<serde_json::Value>(hidden).is_ok(), "{}", hidden);
            prop_assert_eq!(body.lines().next().map(str::to_owned), Some(marker().to_string()));
        }

        #[test]
        fn leaves_outputs_harmless_for_any_shell(text in nasty(), decision in nasty()) {
            let mut view = untrusted(State::Failed, &text);
            view.urls[0].url = format!("https://pr-1.example.com/{text}");
            view.run_url = Some(text.clone());
            let all = outputs(&Outcome { decision: &decision, reason: ReasonCode::CrashLoop, view: Some(&view), state: None, pr: None, sha: None });
            for (name, value) in &all {
                let plain = |c: char| c.is_ascii_alphanumeric() || " -._:/@%+=,?#~\"\\{}[]".contains(c);
                prop_assert!(value.chars().all(plain), "{}: {}", name, value);
            }
            let result: serde_json::Value = serde_json::from_str(&all[8].1).unwrap();
            prop_assert_eq!(result["warnings"][0].as_str().unwrap(), format!("x{text}"));
        }
    }
}

#[test]
fn the_warning_mentions_its_author_and_nobody_else() {
    let marker = Marker {
        kind: MarkerKind::Expiry(at("2026-11-28T07:12:00Z")),
        ..marker()
    };
    let text = |login| expiry(login, at("2026-11-28T07:12:00Z"), &marker, None).unwrap();
    snapshot("expiry", &text("lea-k"));
    for other in [
        "",
        "renovate[bot]",
        "a b",
        "x](y)",
        "all @org/team",
        &"a".repeat(40),
    ] {
        assert!(!text(other).contains('@'), "{other}");
    }
}

#[test]
fn how_long_it_lives_is_changed_in_the_last_line_alone() {
    let view = ready();
    let body = comment(&view, &marker()).unwrap();
    let mut pinned = view.clone();
    pinned.expires = None;
    pinned.pinned = true;
    let changed = with_life(&body, &pinned).unwrap().unwrap();
    assert_eq!(changed, comment(&pinned, &marker()).unwrap());
    assert_eq!(with_life(&changed, &view).unwrap().unwrap(), body);
    assert_eq!(with_life("something else", &view).unwrap(), None);
}
