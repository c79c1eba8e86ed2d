//! The command `diff` against a preview that lives: what it shows, what it hides, and that it writes nothing.

use crate::support::{ONE_SERVICE, Shop, binary, printed};
use preview_action::simulate::{WorldOptions, cluster};
use serde_json::{Value, json};
use std::path::Path;

const SHA: &str = "0123456789abcdef0123456789abcdef01234567";

/// A secret of the run: it stands in the kubeconfig.
const TOKEN: &str = "hunter2-of-the-kubeconfig";

fn write(folder: &Path, greeting: &str, more: &str) {
    for (path, text) in [
        (
            ".github/preview.yml",
            format!("{ONE_SERVICE}templates: [deploy/*.yaml]\n"),
        ),
        (
            "deploy/own.yaml",
            format!(
                "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: own}}\ndata: {{greeting: {greeting}}}\n---\n\
                 apiVersion: v1\nkind: Secret\nmetadata: {{name: hidden}}\nstringData: {{password: {greeting}}}\n"
            ),
        ),
        (
            "rendered.yaml",
            format!(
                "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {more}}}\ndata: {{a: b}}\n"
            ),
        ),
    ] {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
}

async fn run(
    shop: &Shop,
    folder: &Path,
    verb: &str,
    repository: &str,
    more: &[&str],
) -> (i32, String, String) {
    let mut command = tokio::process::Command::new(binary());
    command
        .env_clear()
        .env("KUBECONFIG", shop.world.cluster.kubeconfig())
        .current_dir(folder)
        .args([
            verb,
            "--repository",
            "acme/shop",
            "--repository-id",
            repository,
        ])
        .args([
            "--pr",
            "12",
            "--sha",
            SHA,
            "--domain",
            "preview.example.test",
        ])
        .args(["--manifests", "rendered.yaml"])
        .args(more);
    let output = command.output().await.unwrap();
    printed(&output)
}

/// What becomes of each ConfigMap and Secret, and in which fields.
fn changes(text: &str) -> Vec<(String, Value, Value)> {
    let all: Vec<Value> = serde_json::from_str(text).unwrap();
    let mut found: Vec<_> = all
        .iter()
        .filter(|one| ["ConfigMap", "Secret"].contains(&one["id"]["kind"].as_str().unwrap()))
        .map(|one| {
            let name = one["id"]["name"].as_str().unwrap().to_owned();
            (name, one["change"].clone(), one["detail"].clone())
        })
        .collect();
    found.sort_by(|one, next| one.0.cmp(&next.0));
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_diff_shows_what_a_deploy_would_change_and_writes_nothing() {
    let options = WorldOptions {
        cluster: cluster::Options {
            token: TOKEN.into(),
            ..Default::default()
        },
        ..Default::default()
    };
    let shop = Shop::with(options, ONE_SERVICE).await;
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let json = ["--output", "json"];
    write(folder, "hello", "generated");

    let (exit, out, err) = run(&shop, folder, "diff", "42", &json).await;
    assert_eq!(exit, 0, "{out}{err}");
    let before = changes(&out);
    assert!(before.iter().all(|one| one.1 == "added"), "{before:?}");
    assert_eq!(before.len(), 3, "{before:?}");
    assert_eq!(shop.namespaces(), Vec::<String>::new());

    let (exit, out, err) = run(&shop, folder, "deploy", "42", &["--health", "off"]).await;
    assert_eq!(exit, 0, "{out}{err}");
    let (_, out, _) = run(&shop, folder, "diff", "42", &json).await;
    let same = changes(&out);
    assert!(same.iter().all(|one| one.1 == "unchanged"), "{same:?}");

    write(folder, TOKEN, "other");
    let (since, stored) = (shop.now(), shop.world.cluster.snapshot());
    let (exit, out, err) = run(&shop, folder, "diff", "42", &json).await;
    assert_eq!(exit, 0, "{out}{err}");
    let detail = |field: &str, before: &str, after: &str| json!([{"field": field, "before": before, "after": after}]);
    assert_eq!(
        changes(&out),
        [
            ("generated".into(), "removed".into(), Value::Null),
            (
                "hidden".into(),
                "changed".into(),
                detail("data.password", "(hidden)", "(hidden)")
            ),
            ("other".into(), "added".into(), Value::Null),
            (
                "own".into(),
                "changed".into(),
                detail("data.greeting", "\"hello\"", "\"***\"")
            ),
        ]
    );
    let (_, text, _) = run(&shop, folder, "diff", "42", &[]).await;
    assert!(text.contains("+ data.greeting"), "{text}");
    assert!(
        text.contains("`-` `ConfigMap/generated`: removed"),
        "{text}"
    );
    for said in [out, text, err] {
        assert!(!said.contains(TOKEN), "{said}");
    }
    let writes: Vec<_> = shop
        .cluster_requests(since)
        .into_iter()
        .filter(|record| record.method != "GET" && !record.query.contains("dryRun=All"))
        .collect();
    assert!(writes.is_empty(), "{writes:#?}");
    assert_eq!(shop.world.cluster.snapshot(), stored);

    let (exit, out, err) = run(&shop, folder, "diff", "43", &json).await;
    assert_eq!((exit, out.as_str()), (1, ""), "{err}");
    assert!(err.contains("is no preview of this repository"), "{err}");
    shop.ends();
}
