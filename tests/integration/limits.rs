//! GitHub's own faults and limits cost time and never the truth.
//! What the cluster shows stands, whatever GitHub does; and no commit counts as tried because GitHub was in the way.

use crate::support::Shop;
use preview_action::simulate::Fault;
use serde_json::json;
use std::time::Duration;

/// GitHub takes no more requests for an hour.
fn limited(method: &str, path: &str) -> Fault {
    let body = json!({"message": "You have exceeded a secondary rate limit."});
    Fault::answer(method, path, 429, body).header("retry-after", "3600")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_that_is_ready_is_called_ready_although_github_does_not_say_who_is_head() {
    let shop = Shop::open().await;
    let opened = shop.opens(1);
    // When the run begins, before it applies, and at its end.
    let pulls = limited("GET", "/repos/acme/shop/pulls/1").nth(3).always();
    shop.world.github.inject(pulls);
    let seen = shop.hears(&opened).await;
    seen.ends(0, "deployed");
    seen.says("Preview ready");
    seen.says("is still the newest commit could not be asked");
    assert_eq!(shop.record(1)["attempted"]["outcome"], "ready");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_github_was_in_the_way_of_is_deployed_by_the_next_sweep() {
    for path in [
        "/repos/acme/shop/contents/.github/preview.yml",
        "/repos/acme/shop/pulls/1",
    ] {
        let shop = Shop::open().await;
        shop.deployed(2).await;
        let opened = shop.opens(1);
        let before_applying = if path.ends_with("/1") { 2 } else { 1 };
        shop.world
            .github
            .inject(limited("GET", path).nth(before_applying));
        let seen = shop.hears(&opened).await;
        seen.ends(3, "github-unreachable");
        seen.says("takes no more requests until");
        assert_eq!(shop.record(1)["attempted"], json!(null), "{path}");
        assert_eq!(shop.namespaces(), ["pr-shop-2"]);
        shop.world.advance(Duration::from_secs(3600));
        shop.hears(&shop.schedule()).await.ends(0, "swept");
        assert_eq!(shop.namespaces(), ["pr-shop-1", "pr-shop-2"], "{path}");
        assert!(
            shop.comment(1).contains("Preview ready"),
            "{}",
            shop.comment(1)
        );
        shop.ends();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_jobs_of_one_workflow_run_are_two_runs() {
    let shop = Shop::open().await;
    let opened = shop.opens(1);
    let run = shop.run(&opened);
    let twice = tokio::join!(
        shop.run(&opened).variable("GITHUB_RUN_ID", "7").go(),
        run.variable("GITHUB_RUN_ID", "7").go()
    );
    let mut ends = [twice.0.output("reason-code"), twice.1.output("reason-code")];
    ends.sort_unstable();
    assert!(
        [["deployed", "superseded"], ["deployed", "unchanged"]].contains(&ends),
        "{ends:?}"
    );
    assert_eq!(shop.status_comments(1).len(), 1);
    assert!(shop.comment(1).contains("Preview ready"));
    assert_eq!(shop.record(1)["sequence"], 2, "each took its turn");
    shop.ends();
}
