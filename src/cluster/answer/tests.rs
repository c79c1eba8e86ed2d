//! Recorded refusals of API servers, and the class of each.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
use super::*;
use std::collections::BTreeMap;

const NEW: &str = include_str!("../../../tests/fixtures/refusals/kubernetes-1.36.json");
const OLD: &str = include_str!("../../../tests/fixtures/refusals/kubernetes-1.20.json");

/// Every recorded refusal, by server and case.
fn recorded() -> BTreeMap<(&'static str, String), Refusal> {
    let mut all = BTreeMap::new();
    for (server, text) in [("1.36", NEW), ("1.20", OLD)] {
        for case in serde_json::from_str::<Vec<Value>>(text).unwrap() {
            let body = match &case["body"] {
                Value::String(text) => text.clone(),
                json => json.to_string(),
            };
            let code = u16::try_from(case["http"].as_u64().unwrap()).unwrap();
            let name = case["case"].as_str().unwrap().to_owned();
            all.insert((server, name), Refusal::read(code, body.as_bytes()));
        }
    }
    all
}

#[test]
fn recorded_refusals_of_both_servers_are_told_apart() {
    // Whatever is not named here is a fault of the manifest.
    let expected = |case: &str| match case {
        "bare pod at once" => Class::NotYet,
        "conflict" | "status in main" => Class::FieldConflict,
        "stale resourceVersion in body"
        | "delete ns stale rv precondition"
        | "delete ns wrong uid precondition" => Class::Conflict,
        "ns missing" | "ns missing dry" => Class::NamespaceMissing,
        "uid mismatch"
        | "selector change (immutable)"
        | "svc clusterIP change"
        | "svc -> headless"
        | "job template change"
        | "sts vct change"
        | "sts serviceName change"
        | "pvc sc change"
        | "pvc shrink"
        | "immutable secret change"
        | "secret type change"
        | "roleRef change" => Class::Immutable,
        "unknown kind" | "old api" => Class::KindUnknown,
        "pod w/o request under cpu quota" | "pod exceeding" | "count quota" => Class::Quota,
        "limit range max"
        | "pod security refusal"
        | "pod security privileged"
        | "admission policy refusal" => Class::Admission,
        "webhook unreachable" => Class::Busy,
        "slot-0 again" => Class::AlreadyExists,
        "create in terminating" => Class::NamespaceTerminating,
        "expired or wrong token" => Class::Unauthorized,
        "SSA create with only patch verb"
        | "forbidden kind"
        | "role escalation"
        | "dev create role escalation"
        | "dev create role, with create role verb but no escalate"
        | "create ownerRef block=true, no finalizers"
        | "update removing ownerRef without delete verb" => Class::Forbidden(None),
        _ => Class::BadManifest,
    };
    let all = recorded();
    assert_eq!(all.len(), 132);
    for ((server, case), refusal) in all {
        let class = match refusal.class {
            Class::Forbidden(_) => Class::Forbidden(None),
            class => class,
        };
        assert_eq!(
            class,
            expected(&case),
            "{server} {case}: {}",
            refusal.message
        );
    }
}

#[test]
fn only_what_may_pass_is_repeated() {
    let repeated: Vec<_> = recorded()
        .into_iter()
        .filter(|(_, refusal)| refusal.worth_repeating())
        .map(|((server, case), _)| format!("{server} {case}"))
        .collect();
    assert_eq!(
        repeated,
        ["1.20 bare pod at once", "1.36 webhook unreachable"]
    );
    let quota = r#"{"kind":"Status","reason":"Conflict","code":409,"message":"Operation cannot be fulfilled on resourcequotas \"q\": the object has been modified"}"#;
    assert!(Refusal::read(409, quota.as_bytes()).worth_repeating());
    assert!(Refusal::read(502, b"<html>Bad Gateway</html>").worth_repeating());
}

#[test]
fn no_message_shows_a_dump_of_go_values() {
    for ((server, case), refusal) in recorded() {
        let shown = format!("{} {:?}", refusal.message, refusal.fields);
        for dump in [
            "v1.LabelSelector{",
            "core.",
            "valueUnstructured",
            "map[string]",
            "\n",
            "<nil>:",
        ] {
            let known = dump == "<nil>:" && refusal.class == Class::BadManifest;
            assert!(
                known || !refusal.message.contains(dump),
                "{server} {case}: {shown}"
            );
            let in_fields = refusal
                .fields
                .iter()
                .any(|fault| fault.to_string().contains(dump));
            assert!(!in_fields, "{server} {case}: {shown}");
        }
    }
}

#[test]
fn faults_name_the_field_as_people_write_it() {
    let all = recorded();
    let faults = |server: &'static str, case: &str| -> Vec<String> {
        let refusal = &all[&(server, case.to_owned())];
        refusal.fields.iter().map(ToString::to_string).collect()
    };
    for (case, expected) in [
        ("typo replica", "spec.replica: field not declared in schema"),
        (
            "env value not a string",
            r#"spec.template.spec.containers[name="c"].env[name="PORT"].value: expected string, got 8080"#,
        ),
        ("secret bad base64", "illegal base64 data at input byte 0"),
        (
            "svc clusterIP change",
            "spec.clusterIPs[0]: may not change once set",
        ),
        (
            "bad label value",
            r#"metadata.labels: Invalid value: "not/ok!": a valid label"#,
        ),
        ("cm > 1MiB", "Too long: may not be more than 1048576 bytes"),
        (
            "request above limit",
            "spec.template.spec.containers[0].resources.requests: Invalid value",
        ),
    ] {
        let found = faults("1.36", case);
        assert!(
            found.len() == 1 && found[0].starts_with(expected),
            "{case}: {found:?}"
        );
    }
    assert_eq!(
        faults("1.20", "selector change (immutable)"),
        ["spec.selector: field is immutable"]
    );
    assert_eq!(faults("1.36", "svc 2 unnamed ports").len(), 2);
}

#[test]
fn a_missing_rule_is_read_from_the_message() {
    let all = recorded();
    let rule = |server, case: &str| match &all[&(server, case.to_owned())].class {
        Class::Forbidden(rule) => rule.clone(),
        _ => None,
    };
    let expected = MissingRule {
        verb: "patch".into(),
        resource: "services".into(),
        group: String::new(),
        namespace: Some("rec-a".into()),
    };
    assert_eq!(rule("1.36", "forbidden kind"), Some(expected));
    assert_eq!(rule("1.20", "SSA create with only patch verb"), None);
}

#[test]
fn an_answer_of_a_gateway_is_not_shown_as_html() {
    let refusal = Refusal::read(504, b"<html><h1>Gateway</h1></html>");
    assert_eq!(refusal.class, Class::Busy);
    assert!(!refusal.message.contains('<'), "{}", refusal.message);
}
