//! Turns pushes, pull requests and comments into the state of a GitHub instance.
//! It must not know HTTP or JSON; the views turn this state into what GitHub sends.
//! Comments keep every body they ever had, since "one truthful comment" is a claim about all of them.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::deployments::Deployment;
use super::statuses::Status;

/// What a token may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read and write, as a workflow of the repository itself.
    Write,
    /// Read only, as a workflow of a fork's pull request.
    Read,
}

/// A comment on a pull request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comment {
    /// The id.
    pub id: u64,
    /// The number of the pull request.
    pub number: u64,
    /// The login of the author.
    pub author: String,
    /// The present body.
    pub body: String,
    /// When it was written.
    pub created_at: Timestamp,
    /// When it was edited last.
    pub updated_at: Timestamp,
    /// Every body it ever had with its time, the present one last.
    pub history: Vec<(Timestamp, String)>,
    /// Who has reacted how, in order.
    pub reactions: Vec<(String, String)>,
    /// When it was deleted.
    pub deleted_at: Option<Timestamp>,
}

/// A pull request to open.
#[derive(Clone, Debug)]
pub struct NewPull {
    /// The number, if it is not to be the next.
    pub number: Option<u64>,
    /// The login of the author.
    pub author: String,
    /// The head branch.
    pub branch: String,
    /// The title.
    pub title: String,
    /// Whether it is a draft.
    pub draft: bool,
    /// The full name of the fork it comes from; none for a branch of the repository itself.
    pub fork: Option<String>,
    /// The files that its first commit changes, by path.
    pub files: Vec<(String, String)>,
}

impl Default for NewPull {
    fn default() -> Self {
        Self {
            number: None,
            author: "dev".to_owned(),
            branch: "feature".to_owned(),
            title: "A feature".to_owned(),
            draft: false,
            fork: None,
            files: Vec::new(),
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Commit {
    pub(super) sha: String,
    pub(super) message: String,
    pub(super) author: String,
    pub(super) parents: Vec<String>,
    pub(super) time: Timestamp,
    pub(super) files: BTreeMap<String, Vec<u8>>,
}

#[derive(Clone, Debug)]
pub(super) struct Pull {
    pub(super) id: u64,
    pub(super) number: u64,
    pub(super) title: String,
    pub(super) author: String,
    pub(super) branch: String,
    pub(super) head: String,
    /// Id and full name of the head repository; none once a fork is deleted.
    pub(super) head_repository: Option<(u64, String)>,
    pub(super) base: String,
    pub(super) open: bool,
    pub(super) merged_at: Option<Timestamp>,
    pub(super) closed_at: Option<Timestamp>,
    pub(super) draft: bool,
    pub(super) labels: Vec<String>,
    pub(super) created_at: Timestamp,
    pub(super) updated_at: Timestamp,
}

#[derive(Clone, Debug)]
pub(super) struct Repository {
    pub(super) id: u64,
    pub(super) full_name: String,
    pub(super) default_branch: String,
    pub(super) private: bool,
    pub(super) pulls: BTreeMap<u64, Pull>,
    pub(super) comments: Vec<Comment>,
    pub(super) commits: BTreeMap<String, Commit>,
    pub(super) branches: BTreeMap<String, String>,
    /// Issues that are no pull requests.
    pub(super) issues: Vec<Issue>,
    /// Runs that were started by hand.
    pub(super) started: Vec<Started>,
    /// Statuses of commits, in their order.
    pub(super) statuses: Vec<Status>,
    pub(super) deployments: Vec<Deployment>,
    /// Permission and role name by login.
    pub(super) permissions: BTreeMap<String, (String, String)>,
}

/// An issue that is no pull request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    /// Number.
    pub number: u64,
    /// Title.
    pub title: String,
    /// Body.
    pub body: String,
    /// `open` or `closed`.
    pub state: String,
    /// Names of its labels.
    pub labels: Vec<String>,
    /// How often it was edited.
    pub edits: usize,
}

/// A run of a workflow that was started by hand or by a program.
#[derive(Debug, Clone, PartialEq)]
pub struct Started {
    /// The id.
    pub id: u64,
    /// When it was started.
    pub created: Timestamp,
    /// File name of the workflow.
    pub workflow: String,
    /// Branch or tag.
    pub branch: String,
    /// Its inputs.
    pub inputs: Value,
    /// `waiting` while a reviewer has not approved it, `completed` once it has ended.
    pub status: &'static str,
}

impl Repository {
    pub(super) fn owner(&self) -> &str {
        self.full_name.split('/').next().unwrap_or_default()
    }

    pub(super) fn name(&self) -> &str {
        self.full_name.rsplit('/').next().unwrap_or_default()
    }

    /// The commits of a pull request that are not in its base, the oldest first.
    pub(super) fn commits_of(&self, pull: &Pull) -> Vec<&Commit> {
        let base: BTreeSet<&str> = self.history(&pull.base).map(|one| &*one.sha).collect();
        let mut commits: Vec<&Commit> = self
            .history(&pull.head)
            .take_while(|one| !base.contains(&*one.sha))
            .collect();
        commits.reverse();
        commits
    }

    /// A commit and its first parents.
    fn history(&self, sha: &str) -> impl Iterator<Item = &Commit> {
        let before = |one: &&Commit| self.commits.get(one.parents.first()?);
        std::iter::successors(self.commits.get(sha), before)
    }

    /// Finds a commit by branch, full SHA or unambiguous beginning of one.
    pub(super) fn commit(&self, reference: &str) -> Option<&Commit> {
        let branch = reference
            .strip_prefix("refs/heads/")
            .or_else(|| reference.strip_prefix("heads/"));
        if let Some(sha) = self.branches.get(branch.unwrap_or(reference)) {
            return self.commits.get(sha);
        }
        let mut found = self
            .commits
            .range(reference.to_owned()..)
            .take_while(|(sha, _)| sha.starts_with(reference));
        let first = found.next().filter(|_| reference.len() >= 4)?;
        found.next().is_none().then_some(first.1)
    }
}

/// Everything a simulated GitHub holds.
#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) repositories: BTreeMap<String, Repository>,
    /// Login and access by token.
    pub(super) tokens: BTreeMap<String, (String, Access)>,
    /// Everyone who is known, besides those who did something.
    pub(super) users: BTreeSet<String>,
    /// Rights that no token has.
    pub(super) denied: BTreeSet<String>,
    made: u64,
}

impl Model {
    pub(super) fn next_id(&mut self) -> u64 {
        self.made += 1;
        1000 + self.made
    }

    pub(super) fn repository(&mut self, full_name: &str, now: Timestamp) -> &mut Repository {
        let id = self.next_id();
        let owner = full_name.split('/').next().unwrap_or_default();
        self.users.insert(owner.to_owned());
        let repository = self
            .repositories
            .entry(full_name.to_owned())
            .or_insert_with(|| Repository {
                id,
                full_name: full_name.to_owned(),
                default_branch: "main".to_owned(),
                private: false,
                pulls: BTreeMap::new(),
                comments: Vec::new(),
                commits: BTreeMap::new(),
                branches: BTreeMap::new(),
                issues: Vec::new(),
                started: Vec::new(),
                statuses: Vec::new(),
                deployments: Vec::new(),
                permissions: BTreeMap::new(),
            });
        if repository.commits.is_empty() {
            let readme = [("README.md".to_owned(), format!("# {full_name}\n"))];
            push(repository, "main", owner, "Initial commit", &readme, now);
        }
        repository
    }

    pub(super) fn open(&mut self, full_name: &str, new: NewPull, now: Timestamp) -> u64 {
        let (id, fork_id) = (self.next_id(), self.next_id());
        self.users.insert(new.author.clone());
        let repository = self.repository(full_name, now);
        let base = repository
            .branches
            .get(&repository.default_branch)
            .cloned()
            .unwrap_or_default();
        let branch = match &new.fork {
            Some(fork) => format!("{fork}:{}", new.branch),
            None => new.branch.clone(),
        };
        repository
            .branches
            .entry(branch.clone())
            .or_insert_with(|| base.clone());
        let head = push(
            repository,
            &branch,
            &new.author,
            &new.title,
            &new.files,
            now,
        );
        let next = repository.pulls.keys().last().copied().unwrap_or_default() + 1;
        let number = new.number.unwrap_or(next);
        let own = (repository.id, repository.full_name.clone());
        let head_repository = new.fork.map_or(own, |fork| (fork_id, fork));
        let pull = Pull {
            id,
            number,
            title: new.title,
            author: new.author,
            branch: new.branch,
            head,
            head_repository: Some(head_repository),
            base,
            open: true,
            merged_at: None,
            closed_at: None,
            draft: new.draft,
            labels: Vec::new(),
            created_at: now,
            updated_at: now,
        };
        repository.pulls.insert(number, pull);
        number
    }

    /// Pushes a commit onto the head branch of a pull request.
    pub(super) fn push_to(
        &mut self,
        full_name: &str,
        number: u64,
        files: &[(String, String)],
        now: Timestamp,
    ) -> Option<String> {
        let repository = self.repositories.get_mut(full_name)?;
        let pull = repository.pulls.get(&number)?.clone();
        let branch = match &pull.head_repository {
            Some((_, name)) if *name != repository.full_name => format!("{name}:{}", pull.branch),
            _ => pull.branch.clone(),
        };
        let sha = push(
            repository,
            &branch,
            &pull.author,
            "Another commit",
            files,
            now,
        );
        let pull = repository.pulls.get_mut(&number)?;
        pull.head.clone_from(&sha);
        pull.updated_at = now;
        Some(sha)
    }

    pub(super) fn add_comment(
        &mut self,
        full_name: &str,
        number: u64,
        author: &str,
        body: &str,
        now: Timestamp,
    ) -> Option<u64> {
        let id = self.next_id();
        self.users.insert(author.to_owned());
        let repository = self.repositories.get_mut(full_name)?;
        repository.pulls.get(&number)?;
        repository.comments.push(Comment {
            id,
            number,
            author: author.to_owned(),
            body: body.to_owned(),
            created_at: now,
            updated_at: now,
            history: vec![(now, body.to_owned())],
            reactions: Vec::new(),
            deleted_at: None,
        });
        Some(id)
    }

    /// Finds a comment that is not deleted.
    pub(super) fn comment_mut(&mut self, full_name: &str, id: u64) -> Option<&mut Comment> {
        let comments = &mut self.repositories.get_mut(full_name)?.comments;
        comments
            .iter_mut()
            .find(|comment| comment.id == id && comment.deleted_at.is_none())
    }
}

impl Comment {
    pub(super) fn edit(&mut self, body: &str, now: Timestamp) {
        body.clone_into(&mut self.body);
        self.updated_at = now;
        self.history.push((now, body.to_owned()));
    }
}

/// Adds a commit to a branch, which is made if it does not exist, and returns its SHA.
pub(super) fn push(
    repository: &mut Repository,
    branch: &str,
    author: &str,
    message: &str,
    files: &[(String, String)],
    now: Timestamp,
) -> String {
    let parent = repository.branches.get(branch).cloned();
    let before = parent.as_ref().and_then(|sha| repository.commits.get(sha));
    let mut tree = before
        .map(|commit| commit.files.clone())
        .unwrap_or_default();
    for (path, content) in files {
        tree.insert(path.clone(), content.clone().into_bytes());
    }
    let seed = format!(
        "{}{branch}{message}{}",
        repository.full_name,
        repository.commits.len()
    );
    let sha = sha1_like(seed.as_bytes());
    let commit = Commit {
        sha: sha.clone(),
        message: message.to_owned(),
        author: author.to_owned(),
        parents: parent.into_iter().collect(),
        time: now,
        files: tree,
    };
    repository.commits.insert(sha.clone(), commit);
    repository.branches.insert(branch.to_owned(), sha.clone());
    sha
}

/// Makes forty hexadecimal digits of some bytes.
pub(super) fn sha1_like(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .take(20)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
