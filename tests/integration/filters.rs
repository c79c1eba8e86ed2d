//! Which pull requests are deployed by themselves, and what those that are not hear of it.

use crate::support::{Event, SHOP, Seen, Shop};
use preview_action::simulate::{Fault, github};
use serde_json::json;
use std::time::Duration;

/// After so long a head that no run has tried is the sweep's.
const QUARTER: Duration = Duration::from_secs(15 * 60);

async fn with(shop: &Shop, event: &Event, inputs: &[(&str, &str)]) -> Seen {
    shop.run(event).inputs(inputs).go().await
}

fn by(author: &str) -> github::NewPull {
    github::NewPull {
        author: author.into(),
        ..github::NewPull::default()
    }
}

fn labelled(shop: &Shop, pr: u64, name: &str, has: bool) -> Event {
    shop.world.github.set_label(SHOP, pr, name, has);
    let action = if has { "labeled" } else { "unlabeled" };
    let payload = shop.world.github.label_event(SHOP, pr, action, name);
    Event::new("pull_request", payload, pr)
}

/// Checks that nothing was deployed, that only the summary says why, and that no cluster was asked.
#[track_caller]
fn kept_back(shop: &Shop, since: usize, seen: &Seen, reason: &str, why: &str) {
    seen.ends(0, reason);
    assert_eq!(seen.output("decision"), "skip", "{seen:#?}");
    assert!(seen.summary.contains(why), "{}", seen.summary);
    assert!(seen.summary.contains("/deploy"), "{}", seen.summary);
    assert_eq!(seen.comments, [""; 0], "nobody is bothered");
    let wrote: Vec<_> = shop
        .cluster_requests(since)
        .into_iter()
        .filter(|one| one.method != "GET" && !one.path.contains("/configmaps"))
        .collect();
    assert_eq!(wrote.len(), 0, "{wrote:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_filter_keeps_an_event_back_and_a_command_overrides_it() {
    for (inputs, pull, labels, reason, why) in [
        (
            ("labels", "preview"),
            by("alice"),
            vec![],
            "label-missing",
            "does not have the label",
        ),
        (
            ("labels", "preview\ndemo"),
            by("alice"),
            vec!["bug"],
            "label-missing",
            "none of the labels",
        ),
        (
            ("ignore-labels", "wip"),
            by("alice"),
            vec!["WIP"],
            "label-ignored",
            "has the label",
        ),
        (
            ("drafts", "false"),
            github::NewPull {
                draft: true,
                ..by("alice")
            },
            vec![],
            "draft-skipped",
            "is a draft",
        ),
        (
            ("bots", "false"),
            by("renovate[bot]"),
            vec![],
            "bot-skipped",
            "a bot has opened it",
        ),
        (
            ("bots", "other[bot]"),
            by("renovate[bot]"),
            vec![],
            "bot-skipped",
            "renovate",
        ),
        (
            ("paths", "src/**"),
            by("alice"),
            vec![],
            "paths-skipped",
            "changes none of the files",
        ),
    ] {
        let shop = Shop::open().await;
        let opened = shop.opens_as(1, pull);
        for label in labels {
            shop.world.github.set_label(SHOP, 1, label, true);
        }
        let since = shop.now();
        let seen = with(&shop, &opened, &[inputs]).await;
        kept_back(&shop, since, &seen, reason, why);
        let head = shop.world.github.head(SHOP, 1);
        assert_eq!(
            (seen.output("pr"), seen.output("sha")),
            ("1", head.as_str())
        );
        // Without automatic deploys nobody is offered one either.
        let seen = with(&shop, &opened, &[inputs, ("auto-deploy", "false")]).await;
        kept_back(&shop, since, &seen, reason, why);
        let command = shop.says(1, "alice", "/deploy");
        with(&shop, &command, &[inputs]).await.ends(0, "deployed");
        shop.ends();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_passes_is_deployed() {
    for (inputs, pull, label) in [
        (("labels", "demo\npreview"), by("alice"), "Preview"),
        (("ignore-labels", "wip"), by("alice"), "bug"),
        (("bots", "true"), by("renovate[bot]"), "bug"),
        (("bots", "renovate"), by("renovate[bot]"), "bug"),
        (
            ("drafts", "true"),
            github::NewPull {
                draft: true,
                ..by("alice")
            },
            "bug",
        ),
        (
            ("paths", "docs/**\n!**.md\nsrc/*.rs"),
            github::NewPull {
                files: vec![
                    ("src/a.rs".into(), "x".into()),
                    ("docs/a.md".into(), "y".into()),
                ],
                ..by("alice")
            },
            "bug",
        ),
    ] {
        let shop = Shop::open().await;
        let opened = shop.opens_as(1, pull);
        shop.world.github.set_label(SHOP, 1, label, true);
        with(&shop, &opened, &[inputs]).await.ends(0, "deployed");
        shop.ends();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_previews_comment_keeps_its_words_and_says_what_was_not_deployed() {
    let shop = Shop::open().await;
    let filter = [("labels", "preview")];
    shop.opens(1);
    let live = shop.world.github.head(SHOP, 1);
    let command = shop.says(1, "alice", "/deploy");
    with(&shop, &command, &filter).await.ends(0, "deployed");
    let before = shop.comment(1);
    // The commit that runs was deployed, whatever the filter thinks of it.
    let again = shop.pull_event(1, "reopened");
    with(&shop, &again, &filter).await.ends(0, "label-missing");
    assert_eq!(shop.comment(1), before);
    let pushed = shop.pushes(1);
    let head = shop.world.github.head(SHOP, 1);
    let seen = with(&shop, &pushed, &filter).await;
    seen.ends(0, "label-missing");
    seen.one_comment();
    seen.says("Preview ready");
    seen.says(&live[..7]);
    seen.says(&head[..7]);
    seen.says("was **not** deployed: it does not have the label `preview`");
    // The push is use, so the hidden line has a later expiry to the second.
    let said = |comment: &str| -> Vec<String> {
        let kept = |line: &&str| {
            !line.is_empty()
                && !line.starts_with("> ⏭️")
                && !line.starts_with("<!-- preview-action result")
        };
        comment.lines().filter(kept).map(str::to_owned).collect()
    };
    assert_eq!(said(seen.comment()), said(&before));
    // A second push replaces the line.
    let pushed = shop.pushes(1);
    let seen = with(&shop, &pushed, &filter).await;
    assert_eq!(seen.comment().matches("> ⏭️").count(), 1);
    assert!(!seen.comment().contains(&head[..7]), "{}", seen.comment());
    // Once it may be deployed the line is gone.
    let seen = with(&shop, &labelled(&shop, 1, "preview", true), &filter).await;
    seen.ends(0, "deployed");
    assert!(!seen.comment().contains("⏭️"), "{}", seen.comment());
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_proof_of_a_removal_stays() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    shop.hears(&shop.says(1, "alice", "/undeploy"))
        .await
        .ends(0, "removed");
    let proof = shop.comment(1);
    let pushed = shop.pushes(1);
    with(&shop, &pushed, &[("labels", "preview")])
        .await
        .ends(0, "label-missing");
    assert_eq!(shop.comment(1), proof);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_comment_that_cannot_be_written_fails_no_run() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    let pushed = shop.pushes(1);
    let refused = Fault::answer(
        "PATCH",
        "/repos/acme/shop/issues/comments/*",
        403,
        json!({"message": "no"}),
    );
    shop.world.github.inject(refused.always());
    let seen = with(&shop, &pushed, &[("labels", "preview")]).await;
    seen.ends(0, "label-missing");
    assert!(
        seen.summary.contains("the comment does not say so"),
        "{}",
        seen.summary
    );
    let record = shop.record(1);
    assert_eq!(record["active"], json!(null), "the turn is over");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_deploy_when_they_come_and_remove_nothing_when_they_go() {
    let shop = Shop::open().await;
    let filter = [("labels", "preview"), ("ignore-labels", "wip")];
    let opened = shop.opens(1);
    with(&shop, &opened, &filter).await.ends(0, "label-missing");
    let other = labelled(&shop, 1, "bug", true);
    let seen = with(&shop, &other, &filter).await;
    seen.ends(0, "event-ignored");
    assert_eq!(seen.output("decision"), "ignore");
    assert_eq!(seen.output("pr"), "1");
    with(&shop, &labelled(&shop, 1, "preview", true), &filter)
        .await
        .ends(0, "deployed");
    let gone = with(&shop, &labelled(&shop, 1, "preview", false), &filter).await;
    gone.ends(0, "event-ignored");
    assert!(gone.summary.contains("removes nothing"), "{}", gone.summary);
    assert_eq!(shop.namespaces(), ["pr-shop-1"]);
    with(&shop, &shop.pushes(1), &filter)
        .await
        .ends(0, "label-missing");
    shop.world.github.set_label(SHOP, 1, "preview", true);
    with(&shop, &labelled(&shop, 1, "wip", true), &filter)
        .await
        .ends(0, "event-ignored");
    with(&shop, &shop.pushes(1), &filter)
        .await
        .ends(0, "label-ignored");
    with(&shop, &labelled(&shop, 1, "wip", false), &filter)
        .await
        .ends(0, "deployed");
    // Without the inputs labels mean nothing.
    with(&shop, &labelled(&shop, 1, "preview", false), &[])
        .await
        .ends(0, "event-ignored");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn converting_to_draft_removes_nothing() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    let before = shop.comment(1);
    shop.world.github.set_draft(SHOP, 1, true);
    let drafted = shop.pull_event(1, "converted_to_draft");
    let filter = [("drafts", "false")];
    with(&shop, &drafted, &filter)
        .await
        .ends(0, "event-ignored");
    shop.world.advance(QUARTER);
    with(&shop, &shop.schedule(), &filter)
        .await
        .ends(0, "swept");
    assert_eq!(
        (shop.namespaces(), shop.comment(1)),
        (vec!["pr-shop-1".to_owned()], before)
    );
    with(&shop, &shop.pushes(1), &filter)
        .await
        .ends(0, "draft-skipped");
    shop.world.github.set_draft(SHOP, 1, false);
    let ready = shop.pull_event(1, "ready_for_review");
    with(&shop, &ready, &filter).await.ends(0, "deployed");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_asked_about_only_where_that_decides() {
    let shop = Shop::open().await;
    let asked = |since: usize| {
        let all = shop.requests("github", since);
        all.iter()
            .filter(|one| one.path.ends_with("/files"))
            .count()
    };
    let opened = shop.opens(1);
    shop.hears(&opened).await.ends(0, "deployed");
    assert_eq!(asked(0), 0, "no filter, no request");
    shop.world.github.set_draft(SHOP, 1, true);
    let inputs = [("paths", "src/**"), ("drafts", "false")];
    with(&shop, &shop.pushes(1), &inputs)
        .await
        .ends(0, "draft-skipped");
    assert_eq!(asked(0), 0, "the draft decides");
    let paths = [("paths", "src/**")];
    with(&shop, &shop.says(1, "alice", "/deploy"), &paths)
        .await
        .ends(0, "deployed");
    assert_eq!(asked(0), 0, "a command overrides");
    let many: Vec<(String, String)> = (0..150)
        .map(|n| (format!("docs/{n}.md"), "x".into()))
        .collect();
    let many: Vec<(&str, &str)> = many
        .iter()
        .map(|(path, text)| (path.as_str(), text.as_str()))
        .collect();
    with(&shop, &shop.pushes_files(1, &many), &paths)
        .await
        .ends(0, "paths-skipped");
    assert_eq!(asked(0), 2, "all pages");
    with(&shop, &shop.pushes_files(1, &[("src/z.rs", "x")]), &paths)
        .await
        .ends(0, "deployed");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_github_does_not_tell_of_files_keeps_nothing_back() {
    let shop = Shop::open().await;
    let files = "/repos/acme/shop/pulls/*/files";
    let file = |n: usize| json!({"filename": format!("docs/{n}.md"), "status": "added"});
    for (pr, fault, said) in [
        (
            1,
            Fault::answer("GET", files, 404, json!({"message": "Not Found"})),
            "could not be read",
        ),
        (
            2,
            Fault::answer(
                "GET",
                files,
                200,
                json!((0..3000).map(file).collect::<Vec<_>>()),
            ),
            "more files than",
        ),
    ] {
        shop.world.github.inject(fault.always());
        let opened = shop.opens(pr);
        let seen = with(&shop, &opened, &[("paths", "src/**")]).await;
        seen.ends(0, "deployed");
        assert!(seen.log.contains(said), "{}", seen.log);
        shop.world.github.clear_faults();
    }
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sweep_brings_about_only_what_passes() {
    let shop = Shop::open().await;
    shop.opens(1);
    shop.opens_as(2, by("renovate[bot]"));
    shop.opens_as(
        3,
        github::NewPull {
            draft: true,
            ..by("alice")
        },
    );
    shop.opens_as(
        4,
        github::NewPull {
            files: vec![("docs/a.md".into(), "x".into())],
            ..by("alice")
        },
    );
    let src = vec![("src/a.rs".into(), "x".into())];
    shop.opens_as(
        5,
        github::NewPull {
            files: src.clone(),
            ..by("alice")
        },
    );
    shop.opens_as(
        6,
        github::NewPull {
            fork: Some("mallory/shop".into()),
            ..by("renovate[bot]")
        },
    );
    shop.world.advance(QUARTER);
    let inputs = [("drafts", "false"), ("paths", "src/**")];
    with(&shop, &shop.schedule(), &inputs)
        .await
        .ends(0, "swept");
    assert_eq!(shop.namespaces(), ["pr-shop-5"]);
    assert_eq!(
        shop.comment(6),
        "",
        "nobody is asked to approve what would not be deployed"
    );
    // Nobody is asked twice about the files of one commit.
    let since = shop.now();
    with(&shop, &shop.schedule(), &inputs)
        .await
        .ends(0, "swept");
    let asked = shop.requests("github", since);
    let asked: Vec<_> = asked
        .iter()
        .filter(|one| one.path.ends_with("/files"))
        .collect();
    assert_eq!(asked.len(), 0, "{asked:#?}");
    shop.pushes_files(4, &[("src/b.rs", "x")]);
    shop.world.advance(QUARTER);
    with(&shop, &shop.schedule(), &inputs)
        .await
        .ends(0, "swept");
    assert_eq!(shop.namespaces(), ["pr-shop-4", "pr-shop-5"]);
    shop.ends();
}

/// What one set of patterns has kept back is asked about anew under another.
#[tokio::test(flavor = "multi_thread")]
async fn the_sweep_judges_anew_when_the_patterns_change() {
    let shop = Shop::open().await;
    shop.opens_as(
        1,
        github::NewPull {
            files: vec![("docs/a.md".into(), "x".into())],
            ..by("alice")
        },
    );
    shop.world.advance(QUARTER);
    let sweep = async |paths: &str| {
        let since = shop.now();
        let swept = with(&shop, &shop.schedule(), &[("paths", paths)]).await;
        swept.ends(0, "swept");
        let asked = shop.requests("github", since);
        let files = |one: &&preview_action::simulate::Record| one.path.ends_with("/files");
        asked.iter().filter(files).count()
    };
    assert_eq!(sweep("src/**").await, 1);
    assert_eq!(sweep("src/**").await, 0, "once is enough");
    assert_eq!(shop.namespaces(), [""; 0]);
    assert_eq!(sweep("src/**\ndocs/**").await, 1);
    assert_eq!(shop.namespaces(), ["pr-shop-1"]);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_by_itself_leaves_the_line_and_who_was_asked_for_stays() {
    let shop = Shop::open().await;
    let one = [("max-previews", "1")];
    with(&shop, &shop.opens(1), &one).await.ends(0, "deployed");
    with(&shop, &shop.opens(2), &one).await.ends(0, "queued");
    shop.opens(3);
    with(&shop, &shop.says(3, "alice", "/deploy"), &one)
        .await
        .ends(0, "queued");
    assert_eq!(shop.line(), [2, 3]);
    let filtered = [("max-previews", "1"), ("labels", "preview")];
    with(&shop, &shop.closes(1), &filtered)
        .await
        .ends(0, "removed");
    assert_eq!((shop.line(), shop.holders()), (vec![], vec![3]));
    assert_eq!(shop.namespaces(), ["pr-shop-3"]);
    let comment = shop.comment(2);
    assert!(comment.contains("Preview not deployed"), "{comment}");
    assert!(comment.contains("does not have the label"), "{comment}");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_is_kept_back_is_use_of_what_lives() {
    for comment in ["sticky", "off"] {
        let shop = Shop::open().await;
        let inputs = [("drafts", "false"), ("comment", comment)];
        let draft = github::NewPull {
            draft: true,
            ..by("alice")
        };
        let opened = shop.opens_as(1, draft);
        with(&shop, &opened, &inputs).await.ends(0, "draft-skipped");
        assert_eq!(shop.ledger(), None, "nothing lives");
        let asked = shop.says(1, "alice", "/deploy");
        with(&shop, &asked, &inputs).await.ends(0, "deployed");
        for _ in 0..3 {
            shop.world.advance(QUARTER * 4 * 24 * 5);
            let pushed = shop.pushes(1);
            let seen = with(&shop, &pushed, &inputs).await;
            seen.ends(0, "draft-skipped");
            let expires = shop.world.clock.now() + jiff::SignedDuration::from_hours(7 * 24);
            let expires = expires.strftime("%Y-%m-%d").to_string();
            let namespace = shop.world.cluster.object("Namespace", "", "pr-shop-1");
            let noted = &namespace.unwrap()["metadata"]["annotations"]["preview-action/expires"];
            assert!(noted.as_str().unwrap().starts_with(&expires), "{noted}");
            if comment == "sticky" {
                seen.says(&format!("expires {expires}"));
                seen.says("was **not** deployed");
            }
            for _ in 0..2 {
                let schedule = shop.schedule();
                with(&shop, &schedule, &inputs).await.ends(0, "swept");
            }
            assert_eq!(shop.namespaces(), ["pr-shop-1"], "comment {comment}");
        }
        shop.ends();
    }
}
