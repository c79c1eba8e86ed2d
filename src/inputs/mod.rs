//! Turns the action's inputs, and later the repository's configuration file, into checked settings.
//! It reads no environment and no file; texts are handed to it.
//! What was written and what it means are two types, so that "empty means absent" is decided in one place.

pub mod configuration;
pub mod registry;

mod raw;
mod settings;

pub use raw::{RawInputs, UnknownInput};
pub use settings::{
    ASSOCIATIONS, ApprovalGate, Bots, CommentMode, CommentPosition, ConfigFrom, Deployments,
    Filters, HealthAddress, HealthMode, ImageInput, InputError, InputErrors, KubeconfigSource,
    MinPermission, Mode, Nodes, OnFailedUpdate, Paths, Promote, SecretRef, Settings, TextOrPath,
    UrlMode, WhenFull, extension,
};
