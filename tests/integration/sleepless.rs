//! Who does not fall asleep at once or at all.

use crate::queue::comment_says;
use crate::sleep::quota;
use crate::support::{Event, SHOP, Seen, Shop};
use preview_action::simulate::{Action, Fault, Record, cluster::Handle};
use serde_json::{Value, json};
use std::time::Duration;

const NAMESPACE: &str = "pr-shop-1";
/// After so long a head that no run has tried is the sweep's.
const QUARTER: Duration = Duration::from_secs(16 * 60);
const HALF_A_DAY: Duration = Duration::from_secs(12 * 3600);

fn pods(shop: &Shop, of: &str) -> Vec<Value> {
    let mut pods = shop.world.cluster.objects("Pod", NAMESPACE);
    let name = |pod: &Value| pod["metadata"]["name"].as_str().unwrap().to_owned();
    pods.retain(|pod| name(pod).starts_with(of));
    pods
}

/// A StatefulSet that an operator has made and keeps at two replicas.
fn operated(shop: &Shop) {
    let custom = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "wanted", "namespace": NAMESPACE},
    });
    let cluster = &shop.world.cluster;
    cluster.put(&custom).unwrap();
    let owner = cluster.object("ConfigMap", NAMESPACE, "wanted").unwrap();
    let labels = json!({"app": "store"});
    let set = json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet",
        "metadata": {
            "name": "store", "namespace": NAMESPACE,
            "ownerReferences": [{
                "apiVersion": "v1", "kind": "ConfigMap", "name": "wanted",
                "uid": owner["metadata"]["uid"], "controller": true,
            }],
        },
        "spec": {
            "replicas": 2, "serviceName": "store", "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{
                    "name": "store", "image": "registry.example/store:1",
                    "resources": {
                        "requests": {"cpu": "10m", "memory": "16Mi"},
                        "limits": {"cpu": "10m", "memory": "16Mi"},
                    },
                }]},
            },
        },
    });
    cluster.put(&set).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_operator_has_made_sleeps_too_and_comes_back() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    operated(&shop);
    let both = |cluster: &Handle| {
        let set = cluster.object("StatefulSet", NAMESPACE, "store").unwrap();
        set["status"]["readyReplicas"] == 2
    };
    shop.world.cluster.wait_until(both).await;
    let sleep = shop.says(1, "alice", "/sleep");
    shop.hears(&sleep).await.ends(0, "slept");
    assert_eq!((pods(&shop, "").len(), shop.holders()), (0, vec![]));
    let set = shop.world.cluster.object("StatefulSet", NAMESPACE, "store");
    assert_eq!(
        set.unwrap()["spec"]["replicas"],
        2,
        "that is the operator's"
    );
    let wake = shop.says(1, "alice", "/wake");
    shop.hears(&wake).await.ends(0, "woken");
    shop.world.cluster.wait_until(both).await;
    shop.ends();
}

/// Whether the pods of the preview end once they are sent away.
fn end(shop: &Shop, end: bool) {
    let finalizers = if end {
        json!([])
    } else {
        json!(["example.test/a"])
    };
    for mut pod in pods(shop, "web") {
        pod["metadata"]["finalizers"] = finalizers.clone();
        shop.world.cluster.put(&pod).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_preview_that_does_not_fall_asleep_is_left_awake_until_it_is_idle_again() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    end(&shop, false);
    let sweep = async || {
        let run = shop.run(&shop.schedule());
        run.input("sleep-after", "12h").go().await
    };
    shop.world.advance(HALF_A_DAY);
    sweep().await.ends(3, "timed-out");
    assert_eq!((quota(&shop), shop.holders()), (false, vec![1]));
    let web = |cluster: &Handle| {
        let web = cluster.object("Deployment", NAMESPACE, "web").unwrap();
        web["status"]["readyReplicas"] == 1
    };
    shop.world.cluster.wait_until(web).await;
    let before = shop.now();
    sweep().await.ends(0, "swept");
    let asked = shop.cluster_requests(before);
    let tries = |one: &&Record| one.method != "GET" && one.path.contains("quotas");
    assert_eq!(asked.iter().filter(tries).count(), 0, "not at once");
    end(&shop, true);
    // A server's date has whole seconds.
    shop.world.advance(HALF_A_DAY + Duration::from_secs(2));
    sweep().await.ends(0, "swept");
    assert_eq!((quota(&shop), shop.holders()), (true, vec![]));
    shop.ends();
}

/// A preview that sleeps without a slot and waits in line for one, behind the only holder.
async fn in_line() -> Shop {
    let shop = Shop::open().await;
    let opened = shop.opens(1);
    alone(&shop, opened).await.ends(0, "deployed");
    let sleep = shop.says(1, "alice", "/sleep");
    alone(&shop, sleep).await.ends(0, "slept");
    let second = shop.opens(2);
    alone(&shop, second).await.ends(0, "deployed");
    let wake = shop.says(1, "alice", "/wake");
    alone(&shop, wake).await.ends(0, "queued");
    shop
}

/// What is done where only one may live.
async fn alone(shop: &Shop, event: Event) -> Seen {
    shop.run(&event).input("max-previews", "1").go().await
}

fn line(shop: &Shop) -> usize {
    shop.ledger().unwrap()["queue"].as_array().unwrap().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sleeps_in_line_neither_expires_nor_loses_its_place() {
    let shop = in_line().await;
    let pin = shop.says(2, "alice", "/pin");
    alone(&shop, pin).await.ends(0, "pinned");
    shop.unused_for(1, 30);
    for _ in 0..2 {
        alone(&shop, shop.schedule()).await.ends(0, "swept");
    }
    assert_eq!((line(&shop), shop.holders()), (1, vec![2]));
    assert_eq!(shop.namespaces().len(), 2);
    comment_says(&shop, 1, "Preview queued");
    alone(&shop, shop.closes(2)).await.ends(0, "removed");
    assert_eq!((line(&shop), shop.holders()), (0, vec![1]));
    alone(&shop, shop.schedule()).await.ends(0, "swept");
    assert_eq!(shop.holders(), [1], "it is used from now on");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sleeps_in_line_keeps_its_place_when_its_namespace_is_deleted() {
    let shop = in_line().await;
    shop.world.cluster.delete("Namespace", "", NAMESPACE);
    shop.gone(NAMESPACE).await;
    alone(&shop, shop.schedule()).await.ends(0, "swept");
    assert_eq!((line(&shop), shop.holders()), (1, vec![2]));
    assert!(shop.record(1)["asleep"].is_null());
    comment_says(&shop, 1, "Preview queued");
    alone(&shop, shop.closes(2)).await.ends(0, "removed");
    assert_eq!((line(&shop), shop.holders()), (0, vec![1]));
    comment_says(&shop, 1, "Preview ready");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sleeps_in_line_leaves_it_when_nobody_wants_it_any_more() {
    for closed in [true, false] {
        let shop = in_line().await;
        let event = match closed {
            true => shop.closes(1),
            false => shop.says(1, "alice", "/undeploy"),
        };
        alone(&shop, event).await.ends(0, "removed");
        assert_eq!((line(&shop), shop.holders()), (0, vec![2]));
        shop.ends();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_has_put_to_sleep_is_woken_by_no_push_from_before() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    // Of these pushes no run hears.
    shop.pushes(1);
    shop.hears(&shop.says(1, "alice", "/sleep"))
        .await
        .ends(0, "slept");
    let later = async || {
        shop.world.advance(QUARTER);
        shop.hears(&shop.schedule()).await.ends(0, "swept");
    };
    later().await;
    assert_eq!((pods(&shop, "").len(), shop.holders()), (0, vec![]));
    shop.pushes(1);
    later().await;
    assert_eq!(shop.holders(), [1], "another commit");
    // Who wakes it wants its newest commit again.
    shop.pushes(1);
    for (command, reason) in [("/sleep", "slept"), ("/wake", "woken")] {
        let said = shop.says(1, "alice", command);
        shop.hears(&said).await.ends(0, reason);
    }
    later().await;
    let head = shop.world.github.head(SHOP, 1);
    assert!(shop.image(NAMESPACE, "web").ends_with(&head[..7]));
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sleep_whose_run_died_before_its_word_is_not_ended_by_a_push_from_before() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    shop.pushes(1);
    let said = shop.says(1, "alice", "/sleep");
    let word = "/repos/acme/shop/issues/comments/*";
    shop.world
        .github
        .inject(Fault::on("PATCH", word, Action::Hang).always());
    let since = shop.now();
    let asked = move |records: &[Record]| {
        let mut all = records.iter().filter(|one| one.seq > since);
        all.any(|one| one.method == "PATCH" && one.path.contains("/issues/comments/"))
    };
    tokio::select! {
        seen = shop.hears(&said) => panic!("it did not die: {seen:#?}"),
        () = shop.world.log.wait_until(asked) => {}
    }
    shop.world.github.clear_faults();
    assert_eq!(shop.record(1)["asleep"]["unfinished"], true);
    for _ in 0..2 {
        shop.world.advance(QUARTER);
        shop.hears(&shop.schedule()).await.ends(0, "swept");
        assert_eq!((pods(&shop, "").len(), shop.holders()), (0, vec![]));
    }
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sleeper_of_a_lost_ledger_sleeps_on_whatever_somebody_says_of_its_life() {
    for said in ["/pin", "/extend 2d"] {
        let shop = Shop::open().await;
        shop.deployed(1).await;
        shop.hears(&shop.says(1, "alice", "/sleep"))
            .await
            .ends(0, "slept");
        shop.loses_ledger();
        shop.hears(&shop.schedule()).await.ends(0, "swept");
        shop.hears(&shop.says(1, "alice", said)).await;
        shop.world.advance(QUARTER);
        shop.hears(&shop.schedule()).await.ends(0, "swept");
        assert_eq!((pods(&shop, "").len(), shop.holders()), (0, vec![]));
        shop.hears(&shop.says(1, "alice", "/wake"))
            .await
            .ends(0, "woken");
        shop.ends();
    }
}
