//! A command that comes to an error has its answer on the pull request: once, in the one comment, and for nobody who may not ask.

use crate::{
    reactions::reactions,
    support::{CONFIGURATION, LEDGER, Run, Seen, Shop},
};
use futures::future::join_all;
use preview_action::simulate::{Action, Fault, WorldOptions, cluster::Denial};
use serde_json::json;

/// What stands before an answer beside the comment.
const ANSWER: &str = "> 💬 ";

/// Commands that read the ledger and have no word of their own where that cannot be read.
const COMMANDS: [&str; 9] = [
    "/status",
    "/logs",
    "/extend 2d",
    "/pin",
    "/unpin",
    "/sleep",
    "/wake",
    "/dploy",
    "/deploy nonsense",
];

/// No answer comes from where the ledger is.
fn cut(shop: &Shop) {
    let cut = Fault::on("GET", LEDGER, Action::Close).always();
    shop.world.cluster.inject(cut);
}

/// Nobody may read the ledger, and that is known at once.
fn forbid(shop: &Shop) {
    shop.world.cluster.deny(Denial::new("get", "configmaps"));
}

/// Checks that the one comment has the answer once, with what keeps the command from being followed and what helps.
#[track_caller]
fn answered(seen: &Seen, words: &[&str]) {
    seen.one_comment();
    let answers: Vec<&str> = seen
        .comment()
        .lines()
        .filter(|line| line.starts_with(ANSWER))
        .collect();
    assert_eq!(answers.len(), 1, "{seen:#?}");
    for word in words {
        assert!(answers[0].contains(word), "no {word:?} in {}", answers[0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_ledger_cannot_be_read_each_command_is_answered_once_beside_what_stands() {
    let played = COMMANDS.map(async |body| {
        let shop = Shop::open().await;
        shop.deployed(1).await;
        let before = shop.comment(1);
        for (fault, reason, words) in [
            (
                forbid as fn(&Shop),
                "cluster-forbidden",
                "`preview-action setup`",
            ),
            (cut, "cluster-unreachable", "API server"),
        ] {
            fault(&shop);
            let event = shop.says(1, "bob", body);
            let seen = shop.hears(&event).await;
            seen.ends(3, reason);
            answered(&seen, &[words]);
            let stands: Vec<&str> = seen
                .comment()
                .lines()
                .filter(|line| !line.starts_with(ANSWER))
                .collect();
            for line in before.lines() {
                assert!(stands.contains(&line), "{body}: {line:?} has gone");
            }
            assert_eq!(
                reactions(&shop, &event).last().map(String::as_str),
                Some("confused"),
                "{body}"
            );
            shop.world.cluster.allow_all();
        }
        shop.ends();
    });
    join_all(played).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_comment_gets_one_and_strangers_get_none() {
    let shop = Shop::open().await;
    shop.opens(1);
    forbid(&shop);
    let stranger = shop.says(1, "mallory", "/status");
    shop.hears(&stranger).await.ends(0, "permission-denied");
    assert_eq!(shop.comment(1), "");
    for _ in 0..2 {
        let seen = shop.hears(&shop.says(1, "bob", "/status")).await;
        seen.ends(3, "cluster-forbidden");
        seen.one_comment();
        for words in [
            "Command not followed",
            "Nothing was changed.",
            "**Cause:**",
            "`preview-action setup`",
        ] {
            seen.says(words);
        }
    }
    let told = shop.comment(1);
    shop.hears(&shop.says(1, "mallory", "/status"))
        .await
        .ends(0, "permission-denied");
    assert_eq!(shop.comment(1), told);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn where_well_previews_have_no_comment_nothing_is_said_that_nobody_knows() {
    for mode in ["on-failure", "off"] {
        let shop = Shop::open().await;
        let with = async |run: Run<'_>| run.input("comment", mode).go().await;
        with(shop.run(&shop.opens(1))).await.ends(0, "deployed");
        forbid(&shop);
        let logs = shop.says(1, "bob", "/logs");
        with(shop.run(&logs)).await.ends(3, "cluster-forbidden");
        assert_eq!(shop.comment(1), "", "{mode}");
        shop.ends();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workflow_without_its_kubeconfig_says_so_on_the_pull_request() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    let event = shop.says(1, "bob", "/status");
    let seen = shop.run(&event).input("kubeconfig", "").go().await;
    assert_eq!(seen.exit, 1, "{seen:#?}");
    answered(&seen, &["kubeconfig"]);
    seen.says("Preview ready");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_the_difference_that_a_faulty_file_makes_reads_what_is_wrong_with_it() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    shop.pushes_files(1, &[(CONFIGURATION, "version: 1\nservices: [\n")]);
    for _ in 0..2 {
        let event = shop.says(1, "bob", "/diff");
        let seen = shop.hears(&event).await;
        seen.ends(1, "bad-configuration");
        answered(&seen, &[CONFIGURATION]);
        seen.says("Preview ready");
    }

    // Whoever has no comment yet has one begun, and no preview is said to be gone that stands.
    let shop = Shop::open().await;
    shop.opens(1);
    shop.pushes_files(1, &[(CONFIGURATION, "version: 1\nservices: [\n")]);
    let seen = shop.hears(&shop.says(1, "bob", "/diff")).await;
    seen.ends(1, "bad-configuration");
    seen.one_comment();
    seen.says(CONFIGURATION);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_that_does_not_fall_asleep_says_why() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    for mut pod in shop.world.cluster.objects("Pod", "pr-shop-1") {
        pod["metadata"]["finalizers"] = json!(["example.test/a"]);
        shop.world.cluster.put(&pod).unwrap();
    }
    let seen = shop.hears(&shop.says(1, "bob", "/sleep")).await;
    seen.ends(3, "timed-out");
    answered(&seen, &["do not end", "`/sleep`"]);
    seen.says("Preview ready");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn while_another_run_is_at_work_the_comment_is_that_runs() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    shop.pushes_files(1, &[(CONFIGURATION, "version: 1\nservices: [\n")]);
    let now = shop.world.clock.now().to_string();
    shop.change_record(1, |record| {
        record["newest"] = json!("another/1");
        record["active"] = json!({"run": "another/1", "heartbeat": now});
    });
    let before = shop.comment(1);
    let seen = shop.hears(&shop.says(1, "bob", "/diff")).await;
    seen.ends(1, "bad-configuration");
    assert_eq!(shop.comment(1), before);
    assert!(
        seen.annotations()
            .iter()
            .any(|one| one.contains(CONFIGURATION))
    );
    shop.ends();
}

/// A command that GitHub lets nobody read is in no ledger, so no sweep goes on with it.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_cut_off_by_a_limit_reads_in_the_run_when_to_ask_again() {
    let first = [
        "/repos/acme/shop/collaborators/bob/permission",
        "/repos/acme/shop/issues/1/comments",
        "/repos/acme/shop/pulls/1",
    ];
    let played = first.map(async |path| {
        let options = WorldOptions {
            now: "2026-11-22T14:02:00Z".parse().ok(),
            ..WorldOptions::default()
        };
        let shop = Shop::with(options, crate::support::ONE_SERVICE).await;
        shop.opens(1);
        let limit = json!({"message": "You have exceeded a secondary rate limit."});
        let limit = Fault::answer("GET", path, 429, limit).header("retry-after", "3600");
        shop.world.github.inject(limit.always());
        for body in ["/deploy", "/sleep", "/status"] {
            let seen = shop.hears(&shop.says(1, "bob", body)).await;
            seen.ends(3, "github-unreachable");
            let said = seen.annotations();
            assert!(
                said.iter().any(|one| one
                    .contains("give the command again after 2026-11-22 15:02 UTC")
                    && one.contains("no later run goes on with it")),
                "{path}, {body}: {said:#?}"
            );
            assert!(
                seen.summary.contains("give the command again after"),
                "{}",
                seen.summary
            );
        }
        assert_eq!(shop.comment(1), "");
        shop.world.github.clear_faults();
        shop.ends();
    });
    join_all(played).await;
}
