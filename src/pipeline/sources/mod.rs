//! Where the files of a preview come from: a directory or GitHub at an exact commit, and what earlier steps have written.
//! It parses nothing but the configuration and renders nothing.
//! A checkout counts only when it is at that very commit; a stale one would deploy files that nobody reviewed.

mod workspace;

use super::{Failure, Ports};
use crate::{
    inputs::configuration::{Configuration, Policy},
    manifests::Rendered,
    names::{CommitSha, ReasonCode},
    plan::template_globs,
};
use std::path::{Path, PathBuf};

pub use workspace::checked_out;

/// Where the files of a preview come from.
#[derive(Debug, Clone)]
pub struct Sources {
    files: Files,
    policy: PolicyFrom,
    generated: Generated,
}

/// Where configuration and templates are.
#[derive(Debug, Clone)]
enum Files {
    Directory(PathBuf),
    /// GitHub, at this commit.
    Commit(CommitSha),
}

/// Whose configuration says what previews may have beyond the ordinary.
#[derive(Debug, Clone)]
enum PolicyFrom {
    DefaultBranch,
    /// Without GitHub there is only the directory of whoever runs the command, with their own credentials.
    Directory(PathBuf),
}

/// Where manifests that were generated are.
#[derive(Debug, Clone)]
enum Generated {
    Below(PathBuf),
    /// They must not be read, and why.
    Refused {
        cause: String,
        remedy: &'static str,
    },
}

impl Sources {
    /// The workspace if it is at this commit, else GitHub; generated manifests are taken from no place.
    pub fn at(commit: &CommitSha, workspace: Option<&Path>) -> Self {
        let files = match workspace {
            Some(root) if checked_out(root).as_ref() == Some(commit) => {
                tracing::info!(
                    "the workspace is at {}; reading files from it",
                    commit.short()
                );
                Files::Directory(root.to_owned())
            }
            _ => Files::Commit(commit.clone()),
        };
        Self {
            files,
            policy: PolicyFrom::DefaultBranch,
            generated: Generated::Refused {
                cause: "this run has no workspace that manifests could be in".into(),
                remedy: "write them in an earlier step of the same job",
            },
        }
    }

    /// A directory, whatever is in it.
    pub fn directory(root: &Path) -> Self {
        Self {
            files: Files::Directory(root.to_owned()),
            policy: PolicyFrom::Directory(root.to_owned()),
            generated: Generated::Below(root.to_owned()),
        }
    }

    /// Takes generated manifests from below a folder.
    #[must_use]
    pub fn with_manifests_below(self, root: &Path) -> Self {
        Self {
            generated: Generated::Below(root.to_owned()),
            ..self
        }
    }

    /// Takes no generated manifests, for this reason.
    #[must_use]
    pub fn without_manifests(self, cause: String, remedy: &'static str) -> Self {
        Self {
            generated: Generated::Refused { cause, remedy },
            ..self
        }
    }

    /// The configuration; without the file, what the input `images` names.
    pub(super) async fn configuration(&self, ports: &Ports) -> Result<Configuration, Failure> {
        let path = &ports.settings.config;
        let text = match &self.files {
            Files::Directory(root) => workspace::read(root, path, workspace::MOST_BYTES)?,
            Files::Commit(commit) => ports.github()?.file(path, commit.as_str()).await?,
        };
        match text {
            Some(text) => Ok(Configuration::parse(path, &text)?),
            None => Ok(Configuration::from_images(
                ports
                    .settings
                    .images
                    .iter()
                    .map(|image| image.service.clone()),
            )),
        }
    }

    /// What the default branch allows; it is only asked for when something is refused without it, because it can only open.
    pub(super) async fn policy(&self, ports: &Ports) -> Result<Policy, Failure> {
        let path = &ports.settings.config;
        let (text, whose) = match &self.policy {
            PolicyFrom::Directory(root) => {
                let text = workspace::read(root, path, workspace::MOST_BYTES)?;
                (text, path.clone())
            }
            PolicyFrom::DefaultBranch => {
                let text = ports.github()?.file_of_default_branch(path).await?;
                (text, format!("{path} (default branch)"))
            }
        };
        match text {
            Some(text) => Ok(Policy::parse(&whose, &text)?),
            None => Ok(Policy::default()),
        }
    }

    /// The repository's own templates, sorted by path.
    pub(super) async fn templates(
        &self,
        ports: &Ports,
        configuration: &Configuration,
    ) -> Result<Vec<(String, String)>, Failure> {
        let globs = template_globs(&ports.settings, configuration);
        if globs.is_empty() {
            return Ok(Vec::new());
        }
        let found = match &self.files {
            Files::Directory(root) => {
                workspace::read_matching(root, "templates", globs, workspace::MOST_BYTES)?
            }
            Files::Commit(commit) => {
                workspace::patterns("templates", globs)?;
                ports.github()?.files(globs, commit).await?
            }
        };
        if found.is_empty() {
            return Err(nothing(
                "templates",
                globs,
                "correct the globs, or leave them out",
            ));
        }
        Ok(found)
    }

    /// The manifests that earlier steps have written, as they stand: nothing in them is a template.
    pub(super) fn manifests(&self, ports: &Ports) -> Result<Vec<Rendered>, Failure> {
        let globs = &ports.settings.manifests;
        if globs.is_empty() {
            return Ok(Vec::new());
        }
        let root = match &self.generated {
            Generated::Below(root) => root,
            Generated::Refused { cause, remedy } => {
                let cause = format!("input `manifests` cannot be used here: {cause}");
                return Err(Failure::yours(ReasonCode::BadInput, cause, *remedy));
            }
        };
        let found = workspace::read_matching(root, "manifests", globs, workspace::MOST_ALTOGETHER)?;
        if found.is_empty() {
            return Err(nothing(
                "manifests",
                globs,
                "write the files in an earlier step of this job, below the workspace and not behind a link, or correct the globs",
            ));
        }
        let rendered = found.into_iter().map(|(path, text)| Rendered {
            // a file of the workspace cannot pass for one of ours
            file: match path.strip_prefix("built-in/") {
                Some(rest) => format!("./built-in/{rest}"),
                None => path,
            },
            text,
            built_in: false,
        });
        Ok(rendered.collect())
    }
}

fn nothing(input: &str, globs: &[String], remedy: &str) -> Failure {
    Failure::yours(
        ReasonCode::BadInput,
        format!("no file matches the {input} {}", globs.join(", ")),
        remedy,
    )
}
