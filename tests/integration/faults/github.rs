//! One fault of GitHub at each request of each use case: after the run and one healthy sweep its comment is one and true.
//! It must not care how the run ended, but where GitHub's trouble passes by itself: then it ends as if nothing had been.
//! The gate draws one trouble a request; `FAULTS=all` plays every one.

use super::{ABREAST, Trouble, alone, tail, unlike};
use crate::support::{Event, SHOP, Seen, Shop};
use preview_action::simulate::{Action, Fault, Record, WorldOptions, cluster::Fate};
use serde_json::json;
use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

/// A use case that asks GitHub for something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    FirstDeploy,
    Update,
    FailedUpdate,
    Removal,
    Sweep,
    SweptDeploy,
    Sleep,
    Wake,
    Rollback,
    Extend,
    Take,
    Help,
    Status,
}

const USES: [Use; 13] = [
    Use::FirstDeploy,
    Use::Update,
    Use::FailedUpdate,
    Use::Removal,
    Use::Sweep,
    Use::SweptDeploy,
    Use::Sleep,
    Use::Wake,
    Use::Rollback,
    Use::Extend,
    Use::Take,
    Use::Help,
    Use::Status,
];

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

impl Use {
    fn usual(self) -> (i32, &'static str) {
        match self {
            Self::FirstDeploy | Self::Update | Self::Take => (0, "deployed"),
            Self::FailedUpdate => (1, "crash-loop"),
            Self::Removal => (0, "removed"),
            Self::Sweep | Self::SweptDeploy => (0, "swept"),
            Self::Sleep => (0, "slept"),
            Self::Wake => (0, "woken"),
            Self::Rollback => (0, "rolled-back"),
            Self::Extend => (0, "extended"),
            Self::Help => (0, "help-shown"),
            Self::Status => (0, "status-shown"),
        }
    }

    /// Everything that comes before, and the event whose run is disturbed.
    async fn begin(self, shop: &Shop) -> Event {
        let deployed = async |pr: u64| go(shop, &shop.opens(pr)).await.ends(0, "deployed");
        match self {
            Self::FirstDeploy => return shop.opens(1),
            Self::SweptDeploy => {
                shop.opens(1);
                shop.world.advance(Duration::from_secs(3600));
                return shop.schedule();
            }
            Self::Take => {
                deployed(2).await;
                shop.opens(1);
                return shop.says(1, "alice", "/deploy --take #2");
            }
            _ => deployed(1).await,
        }
        match self {
            Self::FailedUpdate => {
                shop.world.cluster.script_fate("/web:", Fate::Crash);
                shop.pushes(1)
            }
            Self::Removal => shop.closes(1),
            Self::Sweep => {
                shop.world.github.close(SHOP, 1);
                shop.schedule()
            }
            Self::Sleep => shop.says(1, "alice", "/sleep"),
            Self::Wake => {
                let sleep = shop.says(1, "alice", "/sleep");
                go(shop, &sleep).await.ends(0, "slept");
                shop.says(1, "alice", "/wake")
            }
            Self::Rollback => {
                go(shop, &shop.pushes(1)).await.ends(0, "deployed");
                shop.says(1, "alice", "/rollback")
            }
            Self::Extend => shop.says(1, "alice", "/extend 9d"),
            Self::Help => shop.says(1, "alice", "/help"),
            Self::Status => shop.says(1, "alice", "/status"),
            _ => shop.pushes(1),
        }
    }
}

async fn open() -> Arc<Shop> {
    let mut options = WorldOptions::default();
    options.cluster.delays.back_off = Duration::from_millis(100);
    let shop = Shop::with(options, crate::support::ONE_SERVICE).await;
    let github = &shop.world.github;
    github.set_permission(SHOP, "alice", "admin", "admin");
    Arc::new(shop)
}

/// Every run has the same workflow: one slot, which `--take` needs.
async fn go(shop: &Shop, event: &Event) -> Seen {
    shop.run(event).input("max-previews", "1").go().await
}

#[derive(Debug, Clone, Copy)]
struct Case {
    of: Use,
    k: usize,
    wrong: Wrong,
}

impl Case {
    async fn play(self) -> Vec<String> {
        let shop = open().await;
        let event = self.of.begin(&shop).await;
        let fault = Fault::on("*", "/**", self.wrong.action(&shop));
        shop.world.github.inject(fault.nth(self.k));
        let seen = go(&shop, &event).await;
        shop.world.github.clear_faults();
        let mut wrong = match self.wrong.passes() {
            true => unlike(&seen, self.of.usual()),
            false => Vec::new(),
        };
        if self.wrong == Wrong::SecondaryLimit {
            wrong.extend(asked_on(&shop));
        }
        shop.world.advance(Duration::from_secs(3600));
        let swept = go(&shop, &shop.schedule()).await;
        wrong.extend(unlike(&swept, (0, "swept")));
        wrong.extend(lies(&shop));
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

/// What is untrue in the comments, held against the cluster and the ledger.
fn lies(shop: &Shop) -> Vec<String> {
    let mut wrong: Vec<String> = [1, 2].iter().flat_map(|pr| lies_of(shop, *pr)).collect();
    let ours = shop.world.github.comments(SHOP, 1);
    let kind = |kind: &str| {
        let begin = format!("<!-- preview-action v1 kind={kind} ");
        let of_kind = ours.iter().filter(|one| one.body.starts_with(&begin));
        of_kind.count()
    };
    for pr in [1, 2] {
        wrong.extend(beside(shop, pr));
    }
    for one in ["help", "status"].iter().filter(|one| kind(one) > 1) {
        wrong.push(format!("{} comments of kind {one}", kind(one)));
    }
    wrong
}

/// What is untrue of the statuses and deployments of a pull request.
fn beside(shop: &Shop, pr: u64) -> Vec<String> {
    let mut wrong = Vec::new();
    let (github, head) = (&shop.world.github, shop.world.github.head(SHOP, pr));
    let there = shop.namespaces().contains(&format!("pr-shop-{pr}"));
    let statuses = github.statuses(SHOP, &head);
    let waits = shop.line().contains(&pr);
    if statuses.last().is_some_and(|one| one.state == "pending") && !waits {
        wrong.push(format!(
            "#{pr}: the status of {head} promises: {statuses:?}"
        ));
    }
    let task = format!("preview:pr-{pr}");
    let all = github.deployments(SHOP);
    let live: Vec<_> = all
        .iter()
        .filter(|one| one.task == task && one.state() == "success")
        .collect();
    let asleep = !shop.record(pr)["asleep"].is_null();
    if live.len() > 1 || (!live.is_empty() && (!there || asleep)) {
        wrong.push(format!("#{pr}: deployments that are no more: {live:#?}"));
    }
    wrong
}

fn lies_of(shop: &Shop, pr: u64) -> Vec<String> {
    let mut wrong = Vec::new();
    let record = shop.record(pr);
    for field in ["active", "untold", "removing", "stalled"] {
        if !record[field].is_null() {
            wrong.push(format!("#{pr}: {field} in the ledger: {record}"));
        }
    }
    let comments = shop.status_comments(pr);
    let head = shop.world.github.head(SHOP, pr);
    let name = format!("pr-shop-{pr}");
    let there = shop.namespaces().contains(&name);
    let open =
        shop.world.github.pull_request_event(SHOP, pr, "x")["pull_request"]["state"] == "open";
    if comments.is_empty() {
        // Who was never told anything has nothing.
        if there || (open && shop.holders().contains(&pr)) {
            wrong.push(format!("#{pr}: a preview and no comment"));
        }
        return wrong;
    }
    let namespace = shop.world.cluster.object("Namespace", "", &name);
    let namespace = namespace.unwrap_or_default();
    let live = &namespace["metadata"]["annotations"]["preview-action/sha"];
    let live = live
        .as_str()
        .and_then(|sha| sha.get(..7))
        .unwrap_or_default()
        .to_owned();
    let failed = record["attempted"]["outcome"] == "failed";
    let waits = shop.line().contains(&pr);
    let mut says: Vec<&str> = match (open, there, record["asleep"].is_null()) {
        (false, ..) => vec!["Preview removed"],
        (_, false, _) if waits => vec!["Preview queued"],
        (_, false, _) => vec!["Preview removed"],
        (_, _, false) => vec!["Preview asleep"],
        _ if failed => vec!["still serving", &live],
        _ => vec!["Preview ready", &live],
    };
    let held = record["held"] == head.as_str();
    if open && there && record["asleep"].is_null() && !failed && !held && live != head[..7] {
        wrong.push(format!("#{pr}: {live} is live, not {}", &head[..7]));
    }
    let extended = record["extended"].as_str().unwrap_or_default().to_owned();
    if open && there && !extended.is_empty() {
        says.push(&extended[..10]);
    }
    let body = &comments[0].body;
    if let Some(lacks) = says.iter().find(|one| !body.contains(**one)) {
        wrong.push(format!("#{pr}: no {lacks:?} in {body}; ledger {record}"));
    }
    wrong
}

/// How many requests GitHub gets when nothing goes wrong.
async fn requests(of: Use) -> usize {
    let shop = open().await;
    let event = of.begin(&shop).await;
    let since = shop.now();
    let seen = go(&shop, &event).await;
    let (exit, reason) = of.usual();
    seen.ends(exit, reason);
    let wrong = lies(&shop);
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
    let wrong = wrong.into_inner().unwrap();
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n\n")
    );
}

#[test]
fn deploys_survive_a_fault_of_github_at_each_of_their_requests() {
    every_fault_of(&USES[..3]);
}

#[test]
fn removals_and_sweeps_survive_a_fault_of_github_at_each_of_their_requests() {
    every_fault_of(&USES[3..6]);
}

#[test]
fn commands_survive_a_fault_of_github_at_each_of_their_requests() {
    every_fault_of(&USES[6..]);
}
