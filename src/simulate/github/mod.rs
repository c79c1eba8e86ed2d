//! Turns nothing into a running GitHub REST API on a loopback port, with state that a scenario pushes forward.
//! It must not know previews: it holds repositories, commits, pull requests, comments and permissions.
//! A scenario speaks to the handle as people act on github.com, and to the product only through HTTP and event payloads.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use serde_json::json;

pub use self::deployments::{Deployment, DeploymentStatus};
pub use self::model::{Access, Comment, Issue, NewPull, Started};
use self::model::{Model, Repository};
pub use self::statuses::Status;
use super::clock::Clock;
use super::fault::Fault;
use super::http::Site;
use super::log::{Log, Record};

mod contents;
mod deployments;
mod events;
mod model;
mod people;
mod routes;
mod statuses;
#[cfg(test)]
mod tests;
mod views;

/// How a simulated GitHub starts.
#[derive(Clone, Debug)]
pub struct Options {
    /// What stands before every path: empty as on github.com, or `/api/v3` as on a server of one's own.
    pub prefix: String,
    /// The token that is accepted from the start, with write access.
    pub token: String,
    /// The login behind that token.
    pub login: String,
    /// Whether `GET /user` answers; a workflow's token gets 403.
    pub shows_user: bool,
    /// Whether a permission comes with the name of its role, as newer servers say it.
    pub shows_roles: bool,
    /// The requests per hour that headers promise; none sends no such headers.
    pub rate_limit: Option<u64>,
    /// The address that links name, if clients reach this server through a proxy.
    pub advertised: Option<String>,
    /// The time that every request takes at least; give it some where round trips are counted.
    pub latency: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            prefix: String::new(),
            token: "simulated-github-token".to_owned(),
            login: "github-actions[bot]".to_owned(),
            shows_user: false,
            shows_roles: true,
            rate_limit: Some(5000),
            advertised: None,
            latency: Duration::ZERO,
        }
    }
}

/// How many requests an hour has had, and how many it takes if not the usual number.
#[derive(Debug, Default)]
struct Quota {
    hour: i64,
    used: u64,
    limit: Option<u64>,
}

struct Inner {
    options: Options,
    clock: Clock,
    model: Mutex<Model>,
    shows_user: AtomicBool,
    shows_viewer: AtomicBool,
    quota: Mutex<Quota>,
    address: OnceLock<String>,
}

impl Inner {
    fn model(&self) -> MutexGuard<'_, Model> {
        self.model.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shows_viewer(&self) -> bool {
        self.shows_viewer.load(Ordering::SeqCst)
    }

    fn shows_user(&self) -> bool {
        self.shows_user.load(Ordering::SeqCst)
    }

    /// Counts a request; how many this hour takes and has had with it, and which hour that is. None where nobody counts.
    fn count_request(&self) -> Option<(u64, u64, i64)> {
        let usual = self.options.rate_limit?;
        let hour = self.clock.now().as_second() / 3600;
        let mut quota = self.quota.lock().unwrap_or_else(PoisonError::into_inner);
        if quota.hour != hour {
            *quota = Quota {
                hour,
                used: 0,
                limit: None,
            };
        }
        quota.used += 1;
        Some((quota.limit.unwrap_or(usual), quota.used, hour))
    }

    /// Returns the base address that links carry.
    fn base(&self) -> String {
        let own = || self.address.get().cloned().unwrap_or_default();
        self.options.advertised.clone().unwrap_or_else(own)
    }
}

/// A running simulated GitHub; it stops when dropped.
pub struct Handle {
    inner: Arc<Inner>,
    site: Site,
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "simulated GitHub at {}", self.url())
    }
}

impl Handle {
    pub(super) async fn start(options: Options, clock: Clock, log: Log) -> io::Result<Self> {
        let mut model = Model::default();
        model.users.insert(options.login.clone());
        model.tokens.insert(
            options.token.clone(),
            (options.login.clone(), Access::Write),
        );
        let latency = options.latency;
        let inner = Arc::new(Inner {
            shows_user: AtomicBool::new(options.shows_user),
            shows_viewer: AtomicBool::new(true),
            options,
            clock: clock.clone(),
            model: Mutex::new(model),
            quota: Mutex::default(),
            address: OnceLock::new(),
        });
        let served = Arc::clone(&inner);
        let site = Site::start("github", log, clock, latency, move |request| {
            let inner = Arc::clone(&served);
            async move { routes::answer(&inner, &request) }
        });
        let site = site.await?;
        let base = format!("http://{}{}", site.address(), inner.options.prefix);
        inner.address.get_or_init(|| base);
        Ok(Self { inner, site })
    }

    /// Returns the base address of the API, prefix included.
    pub fn url(&self) -> String {
        format!(
            "http://{}{}",
            self.site.address(),
            self.inner.options.prefix
        )
    }

    /// Returns the token that was accepted from the start.
    pub fn token(&self) -> String {
        self.inner.options.token.clone()
    }

    /// Returns the requests so far.
    pub fn requests(&self) -> Vec<Record> {
        self.site.requests()
    }

    /// Returns the requests that no route knows, as `METHOD path`.
    pub fn unexpected(&self) -> Vec<String> {
        self.site.unexpected()
    }

    /// Arms a fault; its pattern includes the prefix.
    pub fn inject(&self, fault: Fault) {
        self.site.inject(fault);
    }

    /// Disarms all faults.
    pub fn clear_faults(&self) {
        self.site.clear_faults();
    }

    /// Takes only so many more requests in this hour.
    pub fn allow(&self, requests: u64) {
        let hour = self.inner.clock.now().as_second() / 3600;
        let mut quota = self
            .inner
            .quota
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let used = if quota.hour == hour { quota.used } else { 0 };
        *quota = Quota {
            hour,
            used,
            limit: Some(used + requests),
        };
    }

    /// Accepts another token.
    pub fn add_token(&self, token: &str, login: &str, access: Access) {
        let mut model = self.inner.model();
        model.users.insert(login.to_owned());
        model
            .tokens
            .insert(token.to_owned(), (login.to_owned(), access));
    }

    /// Sets whether GraphQL says whose token it is.
    pub fn show_viewer(&self, shows: bool) {
        self.inner.shows_viewer.store(shows, Ordering::SeqCst);
    }

    /// Sets whether `GET /user` answers.
    pub fn show_user(&self, shows: bool) {
        self.inner.shows_user.store(shows, Ordering::SeqCst);
    }

    /// Makes a repository with one commit on `main`, if there is none of this name, and returns its id.
    pub fn create_repository(&self, full_name: &str) -> u64 {
        let now = self.inner.clock.now();
        self.inner.model().repository(full_name, now).id
    }

    /// Makes a repository private.
    pub fn make_private(&self, full_name: &str) {
        self.with(full_name, |repository| repository.private = true);
    }

    /// Makes a user known who has no permission of their own.
    pub fn add_user(&self, login: &str) {
        self.inner.model().users.insert(login.to_owned());
    }

    /// Gives a user a permission (`admin`, `write`, `read`, `none`) under a role name (such as `maintain`).
    pub fn set_permission(&self, full_name: &str, login: &str, permission: &str, role: &str) {
        self.with(full_name, |repository| {
            repository
                .permissions
                .insert(login.to_owned(), (permission.to_owned(), role.to_owned()));
        });
    }

    /// Commits files to a branch, which is made from nothing if it does not exist, and returns the SHA.
    pub fn commit(&self, full_name: &str, branch: &str, files: &[(&str, &str)]) -> String {
        let now = self.inner.clock.now();
        let mut model = self.inner.model();
        let repository = model.repository(full_name, now);
        let owner = repository.owner().to_owned();
        model::push(repository, branch, &owner, "A commit", &owned(files), now)
    }

    /// Opens a pull request against `main` and returns its number.
    pub fn open_pull(&self, full_name: &str, pull: NewPull) -> u64 {
        let now = self.inner.clock.now();
        self.inner.model().open(full_name, pull, now)
    }

    /// Pushes a commit to the head of a pull request and returns its SHA; empty if there is no such pull request.
    pub fn push(&self, full_name: &str, number: u64, files: &[(&str, &str)]) -> String {
        let now = self.inner.clock.now();
        self.inner
            .model()
            .push_to(full_name, number, &owned(files), now)
            .unwrap_or_default()
    }

    /// Pushes by force, so that an older commit is the head of a pull request again.
    pub fn reset(&self, full_name: &str, number: u64, sha: &str) {
        self.with_pull(full_name, number, |pull| sha.clone_into(&mut pull.head));
    }

    /// Returns the commits of a pull request, the oldest first.
    pub fn commits(&self, full_name: &str, number: u64) -> Vec<String> {
        let model = self.inner.model();
        let repository = model.repositories.get(full_name);
        let commits = repository.and_then(|one| Some(one.commits_of(one.pulls.get(&number)?)));
        let commits = commits.into_iter().flatten();
        commits.map(|commit| commit.sha.clone()).collect()
    }

    /// Returns the head SHA of a pull request; empty if there is no such pull request.
    pub fn head(&self, full_name: &str, number: u64) -> String {
        self.with_pull(full_name, number, |pull| pull.head.clone())
            .unwrap_or_default()
    }

    /// Closes a pull request.
    pub fn close(&self, full_name: &str, number: u64) {
        let now = self.inner.clock.now();
        self.with_pull(full_name, number, |pull| {
            pull.open = false;
            pull.closed_at = Some(now);
            pull.updated_at = now;
        });
    }

    /// Merges a pull request, which moves `main` to its head.
    pub fn merge(&self, full_name: &str, number: u64) {
        self.close(full_name, number);
        let now = self.inner.clock.now();
        let head = self.with_pull(full_name, number, |pull| {
            pull.merged_at = Some(now);
            pull.head.clone()
        });
        self.with(full_name, |repository| {
            if let Some(head) = head {
                repository
                    .branches
                    .insert(repository.default_branch.clone(), head);
            }
        });
    }

    /// Opens a closed pull request again.
    pub fn reopen(&self, full_name: &str, number: u64) {
        self.with_pull(full_name, number, |pull| {
            pull.open = true;
            pull.closed_at = None;
        });
    }

    /// Makes a pull request a draft, or ready for review.
    pub fn set_draft(&self, full_name: &str, number: u64, draft: bool) {
        self.with_pull(full_name, number, |pull| pull.draft = draft);
    }

    /// Adds a label to a pull request, or takes it away.
    pub fn set_label(&self, full_name: &str, number: u64, name: &str, has: bool) {
        self.with_pull(full_name, number, |pull| {
            pull.labels.retain(|label| label != name);
            pull.labels.extend(has.then(|| name.to_owned()));
        });
    }

    /// Opens a second pull request from the same branch, against another one.
    pub fn twin(&self, full_name: &str, number: u64, twin: u64) {
        self.with(full_name, |repository| {
            if let Some(pull) = repository.pulls.get(&number).cloned() {
                let pull = model::Pull {
                    id: pull.id + 1_000_000,
                    number: twin,
                    ..pull
                };
                repository.pulls.insert(twin, pull);
            }
        });
    }

    /// Deletes the repository that a pull request comes from; its head stays readable without it.
    pub fn delete_head_repository(&self, full_name: &str, number: u64) {
        self.with_pull(full_name, number, |pull| pull.head_repository = None);
    }

    /// Writes a comment as a user and returns its id; 0 if there is no such pull request.
    pub fn comment(&self, full_name: &str, number: u64, login: &str, body: &str) -> u64 {
        let now = self.inner.clock.now();
        self.inner
            .model()
            .add_comment(full_name, number, login, body, now)
            .unwrap_or_default()
    }

    /// Edits a comment; false if there is none.
    pub fn edit_comment(&self, full_name: &str, id: u64, body: &str) -> bool {
        let now = self.inner.clock.now();
        let mut model = self.inner.model();
        model
            .comment_mut(full_name, id)
            .map(|comment| comment.edit(body, now))
            .is_some()
    }

    /// Deletes a comment; false if there is none.
    pub fn delete_comment(&self, full_name: &str, id: u64) -> bool {
        let now = self.inner.clock.now();
        let mut model = self.inner.model();
        model
            .comment_mut(full_name, id)
            .map(|comment| comment.deleted_at = Some(now))
            .is_some()
    }

    /// Returns the comments of a pull request that are not deleted, oldest first.
    pub fn comments(&self, full_name: &str, number: u64) -> Vec<Comment> {
        let mut comments = self.all_comments(full_name, number);
        comments.retain(|comment| comment.deleted_at.is_none());
        comments
    }

    /// Returns the issues that are no pull requests, the oldest first.
    pub fn issues(&self, full_name: &str) -> Vec<Issue> {
        self.with(full_name, |repository| repository.issues.clone())
            .unwrap_or_default()
    }

    /// Somebody writes into an issue; false if there is none.
    pub fn edit_issue(&self, full_name: &str, number: u64, body: &str) -> bool {
        let write = |repository: &mut Repository| {
            let mut all = repository.issues.iter_mut();
            let found = all.find(|issue| issue.number == number);
            found.map(|issue| body.clone_into(&mut issue.body))
        };
        self.with(full_name, write).flatten().is_some()
    }

    /// Returns the runs that were started by hand, in their order.
    pub fn started(&self, full_name: &str) -> Vec<Started> {
        self.with(full_name, |repository| repository.started.clone())
            .unwrap_or_default()
    }

    /// Somebody starts a workflow by hand, in a run of this number that gets no further than this status.
    pub fn starts(&self, full_name: &str, workflow: &str, id: u64, status: &'static str) {
        let created = self.inner.clock.now();
        let mut model = self.inner.model();
        if let Some(repository) = model.repositories.get_mut(full_name) {
            repository.started.push(Started {
                id,
                created,
                workflow: workflow.to_owned(),
                branch: "main".into(),
                inputs: json!({}),
                status,
            });
        }
    }

    /// Lets every run that was started by hand have this status.
    pub fn set_started(&self, full_name: &str, status: &'static str) {
        let mut model = self.inner.model();
        if let Some(repository) = model.repositories.get_mut(full_name) {
            for run in &mut repository.started {
                run.status = status;
            }
        }
    }

    /// Returns all comments that a pull request ever had, oldest first.
    pub fn all_comments(&self, full_name: &str, number: u64) -> Vec<Comment> {
        let of_pull = |repository: &mut Repository| {
            let comments = repository
                .comments
                .iter()
                .filter(|comment| comment.number == number);
            comments.cloned().collect::<Vec<_>>()
        };
        self.with(full_name, of_pull).unwrap_or_default()
    }

    fn with<T>(&self, full_name: &str, act: impl FnOnce(&mut Repository) -> T) -> Option<T> {
        self.inner.model().repositories.get_mut(full_name).map(act)
    }

    fn with_pull<T>(
        &self,
        full_name: &str,
        number: u64,
        act: impl FnOnce(&mut model::Pull) -> T,
    ) -> Option<T> {
        self.with(full_name, |repository| {
            repository.pulls.get_mut(&number).map(act)
        })
        .flatten()
    }
}

fn owned(files: &[(&str, &str)]) -> Vec<(String, String)> {
    files
        .iter()
        .map(|(path, content)| ((*path).to_owned(), (*content).to_owned()))
        .collect()
}
