//! A live preview whose update fails: it is brought back, kept or removed, and the comment says which is so.

use crate::support::{CONFIGURATION, Event, ONE_SERVICE, Seen, Shop};
use futures::{StreamExt, stream};
use preview_action::simulate::{Action, Fault, Record};
use serde_json::Value;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The one service, with an image whose container exits at once.
fn broken() -> String {
    ONE_SERVICE.replace("web:{short-sha}", "web:crash-{short-sha}")
}

/// The author pushes a commit that cannot run.
fn breaks(shop: &Shop, pr: u64) -> Event {
    shop.pushes_files(pr, &[(CONFIGURATION, &broken())])
}

fn mends(shop: &Shop, pr: u64) -> Event {
    shop.pushes_files(pr, &[(CONFIGURATION, ONE_SERVICE)])
}

fn head(shop: &Shop) -> String {
    shop.world.github.head("acme/shop", 1)[..7].to_owned()
}

/// The record of pull request 1.
fn record(shop: &Shop) -> Value {
    shop.ledger().unwrap_or_default()["previews"]["1"].clone()
}

fn annotation(shop: &Shop, name: &str) -> String {
    let namespace = shop.world.cluster.object("Namespace", "", "pr-shop-1");
    let value = &namespace.unwrap_or_default()["metadata"]["annotations"][name];
    value.as_str().unwrap_or_default().to_owned()
}

/// Pods of the web service that are up and are not going.
fn pods(shop: &Shop) -> Vec<String> {
    let pods = shop.world.cluster.objects("Pod", "pr-shop-1");
    let up = pods.iter().filter(|pod| {
        pod["metadata"]["deletionTimestamp"].is_null()
            && pod["status"]["containerStatuses"][0]["ready"] == true
    });
    up.map(|pod| pod["metadata"]["name"].to_string()).collect()
}

#[track_caller]
fn serves(shop: &Shop, good: &str) {
    let image = shop.image("pr-shop-1", "web");
    assert!(image.ends_with(good), "{image} is not of {good}");
    assert!(!image.contains("crash"), "{image}");
    assert!(annotation(shop, "preview-action/sha").starts_with(good));
}

#[track_caller]
fn restored(shop: &Shop, seen: &Seen, good: &str, failed: &str) {
    seen.ends(1, "crash-loop");
    assert_eq!(seen.output("state"), "failed");
    seen.one_comment();
    let lead = seen
        .comment()
        .lines()
        .find(|line| line.starts_with("**Failed**"))
        .unwrap_or_else(|| panic!("{}", seen.comment()));
    let (first, second) = lead.split_once("**still serving**").unwrap();
    assert!(first.contains(failed), "{lead}");
    assert!(second.contains(good), "{lead}");
    assert!(seen.outputs["result"].contains(good), "{seen:#?}");
    serves(shop, good);
    assert_eq!(shop.holders(), [1]);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_is_gathered_before_anything_is_taken_back() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    let since = shop.now();
    shop.hears(&breaks(&shop, 1)).await.ends(1, "crash-loop");
    let requests = shop.cluster_requests(since);
    let web =
        |record: &&Record| record.method == "PATCH" && record.path.ends_with("/deployments/web");
    let mut patches = requests.iter().filter(web);
    assert!(patches.next().unwrap().body.contains("web:crash-"));
    let back = patches.find(|record| !record.body.contains("web:crash-"));
    let begun = back.unwrap().started;
    let evidence = |end: &'static str| {
        let found = requests
            .iter()
            .filter(move |record| record.path.ends_with(end));
        found.filter(|record| record.method != "PATCH")
    };
    for end in ["/log", "/events"] {
        assert!(evidence(end).any(|record| record.ended.is_some_and(|ended| ended <= begun)));
    }
    // The pods of the failed commit go with the first write, and their logs with them.
    assert!(evidence("/log").all(|record| record.ended.is_some_and(|ended| ended <= begun)));
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_update_is_taken_back_and_the_pods_that_served_stay() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    let good = head(&shop);
    let before = pods(&shop);
    assert_eq!(before.len(), 1);

    let seen = shop.hears(&breaks(&shop, 1)).await;
    println!("{}", seen.comment());
    restored(&shop, &seen, &good, &head(&shop));
    assert_eq!(pods(&shop), before, "the pods that served were replaced");
    let record = record(&shop);
    assert!(record["serving"].as_str().unwrap().starts_with(&good));
    assert_eq!(record["attempted"]["outcome"], "failed");
    assert!(record["active"].is_null());
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restore_the_next_push_deploys_as_ever() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    let good = head(&shop);
    let seen = shop.hears(&breaks(&shop, 1)).await;
    restored(&shop, &seen, &good, &head(&shop));
    let again = shop.hears(&breaks(&shop, 1)).await;
    restored(&shop, &again, &good, &head(&shop));
    let seen = shop.hears(&mends(&shop, 1)).await;
    seen.ends(0, "deployed");
    serves(&shop, &head(&shop));
    assert!(
        !seen.comment().contains("serving `") && !seen.comment().contains("still serving"),
        "{}",
        seen.comment()
    );
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_update_created_goes_when_it_is_taken_back() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    let good = head(&shop);
    let more = format!(
        "{}  extra: {{image: 'registry.example/extra:1', port: 8080}}\n",
        broken()
    );
    let seen = shop
        .hears(&shop.pushes_files(1, &[(CONFIGURATION, &more)]))
        .await;
    restored(&shop, &seen, &good, &head(&shop));
    for kind in ["Deployment", "Service"] {
        let left = shop.world.cluster.object(kind, "pr-shop-1", "extra");
        assert!(left.is_none_or(|left| left["metadata"]["deletionTimestamp"].is_string()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_deploy_that_fails_stays_to_be_looked_at() {
    let shop = Shop::selling(&broken()).await;
    let seen = shop.hears(&shop.opens(1)).await;
    seen.ends(1, "crash-loop");
    seen.says("did **not** become ready. What was applied stays");
    assert!(
        !seen.comment().contains("serving `") && !seen.comment().contains("still serving"),
        "{}",
        seen.comment()
    );
    assert_eq!(shop.holders(), [1]);
    assert!(shop.image("pr-shop-1", "web").contains("crash"));
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn keep_leaves_the_failure_and_says_what_is_still_served() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    let good = head(&shop);
    let event = breaks(&shop, 1);
    let seen = shop
        .run(&event)
        .input("on-failed-update", "keep")
        .go()
        .await;
    seen.ends(1, "crash-loop");
    println!("{}", seen.comment());
    assert!(shop.image("pr-shop-1", "web").contains("crash"));
    // The old pod goes only once a new one is ready.
    seen.says("did **not** become ready. Still serving");
    seen.says(&good);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn keep_does_not_claim_what_is_half_gone() {
    let two = "  api: {image: 'registry.example/api:{short-sha}', port: 8080}\n";
    let shop = Shop::selling(&format!("{ONE_SERVICE}{two}")).await;
    shop.deployed(1).await;
    // The api rolls over, the web service does not.
    let broken = format!("{}{two}", broken());
    let event = shop.pushes_files(1, &[(CONFIGURATION, &broken)]);
    let seen = shop
        .run(&event)
        .input("on-failed-update", "keep")
        .go()
        .await;
    seen.ends(1, "crash-loop");
    assert!(
        !seen.comment().to_lowercase().contains("still serving"),
        "{}",
        seen.comment()
    );
    seen.says("may be a mix");
    assert!(record(&shop)["serving"].is_null());
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn keep_does_not_claim_what_was_removed() {
    let two = "  api: {image: 'registry.example/api:{short-sha}', port: 8080}\n";
    let shop = Shop::selling(&format!("{ONE_SERVICE}{two}")).await;
    shop.deployed(1).await;
    let event = shop.pushes_files(1, &[(CONFIGURATION, &broken())]);
    let seen = shop
        .run(&event)
        .input("on-failed-update", "keep")
        .go()
        .await;
    seen.ends(1, "crash-loop");
    assert_eq!(
        shop.world.cluster.object("Deployment", "pr-shop-1", "api"),
        None
    );
    assert!(
        !seen.comment().to_lowercase().contains("still serving"),
        "{}",
        seen.comment()
    );
    assert!(record(&shop)["serving"].is_null());
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn remove_removes_and_says_why() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    let event = breaks(&shop, 1);
    let seen = shop
        .run(&event)
        .input("on-failed-update", "remove")
        .go()
        .await;
    println!("{}", seen.comment());
    seen.ends(1, "crash-loop");
    seen.says("The preview was removed, because `on-failed-update` is `remove`.");
    assert_eq!(shop.namespaces(), Vec::<String>::new());
    assert_eq!(shop.holders(), Vec::<u64>::new());
    let seen = shop.hears(&mends(&shop, 1)).await;
    seen.ends(0, "deployed");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_fails_is_told_as_that() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    let good = head(&shop);
    let refused = Fault::on(
        "GET",
        "/api/v1/namespaces/*/secrets/preview-last-good",
        Action::Answer {
            status: 403,
            body: serde_json::json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Forbidden", "code": 403, "message": "secrets \"preview-last-good\" is forbidden: User \"preview\" cannot get resource \"secrets\" in API group \"\" in the namespace \"pr-shop-1\""}),
            headers: Vec::new(),
        },
    );
    shop.world.cluster.inject(refused.always());
    let seen = shop.hears(&breaks(&shop, 1)).await;
    shop.world.cluster.clear_faults();
    println!("{}", seen.comment());
    seen.ends(1, "crash-loop");
    seen.says("could **not** be brought back");
    seen.says(&good);
    assert!(
        !seen.comment().contains("still serving"),
        "{}",
        seen.comment()
    );
    assert!(record(&shop)["serving"].is_null());
    shop.hears(&mends(&shop, 1)).await.ends(0, "deployed");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_else_wrote_into_the_secret_is_not_applied() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    let mut secret = shop
        .world
        .cluster
        .object("Secret", "pr-shop-1", "preview-last-good")
        .unwrap();
    secret["data"]["current"] = "e30=".into();
    shop.world.cluster.put(&secret).unwrap();
    let seen = shop.hears(&breaks(&shop, 1)).await;
    seen.ends(1, "crash-loop");
    seen.says("could **not** be brought back");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_did_not_change_is_not_kept_again() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    let since = shop.now();
    shop.hears(&shop.says(1, "alice", "/deploy"))
        .await
        .ends(0, "unchanged");
    let secrets = shop
        .cluster_requests(since)
        .into_iter()
        .filter(|record| record.path.contains("/secrets/"));
    assert_eq!(secrets.count(), 0);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_during_a_restore_takes_over() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    let event = breaks(&shop, 1);
    let restores = shop.world.log.wait_until(|records: &[_]| {
        records.iter().any(|record: &Record| {
            record.method == "GET" && record.path.ends_with("/preview-last-good")
        })
    });
    let push = async {
        restores.await;
        shop.hears(&mends(&shop, 1)).await
    };
    let (older, newer) = tokio::join!(shop.hears(&event), push);
    newer.ends(0, "deployed");
    newer.one_comment();
    assert!(older.exit == 0 || older.exit == 1, "{older:#?}");
    serves(&shop, &head(&shop));
    assert!(newer.comment().contains("ready"), "{}", newer.comment());
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_cancelled_while_it_restores_says_so_and_the_next_one_works() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    let event = breaks(&shop, 1);
    let stop = CancellationToken::new();
    let token = stop.clone();
    shop.world.cluster.inject(Fault::run(
        "GET",
        "/api/v1/namespaces/*/secrets/preview-last-good",
        move || token.cancel(),
    ));
    let seen = shop.run(&event).stopping(&stop).go().await;
    seen.ends(130, "cancelled");
    seen.says("cancelled");
    assert!(record(&shop)["active"].is_null());
    shop.hears(&mends(&shop, 1)).await.ends(0, "deployed");
    serves(&shop, &head(&shop));
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_died_at_any_request_of_a_failed_update_is_made_good_by_the_next_push() {
    let requests = {
        let shop = Shop::open().await;
        shop.deployed(1).await;
        let event = breaks(&shop, 1);
        let since = shop.now();
        assert_eq!(shop.hears(&event).await.exit, 1);
        shop.requests("cluster", since)
    };
    // Whoever dies among reads leaves the same world at each of them, so the first one after a write stands for all.
    let writes = |k: usize| requests[k - 1].method != "GET";
    let count = requests.len();
    let differ = (1..=count).filter(|&k| k == 1 || writes(k) || writes(k - 1));
    let deaths: Vec<bool> = stream::iter(differ)
        .map(|k| async move {
            let shop = Shop::open().await;
            shop.deployed(1).await;
            let died = shop.run(&breaks(&shop, 1)).dies_at("cluster", k).await;
            shop.world.advance(Duration::from_secs(31));
            let when = format!("died at request {k}");
            // Broken once more: it must come back to the same good commit or to none.
            let again = shop.hears(&breaks(&shop, 1)).await;
            assert_eq!(again.exit, 1, "{when}: {again:#?}");
            again.one_comment();
            let seen = shop.hears(&mends(&shop, 1)).await;
            assert_eq!(
                (seen.exit, seen.output("reason-code")),
                (0, "deployed"),
                "{when}"
            );
            seen.one_comment();
            serves(&shop, &head(&shop));
            assert_eq!(shop.holders(), [1], "{when}");
            assert!(record(&shop)["active"].is_null(), "{when}");
            assert!(
                again.comment().contains("**still serving**"),
                "{when}: {}",
                again.comment()
            );
            shop.ends();
            died
        })
        .buffer_unordered(4)
        .collect()
        .await;
    let died = deaths.iter().filter(|died| **died).count();
    println!("{died} deaths of {} tries, {count} requests", deaths.len());
    assert!(
        died + 4 >= deaths.len() && died >= 12,
        "{died} of {}",
        deaths.len()
    );
}

/// Why the last deploy failed, as the preview keeps it.
fn kept(shop: &Shop) -> Option<Value> {
    let object = shop
        .world
        .cluster
        .object("ConfigMap", "pr-shop-1", "preview-last-failure")?;
    assert!(
        object["metadata"]["labels"].is_null(),
        "it is no member of the set"
    );
    let text = object["data"]["failure.json"].as_str()?;
    Some(serde_json::from_str(text).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn why_a_deploy_failed_is_kept_until_the_next_one_is_ready() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    assert_eq!(kept(&shop), None);
    shop.hears(&breaks(&shop, 1)).await.ends(1, "crash-loop");
    let failure = kept(&shop).unwrap();
    assert_eq!(failure["sha"].as_str().unwrap()[..7], head(&shop));
    let cause = &failure["causes"][0];
    assert_eq!(cause["reasonCode"], "crash-loop");
    for field in ["cause", "remedy"] {
        assert!(!cause[field].as_str().unwrap().is_empty(), "{cause:#}");
    }
    assert!(
        !cause["evidence"].as_array().unwrap().is_empty(),
        "{cause:#}"
    );

    let asked = |since: usize| {
        let requests = shop.cluster_requests(since).into_iter();
        let about = requests.filter(|record| record.path.ends_with("/preview-last-failure"));
        about.map(|record| record.method).collect::<Vec<_>>()
    };
    let since = shop.now();
    shop.hears(&mends(&shop, 1)).await.ends(0, "deployed");
    assert_eq!(kept(&shop), None);
    assert_eq!(asked(since), ["DELETE"]);
    let since = shop.now();
    shop.hears(&shop.pushes(1)).await.ends(0, "deployed");
    assert_eq!(
        asked(since),
        Vec::<String>::new(),
        "there was nothing to delete"
    );
    shop.ends();
}
