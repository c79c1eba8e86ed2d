#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::{
    fixtures::{configuration, facts, plan, settings, settings_with_images},
    *,
};

fn urls(plan: &Plan) -> Vec<&str> {
    plan.urls.iter().map(|url| url.url.as_str()).collect()
}

fn reason(found: Result<Plan, PlanError>) -> ReasonCode {
    found.unwrap_err().reason
}

#[test]
fn images_alone_make_a_preview() {
    let settings = settings_with_images(&[
        "web=ghcr.io/acme/web:{sha}",
        "api=ghcr.io/acme/api:pr-{number}-{short-sha}-{branch}",
    ]);
    let names = settings.images.iter().map(|image| image.service.clone());
    let configuration = Configuration::from_images(names);
    let plan = decide(&settings, &configuration, &facts()).unwrap();
    assert_eq!(plan.namespace.as_str(), "pr-shop-12");
    assert_eq!(urls(&plan), ["http://pr-12.preview.example.com"]);
    let images: Vec<_> = plan.services.iter().map(|s| s.image.as_str()).collect();
    assert_eq!(
        images,
        [
            "ghcr.io/acme/web:0123456789abcdef0123456789abcdef01234567",
            "ghcr.io/acme/api:pr-12-0123456-feature-Cart",
        ]
    );
    insta::assert_json_snapshot!((&plan.labels, &plan.annotations));
}

#[test]
fn the_first_public_service_has_the_main_host() {
    let plan = plan(
        "services:
  db: {image: 'postgres:17'}
  api: {image: a, public: {path: /api, strip-prefix: true}, health: {path: /healthz}}
  web: {image: w, public: true, health: {path: /up}}
  docs: {image: d, public: true}
  live: {image: l, public: {path: /live}, health: {path: /live/ok}}
  shop: {image: s, public: {host: 'shop-{number}.{domain}'}}
ingress: {tls: on}",
    )
    .unwrap();
    let seen: Vec<_> = plan
        .urls
        .iter()
        .map(|url| {
            (
                url.service.as_str(),
                url.url.as_str(),
                url.health_path.as_str(),
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            ("web", "https://pr-12.preview.example.com", "/up"),
            ("api", "https://pr-12.preview.example.com/api", "/healthz"),
            ("docs", "https://pr-12-docs.preview.example.com", "/"),
            ("live", "https://pr-12.preview.example.com/live", "/ok"),
            ("shop", "https://shop-12.preview.example.com", "/"),
        ]
    );
}

#[test]
fn a_host_pattern_serves_all_services() {
    let two =
        configuration("services: {web: {image: w, public: true}, api: {image: a, public: true}}");
    let urls_with = |pattern: &str| {
        let settings = Settings {
            host_pattern: Some(pattern.into()),
            ..settings()
        };
        let plan = decide(&settings, &two, &facts()).unwrap();
        plan.urls
            .iter()
            .map(|url| url.host.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        urls_with("{repo}-{number}.{domain}"),
        [
            "shop-12.preview.example.com",
            "shop-12-api.preview.example.com"
        ]
    );
    assert_eq!(
        urls_with("{service}.{number}.{domain}"),
        ["web.12.preview.example.com", "api.12.preview.example.com"]
    );
    assert_eq!(
        urls_with("{number}.example.org"),
        ["12.example.org", "12-api.example.org"]
    );
}

#[test]
fn a_long_service_gets_a_host_of_its_own() {
    let (one, two) = ("a".repeat(60) + "-1", "a".repeat(60) + "-2");
    let plan = plan(&format!(
        "services: {{web: {{image: w, public: true}}, {one}: {{image: w, public: true}}, {two}: {{image: w, public: true}}}}"
    ))
    .unwrap();
    assert_ne!(plan.urls[1].host, plan.urls[2].host);
    assert!(plan.urls[1].host.as_str().starts_with("pr-12-aaa"));
}

#[test]
fn a_variant_and_an_environment_keep_their_own_names() {
    let facts = Facts {
        variant: "b".parse().ok(),
        ..facts()
    };
    let settings = Settings {
        namespace_pattern: "{environment}-{owner}-{repo-id}-{number}".into(),
        environment: "eu".parse().unwrap(),
        ..settings()
    };
    let plan = decide(
        &settings,
        &configuration("services: {a: {image: x}}"),
        &facts,
    )
    .unwrap();
    assert_eq!(plan.namespace.as_str(), "eu-acme-4711-12-b");
    assert_eq!(plan.labels["preview-action/variant"], "b");
    assert_eq!(plan.key.in_ledger(), "12-b");
}

#[test]
fn an_image_of_a_fork_is_named_by_the_whole_commit() {
    let fork = Facts {
        fork: true,
        ..facts()
    };
    for (image, refused) in [
        ("ghcr.io/acme/web:{sha}", false),
        ("ghcr.io/acme/web:pr-{number}-{sha}", false),
        ("ghcr.io/acme/web:{short-sha}", true),
        ("ghcr.io/acme/web:pr-{number}", true),
        ("ghcr.io/acme/web:{branch}", true),
        ("postgres:17", false),
    ] {
        let services = configuration(&format!("services: {{web: {{image: '{image}'}}}}"));
        assert!(decide(&settings(), &services, &facts()).is_ok(), "{image}");
        let found = decide(&settings(), &services, &fork);
        assert_eq!(found.is_err(), refused, "{image}");
    }
}

#[test]
fn a_fixed_tag_from_the_inputs_is_deployed_by_the_pull_requests_own_run_only() {
    let own = facts();
    let foreign = Facts {
        own_run: false,
        ..facts()
    };
    let services = configuration("services: {web: {image: 'postgres:17'}}");
    for (line, refused) in [
        ("web=ghcr.io/acme/web:latest", true),
        ("web=ghcr.io/acme/web", true),
        ("web=ghcr.io/acme/web:pr-{number}", false),
        ("web=ghcr.io/acme/web@sha256:abc", false),
    ] {
        let settings = settings_with_images(&[line]);
        assert!(decide(&settings, &services, &own).is_ok(), "{line}");
        let found = decide(&settings, &services, &foreign);
        assert_eq!(found.is_err(), refused, "{line}");
        if refused {
            assert_eq!(reason(found), ReasonCode::BadInput);
        }
    }
    assert!(decide(&settings(), &services, &foreign).is_ok());
}

#[test]
fn the_input_overrides_the_configuration_and_further_images_are_kept_for_templates() {
    let settings = settings_with_images(&["web=one@sha256:abc", "job=two:{sha}"]);
    let services = configuration("services: {web: {image: 'three:4'}}");
    let plan = decide(&settings, &services, &facts()).unwrap();
    assert_eq!(plan.services.len(), 1);
    assert_eq!(plan.services[0].image, "one@sha256:abc");
    assert!(!plan.services[0].mutable_tag);
    assert!(plan.images["job"].starts_with("two:0123"));
}

#[test]
fn what_cannot_be_planned_has_a_reason_a_cause_and_a_remedy() {
    let no_domain = Settings {
        domain: None,
        ..settings()
    };
    let public = configuration("services: {web: {image: w, public: true}}");
    let without_number = Settings {
        namespace_pattern: "pr-{repo}".into(),
        ..settings()
    };
    let errors = [
        plan(""),
        plan("services: {web: {}, api: {}}"),
        plan("services: {web: {image: w, public: {host: pr-13.preview.example.com}}}"),
        plan("services: {web: {image: w, public: {host: '{number}.example.org'}}}"),
        plan("services: {web: {image: w, public: {host: '{nr}.{domain}'}}}"),
        plan("services: {web: {image: w, public: {path: /a}}, b: {image: w, public: {path: /a}}}"),
        decide(&no_domain, &public, &facts()),
        decide(&without_number, &public, &facts()),
    ];
    let lines: Vec<_> = errors
        .into_iter()
        .map(|error| error.unwrap_err())
        .map(|error| format!("{}: {error}", error.reason))
        .collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn templates_alone_are_something_to_deploy() {
    let plan = plan("templates: [deploy/*.yaml]").unwrap();
    assert!(plan.services.is_empty() && plan.urls.is_empty());
}

#[test]
fn the_preview_expires_after_its_life() {
    let plan = plan("services: {a: {image: x}}").unwrap();
    assert_eq!(plan.expires, Some("2026-01-08T00:00:00Z".parse().unwrap()));
}
