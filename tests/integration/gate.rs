//! What waits for the approval of an environment, or for a build: the call for it ends with the wait, however that ends.

use crate::{
    plan::{decides, plan},
    reactions::reactions,
    support::{Event, SHOP, Seen, Shop},
};
use std::time::Duration;

const BUILD: &str = ".github/workflows/build.yml";
const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

fn built(shop: &Shop, pr: u64) -> Event {
    let payload = shop.world.github.workflow_run_event(SHOP, pr, BUILD);
    Event::new("workflow_run", payload, pr)
}

/// Two pull requests of one commit whose build waits for an approval.
async fn a_build_that_waits() -> (Shop, Event, String) {
    let shop = Shop::open().await;
    shop.opens(7);
    shop.world.github.twin(SHOP, 7, 9);
    let event = built(&shop, 7);
    let gate = [("approval-gate", "true"), ("build-workflow", BUILD)];
    let planned = plan(&shop, &event, &gate).await;
    decides(&planned, "deploy", "planned");
    let sha = planned.output("sha").to_owned();
    for pr in [7, 9] {
        assert!(shop.comment(pr).contains("> ⏳"), "{}", shop.comment(pr));
    }
    (shop, event, sha)
}

async fn approved(shop: &Shop, event: &Event, sha: &str) -> Seen {
    let inputs = [("sha", sha), ("build-workflow", BUILD)];
    shop.run(event).inputs(&inputs).go().await
}

async fn ended(shop: &Shop, event: &Event, sha: &str) -> Seen {
    let ended = [
        ("approval-gate", "ended"),
        ("sha", sha),
        ("build-workflow", BUILD),
    ];
    plan(shop, event, &ended).await
}

#[track_caller]
fn calls_no_more(shop: &Shop, pr: u64, told: &str) {
    let comment = shop.comment(pr);
    assert!(
        !comment.contains('⏳') && comment.contains(told),
        "{comment}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_was_approved_too_late_takes_its_calls_back() {
    let (shop, event, sha) = a_build_that_waits().await;
    shop.pushes(7);
    shop.world.github.push(SHOP, 9, &[]);
    approved(&shop, &event, &sha).await.ends(0, "superseded");
    for pr in [7, 9] {
        calls_no_more(&shop, pr, "was built, and");
    }
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_nobody_approves_takes_its_calls_back_whether_or_not_it_is_overtaken() {
    for pushes in [false, true] {
        let (shop, event, sha) = a_build_that_waits().await;
        if pushes {
            shop.pushes(7);
            shop.world.github.push(SHOP, 9, &[]);
        }
        decides(&ended(&shop, &event, &sha).await, "ignore", "planned");
        for pr in [7, 9] {
            calls_no_more(&shop, pr, "nobody has approved it");
        }
        shop.ends();
    }
}

/// What deploys nothing for a reason that it tells quietly.
#[tokio::test(flavor = "multi_thread")]
async fn a_build_whose_preview_is_to_stay_away_takes_its_call_back() {
    let (shop, event, sha) = a_build_that_waits().await;
    for pr in [7, 9] {
        shop.world.github.set_draft(SHOP, pr, true);
    }
    let inputs = [
        ("sha", sha.as_str()),
        ("build-workflow", BUILD),
        ("drafts", "false"),
    ];
    let run = shop.run(&event).inputs(&inputs).go().await;
    run.ends(0, "draft-skipped");
    for pr in [7, 9] {
        calls_no_more(&shop, pr, "draft");
    }
    shop.ends();
}

/// Whoever says no to an environment ends the job before it has begun, so the plan has the last word.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_nobody_approves_is_told_so() {
    let shop = Shop::open().await;
    shop.opens(1);
    let event = shop.says(1, "alice", "/deploy");
    let planned = plan(&shop, &event, &[("approval-gate", "true")]).await;
    assert_eq!(reactions(&shop, &event), ["eyes"]);
    ended(&shop, &event, planned.output("sha")).await;
    assert_eq!(reactions(&shop, &event), ["eyes", "confused"]);
    shop.ends();
}

/// A run that a comment has started shows on no pull request, so whoever asked for a build hears of its failure here or nowhere.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_whose_build_has_failed_is_told_so_beside_what_lives() {
    for live in [false, true] {
        let shop = Shop::open().await;
        match live {
            true => drop(shop.deployed(1).await),
            false => drop(shop.opens(1)),
        }
        let event = shop.says(1, "alice", "/build-and-deploy");
        let word = ("deploy-command", "/build-and-deploy");
        let planned = plan(&shop, &event, &[word, ("auto-deploy", "false")]).await;
        decides(&planned, "deploy", "planned");
        let sha = planned.output("sha");
        let unbuilt = [word, ("approval-gate", "unbuilt"), ("sha", sha)];
        let seen = plan(&shop, &event, &unbuilt).await;
        decides(&seen, "ignore", "build-ignored");
        seen.one_comment();
        seen.says("has failed or its run was cancelled, so that run has deployed nothing");
        seen.says(&sha[..7]);
        seen.says(if live {
            "Preview ready"
        } else {
            "Preview refused"
        });
        assert_eq!(reactions(&shop, &event), ["eyes", "confused"]);
        let seen = plan(&shop, &event, &unbuilt).await;
        seen.one_comment();
        assert_eq!(seen.comment().matches("> 💬").count(), 1, "{seen:#?}");
        let without = plan(&shop, &event, &unbuilt[..2]).await;
        without.ends(1, "bad-input");

        let again = shop.says(1, "alice", "/build-and-deploy");
        let run = shop.run(&again).inputs(&[word, ("sha", sha)]);
        let seen = run.go().await;
        assert_eq!(seen.exit, 0, "{seen:#?}");
        seen.says("Preview ready");
        assert!(!seen.comment().contains("has failed"), "{seen:#?}");
        shop.ends();
    }
}

/// GitHub lets a run wait for thirty days; ours are seven.
#[tokio::test(flavor = "multi_thread")]
async fn an_approval_after_seven_days_deploys_nothing_and_says_so() {
    for (days, lapses) in [(6, false), (8, true)] {
        for from in ["push", "comment", "build"] {
            let shop = Shop::open().await;
            let opened = shop.opens(1);
            let event = match from {
                "push" => opened,
                "comment" => shop.says(1, "alice", "/deploy"),
                _ => built(&shop, 1),
            };
            let gate = [("approval-gate", "true"), ("build-workflow", BUILD)];
            let planned = plan(&shop, &event, &gate).await;
            let sha = planned.output("sha").to_owned();
            shop.world.advance(WEEK * days / 7);
            let run = approved(&shop, &event, &sha).await;
            if !lapses {
                run.ends(0, "deployed");
                continue;
            }
            run.ends(0, "approval-lapsed");
            assert_eq!(shop.namespaces(), [""; 0], "{from}");
            calls_no_more(&shop, 1, "seven days ago");
            let remedy = match from {
                "comment" => "give the command again",
                _ => "push again or comment `/deploy`",
            };
            calls_no_more(&shop, 1, remedy);
            assert!(run.summary.contains(remedy), "{}", run.summary);
            if from == "comment" {
                let last = reactions(&shop, &event).pop();
                assert_eq!(last.as_deref(), Some("confused"));
            }
            // Who runs all of it again has it approved again.
            let again = shop
                .run(&event)
                .inputs(&[("sha", &sha), ("build-workflow", BUILD)]);
            let again = again.variable("GITHUB_RUN_ATTEMPT", "2").go().await;
            again.ends(0, "deployed");
            shop.ends();
        }
    }
}

/// The event of a run by hand does not say when that was, so GitHub is asked; where it does not tell, the approval counts.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_by_hand_may_be_approved_for_seven_days_as_well() {
    for (days, known, reason) in [
        (8, true, "approval-lapsed"),
        (6, true, "deployed"),
        (8, false, "deployed"),
    ] {
        let shop = Shop::open().await;
        shop.opens(1);
        let sha = shop.world.github.head(SHOP, 1);
        if known {
            shop.world
                .github
                .starts(SHOP, "preview.yml", 4711, "waiting");
        }
        shop.world.advance(WEEK * days / 7);
        let event = shop.dispatches(1, "deploy");
        let run = shop.run(&event).variable("GITHUB_RUN_ID", "4711");
        let seen = run.input("sha", &sha).go().await;
        seen.ends(0, reason);
        let told = seen.summary.contains("start it again");
        assert_eq!(told, reason == "approval-lapsed", "{}", seen.summary);
        shop.ends();
    }
}

/// What takes something away waits for no approval, however old it is.
#[tokio::test(flavor = "multi_thread")]
async fn a_removal_never_comes_too_late() {
    let shop = Shop::open().await;
    let seen = shop.deployed(1).await;
    let closed = shop.closes(1);
    shop.world.advance(WEEK * 2);
    approved(&shop, &closed, seen.output("sha"))
        .await
        .ends(0, "removed");
    shop.ends();
}
