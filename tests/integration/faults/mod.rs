//! One fault at each request of each use case: the run copes or says so, and the next run makes everything good.
//! The gate draws two faults a request, always the same ones; `FAULTS=all` plays every one, as `.ci/soak faults` does.
//! A run that is killed is a future that is dropped; faults of the others come from a proxy's repertoire.

mod ends;
mod fixture;
mod github;
mod sleep;

use crate::support::{Event, SHOP, Seen, Shop};
use fixture::Version;
use preview_action::simulate::{Action, Fault};
use serde_json::{Value, json};
use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

/// Cases that are played at once.
const ABREAST: usize = 4;

/// Cases that follow each other in one world: events pile up there, which nothing but time takes away.
const IN_A_ROW: usize = 4;

/// A use case that is disturbed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    FirstDeploy,
    Update,
    FailedUpdate,
    Removal,
    Sweep,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    CutBefore,
    CutAfter,
    Late,
    TooMany,
    ServerError,
    Unavailable,
    GatewayTimeout,
    /// A gateway that gave up on a request which the server has carried out.
    DoneButTimeout,
    Kill,
}

/// What is played in turns; [`Trouble::Kill`] comes on top, for both sites.
const TROUBLES: [Trouble; 8] = [
    Trouble::CutBefore,
    Trouble::CutAfter,
    Trouble::Late,
    Trouble::TooMany,
    Trouble::ServerError,
    Trouble::Unavailable,
    Trouble::GatewayTimeout,
    Trouble::DoneButTimeout,
];

impl Trouble {
    fn action(self) -> Action {
        let status = |code: u16, reason: &str| json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": "the server is not itself"});
        let answer = |code: u16, body: Value, headers: &[(&str, &str)]| Action::Answer {
            status: code,
            body,
            headers: headers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        };
        let page = json!("<h1>504 Gateway Time-out</h1>");
        match self {
            Self::CutBefore => Action::Close,
            Self::CutAfter => Action::WriteThenClose,
            Self::Late => Action::Delay(Duration::from_millis(120)),
            Self::TooMany => answer(429, status(429, "TooManyRequests"), &[("retry-after", "1")]),
            Self::ServerError => answer(500, status(500, "InternalError"), &[]),
            Self::Unavailable => answer(503, json!("<h1>503 Service Unavailable</h1>"), &[]),
            Self::GatewayTimeout => answer(504, page, &[]),
            Self::DoneButTimeout => Action::WriteThenAnswer {
                status: 504,
                body: page,
            },
            Self::Kill => Action::Hang,
        }
    }
}

impl Work {
    /// Exit code and reason when nothing goes wrong.
    fn usual(self) -> (i32, &'static str) {
        match self {
            Self::FirstDeploy | Self::Update => (0, "deployed"),
            Self::FailedUpdate => (1, "crash-loop"),
            Self::Removal => (0, "removed"),
            Self::Sweep => (0, "swept"),
        }
    }

    /// How many requests go to each site when nothing goes wrong.
    async fn requests(self) -> [(&'static str, usize); 2] {
        let mut stage = None;
        let (stage, event) = Stage::set(&mut stage, self).await;
        let shop = &stage.shop;
        let since = shop.now();
        let seen = fixture::run(shop, &event).go().await;
        let (exit, reason) = self.usual();
        seen.ends(exit, reason);
        ["cluster", "github"].map(|site| (site, shop.requests(site, since).len()))
    }

    /// The run that comes after a death, in turns: the next push or the close, the event again or the schedule.
    fn next(self, shop: &Shop, k: usize) -> Event {
        let even = k.is_multiple_of(2);
        match self {
            Self::Removal if even => shop.pull_event(1, "closed"),
            Self::Removal | Self::Sweep => shop.schedule(),
            Self::FirstDeploy if even => shop.closes(1),
            _ => {
                fixture::mends(shop);
                shop.pushes(1)
            }
        }
    }
}

/// A world in which one case follows the other, each on what the one before has left.
struct Stage {
    shop: Shop,
    /// Commit and version that are served.
    good: (String, Version),
    /// Version of the last push.
    pushed: Version,
    /// How many cases it has seen.
    seen: usize,
}

impl Stage {
    /// Sets the stage for a case, and returns the event whose run is disturbed.
    async fn set(left: &mut Option<Self>, work: Work) -> (&mut Self, Event) {
        let stage = match left {
            Some(stage) => stage,
            None => left.insert(Self::open(work).await),
        };
        let shop = &stage.shop;
        shop.world.log.clear();
        let event = match work {
            Work::FirstDeploy => shop.opens(1),
            Work::Removal => shop.closes(1),
            Work::Sweep => {
                shop.world.github.close(SHOP, 1);
                shop.schedule()
            }
            Work::Update | Work::FailedUpdate => {
                if work == Work::FailedUpdate {
                    fixture::breaks(shop);
                }
                stage.pushed = stage.good.1.other();
                fixture::pushes(shop, stage.pushed)
            }
        };
        (stage, event)
    }

    async fn open(work: Work) -> Self {
        let shop = fixture::open().await;
        let mut good = String::new();
        if work != Work::FirstDeploy {
            fixture::deployed(&shop).await;
            good = fixture::head(&shop);
        }
        Self {
            shop,
            good: (good, Version::First),
            pushed: Version::First,
            seen: 0,
        }
    }

    /// What is wrong after a run that should have ended as this use case does.
    fn faults(&mut self, work: Work, wanted: &Wanted) -> Vec<String> {
        match work {
            Work::FirstDeploy | Work::Update => self.live(wanted),
            Work::FailedUpdate => {
                let (sha, version) = &self.good;
                let mut wrong = ends::restored(&self.shop, sha, wanted.of(*version));
                wrong.extend(ends::comment_faults(&self.shop, "still serving"));
                wrong
            }
            Work::Removal | Work::Sweep => ends::gone(&self.shop),
        }
    }

    fn live(&mut self, wanted: &Wanted) -> Vec<String> {
        self.good = (fixture::head(&self.shop), self.pushed);
        ends::live(&self.shop, wanted.of(self.pushed))
    }
}

#[derive(Debug, Clone, Copy)]
struct Case {
    work: Work,
    site: &'static str,
    k: usize,
    trouble: Trouble,
}

impl Case {
    /// Plays the case; returns whether the fault was met, and what is wrong at its end.
    ///
    /// Updates leave their world to the case that follows, whose run is the one that comes after.
    async fn play(self, left: &mut Option<Stage>, wanted: &Wanted) -> (bool, Vec<String>) {
        let (stage, event) = Stage::set(left, self.work).await;
        let (met, mut wrong) = match self.trouble {
            Trouble::Kill => self.killed(stage, &event, wanted).await,
            _ => self.disturbed(stage, &event, wanted).await,
        };
        wrong.extend(stage.shop.world.unexpected());
        stage.seen += 1;
        let goes_on = matches!(self.work, Work::Update | Work::FailedUpdate);
        if !goes_on || !wrong.is_empty() || stage.seen == IN_A_ROW {
            *left = None;
        }
        let when = format!("{self:?}");
        let wrong = wrong.iter().map(|one| format!("{when}: {one}"));
        (met, wrong.collect())
    }

    /// The run copes: it ends as if nothing had been.
    async fn disturbed(self, stage: &mut Stage, event: &Event, wanted: &Wanted) -> Played {
        let shop = &stage.shop;
        let fault = Fault::on("*", "/**", self.trouble.action());
        shop.world.cluster.inject(fault.nth(self.k));
        let since = shop.now();
        let seen = fixture::run(shop, event).go().await;
        shop.world.cluster.clear_faults();
        let met = shop.requests("cluster", since).len() >= self.k;
        let mut wrong = unlike(&seen, self.work.usual());
        wrong.extend(stage.faults(self.work, wanted));
        (met, wrong)
    }

    /// The run dies, and the next one makes everything good.
    async fn killed(self, stage: &mut Stage, event: &Event, wanted: &Wanted) -> Played {
        let shop = &stage.shop;
        let run = fixture::run(shop, event);
        let met = run.dies_at(self.site, self.k).await;
        // A run that is silent for half a minute is dead.
        shop.world.advance(Duration::from_secs(31));
        let event = self.work.next(shop, self.k);
        let seen = fixture::run(shop, &event).go().await;
        let mut wrong = Vec::new();
        if seen.exit != 0 {
            wrong.extend(unlike(&seen, (0, "a good end")));
        }
        wrong.extend(match event.name.as_str() {
            "pull_request" => stage.live(wanted),
            _ => ends::gone(shop),
        });
        (met, wrong)
    }
}

/// Whether the fault was met, and what is wrong.
type Played = (bool, Vec<String>);

fn unlike(seen: &Seen, usual: (i32, &str)) -> Vec<String> {
    let ended = (seen.exit, seen.output("reason-code"));
    let wrong = format!("it ended {ended:?}, not {usual:?}\n{}", tail(&seen.log));
    if ended == usual {
        Vec::new()
    } else {
        vec![wrong]
    }
}

fn tail(log: &str) -> String {
    let lines: Vec<&str> = log
        .lines()
        .filter(|line| !line.starts_with("::add-mask"))
        .collect();
    lines[lines.len().saturating_sub(12)..].join("\n")
}

/// Every case, or the sample of the gate.
async fn cases(work: Work, all: bool) -> Vec<Case> {
    let mut cases = Vec::new();
    // Until it fails, a failed update asks what every update asks; the gate plays that part with those.
    let known = match work {
        Work::FailedUpdate if !all => Work::Update.requests().await,
        _ => [("", 0), ("", 0)],
    };
    for ((site, count), (_, known)) in work.requests().await.into_iter().zip(known) {
        for k in known / 2 + 1..=count {
            let case = |trouble| Case {
                work,
                site,
                k,
                trouble,
            };
            cases.push(case(Trouble::Kill));
            if site == "cluster" {
                let mine = |at: usize| all || at == k % TROUBLES.len();
                let picked = TROUBLES.iter().enumerate().filter(|(at, _)| mine(*at));
                cases.extend(picked.map(|(_, trouble)| case(*trouble)));
            }
        }
    }
    cases
}

/// What both versions are made of when nothing goes wrong.
struct Wanted([Vec<String>; 2]);

impl Wanted {
    async fn find() -> Self {
        let shop = fixture::open().await;
        fixture::deployed(&shop).await;
        let first = ends::objects(&shop, &fixture::head(&shop));
        let event = fixture::pushes(&shop, Version::Second);
        let seen = fixture::run(&shop, &event).go().await;
        seen.ends(0, "deployed");
        let second = ends::objects(&shop, &fixture::head(&shop));
        Self([first, second])
    }

    fn of(&self, version: Version) -> &[String] {
        &self.0[version as usize]
    }
}

/// Plays every case on a few threads, each with a world at a time: nothing that a run does has to move between threads.
fn play_all(cases: Vec<Case>, wanted: &Wanted) -> Vec<Played> {
    let (cases, ended) = (Mutex::new(cases), Mutex::new(Vec::new()));
    let next = || cases.lock().unwrap().pop();
    std::thread::scope(|threads| {
        for _ in 0..ABREAST {
            threads.spawn(|| {
                alone(async {
                    let mut left = None;
                    while let Some(case) = next() {
                        let one = case.play(&mut left, wanted).await;
                        ended.lock().unwrap().push(one);
                    }
                });
            });
        }
    });
    ended.into_inner().unwrap()
}

fn alone<T>(story: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(story)
}

fn every_fault_of(work: Work) {
    let begun = Instant::now();
    let all = std::env::var("FAULTS").is_ok_and(|value| value == "all");
    let wanted = alone(Wanted::find());
    let cases = alone(cases(work, all));
    let count = cases.len();
    let ended = play_all(cases, &wanted);
    let met = ended.iter().filter(|(met, _)| *met).count();
    let took = begun.elapsed();
    println!(
        "{work:?}: {met} of {count} faults met, in {:.1} s, {} ms each",
        took.as_secs_f64(),
        took.as_millis() / count as u128
    );
    let wrong: Vec<String> = ended.into_iter().flat_map(|(_, wrong)| wrong).collect();
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n\n")
    );
    // The last requests are not made every time: readiness may be seen one question earlier.
    assert!(
        met * 10 >= count * 9 && count >= 20,
        "only {met} of {count} faults were met"
    );
}

macro_rules! works {
    ($($name:ident: $work:ident,)*) => {
        $(
            #[test]
            fn $name() {
                every_fault_of(Work::$work);
            }
        )*
    };
}

works! {
    a_first_deploy_survives_a_fault_at_each_of_its_requests: FirstDeploy,
    an_update_survives_a_fault_at_each_of_its_requests: Update,
    a_failed_update_survives_a_fault_at_each_of_its_requests: FailedUpdate,
    a_removal_survives_a_fault_at_each_of_its_requests: Removal,
    a_sweep_survives_a_fault_at_each_of_its_requests: Sweep,
}
