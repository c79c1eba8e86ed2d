//! `/deploy <sha>`: any commit of the repository's own pull request, until the next push.

use crate::{
    queue::comment_says,
    reactions::reactions,
    support::{Event, SHOP, Seen, Shop},
};
use preview_action::simulate::{Action, Fault, Record, github};
use rstest::rstest;
use serde_json::json;
use std::{sync::Arc, time::Duration};
use tokio::sync::Notify;

const QUARTER: Duration = Duration::from_secs(901);

const CONFIGURATION: &str = "/repos/acme/shop/contents/.github/preview.yml";

fn head(shop: &Shop, pr: u64) -> String {
    shop.world.github.head(SHOP, pr)
}

async fn names(shop: &Shop, pr: u64, sha: &str) -> Seen {
    shop.hears(&named(shop, pr, sha)).await
}

fn named(shop: &Shop, pr: u64, sha: &str) -> Event {
    shop.says(pr, "alice", &format!("/deploy {sha}"))
}

/// A pull request whose two commits were deployed one after the other.
async fn twice_deployed(shop: &Shop) -> (String, String) {
    shop.deployed(1).await;
    let first = head(shop, 1);
    shop.hears(&shop.pushes(1)).await.ends(0, "deployed");
    (first, head(shop, 1))
}

/// A pull request that was pushed to before anybody heard of it, and its two commits.
fn twice_pushed(shop: &Shop, pr: u64) -> (String, String) {
    shop.opens(pr);
    let first = head(shop, pr);
    shop.pushes(pr);
    (first, head(shop, pr))
}

/// How often GitHub was asked for the commits of a pull request.
fn asked(shop: &Shop, since: usize) -> usize {
    let all = shop.requests("github", since);
    all.iter()
        .filter(|one| one.path.ends_with("/commits"))
        .count()
}

#[track_caller]
fn serves(shop: &Shop, pr: u64, sha: &str) {
    let image = shop.image(&format!("pr-shop-{pr}"), "web");
    assert!(image.ends_with(&sha[..7]), "{image} is not of {sha}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_commit_is_deployed_and_held_until_the_next_push() {
    let shop = Shop::open().await;
    let (first, second) = twice_deployed(&shop).await;
    let since = shop.now();
    let event = named(&shop, 1, &first);
    let seen = shop.hears(&event).await;
    seen.ends(0, "deployed");
    assert_eq!(seen.output("sha"), first);
    assert_eq!(asked(&shop, since), 1);
    seen.one_comment();
    for text in [
        "Preview ready",
        &first[..7],
        "asked for this commit by name",
        &format!("{}`](", &second[..7]),
        "is newer and is **not** deployed until the next push",
        "```\n/deploy\n```",
    ] {
        seen.says(text);
    }
    serves(&shop, 1, &first);
    assert_eq!(shop.record(1)["held"], second);
    assert_eq!(shop.record(1)["attempted"]["sha"], first);
    assert_eq!(reactions(&shop, &event), ["eyes", "rocket", "+1"]);

    // Nothing brings the newest commit by itself, and looking changes no word.
    shop.world.advance(QUARTER);
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    let again = shop.pull_event(1, "reopened");
    shop.hears(&again).await.ends(0, "rolled-back");
    serves(&shop, 1, &first);
    let status = shop.hears(&shop.says(1, "bob", "/status")).await;
    status.says("asked for this commit by name");
    shop.hears(&shop.pushes(1)).await.ends(0, "deployed");
    serves(&shop, 1, &head(&shop, 1));
    assert!(shop.record(1)["held"].is_null());
    assert!(!shop.comment(1).contains("by name"));
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_commit_is_named_without_asking_for_others_and_a_bare_deploy_ends_the_hold() {
    let shop = Shop::open().await;
    let (first, second) = twice_deployed(&shop).await;
    names(&shop, 1, &first).await.ends(0, "deployed");
    let since = shop.now();
    names(&shop, 1, &second).await.ends(0, "deployed");
    assert_eq!(asked(&shop, since), 0);
    assert!(shop.record(1)["held"].is_null());
    names(&shop, 1, &first).await.ends(0, "deployed");
    shop.hears(&shop.says(1, "bob", "/deploy"))
        .await
        .ends(0, "deployed");
    serves(&shop, 1, &second);
    assert!(shop.record(1)["held"].is_null());
    // Run again it is the same command.
    names(&shop, 1, &first).await.ends(0, "deployed");
    names(&shop, 1, &first).await.ends(0, "unchanged");
    assert_eq!(shop.record(1)["held"], second);
    comment_says(&shop, 1, "asked for this commit by name");
    // Back from there is back to the newest, and that is no hold.
    let back = shop.hears(&shop.says(1, "bob", "/rollback")).await;
    back.ends(0, "rolled-back");
    assert_eq!(back.output("sha"), second);
    assert!(shop.record(1)["held"].is_null());
    shop.ends();
}

#[rstest]
#[case::another_pull_requests("another")]
#[case::of_the_base_before_it("base")]
#[case::of_the_base_since_then("main")]
#[case::a_forks("fork")]
#[case::pushed_away("deleted")]
#[case::nobodys("nobody")]
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_is_none_of_the_pull_requests_is_refused(#[case] whose: &str) {
    let shop = Shop::open().await;
    let (first, live) = twice_deployed(&shop).await;
    let base = shop.pull_event(1, "opened").payload["pull_request"]["base"]["sha"].clone();
    let fork = github::NewPull {
        author: "mallory".into(),
        fork: Some("mallory/shop".into()),
        ..github::NewPull::default()
    };
    let sha = match whose {
        "another" => {
            shop.opens(2);
            head(&shop, 2)
        }
        "base" => base.as_str().unwrap().to_owned(),
        "main" => shop.world.github.commit(SHOP, "main", &[("a", "b")]),
        "fork" => {
            shop.opens_as(2, fork);
            head(&shop, 2)
        }
        "deleted" => {
            shop.world.github.push(SHOP, 1, &[]);
            let deleted = head(&shop, 1);
            shop.world.github.reset(SHOP, 1, &live);
            deleted
        }
        _ => "0123456789".repeat(4),
    };
    assert_ne!(sha, first);
    let event = named(&shop, 1, &sha);
    let seen = shop.hears(&event).await;
    seen.ends(0, "commit-unknown");
    // What is live keeps its comment.
    for text in [
        "Preview ready",
        "http://pr-1.preview.example.test",
        "nothing was deployed",
        "is no commit of pull request",
        &format!("/deploy {live}"),
    ] {
        seen.says(text);
    }
    assert_eq!(reactions(&shop, &event), ["eyes", "rocket", "confused"]);
    serves(&shop, 1, &live);
    assert!(shop.record(1)["held"].is_null());
    let taken = shop.says(1, "mia", &format!("/deploy {sha} --take #9"));
    shop.world
        .github
        .set_permission(SHOP, "mia", "admin", "admin");
    shop.hears(&taken).await.ends(0, "commit-unknown");
    let mut dispatched = shop.dispatches(1, "deploy");
    dispatched.payload["inputs"]["sha"] = json!(sha);
    shop.hears(&dispatched).await.ends(0, "commit-unknown");
    serves(&shop, 1, &live);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_fork_only_the_newest_commit_is_named() {
    let whole = crate::support::ONE_SERVICE.replace("{short-sha}", "{sha}");
    let shop = Shop::selling(&whole).await;
    let fork = github::NewPull {
        author: "mallory".into(),
        fork: Some("mallory/shop".into()),
        ..github::NewPull::default()
    };
    shop.opens_as(1, fork);
    let first = head(&shop, 1);
    shop.world.github.push(SHOP, 1, &[]);
    shop.world
        .github
        .set_permission(SHOP, "mia", "admin", "admin");
    let approve = shop.says(1, "mia", &format!("/approve {}", head(&shop, 1)));
    shop.hears(&approve).await.ends(0, "deployed");
    let since = shop.now();
    let seen = shop
        .hears(&shop.says(1, "mia", &format!("/deploy {first}")))
        .await;
    seen.ends(0, "superseded");
    seen.says("is not the head");
    assert_eq!(asked(&shop, since), 0);
    let image = shop.image("pr-shop-1", "web");
    assert!(image.ends_with(&head(&shop, 1)), "{image}");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn all_pages_of_the_commits_count_and_a_list_that_cannot_be_read_lets_nothing_through() {
    let shop = Shop::open().await;
    shop.opens(1);
    for _ in 0..250 {
        shop.world.github.push(SHOP, 1, &[]);
    }
    let commits: Vec<String> = shop.world.github.commits(SHOP, 1);
    assert_eq!(commits.len(), 251);
    let since = shop.now();
    names(&shop, 1, &commits[249]).await.ends(0, "deployed");
    assert_eq!(asked(&shop, since), 3);
    serves(&shop, 1, &commits[249]);
    // The newest is not listed, and needs not be.
    names(&shop, 1, &commits[250]).await.ends(0, "deployed");
    let unlisted = head(&shop, 1);
    shop.world.github.push(SHOP, 1, &[]);
    let seen = names(&shop, 1, &unlisted).await;
    seen.ends(0, "commit-unknown");
    seen.says("is none of the 250 commits of pull request");
    let broken = Fault::answer("GET", "/repos/acme/shop/pulls/1/commits", 500, json!({}));
    shop.world.github.inject(broken.always());
    let since = shop.now();
    let seen = names(&shop, 1, &commits[0]).await;
    seen.ends(3, "github-unreachable");
    assert_eq!(
        shop.cluster_requests(since)
            .iter()
            .filter(|one| one.method == "PATCH")
            .count(),
        0
    );
    shop.world.github.clear_faults();
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_is_tried_again_by_its_name_and_brings_no_newer_commit() {
    let shop = Shop::open().await;
    shop.opens(1);
    shop.pushes_files(1, &[(".github/preview.yml", "version: 7\n")]);
    let broken = head(&shop, 1);
    shop.pushes_files(1, &[(".github/preview.yml", crate::support::ONE_SERVICE)]);
    let newest = head(&shop, 1);
    let seen = names(&shop, 1, &broken).await;
    seen.ends(1, "bad-configuration");
    seen.says("Preview failed");
    seen.says(&format!("```\n/deploy {broken}\n```"));
    seen.says("The newest commit is deployed by `/deploy`");
    assert_eq!(seen.output("sha"), broken);
    shop.world.advance(QUARTER);
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    shop.hears(&shop.pull_event(1, "reopened"))
        .await
        .ends(0, "rolled-back");
    assert_eq!(
        shop.namespaces().len(),
        0,
        "the newest one was not asked for"
    );
    assert_eq!(shop.record(1)["held"], newest);
    shop.hears(&shop.says(1, "bob", "/deploy"))
        .await
        .ends(0, "deployed");
    serves(&shop, 1, &newest);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deploy_that_waits_for_github_goes_on_with_the_commit_that_was_named() {
    let shop = Shop::open().await;
    let (first, second) = twice_deployed(&shop).await;
    let body = json!({"message": "You have exceeded a secondary rate limit."});
    let limited = Fault::answer("GET", CONFIGURATION, 429, body).header("retry-after", "3600");
    shop.world.github.inject(limited);
    names(&shop, 1, &first).await.ends(3, "github-unreachable");
    assert_eq!(shop.record(1)["stalled"], first);
    // An event of the newest commit changes nothing of that.
    let event = shop.pull_event(1, "reopened");
    shop.hears(&event).await.ends(0, "rolled-back");
    shop.world.advance(Duration::from_secs(3600));
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    serves(&shop, 1, &first);
    assert_eq!(shop.record(1)["held"], second);
    assert!(shop.record(1)["stalled"].is_null());
    comment_says(&shop, 1, "asked for this commit by name");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_in_line_is_for_the_commit_that_was_named() {
    for promote in ["run", "dispatch"] {
        let shop = Shop::open().await;
        shop.filled().await;
        let (first, second) = twice_pushed(&shop, 4);
        let event = named(&shop, 4, &first);
        let seen = shop.run(&event).input("auto-deploy", "false").go().await;
        seen.ends(0, "queued");
        seen.says(&first[..7]);
        shop.hears(&shop.opens(5)).await.ends(0, "queued");
        // An event of the newest commit takes nothing of that away.
        let event = shop.pull_event(4, "reopened");
        shop.hears(&event).await.ends(0, "rolled-back");
        let status = shop.hears(&shop.says(4, "bob", "/status")).await;
        status.says("number 1 in line");
        status.says(&first[..7]);
        let close = shop.closes(1);
        let closed = shop.run(&close).input("promote", promote).go().await;
        closed.ends(0, "removed");
        if promote == "dispatch" {
            let started = shop.world.github.started(SHOP).remove(0).inputs;
            assert_eq!(
                started,
                json!({"command": "deploy", "pr": "4", "sha": first})
            );
            let mut dispatched = shop.dispatches(4, "deploy");
            dispatched.payload["inputs"]["sha"] = json!(first);
            shop.hears(&dispatched).await.ends(0, "deployed");
        }
        serves(&shop, 4, &first);
        assert_eq!(shop.record(4)["held"], second);
        comment_says(&shop, 4, "asked for this commit by name");
        shop.ends();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_the_line_started_for_it_comes_too_late_behind_a_push() {
    let shop = Shop::open().await;
    let (first, _) = twice_deployed(&shop).await;
    names(&shop, 1, &first).await.ends(0, "deployed");
    let inputs = [("command", "deploy"), ("pr", "1"), ("sha", &first)];
    let login = "github-actions[bot]";
    let mut payload = shop.world.github.dispatch_event(SHOP, login, &inputs);
    payload["sender"]["type"] = json!("Bot");
    let started = Event::new("workflow_dispatch", payload, 1);
    shop.hears(&started).await.ends(0, "unchanged");
    serves(&shop, 1, &first);
    shop.hears(&shop.pushes(1)).await.ends(0, "deployed");
    let newest = head(&shop, 1);
    shop.hears(&started).await.ends(0, "superseded");
    serves(&shop, 1, &newest);
    assert!(shop.record(1)["held"].is_null());
    shop.ends();
}

/// Behind reviewers runs begin long after what they are about, and in any order.
#[tokio::test(flavor = "multi_thread")]
async fn a_push_after_the_command_ends_the_hold_in_whichever_order_their_runs_begin() {
    let minute = Duration::from_secs(60);
    for pushed_first in [false, true] {
        let shop = Shop::open().await;
        shop.deployed(1).await;
        let command = named(&shop, 1, &head(&shop, 1));
        shop.world.advance(minute);
        let push = shop.pushes(1);
        if pushed_first {
            shop.hears(&push).await.ends(0, "deployed");
            let late = shop.hears(&command).await;
            late.ends(0, "superseded");
            late.says("nothing was deployed");
        } else {
            shop.hears(&command).await.ends(0, "unchanged");
            assert!(shop.record(1)["held"].is_string());
            shop.hears(&push).await.ends(0, "deployed");
        }
        serves(&shop, 1, &head(&shop, 1));
        assert!(shop.record(1)["held"].is_null());
        shop.ends();
    }
    // A push is as old as it was when its run is started anew, and a build begins just after it.
    for built in [false, true] {
        const BUILD: &str = ".github/workflows/build.yml";
        let shop = Shop::open().await;
        shop.deployed(1).await;
        let command = named(&shop, 1, &head(&shop, 1));
        shop.world.advance(minute);
        let push = shop.pushes(1);
        let run = async |event: &Event| match built {
            true => shop.run(event).input("build-workflow", BUILD).go().await,
            false => {
                let run = shop.run(event);
                run.variable("GITHUB_RUN_ATTEMPT", "2").go().await
            }
        };
        let push = match built {
            true => {
                let payload = shop.world.github.workflow_run_event(SHOP, 1, BUILD);
                Event::new("workflow_run", payload, 1)
            }
            false => push,
        };
        shop.run(&command)
            .input("build-workflow", if built { BUILD } else { "" })
            .go()
            .await
            .ends(0, "unchanged");
        assert!(shop.record(1)["held"].is_string());
        run(&push).await.ends(0, "deployed");
        serves(&shop, 1, &head(&shop, 1));
        shop.ends();
    }
    // So does one that came after a rollback was asked for.
    let shop = Shop::open().await;
    twice_deployed(&shop).await;
    let back = shop.says(1, "alice", "/rollback");
    shop.world.advance(minute);
    let push = shop.pushes(1);
    shop.hears(&back).await.ends(0, "rolled-back");
    shop.hears(&push).await.ends(0, "deployed");
    serves(&shop, 1, &head(&shop, 1));
    shop.ends();
    // What was pushed before the command is what it is about.
    let shop = Shop::open().await;
    shop.deployed(1).await;
    let first = head(&shop, 1);
    let push = shop.pushes(1);
    shop.world.advance(minute);
    names(&shop, 1, &first).await.ends(0, "unchanged");
    shop.hears(&push).await.ends(0, "rolled-back");
    serves(&shop, 1, &first);
    // Nor does it bring back what was rolled back since.
    shop.hears(&shop.says(1, "bob", "/deploy"))
        .await
        .ends(0, "deployed");
    shop.world.advance(minute);
    let push = shop.pushes(1);
    shop.hears(&push).await.ends(0, "deployed");
    let back = shop.hears(&shop.says(1, "bob", "/rollback")).await;
    back.ends(0, "rolled-back");
    shop.hears(&push).await.ends(0, "rolled-back");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_in_line_ends_the_hold_also_where_it_is_taken_back() {
    let shop = Shop::open().await;
    shop.filled().await;
    let (first, second) = twice_pushed(&shop, 4);
    names(&shop, 4, &first).await.ends(0, "queued");
    shop.hears(&shop.pushes(4)).await.ends(0, "queued");
    shop.world.github.reset(SHOP, 4, &second);
    let back = shop.pull_event(4, "synchronize");
    shop.hears(&back).await.ends(0, "queued");
    shop.hears(&shop.closes(1)).await.ends(0, "removed");
    serves(&shop, 4, &second);
    assert!(!shop.comment(4).contains("by name"), "{}", shop.comment(4));
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_while_it_waits_in_line_is_what_is_deployed() {
    let shop = Shop::open().await;
    shop.filled().await;
    let (first, _) = twice_pushed(&shop, 4);
    names(&shop, 4, &first).await.ends(0, "queued");
    shop.world.github.push(SHOP, 4, &[]);
    shop.hears(&shop.closes(2)).await.ends(0, "removed");
    serves(&shop, 4, &head(&shop, 4));
    assert!(shop.record(4)["held"].is_null());
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_at_the_cap_holds_nothing_back() {
    let shop = Shop::open().await;
    shop.filled().await;
    let (first, _) = twice_pushed(&shop, 4);
    let refuse = async |event: Event| shop.run(&event).input("when-full", "refuse").go().await;
    let seen = refuse(named(&shop, 4, &first)).await;
    seen.ends(0, "at-capacity");
    seen.says(&format!("```\n/deploy {first}\n```"));
    assert!(shop.record(4)["held"].is_null(), "{}", shop.record(4));
    refuse(shop.closes(1)).await.ends(0, "removed");
    shop.world.advance(QUARTER);
    refuse(shop.schedule()).await.ends(0, "swept");
    serves(&shop, 4, &head(&shop, 4));
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_is_taken_for_the_commit_that_is_named() {
    let shop = Shop::open().await;
    shop.filled().await;
    let (first, _) = twice_pushed(&shop, 4);
    shop.world
        .github
        .set_permission(SHOP, "mia", "admin", "admin");
    let taking = shop.says(4, "mia", &format!("/deploy {first} --take #2"));
    let taken = shop.hears(&taking).await;
    taken.ends(0, "deployed");
    taken.says("asked for this commit by name");
    assert_eq!(taken.output("sha"), first);
    serves(&shop, 4, &first);
    assert_eq!(shop.holders(), [1, 3, 4]);
    assert_eq!(shop.record(4)["held"], head(&shop, 4));
    shop.ends();
}

/// It came after the command, whose run saw it as the newest; its own run comes while the one that gives way takes its time to go.
#[tokio::test(flavor = "multi_thread")]
async fn a_push_while_room_is_made_for_a_named_commit_is_what_is_deployed() {
    let shop = Shop::open().await;
    shop.filled().await;
    let (first, _) = twice_pushed(&shop, 4);
    shop.world
        .github
        .set_permission(SHOP, "mia", "admin", "admin");
    let taking = shop.says(4, "mia", &format!("/deploy {first} --take #2"));
    shop.world.advance(Duration::from_secs(60));
    let push = shop.pushes(4);
    let gone = Arc::new(Notify::new());
    let hold = Action::Hold(Arc::clone(&gone));
    let delete = Fault::on("DELETE", "/api/v1/namespaces/pr-shop-2", hold);
    shop.world.cluster.inject(delete);
    let pushes = async {
        let goes = |records: &[Record]| {
            let mut all = records.iter();
            all.any(|one| one.method == "DELETE" && one.path.ends_with("/pr-shop-2"))
        };
        shop.world.log.wait_until(goes).await;
        shop.hears(&push).await.ends(0, "queued");
        gone.notify_one();
    };
    let (taken, ()) = tokio::join!(shop.hears(&taking), pushes);
    taken.ends(0, "superseded");
    serves(&shop, 4, &head(&shop, 4));
    assert_eq!(shop.holders(), [1, 3, 4]);
    assert!(shop.record(4)["held"].is_null());
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_after_a_wait_leaves_an_earlier_hold_as_it_was() {
    let shop = Shop::open().await;
    let (first, second) = twice_deployed(&shop).await;
    let says = async |text: &str| shop.hears(&shop.says(1, "alice", text)).await;
    says("/rollback").await.ends(0, "rolled-back");
    says("/sleep").await.ends(0, "slept");
    for pr in 2..=4 {
        shop.deployed(pr).await;
    }
    assert_eq!(shop.record(1)["held"], second);
    let told = Arc::new(Notify::new());
    let hold = Action::Hold(Arc::clone(&told));
    let word = Fault::on("PATCH", "/repos/acme/shop/issues/comments/*", hold);
    shop.world.github.inject(word);
    let from = shop.now();
    let pin = shop.says(1, "alice", "/pin");
    let deploy = async {
        let begun = |records: &[Record]| {
            let mut since = records.iter().skip(from);
            since.any(|one| one.method == "PATCH" && one.path.contains("/comments/"))
        };
        shop.world.log.wait_until(begun).await;
        shop.world.github.push(SHOP, 1, &[]);
        let named = named(&shop, 1, &first);
        let refused = shop.run(&named).input("when-full", "refuse").go();
        let sequence = shop.record(1)["sequence"].as_u64();
        let let_go = async {
            let waits = |_: &_| shop.record(1)["sequence"].as_u64() > sequence;
            shop.world.cluster.wait_until(waits).await;
            told.notify_one();
        };
        tokio::join!(refused, let_go).0
    };
    let (_, refused) = tokio::join!(shop.hears(&pin), deploy);
    refused.ends(0, "at-capacity");
    assert_eq!(shop.record(1)["held"], second, "{}", shop.record(1));
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sleeper_wakes_at_the_commit_that_was_named() {
    for mode in ["pr", "slot"] {
        let shop = Shop::open().await;
        let (first, second) = twice_deployed(&shop).await;
        let inputs = [("url-mode", mode), ("sleep-keeps-slot", "false")];
        let says = async |body: &str| {
            let event = shop.says(1, "alice", body);
            shop.run(&event).inputs(&inputs).go().await
        };
        says("/sleep").await.ends(0, "slept");
        says(&format!("/deploy {first}")).await.ends(0, "deployed");
        serves(&shop, 1, &first);
        assert!(shop.record(1)["asleep"].is_null());
        says("/pin").await.ends(0, "pinned");
        says("/sleep").await.ends(0, "slept");
        let woken = says("/wake").await;
        assert_eq!(woken.exit, 0, "{woken:#?}");
        serves(&shop, 1, &first);
        assert_eq!(shop.record(1)["held"], second);
        says("/status").await.says("asked for this commit by name");
        shop.ends();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_names_it_and_the_run_that_follows_deploys_it() {
    let shop = Shop::open().await;
    let (first, _) = twice_pushed(&shop, 1);
    let event = named(&shop, 1, &first);
    let plan = shop
        .run(&event)
        .input("mode", "plan")
        .input("kubeconfig", "");
    let planned = plan.input("approval-gate", "true").go().await;
    planned.ends(0, "planned");
    assert_eq!(
        (planned.output("decision"), planned.output("sha")),
        ("deploy", &*first)
    );
    planned.says(&first[..7]);
    assert_eq!(shop.namespaces().len(), 0);
    let deployed = shop.run(&event).input("sha", &first).go().await;
    deployed.ends(0, "deployed");
    serves(&shop, 1, &first);
    assert_eq!(shop.record(1)["held"], head(&shop, 1));
    // A plan refuses what the run would.
    shop.opens(2);
    let event = named(&shop, 1, &head(&shop, 2));
    let refused = shop
        .run(&event)
        .input("mode", "plan")
        .input("kubeconfig", "")
        .go()
        .await;
    refused.ends(0, "commit-unknown");
    assert_eq!(refused.output("decision"), "ignore");
    shop.ends();
}

/// Waits until a run for this commit has its turn.
async fn has_turn(shop: &Shop, sha: &str) {
    let begun = |_: &_| shop.record(1)["due"] == sha && !shop.record(1)["active"].is_null();
    shop.world.cluster.wait_until(begun).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_while_it_is_at_work_goes_first() {
    for has_run in [true, false] {
        let shop = Shop::open().await;
        let (first, _) = twice_deployed(&shop).await;
        let event = named(&shop, 1, &first);
        shop.world.cluster.hold();
        let newer = async {
            has_turn(&shop, &first).await;
            let push = shop.pushes(1);
            let run = async {
                match has_run {
                    true => Some(shop.hears(&push).await),
                    false => None,
                }
            };
            let release = async {
                if has_run {
                    has_turn(&shop, &head(&shop, 1)).await;
                }
                shop.world.cluster.release();
            };
            tokio::join!(run, release).0
        };
        let (older, newer) = tokio::join!(shop.hears(&event), newer);
        older.ends(0, "superseded");
        let newest = head(&shop, 1);
        match newer {
            Some(newer) => {
                newer.ends(0, "deployed");
                serves(&shop, 1, &newest);
                assert!(shop.record(1)["held"].is_null());
                newer.one_comment();
            }
            None => {
                older.says("Preview superseded");
                older.says(&newest[..7]);
            }
        }
        assert_eq!(reactions(&shop, &event), ["eyes", "rocket", "confused"]);
        shop.ends();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_of_the_held_commit_does_not_stop_it() {
    let shop = Shop::open().await;
    let (first, second) = twice_deployed(&shop).await;
    let event = named(&shop, 1, &first);
    shop.world.cluster.hold();
    let late = async {
        has_turn(&shop, &first).await;
        let again = shop.pull_event(1, "reopened");
        let late = shop.hears(&again).await;
        assert_eq!(shop.record(1)["due"], first);
        shop.world.cluster.release();
        late
    };
    let (seen, late) = tokio::join!(shop.hears(&event), late);
    late.ends(0, "superseded");
    seen.ends(0, "deployed");
    serves(&shop, 1, &first);
    assert_eq!(shop.record(1)["held"], second);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_dies_leaves_the_newest_commit_alone_and_its_comment_names_what_was_asked_for() {
    let shop = Shop::open().await;
    let (first, second) = twice_deployed(&shop).await;
    let event = named(&shop, 1, &first);
    assert!(shop.run(&event).dies_at("cluster", 12).await);
    assert_eq!(shop.record(1)["held"], second);
    shop.world.advance(QUARTER);
    shop.hears(&shop.schedule()).await.ends(0, "swept");
    comment_says(&shop, 1, &format!("```\n/deploy {first}\n```"));
    names(&shop, 1, &first).await.ends(0, "deployed");
    shop.ends();
}
