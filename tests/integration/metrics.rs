//! What runs leave behind, and the figures that are made of it.

use crate::support::{SHOP, Shop, binary};
use preview_action::simulate::{Fault, Record, cluster::Fate};
use serde_json::{Value, json};

fn records(shop: &Shop) -> Vec<Value> {
    let name = format!("{}-runs", shop.ledger_name());
    let found = shop
        .world
        .cluster
        .object("ConfigMap", "preview-system", &name);
    let data = found
        .map(|object| object["data"].clone())
        .unwrap_or_default();
    let texts = data.as_object().cloned().unwrap_or_default();
    texts
        .values()
        .map(|text| serde_json::from_str(text.as_str().unwrap()).unwrap())
        .collect()
}

async fn printed(shop: &Shop, more: &[&str]) -> String {
    let id = shop.world.github.create_repository(SHOP).to_string();
    let output = tokio::process::Command::new(binary())
        .env_clear()
        .env("KUBECONFIG", shop.world.cluster.kubeconfig())
        .args(["metrics", "--repository", SHOP, "--repository-id", &id])
        .args(more)
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_run_leaves_a_record_in_one_request() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    shop.world.cluster.script_fate("web", Fate::Missing);
    shop.hears(&shop.pushes(1)).await;
    shop.hears(&shop.says(1, "bob", "/deploy")).await;
    shop.hears(&shop.closes(1)).await.ends(0, "removed");
    let told: Vec<_> = records(&shop)
        .iter()
        .map(|one| {
            let word = |name: &str| one[name].as_str().unwrap_or_default().to_owned();
            (word("action"), word("outcome"), one["first"] == true)
        })
        .collect();
    let row = |action: &str, outcome: &str, first| (action.to_owned(), outcome.to_owned(), first);
    assert_eq!(
        told,
        [
            row("deploy", "ready", true),
            row("deploy", "failed", true),
            row("deploy", "failed", false),
            row("remove", "removed", true),
        ]
    );
    let first = &records(&shop)[0];
    assert!(first["stages"]["apply"].is_u64(), "{first}");
    let writes = shop.world.cluster.requests();
    let writes = writes.iter().filter(|one| one.path.contains("-runs"));
    // The first one finds no place for its record and begins one, by a request to the collection.
    assert_eq!(writes.count(), 4);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_cannot_be_written_fails_nothing() {
    let shop = Shop::open().await;
    let path = format!(
        "/api/v1/namespaces/preview-system/configmaps/{}-runs",
        shop.ledger_name()
    );
    let refusal = json!({"kind": "Status", "status": "Failure", "code": 403, "reason": "Forbidden", "message": "no"});
    let fault = Fault::answer("PATCH", &path, 403, refusal).always();
    shop.world.cluster.inject(fault);
    let seen = shop.deployed(1).await;
    assert_eq!(seen.annotations(), Vec::<String>::new());
    assert_eq!(records(&shop), Vec::<Value>::new());
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_is_bounded() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    let name = format!("{}-runs", shop.ledger_name());
    let mut object = shop
        .world
        .cluster
        .object("ConfigMap", "preview-system", &name)
        .unwrap();
    for number in 0..600 {
        object["data"][format!("{number:015}.1")] = "{}".into();
    }
    shop.world.cluster.put(&object).unwrap();
    shop.hears(&shop.pushes(1)).await.ends(0, "deployed");
    let object = shop
        .world
        .cluster
        .object("ConfigMap", "preview-system", &name)
        .unwrap();
    let keys: Vec<&String> = object["data"].as_object().unwrap().keys().collect();
    assert_eq!(keys.len(), 400);
    let runs = keys.iter().filter(|key| !key.starts_with("0000000000"));
    assert_eq!(runs.count(), 2, "what was added last stays");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_prints_the_figures_for_scrapers_and_for_programs() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    shop.deployed(2).await;
    let page = printed(&shop, &[]).await;
    for line in [
        "preview_active{repository=\"acme/shop\",environment=\"preview\"} 2",
        "preview_first_attempts{repository=\"acme/shop\",environment=\"preview\",outcome=\"ready\"} 2",
        "# EOF",
    ] {
        assert!(page.lines().any(|found| found == line), "{line} in\n{page}");
    }
    assert!(
        page.contains("namespace=\"pr-shop-2\",pr=\"2\",source=\"requests\"} 0.05"),
        "{page}"
    );
    let json: Value = serde_json::from_str(&printed(&shop, &["--output", "json"]).await).unwrap();
    assert_eq!(json["figures"]["runs"]["deploy"]["ready"], 2);
    assert_eq!(json["now"]["capacity"], 3);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_cluster_measures_counts_more_than_what_was_asked_for() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    shop.deployed(2).await;
    let used = |cpu: &str, memory: &str| json!({"usage": {"cpu": cpu, "memory": memory}});
    let measured = json!({"kind": "PodMetricsList", "apiVersion": "metrics.k8s.io/v1beta1", "items": [
        {"metadata": {"namespace": "pr-shop-2", "name": "web-1"}, "containers": [used("1500000n", "3Mi"), used("2m", "1Mi")]},
        {"metadata": {"namespace": "pr-shop-2", "name": "web-2"}, "containers": [used("4m", "1Mi")]},
    ]});
    let path = "/apis/metrics.k8s.io/v1beta1/pods";
    let answered = Fault::answer("GET", path, 200, measured);
    shop.world.cluster.inject(answered.always());
    let json: Value = serde_json::from_str(&printed(&shop, &["--output", "json"]).await).unwrap();
    let usage = json["now"]["usage"].as_array().unwrap();
    let figures = |one: &Value| json!([one["pr"], one["cpu"], one["memory"], one["measured"]]);
    let figures: Vec<Value> = usage.iter().map(figures).collect();
    assert_eq!(figures[0][3], false, "of this one nothing was measured");
    assert_eq!(figures[1], json!([2, 8, 5 << 20, true]), "each rounded up");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sleep_that_nobody_asked_for_leaves_a_record_as_well() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    shop.world
        .advance(std::time::Duration::from_secs(13 * 3600));
    let event = shop.schedule();
    let swept = shop.run(&event).input("sleep-after", "12h").go().await;
    swept.ends(0, "swept");
    let slept: Vec<_> = records(&shop)
        .into_iter()
        .filter(|one| one["action"] == "sleep")
        .collect();
    assert_eq!(slept.len(), 1, "{slept:?}");
    assert_eq!(slept[0]["outcome"], "sleeping");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_was_there_counts_as_a_removal_whatever_it_was_removed_for() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    shop.deployed(2).await;
    shop.opens(3);
    assert_eq!(shop.hears(&shop.closes(3)).await.exit, 0);
    let removals = || {
        let mut all = records(&shop);
        all.retain(|one| one["action"] == "remove");
        all
    };
    assert_eq!(removals(), Vec::<Value>::new(), "there was none");
    shop.hears(&shop.closes(2)).await.ends(0, "removed");
    shop.unused_for(1, 30);
    let schedule = shop.schedule();
    let swept = shop.run(&schedule).input("expiry-warning", "false").go();
    swept.await.ends(0, "swept");
    let outcomes: Vec<Value> = removals()
        .iter()
        .map(|one| one["outcome"].clone())
        .collect();
    assert_eq!(outcomes, [json!("removed"), json!("expired")]);
    let json: Value = serde_json::from_str(&printed(&shop, &["--output", "json"]).await).unwrap();
    assert_eq!(json["figures"]["removals"]["count"], 2, "{json}");
    shop.ends();
}

/// Whose Namespace was gone before has taken no time that anybody knows.
#[tokio::test(flavor = "multi_thread")]
async fn a_removal_is_as_long_as_its_namespace_was_on_its_way() {
    let shop = Shop::open().await;
    shop.deployed(1).await;
    shop.deployed(2).await;
    shop.change_record(1, |record| {
        record["removing"] = json!({"because": "asked", "by": "alice"});
    });
    shop.world.cluster.delete("Namespace", "", "pr-shop-1");
    let held = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {
        "name": "held", "namespace": "pr-shop-2", "finalizers": ["example.com/hold"]}});
    shop.world.cluster.put(&held).unwrap();
    shop.hears(&shop.closes(2)).await.ends(3, "removal-stuck");
    shop.world.advance(std::time::Duration::from_secs(3600));
    let mut free = held.clone();
    free["metadata"]["finalizers"] = json!([]);
    let (schedule, from) = (shop.schedule(), shop.now());
    let lets_go = async {
        let asked = |one: &Record| {
            one.seq >= from && one.method == "DELETE" && one.path.ends_with("/pr-shop-2")
        };
        shop.world.log.wait_until(|all| all.iter().any(asked)).await;
        shop.world.cluster.put(&free).unwrap();
    };
    let (swept, ()) = tokio::join!(shop.hears(&schedule), lets_go);
    swept.ends(0, "swept");
    let mut all = records(&shop);
    all.retain(|one| one["action"] == "remove" && one["outcome"] == "removed");
    let [one] = all.as_slice() else {
        panic!("{all:#?}")
    };
    assert!(
        one["pr"] == 2 && one["took"].as_u64() >= Some(3_600_000),
        "{one}"
    );
    shop.ends();
}
