//! Puts the story of a preview into the few words that stand beside the comment.
//! It writes nothing itself and knows no request; `show` does.
//! A look that somebody asked for shows nothing there: only what a run has done to a preview changes what its commit has come to.

use super::Teller;
use crate::{
    capacity::{Deployed, Record, UnderWay},
    names::{CommitSha, ReasonCode, State},
    pipeline::{
        Blame, Failure,
        inspect::Status,
        show::{Verdict, Word, line},
    },
    report::{Aftermath, Link},
    trigger::prefix,
};

impl Teller<'_> {
    /// Takes up what the ledger knows of what is shown beside the comment.
    pub(in crate::pipeline) fn recalls(&mut self, record: &Record) {
        self.board.recalls(record);
    }

    /// Notes what the next run must know of it.
    pub(in crate::pipeline) fn note(&self, record: &mut Record) {
        self.board.note(record);
    }

    /// The deployment that shows the preview now, and what is shown as under way.
    pub(in crate::pipeline) fn shown(&self) -> (Option<Deployed>, Option<UnderWay>) {
        self.board.shown()
    }

    /// Shows beside the comment that a deploy has begun, while it goes on.
    pub(in crate::pipeline) fn posts(&mut self) {
        let word = self.word(Verdict::Waits, "being deployed", None);
        self.board.begin(self.ports, &self.preview, word);
    }

    /// Says that this run makes another commit live without deploying it.
    pub(in crate::pipeline) fn brings_back(&mut self) {
        self.board.creates();
    }

    /// Says that what this run finds is also to be shown beside the comment.
    pub(in crate::pipeline) fn repairing(mut self) -> Self {
        self.repairs = true;
        self
    }

    /// Shows that this run goes on with its commit no more, while another has the word in the comment.
    pub(in crate::pipeline) async fn gives_way(&mut self) {
        if self.board.has_begun() {
            let word = self.word(Verdict::GivenUp, "a newer run has taken over", None);
            self.board.end(self.ports, &self.preview, word).await;
        }
    }

    /// Ends what is still shown as under way, where nothing else is to be said; true when GitHub could not be told.
    async fn closes(&mut self, why: &str) -> bool {
        if self.board.is_idle() {
            return false;
        }
        let word = self.word(Verdict::GivenUp, why, None);
        self.board.close(self.ports, &self.preview, word).await;
        self.board.is_stale()
    }

    /// Shows beside the comment how the run ended; true when GitHub could not be told.
    pub(super) async fn post(
        &mut self,
        state: State,
        failure: Option<&Failure>,
        why: &str,
    ) -> bool {
        let blameless = failure.is_some_and(|failure| failure.blame != Blame::Yours);
        if self.rests {
            return false;
        }
        let Some(verdict) = Verdict::of(state, self.view.reason, blameless) else {
            return self.closes(why).await;
        };
        let lost = self.view.reason == Some(ReasonCode::RunLost);
        // Who looks on behalf of another run ends what that has begun, and begins nothing.
        if (verdict.waits() && self.repairs && !self.board.has_begun())
            || (lost && self.board.is_idle())
        {
            return false;
        }
        let text = match state {
            State::Ready => "ready".into(),
            State::Removed | State::Expired => format!("{}: {why}", state.as_str()),
            _ => why.to_owned(),
        };
        let word = self.word(verdict, &text, Some(state));
        self.board.end(self.ports, &self.preview, word).await;
        self.board.is_stale()
    }

    /// Shows beside the comment what a look has found, where the comment says so already.
    pub(super) async fn reposts(
        &mut self,
        status: &Status,
        state: State,
        head: &CommitSha,
        why: &str,
    ) {
        let last = status.record.attempted.as_ref();
        let tried = last
            .filter(|last| last.outcome == state)
            .map(|one| &one.sha);
        let live = status.sha();
        self.view.sha = Some(tried.or(live.as_ref()).unwrap_or(head).clone());
        self.unheard = self.post(state, None, why).await;
    }

    fn word(&self, verdict: Verdict, text: &str, state: Option<State>) -> Word {
        let link = |address: &String| Link::new(address).map(|link| link.as_str().to_owned());
        let log = self.view.run_url.as_ref().and_then(link);
        let main = self.view.urls.first().map(|url| &url.url);
        Word {
            verdict,
            sha: self.view.sha.clone(),
            text: line(&self.ports.redaction.redact(&prefix::spell(
                self.ports.settings.command_prefix.as_deref(),
                text,
            ))),
            url: main.filter(|_| verdict == Verdict::Ready).and_then(link),
            more: self
                .comment_url
                .as_ref()
                .and_then(link)
                .or_else(|| log.clone()),
            log,
            removed: self.view.aftermath == Some(Aftermath::Removed),
            returns: matches!(state, Some(State::Sleeping | State::Stuck)),
        }
    }
}
