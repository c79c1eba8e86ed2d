//! What the scheduled run keeps true in the ledger: who is forgotten, how many may be, who comes first.

use crate::support::{Event, SHOP, Shop};
use preview_action::simulate::{Fault, cluster::Fate, github};
use serde_json::json;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

/// Numbers of the pull requests that the ledger remembers.
fn remembered(shop: &Shop) -> Vec<u64> {
    let ledger = shop.ledger().unwrap();
    let previews = ledger["previews"].as_object().unwrap();
    let mut prs: Vec<u64> = previews.keys().map(|key| key.parse().unwrap()).collect();
    prs.sort_unstable();
    prs
}

fn asked_of_github(shop: &Shop, since: usize) -> usize {
    shop.requests("github", since).len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_pull_request_is_asked_about_once_and_then_forgotten() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    shop.deployed(2).await;
    shop.hears(&shop.closes(2)).await.ends(0, "removed");
    let last = shop.record(2)["sequence"].as_u64().unwrap();
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    assert_eq!(remembered(&shop), [1]);
    let floor = shop.ledger().unwrap()["floor"].as_u64().unwrap();
    assert!(floor >= last, "{floor} {last}");
    let before = shop.now();
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    assert_eq!(asked_of_github(&shop, before), 1, "open pull requests");
    // Opened again it begins anew, above all that its old runs knew.
    shop.world.github.reopen(SHOP, 2);
    let again = shop.hears(&shop.pull_event(2, "reopened")).await;
    again.ends(0, "deployed");
    assert!(shop.record(2)["sequence"].as_u64().unwrap() > last);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_thousands_of_closed_pull_requests_left_behind_goes_little_by_little() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    for pr in 2..=90 {
        shop.opens(pr);
        shop.world.github.close(SHOP, pr);
    }
    shop.amend(|ledger| {
        let attempted =
            json!({"sha": "a".repeat(40), "outcome": "ready", "at": "2026-01-01T00:00:00Z"});
        // GitHub knows no pull request above ninety: what cannot be read is kept, and is in nobody's way.
        for pr in 2..=150 {
            ledger["previews"][pr.to_string()] =
                json!({"sequence": pr, "newest": format!("{pr}-1"), "attempted": attempted});
        }
    });
    let mut left = 150;
    for _ in 0..12 {
        let before = shop.now();
        shop.hears(&shop.schedule()).await.ends(0, "swept");
        let kept = remembered(&shop).len();
        assert!(
            (60 + 1..=left).contains(&kept) && left - kept <= 40,
            "{kept} of {left}"
        );
        left = kept;
        let asked = asked_of_github(&shop, before);
        assert!(asked <= 45, "{asked} requests");
        shop.world.advance(Duration::from_secs(37));
    }
    assert_eq!(left, 61);
    assert_eq!(shop.ledger().unwrap()["floor"], 90);
    assert_eq!(shop.holders(), [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_raised_cap_counts_from_the_next_scheduled_run_on() {
    let shop = Shop::open().await;
    let capped =
        async |event: Event, cap: &str| shop.run(&event).input("max-previews", cap).go().await;
    for (pr, reason) in [(1, "deployed"), (2, "queued"), (3, "queued")] {
        capped(shop.opens(pr), "1").await.ends(0, reason);
    }
    // A run of the pull request itself may not change it.
    capped(shop.pushes(1), "3").await.ends(0, "deployed");
    assert_eq!((shop.holders(), shop.line()), (vec![1], vec![2, 3]));
    capped(shop.schedule(), "3").await.ends(0, "swept");
    assert_eq!(shop.ledger().unwrap()["capacity"], 3);
    assert_eq!((shop.holders(), shop.line()), (vec![1, 2, 3], vec![]));
    // The dashboard shows what the sweep has led to, so the next one finds nothing to write.
    let before = shop.now();
    capped(shop.schedule(), "3").await.ends(0, "swept");
    assert_eq!(written(&shop, before), [""; 0]);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cap_of_none_stops_everybody_from_the_next_governed_run_on() {
    for governed in ["schedule", "close", "status", "dispatch"] {
        let shop = Shop::open().await;
        shop.deployed(1).await;
        shop.deployed(2).await;
        let event = match governed {
            "schedule" => shop.schedule(),
            "close" => shop.closes(2),
            "status" => shop.says(1, "alice", "/status"),
            _ => shop.dispatches(1, "status"),
        };
        let brake = shop.run(&event).input("max-previews", "0").go().await;
        assert_eq!(brake.exit, 0, "{governed} {brake:#?}");
        let capacity = shop.ledger().unwrap()["capacity"].clone();
        assert_eq!(capacity, 0, "{governed}");
        shop.hears(&shop.opens(4)).await.ends(0, "at-capacity");
        shop.hears(&shop.pushes(1)).await.ends(0, "deployed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_sweep_of_an_old_repository_fills_the_free_slots_with_what_is_fresh_and_queues_nobody()
 {
    let shop = Shop::open().await;
    for stale in 1..=4 {
        shop.opens(stale);
    }
    shop.world.advance(8 * 24 * HOUR);
    for fresh in [10, 11, 12, 13] {
        shop.opens(fresh);
        shop.world.advance(HOUR);
    }
    let bot = github::NewPull {
        author: "dependabot[bot]".into(),
        ..github::NewPull::default()
    };
    shop.opens_as(20, bot);
    // One has a preview already: two slots are left.
    shop.opens(14);
    shop.hears(&shop.says(14, "alice", "/deploy"))
        .await
        .ends(0, "deployed");
    shop.world.advance(HOUR);
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    let mut held = shop.holders();
    held.sort_unstable();
    assert_eq!((held, shop.line()), (vec![12, 13, 14], vec![]));
    for untold in [1, 2, 3, 4, 10, 11, 20] {
        assert_eq!(shop.comment(untold), "", "#{untold}");
    }
    // What becomes free goes to the next of those, and never to what has long been left alone.
    shop.hears(&shop.closes(13)).await.ends(0, "removed");
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    let mut held = shop.holders();
    held.sort_unstable();
    assert_eq!((held, shop.line()), (vec![11, 12, 14], vec![]));
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_was_made_anew_queues_and_deploys_nobody_who_had_no_slot() {
    let shop = Shop::open().await;
    for pr in [1, 2, 3] {
        shop.deployed(pr).await;
    }
    shop.hears(&shop.opens(4)).await.ends(0, "queued");
    let failing = [(crate::support::CONFIGURATION, "version: 7")];
    shop.opens(5);
    let broken = shop.pushes_files(5, &failing);
    assert_eq!(shop.hears(&broken).await.exit, 1);
    let told = shop.comment(5);
    shop.world.advance(HOUR);
    shop.corrupt("{");
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    assert_eq!((shop.holders(), shop.line()), (vec![1, 2, 3], vec![]));
    assert_eq!(shop.comment(5), told);
    let waited = shop.comment(4);
    assert!(!waited.contains("in line"), "its place is lost: {waited}");
    assert!(waited.contains("/deploy"), "{waited}");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_whose_namespace_somebody_deleted_gives_its_slot_back_and_says_so() {
    for asleep in [false, true] {
        let shop = Shop::open().await;
        shop.deployed(1).await;
        shop.deployed(2).await;
        if asleep {
            let said = shop.says(1, "alice", "/sleep");
            shop.hears(&said).await.ends(0, "slept");
        }
        assert!(shop.world.cluster.delete("Namespace", "", "pr-shop-1"));
        shop.gone("pr-shop-1").await;
        shop.hears(&shop.schedule()).await.ends(0, "swept");
        assert_eq!(shop.holders(), [2]);
        let told = shop.comment(1);
        for text in [
            "Preview removed",
            "pr-shop-1",
            "deleted in the cluster",
            "/deploy",
        ] {
            assert!(told.contains(text), "{told}");
        }
        let shown = shop.world.github.deployments("acme/shop");
        assert_eq!(shown[0].state(), "inactive", "{shown:#?}");
        let record = shop.record(1);
        for field in ["asleep", "serving", "active"] {
            assert!(record[field].is_null(), "{record}");
        }
        // It is said once, and only a push brings the preview back.
        let before = shop.now();
        shop.hears(&shop.schedule()).await.ends(0, "swept");
        assert_eq!(asked_of_github(&shop, before), 1);
        assert_eq!(shop.namespaces(), ["pr-shop-2"]);
        shop.hears(&shop.pushes(1)).await.ends(0, "deployed");
        shop.ends();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_namespace_of_one_preview_is_told_and_both_stay() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    let cluster = &shop.world.cluster;
    for name in ["a-copy", "pr-shop-1-0123abcd"] {
        let mut copy = cluster.object("Namespace", "", "pr-shop-1").unwrap();
        let labels = copy["metadata"]["labels"].clone();
        copy["metadata"] = json!({"name": name, "labels": labels});
        cluster.put(&copy).unwrap();
    }
    let seen = shop.hears(&shop.schedule()).await;
    seen.ends(0, "swept");
    for name in ["a-copy", "pr-shop-1-0123abcd"] {
        let command = format!("`kubectl delete namespace {name}`");
        for told in [seen.annotations().join("\n"), seen.summary.clone()] {
            assert!(told.contains(&command), "{told}");
        }
    }
    assert_eq!(shop.namespaces().len(), 3);
    assert_eq!(shop.holders(), [1]);
    assert_eq!(
        shop.ledger().unwrap()["holders"][0]["namespace"],
        "pr-shop-1"
    );
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_lost_its_labels_keeps_its_slot() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    let cluster = &shop.world.cluster;
    let mut object = cluster.object("Namespace", "", "pr-shop-1").unwrap();
    object["metadata"]["labels"] = json!({});
    cluster.put(&object).unwrap();
    let told = shop.comment(1);
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    assert_eq!(shop.holders(), [1]);
    assert_eq!(shop.comment(1), told);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_last_word_that_github_did_not_take_is_said_by_the_next_sweep() {
    for fails in [false, true] {
        let shop = Shop::open().await;
        shop.deployed(1).await;
        let pushed = shop.pushes(1);
        if fails {
            shop.world.cluster.script_fate("/web", Fate::Crash);
            shop.world.cluster.script_log("/web", "no room left");
        }
        let said = shop.status_comments(1).remove(0).history.len();
        // The first edit says that a deploy comes, and all that follow are refused.
        let down = json!({"message": "Validation Failed"});
        let edits = "/repos/acme/shop/issues/comments/*";
        shop.world
            .github
            .inject(Fault::answer("PATCH", edits, 422, down).nth(2).always());
        let seen = shop.run(&pushed).input("timeout", "30s").go().await;
        assert_ne!(seen.exit, 0, "{seen:#?}");
        let stale = shop.status_comments(1).remove(0);
        assert_eq!(stale.history.len(), said + 1, "{stale:#?}");
        assert!(stale.body.contains("Preview pending"), "{}", stale.body);
        assert_eq!(shop.record(1)["untold"], true);
        shop.world.github.clear_faults();
        shop.hears(&shop.schedule()).await.ends(0, "swept");
        let told = shop.comment(1);
        match fails {
            true => {
                assert!(told.contains("Preview failed"), "{told}");
                assert!(told.contains("no room left"), "{told}");
            }
            false => assert!(told.contains("Preview ready"), "{told}"),
        }
        assert!(shop.record(1)["untold"].is_null());
        let before = shop.now();
        shop.hears(&shop.schedule()).await.ends(0, "swept");
        assert_eq!(asked_of_github(&shop, before), 1);
        shop.ends();
    }
}

/// What `preview-action sweep` prints: data, and all else.
async fn by_hand(shop: &Shop, more: &[&str]) -> (String, String) {
    let health = shop.world.cluster.ingress_address().to_string();
    let usual = [
        "sweep",
        "--domain",
        "preview.example.test",
        "--health-address",
        &health,
    ];
    let usual = [&usual[..], &["--dashboard-issue", "false"], more].concat();
    shop.by_hand(&usual).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_by_hand_lets_in_who_waits_and_its_dry_run_says_so_before() {
    let shop = Shop::open().await;
    let capped = async |event: Event| shop.run(&event).input("max-previews", "1").go().await;
    for (pr, reason) in [(1, "deployed"), (2, "queued"), (3, "queued")] {
        capped(shop.opens(pr)).await.ends(0, reason);
    }
    // Somebody raises the cap, and nobody has acted on it; a run died between its claim and its Namespace.
    let old = "2026-01-01T00:00:00Z";
    shop.amend(|ledger| {
        ledger["capacity"] = json!(3);
        let dead = json!({"key": "9", "pr": 9, "namespace": "pr-shop-9", "uid": null, "slot": 2,
            "run": "dead", "since": old});
        ledger["holders"].as_array_mut().unwrap().push(dead);
    });
    shop.opens(9);
    let before = shop.now();
    let (text, _) = by_hand(&shop, &["--dry-run"]).await;
    let words: Vec<Vec<&str>> = text
        .lines()
        .map(|line| line.split_whitespace().take(2).collect())
        .collect();
    let expected = [["#9", "requeue"], ["#9", "promote"], ["#2", "promote"]];
    assert_eq!(words, expected, "{text}");
    assert_eq!(written(&shop, before), [""; 0]);
    by_hand(&shop, &[]).await;
    assert_eq!((shop.holders(), shop.line()), (vec![1, 9, 2], vec![3]));
    assert_eq!(shop.ledger().unwrap()["capacity"], 3, "no cap was given");
    by_hand(&shop, &["--max-previews", "4"]).await;
    assert_eq!((shop.holders(), shop.line()), (vec![1, 9, 2, 3], vec![]));
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_by_hand_says_whom_the_slot_is_free_for_and_how_to_let_it_in() {
    let shop = Shop::open().await;
    let capped = async |event: Event| shop.run(&event).input("max-previews", "1").go().await;
    for (pr, reason) in [(1, "deployed"), (2, "queued")] {
        capped(shop.opens(pr)).await.ends(0, reason);
    }
    let (_, said) = shop.by_hand(&["remove", "--pr", "1"]).await;
    assert!(said.contains("a slot is free for #2"), "{said}");
    assert!(
        said.contains("preview-action sweep --repository acme/shop --domain"),
        "{said}"
    );
    assert_eq!((shop.holders(), shop.line()), (vec![], vec![2]));
    by_hand(&shop, &[]).await;
    assert_eq!((shop.holders(), shop.line()), (vec![2], vec![]));
    let (_, said) = shop.by_hand(&["remove", "--pr", "2"]).await;
    assert!(!said.contains("a slot is free"), "nobody waits: {said}");
    shop.ends();
}

/// What a terminal was not given is the workflow's to say: no default of ours removes, deploys or throws anybody out of the line.
#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_by_hand_does_nothing_by_a_default_that_nobody_chose() {
    let shop = Shop::open().await;
    let capped = async |event: Event| shop.run(&event).input("max-previews", "1").go().await;
    for (pr, reason) in [(1, "deployed"), (2, "queued")] {
        capped(shop.opens(pr)).await.ends(0, reason);
    }
    shop.world.github.push(SHOP, 1, &[]);
    let days = Duration::from_secs(8 * 24 * 3600);
    shop.world.advance(days);
    shop.amend(|ledger| ledger["capacity"] = json!(2));
    let bare = ["sweep", "--dashboard-issue", "false"];
    for _ in 0..2 {
        let (_, said) = shop.by_hand(&bare).await;
        assert!(said.contains("nothing expires by this"), "{said}");
        assert!(said.contains("nobody is deployed by this"), "{said}");
    }
    assert_eq!((shop.holders(), shop.line()), (vec![1], vec![2]));
    // With what a deploy needs, who waits is let in; the head that nobody asked for is still the workflow's.
    by_hand(&shop, &[]).await;
    assert_eq!((shop.holders(), shop.line()), (vec![1, 2], vec![]));
    let head = shop.world.github.head(SHOP, 1);
    assert_ne!(shop.record(1)["attempted"]["sha"], *head);
    by_hand(&shop, &["--auto-deploy", "true"]).await;
    assert_eq!(shop.record(1)["attempted"]["sha"], *head);
    shop.world.advance(days);
    by_hand(&shop, &["--ttl", "30d"]).await;
    assert_eq!(shop.holders(), [1, 2]);
    for _ in 0..2 {
        by_hand(&shop, &["--ttl", "7d"]).await;
    }
    assert_eq!(shop.holders(), [0; 0]);
    shop.ends();
}

fn written(shop: &Shop, since: usize) -> Vec<String> {
    let all = shop.world.requests().into_iter();
    let all = all.filter(|one| one.seq > since && one.method != "GET");
    all.map(|one| format!("{} {}", one.method, one.path))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_says_that_the_ledger_is_ruined_or_gone_and_leaves_it_so() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    shop.corrupt("{");
    let before = shop.now();
    let (text, error) = by_hand(&shop, &["--dry-run"]).await;
    assert!(error.contains("cannot be read"), "{text} {error}");
    let name = shop.ledger_name();
    shop.world
        .cluster
        .delete("ConfigMap", "preview-system", &name);
    let (text, error) = by_hand(&shop, &["--dry-run"]).await;
    assert!(error.contains("there is no ledger"), "{text} {error}");
    assert_eq!(written(&shop, before), [""; 0]);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_is_gone_is_made_again_by_the_sweep_also_where_nothing_is_deployed_by_itself()
{
    let shop = Shop::open().await;
    shop.deployed(1).await;
    let name = shop.ledger_name();
    shop.world
        .cluster
        .delete("ConfigMap", "preview-system", &name);
    let schedule = shop.schedule();
    let manual = shop.run(&schedule).input("auto-deploy", "false");
    manual.go().await.ends(0, "swept");
    assert_eq!(shop.holders(), [1]);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_request_that_was_opened_again_while_the_sweep_was_at_work_keeps_its_preview() {
    let shop = std::sync::Arc::new(Shop::open().await);
    shop.deployed(1).await;
    shop.world.github.close(SHOP, 1);
    let weak = std::sync::Arc::downgrade(&shop);
    // Asked once it is closed; asked again just before the removal it is not.
    let reopen = Fault::run("GET", "/repos/acme/shop/pulls/1", move || {
        if let Some(shop) = weak.upgrade() {
            shop.world.github.reopen(SHOP, 1);
        }
    });
    shop.world.github.inject(reopen.nth(2));
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    assert_eq!(shop.namespaces(), ["pr-shop-1"]);
    shop.world.github.clear_faults();
    shop.world.github.close(SHOP, 1);
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    assert_eq!(shop.namespaces(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_closed_while_waiting_is_not_called_number_one_in_line_any_more() {
    let shop = Shop::open().await;
    let capped = async |event: Event| shop.run(&event).input("max-previews", "1").go().await;
    capped(shop.opens(1)).await.ends(0, "deployed");
    capped(shop.opens(2)).await.ends(0, "queued");
    assert!(shop.comment(2).contains("in line"), "{}", shop.comment(2));
    // Its own event is lost.
    shop.world.github.close(SHOP, 2);
    capped(shop.closes(1)).await.ends(0, "removed");
    assert_eq!(shop.line(), [0; 0]);
    let told = shop.comment(2);
    assert!(
        told.contains("Preview removed") && !told.contains("in line"),
        "{told}"
    );
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_from_a_backup_gives_no_slot_away_whose_preview_was_made_again() {
    // Who finds it first: the sweep, or somebody who looks for a slot.
    for sweeps in [true, false] {
        let shop = Shop::open().await;
        let only = async |event: Event| shop.run(&event).input("max-previews", "1").go().await;
        let opened = shop.opens(1);
        only(opened).await.ends(0, "deployed");
        let opened = shop.opens(2);
        only(opened).await.ends(0, "queued");
        let backup = shop.ledger().unwrap();
        shop.world.github.close(SHOP, 2);
        for (command, reason) in [("/undeploy", "removed"), ("/deploy", "deployed")] {
            let said = shop.says(1, "alice", command);
            only(said).await.ends(0, reason);
        }
        shop.world.github.reopen(SHOP, 2);
        shop.amend(|ledger| *ledger = backup.clone());
        if !sweeps {
            let opened = shop.opens(3);
            only(opened).await.ends(0, "queued");
        }
        only(shop.schedule()).await.ends(0, "swept");
        assert_eq!(shop.holders(), [1]);
        let namespace = shop.world.cluster.object("Namespace", "", "pr-shop-1");
        assert_eq!(
            shop.ledger().unwrap()["holders"][0]["uid"],
            namespace.unwrap()["metadata"]["uid"]
        );
        assert_eq!(shop.namespaces(), ["pr-shop-1"]);
        let told = shop.comment(1);
        assert!(told.contains("Preview ready"), "{told}");
        let before = shop.now();
        only(shop.schedule()).await.ends(0, "swept");
        assert_eq!(written(&shop, before), [""; 0]);
        only(shop.pushes(1)).await.ends(0, "deployed");
        shop.ends();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_from_a_backup_knows_a_sleeper_again_that_was_made_since() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    let sleeps = async || {
        let said = shop.says(1, "alice", "/sleep");
        shop.hears(&said).await.ends(0, "slept");
    };
    sleeps().await;
    let backup = shop.ledger().unwrap();
    for (command, reason) in [("/undeploy", "removed"), ("/deploy", "deployed")] {
        let said = shop.says(1, "alice", command);
        shop.hears(&said).await.ends(0, reason);
    }
    sleeps().await;
    shop.amend(|ledger| *ledger = backup.clone());
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    let told = shop.comment(1);
    assert!(told.contains("Preview asleep"), "{told}");
    shop.hears(&shop.says(1, "alice", "/wake"))
        .await
        .ends(0, "woken");
    shop.ends();
}
