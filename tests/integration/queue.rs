//! Who finds no slot waits in line, and is deployed by the run that frees one.

use crate::{
    reactions::reactions,
    support::{CONFIGURATION, Event, ONE_SERVICE, SHOP, Shop},
};
use preview_action::simulate::Fault;
use serde_json::json;
use std::time::Duration;

/// Three previews that hold all slots, and these pull requests in line.
async fn full(shop: &Shop, waiting: std::ops::RangeInclusive<u64>) {
    shop.filled().await;
    for pr in waiting {
        shop.hears(&shop.opens(pr)).await.ends(0, "queued");
    }
}

#[track_caller]
pub(crate) fn comment_says(shop: &Shop, pr: u64, text: &str) {
    let comment = shop.comment(pr);
    assert!(comment.contains(text), "no {text:?} in\n{comment}");
}

/// A pull request's own run has the inputs of its own workflow, which it may have changed.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_deployed_by_what_another_pull_request_has_changed_in_the_workflow() {
    const WORKFLOW: &str = ".github/workflows/preview.yml";
    let shop = Shop::open().await;
    full(&shop, 4..=5).await;
    let usual = [(WORKFLOW, "on: pull_request # as ever\n")];
    let usual = shop.world.github.commit(SHOP, "main", &usual);
    let changed = [(WORKFLOW, "on: pull_request # elsewhere\n")];
    let changed = shop.world.github.push(SHOP, 1, &changed);
    let closes = |pr| Event {
        name: "pull_request".into(),
        ..shop.closes(pr)
    };
    let closed = shop
        .run(&closes(1))
        .variable("GITHUB_WORKFLOW_SHA", &changed)
        .input("domain", "elsewhere.example.test");
    closed.go().await.ends(0, "removed");
    assert_eq!((shop.holders(), shop.line()), (vec![2, 3], vec![4, 5]));
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    assert_eq!((shop.holders(), shop.line()), (vec![2, 3, 4], vec![5]));
    assert!(shop.comment(4).contains("preview.example.test"));
    let closed = shop.run(&closes(2));
    let closed = closed.variable("GITHUB_WORKFLOW_SHA", &usual);
    closed.go().await.ends(0, "removed");
    assert_eq!((shop.holders(), shop.line()), (vec![3, 4, 5], vec![]));
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_is_told_the_place_and_deployed_by_the_run_that_frees_a_slot() {
    let shop = Shop::open().await;
    full(&shop, 4..=4).await;
    let fifth = shop.hears(&shop.opens(5)).await;
    fifth.ends(0, "queued");
    assert_eq!(fifth.output("state"), "queued");
    for text in [
        "number 2 in line",
        "#1",
        "#2",
        "#3",
        "alice",
        "issuecomment-new",
    ] {
        fifth.says(text);
    }
    let noticed = |line: &String| line.starts_with("::notice") && line.contains("number 2 in line");
    assert!(
        fifth.annotations().iter().any(noticed),
        "{:?}",
        fifth.annotations()
    );
    assert_eq!(shop.line(), [4, 5]);
    // What was pushed while it waited is what is deployed.
    shop.world.github.push(SHOP, 4, &[]);
    let closed = shop.hears(&shop.closes(2)).await;
    closed.ends(0, "removed");
    assert_eq!(closed.output("state"), "removed");
    assert!(
        closed.summary.contains("was first in line"),
        "{}",
        closed.summary
    );
    assert_eq!((shop.holders(), shop.line()), (vec![1, 3, 4], vec![5]));
    let head = shop.world.github.head(SHOP, 4);
    assert!(shop.image("pr-shop-4", "web").ends_with(&head[..7]));
    comment_says(&shop, 4, "Preview ready");
    comment_says(&shop, 4, "slot 2 of 3");
    comment_says(&shop, 5, "number 1 in line");
    comment_says(&shop, 5, "#4");
    // Whoever frees the next slot.
    shop.hears(&shop.says(1, "bob", "/undeploy"))
        .await
        .ends(0, "removed");
    assert_eq!((shop.holders(), shop.line()), (vec![3, 4, 5], vec![]));
    comment_says(&shop, 5, "Preview ready");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_without_a_queue_asks_nobody_anything_more() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    let since = shop.now();
    shop.hears(&shop.closes(1)).await.ends(0, "removed");
    let mut asked = shop.requests("github", since);
    // What stands beside the comment comes after its last word.
    asked.retain(|one| !one.path.contains("/statuses") && !one.path.contains("/deployments"));
    let last = asked.pop().unwrap();
    assert_eq!(
        (
            last.method.as_str(),
            last.path.contains("/issues/comments/")
        ),
        ("GET", true),
        "{last:?}"
    );
    let asked = shop
        .cluster_requests(since)
        .into_iter()
        .filter(|one| one.path.contains("preview-system") && !one.path.ends_with("-runs"));
    let asked: Vec<String> = asked.map(|one| one.method).collect();
    assert_eq!(
        asked,
        ["GET", "PUT", "PUT", "PUT"],
        "turn, slot, end of the turn"
    );
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_queue_is_served_in_order_and_who_closes_leaves_it() {
    let shop = Shop::open().await;
    full(&shop, 4..=7).await;
    // 5 closes while it waits, and GitHub's event for 4 is lost.
    shop.hears(&shop.closes(5))
        .await
        .ends(0, "nothing-to-remove");
    assert_eq!(shop.line(), [4, 6, 7]);
    comment_says(&shop, 6, "number 2 in line");
    comment_says(&shop, 7, "number 3 in line");
    shop.world.github.close(SHOP, 4);
    shop.hears(&shop.closes(1)).await.ends(0, "removed");
    assert_eq!((shop.holders(), shop.line()), (vec![2, 3, 6], vec![7]));
    comment_says(&shop, 6, "Preview ready");
    comment_says(&shop, 7, "number 1 in line");
    // By command it leaves too, and stays away.
    shop.hears(&shop.says(7, "alice", "/undeploy"))
        .await
        .ends(0, "nothing-to-remove");
    assert_eq!(shop.line(), [0; 0]);
    shop.hears(&shop.closes(2)).await.ends(0, "removed");
    assert_eq!(shop.holders(), [3, 6]);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_keeps_its_place_and_what_cannot_be_deployed_gives_it_up() {
    let shop = Shop::open().await;
    full(&shop, 4..=6).await;
    shop.world
        .github
        .push(SHOP, 5, &[(CONFIGURATION, "version: 1\nservices: 7\n")]);
    let missing = Fault::answer(
        "GET",
        "/repos/acme/shop/pulls/4",
        502,
        json!({"message": "Server Error"}),
    );
    shop.world.github.inject(missing.always());
    let closed = shop.hears(&shop.closes(1)).await;
    closed.ends(0, "removed");
    let warned = |line: &String| line.starts_with("::warning") && line.contains("#4");
    assert!(
        closed.annotations().iter().any(warned),
        "{:?}",
        closed.annotations()
    );
    assert_eq!(
        (shop.holders(), shop.line()),
        (vec![2, 3], vec![4, 5, 6]),
        "the slot is kept for it"
    );
    // The fifth is next with a second slot; it cannot be rendered, so the sixth has it.
    let closed = shop.hears(&shop.closes(2)).await;
    closed.ends(0, "removed");
    assert!(
        closed
            .annotations()
            .iter()
            .any(|line| line.starts_with("::warning") && line.contains("#5"))
    );
    comment_says(&shop, 5, "Preview failed");
    shop.world.github.clear_faults();
    let swept = shop.hears(&shop.schedule()).await;
    swept.ends(0, "swept");
    assert_eq!((shop.holders(), shop.line()), (vec![3, 6, 4], vec![]));
    // Mended, it comes back by itself.
    shop.hears(&shop.pushes_files(5, &[(CONFIGURATION, ONE_SERVICE)]))
        .await
        .ends(0, "queued");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_github_does_not_show_for_an_hour_nobody_waits_behind() {
    let shop = Shop::open().await;
    full(&shop, 4..=6).await;
    let hidden = Fault::answer(
        "GET",
        "/repos/acme/shop/pulls/4",
        502,
        json!({"message": "Server Error"}),
    );
    shop.world.github.inject(hidden.always());
    shop.hears(&shop.closes(1)).await.ends(0, "removed");
    let minutes = |minutes: u64| shop.world.advance(Duration::from_secs(60 * minutes));
    minutes(50);
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    assert_eq!((shop.holders(), shop.line()), (vec![2, 3], vec![4, 5, 6]));
    minutes(20);
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    assert_eq!((shop.holders(), shop.line()), (vec![2, 3, 5], vec![6, 4]));
    comment_says(&shop, 6, "number 1 in line");
    // It comes up like everybody else once it is shown.
    shop.world.github.clear_faults();
    shop.hears(&shop.closes(2)).await.ends(0, "removed");
    shop.hears(&shop.closes(3)).await.ends(0, "removed");
    assert_eq!((shop.holders(), shop.line()), (vec![5, 6, 4], vec![]));
    comment_says(&shop, 4, "Preview ready");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_the_line_closed_is_told_so_by_the_next_sweep_where_github_did_not_take_it() {
    let shop = Shop::open().await;
    full(&shop, 4..=4).await;
    // GitHub's own event for it is lost.
    shop.world.github.close(SHOP, 4);
    let comment = shop.status_comments(4).remove(0).id;
    let refused = Fault::answer(
        "PATCH",
        &format!("/repos/acme/shop/issues/comments/{comment}"),
        422,
        json!({"message": "no"}),
    );
    shop.world.github.inject(refused.always());
    shop.hears(&shop.closes(1)).await.ends(0, "removed");
    assert_eq!((shop.holders(), shop.line()), (vec![2, 3], vec![]));
    comment_says(&shop, 4, "number 1 in line");
    shop.world.github.clear_faults();
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    let comment = shop.comment(4);
    assert!(!comment.contains("in line"), "{comment}");
    assert!(shop.record(4)["removing"].is_null(), "{}", shop.record(4));
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promoted_deploy_that_fails_tells_its_own_pull_request_and_no_other() {
    let shop = Shop::open().await;
    full(&shop, 4..=5).await;
    let broken = ONE_SERVICE.replace("web:{short-sha}", "web:crash-{short-sha}");
    shop.world.github.push(SHOP, 4, &[(CONFIGURATION, &broken)]);
    let closed = shop.hears(&shop.closes(1)).await;
    closed.ends(0, "removed");
    closed.says("Preview removed");
    assert!(
        closed
            .annotations()
            .iter()
            .any(|line| line.starts_with("::warning") && line.contains("#4"))
    );
    comment_says(&shop, 4, "Preview failed");
    assert_eq!(
        (shop.holders(), shop.line()),
        (vec![2, 3, 4], vec![5]),
        "it keeps its slot, so that somebody can look at it"
    );
    // A scheduled run later somebody else has waited long enough.
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    assert_eq!((shop.holders(), shop.line()), (vec![2, 3, 5], vec![]));
    comment_says(&shop, 4, "its slot went to [\\#5]");
    comment_says(&shop, 5, "Preview ready");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_falls_asleep_or_expires_lets_the_next_one_in_before_the_run_ends() {
    for expires in [false, true] {
        let shop = Shop::open().await;
        full(&shop, 4..=5).await;
        if expires {
            shop.unused_for(1, 30);
            shop.hears(&shop.schedule()).await.ends(0, "swept");
            assert_eq!((shop.holders(), shop.line()), (vec![1, 2, 3], vec![4, 5]));
            shop.hears(&shop.schedule()).await.ends(0, "swept");
        } else {
            let slept = shop.hears(&shop.says(1, "alice", "/sleep")).await;
            slept.ends(0, "slept");
        }
        assert_eq!((shop.holders(), shop.line()), (vec![2, 3, 4], vec![5]));
        comment_says(&shop, 4, "Preview ready");
        comment_says(&shop, 5, "number 1 in line");
        shop.ends();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_comes_to_nothing_is_the_next_ones_in_the_same_run() {
    let shop = Shop::open().await;
    full(&shop, 4..=5).await;
    let refused = Fault::answer(
        "POST",
        "/api/v1/namespaces",
        403,
        json!({"kind": "Status", "code": 403, "reason": "Forbidden", "message": "no more namespaces"}),
    );
    shop.world.cluster.inject(refused.times(1));
    shop.hears(&shop.closes(1)).await.ends(0, "removed");
    assert_eq!((shop.holders(), shop.line()), (vec![2, 3, 5], vec![]));
    comment_says(&shop, 4, "Preview failed");
    comment_says(&shop, 4, "no more namespaces");
    comment_says(&shop, 5, "Preview ready");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_github_did_not_take_is_told_by_the_next_run() {
    let shop = Shop::open().await;
    full(&shop, 4..=6).await;
    let refused = Fault::answer(
        "PATCH",
        "/repos/acme/shop/issues/comments/*",
        422,
        json!({"message": "no"}),
    );
    shop.world.github.inject(refused.nth(3).times(1));
    shop.hears(&shop.closes(4))
        .await
        .ends(0, "nothing-to-remove");
    let told = |pr: u64| shop.ledger().unwrap()["queue"][pr as usize]["told"].clone();
    let wrong = (0..2)
        .filter(|index| told(*index) != json!(index + 1))
        .count();
    assert_eq!(wrong, 1, "{:?}", shop.ledger());
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    comment_says(&shop, 5, "number 1 in line");
    comment_says(&shop, 6, "number 2 in line");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_dies_while_it_promotes_loses_nobodys_place() {
    for k in [4, 8, 12, 16, 20] {
        let shop = Shop::open().await;
        full(&shop, 4..=5).await;
        let close = shop.closes(1);
        shop.run(&close).dies_at("cluster", k).await;
        // Half a minute later the dead run's turns are anybody's.
        shop.world.advance(Duration::from_secs(180));
        shop.hears(&shop.schedule()).await.ends(0, "swept");
        shop.hears(&shop.schedule()).await.ends(0, "swept");
        assert_eq!(shop.holders().len(), 3, "at {k}: {:?}", shop.ledger());
        assert_eq!(shop.line(), [5], "at {k}: {:?}", shop.ledger());
        comment_says(&shop, 5, "number 1 in line");
        shop.ends();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_that_leave_at_once_let_as_many_in() {
    let shop = Shop::open().await;
    full(&shop, 4..=8).await;
    let closes: Vec<_> = (1..=3).map(|pr| shop.closes(pr)).collect();
    let ended = futures::future::join_all(closes.iter().map(|event| shop.hears(event))).await;
    for seen in &ended {
        seen.ends(0, "removed");
    }
    let mut holders = shop.holders();
    holders.sort_unstable();
    assert_eq!((holders, shop.line()), (vec![4, 5, 6], vec![7, 8]));
    for (pr, text) in [
        (4, "ready"),
        (5, "ready"),
        (6, "ready"),
        (7, "number 1 in line"),
        (8, "number 2 in line"),
    ] {
        comment_says(&shop, pr, text);
    }
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn by_dispatch_a_run_of_its_own_is_started_once() {
    let shop = Shop::open().await;
    full(&shop, 4..=5).await;
    let close = shop.closes(1);
    let closed = shop.run(&close).input("promote", "dispatch").go().await;
    closed.ends(0, "removed");
    assert_eq!(shop.line(), [4, 5], "it has not begun yet");
    let push = shop.pushes(2);
    shop.run(&push)
        .input("promote", "dispatch")
        .go()
        .await
        .ends(0, "deployed");
    let started = shop.world.github.started(SHOP);
    assert_eq!(started.len(), 1, "{started:?}");
    assert_eq!(
        (started[0].workflow.as_str(), started[0].branch.as_str()),
        ("preview.yml", "main")
    );
    assert_eq!(started[0].inputs, json!({"command": "deploy", "pr": "4"}));
    let dispatched = shop.dispatches(4, "deploy");
    shop.run(&dispatched)
        .input("promote", "dispatch")
        .go()
        .await
        .ends(0, "deployed");
    assert_eq!((shop.holders(), shop.line()), (vec![2, 3, 4], vec![5]));
    comment_says(&shop, 5, "number 1 in line");
    shop.ends();
}

/// A run that waits for the reviewers of an environment is not started again beside itself, nor soon after they have said no.
#[tokio::test(flavor = "multi_thread")]
async fn by_dispatch_reviewers_are_asked_once() {
    let shop = Shop::open().await;
    full(&shop, 4..=4).await;
    let by_dispatch = async |event: &Event| shop.run(event).input("promote", "dispatch").go().await;
    by_dispatch(&shop.closes(1)).await.ends(0, "removed");
    let started = || shop.world.github.started(SHOP).len();
    let minutes = |minutes: u64| shop.world.advance(Duration::from_secs(60 * minutes));
    assert_eq!(started(), 1);
    for status in ["waiting", "queued", "in_progress"] {
        shop.world.github.set_started(SHOP, status);
        minutes(60);
        by_dispatch(&shop.schedule()).await.ends(0, "swept");
        assert_eq!(started(), 1, "{status}");
    }
    shop.world.github.set_started(SHOP, "completed");
    for (after, calls) in [(11, 2), (11, 2), (11, 3), (30, 3), (11, 4)] {
        minutes(after);
        by_dispatch(&shop.schedule()).await.ends(0, "swept");
        assert_eq!(started(), calls, "after {after} minutes more");
    }
    assert_eq!(shop.line(), [4], "its place is its own");
    shop.ends();
}

/// What somebody else has started, and the very run that looks, is not the run that was started for who waits.
#[tokio::test(flavor = "multi_thread")]
async fn by_dispatch_nobody_elses_run_keeps_one_from_being_called() {
    for of in ["somebody", "itself"] {
        let shop = Shop::open().await;
        full(&shop, 4..=4).await;
        let close = shop.closes(1);
        let closed = shop.run(&close).input("promote", "dispatch").go().await;
        closed.ends(0, "removed");
        let sweep = shop.run(&shop.schedule()).input("promote", "dispatch");
        let github = &shop.world.github;
        if of == "itself" {
            github.starts(SHOP, "preview.yml", sweep.number(), "in_progress");
        }
        shop.world.advance(Duration::from_secs(60 * 11));
        if of == "somebody" {
            github.starts(SHOP, "preview.yml", 77, "waiting");
        }
        sweep.go().await.ends(0, "swept");
        let started = github.started(SHOP);
        let calls = started.iter().filter(|one| one.inputs["pr"] == "4");
        assert_eq!(calls.count(), 2, "{of}: {started:#?}");
        shop.ends();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_keeps_nobody_from_being_called_or_told() {
    let writes = |shop: &Shop, since: usize| {
        let put = |record: &&preview_action::simulate::Record| {
            record.method == "PUT" && record.path.contains("configmaps")
        };
        shop.cluster_requests(since).iter().filter(put).count()
    };
    let mut most = 1;
    for k in 0.. {
        if k > most {
            break;
        }
        let shop = Shop::open().await;
        full(&shop, 4..=5).await;
        let before = shop.now();
        if k > 0 {
            let lost = preview_action::simulate::Action::WriteThenClose;
            let fault = Fault::on("PUT", "/api/v1/namespaces/*/configmaps/*", lost);
            shop.world.cluster.inject(fault.nth(k));
        }
        let close = shop.closes(1);
        let closed = shop.run(&close).input("promote", "dispatch").go().await;
        closed.ends(0, "removed");
        most = most.max(writes(&shop, before));
        let started = shop.world.github.started(SHOP);
        assert_eq!(started.len(), 1, "write {k}: {started:?}");
        comment_says(&shop, 4, "number 1 in line");
        comment_says(&shop, 5, "number 2 in line");
        shop.ends();
    }
    assert!(most >= 4, "{most} writes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_started_under_a_lost_answer_is_not_started_twice() {
    use preview_action::simulate::Action;
    for lost in [
        Action::WriteThenClose,
        Action::WriteThenAnswer {
            status: 502,
            body: json!({}),
        },
    ] {
        let shop = Shop::open().await;
        full(&shop, 4..=4).await;
        let path = "/repos/acme/shop/actions/workflows/*/dispatches";
        shop.world.github.inject(Fault::on("POST", path, lost));
        for event in [shop.closes(1), shop.schedule()] {
            let run = shop.run(&event).input("promote", "dispatch").go().await;
            assert_eq!(run.exit, 0, "{run:#?}");
        }
        assert_eq!(shop.world.github.started(SHOP).len(), 1);
        shop.ends();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_right_to_start_a_run_people_are_told_which_line_is_missing() {
    let shop = Shop::open().await;
    full(&shop, 4..=4).await;
    let refused = Fault::answer(
        "POST",
        "/repos/acme/shop/actions/workflows/*/dispatches",
        403,
        json!({"message": "Resource not accessible by integration"}),
    );
    shop.world.github.inject(refused.always());
    let close = shop.closes(1);
    let closed = shop.run(&close).input("promote", "dispatch").go().await;
    closed.ends(0, "removed");
    assert!(
        closed
            .annotations()
            .iter()
            .any(|line| line.contains("actions: write")),
        "{:?}",
        closed.annotations()
    );
    shop.world.github.clear_faults();
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    assert_eq!((shop.holders(), shop.line()), (vec![2, 3, 4], vec![]));
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_of_one_that_waits_is_its_place() {
    let shop = Shop::open().await;
    full(&shop, 4..=4).await;
    let seen = shop.hears(&shop.says(4, "alice", "/status")).await;
    seen.ends(0, "status-shown");
    assert_eq!(seen.output("state"), "queued");
    seen.says("number 1 in line");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_moved_aside_for_what_cannot_be_deployed() {
    let shop = Shop::open().await;
    shop.world.github.add_user("mia");
    shop.world
        .github
        .set_permission(SHOP, "mia", "write", "maintain");
    full(&shop, 4..=4).await;
    shop.opens(6);
    let own = format!("{ONE_SERVICE}templates: [deploy/*.yaml.j2]\n");
    let template = ("deploy/web.yaml.j2", "{% if %}");
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: own}\nspec: {hostNetwork: true, containers: [{name: a, image: b}]}\n";
    for files in [
        vec![(CONFIGURATION, "version: 1\nservices: {web: {port: 8080}}\n")],
        vec![(CONFIGURATION, own.as_str()), template],
        vec![(CONFIGURATION, own.as_str()), (template.0, pod)],
    ] {
        shop.world.github.push(SHOP, 6, &files);
        let asked = shop.hears(&shop.says(6, "mia", "/deploy --take #2")).await;
        assert_eq!(asked.exit, 1, "{asked:#?}");
        assert_eq!((shop.holders(), shop.line()), (vec![1, 2, 3], vec![4]));
        assert!(shop.namespaces().contains(&"pr-shop-2".into()));
        comment_says(&shop, 6, "Preview failed");
        comment_says(&shop, 2, "Preview ready");
    }
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_maintainer_takes_a_slot_and_its_owner_is_told_by_whom_and_for_whom() {
    let shop = Shop::open().await;
    shop.world.github.add_user("mia");
    shop.world
        .github
        .set_permission(SHOP, "mia", "write", "maintain");
    full(&shop, 4..=5).await;
    shop.opens(6);
    let denied = shop.hears(&shop.says(6, "bob", "/deploy --take #2")).await;
    denied.ends(0, "permission-denied");
    let told = |line: &String| line.contains("`write`") && line.contains("`maintain` or `admin`");
    assert!(
        denied.annotations().iter().any(told),
        "{:?}",
        denied.annotations()
    );
    for (body, text) in [
        ("/deploy --take #6", "#6 is this pull request"),
        (
            "/deploy --take 5",
            "#5 holds no slot; name one that does: #1, #2, #3",
        ),
    ] {
        let event = shop.says(6, "mia", body);
        let refused = shop.hears(&event).await;
        refused.ends(0, "nothing-to-take");
        // The comment keeps a number from becoming a link.
        let (cause, _) = text.split_once(';').unwrap_or((text, ""));
        refused.says(cause.trim_start_matches('#'));
        assert_eq!(reactions(&shop, &event), ["eyes", "rocket", "confused"]);
        assert!(
            refused.annotations().iter().any(|line| line.contains(text)),
            "{:?}",
            refused.annotations()
        );
    }
    shop.amend(|ledger| ledger["previews"]["1"]["pinned"] = true.into());
    let pinned = shop.hears(&shop.says(6, "mia", "/deploy --take #1")).await;
    pinned.ends(0, "nothing-to-take");
    assert!(
        pinned
            .annotations()
            .iter()
            .any(|line| line.contains("comment `/unpin` on #1 first"))
    );
    assert_eq!((shop.holders(), shop.line()), (vec![1, 2, 3], vec![4, 5]));

    let sha = "0".repeat(40);
    let other = shop.says(6, "mia", &format!("/deploy {sha} --take #2"));
    shop.hears(&other).await.ends(0, "commit-unknown");
    assert_eq!((shop.holders(), shop.line()), (vec![1, 2, 3], vec![4, 5]));
    let sha = shop.world.github.head(SHOP, 6);
    let named = shop.says(6, "mia", &format!("/deploy {sha} --take #2"));
    let taken = shop.hears(&named).await;
    taken.ends(0, "deployed");
    taken.says("slot 2 of 3");
    assert_eq!((shop.holders(), shop.line()), (vec![1, 3, 6], vec![4, 5]));
    comment_says(&shop, 2, "Preview removed");
    comment_says(&shop, 2, "`mia` moved it aside for [\\#6]");
    comment_says(&shop, 2, "@alice");
    comment_says(&shop, 4, "number 1 in line");
    // Who was moved aside comes back behind those who wait.
    shop.hears(&shop.says(2, "alice", "/deploy"))
        .await
        .ends(0, "queued");
    assert_eq!(shop.line(), [4, 5, 2]);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_moved_aside_where_a_slot_is_free_or_held_already() {
    let shop = Shop::open().await;
    shop.world
        .github
        .set_permission(SHOP, "bob", "admin", "admin");
    shop.deployed(1).await;
    shop.opens(2);
    for _ in 0..2 {
        let seen = shop.hears(&shop.says(2, "bob", "/deploy --take 1")).await;
        assert_eq!(seen.exit, 0, "{seen:#?}");
        assert!(
            seen.annotations()
                .iter()
                .any(|line| line.contains("#1 was left alone")),
            "{:?}",
            seen.annotations()
        );
        assert_eq!(shop.holders(), [1, 2]);
    }
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_whose_first_deploy_failed_gives_way_unless_it_is_pinned() {
    let broken = ONE_SERVICE.replace("web:{short-sha}", "web:crash-{short-sha}");
    let shop = Shop::open().await;
    for pr in [1, 2] {
        shop.deployed(pr).await;
    }
    let opened = shop.opens(3);
    drop(opened);
    let failed = shop
        .hears(&shop.pushes_files(3, &[(CONFIGURATION, &broken)]))
        .await;
    failed.ends(1, "crash-loop");
    assert_eq!(shop.holders(), [1, 2, 3], "it stays for a look at it");
    shop.amend(|ledger| ledger["previews"]["3"]["pinned"] = true.into());
    shop.hears(&shop.opens(4)).await.ends(0, "queued");
    shop.amend(|ledger| ledger["previews"]["3"]["pinned"] = false.into());
    // The slot goes to the first in line, and the newcomer waits behind nobody then.
    shop.hears(&shop.opens(5)).await.ends(0, "queued");
    assert_eq!((shop.holders(), shop.line()), (vec![1, 2, 4], vec![5]));
    comment_says(&shop, 3, "its slot went to [\\#4]");
    comment_says(&shop, 4, "Preview ready");
    comment_says(&shop, 5, "number 1 in line");
    // A failed update of one that was ready gives way to nobody.
    let push = shop.pushes_files(1, &[(CONFIGURATION, &broken)]);
    shop.hears(&push).await.ends(1, "crash-loop");
    shop.hears(&shop.opens(6)).await.ends(0, "queued");
    assert_eq!((shop.holders(), shop.line()), (vec![1, 2, 4], vec![5, 6]));
    // Mended, the third comes back behind those who wait.
    shop.hears(&shop.pushes_files(3, &[(CONFIGURATION, ONE_SERVICE)]))
        .await
        .ends(0, "queued");
    assert_eq!(shop.line(), [5, 6, 3]);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_of_slots_stay_with_the_preview_and_go_to_whoever_has_the_slot_next() {
    let two = format!(
        "{ONE_SERVICE}  api: {{image: 'registry.example/api:{{sha}}', port: 8080, public: true}}\n"
    );
    let shop = Shop::selling(&two).await;
    let by_slot = |event| {
        let shop = &shop;
        async move { shop.run(&event).input("url-mode", "slot").go().await }
    };
    for pr in [11, 12, 13] {
        let seen = by_slot(shop.opens(pr)).await;
        seen.ends(0, "deployed");
        seen.says(&format!("http://pr{}.preview.example.test", pr - 10));
        seen.says(&format!("http://pr{}-api.preview.example.test", pr - 10));
    }
    // The second keeps its slot over a redeploy; the first one's goes to who waits.
    by_slot(shop.opens(14)).await.ends(0, "queued");
    by_slot(shop.pushes(12))
        .await
        .says("http://pr2.preview.example.test");
    by_slot(shop.closes(11)).await.ends(0, "removed");
    comment_says(&shop, 14, "http://pr1.preview.example.test");
    assert_eq!(shop.holders(), [12, 13, 14]);
    by_slot(shop.pushes(12))
        .await
        .says("http://pr2.preview.example.test");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_somebody_else_took_meanwhile_renders_the_hosts_anew() {
    let shop = Shop::open().await;
    let events: Vec<_> = (1..=3).map(|pr| shop.opens(pr)).collect();
    let runs = events
        .iter()
        .map(|event| shop.run(event).input("url-mode", "slot").go());
    let seen = futures::future::join_all(runs).await;
    let mut hosts: Vec<String> = seen
        .iter()
        .map(|seen| seen.output("url").to_owned())
        .collect();
    hosts.sort();
    let expected = [1, 2, 3].map(|slot| format!("http://pr{slot}.preview.example.test"));
    assert_eq!(hosts, expected, "{seen:#?}");
    for seen in &seen {
        let slot = seen
            .output("url")
            .trim_start_matches("http://pr")
            .chars()
            .next()
            .unwrap();
        seen.says(&format!("slot {slot} of 3"));
    }
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schedule_finds_a_slot_whose_namespace_was_deleted_by_hand() {
    let shop = Shop::open().await;
    full(&shop, 4..=4).await;
    shop.world.cluster.delete("Namespace", "", "pr-shop-2");
    shop.gone("pr-shop-2").await;
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    assert_eq!((shop.holders(), shop.line()), (vec![1, 3, 4], vec![]));
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_refused_waits_no_more() {
    let shop = Shop::open().await;
    full(&shop, 4..=5).await;
    let push = shop.pushes(4);
    let refused = shop.run(&push).input("when-full", "refuse").go().await;
    refused.ends(0, "at-capacity");
    assert_eq!(shop.line(), [5]);
    comment_says(&shop, 5, "number 1 in line");
    shop.ends();
}
