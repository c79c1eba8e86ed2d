//! Several runs of one preview: the newest has the word, and a run that died is made good by the next.

use crate::support::{Event, LEDGER, ONE_SERVICE, Seen, Shop};
use preview_action::simulate::{Action, Fault, Record};
use rstest::rstest;
use std::{sync::Arc, time::Duration};
use tokio::sync::Notify;

/// True once a request with this method and end of its path was made.
fn asked(method: &'static str, end: &'static str) -> impl Fn(&[Record]) -> bool {
    move |records| {
        records
            .iter()
            .any(|record| record.method == method && record.path.ends_with(end))
    }
}

/// Waits until so many runs of pull request 1 have asked for their turn.
async fn sequence(shop: &Shop, runs: u64) {
    let reached = |_: &_| {
        let ledger = shop.ledger().unwrap_or_default();
        ledger["previews"]["1"]["sequence"].as_u64() >= Some(runs)
    };
    shop.world.cluster.wait_until(reached).await;
}

#[track_caller]
fn quiet_end(shop: &Shop, prs: &[u64]) {
    let namespaces: Vec<String> = prs.iter().map(|pr| format!("pr-shop-{pr}")).collect();
    assert_eq!(shop.namespaces(), namespaces);
    assert_eq!(shop.holders(), prs);
    let ledger = shop.ledger().unwrap_or_default();
    for (key, record) in ledger["previews"].as_object().into_iter().flatten() {
        assert!(
            record["active"].is_null(),
            "{key} is still at work: {record}"
        );
    }
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_commit_takes_over_from_an_older_one_that_waits_for_its_pods() {
    let shop = Shop::open().await;
    let older = shop.opens(1);
    shop.world.cluster.hold();
    let newer = async {
        shop.world
            .log
            .wait_until(asked("PATCH", "/ingresses/web"))
            .await;
        let push = shop.pushes(1);
        let run = shop.hears(&push);
        let release = async {
            sequence(&shop, 2).await;
            shop.world.cluster.release();
        };
        tokio::join!(run, release).0
    };
    let (older, newer) = tokio::join!(shop.hears(&older), newer);
    older.ends(0, "superseded");
    newer.ends(0, "deployed");
    let head = shop.world.github.head("acme/shop", 1);
    newer.one_comment();
    newer.says(&head[..7]);
    assert_eq!(newer.output("sha"), head);
    assert_eq!(
        shop.image("pr-shop-1", "web"),
        format!("registry.example/web:{}", &head[..7])
    );
    quiet_end(&shop, &[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_run_whose_image_never_comes_gives_way_at_its_next_heart_beat() {
    let shop = Shop::selling(
        &ONE_SERVICE
            .replace("web:", "web:never-")
            .replace("never-\n", "\n"),
    )
    .await;
    let older = shop.opens(1);
    let newer = async {
        shop.world
            .log
            .wait_until(asked("PATCH", "/ingresses/web"))
            .await;
        let push = shop.pushes_files(1, &[(crate::support::CONFIGURATION, ONE_SERVICE)]);
        shop.hears(&push).await
    };
    let (older, newer) = tokio::join!(shop.hears(&older), newer);
    older.ends(0, "superseded");
    newer.ends(0, "deployed");
    newer.one_comment();
    assert!(newer.took < Duration::from_secs(100), "{:?}", newer.took);
    quiet_end(&shop, &[1]);
}

/// After the edits before it, GitHub takes the last one only when it is told to.
#[rstest]
#[case::deploy("/deploy", 2, "deployed")]
#[case::rollback("/rollback", 2, "deployed")]
#[case::wake("/wake", 2, "deployed")]
#[case::undeploy("/undeploy", 2, "removed-by-command")]
#[case::pin("/pin", 1, "deployed")]
#[tokio::test(flavor = "multi_thread")]
async fn who_is_slow_to_say_its_last_word_is_waited_for(
    #[case] command: &str,
    #[case] edit: usize,
    #[case] newer_ends: &str,
) {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    shop.hears(&shop.pushes(1)).await.ends(0, "deployed");
    if command == "/wake" {
        let sleep = shop.says(1, "alice", "/sleep");
        shop.hears(&sleep).await.ends(0, "slept");
    }
    let (event, from) = (shop.says(1, "alice", command), shop.now());
    let go = Arc::new(Notify::new());
    let held = Action::Hold(go.clone());
    let last = Fault::on("PATCH", "/repos/acme/shop/issues/comments/*", held);
    shop.world.github.inject(last.nth(edit));
    let newer = async {
        let edits = |one: &&Record| one.method == "PATCH" && one.path.contains("/comments/");
        let said = |log: &[Record]| log[from..].iter().filter(edits).count() == edit;
        shop.world.log.wait_until(said).await;
        let at_work = shop.record(1);
        let push = shop.pushes(1);
        let beats = async {
            sequence(&shop, at_work["sequence"].as_u64().unwrap() + 1).await;
            let beats =
                |_: &_| shop.record(1)["active"]["heartbeat"] != at_work["active"]["heartbeat"];
            shop.world.cluster.wait_until(beats).await;
            assert_eq!(shop.record(1)["active"]["run"], at_work["active"]["run"]);
            go.notify_one();
        };
        tokio::join!(shop.hears(&push), beats).0
    };
    let (older, newer) = tokio::join!(shop.hears(&event), newer);
    older.ends(0, "superseded");
    newer.ends(0, newer_ends);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_middle_one_of_three_runs_ends_superseded() {
    let shop = Shop::open().await;
    let first = shop.opens(1);
    shop.world.cluster.hold();
    let others = async {
        shop.world
            .log
            .wait_until(asked("PATCH", "/ingresses/web"))
            .await;
        let second = shop.pushes(1);
        let second = shop.run(&second).go();
        let third = async {
            sequence(&shop, 2).await;
            let third = shop.pushes(1);
            let release = async {
                sequence(&shop, 3).await;
                shop.world.cluster.release();
            };
            tokio::join!(shop.hears(&third), release).0
        };
        tokio::join!(second, third)
    };
    let (first, (second, third)) = tokio::join!(shop.hears(&first), others);
    first.ends(0, "superseded");
    second.ends(0, "superseded");
    third.ends(0, "deployed");
    third.one_comment();
    quiet_end(&shop, &[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_before_anything_is_applied_ends_the_run_without_a_workload() {
    let shop = Arc::new(Shop::open().await);
    let opened = shop.opens(1);
    let weak = Arc::downgrade(&shop);
    let push = Fault::run("GET", "/repos/acme/shop/pulls/1", move || {
        if let Some(shop) = weak.upgrade() {
            shop.pushes(1);
        }
    });
    // The first look pins the commit, the second one comes before anything is applied.
    shop.world.github.inject(push.nth(2));
    let older = shop.hears(&opened).await;
    older.ends(0, "superseded");
    assert_eq!(shop.world.cluster.objects("Deployment", "").len(), 0);
    quiet_end(&shop, &[]);
    let newer = shop.hears(&shop.pull_event(1, "synchronize")).await;
    newer.ends(0, "deployed");
    newer.one_comment();
    quiet_end(&shop, &[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_while_pods_start_ends_the_run_before_it_says_ready() {
    let shop = Arc::new(Shop::open().await);
    let opened = shop.opens(1);
    let weak = Arc::downgrade(&shop);
    let push = Fault::run("PATCH", "/apis/networking.k8s.io/v1/**", move || {
        if let Some(shop) = weak.upgrade() {
            shop.pushes(1);
        }
    });
    shop.world.cluster.inject(push);
    let older = shop.hears(&opened).await;
    older.ends(0, "superseded");
    assert_eq!(older.output("url"), "");
    for comment in shop.status_comments(1) {
        for (_, body) in comment.history {
            assert!(!body.contains("Preview ready"), "{body}");
        }
    }
    let newer = shop.hears(&shop.pull_event(1, "synchronize")).await;
    newer.ends(0, "deployed");
    newer.one_comment();
    quiet_end(&shop, &[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_comes_late_deploys_nothing() {
    let shop = Shop::open().await;
    let opened = shop.opens(1);
    let pushed = shop.pushes(1);
    shop.hears(&pushed).await.ends(0, "deployed");
    let since = shop.now();
    let late = shop.hears(&opened).await;
    late.ends(0, "superseded");
    let writes = shop.cluster_requests(since);
    let writes: Vec<_> = writes.iter().filter(|one| one.method != "GET").collect();
    assert!(writes.is_empty(), "it takes nobody's turn: {writes:#?}");
    let head = shop.world.github.head("acme/shop", 1);
    assert!(shop.image("pr-shop-1", "web").ends_with(&head[..7]));
    late.one_comment();
    late.says(&head[..7]);
    quiet_end(&shop, &[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_during_a_deploy_leaves_nothing() {
    let shop = Shop::open().await;
    let opened = shop.opens(1);
    shop.world.cluster.hold();
    let close = async {
        shop.world
            .log
            .wait_until(asked("PATCH", "/deployments/web"))
            .await;
        let closed = shop.closes(1);
        shop.world.cluster.release();
        shop.hears(&closed).await
    };
    let (deploy, remove) = tokio::join!(shop.hears(&opened), close);
    deploy.ends(0, "superseded");
    remove.ends(0, "removed");
    remove.one_comment();
    remove.says("removed");
    quiet_end(&shop, &[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_runs_of_the_same_event_deploy_once() {
    let shop = Shop::open().await;
    let opened = shop.opens(1);
    let (one, two) = tokio::join!(shop.hears(&opened), shop.hears(&opened));
    let mut reasons = [one.output("reason-code"), two.output("reason-code")];
    reasons.sort_unstable();
    assert!(
        [["deployed", "superseded"], ["deployed", "unchanged"]].contains(&reasons),
        "{reasons:?}"
    );
    assert_eq!((one.exit, two.exit), (0, 0));
    assert_eq!(shop.status_comments(1).len(), 1);
    quiet_end(&shop, &[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_to_any_write_of_the_ledger_changes_nothing() {
    let writes = {
        let shop = Shop::open().await;
        shop.deployed(1).await;
        let put = |record: &&Record| record.method == "PUT" && record.path.contains("configmaps");
        shop.cluster_requests(0).iter().filter(put).count()
    };
    for k in 1..=writes {
        let shop = Shop::open().await;
        let lost = Fault::on("PUT", LEDGER, Action::WriteThenClose);
        shop.world.cluster.inject(lost.nth(k));
        let seen = shop.deployed(1).await;
        seen.one_comment();
        quiet_end(&shop, &[1]);
    }
}

/// A shop where pushes are not deployed by themselves, and `/deploy` during which somebody pushes.
async fn a_push_during_deploy(
    setting: (&str, &str),
    push: impl FnOnce(Box<dyn Fn() + Send + Sync>) -> (bool, Fault),
) -> (Arc<Shop>, Seen, [String; 2]) {
    let shop = Arc::new(Shop::open().await);
    shop.opens(1);
    let older = shop.world.github.head("acme/shop", 1);
    let event = shop.says(1, "alice", "/deploy");
    let weak = Arc::downgrade(&shop);
    let (of_github, fault) = push(Box::new(move || {
        if let Some(shop) = weak.upgrade() {
            shop.pushes(1);
        }
    }));
    match of_github {
        true => shop.world.github.inject(fault),
        false => shop.world.cluster.inject(fault),
    }
    let seen = shop.run(&event).input(setting.0, setting.1).go().await;
    // The push's own run has nothing to add that would be less true.
    let pushed = shop.pull_event(1, "synchronize");
    let announced = shop.run(&pushed).input(setting.0, setting.1).go().await;
    assert_eq!(announced.exit, 0, "{announced:#?}");
    let newer = shop.world.github.head("acme/shop", 1);
    (shop, seen, [older, newer])
}

const OFF: (&str, &str) = ("auto-deploy", "false");

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_deploys_the_newer_commit_an_overtaken_deploy_names_it_and_the_command() {
    let pulls = "/repos/acme/shop/pulls/1";
    for setting in [OFF, ("labels", "wanted")] {
        let (shop, seen, [older, newer]) = a_push_during_deploy(setting, |hook| {
            (true, Fault::run("GET", pulls, hook).nth(2))
        })
        .await;
        seen.ends(0, "superseded");
        for text in [
            &older[..7],
            &newer[..7],
            "pushes are not deployed by themselves here",
            "/deploy",
        ] {
            seen.says(text);
        }
        assert!(!seen.comment().contains("takes over"), "{}", seen.comment());
        assert!(shop.comment(1).contains("/deploy"), "{}", shop.comment(1));
        let asked = shop.world.github.comments("acme/shop", 1);
        let reactions = asked.iter().flat_map(|one| &one.reactions);
        assert!(
            reactions
                .map(|one| one.1.as_str())
                .any(|one| one == "confused")
        );
        let again = shop.says(1, "alice", "/deploy");
        let again = shop.run(&again).input(setting.0, setting.1).go().await;
        again.ends(0, "deployed");
        assert!(shop.image("pr-shop-1", "web").ends_with(&newer[..7]));
        quiet_end(&shop, &[1]);
    }
}

/// What waits for its build or its approval has a run of its own: nobody is told to ask for it.
#[tokio::test(flavor = "multi_thread")]
async fn where_a_later_run_deploys_the_newer_commit_an_overtaken_deploy_says_so() {
    const BUILD: &str = ".github/workflows/build.yml";
    for input in ["sha", "build-workflow"] {
        let shop = Arc::new(Shop::open().await);
        shop.opens(1);
        let older = shop.world.github.head("acme/shop", 1);
        let (event, value) = match input {
            "sha" => (shop.says(1, "alice", "/deploy"), older.as_str()),
            _ => {
                let payload = shop.world.github.workflow_run_event("acme/shop", 1, BUILD);
                (Event::new("workflow_run", payload, 1), BUILD)
            }
        };
        let weak = Arc::downgrade(&shop);
        let push = move || {
            if let Some(shop) = weak.upgrade() {
                shop.pushes(1);
            }
        };
        let second_look = Fault::run("GET", "/repos/acme/shop/pulls/1", push).nth(2);
        shop.world.github.inject(second_look);
        let seen = shop.run(&event).input(input, value).go().await;
        let newer = shop.world.github.head("acme/shop", 1);
        seen.ends(0, "superseded");
        for text in [&older[..7], &newer[..7], "has a run of its own"] {
            seen.says(text);
        }
        assert!(!seen.comment().contains("/deploy"), "{}", seen.comment());
        let asked = shop.world.github.comments("acme/shop", 1);
        let mut reactions = asked.iter().flat_map(|one| &one.reactions);
        assert!(
            reactions.all(|one| one.1 != "confused"),
            "a run goes on with it"
        );
        quiet_end(&shop, &[]);
    }
}

#[track_caller]
fn ready_beside_the_newer(shop: &Shop, seen: &Seen, [older, newer]: [&str; 2]) {
    seen.ends(0, "deployed");
    for text in [
        "Preview ready",
        &older[..7],
        &newer[..7],
        "**not** deployed",
    ] {
        seen.says(text);
    }
    assert!(shop.image("pr-shop-1", "web").ends_with(&older[..7]));
}

#[tokio::test(flavor = "multi_thread")]
async fn where_pushes_are_not_deployed_what_is_ready_is_called_so_beside_the_newer_commit() {
    let (shop, seen, [older, newer]) = a_push_during_deploy(OFF, |hook| {
        (
            false,
            Fault::run("PATCH", "/apis/networking.k8s.io/v1/**", hook),
        )
    })
    .await;
    ready_beside_the_newer(&shop, &seen, [&older, &newer]);
    let comment = shop.comment(1);
    assert!(
        comment.contains(&newer[..7]) && comment.contains("/deploy"),
        "{comment}"
    );
    quiet_end(&shop, &[1]);
}

/// Filters, a build or a plan keep the push back: nobody takes over, so what is ready is not called unfinished.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_ready_is_called_so_where_the_newer_commit_does_not_come_by_itself() {
    for input in ["drafts", "build-workflow", "sha", "nothing"] {
        let shop = Arc::new(Shop::open().await);
        shop.opens(1);
        let older = shop.world.github.head("acme/shop", 1);
        let event = shop.says(1, "alice", "/deploy");
        let weak = Arc::downgrade(&shop);
        let push = move || {
            if let Some(shop) = weak.upgrade() {
                shop.world.github.set_draft("acme/shop", 1, true);
                shop.pushes(1);
            }
        };
        let applied = Fault::run("PATCH", "/apis/networking.k8s.io/v1/**", push);
        shop.world.cluster.inject(applied);
        let value = match input {
            "drafts" => "false",
            "build-workflow" => ".github/workflows/build.yml",
            _ => &older,
        };
        let run = match input {
            "nothing" => shop.run(&event),
            _ => shop.run(&event).input(input, value),
        };
        let seen = run.go().await;
        let newer = shop.world.github.head("acme/shop", 1);
        if input == "nothing" {
            seen.ends(0, "superseded");
            continue;
        }
        println!("{input}");
        ready_beside_the_newer(&shop, &seen, [&older, &newer]);
        let asks = seen.comment().contains("```\n/deploy\n```");
        assert_eq!(asks, input == "drafts", "{}", seen.comment());
        assert_eq!(shop.record(1)["attempted"]["outcome"], "ready", "{input}");
        quiet_end(&shop, &[1]);
    }
}
