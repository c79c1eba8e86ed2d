//! The scenarios that `preview-action simulate` plays, on a real cluster and beside it on the simulated one.

use crate::{both, world::Real};
use preview_action::simulate::scenario::BUILT_IN;

async fn play(name: &str) {
    let Some(real) = Real::enter() else { return };
    let mut all = BUILT_IN.iter();
    let (_, text) = all.find(|(built_in, _)| *built_in == name).unwrap();
    both::play(real, name, text).await;
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
