//! Prints for each object of a file whether it is ready, as JSON, one line an object.
//! It speaks to no cluster: what `kubectl get -o json` printed is enough.
//! The rules are those of a deploy, so that what it waits for can be looked into by hand.

use super::print::{self, Failed};
use crate::pipeline::{Verdict, assess};
use std::{io::Read as _, path::PathBuf};

/// Options of `preview-action assess`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Each line is {\"kind\",\"namespace\",\"name\",\"status\",\"reason\",\"message\"}; status is Ready, InProgress, Failed or Terminating.\n\
        A document that cannot be read is a line {\"error\"}, and the exit code is 1 in the end.\n\n\
        Example:\n  kubectl get deployments,pods -o json | preview-action assess -"
)]
pub(super) struct Assess {
    /// JSON or YAML with one or many live objects; `-` for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

impl Assess {
    pub(super) fn run(self) -> Result<u8, Failed> {
        let text = self.read()?;
        let verdicts = assess(&text, jiff::Timestamp::now());
        let mut code = 0;
        for verdict in &verdicts {
            if matches!(verdict, Verdict::Unreadable { .. }) {
                code = 1;
            }
            print::text(&serde_json::to_string(verdict).map_err(anyhow::Error::from)?);
        }
        if verdicts.is_empty() {
            return Err(Failed::yours(
                format!("there is no object in {}", self.name()),
                "give it what `kubectl get -o json` prints",
            ));
        }
        Ok(code)
    }

    fn name(&self) -> String {
        if self.file.as_os_str() == "-" {
            "standard input".into()
        } else {
            self.file.display().to_string()
        }
    }

    fn read(&self) -> Result<String, Failed> {
        let read = if self.file.as_os_str() == "-" {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).map(|_| text)
        } else {
            std::fs::read_to_string(&self.file)
        };
        read.map_err(|error| {
            Failed::yours(
                format!("{} cannot be read: {error}", self.name()),
                "give the path of a text file, or `-` for standard input",
            )
        })
    }
}
