//! What the ledger says of a preview's sleep, written only by the newest run of that preview.
//! It stops and starts nothing; whether anything runs is the caller's to see.
//! Whoever has stalled may have been overtaken by a run that woke the preview, and must not give its slot away.

use super::Desk;
use crate::{
    capacity::{self, Asleep, Record},
    cluster::Step,
    names::CommitSha,
    pipeline::Failure,
};

impl Desk<'_> {
    /// Notes that the preview sleeps; what is known of it then, or none when a newer run exists.
    pub(in crate::pipeline) async fn fall_asleep(
        &self,
        asleep: &Asleep,
        keeps_slot: bool,
        rests_at: Option<&CommitSha>,
    ) -> Result<Option<Record>, Failure> {
        self.transact(|ledger, _| {
            let (key, run) = (&self.key, self.run());
            if !capacity::put_to_sleep(ledger, key, run, asleep, keeps_slot) {
                return Step::Keep(None);
            }
            let record = ledger.previews.get_mut(key);
            Step::Write(record.map(|record| {
                if let Some(sha) = rests_at {
                    record.rests_at = Some(sha.clone());
                }
                record.clone()
            }))
        })
        .await
    }

    /// Notes that the preview is awake after all, unless a newer run exists: no sweep tries again at once.
    pub(in crate::pipeline) async fn stay_awake(&self) -> Result<(), Failure> {
        self.transact(|ledger, now| {
            let record = ledger.previews.get_mut(&self.key);
            match record.filter(|record| record.newest.as_ref() == Some(self.run())) {
                Some(record) => {
                    record.asleep = None;
                    record.stayed_awake = Some(now);
                    Step::Write(())
                }
                None => Step::Keep(()),
            }
        })
        .await
    }
}
