//! `preview-action adopt`: takes over a Namespace that was made before this tool came.
//! It asks the person at the terminal first and decides nothing else.
//! A question that nobody answers is a no: a script that means it says `--yes`.

use super::{
    command_line::{Format, Output, Which},
    inputs::ForAdopt,
    print::{self, Failed},
};
use crate::{names::Namespace, pipeline};
use clap::Args;

/// Options of `preview-action adopt`.
#[derive(Debug, Args)]
#[command(
    after_help = "Needs an administrator's credential: the action's own account may not touch Namespaces that are not labelled as its own.\n\
    Example:\n  preview-action adopt old-preview-12 --repository acme/shop --repository-id 42 --pr 12"
)]
pub(super) struct Adopt {
    /// Namespace, labelled app=preview
    #[arg(value_name = "NAMESPACE")]
    namespace: Namespace,
    #[command(flatten)]
    which: Which<ForAdopt>,
    /// Do it without asking
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    format: Format,
}

impl Adopt {
    pub(super) async fn run(self, verbose: u8) -> Result<u8, Failed> {
        let (opened, repository) = self.which.open(verbose).await?;
        let preview = self.which.preview(&opened, &repository);
        let found = pipeline::adoptable(&opened.ports, &preview, &self.namespace).await?;
        let (owner, head) = match &opened.ports.github {
            Some(github) => {
                let pull = github.pull(preview.pr).await;
                let pull = pull.map_err(pipeline::Failure::from)?;
                if !pull.open {
                    return Err(Failed::yours(
                        format!(
                            "pull request #{} is closed, so the next sweep would delete namespace {} with its data",
                            preview.pr, found.name
                        ),
                        "reopen the pull request first, or leave the namespace as it is",
                    ));
                }
                (pull.author.login, Some(pull.head_sha))
            }
            None => {
                print::progress(&format!(
                    "without --token, whether #{} is open is not known: the next sweep deletes the namespace of a closed one",
                    preview.pr
                ));
                (String::new(), None)
            }
        };
        let question = format!(
            "Namespace {} becomes the preview of {} #{}: labelled so, held to pod security `baseline`, counted, and deleted when the pull request closes or the preview expires; the next deploy puts one of the usual name in its place. Go on?",
            found.name, repository.name, preview.pr
        );
        if !self.yes && !print::agrees(&question) {
            return Err(Failed::yours(
                format!("namespace {} was not taken over: nobody agreed", found.name),
                "answer `yes`, or give --yes",
            ));
        }
        let adopted = pipeline::adopt(
            &opened.ports,
            &preview,
            &repository.name,
            &owner,
            head.as_ref(),
            &found,
        )
        .await?;
        match self.format.output {
            Output::Json => print::json(&adopted),
            Output::Text => {
                print::text(&format!(
                    "adopted: namespace {} has slot {}; {} of {} are taken",
                    adopted.namespace, adopted.slot, adopted.taken, adopted.capacity
                ));
                Ok(0)
            }
        }
    }
}
