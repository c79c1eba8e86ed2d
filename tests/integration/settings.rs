//! Settings that change between two runs of one preview, and settings that keep previews apart.

use crate::support::{CONFIGURATION, ONE_SERVICE, Shop};

#[tokio::test(flavor = "multi_thread")]
async fn two_environments_of_one_pull_request_live_side_by_side() {
    let shop = Shop::open().await;
    let opened = shop.opens(1);
    shop.hears(&opened).await.ends(0, "deployed");
    let other = [
        ("environment", "eu-west"),
        ("namespace-pattern", "{environment}-{repo}-{number}"),
        ("host-pattern", "{number}-eu.{domain}"),
    ];
    let seen = shop.run(&opened).inputs(&other).go().await;
    seen.ends(0, "deployed");
    assert_eq!(shop.namespaces(), ["eu-west-shop-1", "pr-shop-1"]);
    assert_eq!(shop.status_comments(1).len(), 2);
    assert_eq!(seen.output("url"), "http://1-eu.preview.example.test");
    let command = shop.says(1, "alice", "/undeploy");
    let removed = shop.run(&command).inputs(&other).go().await;
    removed.ends(0, "removed");
    assert_eq!(shop.namespaces(), ["pr-shop-1"]);
    assert!(shop.status_comments(1)[0].body.contains("Preview ready"));
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cap_that_is_lowered_takes_nothing_away() {
    let shop = Shop::open().await;
    shop.filled().await;
    let command = shop.says(1, "alice", "/deploy");
    let seen = shop.run(&command).input("max-previews", "1").go().await;
    seen.ends(0, "unchanged");
    assert_eq!(shop.namespaces().len(), 3);
    for pr in [2, 3] {
        let closed = shop.closes(pr);
        let lowered = shop.run(&closed).input("max-previews", "1");
        lowered.go().await.ends(0, "removed");
    }
    shop.hears(&shop.opens(4)).await.ends(0, "queued");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_taken_out_of_the_configuration_is_not_shown_any_more() {
    let two = format!(
        "{ONE_SERVICE}  api: {{image: 'registry.example/api:{{sha}}', port: 8080, public: true}}\n"
    );
    let shop = Shop::selling(&two).await;
    let first = shop.deployed(1).await;
    assert!(
        first.output("urls").contains("pr-1-api"),
        "{}",
        first.output("urls")
    );
    let seen = shop
        .hears(&shop.pushes_files(1, &[(CONFIGURATION, ONE_SERVICE)]))
        .await;
    seen.ends(0, "deployed");
    assert!(
        !seen.output("urls").contains("pr-1-api"),
        "{}",
        seen.output("urls")
    );
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expiry_is_put_off_by_every_deploy() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    let expires = || {
        let namespace = shop
            .world
            .cluster
            .object("Namespace", "", "pr-shop-1")
            .unwrap();
        namespace["metadata"]["annotations"]["preview-action/expires"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let before = expires();
    let command = shop.says(1, "alice", "/deploy");
    shop.run(&command)
        .input("ttl", "30d")
        .go()
        .await
        .ends(0, "unchanged");
    assert!(expires() > before, "{} is not after {before}", expires());
    shop.ends();
}
