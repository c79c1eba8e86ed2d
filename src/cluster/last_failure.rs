//! Keeps why the last deploy failed in a ConfigMap of the preview, and reads it back for those who look later.
//! It must not decide what failed, and masks nothing itself: it is given what the comment may show.
//! The next run edits the comment, and a command line or dashboard reads no comments.

use super::{
    Cluster,
    answer::Class,
    call::{Call, Only},
    error::ClusterError,
    existing::Existing,
    kinds,
    outcome::{Evidence, Failure},
};
use crate::names::{CommitSha, Namespace, ReasonCode};
use serde_json::{Value, json};

pub use crate::manifests::LAST_FAILURE;

/// Key of the ConfigMap.
const KEY: &str = "failure.json";
/// The most causes and pieces of evidence that are kept, and of each text.
const MOST_CAUSES: usize = 10;
const MOST_EVIDENCE: usize = 6;
const MOST_BYTES: usize = 4096;

/// Why a deploy failed.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct LastFailure {
    /// Commit that failed.
    pub sha: CommitSha,
    /// When.
    pub at: jiff::Timestamp,
    /// One for each root cause.
    pub causes: Vec<Cause>,
}

/// One root cause.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cause {
    /// Reason code.
    pub reason_code: String,
    /// Object that failed; none when it is the preview as a whole.
    pub object: Option<String>,
    /// File and line that it comes from, where people have the file.
    pub origin: Option<String>,
    /// Cause in one sentence.
    pub cause: String,
    /// Remedy in one sentence.
    pub remedy: String,
    /// Untrusted text.
    pub evidence: Vec<Piece>,
}

/// A piece of evidence.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Piece {
    /// What it is.
    pub title: String,
    /// Untrusted text: its end, where it was too long.
    pub text: String,
}

impl Cause {
    /// The cause as it was met, but for the object and the place, which its sentence names.
    pub fn failure(&self) -> Failure {
        let same = |code: &&ReasonCode| code.as_str() == self.reason_code;
        let known = ReasonCode::ALL.iter().find(same);
        Failure {
            reason: known.copied().unwrap_or(ReasonCode::RolloutFailed),
            object: None,
            origin: None,
            cause: self.cause.clone(),
            remedy: self.remedy.clone(),
            evidence: self
                .evidence
                .iter()
                .map(|piece| Evidence {
                    title: piece.title.clone(),
                    text: piece.text.clone(),
                })
                .collect(),
        }
    }
}

impl LastFailure {
    /// Cuts to size what is to be kept of these causes, each text masked.
    pub fn of(
        sha: CommitSha,
        at: jiff::Timestamp,
        causes: &[Failure],
        mask: impl Fn(&str) -> String,
    ) -> Self {
        let text = |text: &str| end(&mask(text)).to_owned();
        let causes = causes.iter().take(MOST_CAUSES).map(|cause| Cause {
            reason_code: cause.reason.to_string(),
            object: cause.object.as_ref().map(ToString::to_string),
            origin: cause
                .origin
                .as_ref()
                .and_then(|origin| origin.shown())
                .map(|shown| text(&shown)),
            cause: text(&cause.cause),
            remedy: text(&cause.remedy),
            evidence: cause
                .evidence
                .iter()
                .take(MOST_EVIDENCE)
                .map(|piece| Piece {
                    title: text(&piece.title),
                    text: text(&piece.text),
                })
                .collect(),
        });
        Self {
            sha,
            at,
            causes: causes.collect(),
        }
    }
}

/// The end of a text, where the reason stands more often than not.
fn end(text: &str) -> &str {
    let mut from = text.len().saturating_sub(MOST_BYTES);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    &text[from..]
}

impl Cluster {
    /// Writes it in the place of what was there.
    pub async fn keep_failure(
        &self,
        namespace: &Namespace,
        failure: &LastFailure,
    ) -> Result<(), ClusterError> {
        let object = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": LAST_FAILURE, "namespace": namespace},
            "data": {KEY: json!(failure).to_string()},
        });
        let call = Call::apply(&kinds::CONFIG_MAP, Some(namespace), LAST_FAILURE, &object)?;
        self.send(call).await.map(|_| ())
    }

    /// Deletes what was seen there; nothing is asked where nothing was.
    pub async fn forget_failure(
        &self,
        namespace: &Namespace,
        seen: &Existing,
    ) -> Result<(), ClusterError> {
        let kind = &kinds::CONFIG_MAP;
        let seen = seen.metadata(kind, LAST_FAILURE);
        let Some(uid) = seen.and_then(|seen| seen["uid"].as_str()) else {
            return Ok(());
        };
        let only = Only {
            uid: uid.into(),
            version: None,
        };
        let call = Call::delete(kind, Some(namespace), LAST_FAILURE, only, None)?;
        match self.send(call).await {
            Err(error) if error.class() != Some(&Class::NotFound) => Err(error),
            _ => Ok(()),
        }
    }

    /// Reads it; none when there is none, or none that can be read.
    pub async fn last_failure(
        &self,
        namespace: &Namespace,
    ) -> Result<Option<LastFailure>, ClusterError> {
        let call = Call::get(&kinds::CONFIG_MAP, Some(namespace), LAST_FAILURE)?;
        match self.send(call).await {
            Ok(answer) => Ok(parse(&answer.body)),
            Err(error) => match error.class() {
                Some(Class::NotFound | Class::NamespaceMissing) => Ok(None),
                _ => Err(error),
            },
        }
    }
}

fn parse(object: &Value) -> Option<LastFailure> {
    serde_json::from_str(object["data"][KEY].as_str()?).ok()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::{cluster::outcome::Evidence, manifests::Origin, names::ReasonCode};

    fn failure(text: &str) -> Failure {
        Failure {
            reason: ReasonCode::CrashLoop,
            object: None,
            origin: Some(Origin {
                file: "web.yaml".into(),
                line: 3,
            }),
            cause: "it exits with hunter2".into(),
            remedy: "mend it".into(),
            evidence: vec![Evidence {
                title: "last log lines".into(),
                text: text.into(),
            }],
        }
    }

    #[test]
    fn what_is_kept_is_masked_and_cut_and_reads_back_as_it_was() {
        let long = format!("hunter2 {} the reason", "ü".repeat(MOST_BYTES));
        let kept = LastFailure::of(
            "a".repeat(40).parse().unwrap(),
            jiff::Timestamp::UNIX_EPOCH,
            &vec![failure(&long); 30],
            |text| text.replace("hunter2", "***"),
        );
        assert_eq!(kept.causes.len(), MOST_CAUSES);
        assert_eq!(kept.causes[0].cause, "it exits with ***");
        assert_eq!(kept.causes[0].origin.as_deref(), Some("web.yaml:3"));
        let text = &kept.causes[0].evidence[0].text;
        assert!(text.len() <= MOST_BYTES && text.ends_with("the reason"));
        let stored = json!({"data": {KEY: json!(kept).to_string()}});
        assert!(!stored.to_string().contains("hunter2"));
        assert_eq!(parse(&stored), Some(kept));
        assert_eq!(parse(&json!({"data": {KEY: "{"}})), None);
    }
}
