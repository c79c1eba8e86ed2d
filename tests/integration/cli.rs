//! The binary at a terminal: no workflow, and nothing in its environment.

use crate::{
    doors::{SHA, render},
    support::{ONE_SERVICE, Shop, binary, printed},
};
use assert_cmd::Command;
use predicates::{prelude::PredicateBooleanExt as _, str::contains};
use serde_json::Value;
use std::time::Duration;

const LATER: &str = "89abcdef0123456789abcdef0123456789abcdef";

fn preview(arguments: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command
        .env_clear()
        .args(arguments)
        .timeout(Duration::from_secs(60));
    command
}

fn output(arguments: &[&str]) -> String {
    let output = preview(arguments).output().unwrap();
    assert!(
        output.status.success(),
        "{arguments:?}: {}\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn every_command_explains_itself() {
    let commands = [
        "deploy", "rollback", "remove", "adopt", "sweep", "list", "status", "render", "diff",
        "check", "metrics", "simulate", "assess", "setup", "schema",
    ];
    let all = output(&["--help"]);
    for command in commands {
        assert!(all.contains(&format!("  {command} ")), "{command}: {all}");
        let help = output(&[command, "--help"]);
        assert!(
            help.starts_with(|c: char| c.is_uppercase()),
            "{command}: {help}"
        );
        assert!(help.contains("Usage: preview-action"), "{command}: {help}");
    }
    assert!(all.contains("Exit codes:"), "{all}");
    let also = output(&["undeploy", "--help"]);
    assert_eq!(also, output(&["remove", "--help"]), "the word of comments");
    assert!(
        !all.contains("render-templates"),
        "the renderer is nobody's business: {all}"
    );
    assert!(output(&["--version"]).starts_with("preview-action "));
}

#[test]
fn no_command_and_no_workflow_show_the_help() {
    preview(&[])
        .assert()
        .success()
        .stdout(contains("Usage: preview-action"));
}

#[test]
fn wrong_arguments_are_the_users_to_mend() {
    for (arguments, says) in [
        (&["deplyo"][..], "deploy"),
        (&["deploy"], "--repository"),
        (
            &["deploy", "--repository", "shop", "--pr", "1"],
            "--repository",
        ),
        (
            &["deploy", "--repository", "acme/shop", "--pr", "0"],
            "--pr",
        ),
        (
            &[
                "deploy",
                "--repository",
                "acme/shop",
                "--pr",
                "1",
                "--sha",
                "abc",
            ],
            "--sha",
        ),
        (
            &[
                "render",
                "--repository",
                "acme/shop",
                "--pr",
                "1",
                "--sha",
                SHA,
                "--ttl",
                "soon",
            ],
            "ttl",
        ),
        (&["setup", "--pull-secret", "registry"], "namespace/name"),
        (&["simulate", "nothing"], "life"),
        (&["list", "--output", "xml"], "json"),
        (&["list"], "kubeconfig"),
        (&["list", "--kubeconfig", "/nowhere"], "/nowhere"),
        (
            &[
                "deploy",
                "--repository",
                "acme/shop",
                "--pr",
                "1",
                "--sha",
                SHA,
            ],
            "--repository-id",
        ),
    ] {
        preview(arguments)
            .assert()
            .code(1)
            .stdout("")
            .stderr(contains(says));
    }
}

#[test]
fn what_half_looks_like_a_workflow_is_told_what_is_missing() {
    preview(&[])
        .env("GITHUB_ACTIONS", "true")
        .env("GITHUB_EVENT_NAME", "push")
        .assert()
        .code(1)
        .stderr(contains("GITHUB_API_URL"));
}

fn repository() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write(
        ".github/preview.yml",
        &format!("{ONE_SERVICE}templates: [deploy/*.yaml.j2]\n"),
    );
    write(
        "deploy/own.yaml.j2",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: own}\ndata: {commit: '{{ preview.short_sha }}'}\n",
    );
    folder
}

#[test]
fn rendering_needs_no_cluster_and_no_token() {
    let folder = repository();
    let directory = folder.path().to_str().unwrap();
    let arguments = render(directory, &[]);
    let text = output(&arguments);
    assert!(text.starts_with("---\n"), "{text}");
    let json = output(&render(directory, &["--output", "json"]));
    let objects: Vec<Value> = serde_json::from_str(&json).unwrap();
    assert_eq!(objects[0]["kind"], "Namespace");
    assert_eq!(objects[0]["metadata"]["name"], "pr-shop-12");
    let documents = text
        .split("---\n")
        .filter(|document| !document.trim().is_empty());
    assert_eq!(documents.count(), objects.len());
    let own = objects
        .iter()
        .find(|object| object["metadata"]["name"] == "own")
        .unwrap();
    assert_eq!(own["data"]["commit"], SHA[..7]);
    let image = &objects
        .iter()
        .find(|object| object["kind"] == "Deployment")
        .unwrap()["spec"]["template"]["spec"]["containers"][0]["image"];
    assert_eq!(image, &format!("registry.example/web:{}", &SHA[..7]));
    // But for the time at which it expires.
    let lines = |text: &str| {
        text.lines()
            .filter(|line| !line.contains("preview-action/expires:"))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        lines(&output(&arguments)),
        lines(&text),
        "the same is rendered every time"
    );
}

#[test]
fn a_template_error_shows_file_line_and_caret() {
    let folder = repository();
    let template =
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: own}\ndata: {a: {{ previw.number }}}\n";
    std::fs::write(folder.path().join("deploy/own.yaml.j2"), template).unwrap();
    let directory = folder.path().to_str().unwrap();
    preview(&render(directory, &[]))
        .assert()
        .code(1)
        .stdout("")
        .stderr(
            contains("deploy/own.yaml.j2:4:14")
                .and(contains("previw"))
                .and(contains("^")),
        );
}

#[test]
fn the_environment_is_not_seen_by_templates_nor_by_the_renderer() {
    let folder = repository();
    let template =
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: own}\ndata: {a: {{ env.HOME }}}\n";
    std::fs::write(folder.path().join("deploy/own.yaml.j2"), template).unwrap();
    let directory = folder.path().to_str().unwrap();
    preview(&render(directory, &[]))
        .env("PREVIEW_TOKEN", "hunter2-token")
        .env("HOME", "/hunter2-home")
        .assert()
        .code(1)
        .stderr(contains("hunter2").not());
}

#[test]
fn the_setup_is_yaml_that_an_administrator_can_apply() {
    let text = output(&["setup"]);
    let kinds: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("kind: "))
        .collect();
    for kind in [
        "Namespace",
        "ServiceAccount",
        "ClusterRole",
        "ClusterRoleBinding",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
    ] {
        assert!(kinds.contains(&kind), "no {kind} in {kinds:?}");
    }
    let documents = |text: &str| {
        let documents = text
            .split("\n---\n")
            .map(str::trim)
            .filter(|document| !document.is_empty());
        documents
            .map(|document| preview_action::yaml::parse_typed::<Value>(document).unwrap())
            .collect::<Vec<_>>()
    };
    let plain = documents(&text);
    assert!(
        plain.iter().all(|document| document["kind"].is_string()),
        "{plain:#?}"
    );
    let more = documents(&output(&["setup", "--pull-secret", "registry/harbor"]));
    assert!(more.len() > plain.len());
    assert!(
        more.iter()
            .any(|document| document["metadata"]["namespace"] == "registry")
    );
}

#[test]
fn the_schema_is_that_of_the_configuration() {
    let schema: Value = serde_json::from_str(&output(&["schema"])).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let valid: Value = preview_action::yaml::parse_typed(ONE_SERVICE).unwrap();
    assert!(validator.is_valid(&valid));
    let wrong = serde_json::json!({"version": 1, "servces": {}});
    assert!(!validator.is_valid(&wrong));
}

#[test]
fn every_scenario_is_simulated_at_both_speeds() {
    for arguments in [
        &["simulate", "life", "--fast"][..],
        &["simulate", "crash", "--fast"],
        &["simulate", "full", "--fast"],
        &["simulate", "on-request", "--fast"],
        &["simulate", "life"],
    ] {
        let text = output(arguments);
        assert!(
            text.contains("The comment on the pull request, at the end:"),
            "{text}"
        );
        assert!(!text.contains('‼'), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_deploys_shows_and_removes_like_the_action() {
    let shop = Shop::open().await;
    let folder = repository();
    let kubeconfig = folder.path().join("kubeconfig");
    std::fs::write(&kubeconfig, shop.world.cluster.kubeconfig()).unwrap();
    let directory = folder.path().to_str().unwrap().to_owned();
    let which = [
        "--repository",
        "acme/shop",
        "--repository-id",
        "42",
        "--pr",
        "12",
    ];
    let run = async |arguments: Vec<&str>| {
        let output = tokio::process::Command::new(binary())
            .env_clear()
            .env("KUBECONFIG", &kubeconfig)
            .current_dir(&directory)
            .args(arguments)
            .output()
            .await
            .unwrap();
        printed(&output)
    };
    let deploy = [
        "deploy",
        "--sha",
        SHA,
        "--domain",
        "preview.example.test",
        "--health",
        "off",
        "--output",
        "json",
    ];
    let (exit, out, err) = run([&deploy[..], &which].concat()).await;
    assert_eq!(exit, 0, "{out}{err}");
    let result: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (result["state"].as_str(), result["version"].as_u64()),
        (Some("ready"), Some(1)),
        "{out}"
    );
    assert_eq!(shop.namespaces(), ["pr-shop-12"]);

    let (exit, out, _) = run(vec!["list"]).await;
    assert_eq!(exit, 0);
    assert!(out.contains("pr-shop-12") && out.contains("ready"), "{out}");
    let (exit, out, _) = run(vec!["list", "--output", "json"]).await;
    assert_eq!(exit, 0);
    assert_eq!(
        serde_json::from_str::<Value>(&out).unwrap()[0]["pr"],
        12,
        "{out}"
    );

    let (exit, out, _) = run([&["status", "--output", "json"][..], &which].concat()).await;
    assert_eq!(exit, 0);
    let status: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(status["state"], "ready", "{out}");
    assert_eq!(status["slots"]["taken"], 1, "{out}");

    // Nothing came before the first commit; after a second one there is a way back.
    let rollback = [&["rollback", "--output", "json"][..], &which].concat();
    let (exit, out, err) = run(rollback.clone()).await;
    assert_eq!(exit, 0, "{out}{err}");
    assert!(out.contains("nothing-to-roll-back"), "{out}");
    let second = deploy.map(|argument| if argument == SHA { LATER } else { argument });
    let (exit, out, err) = run([&second[..], &which].concat()).await;
    assert_eq!(exit, 0, "{out}{err}");
    let (exit, out, err) = run(rollback).await;
    assert_eq!(exit, 0, "{out}{err}");
    let result: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        [&result["decision"], &result["state"], &result["reasonCode"]],
        ["rollback", "ready", "rolled-back"],
        "{out}"
    );
    let namespace = shop.world.cluster.object("Namespace", "", "pr-shop-12");
    assert_eq!(
        namespace.unwrap_or_default()["metadata"]["annotations"]["preview-action/sha"],
        SHA
    );

    let (exit, out, err) = run([&["remove"][..], &which].concat()).await;
    assert_eq!(exit, 0, "{out}{err}");
    assert!(out.contains("pr-shop-12"), "{out}");
    assert_eq!(shop.namespaces(), Vec::<String>::new());
    let (exit, out, _) = run([&["status"][..], &which].concat()).await;
    assert_eq!(exit, 0);
    assert!(out.contains("removed"), "{out}");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_token_the_command_line_keeps_the_comment() {
    let shop = Shop::open().await;
    shop.opens(12);
    let folder = repository();
    let (api, token, kubeconfig) = (
        shop.world.github.url(),
        shop.world.github.token(),
        shop.world.cluster.kubeconfig(),
    );
    let run = async |command: &str| {
        let deploys = ["--domain", "preview.example.test", "--health", "off"];
        let output = tokio::process::Command::new(binary())
            .env_clear()
            .env("PREVIEW_TOKEN", &token)
            .env("KUBECONFIG", &kubeconfig)
            .current_dir(folder.path())
            .args([
                command,
                "--repository",
                "acme/shop",
                "--pr",
                "12",
                "--api-url",
                &api,
            ])
            .args(deploys.iter().filter(|_| command == "deploy"))
            .output()
            .await
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    };
    run("deploy").await;
    let comments = shop.status_comments(12);
    assert_eq!(comments.len(), 1);
    assert!(
        comments[0].body.contains("Preview ready"),
        "{}",
        comments[0].body
    );
    // The action takes over what the command line began: it is the same preview.
    let first = shop.world.github.head("acme/shop", 12)[..7].to_owned();
    let push = shop.pushes(12);
    shop.hears(&push).await.ends(0, "deployed");
    run("rollback").await;
    let body = &shop.status_comments(12)[0].body;
    assert!(
        body.contains(&first) && body.contains("was rolled back"),
        "{body}"
    );
    // What was taken back stays so for events of that commit.
    shop.hears(&push).await.ends(0, "rolled-back");
    assert_eq!(shop.holders(), [12]);
    run("remove").await;
    let comments = shop.status_comments(12);
    assert_eq!(comments.len(), 1);
    assert!(comments[0].body.contains("removed"), "{}", comments[0].body);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_of_a_failed_preview_says_why_and_what_to_do() {
    let crash = ONE_SERVICE.replace("web:{short-sha}", "web:crash-{short-sha}");
    let shop = Shop::selling(&crash).await;
    shop.hears(&shop.opens(1)).await.ends(1, "crash-loop");
    let (token, api) = (shop.world.github.token(), shop.world.github.url());
    let kubeconfig = shop.world.cluster.kubeconfig();
    let run = async |format: &str| {
        let output = tokio::process::Command::new(binary())
            .env_clear()
            .env("PREVIEW_TOKEN", &token)
            .env("KUBECONFIG", &kubeconfig)
            .args(["status", "--repository", "acme/shop", "--pr", "1"])
            .args(["--api-url", &api, "--output", format])
            .output()
            .await
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let status: Value = serde_json::from_str(&run("json").await).unwrap();
    assert_eq!(status["state"], "failed", "{status:#}");
    let cause = &status["failure"]["causes"][0];
    assert_eq!(cause["reasonCode"], "crash-loop", "{status:#}");
    let text = run("text").await;
    for said in [
        cause["cause"].as_str().unwrap(),
        cause["remedy"].as_str().unwrap(),
        cause["evidence"][0]["title"].as_str().unwrap(),
    ] {
        assert!(!said.is_empty() && text.contains(said), "{said}: {text}");
    }
    shop.ends();
}
