//! Turns the inputs that say which pull requests are deployed by themselves into one checked value.
//! It knows no pull request: `trigger` holds one against the filters.
//! Apart from the other settings, because filters decide together and everything that obeys them needs them all.

use super::{
    paths::{PathPattern, Paths},
    reader::{Problem, Reader, shown},
    scalars,
};

/// GitHub's own limit for the name of a label.
const LONGEST_LABEL: usize = 50;

/// Which pull requests are deployed by themselves.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filters {
    /// Labels of which one is needed; none is needed when empty.
    pub labels: Vec<String>,
    /// Labels of which none may be there.
    pub ignore_labels: Vec<String>,
    /// True when drafts are deployed.
    pub drafts: bool,
    /// Which bots' pull requests are deployed.
    pub bots: Bots,
    /// Files of which one must be changed; none when any will do.
    pub paths: Option<Paths>,
}

/// Which bots' pull requests are deployed by themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bots {
    /// All.
    All,
    /// Those with these logins.
    Only(Vec<String>),
}

impl Default for Bots {
    fn default() -> Self {
        Self::Only(Vec::new())
    }
}

impl Bots {
    /// True when this bot's pull requests are deployed; `[bot]` may be left out.
    pub fn includes(&self, login: &str) -> bool {
        let bare = |login: &str| {
            let login = login.to_ascii_lowercase();
            login.trim_end_matches("[bot]").to_owned()
        };
        match self {
            Self::All => true,
            Self::Only(logins) => logins.iter().any(|one| bare(one) == bare(login)),
        }
    }
}

impl Filters {
    /// Reads the five inputs; none after a mistake, which was noted.
    pub(super) fn read(read: &mut Reader<'_>) -> Option<Self> {
        let labels = read.lines("labels", label);
        let ignore_labels = read.lines("ignore-labels", label);
        let drafts = read.or("drafts", "true", scalars::boolean);
        let bots = bots(read);
        let patterns = read.lines("paths", PathPattern::parse);
        let paths = match Paths::of(patterns) {
            Ok(paths) => Some(paths),
            Err(Problem { problem, fix }) => {
                read.refuse("paths", &problem, &fix);
                None
            }
        };
        Some(Self {
            labels,
            ignore_labels,
            drafts: drafts?,
            bots: bots?,
            paths: paths?,
        })
    }

    /// True when this label is one of those that a pull request needs.
    pub fn wants_label(&self, name: &str) -> bool {
        among(&self.labels, name)
    }

    /// True when this label keeps a pull request from being deployed.
    pub fn ignores_label(&self, name: &str) -> bool {
        among(&self.ignore_labels, name)
    }
}

/// GitHub takes labels for the same whatever their case.
fn among(labels: &[String], name: &str) -> bool {
    let name = name.to_lowercase();
    labels.iter().any(|one| one.to_lowercase() == name)
}

fn label(text: &str) -> Result<String, Problem> {
    if text.chars().count() <= LONGEST_LABEL {
        return Ok(text.to_owned());
    }
    Err(Problem::new(
        format!("{} is longer than a label can be", shown(text)),
        format!("write one label a line, each of at most {LONGEST_LABEL} characters"),
    ))
}

fn bots(read: &mut Reader<'_>) -> Option<Bots> {
    let lines = read.lines("bots", |line| match scalars::boolean(line) {
        Ok(all) => Ok(Err(all)),
        Err(_) => scalars::login(line).map(Ok),
    });
    match lines.as_slice() {
        [Err(true)] => Some(Bots::All),
        [] | [Err(false)] => Some(Bots::default()),
        several => {
            let logins: Vec<String> = several.iter().flatten().cloned().collect();
            if logins.len() < several.len() {
                read.refuse(
                    "bots",
                    "has a boolean beside logins",
                    "write `true`, `false`, or one login a line",
                );
                return None;
            }
            Some(Bots::Only(logins))
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::inputs::{InputErrors, RawInputs, Settings};

    fn filters(inputs: &[(&str, &str)]) -> Result<Filters, InputErrors> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let raw: RawInputs = inputs.iter().map(owned).collect();
        Ok(Settings::parse(&raw)?.filters)
    }

    #[test]
    fn without_inputs_everything_but_a_bots_pull_request_is_deployed() {
        let filters = filters(&[]).unwrap();
        assert!(filters.labels.is_empty() && filters.ignore_labels.is_empty());
        assert_eq!((filters.drafts, filters.paths), (true, None));
        assert!(!filters.bots.includes("renovate[bot]"));
    }

    #[test]
    fn labels_are_lines_and_their_case_is_none_of_our_business() {
        let filters = filters(&[
            ("labels", "Preview\n\n  needs demo "),
            ("ignore-labels", "no-preview"),
        ])
        .unwrap();
        assert!(filters.wants_label("preview") && filters.wants_label("Needs Demo"));
        assert!(!filters.wants_label("demo") && !filters.wants_label("no-preview"));
        assert!(filters.ignores_label("NO-PREVIEW"));
    }

    #[test]
    fn bots_are_all_none_or_named() {
        let bots = |text: &str| filters(&[("bots", text)]).unwrap().bots;
        assert!(bots("true").includes("renovate[bot]"));
        assert!(!bots("false").includes("renovate[bot]"));
        let some = bots("Copilot\nacme-agent[bot]");
        assert!(some.includes("copilot") && some.includes("acme-agent[bot]"));
        assert!(some.includes("Acme-Agent") && !some.includes("dependabot[bot]"));
    }

    #[test]
    fn mistakes_are_named_with_their_input() {
        for (input, text, said) in [
            ("bots", "true\nrenovate[bot]", "boolean beside logins"),
            ("bots", "@renovate", "is not a login"),
            ("drafts", "perhaps", "`drafts`"),
            ("paths", "!docs/**", "nothing is left"),
            ("paths", "/src/**", "begins with `/`"),
            ("labels", &"x".repeat(51), "longer than a label"),
        ] {
            let errors = filters(&[(input, text)]).unwrap_err().to_string();
            assert!(errors.contains(said), "{input}: {errors}");
            assert!(errors.contains(&format!("input `{input}`")), "{errors}");
        }
    }
}
