//! Holds the pods of a workload to the `baseline` of pod security, and to what a preview is.
//! It reads descriptions of pods, wherever a kind keeps them.
//! The cluster would refuse most of this as well, but only when the pod is made, minutes later and without a line number.

use super::{Check, is_set, items};
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

/// Sources of volumes that stay within the Namespace.
const VOLUMES: &[&str] = &[
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "name",
    "persistentVolumeClaim",
    "projected",
    "secret",
];

impl Check<'_> {
    pub(super) fn pod(&mut self, base: &[&str], pod: &Value) {
        let base: Vec<&str> = base.iter().copied().chain(["spec"]).collect();
        let Some(spec) = pod.get("spec") else { return };
        for field in ["hostNetwork", "hostPID", "hostIPC"] {
            if is_on(spec.get(field)) {
                self.refuse_at(
                    &base,
                    &[field],
                    "gives the pod the node's own",
                    "leave it out",
                );
            }
        }
        if spec.get("hostUsers") == Some(&Value::Bool(true)) {
            self.refuse_at(
                &base,
                &["hostUsers"],
                "gives the pod the node's own",
                "leave it out",
            );
        }
        if spec
            .get("priorityClassName")
            .and_then(Value::as_str)
            .is_some_and(|class| class.starts_with("system-"))
        {
            self.refuse_at(
                &base,
                &["priorityClassName"],
                "would push the cluster's own pods aside",
                "leave it out",
            );
        }
        if is_set(spec.get("nodeName")) {
            self.refuse_at(
                &base,
                &["nodeName"],
                "puts the pod on a node without asking the scheduler",
                "use `nodeSelector`",
            );
        }
        self.security(&base, spec.get("securityContext"));
        for (index, volume) in items(spec, "/volumes") {
            self.volume(&[&base[..], &["volumes", &index]].concat(), volume);
        }
        for list in ["containers", "initContainers", "ephemeralContainers"] {
            for (index, container) in items(spec, &format!("/{list}")) {
                self.container(&[&base[..], &[list, &index]].concat(), container);
            }
        }
    }

    fn volume(&mut self, base: &[&str], volume: &Value) {
        for source in volume.as_object().into_iter().flatten().map(|(key, _)| key) {
            if !VOLUMES.contains(&source.as_str()) {
                self.refuse_at(
                    base,
                    &[source],
                    "is a volume from outside of the preview",
                    "use a PersistentVolumeClaim, `emptyDir`, a ConfigMap or a Secret",
                );
            }
        }
    }

    fn container(&mut self, base: &[&str], container: &Value) {
        for (index, port) in items(container, "/ports") {
            if port.get("hostPort").and_then(Value::as_u64).unwrap_or(0) != 0 {
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
        self.security(base, container.get("securityContext"));
    }

    /// The fields that pods and containers have alike, and those of containers.
    fn security(&mut self, base: &[&str], context: Option<&Value>) {
        let Some(context) = context else { return };
        let base = [base, &["securityContext"]].concat();
        if is_on(context.get("privileged")) {
            self.refuse_at(
                &base,
                &["privileged"],
                "gives the container the node",
                "leave it out",
            );
        }
        for (index, capability) in items(context, "/capabilities/add") {
            let name = capability.as_str().unwrap_or_default();
            if !CAPABILITIES.contains(&name.trim_start_matches("CAP_")) {
                self.refuse_at(
                    &base,
                    &["capabilities", "add", &index],
                    format!("adds the capability `{name:.40}`"),
                    format!("leave it out; allowed are {}", CAPABILITIES.join(", ")),
                );
            }
        }
        if context
            .get("procMount")
            .is_some_and(|mount| !mount.is_null() && mount != "Default")
        {
            self.refuse_at(
                &base,
                &["procMount"],
                "shows the node's processes",
                "leave it out",
            );
        }
        for profile in ["seccompProfile", "appArmorProfile"] {
            if context
                .get(profile)
                .and_then(|profile| profile.get("type"))
                .is_some_and(|kind| kind == "Unconfined")
            {
                self.refuse_at(
                    &base,
                    &[profile, "type"],
                    "switches the node's protection off",
                    "write RuntimeDefault or leave it out",
                );
            }
        }
        if is_on(context.pointer("/windowsOptions/hostProcess")) {
            self.refuse_at(
                &base,
                &["windowsOptions", "hostProcess"],
                "gives the container the node",
                "leave it out",
            );
        }
        if context
            .get("sysctls")
            .and_then(Value::as_array)
            .is_some_and(|sysctls| !sysctls.is_empty())
        {
            self.refuse_at(
                &base,
                &["sysctls"],
                "changes settings of the kernel",
                "leave it out",
            );
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

/// True for anything but absent, null and false, so that a wrong type does not slip through.
fn is_on(value: Option<&Value>) -> bool {
    !matches!(value, None | Some(Value::Null | Value::Bool(false)))
}
