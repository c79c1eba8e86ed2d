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
        | Trigger::Status(request)
        | Trigger::Help(request)
        | Trigger::Mistake(request, _) => request,
        Trigger::Sweep(_) | Trigger::Ignore(_) => panic!("{trigger:?} is about no pull request"),
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
        Asked::Event { sender, closed: false, target: false } if sender.login == "alice"
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
#[case("/approve")]
#[case("/rebase")]
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
