//! Writes figures as OpenMetrics text, which Prometheus and its kin read from a file or an address.
//! It measures nothing.
//! Everything is a gauge or a summary of the window: a bounded store cannot keep a counter that only rises.

use super::{Figures, Now, Rate, Span};
use std::fmt::{self, Write};

/// The figures as OpenMetrics text, up to its closing `# EOF`.
pub fn openmetrics(
    figures: &Figures,
    now: &Now,
    labels: &[(&str, &str)],
) -> Result<String, fmt::Error> {
    let mut page = Page {
        text: String::new(),
        common: labels,
    };
    page.gauge(
        "preview_capacity",
        "Previews that may be alive at once.",
        [(&[][..], now.capacity.into())],
    )?;
    page.gauge(
        "preview_active",
        "Previews that hold a slot.",
        [(&[][..], now.active as f64)],
    )?;
    page.gauge(
        "preview_queued",
        "Previews that wait for a slot.",
        [(&[][..], now.queued as f64)],
    )?;
    page.runs(figures)?;
    page.rates(
        "preview_first_attempts",
        "Deploys of a commit for the first time, in the window.",
        figures.first,
    )?;
    page.rates(
        "preview_repeated_attempts",
        "Deploys of a commit that had been tried before, in the window.",
        figures.again,
    )?;
    let failures: Vec<_> = figures
        .failures
        .iter()
        .map(|(reason, count)| ([("reason", *reason)], *count as f64))
        .collect();
    page.gauge(
        "preview_failures",
        "Failed deploys by reason code, in the window.",
        failures.iter().map(|(labels, count)| (&labels[..], *count)),
    )?;
    page.summary(
        "preview_deploy_seconds",
        "Time until a deploy was ready.",
        &[(vec![], figures.deploys)],
        1000.0,
    )?;
    page.summary(
        "preview_remove_seconds",
        "Time until a removed preview was gone.",
        &[(vec![], figures.removals)],
        1000.0,
    )?;
    let stages: Vec<_> = figures
        .stages
        .iter()
        .map(|(stage, span)| (vec![("stage", stage.as_str())], *span))
        .collect();
    page.summary(
        "preview_stage_seconds",
        "Time of each stage of a deploy that became ready.",
        &stages,
        1000.0,
    )?;
    page.summary(
        "preview_queue_seconds",
        "Time that previews waited in line.",
        &[(vec![], figures.waited)],
        1.0,
    )?;
    page.usage(now)?;
    page.text.push_str("# EOF\n");
    Ok(page.text)
}

struct Page<'a> {
    text: String,
    common: &'a [(&'a str, &'a str)],
}

impl Page<'_> {
    fn head(&mut self, name: &str, kind: &str, help: &str) -> fmt::Result {
        writeln!(self.text, "# TYPE {name} {kind}")?;
        if let Some(unit) = ["seconds", "bytes", "cores"]
            .iter()
            .find(|unit| name.ends_with(&format!("_{unit}")))
        {
            writeln!(self.text, "# UNIT {name} {unit}")?;
        }
        writeln!(self.text, "# HELP {name} {help}")
    }

    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: f64) -> fmt::Result {
        self.text.push_str(name);
        let all = self.common.iter().chain(labels);
        for (index, (key, value)) in all.enumerate() {
            let open = if index == 0 { '{' } else { ',' };
            write!(self.text, "{open}{key}=\"{}\"", escaped(value))?;
        }
        if !(self.common.is_empty() && labels.is_empty()) {
            self.text.push('}');
        }
        writeln!(self.text, " {value}")
    }

    fn gauge<'l>(
        &mut self,
        name: &str,
        help: &str,
        lines: impl IntoIterator<Item = (&'l [(&'l str, &'l str)], f64)>,
    ) -> fmt::Result {
        self.head(name, "gauge", help)?;
        for (labels, value) in lines {
            self.line(name, labels, value)?;
        }
        Ok(())
    }

    fn runs(&mut self, figures: &Figures) -> fmt::Result {
        let name = "preview_runs";
        self.head(
            name,
            "gauge",
            "Runs by what they did and how they ended, in the window.",
        )?;
        for (action, outcomes) in &figures.runs {
            for (outcome, count) in outcomes {
                self.line(
                    name,
                    &[("action", action), ("outcome", outcome)],
                    *count as f64,
                )?;
            }
        }
        Ok(())
    }

    fn rates(&mut self, name: &str, help: &str, rate: Rate) -> fmt::Result {
        self.head(name, "gauge", help)?;
        self.line(name, &[("outcome", "ready")], rate.succeeded as f64)?;
        self.line(name, &[("outcome", "failed")], rate.failed as f64)
    }

    fn summary(
        &mut self,
        name: &str,
        help: &str,
        spans: &[(Vec<(&str, &str)>, Span)],
        per_unit: f64,
    ) -> fmt::Result {
        self.head(name, "summary", help)?;
        for (labels, span) in spans.iter().filter(|(_, span)| span.count > 0) {
            for (quantile, value) in [("0.5", span.p50), ("0.95", span.p95)] {
                let mut labels = labels.clone();
                labels.push(("quantile", quantile));
                self.line(name, &labels, value as f64 / per_unit)?;
            }
            self.line(&format!("{name}_count"), labels, span.count as f64)?;
            self.line(&format!("{name}_sum"), labels, span.sum as f64 / per_unit)?;
        }
        Ok(())
    }

    fn usage(&mut self, now: &Now) -> fmt::Result {
        let rows: Vec<(String, &super::Usage)> = now
            .usage
            .iter()
            .map(|one| (one.pr.to_string(), one))
            .collect();
        let source = |one: &super::Usage| if one.measured { "measured" } else { "requests" };
        type Measure = (&'static str, &'static str, fn(&super::Usage) -> f64);
        let measures: [Measure; 2] = [
            (
                "preview_cpu_cores",
                "CPU of a preview: measured, or what its pods ask for.",
                |one| one.cpu as f64 / 1000.0,
            ),
            (
                "preview_memory_bytes",
                "Memory of a preview: measured, or what its pods ask for.",
                |one| one.memory as f64,
            ),
        ];
        for (name, help, value) in measures {
            self.head(name, "gauge", help)?;
            for (pr, one) in &rows {
                let labels = [
                    ("namespace", one.namespace.as_str()),
                    ("pr", pr),
                    ("source", source(one)),
                ];
                self.line(name, &labels, value(one))?;
            }
        }
        self.head(
            "preview_quota_used_ratio",
            "gauge",
            "Share of a preview's quota that is asked for, the fullest resource.",
        )?;
        for (pr, one) in &rows {
            if let Some(quota) = one.quota {
                let labels = [("namespace", one.namespace.as_str()), ("pr", pr.as_str())];
                self.line("preview_quota_used_ratio", &labels, quota as f64 / 100.0)?;
            }
        }
        Ok(())
    }
}

fn escaped(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}
