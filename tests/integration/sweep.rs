//! What the scheduled run heals, what it leaves alone, and how little it asks when all is well.

use crate::support::Shop;
use preview_action::simulate::github;
use std::time::Duration;

const QUARTER: Duration = Duration::from_secs(16 * 60);

fn writes(shop: &Shop, since: usize) -> Vec<String> {
    ["cluster", "github"]
        .iter()
        .flat_map(|site| shop.requests(site, since))
        .filter(|one| one.method != "GET")
        .map(|one| format!("{} {}", one.method, one.path))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_that_finds_all_well_asks_little_and_writes_nothing() {
    let shop = Shop::open().await;
    for pr in [1, 2, 3] {
        shop.deployed(pr).await;
    }
    // The first one opens the dashboard.
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    let before = shop.now();
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    assert_eq!(writes(&shop, before), [""; 0]);
    let asked = shop.requests("cluster", before).len();
    assert_eq!(
        asked, 11,
        "namespaces, ledger, three kinds of workloads; for the dashboard all previews, records, quotas, what is measured, nodes, pods"
    );
    assert_eq!(
        shop.requests("github", before).len(),
        1,
        "open pull requests"
    );
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_no_run_has_tried_is_deployed_once_and_no_sooner_than_its_own_run_might() {
    let shop = Shop::open().await;
    // The server's time comes with the ledger.
    shop.deployed(3).await;
    shop.opens(1);
    shop.opens_as(
        2,
        github::NewPull {
            author: "mallory".into(),
            fork: Some("mallory/shop".into()),
            ..github::NewPull::default()
        },
    );
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    assert_eq!(
        shop.namespaces(),
        ["pr-shop-3"],
        "its own run may be on its way"
    );
    shop.world.advance(QUARTER);
    let off = shop.run(&shop.schedule()).input("auto-deploy", "false");
    off.go().await.ends(0, "swept");
    assert_eq!(shop.namespaces(), ["pr-shop-3"]);
    let seen = shop.hears(&shop.schedule()).await;
    seen.ends(0, "swept");
    assert_eq!(shop.namespaces(), ["pr-shop-1", "pr-shop-3"], "{seen:#?}");
    let comment = shop.status_comments(1).remove(0).body;
    assert!(comment.contains("Preview ready"), "{comment}");

    // What failed once is not tried again, and neither is what somebody took down.
    shop.pushes_files(1, &[(crate::support::CONFIGURATION, "version: 7")]);
    shop.world.advance(QUARTER);
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    let failed = shop.status_comments(1).remove(0).body;
    assert!(failed.contains("Preview failed"), "{failed}");
    let before = shop.now();
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    assert_eq!(writes(&shop, before), [""; 0]);
    shop.hears(&shop.says(1, "alice", "/undeploy"))
        .await
        .ends(0, "removed");
    shop.pushes(1);
    shop.world.advance(QUARTER);
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    assert_eq!(shop.namespaces(), ["pr-shop-3"]);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_comment_that_promises_what_nobody_does_any_more_is_ended() {
    let shop = Shop::open().await;
    let opened = shop.opens(1);
    assert!(shop.run(&opened).dies_at("cluster", 14).await);
    let comment = shop.status_comments(1).remove(0).body;
    assert!(
        comment.contains("pending") || comment.contains("deploying"),
        "{comment}"
    );
    let sweep = async || {
        shop.run(&shop.schedule())
            .input("auto-deploy", "false")
            .go()
            .await
    };
    sweep().await.ends(0, "swept");
    assert_eq!(
        shop.status_comments(1)[0].body,
        comment,
        "it may be at work still"
    );
    shop.world.advance(Duration::from_secs(31));
    sweep().await.ends(0, "swept");
    let ended = shop.status_comments(1).remove(0).body;
    assert!(ended.contains("Preview failed"), "{ended}");
    assert!(ended.contains("ended without a word"), "{ended}");
    assert!(ended.contains("/deploy"), "{ended}");
    let before = shop.now();
    sweep().await.ends(0, "swept");
    assert_eq!(writes(&shop, before), [""; 0]);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_nobody_counts_gets_its_slot_back() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    let mut ledger = shop.ledger().unwrap();
    ledger["holders"] = serde_json::json!([]);
    let name = shop.ledger_name();
    let cluster = &shop.world.cluster;
    let mut object = cluster
        .object("ConfigMap", "preview-system", &name)
        .unwrap();
    object["data"]["state.json"] = ledger.to_string().into();
    cluster.put(&object).unwrap();
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    assert_eq!(shop.holders(), [1]);
    assert_eq!(shop.namespaces(), ["pr-shop-1"]);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_request_that_cannot_be_read_keeps_its_preview() {
    use preview_action::simulate::{Action, Fault};
    let shop = Shop::open().await;
    shop.deployed(1).await;
    shop.world.github.close(crate::support::SHOP, 1);
    let gone = Action::Answer {
        status: 404,
        body: serde_json::json!({"message": "Not Found"}),
        headers: Vec::new(),
    };
    shop.world
        .github
        .inject(Fault::on("GET", "/repos/acme/shop/pulls/1", gone).always());
    let kept = shop.hears(&shop.schedule()).await;
    kept.ends(0, "swept");
    assert_eq!(shop.namespaces(), ["pr-shop-1"]);
    let warned = |line: &String| line.contains("the preview of #1 is kept");
    assert!(
        kept.annotations().iter().any(warned),
        "{:?}",
        kept.annotations()
    );
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_and_is_not_known_to_github_any_more_is_in_nobodys_way() {
    use preview_action::simulate::Fault;
    let shop = Shop::open().await;
    shop.filled().await;
    for pr in [4, 5] {
        shop.hears(&shop.opens(pr)).await.ends(0, "queued");
    }
    let unknown = Fault::answer(
        "GET",
        "/repos/acme/shop/pulls/4",
        404,
        serde_json::json!({}),
    );
    shop.world.github.inject(unknown.always());
    shop.hears(&shop.closes(1)).await.ends(0, "removed");
    assert_eq!((shop.holders(), shop.line()), (vec![2, 3, 5], vec![4]));
    shop.world.github.clear_faults();
    shop.hears(&shop.closes(2)).await.ends(0, "removed");
    assert_eq!((shop.holders(), shop.line()), (vec![3, 5, 4], vec![]));
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_open_pull_requests_that_lacks_one_or_cannot_be_read_removes_nothing() {
    use preview_action::simulate::Fault;
    let shop = Shop::open().await;
    shop.deployed(1).await;
    shop.deployed(2).await;
    let list = "/repos/acme/shop/pulls";
    // As of a page that was cut: the pull requests are open all the same.
    let lacking = Fault::answer("GET", list, 200, serde_json::json!([]));
    shop.world.github.inject(lacking);
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    assert_eq!(shop.holders(), [1, 2]);
    for (status, reason) in [
        (404, "github-refused"),
        (403, "github-refused"),
        (502, "github-unreachable"),
    ] {
        let answer = serde_json::json!({"message": "Not Found"});
        shop.world
            .github
            .inject(Fault::answer("GET", list, status, answer).always());
        shop.hears(&shop.schedule()).await.ends(3, reason);
        shop.world.github.clear_faults();
        assert_eq!(shop.namespaces(), ["pr-shop-1", "pr-shop-2"]);
        assert_eq!(shop.holders(), [1, 2]);
    }
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_shows_what_would_be_done_and_does_nothing() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    shop.deployed(2).await;
    shop.world.github.close(crate::support::SHOP, 1);
    shop.unused_for(2, 30);
    let before = shop.now();
    let sweep = async |format: &str| {
        let arguments = ["sweep", "--dry-run", "--ttl", "7d", "--output", format];
        shop.by_hand(&arguments).await.0
    };
    let text = sweep("text").await;
    let lines: Vec<Vec<&str>> = text
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(lines[0], ["#1", "remove", "pr-shop-1", "closed"], "{text}");
    assert_eq!(lines[1][..3], ["#2", "warn", "pr-shop-2"], "{text}");
    let json: serde_json::Value = serde_json::from_str(&sweep("json").await).unwrap();
    assert_eq!(json[0]["action"], "remove");
    assert_eq!(writes(&shop, before), [""; 0]);
    assert_eq!(shop.namespaces(), ["pr-shop-1", "pr-shop-2"]);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_breaks_is_told_with_its_cause_and_so_is_its_recovery() {
    use preview_action::simulate::cluster::Fate;
    let shop = Shop::open().await;
    shop.deployed(1).await;
    let replace_pods = || {
        for pod in shop.world.cluster.objects("Pod", "pr-shop-1") {
            let name = pod["metadata"]["name"].as_str().unwrap();
            shop.world.cluster.delete("Pod", "pr-shop-1", name);
        }
    };
    let available = |wanted: u64| {
        move |cluster: &preview_action::simulate::cluster::Handle| {
            let web = cluster.object("Deployment", "pr-shop-1", "web").unwrap();
            web["status"]["availableReplicas"]
                .as_u64()
                .unwrap_or_default()
                == wanted
        }
    };
    shop.world.cluster.script_fate("/web", Fate::Crash);
    shop.world.cluster.script_log("/web", "no room left");
    replace_pods();
    shop.world.cluster.wait_until(available(0)).await;
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    let told = shop.status_comments(1).remove(0).body;
    assert!(told.contains("Preview degraded"), "{told}");
    assert!(told.contains("no room left"), "{told}");
    let status = shop.hears(&shop.says(1, "alice", "/status")).await;
    assert_eq!(status.output("state"), "degraded");
    let before = shop.now();
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    assert_eq!(writes(&shop, before), [""; 0], "it is said once");

    shop.world.cluster.script_fate("/web", Fate::Ready);
    replace_pods();
    shop.world.cluster.wait_until(available(1)).await;
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    let well = shop.status_comments(1).remove(0).body;
    assert!(well.contains("Preview ready"), "{well}");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_deleted_is_missed() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    assert!(shop.world.cluster.delete("Deployment", "pr-shop-1", "web"));
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    let told = shop.comment(1);
    for text in ["Preview degraded", "its workloads were deleted", "/deploy"] {
        assert!(told.contains(text), "no {text} in {told}");
    }
    let before = shop.now();
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    assert_eq!(writes(&shop, before), [""; 0], "it is said once");
    let status = shop.hears(&shop.says(1, "alice", "/status")).await;
    assert_eq!(status.output("state"), "degraded");
    status.says("its workloads were deleted");
    shop.hears(&shop.says(1, "alice", "/deploy"))
        .await
        .ends(0, "deployed");
    assert!(shop.comment(1).contains("Preview ready"));
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_breaks_after_a_newer_commit_failed_is_told_as_well() {
    use preview_action::simulate::cluster::{Fate, Handle};
    let shop = Shop::open().await;
    let live = shop.deployed(1).await.output("sha").to_owned();
    let shown = || {
        let deployments = shop.world.github.deployments(crate::support::SHOP);
        let of_live = deployments.iter().find(|one| one.sha == live);
        let shown = of_live.and_then(|one| one.states().last().map(|&state| state.to_owned()));
        (
            crate::shows::newest(&shop, &live).state,
            shown.unwrap_or_default(),
        )
    };
    let available = |wanted: u64| {
        move |cluster: &Handle| {
            let web = cluster.object("Deployment", "pr-shop-1", "web").unwrap();
            web["status"]["availableReplicas"]
                .as_u64()
                .unwrap_or_default()
                == wanted
        }
    };
    let fates = |fate: Fate| {
        shop.world.cluster.script_fate("/web", fate);
        for pod in shop.world.cluster.objects("Pod", "pr-shop-1") {
            let name = pod["metadata"]["name"].as_str().unwrap();
            shop.world.cluster.delete("Pod", "pr-shop-1", name);
        }
    };
    let broken = "version: 1\nservices: {web: {image: \"registry.example/web:missing\", port: 8080, public: true}}\n";
    let failed = shop
        .hears(&shop.pushes_files(1, &[(crate::support::CONFIGURATION, broken)]))
        .await;
    assert_eq!(failed.exit, 1, "{failed:#?}");
    failed.says("still serving");
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    assert!(
        shop.comment(1).contains("still serving"),
        "{}",
        shop.comment(1)
    );
    fates(Fate::Crash);
    shop.world.cluster.wait_until(available(0)).await;
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    assert!(
        shop.comment(1).contains("Preview degraded"),
        "{}",
        shop.comment(1)
    );
    assert_eq!(shown().0, "failure");
    let status = shop.hears(&shop.says(1, "alice", "/status")).await;
    assert_eq!(status.output("state"), "degraded");
    let before = shop.now();
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    assert_eq!(writes(&shop, before), [""; 0], "it is said once");
    fates(Fate::Ready);
    shop.world.cluster.wait_until(available(1)).await;
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    let well = shop.comment(1);
    assert!(
        well.contains("still serving") && !well.contains("degraded"),
        "{well}"
    );
    assert_eq!(shown(), ("success".into(), "success".into()));
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_for_a_closed_pull_request_leaves_the_line() {
    let shop = Shop::open().await;
    let one =
        async |event: crate::support::Event| shop.run(&event).input("max-previews", "1").go().await;
    let first = shop.opens(1);
    one(first).await.ends(0, "deployed");
    let second = shop.opens(2);
    one(second).await.ends(0, "queued");
    shop.world.github.close(crate::support::SHOP, 2);
    one(shop.schedule()).await.ends(0, "swept");
    assert_eq!(shop.ledger().unwrap()["queue"], serde_json::json!([]));
    assert_eq!(shop.holders(), [1]);
    shop.ends();
}
