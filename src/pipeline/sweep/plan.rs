//! Turns what is seen at one moment into what the sweep is to do: one thing about each preview, the first that applies.
//! It asks nobody and changes nothing, like the files that decide whether it applies, so that `--dry-run` shows exactly what
//! would be done.
//! What is not proved finished is kept: only a pull request that GitHub itself calls closed, or a time that is over.

use super::{
    sight::Sight,
    task::{Action, Task},
};
use crate::{
    capacity::{Because, Record},
    names::PreviewKey,
    pipeline::RemoveReason,
};
use std::collections::BTreeSet;

/// How many pull requests from forks are told at once that they need approval: strangers open as many as they like.
const ASKED_AT_ONCE: usize = 10;

/// How many comments are read again after a ledger was lost, those that somebody touched last: each costs a request or two.
const CORRECTED_AT_ONCE: usize = 100;

impl Sight<'_> {
    /// What is to be done.
    pub(super) fn tasks(&self) -> Vec<Task> {
        let mut previews: BTreeSet<PreviewKey> = self.namespaces.keys().cloned().collect();
        previews.extend(self.known().map(|(preview, _)| preview));
        let waiting = self.ledger.queue.iter();
        previews.extend(waiting.filter_map(|one| self.preview_of(&one.key)));
        let open = self.open.keys();
        previews.extend(open.filter_map(|pr| self.preview_of(&pr.to_string())));
        let in_progress = self.ledger.previews.iter();
        let in_progress = in_progress.filter(|(_, record)| record.active.is_some());
        previews.extend(in_progress.filter_map(|(key, _)| self.preview_of(key)));
        let tasks = previews.into_iter().filter_map(|preview| {
            let action = self.action(&preview)?;
            let namespace = self.namespace(&preview)?;
            Some(Task {
                preview,
                namespace,
                action,
            })
        });
        let first_seen = |task: &Task| {
            matches!(task.action, Action::Deploy(_)) && self.is_stranger(&task.preview)
        };
        let (strangers, mut tasks): (Vec<Task>, Vec<Task>) = tasks.partition(first_seen);
        let spare = self.spare(&tasks);
        // As many as find a slot: who waits in line has asked, and who was never seen has not.
        tasks.extend(self.freshest(strangers).into_iter().take(spare));
        let asks = |task: &Task| task.action == Action::Ask;
        let (asked, mut tasks): (Vec<Task>, Vec<Task>) = tasks.into_iter().partition(asks);
        tasks.extend(self.freshest(asked).into_iter().take(ASKED_AT_ONCE));
        if self.trouble.is_some() {
            tasks.extend(self.doubted(&tasks));
        }
        tasks
    }

    /// Those without a slot, whose comments may name a place in a line that was lost with the ledger.
    fn doubted(&self, tasks: &[Task]) -> Vec<Task> {
        let planned: BTreeSet<&PreviewKey> = tasks.iter().map(|task| &task.preview).collect();
        let open = self.open.keys();
        let previews = open.filter_map(|pr| self.preview_of(&pr.to_string()));
        let doubted = previews
            .filter(|preview| self.is_stranger(preview) && !planned.contains(preview))
            .filter_map(|preview| {
                Some(Task {
                    namespace: self.namespace(&preview)?,
                    preview,
                    action: Action::Correct,
                })
            });
        let mut doubted = self.freshest(doubted.collect());
        doubted.truncate(CORRECTED_AT_ONCE);
        doubted
    }

    /// Those first that somebody touched last.
    fn freshest(&self, mut strangers: Vec<Task>) -> Vec<Task> {
        let touched = |task: &Task| self.open.get(&task.preview.pr).map(|(_, ago)| *ago);
        strangers.sort_by_key(touched);
        strangers
    }

    /// How many slots are free for nobody in particular once all that is planned has its own.
    fn spare(&self, tasks: &[Task]) -> usize {
        let places = |task: &&Task| {
            matches!(task.action, Action::Deploy(_)) && self.holder(&task.preview).is_none()
        };
        let taken = tasks.iter().filter(places).count();
        self.ledger.spare(self.now).saturating_sub(taken)
    }

    fn action(&self, preview: &PreviewKey) -> Option<Action> {
        let active = |record: &Record| record.is_active(self.now);
        if self.record(preview).is_some_and(active) {
            // Whoever is at work ends it, or dies, and then there is another sweep.
            return None;
        }
        if let Some(merged) = self.closed.get(&preview.pr) {
            let reason = RemoveReason::Closed { merged: *merged };
            return Some(self.removal(preview, reason));
        }
        let (pull, touched) = self.open.get(&preview.pr)?;
        let missed = || self.missed(preview, pull, *touched);
        let Some(record) = self.record(preview) else {
            return missed()
                .or_else(|| self.unapproved(preview, pull, *touched))
                .or_else(|| self.vanished(preview));
        };
        let begun = record.removing.as_ref().map(|one| one.because);
        match begun {
            // A pull request that was opened again is not closed any more.
            None | Some(Because::Closed | Because::Merged) => {}
            Some(because) => return Some(self.removal(preview, because.into())),
        }
        let lost = record.active.is_some();
        self.end_of_life(preview, record)
            .or_else(missed)
            .or_else(|| self.unapproved(preview, pull, *touched))
            .or_else(|| self.dozes(preview, record).then_some(Action::FinishSleep))
            .or_else(|| lost.then_some(Action::End))
            .or_else(|| self.vanished(preview))
            .or_else(|| self.hangs(preview).then_some(Action::Stuck))
            // What has broken is not told as being deployed.
            .or_else(|| self.health(preview, record))
            .or_else(|| self.untold(preview, pull, record))
            .or_else(|| self.idle(preview, record))
    }

    pub(super) fn removal(&self, preview: &PreviewKey, reason: RemoveReason) -> Action {
        let begun = self
            .record(preview)
            .and_then(|record| record.removing.as_ref());
        Action::Remove {
            reason,
            by: begun.map_or_else(String::new, |begun| begun.by.clone()),
        }
    }
}
