#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use super::*;

fn run(action: Action, outcome: State, first: bool, took: u64) -> RunRecord {
    RunRecord {
        at: Timestamp::from_second(1_800_000_000).unwrap(),
        pr: PrNumber::new(12).unwrap(),
        action,
        sha: None,
        outcome,
        reason: match outcome {
            State::Ready => ReasonCode::Deployed,
            State::Removed => ReasonCode::Removed,
            _ => ReasonCode::CrashLoop,
        },
        first,
        took,
        waited: 0,
        stages: BTreeMap::from([("apply".to_owned(), took / 2)]),
    }
}

fn records() -> Vec<RunRecord> {
    let mut records: Vec<RunRecord> = (1..=20)
        .map(|second| run(Action::Deploy, State::Ready, true, second * 1000))
        .collect();
    records.push(run(Action::Deploy, State::Failed, true, 90_000));
    records.push(run(Action::Deploy, State::Ready, false, 5_000));
    records.push(run(Action::Deploy, State::Superseded, true, 1));
    records.push(run(Action::Remove, State::Removed, false, 7_000));
    records[3].waited = 60;
    records
}

#[test]
fn first_attempts_are_counted_apart_and_who_was_overtaken_has_not_failed() {
    let figures = Figures::of(&records());
    let first = Rate {
        succeeded: 20,
        failed: 1,
    };
    assert_eq!(figures.first, first);
    assert_eq!(figures.again.share(), Some(1.0));
    assert_eq!(Rate::default().share(), None);
    assert_eq!(figures.failures, BTreeMap::from([("crash-loop", 1)]));
    assert_eq!(figures.runs["deploy"]["superseded"], 1);
}

#[test]
fn spans_are_by_the_nearest_rank() {
    let span = Span::of([4, 1, 3, 2]);
    assert_eq!((span.count, span.sum, span.p50, span.p95), (4, 10, 2, 4));
    assert_eq!(Span::of([7]).p95, 7);
    assert_eq!(Span::of([]), Span::default());
    let figures = Figures::of(&records());
    assert_eq!((figures.deploys.count, figures.deploys.p95), (21, 19_000));
    assert_eq!(figures.stages["apply"].p50, 5_000);
    assert_eq!((figures.waited.count, figures.waited.p50), (1, 60));
}

fn page() -> String {
    let now = Now {
        capacity: 3,
        active: 1,
        queued: 2,
        usage: vec![Usage {
            namespace: "pr-web-12".parse().unwrap(),
            pr: PrNumber::new(12).unwrap(),
            cpu: 250,
            memory: 64 << 20,
            measured: false,
            quota: Some(85),
        }],
    };
    openmetrics(
        &Figures::of(&records()),
        &now,
        &[("repository", "acme/we\"b"), ("environment", "preview")],
    )
    .unwrap()
}

#[test]
fn the_page_says_what_it_measures() {
    let page = page();
    let common = "{repository=\"acme/we\\\"b\",environment=\"preview\"";
    for line in [
        format!("preview_active{common}}} 1"),
        format!("preview_deploy_seconds{common},quantile=\"0.95\"}} 19"),
        format!("preview_first_attempts{common},outcome=\"failed\"}} 1"),
        format!(
            "preview_cpu_cores{common},namespace=\"pr-web-12\",pr=\"12\",source=\"requests\"}} 0.25"
        ),
        "# UNIT preview_deploy_seconds seconds".to_owned(),
    ] {
        assert!(page.lines().any(|found| found == line), "{line} in\n{page}");
    }
    assert!(page.ends_with("# EOF\n"));
}

#[test]
fn a_record_is_small_and_reads_back() {
    let record = run(Action::Deploy, State::Ready, true, 41_000);
    let text = serde_json::to_string(&record).unwrap();
    assert!(text.len() < 250, "{text}");
    assert_eq!(serde_json::from_str::<RunRecord>(&text).unwrap(), record);
}
