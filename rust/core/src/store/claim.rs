//! Who may write where: the count of numbers that were ever promised to a copy of a run (`buf`).
//!
//! The atomics come from the parent, so that `tests/claims.rs` can put this very file before a model checker.

use super::sync::{AtomicUsize, Ordering};

/// How many numbers of a region were ever promised to a copy.
#[derive(Debug)]
pub(super) struct Claimed(AtomicUsize);

impl Claimed {
    /// So many from the start.
    pub(super) fn new(claimed: usize) -> Self {
        Claimed(AtomicUsize::new(claimed))
    }

    /// Claims the numbers from `len`, the length of the claimer's copy, to `end`. When that succeeds, nobody
    /// else was ever promised any of them, nor will be.
    ///
    /// No order is asked for: a copy is handed from thread to thread by something that orders, which also
    /// orders what was written before; and who fails to claim touches nothing.
    pub(super) fn extend(&self, len: usize, end: usize) -> bool {
        self.0
            .compare_exchange(len, end, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
    }

    /// The same where there is one copy alone: what copies that are gone had claimed is free again.
    pub(super) fn extend_alone(&mut self, end: usize) {
        *self = Claimed::new(end);
    }
}
