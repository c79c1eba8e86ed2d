//! Objects that the API server refuses, hosts that are taken, and a Service that nothing stands behind.

use super::{
    play::{AT_ONCE, Broken, Ends, USUAL, abreast},
    pods::admission,
};
use crate::stay::Stay;
use serde_json::json;

/// A policy that only this corner of the cluster feels.
pub(super) fn policy(stay: &Stay, suffix: &str, resource: &str, rule: &str, message: &str) {
    let name = format!("preview-test-{}{suffix}", stay.environment);
    admission(stay, &name, resource, rule, message);
    // A policy is in force about a second after it was made.
    let namespace = format!("preview-test-{}", stay.environment);
    let labels = json!({"preview-action/environment": stay.environment});
    stay.real.put(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": labels}}));
    let object = match resource {
        "deployments" => "deployment",
        _ => "pod",
    };
    let kind: &[&str] = match object {
        "pod" => &["run", "probe", "--image=none"],
        _ => &["create", "deployment", "probe", "--image=none"],
    };
    for _ in 0..100 {
        let asked = stay
            .real
            .command()
            .args(kind)
            .args(["-n", &namespace, "--dry-run=server"])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&asked.stderr);
        if said.contains(message) {
            break;
        }
    }
    stay.real
        .kubectl(&["delete", "namespace", &namespace, "--wait=false"]);
}

/// A namespace of somebody else that serves a host.
fn neighbour(stay: &Stay) {
    let name = format!("preview-test-{}", stay.environment);
    stay.real
        .put(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}));
    let backend = json!({"service": {"name": "web", "port": {"number": 80}}});
    stay.real.put(&json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "web", "namespace": name},
        "spec": {"rules": [{"host": format!("pr-1.{}", stay.domain()), "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}]},
    }));
}

/// Deletes the preview's Namespace, and holds it by an object that nobody finishes.
fn held(stay: &Stay) {
    let namespace = stay.namespace(1);
    stay.real.put(&json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "held", "namespace": namespace, "finalizers": ["example.test/hold"]},
    }));
    stay.real
        .kubectl(&["delete", "namespace", &namespace, "--wait=false"]);
}

/// Takes the finalizer away, so that the corner can be left as it was found.
fn let_go(stay: &Stay) {
    let patch = r#"{"metadata": {"finalizers": []}}"#;
    let namespace = stay.namespace(1);
    let held = ["patch", "configmap", "held", "-n", &namespace];
    stay.real
        .kubectl(&[&held[..], &["--type=merge", "-p", patch]].concat());
}

#[test]
fn a_namespace_that_is_stuck_on_a_finalizer() {
    abreast(vec![Broken {
        name: "stuck-namespace",
        config: "services:\n  web:\n    image: ${registry}/app:1\n    port: 8080\n",
        own: "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: own}\ndata: {version: '1'}\n",
        then: "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: own}\ndata: {version: '2'}\n",
        between: held,
        after: let_go,
        inputs: "timeout: 5m\n",
        reason: "namespace-terminating",
        cause: &[
            "namespace pr-shop-1-f-stuck-namespace is still being deleted after 120 seconds",
            "finalizer example.test/hold of configmaps/held holds it",
        ],
        remedy: &["let an operator look at what holds it; its slot stays taken until it is gone"],
        evidence: &["patch configmaps held"],
        grace: 120,
        ..USUAL
    }]);
}

#[test]
fn objects_that_are_refused() {
    let deployment = |_: &Stay| {};
    abreast(vec![
        Broken {
            name: "unknown-field",
            own: "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: fine}\n---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: own}\nspec:\n  replica: 2\n  selector: {matchLabels: {app: own}}\n  template:\n    metadata: {labels: {app: own}}\n    spec: {containers: [{name: own, image: \"${registry}/app:1\"}]}\n",
            before: deployment,
            reason: "bad-manifest",
            cause: &["Deployment/own is not valid: spec.replica: field not declared in schema"],
            remedy: &["correct spec.replica in deploy/own.yaml, line 5"],
            bar: AT_ONCE,
            ..USUAL
        },
        Broken {
            name: "wrong-type",
            own: "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: own}\nspec:\n  replicas: two\n  selector: {matchLabels: {app: own}}\n  template:\n    metadata: {labels: {app: own}}\n    spec: {containers: [{name: own, image: \"${registry}/app:1\"}]}\n",
            reason: "bad-manifest",
            cause: &["Deployment/own is not valid: spec.replicas: expected numeric"],
            remedy: &["correct spec.replicas in deploy/own.yaml, line 1"],
            bar: AT_ONCE,
            ..USUAL
        },
        Broken {
            name: "immutable",
            own: "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: own}\nimmutable: true\ndata: {a: b}\n",
            then: "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: own}\nimmutable: true\ndata: {a: c}\n",
            reason: "bad-manifest",
            cause: &["ConfigMap/own cannot be changed like this: data"],
            remedy: &[
                "in deploy/own.yaml, line 1: this field cannot change on a live object: give ConfigMap/own another name",
                "preview-action/recreate: \"true\"",
            ],
            bar: AT_ONCE,
            ..USUAL
        },
        Broken {
            name: "policy",
            own: "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: own}\nspec:\n  replicas: 0\n  selector: {matchLabels: {app: own}}\n  template:\n    metadata: {labels: {app: own}}\n    spec: {containers: [{name: own, image: \"${registry}/app:1\"}]}\n",
            before: |stay| {
                policy(
                    stay,
                    "",
                    "deployments",
                    "object.spec.replicas > 5",
                    "at least six replicas",
                )
            },
            reason: "admission-refused",
            cause: &[
                "policy preview-test-f-policy of the cluster refuses Deployment/own: at least six replicas",
            ],
            remedy: &["change deploy/own.yaml, line 1 so that the policy allows it"],
            bar: AT_ONCE,
            ..USUAL
        },
        Broken {
            name: "host",
            config: "services:\n  web:\n    image: ${registry}/app:1\n    port: 8080\n    public: true\n",
            before: neighbour,
            reason: "host-taken",
            cause: &[
                "pr-1.f-host.preview.example.test is already served from namespace preview-test-f-host, which is no preview",
            ],
            remedy: &["set the input `host-pattern`"],
            bar: AT_ONCE,
            ..USUAL
        },
        Broken {
            name: "nothing-behind",
            own: "apiVersion: v1\nkind: Service\nmetadata: {name: own}\nspec:\n  selector: {app: wbe}\n  ports: [{port: 80, targetPort: 8080}]\n---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: own}\nspec:\n  selector: {matchLabels: {app: web}}\n  template:\n    metadata: {labels: {app: web}}\n    spec: {containers: [{name: own, image: \"${registry}/app:1\"}]}\n",
            reason: "a warning",
            cause: &["the selector of Service/own (app=wbe) matches no pod of this preview"],
            remedy: &[
                "let spec.selector in deploy/own.yaml, line 1 name labels that the pods have",
            ],
            ends: Ends::Warned,
            ..USUAL
        },
        Broken {
            name: "rbac",
            own: "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: robot}\n",
            before: less_rights,
            reason: "cluster-forbidden",
            cause: &[
                "this ServiceAccount may not create serviceaccounts in namespace pr-shop-1-f-rbac, which ServiceAccount/robot needs",
            ],
            remedy: &["resources: [serviceaccounts], verbs: [create]"],
            bar: AT_ONCE,
            ..USUAL
        },
    ]);
}

/// A ServiceAccount with every right of ours but one.
fn less_rights(stay: &Stay) {
    let role = stay
        .real
        .kubectl(&["get", "clusterrole", "preview-action", "-o", "json"]);
    let mut role: serde_json::Value = serde_json::from_str(&role).unwrap();
    let name = "preview-test-less";
    role["metadata"] = json!({"name": name});
    for rule in role["rules"].as_array_mut().unwrap() {
        let resources = rule["resources"].as_array_mut().unwrap();
        resources.retain(|resource| resource != "serviceaccounts");
    }
    let read = json!({"apiGroups": [""], "resources": ["serviceaccounts"], "verbs": ["get", "list", "watch", "patch"]});
    role["rules"].as_array_mut().unwrap().push(read);
    stay.real.put(&role);
    stay.real.put(&json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": "preview-system"}}));
    for (kind, role_kind, role, namespace) in [
        ("ClusterRoleBinding", "ClusterRole", name, None),
        (
            "RoleBinding",
            "Role",
            "preview-action-ledger",
            Some("preview-system"),
        ),
    ] {
        stay.real.put(&json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": {"name": name, "namespace": namespace},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": role_kind, "name": role},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": "preview-system"}],
        }));
    }
    let token = stay
        .real
        .kubectl(&["create", "token", name, "-n", "preview-system"]);
    let kubeconfig = stay.real.kubeconfig();
    let old = regex::Regex::new(r#"token: "[^"]*""#).unwrap();
    let text = old
        .replace(&kubeconfig, format!("token: \"{}\"", token.trim()))
        .into_owned();
    stay.act_as(text);
}
