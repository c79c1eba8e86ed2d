//! What the static binary costs by itself: its memory, and the time until its first request.
//! The world is the simulated one, so that nothing but the binary is measured.
//! The bars stand beside the figures, so that a change that breaks them is seen in the same run.

use preview_action::{
    cli::control_namespace,
    names::RepoId,
    runner::Context,
    simulate::{World, WorldOptions, github::NewPull},
};
use std::{
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// Most resident memory at any moment.
const MEMORY_KIB: u64 = 30 * 1024;

/// Longest time from the start of the process to its first request.
const FIRST_REQUEST: Duration = Duration::from_millis(50);

const BINARY: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/target/x86_64-unknown-linux-gnu/release/preview-action"
);

#[tokio::test(flavor = "multi_thread")]
async fn the_binary_is_small_and_starts_at_once() {
    assert!(
        Path::new(BINARY).exists(),
        "{BINARY} is missing: run .ci/image first"
    );
    let mut first = Vec::new();
    let mut peak = 0;
    for _ in 0..5 {
        let (until_first, memory) = deploy().await;
        first.push(until_first);
        peak = peak.max(memory);
    }
    first.sort_unstable();
    println!(
        "first request after {:?} (median of {:?}), peak memory {peak} KiB",
        first[2], first
    );
    assert!(first[2] <= FIRST_REQUEST, "{first:?}");
    assert!(peak <= MEMORY_KIB, "{peak} KiB");
}

/// One whole first deploy; time until the first request and peak memory in KiB.
async fn deploy() -> (Duration, u64) {
    let world = World::start(WorldOptions::default()).await.unwrap();
    world.cluster.put(&control_namespace()).unwrap();
    let repository = world.github.create_repository("acme/shop");
    world
        .github
        .commit("acme/shop", "main", &[("README.md", "shop")]);
    let pr = world.github.open_pull("acme/shop", NewPull::default());
    let folder = tempfile::tempdir().unwrap();
    let event = folder.path().join("event.json");
    let payload = world.github.pull_request_event("acme/shop", pr, "opened");
    std::fs::write(&event, payload.to_string()).unwrap();
    let context = Context {
        api_url: world.github.url(),
        server_url: "https://github.example".into(),
        repository: "acme/shop".parse().unwrap(),
        repository_id: Some(RepoId(repository)),
        event_name: "pull_request".into(),
        event_path: event,
        run_id: 1,
        run_attempt: 1,
        workspace: folder.path().into(),
        output: None,
        summary: None,
        actor: "dev".into(),
        triggering_actor: "dev".into(),
        workflow: Some("preview.yml".into()),
        workflow_sha: None,
        action: None,
        debug: false,
        temp: folder.path().into(),
    };
    let inputs = [
        ("INPUT_TOKEN", world.github.token()),
        ("INPUT_KUBECONFIG", world.cluster.kubeconfig()),
        ("INPUT_DOMAIN", "preview.example.test".into()),
        (
            "INPUT_IMAGES",
            "web=registry.example/web:{short-sha}".into(),
        ),
        ("INPUT_HEALTH", "off".into()),
    ];
    let begun = Instant::now();
    let mut child = Command::new(BINARY)
        .env_clear()
        .envs(context.variables())
        .envs(inputs)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    world.log.wait_until(|records| !records.is_empty()).await;
    let until_first = begun.elapsed();
    let mut peak = 0;
    let mut tick = tokio::time::interval(Duration::from_millis(2));
    let status = loop {
        // VmHWM only rises, so the last reading before the end is the peak.
        let text =
            std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        peak = peak.max(kib.unwrap_or_default());
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        tick.tick().await;
    };
    assert!(status.success(), "{status}");
    assert!(peak > 0);
    (until_first, peak)
}
