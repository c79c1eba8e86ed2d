//! What the built-in templates make on a real node: pages, volumes, Jobs, secrets, quotas, and tags that move.

use crate::{alone, both, stay::Stay, world::Real};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_service_runs_and_a_stripped_prefix_is_not_seen() {
    let Some(real) = Real::enter() else { return };
    let text = include_str!("scenarios/services.yml");
    both::play_and_look(real, "services", text, async |stay, _, seen| {
        let (status, page) = real
            .page(&format!("{}/api/items", seen.outputs["url"]))
            .await;
        assert_eq!(status, 200, "{page}");
        assert!(page.contains("path <code>\"/items\"</code>"), "{page}");
        let namespace = stay.namespace(21);
        let claim = real.object("persistentvolumeclaim", &namespace, "preview-data-store-0");
        assert_eq!(claim.expect("a claim")["status"]["phase"], "Bound");
        let jobs = real.objects("jobs", &namespace);
        assert!(
            jobs.iter().all(|job| job["status"]["succeeded"] == 1),
            "{jobs:#?}"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repositorys_own_templates_are_served() {
    let Some(real) = Real::enter() else { return };
    let text = include_str!("scenarios/templates.yml");
    both::play_and_look(real, "templates", text, async |stay, _, seen| {
        let host = format!("http://own-22.{}", stay.domain());
        let (status, page) = real.page(&host).await;
        assert!(
            status == 200 && page.contains(&seen.sha),
            "{status}: {page}"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_exceeds_the_quota_is_told_with_its_numbers() {
    let Some(real) = Real::enter() else { return };
    both::play(real, "quota", include_str!("scenarios/quota.yml")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_default_application_with_a_database_fits_the_default_quota_during_a_rollout() {
    let Some(real) = Real::enter() else { return };
    let Some(postgres) = real.postgres() else {
        println!("skipped: PREVIEW_TEST_POSTGRES names no image");
        return;
    };
    let stay = Stay::begin(real, "objects-postgres");
    let text = POSTGRES.replace("${postgres}", &postgres);
    alone::play(&stay, &text, async |_, _, _| {
        let namespace = stay.namespace(31);
        let events = real.objects("events", &namespace);
        let refused = events
            .iter()
            .filter(|event| event["reason"] == "FailedCreate");
        assert_eq!(refused.count(), 0, "{events:#?}");
        let ready = real.objects("statefulsets", &namespace)[0]["status"]["readyReplicas"].clone();
        assert_eq!(ready, 1);
    })
    .await;
}

const POSTGRES: &str = r#"
title: An application and its database
files:
  .github/preview.yml: |
    version: 1
    services:
      web:
        image: ${registry}/web:{short-sha}
        port: 8080
        public: true
      db:
        image: ${postgres}
        port: 5432
        storage: {path: /var/lib/postgresql/data, size: 256Mi}
        env: {POSTGRES_PASSWORD: preview}
        resources: {requests: {cpu: 100m, memory: 128Mi}, limits: {cpu: 500m, memory: 512Mi}}
inputs: {domain: preview.example.test, timeout: 3m}
steps:
  - say: alice opens a pull request
    do: {open: {pr: 31, branch: data, title: Data, by: alice}}
    expect: {outputs: {state: ready}, page: "${sha}"}
  - say: she pushes a commit, which needs room for one more pod
    do: {push: {pr: 31}}
    expect: {outputs: {state: ready}, page: "${sha}"}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn the_pull_secret_is_copied_into_the_preview() {
    let Some(real) = Real::enter() else { return };
    let stay = Stay::begin(real, "objects-pull-secret");
    let source = Source::begin(real, "preview-test-pull-secret");
    let text = format!(
        "{PULL_SECRET}  pull-secret: {}/registry\n{ONE_STEP}",
        source.0
    );
    alone::play(&stay, &text, async |_, seen, _| {
        let namespace = stay.namespace(32);
        let copy = real
            .object("secret", &namespace, "preview-pull-secret")
            .expect("the copy");
        assert_eq!(copy["type"], "kubernetes.io/dockerconfigjson");
        assert_eq!(copy["data"], Source::secret(&source.0)["data"]);
        let pods = real.objects("pods", &namespace);
        let named = |pod: &Value| {
            pod["spec"]["imagePullSecrets"] == json!([{"name": "preview-pull-secret"}])
        };
        assert!(!pods.is_empty() && pods.iter().all(named), "{pods:#?}");
        assert!(
            !seen.log.contains(PASSWORD) || seen.log.contains(&format!("::add-mask::{PASSWORD}"))
        );
        assert!(!seen.comments.concat().contains(PASSWORD));
    })
    .await;
}

/// A namespace with a pull secret, which the ServiceAccount may read.
struct Source(String, &'static Real);

impl Source {
    fn begin(real: &'static Real, name: &str) -> Self {
        real.put(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}));
        real.put(&Self::secret(name));
        let rights = crate::setup::printed(&["--pull-secret", &format!("{name}/registry")]);
        crate::setup::apply(real, &rights, &[]);
        Self(name.to_owned(), real)
    }

    fn secret(namespace: &str) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/dockerconfigjson",
            "metadata": {"name": "registry", "namespace": namespace},
            "data": {".dockerconfigjson": "eyJhdXRocyI6eyJyZWdpc3RyeS5leGFtcGxlIjp7InVzZXJuYW1lIjoiYm90IiwicGFzc3dvcmQiOiJodW50ZXItMjIifX19"},
        })
    }
}

/// The password in [`Source::secret`].
const PASSWORD: &str = "hunter-22";

impl Drop for Source {
    fn drop(&mut self) {
        self.1
            .kubectl(&["delete", "namespace", &self.0, "--wait=false"]);
    }
}

const PULL_SECRET: &str = r#"
title: A registry that asks who is there
inputs:
  domain: preview.example.test
  images: "web=${registry}/web:{short-sha}"
"#;

const ONE_STEP: &str = r#"
steps:
  - say: alice opens a pull request
    do: {open: {pr: 32, branch: secret, title: Secret, by: alice}}
    expect: {outputs: {state: ready}, page: "${sha}"}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_was_pushed_again_rolls_out_and_the_comment_says_of_which_commit_it_is() {
    let Some(real) = Real::enter() else { return };
    let stay = Stay::begin(real, "objects-moving");
    let revisions = ["a", "b"].map(|digit| digit.repeat(40));
    real.image("objects-moving", "ok", &revisions[0]);
    let mut next = revisions.iter().enumerate();
    alone::play(&stay, MOVING, async |_, seen, _| {
        let (index, revision) = next.next().expect("a revision for each step");
        let (_, page) = real.page(&seen.outputs["url"]).await;
        assert!(page.contains(revision), "{page}");
        let said = format!("is from `{}`", &revision[..7]);
        let comment = seen.comments.concat().replace('\u{200b}', "");
        assert!(
            comment.contains(&said) || comment.contains(&said.replace('`', "")),
            "{comment}"
        );
        if let Some(revision) = revisions.get(index + 1) {
            real.image("objects-moving", "ok", revision);
        }
    })
    .await;
}

const MOVING: &str = r#"
title: A tag that moves
inputs:
  domain: preview.example.test
  images: "web=${registry}/web:objects-moving"
steps:
  - say: alice opens a pull request whose image is of another commit
    do: {open: {pr: 33, branch: moving, title: Moving, by: alice}}
    expect: {outputs: {state: ready}, comment: ["⚠️"]}
  - say: the tag is pushed again, and she pushes a commit
    do: {push: {pr: 33}}
    expect: {outputs: {state: ready}, comment: ["⚠️"]}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_answers_500_is_no_ready_preview() {
    let Some(real) = Real::enter() else { return };
    let stay = Stay::begin(real, "objects-unhealthy");
    alone::play(&stay, UNHEALTHY, async |_, _, _| {}).await;
}

const UNHEALTHY: &str = r#"
title: A container that runs and a page that fails
inputs:
  domain: preview.example.test
  timeout: 30s
  images: "web=${registry}/web:unhealthy-{short-sha}"
steps:
  - say: alice opens a pull request
    do: {open: {pr: 34, branch: broken, title: Broken, by: alice}}
    expect: {exit: 1, outputs: {state: failed, reason-code: unhealthy}, comment: ["500"]}
"#;
