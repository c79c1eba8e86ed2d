//! The command `diff`: what a deploy would change, printed for people or programs.
//! It translates options and prints; the use case is the pipeline's.
//! In text it prints the Markdown that a comment would carry, so that both say the same.

use super::{
    command_line::{Format, Output, What, Which},
    inputs::ForDiff,
    print::{self, Failed},
};
use crate::{pipeline, report};
use clap::Args;

/// Options of `preview-action diff`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  preview-action diff --repository acme/shop --repository-id 42 --pr 12 \\\n    \
    --images web=ghcr.io/acme/shop:{sha} --domain preview.example.com"
)]
pub(super) struct Diff {
    #[command(flatten)]
    which: Which<ForDiff>,
    #[command(flatten)]
    what: What,
    #[command(flatten)]
    format: Format,
}

impl Diff {
    pub(super) async fn run(self, verbose: u8) -> Result<u8, Failed> {
        let (opened, repository) = self.which.open(verbose).await?;
        let request = self.which.request(&self.what, &opened, &repository).await?;
        let sources = self.what.sources(&opened, &request);
        let differences = pipeline::diff(&opened.ports, &request, &sources).await?;
        match self.format.output {
            Output::Json => print::json(&differences),
            Output::Text => {
                let text = report::diff(&differences).map_err(pipeline::Failure::from)?;
                print::text(&text);
                Ok(0)
            }
        }
    }
}
