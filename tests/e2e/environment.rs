//! Turns an event and a workflow's inputs into the variables a container action gets, and its output file into values,
//! by the rules of GitHub's runner (`GitHubContext.cs`, `Handler.cs`, `FileCommandManager.cs`).
//! It must not know what the action makes of them. The commit in `GITHUB_SHA` is wrong on purpose, as GitHub's merge
//! commit is: nothing was built from it.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::runner::Step;
use crate::world::{World, root};

/// What the runner puts into a container action's environment besides its inputs.
pub(crate) fn github_environment(world: &World, step: &Step<'_>) -> BTreeMap<String, String> {
    let (payload, api) = (step.payload, world.address("GITHUB_API"));
    let text = |pointer: &str| {
        payload
            .pointer(pointer)
            .map(|value| {
                value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned)
            })
            .unwrap_or_default()
    };
    let on_pull_request = step.event == "pull_request";
    let (reference, short) = match on_pull_request {
        true => (
            format!("refs/pull/{}/merge", text("/number")),
            format!("{}/merge", text("/number")),
        ),
        false => ("refs/heads/main".to_owned(), "main".to_owned()),
    };
    let branch = |pointer: &str| {
        if on_pull_request {
            text(pointer)
        } else {
            String::new()
        }
    };
    let workflow = format!(
        "{}/.github/workflows/preview.yml@{reference}",
        text("/repository/full_name")
    );
    // a merge commit of GitHub's own making: whoever deploys it deploys what no image was made for
    let merge = "0123456789abcdef0123456789abcdef01234567";
    let pairs = [
        ("CI", "true"),
        ("GITHUB_ACTIONS", "true"),
        ("HOME", "/github/home"),
        ("GITHUB_ACTION", "__acme_preview-action"),
        ("GITHUB_ACTION_REF", "v1"),
        ("GITHUB_ACTION_REPOSITORY", "acme/preview-action"),
        ("GITHUB_ACTOR", &text("/sender/login")),
        ("GITHUB_ACTOR_ID", &text("/sender/id")),
        ("GITHUB_TRIGGERING_ACTOR", &text("/sender/login")),
        ("GITHUB_API_URL", api),
        ("GITHUB_SERVER_URL", api),
        ("GITHUB_GRAPHQL_URL", &format!("{api}/graphql")),
        ("GITHUB_BASE_REF", &branch("/pull_request/base/ref")),
        ("GITHUB_HEAD_REF", &branch("/pull_request/head/ref")),
        ("GITHUB_EVENT_NAME", step.event),
        ("GITHUB_EVENT_PATH", "/github/workflow/event.json"),
        ("GITHUB_JOB", "preview"),
        ("GITHUB_REF", &reference),
        ("GITHUB_REF_NAME", &short),
        ("GITHUB_REF_PROTECTED", "false"),
        ("GITHUB_REF_TYPE", "branch"),
        ("GITHUB_REPOSITORY", &text("/repository/full_name")),
        ("GITHUB_REPOSITORY_ID", &text("/repository/id")),
        ("GITHUB_REPOSITORY_OWNER", &text("/repository/owner/login")),
        ("GITHUB_REPOSITORY_OWNER_ID", &text("/repository/owner/id")),
        ("GITHUB_RETENTION_DAYS", "90"),
        ("GITHUB_RUN_ATTEMPT", "1"),
        ("GITHUB_RUN_ID", "4711"),
        ("GITHUB_RUN_NUMBER", "1"),
        ("GITHUB_SHA", merge),
        ("GITHUB_WORKFLOW", "preview"),
        ("GITHUB_WORKFLOW_REF", &workflow),
        ("GITHUB_WORKFLOW_SHA", merge),
        ("GITHUB_WORKSPACE", "/github/workspace"),
        ("GITHUB_OUTPUT", "/github/file_commands/set_output_e2e"),
        ("GITHUB_ENV", "/github/file_commands/set_env_e2e"),
        ("GITHUB_STATE", "/github/file_commands/save_state_e2e"),
        ("GITHUB_PATH", "/github/file_commands/add_path_e2e"),
        (
            "GITHUB_STEP_SUMMARY",
            "/github/file_commands/step_summary_e2e",
        ),
        ("RUNNER_ARCH", "X64"),
        ("RUNNER_ENVIRONMENT", "self-hosted"),
        ("RUNNER_NAME", "e2e"),
        ("RUNNER_OS", "Linux"),
        ("RUNNER_TEMP", "/github/runner_temp"),
        ("RUNNER_TOOL_CACHE", "/opt/hostedtoolcache"),
        ("RUNNER_WORKSPACE", "/github/workspace"),
        ("ACTIONS_RUNTIME_TOKEN", RUNTIME_TOKEN),
        ("ACTIONS_RUNTIME_URL", "http://127.0.0.1:9/"),
        ("ACTIONS_RESULTS_URL", "http://127.0.0.1:9/"),
    ];
    pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

/// A secret that every container action can read, and that must never leave it.
pub(crate) const RUNTIME_TOKEN: &str = "a-runtime-token-that-must-not-leak";

/// `INPUT_` and the name in capitals: only spaces become underscores, hyphens stay.
pub(crate) fn inputs(step: &Step<'_>) -> BTreeMap<String, String> {
    let action: Value =
        serde_saphyr::from_str(&std::fs::read_to_string(root().join("action.yml")).unwrap())
            .unwrap();
    let declared = action["inputs"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, input)| {
            let default = input["default"]
                .as_str()
                .unwrap_or_default()
                .replace("${{ github.token }}", step.token)
                .replace("${{ job.check_run_id }}", "51725241954");
            (name.clone(), default)
        });
    let given = step
        .with
        .iter()
        .map(|(name, value)| (name.clone(), value.clone()));
    declared
        .chain(given)
        .map(|(name, value)| {
            (
                format!("INPUT_{}", name.replace(' ', "_").to_uppercase()),
                value,
            )
        })
        .collect()
}

/// The runner's grammar of `GITHUB_OUTPUT`: `key=value`, or `key<<DELIMITER`, lines, the delimiter alone on a line.
pub(crate) fn file_command(text: &str) -> BTreeMap<String, String> {
    let mut lines = text.strip_suffix('\n').unwrap_or(text).split('\n');
    let mut values = BTreeMap::new();
    while let Some(line) = lines.next() {
        if line.is_empty() {
            continue;
        }
        let (plain, here) = (line.find('='), line.find("<<"));
        let (key, value) = match (plain, here) {
            (Some(at), here) if here.is_none_or(|here| at < here) => {
                (&line[..at], line[at + 1..].to_owned())
            }
            (_, Some(at)) => {
                let delimiter = &line[at + 2..];
                let mut value = Vec::new();
                loop {
                    match lines.next() {
                        Some(line) if line == delimiter => break,
                        Some(line) => value.push(line),
                        None => panic!(
                            "the runner refuses outputs whose delimiter {delimiter} is missing:\n{text}"
                        ),
                    }
                }
                (&line[..at], value.join("\n"))
            }
            _ => panic!("the runner refuses the line {line:?} in an output file"),
        };
        values.insert(key.to_owned(), value);
    }
    values
}
