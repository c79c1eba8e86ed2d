//! A sleep that is killed or meets a fault at each of its requests: the next sweep has it finished and told, or it never was.
//! It must not care which of the two it came to: only a preview that is half asleep under a comment that says otherwise is wrong.
//! Nothing but the schedule comes after, because nobody would look at a preview that is called ready.

use super::{Trouble, ends, unlike};
use crate::support::Shop;
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

async fn killed(site: &'static str, k: usize) -> Vec<String> {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    shop.world.log.clear();
    let event = shop.says(1, "alice", "/sleep");
    shop.run(&event).dies_at(site, k).await;
    shop.world.advance(Duration::from_secs(31));
    let swept = shop.hears(&shop.schedule()).await;
    let mut wrong = unlike(&swept, (0, "swept"));
    wrong.extend(faults(&shop));
    named(&format!("killed at {site} {k}"), wrong)
}

async fn disturbed(k: usize) -> Vec<String> {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    let event = shop.says(1, "alice", "/sleep");
    let trouble = TROUBLES[k % TROUBLES.len()];
    let fault = Fault::on("*", "/**", trouble.action());
    shop.world.cluster.inject(fault.nth(k));
    let seen = shop.run(&event).go().await;
    shop.world.cluster.clear_faults();
    // Either it has slept, or what had been begun was undone at once.
    let slept = !shop.record(1)["asleep"].is_null();
    let mut wrong = match slept {
        true => unlike(&seen, (0, "slept")),
        false => Vec::new(),
    };
    wrong.extend(faults(&shop));
    named(&format!("{trouble:?} at {k}"), wrong)
}

fn named(when: &str, wrong: Vec<String>) -> Vec<String> {
    wrong.iter().map(|one| format!("{when}: {one}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sleep_that_is_cut_short_is_undone_or_finished() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    let event = shop.says(1, "alice", "/sleep");
    let since = shop.now();
    shop.run(&event).go().await.ends(0, "slept");
    let [cluster, github] = ["cluster", "github"].map(|site| shop.requests(site, since).len());
    let kills = (1..=cluster).map(|k| ("cluster", k));
    let kills = kills.chain((1..=github).map(|k| ("github", k)));
    let killed = stream::iter(kills).map(|(site, k)| killed(site, k));
    let disturbed = stream::iter(1..=cluster).map(disturbed);
    let mut wrong: Vec<String> = killed.buffer_unordered(4).concat().await;
    wrong.extend(disturbed.buffer_unordered(4).concat().await);
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n\n")
    );
}
