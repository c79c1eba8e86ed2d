//! The action on a real Kubernetes, next to the simulated one where both can play.
//! Nothing here knows a type of the pipeline: events and inputs go in; comments, objects, pages and exit codes come out.
//! Everything the action does is done as the ServiceAccount of `templates/setup/rbac.yaml`, so that a verb missing there
//! fails a test; an administrator only looks, and removes what a killed run has left.
//!
//! `KUBECONFIG` names the cluster; README.md says how to come by one and what else can be set.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at its first surprise"
)]
#![expect(
    clippy::print_stdout,
    reason = "the measured times are part of the result"
)]

mod alone;
mod applyset;
mod both;
mod check;
mod contents;
mod failures;
mod kill;
mod metrics;
mod objects;
mod race;
mod remove;
mod rest;
mod rights;
mod same;
mod scenarios;
mod setup;
mod stay;
mod trials;
mod watch;
mod world;
