//! `/rollback`: back to the last commit that was ready, or to the one before it, until the next push.

use crate::support::{Event, ONE_SERVICE, SHOP, Shop};
use std::time::Duration;

/// After so long a head that no run has tried is the sweep's.
const QUARTER: Duration = Duration::from_secs(16 * 60);

fn head(shop: &Shop) -> String {
    shop.world.github.head("acme/shop", 1)[..7].to_owned()
}

async fn twice_deployed(shop: &Shop) -> (String, String) {
    shop.deployed(1).await;
    let first = head(shop);
    shop.hears(&shop.pushes(1)).await.ends(0, "deployed");
    (first, head(shop))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_goes_to_the_commit_before_and_holds_until_the_next_push() {
    let shop = Shop::open().await;
    let (first, second) = twice_deployed(&shop).await;
    let seen = shop.hears(&shop.says(1, "alice", "/rollback")).await;
    println!("{}", seen.comment());
    seen.ends(0, "rolled-back");
    assert_eq!(seen.output("state"), "ready");
    assert!(seen.output("sha").starts_with(&first), "{seen:#?}");
    seen.one_comment();
    seen.says("was rolled back");
    seen.says(&second);
    let image = shop.image("pr-shop-1", "web");
    // The pod of the first commit is gone, so its image comes back by digest.
    assert!(image.contains("@sha256:"), "{image}");

    // The same commit does not come back by itself, only by command or push.
    let held = shop.hears(&shop.pull_event(1, "reopened")).await;
    held.ends(0, "rolled-back");
    assert_eq!(shop.image("pr-shop-1", "web"), image);
    let status = shop.hears(&shop.says(1, "bob", "/status")).await;
    status.says("was rolled back");
    shop.hears(&shop.pushes(1)).await.ends(0, "deployed");
    assert!(shop.image("pr-shop-1", "web").ends_with(&head(&shop)));
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_lets_go_what_came_later_and_brings_back_what_went() {
    const MAPS: &str = "{%- set names = [NAMES] %}{% for name in names %}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ name }}}\ndata: {a: b}\n{% endfor %}\n";
    let configuration = format!("{ONE_SERVICE}templates: [maps.yaml.j2]\n");
    let shop = Shop::selling(&configuration).await;
    let text = |names: &str| MAPS.replace("NAMES", names);
    let maps = || -> Vec<String> {
        let all = shop.world.cluster.objects("ConfigMap", "pr-shop-1");
        let name = |map: &serde_json::Value| map["metadata"]["name"].as_str().unwrap().to_owned();
        let mut names: Vec<_> = all.iter().map(name).collect();
        names.retain(|name| !["kube-root-ca.crt", "preview-applyset"].contains(&name.as_str()));
        names
    };
    shop.commit(&[("maps.yaml.j2", &text("'first', 'both'"))]);
    shop.deployed(1).await;
    assert_eq!(maps(), ["both", "first"]);
    let push = shop.pushes_files(1, &[("maps.yaml.j2", &text("'second', 'both'"))]);
    shop.hears(&push).await.ends(0, "deployed");
    assert_eq!(maps(), ["both", "second"]);
    let seen = shop.hears(&shop.says(1, "alice", "/rollback")).await;
    seen.ends(0, "rolled-back");
    assert_eq!(maps(), ["both", "first"]);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_rollback_goes_forth_again() {
    let shop = Shop::open().await;
    let (first, second) = twice_deployed(&shop).await;
    for expected in [&first, &second, &first] {
        let seen = shop.hears(&shop.says(1, "alice", "/rollback")).await;
        seen.ends(0, "rolled-back");
        assert!(seen.output("sha").starts_with(expected), "{seen:#?}");
    }
    let deployed = shop.hears(&shop.says(1, "alice", "/deploy")).await;
    deployed.ends(0, "deployed");
    assert!(shop.image("pr-shop-1", "web").ends_with(&second));
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_earlier_commit_nothing_is_changed() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    let image = shop.image("pr-shop-1", "web");
    let seen = shop.hears(&shop.says(1, "alice", "/rollback")).await;
    seen.ends(0, "nothing-to-roll-back");
    seen.says("no earlier commit");
    assert_eq!(shop.image("pr-shop-1", "web"), image);
    assert!(shop.ledger().unwrap()["previews"]["1"]["active"].is_null());
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_sleeps_is_woken_before_it_is_rolled_back() {
    for keeps in ["true", "false"] {
        let shop = Shop::open().await;
        twice_deployed(&shop).await;
        let sleep = shop.says(1, "alice", "/sleep");
        let slept = shop.run(&sleep).input("sleep-keeps-slot", keeps).go().await;
        slept.ends(0, "slept");
        let image = shop.image("pr-shop-1", "web");
        let seen = shop.hears(&shop.says(1, "alice", "/rollback")).await;
        seen.ends(0, "nothing-to-roll-back");
        seen.says("Preview asleep");
        seen.says("comment `/wake` first");
        assert_eq!(shop.image("pr-shop-1", "web"), image);
        let record = shop.record(1);
        assert!(!record["asleep"].is_null() && record["active"].is_null());
        shop.hears(&shop.says(1, "alice", "/wake"))
            .await
            .ends(0, "woken");
        shop.hears(&shop.says(1, "alice", "/rollback"))
            .await
            .ends(0, "rolled-back");
        shop.ends();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_write_may_not_roll_back() {
    let shop = Shop::open().await;
    twice_deployed(&shop).await;
    let image = shop.image("pr-shop-1", "web");
    let seen = shop.hears(&shop.says(1, "mallory", "/rollback")).await;
    seen.ends(0, "permission-denied");
    assert_eq!(shop.image("pr-shop-1", "web"), image);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_rolled_back_and_expired_comes_back_only_when_somebody_wants_it() {
    let shop = Shop::open().await;
    twice_deployed(&shop).await;
    shop.hears(&shop.says(1, "alice", "/rollback"))
        .await
        .ends(0, "rolled-back");
    shop.world.advance(QUARTER * 4 * 24 * 8);
    // The first one warns.
    for _ in 0..3 {
        shop.hears(&shop.schedule()).await.ends(0, "swept");
        shop.world.advance(QUARTER);
    }
    assert_eq!(shop.namespaces(), [""; 0]);
    let told = shop.comment(1);
    assert!(told.contains("Preview expired"), "{told}");
    shop.hears(&shop.pushes(1)).await.ends(0, "deployed");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_rolled_back_and_moved_aside_does_not_ask_for_its_slot_by_itself() {
    let shop = Shop::open().await;
    shop.world.github.add_user("mia");
    let github = &shop.world.github;
    github.set_permission(SHOP, "mia", "write", "maintain");
    let only = async |event: Event| shop.run(&event).input("max-previews", "1").go().await;
    let opened = shop.opens(1);
    only(opened).await.ends(0, "deployed");
    let pushed = shop.pushes(1);
    only(pushed).await.ends(0, "deployed");
    let back = shop.says(1, "alice", "/rollback");
    only(back).await.ends(0, "rolled-back");
    shop.opens(2);
    let taken = shop.says(2, "mia", "/deploy --take #1");
    only(taken).await.ends(0, "deployed");
    shop.world.advance(QUARTER);
    only(shop.schedule()).await.ends(0, "swept");
    assert_eq!((shop.holders(), shop.line()), (vec![2], vec![]));
    // What was closed and is opened again is wanted anew.
    only(shop.closes(1)).await;
    shop.world.github.reopen(SHOP, 1);
    let again = shop.pull_event(1, "reopened");
    only(again).await.ends(0, "queued");
    shop.ends();
}
