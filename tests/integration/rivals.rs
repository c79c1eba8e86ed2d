//! Two runs at once on one pull request, at moments that chance picks: one comment stays, and it tells the newer truth.
//! And what a run leaves behind on its machine, which the next job on it could read.
//! `SOAK_TRIALS` plays more of them, `PREVIEW_TEST_SEED` others, and `SOAK_FIRST` begins where one failed.

use crate::dice::Dice;
use crate::support::{Event, LEDGER, ONE_SERVICE, SHOP, Seen, Shop};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use preview_action::simulate::{Action, Fault, Record};
use std::{path::Path, sync::Arc, time::Duration};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// How many trials a change gets.
const TRIALS: u64 = 50;

/// How many of them are played at the same time.
const ABREAST: usize = 4;

/// What the two runs are about.
#[derive(Debug, Clone, Copy)]
enum Rivals {
    SameEvent,
    OpenedAndPush,
    CommandAndPush,
    PushAndPush,
}

fn number(name: &str, otherwise: u64) -> u64 {
    let given = std::env::var(name).ok();
    given
        .and_then(|text| text.parse().ok())
        .unwrap_or(otherwise)
}

#[tokio::test(flavor = "multi_thread")]
async fn two_runs_at_once_leave_one_comment_and_the_newer_truth() {
    some_at_a_time(trial).await;
}

/// Plays trials of a seed, each by its number.
async fn some_at_a_time<T: Future<Output = ()>>(play: impl Fn(u64, u64) -> T) {
    let (trials, seed) = (
        number("SOAK_TRIALS", TRIALS),
        number("PREVIEW_TEST_SEED", 42),
    );
    let mut numbers = number("SOAK_FIRST", 0)..trials;
    loop {
        let some: Vec<u64> = numbers.by_ref().take(ABREAST).collect();
        if some.is_empty() {
            break;
        }
        let all = some.into_iter().map(|number| play(seed, number));
        futures::future::join_all(all).await;
    }
}

async fn trial(seed: u64, number: u64) {
    let mut dice = Dice::of_trial(seed, number);
    let rivals = *dice.one_of(&[
        Rivals::SameEvent,
        Rivals::OpenedAndPush,
        Rivals::CommandAndPush,
        Rivals::PushAndPush,
    ]);
    let shop = Shop::open().await;
    let first = match rivals {
        Rivals::SameEvent | Rivals::OpenedAndPush => shop.opens(1),
        Rivals::CommandAndPush => {
            shop.opens(1);
            shop.says(1, "alice", "/deploy")
        }
        Rivals::PushAndPush => {
            shop.deployed(1).await;
            shop.pushes(1)
        }
    };
    delays(&shop, &mut dice);
    let asked = shop.now() + dice.below(80);
    let (older, newer) = at_once(&shop, rivals, &first, asked).await;
    let about =
        format!("trial {number} of seed {seed}: {rivals:?}, the second after {asked} requests");
    println!(
        "{about}: {} and {}",
        older.output("reason-code"),
        newer.output("reason-code")
    );
    judge(&shop, &about, &older, &newer);
}

/// Plays the first run, and the second one once so much was asked, or the first has ended.
async fn at_once(shop: &Shop, rivals: Rivals, first: &Event, asked: usize) -> (Seen, Seen) {
    let ended = CancellationToken::new();
    let older = async {
        let seen = shop.hears(first).await;
        ended.cancel();
        seen
    };
    let newer = async {
        tokio::select! {
            () = shop.world.log.wait_until(|records| records.len() >= asked) => {}
            () = ended.cancelled() => {}
        }
        let second = match rivals {
            Rivals::SameEvent => first.clone(),
            _ => shop.pushes(1),
        };
        shop.hears(&second).await
    };
    tokio::join!(older, newer)
}

#[track_caller]
fn judge(shop: &Shop, about: &str, older: &Seen, newer: &Seen) {
    for seen in [older, newer] {
        let ends = ["deployed", "superseded", "unchanged"];
        assert_eq!(seen.exit, 0, "{about}: {seen:#?}");
        assert!(
            ends.contains(&seen.output("reason-code")),
            "{about}: {seen:#?}"
        );
    }
    let head = shop.world.github.head(SHOP, 1);
    let short = &head[..7];
    let comments = shop.status_comments(1);
    assert!(
        shop.image("pr-shop-1", "web").ends_with(short),
        "{about}: {comments:#?}\n{}",
        shop.record(1)
    );
    assert_eq!(comments.len(), 1, "{about}: {comments:#?}");
    let ready = |body: &str| body.contains("Preview ready") && body.contains(short);
    assert!(ready(&comments[0].body), "{about}: {}", comments[0].body);
    // Once it was said, nobody said anything older.
    let mut said = false;
    for (_, body) in &comments[0].history {
        assert!(!said || body.contains(short), "{about}: {body}");
        said |= ready(body);
    }
    assert_eq!(shop.record(1)["active"], serde_json::Value::Null, "{about}");
    assert_eq!(
        (shop.holders(), shop.namespaces()),
        (vec![1], vec!["pr-shop-1".into()]),
        "{about}"
    );
    shop.ends();
}

/// What happens to the first of three pull requests, of which two wait, while a sweep looks and acts.
#[derive(Debug, Clone, Copy)]
enum Beside {
    Close,
    Undeploy,
    Push,
    Redeploy,
    Sleep,
    /// It was closed, and no run came: both sweeps find that.
    Sweep,
    /// Its time has come, and two sweeps know it.
    Expiry,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_beside_another_run_undoes_nothing_and_lets_one_in() {
    some_at_a_time(beside).await;
}

async fn beside(seed: u64, number: u64) {
    let mut dice = Dice::of_trial(seed, number);
    let what = *dice.one_of(&[
        Beside::Close,
        Beside::Undeploy,
        Beside::Push,
        Beside::Redeploy,
        Beside::Sleep,
        Beside::Sweep,
        Beside::Expiry,
    ]);
    let shop = Shop::open().await;
    let run = |event: &Event| shop.run(event).input("max-previews", "1");
    for (pr, reason) in [(1, "deployed"), (2, "queued"), (3, "queued")] {
        run(&shop.opens(pr)).go().await.ends(0, reason);
    }
    if matches!(what, Beside::Expiry) {
        shop.world
            .advance(Duration::from_secs(7 * 24 * 3600 - 3600));
        run(&shop.schedule()).go().await.ends(0, "swept");
        shop.world.advance(Duration::from_secs(2 * 24 * 3600));
    }
    let first = match what {
        Beside::Close => shop.closes(1),
        Beside::Undeploy => shop.says(1, "alice", "/undeploy"),
        Beside::Push => shop.pushes(1),
        Beside::Redeploy => {
            shop.pushes(1);
            shop.says(1, "alice", "/deploy")
        }
        Beside::Sleep => shop.says(1, "alice", "/sleep"),
        Beside::Sweep => {
            shop.closes(1);
            shop.schedule()
        }
        Beside::Expiry => shop.schedule(),
    };
    delays(&shop, &mut dice);
    let asked = shop.now() + dice.below(80);
    let about =
        format!("trial {number} of seed {seed}: {what:?}, the sweep after {asked} requests");
    let ended = CancellationToken::new();
    let one = async {
        let seen = run(&first).go().await;
        ended.cancel();
        seen
    };
    let sweep = async {
        tokio::select! {
            () = shop.world.log.wait_until(|records| records.len() >= asked) => {}
            () = ended.cancelled() => {}
        }
        run(&shop.schedule()).go().await
    };
    let (one, sweep) = tokio::join!(one, sweep);
    println!(
        "{about}: {} and {}",
        one.output("reason-code"),
        sweep.output("reason-code")
    );
    for seen in [&one, &sweep] {
        assert_eq!(seen.exit, 0, "{about}: {seen:#?}");
    }
    let stays = matches!(what, Beside::Push | Beside::Redeploy);
    let (holders, line) = match stays {
        true => (vec![1], vec![2, 3]),
        false => (vec![2], vec![3]),
    };
    // What either of them has left to the other, or to the next, is done by that.
    run(&shop.schedule()).go().await.ends(0, "swept");
    assert_eq!((shop.holders(), shop.line()), (holders, line), "{about}");
    let head = shop.world.github.head(SHOP, 1);
    let said = match what {
        Beside::Push | Beside::Redeploy => "Preview ready",
        Beside::Sleep => "Preview asleep",
        Beside::Expiry => "Preview expired",
        _ => "Preview removed",
    };
    let places: &[(u64, &str)] = match stays {
        true => &[(2, "number 1 in line"), (3, "number 2 in line")],
        false => &[(2, "Preview ready"), (3, "number 1 in line")],
    };
    for (pr, text) in [&[(1, said)], places].concat() {
        let comments = shop.status_comments(pr);
        assert_eq!(comments.len(), 1, "{about}: {comments:#?}");
        assert!(
            comments[0].body.contains(text),
            "{about}: #{pr}: {}",
            comments[0].body
        );
    }
    if stays {
        assert!(
            shop.image("pr-shop-1", "web").ends_with(&head[..7]),
            "{about}"
        );
    }
    shop.ends();
}

/// Makes some answers late.
fn delays(shop: &Shop, dice: &mut Dice) {
    for _ in 0..3 {
        let late = Action::Delay(Duration::from_millis(dice.below(200) as u64));
        let at = 1 + dice.below(70);
        let fault = Fault::on("*", "/**", late).nth(at);
        match dice.below(2) {
            0 => shop.world.github.inject(fault),
            _ => shop.world.cluster.inject(fault),
        }
    }
}

/// The older commit's run is held up before its turn: until the newer one's has ended, or is about to say that it is ready.
#[tokio::test(flavor = "multi_thread")]
async fn an_older_commit_that_comes_late_is_not_announced_over_the_newer_one() {
    const COMMENT: &str = "/repos/acme/shop/issues/comments/*";
    for ended in [false, true] {
        let shop = Shop::open().await;
        shop.deployed(1).await;
        let first = shop.pushes(1);
        let older = shop.world.github.head(SHOP, 1);
        let [turn, word] = [(); 2].map(|()| Arc::new(Notify::new()));
        let hold = |go: &Arc<Notify>| Action::Hold(Arc::clone(go));
        shop.world
            .cluster
            .inject(Fault::on("PUT", LEDGER, hold(&turn)));
        let from = shop.now();
        let edits = move |count: usize| {
            move |records: &[Record]| {
                let since = records.iter().skip(from);
                let of = |one: &&Record| one.method == "PATCH" && one.path.contains("/comments/");
                since.filter(of).count() >= count
            }
        };
        let newer = async {
            let held = |records: &[Record]| {
                let mut since = records.iter().skip(from);
                since.any(|one| one.method == "PUT" && one.path.contains("/configmaps/"))
            };
            shop.world.log.wait_until(held).await;
            let second = shop.pushes(1);
            if ended {
                shop.hears(&second).await.ends(0, "deployed");
                turn.notify_one();
                return;
            }
            let last = Fault::on("PATCH", COMMENT, hold(&word)).nth(2);
            shop.world.github.inject(last);
            let let_go = async {
                shop.world.log.wait_until(edits(2)).await;
                turn.notify_one();
                let asked = |_: &_| shop.record(1)["sequence"].as_u64() >= Some(3);
                shop.world.cluster.wait_until(asked).await;
                word.notify_one();
            };
            let (seen, ()) = tokio::join!(shop.hears(&second), let_go);
            seen.ends(0, "superseded");
        };
        let (seen, ()) = tokio::join!(shop.hears(&first), newer);
        assert_eq!(seen.exit, 0, "{seen:#?}");
        let comments = shop.status_comments(1);
        let said: Vec<_> = comments[0].history.iter().map(|(_, body)| body).collect();
        let about = |body: &String| body.contains(&format!("[`{}`]", &older[..7]));
        let promised = said
            .iter()
            .find(|body| about(body) && body.contains("Preview pending"));
        assert!(promised.is_none(), "ended {ended}: {said:#?}");
        seen.says("Preview ready");
        seen.says(&shop.world.github.head(SHOP, 1)[..7]);
        assert!(!seen.comment().contains(&older[..7]), "{}", seen.comment());
        shop.ends();
    }
}

/// One run is held up until a second one is at work, which stops for it; whoever approved its commit has not seen the newest.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_a_planned_commit_deploys_no_other_in_its_place() {
    for planned in [true, false] {
        let shop = Shop::open().await;
        let first = shop.opens(1);
        let sha = shop.world.github.head(SHOP, 1);
        let late = |path, time| Fault::on("*", path, Action::Delay(Duration::from_secs(time)));
        shop.world.cluster.inject(late("/**", 2).nth(1));
        let asks = |event: &Event, sha: &str| {
            let run = shop.run(event);
            if planned { run.input("sha", sha) } else { run }
        };
        let older = asks(&first, &sha).go();
        let newer = async {
            let begun =
                |records: &[Record]| records.iter().any(|one| one.path.contains("/configmaps/"));
            shop.world.log.wait_until(begun).await;
            let second = shop.pushes(1);
            let slow = late("/apis/apps/v1/namespaces/*/deployments/web", 4);
            shop.world.cluster.inject(slow.nth(1));
            let sha = shop.world.github.head(SHOP, 1);
            let newer = asks(&second, &sha).go();
            let third = async {
                let at_work = |records: &[Record]| {
                    let claims = records.iter().filter(|one| one.method == "POST");
                    claims
                        .filter(|one| one.path == "/api/v1/namespaces")
                        .count()
                        > 0
                };
                shop.world.log.wait_until(at_work).await;
                shop.pushes(1);
            };
            tokio::join!(newer, third).0
        };
        let (older, newer) = tokio::join!(older, newer);
        for seen in [&older, &newer] {
            let done = planned || seen.output("reason-code") == "deployed";
            assert!(
                done || seen.output("reason-code") == "superseded",
                "{seen:#?}"
            );
        }
        let head = shop.world.github.head(SHOP, 1);
        let runs = shop.record(1)["serving"] == serde_json::json!(head);
        assert_eq!(runs, !planned, "{older:#?}\n{newer:#?}");
        shop.ends();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_leaves_its_credentials_in_no_file() {
    let broken = ONE_SERVICE.replace("web:{short-sha}", "web:crash-{short-sha}");
    for (configuration, exit) in [(ONE_SERVICE, 0), (broken.as_str(), 1)] {
        let shop = Shop::selling(configuration).await;
        let opened = shop.opens(1);
        let home = tempfile::tempdir().unwrap();
        let path = home.path().display().to_string();
        let run = shop.run(&opened);
        let folder = run.folder().to_owned();
        let seen = run
            .input("health", "off")
            .variable("HOME", &path)
            .variable("TMPDIR", &path)
            .go_alone()
            .await;
        assert_eq!(seen.exit, exit, "{seen:#?}");
        let plain = [
            shop.world.github.token(),
            "simulated-cluster-token".to_owned(),
        ];
        let kubeconfig = shop.world.cluster.kubeconfig();
        assert!(kubeconfig.contains(&plain[1]), "{kubeconfig}");
        let mut files = 0;
        for folder in [folder.as_path(), home.path()] {
            each_file(folder, &mut |path, text| {
                files += 1;
                for secret in &plain {
                    let found = text.contains(secret) || text.contains(&STANDARD.encode(secret));
                    assert!(!found, "{} holds a credential", path.display());
                }
            });
        }
        assert!(files >= 3, "event, outputs and summary are there");
        shop.ends();
    }
}

fn each_file(folder: &Path, see: &mut impl FnMut(&Path, &str)) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            each_file(&path, see);
        } else {
            let bytes = std::fs::read(&path).unwrap();
            see(&path, &String::from_utf8_lossy(&bytes));
        }
    }
}
