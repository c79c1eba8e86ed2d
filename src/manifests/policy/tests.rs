#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::{
    manifests::{Rendered, assemble},
    names::ReasonCode,
    plan::{Plan, fixtures},
};

fn plan() -> Plan {
    fixtures::plan("services: {web: {image: w, public: true}}").unwrap()
}

/// What is wrong with one file of the repository: a line for each error, without its excerpt.
fn errors(text: &str) -> Vec<String> {
    let rendered = [Rendered {
        file: "app.yaml".into(),
        text: text.into(),
        built_in: false,
    }];
    match assemble(&plan(), &rendered) {
        Ok(_) => Vec::new(),
        Err(errors) => errors
            .0
            .iter()
            .map(|error| format!("{} {}", error.reason, error.cause()))
            .collect(),
    }
}

fn object(api: &str, kind: &str, rest: &str) -> String {
    format!("apiVersion: {api}\nkind: {kind}\nmetadata: {{name: a}}\n{rest}\n")
}

fn pod(spec: &str) -> String {
    let containers = "containers: [{name: a, image: b}]";
    object("v1", "Pod", &format!("spec: {{{containers}, {spec}}}"))
}

fn container(fields: &str) -> String {
    let container = format!("{{name: a, image: b, {fields}}}");
    object(
        "apps/v1",
        "Deployment",
        &format!("spec: {{template: {{spec: {{containers: [{container}]}}}}}}"),
    )
}

fn ingress(rest: &str) -> String {
    object("networking.k8s.io/v1", "Ingress", rest)
}

#[test]
fn ordinary_objects_pass() {
    let right = [
        pod("hostNetwork: false, volumes: [{name: a, emptyDir: {}}, {name: b, configMap: {name: c}}]"),
        container("ports: [{containerPort: 80}], securityContext: {privileged: false, capabilities: {drop: [ALL], add: [NET_BIND_SERVICE]}}"),
        container("securityContext: {seccompProfile: {type: RuntimeDefault}}, env: [{name: A, value: ''}, {name: B}]"),
        object("v1", "Service", "spec: {type: ClusterIP, ports: [{port: 80}], externalIPs: []}"),
        object("v1", "Service", "spec: {clusterIP: None}"),
        object("v1", "PersistentVolumeClaim", "spec: {volumeName: ''}"),
        object("batch/v1", "CronJob", "spec: {jobTemplate: {spec: {template: {spec: {containers: []}}}}}"),
        ingress("spec: {rules: [{host: pr-12.preview.example.com}, {host: v2-12.preview.example.com}], tls: [{hosts: [pr-12.preview.example.com]}]}"),
        object("gateway.networking.k8s.io/v1", "HTTPRoute", "spec: {hostnames: [api.12.preview.example.com], rules: [{backendRefs: [{name: a, port: 1}]}]}"),
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: pr-shop-12, labels: {app.kubernetes.io/part-of: x}}\n".into(),
        object("networking.k8s.io/v1", "NetworkPolicy", "spec: {podSelector: {}}"),
        object("policy/v1", "PodDisruptionBudget", "spec: {}"),
    ];
    for text in right {
        assert_eq!(errors(&text), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn what_reaches_out_of_the_preview_is_refused() {
    let wrong = [
        // kinds
        object("v1", "Namespace", ""),
        object("v1", "PersistentVolume", ""),
        object("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", ""),
        object("rbac.authorization.k8s.io/v1", "RoleBinding", ""),
        object("example.com/v1", "Deployment", ""),
        object("extensions/v1beta1", "Ingress", ""),
        object("traefik.io/v1alpha1", "Middleware", ""),
        object("v1", "Node", ""),
        object("batch/v1", "List", ""),
        // names and marks
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: kube-system}\n".into(),
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: [pr-shop-12]}\n".into(),
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, labels: {preview-action/state: ready}}\n".into(),
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, annotations: {applyset.kubernetes.io/id: x}}\n".into(),
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, labels: {pod-security.kubernetes.io/enforce: privileged}}\n".into(),
        "apiVersion: v1\nkind: ResourceQuota\nmetadata: {name: preview}\n".into(),
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: preview-public-web}\n".into(),
        object("apps/v1", "Deployment", "spec: {template: {metadata: {labels: {preview-action/sha: web}}}}"),
        // pods
        pod("hostNetwork: true"),
        pod("hostPID: 'true'"),
        pod("hostIPC: true"),
        pod("hostUsers: true"),
        pod("nodeName: node-1"),
        pod("priorityClassName: system-node-critical"),
        pod("volumes: [{name: a, hostPath: {path: /}}]"),
        pod("volumes: [{name: a, nfs: {server: x, path: /}}]"),
        pod("securityContext: {sysctls: [{name: kernel.msgmax, value: '1'}]}"),
        pod("initContainers: [{name: a, image: b, securityContext: {privileged: true}}]"),
        pod("ephemeralContainers: [{name: a, image: b, securityContext: {privileged: true}}]"),
        container("securityContext: {privileged: true}"),
        container("securityContext: {capabilities: {add: [SYS_ADMIN]}}"),
        container("securityContext: {capabilities: {add: [CAP_NET_RAW]}}"),
        container("securityContext: {procMount: Unmasked}"),
        container("securityContext: {seccompProfile: {type: Unconfined}}"),
        container("securityContext: {windowsOptions: {hostProcess: true}}"),
        container("ports: [{containerPort: 80, hostPort: 80}]"),
        object("batch/v1", "CronJob", "spec: {jobTemplate: {spec: {template: {spec: {hostNetwork: true}}}}}"),
        object("apps/v1", "StatefulSet", "spec: {volumeClaimTemplates: [{spec: {volumeName: pv-1}}]}"),
        object("v1", "PersistentVolumeClaim", "spec: {volumeName: pv-1}"),
        object("v1", "PersistentVolumeClaim", "spec: {dataSourceRef: {namespace: other, kind: PersistentVolumeClaim, name: x}}"),
        object("v1", "Secret", "type: kubernetes.io/service-account-token"),
        // doors
        object("v1", "Service", "spec: {type: NodePort}"),
        object("v1", "Service", "spec: {type: LoadBalancer}"),
        object("v1", "Service", "spec: {type: ExternalName}"),
        object("v1", "Service", "spec: {externalIPs: [1.2.3.4]}"),
        ingress("spec: {rules: [{host: shop.example.com}]}"),
        ingress("spec: {rules: [{host: pr-13.preview.example.com}]}"),
        ingress("spec: {rules: [{host: '*.12.preview.example.com'}]}"),
        ingress("spec: {rules: [{http: {}}]}"),
        ingress("spec: {defaultBackend: {service: {name: a}}}"),
        ingress("spec: {tls: [{hosts: [shop.example.com]}]}"),
        object("gateway.networking.k8s.io/v1", "HTTPRoute", "spec: {}"),
        object("gateway.networking.k8s.io/v1", "HTTPRoute", "spec: {hostnames: [shop.example.com]}"),
        object("gateway.networking.k8s.io/v1", "HTTPRoute", "spec: {hostnames: [pr-12.preview.example.com], rules: [{backendRefs: [{name: a, namespace: other}]}]}"),
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: a, annotations: {nginx.ingress.kubernetes.io/server-snippet: x}}\n".into(),
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: a, annotations: {nginx.ingress.kubernetes.io/server-alias: shop.example.com}}\n".into(),
        "apiVersion: v1\nkind: Service\nmetadata: {name: a, annotations: {external-dns.alpha.kubernetes.io/hostname: shop.example.com}}\n".into(),
    ];
    let mut seen = Vec::new();
    for text in wrong {
        let found = errors(&text);
        assert_eq!(found.len(), 1, "{text}\n{found:?}");
        assert!(
            found[0].starts_with(ReasonCode::PolicyRefused.as_str()),
            "{}",
            found[0]
        );
        seen.extend(found);
    }
    insta::assert_snapshot!(seen.join("\n"));
}

#[test]
fn values_that_must_be_text_are_told_before_the_server_is_asked() {
    for text in [
        container("env: [{name: A, value: 8080}]"),
        object("v1", "ConfigMap", "data: {a: true}"),
        object("v1", "Secret", "stringData: {a: 1}"),
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, labels: {a: 1}}\n".into(),
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, labels: x}\n".into(),
        object(
            "apps/v1",
            "Deployment",
            "spec: {template: {metadata: {annotations: [x]}}}",
        ),
    ] {
        let found = errors(&text);
        assert_eq!(found.len(), 1, "{text}\n{found:?}");
        assert!(
            found[0].starts_with(ReasonCode::BadManifest.as_str()),
            "{}",
            found[0]
        );
    }
}

#[test]
fn all_violations_of_all_objects_are_reported_at_once_with_line_field_and_remedy() {
    let text = "apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  namespace: default
spec:
  template:
    spec:
      hostNetwork: true
      containers:
        - name: a
          image: b
          ports:
            - containerPort: 80
              hostPort: 80
          securityContext:
            privileged: true
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: x
---
apiVersion: v1
kind: Secret
metadata:
  name: s
  annotations:
    preview-action/url: https://hunter2
stringData:
  password: hunter2
";
    let rendered = [Rendered {
        file: "deploy/app.yaml".into(),
        text: text.into(),
        built_in: false,
    }];
    let errors = assemble(&plan(), &rendered).unwrap_err();
    assert!(!errors.to_string().contains("hunter2"));
    insta::assert_snapshot!(errors);
}

#[test]
fn strange_shapes_are_told_or_passed_on_and_never_crash() {
    for kind in [
        "Pod",
        "Deployment",
        "Service",
        "Ingress",
        "HTTPRoute",
        "CronJob",
        "Secret",
        "HorizontalPodAutoscaler",
    ] {
        let api = match kind {
            "Deployment" => "apps/v1",
            "CronJob" => "batch/v1",
            "Ingress" => "networking.k8s.io/v1",
            "HTTPRoute" => "gateway.networking.k8s.io/v1",
            "HorizontalPodAutoscaler" => "autoscaling/v2",
            _ => "v1",
        };
        for rest in [
            "spec: 1",
            "spec: []",
            "spec: {template: x, jobTemplate: [], ports: {}, rules: 1, hostnames: {}, selector: 1, scaleTargetRef: x}",
            "spec: {template: {metadata: 1, spec: [x]}}",
            "spec: {template: {spec: {containers: [1, {env: 1, ports: [x]}], volumes: x}}}",
            "spec: {containers: {}, securityContext: 1}",
            "data: 1\nstringData: []",
        ] {
            let found = errors(&object(api, kind, rest));
            assert!(found.len() < 10, "{found:?}");
        }
    }
}

#[test]
fn what_to_wait_for_is_read_before_anything_is_applied() {
    let annotated = |annotations: &str| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n  annotations:\n    {annotations}\n"
        )
    };
    for right in [
        "preview-action/wait-for: .status.phase=Active",
        "preview-action/wait-for: '.status.conditions[?(@.type==\"Ready\")].status=True'",
        "preview-action/timeout: 90s",
    ] {
        assert_eq!(errors(&annotated(right)), Vec::<String>::new(), "{right}");
    }
    let found = errors(&annotated(
        "preview-action/wait-for: status.phase\n    preview-action/timeout: soon",
    ));
    assert_eq!(
        found,
        [
            "bad-manifest app.yaml:6:5: ConfigMap/a: metadata.annotations.preview-action/wait-for: `=` and the value are missing",
            "bad-manifest app.yaml:7:5: ConfigMap/a: metadata.annotations.preview-action/timeout: is no time with its unit, such as `90s`",
        ]
    );
    let other = errors(&annotated("preview-action/wait: x"));
    assert!(other[0].starts_with("policy-refused"), "{other:?}");
}
