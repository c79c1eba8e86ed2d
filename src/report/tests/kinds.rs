//! The comments that are no state of a preview, and the lines that are put into one: the gallery shows them beside the states.

use super::*;

/// The comment of a ready preview as people see it, with a line under its heading.
fn with_line(aside: Aside, change: impl FnOnce(&mut StatusView)) -> String {
    let body = comment(&ready(), &marker()).unwrap();
    let mut view = view(State::Pending);
    view.sha = Some(sha('b'));
    change(&mut view);
    seen(&with_aside(&body, aside, &view).unwrap().unwrap())
}

/// A comment without the line that people do not see.
fn seen(body: &str) -> String {
    let (first, rest) = body.split_once('\n').unwrap();
    let (_, rest) = rest.split_once('\n').unwrap();
    format!("{first}\n{rest}")
}

#[test]
fn a_line_about_another_commit_stands_under_the_heading() {
    let skipped = with_line(Aside::Skipped, |view| {
        view.note = Some(Note {
            cause: "the pull request is a draft".into(),
            remedy: "mark it as ready for review, or comment `/deploy`".into(),
        });
    });
    snapshot("skipped", &skipped);
    snapshot("gate", &with_line(Aside::Gate, |_| {}));
    let answer = with_line(Aside::Answer, |view| {
        view.note = Some(Note {
            cause: "`/deplyo` is no command; did you mean `/deploy`?".into(),
            remedy: String::new(),
        });
    });
    snapshot("answer", &answer);
}

#[test]
fn what_is_to_stay_away_keeps_its_proof_and_promises_no_push() {
    for because in [
        RemovedBecause::Deleted,
        RemovedBecause::GaveWay {
            to: PrNumber::new(9).unwrap(),
        },
        RemovedBecause::Expired,
    ] {
        let mut view = removed();
        view.closed = false;
        if because == RemovedBecause::Expired {
            view.state = State::Expired;
        }
        view.removal.as_mut().unwrap().because = because.clone();
        let body = comment(&view, &marker()).unwrap();
        assert!(body.contains("The next push brings it back."), "{body}");
        view.note = Some(Note {
            cause: "octo".into(),
            remedy: String::new(),
        });
        let stays = stays_gone(&body, &view).unwrap().unwrap();
        assert!(!stays.contains("The next push"), "{stays}");
        let again = stays_gone(&stays, &view).unwrap().unwrap();
        assert_eq!(again, stays, "said once");
        if because == RemovedBecause::Expired {
            snapshot("stays", &seen(&stays));
        }
    }
}

#[test]
fn logs_are_folded_one_by_one() {
    let view = LogsView {
        namespace: "pr-web-shop-12".parse().unwrap(),
        previous: false,
        logs: vec![
            LogView {
                title: "api-6d9c7-x2x4k/api".into(),
                text: Ok("2026-11-21T07:12:01Z INFO starting api 2.4.1\n2026-11-21T07:12:01Z ERROR missing environment variable DATABASE_URL\n".into()),
            },
            LogView {
                title: "web-5f7b9-k8wzr/web".into(),
                text: Err("container `web` is waiting to start: ContainerCreating".into()),
            },
        ],
        missing: None,
        there: Vec::new(),
    };
    let marker = Marker {
        kind: MarkerKind::Logs,
        ..marker()
    };
    snapshot("logs", &logs(&view, &marker).unwrap());
}

#[test]
fn an_operator_reads_what_to_do_and_when_it_is_over() {
    let marker = operator_marker(RepoId(42), &"preview".parse().unwrap());
    let cause = Failure {
        reason: ReasonCode::RemovalStuck,
        object: None,
        origin: None,
        cause: "namespace pr-web-shop-7 is still there after 5 min: finalizer example.com/block on configmaps/held".into(),
        remedy: "an operator looks why that finalizer stays".into(),
        evidence: Vec::new(),
    };
    snapshot("operator", &operator(&marker, &[cause], false).unwrap());
    snapshot("operator-over", &operator(&marker, &[], false).unwrap());
}

#[test]
fn the_answer_to_diff_says_of_which_commit() {
    use crate::cluster::outcome::{Difference, Differs, FieldChange};
    let object = |kind: &str, name: &str, differs| Difference {
        id: ObjectId {
            group: String::new(),
            version: "v1".into(),
            kind: kind.into(),
            name: name.into(),
        },
        origin: Some(Origin {
            file: "deploy/app.yaml.j2".into(),
            line: 7,
        }),
        differs,
    };
    let replicas = FieldChange {
        field: "spec.replicas".into(),
        before: Some("1".into()),
        after: Some("2".into()),
    };
    let all = [
        object("Deployment", "web", Differs::Changed(vec![replicas])),
        object("ConfigMap", "flags", Differs::Added),
        object("Service", "web", Differs::Unchanged),
    ];
    let marker = Marker {
        kind: MarkerKind::Diff,
        ..marker()
    };
    snapshot(
        "diff-answer",
        &diff_answer(&all, &sha('a'), &marker).unwrap(),
    );
}
