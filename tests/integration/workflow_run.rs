//! A build of its own that has ended: which pull requests it deploys, and which it must not (threat 21).

use crate::support::{Event, SHOP, Seen, Shop};
use preview_action::simulate::{Fault, github};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

const BUILD: &str = ".github/workflows/build.yml";

fn built(shop: &Shop, pr: u64) -> Event {
    let payload = shop.world.github.workflow_run_event(SHOP, pr, BUILD);
    Event::new("workflow_run", payload, pr)
}

async fn hears(shop: &Shop, event: &Event) -> Seen {
    shop.run(event).input("build-workflow", BUILD).go().await
}

fn from_fork() -> github::NewPull {
    github::NewPull {
        author: "mallory".into(),
        fork: Some("mallory/shop".into()),
        ..github::NewPull::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_ended_well_deploys_the_commit_that_it_built() {
    let shop = Shop::open().await;
    shop.opens(7);
    shop.opens(8);
    let head = shop.world.github.head(SHOP, 7);
    let event = built(&shop, 7);
    let planned = shop.run(&event).inputs(&[
        ("build-workflow", BUILD),
        ("mode", "plan"),
        ("kubeconfig", ""),
    ]);
    let planned = planned.go().await;
    planned.ends(0, "planned");
    let decided = |seen: &Seen| ["decision", "pr", "sha"].map(|name| seen.output(name).to_owned());
    assert_eq!(decided(&planned), ["deploy", "7", &head]);
    let seen = hears(&shop, &event).await;
    seen.ends(0, "deployed");
    assert_eq!(decided(&seen), ["deploy", "7", &head]);
    assert_eq!(shop.namespaces(), ["pr-shop-7"]);
    hears(&shop, &event).await.ends(0, "unchanged");
    shop.ends();
}

/// Says of nothing that ended otherwise, ran for something else or is another workflow that it may be deployed.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_else_that_ends_deploys() {
    let shop = Shop::open().await;
    shop.opens(7);
    let changed = |path: &str, value: Value| {
        let mut event = built(&shop, 7);
        *event.payload.pointer_mut(path).unwrap() = value;
        event
    };
    let run = "/workflow_run";
    for (field, value) in [
        ("conclusion", json!("failure")),
        ("conclusion", json!("cancelled")),
        ("conclusion", json!("skipped")),
        ("conclusion", Value::Null),
        ("event", json!("push")),
        ("event", json!("pull_request_target")),
        ("event", json!("workflow_dispatch")),
        ("path", json!(".github/workflows/evil.yml")),
        ("path", json!(".github/workflows/build.yml.yml")),
        ("path", json!("")),
        ("head_branch", Value::Null),
        ("head_repository", Value::Null),
        ("repository/id", json!(1)),
    ] {
        let seen = hears(&shop, &changed(&format!("{run}/{field}"), value.clone())).await;
        seen.ends(0, "build-ignored");
        assert_eq!(seen.output("decision"), "ignore", "{field} {value}");
    }
    let requested = changed("/action", json!("requested"));
    hears(&shop, &requested).await.ends(0, "event-ignored");
    // Without the name of the workflow none counts.
    let seen = shop.hears(&built(&shop, 7)).await;
    seen.ends(0, "build-ignored");
    assert!(
        seen.summary.contains("`build-workflow`"),
        "{}",
        seen.summary
    );
    assert_eq!(shop.requests("github", 0).len(), 0, "nobody is asked");
    assert_eq!(shop.cluster_requests(0).len(), 0);
    let with_ref = changed(
        "/workflow_run/path",
        json!(format!("{BUILD}@refs/heads/main")),
    );
    hears(&shop, &with_ref).await.ends(0, "deployed");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_payloads_list_of_pull_requests_counts_for_nothing() {
    let shop = Shop::open().await;
    shop.opens(7);
    shop.opens(8);
    let mut event = built(&shop, 7);
    event.payload["workflow_run"]["pull_requests"] = json!([{"number": 8}]);
    hears(&shop, &event).await.ends(0, "deployed");
    assert_eq!(shop.namespaces(), ["pr-shop-7"]);
    // A commit of one branch under the name of another is nobody's.
    let mut event = built(&shop, 8);
    event.payload["workflow_run"]["head_branch"] = json!("feature-7");
    hears(&shop, &event).await.ends(0, "superseded");
    let mut event = built(&shop, 8);
    event.payload["workflow_run"]["head_repository"]["id"] = json!(1);
    hears(&shop, &event).await.ends(0, "no-pull-request");
    assert_eq!(shop.namespaces(), ["pr-shop-7"]);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_moved_and_a_pull_request_that_closed_deploy_nothing() {
    let shop = Shop::open().await;
    shop.opens(7);
    let old = shop.world.github.head(SHOP, 7);
    let event = built(&shop, 7);
    shop.pushes(7);
    let seen = hears(&shop, &event).await;
    seen.ends(0, "superseded");
    assert_eq!((seen.output("pr"), seen.output("sha")), ("7", old.as_str()));
    assert_eq!(seen.output("state"), "superseded");
    let event = built(&shop, 7);
    shop.closes(7);
    hears(&shop, &event).await.ends(0, "no-pull-request");
    assert_eq!(shop.namespaces(), [""; 0]);
    assert_eq!(shop.comment(7), "");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_pull_requests_of_one_commit_are_both_deployed() {
    let shop = Shop::open().await;
    shop.opens(7);
    shop.world.github.twin(SHOP, 7, 9);
    let seen = hears(&shop, &built(&shop, 7)).await;
    seen.ends(0, "deployed");
    assert_eq!(seen.output("pr"), "7");
    assert!(
        seen.log
            .contains("pull request #9 has the same newest commit"),
        "{}",
        seen.log
    );
    assert_eq!(shop.namespaces(), ["pr-shop-7", "pr-shop-9"]);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forks_build_needs_approval_like_everything_of_a_fork() {
    let shop = Shop::selling(&crate::support::ONE_SERVICE.replace("{short-sha}", "{sha}")).await;
    shop.world
        .github
        .set_permission(SHOP, "alice", "admin", "admin");
    shop.opens_as(7, from_fork());
    let head = shop.world.github.head(SHOP, 7);
    let event = built(&shop, 7);
    assert_eq!(event.payload["workflow_run"]["pull_requests"], json!([]));
    let seen = hears(&shop, &event).await;
    assert_eq!(
        (seen.exit, seen.output("state")),
        (0, "approval-needed"),
        "{seen:#?}"
    );
    seen.says(&format!("/approve {head}"));
    assert_eq!(shop.namespaces(), [""; 0]);
    shop.hears(&shop.says(7, "alice", &format!("/approve {head}")))
        .await
        .ends(0, "deployed");
    hears(&shop, &event).await.ends(0, "unchanged");
    shop.pushes(7);
    let next = hears(&shop, &built(&shop, 7)).await;
    assert_eq!(next.output("state"), "approval-needed", "{next:#?}");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_and_what_people_have_decided_count_for_builds_too() {
    let shop = Shop::open().await;
    shop.opens(7);
    let event = built(&shop, 7);
    let run = shop.run(&event).input("build-workflow", BUILD);
    run.input("labels", "preview")
        .go()
        .await
        .ends(0, "label-missing");
    let run = shop.run(&event).input("build-workflow", BUILD);
    run.input("auto-deploy", "false")
        .go()
        .await
        .ends(0, "auto-deploy-off");
    hears(&shop, &event).await.ends(0, "deployed");
    shop.hears(&shop.says(7, "alice", "/undeploy"))
        .await
        .ends(0, "removed");
    hears(&shop, &event).await.ends(0, "removed-by-command");
    assert_eq!(shop.namespaces(), [""; 0]);
    shop.ends();
}

/// A build that failed, or that nobody has seen, is no success, however long it is ago.
#[tokio::test(flavor = "multi_thread")]
async fn the_schedule_deploys_no_commit_whose_build_has_not_ended_well() {
    let shop = Shop::open().await;
    shop.opens(7);
    shop.world.advance(Duration::from_secs(3600));
    let sweep = shop.schedule();
    hears(&shop, &sweep).await.ends(0, "swept");
    assert_eq!(shop.namespaces(), [""; 0]);
    shop.hears(&sweep).await.ends(0, "swept");
    assert_eq!(
        shop.namespaces(),
        ["pr-shop-7"],
        "without a build of its own it was missed"
    );
    shop.ends();
}

/// A place in line is for the commit that was built: what was pushed since has not shown that it can be built at all.
#[tokio::test(flavor = "multi_thread")]
async fn who_waits_in_line_is_not_deployed_at_a_commit_that_was_not_built() {
    let shop = Shop::open().await;
    let one = [("build-workflow", BUILD), ("max-previews", "1")];
    let hears = async |event: &Event| shop.run(event).inputs(&one).go().await;
    shop.opens(7);
    hears(&built(&shop, 7)).await.ends(0, "deployed");
    for pr in [8, 9] {
        shop.opens(pr);
        hears(&built(&shop, pr)).await.ends(0, "queued");
    }
    shop.world.github.push(SHOP, 8, &[]);
    let head = shop.world.github.head(SHOP, 8);
    hears(&shop.closes(7)).await.ends(0, "removed");
    assert_eq!(
        shop.namespaces(),
        ["pr-shop-9"],
        "whose build was of its newest commit"
    );
    let said = shop.comment(8);
    assert!(
        said.contains("waits in line no more") && said.contains(&head[..7]),
        "{said}"
    );

    hears(&built(&shop, 8)).await.ends(0, "queued");
    hears(&shop.closes(9)).await.ends(0, "removed");
    assert_eq!(shop.namespaces(), ["pr-shop-8"]);
    shop.ends();
}

/// One slot, where only builds deploy; the pull request holds it.
async fn one_slot(shop: &Shop, holder: u64) {
    shop.opens(holder);
    one(shop, &built(shop, holder)).await.ends(0, "deployed");
}

async fn one(shop: &Shop, event: &Event) -> Seen {
    let inputs = [("build-workflow", BUILD), ("max-previews", "1")];
    shop.run(event).inputs(&inputs).go().await
}

#[track_caller]
fn has_left(shop: &Shop, pr: u64) {
    let (said, head) = (shop.comment(pr), shop.world.github.head(SHOP, pr));
    assert!(
        said.contains("waits in line no more") && said.contains(&head[..7]),
        "{said}"
    );
    assert_eq!((shop.holders(), shop.line()), (vec![], vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sleeper_whose_newest_commit_was_not_built_wakes_as_it_was() {
    for promote in ["run", "dispatch"] {
        let shop = Shop::open().await;
        one_slot(&shop, 7).await;
        let image = shop.image("pr-shop-7", "web");
        one(&shop, &shop.says(7, "alice", "/sleep"))
            .await
            .ends(0, "slept");
        one_slot(&shop, 8).await;
        one(&shop, &shop.says(7, "alice", "/wake"))
            .await
            .ends(0, "queued");
        shop.world.github.push(SHOP, 7, &[]);
        let closes = shop.closes(8);
        let inputs = [
            ("build-workflow", BUILD),
            ("max-previews", "1"),
            ("promote", promote),
        ];
        let run = shop.run(&closes).inputs(&inputs);
        run.go().await.ends(0, "removed");
        if promote == "dispatch" {
            let started = shop.world.github.started(SHOP);
            assert_eq!(started[0].inputs, json!({"command": "wake", "pr": "7"}));
            one(&shop, &shop.dispatches(7, "wake"))
                .await
                .ends(0, "woken");
        }
        assert_eq!(shop.holders(), [7]);
        assert_eq!(shop.image("pr-shop-7", "web"), image);
        let said = shop.comment(7);
        assert!(said.contains("Preview ready"), "{said}");
        shop.ends();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_a_command_asked_for_is_for_that_commit_too() {
    let shop = Shop::open().await;
    one_slot(&shop, 7).await;
    shop.opens(8);
    let deploy = shop.says(8, "alice", "/deploy");
    one(&shop, &deploy).await.ends(0, "queued");
    shop.world.github.push(SHOP, 8, &[]);
    one(&shop, &shop.closes(7)).await.ends(0, "removed");
    has_left(&shop, 8);
    let deploy = shop.says(8, "alice", "/deploy");
    one(&shop, &deploy).await.ends(0, "deployed");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_died_in_line_leaves_a_place_for_the_commit_that_was_built() {
    for pushed in [false, true] {
        let shop = Shop::open().await;
        one_slot(&shop, 7).await;
        shop.opens(8);
        let event = built(&shop, 8);
        for request in 1.. {
            let inputs = [("build-workflow", BUILD), ("max-previews", "1")];
            let run = shop.run(&event).inputs(&inputs);
            assert!(run.dies_at("cluster", request).await);
            shop.world.advance(Duration::from_secs(31));
            if shop.line() == [8] {
                break;
            }
        }
        one(&shop, &shop.schedule()).await.ends(0, "swept");
        assert!(shop.record(8)["underWay"].is_null());
        if pushed {
            shop.world.github.push(SHOP, 8, &[]);
        }
        one(&shop, &shop.closes(7)).await.ends(0, "removed");
        match pushed {
            false => assert_eq!(shop.holders(), [8]),
            true => has_left(&shop, 8),
        }
        shop.ends();
    }
}

/// The place is judged by what the ledger says when it is taken away, not when it was looked at.
#[tokio::test(flavor = "multi_thread")]
async fn a_place_is_not_left_for_a_build_that_has_just_ended() {
    let shop = Arc::new(Shop::open().await);
    one_slot(&shop, 7).await;
    shop.opens(8);
    one(&shop, &built(&shop, 8)).await.ends(0, "queued");
    shop.world.github.push(SHOP, 8, &[]);
    let weak = Arc::downgrade(&shop);
    let ends = Fault::run("GET", "/repos/acme/shop/pulls/8", move || {
        if let Some(shop) = weak.upgrade() {
            let head = shop.world.github.head(SHOP, 8);
            shop.change_record(8, |record| {
                record["sequence"] = json!(record["sequence"].as_u64().unwrap() + 1);
                record["newest"] = json!("99/1");
                record["due"] = json!(head);
            });
        }
    });
    shop.world.github.inject(ends);
    one(&shop, &shop.closes(7)).await.ends(0, "removed");
    assert_eq!(shop.line(), [8]);
    let said = shop.comment(8);
    assert!(!said.contains("waits in line no more"), "{said}");
    one(&shop, &built(&shop, 8)).await.ends(0, "deployed");
    shop.ends();
}

/// What lies in the workspace of such a run is the default branch's, or nobody's.
#[tokio::test(flavor = "multi_thread")]
async fn manifests_of_the_workspace_are_read_only_at_the_commit_that_was_built() {
    let shop = Shop::open().await;
    shop.opens(7);
    let event = built(&shop, 7);
    let run = shop
        .run(&event)
        .input("build-workflow", BUILD)
        .input("manifests", "out/*.yaml");
    let seen = run
        .workspace(
            "out/a.yaml",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n",
        )
        .go()
        .await;
    assert_eq!(seen.exit, 1, "{seen:#?}");
    assert!(seen.log.contains("is not at commit"), "{}", seen.log);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_speaks_for_all_that_share_the_commit() {
    let shop = Shop::open().await;
    shop.opens(7);
    shop.world.github.twin(SHOP, 7, 9);
    let event = built(&shop, 7);
    for (drafts, decision) in [([7, 0], "deploy"), ([7, 9], "skip")] {
        for pr in drafts.into_iter().filter(|pr| *pr > 0) {
            shop.world.github.set_draft(SHOP, pr, true);
        }
        let plan = [
            ("mode", "plan"),
            ("build-workflow", BUILD),
            ("drafts", "false"),
        ];
        let seen = shop.run(&event).inputs(&plan).go().await;
        assert_eq!(seen.output("decision"), decision, "{}", seen.log);
    }
    shop.ends();
}
