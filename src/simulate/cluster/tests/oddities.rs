//! Shows that no body, however odd, stops the server or its controllers.

use std::time::Duration;

use serde_json::{Value, json};

use crate::simulate::Clock;
use crate::simulate::cluster::state::State;
use crate::simulate::cluster::store::Key;
use crate::simulate::cluster::writes::Options as WriteOptions;
use crate::simulate::cluster::{Delays, kinds};

/// Lists the pointers to all values inside a value.
fn pointers(value: &Value, at: &str, found: &mut Vec<String>) {
    let below: Vec<(String, &Value)> = match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| (name.clone(), value))
            .collect(),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .map(|(index, value)| (index.to_string(), value))
            .collect(),
        _ => Vec::new(),
    };
    for (name, value) in below {
        let pointer = format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
        found.push(pointer.clone());
        pointers(value, &pointer, found);
    }
}

fn objects() -> Vec<Value> {
    let pod = json!({
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "initContainers": [{"name": "i", "image": "setup:1"}],
        "containers": [{
            "name": "c", "image": "app:1", "ports": [{"containerPort": 80}],
            "env": [{"name": "A", "value": "b"}, {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}],
            "envFrom": [{"configMapRef": {"name": "m"}}],
            "resources": {"requests": {"cpu": "1m"}, "limits": {"cpu": "2m"}},
            "securityContext": {"privileged": false},
        }],
        "volumes": [{"name": "v", "secret": {"secretName": "s"}}, {"name": "w", "persistentVolumeClaim": {"claimName": "p"}}],
    });
    let template =
        json!({"metadata": {"labels": {"app": "x"}, "annotations": {"a": "b"}}, "spec": pod});
    let small = json!({"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "c", "image": "app:1"}]}});
    let selector = json!({"matchLabels": {"app": "x"}});
    let claim =
        json!({"metadata": {"name": "d"}, "spec": {"resources": {"requests": {"storage": "1Gi"}}}});
    let path = json!({"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "x", "port": {"number": 80}}}});
    let hard = json!({"hard": {"pods": "2", "requests.cpu": "1"}});
    let range = json!([{"type": "Container", "default": {"cpu": "1m"}, "max": {"cpu": "1"}}]);
    let deployment = json!({"replicas": 1, "selector": selector, "template": template, "strategy": {
        "type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": "25%"}}});
    let set = json!({"serviceName": "x", "selector": selector, "template": small, "volumeClaimTemplates": [claim]});
    [
        ("Deployment", json!({"spec": deployment})),
        ("StatefulSet", json!({"spec": set})),
        ("DaemonSet", json!({"spec": {"selector": selector, "template": small}})),
        ("Job", json!({"spec": {"backoffLimit": 1, "template": {"spec": {
            "restartPolicy": "Never", "containers": [{"name": "c", "image": "app:1"}]}}}})),
        ("Pod", json!({"spec": pod})),
        ("Service", json!({"spec": {"selector": {"app": "x"}, "ports": [{"port": 80, "name": "a"}, {"port": 81, "name": "b"}]}})),
        ("Ingress", json!({"spec": {"rules": [{"host": "h", "http": {"paths": [path]}}]}})),
        ("HTTPRoute", json!({"spec": {"parentRefs": [{"name": "g"}], "hostnames": ["h"]}})),
        ("ResourceQuota", json!({"spec": hard})),
        ("LimitRange", json!({"spec": {"limits": range}})),
        ("Secret", json!({"stringData": {"k": "v"}, "type": "Opaque"})),
        ("ConfigMap", json!({"data": {"k": "v"}, "immutable": false})),
        ("PersistentVolumeClaim", claim),
        ("RoleBinding", json!({"roleRef": {"apiGroup": "g", "kind": "Role", "name": "r"}, "subjects": []})),
    ]
    .into_iter()
    .map(|(kind, mut object)| {
        object["kind"] = kind.into();
        object["apiVersion"] = kinds::Kind::of_name(kind).map(kinds::Kind::api_version).into();
        object["metadata"] = json!({
            "name": "x", "labels": {"app": "x"}, "annotations": {"a": "b"}, "finalizers": [],
            "ownerReferences": [{"uid": "u", "kind": "Namespace", "name": "n"}],
        });
        object
    })
    .collect()
}

#[tokio::test]
async fn every_part_of_every_object_may_be_something_else() {
    let clock = Clock::starting_at(jiff::Timestamp::UNIX_EPOCH);
    let namespace = kinds::Kind::of_name("Namespace");
    for object in objects() {
        let kind = object["kind"].as_str().and_then(kinds::Kind::of_name);
        let mut all = Vec::new();
        pointers(&object, "", &mut all);
        let mut stored = 0;
        for pointer in all {
            for odd in [
                Value::Null,
                json!("x"),
                json!(7),
                json!([]),
                json!([1]),
                json!({}),
                json!(true),
            ] {
                let (Some(kind), Some(namespace)) = (kind, namespace) else {
                    continue;
                };
                let mut changed = object.clone();
                let Some(place) = changed.pointer_mut(&pointer) else {
                    continue;
                };
                *place = odd;
                let mut state = State::new(clock.clone(), instant(), "u".into(), "t".into());
                let options = WriteOptions {
                    manager: "m".into(),
                    force: true,
                    ..WriteOptions::default()
                };
                let home =
                    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}});
                let made = state.create(Key::new(namespace, "", "n"), home, &options);
                assert!(made.is_ok());
                let key = Key::new(kind, "n", "x");
                if state.apply(key.clone(), &changed, &options).is_ok() {
                    stored += 1;
                    state.reconcile();
                    assert!(
                        state.apply(key.clone(), &object, &options).is_ok()
                            || kind.kind != "ConfigMap"
                    );
                    state.reconcile();
                    state.begin_deletion(&key, "Foreground", None);
                    state.reconcile();
                }
            }
        }
        assert!(stored > 0, "{} was never accepted", object["kind"]);
    }
}

/// Delays under which everything that can happen happens at once.
fn instant() -> Delays {
    let zero = Duration::ZERO;
    Delays {
        observe: zero,
        schedule: zero,
        pull: zero,
        ready: zero,
        slow: zero,
        run: zero,
        stop: zero,
        back_off: Duration::from_secs(9),
        retry: Duration::from_secs(9),
        address: zero,
        namespace: zero,
    }
}
