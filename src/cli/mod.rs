//! The door: turns arguments, or the variables of a workflow run, into one use case and its result into an exit code.
//! It decides nothing that another door would have to decide again.
//! Without arguments inside a workflow it is the action; the same binary is the command line everywhere else.

mod action;
mod adopt;
mod assess;
mod check;
mod command_line;
mod diff;
mod inputs;
mod metrics;
mod open;
mod play;
mod print;
mod setup;
mod simulate;
mod sweep;

pub use action::{Surroundings, act};
pub use play::{Player, Seen, Stage, Watch, control_namespace, parse, read_outputs};
pub use simulate::Simulated;

use crate::pipeline::Failure;
use clap::{CommandFactory, Parser, Subcommand};
use futures::FutureExt as _;
use std::{ffi::OsString, panic::AssertUnwindSafe, process::ExitCode};

/// Exit code for a bug of ours.
const OURS: u8 = 2;

/// Gives every pull request its own live environment on a Kubernetes cluster.
#[derive(Debug, Parser)]
#[command(
    name = "preview-action",
    version,
    about,
    long_about = "Gives every pull request its own live environment on a Kubernetes cluster.\n\n\
        Inside a GitHub workflow, run without a command: the event decides what happens.\n\
        Everywhere else, the commands below do the same work by hand.",
    after_help = "Exit codes: 0 done or nothing to do, 1 yours to mend, 3 GitHub or the cluster refused, 2 a bug of ours, 130 cancelled.\n\
        Start with `preview-action simulate`: it needs no cluster, no token and no network.",
    subcommand_help_heading = "Commands",
    disable_help_subcommand = true
)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Log more: once for steps, twice for every request
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Deploy a pull request's preview and wait until it is ready
    Deploy(command_line::Deploy),
    /// Take a preview back to the last commit that was ready, or to the one before it
    Rollback(command_line::Rollback),
    /// Remove a pull request's preview and wait until it is gone
    #[command(visible_alias = "undeploy")]
    Remove(command_line::Remove),
    /// Take over a Namespace labelled app=preview that was made before
    Adopt(adopt::Adopt),
    /// Do what the schedule does: remove what is closed or expired, and heal what was missed
    Sweep(sweep::Sweep),
    /// List the previews of a cluster
    List(command_line::List),
    /// Show one preview: state, address, workloads
    Status(command_line::Status),
    /// Print the manifests that a deploy would apply, without a cluster or token
    Render(command_line::Render),
    /// Show what a deploy would change in the live preview, without changing anything
    Diff(diff::Diff),
    /// Look for what would keep a deploy from going well, without changing anything
    Check(check::Check),
    /// Print figures of runs and previews as OpenMetrics or JSON
    Metrics(metrics::Metrics),
    /// Play a pull request's life against a simulated GitHub and cluster
    Simulate(simulate::Simulate),
    /// Say of live objects in a file whether they are ready
    Assess(assess::Assess),
    /// Print what an administrator applies once: rights and the policy that limits them
    Setup(setup::Setup),
    /// Print the JSON schema of `.github/preview.yml`
    Schema,
    /// Render templates from standard input within limits
    #[command(name = crate::pipeline::RENDER_COMMAND, hide = true)]
    RenderTemplates,
}

/// Where people report a bug.
const REPORTS: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "/issues");

/// Runs the program with these arguments, the first of which is its own name.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // clap's own exit code for a wrong argument is 2, which means a bug here
            let _ = error.print();
            return ExitCode::from(u8::from(error.use_stderr()));
        }
    };
    if matches!(arguments.command, Some(Command::RenderTemplates)) {
        return crate::pipeline::render_templates();
    }
    // Everything here waits for others, so one thread is enough, and takes the least memory.
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            print::error(&format!("cannot start: {error}"));
            return ExitCode::from(OURS);
        }
    };
    let code = runtime.block_on(unbroken(dispatch(arguments), print::error));
    // A blocking lookup that is still under way must not hold the process up.
    runtime.shutdown_background();
    ExitCode::from(code)
}

/// The exit code of a command; a bug in it is told like any other failure.
async fn unbroken(story: impl Future<Output = u8>, tell: impl FnOnce(&str)) -> u8 {
    let told = AssertUnwindSafe(story).catch_unwind().await;
    told.unwrap_or_else(|_| {
        let failed = print::Failed::from(Failure::bug());
        tell(&format!("{failed}\n  where: {REPORTS}"));
        failed.code()
    })
}

async fn dispatch(arguments: Arguments) -> u8 {
    let verbose = arguments.verbose;
    let Some(command) = arguments.command else {
        return match action::run(verbose).await {
            Some(code) => code,
            None => {
                print::text(&Arguments::command().render_long_help().to_string());
                0
            }
        };
    };
    let result = match command {
        Command::Deploy(deploy) => deploy.run(verbose).await,
        Command::Rollback(rollback) => rollback.run(verbose).await,
        Command::Remove(remove) => remove.run(verbose).await,
        Command::Adopt(adopt) => adopt.run(verbose).await,
        Command::Sweep(sweep) => sweep.run(verbose).await,
        Command::List(list) => list.run(verbose).await,
        Command::Status(status) => status.run(verbose).await,
        Command::Render(render) => render.run(verbose).await,
        Command::Diff(diff) => diff.run(verbose).await,
        Command::Check(check) => check.run(verbose).await,
        Command::Metrics(metrics) => metrics.run(verbose).await,
        Command::Simulate(simulate) => simulate.run(verbose).await,
        Command::Assess(assess) => assess.run(),
        Command::Setup(setup) => setup.run(),
        Command::Schema => {
            print::text(crate::templates::SCHEMA.trim_end());
            Ok(0)
        }
        Command::RenderTemplates => Ok(0),
    };
    result.unwrap_or_else(|failure| {
        print::error(&failure.to_string());
        failure.code()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Arguments::command().debug_assert();
    }

    #[tokio::test]
    async fn a_bug_in_a_command_ends_with_2_and_says_where_to_report_it() {
        let mut said = String::new();
        let story = async { Vec::<u8>::new()[0] };
        let code = unbroken(story, |text| said.push_str(text)).await;
        assert_eq!(code, 2);
        for text in ["a bug of its own", "report it", REPORTS] {
            assert!(said.contains(text), "{text}: {said}");
        }
        let said = |text: &str| unreachable!("{text}");
        assert_eq!(unbroken(async { 3 }, said).await, 3);
    }
}
