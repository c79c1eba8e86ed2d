//! Under each command stands what became of it: read, begun, and done, not done, or not allowed.
//! A reaction is a courtesy: where GitHub takes none, everything else goes on as it would.

use crate::support::{CONFIGURATION, Event, ONE_SERVICE, SHOP, Shop};
use preview_action::simulate::Fault;
use serde_json::json;

/// What stands under the comment of an event: how it began, in any order, and how it ended.
pub(crate) fn reactions(shop: &Shop, event: &Event) -> Vec<String> {
    let id = event.payload["comment"]["id"].as_u64().unwrap();
    let comments = shop.world.github.comments(SHOP, event.pr);
    let comment = comments.into_iter().find(|one| one.id == id).unwrap();
    let mut given: Vec<String> = comment
        .reactions
        .into_iter()
        .map(|(login, content)| {
            assert_eq!(login, "github-actions[bot]");
            content
        })
        .collect();
    let begun = given.len().saturating_sub(1);
    given[..begun].sort_unstable();
    given
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_shows_that_it_was_read_begun_and_how_it_ended() {
    let shop = Shop::open().await;
    shop.opens(1);
    let broken = ONE_SERVICE.replace("web:{short-sha}", "web:crash-{short-sha}");
    for (who, body, wanted) in [
        ("alice", "/deploy", ["eyes", "rocket", "+1"].as_slice()),
        ("bob", "/status", &["eyes", "rocket", "+1"]),
        ("bob", "/help", &["eyes", "rocket", "+1"]),
        ("bob", "/extend 2d", &["eyes", "rocket", "+1"]),
        ("bob", "/rollback", &["eyes", "rocket", "confused"]),
        ("bob", "/dploy", &["eyes", "confused"]),
        ("mallory", "/undeploy", &["eyes", "-1"]),
        ("mallory", "/undeplo", &["eyes", "-1"]),
        ("alice", "/sleep", &["eyes", "rocket", "+1"]),
        ("alice", "/wake", &["eyes", "rocket", "+1"]),
        ("alice", "/undeploy", &["eyes", "rocket", "+1"]),
        ("alice", "/ping", &[]),
        ("alice", "nice, /deploy", &[]),
    ] {
        let event = shop.says(1, who, body);
        let seen = shop.hears(&event).await;
        assert_eq!(reactions(&shop, &event), wanted, "{who}: {body}: {seen:#?}");
    }
    shop.pushes_files(1, &[(CONFIGURATION, &broken)]);
    let event = shop.says(1, "alice", "/deploy");
    shop.hears(&event).await.ends(1, "crash-loop");
    assert_eq!(reactions(&shop, &event), ["eyes", "rocket", "confused"]);
    shop.world.github.close(SHOP, 1);
    let event = shop.says(1, "alice", "/deploy");
    shop.hears(&event).await.ends(0, "pull-request-closed");
    assert_eq!(reactions(&shop, &event), ["eyes", "rocket", "confused"]);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_names_another_commit_is_told_which_one_is_the_newest() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    let event = shop.says(1, "alice", &format!("/deploy {}", "0".repeat(40)));
    let seen = shop.hears(&event).await;
    seen.ends(0, "commit-unknown");
    seen.says("is no commit of pull request");
    assert_eq!(reactions(&shop, &event), ["eyes", "rocket", "confused"]);
    seen.says("Preview ready");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reaction_that_github_does_not_take_fails_nothing() {
    for status in [403, 404, 422, 500] {
        let shop = Shop::open().await;
        shop.opens(1);
        let path = "/repos/acme/shop/issues/comments/*/reactions";
        let refused = Fault::answer("POST", path, status, json!({"message": "no"})).always();
        shop.world.github.inject(refused);
        let event = shop.says(1, "alice", "/deploy");
        let seen = shop.hears(&event).await;
        seen.ends(0, "deployed");
        assert_eq!(reactions(&shop, &event), [""; 0]);
        shop.ends();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_requests_are_all_that_a_command_costs_more_than_an_event() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    let asked = |since: usize| {
        let all = shop.requests("github", since);
        all.iter()
            .filter(|one| one.path.ends_with("/reactions"))
            .count()
    };
    let before = shop.now();
    shop.hears(&shop.pushes(1)).await.ends(0, "deployed");
    assert_eq!(asked(before), 0);
    let before = shop.now();
    shop.hears(&shop.says(1, "alice", "/deploy")).await;
    assert_eq!(asked(before), 3);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_started_by_hand_needs_write_permission_and_one_that_a_workflow_starts_does_not() {
    let shop = Shop::open().await;
    shop.opens(1);
    let by = |login: &str| {
        let inputs = [("command", "deploy"), ("pr", "1")];
        let payload = shop.world.github.dispatch_event(SHOP, login, &inputs);
        Event::new("workflow_dispatch", payload, 1)
    };
    let before = shop.now();
    shop.hears(&by("mallory"))
        .await
        .ends(0, "permission-denied");
    assert_eq!(shop.requests("cluster", before).len(), 0);
    shop.hears(&by("github-actions[bot]"))
        .await
        .ends(0, "deployed");
    shop.hears(&by("bob")).await.ends(0, "unchanged");
    shop.ends();
}
