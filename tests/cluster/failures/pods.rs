//! Pods that lack something, that may not be made, that fit nowhere, and whose probes fail.

use super::play::{AT_ONCE, Broken, USUAL, abreast};
use serde_json::json;

#[test]
fn pods_that_lack_something() {
    abreast(vec![
        Broken {
            name: "secret",
            config: "services:\n  web:\n    image: ${registry}/app:1\n    port: 8080\n    env: {PASSWORD: {secret: database, key: password}}\n",
            reason: "container-config",
            cause: &[
                "container web of Deployment/web needs Secret database, which does not exist in this preview",
            ],
            remedy: &[
                "add Secret database to the templates",
                "services.web of .github/preview.yml, line 3",
            ],
            grace: 20,
            ..USUAL
        },
        Broken {
            name: "config-map",
            own: "apiVersion: v1\nkind: Pod\nmetadata: {name: own}\nspec:\n  containers:\n    - name: own\n      image: \"${registry}/app:1\"\n      envFrom: [{configMapRef: {name: settings}}]\n",
            reason: "container-config",
            cause: &[
                "container own of Pod/own needs ConfigMap settings, which does not exist in this preview",
            ],
            remedy: &[
                "add ConfigMap settings to the templates, or correct its name in deploy/own.yaml, line 1",
            ],
            grace: 20,
            ..USUAL
        },
        Broken {
            name: "key",
            own: concat!(
                "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {other: value}\n---\n",
                "apiVersion: v1\nkind: Pod\nmetadata: {name: own}\nspec:\n  containers:\n    - name: own\n      image: \"${registry}/app:1\"\n",
                "      env: [{name: URL, valueFrom: {configMapKeyRef: {name: settings, key: url}}}]\n",
            ),
            reason: "container-config",
            cause: &[
                "container own of Pod/own needs key url of ConfigMap settings, which has no such key",
            ],
            remedy: &[
                "add key url to ConfigMap settings",
                "deploy/own.yaml, line 6",
            ],
            grace: 20,
            ..USUAL
        },
        Broken {
            name: "root",
            own: "apiVersion: v1\nkind: Pod\nmetadata: {name: own}\nspec:\n  securityContext: {runAsNonRoot: true}\n  containers: [{name: own, image: \"${registry}/app:1\"}]\n",
            reason: "container-config",
            cause: &[
                "container own of Pod/own must not run as root, and image 127.0.0.1:5000/app:1 does",
            ],
            remedy: &["set securityContext.runAsUser in deploy/own.yaml, line 1"],
            grace: 20,
            ..USUAL
        },
        Broken {
            name: "account",
            own: concat!(
                "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: other}\n---\n",
                "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: own}\nspec:\n  selector: {matchLabels: {app: own}}\n  template:\n    metadata: {labels: {app: own}}\n",
                "    spec:\n      serviceAccountName: robot\n      automountServiceAccountToken: false\n      containers: [{name: own, image: \"${registry}/app:1\"}]\n",
            ),
            reason: "policy-refused",
            cause: &[
                "deploy/own.yaml:13:",
                "serviceAccountName: names a ServiceAccount that does not come with the preview",
            ],
            remedy: &["add a ServiceAccount of that name to the templates"],
            bar: AT_ONCE,
            ..USUAL
        },
        Broken {
            name: "volume",
            own: concat!(
                "apiVersion: v1\nkind: Pod\nmetadata: {name: own}\nspec:\n  containers: [{name: own, image: \"${registry}/app:1\", volumeMounts: [{name: v, mountPath: /v}]}]\n",
                "  volumes: [{name: v, configMap: {name: files}}]\n",
            ),
            reason: "volume-failed",
            cause: &[
                "a volume of Pod/own needs ConfigMap files, which does not exist in this preview",
            ],
            remedy: &[
                "add ConfigMap files to the templates, or correct its name in deploy/own.yaml, line 1",
            ],
            evidence: &["FailedMount"],
            grace: 60,
            ..USUAL
        },
        Broken {
            name: "no-class",
            own: concat!(
                "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data}\nspec: {accessModes: [ReadWriteOnce], storageClassName: \"\", resources: {requests: {storage: 1Mi}}}\n---\n",
                "apiVersion: v1\nkind: Pod\nmetadata: {name: own}\nspec:\n  containers: [{name: own, image: \"${registry}/app:1\", volumeMounts: [{name: v, mountPath: /v}]}]\n",
                "  volumes: [{name: v, persistentVolumeClaim: {claimName: data}}]\n",
            ),
            reason: "volume-failed",
            cause: &["PersistentVolumeClaim data of Pod/own names no StorageClass"],
            remedy: &[
                "leave storageClassName out to use the default",
                "deploy/own.yaml, line 1",
            ],
            grace: 60,
            ..USUAL
        },
        Broken {
            name: "class",
            own: concat!(
                "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data}\nspec: {accessModes: [ReadWriteOnce], storageClassName: fast, resources: {requests: {storage: 1Mi}}}\n---\n",
                "apiVersion: v1\nkind: Pod\nmetadata: {name: own}\nspec:\n  containers: [{name: own, image: \"${registry}/app:1\", volumeMounts: [{name: v, mountPath: /v}]}]\n",
                "  volumes: [{name: v, persistentVolumeClaim: {claimName: data}}]\n",
            ),
            reason: "volume-failed",
            cause: &[
                "PersistentVolumeClaim data of Pod/own names StorageClass fast, which the cluster does not have",
            ],
            remedy: &["correct storageClassName of the claim in deploy/own.yaml, line 1"],
            grace: 60,
            ..USUAL
        },
    ]);
}

#[test]
fn pods_that_may_not_be_made_or_fit_nowhere() {
    abreast(vec![
        Broken {
            name: "quota",
            config: "services:\n  web:\n    image: ${registry}/app:1\n    port: 8080\n    resources: {requests: {cpu: 1500m}, limits: {cpu: 2}}\n",
            reason: "quota-exceeded",
            cause: &[
                "the preview asks for more than its quota has, the surge of a rolling update included: 3 requests.cpu of 1",
            ],
            remedy: &["ask for less in `resources` or `replicas`, or raise `quota` in"],
            bar: AT_ONCE,
            ..USUAL
        },
        Broken {
            name: "limit-range",
            own: concat!(
                "apiVersion: v1\nkind: LimitRange\nmetadata: {name: small}\nspec: {limits: [{type: Container, max: {memory: 64Mi}, default: {memory: 64Mi}, defaultRequest: {memory: 32Mi}}]}\n---\n",
                "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: own}\nspec:\n  selector: {matchLabels: {app: own}}\n  template:\n    metadata: {labels: {app: own}}\n",
                "    spec:\n      containers: [{name: own, image: \"${registry}/app:1\", resources: {requests: {memory: 32Mi}, limits: {memory: 128Mi}}}]\n",
            ),
            reason: "admission-refused",
            cause: &[
                "a LimitRange of the preview refuses the pods of Deployment/own: maximum memory usage per Container is 64Mi, but limit is 128Mi",
            ],
            remedy: &["change resources in deploy/own.yaml, line 6"],
            grace: 10,
            ..USUAL
        },
        Broken {
            name: "pod-security",
            own: concat!(
                "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: own}\nspec:\n  selector: {matchLabels: {app: own}}\n  template:\n    metadata: {labels: {app: own}}\n",
                "    spec:\n      securityContext: {seLinuxOptions: {type: spc_t}}\n      containers: [{name: own, image: \"${registry}/app:1\"}]\n",
            ),
            reason: "policy-refused",
            cause: &[
                "deploy/own.yaml:9:",
                "seLinuxOptions.type: gives the container other rights on the node",
            ],
            remedy: &["leave it out"],
            bar: AT_ONCE,
            ..USUAL
        },
        Broken {
            name: "policy-pods",
            config: "services:\n  web:\n    image: ${registry}/app:1\n    port: 8080\n",
            before: |stay| {
                super::refusals::policy(
                    stay,
                    "",
                    "pods",
                    "has(object.metadata.labels.team)",
                    "every pod names its team",
                )
            },
            reason: "admission-refused",
            cause: &[
                "policy preview-test-f-policy-pods of the cluster refuses the pods of Deployment/web: every pod names its team",
            ],
            remedy: &[
                "change services.web of .github/preview.yml, line 3 so that the policy allows it",
            ],
            grace: 10,
            ..USUAL
        },
        Broken {
            name: "cpu",
            inputs: "nodes: elastic\n",
            config: "services:\n  web:\n    image: ${registry}/app:1\n    port: 8080\n    resources: {requests: {cpu: 200}, limits: {cpu: 200}}\nquota: {requests: {cpu: 400}, limits: {cpu: 400}}\n",
            reason: "unschedulable",
            cause: &[
                "no node of the cluster has room for a pod of Deployment/web, which asks for cpu 200: 0/",
                "Insufficient cpu",
            ],
            remedy: &["ask for less in resources in services.web of .github/preview.yml, line 3"],
            grace: 60,
            ..USUAL
        },
        Broken {
            name: "selector",
            inputs: "nodes: elastic\n",
            config: "services:\n  web:\n    image: ${registry}/app:1\n    port: 8080\n    node-selector: {disk: ssd}\n",
            reason: "unschedulable",
            cause: &[
                "no node of the cluster fits the node selector or affinity of Deployment/web (disk=ssd)",
            ],
            remedy: &[
                "correct node-selector in services.web of .github/preview.yml, line 3, or label a node so",
            ],
            grace: 60,
            ..USUAL
        },
    ]);
}

#[test]
fn probes_that_fail() {
    abreast(vec![
        Broken {
            name: "probe-500",
            config: "services:\n  web:\n    image: ${registry}/app:1\n    port: 8080\n    health: {path: /healthz}\n    command: [/bin/sh, -c, \"echo 'no database'; while true; do printf 'HTTP/1.1 500 Oops\\\\r\\\\nContent-Length: 0\\\\r\\\\nConnection: close\\\\r\\\\n\\\\r\\\\n' | nc -l -p 8080 >/dev/null; done\"]\n",
            inputs: "timeout: 60s\n",
            reason: "timed-out",
            cause: &[
                "container web of Deployment/web was not ready within",
                "readiness probe GET http://:8080/healthz fails; it answers 500",
            ],
            remedy: &[
                "correct port and health.path in services.web of .github/preview.yml, line 3",
            ],
            evidence: &["no database", "statuscode: 500"],
            grace: 60,
            ..USUAL
        },
        Broken {
            name: "probe-nothing",
            config: "services:\n  web:\n    image: ${registry}/app:1\n    port: 3000\n    health: {path: /}\n",
            inputs: "timeout: 60s\n",
            reason: "timed-out",
            cause: &["readiness probe GET http://:3000/ fails; nothing listens there"],
            remedy: &["correct port and health.path in services.web"],
            grace: 60,
            ..USUAL
        },
        Broken {
            name: "probe-path",
            config: "services:\n  web:\n    image: ${registry}/app:1\n    port: 8080\n    health: {path: /nothing}\n",
            inputs: "timeout: 60s\n",
            reason: "timed-out",
            cause: &["readiness probe GET http://:8080/nothing fails; it answers 404"],
            grace: 60,
            ..USUAL
        },
        Broken {
            name: "liveness",
            own: concat!(
                "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: own}\nspec:\n  selector: {matchLabels: {app: own}}\n  template:\n    metadata: {labels: {app: own}}\n",
                "    spec:\n      terminationGracePeriodSeconds: 1\n      containers:\n        - name: own\n          image: \"${registry}/app:1\"\n",
                "          readinessProbe: {httpGet: {path: /nothing, port: 8080}, periodSeconds: 1}\n",
                "          livenessProbe: {httpGet: {path: /alive, port: 8080}, periodSeconds: 1, failureThreshold: 1}\n",
            ),
            reason: "probe-failing",
            cause: &[
                "container own of Deployment/own is restarted again and again because its liveness probe GET http://:8080/alive fails; it answers 404",
            ],
            remedy: &["correct livenessProbe in deploy/own.yaml, line 1"],
            // three restarts, each after a second of life and a second of grace
            grace: 50,
            ..USUAL
        },
    ]);
}

/// What the administrator adds for a case goes with its end.
pub(super) fn admission(
    stay: &crate::stay::Stay,
    name: &str,
    resource: &str,
    rule: &str,
    message: &str,
) {
    let group = if matches!(resource, "pods" | "configmaps") {
        ""
    } else {
        "apps"
    };
    let rules = json!([{"apiGroups": [group], "apiVersions": ["*"], "resources": [resource], "operations": ["CREATE", "UPDATE"]}]);
    let environment = json!({"matchLabels": {"preview-action/environment": stay.environment}});
    stay.real.put(&json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy", "metadata": {"name": name},
        "spec": {"failurePolicy": "Fail", "matchConstraints": {"resourceRules": rules}, "validations": [{"expression": rule, "message": message}]},
    }));
    stay.real.put(&json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": name},
        "spec": {"policyName": name, "validationActions": ["Deny"], "matchResources": {"namespaceSelector": environment}},
    }));
}
