//! One fault at each request of each use case: the run copes or says so, and the next run makes everything good.
//! The gate draws two faults a request, always the same ones; `FAULTS=all` plays every one, as `.ci/soak faults` does.
//! A run that is killed is a future that is dropped; faults of the others come from a proxy's repertoire.

use crate::support::{Event, SHOP, Seen, Shop};
use futures::{StreamExt, stream};
use preview_action::simulate::{Action, Fault, cluster::Fate};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Cases that are played at once.
const ABREAST: usize = 8;

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
    /// A shop and the event whose run is disturbed.
    async fn begun(self) -> (Shop, Event) {
        let shop = Shop::open().await;
        if self == Self::FirstDeploy {
            let event = shop.opens(1);
            return (shop, event);
        }
        shop.deployed(1).await;
        let event = match self {
            Self::FirstDeploy | Self::Update => shop.pushes(1),
            Self::FailedUpdate => {
                shop.world.cluster.script_fate("web", Fate::Crash);
                shop.pushes(1)
            }
            Self::Removal => shop.closes(1),
            Self::Sweep => {
                shop.world.github.close(SHOP, 1);
                shop.schedule()
            }
        };
        (shop, event)
    }

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
        let (shop, event) = self.begun().await;
        let since = shop.now();
        let seen = shop.hears(&event).await;
        let (exit, reason) = self.usual();
        seen.ends(exit, reason);
        ["cluster", "github"].map(|site| (site, shop.requests(site, since).len()))
    }

    /// The run that comes after, in turns: the next push or the close, the event again or the schedule; true if nothing is to be left.
    async fn next(self, shop: &Shop, k: usize, killed: bool) -> (Seen, bool) {
        let even = k.is_multiple_of(2);
        let event = match self {
            Self::Removal if even => shop.pull_event(1, "closed"),
            Self::Removal | Self::Sweep => shop.schedule(),
            Self::FirstDeploy if even && killed => shop.closes(1),
            _ => {
                shop.world.cluster.script_fate("web", Fate::Ready);
                shop.pushes(1)
            }
        };
        let gone = event.name != "pull_request";
        (shop.hears(&event).await, gone)
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
    async fn play(self, wanted: &[String]) -> (bool, Vec<String>) {
        let mut wrong = Vec::new();
        let (shop, event) = self.work.begun().await;
        let killed = self.trouble == Trouble::Kill;
        let met;
        if killed {
            met = shop.run(&event).dies_at(self.site, self.k).await;
            // A run that is silent for half a minute is dead.
            shop.world.advance(Duration::from_secs(31));
        } else {
            let fault = Fault::on("*", "/**", self.trouble.action());
            shop.world.cluster.inject(fault.nth(self.k));
            let since = shop.now();
            let seen = shop.hears(&event).await;
            shop.world.cluster.clear_faults();
            met = shop.requests("cluster", since).len() >= self.k;
            let ended = (seen.exit, seen.output("reason-code"));
            if ended != self.work.usual() {
                wrong.push(format!("it ended {ended:?}\n{}", tail(&seen.log)));
            }
        }
        let (next, closed) = self.work.next(&shop, self.k, killed).await;
        if next.exit != 0 {
            let reason = next.output("reason-code");
            wrong.push(format!(
                "the next run ended {} {reason}\n{}",
                next.exit,
                tail(&next.log)
            ));
        }
        wrong.extend(if closed {
            gone(&shop)
        } else {
            live(&shop, wanted).await
        });
        wrong.extend(shop.world.unexpected());
        let when = format!("{self:?}");
        let wrong = wrong.iter().map(|one| format!("{when}: {one}"));
        (met, wrong.collect())
    }
}

fn tail(log: &str) -> String {
    let lines: Vec<&str> = log
        .lines()
        .filter(|line| !line.starts_with("::add-mask"))
        .collect();
    lines[lines.len().saturating_sub(12)..].join("\n")
}

/// What the preview of pull request 1 is made of, without what differs from run to run.
fn objects(shop: &Shop) -> Vec<String> {
    let head = shop.world.github.head(SHOP, 1);
    let kinds = [
        "ConfigMap",
        "Deployment",
        "Ingress",
        "LimitRange",
        "NetworkPolicy",
        "ResourceQuota",
        "Service",
    ];
    let mut all = Vec::new();
    for kind in kinds {
        for mut object in shop.world.cluster.objects(kind, "pr-shop-1") {
            let name = object["metadata"]["name"].as_str().unwrap().to_owned();
            let mut spec = object["spec"].take();
            for given in ["clusterIP", "clusterIPs"] {
                spec[given] = Value::Null;
            }
            let labels = &object["metadata"]["labels"];
            let text = format!("{kind}/{name} {labels} {spec}");
            all.push(text.replace(&head, "HEAD").replace(&head[..7], "HEAD"));
        }
    }
    all
}

fn ledger_faults(shop: &Shop, holders: &[u64]) -> Vec<String> {
    let mut wrong = Vec::new();
    if shop.holders() != holders {
        wrong.push(format!("holders {:?}", shop.holders()));
    }
    let record = &shop.ledger().unwrap_or_default()["previews"]["1"];
    for field in ["active", "removing"] {
        if !record[field].is_null() {
            wrong.push(format!("the ledger still has {field}: {record}"));
        }
    }
    let uid = |object: Value| object["metadata"]["uid"].clone();
    let there = shop
        .world
        .cluster
        .object("Namespace", "", "pr-shop-1")
        .map(uid);
    let held = shop.ledger().unwrap_or_default()["holders"][0]["uid"].clone();
    if there.unwrap_or_default() != held {
        wrong.push("the ledger names another namespace".into());
    }
    wrong
}

fn comment_faults(shop: &Shop, says: &str) -> Vec<String> {
    let comments = shop.status_comments(1);
    match comments.as_slice() {
        [one] if one.body.contains(says) => Vec::new(),
        [one] => vec![format!("the comment does not say {says:?}: {}", one.body)],
        several => vec![format!("{} status comments", several.len())],
    }
}

/// What is wrong with a preview that should be live at the head.
async fn live(shop: &Shop, wanted: &[String]) -> Vec<String> {
    let mut wrong = ledger_faults(shop, &[1]);
    wrong.extend(comment_faults(shop, "Preview ready"));
    let head = shop.world.github.head(SHOP, 1);
    wrong.extend(comment_faults(shop, &head[..7]));
    if shop.namespaces() != ["pr-shop-1"] {
        wrong.push(format!("namespaces {:?}", shop.namespaces()));
    }
    let objects = objects(shop);
    if objects != wanted {
        wrong.push(format!(
            "other objects: {objects:#?}\ninstead of {wanted:#?}"
        ));
    }
    wrong
}

/// What is left of a preview that should be gone.
fn gone(shop: &Shop) -> Vec<String> {
    let mut wrong = ledger_faults(shop, &[]);
    // A run that died before its first word has nothing to correct.
    if !shop.status_comments(1).is_empty() {
        wrong.extend(comment_faults(shop, "Preview removed"));
    }
    if !shop.namespaces().is_empty() {
        wrong.push(format!("namespaces {:?}", shop.namespaces()));
    }
    wrong
}

/// Every case, or the sample of the gate.
async fn cases(work: Work, all: bool) -> Vec<Case> {
    let mut cases = Vec::new();
    for (site, count) in work.requests().await {
        for k in 1..=count {
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

async fn every_fault_of(work: Work) {
    let begun = Instant::now();
    let wanted = {
        let shop = Shop::open().await;
        shop.deployed(1).await;
        objects(&shop)
    };
    let all = std::env::var("FAULTS").is_ok_and(|value| value == "all");
    let cases = cases(work, all).await;
    let count = cases.len();
    let ended: Vec<(bool, Vec<String>)> = stream::iter(cases)
        .map(|case| case.play(&wanted))
        .buffer_unordered(ABREAST)
        .collect()
        .await;
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
            #[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                every_fault_of(Work::$work).await;
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
