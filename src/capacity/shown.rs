//! What GitHub shows of a preview besides its comment, as far as the ledger has to know it.
//! It changes a record as a value; telling GitHub is the caller's.
//! What was promised stays known until GitHub has taken it back, whoever replaces it and however that run ends.

use super::RunId;
use crate::names::CommitSha;

/// How many promises that nobody keeps any more are remembered: the oldest go first.
const ABANDONED: usize = 8;

/// What is shown of a preview.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Shown {
    /// The deployment on GitHub that shows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment: Option<Deployed>,
    /// What is being deployed or waits for that, as GitHub shows it too: the sweep ends it once nobody goes on with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub under_way: Option<UnderWay>,
    /// What was under way before that, until GitHub has taken that nobody goes on with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub abandoned: Vec<UnderWay>,
}

/// A deployment on GitHub of ours.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Deployed {
    /// Its number.
    pub id: u64,
    /// Its commit.
    pub sha: CommitSha,
}

/// A commit whose status, and deployment if it has one of its own, say that it is being deployed or waits for that.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct UnderWay {
    /// Commit.
    pub sha: CommitSha,
    /// The run that began to show it.
    pub run: RunId,
    /// Number of its deployment, once it waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment: Option<u64>,
}

impl Shown {
    /// True when a commit is shown as under way, or was and GitHub has not taken that back.
    pub fn promises(&self) -> bool {
        self.under_way.is_some() || !self.abandoned.is_empty()
    }

    /// Notes what is under way from now on; whoever goes on with a commit takes its promise over.
    pub fn begin(&mut self, mut now: UnderWay) {
        self.abandoned.extend(self.under_way.take());
        let same = |one: &mut UnderWay| one.sha == now.sha;
        for one in self.abandoned.extract_if(.., same) {
            now.deployment = now.deployment.or(one.deployment);
        }
        let over = self.abandoned.len().saturating_sub(ABANDONED);
        self.abandoned.drain(..over);
        self.under_way = Some(now);
    }

    /// Forgets promises that GitHub has taken back.
    pub fn end(&mut self, ended: &[UnderWay]) {
        let is = |one: &UnderWay| {
            let same = |other: &UnderWay| one.sha == other.sha && one.run == other.run;
            ended.iter().any(same)
        };
        self.under_way.take_if(|one| is(one));
        self.abandoned.retain(|one| !is(one));
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    fn under_way(sha: &str, run: &str, deployment: Option<u64>) -> UnderWay {
        UnderWay {
            sha: sha.repeat(40).parse().unwrap(),
            run: RunId(run.into()),
            deployment,
        }
    }

    #[test]
    fn what_is_replaced_stays_known_until_it_was_taken_back() {
        let mut shown = Shown::default();
        shown.begin(under_way("a", "1", Some(7)));
        shown.begin(under_way("b", "2", None));
        // An answer that was lost changes nothing.
        shown.begin(under_way("b", "2", None));
        assert_eq!(shown.abandoned, [under_way("a", "1", Some(7))]);
        // Another run's word of the same commit ends nothing of this one's.
        shown.end(&[under_way("a", "0", None), under_way("b", "1", None)]);
        assert_eq!(shown.under_way, Some(under_way("b", "2", None)));
        shown.end(&[under_way("a", "1", None), under_way("b", "2", None)]);
        assert_eq!(shown, Shown::default());
    }

    #[test]
    fn who_goes_on_with_a_commit_takes_its_promise_over() {
        let mut shown = Shown::default();
        shown.begin(under_way("a", "1", Some(7)));
        shown.begin(under_way("b", "2", None));
        shown.begin(under_way("a", "3", None));
        assert_eq!(shown.under_way, Some(under_way("a", "3", Some(7))));
        assert_eq!(shown.abandoned, [under_way("b", "2", None)]);
    }

    #[test]
    fn no_more_than_a_few_are_remembered() {
        let mut shown = Shown::default();
        for n in 0..20 {
            shown.begin(under_way(&format!("{:x}", n % 16), &n.to_string(), None));
        }
        assert_eq!(shown.abandoned.len(), ABANDONED);
        assert_eq!(shown.abandoned[ABANDONED - 1].run.0, "18");
    }
}
