//! Holds together what says the same thing in several places: action.yml, the code's registry, the READMEs, Dockerfile and workflows.
//! It knows files and their formats, and nothing about how a preview is made.
//! What is said twice drifts; `UPDATE_DOCS=1 cargo test --test contract` writes the parts that can be written.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use preview_action::{
    cluster::{LAST_GOOD, kinds::KINDS},
    inputs::{
        RawInputs, Settings,
        configuration::{Allowance, Configuration},
        registry::{INPUTS, InputSpec, OUTPUTS, OutputSpec},
    },
    names::State,
};
use serde_json::Value;
use std::{collections::BTreeSet, fmt::Write as _, fs, path::PathBuf, sync::Mutex};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// `owner/name` on GitHub, and below ghcr.io.
fn repository() -> &'static str {
    env!("CARGO_PKG_REPOSITORY")
        .strip_prefix("https://github.com/")
        .unwrap()
}

#[path = "contract/gallery.rs"]
mod gallery;
#[path = "contract/mirror.rs"]
mod mirror;
#[path = "contract/permissions.rs"]
mod permissions;
#[path = "threats/list.rs"]
mod threats;
#[path = "contract/workflows.rs"]
mod workflows;

mod action {
    use super::*;

    #[test]
    fn inputs_are_those_of_the_registry() {
        let action = yaml("action.yml");
        let declared = action["inputs"].as_object().unwrap();
        let names: BTreeSet<&str> = declared.keys().map(String::as_str).collect();
        let known: BTreeSet<&str> = INPUTS.iter().map(|input| input.name).collect();
        assert_eq!(names, known);
        for InputSpec {
            name,
            purpose,
            default,
            example,
            required,
        } in INPUTS
        {
            let input = &declared[*name];
            assert_eq!(
                input["description"],
                format!("{purpose} Example: {example}"),
                "{name}"
            );
            assert_eq!(input["default"], *default, "{name}");
            assert_eq!(input["required"], *required, "{name}");
            assert!(
                !input["description"].as_str().unwrap().contains("${{"),
                "{name}: the runner evaluates expressions in descriptions, and fails on those it doesn't know"
            );
        }
    }

    #[test]
    fn outputs_are_those_of_the_registry() {
        let action = yaml("action.yml");
        let declared = action["outputs"].as_object().unwrap();
        let names: BTreeSet<&str> = declared.keys().map(String::as_str).collect();
        let known: BTreeSet<&str> = OUTPUTS.iter().map(|output| output.name).collect();
        assert_eq!(names, known);
        for OutputSpec { name, purpose } in OUTPUTS {
            assert_eq!(declared[*name]["description"], *purpose, "{name}");
        }
    }

    #[test]
    fn states_it_names_are_states() {
        let output = OUTPUTS
            .iter()
            .find(|output| output.name == "state")
            .unwrap();
        let named: Vec<&str> = output.purpose.split('`').skip(1).step_by(2).collect();
        assert!(named.len() > 5, "{named:?}");
        for word in named {
            let state: Result<State, _> = serde_json::from_value(Value::from(word));
            assert_eq!(state.unwrap().as_str(), word);
        }
    }

    #[test]
    fn order_is_the_same_too() {
        let text = read("action.yml");
        let names = INPUTS
            .iter()
            .map(|input| input.name)
            .chain(OUTPUTS.iter().map(|output| output.name));
        let mut from = 0;
        for name in names {
            let line = format!("\n  {name}:\n");
            from += text[from..]
                .find(&line)
                .unwrap_or_else(|| panic!("`{name}` stands too early in action.yml"));
        }
    }

    /// The defaults are what the runner hands over when a workflow sets nothing.
    #[test]
    fn defaults_are_what_the_code_does_without() {
        let given = INPUTS
            .iter()
            .filter(|input| !input.default.contains("${{"))
            .map(|input| (input.name.to_owned(), input.default.to_owned()));
        let settings = Settings::parse(&given.collect::<RawInputs>()).unwrap();
        let without = Settings::parse(&RawInputs::default()).unwrap();
        assert_eq!(settings, without);
    }

    #[test]
    fn examples_are_accepted_and_change_something() {
        // Patterns that name the domain need one.
        let base = [("domain".to_owned(), "previews.example.org".to_owned())];
        let without = Settings::parse(&base.iter().cloned().collect()).unwrap();
        for InputSpec { name, example, .. } in INPUTS {
            if example.starts_with("secrets.") || example.starts_with("vars.") {
                continue;
            }
            let given = [((*name).to_owned(), (*example).to_owned())];
            let raw: RawInputs = base.iter().cloned().chain(given).collect();
            let settings = Settings::parse(&raw).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(settings != without, "`{name}: {example}` changes nothing");
        }
    }

    #[test]
    fn names_survive_the_way_into_a_variable() {
        for name in INPUTS.iter().map(|input| input.name) {
            assert!(
                name.chars().all(|c| c.is_ascii_lowercase() || c == '-'),
                "{name}"
            );
        }
    }

    #[test]
    fn image_is_built_on_main_and_named_by_version_in_a_release() {
        let action = yaml("action.yml");
        assert_eq!(action["runs"]["using"], "docker");
        let image = action["runs"]["image"].as_str().unwrap();
        let published = format!("docker://ghcr.io/{}:{VERSION}@sha256:", repository());
        assert!(
            image == "Dockerfile" || image.starts_with(&published),
            "{image}"
        );
    }
}

mod readme {
    use super::*;

    #[test]
    fn tables_are_those_of_the_registry() {
        let mut inputs =
            String::from("| input | purpose | default | example |\n| --- | --- | --- | --- |\n");
        for InputSpec {
            name,
            purpose,
            default,
            example,
            ..
        } in INPUTS
        {
            let default = if default.is_empty() {
                String::new()
            } else {
                format!("`{default}`")
            };
            writeln!(inputs, "| `{name}` | {purpose} | {default} | `{example}` |").unwrap();
        }
        let mut outputs = String::from("| output | what it holds |\n| --- | --- |\n");
        for OutputSpec { name, purpose } in OUTPUTS {
            writeln!(outputs, "| `{name}` | {purpose} |").unwrap();
        }
        for (name, expected) in [("inputs", inputs), ("outputs", outputs)] {
            assert!(
                expected.lines().all(|line| {
                    let columns = line.matches(" | ").count();
                    columns == expected.lines().next().unwrap().matches(" | ").count()
                }),
                "a sentence in the table `{name}` contains a bar"
            );
            generated("README.md", name, &expected);
        }
    }

    /// The pictures are what the report's own tests hold to be the comment.
    #[test]
    fn pictures_are_the_comment() {
        for state in ["ready", "failed"] {
            let snapshot = read(&format!("src/report/snapshots/{state}.snap"));
            let (_, comment) = snapshot.split_once("<!-- preview-action v1 ").unwrap();
            let (_, comment) = comment.split_once("-->\n").unwrap();
            let mut picture = String::new();
            for line in comment.trim().lines() {
                writeln!(picture, "{}", format!("> {line}").trim_end()).unwrap();
            }
            generated("README.md", &format!("comment:{state}"), &picture);
        }
    }

    #[test]
    fn every_setting_of_the_policy_is_explained() {
        let mut table = String::from("| `allow` | what it allows |\n| --- | --- |\n");
        for allowance in Allowance::ALL {
            let purpose = allowance.purpose().trim();
            writeln!(table, "| `{}` | {purpose} |", allowance.word()).unwrap();
        }
        generated("templates/README.md", "policy", &table);
    }

    #[test]
    fn commands_are_those_of_the_help() {
        let mut commands = String::from("| comment | what it does |\n| --- | --- |\n");
        let help = read("templates/comment/help.md.j2");
        for row in help.lines().filter(|line| line.starts_with("| `/")) {
            writeln!(commands, "{row}").unwrap();
        }
        assert!(commands.lines().count() > 5, "{commands}");
        generated("README.md", "commands", &commands);
    }

    #[test]
    fn workflow_is_short_and_hears_everything() {
        let text = workflow();
        assert!(text.lines().count() < 27, "{} lines", text.lines().count());
        let workflow: Value = serde_saphyr::from_str(&text).unwrap();
        let on = &workflow["on"];
        assert_eq!(
            on["pull_request"]["types"],
            serde_json::json!(["opened", "synchronize", "reopened", "ready_for_review"])
        );
        assert_eq!(
            on["pull_request_target"]["types"],
            serde_json::json!(["closed"])
        );
        assert_eq!(on["issue_comment"]["types"], serde_json::json!(["created"]));
        assert_eq!(on["schedule"][0]["cron"], "*/5 * * * *");
        let dispatch: BTreeSet<&str> = on["workflow_dispatch"]["inputs"]
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        assert_eq!(dispatch, BTreeSet::from(["command", "pr", "sha"]));
        assert_eq!(on.as_object().unwrap().len(), 5);
        assert!(
            !text.contains("concurrency"),
            "a group drops waiting `closed` runs"
        );
        let job = workflow["jobs"]
            .as_object()
            .unwrap()
            .values()
            .next()
            .unwrap();
        assert!(
            job["if"]
                .as_str()
                .unwrap()
                .contains("startsWith(github.event.comment.body, '/')")
        );
    }

    #[test]
    fn workflow_gives_a_reason_for_each_permission() {
        let text = workflow();
        let (_, rest) = text.split_once("permissions:\n").unwrap();
        let permissions: Vec<&str> = rest
            .lines()
            .take_while(|line| line.starts_with("  "))
            .collect();
        let shown: Vec<&str> = permissions
            .iter()
            .map(|line| {
                line.split_once(" # ")
                    .unwrap_or_else(|| panic!("no reason: {line}"))
                    .0
                    .trim()
            })
            .collect();
        let expected = [
            "contents: read",
            "pull-requests: write",
            "statuses: write",
            "deployments: write",
            "issues: write",
        ];
        assert_eq!(shown, expected);
    }

    /// Who adds the workflow in a pull request and comments there would wait for an answer for ever.
    #[test]
    fn workflow_is_said_to_begin_on_the_default_branch() {
        let text = read("README.md");
        let (_, rest) = text.split_once("Save it as `.github/workflows/").unwrap();
        let (paragraph, _) = rest.split_once("\n\n").unwrap();
        for word in ["default branch", "merged", "comments", "schedule"] {
            assert!(paragraph.contains(word), "{word}");
        }
    }

    #[test]
    fn workflow_uses_this_version_and_inputs_that_exist() {
        let step = step();
        assert_eq!(
            step["uses"],
            format!("{}@v{VERSION}", repository()),
            "README.md names another version than Cargo.toml"
        );
        for name in step["with"].as_object().unwrap().keys() {
            assert!(
                INPUTS.iter().any(|input| input.name == name),
                "no input `{name}`"
            );
        }
    }

    #[test]
    fn workflow_and_configuration_are_accepted() {
        let raw: RawInputs = step()["with"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()))
            .filter(|(_, value)| !value.contains("${{"))
            .collect();
        let settings = Settings::parse(&raw).unwrap();
        assert_eq!(settings.images.len(), 1);

        let text = read("README.md");
        let (_, rest) = text.split_once("<!-- configuration -->").unwrap();
        let example = fences(rest, "yaml").next().unwrap();
        let configuration = Configuration::parse(".github/preview.yml", example)
            .unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(configuration.services.len(), 2);
        let schema = Configuration::schema();
        let value: Value = serde_saphyr::from_str(example).unwrap();
        let errors: Vec<String> = jsonschema::validator_for(&schema)
            .unwrap()
            .iter_errors(&value)
            .map(|error| error.to_string())
            .collect();
        assert!(errors.is_empty(), "{errors:?}");
    }

    #[test]
    fn every_image_it_names_is_of_this_version() {
        let image = format!("ghcr.io/{}:", repository());
        for file in ["README.md", "SECURITY.md", "CONTRIBUTING.md"] {
            let text = read(file);
            for (at, _) in text.match_indices(&image) {
                let tag: String = text[at + image.len()..]
                    .chars()
                    .take_while(|c| c.is_ascii_alphanumeric() || *c == '.' || *c == '-')
                    .collect();
                let tag = tag.trim_end_matches('.');
                assert!(
                    tag == VERSION || tag == "VERSION",
                    "{file} names {image}{tag}"
                );
            }
        }
        assert!(read("README.md").contains(&format!("{image}{VERSION}")));
    }

    #[test]
    fn two_commands_and_ci_runs_the_second() {
        let text = read("README.md");
        let commands: Vec<&str> = fences(&text, "sh").map(str::trim).take(2).collect();
        assert_eq!(commands, ["cargo run -- simulate", "cargo test"]);
        let runs = read(".ci/run");
        assert!(
            runs.lines().any(|line| {
                let line = line.trim();
                line == "cargo test" || line.ends_with(" cargo test")
            }),
            ".ci/run does not call the README's `cargo test` as it stands"
        );
    }

    #[test]
    fn files_it_links_to_exist() {
        for file in [
            "README.md",
            "CONTRIBUTING.md",
            "SECURITY.md",
            "tests/README.md",
            "src/README.md",
        ] {
            let text = read(file);
            let folder = root().join(file).parent().unwrap().to_owned();
            for (at, _) in text.match_indices("](") {
                let target: String = text[at + 2..].chars().take_while(|c| *c != ')').collect();
                let path = target.split('#').next().unwrap();
                if path.is_empty() || path.contains("://") {
                    continue;
                }
                assert!(folder.join(path).exists(), "{file} links to {target}");
            }
        }
    }

    /// The first YAML block: what people paste.
    fn workflow() -> String {
        let text = read("README.md");
        fences(&text, "yaml").next().unwrap().to_owned()
    }

    /// The step that deploys.
    fn step() -> Value {
        let workflow: Value = serde_saphyr::from_str(&workflow()).unwrap();
        let mut jobs = workflow["jobs"].as_object().unwrap().values();
        jobs.next().unwrap()["steps"][0].clone()
    }
}

mod packaging {
    use super::*;

    #[test]
    fn changelog_begins_with_this_version() {
        let text = read("CHANGELOG.md");
        let first = text
            .lines()
            .find_map(|line| line.strip_prefix("## "))
            .unwrap();
        assert_eq!(first, VERSION);
    }

    #[test]
    fn dockerfile_keeps_the_rules_of_container_actions() {
        let text = read("Dockerfile");
        let instructions: Vec<(String, &str)> = text
            .lines()
            .filter_map(|line| {
                let (word, rest) = line.split_once(' ')?;
                let instruction = word.chars().all(|c| c.is_ascii_uppercase());
                (instruction && !word.is_empty()).then(|| (word.to_owned(), rest))
            })
            .collect();
        for (word, rest) in &instructions {
            assert!(
                !["USER", "WORKDIR"].contains(&word.as_str()),
                "{word} {rest}: GitHub forbids it"
            );
            if word == "ENTRYPOINT" {
                let arguments: Vec<String> = serde_json::from_str(rest).unwrap();
                assert_eq!(
                    arguments,
                    ["/preview-action"],
                    "absolute, and no shell between"
                );
            }
        }
        let stages: Vec<&str> = instructions
            .iter()
            .filter(|(word, _)| word == "FROM")
            .map(|(_, rest)| *rest)
            .collect();
        assert_eq!(
            stages.first(),
            Some(&"scratch AS prebuilt"),
            "the legacy builder runs every earlier stage"
        );
        assert_eq!(stages.last(), Some(&"scratch"));
        let entrypoints = instructions
            .iter()
            .filter(|(word, _)| word == "ENTRYPOINT")
            .count();
        assert_eq!(entrypoints, 2, "one for each image");
        let rust = format!("rust:{}.", env!("CARGO_PKG_RUST_VERSION"));
        assert!(
            stages.iter().any(|stage| stage.starts_with(&rust)),
            "the build stage is not {rust}x"
        );
    }

    #[test]
    fn builder_is_given_what_the_prebuilt_stage_copies() {
        let (dockerfile, ignored) = (read("Dockerfile"), read(".dockerignore"));
        let stage = dockerfile.split("\nFROM ").nth(1).unwrap();
        let copied: Vec<&str> = stage
            .lines()
            .filter_map(|line| line.strip_prefix("COPY ")?.split(' ').next())
            .collect();
        assert_eq!(copied.len(), 1, "{copied:?}");
        for path in copied {
            assert!(
                ignored.lines().any(|line| line == format!("!{path}")),
                ".dockerignore keeps {path} out"
            );
            let script = read(".ci/image");
            let file = path.rsplit('/').next().unwrap();
            assert!(script.contains(file), ".ci/image does not make {path}");
        }
    }

    /// The Dockerfile's build stage sees only what .dockerignore lets through.
    #[test]
    fn builder_is_given_what_the_code_embeds() {
        let ignored = fs::read_to_string(root().join(".dockerignore")).unwrap();
        let given = ignored.lines().filter_map(|line| line.strip_prefix('!'));
        let given: Vec<_> = given
            .filter_map(|path| root().join(path).canonicalize().ok())
            .collect();
        let mut folders = vec![root().join("src")];
        let mut embedded = 0;
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                if path.extension().is_none_or(|extension| extension != "rs") {
                    continue;
                }
                let text = fs::read_to_string(&path).unwrap();
                // what tests embed is not built into the image
                let name = path.file_stem().unwrap().to_string_lossy();
                if name == "tests" || name.ends_with("_tests") {
                    continue;
                }
                let text = text.split("#[cfg(test)]").next().unwrap_or_default();
                for (at, word) in text.match_indices("include_str!(") {
                    let argument = text[at + word.len()..].trim_start();
                    let Some(argument) = argument.strip_prefix('"') else {
                        continue;
                    };
                    let file = path
                        .parent()
                        .unwrap()
                        .join(argument.split('"').next().unwrap());
                    let file = file.canonicalize().unwrap();
                    let inside = given.iter().any(|given| file.starts_with(given));
                    assert!(
                        inside,
                        "{} embeds {}, which .dockerignore keeps out",
                        path.display(),
                        file.display()
                    );
                    embedded += 1;
                }
            }
        }
        assert!(embedded > 0);
    }

    #[test]
    fn dogfood_uses_inputs_that_exist() {
        let workflow = yaml(".github/workflows/dogfood.yml");
        let mut steps = 0;
        for step in workflow["jobs"]["dogfood"]["steps"].as_array().unwrap() {
            if step["uses"] == "./.dogfood" {
                steps += 1;
                for name in step["with"].as_object().unwrap().keys() {
                    assert!(
                        INPUTS.iter().any(|input| input.name == name),
                        "no input `{name}`"
                    );
                }
            }
        }
        assert_eq!(steps, 2, "one success and one expected failure");
    }

    #[test]
    fn workflows_start_without_rights_and_pin_what_they_use() {
        let folder = root().join(".github/workflows");
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["ci.yml", "dogfood.yml", "kind.yml", "release.yml"]);
        for name in names {
            let path = format!(".github/workflows/{name}");
            let (text, workflow) = (read(&path), yaml(&path));
            assert_eq!(workflow["permissions"], serde_json::json!({}), "{name}");
            for (job, definition) in workflow["jobs"].as_object().unwrap() {
                assert!(
                    definition["timeout-minutes"].is_u64(),
                    "{name}: {job} has no time limit"
                );
                for step in definition["steps"].as_array().unwrap() {
                    let uses = step["uses"].as_str().unwrap_or_default();
                    if uses.starts_with("actions/checkout@") {
                        assert_eq!(
                            step["with"]["persist-credentials"], false,
                            "{name}: {job} leaves its token in the checkout"
                        );
                    }
                }
            }
            for line in text.lines().filter(|line| line.contains(" uses: ")) {
                let reference = line.split_once("uses: ").unwrap().1;
                if reference.starts_with("./") {
                    continue;
                }
                let (pin, version) = reference
                    .split_once('@')
                    .and_then(|(_, rest)| rest.split_once(" # v"))
                    .unwrap_or_else(|| panic!("{name}: not pinned with its version: {line}"));
                assert!(
                    pin.len() == 40 && pin.chars().all(|c| c.is_ascii_hexdigit()),
                    "{name}: {line}"
                );
                assert_eq!(version.split('.').count(), 3, "{name}: {line}");
            }
        }
    }

    #[test]
    fn release_writes_the_line_that_action_yml_has() {
        let release = read(".github/workflows/release.yml");
        assert!(release.contains("s|^  image: Dockerfile$|"));
        let action = read("action.yml");
        let lines: Vec<&str> = action
            .lines()
            .filter(|line| line.starts_with("  image: "))
            .collect();
        assert_eq!(lines.len(), 1, "{lines:?}");
    }
}

mod rights {
    use super::*;

    /// The one Secret that is read is named.
    #[test]
    fn only_the_last_good_set_is_read() {
        let documents = documents();
        let rules = documents
            .iter()
            .filter(|object| object["kind"] == "ClusterRole")
            .flat_map(|object| object["rules"].as_array().unwrap());
        let named: Vec<_> = rules
            .filter(|rule| !rule["resourceNames"].is_null())
            .map(|rule| (&rule["resources"], &rule["resourceNames"], &rule["verbs"]))
            .collect();
        let of = |word: &str| serde_json::json!([word]);
        let (secrets, name, verb) = (of("secrets"), of(LAST_GOOD), of("get"));
        assert_eq!(named, [(&secrets, &name, &verb)]);
    }

    #[test]
    fn secrets_are_written_and_never_read() {
        let verbs = verbs("", "secrets");
        assert_eq!(
            verbs,
            BTreeSet::from(["create", "delete", "patch"].map(str::to_owned))
        );
    }

    /// A kind that a preview may be made of and no rule allows would fail in the middle of a deploy; the other way round
    /// the account could write what the action never does.
    #[test]
    fn rules_allow_the_kinds_of_the_code_and_no_others() {
        let all = ["get", "list", "watch", "create", "patch", "delete"];
        let known = |group: &str, plural: &str| {
            KINDS
                .iter()
                .any(|kind| kind.group == group && kind.plural == plural)
        };
        for kind in KINDS {
            let expected: &[&str] = match kind.plural {
                "secrets" => &["create", "patch", "delete"],
                "events" | "replicasets" => &["get", "list", "watch"],
                "persistentvolumes" => &["get"],
                "nodes" => &["list"],
                _ => &all,
            };
            let expected: BTreeSet<String> =
                expected.iter().map(|verb| (*verb).to_owned()).collect();
            assert_eq!(verbs(kind.group, kind.plural), expected, "{}", kind.kind);
        }
        for object in documents() {
            if object["kind"] != "ClusterRole" {
                continue;
            }
            for rule in object["rules"].as_array().unwrap() {
                let written = !strings(&rule["verbs"]).is_disjoint(&strings(&serde_json::json!([
                    "create", "patch", "update", "delete"
                ])));
                for group in strings(&rule["apiGroups"]) {
                    for plural in strings(&rule["resources"]) {
                        assert!(
                            !written || known(&group, &plural),
                            "{plural} may be written"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn rights_are_not_handed_on() {
        for object in documents() {
            if !["Role", "ClusterRole"].contains(&object["kind"].as_str().unwrap()) {
                continue;
            }
            for rule in object["rules"].as_array().unwrap() {
                assert!(
                    !strings(&rule["apiGroups"]).contains("rbac.authorization.k8s.io"),
                    "{rule}"
                );
                for word in ["*", "escalate", "bind", "impersonate", "deletecollection"] {
                    for key in ["apiGroups", "resources", "verbs"] {
                        assert!(!strings(&rule[key]).contains(word), "{word} in {rule}");
                    }
                }
            }
        }
    }

    #[test]
    fn policy_holds_the_account_that_is_bound() {
        let objects = documents();
        let of_kind = |kind: &str| -> Vec<&Value> {
            objects
                .iter()
                .filter(|object| object["kind"] == kind)
                .collect()
        };
        let account = of_kind("ServiceAccount")[0];
        let user = format!(
            "system:serviceaccount:{}:{}",
            account["metadata"]["namespace"].as_str().unwrap(),
            account["metadata"]["name"].as_str().unwrap()
        );
        let policy = of_kind("ValidatingAdmissionPolicy")[0];
        assert_eq!(policy["spec"]["failurePolicy"], "Fail");
        assert_eq!(
            policy["spec"]["matchConditions"][0]["expression"],
            format!("request.userInfo.username == '{user}'")
        );
        let binding = of_kind("ValidatingAdmissionPolicyBinding")[0];
        assert_eq!(binding["spec"]["policyName"], policy["metadata"]["name"]);
        assert_eq!(
            binding["spec"]["validationActions"],
            serde_json::json!(["Deny"])
        );
        for binding in of_kind("ClusterRoleBinding")
            .into_iter()
            .chain(of_kind("RoleBinding"))
        {
            assert_eq!(binding["subjects"][0]["name"], account["metadata"]["name"]);
            assert_eq!(
                binding["subjects"][0]["namespace"],
                account["metadata"]["namespace"]
            );
        }
    }

    fn documents() -> Vec<Value> {
        serde_saphyr::from_multiple(&read("templates/setup/rbac.yaml")).unwrap()
    }

    /// The verbs on a resource in any Namespace.
    fn verbs(group: &str, resource: &str) -> BTreeSet<String> {
        documents()
            .iter()
            .filter(|object| object["kind"] == "ClusterRole")
            .flat_map(|object| object["rules"].as_array().unwrap().clone())
            .filter(|rule| rule["resourceNames"].is_null())
            .filter(|rule| {
                strings(&rule["apiGroups"]).contains(group)
                    && strings(&rule["resources"]).contains(resource)
            })
            .flat_map(|rule| strings(&rule["verbs"]))
            .collect()
    }

    fn strings(list: &Value) -> BTreeSet<String> {
        list.as_array()
            .unwrap()
            .iter()
            .map(|item| item.as_str().unwrap().to_owned())
            .collect()
    }
}

/// Compares what stands between two marks with what should; writes it when asked.
fn generated(file: &str, name: &str, expected: &str) {
    // Tests run side by side, and several of them write the same file.
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock();
    let text = read(file);
    let (start, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let (before, rest) = text
        .split_once(&start)
        .unwrap_or_else(|| panic!("{file} has no line {start}"));
    let (shown, after) = rest
        .split_once(&end)
        .unwrap_or_else(|| panic!("{file} has no line {end}"));
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(
            root().join(file),
            format!("{before}{start}{expected}{end}{after}"),
        )
        .unwrap();
        return;
    }
    assert!(
        shown == expected,
        "{file}: `{name}` is not up to date; run UPDATE_DOCS=1 cargo test --test contract"
    );
}

/// The contents of the fenced blocks of one language.
fn fences<'a>(text: &'a str, language: &str) -> impl Iterator<Item = &'a str> {
    let start = format!("```{language}\n");
    text.match_indices(&start)
        .map(|(at, _)| {
            let body = &text[at + start.len()..];
            &body[..body.find("```").unwrap()]
        })
        .collect::<Vec<_>>()
        .into_iter()
}

fn yaml(path: &str) -> Value {
    serde_saphyr::from_str(&read(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
