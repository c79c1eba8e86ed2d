#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::{
    inputs::configuration::{Allowance, Policy},
    manifests::{ManifestErrors, ManifestSet, Rendered, assemble, assemble_under},
    names::ReasonCode,
    plan::{Plan, fixtures},
};

pub(super) fn plan() -> Plan {
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

/// One file of the repository under a policy.
pub(super) fn judged(policy: &Policy, text: &str) -> Result<ManifestSet, ManifestErrors> {
    let rendered = [Rendered {
        file: "app.yaml".into(),
        text: text.into(),
        built_in: false,
    }];
    assemble_under(&plan(), policy, &rendered)
}

fn object(api: &str, kind: &str, rest: &str) -> String {
    format!("apiVersion: {api}\nkind: {kind}\nmetadata: {{name: a}}\n{rest}\n")
}

fn pod(spec: &str) -> String {
    let containers = "containers: [{name: a, image: b}]";
    object("v1", "Pod", &format!("spec: {{{containers}, {spec}}}"))
}

pub(super) fn container(fields: &str) -> String {
    let container = format!("{{name: a, image: b, {fields}}}");
    object(
        "apps/v1",
        "Deployment",
        &format!("spec: {{template: {{spec: {{containers: [{container}]}}}}}}"),
    )
}

pub(super) fn ingress(rest: &str) -> String {
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
        pod("serviceAccountName: default, automountServiceAccountToken: false, terminationGracePeriodSeconds: 60"),
        format!(
            "{}---\n{}",
            object("v1", "ServiceAccount", ""),
            pod("serviceAccountName: a, automountServiceAccountToken: true, volumes: [{name: t, projected: {sources: [{serviceAccountToken: {path: t}}]}}]")
        ),
        pod("securityContext: {sysctls: [{name: net.ipv4.tcp_keepalive_time, value: '60'}], seLinuxOptions: {type: container_t, level: 's0:c1'}, runAsUser: 0}"),
        pod("shareProcessNamespace: true, runtimeClassName: gvisor, hostAliases: [{ip: 1.1.1.1, hostnames: [x]}]"),
        container("livenessProbe: {httpGet: {path: /, port: 80}}, lifecycle: {preStop: {exec: {command: [sleep, '5']}}}"),
        object("networking.k8s.io/v1", "NetworkPolicy", "spec: {podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8}}]}, {}], egress: [{to: [{podSelector: {}}]}]}"),
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, annotations: {preview-action/keep: 'true', preview-action/timeout: 2m, preview-action/wait-for: .a=b, preview-action/recreate: 'true', preview-action/prune: 'true', preview-action/run-first: 'true', app.kubernetes.io/x: a}}\ndata: {metadata: finalizers}\n".into(),
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: a, annotations: {nginx.ingress.kubernetes.io/rewrite-target: /$2, nginx.ingress.kubernetes.io/auth-secret: users, cert-manager.io/cluster-issuer: x}}\nspec: {rules: [{host: pr-12.preview.example.com}]}\n".into(),
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
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: preview-applyset}\n".into(),
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: preview-last-failure}\n".into(),
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
        object("v1", "PersistentVolumeClaim", "spec: {selector: {matchLabels: {a: b}}}"),
        pod("volumes: [{name: a, ephemeral: {volumeClaimTemplate: {spec: {volumeName: pv-1}}}}]"),
        pod("volumes: [{name: a, csi: {driver: nfs.csi.k8s.io}}]"),
        // identities
        pod("serviceAccountName: builder"),
        pod("automountServiceAccountToken: true"),
        pod("volumes: [{name: a, projected: {sources: [{serviceAccountToken: {path: t, audience: vault}}]}}]"),
        "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: a, annotations: {eks.amazonaws.com/role-arn: x}}\n".into(),
        // what lasts
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, finalizers: [example.com/hold]}\n".into(),
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, ownerReferences: [{kind: Node}]}\n".into(),
        object("apps/v1", "StatefulSet", "spec: {volumeClaimTemplates: [{metadata: {finalizers: [example.com/hold]}}]}"),
        object("batch/v1", "CronJob", "spec: {jobTemplate: {metadata: {labels: {preview-action/state: ready}}}}"),
        pod("terminationGracePeriodSeconds: 86400"),
        pod("priorityClassName: production"),
        pod("securityContext: {seLinuxOptions: {type: spc_t}}"),
        container("livenessProbe: {httpGet: {host: 169.254.169.254, port: 80}}"),
        container("lifecycle: {postStart: {tcpSocket: {host: 10.0.0.1, port: 80}}}"),
        object("apps/v1", "Deployment", "spec: {template: {metadata: {annotations: {container.apparmor.security.beta.kubernetes.io/a: unconfined}}}}"),
        object("networking.k8s.io/v1", "NetworkPolicy", "spec: {podSelector: {}, egress: [{}]}"),
        object("networking.k8s.io/v1", "NetworkPolicy", "spec: {podSelector: {}, egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0}}]}]}"),
        object("cert-manager.io/v1", "Certificate", "spec: {}"),
        object("cert-manager.io/v1", "ClusterIssuer", "spec: {}"),
        object("gateway.networking.k8s.io/v1", "HTTPRoute", "spec: {parentRefs: [{kind: Service, name: a, namespace: other}], hostnames: [pr-12.preview.example.com]}"),
        object("gateway.networking.k8s.io/v1", "HTTPRoute", "spec: {hostnames: [pr-12.preview.example.com], rules: [{backendRefs: [{name: a, filters: [{requestMirror: {backendRef: {name: a, namespace: other}}}]}]}]}"),
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: a, annotations: {nginx.ingress.kubernetes.io/auth-url: http://10.0.0.1/}}\n".into(),
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: a, annotations: {nginx.ingress.kubernetes.io/auth-secret: kube-system/users}}\n".into(),
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: a, annotations: {alb.ingress.kubernetes.io/actions.x: '{}'}}\n".into(),
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: a, annotations: {cert-manager.io/common-name: shop.example.com}}\n".into(),
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

/// What each word of the policy opens, and that nothing else does.
#[test]
fn each_setting_opens_what_it_names_and_its_refusal_names_it() {
    let ours = "pr-12.preview.example.com";
    let cases = [
        ("allow: [load-balancer]", object("v1", "Service", "spec: {type: LoadBalancer, loadBalancerIP: 1.2.3.4}")),
        ("allow: [node-port]", object("v1", "Service", "spec: {type: NodePort}")),
        ("allow: [external-name]", object("v1", "Service", "spec: {type: ExternalName, externalName: db.example.com}")),
        ("allow: [service-account-token]", pod("automountServiceAccountToken: true")),
        ("allow: [cloud-identity]", "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: a, annotations: {iam.gke.io/x: account}}\n".into()),
        ("allow: [network-volumes]", pod("volumes: [{name: a, nfs: {server: x, path: /}}]")),
        ("allow: [existing-volumes]", object("v1", "PersistentVolumeClaim", "spec: {volumeName: pv-1}")),
        ("allow: [priority-class]", pod("priorityClassName: low")),
        ("allow: [open-egress]", object("networking.k8s.io/v1", "NetworkPolicy", "spec: {podSelector: {}, egress: [{}]}")),
        ("allow: [ingress-annotations]", format!("apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: a, annotations: {{nginx.ingress.kubernetes.io/auth-url: x}}}}\nspec: {{rules: [{{host: {ours}}}]}}\n")),
        ("allow: [slow-termination]", pod("terminationGracePeriodSeconds: 600")),
        ("hosts: [shop.example.com]", ingress("spec: {rules: [{host: shop.example.com}]}")),
        ("kinds: [{api-version: cert-manager.io/v1, kind: Certificate}]", object("cert-manager.io/v1", "Certificate", "spec: {}")),
    ];
    assert_eq!(cases.len(), Allowance::ALL.len() + 2);
    for (setting, text) in &cases {
        let refused = judged(&Policy::default(), text).unwrap_err().0;
        assert_eq!(refused.len(), 1, "{refused:?}");
        assert!(
            refused[0].remedy.ends_with(&format!(
                "or allow it in the default branch's configuration: `policy: {{{setting}}}`"
            )),
            "{}",
            refused[0].remedy
        );
        for (other, _) in &cases {
            let policy = Policy::parse("p", &format!("policy: {{{other}}}")).unwrap();
            assert_eq!(
                judged(&policy, text).is_ok(),
                other == setting,
                "{other}: {text}"
            );
        }
    }
}

#[test]
fn nothing_opens_the_node_the_cluster_or_other_namespaces() {
    let everything: Vec<_> = Allowance::ALL.iter().map(|one| one.word()).collect();
    let policy = format!(
        "policy: {{allow: [{}], hosts: ['*.example.com'], kinds: [{{api-version: example.com/v1, kind: Widget}}]}}",
        everything.join(", ")
    );
    let policy = Policy::parse("p", &policy).unwrap();
    for text in [
        pod("hostNetwork: true"),
        pod("volumes: [{name: a, hostPath: {path: /}}]"),
        pod("serviceAccountName: builder"),
        pod("priorityClassName: system-node-critical"),
        container("securityContext: {privileged: true}"),
        container("securityContext: {capabilities: {add: [NET_ADMIN]}}"),
        object("v1", "Service", "spec: {externalIPs: [1.2.3.4]}"),
        object("v1", "Service", "spec: {type: Unheard}"),
        object("v1", "Namespace", ""),
        object("rbac.authorization.k8s.io/v1", "Role", ""),
        ingress("spec: {defaultBackend: {service: {name: a}}}"),
        ingress("spec: {rules: [{host: '*.example.com'}]}"),
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: default}\n".into(),
        "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: a, namespace: default}\n"
            .into(),
        "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: a, finalizers: [x/y]}\n".into(),
        object(
            "example.com/v1",
            "Widget",
            "spec: {deep: [{template: {spec: {hostPID: true}}}]}",
        ),
        object(
            "example.com/v1",
            "Widget",
            "spec: {volumes: [{hostPath: {path: /}}]}",
        ),
        object(
            "example.com/v1",
            "Widget",
            "spec: {podSecurity: {securityContext: {privileged: true}}}",
        ),
        object("example.com/v2", "Widget", ""),
    ] {
        let refused = judged(&policy, &text).unwrap_err().0;
        assert_eq!(refused.len(), 1, "{text}\n{refused:?}");
        assert!(
            !refused[0].remedy.contains("policy:") || text.contains("v2"),
            "{}",
            refused[0]
        );
    }
}

#[test]
fn a_pod_without_an_account_of_its_own_gets_no_token() {
    let token = |policy: &str, text: &str| {
        let policy = Policy::parse("p", policy).unwrap();
        let set = judged(&policy, text).unwrap();
        let pod = set
            .objects
            .iter()
            .find(|object| object.id.kind == "Pod")
            .unwrap();
        pod.object["spec"]
            .get("automountServiceAccountToken")
            .cloned()
    };
    let own = format!(
        "{}---\n{}",
        object("v1", "ServiceAccount", ""),
        pod("serviceAccountName: a")
    );
    assert_eq!(
        token("policy: {}", &pod("restartPolicy: Never")),
        Some(false.into())
    );
    assert_eq!(
        token(
            "policy: {allow: [service-account-token]}",
            &pod("restartPolicy: Never")
        ),
        None
    );
    assert_eq!(token("policy: {}", &own), None);
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
fn a_workload_that_keda_scales_has_no_replicas_of_ours() {
    let policy = "policy: {kinds: [{api-version: keda.sh/v1alpha1, kind: ScaledObject}]}";
    let policy = Policy::parse("p", policy).unwrap();
    let workload = "spec: {replicas: 3, template: {spec: {containers: [{name: a, image: b}]}}}";
    let replicas = |target: &str| {
        let text = format!(
            "{}---\n{}",
            object("apps/v1", "Deployment", workload),
            object(
                "keda.sh/v1alpha1",
                "ScaledObject",
                &format!("spec: {{scaleTargetRef: {target}}}")
            )
        );
        let set = judged(&policy, &text).unwrap();
        let found = set.objects.iter().find(|one| one.id.kind == "Deployment");
        found.unwrap().object["spec"].get("replicas").cloned()
    };
    assert_eq!(replicas("{name: a}"), None);
    assert_eq!(replicas("{name: b}"), Some(3.into()));
    assert_eq!(replicas("{kind: StatefulSet, name: a}"), Some(3.into()));
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
