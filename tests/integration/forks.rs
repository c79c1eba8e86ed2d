//! Pull requests from forks: nothing of them runs but the one commit that a maintainer has named.

use crate::support::{CONFIGURATION, Event, LEDGER, ONE_SERVICE, SHOP, Seen, Shop};
use preview_action::simulate::{Fault, github};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

const NAMESPACE: &str = "pr-shop-6";

/// After so long a head that no run has tried is the sweep's.
const QUARTER: Duration = Duration::from_secs(15 * 60);

const DAY: Duration = Duration::from_secs(24 * 3600);

/// What the fork says of itself: its own image, its own host, its own words.
const EVIL: &str = "version: 1
services:
  miner:
    image: registry.evil.example/miner:1
    port: 8080
    public: true
";

/// The shop's own service, whose image has the whole commit in its name.
fn own_service() -> String {
    ONE_SERVICE.replace("{short-sha}", "{sha}")
}

/// A shop with a maintainer, mia.
async fn guarded() -> Shop {
    let shop = Shop::selling(&own_service()).await;
    shop.world.github.add_user("mia");
    shop.world
        .github
        .set_permission(SHOP, "mia", "write", "maintain");
    shop
}

fn from_fork(files: &[(&str, &str)]) -> github::NewPull {
    let owned = |(path, text): &(&str, &str)| ((*path).to_owned(), (*text).to_owned());
    github::NewPull {
        author: "mallory".into(),
        fork: Some("mallory/shop".into()),
        files: files.iter().map(owned).collect(),
        ..github::NewPull::default()
    }
}

/// Mallory opens pull request 6 from a fork.
fn opens(shop: &Shop) -> Event {
    shop.opens_as(6, from_fork(&[(CONFIGURATION, EVIL)]))
}

fn head(shop: &Shop) -> String {
    shop.world.github.head(SHOP, 6)
}

async fn hears(shop: &Shop, who: &str, body: &str) -> Seen {
    shop.hears(&shop.says(6, who, body)).await
}

async fn approved(shop: &Shop) -> Seen {
    let seen = hears(shop, "mia", &format!("/approve {}", head(shop))).await;
    seen.ends(0, "deployed");
    seen
}

fn image_of(sha: &str) -> String {
    format!("registry.example/web:{sha}")
}

/// Checks that the comment asks for this commit, and that nothing but the ledger was written in the cluster since.
#[track_caller]
fn asks(shop: &Shop, since: usize, seen: &Seen, sha: &str) {
    assert_eq!(seen.exit, 0, "{seen:#?}");
    let comment = shop.comment(6);
    assert!(comment.contains("Preview needs approval"), "{comment}");
    assert!(
        comment.contains(&format!("```\n/approve {sha}\n```")),
        "{comment}"
    );
    assert!(comment.contains("`maintain` or `admin`"), "{comment}");
    idle(shop, since);
}

#[track_caller]
fn idle(shop: &Shop, since: usize) {
    let control = "/api/v1/namespaces/preview-system/configmaps";
    let wrote: Vec<String> = shop
        .cluster_requests(since)
        .iter()
        .filter(|one| one.method != "GET" && !one.path.starts_with(control))
        .map(|one| format!("{} {}", one.method, one.path))
        .collect();
    assert_eq!(wrote, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_door_lets_a_forks_commit_run_by_itself() {
    let shop = guarded().await;
    let opened = opens(&shop);
    let head = head(&shop);
    let bare = shop.run(&opened).input("kubeconfig", "").go().await;
    bare.ends(0, "no-credentials");
    assert_eq!(shop.comment(6), "", "a run without rights says nothing");
    let target = Event::new("pull_request_target", opened.payload.clone(), 6);
    let by_workflow = |command: &str| {
        let inputs = [("command", command), ("pr", "6"), ("sha", &head)];
        let login = "github-actions[bot]";
        let mut payload = shop.world.github.dispatch_event(SHOP, login, &inputs);
        payload["sender"]["type"] = json!("Bot");
        Event::new("workflow_dispatch", payload, 6)
    };
    for (door, event) in [
        ("its own event", opened.clone()),
        ("the target event", target.clone()),
        ("the sweep", shop.schedule()),
        ("a writer", shop.says(6, "alice", "/deploy")),
        ("a maintainer", shop.says(6, "mia", "/deploy")),
        (
            "its commit",
            shop.says(6, "mia", &format!("/deploy {head}")),
        ),
        ("a taken slot", shop.says(6, "mia", "/deploy --take #1")),
        ("a form", shop.dispatches(6, "deploy")),
        ("a workflow", by_workflow("deploy")),
        ("what would change", shop.says(6, "mia", "/diff")),
        ("the status", shop.says(6, "alice", "/status")),
    ] {
        shop.world.advance(QUARTER);
        let since = shop.now();
        let seen = shop.hears(&event).await;
        println!("{door}: {}", seen.output("reason-code"));
        asks(&shop, since, &seen, &head);
    }
    for (event, reason) in [
        (by_workflow("approve"), "permission-denied"),
        (shop.says(6, "mia", "/wake"), "no-preview"),
        (shop.says(6, "mia", "/rollback"), "nothing-to-roll-back"),
        (shop.says(6, "mia", "/pin"), "no-preview"),
    ] {
        let since = shop.now();
        shop.hears(&event).await.ends(0, reason);
        idle(&shop, since);
    }
    assert_eq!(shop.record(6)["approved"], Value::Null);
    assert_eq!(shop.namespaces(), [""; 0]);
    assert_eq!((shop.holders(), shop.line()), (vec![], vec![]));
    let asked = hears(&shop, "mia", "/deploy").await;
    asked.ends(0, "approval-needed");
    assert_eq!(asked.output("state"), "approval-needed");
    asked.says("https://github.example/acme/shop/pull/6/files");
    asked.one_comment();
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_maintainer_lets_one_commit_run_by_the_bases_configuration() {
    let shop = guarded().await;
    opens(&shop);
    let head = head(&shop);
    let base = shop.pull_event(6, "opened").payload["pull_request"]["base"]["sha"].clone();
    let event = shop.says(6, "mia", &format!("/approve {head}"));
    // What the fork's own steps may have left in the workspace counts for nothing, wherever that says it is.
    let run = shop
        .run(&event)
        .workspace(".git/HEAD", base.as_str().unwrap())
        .workspace(CONFIGURATION, EVIL);
    let seen = run.go().await;
    seen.ends(0, "deployed");
    assert_eq!(
        (seen.output("decision"), seen.output("sha")),
        ("approve", head.as_str())
    );
    seen.says("Preview ready");
    assert_eq!(shop.image(NAMESPACE, "web"), image_of(&head));
    let evil = shop.world.cluster.object("Deployment", NAMESPACE, "miner");
    assert_eq!(evil, None);
    let approved = &shop.record(6)["approved"];
    assert_eq!(
        (&approved["sha"], &approved["by"]),
        (&json!(head), &json!("mia"))
    );
    assert_eq!(shop.record(6)["requested"], Value::Null);
    let comment = event.payload["comment"]["id"].as_u64().unwrap();
    let comments = shop.world.github.comments(SHOP, 6);
    let commanded = comments.iter().find(|one| one.id == comment).unwrap();
    let given = commanded.reactions.last().unwrap();
    assert_eq!(given.1, "+1");
    // The commit is approved, so whoever may command may deploy it again.
    hears(&shop, "alice", "/deploy").await.ends(0, "unchanged");
    // Its own event still brings nothing about.
    let since = shop.now();
    let event = shop.pull_event(6, "reopened");
    shop.hears(&event).await.ends(0, "unchanged");
    idle(&shop, since);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_settings_say_a_fork_is_read_at_its_base() {
    let shop = guarded().await;
    opens(&shop);
    let event = shop.says(6, "mia", &format!("/approve {}", head(&shop)));
    let run = shop.run(&event).input("config-from", "head");
    run.go().await.ends(0, "deployed");
    assert_eq!(shop.image(NAMESPACE, "web"), image_of(&head(&shop)));
    // Templates of the fork are not read either: the base has none.
    shop.pushes_files(6, &[("deploy/x.yaml.j2", "kind: ConfigMap")]);
    let event = shop.says(6, "mia", &format!("/approve {}", head(&shop)));
    let run = shop.run(&event).input("templates", "deploy/*.yaml.j2");
    let seen = run.go().await;
    seen.ends(1, "bad-input");
    seen.says("no file matches the templates");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_maintains_may_approve_and_strangers_get_no_comment() {
    for (permission, role, allowed) in [
        ("read", "read", false),
        ("read", "maintain", false),
        ("write", "write", false),
        ("write", "admin", false),
        ("write", "maintain", true),
        ("admin", "admin", true),
    ] {
        let shop = guarded().await;
        opens(&shop);
        shop.world.github.add_user("carol");
        shop.world
            .github
            .set_permission(SHOP, "carol", permission, role);
        let event = shop.says(6, "carol", &format!("/approve {}", head(&shop)));
        let since = shop.now();
        let seen = shop.hears(&event).await;
        if allowed {
            seen.ends(0, "deployed");
            continue;
        }
        seen.ends(0, "permission-denied");
        assert_eq!(seen.comments, [""; 0]);
        assert!(seen.summary.contains("`maintain` or `admin`"), "{seen:#?}");
        assert_eq!(shop.cluster_requests(since).len(), 0);
        let comments = shop.world.github.comments(SHOP, 6);
        let given: Vec<&str> = comments[0]
            .reactions
            .iter()
            .map(|one| one.1.as_str())
            .collect();
        assert_eq!(given, ["eyes", "-1"]);
        shop.ends();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_cannot_be_read_approves_nothing() {
    let shop = guarded().await;
    opens(&shop);
    let path = "/repos/acme/shop/collaborators/mia/permission";
    let fault = Fault::answer("GET", path, 403, json!({"message": "no"}));
    shop.world.github.inject(fault.always());
    let seen = hears(&shop, "mia", &format!("/approve {}", head(&shop))).await;
    seen.ends(3, "github-refused");
    assert_eq!(shop.cluster_requests(0).len(), 0);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_runs_an_approval_again_must_maintain_too() {
    let shop = guarded().await;
    opens(&shop);
    let event = shop.says(6, "mia", &format!("/approve {}", head(&shop)));
    let again = |actor: &str| {
        shop.run(&event)
            .variable("GITHUB_RUN_ATTEMPT", "2")
            .variable("GITHUB_TRIGGERING_ACTOR", actor)
    };
    again("alice").go().await.ends(0, "permission-denied");
    assert_eq!(shop.cluster_requests(0).len(), 0);
    // What was pushed since is not what was approved.
    shop.pushes(6);
    let since = shop.now();
    let seen = again("mia").go().await;
    seen.ends(0, "nothing-to-approve");
    asks(&shop, since, &seen, &head(&shop));
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_newest_commit_in_full_is_approved() {
    let shop = guarded().await;
    opens(&shop);
    let older = head(&shop);
    shop.pushes(6);
    let head = head(&shop);
    for (named, reason, said) in [
        (head[..7].to_owned(), "not-a-command", "40 hexadecimal"),
        (head[..39].to_owned(), "not-a-command", "40 hexadecimal"),
        (format!("{head}0"), "not-a-command", "40 hexadecimal"),
        (format!("{head} please"), "not-a-command", "40 hexadecimal"),
        (older, "nothing-to-approve", "nothing was approved"),
        ("0".repeat(40), "nothing-to-approve", "nothing was approved"),
    ] {
        let since = shop.now();
        let seen = hears(&shop, "mia", &format!("/approve {named}")).await;
        seen.ends(0, reason);
        seen.says(said);
        asks(&shop, since, &seen, &head);
        assert_eq!(shop.record(6)["approved"], Value::Null, "{named}");
    }
    let shouted = hears(&shop, "mia", &format!("/approve {}", head.to_uppercase())).await;
    shouted.ends(0, "deployed");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_withdraws_the_approval_and_what_runs_stays() {
    let shop = guarded().await;
    opens(&shop);
    let first = head(&shop);
    approved(&shop).await;
    let pushed = shop.pushes(6);
    let second = head(&shop);
    let bare = shop.run(&pushed).input("kubeconfig", "").go().await;
    bare.ends(0, "no-credentials");
    let since = shop.now();
    let swept = shop.hears(&shop.schedule()).await;
    swept.ends(0, "swept");
    asks(&shop, since, &swept, &second);
    let comment = shop.comment(6);
    let compared = format!("https://github.example/acme/shop/compare/{first}...{second}");
    assert!(comment.contains(&compared), "{comment}");
    let short = &first[..7];
    assert!(comment.contains("approved by `mia`"), "{comment}");
    assert!(comment.contains("stays live at"), "{comment}");
    assert!(comment.contains(short), "{comment}");
    assert_eq!(shop.record(6)["approved"]["withdrawn"], json!(true));
    // Once is enough.
    let since = shop.now();
    shop.world.advance(QUARTER);
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    idle(&shop, since);
    let edits = shop.requests("github", since);
    assert!(edits.iter().all(|one| one.method == "GET"), "{edits:#?}");
    hears(&shop, "mia", "/deploy")
        .await
        .ends(0, "approval-needed");
    // Whoever may command may still use what runs.
    hears(&shop, "alice", "/extend 2d")
        .await
        .ends(0, "extended");
    let slept = hears(&shop, "alice", "/sleep").await;
    slept.ends(0, "slept");
    slept.says(&format!("/approve {second}"));
    slept.says("sleeps, and `/wake` wakes it");
    hears(&shop, "alice", "/status")
        .await
        .ends(0, "status-shown");
    assert!(shop.comment(6).contains("sleeps"), "{}", shop.comment(6));
    // What is said of the commit that runs hides nothing of the one that waits.
    let woken = hears(&shop, "alice", "/wake").await;
    woken.ends(0, "woken");
    woken.says(&format!("/approve {second}"));
    woken.says("stays live at");
    assert_eq!(shop.image(NAMESPACE, "web"), image_of(&first));
    let seen = hears(&shop, "alice", "/status").await;
    seen.ends(0, "status-shown");
    seen.says("Preview needs approval");
    approved(&shop).await;
    assert_eq!(shop.image(NAMESPACE, "web"), image_of(&second));
    assert_eq!(shop.record(6)["approved"]["withdrawn"], Value::Null);
    // What was approved once is what a rollback brings back, by its digest.
    let back = hears(&shop, "alice", "/rollback").await;
    back.ends(0, "rolled-back");
    assert_eq!(back.output("sha"), first);
    assert!(!back.comment().contains("/approve"), "{}", back.comment());
    hears(&shop, "mia", "/deploy").await.ends(0, "deployed");
    shop.pushes(6);
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    let third = head(&shop);
    asks(&shop, shop.now(), &swept, &third);
    let back = hears(&shop, "alice", "/rollback").await;
    back.ends(0, "rolled-back");
    back.says(&format!("/approve {third}"));
    back.says(&first[..7]);
    hears(&shop, "alice", "/undeploy").await.ends(0, "removed");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_lapses_after_seven_days_and_begins_anew_when_somebody_asks() {
    let shop = guarded().await;
    opens(&shop);
    let head = head(&shop);
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    assert!(!shop.comment(6).contains("lapsed"), "{}", shop.comment(6));
    shop.world.advance(DAY * 6);
    let since = shop.now();
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    assert!(!shop.comment(6).contains("lapsed"), "{}", shop.comment(6));
    shop.world.advance(DAY + QUARTER);
    let swept = shop.hears(&shop.schedule()).await;
    asks(&shop, since, &swept, &head);
    assert!(shop.comment(6).contains("lapsed"), "{}", shop.comment(6));
    let since = shop.now();
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    let edits = shop.requests("github", since);
    assert!(edits.iter().all(|one| one.method == "GET"), "{edits:#?}");
    let seen = hears(&shop, "alice", "/deploy").await;
    seen.ends(0, "approval-needed");
    assert!(!seen.comment().contains("lapsed"), "{}", seen.comment());
    shop.world.advance(DAY * 8);
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    assert!(shop.comment(6).contains("lapsed"), "{}", shop.comment(6));
    shop.pushes(6);
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    assert!(!shop.comment(6).contains("lapsed"), "{}", shop.comment(6));
    shop.world.advance(DAY * 8);
    approved(&shop).await;
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_after_the_approval_ends_the_run_and_asks_anew() {
    for (moment, applied) in [
        ("before anything is applied", false),
        ("while pods start", true),
    ] {
        let shop = Arc::new(guarded().await);
        opens(&shop);
        let first = head(&shop);
        let event = shop.says(6, "mia", &format!("/approve {first}"));
        let weak = Arc::downgrade(&shop);
        let push = move || {
            if let Some(shop) = weak.upgrade() {
                shop.pushes_files(6, &[("x", "y")]);
            }
        };
        match applied {
            // The first look pins the commit, the second one comes before anything is applied.
            false => shop
                .world
                .github
                .inject(Fault::run("GET", "/repos/acme/shop/pulls/6", push).nth(2)),
            true => shop.world.cluster.inject(Fault::run(
                "PATCH",
                "/apis/networking.k8s.io/v1/**",
                push,
            )),
        }
        let seen = shop.hears(&event).await;
        seen.ends(0, "approval-needed");
        let second = head(&shop);
        assert_ne!(first, second, "{moment}");
        seen.says(&format!("/approve {second}"));
        for comment in shop.status_comments(6) {
            for (_, body) in comment.history {
                assert!(!body.contains("Preview ready"), "{moment}: {body}");
            }
        }
        let there = shop.image(NAMESPACE, "web");
        let expected = if applied {
            image_of(&first)
        } else {
            String::new()
        };
        assert_eq!(there, expected, "{moment}");
        shop.world.advance(QUARTER);
        shop.hears(&shop.schedule()).await.ends(0, "swept");
        assert_eq!(shop.image(NAMESPACE, "web"), expected, "{moment}");
        shop.ends();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approved_commit_waits_in_line_until_its_approval_is_withdrawn() {
    for pushes in [false, true] {
        let shop = guarded().await;
        let one = |event: &Event| shop.run(event).input("max-previews", "1");
        one(&shop.opens(1)).go().await.ends(0, "deployed");
        opens(&shop);
        let first = head(&shop);
        let event = shop.says(6, "mia", &format!("/approve {first}"));
        one(&event).go().await.ends(0, "queued");
        assert_eq!(shop.line(), [6]);
        if pushes {
            shop.pushes(6);
        }
        one(&shop.closes(1)).go().await.ends(0, "removed");
        assert_eq!(shop.line(), [0; 0]);
        match pushes {
            false => assert_eq!(shop.image(NAMESPACE, "web"), image_of(&first)),
            true => {
                assert_eq!(shop.namespaces(), [""; 0]);
                let asked = format!("/approve {}", head(&shop));
                assert!(shop.comment(6).contains(&asked), "{}", shop.comment(6));
            }
        }
        shop.ends();
    }
}

/// A plan sees no approvals: of a fork it lets through the commit alone that a run has named for who is first in line.
#[tokio::test(flavor = "multi_thread")]
async fn an_approved_commit_in_line_comes_by_dispatch_through_a_plan() {
    let shop = guarded().await;
    let one = |event: &Event| {
        let run = shop.run(event).input("max-previews", "1");
        run.input("promote", "dispatch")
    };
    one(&shop.opens(1)).go().await.ends(0, "deployed");
    opens(&shop);
    let sha = head(&shop);
    let event = shop.says(6, "mia", &format!("/approve {sha}"));
    one(&event).go().await.ends(0, "queued");
    one(&shop.closes(1)).go().await.ends(0, "removed");
    let started = shop.world.github.started(SHOP).pop().unwrap().inputs;
    assert_eq!(
        started,
        json!({"command": "deploy", "pr": "6", "sha": sha}),
        "the commit that was approved"
    );
    let asks = |login: &str, sha: &str| {
        let inputs = [("command", "deploy"), ("pr", "6"), ("sha", sha)];
        let mut payload = shop.world.github.dispatch_event(SHOP, login, &inputs);
        if login.ends_with("[bot]") {
            payload["sender"]["type"] = json!("Bot");
        }
        Event::new("workflow_dispatch", payload, 6)
    };
    let bot = "github-actions[bot]";
    for (event, decision, reason) in [
        (asks("mia", &sha), "ignore", "approval-needed"),
        (asks(bot, ""), "ignore", "approval-needed"),
        (asks(bot, &"0".repeat(40)), "ignore", "superseded"),
        (asks(bot, &sha), "deploy", "planned"),
    ] {
        let run = shop.run(&event).input("kubeconfig", "");
        let seen = run.input("mode", "plan").go().await;
        seen.ends(0, reason);
        assert_eq!(seen.output("decision"), decision, "{seen:#?}");
    }
    let gated = one(&asks(bot, &sha)).input("sha", &sha).go().await;
    gated.ends(0, "deployed");
    assert_eq!(shop.image(NAMESPACE, "web"), image_of(&sha));
    // Somebody pushes between the plan and the approval of the environment, and what runs is the old commit.
    let stale = asks(bot, &sha);
    shop.pushes(6);
    let stale = one(&stale).input("sha", &sha).go().await;
    stale.ends(0, "approval-needed");
    stale.says(&format!("/approve {}", head(&shop)));
    assert_eq!(shop.image(NAMESPACE, "web"), image_of(&sha));
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_maintainer_may_take_a_slot_for_what_is_approved() {
    let shop = guarded().await;
    let one = |event: &Event| shop.run(event).input("max-previews", "1");
    one(&shop.opens(1)).go().await.ends(0, "deployed");
    opens(&shop);
    let since = shop.now();
    let taken = one(&shop.says(6, "mia", "/deploy --take #1")).go().await;
    taken.ends(0, "approval-needed");
    asks(&shop, since, &taken, &head(&shop));
    let event = shop.says(6, "mia", &format!("/approve {}", head(&shop)));
    one(&event).go().await.ends(0, "queued");
    let taken = one(&shop.says(6, "mia", "/deploy --take #1")).go().await;
    taken.ends(0, "deployed");
    assert_eq!(shop.holders(), [6]);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sweep_deploys_what_was_approved_and_whose_run_never_came() {
    let shop = guarded().await;
    opens(&shop);
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    let sha = head(&shop);
    let died = shop
        .run(&shop.says(6, "mia", &format!("/approve {sha}")))
        .dies_at("cluster", 4)
        .await;
    assert!(died);
    assert_eq!(shop.record(6)["approved"]["sha"], json!(sha));
    assert_eq!(shop.image(NAMESPACE, "web"), "");
    shop.world.advance(QUARTER);
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    assert_eq!(shop.image(NAMESPACE, "web"), image_of(&sha));
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_that_the_ledger_does_not_keep_lets_nothing_run() {
    let shop = guarded().await;
    opens(&shop);
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    let weak = head(&shop);
    // Somebody else's run withdraws it between the gate and the turn.
    let event = shop.says(6, "mia", &format!("/approve {weak}"));
    let shop = Arc::new(shop);
    let other = Arc::downgrade(&shop);
    let withdraw = move || {
        if let Some(shop) = other.upgrade() {
            shop.change_record(6, |record| {
                if record["approved"].is_object() {
                    record["approved"]["withdrawn"] = json!(true);
                }
            });
        }
    };
    // The last look at the pull request before the turn is behind it: the next read of the ledger begins the turn.
    let fault = Fault::run("PUT", LEDGER, withdraw).nth(2);
    shop.world.cluster.inject(fault);
    let since = shop.now();
    let seen = shop.hears(&event).await;
    seen.ends(0, "approval-needed");
    idle(&shop, since);
    assert_eq!(shop.namespaces(), [""; 0]);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_that_was_lost_with_the_ledger_is_asked_for_again_and_what_runs_stays() {
    let shop = guarded().await;
    opens(&shop);
    let sha = head(&shop);
    approved(&shop).await;
    shop.corrupt("{");
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    shop.world.advance(QUARTER);
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    assert_eq!(shop.image(NAMESPACE, "web"), image_of(&sha));
    let comment = shop.comment(6);
    assert!(comment.contains("its approval is over"), "{comment}");
    assert!(comment.contains(&format!("/approve {sha}")), "{comment}");
    hears(&shop, "mia", "/deploy")
        .await
        .ends(0, "approval-needed");
    hears(&shop, "mia", &format!("/approve {sha}"))
        .await
        .ends(0, "deployed");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_fork_is_answered_and_what_runs_of_it_stays() {
    let shop = guarded().await;
    opens(&shop);
    let sha = head(&shop);
    approved(&shop).await;
    shop.world.github.delete_head_repository(SHOP, 6);
    for body in ["/deploy".to_owned(), format!("/approve {sha}")] {
        let seen = hears(&shop, "mia", &body).await;
        seen.ends(0, "fork-refused");
        let told = seen.annotations();
        let told: Vec<_> = told
            .iter()
            .filter(|one| one.contains("was deleted"))
            .collect();
        assert_eq!(told.len(), 1, "{told:#?}");
        for text in [
            "was deleted",
            "Preview ready",
            "http://pr-6.",
            "slot 1 of 3",
        ] {
            seen.says(text);
        }
    }
    for body in ["/check", "/diff"] {
        let seen = hears(&shop, "mia", body).await;
        seen.ends(0, "fork-refused");
        seen.says("Preview ready");
    }
    hears(&shop, "alice", "/pin").await.ends(0, "pinned");
    shop.world.advance(QUARTER);
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    assert_eq!(shop.image(NAMESPACE, "web"), image_of(&sha));
    shop.hears(&shop.closes(6)).await.ends(0, "removed");
    assert_eq!(shop.namespaces(), [""; 0]);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_approved_on_a_closed_or_merged_pull_request_or_one_of_our_own() {
    for (close, word) in [
        (
            github::Handle::close as fn(&github::Handle, &str, u64),
            "closed",
        ),
        (github::Handle::merge, "merged"),
    ] {
        let shop = guarded().await;
        opens(&shop);
        close(&shop.world.github, SHOP, 6);
        let seen = hears(&shop, "mia", &format!("/approve {}", head(&shop))).await;
        seen.ends(0, "pull-request-closed");
        seen.says(word);
        assert_eq!(shop.namespaces(), [""; 0]);
        shop.ends();
    }
    let shop = guarded().await;
    shop.opens(1);
    let sha = shop.world.github.head(SHOP, 1);
    let seen = shop
        .hears(&shop.says(1, "mia", &format!("/approve {sha}")))
        .await;
    seen.ends(0, "nothing-to-approve");
    seen.says("comes from no fork");
    assert_eq!(shop.namespaces(), [""; 0]);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn wherever_an_approval_dies_the_commit_runs_or_is_asked_for_and_no_other_one_ever_runs() {
    for site in ["github", "cluster"] {
        let mut ran = 0;
        for k in 1.. {
            let shop = guarded().await;
            opens(&shop);
            shop.hears(&shop.schedule()).await.ends(0, "swept");
            let sha = head(&shop);
            let event = shop.says(6, "mia", &format!("/approve {sha}"));
            let died = shop.run(&event).dies_at(site, k).await;
            shop.world.advance(QUARTER);
            shop.hears(&shop.schedule()).await.ends(0, "swept");
            shop.hears(&shop.schedule()).await.ends(0, "swept");
            let comment = shop.comment(6);
            let known = shop.record(6)["approved"]["sha"] == json!(sha);
            let expected = if known { image_of(&sha) } else { String::new() };
            assert_eq!(shop.image(NAMESPACE, "web"), expected, "{site} {k}");
            let word = if known {
                "Preview ready"
            } else {
                "Preview needs approval"
            };
            assert!(comment.contains(word), "{site} {k}: {comment}");
            ran += usize::from(known);
            // Whatever was left half done, the next push runs nothing.
            shop.pushes(6);
            let next = head(&shop);
            shop.world.advance(QUARTER);
            shop.hears(&shop.schedule()).await.ends(0, "swept");
            assert_eq!(shop.image(NAMESPACE, "web"), expected, "{site} {k}");
            let comment = shop.comment(6);
            assert!(
                comment.contains(&format!("/approve {next}")),
                "{site} {k}: {comment}"
            );
            shop.ends();
            if !died {
                break;
            }
        }
        assert!(ran > 3, "{site}: {ran}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_and_a_sweep_at_once_leave_the_commit_running() {
    for _ in 0..10 {
        let shop = guarded().await;
        opens(&shop);
        let approval = shop.says(6, "mia", &format!("/approve {}", head(&shop)));
        let schedule = shop.schedule();
        let (approved, swept) = tokio::join!(shop.hears(&approval), shop.hears(&schedule));
        approved.ends(0, "deployed");
        swept.ends(0, "swept");
        assert_eq!(shop.image(NAMESPACE, "web"), image_of(&head(&shop)));
        shop.hears(&shop.schedule()).await.ends(0, "swept");
        let comment = shop.comment(6);
        assert!(comment.contains("Preview ready"), "{comment}");
        assert_eq!(shop.record(6)["approved"]["withdrawn"], Value::Null);
        shop.ends();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_preview_of_a_fork_promises_nothing_of_a_push() {
    let shop = guarded().await;
    opens(&shop);
    approved(&shop).await;
    shop.unused_for(6, 8);
    for _ in 0..2 {
        shop.hears(&shop.schedule()).await.ends(0, "swept");
        shop.world.advance(DAY * 2);
    }
    assert_eq!(shop.namespaces(), [""; 0]);
    let comment = shop.comment(6);
    assert!(comment.contains("Preview expired"), "{comment}");
    assert!(!comment.contains("push"), "{comment}");
    // What was approved is so still, and comes back when somebody asks.
    hears(&shop, "alice", "/deploy").await.ends(0, "deployed");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_opens_a_fork_again_has_to_ask_again() {
    let shop = guarded().await;
    opens(&shop);
    approved(&shop).await;
    shop.hears(&shop.closes(6)).await.ends(0, "removed");
    shop.world.github.reopen(SHOP, 6);
    shop.world.advance(QUARTER);
    let since = shop.now();
    let swept = shop.hears(&shop.schedule()).await;
    asks(&shop, since, &swept, &head(&shop));
    assert_eq!(shop.namespaces(), [""; 0]);
    approved(&shop).await;
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_of_dependabot_is_no_fork_and_needs_no_approval() {
    let shop = guarded().await;
    let opened = shop.opens_as(
        6,
        github::NewPull {
            author: "dependabot[bot]".into(),
            ..github::NewPull::default()
        },
    );
    let bare = shop.run(&opened).input("kubeconfig", "").go().await;
    bare.ends(0, "no-credentials");
    shop.world.advance(QUARTER);
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    assert_eq!(shop.comment(6), "");
    hears(&shop, "mia", &format!("/approve {}", head(&shop)))
        .await
        .ends(0, "nothing-to-approve");
    hears(&shop, "alice", "/deploy").await.ends(0, "deployed");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sweep_asks_little_by_little_and_not_for_what_nobody_touches() {
    let shop = guarded().await;
    shop.opens_as(50, from_fork(&[]));
    shop.world.advance(DAY * 40);
    for pr in 10..=22 {
        shop.opens_as(pr, from_fork(&[]));
    }
    let told = || {
        (10..=50)
            .filter(|pr| !shop.comment(*pr).is_empty())
            .collect::<Vec<u64>>()
    };
    let off = shop.run(&shop.schedule()).input("auto-deploy", "false");
    off.go().await.ends(0, "swept");
    assert_eq!(told(), [0; 0]);
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    assert_eq!(told().len(), 10);
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    assert_eq!(told(), (10..=22).collect::<Vec<u64>>());
    let since = shop.now();
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    let edits = shop.requests("github", since);
    assert!(edits.iter().all(|one| one.method == "GET"), "{edits:#?}");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_may_not_write_leaves_the_word_to_the_sweep() {
    let shop = guarded().await;
    let opened = opens(&shop);
    let token = "of-a-fork";
    let github = &shop.world.github;
    github.add_token(token, "github-actions[bot]", github::Access::Read);
    let seen = shop.run(&opened).input("token", token).go().await;
    seen.ends(0, "approval-needed");
    assert!(seen.summary.contains("needs approval"), "{}", seen.summary);
    assert_eq!(shop.comment(6), "");
    let since = shop.now();
    let swept = shop.hears(&shop.schedule()).await;
    asks(&shop, since, &swept, &head(&shop));
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_steps_write_for_a_fork_is_never_applied() {
    let shop = guarded().await;
    opens(&shop);
    let event = shop.says(6, "mia", &format!("/approve {}", head(&shop)));
    let run = shop
        .run(&event)
        .input("manifests", "rendered/*.yaml")
        .workspace(".git/HEAD", &head(&shop))
        .workspace(
            "rendered/x.yaml",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n",
        );
    let seen = run.go().await;
    seen.ends(1, "bad-input");
    seen.says("the fork's own");
    assert_eq!(shop.namespaces(), [""; 0]);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approved_fork_opens_no_fence_for_itself() {
    let shop = guarded().await;
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: x}\nspec: {type: NodePort, ports: [{port: 80}]}\n";
    let templates = format!("{}templates: [deploy/*.yaml]\n", own_service());
    shop.commit(&[(CONFIGURATION, &templates), ("deploy/x.yaml", service)]);
    let open = format!("{templates}policy: {{allow: [node-port]}}\n");
    shop.opens_as(6, from_fork(&[(CONFIGURATION, &open)]));
    let seen = hears(&shop, "mia", &format!("/approve {}", head(&shop))).await;
    seen.ends(1, "policy-refused");
    seen.says("policy: {allow: [node-port]}");
    assert_eq!(shop.namespaces(), [""; 0]);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_may_become_another_commits_is_not_deployed_for_a_fork() {
    let shop = guarded().await;
    shop.commit(&[(
        CONFIGURATION,
        &ONE_SERVICE.replace("{short-sha}", "pr-{number}"),
    )]);
    shop.hears(&opens(&shop)).await;
    let seen = hears(&shop, "mia", &format!("/approve {}", head(&shop))).await;
    seen.ends(1, "bad-configuration");
    seen.says("may become that of another commit");
    assert_eq!(shop.namespaces(), [""; 0]);
}

/// A waking runs nothing that nobody has approved, so it needs no approval of what was pushed since.
#[tokio::test(flavor = "multi_thread")]
async fn who_waits_to_wake_up_does_so_beside_a_commit_that_needs_approval() {
    let shop = guarded().await;
    let one = async |event: Event| shop.run(&event).input("max-previews", "1").go().await;
    let opened = opens(&shop);
    drop(opened);
    let first = head(&shop);
    one(shop.says(6, "mia", &format!("/approve {first}")))
        .await
        .ends(0, "deployed");
    one(shop.says(6, "alice", "/sleep")).await.ends(0, "slept");
    one(shop.opens(7)).await.ends(0, "deployed");
    shop.pushes(6);
    one(shop.says(6, "alice", "/wake")).await.ends(0, "queued");
    shop.world.advance(QUARTER);
    one(shop.schedule()).await.ends(0, "swept");
    assert_eq!((shop.holders(), shop.line()), (vec![7], vec![6]));
    one(shop.closes(7)).await.ends(0, "removed");
    assert_eq!((shop.holders(), shop.line()), (vec![6], vec![]));
    assert_eq!(shop.image(NAMESPACE, "web"), image_of(&first));
    let comment = shop.comment(6);
    assert!(comment.contains("stays live at"), "{comment}");
    assert!(
        comment.contains(&format!("/approve {}", head(&shop))),
        "{comment}"
    );
    shop.ends();
}
