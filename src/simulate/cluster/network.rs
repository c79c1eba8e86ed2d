//! Turns Services, Ingresses, HTTPRoutes, claims and quotas into what their controllers would report about them.
//! It must not route any request; the ingress server reads the same objects for that.
//! These controllers are one step each, so they share a file.

use serde_json::{Value, json};

use super::apply::Managers;
use super::kinds::Kind;
use super::quota;
use super::selector::labels_match;
use super::state::{State, condition};
use super::store::{Key, controlled_by};

/// Lets the small controllers act.
pub(super) fn reconcile(state: &mut State) {
    for key in state.keys("Service") {
        endpoints(state, &key);
    }
    let address = json!({"ingress": [{"ip": "127.0.0.1"}]});
    for key in state.keys("Ingress") {
        if after(state, &key, state.delays.address) {
            state.set(&key, "status", json!({"loadBalancer": address}));
        }
    }
    for key in state.keys("HTTPRoute") {
        if after(state, &key, state.delays.address) {
            route(state, &key);
        }
    }
    for key in state.keys("PersistentVolumeClaim") {
        if after(state, &key, state.delays.observe) {
            claim(state, &key);
        }
    }
    for key in state.keys("ResourceQuota") {
        let status = state
            .store
            .get(&key)
            .map(|entry| quota::status(&state.store, &entry.object));
        state.set(&key, "status", status.unwrap_or_default());
    }
}

fn after(state: &mut State, key: &Key, delay: std::time::Duration) -> bool {
    let changed = state
        .store
        .get(key)
        .map(|entry| entry.changed)
        .unwrap_or_default();
    state.reached(changed + delay)
}

/// Returns the pods that a Service selects, terminating ones left out.
pub(super) fn selected_pods(state: &State, service: &Value) -> Vec<Value> {
    let namespace = service["metadata"]["namespace"]
        .as_str()
        .unwrap_or_default();
    let selector = &service["spec"]["selector"];
    state.store.filtered("Pod", namespace, |pod| {
        labels_match(selector, pod) && pod["metadata"]["deletionTimestamp"].is_null()
    })
}

/// Tells whether a pod is Ready.
pub(super) fn is_ready(pod: &Value) -> bool {
    condition(pod, "Ready").is_some_and(|condition| condition["status"] == "True")
}

fn endpoints(state: &mut State, key: &Key) {
    let Some(service) = state.store.get(key).map(|entry| entry.object.clone()) else {
        return;
    };
    let Some(kind) = Kind::of_name("EndpointSlice") else {
        return;
    };
    if !service["metadata"]["deletionTimestamp"].is_null() || service["spec"]["selector"].is_null()
    {
        return;
    }
    let endpoints: Vec<Value> = selected_pods(state, &service)
        .iter()
        .filter(|pod| pod["status"]["podIP"].is_string())
        .map(|pod| {
            let reference = json!({
                "kind": "Pod", "namespace": key.namespace, "name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"],
            });
            let ready = is_ready(pod);
            json!({
                "addresses": [pod["status"]["podIP"]], "targetRef": reference, "nodeName": pod["spec"]["nodeName"],
                "conditions": {"ready": ready, "serving": ready, "terminating": false},
            })
        })
        .collect();
    let ports = service["spec"]["ports"].as_array().into_iter().flatten();
    let ports: Vec<Value> = ports
        .map(|port| {
            let name = port["name"].as_str().unwrap_or_default();
            json!({"name": name, "port": port["targetPort"], "protocol": port["protocol"]})
        })
        .collect();
    let slice = Key::new(kind, &key.namespace, &format!("{}-sim", key.name));
    let now = state.now();
    if state.store.get(&slice).is_some() {
        state.store.edit(&slice, now, |slice| {
            slice["endpoints"] = endpoints.into();
            slice["ports"] = ports.into();
        });
        return;
    }
    let object = json!({
        "metadata": {
            "labels": {"kubernetes.io/service-name": key.name}, "ownerReferences": controlled_by(&service),
        },
        "addressType": "IPv4", "endpoints": endpoints, "ports": ports,
    });
    let stamp = state.clock.stamp();
    state
        .store
        .insert(slice, object, Managers::default(), (now, stamp));
}

fn route(state: &mut State, key: &Key) {
    let Some(object) = state.store.get(key).map(|entry| entry.object.clone()) else {
        return;
    };
    let stamp = state.clock.stamp();
    let generation = &object["metadata"]["generation"];
    let earlier = object["status"]["parents"][0]["conditions"][0]["lastTransitionTime"].as_str();
    let stamp = earlier.unwrap_or(&stamp);
    let parents: Vec<Value> = object["spec"]["parentRefs"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|parent| {
            let of = |kind: &str, reason: &str| {
                json!({
                    "type": kind, "status": "True", "reason": reason, "message": "", "observedGeneration": generation,
                    "lastTransitionTime": stamp,
                })
            };
            let conditions = [of("Accepted", "Accepted"), of("ResolvedRefs", "ResolvedRefs")];
            json!({"parentRef": parent, "controllerName": "example.com/simulated-gateway", "conditions": conditions})
        })
        .collect();
    state.set(key, "status", json!({"parents": parents}));
}

fn claim(state: &mut State, key: &Key) {
    let Some(object) = state.store.get(key).map(|entry| entry.object.clone()) else {
        return;
    };
    let uid = object["metadata"]["uid"].as_str().unwrap_or_default();
    if object["status"]["phase"] == "Bound" {
        return;
    }
    // A claim that names its volume is bound to that one.
    let volume = match object["spec"]["volumeName"].as_str().unwrap_or_default() {
        "" => format!("pvc-{uid}"),
        named => named.to_owned(),
    };
    let status = json!({
        "phase": "Bound", "accessModes": object["spec"]["accessModes"],
        "capacity": object["spec"]["resources"]["requests"],
    });
    let now = state.now();
    state.store.edit(key, now, |claim| {
        claim["spec"]["volumeName"] = volume.into();
        claim["status"] = status;
    });
}
