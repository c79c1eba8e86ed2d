//! `/check` and the command `check`: everything that is in the way at once, each with its remedy, and nothing written.

use crate::support::{CONFIGURATION, ONE_SERVICE, SHOP, Seen, Shop, binary, keeps_record, printed};
use preview_action::simulate::{
    Fault, cluster,
    cluster::Denial,
    github::{Comment, NewPull},
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// The answers to `/check`.
fn answers(shop: &Shop) -> Vec<Comment> {
    let all = shop.world.github.comments(SHOP, 1).into_iter();
    all.filter(|comment| {
        comment
            .body
            .starts_with("<!-- preview-action v1 kind=check ")
    })
    .collect()
}

/// What a run changed in the cluster: reviews make nothing, and neither do dry runs.
fn writes(shop: &Shop, since: usize) -> Vec<String> {
    let all = shop.requests("cluster", since);
    let real = |one: &&preview_action::simulate::Record| {
        one.method != "GET"
            && !keeps_record(one)
            && !one.query.contains("dryRun=All")
            && !one.path.starts_with("/apis/authorization.k8s.io/")
    };
    all.iter()
        .filter(real)
        .map(|one| format!("{} {}", one.method, one.path))
        .collect()
}

/// Asks with these inputs; nothing is written but the run's own record and the one answer, which this is.
async fn checks(shop: &Shop, inputs: &[(&str, &str)]) -> String {
    let since = shop.now();
    let status = shop.comment(1);
    let event = shop.says(1, "bob", "/check");
    let seen: Seen = shop.run(&event).inputs(inputs).go().await;
    seen.ends(0, "check-shown");
    assert_eq!(writes(shop, since), [""; 0]);
    assert_eq!(shop.comment(1), status, "the status stays what it is");
    let mut answers = answers(shop);
    assert_eq!(answers.len(), 1, "{answers:#?}");
    answers.remove(0).body.replace('\\', "")
}

/// The rows of one sign.
fn rows<'a>(body: &'a str, sign: &str) -> Vec<&'a str> {
    let begin = format!("| {sign} | ");
    body.lines()
        .filter(|line| line.starts_with(&begin))
        .collect()
}

/// One row of this sign says all of this, and no other row has the sign.
fn only(body: &str, sign: &str, words: &[&str]) {
    let rows = rows(body, sign);
    assert_eq!(rows.len(), 1, "{body}");
    for word in words {
        assert!(rows[0].contains(word), "no {word:?} in {}", rows[0]);
    }
}

fn class(shop: &Shop, name: &str, default: bool) {
    let class = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "IngressClass",
        "metadata": {"name": name, "annotations": {"ingressclass.kubernetes.io/is-default-class": default.to_string()}},
        "spec": {"controller": "example.test/ingress"},
    });
    shop.world.cluster.put(&class).unwrap();
}

async fn opened(configuration: &str) -> Shop {
    let shop = Shop::selling(configuration).await;
    class(&shop, "nginx", true);
    shop.opens(1);
    shop
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_is_as_it_should_be_is_called_so_with_or_without_a_preview() {
    let shop = opened(ONE_SERVICE).await;
    let furnished = |cluster: &cluster::Handle| {
        let made = |kind| cluster.objects(kind, "preview-system").len() == 1;
        made("ConfigMap") && made("ServiceAccount")
    };
    shop.world.cluster.wait_until(furnished).await;
    let (before, stored) = (shop.now(), shop.world.cluster.snapshot());
    let first = checks(&shop, &[]).await;
    let mut after = shop.world.cluster.snapshot();
    after.remove("ConfigMap preview-system/preview-1001-preview-runs");
    assert_eq!(after, stored);
    insta::with_settings!({snapshot_path => "snapshots", prepend_module_to_snapshot => false, omit_expression => true, filters => vec![
        (r"repo=\d+", "repo=ID"), (r"`[0-9a-f]{7}`", "`COMMIT`"), (r"127\.0\.0\.1:\d+", "ADDRESS"), (r"did not (describe|answer) [^|]+\|", "did not tell |"),
    ]}, {
        insta::assert_snapshot!("check", first);
    });
    assert_eq!(rows(&first, "❌"), [""; 0], "{first}");
    // Namespace, control namespace, two reviews, the policy, the ledger, Namespaces where there is none, nodes, previews, pods, classes, hosts.
    let mut asked = shop.requests("cluster", before);
    asked.retain(|one| !keeps_record(one));
    assert!(asked.len() <= 12, "{asked:#?}");
    let id = answers(&shop)[0].id;

    shop.hears(&shop.says(1, "bob", "/deploy"))
        .await
        .ends(0, "deployed");
    let second = checks(&shop, &[]).await;
    assert_eq!(rows(&second, "❌"), [""; 0], "{second}");
    assert!(second.contains("it holds slot 1 of 3"), "{second}");
    assert_eq!(answers(&shop)[0].id, id);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_missing_verb_is_named_with_the_rule_that_grants_it() {
    for (verb, resource, rule) in [
        (
            "patch",
            "deployments",
            "{apiGroups: [\"apps\"], resources: [deployments], verbs: [patch]}",
        ),
        (
            "get",
            "pods/log",
            "{apiGroups: [\"\"], resources: [pods/log], verbs: [get]}",
        ),
        (
            "list",
            "nodes",
            "{apiGroups: [\"\"], resources: [nodes], verbs: [list]}",
        ),
        (
            "get",
            "secrets",
            "{apiGroups: [\"\"], resources: [secrets], resourceNames: [preview-last-good], verbs: [get]}",
        ),
    ] {
        let shop = opened(ONE_SERVICE).await;
        shop.world.cluster.deny(Denial::new(verb, resource));
        let body = checks(&shop, &[]).await;
        // A deploy does without looking at nodes.
        let verdict = if resource == "nodes" { "ℹ️" } else { "❌" };
        let rows = rows(&body, verdict);
        let row = rows.iter().find(|row| row.contains("may not"));
        only(
            row.copied().unwrap_or_default(),
            verdict,
            &[
                "may not",
                verb,
                resource,
                rule,
                "ClusterRole preview-action",
            ],
        );
        shop.ends();
    }
    let shop = opened(ONE_SERVICE).await;
    let ledger = Denial::new("update", "configmaps").in_namespace("preview-system");
    shop.world.cluster.deny(ledger);
    let body = checks(&shop, &[]).await;
    only(
        &body,
        "❌",
        &["may not update configmaps", "Role preview-action-ledger"],
    );
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_is_gone_and_a_cap_that_was_raised_are_not_told_wrong() {
    let shop = opened(ONE_SERVICE).await;
    let capped = shop.pushes(1);
    shop.run(&capped)
        .input("max-previews", "1")
        .go()
        .await
        .ends(0, "deployed");
    shop.opens(2);
    let asked = shop.says(2, "alice", "/check");
    let since = shop.now();
    let run = shop.run(&asked).input("max-previews", "2").go();
    run.await.ends(0, "check-shown");
    let all = shop.world.github.comments(SHOP, 2);
    let body = &all
        .iter()
        .find(|one| one.body.contains("kind=check"))
        .unwrap()
        .body;
    assert!(
        rows(body, "✅")
            .iter()
            .any(|row| row.contains("1 of 2 slots")),
        "{body}"
    );
    let writes = shop.cluster_requests(since);
    let writes = writes.iter().filter(|one| one.method == "PUT");
    assert_eq!(
        writes.count(),
        0,
        "the cap itself is not brought up to date by a look"
    );
    let name = shop.ledger_name();
    shop.world
        .cluster
        .delete("ConfigMap", "preview-system", &name);
    let body = checks(&shop, &[]).await;
    let unseen = rows(&body, "❔");
    assert!(
        unseen.iter().any(|row| row.contains("there is no ledger")),
        "{body}"
    );
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_looked_at_is_never_called_fine() {
    let shop = opened(ONE_SERVICE).await;
    for (verb, resource) in [
        ("list", "ingressclasses"),
        ("list", "nodes"),
        ("list", "ingresses"),
    ] {
        shop.world.cluster.deny(Denial::new(verb, resource));
    }
    let body = checks(&shop, &[("health", "off")]).await;
    let unseen = rows(&body, "❔");
    for what in [
        "classes of Ingress",
        "room on the nodes",
        "was not checked",
        "`health` is `off`",
    ] {
        assert!(
            unseen.iter().any(|row| row.contains(what)),
            "no {what:?} in {body}"
        );
    }
    for fine in rows(&body, "✅") {
        assert!(
            !fine.contains("class") && !fine.contains("nodes") && !fine.contains("hosts"),
            "{fine}"
        );
    }
    // The list of Ingresses is of a right that a deploy needs.
    assert_eq!(rows(&body, "❌").len(), 1, "{body}");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_is_not_in_place_is_a_fault() {
    let shop = opened(ONE_SERVICE).await;
    shop.world.cluster.lift_policy();
    let body = checks(&shop, &[]).await;
    only(
        &body,
        "❌",
        &[
            "no admission policy holds this credential",
            "preview-action setup",
        ],
    );
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_told_at_once() {
    let broken = format!("{ONE_SERVICE}templates: [deploy/*.yaml]\n");
    let shop = opened(&broken).await;
    shop.pushes_files(
        1,
        &[(
            "deploy/own.yaml",
            "apiVersion: v1\nkind: Node\nmetadata: {name: own}\n",
        )],
    );
    shop.world.cluster.deny(Denial::new("delete", "jobs"));
    shop.world.cluster.lift_policy();
    let body = checks(&shop, &[("pull-secret", "preview-system/registry")]).await;
    let faults = rows(&body, "❌");
    for (about, what) in [
        ("configuration", "deploy/own.yaml:"),
        ("access", "delete jobs"),
        ("access", "no admission policy"),
        ("pull secret", "does not exist"),
    ] {
        let found = faults
            .iter()
            .any(|row| row.contains(about) && row.contains(what));
        assert!(found, "no {about}: {what} in {body}");
    }
    assert_eq!(faults.len(), 4, "{body}");
    assert!(
        body.contains("**4 things are in the way of a deploy.**"),
        "{body}"
    );
    for row in faults {
        let remedy = row.trim_end_matches('|').rsplit(" | ").next().unwrap();
        assert!(remedy.trim().len() > 10, "no remedy in {row}");
    }
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_can_not_be_served_is_told() {
    let shop = opened(&format!("{ONE_SERVICE}ingress: {{class: traefik}}\n")).await;
    class(&shop, "internal", false);
    let production =
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "production"}});
    shop.world.cluster.put(&production).unwrap();
    let path = json!({"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "web", "port": {"number": 80}}}});
    let ingress = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "web", "namespace": "production"},
        "spec": {"rules": [{"host": "pr-1.preview.example.test", "http": {"paths": [path]}}]},
    });
    shop.world.cluster.put(&ingress).unwrap();
    let body = checks(&shop, &[]).await;
    let faults = rows(&body, "❌");
    assert_eq!(faults.len(), 2, "{body}");
    assert!(
        faults[0].contains("no Ingress class traefik; there is: internal, nginx"),
        "{body}"
    );
    assert!(
        faults[1].contains("already served from namespace production"),
        "{body}"
    );
    // An address that nobody answers at counts where it has to be healthy.
    let closed = checks(
        &shop,
        &[("health-address", "127.0.0.1:1"), ("health", "required")],
    )
    .await;
    let faults = rows(&closed, "❌");
    assert!(faults[2].contains("takes no connection"), "{closed}");
    let usual = checks(&shop, &[("health-address", "127.0.0.1:1")]).await;
    assert!(
        rows(&usual, "ℹ️")
            .iter()
            .any(|row| row.contains("takes no connection")),
        "{usual}"
    );
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_does_not_take_the_route_is_told() {
    let shop = opened(&format!(
        "{ONE_SERVICE}ingress: {{gateway: infra/public}}\n"
    ))
    .await;
    let infra = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "infra"}});
    shop.world.cluster.put(&infra).unwrap();
    let body = checks(&shop, &[]).await;
    only(
        &body,
        "❌",
        &[
            "Gateway infra/public",
            "does not exist",
            "`ingress: {gateway: …}`",
        ],
    );

    let gateway = |hostname: &str| {
        let listener = json!({"name": "web", "port": 80, "protocol": "HTTP", "hostname": hostname, "allowedRoutes": {"namespaces": {"from": "All"}}});
        let object = json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "metadata": {"name": "public", "namespace": "infra"},
            "spec": {"gatewayClassName": "example", "listeners": [listener]},
            "status": {"conditions": [{"type": "Programmed", "status": "True"}]},
        });
        shop.world.cluster.put(&object).unwrap();
    };
    gateway("*.example.com");
    let body = checks(&shop, &[]).await;
    only(
        &body,
        "❌",
        &["no listener of it is for pr-1.preview.example.test"],
    );
    gateway("*.example.test");
    let since = shop.now();
    let body = checks(&shop, &[]).await;
    assert_eq!(rows(&body, "❌"), [""; 0], "{body}");
    let fine = rows(&body, "✅");
    assert!(
        fine.iter()
            .any(|row| row.contains("infra/public takes the routes in")),
        "{body}"
    );
    let mut asked = shop.requests("cluster", since);
    asked.retain(|one| !keeps_record(one));
    assert!(asked.len() <= 13, "{asked:#?}");
    shop.world.cluster.deny(Denial::new("get", "gateways"));
    let body = checks(&shop, &[]).await;
    assert_eq!(rows(&body, "❌"), [""; 0], "{body}");
    let unseen = rows(&body, "❔");
    assert!(
        unseen
            .iter()
            .any(|row| row.contains("Gateway infra/public")),
        "{body}"
    );
    shop.ends();
}

/// What a pull request names as its Gateway is a name, and never a way to something else.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateways_name_leads_to_no_other_object() {
    let shop = opened(&format!("{ONE_SERVICE}templates: [deploy/*.yaml]\n")).await;
    for name in [
        "../../../../../api/v1/namespaces/preview-system/secrets/key",
        "public/status",
        "public?watch=true",
        "..",
        "a b",
    ] {
        let route = json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": "own"},
            "spec": {"hostnames": ["pr-1.preview.example.test"], "parentRefs": [{"name": name, "namespace": "infra"}]},
        });
        shop.pushes_files(1, &[("deploy/route.yaml", &route.to_string())]);
        let since = shop.now();
        let body = checks(&shop, &[]).await;
        let faults = rows(&body, "❌");
        assert!(
            faults.iter().any(|row| row.contains("does not exist")),
            "{name}: {body}"
        );
        let asked = shop.cluster_requests(since);
        let strange = |one: &&preview_action::simulate::Record| {
            one.path.contains("gateways") || one.path.contains("/secrets/key")
        };
        assert_eq!(
            asked.iter().filter(strange).count(),
            0,
            "{name}: {asked:#?}"
        );
    }
    shop.ends();
}

/// A registry on this machine that has one image, `web:there`, and tells nothing of `secret`; its address.
async fn registry() -> String {
    use axum::{Json, Router, http::StatusCode, routing::get};
    let config = json!({"config": {}}).to_string();
    let digest = format!("sha256:{:x}", Sha256::digest(&config));
    let manifest = Json(json!({"config": {"digest": digest}}));
    let app = Router::new()
        .route("/v2/web/manifests/there", get(async || manifest))
        .route("/v2/web/blobs/{digest}", get(async || config))
        .route("/v2/secret/manifests/{tag}", get(StatusCode::FORBIDDEN));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async { axum::serve(listener, app).await });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_is_not_in_its_registry_is_told_and_what_is_not_told_is_not_looked_at() {
    let address = registry().await;
    let mut three = "version: 1\nservices:\n".to_owned();
    for (name, image) in [
        ("web", "web:there"),
        ("api", "web:gone"),
        ("own", "secret:1"),
    ] {
        three += &format!("  {name}: {{image: '{address}/{image}', port: 8080}}\n");
    }
    let shop = opened(&three).await;
    let body = checks(&shop, &[]).await;
    only(&body, "❌", &["images", "there is no image", "web:gone"]);
    let has = |sign, image: &str| rows(&body, sign).iter().any(|row| row.contains(image));
    assert!(has("✅", "web:there") && has("❔", "/secret"), "{body}");
    shop.ends();
}

/// What came before classes were objects names one as well, of which no object need stand.
#[tokio::test(flavor = "multi_thread")]
async fn a_class_that_is_named_by_annotation_is_not_the_default_one() {
    for (name, sign) in [("internal", "✅"), ("haproxy", "ℹ️")] {
        let own = format!(
            "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: own, annotations: {{kubernetes.io/ingress.class: {name}}}}}\n\
             spec:\n  rules:\n  - host: pr-1-own.preview.example.test\n    http:\n      paths:\n      \
             - {{path: /, pathType: Prefix, backend: {{service: {{name: web, port: {{number: 8080}}}}}}}}\n"
        );
        let shop = opened(&format!("{ONE_SERVICE}templates: [deploy/*.yaml]\n")).await;
        class(&shop, "internal", false);
        shop.pushes_files(1, &[("deploy/own.yaml", &own)]);
        let body = checks(&shop, &[]).await;
        assert!(
            rows(&body, sign).iter().any(|row| row.contains(name)),
            "{body}"
        );
        assert_eq!(rows(&body, "❌"), [""; 0], "{body}");
        shop.ends();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_takes_no_dry_runs_is_called_what_it_is() {
    let shop = opened(ONE_SERVICE).await;
    shop.hears(&shop.says(1, "bob", "/deploy"))
        .await
        .ends(0, "deployed");
    let words = "admission webhook \"audit.example.test\" does not support dry run";
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "BadRequest", "code": 400, "message": words});
    for path in [
        "/api/v1/namespaces/preview-action-check",
        "/apis/apps/v1/namespaces/pr-shop-1/deployments/*",
    ] {
        let refuses = Fault::answer("PATCH", path, 400, status.clone());
        shop.world.cluster.inject(refuses.always());
    }
    let body = checks(&shop, &[]).await;
    assert_eq!(rows(&body, "❌"), [""; 0], "{body}");
    let unseen = rows(&body, "❔");
    let told = |row: &&str| row.contains("takes no dry runs") && row.contains("audit.example.test");
    assert!(unseen.iter().any(told), "{body}");
    shop.hears(&shop.says(1, "bob", "/diff"))
        .await
        .ends(0, "diff-shown");
    let all = shop.world.github.comments(SHOP, 1);
    let diff = all.iter().find(|one| one.body.contains("kind=diff"));
    let diff = &diff.unwrap().body;
    assert!(diff.contains("takes no dry runs"), "{diff}");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_can_not_be_read_is_said_to_be_so() {
    let shop = opened(ONE_SERVICE).await;
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Forbidden", "code": 403, "message": "no"});
    let path = "/api/v1/namespaces/pr-shop-1";
    let refuses = Fault::answer("GET", path, 403, status);
    shop.world.cluster.inject(refuses.always());
    let body = checks(&shop, &[]).await;
    let unseen = rows(&body, "❔");
    assert!(
        unseen
            .iter()
            .any(|row| row.contains("whose namespace pr-shop-1 is")),
        "{body}"
    );
    shop.ends();
}

/// Everything is told of a fork's commit that nobody has approved, and that it is not.
#[tokio::test(flavor = "multi_thread")]
async fn a_forks_commit_is_checked_before_it_is_approved() {
    let shop = Shop::selling(&ONE_SERVICE.replace("{short-sha}", "{sha}")).await;
    class(&shop, "nginx", true);
    let fork = NewPull {
        author: "mallory".into(),
        fork: Some("mallory/shop".into()),
        ..NewPull::default()
    };
    shop.opens_as(1, fork);
    let head = shop.world.github.head(SHOP, 1);
    let body = checks(&shop, &[]).await;
    only(
        &body,
        "❌",
        &["comes from a fork and is not approved", &head],
    );
    let configuration = |row: &&str| row.contains("objects render");
    assert!(rows(&body, "✅").iter().any(configuration), "{body}");
    shop.world
        .github
        .set_permission(SHOP, "alice", "admin", "admin");
    shop.hears(&shop.says(1, "alice", &format!("/approve {head}")))
        .await
        .ends(0, "deployed");
    let body = checks(&shop, &[]).await;
    assert_eq!(rows(&body, "❌"), [""; 0], "{body}");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_house_and_too_little_room_are_told() {
    let shop = opened(ONE_SERVICE).await;
    for pr in [2, 3] {
        let seen = shop
            .run(&shop.opens(pr))
            .input("max-previews", "2")
            .go()
            .await;
        seen.ends(0, "deployed");
    }
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "sim-node", "labels": {}},
        "status": {"allocatable": {"cpu": "10m", "memory": "64Gi", "pods": "110"}}});
    shop.world.cluster.put(&node).unwrap();
    let body = checks(&shop, &[("max-previews", "2")]).await;
    let faults = rows(&body, "❌");
    assert_eq!(faults.len(), 2, "{body}");
    for word in [
        "2 of 2 slots are taken, by",
        "2, ",
        "3",
        "`/undeploy`",
        "`max-previews`",
    ] {
        assert!(faults[0].contains(word), "no {word:?} in {body}");
    }
    assert!(faults[1].contains("no room"), "{body}");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_secret_that_is_there_is_fine_and_shows_nothing() {
    let shop = opened(ONE_SERVICE).await;
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/dockerconfigjson",
        "metadata": {"name": "registry", "namespace": "preview-system"},
        "data": {".dockerconfigjson": "eyJhdXRocyI6eyJyLmV4YW1wbGUiOnsicGFzc3dvcmQiOiJodW50ZXIyIn19fQ=="},
    });
    shop.world.cluster.put(&secret).unwrap();
    let inputs = [("pull-secret", "preview-system/registry")];
    let body = checks(&shop, &inputs).await;
    assert!(
        rows(&body, "✅")
            .iter()
            .any(|row| row.contains("preview-system/registry")),
        "{body}"
    );
    assert!(!body.contains("eyJ") && !body.contains("hunter2"), "{body}");
    shop.world
        .cluster
        .deny(Denial::new("get", "secrets").in_namespace("preview-system"));
    let body = checks(&shop, &inputs).await;
    only(&body, "❌", &["pull secret", "may not be read"]);
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_refused_and_secrets_are_not_shown() {
    let shop = opened(ONE_SERVICE).await;
    shop.hears(&shop.says(1, "mallory", "/check"))
        .await
        .ends(0, "permission-denied");
    assert_eq!(answers(&shop).len(), 0);
    let token = shop.world.github.token();
    let secret = ONE_SERVICE.replace("port: 8080", &format!("prot: {token}\n    {token}: 1"));
    shop.pushes_files(1, &[(CONFIGURATION, &secret)]);
    let body = checks(&shop, &[]).await;
    assert!(!rows(&body, "❌").is_empty(), "{body}");
    assert!(!body.contains(&token), "{body}");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_by_hand_asks_the_same_and_a_prefix_is_spelled() {
    let shop = opened(ONE_SERVICE).await;
    shop.hears(&shop.dispatches(1, "check"))
        .await
        .ends(0, "check-shown");
    assert_eq!(answers(&shop).len(), 1);
    let event = shop.says(1, "bob", "/preview check");
    let inputs = [("command-prefix", "/preview"), ("max-previews", "1")];
    shop.run(&shop.opens(2))
        .input("max-previews", "1")
        .go()
        .await
        .ends(0, "deployed");
    shop.run(&event)
        .inputs(&inputs)
        .go()
        .await
        .ends(0, "check-shown");
    let body = &answers(&shop)[0].body;
    assert!(body.contains("/preview undeploy"), "{body}");
    shop.ends();
}

/// The command on a checkout: exit code, data, and all else.
async fn run(shop: &Shop, kubeconfig: &str, output: &str) -> (i32, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(CONFIGURATION);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, ONE_SERVICE).unwrap();
    let ingress = shop.world.cluster.ingress_address().to_string();
    let output = tokio::process::Command::new(binary())
        .env_clear()
        .env("KUBECONFIG", kubeconfig)
        .current_dir(folder.path())
        .args([
            "check",
            "--repository",
            SHOP,
            "--repository-id",
            "42",
            "--pr",
            "12",
        ])
        .args([
            "--sha",
            "0123456789abcdef0123456789abcdef01234567",
            "--domain",
            "preview.example.test",
        ])
        // A simulated world lives on this machine, which the program asks nothing.
        .args([
            "--health",
            "off",
            "--output",
            output,
            "--health-address",
            &ingress,
        ])
        .output()
        .await
        .unwrap();
    printed(&output)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_prints_the_same_and_ends_by_what_was_found() {
    let shop = opened(ONE_SERVICE).await;
    let kubeconfig = shop.world.cluster.kubeconfig();
    let since = shop.now();
    let (exit, out, err) = run(&shop, &kubeconfig, "text").await;
    assert_eq!(exit, 0, "{out}{err}");
    assert!(
        out.contains("✅ access: this credential may do all that a deploy needs"),
        "{out}"
    );
    assert!(out.contains("option `--health` is `off`"), "{out}");

    shop.world.cluster.deny(Denial::new("watch", "pods"));
    let (exit, out, err) = run(&shop, &kubeconfig, "json").await;
    assert_eq!(exit, 1, "{out}{err}");
    let found: Value = serde_json::from_str(&out).unwrap();
    let faults: Vec<&Value> = found
        .as_array()
        .unwrap()
        .iter()
        .filter(|one| one["verdict"] == "fault")
        .collect();
    assert_eq!(faults.len(), 1, "{out}");
    assert_eq!(
        (&faults[0]["about"], &faults[0]["cause"]),
        (
            &json!("access"),
            &json!("this credential may not watch pods")
        )
    );
    assert!(
        faults[0]["remedy"]
            .as_str()
            .unwrap()
            .contains("verbs: [watch]"),
        "{out}"
    );
    assert_eq!(writes(&shop, since), [""; 0]);

    // A credential that the cluster does not know: it says no to everything.
    let wrong = kubeconfig.replace(&cluster::Options::default().token, "somebody-elses");
    let (exit, out, err) = run(&shop, &wrong, "text").await;
    assert_eq!(exit, 3, "{out}{err}");
    assert!(out.contains("✅ configuration:"), "{out}");
    shop.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_behind_a_login_is_asked_for_as_the_nodes_do() {
    use axum::{Json, Router, http::HeaderMap, routing::get};
    let config = json!({"config": {}}).to_string();
    let digest = format!("sha256:{:x}", Sha256::digest(&config));
    let manifest = Json(json!({"config": {"digest": digest}}));
    let app = Router::new()
        .route("/v2/web/manifests/there", get(async || manifest))
        .route("/v2/web/blobs/{digest}", get(async || config))
        .layer(axum::middleware::from_fn(
            async |headers: HeaderMap,
                   request: axum::extract::Request,
                   next: axum::middleware::Next| {
                use axum::{http::StatusCode, response::IntoResponse};
                match headers.contains_key("authorization") {
                    true => next.run(request).await,
                    false => {
                        let basic = [("www-authenticate", "Basic realm=\"r\"")];
                        (StatusCode::UNAUTHORIZED, basic).into_response()
                    }
                }
            },
        ));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async { axum::serve(listener, app).await });
    let shop = opened(&format!(
        "version: 1\nservices:\n  web: {{image: '{address}/web:there', port: 8080}}\n"
    ))
    .await;
    let login = json!({"auths": {address: {"username": "robot", "password": "a-password"}}});
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/dockerconfigjson",
        "metadata": {"name": "registry", "namespace": "preview-system"},
        "stringData": {".dockerconfigjson": login.to_string()},
    });
    shop.world.cluster.put(&secret).unwrap();
    let body = checks(&shop, &[("pull-secret", "preview-system/registry")]).await;
    let there = rows(&body, "✅");
    assert!(there.iter().any(|row| row.contains("web:there")), "{body}");
    shop.ends();
}
