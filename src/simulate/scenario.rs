//! Turns a scenario file into the steps of a pull request's life, and what each must come to.
//! It knows no world; the same file is played on the simulated one and on a real cluster.
//! Files and not code, so that a scenario reads as a story and nobody has to compile one.

use serde::Deserialize;
use std::collections::BTreeMap;

/// The scenarios that are built in, by name; the first is the one played by default.
pub const BUILT_IN: &[(&str, &str)] = &[
    ("life", include_str!("scenarios/life.yml")),
    ("crash", include_str!("scenarios/crash.yml")),
    ("full", include_str!("scenarios/full.yml")),
    ("on-request", include_str!("scenarios/on-request.yml")),
];

/// A story of pull requests in one repository.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What it shows, in one line.
    pub title: String,
    /// Files of the repository by path.
    #[serde(default)]
    pub files: BTreeMap<String, String>,
    /// Inputs of the workflow; `${registry}` stands for the world's registry.
    #[serde(default)]
    pub inputs: BTreeMap<String, String>,
    /// Steps in their order.
    pub steps: Vec<Step>,
}

/// One thing that happens, and what the run that it starts must come to.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// What happens, in words.
    pub say: String,
    /// What happens.
    #[serde(rename = "do")]
    pub act: Act,
    /// Inputs of this step's run, over those of the scenario.
    #[serde(default)]
    pub inputs: BTreeMap<String, String>,
    /// What must come of it.
    #[serde(default)]
    pub expect: Expect,
}

/// What can happen on GitHub.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Act {
    /// A pull request is opened.
    Open {
        /// Number.
        pr: u64,
        /// Branch that it comes from.
        branch: String,
        /// Title.
        title: String,
        /// Login of its author.
        by: String,
        /// True when the branch is in a fork.
        #[serde(default)]
        fork: bool,
    },
    /// A commit is pushed.
    Push {
        /// Pull request.
        pr: u64,
        /// Files that the commit changes.
        #[serde(default)]
        files: BTreeMap<String, String>,
    },
    /// Somebody comments.
    Comment {
        /// Pull request.
        pr: u64,
        /// Login.
        by: String,
        /// Text.
        body: String,
    },
    /// It is closed.
    Close {
        /// Pull request.
        pr: u64,
        /// True when it was merged.
        #[serde(default)]
        merged: bool,
        /// True when GitHub sends no event for it.
        #[serde(default)]
        unheard: bool,
    },
    /// It is opened again.
    Reopen {
        /// Pull request.
        pr: u64,
    },
    /// The schedule fires.
    Schedule {},
}

/// What must come of a step; absent means that it does not matter.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Expect {
    /// Exit code.
    #[serde(default)]
    pub exit: u8,
    /// Outputs by name; `${sha}` and `${short-sha}` stand for the head.
    #[serde(default)]
    pub outputs: BTreeMap<String, String>,
    /// Texts that stand in the pull request's comment.
    #[serde(default)]
    pub comment: Vec<String>,
    /// How many comments of ours the pull request has.
    pub comments: Option<usize>,
    /// Objects that the preview's Namespace holds, as `Kind/name`; those that every Namespace has are left out.
    pub objects: Option<Vec<String>>,
    /// Text that the page behind the main address shows.
    pub page: Option<String>,
    /// Namespaces of previews that exist afterwards.
    pub namespaces: Option<Vec<String>>,
}
