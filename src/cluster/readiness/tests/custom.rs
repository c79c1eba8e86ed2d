//! Custom resources of others: words, known kinds, and what their authors want to be waited for.

use super::*;

fn custom(api_version: &str, kind: &str, age: i64, status: Value) -> Assessment {
    let object = json!({
        "apiVersion": api_version, "kind": kind,
        "metadata": {"name": "x", "generation": 2, "creationTimestamp": ago(age)},
        "spec": {"instances": 2}, "status": status,
    });
    assess(&object, now(), None)
}

#[test]
fn an_empty_status_is_given_a_moment_and_then_taken_with_a_warning() {
    for empty in [json!(null), json!({}), json!({"conditions": []})] {
        let early = custom("example.com/v1", "Widget", 5, empty.clone());
        assert_eq!(early.readiness, InProgress);
        assert_eq!(early.again, Some(SignedDuration::from_secs(7)));
        let late = custom("example.com/v1", "Widget", 12, empty);
        assert_eq!(
            (late.readiness, late.message.as_str()),
            (Ready, "no status reported")
        );
    }
    let data = custom("traefik.io/v1alpha1", "Middleware", 0, json!(null));
    assert_eq!((data.readiness, data.message.as_str()), (Ready, ""));
}

#[rstest]
#[case::ready(conditions(&[("Ready", "True")]), Ready, "")]
#[case::ready_sums_up(conditions(&[("Ready", "True"), ("Degraded", "True")]), Ready, "")]
#[case::not_ready(conditions(&[("Ready", "False")]), InProgress, "Ready is False")]
#[case::not_known(conditions(&[("Ready", "Unknown")]), InProgress, "Ready is Unknown")]
#[case::not_synced(conditions(&[("Ready", "True"), ("Synced", "False")]), InProgress, "Synced is False")]
#[case::available(conditions(&[("Available", "True")]), Ready, "")]
#[case::not_available(conditions(&[("Available", "False")]), InProgress, "Available is False")]
#[case::not_programmed(conditions(&[("Accepted", "True"), ("Programmed", "Unknown")]), InProgress, "Programmed is Unknown")]
#[case::reconciling(conditions(&[("Ready", "True"), ("Reconciling", "True")]), InProgress, "Reconciling is True")]
#[case::stalled(conditions(&[("Ready", "False"), ("Stalled", "True")]), Failed, "Stalled is True")]
#[case::stalled_no_more(conditions(&[("Ready", "True"), ("Stalled", "False")]), Ready, "")]
#[case::degraded(conditions(&[("Degraded", "True")]), InProgress, "Degraded is True")]
#[case::another_word(conditions(&[("SomeCondition", "False")]), Ready, "")]
#[case::not_observed(json!({"observedGeneration": 1, "phase": "Ready"}), InProgress, "the cluster has not taken up the change yet")]
#[case::old_condition(json!({"conditions": [{"type": "Ready", "status": "True", "observedGeneration": 1}]}), InProgress, "its condition Ready is about an older version")]
#[case::phase_pending(json!({"phase": "Pending"}), InProgress, "its phase is Pending")]
#[case::phase_running(json!({"phase": "Running"}), Ready, "")]
#[case::phase_in_words(json!({"phase": "Setting up primary"}), InProgress, "its phase is Setting up primary")]
#[case::phase_of_a_kind_of_its_own(json!({"phase": "Blooming"}), Ready, "")]
// Operators try again, so even this is no failure yet.
#[case::phase_failed(json!({"phase": "Failed", "message": "no disk"}), InProgress, "its phase is Failed: no disk")]
#[case::state(json!({"state": "initializing"}), InProgress, "its state is initializing")]
#[case::state_reached(json!({"state": "Initialized"}), Ready, "")]
#[case::health(json!({"health": "yellow"}), InProgress, "its health is yellow")]
#[case::health_inside(json!({"health": {"status": "Healthy"}}), Ready, "")]
#[case::numbers_alone(json!({"replicas": 1}), Ready, "")]
fn custom_resources_by_the_words_that_most_operators_share(
    #[case] status: Value,
    #[case] expected: Readiness,
    #[case] message: &str,
) {
    let verdict = custom("example.com/v1", "Widget", 100, status);
    assert_eq!(
        (verdict.readiness, verdict.message.as_str()),
        (expected, message)
    );
}

fn parent(all: &[(&str, &str)], generation: i64) -> Value {
    let mut parent = conditions(all);
    for condition in parent["conditions"].as_array_mut().unwrap() {
        condition["observedGeneration"] = generation.into();
    }
    json!({ "parents": [parent] })
}

#[rstest]
#[case("cert-manager.io/v1", "Certificate", conditions(&[("Ready", "True")]), Ready)]
#[case("cert-manager.io/v1", "Certificate", conditions(&[("Ready", "False"), ("Issuing", "True")]), InProgress)]
#[case("cert-manager.io/v1", "Certificate", conditions(&[("Ready", "True"), ("Issuing", "True")]), InProgress)]
#[case("cert-manager.io/v1", "Certificate", conditions(&[("Issuing", "False")]), InProgress)]
#[case("gateway.networking.k8s.io/v1", "HTTPRoute", parent(&[("Accepted", "True"), ("ResolvedRefs", "True")], 2), Ready)]
#[case("gateway.networking.k8s.io/v1", "HTTPRoute", parent(&[("Accepted", "True"), ("ResolvedRefs", "False")], 2), InProgress)]
#[case("gateway.networking.k8s.io/v1", "HTTPRoute", parent(&[("Accepted", "False")], 2), InProgress)]
#[case("gateway.networking.k8s.io/v1", "HTTPRoute", parent(&[("Accepted", "True")], 1), InProgress)]
#[case("gateway.networking.k8s.io/v1", "Gateway", conditions(&[("Accepted", "True"), ("Programmed", "True")]), Ready)]
#[case("gateway.networking.k8s.io/v1", "Gateway", conditions(&[("Accepted", "True")]), InProgress)]
#[case("external-secrets.io/v1", "ExternalSecret", conditions(&[("Ready", "True")]), Ready)]
#[case("external-secrets.io/v1", "ExternalSecret", conditions(&[("Ready", "False")]), InProgress)]
#[case("keda.sh/v1alpha1", "ScaledObject", conditions(&[("Ready", "True"), ("Active", "False")]), Ready)]
#[case("keda.sh/v1alpha1", "ScaledObject", conditions(&[("Ready", "False")]), InProgress)]
#[case("postgresql.cnpg.io/v1", "Cluster", json!({"phase": "Cluster in healthy state", "readyInstances": 2}), Ready)]
#[case("postgresql.cnpg.io/v1", "Cluster", json!({"phase": "Setting up primary"}), InProgress)]
#[case("postgresql.cnpg.io/v1", "Cluster", json!({"phase": "Cluster in healthy state", "readyInstances": 1}), InProgress)]
#[case("postgresql.cnpg.io/v1", "Cluster", json!({"phase": "Upgrading cluster", "readyInstances": 2}), InProgress)]
fn kinds_that_previews_use(
    #[case] api_version: &str,
    #[case] kind: &str,
    #[case] status: Value,
    #[case] expected: Readiness,
) {
    assert_eq!(
        custom(api_version, kind, 100, status).readiness,
        expected,
        "{kind}"
    );
}

fn wished(api_version: &str, kind: &str, wish: &str, status: Value) -> (Readiness, String) {
    let object = json!({
        "apiVersion": api_version, "kind": kind,
        "metadata": {"name": "x", "annotations": {"preview-action/wait-for": wish}},
        "spec": {}, "status": status,
    });
    let verdict = assess(&object, now(), None);
    (verdict.readiness, verdict.message)
}

#[test]
fn the_author_of_an_object_may_say_what_to_wait_for() {
    let widget = |status| wished("example.com/v1", "Widget", ".status.phase=Blooming", status);
    assert_eq!(widget(json!({"phase": "Blooming"})).0, Ready);
    // The named place counts in place of the rules that fit all kinds.
    let also_pending = json!({"phase": "Blooming", "conditions": [condition("Ready", "False")]});
    assert_eq!(widget(also_pending).0, Ready);
    assert_eq!(
        widget(json!({"conditions": [condition("Ready", "True")]})),
        (
            InProgress,
            "waits for .status.phase to be Blooming, it is not there yet".into()
        )
    );
    // A kind's own rule holds besides.
    let job = |status| wished("batch/v1", "Job", ".status.succeeded=1", status).0;
    let complete = json!([condition("Complete", "True")]);
    assert_eq!(job(json!({"succeeded": 1})), InProgress);
    assert_eq!(job(json!({"conditions": complete})), InProgress);
    assert_eq!(job(json!({"succeeded": 1, "conditions": complete})), Ready);
    let bad = wished("example.com/v1", "Widget", "phase", json!({}));
    assert_eq!(bad.0, InProgress);
    assert!(bad.1.contains("preview-action/wait-for"), "{}", bad.1);
}
