//! Turns names and texts into the runner's workflow commands, and takes the sting out of texts that only look like some.
//! It prints nothing and knows no secret.
//! Both forms are known to it: `::name::` where a line begins, and the older `##[name]` anywhere.

use std::fmt::Write as _;

/// How serious an annotation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Something that is good to know.
    Notice,
    /// Something that should be mended.
    Warning,
    /// Why the run failed.
    Error,
}

impl Level {
    fn as_str(self) -> &'static str {
        match self {
            Self::Notice => "notice",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// A message that GitHub shows beside the run, and beside a line where it names one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotation {
    /// How serious it is.
    pub level: Level,
    /// Short heading.
    pub title: Option<String>,
    /// File in the repository.
    pub file: Option<String>,
    /// Line of that file, from 1.
    pub line: Option<usize>,
    /// The message.
    pub message: String,
}

/// The runner cuts longer messages without a word.
const LONGEST_MESSAGE: usize = 4096;

impl Annotation {
    /// A message without a place.
    pub fn new(level: Level, message: impl Into<String>) -> Self {
        Self {
            level,
            title: None,
            file: None,
            line: None,
            message: message.into(),
        }
    }

    /// The same with its heading.
    pub fn titled(mut self, title: impl Into<String>) -> Self {
        self.title = Some(title.into());
        self
    }

    /// The same about a place in a file of the repository.
    pub fn at(mut self, file: impl Into<String>, line: Option<usize>) -> Self {
        self.file = Some(file.into());
        self.line = line;
        self
    }

    /// The same with each of its texts replaced.
    pub(super) fn map(&self, replace: impl Fn(&str) -> String) -> Self {
        Self {
            level: self.level,
            title: self.title.as_deref().map(&replace),
            file: self.file.as_deref().map(&replace),
            line: self.line,
            message: replace(&self.message),
        }
    }

    /// The command that shows it.
    pub(super) fn command(&self) -> String {
        let line = self.line.map(|line| line.to_string());
        let properties: Vec<(&str, &str)> = [
            ("file", self.file.as_deref()),
            ("line", line.as_deref()),
            ("title", self.title.as_deref()),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect();
        command(self.level.as_str(), &properties, &cut(&self.message))
    }

    /// The line of text that stands for it where no annotation is left.
    pub(super) fn plain(&self) -> String {
        let mut text = format!("{}: ", self.level.as_str());
        if let Some(file) = &self.file {
            let _ = match self.line {
                Some(line) => write!(text, "{file}:{line}: "),
                None => write!(text, "{file}: "),
            };
        }
        if let Some(title) = &self.title {
            let _ = write!(text, "{title}: ");
        }
        text + &self.message
    }
}

fn cut(message: &str) -> String {
    if message.chars().count() <= LONGEST_MESSAGE {
        return message.into();
    }
    let mut cut: String = message.chars().take(LONGEST_MESSAGE - 1).collect();
    cut.push('…');
    cut
}

/// A command as one line.
pub(super) fn command(name: &str, properties: &[(&str, &str)], message: &str) -> String {
    let properties: Vec<String> = properties
        .iter()
        .map(|(name, value)| format!("{name}={}", escaped_property(value)))
        .collect();
    let space = if properties.is_empty() { "" } else { " " };
    format!(
        "::{name}{space}{}::{}",
        properties.join(","),
        escaped(message)
    )
}

fn escaped(message: &str) -> String {
    message
        .replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

fn escaped_property(value: &str) -> String {
    escaped(value).replace(':', "%3A").replace(',', "%2C")
}

/// The text with nothing left in it that the runner would take for a command; all else stays.
///
/// The runner ends a line at `\n` and at `\r`, and skips white space before it looks for `::`.
pub fn harmless(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for line in text.split_inclusive(['\n', '\r']) {
        let skipped = line.find(|c: char| !is_skipped(c)).unwrap_or(line.len());
        let (before, rest) = line.split_at(skipped);
        clean.push_str(before);
        match rest.strip_prefix("::") {
            Some(rest) => {
                clean.push_str(": :");
                clean.push_str(&rest.replace("##[", "## ["));
            }
            None => clean.push_str(&rest.replace("##[", "## [")),
        }
    }
    clean
}

/// Wider than the runner's own rule, so that no reading of "white space" lets a command pass.
fn is_skipped(c: char) -> bool {
    c.is_whitespace()
        || c.is_control()
        || matches!(
            c,
            '\u{feff}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2060}'
        )
}
