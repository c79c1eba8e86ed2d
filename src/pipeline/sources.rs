//! Where the configuration and the templates of a commit come from: a directory, or GitHub at an exact commit.
//! It parses nothing but the configuration and renders nothing.
//! A checkout counts only when it is at that very commit; a stale one would deploy files that nobody reviewed.

use super::{Failure, Ports};
use crate::{
    inputs::configuration::Configuration,
    names::{CommitSha, ReasonCode},
    plan::template_globs,
};
use std::path::{Path, PathBuf};

/// Most bytes of one file.
const MOST_BYTES: u64 = 1 << 20;

/// Most files that the globs may find.
const MOST_FILES: usize = 200;

/// Where files come from.
#[derive(Debug, Clone)]
pub enum Sources {
    /// A directory.
    Directory(PathBuf),
    /// GitHub, at this commit.
    Commit(CommitSha),
}

impl Sources {
    /// The workspace if it is at this commit, else GitHub.
    pub fn at(commit: &CommitSha, workspace: Option<&Path>) -> Self {
        match workspace {
            Some(root) if checked_out(root).as_ref() == Some(commit) => {
                tracing::info!(
                    "the workspace is at {}; reading files from it",
                    commit.short()
                );
                Self::Directory(root.to_owned())
            }
            _ => Self::Commit(commit.clone()),
        }
    }

    /// A directory, whatever is in it.
    pub fn directory(root: &Path) -> Self {
        Self::Directory(root.to_owned())
    }

    /// The configuration; without the file, what the input `images` names.
    pub(super) async fn configuration(&self, ports: &Ports) -> Result<Configuration, Failure> {
        let path = &ports.settings.config;
        let text = match self {
            Self::Directory(root) => read(root, path)?,
            Self::Commit(commit) => ports.github()?.file(path, commit.as_str()).await?,
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
        let patterns = globs
            .iter()
            .map(|text| pattern(text))
            .collect::<Result<Vec<_>, _>>()?;
        let found = match self {
            Self::Directory(root) => read_matching(root, &patterns)?,
            Self::Commit(commit) => ports.github()?.files(globs, commit).await?,
        };
        if found.is_empty() {
            return Err(Failure::yours(
                ReasonCode::BadInput,
                format!("no file matches the templates {}", globs.join(", ")),
                "correct the globs, or leave them out",
            ));
        }
        Ok(found)
    }
}

fn pattern(text: &str) -> Result<glob::Pattern, Failure> {
    let wrong = |problem: &str| {
        Failure::yours(
            ReasonCode::BadInput,
            format!("templates: {text:?} {problem}"),
            "write a glob below the repository, such as deploy/*.yaml.j2",
        )
    };
    if text.starts_with('/') || text.split('/').any(|part| part == "..") {
        return Err(wrong("leads out of the repository"));
    }
    glob::Pattern::new(text.trim_start_matches("./"))
        .map_err(|error| wrong(&format!("is no glob: {}", error.msg)))
}

fn unreadable(path: &str, problem: impl std::fmt::Display) -> Failure {
    Failure::yours(
        ReasonCode::BadInput,
        format!("{path} cannot be read: {problem}"),
        "make it an ordinary UTF-8 text file of the repository",
    )
}

/// Reads a file below the root; none when there is none. Links are refused: they could lead out of the repository.
fn read(root: &Path, path: &str) -> Result<Option<String>, Failure> {
    let full = root.join(path);
    let found = match full.symlink_metadata() {
        Ok(found) => found,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(path, error)),
    };
    let inside = root
        .canonicalize()
        .and_then(|root| Ok(full.canonicalize()? == root.join(path)));
    if !found.is_file() || !inside.is_ok_and(|inside| inside) {
        return Err(unreadable(
            path,
            "it is no ordinary file, or a link leads to it",
        ));
    }
    if found.len() > MOST_BYTES {
        return Err(unreadable(
            path,
            format!("it has more than {MOST_BYTES} bytes"),
        ));
    }
    std::fs::read_to_string(&full)
        .map(Some)
        .map_err(|error| unreadable(path, error))
}

fn read_matching(
    root: &Path,
    patterns: &[glob::Pattern],
) -> Result<Vec<(String, String)>, Failure> {
    let options = glob::MatchOptions {
        require_literal_separator: true,
        ..glob::MatchOptions::new()
    };
    let mut paths = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(root.join(&folder))
            .map_err(|error| unreadable(&folder.display().to_string(), error))?;
        for entry in entries {
            let entry = entry.map_err(|error| unreadable(&folder.display().to_string(), error))?;
            let kind = entry
                .file_type()
                .map_err(|error| unreadable(&folder.display().to_string(), error))?;
            let path = folder.join(entry.file_name());
            if kind.is_dir() && entry.file_name() != ".git" {
                folders.push(path);
            } else if let Some(text) = path.to_str()
                && !kind.is_dir()
                && patterns
                    .iter()
                    .any(|pattern| pattern.matches_with(text, options))
            {
                paths.push(text.to_owned());
            }
        }
    }
    paths.sort();
    if paths.len() > MOST_FILES {
        return Err(Failure::yours(
            ReasonCode::BadInput,
            format!(
                "the templates' globs find {} files, more than {MOST_FILES}",
                paths.len()
            ),
            "write globs that find the manifests alone",
        ));
    }
    let read = |path: String| Ok(read(root, &path)?.map(|text| (path, text)));
    paths
        .into_iter()
        .map(read)
        .filter_map(Result::transpose)
        .collect()
}

/// The commit that is checked out in a directory; none when it is no git checkout.
pub fn checked_out(root: &Path) -> Option<CommitSha> {
    let git = root.join(".git");
    let head = std::fs::read_to_string(git.join("HEAD")).ok()?;
    let Some(reference) = head.trim().strip_prefix("ref: ") else {
        return head.trim().parse().ok();
    };
    if let Ok(text) = std::fs::read_to_string(git.join(reference)) {
        return text.trim().parse().ok();
    }
    let packed = std::fs::read_to_string(git.join("packed-refs")).ok()?;
    packed
        .lines()
        .find_map(|line| line.strip_suffix(reference)?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    fn repository() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in [
            ("deploy/a.yaml.j2", "a"),
            ("deploy/sub/b.yaml.j2", "b"),
            ("secret", "s"),
            (".git/HEAD", "ref: refs/heads/main\n"),
        ] {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        root
    }

    fn found(root: &Path, globs: &[&str]) -> Result<Vec<String>, Failure> {
        let patterns = globs
            .iter()
            .map(|text| pattern(text))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(read_matching(root, &patterns)?
            .into_iter()
            .map(|(path, _)| path)
            .collect())
    }

    #[test]
    fn one_star_stays_within_a_folder_and_two_do_not() {
        let root = repository();
        assert_eq!(
            found(root.path(), &["deploy/*.yaml.j2"]).unwrap(),
            ["deploy/a.yaml.j2"]
        );
        assert_eq!(
            found(root.path(), &["./deploy/**/*.yaml.j2"]).unwrap(),
            ["deploy/a.yaml.j2", "deploy/sub/b.yaml.j2"]
        );
    }

    #[test]
    fn nothing_outside_the_repository_is_read() {
        let root = repository();
        for glob in ["../*", "/etc/passwd", "deploy/../../x"] {
            assert_eq!(
                found(root.path(), &[glob]).unwrap_err().reason(),
                ReasonCode::BadInput,
                "{glob}"
            );
        }
        std::os::unix::fs::symlink("/etc/passwd", root.path().join("deploy/link.yaml.j2")).unwrap();
        assert_eq!(
            found(root.path(), &["deploy/*.yaml.j2"])
                .unwrap_err()
                .reason(),
            ReasonCode::BadInput
        );
        std::fs::remove_file(root.path().join("deploy/link.yaml.j2")).unwrap();
        std::os::unix::fs::symlink("/etc", root.path().join("etc")).unwrap();
        assert_eq!(
            read(root.path(), "etc/passwd").unwrap_err().reason(),
            ReasonCode::BadInput
        );
        assert_eq!(
            found(root.path(), &["etc/*"]).unwrap(),
            Vec::<String>::new()
        );
    }

    #[test]
    fn the_checked_out_commit_is_found_detached_on_a_branch_and_packed() {
        let root = repository();
        let sha = "0123456789abcdef0123456789abcdef01234567";
        assert_eq!(checked_out(root.path()), None);
        std::fs::write(
            root.path().join(".git/packed-refs"),
            format!("# pack-refs\n{sha} refs/heads/main\n"),
        )
        .unwrap();
        assert_eq!(checked_out(root.path()).unwrap().as_str(), sha);
        let other = "f".repeat(40);
        std::fs::create_dir_all(root.path().join(".git/refs/heads")).unwrap();
        std::fs::write(root.path().join(".git/refs/heads/main"), &other).unwrap();
        assert_eq!(checked_out(root.path()).unwrap().as_str(), other);
        std::fs::write(root.path().join(".git/HEAD"), sha).unwrap();
        assert_eq!(checked_out(root.path()).unwrap().as_str(), sha);
        assert!(matches!(
            Sources::at(&sha.parse().unwrap(), Some(root.path())),
            Sources::Directory(_)
        ));
        assert!(matches!(
            Sources::at(&other.parse().unwrap(), Some(root.path())),
            Sources::Commit(_)
        ));
    }
}
