#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;
use proptest::prelude::*;
use rstest::rstest;

fn parse(inputs: &[(&str, &str)]) -> Result<Settings, InputErrors> {
    Settings::parse(
        &inputs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
    )
}

fn error(input: &str, value: &str) -> String {
    let errors = parse(&[(input, value)]).unwrap_err();
    assert_eq!(errors.0.len(), 1, "{errors}");
    assert_eq!(errors.0[0].input, input);
    errors.to_string()
}

#[test]
fn nothing_given_means_the_defaults() {
    let all_empty = [
        "token",
        "kubeconfig",
        "domain",
        "images",
        "max-previews",
        "ttl",
        "values",
        "health",
    ];
    for settings in [
        parse(&[]).unwrap(),
        parse(&all_empty.map(|name| (name, " \n"))).unwrap(),
    ] {
        let day = Duration::from_secs(24 * 3600);
        assert_eq!(
            settings,
            Settings {
                mode: Mode::Run,
                sha: None,
                approval_gate: ApprovalGate::None,
                deploy_command: None,
                build_workflow: None,
                token: None,
                kubeconfig: None,
                context: None,
                domain: None,
                config: ".github/preview.yml".into(),
                images: Vec::new(),
                max_previews: 3,
                auto_deploy: true,
                filters: Filters {
                    drafts: true,
                    ..Filters::default()
                },
                ttl: 7 * day,
                expiry_warning: true,
                dashboard_issue: true,
                sleep_after: None,
                sleep_keeps_slot: false,
                min_permission: MinPermission::Write,
                author_association: Vec::new(),
                command_prefix: None,
                timeout: Duration::from_secs(300),
                on_failed_update: OnFailedUpdate::Restore,
                when_full: WhenFull::Queue,
                nodes: Nodes::Fixed,
                promote: Promote::Run,
                namespace_pattern: "pr-{repo}-{number}".into(),
                host_pattern: None,
                url_mode: UrlMode::Pr,
                environment: "preview".parse().unwrap(),
                control_namespace: "preview-system".parse().unwrap(),
                config_from: ConfigFrom::Head,
                job: None,
                comment_author: None,
                comment: CommentMode::Sticky,
                comment_position: CommentPosition::Keep,
                commit_status: true,
                deployment: Deployments::Auto,
                templates: Vec::new(),
                manifests: Vec::new(),
                values: serde_json::Map::new(),
                pull_secret: None,
                health: HealthMode::Auto,
                health_address: None,
                ca_bundle: None,
                notable: Vec::new(),
            }
        );
    }
}

#[test]
fn everything_given_is_kept() {
    let settings = parse(&[
        ("token", " ghs_example \n"),
        ("kubeconfig", "./kubeconfig"),
        ("context", "staging"),
        ("domain", "preview.example.com"),
        ("config", "deploy/preview.yml"),
        (
            "images",
            "web=ghcr.io/acme/web:{sha}\n\n  api = api:{number}\r\n",
        ),
        ("max-previews", "0"),
        ("auto-deploy", "False"),
        ("ttl", "36h"),
        ("timeout", "90s"),
        ("namespace-pattern", "p-{owner}-{number}"),
        ("host-pattern", "{number}.{domain}"),
        ("environment", "eu-west"),
        ("control-namespace", "platform"),
        ("config-from", "base"),
        ("comment-author", "acme-previews[bot]"),
        ("templates", "deploy/*.yaml.j2\nmore/**/x.yaml.j2"),
        ("values", r#"{"replicas": 2, "on": "yes"}"#),
        ("pull-secret", "preview-system/registry.example.com"),
        ("health", "required"),
        ("health-address", "10.88.0.1:8080"),
        ("ca-bundle", "certs/ca.pem"),
    ])
    .unwrap();
    assert_eq!(settings.token, Some(Secret::new("ghs_example")));
    assert_eq!(
        settings.kubeconfig,
        Some(KubeconfigSource::Path("./kubeconfig".into()))
    );
    assert_eq!(settings.context.as_deref(), Some("staging"));
    assert_eq!(settings.domain.unwrap().as_str(), "preview.example.com");
    let images: Vec<_> = settings
        .images
        .iter()
        .map(|image| (image.service.as_str(), image.reference.as_str()))
        .collect();
    assert_eq!(
        images,
        [("web", "ghcr.io/acme/web:{sha}"), ("api", "api:{number}")]
    );
    assert_eq!((settings.max_previews, settings.auto_deploy), (0, false));
    assert_eq!(settings.ttl.as_secs(), 36 * 3600);
    assert_eq!(settings.timeout.as_secs(), 90);
    assert_eq!(settings.host_pattern.as_deref(), Some("{number}.{domain}"));
    assert_eq!(settings.config_from, ConfigFrom::Base);
    assert_eq!(
        settings.comment_author.as_deref(),
        Some("acme-previews[bot]")
    );
    assert_eq!(
        settings.templates,
        ["deploy/*.yaml.j2", "more/**/x.yaml.j2"]
    );
    assert_eq!(settings.values["replicas"], 2);
    assert_eq!(settings.values["on"], "yes");
    let secret = settings.pull_secret.unwrap();
    assert_eq!(
        (secret.namespace.as_str(), secret.name.as_str()),
        ("preview-system", "registry.example.com")
    );
    assert_eq!(settings.health, HealthMode::Required);
    assert_eq!(settings.health_address.unwrap().port, Some(8080));
    assert_eq!(
        settings.ca_bundle,
        Some(TextOrPath::Path("certs/ca.pem".into()))
    );
}

#[test]
fn all_mistakes_are_reported_together_each_with_its_fix() {
    let errors = parse(&[
        ("max-previews", "many"),
        ("auto-deploy", "yes"),
        ("ttl", "7"),
        ("images", "web\nweb=nginx\napi=https://x\nweb=nginx:1"),
        ("host-pattern", "{number}.{domain}"),
        ("timeout", "5m"),
    ])
    .unwrap_err();
    assert_eq!(
        errors.to_string(),
        "input `host-pattern`: uses `{domain}`, and input `domain` is empty; set `domain`, or write the whole host\n\
         input `images`: \"web\" has no `=`; write `name=reference`, such as `web=registry.example.com/acme/web:{sha}`\n\
         input `images`: image \"https://x\" begins with a scheme; leave out `https://`\n\
         input `images`: names the service `web` twice; write each service on one line\n\
         input `max-previews`: \"many\" is not a whole number from 0 to 1000; write a number such as `3`; 0 means that nothing is deployed\n\
         input `auto-deploy`: \"yes\" is not a boolean; write `true` or `false`\n\
         input `ttl`: \"7\" is not a duration; write a number with its unit, from 5m to 365d, such as `7d`"
    );
}

#[rstest]
fn booleans_are_the_six_words_of_the_runner(
    #[values("true", "True", "TRUE", "false", "False", "FALSE")] text: &str,
) {
    let settings = parse(&[("auto-deploy", text)]).unwrap();
    assert_eq!(settings.auto_deploy, text.eq_ignore_ascii_case("true"));
}

#[rstest]
fn other_booleans_are_refused(
    #[values("tRUE", "yes", "no", "on", "1", "0", "\"true\"", "true # always")] text: &str,
) {
    assert!(error("auto-deploy", text).contains("write `true` or `false`"));
}

#[rstest]
#[case("90s", 90)]
#[case("5m", 300)]
#[case("2h", 7200)]
#[case("1h30m", 5400)]
#[case("1h 30m", 5400)]
#[case("10 minutes", 600)]
#[case("PT5M", 300)]
#[case("10s", 10)]
#[case("6h", 21600)]
fn durations_read_as_people_write_them(#[case] text: &str, #[case] seconds: u64) {
    assert_eq!(
        parse(&[("timeout", text)]).unwrap().timeout.as_secs(),
        seconds
    );
}

#[rstest]
#[case("7d", 7)]
#[case("1w", 7)]
#[case("365d", 365)]
#[case("1d24h", 2)]
fn a_day_has_24_hours(#[case] text: &str, #[case] days: u64) {
    assert_eq!(
        parse(&[("ttl", text)]).unwrap().ttl.as_secs(),
        days * 24 * 3600
    );
}

#[rstest]
fn durations_out_of_bounds_are_refused(
    #[values(
        "9s",
        "0s",
        "6h1s",
        "7d",
        "-5m",
        "5m ago",
        "300",
        "m",
        "5 m m",
        "1mo",
        "99999999999999999h",
        "five"
    )]
    text: &str,
) {
    assert!(error("timeout", text).contains("from 10s to 6h"));
}

#[test]
fn a_ttl_has_its_own_bounds() {
    assert!(parse(&[("ttl", "5m")]).is_ok());
    for text in ["4m", "366d", "1y"] {
        assert!(error("ttl", text).contains("from 5m to 365d"), "{text}");
    }
}

#[rstest]
#[case("https://preview.example.com", "leave out scheme and path")]
#[case("*.preview.example.com", "leave out `*.`")]
#[case("preview.example.com:8443", "leave out the port")]
#[case("preview.example.com.", "leave out the final dot")]
#[case("Preview.example.com", "lower case")]
#[case("pre view", "preview.example.com")]
fn a_wrong_domain_is_met_with_its_own_fix(#[case] text: &str, #[case] fix: &str) {
    assert!(error("domain", text).contains(fix));
}

#[rstest]
#[case("max-previews", "1001")]
#[case("max-previews", "-1")]
#[case("max-previews", "3.0")]
#[case("config", "/etc/passwd")]
#[case("config", "../preview.yml")]
#[case("config", ".github/../../x")]
#[case("config", "a\\b")]
#[case("templates", "/etc/*")]
#[case("templates", "deploy/***/x")]
#[case("templates", "[")]
#[case("environment", "Preview")]
#[case("control-namespace", "preview_system")]
#[case("config-from", "HEAD")]
#[case("comment-author", "@octo")]
#[case("comment-author", "a b")]
#[case("values", "[1, 2]")]
#[case("values", "text")]
#[case("pull-secret", "registry")]
#[case("pull-secret", "a/b/c")]
#[case("pull-secret", "/x")]
#[case("health", "on")]
#[case("health-address", "localhost")]
#[case("context", "a\nb")]
#[case("namespace-pattern", "previews")]
fn what_cannot_be_meant_is_refused(#[case] input: &str, #[case] value: &str) {
    let said = error(input, value);
    assert!(said.starts_with(&format!("input `{input}`: ")), "{said}");
    assert!(!said.contains('\n'), "{said}");
}

#[rstest]
fn values_are_yaml_or_json(
    #[values(
        r#"{"replicas": 2, "feature": "search"}"#,
        "{replicas: 2, feature: search}",
        "replicas: 2\nfeature: search # new"
    )]
    text: &str,
) {
    let values = parse(&[("values", text)]).unwrap().values;
    assert_eq!(values["replicas"], 2);
    assert_eq!(values["feature"], "search");
}

#[test]
fn values_that_cannot_be_read_say_where() {
    let said = error("values", "replicas: 2\nreplicas: 3");
    assert!(said.contains("line 2"), "{said}");
}

#[test]
fn a_certificate_is_text_or_a_path_and_no_private_key() {
    let pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----";
    assert_eq!(
        parse(&[("ca-bundle", pem)]).unwrap().ca_bundle,
        Some(TextOrPath::Text(pem.into()))
    );
    for wrong in [
        "-----BEGIN CERTIFICATE-----\nAAAA",
        "-----BEGIN PRIVATE KEY-----\nhunter2hunter2\n-----END PRIVATE KEY-----",
        "two\nlines",
    ] {
        assert!(!error("ca-bundle", wrong).contains("hunter2"));
    }
}

#[test]
fn no_secret_stands_in_a_message_or_in_debug() {
    let said = error("token", "ghs_hunter2\nghs_hunter3");
    assert!(!said.contains("hunter"), "{said}");
    let said = error("values", "{\"password\": hunter2");
    assert!(!said.contains("hunter"), "{said}");
    let settings = parse(&[
        ("token", "ghs_hunter2"),
        (
            "kubeconfig",
            "apiVersion: v1\nclusters: []\ntoken: hunter3x",
        ),
    ])
    .unwrap();
    assert!(!format!("{settings:?}").contains("hunter"));
    let secrets = settings.secrets();
    for secret in ["ghs_hunter2", "hunter3x"] {
        assert!(secrets.contains(&Secret::new(secret)), "{secret}");
    }
}

#[test]
fn values_that_are_secrets_by_their_name_are_learned() {
    let text = "{dbPassword: one-secret, adminPassword: postgres, port: 5432, host: db.internal, maxTokens: 128000, adminPassword2: 73519482, \
        api: {key: public-key, TOKENS: [two-secret, {value: three-secret}]}, \
        secrets: {jwt: four-secret, name: web-secrets}, secretName: web-tls}";
    let secrets = parse(&[("values", text)]).unwrap().secrets();
    let mut learned: Vec<_> = secrets.iter().map(Secret::expose).collect();
    learned.sort_unstable();
    assert_eq!(
        learned,
        [
            "73519482",
            "four-secret",
            "one-secret",
            "three-secret",
            "two-secret"
        ]
    );
}

proptest! {
    #[test]
    fn no_input_makes_it_panic(
        name in prop::sample::select(vec![
            "token", "kubeconfig", "context", "domain", "config", "images", "max-previews",
            "when-full", "nodes", "promote", "auto-deploy", "ttl", "expiry-warning", "dashboard-issue", "sleep-after", "sleep-keeps-slot", "min-permission", "author-association", "command-prefix", "timeout", "on-failed-update", "namespace-pattern", "url-mode", "host-pattern", "environment",
            "control-namespace", "config-from", "comment-author", "templates", "values",
            "pull-secret", "health", "health-address", "ca-bundle",
        ]),
        value in "\\PC*|[a-z{}=:@/.\n\"' -]*|(token|password|clusters): ?[\"'|>]?[\\PC\n]*",
    ) {
        match parse(&[(name, &value)]) {
            Ok(settings) => { settings.secrets(); }
            Err(errors) => prop_assert!(errors.0.iter().all(|error| error.input == name)),
        }
    }
}
