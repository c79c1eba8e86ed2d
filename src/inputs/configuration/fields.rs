//! Reads one mapping or value of a YAML tree after the other and collects what is wrong with them.
//! It knows no key by name; whoever asks for a key makes it an allowed one.
//! Faults are gathered and not thrown, so that one run is enough to mend a file.

use super::ConfigurationFault;
use crate::yaml::{Content, Key, Node};
use std::{cell::RefCell, ops::RangeInclusive};

/// Where faults are gathered.
pub(super) type Faults = RefCell<Vec<ConfigurationFault>>;

/// A value and the path that leads to it.
#[derive(Clone)]
pub(super) struct At<'n> {
    pub(super) node: &'n Node,
    pub(super) path: String,
    faults: &'n Faults,
}

/// A mapping whose keys are asked for one by one; closing it reports those that nobody asked for.
pub(super) struct Fields<'n> {
    at: At<'n>,
    entries: &'n [(Key, Node)],
    asked: Vec<&'static str>,
}

impl<'n> At<'n> {
    pub(super) fn root(node: &'n Node, faults: &'n Faults) -> Self {
        Self {
            node,
            path: String::new(),
            faults,
        }
    }

    fn child(&self, name: &str, node: &'n Node) -> Self {
        let path = if self.path.is_empty() {
            name.into()
        } else {
            format!("{}.{name}", self.path)
        };
        Self {
            node,
            path,
            ..*self
        }
    }

    pub(super) fn fault(&self, problem: impl Into<String>, fix: impl Into<String>) {
        self.fault_at(self.node.line, self.node.column, problem, fix);
    }

    fn fault_at(&self, line: u32, column: u32, problem: impl Into<String>, fix: impl Into<String>) {
        self.faults.borrow_mut().push(ConfigurationFault {
            line,
            column,
            field: self.path.clone(),
            problem: problem.into(),
            fix: fix.into(),
        });
    }

    fn wrong<T>(&self, expected: &str) -> Option<T> {
        self.fault(
            format!("is {}", self.node.kind()),
            format!("write {expected}"),
        );
        None
    }

    /// A mapping with known keys; nothing counts as an empty one.
    pub(super) fn fields(self) -> Option<Fields<'n>> {
        let entries = match &self.node.content {
            Content::Map(entries) => entries.as_slice(),
            Content::Null => &[],
            _ => return self.wrong("a mapping"),
        };
        Some(Fields {
            at: self,
            entries,
            asked: Vec::new(),
        })
    }

    /// A mapping with keys of the user's own.
    pub(super) fn entries(&self) -> Vec<(&'n Key, At<'n>)> {
        match &self.node.content {
            Content::Map(entries) => entries
                .iter()
                .map(|(key, node)| (key, self.child(&key.text, node)))
                .collect(),
            Content::Null => Vec::new(),
            _ => {
                self.wrong::<()>("a mapping");
                Vec::new()
            }
        }
    }

    pub(super) fn items(&self) -> Vec<At<'n>> {
        match &self.node.content {
            Content::List(items) => items
                .iter()
                .enumerate()
                .map(|(index, node)| At {
                    node,
                    path: format!("{}[{index}]", self.path),
                    ..*self
                })
                .collect(),
            Content::Null => Vec::new(),
            _ => {
                self.wrong::<()>("a list, such as [a, b]");
                Vec::new()
            }
        }
    }

    /// Text that is written as text and not empty.
    pub(super) fn text(&self) -> Option<String> {
        match &self.node.content {
            Content::Text(text) if text.is_empty() => {
                self.fault("is empty", "write a text or leave the key out");
                None
            }
            Content::Text(text) => Some(text.clone()),
            _ => self.wrong("text, in quotes if it looks like a number or a boolean"),
        }
    }

    /// Any scalar as it was written.
    pub(super) fn scalar(&self) -> Option<String> {
        match self.node.content {
            Content::Null => self.wrong("a text"),
            _ => self.scalar_or_nothing(),
        }
    }

    /// Any scalar as it was written, nothing as the empty text.
    pub(super) fn scalar_or_nothing(&self) -> Option<String> {
        let scalar = self.node.scalar();
        if scalar.is_none() {
            return self.wrong("a text, a number or a boolean");
        }
        scalar
    }

    pub(super) fn boolean(&self) -> Option<bool> {
        match self.node.content {
            Content::Bool(value) => Some(value),
            _ => self.wrong("true or false"),
        }
    }

    pub(super) fn number(&self, range: RangeInclusive<u32>) -> Option<u32> {
        let expected = if range.start() == range.end() {
            range.start().to_string()
        } else {
            format!("a whole number from {} to {}", range.start(), range.end())
        };
        let Content::Number(number) = &self.node.content else {
            return self.wrong(&expected);
        };
        let found = number
            .as_u64()
            .and_then(|number| u32::try_from(number).ok())
            .filter(|number| range.contains(number));
        if found.is_none() {
            self.fault(format!("is {number}"), format!("write {expected}"));
        }
        found
    }

    /// A path that begins with a slash and climbs nowhere.
    pub(super) fn absolute_path(&self) -> Option<String> {
        let path = self.text()?;
        if !is_absolute(&path) {
            self.fault(
                "is no absolute path",
                "begin it with `/`, without `..` and control characters",
            );
            return None;
        }
        Some(path)
    }

    /// One of a few words.
    pub(super) fn word<T: Copy>(&self, words: &[(&str, T)]) -> Option<T> {
        let names: Vec<_> = words.iter().map(|(name, _)| *name).collect();
        let expected = names.join(", ");
        let Content::Text(text) = &self.node.content else {
            return self.wrong(&format!("one of: {expected}"));
        };
        let found = words.iter().find(|(name, _)| name == text);
        if found.is_none() {
            self.fault(
                format!("`{text:.40}` is unknown{}", did_you_mean(text, &names)),
                format!("write one of: {expected}"),
            );
        }
        found.map(|(_, value)| *value)
    }

    /// A value that its type reads from text.
    pub(super) fn parsed<T: std::str::FromStr>(&self, expected: &str) -> Option<T> {
        let text = self.scalar()?;
        let value = text.parse().ok();
        if value.is_none() {
            self.fault(
                format!("`{text:.60}` cannot be read"),
                format!("write {expected}"),
            );
        }
        value
    }

    /// Scalars by keys of the user's own.
    pub(super) fn scalars(&self) -> Vec<(String, String)> {
        self.entries()
            .into_iter()
            .filter_map(|(key, at)| Some((key.text.clone(), at.scalar()?)))
            .collect()
    }

    /// A list of scalars.
    pub(super) fn scalar_list(&self) -> Vec<String> {
        self.items().iter().filter_map(At::scalar).collect()
    }
}

impl<'n> Fields<'n> {
    /// The value of a key, which is allowed from now on; a key without a value counts as absent.
    pub(super) fn take(&mut self, name: &'static str) -> Option<At<'n>> {
        self.asked.push(name);
        let (_, node) = self.entries.iter().find(|(key, _)| key.text == name)?;
        (node.content != Content::Null).then(|| self.at.child(name, node))
    }

    /// The value of a key that must be there.
    pub(super) fn require(&mut self, name: &'static str, example: &str) -> Option<At<'n>> {
        let found = self.take(name);
        if found.is_none() {
            self.at
                .fault(format!("`{name}` is missing"), format!("add {example}"));
        }
        found
    }

    /// Says that something is wrong with the mapping as a whole.
    pub(super) fn fault(&self, problem: impl Into<String>, fix: impl Into<String>) {
        self.at.fault(problem, fix);
    }

    /// Reports every key that nobody asked for; `later` are keys that a coming version may know.
    pub(super) fn close(self, later: &[&str]) {
        for (key, node) in self.entries {
            if self.asked.contains(&key.text.as_str()) {
                continue;
            }
            let at = self.at.child(&key.text, node);
            let hint = if later.contains(&key.text.as_str()) {
                ", this version does not have it".into()
            } else {
                did_you_mean(&key.text, &self.asked)
            };
            at.fault_at(
                key.line,
                key.column,
                format!("unknown key{hint}"),
                format!("allowed here: {}", self.asked.join(", ")),
            );
        }
    }
}

pub(super) fn is_absolute(path: &str) -> bool {
    path.starts_with('/')
        && !path.chars().any(char::is_control)
        && path.split('/').all(|part| part != "..")
}

fn did_you_mean(text: &str, names: &[&str]) -> String {
    let plain = |text: &str| text.to_ascii_lowercase().replace(['-', '_'], "");
    let wanted = plain(text);
    names
        .iter()
        .map(|name| {
            let near = strsim::damerau_levenshtein(&wanted, &plain(name)) <= 1;
            let likeness = strsim::jaro_winkler(&wanted, &plain(name));
            (if near { 1.0 } else { likeness }, name)
        })
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, name)| format!(", did you mean `{name}`?"))
        .unwrap_or_default()
}
