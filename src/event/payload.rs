//! Turns the JSON of an event into typed fields, naming the path of a field that is not as it should be.
//! It knows JSON and GitHub's shapes, not what an event means.
//! No value of the payload stands in a message: a payload holds whatever strangers typed.

use super::{PullRequest, Repository, User};
use crate::names::{NameError, RepoId};
use jiff::Timestamp;
use serde_json::Value;
use std::str::FromStr;

/// Says why an event cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// The payload is no JSON.
    #[error(
        "payload of event `{event}` is not JSON at line {line}, column {column}; give the file that the runner wrote"
    )]
    NotJson {
        /// Name of the event.
        event: String,
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
    },
    /// A field is missing or of another kind.
    #[error(
        "payload of event `{event}`: field `{field}` {problem}; give the file that the runner wrote"
    )]
    Field {
        /// Name of the event.
        event: String,
        /// Path of the field, such as `pull_request.head.sha`.
        field: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The payload names no repository, and neither does the caller.
    #[error(
        "payload of event `{event}` names no repository, and the runner gave no repository id; use a runner that gives it"
    )]
    NoRepository {
        /// Name of the event.
        event: String,
    },
}

/// A place in a payload; an absent field is null.
pub(super) struct Field<'a> {
    event: &'a str,
    path: String,
    value: &'a Value,
}

impl<'a> Field<'a> {
    /// The whole payload.
    pub(super) fn whole(event: &'a str, value: &'a Value) -> Self {
        Self {
            event,
            path: String::new(),
            value,
        }
    }

    /// The field of that name.
    pub(super) fn get(&self, name: &str) -> Self {
        let dot = if self.path.is_empty() { "" } else { "." };
        Self {
            event: self.event,
            path: format!("{}{dot}{name}", self.path),
            value: self.value.get(name).unwrap_or(&Value::Null),
        }
    }

    /// True when it is absent or null.
    pub(super) fn is_null(&self) -> bool {
        self.value.is_null()
    }

    /// Its text.
    pub(super) fn text(&self) -> Result<&'a str, EventError> {
        self.value.as_str().ok_or_else(|| self.wrong("a text"))
    }

    /// Its text; empty when it is null.
    pub(super) fn text_or_empty(&self) -> Result<&'a str, EventError> {
        if self.is_null() { Ok("") } else { self.text() }
    }

    /// Its text where a form may have given a number or a boolean; empty when it is null.
    pub(super) fn typed(&self) -> Result<String, EventError> {
        match self.value {
            Value::Null => Ok(String::new()),
            Value::String(text) => Ok(text.clone()),
            Value::Number(_) | Value::Bool(_) => Ok(self.value.to_string()),
            Value::Array(_) | Value::Object(_) => Err(self.wrong("a text")),
        }
    }

    /// What it lists; nothing when it is null.
    pub(super) fn list(&self) -> Result<Vec<Self>, EventError> {
        if self.is_null() {
            return Ok(Vec::new());
        }
        let items = self.value.as_array().ok_or_else(|| self.wrong("a list"))?;
        let items = items.iter().enumerate().map(|(at, value)| Self {
            event: self.event,
            path: format!("{}[{at}]", self.path),
            value,
        });
        Ok(items.collect())
    }

    /// Its number.
    pub(super) fn number(&self) -> Result<u64, EventError> {
        self.value
            .as_u64()
            .ok_or_else(|| self.wrong("a whole number"))
    }

    /// The moment that its text is.
    pub(super) fn time(&self) -> Result<Timestamp, EventError> {
        self.valid(self.text()?.parse().ok(), "is not a time")
    }

    /// The moment that its text is, if it is one.
    pub(super) fn moment(&self) -> Option<Timestamp> {
        self.value.as_str()?.parse().ok()
    }

    /// Its boolean; false when it is null.
    pub(super) fn flag(&self) -> Result<bool, EventError> {
        if self.is_null() {
            return Ok(false);
        }
        self.value.as_bool().ok_or_else(|| self.wrong("a boolean"))
    }

    /// The name that its text is.
    pub(super) fn name<T: FromStr<Err = NameError>>(&self) -> Result<T, EventError> {
        self.text()?
            .parse()
            .map_err(|error: NameError| self.error(error.problem))
    }

    /// The value that was made of it, or the error that names it.
    pub(super) fn valid<T>(
        &self,
        value: Option<T>,
        problem: &'static str,
    ) -> Result<T, EventError> {
        value.ok_or_else(|| self.error(problem))
    }

    fn wrong(&self, expected: &'static str) -> EventError {
        self.error(match (self.is_null(), expected) {
            (true, _) => "is missing",
            (false, "a text") => "is not a text",
            (false, "a boolean") => "is not a boolean",
            (false, "a list") => "is not a list",
            (false, _) => "is not a whole number",
        })
    }

    fn error(&self, problem: &'static str) -> EventError {
        EventError::Field {
            event: self.event.into(),
            field: self.path.clone(),
            problem,
        }
    }
}

/// A repository.
pub(super) fn repository(field: &Field<'_>) -> Result<Repository, EventError> {
    let branch = field.get("default_branch").text_or_empty()?;
    Ok(Repository {
        id: RepoId(field.get("id").number()?),
        name: field.get("full_name").name()?,
        default_branch: Some(branch)
            .filter(|branch| !branch.is_empty())
            .map(Into::into),
    })
}

/// An account; null is an account that was deleted, which GitHub shows as `ghost`.
pub(super) fn user(field: &Field<'_>) -> Result<User, EventError> {
    if field.is_null() {
        return Ok(User {
            login: "ghost".into(),
            bot: false,
        });
    }
    let at = field.get("login");
    let login = at.text()?;
    let name = login.strip_suffix("[bot]").unwrap_or(login);
    // Logins become parts of request paths, so anything else must not pass.
    let plain = !name.is_empty()
        && name.len() <= 100
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    at.valid(plain.then_some(()), "is not a login")?;
    let kind = field.get("type").text_or_empty()?;
    Ok(User {
        login: login.into(),
        bot: kind == "Bot" || login.ends_with("[bot]"),
    })
}

/// A pull request.
pub(super) fn pull_request(field: &Field<'_>) -> Result<PullRequest, EventError> {
    let number = field.get("number");
    let (head, base) = (field.get("head"), field.get("base"));
    let head_repository = head.get("repo");
    Ok(PullRequest {
        number: number.valid(
            crate::names::PrNumber::new(number.number()?),
            "is not a number from 1",
        )?,
        title: field.get("title").text_or_empty()?.into(),
        open: field.get("state").text()? == "open",
        merged: field.get("merged").flag()?,
        draft: field.get("draft").flag()?,
        labels: labels(&field.get("labels"))?,
        author: user(&field.get("user"))?,
        head_sha: head.get("sha").name()?,
        head_branch: head.get("ref").text()?.into(),
        head_repository: if head_repository.is_null() {
            None
        } else {
            Some(RepoId(head_repository.get("id").number()?))
        },
        base_sha: base.get("sha").name()?,
        base_branch: base.get("ref").text()?.into(),
        base_repository: RepoId(base.get("repo").get("id").number()?),
    })
}

/// The name of a label; none when there is no label.
pub(super) fn label(field: &Field<'_>) -> Result<Option<String>, EventError> {
    if field.is_null() {
        return Ok(None);
    }
    Ok(Some(field.get("name").text()?.to_owned()))
}

fn labels(field: &Field<'_>) -> Result<Vec<String>, EventError> {
    let labels = field.list()?;
    let names = labels.iter().map(label).collect::<Result<Vec<_>, _>>()?;
    Ok(names.into_iter().flatten().collect())
}
