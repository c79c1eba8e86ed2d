//! Turns a plan and templates into the set of Kubernetes objects to apply.
//! It speaks to no cluster and trusts no template: what comes out is fenced into the preview's Namespace.
//! Objects keep the file and line they came from, so that any later refusal can name the place.

mod assemble;
mod context;
mod error;
mod hooks;
mod kinds;
pub mod marks;
mod namespace;
mod normalise;
mod order;
mod ownership;
mod parse;
mod policy;
mod public;
pub mod render;

use crate::names::{CommitSha, ObjectId};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

pub use assemble::{assemble, assemble_under};
pub use context::{PULL_SECRET, build};
pub use error::{ManifestError, ManifestErrors};
pub use kinds::allowed_kinds;
pub use namespace::namespace;
pub use order::RUN_FIRST;
pub use policy::{LAST_FAILURE, LAST_GOOD, PARENT};
pub use render::{RenderRequest, Rendered};

/// One object to apply.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// Which object.
    pub id: ObjectId,
    /// Whole object, normalised, in the preview's Namespace.
    pub object: Value,
    /// Where it comes from.
    pub origin: Origin,
    /// When it is applied, from 1; lower stages first (engine order: 1 quota and network, 2 configuration, 3 services,
    /// 4 run-first Jobs, 5 workloads, 6 ingress and scaling, 7 Jobs that come last).
    pub stage: u8,
}

impl Manifest {
    /// True for what runs before or after everything else and then is done.
    pub fn runs_once(&self) -> bool {
        [kinds::RUN_FIRST, kinds::RUN_LAST].contains(&self.stage)
    }
}

/// The place in a file that an object or an error comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Origin {
    /// File; `built-in/…` for our own templates, or what asked for them behind `#`; [`Origin::place`] tells them apart.
    pub file: String,
    /// Line from 1, in the rendered text or in the configuration; 0 where there is none to name.
    pub line: u32,
}

impl ManifestSet {
    /// Where an object stands in the set; people read what became of it in this order.
    pub fn place(&self, id: &ObjectId) -> Option<usize> {
        self.objects.iter().position(|manifest| manifest.id == *id)
    }

    /// The set but for these objects.
    pub fn without<'a>(&self, done: impl Iterator<Item = &'a ObjectId>) -> Self {
        let done: BTreeSet<_> = done.collect();
        let left = self
            .objects
            .iter()
            .filter(|one| !done.contains(&one.id))
            .cloned();
        Self {
            objects: left.collect(),
            warnings: Vec::new(),
        }
    }

    /// The set as it is applied where nothing was ready yet: hooks of Helm's `post-install,pre-upgrade` come last then.
    pub fn installed(&self) -> Self {
        let mut set = self.clone();
        for one in &mut set.objects {
            if one.stage == kinds::RUN_FIRST && hooks::runs_later(&one.id.kind, &one.object) {
                one.stage = kinds::RUN_LAST;
            }
        }
        set.objects.sort_by_key(assemble::order);
        set
    }

    /// The objects of one hook weight together, lower weights first.
    pub fn by_weight(self) -> Vec<Self> {
        let mut weights = BTreeMap::<i64, Self>::new();
        for one in self.objects {
            let weight = hooks::weight(&one.object);
            weights.entry(weight).or_default().objects.push(one);
        }
        weights.into_values().collect()
    }

    /// What comes before the Jobs that run first, those Jobs, and what waits for them.
    ///
    /// A StatefulSet that is `new` comes before them: it is the database that they work on, more often than not.
    pub fn around_run_first(&self, new: impl Fn(&ObjectId) -> bool) -> (Self, Self, Self) {
        let early = |one: &Manifest| {
            one.stage < kinds::RUN_FIRST || (one.id.kind == "StatefulSet" && new(&one.id))
        };
        let part = |wanted: &dyn Fn(&Manifest) -> bool| Self {
            objects: self
                .objects
                .iter()
                .filter(|one| wanted(one))
                .cloned()
                .collect(),
            warnings: Vec::new(),
        };
        (
            part(&early),
            part(&|one| one.stage == kinds::RUN_FIRST),
            part(&|one| one.stage > kinds::RUN_FIRST && !early(one)),
        )
    }
}

/// Stands between the configuration's path and a service of it.
const SERVICE: &str = "#services.";
/// Stands behind the configuration's path where all of it is meant.
const WHOLE: &str = "#";
/// Stands for the input `images`, before the service that it names.
const IMAGES: &str = "#images.";

/// Stands behind a path, before the commit that it is of.
const OLDER: &str = " (as of ";

/// What an origin names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place<'a> {
    /// A file of the repository.
    File(&'a str),
    /// The configuration's path and a service of it.
    Service(&'a str, &'a str),
    /// The configuration's path.
    Configuration(&'a str),
    /// A service of the input `images`: there is no configuration file.
    Images(&'a str),
    /// Our own template, which nobody can change.
    BuiltIn,
}

impl Origin {
    /// The place of a service in the configuration.
    pub fn service(config: &str, name: &str, line: u32) -> Self {
        Self {
            file: format!("{config}{SERVICE}{name}"),
            line,
        }
    }

    /// The configuration as a whole.
    pub fn configuration(config: &str) -> Self {
        Self {
            file: format!("{config}{WHOLE}"),
            line: 0,
        }
    }

    /// A service of the input `images`.
    pub fn images(name: &str) -> Self {
        Self {
            file: format!("{IMAGES}{name}"),
            line: 0,
        }
    }

    /// The same place in an older commit: its lines are not those that people see now.
    #[must_use]
    pub fn as_of(&self, sha: &CommitSha) -> Self {
        let of = format!("{OLDER}{})", sha.short());
        let file = match self.place() {
            Place::File(file) => format!("{file}{of}"),
            Place::Service(file, name) => format!("{file}{of}{SERVICE}{name}"),
            Place::Configuration(file) => format!("{file}{of}{WHOLE}"),
            Place::Images(_) | Place::BuiltIn => self.file.clone(),
        };
        Self { file, line: 0 }
    }

    /// True for a place in an older commit.
    pub fn is_older(&self) -> bool {
        self.line == 0 && self.path().is_some_and(|path| path.contains(OLDER))
    }

    /// What is named.
    pub fn place(&self) -> Place<'_> {
        if let Some(service) = self.file.strip_prefix(IMAGES) {
            Place::Images(service)
        } else if let Some((file, service)) = self.file.split_once(SERVICE) {
            Place::Service(file, service)
        } else if let Some(file) = self.file.strip_suffix(WHOLE) {
            Place::Configuration(file)
        } else if self.file.starts_with("built-in/") {
            Place::BuiltIn
        } else {
            Place::File(&self.file)
        }
    }

    /// The file that people have, with the commit if it is an older one; none where there is no file.
    pub fn path(&self) -> Option<&str> {
        match self.place() {
            Place::File(file) | Place::Service(file, _) | Place::Configuration(file) => Some(file),
            Place::Images(_) | Place::BuiltIn => None,
        }
    }

    /// File and line, as people are shown them; none where there is no file.
    pub fn shown(&self) -> Option<String> {
        let path = self.path()?;
        Some(match self.line {
            0 => path.into(),
            line => format!("{path}:{line}"),
        })
    }
}

/// All objects of a preview, sorted by stage, without the Namespace itself.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ManifestSet {
    /// Objects.
    pub objects: Vec<Manifest>,
    /// Things to tell people that are no errors.
    pub warnings: Vec<String>,
}

#[cfg(test)]
mod tests;
