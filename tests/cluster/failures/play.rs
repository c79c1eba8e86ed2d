//! Breaks previews on the real cluster alone, several abreast, and says of each what was diagnosed and how fast.
//! It must not know what is broken; a case says what it breaks, and which sentences must come of it.
//! The time runs from the place in the ledger, just before the first object is applied, to the verdict, as whoever watches sees both.

use crate::{
    stay::Stay,
    world::{Real, program, variable},
};
use preview_action::{
    cli::{Player, parse},
    cluster::outcome::Failure,
    names::State,
    pipeline::Sandbox,
    report::StatusView,
    simulate::{World, WorldOptions},
};
use std::{
    sync::{Arc, LazyLock, Mutex},
    time::{Duration, Instant},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Cases that begin at once: a node that starts forty pods in the same second is slow at each of them.
static BEGINNERS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(2)));

/// What the bar allows over a class's grace.
const MARGIN: u64 = 5;

/// What the bar allows for a refusal by the API server.
pub(crate) const AT_ONCE: Option<u64> = Some(2);

/// What goes wrong, and what must be said of it.
pub(crate) struct Broken {
    pub(crate) name: &'static str,
    /// Configuration after its version.
    pub(crate) config: &'static str,
    /// Text of `deploy/own.yaml`; `${registry}` and `${local}` are filled.
    pub(crate) own: &'static str,
    /// The same in a second commit, for what breaks only then.
    pub(crate) then: &'static str,
    /// More inputs, one a line.
    pub(crate) inputs: &'static str,
    /// What stands for `${local}`: an address in this process.
    pub(crate) local: Option<String>,
    /// Done as the administrator before the first step.
    pub(crate) before: fn(&Stay),
    /// Done as the administrator before the second commit.
    pub(crate) between: fn(&Stay),
    /// Done as the administrator at the end, however it went.
    pub(crate) after: fn(&Stay),
    pub(crate) reason: &'static str,
    /// Parts of the sentence of cause.
    pub(crate) cause: &'static [&'static str],
    pub(crate) remedy: &'static [&'static str],
    /// Parts of the evidence.
    pub(crate) evidence: &'static [&'static str],
    /// Grace of the class in seconds; the bar is five more.
    pub(crate) grace: u64,
    /// The bar itself, where it is not grace and margin.
    pub(crate) bar: Option<u64>,
    pub(crate) ends: Ends,
}

/// How the last step ends.
#[derive(PartialEq, Clone, Copy)]
pub(crate) enum Ends {
    Failed,
    /// Ready, and the sentences are a warning.
    Warned,
}

/// Whatever a case does not say.
pub(crate) const USUAL: Broken = Broken {
    name: "",
    config: "",
    own: "",
    then: "",
    inputs: "",
    local: None,
    before: |_| {},
    between: |_| {},
    after: |_| {},
    reason: "",
    cause: &[],
    remedy: &[],
    evidence: &[],
    grace: 0,
    bar: None,
    ends: Ends::Failed,
};

/// Plays cases abreast; every one that is wrong is told.
pub(crate) fn abreast(cases: Vec<Broken>) {
    let Some(real) = Real::enter() else { return };
    if variable("PREVIEW_TEST_PREPARE").is_some() {
        println!("skipped: these cases need the images of tests/cluster/cluster");
        return;
    }
    let only = variable("PREVIEW_TEST_ONLY");
    let wanted = |case: &Broken| only.as_deref().is_none_or(|only| case.name.contains(only));
    let threads: Vec<_> = cases
        .into_iter()
        .filter(wanted)
        .map(|case| std::thread::spawn(move || alone(real, &case)))
        .collect();
    let results = threads.into_iter().map(|thread| match thread.join() {
        Ok(result) => result,
        Err(_) => Err("a case panicked; see above".into()),
    });
    let wrong: Vec<String> = results.filter_map(Result::err).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// What was seen of a run.
#[derive(Default)]
struct Story {
    begun: Option<Instant>,
    placed: Option<Instant>,
    verdict: Option<Instant>,
    last: Option<StatusView>,
    /// Given back once the case has its place.
    turn: Option<OwnedSemaphorePermit>,
}

fn alone(real: &'static Real, case: &Broken) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let turn = Arc::clone(&BEGINNERS).acquire_owned();
    let turn = runtime.block_on(turn).unwrap();
    let stay = Stay::begin(real, &format!("f-{}", case.name));
    (case.before)(&stay);
    let result = runtime.block_on(play(&stay, case, turn));
    (case.after)(&stay);
    runtime.shutdown_background();
    result
}

async fn play(stay: &Stay, case: &Broken, turn: OwnedSemaphorePermit) -> Result<(), String> {
    let mut turn = Some(turn);
    let scenario = parse(&stay.inside(&text(stay, case))).unwrap();
    let world = World::start(WorldOptions::default()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut player = Player::new(
        &scenario,
        &world.github,
        stay,
        Sandbox {
            program: program().into(),
        },
        folder.path().to_owned(),
        stay.inputs(),
    );
    let mut said = (Story::default(), String::new());
    for (number, step) in scenario.steps.iter().enumerate() {
        if number == 1 {
            (case.between)(stay);
        }
        let story = Arc::new(Mutex::new(Story {
            turn: turn.take(),
            ..Story::default()
        }));
        let told = Arc::clone(&story);
        let watch = Arc::new(move |view: &StatusView| {
            let mut story = told.lock().unwrap();
            story.begun.get_or_insert_with(Instant::now);
            if view.slot.is_some() {
                story.placed.get_or_insert_with(Instant::now);
                story.turn = None;
            }
            if matches!(view.state, State::Failed | State::Ready) {
                story.verdict.get_or_insert_with(Instant::now);
            }
            story.last = Some(view.clone());
        });
        let seen = player.step(step, watch).await.unwrap();
        let story = std::mem::take(&mut *story.lock().unwrap());
        said = (story, seen.log);
    }
    let (story, log) = said;
    judge(case, &story).map_err(|wrong| format!("{}: {wrong}\nlog of the run:\n{log}", case.name))
}

/// Compares what was said with what must be, and prints the measured line.
fn judge(case: &Broken, story: &Story) -> Result<(), String> {
    let view = story.last.as_ref().ok_or("nothing was shown")?;
    let took = match (story.placed, story.verdict) {
        (Some(placed), Some(verdict)) => verdict - placed,
        // What has a grace of its own before there is a place: a Namespace that does not go.
        (None, Some(verdict)) if case.grace > 0 => verdict - story.begun.unwrap_or(verdict),
        // What is refused before there is a place takes no time from then on.
        (None, Some(_)) => Duration::ZERO,
        _ => return Err(format!("no verdict: {:?}", view.state)),
    };
    let bar = case.bar.unwrap_or(case.grace + MARGIN);
    let failure = view.failures.first();
    let (reason, cause, remedy) = match (case.ends, failure) {
        (Ends::Failed, Some(first)) => (
            first.reason.as_str(),
            first.cause.clone(),
            first.remedy.clone(),
        ),
        (Ends::Warned, None) => {
            let warnings = view.warnings.join("\n");
            (case.reason, warnings.clone(), warnings)
        }
        (_, failure) => {
            return Err(format!(
                "ended as {:?}: {failure:?} {:?}",
                view.state, view.warnings
            ));
        }
    };
    println!(
        "| {:22} | {:24} | {:5.1} s | {:3} s | {cause} | {remedy} |",
        case.name,
        reason,
        took.as_secs_f64(),
        bar,
    );
    let mut wrong = Vec::new();
    if reason != case.reason {
        wrong.push(format!("the code is {reason}, not {}", case.reason));
    }
    let evidence = failure.map(evidence).unwrap_or_default();
    for (what, text, parts) in [
        ("cause", &cause, case.cause),
        ("remedy", &remedy, case.remedy),
        ("evidence", &evidence, case.evidence),
    ] {
        let lacking = parts.iter().filter(|part| !text.contains(**part));
        wrong.extend(lacking.map(|part| format!("the {what} lacks {part:?}: {text}")));
    }
    if case.ends == Ends::Failed && took > Duration::from_secs(bar) {
        wrong.push(format!("the verdict took {took:?}, the bar is {bar} s"));
    }
    if wrong.is_empty() {
        return Ok(());
    }
    Err(format!(
        "{}\nall that was diagnosed: {:#?}",
        wrong.join("\n"),
        view.failures
    ))
}

fn evidence(failure: &Failure) -> String {
    let pieces = failure.evidence.iter();
    pieces
        .map(|piece| format!("{}\n{}\n", piece.title, piece.text))
        .collect()
}

fn text(stay: &Stay, case: &Broken) -> String {
    let indented = |text: &str, by: usize| {
        let lines = text
            .lines()
            .map(|line| format!("{}{line}\n", " ".repeat(by)));
        lines.collect::<String>()
    };
    let fill = |text: &str| {
        text.replace("${registry}", stay.real.registry())
            .replace("${local}", case.local.as_deref().unwrap_or_default())
    };
    let own = |text: &str, by: usize| indented(&fill(text), by);
    let (templates, file) = match case.own {
        "" => ("", String::new()),
        text => (
            "templates: [deploy/*.yaml]\n",
            format!("  deploy/own.yaml: |\n{}", own(text, 4)),
        ),
    };
    let second = match case.then {
        "" => String::new(),
        text => format!(
            "  - say: she pushes a commit\n    do:\n      push:\n        pr: 1\n        files:\n          deploy/own.yaml: |\n{}",
            own(text, 12)
        ),
    };
    let timeout = if case.inputs.contains("timeout") {
        ""
    } else {
        "  timeout: 100s\n"
    };
    format!(
        "title: {name}\nfiles:\n  .github/preview.yml: |\n    version: 1\n{config}{file}inputs:\n  domain: preview.example.test\n{timeout}{inputs}steps:\n  \
         - say: alice opens a pull request\n    do: {{open: {{pr: 1, branch: broken, title: Broken, by: alice}}}}\n{second}",
        name = case.name,
        config = indented(&format!("{}{templates}", fill(case.config)), 4),
        inputs = indented(&fill(case.inputs), 2),
    )
}
