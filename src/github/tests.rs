//! The client against small servers in this process: one that holds comments, and some that answer badly on purpose.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use super::*;
use crate::names::{AccessLevel, CommitSha, Marker, MarkerKind, PrNumber, ReasonCode, RepoId};
use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

/// A GitHub with comments of one pull request, which fails as often as it is told to.
#[derive(Default)]
struct World {
    comments: Vec<Value>,
    next_id: u64,
    /// For requests of a method: the status to answer, and whether to do what was asked all the same.
    faults: VecDeque<(Method, u16, bool)>,
    requests: Vec<String>,
    headers: HeaderMap,
    per_page: usize,
    /// Origin in Link headers.
    link_origin: String,
    /// A comment of another run that appears with the first POST.
    rival: Option<Value>,
}

type Shared = Arc<Mutex<World>>;

fn comment(id: u64, author: &str, body: &str) -> Value {
    json!({"id": id, "html_url": format!("https://github.test/c/{id}"), "body": body, "user": {"login": author}})
}

async fn serve(
    State(world): State<Shared>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut world = world.lock().unwrap();
    world.requests.push(format!("{method} {uri}"));
    world.headers = headers;
    let mut fault = None;
    if world.faults.front().is_some_and(|(of, ..)| *of == method) {
        fault = world.faults.pop_front();
    }
    if let Some((_, status, false)) = fault {
        let status = StatusCode::from_u16(status).unwrap();
        return (status, [("retry-after", "0")], "<html>oops</html>").into_response();
    }
    let answer = world.act(&method, &uri, &body);
    match fault {
        Some((_, status, _)) => (StatusCode::from_u16(status).unwrap(), "").into_response(),
        None => answer,
    }
}

impl World {
    fn act(&mut self, method: &Method, uri: &Uri, body: &[u8]) -> Response {
        let path = uri.path().trim_start_matches("/api/v3");
        let id = path
            .rsplit('/')
            .next()
            .and_then(|id| id.parse::<u64>().ok());
        let sent: Value = serde_json::from_slice(body).unwrap_or_default();
        match *method {
            Method::GET if path.ends_with("/issues/7/comments") => {
                let page: usize = uri
                    .query()
                    .and_then(|query| query.split('&').find_map(|p| p.strip_prefix("page=")))
                    .map_or(1, |page| page.parse().unwrap());
                let from = (page - 1) * self.per_page;
                let to = (from + self.per_page).min(self.comments.len());
                let items = self.comments[from.min(to)..to].to_vec();
                let mut headers = HeaderMap::new();
                if to < self.comments.len() {
                    let next = format!(
                        "<{}/api/v3/repositories/42/issues/7/comments?per_page=100&page={}>; rel=\"next\", <{}/x?page={}&per_page=100>; rel=\"last\"",
                        self.link_origin,
                        page + 1,
                        self.link_origin,
                        self.comments.len().div_ceil(self.per_page.max(1))
                    );
                    headers.insert("link", next.parse().unwrap());
                }
                (headers, axum::Json(items)).into_response()
            }
            Method::POST => {
                if let Some(rival) = self.rival.take() {
                    self.comments.push(rival);
                }
                self.next_id += 10;
                let new = comment(
                    self.next_id,
                    "github-actions[bot]",
                    sent["body"].as_str().unwrap(),
                );
                self.comments.push(new.clone());
                (StatusCode::CREATED, axum::Json(new)).into_response()
            }
            Method::PATCH | Method::GET => {
                let Some(found) = self.comments.iter_mut().find(|c| c["id"].as_u64() == id) else {
                    return (
                        StatusCode::NOT_FOUND,
                        axum::Json(json!({"message": "Not Found"})),
                    )
                        .into_response();
                };
                if *method == Method::PATCH {
                    found["body"] = sent["body"].clone();
                }
                axum::Json(found.clone()).into_response()
            }
            Method::DELETE => {
                self.comments.retain(|c| c["id"].as_u64() != id);
                StatusCode::NO_CONTENT.into_response()
            }
            _ => StatusCode::METHOD_NOT_ALLOWED.into_response(),
        }
    }
}

async fn listen(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

fn client(origin: &str) -> GitHub {
    let mut github = GitHub::connect(Options {
        api_url: &format!("{origin}/api/v3"),
        repository: "acme/web".parse().unwrap(),
        token: &Secret::new(" ghs_token\n"),
        extra_ca: None,
        proxies: Proxies::Off,
    })
    .unwrap();
    github.patience = Patience {
        first: Duration::from_millis(5),
        longest: Duration::from_millis(20),
        total: Duration::from_secs(3),
    };
    github
}

async fn world_with(comments: Vec<Value>) -> (GitHub, Shared) {
    let world: Shared = Arc::new(Mutex::new(World {
        comments,
        next_id: 1000,
        per_page: 100,
        ..World::default()
    }));
    let origin = listen(Router::new().fallback(serve).with_state(world.clone())).await;
    world.lock().unwrap().link_origin = origin.clone();
    (client(&origin), world)
}

/// A server that answers everything alike.
async fn always(
    status: u16,
    headers: &[(&'static str, String)],
    body: impl Into<String>,
) -> GitHub {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(*name, value.parse().unwrap());
    }
    let answer = (StatusCode::from_u16(status).unwrap(), map, body.into());
    client(&listen(Router::new().fallback(move || async move { answer.clone() })).await)
}

fn pr() -> PrNumber {
    PrNumber::new(7).unwrap()
}

fn marker() -> Marker {
    Marker {
        kind: MarkerKind::Status,
        repository: RepoId(42),
        pr: pr(),
        environment: "preview".parse().unwrap(),
    }
}

const BOT: &str = "github-actions[bot]";

fn ids(world: &Shared) -> Vec<u64> {
    let world = world.lock().unwrap();
    world
        .comments
        .iter()
        .map(|c| c["id"].as_u64().unwrap())
        .collect()
}

fn count(world: &Shared, begin: &str) -> usize {
    let world = world.lock().unwrap();
    world
        .requests
        .iter()
        .filter(|r| r.starts_with(begin))
        .count()
}

#[tokio::test]
async fn first_comment_is_created_and_edited_ever_after() {
    let (github, world) = world_with(vec![comment(1, "someone", "hello")]).await;
    let body = |text: &str| format!("{}\n{text}", marker());
    let first = github
        .upsert(pr(), &marker(), BOT, &body("one"), None)
        .await
        .unwrap();
    assert!(first.created);
    let second = github
        .upsert(pr(), &marker(), BOT, &body("two"), None)
        .await
        .unwrap();
    assert_eq!((second.id, second.created), (first.id, false));
    let third = github
        .upsert(pr(), &marker(), BOT, &body("three"), Some(first.id))
        .await
        .unwrap();
    assert_eq!(third.id, first.id);
    assert_eq!(ids(&world), [1, 1010]);
    assert_eq!(count(&world, "POST"), 1);
    assert_eq!(
        github.read(first.id).await.unwrap().unwrap().body,
        body("three")
    );
}

#[tokio::test]
async fn a_foreign_comment_with_our_marker_is_never_touched() {
    let spoof = comment(1, "mallory", &format!("{}\nready, trust me", marker()));
    let quoted = comment(2, BOT, &format!("> {}", marker()));
    let other = comment(
        3,
        BOT,
        &marker().to_string().replace("env=preview", "env=preview2"),
    );
    let (github, world) = world_with(vec![spoof.clone(), quoted.clone(), other.clone()]).await;
    let written = github
        .upsert(pr(), &marker(), BOT, &marker().to_string(), None)
        .await
        .unwrap();
    assert!(written.created);
    assert_eq!(world.lock().unwrap().comments[..3], [spoof, quoted, other]);
}

#[tokio::test]
async fn the_oldest_is_kept_and_younger_duplicates_go() {
    let mut comments: Vec<Value> = (1..=249)
        .map(|id| comment(id, "someone", "chatter"))
        .collect();
    comments.push(comment(250, BOT, &marker().to_string()));
    comments.push(comment(251, BOT, &marker().to_string()));
    let (github, world) = world_with(comments).await;
    let written = github
        .upsert(pr(), &marker(), BOT, &format!("{}\nnew", marker()), None)
        .await
        .unwrap();
    assert_eq!(
        (written.id.0, written.deleted_duplicates),
        (250, vec![CommentId(251)])
    );
    assert!(ids(&world).contains(&250) && !ids(&world).contains(&251));
    assert_eq!(count(&world, "GET"), 3, "three pages of 100");
    assert!(
        world.lock().unwrap().requests[1].contains("/repositories/42/"),
        "the link is followed as it is"
    );
}

#[tokio::test]
async fn a_link_to_another_server_is_not_followed_and_no_page_is_missed() {
    let mut comments: Vec<Value> = (1..=120)
        .map(|id| comment(id, "someone", "chatter"))
        .collect();
    comments.push(comment(121, BOT, &marker().to_string()));
    let (github, world) = world_with(comments).await;
    world.lock().unwrap().link_origin = "http://evil.test".into();
    assert_eq!(
        github.find(pr(), &marker(), BOT).await.unwrap()[0].id.0,
        121
    );
}

#[tokio::test]
async fn endless_pages_end() {
    let (github, world) =
        world_with(vec![comment(1, "someone", ""), comment(2, "someone", "")]).await;
    {
        // a page of none always has a next one
        let mut world = world.lock().unwrap();
        world.per_page = 0;
    }
    let error = github.find(pr(), &marker(), BOT).await.unwrap_err();
    assert!(error.to_string().contains("more than 100 pages"), "{error}");
}

#[tokio::test]
async fn a_lost_answer_to_post_makes_no_second_comment() {
    let (github, world) = world_with(vec![]).await;
    world
        .lock()
        .unwrap()
        .faults
        .push_back((Method::POST, 502, true));
    let written = github
        .upsert(pr(), &marker(), BOT, &marker().to_string(), None)
        .await
        .unwrap();
    assert!(written.created);
    assert_eq!(ids(&world), [1010]);
    assert_eq!(count(&world, "POST"), 1);
}

#[tokio::test]
async fn a_post_that_did_not_arrive_is_posted_again() {
    let (github, world) = world_with(vec![]).await;
    world
        .lock()
        .unwrap()
        .faults
        .push_back((Method::POST, 502, false));
    github
        .upsert(pr(), &marker(), BOT, &marker().to_string(), None)
        .await
        .unwrap();
    assert_eq!(ids(&world), [1010]);
    assert_eq!(count(&world, "POST"), 2);
}

#[tokio::test]
async fn a_post_that_a_limit_turned_away_comes_again() {
    let (github, world) = world_with(vec![]).await;
    world
        .lock()
        .unwrap()
        .faults
        .push_back((Method::POST, 429, false));
    github
        .upsert(pr(), &marker(), BOT, &marker().to_string(), None)
        .await
        .unwrap();
    assert_eq!(ids(&world), [1010]);
    assert_eq!((count(&world, "POST"), count(&world, "GET")), (2, 2));
}

#[tokio::test]
async fn two_runs_that_create_at_once_end_with_one_comment() {
    let (github, world) = world_with(vec![]).await;
    world.lock().unwrap().rival = Some(comment(1005, BOT, &marker().to_string()));
    let body = format!("{}\nmine", marker());
    let written = github
        .upsert(pr(), &marker(), BOT, &body, None)
        .await
        .unwrap();
    assert_eq!(
        (written.id.0, written.deleted_duplicates),
        (1005, vec![CommentId(1010)])
    );
    assert_eq!(world.lock().unwrap().comments, [comment(1005, BOT, &body)]);
}

#[tokio::test]
async fn a_wrong_author_heals_itself_after_the_first_post() {
    let (github, world) = world_with(vec![comment(5, BOT, &marker().to_string())]).await;
    let body = format!("{}\nmine", marker());
    let written = github
        .upsert(pr(), &marker(), "somebody-else", &body, None)
        .await
        .unwrap();
    assert_eq!(written.id.0, 5);
    assert_eq!(ids(&world), [5]);
}

#[tokio::test]
async fn a_deleted_comment_is_written_anew() {
    let (github, world) = world_with(vec![]).await;
    let written = github
        .upsert(
            pr(),
            &marker(),
            BOT,
            &marker().to_string(),
            Some(CommentId(5)),
        )
        .await
        .unwrap();
    assert!(written.created);
    assert_eq!(ids(&world), [1010]);
    assert_eq!(github.read(CommentId(5)).await.unwrap(), None);
}

#[tokio::test]
async fn reading_is_repeated_and_the_headers_are_ours() {
    let (github, world) = world_with(vec![]).await;
    world
        .lock()
        .unwrap()
        .faults
        .extend([(Method::GET, 502, false), (Method::GET, 503, false)]);
    github.find(pr(), &marker(), BOT).await.unwrap();
    assert_eq!(count(&world, "GET"), 3);
    let headers = &world.lock().unwrap().headers;
    let all = |name: &str| {
        headers
            .get_all(name)
            .iter()
            .map(|v| v.to_str().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(all("accept"), ["application/vnd.github+json"]);
    assert_eq!(all("x-github-api-version"), ["2022-11-28"]);
    assert_eq!(
        all("user-agent"),
        [concat!("preview-action/", env!("CARGO_PKG_VERSION"))]
    );
    assert_eq!(all("authorization"), ["Bearer ghs_token"]);
}

#[tokio::test]
async fn a_short_limit_is_waited_for_and_a_long_one_is_not() {
    let soon = always(429, &[("retry-after", "1".into())], "{}").await;
    let started = std::time::Instant::now();
    assert!(soon.pull(pr()).await.is_err());
    assert!(started.elapsed() >= Duration::from_secs(1));

    let in_a_while = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(2);
    let printer = jiff::fmt::rfc2822::DateTimePrinter::new();
    let date = printer.timestamp_to_rfc9110_string(&in_a_while).unwrap();
    let dated = always(429, &[("retry-after", date)], "{}").await;
    let started = std::time::Instant::now();
    assert!(dated.pull(pr()).await.is_err());
    assert!(started.elapsed() >= Duration::from_millis(900));

    let now = jiff::Timestamp::now();
    let reset = (now.as_second() + 3600).to_string();
    let late = always(
        403,
        &[
            ("x-ratelimit-remaining", "0".into()),
            ("x-ratelimit-reset", reset),
        ],
        r#"{"message":"API rate limit exceeded"}"#,
    )
    .await;
    let started = std::time::Instant::now();
    let error = late.pull(pr()).await.unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(25));
    let GitHubError::RateLimited { until, .. } = &error else {
        panic!("{error}")
    };
    let minutes = (until.as_second() - now.as_second()) / 60;
    assert!((58..=61).contains(&minutes), "{error}");
}

/// A server under maintenance says when it is back; what may have been done all the same is not called turned away.
#[tokio::test]
async fn a_server_that_says_when_it_is_back_is_left_alone_until_then() {
    let busy = async |seconds: &str| always(503, &[("retry-after", seconds.into())], "{}").await;
    let late = busy("3600").await;
    let error = late.pull(pr()).await.unwrap_err();
    let GitHubError::RateLimited { until, .. } = &error else {
        panic!("{error}")
    };
    let minutes = until.duration_since(jiff::Timestamp::now()).as_mins();
    assert!((58..=60).contains(&minutes), "{error}");
    assert!(!late.spares(0), "nothing more is asked");

    let sha = "a".repeat(40).parse().unwrap();
    let new = NewDeployment {
        sha: &sha,
        environment: "preview",
        task: "preview:pr-7",
        description: "",
    };
    let posts = busy("3600").await;
    let error = posts.deploy(&new).await.unwrap_err();
    assert!(error.may_have_happened(), "{error}");
}

#[tokio::test]
async fn refusals_name_what_helps() {
    let github = always(
        403,
        &[],
        r#"{"message":"Resource not accessible by integration"}"#,
    )
    .await;
    let error = github
        .upsert(pr(), &marker(), BOT, "x", Some(CommentId(1)))
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot edit our comment on #7: GitHub refuses it to this token: Resource not accessible by integration"
    );
    assert!(
        error.remedy().contains("`pull-requests: write`"),
        "{}",
        error.remedy()
    );

    let error = always(401, &[], r#"{"message":"Bad credentials"}"#)
        .await
        .pull(pr())
        .await
        .unwrap_err();
    assert!(error.remedy().contains("input `token`"));

    let error = always(404, &[], r#"{"message":"Not Found"}"#)
        .await
        .pull(pr())
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot read pull request #7: GitHub knows no /repos/acme/web/pulls/7"
    );

    let body =
        r#"{"message":"Validation Failed","errors":[{"field":"body","code":"too_long"},"second"]}"#;
    let error = always(422, &[], body).await.pull(pr()).await.unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("Validation Failed (body too_long; second)"),
        "{error}"
    );

    let html = always(
        200,
        &[("content-type", "text/html".into())],
        "<html>log in</html>",
    )
    .await;
    let error = html.pull(pr()).await.unwrap_err();
    assert!(matches!(error, GitHubError::Unreadable { .. }), "{error}");
    assert_eq!(error.reason(), ReasonCode::GithubRefused);

    let moved = always(301, &[("location", "http://169.254.169.254/".into())], "").await;
    let error = moved.pull(pr()).await.unwrap_err();
    assert!(error.to_string().contains("301"), "{error}");
}

#[tokio::test]
async fn no_error_shows_the_token() {
    for error in [
        client("http://127.0.0.1:1").repository().await.unwrap_err(),
        always(401, &[], "{}").await.repository().await.unwrap_err(),
    ] {
        assert!(!format!("{error} {error:?} {}", error.remedy()).contains("ghs_token"));
    }
    for wrong in ["", " \n", "two words", "gh\u{7f}s"] {
        let error = GitHub::connect(Options {
            api_url: "https://api.github.com",
            repository: "acme/web".parse().unwrap(),
            token: &Secret::new(wrong),
            extra_ca: None,
            proxies: Proxies::Off,
        })
        .unwrap_err();
        assert_eq!(error.reason(), ReasonCode::BadInput, "{error}");
    }
}

#[tokio::test]
async fn an_unreachable_server_is_named() {
    let error = client("http://127.0.0.1:1").pull(pr()).await.unwrap_err();
    assert!(error.to_string().contains("127.0.0.1:1"), "{error}");
    assert_eq!(error.reason(), ReasonCode::GithubUnreachable);
    assert!(!error.may_have_happened());
}

#[test]
fn an_address_that_is_none_is_refused() {
    for wrong in [
        "",
        "api.github.com",
        "ftp://x",
        "https://user@x",
        "https://x?y",
        "https://",
    ] {
        assert!(api_base(wrong).is_err(), "{wrong}");
    }
    assert_eq!(
        api_base("https://ghe.test/api/v3/").unwrap().path(),
        "/api/v3"
    );
}

#[tokio::test]
async fn an_unknown_issuer_is_named_and_ca_bundle_mends_it() {
    let key = rcgen::generate_simple_self_signed(["localhost".into()]).unwrap();
    let acceptor = tls::tests::acceptor(&key.cert, &key.signing_key);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    return;
                };
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                let body = r#"{"login":"octo"}"#;
                let answer = format!(
                    "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                    body.len()
                );
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.shutdown().await;
            });
        }
    });
    let options = |extra_ca| Options {
        api_url: "",
        repository: "acme/web".parse().unwrap(),
        token: Box::leak(Box::new(Secret::new("t0ken"))),
        extra_ca,
        proxies: Proxies::Off,
    };
    let url = format!("https://localhost:{port}");
    let without = GitHub::connect(Options {
        api_url: &url,
        ..options(None)
    })
    .unwrap();
    let error = without.comment_author(None).await.unwrap_err();
    assert!(
        error.remedy().contains("`ca-bundle`"),
        "{error}: {}",
        error.remedy()
    );
    let pem = key.cert.pem();
    let with = GitHub::connect(Options {
        api_url: &url,
        ..options(Some(&pem))
    })
    .unwrap();
    assert_eq!(with.comment_author(None).await.unwrap(), "octo");
}

#[tokio::test]
async fn the_author_is_configured_asked_or_the_workflow_bot() {
    let refused = always(
        403,
        &[],
        r#"{"message":"Resource not accessible by integration"}"#,
    )
    .await;
    assert_eq!(refused.comment_author(None).await.unwrap(), BOT);
    assert_eq!(
        refused.comment_author(Some("my-app[bot]")).await.unwrap(),
        "my-app[bot]"
    );
    let app = always(200, &[], r#"{"data":{"viewer":{"login":"app[bot]"}}}"#).await;
    assert_eq!(app.comment_author(None).await.unwrap(), "app[bot]");
    let user = always(200, &[], r#"{"login":"octo","id":1}"#).await;
    assert_eq!(user.comment_author(None).await.unwrap(), "octo");
    assert!(
        always(401, &[], "{}")
            .await
            .comment_author(None)
            .await
            .is_err()
    );
}

#[tokio::test]
async fn access_is_read_loosely_and_fails_closed() {
    let of = |status, body: &'static str| async move {
        always(status, &[], body).await.access("octo/../x").await
    };
    let write = of(
        200,
        r#"{"permission":"write","role_name":"maintain","user":null}"#,
    )
    .await
    .unwrap();
    assert_eq!(
        (write.level, write.role.as_str()),
        (AccessLevel::Write, "maintain")
    );
    let old = of(200, r#"{"permission":"read"}"#).await.unwrap();
    assert_eq!((old.level, old.role.as_str()), (AccessLevel::Read, "read"));
    assert_eq!(of(404, "{}").await.unwrap().level, AccessLevel::None);
    for (status, body) in [
        (200, "{}"),
        (200, "[]"),
        (403, "{}"),
        (500, "{}"),
        (200, r#"{"permission":null}"#),
    ] {
        assert!(of(status, body).await.is_err(), "{status} {body}");
    }
}

const SHA: &str = "0123456789abcdef0123456789abcdef01234567";

fn pull(number: u64) -> Value {
    json!({
        "number": number, "title": "Add `x` @all", "state": "open", "draft": null, "user": null, "merged_at": null,
        "head": {"sha": SHA, "ref": "feature/x", "repo": null},
        "base": {"sha": SHA, "ref": "main", "repo": {"id": 42}},
    })
}

#[tokio::test]
async fn a_pull_request_is_read_with_all_that_may_be_missing() {
    let read = always(200, &[], pull(7).to_string())
        .await
        .pull(pr())
        .await
        .unwrap();
    assert_eq!(read.author.login, "ghost");
    assert!(read.open && !read.merged && !read.draft && read.from_fork());
    let mut closed = pull(7);
    closed["state"] = json!("closed");
    closed["merged_at"] = json!("2026-11-21T07:00:00Z");
    closed["head"]["repo"] = json!({"id": 42});
    closed["user"] = json!({"login": "renovate[bot]", "type": "Bot"});
    let list = always(200, &[], json!([closed]).to_string())
        .await
        .open_pulls()
        .await
        .unwrap();
    let (first, _) = &list[0];
    assert!(first.merged && !first.open && !first.from_fork() && first.author.bot);
}

async fn contents(answer: Value) -> Result<Option<String>, GitHubError> {
    always(200, &[], answer.to_string())
        .await
        .file("a b/c.yml", "main")
        .await
}

#[tokio::test]
async fn a_file_is_text_or_refused() {
    let file = |content: &str| json!({"type": "file", "encoding": "base64", "content": content, "size": 3});
    assert_eq!(
        contents(file("YcOk\nYg==\n")).await.unwrap().unwrap(),
        "aäb"
    );
    assert_eq!(
        always(404, &[], "{}")
            .await
            .file("x", "main")
            .await
            .unwrap(),
        None
    );
    for (answer, word) in [
        (json!([]), "folder"),
        (
            json!({"type": "symlink", "target": "/etc/passwd"}),
            "symbolic link",
        ),
        (json!({"type": "submodule"}), "submodule"),
        (
            json!({"type": "file", "encoding": "none", "content": "", "size": 2_000_000}),
            "1 MiB",
        ),
        (file("/w=="), "UTF-8"),
    ] {
        let error = contents(answer).await.unwrap_err();
        assert!(error.to_string().contains(word), "{error}");
        assert_eq!(error.reason(), ReasonCode::BadConfiguration);
    }
}

#[tokio::test]
async fn files_are_chosen_by_pattern_and_links_are_refused() {
    let entry = |path: &str, mode: &str, kind: &str| json!({"path": path, "mode": mode, "type": kind, "sha": SHA});
    let serve = |entries: Vec<Value>, truncated: bool| async move {
        let tree = json!({"tree": entries, "truncated": truncated});
        let router = Router::new().fallback(move |uri: Uri| async move {
            match uri.path().contains("/git/trees/") {
                true => axum::Json(tree),
                false => axum::Json(json!({"type": "file", "encoding": "base64", "size": 1,
                    "content": base64::Engine::encode(&base64::engine::general_purpose::STANDARD, uri.to_string())})),
            }
        });
        client(&listen(router).await)
    };
    let sha: CommitSha = SHA.parse().unwrap();
    let patterns = ["deploy/*.j2".to_owned(), "./x/**/*.yml".into()];
    let github = serve(
        vec![
            entry("deploy/web.j2", "100644", "blob"),
            entry("deploy/sub/deep.j2", "100644", "blob"),
            entry("deploy", "040000", "tree"),
            entry("x/a/b.yml", "100755", "blob"),
            entry("other", "120000", "blob"),
        ],
        false,
    )
    .await;
    let files = github.files(&patterns, &sha).await.unwrap();
    let paths: Vec<&str> = files.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(paths, ["deploy/web.j2", "x/a/b.yml"]);
    assert!(
        files[0]
            .1
            .ends_with(&format!("/contents/deploy/web.j2?ref={SHA}")),
        "{}",
        files[0].1
    );

    let link = serve(vec![entry("deploy/l.j2", "120000", "blob")], false).await;
    assert!(
        link.files(&patterns, &sha)
            .await
            .unwrap_err()
            .to_string()
            .contains("deploy/l.j2")
    );
    assert!(
        serve(vec![], true)
            .await
            .files(&patterns, &sha)
            .await
            .is_err()
    );
    assert!(
        serve(vec![], false)
            .await
            .files(&["a/**b".into()], &sha)
            .await
            .is_err()
    );
}
