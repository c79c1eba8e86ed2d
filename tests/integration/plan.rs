//! Deciding without doing: what a plan says, what it asks, and what the run makes of it.

use crate::support::{Event, SHOP, Seen, Shop};
use preview_action::simulate::github;
use serde_json::json;
use std::time::Duration;

/// A step without any secret but the workflow's own token.
pub(crate) async fn plan(shop: &Shop, event: &Event, inputs: &[(&str, &str)]) -> Seen {
    let run = shop
        .run(event)
        .input("kubeconfig", "")
        .input("mode", "plan");
    run.inputs(inputs).go().await
}

#[track_caller]
pub(crate) fn decides(seen: &Seen, decision: &str, reason: &str) {
    assert_eq!(
        (
            seen.exit,
            seen.output("decision"),
            seen.output("reason-code")
        ),
        (0, decision, reason),
        "{seen:#?}"
    );
    let result: serde_json::Value = serde_json::from_str(seen.output("result")).unwrap();
    assert_eq!(result["decision"], decision);
}

/// Checks that nothing was asked of the cluster and nothing was written on GitHub but reactions.
#[track_caller]
fn did_nothing(shop: &Shop, since: usize) {
    assert_eq!(shop.cluster_requests(since).len(), 0);
    let wrote: Vec<String> = shop
        .requests("github", since)
        .iter()
        .filter(|one| one.method != "GET" && !one.path.ends_with("/reactions"))
        .map(|one| format!("{} {}", one.method, one.path))
        .collect();
    assert_eq!(wrote, [""; 0]);
}

fn reactions(shop: &Shop, event: &Event) -> Vec<String> {
    let id = event.payload["comment"]["id"].as_u64().unwrap();
    let all = shop.world.github.comments(SHOP, event.pr);
    let commented = all.into_iter().find(|one| one.id == id).unwrap();
    commented.reactions.into_iter().map(|one| one.1).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_has_its_decision_and_nothing_is_done() {
    let shop = Shop::open().await;
    let opened = shop.opens(1);
    let since = shop.now();
    let head = shop.world.github.head(SHOP, 1);
    let off = [("auto-deploy", "false")];
    for (event, inputs, decision, reason) in [
        (opened.clone(), &[][..], "deploy", "planned"),
        (opened.clone(), &off[..], "announce", "planned"),
        (
            opened.clone(),
            &[("labels", "preview")][..],
            "skip",
            "label-missing",
        ),
        (
            opened.clone(),
            &[("paths", "src/**")][..],
            "skip",
            "paths-skipped",
        ),
        (
            shop.pull_event(1, "closed"),
            &[][..],
            "ignore",
            "event-ignored",
        ),
        (
            shop.pull_event(1, "assigned"),
            &[][..],
            "ignore",
            "event-ignored",
        ),
        (shop.schedule(), &[][..], "sweep", "planned"),
        (shop.dispatches(1, "deploy"), &[][..], "deploy", "planned"),
        (
            shop.says(1, "alice", "/deploy"),
            &[("labels", "preview")][..],
            "deploy",
            "planned",
        ),
        (
            shop.says(1, "alice", "/undeploy"),
            &[][..],
            "remove",
            "planned",
        ),
        (shop.says(1, "alice", "/wake"), &[][..], "wake", "planned"),
        (
            shop.says(1, "alice", "/status"),
            &[][..],
            "status",
            "planned",
        ),
        (
            shop.says(1, "alice", "/deply"),
            &[][..],
            "ignore",
            "not-a-command",
        ),
        (
            shop.says(1, "alice", "well done"),
            &[][..],
            "ignore",
            "not-a-command",
        ),
        (
            shop.says(1, "alice", "/approve 1234567"),
            &[][..],
            "ignore",
            "not-a-command",
        ),
    ] {
        let seen = plan(&shop, &event, inputs).await;
        println!("{}: {decision}", event.name);
        decides(&seen, decision, reason);
        if event.name != "schedule" {
            assert_eq!(seen.output("pr"), "1");
        }
        if !["ignore", "sweep"].contains(&decision) {
            assert_eq!(seen.output("sha"), head);
        }
        did_nothing(&shop, since);
    }
    shop.closes(1);
    let closed = shop.pull_event(1, "closed");
    decides(&plan(&shop, &closed, &[]).await, "remove", "planned");
    let command = shop.says(1, "alice", "/deploy");
    decides(
        &plan(&shop, &command, &[]).await,
        "ignore",
        "pull-request-closed",
    );
    did_nothing(&shop, since);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_command_plans_nothing() {
    let shop = Shop::open().await;
    shop.opens(1);
    let since = shop.now();
    for (login, body) in [
        ("mallory", "/deploy"),
        ("nobody", "/deploy"),
        ("bob", "/deploy --take #2"),
        ("bob", "/approve 4be91f6aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
    ] {
        let event = shop.says(1, login, body);
        decides(
            &plan(&shop, &event, &[]).await,
            "ignore",
            "permission-denied",
        );
        // Whom GitHub calls nobody's is not told that it was read.
        let wanted: &[&str] = if login == "nobody" {
            &["-1"]
        } else {
            &["eyes", "-1"]
        };
        assert_eq!(reactions(&shop, &event), wanted, "{login} {body}");
    }
    let event = shop.says(1, "alice", "/deploy");
    plan(&shop, &event, &[]).await;
    assert_eq!(reactions(&shop, &event), ["eyes"], "the run tells the rest");
    did_nothing(&shop, since);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forks_commit_is_never_a_deploy() {
    let shop = Shop::open().await;
    shop.world
        .github
        .set_permission(SHOP, "alice", "admin", "admin");
    let fork = github::NewPull {
        author: "mallory".into(),
        fork: Some("mallory/shop".into()),
        ..github::NewPull::default()
    };
    let opened = shop.opens_as(1, fork);
    let head = shop.world.github.head(SHOP, 1);
    let since = shop.now();
    for (event, decision, reason) in [
        (opened, "ignore", "approval-needed"),
        (
            shop.says(1, "alice", "/deploy"),
            "ignore",
            "approval-needed",
        ),
        (
            shop.says(1, "alice", "/deploy --take #2"),
            "ignore",
            "approval-needed",
        ),
        (
            shop.says(1, "alice", &format!("/approve {head}")),
            "approve",
            "planned",
        ),
        (
            shop.says(1, "alice", &format!("/approve {}", "0".repeat(40))),
            "ignore",
            "superseded",
        ),
    ] {
        let seen = plan(&shop, &event, &[("approval-gate", "false")]).await;
        decides(&seen, decision, reason);
    }
    did_nothing(&shop, since);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_run_deploys_exactly_what_was_planned() {
    let shop = Shop::open().await;
    shop.opens(1);
    for command in ["/deploy", "/build-and-deploy", "/build-and-deploy\nplease"] {
        let alias = [("deploy-command", "/build-and-deploy")];
        let event = shop.says(1, "alice", command);
        let planned = plan(&shop, &event, &alias).await;
        decides(&planned, "deploy", "planned");
        let sha = planned.output("sha").to_owned();
        let run = shop
            .run(&event)
            .inputs(&alias)
            .input("sha", &sha)
            .go()
            .await;
        assert_eq!((run.exit, run.output("sha")), (0, sha.as_str()), "{run:#?}");
        assert_eq!(run.output("decision"), "deploy");
        let image = shop.image("pr-shop-1", "web");
        assert_eq!(image, format!("registry.example/web:{}", &sha[..7]));
        shop.pushes(1);
    }
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_word_itself_is_the_other_word() {
    let shop = Shop::open().await;
    shop.opens(1);
    let alias = [("deploy-command", "/build-and-deploy")];
    for body in [
        "/build-and-deployment",
        "/build-and-deploy-all",
        "/build-and-deploy!",
        " /build-and-deploy",
        "> /build-and-deploy",
        "please /build-and-deploy",
    ] {
        let event = shop.says(1, "alice", body);
        decides(
            &plan(&shop, &event, &alias).await,
            "ignore",
            "not-a-command",
        );
    }
    let event = shop.says(1, "alice", "/build-and-deploy");
    decides(&plan(&shop, &event, &[]).await, "ignore", "not-a-command");
    let event = shop.says(1, "mallory", "/build-and-deploy");
    decides(
        &plan(&shop, &event, &alias).await,
        "ignore",
        "permission-denied",
    );
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_between_plan_and_run_deploys_nothing() {
    let shop = Shop::open().await;
    shop.opens(1);
    let off = [("auto-deploy", "false")];
    let filtered = [("labels", "wanted")];
    for (inputs, told) in [(&[][..], false), (&off[..], true), (&filtered[..], true)] {
        let event = shop.says(1, "alice", "/deploy");
        let planned = plan(&shop, &event, inputs).await.output("sha").to_owned();
        shop.pushes(1);
        let head = shop.world.github.head(SHOP, 1);
        let run = shop
            .run(&event)
            .inputs(inputs)
            .input("sha", &planned)
            .go()
            .await;
        run.ends(0, "superseded");
        assert_eq!(run.output("pr"), "1");
        assert!(!run.output("sha").is_empty());
        assert_eq!(shop.namespaces(), [""; 0]);
        assert!(run.log.contains(&head[..7]), "{}", run.log);
        assert_eq!(
            run.comment().contains("nothing was deployed"),
            told,
            "{}",
            run.comment()
        );
    }
    // Nor does a commit that was planned for another event.
    let pushed = shop.pushes(1);
    let run = shop.run(&pushed).input("sha", &"a".repeat(40)).go().await;
    run.ends(1, "bad-input");
    assert_eq!(shop.namespaces(), [""; 0]);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_says_that_the_commit_waits_for_approval() {
    let shop = Shop::open().await;
    let gate = [("approval-gate", "true")];
    let opened = shop.opens(1);
    let first = shop.world.github.head(SHOP, 1);
    let seen = plan(&shop, &opened, &gate).await;
    decides(&seen, "deploy", "planned");
    seen.one_comment();
    seen.says("Preview pending");
    seen.says("waits for approval");
    seen.says(&first[..7]);
    assert_eq!(shop.cluster_requests(0).len(), 0);
    // Approved: exactly that commit.
    let run = shop
        .run(&opened)
        .input("sha", seen.output("sha"))
        .go()
        .await;
    run.ends(0, "deployed");
    assert!(
        !run.comment().contains("waits for approval"),
        "{}",
        run.comment()
    );
    let live = shop.comment(1);
    // A live preview's comment keeps its words.
    let pushed = shop.pushes(1);
    let second = shop.world.github.head(SHOP, 1);
    let seen = plan(&shop, &pushed, &gate).await;
    seen.one_comment();
    seen.says("Preview ready");
    seen.says(&first[..7]);
    seen.says(&second[..7]);
    let rest = |body: &str| -> Vec<String> {
        let lines = body
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with("> ⏳"));
        lines.map(str::to_owned).collect()
    };
    assert_eq!(rest(seen.comment()), rest(&live));
    // Approved after another push: superseded, and the comment speaks of the newer one.
    let newer = shop.pushes(1);
    let third = shop.world.github.head(SHOP, 1);
    plan(&shop, &newer, &gate).await.says(&third[..7]);
    let late = shop.run(&pushed).input("sha", &second).go().await;
    late.ends(0, "superseded");
    assert_eq!(late.output("sha"), second);
    late.says(&third[..7]);
    assert_eq!(late.comment().matches("> ⏳").count(), 1);
    assert_eq!(
        shop.image("pr-shop-1", "web"),
        format!("registry.example/web:{}", &first[..7])
    );
    // What is not deployed waits for nobody.
    for (event, inputs) in [
        (shop.says(1, "alice", "/status"), &gate[..]),
        (
            shop.pushes(1),
            &[("approval-gate", "true"), ("labels", "preview")][..],
        ),
        (shop.says(1, "mallory", "/deploy"), &gate[..]),
    ] {
        let before = shop.comment(1);
        plan(&shop, &event, inputs).await;
        assert_eq!(shop.comment(1), before);
    }
    shop.ends();
}

/// Whoever says no to an environment ends the job before it has a word of its own: the call must not stand there for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_for_approval_is_taken_back_once_its_job_has_ended() {
    let shop = Shop::open().await;
    let gate = [("approval-gate", "true")];
    let opened = shop.opens(1);
    let first = shop.world.github.head(SHOP, 1);
    plan(&shop, &opened, &gate).await.says("waits for approval");
    let ended = [("approval-gate", "ended"), ("sha", first.as_str())];
    let seen = plan(&shop, &opened, &ended).await;
    decides(&seen, "ignore", "planned");
    seen.one_comment();
    seen.says("was **not** deployed");
    seen.says("nobody has approved it");
    assert!(!seen.comment().contains("⏳") && !seen.comment().contains("Preview pending"));
    let told = shop.comment(1);
    plan(&shop, &opened, &ended).await;
    assert_eq!(shop.comment(1), told, "once");

    // What is live stays so, and a newer commit that waits is another story.
    let run = shop.run(&opened).input("sha", &first).go().await;
    run.ends(0, "deployed");
    let pushed = shop.pushes(1);
    let second = shop.world.github.head(SHOP, 1);
    plan(&shop, &pushed, &gate).await.says("waits for approval");
    plan(&shop, &opened, &ended).await;
    assert!(shop.comment(1).contains("waits for approval"));
    let ended = [("approval-gate", "ended"), ("sha", second.as_str())];
    let seen = plan(&shop, &pushed, &ended).await;
    seen.says("Preview ready");
    seen.says("nobody has approved it");
    assert!(!seen.comment().contains("waits for approval"));
    let without = plan(&shop, &pushed, &ended[..1]).await;
    without.ends(1, "bad-input");
    shop.ends();
}

/// The comment without the lines that a plan adds.
fn at_rest(body: &str) -> Vec<String> {
    let added = |line: &&str| ["> ⏳", "> ⏭️"].iter().any(|begin| line.starts_with(begin));
    let lines = body.lines().filter(|line| !line.is_empty() && !added(line));
    lines.map(str::to_owned).collect()
}

/// Plans, is told that the commit waits, and takes that back: all else that the comment says stays.
async fn calls_and_takes_back(shop: &Shop, event: &Event, decision: &str) {
    let before = at_rest(&shop.comment(1));
    let seen = plan(shop, event, &[("approval-gate", "true")]).await;
    decides(&seen, decision, "planned");
    seen.one_comment();
    seen.says("waits for approval");
    assert_eq!(at_rest(seen.comment()), before);
    let ended = [("approval-gate", "ended"), ("sha", seen.output("sha"))];
    let seen = plan(shop, event, &ended).await;
    seen.one_comment();
    seen.says("nobody has approved it");
    assert!(!seen.comment().contains("waits for approval"));
    assert_eq!(at_rest(seen.comment()), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_call_for_an_approval_stands_beside_every_word() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    shop.hears(&shop.says(1, "alice", "/sleep"))
        .await
        .ends(0, "slept");
    calls_and_takes_back(&shop, &shop.says(1, "alice", "/wake"), "wake").await;
    shop.hears(&shop.says(1, "alice", "/undeploy"))
        .await
        .ends(0, "removed");
    assert!(shop.comment(1).contains("everything in it is gone"));
    calls_and_takes_back(&shop, &shop.says(1, "alice", "/deploy"), "deploy").await;
    calls_and_takes_back(&shop, &shop.pushes(1), "deploy").await;
    let seen = shop.hears(&shop.says(1, "alice", "/deploy")).await;
    seen.ends(0, "deployed");
    shop.hears(&shop.closes(1)).await.ends(0, "removed");
    shop.world.github.reopen(SHOP, 1);
    calls_and_takes_back(&shop, &shop.pull_event(1, "reopened"), "deploy").await;
    shop.ends();
}

/// Whoever writes the comment meanwhile takes the call along; the run that was let through ends it.
#[tokio::test(flavor = "multi_thread")]
async fn an_overtaking_word_takes_the_call_for_an_approval_along() {
    let shop = Shop::open().await;
    let gate = [("approval-gate", "true")];
    shop.deployed(1).await;
    let first = shop.pushes(1);
    let planned = plan(&shop, &first, &gate).await.output("sha").to_owned();
    // While that one is deployed, another commit begins to wait.
    shop.world.cluster.hold();
    let from = shop.now();
    let meanwhile = async {
        let applied = move |log: &[preview_action::simulate::Record]| {
            let all = log.iter().skip(from);
            all.clone()
                .any(|one| one.method == "PATCH" && one.path.ends_with("/ingresses/web"))
        };
        shop.world.log.wait_until(applied).await;
        let pushed = shop.pushes(1);
        let seen = plan(&shop, &pushed, &gate).await;
        seen.says("waits for approval");
        shop.world.cluster.release();
        pushed
    };
    let run = shop.run(&first).input("sha", &planned);
    let (_, second) = tokio::join!(run.go(), meanwhile);
    let head = shop.world.github.head(SHOP, 1);
    let waits = |body: &str| {
        let mut lines = body.lines().filter(|line| line.starts_with("> ⏳"));
        lines.next().is_some_and(|line| line.contains(&head)) && lines.next().is_none()
    };
    assert!(waits(&shop.comment(1)), "{}", shop.comment(1));
    assert!(!shop.comment(1).contains("Preview deploying"));
    for (command, reason) in [
        ("/status", "status-shown"),
        ("/sleep", "slept"),
        ("/undeploy", "removed"),
    ] {
        shop.hears(&shop.says(1, "alice", command))
            .await
            .ends(0, reason);
        assert!(waits(&shop.comment(1)), "{command}: {}", shop.comment(1));
    }
    // Let through, it finds that the preview is to stay away, and calls for nothing any more.
    let proof = at_rest(&shop.comment(1));
    let run = shop.run(&second).input("sha", &head).go().await;
    run.ends(0, "removed-by-command");
    assert!(!run.comment().contains("⏳"), "{}", run.comment());
    assert_eq!(at_rest(run.comment()), proof);
    // Who closes the pull request leaves nothing to approve.
    let command = shop.says(1, "alice", "/deploy");
    plan(&shop, &command, &gate)
        .await
        .says("waits for approval");
    shop.hears(&shop.says(1, "alice", "/deploy"))
        .await
        .ends(0, "deployed");
    assert!(!shop.comment(1).contains("⏳"), "it is deployed");
    plan(&shop, &shop.pushes(1), &gate)
        .await
        .says("waits for approval");
    shop.hears(&shop.closes(1)).await.ends(0, "removed");
    assert!(!shop.comment(1).contains("⏳"), "{}", shop.comment(1));
    shop.ends();
}

/// Also who was planned by nobody takes a call along that comes while it is at work.
#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_and_a_deploy_by_the_schedule_take_the_call_for_an_approval_along() {
    for rolls in [true, false] {
        let shop = Shop::open().await;
        shop.deployed(1).await;
        let pushed = shop.pushes(1);
        let event = match rolls {
            true => {
                shop.hears(&pushed).await.ends(0, "deployed");
                shop.says(1, "alice", "/rollback")
            }
            false => {
                shop.world.advance(Duration::from_secs(3600));
                shop.schedule()
            }
        };
        shop.world.cluster.hold();
        let from = shop.now();
        let meanwhile = async {
            let applied = move |log: &[preview_action::simulate::Record]| {
                let mut all = log.iter().skip(from);
                all.any(|one| one.method == "PATCH" && one.path.contains("/deployments/web"))
            };
            shop.world.log.wait_until(applied).await;
            let pushed = shop.pushes(1);
            let seen = plan(&shop, &pushed, &[("approval-gate", "true")]).await;
            seen.says("waits for approval");
            shop.world.cluster.release();
        };
        let (seen, ()) = tokio::join!(shop.hears(&event), meanwhile);
        let head = shop.world.github.head(SHOP, 1);
        let told = shop.comment(1);
        let mut lines = told.lines().filter(|line| line.starts_with("> ⏳"));
        let waits = lines.next().is_some_and(|line| line.contains(&head));
        assert!(
            waits && lines.next().is_none(),
            "{rolls}: {told}\n{seen:#?}"
        );
        assert!(!told.contains("Preview deploying"), "{told}");
        shop.ends();
    }
}

/// A plan has no turn: whatever a run writes between its look and its word must not be lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_plans_line_costs_nobodys_words() {
    let shop = std::sync::Arc::new(Shop::open().await);
    shop.deployed(1).await;
    let pushed = shop.pushes(1);
    let newer = shop.comment(1).replace("Preview ready", "Preview failed");
    // A run writes right behind the plan.
    let (world, id) = (shop.clone(), shop.status_comments(1)[0].id);
    let body = newer.clone();
    let path = "/repos/acme/shop/issues/1/comments";
    let overwrites = preview_action::simulate::Fault::run("GET", path, move || {
        world.world.github.edit_comment(SHOP, id, &body);
    });
    shop.world.github.inject(overwrites.nth(2));
    let seen = plan(&shop, &pushed, &[("approval-gate", "true")]).await;
    seen.says("Preview failed");
    seen.says("waits for approval");
    assert_eq!(at_rest(seen.comment()), at_rest(&newer));

    // A run writes while GitHub takes nothing from the plan.
    let newest = newer.replace("Preview failed", "Preview removed");
    let path = "/repos/acme/shop/issues/comments/*";
    let busy = preview_action::simulate::Fault::answer("PATCH", path, 502, json!({}));
    shop.world.github.inject(busy);
    let go = std::sync::Arc::new(tokio::sync::Notify::new());
    let path = "/repos/acme/shop/issues/1/comments";
    let held = preview_action::simulate::Action::Hold(go.clone());
    let held = preview_action::simulate::Fault::on("GET", path, held);
    shop.world.github.inject(held.nth(2));
    let (pushed, from) = (shop.pushes(1), shop.now());
    let writes = async {
        let tried = move |log: &[preview_action::simulate::Record]| {
            log.iter().skip(from).any(|one| one.method == "PATCH")
        };
        shop.world.log.wait_until(tried).await;
        shop.world.github.edit_comment(SHOP, id, &newest);
        go.notify_one();
    };
    let gate = [("approval-gate", "true")];
    let (seen, ()) = tokio::join!(plan(&shop, &pushed, &gate), writes);
    seen.says("Preview removed");
    seen.says("waits for approval");
    assert_eq!(at_rest(seen.comment()), at_rest(&newest));
    shop.ends();
}

/// Many comments take several requests to read, and ours is on the first page.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_while_a_plan_reads_all_comments_is_not_written_over() {
    let shop = std::sync::Arc::new(Shop::open().await);
    shop.deployed(1).await;
    for n in 0..120 {
        shop.world
            .github
            .comment(SHOP, 1, "bob", &format!("remark {n}"));
    }
    let pushed = shop.pushes(1);
    let newer = shop.comment(1).replace("Preview ready", "Preview failed");
    let (world, id) = (shop.clone(), shop.status_comments(1)[0].id);
    let body = newer.clone();
    let overwrites = preview_action::simulate::Fault::run("GET", "/repositories/**", move || {
        world.world.github.edit_comment(SHOP, id, &body);
    });
    shop.world.github.inject(overwrites);
    let seen = plan(&shop, &pushed, &[("approval-gate", "true")]).await;
    seen.says("Preview failed");
    seen.says("waits for approval");
    assert_eq!(at_rest(seen.comment()), at_rest(&newer));
    shop.ends();
}

/// Where no run comes after a plan that decides to do nothing, the plan itself has the last word.
#[tokio::test(flavor = "multi_thread")]
async fn what_comes_to_nothing_is_answered_by_the_plan_before_an_approval() {
    let shop = Shop::open().await;
    let gate = [("approval-gate", "true")];
    shop.world
        .github
        .set_permission(SHOP, "alice", "admin", "admin");
    shop.deployed(1).await;
    let live = shop.comment(1);
    let without_answer = |body: &str| -> String {
        let lines = body.lines().filter(|line| !line.starts_with("> 💬"));
        lines
            .collect::<Vec<_>>()
            .join("\n")
            .replace("\n\n\n", "\n\n")
    };
    let head = shop.world.github.head(SHOP, 1);
    for (body, reason, told) in [
        ("/deplyo".into(), "not-a-command", "did you mean `/deploy`?"),
        ("/extend soon".into(), "not-a-command", "`/extend` takes"),
        (
            format!("/deploy {}", "0".repeat(40)),
            "commit-unknown",
            "is no commit of pull request",
        ),
        (
            format!("/approve {head}"),
            "nothing-to-approve",
            "comes from no fork",
        ),
    ] {
        let event = shop.says(1, "alice", &body);
        let since = shop.now();
        let seen = plan(&shop, &event, &gate).await;
        decides(&seen, "ignore", reason);
        assert_eq!(reactions(&shop, &event), ["eyes", "confused"], "{body}");
        seen.one_comment();
        seen.says(told);
        assert_eq!(
            seen.comment().matches("> 💬").count(),
            1,
            "{}",
            seen.comment()
        );
        assert_eq!(without_answer(seen.comment()), live.trim_end());
        assert_eq!(shop.cluster_requests(since).len(), 0);
    }
    // Strangers, and what is no command, get nothing of it.
    let told = shop.comment(1);
    for (who, body, wanted) in [
        ("mallory", "/deplyo", &["eyes", "-1"][..]),
        ("mallory", "/deploy", &["eyes", "-1"]),
        ("alice", "well done", &[]),
    ] {
        let event = shop.says(1, who, body);
        plan(&shop, &event, &gate).await;
        assert_eq!(reactions(&shop, &event), wanted, "{who}: {body}");
        assert_eq!(shop.comment(1), told);
    }
    // Without an approval the run that comes after it answers, and only that.
    let event = shop.says(1, "alice", "/deplyo");
    plan(&shop, &event, &[]).await;
    assert_eq!(shop.comment(1), told);
    assert_eq!(reactions(&shop, &event), ["eyes"]);
    shop.hears(&event).await.says("did you mean `/deploy`?");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_begins_the_comment_where_its_answer_is_the_first_word() {
    let shop = Shop::open().await;
    let gate = [("approval-gate", "true")];
    shop.opens(1);
    let seen = plan(&shop, &shop.says(1, "alice", "/deplyo"), &gate).await;
    seen.one_comment();
    seen.says("Preview not deployed");
    seen.says("did you mean `/deploy`?");
    shop.opens(2);
    shop.world.github.merge(SHOP, 2);
    let event = shop.says(2, "alice", "/wake");
    let seen = plan(&shop, &event, &gate).await;
    decides(&seen, "ignore", "pull-request-closed");
    seen.one_comment();
    seen.says("is merged");
    assert_eq!(reactions(&shop, &event), ["eyes", "confused"]);
    let fork = github::NewPull {
        author: "mallory".into(),
        fork: Some("mallory/shop".into()),
        ..github::NewPull::default()
    };
    let opened = shop.opens_as(3, fork);
    let seen = plan(&shop, &opened, &gate).await;
    decides(&seen, "ignore", "approval-needed");
    assert_eq!(shop.status_comments(3).len(), 0, "the schedule tells of it");
    let head = shop.world.github.head(SHOP, 3);
    for _ in 0..2 {
        let event = shop.says(3, "alice", "/deploy");
        let seen = plan(&shop, &event, &gate).await;
        decides(&seen, "ignore", "approval-needed");
        seen.one_comment();
        seen.says("Preview needs approval");
        seen.says(&format!("/approve {head}"));
        assert_eq!(reactions(&shop, &event), ["eyes", "confused"]);
    }
    // What was removed keeps its proof.
    shop.deployed(4).await;
    shop.hears(&shop.closes(4)).await.ends(0, "removed");
    let proof = shop.comment(4);
    let event = shop.says(4, "alice", "/deploy");
    plan(&shop, &event, &gate).await;
    assert_eq!(shop.comment(4), proof);
    assert_eq!(reactions(&shop, &event), ["eyes", "confused"]);
    // Without the right to write, a notice says it.
    let path = "/repos/acme/shop/issues/comments/*";
    let refused = json!({"message": "Resource not accessible by integration"});
    let fault = preview_action::simulate::Fault::answer("PATCH", path, 403, refused);
    shop.world.github.inject(fault.always());
    let seen = plan(&shop, &shop.says(1, "alice", "/deplyo"), &gate).await;
    decides(&seen, "ignore", "not-a-command");
    assert!(
        seen.summary
            .contains("the comment does not say why nothing is done"),
        "{}",
        seen.summary
    );
    shop.ends();
}

/// Nobody comes after a plan that fails.
#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_fails_says_so_under_the_command() {
    let shop = Shop::open().await;
    shop.opens(1);
    let path = "/repos/acme/shop/pulls/*";
    let fault = preview_action::simulate::Fault::answer("GET", path, 403, json!({"message": "no"}));
    shop.world.github.inject(fault.always());
    let event = shop.says(1, "alice", "/deploy");
    let seen = plan(&shop, &event, &[]).await;
    assert_eq!(seen.exit, 3, "{seen:#?}");
    assert_eq!(reactions(&shop, &event), ["eyes", "confused"]);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gate_that_cannot_be_told_of_changes_no_decision() {
    let shop = Shop::open().await;
    let opened = shop.opens(1);
    let path = "/repos/acme/shop/issues/*/comments";
    let refused = json!({"message": "Resource not accessible by integration"});
    let fault = preview_action::simulate::Fault::answer("POST", path, 403, refused);
    shop.world.github.inject(fault.always());
    let seen = plan(&shop, &opened, &[("approval-gate", "true")]).await;
    decides(&seen, "deploy", "planned");
    assert!(
        seen.summary.contains("waits for approval"),
        "{}",
        seen.summary
    );
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_or_failing_plan_decides_nothing() {
    let shop = Shop::open().await;
    let opened = shop.opens(1);
    let seen = plan(&shop, &opened, &[("token", "")]).await;
    assert_eq!(
        (seen.exit, seen.output("decision")),
        (1, "ignore"),
        "{seen:#?}"
    );
    let stop = tokio_util::sync::CancellationToken::new();
    stop.cancel();
    let run = shop
        .run(&opened)
        .input("mode", "plan")
        .stopping(&stop)
        .go()
        .await;
    assert_eq!(
        (run.exit, run.output("decision")),
        (130, "ignore"),
        "{run:#?}"
    );
    let path = "/repos/acme/shop/pulls/*";
    let fault = preview_action::simulate::Fault::answer("GET", path, 403, json!({"message": "no"}));
    shop.world.github.inject(fault.always());
    let seen = plan(&shop, &opened, &[]).await;
    assert_eq!(
        (seen.exit, seen.output("decision")),
        (3, "ignore"),
        "{seen:#?}"
    );
    assert_eq!(seen.output("pr"), "1", "what is known is said");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_the_jobs_own_and_an_approval_is_given_in_the_run() {
    let shop = Shop::open().await;
    let runs = "https://github.example/acme/shop/actions/runs";
    let opened = shop.opens(1);
    let job = ("job", "51725241954");
    let seen = shop.run(&opened).inputs(&[job]).go().await;
    seen.ends(0, "deployed");
    seen.says(&format!("[run log]({runs}/1/job/51725241954)"));
    let pushed = shop.pushes(1);
    let seen = plan(&shop, &pushed, &[job, ("approval-gate", "true")]).await;
    decides(&seen, "deploy", "planned");
    seen.says(&format!("approve does so in the [run log]({runs}/2)"));
    // What a server that knows no such number hands over, and what one may hand over some day.
    for (job, run) in [("", 3), ("5.1725241954E+10", 4)] {
        let seen = shop.run(&shop.pushes(1)).input("job", job).go().await;
        seen.ends(0, "deployed");
        seen.says(&format!("[run log]({runs}/{run})"));
    }
    shop.ends();
}
