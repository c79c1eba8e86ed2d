//! What can go wrong between us and GitHub, each with its cause, its remedy and its reason code.
//! It knows no request in particular: every error carries in words what was being done.
//! octocrab's own errors end here, because their texts say nothing and their types would bind everybody to it.

use crate::{names::ReasonCode, tls::CertificateProblem};
use jiff::Timestamp;

/// A request to GitHub failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GitHubError {
    /// The connection cannot even be made ready.
    #[error("the connection to GitHub cannot be made: {problem}")]
    Settings {
        /// What is wrong.
        problem: String,
        /// What to do.
        remedy: String,
    },
    /// No answer: no name, no connection, a broken connection, a time-out.
    #[error("cannot {doing}: GitHub at {server} does not answer: {cause}")]
    Unreachable {
        /// What was being done, such as `read pull request #12`.
        doing: String,
        /// Host of the API.
        server: String,
        /// Innermost cause.
        cause: String,
        /// True when the request may have arrived all the same.
        sent: bool,
    },
    /// TLS was refused.
    #[error("cannot {doing}: GitHub at {server} is not trusted: {problem}")]
    Untrusted {
        /// What was being done.
        doing: String,
        /// Host of the API.
        server: String,
        /// What is wrong with its certificate.
        problem: CertificateProblem,
    },
    /// GitHub answered 5xx, even when asked again.
    #[error("cannot {doing}: GitHub answers {status}: {message}")]
    Unavailable {
        /// What was being done.
        doing: String,
        /// Status.
        status: u16,
        /// What the answer said.
        message: String,
    },
    /// Too many requests, for longer than we wait.
    #[error("cannot {doing}: GitHub takes no more requests until {}", clock(until))]
    RateLimited {
        /// What was being done.
        doing: String,
        /// When it takes requests again.
        until: Timestamp,
    },
    /// So many requests brought no answer that this run asks nothing more.
    #[error(
        "cannot {doing}: GitHub has not answered for so long that this run asks it nothing more"
    )]
    GivenUp {
        /// What was being done.
        doing: String,
    },
    /// 401.
    #[error("cannot {doing}: GitHub does not accept the token: {message}")]
    Unauthorized {
        /// What was being done.
        doing: String,
        /// What the answer said.
        message: String,
    },
    /// 403 for another reason than limits.
    #[error("cannot {doing}: GitHub refuses it to this token: {message}")]
    Forbidden {
        /// What was being done.
        doing: String,
        /// What the answer said.
        message: String,
        /// The line under `permissions:` that grants it, such as `pull-requests: write`.
        needs: &'static str,
    },
    /// 404.
    #[error("cannot {doing}: GitHub knows no {path}")]
    NotFound {
        /// What was being done.
        doing: String,
        /// Path that was asked.
        path: String,
    },
    /// 422: GitHub refuses the content.
    #[error("cannot {doing}: GitHub refuses the content: {message}")]
    Invalid {
        /// What was being done.
        doing: String,
        /// What the answer said.
        message: String,
    },
    /// An answer with a status that has no place here.
    #[error("cannot {doing}: GitHub answers {status}: {message}")]
    Unexpected {
        /// What was being done.
        doing: String,
        /// Status.
        status: u16,
        /// What the answer said.
        message: String,
    },
    /// An answer that cannot be read.
    #[error("cannot {doing}: GitHub's answer cannot be read: {problem}")]
    Unreadable {
        /// What was being done.
        doing: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The repository holds something that we do not take.
    #[error("cannot {doing}: {problem}")]
    Content {
        /// What was being done.
        doing: String,
        /// What is wrong with it.
        problem: String,
        /// What to do.
        remedy: String,
    },
}

impl GitHubError {
    /// The reason code.
    pub fn reason(&self) -> ReasonCode {
        match self {
            Self::Settings { .. } => ReasonCode::BadInput,
            Self::Content { .. } => ReasonCode::BadConfiguration,
            Self::Unreachable { .. }
            | Self::Untrusted { .. }
            | Self::Unavailable { .. }
            | Self::RateLimited { .. }
            | Self::GivenUp { .. } => ReasonCode::GithubUnreachable,
            _ => ReasonCode::GithubRefused,
        }
    }

    /// What to do about it, in one sentence.
    pub fn remedy(&self) -> String {
        match self {
            Self::Settings { remedy, .. } | Self::Content { remedy, .. } => remedy.clone(),
            Self::Unreachable { server, .. } => format!(
                "check that the runner reaches `{server}`, and its proxy settings; then run the job again"
            ),
            Self::Untrusted { problem: CertificateProblem::UnknownIssuer, .. } => {
                "give the certificate authority of this server in the input `ca-bundle`".into()
            }
            Self::Untrusted { .. } => {
                "have the server's certificate renewed, or use the name that it is for".into()
            }
            Self::Unavailable { .. } | Self::GivenUp { .. } => {
                "run the job again once GitHub is well; its status page or the server's operator knows more".into()
            }
            Self::RateLimited { until, .. } => format!("run the job again after {}", clock(until)),
            Self::Unauthorized { .. } => {
                "give a valid token in the input `token`; its default `${{ github.token }}` always is".into()
            }
            Self::Forbidden { needs, .. } => format!(
                "add `{needs}` under `permissions:` in the workflow; a run for a fork or by Dependabot never gets to write"
            ),
            Self::NotFound { .. } => {
                "check that it exists and that the token may see this repository: GitHub says 404 for both".into()
            }
            Self::Invalid { .. } => "this is a rule of GitHub, which its answer names".into(),
            Self::Unexpected { .. } | Self::Unreadable { .. } => {
                "check that the API address is the one of a GitHub server, not of a proxy's log-in page".into()
            }
        }
    }

    /// True when GitHub has understood the request and will not do it, now or later: it is locked, gone, or against a rule.
    pub fn is_for_good(&self) -> bool {
        matches!(
            self,
            Self::Forbidden { .. }
                | Self::NotFound { .. }
                | Self::Invalid { .. }
                | Self::Unexpected { status: 410, .. }
        )
    }

    /// True when a request that changes something may have done so in spite of this error.
    pub fn may_have_happened(&self) -> bool {
        match self {
            Self::Unreachable { sent, .. } => *sent,
            Self::Unavailable { .. } | Self::Unreadable { .. } => true,
            _ => false,
        }
    }
}

/// `14:32 UTC`, with the day once that is not obvious.
fn clock(time: &Timestamp) -> impl std::fmt::Display {
    time.strftime("%Y-%m-%d %H:%M UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_remedy_names_the_line_or_the_input_that_helps() {
        let doing = || "write a comment on #12".to_owned();
        let forbidden = GitHubError::Forbidden {
            doing: doing(),
            message: "Resource not accessible by integration".into(),
            needs: "pull-requests: write",
        };
        assert!(
            forbidden
                .remedy()
                .contains("`pull-requests: write` under `permissions:`")
        );
        assert_eq!(forbidden.reason(), ReasonCode::GithubRefused);
        let untrusted = GitHubError::Untrusted {
            doing: doing(),
            server: "ghe.example.com".into(),
            problem: CertificateProblem::UnknownIssuer,
        };
        assert!(untrusted.remedy().contains("`ca-bundle`"));
        assert_eq!(untrusted.reason(), ReasonCode::GithubUnreachable);
        let limited = GitHubError::RateLimited {
            doing: doing(),
            until: Timestamp::UNIX_EPOCH,
        };
        assert_eq!(
            limited.to_string(),
            "cannot write a comment on #12: GitHub takes no more requests until 1970-01-01 00:00 UTC"
        );
    }
}
