//! Turns a panic of ours into a failure, so that it is told and cleaned up after like any other.
//! It mends nothing.
//! It stands around what a use case does in its turn, because only the use case knows what its last word needs.

use super::Failure;
use futures::FutureExt as _;
use std::panic::AssertUnwindSafe;

/// What a story comes to; a bug is a failure of it.
pub(super) async fn unbroken<T, E: From<Failure>>(
    story: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    let told = AssertUnwindSafe(story).catch_unwind().await;
    told.unwrap_or_else(|_| Err(Failure::bug().into()))
}
