//! Turns one raw input after the other into typed values and gathers every mistake on the way.
//! It knows no input; name, default and meaning are arguments.
//! A mistake gives no value instead of an early return, so that one run shows all of them.

use super::{InputError, InputErrors};
use crate::{inputs::RawInputs, names::cut};

/// What is wrong with a value, and what to write instead.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::inputs) struct Problem {
    /// What is wrong.
    pub(in crate::inputs) problem: String,
    /// What to write instead.
    pub(in crate::inputs) fix: String,
}

impl Problem {
    /// Puts both halves together.
    pub(super) fn new(problem: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            problem: problem.into(),
            fix: fix.into(),
        }
    }
}

/// Shows a value in a message: on one line, quoted, cut to 80 characters.
pub(super) fn shown(value: &str) -> String {
    format!("{:?}", cut(value, 80))
}

/// Reads inputs and keeps their mistakes.
pub(super) struct Reader<'a> {
    raw: &'a RawInputs,
    errors: Vec<InputError>,
}

impl<'a> Reader<'a> {
    /// Begins with no mistake.
    pub(super) fn new(raw: &'a RawInputs) -> Self {
        Self {
            raw,
            errors: Vec::new(),
        }
    }

    /// The value of an input without default.
    pub(super) fn optional<T>(
        &mut self,
        input: &'static str,
        parse: impl Fn(&str) -> Result<T, Problem>,
    ) -> Option<T> {
        let text = self.raw.text(input)?;
        self.keep(input, parse(text))
    }

    /// The value of an input, or its default written as a user would write it.
    pub(super) fn or<T>(
        &mut self,
        input: &'static str,
        default: &str,
        parse: impl Fn(&str) -> Result<T, Problem>,
    ) -> Option<T> {
        let text = self.raw.text(input).unwrap_or(default);
        self.keep(input, parse(text))
    }

    /// The values of an input that holds one on each line.
    pub(super) fn lines<T>(
        &mut self,
        input: &'static str,
        mut parse: impl FnMut(&str) -> Result<T, Problem>,
    ) -> Vec<T> {
        let raw = self.raw;
        raw.lines(input)
            .filter_map(|line| self.keep(input, parse(line)))
            .collect()
    }

    /// Notes a mistake that several inputs make together.
    pub(super) fn refuse(&mut self, input: &'static str, problem: &str, fix: &str) {
        self.errors.push(InputError {
            input,
            problem: problem.into(),
            fix: fix.into(),
        });
    }

    /// The settings if nothing was wrong, else every mistake.
    pub(super) fn finish<T>(self, settings: Option<T>) -> Result<T, InputErrors> {
        match settings {
            Some(settings) if self.errors.is_empty() => Ok(settings),
            _ => Err(InputErrors(self.errors)),
        }
    }

    fn keep<T>(&mut self, input: &'static str, result: Result<T, Problem>) -> Option<T> {
        result
            .map_err(|Problem { problem, fix }| {
                self.errors.push(InputError {
                    input,
                    problem,
                    fix,
                });
            })
            .ok()
    }
}
