//! Every example of a webhook that GitHub's own clients are tested with, and ten thousand broken ones, at the event's door.
//! What is right is written down here by hand, from GitHub's documentation and our README, and not taken from the code.
//! An example that nobody thought of is worth more than ten that somebody did.

use super::{mutation::Mutator, packages};
use crate::dice::Dice;
use crate::support::{Event, SHOP, Shop};
use preview_action::simulate::github::NewPull;
use preview_action::{
    event,
    inputs::{RawInputs, Settings},
    names::{RepoId, RepoName},
    trigger::{self, Trigger},
};
use serde_json::{Value, json};

/// How many examples the pinned version has.
const EXAMPLES: usize = 329;

/// How many of them are broken, each in its own way.
const MUTATIONS: u64 = 10_000;

/// One example.
struct Example {
    event: String,
    payload: Value,
}

/// All examples of github.com.
fn examples() -> Vec<Example> {
    let path = packages().join("@octokit/webhooks-examples/api.github.com/index.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let index: Vec<Value> = serde_json::from_str(&text).unwrap();
    let of_event = |entry: &Value| {
        let event = entry["name"].as_str().unwrap().to_owned();
        let payloads = entry["examples"].as_array().cloned().unwrap_or_default();
        let with_name = move |payload| Example {
            event: event.clone(),
            payload,
        };
        payloads.into_iter().map(with_name).collect::<Vec<_>>()
    };
    index.iter().flat_map(of_event).collect()
}

/// What the README promises for an event: the decision, and the reason where there is one.
fn promised(event: &str, payload: &Value) -> (&'static str, &'static str) {
    let action = payload["action"].as_str().unwrap_or_default();
    match (event, action) {
        ("pull_request", "opened" | "reopened" | "synchronize" | "ready_for_review") => {
            ("deploy", "")
        }
        ("pull_request" | "pull_request_target", "closed") => ("remove", ""),
        // All examples are comments on issues.
        ("issue_comment", "created") => ("ignore", "not-a-pull-request"),
        // Nobody has said which workflow's success deploys.
        ("workflow_run", "completed") => ("ignore", "build-ignored"),
        _ => ("ignore", "event-ignored"),
    }
}

/// A dispatch without inputs is one of ours that somebody made wrong: the only example that is not ignored and not followed.
fn is_mistake(event: &str) -> bool {
    event == "workflow_dispatch"
}

/// The workflow whose end deploys, where one does.
const BUILD: &str = ".github/workflows/build.yml";

/// Inputs that change what is heard; the first are the usual ones.
const HEARD: [&[(&str, &str)]; 5] = [
    &[],
    &[("build-workflow", BUILD)],
    &[("command-prefix", "/preview")],
    &[
        ("deploy-command", "/build-and-deploy"),
        ("auto-deploy", "false"),
    ],
    &[
        ("author-association", "MEMBER, OWNER"),
        ("labels", "preview"),
    ],
];

fn settings(inputs: &[(&str, &str)]) -> Settings {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Settings::parse(&inputs.iter().map(owned).collect::<RawInputs>()).unwrap()
}

/// Decides as the action does by its usual inputs.
fn decided(event: &str, payload: &str) -> Result<Trigger, String> {
    decided_by(&settings(&[]), event, payload)
}

fn decided_by(settings: &Settings, event: &str, payload: &str) -> Result<Trigger, String> {
    let fallback = event::Repository {
        id: RepoId(4711),
        name: SHOP.parse::<RepoName>().unwrap(),
        default_branch: None,
    };
    let event =
        event::Event::parse(event, payload, Some(&fallback)).map_err(|error| error.to_string())?;
    trigger::decide(&event, settings).map_err(|denied| denied.to_string())
}

#[test]
#[ignore = "needs GitHub's examples: tests/e2e/peers"]
fn each_of_githubs_examples_leads_to_the_decision_that_the_readme_promises() {
    let all = examples();
    assert_eq!(all.len(), EXAMPLES);
    for Example { event, payload } in &all {
        let decided = decided(event, &payload.to_string());
        let about = format!("{event} {}", payload["action"]);
        if is_mistake(event) {
            assert!(decided.is_err(), "{about}: {decided:?}");
            continue;
        }
        let trigger = decided.unwrap_or_else(|error| panic!("{about}: {error}"));
        let reason = match &trigger {
            Trigger::Ignore(ignored) => ignored.reason.as_str(),
            _ => "",
        };
        let expected = promised(event, payload);
        assert_eq!((trigger.decision(), reason), expected, "{about}");
        if let Some(request) = trigger.request() {
            assert_eq!(
                json!(request.pr),
                payload["pull_request"]["number"],
                "{about}"
            );
        }
    }
}

#[test]
#[ignore = "needs GitHub's examples: tests/e2e/peers"]
fn an_example_that_comes_with_secrets_removes_and_does_nothing_else() {
    let pulls = examples()
        .into_iter()
        .filter(|one| one.event == "pull_request");
    let mut removed = 0;
    for Example { payload, .. } in pulls {
        let trigger = decided("pull_request_target", &payload.to_string()).unwrap();
        let expected = match payload["action"] == "closed" {
            true => "remove",
            false => "ignore",
        };
        assert_eq!(trigger.decision(), expected, "{}", payload["action"]);
        removed += usize::from(expected == "remove");
    }
    assert_eq!(removed, 2);
}

/// The package has no comment on a pull request, so the issue of each becomes one.
#[test]
#[ignore = "needs GitHub's examples: tests/e2e/peers"]
fn an_example_of_a_comment_is_a_command_only_on_a_pull_request_and_only_when_it_is_new() {
    let comments = examples()
        .into_iter()
        .filter(|one| one.event == "issue_comment");
    let mut followed = 0;
    for Example { mut payload, .. } in comments {
        payload["issue"]["pull_request"] = json!({"url": "https://api.github.com/x"});
        let prose = decided("issue_comment", &payload.to_string()).unwrap();
        assert_eq!(prose.decision(), "ignore");
        payload["comment"]["body"] = json!("/deploy\r\nplease");
        let command = decided("issue_comment", &payload.to_string()).unwrap();
        let new = payload["action"] == "created";
        assert_eq!(command.decision() == "deploy", new, "{}", payload["action"]);
        followed += usize::from(new);
        payload["sender"]["login"] = json!("somebody-else");
        let forged = decided("issue_comment", &payload.to_string()).unwrap();
        assert_eq!(forged.decision(), "ignore");
    }
    assert_eq!(followed, 5);
}

/// Whole runs: what is not ours ends well, says so, and costs no request; what is ours is looked up, and what is over is not done.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs GitHub's examples: tests/e2e/peers"]
async fn a_run_on_any_example_ends_well_and_asks_nobody_about_what_is_not_ours() {
    let shop = Shop::open().await;
    shop.opens_as(2, NewPull::default());
    let mut ours = 0;
    for Example { event, mut payload } in examples() {
        let (decision, reason) = promised(&event, &payload);
        move_to_the_shop(&shop, &mut payload);
        let since = shop.now();
        let about = format!("{event} {}", payload["action"]);
        let seen = shop.hears(&Event::new(&event, payload, 2)).await;
        let asked = shop.requests("github", since).len() + shop.requests("cluster", since).len();
        if is_mistake(&event) {
            seen.ends(1, "bad-input");
            assert_eq!(asked, 0, "{about}");
            continue;
        }
        assert_eq!(
            (seen.exit, seen.output("decision")),
            (0, decision),
            "{about}: {seen:#?}"
        );
        if decision == "ignore" {
            assert_eq!((seen.output("reason-code"), asked), (reason, 0), "{about}");
        } else {
            // The head of the example is not that of our pull request, which is open.
            let over = ["superseded", "event-ignored"];
            assert!(
                over.contains(&seen.output("reason-code")),
                "{about}: {seen:#?}"
            );
            assert!(asked > 0, "{about}");
            ours += 1;
        }
    }
    assert_eq!(ours, 12);
    assert_eq!(shop.namespaces(), [""; 0]);
    shop.ends();
}

/// Makes the repository of an example ours, wherever it stands.
fn move_to_the_shop(shop: &Shop, payload: &mut Value) {
    let id = shop.world.github.create_repository(SHOP);
    for pointer in [
        "/repository",
        "/pull_request/base/repo",
        "/pull_request/head/repo",
    ] {
        if let Some(repository) = payload.pointer_mut(pointer).filter(|one| one.is_object()) {
            repository["id"] = json!(id);
            repository["full_name"] = json!(SHOP);
        }
    }
}

/// Whether a payload may lead to anything at all by these inputs, read from it without our own types.
fn may_act(inputs: &[(&str, &str)], event: &str, payload: &Value) -> bool {
    let input = |name: &str| inputs.iter().find(|one| one.0 == name).map(|one| one.1);
    let text = |pointer: &str| payload.pointer(pointer).and_then(Value::as_str);
    match event {
        "pull_request" | "pull_request_target" => matches!(
            text("/action"),
            Some("opened" | "reopened" | "synchronize" | "ready_for_review" | "closed")
        ),
        "issue_comment" => {
            let word = input("command-prefix").unwrap_or("/");
            let there = payload.pointer("/issue/pull_request");
            let human = |who: &str| text(&format!("{who}/type")) != Some("Bot");
            let login = |who: &str| text(&format!("{who}/login")).map(str::to_ascii_lowercase);
            text("/action") == Some("created")
                && there.is_some_and(|there| !there.is_null())
                && human("/comment/user")
                && human("/sender")
                && login("/comment/user") == login("/sender")
                && text("/comment/body").is_some_and(|body| body.starts_with(word))
        }
        "workflow_run" => {
            let path = text("/workflow_run/path").unwrap_or_default();
            text("/action") == Some("completed")
                && text("/workflow_run/conclusion") == Some("success")
                && text("/workflow_run/event") == Some("pull_request")
                && input("build-workflow") == path.split('@').next()
        }
        "workflow_dispatch" => text("/inputs/command").is_some(),
        "schedule" => true,
        _ => false,
    }
}

#[test]
#[ignore = "needs GitHub's examples: tests/e2e/peers"]
fn whatever_is_broken_in_an_example_nothing_crashes_and_nothing_is_done_that_it_does_not_ask_for() {
    let all = examples();
    let near = near_to_us(&all);
    let mut dice = Dice::thrown();
    let all_settings = HEARD.map(settings);
    let (mut acted, mut built) = ([0; HEARD.len()], 0);
    for round in 0..MUTATIONS {
        let heard = dice.below(HEARD.len());
        let from = [&near, &near, &near, &all][dice.below(4)];
        let Example { event, payload } = dice.one_of(from);
        let text = Mutator(&mut dice).broken(payload);
        let by = &all_settings[heard];
        let about = || {
            let inputs = HEARD[heard];
            format!(
                "round {round} of seed {}: {inputs:?}: {event}: {text:.2000}",
                dice.seed
            )
        };
        let decision = match std::panic::catch_unwind(|| decided_by(by, event, &text)) {
            Ok(Ok(trigger)) => trigger,
            // Said in words, without what the payload holds.
            Ok(Err(error)) => {
                assert!(error.len() < 1_000, "{}: {error}", about());
                assert!(is_known(event), "{}: {error}", about());
                continue;
            }
            Err(_) => panic!("it crashed: {}", about()),
        };
        if matches!(decision, Trigger::Ignore(_)) {
            continue;
        }
        acted[heard] += 1;
        let payload: Value = serde_json::from_str(&text).unwrap();
        let may = may_act(HEARD[heard], event, &payload);
        assert!(may, "{}: {decision:?}", about());
        built += u64::from(matches!(decision, Trigger::Built(_)));
        let Some(request) = decision.request() else {
            continue;
        };
        let number = ["/pull_request/number", "/issue/number", "/inputs/pr"]
            .iter()
            .find_map(|pointer| payload.pointer(pointer));
        let number = number.map(|number| number.to_string().replace(['"', '#', ' '], ""));
        assert_eq!(Some(request.pr.to_string()), number, "{}", about());
        assert_eq!(
            json!(request.repository.id),
            payload["repository"]["id"],
            "{}",
            about()
        );
        if let trigger::Commit::Payload(sha) = &request.commit {
            let sent = payload["pull_request"]["head"]["sha"].as_str().unwrap();
            assert_eq!(sha.as_str(), sent.to_ascii_lowercase(), "{}", about());
        }
    }
    println!("{MUTATIONS} broken examples; followed by inputs: {acted:?}, {built} of them builds");
    // Otherwise the mutations break everything, and nothing is shown.
    let enough = MUTATIONS / 20 / HEARD.len() as u64;
    assert!(acted.iter().all(|one| *one > enough) && built > 0);
}

/// The events that have anything to say to us.
fn is_known(event: &str) -> bool {
    [
        "pull_request",
        "pull_request_target",
        "issue_comment",
        "workflow_dispatch",
        "workflow_run",
        "schedule",
    ]
    .contains(&event)
}

/// The examples that are near to us, also with what the package lacks.
fn near_to_us(all: &[Example]) -> Vec<Example> {
    let mut near = Vec::new();
    for Example { event, payload } in all {
        let mut add = |event: &str, change: &dyn Fn(&mut Value)| {
            let mut payload = payload.clone();
            change(&mut payload);
            near.push(Example {
                event: event.to_owned(),
                payload,
            });
        };
        match event.as_str() {
            "pull_request" => {
                add("pull_request", &|_| {});
                add("pull_request_target", &|_| {});
                add("pull_request", &|one| {
                    one["pull_request"]["head"]["repo"]["id"] = json!(7)
                });
                add("pull_request", &|one| {
                    one["pull_request"]["head"]["repo"] = Value::Null
                });
                add("pull_request_target", &|one| {
                    one["pull_request"]["merged"] = json!(true)
                });
            }
            "issue_comment" => {
                for body in [
                    "/deploy",
                    "/undeploy",
                    "/status\nplease",
                    "/deploy --take #3",
                    "/preview deploy",
                    "/build-and-deploy",
                ] {
                    add("issue_comment", &|one| {
                        one["issue"]["pull_request"] = json!({"url": "https://api.github.com/x"});
                        one["comment"]["body"] = json!(body);
                    });
                }
            }
            "workflow_dispatch" => {
                for command in ["deploy", "undeploy", "sweep"] {
                    add("workflow_dispatch", &|one| {
                        one["inputs"] = json!({"command": command, "pr": "2"});
                    });
                }
            }
            "workflow_run" => add("workflow_run", &|one| {
                one["action"] = json!("completed");
                one["workflow_run"]["conclusion"] = json!("success");
                one["workflow_run"]["event"] = json!("pull_request");
                one["workflow_run"]["path"] = json!(BUILD);
            }),
            _ => {}
        }
    }
    near
}
