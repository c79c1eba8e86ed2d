//! Turns requests about deployments into deployments and the lists of their statuses.
//! It must not deploy anything or know what a preview is; environments come into being with the first deployment that names one.
//! The defaults that surprise clients are kept: merging the default branch, waiting for all statuses, making others inactive.

use serde_json::{Value, json};

use super::Handle;
use super::model::{Model, Repository};
use super::routes::{Asked, not_found, refusal};
use super::statuses::{all_well, denied, fault};
use super::views;
use crate::simulate::http::Reply;

/// A deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployment {
    /// The id.
    pub id: u64,
    /// The commit.
    pub sha: String,
    /// The task.
    pub task: String,
    /// The environment.
    pub environment: String,
    /// Whether it will be gone some day.
    pub transient: bool,
    /// Who made it.
    pub creator: String,
    /// Its statuses, the oldest first.
    pub statuses: Vec<DeploymentStatus>,
}

impl Deployment {
    /// Its state as people see it: that of its newest status.
    pub fn state(&self) -> &str {
        self.statuses.last().map_or("pending", |last| &last.state)
    }

    /// Every state that it ever had, the oldest first.
    pub fn states(&self) -> Vec<&str> {
        self.statuses.iter().map(|one| one.state.as_str()).collect()
    }
}

/// One status of a deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeploymentStatus {
    /// The state.
    pub state: String,
    /// The description.
    pub description: String,
    /// Where what was deployed answers; empty when nowhere.
    pub environment_url: String,
    /// Where its log is; empty when nowhere.
    pub log_url: String,
}

impl Handle {
    /// Returns all deployments, the oldest first.
    pub fn deployments(&self, full_name: &str) -> Vec<Deployment> {
        self.with(full_name, |repository| repository.deployments.clone())
            .unwrap_or_default()
    }

    /// Makes the deployment that GitHub itself makes for a job with `environment:`.
    pub fn runs_job_in(&self, full_name: &str, sha: &str, environment: &str) {
        let mut model = self.inner.model();
        let id = model.next_id();
        if let Some(repository) = model.repositories.get_mut(full_name) {
            repository.deployments.push(Deployment {
                id,
                sha: sha.to_owned(),
                task: "deploy".to_owned(),
                environment: environment.to_owned(),
                transient: false,
                creator: "github-actions[bot]".to_owned(),
                statuses: Vec::new(),
            });
        }
    }
}

impl Asked<'_> {
    /// Answers whatever is asked about deployments; `rest` is what follows them in the path.
    pub(super) fn deployments(&self, model: &mut Model, rest: &[&str]) -> Reply {
        if self.request.method != "GET"
            && let Some(refused) = denied(model, "deployments")
        {
            return refused;
        }
        let id = model.next_id();
        let Some(repository) = model.repositories.get_mut(&self.full_name) else {
            return not_found();
        };
        match (self.request.method.as_str(), rest) {
            ("GET", []) => self.list_deployments(repository),
            ("POST", []) => self.create_deployment(repository, id),
            ("GET", [id, "statuses"]) => match of_id(repository, id) {
                Some(found) => {
                    let statuses = found.statuses.iter().rev().map(status_view);
                    Reply::json(200, &Value::Array(statuses.collect()))
                }
                None => not_found(),
            },
            ("POST", [id, "statuses"]) => self.add_status(repository, id),
            _ => not_found().unexpected(),
        }
    }

    fn list_deployments(&self, repository: &Repository) -> Reply {
        let is = |name: &str, value: &str| self.request.param(name).is_none_or(|one| one == value);
        let wanted = repository.deployments.iter().rev().filter(|one| {
            is("sha", &one.sha) && is("task", &one.task) && is("environment", &one.environment)
        });
        let shown: Vec<_> = wanted.collect();
        self.page(repository, "deployments", &shown, view)
    }

    fn create_deployment(&self, repository: &mut Repository, id: u64) -> Reply {
        let asked = self.request.json().unwrap_or_default();
        let text = |name: &str, usual: &str| asked[name].as_str().unwrap_or(usual).to_owned();
        let reference = text("ref", "");
        let Some(commit) = repository.commit(&reference) else {
            return refusal(422, &format!("No ref found for: {reference}"));
        };
        let sha = commit.sha.clone();
        if let Some(refused) = fault(&asked, &[]) {
            return refused;
        }
        let main = repository.branches.get(&repository.default_branch);
        if asked["auto_merge"] != false && main.is_some_and(|main| !is_in(repository, main, &sha)) {
            let message = format!("Auto-merged main into {reference} on deployment.");
            return Reply::json(202, &json!({"message": message}));
        }
        if asked["required_contexts"] != json!([]) && !all_well(repository, &sha) {
            let message = format!("Conflict: Commit status checks failed for {reference}.");
            return refusal(409, &message);
        }
        let deployment = Deployment {
            id,
            sha,
            task: text("task", "deploy"),
            environment: text("environment", "production"),
            transient: asked["transient_environment"] == true,
            creator: self.login.clone(),
            statuses: Vec::new(),
        };
        let shown = view(&deployment);
        repository.deployments.push(deployment);
        Reply::json(201, &shown)
    }

    fn add_status(&self, repository: &mut Repository, id: &str) -> Reply {
        const KNOWN: [&str; 7] = [
            "error",
            "failure",
            "inactive",
            "in_progress",
            "queued",
            "pending",
            "success",
        ];
        let asked = self.request.json().unwrap_or_default();
        let text = |name: &str| asked[name].as_str().unwrap_or_default().to_owned();
        if !KNOWN.contains(&text("state").as_str()) {
            return refusal(422, "Validation Failed: state is not included in the list");
        }
        if let Some(refused) = fault(&asked, &["environment_url", "log_url"]) {
            return refused;
        }
        let status = DeploymentStatus {
            state: text("state"),
            description: text("description"),
            environment_url: text("environment_url"),
            log_url: text("log_url"),
        };
        let Some(found) = of_id(repository, id) else {
            return not_found();
        };
        let (id, environment) = (found.id, found.environment.clone());
        let replaces = status.state == "success" && asked["auto_inactive"] != false;
        for one in &mut repository.deployments {
            if one.id == id {
                one.statuses.push(status.clone());
            } else if replaces && one.environment == environment && !one.transient && one.id < id {
                one.statuses.push(DeploymentStatus {
                    state: "inactive".to_owned(),
                    description: String::new(),
                    environment_url: String::new(),
                    log_url: String::new(),
                });
            }
        }
        Reply::json(201, &status_view(&status))
    }
}

fn of_id<'a>(repository: &'a Repository, id: &str) -> Option<&'a Deployment> {
    let mut all = repository.deployments.iter();
    all.find(|one| one.id.to_string() == id)
}

/// True when a commit is another one or among what led to it.
fn is_in(repository: &Repository, commit: &str, of: &str) -> bool {
    let mut open = vec![of.to_owned()];
    while let Some(sha) = open.pop() {
        if sha == commit {
            return true;
        }
        let parents = repository.commits.get(&sha).map(|one| one.parents.clone());
        open.extend(parents.unwrap_or_default());
    }
    false
}

fn view(one: &Deployment) -> Value {
    json!({
        "id": one.id, "sha": one.sha, "ref": one.sha, "task": one.task, "environment": one.environment,
        "transient_environment": one.transient, "creator": views::user(&one.creator),
    })
}

fn status_view(status: &DeploymentStatus) -> Value {
    json!({
        "state": status.state, "description": status.description, "environment_url": status.environment_url,
        "log_url": status.log_url,
    })
}
