//! How long previews live: warned, expired, brought back, kept longer, pinned.

use crate::support::{SHOP, Shop};
use preview_action::simulate::{Fault, cluster::Fate};
use serde_json::json;
use std::time::Duration;

const NAMESPACE: &str = "pr-shop-1";
const DAY: Duration = Duration::from_secs(24 * 3600);

fn annotation(shop: &Shop, name: &str) -> Option<String> {
    let object = shop.world.cluster.object("Namespace", "", NAMESPACE)?;
    let value = object["metadata"]["annotations"].get(name)?;
    Some(value.as_str()?.to_owned())
}

fn warnings(shop: &Shop) -> Vec<String> {
    let comments = shop.world.github.comments(SHOP, 1);
    let bodies = comments.into_iter().map(|comment| comment.body);
    bodies.filter(|body| body.contains("kind=expiry")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_expires_after_a_warning_and_a_push_brings_it_back() {
    let shop = Shop::open().await;
    shop.deployed(1).await.says("expires ");
    shop.world.advance(DAY * 5);
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    assert!(warnings(&shop).is_empty());

    shop.world.advance(DAY + DAY / 24);
    for _ in 0..2 {
        shop.hears(&shop.schedule()).await.ends(0, "swept");
    }
    let told = warnings(&shop);
    let [warning] = told.as_slice() else {
        unreachable!("{told:#?}")
    };
    for text in ["@alice", "/extend 2d", "/pin", "**expires 20"] {
        assert!(warning.contains(text), "no {text} in {warning}");
    }
    assert_eq!(shop.namespaces(), [NAMESPACE]);

    shop.world.advance(DAY);
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    assert_eq!(shop.namespaces(), [""; 0]);
    assert_eq!(shop.holders(), [0; 0]);
    assert_eq!(warnings(&shop).len(), 1);
    let comment = shop.status_comments(1).remove(0).body;
    assert!(comment.contains("Preview expired"), "{comment}");
    assert!(
        comment.contains("The next push brings it back"),
        "{comment}"
    );
    assert!(!comment.contains("expires 20"), "{comment}");

    let status = shop.hears(&shop.says(1, "alice", "/status")).await;
    assert_eq!(status.output("state"), "expired");
    shop.hears(&shop.pushes(1)).await.ends(0, "deployed");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_removed_unwarned_unless_warnings_are_off() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    shop.deployed(2).await;
    shop.unused_for(1, 30);
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    assert_eq!(shop.namespaces(), [NAMESPACE, "pr-shop-2"]);
    assert_eq!(warnings(&shop).len(), 1);
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    assert_eq!(shop.namespaces(), ["pr-shop-2"]);

    shop.unused_for(2, 30);
    let silent = shop.run(&shop.schedule()).input("expiry-warning", "false");
    silent.go().await.ends(0, "swept");
    assert_eq!(shop.namespaces(), [""; 0]);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_warning_that_github_refuses_keeps_nothing_and_one_that_is_late_does() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    shop.unused_for(1, 30);
    let path = "/repos/acme/shop/issues/1/comments";
    // Of these nobody can say that they stay so: a token that has run out, a proxy's page, a server that is not well.
    for (status, body, reason) in [
        (502, json!({}), "github-unreachable"),
        (401, json!({"message": "Bad credentials"}), "github-refused"),
        (302, json!("<html>log in</html>"), "github-refused"),
        (201, json!("<html>log in</html>"), "github-refused"),
    ] {
        let failing = Fault::answer("POST", path, status, body);
        shop.world.github.inject(failing.always());
        for _ in 0..2 {
            shop.hears(&shop.schedule()).await.ends(3, reason);
            assert_eq!(shop.namespaces(), [NAMESPACE], "{status}: nobody knows yet");
            assert!(shop.record(1)["warned"].is_null(), "{status}");
        }
        shop.world.github.clear_faults();
    }

    let locked = json!({"message": "Unable to create comment because issue is locked."});
    let refused = Fault::answer("POST", path, 403, locked);
    shop.world.github.inject(refused.always());
    let told = shop.hears(&shop.schedule()).await;
    told.ends(0, "swept");
    let warned =
        |line: &String| line.starts_with("::warning") && line.contains("nobody could be told");
    assert!(
        told.annotations().iter().any(warned),
        "{:?}",
        told.annotations()
    );
    assert_eq!(shop.namespaces(), [NAMESPACE]);
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    assert_eq!(shop.namespaces(), [""; 0]);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_change_how_long_it_lives_and_touch_no_workload() {
    let shop = Shop::open().await;
    let deployed = shop.deployed(1).await;
    let since = shop.now();
    let seen = shop.hears(&shop.says(1, "alice", "/extend 9d")).await;
    seen.ends(0, "extended");
    let until = shop.world.clock.now() + jiff::SignedDuration::from_hours(16 * 24);
    seen.says(&format!("expires {}", until.strftime("%Y-%m-%d")));
    seen.one_comment();
    let until = annotation(&shop, "preview-action/expires").unwrap();
    let extended = shop.record(1)["extended"].as_str().unwrap().to_owned();
    assert_eq!(until[..19], extended[..19], "ledger and Namespace agree");
    let untouched = |seen: &crate::support::Seen| {
        let lines = |body: &str| {
            body.lines()
                .filter(|line| !line.starts_with("<sub>"))
                .filter(|line| !line.starts_with("<!-- preview-action result "))
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        lines(seen.comment())
    };
    assert_eq!(untouched(&seen), untouched(&deployed));
    let others = shop.cluster_requests(since).into_iter().filter(|record| {
        record.method != "GET"
            && !record.path.contains("/configmaps/")
            && !record.path.ends_with(NAMESPACE)
    });
    assert_eq!(others.count(), 0);

    let pinned = shop.hears(&shop.says(1, "bob", "/pin")).await;
    pinned.ends(0, "pinned");
    pinned.says("pinned, does not expire");
    assert!(
        !pinned.comment().contains("expires 20"),
        "{}",
        pinned.comment()
    );
    assert_eq!(annotation(&shop, "preview-action/expires"), None);
    assert_eq!(
        annotation(&shop, "preview-action/pinned").as_deref(),
        Some("true")
    );
    let push = shop.hears(&shop.pushes(1)).await;
    push.ends(0, "deployed");
    push.says("pinned, does not expire");
    assert_eq!(
        annotation(&shop, "preview-action/pinned").as_deref(),
        Some("true")
    );
    shop.world.advance(DAY * 100);
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    assert_eq!(shop.namespaces(), [NAMESPACE]);

    let unpinned = shop.hears(&shop.says(1, "alice", "/unpin")).await;
    unpinned.ends(0, "unpinned");
    unpinned.says("expires 20");
    assert_eq!(annotation(&shop, "preview-action/pinned"), None);
    assert!(warnings(&shop).is_empty());
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_cannot_be_kept_longer() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    shop.hears(&shop.says(1, "alice", "/undeploy"))
        .await
        .ends(0, "removed");
    let seen = shop.hears(&shop.says(1, "alice", "/pin")).await;
    seen.ends(0, "no-preview");
    for wrong in ["/extend", "/extend soon", "/extend 91d"] {
        let seen = shop.hears(&shop.says(1, "alice", wrong)).await;
        seen.ends(0, "not-a-command");
        // The proof of the removal stays as it is.
        let told = |line: &String| line.contains("from 5m to 90d");
        assert!(seen.annotations().iter().any(told), "{seen:#?}");
    }
    let seen = shop.hears(&shop.says(1, "mallory", "/pin")).await;
    seen.ends(0, "permission-denied");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_keeps_a_preview_alive_also_where_nothing_is_deployed_by_itself() {
    let shop = Shop::open().await;
    shop.opens(1);
    shop.hears(&shop.says(1, "alice", "/deploy"))
        .await
        .ends(0, "deployed");
    let manual = async |event: crate::support::Event| {
        shop.run(&event).input("auto-deploy", "false").go().await
    };
    shop.world.advance(DAY * 6 + DAY / 24);
    manual(shop.schedule()).await.ends(0, "swept");
    assert_eq!(warnings(&shop).len(), 1, "the author is told");
    manual(shop.pushes(1)).await.ends(0, "auto-deploy-off");
    shop.world.advance(DAY);
    for _ in 0..2 {
        manual(shop.schedule()).await.ends(0, "swept");
    }
    assert_eq!(shop.namespaces(), [NAMESPACE], "the push has kept it");
    assert_eq!(warnings(&shop).len(), 1);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_prolongs_a_preview_ends_a_removal_that_was_begun_because_its_time_was_over() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    // the run that began it was killed before it deleted anything
    shop.change_record(1, |record| {
        record["removing"] = json!({"because": "expired", "by": ""});
    });
    let seen = shop.hears(&shop.says(1, "alice", "/extend 2d")).await;
    seen.ends(0, "extended");
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    assert_eq!(shop.namespaces(), ["pr-shop-1"]);
    assert_eq!(shop.holders(), [1]);
    assert!(shop.record(1)["removing"].is_null());
    shop.ends();
}

/// Somebody who asks for what is gone to stay so changes what a push does, and nothing of how it went.
#[tokio::test(flavor = "multi_thread")]
async fn who_wants_what_has_expired_to_stay_away_keeps_its_proof() {
    for end in ["expired", "removed"] {
        let shop = Shop::open().await;
        shop.deployed(1).await;
        if end == "expired" {
            shop.unused_for(1, 8);
            let sweep = shop.run(&shop.schedule()).input("expiry-warning", "false");
            sweep.go().await.ends(0, "swept");
            let said = shop.comment(1);
            assert!(said.contains("The next push brings it back."), "{said}");
        } else {
            let asked = shop.says(1, "alice", "/undeploy");
            shop.hears(&asked).await.ends(0, "removed");
        }
        for command in ["/undeploy", "/status", "/undeploy"] {
            shop.hears(&shop.says(1, "bob", command)).await;
            let said = shop.comment(1);
            let heading = format!("Preview {end}");
            for word in [heading.as_str(), "that took", "1 Deployment", "/deploy"] {
                assert!(said.contains(word), "{end} {command}: no {word} in {said}");
            }
            let line = "`bob` asked for it to stay removed: no push brings it back";
            assert_eq!(said.matches(line).count(), 1, "{end} {command}: {said}");
            assert!(!said.contains("The next push"), "{end} {command}: {said}");
        }
        let pushed = shop.hears(&shop.pushes(1)).await;
        pushed.ends(0, "removed-by-command");
        assert!(shop.comment(1).contains("that took"), "{}", shop.comment(1));
        let asked = shop.says(1, "alice", "/deploy");
        shop.hears(&asked).await.ends(0, "deployed");
        assert!(
            !shop.comment(1).contains("asked for it"),
            "{}",
            shop.comment(1)
        );
        shop.ends();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_push_is_promised_to_bring_back_what_no_push_deploys() {
    for end in ["expired", "deleted", "slept", "failed"] {
        let shop = Shop::open().await;
        let manual = async |event: crate::support::Event| {
            let run = shop.run(&event).input("auto-deploy", "false");
            run.input("expiry-warning", "false").go().await
        };
        shop.opens(1);
        manual(shop.says(1, "alice", "/deploy"))
            .await
            .ends(0, "deployed");
        match end {
            "expired" => {
                shop.unused_for(1, 8);
                manual(shop.schedule()).await.ends(0, "swept");
            }
            "deleted" => {
                shop.world.cluster.delete("Namespace", "", NAMESPACE);
                shop.gone(NAMESPACE).await;
                manual(shop.schedule()).await.ends(0, "swept");
            }
            "slept" => manual(shop.says(1, "alice", "/sleep"))
                .await
                .ends(0, "slept"),
            _ => {
                shop.world.cluster.script_fate("web", Fate::Crash);
                shop.pushes(1);
                let failed = manual(shop.says(1, "alice", "/deploy")).await;
                assert_eq!(failed.exit, 1, "{failed:#?}");
            }
        }
        let promises = |when: &str| {
            let said = shop.comment(1);
            let lower = said.to_lowercase();
            for promise in ["next push", "a push wakes", "push a fix"] {
                assert!(!lower.contains(promise), "{end}, {when}: {said}");
            }
            assert!(
                said.contains("\n/deploy\n") || said.contains("\n/wake\n"),
                "{end}, {when}: {said}"
            );
        };
        promises("at its end");
        manual(shop.pushes(1)).await.ends(0, "auto-deploy-off");
        promises("after a push");
        if end == "expired" {
            let said = shop.comment(1);
            assert!(said.contains("Preview not deployed"), "{said}");
        }
        shop.ends();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_expired_comes_back_for_no_commit_that_was_there_before() {
    let shop = Shop::open().await;
    let by_hand = async |event| shop.run(&event).input("auto-deploy", "false").go().await;
    let opened = shop.opens(1);
    by_hand(opened).await.ends(0, "auto-deploy-off");
    shop.hears(&shop.says(1, "alice", "/deploy"))
        .await
        .ends(0, "deployed");
    let pushed = shop.pushes(1);
    by_hand(pushed).await.ends(0, "auto-deploy-off");
    shop.world.advance(DAY * 8);
    for _ in 0..2 {
        by_hand(shop.schedule()).await.ends(0, "swept");
    }
    assert_eq!(shop.namespaces(), [""; 0]);
    // From now on pushes deploy by themselves.
    shop.world.advance(DAY / 24);
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    assert_eq!(shop.namespaces(), [""; 0]);
    // Of this one no run hears.
    shop.pushes(1);
    shop.world.advance(DAY / 24);
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    assert_eq!(shop.namespaces(), [NAMESPACE]);
    shop.ends();
}
