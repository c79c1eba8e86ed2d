#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use super::*;
use crate::{event::Event, inputs::RawInputs};
use rstest::rstest;

const HEAD: &str = "4f2a9c1d7e8b3a5f6c0d9e8f7a6b5c4d3e2f1a0b";

fn settings(auto_deploy: bool) -> Settings {
    let raw: RawInputs = [("auto-deploy".to_owned(), auto_deploy.to_string())]
        .into_iter()
        .collect();
    Settings::parse(&raw).unwrap()
}

fn event(name: &str) -> Event {
    let path = format!(
        "{}/tests/fixtures/events/{name}.json",
        env!("CARGO_MANIFEST_DIR")
    );
    let payload = std::fs::read_to_string(&path).unwrap();
    let acme = Repository {
        id: crate::names::RepoId(4711),
        name: "acme/web".parse().unwrap(),
        default_branch: None,
    };
    Event::parse(name.split('.').next().unwrap(), &payload, Some(&acme)).unwrap()
}

fn decided(name: &str, auto_deploy: bool) -> Trigger {
    decide(&event(name), &settings(auto_deploy)).unwrap()
}

fn comment_event(body: &str) -> Event {
    match event("issue_comment.created") {
        Event::Comment(comment) => Event::Comment(CommentEvent {
            body: body.into(),
            ..comment
        }),
        other => panic!("{other:?}"),
    }
}

fn dispatched(command: &str, pr: &str, sha: &str) -> Result<Trigger, Denied> {
    let Event::Dispatch(mut event) = event("workflow_dispatch") else {
        panic!("not a dispatch")
    };
    (event.command, event.pr, event.sha) = (command.into(), pr.into(), sha.into());
    decide(&Event::Dispatch(event), &settings(true))
}

fn request(trigger: &Trigger) -> &Request {
    match trigger {
        Trigger::Deploy(request)
        | Trigger::Take { request, .. }
        | Trigger::Approve(request)
        | Trigger::Announce(request)
        | Trigger::Remove(request)
        | Trigger::Rollback(request)
        | Trigger::Life(request, _)
        | Trigger::Sleep(request)
        | Trigger::Wake(request)
        | Trigger::Logs(request, _)
        | Trigger::Diff(request)
        | Trigger::Check(request)
        | Trigger::Status(request)
        | Trigger::Help(request)
        | Trigger::Deny(request, _)
        | Trigger::Mistake(request, _) => request,
        Trigger::Built(_) | Trigger::Sweep(..) | Trigger::Ignore(_) => {
            panic!("{trigger:?} is about no pull request")
        }
    }
}

#[rstest]
#[case("pull_request.opened", "deploy", "announce")]
#[case("pull_request.synchronize", "deploy", "announce")]
#[case("pull_request.reopened", "deploy", "announce")]
#[case("pull_request.ready_for_review", "deploy", "announce")]
#[case("pull_request.closed", "remove", "remove")]
#[case("pull_request.closed.merged", "remove", "remove")]
#[case("pull_request.labeled", "ignore", "ignore")]
#[case("pull_request_target.closed.fork", "remove", "remove")]
#[case("pull_request_target.opened.fork", "announce", "announce")]
#[case("issue_comment.created", "deploy", "deploy")]
#[case("issue_comment.created.ghes", "status", "status")]
#[case("issue_comment.created.prose", "ignore", "ignore")]
#[case("issue_comment.created.bot", "ignore", "ignore")]
#[case("schedule", "sweep", "sweep")]
#[case("workflow_dispatch", "deploy", "deploy")]
#[case("workflow_dispatch.sweep", "sweep", "sweep")]
#[case("workflow_run", "ignore", "ignore")]
#[case("push", "ignore", "ignore")]
fn each_event_leads_to_one_decision(
    #[case] name: &str,
    #[case] auto: &str,
    #[case] on_request: &str,
) {
    assert_eq!(decided(name, true).decision(), auto);
    assert_eq!(decided(name, false).decision(), on_request);
}

#[test]
fn a_pull_request_event_means_the_commit_of_its_payload() {
    let trigger = decided("pull_request.opened", true);
    let request = request(&trigger);
    assert_eq!(request.commit, Commit::Payload(HEAD.parse().unwrap()));
    assert_eq!(request.pr.get(), 12);
    assert!(matches!(
        &request.asked,
        Asked::Event { sender, closed: false, target: false, .. } if sender.login == "alice"
    ));
}

#[test]
fn the_target_event_of_the_repositorys_own_branches_starts_nothing() {
    let Event::PullRequest(mut opened) = event("pull_request.opened") else {
        panic!("no event of a pull request")
    };
    opened.target = true;
    let trigger = decide(&Event::PullRequest(opened), &settings(true)).unwrap();
    let Trigger::Ignore(ignored) = trigger else {
        panic!("{trigger:?}")
    };
    assert!(ignored.why.contains("our secrets"), "{}", ignored.why);
}

#[test]
fn a_closed_fork_is_removed_by_the_target_event() {
    let trigger = decided("pull_request_target.closed.fork", true);
    assert!(matches!(
        request(&trigger).asked,
        Asked::Event {
            closed: true,
            target: true,
            ..
        }
    ));
}

#[rstest]
#[case("pull_request.labeled")]
#[case("issue_comment.created.prose")]
#[case("issue_comment.created.issue")]
#[case("issue_comment.created.own")]
#[case("issue_comment.edited")]
#[case("push")]
fn doing_nothing_says_why_in_one_line(#[case] name: &str) {
    let Trigger::Ignore(ignored) = decided(name, true) else {
        panic!("{name} starts something")
    };
    assert!(
        ignored.why.len() > 10 && !ignored.why.contains('\n'),
        "{ignored:?}"
    );
}

#[rstest]
#[case("/deploy", "deploy", Commit::Head)]
#[case(&format!("/deploy {HEAD}"), "deploy", Commit::Named(HEAD.parse().unwrap()))]
#[case(&format!("/approve {HEAD}"), "approve", Commit::Named(HEAD.parse().unwrap()))]
#[case("/undeploy\nthank you", "remove", Commit::Head)]
#[case("/status", "status", Commit::Head)]
#[case("/help", "help", Commit::Head)]
fn a_comment_asks_for_the_head_or_for_the_commit_it_names(
    #[case] body: &str,
    #[case] decision: &str,
    #[case] commit: Commit,
) {
    for auto_deploy in [true, false] {
        let trigger = decide(&comment_event(body), &settings(auto_deploy)).unwrap();
        assert_eq!(trigger.decision(), decision);
        let request = request(&trigger);
        assert_eq!(request.commit, commit);
        assert!(matches!(
            &request.asked,
            Asked::Comment { id: 700_001, author, .. } if author.login == "alice"
        ));
    }
}

#[rstest]
#[case("/Deploy", "did you mean `/deploy`?")]
#[case("/udneploy", "did you mean `/undeploy`?")]
#[case("/hepl", "did you mean `/help`?")]
#[case("/deploy 4f2a9c1", "one full commit id")]
#[case("/extend", "a time from 5m to 90d")]
#[case("/extnd 2d", "did you mean `/extend`?")]
#[case(&format!("/aprove {HEAD}"), "did you mean `/approve`?")]
#[case("/approve", "all 40 hexadecimal digits of the newest commit")]
#[case(&format!("/approve `{HEAD}`"), "with nothing around them")]
#[case("/approve 4f2a9c1", "one commit id, in full")]
#[case(&format!("/approve {}", &HEAD[..39]), "one commit id, in full")]
#[case(&format!("/approve {HEAD}0"), "one commit id, in full")]
fn a_command_that_cannot_be_understood_is_answered(#[case] body: &str, #[case] said: &str) {
    let Trigger::Mistake(request, answer) = decide(&comment_event(body), &settings(true)).unwrap()
    else {
        panic!("{body} is not answered")
    };
    assert_eq!(request.pr.get(), 12);
    assert!(answer.contains(said), "{answer}");
}

#[rstest]
#[case("> /deploy")]
#[case("/ping")]
#[case("/held")]
#[case("/hold")]
#[case("/helm")]
#[case("/pins")]
#[case("/retest")]
#[case("/lgtm")]
#[case("/approve cancel")]
#[case("/approve no-issue")]
#[case("/rebase")]
#[case("/improve")]
#[case("/take")]
#[case("/make")]
#[case("/state")]
fn prose_and_other_bots_commands_are_left_in_silence(#[case] body: &str) {
    let Trigger::Ignore(ignored) = decide(&comment_event(body), &settings(true)).unwrap() else {
        panic!("{body} starts something")
    };
    assert_eq!(ignored.reason, ReasonCode::NotACommand);
}

#[test]
fn a_comment_sent_by_somebody_else_is_ignored() {
    let Event::Comment(mut comment) = comment_event("/deploy") else {
        panic!("not a comment")
    };
    comment.sender.login = "mallory".into();
    let Trigger::Ignore(ignored) = decide(&Event::Comment(comment), &settings(true)).unwrap()
    else {
        panic!("it starts something")
    };
    assert_eq!(ignored.reason, ReasonCode::PermissionDenied);
}

#[rstest]
#[case("deploy", "12", "", "deploy")]
#[case("/deploy", "#12", "", "deploy")]
#[case("deploy", "12", HEAD, "deploy")]
#[case("approve", "12", HEAD, "approve")]
#[case("undeploy", "12", "", "remove")]
#[case("status", "12", "", "status")]
#[case("/help", "12", "", "help")]
#[case("sweep", "", "", "sweep")]
fn a_form_asks_for_the_same_commands(
    #[case] command: &str,
    #[case] pr: &str,
    #[case] sha: &str,
    #[case] decision: &str,
) {
    let trigger = dispatched(command, pr, sha).unwrap();
    assert_eq!(trigger.decision(), decision);
    if decision == "sweep" {
        return;
    }
    let request = request(&trigger);
    assert_eq!(request.pr.get(), 12);
    let named = matches!(request.commit, Commit::Named(_));
    assert_eq!(named, !sha.is_empty());
    assert!(matches!(request.asked, Asked::Dispatch { .. }));
}

#[rstest]
#[case("", "12", "", "`command` is empty")]
#[case("Deploy", "12", "", "`command` is \"Deploy\"")]
#[case("//deploy", "12", "", "`command` is")]
#[case("deploy", "", "", "`pr` is empty")]
#[case("deploy", "twelve", "", "`pr` is \"twelve\"")]
#[case("deploy", "0", "", "`pr` is \"0\"")]
#[case("deploy", "12", "4f2a9c1", "`sha` is \"4f2a9c1\"")]
#[case("undeploy", "12", HEAD, "only `deploy` and `approve` take one")]
#[case("approve", "12", "", "`sha` is empty")]
#[case("approve", "12", "4f2a9c1", "`sha` is \"4f2a9c1\"")]
#[case("sweep", "12", "", "`sweep` is about all")]
fn a_form_filled_wrongly_is_refused_naming_the_field(
    #[case] command: &str,
    #[case] pr: &str,
    #[case] sha: &str,
    #[case] said: &str,
) {
    let denied = dispatched(command, pr, sha).unwrap_err();
    assert_eq!(denied.reason, ReasonCode::BadInput);
    assert!(denied.to_string().contains(said), "{denied}");
}

fn settings_with(inputs: &[(&str, &str)]) -> Settings {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let raw: RawInputs = inputs.iter().map(owned).collect();
    Settings::parse(&raw).unwrap()
}

/// Alice's pull request, with the label `preview`.
fn pull_of(draft: bool, labels: &str, bot: Option<&str>) -> crate::event::PullRequest {
    let Event::PullRequest(event) = event("pull_request.opened") else {
        panic!("no event of a pull request")
    };
    let mut pull = event.pull;
    pull.draft = draft;
    pull.labels = labels.split_ascii_whitespace().map(str::to_owned).collect();
    if let Some(login) = bot {
        pull.author = User {
            login: login.into(),
            bot: true,
        };
    }
    pull
}

#[rstest]
#[case(&[], (false, "", None), None)]
#[case(&[], (true, "wip", None), None)]
#[case(&[], (false, "", Some("renovate[bot]")), Some(ReasonCode::BotSkipped))]
#[case(&[("bots", "true")], (false, "", Some("renovate[bot]")), None)]
#[case(&[("bots", "renovate")], (false, "", Some("renovate[bot]")), None)]
#[case(&[("bots", "renovate")], (false, "", Some("dependabot[bot]")), Some(ReasonCode::BotSkipped))]
#[case(&[("labels", "preview\ndemo")], (false, "Demo", None), None)]
#[case(&[("labels", "preview")], (false, "previews", None), Some(ReasonCode::LabelMissing))]
#[case(&[("labels", "preview")], (false, "", None), Some(ReasonCode::LabelMissing))]
#[case(&[("ignore-labels", "wip")], (false, "WIP", None), Some(ReasonCode::LabelIgnored))]
#[case(&[("ignore-labels", "wip")], (false, "preview", None), None)]
#[case(&[("labels", "preview"), ("ignore-labels", "wip")], (false, "preview wip", None), Some(ReasonCode::LabelIgnored))]
#[case(&[("drafts", "false")], (true, "", None), Some(ReasonCode::DraftSkipped))]
#[case(&[("drafts", "false")], (false, "", None), None)]
#[case(&[("labels", "preview"), ("drafts", "false")], (true, "preview", None), Some(ReasonCode::DraftSkipped))]
fn each_filter_keeps_back_what_it_says(
    #[case] inputs: &[(&str, &str)],
    #[case] (draft, labels, bot): (bool, &str, Option<&str>),
    #[case] reason: Option<ReasonCode>,
) {
    let denied = filters::passes(&settings_with(inputs).filters, &pull_of(draft, labels, bot));
    assert_eq!(denied.as_ref().err().map(|denied| denied.reason), reason);
    if let Err(denied) = denied {
        assert!(filters::is_skip(denied.reason));
        assert!(denied.remedy.contains("/deploy"), "{denied}");
    }
}

#[test]
fn changed_files_keep_back_only_where_paths_are_given() {
    assert_eq!(settings_with(&[]).filters.paths, None);
    let paths = settings_with(&[("paths", "src/**\n!src/**.md")])
        .filters
        .paths
        .unwrap();
    let files = |names: &[&str]| {
        names
            .iter()
            .map(|one| (*one).to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        filters::touches(&paths, &files(&["README.md", "src/a.rs"])),
        Ok(())
    );
    let denied = filters::touches(&paths, &files(&["src/a.md"])).unwrap_err();
    assert_eq!(denied.reason, ReasonCode::PathsSkipped);
    assert!(filters::touches(&paths, &[]).is_err());
}

#[rstest]
#[case(PullRequestAction::Labeled, "preview", "deploy")]
#[case(PullRequestAction::Labeled, "PREVIEW", "deploy")]
#[case(PullRequestAction::Labeled, "wip", "ignore")]
#[case(PullRequestAction::Labeled, "bug", "ignore")]
#[case(PullRequestAction::Unlabeled, "preview", "ignore")]
#[case(PullRequestAction::Unlabeled, "wip", "deploy")]
#[case(PullRequestAction::Unlabeled, "bug", "ignore")]
fn labels_that_come_and_go_start_only_what_the_filters_name(
    #[case] action: PullRequestAction,
    #[case] label: &str,
    #[case] decision: &str,
) {
    let Event::PullRequest(mut labelled) = event("pull_request.labeled") else {
        panic!("no event of a pull request")
    };
    labelled.action = action;
    labelled.label = Some(label.into());
    let with = [("labels", "preview"), ("ignore-labels", "wip")];
    for (inputs, expected) in [(&with[..], decision), (&[][..], "ignore")] {
        let event = Event::PullRequest(labelled.clone());
        let trigger = decide(&event, &settings_with(inputs)).unwrap();
        assert_eq!(trigger.decision(), expected);
    }
}

const BUILD: &str = ".github/workflows/build.yml";

fn build(change: fn(&mut crate::event::BuildEvent)) -> Trigger {
    let Event::Build(mut event) = event("workflow_run") else {
        panic!("no workflow that has ended")
    };
    change(&mut event);
    let settings = settings_with(&[("build-workflow", BUILD)]);
    decide(&Event::Build(event), &settings).unwrap()
}

#[test]
fn only_the_success_of_the_one_workflow_deploys() {
    let Trigger::Built(built) = build(|_| {}) else {
        panic!("it deploys")
    };
    assert_eq!(built.sha.as_str(), HEAD);
    assert_eq!(
        (
            built.branch.as_str(),
            built.head_owner.as_str(),
            built.head_repository.0
        ),
        ("patch-1", "bob", 9822)
    );
    let refused: [fn(&mut crate::event::BuildEvent); 6] = [
        |event| event.succeeded = false,
        |event| event.event = "push".into(),
        |event| event.path = ".github/workflows/other.yml".into(),
        |event| event.path = format!("x{BUILD}"),
        |event| event.path = format!("{BUILD}x"),
        |event| event.of = crate::names::RepoId(1),
    ];
    for change in refused {
        let Trigger::Ignore(ignored) = build(change) else {
            panic!("it deploys")
        };
        assert_eq!(ignored.reason, ReasonCode::BuildIgnored);
    }
    let unnamed = decide(&event("workflow_run"), &settings_with(&[])).unwrap();
    assert_eq!(
        unnamed.decision(),
        "ignore",
        "nobody said which workflow counts"
    );
}

#[test]
fn a_planned_commit_is_pinned_where_a_commit_counts() {
    let planned = "c".repeat(40);
    let with = settings_with(&[("sha", &planned)]);
    let sha: CommitSha = planned.parse().unwrap();
    for (body, pinned) in [
        ("/deploy", true),
        ("/deploy --take #3", true),
        ("/wake", true),
        ("/status", false),
        ("/undeploy", false),
    ] {
        let trigger = decide(&comment_event(body), &with).unwrap();
        let expected = if pinned {
            Commit::Planned(sha.clone())
        } else {
            Commit::Head
        };
        assert_eq!(request(&trigger).commit, expected, "{body}");
    }
    let other = format!("/deploy {HEAD}");
    let denied = decide(&comment_event(&other), &with).unwrap_err();
    assert_eq!(denied.reason, ReasonCode::BadInput);
    let same = settings_with(&[("sha", HEAD)]);
    let named = decide(&comment_event(&other), &same).unwrap();
    assert_eq!(request(&named).commit, Commit::Named(HEAD.parse().unwrap()));
    let pushed = decide(&event("pull_request.opened"), &same).unwrap();
    assert_eq!(
        request(&pushed).commit,
        Commit::Payload(HEAD.parse().unwrap())
    );
    assert!(decide(&event("pull_request.opened"), &with).is_err());
}

#[test]
fn words_of_the_workflows_own_are_no_commands_and_not_the_same() {
    let event = event("schedule");
    for (word, prefix, named) in [
        (Some("/undeploy"), None, "`deploy-command`"),
        (None, Some("/status"), "`command-prefix`"),
        (Some("/preview"), Some("/preview"), "the same word"),
    ] {
        let mut settings = settings(true);
        settings.deploy_command = word.map(Into::into);
        settings.command_prefix = prefix.map(Into::into);
        let denied = decide(&event, &settings).unwrap_err();
        assert_eq!(denied.reason, ReasonCode::BadInput);
        assert!(denied.cause.contains(named), "{denied}");
        settings.command_prefix = Some("/other".into());
        settings.deploy_command = Some("/build-and-deploy".into());
        assert!(decide(&event, &settings).is_ok());
    }
}
