//! Turns outputs and summary into what the runner reads from its files after the step.
//! It does not know which outputs there are.
//! Each value stands between random delimiters, so that no value can end early and begin another output.

use super::RunnerError;
use std::{fs::OpenOptions, io::Write as _, path::Path};

/// Above 1 MiB the runner drops the whole summary; the rest is left for steps of its own.
const LARGEST_SUMMARY: u64 = 900 * 1024;

const CUT: &str = "\n\n_Cut here: a job summary holds no more than 900 KiB._\n";

/// One output as the runner's file has it.
pub(super) fn entry(name: &str, value: &str, delimiter: &str) -> Result<String, RunnerError> {
    let refuse = |problem| {
        Err(RunnerError::Output {
            name: name.into(),
            problem,
        })
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if name.is_empty() || !name.bytes().all(plain) {
        return refuse("has a name that is not made of letters, digits, `-` and `_`");
    }
    if value.contains(delimiter) || name.contains(delimiter) {
        return refuse("contains the delimiter that was to end it");
    }
    Ok(format!("{name}<<{delimiter}\n{value}\n{delimiter}\n"))
}

/// How much of the summary is left.
pub(super) fn room(taken: u64) -> usize {
    usize::try_from(LARGEST_SUMMARY.saturating_sub(taken)).unwrap_or(0)
}

/// The text, or as much of it as fits beside a note that it was cut.
pub(super) fn fitting(text: &str, room: usize) -> String {
    if text.len() <= room {
        return text.into();
    }
    let mut end = room.saturating_sub(CUT.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let note = if room < CUT.len() { "" } else { CUT };
    format!("{}{note}", &text[..end])
}

/// Appends to a file that the runner made; false when there is none.
pub(super) fn append(
    path: Option<&Path>,
    text: &str,
    what: &'static str,
) -> Result<bool, RunnerError> {
    let Some(path) = path.filter(|path| path.exists()) else {
        return Ok(false);
    };
    OpenOptions::new()
        .append(true)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|source| RunnerError::Write { what, source })?;
    Ok(true)
}
