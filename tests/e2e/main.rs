//! Turns GitHub's own webhook payloads into runs of the action's image, and the runs into what people would see:
//! a comment on a real GitHub server, pods on a real cluster, a page behind a URL.
//! It must not know the action's code: only its image, its `action.yml` and its promises count here.
//! The image is run twice over, by our port of GitHub's runner and by `act`, because each shows what the other hides.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at its first surprise"
)]
#![expect(
    clippy::print_stdout,
    reason = "the measured times are part of the result"
)]

mod act;
mod conversation;
mod environment;
mod github;
mod life;
mod measure;
mod payloads;
mod pods;
mod proof;
mod runner;
mod world;

use std::time::Duration;

use github::Heading;
use life::{Life, Runs};
use world::World;

/// A deploy may take this long from the event to the finished comment.
const OPENED_TO_READY: Duration = Duration::from_secs(180);
/// Of that, all but pulling images and starting containers may take this long.
const OWN_PART: Duration = Duration::from_secs(3);
/// A cancelled run has this long to say so.
const CANCELLED_WITHIN: Duration = Duration::from_secs(5);

#[tokio::test]
async fn a_container_gets_what_githubs_runner_gives() {
    let world = World::enter().await;
    let seen = runner::look_around(&world).await;
    assert_eq!(seen.exit_code, 0, "{}", seen.log);
    assert_eq!(seen.outputs["pid"], "1");
    assert_eq!(seen.outputs["workdir"], "/github/workspace");
    assert_eq!(seen.outputs["home"], "/github/home");
    assert_eq!(seen.outputs["event"], r#"{"action":"opened"}"#);
    assert_eq!(
        seen.outputs["hyphen"], "one\ntwo",
        "inputs keep hyphens and line ends"
    );
    assert_eq!(
        seen.outputs["github"], "reached",
        "the GitHub server, from Docker's bridge"
    );
    assert_eq!(
        seen.outputs["cluster"], "reached",
        "the API server, from Docker's bridge"
    );
    assert_eq!(seen.summary, "# seen\n");
}

#[tokio::test]
async fn a_pull_request_lives_its_life_under_githubs_runner() {
    let world = World::enter().await;
    let life = Life::begin(&world, Runs::Runner, life::CONFIGURED).await;
    a_whole_life(&life, Some(OWN_PART)).await;
}

#[tokio::test]
async fn the_same_life_under_act() {
    let world = World::enter().await;
    let life = Life::begin(&world, Runs::Act, life::BY_INPUT).await;
    a_whole_life(&life, None).await;
}

/// Six events: opened, pushed, the push delivered again, `/status`, `/undeploy`, closed.
async fn a_whole_life(life: &Life<'_>, own_part: Option<Duration>) {
    let opened = life.head().await;
    life.make_image(&opened, "ok");
    let first = life.pull_request("opened").await;
    life.is_ready(&first, &opened).await;
    first.took_at_most(OPENED_TO_READY, own_part);

    let pushed = life.push().await;
    assert_ne!(pushed, opened);
    life.make_image(&pushed, "ok");
    let second = life.pull_request("synchronize").await;
    life.is_ready(&second, &pushed).await;
    second.took_at_most(OPENED_TO_READY, own_part);

    let before = life.pods();
    let again = life.pull_request("synchronize").await;
    life.is_ready(&again, &pushed).await;
    assert_eq!(
        life.pods(),
        before,
        "the same event again leaves the pods alone"
    );

    let asked = life.command("/status").await;
    asked.succeeded();
    life.is_ready(&second, &pushed).await;

    let undeployed = life.command("/undeploy").await;
    undeployed.succeeded();
    life.is_removed(&undeployed).await;

    life.close().await;
    let closed = life.pull_request("closed").await;
    closed.succeeded();
    life.is_removed(&closed).await;
}

/// The documented `/build-and-deploy`: what a plan decides is built, and only that, before anything is deployed.
#[tokio::test]
async fn what_was_planned_is_built_and_then_deployed() {
    let world = World::enter().await;
    let documented = Runs::Documented("docs/workflows/build-and-deploy.yml");
    let life = Life::begin(&world, documented, life::BY_INPUT).await;
    let opened = life.head().await;
    life.make_image(&opened, "ok");
    let built = |ran: &proof::Ran| {
        let said = ran.step.log.split("built ghcr.io/acme/shop:").nth(1);
        said.map(|rest| rest.chars().take(40).collect::<String>())
    };
    let first = life.pull_request("opened").await;
    first.ended("auto-deploy-off");
    assert_eq!(built(&first), None);

    let asked = life.command("/build-and-deploy").await;
    assert_eq!(
        built(&asked).as_deref(),
        Some(opened.as_str()),
        "{}",
        asked.step.log
    );
    life.is_ready(&asked, &opened).await;

    let looked = life.command("/status").await;
    looked.ended("status-shown");
    let chat = life.command("thank you").await;
    chat.succeeded();
    life.close().await;
    let closed = life.pull_request_target("closed").await;
    for ran in [&looked, &chat, &closed] {
        assert_eq!(built(ran), None, "{}", ran.step.log);
    }
    life.is_removed(&closed).await;
}

#[tokio::test]
async fn a_cancelled_deploy_says_so_and_leaves_no_container() {
    let world = World::enter().await;
    let life = Life::begin(&world, Runs::Runner, life::CONFIGURED).await;
    life.make_image(&life.head().await, "unhealthy");
    let payload = life.payload("opened").await;
    let job = life.start("pull_request", &payload);
    life.comment_says(Heading::Deploying, Duration::from_secs(60))
        .await;

    let (cancelled, said) = tokio::join!(
        job.cancel(),
        life.comment_says(Heading::Cancelled, CANCELLED_WITHIN)
    );
    println!(
        "cancel: comment after {:.1} s, container ended by {} after {:.1} s",
        said.as_secs_f64(),
        cancelled.ended_by,
        cancelled.took.as_secs_f64()
    );
    assert_eq!(cancelled.ended_by, "SIGINT", "{}", cancelled.log);
    assert!(
        cancelled.took <= CANCELLED_WITHIN,
        "took {:?}",
        cancelled.took
    );
    assert_eq!(cancelled.exit_code, 130, "{}", cancelled.log);
    assert_eq!(cancelled.orphans, 0, "containers still run");

    life.close().await;
    life.pull_request("closed").await.succeeded();
}
