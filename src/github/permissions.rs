//! Reads what a person may do in the repository.
//! It doesn't decide what that is enough for; any failure is an error, so that the caller can fail closed.
//! The answer is read loosely, because servers differ in everything but `permission`.

use super::{GitHub, GitHubError, files::encoded, request::Call};
use crate::names::AccessLevel;
use serde_json::Value;

/// What a person may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// Level.
    pub level: AccessLevel,
    /// Name of the role, such as `maintain` or a custom one.
    pub role: String,
}

impl GitHub {
    /// Reads the access of a person; someone whom GitHub does not know has none.
    pub async fn access(&self, login: &str) -> Result<Access, GitHubError> {
        let doing = format!("read the permission of `{login}`");
        let path = self.path(&format!("/collaborators/{}/permission", encoded(login)));
        let call = Call::get(path, doing.clone(), "contents: read");
        let answer: Value = match self.json(&call).await {
            Err(GitHubError::NotFound { .. }) => {
                return Ok(Access {
                    level: AccessLevel::None,
                    role: "none".into(),
                });
            }
            answer => answer?,
        };
        let text = |key: &str| answer.get(key).and_then(Value::as_str);
        let permission = text("permission").ok_or_else(|| GitHubError::Unreadable {
            doing,
            problem: "it has no `permission`".into(),
        })?;
        Ok(Access {
            level: AccessLevel::from_permission(permission),
            role: text("role_name").unwrap_or(permission).to_owned(),
        })
    }

    /// The first people, in GitHub's order, who have a permission here: `push`, `maintain` or `admin`. Bots are left out.
    pub async fn who_has(&self, permission: &str) -> Result<Vec<String>, GitHubError> {
        #[derive(serde::Deserialize)]
        struct Person {
            login: String,
            #[serde(rename = "type", default)]
            kind: String,
        }
        let path = self.path(&format!(
            "/collaborators?permission={permission}&per_page=10"
        ));
        let call = Call::get(path, "read who may give commands", "contents: read");
        let people: Vec<Person> = self.json(&call).await?;
        let people = people.into_iter().filter(|person| person.kind != "Bot");
        Ok(people.map(|person| person.login).collect())
    }
}
