//! A sleep or a waking that is killed or meets a fault at each of its requests: the next sweep has it finished and told, or it never was.
//! It must not care which of the two it came to: only a preview that is half asleep under a comment that says otherwise is wrong.
//! Nothing but the schedule comes after, because nobody would look at a preview that is called ready.

use super::{Trouble, ends, unlike};
use crate::support::{Event, Shop};
use futures::{StreamExt, stream};
use preview_action::simulate::Fault;
use std::time::Duration;

const NAMESPACE: &str = "pr-shop-1";

const TROUBLES: [Trouble; 3] = [Trouble::CutBefore, Trouble::CutAfter, Trouble::ServerError];

/// What is wrong with a preview that should be as awake or as fast asleep as its comment says.
fn faults(shop: &Shop) -> Vec<String> {
    let record = shop.record(1);
    let asleep = &record["asleep"];
    let (word, holders, running): (_, &[u64], _) = match asleep.is_null() {
        true => ("Preview ready", &[1], 1),
        false => ("Preview asleep", &[], 0),
    };
    let mut wrong = ends::comment_faults(shop, word);
    let cluster = &shop.world.cluster;
    let quota = cluster.object("ResourceQuota", NAMESPACE, "preview-asleep");
    let web = cluster.object("Deployment", NAMESPACE, "web").unwrap();
    let label = cluster.object("Namespace", "", NAMESPACE).unwrap();
    let label = &label["metadata"]["labels"]["preview-action/state"];
    let as_told = shop.holders() == holders
        && quota.is_none() == asleep.is_null()
        && web["spec"]["replicas"] == running
        && (label == "sleeping") != asleep.is_null()
        && asleep["unfinished"].is_null()
        && record["active"].is_null();
    if !as_told {
        let holders = shop.holders();
        wrong.push(format!(
            "{word}: holders {holders:?}, quota {}, web {}, label {label}, record {record}",
            quota.is_some(),
            web["spec"]["replicas"]
        ));
    }
    wrong
}

/// A command whose run is disturbed.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Work {
    Sleep,
    Wake,
}

impl Work {
    async fn begins(self) -> (Shop, Event) {
        let shop = Shop::open().await;
        shop.deployed(1).await;
        let sleep = shop.says(1, "alice", "/sleep");
        if self == Self::Sleep {
            return (shop, sleep);
        }
        shop.hears(&sleep).await.ends(0, "slept");
        let wake = shop.says(1, "alice", "/wake");
        (shop, wake)
    }

    fn word(self) -> &'static str {
        match self {
            Self::Sleep => "slept",
            Self::Wake => "woken",
        }
    }
}

async fn killed(work: Work, site: &'static str, k: usize) -> Vec<String> {
    let (shop, event) = work.begins().await;
    shop.world.log.clear();
    shop.run(&event).dies_at(site, k).await;
    // So long that a claim of a dead run is given up as well.
    shop.world.advance(Duration::from_secs(121));
    let swept = shop.hears(&shop.schedule()).await;
    let mut wrong = unlike(&swept, (0, "swept"));
    wrong.extend(faults(&shop));
    named(&format!("{work:?} killed at {site} {k}"), wrong)
}

async fn disturbed(work: Work, k: usize, trouble: Trouble) -> Vec<String> {
    let (shop, event) = work.begins().await;
    let fault = Fault::on("*", "/**", trouble.action());
    shop.world.cluster.inject(fault.nth(k));
    let seen = shop.run(&event).go().await;
    shop.world.cluster.clear_faults();
    let asleep = !shop.record(1)["asleep"].is_null();
    let mut wrong = Vec::new();
    if asleep == (work == Work::Sleep) {
        wrong.extend(unlike(&seen, (0, work.word())));
    } else if work == Work::Wake {
        // Either it is awake, or the sweep has it sleep on.
        let swept = shop.hears(&shop.schedule()).await;
        wrong.extend(unlike(&swept, (0, "swept")));
    }
    wrong.extend(faults(&shop));
    named(&format!("{work:?}, {trouble:?} at {k}"), wrong)
}

fn named(when: &str, wrong: Vec<String>) -> Vec<String> {
    wrong.iter().map(|one| format!("{when}: {one}")).collect()
}

async fn every_fault_of(work: Work) {
    let all = std::env::var("FAULTS").is_ok_and(|value| value == "all");
    let (shop, event) = work.begins().await;
    let since = shop.now();
    shop.run(&event).go().await.ends(0, work.word());
    let [cluster, github] = ["cluster", "github"].map(|site| shop.requests(site, since).len());
    let kills = (1..=cluster).map(|k| ("cluster", k));
    let kills = kills.chain((1..=github).map(|k| ("github", k)));
    let killed = stream::iter(kills).map(|(site, k)| killed(work, site, k));
    let troubles = (1..=cluster).flat_map(|k| {
        let mine = move |at: usize| all || at == k % TROUBLES.len();
        let picked = TROUBLES
            .into_iter()
            .enumerate()
            .filter(move |(at, _)| mine(*at));
        picked.map(move |(_, trouble)| (k, trouble))
    });
    let disturbed = stream::iter(troubles).map(|(k, trouble)| disturbed(work, k, trouble));
    let mut wrong: Vec<String> = killed.buffer_unordered(4).concat().await;
    wrong.extend(disturbed.buffer_unordered(4).concat().await);
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n\n")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sleep_that_is_cut_short_is_undone_or_finished() {
    every_fault_of(Work::Sleep).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waking_that_is_cut_short_is_finished_or_the_preview_sleeps_on() {
    every_fault_of(Work::Wake).await;
}
