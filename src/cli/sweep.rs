//! The command that does by hand what the schedule does, or shows what it would do.
//! It decides nothing; the plan and the work are those of the scheduled run.
//! A dry run writes nothing anywhere, so that anybody may look at what the next sweep has in mind.

use super::{
    command_line::{Format, Output, opened},
    inputs::{ForSweep, Inputs},
    print::{self, Failed},
};
use crate::{names::RepoName, pipeline};
use clap::Args;

/// Options of `preview-action sweep`.
#[derive(Debug, Args)]
pub(super) struct Sweep {
    /// Repository
    #[arg(long, value_name = "OWNER/NAME")]
    repository: RepoName,
    /// Number of the repository, as `gh api repos/OWNER/NAME --jq .id` prints it; asked of GitHub without it
    #[arg(long, value_name = "ID")]
    repository_id: Option<u64>,
    /// Address of GitHub's API, for the token
    #[arg(
        long,
        value_name = "URL",
        env = crate::runner::API_URL,
        default_value = "https://api.github.com"
    )]
    api_url: String,
    /// Show what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    inputs: Inputs<ForSweep>,
    #[command(flatten)]
    format: Format,
}

impl Sweep {
    pub(super) async fn run(self, verbose: u8) -> Result<u8, Failed> {
        let which = (&self.repository, self.repository_id);
        let (opened, repository) = opened(which, &self.api_url, &self.inputs.raw, verbose).await?;
        let ports = &opened.ports;
        // What is the workflow's to say counts here only where it was said again.
        let given = |names: &[&str]| {
            names
                .iter()
                .any(|name| self.inputs.raw.text(name).is_some())
        };
        let mandate = pipeline::Mandate {
            governs: given(&["max-previews"]),
            expires: given(&["ttl"]),
            deploys: given(&["domain", "host-pattern", "images", "config"]),
            pushes: given(&["auto-deploy"]),
        };
        for (known, what, option) in [
            (mandate.expires, "nothing expires", "--ttl"),
            (
                mandate.deploys,
                "nobody is deployed",
                "--domain or --images",
            ),
        ] {
            if !known {
                print::progress(&format!(
                    "{what} by this: that takes {option} as in the workflow"
                ));
            }
        }
        if self.dry_run {
            let pipeline::Outlook { due, trouble } =
                pipeline::would_sweep(ports, &repository, mandate).await?;
            if let Some(trouble) = trouble {
                print::progress(&trouble);
            }
            return match self.format.output {
                Output::Json => print::json(&due),
                Output::Text => {
                    print::text(&print::due(&due));
                    Ok(0)
                }
            };
        }
        let ending = pipeline::sweep_by_hand(ports, &repository, mandate).await;
        match self.format.output {
            Output::Json => {
                print::json(&ending.swept)?;
            }
            Output::Text => print::text(&ending.lines().join("\n")),
        }
        if let Some(failure) = &ending.failure {
            print::error(&Failed::from(failure.clone()).to_string());
        }
        Ok(ending.exit.code())
    }
}
