//! The figures of real runs on the real API server, read by Prometheus' own parser.
//! What each preview uses is asked of the cluster, which measures nothing here, so it is what the pods ask for.

use crate::{
    race::{deploying, reason},
    stay::Stay,
    world::{Real, program, root},
};
use std::{
    io::Write as _,
    process::{Command, Stdio},
};

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_reads_the_figures_of_real_runs() {
    let Some(real) = Real::enter() else { return };
    real.image("race", "ok", "race");
    let stay = Stay::begin(real, "metrics");
    for pr in 1..=2 {
        let ended = deploying(&stay, pr).output().await.unwrap();
        assert_eq!(reason(&ended), "deployed", "{ended:?}");
    }
    let mut metrics = Command::new(program());
    metrics.args([
        "metrics",
        "--repository",
        "acme/shop",
        "--repository-id",
        "1001",
    ]);
    metrics.args(["--environment", &stay.environment]);
    metrics.env_clear().env("KUBECONFIG", real.deployer());
    let page = metrics.output().unwrap();
    assert!(page.status.success(), "{page:?}");
    let samples = parsed(&page.stdout);
    let has = |parts: &[&str]| {
        let all = |line: &&str| parts.iter().all(|part| line.contains(part));
        samples.lines().any(|line| all(&line))
    };
    assert!(has(&["\"preview_active\"", "} 2"]), "{samples}");
    assert!(
        has(&["\"preview_first_attempts\"", "outcome=\"ready\"", "} 2"]),
        "{samples}"
    );
    assert!(
        has(&["\"preview_deploy_seconds_count\"", "} 2"]),
        "{samples}"
    );
    let namespace = stay.namespace(2);
    assert!(
        has(&[
            "\"preview_cpu_cores\"",
            &namespace,
            "source=\"requests\"",
            "} 0.05"
        ]),
        "{samples}"
    );
    assert!(
        has(&["\"preview_quota_used_ratio\"", &namespace]),
        "{samples}"
    );
}

/// One line a sample, as Prometheus understands the page.
fn parsed(page: &[u8]) -> String {
    let mut parser = Command::new("go")
        .args(["run", "."])
        .current_dir(root().join("tests/cluster/openmetrics"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    parser.stdin.take().unwrap().write_all(page).unwrap();
    let output = parser.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(page));
    String::from_utf8(output.stdout).unwrap()
}
