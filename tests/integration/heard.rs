//! Comments change while runs wait: what was taken back is not followed, and neither is a flood.

use crate::{
    reactions::reactions,
    support::{SHOP, Shop},
};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_back_is_not_followed() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    let github = &shop.world.github;
    let changes: [(&str, &dyn Fn(u64)); 3] = [
        ("was deleted", &|id| {
            assert!(github.delete_comment(SHOP, id));
        }),
        ("was changed", &|id| {
            assert!(github.edit_comment(SHOP, id, "never mind"));
        }),
        ("was changed", &|id| {
            assert!(github.edit_comment(SHOP, id, "/undeploy now\nplease"));
        }),
    ];
    for (how, change) in changes {
        let event = shop.says(1, "alice", "/undeploy");
        change(event.payload["comment"]["id"].as_u64().unwrap());
        let seen = shop.hears(&event).await;
        seen.ends(0, "comment-withdrawn");
        assert!(seen.summary.contains(how), "{}", seen.summary);
        assert_eq!(shop.namespaces(), ["pr-shop-1"]);
    }
    // A comment that others follow by the hundred is read by itself.
    let event = shop.says(1, "alice", "/undeploy");
    let id = event.payload["comment"]["id"].as_u64().unwrap();
    for number in 0..101 {
        let earlier = github.comment(SHOP, 1, "bob", "first");
        assert!(github.edit_comment(SHOP, earlier, &format!("edited {number}")));
    }
    assert!(github.edit_comment(SHOP, id, "never mind"));
    shop.hears(&event).await.ends(0, "comment-withdrawn");
    // What is written below the command may change.
    let event = shop.says(1, "alice", "/undeploy");
    let id = event.payload["comment"]["id"].as_u64().unwrap();
    assert!(github.edit_comment(SHOP, id, "/undeploy\nas it is not needed"));
    shop.hears(&event).await.ends(0, "removed");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_has_waited_for_a_day_is_not_followed_unless_somebody_runs_it_again() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    let mut event = shop.says(1, "alice", "/undeploy");
    let yesterday = shop.world.clock.now() - jiff::SignedDuration::from_hours(25);
    event.payload["comment"]["created_at"] = json!(format!("{yesterday:.0}"));
    let seen = shop.hears(&event).await;
    seen.ends(0, "comment-withdrawn");
    assert!(seen.summary.contains("a day old"), "{}", seen.summary);
    assert_eq!(shop.namespaces(), ["pr-shop-1"]);
    // What a plan has heard in time may have waited for an approval.
    let mut planned = shop.says(1, "alice", "/deploy");
    planned.payload["comment"]["created_at"] = event.payload["comment"]["created_at"].clone();
    let head = shop.world.github.head(SHOP, 1);
    let planned = shop.run(&planned).input("sha", &head);
    planned.go().await.ends(0, "unchanged");
    let again = shop.run(&event).variable("GITHUB_RUN_ATTEMPT", "2");
    again.go().await.ends(0, "removed");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_commands_ends_with_the_twentieth_and_stops_nobody_else() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    for _ in 0..20 {
        shop.says(1, "bob", "/undeploy");
    }
    let since = shop.now();
    let seen = shop.hears(&shop.says(1, "bob", "/undeploy")).await;
    seen.ends(0, "too-many-commands");
    seen.one_comment();
    assert_eq!(shop.cluster_requests(since).len(), 0);
    shop.hears(&shop.says(1, "alice", "/status"))
        .await
        .ends(0, "status-shown");
    // Talk is no command.
    for _ in 0..20 {
        shop.says(1, "carol", "looks good");
    }
    shop.hears(&shop.says(1, "alice", "/status"))
        .await
        .ends(0, "status-shown");
    shop.ends();
}

/// A stranger costs no more than whoever GitHub knows, and a flood of strangers one request each.
#[tokio::test(flavor = "multi_thread")]
async fn strangers_cost_four_requests_and_one_each_once_there_are_too_many() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    let undeploys = async |reason: &str| {
        let since = shop.now();
        let mut event = shop.says(1, "mallory", "/undeploy");
        let later = shop.world.clock.now() + jiff::SignedDuration::from_mins(5);
        event.payload["comment"]["created_at"] = json!(format!("{later:.0}"));
        event.payload["comment"]["author_association"] = json!("NONE");
        shop.hears(&event).await.ends(0, reason);
        let asked = shop.requests("github", since);
        let asked: Vec<_> = asked
            .iter()
            .map(|one| one.path.rsplit('/').next().unwrap().to_owned())
            .collect();
        (asked, reactions(&shop, &event))
    };
    let (asked, given) = undeploys("permission-denied").await;
    assert_eq!(
        asked,
        ["comments", "permission", "collaborators", "reactions"]
    );
    assert_eq!(given, ["-1"]);
    for _ in 0..19 {
        shop.says(1, "mallory", "/undeploy");
    }
    let (asked, given) = undeploys("too-many-commands").await;
    assert_eq!(asked, ["comments"]);
    assert_eq!(given, [""; 0]);
    // Whom GitHub calls nobody may be one of the people all the same.
    let mut event = shop.says(1, "alice", "/status");
    event.payload["comment"]["author_association"] = json!("NONE");
    shop.hears(&event).await.ends(0, "status-shown");
    assert_eq!(reactions(&shop, &event), ["eyes", "rocket", "+1"]);
    assert_eq!(shop.namespaces(), ["pr-shop-1"]);
    shop.ends();
}

/// Whom the association alone refuses costs a request and a reaction, and nothing more than the first in a flood.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_refused_by_association_is_not_told_so_a_thousand_times() {
    let shop = Shop::open().await;
    shop.opens(1);
    let owners = [("author-association", "OWNER")];
    for mode in ["run", "plan"] {
        for number in 1..=21 {
            let mut event = shop.says(1, "mallory", "/undeploy");
            event.payload["comment"]["author_association"] = json!("NONE");
            let flood = number > 20 || mode == "plan";
            if (2..=20).contains(&number) {
                continue;
            }
            let since = shop.now();
            let run = shop.run(&event).inputs(&owners).input("mode", mode);
            let (reason, given): (_, &[&str]) = match flood {
                true => ("too-many-commands", &[]),
                false => ("permission-denied", &["-1"]),
            };
            run.go().await.ends(0, reason);
            assert_eq!(reactions(&shop, &event), given, "{mode} {number}");
            let written = shop.requests("github", since);
            let written = written.iter().filter(|one| one.method != "GET").count();
            assert_eq!(written, given.len());
        }
    }
    shop.ends();
}
