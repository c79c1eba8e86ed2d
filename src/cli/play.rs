//! Plays a scenario step by step: what happens on GitHub, the run that it starts, and what must come of it.
//! It runs the action itself, with the variables that a runner would set, and looks only at what people can see.
//! The world is an argument: the simulated cluster for everybody, a real one for those who have one.

use super::action::{Surroundings, act};
use crate::{
    pipeline::Sandbox,
    report::StatusView,
    runner::{Context, Redaction},
    simulate::{
        github,
        scenario::{Act, Expect, Scenario, Step},
    },
};
use anyhow::{Context as _, bail};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    io::Write,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;

/// Repository of every scenario.
const REPOSITORY: &str = "acme/shop";

/// A cluster that a scenario can be played on.
pub trait Stage {
    /// Kubeconfig of the ServiceAccount.
    fn kubeconfig(&self) -> String;
    /// Registry that `${registry}` stands for.
    fn registry(&self) -> String;
    /// Address that Ingresses are served at.
    fn ingress(&self) -> String;
    /// How much faster than life this cluster is.
    fn haste(&self) -> u32;
    /// Makes sure that the image of a service exists, as far as its tag allows, and shows this commit.
    fn prepare(&self, image: &str, sha: &str) -> anyhow::Result<()>;
    /// Objects in a Namespace as `Kind/name`, sorted, without those that Kubernetes itself puts into each.
    fn objects(&self, namespace: &str) -> anyhow::Result<Vec<String>>;
    /// Namespaces of previews that are not being deleted, sorted.
    fn namespaces(&self) -> anyhow::Result<Vec<String>>;
}

/// Everything that can be seen after a step.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Exit code of the run; none when nothing was started.
    pub exit: Option<u8>,
    /// Outputs by name.
    pub outputs: BTreeMap<String, String>,
    /// Job summary.
    pub summary: String,
    /// What the run printed.
    pub log: String,
    /// Our comments on the pull request, oldest first.
    pub comments: Vec<String>,
    /// Head of the pull request.
    pub sha: String,
    /// How long the run took.
    pub took: Duration,
}

/// Called at each change of a preview while a step runs.
pub type Watch = Arc<dyn Fn(&StatusView) + Send + Sync>;

/// Plays one scenario.
pub struct Player<'a, S> {
    scenario: &'a Scenario,
    github: &'a github::Handle,
    stage: &'a S,
    sandbox: Sandbox,
    folder: PathBuf,
    /// Inputs over those of the scenario, for instance an environment of one's own.
    extra: BTreeMap<String, String>,
    repository: u64,
    run: u64,
}

impl<'a, S: Stage> Player<'a, S> {
    /// Sets the scene: the repository, its files, its people.
    pub fn new(
        scenario: &'a Scenario,
        github: &'a github::Handle,
        stage: &'a S,
        sandbox: Sandbox,
        folder: PathBuf,
        extra: BTreeMap<String, String>,
    ) -> Self {
        let repository = github.create_repository(REPOSITORY);
        for (login, permission) in [("alice", "write"), ("bob", "write"), ("mallory", "read")] {
            github.add_user(login);
            github.set_permission(REPOSITORY, login, permission, permission);
        }
        let files: Vec<(String, String)> = scenario
            .files
            .iter()
            .map(|(path, text)| (path.clone(), text.replace("${registry}", &stage.registry())))
            .collect();
        let files: Vec<(&str, &str)> = files
            .iter()
            .map(|(path, text)| (path.as_str(), text.as_str()))
            .collect();
        github.commit(REPOSITORY, "main", &files);
        Self {
            scenario,
            github,
            stage,
            sandbox,
            folder,
            extra,
            repository,
            run: 0,
        }
    }

    /// Lets one step happen and runs the action on the event that it sends.
    pub async fn step(&mut self, step: &Step, watch: Watch) -> anyhow::Result<Seen> {
        let (pr, event, fork) = self.happen(&step.act);
        let sha = pr
            .map(|pr| self.github.head(REPOSITORY, pr))
            .unwrap_or_default();
        let inputs = self.inputs(step, fork);
        if let (Some(_), Some(_)) = (pr, &event) {
            self.prepare(&inputs, &sha)?;
        }
        let (name, payload) = match event {
            Some(event) => event,
            None => return Ok(self.seen(None, sha, pr, None, Duration::ZERO)),
        };
        self.run += 1;
        let folder = self.folder.join(format!("run-{}", self.run));
        std::fs::create_dir_all(&folder)?;
        let at = |file: &str| folder.join(file);
        std::fs::write(at("event.json"), serde_json::to_vec_pretty(&payload)?)?;
        for file in ["output", "summary"] {
            std::fs::write(at(file), "")?;
        }
        let context = Context {
            api_url: self.github.url(),
            server_url: "https://github.example".into(),
            repository: REPOSITORY.parse()?,
            repository_id: Some(crate::names::RepoId(self.repository)),
            event_name: name.into(),
            event_path: at("event.json"),
            run_id: self.run,
            run_attempt: 1,
            workspace: at("workspace"),
            output: Some(at("output")),
            summary: Some(at("summary")),
            actor: actor(&payload),
            triggering_actor: actor(&payload),
            workflow: Some("preview.yml".into()),
            workflow_sha: None,
            action: None,
            debug: false,
            temp: folder.clone(),
        };
        let mut variables = context.variables();
        variables.extend(
            inputs
                .into_iter()
                .map(|(name, value)| (format!("INPUT_{}", name.to_ascii_uppercase()), value)),
        );
        let log = Log::default();
        let begun = Instant::now();
        let exit = act(Surroundings {
            variables,
            out: Box::new(log.clone()),
            sandbox: self.sandbox.clone(),
            stop: CancellationToken::new(),
            redaction: Redaction::default(),
            loopback: true,
            haste: self.stage.haste(),
            watch,
        })
        .await;
        let took = begun.elapsed();
        let mut seen = self.seen(exit, sha, pr, Some(log), took);
        seen.outputs = read_outputs(&std::fs::read_to_string(at("output"))?);
        seen.summary = std::fs::read_to_string(at("summary"))?;
        Ok(seen)
    }

    fn seen(
        &self,
        exit: Option<u8>,
        sha: String,
        pr: Option<u64>,
        log: Option<Log>,
        took: Duration,
    ) -> Seen {
        let comments = pr
            .map(|pr| self.github.comments(REPOSITORY, pr))
            .unwrap_or_default();
        Seen {
            exit,
            outputs: BTreeMap::new(),
            summary: String::new(),
            log: log.map(|log| log.text()).unwrap_or_default(),
            comments: comments
                .into_iter()
                .map(|comment| comment.body)
                .filter(|body| body.starts_with("<!-- preview-action"))
                .collect(),
            sha,
            took,
        }
    }

    /// What happens on GitHub: pull request, event with its payload, whether the run gets no secrets.
    fn happen(&self, act: &Act) -> (Option<u64>, Option<(&'static str, Value)>, bool) {
        let github = self.github;
        let pull_event = |pr: u64, action: &str| {
            let event = if action == "closed" {
                "pull_request_target"
            } else {
                "pull_request"
            };
            Some((event, github.pull_request_event(REPOSITORY, pr, action)))
        };
        match act {
            Act::Open {
                pr,
                branch,
                title,
                by,
                fork,
            } => {
                let fork_name = fork.then(|| format!("{by}/shop"));
                let pull = github::NewPull {
                    author: by.clone(),
                    branch: branch.clone(),
                    title: title.clone(),
                    fork: fork_name,
                    number: Some(*pr),
                    ..github::NewPull::default()
                };
                github.open_pull(REPOSITORY, pull);
                (Some(*pr), pull_event(*pr, "opened"), *fork)
            }
            Act::Push { pr, files } => {
                let files: Vec<(&str, &str)> = files
                    .iter()
                    .map(|(path, text)| (path.as_str(), text.as_str()))
                    .collect();
                github.push(REPOSITORY, *pr, &files);
                (Some(*pr), pull_event(*pr, "synchronize"), false)
            }
            Act::Comment { pr, by, body } => {
                let id = github.comment(REPOSITORY, *pr, by, body);
                (
                    Some(*pr),
                    Some((
                        "issue_comment",
                        github.comment_event(REPOSITORY, id, "created"),
                    )),
                    false,
                )
            }
            Act::Close {
                pr,
                merged,
                unheard,
            } => {
                if *merged {
                    github.merge(REPOSITORY, *pr);
                } else {
                    github.close(REPOSITORY, *pr);
                }
                (
                    Some(*pr),
                    pull_event(*pr, "closed").filter(|_| !unheard),
                    false,
                )
            }
            Act::Reopen { pr } => {
                github.reopen(REPOSITORY, *pr);
                (Some(*pr), pull_event(*pr, "reopened"), false)
            }
            Act::Schedule {} => (
                None,
                Some(("schedule", github.schedule_event("*/5 * * * *"))),
                false,
            ),
        }
    }

    fn inputs(&self, step: &Step, fork: bool) -> BTreeMap<String, String> {
        let mut inputs = BTreeMap::from([
            ("token".to_owned(), self.github.token()),
            ("kubeconfig".to_owned(), self.stage.kubeconfig()),
            ("health-address".to_owned(), self.stage.ingress()),
        ]);
        for more in [&self.scenario.inputs, &step.inputs, &self.extra] {
            inputs.extend(more.iter().map(|(name, value)| {
                (
                    name.clone(),
                    value.replace("${registry}", &self.stage.registry()),
                )
            }));
        }
        if fork {
            inputs.insert("kubeconfig".into(), String::new());
        }
        inputs
    }

    /// Makes the images that the input or the configuration names for this commit.
    fn prepare(&self, inputs: &BTreeMap<String, String>, sha: &str) -> anyhow::Result<()> {
        let texts = inputs
            .get("images")
            .into_iter()
            .chain(self.scenario.files.values());
        for text in texts {
            for word in text
                .replace("${registry}", &self.stage.registry())
                .split(|c: char| c.is_whitespace() || c == '=' || c == ',')
            {
                if word.contains("sha}") && word.contains(&self.stage.registry()) {
                    let image = word.replace("{sha}", sha).replace("{short-sha}", &sha[..7]);
                    self.stage.prepare(&image, sha)?;
                }
            }
        }
        Ok(())
    }

    /// Everything in which a step did not come to what it must come to.
    pub async fn differences(&self, expect: &Expect, seen: &Seen) -> anyhow::Result<Vec<String>> {
        let fill = |text: &str| {
            text.replace("${sha}", &seen.sha)
                .replace("${short-sha}", seen.sha.get(..7).unwrap_or_default())
        };
        let mut wrong = Vec::new();
        if let Some(exit) = seen.exit
            && exit != expect.exit
        {
            wrong.push(format!("exit code is {exit}, not {}", expect.exit));
        }
        for (name, value) in &expect.outputs {
            let (value, found) = (fill(value), seen.outputs.get(name));
            if found != Some(&value) {
                wrong.push(format!("output {name} is {found:?}, not {value:?}"));
            }
        }
        if let Some(count) = expect.comments
            && seen.comments.len() != count
        {
            wrong.push(format!(
                "there are {} comments, not {count}",
                seen.comments.len()
            ));
        }
        let status = seen
            .comments
            .iter()
            .find(|body| body.contains("kind=status"))
            .map(String::as_str)
            .unwrap_or_default();
        for text in &expect.comment {
            if !status.contains(&fill(text)) {
                wrong.push(format!("the comment lacks {:?}:\n{status}", fill(text)));
            }
        }
        if let Some(objects) = &expect.objects {
            let namespace = seen
                .outputs
                .get("namespace")
                .map(String::as_str)
                .unwrap_or_default();
            let found = self.stage.objects(namespace)?;
            if found != *objects {
                wrong.push(format!(
                    "namespace {namespace} holds {found:?}, not {objects:?}"
                ));
            }
        }
        if let Some(namespaces) = &expect.namespaces {
            let found = self.stage.namespaces()?;
            if found != *namespaces {
                wrong.push(format!(
                    "previews in the cluster are {found:?}, not {namespaces:?}"
                ));
            }
        }
        if let Some(text) = &expect.page {
            let url = seen
                .outputs
                .get("url")
                .map(String::as_str)
                .unwrap_or_default();
            match self.page(url).await {
                Ok(page) if page.contains(&fill(text)) => {}
                Ok(page) => wrong.push(format!("the page at {url} lacks {:?}: {page}", fill(text))),
                Err(error) => wrong.push(format!("the page at {url} cannot be read: {error:#}")),
            }
        }
        Ok(wrong)
    }

    /// The page behind an address, as a browser would get it through the ingress.
    async fn page(&self, url: &str) -> anyhow::Result<String> {
        let Some(host) = url
            .split("//")
            .nth(1)
            .and_then(|rest| rest.split('/').next())
        else {
            bail!("{url:?} is no address")
        };
        let client = reqwest::Client::builder().no_proxy().build()?;
        let address = format!("http://{}/", self.stage.ingress());
        let answer = client.get(address).header("host", host).send().await?;
        Ok(answer.error_for_status()?.text().await?)
    }
}

fn actor(payload: &Value) -> String {
    payload
        .pointer("/sender/login")
        .and_then(Value::as_str)
        .unwrap_or("github-actions[bot]")
        .to_owned()
}

/// The outputs in the file that a run wrote, as the runner reads it.
pub fn read_outputs(text: &str) -> BTreeMap<String, String> {
    let mut outputs = BTreeMap::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some((name, delimiter)) = line.split_once("<<") {
            let value: Vec<&str> = lines
                .by_ref()
                .take_while(|line| *line != delimiter)
                .collect();
            outputs.insert(name.to_owned(), value.join("\n"));
        }
    }
    outputs
}

/// The Namespace of the ledgers, which an administrator makes on a real cluster.
pub fn control_namespace() -> Value {
    serde_json::json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "preview-system"}})
}

/// Reads a scenario.
pub fn parse(text: &str) -> anyhow::Result<Scenario> {
    crate::yaml::parse_typed(text).context("the scenario cannot be read")
}

/// What a run printed.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
