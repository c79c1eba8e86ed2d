//! Clocks that are off by an hour, anywhere: the cap holds, and people read the same.
//! The three participants are the runner, the API server and GitHub; of several API servers each may have a clock of its own.
//! Whoever looks at a clock goes by the API server's, so that all runs agree.

use crate::support::{Event, ONE_SERVICE, Shop, noon};
use jiff::SignedDuration;
use preview_action::simulate::{Action, Fault, WorldOptions};
use regex::Regex;
use serde_json::json;
use std::{sync::Arc, time::Duration};
use tokio::sync::Notify;

const HOUR: SignedDuration = SignedDuration::from_hours(1);

type Step<'a> = Box<dyn Fn() -> Event + 'a>;

/// What people see and the ledger says at each step of a busy week.
async fn week(servers: SignedDuration, github: SignedDuration) -> Vec<String> {
    let options = WorldOptions {
        now: Some(noon() + servers),
        github_ahead: github,
        ..WorldOptions::default()
    };
    let shop = Shop::with(options, ONE_SERVICE).await;
    let times =
        Regex::new(r"\d{4}-\d\d-\d\d|\d\d:\d\d(:\d\d)?|\d+ Mar|\d+(\.\d+)? (ms|s|seconds?)\b")
            .unwrap();
    let mut told = Vec::new();
    shop.filled().await;
    let steps: [(&str, Step<'_>); 9] = [
        ("a fourth", Box::new(|| shop.opens(4))),
        ("a push", Box::new(|| shop.pushes(1))),
        ("nothing to do", Box::new(|| shop.schedule())),
        ("a slot is free", Box::new(|| shop.closes(2))),
        (
            "a push that no run heard of",
            Box::new(|| {
                shop.pushes(3);
                shop.schedule()
            }),
        ),
        (
            "a while later",
            Box::new(|| {
                shop.world.advance(Duration::from_secs(2 * 3600));
                shop.schedule()
            }),
        ),
        (
            "it cannot go",
            Box::new(|| {
                shop.world.cluster.put(&held(true)).unwrap();
                shop.says(1, "alice", "/undeploy")
            }),
        ),
        ("it still cannot", Box::new(|| shop.schedule())),
        (
            "eight days later",
            Box::new(|| {
                shop.world.cluster.put(&held(false)).unwrap();
                shop.world.advance(Duration::from_secs(8 * 24 * 3600));
                shop.schedule()
            }),
        ),
    ];
    for (what, event) in steps {
        let seen = shop.hears(&event()).await;
        let (exit, reason) = (seen.exit, seen.output("reason-code"));
        told.push(format!(
            "{what}: {exit} {reason} {:?} {:?}",
            shop.holders(),
            shop.line()
        ));
        for pr in 1..=4 {
            let comments = shop.status_comments(pr);
            let bodies = comments.iter().map(|comment| {
                // How long a deploy took is another time in each run.
                let lines = comment.body.lines();
                let shown = lines.filter(|line| !line.starts_with("<!-- preview-action result "));
                let shown = shown.collect::<Vec<_>>().join("\n");
                times.replace_all(&shown, "TIME").into_owned()
            });
            told.extend(bodies.map(|body| format!("{what}, #{pr}: {body}")));
        }
    }
    shop.ends();
    told
}

fn held(held: bool) -> serde_json::Value {
    let finalizers = if held {
        json!(["example.test/block"])
    } else {
        json!([])
    };
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "held", "namespace": "pr-shop-1", "finalizers": finalizers},
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn whoevers_clock_is_off_by_an_hour_people_and_the_ledger_read_the_same() {
    let none = SignedDuration::ZERO;
    let clocks = [
        (none, none),
        (HOUR, none),
        (-HOUR, none),
        (none, HOUR),
        (none, -HOUR),
    ];
    let weeks = clocks.map(|(servers, github)| Box::pin(week(servers, github)));
    let weeks = futures::future::join_all(weeks).await;
    let right = &weeks[0];
    for (off, (servers, github)) in weeks.iter().zip(clocks) {
        for (off, right) in off.iter().zip(right) {
            assert_eq!(off, right, "servers {servers}, GitHub {github} more");
        }
        assert_eq!(off.len(), right.len());
    }
}

/// One API server is an hour ahead of another: to whoever asks it, a claim of a moment ago is long dead.
#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_an_hour_passes_over_is_not_used_twice() {
    let shop = Shop::open().await;
    for pr in [1, 2] {
        shop.deployed(pr).await;
    }
    let third = shop.opens(3);
    let go = Arc::new(Notify::new());
    let hold = Action::Hold(Arc::clone(&go));
    let create = Fault::on("POST", "/api/v1/namespaces", hold);
    shop.world.cluster.inject(create);
    let others = async {
        let claimed = |_: &_| shop.holders() == [1, 2, 3];
        shop.world.cluster.wait_until(claimed).await;
        shop.world.advance(Duration::from_secs(3600));
        let fourth = shop.hears(&shop.opens(4)).await;
        fourth.ends(0, "queued");
        // Whoever seemed dead was first in line, and is deployed at once beside the run that is at it still.
        assert_eq!((shop.holders(), shop.line()), (vec![1, 2, 3], vec![4]));
        go.notify_one();
    };
    let (seen, ()) = tokio::join!(shop.hears(&third), others);
    seen.ends(0, "superseded");
    assert_eq!((shop.holders(), shop.line()), (vec![1, 2, 3], vec![4]));
    assert_eq!(shop.namespaces(), ["pr-shop-1", "pr-shop-2", "pr-shop-3"]);
    assert!(
        shop.comment(3).contains("Preview ready"),
        "{}",
        shop.comment(3)
    );
    shop.ends();
}
