//! Turns an event into a container of the action's image, started, watched and cancelled the way GitHub's runner does
//! (actions/runner 2.336: `ContainerActionHandler.cs`, `DockerCommandManager.cs`, `ProcessInvoker.cs`).
//! It must not help the action: no `--init`, no host network, nothing mounted beyond the runner's five folders and socket.
//! Variables are handed over by name only, because that is what lets line ends and empty values survive.

use std::collections::BTreeMap;
use std::fs::File;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::environment::{file_command, github_environment, inputs};
use crate::world::{World, text};

/// What a job's step needs to start.
pub(crate) struct Step<'a> {
    pub(crate) image: &'a str,
    pub(crate) event: &'a str,
    pub(crate) payload: &'a Value,
    /// The workflow's `with:`; what it leaves out comes from `action.yml`, declared inputs without default are empty.
    pub(crate) with: &'a BTreeMap<String, String>,
    pub(crate) token: &'a str,
    /// `runs.entrypoint` and `runs.args`; the action has none.
    pub(crate) entrypoint: &'a [&'a str],
}

/// A step that has ended.
pub(crate) struct Finished {
    pub(crate) exit_code: i32,
    pub(crate) log: String,
    pub(crate) outputs: BTreeMap<String, String>,
    pub(crate) summary: String,
    pub(crate) took: Duration,
}

/// A step that was cancelled.
pub(crate) struct Cancelled {
    pub(crate) exit_code: i32,
    pub(crate) log: String,
    /// The signal that ended it.
    pub(crate) ended_by: &'static str,
    /// From the first signal on.
    pub(crate) took: Duration,
    /// Containers of the step that ran on after it.
    pub(crate) orphans: usize,
}

/// A step that runs.
pub(crate) struct Job {
    folders: TempDir,
    name: String,
    docker: Child,
    began: Instant,
}

impl Job {
    pub(crate) fn start(world: &World, step: &Step<'_>) -> Self {
        let folders = tempfile::tempdir().unwrap();
        for name in [
            "_temp/_github_home",
            "_temp/_github_workflow",
            "_temp/_runner_file_commands",
            "workspace",
        ] {
            std::fs::create_dir_all(folders.path().join(name)).unwrap();
        }
        std::fs::write(
            folders.path().join("_temp/_github_workflow/event.json"),
            step.payload.to_string(),
        )
        .unwrap();
        for file in FILE_COMMANDS {
            File::create(
                folders
                    .path()
                    .join("_temp/_runner_file_commands")
                    .join(file),
            )
            .unwrap();
        }
        let name = format!("e2e{}", folders.path().file_name().unwrap().display());
        let mut environment = github_environment(world, step);
        environment.extend(inputs(step));
        let mut docker = Command::new("docker");
        docker.args([
            "run",
            "--name",
            &name,
            "--label",
            "preview-e2e",
            "--workdir",
            "/github/workspace",
            "--rm",
        ]);
        docker.args(environment.keys().flat_map(|key| ["-e", key]));
        if let Some(entrypoint) = step.entrypoint.first() {
            docker.args(["--entrypoint", entrypoint]);
        }
        docker.args(["-v", "/var/run/docker.sock:/var/run/docker.sock"]);
        for (from, to) in MOUNTS {
            docker
                .arg("-v")
                .arg(format!("{}:{to}", folders.path().join(from).display()));
        }
        docker.arg(step.image).args(step.entrypoint.iter().skip(1));
        let log = File::create(folders.path().join("log")).unwrap();
        docker
            .env_clear()
            .envs(std::env::vars().filter(|(key, _)| key == "PATH" || key == "DOCKER_HOST"))
            .envs(environment);
        docker
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        Self {
            began: Instant::now(),
            docker: docker.spawn().unwrap(),
            folders,
            name,
        }
    }

    /// Waits for the step's end and reads its files, as the runner does even after a failure.
    pub(crate) async fn finish(mut self) -> Finished {
        let status = self.docker.wait().await.unwrap();
        let took = self.began.elapsed();
        let file = |name: &str| {
            std::fs::read_to_string(
                self.folders
                    .path()
                    .join("_temp/_runner_file_commands")
                    .join(name),
            )
            .unwrap()
        };
        Finished {
            exit_code: status.code().unwrap_or(-1),
            log: self.log(),
            outputs: file_command(&file("set_output_e2e")),
            summary: file("step_summary_e2e"),
            took,
        }
    }

    /// Ends the step as the runner does: SIGINT to the docker client, SIGTERM after 7.5 s, SIGKILL after another 2.5 s.
    pub(crate) async fn cancel(mut self) -> Cancelled {
        let client =
            Pid::from_raw(i32::try_from(self.docker.id().expect("it still runs")).unwrap())
                .unwrap();
        let began = Instant::now();
        let mut ended_by = "SIGKILL";
        for (signal, name, patience) in [
            (Signal::INT, "SIGINT", 7500),
            (Signal::TERM, "SIGTERM", 2500),
        ] {
            kill_process(client, signal).unwrap();
            if tokio::time::timeout(Duration::from_millis(patience), self.docker.wait())
                .await
                .is_ok()
            {
                ended_by = name;
                break;
            }
        }
        if ended_by == "SIGKILL" {
            self.docker.start_kill().unwrap();
        }
        let exit_code = self.docker.wait().await.unwrap().code().unwrap_or(-1);
        let took = began.elapsed();
        let orphans = docker(&["ps", "--quiet", "--filter", &format!("name={}", self.name)])
            .lines()
            .count();
        Cancelled {
            exit_code,
            log: self.log(),
            ended_by,
            took,
            orphans,
        }
    }

    fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.folders.path().join("log")).unwrap())
            .into_owned()
    }
}

impl Drop for Job {
    /// A test that fails half-way must not leave its container to the next one.
    fn drop(&mut self) {
        let mut remove = std::process::Command::new("docker");
        remove
            .args(["rm", "--force", &self.name])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        remove.status().ok();
    }
}

const MOUNTS: [(&str, &str); 5] = [
    ("_temp", "/github/runner_temp"),
    ("_temp/_github_home", "/github/home"),
    ("_temp/_github_workflow", "/github/workflow"),
    ("_temp/_runner_file_commands", "/github/file_commands"),
    ("workspace", "/github/workspace"),
];

const FILE_COMMANDS: [&str; 5] = [
    "set_output_e2e",
    "set_env_e2e",
    "save_state_e2e",
    "add_path_e2e",
    "step_summary_e2e",
];

/// Runs a shell in place of the action, which reports what it finds.
pub(crate) async fn look_around(world: &World) -> Finished {
    let script = r#"
        echo "pid=$$" >>$GITHUB_OUTPUT
        echo "workdir=$(pwd)" >>$GITHUB_OUTPUT
        echo "home=$HOME" >>$GITHUB_OUTPUT
        printf 'event<<END\n%s\nEND\n' "$(cat $GITHUB_EVENT_PATH)" >>$GITHUB_OUTPUT
        # the shell itself drops names with hyphens
        value=$(tr '\0\n' '\n\001' </proc/1/environ | grep '^INPUT_WITH-HYPHEN=' | cut -d= -f2- | tr '\001' '\n')
        printf 'hyphen<<END\n%s\nEND\n' "$value" >>$GITHUB_OUTPUT
        wget -qO- $GITHUB_API_URL/repos/acme/web >/dev/null && echo github=reached >>$GITHUB_OUTPUT
        nc -w 5 ${INPUT_SERVER%:*} ${INPUT_SERVER#*:} </dev/null && echo cluster=reached >>$GITHUB_OUTPUT
        test -S /var/run/docker.sock && test -d /github/runner_temp/_github_home && echo '# seen' >>$GITHUB_STEP_SUMMARY
    "#;
    let kubeconfig = world.action_kubeconfig();
    let server = kubeconfig
        .split("https://")
        .nth(1)
        .and_then(|rest| rest.split(['"', '\n']).next())
        .expect("a server in the kubeconfig");
    let with = [("with-hyphen", "one\ntwo"), ("server", server)]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    let payload = json!({"action": "opened"});
    let step = Step {
        image: "preview-e2e-job:1",
        event: "pull_request",
        payload: &payload,
        with: &with,
        token: "",
        entrypoint: &["sh", "-c", script],
    };
    Job::start(world, &step).finish().await
}

fn docker(arguments: &[&str]) -> String {
    let mut command = std::process::Command::new("docker");
    command.args(arguments);
    text(command)
}
