//! The use cases that ask GitHub for something: what comes before each, its event, and how it ends undisturbed.

use crate::support::{CONFIGURATION, Event, ONE_SERVICE, SHOP, Seen, Shop};
use preview_action::simulate::{World, WorldOptions, cluster::Fate, github::NewPull};
use std::{sync::Arc, time::Duration};

/// The workflow whose end deploys, where one does.
const BUILD: &str = ".github/workflows/build.yml";

/// A use case that asks GitHub for something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    FirstDeploy,
    Update,
    FailedUpdate,
    /// An update whose comment moves below what people wrote.
    Moved,
    /// A build that ended.
    Built,
    /// A fork's commit that a maintainer allows.
    Approval,
    Removal,
    Sweep,
    SweptDeploy,
    Undeploy,
    /// A removal with somebody in line, who is deployed in the same run.
    Promotion,
    Sleep,
    Wake,
    Rollback,
    Extend,
    Pin,
    Take,
    Help,
    Status,
    Logs,
    Diff,
    Check,
    /// Nearly a command.
    Mistake,
    Plan,
    /// A plan that calls for an approval.
    Gate,
    /// The call is taken back.
    GateEnded,
    /// A push that a filter keeps back.
    Skip,
}

pub(super) const DEPLOYS: [Use; 6] = [
    Use::FirstDeploy,
    Use::Update,
    Use::FailedUpdate,
    Use::Moved,
    Use::Built,
    Use::Approval,
];

pub(super) const REMOVALS: [Use; 5] = [
    Use::Removal,
    Use::Sweep,
    Use::SweptDeploy,
    Use::Undeploy,
    Use::Promotion,
];

pub(super) const COMMANDS: [Use; 6] = [
    Use::Sleep,
    Use::Wake,
    Use::Rollback,
    Use::Extend,
    Use::Pin,
    Use::Take,
];

pub(super) const ANSWERS: [Use; 6] = [
    Use::Help,
    Use::Status,
    Use::Logs,
    Use::Diff,
    Use::Check,
    Use::Mistake,
];

pub(super) const DECISIONS: [Use; 4] = [Use::Plan, Use::Gate, Use::GateEnded, Use::Skip];

/// What happens, and what its step says besides the workflow's own inputs.
pub(super) struct Happens {
    pub(super) event: Event,
    inputs: Vec<(&'static str, String)>,
}

impl From<Event> for Happens {
    fn from(event: Event) -> Self {
        Self {
            event,
            inputs: Vec::new(),
        }
    }
}

impl Happens {
    /// In a step that has no cluster and only decides.
    fn planned(event: Event) -> Self {
        let inputs = [("mode", "plan"), ("kubeconfig", "")];
        let inputs = inputs.map(|(name, value)| (name, value.to_owned()));
        Self {
            event,
            inputs: inputs.into(),
        }
    }

    fn input(mut self, name: &'static str, value: &str) -> Self {
        self.inputs.push((name, value.into()));
        self
    }
}

impl Use {
    pub(super) fn usual(self) -> (i32, &'static str) {
        match self {
            Self::FirstDeploy | Self::Update | Self::Moved | Self::Built => (0, "deployed"),
            Self::Approval | Self::Take => (0, "deployed"),
            Self::FailedUpdate => (1, "crash-loop"),
            Self::Removal | Self::Undeploy | Self::Promotion => (0, "removed"),
            Self::Sweep | Self::SweptDeploy => (0, "swept"),
            Self::Sleep => (0, "slept"),
            Self::Wake => (0, "woken"),
            Self::Rollback => (0, "rolled-back"),
            Self::Extend => (0, "extended"),
            Self::Pin => (0, "pinned"),
            Self::Help => (0, "help-shown"),
            Self::Status => (0, "status-shown"),
            Self::Logs => (0, "logs-shown"),
            Self::Diff => (0, "diff-shown"),
            Self::Check => (0, "check-shown"),
            Self::Mistake => (0, "not-a-command"),
            Self::Plan | Self::Gate | Self::GateEnded => (0, "planned"),
            Self::Skip => (0, "label-ignored"),
        }
    }

    /// The kind of comment that a run which copes has written its answer into, and words of it.
    pub(super) fn answer(self) -> Option<(&'static str, &'static str)> {
        Some(match self {
            Self::Help => ("help", "/undeploy"),
            Self::Logs => ("logs", ""),
            Self::Diff => ("diff", "GREETING"),
            Self::Check => ("check", ""),
            Self::Mistake => ("status", "did you mean"),
            Self::Gate => ("status", "waits for approval"),
            Self::GateEnded => ("status", "nobody has approved it"),
            Self::Skip => ("status", "was **not** deployed"),
            _ => return None,
        })
    }

    /// What the workflow says in every run; one slot, which `--take` and a line need.
    fn workflow(self) -> Vec<(&'static str, &'static str)> {
        let mut inputs = vec![("max-previews", "1")];
        inputs.extend(match self {
            Self::Moved => Some(("comment-position", "bottom")),
            Self::Built => Some(("build-workflow", BUILD)),
            Self::Skip => Some(("ignore-labels", "wip")),
            _ => None,
        });
        inputs
    }

    pub(super) async fn open(self) -> Arc<Shop> {
        let mut options = WorldOptions::default();
        options.cluster.delays.back_off = Duration::from_millis(100);
        // A fork's image is named by the whole commit.
        let configuration = match self {
            Self::Approval => ONE_SERVICE.replace("{short-sha}", "{sha}"),
            _ => ONE_SERVICE.to_owned(),
        };
        let shop = Shop::with(options, &configuration).await;
        let github = &shop.world.github;
        github.set_permission(SHOP, "alice", "admin", "admin");
        Arc::new(shop)
    }

    pub(super) async fn go(self, shop: &Shop, happens: impl Into<Happens>) -> Seen {
        let Happens { event, inputs } = happens.into();
        let run = shop.run(&event).inputs(&self.workflow());
        let own = inputs.iter().map(|(name, value)| (*name, value.as_str()));
        run.inputs(&own.collect::<Vec<_>>()).go().await
    }

    /// True when the newest commit is rightly not live: a filter holds it, or nobody has asked for it yet.
    pub(super) fn keeps_back(self) -> bool {
        matches!(self, Self::Skip | Self::Diff | Self::Gate | Self::GateEnded)
    }

    /// What the newest commit's own run hears, where no sweep would deploy it.
    pub(super) fn next(self, shop: &Shop) -> Option<Event> {
        (self == Self::Built).then(|| built(&shop.world))
    }

    /// Everything that comes before, and what happens in the run that is disturbed.
    pub(super) async fn begin(self, shop: &Shop) -> Happens {
        let deployed = async |pr: u64| self.go(shop, shop.opens(pr)).await.ends(0, "deployed");
        match self {
            Self::FirstDeploy => return shop.opens(1).into(),
            Self::Plan => return Happens::planned(shop.opens(1)),
            Self::Built => {
                shop.opens(1);
                return built(&shop.world).into();
            }
            Self::Approval => {
                let pull = NewPull {
                    author: "mallory".into(),
                    fork: Some("mallory/shop".into()),
                    ..NewPull::default()
                };
                shop.opens_as(1, pull);
                let head = shop.world.github.head(SHOP, 1);
                return shop.says(1, "alice", &format!("/approve {head}")).into();
            }
            Self::SweptDeploy => {
                shop.opens(1);
                shop.world.advance(Duration::from_secs(3600));
                return shop.schedule().into();
            }
            Self::Take => {
                deployed(2).await;
                shop.opens(1);
                return shop.says(1, "alice", "/deploy --take #2").into();
            }
            _ => deployed(1).await,
        }
        let says = |body: &str| shop.says(1, "alice", body).into();
        match self {
            Self::FailedUpdate => {
                shop.world.cluster.script_fate("/web:", Fate::Crash);
                shop.pushes(1).into()
            }
            Self::Moved => {
                shop.says(1, "bob", "a remark");
                shop.pushes(1).into()
            }
            Self::Removal => shop.closes(1).into(),
            Self::Sweep => {
                shop.world.github.close(SHOP, 1);
                shop.schedule().into()
            }
            Self::Undeploy => says("/undeploy"),
            Self::Promotion => {
                self.go(shop, shop.opens(2)).await.ends(0, "queued");
                shop.closes(1).into()
            }
            Self::Sleep => says("/sleep"),
            Self::Wake => {
                let sleep = shop.says(1, "alice", "/sleep");
                self.go(shop, sleep).await.ends(0, "slept");
                says("/wake")
            }
            Self::Rollback => {
                self.go(shop, shop.pushes(1)).await.ends(0, "deployed");
                says("/rollback")
            }
            Self::Extend => says("/extend 9d"),
            Self::Pin => says("/pin"),
            Self::Help => says("/help"),
            Self::Status => says("/status"),
            Self::Logs => says("/logs"),
            Self::Diff => {
                let other = ONE_SERVICE.replace("hello", "goodbye");
                shop.pushes_files(1, &[(CONFIGURATION, &other)]);
                says("/diff")
            }
            Self::Check => says("/check"),
            Self::Mistake => says("/deply"),
            Self::Gate => self.gate(shop.pushes(1)),
            Self::GateEnded => {
                let pushed = shop.pushes(1);
                let gate = self.gate(pushed.clone());
                self.go(shop, gate).await.ends(0, "planned");
                let head = shop.world.github.head(SHOP, 1);
                let ended = Happens::planned(pushed).input("approval-gate", "ended");
                ended.input("sha", &head)
            }
            Self::Skip => {
                shop.world.github.set_label(SHOP, 1, "wip", true);
                shop.pushes(1).into()
            }
            _ => shop.pushes(1).into(),
        }
    }

    fn gate(self, event: Event) -> Happens {
        Happens::planned(event).input("approval-gate", "true")
    }
}

fn built(world: &World) -> Event {
    let payload = world.github.workflow_run_event(SHOP, 1, BUILD);
    Event::new("workflow_run", payload, 1)
}
