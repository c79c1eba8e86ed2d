//! Turns what the program logs into lines on standard error, each cleaned before it leaves.
//! It knows no stage, no secret and no runner; how a line is cleaned is handed to it.
//! Standard output belongs to data, and standard error needs cleaning as well, because the runner acts on what it reads there.

use std::{
    io::{self, Write},
    sync::Arc,
};
use tracing::Subscriber;
use tracing_subscriber::{
    Layer as _,
    filter::{LevelFilter, Targets},
    fmt::{self, MakeWriter},
    layer::SubscriberExt as _,
};

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Verbosity {
    /// Errors alone.
    Quiet,
    /// What happens, one line for each step.
    #[default]
    Normal,
    /// Every request as well.
    Debug,
    /// Everything, that of the libraries included.
    Trace,
}

impl Verbosity {
    /// The level that was asked for by flags, raised when the runner has debug logs on.
    pub fn new(quiet: bool, verbose: u8, runner_debug: bool) -> Self {
        let asked = match (quiet, verbose) {
            (_, 2..) => Self::Trace,
            (_, 1) => Self::Debug,
            (true, 0) => Self::Quiet,
            (false, 0) => Self::Normal,
        };
        if runner_debug {
            asked.max(Self::Debug)
        } else {
            asked
        }
    }

    /// Libraries are silent until somebody looks for a fault: what they fail with is told once, by us, in better words.
    fn levels(self) -> Targets {
        let (libraries, ours) = match self {
            Self::Quiet => (LevelFilter::OFF, LevelFilter::ERROR),
            Self::Normal => (LevelFilter::OFF, LevelFilter::INFO),
            Self::Debug => (LevelFilter::WARN, LevelFilter::DEBUG),
            Self::Trace => (LevelFilter::DEBUG, LevelFilter::TRACE),
        };
        Targets::new()
            .with_default(libraries)
            .with_target("preview_action", ours)
    }
}

/// How a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Says why the log cannot be set up.
#[derive(Debug, thiserror::Error)]
#[error("the log was set up twice; set it up once, at the start")]
pub struct TelemetryError;

/// Sends everything that is logged from now on to standard error, each event through `clean`.
///
/// In the action that is `harmless(&redaction.redact(text))`: a secret learnt later is hidden from then on.
pub fn init(
    verbosity: Verbosity,
    format: Format,
    clean: impl Fn(&str) -> String + Send + Sync + 'static,
) -> Result<(), TelemetryError> {
    let subscriber = subscriber(verbosity, format, Cleaned::new(clean, io::stderr));
    tracing::subscriber::set_global_default(subscriber).map_err(|_| TelemetryError)
}

fn subscriber<F, W>(
    verbosity: Verbosity,
    format: Format,
    writer: Cleaned<F>,
) -> Box<dyn Subscriber + Send + Sync>
where
    F: Fn() -> W + Send + Sync + 'static,
    W: Write + 'static,
{
    let layer = fmt::layer().with_ansi(false).with_writer(writer);
    let registry = tracing_subscriber::registry();
    match format {
        Format::Text => {
            let layer = layer.without_time().with_target(false);
            Box::new(registry.with(layer.with_filter(verbosity.levels())))
        }
        Format::Json => {
            let layer = layer.json().flatten_event(true);
            Box::new(registry.with(layer.with_filter(verbosity.levels())))
        }
    }
}

type Clean = Arc<dyn Fn(&str) -> String + Send + Sync>;

/// Makes writers that clean a whole event before they pass it on.
struct Cleaned<F> {
    clean: Clean,
    open: F,
}

impl<F> Cleaned<F> {
    fn new(clean: impl Fn(&str) -> String + Send + Sync + 'static, open: F) -> Self {
        Self {
            clean: Arc::new(clean),
            open,
        }
    }
}

impl<'a, F, W> MakeWriter<'a> for Cleaned<F>
where
    F: Fn() -> W,
    W: Write,
{
    type Writer = EventWriter<W>;

    fn make_writer(&'a self) -> Self::Writer {
        EventWriter {
            clean: Arc::clone(&self.clean),
            event: Vec::new(),
            out: (self.open)(),
        }
    }
}

/// Gathers one event, so that a secret cannot slip through between two writes, and passes it on at its end.
struct EventWriter<W: Write> {
    clean: Clean,
    event: Vec<u8>,
    out: W,
}

impl<W: Write> Write for EventWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.event.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.event.is_empty() {
            let event = std::mem::take(&mut self.event);
            let text = (self.clean)(&String::from_utf8_lossy(&event));
            self.out.write_all(text.as_bytes())?;
        }
        self.out.flush()
    }
}

impl<W: Write> Drop for EventWriter<W> {
    fn drop(&mut self) {
        // Nobody is left to tell when standard error itself is closed.
        let _ = self.flush();
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::runner::{Redaction, harmless};
    use std::sync::Mutex;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(verbosity: Verbosity, format: Format, redaction: &Redaction, log: fn()) -> String {
        let page = Page::default();
        let open = {
            let page = page.clone();
            move || page.clone()
        };
        let redaction = redaction.clone();
        let clean = move |text: &str| harmless(&redaction.redact(text));
        let subscriber = subscriber(verbosity, format, Cleaned::new(clean, open));
        tracing::subscriber::with_default(subscriber, log);
        let bytes = page.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_secret_that_is_learnt_later_is_hidden_from_then_on() {
        let redaction = Redaction::default();
        let say = || tracing::info!(token = "ghs_hunter2", "using ghs_hunter2");
        let before = logged(Verbosity::Normal, Format::Text, &redaction, say);
        assert!(before.contains("ghs_hunter2"), "{before}");
        redaction.learn("ghs_hunter2");
        for format in [Format::Text, Format::Json] {
            let after = logged(Verbosity::Normal, format, &redaction, say);
            assert!(after.contains("using ***"), "{after}");
            assert!(!after.contains("hunter2"), "{after}");
        }
    }

    #[test]
    fn a_logged_text_cannot_be_a_command() {
        let log = || tracing::warn!("first\n::error::second\r  ::add-mask::third ##[group]x");
        let text = logged(Verbosity::Normal, Format::Text, &Redaction::default(), log);
        for line in text.split(['\n', '\r']) {
            assert!(!line.trim_start().starts_with("::"), "{text}");
            assert!(!line.contains("##["), "{text}");
        }
        assert!(text.contains("second"), "{text}");
    }

    #[test]
    fn each_level_shows_more() {
        let log = || {
            tracing::error!("error");
            tracing::info!("information");
            tracing::debug!("detail");
            tracing::trace!("trifle");
            tracing::debug!(target: "hyper", "foreign");
        };
        let shown = |verbosity| {
            let text = logged(verbosity, Format::Text, &Redaction::default(), log);
            ["error", "information", "detail", "trifle", "foreign"]
                .into_iter()
                .filter(|word| text.contains(word))
                .count()
        };
        let levels = [
            Verbosity::Quiet,
            Verbosity::Normal,
            Verbosity::Debug,
            Verbosity::Trace,
        ];
        assert_eq!(levels.map(shown), [1, 2, 3, 5]);
    }

    #[test]
    fn the_runner_raises_what_the_flags_say() {
        for (quiet, verbose, debug, expected) in [
            (false, 0, false, Verbosity::Normal),
            (true, 0, false, Verbosity::Quiet),
            (false, 1, false, Verbosity::Debug),
            (false, 5, false, Verbosity::Trace),
            (false, 0, true, Verbosity::Debug),
            (true, 0, true, Verbosity::Debug),
            (false, 2, true, Verbosity::Trace),
        ] {
            assert_eq!(Verbosity::new(quiet, verbose, debug), expected);
        }
    }

    #[test]
    fn json_lines_are_json() {
        let log = || tracing::info!(pr = 12, "deploying");
        let text = logged(Verbosity::Normal, Format::Json, &Redaction::default(), log);
        let value: serde_json::Value = serde_json::from_str(text.trim()).unwrap();
        assert_eq!(value["message"], "deploying");
        assert_eq!(value["pr"], 12);
    }
}
