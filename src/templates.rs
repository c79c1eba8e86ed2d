//! The texts in `templates/`, built into the binary by name.
//! It renders nothing; each stage that does brings its own engine and escaping.
//! They are embedded because the working directory of an action is the user's checkout.

/// Where this action lives for whom nobody tells another place.
const HOME: &str = env!("CARGO_PKG_REPOSITORY");

/// The list of variables and filters that templates have.
pub const VARIABLES: &str = "`templates/README.md` of this action";

/// Address at which setting up is explained, on the very server that the action runs on: a mirrored action's is its mirror.
///
/// `action` is the repository and the version that the workflow names; without it there is an address on the server only
/// where the action is at home.
pub fn setup_page(server: &str, action: Option<(&str, &str)>) -> Option<String> {
    let (repository, version) = match action {
        Some((repository, version)) => (format!("{server}/{repository}"), version.to_owned()),
        None if HOME.starts_with(&format!("{server}/")) => (
            HOME.to_owned(),
            concat!("v", env!("CARGO_PKG_VERSION")).to_owned(),
        ),
        None => return None,
    };
    Some(format!("{repository}/blob/{version}/README.md#set-up"))
}

/// Templates of comments and of the job summary.
pub const COMMENT: &[(&str, &str)] = &[
    (
        "comment/layout.md.j2",
        include_str!("../templates/comment/layout.md.j2"),
    ),
    (
        "comment/not-deployed.md.j2",
        include_str!("../templates/comment/not-deployed.md.j2"),
    ),
    (
        "comment/check.md.j2",
        include_str!("../templates/comment/check.md.j2"),
    ),
    (
        "comment/diff.md.j2",
        include_str!("../templates/comment/diff.md.j2"),
    ),
    (
        "comment/pending.md.j2",
        include_str!("../templates/comment/pending.md.j2"),
    ),
    (
        "comment/deploying.md.j2",
        include_str!("../templates/comment/deploying.md.j2"),
    ),
    (
        "comment/dashboard.md.j2",
        include_str!("../templates/comment/dashboard.md.j2"),
    ),
    (
        "comment/operator.md.j2",
        include_str!("../templates/comment/operator.md.j2"),
    ),
    (
        "comment/_holders.md.j2",
        include_str!("../templates/comment/_holders.md.j2"),
    ),
    (
        "comment/queued.md.j2",
        include_str!("../templates/comment/queued.md.j2"),
    ),
    (
        "comment/ready.md.j2",
        include_str!("../templates/comment/ready.md.j2"),
    ),
    (
        "comment/failed.md.j2",
        include_str!("../templates/comment/failed.md.j2"),
    ),
    (
        "comment/removing.md.j2",
        include_str!("../templates/comment/removing.md.j2"),
    ),
    (
        "comment/stuck.md.j2",
        include_str!("../templates/comment/stuck.md.j2"),
    ),
    (
        "comment/_skipped.md.j2",
        include_str!("../templates/comment/_skipped.md.j2"),
    ),
    (
        "comment/_push.md.j2",
        include_str!("../templates/comment/_push.md.j2"),
    ),
    (
        "comment/_stays.md.j2",
        include_str!("../templates/comment/_stays.md.j2"),
    ),
    (
        "comment/_answer.md.j2",
        include_str!("../templates/comment/_answer.md.j2"),
    ),
    (
        "comment/_gate.md.j2",
        include_str!("../templates/comment/_gate.md.j2"),
    ),
    (
        "comment/_life.md.j2",
        include_str!("../templates/comment/_life.md.j2"),
    ),
    (
        "comment/_volumes.md.j2",
        include_str!("../templates/comment/_volumes.md.j2"),
    ),
    (
        "comment/expired.md.j2",
        include_str!("../templates/comment/expired.md.j2"),
    ),
    (
        "comment/sleeping.md.j2",
        include_str!("../templates/comment/sleeping.md.j2"),
    ),
    (
        "comment/degraded.md.j2",
        include_str!("../templates/comment/degraded.md.j2"),
    ),
    (
        "comment/expiry.md.j2",
        include_str!("../templates/comment/expiry.md.j2"),
    ),
    (
        "comment/removed.md.j2",
        include_str!("../templates/comment/removed.md.j2"),
    ),
    (
        "comment/refused.md.j2",
        include_str!("../templates/comment/refused.md.j2"),
    ),
    (
        "comment/superseded.md.j2",
        include_str!("../templates/comment/superseded.md.j2"),
    ),
    (
        "comment/cancelled.md.j2",
        include_str!("../templates/comment/cancelled.md.j2"),
    ),
    (
        "comment/approval-needed.md.j2",
        include_str!("../templates/comment/approval-needed.md.j2"),
    ),
    (
        "comment/cut.md.j2",
        include_str!("../templates/comment/cut.md.j2"),
    ),
    (
        "comment/help.md.j2",
        include_str!("../templates/comment/help.md.j2"),
    ),
    (
        "comment/logs.md.j2",
        include_str!("../templates/comment/logs.md.j2"),
    ),
    (
        "comment/summary.md.j2",
        include_str!("../templates/comment/summary.md.j2"),
    ),
];

/// The JSON schema of the configuration file, which a test holds to the types: making it anew takes much code.
pub const SCHEMA: &str = include_str!("../schema/preview.schema.json");

/// Rights of the ServiceAccount, and the policy that limits them.
pub const RBAC: &str = include_str!("../templates/setup/rbac.yaml");

/// The right to read one pull secret; a template of `namespace` and `name`.
pub const PULL_SECRET: &str = include_str!("../templates/setup/pull-secret.yaml.j2");

/// Templates of the built-in objects.
pub const MANIFESTS: &[(&str, &str)] = &[
    (
        "resource-quota.yaml.j2",
        include_str!("../templates/manifests/resource-quota.yaml.j2"),
    ),
    (
        "limit-range.yaml.j2",
        include_str!("../templates/manifests/limit-range.yaml.j2"),
    ),
    (
        "network-policy.yaml.j2",
        include_str!("../templates/manifests/network-policy.yaml.j2"),
    ),
    (
        "config-map.yaml.j2",
        include_str!("../templates/manifests/config-map.yaml.j2"),
    ),
    (
        "service.yaml.j2",
        include_str!("../templates/manifests/service.yaml.j2"),
    ),
    (
        "deployment.yaml.j2",
        include_str!("../templates/manifests/deployment.yaml.j2"),
    ),
    (
        "stateful-set.yaml.j2",
        include_str!("../templates/manifests/stateful-set.yaml.j2"),
    ),
    (
        "job.yaml.j2",
        include_str!("../templates/manifests/job.yaml.j2"),
    ),
    (
        "ingress.yaml.j2",
        include_str!("../templates/manifests/ingress.yaml.j2"),
    ),
    (
        "http-route.yaml.j2",
        include_str!("../templates/manifests/http-route.yaml.j2"),
    ),
    (
        "_pod.yaml.j2",
        include_str!("../templates/manifests/_pod.yaml.j2"),
    ),
];

#[cfg(test)]
mod tests {
    use super::setup_page;

    #[test]
    fn setting_up_is_explained_on_the_server_that_the_action_runs_on() {
        let mirror = Some(("mirrors/preview-action", "v1"));
        let page = "https://ghe.example/mirrors/preview-action/blob/v1/README.md#set-up";
        assert_eq!(
            setup_page("https://ghe.example", mirror).as_deref(),
            Some(page)
        );
        assert_eq!(setup_page("https://ghe.example", None), None);
        let home = setup_page("https://github.com", None).unwrap_or_default();
        assert!(home.starts_with(env!("CARGO_PKG_REPOSITORY")), "{home}");
    }
}
