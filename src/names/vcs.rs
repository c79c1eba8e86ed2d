//! Names of things on GitHub: repository, pull request, commit.
//! They are checked once, here; nothing else parses them.
//! Comparison follows GitHub: repository names ignore case, commits are lower-case hexadecimal.

use super::{NameError, text_serde};
use std::{fmt, num::NonZeroU64, str::FromStr};

/// The number that GitHub gives a repository for life; it survives renames.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct RepoId(pub u64);

impl fmt::Display for RepoId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// `owner/name` of a repository, in the case it was written in.
#[derive(Debug, Clone)]
pub struct RepoName {
    owner: String,
    name: String,
}

impl RepoName {
    /// The account or organisation.
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// The repository without its owner.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl PartialEq for RepoName {
    fn eq(&self, other: &Self) -> bool {
        self.owner.eq_ignore_ascii_case(&other.owner) && self.name.eq_ignore_ascii_case(&other.name)
    }
}

impl Eq for RepoName {}

impl fmt::Display for RepoName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)
    }
}

impl FromStr for RepoName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let wrong = || NameError::new("repository", text, "is not of the form owner/name");
        let (owner, name) = text.split_once('/').ok_or_else(wrong)?;
        let valid = |part: &str| {
            !part.is_empty()
                && part.len() <= 100
                && part != "."
                && part != ".."
                && part
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        };
        if !valid(owner) || !valid(name) {
            return Err(wrong());
        }
        Ok(Self {
            owner: owner.into(),
            name: name.into(),
        })
    }
}

text_serde!(RepoName);

/// The number of a pull request, from 1.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct PrNumber(NonZeroU64);

impl PrNumber {
    /// Wraps a number; zero is none.
    pub fn new(number: u64) -> Option<Self> {
        NonZeroU64::new(number).map(Self)
    }

    /// The plain number.
    pub fn get(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Display for PrNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for PrNumber {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        text.strip_prefix('#')
            .unwrap_or(text)
            .parse()
            .map(Self)
            .map_err(|_| {
                NameError::new("pull request number", text, "is not a whole number from 1")
            })
    }
}

/// A full commit id: 40 (SHA-1) or 64 (SHA-256) hexadecimal digits, lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CommitSha(String);

impl CommitSha {
    /// The whole id.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first seven digits, as people read it.
    pub fn short(&self) -> &str {
        &self.0[..7]
    }
}

impl fmt::Display for CommitSha {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for CommitSha {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let full = matches!(text.len(), 40 | 64) && text.bytes().all(|b| b.is_ascii_hexdigit());
        if !full {
            return Err(NameError::new(
                "commit",
                text,
                "is not a full commit id of 40 hexadecimal digits",
            ));
        }
        Ok(Self(text.to_ascii_lowercase()))
    }
}

text_serde!(CommitSha);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repository_names_ignore_case_and_keep_it() -> Result<(), NameError> {
        let written: RepoName = "Acme/Web.Shop".parse()?;
        assert_eq!(written, "acme/web.shop".parse()?);
        assert_eq!(written.to_string(), "Acme/Web.Shop");
        for wrong in [
            "acme",
            "acme/",
            "/web",
            "a/b/c",
            "acme/..",
            "ac me/web",
            "acme/w\nb",
        ] {
            assert!(wrong.parse::<RepoName>().is_err(), "{wrong}");
        }
        Ok(())
    }

    #[test]
    fn a_commit_is_full_and_lower_case() -> Result<(), NameError> {
        let sha: CommitSha = "ABCDEF0123456789abcdef0123456789abcdef01".parse()?;
        assert_eq!(sha.short(), "abcdef0");
        for wrong in [
            "",
            "abc123",
            "main",
            "gbcdef0123456789abcdef0123456789abcdef01",
        ] {
            assert!(wrong.parse::<CommitSha>().is_err(), "{wrong}");
        }
        Ok(())
    }

    #[test]
    fn pull_request_numbers_start_at_one() {
        assert_eq!("#12".parse::<PrNumber>().map(PrNumber::get), Ok(12));
        for wrong in ["0", "-1", "twelve", "1.5", ""] {
            assert!(wrong.parse::<PrNumber>().is_err(), "{wrong}");
        }
    }
}
