//! Ways in which a deploy fails, each on the real and on the simulated cluster: the same code, cause, remedy and evidence.
//! The real server's words are what the diagnosis was written for; a simulation with words of its own would prove nothing.

mod addresses;
mod containers;
mod images;
mod play;
mod pods;
mod refusals;

use crate::{both, world::Real};

/// What goes wrong.
struct Case {
    /// Pull request; no two cases share one.
    pr: u64,
    name: &'static str,
    /// First word of the image's tag.
    fate: &'static str,
    /// Lines of the service `web` besides image and port.
    service: &'static str,
    /// Lines of the configuration besides its services.
    more: &'static str,
    /// Text of `deploy/own.yaml.j2`.
    own: &'static str,
    timeout: &'static str,
    reason: &'static str,
    /// Texts in the comment.
    says: &'static str,
}

/// Whatever a case does not say.
const USUAL: Case = Case {
    pr: 0,
    name: "",
    fate: "ok",
    service: "",
    more: "",
    own: "",
    timeout: "75s",
    reason: "",
    says: "",
};

async fn fails(case: Case) {
    let Some(real) = Real::enter() else { return };
    let indented = |text: &str, by: usize| {
        let lines = text
            .lines()
            .map(|line| format!("{}{line}\n", " ".repeat(by)));
        lines.collect::<String>()
    };
    let own = match case.own {
        "" => String::new(),
        text => format!("  deploy/own.yaml.j2: |\n{}", indented(text, 4)),
    };
    let templates = if own.is_empty() {
        ""
    } else {
        "    templates: [deploy/*.yaml.j2]\n"
    };
    let text = format!(
        r#"title: {name}
files:
  .github/preview.yml: |
    version: 1
    services:
      web:
        image: ${{registry}}/web:{fate}-{{short-sha}}
        port: 8080
{service}{more}{templates}{own}inputs:
  domain: preview.example.test
  timeout: {timeout}
  nodes: elastic
steps:
  - say: alice opens a pull request
    do: {{open: {{pr: {pr}, branch: {name}, title: A failure, by: alice}}}}
    expect: {{exit: 1, outputs: {{state: failed, reason-code: {reason}}}, comments: 1, comment: [{says:?}]}}
"#,
        name = case.name,
        fate = case.fate,
        service = indented(case.service, 8),
        more = indented(case.more, 4),
        pr = case.pr,
        timeout = case.timeout,
        reason = case.reason,
        says = case.says,
    );
    both::play(real, case.name, &text).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_does_not_exist() {
    fails(Case {
        pr: 61,
        name: "no-secret",
        service: "env: {PASSWORD: {secret: database, key: password}}",
        reason: "container-config",
        says: "database",
        ..USUAL
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_is_never_ready() {
    fails(Case {
        pr: 62,
        name: "never-ready",
        fate: "never",
        service: "health: {path: /}",
        reason: "timed-out",
        says: "503",
        ..USUAL
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_takes_too_much_memory() {
    fails(Case {
        pr: 63,
        name: "too-greedy",
        fate: "oom",
        service: "resources: {limits: {memory: 64Mi}}",
        reason: "out-of-memory",
        says: "64Mi",
        ..USUAL
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_no_node_can_take() {
    fails(Case {
        pr: 64,
        name: "too-big",
        service: "resources: {requests: {cpu: 200}, limits: {cpu: 200}}",
        more: "quota: {requests: {cpu: 400}, limits: {cpu: 400}}",
        reason: "unschedulable",
        says: "Insufficient cpu",
        ..USUAL
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_ends_badly() {
    fails(Case {
        pr: 65,
        name: "bad-job",
        fate: "fail",
        service: "run: once",
        // four more tries, each after twice the pause
        timeout: "4m",
        reason: "job-failed",
        says: "DATABASE_URL",
        ..USUAL
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_the_server_refuses() {
    fails(Case {
        pr: 66,
        name: "bad-object",
        own: "apiVersion: v1\nkind: Service\nmetadata: {name: own}\nspec:\n  selector: {app: own}\n  ports: [{port: 99999}]",
        reason: "bad-manifest",
        says: "deploy/own.yaml.j2",
        ..USUAL
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_our_policy_refuses_before_pod_security_does() {
    fails(Case {
        pr: 67,
        name: "privileged",
        own: "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: own}\nspec:\n  selector: {matchLabels: {app: own}}\n  template:\n    metadata: {labels: {app: own}}\n    spec:\n      containers:\n        - name: own\n          image: \"{{ images.web }}\"\n          securityContext: {privileged: true}",
        reason: "policy-refused",
        says: "privileged",
        ..USUAL
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kind_that_the_cluster_does_not_have() {
    fails(Case {
        pr: 68,
        name: "no-gateway",
        service: "public: true",
        more: "ingress: {gateway: infra/public}",
        reason: "bad-manifest",
        says: "HTTPRoute",
        ..USUAL
    })
    .await;
}
