//! What must be true of a pull request's comments, statuses and deployments, held against the cluster and the ledger.

use super::uses::Use;
use crate::support::{SHOP, Seen, Shop};

/// The answer that a run owes and has not written.
pub(super) fn unanswered(seen: &Seen, of: Use) -> Option<String> {
    let (kind, words) = of.answer()?;
    let begin = format!("<!-- preview-action v1 kind={kind} ");
    let mut ours = seen.comments.iter();
    let answered = ours.any(|body| body.starts_with(&begin) && body.contains(words));
    (!answered).then(|| format!("no {kind} comment says {words:?}: {:#?}", seen.comments))
}

/// What is untrue in the comments, held against the cluster and the ledger.
pub(super) fn lies(shop: &Shop, of: Use) -> Vec<String> {
    let mut wrong: Vec<String> = [1, 2]
        .iter()
        .flat_map(|pr| lies_of(shop, of, *pr))
        .collect();
    let ours = shop.world.github.comments(SHOP, 1);
    let kind = |kind: &str| {
        let begin = format!("<!-- preview-action v1 kind={kind} ");
        let of_kind = ours.iter().filter(|one| one.body.starts_with(&begin));
        of_kind.count()
    };
    for pr in [1, 2] {
        wrong.extend(beside(shop, pr));
    }
    for one in ["help", "status", "logs", "diff", "check"]
        .iter()
        .filter(|one| kind(one) > 1)
    {
        wrong.push(format!("{} comments of kind {one}", kind(one)));
    }
    wrong
}

/// What is untrue of the statuses and deployments of a pull request.
fn beside(shop: &Shop, pr: u64) -> Vec<String> {
    let mut wrong = Vec::new();
    let (github, head) = (&shop.world.github, shop.world.github.head(SHOP, pr));
    let there = shop.namespaces().contains(&format!("pr-shop-{pr}"));
    let statuses = github.statuses(SHOP, &head);
    let waits = shop.line().contains(&pr);
    if statuses.last().is_some_and(|one| one.state == "pending") && !waits {
        wrong.push(format!(
            "#{pr}: the status of {head} promises: {statuses:?}"
        ));
    }
    let task = format!("preview:pr-{pr}");
    let all = github.deployments(SHOP);
    let live: Vec<_> = all
        .iter()
        .filter(|one| one.task == task && one.state() == "success")
        .collect();
    let asleep = !shop.record(pr)["asleep"].is_null();
    if live.len() > 1 || (!live.is_empty() && (!there || asleep)) {
        wrong.push(format!("#{pr}: deployments that are no more: {live:#?}"));
    }
    wrong
}

fn lies_of(shop: &Shop, of: Use, pr: u64) -> Vec<String> {
    let mut wrong = Vec::new();
    let record = shop.record(pr);
    for field in ["active", "untold", "removing", "stalled"] {
        if !record[field].is_null() {
            wrong.push(format!("#{pr}: {field} in the ledger: {record}"));
        }
    }
    let comments = shop.status_comments(pr);
    let head = shop.world.github.head(SHOP, pr);
    let name = format!("pr-shop-{pr}");
    let there = shop.namespaces().contains(&name);
    let open =
        shop.world.github.pull_request_event(SHOP, pr, "x")["pull_request"]["state"] == "open";
    if comments.is_empty() {
        // Who was never told anything has nothing.
        if there || (open && shop.holders().contains(&pr)) {
            wrong.push(format!("#{pr}: a preview and no comment"));
        }
        return wrong;
    }
    let namespace = shop.world.cluster.object("Namespace", "", &name);
    let namespace = namespace.unwrap_or_default();
    let live = &namespace["metadata"]["annotations"]["preview-action/sha"];
    let live = live
        .as_str()
        .and_then(|sha| sha.get(..7))
        .unwrap_or_default()
        .to_owned();
    let failed = record["attempted"]["outcome"] == "failed";
    let waits = shop.line().contains(&pr);
    let mut says: Vec<&str> = match (open, there, record["asleep"].is_null()) {
        (false, ..) => vec!["Preview removed"],
        (_, false, _) if waits => vec!["Preview queued"],
        (_, false, _) if failed => vec!["Preview failed"],
        (_, false, _) => vec!["Preview removed"],
        (_, _, false) => vec!["Preview asleep"],
        _ if failed && of == Use::FailedUpdate => vec!["till serving", &live],
        _ if failed => vec!["Preview failed", &live],
        _ => vec!["Preview ready", &live],
    };
    let held = record["held"] == head.as_str() || of.keeps_back();
    let asks = of == Use::Approval && record["approved"]["sha"] != head.as_str();
    if open && asks {
        says = vec!["Preview needs approval", &head];
    }
    let behind = !failed && !held && !asks && live != head[..7];
    if open && there && record["asleep"].is_null() && behind {
        wrong.push(format!("#{pr}: {live} is live, not {}", &head[..7]));
    }
    let extended = record["extended"].as_str().unwrap_or_default().to_owned();
    if open && there && !extended.is_empty() {
        says.push(&extended[..10]);
    }
    if open && there && record["pinned"] == true {
        says.push("pinned, does not expire");
    }
    let body = &comments[0].body;
    if let Some(lacks) = says.iter().find(|one| !body.contains(**one)) {
        wrong.push(format!("#{pr}: no {lacks:?} in {body}; ledger {record}"));
    }
    wrong
}
