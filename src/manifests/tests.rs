#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use super::*;
use crate::{
    inputs::{SecretRef, Settings, configuration::Quantity},
    names::{ReasonCode, State},
    plan::{
        self,
        fixtures::{configuration, facts, settings},
    },
    yaml,
};
use serde_json::json;
use std::{collections::BTreeSet, fmt::Write as _};

/// Everything that the configuration can say.
const FULL: &str = r#"
services:
  web:
    image: ghcr.io/acme/web:{sha}
    port: 3000
    replicas: 2
    env:
      API: "{{ urls.api }}"
      DEPTH: "{{ values.depth }}"
      EMPTY: ""
      TOKEN: {secret: app, key: token}
    command: [npm, start]
    args: ["--host={{ preview.host }}"]
    files:
      /app/config.json: |
        {"api": "{{ urls.api }}", "branch": {{ preview.branch | yaml }}}
      /app/plain.txt: "a\n  b: {x}\n"
    resources: {requests: {cpu: 1m}, limits: {memory: 32Mi}}
    health: {path: /healthz}
    public: true
    node-selector: {disk: ssd}
    tolerations: [{key: spot, operator: Exists}]
  api:
    image: ghcr.io/acme/api@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
    public: {path: /api/v1.0, strip-prefix: true}
  worker:
    image: ghcr.io/acme/worker:pr-{number}
  db:
    image: postgres:17
    port: 5432
    env: {POSTGRES_HOST_AUTH_METHOD: trust}
    resources: {requests: {cpu: 100m, memory: 128Mi}}
    storage: {path: /var/lib/postgresql/data, size: 1Gi}
  migrate:
    image: ghcr.io/acme/api:{sha}
    args: [migrate]
    run: once
values: {depth: 2}
ingress:
  class: nginx
  tls: {issuer: letsencrypt}
  annotations: {example.com/owner: "pr-{{ preview.number }}"}
network:
  egress: internet
  allow: [{namespace: databases, pods: {app: pg}, port: 5432}, {namespace: cache}]
quota: {requests: {cpu: 2}, pods: 20}
"#;

fn rendered(settings: &Settings, text: &str, own: &[(&str, &str)]) -> (plan::Plan, Vec<Rendered>) {
    let configuration = configuration(text);
    let plan = plan::decide(settings, &configuration, &facts()).unwrap();
    let own = own
        .iter()
        .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()))
        .collect();
    let request = build(&plan, &configuration, settings, own);
    let rendered = render::render(&request).unwrap_or_else(|errors| panic!("{errors}"));
    (plan, rendered)
}

fn set_with(settings: &Settings, text: &str, own: &[(&str, &str)]) -> ManifestSet {
    let (plan, rendered) = rendered(settings, text, own);
    assemble(&plan, &rendered).unwrap_or_else(|errors| panic!("{errors}"))
}

fn set(text: &str, own: &[(&str, &str)]) -> ManifestSet {
    set_with(&settings(), text, own)
}

fn refused(text: &str, own: &[(&str, &str)]) -> ManifestErrors {
    let (plan, rendered) = rendered(&settings(), text, own);
    assemble(&plan, &rendered).unwrap_err()
}

fn text_of(set: &ManifestSet) -> String {
    let mut text = String::new();
    for Manifest {
        object,
        origin,
        stage,
        ..
    } in &set.objects
    {
        let Origin { file, line } = origin;
        let object = yaml::to_string(object).unwrap();
        write!(text, "--- # stage {stage}, {file}:{line}\n{object}").unwrap();
    }
    text
}

fn find<'s>(set: &'s ManifestSet, kind: &str, name: &str) -> &'s Value {
    let found = set
        .objects
        .iter()
        .find(|manifest| manifest.id.kind == kind && manifest.id.name == name);
    &found
        .unwrap_or_else(|| panic!("no {kind}/{name} in {:?}", ids(set)))
        .object
}

fn ids(set: &ManifestSet) -> Vec<String> {
    set.objects
        .iter()
        .map(|manifest| manifest.id.to_string())
        .collect()
}

#[test]
fn everything_that_the_configuration_can_say() {
    insta::assert_snapshot!(text_of(&set(FULL, &[])));
}

#[test]
fn images_alone() {
    let settings = Settings {
        pull_secret: Some(SecretRef {
            namespace: "preview-system".parse().unwrap(),
            name: "registry".into(),
        }),
        ..plan::fixtures::settings_with_images(&["web=ghcr.io/acme/web:{sha}"])
    };
    let configuration =
        crate::inputs::configuration::Configuration::from_images(["web".parse().unwrap()]);
    let plan = plan::decide(&settings, &configuration, &facts()).unwrap();
    let request = build(&plan, &configuration, &settings, Vec::new());
    let set = assemble(&plan, &render::render(&request).unwrap()).unwrap();
    insta::assert_snapshot!(text_of(&set));
}

#[test]
fn a_gateway_gets_http_routes() {
    let set = set(
        "services:
  web: {image: w, public: true}
  api: {image: a, public: {path: /api, strip-prefix: true}}
ingress: {gateway: infra/shared, tls: on, annotations: {a.b/c: d}}",
        &[],
    );
    let routes: Vec<_> = ["web", "api"]
        .map(|name| yaml::to_string(find(&set, "HTTPRoute", name)).unwrap())
        .into();
    assert!(!ids(&set).iter().any(|id| id.starts_with("Ingress/")));
    insta::assert_snapshot!(routes.join("---\n"));
}

#[test]
fn traefik_strips_a_prefix_by_a_middleware() {
    let set = set(
        "services: {api: {image: a, public: {path: /api, strip-prefix: true}}}\ningress: {class: traefik, tls: {secret: wildcard}}",
        &[],
    );
    let ingress = find(&set, "Ingress", "api");
    assert_eq!(
        ingress["metadata"]["annotations"]["traefik.ingress.kubernetes.io/router.middlewares"],
        "pr-shop-12-api-strip-prefix@kubernetescrd"
    );
    assert_eq!(
        ingress["spec"]["rules"][0]["http"]["paths"][0]["pathType"],
        "Prefix"
    );
    assert_eq!(ingress["spec"]["tls"][0]["secretName"], "wildcard");
    assert_eq!(
        find(&set, "Middleware", "api-strip-prefix")["spec"],
        json!({"stripPrefix": {"prefixes": ["/api"]}})
    );
}

#[test]
fn annotations_of_the_configuration_go_before_our_own() {
    let timeout = "nginx.ingress.kubernetes.io/proxy-read-timeout";
    let set = set(
        &format!(
            "services: {{web: {{image: w, public: true}}}}\ningress: {{annotations: {{{timeout}: 5}}}}"
        ),
        &[],
    );
    assert_eq!(
        find(&set, "Ingress", "web")["metadata"]["annotations"][timeout],
        "5"
    );
}

#[test]
fn egress_has_three_widths() {
    for (egress, blocks, namespaces) in [("internet", 3, 1), ("cluster", 1, 2), ("none", 1, 1)] {
        let set = set(
            &format!("services: {{web: {{image: w}}}}\nnetwork: {{egress: {egress}}}"),
            &[],
        );
        let policy = find(&set, "NetworkPolicy", "preview");
        let targets: Vec<_> = policy["spec"]["egress"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|rule| rule["to"].as_array().unwrap())
            .collect();
        let count = |key| targets.iter().filter(|to| to.get(key).is_some()).count();
        assert_eq!(count("ipBlock"), blocks, "{egress}");
        assert_eq!(count("namespaceSelector"), namespaces, "{egress}");
    }
}

#[test]
fn the_namespace_is_fenced_and_found_again() {
    let plan = plan::fixtures::plan("services: {web: {image: w, public: true}}").unwrap();
    insta::assert_snapshot!(
        yaml::to_string(&namespace(&plan, 2, State::Deploying, Some("uid-1"))).unwrap()
    );
    assert_eq!(
        namespace(&plan, 2, State::Ready, None).pointer("/metadata/uid"),
        None
    );
}

/// Sums a resource of all pods, each workload with the one pod more that a rolling update starts.
fn sum(set: &ManifestSet, side: &str, resource: &str) -> u128 {
    let milli = |value: &Value| value.as_str().unwrap().parse::<Quantity>().unwrap().milli();
    set.objects
        .iter()
        .filter_map(|manifest| {
            let pods = match manifest.id.kind.as_str() {
                "Deployment" => manifest.object["spec"]["replicas"].as_u64()? + 1,
                "StatefulSet" => manifest.object["spec"]["replicas"].as_u64()?,
                "Job" => 1,
                _ => return None,
            };
            let containers =
                manifest.object["spec"]["template"]["spec"]["containers"].as_array()?;
            let each: u128 = containers
                .iter()
                .map(|container| milli(&container["resources"][side][resource]))
                .sum();
            Some(each * u128::from(pods))
        })
        .sum()
}

#[test]
fn the_default_application_with_postgresql_fits_its_quota_while_it_rolls() {
    let set = set(
        "services:
  web: {image: w, public: true}
  api: {image: a, public: {path: /api}}
  db:
    image: postgres:17
    resources: {requests: {cpu: 100m, memory: 128Mi}, limits: {cpu: 500m, memory: 512Mi}}
    storage: {path: /var/lib/postgresql/data, size: 1Gi}
  migrate: {image: a, run: once}",
        &[],
    );
    let hard = &find(&set, "ResourceQuota", "preview")["spec"]["hard"];
    for side in ["requests", "limits"] {
        for resource in ["cpu", "memory"] {
            let allowed = hard[format!("{side}.{resource}")].as_str().unwrap();
            let allowed = allowed.parse::<Quantity>().unwrap().milli();
            let asked = sum(&set, side, resource);
            assert!(
                asked > 0 && asked <= allowed,
                "{side}.{resource}: {asked} of {allowed}"
            );
        }
    }
}

#[test]
fn own_objects_take_the_place_of_built_in_ones() {
    let own = "apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: mine}}
spec:
  replicas: 3
  selector: {matchLabels: {app: mine}}
  template:
    metadata: {labels: {app: mine}}
    spec: {containers: [{name: web, image: {{ images.web }}, ports: [{containerPort: 80}]}]}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web}
spec: {scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}, maxReplicas: 3}
";
    let set = set(
        "services: {web: {image: 'w:{sha}'}}",
        &[("deploy/web.yaml.j2", own)],
    );
    assert_eq!(
        set.warnings,
        ["Deployment/web of deploy/web.yaml.j2:1 takes the place of the built-in one"]
    );
    let deployments = ids(&set)
        .iter()
        .filter(|id| *id == "Deployment/web")
        .count();
    assert_eq!(deployments, 1);
    let web = find(&set, "Deployment", "web");
    assert_eq!(web["metadata"]["labels"]["app"], "mine");
    assert_eq!(web["metadata"]["labels"]["pr"], "12");
    assert_eq!(web["metadata"]["namespace"], "pr-shop-12");
    assert_eq!(web["spec"].get("replicas"), None);
    let pod = &web["spec"]["template"];
    assert_eq!(
        pod["metadata"]["labels"],
        json!({"app": "mine", "preview-action/service": "web"})
    );
    assert!(pod["metadata"]["annotations"]["preview-action/sha"].is_string());
    assert_eq!(pod["spec"]["containers"][0]["ports"][0]["protocol"], "TCP");
}

#[test]
fn a_pushed_commit_or_a_changed_file_rolls_its_pods_and_nothing_else_does() {
    let template = |text: &str, name: &str, kind: &str| {
        find(&set(text, &[]), kind, name)["spec"]["template"].clone()
    };
    let digest = format!("sha256:{}", "b".repeat(64));
    let with_file = |content: &str| {
        format!(
            "services: {{web: {{image: w, files: {{/a: '{content}'}}}}, api: {{image: 'a@{digest}'}}}}"
        )
    };
    let (one, two) = (with_file("one"), with_file("two"));
    assert_ne!(
        template(&one, "web", "Deployment"),
        template(&two, "web", "Deployment")
    );
    assert_eq!(
        template(&one, "api", "Deployment"),
        template(&two, "api", "Deployment")
    );

    let sha = |text: &str, kind: &str| {
        template(text, "web", kind)["metadata"]["annotations"]["preview-action/sha"].is_string()
    };
    assert!(sha("services: {web: {image: 'w:latest'}}", "Deployment"));
    let pinned = format!("services: {{web: {{image: 'w@{digest}'}}}}");
    assert!(!sha(&pinned, "Deployment"));
    let stored = "services: {web: {image: w, storage: {path: /d, size: 1Gi}}}";
    assert!(!sha(stored, "StatefulSet"));
}

#[test]
fn a_job_is_another_one_when_its_content_or_the_commit_changes() {
    let job = |text: &str| {
        let set = set(text, &[]);
        ids(&set)
            .into_iter()
            .find(|id| id.starts_with("Job/"))
            .unwrap()
    };
    let one = job("services: {migrate: {image: 'a:1', run: once}}");
    assert_eq!(one, job("services: {migrate: {image: 'a:1', run: once}}"));
    for other in [
        "services: {migrate: {image: 'a:2', run: once}}",
        "services: {migrate: {image: 'a:1', run: once, args: [x]}}",
        "services: {migrate: {image: 'a:1', run: once}}\nvalues: {a: 1}",
    ] {
        assert_ne!(one, job(other), "{other}");
    }
}

#[test]
fn what_the_server_writes_is_stripped_and_texts_of_secrets_become_data() {
    let set = set(
        "templates: [x]",
        &[(
            "app.yaml",
            "apiVersion: v1
kind: Secret
metadata: {name: s, uid: u, resourceVersion: '1', creationTimestamp: null, managedFields: [], labels: null, generation: 2}
data: {a: eA==}
stringData: {a: 'y', b: '12'}
status: {}
---
apiVersion: v1
kind: Service
metadata: {name: s}
spec: {ports: [{port: 80}, {port: 53, protocol: UDP}]}
",
        )],
    );
    let secret = find(&set, "Secret", "s");
    assert_eq!(secret["data"], json!({"a": "eQ==", "b": "MTI="}));
    let fields: Vec<_> = secret.as_object().unwrap().keys().collect();
    assert_eq!(fields, ["apiVersion", "kind", "metadata", "data"]);
    let metadata: Vec<_> = secret["metadata"].as_object().unwrap().keys().collect();
    assert_eq!(metadata, ["name", "namespace", "labels"]);
    let ports = &find(&set, "Service", "s")["spec"]["ports"];
    assert_eq!(
        [&ports[0]["protocol"], &ports[1]["protocol"]],
        ["TCP", "UDP"]
    );
}

#[test]
fn objects_come_in_the_order_in_which_they_need_each_other() {
    let set = set(
        FULL,
        &[(
            "own.yaml",
            "apiVersion: batch/v1
kind: Job
metadata: {name: first, annotations: {preview-action/run-first: 'true'}}
spec: {template: {spec: {restartPolicy: Never, containers: [{name: a, image: b}]}}}
",
        )],
    );
    let stages: Vec<_> = set.objects.iter().map(|manifest| manifest.stage).collect();
    assert!(stages.is_sorted());
    let stage = |kind: &str, name: &str| {
        set.objects
            .iter()
            .find(|manifest| manifest.id.kind == kind && manifest.id.name == name)
            .map(|manifest| manifest.stage)
    };
    assert_eq!(stage("NetworkPolicy", "preview"), Some(1));
    assert_eq!(stage("ConfigMap", "web-files"), Some(2));
    assert_eq!(stage("Service", "db"), Some(3));
    assert_eq!(stage("Job", "first"), Some(4));
    assert_eq!(stage("StatefulSet", "db"), Some(5));
    assert_eq!(stage("Ingress", "web"), Some(6));
}

#[test]
fn the_ingress_controller_reaches_what_own_routes_point_at() {
    let own = "apiVersion: v1
kind: Service
metadata: {name: site}
spec: {selector: {app: site}, ports: [{name: http, port: 80, targetPort: web}, {port: 81}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: site}
spec:
  rules:
  - host: {{ preview.number }}.{{ preview.domain }}
    http:
      paths:
      - {path: /, pathType: Prefix, backend: {service: {name: site, port: {name: http}}}}
      - {path: /b, pathType: Prefix, backend: {service: {name: site, port: {number: 81}}}}
      - {path: /c, pathType: Prefix, backend: {service: {name: missing, port: {number: 81}}}}
";
    let set = set("templates: [x]", &[("site.yaml.j2", own)]);
    let policy = find(&set, "NetworkPolicy", "preview-route-site");
    assert_eq!(
        policy["spec"]["podSelector"]["matchLabels"],
        json!({"app": "site"})
    );
    assert_eq!(
        policy["spec"]["ingress"][0]["ports"],
        json!([{"protocol": "TCP", "port": "web"}, {"protocol": "TCP", "port": 81}])
    );
    assert_eq!(policy["metadata"]["labels"]["pr"], "12");
}

#[test]
fn a_file_of_the_repository_cannot_pass_for_a_built_in_one() {
    let errors = refused(
        "templates: [x]",
        &[(
            "built-in/resource-quota.yaml",
            "apiVersion: v1\nkind: ResourceQuota\nmetadata: {name: preview}\nspec: {hard: {}}\n",
        )],
    );
    assert_eq!(errors.reason(), ReasonCode::PolicyRefused);
    assert!(errors.0[0].file.starts_with("./built-in/"));
}

#[test]
fn files_without_objects_are_nothing_to_deploy() {
    let configuration = configuration("templates: [x]");
    let plan = plan::decide(&settings(), &configuration, &facts()).unwrap();
    let empty = [Rendered {
        file: "a.yaml".into(),
        text: "# nothing\n".into(),
        built_in: false,
    }];
    let errors = assemble(&plan, &empty).unwrap_err();
    assert_eq!(errors.0[0].reason, ReasonCode::NothingToDeploy);
}

#[test]
fn every_variable_of_the_readme_exists_and_every_variable_is_in_it() {
    let configuration = configuration(FULL);
    let plan = plan::decide(&settings(), &configuration, &facts()).unwrap();
    let request = build(&plan, &configuration, &settings(), Vec::new());
    let mut found = BTreeSet::new();
    variables("", &request.context, &mut found);
    let readme = include_str!("../../templates/README.md");
    let (_, rest) = readme.split_once("\n## Variables\n").unwrap();
    let listed: BTreeSet<String> = rest
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
        .map(|(name, _)| name.to_owned())
        .collect();
    let missing: Vec<_> = found.difference(&listed).collect();
    let unknown: Vec<_> = listed.difference(&found).collect();
    assert!(
        missing.is_empty(),
        "not in templates/README.md: {missing:?}"
    );
    assert!(
        unknown.is_empty(),
        "only in templates/README.md: {unknown:?}"
    );
}

/// The paths of all leaves; mappings with keys of the user's own count as one.
fn variables(path: &str, value: &Value, found: &mut BTreeSet<String>) {
    let own_keys = [
        "images",
        "hosts",
        "urls",
        "values",
        "ingress.annotations",
        "services[].node_selector",
        "services[].tolerations",
        "network.allow[].pods",
    ];
    match value {
        Value::Object(fields) if !own_keys.contains(&path) => {
            for (key, value) in fields {
                let dot = if path.is_empty() { "" } else { "." };
                variables(&format!("{path}{dot}{key}"), value, found);
            }
        }
        Value::Array(items) if items.iter().any(Value::is_object) && !own_keys.contains(&path) => {
            for item in items {
                variables(&format!("{path}[]"), item, found);
            }
        }
        Value::Array(items)
            if items.is_empty() && ["services[].env", "services[].files"].contains(&path) => {}
        _ => {
            found.insert(path.to_owned());
        }
    }
}

#[test]
fn a_new_database_comes_before_what_runs_first() {
    let one = |kind: &str, stage: u8| Manifest {
        id: ObjectId {
            group: String::new(),
            version: "v1".into(),
            kind: kind.into(),
            name: "a".into(),
        },
        object: Value::Null,
        origin: Origin {
            file: "a".into(),
            line: 1,
        },
        stage,
    };
    let set = ManifestSet {
        objects: vec![
            one("Service", 3),
            one("Job", 4),
            one("StatefulSet", 5),
            one("Deployment", 5),
        ],
        warnings: Vec::new(),
    };
    let kinds = |set: &ManifestSet| -> Vec<String> {
        set.objects.iter().map(|one| one.id.kind.clone()).collect()
    };
    for (new, before, rest) in [
        (true, vec!["Service", "StatefulSet"], vec!["Deployment"]),
        (false, vec!["Service"], vec!["StatefulSet", "Deployment"]),
    ] {
        let parts = set.around_run_first(|_| new);
        assert_eq!(kinds(&parts.0), before);
        assert_eq!(kinds(&parts.1), ["Job"]);
        assert_eq!(kinds(&parts.2), rest);
    }
}
