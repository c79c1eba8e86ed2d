//! Turns the table of the action's inputs into command-line options of the same names.
//! It knows no input by name, so a new input is an option at once.
//! The options feed the same parser as a workflow's `with:`, so both doors refuse the same mistakes in the same words.

use crate::inputs::{
    RawInputs,
    registry::{INPUTS, InputSpec},
};
use clap::{Arg, ArgAction, ArgMatches, Command};
use std::marker::PhantomData;

/// The inputs that were given as options of one command.
#[derive(Debug, Clone)]
pub(super) struct Inputs<C> {
    /// As a workflow would hand them over.
    pub(super) raw: RawInputs,
    command: PhantomData<C>,
}

/// Which inputs have an effect in a command; only these are offered.
pub(super) trait Offers {
    /// Names of inputs; all that are not for workflows alone when there is none.
    const INPUTS: &'static [&'static str];
    /// Names of inputs for workflows that have an effect all the same.
    const BESIDES: &'static [&'static str] = &[];
}

/// Has its commands' lists of inputs, so that they can be read side by side.
macro_rules! offers {
    ($($(#[$doc:meta])* $command:ident: $inputs:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone)]
        pub(super) struct $command;

        impl Offers for $command {
            const INPUTS: &'static [&'static str] = $inputs;
        }
    )*};
}

offers! {
    /// Inputs of `deploy`.
    ForDeploy: &[];
    /// Inputs of `remove`: the cluster, the preview's name, the comment.
    ForRemove: &["token", "kubeconfig", "context", "namespace-pattern", "environment", "control-namespace", "ca-bundle"];
    /// Inputs of `adopt`: the cluster and the ledger.
    ForAdopt: &["token", "kubeconfig", "context", "ttl", "max-previews", "environment", "control-namespace", "ca-bundle"];
    /// Inputs of `rollback`: the cluster, the preview's name, the comment, and how long is waited and kept.
    ForRollback: &["token", "kubeconfig", "context", "namespace-pattern", "environment", "control-namespace", "ca-bundle", "timeout", "ttl"];
    /// Inputs of `list`: the cluster.
    ForList: &["kubeconfig", "context", "ca-bundle"];
    /// Inputs of `status`: the cluster, the ledger, and the token that finds the repository's number.
    ForStatus: &["token", "kubeconfig", "context", "environment", "control-namespace", "ca-bundle"];
    /// Inputs of `metrics`: the cluster, the ledger, and the token that finds the repository's number.
    ForMetrics: &["token", "kubeconfig", "context", "environment", "control-namespace", "ca-bundle"];
    /// Inputs of `render`: what the manifests are made of.
    ForRender: &["domain", "config", "images", "ttl", "timeout", "namespace-pattern", "url-mode", "host-pattern", "environment", "templates", "manifests", "values", "pull-secret"];
    /// Inputs of `diff`: what the manifests are made of, and the cluster that they are compared with.
    ForDiff: &["token", "kubeconfig", "context", "ca-bundle", "domain", "config", "images", "ttl", "timeout", "namespace-pattern", "url-mode", "host-pattern", "environment", "templates", "manifests", "values", "pull-secret"];
    /// Inputs of `check`: those of `diff`, the ledger, and what says how much room there is and how the address is asked.
    ForCheck: &["token", "kubeconfig", "context", "ca-bundle", "domain", "config", "images", "ttl", "timeout", "namespace-pattern", "url-mode", "host-pattern", "environment", "templates", "manifests", "values", "pull-secret", "control-namespace", "max-previews", "nodes", "health", "health-address"];
}

/// Inputs of `sweep`: all that a deploy has, because it may deploy, and what says which pull requests come by themselves.
#[derive(Debug, Clone)]
pub(super) struct ForSweep;

impl Offers for ForSweep {
    const INPUTS: &'static [&'static str] = &[];
    const BESIDES: &'static [&'static str] = &[
        "auto-deploy",
        "labels",
        "ignore-labels",
        "drafts",
        "bots",
        "paths",
        "build-workflow",
    ];
}

/// These need a pull request's event or comment, or other jobs, which the command line has not.
const WORKFLOW_ONLY: &[&str] = &[
    "auto-deploy",
    "config-from",
    "job",
    "comment-author",
    "mode",
    "sha",
    "approval-gate",
    "deploy-command",
    "build-workflow",
    "labels",
    "ignore-labels",
    "drafts",
    "bots",
    "paths",
];

/// Environment variables that people already have; everything else comes by option.
fn variable(name: &str) -> Option<&'static str> {
    match name {
        "token" => Some("PREVIEW_TOKEN"),
        "kubeconfig" => Some("KUBECONFIG"),
        _ => None,
    }
}

fn offered<C: Offers>() -> impl Iterator<Item = &'static InputSpec> {
    INPUTS.iter().filter(|spec| {
        if C::INPUTS.is_empty() {
            !WORKFLOW_ONLY.contains(&spec.name) || C::BESIDES.contains(&spec.name)
        } else {
            C::INPUTS.contains(&spec.name)
        }
    })
}

/// The purpose, in the words of a terminal where those of a workflow would mislead.
fn at_a_terminal(spec: &InputSpec) -> &str {
    match spec.name {
        "token" => "Token for GitHub's API: the pull request is read there and its comment is kept",
        "auto-deploy" => {
            "Whether the workflow lets pushes deploy by themselves: then a head that no run has tried is deployed too"
        }
        "kubeconfig" => {
            "Kubeconfig of the cluster, as a path, as text or as base64; without it `~/.kube/config`, or the account of the pod that this runs in"
        }
        _ => spec.purpose.trim_end_matches('.'),
    }
}

fn option(spec: &'static InputSpec) -> Arg {
    // An expression such as ${{ github.token }} is evaluated by a workflow only.
    let default = if spec.default.is_empty()
        || spec.default.contains("${{")
        || WORKFLOW_ONLY.contains(&spec.name)
    {
        String::new()
    } else {
        format!(" [default: {}]", spec.default)
    };
    let many = matches!(
        spec.name,
        "images" | "templates" | "manifests" | "labels" | "ignore-labels" | "bots" | "paths"
    );
    let arg = Arg::new(spec.name)
        .long(spec.name)
        .value_name("VALUE")
        // So that `--max-previews -1` is refused in the words of the input.
        .allow_hyphen_values(spec.name == "max-previews")
        .help(format!("{}{default}", at_a_terminal(spec)))
        .help_heading("Inputs, as in a workflow")
        .action(if many {
            ArgAction::Append
        } else {
            ArgAction::Set
        });
    match variable(spec.name) {
        Some(variable) => arg.env(variable).hide_env_values(true),
        None => arg,
    }
}

impl<C: Offers> clap::Args for Inputs<C> {
    fn augment_args(command: Command) -> Command {
        command.args(offered::<C>().map(option))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<C: Offers> clap::FromArgMatches for Inputs<C> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = offered::<C>().filter_map(|spec| {
            let values: Vec<&String> = matches.get_many(spec.name)?.collect();
            let lines: Vec<&str> = values.into_iter().map(String::as_str).collect();
            Some((spec.name.to_owned(), lines.join("\n")))
        });
        Ok(Self {
            raw: given.collect(),
            command: PhantomData,
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_offered_name_is_an_input() {
        for name in [
            ForRemove::INPUTS,
            ForAdopt::INPUTS,
            ForRollback::INPUTS,
            ForList::INPUTS,
            ForStatus::INPUTS,
            ForRender::INPUTS,
            ForDiff::INPUTS,
            ForCheck::INPUTS,
            WORKFLOW_ONLY,
        ]
        .concat()
        {
            assert!(INPUTS.iter().any(|spec| spec.name == name), "{name}");
        }
    }
}
