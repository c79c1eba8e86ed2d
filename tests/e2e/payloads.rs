//! Turns GitHub's published example payloads into events of our own repository and pull request, valid by GitHub's
//! published schema. It must not invent fields: what the examples lack (a comment on a pull request) is taken from
//! the GitHub server. They are made at test time because a committed copy would age unseen.

use std::path::Path;

use serde_json::{Value, json};

use crate::world::World;

pub(crate) struct Payloads {
    examples: Value,
    schema: Value,
    api: String,
}

/// The objects of the GitHub server that an event is about.
pub(crate) struct About {
    pub(crate) repository: Value,
    pub(crate) pull: Value,
    pub(crate) sender: Value,
}

impl Payloads {
    pub(crate) fn of(world: &World) -> Self {
        let packages = Path::new(world.address("NODE_MODULES")).join("@octokit");
        let read = |path: &str| {
            let text = std::fs::read_to_string(packages.join(path))
                .unwrap_or_else(|error| panic!("{path}: {error}; run tests/e2e/up"));
            serde_json::from_str(&text).unwrap()
        };
        Self {
            examples: read("webhooks-examples/api.github.com/index.json"),
            schema: read("webhooks-schemas/schema.json"),
            api: world.address("GITHUB_API").to_owned(),
        }
    }

    /// A `pull_request` event.
    pub(crate) fn pull_request(&self, action: &str, about: &About) -> Value {
        let mut event = self.example("pull_request", action, about);
        event["number"] = about.pull["number"].clone();
        let pull = &mut event["pull_request"];
        for key in [
            "id",
            "number",
            "state",
            "title",
            "body",
            "draft",
            "merged",
            "created_at",
            "updated_at",
            "closed_at",
        ] {
            pull[key] = about.pull[key].clone();
        }
        for side in ["head", "base"] {
            for key in ["label", "ref", "sha"] {
                pull[side][key] = about.pull[side][key].clone();
            }
            pull[side]["repo"]["id"] = about.repository["id"].clone();
            pull[side]["repo"]["owner"]["login"] = about.repository["owner"]["login"].clone();
        }
        if action == "synchronize" {
            event["after"] = about.pull["head"]["sha"].clone();
        }
        self.checked("pull_request", action, event)
    }

    /// An `issue_comment` event of a comment on the pull request.
    pub(crate) fn comment(&self, comment: &Value, about: &About) -> Value {
        let mut event = self.example("issue_comment", "created", about);
        let issue = &mut event["issue"];
        issue["number"] = about.pull["number"].clone();
        issue["state"] = about.pull["state"].clone();
        issue["title"] = about.pull["title"].clone();
        let links = ["url", "html_url", "diff_url", "patch_url"]
            .map(|key| (key.to_owned(), about.pull[key].clone()));
        issue["pull_request"] = Value::Object(links.into_iter().collect());
        for key in ["id", "body", "created_at", "updated_at"] {
            event["comment"][key] = comment[key].clone();
        }
        event["comment"]["user"] = event["sender"].clone();
        self.checked("issue_comment", "created", event)
    }

    /// The first example of that event and action that the schema takes (some are older than it is), with repository,
    /// server and people replaced by ours.
    fn example(&self, event: &str, action: &str, about: &About) -> Value {
        let of_event = self
            .examples
            .as_array()
            .unwrap()
            .iter()
            .find(|entry| entry["name"] == event)
            .unwrap();
        let schema = self.schema_of(event, action);
        let example = of_event["examples"]
            .as_array()
            .unwrap()
            .iter()
            .find(|example| example["action"] == action && schema.is_valid(example));
        let text = example
            .unwrap_or_else(|| panic!("the package has no valid example of {event} {action}"))
            .to_string();
        let text = text
            .replace(
                "Codertocat/Hello-World",
                about.repository["full_name"].as_str().unwrap(),
            )
            .replace("Codertocat", about.sender["login"].as_str().unwrap())
            .replace("https://api.github.com", &self.api)
            .replace("https://github.com", &self.api);
        let mut payload: Value = serde_json::from_str(&text).unwrap();
        payload["repository"]["id"] = about.repository["id"].clone();
        payload["repository"]["name"] = about.repository["name"].clone();
        payload["repository"]["default_branch"] = about.repository["default_branch"].clone();
        payload["repository"]["owner"]["login"] = about.repository["owner"]["login"].clone();
        payload["sender"]["id"] = about.sender["id"].clone();
        payload
    }

    fn checked(&self, event: &str, action: &str, payload: Value) -> Value {
        let schema = self.schema_of(event, action);
        let faults: Vec<String> = schema
            .iter_errors(&payload)
            .map(|error| format!("{}: {:.200}", error.instance_path(), error.to_string()))
            .collect();
        assert!(
            faults.is_empty(),
            "the {event} {action} payload breaks GitHub's schema: {faults:#?}"
        );
        payload
    }

    fn schema_of(&self, event: &str, action: &str) -> jsonschema::Validator {
        let schema = json!({
            "$schema": self.schema["$schema"],
            "definitions": self.schema["definitions"],
            "allOf": [{"$ref": format!("#/definitions/{event}${action}")}],
        });
        jsonschema::validator_for(&schema).unwrap()
    }
}
