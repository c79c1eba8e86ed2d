//! The action's face inside a workflow: variables in; comment, outputs, summary, annotations and exit code out.
//! It decides nothing about previews; it reads what the runner hands over and reports what the pipeline returns.
//! Everything it reads or writes comes in as a value, so that a whole run can be played in a test or a simulation.

use super::{open, play::Watch};
use crate::{
    event::{Event, Repository},
    inputs::{KubeconfigSource, Mode, RawInputs, Settings, registry::INPUTS},
    names::ReasonCode,
    pipeline::{
        self, Connections, Ending, Exit, Failure, Links, Planned, Ports, RunId, Sandbox, Subject,
    },
    report::{self, StatusView, Summary},
    runner::{Annotation, Context, Level, Redaction, Runner, RunnerError},
    templates,
    trigger::{self, Trigger, filters},
};
use futures::FutureExt as _;
use std::{collections::BTreeMap, io::Write, panic::AssertUnwindSafe, path::Path};
use tokio_util::sync::CancellationToken;

/// Everything that a run inside a workflow gets from outside.
pub struct Surroundings {
    /// Environment variables.
    pub variables: BTreeMap<String, String>,
    /// Where workflow commands and log lines go.
    pub out: Box<dyn Write + Send>,
    /// Renders templates.
    pub sandbox: Sandbox,
    /// Cancelled by the first signal.
    pub stop: CancellationToken,
    /// Shared with whatever else writes in this process.
    pub redaction: Redaction,
    /// True when the health check may ask this machine; only the simulated world lives there.
    pub loopback: bool,
    /// Divides every grace of the readiness gate; 1 except in worlds that play faster than life.
    pub haste: u32,
    /// Called at each change of a preview.
    pub watch: Watch,
}

/// Runs as the action of this process; `None` when this is no workflow.
pub(super) async fn run(verbose: u8) -> Option<u8> {
    let variables: BTreeMap<String, String> = std::env::vars().collect();
    let redaction = Redaction::default();
    let debug = variables
        .get("RUNNER_DEBUG")
        .is_some_and(|value| value == "1");
    open::log(
        if debug { verbose.max(1) } else { verbose } + 1,
        redaction.clone(),
    );
    let sandbox = match Sandbox::current() {
        Ok(sandbox) => sandbox,
        Err(error) => {
            super::print::error(&format!("cannot find this program's own file: {error}"));
            return Some(Exit::Ours.code());
        }
    };
    let stop = open::stop_on_signals();
    act(Surroundings {
        variables,
        out: Box::new(std::io::stdout()),
        sandbox,
        stop,
        redaction,
        loopback: false,
        haste: 1,
        watch: std::sync::Arc::new(log_progress),
    })
    .await
}

fn log_progress(view: &StatusView) {
    tracing::info!("{}", open::progress(view));
}

/// Runs as the action; `None` when the variables are not those of a workflow.
pub async fn act(surroundings: Surroundings) -> Option<u8> {
    let Surroundings {
        variables,
        out,
        sandbox,
        stop,
        redaction,
        loopback,
        haste,
        watch,
    } = surroundings;
    let context = match Context::from_variables(variables.clone()) {
        Ok(context) => context?,
        Err(error) => {
            super::print::error(&error.to_string());
            return Some(Exit::Yours.code());
        }
    };
    let raw = RawInputs::from_variables(variables.clone());
    let runner = Runner::new(context, redaction.clone(), out);
    let run = Run {
        variables,
        raw,
        runner,
        redaction,
        sandbox,
        stop,
        loopback,
        haste,
        watch,
    };
    // A whole deploy is a large future; on the heap it costs no caller's stack.
    let told = AssertUnwindSafe(Box::pin(run.story())).catch_unwind().await;
    let told = told.unwrap_or_else(|_| Told {
        decision: "ignore",
        ending: Ending::failed(Failure::bug()),
    });
    let said = std::panic::catch_unwind(AssertUnwindSafe(|| run.tell(&told)));
    Some(match said {
        Ok(Ok(())) => told.ending.exit.code(),
        Ok(Err(error)) => {
            tracing::error!("cannot tell the runner how it went: {error}");
            told.ending.exit.code().max(Exit::Yours.code())
        }
        Err(_) => Exit::Ours.code(),
    })
}

struct Run {
    variables: BTreeMap<String, String>,
    raw: RawInputs,
    runner: Runner,
    redaction: Redaction,
    sandbox: Sandbox,
    stop: CancellationToken,
    loopback: bool,
    haste: u32,
    watch: Watch,
}

/// What there is to tell the runner.
struct Told {
    decision: &'static str,
    ending: Ending,
}

/// What the event asks for, before anything is opened.
struct Decided {
    settings: Settings,
    event: Event,
    trigger: Trigger,
}

impl Run {
    async fn story(&self) -> Told {
        let decided = match self.decided() {
            Ok(decided) => decided,
            Err(failure) => {
                return Told {
                    decision: "ignore",
                    ending: Ending::failed(failure),
                };
            }
        };
        let decision = decided.trigger.decision();
        let (pr, sha) = decided.event.subject();
        let (decision, mut ending) = match decided.settings.mode {
            Mode::Run => {
                let ended = self.done(decided).await;
                (decision, ended.unwrap_or_else(Ending::failed))
            }
            Mode::Plan => match self.planned(decided).await {
                Ok(planned) => (planned.decision, planned.ending),
                Err(failure) => ("ignore", Ending::failed(failure)),
            },
        };
        ending.subject = ending.subject.or(Subject { pr, sha });
        let decision = match filters::is_skip(ending.reason) {
            true => "skip",
            false => decision,
        };
        Told { decision, ending }
    }

    /// Reads what the runner hands over; nothing is opened for it, and nobody is asked.
    fn decided(&self) -> Result<Decided, Failure> {
        self.mask().map_err(unwritable)?;
        let known: Vec<&str> = INPUTS.iter().map(|spec| spec.name).collect();
        for unknown in self.raw.unknown(&known) {
            let annotation = Annotation::new(Level::Warning, unknown.to_string());
            self.runner.annotate(&annotation).map_err(unwritable)?;
        }
        let settings = Settings::parse(&self.raw)?;
        let event = self.event()?;
        let trigger = trigger::decide(&event, &settings)
            .map_err(|denied| Failure::yours(denied.reason, denied.cause, denied.remedy))?;
        self.say_what(&trigger).map_err(unwritable)?;
        Ok(Decided {
            settings,
            event,
            trigger,
        })
    }

    /// Decides and does nothing: no kubeconfig is read, even if there is one.
    async fn planned(&self, decided: Decided) -> Result<Planned, Failure> {
        let Decided {
            settings, trigger, ..
        } = decided;
        let ports = self.ports(settings, None)?;
        self.runner.mask_all().map_err(unwritable)?;
        let caller = self.caller();
        Ok(Box::pin(pipeline::plan(&ports, &trigger, &caller, &*self.watch)).await)
    }

    fn caller(&self) -> pipeline::Caller<'_> {
        pipeline::Caller {
            workspace: Some(self.workspace()),
            attempt: self.runner.context().run_attempt,
            actor: &self.runner.context().triggering_actor,
        }
    }

    async fn done(&self, decided: Decided) -> Result<Ending, Failure> {
        let Decided {
            settings,
            event,
            trigger,
        } = decided;
        if matches!(trigger, Trigger::Ignore(_)) {
            let mut ending = pipeline::ignored(&trigger);
            ending.spell(settings.command_prefix.as_deref());
            return Ok(ending);
        }
        let given = open::kubeconfig(
            &settings,
            self.workspace(),
            self.variables.get("KUBECONFIG").map(String::as_str),
        )?;
        let kubeconfig = match given {
            Some(kubeconfig) => Some(kubeconfig),
            None => open::in_cluster(|name| self.variables.get(name).cloned())?,
        };
        let have = (settings.token.is_some(), kubeconfig.is_some());
        if let Some(ending) = pipeline::without_credentials(&event, have) {
            return Ok(ending);
        }
        let ports = self.ports(settings, kubeconfig)?;
        self.runner.mask_all().map_err(unwritable)?;
        let caller = self.caller();
        Ok(pipeline::respond(&ports, &trigger, &caller, &*self.watch).await)
    }

    fn workspace(&self) -> &Path {
        &self.runner.context().workspace
    }

    /// Hides what is secret in the inputs before the first line is written.
    fn mask(&self) -> Result<(), RunnerError> {
        if let Some(token) = self.raw.text("token") {
            self.runner.mask(token)?;
        }
        if let Some(kubeconfig) = self.raw.text("kubeconfig") {
            for secret in KubeconfigSource::secrets_in(kubeconfig) {
                self.runner.mask(secret.expose())?;
            }
        }
        Ok(())
    }

    fn event(&self) -> Result<Event, Failure> {
        let context = self.runner.context();
        let bad = |cause: String| Failure::yours(ReasonCode::BadEvent, cause, "");
        let payload = context.payload().map_err(|error| bad(error.to_string()))?;
        let fallback = context.repository_id.map(|id| Repository {
            id,
            name: context.repository.clone(),
            default_branch: None,
        });
        Event::parse(&context.event_name, &payload, fallback.as_ref())
            .map_err(|error| bad(error.to_string()))
    }

    fn say_what(&self, trigger: &Trigger) -> Result<(), RunnerError> {
        let context = self.runner.context();
        let about = match trigger {
            Trigger::Take { request, from } => {
                format!(" pull request #{} in the slot of #{from}", request.pr)
            }
            other => other.request().map_or_else(String::new, |request| {
                format!(" pull request #{}", request.pr)
            }),
        };
        self.runner.say(&format!(
            "preview-action {}: event {}, so {}{about}",
            env!("CARGO_PKG_VERSION"),
            context.event_name,
            trigger.decision()
        ))
    }

    fn ports(
        &self,
        settings: Settings,
        kubeconfig: Option<crate::names::Secret>,
    ) -> Result<Ports, Failure> {
        let context = self.runner.context();
        let extra_ca = open::ca_bundle(&settings, self.workspace())?;
        self.redaction.learn_all(&settings.secrets());
        if let Some(kubeconfig) = &kubeconfig {
            self.redaction
                .learn_all(&KubeconfigSource::secrets_in(kubeconfig.expose()));
        }
        let variable = |names: [&str; 2]| {
            names
                .iter()
                .find_map(|name| self.variables.get(*name))
                .filter(|value| !value.is_empty())
                .cloned()
        };
        let connections = Connections {
            github: Some((context.api_url.clone(), context.repository.clone())),
            kubeconfig,
            local_files: false,
            extra_ca,
            https_proxy: variable(["HTTPS_PROXY", "https_proxy"]),
            no_proxy: variable(["NO_PROXY", "no_proxy"]),
            loopback: self.loopback,
            haste: self.haste,
        };
        let links = Links {
            server: context.server_url.clone(),
            // Who is to approve something does so on the run's page.
            run: Some(context.log_url(settings.job.filter(|_| settings.mode == Mode::Run))),
            setup: templates::setup_page(&context.server_url, context.action()),
            workflow: context.workflow.clone(),
            workflow_sha: context.workflow_sha.clone(),
        };
        // Jobs of one workflow run, of a matrix too, are runs of their own.
        let begun = jiff::Timestamp::now().as_nanosecond();
        let run = RunId(format!(
            "{}/{}/{:x}",
            context.run_id, context.run_attempt, begun
        ));
        Ports::open(
            settings,
            connections,
            self.sandbox.clone(),
            self.stop.clone(),
            run,
            self.redaction.clone(),
            links,
        )
    }

    fn tell(&self, told: &Told) -> Result<(), RunnerError> {
        let Told { decision, ending } = told;
        self.annotate(ending)?;
        self.runner
            .say(&format!("{}: {}", ending.reason, ending.why))?;
        let outputs = report::outputs(&ending.outcome(decision));
        let outputs: Vec<(&str, &str)> = outputs
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        self.runner.outputs(&outputs)?;
        // Escaped, a secret would not be known again.
        let lines = ending.lines();
        let lines: Vec<String> = lines
            .iter()
            .map(|line| self.redaction.redact(line))
            .collect();
        let summary = Summary {
            view: ending.view.as_deref(),
            decision,
            reason: ending.reason,
            lines: &lines,
            applied: &ending.applied,
            timings: &ending.stages,
        };
        match report::summary(&summary) {
            Ok(text) => self.runner.summary(&text).map(drop),
            Err(error) => {
                tracing::error!("the job summary cannot be rendered: {error}");
                Ok(())
            }
        }
    }

    fn annotate(&self, ending: &Ending) -> Result<(), RunnerError> {
        for cause in ending.failure.iter().flat_map(|failure| &failure.causes) {
            let text = if cause.remedy.is_empty() {
                cause.cause.clone()
            } else {
                format!("{}; {}", cause.cause, cause.remedy)
            };
            let mut annotation =
                Annotation::new(Level::Error, text).titled(format!("Preview: {}", cause.reason));
            // Lines of an older commit are none of the files that are shown beside the annotation.
            if let Some(origin) = cause.origin.as_ref().filter(|origin| !origin.is_older())
                && let Some(file) = origin.path()
            {
                annotation = annotation.at(
                    file,
                    usize::try_from(origin.line).ok().filter(|&line| line > 0),
                );
            }
            self.runner.annotate(&annotation)?;
            for evidence in &cause.evidence {
                self.runner.group(&evidence.title)?;
                self.runner.quote(&evidence.text)?;
                self.runner.end_group()?;
            }
        }
        for warning in ending.view.iter().flat_map(|view| &view.warnings) {
            self.runner
                .annotate(&Annotation::new(Level::Warning, warning.clone()).titled("Preview"))?;
        }
        for warning in ending.warnings() {
            self.runner
                .annotate(&Annotation::new(Level::Warning, warning).titled("Preview"))?;
        }
        let noticed = matches!(
            ending.reason,
            ReasonCode::AtCapacity
                | ReasonCode::Queued
                | ReasonCode::ForkRefused
                | ReasonCode::ApprovalNeeded
                | ReasonCode::PermissionDenied
                | ReasonCode::NoCredentials
        );
        let warned = ending.view.iter().flat_map(|view| &view.warnings);
        let told = warned.chain(&ending.notices).any(|one| *one == ending.why);
        if noticed && !told && ending.failure.is_none() {
            self.runner.annotate(
                &Annotation::new(Level::Notice, ending.why.clone())
                    .titled(format!("Preview: {}", ending.reason)),
            )?;
        }
        Ok(())
    }
}

fn unwritable(error: RunnerError) -> Failure {
    Failure::new(
        pipeline::Blame::Ours,
        ReasonCode::InternalError,
        format!("cannot speak to the runner: {error}"),
        "",
    )
}
