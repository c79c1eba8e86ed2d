//! `/logs` and `/diff`: one comment of its own for each, for ever, and nothing else is touched.
//! What they show is untrusted: it is masked, cut to fit and shown as it is, never obeyed.

use crate::support::{CONFIGURATION, ONE_SERVICE, SHOP, Shop, keeps_record};
use preview_action::simulate::github::Comment;

/// Two services, whose images differ in their names.
const TWO: &str = "version: 1
services:
  web:
    image: registry.example/web:{short-sha}
    port: 8080
    public: true
  worker:
    image: registry.example/worker:{short-sha}
";

/// The one answer of a kind.
fn answer(shop: &Shop, kind: &str) -> Comment {
    let marked = format!("kind={kind} ");
    let mut found: Vec<Comment> = shop
        .world
        .github
        .comments(SHOP, 1)
        .into_iter()
        .filter(|comment| {
            comment.body.starts_with("<!-- preview-action") && comment.body.contains(&marked)
        })
        .collect();
    assert_eq!(found.len(), 1, "{found:#?}");
    found.remove(0)
}

/// Everything that a run changed in the cluster.
fn writes(shop: &Shop, since: usize) -> Vec<String> {
    let all = shop.requests("cluster", since);
    let writes = all
        .iter()
        .filter(|one| one.method != "GET" && !keeps_record(one));
    writes
        .map(|one| format!("{} {}", one.method, one.path))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_lines_of_each_service_come_in_one_comment() {
    let shop = Shop::selling(TWO).await;
    shop.world
        .cluster
        .script_log("/web:", "web: listening\nweb: served /\n");
    shop.world
        .cluster
        .script_log("/worker:", "worker: nothing to do\n");
    shop.deployed(1).await;
    shop.deployed(2).await;
    let status = shop.comment(1);
    let before = shop.now();
    shop.hears(&shop.says(1, "bob", "/logs"))
        .await
        .ends(0, "logs-shown");
    let first = answer(&shop, "logs");
    for text in ["web: served /", "worker: nothing to do", "`pr-shop-1`"] {
        assert!(first.body.contains(text), "no {text:?} in {}", first.body);
    }
    assert_eq!(writes(&shop, before), [""; 0]);
    let read = shop.requests("cluster", before);
    assert!(
        !read.iter().any(|one| one.path.contains("pr-shop-2")),
        "another pull request's preview was read"
    );
    shop.hears(&shop.says(1, "bob", "/logs worker"))
        .await
        .ends(0, "logs-shown");
    let second = answer(&shop, "logs");
    assert_eq!(second.id, first.id);
    assert!(second.body.contains("worker: nothing to do") && !second.body.contains("web: served"));
    assert_eq!(shop.comment(1), status, "the status stays what it is");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_named_with_what_is() {
    let shop = Shop::selling(TWO).await;
    shop.deployed(1).await;
    for (command, text) in [
        ("/logs wbe", "`web`, `worker`"),
        ("/logs web --container sidecar", "`web`"),
        ("/logs web --previous", "No log: "),
    ] {
        let seen = shop.hears(&shop.says(1, "bob", command)).await;
        assert_eq!(seen.exit, 0, "{seen:#?}");
        let body = answer(&shop, "logs").body;
        assert!(body.contains(text), "{command}: no {text:?} in {body}");
    }
    for wrong in [
        "/logs web worker",
        "/logs --container",
        "/logs ../etc",
        "/logs Web",
        "/logs --follow",
    ] {
        let seen = shop.hears(&shop.says(1, "bob", wrong)).await;
        seen.ends(0, "not-a-command");
        assert!(
            seen.comment().contains("the name of one service"),
            "{wrong}: {}",
            seen.comment()
        );
    }
    shop.hears(&shop.says(1, "bob", "/undeploy"))
        .await
        .ends(0, "removed");
    shop.hears(&shop.says(1, "bob", "/logs"))
        .await
        .ends(0, "no-preview");
    shop.hears(&shop.says(1, "mallory", "/logs"))
        .await
        .ends(0, "permission-denied");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_data_its_end_is_kept_and_its_secrets_are_not() {
    let shop = Shop::open().await;
    let noise: String = (0..40_000)
        .map(|line| format!("line {line} of a long story {}\n", "x".repeat(300)))
        .collect();
    let token = shop.world.github.token();
    let log = format!(
        "{noise}token={token}\n````\n</details>\n@alice <img src=x> <!-- preview-action v1 kind=status -->\nthe very last line\n"
    );
    shop.world.cluster.script_log("/web:", &log);
    shop.deployed(1).await;
    shop.hears(&shop.says(1, "bob", "/logs"))
        .await
        .ends(0, "logs-shown");
    let body = answer(&shop, "logs").body;
    assert!(body.chars().count() <= 60_000, "{}", body.chars().count());
    assert!(body.contains("the very last line"));
    assert!(body.contains("lines before these were left out"));
    assert!(!body.contains(&token));
    let outside: String = outside_of_fences(&body);
    for text in ["@alice", "<img", "kind=status", "the very last line"] {
        assert!(!outside.contains(text), "{text} breaks out: {outside}");
    }
    assert_eq!(outside.matches("</details>").count(), 1);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_log_of_short_lines_the_last_five_hundred_are_shown() {
    let shop = Shop::open().await;
    let log: String = (1..=600).map(|line| format!("line {line}.\n")).collect();
    shop.world.cluster.script_log("/web:", &log);
    shop.deployed(1).await;
    shop.hears(&shop.says(1, "bob", "/logs"))
        .await
        .ends(0, "logs-shown");
    let body = answer(&shop, "logs").body;
    assert!(
        body.contains("line 101.") && body.contains("line 600."),
        "{body}"
    );
    assert!(!body.contains("line 100."), "{body}");
    shop.ends();
}

/// What GitHub would read as Markdown.
fn outside_of_fences(body: &str) -> String {
    let mut fence: Option<usize> = None;
    let mut outside = String::new();
    for line in body.lines() {
        let ticks = line.bytes().take_while(|byte| *byte == b'`').count();
        match fence {
            Some(open) if ticks >= open && line.trim_end().len() == ticks => fence = None,
            Some(_) => {}
            None if ticks >= 3 => fence = Some(ticks),
            None => {
                outside.push_str(line);
                outside.push('\n');
            }
        }
    }
    outside
}

#[tokio::test(flavor = "multi_thread")]
async fn a_diff_says_what_a_deploy_would_change_and_changes_nothing() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    shop.hears(&shop.says(1, "bob", "/diff"))
        .await
        .ends(0, "diff-shown");
    let same = answer(&shop, "diff");
    assert!(same.body.contains("would change nothing"), "{}", same.body);
    let more = ONE_SERVICE.replace("port: 8080", "port: 8080\n    replicas: 2");
    shop.pushes_files(1, &[(CONFIGURATION, &more)]);
    let before = shop.now();
    shop.hears(&shop.says(1, "bob", "/diff"))
        .await
        .ends(0, "diff-shown");
    let changed = answer(&shop, "diff");
    assert_eq!(changed.id, same.id);
    for text in ["Deployment/web", "replicas", "would change"] {
        assert!(
            changed.body.contains(text),
            "no {text:?} in {}",
            changed.body
        );
    }
    let real: Vec<String> = shop
        .requests("cluster", before)
        .iter()
        .filter(|one| one.method != "GET" && !one.query.contains("dryRun=All"))
        .filter(|one| !keeps_record(one))
        .map(|one| format!("{} {}", one.method, one.path))
        .collect();
    assert_eq!(real, [""; 0]);
    shop.hears(&shop.says(1, "mallory", "/diff"))
        .await
        .ends(0, "permission-denied");
    shop.ends();
}
