//! Who cannot come up in line: it keeps its place where somebody can mend that, and nobody waits behind it.

use crate::{
    queue::comment_says,
    support::{CONFIGURATION, Event, ONE_SERVICE, SHOP, Seen, Shop},
};
use preview_action::simulate::{Action, Fault, Record};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use tokio::sync::Notify;

const NAMESPACE: &str = "pr-shop-1";

/// A run where one slot is all there is.
async fn one(shop: &Shop, event: &Event, inputs: &[(&str, &str)]) -> Seen {
    let run = shop.run(event).input("max-previews", "1");
    run.inputs(inputs).go().await
}

/// A run behind steps that wrote manifests for the newest commit of this pull request.
async fn written(shop: &Shop, event: &Event, pr: u64) -> Seen {
    let text = format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: of-{pr}}}\n");
    let run = shop.run(event).input("manifests", "out/*.yaml");
    run.workspace(".git/HEAD", &shop.world.github.head(SHOP, pr))
        .workspace("out/a.yaml", &text)
        .go()
        .await
}

/// Three previews that hold all slots and two in line, each with manifests of its own.
async fn all_written(shop: &Shop) {
    for pr in 1..=5 {
        let ending = if pr <= 3 { "deployed" } else { "queued" };
        written(shop, &shop.opens(pr), pr).await.ends(0, ending);
    }
}

/// From now on no run starts another.
fn may_start_no_run(shop: &Shop) {
    let path = "/repos/acme/shop/actions/workflows/*/dispatches";
    let no = json!({"message": "Resource not accessible by integration"});
    let refused = Fault::answer("POST", path, 403, no);
    shop.world.github.inject(refused.always());
}

fn called(shop: &Shop) -> Vec<Value> {
    let started = shop.world.github.started(SHOP).into_iter();
    started.map(|one| one.inputs["pr"].clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn manifests_of_who_waits_are_written_in_a_run_of_its_own() {
    let shop = Shop::open().await;
    all_written(&shop).await;
    written(&shop, &shop.closes(1), 1).await.ends(0, "removed");
    assert_eq!((shop.holders(), shop.line()), (vec![2, 3], vec![4, 5]));
    assert_eq!(called(&shop), ["4"]);
    comment_says(&shop, 4, "number 1 in line");
    let dispatched = shop.dispatches(4, "deploy");
    written(&shop, &dispatched, 4).await.ends(0, "deployed");
    assert_eq!((shop.holders(), shop.line()), (vec![2, 3, 4], vec![5]));
    let own = shop.world.cluster.object("ConfigMap", "pr-shop-4", "of-4");
    assert!(own.is_some());

    may_start_no_run(&shop);
    let closed = written(&shop, &shop.closes(2), 2).await;
    closed.ends(0, "removed");
    let told = closed.annotations().join("\n");
    assert!(told.contains("actions: write"), "{told}");
    assert_eq!((shop.holders(), shop.line()), (vec![3, 4], vec![5]));
    // In a workspace that is at its own commit it needs no other run.
    shop.world.github.push(SHOP, 5, &[]);
    let at_its_own = shop.says(5, "alice", "/status");
    written(&shop, &at_its_own, 5).await.ends(0, "status-shown");
    assert_eq!((shop.holders(), shop.line()), (vec![3, 4, 5], vec![]));
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_behind_one_whose_run_may_not_be_started() {
    let shop = Shop::open().await;
    may_start_no_run(&shop);
    all_written(&shop).await;
    written(&shop, &shop.closes(1), 1).await.ends(0, "removed");
    assert_eq!((shop.holders(), shop.line()), (vec![2, 3], vec![4, 5]));
    written(&shop, &shop.opens(6), 6).await.ends(0, "deployed");
    assert_eq!((shop.holders(), shop.line()), (vec![2, 3, 6], vec![4, 5]));
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sweep_tries_no_commit_whose_manifests_only_its_own_run_writes() {
    let shop = Shop::open().await;
    shop.opens(6);
    shop.world.advance(Duration::from_secs(3600));
    let sweep = shop.run(&shop.schedule()).input("manifests", "out/*.yaml");
    sweep.go().await.ends(0, "swept");
    assert_eq!((shop.comment(6), shop.record(6)), ("".into(), Value::Null));
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    assert_eq!(shop.holders(), [6], "without manifests it was missed");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn by_dispatch_nobody_waits_behind_one_whose_run_does_not_come() {
    for (status, patience) in [("completed", 5), ("waiting", 50)] {
        let shop = Shop::open().await;
        let by_dispatch = async |event: &Event| one(&shop, event, &[("promote", "dispatch")]).await;
        by_dispatch(&shop.opens(1)).await.ends(0, "deployed");
        for pr in [4, 5] {
            by_dispatch(&shop.opens(pr)).await.ends(0, "queued");
        }
        by_dispatch(&shop.closes(1)).await.ends(0, "removed");
        shop.world.github.set_started(SHOP, status);
        let minutes = |minutes: u64| shop.world.advance(Duration::from_secs(60 * minutes));
        minutes(patience);
        by_dispatch(&shop.schedule()).await.ends(0, "swept");
        assert_eq!(called(&shop), ["4"], "{status}");
        minutes(11);
        by_dispatch(&shop.schedule()).await.ends(0, "swept");
        let calls = called(&shop);
        assert_eq!(calls.last(), Some(&json!("5")), "{status}: {calls:?}");
        comment_says(&shop, 4, "number 1 in line");
        let dispatched = shop.dispatches(5, "deploy");
        by_dispatch(&dispatched).await.ends(0, "deployed");
        assert_eq!((shop.holders(), shop.line()), (vec![5], vec![4]));
        // Whoever comes late has the place still.
        let late = shop.dispatches(4, "deploy");
        by_dispatch(&late).await.ends(0, "queued");
        by_dispatch(&shop.opens(6)).await.ends(0, "queued");
        assert_eq!(shop.line(), [4, 6], "{status}");
        shop.ends();
    }
}

/// Something that keeps the first preview's Namespace from going.
fn hold(shop: &Shop, held: bool) {
    let finalizers: &[&str] = if held { &["example.test/block"] } else { &[] };
    let object = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "held", "namespace": NAMESPACE, "finalizers": finalizers},
    });
    shop.world.cluster.put(&object).unwrap();
}

/// One sleeps, and two has the only slot.
async fn one_sleeps(shop: &Shop) {
    one(shop, &shop.opens(1), &[]).await.ends(0, "deployed");
    let sleep = shop.says(1, "alice", "/sleep");
    one(shop, &sleep, &[]).await.ends(0, "slept");
    one(shop, &shop.opens(2), &[]).await.ends(0, "deployed");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_behind_a_namespace_that_does_not_go() {
    let shop = Shop::open().await;
    one_sleeps(&shop).await;
    hold(&shop, true);
    let undeploy = shop.says(1, "alice", "/undeploy");
    one(&shop, &undeploy, &[]).await.ends(3, "removal-stuck");
    let deploy = shop.says(1, "alice", "/deploy");
    one(&shop, &deploy, &[]).await.ends(0, "queued");
    one(&shop, &shop.opens(3), &[]).await.ends(0, "queued");
    assert_eq!(shop.line(), [1, 3]);
    one(&shop, &shop.closes(2), &[]).await.ends(0, "removed");
    assert_eq!((shop.holders(), shop.line()), (vec![3], vec![1]));
    comment_says(&shop, 3, "Preview ready");
    // Nobody waits for its end again and again.
    shop.world.advance(Duration::from_secs(180));
    let since = shop.now();
    one(&shop, &shop.closes(3), &[]).await.ends(0, "removed");
    assert_eq!((shop.holders(), shop.line()), (vec![], vec![1]));
    let asked = shop.cluster_requests(since);
    let creates = |one: &Record| one.method == "POST" && one.path == "/api/v1/namespaces";
    assert!(!asked.iter().any(creates), "{asked:#?}");
    // Mended, it comes up by itself.
    hold(&shop, false);
    shop.gone(NAMESPACE).await;
    one(&shop, &shop.schedule(), &[]).await.ends(0, "swept");
    assert_eq!((shop.holders(), shop.line()), (vec![1], vec![]));
    comment_says(&shop, 1, "Preview ready");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_behind_a_sleeper_that_finds_no_room_any_more() {
    let asking = |cpu: &str| format!("{ONE_SERVICE}    resources: {{requests: {{cpu: {cpu}}}}}\n");
    let node = |shop: &Shop, cpu: &str| {
        let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "sim-node", "labels": {}},
            "status": {"allocatable": {"cpu": cpu, "memory": "64Gi", "pods": "110"}}});
        shop.world.cluster.put(&node).unwrap();
    };
    let shop = Shop::selling(&asking("400m")).await;
    node(&shop, "8");
    one(&shop, &shop.opens(1), &[]).await.ends(0, "deployed");
    one(&shop, &shop.pushes(1), &[]).await.ends(0, "deployed");
    for (command, ending) in [("/rollback", "rolled-back"), ("/sleep", "slept")] {
        let event = shop.says(1, "alice", command);
        one(&shop, &event, &[]).await.ends(0, ending);
    }
    one(&shop, &shop.opens(2), &[]).await.ends(0, "deployed");
    let wake = shop.says(1, "alice", "/wake");
    one(&shop, &wake, &[]).await.ends(0, "queued");
    shop.commit(&[(CONFIGURATION, &asking("50m"))]);
    one(&shop, &shop.opens(3), &[]).await.ends(0, "queued");
    node(&shop, "300m");
    one(&shop, &shop.closes(2), &[]).await.ends(0, "removed");
    assert_eq!((shop.holders(), shop.line()), (vec![3], vec![]));
    comment_says(&shop, 1, "not even without any other");
    // With room it can be woken again.
    node(&shop, "8");
    one(&shop, &shop.closes(3), &[]).await.ends(0, "removed");
    let wake = shop.says(1, "alice", "/wake");
    one(&shop, &wake, &[]).await.ends(0, "woken");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_to_wake_up_wakes_as_it_was_unless_a_push_is_deployed_by_itself() {
    for (input, value, pushed) in [
        ("auto-deploy", "false", "auto-deploy-off"),
        ("ignore-labels", "later", "label-ignored"),
        ("auto-deploy", "true", "queued"),
    ] {
        let shop = Shop::open().await;
        let inputs = [(input, value)];
        one_sleeps(&shop).await;
        let image = shop.image(NAMESPACE, "web");
        let wake = shop.says(1, "alice", "/wake");
        one(&shop, &wake, &inputs).await.ends(0, "queued");
        shop.world.github.set_label(SHOP, 1, "later", true);
        let push = shop.pushes(1);
        one(&shop, &push, &inputs).await.ends(0, pushed);
        assert_eq!(shop.line(), [1], "{input}");
        one(&shop, &shop.closes(2), &inputs)
            .await
            .ends(0, "removed");
        assert_eq!(shop.holders(), [1], "{input}");
        let as_it_was = shop.image(NAMESPACE, "web") == image;
        assert_eq!(as_it_was, pushed != "queued", "{input}={value}");
        comment_says(&shop, 1, "Preview ready");
        shop.ends();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sleeper_that_waits_for_a_deploy_does_so_whoever_asks_to_wake_it() {
    let shop = Shop::open().await;
    one_sleeps(&shop).await;
    one(&shop, &shop.pushes(1), &[]).await.ends(0, "queued");
    let wake = shop.says(1, "alice", "/wake");
    one(&shop, &wake, &[]).await.ends(0, "queued");
    one(&shop, &shop.closes(2), &[]).await.ends(0, "removed");
    assert_eq!(shop.holders(), [1]);
    let head = shop.world.github.head(SHOP, 1);
    assert!(shop.image(NAMESPACE, "web").ends_with(&head[..7]));
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sleeper_whose_run_does_not_come_is_deployed_by_whoever_wakes_it() {
    let shop = Shop::open().await;
    let inputs = [("promote", "dispatch")];
    one_sleeps(&shop).await;
    one(&shop, &shop.pushes(1), &inputs).await.ends(0, "queued");
    one(&shop, &shop.closes(2), &inputs)
        .await
        .ends(0, "removed");
    assert_eq!(called(&shop), ["1"]);
    let wake = shop.says(1, "alice", "/wake");
    one(&shop, &wake, &inputs).await.ends(0, "deployed");
    let head = shop.world.github.head(SHOP, 1);
    assert!(shop.image(NAMESPACE, "web").ends_with(&head[..7]));
    assert_eq!((shop.holders(), shop.line()), (vec![1], vec![]));
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sleeper_whose_manifests_another_run_writes_is_not_woken_as_it_was() {
    let shop = Shop::open().await;
    let inputs = [("manifests", "out/*.yaml")];
    one_sleeps(&shop).await;
    let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: of-1}\n";
    let built = async |event: &Event| {
        let run = shop.run(event).input("max-previews", "1").inputs(&inputs);
        run.workspace(".git/HEAD", &shop.world.github.head(SHOP, 1))
            .workspace("out/a.yaml", text)
            .go()
            .await
    };
    built(&shop.pushes(1)).await.ends(0, "queued");
    one(&shop, &shop.closes(2), &inputs)
        .await
        .ends(0, "removed");
    let wake = shop.says(1, "alice", "/wake");
    let seen = one(&shop, &wake, &inputs).await;
    seen.ends(0, "queued");
    let head = shop.world.github.head(SHOP, 1);
    for text in ["number 1 in line", &head[..7], "manifests"] {
        seen.says(text);
    }
    assert_eq!((shop.holders(), shop.line()), (vec![], vec![1]));
    built(&wake).await.ends(0, "deployed");
    let own = shop.world.cluster.object("ConfigMap", NAMESPACE, "of-1");
    assert!(own.is_some());
    shop.ends();
}

/// What is done before each deploy has not been done for what was pushed since.
#[tokio::test(flavor = "multi_thread")]
async fn who_waits_is_not_deployed_at_a_commit_that_its_own_command_has_not_built() {
    let shop = Shop::open().await;
    let inputs = [
        ("deploy-command", "/build-and-deploy"),
        ("auto-deploy", "false"),
    ];
    let hears = async |event: &Event| one(&shop, event, &inputs).await;
    let builds = |pr: u64| shop.says(pr, "alice", "/build-and-deploy");
    for (pr, ending) in [(7, "deployed"), (8, "queued"), (9, "queued")] {
        shop.opens(pr);
        hears(&builds(pr)).await.ends(0, ending);
    }
    let push = shop.pushes(8);
    hears(&push).await.ends(0, "auto-deploy-off");
    hears(&shop.closes(7)).await.ends(0, "removed");
    assert_eq!((shop.holders(), shop.line()), (vec![9], vec![]));
    let head = shop.world.github.head(SHOP, 8);
    for text in ["waits in line no more", &head[..7], "/build-and-deploy"] {
        comment_says(&shop, 8, text);
    }
    hears(&builds(8)).await.ends(0, "queued");
    hears(&shop.closes(9)).await.ends(0, "removed");
    assert_eq!(shop.holders(), [8]);
    shop.ends();
}

/// Who tells that somebody waits no more has no turn, so a whole deploy may come between its look and its word.
#[tokio::test(flavor = "multi_thread")]
async fn a_word_about_the_line_that_lands_behind_a_deploy_is_taken_back_by_the_sweep() {
    let shop = Shop::open().await;
    let inputs = [("ignore-labels", "later")];
    one(&shop, &shop.opens(7), &inputs)
        .await
        .ends(0, "deployed");
    one(&shop, &shop.opens(8), &inputs).await.ends(0, "queued");
    shop.world.github.set_label(SHOP, 8, "later", true);
    let id = shop.status_comments(8)[0].id;
    let path = format!("/repos/acme/shop/issues/comments/{id}");
    let go = Arc::new(Notify::new());
    let held = Fault::on("PATCH", &path, Action::Hold(go.clone()));
    shop.world.github.inject(held);
    let (closes, from) = (shop.closes(7), shop.now());
    let deploys = async {
        let late = move |log: &[Record]| {
            let mut later = log.iter().filter(|one| one.seq > from);
            later.any(|one| one.method == "PATCH" && one.path == path)
        };
        shop.world.log.wait_until(late).await;
        let deploy = shop.says(8, "alice", "/deploy");
        one(&shop, &deploy, &inputs).await.ends(0, "deployed");
        go.notify_one();
    };
    let (closed, ()) = tokio::join!(one(&shop, &closes, &inputs), deploys);
    closed.ends(0, "removed");
    comment_says(&shop, 8, "waits in line no more");
    one(&shop, &shop.schedule(), &inputs).await.ends(0, "swept");
    comment_says(&shop, 8, "Preview ready");
    assert!(!shop.comment(8).contains("waits in line no more"));
    shop.ends();
}
