//! Who gives a command that is not followed is answered where the comment has something better to say, too: beside it.
//! The diagnosis of a failure and the proof of a removal stay word for word.

use crate::{
    reactions::reactions,
    support::{ONE_SERVICE, SHOP, Shop},
};

/// Where the first deploy fails.
async fn failed() -> Shop {
    let broken = ONE_SERVICE.replace("web:{short-sha}", "web:crash-{short-sha}");
    let shop = Shop::selling(&broken).await;
    let seen = shop.hears(&shop.opens(1)).await;
    seen.ends(1, "crash-loop");
    shop
}

/// Where the preview was removed by command.
async fn removed() -> Shop {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    shop.hears(&shop.says(1, "alice", "/undeploy"))
        .await
        .ends(0, "removed");
    shop
}

/// What a comment says besides the answer.
fn rest(body: &str) -> Vec<&str> {
    body.lines()
        .filter(|line| !line.is_empty() && !line.starts_with("> 💬 "))
        .collect()
}

/// Gives commands that are not followed and looks for each answer, and for nothing else that is new.
async fn answers(shop: &Shop, commands: &[(&str, &str, &str)]) {
    let before = shop.comment(1);
    for (body, reason, text) in commands {
        let event = shop.says(1, "mia", body);
        let seen = shop.hears(&event).await;
        seen.ends(0, reason);
        let answers: Vec<&str> = seen
            .comment()
            .lines()
            .filter(|line| line.starts_with("> 💬 "))
            .collect();
        assert_eq!(answers.len(), 1, "{body}: {}", seen.comment());
        assert!(answers[0].contains(text), "{body}: {answers:?}");
        assert_eq!(rest(seen.comment()), rest(&before), "{body}");
        let told = |line: &String| line.contains(text);
        assert!(seen.annotations().iter().any(told), "{body}: {}", seen.log);
        assert_eq!(seen.summary.matches(text).count(), 1, "{}", seen.summary);
        let given = reactions(shop, &event).pop();
        assert_eq!(given.as_deref(), Some("confused"), "{body}");
        seen.one_comment();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_the_diagnosis_of_a_first_deploy() {
    let shop = failed().await;
    let mia = ("mia", "write", "maintain");
    shop.world.github.set_permission(SHOP, mia.0, mia.1, mia.2);
    let commands = [
        ("/deply", "not-a-command", "did you mean `/deploy`"),
        ("/extend soon", "not-a-command", "a time from 5m to 90d"),
        ("/rollback", "nothing-to-roll-back", "no earlier commit"),
        ("/wake", "no-preview", "no preview that sleeps"),
        ("/deploy --take #9", "nothing-to-take", "9 holds no slot"),
    ];
    answers(&shop, &commands).await;
    assert!(shop.comment(1).contains("Preview failed"));
    // The next deploy has better to say.
    let seen = shop.hears(&shop.says(1, "mia", "/deploy")).await;
    seen.ends(1, "crash-loop");
    assert!(!seen.comment().contains("💬"), "{}", seen.comment());
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_the_proof_of_a_removal() {
    let shop = removed().await;
    shop.world
        .github
        .set_permission(SHOP, "mia", "write", "maintain");
    let named = format!("/deploy {}", "0".repeat(40));
    let event = shop.says(1, "mia", "/deploy");
    let planned = shop.run(&event).input("mode", "plan").go().await;
    shop.pushes(1);
    let commands = [
        ("/pin", "no-preview", "no preview to keep longer"),
        ("/extend 2d", "no-preview", "no preview to keep longer"),
        ("/wake", "no-preview", "no preview that sleeps"),
        ("/sleep", "no-preview", "no preview to put to sleep"),
        ("/logs", "no-preview", "no preview to show logs of"),
        ("/undploy", "not-a-command", "did you mean `/undeploy`"),
        (&named, "commit-unknown", "is no commit of"),
    ];
    answers(&shop, &commands).await;
    // The run of a plan that is overtaken, where no push is deployed.
    let run = shop.run(&event).input("sha", planned.output("sha"));
    let late = run.input("auto-deploy", "false").go().await;
    late.ends(0, "superseded");
    late.says(": nothing was deployed");
    late.says("that took");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_run_is_at_work_the_runs_own_summary_answers() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    let named = format!("/deploy {}", "0".repeat(40));
    let pushed = shop.pushes(1);
    let before = shop.now();
    shop.world.cluster.hold();
    let asks = async {
        let applied = |records: &[preview_action::simulate::Record]| {
            let mut all = records.iter().filter(|one| one.seq > before);
            all.any(|one| one.method == "PATCH" && one.path.ends_with("/ingresses/web"))
        };
        shop.world.log.wait_until(applied).await;
        for (body, reason, text) in [
            ("/deply".to_owned(), "not-a-command", "did you mean"),
            (named, "commit-unknown", "is no commit of"),
        ] {
            let event = shop.says(1, "bob", &body);
            let seen = shop.hears(&event).await;
            seen.ends(0, reason);
            let told = |line: &String| line.starts_with("::warning") && line.contains(text);
            assert!(seen.annotations().iter().any(told), "{body}: {}", seen.log);
            assert_eq!(seen.summary.matches(text).count(), 1, "{}", seen.summary);
            assert!(!seen.comment().contains(text), "{}", seen.comment());
        }
        shop.world.cluster.release();
    };
    let (deployed, ()) = tokio::join!(shop.hears(&pushed), asks);
    deployed.ends(0, "deployed");
    shop.ends();
}
