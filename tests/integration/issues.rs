//! The two issues that the scheduled run keeps: the dashboard, and the one that calls for an operator.

use crate::support::{SHOP, Shop};
use preview_action::simulate::{Action, Fault, Record, github::Issue};
use serde_json::json;
use std::sync::Arc;
use tokio::sync::Notify;

fn issue(shop: &Shop, kind: &str) -> Option<Issue> {
    let marker = format!("<!-- preview-action v1 kind={kind} ");
    let mut issues = shop.world.github.issues(SHOP);
    issues.retain(|issue| issue.body.starts_with(&marker));
    assert!(issues.len() <= 1, "{issues:#?}");
    issues.pop()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dashboard_is_one_issue_that_is_edited_only_when_something_is_new() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    shop.deployed(2).await;
    let old = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "old-one", "labels": {"app": "preview"}}});
    shop.world.cluster.put(&old).unwrap();
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    let first = issue(&shop, "dashboard").unwrap();
    assert_eq!(first.title, "Previews of acme/shop (preview)");
    assert_eq!(first.labels, ["preview-action"]);
    for text in [
        "**2 of 3** slots are taken",
        "http://pr-2.preview.example.test",
        "`alice`",
        "100 % of deploys became ready at the first attempt (2 of 2)",
        "deploy until ready",
        "`old-one`",
    ] {
        assert!(first.body.contains(text), "no {text:?} in\n{}", first.body);
    }
    let since = shop.now();
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    let again = issue(&shop, "dashboard").unwrap();
    assert_eq!((again.edits, &again.body), (0, &first.body));
    let (cluster, github) = (
        shop.requests("cluster", since),
        shop.requests("github", since),
    );
    assert!(
        cluster.len() <= 12,
        "{} requests: {cluster:#?}",
        cluster.len()
    );
    assert_eq!(github.len(), 1, "{github:#?}");
    shop.hears(&shop.closes(1)).await.ends(0, "removed");
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    let later = issue(&shop, "dashboard").unwrap();
    assert!(later.body.contains("**1 of 3** slots"), "{}", later.body);
    shop.hears(&shop.says(2, "alice", "/sleep"))
        .await
        .ends(0, "slept");
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    let asleep = issue(&shop, "dashboard").unwrap().body;
    let row = asleep.lines().find(|line| line.contains("pull/2)"));
    let row = row.unwrap_or_default();
    assert!(row.contains("| sleeping | `alice` |"), "{asleep}");
    assert_eq!(issue(&shop, "operator"), None);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_became_of_the_dashboard_it_is_true_again_within_a_day() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    shop.hears(&shop.says(1, "alice", "/pin"))
        .await
        .ends(0, "pinned");
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    let first = issue(&shop, "dashboard").unwrap();
    let marker = first.body.lines().next().unwrap();
    let lie = format!("{marker}\nall is well");
    assert!(shop.world.github.edit_issue(SHOP, first.number, &lie));
    shop.world
        .advance(std::time::Duration::from_secs(24 * 3600));
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    let again = issue(&shop, "dashboard").unwrap();
    assert_eq!((again.number, &again.body), (first.number, &first.body));
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_are_nearly_full_are_a_notice_of_the_dashboard() {
    let shop = Shop::open().await;
    let node = |cpu: &str| {
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "sim-node"},
            "status": {"allocatable": {"cpu": cpu, "memory": "64Gi", "pods": "110"}}})
    };
    shop.world.cluster.put(&node("4")).unwrap();
    shop.deployed(1).await;
    let asked = &shop.world.cluster.objects("Pod", "pr-shop-1")[0];
    let asked = &asked["spec"]["containers"][0]["resources"]["requests"]["cpu"];
    assert_eq!(asked, "50m");
    for (cpu, mode, filled) in [
        ("63m", "fixed", ""),
        ("62m", "fixed", "pods ask for 80 % of what the nodes have"),
        ("62m", "elastic", ""),
    ] {
        shop.world.cluster.put(&node(cpu)).unwrap();
        shop.run(&shop.schedule())
            .input("nodes", mode)
            .go()
            .await
            .ends(0, "swept");
        let body = issue(&shop, "dashboard").unwrap().body;
        assert_eq!(
            body.contains("what the nodes have"),
            !filled.is_empty(),
            "{body}"
        );
        assert!(body.contains(filled), "{body}");
    }
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_a_person_can_mend_opens_an_issue_and_its_end_closes_it() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    let held = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {
        "name": "held", "namespace": "pr-shop-1", "finalizers": ["example.com/hold"]}});
    shop.world.cluster.put(&held).unwrap();
    shop.hears(&shop.closes(1)).await.ends(3, "removal-stuck");
    let swept = shop.hears(&shop.schedule()).await;
    assert_eq!(swept.exit, 3, "{swept:#?}");
    let called = issue(&shop, "operator").unwrap();
    assert_eq!(called.state, "open");
    assert!(called.body.contains("example.com/hold"), "{}", called.body);
    let mut free = held.clone();
    free["metadata"]["finalizers"] = json!([]);
    shop.world.cluster.put(&free).unwrap();
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    let ended = issue(&shop, "operator").unwrap();
    assert_eq!(ended.state, "closed");
    assert!(
        ended.body.contains("Nothing needs an operator"),
        "{}",
        ended.body
    );
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_input_no_issue_is_written() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    let schedule = shop.schedule();
    let swept = shop
        .run(&schedule)
        .input("dashboard-issue", "false")
        .go()
        .await;
    swept.ends(0, "swept");
    assert_eq!(shop.world.github.issues(SHOP), []);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_pass_calls_nobody_until_a_second_sweep_meets_it_again() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    shop.world.github.close(SHOP, 1);
    let refuse = || {
        let body = json!({"kind": "Status", "status": "Failure", "reason": "InternalError", "code": 500, "message": "etcd"});
        let fault = Fault::answer("DELETE", "/api/v1/namespaces/pr-shop-1", 500, body);
        shop.world.cluster.inject(fault.always());
    };
    refuse();
    assert_eq!(shop.hears(&shop.schedule()).await.exit, 3);
    assert_eq!(issue(&shop, "operator"), None, "one failure may pass");
    assert_eq!(shop.hears(&shop.schedule()).await.exit, 3);
    assert_eq!(issue(&shop, "operator").unwrap().state, "open");
    shop.world.cluster.clear_faults();
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    assert_eq!(issue(&shop, "operator").unwrap().state, "closed");
    // It has passed, so the next one is the first one again.
    assert!(shop.ledger().unwrap()["troubles"].is_null());
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_that_cannot_even_begin_calls_for_an_operator() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    let forbid = |path: &str| {
        let body = json!({"kind": "Status", "status": "Failure", "reason": "Forbidden", "code": 403, "message": "namespaces is forbidden: User \"deployer\" cannot list resource \"namespaces\" in API group \"\" at the cluster scope"});
        shop.world
            .cluster
            .inject(Fault::answer("GET", path, 403, body).always());
    };
    forbid("/api/v1/namespaces");
    let swept = shop.hears(&shop.schedule()).await;
    swept.ends(3, "cluster-forbidden");
    let called = issue(&shop, "operator").unwrap();
    assert_eq!(called.state, "open");
    assert!(called.body.contains("is closed once"), "{}", called.body);
    shop.world.cluster.clear_faults();
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    assert_eq!(issue(&shop, "operator").unwrap().state, "closed");
    // Without the ledger nothing remembers to close it, and it says so.
    forbid(crate::support::LEDGER);
    shop.hears(&shop.schedule()).await;
    let called = issue(&shop, "operator").unwrap();
    assert_eq!(called.state, "open");
    assert!(called.body.contains("Close this issue"), "{}", called.body);
    // A kubeconfig that no server takes.
    shop.world.cluster.clear_faults();
    let schedule = shop.schedule();
    let swept = shop.run(&schedule).input("kubeconfig", "nonsense").go();
    assert_ne!(swept.await.exit, 0);
    assert_eq!(issue(&shop, "operator").unwrap().state, "open");
}

/// While the cluster is away nobody remembers the sweep before, so the sweep itself looks twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_stays_away_calls_for_an_operator() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    let away = Fault::answer("GET", "/**", 503, json!({"message": "away"}));
    shop.world.cluster.inject(away.always());
    assert_eq!(shop.hears(&shop.schedule()).await.exit, 3);
    let called = issue(&shop, "operator").unwrap();
    assert_eq!(called.state, "open");
    assert!(called.body.contains("Close this issue"), "{}", called.body);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_right_to_write_issues_is_told_with_the_line_that_grants_it() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    let refused = json!({"message": "Resource not accessible by integration"});
    let refused = Fault::answer("POST", "/repos/acme/shop/issues", 403, refused).always();
    shop.world.github.inject(refused);
    let seen = shop.hears(&shop.schedule()).await;
    seen.ends(0, "swept");
    let told = |text: &str| text.contains("add `issues: write` under `permissions:`");
    let annotations = seen.annotations();
    let notices = annotations.iter().filter(|one| told(one));
    assert_eq!(notices.count(), 1, "{annotations:#?}");
    assert!(told(&seen.summary), "{}", seen.summary);
    let since = shop.now();
    let event = shop.schedule();
    let run = shop.run(&event).input("dashboard-issue", "false");
    let quiet = run.go().await;
    quiet.ends(0, "swept");
    assert!(!quiet.annotations().iter().any(|one| told(one)));
    let asked = shop.requests("github", since);
    assert!(!asked.iter().any(|one| one.path.ends_with("/issues")));
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issue_that_was_moved_to_another_repository_or_deleted_is_opened_anew() {
    for status in [301, 410] {
        let shop = Shop::open().await;
        shop.deployed(1).await;
        shop.hears(&shop.schedule()).await.ends(0, "swept");
        let first = issue(&shop, "dashboard").unwrap();
        // GitHub lists it no more.
        let edited = shop.world.github.edit_issue(SHOP, first.number, "away");
        assert!(edited);
        let away = json!({"message": "Moved Permanently"});
        let path = format!("/repos/acme/shop/issues/{}", first.number);
        let away = Fault::answer("PATCH", &path, status, away).always();
        shop.world.github.inject(away);
        shop.deployed(2).await;
        for _ in 0..2 {
            let swept = shop.hears(&shop.schedule()).await;
            swept.ends(0, "swept");
            assert_eq!(swept.annotations(), [""; 0], "{status}");
        }
        let again = issue(&shop, "dashboard").unwrap();
        assert_ne!(again.number, first.number);
        assert!(again.body.contains("**2 of 3**"), "{}", again.body);
        shop.ends();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_first_sweeps_at_once_leave_one_open_issue() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    let go = [(); 2].map(|()| Arc::new(Notify::new()));
    let path = "/repos/acme/shop/issues";
    for (n, go) in go.iter().enumerate() {
        let held = Fault::on("POST", path, Action::Hold(go.clone()));
        shop.world.github.inject(held.nth(n + 1));
    }
    let released = async {
        let opens = |one: &&Record| one.method == "POST" && one.path == path;
        let both = |log: &[Record]| log.iter().filter(opens).count() == 2;
        shop.world.log.wait_until(both).await;
        go.iter().for_each(|go| go.notify_one());
    };
    let (one, other) = (shop.schedule(), shop.schedule());
    let (one, other, ()) = tokio::join!(shop.hears(&one), shop.hears(&other), released);
    for swept in [one, other] {
        swept.ends(0, "swept");
    }
    let mut issues = shop.world.github.issues(SHOP);
    issues.retain(|issue| issue.state == "open");
    let numbers: Vec<u64> = issues.iter().map(|issue| issue.number).collect();
    let noted = &shop.ledger().unwrap()["issues"]["dashboard"]["number"];
    assert_eq!((numbers.len(), noted), (1, &json!(numbers[0])));
    shop.ends();
}
