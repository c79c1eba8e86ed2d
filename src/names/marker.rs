//! The hidden first line by which we know a comment of ours again.
//! It says only which comment it is; what stands in the comment is the report's.
//! Report writes it and GitHub's edge looks for it, so it stands below both.

use super::{Environment, PrNumber, RepoId};
use std::fmt;

/// Which of our comments on a pull request one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MarkerKind {
    /// The one that tells the state of the preview.
    Status,
    /// The answer to `/help`.
    Help,
    /// The answer to `/logs`.
    Logs,
    /// The answer to `/diff`.
    Diff,
    /// The answer to `/check`.
    Check,
    /// The warning that a preview expires at that time: one comment for each such time.
    Expiry(jiff::Timestamp),
}

impl MarkerKind {
    /// The kind as the marker spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Help => "help",
            Self::Logs => "logs",
            Self::Diff => "diff",
            Self::Check => "check",
            Self::Expiry(_) => "expiry",
        }
    }
}

/// The marker of one comment; its text is the first line of the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marker {
    /// Which comment it is.
    pub kind: MarkerKind,
    /// Repository.
    pub repository: RepoId,
    /// Pull request.
    pub pr: PrNumber,
    /// Environment: two environments have two comments.
    pub environment: Environment,
}

impl fmt::Display for Marker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "<!-- preview-action v1 kind={} repo={} pr={} env={}",
            self.kind.as_str(),
            self.repository,
            self.pr,
            self.environment
        )?;
        if let MarkerKind::Expiry(at) = self.kind {
            write!(f, " until={}", at.as_second())?;
        }
        f.write_str(" -->")
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
    use super::*;

    #[test]
    fn the_marker_is_one_html_comment() {
        let marker = Marker {
            kind: MarkerKind::Status,
            repository: RepoId(42),
            pr: PrNumber::new(7).unwrap(),
            environment: "preview".parse().unwrap(),
        };
        assert_eq!(
            marker.to_string(),
            "<!-- preview-action v1 kind=status repo=42 pr=7 env=preview -->"
        );
    }
}
