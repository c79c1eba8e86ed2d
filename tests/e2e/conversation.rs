//! Plays every command that people write, on a GitHub server that is not ours and a real cluster, and looks at each answer.
//! It must not ask for what that server lacks: reactions, statuses, deployments and forks.
//! Whether each command does what it says in all its cases is tested elsewhere; here it has to work at all.

use crate::life::{self, Life, Runs};
use crate::world::World;

#[tokio::test]
async fn every_command_is_answered_on_a_server_that_is_not_ours() {
    let world = World::enter().await;
    let life = Life::begin(&world, Runs::Runner, life::CONFIGURED).await;
    let opened = life.head().await;
    life.make_image(&opened, "ok");
    life.pull_request("opened").await.ended("deployed");

    what_only_looks(&life).await;
    how_long_it_lives(&life).await;

    life.command("/sleep").await.ended("slept");
    life.is_asleep().await;
    let woken = life.command("/wake").await;
    woken.ended("woken");
    life.is_ready(&woken, &opened).await;

    let pushed = life.push().await;
    life.make_image(&pushed, "ok");
    let second = life.pull_request("synchronize").await;
    life.is_ready(&second, &pushed).await;
    let back = life.command("/rollback").await;
    back.ended("rolled-back");
    life.is_back(&back, &opened).await;
    let again = life.command("/deploy").await;
    again.ended("deployed");
    life.is_ready(&again, &pushed).await;
    let same = life.command(&format!("/deploy {pushed}")).await;
    same.ended("unchanged");

    what_is_no_command(&life).await;
    life.schedule().await.ended("swept");
    life.is_ready(&again, &pushed).await;

    let undeployed = life.command("/undeploy").await;
    undeployed.ended("removed");
    life.is_removed(&undeployed).await;
    life.close().await;
    life.command("/deploy").await.ended("pull-request-closed");
    life.pull_request("closed").await.ended("nothing-to-remove");
}

/// Each has one comment of its own, which the second answer takes.
async fn what_only_looks(life: &Life<'_>) {
    life.command("/status").await.ended("status-shown");
    for _ in 0..2 {
        life.command("/help").await.ended("help-shown");
        life.command("/logs web").await.ended("logs-shown");
        life.command("/diff").await.ended("diff-shown");
        life.command("/check").await.ended("check-shown");
    }
    let kinds: Vec<_> = life
        .github
        .comments(life.number)
        .await
        .into_keys()
        .collect();
    assert_eq!(kinds, ["check", "diff", "help", "logs", "status"]);
    let help = life.comment("help").await;
    for command in ["/deploy", "/undeploy", "/logs", "/rollback", "/extend"] {
        assert!(help.contains(&format!("`{command}")), "{command}:\n{help}");
    }
    let logs = life.comment("logs").await;
    assert!(logs.contains(&life.namespace()), "{logs}");
}

async fn how_long_it_lives(life: &Life<'_>) {
    let before = life.comment("status").await;
    assert!(before.contains("expires "), "{before}");
    life.command("/extend 20d").await.ended("extended");
    let extended = life.comment("status").await;
    assert_ne!(expiry(&extended), expiry(&before));
    life.command("/pin").await.ended("pinned");
    let pinned = life.comment("status").await;
    assert!(!pinned.contains("expires "), "{pinned}");
    life.command("/unpin").await.ended("unpinned");
    assert!(life.comment("status").await.contains("expires "));
}

fn expiry(comment: &str) -> &str {
    let rest = comment.split("expires ").nth(1).unwrap_or_default();
    rest.split(" · ").next().unwrap_or_default()
}

/// None of it changes anything; only who may command is answered.
async fn what_is_no_command(life: &Life<'_>) {
    life.command("/deply").await.ended("not-a-command");
    let answered = life.comment("status").await;
    assert!(answered.contains("did you mean `/deploy`?"), "{answered}");
    for text in ["thank you", "> /undeploy", "please /undeploy"] {
        life.command(text).await.ended("not-a-command");
    }
    life.command_of_stranger("/undeploy")
        .await
        .ended("permission-denied");
    assert_eq!(life.comment("status").await, answered);
}
