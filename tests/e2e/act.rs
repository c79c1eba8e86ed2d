//! Turns an event into a run of a workflow by `act`, another implementation of GitHub's runner: of one `uses:` line, or a documented one.
//! It must not change the action: a scratch copy of `action.yml` differs only in naming the local image, as a release's
//! does. `act` cannot show cancellation, permissions or GitHub's paths; the other harness does.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};
use tokio::process::Command;

use crate::runner::{Finished, Step};
use crate::world::{World, root, text};

/// The inputs that a workflow takes from its secrets.
const SECRET: &str = "kubeconfig";

/// Runs the workflow of that documented file, or else one that has nothing but the step.
pub(crate) async fn run(world: &World, step: &Step<'_>, documented: Option<&str>) -> Finished {
    let scratch = tempfile::tempdir().unwrap();
    let (action, repository) = (scratch.path().join("action"), scratch.path().join("web"));
    std::fs::create_dir_all(&action).unwrap();
    std::fs::write(
        action.join("action.yml"),
        released(
            &std::fs::read_to_string(root().join("action.yml")).unwrap(),
            step.image,
        ),
    )
    .unwrap();
    let workflow = documented.map_or_else(|| one_line(step), |file| of_docs(file, step));
    check_out(&repository, step, &workflow);
    let event = scratch.path().join("event.json");
    std::fs::write(&event, step.payload.to_string()).unwrap();

    let began = Instant::now();
    let output = Command::new(world.address("ACT"))
        .args([
            step.event,
            "-W",
            ".github/workflows/preview.yml",
            "-P",
            "ubuntu-latest=preview-e2e-job:1",
            "--pull=false",
        ])
        .arg("-e")
        .arg(&event)
        .args(["-a", step.payload["sender"]["login"].as_str().unwrap()])
        .args(["-s", "GITHUB_TOKEN", "-s", "KUBECONFIG_TEXT"])
        .arg("--env")
        .arg(format!("GITHUB_API_URL={}", world.address("GITHUB_API")))
        .arg("--local-repository")
        .arg(format!("acme/preview-action@v1={}", action.display()))
        .env("GITHUB_TOKEN", step.token)
        .env("KUBECONFIG_TEXT", &step.with[SECRET])
        .env("ACT_DISABLE_VERSION_CHECK", "1")
        .env_remove("KUBECONFIG")
        .current_dir(&repository)
        .stdin(std::process::Stdio::null())
        .output()
        .await
        .unwrap();
    let took = began.elapsed();
    let log = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    let outputs = log
        .lines()
        .filter_map(|line| line.split_once("::set-output:: ")?.1.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.to_owned()));
    Finished {
        exit_code: output.status.code().unwrap_or(-1),
        outputs: outputs.collect(),
        summary: summary(&log),
        log,
        took,
    }
}

/// What `act` prints of the last job's summary file.
fn summary(log: &str) -> String {
    let lines = log
        .rsplit_once("Summary - ")
        .map_or("", |(_, rest)| rest)
        .lines();
    lines
        .take_while(|line| !line.starts_with('[') || line.contains("  | "))
        .collect::<Vec<_>>()
        .join("\n")
}

/// `action.yml` as a release has it: with an image to pull in place of a Dockerfile to build.
fn released(action: &str, image: &str) -> String {
    let line = action
        .lines()
        .find(|line| line.trim_start().starts_with("image:"))
        .expect("action.yml has an image");
    action.replace(line, &format!("  image: docker://{image}"))
}

/// What the step gives the action, with the credential as a secret.
fn with(step: &Step<'_>) -> BTreeMap<String, String> {
    let mut with = step.with.clone();
    let secret = "${{ secrets.KUBECONFIG_TEXT }}";
    with.insert(SECRET.to_owned(), secret.to_owned());
    with
}

fn one_line(step: &Step<'_>) -> Value {
    json!({
        "on": ["pull_request", "issue_comment"],
        "jobs": {"preview": {"runs-on": "ubuntu-latest", "steps": [{"uses": "acme/preview-action@v1", "with": with(step)}]}},
    })
}

/// A documented workflow: its jobs, conditions and what they hand on as they stand there, with the step's own server, cluster and
/// images. What builds an image only says so; it is there already.
fn of_docs(file: &str, step: &Step<'_>) -> Value {
    let text = std::fs::read_to_string(root().join(file)).unwrap();
    let mut workflow: Value = serde_saphyr::from_str(&text).unwrap();
    for job in workflow["jobs"].as_object_mut().unwrap().values_mut() {
        let steps = job["steps"].as_array_mut().unwrap();
        let uses = |one: &Value| {
            one["uses"]
                .as_str()
                .is_some_and(|uses| uses.contains("/preview-action@"))
        };
        steps.retain(uses);
        let Some(ours) = steps.first_mut() else {
            *steps = vec![json!({"run": "echo \"built $IMAGE\"", "shell": "sh"})];
            continue;
        };
        ours["uses"] = "acme/preview-action@v1".into();
        let plans = ours["with"]["mode"] == "plan";
        for (name, value) in with(step) {
            if !value.is_empty() && !(plans && name == SECRET) {
                ours["with"][name] = value.into();
            }
        }
    }
    workflow
}

/// A repository with that workflow, and with the remote that tells `act` its name.
fn check_out(repository: &Path, step: &Step<'_>, workflow: &Value) {
    let workflows = repository.join(".github/workflows");
    std::fs::create_dir_all(&workflows).unwrap();
    // JSON is YAML, and quotes every value
    std::fs::write(workflows.join("preview.yml"), workflow.to_string()).unwrap();
    let name = step.payload["repository"]["full_name"].as_str().unwrap();
    for arguments in [
        &["init", "--quiet", "--initial-branch=main"][..],
        &[
            "remote",
            "add",
            "origin",
            &format!("https://github.com/{name}.git"),
        ],
        &["add", "."],
        &[
            "-c",
            "user.name=alice",
            "-c",
            "user.email=alice@example.com",
            "commit",
            "--quiet",
            "--message",
            "workflow",
        ],
    ] {
        let mut git = std::process::Command::new("git");
        git.arg("-C").arg(repository).args(arguments);
        text(git);
    }
}
