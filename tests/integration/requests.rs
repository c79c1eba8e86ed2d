//! What a run asks of GitHub, counted by kind, and what it says of that in its log.
//! The counts are bars: whoever needs one request more must say so here.

use crate::support::{CONFIGURATION, ONE_SERVICE, SHOP, Shop};
use preview_action::simulate::{Record, WorldOptions};
use serde_json::json;
use std::time::Duration;

/// Requests of a kind: a method, and a part of the path.
fn of_kind(records: &[Record], method: &str, part: &str) -> usize {
    let fits = |one: &&Record| one.method == method && one.path.contains(part);
    records.iter().filter(fits).count()
}

fn lines(records: &[Record]) -> Vec<String> {
    records
        .iter()
        .map(|one| format!("{} {}", one.method, one.path))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_costs_six_requests_for_its_comment_and_its_head() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    let since = shop.now();
    let pushed = shop.pushes(1);
    shop.hears(&pushed).await.ends(0, "deployed");
    let asked = shop.requests("github", since);
    let pulls = of_kind(&asked, "GET", "/pulls/1");
    let files = of_kind(&asked, "GET", "/contents/");
    let looks = of_kind(&asked, "GET", "/issues/comments/");
    let edits = of_kind(&asked, "PATCH", "/issues/comments/");
    // The first look at the pull request says what the run is about; the others, whether its commit is still the head.
    assert_eq!(
        (pulls, files, looks, edits),
        (1 + 2, 1, 2, 2),
        "{:#?}",
        lines(&asked)
    );
    assert!(pulls - 1 + looks + edits <= 6);
    let statuses = of_kind(&asked, "POST", "/acme/shop/statuses/");
    let made = of_kind(&asked, "POST", "/acme/shop/deployments");
    let shown = of_kind(&asked, "GET", "/acme/shop/deployments");
    // A look whether there is one, the new one, its end, and the end of the one before.
    assert_eq!((statuses, shown, made), (2, 1, 3), "{:#?}", lines(&asked));
    assert_eq!(
        asked.len(),
        pulls + files + looks + edits + statuses + shown + made,
        "{:#?}",
        lines(&asked)
    );
    shop.ends();
}

/// Below all others it is another comment each time: a list, a post, a look at it and a removal in the place of a look and an edit.
#[tokio::test(flavor = "multi_thread")]
async fn a_comment_that_moves_costs_two_requests_more() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    shop.world.github.comment(SHOP, 1, "bob", "nice");
    let since = shop.now();
    let pushed = shop.pushes(1);
    let run = shop.run(&pushed).input("comment-position", "bottom").go();
    run.await.ends(0, "deployed");
    let asked = shop.requests("github", since);
    let heads = of_kind(&asked, "GET", "/pulls/1") - 1;
    let about = |one: &&Record| one.path.contains("/comments");
    let comments = asked.iter().filter(about).count();
    assert_eq!((heads, comments), (2, 6), "{:#?}", lines(&asked));
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_comment_that_is_not_where_the_ledger_has_it_is_searched_for() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    let ours = shop.status_comments(1)[0].id;
    assert_eq!(shop.record(1)["comment"]["id"], ours);
    let foreign = shop
        .world
        .github
        .comment(SHOP, 1, "bob", "nothing of yours");
    let forged = shop.status_comments(1)[0].body.clone();
    let forged = shop.world.github.comment(SHOP, 1, "mallory", &forged);
    for wrong in [foreign, forged, 999_999] {
        shop.change_record(1, |record| record["comment"]["id"] = json!(wrong));
        let pushed = shop.pushes(1);
        shop.hears(&pushed).await.ends(0, "deployed");
        let head = shop.world.github.head(SHOP, 1);
        let all = shop.world.github.comments(SHOP, 1);
        let body = |id: u64| &all.iter().find(|one| one.id == id).unwrap().body;
        assert!(body(ours).contains(&head[..7]), "{wrong}: {}", body(ours));
        assert_eq!(body(foreign), "nothing of yours");
        assert!(!body(forged).contains(&head[..7]));
        assert_eq!(shop.record(1)["comment"]["id"], ours);
    }
    // Who we are may have been configured anew since.
    shop.change_record(1, |record| record["comment"]["author"] = json!("mallory"));
    shop.change_record(1, |record| record["comment"]["id"] = json!(forged));
    let pushed = shop.pushes(1);
    let run = shop
        .run(&pushed)
        .input("comment-author", "github-actions[bot]");
    run.go().await.ends(0, "deployed");
    let all = shop.world.github.all_comments(SHOP, 1);
    let theirs = all.iter().find(|one| one.id == forged).unwrap();
    assert_eq!(theirs.history.len(), 1, "nobody else's comment is edited");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_comment_is_edited_once_in_five_seconds_but_for_the_last_word() {
    let mut options = WorldOptions::default();
    options.cluster.delays.slow = Duration::from_millis(6500);
    let services: String = ["web:{short-sha}", "api:slow-{short-sha}"]
        .iter()
        .map(|image| {
            let name = &image[..3];
            format!("  {name}: {{image: 'registry.example/{image}', port: 8080, public: true, health: {{path: /}}}}\n")
        })
        .collect();
    let shop = Shop::with(options, &format!("version: 1\nservices:\n{services}")).await;
    assert!(CONFIGURATION.ends_with(".yml"));
    let opened = shop.opens(1);
    shop.hears(&opened).await.ends(0, "deployed");
    let comment = &shop.status_comments(1)[0];
    let words: Vec<&str> = comment
        .history
        .iter()
        .map(|(_, body)| body.lines().find(|line| line.starts_with('#')).unwrap())
        .collect();
    assert_eq!(words.len(), 3, "begun, on the way, done: {words:?}");
    assert!(words[1].ends_with("Preview deploying"), "{words:?}");
    let at: Vec<_> = comment.history.iter().map(|(at, _)| *at).collect();
    let before_the_last = &at[..at.len() - 1];
    for pair in before_the_last.windows(2) {
        let gap = pair[1].duration_since(pair[0]);
        assert!(
            gap >= jiff::SignedDuration::from_secs(5),
            "{gap}: {words:?}"
        );
    }
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_is_a_line_of_the_debug_log() {
    let shop = Shop::selling(&ONE_SERVICE.replace("web:{", "web:slow-{")).await;
    let opened = shop.opens(1);
    let run = shop.run(&opened).variable("RUNNER_DEBUG", "1");
    let seen = run.go_alone().await;
    assert_eq!(seen.exit, 0, "{}", seen.log);
    for (site, begin) in [
        ("github", "GitHub answered"),
        ("cluster", "kubernetes request"),
    ] {
        let asked = shop.requests(site, 0);
        let logged: Vec<&str> = seen
            .log
            .lines()
            .filter(|line| line.contains(begin))
            .collect();
        // A watch is open until nobody listens any more, so it has no time to show.
        let watched = |line: &&&str| line.contains("watch=") || line.contains("WATCH");
        let logged: Vec<&&str> = logged.iter().filter(|line| !watched(line)).collect();
        // What shows how pods start is given up once all is ready, perhaps with its answer on the way.
        let (followed, asked): (Vec<_>, Vec<_>) = asked.into_iter().partition(|one| {
            let watched = ["/pods", "/events", "/replicasets"];
            one.method == "GET"
                && watched
                    .iter()
                    .any(|end| one.path.ends_with(&format!("pr-shop-1{end}")))
        });
        let of_them = |line: &&&&str| {
            followed
                .iter()
                .any(|one| line.contains(&format!("{}\"", one.path)))
        };
        let shown = logged.iter().filter(of_them).count();
        assert!(shown <= followed.len(), "{site}: {logged:#?}");
        assert_eq!(
            logged.len() - shown,
            asked.len(),
            "{site}: {logged:#?}\n{:#?}",
            lines(&asked)
        );
        for one in &asked {
            let status = one.status.unwrap().to_string();
            let told = |line: &&&str| {
                line.contains(&one.method)
                    && line.contains(&one.path)
                    && line.contains(&status)
                    && line.contains("elapsed_ms=")
            };
            assert!(
                logged.iter().copied().any(|line| told(&line)),
                "{} {} {status} is not in {logged:#?}",
                one.method,
                one.path
            );
        }
    }
    let watches: Vec<&str> = seen
        .log
        .lines()
        .filter(|line| line.contains("kubernetes watch"))
        .collect();
    assert!(!watches.is_empty(), "{}", seen.log);
    for line in watches {
        for part in ["WATCH", "/namespaces/pr-shop-1/", "200", "elapsed_ms="] {
            assert!(line.contains(part), "{line}");
        }
    }
    let token = shop.world.github.token();
    let told = |line: &&str| line.contains(&token);
    let (masks, leaks): (Vec<&str>, Vec<&str>) = seen
        .log
        .lines()
        .filter(told)
        .partition(|line| line.starts_with("::add-mask::"));
    assert!(!masks.is_empty(), "nothing masks the token");
    assert_eq!(leaks, [""; 0]);
    shop.ends();
}
