//! What the two doors say and keep to: the cap, the commit whose files count, options, inputs, addresses.

use crate::support::{ONE_SERVICE, Shop, binary};

struct Said {
    exit: i32,
    out: String,
    err: String,
}

async fn preview(shop: Option<&Shop>, arguments: &[&str]) -> Said {
    let mut command = tokio::process::Command::new(binary());
    command.env_clear().args(arguments);
    if let Some(shop) = shop {
        command.env("KUBECONFIG", shop.world.cluster.kubeconfig());
    }
    let output = command.output().await.unwrap();
    Said {
        exit: output.status.code().unwrap(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A folder that holds this configuration and is no checkout.
fn folder(configuration: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join(".github")).unwrap();
    std::fs::write(folder.path().join(".github/preview.yml"), configuration).unwrap();
    folder
}

pub(crate) const SHA: &str = "0123456789abcdef0123456789abcdef01234567";

pub(crate) fn render<'a>(directory: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let usual = [
        "render",
        "--repository",
        "acme/shop",
        "--pr",
        "12",
        "--sha",
        SHA,
        "--domain",
        "preview.example.test",
        "--directory",
        directory,
    ];
    [&usual[..], more].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deploy_by_hand_leaves_the_cap_alone_unless_it_names_one() {
    let shop = Shop::open().await;
    let opened = shop.opens(1);
    let first = shop.run(&opened).input("max-previews", "2").go().await;
    first.ends(0, "deployed");
    let repository = shop.world.github.create_repository("acme/shop").to_string();
    let folder = folder(ONE_SERVICE);
    let directory = folder.path().to_str().unwrap();
    let deploy = async |pr: &str, more: &[&str]| {
        let usual = [
            "deploy",
            "--repository",
            "acme/shop",
            "--repository-id",
            &repository,
            "--pr",
            pr,
            "--sha",
            SHA,
            "--domain",
            "preview.example.test",
            "--health",
            "off",
            "--directory",
            directory,
        ];
        preview(Some(&shop), &[&usual[..], more].concat()).await
    };
    let second = deploy("2", &[]).await;
    assert_eq!(second.exit, 0, "{}", second.err);
    assert!(second.out.contains("2 of 2"), "{}", second.out);
    let third = deploy("3", &[]).await;
    assert!(third.out.contains("queued"), "{}{}", third.out, third.err);
    let third = deploy("3", &["--max-previews", "3"]).await;
    assert!(third.out.contains("3 of 3"), "{}{}", third.out, third.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_token_files_come_from_the_commit_that_github_names() {
    let shop = Shop::open().await;
    shop.opens(12);
    // Nobody reviewed this one, and nobody pushed it.
    let folder = folder(&ONE_SERVICE.replace("web:{short-sha}", "web:local-{short-sha}"));
    let (api, token) = (shop.world.github.url(), shop.world.github.token());
    let said = preview(
        Some(&shop),
        &[
            "deploy",
            "--repository",
            "acme/shop",
            "--pr",
            "12",
            "--api-url",
            &api,
            "--token",
            &token,
            "--domain",
            "preview.example.test",
            "--health",
            "off",
            "--directory",
            folder.path().to_str().unwrap(),
        ],
    )
    .await;
    assert_eq!(said.exit, 0, "{}", said.err);
    let image = shop.image("pr-shop-12", "web");
    assert!(
        image.starts_with("registry.example/web:") && !image.contains("local"),
        "{image}"
    );
    // Links for people lead to the server of that API.
    let comments = shop.status_comments(12);
    assert!(
        comments[0]
            .body
            .contains(&format!("{api}/acme/shop/commit/")),
        "{}",
        comments[0].body
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deploy_by_hand_takes_any_commit_of_the_pull_request_and_no_other() {
    let shop = Shop::open().await;
    shop.opens(12);
    let first = shop.world.github.head("acme/shop", 12);
    shop.pushes(12);
    let newest = shop.world.github.head("acme/shop", 12);
    let fork = preview_action::simulate::github::NewPull {
        author: "mallory".into(),
        fork: Some("mallory/shop".into()),
        ..Default::default()
    };
    shop.opens_as(13, fork);
    let of_fork = shop.world.github.head("acme/shop", 13);
    shop.world.github.push("acme/shop", 13, &[]);
    let (api, token) = (shop.world.github.url(), shop.world.github.token());
    let deploy = async |pr: &str, sha: &str| {
        let which = ["deploy", "--repository", "acme/shop", "--pr", pr];
        let door = ["--api-url", &api, "--token", &token];
        let how = ["--domain", "preview.example.test", "--health", "off"];
        let all = [&which[..], &["--sha", sha], &door, &how].concat();
        preview(Some(&shop), &all).await
    };
    let said = deploy("12", &first).await;
    assert_eq!(said.exit, 0, "{}", said.err);
    let image = shop.image("pr-shop-12", "web");
    assert!(image.ends_with(&first[..7]), "{image}{}", said.out);
    assert_eq!(shop.record(12)["held"], newest);
    let comment = shop.comment(12);
    for text in ["Preview ready", "asked for this commit by name"] {
        assert!(comment.contains(text), "{comment}");
    }
    // An event of the newest commit takes nothing of that away.
    let late = shop.pull_event(12, "synchronize");
    shop.hears(&late).await.ends(0, "rolled-back");
    for (pr, sha, why) in [
        ("12", of_fork.as_str(), "is no commit of pull request #12"),
        (
            "13",
            of_fork.as_str(),
            "is not the head of pull request #13",
        ),
    ] {
        let refused = deploy(pr, sha).await;
        assert_eq!(refused.exit, 1, "{}", refused.out);
        for text in [why, "give --sha "] {
            assert!(refused.err.contains(text), "{}", refused.err);
        }
    }
    let image = shop.image("pr-shop-12", "web");
    assert!(image.ends_with(&first[..7]), "{image}");
    assert_eq!(shop.namespaces(), ["pr-shop-12"]);
    let said = deploy("12", &newest).await;
    assert_eq!(said.exit, 0, "{}", said.err);
    assert!(shop.record(12)["held"].is_null());
    shop.ends();
}

#[tokio::test]
async fn a_command_offers_only_the_inputs_that_it_reads() {
    for (command, has, lacks) in [
        ("deploy", "--max-previews", "--auto-deploy"),
        ("remove", "--namespace-pattern", "--images"),
        ("list", "--kubeconfig", "--token"),
        ("status", "--environment", "--ttl"),
        ("render", "--templates", "--kubeconfig"),
    ] {
        let help = preview(None, &[command, "--help"]).await.out;
        assert!(help.contains(&format!("{has} ")), "{command}: {help}");
        assert!(!help.contains(&format!("{lacks} ")), "{command}: {help}");
        assert_eq!(preview(None, &[command, lacks, "x"]).await.exit, 1);
    }
}

#[tokio::test]
async fn mistakes_at_a_terminal_are_told_in_its_words() {
    let folder = folder(ONE_SERVICE);
    let directory = folder.path().to_str().unwrap();
    let usual = ["deploy", "--repository", "acme/shop", "--pr", "1"];
    for (arguments, says) in [
        (vec!["delpoy"], "'deploy'"),
        (render(directory, &["--ttk", "1d"]), "'--ttl'"),
        (
            [&usual[..], &["--max-previews", "-1"]].concat(),
            "option `--max-previews`",
        ),
        (vec!["list"], "fix: give --kubeconfig or set KUBECONFIG"),
        (
            render(directory, &["--ttl", "soon", "--timeout", "soon"]),
            "code: bad-input",
        ),
    ] {
        let said = preview(None, &arguments).await;
        assert_eq!(said.exit, 1, "{arguments:?}");
        assert!(said.err.contains(says), "{arguments:?}: {}", said.err);
        assert!(!said.err.contains("input `"), "{}", said.err);
    }
    let said = preview(
        None,
        &render(directory, &["--ttl", "soon", "--timeout", "soon"]),
    )
    .await;
    let causes: Vec<&str> = said
        .err
        .lines()
        .filter(|line| line.contains("option `--"))
        .collect();
    assert_eq!(causes.len(), 2, "{}", said.err);
    assert_eq!(said.err.matches("\n  fix: ").count(), 2, "{}", said.err);
}

#[tokio::test]
async fn a_template_error_is_printed_with_its_place() {
    let folder = folder(&format!("{ONE_SERVICE}templates: [own.yaml.j2]\n"));
    std::fs::write(
        folder.path().join("own.yaml.j2"),
        "a: 1\nb: {{ nothing.like.it }}\n",
    )
    .unwrap();
    let said = preview(None, &render(folder.path().to_str().unwrap(), &[])).await;
    assert_eq!(said.exit, 1);
    assert!(
        said.err.contains("\n    2 | b: {{ nothing.like.it }}\n"),
        "{}",
        said.err
    );
    assert!(said.err.contains('^'), "{}", said.err);
    assert!(
        said.err.contains("`templates/README.md` of this action"),
        "{}",
        said.err
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_wrong_input_and_every_unknown_one_is_annotated() {
    let shop = Shop::open().await;
    let opened = shop.opens(1);
    let seen = shop
        .run(&opened)
        .inputs(&[("ttl", "soon"), ("timeout", "never"), ("max_previews", "5")])
        .go()
        .await;
    seen.ends(1, "bad-input");
    let lines = |start: &str| {
        seen.log
            .lines()
            .filter(|line| line.starts_with(start))
            .count()
    };
    assert_eq!(lines("::warning"), 1, "{}", seen.log);
    assert!(
        seen.log.contains("did you mean `max-previews`?"),
        "{}",
        seen.log
    );
    assert_eq!(lines("::error"), 2, "{}", seen.log);
}

#[tokio::test]
async fn what_is_rendered_says_what_only_stands_in() {
    let folder = folder(ONE_SERVICE);
    let directory = folder.path().to_str().unwrap();
    let text = preview(None, &render(directory, &[])).await.out;
    assert!(
        text.starts_with("---\n# repository id and slot are stand-ins"),
        "{text}"
    );
    let expires = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("preview-action/expires:"))
        .unwrap();
    assert!(!expires.contains('.') && expires.contains('Z'), "{expires}");
    let text = preview(None, &render(directory, &["--repository-id", "42"]))
        .await
        .out;
    assert!(text.starts_with("---\n# the slot is a stand-in"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_token_the_number_of_another_repository_is_refused() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    let (token, url) = (shop.world.github.token(), shop.world.github.url());
    let own = shop.world.github.create_repository("acme/shop").to_string();
    for (id, exit) in [("77", 1), (own.as_str(), 0)] {
        let sweep = [
            "sweep",
            "--dry-run",
            "--repository",
            "acme/shop",
            "--repository-id",
            id,
            "--token",
            &token,
            "--api-url",
            &url,
        ];
        let said = preview(Some(&shop), &sweep).await;
        assert_eq!(said.exit, exit, "{id}: {}", said.err);
        let named = said.err.contains("77") && said.err.contains(&own);
        assert_eq!(named, exit == 1, "{id}: {}", said.err);
    }
    shop.ends();
}
