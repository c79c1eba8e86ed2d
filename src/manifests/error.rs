//! Says what is wrong with a template or a manifest: file, line, column, field, and the line with a caret under the fault.
//! It knows no template engine and no YAML library; their errors are translated where they arise.
//! Excerpts are built here and not taken from the libraries, whose own quote the values of Secrets.

use crate::names::ReasonCode;
use std::fmt;

/// One thing that is wrong with a template or a manifest.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ManifestError {
    /// Reason code: `template-error`, `bad-manifest` or `policy-refused`.
    pub reason: ReasonCode,
    /// File; `built-in/…` for our own templates.
    pub file: String,
    /// Line from 1, of the template for `template-error`, of the rendered text otherwise; 0 when there is none.
    pub line: u32,
    /// Column from 1; 0 when there is none.
    pub column: u32,
    /// Object and field, such as `Deployment/web: spec.replicas`; may be empty.
    pub field: String,
    /// What is wrong.
    pub problem: String,
    /// What to write instead.
    pub remedy: String,
    /// The line and the caret under it; may be empty.
    pub excerpt: String,
}

impl ManifestError {
    /// Place, field and problem in one sentence, without the remedy.
    pub fn cause(&self) -> String {
        let mut text = self.file.clone();
        for number in [self.line, self.column] {
            if number > 0 {
                text.push_str(&format!(":{number}"));
            }
        }
        for part in [&self.field, &self.problem] {
            if !part.is_empty() {
                text.push_str(if text.is_empty() { "" } else { ": " });
                text.push_str(part);
            }
        }
        text
    }
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        for number in [self.line, self.column] {
            if number > 0 {
                write!(f, ":{number}")?;
            }
        }
        if !self.field.is_empty() {
            write!(f, ": {}", self.field)?;
        }
        write!(f, ": {}; {}", self.problem, self.remedy)?;
        if !self.excerpt.is_empty() {
            write!(f, "\n{}", self.excerpt)?;
        }
        Ok(())
    }
}

impl std::error::Error for ManifestError {}

/// Everything that is wrong with a set of templates and manifests.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ManifestErrors(pub Vec<ManifestError>);

impl ManifestErrors {
    /// True when the default branch's policy may allow some of it.
    pub fn may_be_allowed(&self) -> bool {
        self.0
            .iter()
            .any(|error| error.reason == ReasonCode::PolicyRefused)
    }

    /// The reason code of the whole: that of the earliest kind of fault, since later ones may follow from it.
    pub fn reason(&self) -> ReasonCode {
        let rank = |reason: &ReasonCode| match reason {
            ReasonCode::TemplateError => 0,
            ReasonCode::BadManifest => 1,
            _ => 2,
        };
        self.0
            .iter()
            .map(|error| error.reason)
            .min_by_key(rank)
            .unwrap_or(ReasonCode::BadManifest)
    }
}

impl fmt::Display for ManifestErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&texts.join("\n"))
    }
}

impl std::error::Error for ManifestErrors {}

/// Most faults that are told at once; nobody mends more, and each costs a look at its file.
const MOST: usize = 100;

/// Faults as they are found, and how many more there were.
#[derive(Debug, Default)]
pub(super) struct Faults {
    found: Vec<ManifestError>,
    more: usize,
}

impl Faults {
    /// Adds a fault; it is only made when there is room for it.
    pub(super) fn add(&mut self, make: impl FnOnce() -> ManifestError) {
        if self.found.len() < MOST {
            self.found.push(make());
        } else {
            self.more += 1;
        }
    }

    /// True while there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// All of them in the order of files and lines; none when there is no fault.
    pub(super) fn into_errors(self) -> Option<ManifestErrors> {
        let mut errors = self.found;
        errors.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
        errors.dedup();
        if let (Some(last), true) = (errors.last_mut(), self.more > 0) {
            last.remedy
                .push_str(&format!("; {} more faults are not shown", self.more));
        }
        (!errors.is_empty()).then_some(ManifestErrors(errors))
    }

    #[cfg(test)]
    pub(super) fn texts(&self) -> Vec<String> {
        self.found.iter().map(ToString::to_string).collect()
    }
}

/// A line of a text with a caret below; `width` is how many characters are pointed at.
pub(super) fn excerpt(text: &str, line: u32, column: u32, width: usize) -> String {
    let Some(source) = (line as usize)
        .checked_sub(1)
        .and_then(|index| text.lines().nth(index))
    else {
        return String::new();
    };
    let number = line.to_string();
    let margin = " ".repeat(number.len());
    // a tab is shown as one blank, so that the caret stays under its character
    let shown: String = source
        .chars()
        .take(160)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let before = " ".repeat(column.saturating_sub(1) as usize);
    let room = shown.chars().count().saturating_sub(before.len()).max(1);
    let carets = "^".repeat(width.clamp(1, room));
    format!("{margin} |\n{number} | {shown}\n{margin} | {before}{carets}")
}

/// The same for rendered text: only up to the key, because the value may be a secret.
pub(super) fn excerpt_without_value(text: &str, line: u32, column: u32) -> String {
    let Some(source) = (line as usize)
        .checked_sub(1)
        .and_then(|index| text.lines().nth(index))
    else {
        return String::new();
    };
    let key = match source.find(": ") {
        Some(end) => format!("{}: …", &source[..end]),
        None if source.trim_end().ends_with(':') => source.trim_end().to_owned(),
        None => return String::new(),
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || " -_./\"'?".contains(c);
    let name = key.trim_end_matches(['…', ' ', ':']);
    if name.chars().count() > 80 || !name.chars().all(plain) || column as usize > key.len() {
        return String::new();
    }
    let lines = "\n".repeat(line.saturating_sub(1) as usize);
    excerpt(&format!("{lines}{key}"), line, column, 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caret_stands_under_the_fault() {
        let text = "a: 1\n\tname: {{ preview.nummer }}\n";
        insta::assert_snapshot!(excerpt(text, 2, 11, 14), @r"
          |
        2 |  name: {{ preview.nummer }}
          |           ^^^^^^^^^^^^^^
        ");
        assert_eq!(excerpt(text, 9, 1, 1), "");
    }

    #[test]
    fn an_excerpt_of_rendered_text_ends_with_the_key() {
        let text =
            "data:\n  password: hunter2\n  url: https://a:hunter2@b\nhunter2\nx hunter2=: y\n";
        for line in 1..=5 {
            let shown = excerpt_without_value(text, line, 3);
            assert!(!shown.contains("hunter2"), "{shown}");
            assert_eq!(shown.is_empty(), line > 3, "{line}: {shown}");
        }
    }
}
