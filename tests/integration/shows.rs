//! Where else a preview shows: the status of its commit, a deployment, and a comment where and when people want it.
//! None of it is worth a failed run, and none of it may say what is not so.

use crate::support::{Event, SHOP, Seen, Shop};
use preview_action::simulate::{Action, Fault, Record, cluster::Fate, github};
use serde_json::{Value, json};

/// What the status of a commit has been, the newest last.
pub(crate) fn states(shop: &Shop, sha: &str) -> Vec<String> {
    let all = shop.world.github.statuses(SHOP, sha);
    assert!(all.iter().all(|one| one.context == "preview"), "{all:#?}");
    assert!(
        all.iter()
            .all(|one| one.description.chars().count() <= 140 && !one.description.contains('\n')),
        "{all:#?}"
    );
    all.into_iter().map(|one| one.state).collect()
}

pub(crate) fn newest(shop: &Shop, sha: &str) -> github::Status {
    let all = shop.world.github.statuses(SHOP, sha);
    all.last()
        .cloned()
        .unwrap_or_else(|| panic!("no status of {sha}"))
}

/// Every deployment as `commit task: states`, the oldest first.
pub(crate) fn deployments(shop: &Shop) -> Vec<String> {
    let all = shop.world.github.deployments(SHOP);
    assert!(
        all.iter()
            .filter(|one| one.task != "deploy")
            .all(|one| one.transient && one.environment == "preview"),
        "{all:#?}"
    );
    all.iter()
        .map(|one| format!("{} {}: {}", &one.sha[..7], one.task, one.states().join(" ")))
        .collect()
}

pub(crate) fn deployed(sha: &str, pr: u64, states: &str) -> String {
    format!("{} preview:pr-{pr}: {states}", &sha[..7])
}

/// Requests of a run by what they are about.
fn beside(requests: &[Record]) -> (usize, usize, usize) {
    let of = |what: &str| {
        requests
            .iter()
            .filter(|one| one.path.contains(what))
            .count()
    };
    let statuses = of("/statuses/") + of("/commits/");
    let deployments = of("/deployments");
    (
        statuses,
        deployments,
        requests.len() - statuses - deployments,
    )
}

pub(crate) async fn go(shop: &Shop, event: &Event, inputs: &[(&str, &str)]) -> Seen {
    shop.run(event).inputs(inputs).go().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_of_a_commit_follows_its_preview() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    let first = shop.world.github.head(SHOP, 1);
    assert_eq!(states(&shop, &first), ["pending", "success"]);
    let ready = newest(&shop, &first);
    assert_eq!(ready.target_url, "http://pr-1.preview.example.test");
    assert_eq!(ready.description, "ready");

    shop.world.cluster.script_fate("/web:", Fate::Crash);
    let push = shop.pushes(1);
    shop.hears(&push).await.ends(1, "crash-loop");
    let second = shop.world.github.head(SHOP, 1);
    assert_eq!(states(&shop, &second), ["pending", "failure"]);
    let failed = newest(&shop, &second);
    assert!(
        failed.target_url.starts_with("https://github."),
        "{failed:?}"
    );
    assert!(failed.description.contains("web"), "{failed:?}");
    assert_eq!(
        states(&shop, &first),
        ["pending", "success"],
        "it is served"
    );

    shop.world.github.close(SHOP, 1);
    shop.hears(&shop.pull_event(1, "closed"))
        .await
        .ends(0, "removed");
    assert_eq!(states(&shop, &first), ["pending", "success", "success"]);
    let gone = newest(&shop, &first);
    assert!(gone.description.contains("is gone"), "{gone:?}");
    assert!(
        !gone.target_url.contains("preview.example.test"),
        "{gone:?}"
    );
    assert_eq!(
        states(&shop, &second),
        ["pending", "failure"],
        "a removal mends nothing"
    );
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_begins_succeeds_is_replaced_and_ends() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    shop.deployed(2).await;
    let (first, other) = (
        shop.world.github.head(SHOP, 1),
        shop.world.github.head(SHOP, 2),
    );
    let theirs = deployed(&other, 2, "success");
    assert_eq!(
        deployments(&shop),
        [deployed(&first, 1, "success"), theirs.clone()]
    );
    let shown = shop.world.github.deployments(SHOP)[0].statuses[0].clone();
    assert_eq!(shown.environment_url, "http://pr-1.preview.example.test");
    assert!(shown.log_url.contains("/actions/runs/"), "{shown:?}");

    // The same commit again is the same deployment.
    shop.hears(&shop.says(1, "alice", "/deploy"))
        .await
        .ends(0, "unchanged");
    let again = deployed(&first, 1, "success in_progress success");
    assert_eq!(deployments(&shop), [again.clone(), theirs.clone()]);

    shop.hears(&shop.pushes(1)).await.ends(0, "deployed");
    let second = shop.world.github.head(SHOP, 1);
    let replaced = format!("{again} inactive");
    let expected = [
        replaced.clone(),
        theirs.clone(),
        deployed(&second, 1, "success"),
    ];
    assert_eq!(deployments(&shop), expected);

    shop.hears(&shop.says(1, "alice", "/sleep"))
        .await
        .ends(0, "slept");
    shop.hears(&shop.says(1, "alice", "/wake"))
        .await
        .ends(0, "woken");
    shop.hears(&shop.closes(1)).await.ends(0, "removed");
    let second = deployed(&second, 1, "success inactive success inactive");
    assert_eq!(deployments(&shop), [replaced, theirs, second]);
    assert!(shop.record(1)["deployment"].is_null(), "{}", shop.record(1));
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_update_leaves_the_deployment_that_is_served() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    let first = shop.world.github.head(SHOP, 1);
    shop.world.cluster.script_fate("/web:", Fate::Crash);
    shop.hears(&shop.pushes(1)).await.ends(1, "crash-loop");
    let second = shop.world.github.head(SHOP, 1);
    let both = [
        deployed(&first, 1, "success"),
        deployed(&second, 1, "failure"),
    ];
    assert_eq!(deployments(&shop), both);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn none_is_made_beside_githubs_own() {
    let shop = Shop::open().await;
    let opened = shop.opens(1);
    let head = shop.world.github.head(SHOP, 1);
    shop.world.github.runs_job_in(SHOP, &head, "preview");
    shop.hears(&opened).await.ends(0, "deployed");
    assert_eq!(deployments(&shop).len(), 1, "{:?}", deployments(&shop));
    let opened = shop.opens(2);
    let seen = go(
        &shop,
        &opened,
        &[("deployment", "off"), ("commit-status", "false")],
    )
    .await;
    seen.ends(0, "deployed");
    assert_eq!(deployments(&shop).len(), 1, "{:?}", deployments(&shop));
    assert_eq!(states(&shop, &shop.world.github.head(SHOP, 2)), [""; 0]);
    shop.ends();
}

/// A job may get its `environment:` while pull requests are live.
#[tokio::test(flavor = "multi_thread")]
async fn none_is_made_beside_githubs_own_for_a_later_commit_either() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    let first = shop.world.github.head(SHOP, 1);
    let push = async |outcome: (i32, &str)| {
        let pushed = shop.pushes(1);
        let head = shop.world.github.head(SHOP, 1);
        shop.world.github.runs_job_in(SHOP, &head, "preview");
        shop.hears(&pushed).await.ends(outcome.0, outcome.1);
        format!("{} deploy: ", &head[..7])
    };
    shop.world.cluster.script_fate("/web:", Fate::Crash);
    let second = push((1, "crash-loop")).await;
    let live = deployed(&first, 1, "success");
    assert_eq!(deployments(&shop), [live, second.clone()], "it is served");
    shop.world.cluster.script_fate("/web:", Fate::Ready);
    let third = push((0, "deployed")).await;
    let over = deployed(&first, 1, "success inactive");
    assert_eq!(
        deployments(&shop),
        [over.clone(), second.clone(), third.clone()]
    );
    assert!(shop.record(1)["deployment"].is_null(), "{}", shop.record(1));
    let since = shop.now();
    let fourth = push((0, "deployed")).await;
    let (_, asked, _) = beside(&shop.requests("github", since));
    assert_eq!(asked, 1, "one look is enough");
    shop.hears(&shop.closes(1)).await.ends(0, "removed");
    assert_eq!(deployments(&shop), [over, second, third, fourth]);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_died_after_it_made_one_leaves_it_to_the_next() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    let first = shop.world.github.head(SHOP, 1);
    let pushed = shop.pushes(1);
    let head = shop.world.github.head(SHOP, 1);
    let hang = Fault::on("PATCH", "/api/v1/namespaces/pr-shop-1/**", Action::Hang).always();
    shop.world.cluster.inject(hang);
    tokio::select! {
        seen = shop.hears(&pushed) => panic!("{seen:#?}"),
        () = shop.world.log.wait_until(|all| {
            let made = |one: &&Record| one.method == "POST" && one.path.ends_with("/deployments") && one.status.is_some();
            let stuck = |one: &Record| one.method == "PATCH" && one.path.contains("/pr-shop-1/") && one.status.is_none();
            all.iter().filter(made).count() == 2 && all.iter().any(stuck)
        }) => {}
    }
    shop.world.cluster.clear_faults();
    shop.world.advance(std::time::Duration::from_secs(120));
    shop.hears(&pushed).await.ends(0, "deployed");
    let both = [
        deployed(&first, 1, "success inactive"),
        deployed(&head, 1, "in_progress success"),
    ];
    assert_eq!(deployments(&shop), both);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_right_turns_one_thing_off_and_is_named_once() {
    for (right, input) in [
        ("statuses", "commit-status: false"),
        ("deployments", "deployment: off"),
    ] {
        let shop = Shop::open().await;
        shop.world.github.deny(right);
        let seen = shop.deployed(1).await;
        let line =
            format!("add `{right}: write` under `permissions:` in the workflow, or set `{input}`");
        let named = |text: &str| text.matches(&line).count();
        let annotations = seen.annotations().join("\n");
        assert_eq!(named(&annotations), 1, "{}", seen.log);
        assert_eq!(named(&seen.summary), 1, "{}", seen.summary);
        seen.says("Preview ready");
        let head = shop.world.github.head(SHOP, 1);
        assert_eq!(states(&shop, &head).is_empty(), right == "statuses");
        assert_eq!(deployments(&shop).is_empty(), right == "deployments");
        let again = shop.hears(&shop.pushes(1)).await;
        again.ends(0, "deployed");
        assert!(shop.record(1)["untold"].is_null());
        shop.ends();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_costs_two_and_four_requests_at_most() {
    let shop = Shop::open().await;
    let mut since = shop.now();
    let mut told = Vec::new();
    let mut costs = |shop: &Shop, what: &str| {
        let (statuses, deployments, others) = beside(&shop.requests("github", since));
        told.push(format!(
            "{what}: {statuses} + {deployments} beside {others}"
        ));
        assert!(statuses <= 2 && deployments <= 4, "{told:#?}");
        since = shop.now();
    };
    shop.deployed(1).await;
    costs(&shop, "first deploy");
    shop.hears(&shop.pushes(1)).await.ends(0, "deployed");
    costs(&shop, "update");
    shop.hears(&shop.says(1, "alice", "/rollback"))
        .await
        .ends(0, "rolled-back");
    costs(&shop, "rollback");
    shop.hears(&shop.says(1, "alice", "/status"))
        .await
        .ends(0, "status-shown");
    costs(&shop, "status");
    shop.hears(&shop.says(1, "alice", "/sleep"))
        .await
        .ends(0, "slept");
    costs(&shop, "sleep");
    shop.hears(&shop.says(1, "alice", "/wake"))
        .await
        .ends(0, "woken");
    costs(&shop, "wake");
    shop.hears(&shop.closes(1)).await.ends(0, "removed");
    costs(&shop, "removal");
    println!("{told:#?}");
    assert!(
        told.iter().any(|one| one.starts_with("update: 2 + 4 ")),
        "{told:#?}"
    );
    assert!(
        told.iter().any(|one| one.starts_with("status: 0 + 0 ")),
        "{told:#?}"
    );
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_github_does_not_take_is_told_by_the_next_sweep() {
    for path in [
        "/repos/acme/shop/statuses/*",
        "/repos/acme/shop/deployments/*/statuses",
    ] {
        let shop = Shop::open().await;
        let opened = shop.opens(1);
        let head = shop.world.github.head(SHOP, 1);
        let busy = Fault::answer("POST", path, 503, json!({"message": "busy"})).always();
        shop.world.github.inject(busy);
        let seen = shop.hears(&opened).await;
        seen.ends(0, "deployed");
        seen.says("Preview ready");
        assert_eq!(shop.record(1)["untold"], true, "{path}");
        shop.world.github.clear_faults();
        shop.hears(&shop.schedule()).await.ends(0, "swept");
        assert!(shop.record(1)["untold"].is_null(), "{path}");
        assert_eq!(newest(&shop, &head).state, "success", "{path}");
        assert_eq!(
            deployments(&shop),
            [deployed(&head, 1, "success")],
            "{path}"
        );
        shop.ends();
    }
}

/// One request that fails must not leave a good commit red.
#[tokio::test(flavor = "multi_thread")]
async fn a_verdict_that_does_not_get_through_is_owed_and_no_error() {
    for status in [401, 409] {
        let shop = Shop::open().await;
        let opened = shop.opens(1);
        let head = shop.world.github.head(SHOP, 1);
        let path = "/repos/acme/shop/statuses/*";
        let fault = Fault::answer("POST", path, status, json!({"message": "no"}));
        shop.world.github.inject(fault.nth(2));
        shop.hears(&opened).await.ends(0, "deployed");
        assert_eq!(newest(&shop, &head).state, "pending", "{status}");
        assert_eq!(shop.record(1)["untold"], true, "{status}");
        shop.hears(&shop.schedule()).await.ends(0, "swept");
        assert_eq!(newest(&shop, &head).state, "success", "{status}");
        assert!(shop.record(1)["untold"].is_null(), "{status}");
        assert!(shop.record(1)["shown"]["under-way"].is_null());
        shop.ends();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_makes_no_second_deployment() {
    let shop = Shop::open().await;
    let opened = shop.opens(1);
    let lost = Fault::on(
        "POST",
        "/repos/acme/shop/deployments",
        Action::WriteThenClose,
    );
    shop.world.github.inject(lost);
    shop.hears(&opened).await.ends(0, "deployed");
    let head = shop.world.github.head(SHOP, 1);
    assert_eq!(deployments(&shop), [deployed(&head, 1, "success")]);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_died_leaves_no_status_that_promises_something() {
    for mode in ["sticky", "off"] {
        let shop = Shop::open().await;
        let (opened, inputs) = (shop.opens(1), [("comment", mode)]);
        let head = shop.world.github.head(SHOP, 1);
        let hang = Fault::on("PATCH", "/api/v1/namespaces/pr-shop-1/**", Action::Hang).always();
        shop.world.cluster.inject(hang);
        tokio::select! {
            seen = go(&shop, &opened, &inputs) => panic!("{seen:#?}"),
            () = shop.world.log.wait_until(|all| {
                let status = |one: &&Record| one.path.contains("/statuses/") && one.status.is_some();
                let stuck = |one: &Record| one.method == "PATCH" && one.path.contains("/pr-shop-1/");
                all.iter().filter(status).count() == 1 && all.iter().any(stuck)
            }) => {}
        }
        shop.world.cluster.clear_faults();
        assert_eq!(states(&shop, &head), ["pending"], "{mode}");
        shop.world.advance(std::time::Duration::from_secs(120));
        go(&shop, &shop.schedule(), &[("comment", mode)]).await;
        let after = states(&shop, &head);
        let shown = deployments(&shop);
        assert_eq!(shown, [deployed(&head, 1, "error")], "{mode}");
        assert_eq!(after, ["pending", "error"], "{mode}");
        shop.ends();
    }
}

/// Whatever ends a place in line also ends what the commit was promised, at once or with the next sweep.
#[tokio::test(flavor = "multi_thread")]
async fn a_place_in_line_that_ends_promises_nothing() {
    for (mode, why) in [
        ("sticky", "undeploy"),
        ("sticky", "closed"),
        ("off", "closed"),
        ("sticky", "filter"),
        ("sticky", "closed unheard"),
        ("sticky", "pushed"),
    ] {
        let shop = Shop::open().await;
        let inputs = [
            ("comment", mode),
            ("max-previews", "1"),
            ("drafts", "false"),
        ];
        go(&shop, &shop.opens(1), &inputs).await.ends(0, "deployed");
        go(&shop, &shop.opens(2), &inputs).await.ends(0, "queued");
        let head = shop.world.github.head(SHOP, 2);
        // First as being deployed, then as waiting in line.
        assert_eq!(states(&shop, &head), ["pending", "pending"], "{why}");
        assert_eq!(shop.record(2)["underWay"]["sha"], *head, "{why}");
        match why {
            "undeploy" => {
                let asked = shop.says(2, "alice", "/undeploy");
                go(&shop, &asked, &inputs)
                    .await
                    .ends(0, "nothing-to-remove");
            }
            "closed" => {
                let closed = shop.closes(2);
                go(&shop, &closed, &inputs)
                    .await
                    .ends(0, "nothing-to-remove");
            }
            "pushed" => {
                go(&shop, &shop.pushes(2), &inputs).await.ends(0, "queued");
            }
            _ => {
                match why {
                    "filter" => shop.world.github.set_draft(SHOP, 2, true),
                    _ => shop.world.github.close(SHOP, 2),
                }
                go(&shop, &shop.closes(1), &inputs).await.ends(0, "removed");
                // The run that has a slot for it finds it closed, and ends all that it was promised.
                let unheard = if why == "filter" { 2 } else { 3 };
                assert_eq!(states(&shop, &head).len(), unheard, "{why}");
                go(&shop, &shop.schedule(), &inputs).await.ends(0, "swept");
            }
        }
        let all = ["pending", "pending", "error"];
        assert_eq!(states(&shop, &head), all, "{why} {mode}");
        let theirs: Vec<_> = deployments(&shop)
            .into_iter()
            .filter(|one| one.contains("pr-2") && one.starts_with(&head[..7]))
            .collect();
        let [one] = &theirs[..] else {
            panic!("{why}: {theirs:?}")
        };
        assert!(one.ends_with("queued inactive"), "{why}: {one}");
        let newest = shop.world.github.head(SHOP, 2);
        let under_way = &shop.record(2)["underWay"]["sha"];
        match why {
            "pushed" => assert_eq!(*under_way, *newest),
            _ => assert!(under_way.is_null(), "{why}: {under_way}"),
        }
        let before = shop.world.github.requests().len();
        go(&shop, &shop.schedule(), &inputs).await;
        let again = &shop.world.github.requests()[before..];
        let written = again
            .iter()
            .filter(|one| one.path.contains("/statuses/"))
            .count();
        assert_eq!(written, 0, "{why}: once is enough");
        shop.ends();
    }
}

/// What GitHub does not take when a place in line ends is said by the next sweep.
#[tokio::test(flavor = "multi_thread")]
async fn a_promise_that_could_not_be_taken_back_is_not_forgotten() {
    let shop = Shop::open().await;
    let inputs = [("max-previews", "1")];
    go(&shop, &shop.opens(1), &inputs).await.ends(0, "deployed");
    go(&shop, &shop.opens(2), &inputs).await.ends(0, "queued");
    let head = shop.world.github.head(SHOP, 2);
    let busy = Fault::answer(
        "POST",
        "/repos/acme/shop/statuses/*",
        503,
        json!({"message": "busy"}),
    );
    shop.world.github.inject(busy.always());
    let asked = shop.says(2, "alice", "/undeploy");
    go(&shop, &asked, &inputs)
        .await
        .ends(0, "nothing-to-remove");
    assert_eq!(newest(&shop, &head).state, "pending");
    assert_eq!(shop.record(2)["underWay"]["sha"], *head);
    shop.world.github.clear_faults();
    go(&shop, &shop.schedule(), &inputs).await.ends(0, "swept");
    assert_eq!(newest(&shop, &head).state, "error");
    assert!(shop.record(2)["underWay"].is_null(), "{}", shop.record(2));
    shop.ends();
}

/// Which deployment waits in line is known, so that whoever goes on with it makes no second one.
#[tokio::test(flavor = "multi_thread")]
async fn what_waits_beside_what_was_live_has_one_deployment() {
    for goes_on in [true, false] {
        let shop = Shop::open().await;
        let inputs = [("max-previews", "1")];
        go(&shop, &shop.opens(1), &inputs).await.ends(0, "deployed");
        let first = shop.world.github.head(SHOP, 1);
        go(&shop, &shop.says(1, "alice", "/sleep"), &inputs)
            .await
            .ends(0, "slept");
        go(&shop, &shop.opens(2), &inputs).await.ends(0, "deployed");
        go(&shop, &shop.pushes(1), &inputs).await.ends(0, "queued");
        let second = shop.world.github.head(SHOP, 1);
        let of = |sha: &str| {
            let all = deployments(&shop);
            let of: Vec<_> = all
                .into_iter()
                .filter(|one| one.starts_with(&sha[..7]))
                .collect();
            of.join(", ")
        };
        assert_eq!(of(&first), deployed(&first, 1, "success inactive"));
        assert_eq!(of(&second), deployed(&second, 1, "queued"));
        match goes_on {
            true => {
                go(&shop, &shop.closes(2), &inputs).await.ends(0, "removed");
                let on = deployed(&second, 1, "queued in_progress success");
                assert_eq!(of(&second), on);
                assert_eq!(of(&first), deployed(&first, 1, "success inactive inactive"));
            }
            false => {
                go(&shop, &shop.says(1, "alice", "/undeploy"), &inputs)
                    .await
                    .ends(0, "removed");
                assert_eq!(of(&second), deployed(&second, 1, "queued inactive"));
            }
        }
        assert!(shop.record(1)["underWay"].is_null(), "{}", shop.record(1));
        shop.ends();
    }
}

/// Before its first word a run has shown nothing; that it died is told all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_died_before_its_first_word_is_told_of() {
    let shop = Shop::open().await;
    let asked = {
        shop.opens(1);
        shop.says(1, "alice", "/deploy")
    };
    let head = shop.world.github.head(SHOP, 1);
    let hang = Fault::on("POST", "/repos/acme/shop/issues/1/comments", Action::Hang).always();
    shop.world.github.inject(hang);
    let inputs = [("auto-deploy", "false")];
    tokio::select! {
        seen = go(&shop, &asked, &inputs) => panic!("{seen:#?}"),
        () = shop.world.log.wait_until(|all| {
            all.iter().any(|one| one.method == "POST" && one.path.ends_with("/issues/1/comments"))
        }) => {}
    }
    shop.world.github.clear_faults();
    shop.world.advance(std::time::Duration::from_secs(120));
    go(&shop, &shop.schedule(), &inputs).await;
    assert_eq!(newest(&shop, &head).state, "error");
    let said = shop.comment(1);
    assert!(said.contains("ended without a word"), "{said}");
    assert!(shop.record(1)["underWay"].is_null(), "{}", shop.record(1));
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_was_pushed_over_promises_nothing() {
    let shop = Shop::open().await;
    let opened = shop.opens(1);
    let first = shop.world.github.head(SHOP, 1);
    shop.world.github.push(SHOP, 1, &[]);
    let _ = opened;
    let shop_event = shop.pull_event(1, "synchronize");
    let second = shop.world.github.head(SHOP, 1);
    let pushed = std::sync::Mutex::new(true);
    let world = std::sync::Arc::new(shop);
    let pusher = std::sync::Arc::downgrade(&world);
    let push = Fault::run("POST", "/repos/acme/shop/statuses/*", move || {
        if std::mem::take(&mut *pushed.lock().unwrap())
            && let Some(shop) = pusher.upgrade()
        {
            shop.world.github.push(SHOP, 1, &[]);
        }
    });
    world.world.github.inject(push);
    world.hears(&shop_event).await.ends(0, "superseded");
    assert_eq!(states(&world, &second), ["pending", "error"]);
    assert_eq!(states(&world, &first), [""; 0], "nobody has tried it");
    let newest = deployments(&world);
    assert!(
        newest.iter().all(|one| !one.ends_with("success")),
        "{newest:?}"
    );
    world.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_comments_all_else_is_told() {
    let shop = Shop::open().await;
    let off = [("comment", "off")];
    let hears = async |event: Event| go(&shop, &event, &off).await;
    let none = |when: &str| {
        let ours = shop.status_comments(1);
        assert_eq!(ours, [], "{when}");
    };
    let seen = hears(shop.opens(1)).await;
    seen.ends(0, "deployed");
    assert!(seen.summary.contains("Preview ready"), "{}", seen.summary);
    assert_eq!(seen.output("url"), "http://pr-1.preview.example.test");
    let head = shop.world.github.head(SHOP, 1);
    assert_eq!(states(&shop, &head), ["pending", "success"]);
    none("deployed");
    shop.world.cluster.script_fate("/web:", Fate::Crash);
    hears(shop.pushes(1)).await.ends(1, "crash-loop");
    none("failed");
    hears(shop.says(1, "alice", "/extend 9d"))
        .await
        .ends(0, "extended");
    hears(shop.says(1, "alice", "/deploy --what")).await;
    hears(shop.schedule()).await.ends(0, "swept");
    hears(shop.says(1, "alice", "/undeploy"))
        .await
        .ends(0, "removed");
    hears(shop.pushes(1)).await;
    none("removed");
    let seen = hears(shop.says(1, "alice", "/help")).await;
    seen.ends(0, "help-shown");
    assert_eq!(seen.comments.len(), 1, "what was asked for is answered");

    // Who asks for the status is told, and what was told is kept true.
    hears(shop.says(1, "alice", "/status"))
        .await
        .ends(0, "status-shown");
    assert!(
        shop.comment(1).contains("Preview removed"),
        "{}",
        shop.comment(1)
    );
    hears(shop.closes(1)).await;
    shop.ends();
}

/// While a run is at work nobody else writes: without a comment there is nothing then that could be called up to date.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_comment_a_status_during_a_deploy_shows_nothing_and_says_so() {
    for mode in ["off", "on-failure", "sticky"] {
        let shop = Shop::open().await;
        let inputs = [("comment", mode)];
        let opened = shop.opens(1);
        let event = shop.says(1, "alice", "/status");
        shop.world.cluster.hold();
        let asks = async {
            let applied = |log: &[Record]| {
                let mut all = log.iter();
                all.any(|one| one.method == "PATCH" && one.path.ends_with("/ingresses/web"))
            };
            shop.world.log.wait_until(applied).await;
            let asked = go(&shop, &event, &inputs).await;
            shop.world.cluster.release();
            asked
        };
        let (deployed, asked) = tokio::join!(go(&shop, &opened, &inputs), asks);
        deployed.ends(0, "deployed");
        let (reason, last) = match mode {
            "sticky" => ("status-shown", "+1"),
            _ => ("busy", "confused"),
        };
        asked.ends(0, reason);
        assert_eq!(
            crate::reactions::reactions(&shop, &event).last().unwrap(),
            last
        );
        let honest = asked.log.contains("writes no comment");
        assert_eq!(honest, mode != "sticky", "{}", asked.log);
        shop.ends();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_comments_none_of_their_rights_is_needed() {
    let shop = Shop::open().await;
    let opened = shop.opens(1);
    let refused = json!({"message": "Resource not accessible by integration"});
    let comments = "/repos/acme/shop/issues/**";
    let never = Fault::answer("*", comments, 403, refused).always();
    shop.world.github.inject(never);
    let seen = go(&shop, &opened, &[("comment", "off")]).await;
    seen.ends(0, "deployed");
    let head = shop.world.github.head(SHOP, 1);
    assert_eq!(newest(&shop, &head).state, "success");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_comment_that_begins_with_a_failure_is_kept_true() {
    let shop = Shop::open().await;
    let hears = async |event: Event| go(&shop, &event, &[("comment", "on-failure")]).await;
    hears(shop.opens(1)).await.ends(0, "deployed");
    assert_eq!(shop.comment(1), "");
    shop.world.cluster.script_fate("/web:", Fate::Crash);
    hears(shop.pushes(1)).await.ends(1, "crash-loop");
    assert!(
        shop.comment(1).contains("still serving"),
        "{}",
        shop.comment(1)
    );
    shop.world.cluster.script_fate("/web:", Fate::Ready);
    hears(shop.pushes(1)).await.ends(0, "deployed");
    assert!(
        shop.comment(1).contains("Preview ready"),
        "{}",
        shop.comment(1)
    );
    // Also when the ledger has forgotten where it is.
    shop.change_record(1, |record| record["comment"] = Value::Null);
    hears(shop.closes(1)).await.ends(0, "removed");
    assert!(
        shop.comment(1).contains("Preview removed"),
        "{}",
        shop.comment(1)
    );
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_bottom_each_deploy_posts_once_and_leaves_one() {
    let shop = Shop::open().await;
    let hears = async |event: Event| go(&shop, &event, &[("comment-position", "bottom")]).await;
    hears(shop.opens(1)).await.ends(0, "deployed");
    let first = shop.status_comments(1)[0].id;
    hears(shop.pushes(1)).await.ends(0, "deployed");
    assert_eq!(
        shop.status_comments(1)[0].id,
        first,
        "it is the last one already"
    );
    shop.world.github.comment(SHOP, 1, "bob", "nice");
    hears(shop.pushes(1)).await.ends(0, "deployed");
    let all = shop.world.github.all_comments(SHOP, 1);
    let ours: Vec<_> = all
        .iter()
        .filter(|one| one.body.contains("kind=status"))
        .collect();
    assert_eq!(ours.len(), 2, "one post a deploy: {ours:#?}");
    assert!(ours[0].deleted_at.is_some() && ours[1].deleted_at.is_none());
    assert_eq!(
        shop.world.github.comments(SHOP, 1).last().unwrap().id,
        ours[1].id
    );
    assert!(shop.comment(1).contains("Preview ready"));
    let since = shop.world.github.all_comments(SHOP, 1).len();
    hears(shop.says(1, "alice", "/extend 9d"))
        .await
        .ends(0, "extended");
    hears(shop.closes(1)).await.ends(0, "removed");
    assert_eq!(
        shop.world.github.all_comments(SHOP, 1).len(),
        since + 1,
        "only the command"
    );
    assert!(shop.comment(1).contains("Preview removed"));
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_lost_while_it_moves_one_comment_stays() {
    let posts = "/repos/acme/shop/issues/1/comments";
    let one = "/repos/acme/shop/issues/comments/*";
    let bad = || json!("<h1>502 Bad Gateway</h1>");
    for (method, path) in [
        ("POST", posts),
        ("GET", posts),
        ("GET", one),
        ("DELETE", one),
    ] {
        for action in [
            Action::Close,
            Action::WriteThenClose,
            Action::WriteThenAnswer {
                status: 502,
                body: bad(),
            },
            Action::Answer {
                status: 403,
                body: json!({"message": "You have exceeded a secondary rate limit."}),
                headers: vec![("retry-after".into(), "3000".into())],
            },
        ] {
            let shop = Shop::open().await;
            let bottom = [("comment-position", "bottom")];
            let hears = async |event: Event| go(&shop, &event, &bottom).await;
            hears(shop.opens(1)).await.ends(0, "deployed");
            shop.world.github.comment(SHOP, 1, "bob", "nice");
            let pushed = shop.pushes(1);
            shop.world
                .github
                .inject(Fault::on(method, path, action.clone()));
            hears(pushed).await;
            shop.world.github.clear_faults();
            shop.world.advance(std::time::Duration::from_secs(3600));
            hears(shop.schedule()).await.ends(0, "swept");
            let when = format!("{method} {path} {action:?}");
            let ours = shop.status_comments(1);
            assert_eq!(ours.len(), 1, "{when}: {ours:#?}");
            let head = shop.world.github.head(SHOP, 1);
            assert!(
                ours[0].body.contains("Preview ready") && ours[0].body.contains(&head[..7]),
                "{when}: {ours:#?}"
            );
            shop.ends();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_comment_holds_what_programs_read_and_nothing_believes_it() {
    let hidden = |body: &str| -> Value {
        let line = body.lines().nth(1).unwrap();
        let json = line.strip_prefix("<!-- preview-action result ").unwrap();
        serde_json::from_str(json.strip_suffix(" -->").unwrap()).unwrap()
    };
    let shop = Shop::open().await;
    let seen = shop.deployed(1).await;
    let head = shop.world.github.head(SHOP, 1);
    let said = hidden(&shop.comment(1));
    let result: Value = serde_json::from_str(seen.output("result")).unwrap();
    for (name, value) in said.as_object().unwrap() {
        assert_eq!(*value, result[name], "{name}");
    }
    assert_eq!(
        (&said["version"], &said["state"], &said["sha"]),
        (&1.into(), &"ready".into(), &head.as_str().into())
    );

    // Somebody who may write edits it.
    let forge = || {
        let comment = shop.status_comments(1).remove(0);
        let lie = comment
            .body
            .replace(&head, &"e".repeat(40))
            .replace("pr-1.preview.example.test", "evil.example")
            .replace("\"ready\"", "\"removed\"");
        assert_ne!(lie, comment.body);
        shop.world.github.edit_comment(SHOP, comment.id, &lie);
    };
    for (command, reason) in [("/status", "status-shown"), ("/deploy", "unchanged")] {
        forge();
        let seen = shop.hears(&shop.says(1, "alice", command)).await;
        seen.ends(0, reason);
        assert!(shop.namespaces().contains(&"pr-shop-1".into()), "{command}");
    }
    let said = hidden(&shop.comment(1));
    assert_eq!(
        (&said["state"], &said["sha"], &said["url"]),
        (
            &"ready".into(),
            &head.as_str().into(),
            &"http://pr-1.preview.example.test".into()
        )
    );
    assert!(
        !shop.comment(1).contains("evil.example"),
        "{}",
        shop.comment(1)
    );
    assert_eq!(states(&shop, &"e".repeat(40)), [""; 0]);
    shop.ends();
}
