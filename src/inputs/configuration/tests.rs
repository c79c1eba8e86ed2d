#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use super::*;
use crate::yaml;
use serde_json::json;
use std::{collections::BTreeSet, fs, path::Path};

const FULL: &str = r#"
version: 1
services:
  web:
    image: ghcr.io/acme/web:{sha}
    port: 3000
    replicas: 2
    env:
      VERSION: 1.10
      FLAG: on
      MODE: 0644
      EMPTY:
      QUOTED: ""
      URL: "https://{{ hosts.api }}"
      TOKEN: {secret: app, key: token}
    command: [npm, start]
    args: [--workers, 2, -v, true]
    files:
      /app/config.json: |
        {"api": "{{ urls.api }}"}
    resources:
      requests: {cpu: 100m}
      limits: {cpu: 1, memory: 1Gi}
    health: {path: /healthz}
    public: true
    node-selector: {disk: ssd, spot: true}
    tolerations: [{key: spot, operator: Exists}]
  api:
    public: {path: /api/, strip-prefix: true}
  shop:
    public: {host: "shop-{number}.{domain}"}
  db:
    image: postgres:17
    port: 5432
    storage: {path: /var/lib/postgresql/data, size: 1Gi}
  migrate:
    run: once
  quiet:
    public: false
templates: ["deploy/*.yaml.j2"]
values: {depth: 2, deep: {list: [1, two, null]}}
ingress:
  class: nginx
  tls: {secret: wildcard}
  annotations: {a.example.com/x: 1}
network:
  egress: cluster
  allow: [{namespace: databases, pods: {app: postgres}, port: 5432}, {namespace: cache}]
quota:
  requests: {cpu: 2}
  limits: {memory: 8Gi}
  pods: 20
  claims: 0
"#;

fn parse(text: &str) -> Result<Configuration, ConfigurationError> {
    Configuration::parse(".github/preview.yml", text)
}

fn faults(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

#[test]
fn a_full_configuration_is_read() {
    let configuration = parse(FULL).unwrap();
    let names: Vec<_> = configuration
        .services
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(names, ["web", "api", "shop", "db", "migrate", "quiet"]);
    let web = &configuration.services[0].1;
    let text = |name: &str, value: &str| (name.to_owned(), EnvValue::Text(value.to_owned()));
    assert_eq!(
        web.env,
        [
            text("VERSION", "1.10"),
            text("FLAG", "on"),
            text("MODE", "0644"),
            text("EMPTY", ""),
            text("QUOTED", ""),
            text("URL", "https://{{ hosts.api }}"),
            (
                "TOKEN".into(),
                EnvValue::Secret(SecretKey {
                    secret: "app".into(),
                    key: "token".into()
                })
            ),
        ]
    );
    assert_eq!(web.args, ["--workers", "2", "-v", "true"]);
    assert_eq!(web.node_selector[1], ("spot".into(), "true".into()));
    assert_eq!(web.resources.limits.cpu.as_ref().unwrap().milli(), 1000);
    assert_eq!(web.public, Some(Public::default()));
    let api = configuration.services[1].1.public.as_ref().unwrap();
    assert_eq!(
        (api.path.as_deref(), api.strip_prefix),
        (Some("/api"), true)
    );
    assert_eq!(configuration.services[4].1.run, Run::Once);
    assert_eq!(configuration.services[5].1.public, None);
    assert_eq!(
        configuration.values["deep"],
        json!({"list": [1, "two", null]})
    );
    assert_eq!(configuration.ingress.tls, Tls::Secret("wildcard".into()));
    assert_eq!(configuration.network.allow[1].port, None);
    assert_eq!(configuration.quota.claims, Some(0));
}

#[test]
fn without_a_file_each_image_is_a_service_and_the_first_is_public() {
    let names = ["web", "api"].map(|name| name.parse().unwrap());
    let configuration = Configuration::from_images(names);
    let public: Vec<_> = configuration
        .services
        .iter()
        .map(|(_, service)| service.public.is_some())
        .collect();
    assert_eq!(public, [true, false]);
    let web = &configuration.services[0].1;
    assert_eq!(web.port(), 8080);
    assert_eq!(web.env, [("PORT".into(), EnvValue::Text("8080".into()))]);
}

#[test]
fn an_image_that_can_be_none_is_a_fault_with_its_place() {
    for (image, said) in [
        ("ghcr.io/acme/web:{commit}", "has the unknown placeholder"),
        ("ghcr.io/acme/web:{sha", "has a brace without its partner"),
        ("https://ghcr.io/acme/web", "begins with a scheme"),
        ("ghcr.io/Acme/web:{sha}", "has capital letters"),
    ] {
        let text = format!("version: 1\nservices:\n  web:\n    image: \"{image}\"\n");
        let fault = &Configuration::parse("p", &text).unwrap_err().faults[0];
        assert_eq!((fault.line, fault.column), (4, 12), "{image}");
        assert_eq!(fault.field, "services.web.image");
        assert!(fault.problem.contains(said), "{image}: {}", fault.problem);
    }
    assert!(
        Configuration::parse("p", "version: 1\nservices: {db: {image: 'postgres:17'}}").is_ok()
    );
}

#[test]
fn every_fault_is_reported_with_place_field_and_fix() {
    insta::assert_snapshot!(faults(
        r#"
version: 2
servces: {}
services:
  web:
    prot: 80
    port: "80"
    replicas: 1.5
    nodeSelector: {a: b}
    env: {1X: a, OK: [a], S: {secret: x, kye: y}}
    command: npm start
    files: {etc/x: y, /ok: 1}
    resources: {limits: {cpu: 1gb}, requests: {cpu: 2, disk: 1}}
    health: {path: healthz}
    public: {strip-prefix: yes, path: "/a(b"}
    storage: {path: /data}
  Web_2: {}
  once: {run: onec}
  job: {run: once, public: true}
  wrong: [1]
hooks: {}
ingress: {tls: {secret: a, issuer: b}, gateway: x, class: ""}
network: {egress: internal, allow: [{pods: {}}, {namespace: -x, port: 0}]}
quota: {pods: many}
"#
    ));
}

#[test]
fn broken_yaml_is_one_fault_with_its_place_and_no_value() {
    let cases = [
        (
            "version: 1\nversion: 1\n",
            ".github/preview.yml:2:1: duplicate key version; correct the YAML",
        ),
        (
            "version: [1\n",
            ".github/preview.yml:1:10: unclosed bracket",
        ),
        (
            "- a\n",
            ".github/preview.yml:1:1: is a list; write a mapping",
        ),
        (
            "",
            ".github/preview.yml:1:1: `version` is missing; add the line `version: 1`",
        ),
    ];
    for (text, start) in cases {
        let message = faults(text);
        assert!(message.starts_with(start), "{message}");
    }
    let huge = faults(&"#".repeat(LARGEST + 1));
    assert_eq!(
        huge,
        ".github/preview.yml: has 1048577 bytes; keep it under 1048576 bytes"
    );
}

#[test]
fn a_name_too_long_for_a_stateful_set_is_told_here() {
    let service = |length: usize| {
        let name = "a".repeat(length);
        parse(&format!(
            "version: 1\nservices: {{{name}: {{storage: {{path: /d, size: 1Gi}}}}}}\n"
        ))
    };
    assert!(service(52).is_ok());
    assert!(
        service(53)
            .unwrap_err()
            .to_string()
            .contains("52 characters")
    );
}

#[test]
fn the_committed_schema_is_the_current_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema/preview.schema.json");
    let current = format!("{:#}\n", Configuration::schema());
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        fs::write(&path, &current).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap();
    assert!(
        committed == current,
        "schema/preview.schema.json is out of date: run the tests with UPDATE_SCHEMA=1"
    );
}

#[test]
fn schema_and_parser_agree() {
    let validator = jsonschema::validator_for(&Configuration::schema()).unwrap();
    let service = |body: &str| format!("version: 1\nservices: {{web: {{{body}}}}}\n");
    let ingress = |body: &str| format!("version: 1\ningress: {{{body}}}\n");
    let right = [
        FULL.to_owned(),
        "version: 1\n".into(),
        service("public: {}"),
        service("env: {A: 1, B: true, C: , D: x}"),
        service("resources: {limits: {cpu: 0.5, memory: 64Mi}}"),
        ingress("tls: off"),
        ingress("tls: 'on'"),
        ingress("tls: {issuer: le}"),
        ingress("gateway: infra/shared, tls: on"),
    ];
    let wrong = [
        "services: {}\n".to_owned(),
        "version: 2\n".into(),
        "version: 1\nextra: 1\n".into(),
        "version: 1\nservices: {Web: {}}\n".into(),
        "version: 1\ntemplates: a\n".into(),
        service("prot: 1"),
        service("port: 0"),
        service("port: 65536"),
        service("port: '80'"),
        service("replicas: 51"),
        service("run: twice"),
        service("image: 1"),
        service("command: npm start"),
        service("env: {A: [1]}"),
        service("env: {A: {secret: x}}"),
        service("env: {1A: x}"),
        service("files: {a: b}"),
        service("resources: {limits: {cpu: lots}}"),
        service("resources: {limits: {cpu: -1}}"),
        service("health: {}"),
        service("health: {path: x}"),
        service("public: 1"),
        service("public: {path: api}"),
        service("public: {prefix: /api}"),
        service("storage: {path: /x}"),
        service("tolerations: [a]"),
        ingress("tls: maybe"),
        ingress("tls: {}"),
        ingress("tls: {secret: a, issuer: b}"),
        ingress("gateway: shared"),
        "version: 1\nnetwork: {egress: all}\n".into(),
        "version: 1\nnetwork: {allow: [{port: 1}]}\n".into(),
        "version: 1\nquota: {pods: -1}\n".into(),
    ];
    for text in right {
        let value = yaml::parse_one(&text).unwrap();
        if let Err(error) = validator.validate(&value) {
            panic!("schema refuses {text}: {error}");
        }
        if let Err(error) = parse(&text) {
            panic!("parser refuses {text}: {error}");
        }
    }
    for text in wrong {
        let value = yaml::parse_one(&text).unwrap();
        assert!(!validator.is_valid(&value), "schema accepts {text}");
        assert!(parse(&text).is_err(), "parser accepts {text}");
    }
}

#[test]
fn the_parser_allows_exactly_the_keys_of_the_schema() {
    let schema = Configuration::schema();
    let places = [
        ("", "version: 1\nzzz: 1"),
        ("Service", "version: 1\nservices: {web: {zzz: 1}}"),
        (
            "SecretKey",
            "version: 1\nservices: {web: {env: {A: {zzz: 1}}}}",
        ),
        (
            "Resources",
            "version: 1\nservices: {web: {resources: {zzz: 1}}}",
        ),
        (
            "Amounts",
            "version: 1\nservices: {web: {resources: {limits: {zzz: 1}}}}",
        ),
        ("Health", "version: 1\nservices: {web: {health: {zzz: 1}}}"),
        ("Public", "version: 1\nservices: {web: {public: {zzz: 1}}}"),
        (
            "Storage",
            "version: 1\nservices: {web: {storage: {zzz: 1}}}",
        ),
        ("Ingress", "version: 1\ningress: {zzz: 1}"),
        ("Network", "version: 1\nnetwork: {zzz: 1}"),
        ("Allow", "version: 1\nnetwork: {allow: [{zzz: 1}]}"),
        ("Quota", "version: 1\nquota: {zzz: 1}"),
        ("Policy", "version: 1\npolicy: {zzz: 1}"),
        ("PolicyKind", "version: 1\npolicy: {kinds: [{zzz: 1}]}"),
    ];
    let closed: BTreeSet<_> = schema["$defs"]
        .as_object()
        .unwrap()
        .iter()
        .filter(|(name, def)| {
            def["additionalProperties"] == json!(false) && !name.starts_with("Tls")
        })
        .map(|(name, _)| name.as_str())
        .chain([""])
        .collect();
    assert_eq!(closed, places.iter().map(|(name, _)| *name).collect());
    for (name, text) in places {
        let def = if name.is_empty() {
            &schema
        } else {
            &schema["$defs"][name]
        };
        let keys: Vec<_> = def["properties"]
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect();
        let fault = parse(text)
            .unwrap_err()
            .faults
            .into_iter()
            .find(|fault| fault.problem.starts_with("unknown key"))
            .unwrap();
        let mut allowed: Vec<_> = fault.fix["allowed here: ".len()..].split(", ").collect();
        allowed.sort_unstable();
        let mut keys: Vec<_> = keys.iter().map(String::as_str).collect();
        keys.sort_unstable();
        assert_eq!(allowed, keys, "{name}");
    }
}

proptest::proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in ".{0,200}", cut in 0..FULL.len()) {
        let _ = parse(&text);
        if let Some(start) = FULL.get(..cut) {
            let _ = parse(&format!("{start}{text}"));
        }
    }
}

#[test]
fn a_policy_is_read_whatever_else_is_in_the_file() {
    let text = "version: 7\nservicez: {}\npolicy:\n  allow: [node-port, load-balancer]\n  hosts: [shop.example.com, '*.demo.example.com', 'pr-{number}.example.org']\n  kinds:\n    - {api-version: cert-manager.io/v1, kind: Certificate}\n    - {api-version: example.com/v1, kind: Gateway, plural: gatewayz}\n    - {api-version: example.com/v1, kind: Policy}\n    - {api-version: example.com/v1, kind: Mesh}\n";
    let policy = Policy::parse("preview.yml", text).unwrap();
    let plurals: Vec<_> = policy
        .kinds
        .iter()
        .map(|kind| kind.plural.as_str())
        .collect();
    assert_eq!(plurals, ["certificates", "gatewayz", "policies", "meshes"]);
    assert!(policy.allows(Allowance::NodePort) && !policy.allows(Allowance::OpenEgress));
    let pr = crate::names::PrNumber::new(12).unwrap();
    for (host, open) in [
        ("shop.example.com", true),
        ("a.demo.example.com", true),
        ("a.b.demo.example.com", true),
        ("pr-12.example.org", true),
        ("pr-13.example.org", false),
        ("demo.example.com", false),
        ("evildemo.example.com", false),
        ("*.demo.example.com", false),
        ("x.shop.example.com", false),
    ] {
        assert_eq!(policy.opens_host(host, pr), open, "{host}");
    }
    assert_eq!(
        Policy::parse("preview.yml", "version: 1\n").unwrap(),
        Policy::default()
    );
}

#[test]
fn what_a_policy_can_never_open_is_told_with_its_line() {
    for (policy, problem) in [
        ("allow: [privileged]", "`privileged` is unknown"),
        ("allow: [nodeport]", "did you mean `node-port`?"),
        ("kinds: [{api-version: v1, kind: Node}]", "`v1` is none"),
        (
            "kinds: [{api-version: apps/v1, kind: ReplicaSet}]",
            "`apps/v1` is none",
        ),
        (
            "kinds: [{api-version: rbac.authorization.k8s.io/v1, kind: Role}]",
            "is of Kubernetes itself",
        ),
        (
            "kinds: [{api-version: cert-manager.io/v1, kind: ClusterIssuer}]",
            "stands outside of Namespaces",
        ),
        (
            "kinds: [{api-version: example.com/v1, kind: widget}]",
            "`widget` is none",
        ),
        (
            "kinds: [{api-version: example.com/v1, kind: Widget, plural: ../nodes}]",
            "`../nodes` is none",
        ),
        (
            "kinds: [{api-version: example.com/v1/../v1, kind: Widget}]",
            "is none",
        ),
        ("kinds: [{kind: Widget}]", "`api-version` is missing"),
        ("hosts: ['*']", "`*` is no host"),
        ("hosts: [localhost]", "`localhost` is no host"),
        ("hosts: ['https://a.example.com']", "is no host"),
        ("alow: [node-port]", "did you mean `allow`?"),
        ("[node-port]", "is a list"),
    ] {
        let text = if policy.starts_with('[') {
            format!("version: 1\npolicy: {policy}\n")
        } else {
            format!("version: 1\npolicy: {{{policy}}}\n")
        };
        let error = Policy::parse("preview.yml", &text).unwrap_err().to_string();
        assert!(error.contains(problem), "{policy}: {error}");
        assert!(error.starts_with("preview.yml:2:"), "{error}");
        let whole = Configuration::parse("preview.yml", &text)
            .unwrap_err()
            .to_string();
        assert!(whole.contains(problem), "{policy}: {whole}");
    }
}
