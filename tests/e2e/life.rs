//! Turns one pull request's story into what people do on GitHub and runs of the action for it.
//! It must not judge what the action did: `proof` does. Whichever way the action is started, the story is the same, so
//! that both ways are held to the same promises.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::act;
use crate::github::{GitHub, Heading};
use crate::payloads::{About, Payloads};
use crate::pods::PodWatch;
use crate::proof::Ran;
use crate::runner::{Job, Step};
use crate::world::{ENVIRONMENT, World, root, text};

/// Where the repository says what to deploy.
pub(crate) struct Setup {
    files: &'static [(&'static str, &'static str)],
    images: &'static str,
}

/// A repository with a configuration file.
pub(crate) const CONFIGURED: Setup = Setup {
    files: &[(
        ".github/preview.yml",
        "version: 1\nservices:\n  web:\n    image: 127.0.0.1:5000/web:{sha}\n    port: 8080\n    health: {path: /healthz}\n    public: true\n",
    )],
    images: "",
};

/// A repository without one: the workflow names the image.
pub(crate) const BY_INPUT: Setup = Setup {
    files: &[],
    images: "web=127.0.0.1:5000/web:{sha}",
};

#[derive(Clone, Copy)]
pub(crate) enum Runs {
    Runner,
    Act,
    /// By `act`, in the documented workflow of this file.
    Documented(&'static str),
}

pub(crate) struct Life<'w> {
    pub(crate) world: &'w World,
    pub(crate) github: GitHub,
    payloads: Payloads,
    runs: Runs,
    image: String,
    pub(crate) with: BTreeMap<String, String>,
    pub(crate) token: String,
    pub(crate) number: u64,
}

impl<'w> Life<'w> {
    /// Opens a pull request in a repository of that set-up.
    pub(crate) async fn begin(world: &'w World, runs: Runs, setup: Setup) -> Self {
        let github = GitHub::of(world);
        let number = github.open(setup.files).await;
        let kubeconfig = world.action_kubeconfig();
        let with = [
            ("kubeconfig", kubeconfig.as_str()),
            ("domain", world.address("DOMAIN")),
            ("environment", ENVIRONMENT),
            ("namespace-pattern", "e2e-{repo}-{number}"),
            ("images", setup.images),
            ("health", "required"),
            ("health-address", world.address("HEALTH_ADDRESS")),
            // GitHub refuses a job's token at GET /user with 403, this server answers 404
            ("comment-author", "github-actions[bot]"),
            ("timeout", "3m"),
            // this server has neither
            ("commit-status", "false"),
            ("deployment", "off"),
        ];
        let with = with
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        Self {
            world,
            github,
            payloads: Payloads::of(world),
            runs,
            image: world.image(),
            with,
            token: world.token(),
            number,
        }
    }

    pub(crate) async fn head(&self) -> String {
        self.github.pull(self.number).await["head"]["sha"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// Makes the image that the workflow's build would have pushed for a commit.
    pub(crate) fn make_image(&self, sha: &str, fate: &str) {
        let mut command = std::process::Command::new(root().join("tests/cluster/cluster"));
        command.args(["app", sha, fate, sha]);
        text(command);
    }

    pub(crate) async fn push(&self) -> String {
        self.github.push(self.number).await;
        self.head().await
    }

    pub(crate) async fn close(&self) {
        self.github.close(self.number).await;
    }

    async fn about(&self, who: &GitHub) -> About {
        About {
            repository: self.github.repository().await,
            pull: self.github.pull(self.number).await,
            sender: who.user().await,
        }
    }

    pub(crate) async fn payload(&self, action: &str) -> Value {
        self.payloads
            .pull_request(action, &self.about(&self.github).await)
    }

    /// Runs the action for a `pull_request` event.
    pub(crate) async fn pull_request(&self, action: &str) -> Ran {
        let payload = self.payload(action).await;
        self.run(&format!("pull_request {action}"), "pull_request", &payload)
            .await
    }

    /// The same for a `pull_request_target` event.
    pub(crate) async fn pull_request_target(&self, action: &str) -> Ran {
        let payload = self.payload(action).await;
        let title = format!("pull_request_target {action}");
        self.run(&title, "pull_request_target", &payload).await
    }

    /// Writes a comment on the pull request and runs the action for it.
    pub(crate) async fn command(&self, body: &str) -> Ran {
        self.comment_of(&self.github, body).await
    }

    /// The same by somebody who has no right in the repository.
    pub(crate) async fn command_of_stranger(&self, body: &str) -> Ran {
        self.comment_of(&GitHub::of_stranger(self.world), body)
            .await
    }

    async fn comment_of(&self, who: &GitHub, body: &str) -> Ran {
        let comment = who.say(self.number, body).await;
        let payload = self.payloads.comment(&comment, &self.about(who).await);
        self.run(body, "issue_comment", &payload).await
    }

    /// Runs the action by its schedule.
    pub(crate) async fn schedule(&self) -> Ran {
        let payload =
            json!({"schedule": "*/15 * * * *", "repository": self.github.repository().await});
        self.run("schedule", "schedule", &payload).await
    }

    pub(crate) fn start(&self, event: &str, payload: &Value) -> Job {
        Job::start(self.world, &self.step(event, payload))
    }

    fn step<'s>(&'s self, event: &'s str, payload: &'s Value) -> Step<'s> {
        Step {
            image: &self.image,
            event,
            payload,
            with: &self.with,
            token: &self.token,
            entrypoint: &[],
        }
    }

    async fn run(&self, title: &str, event: &str, payload: &Value) -> Ran {
        let watch = PodWatch::start(self.world);
        let step = self.step(event, payload);
        let step = match self.runs {
            Runs::Runner => Job::start(self.world, &step).finish().await,
            Runs::Act => act::run(self.world, &step, None).await,
            Runs::Documented(file) => act::run(self.world, &step, Some(file)).await,
        };
        println!(
            "{title}: exit code {} after {:.1} s",
            step.exit_code,
            step.took.as_secs_f64()
        );
        let starting = watch.starting(&self.namespace());
        self.keeps_secrets(&step).await;
        Ran { step, starting }
    }

    pub(crate) fn namespace(&self) -> String {
        format!("e2e-web-{}", self.number)
    }

    /// Waits until the comment says so, and returns how long that took.
    pub(crate) async fn comment_says(&self, heading: Heading, patience: Duration) -> Duration {
        let began = Instant::now();
        loop {
            let comment = self.github.status_comment(self.number).await;
            if comment
                .as_ref()
                .is_some_and(|comment| comment.says(heading))
            {
                return began.elapsed();
            }
            let body = comment.map(|comment| comment.body);
            assert!(
                began.elapsed() <= patience,
                "after {patience:?} no comment says {heading:?}, but:\n{}",
                body.unwrap_or_default()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
