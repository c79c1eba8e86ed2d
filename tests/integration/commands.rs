//! Who may ask for what, and what everybody else's words do: nothing.

use crate::support::{CONFIGURATION, Event, SHOP, Shop};
use preview_action::simulate::{Fault, github};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn the_four_commands_do_what_they_say() {
    let shop = Shop::open().await;
    let opened = shop.opens(1);
    let announced = shop.run(&opened).input("auto-deploy", "false").go().await;
    announced.ends(0, "auto-deploy-off");
    announced.says("/deploy");
    assert_eq!(shop.namespaces().len(), 0);
    let hears = async |body: &str| shop.hears(&shop.says(1, "bob", body)).await;
    hears("/status").await.ends(0, "status-shown");
    hears("/help").await.ends(0, "help-shown");
    let deployed = hears("/deploy").await;
    deployed.ends(0, "deployed");
    assert_eq!(deployed.output("sha"), shop.world.github.head(SHOP, 1));
    let status = hears("/status").await;
    status.ends(0, "status-shown");
    assert_eq!(status.output("state"), "ready");
    let removed = hears("/undeploy").await;
    removed.ends(0, "removed");
    removed.says("bob");
    assert_eq!(shop.namespaces().len(), 0);
    // A push does not undo what somebody did on purpose; a command does.
    shop.hears(&shop.pushes(1))
        .await
        .ends(0, "removed-by-command");
    hears("/deploy").await.ends(0, "deployed");
    shop.hears(&shop.pushes(1)).await.ends(0, "deployed");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_looks_like_a_command_does_nothing() {
    let shop = Shop::open().await;
    shop.opens(1);
    for body in [
        "/deploy!",
        "/Deploy everything",
        "/ping",
        "please /deploy",
        "> /deploy",
        "`/deploy`",
        "```\n/deploy\n```",
        "looks good\n/deploy",
        "/ deploy",
        "deploy",
        "",
        "\u{200b}/deploy",
        "/deploy; rm -rf /",
        "::set-output name=x::y",
    ] {
        let seen = shop.hears(&shop.says(1, "alice", body)).await;
        assert_eq!(
            (
                seen.exit,
                seen.output("reason-code"),
                seen.output("decision")
            ),
            (0, "not-a-command", "ignore"),
            "{body:?}: {seen:#?}"
        );
    }
    assert_eq!(shop.cluster_requests(0).len(), 0);
    assert_eq!(
        shop.requests("github", 0).len(),
        0,
        "nobody is asked about mere words"
    );
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_cannot_be_understood_is_answered_and_changes_nothing() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    for (body, said) in [
        ("/deply", "did you mean"),
        ("/deploy now please", "one full commit id"),
        ("/extend soon", "from 5m to 90d"),
    ] {
        let before = shop.holders();
        let seen = shop.hears(&shop.says(1, "alice", body)).await;
        seen.ends(0, "not-a-command");
        assert!(seen.comment().contains(said), "{}", seen.comment());
        assert!(
            seen.comment().contains("Preview ready"),
            "{}",
            seen.comment()
        );
        seen.one_comment();
        assert_eq!(shop.holders(), before);
    }
    // A stranger learns nothing and makes us write nothing.
    let seen = shop.hears(&shop.says(1, "mallory", "/deply")).await;
    seen.ends(0, "permission-denied");
    assert!(
        !seen.comment().contains("did you mean"),
        "{}",
        seen.comment()
    );
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn bots_edits_deletions_and_issues_start_nothing() {
    let shop = Shop::open().await;
    shop.opens(1);
    let said = |login: &str, body: &str| shop.says(1, login, body);
    let changed = |mut event: Event, change: fn(&mut serde_json::Value)| {
        change(&mut event.payload);
        event
    };
    for (event, reason) in [
        (
            changed(said("alice", "/deploy"), |payload| {
                payload["action"] = json!("edited")
            }),
            "event-ignored",
        ),
        (
            changed(said("alice", "/deploy"), |payload| {
                payload["action"] = json!("deleted")
            }),
            "event-ignored",
        ),
        (said("dependabot[bot]", "/deploy"), "bot-ignored"),
        (said("github-actions[bot]", "/deploy"), "bot-ignored"),
        (
            changed(said("alice", "/deploy"), |payload| {
                payload["issue"]
                    .as_object_mut()
                    .unwrap()
                    .remove("pull_request");
            }),
            "not-a-pull-request",
        ),
        (
            changed(said("alice", "/deploy"), |payload| {
                payload["sender"]["login"] = json!("mallory")
            }),
            "permission-denied",
        ),
        (
            said(
                "alice",
                "<!-- preview-action v1 kind=status repo=1 pr=1 env=preview -->\n/deploy",
            ),
            "bot-ignored",
        ),
    ] {
        let seen = shop.hears(&event).await;
        assert_eq!(
            (seen.exit, seen.output("reason-code")),
            (0, reason),
            "{event:#?}\n{seen:#?}"
        );
    }
    assert_eq!(shop.cluster_requests(0).len(), 0);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn help_says_how_long_commands_take_here() {
    let shop = Shop::open().await;
    let help = async || {
        shop.hears(&shop.says(1, "bob", "/help"))
            .await
            .ends(0, "help-shown");
        let all = shop.world.github.comments(SHOP, 1);
        let mut helps = all.into_iter().filter(|one| one.body.contains("kind=help"));
        helps.next().unwrap().body
    };
    shop.opens(1);
    let first = help().await;
    assert!(
        !first.contains("took at most"),
        "nothing is known yet: {first}"
    );
    assert!(first.contains("the role `write` here"), "{first}");
    shop.hears(&shop.pushes(1)).await.ends(0, "deployed");
    shop.hears(&shop.pushes(1)).await.ends(0, "deployed");
    let commands = [
        ("/rollback", "rolled-back"),
        ("/extend 2d", "extended"),
        ("/pin", "pinned"),
        ("/unpin", "unpinned"),
        ("/logs", "logs-shown"),
        ("/diff", "diff-shown"),
        ("/check", "check-shown"),
        ("/status", "status-shown"),
        ("/sleep", "slept"),
        ("/wake", "woken"),
        ("/undeploy", "removed"),
    ];
    for (command, reason) in commands {
        shop.hears(&shop.says(1, "alice", command))
            .await
            .ends(0, reason);
    }
    // What was not done has no time.
    shop.hears(&shop.says(1, "alice", "/logs")).await;
    let told = help().await;
    let line = told
        .lines()
        .find(|line| line.contains("took at most"))
        .unwrap_or_default();
    let times: Vec<&str> = line.split("`").skip(1).step_by(2).collect();
    assert_eq!(
        times.join(" "),
        "/deploy /approve /rollback /undeploy /extend /pin /unpin /sleep /wake /logs /diff /check /status /help"
    );
    assert_eq!(line.matches("(1 run)").count(), 12, "{line}");
    assert_eq!(line.matches("(2 runs)").count(), 2, "deploys: {line}");
    // One request each.
    let since = shop.now();
    help().await;
    let writes = shop.cluster_requests(since);
    let writes: Vec<_> = writes.iter().filter(|one| one.method != "GET").collect();
    assert_eq!(writes.len(), 1, "{writes:#?}");
    assert!(
        told.contains("for maintainers needs `maintain` or `admin`."),
        "{told}"
    );
    let github = &shop.world.github;
    github.set_permission(SHOP, "carol", "admin", "admin");
    let asked = shop.says(1, "carol", "/help");
    let run = shop.run(&asked).input("min-permission", "admin");
    run.go().await.ends(0, "help-shown");
    let all = shop.world.github.comments(SHOP, 1);
    let told = all.iter().find(|one| one.body.contains("kind=help"));
    let told = &told.unwrap().body;
    assert!(told.contains("for maintainers needs `admin`."), "{told}");
    assert!(!told.contains("`maintain`"), "{told}");
    // What is not as it is by default is in force here, and whoever gives commands should know.
    assert!(!told.contains("`drafts`"), "{told}");
    let asked = shop.says(1, "bob", "/help");
    let inputs = [
        ("drafts", "false"),
        ("labels", "demo\npreview"),
        ("deploy-command", "/ship"),
    ];
    shop.run(&asked)
        .inputs(&inputs)
        .go()
        .await
        .ends(0, "help-shown");
    let all = shop.world.github.comments(SHOP, 1);
    let told = all
        .iter()
        .find(|one| one.body.contains("kind=help"))
        .unwrap();
    for text in [
        "| `drafts` | `false` |",
        "| `labels` | `demo preview` |",
        "| `deploy-command` | `/ship` |",
    ] {
        assert!(told.body.contains(text), "{text}: {}", told.body);
    }
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_only_read_is_told_so_and_nothing_happens() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    shop.world
        .github
        .set_permission(SHOP, "trixie", "read", "triage");
    let since = shop.now();
    for login in ["mallory", "trixie", "nobody"] {
        for body in ["/deploy", "/undeploy", "/status", "/help"] {
            let seen = shop.hears(&shop.says(1, login, body)).await;
            seen.ends(0, "permission-denied");
            assert!(seen.summary.contains(login), "{}", seen.summary);
            assert!(
                seen.summary.contains("who has it here: alice, bob"),
                "{}",
                seen.summary
            );
            seen.one_comment();
            assert_eq!(seen.comments.len(), 1);
        }
    }
    assert_eq!(shop.cluster_requests(since).len(), 0);
    assert_eq!(shop.namespaces(), ["pr-shop-1"]);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_higher_role_may_be_asked_for_commands() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    for (permission, role, needed, reason) in [
        ("write", "write", "maintain", "permission-denied"),
        ("write", "maintain", "maintain", "status-shown"),
        ("write", "maintain", "admin", "permission-denied"),
        ("admin", "admin", "admin", "status-shown"),
    ] {
        shop.world
            .github
            .set_permission(SHOP, "bob", permission, role);
        let event = shop.says(1, "bob", "/status");
        let seen = shop.run(&event).input("min-permission", needed).go().await;
        seen.ends(0, reason);
        let named = seen.log.contains(&format!("commands need `{needed}`"));
        assert_eq!(named, reason == "permission-denied", "{}", seen.log);
    }
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn write_maintain_and_admin_may_command() {
    for (permission, role) in [
        ("write", "write"),
        ("write", "maintain"),
        ("admin", "admin"),
    ] {
        let shop = Shop::open().await;
        shop.world
            .github
            .set_permission(SHOP, "carol", permission, role);
        shop.opens(1);
        shop.hears(&shop.says(1, "carol", "/deploy"))
            .await
            .ends(0, "deployed");
        shop.ends();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permission_that_cannot_be_read_is_none() {
    for (status, exit, reason) in [
        (401, 3, "github-refused"),
        (403, 3, "github-refused"),
        (404, 0, "permission-denied"),
    ] {
        let shop = Shop::open().await;
        shop.opens(1);
        let fault = Fault::answer(
            "GET",
            "/repos/acme/shop/collaborators/alice/permission",
            status,
            json!({"message": "no"}),
        );
        shop.world.github.inject(fault.always());
        let seen = shop.hears(&shop.says(1, "alice", "/deploy")).await;
        seen.ends(exit, reason);
        assert_eq!(shop.cluster_requests(0).len(), 0, "{status}");
        shop.ends();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_runs_an_old_command_again_is_asked_about_too() {
    let shop = Shop::open().await;
    shop.opens(1);
    let command = shop.says(1, "alice", "/deploy");
    let again = |actor: &str| {
        shop.run(&command)
            .variable("GITHUB_RUN_ATTEMPT", "2")
            .variable("GITHUB_TRIGGERING_ACTOR", actor)
    };
    let denied = again("mallory").go().await;
    denied.ends(0, "permission-denied");
    assert_eq!(shop.namespaces().len(), 0);
    again("bob").go().await.ends(0, "deployed");
    // Alice has lost her right since: her old command is worth nothing.
    shop.world
        .github
        .set_permission(SHOP, "alice", "read", "read");
    again("bob").go().await.ends(0, "permission-denied");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn forks_are_refused_with_and_without_credentials() {
    let shop = Shop::open().await;
    let pull = github::NewPull {
        author: "mallory".into(),
        fork: Some("mallory/shop".into()),
        ..github::NewPull::default()
    };
    let opened = shop.opens_as(6, pull);
    // GitHub gives such a run no secrets and a token that may only read.
    let bare = shop.run(&opened).input("kubeconfig", "").go().await;
    bare.ends(0, "no-credentials");
    assert!(bare.summary.contains("fork"), "{}", bare.summary);
    shop.hears(&opened).await.ends(0, "approval-needed");
    let command = shop.hears(&shop.says(6, "alice", "/deploy")).await;
    command.ends(0, "approval-needed");
    command.says("fork");
    assert_eq!(shop.namespaces(), [""; 0]);
    // A fork that is gone is still one.
    shop.world.github.delete_head_repository(SHOP, 6);
    shop.hears(&shop.says(6, "alice", "/deploy"))
        .await
        .ends(0, "fork-refused");
    shop.hears(&shop.closes(6))
        .await
        .ends(0, "nothing-to-remove");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn dependabot_without_secrets_ends_green_and_everybody_else_does_not() {
    let shop = Shop::open().await;
    let pull = github::NewPull {
        author: "dependabot[bot]".into(),
        ..github::NewPull::default()
    };
    let bot = shop.opens_as(5, pull);
    shop.run(&bot)
        .input("kubeconfig", "")
        .go()
        .await
        .ends(0, "no-credentials");
    let human = shop.opens(1);
    let seen = shop.run(&human).input("kubeconfig", "").go().await;
    seen.ends(1, "no-credentials");
    seen.says("kubeconfig");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_by_hand_does_what_its_inputs_say() {
    let shop = Shop::open().await;
    shop.opens(1);
    let dispatch = |inputs: &[(&str, &str)]| {
        Event::new(
            "workflow_dispatch",
            shop.world.github.dispatch_event(SHOP, "alice", inputs),
            1,
        )
    };
    shop.hears(&dispatch(&[("command", "deploy"), ("pr", "1")]))
        .await
        .ends(0, "deployed");
    shop.hears(&dispatch(&[("command", "status"), ("pr", "1")]))
        .await
        .ends(0, "status-shown");
    shop.hears(&dispatch(&[("command", "sweep"), ("pr", "")]))
        .await
        .ends(0, "swept");
    shop.hears(&dispatch(&[("command", "undeploy"), ("pr", "1")]))
        .await
        .ends(0, "removed");
    for inputs in [
        [("command", "deploy"), ("pr", "")],
        [("command", "destroy"), ("pr", "1")],
        [("command", "deploy"), ("pr", "one")],
    ] {
        let seen = shop.hears(&dispatch(&inputs)).await;
        assert_eq!(
            (seen.exit, seen.output("reason-code")),
            (1, "bad-input"),
            "{inputs:?}: {seen:#?}"
        );
    }
    let missing = shop
        .hears(&dispatch(&[("command", "deploy"), ("pr", "99")]))
        .await;
    missing.ends(3, "github-refused");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_by_hand_needs_the_role_of_a_command_and_one_by_a_workflow_does_not() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    shop.world.github.close(SHOP, 1);
    let sweep = |login: &str, kind: &str| {
        let inputs = [("command", "sweep"), ("pr", "")];
        let mut payload = shop.world.github.dispatch_event(SHOP, login, &inputs);
        payload["sender"]["type"] = json!(kind);
        Event::new("workflow_dispatch", payload, 0)
    };
    let role = |role: &str| {
        shop.world.github.set_permission(SHOP, "bob", "write", role);
    };
    let bob = sweep("bob", "User");
    let bot = "github-actions[bot]";
    let by = |event: &Event| shop.run(event).input("min-permission", "maintain");
    role("write");
    shop.world
        .github
        .set_permission(SHOP, "alice", "admin", "admin");
    for refused in [
        by(&bob),
        by(&bob).input("mode", "plan"),
        by(&sweep("alice", "User"))
            .variable("GITHUB_RUN_ATTEMPT", "2")
            .variable("GITHUB_TRIGGERING_ACTOR", "bob"),
        by(&sweep(bot, "Bot"))
            .variable("GITHUB_RUN_ATTEMPT", "2")
            .variable("GITHUB_TRIGGERING_ACTOR", "bob"),
    ] {
        refused.go().await.ends(0, "permission-denied");
        assert_eq!(shop.namespaces(), ["pr-shop-1"]);
        assert_eq!(shop.world.github.issues(SHOP), []);
    }
    role("maintain");
    by(&bob).go().await.ends(0, "swept");
    assert_eq!(shop.namespaces(), [""; 0]);
    by(&sweep(bot, "Bot")).go().await.ends(0, "swept");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn other_events_and_actions_end_well_and_say_why() {
    let shop = Shop::open().await;
    shop.opens(1);
    let labelled = shop.pull_event(1, "labeled");
    for event in [
        Event::new("push", json!({"ref": "refs/heads/main"}), 1),
        Event::new("merge_group", json!({}), 1),
        Event::new("something_new", json!({"action": "x"}), 1),
        labelled,
    ] {
        let seen = shop.hears(&event).await;
        assert_eq!(
            (seen.exit, seen.output("reason-code")),
            (0, "event-ignored"),
            "{seen:#?}"
        );
        assert!(
            seen.summary.contains("starts nothing") || seen.summary.contains("event"),
            "{}",
            seen.summary
        );
    }
    // Opening by `pull_request_target` would run what a stranger wrote with our secrets.
    let mut target = shop.pull_event(1, "opened");
    target.name = "pull_request_target".into();
    shop.hears(&target).await.ends(0, "event-ignored");
    assert_eq!(shop.cluster_requests(0).len(), 0);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn closed_and_reopened_pull_requests_follow_the_api_and_not_the_event() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    let closed = shop.closes(1);
    shop.world.github.reopen(SHOP, 1);
    // The event says closed, the API says open.
    shop.hears(&closed).await.ends(0, "event-ignored");
    assert_eq!(shop.namespaces(), ["pr-shop-1"]);
    shop.hears(&shop.closes(1)).await.ends(0, "removed");
    let command = shop.hears(&shop.says(1, "alice", "/deploy")).await;
    command.ends(0, "pull-request-closed");
    assert_eq!(shop.namespaces().len(), 0);
    shop.world.github.reopen(SHOP, 1);
    shop.hears(&shop.pull_event(1, "reopened"))
        .await
        .ends(0, "deployed");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_without_workloads_is_not_called_ready() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    shop.hears(&shop.says(1, "bob", "/status"))
        .await
        .ends(0, "status-shown");
    assert!(
        shop.comment(1).contains("Preview ready"),
        "{}",
        shop.comment(1)
    );
    assert!(shop.world.cluster.delete("Deployment", "pr-shop-1", "web"));
    shop.world
        .cluster
        .wait_until(|cluster| cluster.objects("Deployment", "pr-shop-1").is_empty())
        .await;
    let seen = shop.hears(&shop.says(1, "bob", "/status")).await;
    seen.ends(0, "status-shown");
    assert_eq!(seen.output("state"), "degraded");
    assert!(
        shop.comment(1).contains("Preview degraded"),
        "{}",
        shop.comment(1)
    );

    // A claim whose run died before it applied anything.
    shop.change_record(1, |record| record["attempted"] = serde_json::Value::Null);
    let seen = shop.hears(&shop.says(1, "bob", "/status")).await;
    assert_eq!(seen.output("state"), "not-deployed");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_in_which_nothing_was_to_run_is_ready() {
    let shop = Shop::selling("version: 1\ntemplates: [deploy/*.yaml]\n").await;
    let data = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: own}\ndata: {a: b}\n";
    shop.commit(&[("deploy/own.yaml", data)]);
    shop.deployed(1).await;
    let seen = shop.hears(&shop.says(1, "bob", "/status")).await;
    seen.ends(0, "status-shown");
    assert_eq!(seen.output("state"), "ready");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_without_a_namespace_stays_in_the_comment_whoever_asks_for_the_status() {
    let shop = Shop::open().await;
    shop.opens(1);
    let broken = shop.pushes_files(1, &[(CONFIGURATION, "version: 1\nservices: 7\n")]);
    let failed = shop.hears(&broken).await;
    failed.ends(1, "bad-configuration");
    failed.says("Preview failed");
    assert_eq!(shop.namespaces(), [""; 0]);
    let told = failed.comment().to_owned();
    let seen = shop.hears(&shop.says(1, "bob", "/status")).await;
    seen.ends(0, "status-shown");
    assert_eq!(seen.comment(), told);
    shop.hears(&shop.closes(1)).await;
    shop.ends();
}
