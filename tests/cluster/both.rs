//! Plays one scenario on the real and on the simulated cluster, step by step, and compares everything people can see.
//! It must not know what a scenario is about; the file says what must come of each step.
//! A difference is a fault of the simulation, which everybody else's tests build upon.

use crate::{
    contents::{self, Objects},
    same::{difference, normal, readable},
    stay::Stay,
    watch::{self, Watch},
    world::{Real, program},
};
use preview_action::{
    cli::{Player, Seen, Simulated, Stage, control_namespace, parse},
    pipeline::Sandbox,
    simulate::{Fault, World, WorldOptions, cluster, scenario::Step},
};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

/// The simulated cluster, with the real one's registry, so that both get the same images by name.
struct Twin<'a> {
    simulated: Simulated<'a>,
    stay: &'a Stay,
}

impl Stage for Twin<'_> {
    fn kubeconfig(&self) -> String {
        self.simulated.kubeconfig()
    }

    fn registry(&self) -> String {
        self.stay.real.registry().to_owned()
    }

    fn ingress(&self) -> String {
        self.simulated.ingress()
    }

    fn prepare(&self, image: &str, sha: &str) -> anyhow::Result<()> {
        // what the program of tests/cluster/web prints
        let tag = image.rsplit(':').next().unwrap_or_default();
        let log = match tag.split('-').next().unwrap_or_default() {
            "crash" | "fail" => format!("fatal: DATABASE_URL is not set (revision {sha})\n"),
            "oom" => format!("filling memory (revision {sha})\n"),
            "once" => format!("done (revision {sha})\n"),
            _ => format!("revision {sha} listens on port 8080\n"),
        };
        self.simulated.0.script_log(image, &log);
        Ok(())
    }

    fn haste(&self) -> u32 {
        // Six tests share the machine, and a world that is in too great a haste has no time for what the real one shows.
        10
    }

    fn objects(&self, namespace: &str) -> anyhow::Result<Vec<String>> {
        self.simulated.objects(namespace)
    }

    fn namespaces(&self) -> anyhow::Result<Vec<String>> {
        self.simulated.namespaces()
    }
}

/// Plays a scenario on both clusters, in a corner of its own.
pub(crate) async fn play(real: &'static Real, name: &str, text: &str) {
    play_and_look(real, name, text, async |_, _, _| {}).await;
}

/// The same, with a look at the real cluster after each step.
pub(crate) async fn play_and_look(
    real: &'static Real,
    name: &str,
    text: &str,
    mut look: impl AsyncFnMut(&Stay, &Step, &Seen),
) {
    let words = real.speaks_like_the_simulation();
    let stay = Stay::begin(real, &format!("both-{name}"));
    let scenario = parse(&stay.inside(text)).unwrap();
    let worlds = [world().await, world().await];
    worlds[1].cluster.put(&control_namespace()).unwrap();
    if !real.has("httproutes.gateway.networking.k8s.io") {
        let path = "/apis/gateway.networking.k8s.io/**";
        let unknown = Fault::answer("*", path, 404, json!("404 page not found\n"));
        worlds[1].cluster.inject(unknown.always());
    }
    let twin = Twin {
        simulated: Simulated(&worlds[1].cluster),
        stay: &stay,
    };
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let sandbox = Sandbox {
        program: program().into(),
    };
    let [here, there] = [&folders[0], &folders[1]].map(|folder| folder.path().to_owned());
    let inputs = stay.inputs();
    let mut on_real = Player::new(
        &scenario,
        &worlds[0].github,
        &stay,
        sandbox.clone(),
        here,
        inputs.clone(),
    );
    let mut on_twin = Player::new(&scenario, &worlds[1].github, &twin, sandbox, there, inputs);
    let mut wrong = Vec::new();
    for step in &scenario.steps {
        let pods = Watch::begin(real, "pods");
        let seen = on_real.step(step, Arc::new(|_| {})).await.unwrap();
        let namespace = seen.outputs.get("namespace").cloned().unwrap_or_default();
        let pods = watch::starting(&pods.end(), &namespace);
        let took = seen.took.as_secs_f64();
        println!(
            "{name}: {}: {took:.1} s{}",
            step.say,
            own_part(&seen, &pods)
        );
        let twin_seen = on_twin.step(step, Arc::new(|_| {})).await.unwrap();
        look(&stay, step, &seen).await;
        let mut found = Vec::new();
        for (which, result) in [
            ("real", on_real.differences(&step.expect, &seen).await),
            (
                "simulated",
                on_twin.differences(&step.expect, &twin_seen).await,
            ),
        ] {
            found.extend(
                result
                    .unwrap()
                    .into_iter()
                    .map(|text| format!("{which}: {text}")),
            );
        }
        found.extend(differences(&seen, &twin_seen, words));
        for namespace in stay.namespaces() {
            let left = contents::on_real(real, &namespace);
            let right = contents::on_simulated(&worlds[1].cluster, &namespace);
            found.extend(unlike(&namespace, &left, &right));
        }
        if !found.is_empty() {
            wrong.push(format!(
                "{name}: {}:\n{}\nlog of the real run:\n{}",
                step.say,
                found.join("\n"),
                readable(&seen.log)
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    assert_eq!(worlds[1].unexpected(), Vec::<String>::new());
}

async fn world() -> World {
    let options = WorldOptions {
        cluster: cluster::Options::default(),
        ..WorldOptions::default()
    };
    World::start(options).await.unwrap()
}

/// What a deploy took but for pods that start; other runs wait for other things.
fn own_part(seen: &Seen, pods: &Duration) -> String {
    if seen.outputs.get("reason-code").map(String::as_str) != Some("deployed") {
        return String::new();
    }
    format!(
        ", {:.1} s of it pods that start, {:.1} s our own",
        pods.as_secs_f64(),
        seen.took.saturating_sub(*pods).as_secs_f64()
    )
}

/// Everything in which two runs of a step differ; without `words`, but for what a cluster of another version said.
fn differences(real: &Seen, simulated: &Seen, words: bool) -> Vec<String> {
    let quoted = !words && real.exit.is_some_and(|exit| exit != 0);
    let text = |seen: &Seen| {
        let mut all = vec![("exit code".to_owned(), format!("{:?}", seen.exit))];
        all.extend(seen.outputs.iter().map(|(name, value)| {
            let json: Option<Value> = serde_json::from_str(value).ok();
            let value = json.map_or_else(|| value.clone(), |json| format!("{json:#}"));
            (format!("output {name}"), normal(&value))
        }));
        all.push(("comments".to_owned(), normal(&seen.comments.join("\n\n"))));
        all.push(("summary".to_owned(), normal(&seen.summary)));
        all.retain(|(name, _)| {
            !quoted || !["output result", "comments", "summary"].contains(&name.as_str())
        });
        all
    };
    let (left, right) = (text(real), text(simulated));
    let names =
        |all: &[(String, String)]| all.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&left), names(&right), "the outputs of a run");
    let pairs = left.iter().zip(&right);
    pairs
        .filter_map(|((name, left), (_, right))| difference(name, left, right))
        .collect()
}

/// Everything in which two Namespaces differ: objects, the fields that the action owns, their values.
fn unlike(namespace: &str, real: &Objects, simulated: &Objects) -> Vec<String> {
    let names = |objects: &Objects| objects.keys().cloned().collect::<Vec<_>>().join("\n");
    let mut found: Vec<String> = difference(
        &format!("list of objects in {namespace}"),
        &names(real),
        &names(simulated),
    )
    .into_iter()
    .collect();
    for (name, left) in real {
        if let Some(right) = simulated.get(name) {
            let text = |object: &Value| {
                normal(&serde_json::to_string_pretty(&contents::owned(object)).unwrap())
            };
            found.extend(difference(
                &format!("{name} in {namespace}"),
                &text(left),
                &text(right),
            ));
        }
    }
    found
}
