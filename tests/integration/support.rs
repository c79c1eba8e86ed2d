//! A repository `acme/shop` with its simulated GitHub and cluster, and runs of the action on events of it.
//! It knows what a runner sets and what people see; it knows no type of the pipeline.
//! A run is a future here, so that a test can stop it, drop it or play two at once.

use base64::{Engine, engine::general_purpose::STANDARD};
use flate2::read::GzDecoder;
use jiff::{SignedDuration, Timestamp};
use preview_action::{
    cli::{Surroundings, act, control_namespace, read_outputs},
    pipeline::Sandbox,
    runner::{Context, Redaction},
    simulate::{Fault, Record, World, WorldOptions, cluster, github},
};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    io::Write,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;

/// The repository of every test.
pub(crate) const SHOP: &str = "acme/shop";

/// Where the configuration is.
pub(crate) const CONFIGURATION: &str = ".github/preview.yml";

/// One web service whose image is the commit's.
pub(crate) const ONE_SERVICE: &str = "version: 1
services:
  web:
    image: registry.example/web:{short-sha}
    port: 8080
    public: true
    health: {path: /}
    env: {GREETING: hello}
";

/// Hosts that nobody behind an Enterprise Server may be sent to.
const ELSEWHERE: [&str; 3] = ["github.com", "ghcr.io", "githubstatus.com"];

/// When a world begins: no test's few minutes cross midnight, whenever it is run. Its seconds begin when this machine's do, as
/// those of servers do that are kept right.
pub(crate) fn noon() -> Timestamp {
    let noon: Timestamp = "2026-03-10T12:00:00Z".parse().unwrap();
    noon + SignedDuration::from_nanos(Timestamp::now().subsec_nanosecond().into())
}

/// Path of the ledger's ConfigMap on the API server, for faults.
pub(crate) const LEDGER: &str = "/api/v1/namespaces/preview-system/configmaps/*";

/// A repository, its GitHub and its cluster.
pub(crate) struct Shop {
    pub(crate) world: World,
    folder: tempfile::TempDir,
    runs: AtomicU64,
}

/// What GitHub tells a workflow.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) payload: Value,
    pub(crate) pr: u64,
}

impl Event {
    pub(crate) fn new(name: &str, payload: Value, pr: u64) -> Self {
        Self {
            name: name.into(),
            payload,
            pr,
        }
    }
}

impl Shop {
    /// A shop with one service.
    pub(crate) async fn open() -> Self {
        Self::with(WorldOptions::default(), ONE_SERVICE).await
    }

    /// A shop with this configuration.
    pub(crate) async fn selling(configuration: &str) -> Self {
        Self::with(WorldOptions::default(), configuration).await
    }

    /// A shop where GitHub and the cluster take these tokens.
    pub(crate) async fn with_tokens(github: &str, cluster: &str, configuration: &str) -> Self {
        let mut options = WorldOptions::default();
        options.github.token = github.into();
        options.cluster.token = cluster.into();
        Self::with(options, configuration).await
    }

    /// A shop in a world of its own, where it is noon unless that is said: a run goes by the servers' clocks alone.
    pub(crate) async fn with(mut options: WorldOptions, configuration: &str) -> Self {
        options.now.get_or_insert_with(noon);
        // An error means that another test of this process installed it before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let world = World::start(options).await.unwrap();
        world.cluster.put(&control_namespace()).unwrap();
        world.github.create_repository(SHOP);
        for (login, permission) in [("alice", "write"), ("bob", "write"), ("mallory", "read")] {
            world.github.add_user(login);
            world
                .github
                .set_permission(SHOP, login, permission, permission);
        }
        let shop = Self {
            world,
            folder: tempfile::tempdir().unwrap(),
            runs: AtomicU64::new(0),
        };
        shop.commit(&[(CONFIGURATION, configuration)]);
        shop
    }

    /// Commits files to `main`.
    pub(crate) fn commit(&self, files: &[(&str, &str)]) {
        self.world.github.commit(SHOP, "main", files);
    }

    /// Alice opens a pull request.
    pub(crate) fn opens(&self, pr: u64) -> Event {
        self.opens_as(
            pr,
            github::NewPull {
                author: "alice".into(),
                ..github::NewPull::default()
            },
        )
    }

    pub(crate) fn opens_as(&self, pr: u64, pull: github::NewPull) -> Event {
        let pull = github::NewPull {
            number: Some(pr),
            branch: format!("feature-{pr}"),
            ..pull
        };
        self.world.github.open_pull(SHOP, pull);
        self.pull_event(pr, "opened")
    }

    /// The author pushes a commit.
    pub(crate) fn pushes(&self, pr: u64) -> Event {
        self.pushes_files(pr, &[])
    }

    pub(crate) fn pushes_files(&self, pr: u64, files: &[(&str, &str)]) -> Event {
        self.world.github.push(SHOP, pr, files);
        self.pull_event(pr, "synchronize")
    }

    /// The pull request is closed.
    pub(crate) fn closes(&self, pr: u64) -> Event {
        self.world.github.close(SHOP, pr);
        self.pull_event(pr, "closed")
    }

    pub(crate) fn pull_event(&self, pr: u64, action: &str) -> Event {
        let name = if action == "closed" {
            "pull_request_target"
        } else {
            "pull_request"
        };
        let payload = self.world.github.pull_request_event(SHOP, pr, action);
        Event::new(name, payload, pr)
    }

    /// Somebody comments.
    pub(crate) fn says(&self, pr: u64, login: &str, body: &str) -> Event {
        let id = self.world.github.comment(SHOP, pr, login, body);
        let payload = self.world.github.comment_event(SHOP, id, "created");
        Event::new("issue_comment", payload, pr)
    }

    /// Alice starts a run by hand, or a run starts another.
    pub(crate) fn dispatches(&self, pr: u64, command: &str) -> Event {
        let inputs = [("command", command), ("pr", &pr.to_string())];
        let payload = self.world.github.dispatch_event(SHOP, "alice", &inputs);
        Event::new("workflow_dispatch", payload, pr)
    }

    /// The schedule fires.
    pub(crate) fn schedule(&self) -> Event {
        let payload = self.world.github.schedule_event("*/5 * * * *");
        Event::new("schedule", payload, 0)
    }

    /// A run of the action on an event, about to begin.
    pub(crate) fn run(&self, event: &Event) -> Run<'_> {
        let number = self.runs.fetch_add(1, Ordering::SeqCst) + 1;
        let folder = self.folder.path().join(format!("run-{number}"));
        std::fs::create_dir_all(folder.join("workspace")).unwrap();
        for file in ["output", "summary"] {
            std::fs::write(folder.join(file), "").unwrap();
        }
        let event_path = folder.join("event.json");
        std::fs::write(&event_path, event.payload.to_string()).unwrap();
        let actor = event.payload["sender"]["login"]
            .as_str()
            .unwrap_or("github-actions[bot]")
            .to_owned();
        let context = Context {
            api_url: self.world.github.url(),
            server_url: "https://github.example".into(),
            repository: SHOP.parse().unwrap(),
            repository_id: Some(preview_action::names::RepoId(
                self.world.github.create_repository(SHOP),
            )),
            event_name: event.name.clone(),
            event_path,
            run_id: number,
            run_attempt: 1,
            workspace: folder.join("workspace"),
            output: Some(folder.join("output")),
            summary: Some(folder.join("summary")),
            actor: actor.clone(),
            triggering_actor: actor,
            workflow: Some("preview.yml".into()),
            workflow_sha: None,
            action: None,
            debug: false,
            temp: folder.clone(),
        };
        let run = Run {
            shop: self,
            pr: event.pr,
            variables: context.variables(),
            folder,
            stop: CancellationToken::new(),
        };
        run.input("token", &self.world.github.token())
            .input("kubeconfig", &self.world.cluster.kubeconfig())
            .input("domain", "preview.example.test")
            .input(
                "health-address",
                &self.world.cluster.ingress_address().to_string(),
            )
    }

    /// Runs the action on an event.
    pub(crate) async fn hears(&self, event: &Event) -> Seen {
        self.run(event).go().await
    }

    /// What the program prints to somebody at a terminal who has the rights of the workflow: data, and all else.
    pub(crate) async fn by_hand(&self, arguments: &[&str]) -> (String, String) {
        let folder = tempfile::tempdir().unwrap();
        let kubeconfig = folder.path().join("kubeconfig");
        std::fs::write(&kubeconfig, self.world.cluster.kubeconfig()).unwrap();
        let output = tokio::process::Command::new(binary())
            .args(arguments)
            .args(["--repository", SHOP])
            .args(["--api-url", &self.world.github.url()])
            .env_clear()
            .env("PREVIEW_TOKEN", self.world.github.token())
            .env("KUBECONFIG", &kubeconfig)
            .stdin(Stdio::null())
            .output()
            .await
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        let data = String::from_utf8(output.stdout).unwrap();
        stays_here([data.as_str(), &said]);
        (data, said)
    }

    /// Opens a pull request, deploys it and checks that this went well.
    pub(crate) async fn deployed(&self, pr: u64) -> Seen {
        let seen = self.hears(&self.opens(pr)).await;
        seen.ends(0, "deployed");
        self.settled(&format!("pr-shop-{pr}")).await;
        seen
    }

    /// Gives each of the three slots to a preview.
    pub(crate) async fn filled(&self) {
        for pr in 1..=3 {
            self.deployed(pr).await;
        }
    }

    /// Waits until a Namespace is there no more.
    pub(crate) async fn gone(&self, namespace: &str) {
        let gone = |cluster: &cluster::Handle| cluster.object("Namespace", "", namespace).is_none();
        self.world.cluster.wait_until(gone).await;
    }

    /// Waits until controllers have written the last of a Namespace's statuses, which come after readiness.
    async fn settled(&self, namespace: &str) {
        let addressed =
            |ingress: &Value| ingress.pointer("/status/loadBalancer/ingress/0").is_some();
        let rolled = |workload: &Value| {
            workload["status"]["observedGeneration"] == workload["metadata"]["generation"]
                && workload["status"]["replicas"] == workload["status"]["availableReplicas"]
        };
        self.world
            .cluster
            .wait_until(|cluster| {
                cluster.objects("Ingress", namespace).iter().all(addressed)
                    && cluster.objects("Deployment", namespace).iter().all(rolled)
            })
            .await;
    }

    /// Ledger of the shop; none when there is none.
    pub(crate) fn ledger(&self) -> Option<Value> {
        let object = self
            .world
            .cluster
            .objects("ConfigMap", "preview-system")
            .into_iter()
            .find(|object| object["metadata"]["name"] == *self.ledger_name())?;
        if let Some(text) = object["data"]["state.json"].as_str() {
            return serde_json::from_str(text).ok();
        }
        let packed = STANDARD.decode(object["binaryData"]["state.json.gz"].as_str()?);
        serde_json::from_reader(GzDecoder::new(&*packed.ok()?)).ok()
    }

    /// Lets so many days pass since a preview was used last.
    pub(crate) fn unused_for(&self, pr: u64, days: i64) {
        let used = self.world.clock.now() - SignedDuration::from_hours(24 * days);
        self.change_record(pr, |record| {
            record["lastActivity"] = used.to_string().into();
        });
    }

    /// Changes what the ledger knows of a preview, behind the back of every run.
    pub(crate) fn change_record(&self, pr: u64, change: impl FnOnce(&mut Value)) {
        let mut ledger = self.ledger().unwrap();
        change(&mut ledger["previews"][pr.to_string()]);
        let name = self.ledger_name();
        let mut object = self
            .world
            .cluster
            .object("ConfigMap", "preview-system", &name)
            .unwrap();
        object["data"]["state.json"] = ledger.to_string().into();
        self.world.cluster.put(&object).unwrap();
    }

    /// What the ledger knows of a preview.
    pub(crate) fn record(&self, pr: u64) -> Value {
        self.ledger().unwrap_or_default()["previews"][pr.to_string()].clone()
    }

    /// Name of the ledger's ConfigMap.
    pub(crate) fn ledger_name(&self) -> String {
        let id = self.world.github.create_repository(SHOP);
        format!("preview-{id}-preview")
    }

    /// Deletes the ledger.
    pub(crate) fn loses_ledger(&self) {
        let name = self.ledger_name();
        let cluster = &self.world.cluster;
        cluster.delete("ConfigMap", "preview-system", &name);
    }

    /// Puts this text in the place of the ledger.
    pub(crate) fn corrupt(&self, text: &str) {
        let name = self.ledger_name();
        let cluster = &self.world.cluster;
        let mut ledger = cluster
            .object("ConfigMap", "preview-system", &name)
            .unwrap();
        ledger["data"]["state.json"] = text.into();
        cluster.put(&ledger).unwrap();
    }

    /// Changes what the ledger says, as another run would.
    pub(crate) fn amend(&self, change: impl FnOnce(&mut Value)) {
        let mut ledger = self.ledger().unwrap();
        change(&mut ledger);
        self.corrupt(&ledger.to_string());
    }

    /// Pull requests that hold a slot, in the ledger's order.
    pub(crate) fn holders(&self) -> Vec<u64> {
        let ledger = self.ledger().unwrap_or_default();
        let holders = ledger["holders"].as_array().cloned().unwrap_or_default();
        holders
            .iter()
            .map(|holder| holder["pr"].as_u64().unwrap())
            .collect()
    }

    /// Pull requests that wait for a slot, the next one first.
    pub(crate) fn line(&self) -> Vec<u64> {
        let ledger = self.ledger().unwrap_or_default();
        let queue = ledger["queue"].as_array().cloned().unwrap_or_default();
        queue
            .iter()
            .map(|waiting| waiting["pr"].as_u64().unwrap())
            .collect()
    }

    /// The status comment of a pull request; empty when there is none.
    pub(crate) fn comment(&self, pr: u64) -> String {
        let comments = self.status_comments(pr);
        assert!(comments.len() <= 1, "{comments:#?}");
        comments
            .into_iter()
            .next()
            .map(|one| one.body)
            .unwrap_or_default()
    }

    /// Namespaces that are labelled as previews, whoever made them, also those that are going.
    pub(crate) fn namespaces(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .world
            .cluster
            .objects("Namespace", "")
            .iter()
            .filter(|object| object["metadata"]["labels"]["app"] == "preview")
            .map(|object| object["metadata"]["name"].as_str().unwrap().to_owned())
            .collect();
        names.sort();
        names
    }

    /// Image of the only container of a Deployment.
    pub(crate) fn image(&self, namespace: &str, name: &str) -> String {
        let object = self
            .world
            .cluster
            .object("Deployment", namespace, name)
            .unwrap_or_default();
        object["spec"]["template"]["spec"]["containers"][0]["image"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// Status comments on a pull request that carry our marker at their begin, oldest first.
    pub(crate) fn status_comments(&self, pr: u64) -> Vec<github::Comment> {
        self.world
            .github
            .comments(SHOP, pr)
            .into_iter()
            .filter(|comment| {
                comment
                    .body
                    .starts_with("<!-- preview-action v1 kind=status")
            })
            .collect()
    }

    /// Requests to the API server since a position in the log, watches left out.
    pub(crate) fn cluster_requests(&self, since: usize) -> Vec<Record> {
        self.requests("cluster", since)
    }

    pub(crate) fn requests(&self, site: &str, since: usize) -> Vec<Record> {
        self.world
            .requests()
            .into_iter()
            .filter(|record| record.seq > since && record.site == site && !record.is_watch())
            .collect()
    }

    /// Position in the log.
    pub(crate) fn now(&self) -> usize {
        self.world.requests().last().map_or(0, |record| record.seq)
    }

    /// Ends a conversation: nothing was asked that no real server would know.
    pub(crate) fn ends(&self) {
        assert_eq!(self.world.unexpected(), Vec::<String>::new());
    }
}

/// True for what adds a run's own record to the figures: all that commands which only look leave behind.
pub(crate) fn keeps_record(record: &Record) -> bool {
    let store = "preview-1001-preview-runs";
    let begins = record.method == "POST" && record.body.contains(&format!("\"name\":\"{store}\""));
    begins || record.method == "PATCH" && record.path.ends_with(store)
}

/// A run of the action, about to begin.
pub(crate) struct Run<'a> {
    shop: &'a Shop,
    pr: u64,
    variables: BTreeMap<String, String>,
    folder: PathBuf,
    stop: CancellationToken,
}

impl Run<'_> {
    /// Sets an input; an empty one is as good as none.
    pub(crate) fn input(self, name: &str, value: &str) -> Self {
        self.variable(&format!("INPUT_{}", name.to_ascii_uppercase()), value)
    }

    pub(crate) fn inputs(self, inputs: &[(&str, &str)]) -> Self {
        inputs
            .iter()
            .fold(self, |run, (name, value)| run.input(name, value))
    }

    /// Number of the workflow run.
    pub(crate) fn number(&self) -> u64 {
        self.variables["GITHUB_RUN_ID"].parse().unwrap()
    }

    /// The folder with everything that the runner gives it.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.into(), value.into());
        self
    }

    /// Puts this text in the place of the event's payload; none takes the file away.
    pub(crate) fn payload(self, text: Option<&str>) -> Self {
        let path = self.folder.join("event.json");
        match text {
            Some(text) => std::fs::write(path, text).unwrap(),
            None => std::fs::remove_file(path).unwrap(),
        }
        self
    }

    /// Puts a file into the workspace.
    pub(crate) fn workspace(self, path: &str, text: &str) -> Self {
        let path = self.folder.join("workspace").join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        self
    }

    /// Puts a symbolic link into the workspace; the target is seen from there.
    pub(crate) fn link(self, path: &str, target: &str) -> Self {
        std::os::unix::fs::symlink(target, self.folder.join("workspace").join(path)).unwrap();
        self
    }

    /// Stops when this is cancelled, as by the runner's signal.
    pub(crate) fn stopping(mut self, stop: &CancellationToken) -> Self {
        self.stop = stop.clone();
        self
    }

    /// Plays the run in this process.
    pub(crate) async fn go(self) -> Seen {
        let log = Log::default();
        let begun = Instant::now();
        let exit = act(Surroundings {
            variables: self.variables,
            out: Box::new(log.clone()),
            sandbox: Sandbox { program: binary() },
            stop: self.stop,
            redaction: Redaction::default(),
            loopback: true,
            haste: 100,
            watch: Arc::new(|_| {}),
        })
        .await
        .unwrap();
        let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        Seen::gather(self.shop, self.pr, &self.folder, exit.into(), text, begun)
    }

    /// Begins the run in a process of its own and returns it.
    pub(crate) fn spawn(self) -> tokio::process::Child {
        tokio::process::Command::new(binary())
            .env_clear()
            .envs(&self.variables)
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap()
    }

    /// Plays the run in a process of its own that has nothing in its environment but what a runner sets.
    pub(crate) async fn go_alone(self) -> Seen {
        let begun = Instant::now();
        let output = tokio::process::Command::new(binary())
            .env_clear()
            .envs(&self.variables)
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .output()
            .await
            .unwrap();
        let text = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        let exit = output.status.code().unwrap();
        Seen::gather(self.shop, self.pr, &self.folder, exit, text, begun)
    }

    /// Lets the run die at its k-th request to a site: it is never answered. False when it ended before.
    pub(crate) async fn dies_at(self, site: &'static str, k: usize) -> bool {
        let world = &self.shop.world;
        let dead = Fault::on("*", "/**", preview_action::simulate::Action::Hang)
            .nth(k)
            .always();
        match site {
            "github" => world.github.inject(dead),
            _ => world.cluster.inject(dead),
        }
        let asked = move |records: &[Record]| {
            let asked = records
                .iter()
                .filter(|record| record.site == site && !record.is_watch());
            asked.count() >= k
        };
        world.log.clear();
        let died = tokio::select! {
            _ = self.go() => false,
            () = world.log.wait_until(asked) => true,
        };
        world.github.clear_faults();
        world.cluster.clear_faults();
        died
    }
}

/// Everything that can be seen after a run.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) exit: i32,
    pub(crate) outputs: BTreeMap<String, String>,
    pub(crate) summary: String,
    /// What it printed, on standard error too if it had one of its own.
    pub(crate) log: String,
    /// Bodies of the comments on the pull request that our own account wrote, oldest first.
    pub(crate) comments: Vec<String>,
    /// What stands beside the comments: issues, commit statuses, deployments and their statuses, as they were sent.
    pub(crate) beside: Vec<String>,
    pub(crate) took: Duration,
}

impl Seen {
    fn gather(shop: &Shop, pr: u64, folder: &Path, exit: i32, log: String, begun: Instant) -> Self {
        let text = |file: &str| std::fs::read_to_string(folder.join(file)).unwrap();
        let comments = shop.world.github.comments(SHOP, pr);
        let sent = shop.world.requests();
        let seen = Self {
            exit,
            outputs: read_outputs(&text("output")),
            summary: text("summary"),
            log,
            comments: comments
                .into_iter()
                .filter(|comment| comment.author == "github-actions[bot]")
                .map(|comment| comment.body)
                .collect(),
            beside: sent.iter().filter_map(beside).collect(),
            took: begun.elapsed(),
        };
        // The shop's server is another one, like somebody's Enterprise Server: whatever this run has said or written.
        let all = seen.everything();
        let written = sent.iter().filter(|one| one.site == "github");
        let written = written.flat_map(|one| [one.path.as_str(), &one.body]);
        stays_here(written.chain([all.as_str()]));
        seen
    }

    pub(crate) fn output(&self, name: &str) -> &str {
        self.outputs.get(name).map(String::as_str).unwrap_or("")
    }

    /// Body of the status comment; empty when there is none.
    pub(crate) fn comment(&self) -> &str {
        let marker = "<!-- preview-action v1 kind=status";
        let found = self.comments.iter().find(|body| body.starts_with(marker));
        found.map(String::as_str).unwrap_or("")
    }

    /// Checks exit code and reason.
    #[track_caller]
    pub(crate) fn ends(&self, exit: i32, reason: &str) {
        assert_eq!(
            (self.exit, self.output("reason-code")),
            (exit, reason),
            "{self:#?}"
        );
    }

    /// Checks that the status comment says something.
    #[track_caller]
    pub(crate) fn says(&self, text: &str) {
        assert!(
            self.comment().contains(text),
            "no {text:?} in\n{}\n{}",
            self.comment(),
            self.log
        );
    }

    /// Checks that there is one status comment.
    #[track_caller]
    pub(crate) fn one_comment(&self) {
        let marker = "<!-- preview-action v1 kind=status";
        let found = self.comments.iter().filter(|body| body.starts_with(marker));
        assert_eq!(found.count(), 1, "{self:#?}");
    }

    /// Everything that anybody may read: log, annotations, summary, outputs, comments, and what stands beside them.
    pub(crate) fn everything(&self) -> String {
        let outputs: Vec<String> = self
            .outputs
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        [
            self.log.as_str(),
            &self.summary,
            &outputs.join("\n"),
            &self.comments.join("\n"),
            &self.beside.join("\n"),
        ]
        .join("\n")
    }

    /// The annotations of the run, unescaped, one a line.
    pub(crate) fn annotations(&self) -> Vec<String> {
        self.log
            .lines()
            .filter(|line| {
                ["::error", "::warning", "::notice"]
                    .iter()
                    .any(|p| line.starts_with(p))
            })
            .map(|line| {
                line.replace("%0A", "\n")
                    .replace("%0D", "\r")
                    .replace("%3A", ":")
                    .replace("%2C", ",")
                    .replace("%25", "%")
            })
            .collect()
    }
}

/// What a request wrote on GitHub that is no comment.
fn beside(request: &Record) -> Option<String> {
    let mut parts = request.path.split('/');
    let place = |part| ["issues", "statuses", "deployments"].contains(&part);
    let writes = request.site == "github" && ["POST", "PATCH"].contains(&request.method.as_str());
    let comments = request.path.contains("/comments");
    (writes && !comments && parts.any(place)).then(|| request.body.clone())
}

/// Checks that no text leads to another GitHub than the shop's.
fn stays_here<'a>(texts: impl IntoIterator<Item = &'a str>) {
    let mut lines = texts.into_iter().flat_map(str::lines);
    let astray = lines.find(|line| ELSEWHERE.iter().any(|host| line.contains(host)));
    assert_eq!(astray, None, "people are sent to another server");
}

/// The binary under test.
pub(crate) fn binary() -> PathBuf {
    env!("CARGO_BIN_EXE_preview-action").into()
}

/// How a program ended: its exit code, what it wrote as data, and all else.
pub(crate) fn printed(output: &std::process::Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code().unwrap(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

/// What a run prints.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
