//! What any stage or edge can fail with, as the doors and the comment need it: whose fault, which code, cause and remedy.
//! It adds no advice of its own; each stage knows its errors best and hands over both sentences.
//! One type, so that exit code and comment cannot contradict each other.

use crate::{
    cluster::{ApplyError, ClusterError, outcome},
    github::GitHubError,
    inputs::{InputErrors, configuration::ConfigurationError},
    manifests::{ManifestErrors, Origin},
    names::ReasonCode,
    plan::PlanError,
    report::ReportError,
};

/// Whose turn it is to mend a failure; decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// The user's input, template, image or application.
    Yours,
    /// GitHub or the cluster said no, or nothing.
    Theirs,
    /// A bug of ours.
    Ours,
}

/// Why a use case could not do what it was asked.
#[derive(Debug, Clone)]
pub struct Failure {
    /// Who can mend it.
    pub blame: Blame,
    /// Root causes, at least one; the first one is the headline.
    pub causes: Vec<outcome::Failure>,
}

impl Failure {
    /// A failure with one cause and no evidence.
    pub fn new(
        blame: Blame,
        reason: ReasonCode,
        cause: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        let cause = outcome::Failure {
            reason,
            object: None,
            origin: None,
            cause: cause.into(),
            remedy: remedy.into(),
            evidence: Vec::new(),
        };
        Self {
            blame,
            causes: vec![cause],
        }
    }

    /// A panic of ours.
    pub fn bug() -> Self {
        Self::new(
            Blame::Ours,
            ReasonCode::InternalError,
            "preview-action met a bug of its own; the run's log has the details",
            "report it with the log, then run again",
        )
    }

    /// The user's to mend.
    pub fn yours(reason: ReasonCode, cause: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(Blame::Yours, reason, cause, remedy)
    }

    /// The headline's reason code.
    pub fn reason(&self) -> ReasonCode {
        self.causes
            .first()
            .map_or(ReasonCode::InternalError, |cause| cause.reason)
    }

    /// Cause and remedy of the headline on one line, for logs and annotations.
    pub fn line(&self) -> String {
        self.causes.first().map_or_else(
            || "the run failed without a cause".into(),
            |cause| {
                if cause.remedy.is_empty() {
                    cause.cause.clone()
                } else {
                    format!("{}; {}", cause.cause, cause.remedy)
                }
            },
        )
    }
}

impl Failure {
    /// True when GitHub did not answer, or takes no more requests for now: another run may try the same commit again.
    pub(super) fn is_of_github(&self) -> bool {
        self.reason() == ReasonCode::GithubUnreachable
    }
}

impl From<GitHubError> for Failure {
    fn from(error: GitHubError) -> Self {
        Self::new(
            Blame::Theirs,
            error.reason(),
            error.to_string(),
            error.remedy(),
        )
    }
}

impl From<ClusterError> for Failure {
    fn from(error: ClusterError) -> Self {
        let reason = error.reason_code();
        Self::new(blame(reason), reason, error.to_string(), error.remedy())
    }
}

impl From<ApplyError> for Failure {
    fn from(error: ApplyError) -> Self {
        let reason = error.reason_code();
        let mut causes: Vec<outcome::Failure> =
            error.errors.iter().map(|one| one.failure()).collect();
        // The headline is the error that says most.
        causes.sort_by_key(|cause| cause.reason != reason);
        Self {
            blame: blame(reason),
            causes,
        }
    }
}

/// A refusal of what was asked for is the user's to mend; a refusal to listen at all is not.
fn blame(reason: ReasonCode) -> Blame {
    match reason {
        ReasonCode::BadInput
        | ReasonCode::BadManifest
        | ReasonCode::QuotaExceeded
        | ReasonCode::AdmissionRefused
        | ReasonCode::LedgerNewer
        | ReasonCode::NoCredentials => Blame::Yours,
        _ => Blame::Theirs,
    }
}

impl From<PlanError> for Failure {
    fn from(error: PlanError) -> Self {
        Self::yours(error.reason, error.cause, error.remedy)
    }
}

impl From<ConfigurationError> for Failure {
    fn from(error: ConfigurationError) -> Self {
        let causes = error
            .faults
            .iter()
            .map(|fault| outcome::Failure {
                reason: ReasonCode::BadConfiguration,
                object: None,
                origin: Some(Origin {
                    file: error.path.clone(),
                    line: fault.line,
                }),
                cause: fault.cause(&error.path),
                remedy: fault.fix.clone(),
                evidence: Vec::new(),
            })
            .collect();
        Self {
            blame: Blame::Yours,
            causes,
        }
    }
}

impl From<InputErrors> for Failure {
    fn from(errors: InputErrors) -> Self {
        let causes = errors.0.into_iter().map(|error| outcome::Failure {
            reason: ReasonCode::BadInput,
            object: None,
            origin: None,
            cause: format!("input `{}`: {}", error.input, error.problem),
            remedy: error.fix,
            evidence: Vec::new(),
        });
        Self {
            blame: Blame::Yours,
            causes: causes.collect(),
        }
    }
}

impl From<ManifestErrors> for Failure {
    fn from(errors: ManifestErrors) -> Self {
        let causes = errors
            .0
            .iter()
            .map(|error| outcome::Failure {
                reason: error.reason,
                object: None,
                origin: (!error.file.is_empty()).then(|| Origin {
                    file: error.file.clone(),
                    line: error.line,
                }),
                cause: error.cause(),
                remedy: error.remedy.clone(),
                evidence: (!error.excerpt.is_empty())
                    .then(|| outcome::Evidence {
                        title: "The place".into(),
                        text: error.excerpt.clone(),
                    })
                    .into_iter()
                    .collect(),
            })
            .collect();
        Self {
            blame: Blame::Yours,
            causes,
        }
    }
}

impl From<ReportError> for Failure {
    fn from(error: ReportError) -> Self {
        Self::new(
            Blame::Ours,
            ReasonCode::InternalError,
            error.to_string(),
            "report it, with the version of this action",
        )
    }
}
