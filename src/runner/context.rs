//! Turns the runner's variables into a checked context.
//! It reads no environment itself; the variables are handed to it, so that tests need none.
//! All addresses come from here: with GitHub Enterprise Server no other host may ever be asked.

use super::RunnerError;
use crate::names::{RepoId, RepoName};
use std::{collections::BTreeMap, path::PathBuf, str::FromStr};

/// What the runner says about a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// Address of the REST API, without a slash at its end.
    pub api_url: String,
    /// Address of the web pages, without a slash at its end.
    pub server_url: String,
    /// Repository of the workflow.
    pub repository: RepoName,
    /// Its number for life; none with runners that do not say it.
    pub repository_id: Option<RepoId>,
    /// Name of the event.
    pub event_name: String,
    /// File of the event's payload.
    pub event_path: PathBuf,
    /// Number of the run.
    pub run_id: u64,
    /// How often it was started, from 1.
    pub run_attempt: u32,
    /// Folder of the repository's files, if any were checked out.
    pub workspace: PathBuf,
    /// File for outputs.
    pub output: Option<PathBuf>,
    /// File for the job summary.
    pub summary: Option<PathBuf>,
    /// Who caused the first start.
    pub actor: String,
    /// Who caused this start.
    pub triggering_actor: String,
    /// File name of the workflow, such as `preview.yml`; none with runners that do not say it.
    pub workflow: Option<String>,
    /// Commit that the workflow's file was taken from; of a pull request's own run that is its merge with the base.
    pub workflow_sha: Option<String>,
    /// Repository and version of the action, as the workflow names them; none for one that lies in the workflow's own repository.
    pub action: Option<(String, String)>,
    /// True when somebody asked for debug logs.
    pub debug: bool,
    /// Folder for files that end with the job.
    pub temp: PathBuf,
}

/// The file in `owner/name/.github/workflows/file.yml@refs/heads/main`.
fn workflow_file(reference: &str) -> Option<&str> {
    let path = reference.split('@').next()?;
    let (_, file) = path.rsplit_once("/.github/workflows/")?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (file.bytes().all(plain) && !file.is_empty()).then_some(file)
}

/// The variable that is `true` on every runner, and nowhere else.
const MARKER: &str = "GITHUB_ACTIONS";

/// Variable that names the API of the server that a job runs for; the command line takes it too.
pub const API_URL: &str = "GITHUB_API_URL";

impl Context {
    /// Reads the variables; none when this is no workflow.
    pub fn from_variables(
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Option<Self>, RunnerError> {
        let variables = Variables(
            variables
                .into_iter()
                .filter(|(name, value)| {
                    (name.starts_with("GITHUB_") || name.starts_with("RUNNER_"))
                        && !value.is_empty()
                })
                .collect(),
        );
        let (Some("true"), Some(event_name)) =
            (variables.get(MARKER), variables.get("GITHUB_EVENT_NAME"))
        else {
            return Ok(None);
        };
        let workspace = variables
            .get("GITHUB_WORKSPACE")
            .map_or_else(|| PathBuf::from("."), PathBuf::from);
        let actor = variables.get("GITHUB_ACTOR").unwrap_or("ghost");
        Ok(Some(Self {
            api_url: variables.address(API_URL)?,
            server_url: variables.address("GITHUB_SERVER_URL")?,
            repository: variables.needed("GITHUB_REPOSITORY")?.parse().map_err(
                |error: crate::names::NameError| RunnerError::Invalid {
                    variable: "GITHUB_REPOSITORY",
                    problem: error.problem.into(),
                },
            )?,
            repository_id: variables.number("GITHUB_REPOSITORY_ID")?.map(RepoId),
            event_name: event_name.into(),
            event_path: variables.needed("GITHUB_EVENT_PATH")?.into(),
            run_id: variables
                .number("GITHUB_RUN_ID")?
                .ok_or_else(|| missing("GITHUB_RUN_ID"))?,
            run_attempt: variables.number("GITHUB_RUN_ATTEMPT")?.unwrap_or(1),
            output: variables.get("GITHUB_OUTPUT").map(PathBuf::from),
            summary: variables.get("GITHUB_STEP_SUMMARY").map(PathBuf::from),
            triggering_actor: variables
                .get("GITHUB_TRIGGERING_ACTOR")
                .unwrap_or(actor)
                .into(),
            actor: actor.into(),
            workflow: variables
                .get("GITHUB_WORKFLOW_REF")
                .and_then(workflow_file)
                .map(str::to_owned),
            workflow_sha: variables.get("GITHUB_WORKFLOW_SHA").map(str::to_owned),
            action: variables
                .get("GITHUB_ACTION_REPOSITORY")
                .zip(variables.get("GITHUB_ACTION_REF"))
                .map(|(repository, version)| (repository.to_owned(), version.to_owned())),
            debug: variables.get("RUNNER_DEBUG") == Some("1"),
            temp: variables
                .get("RUNNER_TEMP")
                .map_or_else(|| workspace.clone(), PathBuf::from),
            workspace,
        }))
    }

    /// Repository and version of the action, as the workflow names them.
    pub fn action(&self) -> Option<(&str, &str)> {
        let action = self.action.as_ref();
        action.map(|(repository, version)| (repository.as_str(), version.as_str()))
    }

    /// The variables that say what this context says, for whoever plays the runner.
    pub fn variables(&self) -> BTreeMap<String, String> {
        let path = |path: &PathBuf| path.display().to_string();
        let mut variables = BTreeMap::from(
            [
                (MARKER, "true".to_owned()),
                ("GITHUB_EVENT_NAME", self.event_name.clone()),
                ("GITHUB_EVENT_PATH", path(&self.event_path)),
                (API_URL, self.api_url.clone()),
                ("GITHUB_SERVER_URL", self.server_url.clone()),
                ("GITHUB_REPOSITORY", self.repository.to_string()),
                ("GITHUB_RUN_ID", self.run_id.to_string()),
                ("GITHUB_RUN_ATTEMPT", self.run_attempt.to_string()),
                ("GITHUB_WORKSPACE", path(&self.workspace)),
                ("GITHUB_ACTOR", self.actor.clone()),
                ("GITHUB_TRIGGERING_ACTOR", self.triggering_actor.clone()),
                ("RUNNER_TEMP", path(&self.temp)),
                ("RUNNER_DEBUG", u8::from(self.debug).to_string()),
            ]
            .map(|(name, value)| (name.to_owned(), value)),
        );
        let optional = [
            (
                "GITHUB_REPOSITORY_ID",
                self.repository_id.map(|id| id.to_string()),
            ),
            (
                "GITHUB_WORKFLOW_REF",
                self.workflow.as_ref().map(|file| {
                    format!(
                        "{}/.github/workflows/{file}@refs/heads/main",
                        self.repository
                    )
                }),
            ),
            ("GITHUB_WORKFLOW_SHA", self.workflow_sha.clone()),
            ("GITHUB_OUTPUT", self.output.as_ref().map(path)),
            ("GITHUB_STEP_SUMMARY", self.summary.as_ref().map(path)),
        ];
        variables.extend(
            optional
                .into_iter()
                .filter_map(|(name, value)| Some((name.to_owned(), value?))),
        );
        variables
    }

    /// Address of the log of this job, where its number is known; else of this run's page, with the attempt from the second on.
    pub fn log_url(&self, job: Option<u64>) -> String {
        let run = format!(
            "{}/{}/actions/runs/{}",
            self.server_url, self.repository, self.run_id
        );
        match (job, self.run_attempt) {
            (Some(job), _) => format!("{run}/job/{job}"),
            (None, 0 | 1) => run,
            (None, attempt) => format!("{run}/attempts/{attempt}"),
        }
    }

    /// The event's payload.
    pub fn payload(&self) -> Result<String, RunnerError> {
        std::fs::read_to_string(&self.event_path).map_err(|source| RunnerError::Event {
            path: self.event_path.clone(),
            source,
        })
    }
}

fn missing(variable: &'static str) -> RunnerError {
    RunnerError::Missing {
        variable,
        marker: MARKER,
    }
}

/// The variables that are not empty.
struct Variables(BTreeMap<String, String>);

impl Variables {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    fn needed(&self, variable: &'static str) -> Result<&str, RunnerError> {
        self.get(variable).ok_or_else(|| missing(variable))
    }

    fn number<T: FromStr>(&self, variable: &'static str) -> Result<Option<T>, RunnerError> {
        self.get(variable)
            .map(|text| {
                text.parse().map_err(|_| RunnerError::Invalid {
                    variable,
                    problem: format!("is {text:?}, which is no whole number"),
                })
            })
            .transpose()
    }

    fn address(&self, variable: &'static str) -> Result<String, RunnerError> {
        let text = self.needed(variable)?;
        let rest = text
            .strip_prefix("https://")
            .or_else(|| text.strip_prefix("http://"));
        let valid = rest.is_some_and(|rest| {
            !rest.starts_with('/') && !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_graphic())
        });
        if !valid {
            return Err(RunnerError::Invalid {
                variable,
                problem: format!("is {text:?}, which is no http address"),
            });
        }
        Ok(text.trim_end_matches('/').into())
    }
}
