//! Plays a pull request's life on the terminal: the timeline, then the comment as people will see it.
//! It needs no network, no cluster and no token; GitHub and the cluster are simulated in this process.
//! The code under them is the code of the action, so that what is seen here is what a workflow does.

use super::{
    open,
    play::{self, Player, Stage, Watch},
    print::{self, Failed},
};
use crate::{
    pipeline::Sandbox,
    simulate::{World, WorldOptions, cluster, scenario},
};
use anyhow::Context as _;
use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

/// Options of `preview-action simulate`.
#[derive(Debug, clap::Args)]
pub(super) struct Simulate {
    /// A built-in scenario (life, crash, full, on-request), or the path of a scenario file
    #[arg(default_value = "life")]
    scenario: String,
    /// Take no time between the steps of a rollout
    #[arg(long)]
    fast: bool,
    /// Print the comment as Markdown, as GitHub gets it
    #[arg(long)]
    markdown: bool,
}

/// The simulated cluster as a stage.
pub struct Simulated<'a>(pub &'a cluster::Handle);

/// Objects that Kubernetes or its controllers put into Namespaces by themselves.
const NOT_OURS: &[&str] = &["Pod", "ReplicaSet", "Event", "EndpointSlice"];

impl Stage for Simulated<'_> {
    fn kubeconfig(&self) -> String {
        self.0.kubeconfig()
    }

    fn registry(&self) -> String {
        "registry.example".into()
    }

    fn ingress(&self) -> String {
        self.0.ingress_address().to_string()
    }

    fn haste(&self) -> u32 {
        30
    }

    fn prepare(&self, _image: &str, _sha: &str) -> anyhow::Result<()> {
        Ok(()) // the tag alone decides what becomes of an image here
    }

    fn objects(&self, namespace: &str) -> anyhow::Result<Vec<String>> {
        let mut found: Vec<String> = self
            .0
            .snapshot()
            .into_values()
            .filter(|object| object["metadata"]["namespace"] == namespace)
            .map(|object| {
                let text =
                    |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
                format!(
                    "{}/{}",
                    text(&object["kind"]),
                    text(&object["metadata"]["name"])
                )
            })
            .filter(|name| {
                !NOT_OURS
                    .iter()
                    .any(|kind| name.starts_with(&format!("{kind}/")))
            })
            .filter(|name| name != "ServiceAccount/default" && name != "ConfigMap/kube-root-ca.crt")
            .collect();
        found.sort();
        Ok(found)
    }

    fn namespaces(&self) -> anyhow::Result<Vec<String>> {
        let mut found: Vec<String> = self
            .0
            .objects("Namespace", "")
            .into_iter()
            .filter(|object| {
                object["metadata"]["labels"]["app"] == "preview"
                    && object["metadata"]["deletionTimestamp"].is_null()
            })
            .filter_map(|object| Some(object["metadata"]["name"].as_str()?.to_owned()))
            .collect();
        found.sort();
        Ok(found)
    }
}

impl Simulate {
    pub(super) async fn run(self, verbose: u8) -> Result<u8, Failed> {
        let text = match scenario::BUILT_IN
            .iter()
            .find(|(name, _)| *name == self.scenario)
        {
            Some((_, text)) => (*text).to_owned(),
            None => std::fs::read_to_string(&self.scenario).map_err(|error| {
                let names: Vec<&str> = scenario::BUILT_IN.iter().map(|(name, _)| *name).collect();
                Failed::yours(
                    format!(
                        "{} is no built-in scenario, and no file: {error}",
                        self.scenario
                    ),
                    format!(
                        "name one of {}, or the path of a scenario file",
                        names.join(", ")
                    ),
                )
            })?,
        };
        let scenario = play::parse(&text)
            .map_err(|error| Failed::yours(format!("{error:#}"), "correct the scenario file"))?;
        open::log(verbose, crate::runner::Redaction::default());
        let delays = if self.fast {
            cluster::Delays::default()
        } else {
            cluster::Delays::watchable()
        };
        let options = WorldOptions {
            cluster: cluster::Options {
                delays,
                ..Default::default()
            },
            ..Default::default()
        };
        let world = World::start(options)
            .await
            .context("cannot start the simulated world")?;
        let folder = Folder::new()?;
        print::text(&format!("{}\n", scenario.title));
        let failed = self.play(&scenario, &world, folder.0.clone()).await?;
        Ok(if failed { super::OURS } else { 0 })
    }

    async fn play(
        &self,
        scenario: &scenario::Scenario,
        world: &World,
        folder: PathBuf,
    ) -> Result<bool, Failed> {
        world
            .cluster
            .put(&play::control_namespace())
            .map_err(|error| anyhow::anyhow!(error))?;
        let stage = Simulated(&world.cluster);
        let sandbox = Sandbox::current().map_err(anyhow::Error::from)?;
        let mut player = Player::new(
            scenario,
            &world.github,
            &stage,
            sandbox,
            folder,
            BTreeMap::new(),
        );
        let begun = Instant::now();
        let mut failed = false;
        let mut comment = String::new();
        let mut shown: Vec<&str> = Vec::new();
        for step in &scenario.steps {
            print::text(&format!(
                "{:>5.1} s  ● {}",
                begun.elapsed().as_secs_f32(),
                step.say
            ));
            let seen = player.step(step, timeline(begun)).await?;
            let end = |text: String| {
                print::text(&format!(
                    "{:>5.1} s    {text}",
                    begun.elapsed().as_secs_f32()
                ))
            };
            if let Some(exit) = seen.exit {
                let code = seen
                    .outputs
                    .get("reason-code")
                    .map(String::as_str)
                    .unwrap_or_default();
                end(format!(
                    "{} {code}, exit code {exit}",
                    if exit == 0 { "✔" } else { "✖" }
                ));
            }
            for wrong in player.differences(&step.expect, &seen).await? {
                failed = true;
                end(format!("‼ {wrong}"));
            }
            if let Some(body) = seen
                .comments
                .into_iter()
                .find(|body| body.contains("kind=status"))
            {
                comment = body;
            }
            // The first success and the first failure are what people will see most.
            let state = seen.outputs.get("state").map(String::as_str);
            let head = match state {
                Some("ready") => "The comment on the pull request, now that it is ready:",
                Some("failed") => "The comment on the pull request, now that it failed:",
                _ => continue,
            };
            if !shown.contains(&head) {
                shown.push(head);
                self.show(head, &brief(&comment));
            }
        }
        self.show("The comment on the pull request, at the end:", &comment);
        Ok(failed)
    }

    fn show(&self, head: &str, comment: &str) {
        if comment.is_empty() {
            return;
        }
        let text = if self.markdown {
            comment.to_owned()
        } else {
            plain(comment)
        };
        print::text(&format!("\n{head}\n\n{text}\n"));
        print::text("");
    }
}

/// Prints each new line of progress once.
fn timeline(begun: Instant) -> Watch {
    let last = Mutex::new(String::new());
    Arc::new(move |view| {
        let line = open::progress(view);
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        if *last != line {
            print::text(&format!(
                "{:>5.1} s    {line}",
                begun.elapsed().as_secs_f32()
            ));
            *last = line;
        }
    })
}

/// The comment without what most people leave folded.
fn brief(markdown: &str) -> String {
    let folded = "<details><summary>Images and access";
    match markdown.split_once(folded) {
        Some((before, rest)) => {
            let after = rest.split_once("</details>").map_or("", |(_, after)| after);
            format!("{}{after}", before.trim_end())
        }
        None => markdown.to_owned(),
    }
}

/// Markdown as a terminal can show it: no marker, no HTML, links with their addresses.
fn plain(markdown: &str) -> String {
    let mut lines = Vec::new();
    for line in markdown.lines() {
        let mut text = line.to_owned();
        while let (Some(open), Some(close)) = (text.find('<'), text.find('>')) {
            if close < open {
                break;
            }
            text.replace_range(open..=close, "");
        }
        if text.trim().is_empty() && !line.trim().is_empty() {
            continue;
        }
        let text = unlinked(&text.replace("**", "").replace(['\\', '\u{200b}'], ""));
        if !(text.is_empty() && lines.last().is_none_or(String::is_empty)) {
            lines.push(text.trim_start_matches("### ").to_owned());
        }
    }
    lines
        .iter()
        .map(|line| format!("  │ {line}"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// `[text](address)` becomes `text (address)`, or the address alone where the text says the same.
fn unlinked(line: &str) -> String {
    let mut rest = line;
    let mut out = String::new();
    while let Some((before, after)) = rest.split_once('[') {
        let link = after
            .split_once("](")
            .and_then(|(text, behind)| Some((text, behind.split_once(')')?)));
        let Some((text, (address, behind))) = link else {
            out.push_str(before);
            out.push('[');
            rest = after;
            continue;
        };
        out.push_str(before);
        if address.contains(text.trim_matches('`')) {
            out.push_str(address);
        } else {
            out.push_str(&format!("{text} ({address})"));
        }
        rest = behind;
    }
    out + rest
}

/// A folder that ends with this process.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self, Failed> {
        let path = std::env::temp_dir().join(format!("preview-action-{}", std::process::id()));
        std::fs::create_dir_all(&path).map_err(|error| {
            Failed::yours(
                format!("cannot make the folder {}: {error}", path.display()),
                "set TMPDIR to a folder that can be written",
            )
        })?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!("cannot remove {}: {error}", self.0.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_is_readable_on_a_terminal() {
        let markdown = "<!-- marker -->\n### 🟢 Ready\n\n**[pr-1.test](http://pr-1.test)** serves [`abc`](https://x/abc)\n<sub>slot 1 \\| 3</sub>\n";
        assert_eq!(
            plain(markdown),
            "  │ 🟢 Ready\n  │ \n  │ http://pr-1.test serves https://x/abc\n  │ slot 1 | 3"
        );
    }

    #[test]
    fn a_brief_comment_lacks_what_is_folded_at_its_end() {
        let markdown =
            "Ready\n\n<details><summary>Images and access</summary>\nx\n</details>\n\nslot";
        assert_eq!(brief(markdown), "Ready\n\nslot");
        assert_eq!(brief("Ready"), "Ready");
    }

    #[test]
    fn every_built_in_scenario_can_be_read() {
        for (name, text) in scenario::BUILT_IN {
            assert!(
                play::parse(text).is_ok(),
                "{name}: {:?}",
                play::parse(text).err()
            );
        }
    }
}
