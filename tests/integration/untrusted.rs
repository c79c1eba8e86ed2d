//! Texts of strangers (titles, branches, logs, templates) show themselves and do nothing.

use crate::support::{CONFIGURATION, ONE_SERVICE, SHOP, Seen, Shop};
use preview_action::simulate::{Fault, cluster::Fate, github};
use serde_json::json;

/// Lines that the runner would act on: workflow commands that stand where it listens.
fn commands(seen: &Seen) -> Vec<String> {
    let mut listening: Option<String> = None;
    let mut found = Vec::new();
    for line in seen.log.lines() {
        match &listening {
            Some(token) if line == format!("::{token}::") => listening = None,
            Some(_) => {}
            None => {
                if let Some(token) = line.strip_prefix("::stop-commands::") {
                    listening = Some(token.to_owned());
                } else if line.trim_start().starts_with("::") || line.contains("##[") {
                    found.push(line.to_owned());
                }
            }
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_container_writes_commands_nobody_and_shows_no_secret() {
    let shop = Shop::open().await;
    let log = format!(
        "starting\n::error file=a.rs::pwned\n::add-mask::e\n##[set-output name=x]y\n```\n</details>\n<!-- preview-action v1 kind=status -->\n@everyone [click](https://evil.example)\ntoken {}\nkubeconfig {}\n\u{1b}[2Jcleared\ncoloured {}\nbroken {}",
        shop.world.github.token(),
        "simulated-cluster-token",
        shop.world.github.token().replacen("_", "_\u{1b}[31m", 1),
        "simulated-\u{200b}cluster-\u{200d}token",
    );
    shop.world.cluster.script_fate("web", Fate::Crash);
    shop.world.cluster.script_log("web", &log);
    let seen = shop.hears(&shop.opens(1)).await;
    seen.ends(1, "crash-loop");
    seen.says("starting");
    for line in commands(&seen) {
        let ours = [
            "::add-mask::",
            "::error file=",
            "::error title=",
            "::warning title=",
            "::group::",
            "::endgroup::",
            "::stop-commands::",
        ];
        assert!(ours.iter().any(|begin| line.starts_with(begin)), "{line}");
        assert!(!line.contains("pwned") && line != "::add-mask::e", "{line}");
    }
    let shown: String = seen
        .everything()
        .lines()
        .filter(|line| !line.starts_with("::add-mask::"))
        .collect();
    let shown = shown.replace(['\u{200b}', '\u{200d}'], "");
    let shown = shown.replace("\u{1b}[31m", "");
    assert!(!shown.contains(&shop.world.github.token()), "{shown}");
    assert!(!shown.contains("simulated-cluster-token"), "{shown}");
    assert!(!shown.contains('\u{1b}'), "{shown}");
    seen.one_comment();
    // A fence that is longer than any in the text: it ends where we end it.
    let comment = seen.comment();
    let begin = comment.find("````text\nstarting").unwrap();
    let end = comment[begin..].find("\n````\n").unwrap();
    assert!(
        comment[begin..begin + end].contains("https://evil.example"),
        "{comment}"
    );
    assert!(!comment[begin + end..].contains("evil"), "{comment}");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_and_a_title_of_a_stranger_are_text() {
    let shop = Shop::open().await;
    let pull = github::NewPull {
        author: "alice".into(),
        title: "::set-output name=a::b `$(reboot)` <img src=x onerror=alert(1)> @everyone".into(),
        ..github::NewPull::default()
    };
    let opened = shop.opens_as(1, pull);
    let seen = shop
        .run(&opened)
        .input("images", "web=registry.example/web:{branch}")
        .go()
        .await;
    seen.ends(0, "deployed");
    let everything = seen.everything();
    assert!(
        !everything.contains("<img") && !everything.contains("$(reboot)"),
        "{everything}"
    );
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn names_in_a_configuration_cannot_leave_their_place() {
    for (text, reason) in [
        (
            "version: 1\nservices:\n  \"web\\n::error::x\": {image: 'a:{sha}'}\n",
            "bad-configuration",
        ),
        (
            "version: 1\nservices: {web: {image: 'a:{sha} --privileged'}}\n",
            "bad-configuration",
        ),
        (
            "version: 1\nservices: {web: {image: 'a:{sha}', env: {A: \"x\\n::error::x\"}}}\n",
            "deployed",
        ),
    ] {
        let shop = Shop::selling(text).await;
        let seen = shop.hears(&shop.opens(1)).await;
        assert_eq!(seen.output("reason-code"), reason, "{text}: {seen:#?}");
        assert!(
            !commands(&seen).iter().any(|line| line == "::error::x"),
            "{text}: {}",
            seen.log
        );
        shop.ends();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_request_cannot_take_the_guards_away() {
    let shop = Shop::selling(&format!("{ONE_SERVICE}templates: [deploy/*.yaml.j2]\n")).await;
    let opened = {
        shop.commit(&[("deploy/own.yaml.j2", "")]);
        shop.opens(1);
        |text: &str| {
            shop.pushes_files(
                1,
                &[
                    ("deploy/own.yaml.j2", text),
                    (
                        CONFIGURATION,
                        &format!("{ONE_SERVICE}templates: [deploy/*.yaml.j2]\n"),
                    ),
                ],
            )
        }
    };
    for text in [
        "apiVersion: v1\nkind: ResourceQuota\nmetadata: {name: preview}\nspec: {hard: {pods: '1000'}}\n",
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: preview}\nspec: {podSelector: {}}\n",
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: pr-shop-1, labels: {pod-security.kubernetes.io/enforce: privileged}}\n",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: own, labels: {preview-action/repository-id: '7'}}\n",
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: own}\nspec: {rules: [{host: shop.example.com, http: {paths: []}}]}\n",
        "apiVersion: v1\nkind: Service\nmetadata: {name: own}\nspec: {type: LoadBalancer, ports: [{port: 80}]}\n",
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: own}\nroleRef: {kind: ClusterRole, name: admin}\n",
    ] {
        let seen = shop.hears(&opened(text)).await;
        seen.ends(1, "policy-refused");
        seen.says("deploy/own.yaml.j2");
    }
    assert_eq!(shop.world.cluster.objects("Deployment", "").len(), 0);
    assert_eq!(shop.world.github.comments(SHOP, 1).len(), 1);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_warning_of_the_server_is_in_the_comment_and_is_text() {
    let shop = Shop::open().await;
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: old}\ndata: {a: b}\n";
    let own = ONE_SERVICE.replace("version: 1\n", "version: 1\ntemplates: [own.yaml]\n");
    shop.commit(&[("own.yaml", map), (CONFIGURATION, &own)]);
    let text = "field a is deprecated ![x](https://evil.example/p.png) <img src=x> </details> @everyone ::error::x";
    let answer = serde_json::json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "old", "namespace": "pr-shop-1", "uid": "u", "resourceVersion": "9"},
        "data": {"a": "b"},
    });
    shop.world.cluster.inject(
        Fault::answer("PATCH", "/api/v1/namespaces/*/configmaps/old", 201, answer)
            .header("warning", &format!("299 - \"{text}\"")),
    );
    let seen = shop.hears(&shop.opens(1)).await;
    seen.ends(0, "deployed");
    seen.says("ConfigMap/old: field a is deprecated");
    let comment = seen.comment();
    for harm in ["![x](", "<img", "</details> @everyone", " @everyone"] {
        assert!(!comment.contains(harm), "{harm}: {comment}");
    }
    assert!(
        !commands(&seen)
            .iter()
            .any(|line| line.starts_with("::error::x")),
        "{}",
        seen.log
    );
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_gone_before_the_summary_escapes_it() {
    let shop = Shop::open().await;
    let file = shop.world.cluster.kubeconfig();
    let file = file.replace(
        "users:\n",
        "users:\n- name: other\n  user:\n    token: se_cr_et*token_1\n",
    );
    let opened = shop.opens(1);
    let told = json!({"message": "bad header: Bearer se_cr_et*token_1"});
    let refused = Fault::answer("GET", "/repos/acme/shop/pulls/1", 400, told);
    shop.world.github.inject(refused.always());
    let seen = shop.run(&opened).input("kubeconfig", &file).go().await;
    assert_eq!(seen.exit, 3, "{seen:#?}");
    assert!(seen.summary.contains("bad header"), "{}", seen.summary);
    let plain = seen.everything().replace('\\', "");
    let named = plain
        .lines()
        .filter(|line| !line.starts_with("::add-mask::"));
    let named: Vec<&str> = named.filter(|line| line.contains("et*token")).collect();
    assert_eq!(named, [""; 0]);
    shop.ends();
}
