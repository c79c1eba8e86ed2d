//! Throws any text at the fence: it must end in an error or in objects that hold nothing forbidden.
//! It judges what came out by itself, without the fence's own code.
//! The first byte says whether the default branch has opened what can be opened, so that both sides of every door are tried.

#![no_main]

use libfuzzer_sys::fuzz_target;
use preview_action::{
    inputs::{
        RawInputs, Settings,
        configuration::{Allowance, Configuration, Policy},
    },
    manifests::{Rendered, assemble_under},
    names::{PrNumber, RepoId},
    plan::{Facts, Plan, decide},
};
use serde_json::Value;
use std::sync::LazyLock;

static PLAN: LazyLock<Plan> = LazyLock::new(|| {
    let inputs = [("INPUT_DOMAIN".into(), "preview.example.test".into())];
    let settings = Settings::parse(&RawInputs::from_variables(inputs)).expect("settings");
    let text = "version: 1\nservices: {web: {image: w, public: true}}\n";
    let configuration = Configuration::parse("preview.yml", text).expect("configuration");
    let facts = Facts {
        repository: "acme/shop".parse().expect("a name"),
        repository_id: RepoId(1001),
        pr: PrNumber::new(1).expect("a number"),
        sha: "0123456789abcdef0123456789abcdef01234567"
            .parse()
            .expect("a commit"),
        branch: "main".into(),
        variant: None,
        now: "2026-01-01T00:00:00Z".parse().expect("a time"),
        own_run: true,
        fork: false,
        slot: None,
        extended: None,
        pinned: false,
    };
    decide(&settings, &configuration, &facts).expect("a plan")
});

static OPEN: LazyLock<Policy> = LazyLock::new(|| {
    let words: Vec<_> = Allowance::ALL.iter().map(|one| one.word()).collect();
    let text = format!(
        "policy: {{allow: [{}], hosts: ['*.example.com'], kinds: [{{api-version: example.com/v1, kind: Widget}}]}}",
        words.join(", ")
    );
    Policy::parse("preview.yml", &text).expect("a policy")
});

fuzz_target!(|data: &[u8]| {
    let Some((door, text)) = data.split_first() else {
        return;
    };
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    let closed = Policy::default();
    let policy = if door % 2 == 1 { &*OPEN } else { &closed };
    let rendered = [Rendered {
        file: "app.yaml".into(),
        text: text.into(),
        built_in: false,
    }];
    match assemble_under(&PLAN, policy, &rendered) {
        Ok(set) => {
            for manifest in &set.objects {
                judge(&manifest.id.kind, &manifest.object);
            }
        }
        Err(errors) => assert!(!errors.0.is_empty() && errors.0.len() <= 100),
    }
});

/// What no setting opens.
fn judge(kind: &str, object: &Value) {
    let metadata = &object["metadata"];
    assert_eq!(metadata["namespace"], PLAN.namespace.as_str(), "{object}");
    for field in ["finalizers", "ownerReferences"] {
        let marks = &metadata[field];
        assert!(
            marks.is_null() || marks.as_array().is_some_and(Vec::is_empty),
            "{object}"
        );
    }
    for kinds in [
        "Namespace",
        "Node",
        "Role",
        "RoleBinding",
        "PersistentVolume",
    ] {
        assert_ne!(kind, kinds, "{object}");
    }
    let path = match kind {
        "Pod" => "/spec",
        "CronJob" => "/spec/jobTemplate/spec/template/spec",
        "Deployment" | "StatefulSet" | "DaemonSet" | "Job" => "/spec/template/spec",
        _ => return,
    };
    let Some(pod) = object.pointer(path) else {
        return;
    };
    for field in ["hostNetwork", "hostPID", "hostIPC"] {
        assert_ne!(pod[field], true, "{object}");
    }
    for volume in list(&pod["volumes"]) {
        assert!(volume["hostPath"].is_null(), "{object}");
    }
    for containers in ["containers", "initContainers", "ephemeralContainers"] {
        for container in list(&pod[containers]) {
            let context = &container["securityContext"];
            assert_ne!(context["privileged"], true, "{object}");
            let added = list(&context["capabilities"]["add"]);
            for capability in added {
                assert_ne!(capability, "SYS_ADMIN", "{object}");
                assert_ne!(capability, "ALL", "{object}");
            }
        }
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}
