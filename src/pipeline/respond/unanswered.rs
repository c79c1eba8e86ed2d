//! What is said of a command that came to nothing where no comment tells why: the failure's own line, beside what stands there.
//! It answers only who may give commands, so that no stranger can make us write, and repeats no word of a use case.
//! Where GitHub itself is in the way nobody can be told, so the run's annotation says that nothing goes on with the command.

use super::Story;
use crate::{
    event::PullRequest,
    github::GitHub,
    inputs::CommentMode,
    names::ReasonCode,
    pipeline::{
        Ending, Failure,
        inspect::{self, Status},
    },
    trigger::{Asked, Denied, Trigger},
};

impl Story<'_> {
    /// Tells who gave a command why it came to nothing, unless a word of its own does.
    pub(super) async fn answers_for(&self, ending: &mut Ending) {
        let asked = matches!(self.request.asked, Asked::Comment { .. });
        let untold = asked && ending.view.is_none() && !self.ports.stop.is_cancelled();
        let Some(failure) = ending.failure.as_mut().filter(|_| untold) else {
            return;
        };
        if failure.is_of_github() {
            if self.is_lost() {
                self.asks_again(failure);
                ending.why = failure.line();
            }
            return;
        }
        // Nobody has met it who may not give commands.
        let Some(pull) = self.met.get() else {
            return;
        };
        if let Err(untold) = self.explains(pull, failure).await {
            tracing::warn!(reason = %untold.reason(), "the pull request does not say why: {}", untold.line());
        }
    }

    async fn explains(&self, pull: &PullRequest, failure: &Failure) -> Result<(), Failure> {
        let (ports, preview) = (self.ports, self.preview());
        // Who has not answered for so long is not asked again.
        let status = match failure.reason() {
            ReasonCode::ClusterUnreachable => None,
            _ => inspect::status(ports, &preview).await.ok(),
        };
        let at_work =
            |status: &Status| status.busy && status.record.newest.as_ref() != Some(&ports.run);
        if status.as_ref().is_some_and(at_work) {
            return Ok(());
        }
        let mut teller = self.teller(&pull.head_sha, pull.open);
        teller.answer_with(&failure.line());
        if !teller.answer_beside().await? {
            match &status {
                Some(status) if status.stands() => self.show(pull, &mut teller).await.map(drop)?,
                // What is well may have no comment there, and nobody knows whether it is.
                None if ports.settings.comment != CommentMode::Sticky => {}
                None => {
                    teller.about_none();
                    teller.replies(&denied(failure)).await?;
                }
                Some(_) => teller.replies(&denied(failure)).await?,
            }
        }
        if let Some(status) = &status {
            inspect::looks_again(ports, &preview, status.record.sequence).await;
        }
        Ok(())
    }

    /// True unless the ledger has it already, for the sweep to tell.
    fn is_lost(&self) -> bool {
        let kept = matches!(self.trigger, Trigger::Life(..) | Trigger::Remove(_));
        self.met.get().is_none() || !kept
    }

    /// Says when the command may be given again: a run that GitHub has not let begin has left nothing that another could go on with.
    pub(super) fn asks_again(&self, failure: &mut Failure) {
        let github = self.ports.github.as_ref();
        let Some(cause) = failure.causes.first_mut() else {
            return;
        };
        cause.remedy = match github.and_then(GitHub::takes_none_until) {
            Some(until) => format!(
                "give the command again after {}, because no later run goes on with it",
                until.strftime("%Y-%m-%d %H:%M UTC")
            ),
            None => format!(
                "give the command again once GitHub answers, because no later run goes on with it; {}",
                cause.remedy
            ),
        };
    }
}

fn denied(failure: &Failure) -> Denied {
    let headline = failure.causes.first();
    Denied {
        reason: failure.reason(),
        cause: headline.map_or_else(|| failure.line(), |one| one.cause.clone()),
        remedy: headline.map(|one| one.remedy.clone()).unwrap_or_default(),
    }
}
