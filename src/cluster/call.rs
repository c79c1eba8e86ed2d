//! Turns what is wanted of the API server into a request: one constructor a verb, with how it is named and whether it may be repeated.
//! It sends nothing and knows no answer.
//! Every request is made here, so that what this program can ask of a cluster is read in one place.

use super::{
    FIELD_MANAGER,
    error::{Attempt, ClusterError},
    kinds::{self, Kind},
};
use crate::names::Namespace;
use kube::core::Request;
use serde_json::Value;

/// A request that can be sent more than once.
#[derive(Clone)]
pub(super) struct Call {
    pub(super) request: http::Request<Vec<u8>>,
    pub(super) attempt: Attempt,
    pub(super) repeat: Repeat,
}

/// Whether a request may be repeated when its first answer is lost.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    Safe,
    /// Only when the answer says that nothing was done.
    Refused,
}

/// How an object is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct How {
    /// Owner of the fields.
    pub(super) manager: &'static str,
    /// Whether fields of other managers are taken.
    pub(super) force: bool,
    /// Whether nothing is written.
    pub(super) dry_run: bool,
}

/// Which object is meant, and in which version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Only {
    pub(super) uid: String,
    pub(super) version: Option<String>,
}

/// The manager of dry runs that only look: it owns nothing, ever.
pub(super) const LOOKER: &str = "preview-action-look";

type Built = Result<http::Request<Vec<u8>>, kube::core::request::Error>;

impl Call {
    fn new(
        request: Built,
        verb: &'static str,
        object: String,
        namespace: Option<&Namespace>,
        repeat: Repeat,
    ) -> Result<Self, ClusterError> {
        let attempt = Attempt {
            verb,
            object,
            namespace: namespace.cloned(),
        };
        match request {
            Ok(request) => Ok(Self {
                request,
                attempt,
                repeat,
            }),
            // Names of objects go into the path, and some are the author's.
            Err(problem) => Err(ClusterError::Unintelligible {
                attempt,
                problem: problem.to_string(),
            }),
        }
    }

    pub(super) fn get(
        kind: &Kind,
        namespace: Option<&Namespace>,
        name: &str,
    ) -> Result<Self, ClusterError> {
        let request =
            Request::new(kind.path(namespace)).get(name, &kube::api::GetParams::default());
        Self::new(request, "read", named(kind, name), namespace, Repeat::Safe)
    }

    pub(super) fn list(
        kind: &Kind,
        namespace: Option<&Namespace>,
        selector: &Selector,
    ) -> Result<Self, ClusterError> {
        let request = Request::new(kind.path(namespace)).list(&selector.list());
        Self::new(request, "list", kind.plural.into(), namespace, Repeat::Safe)
    }

    /// Lists a page of a kind in all Namespaces, from where the page before ended.
    pub(super) fn page(kind: &Kind, size: u32, from: Option<&str>) -> Result<Self, ClusterError> {
        let mut parameters = kube::api::ListParams::default().limit(size);
        parameters.continue_token = from.map(str::to_owned);
        let request = Request::new(kind.path(None)).list(&parameters);
        Self::new(request, "list", kind.plural.into(), None, Repeat::Safe)
    }

    /// Lists names and versions only.
    pub(super) fn list_metadata(
        kind: &Kind,
        namespace: Option<&Namespace>,
    ) -> Result<Self, ClusterError> {
        let request =
            Request::new(kind.path(namespace)).list_metadata(&kube::api::ListParams::default());
        Self::new(request, "list", kind.plural.into(), namespace, Repeat::Safe)
    }

    /// Lists names, finalizers and times under a path of a resource that the server named.
    pub(super) fn list_resource(path: String, resource: &str) -> Result<Self, ClusterError> {
        let parameters = kube::api::ListParams::default().limit(500);
        let request = Request::new(path).list_metadata(&parameters);
        Self::new(request, "list", resource.into(), None, Repeat::Safe)
    }

    /// Asks which versions of an API group the server has.
    pub(super) fn group(group: &str) -> Result<Self, ClusterError> {
        let request = Request::new("/apis").get(group, &kube::api::GetParams::default());
        let what = format!("API group {group}");
        Self::new(request, "read", what, None, Repeat::Safe)
    }

    /// Applies an object as our field manager, by force: we are its only deployer.
    pub(super) fn apply(
        kind: &Kind,
        namespace: Option<&Namespace>,
        name: &str,
        object: &Value,
    ) -> Result<Self, ClusterError> {
        let how = How {
            manager: FIELD_MANAGER,
            force: true,
            dry_run: false,
        };
        Self::apply_as(kind, namespace, name, object, &how)
    }

    /// Applies an object in one of the ways that there are.
    pub(super) fn apply_as(
        kind: &Kind,
        namespace: Option<&Namespace>,
        name: &str,
        object: &Value,
        how: &How,
    ) -> Result<Self, ClusterError> {
        let parameters = kube::api::PatchParams {
            field_manager: Some(how.manager.into()),
            force: how.force,
            dry_run: how.dry_run,
            field_validation: None,
        };
        let request = Request::new(kind.path(namespace)).patch(
            name,
            &parameters,
            &kube::api::Patch::Apply(object),
        );
        let verb = if how.dry_run { "try" } else { "apply" };
        Self::new(request, verb, named(kind, name), namespace, Repeat::Safe)
    }

    /// Adds to an object what a merge patch says, whoever else writes it. Only for patches that may be made twice.
    pub(super) fn merge(
        kind: &Kind,
        namespace: &Namespace,
        name: &str,
        patch: &Value,
    ) -> Result<Self, ClusterError> {
        let parameters = kube::api::PatchParams {
            field_manager: Some(FIELD_MANAGER.into()),
            ..Default::default()
        };
        let request = Request::new(kind.path(Some(namespace))).patch(
            name,
            &parameters,
            &kube::api::Patch::Merge(patch),
        );
        Self::new(
            request,
            "write",
            named(kind, name),
            Some(namespace),
            Repeat::Safe,
        )
    }

    /// Looks at one object that may be written but not read: a dry run that wants nothing answers it as it is.
    pub(super) fn look(
        kind: &Kind,
        namespace: &Namespace,
        name: &str,
    ) -> Result<Self, ClusterError> {
        let nothing = serde_json::json!({
            "apiVersion": kind.object(name).api_version(),
            "kind": kind.kind,
            "metadata": {"name": name, "namespace": namespace},
        });
        let how = How {
            manager: LOOKER,
            force: false,
            dry_run: true,
        };
        Self::apply_as(kind, Some(namespace), name, &nothing, &how)
    }

    pub(super) fn create(
        kind: &Kind,
        namespace: Option<&Namespace>,
        name: &str,
        object: &Value,
    ) -> Result<Self, ClusterError> {
        let parameters = kube::api::PostParams {
            field_manager: Some(FIELD_MANAGER.into()),
            dry_run: false,
        };
        let request =
            Request::new(kind.path(namespace)).create(&parameters, object.to_string().into());
        Self::new(
            request,
            "create",
            named(kind, name),
            namespace,
            Repeat::Refused,
        )
    }

    /// Writes an object if it still is of the `resourceVersion` in it.
    pub(super) fn replace(
        kind: &Kind,
        namespace: Option<&Namespace>,
        name: &str,
        object: &Value,
    ) -> Result<Self, ClusterError> {
        let parameters = kube::api::PostParams {
            field_manager: Some(FIELD_MANAGER.into()),
            dry_run: false,
        };
        let request = Request::new(kind.path(namespace)).replace(
            name,
            &parameters,
            object.to_string().into(),
        );
        Self::new(request, "write", named(kind, name), namespace, Repeat::Safe)
    }

    /// Deletes an object if it still is the one that was looked at, and its dependents as `propagation` says, or else as is usual for
    /// its kind.
    pub(super) fn delete(
        kind: &Kind,
        namespace: Option<&Namespace>,
        name: &str,
        only: Only,
        propagation: Option<kube::api::PropagationPolicy>,
    ) -> Result<Self, ClusterError> {
        let parameters = kube::api::DeleteParams {
            preconditions: Some(kube::api::Preconditions {
                uid: Some(only.uid),
                resource_version: only.version,
            }),
            propagation_policy: propagation,
            ..Default::default()
        };
        let request = Request::new(kind.path(namespace)).delete(name, &parameters);
        Self::new(
            request,
            "delete",
            named(kind, name),
            namespace,
            Repeat::Safe,
        )
    }

    /// Reads the last lines that a container wrote, of its previous life if asked.
    pub(super) fn log(
        namespace: &Namespace,
        pod: &str,
        container: &str,
        previous: bool,
        (lines, bytes): (i64, i64),
    ) -> Result<Self, ClusterError> {
        let parameters = kube::api::LogParams {
            container: Some(container.into()),
            tail_lines: Some(lines),
            previous,
            limit_bytes: Some(bytes),
            ..Default::default()
        };
        let request = Request::new(kinds::POD.path(Some(namespace))).logs(pod, &parameters);
        let what = format!("the log of Pod/{pod}");
        Self::new(request, "read", what, Some(namespace), Repeat::Safe)
    }

    pub(super) fn watch(
        kind: &Kind,
        namespace: Option<&Namespace>,
        selector: &Selector,
        from: &str,
        seconds: u32,
    ) -> Result<Self, ClusterError> {
        let parameters = kube::api::WatchParams {
            timeout: Some(seconds),
            bookmarks: true,
            ..selector.watch()
        };
        let request = Request::new(kind.path(namespace)).watch(&parameters, from);
        Self::new(
            request,
            "watch",
            kind.plural.into(),
            namespace,
            Repeat::Safe,
        )
    }
}

fn named(kind: &Kind, name: &str) -> String {
    format!("{}/{name}", kind.kind)
}

/// Which objects of a kind are meant.
#[derive(Debug, Clone, Default)]
pub(super) struct Selector {
    /// By label.
    pub(super) labels: Option<String>,
    /// By name.
    pub(super) name: Option<String>,
}

impl Selector {
    fn fields(&self) -> Option<String> {
        let name = self.name.as_deref()?;
        Some(format!("metadata.name={name}"))
    }

    fn list(&self) -> kube::api::ListParams {
        kube::api::ListParams {
            label_selector: self.labels.clone(),
            field_selector: self.fields(),
            ..Default::default()
        }
    }

    fn watch(&self) -> kube::api::WatchParams {
        kube::api::WatchParams {
            label_selector: self.labels.clone(),
            field_selector: self.fields(),
            ..Default::default()
        }
    }
}
