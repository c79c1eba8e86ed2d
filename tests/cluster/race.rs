//! Fifty processes at once want three places: at no moment more than three previews have workloads, and all others stand in line.
//! Who came first is whoever was first to write that into the ledger: of processes that start at once nobody else knows. From there
//! on each version of the ledger is held against the one before it, as a watch saw them.
//! They are the real program on the real API server, without GitHub, each for a pull request of its own.
//! Who has workloads is seen by a watch from outside, never asked of the program.

use crate::{
    kill,
    same::readable,
    stay::Stay,
    watch::{Event, Watch},
    world::{Real, program, variable},
};
use preview_action::simulate::{World, WorldOptions, github};
use serde_json::Value;
use std::{
    collections::BTreeSet,
    process::{Output, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
};

const SHOP: &str = "acme/shop";

const PROCESSES: u64 = 50;
const PLACES: usize = 3;

/// How often fifty race; more often in the soak.
fn trials(usual: usize) -> usize {
    let asked = variable("PREVIEW_TEST_RACES").and_then(|text| text.parse().ok());
    asked.unwrap_or(usual)
}

/// Fifty processes at a time are what is asked for, so one race begins when the other is over.
static RACE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Ten times what removing a preview and giving its place away takes on a busy machine.
const STALL: Duration = Duration::from_secs(300);

#[tokio::test(flavor = "multi_thread")]
async fn fifty_processes_at_once_never_give_more_than_three_previews_workloads() {
    let Some(real) = Real::enter() else { return };
    let _alone = RACE.lock().await;
    real.image("race", "ok", "race");
    for trial in 1..=trials(3) {
        let stay = Stay::begin(real, &format!("race-{trial}"));
        let watch = Watch::begin(real, "deployments");
        let ledgers = Watch::begin(real, "configmaps");
        let begun = Instant::now();
        let runs = (1..=PROCESSES).map(|pr| deploy(&stay, pr));
        let ended = futures::future::join_all(runs).await;
        let took = begun.elapsed();
        let events = watch.end();
        let endings = Endings::of(&ended);
        println!(
            "race {trial}: {} deployed, {} queued, in {:.1} s; at most {} with workloads at once",
            endings.deployed,
            endings.queued,
            took.as_secs_f64(),
            most(&events, &stay)
        );
        assert_eq!(
            (endings.deployed, endings.queued),
            (PLACES, ended.len() - PLACES),
            "{:#?}",
            endings.others
        );
        assert!(most(&events, &stay) <= PLACES);
        let ever = with_workloads(&events, &stay);
        assert_eq!(
            ever,
            stay.namespaces().into_iter().collect(),
            "previews that had workloads, and Namespaces"
        );
        assert_eq!(
            ever,
            confirmed(&stay),
            "previews that had workloads, and holders in the ledger"
        );
        let versions = versions(&ledgers.end(), &stay);
        nobody_is_passed(&versions);
        let holds = holders(&stay).into_iter().map(|holder| holder.pr);
        in_line_are_all_but(&stay, &holds.collect(), &BTreeSet::new());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_becomes_free_goes_to_exactly_one_of_ten() {
    let Some(real) = Real::enter() else { return };
    real.image("race", "ok", "race");
    let stay = Stay::begin(real, "race-free");
    for pr in 1..=3 {
        let ended = deploy(&stay, pr).await;
        assert!(ended.status.success(), "{ended:?}");
    }
    let watch = Watch::begin(real, "deployments");
    // Nobody stands in line here: each of the ten is refused until the place is free.
    let removed = command(&stay, "remove", 1).output();
    let gone = AtomicBool::new(false);
    let runs = futures::future::join_all((11..=20).map(|pr| persistent(&stay, pr, &gone)));
    let both = async { tokio::join!(removed, runs) };
    let (removed, deployed) = tokio::time::timeout(STALL, both)
        .await
        .expect("nobody got the place that became free");
    let removed = removed.unwrap();
    assert!(removed.status.success(), "{removed:?}");
    let events = watch.end();
    assert!(most(&events, &stay) <= PLACES);
    assert_eq!(deployed.into_iter().filter(|deployed| *deployed).count(), 1);
    assert_eq!(confirmed(&stay).len(), PLACES);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_processes_leave_no_workloads_without_a_place_and_no_place_taken_for_ever() {
    let Some(real) = Real::enter() else { return };
    real.image("race", "ok", "race");
    let stay = Stay::begin(real, "race-killed");
    let watch = Watch::begin(real, "deployments");
    let killed = futures::future::join_all((1..=12).map(|pr| killed(&stay, pr))).await;
    println!(
        "race: {} of {} processes were killed",
        killed.iter().filter(|killed| **killed).count(),
        killed.len()
    );
    assert!(killed.contains(&true));
    let (events, held) = (watch.end(), holders(&stay));
    assert!(most(&events, &stay) <= PLACES && held.len() <= PLACES);
    let confirmed: BTreeSet<String> = held
        .iter()
        .filter(|holder| holder.confirmed)
        .map(|holder| holder.namespace.clone())
        .collect();
    let workloads = with_workloads(&events, &stay);
    assert!(
        workloads.is_subset(&confirmed),
        "workloads in {workloads:?}, places confirmed for {confirmed:?}"
    );
    let again = futures::future::join_all(held.iter().map(|holder| deploy(&stay, holder.pr))).await;
    for ended in &again {
        assert_eq!(reason(ended), "deployed", "{ended:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_third_of_fifty_is_killed_and_one_sweep_makes_three_holders_of_what_is_left() {
    let Some(real) = Real::enter() else { return };
    let _alone = RACE.lock().await;
    real.image("race", "ok", "race");
    for trial in 1..=trials(3) {
        let stay = Stay::begin(real, &format!("race-sweep-{trial}"));
        race_with_kills(&stay, trial).await;
    }
}

async fn race_with_kills(stay: &Stay, trial: usize) {
    let world = World::start(WorldOptions::default()).await.unwrap();
    assert_eq!(world.github.create_repository(SHOP), 1001);
    world.github.add_user("alice");
    world.github.set_permission(SHOP, "alice", "write", "write");
    // Whoever the sweep lets in is deployed by this; an input could not know whose image it names.
    let services = format!(
        "version: 1\nservices: {{web: {{image: \"{}/web:race\", port: 8080, public: true}}}}\n",
        stay.real.registry()
    );
    let files = [(".github/preview.yml", services.as_str())];
    world.github.commit(SHOP, "main", &files);
    for pr in 1..=PROCESSES {
        let pull = github::NewPull {
            number: Some(pr),
            branch: format!("feature-{pr}"),
            author: "alice".into(),
            ..github::NewPull::default()
        };
        world.github.open_pull(SHOP, pull);
    }
    let watch = Watch::begin(stay.real, "deployments");
    let ledgers = Watch::begin(stay.real, "configmaps");
    let mut draws = Draws::begin(trial);
    // One in three dies, each at another moment of its life.
    let fates: Vec<Option<Duration>> = (1..=PROCESSES)
        .map(|_| (draws.below(3) == 0).then(|| Duration::from_millis(draws.below(4000))))
        .collect();
    let runs = (1..=PROCESSES).zip(fates).map(|(pr, fate)| {
        let head = world.github.head(SHOP, pr);
        async move {
            let mut process = deploying_image(stay, pr, &head, "race")
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let Some(moment) = fate else {
                process.wait().await.unwrap();
                return None;
            };
            match tokio::time::timeout(moment, process.wait()).await {
                Ok(_) => None,
                Err(_) => process.kill().await.ok().map(|()| pr),
            }
        }
    });
    let killed: BTreeSet<u64> = futures::future::join_all(runs)
        .await
        .into_iter()
        .flatten()
        .collect();
    assert!(killed.len() >= 5, "only {killed:?} were killed");
    let folder = tempfile::tempdir().unwrap();
    all_seem_dead(stay).await;
    let swept = kill::sweeping(stay, &world, folder.path())
        .env("INPUT_AUTO-DEPLOY", "false")
        .env("INPUT_MAX-PREVIEWS", "3")
        .env("INPUT_HEALTH", "off")
        .output()
        .await
        .unwrap();
    assert!(swept.status.success(), "{swept:?}");
    let held = holders(stay);
    assert!(
        held.len() == PLACES && held.iter().all(|holder| holder.confirmed),
        "after one sweep: {:?}\nit said:\n{}",
        stay.ledger(),
        readable(&String::from_utf8_lossy(&swept.stdout))
    );
    let versions = versions(&ledgers.end(), stay);
    nobody_is_passed(&versions);
    let ever: BTreeSet<u64> = versions.iter().flat_map(wanting).collect();
    assert!(ever.len() > PLACES, "the watch has seen the ledger");
    let last = wanting(&stay.ledger().expect("a ledger"));
    let lost: Vec<u64> = ever.difference(&last).copied().collect();
    assert_eq!(
        lost, [0; 0],
        "who had a slot, a claim or a place at any moment has one still"
    );
    let events = watch.end();
    let placed = killed.intersection(&ever).count();
    println!(
        "race {trial} with kills: {} of {PROCESSES} killed, {placed} of them with a slot, a claim or a place; at most {} with workloads at once",
        killed.len(),
        most(&events, stay)
    );
    assert!(most(&events, stay) <= PLACES);
    let holds: BTreeSet<u64> = held.iter().map(|holder| holder.pr).collect();
    in_line_are_all_but(stay, &holds, &killed);
}

/// Waits until runs that were killed do not count as being at work any more; until then a sweep leaves previews to them.
pub(crate) async fn all_seem_dead(stay: &Stay) {
    let dead = tokio::time::timeout(STALL, async {
        while !everybody_seems_dead(stay) {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    dead.await.expect("runs that were killed seem dead at last");
}

/// True when nothing of a killed run counts as alive: a run's turn ends half a minute after its last sign of life, a claim that
/// nobody confirmed two minutes after it was made.
fn everybody_seems_dead(stay: &Stay) -> bool {
    let ledger = stay.ledger().expect("a ledger");
    let older = |at: &Value, seconds: i64| {
        let at: jiff::Timestamp = at.as_str().expect("a time").parse().unwrap();
        jiff::Timestamp::now().duration_since(at).as_secs() > seconds
    };
    let holders = ledger["holders"].as_array().expect("holders");
    let claims = holders.iter().filter(|holder| !holder["uid"].is_string());
    let records = ledger["previews"].as_object().expect("records").values();
    let active = records.map(|record| &record["active"]["heartbeat"]);
    claims.map(|claim| &claim["since"]).all(|at| older(at, 121))
        && active.filter(|at| at.is_string()).all(|at| older(at, 31))
}

/// Pull requests that hold a slot, confirmed or not, or stand in line.
fn wanting(ledger: &Value) -> BTreeSet<u64> {
    let all = ["holders", "queue"].iter();
    all.flat_map(|of| listed(ledger, of)).collect()
}

/// Pull requests that hold a slot, or that stand in line, in the ledger's order.
fn listed(ledger: &Value, of: &str) -> Vec<u64> {
    let all = ledger[of].as_array().expect("a list").iter();
    all.map(|one| one["pr"].as_u64().expect("a number"))
        .collect()
}

/// Every version of the ledger that a watch has seen.
fn versions(events: &[Event], stay: &Stay) -> Vec<Value> {
    let ledgers = events.iter().filter(|event| stay.is_ledger(event.name()));
    ledgers
        .filter_map(|event| event.object["data"]["state.json"].as_str())
        .map(|text| serde_json::from_str(text).expect("a ledger"))
        .collect()
}

/// Checks that nobody ever got a slot while a slot was not left for each who stood before them in line.
fn nobody_is_passed(versions: &[Value]) {
    assert!(versions.len() > 1, "the watch has seen the ledger");
    for (before, after) in versions.iter().zip(&versions[1..]) {
        let held = listed(before, "holders");
        let (holds, line) = (listed(after, "holders"), listed(after, "queue"));
        let free = PLACES.saturating_sub(holds.len());
        for newcomer in holds.iter().filter(|pr| !held.contains(pr)) {
            let stood = listed(before, "queue");
            let ahead = stood.iter().take_while(|pr| *pr != newcomer);
            let waits = ahead.filter(|pr| line.contains(pr)).count();
            assert!(
                waits <= free,
                "#{newcomer} passed somebody: {stood:?} became {line:?}, {holds:?} hold the slots"
            );
        }
    }
}

/// Numbers that look random and are the same for the same seed: a red gate has to be the change's own fault.
struct Draws(u64);

impl Draws {
    fn begin(trial: usize) -> Self {
        let asked = variable("PREVIEW_TEST_SEED").and_then(|text| text.parse().ok());
        let seed: u64 = asked.unwrap_or(42);
        Self(seed.wrapping_add(trial as u64))
    }

    fn below(&mut self, bound: u64) -> u64 {
        // SplitMix64, whose neighbouring seeds have nothing in common.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// Kills a deploy at some moment after it took its turn, as the kernel would; true if it was still at work.
async fn killed(stay: &Stay, pr: u64) -> bool {
    let mut command = deploying(stay, pr);
    let mut process = command
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
    let word = if pr % 2 == 0 { "pending" } else { "deploying" };
    while let Some(line) = lines.next_line().await.unwrap() {
        if line.contains(word) {
            // Each dies a little later than the one before, so that every request is somebody's last.
            let later = Duration::from_millis(15 * pr);
            return match tokio::time::timeout(later, process.wait()).await {
                Ok(_) => false,
                Err(_) => process.kill().await.is_ok(),
            };
        }
    }
    process.wait().await.unwrap();
    false
}

/// Asks again and again until the place is gone, and once more after that; true if it was got.
async fn persistent(stay: &Stay, pr: u64, gone: &AtomicBool) -> bool {
    loop {
        let last = gone.load(Ordering::SeqCst);
        let mut asking = deploying(stay, pr);
        let ended = asking
            .args(["--when-full", "refuse"])
            .output()
            .await
            .unwrap();
        assert!(ended.status.success(), "{ended:?}");
        if reason(&ended) == "deployed" {
            gone.store(true, Ordering::SeqCst);
            return true;
        }
        if last {
            return false;
        }
    }
}

async fn deploy(stay: &Stay, pr: u64) -> Output {
    deploying(stay, pr).output().await.unwrap()
}

pub(crate) fn deploying(stay: &Stay, pr: u64) -> Command {
    deploying_image(stay, pr, &format!("{pr:040x}"), "race")
}

pub(crate) fn deploying_image(stay: &Stay, pr: u64, sha: &str, tag: &str) -> Command {
    let image = format!("web={}/web:{tag}", stay.real.registry());
    let mut command = command(stay, "deploy", pr);
    command.args(["--sha", sha, "--images", &image, "--domain", &stay.domain()]);
    command.args(["--max-previews", "3", "--timeout", "60s", "--health", "off"]);
    command
}

pub(crate) fn command(stay: &Stay, verb: &str, pr: u64) -> Command {
    let mut command = Command::new(program());
    let pr = pr.to_string();
    command.args([verb, "--output", "json", "--repository", "acme/shop"]);
    command.args(["--repository-id", "1001", "--pr", &pr]);
    command.args(["--environment", &stay.environment]);
    command.args(["--namespace-pattern", "pr-{repo}-{number}-{environment}"]);
    command.env_clear().env("KUBECONFIG", stay.real.deployer());
    command.current_dir(stay.real.empty()).stdin(Stdio::null());
    command.kill_on_drop(true);
    command
}

/// What became of all processes.
struct Endings {
    deployed: usize,
    queued: usize,
    others: Vec<String>,
}

impl Endings {
    fn of(ended: &[Output]) -> Self {
        let reasons: Vec<String> = ended.iter().map(reason).collect();
        let count = |code: &str| reasons.iter().filter(|reason| *reason == code).count();
        let expected = ["deployed", "queued"];
        let others = ended
            .iter()
            .zip(&reasons)
            .filter(|(_, reason)| !expected.contains(&reason.as_str()));
        Self {
            deployed: count("deployed"),
            queued: count("queued"),
            others: others.map(|(output, _)| format!("{output:?}")).collect(),
        }
    }
}

/// Checks that everybody stands in line once, in the order in which they came, but for those who hold a slot or were killed.
fn in_line_are_all_but(stay: &Stay, holds: &BTreeSet<u64>, killed: &BTreeSet<u64>) {
    let ledger = stay.ledger().expect("a ledger");
    let line = ledger["queue"].as_array().expect("a queue").clone();
    let prs: Vec<u64> = line.iter().map(|one| one["pr"].as_u64().unwrap()).collect();
    let distinct: BTreeSet<u64> = prs.iter().copied().collect();
    assert_eq!(
        distinct.len(),
        prs.len(),
        "somebody stands in line twice: {prs:?}"
    );
    assert!(distinct.is_disjoint(holds), "{prs:?} and {holds:?}");
    let all = (1..=PROCESSES).filter(|pr| !holds.contains(pr) && !killed.contains(pr));
    let lost: Vec<u64> = all.filter(|pr| !distinct.contains(pr)).collect();
    assert_eq!(lost, Vec::<u64>::new(), "who lived and is not in line");
    // A claim of a killed one stands first again, whenever it was made.
    let lives = |one: &&Value| !killed.contains(&one["pr"].as_u64().unwrap());
    // The server's date has whole seconds.
    let second = |at: &Value| at.as_str().unwrap()[..19].to_owned();
    let came = |one: &Value| match &one["waited"] {
        Value::Null => second(&one["since"]),
        waited => second(waited),
    };
    let since: Vec<String> = line.iter().filter(lives).map(came).collect();
    assert!(since.is_sorted(), "somebody was overtaken: {since:?}");
    let held = ledger["holders"].as_array().expect("holders");
    let last = held.iter().filter(lives).map(came).max();
    assert!(
        since.first() >= last.as_ref() || since.is_empty(),
        "of those who hold a slot the last came at {last:?}, of those who wait the first at {since:?}"
    );
}

/// Reason code in the result that a process printed.
pub(crate) fn reason(output: &Output) -> String {
    let result: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    result["reasonCode"].as_str().unwrap_or_default().to_owned()
}

/// The most previews that had workloads at one moment.
fn most(events: &[Event], stay: &Stay) -> usize {
    let mut now = BTreeSet::new();
    let mut most = 0;
    for event in events.iter().filter(|event| is_here(event, stay)) {
        let which = (event.namespace(), event.kind(), event.name());
        if event.deleted {
            now.remove(&which);
        } else {
            now.insert(which);
        }
        let previews: BTreeSet<&str> = now.iter().map(|(namespace, ..)| *namespace).collect();
        most = most.max(previews.len());
    }
    most
}

/// Every preview that ever had workloads.
fn with_workloads(events: &[Event], stay: &Stay) -> BTreeSet<String> {
    let here = events.iter().filter(|event| is_here(event, stay));
    here.map(|event| event.namespace().to_owned()).collect()
}

fn is_here(event: &Event, stay: &Stay) -> bool {
    event
        .namespace()
        .ends_with(&format!("-{}", stay.environment))
}

/// A preview that has a place.
struct Holder {
    pr: u64,
    namespace: String,
    confirmed: bool,
}

fn holders(stay: &Stay) -> Vec<Holder> {
    let ledger = stay.ledger().expect("a ledger");
    let all = ledger["holders"].as_array().expect("holders").iter();
    all.map(|holder| Holder {
        pr: holder["pr"].as_u64().unwrap(),
        namespace: holder["namespace"].as_str().unwrap().to_owned(),
        confirmed: holder["uid"].is_string(),
    })
    .collect()
}

/// Namespaces of all holders, none of which is an unconfirmed claim.
fn confirmed(stay: &Stay) -> BTreeSet<String> {
    let all = holders(stay);
    assert!(
        all.iter().all(|holder| holder.confirmed),
        "an unconfirmed claim is left"
    );
    all.into_iter().map(|holder| holder.namespace).collect()
}
