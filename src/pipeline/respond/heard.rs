//! Whether a command still stands as it was given: runs wait in queues and for approvals, and comments are changed and deleted meanwhile.
//! It judges nothing but the comment and its age; who may give commands is the permission's business.
//! One request answers both questions: what the comment says now, and how much its author has asked for within the last minute.

use super::{Story, courtesy};
use crate::{
    github::{Comment, CommentId},
    names::ReasonCode,
    pipeline::Failure,
    trigger::{self, Asked, Denied, Trigger, command},
};
use jiff::{SignedDuration, Timestamp};

/// What counts as one stretch of commands.
const STRETCH: SignedDuration = SignedDuration::from_mins(1);
/// The same for who is none of the repository's people, as far as GitHub says: each of their commands costs more than it gives.
const STRANGE: SignedDuration = SignedDuration::from_mins(10);
/// Commands of one person on one pull request within a stretch. Each is a run of its own; people who read the answers give fewer.
const MOST: usize = 20;
/// How long a command may wait for its run. After a day others have gone on, and whoever gave it has given up.
const WAIT: SignedDuration = SignedDuration::from_hours(24);
/// How long a plan may wait for its approval: GitHub itself would let it through for thirty days.
const APPROVAL: SignedDuration = SignedDuration::from_hours(7 * 24);

impl Story<'_> {
    /// Lets a command through that still stands as the event has it; what is no comment stands anyway.
    pub(super) async fn heard(&self) -> Result<Result<(), Denied>, Failure> {
        let Asked::Comment {
            id,
            author,
            line,
            written,
            known,
        } = &self.request.asked
        else {
            return Ok(Ok(()));
        };
        let github = self.ports.github()?;
        let stretch = if *known { STRETCH } else { STRANGE };
        let since = written.checked_sub(stretch).unwrap_or(*written);
        let recent = github.recent(self.request.pr, since).await?;
        // What a plan has heard in time may have waited for an approval since. By now GitHub has told the time.
        let fresh = self.caller.attempt < 2 && self.ports.settings.sha.is_none();
        if fresh && self.ports.now().duration_since(*written) > WAIT {
            return Ok(Err(withdrawn("is more than a day old")));
        }
        let id = CommentId(*id);
        // Behind more than a hundred others it is read by itself.
        let found = match recent.iter().find(|comment| comment.id == id) {
            Some(comment) => Some(comment.clone()),
            None => github.read(id).await?,
        };
        Ok(match found {
            None => Err(withdrawn("was deleted")),
            Some(comment) if command::first_line(&comment.body) != line => {
                Err(withdrawn("was changed"))
            }
            Some(_) if self.commands(&recent, &author.login, (since, id)) >= MOST => Err(Denied {
                reason: ReasonCode::TooManyCommands,
                cause: format!(
                    "{} gave more than {MOST} commands within {stretch:#}",
                    author.login
                ),
                remedy: "wait as long, then give the one that is meant".into(),
            }),
            Some(_) => Ok(()),
        })
    }

    /// Lets through what was approved in time; nobody waits for anything where no plan came before.
    ///
    /// Where GitHub does not tell how old a run by hand is, somebody has approved it all the same.
    pub(super) async fn in_time(&self) -> Result<(), Denied> {
        let brings = matches!(
            self.trigger,
            Trigger::Deploy(_) | Trigger::Take { .. } | Trigger::Approve(_) | Trigger::Wake(_)
        );
        // Who runs it again has it planned or approved again.
        let planned = self.ports.settings.sha.is_some() && self.caller.attempt < 2;
        if !(brings && planned) {
            return Ok(());
        }
        let (asked, remedy) = match &self.request.asked {
            Asked::Comment { written, .. } => (Some(*written), "give the command again"),
            Asked::Event { at, .. } | Asked::Build { at, .. } => {
                (*at, "push again or comment `/deploy`")
            }
            Asked::Dispatch { .. } => (self.begun().await, "start it again"),
        };
        let late = |at: Timestamp| self.ports.now().duration_since(at) > APPROVAL;
        if !asked.is_some_and(late) {
            return Ok(());
        }
        Err(Denied {
            reason: ReasonCode::ApprovalLapsed,
            cause: "it was asked for more than seven days ago, so its approval came too late"
                .into(),
            remedy: remedy.into(),
        })
    }

    /// When this run was begun, if GitHub tells it.
    async fn begun(&self) -> Option<Timestamp> {
        let (run, github) = (self.ports.run.workflow_run()?, self.ports.github.as_ref()?);
        courtesy("nobody knows how old this run is", github.run_begun(run))
            .await
            .flatten()
    }

    /// The commands that somebody gave within the stretch before a comment.
    fn commands(
        &self,
        recent: &[Comment],
        login: &str,
        (since, id): (Timestamp, CommentId),
    ) -> usize {
        recent
            .iter()
            .filter(|comment| {
                comment.id < id
                    && comment.author.eq_ignore_ascii_case(login)
                    && comment.written.is_some_and(|written| written >= since)
                    && trigger::read(&comment.body, &self.ports.settings).is_some()
            })
            .count()
    }
}

fn withdrawn(how: &str) -> Denied {
    Denied {
        reason: ReasonCode::CommentWithdrawn,
        cause: format!("the comment {how} before this run came to it, so it is not followed"),
        remedy: "give the command again in a new comment".into(),
    }
}
