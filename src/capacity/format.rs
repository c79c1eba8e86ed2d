//! Which form of a ledger this version knows, and what it makes of words in one that it does not.
//! It decides nothing about holders and reads no cluster; a ledger of a later form is refused by whoever reads it.
//! Branches of pull requests run older versions than the default branch, and must neither misread its ledger nor make it anew.

use super::Because;
use crate::names::State;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::IgnoredAny};
use serde_json::{Map, Value};

/// The form that this version writes. It rises when a word or type comes that an older version would misread or drop: new
/// fields of the ledger, a holder, who waits, a record or an approval need no other, because they are kept; those below do.
const FORMAT: u32 = 1;

/// The first version that knows that form.
const SINCE: &str = "0.1.0";

/// The number of the form: read past, because [`Newer::of`] has looked, and written as this version's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Format;

impl Serialize for Format {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(FORMAT)
    }
}

impl<'de> Deserialize<'de> for Format {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}

/// The first version that knows the form, for older ones to name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Since;

impl Serialize for Since {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(SINCE)
    }
}

impl<'de> Deserialize<'de> for Since {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}

/// A ledger of a form that this version does not know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Newer {
    /// Number of the form.
    pub format: u64,
    /// The first version that knows it; empty when the ledger does not say.
    pub since: String,
}

impl Newer {
    /// What the text of a ledger says of its form, if that is a newer one.
    pub fn of(text: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(text).ok()?;
        let format = value["format"]
            .as_u64()
            .filter(|format| *format > FORMAT.into())?;
        // It stands in an error: no more than a version is taken over.
        let plain = |text: &&str| {
            text.len() < 20
                && text
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'))
        };
        let since = value["since"].as_str().filter(plain);
        Some(Self {
            format,
            since: since.unwrap_or_default().into(),
        })
    }
}

/// What a newer version noted of a holder, or of who waits.
pub(super) type Rest = Map<String, Value>;

/// Fields that only a holder has, or only who waits.
const OF_ONE: [&str; 13] = [
    "called",
    "hosts",
    "inVain",
    "lacks",
    "members",
    "namespace",
    "run",
    "slot",
    "told",
    "uid",
    "unseen",
    "url",
    "waited",
];

/// What goes along from the line to the slot, or back: a field that only the other one has means something else there.
pub(super) fn goes_along(mut rest: Rest) -> Rest {
    rest.retain(|name, _| !OF_ONE.contains(&name.as_str()));
    rest
}

/// What became of a commit; a word of another version says that another run has the word, and nothing follows from it.
pub(super) fn outcome<'de, D: Deserializer<'de>>(deserializer: D) -> Result<State, D::Error> {
    let value = Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).unwrap_or(State::Superseded))
}

/// Why a removal was begun; one for an unknown reason is finished only when the pull request is closed.
pub(super) fn because<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Because, D::Error> {
    let value = Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).unwrap_or(Because::Closed))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;
    use crate::capacity::{
        ActiveRun, Asleep, Attempt, Deployed, Holder, KeptSet, Lack, Ledger, Members, Noted,
        Removing, RunId, Said, UnderWay, Waiting,
    };
    use serde_json::json;
    use std::collections::BTreeSet;

    #[test]
    fn a_ledger_says_its_form_and_the_version_that_knows_it() {
        let text = json!({"capacity": 3, "format": 0, "since": "0.0.1"}).to_string();
        let ledger: Ledger = serde_json::from_str(&text).unwrap();
        let again = serde_json::to_value(&ledger).unwrap();
        assert_eq!(
            (&again["format"], &again["since"]),
            (&json!(FORMAT), &json!(SINCE))
        );
        assert_eq!(Newer::of(&again.to_string()), None);
        assert_eq!(Newer::of(r#"{"capacity": 3}"#), None);
        let newer = Newer::of(r#"{"capacity": "many", "format": 2, "since": "0.4.0"}"#);
        assert_eq!(newer.unwrap().since, "0.4.0");
    }

    #[test]
    fn a_word_of_another_version_ruins_no_ledger() {
        let sha = "a".repeat(40);
        let attempted = json!({"sha": sha, "outcome": "hibernating", "at": "2026-11-21T00:00:00Z"});
        for because in [json!("bored"), json!({"swapped": {"to": 4}})] {
            let record = json!({"attempted": attempted, "removing": {"because": because}});
            let text = json!({"capacity": 3, "previews": {"1": record}}).to_string();
            let ledger: Ledger = serde_json::from_str(&text).unwrap();
            let record = &ledger.previews["1"];
            assert_eq!(
                record.attempted.as_ref().unwrap().outcome,
                State::Superseded
            );
            assert_eq!(record.removing.as_ref().unwrap().because, Because::Closed);
        }
    }

    /// Whoever adds a field here raises [`FORMAT`], or puts it into the record: an older version drops what it does not know
    /// below that.
    #[test]
    fn what_stands_below_a_record_is_of_this_form() {
        let sha: crate::names::CommitSha = "a".repeat(40).parse().unwrap();
        let run = || RunId("1/1".into());
        let at = jiff::Timestamp::UNIX_EPOCH;
        let namespace: crate::names::Namespace = "pr-1".parse().unwrap();
        let text = String::new;
        let below = [
            json!(Members {
                list: text(),
                kinds: BTreeSet::new()
            }),
            json!(Noted {
                number: 1,
                digest: text()
            }),
            json!(Lack {
                of: text(),
                at,
                since: Some(at),
                beside: Vec::new()
            }),
            json!(Deployed {
                id: 1,
                sha: sha.clone()
            }),
            json!(UnderWay {
                sha: sha.clone(),
                run: run(),
                deployment: Some(1)
            }),
            json!(Said {
                id: 1,
                author: text()
            }),
            json!(Asleep {
                since: at,
                by: text(),
                namespace,
                uid: text(),
                slot: 1,
                owner: text(),
                unfinished: true,
                keeps_slot: Some(true),
            }),
            json!(KeptSet {
                sha: sha.clone(),
                source: text(),
                digest: text()
            }),
            json!(Removing {
                because: Because::Closed,
                by: text()
            }),
            json!(ActiveRun {
                run: run(),
                heartbeat: at
            }),
            json!(Attempt {
                sha,
                outcome: State::Ready,
                at
            }),
        ];
        let keys = |one: &Value| {
            one.as_object()
                .unwrap()
                .keys()
                .cloned()
                .collect::<Vec<_>>()
                .join(" ")
        };
        let form: Vec<String> = below.iter().map(keys).collect();
        assert_eq!(
            (FORMAT, form.join(", ").as_str()),
            (
                1,
                "list kinds, number digest, of at since beside, id sha, sha run deployment, id author, \
                 since by namespace uid slot owner unfinished keepsSlot, sha source digest, because by, run heartbeat, sha outcome at"
            )
        );
    }

    #[test]
    fn what_goes_along_is_no_field_of_a_holder_or_of_who_waits() {
        let at = jiff::Timestamp::UNIX_EPOCH;
        let holder = Holder {
            key: "1".into(),
            pr: crate::names::PrNumber::new(1).unwrap(),
            namespace: "pr-1".parse().unwrap(),
            uid: None,
            slot: 1,
            run: RunId("1/1".into()),
            since: at,
            owner: String::new(),
            url: String::new(),
            members: Some(Members {
                list: String::new(),
                kinds: BTreeSet::new(),
            }),
            hosts: BTreeSet::from(["a".into()]),
            waited: Some(at),
            rest: Map::new(),
        };
        let waiting = Waiting {
            key: "1".into(),
            pr: holder.pr,
            since: at,
            owner: String::new(),
            told: 1,
            called: Some(at),
            in_vain: 1,
            unseen: Some(at),
            lacks: Some(Lack {
                of: String::new(),
                at,
                since: None,
                beside: Vec::new(),
            }),
            rest: Map::new(),
        };
        let names = |one: Value| one.as_object().unwrap().keys().cloned().collect();
        let (one, other): (BTreeSet<String>, BTreeSet<String>) =
            (names(json!(holder)), names(json!(waiting)));
        let of_one: Vec<&String> = one.symmetric_difference(&other).collect();
        assert_eq!(of_one, OF_ONE);
    }

    #[test]
    fn a_version_never_comes_after_the_one_that_names_it() {
        let number = |text: &str| -> Vec<u64> {
            text.split('.')
                .map(|part| part.parse().unwrap_or_default())
                .collect()
        };
        assert!(number(SINCE) <= number(env!("CARGO_PKG_VERSION")));
    }
}
