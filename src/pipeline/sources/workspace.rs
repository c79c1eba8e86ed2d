//! Reads files below a folder by globs, and the commit that is checked out there.
//! It knows neither templates nor manifests and leaves the folder by no path and no link.
//! A workspace is written by earlier steps, so what stands in it is as untrusted as the pull request.

use crate::{
    names::{CommitSha, ReasonCode},
    pipeline::Failure,
};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

/// Most bytes of one file of the repository.
pub(super) const MOST_BYTES: u64 = 1 << 20;

/// Most bytes of all files that globs find; also what YAML is read of.
pub(super) const MOST_ALTOGETHER: u64 = 8 << 20;

/// Most files that the globs may find.
const MOST_FILES: usize = 200;

/// Reads globs; `input` is what errors call them.
pub(super) fn patterns(input: &str, globs: &[String]) -> Result<Vec<glob::Pattern>, Failure> {
    globs.iter().map(|text| pattern(input, text)).collect()
}

fn pattern(input: &str, text: &str) -> Result<glob::Pattern, Failure> {
    let wrong = |problem: &str| {
        Failure::yours(
            ReasonCode::BadInput,
            format!("{input}: {text:?} {problem}"),
            "write a glob below the repository, such as deploy/*.yaml",
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
pub(super) fn read(root: &Path, path: &str, most: u64) -> Result<Option<String>, Failure> {
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
    if found.len() > most {
        return Err(unreadable(path, format!("it has more than {most} bytes")));
    }
    std::fs::read_to_string(&full)
        .map(Some)
        .map_err(|error| unreadable(path, error))
}

/// Reads all files that the globs find, sorted by path.
pub(super) fn read_matching(
    root: &Path,
    input: &str,
    globs: &[String],
    most: u64,
) -> Result<Vec<(String, String)>, Failure> {
    let paths = find(root, &patterns(input, globs)?)?;
    if paths.len() > MOST_FILES {
        return Err(Failure::yours(
            ReasonCode::BadInput,
            format!(
                "the globs of `{input}` find {} files, more than {MOST_FILES}",
                paths.len()
            ),
            "write globs that find the manifests alone",
        ));
    }
    let mut found = Vec::new();
    let mut bytes = 0;
    for path in paths {
        let Some(text) = read(root, &path, most)? else {
            continue;
        };
        bytes += text.len() as u64;
        if bytes > MOST_ALTOGETHER {
            return Err(Failure::yours(
                ReasonCode::BadInput,
                format!("the files of `{input}` have more than {MOST_ALTOGETHER} bytes altogether"),
                "deploy less, or write globs that find the manifests alone",
            ));
        }
        found.push((path, text));
    }
    Ok(found)
}

/// The paths that match; links to folders are not followed.
fn find(root: &Path, patterns: &[glob::Pattern]) -> Result<BTreeSet<String>, Failure> {
    let options = glob::MatchOptions {
        require_literal_separator: true,
        ..glob::MatchOptions::new()
    };
    let mut paths = BTreeSet::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let unreadable = |error| unreadable(&folder.display().to_string(), error);
        for entry in std::fs::read_dir(root.join(&folder)).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let kind = entry.file_type().map_err(unreadable)?;
            let path = folder.join(entry.file_name());
            if kind.is_dir() && entry.file_name() != ".git" {
                folders.push(path);
            } else if let Some(text) = path.to_str()
                && !kind.is_dir()
                && patterns
                    .iter()
                    .any(|pattern| pattern.matches_with(text, options))
            {
                paths.insert(text.to_owned());
            }
        }
    }
    Ok(paths)
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
        let globs: Vec<String> = globs.iter().map(|text| (*text).to_owned()).collect();
        Ok(read_matching(root, "templates", &globs, MOST_BYTES)?
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
            read(root.path(), "etc/passwd", MOST_BYTES)
                .unwrap_err()
                .reason(),
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
    }
}
