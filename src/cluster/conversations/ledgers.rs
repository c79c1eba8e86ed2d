//! Conversations about the ledger: compare-and-swap, lost races, lost answers.

use super::*;
use crate::{
    capacity::Ledger,
    cluster::{Moment, last_good::digest},
};

fn ledger() -> LedgerName {
    LedgerName {
        namespace: "preview-system".parse().unwrap(),
        repository: RepoId(7),
        environment: "preview".parse().unwrap(),
    }
}

async fn with_control_namespace() -> (World, Cluster) {
    let (world, cluster) = world().await;
    world
        .cluster
        .put(&object(&kinds::NAMESPACE, "preview-system"))
        .unwrap();
    (world, cluster)
}

/// Takes a place if it has none, and says how many there are; its own work is recognised.
async fn take(cluster: &Cluster, run: &str) -> Result<usize, ClusterError> {
    loop {
        let taken = cluster
            .transact(&ledger(), |ledger, _| {
                if ledger.rest.contains_key(run) {
                    return Step::Keep(ledger.rest.len());
                }
                ledger.rest.insert(run.into(), true.into());
                Step::Write(ledger.rest.len())
            })
            .await?;
        match taken {
            Some(taken) => return Ok(taken),
            None => cluster.create_ledger(&ledger(), &Ledger::empty(3)).await?,
        }
    }
}

#[tokio::test]
async fn a_ledger_begins_with_the_first_write_and_keeps_its_capacity() {
    let (world, cluster) = with_control_namespace().await;
    assert_eq!(cluster.read_ledger(&ledger()).await.unwrap(), None);
    assert_eq!(take(&cluster, "a").await.unwrap(), 1);
    assert_eq!(take(&cluster, "b").await.unwrap(), 2);
    let kept = cluster.read_ledger(&ledger()).await.unwrap().unwrap();
    assert_eq!((kept.capacity, kept.rest.len()), (3, 2));
    assert!(
        world
            .cluster
            .object("ConfigMap", "preview-system", "preview-7-preview")
            .is_some()
    );
}

#[tokio::test]
async fn a_step_that_keeps_writes_nothing() {
    let (world, cluster) = with_control_namespace().await;
    let answer = cluster
        .transact(&ledger(), |ledger, _| Step::Keep(ledger.capacity))
        .await;
    assert_eq!(answer.unwrap(), None);
    cluster
        .create_ledger(&ledger(), &Ledger::empty(3))
        .await
        .unwrap();
    let answer = cluster
        .transact(&ledger(), |ledger, _| Step::Keep(ledger.capacity))
        .await;
    assert_eq!(answer.unwrap(), Some(3));
    assert_eq!(world.cluster.requests().len(), 3);
}

#[tokio::test]
async fn the_moment_is_the_servers() {
    let past = "2020-02-03T04:05:06Z".parse().unwrap();
    let (world, cluster) = world_with(WorldOptions {
        now: Some(past),
        ..WorldOptions::default()
    })
    .await;
    world
        .cluster
        .put(&object(&kinds::NAMESPACE, "preview-system"))
        .unwrap();
    cluster
        .create_ledger(&ledger(), &Ledger::empty(3))
        .await
        .unwrap();
    for _ in 0..2 {
        let now = cluster
            .transact(&ledger(), |_, moment| Step::Write(moment.now))
            .await
            .unwrap()
            .unwrap();
        assert!(now.duration_since(past).as_secs() < 60, "{now}");
    }
}

#[tokio::test]
async fn a_lost_answer_is_cleared_up_by_reading() {
    for action in [
        Action::WriteThenClose,
        Action::WriteThenAnswer {
            status: 504,
            body: json!({}),
        },
    ] {
        let (world, cluster) = with_control_namespace().await;
        world.cluster.inject(Fault::on(
            "POST",
            "/api/v1/namespaces/preview-system/configmaps",
            action.clone(),
        ));
        assert_eq!(take(&cluster, "a").await.unwrap(), 1);
        world.cluster.inject(Fault::on(
            "PUT",
            "/api/v1/namespaces/preview-system/configmaps/*",
            action,
        ));
        assert_eq!(take(&cluster, "b").await.unwrap(), 2);
        assert_eq!(
            cluster
                .read_ledger(&ledger())
                .await
                .unwrap()
                .unwrap()
                .rest
                .len(),
            2
        );
    }
}

#[tokio::test]
async fn many_at_once_lose_no_write() {
    let (_world, cluster) = with_control_namespace().await;
    let runs: Vec<_> = (0..20).map(|run| format!("run-{run}")).collect();
    let mut places = futures::future::try_join_all(runs.iter().map(|run| take(&cluster, run)))
        .await
        .unwrap();
    places.sort_unstable();
    assert_eq!(places, (1..=20).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_ledger_that_cannot_be_read_is_never_guessed() {
    for data in [
        json!({"state.json": "{\"capacity\": "}),
        json!({"state.json": "{}"}),
        json!({"other": "x"}),
        json!({}),
    ] {
        let (world, cluster) = with_control_namespace().await;
        let mut broken = object(&kinds::CONFIG_MAP, "preview-7-preview");
        broken["metadata"]["namespace"] = "preview-system".into();
        broken["data"] = data;
        world.cluster.put(&broken).unwrap();
        let error = take(&cluster, "a").await.unwrap_err();
        assert_eq!(error.reason_code(), ReasonCode::LedgerCorrupt);
        assert!(
            error
                .to_string()
                .contains("preview-system/preview-7-preview"),
            "{error}"
        );
        assert!(requests(&world, "PUT", "configmaps").is_empty());
    }
}

#[tokio::test]
async fn a_ledger_of_three_thousand_previews_finds_room_and_shrinks_again() {
    let (world, cluster) = with_control_namespace().await;
    take(&cluster, "a").await.unwrap();
    let kept = |key: &str| {
        let found = world
            .cluster
            .object("ConfigMap", "preview-system", "preview-7-preview");
        let found = found.unwrap();
        let held = found[key].as_object();
        held.is_some_and(|held| !held.is_empty())
    };
    for previews in [3000, 0] {
        let fill = |ledger: &mut Ledger, _: Moment| {
            let record = |pr: u64| {
                // as much that cannot be packed as in a record that has been through everything
                let words: Vec<_> = (0..6)
                    .map(|word| digest(format!("{pr} {word}").as_bytes()))
                    .collect();
                let record = serde_json::from_value(json!({ "words": words })).unwrap();
                (pr.to_string(), record)
            };
            ledger.previews = (0..previews).map(record).collect();
            Step::Write(())
        };
        cluster.transact(&ledger(), fill).await.unwrap();
        assert_eq!(
            (kept("data"), kept("binaryData")),
            (previews == 0, previews > 0)
        );
        let read = cluster.read_ledger(&ledger()).await.unwrap().unwrap();
        assert_eq!(read.previews.len(), usize::try_from(previews).unwrap());
    }
}

#[tokio::test]
async fn a_missing_control_namespace_says_who_makes_it() {
    let (_world, cluster) = world().await;
    let error = take(&cluster, "a").await.unwrap_err();
    assert!(
        matches!(error, ClusterError::ControlNamespaceMissing { .. }),
        "{error:?}"
    );
    assert!(error.remedy().contains("preview-action setup"));
}

#[tokio::test]
async fn a_refusal_ends_the_transaction() {
    let (world, cluster) = with_control_namespace().await;
    world
        .cluster
        .deny(Denial::new("create", "configmaps").in_namespace("preview-system"));
    let error = take(&cluster, "a").await.unwrap_err();
    assert_eq!(error.reason_code(), ReasonCode::ClusterForbidden);
    assert_eq!(requests(&world, "POST", "configmaps").len(), 1);
}
