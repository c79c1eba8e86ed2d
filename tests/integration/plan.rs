//! Deciding without doing: what a plan says, what it asks, and what the run makes of it.

use crate::support::{Event, SHOP, Seen, Shop};
use preview_action::simulate::github;
use serde_json::json;

/// A step without any secret but the workflow's own token.
async fn plan(shop: &Shop, event: &Event, inputs: &[(&str, &str)]) -> Seen {
    let run = shop
        .run(event)
        .input("kubeconfig", "")
        .input("mode", "plan");
    run.inputs(inputs).go().await
}

#[track_caller]
fn decides(seen: &Seen, decision: &str, reason: &str) {
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
        assert_eq!(reactions(&shop, &event), ["eyes", "-1"], "{login} {body}");
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
            "not-the-head",
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
    for (inputs, told) in [(&[][..], false), (&off[..], true)] {
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
