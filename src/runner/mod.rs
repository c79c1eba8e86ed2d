//! Turns the runner's variables into a context, and what the run has to say into commands, outputs and a summary.
//! It does not know what a preview is; texts and names are handed to it.
//! Every text passes the redactor and is then made harmless, in one place, because the runner acts on what it reads.

mod commands;
mod context;
mod files;
mod redaction;

pub use commands::{Annotation, Level, harmless};
pub use context::{API_URL, Context};
pub use redaction::Redaction;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    hash::{BuildHasher, RandomState},
    io::{self, Write},
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Says why the runner cannot be read or written to.
#[derive(Debug, thiserror::Error)]
pub enum RunnerError {
    /// A variable that every runner sets is missing.
    #[error("variable {variable} is missing; run this inside a workflow, or without {marker}")]
    Missing {
        /// Name of the variable.
        variable: &'static str,
        /// The variable that says that this is a workflow.
        marker: &'static str,
    },
    /// A variable holds something else than it should.
    #[error("variable {variable} {problem}; leave it as the runner sets it")]
    Invalid {
        /// Name of the variable.
        variable: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The event's payload cannot be read.
    #[error("event file {} cannot be read: {source}; mount it as the runner does", path.display())]
    Event {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Something cannot be written.
    #[error("{what} cannot be written: {source}")]
    Write {
        /// What it was.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// An output's name or value would break the runner's file.
    #[error("output {name:?} {problem}")]
    Output {
        /// Name of the output.
        name: String,
        /// What is wrong.
        problem: &'static str,
    },
}

/// The Actions runner that this run is inside of.
pub struct Runner {
    context: Context,
    redaction: Redaction,
    state: Mutex<State>,
}

struct State {
    out: Box<dyn Write + Send>,
    masked: BTreeSet<String>,
    annotations: BTreeMap<Level, usize>,
}

/// The runner shows this many annotations of each level and drops the rest.
const MOST_ANNOTATIONS: usize = 10;

impl Runner {
    /// Speaks to the runner through `out`, which is standard output outside of tests.
    pub fn new(context: Context, redaction: Redaction, out: impl Write + Send + 'static) -> Self {
        Self {
            context,
            redaction,
            state: Mutex::new(State {
                out: Box::new(out),
                masked: BTreeSet::new(),
                annotations: BTreeMap::new(),
            }),
        }
    }

    /// What the runner said about this run.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Learns a secret in all its forms and has the runner mask each of them; short words are left alone.
    pub fn mask(&self, secret: &str) -> Result<(), RunnerError> {
        self.redaction.learn(secret);
        let mut state = self.state();
        for form in self.redaction.forms() {
            if state.masked.insert(form.clone()) {
                // The one line that is not redacted: it is how the runner learns the secret.
                state.line(&commands::command("add-mask", &[], &form))?;
            }
        }
        Ok(())
    }

    /// Has the runner mask every secret that was learnt elsewhere meanwhile.
    pub fn mask_all(&self) -> Result<(), RunnerError> {
        self.mask("")
    }

    /// Prints a text on lines of its own; nothing in it is taken for a command.
    pub fn say(&self, text: &str) -> Result<(), RunnerError> {
        let text = harmless(&self.redaction.redact(text));
        self.state().line(&text)
    }

    /// Prints a text that strangers may have written, such as a pod's log, while the runner is told not to listen.
    ///
    /// Without its control characters, so that it moves nobody's cursor and hides no secret from the redactor.
    pub fn quote(&self, text: &str) -> Result<(), RunnerError> {
        let token = random_token();
        let plain = |c: &char| !c.is_control() || matches!(c, '\n' | '\r' | '\t');
        let text: String = text.chars().filter(plain).collect();
        let text = harmless(&self.redaction.redact(&text));
        let mut state = self.state();
        state.line(&commands::command("stop-commands", &[], &token))?;
        let said = state.line(&text);
        state.line(&format!("::{token}::"))?;
        said
    }

    /// Begins a group of lines that the log shows folded.
    pub fn group(&self, title: &str) -> Result<(), RunnerError> {
        let title = harmless(&self.redaction.redact(title));
        self.state().line(&commands::command("group", &[], &title))
    }

    /// Ends the group.
    pub fn end_group(&self) -> Result<(), RunnerError> {
        self.state().line("::endgroup::")
    }

    /// Shows an annotation; one more than the runner shows becomes a plain line.
    pub fn annotate(&self, annotation: &Annotation) -> Result<(), RunnerError> {
        let annotation = annotation.map(|text| harmless(&self.redaction.redact(text)));
        let mut state = self.state();
        let shown = state.annotations.entry(annotation.level).or_default();
        *shown += 1;
        if *shown <= MOST_ANNOTATIONS {
            state.line(&annotation.command())
        } else {
            state.line(&annotation.plain())
        }
    }

    /// Sets outputs of the step; false when the runner gave no file to write them to.
    pub fn outputs(&self, outputs: &[(&str, &str)]) -> Result<bool, RunnerError> {
        let entries: String = outputs
            .iter()
            .map(|(name, value)| {
                let delimiter = format!("ghadelimiter_{}", random_token());
                files::entry(name, &self.redaction.redact(value), &delimiter)
            })
            .collect::<Result<_, _>>()?;
        files::append(self.context.output.as_deref(), &entries, "output file")
    }

    /// Adds to the job summary, as far as it has room; false when the runner gave no file to write it to.
    pub fn summary(&self, markdown: &str) -> Result<bool, RunnerError> {
        let Some(path) = self.context.summary.as_deref() else {
            return Ok(false);
        };
        let taken = std::fs::metadata(path).map_or(0, |file| file.len());
        let markdown = self.redaction.redact(markdown);
        let text = files::fitting(&markdown, files::room(taken));
        files::append(Some(path), &text, "job summary")
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // What is behind the lock stays whole: each step leaves it valid.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn line(&mut self, text: &str) -> Result<(), RunnerError> {
        writeln!(self.out, "{text}")
            .and_then(|()| self.out.flush())
            .map_err(|source| RunnerError::Write {
                what: "standard output",
                source,
            })
    }
}

impl fmt::Debug for Runner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runner")
            .field("context", &self.context)
            .finish_non_exhaustive()
    }
}

/// 128 bits that nobody can guess, as hexadecimal digits.
///
/// The standard library keys its hashers from the system's random numbers, also where there is no `/dev`.
fn random_token() -> String {
    let half = |salt: u8| RandomState::new().hash_one(salt);
    format!("{:016x}{:016x}", half(0), half(1))
}

#[cfg(test)]
mod tests;
