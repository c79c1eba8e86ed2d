//! Shows over HTTP that the simulated GitHub answers as GitHub's REST API does.

#![expect(clippy::unwrap_used, reason = "a failed step fails its test")]

use base64::Engine as _;
use serde_json::{Value, json};

use super::{Access, NewPull, Options};
use crate::simulate::probe::{Answer, Probe};
use crate::simulate::{Fault, World, WorldOptions};

const REPO: &str = "octo/shop";

async fn world() -> (World, Probe, u64) {
    with(Options::default()).await
}

async fn with(github: Options) -> (World, Probe, u64) {
    let world = World::start(WorldOptions {
        github,
        ..WorldOptions::default()
    })
    .await
    .unwrap();
    let probe = Probe::new(&world.github.url(), &world.github.token());
    world.github.create_repository(REPO);
    let number = world.github.open_pull(REPO, NewPull::default());
    (world, probe, number)
}

fn body(text: &str) -> Value {
    json!({"body": text})
}

fn comments(number: u64) -> String {
    format!("/repos/{REPO}/issues/{number}/comments")
}

fn message(answer: &Answer) -> String {
    answer.json()["message"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

#[tokio::test]
async fn a_comment_lives_through_create_edit_and_delete() {
    let (world, probe, number) = world().await;
    let created = probe.post(&comments(number), &body("one")).await;
    assert_eq!(created.status, 201);
    let comment = created.json();
    assert_eq!(
        comment["user"],
        json!({
            "login": "github-actions[bot]", "id": 41_898_282, "type": "Bot", "site_admin": false,
            "html_url": "https://github.example/github-actions",
        })
    );
    let at = format!("/repos/{REPO}/issues/comments/{}", comment["id"]);
    let patched = probe
        .send("PATCH", &at, "application/json", &body("two"))
        .await;
    assert_eq!(
        (patched.status, &patched.json()["body"]),
        (200, &json!("two"))
    );
    assert_eq!(probe.post(&at, &body("three")).await.status, 200);
    assert_eq!(probe.get(&at).await.json()["body"], "three");
    let written = world.github.comments(REPO, number);
    let bodies: Vec<&str> = written[0]
        .history
        .iter()
        .map(|(_, body)| body.as_str())
        .collect();
    assert_eq!(bodies, ["one", "two", "three"]);
    assert_eq!(probe.delete(&at).await.status, 204);
    assert_eq!(probe.get(&at).await.status, 404);
    assert!(world.github.comments(REPO, number).is_empty());
    assert_eq!(world.github.all_comments(REPO, number).len(), 1);
}

#[tokio::test]
async fn bad_comments_are_refused_in_githubs_words() {
    let (_world, probe, number) = world().await;
    let missing = probe.post(&comments(number), &json!({})).await;
    assert_eq!(
        (missing.status, message(&missing).as_str()),
        (422, "Invalid request.\n\n\"body\" wasn't supplied.")
    );
    let blank = probe.post(&comments(number), &body("")).await;
    assert_eq!(blank.json()["errors"][0]["message"], "Body cannot be blank");
    let long = probe
        .post(&comments(number), &body(&"x".repeat(65_537)))
        .await;
    assert_eq!(long.status, 422);
    assert_eq!(
        long.json()["errors"][0]["message"],
        "Body is too long (maximum is 65536 characters)"
    );
    assert_eq!(probe.post(&comments(99), &body("x")).await.status, 404);
}

#[tokio::test]
async fn pages_are_linked_by_repository_id() {
    let (world, probe, number) = world().await;
    for count in 0..7 {
        world
            .github
            .comment(REPO, number, "dev", &format!("comment {count}"));
    }
    let mut url = format!("{}?per_page=3", comments(number));
    let mut seen = Vec::new();
    loop {
        let page = probe.get(&url).await;
        seen.extend(page.json().as_array().unwrap().clone());
        let links = page.header("link");
        let Some(next) = links
            .split(", ")
            .find(|link| link.ends_with("rel=\"next\""))
        else {
            break;
        };
        url = next.split(['<', '>']).nth(1).unwrap().to_owned();
        assert!(url.contains("/repositories/"), "{url}");
    }
    assert_eq!(seen.len(), 7);
    assert_eq!(seen[6]["body"], "comment 6");
    let ids: Vec<u64> = seen
        .iter()
        .map(|comment| comment["id"].as_u64().unwrap())
        .collect();
    assert!(ids.is_sorted());
}

#[tokio::test]
async fn a_prefix_stands_before_everything() {
    let options = Options {
        prefix: "/api/v3".to_owned(),
        rate_limit: None,
        ..Options::default()
    };
    let (world, probe, number) = with(options).await;
    assert!(world.github.url().ends_with("/api/v3"));
    let list = probe.get(&format!("{}?per_page=1", comments(number))).await;
    assert_eq!(list.status, 200);
    assert_eq!(list.header("x-ratelimit-limit"), "");
    world.github.comment(REPO, number, "dev", "a");
    world.github.comment(REPO, number, "dev", "b");
    let list = probe.get(&format!("{}?per_page=1", comments(number))).await;
    assert!(
        list.header("link").contains("/api/v3/repositories/"),
        "{}",
        list.header("link")
    );
}

#[tokio::test]
async fn tokens_decide_identity_and_rights() {
    let (world, probe, number) = world().await;
    assert_eq!(
        message(&probe.get("/user").await),
        "Resource not accessible by integration"
    );
    world.github.show_user(true);
    assert_eq!(
        probe.get("/user").await.json()["login"],
        "github-actions[bot]"
    );
    let stranger = Probe::new(&world.github.url(), "wrong");
    let refused = stranger.get("/user").await;
    assert_eq!(
        (refused.status, message(&refused).as_str()),
        (401, "Bad credentials")
    );
    world
        .github
        .add_token("fork", "github-actions[bot]", Access::Read);
    let fork = Probe::new(&world.github.url(), "fork");
    assert_eq!(fork.get(&comments(number)).await.status, 200);
    let refused = fork.post(&comments(number), &body("x")).await;
    assert_eq!(
        (refused.status, message(&refused).as_str()),
        (403, "Resource not accessible by integration")
    );
}

#[tokio::test]
async fn permissions_follow_the_table() {
    let (world, probe, _) = world().await;
    world
        .github
        .set_permission(REPO, "maria", "write", "maintain");
    world.github.add_user("stranger");
    let ask = async |login: &str| {
        probe
            .get(&format!("/repos/{REPO}/collaborators/{login}/permission"))
            .await
    };
    let maria = ask("maria").await.json();
    assert_eq!(
        (&maria["permission"], &maria["role_name"]),
        (&json!("write"), &json!("maintain"))
    );
    assert_eq!(ask("octo").await.json()["permission"], "admin");
    assert_eq!(ask("stranger").await.json()["permission"], "read");
    let unknown = ask("nobody").await;
    assert_eq!(
        (unknown.status, message(&unknown).as_str()),
        (404, "nobody is not a user")
    );
    world.github.make_private(REPO);
    assert_eq!(ask("stranger").await.json()["permission"], "none");
    assert_eq!(
        ask("github-actions%5Bbot%5D").await.json()["user"]["login"],
        "github-actions[bot]"
    );
}

#[tokio::test]
async fn files_are_read_at_their_commit() {
    let (world, probe, number) = world().await;
    let old = world
        .github
        .push(REPO, number, &[(".github/preview.yml", "version: 1\n")]);
    let long = "x".repeat(100);
    let new = world.github.push(
        REPO,
        number,
        &[(".github/preview.yml", &long), ("k8s/a.yaml", "a: 1\n")],
    );
    let at = |path: &str, sha: &str| format!("/repos/{REPO}/contents/{path}?ref={sha}");
    let file = probe.get(&at(".github/preview.yml", &old)).await.json();
    assert_eq!(file["encoding"], "base64");
    let decode = |text: &str| {
        let joined: String = text.split_whitespace().collect();
        String::from_utf8(
            base64::engine::general_purpose::STANDARD
                .decode(joined)
                .unwrap(),
        )
        .unwrap()
    };
    assert_eq!(decode(file["content"].as_str().unwrap()), "version: 1\n");
    let file = probe.get(&at(".github/preview.yml", &new)).await.json();
    assert!(file["content"].as_str().unwrap().lines().count() > 1);
    assert_eq!(decode(file["content"].as_str().unwrap()), long);
    let raw = probe
        .request("GET", &at("k8s/a.yaml", &new))
        .header("accept", "application/vnd.github.raw+json");
    assert_eq!(probe.try_send(raw).await.unwrap().text, "a: 1\n");
    assert_eq!(probe.get(&at("k8s/a.yaml", &old)).await.status, 404);
    assert_eq!(
        message(&probe.get(&at("k8s/a.yaml", "nowhere")).await),
        "No commit found for the ref nowhere"
    );
    let folder = probe.get(&at("", &new)).await.json();
    let names: Vec<&str> = folder
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, [".github", "README.md", "k8s"]);
    let tree = probe
        .get(&format!("/repos/{REPO}/git/trees/{new}?recursive=1"))
        .await
        .json();
    assert_eq!(tree["tree"][2]["path"], "k8s/a.yaml");
    let commit = probe
        .get(&format!("/repos/{REPO}/commits/{}", &new[..7]))
        .await
        .json();
    assert_eq!(
        (&commit["sha"], &commit["parents"][0]["sha"]),
        (&json!(new), &json!(old))
    );
    assert_eq!(
        probe
            .get(&format!("/repos/{REPO}/commits/0000000"))
            .await
            .status,
        422
    );
}

#[tokio::test]
async fn pull_requests_move_close_and_merge() {
    let (world, probe, number) = world().await;
    let at = format!("/repos/{REPO}/pulls/{number}");
    let pull = probe.get(&at).await.json();
    assert_eq!(
        (&pull["state"], &pull["merged"], &pull["draft"]),
        (&json!("open"), &json!(false), &json!(false))
    );
    assert_eq!(pull["head"]["repo"]["id"], pull["base"]["repo"]["id"]);
    assert_eq!(pull["head"]["label"], "octo:feature");
    let pushed = world.github.push(REPO, number, &[]);
    assert_eq!(probe.get(&at).await.json()["head"]["sha"], pushed.as_str());
    assert_eq!(world.github.head(REPO, number), pushed);
    let second = world.github.open_pull(
        REPO,
        NewPull {
            branch: "other".into(),
            draft: true,
            ..NewPull::default()
        },
    );
    let open = probe
        .get(&format!("/repos/{REPO}/pulls?state=open"))
        .await
        .json();
    let numbers: Vec<u64> = open
        .as_array()
        .unwrap()
        .iter()
        .map(|pull| pull["number"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, [second, number]);
    world.github.merge(REPO, number);
    world.github.close(REPO, second);
    assert_eq!(probe.get(&at).await.json()["merged"], true);
    assert_eq!(
        probe
            .get(&format!("/repos/{REPO}/commits/main"))
            .await
            .json()["sha"],
        pushed.as_str()
    );
    assert_eq!(
        probe.get(&format!("/repos/{REPO}/pulls")).await.json(),
        json!([])
    );
    world.github.reopen(REPO, second);
    let closed = probe
        .get(&format!("/repos/{REPO}/pulls?state=closed"))
        .await
        .json();
    assert_eq!(closed.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_fork_has_another_repository_until_it_is_deleted() {
    let (world, probe, _) = world().await;
    let fork = NewPull {
        fork: Some("eve/shop".into()),
        author: "eve".into(),
        ..NewPull::default()
    };
    let number = world.github.open_pull(REPO, fork);
    let sha = world.github.push(REPO, number, &[("a", "b")]);
    let pull = probe
        .get(&format!("/repos/{REPO}/pulls/{number}"))
        .await
        .json();
    assert_ne!(pull["head"]["repo"]["id"], pull["base"]["repo"]["id"]);
    assert_eq!(
        (&pull["head"]["label"], &pull["head"]["sha"]),
        (&json!("eve:feature"), &json!(sha))
    );
    assert_eq!(
        probe
            .get(&format!("/repos/{REPO}/contents/a?ref={sha}"))
            .await
            .status,
        200
    );
    world.github.delete_head_repository(REPO, number);
    assert_eq!(
        world.github.pull_request_event(REPO, number, "closed")["pull_request"]["head"]["repo"],
        Value::Null
    );
}

#[tokio::test]
async fn payloads_carry_what_a_deploy_reads() {
    let (world, _, number) = world().await;
    let opened = world.github.pull_request_event(REPO, number, "opened");
    assert_eq!(
        (&opened["action"], &opened["number"]),
        (&json!("opened"), &json!(number))
    );
    assert_eq!(
        opened["pull_request"]["head"]["sha"],
        world.github.head(REPO, number).as_str()
    );
    assert_eq!(
        opened["pull_request"]["base"]["repo"]["default_branch"],
        "main"
    );
    assert_eq!(opened["repository"]["owner"]["login"], "octo");
    assert_eq!(opened["sender"]["type"], "User");
    let id = world.github.comment(REPO, number, "maria", "/deploy");
    let created = world.github.comment_event(REPO, id, "created");
    assert_eq!(created["comment"]["body"], "/deploy");
    assert_eq!(created["sender"]["id"], created["comment"]["user"]["id"]);
    assert!(created["issue"]["pull_request"].is_object());
    assert!(created.get("pull_request").is_none());
    assert_eq!(
        world.github.schedule_event("*/5 * * * *"),
        json!({"schedule": "*/5 * * * *"})
    );
    let dispatch =
        world
            .github
            .dispatch_event(REPO, "maria", &[("command", "deploy"), ("pr", "7")]);
    assert_eq!(dispatch["inputs"], json!({"command": "deploy", "pr": "7"}));
    assert_eq!(
        world.github.pull_request_event(REPO, 99, "opened"),
        Value::Null
    );
}

#[tokio::test]
async fn repositories_and_unknown_routes() {
    let (world, probe, _) = world().await;
    let id = world.github.create_repository(REPO);
    let repository = probe.get(&format!("/repos/{REPO}")).await.json();
    assert_eq!(
        (&repository["id"], &repository["full_name"]),
        (&json!(id), &json!(REPO))
    );
    assert_eq!(
        probe.get(&format!("/repositories/{id}")).await.json(),
        repository
    );
    assert_eq!(probe.get("/repos/octo/none").await.status, 404);
    assert!(world.unexpected().is_empty());
    assert_eq!(probe.get(&format!("/repos/{REPO}/hooks")).await.status, 404);
    assert_eq!(world.unexpected(), ["GET /repos/octo/shop/hooks"]);
}

#[tokio::test]
async fn a_lost_answer_leaves_the_comment_written() {
    let (world, probe, number) = world().await;
    let lost = crate::simulate::Action::WriteThenAnswer {
        status: 502,
        body: json!("bad gateway"),
    };
    world
        .github
        .inject(Fault::on("POST", "/repos/*/*/issues/*/comments", lost));
    assert_eq!(probe.post(&comments(number), &body("x")).await.status, 502);
    assert_eq!(world.github.comments(REPO, number).len(), 1);
    let first = probe.get(&comments(number)).await;
    let remaining = |answer: &Answer| {
        answer
            .header("x-ratelimit-remaining")
            .parse::<u64>()
            .unwrap()
    };
    assert_eq!(
        remaining(&first) - 1,
        remaining(&probe.get(&comments(number)).await)
    );
}
