#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use super::*;
use crate::metrics::{Action, RunRecord};
use crate::names::ReasonCode;
use std::collections::BTreeMap;

fn at(minute: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + 60 * minute).unwrap()
}

fn row(pr: u64, slot: Option<u32>, state: State) -> PreviewRow {
    PreviewRow {
        slot,
        pr: PrNumber::new(pr).unwrap(),
        state,
        url: format!("https://pr-{pr}.preview.example.com"),
        owner: "alice".into(),
        since: Some(at(0)),
        last_activity: Some(at(30)),
        expires: Some(at(10_000)),
        pinned: false,
        namespace: format!("pr-web-{pr}").parse().unwrap(),
        warning: None,
    }
}

fn run(outcome: State, took: u64, waited: u64) -> RunRecord {
    RunRecord {
        at: at(5),
        pr: PrNumber::new(12).unwrap(),
        action: Action::Deploy,
        sha: None,
        outcome,
        reason: ReasonCode::CrashLoop,
        first: true,
        took,
        waited,
        stages: BTreeMap::from([("wait until ready".to_owned(), took / 2)]),
    }
}

fn view() -> DashboardView {
    let usage = |pr: u64, quota| Usage {
        namespace: format!("pr-web-{pr}").parse().unwrap(),
        pr: PrNumber::new(pr).unwrap(),
        cpu: 230,
        memory: 100 << 20,
        measured: pr == 12,
        quota,
    };
    let records = [
        run(State::Ready, 41_000, 0),
        run(State::Ready, 62_000, 300),
        run(State::Failed, 90_000, 0),
    ];
    DashboardView {
        server_url: "https://github.com".into(),
        repository: "acme/web-shop".parse().unwrap(),
        repository_id: RepoId(42),
        environment: "preview".parse().unwrap(),
        previews: vec![
            row(12, Some(1), State::Ready),
            PreviewRow {
                warning: Some("`web` crashes; | @mallory <b>".into()),
                ..row(14, Some(2), State::Failed)
            },
            PreviewRow {
                expires: None,
                pinned: true,
                ..row(15, Some(3), State::Ready)
            },
        ],
        queue: vec![QueueRow {
            pr: PrNumber::new(16).unwrap(),
            owner: "bob".into(),
            since: at(40),
        }],
        now: Now {
            capacity: 3,
            active: 3,
            queued: 1,
            usage: vec![usage(12, Some(23)), usage(14, Some(91))],
        },
        figures: Figures::of(&records),
        nodes: Some(91),
        strangers: vec!["old-preview".parse().unwrap()],
    }
}

#[test]
fn the_dashboard_shows_slots_line_figures_and_notices() {
    let (title, body) = dashboard(&view()).unwrap();
    assert_eq!(title, "Previews of acme/web-shop (preview)");
    insta::assert_snapshot!("dashboard", body);
}

#[test]
fn an_empty_house_says_so() {
    let empty = DashboardView {
        previews: Vec::new(),
        queue: Vec::new(),
        now: Now {
            capacity: 3,
            ..Now::default()
        },
        figures: Figures::default(),
        nodes: Some(79),
        strangers: Vec::new(),
        ..view()
    };
    insta::assert_snapshot!("dashboard-empty", dashboard(&empty).unwrap().1);
}

#[test]
fn a_thousand_previews_fit_and_say_how_many_are_left_out() {
    let many = DashboardView {
        previews: (1..=1000)
            .map(|pr| row(pr, Some(pr as u32), State::Ready))
            .collect(),
        ..view()
    };
    let body = dashboard(&many).unwrap().1;
    assert!(budget::COMMENT.holds(&body));
    assert!(body.contains("… and 800 more."), "{body}");
}

#[test]
fn nothing_of_others_is_markup() {
    let body = dashboard(&view()).unwrap().1;
    assert!(
        !body.contains("@mallory") && !body.contains("<b>"),
        "{body}"
    );
}
