//! Plays a scenario on the real cluster alone, for what only a real one has: registries, administrators, time.
//! It must not know what a scenario is about.
//! GitHub stays simulated, so that a test can make any pull request at once.

use crate::{same, stay::Stay, world::program};
use preview_action::{
    cli::{Player, Seen, parse},
    pipeline::Sandbox,
    simulate::{World, WorldOptions, github, scenario::Step},
};
use std::sync::Arc;

/// Plays a scenario in a corner of the cluster, with a look after each step.
pub(crate) async fn play(
    stay: &Stay,
    text: &str,
    mut look: impl AsyncFnMut(&Step, &Seen, &github::Handle),
) {
    let scenario = parse(&stay.inside(text)).unwrap();
    let world = World::start(WorldOptions::default()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let sandbox = Sandbox {
        program: program().into(),
    };
    let folder = folder.path().to_owned();
    let mut player = Player::new(
        &scenario,
        &world.github,
        stay,
        sandbox,
        folder,
        stay.inputs(),
    );
    for step in &scenario.steps {
        let seen = player.step(step, Arc::new(|_| {})).await.unwrap();
        println!(
            "{}: {}: {:.1} s",
            stay.environment,
            step.say,
            seen.took.as_secs_f64()
        );
        let wrong = player.differences(&step.expect, &seen).await.unwrap();
        assert!(
            wrong.is_empty(),
            "{}:\n{}\n{}",
            step.say,
            wrong.join("\n"),
            same::readable(&seen.log)
        );
        look(step, &seen, &world.github).await;
    }
}
