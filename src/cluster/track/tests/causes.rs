//! Several objects that fail: for one reason or for several, at once or one after another.

use super::*;

/// A StatefulSet of that name, and its pod in that state.
fn family(name: &str, container: Value) -> (Applied, Value) {
    let mut live = stateful(2);
    live["metadata"]["name"] = name.into();
    live["metadata"]["uid"] = format!("uid-{name}").into();
    let pod = pod(
        &format!("{name}-0"),
        &format!("uid-{name}"),
        "new",
        container,
    );
    (target(&live, Change::Changed), pod)
}

/// When the first failures count, and for each its class and the objects that it names.
fn verdict(families: &[(Applied, Value, u64)], haste: u32) -> (u128, Vec<(FailureClass, String)>) {
    let applied: Vec<_> = families.iter().map(|(one, ..)| one.clone()).collect();
    let mut tracker = Tracker::new(&applied, haste);
    let start = Instant::now();
    let mut due: BTreeSet<Instant> = families
        .iter()
        .map(|(_, _, ms)| start + Duration::from_millis(*ms))
        .collect();
    while let Some(now) = due.pop_first() {
        for (_, pod, ms) in families {
            if start + Duration::from_millis(*ms) == now {
                tracker.observe(Seen::Now(&kinds::POD, pod.clone()));
            }
        }
        let judgement = tracker.judge(now);
        if !judgement.ripe.is_empty() {
            let told = |symptom: &Symptom| (symptom.class, symptom.facts["object"].clone());
            return (
                (now - start).as_millis(),
                judgement.ripe.iter().map(told).collect(),
            );
        }
        due.extend(judgement.next);
    }
    (0, Vec::new())
}

#[test]
fn one_missing_secret_is_one_cause_with_every_object_that_it_stops() {
    let missing = r#"secret "db" not found"#;
    let (web, web_pod) = family("web", stuck("CreateContainerConfigError", missing));
    let (worker, worker_pod) = family("worker", stuck("CreateContainerConfigError", missing));
    let (mail, mail_pod) = family(
        "mail",
        stuck("CreateContainerConfigError", r#"secret "smtp" not found"#),
    );
    let families = [
        (web, web_pod, 0),
        // Seen late, and the same cause all the same.
        (worker, worker_pod, 15_000),
        // About to count, so the news waits for it.
        (mail, mail_pod, 1_500),
    ];
    let (at, causes) = verdict(&families, 1);
    assert_eq!(at, 21_500);
    assert_eq!(
        causes,
        [
            (
                FailureClass::ReferenceMissing,
                "StatefulSet/web and StatefulSet/worker".to_owned()
            ),
            (
                FailureClass::ReferenceMissing,
                "StatefulSet/mail".to_owned()
            ),
        ]
    );
}

#[test]
fn a_failure_that_may_heal_for_long_holds_no_news_back() {
    let (web, web_pod) = family("web", crashed(3, "Error", 1));
    let (worker, worker_pod) = family("worker", stuck("ImagePullBackOff", "dial tcp: i/o timeout"));
    let families = [(web, web_pod, 0), (worker, worker_pod, 0)];
    let expected = vec![(FailureClass::CrashLoop, "StatefulSet/web".to_owned())];
    assert_eq!(verdict(&families, 1), (0, expected));
}

#[test]
fn crashes_of_two_objects_are_two_causes() {
    let (web, web_pod) = family("web", crashed(3, "Error", 1));
    let (worker, worker_pod) = family("worker", crashed(3, "Error", 1));
    let families = [(web, web_pod, 0), (worker, worker_pod, 0)];
    assert_eq!(verdict(&families, 1).1.len(), 2);
}

#[test]
fn nothing_waits_for_what_depends_on_the_failure() {
    let (web, mut web_pod) = family("web", crashed(3, "Error", 1));
    // Its second container is about to count by itself; the pod has failed already.
    let late = stuck("CreateContainerConfigError", r#"secret "db" not found"#);
    let containers = web_pod["status"]["containerStatuses"].as_array_mut();
    containers.unwrap().push(late);
    let route = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "web", "uid": "uid-route"},
        "spec": {"rules": [{"host": "a.test", "http": {"paths": [{"backend": {"service": {"name": "web"}}}]}}]},
    });
    let budget = json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "web", "uid": "uid-budget", "generation": 1},
        "status": {"observedGeneration": 1, "currentHealthy": 0, "desiredHealthy": 1, "expectedPods": 1, "disruptionsAllowed": 0},
    });
    // It waits for the first by the look of it: up, not ready, and nothing wrong with it.
    let waits = json!({"name": "c", "ready": false, "started": true, "restartCount": 0, "state": {"running": {"startedAt": "2026-11-21T12:00:00Z"}}});
    let (worker, worker_pod) = family("worker", waits);
    let behind = [route, budget].map(|live| target(&live, Change::Created));
    let applied: Vec<_> = [web, worker].into_iter().chain(behind).collect();
    let mut tracker = Tracker::new(&applied, 1);
    let start = Instant::now();
    tracker.observe(Seen::All(&kinds::POD, vec![web_pod, worker_pod]));
    let judgement = tracker.judge(start);
    let named: Vec<_> = judgement
        .ripe
        .iter()
        .map(|symptom| symptom.facts["object"].as_str())
        .collect();
    assert_eq!(named, ["StatefulSet/web"]);
    assert!(!judgement.all_ready);
}
