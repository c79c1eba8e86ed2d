//! Holds the pods of a workload to the `baseline` of pod security, and to what a preview is.
//! It reads descriptions of pods, wherever a kind keeps them.
//! The cluster would refuse most of this as well, but only when the pod is made, minutes later and without a line number.

use super::{Check, is_on, is_set, items};
use crate::inputs::configuration::Allowance;
use serde_json::Value;

/// Capabilities that the `baseline` of pod security lets a container add.
const CAPABILITIES: &[&str] = &[
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// Settings of the kernel that the `baseline` lets a pod change, because they are the pod's own.
const SYSCTLS: &[&str] = &[
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_wmem",
];

/// SELinux types that the `baseline` lets a container have.
const SELINUX: &[&str] = &[
    "container_engine_t",
    "container_init_t",
    "container_kvm_t",
    "container_t",
];

/// Fields that only descriptions of pods have.
const PODS: &[&str] = &[
    "containers",
    "initContainers",
    "hostIPC",
    "hostNetwork",
    "hostPID",
];

/// Seconds that a pod may take to end: removal has five minutes for everything.
const LONGEST_END: u64 = 240;

impl Check<'_> {
    /// A description of pods: `metadata` and `spec`.
    pub(super) fn pod(&mut self, base: &[&str], pod: &Value) {
        let unconfined = |value: &Value| value.as_str().is_some_and(|text| text == "unconfined");
        let annotations = pod.pointer("/metadata/annotations");
        for (key, value) in annotations.and_then(Value::as_object).into_iter().flatten() {
            if key.starts_with("container.apparmor.security.beta.kubernetes.io/")
                && unconfined(value)
            {
                self.refuse(
                    &[base, &["metadata", "annotations", key]].concat(),
                    "switches the node's protection off",
                    "leave it out",
                );
            }
        }
        if let Some(spec) = pod.get("spec") {
            self.pod_spec(&[base, &["spec"]].concat(), spec);
        }
    }

    /// Descriptions of pods, and parts of them, wherever they stand in an object of a kind that the policy has opened.
    pub(super) fn pods_anywhere(&mut self, value: &Value, path: &[&str]) {
        match value {
            Value::Object(fields) => {
                if PODS.iter().any(|field| fields.contains_key(*field)) {
                    self.pod_spec(path, value);
                }
                for (key, value) in fields {
                    let deeper = [path, &[key]].concat();
                    match key.as_str() {
                        "securityContext" => self.security(path, Some(value)),
                        "hostPath" if is_set(Some(value)) => self.refuse_folder(&deeper),
                        _ => {}
                    }
                    self.pods_anywhere(value, &deeper);
                }
            }
            Value::Array(list) => {
                for (index, item) in list.iter().enumerate() {
                    let index = index.to_string();
                    self.pods_anywhere(item, &[path, &[&index]].concat());
                }
            }
            _ => {}
        }
    }

    fn pod_spec(&mut self, base: &[&str], spec: &Value) {
        let nodes = ["hostNetwork", "hostPID", "hostIPC", "hostUsers"];
        for field in nodes.into_iter().filter(|field| is_on(spec.get(*field))) {
            self.refuse_at(
                base,
                &[field],
                "gives the pod the node's own",
                "leave it out",
            );
        }
        if is_set(spec.get("nodeName")) {
            self.refuse_at(
                base,
                &["nodeName"],
                "puts the pod on a node without asking the scheduler",
                "use `nodeSelector`",
            );
        }
        if is_set(spec.get("ephemeralContainers")) {
            self.refuse_at(
                base,
                &["ephemeralContainers"],
                "can only be added to a pod that runs",
                "use `containers` or `initContainers`",
            );
        }
        self.priority(base, spec);
        self.end(base, spec);
        self.identity(base, spec);
        self.security(base, spec.get("securityContext"));
        self.volumes(base, spec);
        for list in ["containers", "initContainers"] {
            for (index, container) in items(spec, &format!("/{list}")) {
                self.container(&[base, &[list, &index]].concat(), container);
            }
        }
    }

    fn priority(&mut self, base: &[&str], spec: &Value) {
        let field = [base, &["priorityClassName"]].concat();
        let class = spec.get("priorityClassName");
        if !is_set(class) {
            return;
        }
        let system = class
            .and_then(Value::as_str)
            .is_none_or(|class| class.starts_with("system-"));
        if system {
            let problem = "would push the cluster's own pods aside";
            return self.refuse(&field, problem, "leave it out");
        }
        self.refuse_unless(
            Allowance::PriorityClass,
            &field,
            "may push other pods of the cluster aside",
            "leave it out",
        );
    }

    /// How long pods take to end, and with them the removal.
    fn end(&mut self, base: &[&str], spec: &Value) {
        let field = "terminationGracePeriodSeconds";
        let long = match spec.get(field) {
            None | Some(Value::Null) => false,
            Some(seconds) => seconds.as_u64().is_none_or(|seconds| seconds > LONGEST_END),
        };
        if long {
            self.refuse_unless(
                Allowance::SlowTermination,
                &[base, &[field]].concat(),
                "lets a pod outlive the five minutes in which a preview is removed",
                &format!("write at most {LONGEST_END}"),
            );
        }
    }

    fn container(&mut self, base: &[&str], container: &Value) {
        for (index, port) in items(container, "/ports") {
            let free = |port: &Value| port.is_null() || port.as_u64() == Some(0);
            if port.get("hostPort").is_some_and(|port| !free(port)) {
                self.refuse_at(
                    base,
                    &["ports", &index, "hostPort"],
                    "takes a port of the node",
                    "leave it out and reach the pod through a Service",
                );
            }
        }
        for (index, variable) in items(container, "/env") {
            if let Some(value) = variable.get("value").filter(|value| !value.is_null()) {
                self.text(&[base, &["env", &index, "value"]].concat(), value);
            }
        }
        self.probes(base, container);
        self.security(base, container.get("securityContext"));
    }

    /// The node itself sends these requests, so that they reach what no pod may.
    fn probes(&mut self, base: &[&str], container: &Value) {
        const HANDLERS: &[&[&str]] = &[
            &["livenessProbe"],
            &["readinessProbe"],
            &["startupProbe"],
            &["lifecycle", "postStart"],
            &["lifecycle", "preStop"],
        ];
        for path in HANDLERS {
            for action in ["httpGet", "tcpSocket"] {
                let field = [path, &[action, "host"][..]].concat();
                let host = field
                    .iter()
                    .try_fold(container, |value, part| value.get(*part));
                if is_set(host) {
                    self.refuse_at(
                        base,
                        &field,
                        "makes the node ask another host than the pod",
                        "leave it out",
                    );
                }
            }
        }
    }

    /// The fields that pods and containers have alike, and those of containers.
    fn security(&mut self, base: &[&str], context: Option<&Value>) {
        let Some(context) = context else { return };
        let base = &[base, &["securityContext"]].concat()[..];
        let on: [(&[&str], _); 2] = [
            (&["privileged"], context.get("privileged")),
            (
                &["windowsOptions", "hostProcess"],
                context.pointer("/windowsOptions/hostProcess"),
            ),
        ];
        for (field, _) in on.iter().filter(|(_, value)| is_on(*value)) {
            self.refuse_at(base, field, "gives the container the node", "leave it out");
        }
        for (index, capability) in items(context, "/capabilities/add") {
            let name = capability.as_str().unwrap_or_default();
            if !CAPABILITIES.contains(&name.trim_start_matches("CAP_")) {
                self.refuse_at(
                    base,
                    &["capabilities", "add", &index],
                    format!("adds the capability `{name:.40}`"),
                    format!("leave it out; allowed are {}", CAPABILITIES.join(", ")),
                );
            }
        }
        let mount = context.get("procMount");
        if is_set(mount) && mount.is_some_and(|mount| mount != "Default") {
            self.refuse_at(
                base,
                &["procMount"],
                "shows the node's processes",
                "leave it out",
            );
        }
        for profile in ["seccompProfile", "appArmorProfile"] {
            if context
                .pointer(&format!("/{profile}/type"))
                .is_some_and(|kind| kind == "Unconfined")
            {
                self.refuse_at(
                    base,
                    &[profile, "type"],
                    "switches the node's protection off",
                    "write RuntimeDefault or leave it out",
                );
            }
        }
        self.selinux(base, context);
        for (index, sysctl) in items(context, "/sysctls") {
            let name = sysctl
                .get("name")
                .and_then(Value::as_str)
                .unwrap_or_default();
            if !SYSCTLS.contains(&name) {
                self.refuse_at(
                    base,
                    &["sysctls", &index],
                    format!("changes the kernel's setting `{name:.60}`"),
                    format!("leave it out; allowed are {}", SYSCTLS.join(", ")),
                );
            }
        }
    }

    fn selinux(&mut self, base: &[&str], context: &Value) {
        for field in ["user", "role", "type"] {
            let value = context.pointer(&format!("/seLinuxOptions/{field}"));
            let known = field == "type"
                && value
                    .and_then(Value::as_str)
                    .is_some_and(|value| SELINUX.contains(&value));
            if is_set(value) && !known {
                self.refuse_at(
                    base,
                    &["seLinuxOptions", field],
                    "gives the container other rights on the node",
                    "leave it out",
                );
            }
        }
    }

    fn refuse_at(
        &mut self,
        base: &[&str],
        field: &[&str],
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.refuse(&[base, field].concat(), problem, remedy);
    }
}
