//! Holds the workflows of `docs/workflows` to what the action has, and to what the README says of them.
//! It runs none of them; `actionlint` reads them in CI.
//! People paste them whole, so what they promise about secrets and approvals is tested here.

use super::{VERSION, fences, read, repository, root};
use preview_action::inputs::{RawInputs, Settings, registry::INPUTS};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const FILES: [&str; 4] = [
    "docs/workflows/build-and-deploy.yml",
    "docs/workflows/after-a-build.yml",
    "docs/workflows/approval.yml",
    "docs/workflows/enterprise-harbor.yml",
];

fn jobs(file: &str) -> BTreeMap<String, Value> {
    let workflow: Value = serde_saphyr::from_str(&read(file)).unwrap();
    serde_json::from_value(workflow["jobs"].clone()).unwrap()
}

/// What a job gives the action, if it uses it.
fn with(job: &Value) -> Option<Value> {
    let steps = job["steps"].as_array().unwrap();
    let uses = format!("{}@v{VERSION}", repository());
    let step = steps.iter().find(|step| step["uses"] == uses.as_str())?;
    Some(step["with"].clone())
}

#[test]
fn all_are_named_and_linked() {
    let folder = root().join("docs/workflows");
    let found = std::fs::read_dir(folder).unwrap();
    assert_eq!(found.count(), FILES.len());
    for file in FILES {
        assert!(read("README.md").contains(&format!("({file})")), "{file}");
    }
}

#[test]
fn every_input_exists_and_is_accepted() {
    for file in FILES {
        let given: Vec<Value> = jobs(file).values().filter_map(with).collect();
        assert!(!given.is_empty(), "{file} uses another version");
        for with in given {
            let with = with.as_object().unwrap();
            for name in with.keys() {
                assert!(INPUTS.iter().any(|input| input.name == name), "{name}");
            }
            let plain = with
                .iter()
                .map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()))
                .filter(|(_, value)| !value.contains("${{"));
            Settings::parse(&plain.collect::<RawInputs>())
                .unwrap_or_else(|error| panic!("{file}: {error}"));
        }
    }
}

#[test]
fn all_remove_and_sweep_and_hold_no_group() {
    for file in FILES {
        let workflow: Value = serde_saphyr::from_str(&read(file)).unwrap();
        let on = &workflow["on"];
        assert_eq!(
            on["pull_request_target"]["types"],
            json!(["closed"]),
            "{file}"
        );
        assert_eq!(on["schedule"][0]["cron"], "*/5 * * * *", "{file}");
        assert_eq!(on["issue_comment"]["types"], json!(["created"]), "{file}");
        assert!(!read(file).contains("concurrency"), "{file}");
    }
}

#[test]
fn a_plan_gets_no_secret_and_waits_for_nobody() {
    for file in [
        "docs/workflows/build-and-deploy.yml",
        "docs/workflows/approval.yml",
    ] {
        let jobs = jobs(file);
        let plan = &jobs["plan"];
        assert!(
            plan["environment"].is_null() && plan["needs"].is_null(),
            "{file}"
        );
        assert!(!plan.to_string().contains("secrets."), "{file}");
        assert_eq!(with(plan).unwrap()["mode"], "plan", "{file}");
        let run = &jobs["preview"];
        let sha = "${{ needs.plan.outputs.sha }}";
        assert_eq!(
            with(run).unwrap()["sha"],
            sha,
            "{file}: exactly what was planned"
        );
    }
}

#[test]
fn only_what_was_decided_to_be_deployed_is_built() {
    let jobs = jobs("docs/workflows/build-and-deploy.yml");
    let build = &jobs["build"];
    assert_eq!(build["if"], "needs.plan.outputs.decision == 'deploy'");
    assert_eq!(
        build["steps"][0]["with"],
        json!({"ref": "${{ needs.plan.outputs.sha }}", "persist-credentials": false})
    );
    assert!(!build.to_string().contains("secrets."));
    let words = ["plan", "preview"].map(|job| with(&jobs[job]).unwrap()["deploy-command"].clone());
    assert_eq!(words, ["/build-and-deploy", "/build-and-deploy"]);
}

#[test]
fn deploys_wait_for_approval_and_removals_do_not() {
    let jobs = jobs("docs/workflows/approval.yml");
    let gated: Vec<&String> = jobs
        .iter()
        .filter(|(_, job)| !job["environment"].is_null())
        .map(|(name, _)| name)
        .collect();
    assert_eq!(gated, ["preview"]);
    assert_eq!(
        jobs["preview"]["environment"], "preview",
        "one, made beforehand"
    );
    assert_eq!(with(&jobs["plan"]).unwrap()["approval-gate"], "true");
    // Whatever brings a new commit into the cluster passes the environment, and everything else does not.
    let decisions = r#"fromJSON('["deploy", "approve", "wake"]')"#;
    let condition = jobs["preview"]["if"].as_str().unwrap();
    assert_eq!(
        condition,
        format!("contains({decisions}, needs.plan.outputs.decision)")
    );
    let rest = jobs["rest"]["if"].as_str().unwrap();
    for decision in ["deploy", "approve", "wake", "ignore"] {
        assert!(
            rest.starts_with("!contains(") && rest.contains(&format!("\"{decision}\"")),
            "{rest}"
        );
    }
    let rest = with(&jobs["rest"]).unwrap();
    assert_eq!(
        (&rest["auto-deploy"], &rest["promote"]),
        (&json!("false"), &json!("dispatch"))
    );
    assert_eq!(with(&jobs["preview"]).unwrap()["promote"], "dispatch");
    for job in ["preview", "rest"] {
        assert_eq!(jobs[job]["permissions"]["actions"], "write", "starts runs");
    }
}

/// Between a plan that decides to deploy and the job that does are builds and approvals, which end in many ways and tell nobody.
#[test]
fn each_way_a_decided_deploy_can_end_has_a_job_that_tells_of_it() {
    for (file, what, gate) in [
        ("docs/workflows/build-and-deploy.yml", "build", "unbuilt"),
        ("docs/workflows/approval.yml", "preview", "ended"),
    ] {
        let jobs = jobs(file);
        // What stands between: what the deploy needs besides the plan, and the environment that it waits for itself.
        let preview = &jobs["preview"];
        let needs = preview["needs"].as_array().into_iter().flatten();
        let mut between: Vec<_> = needs.filter(|job| *job != "plan").cloned().collect();
        if preview["environment"].is_string() {
            between.push(json!("preview"));
        }
        assert_eq!(between, [what], "{file}");
        let tells = |job: &&Value| with(job).is_some_and(|with| with["approval-gate"] == gate);
        let teller = jobs.values().find(tells);
        let teller = teller.unwrap_or_else(|| panic!("{file}: nobody tells how `{what}` ended"));
        let needs = teller["needs"].as_array().unwrap();
        assert!(
            needs.contains(&json!(what)) && needs.contains(&json!("preview")),
            "{file}"
        );
        let condition = teller["if"].as_str().unwrap();
        assert!(condition.starts_with("always() && "), "{file}: {condition}");
        let told = match gate {
            "ended" => format!("[\"failure\", \"cancelled\"]'), needs.{what}.result"),
            _ => format!(
                "(needs.{what}.result != 'success' || contains(fromJSON('[\"skipped\", \"cancelled\"]'), needs.preview.result))"
            ),
        };
        assert!(condition.contains(&told), "{file}: {condition}");
        let (with, plan) = (with(teller).unwrap(), with(&jobs["plan"]).unwrap());
        assert_eq!(
            (&with["mode"], &with["sha"], &with["deploy-command"]),
            (
                &json!("plan"),
                &json!("${{ needs.plan.outputs.sha }}"),
                &plan["deploy-command"]
            ),
            "{file}"
        );
        assert!(!teller.to_string().contains("secrets."), "{file}");
    }
}

/// `sweep` is about no pull request and most commands are about no commit: a form that asks for either forbids them.
#[test]
fn no_form_asks_for_what_some_command_must_leave_empty() {
    let read = |file: &str| (file.to_owned(), read(file));
    let workflows = FILES
        .map(read)
        .into_iter()
        .map(|(file, text)| (file, vec![text]));
    let pages = ["README.md", "templates/README.md"].map(read);
    let pages = pages.into_iter().map(|(file, text)| {
        let fences = fences(&text, "yaml").map(str::to_owned).collect();
        (file, fences)
    });
    let mut forms = 0;
    for (file, texts) in workflows.chain(pages) {
        for text in texts
            .iter()
            .filter(|text| text.contains("workflow_dispatch: {"))
        {
            let form = text
                .lines()
                .find(|line| line.contains("workflow_dispatch: {"));
            let form: Value = serde_saphyr::from_str(form.unwrap()).unwrap();
            let inputs = form["workflow_dispatch"]["inputs"].as_object().unwrap();
            for (name, input) in inputs {
                assert!(
                    name == "command" || input["required"] != true,
                    "{file}: {name}"
                );
            }
            forms += 1;
        }
    }
    assert!(forms >= 4, "{forms}");
}

/// What the Enterprise Server example is for: another registry, another authority, a proxy, and no word of GitHub's own hosts.
#[test]
fn behind_a_proxy_everything_comes_from_ones_own_servers() {
    let file = "docs/workflows/enterprise-harbor.yml";
    let job = &jobs(file)["preview"];
    let with = with(job).unwrap();
    let own = |key: &str| with[key].as_str().unwrap().contains("harbor");
    assert!(own("images") && own("pull-secret"), "{with}");
    assert!(with["ca-bundle"].as_str().unwrap().contains("vars."));
    let proxied = ["HTTPS_PROXY", "NO_PROXY"].map(|name| job["env"][name].is_string());
    assert_eq!(proxied, [true, true]);
    for host in ["ghcr.io", "github.com", "GITHUB_API_URL"] {
        assert!(!read(file).contains(host), "{host}");
    }
}

/// Each job that acts has what a run cannot do without, and what its inputs ask for.
#[test]
fn jobs_have_the_rights_that_their_inputs_need() {
    for file in FILES {
        let workflow: Value = serde_saphyr::from_str(&read(file)).unwrap();
        for (name, job) in jobs(file) {
            let Some(with) = with(&job) else {
                continue;
            };
            let rights = match &job["permissions"] {
                Value::Null => &workflow["permissions"],
                own => own,
            };
            assert_eq!(rights["contents"], "read", "{file}: {name}");
            assert_eq!(rights["pull-requests"], "write", "{file}: {name}");
            let starts = with["promote"] == "dispatch";
            assert_eq!(rights["actions"] == "write", starts, "{file}: {name}");
            if with["mode"] == "plan" {
                continue;
            }
            assert_eq!(rights["statuses"], "write", "{file}: {name}");
            // Two jobs of one workflow speak of the same previews.
            let gated = workflow.to_string().contains("\"environment\":");
            let off = with["deployment"] == "off";
            assert_eq!(off, gated, "{file}: {name}: GitHub makes its own");
            assert_ne!(rights["deployments"] == "write", off, "{file}: {name}");
            let sweeps = job["environment"].is_null();
            assert_eq!(rights["issues"] == "write", sweeps, "{file}: {name}");
        }
    }
}
