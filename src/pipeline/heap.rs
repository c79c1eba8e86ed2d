//! Makes a long story where it costs its teller nothing: on the heap, from the first byte on.
//! It runs nothing by itself.
//! `Box::pin` alone builds its future on the stack of who calls it, and the frames of stories within stories add up to more than a thread has.

use std::pin::Pin;

/// The future that `make` begins, on the heap.
pub(super) fn heap<F: Future>(make: impl FnOnce() -> F) -> Pin<Box<F>> {
    Box::pin(make())
}
