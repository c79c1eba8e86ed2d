//! Turns what was applied into a verdict: all ready, failed and why, out of time, or stopped.
//! It must not judge objects itself (`readiness`) nor time failures itself (`track`); it only listens and keeps the time.
//! Nothing is watched when the answers to our own writes already show that everything is ready.

use super::{
    Cluster,
    call::Selector,
    error::ClusterError,
    follow::{Follow, Seen},
    kinds,
    outcome::{Applied, Rollout, Verdict, WorkloadStatus},
    track::{Judgement, Tracker, readable},
};
use crate::names::Namespace;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

impl Cluster {
    /// Waits until everything that was applied is ready, one failure has lasted its grace, time is up or the caller asks to stop.
    ///
    /// `on_progress` is called first with the state at the beginning, then whenever a line of it changes.
    pub async fn wait_until_ready(
        &self,
        namespace: &Namespace,
        applied: &[Applied],
        deadline: Instant,
        stop: &CancellationToken,
        on_progress: &mut (dyn FnMut(&[WorkloadStatus]) + Send),
    ) -> Result<Rollout, ClusterError> {
        let started = Instant::now();
        let mut tracker = Tracker::new(applied, self.haste);
        let mut judgement = tracker.judge(started);
        on_progress(&judgement.statuses);
        let mut follow = Follow::new();
        if !judgement.all_ready {
            for kind in tracker.kinds_to_follow() {
                follow.add(self, kind, Some(namespace), Selector::default());
            }
        }
        let verdict = loop {
            if judgement.all_ready {
                break Verdict::Ready;
            }
            if !judgement.ripe.is_empty() {
                let ripe = std::mem::take(&mut judgement.ripe);
                break Verdict::Failed(self.diagnose(namespace, &tracker, ripe).await);
            }
            let seen = tokio::select! {
                biased;
                () = stop.cancelled() => break Verdict::Stopped,
                seen = follow.next() => Some(seen),
                () = until(judgement.next) => None,
                () = tokio::time::sleep_until(deadline) => {
                    let took = started.elapsed();
                    let failures = self.out_of_time(namespace, &mut tracker, took).await;
                    // What was only watched for a moment longer is ready.
                    break if failures.is_empty() { Verdict::Ready } else { Verdict::TimedOut(failures) };
                }
            };
            let mut next = seen;
            while let Some(seen) = next {
                take(&mut tracker, seen)?;
                // A list is many objects; what is there already is judged once.
                next = follow.next_now();
            }
            let before = judgement.statuses;
            judgement = tracker.judge(Instant::now());
            if judgement.statuses != before {
                on_progress(&judgement.statuses);
            }
        };
        let Judgement { statuses, .. } = judgement;
        Ok(Rollout {
            workloads: statuses,
            verdict,
            warnings: [super::selectors::warnings(applied), tracker.warnings()].concat(),
            took: started.elapsed(),
        })
    }

    async fn out_of_time(
        &self,
        namespace: &Namespace,
        tracker: &mut Tracker,
        took: Duration,
    ) -> Vec<super::outcome::Failure> {
        let mut symptoms = tracker.unready(Instant::now());
        for symptom in &mut symptoms {
            symptom.facts.insert("time", readable(took));
        }
        self.diagnose(namespace, tracker, symptoms).await
    }
}

/// What cannot be seen any more ends the wait, unless it is only what explains a failure.
fn take(tracker: &mut Tracker, seen: Seen) -> Result<(), ClusterError> {
    match seen {
        Seen::Blind(kind, error) if kind == &kinds::EVENT || kind == &kinds::REPLICA_SET => {
            tracing::warn!(kind = kind.kind, %error, "failures will be explained less well");
            Ok(())
        }
        Seen::Blind(_, error) => Err(error),
        seen => {
            tracker.observe(seen);
            Ok(())
        }
    }
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
