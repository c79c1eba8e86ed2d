//! The annotations by which an author says of one object what to wait for, and how long.
//! It knows no kind and no cluster; the same text is checked before anything is applied and read again from live objects.
//! Paths are those of `kubectl wait --for=jsonpath=…`, without what makes them a language: they name one place, they compute nothing.

use serde_json::Value;
use std::{fmt, str::FromStr, time::Duration};

/// Annotation of an object: a place in it and the value that it has to have before the object counts as ready.
pub const WAIT_FOR: &str = "preview-action/wait-for";
/// Annotation of an object: how long it may take to become ready.
pub const TIMEOUT: &str = "preview-action/timeout";

/// What is wrong with one of these annotations.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadMark(String);

impl BadMark {
    fn new(problem: impl Into<String>) -> Self {
        Self(problem.into())
    }
}

/// A place in an object and the value that it has to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitFor {
    path: Vec<Step>,
    text: String,
    value: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
    Every,
    /// Items of a list whose field has a value.
    Where(Vec<String>, String),
}

impl WaitFor {
    /// How the place differs from what is wanted, for people; none when it does not.
    pub fn unfulfilled(&self, object: &Value) -> Option<String> {
        let found = self.find(object);
        if found.iter().any(|value| plain(value) == self.value) {
            return None;
        }
        let is = match found.first() {
            Some(value) if value.is_object() || value.is_array() => "no single value".into(),
            Some(value) => plain(value),
            None => "not there yet".into(),
        };
        Some(format!(
            "waits for {} to be {}, it is {is}",
            self.text, self.value
        ))
    }

    fn find<'v>(&self, object: &'v Value) -> Vec<&'v Value> {
        let mut found = vec![object];
        for step in &self.path {
            found = found
                .into_iter()
                .flat_map(|value| match step {
                    Step::Key(key) => value.get(key).into_iter().collect(),
                    Step::Index(index) => value.get(index).into_iter().collect(),
                    Step::Every => children(value),
                    Step::Where(field, wanted) => {
                        let mut items = children(value);
                        items.retain(|item| {
                            let at = field.iter().try_fold(*item, |at, key| at.get(key));
                            at.is_some_and(|at| plain(at) == *wanted)
                        });
                        items
                    }
                })
                .collect();
        }
        found
    }
}

impl fmt::Display for WaitFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.text, self.value)
    }
}

fn children(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(items) => items.iter().collect(),
        Value::Object(fields) => fields.values().collect(),
        _ => Vec::new(),
    }
}

/// A value as its author would write it.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

impl FromStr for WaitFor {
    type Err = BadMark;

    fn from_str(text: &str) -> Result<Self, BadMark> {
        let text = text.trim();
        let text = text.strip_prefix("jsonpath=").unwrap_or(text);
        let text = text.strip_prefix('\'').unwrap_or(text);
        let (inner, rest) = match text.strip_prefix('{') {
            Some(braced) => braced
                .rsplit_once('}')
                .ok_or_else(|| BadMark::new("the brace `{` is not closed"))?,
            None => split(text)?,
        };
        // A command line's quotes are copied easily.
        let value = rest
            .trim_start_matches('\'')
            .strip_prefix('=')
            .ok_or_else(|| BadMark::new("`=` and the value are missing"))?;
        let value = unquoted(value.trim());
        if value.is_empty() {
            return Err(BadMark::new("there is no value after `=`"));
        }
        let path = inner.trim().strip_prefix('$').unwrap_or(inner.trim());
        Ok(Self {
            path: steps(path)?,
            text: path.to_owned(),
            value: value.to_owned(),
        })
    }
}

/// Splits a path without braces from `=value`: at the first `=` outside brackets.
fn split(text: &str) -> Result<(&str, &str), BadMark> {
    let mut depth = 0_i32;
    for (at, c) in text.char_indices() {
        match c {
            '[' => depth += 1,
            ']' => depth -= 1,
            '=' if depth == 0 => return Ok(text.split_at(at)),
            _ => {}
        }
    }
    Err(BadMark::new("`=` and the value are missing"))
}

fn unquoted(text: &str) -> &str {
    for quote in ['"', '\''] {
        if let Some(inner) = text
            .strip_prefix(quote)
            .and_then(|text| text.strip_suffix(quote))
        {
            return inner;
        }
    }
    text
}

fn steps(mut rest: &str) -> Result<Vec<Step>, BadMark> {
    let mut steps = Vec::new();
    while !rest.is_empty() {
        let step;
        if let Some(bracketed) = rest.strip_prefix('[') {
            let end = closing(bracketed)?;
            step = bracket(&bracketed[..end])?;
            rest = &bracketed[end + 1..];
        } else {
            let Some(dotted) = rest.strip_prefix('.') else {
                return Err(BadMark::new(format!(
                    "the path begins with neither `.` nor `[` at `{}`",
                    shown(rest)
                )));
            };
            // A point inside a key is written `\.`, as kubectl has it.
            let mut key = String::new();
            let mut chars = dotted.char_indices().peekable();
            let mut end = dotted.len();
            while let Some((at, c)) = chars.next() {
                match c {
                    '\\' => key.extend(chars.next().map(|(_, c)| c)),
                    '.' | '[' => {
                        end = at;
                        break;
                    }
                    c if c.is_alphanumeric() || "-_/*".contains(c) => key.push(c),
                    c => return Err(BadMark::new(format!("`{c}` has no place in a path"))),
                }
            }
            rest = &dotted[end..];
            step = match key.as_str() {
                "" => return Err(BadMark::new("a name is missing after `.`")),
                "*" => Step::Every,
                _ => Step::Key(key),
            };
        }
        steps.push(step);
    }
    if steps.is_empty() {
        return Err(BadMark::new("the path is empty"));
    }
    Ok(steps)
}

/// Where a bracket ends, brackets in quotes left out.
fn closing(text: &str) -> Result<usize, BadMark> {
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if c == open => quote = None,
            (None, ']') => return Ok(at),
            _ => {}
        }
    }
    Err(BadMark::new("the bracket `[` is not closed"))
}

fn bracket(inner: &str) -> Result<Step, BadMark> {
    let inner = inner.trim();
    if inner == "*" {
        return Ok(Step::Every);
    }
    if let Ok(index) = inner.parse() {
        return Ok(Step::Index(index));
    }
    let name = unquoted(inner);
    if name.len() + 2 == inner.len() && !name.is_empty() {
        return Ok(Step::Key(name.to_owned()));
    }
    let wrong = || {
        BadMark::new(format!(
            "`[{}]` is no index, no name in quotes and no filter such as `[?(@.type==\"Ready\")]`",
            shown(inner)
        ))
    };
    let condition = inner
        .strip_prefix("?(")
        .and_then(|inner| inner.strip_suffix(')'))
        .ok_or_else(wrong)?;
    let (field, value) = condition.split_once("==").ok_or_else(wrong)?;
    let field = field.trim().strip_prefix("@.").ok_or_else(wrong)?;
    let simple = |key: &str| {
        !key.is_empty()
            && key
                .chars()
                .all(|c| c.is_alphanumeric() || "-_/".contains(c))
    };
    if !field.split('.').all(simple) {
        return Err(wrong());
    }
    let field = field.split('.').map(str::to_owned).collect();
    let value = unquoted(value.trim());
    if value.is_empty() {
        return Err(wrong());
    }
    Ok(Step::Where(field, value.to_owned()))
}

fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(40).collect()
}

/// How long one object may take, such as `90s`.
pub fn timeout(text: &str) -> Result<Duration, BadMark> {
    const MOST: Duration = Duration::from_secs(6 * 3600);
    let parsed = text
        .trim()
        .parse::<jiff::SignedDuration>()
        .ok()
        .and_then(|span| Duration::try_from(span).ok());
    match parsed {
        Some(parsed) if parsed >= Duration::from_secs(1) && parsed <= MOST => Ok(parsed),
        Some(_) => Err(BadMark::new("is not from 1s to 6h")),
        None => Err(BadMark::new("is no time with its unit, such as `90s`")),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use rstest::rstest;
    use serde_json::json;

    #[rstest]
    #[case(".status.phase=Active", None)]
    #[case("status.phase=Active", Some("neither `.` nor `[`"))]
    #[case("jsonpath='{.status.phase}'=Active", None)]
    #[case("{.status.phase}=Active", None)]
    #[case("{.status.phase=Active", Some("not closed"))]
    #[case("$.status['phase']=\"Active\"", None)]
    #[case(r#".status.conditions[?(@.type=="Ready")].status=True"#, None)]
    #[case(".status.conditions[?(@.type=='Ready')].status=True", None)]
    #[case(r#"{.status.conditions[?(@.type=="Ready")].status}=True"#, None)]
    #[case(
        r#".status.conditions[?(@.type="Ready")].status=True"#,
        Some("no filter")
    )]
    #[case(".status.conditions[*].status=True", None)]
    #[case(".status.conditions[1].status=True", None)]
    #[case(".status.conditions[1=True", Some("missing"))]
    #[case(".status.count=3", None)]
    #[case(".status.flag=true", None)]
    #[case(r".metadata.labels.example\.com/a=b", None)]
    #[case(".status.phase", Some("missing"))]
    #[case(".status.phase=", Some("no value"))]
    #[case(".status..phase=x", Some("name is missing"))]
    #[case("=x", Some("path is empty"))]
    #[case(".a b=x", Some("has no place"))]
    fn paths_are_read_or_their_fault_is_named(#[case] text: &str, #[case] fault: Option<&str>) {
        let object = json!({
            "metadata": {"labels": {"example.com/a": "b"}},
            "status": {
                "phase": "Active", "count": 3, "flag": true,
                "conditions": [{"type": "Synced", "status": "False"}, {"type": "Ready", "status": "True"}],
            },
        });
        match (text.parse::<WaitFor>(), fault) {
            (Ok(wish), None) => assert_eq!(wish.unfulfilled(&object), None, "{text}"),
            (Err(error), Some(fault)) => assert!(error.to_string().contains(fault), "{error}"),
            (other, fault) => assert_eq!(other.is_err(), fault.is_some(), "{text}: {other:?}"),
        }
    }

    #[test]
    fn what_is_not_yet_so_is_said_with_both_values() {
        let wish: WaitFor = ".status.phase=Active".parse().unwrap();
        let told = |object: Value| wish.unfulfilled(&object).unwrap();
        assert_eq!(
            told(json!({"status": {"phase": "Pending"}})),
            "waits for .status.phase to be Active, it is Pending"
        );
        assert_eq!(
            told(json!({})),
            "waits for .status.phase to be Active, it is not there yet"
        );
        assert!(told(json!({"status": {"phase": {}}})).ends_with("no single value"));
    }

    #[test]
    fn times_have_units_and_bounds() {
        assert_eq!(timeout("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(timeout("2m30s"), Ok(Duration::from_secs(150)));
        for wrong in ["90", "soon", "0s", "-5s", "7h", ""] {
            assert!(timeout(wrong).is_err(), "{wrong}");
        }
    }
}
