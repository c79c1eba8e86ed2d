//! Turns questions about people into what they may do in a repository.
//! It must not change anything; scenarios give and take permissions through the handle.
//! Servers differ most here: older ones know four permissions and no name of a role.

use serde_json::json;

use super::model::{Model, Repository};
use super::routes::{Asked, not_found, refusal};
use super::views;
use crate::simulate::http::Reply;

impl Asked<'_> {
    pub(super) fn list_collaborators(&self, repository: &Repository) -> Reply {
        let wanted = self.request.param("permission").unwrap_or("pull");
        let has = |permission: &str, role: &str| match wanted {
            "admin" => permission == "admin",
            "maintain" => permission == "admin" || role == "maintain",
            "push" => matches!(permission, "admin" | "write"),
            _ => permission != "none",
        };
        let people: Vec<_> = repository
            .permissions
            .iter()
            .filter(|(_, (permission, role))| has(permission, role))
            .collect();
        self.page(
            repository,
            "collaborators",
            &people,
            |(login, (_, role))| {
                let mut person = views::user(login);
                person["role_name"] = json!(role);
                person
            },
        )
    }

    pub(super) fn permission(&self, model: &Model, login: &str) -> Reply {
        let Some(repository) = model.repositories.get(&self.full_name) else {
            return not_found();
        };
        let given = repository.permissions.get(login).cloned();
        if given.is_none() && !model.users.contains(login) {
            return refusal(404, &format!("{login} is not a user"));
        }
        let stranger = if repository.private { "none" } else { "read" };
        let owner = if login == repository.owner() {
            "admin"
        } else {
            stranger
        };
        let (permission, role) = given.unwrap_or_else(|| (owner.to_owned(), owner.to_owned()));
        let mut body = json!({"permission": permission, "user": views::user(login)});
        if self.inner.options.shows_roles {
            body["role_name"] = json!(role);
        }
        Reply::json(200, &body)
    }
}
