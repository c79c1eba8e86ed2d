//! The slot of a preview and the Namespace that is bound to it: claimed, taken over, left, freed.
//! It applies no workload, and a Namespace that is not this preview's it names and leaves alone.
//! What the ledger says counts only together with the Namespace read by name.

use super::{Desk, House, Place};
use crate::{
    capacity::{self, Claim, Claimant, Ledger, WhenFull},
    cluster::{Created, Gone, NamespaceInfo, Step},
    names::{Namespace, PrNumber, PreviewKey, ReasonCode},
    pipeline::{Blame, Failure, delete},
};
use serde_json::Value;
use std::time::Duration;
use tokio::time::Instant;

/// How long a Namespace of an earlier life may take to go before the run gives up.
const GONE_PATIENCE: Duration = Duration::from_secs(120);

/// Claims that are lost again and again end after this many rounds.
const ROUNDS: usize = 8;

impl Desk<'_> {
    /// Claims a slot and binds it to the Namespace, which is created if it is not there.
    ///
    /// `namespace` makes the Namespace object for a slot.
    pub(in crate::pipeline) async fn place(
        &self,
        name: &Namespace,
        pr: PrNumber,
        owner: &str,
        when_full: WhenFull,
        namespace: impl Fn(u32) -> Value,
    ) -> Result<Place, Failure> {
        let who = Claimant {
            key: self.key.clone(),
            pr,
            namespace: name.clone(),
            owner: owner.into(),
            run: self.run().clone(),
            when_full,
        };
        let mut house = None;
        for _ in 0..ROUNDS {
            match self
                .transact(|ledger, now| {
                    let claim = capacity::claim(ledger, &who, now);
                    house = Some(House::seen(ledger, None));
                    Step::Write(claim)
                })
                .await?
            {
                Claim::Confirmed { namespace, uid, .. } if namespace != *name => {
                    return Ok(Place::Elsewhere { namespace, uid });
                }
                Claim::Confirmed { slot, uid, .. } => {
                    return Ok(Place::Ours {
                        slot,
                        uid,
                        fresh: false,
                    });
                }
                Claim::Overtaken => return Ok(Place::Overtaken),
                full_or_queued @ (Claim::Full(_) | Claim::Queued(_)) => {
                    let Some(mut house) = house.take() else {
                        continue;
                    };
                    if !self.free_vanished(&mut house).await? {
                        house.place = match full_or_queued {
                            Claim::Queued(place) => Some(place),
                            _ => None,
                        };
                        return Ok(Place::Full(house));
                    }
                }
                Claim::Unconfirmed { slot } => {
                    if let Some((info, fresh)) = self.occupy(name, &namespace(slot)).await?
                        && self.confirm(&info, fresh).await?
                    {
                        let uid = info.uid;
                        return Ok(Place::Ours { slot, uid, fresh });
                    }
                }
            }
        }
        Err(Failure::new(
            Blame::Theirs,
            ReasonCode::ClusterRefused,
            format!("the claim for namespace {name} was lost {ROUNDS} times in a row"),
            "run the deploy again; if it repeats, look who else writes the ledger",
        ))
    }

    /// Puts this preview in line until the cluster's nodes have room for it; none when a newer run exists.
    pub(in crate::pipeline) async fn wait_for_room(
        &self,
        name: &Namespace,
        pr: PrNumber,
        owner: &str,
        lacks: &str,
    ) -> Result<Option<House>, Failure> {
        let who = Claimant {
            key: self.key.clone(),
            pr,
            namespace: name.clone(),
            owner: owner.into(),
            run: self.run().clone(),
            when_full: WhenFull::Queue,
        };
        self.transact(
            |ledger, now| match capacity::wait(ledger, &who, lacks, now) {
                Some(place) => Step::Write(Some(House::seen(ledger, Some(place)))),
                None => Step::Keep(None),
            },
        )
        .await
    }

    /// Creates the Namespace, or takes the one of an earlier run of this preview; `None` means: claim again. The second is
    /// true when it is new.
    async fn occupy(
        &self,
        name: &Namespace,
        object: &Value,
    ) -> Result<Option<(NamespaceInfo, bool)>, Failure> {
        match self.cluster.create_namespace(object).await {
            Ok(Created::New(info)) => Ok(Some((info, true))),
            Ok(Created::AlreadyExists(found)) if !self.owns(&found) => {
                self.withdraw().await?;
                Err(taken(name, &found))
            }
            Ok(Created::AlreadyExists(found)) if found.deleting.is_some() => {
                self.wait_until_gone(name, &found.uid).await?;
                Ok(None)
            }
            Ok(Created::AlreadyExists(found)) => Ok(Some((found, false))),
            Err(error) => {
                self.withdraw().await?;
                Err(error.into())
            }
        }
    }

    /// True when the labels of a Namespace name this very preview.
    pub(in crate::pipeline) fn owns(&self, found: &NamespaceInfo) -> bool {
        is_of(&self.preview, found)
    }

    /// Fails when the Namespace with this preview's own UID does not carry its labels: it is not gone, and not ours to delete.
    pub(in crate::pipeline) fn recognises(&self, found: &NamespaceInfo) -> Result<(), Failure> {
        if self.owns(found) {
            return Ok(());
        }
        Err(Failure::new(
            Blame::Theirs,
            ReasonCode::NamespaceTaken,
            format!(
                "somebody has changed the labels of namespace {}, in which this preview lives",
                found.name
            ),
            "give it back the labels app, pr, preview-action/repository-id and preview-action/environment, or delete it by hand; what is in it and its slot stay until then",
        ))
    }

    /// Binds the claim to its Namespace; false when that was lost. What this run has made, and nobody has touched, goes then.
    ///
    /// A Namespace that was found may keep data, and one that a holder is bound to is another run's preview.
    async fn confirm(&self, info: &NamespaceInfo, fresh: bool) -> Result<bool, Failure> {
        let (confirmed, bound) = self
            .transact(|ledger, _| {
                match capacity::confirm(ledger, &self.key, self.run(), &info.uid) {
                    true => Step::Write((true, true)),
                    false => Step::Keep((false, is_bound(ledger, &info.uid))),
                }
            })
            .await?;
        if !confirmed && fresh && !bound {
            let name = &info.name;
            tracing::warn!("the claim was given up meanwhile; deleting the empty namespace {name}");
            let version = Some(info.version.as_str());
            self.cluster
                .delete_namespace(name, &info.uid, version)
                .await?;
        }
        Ok(confirmed)
    }

    /// Frees slots whose Namespace is gone, each read by name; true when there was one, else those that are going are noted.
    /// What a preview has in the place of its Namespace is that preview all the same, and the sweep counts it.
    pub(in crate::pipeline) async fn free_vanished(
        &self,
        house: &mut House,
    ) -> Result<bool, Failure> {
        let holders = house.holders.iter().map(|lodger| &lodger.holder);
        let bound: Vec<(String, String, Namespace)> = holders
            .filter_map(|one| Some((one.key.clone(), one.uid.clone()?, one.namespace.clone())))
            .collect();
        let reads = bound
            .iter()
            .map(|(_, _, name)| self.cluster.namespace(name));
        let found = futures::future::try_join_all(reads).await?;
        let (repository, environment) = (self.preview.repository, &self.preview.environment);
        let there = |key: &str, uid: &str, found: &NamespaceInfo| {
            let preview = PreviewKey::from_ledger(repository, environment, key);
            found.uid == uid || preview.is_some_and(|preview| is_of(&preview, found))
        };
        let gone: Vec<(&str, &str)> = bound
            .iter()
            .zip(&found)
            .filter(|((key, uid, _), found)| {
                !found.as_ref().is_some_and(|found| there(key, uid, found))
            })
            .map(|((key, uid, _), _)| (key.as_str(), uid.as_str()))
            .collect();
        if gone.is_empty() {
            house.notice(&found.into_iter().flatten().collect::<Vec<_>>());
            return Ok(false);
        }
        self.transact(|ledger, _| {
            for (key, uid) in &gone {
                capacity::drop_vanished(ledger, key, uid);
            }
            Step::Write(())
        })
        .await?;
        Ok(true)
    }

    /// Deletes the Namespace that this preview had under an earlier name, so that its slot can have another.
    pub(in crate::pipeline) async fn vacate(
        &self,
        name: &Namespace,
        uid: &str,
    ) -> Result<(), Failure> {
        let found = self.cluster.namespace(name).await?;
        if let Some(found) = found.filter(|found| found.uid == uid) {
            if !self.owns(&found) {
                return Err(taken(name, &found));
            }
            tracing::info!(
                "this preview has another namespace now; deleting its earlier one, {name}"
            );
            delete::delete(self.cluster, &found, |found| self.owns(found)).await?;
        }
        self.forget(name, uid).await
    }

    /// Notes that the confirmed Namespace of this preview is gone, so that the next claim creates it anew.
    pub(in crate::pipeline) async fn forget(
        &self,
        name: &Namespace,
        uid: &str,
    ) -> Result<(), Failure> {
        if self
            .cluster
            .namespace(name)
            .await?
            .is_some_and(|found| found.uid == uid)
        {
            self.wait_until_gone(name, uid).await?;
        }
        self.transact(|ledger, now| {
            capacity::forget_uid(ledger, &self.key, uid, self.run(), now);
            Step::Write(())
        })
        .await
    }

    async fn wait_until_gone(&self, name: &Namespace, uid: &str) -> Result<(), Failure> {
        tracing::info!("waiting until the namespace {name} of an earlier deploy is gone");
        let patience = self.cluster.patience(GONE_PATIENCE);
        let deadline = Instant::now() + patience;
        match self
            .cluster
            .wait_until_gone(name, uid, deadline, &self.ports.stop, &mut |_| {})
            .await?
        {
            Gone::Gone { .. } => Ok(()),
            // It may be there still, so nothing that counts on its end may come after this.
            Gone::Stopped => Err(Failure::new(
                Blame::Theirs,
                ReasonCode::Cancelled,
                format!(
                    "the run was cancelled while namespace {name} of an earlier deploy was going"
                ),
                "run it again",
            )),
            Gone::Stuck(by) => {
                let reason = ReasonCode::NamespaceTerminating;
                Err(delete::stuck(reason, name, patience, &by))
            }
        }
    }

    /// Gives up this run's claim that has no Namespace.
    async fn withdraw(&self) -> Result<(), Failure> {
        self.transact(|ledger, _| {
            capacity::withdraw(ledger, &self.key, self.run());
            Step::Write(())
        })
        .await
    }
}

/// True when some holder is bound to the Namespace with this UID.
fn is_bound(ledger: &Ledger, uid: &str) -> bool {
    let mut holders = ledger.holders.iter();
    holders.any(|holder| holder.uid.as_deref() == Some(uid))
}

/// True when the labels of a Namespace name a preview.
fn is_of(preview: &PreviewKey, found: &NamespaceInfo) -> bool {
    let label = |name: &str| found.labels.get(name).map(String::as_str);
    let variant = preview.variant.as_ref();
    label("app") == Some("preview")
        && label("preview-action/repository-id") == Some(preview.repository.to_string().as_str())
        && label("preview-action/environment") == Some(preview.environment.as_str())
        && label("pr") == Some(preview.pr.to_string().as_str())
        && label("preview-action/variant") == variant.map(crate::names::Label::as_str)
}

fn taken(name: &Namespace, found: &NamespaceInfo) -> Failure {
    let owner = match (
        found.labels.get("preview-action/repository-id"),
        found.labels.get("pr"),
    ) {
        (Some(repository), Some(pr)) => format!("repository {repository}, pull request {pr}"),
        (Some(repository), None) => format!("repository {repository}"),
        _ => "something that is no preview of ours".into(),
    };
    Failure::yours(
        ReasonCode::NamespaceTaken,
        format!("namespace {name} belongs to {owner}"),
        "set the input `namespace-pattern` to one with `{owner}` or `{repo-id}`, such as `pr-{repo-id}-{number}`",
    )
}
