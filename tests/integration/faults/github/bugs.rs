//! A bug of ours at each answer of GitHub: the run says that it is one, and one healthy sweep later all is true.
//!
//! The bug is a subscriber of the log that panics at one line, in the middle of whatever wrote it: nothing in the program knows of it.

use super::{super::alone, truth, uses::*};
use crate::support::{Seen, Shop};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tracing::{Event, Metadata, Subscriber, span};

/// Panics at the k-th answer of GitHub.
#[derive(Clone)]
struct Bomb {
    k: usize,
    answers: Arc<AtomicUsize>,
}

impl Bomb {
    fn at(k: usize) -> Self {
        let answers = Arc::default();
        Self { k, answers }
    }
}

impl Subscriber for Bomb {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "preview_action::github::request"
    }

    fn event(&self, event: &Event<'_>) {
        let answer = event.fields().any(|field| field.name() == "http.status");
        let answers = || self.answers.fetch_add(1, Ordering::SeqCst) + 1;
        assert!(!answer || answers() != self.k, "a bug of ours");
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

async fn go(of: Use, shop: &Shop, happens: Happens, bomb: &Bomb) -> Seen {
    let _armed = tracing::subscriber::set_default(bomb.clone());
    of.go(shop, happens).await
}

async fn play(of: Use, k: usize) -> (usize, Vec<String>) {
    let shop = of.open().await;
    let happens = of.begin(&shop).await;
    let bomb = Bomb::at(k);
    let seen = go(of, &shop, happens, &bomb).await;
    let answers = bomb.answers.load(Ordering::SeqCst);
    let mut wrong = Vec::new();
    if answers >= k {
        wrong.extend(untold(&seen));
        wrong.extend(
            promises(&seen).map(|word| format!("the comment promises: {word}\n{}", seen.comment())),
        );
        if shop.status_comments(1).len() > 1 {
            wrong.push("two comments".into());
        }
    }
    shop.world.advance(Duration::from_secs(3600));
    let swept = of.go(&shop, shop.schedule()).await;
    wrong.extend(super::unlike(&swept, (0, "swept")));
    wrong.extend(truth::lies(&shop, of));
    // What was brought back stays until the next push, though nobody knows of it any more that somebody wanted that.
    wrong.retain(|one| of != Use::Rollback || !one.contains(" is live, not "));
    let wrong = wrong.iter().map(|one| format!("{of:?} {k}: {one}"));
    (answers, wrong.collect())
}

/// What a run with a bug must say and has not said.
fn untold(seen: &Seen) -> Vec<String> {
    let mut wrong = super::unlike(seen, (2, "internal-error"));
    let annotations = seen.annotations().join("\n");
    for (place, text) in [("summary", &seen.summary), ("annotations", &annotations)] {
        if !text.contains("a bug of its own") || !text.contains("report it") {
            wrong.push(format!("no word of a bug in the {place}: {text}"));
        }
    }
    wrong
}

/// A word in the comment of something that nobody does any more.
fn promises(seen: &Seen) -> Option<&'static str> {
    let mut words = ["Preview deploying", "Preview pending", "is being removed"].into_iter();
    words.find(|word| seen.comment().contains(word))
}

fn every_bug_of(uses: &[Use]) {
    let all = std::env::var("FAULTS").is_ok_and(|value| value == "all");
    let mut wrong = Vec::new();
    for (at, of) in uses.iter().enumerate() {
        let mut k = if all { 1 } else { 1 + at % 3 };
        loop {
            let (answers, found) = alone(Box::pin(play(*of, k)));
            wrong.extend(found);
            if answers < k {
                break;
            }
            k += if all { 1 } else { 7 };
        }
    }
    super::none(&wrong);
}

#[test]
fn a_bug_in_a_deploy_is_told_and_mended() {
    every_bug_of(&DEPLOYS);
}

#[test]
fn a_bug_in_a_removal_or_a_sweep_is_told_and_mended() {
    every_bug_of(&REMOVALS);
}

#[test]
fn a_bug_in_a_command_is_told_and_mended() {
    every_bug_of(&COMMANDS);
}

#[test]
fn a_bug_in_an_answer_or_a_decision_is_told_and_mended() {
    every_bug_of(&ANSWERS);
    every_bug_of(&DECISIONS);
}
