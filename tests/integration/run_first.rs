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
