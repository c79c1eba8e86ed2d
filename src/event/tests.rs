#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use super::*;
use crate::names::{Marker, MarkerKind};
use proptest::prelude::*;
use rstest::rstest;
use serde_json::Value;

const HEAD: &str = "4f2a9c1d7e8b3a5f6c0d9e8f7a6b5c4d3e2f1a0b";

/// The payload `tests/fixtures/events/<name>.json`.
fn fixture(name: &str) -> String {
    let path = format!(
        "{}/tests/fixtures/events/{name}.json",
        env!("CARGO_MANIFEST_DIR")
    );
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The event that a fixture is of: its name begins with it.
fn event(name: &str) -> Result<Event, EventError> {
    Event::parse(name.split('.').next().unwrap(), &fixture(name), None)
}

fn pull_request_event(name: &str) -> PullRequestEvent {
    match event(name).unwrap() {
        Event::PullRequest(event) => event,
        other => panic!("{name}: {other:?}"),
    }
}

fn ignored(name: &str) -> Ignored {
    match event(name).unwrap() {
        Event::Ignored(ignored) => ignored,
        other => panic!("{name}: {other:?}"),
    }
}

fn acme() -> Repository {
    Repository {
        id: RepoId(4711),
        name: "acme/web".parse().unwrap(),
        default_branch: Some("main".into()),
    }
}

fn person(login: &str) -> User {
    User {
        login: login.into(),
        bot: false,
    }
}

#[test]
fn a_pull_request_event_keeps_what_we_read() {
    let expected = PullRequestEvent {
        action: PullRequestAction::Opened,
        target: false,
        repository: acme(),
        pull: PullRequest {
            number: PrNumber::new(12).unwrap(),
            title: "Add a search box".into(),
            open: true,
            merged: false,
            draft: false,
            labels: vec!["preview".into()],
            author: person("alice"),
            head_sha: HEAD.parse().unwrap(),
            head_branch: "feature/search".into(),
            head_repository: Some(RepoId(4711)),
            base_sha: "0a1b2c3d4e5f60718293a4b5c6d7e8f901234567".parse().unwrap(),
            base_branch: "main".into(),
            base_repository: RepoId(4711),
        },
        at: "2026-11-20T09:41:14Z".parse().ok(),
        sender: person("alice"),
        label: None,
    };
    assert_eq!(pull_request_event("pull_request.opened"), expected);
    assert_eq!(
        pull_request_event("pull_request.opened.ghes"),
        expected,
        "GHES sends the same"
    );
}

#[rstest]
#[case("pull_request.opened", PullRequestAction::Opened)]
#[case("pull_request.synchronize", PullRequestAction::Synchronize)]
#[case("pull_request.reopened", PullRequestAction::Reopened)]
#[case("pull_request.ready_for_review", PullRequestAction::ReadyForReview)]
#[case("pull_request.closed", PullRequestAction::Closed)]
#[case("pull_request_target.closed.fork", PullRequestAction::Closed)]
fn five_actions_of_a_pull_request_start_something(
    #[case] name: &str,
    #[case] action: PullRequestAction,
) {
    let event = pull_request_event(name);
    assert_eq!(event.action, action);
    assert_eq!(event.target, name.starts_with("pull_request_target"));
    assert_eq!(event.pull.open, action != PullRequestAction::Closed);
}

#[test]
fn a_push_carries_the_new_head() {
    let event = pull_request_event("pull_request.synchronize");
    assert_eq!(
        event.pull.head_sha.as_str(),
        "9b8c7d6e5f4a3b2c1d0e9f8a7b6c5d4e3f2a1b0c"
    );
}

#[test]
fn merged_draft_and_bot_are_told_apart() {
    assert!(pull_request_event("pull_request.closed.merged").pull.merged);
    assert!(!pull_request_event("pull_request.closed").pull.merged);
    assert!(pull_request_event("pull_request.opened.draft").pull.draft);
    let event = pull_request_event("pull_request.opened.bot");
    assert!(event.sender.bot && event.pull.author.bot);
}

#[test]
fn a_fork_is_known_by_its_repository_also_when_that_is_gone() {
    assert!(!pull_request_event("pull_request.opened").pull.from_fork());
    assert!(
        pull_request_event("pull_request.opened.fork")
            .pull
            .from_fork()
    );
    let deleted = pull_request_event("pull_request.synchronize.fork-deleted").pull;
    assert_eq!(deleted.head_repository, None);
    assert!(deleted.from_fork());
    assert_eq!(deleted.author, person("ghost"), "the account is gone too");
}

#[test]
fn a_pull_request_inside_a_repository_that_is_a_fork_is_no_fork() {
    let mut value: Value = serde_json::from_str(&fixture("pull_request.opened")).unwrap();
    value["pull_request"]["head"]["repo"]["fork"] = true.into();
    value["pull_request"]["base"]["repo"]["fork"] = true.into();
    let Ok(Event::PullRequest(event)) = Event::parse("pull_request", &value.to_string(), None)
    else {
        panic!("not read");
    };
    assert!(!event.pull.from_fork());
}

#[test]
fn other_actions_and_events_are_ignored_with_a_reason() {
    for (name, said) in [
        ("push", "event `push`"),
        ("issue_comment.edited", "action `edited`"),
        ("issue_comment.deleted", "action `deleted`"),
    ] {
        let ignored = ignored(name);
        assert_eq!(ignored.reason, ReasonCode::EventIgnored, "{name}");
        assert!(ignored.why.contains(said), "{}", ignored.why);
        assert!(!ignored.why.contains('\n'), "{}", ignored.why);
    }
}

#[test]
fn an_ignored_action_needs_no_other_field() {
    for name in ["pull_request", "pull_request_target"] {
        let event = Event::parse(name, r#"{"action":"assigned"}"#, None).unwrap();
        assert!(matches!(event, Event::Ignored(_)));
    }
    let strange = Event::parse("pull_request", r#"{"action":"::error::x"}"#, None).unwrap();
    let Event::Ignored(ignored) = strange else {
        panic!("{strange:?}")
    };
    assert!(!ignored.why.contains("error"), "{}", ignored.why);
}

#[test]
fn a_new_comment_on_a_pull_request_is_kept_whole() {
    let expected = CommentEvent {
        repository: acme(),
        pr: PrNumber::new(12).unwrap(),
        comment: 700_001,
        body: "/deploy\r\n\r\nplease".into(),
        written: "2026-11-20T10:00:00Z".parse().unwrap(),
        association: "MEMBER".into(),
        author: person("alice"),
        sender: person("alice"),
    };
    assert_eq!(
        event("issue_comment.created"),
        Ok(Event::Comment(expected.clone()))
    );
    let ghes = CommentEvent {
        body: "/status".into(),
        ..expected
    };
    assert_eq!(
        event("issue_comment.created.ghes"),
        Ok(Event::Comment(ghes))
    );
}

#[rstest]
#[case("issue_comment.created.issue", ReasonCode::NotAPullRequest)]
#[case("issue_comment.created.bot", ReasonCode::BotIgnored)]
#[case("issue_comment.created.own", ReasonCode::BotIgnored)]
fn comments_on_issues_by_bots_and_our_own_are_ignored(
    #[case] name: &str,
    #[case] reason: ReasonCode,
) {
    assert_eq!(ignored(name).reason, reason);
}

#[test]
fn every_comment_of_ours_begins_with_the_marker() {
    for kind in [MarkerKind::Status, MarkerKind::Help] {
        let marker = Marker {
            kind,
            repository: RepoId(4711),
            pr: PrNumber::new(12).unwrap(),
            environment: "preview".parse().unwrap(),
        };
        assert!(marker.to_string().starts_with(MARKER), "{marker}");
    }
}

#[test]
fn a_bot_that_sends_the_comment_of_a_person_is_ignored_too() {
    let mut value: Value = serde_json::from_str(&fixture("issue_comment.created")).unwrap();
    value["sender"]["type"] = "Bot".into();
    let event = Event::parse("issue_comment", &value.to_string(), None).unwrap();
    assert!(matches!(event, Event::Ignored(ignored) if ignored.reason == ReasonCode::BotIgnored));
}

#[test]
fn a_deleted_account_is_a_ghost() {
    let Event::Comment(comment) = event("issue_comment.created.ghost").unwrap() else {
        panic!("not a comment");
    };
    assert_eq!(comment.author, person("ghost"));
    assert_eq!(comment.sender, person("ghost"));
}

#[test]
fn a_schedule_takes_its_repository_from_the_runner() {
    let runner = Repository {
        default_branch: None,
        ..acme()
    };
    assert_eq!(
        Event::parse("schedule", &fixture("schedule"), Some(&runner)),
        Ok(Event::Schedule(runner.clone()))
    );
    let error = event("schedule").unwrap_err();
    assert!(error.to_string().contains("names no repository"), "{error}");
    let with_repository = r#"{"schedule":"* * * * *","repository":{"id":4711,"full_name":"acme/web","default_branch":"main"}}"#;
    assert_eq!(
        Event::parse("schedule", with_repository, Some(&runner)),
        Ok(Event::Schedule(acme()))
    );
}

#[test]
fn a_dispatch_keeps_its_inputs_as_text() {
    let expected = DispatchEvent {
        repository: acme(),
        sender: person("alice"),
        command: "deploy".into(),
        pr: "12".into(),
        sha: HEAD.into(),
    };
    assert_eq!(
        event("workflow_dispatch"),
        Ok(Event::Dispatch(expected.clone()))
    );
    let empty = DispatchEvent {
        command: String::new(),
        pr: String::new(),
        sha: String::new(),
        ..expected
    };
    assert_eq!(
        event("workflow_dispatch.no-inputs"),
        Ok(Event::Dispatch(empty))
    );
    let mut value: Value = serde_json::from_str(&fixture("workflow_dispatch.sweep")).unwrap();
    value["inputs"]["pr"] = 12.into();
    let Ok(Event::Dispatch(typed)) = Event::parse("workflow_dispatch", &value.to_string(), None)
    else {
        panic!("not read");
    };
    assert_eq!(typed.pr, "12");
}

#[rstest]
#[case("", 1, 0)]
#[case("{\n  \"action\": hunter2\n}", 2, 13)]
#[case("{\"action\": \"opened\"", 1, 19)]
fn what_is_no_json_is_named_with_its_place(
    #[case] payload: &str,
    #[case] line: usize,
    #[case] column: usize,
) {
    let error = Event::parse("pull_request", payload, None).unwrap_err();
    assert_eq!(
        error,
        EventError::NotJson {
            event: "pull_request".into(),
            line,
            column
        }
    );
    assert!(!error.to_string().contains("hunter2"), "{error}");
}

#[rstest]
#[case("action", Value::Null, "is missing")]
#[case("pull_request", Value::Null, "")]
#[case("pull_request.number", 0.into(), "is not a number from 1")]
#[case("pull_request.number", "hunter2".into(), "is not a whole number")]
#[case("pull_request.state", Value::Null, "is missing")]
#[case("pull_request.merged", "hunter2".into(), "is not a boolean")]
#[case("pull_request.title", 7.into(), "is not a text")]
#[case("pull_request.head.sha", "hunter2".into(), "is not a full commit id of 40 hexadecimal digits")]
#[case("pull_request.head.ref", Value::Null, "is missing")]
#[case("pull_request.head.repo.id", (-1).into(), "is not a whole number")]
#[case("pull_request.base.sha", Value::Null, "is missing")]
#[case("pull_request.base.repo.id", Value::Null, "is missing")]
#[case("pull_request.user.login", "hunter2/../x".into(), "is not a login")]
#[case("repository.id", 1.5.into(), "is not a whole number")]
#[case("repository.full_name", "hunter2".into(), "is not of the form owner/name")]
#[case("sender.login", "".into(), "is not a login")]
fn a_wrong_field_is_named_by_its_path_and_never_shown(
    #[case] path: &str,
    #[case] wrong: Value,
    #[case] said: &str,
) {
    let mut value: Value = serde_json::from_str(&fixture("pull_request.opened")).unwrap();
    *value
        .pointer_mut(&format!("/{}", path.replace('.', "/")))
        .unwrap() = wrong;
    let error = Event::parse("pull_request", &value.to_string(), None).unwrap_err();
    let EventError::Field { field, problem, .. } = &error else {
        panic!("{error}")
    };
    assert!(field.starts_with(path), "{error}");
    assert!(said.is_empty() || problem == &said, "{error}");
    assert!(!error.to_string().contains("hunter2"), "{error}");
}

/// Any JSON at all, its texts easy to find again.
fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "hunter2\\PC{0,20}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(
                "action|pull_request|comment|issue|repository|sender|inputs|user|[a-z]{1,8}",
                inner,
                0..6
            )
            .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Puts `put` at the place that `choices` lead to.
fn plant(value: &mut Value, choices: &[usize], put: Value) {
    let Some((first, rest)) = choices.split_first() else {
        *value = put;
        return;
    };
    let inner = match value {
        Value::Object(map) if !map.is_empty() => {
            let at = first % map.len();
            map.values_mut().nth(at)
        }
        Value::Array(list) if !list.is_empty() => {
            let at = first % list.len();
            list.get_mut(at)
        }
        _ => None,
    };
    match inner {
        Some(inner) => plant(inner, rest, put),
        None => *value = put,
    }
}

proptest! {
    #[test]
    fn no_payload_makes_it_panic_or_say_what_it_holds(
        name in prop::sample::select(KNOWN.to_vec()),
        base in prop::sample::select(vec![
            "pull_request.opened", "issue_comment.created", "workflow_dispatch", "schedule",
        ]),
        choices in prop::collection::vec(any::<usize>(), 0..5),
        put in json(),
        text in "\\PC*",
    ) {
        let mut value: Value = serde_json::from_str(&fixture(base)).unwrap();
        plant(&mut value, &choices, put);
        for payload in [value.to_string(), text] {
            match Event::parse(name, &payload, None) {
                Err(error) => prop_assert!(!error.to_string().contains("hunter2")),
                Ok(Event::Ignored(ignored)) => prop_assert!(!ignored.why.contains("hunter2")),
                Ok(_) => {}
            }
        }
    }
}

#[test]
fn a_workflow_that_has_ended_keeps_what_we_read() {
    let Event::Build(build) = event("workflow_run").unwrap() else {
        panic!("no workflow that has ended")
    };
    assert_eq!(
        (build.path.as_str(), build.event.as_str(), build.succeeded),
        (".github/workflows/build.yml", "pull_request", true)
    );
    assert_eq!(
        (build.of, build.repository.id),
        (RepoId(4711), RepoId(4711))
    );
    assert_eq!(
        (build.head_repository, build.head_owner.as_str()),
        (RepoId(9822), "bob")
    );
    assert_eq!(build.sha.as_str(), HEAD);
    let changed = |path: &str, value: Value| {
        let mut payload: Value = serde_json::from_str(&fixture("workflow_run")).unwrap();
        *payload.pointer_mut(path).unwrap() = value;
        Event::parse("workflow_run", &payload.to_string(), None)
    };
    for (path, value) in [
        ("/action", "requested".into()),
        ("/action", "in_progress".into()),
        ("/workflow_run/head_repository", Value::Null),
        ("/workflow_run/head_branch", Value::Null),
    ] {
        assert!(
            matches!(changed(path, value), Ok(Event::Ignored(_))),
            "{path}"
        );
    }
    // An older server names no path, and a run that was given up has no conclusion: neither deploys.
    for path in ["/workflow_run/path", "/workflow_run/conclusion"] {
        assert!(
            matches!(changed(path, Value::Null), Ok(Event::Build(_))),
            "{path}"
        );
    }
    let wrong = changed("/workflow_run/head_sha", "main".into()).unwrap_err();
    assert!(
        wrong.to_string().contains("`workflow_run.head_sha`"),
        "{wrong}"
    );
}
