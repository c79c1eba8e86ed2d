//! The commands that only look: each has its answer, and nothing that lives is touched.
//! They pass no filter and need no slot.
//! What is not understood is answered here too.

use super::{Story, quiet};
use crate::{
    names::{MarkerKind, ReasonCode},
    pipeline::{Ending, Failure, check::check, diff::diff, life, logs, teller::Teller},
    report,
    trigger::{command::Which, permission},
};

impl Story<'_> {
    pub(super) async fn logs(&self, which: &Which) -> Result<Ending, Failure> {
        let pull = match self.pull().await? {
            Ok(pull) => pull,
            Err(denied) => return Ok(quiet(denied)),
        };
        let (ports, preview) = (self.ports, self.preview());
        let mut teller = self.teller(&pull.head_sha, pull.open);
        match Box::pin(logs::logs(ports, &preview, which, &mut teller)).await? {
            Some(ending) => Ok(ending),
            None => life::nobody(ports, &preview, &pull, &mut teller, "to show logs of").await,
        }
    }

    pub(super) async fn diff(&self) -> Result<Ending, Failure> {
        let pull = match self.deployable().await? {
            Ok(pull) => pull,
            Err(ending) => return Ok(ending),
        };
        let (request, sources) = self.request_for(pull.head_sha.clone(), &pull);
        let differences = Box::pin(diff(self.ports, &request, &sources)).await?;
        let mut teller = self.teller(&pull.head_sha, pull.open);
        teller
            .answer(MarkerKind::Diff, |marker| {
                report::diff_answer(&differences, &pull.head_sha, marker)
            })
            .await?;
        Ok(Ending::quiet(
            None,
            ReasonCode::DiffShown,
            "what a deploy would change was written as a comment",
        ))
    }

    pub(super) async fn check(&self) -> Result<Ending, Failure> {
        let pull = match self.living().await? {
            Ok(pull) => pull,
            Err(ending) => return Ok(ending),
        };
        if let Err(denied) = permission::may_be_approved(&pull)
            && pull.from_fork()
        {
            return self.denied(&pull, denied).await;
        }
        let (request, sources) = self.request_for(pull.head_sha.clone(), &pull);
        let findings = Box::pin(check(self.ports, &request, &sources)).await;
        let prefix = self.ports.settings.command_prefix.as_deref();
        let mut teller = self.teller(&pull.head_sha, pull.open);
        teller
            .answer(MarkerKind::Check, |marker| {
                report::check(&findings, &pull.head_sha, prefix, marker)
            })
            .await?;
        let faults = findings.iter().filter(|one| one.verdict.is_fault()).count();
        Ok(Ending::quiet(
            None,
            ReasonCode::CheckShown,
            format!("what was found was written as a comment; in the way of a deploy: {faults}"),
        ))
    }

    pub(super) async fn status(&self) -> Result<Ending, Failure> {
        let pull = match self.pull().await? {
            Ok(pull) => pull,
            Err(denied) => return Ok(quiet(denied)),
        };
        let mut teller = self.teller(&pull.head_sha, pull.open);
        teller.answers();
        let mut ending = self.show(&pull, &mut teller).await?;
        if ending.reason == ReasonCode::Busy {
            let why = ending.why.clone();
            return Ok(ending.answering(why));
        }
        if ending.failure.is_none() {
            ending.reason = ReasonCode::StatusShown;
        }
        Ok(ending)
    }

    /// Answers a command that could not be understood: the status stays what it is, and says so above.
    pub(super) async fn mistake(&self, answer: &str) -> Result<Ending, Failure> {
        let pull = match self.pull().await? {
            Ok(pull) => pull,
            Err(denied) => return Ok(quiet(denied)),
        };
        let mut teller = self.teller(&pull.head_sha, pull.open);
        teller.answer_with(answer);
        let shown = self.show(&pull, &mut teller).await?;
        Ok(shown.because(ReasonCode::NotACommand).answering(answer))
    }

    pub(super) async fn help(&self) -> Result<Ending, Failure> {
        if let Err(denied) = self.pull().await? {
            return Ok(quiet(denied));
        }
        Teller::open(
            self.ports,
            &self.preview(),
            &self.request.repository.name,
            self.audience,
        )
        .help()
        .await
    }
}
