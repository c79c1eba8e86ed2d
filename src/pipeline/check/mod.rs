//! Looks for what would keep a deploy from going well, and tells all of it at once: each with cause and remedy.
//! It takes no turn, claims nothing and writes nothing; what a deploy would apply is rendered as a deploy does it.
//! What can't be looked at is said to be so, because a silence would pass for "fine".

mod address;
mod images;

use super::{
    Blame, DeployRequest, Failure, Ports, approval,
    deploy::room,
    desk,
    diff::{in_its_slot, owned},
    sources::Sources,
};
use crate::{
    capacity::{self, Fit, Ledger, Pods},
    cluster::{Cluster, Missing, Moment, SecretRef, Step},
    inputs::Nodes,
    manifests::ManifestSet,
    names::{PreviewKey, Secret},
    plan::{self, Plan},
    report::{Finding, Verdict},
};

const CONFIGURATION: &str = "configuration";
const ACCESS: &str = "access";
const ROOM: &str = "room";
const ADDRESS: &str = "address";
const PULL_SECRET: &str = "pull secret";
const NETWORK: &str = "network";
const IMAGES: &str = "images";

/// What administrators apply.
const SETUP: &str = "let an administrator apply what `preview-action setup` prints";

/// Everything that was found, in the order in which a deploy would come by.
pub async fn check(ports: &Ports, request: &DeployRequest, sources: &Sources) -> Vec<Finding> {
    let cluster = ports.cluster();
    let (draft, unseen) = draft(ports, request, sources, cluster.as_ref().ok().copied()).await;
    let mut findings = unapproved(ports, request).await;
    findings.extend(match &draft {
        Ok((plan, set)) => vec![fine(
            CONFIGURATION,
            format!(
                "{} objects render, keep within what a preview may have, and go into namespace {}",
                set.objects.len(),
                plan.namespace
            ),
        )],
        Err(failure) => faults(CONFIGURATION, failure),
    });
    findings.extend(unseen);
    let key = request.facts(ports.now()).key(&ports.settings);
    match cluster {
        Ok(cluster) => {
            let governs = request.governs;
            let look = Look {
                ports,
                cluster,
                governs,
            };
            findings.extend(look.at(&key, draft.as_ref().ok()).await);
        }
        Err(failure) => findings.extend(faults(ACCESS, &failure)),
    }
    // Before any escaping: an escaped secret would not be found any more.
    for finding in &mut findings {
        finding.cause = ports.redaction.redact(&finding.cause);
        finding.remedy = ports.redaction.redact(&finding.remedy);
    }
    findings
}

/// That a fork's commit is not approved: all else is looked at as well, because nothing of the fork's is read or run for that.
async fn unapproved(ports: &Ports, request: &DeployRequest) -> Vec<Finding> {
    let key = request.facts(ports.now()).key(&ports.settings);
    if !request.fork || ports.cluster().is_err() {
        return Vec::new();
    }
    match approval::approved(ports, &key).await {
        Ok(Some(sha)) if sha == request.sha => Vec::new(),
        Ok(_) => vec![fault(
            ACCESS,
            format!(
                "commit {} comes from a fork and is not approved",
                request.sha.short()
            ),
            &format!(
                "a maintainer reads it and comments `/approve {}`",
                request.sha
            ),
        )],
        Err(failure) => unseen(ACCESS, "whether the commit is approved".into(), failure),
    }
}

/// What a deploy would apply, and what of its Namespace could not be looked at for that.
async fn draft(
    ports: &Ports,
    request: &DeployRequest,
    sources: &Sources,
    cluster: Option<&Cluster>,
) -> (Result<(Plan, ManifestSet), Failure>, Option<Finding>) {
    let mut unseen = None;
    let draft = rendered(ports, request, sources, cluster, &mut unseen).await;
    (draft, unseen)
}

async fn rendered(
    ports: &Ports,
    request: &DeployRequest,
    sources: &Sources,
    cluster: Option<&Cluster>,
    unseen: &mut Option<Finding>,
) -> Result<(Plan, ManifestSet), Failure> {
    let configuration = sources.configuration(ports).await?;
    let facts = request.facts(ports.now());
    let plan = plan::decide(&ports.settings, &configuration, &facts)?;
    let found = match cluster {
        Some(cluster) => match cluster.namespace(&plan.namespace).await {
            Ok(found) => found,
            Err(error) => {
                let what = format!("whose namespace {} is", plan.namespace);
                *unseen = Some(not_looked_at(ACCESS, &what, &error.to_string()));
                None
            }
        },
        None => None,
    };
    if let Some(info) = &found {
        owned(&plan, info)?;
    }
    let plan = in_its_slot(ports, &configuration, facts, plan, found.as_ref())?;
    let set = super::render::objects(ports, sources, &plan, &configuration).await?;
    Ok((plan, set))
}

/// True for a right that makes answers better and that a deploy can do without, or that only some configurations need.
fn is_spared(one: &Missing) -> bool {
    let resources = [
        "nodes",
        "persistentvolumes",
        "ingressclasses",
        "gateways",
        "httproutes",
        "middlewares",
    ];
    one.group == "metrics.k8s.io" || resources.contains(&one.resource.as_str())
}

struct Look<'a> {
    ports: &'a Ports,
    cluster: &'a Cluster,
    /// True where the cap that this run was given is the workflow's.
    governs: bool,
}

impl Look<'_> {
    async fn at(&self, key: &PreviewKey, draft: Option<&(Plan, ManifestSet)>) -> Vec<Finding> {
        let (control, rights, held, (placed, slots), (login, secret)) = tokio::join!(
            self.control(),
            self.rights(),
            self.held(),
            self.slots(key),
            self.pull_secret()
        );
        let mut found = [control, rights, held, slots].concat();
        if let Some((plan, set)) = draft {
            let (room, classes, gateways, hosts, answers, images) = tokio::join!(
                self.room(set, placed),
                self.classes(set),
                self.gateways(plan, set),
                self.hosts(plan, set),
                self.address(plan, set, placed),
                self.images(set, login)
            );
            found.extend([room, classes, gateways, hosts, answers, images].concat());
        }
        found.extend(secret);
        let networks =
            |set: &ManifestSet| set.objects.iter().any(|one| one.id.kind == "NetworkPolicy");
        if draft.is_some_and(|(_, set)| networks(set)) {
            found.push(note(
                NETWORK,
                "NetworkPolicies keep previews apart, and are not enforced by every CNI; this can't be seen from outside",
                "ask who runs the cluster whether its network plugin enforces them",
            ));
        }
        found
    }

    async fn control(&self) -> Vec<Finding> {
        let name = &self.ports.settings.control_namespace;
        match self.cluster.namespace(name).await {
            Ok(Some(_)) => Vec::new(),
            Ok(None) => vec![fault(
                ACCESS,
                format!("there is no namespace {name}, which keeps the ledger"),
                SETUP,
            )],
            Err(error) => unseen(ACCESS, format!("namespace {name}"), error.into()),
        }
    }

    async fn rights(&self) -> Vec<Finding> {
        let control = &self.ports.settings.control_namespace;
        let missing = match self.cluster.missing_rights(control).await {
            Ok(missing) => missing,
            Err(error) => {
                return unseen(ACCESS, "what this credential may do".into(), error.into());
            }
        };
        if missing.is_empty() {
            return vec![fine(
                ACCESS,
                "this credential may do all that a deploy needs".into(),
            )];
        }
        let row = |one: &Missing| {
            let name = match one.name.as_str() {
                "" => String::new(),
                name => format!(" called {name}"),
            };
            let cause = format!(
                "this credential may not {} {}{name}",
                one.verbs.join(", "),
                one.resource
            );
            let remedy = format!("add the rule `{}` to {}, or {SETUP}", one.rule(), one.role);
            match is_spared(one) {
                true => note(ACCESS, &format!("{cause}; a deploy does without"), &remedy),
                false => fault(ACCESS, cause, &remedy),
            }
        };
        missing.iter().map(row).collect()
    }

    async fn held(&self) -> Vec<Finding> {
        match self.cluster.is_held().await {
            Ok(true) => vec![fine(ACCESS, "the admission policy holds this credential to previews".into())],
            Ok(false) => vec![fault(
                ACCESS,
                "no admission policy holds this credential to previews: it may make and change any namespace".into(),
                &format!("{SETUP}, and use a kubeconfig of the ServiceAccount that it makes"),
            )],
            Err(error) if error.refuses_dry_runs() => {
                let why = format!("a webhook of the cluster takes no dry runs: {error}");
                vec![not_looked_at(ACCESS, "whether the admission policy is in place", &why)]
            }
            Err(error) => unseen(ACCESS, "whether the admission policy is in place".into(), error.into()),
        }
    }

    /// Whether the preview has its place, and how many there are.
    async fn slots(&self, key: &PreviewKey) -> (bool, Vec<Finding>) {
        let seen = |ledger: &mut Ledger, _: Moment| Step::Keep(ledger.clone());
        let name = self.ports.ledger(key.repository);
        let begun = || Ledger::empty(self.ports.settings.max_previews);
        let ledger = match self.cluster.transact(&name, seen).await {
            Ok(Some(ledger)) => ledger,
            // Gone or never begun: the next deploy counts by the Namespaces.
            Ok(None) => match self.cluster.list_namespaces(&desk::selector(&name)).await {
                Ok(found) if found.is_empty() => begun(),
                _ => {
                    let why =
                        "there is no ledger, and the next deploy makes it anew from the namespaces";
                    return (false, vec![not_looked_at(ROOM, "who holds the slots", why)]);
                }
            },
            Err(error) => return (false, faults(ROOM, &error.into())),
        };
        let all = match self.governs {
            true => self.ports.settings.max_previews,
            false => ledger.capacity,
        };
        let taken = ledger.holders.len();
        if all == 0 {
            let remedy = "raise the input `max-previews`";
            let finding = fault(
                ROOM,
                "`max-previews` is 0, so there is no slot for any preview".into(),
                remedy,
            );
            return (false, vec![finding]);
        }
        if let Some(holder) = ledger.holder(&key.in_ledger()) {
            let finding = fine(ROOM, format!("it holds slot {} of {all}", holder.slot));
            return (holder.uid.is_some(), vec![finding]);
        }
        let waiting = ledger.queue.len();
        if taken < all as usize && waiting == 0 {
            return (
                false,
                vec![fine(ROOM, format!("{taken} of {all} slots are taken"))],
            );
        }
        let names: Vec<String> = ledger
            .holders
            .iter()
            .map(|one| format!("#{}", one.pr))
            .collect();
        let finding = fault(
            ROOM,
            format!(
                "{taken} of {all} slots are taken, by {}, and {waiting} wait in line",
                names.join(", ")
            ),
            "comment `/undeploy` on one of these pull requests, or raise the input `max-previews`",
        );
        (false, vec![finding])
    }

    /// What the preview asks for, held against its quota and the nodes.
    async fn room(&self, set: &ManifestSet, placed: bool) -> Vec<Finding> {
        let demand = capacity::demand(set);
        let beyond = capacity::beyond_quota(set, &demand);
        if !beyond.is_empty() {
            return faults(ROOM, &room::over_quota(&beyond, set));
        }
        let why = match (placed, self.ports.settings.nodes) {
            (true, _) => "the preview has its place there already",
            (_, Nodes::Elastic) => "input `nodes` is `elastic`",
            _ => return self.nodes(&demand).await,
        };
        vec![not_looked_at(ROOM, "the room on the nodes", why)]
    }

    async fn nodes(&self, demand: &[Vec<Pods>]) -> Vec<Finding> {
        let found = match self.cluster.room().await {
            Ok(Some(found)) => found,
            Ok(None) => {
                let why = "this credential is shown no nodes, or not all pods";
                return vec![not_looked_at(ROOM, "the room on the nodes", why)];
            }
            Err(error) => return unseen(ROOM, "the room on the nodes".into(), error.into()),
        };
        match found.fit(demand) {
            Fit::Now => {
                let filled = found.filled(demand);
                vec![fine(
                    ROOM,
                    format!("the nodes have room for it, and are {filled} % full with it"),
                )]
            }
            Fit::Later(shortage) => vec![fault(
                ROOM,
                format!(
                    "the nodes have no room for it now: {}",
                    room::shortage_words(&shortage)
                ),
                "end another preview, or ask for less in `resources` or `replicas`",
            )],
            Fit::Never(shortage) => faults(ROOM, &room::never(&shortage)),
        }
    }

    /// The logins at registries, and what is to be said of them.
    async fn pull_secret(&self) -> (Option<Secret>, Vec<Finding>) {
        let Some(source) = &self.ports.settings.pull_secret else {
            return (None, Vec::new());
        };
        let from = SecretRef {
            namespace: source.namespace.clone(),
            name: source.name.clone(),
        };
        match self.cluster.pull_secret(&from).await {
            Ok(secret) => {
                let there = format!("{}/{} is there", from.namespace, from.name);
                (Some(secret), vec![fine(PULL_SECRET, there)])
            }
            Err(error) => (None, faults(PULL_SECRET, &error.into())),
        }
    }
}

fn finding(about: &'static str, verdict: Verdict, cause: String, remedy: &str) -> Finding {
    Finding {
        about,
        verdict,
        cause,
        remedy: remedy.to_owned(),
    }
}

fn fine(about: &'static str, cause: String) -> Finding {
    finding(about, Verdict::Fine, cause, "")
}

fn note(about: &'static str, cause: &str, remedy: &str) -> Finding {
    finding(about, Verdict::Note, cause.to_owned(), remedy)
}

fn fault(about: &'static str, cause: String, remedy: &str) -> Finding {
    finding(about, Verdict::Fault, cause, remedy)
}

fn not_looked_at(about: &'static str, what: &str, why: &str) -> Finding {
    finding(
        about,
        Verdict::NotLookedAt,
        format!("{what}: not looked at, because {why}"),
        "",
    )
}

/// What can't be looked at for lack of a right, of which there is a row of its own; any other error is in the way itself.
fn unseen(about: &'static str, what: String, failure: Failure) -> Vec<Finding> {
    match failure.reason() {
        crate::names::ReasonCode::ClusterForbidden | crate::names::ReasonCode::AdmissionRefused => {
            let cause = failure.causes.first().map_or("", |one| one.cause.as_str());
            vec![not_looked_at(about, &what, cause)]
        }
        _ => faults(about, &failure),
    }
}

fn faults(about: &'static str, failure: &Failure) -> Vec<Finding> {
    let verdict = match failure.blame {
        Blame::Theirs => Verdict::Refused,
        Blame::Yours | Blame::Ours => Verdict::Fault,
    };
    let row = |one: &crate::cluster::outcome::Failure| {
        let place = one.origin.as_ref().and_then(|origin| origin.shown());
        let place = place.map_or_else(String::new, |place| format!("{place}: "));
        finding(about, verdict, format!("{place}{}", one.cause), &one.remedy)
    };
    failure.causes.iter().map(row).collect()
}
