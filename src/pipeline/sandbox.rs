//! Renders templates in a child of the same binary that limits its own memory.
//! It does not know what the templates are for.
//! A template can double a string until memory is gone; then only the child dies, and that is a template error.

use super::Failure;
use crate::{
    manifests::render::{RenderRequest, Rendered, child_main, read_answer},
    names::ReasonCode,
};
use std::{path::PathBuf, process::ExitCode, process::Stdio, time::Duration};
use tokio::io::AsyncWriteExt as _;

/// Name of the hidden subcommand that the child runs.
pub const RENDER_COMMAND: &str = "render-templates";

/// Address space of the child; a full render of a large application takes a tenth.
const MEMORY: u64 = 512 << 20;

/// Fuel ends loops long before this; it is for a child that hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// The program that renders.
#[derive(Debug, Clone)]
pub struct Sandbox {
    /// Path of the binary.
    pub program: PathBuf,
}

impl Sandbox {
    /// The program that is running now.
    pub fn current() -> std::io::Result<Self> {
        Ok(Self {
            program: std::env::current_exe()?,
        })
    }

    /// Renders in a child with an empty environment.
    pub async fn render(&self, request: &RenderRequest) -> Result<Vec<Rendered>, Failure> {
        let bug = |what: &str, error: &dyn std::fmt::Display| {
            Failure::new(
                super::Blame::Ours,
                ReasonCode::InternalError,
                format!("cannot {what} the template renderer: {error}"),
                "",
            )
        };
        let input = serde_json::to_vec(request).map_err(|error| bug("prepare", &error))?;
        let mut child = tokio::process::Command::new(&self.program)
            .arg(RENDER_COMMAND)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| bug("start", &error))?;
        let stdin = child.stdin.take();
        let feed = async move {
            if let Some(mut stdin) = stdin {
                // A child that died does not read; its exit status says so below.
                let _ = stdin.write_all(&input).await;
            }
        };
        let work = async { tokio::join!(feed, child.wait_with_output()).1 };
        let output = tokio::time::timeout(PATIENCE, work)
            .await
            .map_err(|_| {
                Failure::yours(
                    ReasonCode::TemplateError,
                    format!(
                        "rendering the templates took longer than {} seconds",
                        PATIENCE.as_secs()
                    ),
                    "look for a loop over a huge range in your templates",
                )
            })?
            .map_err(|error| bug("wait for", &error))?;
        if !output.status.success() {
            return Err(Failure::yours(
                ReasonCode::TemplateError,
                format!(
                    "rendering the templates needed more than {} MiB of memory",
                    MEMORY >> 20
                ),
                "look for a template that makes a text grow without end",
            ));
        }
        let answer = read_answer(&output.stdout).map_err(|error| bug("understand", &error))?;
        answer.map_err(Failure::from)
    }
}

/// The child's side: reads a request from standard input, writes the answer to standard output.
pub fn render_templates() -> ExitCode {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let hard = getrlimit(Resource::As).maximum;
    let limit = Rlimit {
        current: Some(hard.map_or(MEMORY, |hard| hard.min(MEMORY))),
        maximum: hard,
    };
    if setrlimit(Resource::As, limit).is_err() {
        return ExitCode::FAILURE;
    }
    match child_main(std::io::stdin().lock(), std::io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
