//! The scenarios that `preview-action simulate` plays, each with what must come of it.

use preview_action::{
    cli::{Player, Simulated, control_namespace, parse},
    pipeline::Sandbox,
    simulate::{World, WorldOptions, scenario::BUILT_IN},
};
use std::{collections::BTreeMap, path::Path, sync::Arc};

async fn play(name: &str) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (_, text) = BUILT_IN
        .iter()
        .find(|(built_in, _)| *built_in == name)
        .unwrap();
    let scenario = parse(text).unwrap();
    let world = World::start(WorldOptions::default()).await.unwrap();
    world.cluster.put(&control_namespace()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let stage = Simulated(&world.cluster);
    let sandbox = Sandbox {
        program: Path::new(env!("CARGO_BIN_EXE_preview-action")).into(),
    };
    let mut player = Player::new(
        &scenario,
        &world.github,
        &stage,
        sandbox,
        folder.path().into(),
        BTreeMap::new(),
    );
    for step in &scenario.steps {
        let seen = player.step(step, Arc::new(|_| {})).await.unwrap();
        let wrong = player.differences(&step.expect, &seen).await.unwrap();
        assert!(
            wrong.is_empty(),
            "{name}: {}:\n{}\nlog:\n{}\nsummary:\n{}",
            step.say,
            wrong.join("\n"),
            readable(&seen.log),
            seen.summary
        );
    }
    assert_eq!(world.unexpected(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn life() {
    play("life").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn crash() {
    play("crash").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn full() {
    play("full").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_request() {
    play("on-request").await;
}

/// A log without the masks, which say nothing to a reader.
fn readable(log: &str) -> String {
    log.lines()
        .filter(|line| !line.starts_with("::add-mask::"))
        .collect::<Vec<_>>()
        .join("\n")
}
