//! Secrets that are planted wherever a text comes in, in each form that somebody may give them, are in nothing that goes out.
//!
//! Not even a piece of one: texts are cut, and whoever has most of a token has the token. Each case is a process of its own
//! with `RUNNER_DEBUG`, so that standard error and every logged request count as well.

use crate::support::{CONFIGURATION, Event, LEDGER, ONE_SERVICE, Run, SHOP, Seen, Shop, printed};
use base64::{Engine, engine::general_purpose::STANDARD};
use futures::{StreamExt as _, stream};
use preview_action::{
    inputs::registry::INPUTS,
    simulate::{Action, Fault, cluster::Fate, github},
};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const GITHUB_TOKEN: &str = "ghs_Pl4nt3d*by_GitHub+1";
const CLUSTER_TOKEN: &str = "clu_ster*Pl4nt3d/token";

/// Of another user of the kubeconfig; a name that an object may have.
const NAME_LIKE: &str = "planted-name-of-nobody";
const PASSWORD: &str = "pass*word \"pl4nted\" & b_ack\\slashed";
const LINES: &str = "first_planted*line\nsecond_planted*line";
const PULLED: &str = "robot_pl4nted*pull|word";

const SECRETS: [&str; 6] = [
    GITHUB_TOKEN,
    CLUSTER_TOKEN,
    NAME_LIKE,
    PASSWORD,
    LINES,
    PULLED,
];

/// So many characters in a row of a secret are too many.
const TOO_MANY: usize = 9;

/// What is asked of a pull secret's registry, and what a deploy needs to know it.
const PULL_SECRET: (&str, &str) = ("pull-secret", "registry/harbor");

/// Every secret in every form, on lines of their own.
fn planted() -> String {
    forms_of(&SECRETS)
}

fn forms_of(secrets: &[&str]) -> String {
    let forms = secrets.iter().flat_map(|secret| {
        let json = serde_json::to_string(secret).unwrap();
        let url: String = url_encoded(secret);
        [
            (*secret).to_owned(),
            STANDARD.encode(secret),
            json.trim_matches('"').to_owned(),
            url,
        ]
    });
    forms.collect::<Vec<_>>().join("\n")
}

fn url_encoded(text: &str) -> String {
    let one = |byte: u8| match byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    text.bytes().map(one).collect()
}

/// The same in one line, behind so much else that some place cuts it in the middle of a secret.
fn cut_at(most: usize) -> String {
    format!("{} {GITHUB_TOKEN} {NAME_LIKE}", "x".repeat(most - 14))
}

/// What reads the same once nothing is escaped.
fn plain(text: &str) -> String {
    let pairs = [
        ("\\", ""),
        ("\u{200b}", ""),
        ("\u{2060}", ""),
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&#34;", "\""),
        ("&quot;", "\""),
        ("&#39;", "'"),
        ("&#45;", "-"),
        ("&#124;", "|"),
        ("&#42;", "*"),
        ("&#95;", "_"),
        ("&amp;", "&"),
    ];
    let pairs = pairs.iter();
    pairs.fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

/// Every piece of a secret that nobody may see.
fn pieces() -> BTreeSet<String> {
    let forms = SECRETS.iter().flat_map(|secret| {
        let lines = secret.lines().map(str::to_owned);
        let encoded = secret.lines().map(|line| STANDARD.encode(line));
        lines.chain(encoded).collect::<Vec<_>>()
    });
    let windows = forms.flat_map(|form| {
        let form: Vec<char> = plain(&form).chars().collect();
        let windows = form.windows(TOO_MANY).map(|piece| piece.iter().collect());
        windows.collect::<Vec<String>>()
    });
    windows.collect()
}

/// Lines that show a piece of a secret; the runner learns them by one command, and shows `***` in its place.
fn leaks<'a>(texts: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let pieces = pieces();
    let lines = texts.into_iter().flat_map(str::lines);
    let shown = lines.filter(|line| !line.starts_with("::add-mask::"));
    let leaking = shown.filter(|line| {
        let line = plain(line);
        pieces.iter().any(|piece| line.contains(piece.as_str()))
    });
    leaking.map(str::to_owned).collect()
}

/// What the world has been told, in all versions that it ever had, and what the cluster's own notes say.
fn told(shop: &Shop) -> Vec<String> {
    let sent = shop.world.requests();
    let written = sent
        .iter()
        .filter(|one| one.site == "github" && one.method != "GET");
    let mut texts: Vec<String> = written.map(|one| one.body.clone()).collect();
    let spaces = shop.world.cluster.objects("Namespace", "");
    let names = spaces
        .iter()
        .filter_map(|one| one["metadata"]["name"].as_str());
    for name in names.filter(|name| *name != "registry") {
        let kept = shop.world.cluster.objects("ConfigMap", name);
        let ours = kept.iter().filter(|one| {
            let name = one["metadata"]["name"].as_str().unwrap_or_default();
            name.starts_with("preview-")
        });
        texts.extend(ours.map(Value::to_string));
    }
    texts
}

async fn shop(configuration: &str) -> Shop {
    let shop = Shop::with_tokens(GITHUB_TOKEN, CLUSTER_TOKEN, configuration).await;
    let put = |object: Value| shop.world.cluster.put(&object).unwrap();
    put(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "registry"}}));
    let auths = json!({"auths": {"registry.example": {"username": "robot", "password": PULLED}}});
    put(json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "harbor", "namespace": "registry"},
        "type": "kubernetes.io/dockerconfigjson",
        "data": {".dockerconfigjson": STANDARD.encode(auths.to_string())},
    }));
    shop
}

fn kubeconfig(shop: &Shop) -> String {
    let others = format!(
        "users:\n- name: other\n  user: {{token: {NAME_LIKE}, password: {}, client-key-data: {}}}\n",
        json!(PASSWORD),
        STANDARD.encode(LINES)
    );
    let own = shop.world.cluster.kubeconfig();
    own.replace("users:\n", &others)
}

/// A run that knows all secrets, in a process of its own.
fn run<'a>(shop: &'a Shop, event: &Event) -> Run<'a> {
    shop.run(event)
        .variable("RUNNER_DEBUG", "1")
        .input("kubeconfig", &kubeconfig(shop))
        .input("health", "off")
        .input("dashboard-issue", "true")
        .input(PULL_SECRET.0, PULL_SECRET.1)
}

#[track_caller]
fn shows_nothing(what: &str, shop: &Shop, seen: &Seen) {
    let found = found(what, shop, seen);
    assert_eq!(found, [""; 0], "{what}");
}

fn found(what: &str, shop: &Shop, seen: &Seen) -> Vec<String> {
    let (all, told) = (seen.everything(), told(shop));
    let texts = told.iter().map(String::as_str).chain([all.as_str()]);
    let found = leaks(texts).into_iter();
    found.map(|line| format!("{what}: {line}")).collect()
}

/// Plays stories at once, and says what they show.
async fn all<F: Future<Output = Vec<String>>>(stories: impl IntoIterator<Item = F>) {
    let found: Vec<String> = stream::iter(stories)
        .buffer_unordered(4)
        .flat_map(stream::iter)
        .collect()
        .await;
    assert_eq!(found, [""; 0]);
}

/// The test itself would see a secret, however it is written.
#[test]
fn a_piece_of_a_secret_is_found() {
    for text in [
        format!("x {GITHUB_TOKEN}"),
        STANDARD.encode(CLUSTER_TOKEN),
        "ghs\\_Pl4nt3d\\*by\\_Git…".to_owned(),
        "x planted&#45;name&#45;of".to_owned(),
        "second\\_planted&#42;line".to_owned(),
    ] {
        assert_eq!(leaks([text.as_str()]).len(), 1, "{text}");
    }
    assert_eq!(leaks(["::add-mask::planted-name-of-nobody"]), [""; 0]);
}

/// What a server says when it takes nothing, with words of its own.
fn refusal(status: u16, words: &str) -> Action {
    Action::Answer {
        status,
        body: json!({
            "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": status, "reason": "Invalid",
            "message": words, "errors": [{"message": words}],
            "details": {"causes": [{"message": words, "field": words}]},
        }),
        headers: Vec::new(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_refusal_of_github_or_of_the_cluster_is_repeated_with_a_secret_in_it() {
    let counted = shop(ONE_SERVICE).await;
    let opened = counted.opens(1);
    run(&counted, &opened).go_alone().await.ends(0, "deployed");
    let count = |site: &str| counted.requests(site, 0).len();
    let mut cases = Vec::new();
    for (site, count) in [("github", count("github")), ("cluster", count("cluster"))] {
        for k in 1..=count {
            let words = match k % 3 {
                0 => planted(),
                1 => cut_at(300),
                _ => cut_at(400),
            };
            let status = [403, 422, 400][k % 3];
            cases.push((site, k, refusal(status, &words)));
        }
    }
    all(cases.into_iter().map(|(site, k, action)| async move {
        let shop = shop(ONE_SERVICE).await;
        let opened = shop.opens(1);
        let fault = Fault::on("*", "/**", action).nth(k);
        match site {
            "github" => shop.world.github.inject(fault),
            _ => shop.world.cluster.inject(fault),
        }
        let seen = run(&shop, &opened).go_alone().await;
        let mut wrong = found(&format!("{site} {k}"), &shop, &seen);
        let swept = run(&shop, &shop.schedule()).go_alone().await;
        wrong.extend(found(&format!("{site} {k}, swept"), &shop, &swept));
        wrong
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_refusal_in_a_sweep_or_a_command_is_repeated_with_a_secret_in_it() {
    let commands = ["/status", "/help", "/logs", "/diff", "/check", "/undeploy"];
    let commands = commands.map(Some).into_iter().chain([None]);
    let sites = commands.flat_map(|command| {
        ["github", "cluster"].map(|site| (command, site, [planted(), cut_at(300), cut_at(400)]))
    });
    all(sites.map(|(command, site, words)| async move {
        let shop = shop(ONE_SERVICE).await;
        run(&shop, &shop.opens(1))
            .go_alone()
            .await
            .ends(0, "deployed");
        let mut wrong = Vec::new();
        for (k, words) in (2..14).step_by(2).zip(words.iter().cycle()) {
            let fault = Fault::on("*", "/**", refusal(403, words)).nth(k).times(30);
            match site {
                "github" => shop.world.github.inject(fault),
                _ => shop.world.cluster.inject(fault),
            }
            let event = match command {
                Some(command) => shop.says(1, "alice", command),
                None => shop.schedule(),
            };
            let seen = run(&shop, &event).go_alone().await;
            shop.world.github.clear_faults();
            shop.world.cluster.clear_faults();
            wrong.extend(found(&format!("{command:?}, {site} {k}"), &shop, &seen));
        }
        wrong
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_pods_events_and_warnings_say_is_told_without_a_secret() {
    let shop = shop(ONE_SERVICE).await;
    let said = format!("starting\n{}\n{}", planted(), cut_at(100));
    shop.world.cluster.script_fate("web", Fate::Crash);
    shop.world.cluster.script_log("web", &said);
    let event = json!({
        "apiVersion": "v1", "kind": "Event", "type": "Warning", "reason": "BackOff", "message": planted(), "count": 3,
        "metadata": {"name": "web.1", "namespace": "pr-shop-1", "uid": "e1", "resourceVersion": "9"},
        "involvedObject": {"kind": "Pod", "namespace": "pr-shop-1", "name": "web"},
        "lastTimestamp": "2026-01-01T00:00:00Z",
    });
    let list = json!({"kind": "EventList", "apiVersion": "v1", "metadata": {"resourceVersion": "9"}, "items": [event]});
    let events = "/api/v1/namespaces/pr-shop-1/events";
    let cluster = &shop.world.cluster;
    cluster.inject(Fault::answer("GET", events, 200, list).always());
    let warning = format!(
        "299 - \"{}\"",
        planted()
            .replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('\n', " ")
    );
    let opened = shop.opens(1);
    let seen = run(&shop, &opened).go_alone().await;
    seen.ends(1, "crash-loop");
    seen.says("starting");
    shows_nothing("a crash", &shop, &seen);
    for command in [
        "/status",
        "/logs",
        "/logs web --previous",
        "/check",
        "/diff",
        "/deploy",
    ] {
        let command = shop.says(1, "alice", command);
        let seen = run(&shop, &command).go_alone().await;
        shows_nothing(
            &command.payload["comment"]["body"].to_string(),
            &shop,
            &seen,
        );
    }
    let seen = run(&shop, &shop.schedule()).go_alone().await;
    shows_nothing("the sweep", &shop, &seen);
    cluster.clear_faults();
    cluster.script_fate("web", Fate::Ready);
    let made = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "web", "namespace": "pr-shop-1", "uid": "u", "resourceVersion": "9"},
    });
    let patched = Fault::answer("PATCH", "/api/v1/namespaces/*/services/web", 200, made);
    cluster.inject(patched.header("warning", &warning));
    let seen = run(&shop, &shop.pushes(1)).go_alone().await;
    assert!(seen.comment().contains("Service/web"), "{seen:#?}");
    shows_nothing("a warning", &shop, &seen);
}

/// Only a run in this process may ask this machine.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_preview_answers_is_told_without_a_secret() {
    for (status, location) in [(500, None), (302, Some(GITHUB_TOKEN)), (404, None)] {
        let shop = shop(ONE_SERVICE).await;
        let there = format!("https://other.example/{}", location.unwrap_or_default());
        let body = json!(format!("{} {}", cut_at(200), planted()));
        let answer = Fault::answer("GET", "/**", status, body).always();
        shop.world
            .cluster
            .inject_ingress(answer.header("location", &there));
        let opened = shop.opens(1);
        let run = run(&shop, &opened)
            .input("health", "on")
            .input("timeout", "2s");
        let seen = run.go().await;
        assert_ne!(seen.exit, 2, "{seen:#?}");
        shows_nothing(&format!("an answer of {status}"), &shop, &seen);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_input_is_repeated_with_a_secret_in_it() {
    let spared = ["token", "kubeconfig", "dashboard-issue"];
    let names = INPUTS.iter().map(|spec| spec.name);
    let names = names.filter(|name| !spared.contains(name));
    // What the pull secret holds is known once it has been read.
    let known = forms_of(&SECRETS[..5]);
    let texts = [GITHUB_TOKEN, &known, &cut_at(80), NAME_LIKE].map(str::to_owned);
    let cases = names.flat_map(|name| texts.clone().map(|text| (name, text)));
    // What names a preview to the whole world is no secret of anybody.
    let public = ["domain", "environment", "comment-author"];
    let cases = cases.filter(|(name, text)| !(public.contains(name) && text == NAME_LIKE));
    all(cases.map(|(name, text)| async move {
        let shop = shop(ONE_SERVICE).await;
        let opened = shop.opens(1);
        let seen = run(&shop, &opened).input(name, &text).go_alone().await;
        found(&format!("input {name}"), &shop, &seen)
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_text_of_an_event_is_repeated_with_a_secret_in_it() {
    let shop = shop(ONE_SERVICE).await;
    let pull = github::NewPull {
        author: "alice".into(),
        title: format!("{GITHUB_TOKEN} {NAME_LIKE}"),
        ..github::NewPull::default()
    };
    let opened = shop.opens_as(1, pull);
    let seen = run(&shop, &opened).go_alone().await;
    seen.ends(0, "deployed");
    shows_nothing("a title", &shop, &seen);
    for line in [
        format!("/deploy {GITHUB_TOKEN}"),
        format!("/deply {NAME_LIKE}"),
        format!("/logs {NAME_LIKE}"),
        format!("/logs web --container {NAME_LIKE}"),
        format!("/extend {}", cut_at(80)),
        format!("/approve {NAME_LIKE}"),
        format!("/deploy --take {NAME_LIKE}"),
        format!("/deploy --{NAME_LIKE}"),
    ] {
        let seen = run(&shop, &shop.says(1, "alice", &line)).go_alone().await;
        shows_nothing(&line, &shop, &seen);
    }
    for (command, sha) in [(NAME_LIKE, ""), ("deploy", GITHUB_TOKEN)] {
        let inputs = [("command", command), ("pr", "1"), ("sha", sha)];
        let payload = shop.world.github.dispatch_event(SHOP, "alice", &inputs);
        let event = Event::new("workflow_dispatch", payload, 1);
        let seen = run(&shop, &event).go_alone().await;
        shows_nothing(command, &shop, &seen);
    }
    let mut branch = shop.pushes(1);
    for path in [
        "/pull_request/head/ref",
        "/sender/login",
        "/pull_request/user/login",
    ] {
        *branch.payload.pointer_mut(path).unwrap() = json!(NAME_LIKE);
        let images = ("images", "web=registry.example/web:{branch}");
        let seen = run(&shop, &branch).inputs(&[images]).go_alone().await;
        shows_nothing(path, &shop, &seen);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_file_of_the_repository_is_repeated_with_a_secret_in_it() {
    let template = |text: String| {
        let own = format!("{ONE_SERVICE}templates: [deploy/*.yaml.j2]\n");
        vec![(CONFIGURATION, own), ("deploy/own.yaml.j2", text)]
    };
    let map = |name: &str, data: &str| {
        template(format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {data}\n"
        ))
    };
    let configured = |text: String| vec![(CONFIGURATION, text)];
    let files = [
        configured(format!("{ONE_SERVICE}{NAME_LIKE}: 1\n")),
        configured(ONE_SERVICE.replace("hello", NAME_LIKE)),
        configured(ONE_SERVICE.replace("8080", GITHUB_TOKEN)),
        configured(ONE_SERVICE.replace("web:\n", &format!("{NAME_LIKE}:\n"))),
        configured(ONE_SERVICE.replace("registry.example/web", &cut_at(200))),
        configured(format!("version: 1\n'{}': [\n", cut_at(80))),
        map(NAME_LIKE, "{a: b}"),
        map("own", &json!({ "a": planted() }).to_string()),
        map(
            "own",
            &format!("{{a: '{{{{ values.nothing }}}}'}} # {GITHUB_TOKEN}"),
        ),
        template(format!(
            "kind: {NAME_LIKE}\napiVersion: v1\nmetadata: {{name: a}}\n"
        )),
        template(format!("{{{{ '{GITHUB_TOKEN}' | nothing }}}}\n")),
        template(format!("{{% if {GITHUB_TOKEN} %}}\n")),
        template(format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: own}}\nstringData: {{{NAME_LIKE}: [{}]}}\n",
            json!(PASSWORD)
        )),
        template(format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: own, labels: {{a: {}}}}}\nspec: {{ports: [{{port: 80, name: {NAME_LIKE}}}], type: {NAME_LIKE}}}\n",
            json!(cut_at(80))
        )),
    ];
    all(files.into_iter().enumerate().map(|(at, files)| async move {
        let shop = shop(ONE_SERVICE).await;
        run(&shop, &shop.opens(1))
            .go_alone()
            .await
            .ends(0, "deployed");
        let files: Vec<_> = files
            .iter()
            .map(|(path, text)| (*path, text.as_str()))
            .collect();
        let mut wrong = Vec::new();
        let pushed = shop.pushes_files(1, &files);
        for event in [
            shop.says(1, "alice", "/diff"),
            shop.says(1, "alice", "/check"),
            pushed,
            shop.schedule(),
        ] {
            let seen = run(&shop, &event).go_alone().await;
            wrong.extend(found(&format!("file {at}, {}", event.name), &shop, &seen));
        }
        wrong
    }))
    .await;
}

/// What belongs to the repository's objects is not ours to know; we do not tell it of our own accord.
#[tokio::test(flavor = "multi_thread")]
async fn what_stands_in_objects_is_not_told() {
    let own = format!("{ONE_SERVICE}templates: [deploy/*.yaml.j2]\n");
    let secret = |value: &str| {
        format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: own}}\nstringData: {{key: {value}}}\n"
        )
    };
    let shop = shop(&own).await;
    shop.commit(&[("deploy/own.yaml.j2", &secret("first-in-object"))]);
    let mut texts = Vec::new();
    let opened = shop.opens(1);
    let deployed = run(&shop, &opened).go_alone().await;
    deployed.ends(0, "deployed");
    texts.push(deployed.everything());
    let next = secret("second-in-object");
    shop.pushes_files(1, &[("deploy/own.yaml.j2", &next)]);
    for event in [
        shop.says(1, "alice", "/diff"),
        shop.says(1, "alice", "/check"),
        shop.pull_event(1, "synchronize"),
        shop.says(1, "alice", "/status"),
        shop.schedule(),
    ] {
        let seen = run(&shop, &event).go_alone().await;
        assert_eq!(seen.exit, 0, "{seen:#?}");
        texts.push(seen.everything());
    }
    texts.extend(told(&shop));
    for value in ["first-in-object", "second-in-object"] {
        for form in [value.to_owned(), STANDARD.encode(value)] {
            assert!(!texts.iter().any(|text| text.contains(&form)), "{form}");
        }
    }
}

/// A secret of the workflow that comes by the input `values` is known by its name, and what lives still of an earlier one likewise.
#[tokio::test(flavor = "multi_thread")]
async fn what_values_name_as_a_secret_is_not_told() {
    let own = ONE_SERVICE.replace(
        "GREETING: hello",
        "DB_PASSWORD: '{{ values.dbPassword }}', GREETING: '{{ values.greeting }}'",
    );
    assert_ne!(own, ONE_SERVICE);
    let shop = shop(&format!("{own}templates: [deploy/*.yaml.j2]\n")).await;
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: own}\ndata: {api-key: '{{ values.dbPassword }}', motd: '{{ values.greeting }}'}\n";
    shop.commit(&[("deploy/own.yaml.j2", map)]);
    let passwords = [
        "first_of*the+values",
        "second_of*the+values",
        "third_of*the+values",
    ];
    let values = |at: usize, greeting: &str| {
        json!({"dbPassword": passwords[at], "greeting": greeting}).to_string()
    };
    let mut texts = Vec::new();
    for (at, event, greeting) in [
        (0, shop.opens(1), "hello"),
        (1, shop.pushes(1), "hello"),
        (2, shop.says(1, "alice", "/diff"), passwords[2]),
        (2, shop.says(1, "alice", "/check"), passwords[2]),
    ] {
        let run = run(&shop, &event).input("values", &values(at, greeting));
        let seen = run.go_alone().await;
        assert_eq!(seen.exit, 0, "{seen:#?}");
        texts.push(seen.everything());
    }
    let differs = |text: &String| text.contains("DB_PASSWORD") && text.contains("data.api-key");
    assert!(told(&shop).iter().any(differs), "no `/diff` was answered");
    texts.extend(told(&shop));
    let lines = texts.iter().flat_map(|text| text.lines());
    for line in lines.filter(|line| !line.starts_with("::add-mask::")) {
        for password in passwords {
            let forms = forms_of(&[password]);
            let line = plain(line);
            assert!(
                !forms.lines().any(|form| line.contains(&plain(form))),
                "{line}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_says_what_it_was_asked_with_is_not_repeated() {
    use axum::{Router, http::StatusCode};
    let app = Router::new().fallback(async || (StatusCode::BAD_REQUEST, planted()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async { axum::serve(listener, app).await });
    let shop = shop(&ONE_SERVICE.replace("registry.example", &address)).await;
    let auths = json!({"auths": {address: {"username": "robot", "password": PULLED}}});
    let login = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "harbor", "namespace": "registry"},
        "type": "kubernetes.io/dockerconfigjson",
        "data": {".dockerconfigjson": STANDARD.encode(auths.to_string())},
    });
    shop.world.cluster.put(&login).unwrap();
    shop.opens(1);
    let seen = run(&shop, &shop.says(1, "alice", "/check")).go().await;
    seen.ends(0, "check-shown");
    shows_nothing("a registry", &shop, &seen);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_is_called_without_a_secret() {
    let shop = shop(ONE_SERVICE).await;
    run(&shop, &shop.opens(1))
        .go_alone()
        .await
        .ends(0, "deployed");
    for words in [planted(), cut_at(300), cut_at(400), cut_at(1_000)] {
        let ledger = Fault::on("*", LEDGER, refusal(403, &words));
        shop.world.cluster.inject(ledger.always());
        let seen = run(&shop, &shop.schedule()).go_alone().await;
        assert_ne!(seen.exit, 0, "{seen:#?}");
        shop.world.cluster.clear_faults();
        shows_nothing("the sweep", &shop, &seen);
    }
    let issues = shop.world.github.issues(SHOP);
    assert!(!issues.is_empty(), "nobody was called");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_asks_is_told_no_secret() {
    let shop = shop(ONE_SERVICE).await;
    run(&shop, &shop.opens(1))
        .go_alone()
        .await
        .ends(0, "deployed");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kubeconfig");
    std::fs::write(&file, kubeconfig(&shop)).unwrap();
    let mut wrong = Vec::new();
    for words in [planted(), cut_at(300), cut_at(400)] {
        for arguments in [
            &["status", "--pr", "1"][..],
            &["sweep"],
            &["deploy", "--pr", "1"],
            &["check", "--pr", "1"],
            &["diff", "--pr", "1"],
            &["metrics"],
        ] {
            for k in [1, 2, 4] {
                let refused = || Fault::on("*", "/**", refusal(403, &words)).nth(k).times(30);
                shop.world.github.inject(refused());
                shop.world.cluster.inject(refused());
                let output = tokio::process::Command::new(crate::support::binary())
                    .args(arguments)
                    .args(["-vv", "--output", "json", "--repository", SHOP])
                    .args(["--api-url", &shop.world.github.url()])
                    .env_clear()
                    .env("PREVIEW_TOKEN", shop.world.github.token())
                    .env("KUBECONFIG", &file)
                    .output()
                    .await
                    .unwrap();
                shop.world.github.clear_faults();
                shop.world.cluster.clear_faults();
                let (exit, data, said) = printed(&output);
                assert!(!said.contains("Usage:"), "{arguments:?}: {said}");
                wrong.extend(
                    leaks([data.as_str(), &said])
                        .into_iter()
                        .map(|line| format!("{arguments:?} {exit}: {line}")),
                );
            }
        }
    }
    assert_eq!(wrong, [""; 0]);
}
