//! Whole runs of the action against the simulated GitHub and cluster, as a workflow would see them.
//! Nothing here knows a type of the pipeline: events and inputs go in, comments, objects, outputs and exit codes come out.
//! One binary, so that the crate is linked once.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and shows the numbers that it found"
)]

mod adopt;
mod answers;
mod assess;
mod bad_input;
mod beside;
mod cancel;
mod capacity;
mod check;
mod cli;
mod clocks;
mod commands;
mod comments;
mod dice;
mod diff;
mod doors;
mod faults;
mod fence;
mod filters;
mod forks;
mod gate;
mod ghes;
mod heard;
mod hosts;
mod issues;
mod judges;
mod kept;
mod life;
mod limits;
mod line;
mod many;
mod metrics;
mod named;
mod outrun;
mod overtaken;
mod permissions;
mod plan;
mod prefix;
mod queue;
mod reactions;
mod redeploy;
mod removal;
mod requests;
mod restore;
mod rivals;
mod rollback;
mod room;
mod run_first;
mod scenarios;
mod secrets;
mod settings;
mod shows;
mod sleep;
mod sleepless;
mod sources;
mod support;
mod sweep;
mod sweep_ledger;
mod taken_back;
mod turns;
mod unanswered;
mod untrusted;
mod watch;
mod workflow_run;
