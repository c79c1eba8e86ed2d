//! The command `metrics`: figures of the recorded runs and of what is live, for scrapers and programs.
//! It translates options and prints; the figures are the pipeline's.
//! OpenMetrics is the default, because a file of it is all that a node exporter needs.

use super::{
    command_line::Whose,
    inputs::ForMetrics,
    print::{self, Failed},
};
use crate::{metrics, pipeline};
use anyhow::Context as _;
use clap::{Args, ValueEnum};

/// How figures are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// OpenMetrics text
    Openmetrics,
    /// One JSON value
    Json,
}

/// Options of `preview-action metrics`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  preview-action metrics --repository acme/shop --repository-id 42 >/var/lib/node-exporter/previews.prom"
)]
pub(super) struct Metrics {
    #[command(flatten)]
    whose: Whose<ForMetrics>,
    /// How the figures are printed
    #[arg(short, long, value_enum, default_value = "openmetrics")]
    output: Form,
}

impl Metrics {
    pub(super) async fn run(self, verbose: u8) -> Result<u8, Failed> {
        let (opened, repository) = self.whose.open(verbose).await?;
        let (figures, now) = pipeline::metrics(&opened.ports, repository.id).await?;
        match self.output {
            Form::Json => print::json(&serde_json::json!({
                "version": 1,
                "now": now,
                "figures": figures,
            })),
            Form::Openmetrics => {
                let name = repository.name.to_string();
                let environment = opened.ports.settings.environment.to_string();
                let labels = [
                    ("repository", name.as_str()),
                    ("environment", environment.as_str()),
                ];
                let page = metrics::openmetrics(&figures, &now, &labels)
                    .context("the page was not written")
                    .map_err(Failed::Bug)?;
                print::text(page.trim_end());
                Ok(0)
            }
        }
    }
}
