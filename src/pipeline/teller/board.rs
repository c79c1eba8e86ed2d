//! Puts the story of a preview into the few words that stand beside the comment.
//! It writes nothing itself and knows no request; `show` does.
//! A look that somebody asked for shows nothing there: only what a run has done to a preview changes what its commit has come to.

use super::Teller;
use crate::{
    capacity::{Record, Shown, UnderWay},
    names::{CommitSha, State},
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
        record.shown.clone_from(self.board.shown());
    }

    /// What the next run must know of it.
    pub(in crate::pipeline) fn shown(&self) -> &Shown {
        self.board.shown()
    }

    /// Promises that GitHub has taken back; `own` where this run has made none, nor taken over another's.
    pub(in crate::pipeline) fn ended(&self, own: UnderWay) -> Vec<UnderWay> {
        let shown = self.board.shown();
        let mut promised = shown.under_way.iter().chain(&shown.abandoned);
        let taken_over = promised.any(|one| one.sha == own.sha);
        let own = Some(own).filter(|_| !self.board.has_begun() && !taken_over);
        self.board.ended().iter().cloned().chain(own).collect()
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
    async fn closes(&mut self, verdict: Verdict, why: &str) -> bool {
        if !self.board.shown().promises() {
            return false;
        }
        let word = self.word(verdict, why, None);
        self.board.close(self.ports, &self.preview, word).await;
        self.board.is_stale()
    }

    /// Who looks on behalf of another run begins nothing, and ends what nobody goes on with; true when there will be more to say.
    async fn looks(&mut self, verdict: Verdict, state: State) -> bool {
        let why = "nobody goes on with it";
        // Nobody is at work: whatever its run has begun goes on without it, and how that ends is seen by the next look.
        if state == State::Deploying && !self.board.redeploys() {
            self.closes(Verdict::GivenUp, why).await;
            return true;
        }
        self.closes(verdict, why).await
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
            return self.closes(Verdict::GivenUp, why).await;
        };
        if verdict == Verdict::Lost && self.board.shown().under_way.is_none() {
            return self.closes(verdict, why).await;
        }
        if verdict.waits() && self.repairs && !self.board.has_begun() {
            return self.looks(verdict, state).await;
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

    /// Shows as ready again what is live and had broken, while the comment is about a newer commit that failed.
    pub(in crate::pipeline) async fn mended(&mut self, live: &CommitSha) {
        self.view.sha = Some(live.clone());
        if let Some(verdict) = Verdict::of(State::Ready, self.view.reason, false) {
            let word = self.word(verdict, "ready", Some(State::Ready));
            self.board.end(self.ports, &self.preview, word).await;
        }
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
            url: main.and_then(link),
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
