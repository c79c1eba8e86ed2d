//! The answer to `/help`: the commands, and the settings in force, in a comment of its own.
//! It shows no setting that could be a secret and decides nothing.
//! Meanings come from the inputs' own table, so that help and README cannot differ.

use super::Teller;
use crate::{
    inputs::registry::INPUTS,
    metrics::{Action, Figures},
    names::{Marker, MarkerKind, ReasonCode},
    pipeline::{Ending, Failure},
    report::{self, HelpView, ReportError, Setting, Typical},
    trigger::{permission, prefix},
};
use std::time::Duration;

/// Records of the cluster are waited for as long.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the runs of each command leave records of.
const COMMANDS: [(&str, Action); 14] = [
    ("/deploy", Action::Deploy),
    ("/approve", Action::Deploy),
    ("/rollback", Action::Rollback),
    ("/undeploy", Action::Remove),
    ("/extend", Action::Extend),
    ("/pin", Action::Pin),
    ("/unpin", Action::Unpin),
    ("/sleep", Action::Sleep),
    ("/wake", Action::Wake),
    ("/logs", Action::Logs),
    ("/diff", Action::Diff),
    ("/check", Action::Check),
    ("/status", Action::Status),
    ("/help", Action::Help),
];

impl Teller<'_> {
    /// Answers `/help` in a comment of its own.
    pub(in crate::pipeline) async fn help(mut self) -> Result<Ending, Failure> {
        let settings = &self.ports.settings;
        let prefix = settings.command_prefix.clone();
        let mut shown = vec![
            setting("max-previews", settings.max_previews.to_string()),
            setting("auto-deploy", settings.auto_deploy.to_string()),
            setting("ttl", words(settings.ttl)),
            setting("timeout", words(settings.timeout)),
        ];
        let notable = settings.notable.iter();
        shown.extend(notable.map(|(name, text)| setting(name, text.clone())));
        let view = HelpView {
            role: settings.min_permission.as_str().into(),
            maintainers: permission::approvers(settings.min_permission),
            typical: self.typical(prefix.as_deref()).await,
            settings: shown,
            prefix,
        };
        self.answer(MarkerKind::Help, |marker| report::help(&view, marker))
            .await?;
        Ok(Ending::quiet(
            None,
            ReasonCode::HelpShown,
            "the help was written as a comment",
        ))
    }

    /// How long commands usually take, by the cluster's own records; help is worth giving without them too.
    async fn typical(&self, prefix: Option<&str>) -> Vec<Typical> {
        let records = async {
            let cluster = self.ports.cluster().ok()?;
            let name = self.ports.ledger(self.preview.repository);
            cluster.records(&name).await.ok()
        };
        let records = tokio::time::timeout(PATIENCE, records).await;
        let figures = Figures::of(&records.ok().flatten().unwrap_or_default());
        let typical = COMMANDS.iter().filter_map(|(command, action)| {
            let span = figures.took.get(action.as_str())?;
            Some(Typical {
                command: prefix::spell(prefix, command),
                time: Duration::from_millis(span.p50),
                runs: span.count,
            })
        });
        typical.collect()
    }

    /// Writes an answer into the one comment of its kind.
    pub(in crate::pipeline) async fn answer(
        &mut self,
        kind: MarkerKind,
        body: impl FnOnce(&Marker) -> Result<String, ReportError>,
    ) -> Result<(), Failure> {
        let github = self.ports.github()?;
        let marker = Marker {
            kind,
            ..self.marker.clone()
        };
        let author = self.author(github).await?;
        let body = self.ports.redaction.redact(&body(&marker)?);
        github
            .upsert(self.preview.pr, &marker, &author, &body, None)
            .await?;
        Ok(())
    }
}

/// A setting in force; what it means is the sentence of the inputs' own table.
fn setting(name: &str, value: String) -> Setting {
    let meaning = INPUTS
        .iter()
        .find(|spec| spec.name == name)
        .map_or("", |spec| spec.purpose);
    Setting {
        name: name.into(),
        value,
        meaning: meaning.into(),
    }
}

fn words(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        _ if seconds.is_multiple_of(86_400) => format!("{}d", seconds / 86_400),
        _ if seconds.is_multiple_of(3_600) => format!("{}h", seconds / 3_600),
        _ if seconds.is_multiple_of(60) => format!("{}m", seconds / 60),
        _ => format!("{seconds}s"),
    }
}
