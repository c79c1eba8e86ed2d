//! Reads the inputs that say where a run stands in a workflow: whether it decides or acts, and what comes before it.
//! It knows no event and no job; `trigger` and the pipeline do.
//! Apart from the plain values, because these four only mean something together with other jobs.

use super::{
    reader::{Problem, shown},
    scalars,
};
use crate::names::CommitSha;

/// What stands between a plan and the job that deploys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApprovalGate {
    /// Nothing.
    None,
    /// Somebody has to approve that job.
    Waits,
    /// That job has ended, and nobody may have approved it.
    Ended,
    /// A build, which has failed, so that the job is skipped.
    Unbuilt,
}

/// Whether a run acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It does what was decided.
    Run,
    /// It decides, and does nothing.
    Plan,
}

/// What stands between a plan and the job that deploys.
pub(super) fn approval_gate(text: &str) -> Result<ApprovalGate, Problem> {
    match text {
        "false" => Ok(ApprovalGate::None),
        "true" => Ok(ApprovalGate::Waits),
        "ended" => Ok(ApprovalGate::Ended),
        "unbuilt" => Ok(ApprovalGate::Unbuilt),
        _ => Err(Problem::new(
            format!("{} is none of the four", shown(text)),
            "write `false`, `true`, `ended` or `unbuilt`",
        )),
    }
}

pub(super) fn mode(text: &str) -> Result<Mode, Problem> {
    match text {
        "run" => Ok(Mode::Run),
        "plan" => Ok(Mode::Plan),
        _ => Err(Problem::new(
            format!("{} is neither", shown(text)),
            "write `run` or `plan`",
        )),
    }
}

pub(super) fn sha(text: &str) -> Result<CommitSha, Problem> {
    text.parse().map_err(|_| {
        Problem::new(
            format!("{} is no full commit id", shown(text)),
            "give it the output `sha` of the step that has planned, or leave it empty",
        )
    })
}

/// A word as people write it under a pull request.
pub(super) fn command(text: &str) -> Result<String, Problem> {
    let fix =
        "write a slash and then small letters, digits and hyphens, such as `/build-and-deploy`";
    let name = text.strip_prefix('/').unwrap_or_default();
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let valid = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.len() <= 40
        && name.bytes().all(plain);
    match valid {
        true => Ok(text.to_owned()),
        false => Err(Problem::new(format!("{} is no command", shown(text)), fix)),
    }
}

/// The path of a workflow, as GitHub names it.
pub(super) fn workflow(text: &str) -> Result<String, Problem> {
    let path = scalars::repository_path(text)?;
    let name = path.strip_prefix(".github/workflows/");
    let ends = |name: &str| name.ends_with(".yml") || name.ends_with(".yaml");
    match name.is_some_and(|name| !name.contains('/') && ends(name)) {
        true => Ok(path),
        false => Err(Problem::new(
            format!("{} is no path of a workflow", shown(text)),
            "write it in full, such as `.github/workflows/build.yml`",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_word_is_a_command() {
        assert_eq!(command("/build-and-deploy"), Ok("/build-and-deploy".into()));
        for text in ["deploy", "/", "/Build", "/a b", "/-x", "/ä", "/a/b"] {
            assert!(command(text).is_err(), "{text}");
        }
    }

    #[test]
    fn only_a_workflows_path_is_one() {
        for text in [".github/workflows/build.yml", ".github/workflows/b.yaml"] {
            assert_eq!(workflow(text), Ok(text.into()));
        }
        for text in [
            "build.yml",
            ".github/workflows/",
            ".github/workflows/a/b.yml",
            ".github/workflows/build.yml@main",
            "/.github/workflows/build.yml",
            ".github/workflows/../x.yml",
        ] {
            assert!(workflow(text).is_err(), "{text}");
        }
    }
}
