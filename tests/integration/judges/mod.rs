//! What others have published about GitHub judges us here: their examples of its events, their description of its requests.
//! Nothing of theirs is committed; `tests/e2e/peers` fetches it, and the tests are ignored without it.
//! A test of our own can only know what we know; these can know better.

pub(crate) mod conversation;
mod corpus;
mod grammar;
mod hop;
mod mutation;
mod prism;
mod rules;

use std::path::PathBuf;

/// The folder of npm's packages.
fn packages() -> PathBuf {
    let folder = std::env::var_os("NODE_MODULES");
    folder.map_or_else(
        || panic!("NODE_MODULES names no folder; `tests/e2e/peers` prints it"),
        PathBuf::from,
    )
}
