//! One fault of GitHub at each request of each use case: after the run and one healthy sweep its comment is one and true.
//! It must not care how the run ended, but where GitHub's trouble passes by itself: then it ends as if nothing had been.
//! The gate draws one trouble a request; `FAULTS=all` plays every one.

mod bugs;
mod truth;
mod uses;

use super::{ABREAST, Trouble, alone, tail, unlike};
use crate::support::{SHOP, Shop};
use preview_action::simulate::{Action, Fault, Record};
use serde_json::json;
use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use truth::{lies, unanswered};
use uses::{ANSWERS, COMMANDS, DECISIONS, DEPLOYS, REMOVALS, Use};

/// What goes wrong at GitHub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wrong {
    BadGateway,
    /// A gateway that gave up on a request which was carried out.
    DoneButBadGateway,
    CutBefore,
    CutAfter,
    Late,
    /// A limit that is over in a second.
    TooMany,
    /// A limit that no run waits for.
    SecondaryLimit,
    /// Somebody pushes just then.
    MovingHead,
}

const WRONGS: [Wrong; 8] = [
    Wrong::BadGateway,
    Wrong::SecondaryLimit,
    Wrong::CutAfter,
    Wrong::MovingHead,
    Wrong::DoneButBadGateway,
    Wrong::TooMany,
    Wrong::CutBefore,
    Wrong::Late,
];

impl Wrong {
    fn action(self, shop: &Arc<Shop>) -> Action {
        let page = || json!("<h1>502 Bad Gateway</h1>");
        let limit = |status: u16, after: &str| Action::Answer {
            status,
            body: json!({"message": "You have exceeded a secondary rate limit."}),
            headers: vec![("retry-after".into(), after.into())],
        };
        match self {
            Self::BadGateway => Action::Answer {
                status: 502,
                body: page(),
                headers: Vec::new(),
            },
            Self::DoneButBadGateway => Action::WriteThenAnswer {
                status: 502,
                body: page(),
            },
            Self::CutBefore => Trouble::CutBefore.action(),
            Self::CutAfter => Trouble::CutAfter.action(),
            Self::Late => Trouble::Late.action(),
            Self::TooMany => limit(429, "1"),
            Self::SecondaryLimit => limit(403, "3000"),
            Self::MovingHead => {
                let shop = Arc::downgrade(shop);
                Action::Run(Arc::new(move || {
                    if let Some(shop) = shop.upgrade() {
                        shop.world.github.push(SHOP, 1, &[]);
                    }
                }))
            }
        }
    }

    /// True when the run copes by itself.
    fn passes(self) -> bool {
        !matches!(self, Self::SecondaryLimit | Self::MovingHead)
    }
}

#[derive(Debug, Clone, Copy)]
struct Case {
    of: Use,
    k: usize,
    wrong: Wrong,
}

impl Case {
    async fn play(self) -> Vec<String> {
        let shop = self.of.open().await;
        let happens = self.of.begin(&shop).await;
        let fault = Fault::on("*", "/**", self.wrong.action(&shop));
        shop.world.github.inject(fault.nth(self.k));
        let seen = self.of.go(&shop, happens).await;
        shop.world.github.clear_faults();
        let mut wrong = match self.wrong.passes() {
            true => unlike(&seen, self.of.usual())
                .into_iter()
                .chain(unanswered(&seen, self.of))
                .collect(),
            false => Vec::new(),
        };
        if self.wrong == Wrong::SecondaryLimit {
            wrong.extend(asked_on(&shop));
        }
        if self.wrong == Wrong::MovingHead
            && let Some(next) = self.of.next(&shop)
        {
            self.of.go(&shop, next).await;
        }
        shop.world.advance(Duration::from_secs(3600));
        let swept = self.of.go(&shop, shop.schedule()).await;
        wrong.extend(unlike(&swept, (0, "swept")));
        wrong.extend(lies(&shop, self.of));
        wrong.extend(shop.world.unexpected());
        if !wrong.is_empty() {
            wrong.push(format!("the run said:\n{}", tail(&seen.log)));
        }
        let when = format!("{self:?}");
        wrong.iter().map(|one| format!("{when}: {one}")).collect()
    }
}

/// Requests that came after a limit that the run could not wait for. A step that goes on beside the one that was refused may have
/// its answer in the same moment.
fn asked_on(shop: &Shop) -> Vec<String> {
    let asked = shop.requests("github", 0);
    let refused = |one: &&Record| one.status == Some(403) && one.path != "/user";
    let Some(end) = asked.iter().find(refused).and_then(|one| one.ended) else {
        return Vec::new();
    };
    let later = asked.iter().filter(|one| one.started > end);
    let later = later.map(|one| format!("asked on: {} {}", one.method, one.path));
    let later: Vec<String> = later.collect();
    match later.len() {
        // One beside it that was on its way, and the three that its answer led to.
        0..=4 => Vec::new(),
        _ => later,
    }
}

/// How many requests GitHub gets when nothing goes wrong.
async fn requests(of: Use) -> usize {
    let shop = of.open().await;
    let happens = of.begin(&shop).await;
    let since = shop.now();
    let seen = of.go(&shop, happens).await;
    let (exit, reason) = of.usual();
    seen.ends(exit, reason);
    assert_eq!(unanswered(&seen, of), None);
    let wrong = lies(&shop, of);
    assert!(wrong.is_empty(), "{of:?} undisturbed: {wrong:#?}");
    shop.requests("github", since).len()
}

fn every_fault_of(uses: &[Use]) {
    let begun = Instant::now();
    let all = std::env::var("FAULTS").is_ok_and(|value| value == "all");
    let mut cases = Vec::new();
    for of in uses {
        for k in 1..=alone(requests(*of)) {
            let mine = |at: usize| all || at == (k + *of as usize) % WRONGS.len();
            let picked = WRONGS.iter().enumerate().filter(|(at, _)| mine(*at));
            cases.extend(picked.map(|(_, wrong)| Case {
                of: *of,
                k,
                wrong: *wrong,
            }));
        }
    }
    let count = cases.len();
    let (cases, wrong) = (Mutex::new(cases), Mutex::new(Vec::new()));
    let next = || cases.lock().unwrap().pop();
    std::thread::scope(|threads| {
        for _ in 0..ABREAST {
            threads.spawn(|| {
                alone(async {
                    while let Some(case) = next() {
                        let found = case.play().await;
                        wrong.lock().unwrap().extend(found);
                    }
                });
            });
        }
    });
    let took = begun.elapsed().as_secs_f64();
    println!("{uses:?}: {count} faults of GitHub in {took:.1} s");
    none(&wrong.into_inner().unwrap());
}

#[track_caller]
fn none(wrong: &[String]) {
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n\n")
    );
}

#[test]
fn deploys_survive_a_fault_of_github_at_each_of_their_requests() {
    every_fault_of(&DEPLOYS);
}

#[test]
fn removals_and_sweeps_survive_a_fault_of_github_at_each_of_their_requests() {
    every_fault_of(&REMOVALS);
}

#[test]
fn commands_survive_a_fault_of_github_at_each_of_their_requests() {
    every_fault_of(&COMMANDS);
}

#[test]
fn answers_survive_a_fault_of_github_at_each_of_their_requests() {
    every_fault_of(&ANSWERS);
}

#[test]
fn decisions_survive_a_fault_of_github_at_each_of_their_requests() {
    every_fault_of(&DECISIONS);
}
