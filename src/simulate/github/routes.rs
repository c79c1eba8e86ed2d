//! Turns REST requests into reads and writes of the simulated GitHub.
//! It must not know previews or events; it serves the endpoints that a deploy action calls.
//! Refusals carry GitHub's own sentences, because a classifier downstream tells them apart by those.

use serde_json::{Value, json};

use super::Inner;
use super::model::{Access, Issue, Model, Repository};
use super::statuses::{denied, needed};
use super::{contents, views};
use crate::simulate::http::{Reply, Request};

/// The longest comment, in characters, as GitHub's refusal says.
const BODY_LIMIT: usize = 65_536;

/// The most commits of a pull request that are listed.
const MOST_COMMITS: usize = 250;

/// Answers one request to the REST API.
pub(super) fn answer(inner: &Inner, request: &Request) -> Reply {
    let prefix = inner.options.prefix.as_str();
    let beside = prefix.strip_suffix("/v3").unwrap_or(prefix);
    if request.method == "POST" && request.path.strip_prefix(beside) == Some("/graphql") {
        return viewer(inner, request);
    }
    let Some(path) = request.path.strip_prefix(inner.options.prefix.as_str()) else {
        return not_found().unexpected();
    };
    let Some((limit, used, hour)) = inner.count_request() else {
        return respond(inner, path, request);
    };
    let reply = match used > limit {
        true => refusal(403, "API rate limit exceeded for installation ID 1."),
        false => respond(inner, path, request),
    };
    reply
        .header("x-ratelimit-limit", &limit.to_string())
        .header(
            "x-ratelimit-remaining",
            &limit.saturating_sub(used).to_string(),
        )
        .header("x-ratelimit-used", &used.to_string())
        .header("x-ratelimit-reset", &((hour + 1) * 3600).to_string())
        .header("x-ratelimit-resource", "core")
}

/// Answers the one question that is asked by GraphQL, which counts requests by itself.
fn viewer(inner: &Inner, request: &Request) -> Reply {
    let model = inner.model();
    let known = request.token().and_then(|token| model.tokens.get(token));
    match known {
        None => refusal(401, "Bad credentials"),
        Some((login, _)) if inner.shows_viewer() => {
            Reply::json(200, &json!({"data": {"viewer": {"login": login}}}))
        }
        Some(_) => {
            let error =
                json!({"type": "FORBIDDEN", "message": "Resource not accessible by integration"});
            Reply::json(200, &json!({"data": null, "errors": [error]}))
        }
    }
}

fn respond(inner: &Inner, path: &str, request: &Request) -> Reply {
    let mut model = inner.model();
    let Some(token) = request.token() else {
        return refusal(401, "Requires authentication");
    };
    let Some((login, access)) = model.tokens.get(token).cloned() else {
        return refusal(401, "Bad credentials");
    };
    let steps: Vec<&str> = path.trim_matches('/').split('/').collect();
    if steps == ["user"] && request.method == "GET" {
        return if inner.shows_user() {
            Reply::json(200, &views::user(&login))
        } else {
            refusal(403, "Resource not accessible by integration")
        };
    }
    let found = match steps.as_slice() {
        ["repos", owner, name, rest @ ..] => Some((format!("{owner}/{name}"), rest.to_vec())),
        ["repositories", id, rest @ ..] => {
            let named = model
                .repositories
                .values()
                .find(|repository| repository.id.to_string() == *id);
            named.map(|repository| (repository.full_name.clone(), rest.to_vec()))
        }
        _ => return not_found().unexpected(),
    };
    let Some((full_name, rest)) = found.filter(|(name, _)| model.repositories.contains_key(name))
    else {
        return not_found();
    };
    if request.method != "GET" && access == Access::Read {
        return refusal(403, "Resource not accessible by integration");
    }
    let asked = Asked {
        inner,
        request,
        full_name,
        login,
    };
    asked.serve(&mut model, &rest)
}

pub(super) struct Asked<'a> {
    pub(super) inner: &'a Inner,
    pub(super) request: &'a Request,
    pub(super) full_name: String,
    pub(super) login: String,
}

impl Asked<'_> {
    fn serve(&self, model: &mut Model, rest: &[&str]) -> Reply {
        if let Some(refused) = needed(rest).and_then(|right| denied(model, right)) {
            return refused;
        }
        match (self.request.method.as_str(), rest) {
            ("POST", ["issues", number, "comments"]) => self.create_comment(model, number),
            // GitHub takes POST for PATCH here, and one client library sends it.
            ("PATCH" | "POST", ["issues", "comments", id]) => self.edit_comment(model, id),
            ("POST", ["actions", "workflows", file, "dispatches"]) => {
                self.start_workflow(model, file)
            }
            ("DELETE", ["issues", "comments", id]) => self.delete_comment(model, id),
            ("POST", ["issues", "comments", id, "reactions"]) => self.react(model, id),
            ("POST", ["issues"]) => self.open_issue(model),
            ("PATCH", ["issues", number]) => self.edit_issue(model, number),
            ("GET", ["collaborators", login, "permission"]) => self.permission(model, login),
            ("POST", ["statuses", sha]) => self.create_status(model, sha),
            (_, ["deployments", rest @ ..]) => self.deployments(model, rest),
            ("GET", rest) => match model.repositories.get(&self.full_name) {
                Some(repository) => self.read(repository, rest),
                None => not_found(),
            },
            _ => not_found().unexpected(),
        }
    }

    fn start_workflow(&self, model: &mut Model, file: &str) -> Reply {
        let asked = self.request.json().unwrap_or_default();
        let Some(repository) = model.repositories.get_mut(&self.full_name) else {
            return not_found();
        };
        let Some(branch) = asked["ref"].as_str() else {
            return refusal(422, "Invalid request.\n\n\"ref\" wasn't supplied.");
        };
        if repository.commit(branch).is_none() {
            return refusal(422, &format!("No ref found for: {branch}"));
        }
        let id = 9_000_001 + repository.started.len() as u64;
        repository.started.push(super::model::Started {
            id,
            created: self.inner.clock.now(),
            workflow: file.to_owned(),
            branch: branch.to_owned(),
            inputs: asked["inputs"].clone(),
            status: "completed",
        });
        Reply::text(204, "")
    }

    fn read(&self, repository: &Repository, rest: &[&str]) -> Reply {
        match rest {
            [] => Reply::json(200, &views::repository(repository)),
            ["issues"] => self.list_issues(repository),
            ["actions", "runs", id] => {
                let mut runs = repository.started.iter();
                runs.find(|one| one.id.to_string() == *id)
                    .map_or_else(not_found, |one| Reply::json(200, &views::run(one)))
            }
            ["actions", "workflows", file, "runs"] => {
                let runs = repository
                    .started
                    .iter()
                    .filter(|one| one.workflow == *file);
                let runs: Vec<_> = runs.map(views::run).collect();
                Reply::json(
                    200,
                    &json!({"total_count": runs.len(), "workflow_runs": runs}),
                )
            }
            ["pulls"] => self.list_pulls(repository),
            ["pulls", number] => {
                let pull = number
                    .parse()
                    .ok()
                    .and_then(|number: u64| repository.pulls.get(&number));
                pull.map_or_else(not_found, |pull| {
                    Reply::json(200, &views::pull(repository, pull))
                })
            }
            ["collaborators"] => self.list_collaborators(repository),
            ["pulls", number, "files"] => {
                let pull = number
                    .parse()
                    .ok()
                    .and_then(|number: u64| repository.pulls.get(&number));
                pull.map_or_else(not_found, |pull| {
                    let files = views::files(repository, pull);
                    let files: Vec<&Value> = files.iter().collect();
                    let path = format!("pulls/{number}/files");
                    self.page(repository, &path, &files, Value::clone)
                })
            }
            ["pulls", number, "commits"] => {
                let pull = number
                    .parse()
                    .ok()
                    .and_then(|number: u64| repository.pulls.get(&number));
                pull.map_or_else(not_found, |pull| {
                    let mut commits = repository.commits_of(pull);
                    commits.truncate(MOST_COMMITS);
                    let path = format!("pulls/{number}/commits");
                    self.page(repository, &path, &commits, |commit| {
                        views::commit(repository, commit)
                    })
                })
            }
            ["issues", number, "comments"] => self.list_comments(repository, number),
            ["issues", "comments", id] => {
                let live = repository
                    .comments
                    .iter()
                    .filter(|comment| comment.deleted_at.is_none());
                let comment = live
                    .into_iter()
                    .find(|comment| comment.id.to_string() == *id);
                comment.map_or_else(not_found, |comment| {
                    Reply::json(200, &views::comment(repository, comment))
                })
            }
            ["contents", path @ ..] => contents::answer(self.request, repository, &path.join("/")),
            ["commits", reference, "statuses"] => self.list_statuses(repository, reference),
            ["commits", reference @ ..] => {
                let reference = reference.join("/");
                match repository.commit(&reference) {
                    Some(commit) => Reply::json(200, &views::commit(repository, commit)),
                    None => refusal(422, &format!("No commit found for SHA: {reference}")),
                }
            }
            ["git", "trees", reference] => {
                let commit = repository.commit(reference);
                commit.map_or_else(not_found, |commit| {
                    Reply::json(200, &contents::tree(self.request, commit))
                })
            }
            _ => not_found().unexpected(),
        }
    }

    fn list_pulls(&self, repository: &Repository) -> Reply {
        let state = self.request.param("state").unwrap_or("open");
        let head = self.request.param("head");
        let wanted = |pull: &&super::model::Pull| {
            let is = if pull.open { "open" } else { "closed" };
            (state == "all" || state == is)
                && head.is_none_or(|head| views::pull(repository, pull)["head"]["label"] == head)
        };
        let mut pulls: Vec<_> = repository.pulls.values().filter(wanted).collect();
        pulls.reverse();
        self.page(repository, "pulls", &pulls, |pull| {
            views::pull(repository, pull)
        })
    }

    fn list_comments(&self, repository: &Repository, number: &str) -> Reply {
        let Some(number) = number
            .parse()
            .ok()
            .filter(|number| repository.pulls.contains_key(number))
        else {
            return not_found();
        };
        let since = self
            .request
            .param("since")
            .and_then(|since| since.parse::<jiff::Timestamp>().ok());
        let comments = repository.comments.iter().filter(|comment| {
            let recent = since.is_none_or(|since| comment.updated_at >= since);
            comment.number == number && comment.deleted_at.is_none() && recent
        });
        let comments: Vec<_> = comments.collect();
        let path = format!("issues/{number}/comments");
        self.page(repository, &path, &comments, |comment| {
            views::comment(repository, comment)
        })
    }

    /// Cuts a list into pages and links them by repository id, as GitHub does.
    pub(super) fn page<T: Copy>(
        &self,
        repository: &Repository,
        path: &str,
        items: &[T],
        show: impl Fn(T) -> Value,
    ) -> Reply {
        let number = |name: &str| {
            self.request
                .param(name)
                .and_then(|text| text.parse::<usize>().ok())
        };
        let size = number("per_page").unwrap_or(30).clamp(1, 100);
        let page = number("page").unwrap_or(1).max(1);
        let last = items.len().div_ceil(size).max(1);
        let others = self.request.query.iter().filter(|(name, _)| name != "page");
        let query: Vec<String> = others
            .map(|(name, value)| format!("{name}={}&", encode(value)))
            .collect();
        let link = |to: usize, rel: &str| {
            let base = self.inner.base();
            format!(
                "<{base}/repositories/{}/{path}?{}page={to}>; rel=\"{rel}\"",
                repository.id,
                query.concat()
            )
        };
        let mut links = Vec::new();
        if page > 1 {
            links.extend([link(page - 1, "prev"), link(1, "first")]);
        }
        if page < last {
            links.extend([link(page + 1, "next"), link(last, "last")]);
        }
        let shown = items.iter().copied().skip((page - 1) * size).take(size);
        let items: Vec<Value> = shown.map(show).collect();
        let reply = Reply::json(200, &items.into());
        if links.is_empty() {
            reply
        } else {
            reply.header("link", &links.join(", "))
        }
    }

    fn list_issues(&self, repository: &Repository) -> Reply {
        let label = self.request.param("labels").unwrap_or_default();
        let state = self.request.param("state").unwrap_or("open");
        let wanted = |issue: &&Issue| {
            (label.is_empty() || issue.labels.iter().any(|one| one == label))
                && (state == "all" || issue.state == state)
        };
        let issues = repository.issues.iter().filter(wanted).map(issue_view);
        Reply::json(200, &Value::Array(issues.collect()))
    }

    fn open_issue(&self, model: &mut Model) -> Reply {
        let json = self.request.json().unwrap_or_default();
        let text = |name: &str| json[name].as_str().unwrap_or_default().to_owned();
        let labels = json["labels"].as_array().into_iter().flatten();
        let labels = labels.filter_map(|label| label.as_str().map(str::to_owned));
        let Some(repository) = model.repositories.get_mut(&self.full_name) else {
            return not_found();
        };
        let issue = Issue {
            // Pull requests and issues share their numbers; these start where no test's pull requests are.
            number: 9001 + repository.issues.len() as u64,
            title: text("title"),
            body: text("body"),
            state: "open".into(),
            labels: labels.collect(),
            edits: 0,
        };
        repository.issues.push(issue.clone());
        Reply::json(201, &issue_view(&issue))
    }

    fn edit_issue(&self, model: &mut Model, number: &str) -> Reply {
        let json = self.request.json().unwrap_or_default();
        let repository = model.repositories.get_mut(&self.full_name);
        let issue = repository.and_then(|repository| {
            let mut issues = repository.issues.iter_mut();
            issues.find(|issue| issue.number.to_string() == number)
        });
        let Some(issue) = issue else {
            return not_found();
        };
        for (name, field) in [
            ("title", &mut issue.title),
            ("body", &mut issue.body),
            ("state", &mut issue.state),
        ] {
            if let Some(text) = json[name].as_str() {
                text.clone_into(field);
            }
        }
        issue.edits += 1;
        Reply::json(200, &issue_view(issue))
    }

    /// Reads the `body` of a comment, or says what is wrong with it.
    fn comment_body(&self) -> Result<String, Reply> {
        let json = self
            .request
            .json()
            .ok_or_else(|| refusal(400, "Problems parsing JSON"))?;
        let Some(body) = json["body"].as_str() else {
            return Err(refusal(
                422,
                "Invalid request.\n\n\"body\" wasn't supplied.",
            ));
        };
        let problem = match body.chars().count() {
            0 => "Body cannot be blank".to_owned(),
            length if length > BODY_LIMIT => {
                format!("Body is too long (maximum is {BODY_LIMIT} characters)")
            }
            _ => return Ok(body.to_owned()),
        };
        let error = json!({"resource": "IssueComment", "code": "unprocessable", "field": "data", "message": problem});
        let mut refused = refusal_body(422, "Validation Failed");
        refused["errors"] = json!([error]);
        Err(Reply::json(422, &refused))
    }

    fn create_comment(&self, model: &mut Model, number: &str) -> Reply {
        let body = match self.comment_body() {
            Ok(body) => body,
            Err(reply) => return reply,
        };
        let now = self.inner.clock.now();
        let number = number.parse().unwrap_or_default();
        match model.add_comment(&self.full_name, number, &self.login, &body, now) {
            Some(id) => self.show_comment(model, id, 201),
            None => not_found(),
        }
    }

    fn edit_comment(&self, model: &mut Model, id: &str) -> Reply {
        let id = id.parse().unwrap_or_default();
        let now = self.inner.clock.now();
        let Some(comment) = model.comment_mut(&self.full_name, id) else {
            return not_found();
        };
        match self.comment_body() {
            Ok(body) => comment.edit(&body, now),
            Err(reply) => return reply,
        }
        self.show_comment(model, id, 200)
    }

    /// A reaction that its author has given already is answered by 200 instead of 201.
    fn react(&self, model: &mut Model, id: &str) -> Reply {
        const KNOWN: [&str; 8] = [
            "+1", "-1", "laugh", "confused", "heart", "hooray", "rocket", "eyes",
        ];
        let asked = self.request.json().unwrap_or_default();
        let Some(content) = asked["content"].as_str().filter(|one| KNOWN.contains(one)) else {
            return refusal(422, "Validation Failed");
        };
        let Some(comment) = model.comment_mut(&self.full_name, id.parse().unwrap_or_default())
        else {
            return not_found();
        };
        let given = (self.login.clone(), content.to_owned());
        let there = comment.reactions.contains(&given);
        if !there {
            comment.reactions.push(given);
        }
        let shown = json!({"id": id, "content": content, "user": views::user(&self.login)});
        Reply::json(if there { 200 } else { 201 }, &shown)
    }

    fn delete_comment(&self, model: &mut Model, id: &str) -> Reply {
        let now = self.inner.clock.now();
        match model.comment_mut(&self.full_name, id.parse().unwrap_or_default()) {
            Some(comment) => {
                comment.deleted_at = Some(now);
                Reply::text(204, "")
            }
            None => not_found(),
        }
    }

    fn show_comment(&self, model: &Model, id: u64, status: u16) -> Reply {
        let repository = model.repositories.get(&self.full_name);
        let found = repository.and_then(|repository| {
            let comment = repository
                .comments
                .iter()
                .find(|comment| comment.id == id)?;
            Some(views::comment(repository, comment))
        });
        found.map_or_else(not_found, |comment| Reply::json(status, &comment))
    }
}

pub(super) fn not_found() -> Reply {
    refusal(404, "Not Found")
}

pub(super) fn refusal(status: u16, message: &str) -> Reply {
    Reply::json(status, &refusal_body(status, message))
}

fn refusal_body(status: u16, message: &str) -> Value {
    json!({"message": message, "documentation_url": "https://docs.github.com/rest", "status": status.to_string()})
}

/// Encodes a query value.
fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect()
}

fn issue_view(issue: &Issue) -> Value {
    let labels: Vec<Value> = issue
        .labels
        .iter()
        .map(|name| json!({"name": name}))
        .collect();
    json!({"number": issue.number, "title": issue.title, "body": issue.body, "state": issue.state, "labels": labels})
}
