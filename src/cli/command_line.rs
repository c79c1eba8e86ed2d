//! The commands of the command line: deploy, rollback, remove, list, status, render.
//! They translate options into a request and an ending into text; the use cases are those of the action.
//! With a token the pull request's facts come from GitHub and its comment is kept; without one they come from options.

use super::{
    inputs::{ForDeploy, ForList, ForRemove, ForRender, ForRollback, ForStatus, Inputs, Offers},
    open::{self, Opened},
    print::{self, Failed},
};
use crate::{
    event::{PullRequest, Repository},
    inputs::RawInputs,
    names::{CommitSha, PrNumber, PreviewKey, ReasonCode, RepoId, RepoName},
    pipeline::{
        self, DeployRequest, Ending, Entrance, RemoveReason, RemoveRequest, Sources, Teller,
    },
    report,
    trigger::Commit,
};
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    /// For people
    Text,
    /// For programs: one JSON value
    Json,
}

#[derive(Debug, Args)]
pub(super) struct Format {
    /// How the result is printed
    #[arg(short, long, value_enum, default_value = "text")]
    pub(super) output: Output,
}

/// Which repository.
#[derive(Debug, Args)]
pub(super) struct Whose<C: Offers> {
    /// Repository
    #[arg(long, value_name = "OWNER/NAME")]
    repository: RepoName,
    /// Number of the repository, as `gh api repos/OWNER/NAME --jq .id` prints it; asked of GitHub with a token
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
    #[command(flatten)]
    inputs: Inputs<C>,
}

/// Which pull request of which repository.
#[derive(Debug, Args)]
pub(super) struct Which<C: Offers> {
    #[command(flatten)]
    whose: Whose<C>,
    /// Pull request
    #[arg(long, value_name = "NUMBER")]
    pr: PrNumber,
}

/// Which commit, and where its files are.
#[derive(Debug, Args)]
pub(super) struct What {
    /// Commit; by default the pull request's newest with a token, else the one that is checked out in the directory
    #[arg(long, value_name = "SHA")]
    sha: Option<CommitSha>,
    /// Branch, for the placeholder {branch}
    #[arg(long, value_name = "NAME", default_value = "")]
    branch: String,
    /// Directory of the repository's files; with a token they are read from GitHub unless it is at that commit
    #[arg(long, value_name = "PATH", default_value = ".")]
    pub(super) directory: PathBuf,
}

impl What {
    /// Refuses what `/deploy` would not deploy by its name either.
    async fn may_deploy(&self, opened: &Opened, pull: &PullRequest) -> Result<(), Failed> {
        let commit = self.sha.clone().map_or(Commit::Head, Commit::Named);
        let pinned = pipeline::pinned(&opened.ports, &commit, pull).await?;
        let Err(denied) = pinned else { return Ok(()) };
        let remedy = format!("give --sha {}, its newest, or leave it out", pull.head_sha);
        Err(pipeline::Failure::yours(denied.reason, denied.cause, remedy).into())
    }

    /// Where the files of the commit are.
    pub(super) fn sources(&self, opened: &Opened, request: &DeployRequest) -> Sources {
        match &opened.ports.github {
            // The commit is GitHub's word, so a directory counts only when it is at that commit.
            Some(_) => Sources::at(&request.sha, Some(&self.directory))
                .with_manifests_below(&self.directory),
            None => Sources::directory(&self.directory),
        }
    }
}

impl<C: Offers> Whose<C> {
    pub(super) async fn open(&self, verbose: u8) -> Result<(Opened, Repository), Failed> {
        let which = (&self.repository, self.repository_id);
        opened(which, &self.api_url, &self.inputs.raw, verbose).await
    }
}

impl<C: Offers> Which<C> {
    pub(super) async fn open(&self, verbose: u8) -> Result<(Opened, Repository), Failed> {
        self.whose.open(verbose).await
    }

    pub(super) fn preview(&self, opened: &Opened, repository: &Repository) -> PreviewKey {
        PreviewKey {
            repository: repository.id,
            environment: opened.ports.settings.environment.clone(),
            pr: self.pr,
            variant: None,
        }
    }

    async fn pull(&self, opened: &Opened) -> Result<Option<PullRequest>, Failed> {
        let Some(github) = &opened.ports.github else {
            return Ok(None);
        };
        let pull = github.pull(self.pr).await;
        Ok(Some(pull.map_err(pipeline::Failure::from)?))
    }

    pub(super) async fn request(
        &self,
        what: &What,
        opened: &Opened,
        repository: &Repository,
    ) -> Result<DeployRequest, Failed> {
        let pull = self.pull(opened).await?;
        self.request_for(what, pull, repository)
    }

    fn request_for(
        &self,
        what: &What,
        pull: Option<PullRequest>,
        repository: &Repository,
    ) -> Result<DeployRequest, Failed> {
        let checked_out = || {
            pipeline::checked_out(&what.directory).ok_or_else(|| {
                Failed::yours(
                    format!(
                        "{} is no git checkout, so the commit is not known",
                        what.directory.display()
                    ),
                    "give --sha with the full commit id",
                )
            })
        };
        let (head, branch, author) = match pull {
            Some(pull) => (pull.head_sha, pull.head_branch, pull.author.login),
            None => (
                what.sha.clone().map_or_else(checked_out, Ok)?,
                what.branch.clone(),
                String::new(),
            ),
        };
        Ok(DeployRequest {
            repository: repository.clone(),
            pr: self.pr,
            sha: what.sha.clone().unwrap_or_else(|| head.clone()),
            head,
            at: None,
            branch,
            author,
            // Whoever sits at the terminal names commit and directory, with credentials of their own.
            fork: false,
            own_run: true,
            asked: true,
            // The cap of a living ledger is the workflow's, unless it is given here.
            governs: self.whose.inputs.raw.text("max-previews").is_some(),
            entrance: Entrance::Ordinary,
            seen: None,
        })
    }
}

/// Opens what the inputs name, and finds the repository's number.
pub(super) async fn opened(
    (name, id): (&RepoName, Option<u64>),
    api_url: &str,
    raw: &RawInputs,
    verbose: u8,
) -> Result<(Opened, Repository), Failed> {
    let opened = open::command_line(raw, Some((api_url.to_owned(), name.clone())), verbose)?;
    let known = match &opened.ports.github {
        Some(github) => match (id, github.repository().await) {
            (_, Ok(known)) => Some(known.id),
            (Some(id), Err(error)) if error.reason() == ReasonCode::GithubUnreachable => {
                print::progress(&format!(
                    "whether {id} is the number of {name} is not known: {error}"
                ));
                None
            }
            (_, Err(error)) => return Err(pipeline::Failure::from(error).into()),
        },
        None => None,
    };
    let id = match (id.map(RepoId), known) {
        (Some(id), Some(known)) if id != known => {
            return Err(Failed::yours(
                format!(
                    "--repository-id is {id}, and {name} is repository {known}: the previews of one would be taken for those of the other"
                ),
                format!("give --repository-id {known}, or leave it out"),
            ));
        }
        (Some(id), _) | (None, Some(id)) => id,
        (None, None) => {
            return Err(Failed::yours(
                "the number of the repository is not known",
                format!(
                    "give --repository-id, which `gh api repos/{name} --jq .id` prints, or --token"
                ),
            ));
        }
    };
    let repository = Repository {
        id,
        name: name.clone(),
        default_branch: None,
    };
    Ok((opened, repository))
}

/// Options of `preview-action deploy`.
#[derive(Debug, Args)]
#[command(
    after_help = "With a token --sha takes any commit of the pull request, and of a fork its newest: it stays until the next push or \
    `/deploy`. Example:\n  preview-action deploy --repository acme/shop --repository-id 42 --pr 12 \\\n    \
    --images web=ghcr.io/acme/shop:{sha} --domain preview.example.com"
)]
pub(super) struct Deploy {
    #[command(flatten)]
    which: Which<ForDeploy>,
    #[command(flatten)]
    what: What,
    #[command(flatten)]
    format: Format,
}

impl Deploy {
    pub(super) async fn run(self, verbose: u8) -> Result<u8, Failed> {
        let (opened, repository) = self.which.open(verbose).await?;
        let pull = self.which.pull(&opened).await?;
        if let Some(pull) = &pull {
            self.what.may_deploy(&opened, pull).await?;
        }
        let request = self.which.request_for(&self.what, pull, &repository)?;
        let key = self.which.preview(&opened, &repository);
        let progress = print::Progress::default();
        let show = |view: &report::StatusView| progress.show(view);
        let mut teller = Teller::open(&opened.ports, &key, &repository.name, &show);
        teller.about(&request.sha);
        let sources = self.what.sources(&opened, &request);
        let ending = pipeline::deploy(&opened.ports, &request, &sources, &mut teller).await;
        finish("deploy", &ending, self.format.output)
    }
}

/// Options of `preview-action rollback`.
#[derive(Debug, Args)]
#[command(
    after_help = "The newest commit is held until the next push or `/deploy`; a second rollback goes forth again. Example:\n  \
    preview-action rollback --repository acme/shop --repository-id 42 --pr 12"
)]
pub(super) struct Rollback {
    #[command(flatten)]
    which: Which<ForRollback>,
    #[command(flatten)]
    format: Format,
}

impl Rollback {
    pub(super) async fn run(self, verbose: u8) -> Result<u8, Failed> {
        let (opened, repository) = self.which.open(verbose).await?;
        let preview = self.which.preview(&opened, &repository);
        let progress = print::Progress::default();
        let show = |view: &report::StatusView| progress.show(view);
        let mut teller = Teller::open(&opened.ports, &preview, &repository.name, &show);
        teller.asked_by("the command line");
        let head = self.which.pull(&opened).await?.map(|pull| pull.head_sha);
        let rollback =
            pipeline::rollback(&opened.ports, &preview, (head.as_ref(), None), &mut teller);
        let ending = rollback.await?;
        finish("rollback", &ending, self.format.output)
    }
}

/// Options of `preview-action remove`.
#[derive(Debug, Args)]
pub(super) struct Remove {
    #[command(flatten)]
    which: Which<ForRemove>,
    #[command(flatten)]
    format: Format,
}

impl Remove {
    pub(super) async fn run(self, verbose: u8) -> Result<u8, Failed> {
        let (opened, repository) = self.which.open(verbose).await?;
        let preview = self.which.preview(&opened, &repository);
        let progress = print::Progress::default();
        let show = |view: &report::StatusView| progress.show(view);
        let mut teller = Teller::open(&opened.ports, &preview, &repository.name, &show);
        teller.asked_by("the command line");
        let request = RemoveRequest::new(
            &opened.ports,
            &repository.name,
            preview,
            RemoveReason::Asked,
        )?;
        let ending = pipeline::remove(&opened.ports, &request, &mut teller).await;
        if let Some(pr) = pipeline::first_in_line(&opened.ports, &repository) {
            // What is in line is deployed with the workflow's inputs, which this command does not have.
            print::progress(&format!(
                "a slot is free for #{pr}, which waits in line: the next scheduled run deploys it, or now, with the workflow's inputs: preview-action sweep --repository {} --domain …",
                repository.name
            ));
        }
        finish("remove", &ending, self.format.output)
    }
}

fn finish(decision: &'static str, ending: &Ending, output: Output) -> Result<u8, Failed> {
    match output {
        Output::Json => print::text(&ending.result(decision)),
        Output::Text => match &ending.failure {
            Some(failure) => print::error(&Failed::from(failure.clone()).to_string()),
            None => print::text(&print::ending(ending)),
        },
    }
    Ok(ending.exit.code())
}

/// Options of `preview-action list`.
#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    inputs: Inputs<ForList>,
    #[command(flatten)]
    format: Format,
}

impl List {
    pub(super) async fn run(self, verbose: u8) -> Result<u8, Failed> {
        let opened = open::command_line(&self.inputs.raw, None, verbose)?;
        let listed = pipeline::list(&opened.ports).await?;
        match self.format.output {
            Output::Json => print::json(&listed),
            Output::Text => {
                print::text(&print::table(&listed));
                let hint = print::strangers(&listed);
                if !hint.is_empty() {
                    print::text(&format!("\n{hint}"));
                }
                Ok(0)
            }
        }
    }
}

/// Options of `preview-action status`.
#[derive(Debug, Args)]
pub(super) struct Status {
    #[command(flatten)]
    which: Which<ForStatus>,
    #[command(flatten)]
    format: Format,
}

impl Status {
    pub(super) async fn run(self, verbose: u8) -> Result<u8, Failed> {
        let (opened, repository) = self.which.open(verbose).await?;
        let status =
            pipeline::status(&opened.ports, &self.which.preview(&opened, &repository)).await?;
        match self.format.output {
            Output::Json => print::json(&serde_json::json!({
                "version": 1,
                "state": status.state(),
                "preview": status.preview,
                "workloads": status.workloads,
                "failure": status.failure,
                "slots": {"taken": status.taken, "capacity": status.capacity},
            })),
            Output::Text => {
                print::text(&print::status(&status));
                Ok(0)
            }
        }
    }
}

/// Options of `preview-action render`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  preview-action render --repository acme/shop --pr 12 --images web=ghcr.io/acme/shop:{sha} --domain preview.example.com"
)]
pub(super) struct Render {
    #[command(flatten)]
    which: Which<ForRender>,
    #[command(flatten)]
    what: What,
    #[command(flatten)]
    format: Format,
}

impl Render {
    pub(super) async fn run(self, verbose: u8) -> Result<u8, Failed> {
        let opened = open::command_line(&self.which.whose.inputs.raw, None, verbose)?;
        // The number only stands in a label; a look at the manifests needs no true one.
        let id = RepoId(self.which.whose.repository_id.unwrap_or_default());
        let repository = Repository {
            id,
            name: self.which.whose.repository.clone(),
            default_branch: None,
        };
        let request = self.which.request(&self.what, &opened, &repository).await?;
        let sources = Sources::directory(&self.what.directory);
        let objects = pipeline::manifests(&opened.ports, &request, &sources).await?;
        match self.format.output {
            Output::Json => print::json(&objects),
            Output::Text => {
                let documents: Result<Vec<String>, _> =
                    objects.iter().map(crate::yaml::to_string).collect();
                let id = match self.which.whose.repository_id {
                    Some(_) => "the slot is a stand-in",
                    None => "repository id and slot are stand-ins",
                };
                print::text(&format!(
                    "---\n# {id}: a deploy puts its own in their place\n{}",
                    documents.map_err(anyhow::Error::from)?.join("---\n")
                ));
                Ok(0)
            }
        }
    }
}
