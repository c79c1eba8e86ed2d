//! Turns `/deploy --take #N` into room for one preview: whoever has that slot is moved aside and told by whom and for whom.
//! It deploys nothing and asks no permission; its caller has asked for a maintainer's.
//! Who takes is put first in line before anything is removed, so that no other run gives the slot away meanwhile.

use super::{
    Blame, DeployRequest, Failure, Ports, RemoveReason, RemoveRequest,
    desk::{self, Desk},
    remove,
    teller::Teller,
};
use crate::{
    capacity::Ledger,
    event::Repository,
    names::{PrNumber, PreviewKey, ReasonCode},
    trigger::Denied,
};

/// Who takes whose slot.
pub(super) struct Taking<'a> {
    pub(super) ports: &'a Ports,
    pub(super) repository: &'a Repository,
    /// Who wants it.
    pub(super) preview: PreviewKey,
    /// Who has it.
    pub(super) from: PrNumber,
}

impl Taking<'_> {
    /// Makes room, or says why that slot is not to be had; what people should know of it comes back as a sentence.
    pub(super) async fn make_room(
        &self,
        request: &DeployRequest,
        by: &str,
    ) -> Result<Result<Option<String>, Denied>, Failure> {
        let mut ledger = desk::ledger(self.ports, &self.preview).await?;
        if ledger.capacity != self.ports.settings.max_previews {
            desk::keep_cap(self.ports, self.repository.id).await?;
            ledger = desk::ledger(self.ports, &self.preview).await?;
        }
        let key = match self.may_take(&ledger) {
            Ok(Some(key)) => key,
            Ok(None) => {
                let notice = format!("a slot was there already, so #{} was left alone", self.from);
                return Ok(Ok(Some(notice)));
            }
            Err(denied) => return Ok(Err(denied)),
        };
        let cluster = self.ports.cluster()?;
        let desk = Desk::new(self.ports, cluster, self.preview.clone(), false);
        desk.goes_first(request).await?;
        let aside = RemoveRequest::new(
            self.ports,
            &self.repository.name,
            key.clone(),
            RemoveReason::Taken {
                to: self.preview.pr,
            },
        )?;
        let mut teller = Teller::open(self.ports, &key, &self.repository.name, &|_| {});
        teller.asked_by(by);
        let ending = Box::pin(remove(self.ports, &aside, &mut teller)).await;
        // Nobody goes on behind a bug: who asked stands first in line, and the sweep sees to it.
        if let Some(bug) = ending.failure.filter(|one| one.blame == Blame::Ours) {
            return Err(bug);
        }
        let moved = ending.reason == ReasonCode::Removed;
        Ok(Ok((!moved).then(|| {
            format!("#{} could not be moved aside: {}", self.from, ending.why)
        })))
    }

    /// The preview that is moved aside; none when there is a slot without that.
    fn may_take(&self, ledger: &Ledger) -> Result<Option<PreviewKey>, Denied> {
        let from = self.from;
        let denied = |cause: String, remedy: String| Denied {
            reason: ReasonCode::NothingToTake,
            cause,
            remedy,
        };
        let holding: Vec<String> = ledger
            .holders
            .iter()
            .filter(|holder| holder.pr != self.preview.pr)
            .map(|holder| format!("#{}", holder.pr))
            .collect();
        let hint = match holding.as_slice() {
            [] => "comment `/deploy`".to_owned(),
            _ => format!("name one that does: {}", holding.join(", ")),
        };
        if from == self.preview.pr {
            return Err(denied(format!("#{from} is this pull request"), hint));
        }
        let Some(holder) = ledger.holders.iter().find(|holder| holder.pr == from) else {
            return Err(denied(format!("#{from} holds no slot"), hint));
        };
        let pinned = ledger
            .previews
            .get(&holder.key)
            .is_some_and(|record| record.pinned);
        if pinned {
            let remedy = format!("comment `/unpin` on #{from} first");
            return Err(denied(format!("the preview of #{from} is pinned"), remedy));
        }
        if ledger.holder(&self.preview.in_ledger()).is_some() || ledger.free() > 0 {
            return Ok(None);
        }
        if ledger.holders.len() > ledger.capacity as usize {
            let remedy =
                "comment `/undeploy` on those that are not needed, or have `max-previews` raised";
            let cause = format!(
                "{} previews are live and the limit is {}, so the slot of #{from} would be nobody's",
                ledger.holders.len(),
                ledger.capacity
            );
            return Err(denied(cause, remedy.into()));
        }
        let environment = &self.ports.settings.environment;
        Ok(PreviewKey::from_ledger(
            self.repository.id,
            environment,
            &holder.key,
        ))
    }
}
