//! The command `check`: what would keep a deploy from going well, printed for people or programs.
//! It translates options and prints; the use case is the pipeline's.
//! It exits with 1 when somebody here can mend what was found, and with 3 when GitHub or the cluster said no.

use super::{
    command_line::{Format, Output, What, Which},
    inputs::ForCheck,
    print::{self, Failed},
};
use crate::{
    pipeline::{self, Exit},
    report::{Finding, Verdict},
};
use clap::Args;

/// Options of `preview-action check`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  preview-action check --repository acme/shop --repository-id 42 --pr 12 \\\n    \
    --images web=ghcr.io/acme/shop:{sha} --domain preview.example.com"
)]
pub(super) struct Check {
    #[command(flatten)]
    which: Which<ForCheck>,
    #[command(flatten)]
    what: What,
    #[command(flatten)]
    format: Format,
}

impl Check {
    pub(super) async fn run(self, verbose: u8) -> Result<u8, Failed> {
        let (opened, repository) = self.which.open(verbose).await?;
        let request = self.which.request(&self.what, &opened, &repository).await?;
        let sources = self.what.sources(&opened, &request);
        let findings = pipeline::check(&opened.ports, &request, &sources).await;
        match self.format.output {
            Output::Json => drop(print::json(&findings)?),
            Output::Text => print::text(&print::options(&text(&findings))),
        }
        let has = |verdict| findings.iter().any(|one| one.verdict == verdict);
        let exit = match (has(Verdict::Fault), has(Verdict::Refused)) {
            (true, _) => Exit::Yours,
            (false, true) => Exit::Theirs,
            (false, false) => Exit::Done,
        };
        Ok(exit.code())
    }
}

fn text(findings: &[Finding]) -> String {
    let mut text = String::new();
    for one in findings {
        text += &format!("{} {}: {}\n", one.verdict.sign(), one.about, one.cause);
        if !one.remedy.is_empty() {
            text += &format!("   fix: {}\n", one.remedy);
        }
    }
    text
}
