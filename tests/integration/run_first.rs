//! Jobs that run before the workloads: awaited, run once, and when they fail nothing else is touched.

use crate::support::{CONFIGURATION, ONE_SERVICE, Shop};

const TEMPLATE: &str = "deploy/migrate.yaml.j2";

fn configuration() -> String {
    ONE_SERVICE.replace(
        "version: 1\n",
        "version: 1\ntemplates: [deploy/*.yaml.j2]\n",
    )
}

fn migrate(tag: &str) -> String {
    format!(
        "apiVersion: batch/v1
kind: Job
metadata: {{name: migrate, annotations: {{preview-action/run-first: 'true'}}}}
spec:
  backoffLimit: 0
  template:
    spec:
      restartPolicy: Never
      containers: [{{name: migrate, image: 'registry.example/migrate:{tag}'}}]
"
    )
}

/// A hook as `helm template` leaves it.
fn hook(name: &str, hooks: &str, weight: &str, tag: &str) -> String {
    format!(
        "---
apiVersion: batch/v1
kind: Job
metadata: {{name: {name}, annotations: {{helm.sh/hook: '{hooks}', helm.sh/hook-weight: '{weight}'}}}}
spec:
  backoffLimit: 0
  template:
    spec:
      restartPolicy: Never
      containers: [{{name: {name}, image: 'registry.example/{name}:{tag}'}}]
"
    )
}

/// Jobs and Deployments in the order in which they were first applied since then.
fn applied(shop: &Shop, since: usize) -> Vec<String> {
    let mut names = Vec::new();
    for record in shop.cluster_requests(since) {
        let jobs = record.path.split_once("/jobs/");
        let named = jobs.or_else(|| record.path.split_once("/deployments/"));
        if let Some((_, name)) = named
            && record.method == "PATCH"
            && !names.iter().any(|seen| seen == name)
        {
            names.push(name.to_owned());
        }
    }
    names
}

fn uid(shop: &Shop) -> String {
    let job = shop.world.cluster.object("Job", "pr-shop-1", "migrate");
    job.unwrap_or_default()["metadata"]["uid"].to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_runs_before_the_workloads_and_not_again_unless_it_changed() {
    let shop = Shop::selling(&configuration()).await;
    shop.commit(&[(TEMPLATE, &migrate("1"))]);
    let first = shop.deployed(1).await;
    first.says("`migrate` Job");
    let order: Vec<usize> = ["/jobs/migrate", "/deployments/web"]
        .iter()
        .map(|end| {
            let requests = shop.world.requests();
            let found = requests
                .iter()
                .find(|record| record.method == "PATCH" && record.path.ends_with(end));
            found.unwrap().seq
        })
        .collect();
    assert!(order[0] < order[1], "{order:?}");
    let before = uid(&shop);
    shop.hears(&shop.pushes(1)).await.ends(0, "deployed");
    assert_eq!(uid(&shop), before, "an unchanged Job ran again");
    let push = shop.pushes_files(1, &[(TEMPLATE, &migrate("2"))]);
    shop.hears(&push).await.ends(0, "deployed");
    assert_ne!(uid(&shop), before, "a changed Job did not run");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_fails_fails_the_deploy_and_leaves_the_workloads_alone() {
    let shop = Shop::selling(&configuration()).await;
    shop.commit(&[(TEMPLATE, &migrate("1"))]);
    shop.deployed(1).await;
    let good = shop.image("pr-shop-1", "web");
    let head = shop.world.github.head("acme/shop", 1)[..7].to_owned();
    let since = shop.now();
    let push = shop.pushes_files(1, &[(TEMPLATE, &migrate("fail"))]);
    let seen = shop.hears(&push).await;
    println!("{}", seen.comment());
    seen.ends(1, "job-failed");
    assert_eq!(shop.image("pr-shop-1", "web"), good);
    seen.says("still serving");
    seen.says(&head);
    let jobs = shop.cluster_requests(since);
    let jobs = jobs
        .iter()
        .filter(|record| record.method == "PATCH" && record.path.ends_with("/jobs/migrate"));
    // Tried in place, then anew; the restore does not run it.
    assert!(jobs.count() <= 2);

    // A failed Job runs again when somebody asks for the deploy again.
    let failed = uid(&shop);
    shop.hears(&shop.says(1, "alice", "/deploy"))
        .await
        .ends(1, "job-failed");
    assert_ne!(uid(&shop), failed, "a failed Job was not run again");
    let mended = shop.pushes_files(
        1,
        &[(TEMPLATE, &migrate("3")), (CONFIGURATION, &configuration())],
    );
    shop.hears(&mended).await.ends(0, "deployed");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn hooks_run_by_their_weight_and_each_weight_waits_for_the_one_before() {
    let shop = Shop::selling(&configuration()).await;
    let hooks = |tag: &str| {
        [
            hook("late", "pre-install,pre-upgrade", "5", "1"),
            hook("early", "pre-install,pre-upgrade", "-5", tag),
            hook("also", "pre-install,pre-upgrade", "-5", tag),
            hook("middle", "pre-install,pre-upgrade", "0", "1"),
        ]
        .concat()
    };
    shop.commit(&[(TEMPLATE, &hooks("fail"))]);
    let opened = shop.opens(1);
    shop.hears(&opened).await.ends(1, "job-failed");
    let tried = applied(&shop, 0);
    // Two of one weight are tried together; what comes after a failed weight is not touched.
    for (name, expected) in [
        ("early", true),
        ("also", true),
        ("middle", false),
        ("late", false),
        ("web", false),
    ] {
        let found = tried.iter().any(|tried| tried == name);
        assert_eq!(found, expected, "{name}: {tried:?}");
    }
    let since = shop.now();
    let push = shop.pushes_files(1, &[(TEMPLATE, &hooks("2"))]);
    shop.hears(&push).await.ends(0, "deployed");
    let order = applied(&shop, since);
    let at = |name: &str| order.iter().position(|one| one == name).unwrap();
    assert!(
        at("early").max(at("also")) < at("middle")
            && at("middle") < at("late")
            && at("late") < at("web"),
        "{order:?}"
    );
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_of_post_install_and_pre_upgrade_comes_last_until_something_was_ready() {
    let shop = Shop::selling(&configuration()).await;
    let deployment =
        |record: &preview_action::simulate::Record| record.path.ends_with("/deployments/web");
    let job = |record: &preview_action::simulate::Record| record.path.ends_with("/jobs/seed");
    let job_is_first = |since: usize| {
        let patches: Vec<_> = shop
            .cluster_requests(since)
            .into_iter()
            .filter(|record| record.method == "PATCH")
            .collect();
        let workload = patches.iter().position(deployment).unwrap();
        patches.iter().position(job).unwrap() < workload
    };
    let seed = |tag: &str| hook("seed", "post-install,pre-upgrade", "0", tag);
    shop.commit(&[(TEMPLATE, &seed("fail"))]);
    let opened = shop.opens(1);
    shop.hears(&opened).await.ends(1, "job-failed");
    assert!(!job_is_first(0), "it ran before the first deploy");
    let before = shop.image("pr-shop-1", "web");
    let push = shop.pushes_files(1, &[(TEMPLATE, &seed("fail"))]);
    shop.hears(&push).await.ends(1, "job-failed");
    // Nothing has been ready yet: a Job that ran first would have left the workload alone.
    assert_ne!(shop.image("pr-shop-1", "web"), before);
    let push = shop.pushes_files(1, &[(TEMPLATE, &seed("2"))]);
    shop.hears(&push).await.ends(0, "deployed");
    let since = shop.now();
    let push = shop.pushes_files(1, &[(TEMPLATE, &seed("3"))]);
    shop.hears(&push).await.ends(0, "deployed");
    assert!(job_is_first(since), "it ran after an update");
    shop.ends();
}
